"""Checks of chapter 06: global average pooling and class activation maps."""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from exercises.compare import (
    Wrong,
    call,
    close,
    count_parameters,
    describe,
    describe_call,
    expect_numbers,
    layers,
    make,
    same_outputs,
    same_results,
)

# --- gap.1: counting ------------------------------------------------------------------------------


def gap_1(answer):
    rest = 4096 * 4096 + 4096 + 4096 * 1000 + 1000
    right = {
        "flatten": 512 * 7 * 7 * 4096 + 4096 + rest,
        "pooled": 512 * 1000 + 1000,
        "flatten_448": 512 * 14 * 14 * 4096 + 4096 + rest,
    }
    common: dict[str, dict[int, str]] = {
        "pooled": {
            512 * 7 * 7 * 1000 + 1000: (
                "The pooling comes first: each map arrives at the linear layer as one "
                "number, not as 7 · 7."
            ),
            0: "The pooling itself has none, but a linear layer follows it.",
            512 + 512 * 1000 + 1000: "The pooling has no parameters.",
            512 * 4096 + 4096 + rest: "One linear layer to 1000 follows the pooling, not three.",
        }
    }
    for key, side in (("flatten", 7), ("flatten_448", 14)):
        first = 512 * side * side * 4096
        common[key] = {
            first + 4096: "This is the first linear layer alone; two more follow.",
            first: "These are the weights of the first linear layer alone.",
            first + 4096 + 4096 * 1000 + 1000: "The second linear layer, 4096 to 4096, is missing.",
            first + 4096 + 4096 * 4096 + 4096: "The last linear layer, 4096 to 1000, is missing.",
            512 * side * 4096 + 4096 + rest: f"A map has {side} · {side} values, not {side}.",
            512 * 4096 + 4096 + rest: (
                f"Flattening keeps all {side} · {side} values of each of the 512 maps."
            ),
            side * side * 4096 + 4096 + rest: "There are 512 maps, not one.",
            14_714_688 + first + 4096 + rest: (
                "This is the whole of VGG-16. Only what comes after the maps is asked for."
            ),
        }
        if side == 14:
            common[key] |= {
                512 * 7 * 7 * 4096 + 4096 + rest: (
                    "This is the head for 7×7 maps. With 14×14 maps its first layer takes four "
                    "times as many numbers."
                ),
                4 * (512 * 7 * 7 * 4096 + 4096 + rest): (
                    "Only the first linear layer takes four times as many numbers; the other two "
                    "stay as they are, and so do the biases."
                ),
                2 * 512 * 7 * 7 * 4096 + 4096 + rest: (
                    "Twice the width and twice the height make four times as many values."
                ),
                4 * (512 * 7 * 7 * 4096 + 4096) + rest: (
                    "The first layer has four times the weights, but still 4096 biases."
                ),
            }
    without_biases = {key: number - 4096 - 4096 - 1000 for key, number in right.items()}
    expect_numbers(answer, right, common, without_biases=without_biases | {"pooled": 512 * 1000})
    return "241 times as many parameters, and at 448 pixels 834 times."


# --- gap.2: any size ------------------------------------------------------------------------------


def _network(*head: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        *head,
    )


class _Sum(nn.Module):
    def __init__(self, factor: float = 1.0, dims: tuple[int, ...] = (2, 3)) -> None:
        super().__init__()
        self.factor, self.dims = factor, dims

    def forward(self, maps: Tensor) -> Tensor:
        return self.factor * maps.sum(dim=self.dims)


def _convolutions(network: nn.Module) -> list[str]:
    """The settings of the convolutions that see more than one pixel."""
    found = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    return [repr(m) for m in found if m.kernel_size != (1, 1)]


