"""Checks of chapter 06: global average pooling and class activation maps."""

import contextlib
import copy
import functools
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from exercises import trace
from exercises.compare import (
    Unexplained,
    Wrong,
    call,
    close,
    count_parameters,
    describe,
    expect_numbers,
    make,
    plain,
    same_outputs,
    same_results,
)

# What a slip does to the solution's text: `slips.edited` explains.
SLIPS: dict[str, dict[str, tuple[str, ...]]] = {}

# --- gap.1: counting ------------------------------------------------------------------------------

_SECOND, _THIRD = "(4096 * 4096 + 4096)", "(4096 * 1000 + 1000)"
_AFTER, _LARGE = f"after_first = {_SECOND} + {_THIRD}", "(512 * 14 * 14 * 4096 + 4096)"
_POOLED = '"pooled": 512 * 1000 + 1000'

SLIPS["gap.1"] = {
    "The biases are missing: every output of a linear layer has one.": (
        _AFTER,
        "after_first = 4096 * 4096 + 4096 * 1000",
        "4096 + 4096) +",
        "4096) +",
        _POOLED,
        '"pooled": 512 * 1000',
    ),
    "Each layer is counted with one bias for each input; it has one for each output.": (
        _AFTER,
        "after_first = 4096 * 4096 + 4096 + 4096 * 1000 + 4096",
        "512 * 7 * 7 * 4096 + 4096",
        "512 * 7 * 7 * 4096 + 512 * 7 * 7",
        "512 * 14 * 14 * 4096 + 4096",
        "512 * 14 * 14 * 4096 + 512 * 14 * 14",
        _POOLED,
        '"pooled": 512 * 1000 + 512',
    ),
    "Each layer is counted with one bias in all; every output has one.": (
        _AFTER,
        "after_first = 4096 * 4096 + 1 + 4096 * 1000 + 1",
        "* 4096 + 4096) +",
        "* 4096 + 1) +",
        _POOLED,
        '"pooled": 512 * 1000 + 1',
    ),
    "This is the first linear layer alone; two more follow.": (_AFTER, "after_first = 0"),
    "The second linear layer, 4096 to 4096, is missing.": (_AFTER, f"after_first = {_THIRD}"),
    "The last linear layer, 4096 to 1000, is missing.": (_AFTER, f"after_first = {_SECOND}"),
    "The first linear layer is missing: it takes the flattened maps.": (
        "(512 * 7 * 7 * 4096 + 4096) +",
        "",
        f"{_LARGE} +",
        "",
    ),
    "The second linear layer is counted twice.": (
        _AFTER,
        f"after_first = {_SECOND} + {_SECOND} + {_THIRD}",
    ),
    "The last biases are missing: 1000 classes have 1000 biases.": (
        "4096 * 1000 + 1000",
        "4096 * 1000",
    ),
    "A map has 7 · 7 values (at 448 pixels 14 · 14), not 7 (or 14).": (
        "512 * 7 * 7",
        "512 * 7",
        "512 * 14 * 14",
        "512 * 14",
    ),
    "Flattening keeps all 7 · 7 values of each of the 512 maps (at 448 pixels 14 · 14).": (
        "512 * 7 * 7",
        "512",
        "512 * 14 * 14",
        "512",
    ),
    "The maps are flattened, not the image: 512 maps of 7×7 (at 448 pixels of 14×14).": (
        "512 * 7 * 7",
        "3 * 224 * 224",
        "512 * 14 * 14",
        "3 * 448 * 448",
    ),
    "There are 512 maps, not one.": ("512 * 7", "7", "512 * 14", "14"),
    "This is the whole of VGG-16. Only what comes after the maps is asked for.": (
        "(512 * 7",
        "14_714_688 + (512 * 7",
        "(512 * 14",
        "14_714_688 + (512 * 14",
    ),
    "The pooling comes first: each map arrives at the linear layer as one number, not as 7 · 7.": (
        _POOLED,
        '"pooled": 512 * 7 * 7 * 1000 + 1000',
    ),
    "The average of each map is one number, so 512 numbers are left, not one.": (
        _POOLED,
        '"pooled": 1 * 1000 + 1000',
    ),
    "The pooling itself has none, but a linear layer follows it.": (_POOLED, '"pooled": 0'),
    "One linear layer follows the pooling; the others belong to the head that flattens.": (
        _POOLED,
        f"{_POOLED} + after_first",
    ),
    "The pooling has no parameters.": (_POOLED, f"{_POOLED} + 512"),
    "One linear layer to 1000 follows the pooling, not three.": (
        _POOLED,
        '"pooled": 512 * 4096 + 4096 + after_first',
    ),
    "The linear layer after the pooling takes 512 numbers, not 4096.": (
        _POOLED,
        '"pooled": 4096 * 1000 + 1000',
    ),
    "Only the first linear layer takes four times as many numbers; the other two stay as they are, "
    "and so do the biases.": (
        f"{_LARGE} + after_first",
        "4 * (512 * 7 * 7 * 4096 + 4096 + after_first)",
    ),
    "Twice the width and twice the height make four times as many values, not twice as many, and "
    "only in the first layer.": (
        f"{_LARGE} + after_first",
        "2 * (512 * 7 * 7 * 4096 + 4096 + after_first)",
    ),
    "Twice the width and twice the height make four times as many values.": (
        _LARGE,
        "(2 * 512 * 7 * 7 * 4096 + 4096)",
    ),
    "The first layer has four times the weights, but still 4096 biases.": (
        _LARGE,
        "4 * (512 * 7 * 7 * 4096 + 4096)",
    ),
    "The maps of an image of 448×448 are 14×14, twice as wide and high as 7×7, not 28×28.": (
        _LARGE,
        "(512 * 28 * 28 * 4096 + 4096)",
    ),
    "There are still 512 maps at 448 pixels; only their width and height are doubled.": (
        _LARGE,
        "(1024 * 14 * 14 * 4096 + 4096)",
    ),
    "This is the pooled head: the head that flattens is asked for, at 448 pixels.": (
        f"{_LARGE} + after_first",
        "512 * 1000 + 1000",
    ),
}


