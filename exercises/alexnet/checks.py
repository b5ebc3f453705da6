"""Checks of chapter 02: AlexNet."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exercises import trace
from exercises.compare import (
    Unexplained,
    Wrong,
    call,
    close,
    describe,
    describe_call,
    expect_arguments,
    expect_keys,
    expect_numbers,
    make,
    plain,
    same_outputs,
    same_results,
)


class _Without(TorchFunctionMode):
    """Inside, torch functions that the task forbids raise `Wrong`; messages by name."""

    def __init__(self, messages: Mapping[str, str]):
        super().__init__()
        self.messages = messages

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in self.messages:
            raise Wrong(self.messages[name])
        return function(*args, **(kwargs or {}))


class _Cards(TorchFunctionMode):
    """Inside, a convolution raises `Wrong` if it has groups, or gets maps that do not fit."""

    def __init__(self, maps: Tensor, weight: Tensor):
        super().__init__()
        self.maps, self.weight = tuple(maps.shape), tuple(weight.shape)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") == "conv2d":
            groups = args[6] if len(args) > 6 else kwargs.get("groups", 1)
            if groups != 1:
                raise Wrong(
                    f"A convolution with groups={groups} does the whole job. Build it from "
                    "ordinary convolutions, with groups left at 1."
                )
            given = zip(("input", "weight"), args)
            shapes = {k: tuple(v.shape) for k, v in {**kwargs, **dict(given)}.items() if k in _TWO}
            if len(shapes) == 2 and (problem := self.misfit(**shapes)):
                raise Wrong(problem)
        return function(*args, **kwargs)

    def misfit(self, input: tuple, weight: tuple) -> str:
        """Why a convolution of these shapes cannot run, in a sentence; or nothing."""
        if len(input) != 4 or len(weight) != 4 or input[1] == weight[1]:
            return ""
        if weight[1] < self.weight[1]:
            return (
                "The kernels are halved along axis 1, where each has its maps; the kernels are "
                "axis 0."
            )
        if weight[1] != self.weight[1] or input[1] != self.maps[1]:
            return ""
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            if input[axis] < self.maps[axis]:
                return (
                    f"The maps are halved along the {name} (axis {axis}). The maps of an image are "
                    "axis 1, so that axis is halved."
                )
        return (
            f"The maps are not halved: a convolution gets all {input[1]}, and its kernels are made "
            f"for {weight[1]}. (If you wrote a number such as 48 for the half, it is right for one "
            "layer only; take it from `maps.shape[1]`.)"
        )


_TWO = ("input", "weight")


# --- alexnet.1: sizes -----------------------------------------------------------------------------

_NAMES = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
_POOL, _CONV = (3, 2, 0), (3, 1, 1)  # kernel size, stride, padding
_LAYERS = ((11, 4, "padding"), _POOL, (5, 1, 2), _POOL, _CONV, _CONV, _CONV, _POOL)
_ROWS = {"conv1": (0,), "conv2": (2,), "conv3, conv4 and conv5": (4, 5, 6)}
_ROWS |= {"the poolings": (1, 3, 7)} | {_NAMES[i]: (i,) for i in (4, 5, 6, 1, 3, 7)}
_FORMULAS = {  # n pixels, kernel size k, stride s, padding p
    "The sizes are not rounded: a kernel finds a whole number of places.": (
        lambda n, k, s, p: (n + 2 * p - k) / s + 1
    ),
    "The sizes are rounded up; they should be rounded down.": (
        lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1
    ),
    "The sizes are rounded to the nearest number; they should be rounded down.": (
        lambda n, k, s, p: round((n + 2 * p - k) / s) + 1
    ),
    "The + 1 is missing: a kernel that cannot move at all still has one place.": (
        lambda n, k, s, p: (n + 2 * p - k) // s
    ),
    "The + 1 is inside the brackets; it is added after the division.": (
        lambda n, k, s, p: (n + 2 * p - k + 1) // s
    ),
    "One is subtracted before the division; the formula has (n + 2p - k) / s + 1.": (
        lambda n, k, s, p: (n + 2 * p - k - 1) // s + 1
    ),
    "2 is added after the division; the formula has + 1.": (
        lambda n, k, s, p: (n + 2 * p - k) // s + 2
    ),
    "The brackets are missing: without them only the kernel size is divided by the stride.": (
        lambda n, k, s, p: n + 2 * p - k // s + 1
    ),
    "The padding is added once; there are zeros on both sides.": (
        lambda n, k, s, p: (n + p - k) // s + 1
    ),
    "The padding is added four times; there are zeros on two sides.": (
        lambda n, k, s, p: (n + 4 * p - k) // s + 1
    ),
    "The padding is subtracted; zeros make the image larger.": (
        lambda n, k, s, p: (n - 2 * p - k) // s + 1
    ),
    "The padding is left out, in all layers.": lambda n, k, s, p: (n - k) // s + 1,
    "The kernel size is not subtracted.": lambda n, k, s, p: (n + 2 * p) // s + 1,
    "Half of the kernel size is subtracted; the formula has all of it.": (
        lambda n, k, s, p: (n + 2 * p - k // 2) // s + 1
    ),
    "The size is divided by the stride, and that is all: kernel size and padding are missing.": (
        lambda n, k, s, p: n // s
    ),
    "Only stride and padding are used; the kernel size is missing, and the + 1.": (
        lambda n, k, s, p: (n + 2 * p) // s
    ),
    "The stride is not used.": lambda n, k, s, p: n + 2 * p - k + 1,
    "Kernel size and stride have changed places.": lambda n, k, s, p: (n + 2 * p - s) // k + 1,
    "Stride and padding have changed places.": (
        lambda n, k, s, p: (n + 2 * s - k) // max(p, 1) + 1
    ),
}
_SHAPES = {  # of the list, when its numbers are right
    "The sizes after the poolings are missing; eight numbers are expected.": (0, 2, 4, 5, 6),
    "The sizes of the convolutions come first here, and those of the poolings last. They should "
    "come in the order of the table: conv1, pool1, conv2, pool2 and so on.": (
        *(0, 2, 4, 5, 6),
        *(1, 3, 7),
    ),
    "The list begins with the size of the image; it should begin after conv1.": range(-1, 8),
    "The sizes come in the reversed order.": range(7, -1, -1),
}


class _Slip(NamedTuple):
    """A mistake in some of the layers: in words, and what is different there."""

    words: str
    at: Sequence[int] = range(8)
    layer: Mapping[int, int | str] = {}  # position in (kernel size, stride, padding): its value
    formula: Callable | None = None
    reads: int | None = None  # the layer whose size is taken, -1 for the image
    order: Sequence[int] | None = None  # of the layers


def _sizes_with(slips: Sequence[_Slip], pixels: int, padding: int) -> list[float]:
    size, after = pixels, {-1: pixels}
    for i in next((slip.order for slip in slips if slip.order), range(8)):
        layer, formula = list(_LAYERS[i]), lambda n, k, s, p: (n + 2 * p - k) // s + 1
        for slip in (slip for slip in slips if i in slip.at):
            for place, value in slip.layer.items():
                layer[place] = value
            formula = slip.formula or formula
            size = size if slip.reads is None else after.get(slip.reads, size)
        k, s, p = layer
        size = formula(size, k, s, padding if p == "padding" else p)
        after[len(after) - 1] = size
    return list(after.values())[1:]


def _size_slips() -> Iterator[_Slip]:
    yield from (_Slip(words, formula=formula) for words, formula in _FORMULAS.items())
    for words, formula in [
        item for item in list(_FORMULAS.items())[:5] if "rounded up" not in item[0]
    ]:
        text = words.replace("The sizes are", "The sizes after the poolings are")
        text = text.replace("The + 1", "In the poolings the + 1")
        yield _Slip(text, (1, 3, 7), formula=formula)
    for name, at in _ROWS.items():
        right = _LAYERS[at[0]]
        for place, what, values in (
            (2, "padding", ("padding", 0, 1, 2, 3, 4, 5)),
            (1, "stride", (1, 2, 3, 4, 5)),
            (0, "kernel size", (2, 3, 5, 11)),
        ):
            for value in (value for value in values if value != right[place]):
                words = f"The {what} of {name} is {value}; it should be {right[place]}."
                if value == "padding":
                    words = f"The padding of {name} is the one that is meant for conv1; it should "
                    words += f"be {right[2]}."
                if name == "the poolings" and (place, value) == (0, 2):
                    words += " Or the sizes after the poolings are rounded up."
                if right[place] == "padding":
                    has = f"always has {value}" if value else "has none"
                    if value == 5:  # (n + 2 * 5 - 11) // 4 + 1 is n / 4, rounded up
                        has = "gives the size divided by 4, rounded up, as with padding 'same'"
                    words = f"`padding` is not used: conv1 {has}."
                yield _Slip(words, at, {place: value})
    places = ["the size of the image", *(f"the size after {name}" for name in _NAMES)]
    for i, name in enumerate(_NAMES):
        yield _Slip(f"{name} leaves the size as it is; it should change.", (i,), {0: 1, 1: 1, 2: 0})
        missing = f"{name} is missing."
        if 4 <= i <= 6:
            missing = "One of the three convolutions conv3, conv4 and conv5 is missing."
        yield _Slip(missing, order=[j for j in range(8) if j != i])
        more = f"There is a pooling too many, after {name}."
        yield _Slip(more, order=[*range(i + 1), 1, *range(i + 1, 8)])
        for source in range(i - 2, -2, -1):
            words = f"{name} works on {places[source + 1]}; it should work on {places[i]}."
            yield _Slip(words, (i,), reads=source)
    for value in (1, 2, 3, 4):
        yield _Slip(f"Every layer has the stride {value}.", layer={1: value})
    words = "There is a pooling after every convolution; only conv1, conv2 and conv5 have one."
    yield _Slip(words, order=(0, 1, 2, 3, 4, 1, 5, 1, 6, 7))
    words = "`padding` is used for all five convolutions; it belongs to conv1 alone."
    yield _Slip(words, (2, 4, 5, 6), {2: "padding"})
    everything = "Every size is computed from the size of the image; it should be computed from "
    yield _Slip(f"{everything}the size before.", reads=-1)
    words = "All convolutions come first here. A pooling is after conv1, conv2 and conv5."
    yield _Slip(words, order=(0, 2, 4, 5, 6, 1, 3, 7))
    for last, order in (("conv3", (0, 1, 2, 3, 4, 7, 5, 6)), ("conv4", (0, 1, 2, 3, 4, 5, 7, 6))):
        yield _Slip(f"The third pooling is after {last}; it should be after conv5.", order=order)


def _size_mistake(given: list, right: list, cases: Sequence[tuple[int, int]]) -> str:
    """What is wrong with lists of sizes, in a sentence; `given` and `right` are those of cases."""

    def fits(slips: Sequence[_Slip], until: int | None = None) -> bool:
        with contextlib.suppress(ZeroDivisionError):
            return all(
                close(mine[:until], _sizes_with(slips, *case)[:until], 1e-6)
                for mine, case in zip(given, cases)
            )
        return False

    def alone(until: int | None = None) -> list[_Slip]:
        return [slip for slip in slips if fits([slip], until)]

    def either(found: list[_Slip]) -> str:
        more = f" (Or, which is the same here: {found[1].words})" if found[1:] else ""
        return f"{found[0].words}{more}" if found else ""

    if not isinstance(given[0], list):
        what = "This is one number. " if isinstance(given[0], (int, float)) else ""
        return f"{what}A list of eight sizes is expected, one for each layer."
    value = next(iter(given[0]), 0)
    if isinstance(value, (list, tuple)):
        return "One number is expected for each layer: the height alone."
    if not isinstance(value, (int, float)):
        return f"The sizes should be numbers, and the first one is {describe(value)}."
    for words, order in _SHAPES.items():
        expected = [[[*r, c[0]][i] for i in order] for r, c in zip(right, cases)]
        if close(given, expected, 1e-6):
            return words
    if close(given, [[n * n for n in sizes] for sizes in right], 1e-6):
        return "These are areas, height times width; the height alone is expected."
    slips = list(_size_slips())
    if found := alone():
        return either(found)
    for (i, mine), (j, other) in itertools.combinations(enumerate(given), 2):
        if mine == other and right[i] != right[j] and cases[i][0] != cases[j][0]:
            return (
                f"{cases[i][0]} and {cases[j][0]} pixels give the same sizes. Are these fixed "
                "numbers? Compute them from `pixels`."
            )
    wrong = (
        i for mine, r in zip(given, right) for i in range(8) if mine[i : i + 1] != r[i : i + 1]
    )
    first = min(wrong, default=8)
    number = len(given[0])
    count = f"Eight sizes are expected, and {number} came back."
    if number == 1:
        count += " Is the `return` inside the loop?"
    if first >= min(map(len, given)):
        return count
    begun = alone(first + 1)
    for slip, other in itertools.product(begun, slips):
        if fits([slip, other]):
            return f"Two things are wrong. (1) {slip.words} (2) {other.words}"
    where = f"The first wrong size is that after {_NAMES[first]}."
    where += f" The size after {_NAMES[first - 1]}, before it, is right." if first else ""
    return " ".join(filter(None, ("" if number == 8 else count, where, either(begun))))


SLIPS: dict[str, dict[str, tuple[str, ...]]] = {}


def alexnet_1(answer, reference):
    cases = (227, 0), (224, 2), (224, 1), (224, 0), (98, 0), (130, 3)
    try:
        same_results(answer, reference, *cases)
    except Unexplained as error:
        try:
            given = [answer(*case) for case in cases]
        except Exception as inner:
            if isinstance(inner, ZeroDivisionError):
                text = "A stride is 0 here: have stride and padding changed places?"
                raise Wrong(f"{text} {error}") from None
            raise error from None
        given = [getattr(sizes, "tolist", lambda s=sizes: s)() for sizes in given]
        given = [list(map(plain, s)) if isinstance(s, (list, tuple)) else s for s in given]
        right = [reference(*case) for case in cases]
        raise Wrong(f"{_size_mistake(given, right, cases)} {error}") from None
    at_227, at_224 = reference(227, 0), reference(224, 2)
    if at_227 == at_224:
        return f"227 without padding and 224 with padding 2 both give {at_227}."


# --- alexnet.2: counting --------------------------------------------------------------------------


def alexnet_2(answer):
    if isinstance(answer, Mapping):
        answer = {k: float(v) if isinstance(v, Decimal) else v for k, v in answer.items()}
    inputs, total = 256 * 6 * 6, 60_965_224
    weights = [inputs * 4096, 4096 * 4096, 4096 * 1000]
    biases = [4096, 4096, 1000]
    fc6, fc7, fc8 = (w + b for w, b in zip(weights, biases))
    share = 100 * (fc6 + fc7 + fc8) / total
    common = {
        "fc6": {
            weights[0] + inputs: "Biases belong to the outputs: 4,096 of them, not 9,216.",
            256 * 4096 + 4096: "A map has 6 · 6 values; all of them are inputs.",
            256 * 4096: "A map has 6 · 6 values; all of them are inputs. Each output has a bias.",
            256 * 6 * 4096 + 4096: "A map has 6 · 6 values, not 6.",
            36 * 4096 + 4096: "There are 256 maps, not one.",
            256 * 13 * 13 * 4096 + 4096: "These are the maps before pool5; after it they are 6×6.",
            256 * 5 * 5 * 4096
            + 4096: "These are maps of 5×5, as in the AlexNet of the book Dive into "
            "Deep Learning; here it is 6×6.",
            3 * 227 * 227 * 4096
            + 4096: "This connects fc6 to the image. It takes the maps of pool5.",
            (inputs + 1) * 4097: "This is `(inputs + 1) * (outputs + 1)`. Each output has one "
            "bias, so it is `(inputs + 1) * outputs`.",
            fc6 // 2: "This is what one of the two cards holds. Count the whole layer.",
            fc7: "This is fc7. fc6 comes first and takes the maps.",
            (inputs + 1) * 1000: "fc6 has 4,096 outputs, not 1,000.",
            4 * fc6: "These are bytes. Count parameters.",
            2 * fc6: "This is twice as much: each weight is one parameter, and is counted once.",
            weights[0] + 1: "Every one of the 4,096 outputs has a bias, not the layer as a whole.",
            weights[0]
            + 256: "Biases belong to the outputs, 4,096 of them, and not to the 256 maps.",
            weights[0] + 1000: "fc6 has 4,096 outputs, and so many biases; 1,000 are those of fc8.",
            inputs + 4096: "Inputs and outputs are multiplied, not added: all are connected.",
            4096: "These are its outputs. Each has a weight for every one of the 9,216 inputs.",
            36 * fc6: "A linear layer uses each weight once, not at 36 positions.",
            inputs: "These are its inputs. Each of the 4,096 outputs has a weight for every one.",
            384 * 36 * 4096 + 4096: "pool5 gives 256 maps; 384 are those of conv3 and conv4.",
            fc6 + 4096: "The biases are counted twice; each of the 4,096 outputs has one.",
            fc6 + 1: "Each of the 4,096 outputs has one bias; here there is one more.",
            fc6 + fc7 + fc8: "These are all three layers; fc6 alone is asked for.",
        },
        "all_three": {
            fc6 + sum(weights[1:]): "fc7 and fc8 have biases too: 4,096 and 1,000.",
            fc6 + fc7: "fc8, the layer with the 1,000 logits, is missing.",
            fc7 + fc8: "fc6 is missing.",
            3 * fc6: "The three layers are not alike: fc7 and fc8 have 4,096 inputs.",
            fc6 + 2 * fc7: "fc8 has 1,000 outputs, not 4,096.",
            fc6 + fc7 + 4097 * 10: "fc8 has 1,000 outputs, one for each class, not 10.",
            2 * fc6 + fc7 + fc8: "fc6 is counted twice.",
            fc6 + 2 * fc7 + fc8: "fc7 is counted twice.",
            fc6 + fc7 + 2 * fc8: "fc8 is counted twice.",
            (fc6 + fc7 + fc8)
            // 2: "This is what one of the two cards holds. Count the whole layers.",
            fc6 + fc8: "fc7 is missing.",
            2 * fc6 + fc8: "fc7 has 4,096 inputs, the outputs of fc6; 9,216 are the inputs of fc6.",
            **{
                fc6 + fc7 + fc8 - weight: f"The weights of {name} are missing."
                for name, weight in zip(("fc6", "fc7", "fc8"), weights)
            },
            fc6 + fc7 + fc8 - 4096: "The 4,096 biases of fc6 or of fc7 are missing.",
            fc6 + fc7 + fc8 - 1000: "The 1,000 biases of fc8 are missing.",
            fc6 + fc7 + fc8 + 3096: "fc8 has 1,000 outputs and so 1,000 biases, not 4,096.",
            fc6 * fc7 * fc8: "The three numbers are multiplied; their sum is asked for.",
            **{
                fc6 + fc7 + fc8 + twice: f"The biases of {name} are counted twice; each output "
                "has one."
                for name, twice in (
                    ("fc6 or of fc7", 4096),
                    ("fc8", 1000),
                    ("fc6 and fc7", 8192),
                    ("all three layers", 9192),
                )
            },
            sum(biases): "These are the biases alone; each output has a weight for every input.",
            61_100_840: "This is the whole AlexNet of torchvision; three layers are asked for.",
            total: "This is the whole network; the convolutions have parameters too.",
            total - (fc6 + fc7 + fc8): "This is what the convolutions have.",
        },
        "percent": {
            share / 100: "This is the share as a fraction; give it in percent.",
            round(share) / 100: "This is the share as a fraction; give it in percent.",
            100 * fc6 / total: "This is the share of fc6 alone.",
            100 - share: "This is the share of the convolutions.",
            100
            * 100
            / share: "The whole is divided by the part; the part over the whole is meant.",
            100 * share / (100 - share): "This compares the three layers with the rest of the "
            "network; divide by the whole network, 60,965,224.",
            37.5: "Three of eight layers are 37.5 %; the share of the parameters is asked for.",
            100 * sum(weights) / 724_406_816: "This is a share of the MACs; count parameters.",
            100 * fc7 / total: "This is the share of fc7 alone.",
            100 * fc8 / total: "This is the share of fc8 alone.",
            100 * (fc6 + fc7) / total: "fc8 is missing.",
            96.1: "This is cut off (rounded to one decimal it is 96.2), or divided by 61 million "
            "and not by 60,965,224.",
            share * total / 60e6: "This is divided by 60 million; the exact number is 60,965,224.",
            100 * share / (100 + share): "The three layers are in the 60,965,224 already: divide "
            "by this number alone.",
            100 * (total - fc6) / total: "This is the share of everything but fc6.",
            96.0: "At least one decimal is asked for, and it is not 0.",
            97.0: "At least one decimal is asked for, and it is not 0.",
        },
    }
    expect_numbers(
        answer,
        {"fc6": fc6, "all_three": fc6 + fc7 + fc8, "percent": share},
        common,
        without_biases={"fc6": weights[0], "all_three": sum(weights)},
        tolerance={"percent": 0.05},
        otherwise={
            "all_three": "fc6 is right. Work out fc7 and fc8 in the same way, and add all three.",
            "percent": "The three layers together are right. Divide them by 60,965,224.",
        },
    )
    rest = total - (fc6 + fc7 + fc8)
    return f"Of {total:,} parameters the five convolutions have {rest:,}."


# --- alexnet.3: two groups ------------------------------------------------------------------------


_CARDS = "torch.cat(cards, dim=1)"
_SECOND_MAPS = ("maps.chunk(2, dim=1)", "maps.chunk(2, dim=1)[1:] * 2")
SLIPS["alexnet.3"] = {
    "The second card's maps come first.": (_CARDS, "torch.cat(cards[::-1], dim=1)"),
    "Both halves of the kernels see the first half of the maps.": (
        "maps.chunk(2, dim=1)",
        "maps.chunk(2, dim=1)[:1] * 2",
    ),
    "Both halves of the kernels see the second half of the maps.": _SECOND_MAPS,
    "The cards are crossed: the first half of the kernels sees the second half of the maps.": (
        "maps.chunk(2, dim=1)",
        "maps.chunk(2, dim=1)[::-1]",
    ),
    **{
        f"Both cards use the {name} half of the kernels{more}.": (
            *("weight.chunk(2)", f"weight.chunk(2)[{part}] * 2"),
            *biases,
        )
        for name, part in (("first", ":1"), ("second", "1:"))
        for more, biases in (
            ("", ()),
            (" and of the biases", ("bias.chunk(2)", f"bias.chunk(2)[{part}] * 2")),
        )
    },
    "The two results are added; they should be one after the other, as maps.": (
        _CARDS,
        "sum(cards)",
    ),
    "Only the first card's maps come back.": (_CARDS, "cards[0]"),
    "The two cards' maps come back as two tensors; join them along axis 1.": (_CARDS, "cards"),
    "The maps of the two cards take turns; the first card's should come first.": (
        _CARDS,
        "torch.stack(cards, dim=2).flatten(1, 2)",
    ),
    **{
        f"The results are joined along the {name}; the maps are axis 1.": (
            _CARDS,
            f"torch.cat(cards, dim={axis})",
        )
        for name, axis in (("batch", 0), ("height", 2), ("width", 3))
    },
    **{
        "The results are stacked along a new axis; join them with torch.cat along axis 1"
        + ("." if axis else ", not along a new axis 0."): (
            _CARDS,
            f"torch.stack(cards, dim={axis})",
        )
        for axis in (1, 0)
    },
    "The bias is missing.": ("b, padding", "padding"),
    "The bias of the second card is missing.": (
        "bias.chunk(2)",
        "(bias.chunk(2)[0], 0 * bias.chunk(2)[1])",
    ),
    "The two halves of the bias have changed places.": ("bias.chunk(2)", "bias.chunk(2)[::-1]"),
    "Both cards add the first half of the bias.": ("bias.chunk(2)", "bias.chunk(2)[:1] * 2"),
    "The padding is not used.": (", padding=padding", ""),
    "The maps are dealt out in turn (every other one); each card has one half of them, in order.": (
        "maps.chunk(2, dim=1)",
        "(maps[:, ::2], maps[:, 1::2])",
    ),
    "The kernels are dealt out in turn (every other one); each card has one half of them, in "
    "order.": (
        *("weight.chunk(2)", "(weight[::2], weight[1::2])"),
        *("bias.chunk(2)", "(bias[::2], bias[1::2])"),
    ),
    "Every kernel sees both halves of the maps, with the same weights.": (
        _CARDS,
        "F.conv2d(maps, torch.cat([weight, weight], 1), bias, padding=padding)",
    ),
    **{
        f"The convolution of the {name} card has no padding.": (
            *("for seen, kernels, b in halves", "for (seen, kernels, b), p in zip(halves, ps)"),
            *("padding=padding", "padding=p"),
            *("    cards =", f"    ps = {paddings}\n    cards ="),
        )
        for name, paddings in (("second", "padding, 0"), ("first", "0, padding"))
    },
    "The padding is always 'same'; the argument `padding` is not used.": (
        "padding=padding",
        "padding='same'",
    ),
    "The stride is 2; it should be 1.": ("padding=padding", "padding=padding, stride=2"),
    "The kernels are cut at half the number of maps; their own number is another one. Take half "
    "of `weight.shape[0]`.": (
        *("weight.chunk(2)", "(weight[: maps.shape[1] // 2], weight[maps.shape[1] // 2 :])"),
        *("bias.chunk(2)", "(bias[: maps.shape[1] // 2], bias[maps.shape[1] // 2 :])"),
    ),
    "`split(2)` cuts into pieces of 2; `chunk(2)` cuts into 2 pieces.": (
        "halves = zip(maps.chunk(2, dim=1), weight.chunk(2), bias.chunk(2))",
        "(a, b), (v, w), (c, d) = maps.split(2, dim=1), weight.split(2), bias.split(2)\n"
        "    halves = zip((a, b), (v, w), (c, d))",
    ),
    "The bias is added along the wrong axis, the width: give it the shape (1, channels, 1, 1), as "
    "by `bias[:, None, None]`.": (
        *("b, padding", "None, padding"),
        *(_CARDS, f"{_CARDS} + bias"),
    ),
}


def _expect_order(answer: Callable, reference: Callable) -> None:
    """The task's names for the arguments have to come in the task's order."""
    if not inspect.isfunction(answer):
        return
    mine, right = (list(inspect.signature(f).parameters) for f in (answer, reference))
    if mine != right and sorted(mine) == sorted(right):
        raise Wrong(
            f"Your function takes its arguments in the order {', '.join(mine)}; the task's order "
            f"is {', '.join(right)}."
        )


def alexnet_3(answer, reference):
    def case(n, inputs, outputs, k, height, width, padding):
        weight = torch.randn(outputs, inputs // 2, k, k)
        return torch.randn(n, inputs, height, width), weight, torch.randn(outputs), padding

    expect_arguments(answer, None, None, None, padding=0)
    _expect_order(answer, reference)
    watched = answer
    if inspect.isfunction(answer):

        @functools.wraps(answer)
        def watched(*args, **kwargs):
            with _Cards(*args[:2]):
                return answer(*args, **kwargs)

    cases = (
        case(2, 8, 12, 3, 7, 6, 1),
        case(1, 12, 8, 5, 9, 9, 2),
        case(3, 4, 4, 1, 4, 4, 0),
        case(2, 4, 6, 3, 6, 5, 0),
    )
    same_results(watched, reference, *cases, layer=True)
    return "It gives what a convolution with groups=2 gives."


# --- alexnet.4: an experiment ---------------------------------------------------------------------

# conv2, conv4 and conv5 have groups; a layer is (inputs, outputs, side of kernel, side of maps).
_CONVS = {"conv1": (3, 96, 11, 55), "conv2": (96, 256, 5, 27), "conv3": (256, 384, 3, 13)}
_CONVS |= {"conv4": (384, 384, 3, 13), "conv5": (384, 256, 3, 13)}
_LINEAR = {"fc6": (9216, 4096, 1, 1), "fc7": (4096, 4096, 1, 1), "fc8": (4096, 1000, 1, 1)}
_GROUPED = ("conv2", "conv4", "conv5")
_SIDES = {  # wrong ones: what to say
    "conv1 is counted at 227×227 places, those of the image; its stride is 4, so it has 55×55.": {
        "conv1": 227
    },
    "conv2 is counted at 55×55 places; pool1 comes before it, so it has 27×27.": {"conv2": 55},
    "conv3, conv4 and conv5 are counted at 27×27 places; pool2 comes before them, so they have "
    "13×13.": dict.fromkeys(("conv3", "conv4", "conv5"), 27),
    "conv5 is counted at 6×6 places, those after pool5; it has 13×13 itself.": {"conv5": 6},
    "conv1 is counted at 27×27 places, conv2 at 13×13 and conv5 at 6×6: those are the sizes after "
    "the poolings. A convolution works before them, at 55×55, 27×27 and 13×13.": {
        **{"conv1": 27, "conv2": 13, "conv5": 6}
    },
    "The sizes are those of 224 pixels (54, 26, 12); with 227 they are 55, 27 and 13.": (
        {"conv1": 54, "conv2": 26} | dict.fromkeys(("conv3", "conv4", "conv5"), 12)
    ),
}


def _cost(
    groups: int,
    layers: Sequence[str] = (*_CONVS, *_LINEAR),
    grouped: Sequence[str] = _GROUPED,
    biases: bool | None = None,
    channels: int = 3,
    classes: int = 1000,
    sides: Mapping[str, int] = MappingProxyType({}),
) -> tuple[int, int]:
    """Parameters and MACs of these layers, or what a mistake makes of them.

    biases: whether they count; None where they should, in the parameters alone.
    sides: of the maps, where they are not the right ones.
    """
    parameters = macs = 0
    for name in layers:
        inputs, outputs, k, side = (_CONVS | _LINEAR)[name]
        inputs = channels if name == "conv1" else inputs
        outputs = classes if name == "fc8" else outputs
        side = sides.get(name, side)
        weights = inputs * outputs * k * k // (groups if name in grouped else 1)
        parameters += weights + (0 if biases is False else outputs)
        macs += (weights + (outputs if biases else 0)) * side * side
    return parameters, macs


def alexnet_4(answer):
    groups = (1, 2, 4)
    expect_keys(answer, groups)
    for g in groups:
        pair = getattr(answer[g], "tolist", lambda pair=answer[g]: pair)()
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise Wrong(
                f"For groups={g} two numbers are expected, (parameters, MACs), not "
                f"{describe(answer[g])}."
            )
        for which, number in zip(("parameters", "MACs"), _cost(g)):
            if plain(pair[0]) == plain(pair[1]) == number:
                raise Wrong(
                    f"For groups={g} the {which} are there twice. The first number should be the "
                    "parameters, the second the MACs."
                )
    pairs = {g: tuple(map(plain, answer[g])) for g in groups}
    for g, words in ((2, "two groups"), (1, "one group"), (4, "four groups")):
        if all(pair == _cost(g) for pair in pairs.values()):
            raise Wrong(
                f"All three are the network with {words}. Hand the number over: "
                '`networks.build("alexnet_2012", groups=groups)`.'
            )
    for a, b in itertools.combinations(groups, 2):
        if pairs[a] == _cost(b) and pairs[b] == _cost(a):
            raise Wrong(f"The numbers for groups={a} and groups={b} have changed places.")
    given, right, common, without_biases = {}, {}, {}, {}
    every = (*_CONVS, *_LINEAR)
    named = ((1, "of 1 group, without groups"), (2, "of 2 groups"), (4, "of 4 groups"))
    for position, what in enumerate(("parameters", "MACs")):
        for g in groups:
            key = f"{what} for groups={g}"
            given[key], right[key] = answer[g][position], _cost(g)[position]
            without_biases[key] = _cost(g, biases=False)[position]
            saved = {abs(_cost(n)[position] - right[key]) for n in (1, 2)}
            ratio = "This is a ratio; give the number itself."
            squares = g > 1 and all(
                plain(answer[n][position]) == _cost(n * n)[position] for n in (2, 4)
            )
            divided_twice = {}
            if squares:
                divided_twice[_cost(g * g)[position]] = (
                    "The weights of the three layers are divided by groups twice. A kernel sees a "
                    "part of the maps, but there are as many kernels as before: divide once."
                )
            line = {}
            if g == 4:  # the saving of one cut, twice
                line[2 * _cost(2)[position] - _cost(1)[position]] = (
                    "This goes on from 1 and 2 groups in a straight line. The second cut saves "
                    "less than the first: it halves what is left."
                )
            common[key] = {
                **divided_twice,
                **line,
                _cost(g)[1 - position]: "Parameters and MACs have changed places.",
                **{
                    _cost(n)[position]: f"These are the {what} {words}."
                    for n, words in named
                    if _cost(n)[position] not in divided_twice
                },
                **dict.fromkeys(saved, "These are the savings; give what the network has."),
                right[key] / _cost(2)[position]: ratio,
                right[key] / _cost(1)[position]: ratio,
                right[key] * 4: "These are bytes, or four images. Count one network, one image.",
                {"parameters": 61_100_840, "MACs": 714_188_480}[what]: (
                    "This is torchvision's network. Build `alexnet_2012`."
                ),
                _cost(g, biases=True)[position]: "Biases are added, not multiplied: in the MACs "
                "they do not count.",
                _cost(g, channels=1)[position]: "This is for a grey image, of one channel; the "
                "network takes three.",
                _cost(g, classes=10)[position]: "This is for 10 classes; the network has 1000.",
                **{_cost(g, sides=sides)[position]: words for words, sides in _SIDES.items()},
            }
            for layers, words in (
                (_CONVS, "These are the convolutions alone; the linear layers are missing."),
                (_LINEAR, "These are the linear layers alone; the convolutions are missing."),
                (_GROUPED, "These are the three layers; the whole network is asked for."),
            ):
                for biases in (None, False):
                    common[key].setdefault(_cost(g, layers, biases=biases)[position], words)
            grouped = "conv3 has been grouped too; only conv2, conv4 and conv5 have groups."
            common[key][_cost(g, grouped=("conv3", *_GROUPED))[position]] = grouped
            for some in (("conv2",), ("conv4",), ("conv5",), *itertools.combinations(_GROUPED, 2)):
                missing = " and in ".join(name for name in _GROUPED if name not in some)
                wrong = f"There are no groups in {missing}; conv2, conv4 and conv5 have them."
                common[key].setdefault(_cost(g, grouped=some)[position], wrong)
            everywhere = "Not the whole network gets smaller with the groups, only conv2, conv4 "
            everywhere += "and conv5."
            for value in (_cost(n)[position] * n / g for n in (1, 2)):
                common[key] |= dict.fromkeys((value, int(value), math.ceil(value)), everywhere)
            for grouped in (tuple(_CONVS), every):
                common[key].setdefault(_cost(g, grouped=grouped)[position], everywhere)
            if g == 1:
                common[key][2 * _cost(2)[position]] = (
                    "Only conv2, conv4 and conv5 have groups; the rest does not double."
                )
            images = given[key] / right[key] if isinstance(given[key], (int, float)) else 0
            if what == "MACs" and images in range(5, 1025):
                common[key][given[key]] = (
                    f"This is {images:.0f} times as much: is it for {images:.0f} images? Count one."
                )
            common[key] = {k: v for k, v in common[key].items() if k != right[key]}
    macs = [key for key in right if key.startswith("MACs")]
    try:
        expect_numbers(given, right, common, macs=macs, without_biases=without_biases)
    except Unexplained as error:  # a search would build large networks, again and again
        raise Wrong(
            f"{error} Count the whole network, at 227 pixels, built with these groups."
        ) from None
    two, four = ([100 * (1 - c / one) for c, one in zip(_cost(g), _cost(1))] for g in (2, 4))
    return (
        f"Two groups save {two[0]:.0f} % of the parameters and {two[1]:.0f} % of the MACs, four "
        f"save {four[0]:.0f} % and {four[1]:.0f} %."
    )


# --- alexnet.5: local response normalisation ------------------------------------------------------


_NEAR = "maps[:, max(0, i - n // 2) : i + n // 2 + 1]"
_SQUARES = "near.square().sum(dim=1)"
_BELOW = "(k + alpha * total) ** beta"
_RESULT = "torch.stack(results, dim=1)"


def _window(lower: str, upper: str) -> tuple[str, str]:
    return _NEAR, f"maps[:, max(0, {lower}) : max(0, {upper})]"


def _below(text: str) -> tuple[str, str]:
    return _BELOW, text


_EVERY = "range(i - n // 2, i + n // 2 + 1)"
SLIPS["alexnet.5"] = {
    "At the first and the last maps the neighbours come from the other end. There are none: the "
    "sum is shorter there.": (_NEAR, f"maps[:, [j % maps.shape[1] for j in {_EVERY}]]"),
    "Alpha is divided by n, or the mean of n squares is taken in place of their sum. That is what "
    "torch does; the paper multiplies the sum by alpha itself.": _below(
        "(k + alpha / n * total) ** beta"
    ),
    "Alpha is divided by 5, whatever n is. Dividing by n is what torch does; the paper multiplies "
    "the sum by alpha itself.": _below("(k + alpha / 5 * total) ** beta"),
    "Two things are as in torch, not as in the paper: alpha is divided by n, and 1 is in the place "
    "of `k`.": _below("(1 + alpha / n * total) ** beta"),
    "Alpha is multiplied by n. That is for torch's layer, which divides by n again.": _below(
        "(k + alpha * n * total) ** beta"
    ),
    "Alpha is squared.": _below("(k + alpha**2 * total) ** beta"),
    "`k` is not used: there is a 1 in its place.": _below("(1 + alpha * total) ** beta"),
    "`k` is not used: it is always 2.": _below("(2 + alpha * total) ** beta"),
    "`alpha` is not used: it is always 1e-4.": _below("(k + 1e-4 * total) ** beta"),
    "`k` is missing.": _below("(alpha * total) ** beta"),
    "`k` is multiplied, not added: the formula has k + alpha · sum.": _below(
        "(k * alpha * total) ** beta"
    ),
    "`k` is outside the power; the formula has (k + alpha · sum) to the power beta.": _below(
        "(k + (alpha * total) ** beta)"
    ),
    "The power beta is taken of the sum alone; it belongs to the whole bracket, k + alpha · sum.": (
        _below("(k + alpha * total ** beta)")
    ),
    "The power beta is taken of alpha alone; it belongs to the whole bracket, k + alpha · sum.": (
        _below("(k + alpha ** beta * total)")
    ),
    "Alpha is outside the bracket: the formula has (k + alpha · sum) to the power beta.": _below(
        "(alpha * (k + total) ** beta)"
    ),
    "Alpha multiplies the whole result; in the formula it multiplies the sum alone.": (
        _below("((k + total) ** beta / alpha)")
    ),
    "Alpha multiplies k as well: the formula has k + alpha · sum.": _below(
        "(alpha * (k + total)) ** beta"
    ),
    "Alpha is missing.": _below("(k + total) ** beta"),
    "The power beta is missing.": _below("(k + alpha * total)"),
    "Beta multiplies; it is a power.": _below("((k + alpha * total) * beta)"),
    "The power is 1 - beta; it is beta.": _below("(k + alpha * total) ** (1 - beta)"),
    **{
        f"The power is the same whatever beta is: {power}{root}.": _below(
            f"(k + alpha * total) ** {power}"
        )
        for power, root in ((0.75, ""), (0.5, ", a square root"))
    },
    "The root of the sum is taken; the power beta is the only one in the formula.": _below(
        "(k + alpha * total.sqrt()) ** beta"
    ),
    "The maps are divided by the root of the sum of squares (their length); k, alpha and beta are "
    "missing.": _below("total.sqrt()"),
    "The sum of the squares is squared once more.": _below("(k + alpha * total**2) ** beta"),
    "The sum goes over neighbouring images, axis 0; it should go over neighbouring maps, axis 1.": (
        *("results = []", "results, maps = [], maps.transpose(0, 1)"),
        *(_RESULT, f"{_RESULT}.transpose(0, 1)"),
    ),
    "The sum goes over neighbouring positions of the same map; it should go over neighbouring maps "
    "at the same position.": (
        _SQUARES,
        "n * n * F.avg_pool2d(maps[:, i : i + 1].square(), n, 1, n // 2)[:, 0]",
    ),
    "The last neighbour is missing: a slice ends before its second number.": _window(
        "i - n // 2", "i + n // 2"
    ),
    "The first neighbour is missing.": _window("i - n // 2 + 1", "i + n // 2 + 1"),
    "The window is two maps too wide: it has n + 2 maps.": _window(
        "i - n // 2 - 1", "i + n // 2 + 2"
    ),
    "The sum reaches n maps to either side; it should be n maps in all.": _window(
        "i - n", "i + n + 1"
    ),
    "The sum begins at the map itself and takes the next ones; it should lie around it, n // 2 to "
    "either side.": _window("i", "i + n"),
    "The sum looks backwards only; it should lie around the map, n // 2 to either side.": _window(
        "i - n + 1", "i + 1"
    ),
    "The sum looks n // 2 maps back and not ahead.": _window("i - n // 2", "i + 1"),
    "The sum looks n // 2 maps ahead and not back.": _window("i", "i + n // 2 + 1"),
    "`n` is not used: the window always has 5 maps.": _window("i - 2", "i + 3"),
    "`n` is not used: the window always has 3 maps.": _window("i - 1", "i + 2"),
    "At the first and the last maps the border map is counted again. The sum is shorter there.": (
        _NEAR,
        f"maps[:, [min(max(j, 0), maps.shape[1] - 1) for j in {_EVERY}]]",
    ),
    "At the first and the last maps the window is pushed inside to keep n maps. The sum is shorter "
    "there.": _window(
        "min(i - n // 2, maps.shape[1] - n)", "max(i + n // 2 + 1, min(n, maps.shape[1]))"
    ),
    "The first and the last maps, which lack a neighbour, are normalised by themselves alone; the "
    "neighbours that exist count.": (
        _NEAR,
        f"maps[:, list({_EVERY}) if n // 2 <= i < maps.shape[1] - n // 2 else [i]]",
    ),
    "The first and the last maps, which lack a neighbour, are left at 0; the neighbours that exist "
    "count.": (
        f"maps[:, i] / {_BELOW}",
        f"maps[:, i] / {_BELOW} * (n // 2 <= i < maps.shape[1] - n // 2)",
    ),
    "The maps before this one are already normalised when their squares are summed. Write the "
    "results into another tensor than the one that is read.": (
        *("results = []", "results, maps = [], maps.clone()"),
        *(f"results.append(maps[:, i] / {_BELOW})", f"maps[:, i] = maps[:, i] / {_BELOW}"),
        *(_RESULT, "maps"),
    ),
}


def alexnet_5(answer, reference):
    forbidden = "This is torch's own layer. Write the sum yourself; torch is the judge here."
    cases = (
        (60 * torch.randn(2, 9, 3, 4),),
        (torch.rand(2, 7, 4, 3), 5, 1.5, 0.5, 0.5),  # not negative, as after a ReLU
        (3 * torch.rand(1, 8, 3, 3), 3, 2.0, 0.1, 0.75),
        (torch.rand(1, 2, 4, 4), 5, 2.0, 0.3, 1.5),
    )
    with _Without({"local_response_norm": forbidden}):
        same_results(answer, reference, *cases, layer=True)
    return "It agrees with nn.LocalResponseNorm when that is given n · alpha."


# --- alexnet.6: dropout ---------------------------------------------------------------------------

_FORBIDDEN_DROPOUT = {
    name: "This is torch's own dropout. Draw the mask yourself, for example with torch.rand."
    for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")
} | {"feature_dropout": "This is torch's own dropout. Draw the mask yourself."}


def _kept(layer: nn.Module, x: Tensor, mode: str) -> Tensor:
    """What the layer gives for x in one mode, after the plainest checks."""
    layer.train(mode == "train")
    before = x.clone()
    result = call(layer, x)
    where = "in training mode" if mode == "train" else "in evaluation mode"
    if layer.training != (mode == "train"):
        switch = "train" if layer.training else "eval"
        raise Wrong(
            f"`forward` switches the mode itself, as `self.{switch}()` does. It should only read "
            "it: `self.training` is True in training and False in evaluation."
        )
    if not isinstance(result, Tensor):
        missing = " Is the `return` missing?" if result is None else ""
        raise Wrong(f"{where.capitalize()} it gives {describe(result)}, not a tensor.{missing}")
    if result.shape != x.shape:
        raise Wrong(
            f"{where.capitalize()} it turns the shape {tuple(x.shape)} into "
            f"{tuple(result.shape)}; dropout keeps the shape."
        )
    if not torch.equal(before, x):
        raise Wrong(
            f"{where.capitalize()} it changes its input in place, as `x *= …` and `x[…] = 0` do. "
            "Give back a new tensor: `x * mask`."
        )
    infinite = result[~result.isfinite()]
    if infinite.isinf().any() and (infinite == infinite[0]).all():
        raise Wrong(f"The values that are dropped become {infinite[0].item()}, not zero.")
    if len(infinite):
        raise Wrong(
            f"{where.capitalize()} some results are infinite or not a number. Is something divided "
            "by 0, for example by the mask? Multiply by it."
        )
    if result.is_floating_point() and result.dtype != x.dtype:
        kind, given = (str(t.dtype).removeprefix("torch.") for t in (result, x))
        raise Wrong(
            f"{where.capitalize()} it gives {kind} numbers for {given} ones; keep the type."
        )
    return result.detach().to(x.dtype)  # a mask alone may be of True and False


def _check_evaluation(layer: nn.Module, x: Tensor, p: float, factor: float) -> None:
    result = _kept(layer, x, "eval")
    if torch.allclose(result, x):
        return
    if (result == 0).any():
        with torch.no_grad():
            if torch.equal(call(layer, x), x):
                raise Wrong(_BY_GRADIENT)
        raise Wrong(
            f"With p = {p} it drops values in evaluation mode too "
            f"({(result == 0).float().mean():.0%} of them are zero). There the input should come "
            "back as it is. `self.training` tells the modes apart (`self.train` is a method, which "
            "counts as True)."
        )
    scale = (result / x).median().item()
    if math.isclose(scale, 1 - p, abs_tol=1e-4) and math.isclose(factor, 1, abs_tol=1e-4):
        raise Wrong(
            f"In evaluation mode everything is multiplied by 1 - p = {1 - p:g}. That is how the "
            "paper of 2012 did it, and on average it is the same; the task asks for the other way "
            "round: divide by 1 - p in training, and change nothing in evaluation."
        )
    cause = {
        1 / (1 - p): "The division by 1 - p belongs to training only.",
        p: "That is p.",
        1 - p: "That is 1 - p, and training divides by 1 - p already.",
    }
    known = [text for value, text in cause.items() if math.isclose(scale, value, rel_tol=1e-3)]
    raise Wrong(
        f"In evaluation mode the values are multiplied by {scale:.3g}; they should come back as "
        f"they are. {' '.join(known[:1])}".strip()
    )


def _check_threshold(result: Tensor, x: Tensor) -> None:
    """Chance decides which values are dropped, not the values themselves."""
    zeros = result == 0
    if not zeros.any() or zeros.all():
        return
    for values, which in ((x, "small"), (-x, "large"), (x.abs(), "small")):
        if values[zeros].max() <= values[~zeros].min():
            raise Wrong(
                f"The {which} values are dropped: it is the input that is compared with p. Compare "
                "random numbers, such as torch.rand_like(x)."
            )
    if zeros[x < 0].all():
        raise Wrong(
            "Every negative value becomes zero, as a ReLU or `clamp` would do. Chance alone "
            "decides which values are dropped: multiply by a mask of zeros and ones."
        )


_BY_GRADIENT = (
    "Whether gradients are computed decides here (as `torch.is_grad_enabled()` or "
    "`x.requires_grad` tells). The mode should decide: ask `self.training`."
)


def _same_again(layer: nn.Module, x: Tensor) -> str:
    """Why a second call drops the same values, in a sentence."""
    drawn = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            torch.manual_seed(seed)
            layer(x)
            drawn.append(torch.rand(1).item())
    if drawn[0] == drawn[1]:
        return "`forward` sets the seed, so that every call draws the same. Leave the seed alone."
    held = (v.values() if isinstance(v, dict) else [v] for v in vars(layer).values())
    if any(isinstance(v, Tensor) and v.numel() == x.numel() for v in itertools.chain(*held)):
        return "The mask is kept in the module and used again. Draw it in `forward`, in every call."
    return (
        "The mask has to be drawn anew in every call (is it kept from an earlier one, or from a "
        "fixed seed?)."
    )


def _check_share(result: Tensor, p: float, x: Tensor) -> None:
    dropped = (result == 0).float().mean().item()
    if abs(dropped - p) < 0.02:
        return
    what = f"With p = {p}, {dropped:.0%} of the values are zero in training mode."
    if dropped == 0 and torch.equal(result, x):
        raise Wrong(
            "In training mode the input comes back as it is: nothing is dropped. `self.training` "
            "is True in training (`self.train` and `self.eval` are methods, which count as True)."
        )
    if dropped == 0:
        values, counts = result.unique(return_counts=True)
        if counts.max() > 1 and counts.max() > 0.5 * p * result.numel():
            becomes = values[counts.argmax()].item()
            brackets = ""
            if math.isclose(becomes, -p, rel_tol=1e-4):
                brackets = " Are brackets missing? `/ 1 - p` divides by 1 and then subtracts p."
            raise Wrong(f"The values that are dropped become {becomes:.4g}, not zero.{brackets}")
        raise Wrong(
            f"{what} {p:.0%} of them should be: each value is either kept or becomes exactly 0, "
            f"and here they are multiplied by numbers from {(result / x).min():.3g} to "
            f"{(result / x).max():.3g}."
        )
    if math.isclose(dropped, p / 100, rel_tol=0.5):
        raise Wrong(
            f"{what} Is p taken for percent? The random numbers and p both go from 0 to 1, so no "
            "factor of 100 is needed."
        )
    if dropped == 1:
        raise Wrong(f"{what} Only {p:.0%} of them should be.")
    if abs(dropped - (1 - p)) < 0.02:
        raise Wrong(f"{what} p is the probability to drop a value, not to keep it.")
    if abs(dropped - 0.5) < 0.02:
        raise Wrong(f"{what} It looks as if p were not used.")
    normal = [0.5 * (1 + math.erf(value / math.sqrt(2))) for value in (p, -p, 1 - p, p - 1)]
    if any(abs(dropped - share) < 0.01 for share in normal):
        raise Wrong(
            f"{what} A normal distribution (`randn`) is compared with p; `rand` gives numbers from "
            "0 to 1, all equally likely."
        )
    raise Wrong(f"{what} {p:.0%} of them should be. Is each value dropped with probability p?")


def _check_factor(result: Tensor, p: float, x: Tensor) -> float:
    alive = result != 0
    ratios = result[alive] / x[alive]
    factor = ratios.median().item()
    values = result[alive]
    if torch.allclose(values, values.median().expand_as(values)):
        raise Wrong(
            f"In training mode the mask itself comes back (every kept value is {values[0]:.4g}); "
            "multiply the input by it."
        )
    if not torch.allclose(ratios, torch.full_like(ratios, factor), rtol=1e-3):
        raise Wrong(
            "The values that are kept are not all multiplied by the same number: from "
            f"{ratios.min():.3g} to {ratios.max():.3g}."
        )
    return factor


def _explain_factor(factor: float, p: float, kept: float) -> None:
    if math.isclose(factor, 1 / (1 - p), rel_tol=1e-3):
        return
    what = f"With p = {p} the values that are kept are multiplied by {factor:.4g} in training mode"
    causes = {
        1.0: "they are not scaled. Divide them by 1 - p, or the sum falls by that share",
        1 - p: "that is 1 - p. Divide by it instead of multiplying",
        1 / p: "that is 1 / p. Divide by 1 - p, the probability to be kept",
        p: "that is p. Divide by 1 - p, the probability to be kept",
        2.0: "that is right for p = 0.5 only. Divide by 1 - p",
        1 / (1 + p): "that is 1 / (1 + p). Divide by 1 - p",
        1 / (p - 1): "the sign is wrong. Divide by 1 - p, not by p - 1",
        1 / (1 - p) ** 2: "they are divided by 1 - p twice",
    }
    if math.isclose(factor, 1 / kept, rel_tol=1e-5):
        raise Wrong(
            f"{what}: that is one over the share that happens to be kept in this call. Divide by "
            "1 - p, which is the same in every call."
        )
    for value, cause in causes.items():
        if math.isclose(factor, value, rel_tol=1e-3):
            raise Wrong(f"{what}: {cause}.")
    raise Wrong(f"{what}; 1 / (1 - p) = {1 / (1 - p):.4g} is right.")


def _check_independence(layer: nn.Module, first: Tensor, x: Tensor) -> None:
    zeros = first == 0
    if not zeros.any() or zeros.all():
        return
    if (zeros == zeros[:1]).all():
        raise Wrong("The same values are dropped in every image; each needs a draw of its own.")
    if zeros.ndim == 2 and (zeros == zeros[:, :1]).all():
        raise Wrong(
            "Whole images are dropped or kept; each value needs a draw of its own. The mask should "
            "have the shape of the input."
        )
    if zeros.ndim == 4 and (zeros == zeros[:, :, :1, :1]).all():
        raise Wrong(
            "Whole maps are dropped or kept (torch has that as Dropout2d); each value needs a draw "
            "of its own."
        )
    for axis in range(1, zeros.ndim):
        if (zeros == zeros.narrow(axis, 0, 1)).all():
            raise Wrong(
                f"Along axis {axis} all values share their fate; each needs a draw of its own."
            )
    again = [_kept(layer, x, "train") == 0 for _ in range(4)]
    if torch.equal(again[0], zeros):
        raise Wrong(f"A second call drops the same values. {_same_again(layer, x)}")
    # By chance five draws of thousands agree less often than once in a hundred million times.
    if len({int(mask.sum()) for mask in [zeros, *again]}) == 1:
        raise Wrong(
            f"Exactly {int(zeros.sum()):,} values are dropped in every call. Each value should "
            "have a draw of its own, so that their number differs from call to call."
        )


def _more_than_the_input(layer: nn.Module) -> str:
    """Whether `forward` asks for more than one tensor, in a sentence; or nothing."""
    needed = [
        name
        for name, given in inspect.signature(layer.forward).parameters.items()
        if given.default is given.empty
        and given.kind in (given.POSITIONAL_ONLY, given.POSITIONAL_OR_KEYWORD, given.KEYWORD_ONLY)
    ]
    if len(needed) < 2:
        return ""
    return (
        f"`forward` takes {' and '.join(f'`{name}`' for name in needed)}; a network calls it with "
        "the tensor alone. Which mode is on is in `self.training`."
    )


def alexnet_6(answer):
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"A class is expected, not a module: give Dropout itself, not {type(answer).__name__}()"
            ", so that the check can choose p."
        )
    if inspect.isfunction(answer):
        try:
            answer(0.5)
        except Exception:
            raise Wrong(
                "A class is expected, `class Dropout(nn.Module)`: `Dropout(0.5)` makes the module, "
                "which then gets the tensor. Yours is a function that gets the tensor itself."
            ) from None
    with _Without(_FORBIDDEN_DROPOUT):
        for p, shape in ((0.2, (40, 500)), (0.7, (20, 8, 10, 12)), (0.5, (20000,))):
            layer = make(answer, p)
            if problem := _more_than_the_input(layer):
                raise Wrong(problem)
            x = torch.randn(shape)
            x = x + 0.1 * x.sign()  # away from zero, on both sides
            try:
                result = _kept(layer, x, "train")
            except Unexplained as error:
                if "must match the size of tensor" in str(error):
                    raise Wrong(
                        "The mask has another shape than the input. Draw it in `forward`, where "
                        f"the input is known, for example with `torch.rand_like(x)`. {error}"
                    ) from None
                if shape == (40, 500):
                    raise
                raise Wrong(
                    f"It works for tensors of two axes, but not for the shape {shape}; dropout "
                    f"takes tensors of any shape. {error}"
                ) from None
            shares = [(_kept(layer, x, "train") == 0).float().mean().item() for _ in range(40)]
            if {0.0, 1.0} == set(shares):
                raise Wrong(
                    "All values are dropped, or none is: there is one draw for the whole tensor. "
                    "Each value needs a draw of its own."
                )
            dropped = (result == 0).float().mean().item()
            if dropped == 0 and (_kept(layer, x, "eval") == 0).any():
                raise Wrong(
                    "The modes have changed places: it drops values in evaluation and none in "
                    "training."
                )
            if dropped == 0 and (call(layer, x.clone().requires_grad_()) == 0).any():
                raise Wrong(_BY_GRADIENT)
            _check_threshold(result, x)
            if len(shape) > 1:
                _check_independence(layer, result, x)
            _check_share(result, p, x)
            factor = _check_factor(result, p, x)
            _check_evaluation(layer, x, p, factor)
            _explain_factor(factor, p, (result != 0).float().mean().item())
        x = torch.randn(50, 40, requires_grad=True)
        layer = make(answer, 0.25).train()
        result = call(layer, x)
        if not result.requires_grad:
            raise Wrong("The result has no gradient: is something detached, or under no_grad?")
        result.sum().backward()
        kept = (result.detach() != 0).float() / 0.75
        if not torch.allclose(x.grad, kept):
            raise Wrong(
                "The gradient of a kept value should be 1 / (1 - p), that of a dropped one 0. Is "
                "something detached?"
            )
        for dtype in (torch.float64, torch.float16):
            for mode in ("train", "eval"):
                _kept(make(answer, 0.5), torch.randn(30, 30).to(dtype), mode)
        layer, x = make(answer, 0.0).train(), torch.randn(30, 30)
        if not torch.allclose(call(layer, x), x):
            raise Wrong("With p = 0 nothing should change.")
    return "Right share, right scale, a new draw for every value, and silent in evaluation."


# --- alexnet.7: repair ----------------------------------------------------------------------------


_HIDDEN = "F.dropout(F.relu(self.fc5(maps.flatten(1))), 0.5, self.training)"
_THREE = ("48 * 2 * 2", "48 * 3 * 3")
_STILL = (", 0.5, self.training", ", 0.5")
_GROUPLESS = ("padding=1, groups=2", "padding=1")
SLIPS["alexnet.7"] = {
    "The maps are brought to 3×3 in front of fc5; they are 2×2, and it is fc5 that has to fit.": (
        *_THREE,
        *("maps.flatten(1)", "F.adaptive_avg_pool2d(maps, 3).flatten(1)"),
    ),
    "Dropout is still on in evaluation mode: `F.dropout` has to be told the mode.": _STILL,
    "conv4 has lost its two groups; in_channels was wrong, not groups.": _GROUPLESS,
    "conv4 has lost its two groups, and dropout is gone altogether.": (
        *_GROUPLESS,
        *("0.5, self.training", "0.0"),
    ),
    "conv4 sees only the first 24 of the 48 maps; it should take all 48, in two groups.": (
        *("(48, 48", "(24, 48"),
        *("self.conv4(maps)", "self.conv4(maps[:, :24])"),
    ),
    "conv3 gives 24 maps now; it should give 48. in_channels of conv4 was wrong.": (
        *("(32, 48", "(32, 24"),
        *("(48, 48", "(24, 48"),
    ),
    "Each map is averaged to one number; it should be flattened, so that fc5 sees all positions.": (
        *("maps.flatten(1)", "maps.mean((2, 3))"),
        *("48 * 2 * 2", "48"),
    ),
    **{
        f"The ReLU after {name} is gone; it was right.": (
            f"F.relu(self.{name}({x}))",
            f"self.{name}({x})",
        )
        for name, x in zip(("conv4", "conv3", "conv2", "conv1"), (*["maps"] * 3, "images"))
    },
    **{
        f"There is {name} after fc5; the ReLU was right.": (
            "F.relu(self.fc5(maps.flatten(1)))",
            f"{function}(self.fc5(maps.flatten(1)))",
        )
        for name, function in (
            ("a tanh", "torch.tanh"),
            ("a sigmoid", "torch.sigmoid"),
            ("a GELU", "F.gelu"),
            ("a leaky ReLU", "F.leaky_relu"),
        )
    },
    "This is the dropout of 2012, which halves the values in evaluation. Here it should do "
    "nothing there; in training the kept values are doubled, as `F.dropout` does.": (
        _HIDDEN,
        "F.relu(self.fc5(maps.flatten(1)))\n"
        "        kept = torch.rand_like(hidden) > 0.5\n"
        "        hidden = hidden * kept if self.training else hidden * 0.5",
    ),
    "Dropout is on in evaluation and off in training: the other way round.": (
        "self.training",
        "not self.training",
    ),
    "Dropout is gone altogether, or `training` is always False. In training it should stay.": (
        *("0.5, self.training", "0.0"),
    ),
    "`F.dropout` takes the share p first and the mode after it: here the mode is taken for p.": (
        "0.5, self.training",
        "float(self.training)",
    ),
    "Dropout has moved to the input of fc5; it was on its output.": (
        _HIDDEN,
        "F.relu(self.fc5(F.dropout(maps.flatten(1), 0.5, self.training)))",
    ),
    "Dropout is on the logits; it was on the output of fc5.": (
        *(_HIDDEN, "F.relu(self.fc5(maps.flatten(1)))"),
        *("self.fc6(hidden)", "F.dropout(self.fc6(hidden), 0.5, self.training)"),
    ),
    "Dropout is there twice, and the `F.dropout` that was there is still on in evaluation mode.": (
        *_STILL,
        *("self.fc6(hidden)", "self.fc6(F.dropout(hidden, 0.5, self.training))"),
    ),
    **{
        f"The share that is dropped has changed to {p}; it was 0.5.": (", 0.5", f", {p}")
        for p in (0.1, 0.2, 0.25, 0.3, 0.4, 0.6)
    },
    "The poolings round up now, so that the last maps are 3×3. The poolings were right; fc5 "
    "expects too many inputs.": ("3, stride=2", "3, stride=2, ceil_mode=True", *_THREE),
    "The last pooling rounds up now, so that the last maps are 3×3. The poolings were right; fc5 "
    "expects too many inputs.": (
        "self.pool(F.relu(self.conv4(maps)))",
        "F.max_pool2d(F.relu(self.conv4(maps)), 3, 2, ceil_mode=True)",
        *_THREE,
    ),
    "The poolings are 2×2 now, so that the last maps are 3×3. The poolings were right, 3×3 with "
    "stride 2; fc5 expects too many inputs.": ("3, stride=2", "2, stride=2", *_THREE),
    "The poolings are 2×2 now (they were right, 3×3 with stride 2), and dropout is still on in "
    "evaluation mode.": ("3, stride=2", "2, stride=2", *_THREE, *_STILL),
    "The poolings round up now, and dropout is still on in evaluation mode.": (
        *("3, stride=2", "3, stride=2, ceil_mode=True"),
        *_THREE,
        *_STILL,
    ),
    "The ReLU after fc5 is gone; it was right.": (
        "F.relu(self.fc5(maps.flatten(1)))",
        "self.fc5(maps.flatten(1))",
    ),
}


class _Drawn(TorchFunctionMode):
    """Notes whether torch's dropout is called inside; with `off` it changes nothing there."""

    def __init__(self, off: bool = False):
        super().__init__()
        self.off, self.used = off, False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if "dropout" in getattr(function, "__name__", ""):
            self.used = True
            if self.off:
                return args[0] if args else kwargs["input"]
        return function(*args, **kwargs)


