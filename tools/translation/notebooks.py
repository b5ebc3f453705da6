"""The Chinese notebooks, chapters_zh/, made from the English ones and the catalogues.

They have the same cells with the same ids, the same code except for its comments, and the same
outputs, in which what the checks say is Chinese. Their own are the fingerprints of the cells
(tools/cells.py), so that a learner's work is known in them as in any copy of a chapter. A block
that is not translated is English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from exercises import texts
from tools import ROOT, cells
from tools.cells import fingerprints, recorded, role
from tools.generated_cells import exercise_cells, opening
from tools.translation import blocks, catalogue, pages, sources
from utils import language

FOLDER = ROOT / "chapters_zh"
# A message of `check` or `use` begins with the id of its exercise; lines of 96 columns follow.
_MESSAGE = re.compile(r"^(?=[a-z_]+\.\d+(?: is |: ))", re.MULTILINE)
_FRAME = re.compile(r"[a-z_]+\.\d+ is (?:right|wrong|open)")


@dataclass(frozen=True)
class Texts:
    """What all Chinese notebooks are made of; it is read once for several."""

    known: dict[str, dict[tuple[str, str], str]]  # the translations of each chapter
    about: dict[str, dict]  # what each chapter says about itself, in Chinese
    exercises: dict[str, list[texts.Text]]  # of each chapter, in Chinese


def read() -> Texts:
    """Chapters' titles, catalogues and exercises as they are in the working tree."""
    known = {stem: catalogue.translations(f"chapters/{stem}") for stem in sources.stems()}
    about = {}
    for stem in known:
        english = sources.chapter(stem).metadata["course"]
        needs = [known[stem].get(("needs", need), need) for need in english["needs"]]
        title = known[stem].get(("title", english["title"]), english["title"])
        about[stem] = {**english, "title": title, "needs": needs}
    return Texts(known, about, texts.chapters("zh"))


def _said(known: dict[tuple[str, str], str], context: str, block: blocks.Block) -> str:
    return known.get((context, block.text), "")


def _in_chinese(output: NotebookNode) -> NotebookNode:
    """A stored output in which the messages of `check` and `use` are what a learner is told."""
    text = "".join(output.get("text", ""))  # a list of lines in the file
    if output.output_type != "stream" or not _MESSAGE.match(text):
        return output
    say, lines = language.recogniser("zh").translate, []
    for message in _MESSAGE.split(text)[1:]:
        frame, colon, rest = " ".join(message.split("\n")).strip().partition(": ")
        parts = [frame + colon.strip(), rest] if _FRAME.fullmatch(frame) else [frame + colon + rest]
        lines += language.joined(map(say, filter(None, parts)))
    text = "\n".join(lines) + "\n"
    return nbformat.from_dict({**output, "text": text.splitlines(keepends=True)})


def translated(stem: str, from_texts: Texts | None = None) -> NotebookNode:
    """The Chinese notebook of a chapter."""
    nb, everything = sources.chapter(stem), from_texts or read()
    known = everything.known[stem]
    generated = opening(stem, everything.about, "zh")
    for item in everything.exercises.get(stem, []):
        generated += exercise_cells(item, "zh")
    sources_of = {cell.id: cell.source for cell in generated}
    relinked = partial(pages.relinked, english=ROOT / "chapters" / f"{stem}.ipynb")
    for cell in nb.cells:
        if cell.id in sources_of:
            cell.source = sources_of[cell.id]
        else:
            said = partial(_said, known, cell.id)
            cell.source = blocks.replaced(cell.source, sources.cell_blocks(cell), said)
        if cell.cell_type == "code" and "nbval-ignore-output" in cell.metadata.get("tags", ()):
            cell.outputs = [_in_chinese(output) for output in cell.outputs]
        if cell.cell_type == "markdown" and role(cell) != "header":  # it has Chinese links
            cell.source = relinked(cell.source, anchors=pages.anchors)
    course = {**everything.about[stem], "cells": fingerprints(nb), "outputs": recorded(nb)}
    nb.metadata["course"] = nbformat.from_dict(course)
    return nb


def generated(stems: Iterable[str] | None = None) -> dict[Path, bytes]:
    """Chinese notebooks, of all chapters or of some, and the content of each file."""
    everything, found = read(), {}
    for stem in sources.stems() if stems is None else stems:
        nb = translated(stem, everything)
        for cell in nb.cells:
            cell.source = cell.source.splitlines(keepends=True)
        found[FOLDER / f"{stem}.ipynb"] = cells.written(nb)
    return found