def gap_1(answer):
    rest = 4096 * 4096 + 4096 + 4096 * 1000 + 1000
    flatten, large = (512 * side * side * 4096 + 4096 + rest for side in (7, 14))
    pooled = 512 * 1000 + 1000
    right = {"flatten": flatten, "pooled": pooled, "flatten_448": large}
    bytes_, mega = (
        "These are bytes (four a number); the task asks how many numbers there are.",
        "These are megabytes (four bytes a number); the task asks how many numbers there are.",
    )
    known = {
        key: {4 * number: bytes_, 4 * number / 2**20: mega, 4 * number / 1e6: mega}
        for key, number in right.items()
    }
    known["pooled"][512 * 1000] = "The bias of the linear layer after the pooling is missing."
    known["flatten_448"][flatten] = "This is the head for 7×7 maps; the first layer takes 14×14."
    expect_numbers(answer, right, known)
    return (
        f"{flatten / pooled:.0f} times as many parameters, and at 448 pixels "
        f"{large / pooled:.0f} times."
    )


# --- gap.2: any size ------------------------------------------------------------------------------

_AVERAGE, _LINEAR = "maps.mean(dim=(2, 3))", "nn.Linear(32, num_classes),"

SLIPS["gap.2"] = {
    "The maps are summed; the task asks for their average. A sum grows with the size of the "
    "image.": (_AVERAGE, "maps.sum(dim=(2, 3))"),
    "The sum is divided by 49 always. That is the average of 7×7 maps only; other sizes have "
    "another number of positions.": (_AVERAGE, "maps.sum(dim=(2, 3)) / 49"),
    "The average runs over the images too; each image has averages of its own.": (
        _AVERAGE,
        "maps.mean(dim=(0, 2, 3))",
    ),
    "One row is left for all images, because the average runs over them too.": (
        _AVERAGE,
        "maps.mean(dim=(0, 2, 3))[None]",
    ),
    "Only the positions above zero are averaged; the average is over all positions.": (
        _AVERAGE,
        "maps.sum(dim=(2, 3)) / (maps > 0).sum(dim=(2, 3)).clamp(min=1)",
    ),
    "The highest value of each map is taken; the task asks for the average.": (
        _AVERAGE,
        "maps.amax(dim=(2, 3))",
    ),
    **{
        f"There is {name} after the linear layer; logits are asked for, of any value.": (
            _LINEAR,
            f"{_LINEAR}\n        {layer},",
        )
        for name, layer in (
            ("a ReLU", "nn.ReLU()"),
            ("a softmax", "nn.Softmax(dim=1)"),
            ("a log-softmax", "nn.LogSoftmax(dim=1)"),
            ("a sigmoid", "nn.Sigmoid()"),
        )
    },
    "There is a 1×1 convolution that makes class maps, with a ReLU on them, before the average. It "
    "cuts off what is negative.": (
        "GlobalAveragePooling(),",
        "nn.Conv2d(32, num_classes, 1), nn.ReLU(), GlobalAveragePooling(),",
        _LINEAR,
        "",
    ),
    "The last ReLU before the head is gone; only the head was to change.": (
        "nn.ReLU(),\n        Glob",
        "Glob",
    ),
    "The minimum of each map is subtracted before the average.": (
        _AVERAGE,
        "(maps - maps.amin((2, 3), keepdim=True)).mean((2, 3))",
    ),
    "`num_classes` is not used: there are always 10 logits.": (_LINEAR, "nn.Linear(32, 10),"),
}


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
    if arrived == (count, 32):
        return "The linear layer should take 32 numbers, one for each map."
    if arrived in ((count, 32, width), (count, 32, height)):
        return f"{what} the average runs over one axis of the maps; it should run over both."
    if arrived == (count, 32, 1, 1):
        return f"{what} the two axes of length 1 have to go, for example with `nn.Flatten()`."
    return f"{what} it should be {(count, 32)}."