class _WithoutDropout(nn.Module):
    """A network whose dropout does nothing in training either."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        with _Drawn(off=True):
            return self.network(x)


class _WithoutOwnDropout(nn.Module):
    """A network without what it drops in front of its last layer, if it drops as it should: about
    half of the values, the others are doubled, and each image has its own draw."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.network(x)
        dropped, noisy = self.last_input(x)
        self.network.eval()
        whole, logits = self.last_input(x)
        self.network.train()
        if dropped is None or whole is None or dropped.shape != whole.shape:
            return noisy
        kept, on = dropped != 0, whole != 0
        share = kept[on].float().mean()
        doubled = torch.allclose(dropped, 2 * whole * kept, rtol=1e-4, atol=1e-6)
        alike = torch.equal(kept[0] & on[1], kept[1] & on[0])
        return logits if doubled and 0.25 < share < 0.75 and not alike else noisy

    def last_input(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """What the last linear layer is given, and what the network answers."""
        given = []
        last = [module for module in self.network.modules() if isinstance(module, nn.Linear)][-1:]
        hooks = [
            m.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0])) for m in last
        ]
        try:
            logits = self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        return (given[-1] if given else None), logits


def _expect_modes_kept(network: nn.Module, x: Tensor) -> None:
    """`forward` leaves mode and seed alone, and calls no dropout that follows neither."""
    called: list[nn.Module] = []
    hook = nn.modules.module.register_module_forward_pre_hook(lambda m, _: called.append(m))
    try:
        for mode in (True, False):
            network.train(mode)
            called.clear()
            draws = []
            for seed in (1, 2):
                torch.default_generator.manual_seed(seed)
                try:
                    network(x)
                except Exception:
                    return  # it cannot run: `same_outputs` says why
                draws.append(torch.rand(1).item())
            if draws[0] == draws[1]:
                raise Wrong(
                    "`forward` sets the seed. The logits agree then, but only because dropout "
                    "drops the same values in every call. Leave the seed alone, and tell "
                    "`F.dropout` the mode."
                )
            if network.training != mode:
                switched = "self.train()` or `self.training = True" if not mode else "self.eval()"
                raise Wrong(
                    f"`forward` switches the mode itself, as by `{switched}`. Whoever uses the "
                    "network does that, with `network.train()` and `network.eval()`; `forward` "
                    "only reads `self.training`."
                )
    finally:
        hook.remove()
    for name in [name for name, value in vars(network).items() if value is True]:
        other = copy.deepcopy(network)
        setattr(other, name, False)
        if not torch.equal(network(x), network(x)) and torch.equal(other(x), other(x)):
            raise Wrong(
                f"`self.{name}` is set once, in `__init__`, where the mode is always training, and "
                "so dropout is never off. Ask for `self.training` in `forward`, in every call."
            )
    own = set(network.modules())
    if any(m not in own and m.training and "drop" in type(m).__name__.lower() for m in called):
        raise Wrong(
            "The dropout is a module that is made in `forward`: it is new in each call, and a new "
            "module is in training mode. Make it once, in `__init__`, and keep it in `self`."
        )


