"""Catalogues of translations: PO files in translations/zh, one for each chapter, group, page.

An entry's `msgid` is one block of the English, its `msgctxt` the place: the id of a cell,
`nin.2 hint 1`, the anchor of a heading. A block that is new has an empty `msgstr`. One whose
English has changed is fuzzy: it keeps the translation and, as previous `msgid`, the English that
this was made from. Only an entry that is neither counts as translated.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import PoFileError, read_po, unescape, write_po

from tools import ROOT, CourseError, write
from tools.translation import sources
from tools.translation.sources import Unit

FOLDER = ROOT / "translations" / "zh"
# Written by hand, because babel's own header holds the hour and babel's version.
HEADER = """\
msgid ""
msgstr ""
"Language: zh_CN\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
OTHER_SENSE = "other sense:"  # the comment of an entry, followed by terms
UNWRAPPED = 10**6  # a line for each text; 0 would wrap the comments at 76
ALIKE = 0.6  # from here on an English block counts as a changed form of another in its place


def path_of(name: str) -> Path:
    """The file of a catalogue: `chapters/04_nin`, `exercises/nin`, `docs/README`, …"""
    return FOLDER / f"{name}.po"


def read(name: str) -> Catalog:
    """A catalogue; an empty one where there is no file. CourseError if it is no PO file."""
    path = path_of(name)
    try:
        return parse(path.read_bytes()) if path.is_file() else Catalog(locale="zh_CN")
    except (PoFileError, ValueError) as error:
        raise CourseError(
            f"translations/zh/{name}.po is no PO file ({error}): mend it, or take it from git anew."
        ) from None


def parse(content: bytes) -> Catalog:
    """A catalogue from its file's content."""
    found = read_po(io.BytesIO(content), locale="zh_CN", charset="utf-8", abort_invalid=True)
    for message in entries(found):  # babel takes `#| msgid "…"`, the English before, for a comment
        before = [c[1:].strip() for c in message.user_comments if c.startswith("|")]
        message.user_comments = [c for c in message.user_comments if not c.startswith("|")]
        strings = re.findall(
            r'"(?:[^"\\]|\\.)*"', " ".join(c for c in before if "msgctxt" not in c)
        )
        message.previous_id = ["".join(map(unescape, strings))] if strings else []
    return found


def written(catalogue: Catalog) -> bytes:
    """The bytes of a catalogue's file."""
    content = io.BytesIO()
    write_po(content, catalogue, width=UNWRAPPED, omit_header=True, include_previous=True)
    body = content.getvalue().decode("utf-8").strip("\n")
    return f"{HEADER}{body}\n".encode()


def entries(catalogue: Catalog) -> list[Message]:
    """The entries without the header, in their order."""
    return [message for message in catalogue if message.id]


def is_translated(message: Message) -> bool:
    """Whether an entry can be shown: it has a translation that is not fuzzy."""
    return bool(message.string) and not message.fuzzy


def translations(name: str) -> dict[tuple[str, str], str]:
    """`{(context, English): Chinese}` of a catalogue, of the translated entries alone."""
    return {(m.context or "", m.id): m.string for m in entries(read(name)) if is_translated(m)}


def merged(old: Catalog, units: Iterable[Unit]) -> Catalog:
    """A catalogue of exactly these units, with what `old` has translated.

    A translation stays where its English stays, also when that moves to another place. Where the
    English of a place has changed, the translation is kept as fuzzy. What is in the English no more
    stays as an obsolete entry (`#~`), from which it can come back.
    """
    units = list(dict.fromkeys(units))
    new = Catalog(locale="zh_CN")
    before = {(m.context or "", m.id): m for m in entries(old)}
    here = {unit.key for unit in units}
    obsolete = {(m.context or "", m.id): m for m in old.obsolete.values() if m.string}
    # What a changed block may come from, each only once; what stays where it is, is not free.
    free = {k: m for k, m in {**obsolete, **before}.items() if k not in here and m.string}
    anywhere = {k[1]: m for k, m in [*free.items(), *before.items()] if is_translated(m)}
    for unit in units:
        message = before.get(unit.key) or obsolete.get(unit.key)
        if unit.english in anywhere and not (message and is_translated(message)):
            message = anywhere[unit.english]
            free.pop((message.context or "", message.id), None)
        if message is not None:
            previous = message.previous_id if message.fuzzy else ()
            _add(new, unit, message.string, message.fuzzy, previous, message.user_comments)
            continue
        source = _changed(unit, free)
        if source is None:
            _add(new, unit)
            continue
        message = free.pop(source)
        # A fuzzy entry was made from the English before; that is what its translation says.
        previous = message.previous_id if message.fuzzy and message.previous_id else [message.id]
        _add(new, unit, message.string, True, previous, message.user_comments)
    for (context, english), message in free.items():
        if english not in {unit.english for unit in units}:
            entry = Message(english, message.string, context=context or None)
            new.obsolete[english if not context else (english, context)] = entry
    return new


def _add(
    catalogue: Catalog,
    unit: Unit,
    string: str = "",
    fuzzy: bool = False,
    previous: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> None:
    catalogue.add(
        unit.english,
        string,
        auto_comments=[] if unit.kind in ("paragraph", "item") else [unit.kind],
        flags={"fuzzy"} if fuzzy and string else set(),
        previous_id=list(previous) if fuzzy and string else [],
        user_comments=remarks,
        context=unit.context,
    )


def renewed(name: str) -> Catalog:
    """A catalogue as it should be after the English of today."""
    return merged(read(name), sources.units(name))


def other_sense(message: Message) -> str:
    """Terms of the glossary that an entry uses in another sense, as its translator says."""
    said = [c.removeprefix(OTHER_SENSE) for c in message.user_comments if OTHER_SENSE in c]
    return said[0].strip() if said else ""


def _changed(unit: Unit, free: Mapping[tuple[str, str], Message]) -> tuple[str, str] | None:
    """The entry of the same place of which this unit is most likely a changed form."""
    best, found = ALIKE, None
    for key in free:
        if key[0] != unit.context:
            continue
        matcher = difflib.SequenceMatcher(None, key[1], unit.english, autojunk=False)
        if matcher.quick_ratio() >= best and (ratio := matcher.ratio()) >= best:
            best, found = ratio, key
    return found


def store(name: str, catalogue: Catalog) -> bool:
    """Write a catalogue's file if it changes; whether it did."""
    path, content = path_of(name), written(catalogue)
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, content)
    return True