def gap_2(answer, reference):
    if isinstance(answer, nn.Module):
        raise Wrong(
            "A function is expected, not a network: `any_size(num_classes)` should build one."
        )
    network = make(answer)

    def flattens() -> bool:
        with contextlib.suppress(ValueError):  # a lazy layer before its first call
            return count_parameters(network) == count_parameters(reference()) + 32 * 48 * 10
        return False

    still = "The linear layer still has a weight for each of the 7 · 7 positions of each map"
    for size in (28, 64, 33, 4):
        shape = (2, 1, size, size + (size == 33))
        try:
            with trace.unwatched():
                call(network, torch.randn(shape), what=f"Your network, given images {shape},")
        except Wrong as error:
            cause = f"{still}." if flattens() else _what_arrives(network, shape)
            raise Wrong(f"{cause} {error}".strip()) from None
    if flattens():
        raise Wrong(f"{still}. One number for each map is asked for: 32 go into the layer.")
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if len(linear) > 1:
        raise Wrong(
            f"There are {len(linear)} linear layers in the head; one linear layer is asked for."
        )
    if linear and linear[0].in_features != 32:
        raise Wrong(
            f"The size of the linear layer's input is {linear[0].in_features}. It should be 32: "
            "one average for each of the 32 maps, and nothing else."
        )
    try:
        same_outputs(network, reference(), (2, 1, 28, 28), (2, 1, 40, 24), (2, 1, 4, 4))
    except Unexplained as error:
        kernels = [
            [m for m in map(repr, n.modules()) if m.startswith("Conv2d") and "(1, 1), str" not in m]
            for n in (network, reference())
        ]
        if kernels[0] == kernels[1]:
            raise
        text = "The convolutions are not those of the task; only the head was to change."
        raise Unexplained(f"{text} {error}") from None
    same_outputs(make(answer, num_classes=7), reference(7), (2, 1, 28, 28))
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
    given = [plain(s) for s in answer]
    if any(isinstance(s, bool) for s in given):
        raise Wrong(
            "The list holds True and False; the shifts themselves are asked for, as numbers of "
            "pixels."
        )
    if not all(isinstance(s, numbers.Real) and s % 1 == 0 for s in given):
        raise Wrong(f"A list of whole numbers of pixels is expected, not {given}.")
    given = sorted({int(s) for s in given})
    right, yours = _same_logits(), f"You have {given}."
    if given == right:
        return f"The steps of the grid are {right[0]} pixels: two layers with stride 2."
    step = given[0] if given else 0
    if not given:
        text = (
            "Some shifts do leave the logits as they are. Use one network, with its average. "
            "Compare the logits, not the maps, and always with those of the garment in the middle. "
            "Keep the canvas at 96×96: what is added on the left is taken away on the right."
        )
    elif given == list(_SHIFTS):
        text = (
            "Not all twelve shifts leave the logits as they are. Move the garment, take the "
            "largest difference of all ten logits (not their sum, not the best class alone), and "
            "compare it with 0.000001. The differences are small, but not as small as that."
        )
    elif 0 in given and given[1:] == right:
        text = "A shift of 0 is none; the shifts asked for are 1 to 12."
    elif [s - 34 for s in given if s != 34] == right:
        text = "These are places on the canvas (34 + shift); the shifts are asked for. Subtract 34."
    elif given == [s - 1 for s in right]:
        text = "Every shift is one too small: an index counts from 0, and the shifts begin with 1."
    elif given in ([s + 1 for s in right], [s + 1 for s in right[:-1]]):
        text = "Every shift is one too large: the garment in the middle counts as a shift of 0."
    elif given == [s // right[0] for s in right]:
        text = (
            "These are the steps on the maps. The shifts of the image are asked for, in pixels: "
            f"one step is {right[0]} pixels."
        )
    elif given == [s for s in _SHIFTS if s % 8 == 0]:
        text = (
            "Multiples of 8 only: that would be three layers with stride 2. This network has two "
            "of them. Measure it."
        )
    elif given == [s for s in right if s < max(_SHIFTS)]:
        text = (
            "The last shift, 12, is missing: `range(1, 12)` ends at 11. Or the network is in "
            "training mode: `.eval()`."
        )
    elif set(given) < set(right):
        text = (
            "Some shifts are missing. Are all of 1 to 12 tried? Is the garment from `garments`, "
            "with values from 0 to 1, and padded with 0?"
        )
    elif given == [s for s in _SHIFTS if s not in right]:
        text = "These are the shifts that change the logits; the others are asked for."
    elif max(given) > max(_SHIFTS) or min(given) < 1:
        text = "The shifts asked for are 1 to 12 pixels."
    elif given == [s for s in _SHIFTS if s % step == 0] and step == 2:
        text = (
            "Every second shift: that would be one layer with stride 2. This network has two of "
            "them, one after the other. Measure it."
        )
    elif given == [s for s in _SHIFTS if s % step == 0]:
        text = (
            f"These are the multiples of {step}. What decides is the stride of the layers, one "
            "after the other, not the size of a kernel or of a map. Measure it."
        )
    elif set(right) < set(given):
        extra = next(s for s in given if s not in right)
        text = (
            f"A shift of {extra} does change the logits by more than 0.000001. Is your tolerance "
            "larger?"
        )
    else:
        wrong = next(s for s in [*given, *right] if (s in given) != (s in right))
        does = "changes" if wrong in given else "does not change"
        text = (
            f"A shift of {wrong} {does} the logits by more than 0.000001. Does your canvas have "
            "96×96 pixels, with the garment in the middle before it moves to the right? If you "
            "guessed: what decides is the stride of the layers. Measure it."
        )
    raise Wrong(f"{text} {yours}")


# --- gap.4: class activation map ------------------------------------------------------------------

_MIX, _MAP = "weight[classes][:, :, None, None]", "(mix * features).sum(dim=1)"

SLIPS["gap.4"] = {
    "`weight` is (num_classes, K): the class comes first, `weight[classes]`, and not second.": (
        "weight[classes]",
        "weight[:, classes]",
    ),
    "Rows and columns of `weight` have changed places: it is (num_classes, K), one row for each "
    "class.": ("weight[classes]", "weight.T[classes]"),
    "The channels are averaged; the task asks for their sum.": (
        _MAP,
        "(mix * features).mean(dim=1)",
    ),
    "There is a ReLU on the features before they are mixed.": (
        "mix * features",
        "mix * features.relu()",
    ),
    "There is a ReLU on the products before they are summed. Negative values speak against the "
    "class; leave them.": (_MAP, "(mix * features).relu().sum(dim=1)"),
    "There is a ReLU on the map. Negative values speak against the class; leave them.": (
        _MAP,
        f"{_MAP}.relu()",
    ),
    "Negative weights are dropped. They count too: such a channel speaks against the class.": (
        "mix * features",
        "mix.relu() * features",
    ),
    "Weights are taken without their sign.": ("mix * features", "mix.abs() * features"),
    "The map of each image is scaled to 0…1; the task asks for the plain sum.": (
        _MAP,
        "(lambda m: (m - m.amin((1, 2), True)) / (m.amax((1, 2), True) - m.amin((1, 2), True)))(\n"
        f"        {_MAP}\n    )",
    ),
    "The map of each image is divided by its maximum; the task asks for the plain sum.": (
        _MAP,
        f"{_MAP} / {_MAP}.amax((1, 2), True)",
    ),
    "The map is divided by the number of positions; the task asks for the plain sum.": (
        _MAP,
        f"{_MAP} / features[0, 0].numel()",
    ),
    "All images get the map of the first image's class; each has its own class in `classes`.": (
        "weight[classes]",
        "weight[classes[:1].expand(len(classes))]",
    ),
    "All images get the map of class 0; `classes` says which.": (
        "weight[classes]",
        "weight[torch.zeros_like(classes)]",
    ),
    "`classes` is not used: each image gets the class that its logits favour.": (
        "weight[classes]",
        "weight[(features.mean((2, 3)) @ weight.T).argmax(dim=1)]",
    ),
    "The maps of all classes are there; for each image only that of its class is asked for.": (
        _MAP,
        "torch.einsum('ck,nkhw->nchw', weight, features)",
    ),
    "The maps of all classes are there, with the classes last; for each image only that of its "
    "class is asked for.": (_MAP, "torch.einsum('ck,nkhw->nhwc', weight, features)"),
    "The weights are not used: this is the plain sum of the features.": (
        _MAP,
        "features.sum(dim=1)",
    ),
    "The channels are weighted, but not summed: the result should be (N, H, W).": (
        _MAP,
        "mix * features",
    ),
    "The positions are averaged as well: these are logits without bias, and a map is asked for.": (
        _MAP,
        f"{_MAP}.mean(dim=(1, 2))",
    ),
    **{
        f"The weights are (N, K). They need two axes of length 1 at the end, to fit features of "
        f"(N, K, H, W){what}.": (_MIX, code)
        for what, code in {
            "": "weight[classes]",
            "; one is not enough": "weight[classes][:, :, None]",
        }.items()
    },
    **{
        f"The positions are gone: {what}. A map keeps every position; sum over the channels "
        "alone.": (_MAP, code)
        for what, code in {
            "the sum runs over height and width": "(mix * features).sum(dim=(2, 3))",
            "these are the logits of all classes, without bias": "features.mean((2, 3)) @ weight.T",
            "these are logits of every image for the class of every other": (
                "features.mean((2, 3)) @ weight[classes].T"
            ),
            "this is the average of each map times its weight": (
                "mix[:, :, 0, 0] * features.mean((2, 3))"
            ),
        }.items()
    },
    "`classes` picks channels of the features here; it should pick rows of `weight`.": (
        _MAP,
        "features[:, classes]",
    ),
    "This is the sum of the weights times the sum of the features. Multiply first, channel by "
    "channel, then sum.": (_MAP, "mix.sum(dim=1) * features.sum(dim=1)"),
    "Only the channel with the largest weight is there; all channels are summed.": (
        _MAP,
        "(mix * features)[torch.arange(len(mix)), mix[:, :, 0, 0].argmax(dim=1)]",
    ),
    "The last channel is missing in the sum.": (_MAP, "(mix * features)[:, :-1].sum(dim=1)"),
    "The map is standardised (mean and standard deviation); the task asks for the plain sum.": (
        _MAP,
        f"({_MAP} - {_MAP}.mean()) / {_MAP}.std()",
    ),
    "The averages F_k are multiplied in as well. They belong to the logit; the map takes weight "
    "times feature.": ("mix * features", "mix * features.mean((2, 3), True) * features"),
    "A map of 7×7 is fixed in your code; take height and width from `features.shape`.": (
        _MAP,
        f"{_MAP}.reshape(len(features), 7, 7)",
    ),
    "48 channels are fixed in your code; take K from `features.shape`, or use `[:, :, None, None]`"
    ".": (_MIX, "weight[classes].view(-1, 48, 1, 1)"),
    "Height and width have changed places.": (_MAP, f"{_MAP}.transpose(1, 2)"),
}


def gap_4(answer):
    same_results(
        answer,
        lambda features, weight, classes: torch.einsum("nk,nkhw->nhw", weight[classes], features),
        (torch.randn(3, 6, 4, 5), torch.randn(7, 6), torch.tensor([2, 6, 0])),
        (torch.randn(2, 5, 3, 3), torch.randn(5, 5), torch.tensor([4, 1])),  # as many classes as K
        (torch.randn(1, 4, 2, 6), torch.randn(3, 4), torch.tensor([1])),
        explain=lambda case, mine, right: (
            "The map is enlarged; it should keep the height and width of the features."
            if isinstance(mine, Tensor)
            and mine.ndim == 3
            and len(mine) == len(right)
            and min(mine.shape[1:]) > max(right.shape[1:])
            else ""
        ),
    )
    return "The linear layer's own weights, used before the pooling."


# --- gap.5: pooling and mixing change places ------------------------------------------------------

_COPY, _BIAS = "linear.weight[:, :, None, None]", "layer.bias.copy_(linear.bias)"
_LAYER = "nn.Conv2d(linear.in_features, linear.out_features, kernel_size=1)"

SLIPS["gap.5"] = {
    "The bias is missing: the averages of your maps are the logits minus the bias.": (
        _BIAS,
        "layer.bias.zero_()",
    ),
    **{
        f"The bias is {what} by the number of positions (as if there were {count}). Added at each "
        "position and averaged it comes out as itself, so it goes in whole.": (
            _BIAS,
            f"layer.bias.copy_(linear.bias {sign} {count})",
        )
        for count in (12, 56, 49)
        for what, sign in (("divided", "/"), ("multiplied", "*"))
    },
    "The bias is added twice.": (_BIAS, "layer.bias.copy_(2 * linear.bias)"),
    "The bias is subtracted.": (_BIAS, "layer.bias.copy_(-linear.bias)"),
    "Nothing is copied: weight and bias are those of a fresh layer, which are random.": (
        f"layer.weight.copy_({_COPY})",
        "pass",
        _BIAS,
        "pass",
    ),
    **{
        f"The weights are {what} by the number of positions (as if there were {count}). The "
        "averaging divides already; copy them as they are.": (_COPY, f"{_COPY} {sign} {count}")
        for count in (12, 56, 49)
        for what, sign in (("divided", "/"), ("multiplied", "*"))
    },
    "The weight is transposed and brought back into its shape with `reshape`: its numbers are in "
    "other places.": (
        _COPY,
        "linear.weight.T.reshape(linear.out_features, linear.in_features, 1, 1)",
    ),
    "Rows and columns of the weight have changed places: inputs and outputs of the layer are "
    "swapped.": (
        _LAYER,
        "nn.Conv2d(linear.out_features, linear.in_features, kernel_size=1, bias=False)",
        _COPY,
        "linear.weight.T[:, :, None, None]",
        _BIAS,
        "pass",
    ),
    **{
        "The weight of `linear` is (num_classes, K), that of a 1×1 convolution (num_classes, K, 1, "
        f"1): it needs two axes more, `[:, :, None, None]`{what}.": edit
        for what, edit in {
            "": (_COPY, "linear.weight"),
            ", and a copy of its values": (
                f"layer.weight.copy_({_COPY})",
                "layer.weight = linear.weight",
            ),
        }.items()
    },
    "48 and 10 are fixed in your code; take the sizes from `linear`: `in_features` and "
    "`out_features`.": (_LAYER, "nn.Conv2d(48, 10, kernel_size=1)"),
    "The weights are divided by the number of channels; copy them as they are.": (
        _COPY,
        f"{_COPY} / linear.in_features",
    ),
    "The bias is added to each weight; it belongs in the bias of the layer.": (
        _LAYER,
        f"{_LAYER[:-1]}, bias=False)",
        _COPY,
        f"{_COPY} + linear.bias[:, None, None, None]",
        _BIAS,
        "pass",
    ),
    "There is a ReLU on the maps: the average of a map after a ReLU is not the logit.": (
        "return layer",
        "return nn.Sequential(layer, nn.ReLU())",
    ),
    **{
        f"There is a {name} on the maps; the logits are what comes before it.": (
            "return layer",
            f"return nn.Sequential(layer, nn.{code})",
        )
        for name, code in {
            "softmax": "Softmax(dim=1)",
            "sigmoid": "Sigmoid()",
            "tanh": "Tanh()",
        }.items()
    },
}


def gap_5(answer):
    linears = [nn.Linear(*sizes) for sizes in ((6, 4), (5, 5), (3, 7))]
    features = [[torch.randn(2, m.in_features, n, n + 1) for n in (3, 7)] for m in linears]
    for linear, maps_before in zip(linears, features):
        before = copy.deepcopy(linear)
        what = f"class_map_layer(nn.Linear({linear.in_features}, {linear.out_features}))"
        try:
            layer = call(answer, linear, what=what)
        except Unexplained as error:
            lines = str(error.__cause__).splitlines()
            cause = next((line.strip() for line in lines if "size mismatch" in line), "")
            axes = "The weight needs two axes more: `[:, :, None, None]`." if cause else ""
            raise Unexplained(f"{error} {cause} {axes}".strip()) from error
        if not isinstance(layer, nn.Module):
            missing = " Is the `return` missing?" if layer is None else ""
            raise Wrong(f"{what} gives {describe(layer)}; a 1×1 convolution is expected.{missing}")
        if not all(map(torch.equal, before.parameters(), linear.parameters())):
            raise Wrong(f"{what} changes `linear`, which should stay as it is.")
        for conv in layer.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1):
                height, width = conv.kernel_size
                raise Wrong(f"The kernel should be 1×1; yours is {height}×{width}.")
            if isinstance(conv, nn.Conv2d) and not {conv.in_channels, conv.out_channels} & {
                linear.in_features,
                linear.out_features,
            }:
                raise Wrong(
                    f"{what} gives a convolution from {conv.in_channels} to {conv.out_channels} "
                    "channels. Take sizes, weight and bias from the argument `linear`, not from "
                    "another layer."
                )
        for given in maps_before:
            maps = call(layer, given, what="The layer")
            right = F.conv2d(given, linear.weight[:, :, None, None], linear.bias)
            if not isinstance(maps, Tensor) or maps.shape != right.shape:
                raise Unexplained(
                    f"Given features {tuple(given.shape)}, the layer gives {describe(maps)}; "
                    f"the maps should be {tuple(right.shape)}."
                )
            if not close(maps, right):
                _explain_maps(maps, right, linear)
        memory = {p.untyped_storage().data_ptr() for p in linear.parameters()}
        if any(p.untyped_storage().data_ptr() in memory for p in layer.parameters()):
            raise Wrong(
                "The layer shares its memory with `linear`: training one would change the other. "
                "Copy the values, for example with `.clone()`."
            )
    return "Average of the map = logit, bias included, at any size."


