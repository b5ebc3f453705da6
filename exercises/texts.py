"""The texts of the exercises: everything that a person reads, without torch and without the checks.

Each group of exercises is a folder, `exercises/nin`, and its texts are one Markdown file,
`exercises/nin/exercises.md`:

    Chapter: 04_nin

    # nin.2: The mlpconv block

    - difficulty: 2
    - minutes: 10
    - answer: mlpconv
    - needs: nin.1

    ## Task
    ## Given
    ## Stub
    ## Hint 1
    ## Hint 2
    ## Solution
    ## Explanation

`difficulty` is 1 to 3. `answer` is the name that the stub defines. `needs` (optional) lists
exercises whose right answers the code uses, and `Given` (optional) is code that runs before the
answer: what the chapter has defined by then. Given, Stub and Solution are each one block of code,

    ```python
    def mlpconv(in_channels, widths, kernel_size): ...
    ```

and complete cells, formatted as ruff does. All other parts are Markdown. An open question has no
`answer`, and only the parts Task, Hint 1 and so on, and Discussion. Lines that begin with # inside
a block of code are no headings.

A translation is a catalogue, `translations/zh/exercises/nin.po`: each block of title, task, hints,
explanation and discussion (`tools.translation.blocks`) in the other language. A block that is not
translated is English. Ids, numbers and code are always those of the English file; comments of stub
and solution are blocks too.

Standard library only, so that progress and resets work where the course's packages are missing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from utils.comments import with_comments
from utils.language import catalogue

ROOT = Path(__file__).resolve().parents[1]


class TextError(ValueError):
    """A file of texts is malformed; the message names the file and the line."""


class WithoutTraceback(Exception):
    """Jupyter (and so nbval) shows the message alone."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class UnknownExercise(WithoutTraceback, LookupError):
    """There is no exercise with this id."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """The text of one exercise. The module's docstring says what the fields mean.

    An open question has neither `answer`, `stub` nor `solution`; its discussion is `explanation`.
    """

    id: str
    chapter: str
    title: str
    difficulty: int
    minutes: int
    task: str
    hints: tuple[str, ...]
    explanation: str
    answer: str = ""
    needs: tuple[str, ...] = ()
    given: str = ""
    stub: str = ""
    solution: str = ""

    @property
    def group(self) -> str:
        """The folder, and the first half of the id: `nin` for `nin.2`."""
        return self.id.partition(".")[0]

    @property
    def number(self) -> int:
        """The second half of the id: 2 for `nin.2`."""
        return int(self.id.partition(".")[2])

    @property
    def is_question(self) -> bool:
        """Whether it is an open question, which has no stub and no check."""
        return not self.stub


@dataclass(frozen=True)
class Counts:
    """What one chapter has to solve, and the minutes that its exercises take all together."""

    checked: int
    questions: int
    minutes: int


# --- finding --------------------------------------------------------------------------------------


def groups(root: Path = ROOT) -> list[str]:
    """The folders that hold exercises: `["alexnet", "choosing", …]`."""
    return sorted(path.parent.name for path in (root / "exercises").glob("*/exercises.md"))


def read(group: str, language: str = "en", root: Path = ROOT) -> list[Text]:
    """The exercises of one group in the order of their numbers; TextError if a file is malformed.

    What is not translated into `language` is English.
    """
    folder = root / "exercises" / group
    found = _english(folder / "exercises.md")
    if language != "en":
        known = catalogue(f"exercises/{group}", language, root)
        found = [_translated(text, known) for text in found]
    return sorted(found, key=lambda text: text.number)


def chapters(language: str = "en", root: Path = ROOT) -> dict[str, list[Text]]:
    """`{"00_start_here": [its exercises], …}`, in the order of the chapters."""
    found: dict[str, list[Text]] = {}
    for group in groups(root):
        for text in read(group, language, root):
            found.setdefault(text.chapter, []).append(text)
    return dict(sorted(found.items()))


def find(id: str, language: str = "en", root: Path = ROOT) -> Text:
    """The exercise with this id; UnknownExercise names the ids that are most like it."""
    group = str(id).partition(".")[0]
    for text in read(group, language, root) if group in groups(root) else []:
        if text.id == id:
            return text
    raise unknown(id, root)


def unknown(id: object, root: Path = ROOT) -> UnknownExercise:
    """What to raise where there is no exercise with this id."""
    known = [text.id for texts in chapters(root=root).values() for text in texts]
    near = difflib.get_close_matches(str(id).lower(), known, n=3, cutoff=0.65)
    advice = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(known)}."
    return UnknownExercise(f"There is no exercise {id!r}. {advice}")


def counts(root: Path = ROOT) -> dict[str, Counts]:
    """What each chapter has to solve: `{"04_nin": Counts(checked=7, questions=1, minutes=99)}`."""
    return {
        chapter: Counts(
            checked=sum(not text.is_question for text in texts),
            questions=sum(text.is_question for text in texts),
            minutes=sum(text.minutes for text in texts),
        )
        for chapter, texts in chapters(root=root).items()
    }


# --- reading a file -------------------------------------------------------------------------------

PROSE = ("Task", "Explanation", "Discussion")  # and the hints
CODE = ("Given", "Stub", "Solution")
FIELDS = ("difficulty", "minutes", "answer", "needs")


@dataclass
class _Raw:
    """One exercise as the file has it: fields and parts by name, each with its line."""

    id: str
    title: str
    line: int
    fields: dict[str, tuple[int, str]] = field(default_factory=dict)
    parts: dict[str, tuple[int, str]] = field(default_factory=dict)

    def hints(self) -> dict[int, str]:
        return {int(n[5:]): text for n, (_, text) in self.parts.items() if n.startswith("Hint ")}


def _error(path: Path, line: int, problem: str) -> TextError:
    return TextError(f"{'/'.join(path.parts[-3:])}, line {line}: {problem}")


def _blocks(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, heading, text below it) for each heading of level 1 and 2; the first has none."""
    line, heading, body = 1, "", []
    fence, opened = "", 0
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        mark = re.match(r"\s*(`{3,}|~{3,})", text)
        if mark and not fence:
            fence, opened = mark[1], number
        elif fence and text.strip().startswith(fence) and not text.strip(" `~"):
            fence = ""
        elif not fence and re.match(r"##? ", text):
            yield line, heading, "\n".join(body).strip()
            line, heading, body = number, text.rstrip(), []
            continue
        body.append(text)
    if fence:
        raise _error(path, opened, f"this block of code is not closed with {fence}.")
    yield line, heading, "\n".join(body).strip()


