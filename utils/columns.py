"""How many columns a text takes in a terminal or a cell of code, and lines of that width.

A Chinese character takes two. Standard library only.
"""

from __future__ import annotations

import re
import unicodedata

_CLOSING = "，。；：、？！）》」』”’"
_PIECE = re.compile(
    rf"\s*(?:[\u2e80-\u9fff\uff00-\uffef“‘][{_CLOSING}]*|[^\s\u2e80-\uffef“‘]+[{_CLOSING}]*)"
)


def columns(text: str) -> int:
    """How many columns a text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, cut at spaces and between Chinese characters.

    No line begins with a mark that closes something. A word that is longer stays whole.
    """
    lines = [re.match(r"\s*", text)[0]]
    for piece in _PIECE.findall(text) or [text]:
        if lines[-1].strip() and columns(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece if lines[-1].strip() else piece.lstrip()
    return lines