def _explain_maps(maps: Tensor, right: Tensor, linear: nn.Linear) -> None:
    """Raises what can be said about maps with wrong values."""
    mine, logit = (m.mean(dim=(2, 3))[0, 0].item() for m in (maps, right))
    if abs(mine - logit) < 1e-5:
        raise Wrong(
            "The averages of the maps are the logits, but the maps are not those of a 1×1 "
            "convolution with these weights: each position should have its own value."
        )
    text = (
        f"The average of the first map is {mine:.4f}, and the logit of the old network {logit:.4f}."
    )
    added = maps - right + linear.bias[:, None, None]
    if close(added, added[:1, :, :1, :1].expand_as(added)):
        text = (
            f"The weights are right, the bias is not: your layer adds {added[0, 0, 0, 0]:.4f} to "
            f"the first map, and the bias of `linear` is {linear.bias[0]:.4f}. It goes in whole, "
            "whatever the number of positions."
        )
    raise Unexplained(text)


# --- gap.6: a box from a map ----------------------------------------------------------------------


_ABOVE = "values > threshold * values.max()"
_LARGEST = "max(range(1, count + 1), key=lambda n: (parts == n).sum())"
_INTS = "int(columns.min()),", "int(rows.min()),", "int(columns.max()) + 1,", "int(rows.max()) + 1,"

