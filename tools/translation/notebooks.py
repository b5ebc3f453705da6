"""The Chinese notebooks, chapters_zh/, made from the English ones and the catalogues.

They have the same cells with the same ids, the same code except for its comments, and the same
outputs. Their own are the fingerprints of the cells (tools/cells.py), so that a learner's work is
known in them as in any copy of a chapter. A block that is not translated is English.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from exercises import texts
from tools import ROOT
from tools.cells import fingerprints, recorded, role
from tools.generated_cells import exercise_cells, opening
from tools.translation import blocks, catalogue, pages, sources

FOLDER = ROOT / "chapters_zh"


def about(stem: str) -> NotebookNode:
    """What a chapter says about itself, in Chinese."""
    known = catalogue.translations(f"chapters/{stem}")
    english = sources.chapter(stem).metadata["course"]
    needs = [known.get(("needs", need), need) for need in english["needs"]]
    title = known.get(("title", english["title"]), english["title"])
    return nbformat.from_dict({**english, "title": title, "needs": needs})


def exercise(item: texts.Text) -> texts.Text:
    """The text of an exercise in Chinese."""
    known = catalogue.translations(f"exercises/{item.group}")
    parts = {
        context.removeprefix(f"{item.id} "): _replaced(source, is_code, known, context)
        for context, source, is_code in sources.exercise_parts(item)
    }
    hints = tuple(parts.pop(f"hint {n}") for n in range(1, len(item.hints) + 1))
    title = known.get((f"{item.id} title", item.title), item.title)
    return replace(item, title=title, hints=hints, **parts)


def _replaced(text: str, is_code: bool, known: dict[tuple[str, str], str], context: str) -> str:
    found = blocks.comments(text) if is_code else blocks.cut(text)
    return blocks.replaced(text, found, lambda block: known.get((context, block.text), ""))


def translated(stem: str, chapters: dict[str, NotebookNode] | None = None) -> NotebookNode:
    """The Chinese notebook of a chapter.

    chapters: what each chapter says about itself in Chinese, where that is known already.
    """
    nb, known = sources.chapter(stem), catalogue.translations(f"chapters/{stem}")
    chapters = chapters or {other: about(other) for other in sources.stems()}
    new = {cell.id: cell for cell in opening(stem, chapters, "zh")}
    for item in texts.chapters().get(stem, []):
        new |= {cell.id: cell for cell in exercise_cells(exercise(item), "zh")}
    relinked = partial(pages.relinked, english=ROOT / "chapters" / f"{stem}.ipynb")
    for cell in nb.cells:
        if cell.id in new:
            cell.source = new[cell.id].source
        else:
            cell.source = _replaced(cell.source, cell.cell_type == "code", known, cell.id)
        if cell.cell_type == "markdown" and role(cell) != "header":  # it has Chinese links
            cell.source = relinked(cell.source, anchors=pages.anchors)
    course = chapters[stem] | {"cells": fingerprints(nb), "outputs": recorded(nb)}
    nb.metadata["course"] = nbformat.from_dict(course)
    return nb


def generated(stems: Iterable[str] | None = None) -> dict[Path, bytes]:
    """Chinese notebooks, of all chapters or of some, and the content of each file."""
    chapters = {stem: about(stem) for stem in sources.stems()}
    return {
        FOLDER
        / f"{stem}.ipynb": f"{nbformat.writes(translated(stem, chapters), version=4)}\n".encode()
        for stem in (chapters if stems is None else stems)
    }
