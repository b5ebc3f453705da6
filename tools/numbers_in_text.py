"""For authors: bring the numbers in the text up to date.

    python -m tools.numbers_in_text             rewrites them in README.md, docs/ and chapters/,
                                                and in the Chinese edition
    python -m tools.numbers_in_text --check     only lists those that are wrong

A number that a program knows is right before a comment that names its source, key and format:

    .806<!-- =published/d2l_summary.json LeNet.median .3f -->
    7<!-- =course exercises.04_nin d -->

The source is a file in results/, or `course` for what the chapters themselves say (see `count`).
The format is Python's; `.3f` of a number below 1 has no leading zero.

Standard library only, except for the Chinese edition.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from exercises import texts
from tools import COMMAND, ROOT, CourseError, Parser, cells, exit_code, say, write
from utils import results
from utils.leftovers import matching


def count(key: str) -> float:
    """A number that the chapters themselves give, of one chapter or the sum of several.

    `exercises.04_nin` is the number of its exercises with a check, `minutes.04_nin` is how long a
    reader takes, `main_minutes.04_nin` how long without the Deeper sections. `hours.00+01+04` and
    `main_hours.00+01+04` are the same for three chapters in hours, `hours.all` for all.

    Raises:
        CourseError: there is no such count or chapter.
    """
    what, _, which = key.partition(".")
    minutes, exercises = {}, texts.counts(ROOT)
    for path in sorted(ROOT.glob("chapters/[0-9][0-9]_*.ipynb")):
        if which == "all" or path.stem.startswith(tuple(which.split("+"))):
            about = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("course", {})
            minutes[path.stem] = about.get("minutes", 0)
            if what.startswith("main_"):
                minutes[path.stem] = about.get("main_minutes", minutes[path.stem])
    if not minutes or what.removeprefix("main_") not in ("exercises", "minutes", "hours"):
        raise CourseError(
            f"the course has no {key}; there are exercises, minutes and hours of a chapter "
            "(minutes.04_nin, main_minutes.04_nin), of several (hours.00+01) or of all "
            "(exercises.all)."
        )
    if what == "exercises":
        return sum(exercises[stem].checked for stem in minutes)
    return sum(minutes.values()) / 60 if what.endswith("hours") else sum(minutes.values())


def value(source: str, key: str, form: str) -> str:
    """The number that a comment asks for, as text."""
    if source != "course":
        return results.value(source, key, form)
    try:
        return format(count(key), form)
    except ValueError as error:
        raise CourseError(f"{key} of the course: {error}.") from None


def bind(text: str) -> tuple[str, list[str]]:
    """The text with its bound numbers brought up to date, and a line for each that was wrong.

    Raises:
        CourseError: a comment that only looks like a binding, or names no count of the course.
        ResultError: no such file or key in results/.
    """
    changes: list[str] = []
    bindings = {match.end() for match in results.BINDING.finditer(text)}
    for comment in re.finditer(r"<!--\s*=.*?-->", text, re.DOTALL):
        if comment.end() not in bindings:
            raise CourseError(
                f"{comment.group()} binds no number: a number must be right before it, without a "
                "space, and in it `=SOURCE KEY FORMAT`, as in "
                ".806<!-- =a.json LeNet.median .3f -->."
            )

    def renew(match: re.Match) -> str:
        right = value(match["source"], match["key"], match["form"])
        if match["number"] != right:
            changes.append(
                f"{match['number']} should be {right} ({match['source']} {match['key']})"
            )
        return right + match.group()[len(match["number"]) :]

    return results.BINDING.sub(renew, text), changes


def bind_notebook(text: str) -> tuple[str, list[str]]:
    """`bind` for the Markdown cells of a notebook; every other byte stays as it is."""
    notebook = json.loads(text)
    changes: list[str] = []
    for cell in notebook["cells"]:
        before = cells.source(cell)
        after, changed = bind(before) if cell["cell_type"] == "markdown" else (before, [])
        if changed:
            changes += changed
            cell["source"] = after.splitlines(keepends=True)
            cells.keep_listed(notebook, cell, before)
    return cells.written(notebook).decode() if changes else text, changes


def bound_files() -> list[Path]:
    """Every file of the project whose numbers may be bound."""
    pages = [ROOT / "README.md", *matching(ROOT, "docs/*.md"), *matching(ROOT, "results/*.md")]
    pages += matching(ROOT, "docs/recall.toml")
    return [*sorted(pages), *matching(ROOT, "chapters/*.ipynb")]


def examine(path: Path) -> tuple[str, list[str]]:
    """The file's text as it should be, and what has to change in it; CourseError names the file."""
    text = path.read_text(encoding="utf-8")
    try:
        return bind_notebook(text) if path.suffix == ".ipynb" else bind(text)
    except (CourseError, results.ResultError) as error:
        raise CourseError(f"{path.relative_to(ROOT).as_posix()}: {error}") from None


def renew(check: bool) -> int:
    """Rewrite the numbers, or with `check` only list the wrong ones and fail if there are any."""
    count = 0
    for path in bound_files():
        text, changes = examine(path)
        if changes and not check:
            write(path, text.encode())
        for change in changes:
            say(f"{path.relative_to(ROOT).as_posix()}: {change}")
        count += len(changes)
    say(f"{count} numbers {'are wrong' if check else 'brought up to date'}.")
    if count and not check:
        renew_chinese()
    return 1 if check and count else 0


def renew_chinese() -> None:
    """The same numbers in the Chinese notebooks and pages, which are made from the English ones."""
    from tools.translation import edition

    edition.renew()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(f"{COMMAND} results", __doc__)
    parser.add_argument("--check", action="store_true", help="only list the numbers that are wrong")
    return exit_code(renew, parser.parse_args(arguments).check)


if __name__ == "__main__":
    sys.exit(main())