SLIPS["gap.6"] = {
    "Right and bottom are the last column and row; they should be one further.": (
        "max()) + 1",
        "max())",
    ),
    "This is the box around everything above the threshold; only the largest connected part is "
    "asked for.": ("parts == largest", "parts > 0"),
    "Positions below the threshold are kept; those above it are asked for.": ("s > t", "s < t"),
    **{
        f"This is the part {what}; the part with the most positions is asked for.": (_LARGEST, code)
        for what, code in {
            "that holds the maximum": "parts[np.unravel_index(values.argmax(), values.shape)]",
            "number 1, which is the first one from the top": "1",
            "with the fewest positions": _LARGEST.replace("max", "min", 1),
            "that comes last": "count",
            "with the largest sum of values": _LARGEST.replace(
                "(parts == n)", "values[parts == n]"
            ),
            "with the largest average value": (
                _LARGEST.replace("(parts == n).sum", "values[parts == n].mean")
            ),
            "with the largest box": _LARGEST.replace(
                "(parts == n).sum()", "np.prod(np.ptp((parts == n).nonzero(), axis=1) + 1)"
            ),
            "that is widest": _LARGEST.replace("(parts == n).sum()", "(parts == n).any(0).sum()"),
            "that is highest (has the most rows)": _LARGEST.replace(
                "(parts == n).sum()", "(parts == n).any(1).sum()"
            ),
        }.items()
    },
    "The number of the part is one too small: parts are numbered from 1, and `argmax` counts from "
    "0.": ("parts == largest", "parts == largest - 1"),
    "This is part 0, which is what lies outside of all parts; they are numbered from 1.": (
        "parts == largest",
        "parts == 0",
    ),
    "The last part is never tried: `range(1, count)` ends before `count`.": (
        "range(1, count + 1)",
        "range(1, max(count, 2))",
    ),
    "Positions exactly at the threshold are kept; those above it are asked for.": (
        "s > t",
        "s >= t",
    ),
    "The threshold is a quantile of the values; it is a share of the map's maximum.": (
        _ABOVE,
        "values > np.quantile(values, threshold)",
    ),
    "The highest positions are kept, a share of all; the threshold is a share of the map's "
    "maximum.": (_ABOVE, "values > np.quantile(values, 1 - threshold)"),
    "The threshold is a share of the mean; it is a share of the map's maximum.": (
        "values.max()",
        "values.mean()",
    ),
    "The threshold is a share of the largest absolute value (`abs`); it is a share of the maximum, "
    "and negative values do not count.": ("values.max()", "abs(values).max()"),
    "The absolute values of the map are taken; negative values are not above the threshold.": (
        "one.numpy()",
        "abs(one.numpy())",
    ),
    "The threshold is 1 - `threshold` times the maximum; it is `threshold` times the maximum.": (
        "threshold * values",
        "(1 - threshold) * values",
    ),
    "Positions that touch at a corner count as connected; only the four beside a position are.": (
        "values.max())",
        "values.max(), np.ones((3, 3)))",
    ),
    "The threshold is taken as a value of the map; it is a share of the map's maximum.": (
        _ABOVE,
        "values > threshold",
    ),
    "The threshold lies between the minimum and the maximum; it is a share of the maximum alone.": (
        _ABOVE,
        "values > values.min() + threshold * (values.max() - values.min())",
    ),
    "Everything positive is kept; the threshold is not used.": (_ABOVE, "values > 0"),
    "`ndimage.label` is given the map itself, so everything but 0 is kept. Give it the positions "
    "above the threshold.": (_ABOVE, "values"),
    "`threshold` is a share already, not a percentage: do not divide it by 100.": (
        _ABOVE,
        "values > threshold / 100 * values.max()",
    ),
    "The argument `threshold` is not used: it is always 0.2.": (
        _ABOVE,
        "values > 0.2 * values.max()",
    ),
    "Left and top have changed places, and right and bottom: rows go from top to bottom, columns "
    "from left to right.": ("rows, columns = (", "columns, rows = ("),
    "The last two numbers are width and height; right and bottom are asked for.": (
        _INTS[2],
        "int(columns.max()) + 1 - int(columns.min()),",
        _INTS[3],
        "int(rows.max()) + 1 - int(rows.min()),",
    ),
    "The order is (left, top, right, bottom); yours is left, right, top, bottom.": (
        _INTS[1],
        "int(columns.max() + 1),",
        _INTS[2],
        "int(rows.min()),",
    ),
    "Left and top are one too large: they are the first column and row, counted from 0.": (
        "min())",
        "min()) + 1",
    ),
    "Right and bottom are two after the last column and row; they should be one further.": (
        "max()) + 1",
        "max()) + 2",
    ),
    "Centre, width and height of the box are given; its edges are asked for, as whole numbers.": (
        _INTS[0],
        "float(columns.min() + columns.max() + 1) / 2,",
        _INTS[1],
        "float(rows.min() + rows.max() + 1) / 2,",
        _INTS[2],
        "int(np.ptp(columns)) + 1,",
        _INTS[3],
        "int(np.ptp(rows)) + 1,",
    ),
    "The box is in shares of width and height; whole positions are asked for.": (
        _INTS[0],
        "columns.min() / one.shape[1],",
        _INTS[1],
        "rows.min() / one.shape[0],",
        _INTS[2],
        "(columns.max() + 1) / one.shape[1],",
        _INTS[3],
        "(rows.max() + 1) / one.shape[0],",
    ),
}
# The slips of gap.6 may use NumPy, which its solution does not.
SLIPS["gap.6"] = {
    words: (
        "from scipy import ndimage\n",
        "from scipy import ndimage\nimport numpy as np\n",
        *edits,
    )
    for words, edits in SLIPS["gap.6"].items()
}


