"""Checks of chapter 10: choosing a network."""

import functools
import itertools
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from exercises.compare import (
    Wrong,
    call,
    close,
    describe,
    describe_call,
    expect_keys,
    expect_number,
    expect_numbers,
    layers,
    plain,
    same_results,
)

# --- choosing.1: bytes ----------------------------------------------------------------------------

_VGG16 = 138_357_544


def choosing_1(answer):
    maps = 64 * 224 * 224
    rows = {
        "weights": (_VGG16, 4),
        "weights_int8": (_VGG16, 1),
        "maps": (maps, 4),
    }
    megabytes = {key: numbers * size / 1e6 for key, (numbers, size) in rows.items()}
    every: dict[str, dict[float, str]] = {}
    kernels = "These are the weights of the kernels. The maps are the output."
    numbers = [64 * each * size / 1e6 for each in (9, 27, 28) for size in (1, 4)]
    for key, (_, size) in rows.items():
        right = megabytes[key]
        common = every[key] = {
            right * 1e6: "This is in bytes; a MB is 10⁶ bytes.",
            right * 1e3: "This is in kilobytes; a MB is 10⁶ bytes.",
            right / 1e3: "This is in gigabytes; a MB is 10⁶ bytes.",
            right * 1e6 / 2**20: "This divides by 2²⁰. A MB is 10⁶ bytes here.",
            right * 8: "This is in bits: a byte has 8 of them.",
        }
        if size == 4:
            common[right / 4] = "A float32 number takes 4 bytes."
            common[right / 2] = "That would be 2 bytes a number; float32 takes 4."
            common[right * 2] = "That would be 8 bytes a number, as in float64; float32 takes 4."
        else:
            common[right * 4] = "This is the size in float32. An int8 number takes 1 byte."
            common[right * 16] = (
                "This multiplies the float32 size by 4; int8 takes a quarter of it."
            )
            common[right / 8] = "An int8 number has 8 bits, which is 1 byte."
            common[right * 2] = "That would be 2 bytes a number; an int8 number takes 1."
            common[right / 2] = "This is an eighth of the float32 size; int8 takes a quarter of it."
            common[right / 4] = "It is divided by 4 once too often: an int8 number takes 1 byte."
        if key == "maps":
            every[key] = common = dict.fromkeys(numbers, kernels) | common
            common[right / 64] = "This is one map; the convolution gives 64."
            common[right * 3] = "The 3 is the image's channels. The convolution's output has 64."
            common[3 * 224 * 224 * 4 / 1e6] = "This is the image itself, with 3 channels."
            common[64 * 224 * 4 / 1e6] = "A map has 224 rows and 224 columns."
            with_kernels = "The weights of the kernels are in it; the maps alone are asked for."
            common |= {
                64 * side**2 * 4 / 1e6: "With padding 1 the maps have 224 · 224 values each."
                for side in (222, 226)
            }
            common |= {right + count * 4 / 1e6: with_kernels for count in (64 * 27, 64 * 28)}
    every["most"] = {
        1_000_000: "That many bytes are in 1 MB; each float32 parameter takes 4 of them.",
        4_000_000: "Divide by the 4 bytes of a parameter instead of multiplying.",
        2**20 / 4: "This takes 2²⁰ bytes for a MB. A MB is 10⁶ bytes here.",
        125_000: "That would be 8 bytes a number, as in float64; float32 takes 4.",
        31_250: "32 are the bits of a float32 number; it has 4 bytes.",
    }
    expect_numbers(
        answer, megabytes | {"most": 250_000}, every, tolerance=dict.fromkeys(rows, 0.006)
    )
    return (
        f"{megabytes['weights']:.0f} MB of weights, and {megabytes['maps']:.2f} MB of maps after "
        "the first layer for each image."
    )


# --- choosing.2: the Pareto front -----------------------------------------------------------------


_GOOD, _MORE = "other[0] <= own[0] and other[1] >= own[1]", "other[0] < own[0] or other[1] > own[1]"
_BOTH = "as_good and better"
_SORTED = "sorted(front, key=lambda name: points[name][0])"
SLIPS = {
    "choosing.2": {
        "A network is thrown out only by one that is cheaper *and* more accurate. Equal in one and "
        "better in the other is enough.": (_BOTH, "other[0] < own[0] and other[1] > own[1]"),
        "All networks are returned, sorted; the dominated ones have to go. A network is kept only "
        "after it was compared with all others, so an `append` comes after that loop.": (
            "as_good and better",
            "False",
        ),
        "Only the most accurate is there; the front holds all that nobody dominates.": (
            f"return {_SORTED}",
            "return sorted(points, key=lambda name: -points[name][1])[:1]",
        ),
        "Only the cheapest is there; the front holds all that nobody dominates.": (
            f"return {_SORTED}",
            "return sorted(points, key=lambda name: points[name][0])[:1]",
        ),
        "Only the network with the most accuracy for its cost is there; the front holds all that "
        "nobody dominates.": (
            f"return {_SORTED}",
            "return sorted(points, key=lambda n: -points[n][1] / points[n][0])[:1]",
        ),
        "The `return` is inside the loop: only the first network is looked at.": (
            f"return {_SORTED}",
            "return [name for name in list(points)[:1] if name in front]",
        ),
        "Only the cheapest and the most accurate are there; the front holds all that nobody "
        "dominates.": (
            f"return {_SORTED}",
            "return [n for n in sorted(front, key=lambda name: points[name][0]) if n in "
            "(min(points, key=lambda k: points[k][0]), max(points, key=lambda k: points[k][1]))]",
        ),
        "Each network is compared with its neighbour in cost only; compare it with all of them.": (
            f"return {_SORTED}",
            "names = sorted(points, key=lambda k: (points[k][0], -points[k][1]))\n    return [n "
            "for i, n in enumerate(names) if i == 0 or points[n][1] > points[names[i - 1]][1]]",
        ),
        "Of networks with equal accuracy the dearer one stays; it is dominated.": (
            f"return {_SORTED}",
            "names = sorted(points, key=lambda k: points[k][0])\n    return [n for i, n in "
            "enumerate(names) if all(points[n][1] >= points[m][1] for m in names[:i])]",
        ),
        "Of networks with equal cost the less accurate one stays; it is dominated. Sort them by "
        "falling accuracy.": (
            f"return {_SORTED}",
            "names = sorted(points, key=lambda k: points[k])\n    return [n for i, n in "
            "enumerate(names) if all(points[n][1] > points[m][1] for m in names[:i])]",
        ),
        "A high cost is taken for good.": (
            *(_GOOD, "other[0] >= own[0] and other[1] >= own[1]"),
            *(_MORE, "other != own"),
        ),
        "A low accuracy is taken for good.": (
            *(_GOOD, "other[0] <= own[0] and other[1] <= own[1]"),
            *(_MORE, "other != own"),
        ),
        "The most expensive comes first; it should be the cheapest.": (
            f"return {_SORTED}",
            f"return {_SORTED}[::-1]",
        ),
        "The pairs are read the wrong way round: `(cost, accuracy)`.": (
            *(_GOOD, "other[1] <= own[1] and other[0] >= own[0]"),
            *(_MORE, "other != own"),
            *("points[name][0]", "points[name][1]"),
        ),
        "Nothing is left: a network must not be compared with itself, or needs the condition "
        "`strictly better in one`.": (_BOTH, "as_good"),
        "Of networks with equal cost the first one stays, even if it is less accurate. Sort by "
        "falling accuracy as well.": (
            f"return {_SORTED}",
            "names = sorted(points, key=lambda k: points[k][0])\n    return [n for i, n in "
            "enumerate(names) if all(points[n][1] > points[m][1] for m in names[:i])]",
        ),
        "The accuracies are rounded first, so close ones look equal. Compare them as they are.": (
            "    def dominates",
            "    points = {n: (c, round(a, 2)) for n, (c, a) in points.items()}\n\n"
            "    def dominates",
        ),
        "A network below the straight line between its two neighbours is thrown out. The front "
        "goes up in steps: it stays, if neither neighbour dominates it.": (
            f"return {_SORTED}",
            "line = lambda a, b, c: (b[1] - a[1]) * (c[0] - a[0]) < (c[1] - a[1]) * "
            f"(b[0] - a[0])\n    names = {_SORTED}\n"
            "    return [n for i, n in enumerate(names) if not any(line(points[a], points[n], "
            "points[c]) for a in names[:i] for c in names[i + 1:])]",
        ),
    }
}


