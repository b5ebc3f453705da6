"""Texts cut into blocks: what one translates at a time.

A block is a paragraph, a heading, the text of a list item, a row of a table, or a piece of text
between HTML tags. In code it is a comment: the lines of one that has the lines to itself, or what
follows a statement. Blocks of code, formulas on lines of their own, and what has no words in it
are no blocks: they are the same in every language.

What a block says is its `text`, one line. A bound number with its comment,
`.806<!-- =a.json LeNet.median .3f -->`, is a placeholder in it, `{n1}`, and every other HTML
comment is `{c1}`. So a new measurement leaves the text of a block as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

from utils import comments as comments_in_code
from utils.comments import Comment, placed
from utils.results import BINDING

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
FORMULA = re.compile(r"\$\$.+?\$\$|(?<![\\$\d])\$(?![\s$])(?:[^$\\\n]|\\.)+?(?<![\s\\])\$(?!\d)")
TARGET = re.compile(r"(?<=\])\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)")
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
PLACEHOLDER = re.compile(r"\{[nc]\d+\}")
HOLE = re.compile(r"(?<!\{)\{[a-z]\w*\}(?!\})")  # in a message
ADDRESS = re.compile(r"https?://[^\s)>]+")


@dataclass(frozen=True)
class Block:
    """One block of a text: `source[start:end]` is what its translation replaces."""

    text: str
    kind: str  # heading, paragraph, item, row, html, comment (own lines) or remark (behind code)
    start: int
    end: int
    section: str = ""  # the last heading above it
    values: dict[str, str] = field(default_factory=dict)  # what the placeholders stand for

    def filled(self, text: str) -> str:
        """A translation with the numbers and comments in place of the placeholders."""
        return PLACEHOLDER.sub(lambda match: self.values.get(match[0], match[0]), text)


@cache
def parser() -> MarkdownIt:
    """What reads Markdown as the chapters and the site do: CommonMark, tables, `$` formulas."""
    return (
        MarkdownIt("commonmark", {"html": True})
        .enable(["table", "strikethrough"])
        .use(dollarmath_plugin, double_inline=True)
    )


def placeholders(text: str) -> tuple[str, dict[str, str]]:
    """The text with a placeholder for each bound number and HTML comment, and what they are."""
    values: dict[str, str] = {}
    for kind, pattern in (("n", BINDING), ("c", COMMENT)):
        count = 0

        def put(match: re.Match, kind: str = kind) -> str:
            nonlocal count
            count += 1
            values[f"{{{kind}{count}}}"] = match[0]
            return f"{{{kind}{count}}}"

        text = pattern.sub(put, text)
    return text, values


def plain(text: str, mark: str = " ") -> str:
    """The words of a block: without code, formulas, placeholders, tags and targets of links."""
    for pattern in (CODE, FORMULA, COMMENT, TARGET, TAG, PLACEHOLDER, ADDRESS):
        text = pattern.sub(mark, text)
    return text


def has_words(text: str) -> bool:
    """Whether there is anything to translate."""
    return bool(re.search(r"[A-Za-z]{2,}", re.sub(r"\w*_\w*", " ", plain(text))))


# --- Markdown -------------------------------------------------------------------------------------


def cut(source: str) -> list[Block]:
    """The blocks of a Markdown text, in their order."""
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    found: list[Block] = []
    section = ""

    def add(kind: str, start: int, end: int, text: str) -> None:
        text, values = placeholders(re.sub(r"\s*\n\s*", " ", text.strip()))
        if has_words(text):
            found.append(Block(text, kind, start, end, section, values))

    inside: list[str] = []
    for token in parser().parse(source):
        if token.type.endswith("_open"):
            inside.append(token.type.removesuffix("_open"))
        elif token.type.endswith("_close"):
            inside.pop()
        if token.type == "tr_open":
            first = token.map[0]
            indent = len(lines[first]) - len(lines[first].lstrip())
            start, end = starts[first] + indent, starts[first] + len(lines[first].rstrip())
            add("row", start, end, source[start:end])
        elif token.type == "inline" and "table" not in inside:
            if inside[-1] == "heading":
                section = token.content
            kind = "item" if "list_item" in inside and inside[-1] == "paragraph" else inside[-1]
            start, end = _span(token, lines, starts)
            add(kind, start, end, token.content)
        elif token.type == "html_block":
            start, end = starts[token.map[0]], starts[token.map[1]] - 1
            for piece in _between_tags(source, start, end):
                add("html", *piece, source[slice(*piece)])
        elif token.type == "fence":
            inner = starts[token.map[0] + 1]
            kept = "\n".join(lines[token.map[0] + 1 : token.map[1] - 1])
            for block in comments(kept) if _indent(lines[token.map[0]]) == "" else []:
                found.append(
                    replace(
                        block, start=block.start + inner, end=block.end + inner, section=section
                    )
                )
    return found


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t>"))]


def _span(token: Token, lines: list[str], starts: list[int]) -> tuple[int, int]:
    """Where the content of an inline token is: from its first to its last letter."""
    first, last = token.map[0], token.map[1] - 1
    head, tail = token.content.split("\n")[0], token.content.split("\n")[-1].rstrip()
    at = lines[first].rfind(head)
    return starts[first] + at, starts[last] + lines[last].rfind(tail) + len(tail)


def _between_tags(source: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The pieces of text in a block of HTML, without the space around them."""
    at = start
    for match in re.compile(rf"{COMMENT.pattern}|{TAG.pattern}|\Z", re.DOTALL).finditer(
        source, start, end
    ):
        text = source[at : match.start()]
        if text.strip():
            left = at + len(text) - len(text.lstrip())
            yield left, left + len(text.strip())
        at = match.end()


def replaced(source: str, blocks: Iterable[Block], translate: Callable[[Block], str]) -> str:
    """The text with the translation of each block; an empty one leaves the block as it is."""
    parts, at = [], 0
    for block in sorted(blocks, key=lambda block: block.start):
        translation = translate(block)
        if translation:
            parts += [source[at : block.start], _placed(source, block, block.filled(translation))]
            at = block.end
    return "".join([*parts, source[at:]])


def _placed(source: str, block: Block, text: str) -> str:
    """The translation as it stands in the source: a comment is wrapped and has its signs."""
    if block.kind not in ("comment", "remark"):
        return text
    comment = Comment(block.text, block.kind == "comment", block.start, block.end)
    return placed(source, comment, text)


# --- comments in code -----------------------------------------------------------------------------


def comments(code: str) -> list[Block]:
    """The comments of a piece of Python, or of commands; none where it is not complete."""
    found = [
        Block(c.text, "comment" if c.own else "remark", c.start, c.end)
        for c in comments_in_code.comments(code)
    ]
    return [block for block in found if has_words(block.text)]
