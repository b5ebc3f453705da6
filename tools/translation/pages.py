"""The Chinese pages, made from the English ones and the catalogues: README.zh-CN.md, docs/zh/, …

A line `[中文](…)` of an English page is `[English](…)` in the Chinese one. Links lead to the
Chinese edition of what they name, where there is one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from tools import ROOT
from tools.translation import blocks, catalogue, sources
from tools.translation.sources import PAGES, anchor

# Blocks of code and code in a line, which may look like links; then the target of a link.
LINK = re.compile(
    r"^ *```.*?^ *```|`[^`\n]+`"
    r"|(?<=\]\()(?![a-z]+:)(?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?(?=\))",
    re.DOTALL | re.MULTILINE,
)
OTHER_LANGUAGE = re.compile(r"^\[中文\]\([^)\s]+\)$", re.MULTILINE)


def chinese(path: Path) -> Path | None:
    """The file that holds the Chinese edition of an English one; None if there is none."""
    inside = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    if inside == "README.md":
        return ROOT / "README.zh-CN.md"
    if inside in PAGES.values():
        return path.parent / "zh" / path.name
    if path.parent == ROOT / "chapters" and path.stem in sources.stems():
        return ROOT / "chapters_zh" / path.name
    return None


def relinked(text: str, english: Path, anchors: Callable[[Path], dict[str, str]] = dict) -> str:
    """A text of the Chinese edition of the file `english`, with links as they must be there.

    anchors: for a page the anchors of its headings, each with that of the Chinese heading.
    """
    folder = chinese(english).parent

    def renew(match: re.Match) -> str:
        if match["target"] is None:
            return match[0]
        target, fragment = match["target"], (match["anchor"] or "")[1:]
        there = (english.parent / target).resolve() if target else english
        other = chinese(there)
        if fragment and other:
            fragment = anchors(there).get(fragment, fragment)
        path = Path(os.path.relpath(other or there, folder)).as_posix() if target else ""
        return path + (f"#{fragment}" if fragment else "")

    return LINK.sub(renew, text)


def translator(name: str) -> Callable[[str], Callable[[blocks.Block], str]]:
    """For a place in a catalogue, what gives the translation of a block there, or nothing."""
    known = catalogue.translations(name)
    return lambda context: lambda block: known.get((context, block.text), "")


def anchors(page: Path) -> dict[str, str]:
    """The anchors of the headings of an English page, each with that of the Chinese heading."""
    name = next((name for name, file in PAGES.items() if ROOT / file == page), None)
    if name is None:
        return {}
    translation, found = translator(name), {}
    for block in blocks.cut(page.read_text(encoding="utf-8")):
        if block.kind == "heading":
            before = anchor(block.text)
            found[before] = anchor(translation(before)(block) or block.text)
    return found


def translated(name: str) -> str:
    """A Chinese page, by the name of its catalogue: `docs/README`."""
    english = sources.page_source(name)
    text, translation = english.read_text(encoding="utf-8"), translator(name)
    text = blocks.replaced(text, blocks.cut(text), lambda b: translation(anchor(b.section))(b))
    text = relinked(text, english, anchors)
    back = Path(os.path.relpath(english, chinese(english).parent)).as_posix()
    return OTHER_LANGUAGE.sub(f"[English]({back})", text)


def generated() -> dict[Path, bytes]:
    """Every Chinese page and its content."""
    return {chinese(sources.page_source(name)): translated(name).encode() for name in PAGES}
