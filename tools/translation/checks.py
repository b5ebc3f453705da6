"""What a translation must keep of the English, and how it must be written.

`problems` says, one sentence each, what is wrong with the translation of one block. The same checks
refuse it in the exchange with translators and in the tests.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

from tools import ROOT
from tools.translation import blocks
from tools.translation.numbers import numbers, unexpected
from tools.translation.sources import Unit
from tools.translation.typography import HAN, MARKS, spaced

ROW = re.compile(r"\| (.+?) \| (.+?) \| .+? \| \[\d+\]\(.*\) \|")
# Terms whose English word has an everyday sense too, so that the glossary's Chinese need not fit.
EVERYDAY = {
    "activation", "batch", "block", "box", "branch", "budget", "crop", "degradation", "depth",
    "expansion", "feature", "groups", "head", "identity", "localisation", "mean",
    "network in network", "projection", "rank", "recipe", "saturated", "schedule", "seed",
    "separable", "squeeze", "stage", "stem", "unit",
}  # fmt: skip
# What other Chinese editions say; here only in brackets, at the first use in a chapter.
OTHERS = {
    "汇聚": "池化", "批量规范化": "批归一化", "批次归一化": "批归一化", "规范化": "归一化",
    "暂退法": "Dropout", "随机失活": "Dropout", "迭代周期": "轮", "轮次": "轮",
    "图像增广": "数据增强", "数据增广": "数据增强", "连结": "拼接", "直连边": "快捷连接",
    "跨层连接": "快捷连接 / 跳跃连接", "反向残差": "倒残差", "子采样": "下采样",
    "对数几率": "logit",
}  # fmt: skip
# What recurs in every chapter is said alike.
PHRASES = [
    (r"^Deeper: ", "深入："), (r"^\*What to see: ", "*看什么："),
    (r"\*\*Predict:\*\*", "**先猜一猜**："),
    (r"\*Deeper\*", "*深入*"), (r"^Summary$", "小结"),
    (r"^Sources$", "参考资料"), (r"^Is this true\?", "是真的吗？"),
    (r"\*What to take from it tomorrow\.\*", "**以后可以照做的**"),
]  # fmt: skip
GLOSSARY = "docs/glossary"  # the page that has to name the others' words


def problems(unit: Unit, chinese: str, name: str = "", other_sense: str = "") -> list[str]:
    """What is wrong with the translation of a block, one sentence each; empty if nothing is.

    name: the catalogue. other_sense: terms of the glossary that the block uses in another sense,
    separated by commas.
    """
    if not chinese.strip():
        return ["The translation is empty."]
    found = [*_same_pieces(unit, chinese), *_numbers(unit.english, chinese)]
    if unit.kind not in ("comment", "remark"):
        found += _rendering(unit, chinese)
    found += [*_writing(chinese), *_english_left(unit, chinese)]
    if name != GLOSSARY and not _is_source(unit):
        found += _terms(unit.english, chinese, {t.strip() for t in other_sense.split(",")})
    return found


def _is_source(unit: Unit) -> bool:
    """Whether a block names papers and books, which stay as they are in any language."""
    return unit.section.lower() == "sources" and unit.kind != "heading"


# --- what is the same in both languages -----------------------------------------------------------


def _same_pieces(unit: Unit, chinese: str) -> Iterator[str]:
    patterns = {
        "placeholders": blocks.HOLE if unit.kind == "message" else blocks.PLACEHOLDER,
        "code": blocks.CODE,
        "formulas": blocks.FORMULA,
        "links": blocks.TARGET,
        "HTML tags": blocks.TAG,
        "addresses": blocks.ADDRESS,
    }
    if unit.kind in ("comment", "remark"):
        patterns = {"addresses": blocks.ADDRESS}
    english, other = unit.english, chinese
    for what, pattern in patterns.items():
        before = Counter(match[0] for match in pattern.finditer(english))
        after = Counter(match[0] for match in pattern.finditer(other))
        if before != after:
            yield f"The {what} differ from the English: {_difference(before, after)}."
        english, other = pattern.sub(" ", english), pattern.sub(" ", other)
    names = re.compile(r"[A-Za-z]\w*_\w+|\w+(?:\.\w+)+\(\)")
    before, after = set(names.findall(english)), set(names.findall(other))
    if before != after:
        yield f"The names differ from the English: {_difference(Counter(before), Counter(after))}."


def _difference(before: Counter, after: Counter) -> str:
    lacking = [f"lacks {thing}" for thing in (before - after).elements()]
    extra = [f"has {thing} too many" for thing in (after - before).elements()]
    return "it " + ", ".join([*lacking, *extra])


def _numbers(english: str, chinese: str) -> Iterator[str]:
    lacking, extra = unexpected(numbers(english), numbers(chinese), english)
    if lacking:
        yield (
            f"Numbers of the English are missing: {', '.join(lacking)} (digits stay digits; "
            "60 million is 6000 万)."
        )
    if extra:
        yield f"There are numbers that the English does not have: {', '.join(extra)}."


_PREFIX = {"heading": "## ", "item": "- "}


def _rendering(unit: Unit, chinese: str) -> Iterator[str]:
    """Problems that one sees after rendering only."""
    prefix = _PREFIX.get(unit.kind, "")
    if unit.kind in ("row", "html"):
        before, after = (blocks.parser().parseInline(t) for t in (unit.english, chinese))
        cells = re.compile(r"(?<!\\)\|")
        if unit.kind == "row" and len(cells.findall(unit.english)) != len(cells.findall(chinese)):
            yield "The row has another number of cells than the English."
        if unit.kind == "row" and not (chinese.startswith("|") and chinese.endswith("|")):
            yield "A row of a table begins and ends with |."
    else:
        before, after = (blocks.parser().parse(prefix + t) for t in (unit.english, chinese))
        if [t.type for t in before] != [t.type for t in after]:
            yield (
                "It renders as something else than the English: perhaps it begins with a sign "
                "such as # or -, or with a number and a point."
            )
    kinds = [
        Counter(
            child.type
            for token in tokens
            for child in token.children or []
            if child.type not in ("text", "text_special", "softbreak", "html_inline")
        )
        for tokens in (before, after)
    ]
    stars = [
        sum(
            child.content.count("*")
            for token in tokens
            for child in token.children or []
            if child.type == "text"
        )
        for tokens in (before, after)
    ]
    if stars[1] > stars[0]:
        yield (
            "A * or ** is left after rendering: keep marks and brackets outside the stars, as in "
            "`**注意**：` and `**池化**（pooling）`."
        )
    elif kinds[0] != kinds[1]:
        names = {"em_open": "*emphasis*", "strong_open": "**strong**", "link_open": "link"}
        differ = [k for k in kinds[0] | kinds[1] if kinds[0][k] != kinds[1][k]]
        words = [
            f"{names.get(kind, kind)} {kinds[1][kind]} times, not {kinds[0][kind]}"
            for kind in differ
            if not kind.endswith("_close")
        ]
        yield f"It renders with {'; '.join(words)}."


# --- how Chinese is written -----------------------------------------------------------------------


def _visible(text: str) -> str:
    """The text as one reads it: code and formulas are a letter, signs of Markdown are gone."""
    for pattern in (blocks.CODE, blocks.FORMULA, blocks.ADDRESS):
        text = pattern.sub("x", text)
    text = re.sub(r"\{n\d+\}", "0", text)
    for pattern in (blocks.COMMENT, blocks.TAG, blocks.TARGET):
        text = pattern.sub("", text)
    return re.sub(r"\{c\d+\}|\*+|[\[\]]", "", text)


_SIZE = r"[\w.·*/+−-]+(?: (?://|[·*/+−-]) [\w.]+)*"  # of a shape: W, 2·W, in_channels / 2


def _writing(chinese: str) -> Iterator[str]:
    if "\n" in chinese:
        yield "A block is one line: a new line between Chinese characters would show as a space."
    if chinese != spaced(chinese):
        yield f"The spaces are not by the rule, which would give: {spaced(chinese)}"
    if "您" in chinese:
        yield "The course says 你, not 您."
    text = re.sub(r"^\d+\. ", "", _visible(chinese))  # the number of a question stays 1.
    if not re.search(f"[{HAN}]", text):
        return
    half = re.search(rf"[{HAN}{MARKS}][,.;:!?]+(?!\d)|[,;:!?] ?(?=[{HAN}])|\. (?=[{HAN}])", text)
    if half:
        yield f"A half-width mark stands in Chinese text: {_around(text, half)}."
    for group in re.finditer(r"\(([^()]*)\)", text):
        before = text[: group.start()].rstrip()[-1:]
        shape = re.fullmatch(rf"{_SIZE}(?:,|(?:, ?{_SIZE})+,?)|\w*_\w*", group[1])
        words = re.search(r"[a-z]{3,}", group[1]) and not shape
        in_chinese = re.match(f"[{HAN}{MARKS}]", before)
        if re.search(f"[{HAN}{MARKS}]", group[1]) or (words and in_chinese):
            yield f"Chinese text has full-width brackets （…）: {_around(text, group)}."
    if quote := re.search(rf"\"(?=[{HAN}])|(?<=[{HAN}{MARKS}])\"", text):
        yield f"Chinese text has the quotation marks “…”: {_around(text, quote)}."
    last = re.split("[。！？]", text.strip(" |"))[-1]
    if re.search(rf"[{HAN}].*[A-Za-z0-9)]\.$", last):
        yield "The last sentence ends with a half-width point."


def _around(text: str, match: re.Match) -> str:
    return f"…{text[max(0, match.start() - 8) : match.end() + 8]}…"


def _english_left(unit: Unit, chinese: str) -> Iterator[str]:
    """Prose that was not translated; titles and names are no prose."""
    if _is_source(unit):
        return
    text = re.sub(r"(?<!\*)\*[^*]+\*(?!\*)|“[^”]*”|《[^》]*》|\"[^\"]*\"", " · ", chinese)
    text = blocks.plain(text, " · ")
    word = r"[A-Za-z][A-Za-z'’-]*"
    for run in re.finditer(rf"{word}(?:[ ,;:]+{word}){{4,}}", text):
        if len(re.findall(r"(?<![\w'’-])[a-z]{2,}", run[0])) >= 2:
            yield f"English prose is left: {run[0][:60]}."
            return
    prose = re.findall(r"(?<![\w.])[a-z]{3,}(?![\w(]|\.\w)", blocks.plain(unit.english))
    if not re.search(f"[{HAN}]", chinese) and len(prose) >= 2:
        yield "There is no Chinese in it."


# --- terms ----------------------------------------------------------------------------------------


@cache
def glossary() -> dict[str, list[str]]:
    """What docs/glossary.md gives for each English term: one or several Chinese words."""
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    found = {}
    for english, chinese in ROW.findall(page.partition("|---|---|---|---|\n")[2]):
        main = re.sub("（[^）]*）", "", chinese)
        words = [word.strip() for word in re.split("[；，、/]", main) if word.strip()]
        words += re.findall(r"[A-Za-z][\w-]*", chinese)  # Dropout, ReLU, logit
        found[english] = words
    return found


@cache
def _patterns() -> list[tuple[str, re.Pattern]]:
    terms = sorted(glossary(), key=len, reverse=True)
    return [
        (term, re.compile(rf"(?<![\w-]){re.escape(term)}(?:s|es)?(?![\w-])", re.IGNORECASE))
        for term in terms
    ]


def terms_in(english: str) -> list[str]:
    """The terms of the glossary that a block uses, the longer ones first."""
    text = re.sub(r"(?<!\*)\*[A-Z][^*]*\*(?!\*)", " ", blocks.plain(english))  # titles
    found = []
    for term, pattern in _patterns():
        text, count = pattern.subn(" ", text)
        if count:
            found.append(term)
    return found


def _terms(english: str, chinese: str, other_sense: set[str]) -> Iterator[str]:
    folded = re.sub(r"[\s*]", "", chinese).lower()
    for term in terms_in(english):
        words = glossary()[term]
        if term in EVERYDAY or term in other_sense:
            continue
        if not any(re.sub(r"\s", "", word).lower() in folded for word in words):
            yield (
                f"By the glossary, {term} is {' or '.join(words)}. (Has the block another sense of "
                'the word? Then the answer says "other_sense": the term.)'
            )
    for pattern, ours in PHRASES:
        if re.search(pattern, english) and ours not in chinese:
            yield f"In every chapter {re.search(pattern, english)[0].strip()} is {ours}"
    outside = re.sub("（[^（）]*）", "", chinese)
    for word, ours in OTHERS.items():
        if word in outside:
            yield f"The course says {ours}, not {word} (which may stand in brackets once)."