def _dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] >= b[1] and a != b


def choosing_2(answer, reference):
    generator = torch.Generator().manual_seed(10)

    def some(count: int, levels: int) -> dict[str, tuple[float, float]]:
        numbers = torch.randint(1, levels, (count, 2), generator=generator).tolist()
        points = {
            "abcdefghijkl"[n]: (cost, 0.5 + acc / 100) for n, (cost, acc) in enumerate(numbers)
        }
        # Which of two equal ones comes first is left open, so nobody is asked for it.
        return {n: p for n, p in points.items() if list(points.values()).count(p) == 1}

    small = {
        "d": (9.0, 0.93),
        "a": (4.0, 0.91),
        "b": (1.0, 0.90),
        "c": (2.0, 0.89),
        "e": (9.0, 0.92),
    }
    worse_first = {"b": (1.0, 0.8), "a": (1.0, 0.9), "c": (2.0, 0.95)}
    close_by = {"a": (1.2, 0.9101), "b": (1.3, 0.91013), "c": (1.4, 0.91013)}
    cases = [
        (small,),
        (worse_first,),
        (close_by,),
        ({"b": (2.0, 0.9), "a": (1.0, 0.9)},),
        ({"x": (1.0, 0.5)},),
        ({},),
    ]
    cases += [(some(8, 9),), (some(12, 30),), (some(6, 4),)]
    if isinstance(answer, (list, tuple, dict, set)):
        raise Wrong(f"A function is expected, not its result ({describe(answer)}).")

    def explain(case: tuple, got: Any, right: Any) -> str:
        points = case[0]
        if isinstance(got, Exception):
            return "" if points else "For an empty dictionary return `[]`."
        if isinstance(got, (set, dict)) and set(got) == set(right):
            return "The names are right; return them as a list, the cheapest first."
        names = isinstance(got, (list, tuple)) and all(isinstance(name, str) for name in got)
        if not names or not set(got) <= set(points):
            return "A list of names is expected."
        if len(set(got)) < len(got):
            name = max(got, key=got.count)
            return (
                f"{name!r} appears {got.count(name)} times in {describe(got)}. Is the `append` in "
                "the inner loop? Keep a network once, after it was compared with all others."
            )
        if sorted(got) == sorted(right):
            return "These are the right names in another order; the cheapest comes first."
        for name in got:
            if name not in right:
                other = next(n for n in right if _dominates(points[n], points[name]))
                return (
                    f"Of {points}, {name!r} should not be there: {other!r} is at least as cheap and"
                    f" at least as accurate, and better in one of the two."
                )
        missing = next(name for name in right if name not in got)
        return f"Of {points}, {missing!r} is missing, and nobody dominates it."

    same_results(answer, reference, *cases, explain=explain)
    twins = {"a": (1.0, 0.9), "b": (1.0, 0.9), "c": (2.0, 0.8)}
    got = call(answer, dict(twins))
    if sorted(got) != ["a", "b"]:
        raise Wrong(
            f"{describe_call(answer, twins)} gives {describe(got)}. 'a' and 'b' are equal, so "
            "neither dominates the other, and both are on the front."
        )
    return f"It finds the front of {len(cases) + 1} sets of networks, ties included."


# --- choosing.3: a stopwatch ----------------------------------------------------------------------