def _what_arrives(network: nn.Module, shape: tuple[int, ...]) -> str:
    """Why the linear layer of this network cannot take what the pooling gives it."""
    if any(isinstance(m, nn.AvgPool2d | nn.MaxPool2d) for m in network.modules()):
        return (
            "A window of a fixed size makes one number of a map of that size only; of larger maps "
            "it makes several, and smaller ones have no room for it."
        )
    given = []
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].shape))
    with contextlib.suppress(Exception):
        network(torch.randn(shape))
    if not given:
        return ""
    arrived, (count, _, height, width) = tuple(given[-1]), shape
    for _ in range(2):  # the two strides
        height, width = (height + 1) // 2, (width + 1) // 2
    what = f"The linear layer is given {arrived}:"
    if arrived in ((), (1,)):
        return f"{what} one number for the whole batch. Each map of each image has its own average."
    if arrived in ((count,), (count, 1)):
        return f"{what} one number for each image. Each of its 32 maps has its own average."
    if arrived in ((count, height, width), (count, 1, height, width), (count, height * width)):
        return (
            f"{what} the average runs over the channels; it should run over the positions, "
            "`dim=(2, 3)`."
        )
    if arrived == (count, 32, 1, 1):
        return f"{what} the two axes of length 1 have to go, for example with `nn.Flatten()`."
    return f"{what} it should be {(count, 32)}."


def gap_2(answer, reference):
    if isinstance(answer, nn.Module):
        raise Wrong(
            "A function is expected, not a network: `any_size(num_classes)` should build one."
        )
    network = make(answer)
    head_of_28 = _network(nn.Flatten(), nn.Linear(32 * 49, 10))
    for size in (28, 64, 33, 4):
        shape = (2, 1, size, size + (size == 33))
        try:
            call(network, torch.randn(shape), what=f"Your network, given images {shape},")
        except Wrong as error:
            if count_parameters(network) == count_parameters(head_of_28):
                raise Wrong(
                    f"{error} The linear layer still has a weight for each of the 7 · 7 positions "
                    "of each map."
                ) from None
            raise Wrong(f"{error} {_what_arrives(network, shape)}".strip()) from None
    if count_parameters(network) == count_parameters(head_of_28):
        raise Wrong(
            "It takes any size, but the linear layer still has a weight for each of 7 · 7 "
            f"positions, {32 * 49 * 10 + 10:,} parameters. One number for each map is asked for, "
            f"so its linear layer has 32 · 10 + 10. Your module consists of {layers(network)}."
        )
    linear = nn.Linear(32, 10)
    same = functools.partial(
        same_outputs,
        network,
        reference(),
        (2, 1, 28, 28),
        (2, 1, 40, 24),
        mistakes={
            "The maps are summed; the task asks for their average. A sum grows with the size of "
            "the image.": lambda: _network(_Sum(), linear),
            "The sum is divided by 49 always. That is the average of 7×7 maps only; other sizes "
            "have another number of positions.": lambda: _network(_Sum(1 / 49), linear),
            "The highest value of each map is taken; the task asks for the average.": lambda: (
                _network(nn.AdaptiveMaxPool2d(1), nn.Flatten(), linear)
            ),
            "There is an activation after the linear layer; logits may be negative.": lambda: (
                _network(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear, nn.ReLU())
            ),
            "There is a softmax after the linear layer; logits are asked for.": lambda: _network(
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear, nn.Softmax(dim=1)
            ),
            "The last ReLU before the head is gone; only the head was to change.": lambda: (
                nn.Sequential(
                    *_network()[:3], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
                )
            ),
        },
    )
    try:
        same()
    except Wrong as error:
        if _convolutions(network) != _convolutions(_network()):
            raise Wrong(
                f"The convolutions are not those of the task; only the head was to change. {error}"
            ) from None
        raise
    if make(answer, 7)(torch.randn(2, 1, 28, 28)).shape != (2, 7):
        raise Wrong("`any_size(7)` should give 7 logits: `num_classes` is not used.")
    return "One set of weights for 4, 28, 33×34 and 64 pixels."


# --- gap.3: shifts --------------------------------------------------------------------------------

