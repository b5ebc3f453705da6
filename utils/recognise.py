"""Finds out which messages a finished English text is made of, and says it in another language.

Messages are ordinary f-strings where they are made. A catalogue holds their templates, such as
`{count} is not right.`, with a translation each. A text is taken apart into templates, one after
another and inside each other, by dynamic programming over the places between its words: of all ways
to read it the one that leaves the fewest words unread. What stands in a placeholder is read in the
same way if it can be; numbers, code, names and the errors of torch stay as they are, and so does a
sentence that is not in the catalogue.

Standard library only.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from itertools import accumulate

UNREAD = 3.0  # what a word costs that stays English inside a placeholder
SENTENCE = 8.0  # what a whole English sentence costs besides
LENGTH = 0.0001  # what a letter in a placeholder costs: shorter contents are likelier
LONGEST = 1_500  # letters of a line; a longer one is no message of the course

_HOLE = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
# Code, what is quoted, an exception with what it says, and a layer: `Conv2d(1→6, 5×5)`.
_PROTECTED = re.compile(
    r"""(?<=: )"[^\n]*?"(?=\)\.?(?:\s|$))|`[^`]*`|"[^"]*"|(?<!\w)'[^']*'(?!\w)|<[^<> ]*>"""
    r"|\b[A-Z]\w*(?:Error|Exception|Iteration|Interrupt)"
    r"(?:: (?:.*?(?= \(line \d)|.*?(?=[.?!]?(?:\s[A-Z]|$))))?"
    r"|\b[A-Z]\w*\([^()]*(?:\([^()]*\)[^()]*)*\)|(?<=→ )[A-Z]\w*|[A-Z]\w*(?= →)"
    r"|\b[\w.]+\((?:[^\s(),]+(?:, |(?=\))))*\)"
)
_TYPES = (
    r"(?:list|dict|tuple|set|int|float|bool|str|generator|ndarray|True|False|None|nan)\b"  # names
)
_WORD = re.compile(
    rf"(?<![\w.=/\\@\[])(?:an?(?= \w)|(?!{_TYPES})[A-Za-z][a-z']+)(?![\w=(\[/\\]|\.\w|-\d)"
)
_GLUE = re.compile(r"[\s,;:.…()—]+")
_TOKEN = re.compile(r"[^\s(]+?(?=[,;:.…)]*(?:\s|$)|\()")
_NAME = re.compile(r"[A-Z][a-z]\w*(?!\w)")
_END = re.compile(r"[.?!](?=\)?(?:\s|$))\)?")


@dataclass(frozen=True)
class Template:
    """A template as fixed pieces with holes between them: `("", " is not right.")` and `count`."""

    text: str
    pieces: tuple[str, ...]
    names: tuple[str, ...]
    words: int  # of its own

    @property
    def longest(self) -> str:
        """A text that stands wherever the template does."""
        first, *others = self.pieces
        return max((first[1:], *others), key=len).removesuffix(".")


def template(text: str) -> Template:
    """A template such as `{count} is not right.`; `{{` is a brace."""
    parts = _HOLE.split(text)
    pieces = [part.replace("{{", "{").replace("}}", "}") for part in parts[::2]]
    words = sum(len(_WORD.findall(piece)) for piece in pieces)
    return Template(text, tuple(pieces), tuple(parts[1::2]), words)


@dataclass(frozen=True)
class Found:
    """A part of a text: a template with what stands in its holes, or the text as it is."""

    text: str  # as it stands there
    template: Template | None = None
    holes: tuple[tuple[Found, ...], ...] = ()
    unread: int = 0  # words that no template knows


class Recogniser:
    """Knows templates and their translations.

    Args:
        translations: for each template the same in the other language, with the same names.
    """

    def __init__(self, translations: Mapping[str, str]) -> None:
        self.translations = dict(translations)
        self.by_longest = [(t.longest, t) for t in map(template, self.translations)]

    def translate(self, text: str) -> str:
        """The text in the other language as far as the catalogue has it; line by line."""
        return "\n".join(map(self._line, text.split("\n")))

    @lru_cache(maxsize=512)  # noqa: B019  (one recogniser lives as long as the process)
    def _line(self, line: str) -> str:
        if len(line) > LONGEST or not _WORD.search(line):
            return line
        indent = line[: len(line) - len(line.lstrip())]
        return indent + tidied(self._said(self.read(line.strip())))

    def _said(self, parts: Iterable[Found]) -> str:
        """Parts in a row; a sign behind a translated one is Chinese."""
        text, translated = "", False
        for part in parts:
            said = self.render(part)
            text += _FULL.get(said.strip(), said) if translated and said.strip() in ".;:" else said
            translated = part.template is not None
        return text

    def unread(self, text: str) -> list[str]:
        """The English sentences of a text that the catalogue does not have."""
        lines = [line.strip() for line in text.split("\n")]
        parts = [part for line in lines if line for part in self.read(line)]
        return [part.text for part in parts if part.template is None and part.unread]

    def render(self, part: Found) -> str:
        """One part in the other language."""
        if part.template is None:
            return part.text
        values = {name: self._said(hole) for name, hole in zip(part.template.names, part.holes)}
        said = self.translations[part.template.text]
        text = _HOLE.sub(lambda match: values.get(match[1], match[0]), said)
        text = text.replace("{{", "{").replace("}}", "}")
        if part.template.pieces[-1].endswith(".") and not part.text.endswith("."):
            text = text.rstrip("。.")  # the sentence is a clause of another one
        return text

    def read(self, text: str) -> list[Found]:
        """The parts of one line, in its order."""
        return list(_Reading(text, self._candidates(text)).parts())

    def _candidates(self, text: str) -> list[Template]:
        """The templates whose fixed pieces are all in the text, in their order."""
        return [
            template
            for longest, template in self.by_longest
            if longest in text and _holds(text, template.pieces)
        ]


def _holds(text: str, pieces: Sequence[str]) -> bool:
    place = 0
    for number, piece in enumerate(pieces):
        if number == 0:
            piece = piece[1:]  # its first letter may be small or large
        if number == len(pieces) - 1:
            piece = piece.removesuffix(".")
        place = text.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return True


Hole = tuple[int, int, bool]  # from, to, and whether it is read or stays as it is
Tail = tuple[int, float, tuple[Hole, ...]]  # where a template ends, the cost, what is in its holes


@dataclass(frozen=True)
class _Step:
    """The last part on the cheapest way to a place, and where that part begins."""

    cost: float
    start: int
    part: Found | tuple[Template, tuple[Hole, ...]] | None = None  # None at the beginning


Way = dict[int, _Step]  # for each place the cheapest way to it


class _Reading:
    """One line, read with the templates that may be in it.

    `self.ways[i][j]` ends the cheapest way to read what stands from i to j as a row of parts. Ways
    from later places are found first, since what stands in a hole comes later than its template.
    """

    def __init__(self, text: str, candidates: Iterable[Template]) -> None:
        self.text, self.lower = text, text.lower()
        self.depth = [0, *accumulate((c == "(") - (c == ")") for c in text)]  # of brackets
        self.protected = [match.span() for match in _PROTECTED.finditer(text)]
        masked = self._masked()
        words = [match.span() for match in _WORD.finditer(masked)]
        self.word_starts, self.word_ends = [a for a, _ in words], [b for _, b in words]
        self.ends = [match.end() for match in _END.finditer(masked)]
        self.begun: list[Template] = []  # templates that begin with a fixed piece
        self.open: list[Template] = []  # and with a hole
        self.places: dict[tuple[str, bool], list[tuple[int, int]]] = {}
        self.plain: dict[tuple[int, bool], list[tuple[int, _Step]]] = {}
        self.tails: dict[tuple[str, int, int], list[Tail]] = {}
        signs = re.finditer(r"([.;:,)]*)(?:\s|$)", text)
        places = {at for m in signs for at in range(m.start(), m.end(1) + 1)}
        self.stops = [place for place in sorted(places) if self._is_end(place)]
        for candidate in candidates:
            (self.begun if candidate.pieces[0] else self.open).append(candidate)
        self.starts = self._starts()
        self.ways: dict[int, Way] = {}
        self.units: dict[int, Way] = {}
        for start in sorted(self.starts, reverse=True):
            self._read_from(start)

    def parts(self) -> Iterator[Found]:
        yield from self._row(0, len(self.text))

    def _row(self, start: int, end: int) -> tuple[Found, ...]:
        """The parts on the cheapest way."""
        found: list[Found] = []
        while end > start:
            step = self.ways[start][end]
            part = step.part
            if isinstance(part, tuple):
                candidate, holes = part
                rows = tuple(self._in_hole(*hole) for hole in holes)
                part = Found(self.text[step.start : end], candidate, rows)
            found.append(part)
            end = step.start
        return tuple(reversed(found))

    def _in_hole(self, start: int, end: int, is_read: bool) -> tuple[Found, ...]:
        if is_read:
            return self._row(start, end)
        return (Found(self.text[start:end], unread=self._unread(start, end)),)

    def _masked(self) -> str:
        text = list(self.text)
        for start, end in self.protected:
            text[start:end] = "_" * (end - start)
        return "".join(text)

    def _starts(self) -> set[int]:
        """The places where a part may begin."""
        self.holes = {0}  # the places where a hole may begin
        for candidate in (*self.begun, *self.open):
            for piece in candidate.pieces[:-1]:
                self.holes |= {end for _, end in self._occurrences(piece)}
            if candidate.pieces[0] and len(candidate.pieces) > 1:
                first = self._occurrences(candidate.pieces[0][1:])
                self.holes |= {end for _, end in first}
        found = {m.end() for m in re.finditer(r"[\s(]+", self.text)}
        found = self.holes | {place for place in found if not self._is_inside(place, place)}
        return {start for start in found if start < len(self.text)}

    def _occurrences(self, piece: str, last: bool = False) -> list[tuple[int, int]]:
        """(start, end) of a fixed piece wherever it is; a last one may lack its full stop."""
        key = piece, last
        if key not in self.places:
            found = self._find(piece) if piece else []
            if last and len(piece) > 1 and piece.endswith("."):
                full = {start for start, _ in found}
                found += [span for span in self._find(piece[:-1]) if span[0] not in full]
            if last:
                found = [span for span in found if self._is_end(span[1])]
            self.places[key] = found
        return self.places[key]

    def _find(self, piece: str) -> list[tuple[int, int]]:
        found, at = [], self.text.find(piece)
        # Inside of code are no words of a message, and no signs of a sentence.
        of_code = re.search("[`\"']", piece) or not re.search("[a-z]{2}|[.?!,;:]", piece)
        while at >= 0:
            end = at + len(piece)
            if of_code or not self._is_inside(at, end):
                found.append((at, end))
            at = self.text.find(piece, at + 1)
        return found

    def _is_inside(self, start: int, end: int) -> bool:
        """Whether all of this is in the midst of something protected."""
        number = bisect_left(self.protected, (start, 0)) - 1
        return (
            number >= 0 and end <= self.protected[number][1] and start < self.protected[number][1]
        )

    def _is_end(self, place: int) -> bool:
        """Whether no word goes on here."""
        return not (
            self.text[place - 1 : place].isalnum() and self.text[place : place + 1].isalnum()
        )

    def _unread(self, start: int, end: int) -> int:
        """How many English words are there, outside of code."""
        return max(0, bisect_right(self.word_ends, end) - bisect_left(self.word_starts, start))

    # --- what begins at a place -------------------------------------------------------------------

    def _read_from(self, start: int) -> None:
        ways: Way = {start: _Step(0.0, start)}
        units: Way = {}
        self.ways[start], self.units[start] = ways, units
        events = [start]  # a heap

        def reach(end: int, step: _Step) -> None:
            if end not in ways or step.cost < ways[end].cost - 1e-9:
                if end not in ways and end < len(self.text):
                    heappush(events, end)
                ways[end] = step

        def begin(candidate: Template, number: int, place: int, holes: tuple, cost: float) -> None:
            for end, more, others in self._tails(candidate, number, place):
                total = 1.0 - 0.01 * candidate.words + cost + more
                if end > start and (end not in units or total < units[end].cost - 1e-9):
                    units[end] = _Step(total, start, (candidate, (*holes, *others)))
                    reach(end, units[end])

        for candidate in self.begun:
            if end := self._begins(candidate, start):
                begin(candidate, 1, end, (), 0.0)
        opened: dict[int, list[tuple[Template, int]]] = {}
        for candidate in self.open:
            last = len(candidate.pieces) == 2
            for place, end in self._occurrences(candidate.pieces[1], last):
                if place > start:
                    opened.setdefault(place, []).append((candidate, end))
        for place in opened.keys() - ways.keys():
            heappush(events, place)
        # How far a row of parts from here can be of use.
        limit = len(self.text) if start in self.holes else max(opened, default=start)
        # A template that begins with a hole seldom begins in the midst of a sentence.
        before = self.text[:start].rstrip()
        inside = 0.5 if before and not before.endswith((*".?!:;(", ".)")) else 0.0
        done = -1
        while events:
            place = heappop(events)
            if place > limit:
                break
            if place == done:  # it was in the heap twice
                continue
            done = place
            if place in opened:
                cost, hole = self._hole(start, place)
                cost += inside
                for candidate, end in opened[place]:
                    begin(candidate, 2, end, (hole,), cost)
            if place not in ways:
                continue
            before = ways[place].cost
            edges = self.units.get(place, {}) if place > start else {}
            for end, step in (*edges.items(), *self._plain(place, place == start)):
                if end not in ways or before + step.cost < ways[end].cost - 1e-9:
                    reach(end, _Step(before + step.cost, place, step.part))

    def _begins(self, candidate: Template, start: int) -> int:
        """Where the first piece ends if it begins here, with a small or a large letter; else 0."""
        piece = candidate.pieces[0]
        end = start + len(piece)
        only = len(candidate.pieces) == 1
        if (
            self.text[start + 1 : end] == piece[1:]
            and self.lower[start : start + 1] == piece[0].lower()
        ):
            return end if not only or self._is_end(end) else 0
        if only and len(piece) > 1 and piece.endswith("."):
            same = self.text[start + 1 : end - 1] == piece[1:-1]
            if same and self.lower[start] == piece[0].lower() and self._is_end(end - 1):
                return end - 1
        return 0

    def _tails(self, candidate: Template, number: int, place: int) -> list[Tail]:
        """How the template can go on, and end, if piece `number - 1` ends at this place."""
        if number == len(candidate.pieces):
            return [(place, 0.0, ())]
        key = candidate.text, number, place
        if key not in self.tails:
            best: dict[int, Tail] = {}
            for begin, after in self._hole_ends(candidate.pieces, number, place):
                cost, hole = self._hole(place, begin)
                for end, more, holes in self._tails(candidate, number + 1, after):
                    if end not in best or cost + more < best[end][1]:
                        best[end] = end, cost + more, (hole, *holes)
            self.tails[key] = list(best.values())
        return self.tails[key]

    def _hole_ends(self, pieces: Sequence[str], number: int, place: int) -> list[tuple[int, int]]:
        """(where a hole that begins at this place ends, where the piece behind it does)."""
        last = number == len(pieces) - 1
        if pieces[number]:
            return [span for span in self._occurrences(pieces[number], last) if span[0] >= place]
        # What ends a template ends with its sentence, or is all the rest.
        sentence = next((end for end in self.ends if end > place), len(self.text))
        first = bisect_right(self.stops, place)
        stops = self.stops[first : bisect_right(self.stops, sentence)]
        empty = [place] if self._is_end(place) else []
        return [(end, end) for end in {*empty, *stops, len(self.text)}]

    def _hole(self, start: int, end: int) -> tuple[float, tuple[int, int, bool]]:
        """What it costs that this stands in a hole, and whether it is read or stays as it is."""
        if start == end:
            return 0.1, (start, end, False)
        cost = LENGTH * (end - start)
        cost += max(0, bisect_left(self.ends, end) - bisect_right(self.ends, start))  # sentences
        inside, depth = self.text[start:end], self.depth[start : end + 1]
        if not any(map(str.isalnum, inside)):  # signs belong to the sentence around
            cost += 1.0
        if depth[-1] != depth[0] or min(depth) < depth[0]:  # half of a pair of brackets
            cost += 1.0
        if inside.endswith((",", ";", ":", ".")):
            cost += 0.3
        if "; " in inside:  # clauses
            cost += 1.0
        unread = self._unread(start, end)
        raw = 0.05 + UNREAD * unread * (2 if unread > 2 else 1)  # no name has so many words
        raw += 0.1 * sum(d == depth[0] for d, c in zip(depth, inside) if c == ",")  # a row of parts
        way = self.ways.get(start, {}).get(end)
        if way is not None and way.cost < raw:
            return cost + way.cost, (start, end, True)
        return cost + raw, (start, end, False)

    def _plain(self, place: int, first: bool) -> list[tuple[int, _Step]]:
        if (place, first) not in self.plain:
            self.plain[place, first] = list(self._plain_steps(place, first))
        return self.plain[place, first]

    def _plain_steps(self, place: int, first: bool) -> Iterator[tuple[int, _Step]]:
        """Signs and code, and a sentence that stays as it is."""
        text = self.text
        if glue := _GLUE.match(text, place):
            space = glue[0][: len(glue[0]) - len(glue[0].lstrip())] or glue[0][0]
            for sign in {space, glue[0]}:
                yield place + len(sign), _Step(0.02, place, Found(sign))
        stop = next((b for a, b in self.protected if a == place), 0)
        if not stop and (token := _TOKEN.match(text, place)):
            stop = next((b for a, b in self.protected if a < token.end() < b), token.end())
        if stop and not self._unread(place, stop):
            yield stop, _Step(0.05, place, Found(text[place:stop]))
        before = text[:place].rstrip()
        name = _NAME.match(text, place)  # of a class, in the midst of a sentence
        if (name and before[-1:].isalnum()) or (name and before.endswith(("→", ","))):
            yield name.end(), _Step(0.7 * UNREAD, place, Found(name[0], unread=1))
        if first or before.endswith((".", "?", "!", ":", ".)")):
            end = next((e for e in self.ends if e > place), len(text))
            unread = self._unread(place, end)
            yield (
                end,
                _Step(SENTENCE + UNREAD * unread, place, Found(text[place:end], unread=unread)),
            )


# --- the signs of Chinese -------------------------------------------------------------------------

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_MARK = "\u2014\u2018-\u201d\u2026\u3001-\u301f\uff01-\uff0f\uff1a-\uff20"
_HELD = "\ue000-\uf8ff"  # stands for a piece of code
_LATIN = f"A-Za-z0-9{_HELD}"
_CODE = re.compile(r"`[^`]*`|\"[^\"]*\"|[\w>]\((?:[^()]|\([^()]*\))*\)")
_BRACKETS = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
_SIGN = re.compile(
    rf"(?<=[{_HAN}{_MARK}]) *([,;:.?!])(?=[\s{_HAN}{_MARK})]|$) *|([,;:]) *(?=[{_HAN}“（])"
)
_FULL = dict(zip(",;:.?!", "，；：。？！"))
_SPACES = (
    (rf" +(?=[{_MARK}])|(?<=[{_MARK}]) +|(?<=[{_HAN}]) +(?=[{_HAN}])", ""),
    (rf"(?<=[{_HAN}]) *(?=[{_LATIN}])|(?<=[{_LATIN}%)]) *(?=[{_HAN}])", " "),
)


def tidied(text: str) -> str:
    """Beside Chinese words the signs are Chinese, and spaces as in Chinese; code stays as it is."""
    if not re.search(f"[{_HAN}]", text):
        return text
    code: list[str] = []

    def held(match: re.Match) -> str:
        code.append(match[0])
        return chr(0xE000 + len(code) - 1)

    def bracketed(match: re.Match) -> str:
        inside, before = match[0][1:-1], match.string[: match.start()].rstrip()[-1:]
        words = re.search(f"[a-z]{{3}}|[{_HELD}]", inside) and "," not in inside
        chinese = (words and re.match(f"[{_HAN}{_MARK}]", before)) or inside in names
        chinese = chinese or re.search(f"[{_HAN}]", inside)
        return f"（{_BRACKETS.sub(bracketed, inside)}）" if chinese else match[0]

    text = _CODE.sub(held, re.sub(f"(?<=[{_HAN}]) +(?=[{_HAN}])", "", text))
    names = [chr(0xE000 + n) for n, piece in enumerate(code) if piece[0] == "`"]
    text = _BRACKETS.sub(bracketed, text)
    text = _SIGN.sub(lambda match: _FULL[match[1] or match[2]], text)
    text = re.sub(f"(?<=[{_HELD}]), (?=[{_HELD}])", "、", text)
    text = re.sub(f", (?=[{_HELD}])|(?<=[%{_HELD}]), ", "，", text)
    for pattern, space in _SPACES:
        text = re.sub(pattern, space, text)
    return re.sub(f"[{_HELD}]", lambda match: code[ord(match[0]) - 0xE000], text)
