"""For authors: how much of a chapter is to be read, and how hard it is to read.

    python -m tools.reading          # a row for each chapter
    python -m tools.reading 06       # and what is above a limit in chapter 6, cell by cell

The main path is everything outside the sections whose heading begins "Deeper:". Counted are its
words: those of hints and solutions, the five questions, headings, sources and comments are
not. The tests hold every chapter to the limits below.

The words of a cell are counted more plainly: all that it holds, also hints, solutions, tables and
sources. A piece of code or a formula has as many words as it has parts between spaces. Only
comments, tags and the targets of links are left out.

Reading ease is Flesch's: 206.835 - 1.015 words per sentence - 84.6 syllables per word (R. Flesch,
A new readability yardstick, 1948). Syllables are counted by pyphen's hyphens, which miss some: the
ease comes out 4 to 5 points too high, and so the limit is 70 where 65 is meant. A formula, a number
or a piece of code is a word of one syllable. (textstat counts better, and fetches a dictionary when
it runs.)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from nbformat import NotebookNode

from tools import Parser, authoring
from utils import text_table

WORDS_ON_MAIN_PATH = 2500
MAIN_MINUTES = {5: 90, 6: 90, 8: 90, 9: 90, 10: 90, 11: 120}  # of the main path; others 75
WORDS_IN_A_CELL = 180
STILL_LONGER = {  # cells of Markdown that are not yet shortened; none is added
    "nin-6-help",  # 04
    "one_by_one-6-help",
    "one_by_one-2-help",
    "one_by_one-7-help",
    "one_by_one-8-help",
    "5-sources",  # 05
    "choosing-7-help",  # 10
}
LINES_OF_CODE = 25
WORDS_IN_A_SENTENCE = 14  # on average
EASE = 70
NUMBERS_IN_A_SENTENCE = 1  # measured ones
NUMBERS_IN_A_PARAGRAPH = 3
FIGURES = 8

# Phrases over which readers of level B1 stumbled, and a plain way to say each.
PHRASES = {
    r"but for": "except",
    r"all the same": "still",
    r"graver": "worse, more serious",
    r"bears? the": "say what it does",
    r"stands? (at|in|for|on|above|below|under|beside|before|after|there)": "is",
    r"next to nothing": "negligible, almost nothing",
    r"has to work on are": "say what it gets",
    r"speaks? (for|against)": "is a reason for",
    r"does away with": "removes",
    r"be it": "whether",
    r"nor": "and not",
    r"thereby": "so",
    r"hence": "so",
    r"the (former|latter)": "name it again",
    r"no matter how": "however",
    r"save for": "except",
    r"lest": "so that … not",
    r"whilst": "while",
    r"albeit": "although",
    r"in vain": "without success",
    r"what is more": "also",
    r"makes up for": "balances",
    r"owing to": "because of",
}
_PHRASE = {re.compile(rf"\b(?:{phrase})\b", re.I): plain for phrase, plain in PHRASES.items()}

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BOUND = re.compile(r"(?P<number>[-−+]?[\d.,]*\d(?:e[-+]?\d+)?%?)<!-- =.*?-->")
_END = re.compile(  # of a sentence
    r"(?<=[.!?:])(?<!\b[A-Z]\.)(?<!\bFig\.)(?<!\bal\.)(?<!e\.g\.)(?<!i\.e\.)"
    r"[\"”’)*\]]*\s+(?=[\"“(*\[]*[A-Z0-9])"
)
_MARK = "\N{BULLET}"  # behind a measured number


@dataclass(frozen=True)
class Paragraph:
    """A paragraph, list item or quotation of a cell, as a reader sees it.

    text has `x` in place of each formula and piece of code, and a mark behind measured numbers.
    """

    cell: str
    text: str

    @property
    def sentences(self) -> list[str]:
        return [part.strip() for part in _END.split(self.text) if re.search(r"\w", part)]

    @property
    def numbers(self) -> int:
        return self.text.count(_MARK)


@dataclass(frozen=True)
class Chapter:
    """What there is to read in a chapter."""

    stem: str
    main: tuple[Paragraph, ...]
    deeper: tuple[Paragraph, ...]
    main_words: int
    cells: Mapping[str, int]  # words of each Markdown cell, counted plainly
    code: Mapping[str, int]  # lines of each code cell
    figures: int
    minutes: int
    main_minutes: int


def parts(nb: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Each cell with the part it belongs to: "main", "deeper" or "sources"."""
    part = "main"
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^## .*", cell.source, re.M):
                if heading.startswith(authoring.DEEPER):
                    part = "deeper"
                else:
                    part = "sources" if heading.startswith("## Sources") else "main"
        yield part, cell