class _Clock:
    """A clock that stands still unless the network moves it. Seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now


class _Timed(nn.Module):
    """A network whose calls take a known time: slow at first, then 2.375 ms, with accidents."""

    MILLISECONDS = (50.0, 30.0, 20.0, *[2.375] * 4, 500.0, 2.375, 9.0, 2.375, 9.0, 2.375, 1.3)

    def __init__(self, clock: _Clock) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.clock, self.calls, self.modes, self.gradients = clock, 0, [], []
        self.switched: list[tuple[int, bool]] = []  # after how many calls, and into which mode

    def train(self, mode: bool = True) -> "_Timed":
        self.switched.append((self.calls, mode))
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        spent = self.MILLISECONDS[self.calls] if self.calls < len(self.MILLISECONDS) else 2.375
        self.clock.now += spent / 1000
        self.calls += 1
        self.modes.append(any(layer.training for layer in self.modules()))
        output = self.linear(images.flatten(1))
        self.gradients.append(output.requires_grad)
        return output


def _left_as(network: _Timed, training: bool) -> str:
    """What is wrong with the state in which the network is left, or an empty text."""
    if not all(p.requires_grad for p in network.parameters()):
        return (
            "The network's parameters are left with `requires_grad` False: it could not be trained "
            "any more. Use `with torch.inference_mode():` or `torch.no_grad()` instead."
        )
    if all(layer.training == training for layer in network.modules()):
        return ""
    before, left = ("training", "evaluation") if training else ("evaluation", "training")
    if all(layer.training == training for layer in network.children()):
        return (
            f"The layers are put back, but the network itself is left in {left} mode: call "
            "`network.train(…)`, which sets all of it."
        )
    if network.training == training:
        return (
            f"`network.training` is set, but the layers in the network are left in {left} mode: "
            "call `network.train(…)`, which sets all of them."
        )
    message = f"The network was in {before} mode and is left in {left} mode: put it back."
    if training and network.switched[-1] == (network.calls, False):
        message += " The old mode has to be read before `network.eval()`; after it, it is False."
    return message


def choosing_3(answer, reference):
    def run(function: Callable, rounds: int, training: bool) -> tuple[Any, _Timed, _Clock]:
        clock = _Clock()
        network = _Timed(clock).train(training)
        images = torch.randn(3, 1, 2, 2)
        what = f"latency(network, images, rounds={rounds}, clock=clock)"
        value = call(function, network, images, rounds=rounds, clock=clock, what=what)
        return value, network, clock

    if not callable(answer) or isinstance(answer, nn.Module):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    for rounds, training in ((20, True), (1, True), (7, False)):
        value, network, clock = run(answer, rounds, training)
        gives = f"With rounds={rounds}, for a network most of whose calls take 2.375 ms, it gives"
        if value is None:
            raise Wrong(f"{gives} nothing (None). Is the `return` missing?")
        if network.calls == 0:
            raise Wrong("The network is never called.")
        if clock.asked == 0:
            raise Wrong("The time is not read from `clock()`; use the argument, not another clock.")
        if any(network.gradients):
            raise Wrong(
                "Some calls record gradients, which takes time and memory: put them all into "
                "`with torch.inference_mode():` or `torch.no_grad()`."
            )
        if any(network.modes):
            raise Wrong(
                f"{sum(network.modes)} of {network.calls} calls were made in training mode; "
                "`network.eval()` comes before the first."
            )
        if left := _left_as(network, training):
            raise Wrong(left)
        if network.calls != rounds + 3:
            raise Wrong(
                f"The network was called {network.calls} times. With rounds={rounds} there should "
                f"be 3 calls that are not timed and {rounds} that are."
                + (" Does the loop use `rounds`?" if rounds != 20 and network.calls == 23 else "")
            )
        _expect_time(value, gives, rounds)
    clock = _Clock()
    network, what = _Timed(clock), "latency(network, images, clock=clock)"
    call(answer, network, torch.randn(3, 1, 2, 2), clock=clock, what=what)
    if network.calls != 23:
        raise Wrong(
            f"{what} calls the network {network.calls} times; with 3 calls that are not timed and "
            "rounds=20, the default in the first line of the stub, it should be 23."
        )
    return "Slow first calls, accidents and modes do not disturb it."


def _expect_time(value: Any, gives: str, rounds: int) -> None:
    """`value` has to be the median of the timed calls, in milliseconds."""
    timed = [*_Timed.MILLISECONDS[3:], *[2.375] * 30][:rounds]
    whole = [*_Timed.MILLISECONDS[:3], *timed]
    right = statistics.median(timed)
    first = "This counts the first calls, which are slow."
    adds = "The clock is read once before the loop, so the times add up: read it in each round."
    common = {
        right / 1e6: "This is divided by 1000; a second has 1000 milliseconds, so multiply.",
        right / 1e9: "The clock gives seconds, not nanoseconds: 1000 times that are milliseconds.",
        0.0: "This is rounded to whole seconds; give milliseconds, with their fraction.",
        2.0: "This is rounded to whole milliseconds; give their fraction too.",
        **dict.fromkeys((2.4, 2.38, 2.37), "This is rounded; give all digits."),
        right / 1000: "This is in seconds; milliseconds are asked for.",
        right * 1000: "This is in microseconds: a second has 1000 milliseconds.",
        right / 3: "This is divided by the number of images; the time of the whole call is asked "
        "for.",
    }
    if rounds > 1:
        fmean, total = statistics.fmean, itertools.accumulate
        common |= {
            fmean(timed): "This is the mean. One call of 500 ms spoils it.",
            fmean(timed) / 1000: "This is the mean, and in seconds.",
            sum(whole) / rounds: "This counts the first calls, and it is a mean.",
            fmean(whole): "This counts the first calls, and it is a mean.",
            right / rounds: "The median is one call already; it need not be divided by `rounds`.",
            timed[rounds // 2]: "The times have to be sorted before the middle one is taken.",
            statistics.median(whole): first,
            statistics.median(total(timed)): adds,
            statistics.median(list(total(whole))[3:]): adds,
            statistics.median(total(whole)): adds,
            sum(timed): "This is the sum of all calls; the time of one call is asked for.",
            max(timed): "This is the longest time; the median is asked for.",
            min(timed): "This is the shortest time; the median is asked for.",
        }
    else:
        common |= {
            statistics.median(whole): first,
            50.0: "This is the time of the very first call, which should not be timed.",
            sum(whole): adds,
        }
    common = {number: text for number, text in common.items() if abs(number - right) > 1e-6}
    try:
        expect_number(value, right, common, tolerance=1e-6)
    except Wrong as error:
        # Its number is there already, in full.
        said = re.sub(r"^[-+\d.,e]+ is not right\. ?", f"{right:g} is right. ", str(error)).strip()
        raise Wrong(f"{gives} {describe(value)}. {said}") from None


# --- choosing.4: a test by flipping signs ---------------------------------------------------------


_FAR = "abs(mean) >= measured - 1e-9"
_WAYS = "itertools.product((1, -1), repeat=len(differences))"
_MEASURED = "abs(sum(differences) / len(differences))"
_P = "return far / len(ways)"
SLIPS["choosing.4"] = {
    "Only means on the same side count here; flipping can take them to the other side as well, so "
    "compare absolute values.": (
        *(_MEASURED, _MEASURED[3:]),
        *(_FAR, "mean >= measured - 1e-9"),
    ),
    "Only means that are farther from zero count here; those as far away count too, and so the "
    "measured one itself. (Is the tolerance on the right side? It should let more means count.)": (
        _FAR,
        "abs(mean) > measured + 1e-9",
    ),
    "Means that are nearer to zero count here; those at least as far away are asked for.": (
        _FAR,
        "abs(mean) <= measured + 1e-9",
    ),
    "The way without any flip is left out; it is one of the 2ⁿ.": (
        _P,
        "return (far - 1) / (len(ways) - 1)",
    ),
    "The way without any flip is not counted; it is one of the 2ⁿ, and it is as far from zero as "
    "itself.": (_P, "return (far - 1) / len(ways)"),
    "Half of the signs are plus and half are minus here; each sign is 1 or -1, independently of "
    "the others (`itertools.product`).": (
        _WAYS,
        "set(itertools.permutations([1] * (len(differences) // 2) + "
        "[-1] * (len(differences) - len(differences) // 2)))",
    ),
    "`itertools.combinations` takes some ways several times; `itertools.product((1, -1), "
    "repeat=n)` gives each of the 2ⁿ ways once.": (
        *(_WAYS, "itertools.combinations((1, -1) * len(differences), len(differences))"),
        *(_P, "return far / 2 ** len(differences)"),
    ),
    "One sign too few is flipped: there are as many signs as differences.": (
        "repeat=len(differences)",
        "repeat=len(differences) - 1",
    ),
    "The number of ways is returned; their share is asked for.": (_P, "return far"),
    "It is divided by the number of differences; there are 2ⁿ ways.": (
        _P,
        "return far / len(differences)",
    ),
    "The share is divided by n squared; there are 2ⁿ ways (2 to the power of n), not n².": (
        _P,
        "return far / len(differences) ** 2",
    ),
    **{
        f"The number of signs is fixed at {count}; there are as many as there are differences.": (
            "repeat=len(differences)",
            f"repeat={count}",
        )
        for count in range(2, 7)
    },
    "One way too many is counted: divide the count as it is.": (_P, "return (far + 1) / len(ways)"),
    "One sign at most is flipped at a time; all of the 2ⁿ ways are asked for.": (
        _WAYS,
        "[[-1 if k == i else 1 for k in range(len(differences))] "
        "for i in range(-1, len(differences))]",
    ),
    "One is added to both numbers, as is done for ways that are drawn at random. Here all ways are "
    "tried: divide the numbers as they are.": (_P, "return (far + 1) / (len(ways) + 1)"),
    "The flips pile up: a way has to flip the given numbers, not those of the way before.": (
        "        mean = sum(s * d for s, d in zip(signs, differences))",
        "        differences = [s * d for s, d in zip(signs, differences)]\n"
        "        mean = sum(differences)",
    ),
    "Ways whose means are equally far from zero count once only, as in a set. Count every way.": (
        _P,
        "means = {round(abs(sum(s * d for s, d in zip(w, differences))) / len(differences), 9) "
        "for w in ways}\n    return sum(m >= measured - 1e-9 for m in means) / len(means)",
    ),
    "Only one sign is flipped at a time; all of the 2ⁿ ways are asked for.": (
        _WAYS,
        "[[-1 if k == i else 1 for k in range(len(differences))] for i in range(len(differences))]",
    ),
    "This is 1 minus the share that is asked for.": (_P, "return 1 - far / len(ways)"),
    "This is the share in percent; a number from 0 to 1 is asked for.": (
        _P,
        "return 100 * far / len(ways)",
    ),
    "The `return` is inside the loop: only the first way is looked at.": (
        _P,
        "return 1 / len(ways)",
    ),
    "The share is doubled; both sides are counted already.": (_FAR, f"2 * ({_FAR})"),
    "One side is counted, and doubled; count both sides with absolute values.": (
        *(_MEASURED, _MEASURED[3:]),
        *(_FAR, "2 * (mean >= measured - 1e-9)"),
    ),
    "The mean that was measured can be negative: take its absolute value too.": (
        _MEASURED,
        _MEASURED[3:],
    ),
    "A flipped mean can be far from zero on the other side: take its absolute value too.": (
        "abs(mean)",
        "mean",
    ),
    "Sums are compared with a mean; divide both by the number of differences, or neither.": (
        _FAR,
        "abs(mean * len(differences)) >= measured - 1e-9",
    ),
    "Means are compared with a sum; divide both by the number of differences, or neither.": (
        _MEASURED,
        "abs(sum(differences))",
    ),
    **{
        f"This allows for more than rounding, {t}: means count as equal if they differ by less "
        "than 1e-9.": ("- 1e-9", f"- {t}")
        for t in ("0.5", "0.1", "0.01", "0.001")
    },
    "This is the sign test, which counts how many differences are positive. Here their sizes "
    "count: compare the means.": (
        "    measured",
        "    differences = [(d > 0) - (d < 0) for d in differences]\n    measured",
    ),
    "This is the sign test: it knows only how many differences are positive. Here their sizes "
    "count: compare the means.": (
        "    measured",
        "    differences = [2 * (d > 0) - 1 for d in differences]\n    measured",
    ),
    "This is a test of ranks (Wilcoxon's): it knows only which difference is larger. Here the "
    "sizes themselves count: compare the means.": (
        "    measured",
        "    sizes = sorted(map(abs, differences))\n    differences = [(sizes.index(abs(d)) + 1 + "
        "(sizes.count(abs(d)) - 1) / 2) * ((d > 0) - (d < 0)) for d in differences]\n    measured",
    ),
    "The median is compared; the task asks for the mean.": (
        *("import itertools", "import itertools, statistics"),
        *(_MEASURED, "abs(statistics.median(differences))"),
        *(
            "sum(s * d for s, d in zip(signs, differences)) / len(differences)",
            "statistics.median(s * d for s, d in zip(signs, differences))",
        ),
    ),
    "Every way counts here, because the flipped mean never changes. It changes if signs are "
    "flipped (`itertools.product`, not the order of the numbers), and if the absolute value is "
    "that of the mean, not of each number.": (_FAR, "True"),
    "This is the mean of the differences, not the share of the ways.": (
        _P,
        "return sum(differences) / len(differences)",
    ),
}


def _t_test(three: list[float]) -> float:
    """The p-value of a t-test that the mean of three numbers is zero (two degrees of freedom)."""
    t = abs(statistics.fmean(three)) * 3**0.5 / statistics.stdev(three)
    return 1 - t / (2 + t * t) ** 0.5


def _normal(three: list[float], deviation: Callable) -> float:
    """The p-value by the normal distribution, with this standard deviation."""
    z = abs(statistics.fmean(three)) * 3**0.5 / deviation(three)
    return 2 * (1 - statistics.NormalDist().cdf(z))


def _seems_drawn(shares: list[float]) -> bool:
    """Whether all shares are short decimals, as if a round number of ways were drawn at random."""
    fractions = [Fraction(share).limit_denominator(10**5) for share in shares]
    return max(f.denominator for f in fractions) > 40 and all(
        10**5 % f.denominator == 0 for f in fractions
    )


def choosing_4(answer, reference):
    # In sums of eighths, or of 1024ths, nothing is rounded; in sums of tenths it is.
    exact = [
        ([1.0, 2.0, 3.0],),
        ([0.5, 1.0, 0.25, 0.75, 0.625],),
        ([0.5, -1.0, 0.25, 0.75, -0.5],),
        ([-1.0, -2.0, -0.5, 0.25],),
        ([0.25, 0.25, -0.25, 0.25],),
        ([0.125, 0.25, -0.375],),
        ([10.0, 1.0, 2.0, -3.0, -4.0],),  # in ranks it would be another number
        ([1 / 1024, 2 / 1024, 4 / 1024],),
        ([1.5, 0.5],),
        ([0.0, 0.0],),
        ([0.75, 0.125, 0.625, 0.875, -0.25, 0.375, 0.75],),
    ]
    rounded = [
        ([0.4, 0.9, 0.2, 0.7, 0.5],),
        ([0.4, -0.9, 0.2, 0.7, -0.5],),
        ([0.3, 0.3, -0.3, 0.3],),
        ([0.1, 0.2, -0.3],),
        ([0.7, 0.1, 0.6, 0.9, -0.2, 0.4, 0.8],),
    ]
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")

    @functools.wraps(answer)
    def share(differences: list[float]) -> Any:
        value = answer(differences)
        return float(value) if isinstance(value, (Fraction, Decimal)) else value

    def explain(case: tuple, got: Any, right: float) -> str:
        ways = 2 ** len(case[0])
        if isinstance(got, Exception):
            forgotten = "'int' object is not iterable" in str(got)
            return (
                "If `itertools.product` is in that line: the number of signs is given by its name, "
                "`itertools.product((1, -1), repeat=n)`."
                if forgotten
                else ""
            )
        if not isinstance(got, (int, float)) or got < 0 or float(got * ways).is_integer():
            return ""
        if got > 1:
            return f"A share is at most 1. There are {ways} ways, each of them once."
        again = [share(list(case[0])) for _ in range(3)]
        if any(value != got for value in again):
            raise Wrong(
                f"{describe_call(answer, *case)} gives {describe(got)}, and another number when it "
                "is called again: ways are drawn at random. Take each of the "
                f"{ways} once, with `itertools.product`."
            )
        if len(case[0]) == 3 and abs(got - _t_test(case[0])) < 1e-6:
            return (
                "This is the t-test, which assumes a normal distribution. Count the ways instead."
            )
        deviations = (statistics.stdev, statistics.pstdev)
        if len(case[0]) == 3 and any(abs(got - _normal(case[0], d)) < 1e-6 for d in deviations):
            return "This is taken from the normal distribution. Count the ways instead."
        if _seems_drawn([got, *(share(list(other)) for (other,) in exact[1:4])]):
            return (
                "The shares are round decimals, as if ways were drawn at random. There are "
                f"{ways} ways: take each of them once, with `itertools.product`."
            )
        return (
            f"There are {ways} ways, so the share is a whole number divided by {ways}. Is each way "
            "there exactly once, none of them drawn at random?"
        )

    same_results(share, reference, *exact, tolerance=1e-6, explain=explain)
    same_results(
        share,
        reference,
        *rounded,
        tolerance=1e-6,
        explain=lambda *_: (
            "With numbers that are not rounded it is right. Here ways that are equally far from "
            "zero differ in the last digit: let values that differ by less than 1e-9 count as "
            "equal."
        ),
    )
    most = max(len(case[0]) for case in exact)
    least = reference([1.0] * 5)
    return f"Exact for one to {most} pairs. Five pairs can never give less than {least}."


# --- choosing.5 and 6: filters, and the best of what is left --------------------------------------

RUNS = 24  # of the second customer
Row = Mapping[str, Any]


def _fitting(rows: Mapping[Any, Row], *limits: Callable[[Row], bool]) -> dict[Any, Row]:
    return {key: row for key, row in rows.items() if all(fits(row) for fits in limits)}


def _best(rows: Mapping[Any, Row], column: str, lowest: bool = False) -> Any:
    return (min if lowest else max)(rows, key=lambda key: rows[key][column], default=None)


def _expect_no_exchange(answer: Mapping, right: Mapping[str, Any]) -> None:
    """Two answers that have changed places are right ones, at the wrong keys."""
    for a, b in itertools.combinations(right, 2):
        if answer[a] == right[b] != right[a] == answer[b]:
            raise Wrong(f'The answers of "{a}" and "{b}" have changed places.')


def _among(value: Any, rows: Any) -> bool:
    try:
        return value in rows
    except TypeError:  # a list, or a tuple that holds one
        return False


def _chosen(key: str, answer: Any, rows: Mapping[Any, Row], example: str, names: Mapping) -> Any:
    """The key of a row; or what was given in place of a key, in words.

    names: other names of rows, which are known and not accepted.
    """
    answer = plain(answer)
    if _among(answer, rows):
        return answer
    if _among(answer, names):
        raise Wrong(f'"{key}": {answer!r} is not a key of the table; its key is {names[answer]!r}.')
    if isinstance(answer, Mapping):
        if found := [name for name, row in rows.items() if row == answer]:
            raise Wrong(f'"{key}": this is the row of {found[0]!r}. Give its key.')
    elif isinstance(answer, (list, tuple, set)) and len(answer) > 1:
        found = [a for a in answer if _among(a, rows)]
        if len(found) == len(answer):
            raise Wrong(f'"{key}": these are several keys. Give one, the best of those that fit.')
        if found:
            raise Wrong(f'"{key}": give the key alone, {found[0]!r}, without what is beside it.')
    elif isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(rows):
        raise Wrong(f'"{key}": {answer} is a place in the table. Give the key that is there.')
    elif isinstance(answer, float):
        for column in next(iter(rows.values())):
            if any(row[column] == answer for row in rows.values()):
                raise Wrong(f'"{key}": {answer:g} is a `{column}`. Give the key of its network.')
    if type(answer) is type(next(iter(rows))):
        raise Wrong(f'"{key}": there is no {answer!r} in the table: {", ".join(map(str, rows))}.')
    raise Wrong(
        f'"{key}": the key of one network is expected, such as {example}, not {describe(answer)}.'
    )


def _expect_best(
    key: str,
    chosen: Any,
    rows: Mapping[Any, Row],
    column: str,
    lowest: bool = False,
    readings: Mapping[str, tuple[Mapping[Any, Row], str, bool]] | None = None,
) -> None:
    """`chosen` has to be the best of `rows`, which are those that fit.

    readings: messages for a choice that is the best of other rows, or in another column.
    """
    if rows[chosen][column] == rows[_best(rows, column, lowest)][column]:
        return
    for message, (others, other, low) in (readings or {}).items():
        if chosen == _best(others, other, low):
            raise Wrong(f'"{key}": {chosen} fits. {message}')
    names = ""
    if chosen in (min(rows), max(rows)):
        names = (
            " (Of names `max` and `min` take the last and the first of the alphabet, unless `key=` "
            "says what to compare.)"
        )
    if lowest:
        raise Wrong(
            f'"{key}": {chosen} fits, but another one that fits has a lower `{column}`. Take the '
            f"lowest.{names}"
        )
    raise Wrong(
        f'"{key}": {chosen} fits, but another one that fits has a higher `{column}`. Take the '
        f"highest.{names}"
    )


def choosing_5(answer):
    from utils.topics import network_tables

    rows = network_tables.small_networks()
    high = rows["lenet"]["high"]
    small, fast = (lambda row: row["weights_mb"] < 0.3), (lambda row: row["one_ratio"] < 5)
    short, better = (
        lambda row: RUNS * row["training_minutes"] < 60,
        lambda row: row["low"] > high + 0.005,
    )
    fitting = {
        "shelf": _fitting(rows, small, fast),
        "hour": _fitting(rows, short),
        "night": _fitting(rows, better),
    }
    columns = {"shelf": "accuracy", "hour": "accuracy", "night": "batch_ms"}
    expect_keys(answer, fitting)
    names = {name.removesuffix("_small"): name for name in rows}
    names |= {_written(name): name for name in rows} | {
        _written(name).lower(): name for name in rows
    }
    names = {name: key for name, key in names.items() if name not in rows}
    chosen = {k: _chosen(k, answer[k], rows, '"lenet"', names) for k in fitting}
    _expect_no_exchange(chosen, {k: _best(fitting[k], columns[k], k == "night") for k in fitting})

    name, row = chosen["shelf"], rows[chosen["shelf"]]
    if not small(row):
        raise Wrong(
            f'"shelf": the weights of {name} take {row["weights_mb"]:.2f} MB, and less than 0.3 MB '
            "is allowed."
        )
    if not fast(row):
        raise Wrong(
            f'"shelf": {name} takes {row["one_ratio"]:.1f} times as long as LeNet for one image '
            "(`one_ratio`), so it needs more than 5 ms where LeNet takes 1 ms."
        )
    _expect_best("shelf", name, fitting["shelf"], "accuracy")
    name, minutes = chosen["hour"], RUNS * rows[chosen["hour"]]["training_minutes"]
    if minutes >= 60:
        raise Wrong(
            f'"hour": {RUNS} runs of {name} take {minutes:.0f} minutes; there are 60. (One run '
            f"takes {minutes / RUNS:.1f} minutes. The 5 seeds come after the 19 runs.)"
        )
    _expect_best("hour", name, fitting["hour"], "accuracy")
    name, row = chosen["night"], rows[chosen["night"]]
    if name == "lenet":
        raise Wrong(
            '"night": the customer has LeNet already. A network whose `low` is above LeNet\'s '
            "`high`, by more than 0.005, is asked for."
        )
    if not better(row):
        raise Wrong(
            f'"night": the worst run of {name} (`low`) has {row["low"]:.2%}, the best run of LeNet '
            f"(`high`) {high:.2%}. That is not 0.5 points more."
        )
    _expect_best("night", name, fitting["night"], "batch_ms", lowest=True)
    return f"{', '.join(chosen.values())}: three customers, one table."


def _written(key: str) -> str:
    from utils.pictures import choosing

    return choosing.name(key)


def choosing_6(answer):
    from utils.topics import network_tables

    rows = network_tables.phone_networks()
    limits = {  # MACs, bytes, bytes of a weight
        "slow": (200e6, math.inf, 4),
        "slow_and_full": (200e6, 10e6, 4),
        "tiny_download": (math.inf, 3e6, 1),
    }
    expect_keys(answer, limits)

    def fitting(macs: float, most: float, size: float, more: Callable = lambda row: True) -> dict:
        return _fitting(rows, lambda r: r["macs"] <= macs and size * r["parameters"] <= most, more)

    names: dict[Any, tuple] = {}
    for width, pixels in rows:
        names |= dict.fromkeys(
            ((pixels, width), (100 * width, pixels), f"({width}, {pixels})"), (width, pixels)
        )
    chosen = {}
    for key in limits:
        value = answer[key]
        if isinstance(value, list) and len(value) == 2:
            value = tuple(map(plain, value))
        if isinstance(value, float) and value in {width for width, _ in rows}:
            raise Wrong(
                f'"{key}": {value} is a width. A key has the pixels too: (width, pixels), such as '
                "(1.0, 224)."
            )
        if isinstance(value, tuple) and _among(value[::-1], rows) and value not in rows:
            raise Wrong(f'"{key}": {value} is turned round; a key is (width, pixels).')
        chosen[key] = _chosen(key, value, rows, "(1.0, 224)", names)
    _expect_no_exchange(chosen, {key: _best(fitting(*of), "top1") for key, of in limits.items()})
    for key, (macs, most, size) in limits.items():
        name, row = chosen[key], rows[chosen[key]]
        if row["macs"] > macs:
            raise Wrong(
                f'"{key}": {name} needs {row["macs"] / 1e6:.1f} million MACs; at most '
                f"{macs / 1e6:.0f} are allowed."
            )
        if size * row["parameters"] > most:
            kind = "float32" if size == 4 else "int8"
            raise Wrong(
                f'"{key}": the {kind} weights of {name} take '
                f"{size * row['parameters'] / 1e6:.1f} MB; at most {most / 1e6:.0f} are "
                "allowed. A smaller image does not make them fewer."
            )
        fits = fitting(macs, most, size)
        readings = {
            "But it is the best of those with 224 pixels only. Smaller images need fewer MACs: "
            "look at them too.": ({k: r for k, r in fits.items() if k[1] == 224}, "top1", False),
            "But it is the best if each MAC counts as two operations. The limit is in MACs, as "
            "`macs` counts them.": (fitting(macs / 2, most, size), "top1", False),
        }
        if key == "tiny_download":
            readings = {
                "But it is the best in float32. An int8 weight takes one byte, not four.": (
                    fitting(macs, most, 4),
                    "top1",
                    False,
                ),
                "But it is the best with at most 200 million MACs. This phone has no such limit.": (
                    fitting(200e6, most, size),
                    "top1",
                    False,
                ),
            }
        _expect_best(key, name, fits, "top1", readings=readings)
    return "Small images save MACs, small widths save weights as well."


# --- choosing.7: the capstone ---------------------------------------------------------------------


def _limits() -> tuple[int, int]:
    from utils.topics import capstone

    return capstone.LIMITS["macs"], capstone.LIMITS["parameters"]


def _fresh(answer: Any, seed: int) -> nn.Module:
    """What the learner's function builds from this seed."""
    torch.default_generator.manual_seed(seed)
    network = call(answer, what="build()")
    if not isinstance(network, nn.Module):
        missing = " Is the `return` missing?" if network is None else ""
        raise Wrong(f"build() gives {describe(network)}; a torch module is expected.{missing}")
    return network.cpu()


