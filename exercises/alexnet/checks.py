"""Checks of chapter 02: AlexNet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exercises.compare import (
    Wrong,
    call,
    describe,
    describe_call,
    expect_keys,
    expect_numbers,
    make,
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


class _WithoutGroups(TorchFunctionMode):
    """Inside, a convolution in groups raises `Wrong`."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") == "conv2d":
            groups = args[6] if len(args) > 6 else kwargs.get("groups", 1)
            if groups != 1:
                raise Wrong(
                    f"A convolution with groups={groups} does the whole job. Build it from "
                    "ordinary convolutions, with groups left at 1."
                )
        return function(*args, **kwargs)


# --- alexnet.1: sizes -----------------------------------------------------------------------------


def _map_sizes(
    pixels: int,
    padding: int,
    *,
    rounding: Callable[[float], float] = math.floor,
    plus_one: int = 1,
    sides: int = 2,
    pool: tuple[int, int] = (3, 2),
    paddings: tuple[int, ...] = (2, 1, 1, 1),
    stride: int = 4,
    keep: str = "all",
) -> list[float]:
    """Sizes after every layer of AlexNet, with the mistakes that the options describe."""

    def after(size: float, kernel_size: int, stride: int, padding: int = 0) -> float:
        return rounding((size + sides * padding - kernel_size) / stride) + plus_one

    sizes = [pixels]
    for layer, (kernel_size, step, padded) in {
        "conv1": (11, stride, padding),
        "pool1": (*pool, 0),
        "conv2": (5, 1, paddings[0]),
        "pool2": (*pool, 0),
        "conv3": (3, 1, paddings[1]),
        "conv4": (3, 1, paddings[2]),
        "conv5": (3, 1, paddings[3]),
        "pool5": (*pool, 0),
    }.items():
        size = after(sizes[-1], kernel_size, step, padded)
        sizes.append(size)
        if keep == "convolutions" and layer.startswith("pool"):
            sizes[-2:] = [size]  # later layers go on from it, but it is not listed
    return sizes if keep == "input too" else sizes[1:]