def _parse(path: Path) -> tuple[str, list[_Raw]]:
    """The chapter's name (or an empty text), and the exercises of a file."""
    chapter, found = "", []
    for line, heading, body in _blocks(path):
        if not heading:
            match = re.fullmatch(r"(?:Chapter: (\w+))?", body)
            if not match:
                raise _error(path, line, "`Chapter: 04_nin` is expected before the exercises.")
            chapter = match[1] or ""
        elif heading.startswith("# "):
            found.append(_exercise(path, line, heading, body))
            if found[-1].id in [raw.id for raw in found[:-1]]:
                raise _error(path, line, f"there are two exercises {found[-1].id}.")
        elif not found:
            raise _error(path, line, f"{heading[3:]} comes before the first exercise.")
        else:
            _add_part(path, line, heading[3:].strip(), body, found[-1])
    return chapter, found


def _exercise(path: Path, line: int, heading: str, body: str) -> _Raw:
    group = path.parent.name
    match = re.fullmatch(rf"# ({re.escape(group)}\.\d+)(?:[:：] *(.+))?", heading)
    if not match:
        raise _error(
            path, line, f"a heading such as `# {group}.1: Title` is expected, not `{heading}`."
        )
    raw = _Raw(match[1], (match[2] or "").strip(), line)
    for text in filter(None, map(str.strip, body.splitlines())):
        name, _, value = text.removeprefix("- ").partition(": ")
        if not text.startswith("- ") or name not in FIELDS or not value or name in raw.fields:
            names = ", ".join(FIELDS)
            raise _error(path, line, f"{raw.id}: `{text}` is not `- name: value` ({names}).")
        raw.fields[name] = (line, value.strip())
    return raw


def _add_part(path: Path, line: int, name: str, body: str, raw: _Raw) -> None:
    if name not in (*PROSE, *CODE) and not re.fullmatch(r"Hint [1-9]\d*", name):
        names = ", ".join(("Task", "Given", "Stub", "Hint 1", "Solution", *PROSE[1:]))
        raise _error(path, line, f"{raw.id} has a part `{name}`; parts are {names}.")
    if name in raw.parts:
        raise _error(path, line, f"{raw.id} has two parts `{name}`.")
    if not body:
        raise _error(path, line, f"{name} of {raw.id} is empty.")
    if name in CODE:
        block = re.fullmatch(r"```python\n(.*)\n```", body, re.DOTALL)
        if not block or re.search(r"^```", block[1], re.MULTILINE):
            raise _error(path, line, f"{name} of {raw.id} must be one block ```python … ```.")
        body = block[1]
    raw.parts[name] = (line, body)


# --- the texts, in English and translated ---------------------------------------------------------