def _logits(network: nn.Module, images: Tensor, mode: str) -> Tensor:
    network.train(mode == "training")
    shape = tuple(images.shape)
    with torch.no_grad():
        logits = call(network, images, what=f"In {mode} mode, given images {shape}, your network")
    wanted = (len(images), 10)
    if not isinstance(logits, Tensor):
        missing = " Is the `return` of `forward` missing?" if logits is None else ""
        raise Wrong(
            f"In {mode} mode your network gives {describe(logits)} for images {shape}; logits of "
            f"shape {wanted} are expected.{missing}"
        )
    if tuple(logits.shape) != wanted:
        flat = ""
        if logits.ndim > 2 and logits.numel() == math.prod(wanted):
            flat = " An `nn.Flatten()` at the end takes the axes of size 1 away."
        elif logits.ndim == 2:
            flat = " There are ten classes."
        raise Wrong(
            f"In {mode} mode your network gives the shape {tuple(logits.shape)} for images "
            f"{shape}; logits of shape {wanted} are expected.{flat}"
        )
    if not torch.isfinite(logits).all():
        raise Wrong(f"In {mode} mode some logits are not numbers (NaN or infinite).")
    return logits


def _expect_network(network: nn.Module) -> None:
    """It takes images and gives logits, one by one and in both modes."""
    images = torch.randn(8, 1, 28, 28)
    _logits(network, images, "training")
    logits = _logits(network, images, "evaluation")
    rounding = max(1e-3 * logits.std(dim=0).max().item(), 1e-5 * logits.abs().max().item())
    if (_logits(network, images, "evaluation") - logits).abs().max() > rounding:
        raise Wrong(
            "In evaluation mode the same images get other logits each time. Dropout has to stop "
            "there: `nn.Dropout`, or `F.dropout(x, training=self.training)`."
        )
    if (_logits(network, images[:1], "evaluation") - logits[:1]).abs().max() > rounding:
        raise Wrong(
            "In evaluation mode the logits of an image depend on the other images of its batch. "
            "Batch norm has to use its running statistics there (`track_running_stats` on, and no "
            "`training=True`)."
        )
    sums = logits.sum(dim=1)
    if bool((logits >= 0).all()) and close(sums, torch.ones(8), 1e-4):
        raise Wrong("There is a softmax at the end; the loss of the training takes logits.")
    if logits.std(dim=0).max() == 0:
        for name, weight in network.named_parameters():
            if (
                weight.ndim > 1
                and weight.numel() > 1
                and bool((weight == weight.flatten()[0]).all())
            ):
                raise Wrong(
                    f"All weights of `{name}` start with the value {weight.flatten()[0].item():g}. "
                    "So all units do the same, and get the same gradient. Leave the random values "
                    "with which torch makes a layer."
                )
        raise Wrong(
            "All images get the same logits, so the network does not look at them. "
            f"It consists of {layers(network)}."
        )