_SHIFTS = range(1, 13)


def _same_logits() -> list[int]:
    """The shifts, in pixels, that leave the logits of the task's network as they are."""
    from utils import data
    from utils.topics import localisation

    garment = data.load(device="cpu").validation.images[:1] / 255
    torch.manual_seed(0)
    network = localisation.network().eval()
    with torch.no_grad():
        logits = [network(F.pad(garment, (34 + s, 34 - s, 34, 34))) for s in (0, *_SHIFTS)]
    return [s for s in _SHIFTS if (logits[s] - logits[0]).abs().max() < 1e-6]


def gap_3(answer):
    if isinstance(answer, Tensor | np.ndarray):
        answer = answer.tolist()
    if isinstance(answer, set | range):
        answer = sorted(answer)
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise Wrong(f"A list of shifts such as [3, 6] is expected, not {describe(answer)}.")
    given = list(answer)
    if not all(
        isinstance(s, int | float | np.integer | Tensor) and float(s) % 1 == 0 for s in given
    ):
        raise Wrong(f"A list of whole numbers of pixels is expected, not {given}.")
    given = [int(s) for s in given]
    right, yours = _same_logits(), f"You have {given}."
    if 0 in given and [s for s in given if s] == right:
        raise Wrong(f"A shift of 0 is none; the shifts asked for are 1 to 12. {yours}")
    if sorted(given) == right:
        return "The steps of the grid are 4 pixels: two layers with stride 2."
    if given == list(_SHIFTS):
        raise Wrong(
            "All twelve shifts are listed. Is the garment really moved, and is the difference "
            f"taken over single logits (the largest, not their sum)? {yours}"
        )
    if not given:
        raise Wrong(
            "No shift at all leaves the logits as they are? So it is if the maps are compared in "
            "place of the logits, with a head that flattens, or with a network that is built anew "
            "for each shift."
        )
    if given == [s for s in right if s < 12]:
        raise Wrong(
            "The last shift, 12, is missing: `range(1, 12)` ends at 11. Or the network is in "
            f"training mode: `.eval()`. {yours}"
        )
    if set(given) < set(right):
        raise Wrong(
            "Some shifts are missing. Are all of 1 to 12 tried? Is the garment from `garments`, "
            f"with values from 0 to 1, and padded with 0? {yours}"
        )
    if sorted(given) == [s for s in _SHIFTS if s not in right]:
        raise Wrong(
            f"These are the shifts that change the logits; the others are asked for. {yours}"
        )
    if sorted(given) == [s for s in _SHIFTS if s % 2 == 0]:
        raise Wrong(
            "Every second shift: that would be one layer with stride 2. This network has two of "
            f"them, one after the other. Measure it. {yours}"
        )
    if max(given) > 12 or min(given) < 1:
        raise Wrong(f"The shifts asked for are 1 to 12 pixels. {yours}")
    if set(right) < set(given):
        extra = next(s for s in given if s not in right)
        raise Wrong(
            f"A shift of {extra} does change the logits by more than 0.000001. Is your tolerance "
            f"larger? {yours}"
        )
    wrong = next(s for s in [*given, *right] if (s in given) != (s in right))
    does = "changes" if wrong in given else "does not change"
    raise Wrong(
        f"A shift of {wrong} {does} the logits by more than 0.000001. Does your canvas have 96×96 "
        f"pixels, with the garment in the middle before it moves to the right? {yours}"
    )


# --- gap.4: class activation map ------------------------------------------------------------------


def _class_map(features: Tensor, weight: Tensor, classes: Tensor) -> Tensor:
    return torch.einsum("nk,nkhw->nhw", weight[classes], features)


def _scaled(maps: Tensor) -> Tensor:
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low)


