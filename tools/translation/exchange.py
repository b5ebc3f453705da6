"""The exchange with translators: what is to be translated as JSON, and its answers.

`todo` gives a list of `{"context", "english", "kind"}`; where the English has changed also
`"previous"`, the English before, and `"old"`, the translation of that; for a message `"note"`, the
file that says it and what its placeholders stand for there. A translator adds
`"chinese"` to each; and `"other_sense"`, terms of the glossary separated by commas, where the block
uses a word in another sense. `fill` puts the answers into the catalogue. It sets the spaces, checks
each block at once, and takes those that are right; every other is refused with a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from babel.messages.catalog import Catalog

from tools import CourseError
from tools.translation import catalogue, checks, sources
from tools.translation.typography import spaced


def todo(name: str) -> list[dict[str, str]]:
    """What a catalogue lacks, in the order of the text."""
    units = {unit.key: unit for unit in sources.units(name)}
    found = []
    for message in catalogue.entries(catalogue.renewed(name)):
        if catalogue.is_translated(message):
            continue
        unit = units[message.context or "", message.id]
        entry = {"context": unit.context, "kind": unit.kind, "english": unit.english}
        if unit.note:
            entry["note"] = unit.note
        if message.string:
            previous = message.previous_id
            entry["previous"] = previous[0] if previous else ""
            entry["old"] = message.string
        found.append(entry)
    return found


def read_answers(path: Path) -> list[dict[str, str]]:
    """A file of answers; CourseError says what is wrong with its form."""
    try:
        answers = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise CourseError(f"{path} is no JSON: {error}.") from None
    if not isinstance(answers, list) or not all(isinstance(a, dict) for a in answers):
        raise CourseError(f'{path} must hold a list: [{{"context", "english", "chinese"}}, …].')
    for number, answer in enumerate(answers, start=1):
        for key in ("context", "english", "chinese"):
            if not isinstance(answer.get(key, ""), str) or (key != "chinese" and key not in answer):
                raise CourseError(f'{path}: answer {number} has no text "{key}".')
    return answers


def fill(name: str, answers: list[Mapping[str, str]]) -> tuple[int, list[str]]:
    """Put answers into a catalogue; how many were taken, and why others were refused.

    An answer without "chinese" is left open.
    """
    renewed = catalogue.renewed(name)
    units = {unit.key: unit for unit in sources.units(name)}
    taken, refused = 0, []
    for answer in answers:
        if not answer.get("chinese", "").strip():
            continue
        unit = units.get((answer["context"], answer["english"]))
        chinese, sense = spaced(answer["chinese"]), answer.get("other_sense", "")
        if isinstance(sense, list):
            sense = ", ".join(sense)
        if unit is None:
            problems = [
                "There is no such block: context and english must be as `todo` gives them, and the "
                "English may have changed since."
            ]
        else:
            problems = checks.problems(unit, chinese, name, sense)
        if problems:
            refused.append(
                f"[{answer['context']}] {answer['english'][:70]}\n"
                f"    {answer['chinese'][:70]}\n" + "\n".join(f"  - {p}" for p in problems)
            )
            continue
        _put(renewed, unit.key, chinese, sense)
        taken += 1
    catalogue.store(name, renewed)
    return taken, refused


def _put(entries: Catalog, key: tuple[str, str], chinese: str, sense: str) -> None:
    message = entries.get(key[1], key[0])
    message.string = chinese
    message.flags.discard("fuzzy")
    message.previous_id = []
    kept = [c for c in message.user_comments if catalogue.OTHER_SENSE not in c]
    message.user_comments = [*kept, f"{catalogue.OTHER_SENSE} {sense}"] if sense else kept


def faults(name: str) -> list[str]:
    """What is wrong with the translations that a catalogue has, a line each."""
    units, found = {unit.key: unit for unit in sources.units(name)}, []
    for message in catalogue.entries(catalogue.read(name)):
        unit = units.get((message.context or "", message.id))
        if unit and catalogue.is_translated(message):
            sense = catalogue.other_sense(message)
            problems = checks.problems(unit, message.string, name, sense)
            found += [f"{name} [{unit.context}] {unit.english[:60]}: {p}" for p in problems]
    return found


def count(name: str) -> tuple[int, int, int]:
    """(translated, fuzzy, all) entries of a catalogue, after the English of today."""
    entries = catalogue.entries(catalogue.renewed(name))
    done = sum(catalogue.is_translated(message) for message in entries)
    return done, sum(bool(m.string and m.fuzzy) for m in entries), len(entries)