def _english(path: Path) -> list[Text]:
    chapter, found = _parse(path)
    if not chapter:
        raise _error(path, 1, "`Chapter: 04_nin` is expected before the exercises.")
    return [_complete(path, chapter, raw) for raw in found]


def _complete(path: Path, chapter: str, raw: _Raw) -> Text:
    """The text of an exercise; TextError where something is missing or superfluous."""
    question = "Stub" not in raw.parts
    parts = ("Task", "Discussion") if question else ("Task", "Stub", "Solution", "Explanation")
    allowed = parts if question else (*parts, "Given")
    fields = ("difficulty", "minutes") if question else ("difficulty", "minutes", "answer")

    def wrong(problem: str, line: int = raw.line) -> TextError:
        return _error(path, line, f"{raw.id} {problem}")

    if not raw.title:
        raise wrong("has no title.")
    for name in fields:
        if name not in raw.fields:
            raise wrong(f"lacks `- {name}: …`.")
    for name in parts:
        if name not in raw.parts:
            raise wrong(f"lacks the part `## {name}`.")
    for name, (line, _) in raw.parts.items():
        if name not in allowed and not name.startswith("Hint "):
            kind = "an open question" if question else "an exercise with a stub"
            raise wrong(f"is {kind} and has a part `{name}`.", line)
    hints = raw.hints()
    if list(hints) != list(range(1, len(hints) + 1)) or not hints:
        raise wrong("needs the parts `## Hint 1`, `## Hint 2` and so on, in this order.")
    values = {name: value for name, (_, value) in raw.fields.items()}
    if values["difficulty"] not in ("1", "2", "3"):
        raise wrong(f"has the difficulty {values['difficulty']}; it is 1, 2 or 3.")
    if not re.fullmatch(r"[1-9]\d*", values["minutes"]):
        raise wrong(f"takes {values['minutes']} minutes; a whole number is expected.")
    if not question and not values["answer"].isidentifier():
        raise wrong(f"has the answer {values['answer']!r}; the name of a variable is expected.")
    if question and (superfluous := values.keys() - set(fields)):
        raise wrong(f"is an open question and has the field `{min(superfluous)}`.")
    texts = {name.lower(): text for name, (_, text) in raw.parts.items() if name in allowed}
    if question:
        texts["explanation"] = texts.pop("discussion")
    return Text(
        id=raw.id,
        chapter=chapter,
        title=raw.title,
        difficulty=int(values["difficulty"]),
        minutes=int(values["minutes"]),
        answer=values.get("answer", ""),
        needs=tuple(re.split(r",\s*", values["needs"])) if "needs" in values else (),
        hints=tuple(hints.values()),
        **texts,
    )


def _translated(text: Text, known: Mapping[tuple[str, str], str]) -> Text:
    """The text with the translation of each block that has one."""
    parts: dict[str, list[tuple[str, str]]] = {}
    for (context, english), translation in known.items():
        id, _, part = context.partition(" ")
        if id == text.id:
            parts.setdefault(part, []).append((english, translation))

    def put(part: str, source: str) -> str:
        return with_blocks(source, parts.get(part, ()))

    def put_comments(part: str, code: str) -> str:
        said = dict(parts.get(part, ()))
        return with_comments(code, lambda comment: said.get(comment, ""))

    return replace(
        text,
        title=put("title", text.title),
        task=put("task", text.task),
        stub=put_comments("stub", text.stub),
        solution=put_comments("solution", text.solution),
        hints=tuple(put(f"hint {n}", hint) for n, hint in enumerate(text.hints, start=1)),
        explanation=put("explanation", text.explanation),
    )


def with_blocks(source: str, translations: Iterable[tuple[str, str]]) -> str:
    """A Markdown text with each of these blocks in its place.

    translations: (English, translation) of whole blocks. The English has its words in one line.
    """
    spans: list[tuple[int, int, str]] = []
    for english, translation in translations:
        words = r"\s+".join(map(re.escape, english.split()))
        # A block has its lines to itself, with signs of Markdown before it and HTML tags around it.
        around = r"[\s>#*+|-]*(?:\d+[.)]\s+)?(?:<[^<>\n]*>\s*)*"
        block = rf"^{around}({words})(?=[\s#]*$|(?:\s*</?\w[^<>\n]*>)+\s*$)"
        for match in re.finditer(block, source, re.MULTILINE):
            start, end = match.span(1)
            if not any(start < b and a < end for a, b, _ in spans):
                spans.append((start, end, translation))
    for start, end, translation in sorted(spans, reverse=True):
        source = f"{source[:start]}{translation}{source[end:]}"
    return source