def gap_4(answer):
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    cases = (
        (torch.randn(3, 6, 4, 5), torch.randn(7, 6), torch.tensor([2, 6, 0])),
        (torch.randn(2, 5, 3, 3), torch.randn(5, 5), torch.tensor([4, 1])),
        (torch.randn(1, 4, 2, 6), torch.randn(3, 4), torch.tensor([1])),
    )
    features, weight, classes = cases[1]  # as many classes as channels
    try:
        transposed = close(call(answer, *cases[1]), _class_map(features, weight.T, classes))
    except Wrong:
        transposed = False
    if transposed:
        raise Wrong(
            "Rows and columns of `weight` have changed places: it is (num_classes, K), one row for "
            "each class."
        )
    value = call(answer, *cases[0])
    if value is not None and not isinstance(value, Tensor):
        given = "a numpy array" if isinstance(value, np.ndarray) else describe(value)
        raise Wrong(
            f"{describe_call(answer, *cases[0])} gives {given}; a torch tensor is expected."
        )
    same_results(
        answer,
        _class_map,
        *cases,
        mistakes={
            "The channels are averaged; the task asks for their sum. (The picture would be the "
            "same, but the next section needs the numbers.)": (
                lambda f, w, c: _class_map(f, w, c) / f.shape[1]
            ),
            "There is a ReLU on the features before they are mixed.": (
                lambda f, w, c: _class_map(f.relu(), w, c)
            ),
            "There is a ReLU on the products before they are summed. Negative values speak against "
            "the class; leave them.": (
                lambda f, w, c: (w[c][:, :, None, None] * f).relu().sum(dim=1)
            ),
            "There is a ReLU on the map. Negative values speak against the class; leave them.": (
                lambda f, w, c: _class_map(f, w, c).relu()
            ),
            "Negative weights are dropped. They count too: such a channel speaks against the "
            "class.": lambda f, w, c: _class_map(f, w.relu(), c),
            "Weights are taken without their sign.": lambda f, w, c: _class_map(f, w.abs(), c),
            "The map of each image is scaled to 0…1; the task asks for the plain sum.": (
                lambda f, w, c: _scaled(_class_map(f, w, c))
            ),
            "The map of each image is divided by its maximum; the task asks for the plain sum.": (
                lambda f, w, c: _class_map(f, w, c) / _class_map(f, w, c).amax((1, 2), True)
            ),
            "The map is divided by the number of positions; the task asks for the plain sum.": (
                lambda f, w, c: _class_map(f, w, c) / f[0, 0].numel()
            ),
            "All images get the map of the first image's class; each has a class of its own in "
            "`classes`.": lambda f, w, c: _class_map(f, w, c[:1].expand(len(c))),
            "All images get the map of class 0; `classes` says which.": (
                lambda f, w, c: _class_map(f, w, torch.zeros_like(c))
            ),
            "`classes` is not used: each image gets the class that its logits favour.": (
                lambda f, w, c: _class_map(f, w, (f.mean((2, 3)) @ w.T).argmax(dim=1))
            ),
            "The maps of all classes are there; for each image only that of its class is asked "
            "for.": lambda f, w, c: torch.einsum("ck,nkhw->nchw", w, f),
            "The weights are not used: this is the plain sum of the features.": (
                lambda f, w, c: f.sum(dim=1)
            ),
            "The channels are weighted, but not summed: the result should be (N, H, W).": (
                lambda f, w, c: w[c][:, :, None, None] * f
            ),
            "An axis too many: the result should be (N, H, W), not (N, 1, H, W).": (
                lambda f, w, c: _class_map(f, w, c)[:, None]
            ),
            "The positions are averaged as well: these are logits without bias, and a map is "
            "asked for.": lambda f, w, c: _class_map(f, w, c).mean(dim=(1, 2)),
            "Height and width have changed places.": (
                lambda f, w, c: _class_map(f, w, c).transpose(1, 2)
            ),
        },
    )
    return "The linear layer's own weights, used before the pooling."


# --- gap.5: pooling and mixing change places ------------------------------------------------------