def _most(network: nn.Module, what: str) -> str:
    """Which layer has the most `what` ("macs" or "parameters"), in a sentence; or nothing."""
    from utils import summary

    try:
        rows = summary.table(network, (1, 28, 28)).rows
    except Exception:  # a network of an unusual kind; the total is known
        return ""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.name] += getattr(row, what)
    if not counts or not (count := max(counts.values())):
        return ""
    name = max(counts, key=lambda name: counts[name])
    times = sum(row.name == name for row in rows)
    layer = dict(network.named_modules()).get(name, network)
    told = f" The most are in `{name}`: {layers(layer)} has {count:,}."
    if times > 1:
        told += f" It runs {times} times, and counts each time."
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    if (
        layer in convolutions[:-1]
        and layer.groups == 1 < layer.in_channels == layer.out_channels
        and layer.kernel_size > (1, 1) == convolutions[convolutions.index(layer) + 1].kernel_size
    ):
        told += f" (If it is meant to be depthwise, it needs `groups={layer.in_channels}`.)"
    return told


def _expect_budget(network: nn.Module) -> Any:
    """Within the limits, everything counted."""
    from utils.topics import capstone

    most_macs, most_parameters = _limits()
    cost = capstone.measure(network)
    if cost.uncounted:
        raise Wrong(
            f"The MACs of {', '.join(cost.uncounted)} cannot be counted here: use convolutions, "
            "linear layers and products of matrices."
        )
    if cost.macs > most_macs:
        raise Wrong(
            f"Your network needs {cost.macs:,} MACs for one image; at most {most_macs:,} are "
            f"allowed.{_most(network, 'macs')} `summary.table(build(), (1, 28, 28))` shows where "
            "they are. (Weights that multiply maps outside of layers count too.)"
        )
    if cost.parameters > most_parameters:
        hidden = (
            f" {cost.hidden:,} of them are not in `parameters()` but in buffers, lists or "
            "elsewhere; they count as well, and they are not trained."
            if cost.hidden
            else _most(network, "parameters")
        )
        raise Wrong(
            f"Your network has {cost.parameters:,} parameters; at most {most_parameters:,} are "
            f"allowed.{hidden}"
        )
    return cost


