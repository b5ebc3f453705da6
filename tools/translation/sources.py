"""What there is to translate: the units of every catalogue, taken from the English."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from myst_parser.mdit_to_docutils.base import default_slugify

from exercises import texts
from tools import ROOT, CourseError, cells
from tools.translation import blocks, messages

# The pages that have a Chinese edition, by the names of their catalogues.
PAGES = {
    "docs/README": "README.md",
    "docs/first_page": "tools/site/index.md",
    "docs/glossary": "docs/glossary.md",
    "docs/is_this_true": "docs/is_this_true.md",
    "docs/teaching": "docs/teaching.md",
}
# Cells that are generated: header and first cells have Chinese forms of their own, and the cells
# of an exercise come from its catalogue.
GENERATED = ("header", "bootstrap", "device")


@dataclass(frozen=True)
class Unit:
    """What has to be translated: a block of the English, and its place.

    note: what a translator has to know besides.
    """

    context: str
    english: str
    kind: str = "paragraph"
    section: str = ""
    note: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.context, self.english


def stems() -> list[str]:
    """The chapters in their order: `["00_start_here", "01_lenet", …]`."""
    return sorted(path.stem for path in (ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))


def names() -> list[str]:
    """Every catalogue: those of chapters, exercises, messages and pages."""
    return [
        *(f"chapters/{stem}" for stem in stems()),
        *(f"exercises/{group}" for group in texts.groups()),
        *(f"messages/{name}" for name in messages.CATALOGUES),
        *PAGES,
    ]


def units(name: str) -> list[Unit]:
    """What a catalogue has to translate; CourseError if there is no such catalogue."""
    kind, _, which = name.partition("/")
    if name in PAGES:
        return list(page_units(name))
    if kind == "chapters" and which in stems():
        return list(chapter_units(which))
    if kind == "exercises" and which in texts.groups():
        return [unit for text in texts.read(which) for unit in exercise_units(text)]
    if kind == "messages" and which in messages.CATALOGUES:
        found = messages.messages(which)
        return [Unit("", m.text, "message", note=m.note) for m in found]
    raise CourseError(f"There is no catalogue {name}; there are {', '.join(names())}.")


def _unit(context: str, block: blocks.Block, section: str = "") -> Unit:
    return Unit(context, block.text, block.kind, block.section or section)


# --- chapters -------------------------------------------------------------------------------------


def chapter(stem: str) -> nbformat.NotebookNode:
    """An English chapter as it is in the working tree."""
    path = ROOT / "chapters" / f"{stem}.ipynb"
    nb = nbformat.from_dict(cells.parse(path.read_bytes(), path.name))  # not validated: it is ours
    for cell in nb.cells:
        cell.source = cells.source(cell)
    return nb


def is_own(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell's text is the chapter's own, and not generated."""
    return "exercise" not in cell.metadata and cell.metadata.get("role") not in GENERATED


def chapter_units(stem: str) -> Iterator[Unit]:
    """Title and needs of a chapter, the blocks of its own cells, and the comments in its code."""
    nb = chapter(stem)
    about = nb.metadata["course"]
    yield Unit("title", about["title"], "heading")
    for need in about["needs"]:
        if not re.match(r"\d\d_", need):
            yield Unit("needs", need)
    section = ""
    for cell in filter(is_own, nb.cells):
        found = cell_blocks(cell)
        for block in found:
            if block.kind == "heading":
                section = block.text
            yield _unit(cell.id, block, section)


def cell_blocks(cell: nbformat.NotebookNode) -> list[blocks.Block]:
    """The blocks of one cell."""
    if cell.cell_type == "markdown":
        return blocks.cut(cell.source)
    return blocks.comments(cell.source) if cell.cell_type == "code" else []


# --- exercises ------------------------------------------------------------------------------------


def exercise_parts(text: texts.Text) -> Iterator[tuple[str, str, bool]]:
    """(context, source, whether it is code) for each part of an exercise that one can read."""
    yield f"{text.id} task", text.task, False
    yield f"{text.id} stub", text.stub, True
    for number, hint in enumerate(text.hints, start=1):
        yield f"{text.id} hint {number}", hint, False
    yield f"{text.id} solution", text.solution, True
    yield f"{text.id} explanation", text.explanation, False


def exercise_units(text: texts.Text) -> Iterator[Unit]:
    """Title, task, hints, explanation of an exercise, and the comments in its code."""
    yield Unit(f"{text.id} title", text.title, "heading")
    for context, source, is_code in exercise_parts(text):
        for block in blocks.comments(source) if is_code else blocks.cut(source):
            yield _unit(context, block, text.title)


# --- pages ----------------------------------------------------------------------------------------


def page_source(name: str) -> Path:
    return ROOT / PAGES[name]


def anchor(heading: str) -> str:
    """The anchor that GitHub and the site give to a heading."""
    return default_slugify(re.sub(r"[`*]", "", heading)) or "top"


def page_units(name: str) -> Iterator[Unit]:
    """The blocks of a page, each under the anchor of the heading above it; and its claims."""
    for block in blocks.cut(page_source(name).read_text(encoding="utf-8")):
        yield _unit(anchor(block.section), block)
    if name == "docs/is_this_true":
        for claim in claims():
            for part in ("claim", "right"):
                for block in blocks.cut(claim[part].strip()):
                    yield _unit(f"{claim['id']} {part}", block)


def claims() -> list[dict]:
    """What docs/claims.toml says."""
    return tomllib.loads((ROOT / "docs" / "claims.toml").read_text(encoding="utf-8"))["claim"]