def paragraphs(source: str, cell: str = "") -> list[Paragraph]:
    """The paragraphs of a Markdown text; tables, code, headings and comments are none."""
    source = _COMMENT.sub("", _BOUND.sub(rf"\g<number>{_MARK}", source))
    source = re.sub(r"\$\$.+?\$\$", "", source, flags=re.DOTALL)
    source = re.sub(r"\$[^$\n]+\$", "`x`", source)
    found, tokens = [], MarkdownIt().enable("table").parse(source)
    for before, token in pairwise(tokens):
        if token.type == "inline" and before.type == "paragraph_open":
            children = token.children or []
            pieces = ["x" if c.type == "code_inline" else c.content for c in children]
            breaks = [c.type in ("softbreak", "hardbreak") for c in children]
            text = "".join(" " if b else piece for piece, b in zip(pieces, breaks))
            text = re.sub(r"<[^>]+>", "", text)
            if re.search(r"\w", text):
                found.append(Paragraph(cell, text))
    return found


def words(text: str) -> list[str]:
    """The words of a text, numbers among them; signs that stand alone are none."""
    return [word for word in text.split() if re.search(r"\w", word)]


def visible_words(source: str) -> int:
    """How many words a cell shows, tables included, code and formulas on lines of their own not."""
    source = re.sub(r"```.*?```|\$\$.*?\$\$", "", _COMMENT.sub("", source), flags=re.DOTALL)
    source = re.sub(r"\]\([^)]*\)", "]", source)
    return len(words(re.sub(r"`[^`\n]+`|\$[^$\n]+\$", "x", source)))


def plain_words(source: str) -> int:
    """How many words a cell has: all but comments, tags and the targets of links."""
    source = re.sub(r"\]\([^)]*\)", "]", _COMMENT.sub("", source))
    return len(re.sub(r"<[^>]+>", "", source).split())


@cache
def _syllables(word: str) -> int:
    import pyphen

    parts = re.findall(r"[a-z]+", word.lower())
    hyphens = pyphen.Pyphen(lang="en_US")
    return max(1, sum(hyphens.inserted(part).count("-") + 1 for part in parts))


def ease(paragraphs: Sequence[Paragraph]) -> float:
    """Flesch's reading ease of a text: 60 to 70 is plain English, 70 to 80 fairly easy."""
    sentences = [s for paragraph in paragraphs for s in paragraph.sentences]
    spoken = [word for sentence in sentences for word in words(sentence)]
    syllables = sum(_syllables(word) for word in spoken)
    per_sentence = len(spoken) / max(1, len(sentences))
    return 206.835 - 1.015 * per_sentence - 84.6 * syllables / max(1, len(spoken))


def read(nb: NotebookNode, stem: str) -> Chapter:
    """What there is to read in a notebook."""
    text: dict[str, list[Paragraph]] = {"main": [], "deeper": [], "sources": []}
    cells, code, main_words, figures = {}, {}, 0, 0
    for part, cell in parts(nb):
        role = cell.metadata.get("role")
        if cell.cell_type == "markdown":
            cells[cell.id] = plain_words(cell.source)
        if cell.cell_type == "code":
            code[cell.id] = len(cell.source.rstrip().splitlines())
            figures += sum("image/png" in output.get("data", {}) for output in cell.outputs)
        elif role not in ("header", "help", "recall") and part != "sources":
            prose = re.sub(r"^#+ .*$", "", cell.source, flags=re.M)
            text[part] += paragraphs(cell.source, cell.id)
            main_words += visible_words(prose) if part == "main" else 0
    about = nb.metadata["course"]
    return Chapter(
        stem, tuple(text["main"]), tuple(text["deeper"]), main_words, cells, code, figures,
        about["minutes"], about.get("main_minutes", about["minutes"]),
    )  # fmt: skip