def _expect_own_start(first: nn.Module, second: nn.Module, seeded: bool) -> None:
    """Two builds are two networks, each with weights drawn anew.

    seeded: whether the random numbers after both builds are the same, from different seeds.
    """
    if first is second or {id(p) for p in first.parameters()} & {
        id(p) for p in second.parameters()
    }:
        raise Wrong(
            "Two calls of build() give the same weights, the very same tensors. Create all layers "
            "inside the function, and let nothing (such as `functools.cache`) keep the network."
        )
    if not [p for p in first.parameters() if p.requires_grad]:
        raise Wrong("The network has no parameter that could be trained.")
    mine, other = (
        {n: t.detach().float() for n, t in (*net.named_parameters(), *net.named_buffers())}
        for net in (first, second)
    )
    for name, a in mine.items():
        b = other.get(name)
        if b is None or a.shape != b.shape or a.numel() < 32:
            continue
        a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
        if a.norm() < 1e-6 or b.norm() < 1e-6:  # all alike, as batch norm starts
            continue
        if torch.dot(a, b) / (a.norm() * b.norm()) > 0.8:
            why = (
                "A seed is set inside build(): leave it out."
                if seeded
                else "So it was trained before, or is a fixed table, or a copy of one network."
            )
            raise Wrong(
                f"`{name}` starts with the same values (or nearly) in two networks. {why} Every "
                "call has to draw new random weights."
            )


