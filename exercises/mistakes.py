"""Names the mistake in a wrong answer: which small change of the right answer behaves like it?

A check records what it saw of the answer (`Trace`): the results of its calls, the modules that it
compared. Candidates are right answers with one mistake in them. A candidate whose trace is the same
has done what the learner has done, so its mistake can be named: nothing is guessed from the code.

There are three kinds of candidates: the right answer with something done to its result
(transposed, rounded, only the first image), with something done to an argument (not used, exchanged
with another, made square), and the solution's text with a slip in it (`exercises.mutants`).
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import math
import numbers
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises import compare, repairs, trace
from exercises.compare_modules import alike_modules
from exercises.trace import Alike, Compared, Seen, Trace, Unlike

SECONDS = 3.0  # for all candidates of one answer
FURTHER = 0.5  # seconds to look for another mistake that does the same, after one was found


@dataclass(eq=False)
class Candidate:
    """A right answer with one mistake: what was done in words, and how to make it.

    observed: what the check has seen of it, as far as it was followed, in outlines.
    """

    words: str
    make: Callable[[], Any]
    observed: list = field(default_factory=list)


# --- what is done to a result ---------------------------------------------------------------------

Change = tuple[str, Callable[[Any], Any]]


def _tensor_changes(result: Tensor) -> Iterator[Change]:
    """What can be done to a tensor by mistake; `result` is the right one, for its shape."""
    axes = result.ndim
    if axes >= 2:
        yield (
            "rows and columns have changed places (the result is transposed)",
            lambda y: y.transpose(-1, -2),
        )
    if axes == 4:
        yield (
            "the channels come last: the axes are (N, H, W, C), not (N, C, H, W)",
            lambda y: y.permute(0, 2, 3, 1),
        )
        for order in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 3, 2, 1), (1, 0, 2, 3)):
            yield (
                "a reshape (or `view`) puts the numbers in another order where the axes have to be "
                "moved with `permute`",
                lambda y, o=order: y.permute(o).reshape(y.shape),
            )
            yield (
                "a reshape (or `view`) puts the numbers in another order where the axes have to be "
                "moved with `permute`",
                lambda y, o=order: y.reshape([y.shape[i] for i in o]).permute(
                    [o.index(i) for i in range(4)]
                ),
            )
    if axes == 3:
        for order in ((1, 2, 0), (2, 0, 1), (1, 0, 2), (2, 1, 0)):
            yield (
                "a reshape (or `view`) puts the numbers in another order where the axes have to be "
                "moved with `permute`",
                lambda y, o=order: y.permute(o).reshape(y.shape),
            )
            yield (
                f"the axes come in another order, {order}",
                lambda y, o=order: y.permute(o),
            )
    yield "the absolute value is taken, so that negative numbers lose their sign", torch.abs
    yield "the sign is turned around: every number is the negative one", torch.neg
    yield "there is a ReLU at the end, which cuts negative numbers to 0", torch.relu
    yield "there is a sigmoid at the end", torch.sigmoid
    yield "there is a tanh at the end", torch.tanh
    yield "there is a softplus at the end, which makes every number positive", F.softplus
    yield "every number is squared at the end", torch.square
    yield "the square root is taken at the end", torch.sqrt
    yield "the exponential function is applied at the end", torch.exp
    yield "the logarithm is taken at the end", torch.log
    yield "the numbers are rounded to whole ones", torch.round
    for kind in (torch.int64, torch.int32, torch.uint8):
        yield f"the numbers are turned into whole ones ({kind})", lambda y, k=kind: y.to(k)
    for places in (1, 2, 3):  # a fourth is within what a comparison forgives
        yield f"the numbers are rounded to {places} places", lambda y, p=places: y.round(decimals=p)
    if axes:
        for name, axis in _axis_names(axes):
            yield (
                f"a softmax over the {name} is taken at the end",
                lambda y, a=axis: y.softmax(dim=a),
            )
            yield (
                f"a log-softmax over the {name} is taken at the end",
                lambda y, a=axis: y.log_softmax(dim=a),
            )
            yield f"the order of the {name} is reversed (flipped)", lambda y, a=axis: y.flip(a)
            yield (
                f"the index of the largest entry along the {name} is returned, as by argmax",
                lambda y, a=axis: y.argmax(dim=a),
            )
            yield (
                f"the largest entry along the {name} (the maximum) is returned",
                lambda y, a=axis: y.amax(dim=a),
            )
            for keep in (False, True):
                more = ", and the axis is kept with length 1" if keep else ""
                yield (
                    f"the result is averaged over the {name} at the end{more}",
                    lambda y, a=axis, k=keep: y.mean(dim=a, keepdim=k),
                )
                yield (
                    f"the result is summed over the {name} at the end{more}",
                    lambda y, a=axis, k=keep: y.sum(dim=a, keepdim=k),
                )
            yield (
                f"only the first entry along the {name} is returned (`[0]`)",
                lambda y, a=axis: y.select(a, 0),
            )
            yield (
                f"only the first entry along the {name} is returned (with an axis of length 1)",
                lambda y, a=axis: y.narrow(a, 0, 1),
            )
            yield (
                f"the result is divided by its sum over the {name}",
                lambda y, a=axis: y / y.sum(dim=a, keepdim=True),
            )
            yield (
                f"the result is divided by its largest entry along the {name}",
                lambda y, a=axis: y / y.amax(dim=a, keepdim=True),
            )
            yield (
                f"the result is sorted along the {name}",
                lambda y, a=axis: y.sort(dim=a).values,
            )
        for axis in range(axes + 1):
            yield (
                "there is an axis of length 1 too many: remove it with `squeeze` or an index",
                lambda y, a=axis: y.unsqueeze(a),
            )
        yield (
            "there are two axes of length 1 too many (batch and channel): take `[0, 0]`",
            lambda y: y[None, None],
        )
        yield (
            "there are two axes of length 1 too many at the end (height and width): flatten them",
            lambda y: y[..., None, None],
        )
        yield (
            "`squeeze()` without a number also drops the axis of the images where there is only "
            "one image",
            lambda y: y.squeeze(),
        )
        yield "the result is flattened to one axis", lambda y: y.flatten()
        if axes > 2:
            yield (
                "a flatten at the end puts the axes after the first in a row",
                lambda y: y.flatten(1),
            )
        yield "everything is summed to a single number", lambda y: y.sum()
        yield "everything is averaged to a single number", lambda y: y.mean()
    if axes >= 3:
        for factor in (2, 4, 8):
            for mode in ("nearest", "bilinear"):
                yield (
                    f"the maps are enlarged {factor} times (upsampled, {mode})",
                    lambda y, f=factor, m=mode: _enlarged(y, f, m),
                )
        yield (
            "the map is scaled to the range 0 to 1",
            lambda y: (
                (y - y.amin((-2, -1), True)) / (y.amax((-2, -1), True) - y.amin((-2, -1), True))
            ),
        )
    if axes >= 2:
        yield "the last row and the last column stay zero", _last_zero
        yield (
            "only the diagonal is used",
            lambda y: y * torch.eye(y.shape[-2], y.shape[-1], dtype=y.dtype),
        )
    yield "the result has no gradient (detach, .data or no_grad)", lambda y: y.detach()


def _axis_names(axes: int) -> list[tuple[str, int]]:
    """The axes of a result in words."""
    if axes == 4:
        return [("images", 0), ("channels", 1), ("rows (height)", 2), ("columns (width)", 3)]
    if axes == 3:
        return [("first axis", 0), ("second axis", 1), ("last axis", 2)]
    if axes == 2:
        return [("first axis (rows)", 0), ("last axis (columns)", 1)]
    return [("only axis", 0)]


def _enlarged(maps: Tensor, factor: int, mode: str) -> Tensor:
    planes = maps.reshape(-1, 1, *maps.shape[-2:])
    smooth = {"align_corners": False} if mode == "bilinear" else {}
    larger = F.interpolate(planes, scale_factor=factor, mode=mode, **smooth)
    return larger.reshape(*maps.shape[:-2], *larger.shape[-2:])


def _last_zero(result: Tensor) -> Tensor:
    result = result.clone()
    result[..., -1, :] = 0
    result[..., :, -1] = 0
    return result


def _number_changes(result: float) -> Iterator[Change]:
    yield "the sign is turned around", lambda y: -y
    yield "the absolute value is taken", abs
    yield "1 is added at the end", lambda y: y + 1
    yield "1 is subtracted at the end", lambda y: y - 1
    yield "the square root is taken at the end", lambda y: math.sqrt(y)
    yield "the number is squared at the end", lambda y: y * y
    yield "the exponential function is applied at the end", math.exp
    yield "the logarithm is taken at the end", math.log
    yield "1 minus the number is returned", lambda y: 1 - y
    yield "one divided by the number is returned", lambda y: 1 / y
    yield "the number is cut to a whole one (`int` or `//`)", lambda y: math.floor(y)
    yield "the number is rounded to a whole one", lambda y: round(y)
    for places in (1, 2, 3):
        yield f"the number is rounded to {places} places", lambda y, p=places: round(y, p)
    for factor, words in FACTORS.items():
        yield words, lambda y, f=factor: y * f


FACTORS = {
    100: "the number is in percent (100 times too large)",
    0.01: "the number is divided by 100",
    2: "the number is twice the right one",
    0.5: "the number is half the right one",
    1e-6: "the number is in millions",
    1e-3: "the number is in thousands",
    1e3: "the number is a thousand times too large",
    10: "the number is ten times too large",
    0.1: "the number is a tenth of the right one",
    4: "the number is four times the right one (multiplied by 4)",
    0.25: "the number is a quarter of the right one",
}


def result_changes(result: Any) -> Iterator[Change]:
    """What can be done to a result by mistake, in words, and as a function."""
    if isinstance(result, Tensor) and result.is_floating_point():
        yield from _tensor_changes(result)
    elif isinstance(result, numbers.Real) and not isinstance(result, bool):
        yield from _number_changes(float(result))
    elif isinstance(result, (tuple, list)) and result:
        if len(result) == 2:
            yield "the two results have changed places", lambda y: type(y)(reversed(y))
        yield "the order of the results is reversed", lambda y: type(y)(reversed(y))
        yield "only the first of the results is returned", lambda y: y[0]
        if all(isinstance(v, numbers.Real) for v in result):
            for words, change in _number_changes(1.0):
                yield words, lambda y, c=change: type(y)(map(c, y))
            yield (
                "the largest of the numbers is given for all",
                lambda y: type(y)([max(y)] * len(y)),
            )
            yield (
                "the smallest of the numbers is given for all",
                lambda y: type(y)([min(y)] * len(y)),
            )
            yield (
                "the square root of the product is given for both, as if the area were a square",
                lambda y: type(y)([round(math.sqrt(math.prod(y)))] * len(y)),
            )
            yield (
                "width and height are given in place of the right and lower edge",
                lambda y: type(y)([y[0], y[1], y[2] - y[0], y[3] - y[1]]),
            )
            yield (
                "rows and columns have changed places",
                lambda y: type(y)([y[1], y[0], y[3], y[2]]),
            )
        else:
            for number in range(len(result)):
                for words, change in result_changes(result[number]):
                    yield (
                        f"in value {number + 1} of the result {words}",
                        lambda y, n=number, c=change: type(y)(
                            c(v) if i == n else v for i, v in enumerate(y)
                        ),
                    )


# --- what is done to an argument ------------------------------------------------------------------


def argument_changes(name: str, value: Any, others: dict[str, Any]) -> Iterator[Change]:
    """What can be done to one argument by mistake; `others` are the values seen in other calls."""
    if isinstance(value, Tensor):
        yield from _tensor_argument_changes(name, value)
    elif isinstance(value, bool):
        for fixed in (True, False):
            yield f"`{name}` is not used: it counts as {fixed}", lambda v, f=fixed: f
    elif isinstance(value, int):
        for fixed in dict.fromkeys([*others.get(name, ()), 0, 1, 2, 3, 10]):
            yield f"`{name}` is not used: it is always {fixed}", lambda v, f=fixed: f
        yield f"`{name}` is at most 1: larger values count as 1", lambda v: min(v, 1)
        yield f"`{name}` is one too large", lambda v: v + 1
        yield f"`{name}` is one too small", lambda v: v - 1
        yield f"`{name}` is twice what it should be", lambda v: 2 * v
        yield f"`{name}` is half of what it should be", lambda v: v // 2
    elif isinstance(value, float):
        for fixed in dict.fromkeys([*others.get(name, ()), 0.0, 1.0, 1e-3, 0.1, 0.5]):
            yield f"`{name}` is not used: it is always {fixed:g}", lambda v, f=fixed: f
    elif isinstance(value, tuple) and value:
        yield f"`{name}` is read in the reversed order", lambda v: type(v)(reversed(v))
        yield (
            f"only the first entry of `{name}` is used, for all of them",
            lambda v: type(v)([v[0]] * len(v)),
        )
        yield (
            f"only the last entry of `{name}` is used, for all of them",
            lambda v: type(v)([v[-1]] * len(v)),
        )
        if len(value) == 4:
            yield (
                f"`{name}` is read as (left, right, top, bottom)",
                lambda v: (v[0], v[2], v[1], v[3]),
            )
            yield (
                f"`{name}` is read as (left, top, width, height)",
                lambda v: (v[0], v[1], v[0] + v[2], v[1] + v[3]),
            )
            yield (
                f"`{name}` is read as (top, left, bottom, right)",
                lambda v: (v[1], v[0], v[3], v[2]),
            )


def _tensor_argument_changes(name: str, value: Tensor) -> Iterator[Change]:
    axes = value.ndim
    if axes >= 2:
        yield (
            f"`{name}` is transposed first (its last two axes change places)",
            lambda v: v.transpose(-1, -2),
        )
        yield f"`{name}` is turned by 180 degrees first (flipped)", lambda v: v.flip((-2, -1))
        yield f"`{name}` is flipped upside down first", lambda v: v.flip(-2)
        yield f"`{name}` is flipped left to right first", lambda v: v.flip(-1)
        if axes == 2:
            yield (
                f"the rows of `{name}` are divided by their sums first",
                lambda v: v / v.sum(dim=1, keepdim=True),
            )
            yield (
                f"only the diagonal of `{name}` is used",
                lambda v: v * torch.eye(*v.shape, dtype=v.dtype),
            )
            yield (
                f"`{name}` is not used: the identity matrix is taken, with ones on the diagonal",
                lambda v: torch.eye(*v.shape, dtype=v.dtype),
            )
            yield f"the inverse of `{name}` is taken", torch.linalg.inv
            for axis, along in ((1, "rows"), (0, "columns")):
                yield (
                    f"a softmax is taken over the {along} of `{name}` first",
                    lambda v, a=axis: v.softmax(dim=a),
                )
        yield (
            f"`{name}` counts as a square: its height is used for its width too",
            lambda v: v[..., : v.shape[-2]],
        )
        yield (
            f"`{name}` counts as a square: its width is used for its height too",
            lambda v: v[..., : v.shape[-1], :],
        )
        yield (
            f"`{name}` is cut to a square, as small as its shorter side",
            lambda v: v[..., : min(v.shape[-2:]), : min(v.shape[-2:])],
        )
        yield f"the last row of `{name}` is left out", lambda v: v[..., :-1, :]
        yield f"the last column of `{name}` is left out", lambda v: v[..., :-1]
    if axes in (3, 4):
        yield (
            f"`{name}` is brought into another shape with `reshape` (or `view`), which mixes up "
            "its numbers, where its axes have to be moved with `permute`",
            lambda v: v.movedim(-3, -1).reshape(v.shape),
        )
        yield (
            f"`{name}` is brought into another shape with `reshape` (or `view`), which mixes up "
            "its numbers, where its axes have to be moved with `permute`",
            lambda v: v.reshape(*v.shape[:-3], *v.shape[-2:], v.shape[-3]).movedim(-1, -3),
        )
    if axes >= 3:
        yield (
            f"the last axis of `{name}`, the channels, is read in the reversed order",
            lambda v: v.flip(-1),
        )
        yield f"only the first entry of `{name}` is used, for all", lambda v: v[:1].expand_as(v)
    if value.is_floating_point():
        yield f"there is a ReLU on `{name}` first: its negative numbers are cut to 0", torch.relu
        yield f"the absolute value of `{name}` is taken first", torch.abs
        yield f"`{name}` is squared first", torch.square
        yield f"`{name}` has the wrong sign", torch.neg
        yield f"`{name}` is not used: all its numbers count as 1", torch.ones_like
        yield f"`{name}` is not used: all its numbers count as 0", torch.zeros_like
        yield (
            f"`{name}` is replaced by its mean",
            lambda v: v.mean().expand_as(v),
        )
        if axes >= 2:
            yield (
                f"`{name}` is averaged over its first axis before it is used",
                lambda v: v.mean(dim=0, keepdim=True).expand_as(v),
            )
    else:
        top = int(value.max()) if value.numel() else 0
        for cap in range(max(0, top - 3), top):
            yield (
                f"`{name}` above {cap} is cut (clamped) to {cap}",
                lambda v, c=cap: v.clamp(max=c),
            )
        yield f"only the first number of `{name}` is used, for all", lambda v: v[:1].expand_as(v)
        yield f"`{name}` is not used: 0 is taken for all", torch.zeros_like


# --- candidates -----------------------------------------------------------------------------------


def parameter_names(function: Callable) -> list[str]:
    """Names of the arguments that can be given by position."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in found if p.kind in kinds]


