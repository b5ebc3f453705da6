"""Reads results/, and keeps the numbers in the text equal to it.

A number that a program measured stands in front of a comment that names its file, its key and
its format:

    .806<!-- =published/d2l_summary.json LeNet.median .3f -->

The format is Python's; `.3f` of a number below 1 has no leading zero. `python -m utils.results`
rewrites such numbers in README.md, docs/ and the Markdown cells of chapters/;
`python -m utils.results --check` only lists those that disagree and fails if there are any.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import update

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "results"
# A number (perhaps still to be filled in as ?), then the comment that says where it comes from. In
# "8-9" the dash is no minus.
BINDING = re.compile(
    r"(?P<number>(?:(?<![\w.,%])[-−+])?[\d.,]*\d(?:e[-+]?\d+)?%?|\?)"
    r"<!-- =(?P<file>\S+) (?P<key>\S+) (?P<form>\S+) -->"
)


class ResultError(Exception):
    """One sentence: which file or key was expected and what is there."""


def load(name: str) -> Any:
    """The content of results/`name`; a .csv file as a list of dictionaries.

    Raises:
        ResultError: there is no such file, or it cannot be read.
    """
    path = FOLDER / name
    if not path.is_file():
        known = sorted(p.relative_to(FOLDER).as_posix() for p in FOLDER.rglob("*.json"))
        raise ResultError(f"results/{name} does not exist; there are: {', '.join(known)}.")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    try:
        return json.loads(text)
    except ValueError as error:
        raise ResultError(f"results/{name} is not valid JSON ({error}): restore it.") from None


def value(file: str, key: str, form: str) -> str:
    """One number of a results file as text, as in value("speed.json", "lenet.ratio", ".1f").

    Parts of the key are separated by dots; a number picks from a list.

    Raises:
        ResultError: no such file or key, or a format that does not fit.
    """
    found, done = load(file), []
    for part in key.split("."):
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, ValueError, TypeError):
            place = ".".join(done) or "the top"
            there = ", ".join(found) if isinstance(found, dict) else f"{found!r:.60}"
            raise ResultError(
                f"results/{file} has no {key}; at {place} there is {there}."
            ) from None
        done.append(part)
    try:
        text = format(found, form)
    except (ValueError, TypeError) as error:
        raise ResultError(f"{key} of results/{file} is {found!r:.60}: {error}.") from None
    below_one = re.fullmatch(r"\.\d+f", form) and abs(found) < 1
    return re.sub(r"^(-?)0\.", r"\1.", text) if below_one else text


def bind(text: str) -> tuple[str, list[str]]:
    """The text with its bound numbers brought up to date, and a line for each that was not.

    Raises:
        ResultError: a comment that only looks like a binding; no such file or key.
    """
    changes: list[str] = []
    bindings = {match.end() for match in BINDING.finditer(text)}
    for comment in re.finditer(r"<!--\s*=.*?-->", text, re.DOTALL):
        if comment.end() not in bindings:
            raise ResultError(
                f"{comment.group()} binds no number: a number stands right before it, without a "
                "space, and in it `=FILE KEY FORMAT`, as in .806<!-- =a.json LeNet.median .3f -->."
            )

    def renew(match: re.Match) -> str:
        right = value(match["file"], match["key"], match["form"])
        if match["number"] != right:
            changes.append(f"{match['number']} should be {right} ({match['file']} {match['key']})")
        return right + match.group()[len(match["number"]) :]

    return BINDING.sub(renew, text), changes


def bind_notebook(text: str) -> tuple[str, list[str]]:
    """`bind` for the Markdown cells of a notebook; every other byte stays as it is.

    A chapter's list of its own cells, by which `course.py update` knows a learner's, is kept true.
    """
    notebook = json.loads(text)
    changes: list[str] = []
    of_course = notebook["metadata"].get("course", {}).get("cells", {})
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        before = "".join(cell["source"])
        source, found = bind(before)
        if found:
            changes += found
            cell["source"] = source.splitlines(keepends=True)
            if of_course.get(cell.get("id")) == update.fingerprint(before):
                of_course[cell["id"]] = update.fingerprint(source)
    if not changes:
        return text, []
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", changes


def bound_files() -> list[Path]:
    """Every file of the project whose numbers may be bound."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *FOLDER.glob("*.md")]
    return [*sorted(pages), *sorted((ROOT / "chapters").glob("*.ipynb"))]


def examine(path: Path) -> tuple[str, list[str]]:
    """The file's text as it should be, and what has to change in it."""
    renew: Callable[[str], tuple[str, list[str]]] = (
        bind_notebook if path.suffix == ".ipynb" else bind
    )
    return renew(path.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(f"problem: results takes --check or nothing, not {' '.join(arguments)}.")
        return 2
    count = 0
    for path in bound_files():
        try:
            text, changes = examine(path)
            if changes and not arguments:
                update.write(path, text.encode())
        except ResultError as error:
            print(f"problem: {path.relative_to(ROOT).as_posix()}: {error}")
            return 1
        except update.UpdateError as error:
            print(f"problem: {error}")
            return 1
        for change in changes:
            print(f"{path.relative_to(ROOT).as_posix()}: {change}")
        count += len(changes)
    print(f"{count} numbers {'disagree' if arguments else 'brought up to date'}.")
    return 1 if arguments and count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