def _box_from_map(one: Tensor, threshold: float = 0.2) -> tuple[int, int, int, int]:
    """The box by another way than that of the solution."""
    parts, _ = ndimage.label(one.numpy() > threshold * one.max().item())
    largest = np.bincount(parts.ravel())[1:].argmax()
    rows, columns = ndimage.find_objects(parts)[largest]
    return columns.start, rows.start, columns.stop, rows.stop


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
    at_threshold = torch.zeros(8, 9)
    at_threshold[2:5, 3:6] = 4.0
    at_threshold[5, 3:6] = 2.0  # exactly half of the maximum, so not above it
    below_zero = _map_of(10, 14, (3, 2, 7, 9, 2.0), (0, 11, 2, 13, -9.5))
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
        (_map_of(9, 12, (0, 0, 2, 2, 90.0), (4, 5, 9, 12, 8.0)), 0.05),  # the sum is elsewhere
        (_map_of(11, 13, (2, 3, 8, 6, 4.0), (0, 9, 11, 13, 0.5)),),
        # a staircase of 12 positions, whose box is larger than that of the block of 20
        (_map_of(12, 14, *((i, i, i + 1, i + 2, 2.0) for i in range(6)), (7, 8, 11, 13, 1.5)),),
        (at_threshold, 0.5),
        (below_zero,),
        # faint parts, above a hundredth of the threshold or above the mean's share
        (_map_of(9, 12, (0, 0, 2, 3, 90.0), (3, 0, 9, 4, 0.6), (4, 5, 9, 12, 0.2)), 0.5),
        (_map_of(9, 12, (0, 0, 1, 2, 90.0), (3, 0, 9, 4, 3.0), (4, 5, 9, 12, 0.2)), 0.5),
        # two stripes that part the rest of the map, one of them at its border
        (_map_of(10, 14, (0, 0, 10, 2, 2.0), (0, 5, 10, 8, 2.0)),),
    )

    @functools.wraps(answer)
    def as_tuple(*case: Any) -> Any:
        value = answer(*case)
        with contextlib.suppress(TypeError, ValueError):
            values = tuple(plain(number) for number in value)
            if len(values) == 4:
                return tuple(int(v) if v % 1 == 0 else v for v in values)
        if value is None:
            return None
        raise Wrong(
            f"The result is {describe(value)}; four whole numbers (left, top, right, bottom) are "
            "expected."
        )

    def explain(case: tuple, mine: Any, right: tuple) -> str:
        whole = isinstance(mine, Exception) or all(v % 1 == 0 for v in mine or ())
        return "" if whole else "Four whole numbers are asked for."

    boxes = as_tuple if callable(answer) else answer
    same_results(boxes, _box_from_map, *cases, explain=explain)
    return "Threshold, largest part, box: as in the paper."