def changed_result(reference: Callable, change: Callable[[Any], Any]) -> Callable:
    """`reference` with something done to its result, or to that of the module that it makes."""

    def changed(*args: Any, **kwargs: Any) -> Any:
        result = reference(*args, **kwargs)
        if isinstance(result, nn.Module):
            result.register_forward_hook(lambda module, given, output: change(output))
            return result
        return change(result)

    return changed


def changed_argument(reference: Callable, number: int, name: str, change: Callable) -> Callable:
    """`reference` with something done to one of its arguments."""

    def changed(*args: Any, **kwargs: Any) -> Any:
        if number < len(args):
            args = (*args[:number], change(args[number]), *args[number + 1 :])
        elif name in kwargs:
            kwargs[name] = change(kwargs[name])
        return reference(*args, **kwargs)

    return changed


def exchanged(reference: Callable, first: int, second: int) -> Callable:
    def changed(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = [*args, *kwargs.values()], {}  # a check names them in their order
        args[first], args[second] = args[second], args[first]
        return reference(*args, **kwargs)

    return changed


# --- which candidate behaves like the answer? -----------------------------------------------------


def alike(ours: Any, theirs: Any) -> bool:
    """Whether two observations are the same: numbers, tensors, errors, or what modules compute."""
    if isinstance(ours, Compared) and isinstance(theirs, Compared):
        with trace.unwatched():
            return alike_modules(ours, theirs)
    if _modules(ours) or _modules(theirs):
        return _modules(ours) == _modules(theirs)
    if isinstance(ours, BaseException) or isinstance(theirs, BaseException):
        return type(ours) is type(theirs) and str(ours) == str(theirs)
    if isinstance(ours, numbers.Integral) and isinstance(theirs, numbers.Integral):
        return ours == theirs  # counts are exact, however large
    same = compare.close(*map(_without_nan, (ours, theirs)), 1e-5)
    return same and _kind(ours) == _kind(theirs)


def _modules(value: Any) -> int:
    """How many modules a result is; what they do is seen when they are called."""
    values = value if isinstance(value, (tuple, list)) else [value]
    return sum(isinstance(v, nn.Module) for v in values)


def _kind(value: Any) -> Any:
    """The type of a result, as far as it matters: a tuple may be a list, a number of any kind."""
    if isinstance(value, (tuple, list)):
        return tuple
    if isinstance(value, bool) or getattr(value, "requires_grad", False):
        return type(value), isinstance(value, Tensor)
    return float if isinstance(compare.plain(value), numbers.Real) else type(value)


def _without_nan(value: Any) -> Any:
    """NaN is like nothing, not even NaN; two results with NaN at the same places are alike."""
    if isinstance(value, Tensor):
        return value.nan_to_num(nan=-12345.0)
    return -12345.0 if isinstance(value, float) and math.isnan(value) else value


def seen_by(check: Callable, answer: Any) -> list[Seen]:
    """What a check sees of an answer until it ends or fails."""
    with trace.watching(Trace()) as watched, contextlib.suppress(Exception):
        check(answer)
    return watched.seen


def is_found(cause: str) -> bool:
    """Whether a cause is in the words of the search, not in those of an exercise."""
    return cause.startswith(("your answer gives exactly", "in your module"))


def explain(
    check: Callable,
    reference: Callable[[], Any],
    seen: list[Seen],
    right: list[Seen],
    mutants: Iterator[Candidate] | None,
    known: Iterable[Candidate] = (),
    calls: Iterable[Candidate] = (),
    seconds: float = SECONDS,
) -> str:
    """The mistake with which the right answer does what was seen, in a sentence; or nothing.

    Args:
        check: called with an answer; it is watched.
        reference: makes the right answer.
        seen: what the check has seen of the learner's answer.
        right: what it sees of the right answer.
        mutants: slips in the solution's text. None: only those that are known are tried.
        known: those that the check's author knows; they come first.
        calls: `calls_changed`.
        seconds: how long to look.
    """
    end = time.process_time() + seconds
    telling = _is_telling(seen, right)
    same = loosely if telling else alike
    if len(seen) <= len(right) and all(same(s.result, r.result) for s, r in zip(seen, right)):
        return ""  # as far as was seen it does what is right: the mistake is elsewhere
    words = _matching(check, iter(known), seen, same, end)
    if mutants is None:
        pass  # the check knows what is wrong; its author may know why
    elif telling or any(isinstance(observed.result, Compared) for observed in seen):
        soon = time.process_time() + seconds / 2  # the rest is for what comes after
        words = words or _matching(check, iter(calls), seen, same, soon)
    elif len(re.findall(r"\d+", str(seen[-1].result))) < 2:
        mutants = ()  # many mistakes lead to this exception: its text has no sizes in it
    if mutants is not None:
        if not words and (repair := _repair(seen, right, reference())):
            return repair
        words = words or _matching(check, iter(mutants), seen, same, end)
    if not words:
        return ""
    if words[0].endswith((".", ".)")):  # a sentence of its own
        either = [w for w in words[1:] if w.endswith((".", ".)"))]
        return f"{words[0]} (Or, which is the same here: {either[0]})" if either else words[0]
    text = f"your answer gives exactly what comes out if {words[0]}."
    if len(words) > 1:
        text += f" (Or, which is the same here: {words[1]}.)"
    return text


def loosely(ours: Any, theirs: Any) -> bool:
    """As `alike`, but where the learner's code raises an exception, its values elsewhere tell the
    mistake."""
    return isinstance(ours, BaseException) or alike(ours, theirs)


def _is_telling(seen: list[Seen], right: list[Seen]) -> bool:
    """Whether a wrong value was seen, and not just exceptions.

    After an exception the right answer is asked for more: its next call with such arguments counts.
    """
    rest = iter(right)
    for mine in seen:
        other = next((other for other in rest if _given(other) == _given(mine)), None)
        if other is None:
            return False
        if isinstance(mine.result, (BaseException, Compared)):
            continue
        if not alike(mine.result, other.result):
            return True
    return False


def _given(seen: Seen) -> list | None:
    """What kind of arguments a call had."""
    if seen.arguments is None:
        return None
    return [tuple(a.shape) if isinstance(a, Tensor) else type(a).__name__ for a in seen.arguments]


def _matching(
    check: Callable, tried: Iterator[Candidate], seen: list[Seen], same: Callable, end: float
) -> list[str]:
    """The mistakes of the candidates (at most two) that do what was seen."""
    words: list[str] = []
    for candidate in tried:
        if time.process_time() > end:
            break
        if candidate.words in words:
            continue
        if not all(same(mine.result, known) for mine, known in zip(seen, candidate.observed)):
            continue  # it was followed before, for another answer
        try:
            with trace.watching(Trace(seen, same)) as followed:
                check(candidate.make())
        except Alike:
            words.append(candidate.words)
            if len(words) == 2:
                break
            end = min(end, time.process_time() + FURTHER)
        except (Unlike, Exception):
            pass
        observed = [observation.result for observation in followed.seen]
        candidate.observed = list(itertools.takewhile(lambda o: o is not trace.TOO_LARGE, observed))
    return words


def _repair(seen: list[Seen], right: list[Seen], reference: Any) -> str:
    """What makes the module right at which the answer and the right one part, in a sentence."""
    made: dict[str, Any] = {}
    found = None
    for mine, other in zip(seen, right):
        if isinstance(mine.result, Compared) and isinstance(other.result, Compared):
            found = mine.result.module, other.result.module, other.result.shapes, made
        elif isinstance(mine.result, nn.Module):
            made = dict(zip(parameter_names(reference), mine.arguments or ()))
    words = repairs.explain(*found) if found else ""
    given = found and ", ".join(
        f"{name}={value.__name__ if isinstance(value, type) else repr(value)}"
        for name, value in found[3].items()
    )
    which = f" (made with {given})" if given else ""
    return f"in your module{which} this is wrong: {words}." if words else ""


def calls_changed(reference: Any, right: list[Seen]) -> Iterator[Candidate]:
    """Right answers with something done to a result or an argument, the likeliest first.

    Args:
        reference: the right answer, a function or class.
        right: what a check sees of it, for the shapes of results and the values of arguments.
    """
    calls = [seen for seen in right if seen.arguments is not None]
    if not callable(reference) or not calls:
        return
    first = calls[0]
    names = parameter_names(reference)

    def results() -> Iterator[Candidate]:
        for words, change in result_changes(_example(first.result, right)):
            yield Candidate(words, lambda c=change: changed_result(reference, c))

    def arguments() -> Iterator[Candidate]:
        values: dict[str, list] = {}
        for seen in calls:
            for name, value in zip(names, seen.arguments):
                if isinstance(value, (int, float)) and value not in values.setdefault(name, []):
                    values[name].append(value)
        for number, (name, value) in enumerate(zip(names, first.arguments)):
            if isinstance(value, Tensor) and value.shape == getattr(first.result, "shape", None):
                yield Candidate(
                    f"`{name}` is returned as it is", lambda n=number: lambda *given: given[n]
                )
            for words, change in argument_changes(name, value, values):
                yield Candidate(
                    words,
                    lambda n=number, s=name, c=change: changed_argument(reference, n, s, c),
                )
        for a, b in itertools.combinations(range(min(len(names), len(first.arguments))), 2):
            yield Candidate(
                f"`{names[a]}` and `{names[b]}` have changed places",
                lambda i=a, j=b: exchanged(reference, i, j),
            )

    # What a function gives is often changed; what makes a module rather mixes up its arguments.
    groups = (results, arguments)
    for group in reversed(groups) if isinstance(first.result, nn.Module) else groups:
        yield from group()


def _example(result: Any, right: list[Seen]) -> Any:
    """A right result; of a function that makes a module, the module's output."""
    if not isinstance(result, nn.Module):
        return result
    compared = [seen.result for seen in right if isinstance(seen.result, Compared)]
    if not compared:
        return None
    with torch.no_grad():
        return copy.deepcopy(compared[0].module).eval()(torch.randn(compared[0].shapes[0]))
