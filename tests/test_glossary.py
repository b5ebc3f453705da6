"""docs/glossary.md: in order, whole rows, and every term in the prose of the chapter it names."""

import re

import pytest
import stored

from tools import authoring

PAGE = authoring.ROOT / "docs" / "glossary.md"
ROW = re.compile(r"\| (.+?) \| (.+?) \| (.+?) \| \[(\d+)\]\(\.\./chapters/(\w+)\.ipynb\) \|")
LINES = PAGE.read_text(encoding="utf-8").partition("|---|---|---|---|\n")[2].splitlines()
ROWS = [ROW.fullmatch(line).groups() for line in LINES]
# Words that an earlier chapter uses in another sense: "never blocks the way", the kernel of a
# notebook, a box function, two groups of points, the title of a paper.
OTHER_SENSE = {"block", "kernel", "box", "groups", "residual"}


def prose(stem):
    """What a reader reads: without code, comments, targets of links and the generated header."""
    cells = [c for c in stored.chapter(stem).cells if c.cell_type == "markdown"]
    text = "\n".join(c.source for c in cells if c.metadata.get("role") != "header")
    for noise in (r"```.*?```", r"<!--.*?-->", r"`[^`\n]*`", r"\]\([^)]*\)"):
        text = re.sub(noise, " ", text, flags=re.DOTALL)
    return re.sub(r"[*\s]+", " ", text)


@pytest.fixture(scope="module")
def chapters():
    return {stem: prose(stem) for stem in stored.STEMS}


def occurs(term, text):
    return re.search(rf"(?<!\w){re.escape(term)}(s|es)?(?!\w)", text, re.IGNORECASE)


def test_terms_are_sorted_and_unique():
    terms = [row[0].lower() for row in ROWS]
    assert terms == sorted(terms)
    assert len(set(terms)) == len(terms) > 90


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_term_is_explained_and_first_stands_in_its_chapter(row, chapters):
    term, chinese, sentence, number, stem = row
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert re.fullmatch(r"[A-Z].*\.", sentence) and ". " not in sentence
    assert int(number) == int(stem[:2])
    assert occurs(term, chapters[stem])
    if term not in OTHER_SENSE:
        assert not [name for name in chapters if name < stem and occurs(term, chapters[name])]


def test_the_page_is_linked():
    assert "](docs/glossary.md)" in (authoring.ROOT / "README.md").read_text(encoding="utf-8")
    for stem in stored.STEMS:
        assert "](../docs/glossary.md)" in stored.chapter(stem).cells[0].source