# --- gap.7: intersection over union ---------------------------------------------------------------


_SHARED, _UNION = "width * height", "(sum(areas) - width * height)"
_IOU = f"return {_SHARED} / {_UNION}"
_WIDTH = "max(min(a[2], b[2]) - max(a[0], b[0]), 0)"
_HEIGHT = "max(min(a[3], b[3]) - max(a[1], b[1]), 0)"
_START = f"    width = {_WIDTH}\n"
_AROUND = "(max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))"
_PLAIN_WIDTH, _PLAIN_HEIGHT = _WIDTH[4:-4], _HEIGHT[4:-4]

SLIPS["gap.7"] = {
    "Boxes that do not overlap are not caught: a negative width times a negative height looks like "
    "an area. Take `max(…, 0)` of both.": (_WIDTH, _PLAIN_WIDTH, _HEIGHT, _PLAIN_HEIGHT),
    "Only the width is kept from going below zero; the height needs `max(…, 0)` too.": (
        _HEIGHT,
        _PLAIN_HEIGHT,
    ),
    "`max(width * height, 0)` comes too late: two negative sides have a positive product. Take "
    "`max(…, 0)` of both.": (
        _WIDTH,
        _PLAIN_WIDTH,
        _HEIGHT,
        f"{_PLAIN_HEIGHT}\n    width, height = max(width * height, 0), 1",
    ),
    "The shared part is counted twice in the union: take it away once.": (_UNION, "sum(areas)"),
    "The sides are one pixel too long: right and bottom are behind the last pixel already.": (
        f"{_PLAIN_WIDTH},",
        f"{_PLAIN_WIDTH} + 1,",
        f"{_PLAIN_HEIGHT},",
        f"{_PLAIN_HEIGHT} + 1,",
        "(box[2] - box[0]) * (box[3] - box[1])",
        "(box[2] - box[0] + 1) * (box[3] - box[1] + 1)",
    ),
    "This is the shared area itself; divide it by the area of the union.": (
        _IOU,
        f"return {_SHARED}",
    ),
    **{
        f"The shared area is divided by {what}, not by the union.": (_UNION, code)
        for what, code in {
            "the first box alone": "areas[0]",
            "the second box alone": "areas[1]",
            "the smaller box": "min(areas)",
            "the larger box": "max(areas)",
            "the box around both, which is larger than the union": f"({_AROUND})",
        }.items()
    },
    "The boxes are read as (left, top, width, height); they are (left, top, right, bottom).": (
        _START,
        f"    a, b = ((x, y, x + w, y + h) for x, y, w, h in (a, b))\n{_START}",
    ),
    "The boxes are read as (left, right, top, bottom); they are (left, top, right, bottom).": (
        _START,
        f"    a, b = ((x, y, z, w) for x, z, y, w in (a, b))\n{_START}",
    ),
    "The right edge is compared with the top, the bottom with the left: horizontal and vertical "
    "are mixed up.": (
        _WIDTH,
        "max(min(a[2], b[2]) - max(a[1], b[1]), 0)",
        _HEIGHT,
        "max(min(a[3], b[3]) - max(a[0], b[0]), 0)",
    ),
    "Boxes count as apart unless a corner of the second lies inside the first; one can contain the "
    "other, or they cross.": (
        _IOU,
        "inside = any(\n        a[0] <= x <= a[2] and a[1] <= y <= a[3]\n"
        "        for x in (b[0], b[2])\n        for y in (b[1], b[3])\n    )\n"
        f"    width *= inside\n    {_IOU}",
    ),
    "This is the generalised IoU (GIoU): the empty part of the box around both is subtracted. The "
    "plain IoU is asked for.": (
        _IOU,
        f"{_IOU} - (\n        {_AROUND} - {_UNION}\n    ) / ({_AROUND})",
    ),
    "This is in percent; 1 is expected for equal boxes.": (_IOU, f"{_IOU} * 100"),
    "This is twice the shared area over the sum of both areas (the Dice coefficient); divide the "
    "shared area by the union.": (_IOU, "return 2 * width * height / sum(areas)"),
    "`//` cuts the quotient down to a whole number; `/` does not.": (_IOU, _IOU.replace("/", "//")),
    "This is 1 minus the IoU; equal boxes should give 1, boxes apart 0.": (
        _IOU,
        _IOU.replace("return", "return 1 -"),
    ),
    "1 is added above and below the fraction line; the plain quotient is asked for.": (
        _IOU,
        f"return ({_SHARED} + 1) / ({_UNION} + 1)",
    ),
    "Brackets are missing: the whole union is below the fraction line.": (
        _IOU,
        f"return {_SHARED} / areas[0] + areas[1] - {_SHARED}",
    ),
}


def _iou(a: tuple, b: tuple) -> float:
    """Counts the pixels."""
    first, second = (
        {(x, y) for x in range(left, right) for y in range(top, bottom)}
        for left, top, right, bottom in (a, b)
    )
    return len(first & second) / len(first | second)


def gap_7(answer):
    @functools.wraps(answer)
    def number(*boxes: tuple) -> Any:
        value = answer(*boxes)
        if isinstance(plain(value), bool):
            raise Wrong(f"The result is {value}; the IoU itself is asked for, from 0 to 1.")
        return value

    same_results(
        number if callable(answer) else answer,
        _iou,
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
        ((0, 3, 9, 5), (3, 0, 6, 9)),  # they cross
        explain=lambda case, mine, right: (
            "This is the union divided by the shared area; it should be the other way round."
            if right and not isinstance(mine, Exception) and close(mine, 1 / right)
            else ""
        ),
    )
    return "1 for equal boxes, 0 for boxes apart."