def _expect_untrained(network: nn.Module) -> None:
    from utils import data, training

    batches = data.load(device="cpu", validation_images=1_000).validation
    accuracy = training.evaluate(network, batches).accuracy
    if accuracy > 0.5:
        raise Wrong(
            f"Before the training your network is already right on {accuracy:.1%} of the "
            "validation images; guessing gives about 10 %. build() must not train or load weights."
        )


def _is_linear(network: nn.Module) -> bool:
    """Whether its logits are a linear function of the pixels (plus biases)."""
    network.eval()
    a, b = 10 * torch.randn(2, 4, 1, 28, 28)
    with torch.no_grad():
        zero, one, other, both = (network(x) for x in (0 * a, a, b, a + b))
    return bool((both - one - other + zero).abs().max() < 1e-3 * (one - zero).abs().max())


def _advice(network: nn.Module, cost: Any) -> str:
    """What can be seen of a network that learns, and too little."""
    if _is_linear(network):
        return (
            "It is linear in the pixels: without activations (such as ReLU) all layers together do "
            "no more than one linear layer. "
        )
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    kinds = {type(module) for module in network.modules()}
    advice = ""
    if kinds & {nn.Sigmoid, nn.Tanh}:
        advice += "Its activations are sigmoid or tanh: try ReLU. "
    if not any(issubclass(kind, norms) for kind in kinds):
        advice += (
            "It has no normalisation layer; of the designs in the figure, the two that were "
            "trained with and without batch norm were far better with it. "
        )
    most_macs, most_parameters = _limits()
    if cost.macs < 0.4 * most_macs and cost.parameters < 0.4 * most_parameters:
        advice += "More than half of the budget is left: use more channels or layers. "
    return advice