def gap_5(answer):
    for inputs, outputs in ((6, 4), (5, 5), (3, 7)):
        linear = nn.Linear(inputs, outputs)
        before = [p.detach().clone() for p in linear.parameters()]
        what = f"class_map_layer(nn.Linear({inputs}, {outputs}))"
        try:
            layer = call(answer, linear, what=what)
        except Wrong as error:
            lines = str(error.__cause__).splitlines()
            cause = next((line.strip() for line in lines if "size mismatch" in line), "")
            if not cause:
                raise
            raise Wrong(
                f"{error} {cause} The weight needs two axes more: `[:, :, None, None]`."
            ) from None
        if not isinstance(layer, nn.Module):
            raise Wrong(f"{what} gives {describe(layer)}; a 1×1 convolution is expected.")
        if not all(map(torch.equal, before, linear.parameters())):
            raise Wrong(f"{what} changes `linear`, which should stay as it is.")
        if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
            raise Wrong(f"The kernel should be 1×1; yours is {layer.kernel_size}.")
        for side in (3, 7):
            features = torch.randn(2, inputs, side, side + 1)
            maps = call(layer, features, what="The layer")
            if not isinstance(maps, Tensor) or maps.shape != (2, outputs, side, side + 1):
                raise Wrong(
                    f"Given features {tuple(features.shape)}, the layer gives {describe(maps)}; "
                    f"the maps should be {(2, outputs, side, side + 1)}."
                )
            _compare_logits(maps, features, linear)
        memory = {p.untyped_storage().data_ptr() for p in linear.parameters()}
        if any(p.untyped_storage().data_ptr() in memory for p in layer.parameters()):
            raise Wrong(
                "The layer shares its memory with `linear`: training one would change the other. "
                "Copy the values, for example with `.clone()`."
            )
    return "Average of the map = logit, bias included, at any size."


def _compare_logits(maps: Tensor, features: Tensor, linear: nn.Linear) -> None:
    positions = features.shape[2] * features.shape[3]
    right = F.conv2d(features, linear.weight[:, :, None, None], linear.bias)
    if close(maps, right):
        return
    bias = linear.bias[:, None, None]
    mistakes = {
        "The bias is missing: the averages of your maps are the logits minus the bias.": (
            right - bias
        ),
        "The bias is divided by the number of positions. Added at each position and averaged it "
        "comes out as itself, so it goes in whole.": right - bias + bias / positions,
        "The bias is multiplied by the number of positions; it goes in whole, and once.": (
            right - bias + bias * positions
        ),
        "The bias is added twice.": right + bias,
        "The bias is subtracted.": right - 2 * bias,
        "The weights are divided by the number of positions. The averaging does that already.": (
            (right - bias) / positions + bias
        ),
        "There is a ReLU on the maps: the average of a map after a ReLU is not the logit.": (
            right.relu()
        ),
    }
    if linear.in_features == linear.out_features:
        mistakes["Rows and columns of the weight have changed places."] = F.conv2d(
            features, linear.weight.T[:, :, None, None], linear.bias
        )
    for message, wrong in mistakes.items():
        if close(maps, wrong):
            raise Wrong(message)
    added = maps - (right - bias)
    if close(added, added[:1, :, :1, :1].expand_as(added)):
        raise Wrong(
            f"The weights are right, the bias is not: your layer adds {added[0, 0, 0, 0]:.4f} to "
            f"the first map, and the bias of `linear` is {linear.bias[0]:.4f}. It goes in whole, "
            "whatever the number of positions."
        )
    mine, logit = maps.mean(dim=(2, 3))[0, 0].item(), linear(features.mean(dim=(2, 3)))[0, 0].item()
    if abs(mine - logit) < 1e-5:
        raise Wrong(
            "The averages of the maps are the logits, but the maps are not those of a 1×1 "
            "convolution with these weights: each position should have its own value."
        )
    raise Wrong(
        f"The average of the first map is {mine:.4f}, and the logit of the old network is "
        f"{logit:.4f}. Are weight and bias those of `linear`? A fresh layer has random ones."
    )


