"""The numbers in a text, by value: 60 million and 6000 万 are the same.

Digits inside a word (ResNet-18, conv2d, 3D) belong to a name and do not count.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from itertools import pairwise

from tools.translation import blocks

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+"
_NUMBER = rf"(?<![A-Za-z0-9_])(?<![A-Za-z]-)(?:{_DIGITS})(?![0-9A-Za-z_])"
SCALES = {
    "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "千": 10**3, "万": 10**4, "十万": 10**5, "百万": 10**6, "千万": 10**7, "亿": 10**8,
    "十亿": 10**9, "百亿": 10**10, "千亿": 10**11, "万亿": 10**12,
}  # fmt: skip
_SCALE = "|".join(sorted(SCALES, key=len, reverse=True))
_SCALED = re.compile(rf"(?P<digits>{_NUMBER})(?: ?(?P<scale>{_SCALE}))?")
_RANGE = re.compile(
    rf"(?P<first>{_NUMBER})(?P<join> ?(?:to|or|and|-|–|~|～|到|至|和|或|、) ?)"
    rf"(?=(?:{_NUMBER}) ?(?P<scale>{_SCALE}))"
)
WORDS = {
    "one": 1, "once": 1, "first": 1, "single": 1, "two": 2, "twice": 2, "second": 2, "both": 2,
    "pair": 2, "pairs": 2, "double": 2, "doubles": 2, "three": 3, "third": 3, "thirds": 3,
    "four": 4, "fourth": 4, "quarter": 4, "quarters": 4, "five": 5, "fifth": 5, "six": 6,
    "sixth": 6, "seven": 7, "seventh": 7, "eight": 8, "eighth": 8, "eighths": 8, "nine": 9,
    "ninth": 9, "ninths": 9, "ten": 10, "tenth": 10, "tenths": 10, "eleven": 11, "twelve": 12,
    "dozen": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "zeros": 0, "ones": 1, "none": 0, "nothing": 0,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100, "hundredth": 100,
    "thousand": 1000, "thousandth": 1000, "million": 10**6, "billion": 10**9, "zero": 0,
    "january": 1, "february": 2, "march": 3, "april": 4, "may": 5, "june": 6, "july": 7,
    "august": 8, "september": 9, "october": 10, "november": 11, "december": 12,
}  # fmt: skip


def _value(digits: str, scale: str | None) -> Decimal:
    return (Decimal(digits.replace(",", "")) * SCALES.get(scale or "", 1)).normalize()


def numbers(text: str) -> Counter[Decimal]:
    """The values of the numbers outside words, code, formulas and links."""
    text = blocks.plain(text)
    text = _RANGE.sub(lambda m: f"{m['first']} {m['scale']}{m['join']}", text)
    return Counter(_value(m["digits"], m["scale"]) for m in _SCALED.finditer(text))


def spoken(english: str) -> set[Decimal]:
    """Values that the English says in words, or glued to a letter: Chinese may write digits."""
    words = re.findall(r"[a-z]+", blocks.plain(english).lower())
    values = [WORDS[word] for word in words if word in WORDS]
    found = {Decimal(value) for value in values}
    for small, large in pairwise(values):  # twenty-five, three hundred
        found |= {Decimal(small + large), Decimal(small * large)}
    if "half" in words or "halves" in words or "halved" in words:
        found |= {Decimal("0.5"), Decimal(1), Decimal(2), Decimal(50)}
    if found & {Decimal(n) for n in (3, 4, 5, 8, 9, 10, 100, 1000)}:
        found.add(Decimal(1))  # a third: 1/3
    plain = blocks.plain(english)
    for digits, letter in re.findall(r"(?<![\w.])([\d.,]*\d)([kKMG])(?![A-Za-z])", plain):
        found.add(_value(digits, {"M": "million", "G": "billion"}.get(letter, "thousand")))
    for digits in re.findall(r"(?<![\w.])([\d.,]*\d)(?:st|nd|rd|th|s|x)(?![A-Za-z])", plain):
        found.add(_value(digits, None))
        if len(digits) == 4:  # 1990s: 20 世纪 90 年代
            found |= {Decimal(int(digits[:2]) + 1), Decimal(int(digits[2:]))}
    return {value.normalize() for value in found}


def unexpected(
    before: Counter[Decimal], after: Counter[Decimal], english: str
) -> tuple[list[str], list[str]]:
    """What of `before` is missing in `after`, and what `after` has beyond it and beyond words."""
    lacking = [f"{value:f}" for value in (before - after).elements()]
    extra = [f"{v:f}" for v in (after - before).elements() if v not in spoken(english)]
    return lacking, extra
