"""What a check sees of an answer: the results of its calls and the modules that it compares.

While a `Trace` watches, `compare.call` and `compare.same_outputs` tell it what comes out. Two
answers that a check sees alike, one observation after the other, behave alike as far as it looks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

LARGE = 100_000  # bytes


class Alike(BaseException):
    """The answer that is watched has done all that another one did. (No check catches it.)"""


class Unlike(BaseException):
    """The answer that is watched does something else than another one did."""


@dataclass(frozen=True)
class Seen:
    """One observation: what came out, and for a call the arguments that went in."""

    result: Any
    arguments: tuple | None = None


@dataclass
class Compared:
    """A module that was compared, on inputs of these shapes.

    facts: what comparisons have found out about the module, which may itself be gone (None).
    """

    module: Any
    shapes: tuple
    facts: dict = field(default_factory=dict)


@dataclass
class Trace:
    """Records observations or, where `expected` is given, compares them as they come."""

    expected: list[Seen] | None = None
    alike: Any = None  # function of two results
    seen: list[Seen] = field(default_factory=list)
    postponed: Exception | None = None  # what a later comparison may say better

    def see(self, result: Any, arguments: tuple | None) -> None:
        if self.expected is None:
            self.seen.append(Seen(kept(result), arguments))
            return
        number = len(self.seen)
        same = number < len(self.expected) and self.alike(self.expected[number].result, result)
        self.seen.append(Seen(outline(result)))
        if not same:
            raise Unlike
        if number + 1 == len(self.expected):
            raise Alike


_watching: list[Trace] = []


@contextmanager
def watching(trace: Trace) -> Iterator[Trace]:
    _watching.append(trace)
    try:
        yield trace
    finally:
        _watching.pop()


@contextmanager
def unwatched() -> Iterator[None]:
    """Nothing inside is seen: calls that a comparison makes for itself."""
    before = _watching[:]
    _watching.clear()
    try:
        yield
    finally:
        _watching[:] = before


def is_recording() -> bool:
    return bool(_watching) and _watching[-1].expected is None


def is_following() -> bool:
    """Whether what is watched is a candidate, which has to do what another answer did."""
    return bool(_watching) and _watching[-1].expected is not None


def see(result: Any, arguments: tuple | None = None) -> None:
    if _watching:
        _watching[-1].see(result, arguments)


def kept(result: Any) -> Any:
    """A copy that nobody changes; what cannot be copied is kept as it is."""
    try:
        return copy.deepcopy(result)
    except Exception:
        return result


MODULE = nn.Identity()  # for one that is not kept
TOO_LARGE = object()


def outline(result: Any) -> Any:
    """A copy that is small enough to be kept for long, or `TOO_LARGE`: without modules."""
    if isinstance(result, Compared):
        return Compared(None, result.shapes, result.facts)
    if isinstance(result, (tuple, list)):
        parts = [outline(value) for value in result]
        return TOO_LARGE if any(part is TOO_LARGE for part in parts) else parts
    if isinstance(result, nn.Module):
        return MODULE
    return TOO_LARGE if getattr(result, "nbytes", 0) > LARGE else kept(result)


def postpone(error: Exception) -> bool:
    """Keep an error for `postponed`, as a comparison that follows sees more. False: nobody will."""
    if _watching:
        _watching[-1].postponed = _watching[-1].postponed or error
    return bool(_watching)


def postponed() -> Exception | None:
    return _watching[-1].postponed if _watching else None