# --- gap.6: a box from a map ----------------------------------------------------------------------


def _box(inside: np.ndarray, last: int = 1) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(inside)
    return (
        int(columns.min()),
        int(rows.min()),
        int(columns.max()) + last,
        int(rows.max()) + last,
    )


def _box_from_map(
    one: Tensor,
    threshold: float = 0.2,
    *,
    above=lambda v, t: v > t * v.max(),
    part: str = "largest",
    corners: bool = False,
    last: int = 1,
) -> tuple[int, int, int, int]:
    """A box from a map, with the mistakes that the options describe."""
    values = one.numpy()
    inside = above(values, threshold)
    parts, _ = ndimage.label(inside, np.ones((3, 3)) if corners else None)
    if part == "all":
        return _box(inside, last)
    sizes = np.bincount(parts.ravel())[1:]
    chosen = {
        "largest": sizes.argmax() + 1,
        "one less": sizes.argmax(),
        "last": len(sizes),
        "largest box": max(range(1, len(sizes) + 1), key=lambda n: _area(_box(parts == n))),
        "smallest": sizes.argmin() + 1,
        "outside": 0,
        "first": 1,
        "highest": parts[np.unravel_index(values.argmax(), values.shape)],
    }[part]
    return _box(parts == chosen, last)


def _map_of(height: int, width: int, *blobs: tuple[int, int, int, int, float]) -> Tensor:
    """A map with a slope of its own in each blob (top, left, bottom, right, height of it)."""
    one = torch.linspace(-0.3, -0.1, height * width).reshape(height, width)
    for top, left, bottom, right, value in blobs:
        rows, columns = bottom - top, right - left
        one[top:bottom, left:right] = value * (
            1 - 0.1 * torch.linspace(0, 1, rows * columns).reshape(rows, columns)
        )
    return one


