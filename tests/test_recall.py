"""The questions of docs/recall.toml: five a chapter, each resting on something; and the cards."""

import csv
import io
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser

import pytest
import stored

from tools import ROOT, CourseError, authoring, numbers_in_text, reading, recall

QUESTIONS = recall.questions()
CLAIMS = {
    claim["id"]: claim
    for claim in tomllib.loads((ROOT / "docs" / "claims.toml").read_text("utf-8"))["claim"]
}
TERMS = {term.english: term for term in recall.terms()}
ASKING = [stem for stem in stored.STEMS if int(stem[:2]) >= 1]
PLAIN = re.compile(r"<!--.*?-->|\$[^$]+\$|`[^`]+`|\*")


def rests_on_nothing(question):
    """Why the claim or the term of a question is not one that its chapter can ask for; or None."""
    if bool(question.claim) == bool(question.term):
        return "it names one claim or one term, not both and not neither"
    found, known = (question.claim, CLAIMS) if question.claim else (question.term, TERMS)
    if found not in known:
        return f"there is no {found!r}"
    entry = known[found]
    first = entry["chapter"] if question.claim else entry.chapter
    return f"{found!r} comes in {first} only" if first > question.chapter else None


@pytest.mark.parametrize("stem", ASKING)
def test_a_chapter_has_five_different_questions(stem):
    asked = recall.questions(stem)
    assert len(asked) == 5 == len({q.question for q in asked})
    assert len({q.claim or q.term for q in asked}) == 5


@pytest.mark.parametrize(
    "question", QUESTIONS, ids=lambda q: f"{q.chapter[:2]}-{q.claim or q.term}"
)
def test_a_question_rests_on_a_claim_or_a_term(question):
    assert rests_on_nothing(question) is None


def test_what_a_question_cannot_rest_on_is_found():
    asked = {"chapter": "04_nin", "question": "Why?", "answer": "So."}
    for source, message in (
        ({"claim": "9.9"}, "there is no '9.9'"),
        ({"term": "perceptron soup"}, "there is no 'perceptron soup'"),
        ({"claim": "4.25"}, "'4.25' comes in 09_mobilenet only"),
        ({"term": "shortcut"}, "'shortcut' comes in 05_one_by_one_convolution only"),
        ({}, "it names one claim or one term, not both and not neither"),
        ({"claim": "0.3", "term": "mlpconv"}, "it names one claim or one term"),
    ):
        assert rests_on_nothing(recall.Question(**asked, **source)).startswith(message)
    assert rests_on_nothing(recall.Question(**asked, term="bias")) is None


@pytest.mark.parametrize(
    "question", QUESTIONS, ids=lambda q: f"{q.chapter[:2]}-{q.claim or q.term}"
)
def test_a_question_is_one_line_and_its_answer_short(question):
    assert "\n" not in question.question + question.answer
    assert question.question.endswith("?") and "$" not in question.question  # no MathJax in a fold
    assert question.answer.endswith(".")
    assert len(re.findall(r"\w+", PLAIN.sub("x", question.question))) <= 24
    for text in (question.question, question.answer):
        sentences = [s for p in reading.paragraphs(text) for s in p.sentences]
        assert 1 <= len(sentences) <= 2
        assert max(len(reading.words(sentence)) for sentence in sentences) <= 20, sentences
        assert reading.hard_phrases(text) == []


def test_the_questions_are_plain_english():
    text = [p for q in QUESTIONS for p in reading.paragraphs(f"{q.question}\n\n{q.answer}")]
    assert reading.ease(text) >= reading.EASE
    assert reading.words_in_sentences(text) <= 12


def test_measured_numbers_are_brought_up_to_date():
    assert recall.QUESTIONS in numbers_in_text.bound_files()


@pytest.mark.parametrize("stem", stored.STEMS)
def test_a_chapter_asks_where_its_main_path_ends(stem):
    cells = stored.chapter(stem).cells
    places = [i for i, cell in enumerate(cells) if cell.metadata.get("role") == "recall"]
    assert len(places) == (stem in ASKING)
    for place in places:
        assert cells[place].source == recall.cell(stem)
        assert cells[place + 1].source.startswith("## Deeper: ")
        assert not any(cell.source.startswith("## Deeper: ") for cell in cells[:place])


def chapter_of(*sources):
    cells = [authoring.markdown(source) for source in sources]
    return authoring.notebook(cells, title="NiN", minutes=60)


