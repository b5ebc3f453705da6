"""Reads results/: what the benchmarks of the course wrote, and published results of others."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from utils.leftovers import matching

FOLDER = Path(__file__).resolve().parents[1] / "results"
# A number (perhaps still to be filled in as ?), then the comment that says where it comes from. In
# "8-9" the dash is no minus.
BINDING = re.compile(
    r"(?P<number>(?:(?<![\w.,%])[-−+])?[\d.,]*\d(?:e[-+]?\d+)?%?|\?)"
    r"<!-- =(?P<source>\S+) (?P<key>\S+) (?P<form>\S+) -->"
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
        known = [p.relative_to(FOLDER).as_posix() for p in matching(FOLDER, "**/*.json")]
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
    content, done = load(file), []
    for part in key.split("."):
        try:
            content = content[int(part)] if isinstance(content, list) else content[part]
        except (KeyError, IndexError, ValueError, TypeError):
            place = ".".join(done) or "the top"
            there = ", ".join(content) if isinstance(content, dict) else f"{content!r:.60}"
            raise ResultError(
                f"results/{file} has no {key}; at {place} there is {there}."
            ) from None
        done.append(part)
    try:
        text = format(content, form)
    except (ValueError, TypeError) as error:
        raise ResultError(f"{key} of results/{file} is {content!r:.60}: {error}.") from None
    below_one = re.fullmatch(r"\.\d+f", form) and abs(content) < 1
    return re.sub(r"^(-?)0\.", r"\1.", text) if below_one else text
