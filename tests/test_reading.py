"""How much of a chapter is to be read, and how hard it is: the limits, and how they are counted."""

import re

import pytest
import stored

from tools import authoring, reading
from tools.authoring import code, markdown


@pytest.mark.parametrize("stem", stored.STEMS)
def test_a_chapter_is_within_the_limits(stem):
    nb = stored.chapter(stem)
    assert reading.above_limits(reading.read(nb, stem), nb) == []


def sections_minutes(nb):
    """What each Deeper section of a chapter says about its length: minutes, or None."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    sections = re.findall(r"^## Deeper: .*\n(?:(?!#).*\n?)*", text, re.MULTILINE)
    found = [re.search(r"(?:[Aa]bout |\(|, )(\d+) minutes", section) for section in sections]
    return [int(match[1]) if match else None for match in found]


@pytest.mark.parametrize("stem", stored.STEMS)
def test_the_minutes_of_the_deeper_sections_add_up(stem):
    """A chapter says how long each of its Deeper sections takes, or says it of none."""
    nb = stored.chapter(stem)
    about, minutes = nb.metadata["course"], sections_minutes(nb)
    if any(minutes):
        assert None not in minutes
        assert about["main_minutes"] + sum(minutes) == about["minutes"]


def book(*cells, **about):
    return authoring.notebook(list(cells), title="A", minutes=20, **about)


def test_the_main_path_is_what_no_deeper_section_holds():
    nb = book(
        markdown("What is it?"),
        code("1 + 1"),
        markdown("One two three.\n\n## Deeper: More\n\nfour five"),
        markdown("six"),
        markdown("## Summary\n\nseven"),
        markdown("## Deeper: Still more"),
        code("2 + 2"),
        markdown("### Inside\n\neight"),
        markdown("## Sources\n\nnine"),
    )
    assert [part for part, _ in reading.parts(nb)] == [
        "main", "main", "deeper", "deeper", "main", "deeper", "deeper", "deeper", "sources",
    ]  # fmt: skip


def test_words_of_comments_code_and_links_are_not_read():
    text = "A [long link](../docs/glossary.md) <!-- claim: 1.2 --> of `some code here` and $a b c$."
    assert reading.visible_words(text) == 7  # A long link of x and x
    assert reading.visible_words("| a | b |\n|---|---|\n| 1 | 2.5 |") == 4


def test_a_cell_has_the_words_that_stand_in_it():
    text = "A [long link](../docs/a b.md) <!-- claim: 1.2 --> of `some code` and\n<b>$a b$</b>."
    assert reading.plain_words(text) == 9  # A [long link] of `some code` and $a b$.
    assert reading.plain_words("| a | b |\n|---|---|\n```python\nx = 1\n```") == 11


def test_hints_tables_and_sources_are_held_to_the_limit_of_a_cell():
    long = "word " * 181
    fold = markdown(f"<details>\n<summary>Hint 1</summary>\n\n{long}\n\n</details>")
    fold.metadata["role"] = "help"
    nb = book(fold, markdown(f"| {long} |\n|---|"), markdown("`a b` " * 91),
              markdown(f"## Sources\n\n{long}"), markdown("word " * 180))  # fmt: skip
    lines = reading.above_limits(reading.read(nb, "00_a"), nb)
    assert [line.split(":")[1] for line in lines if line.startswith("cell")] == [
        f" {words} words; at most 180" for words in (183, 184, 182, 183)
    ]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two? Three", 3),
        ("It is .5 or 3.5, as in Fig. 2 of Lin et al. 2014, by M. Lin.", 1),
        ("See [the page](a.md). *Then* go on.", 2),
        ("- one item.\n- another item.", 2),
        ("| a table. | is none. |\n|---|---|\n| A. | B. |", 0),
    ],
)
def test_sentences(text, sentences):
    assert sum(len(p.sentences) for p in reading.paragraphs(text)) == sentences


def test_measured_numbers_are_counted_in_sentences_and_paragraphs():
    bound = ".806<!-- =published/d2l_summary.json LeNet.median .3f -->"
    nb = book(
        markdown(f"One is {bound}. Another is {bound}."),
        markdown(f"From {bound} to {bound}."),
        markdown(f"| {bound} | {bound} |\n|---|---|\n| {bound} | {bound} |"),
    )
    chapter = reading.read(nb, "00_a")
    assert [p.numbers for p in chapter.main] == [2, 2]
    lines = reading.above_limits(chapter, nb)
    assert [line for line in lines if "measured" in line] == [
        f"cell {nb.cells[1].id}: 2 measured numbers in: From .806• to .806•."
    ]


def test_easy_text_is_easier_than_hard_text():
    easy = reading.paragraphs("The cat sat on the mat. It was a warm day, and it fell asleep.")
    hard = reading.paragraphs(
        "Notwithstanding considerable methodological heterogeneity, investigators consistently "
        "characterised optimisation trajectories quantitatively."
    )
    assert reading.ease(easy) > 90 and reading.ease(hard) < 0


def test_syllables():
    words = {"average": 3, "only": 2, "convolution": 4, "global-average": 5, "x": 1, "1,000": 1}
    assert {word: reading._syllables(word) for word in words} == words


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("It is right but for one image.", ["but for"]),
        ("The loss stands at ln 10, all the\nsame.", ["all the same", "stands at"]),
        ("Everyone understands at once, all the same weights are used.", ["all the same"]),
        ('An article says *"thereby the computation"* and `nor`.', []),
        ("<!-- claim: nor -->\n```python\nx = 1  # hence\n```", []),
        ("A tensor, an anchor, hence a chord.", ["hence"]),
    ],
)
def test_phrases_that_readers_stumble_over(sentence, found):
    lines = reading.hard_phrases(sentence)
    assert sorted(line.split('"')[1] for line in lines) == sorted(found)


def test_every_limit_is_felt():
    nb = book(
        markdown("word " * 2501),
        code("\n".join(f"a{n} = {n}" for n in range(26))),
        main_minutes=76,
    )
    text = "\n".join(reading.above_limits(reading.read(nb, "04_nin"), nb))
    for part in ("2501 words on the main path", "76 minutes", "0 figures", "words in a sentence",
                 "2501 words; at most 180", "26 lines of code"):  # fmt: skip
        assert part in text, part
    assert "minutes" not in "\n".join(reading.above_limits(reading.read(nb, "08_resnet"), nb))