def _table_order(pixels: int, padding: int) -> list[int]:
    sizes = [pixels]
    layers = [(11, 4, padding), (5, 1, 2), *3 * [(3, 1, 1)], *3 * [(3, 2, 0)]]
    for kernel_size, stride, padded in layers:
        sizes.append((sizes[-1] + 2 * padded - kernel_size) // stride + 1)
    return sizes[1:]


def _convolutions_only(pixels: int, padding: int) -> list[float]:
    sizes = _map_sizes(pixels, padding)
    return [sizes[number] for number in (0, 2, 4, 5, 6)]


def alexnet_1(answer):
    def variant(**options):
        return lambda pixels, padding: _map_sizes(pixels, padding, **options)

    same_results(
        answer,
        lambda pixels, padding: [int(size) for size in _map_sizes(pixels, padding)],
        (227, 0),
        (224, 2),
        (224, 1),
        (224, 0),
        (98, 0),
        (130, 3),
        mistakes={
            "The sizes are not rounded: a kernel finds a whole number of places.": variant(
                rounding=lambda size: size
            ),
            "The sizes are rounded up; they should be rounded down.": variant(rounding=math.ceil),
            "The sizes are rounded to the nearest number; they should be rounded down.": variant(
                rounding=round
            ),
            "The + 1 is missing: a kernel that cannot move at all still has one place.": variant(
                plus_one=0
            ),
            "The padding is added once; there are zeros on both sides.": variant(sides=1),
            "The pooling windows are 3×3 with stride 3; here they overlap, the stride is 2.": (
                variant(pool=(3, 3))
            ),
            "The pooling windows are 2×2 with stride 2; AlexNet's are 3×3 with stride 2.": variant(
                pool=(2, 2)
            ),
            "The pooling has stride 1; it is 2.": variant(pool=(3, 1)),
            "conv2 has no padding; it is 2.": variant(paddings=(0, 1, 1, 1)),
            "conv2 has padding 1; it is 2.": variant(paddings=(1, 1, 1, 1)),
            "conv3, conv4 and conv5 have no padding; it is 1.": variant(paddings=(2, 0, 0, 0)),
            "No convolution but the first has padding; conv2 has 2, the later ones have 1.": (
                variant(paddings=(0, 0, 0, 0))
            ),
            "conv3, conv4 and conv5 have padding 2; it is 1.": variant(paddings=(2, 2, 2, 2)),
            "conv1 moves by 1; its stride is 4.": variant(stride=1),
            "`padding` is not used: conv1 has none here.": lambda pixels, padding: _map_sizes(
                pixels, 0
            ),
            "The sizes after the poolings are missing; eight numbers are expected.": (
                _convolutions_only
            ),
            "The sizes are in the order of the table, convolutions first and poolings last. They "
            "should come in the order of the layers: conv1, pool1, conv2, pool2 and so on.": (
                lambda pixels, padding: [
                    _map_sizes(pixels, padding)[number] for number in (0, 2, 4, 5, 6, 1, 3, 7)
                ]
            ),
            "The layers are applied in the order of the table, all convolutions first. A pooling "
            "is after conv1, after conv2 and after conv5.": _table_order,
            "The list begins with the size of the image; it should begin after conv1.": variant(
                keep="input too"
            ),
            "This is the size after pool5 alone; all eight are expected.": (
                lambda pixels, padding: _map_sizes(pixels, padding)[-1]
            ),
        },
    )
    return "227 without padding and 224 with padding 2 both give 55, 27, 13 and 6."


# --- alexnet.2: counting --------------------------------------------------------------------------


def alexnet_2(answer):
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
            256 * 5 * 5 * 4096 + 4096: "These are maps of 5×5, as 224 pixels give; here it is 6×6.",
            fc7: "This is fc7. fc6 comes first and takes the maps.",
            (inputs + 1) * 1000: "fc6 has 4,096 outputs, not 1,000.",
            4 * fc6: "These are bytes. Count parameters.",
            inputs: "These are its inputs. Each of the 4,096 outputs has a weight for every one.",
        },
        "all_three": {
            fc6 + sum(weights[1:]): "fc7 and fc8 have biases too: 4,096 and 1,000.",
            fc6 + fc7: "fc8, the layer with the 1,000 logits, is missing.",
            fc7 + fc8: "fc6 is missing.",
            3 * fc6: "The three layers are not alike: fc7 and fc8 have 4,096 inputs.",
            fc6 + 2 * fc7: "fc8 has 1,000 outputs, not 4,096.",
            fc6 + fc8: "fc7 is missing.",
            total: "This is the whole network; the convolutions have parameters too.",
            total - (fc6 + fc7 + fc8): "This is what the convolutions have.",
        },
        "percent": {
            share / 100: "This is the share as a fraction; give it in percent.",
            round(share) / 100: "This is the share as a fraction; give it in percent.",
            100 * fc6 / total: "This is the share of fc6 alone.",
            100 - share: "This is the share of the convolutions.",
            96.0: "At least one decimal is asked for. (96.0 is torchvision's AlexNet.)",
            97.0: "At least one decimal is asked for.",
        },
    }
    expect_numbers(
        answer,
        {"fc6": fc6, "all_three": fc6 + fc7 + fc8, "percent": share},
        common,
        without_biases={"fc6": weights[0], "all_three": sum(weights)},
        tolerance={"percent": 0.051},
    )
    return "Of 61 million parameters the five convolutions have 2.3 million."


# --- alexnet.3: two groups ------------------------------------------------------------------------


def _halves(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor,
    padding: int,
    *,
    seen: tuple[int, int] = (0, 1),
    kernels: tuple[int, int] = (0, 1),
    biases: tuple[int, int] | None = (0, 1),
    order: int = 1,
    join: str = "cat",
    interleaved: str = "",
    padded: bool = True,
) -> Tensor:
    """Two half convolutions, with the mistakes that the options describe."""
    parts = [maps[:, ::2], maps[:, 1::2]] if "maps" in interleaved else maps.chunk(2, 1)
    rows = [weight[::2], weight[1::2]] if "kernels" in interleaved else weight.chunk(2)
    shifts = [bias[::2], bias[1::2]] if "kernels" in interleaved else bias.chunk(2)
    results = [
        F.conv2d(
            parts[seen[half]],
            rows[kernels[half]],
            None if biases is None else shifts[biases[half]],
            padding=padding if padded else 0,
        )
        for half in range(2)
    ][::order]
    if join == "sum":
        return results[0] + results[1]
    if join == "first":
        return results[0]
    if join == "interleave":
        return torch.stack(results, dim=2).flatten(1, 2)
    return torch.cat(results, dim={"cat": 1, "batch": 0, "height": 2}[join])


