"""The texts of the exercises: what a file may hold, what it may not, and translations of it."""

import subprocess
import sys
from dataclasses import replace

import pytest

from exercises import texts
from exercises.texts import TextError

ENGLISH = '''\
Chapter: 77_fake

# fake.2: Why?

- difficulty: 3
- minutes: 5

## Task

Why?

## Hint 1

Think.

## Discussion

Therefore.

# fake.1: One more

- difficulty: 1
- minutes: 2
- answer: add_one
- needs: nin.1, nin.2

## Task

Write it:

```text
# not a heading
## not one either
```

### A small heading

## Given

```python
start = 40
```

## Stub

```python
# Your code here.
def add_one(x):
    """With ``` in a line."""
    ...
```

## Hint 1

First.

## Hint 2

Second.

## Solution

```python
# A comment.
def add_one(x):
    return x + 1
```

## Explanation

Because.
'''

CHINESE = """\
msgctxt "fake.1 title"
msgid "One more"
msgstr "加一"

msgctxt "fake.1 task"
msgid "Write it:"
msgstr "写："

msgctxt "fake.1 hint 2"
msgid "Second."
msgstr "第二。"

#, fuzzy
msgctxt "fake.1 hint 1"
msgid "First."
msgstr "第一。"

msgctxt "fake.2 explanation"
msgid "Therefore."
msgstr "所以。"
"""


@pytest.fixture
def write(tmp_path):
    """Writes a file of the group `fake` in a course that has no other; gives the course."""

    def put(text, name="exercises.md"):
        folder = tmp_path / "exercises" / "fake"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return tmp_path

    return put


def test_everything_is_read(write):
    first, second = texts.read("fake", root=write(ENGLISH))
    assert first == texts.Text(
        id="fake.1",
        chapter="77_fake",
        title="One more",
        difficulty=1,
        minutes=2,
        task="Write it:\n\n```text\n# not a heading\n## not one either\n```\n\n### A small heading",
        hints=("First.", "Second."),
        explanation="Because.",
        answer="add_one",
        needs=("nin.1", "nin.2"),
        given="start = 40",
        stub='# Your code here.\ndef add_one(x):\n    """With ``` in a line."""\n    ...',
        solution="# A comment.\ndef add_one(x):\n    return x + 1",
    )
    assert (first.group, first.number, first.is_question) == ("fake", 1, False)
    assert (second.task, second.explanation, second.is_question) == ("Why?", "Therefore.", True)


def test_chapters_and_their_counts(write):
    root = write(ENGLISH)
    assert texts.groups(root) == ["fake"]
    assert [text.id for text in texts.chapters(root=root)["77_fake"]] == ["fake.1", "fake.2"]
    assert texts.counts(root) == {"77_fake": texts.Counts(checked=1, questions=1, minutes=7)}
    with pytest.raises(texts.UnknownExercise, match=r"no exercise 'fake.3'. Did you mean fake\."):
        texts.find("fake.3", root=root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Chapter: 77_fake", "", "line 1: `Chapter: 04_nin` is expected"),
        ("Chapter: 77_fake", "Chapter: 77 fake", "line 1: `Chapter: 04_nin` is expected"),
        ("# fake.2: Why?", "# Why?", "line 3: a heading such as `# fake.1: Title` is expected"),
        ("# fake.2: Why?", "# other.2: Why?", "line 3: a heading such as `# fake.1: Title`"),
        ("# fake.2: Why?", "# fake.2", "line 3: fake.2 has no title"),
        ("# fake.2: Why?", "# fake.1: Why?", "line 20: there are two exercises fake.1"),
        ("# fake.2: Why?\n", "## Task\n\nWhy?\n", "line 3: Task comes before the first exercise"),
        ("- difficulty: 3", "- difficulty: 4", "line 3: fake.2 has the difficulty 4"),
        ("- difficulty: 3", "- level: 3", "line 3: fake.2: `- level: 3` is not `- name: value`"),
        ("- difficulty: 3\n", "", "line 3: fake.2 lacks `- difficulty: …`"),
        ("- minutes: 5", "- minutes: 5\n- minutes: 6", "`- minutes: 6` is not"),
        ("- minutes: 5", "- minutes: five", "takes five minutes; a whole number is expected"),
        ("- minutes: 5", "- minutes: 5\n- answer: x", "open question and has the field `answer`"),
        ("- answer: add_one\n", "", "line 20: fake.1 lacks `- answer: …`"),
        ("add_one\n", "add one\n", "the answer 'add one'; the name of a variable is expected"),
        ("## Discussion", "## Explanation", "lacks the part `## Discussion`"),
        ("## Discussion", "## Answer", "line 16: fake.2 has a part `Answer`; parts are Task"),
        ("## Discussion", "## Hint 1", "line 16: fake.2 has two parts `Hint 1`"),
        ("Therefore.", "", "line 16: Discussion of fake.2 is empty"),
        ("## Hint 1\n\nThink.", "", "fake.2 needs the parts `## Hint 1`"),
        ("## Hint 2", "## Hint 3", "fake.1 needs the parts `## Hint 1`, `## Hint 2` and so on"),
        ("## Given", "## Discussion", "line 38: fake.1 is an exercise with a stub and has a part"),
        ("start = 40\n```", "start = 40", "line 38: Given of fake.1 must be one block"),
        ("x + 1\n```", "x + 1", "line 63: this block of code is not closed with ```"),
        ("```python\nstart = 40\n```", "start = 40", "line 38: Given of fake.1 must be one block"),
        ("start = 40\n", "start = 40\n```\n\n```python\n", "Given of fake.1 must be one block"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_said_with_file_and_line(write, old, new, message):
    assert old in ENGLISH
    with pytest.raises(TextError) as caught:
        texts.read("fake", root=write(ENGLISH.replace(old, new, 1)))
    assert str(caught.value).startswith("exercises/fake/exercises.md, line ")
    assert message in str(caught.value)


def test_a_translation_gives_prose_and_english_the_rest(write):
    root = write(ENGLISH)
    catalogue = root / "translations" / "zh" / "exercises" / "fake.po"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text(CHINESE, encoding="utf-8")
    english, chinese = (texts.read("fake", language, root) for language in ("en", "zh"))
    first, second = chinese
    assert (first.title, first.explanation) == ("加一", "Because.")
    assert first.task == english[0].task.replace("Write it:", "写：")
    assert first.hints == ("First.", "第二。")  # the first one is of an earlier English
    prose = {name: getattr(first, name) for name in ("title", "task", "hints", "explanation")}
    assert first == replace(english[0], **prose)
    assert (second.title, second.task, second.explanation) == ("Why?", "Why?", "所以。")
    assert texts.find("fake.1", "zh", root) == first
    assert texts.chapters("zh", root) == {"77_fake": chinese}
    assert texts.read("fake", "fr", root) == english


def test_the_texts_need_no_package():
    code = "from exercises import record, texts; print(len(texts.chapters()), len(record.table()))"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=texts.ROOT, capture_output=True, encoding="utf-8")
    assert (done.stdout, done.stderr) == ("12 14\n", "")