def roles(nb):
    return [cell.metadata.get("role", cell.source[:5]) for cell in nb.cells]


def test_the_questions_are_generated_once_and_renewed():
    nb = chapter_of("Why?", "## Summary", "## Sources\n\n- one")
    once = authoring.refresh(nb, "04_nin")
    assert roles(once)[-3:] == ["## Su", "recall", "## So"]
    assert once.cells[-2].id == "recall"
    once.cells[-2].source = "typed by hand"
    again = authoring.refresh(once, "04_nin")
    assert roles(again) == roles(once) and again.cells[-2].source == recall.cell("04_nin")
    again.cells.insert(-1, authoring.markdown("## Deeper: more"))
    assert roles(authoring.refresh(again, "04_nin"))[-3:] == ["recall", "## De", "## So"]


def test_without_sources_they_end_the_chapter_and_chapter_0_has_none():
    assert roles(authoring.refresh(chapter_of("Why?", "End"), "04_nin"))[-1] == "recall"
    assert "recall" not in roles(authoring.refresh(chapter_of("Why?", "End"), "00_start_here"))


def test_answers_are_folded():
    text = recall.cell("04_nin")
    assert text.count("<details>\n<summary>") == 5 == text.count("\n\n</details>")
    for number, asked in enumerate(recall.questions("04_nin"), start=1):
        assert f"<summary>{number}. " in text and f"</summary>\n\n{asked.answer}\n\n" in text


@pytest.mark.parametrize(
    "entry", ['chapter = "04_nin"\nquestion = "Why?"', 'answr = "x"', "chapter = ", ""]
)
def test_a_broken_file_gets_one_sentence(entry, tmp_path, monkeypatch):
    broken = tmp_path / "recall.toml"
    broken.write_text(f"[[question]]\n{entry}\n" if entry else "# nothing\n", encoding="utf-8")
    monkeypatch.setattr(recall, "QUESTIONS", broken)
    with pytest.raises(CourseError, match=r"docs/recall.toml cannot be read .* its head says"):
        recall.questions()


# --- cards ----------------------------------------------------------------------------------------


class Closed(HTMLParser):
    """Whether every tag that opens is closed, in order."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.open += [tag] if tag not in ("br", "img") else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_file_is_what_anki_reads(tmp_path):
    file = tmp_path / "cards.txt"
    command = [sys.executable, "-m", "tools.recall", str(file)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert said.returncode == 0, said.stderr
    lines = file.read_bytes().decode("utf-8").split("\n")
    head = [line for line in lines if line.startswith("#")]
    assert head == lines[: len(head)] == list(recall.HEADERS)
    rows = list(csv.reader(io.StringIO("\n".join(lines[len(head) :])), delimiter="\t"))
    asked = 5 * len(ASKING)
    assert len(rows) == asked + len(TERMS) and str(asked) in said.stdout
    assert len({row[0] for row in rows}) == len(rows), (
        "Anki takes a first field that is there for the same card"
    )
    for row in rows:
        front, back, tags = row  # two fields and the tags in the third column
        assert front and back and not re.search(r"[\t\r\n]", front + back)
        assert Closed(front).open == Closed(back).open == []
        kind, chapter = tags.split(" ")
        assert kind in ("question", "term") and chapter in stored.STEMS
        assert "<!--" not in front + back and "$" not in front + back and "`" not in front + back
    chinese = [row for row in rows if row[2].startswith("term ")]
    assert all(re.search(r"<br>.*[\u4e00-\u9fff]", row[1]) for row in chinese)


def test_markdown_becomes_html():
    bound = ".806<!-- =published/d2l_summary.json LeNet.median .3f -->"
    for text, wanted in (
        ("`zero_grad()` and *this*", "<code>zero_grad()</code> and <em>this</em>"),
        ("`a < b`\nnext", "<code>a &lt; b</code> next"),
        (r"$\ln 10 < 3$ it is", r"\(\ln 10 &lt; 3\) it is"),
        (f"It is {bound}.", "It is .806."),
        ("1 < 2 & 3", "1 &lt; 2 &amp; 3"),
    ):
        assert recall.as_html(text) == wanted


def test_quotes_and_tabs_stay_in_their_field():
    card = recall.Card('a "quoted"\tword', "b", ("term", "04_nin"))
    row = recall.as_text([card]).splitlines()[len(recall.HEADERS)]
    assert next(csv.reader([row], delimiter="\t")) == ['a "quoted"\tword', "b", "term 04_nin"]
