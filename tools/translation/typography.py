"""The space between Chinese and other letters, by one rule.

One space between a Chinese character and a Latin letter, a digit, code, a formula or a bound
number; none beside the marks of Chinese text, and none between two Chinese characters. Signs of
Markdown are no letters: the space stands outside them, as in `用 **Adam** 训练`.
"""

from __future__ import annotations

import re

from tools.translation import blocks

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff〇"
MARKS = (
    r"\u3001-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
# These stand in English text too: what is outside of them decides.
OPENS, CLOSES = "“‘", "”’"
_ATOM = re.compile(
    r"(?P<code>(?<!`)(`+)(?!`).+?(?<!`)\2(?!`))"
    rf"|(?P<formula>{blocks.FORMULA.pattern})"
    r"|(?P<number>\{(?!c\d+\})[a-z]\w*\})"
    rf"|(?P<still>\{{c\d+\}}|{blocks.COMMENT.pattern}|{blocks.TAG.pattern})"
    r"|(?P<address>https?://[^\s)>\u3001-\u9fff\uff01-\uffef]+)"
    rf"|(?P<closing>\]{blocks.TARGET.pattern.replace('(?<=' + chr(92) + '])', '')})"
    r"|(?P<opening>!?\[(?=[^\]]*\]\())"
    r"|(?P<stars>(?<!\\)\*+)"
    r"|(?P<space>\s+)"
    rf"|(?P<han>[{HAN}])"
    rf"|(?P<mark>[{MARKS}]|——|……)"
    r"|(?P<opens>[“‘])|(?P<closes>[”’])|(?P<bar>\|)"
    r"|(?P<latin>[A-Za-z0-9\u00aa-\u00b3\u00b9\u00ba\u00bc-\u00be\u00c0-\u00d6\u00d8-\u00f6"
    r"\u00f8-\u024f\u0370-\u03ff\u2070-\u209f()%°±+−<>=≈≤≥√∑])"
    r"|(?P<other>\\.|.)",
    re.DOTALL,
)
_LETTERS = ("latin", "code", "formula", "number", "address")


def spaced(text: str) -> str:
    """The text with its spaces by the rule, on one line."""
    atoms = [(match.lastgroup, match[0]) for match in _ATOM.finditer(text.strip())]
    result: list[str] = []
    before = ""  # the kind of the last letter or mark
    between: list[tuple[str, str]] = []  # what came after it: spaces and signs of Markdown
    open_stars: list[str] = []
    for kind, content in atoms:
        if kind in ("space", "still", "opening", "closing", "stars"):
            if kind == "stars":
                kind = "closing" if open_stars[-1:] == [content] else "opening"
                if kind == "closing":
                    open_stars.pop()
                else:
                    open_stars.append(content)
            between.append((kind, content))
            continue
        kind = "letter" if kind in _LETTERS else kind
        result += [_between(before, kind, between), content]
        before, between = kind, []
    return "".join(result) + "".join(content for kind, content in between if kind != "space")


def _between(before: str, after: str, pieces: list[tuple[str, str]]) -> str:
    """The pieces between two letters with the space that belongs there."""
    signs = [piece for piece in pieces if piece[0] != "space"]
    if not before or _no_space(before, after):
        return "".join(content for _, content in signs)
    if {before, after} != {"han", "letter"}:  # runs of spaces are one piece, hence one space
        return "".join(" " if kind == "space" else content for kind, content in pieces)
    # Behind what closes, before what opens; a comment belongs to what is before it.
    at = next((i for i, (kind, _) in enumerate(signs) if kind == "opening"), len(signs))
    contents = [content for _, content in signs]
    return "".join([*contents[:at], " ", *contents[at:]])


def _no_space(before: str, after: str) -> bool:
    chinese = ("han", "mark")
    if "bar" in (before, after):  # between the cells of a table
        return False
    return (
        "mark" in (before, after)
        or (before in chinese and after in chinese)
        or before == "opens"
        or after == "closes"
        or (after == "opens" and before in chinese)
        or (before == "closes" and after in chinese)
    )