def gap_6(answer):
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    at_threshold = torch.zeros(8, 9)
    at_threshold[2:5, 3:6] = 4.0
    at_threshold[5, 3:6] = 2.0  # exactly half of the maximum, so not above it
    cases = (
        (_map_of(10, 14, (3, 2, 7, 9, 2.0)),),
        # The first part, the smallest, the highest and the largest are four different ones here,
        # and another one touches the largest at a corner.
        (
            _map_of(
                *(12, 15, (0, 1, 2, 3, 1.5), (0, 6, 1, 8, 1.4), (1, 10, 3, 13, 5.0)),
                *((4, 3, 8, 8, 2.0), (8, 8, 10, 10, 1.9)),
            ),
        ),
        (_map_of(9, 12, (0, 0, 2, 2, 0.25), (4, 5, 9, 12, 0.08)),),
        (_map_of(9, 12, (0, 0, 2, 2, 30.0), (4, 5, 9, 12, 8.0)), 0.5),
        (_map_of(11, 13, (2, 3, 8, 6, 4.0), (0, 9, 11, 13, 0.5)),),
        # a staircase of 12 positions, whose box is larger than that of the block of 20
        (_map_of(12, 14, *((i, i, i + 1, i + 2, 2.0) for i in range(6)), (7, 8, 11, 13, 1.5)),),
        (at_threshold, 0.5),
    )
    for case in cases[:2]:
        value = call(answer, *[c.clone() for c in case])
        if not isinstance(value, Sequence | np.ndarray | Tensor) or len(value) != 4:
            missing = " Is the `return` missing?" if value is None else ""
            raise Wrong(
                f"{describe_call(answer, *case)} gives {describe(value)}; four numbers (left, top, "
                f"right, bottom) are expected.{missing}"
            )
        if any(float(number) % 1 for number in value):
            raise Wrong(
                f"{describe_call(answer, *case)} gives {describe(value)}; whole numbers are "
                "expected."
            )

    def as_tuple(*case: Any) -> tuple[int, ...]:
        return tuple(int(number) for number in answer(*case))

    as_tuple.__name__ = getattr(answer, "__name__", "box_from_map")

    def swapped(one: Tensor, threshold: float = 0.2) -> tuple[int, ...]:
        left, top, right, bottom = _box_from_map(one, threshold)
        return (top, left, bottom, right)

    def with_sides(one: Tensor, threshold: float = 0.2) -> tuple[int, ...]:
        left, top, right, bottom = _box_from_map(one, threshold)
        return (left, top, right - left, bottom - top)

    def paired(one: Tensor, threshold: float = 0.2) -> tuple[int, ...]:
        left, top, right, bottom = _box_from_map(one, threshold)
        return (left, right, top, bottom)

    def but(**options: Any):
        return lambda one, threshold=0.2: _box_from_map(one, threshold, **options)

    same_results(
        as_tuple,
        _box_from_map,
        *cases,
        mistakes={
            "Right and bottom are the last column and row; they should be one further.": but(
                last=0
            ),
            "This is the box around everything above the threshold; only the largest connected "
            "part is asked for.": but(part="all"),
            "This is the part that holds the maximum; the part with the most positions is asked "
            "for.": but(part="highest"),
            "This is part number 1, which is the first one from the top; the largest is asked "
            "for.": but(part="first"),
            "This is the smallest part; the largest is asked for.": but(part="smallest"),
            "This is the last part; the largest is asked for.": but(part="last"),
            "This is the part with the largest box; the part with the most positions is asked "
            "for.": but(part="largest box"),
            "The number of the part is one too small: parts are numbered from 1, and `argmax` "
            "counts from 0.": but(part="one less"),
            "Positions exactly at the threshold are kept; those above it are asked for.": but(
                above=lambda v, t: v >= t * v.max()
            ),
            "The threshold is a quantile of the values; it is a share of the map's maximum.": but(
                above=lambda v, t: v > np.quantile(v, t)
            ),
            "The highest positions are kept, a share of all; the threshold is a share of the "
            "map's maximum.": but(above=lambda v, t: v > np.quantile(v, 1 - t)),
            "This is part 0, which is what lies outside of all parts; they are numbered from 1.": (
                but(part="outside")
            ),
            "Positions that touch at a corner are taken as connected; only the four beside a "
            "position are.": but(corners=True),
            "The threshold is taken as a value of the map; it is a share of the map's maximum.": (
                but(above=lambda v, t: v > t)
            ),
            "The threshold lies between the minimum and the maximum; it is a share of the maximum "
            "alone.": but(above=lambda v, t: v > v.min() + t * (v.max() - v.min())),
            "Everything positive is kept; the threshold is not used.": but(
                above=lambda v, t: v > 0
            ),
            "The argument `threshold` is not used: it is always 0.2.": (
                lambda one, threshold=0.2: _box_from_map(one)
            ),
            "Left and top have changed places, and right and bottom: rows go from top to bottom, "
            "columns from left to right.": swapped,
            "The last two numbers are width and height; right and bottom are asked for.": (
                with_sides
            ),
            "The order is (left, top, right, bottom); yours is left, right, top, bottom.": paired,
        },
    )
    return "Threshold, largest part, box: as in the paper."


# --- gap.7: intersection over union ---------------------------------------------------------------


def _overlap(a: tuple, b: tuple, extra: int = 0, clamp: bool = True) -> float:
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + extra for i in (0, 1)]
    return max(sides[0], 0) * max(sides[1], 0) if clamp else sides[0] * sides[1]


def _area(box: tuple, extra: int = 0) -> float:
    return (box[2] - box[0] + extra) * (box[3] - box[1] + extra)


def _iou(a: tuple, b: tuple, extra: int = 0, clamp: bool = True) -> float:
    common = _overlap(a, b, extra, clamp)
    return common / (_area(a, extra) + _area(b, extra) - common)