def alexnet_7(answer, reference):
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"RepairedAlexNet is {describe(answer)}; it should stay the class, or a function that "
            "builds one, so that num_classes can be chosen."
        )
    network, images = make(answer), torch.randn(4, 1, 28, 28)
    with contextlib.suppress(Exception):
        network.eval()(images)  # a lazy layer cannot be copied before
    if not trace.is_following():
        with trace.unwatched():
            _expect_modes_kept(copy.deepcopy(network), images)
    shapes = (4, 1, 28, 28), (3, 1, 28, 28)
    if not _has_own_dropout(network, images) or not _agrees(
        _WithoutOwnDropout(copy.deepcopy(network)), _WithoutDropout(reference()), shapes
    ):
        same_outputs(network, reference(), *shapes)
    seven = call(make(answer, 7).eval(), torch.randn(2, 1, 28, 28))
    if tuple(seven.shape) != (2, 7):
        raise Wrong(
            f"{describe_call(answer, 7)} gives {describe(seven)} for two images; 7 logits each are "
            "expected: the last layer has to use num_classes."
        )
    return "It runs, and in evaluation mode it agrees with itself."


def _has_own_dropout(network: nn.Module, images: Tensor) -> bool:
    """Whether something is drawn in training, and not by torch's dropout."""
    if trace.is_following():
        return False
    network = copy.deepcopy(network).train()
    try:
        with torch.no_grad(), _Drawn() as drawn:
            return not torch.equal(network(images), network(images)) and not drawn.used
    except Exception:
        return False


def _agrees(network: nn.Module, right: nn.Module, shapes: tuple) -> bool:
    with trace.unwatched():
        try:
            same_outputs(network, right, *shapes)
        except Wrong:
            return False
    return True