def above_limits(chapter: Chapter, nb: NotebookNode) -> list[str]:
    """What is harder or longer than the course allows, one line each."""
    found = []
    if chapter.main_words > WORDS_ON_MAIN_PATH:
        found.append(f"{chapter.main_words} words on the main path; at most {WORDS_ON_MAIN_PATH}")
    limit = MAIN_MINUTES.get(int(chapter.stem[:2]), 75)
    if chapter.main_minutes > limit:
        found.append(f"{chapter.main_minutes} minutes for the main path; at most {limit}")
    if int(chapter.stem[:2]) and chapter.figures < FIGURES:
        found.append(f"{chapter.figures} figures; at least {FIGURES}")
    if (now := ease(chapter.main)) < EASE:
        found.append(f"reading ease {now:.0f}; at least {EASE}")
    if (mean := words_in_sentences(chapter.main)) > WORDS_IN_A_SENTENCE:
        found.append(f"{mean:.1f} words in a sentence on average; at most {WORDS_IN_A_SENTENCE}")
    for id, count in chapter.cells.items():
        if count > WORDS_IN_A_CELL and id not in STILL_LONGER:
            found.append(f"cell {id}: {count} words; at most {WORDS_IN_A_CELL}")
    for id, count in chapter.code.items():
        if count > LINES_OF_CODE:
            found.append(f"cell {id}: {count} lines of code; at most {LINES_OF_CODE}")
    for paragraph in chapter.main + chapter.deeper:
        if paragraph.numbers > NUMBERS_IN_A_PARAGRAPH:
            found.append(
                f"cell {paragraph.cell}: {paragraph.numbers} measured numbers in: "
                f"{paragraph.text[:70]}"
            )
        found += [
            f"cell {paragraph.cell}: {sentence.count(_MARK)} measured numbers in: {sentence[:70]}"
            for sentence in paragraph.sentences
            if sentence.count(_MARK) > NUMBERS_IN_A_SENTENCE
        ]
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            found += [f"cell {cell.id}: {line}" for line in hard_phrases(cell.source)]
    return found


def hard_phrases(source: str) -> list[str]:
    """A line for each phrase of a Markdown text that readers stumble over."""
    prose = re.sub(r"```.*?```|<!--.*?-->", "", source, flags=re.DOTALL)
    prose = re.sub(r"`[^`\n]+`|\*[\"“].*?[\"”]\*", "", prose)  # nor what others say
    return [
        f'"{match[0]}": say: {plain}'
        for pattern, plain in _PHRASE.items()
        for match in pattern.finditer(" ".join(prose.split()))
    ]


def words_in_sentences(paragraphs: Sequence[Paragraph]) -> float:
    """The mean number of words in a sentence."""
    counts = [len(words(s)) for paragraph in paragraphs for s in paragraph.sentences]
    return sum(counts) / max(1, len(counts))


def row(chapter: Chapter) -> list[str]:
    """A chapter's row of the table."""
    return [
        chapter.stem, f"{chapter.main_words:,}", f"{chapter.main_minutes}/{chapter.minutes}",
        str(max(chapter.cells.values())), str(max(chapter.code.values())),
        str(sum(paragraph.numbers for paragraph in chapter.main)), str(chapter.figures),
        f"{words_in_sentences(chapter.main):.1f}", f"{ease(chapter.main):.0f}",
        f"{ease(chapter.deeper):.0f}" if chapter.deeper else "",
    ]  # fmt: skip


COLUMNS = [
    "chapter", "words", "minutes", "longest cell", "code", "numbers", "figures",
    "words/sentence", "ease", "deeper",
]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = Parser("tools.reading", __doc__)
    parser.add_argument("chapters", nargs="*", metavar="chapter", help="06 or 06_global…")
    options = parser.parse_args(arguments)
    numbers = [name[:2] for name in options.chapters]
    stems = [stem for stem in authoring.stems() if not numbers or stem[:2] in numbers]
    books = {stem: authoring.load(stem) for stem in stems}
    chapters = {stem: read(nb, stem) for stem, nb in books.items()}
    print("\n".join(text_table.lines([COLUMNS, *map(row, chapters.values())])))
    if numbers:
        for stem, chapter in chapters.items():
            for line in above_limits(chapter, books[stem]):
                print(f"{stem[:2]}: {line}")
            longest = [s for p in chapter.main for s in p.sentences if len(words(s)) > 20]
            print(f"{stem[:2]}: {len(longest)} sentences on the main path have more than 20 words:")
            for sentence in sorted(longest, key=lambda s: -len(words(s)))[:15]:
                print(f"    {len(words(sentence))}: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
