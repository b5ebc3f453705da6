"""The questions at the end of each chapter, and cards of them and of the glossary for Anki.

    python3 course.py cards              # into cards.txt
    python3 course.py cards FILE

docs/recall.toml holds the questions, and docs/glossary.md the terms in English and Chinese. `cell`
makes the text of a chapter's cell, which `tools/authoring` puts in front of its sources.

The cards are a text file as Anki reads it (File, Import): a line for each card, its front, back and
tags between tabs, and lines with # at the top that say so (docs.ankiweb.net, "Text files"). Fields
are HTML; a formula stands between \\( and \\), where Anki's MathJax finds it. No package is needed.
"""

from __future__ import annotations

import csv
import html
import io
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from tools import COMMAND, ROOT, CourseError, Parser, exit_code, say, write

QUESTIONS = ROOT / "docs" / "recall.toml"
GLOSSARY = ROOT / "docs" / "glossary.md"
HEADING = "## Five questions to remember"
INTRODUCTION = (
    "Say your answer before you open ours. `python3 course.py cards` makes cards of all questions "
    "and terms for the program Anki."
)
HEADERS = ("#separator:tab", "#html:true", "#notetype:Basic", "#deck:One by One", "#tags column:3")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FORMULA = re.compile(r"\$([^$]+)\$")
_TERM = re.compile(
    r"^\| (?P<english>.+?) \| (?P<chinese>.+?) \| (?P<meaning>.+?) "
    r"\| \[\d+\]\(\.\./chapters/(?P<chapter>\w+)\.ipynb\) \|$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Question:
    """One question of a chapter; it rests on a statement of docs/claims.toml or on a term."""

    chapter: str
    question: str
    answer: str
    claim: str = ""
    term: str = ""


@dataclass(frozen=True)
class Term:
    """A row of the glossary; `chapter` is the file stem of the one that uses the term first."""

    english: str
    chinese: str
    meaning: str
    chapter: str


@dataclass(frozen=True)
class Card:
    """Front and back in HTML, and tags without spaces in them."""

    front: str
    back: str
    tags: tuple[str, ...]


def questions(stem: str | None = None) -> list[Question]:
    """The questions of a chapter such as "04_nin", or of all chapters.

    Raises:
        CourseError: docs/recall.toml is no TOML, or an entry lacks a field or has another.
    """
    try:
        entries = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
        found = [Question(**entry) for entry in entries]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise CourseError(
            f"docs/recall.toml cannot be read ({error}): its head says what an entry holds."
        ) from None
    return [question for question in found if stem in (None, question.chapter)]


def terms() -> list[Term]:
    """The rows of docs/glossary.md."""
    return [Term(**row.groupdict()) for row in _TERM.finditer(GLOSSARY.read_text("utf-8"))]


def cell(stem: str) -> str:
    """The Markdown of a chapter's cell of questions, the answers folded; empty where it has none.

    A summary is HTML in a notebook, so the question becomes HTML here.
    """
    folds = [
        f"<details>\n<summary>{number}. {as_html(asked.question)}</summary>\n\n{asked.answer}\n\n"
        "</details>"
        for number, asked in enumerate(questions(stem), start=1)
    ]
    return "\n\n".join([HEADING, INTRODUCTION, *folds]) if folds else ""


def _formula(state: StateInline, silent: bool) -> bool:
    """A rule of markdown-it: what is between two dollar signs is a formula."""
    found = _FORMULA.match(state.src, state.pos)
    if found and not silent:
        state.push("formula", "", 0).content = found[1]
    state.pos = found.end() if found else state.pos
    return found is not None


def _for_anki(self: object, tokens: Sequence[Token], at: int, *_: object) -> str:
    """How markdown-it writes a formula: as Anki's MathJax reads it."""
    return rf"\({html.escape(tokens[at].content)}\)"


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark")
    reader.inline.ruler.before("escape", "formula", _formula)
    reader.add_render_rule("formula", _for_anki)
    return reader


def as_html(markdown: str) -> str:
    """One paragraph of Markdown as HTML on one line, without comments such as a number's source."""
    return _reader().renderInline(" ".join(_COMMENT.sub("", markdown).split()))


def cards() -> list[Card]:
    """A card for each question of the chapters that are there, then one for each term."""
    stems = {path.stem for path in ROOT.glob("chapters/[0-9][0-9]_*.ipynb")}
    asked = [
        Card(as_html(q.question), as_html(q.answer), ("question", q.chapter))
        for q in questions()
        if q.chapter in stems
    ]
    return asked + [
        Card(
            as_html(t.english), f"{as_html(t.meaning)}<br>{as_html(t.chinese)}", ("term", t.chapter)
        )
        for t in terms()
    ]


def as_text(cards: Sequence[Card]) -> str:
    """The file that Anki imports."""
    file = io.StringIO()
    rows = csv.writer(file, delimiter="\t", lineterminator="\n")
    rows.writerows((card.front, card.back, " ".join(card.tags)) for card in cards)
    return "\n".join(HEADERS) + "\n" + file.getvalue()


def export(path: Path) -> None:
    """Write the cards into a file, and say what to do with it."""
    made = cards()
    write(path, as_text(made).encode())
    asked = sum("question" in card.tags for card in made)
    say(f"{asked} questions and {len(made) - asked} terms are in {path}.")
    say("In Anki choose File, Import, and this file. To import a newer one renews the cards.")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(f"{COMMAND} cards", __doc__)
    parser.add_argument("file", nargs="?", default=ROOT / "cards.txt", help="default: cards.txt")
    return exit_code(export, Path(parser.parse_args(arguments).file).resolve())


if __name__ == "__main__":
    sys.exit(main())