def gap_7(answer):
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    cases = (
        ((0, 0, 4, 4), (2, 2, 6, 6)),
        ((3, 2, 9, 12), (3, 2, 9, 12)),
        ((1, 1, 10, 7), (4, 2, 6, 5)),
        ((4, 2, 6, 5), (1, 1, 10, 7)),
        ((2, 5, 8, 9), (5, 1, 13, 8)),
        ((0, 0, 3, 3), (5, 6, 9, 9)),  # apart in both directions
        ((0, 0, 3, 9), (5, 1, 9, 8)),  # apart in one
        ((0, 0, 4, 4), (4, 0, 8, 4)),  # side by side
        ((1, 0, 6, 3), (2, 5, 9, 7)),  # apart in the other
        ((0, 0, 4, 4), (0, 4, 4, 8)),  # one above the other
    )

    def quotient(common: float, area: float) -> float:
        return common / area

    try:
        upside_down = close(call(answer, *cases[0]), 7.0)
    except Wrong:
        upside_down = False
    if upside_down:
        raise Wrong(
            f"{describe_call(answer, *cases[0])} gives 7: that is the union divided by the shared "
            "area; it should be the other way round."
        )
    same_results(
        answer,
        _iou,
        *cases,
        mistakes={
            "Boxes that do not overlap are not caught: a negative width times a negative height "
            "looks like an area. Take `max(…, 0)` of both.": lambda a, b: _iou(a, b, clamp=False),
            "The shared part is counted twice in the union: take it away once.": lambda a, b: (
                quotient(_overlap(a, b), _area(a) + _area(b))
            ),
            "The sides are one pixel too long: right and bottom are behind the last pixel "
            "already.": lambda a, b: _iou(a, b, extra=1),
            "This is the shared area itself; divide it by the area of the union.": _overlap,
            "The shared area is divided by the first box alone, not by the union.": lambda a, b: (
                quotient(_overlap(a, b), _area(a))
            ),
            "The shared area is divided by the second box alone, not by the union.": lambda a, b: (
                quotient(_overlap(a, b), _area(b))
            ),
            "The shared area is divided by the smaller box, not by the union.": lambda a, b: (
                quotient(_overlap(a, b), min(_area(a), _area(b)))
            ),
            "The shared area is divided by the larger box, not by the union.": lambda a, b: (
                quotient(_overlap(a, b), max(_area(a), _area(b)))
            ),
            "The shared area is divided by the box around both, which is larger than the union.": (
                lambda a, b: quotient(
                    _overlap(a, b),
                    _area((*map(min, a[:2], b[:2]), *map(max, a[2:], b[2:]))),
                )
            ),
            "The boxes are read as (left, top, width, height); they are (left, top, right, "
            "bottom).": lambda a, b: _iou(
                (a[0], a[1], a[0] + a[2], a[1] + a[3]), (b[0], b[1], b[0] + b[2], b[1] + b[3])
            ),
            "This is in percent; 1 is expected for equal boxes.": lambda a, b: 100 * _iou(a, b),
            "This is twice the shared area over the sum of both areas (the Dice coefficient); "
            "divide the shared area by the union.": lambda a, b: quotient(
                2 * _overlap(a, b), _area(a) + _area(b)
            ),
            "`max(width * height, 0)` comes too late: two negative sides have a positive product. "
            "Take `max(…, 0)` of both.": lambda a, b: quotient(
                max(_overlap(a, b, clamp=False), 0),
                _area(a) + _area(b) - max(_overlap(a, b, clamp=False), 0),
            ),
            "`//` cuts the quotient down to a whole number; `/` does not.": lambda a, b: (
                _iou(a, b) // 1
            ),
            "This is 1 minus the IoU; equal boxes should give 1, boxes apart 0.": lambda a, b: (
                1 - _iou(a, b)
            ),
        },
    )
    return "1 for equal boxes, 0 for boxes apart."