def choosing_7(answer):
    from utils import results
    from utils.topics import capstone

    if isinstance(answer, nn.Module):
        raise Wrong(
            "This is one network. A function `build()` is expected that builds a new one at each "
            "call."
        )
    if not callable(answer):
        raise Wrong(f"A function that builds a network is expected, not {describe(answer)}.")
    networks, states = [], []
    for seed in (1, 2):
        networks.append(_fresh(answer, seed))
        states.append(torch.default_generator.get_state())
    for network in networks:
        _expect_network(network)
    cost = _expect_budget(networks[0])
    _expect_own_start(*networks, seeded=torch.equal(*states))
    _expect_untrained(networks[0])
    if _fresh(answer, 1).state_dict().keys() != networks[0].state_dict().keys() and not any(
        isinstance(m, nn.modules.lazy.LazyModuleMixin) for m in _fresh(answer, 1).modules()
    ):
        raise Wrong(
            "Some weights are made only when the first images arrive, so an optimizer that was "
            "made before would not know them. Create all layers in `__init__`."
        )

    name = capstone.recipe_name()
    stored = results.load("capstone.json")["recipes"][name]
    own, bar = stored["designs"]["own"]["accuracy"], stored["bar"]
    run = capstone.short_run(answer, name, capstone.SEED)
    made_of = f"It consists of {layers(networks[0])}."
    if run.status != "finished":
        raise Wrong(f"The training ended as {run.status}. {run.message} {made_of}")
    if run.accuracy < 0.5 < run.training_accuracy:
        raise Wrong(
            f"It learns ({run.training_accuracy:.1%} on the training images), but in evaluation "
            f"mode it is right on {run.accuracy:.1%} of the validation images only. What does it "
            "do differently there?"
        )
    if run.accuracy < 0.3:
        raise Wrong(
            f"It does not learn: {run.accuracy:.1%} on the validation images after the training. "
            f"{made_of}"
        )
    budget = f"{cost.macs:,} MACs, {cost.parameters:,} parameters"
    if run.accuracy < bar:
        advice = _advice(networks[0], cost)
        raise Wrong(
            f"Your network ({budget}) reaches {run.accuracy:.1%} ({run.training_accuracy:.1%} on "
            f"the training images); the bar is {bar:.1%}, and the course's own network has "
            f"{own['median']:.1%}. {advice}{made_of}"
        )
    return (
        f"{budget}, accuracy {run.accuracy:.1%}. The course's own network has "
        f"{own['median']:.1%} (median of {len(own['runs'])} runs, {own['min']:.1%} to "
        f"{own['max']:.1%})."
    )