def alexnet_3(answer):
    def variant(**options):
        return lambda *arguments: _halves(*arguments, **options)

    def case(n, inputs, outputs, k, height, width, padding):
        weight = torch.randn(outputs, inputs // 2, k, k)
        return torch.randn(n, inputs, height, width), weight, torch.randn(outputs), padding

    with _WithoutGroups():
        same_results(
            answer,
            _halves,
            case(2, 8, 12, 3, 7, 6, 1),
            case(1, 12, 8, 5, 9, 9, 2),
            case(3, 4, 4, 1, 4, 4, 0),
            mistakes={
                "The second card's maps come first.": variant(order=-1),
                "Both halves of the kernels see the first half of the maps.": variant(seen=(0, 0)),
                "Both halves of the kernels see the second half of the maps.": variant(seen=(1, 1)),
                "The cards are crossed: the first half of the kernels sees the second half of the "
                "maps.": variant(seen=(1, 0)),
                "Both cards use the first half of the kernels.": variant(kernels=(0, 0)),
                "Both cards use the first half of the kernels and of the biases.": variant(
                    kernels=(0, 0), biases=(0, 0)
                ),
                "The two results are added; they should be one after the other, as maps.": (
                    variant(join="sum")
                ),
                "Only the first card's maps come back.": variant(join="first"),
                "The maps of the two cards take turns; the first card's should come first.": (
                    variant(join="interleave")
                ),
                "The results are joined along the batch; the maps are axis 1.": variant(
                    join="batch"
                ),
                "The results are joined along the height; the maps are axis 1.": variant(
                    join="height"
                ),
                "The bias is missing.": variant(biases=None),
                "The two halves of the bias have changed places.": variant(biases=(1, 0)),
                "Both cards add the first half of the bias.": variant(biases=(0, 0)),
                "The padding is not used.": variant(padded=False),
                "The maps are dealt out in turn (every other one); each card has one half of "
                "them, in order.": variant(interleaved="maps"),
                "The kernels are dealt out in turn (every other one); each card has one half of "
                "them, in order.": variant(interleaved="kernels"),
                "Maps and kernels are dealt out in turn (every other one); each card has one "
                "half, in order.": variant(interleaved="maps and kernels"),
                "Every kernel sees both halves of the maps, with the same weights.": (
                    lambda maps, weight, bias, padding: F.conv2d(
                        maps, torch.cat([weight, weight], 1), bias, padding=padding
                    )
                ),
            },
        )
    return "It gives what a convolution with groups=2 gives."


# --- alexnet.4: an experiment ---------------------------------------------------------------------

_GROUPED = {"conv2": (96, 256, 5, 27), "conv4": (384, 384, 3, 13), "conv5": (384, 256, 3, 13)}
_PARAMETERS, _MACS = 60_965_224, 724_406_816  # of the 2012 network, with two groups


def _cost(groups: int, conv3: bool = False) -> tuple[int, int]:
    """Parameters and MACs of the whole network; only the three layers depend on the groups.

    conv3: the mistake of giving conv3 groups too.
    """
    parameters, macs = _PARAMETERS, _MACS
    for inputs, outputs, k, side in _GROUPED.values():
        more = inputs * outputs * k * k // groups - inputs * outputs * k * k // 2
        parameters, macs = parameters + more, macs + more * side * side
    if conv3:
        more = 256 * 384 * 9 // groups - 256 * 384 * 9
        parameters, macs = parameters + more, macs + more * 13 * 13
    return parameters, macs


def alexnet_4(answer):
    groups = (1, 2, 4)
    expect_keys(answer, groups)
    for g in groups:
        if not isinstance(answer[g], (tuple, list)) or len(answer[g]) != 2:
            raise Wrong(
                f"For {g} groups two numbers are expected, (parameters, MACs), not "
                f"{describe(answer[g])}."
            )
    given, right, common, without_biases = {}, {}, {}, {}
    for position, what in enumerate(("parameters", "MACs")):
        for g in groups:
            key = f"{what} for groups={g}"
            given[key], right[key] = answer[g][position], _cost(g)[position]
            common[key] = {
                _cost(g)[1 - position]: "Parameters and MACs have changed places.",
                _cost(g, conv3=True)[position]: (
                    "conv3 has been grouped too; only conv2, conv4 and conv5 have groups."
                ),
            }
            common[key] |= {_cost(n)[position]: f"This is what {n} groups need." for n in groups}
            layers = [(i * o * k * k // g, o, side) for i, o, k, side in _GROUPED.values()]
            three = {sum(weights * side**2 for weights, _, side in layers)}
            if what == "parameters":
                three = {sum(w for w, _, _ in layers), sum(w + o for w, o, _ in layers)}
                without_biases[key] = right[key] - 10_568
            common[key] |= dict.fromkeys(
                three, "These are the three layers; the whole network is asked for."
            )
            if g == 1:
                common[key][2 * _cost(2)[position]] = (
                    "Only conv2, conv4 and conv5 have groups; the rest does not double."
                )
            common[key].pop(right[key])
    macs = [key for key in right if key.startswith("MACs")]
    expect_numbers(given, right, common, macs=macs, without_biases=without_biases)
    return "Without groups: 2 % more parameters, 57 % more MACs."


# --- alexnet.5: local response normalisation ------------------------------------------------------


def _respond(
    maps: Tensor,
    n: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    *,
    reach: tuple[int, int] | None = None,
    border: str = "zeros",
    power: int = 2,
    own: bool = True,
    below: Callable = lambda k, alpha, total, beta: (k + alpha * total) ** beta,
    times: bool = False,
) -> Tensor:
    """The paper's formula, with the mistakes that the options describe."""
    channels = maps.shape[1]
    before, after = (n // 2, n // 2) if reach is None else reach
    values = maps**power if power else maps.abs()
    totals = []
    for i in range(channels):
        near = list(range(i - before, i + after + 1))
        if border == "zeros":
            near = [j for j in near if 0 <= j < channels]
        elif border == "slice":
            near = list(range(channels))[i - before : i + after + 1]
        elif border == "wrap":
            near = [j % channels for j in near]
        elif border == "skip" and (near[0] < 0 or near[-1] >= channels):
            near = [i]
        elif border == "repeat":
            near = [min(max(j, 0), channels - 1) for j in near]
        elif border == "inside":
            shift = max(0, -near[0]) - max(0, near[-1] - channels + 1)
            near = [j + shift for j in near if 0 <= j + shift < channels]
        if not own:
            near = [j for j in near if j != i]
        totals.append(values[:, near].sum(1))
    divisor = below(k, alpha, torch.stack(totals, 1), beta)
    return maps * divisor if times else maps / divisor


def _over_space(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    total = n * n * F.avg_pool2d(maps**2, n, 1, n // 2)
    return maps / (k + alpha * total) ** beta


def alexnet_5(answer):
    def variant(**options):
        return lambda *arguments: _respond(*arguments, **options)

    def reaching(before, after):
        return lambda maps, n=5, *rest: _respond(maps, n, *rest, reach=(before(n), after(n)))

    forbidden = "This is torch's own layer. Write the sum yourself; torch is the judge here."
    cases = (
        (60 * torch.randn(2, 9, 3, 4),),
        (torch.rand(2, 7, 4, 3), 5, 1.5, 0.5, 0.5),  # not negative, as after a ReLU
        (3 * torch.rand(1, 8, 3, 3), 3, 2.0, 0.1, 0.75),
        (torch.rand(1, 2, 4, 4), 5, 2.0, 0.3, 1.5),
    )
    with _Without({"local_response_norm": forbidden}):
        same_results(
            answer,
            _respond,
            *cases,
            mistakes={
                "Alpha is divided by 5, whatever n is. Dividing by n is what torch does; the paper "
                "multiplies the sum by alpha itself.": variant(
                    below=lambda k, alpha, total, beta: (k + alpha / 5 * total) ** beta
                ),
                "Alpha is divided by n, or the mean of n squares is taken in place of their sum. "
                "That is what torch does; the paper multiplies the sum by alpha itself.": (
                    lambda maps, n=5, k=2.0, alpha=1e-4, beta=0.75: _respond(
                        maps, n, k, alpha / n, beta
                    )
                ),
                "The mean over the neighbours that exist is taken; the paper has their sum.": (
                    _mean_of_neighbours
                ),
                "Alpha is multiplied by n. That is for torch's layer, which divides by n again.": (
                    lambda maps, n=5, k=2.0, alpha=1e-4, beta=0.75: _respond(
                        maps, n, k, n * alpha, beta
                    )
                ),
                "`k` is not used: there is a 1 in its place.": variant(
                    below=lambda k, alpha, total, beta: (1 + alpha * total) ** beta
                ),
                "`k` is missing.": variant(
                    below=lambda k, alpha, total, beta: (alpha * total) ** beta
                ),
                "The sum goes over neighbouring positions of the same map; it should go over "
                "neighbouring maps at the same position.": _over_space,
                "The last neighbour is missing: a slice ends before its second number.": reaching(
                    lambda n: n // 2, lambda n: n // 2 - 1
                ),
                "The first neighbour is missing.": reaching(lambda n: n // 2 - 1, lambda n: n // 2),
                "The sum reaches n maps to either side; it should be n maps in all.": reaching(
                    lambda n: n, lambda n: n
                ),
                "The sum begins at the map itself and takes the next ones; it should lie around "
                "it, n // 2 to either side.": reaching(lambda n: 0, lambda n: n - 1),
                "The sum looks backwards only; it should lie around the map, n // 2 to either "
                "side.": reaching(lambda n: n - 1, lambda n: 0),
                "The sum looks n // 2 maps back and not ahead.": reaching(
                    lambda n: n // 2, lambda n: 0
                ),
                "The sum looks n // 2 maps ahead and not back.": reaching(
                    lambda n: 0, lambda n: n // 2
                ),
                "At the first maps the slice begins with a negative number, which Python counts "
                "from the end, and so it is empty. Begin at max(0, i - n // 2).": variant(
                    border="slice"
                ),
                "At the first and the last maps the neighbours come from the other end. There are "
                "none: the sum is shorter there.": variant(border="wrap"),
                "At the first and the last maps the border map is counted again. The sum is "
                "shorter there.": variant(border="repeat"),
                "At the first and the last maps the window is pushed inside to keep n maps. The "
                "sum is shorter there.": variant(border="inside"),
                "The first and the last maps, which lack a neighbour, are normalised by "
                "themselves alone; the neighbours that exist count.": variant(border="skip"),
                "The sum goes over all maps; it should go over n of them.": (
                    lambda maps, n=5, *rest: _respond(maps, 2 * maps.shape[1] + 1, *rest)
                ),
                "`n` is not used: the window always has 5 maps.": lambda maps, n=5, *rest: _respond(
                    maps, 5, *rest
                ),
                "Only the map itself is summed; its neighbours are missing.": (
                    lambda maps, n=5, *rest: _respond(maps, 1, *rest)
                ),
                "The map itself is left out of the sum.": variant(own=False),
                "The values are not squared.": variant(power=1),
                "The sum is squared; the formula squares each value first and then sums.": (
                    lambda maps, n=5, k=2.0, alpha=1e-4, beta=0.75: _respond(
                        maps,
                        n,
                        k,
                        alpha,
                        beta,
                        power=1,
                        below=lambda k, alpha, s, beta: (k + alpha * s**2) ** beta,
                    )
                ),
                "The sum goes over everything: over images and positions too (a `.sum()` without "
                "an axis). It should go over the neighbouring maps alone, axis 1.": _sum_of_all,
                "The absolute values are summed; the formula squares them.": variant(power=0),
                "The sum of the squares is squared once more.": (
                    variant(below=lambda k, alpha, total, beta: (k + alpha * total**2) ** beta)
                ),
                "The root of the sum is taken; the power beta is the only one in the formula.": (
                    variant(below=lambda k, alpha, total, beta: (k + alpha * total**0.5) ** beta)
                ),
                "The power beta is missing.": variant(
                    below=lambda k, alpha, total, beta: k + alpha * total
                ),
                "The power is the same whatever beta is: 0.75.": variant(
                    below=lambda k, alpha, total, beta: (k + alpha * total) ** 0.75
                ),
                "`k` is outside the power; the formula has (k + alpha · sum) to the power "
                "beta.": variant(below=lambda k, alpha, total, beta: k + (alpha * total) ** beta),
                "Alpha multiplies k as well: the formula has k + alpha · sum.": variant(
                    below=lambda k, alpha, total, beta: (alpha * (k + total)) ** beta
                ),
                "The maps are multiplied by the bracket; they should be divided by it.": variant(
                    times=True
                ),
                "This is the divisor alone; the maps should be divided by it.": (
                    lambda maps, *rest: maps / _respond(maps, *rest)
                ),
                "`k`, `alpha` and `beta` are not used: the paper's values are in the code.": (
                    lambda maps, n=5, *rest: _respond(maps, n)
                ),
                "None of the four numbers is used: the paper's values are in the code.": (
                    lambda maps, *rest: _respond(maps)
                ),
            },
        )
    return "It agrees with nn.LocalResponseNorm when that is given n · alpha."


def _mean_of_neighbours(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    counts = torch.tensor(
        [
            len(range(max(0, i - n // 2), min(maps.shape[1], i + n // 2 + 1)))
            for i in range(maps.shape[1])
        ]
    ).reshape(1, -1, 1, 1)
    return _respond(
        maps, n, k, alpha, beta, below=lambda k, alpha, s, beta: (k + alpha * s / counts) ** beta
    )


def _sum_of_all(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    results = []
    for i in range(maps.shape[1]):
        total = maps[:, max(0, i - n // 2) : i + n // 2 + 1].square().sum()
        results.append(maps[:, i] / (k + alpha * total) ** beta)
    return torch.stack(results, 1)


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
    where = f"in {mode}{'ing' if mode == 'train' else 'uation'} mode"
    if not isinstance(result, Tensor):
        missing = " Is the `return` missing?" if result is None else ""
        raise Wrong(f"{where.capitalize()} it gives {describe(result)}, not a tensor.{missing}")
    if result.shape != x.shape:
        raise Wrong(
            f"{where.capitalize()} it turns the shape {tuple(x.shape)} into "
            f"{tuple(result.shape)}; dropout keeps the shape."
        )
    if not torch.equal(before, x):
        raise Wrong(f"{where.capitalize()} it changes its input in place.")
    if not result.isfinite().all():
        raise Wrong(f"{where.capitalize()} some results are infinite or not a number.")
    return result.detach().to(x.dtype)  # a mask alone may be of True and False


def _check_evaluation(layer: nn.Module, x: Tensor, p: float, factor: float) -> None:
    result = _kept(layer, x, "eval")
    if torch.allclose(result, x):
        return
    if (result == 0).any():
        raise Wrong(
            f"With p = {p} it drops values in evaluation mode too "
            f"({(result == 0).float().mean():.0%} of them are zero). There the input should come "
            "back as it is; `self.training` tells the modes apart."
        )
    scale = (result / x).median().item()
    if math.isclose(scale, 1 - p, abs_tol=1e-4) and math.isclose(factor, 1, abs_tol=1e-4):
        raise Wrong(
            f"In evaluation mode everything is multiplied by 1 - p = {1 - p:g}. That is how the "
            "paper of 2012 did it, and on average it is the same; the task asks for the other way "
            "round: divide by 1 - p in training, and change nothing in evaluation."
        )
    raise Wrong(
        f"In evaluation mode the values are multiplied by {scale:.3g}; they should come back as "
        "they are."
    )


def _check_share(result: Tensor, p: float, x: Tensor) -> None:
    dropped = (result == 0).float().mean().item()
    if abs(dropped - p) < 0.02:
        return
    what = f"With p = {p}, {dropped:.0%} of the values are zero in training mode."
    if dropped == 0:
        raise Wrong(f"{what} {p:.0%} of them should be.")
    if dropped == 1:
        raise Wrong(f"{what} Only {p:.0%} of them should be.")
    if abs(dropped - (1 - p)) < 0.02:
        raise Wrong(f"{what} p is the probability to drop a value, not to keep it.")
    if abs(dropped - 0.5) < 0.02:
        raise Wrong(f"{what} It looks as if p were not used, or a normal distribution compared.")
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


def _explain_factor(factor: float, p: float) -> None:
    if math.isclose(factor, 1 / (1 - p), rel_tol=1e-3):
        return
    what = f"With p = {p} the values that are kept are multiplied by {factor:.4g} in training mode"
    causes = {
        1.0: "they are not scaled. Divide them by 1 - p, or the sum falls by that share",
        1 - p: "that is 1 - p. Divide by it instead of multiplying",
        1 / p: "that is 1 / p. Divide by 1 - p, the probability to be kept",
        p: "that is p. Divide by 1 - p, the probability to be kept",
        2.0: "that is right for p = 0.5 only. Divide by 1 - p",
    }
    for value, cause in causes.items():
        if math.isclose(factor, value, rel_tol=1e-3):
            raise Wrong(f"{what}: {cause}.")
    raise Wrong(f"{what}; 1 / (1 - p) = {1 / (1 - p):.4g} is right.")


def _check_independence(layer: nn.Module, first: Tensor, x: Tensor) -> None:
    zeros = first == 0
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
        raise Wrong(
            "A second call drops the same values. The mask has to be drawn anew in every call (is "
            "it made in `__init__`, or from a fixed seed?)."
        )
    # By chance five draws of thousands agree less often than once in a hundred million times.
    if len({int(mask.sum()) for mask in [zeros, *again]}) == 1:
        raise Wrong(
            f"Exactly {int(zeros.sum()):,} values are dropped in every call. Each value should "
            "have a draw of its own, so that their number differs from call to call."
        )


def alexnet_6(answer):
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"A class is expected, not a module: give Dropout itself, not {type(answer).__name__}()"
            ", so that the check can choose p."
        )
    with _Without(_FORBIDDEN_DROPOUT):
        for p, shape in ((0.2, (40, 500)), (0.7, (20, 8, 10, 12)), (0.5, (20000,))):
            layer = make(answer, p)
            x = torch.randn(shape)
            x = x + 0.1 * x.sign()  # away from zero, on both sides
            result = _kept(layer, x, "train")
            dropped = (result == 0).float().mean().item()
            if dropped == 0 and (_kept(layer, x, "eval") == 0).any():
                raise Wrong(
                    "The modes have changed places: it drops values in evaluation and none in "
                    "training."
                )
            _check_share(result, p, x)
            factor = _check_factor(result, p, x)
            _check_evaluation(layer, x, p, factor)
            _explain_factor(factor, p)
            if len(shape) > 1:
                _check_independence(layer, result, x)
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
        layer, x = make(answer, 0.0).train(), torch.randn(30, 30)
        if not torch.allclose(call(layer, x), x):
            raise Wrong("With p = 0 nothing should change.")
    return "Right share, right scale, a new draw for every value, and silent in evaluation."


# --- alexnet.7: repair ----------------------------------------------------------------------------


class _Small(nn.Module):
    """The network of alexnet.7 without its mistakes, or with others."""

    def __init__(
        self,
        num_classes: int = 10,
        *,
        groups: int = 2,
        widths: tuple[int, int, int, int] = (16, 32, 48, 48),
        inputs: int = 48 * 2 * 2,
        ceil: tuple[bool, bool, bool] = (False, False, False),
        dropout: str = "right",
        p: float = 0.5,
        relu6: bool = True,
        relus: tuple[bool, bool, bool, bool] = (True, True, True, True),
        window: int = 3,
        softmax: bool = False,
    ):
        super().__init__()
        a, b, c, d = widths
        self.conv1 = nn.Conv2d(1, a, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(a, b, kernel_size=5, padding=2)
        self.conv3 = nn.Conv2d(b, c, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(c, d, kernel_size=3, padding=1, groups=groups)
        self.fc5 = nn.Linear(inputs, 64)
        self.fc6 = nn.Linear(64, num_classes)
        self.ceil, self.dropout, self.p, self.relu6, self.relus = ceil, dropout, p, relu6, relus
        self.window, self.softmax = window, softmax

    def forward(self, images: Tensor) -> Tensor:
        def relu(number: int, maps: Tensor) -> Tensor:
            return F.relu(maps) if self.relus[number] else maps

        def pool(number: int, maps: Tensor) -> Tensor:
            return F.max_pool2d(maps, self.window, 2, ceil_mode=self.ceil[number])

        maps = pool(0, relu(0, self.conv1(images)))
        maps = pool(1, relu(1, self.conv2(maps)))
        maps = relu(2, self.conv3(maps))
        maps = pool(2, relu(3, self.conv4(maps)))
        flat = maps.flatten(1)
        if self.dropout in ("inputs", "both"):
            flat = F.dropout(flat, self.p, self.training)
        hidden = self.fc5(flat)
        hidden = F.relu(hidden) if self.relu6 else hidden
        if self.dropout in ("right", "both"):
            hidden = F.dropout(hidden, self.p, self.training)
        if self.dropout == "always":
            hidden = F.dropout(hidden, self.p)
        if self.dropout == "reversed":
            hidden = F.dropout(hidden, self.p, not self.training)
        logits = self.fc6(hidden)
        if self.softmax:
            logits = logits.softmax(1)
        return F.dropout(logits, self.p, self.training) if self.dropout == "logits" else logits


def alexnet_7(answer):
    def variant(**options):
        return lambda: _Small(**options)

    if isinstance(answer, nn.Module):
        raise Wrong(
            f"RepairedAlexNet is {describe(answer)}; it should stay the class, or a function that "
            "builds one, so that num_classes can be chosen."
        )
    wide = dict(inputs=48 * 3 * 3)
    same_outputs(
        make(answer),
        _Small(),
        (4, 1, 28, 28),
        (3, 1, 28, 28),
        mistakes={
            "Dropout is still on in evaluation mode: `F.dropout` has to be told the mode.": variant(
                dropout="always"
            ),
            "Dropout is on in evaluation and off in training: the other way round.": variant(
                dropout="reversed"
            ),
            "Dropout is gone altogether. In training it should stay.": variant(dropout="none"),
            "Dropout has moved to the input of fc5; it was on its output.": variant(
                dropout="inputs"
            ),
            "There is dropout on the input of fc5 as well; it was on its output only.": variant(
                dropout="both"
            ),
            "Dropout is on the logits; it was on the output of fc5.": variant(dropout="logits"),
            "The groups are gone: every kernel of conv4 sees all 48 maps now. It should see half "
            "of them.": variant(groups=1),
            "conv4 is right again, but conv4's groups are gone and dropout is still on in "
            "evaluation mode.": variant(groups=1, dropout="always"),
            "conv3 gives 24 maps now, to suit conv4; it should give 48. It is conv4's in_channels "
            "that has to count all maps.": variant(widths=(16, 32, 24, 48)),
            "conv4 has 24 maps now; it should have 48.": variant(
                widths=(16, 32, 48, 24), inputs=24 * 2 * 2
            ),
            "The poolings round up now, so that the last maps are 3×3. The poolings were right; "
            "fc5 expects too many inputs.": variant(ceil=(True, True, True), **wide),
            "The last pooling rounds up now, so that the last maps are 3×3. The poolings were "
            "right; fc5 expects too many inputs.": variant(ceil=(False, False, True), **wide),
            "The poolings round up now, and dropout is still on in evaluation mode.": variant(
                ceil=(True, True, True), dropout="always", **wide
            ),
            "The ReLU after fc5 is gone; it was right.": variant(relu6=False),
            "The ReLU after conv3 is gone; it was right.": variant(relus=(True, True, False, True)),
            **{
                f"The share that is dropped has changed to {p}; it was 0.5.": variant(p=p)
                for p in (0.1, 0.2, 0.25, 0.3, 0.4, 0.6)
            },
            "The poolings are 2×2 now, so that the last maps are 3×3. The poolings were right, 3×3 "
            "with stride 2; fc5 expects too many inputs.": variant(window=2, **wide),
            "The poolings are 2×2 now (they were right, 3×3 with stride 2), and dropout is still "
            "on in evaluation mode.": variant(window=2, dropout="always", **wide),
            "There is a softmax at the end; the network gave logits, and should.": variant(
                softmax=True
            ),
        },
    )
    seven = call(make(answer, 7).eval(), torch.randn(2, 1, 28, 28))
    if tuple(seven.shape) != (2, 7):
        raise Wrong(
            f"{describe_call(answer, 7)} gives {describe(seven)} for two images; 7 logits each are "
            "expected."
        )
    return "It runs, and in evaluation mode it agrees with itself."
