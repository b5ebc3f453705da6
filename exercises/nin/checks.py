"""Checks of chapter 04: Network in Network."""

import itertools
import numbers
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from exercises import trace
from exercises.compare import (
    Unexplained,
    Wrong,
    call,
    close,
    describe,
    describe_call,
    expect_keys,
    expect_numbers,
    make,
    operations,
    plain,
    same_outputs,
    same_results,
)

# What a slip does to the solution's text: `slips.edited` explains.
SLIPS: dict[str, dict[str, tuple[str, ...]]] = {}

# --- nin.1: counting ------------------------------------------------------------------------------

_FIRST, _SECOND, _THIRD = "5 * 5 * 3 * 192", "192 * 160", "160 * 96"
_WEIGHTS = f"{_FIRST} + {_SECOND} + {_THIRD}"
_BIASES = "192 + 160 + 96"
_WEIGHT_SLIPS = {  # mistakes in the weights, which the parameters and the MACs share
    "The two 1×1 layers are missing: the weights are those of the first layer alone.": _FIRST,
    "The last 1×1 layer is missing: the block has three layers, not two.": f"{_FIRST} + {_SECOND}",
    "The second layer, 192 to 160, is missing: there are three layers.": f"{_FIRST} + {_THIRD}",
    "The first layer is missing: there are three layers.": f"{_SECOND} + {_THIRD}",
    "In the first layer every filter sees 3 input channels: 5 · 5 · 3 weights, not 5 · 5.": (
        f"5 * 5 * 192 + {_SECOND} + {_THIRD}"
    ),
    "A kernel of 5×5 has 5 · 5 = 25 places, not 5.": f"5 * 3 * 192 + {_SECOND} + {_THIRD}",
    "A kernel of 5×5 has 5 · 5 = 25 places, not 5 + 5.": f"30 * 192 + {_SECOND} + {_THIRD}",
    "The first layer is counted as if it were 1×1; its filters are 5×5.": (
        f"3 * 192 + {_SECOND} + {_THIRD}"
    ),
    "The filters of the first layer are 5×5, not 3×3.": f"9 * 3 * 192 + {_SECOND} + {_THIRD}",
    "All three layers are counted with 5×5 kernels. The second and the third are 1×1.": (
        f"25 * (3 * 192 + {_SECOND} + {_THIRD})"
    ),
    "The second and the third layer are counted with 3×3 kernels; they are 1×1.": (
        f"{_FIRST} + 9 * ({_SECOND} + {_THIRD})"
    ),
    "The second layer is counted with 5×5 kernels; it is 1×1.": (
        f"{_FIRST} + 25 * {_SECOND} + {_THIRD}"
    ),
    "The third layer is counted with 5×5 kernels; it is 1×1.": (
        f"{_FIRST} + {_SECOND} + 25 * {_THIRD}"
    ),
    "The 1×1 layers see the channels of the layer before them (192 and 160), not the 3 of the "
    "image.": f"{_FIRST} + 3 * 160 + 3 * 96",
    "A 1×1 filter has one weight for each input channel: the second layer has 192 · 160 weights, "
    "the third 160 · 96.": f"{_FIRST} + 160 + 96",
    "The third layer takes the 160 channels that the second one gives, not 192.": (
        f"{_FIRST} + {_SECOND} + 192 * 96"
    ),
    "The second layer has 160 channels and the third 96; yours have changed places.": (
        f"{_FIRST} + 192 * 96 + 96 * 160"
    ),
    "The channels of all layers are multiplied. Count each layer for itself, and add the three.": (
        f"{_FIRST} * 160 * 96"
    ),
    "The 3 input channels are already part of the first layer's weights; they are counted once "
    "more, for all layers.": f"3 * ({_WEIGHTS})",
}
_POSITIONS = {  # in place of 32 * 32
    "There are 32 · 32 positions, not 32.": "32",
    "There are 32 · 32 = 1,024 positions, not 32 + 32 or 32 · 2.": "2 * 32",
    "The 32 · 32 positions are multiplied twice.": "32 * 32 * 32 * 32",
    "Padding 2 keeps 32×32 positions; 28×28 would be without padding.": "28 * 28",
    "The positions are those of the padded image, 36×36. The filter fits at 32×32 of them.": (
        "36 * 36"
    ),
    "The padding goes on one side only in your count: 2 at each side keep 32×32 positions.": (
        "30 * 30"
    ),
    "Padding 2 keeps 32×32 positions, not 34×34.": "34 * 34",
    "These are the weights. Each is used at every one of the 32 · 32 positions.": "1",
    "The positions are those of a map of 16×16; stride 1 and padding 2 keep 32×32.": "16 * 16",
    "The positions are those of an image of 224×224; here it is 32×32.": "224 * 224",
}


def _nin_1_slips() -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, kept in {
        "the first layer": "160 + 96",
        "the second layer": "192 + 96",
        "the third layer": "192 + 160",
        "the two 1×1 layers": "192",
        "the first two layers": "96",
    }.items():
        yield f"The biases of {name} are missing.", (f"biases = {_BIASES}", f"biases = {kept}")
    yield (
        "Every output channel has one bias; yours has one for each input channel.",
        (f"biases = {_BIASES}", "biases = 3 + 192 + 160"),
    )
    yield (
        "Every output channel has one bias; yours has one for each pair of an input channel and an "
        "output channel.",
        (f"biases = {_BIASES}", f"biases = 3 * 192 + {_SECOND} + {_THIRD}"),
    )
    yield (
        "Every layer is counted with one bias; every output channel has one.",
        (f"biases = {_BIASES}", "biases = 3"),
    )
    yield (
        "A weight is stored once, however many positions it is used at.",
        ('"parameters": weights + biases', '"parameters": (weights + biases) * 32 * 32'),
    )
    yield (
        "The biases are missing: every output channel of every layer has one.",
        (f"biases = {_BIASES}", "biases = 0"),
    )
    yield (
        "The MACs contain the biases. Biases are added, not multiplied: leave them out.",
        ('"macs": weights', '"macs": (weights + biases)'),
    )
    yield (
        "Multiplication and addition are counted apart, which gives twice as much (FLOPs).",
        (",\n}", " * 2,\n}"),
    )
    yield (
        "The 1×1 layers, too, compute at every one of the 32 · 32 positions.",
        ("weights * 32 * 32", f"{_FIRST} * 32 * 32 + {_SECOND} + {_THIRD}"),
    )
    yield (
        "The output channels are counted twice in the MACs. They are in the weights already: "
        "multiply the weights by the 32 · 32 positions only.",
        ('"macs": weights', f'"macs": ({_FIRST} * 192 + {_SECOND} * 160 + {_THIRD} * 96)'),
    )
    yield (
        "The input channels are counted twice in the MACs. They are in the weights already: "
        "multiply the weights by the 32 · 32 positions only.",
        ('"macs": weights', f'"macs": ({_FIRST} * 3 + {_SECOND} * 192 + {_THIRD} * 160)'),
    )
    for words, text in _WEIGHT_SLIPS.items():
        yield words, (f"weights = {_WEIGHTS}", f"weights = {text}")
        yield f"The parameters are right. {words}", ('"macs": weights', f'"macs": ({text})')
    for words, text, kept in (
        ("This is the first layer alone: the two 1×1 layers are missing.", _FIRST, "192"),
        (
            "The last 1×1 layer is missing altogether: the block has three layers, not two.",
            *(f"{_FIRST} + {_SECOND}", "192 + 160"),
        ),
        (
            "The first layer is missing altogether: the block has three layers, not two.",
            *(f"{_SECOND} + {_THIRD}", "160 + 96"),
        ),
    ):
        edits = (f"weights = {_WEIGHTS}", f"weights = {text}")
        yield words, (*edits, f"biases = {_BIASES}", f"biases = {kept}")
    for words, text in _POSITIONS.items():
        yield words, ("* 32 * 32", f"* {text}")


SLIPS["nin.1"] = dict(_nin_1_slips())


def nin_1(answer):
    first, rest = 5 * 5 * 3 * 192, 192 * 160 + 160 * 96
    weights, biases, positions = first + rest, 192 + 160 + 96, 32 * 32
    expect_numbers(
        answer,
        {"parameters": weights + biases, "macs": weights * positions},
        {
            "macs": {
                weights + biases: "These are the parameters. A weight has 32 · 32 positions.",
                weights: "These are the weights. Each is used at every one of the 32 · 32 "
                "positions.",
            }
        },
        macs=["macs"],
    )
    return f"{rest / weights:.0%} of the weights, and of the MACs, are in the 1×1 layers."


# --- nin.2: the mlpconv ---------------------------------------------------------------------------


def _block(
    in_channels: int, widths: tuple[int, int, int], kernel_size: int, stride: int = 1, padding=0
) -> nn.Sequential:
    """An mlpconv."""
    first, second, third = widths
    return nn.Sequential(
        nn.Conv2d(in_channels, first, kernel_size, stride, padding),
        nn.ReLU(),
        nn.Conv2d(first, second, 1),
        nn.ReLU(),
        nn.Conv2d(second, third, 1),
        nn.ReLU(),
    )


_CONV, _1X1 = "kernel_size, stride, padding),", "kernel_size=1),"
_LAST = "        nn.Conv2d(second, third, kernel_size=1),\n        nn.ReLU(),\n"

SLIPS["nin.2"] = {
    "Stride and padding have changed places. The order in nn.Conv2d is in_channels, out_channels, "
    "kernel_size, stride, padding.": (_CONV, "kernel_size, padding, stride),"),
    "Stride and padding are not used: the first convolution moves by 1 and has no frame.": (
        _CONV,
        "kernel_size),",
    ),
    "The first convolution always pads by half its kernel, `kernel_size // 2`; it should pad by "
    "`padding`.": (_CONV, "kernel_size, stride, kernel_size // 2),"),
    "All three layers take the stride. It belongs to the first convolution alone: a 1×1 layer with "
    "a stride skips positions.": (_1X1, "kernel_size=1, stride=stride),"),
    "The 1×1 layers take the padding too. It puts a frame of zeros around their maps; a 1×1 layer "
    "keeps height and width without padding.": (_1X1, "kernel_size=1, padding=padding),"),
    "Stride and padding are at the last 1×1 layer; they belong to the first convolution.": (
        f"{_CONV}",
        "kernel_size),",
        "third, kernel_size=1),",
        "third, 1, stride, padding),",
    ),
    "The second and the third layer take `kernel_size` too; they should be 1×1.": (
        _1X1,
        "kernel_size=kernel_size),",
    ),
    "The second and the third layer take `kernel_size` too, with padding; they should be 1×1.": (
        _1X1,
        "kernel_size=kernel_size, padding=kernel_size // 2),",
    ),
    "The first layer is 1×1 too: `kernel_size` is not used.": (_CONV, "1, stride, padding),"),
    "The order of the layers is turned around: the convolution with `kernel_size` comes last; it "
    "should come first.": (
        _CONV,
        "1),",
        "third, kernel_size=1),",
        "third, kernel_size, stride, padding),",
    ),
    "The last two widths have changed places.": (
        "first, second, third = widths",
        "first, third, second = widths",
    ),
    "There is only one 1×1 layer; the block has two. The middle width is not used.": (
        "        nn.Conv2d(first, second, kernel_size=1),\n        nn.ReLU(),\n",
        "",
        "Conv2d(second,",
        "Conv2d(first,",
    ),
    "There is only one 1×1 layer, and the last of the three widths is not used.": (_LAST, ""),
    "The 1×1 layers are missing: this is an ordinary convolution.": (
        "        nn.Conv2d(first, second, kernel_size=1),\n        nn.ReLU(),\n" + _LAST,
        "",
    ),
    "There are three 1×1 layers; the block has two.": (
        _LAST,
        _LAST + _LAST.replace("second, third", "third, third"),
    ),
    "All three layers have as many channels as the last; each has its own width.": (
        "first, second, third = widths",
        "first, second, third = [widths[2]] * 3",
    ),
    "The ReLUs are missing, or what they give is not used (`F.relu(x)` does not change x: write "
    "`x = F.relu(x)`). One belongs after the first convolution, one after the second, and one "
    "after the third.": ("        nn.ReLU(),\n", ""),
}


def nin_2(answer):
    cases = [  # the arguments by place and by name, as the chapter gives them; the images
        ((3, (9, 7, 11)), {"kernel_size": 5, "stride": 2, "padding": 1}, (2, 3, 26, 23)),
        ((6, (4, 7, 5), 3), {}, (2, 6, 7, 6)),  # stride and padding left at their defaults
        ((4, (8, 4, 4), 7), {"stride": 3, "padding": 2}, (2, 4, 17, 14)),  # groups would fit,
        ((4, (4, 4, 4), 3), {"padding": 1}, (1, 4, 6, 5)),  # and shortcuts
    ]
    for arguments, others, shape in cases:
        block = make(answer, *arguments, **others)
        right = _block(*arguments, **others)
        try:
            same_outputs(block, right, shape)
        except Unexplained as error:
            if "mat1 and mat2" not in str(error):
                raise
            raise Wrong(
                "`nn.Linear` works on the last axis, and that is the width here. The channels are "
                f"axis 1; a convolution with kernel_size=1 works on them. {error}"
            ) from None
        if others.get("stride", 1) > 1:
            _expect_cost(block, right, shape, describe_call(_block, *arguments, **others))
    _expect_no_ceiling(block, 1000 * torch.randn(shape))
    return "It computes what the paper's block computes, gradients included."


def _expect_no_ceiling(module: nn.Module, large: Tensor) -> None:
    with torch.no_grad():
        largest = module.eval()(large).abs().max().item()
    if 1e-6 < largest <= 6.001:
        raise Wrong(
            f"No output is above {largest:.3g}, however large the input: an activation has a "
            "ceiling (ReLU6 has one at 6, Hardtanh at 1). A ReLU has none."
        )


def _macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.randn(shape))
    return counter.get_total_flops() // 2 // shape[0]


def _expect_cost(block: nn.Module, right: nn.Module, shape: tuple[int, ...], what: str) -> None:
    """A stride at a 1×1 layer gives the right values, but most of the work is thrown away."""
    mine, needed = _macs(block.eval(), shape), _macs(right, shape)
    if mine <= needed:
        return
    cause = "Some positions are computed and then thrown away."
    if any(m.stride != (1, 1) for m in block.modules() if isinstance(m, nn.Conv2d)):
        cause = (
            "The stride is at a 1×1 layer; it belongs to the first convolution, which otherwise "
            "computes positions that are thrown away."
        )
    raise Wrong(
        f"{cause} mlpconv{what.removeprefix('_block')} gives the right values, but it needs "
        f"{mine:,} MACs for an image of {shape[2]}×{shape[3]}, where {needed:,} are enough."
    )


# --- nin.3: the same with nn.Linear ---------------------------------------------------------------

_IN = "maps.permute(0, 2, 3, 1)"
_ROWS = "maps.reshape(len(maps), *maps.shape[2:], -1)"
_OUT = "linear(pixels).permute(0, 3, 1, 2)"
_BACK = "linear(pixels).reshape(len(maps), -1, *maps.shape[2:])"
_SCRAMBLED = (
    "`reshape` (or `view`) does not move the channels to the end: it only cuts the numbers into "
    "rows of another length, so they are scrambled. One row holds neighbouring pixels of one map."
)
_WEIGHT = "torch.einsum('oc,nchw->nohw', linear.weight, maps)"

SLIPS["nin.3"] = {
    f"{_SCRAMBLED} Use permute.": (_IN, _ROWS, _OUT, _BACK),
    f"The way back is right, but not the way in. {_SCRAMBLED} Use permute for it too.": (
        _IN,
        _ROWS,
    ),
    f"{_SCRAMBLED} Use permute, and move the channels back to axis 1 after `linear`.": (
        _IN,
        _ROWS,
        _OUT,
        "linear(pixels)",
    ),
    "The channels are still on the last axis: the result should be (N, C, H, W). Move them back to "
    "axis 1.": (_OUT, "linear(pixels)"),
    "The way back is a reshape, which does not move the channels. Use permute for it too.": (
        _OUT,
        _BACK,
    ),
    "There is one row for each pixel, as it comes out of `linear`; the result should be "
    "(N, C, H, W).": (_OUT, "linear(pixels).flatten(0, 2)"),
    **{
        f"`permute(0, 2, 3, 1)` is not undone by `permute{order}`: axis {order[1]} comes to place "
        "1, and the channels are axis 3.": (_OUT, f"linear(pixels).permute{order}")
        for order in ((0, 2, 3, 1), (0, 1, 3, 2), (0, 2, 1, 3))
    },
    "The last reshape has W before H: (N, C, H, W) is right.": (
        _OUT,
        f"{_OUT}.reshape(len(maps), -1, *maps.shape[:1:-1])",
    ),
    "Height and width have changed places.": (_OUT, "linear(pixels).permute(0, 3, 2, 1)"),
    "`.T` turns the order of all four axes around, that of the images too. Use permute.": (
        f"{_IN}  # (N, H, W, in_features)\n    return {_OUT}",
        "maps.T\n    return linear(pixels).T",
    ),
    "The bias is not added.": (_OUT, _WEIGHT),
    "The bias is laid along the width, the last axis; it has one number for each channel: "
    "`bias[:, None, None]`.": (_OUT, f"{_WEIGHT} + linear.bias"),
    "The bias is added twice.": (_OUT, f"{_OUT} + linear.bias[:, None, None]"),
    "The result of `linear` is not used (or `linear` is never called): the maps come back as they "
    "were.": (_OUT, "maps"),
    "It works on the mean over all pixels; every pixel needs its own result.": (
        _OUT,
        "linear(maps.mean((2, 3)))[:, :, None, None].expand(-1, -1, *maps.shape[2:])",
    ),
    "The result is the mean over all pixels; every pixel needs its own result.": (
        _OUT,
        "linear(maps.mean((2, 3)))",
    ),
    "`linear` is applied to the last axis, the width, instead of the channels.": (
        _OUT,
        "linear(maps)",
    ),
    "`linear` is applied to the height instead of the channels.": (
        _OUT,
        "linear(maps.transpose(2, 3)).transpose(2, 3)",
    ),
    "All pixels of an image are put into one row; `linear` takes the channels of one pixel.": (
        _OUT,
        "linear(maps.flatten(1))",
    ),
    "All pixels of a map are put into one row; `linear` takes the channels of one pixel.": (
        _OUT,
        "linear(maps.flatten(2))",
    ),
    "The maps are taken to be square; they have H rows and W columns: `maps.shape[2:]`.": (
        _OUT,
        "linear(pixels).permute(0, 3, 1, 2).flatten(2).unflatten("
        "2, (int(maps[0, 0].numel() ** 0.5), -1))",
    ),
    "The pixels are put into one row for each image and moved, but the axes of height and width do "
    "not come back: the result should be (N, C, H, W).": (
        _OUT,
        "linear(maps.flatten(2).transpose(1, 2)).transpose(1, 2)",
    ),
}


def nin_3(answer):
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    if any("convolution" in name for name in _operations(answer, 2)):
        raise Wrong(
            "There is a convolution in it, which the task forbids. Do it with `linear` itself: "
            "bring the channels to the last axis, apply `linear`, and bring them back."
        )
    same_results(
        answer,
        lambda maps, linear: F.conv2d(maps, linear.weight[:, :, None, None], linear.bias),
        (torch.randn(2, 6, 6, 2), nn.Linear(6, 5)),
        (torch.randn(3, 4, 5, 5), nn.Linear(4, 4)),
        (torch.randn(1, 3, 1, 7), nn.Linear(3, 8)),
        explain=lambda case, mine, right: (
            "With other weights in `linear` it gives the same, so it works with weights of its "
            "own; use `linear`."
            if isinstance(mine, Tensor) and close(answer(case[0], _like(case[1])), mine)
            else ""
        ),
        layer=True,
    )
    few, many = (_operations(answer, side).total() for side in (2, 16))
    if many - few >= 16 * 16 - 2 * 2:  # one more for each pixel more; rows alone would be 14
        raise Wrong(
            f"The numbers are right, but torch is called {few:,} times for 2×2 pixels and "
            f"{many:,} times for 16×16: the function loops over the pixels. `linear` takes all of "
            "them at once, as long as the channels come last."
        )
    return "It equals a 1×1 convolution with the same weights."


def _like(linear: nn.Linear) -> nn.Linear:
    return nn.Linear(linear.in_features, linear.out_features)


def _operations(answer: Callable, side: int) -> Counter[str]:
    try:
        with trace.unwatched():
            return operations(answer, torch.randn(1, 3, side, side), nn.Linear(3, 2))
    except Wrong:  # the comparison says it better
        return Counter()


# --- nin.4: the head ------------------------------------------------------------------------------

_MEAN = "maps.mean(dim=(2, 3))"
_AXES = ("images", "channels", "height", "width")

SLIPS["nin.4"] = {
    "This averages over the channels and leaves a map for each image; it should average over "
    "height and width.": (_MEAN, "maps.mean(1)"),
    "This averages over the images of the batch too; every image has logits of its own.": (
        _MEAN,
        "maps.mean((0, 2, 3))",
    ),
    "This averages over the channels too: one number is left of each image.": (
        _MEAN,
        "maps.mean((1, 2, 3))",
    ),
    "There is a softmax after it. Logits are what comes before the softmax; the loss function "
    "contains it.": (_MEAN, f"{_MEAN}.softmax(1)"),
    "There is a ReLU after it; logits may be negative.": (_MEAN, f"{_MEAN}.relu()"),
    "This flattens the maps: nothing is averaged.": (_MEAN, "maps.flatten(1)"),
    "The average leaves out what is not positive; it should go over all H · W positions.": (
        _MEAN,
        "maps.relu().sum((2, 3)) / (maps > 0).sum((2, 3)).clamp(min=1)",
    ),
    "The sum is divided by H alone; there are H · W positions.": (
        _MEAN,
        "maps.sum((2, 3)) / maps.shape[2]",
    ),
    "The sum is divided by W alone; there are H · W positions.": (
        _MEAN,
        "maps.sum((2, 3)) / maps.shape[3]",
    ),
    "The sum is divided by the number of channels; there are H · W positions.": (
        _MEAN,
        "maps.sum((2, 3)) / maps.shape[1]",
    ),
    "The sum is divided by H + W; there are H · W positions.": (
        _MEAN,
        "maps.sum((2, 3)) / (maps.shape[2] + maps.shape[3])",
    ),
    **{
        f"The average goes over axes {a} and {b}, the {_AXES[a]} and the {_AXES[b]}. It should go "
        "over the height and the width, axes 2 and 3 of (N, C, H, W).": (
            _MEAN,
            f"maps.mean(({a}, {b}))",
        )
        for a, b in ((1, 2), (0, 1), (1, 3), (0, 2), (0, 3))
    },
    **{
        f"The sum is divided by {n}, a fixed number; it should be divided by H · W, for any H and "
        "W.": (_MEAN, f"maps.sum((2, 3)) / {n}")
        for n in (49, 36, 25, 16, 64, 196, 784)
    },
    **{
        f"The window of the pooling has a fixed size{size}. The maps may have any height and "
        "width, and the window should be as large as the map.": (
            _MEAN,
            f"F.avg_pool2d(maps, {k}).flatten(1)",
        )
        for k, size in (
            (2, " of 2×2"),
            (3, " of 3×3"),
            (4, " of 4×4"),
            (7, ", larger than this map"),
        )
    },
}


def nin_4(answer):
    if isinstance(answer, type) and issubclass(answer, nn.Module):
        raise Wrong(
            f"{answer.__name__} is a class that makes layers. The task asks for a function of the "
            "maps: write it with `def`."
        )
    same_results(
        answer,
        lambda maps: maps.mean((2, 3)),
        (torch.randn(2, 5, 4, 3),),
        (torch.randn(3, 10, 5, 5),),
        (torch.randn(4, 4, 4, 4),),
        (torch.randn(1, 3, 1, 1),),
        layer=True,
    )
    return "An average over height and width, and nothing else."


# --- nin.5: repair --------------------------------------------------------------------------------


_RELU = "        nn.ReLU(),\n"
_AFTER_3X3 = ("padding=1),\n        nn.ReLU(),\n        nn.C", "padding=1),\n        nn.C")
_AFTER_1X1 = ("_classes, 1),\n        nn.ReLU(),\n", "_classes, 1),\n")
_POOL, _FLATTEN = "        nn.AdaptiveAvgPool2d(1),\n", "        nn.Flatten(),\n"
_HEAD = (
    "        nn.Conv2d(32, num_classes, 3, padding=1),\n"
    + (_RELU + "        nn.Conv2d(num_classes, num_classes, 1),\n") * 2
)
_STILL = "The ReLU on the class maps is still there"
_NEEDLESS = "Nothing needs to be there."
_SOFT = "lets some gradient through, but it still squeezes every negative logit"
_TOP = "keeps every logit"
_ACTIVATIONS = (
    ("A sigmoid", "Sigmoid()", f"{_TOP} between 0 and 1, so the softmax can never be sure"),
    ("A tanh", "Tanh()", f"{_TOP} between -1 and 1, so the softmax can never be sure"),
    ("A softplus", "Softplus()", "makes every logit positive"),
    ("A leaky ReLU", "LeakyReLU()", _SOFT),
    ("A leaky ReLU (0.1)", "LeakyReLU(0.1)", _SOFT),
    ("A PReLU", "PReLU()", _SOFT),
    ("An ELU", "ELU()", _SOFT),
    ("A GELU", "GELU()", _SOFT),
    ("A SiLU", "SiLU()", _SOFT),
)
_LINEAR = "        nn.Flatten(),\n        nn.Linear(36 * num_classes, num_classes),\n"

SLIPS["nin.5"] = {
    f"{_STILL}.": (_POOL, _RELU + _POOL),
    f"{_STILL}, and the one before the last convolution is gone. The one in the middle does no "
    "harm.": (*_AFTER_1X1, _POOL, _RELU + _POOL),
    f"{_STILL}, and the one after the 3×3 convolution is gone. That one does no harm.": (
        *_AFTER_3X3,
        _POOL,
        _RELU + _POOL,
    ),
    f"{_STILL}; the two before it did no harm.": (*_AFTER_3X3, *_AFTER_1X1, _POOL, _RELU + _POOL),
    "All three ReLUs of the last block are gone. Then its three layers are one linear layer; only "
    "the ReLU on the class maps does harm.": (*_AFTER_3X3, *_AFTER_1X1),
    "The ReLU on the class maps is gone, but so is the one before the last convolution, which did "
    "no harm.": _AFTER_1X1,
    "The ReLU on the class maps is gone, but so is the one after the 3×3 convolution, which did no "
    "harm.": _AFTER_3X3,
    **{
        f"{name} on the class maps {what}. {_NEEDLESS}": (_POOL, f"        nn.{layer},\n{_POOL}")
        for name, layer, what in _ACTIVATIONS
    },
    **{
        f"{name} takes the place of all three ReLUs of the last block. Two of them did no harm. "
        f"On the class maps it {what}. {_NEEDLESS}": (
            *(_RELU, f"        nn.{layer},\n"),
            *(_POOL, f"        nn.{layer},\n{_POOL}"),
        )
        for name, layer, what in _ACTIVATIONS
    },
    "There is a batch norm before the ReLU on the class maps. That helps, as you will see, but the "
    "cause, the ReLU, is still there.": (
        _POOL,
        f"        nn.BatchNorm2d(num_classes),\n{_RELU}{_POOL}",
    ),
    "The ReLU has moved after the pooling. There it still cuts off negative logits.": (
        _FLATTEN,
        _FLATTEN + _RELU,
    ),
    "There is a softmax on the class maps. The loss function contains it; the network gives "
    "logits. Nothing needs to be there.": (_POOL, f"        nn.Softmax(1),\n{_POOL}"),
    "There is a softmax at the end. The loss function contains it; the network gives logits.": (
        _FLATTEN,
        f"{_FLATTEN}        nn.Softmax(1),\n",
    ),
    "The pooling takes the maximum now. The average was right.": (
        _POOL,
        _POOL.replace("Avg", "Max"),
    ),
    f"{_STILL}, and the pooling takes the maximum now. That was no part of the illness.": (
        _POOL,
        _RELU + _POOL.replace("Avg", "Max"),
    ),
    "The last 1×1 convolution is gone together with its ReLU. The layer was sound.": (
        _HEAD,
        _HEAD[: _HEAD.rindex(_RELU)],
    ),
    "The last 1×1 convolution is gone, and a ReLU is still on the class maps.": (
        _HEAD,
        _HEAD[: _HEAD.rindex(_RELU)] + _RELU,
    ),
    "Both 1×1 convolutions of the head are gone; only a ReLU was to go.": (
        _HEAD,
        _HEAD[: _HEAD.index(_RELU)],
    ),
    "The three convolutions of the head have become one 1×1 convolution; only a ReLU was to go.": (
        _HEAD,
        "        nn.Conv2d(32, num_classes, 1),\n",
    ),
    "The 3×3 convolution of the head is 1×1 now; only a ReLU was to go.": (
        "nn.Conv2d(32, num_classes, 3, padding=1)",
        "nn.Conv2d(32, num_classes, 1)",
    ),
    "`nn.Flatten()` is gone: two axes of length 1 are left, and the shape of logits is "
    "(N, num_classes).": (_FLATTEN, ""),
    "The pooling is gone: `nn.Flatten()` alone makes one logit of each position.": (_POOL, ""),
    **{
        f"A linear layer takes the place of the average pooling{also}. The pooling was sound.": (
            *edits,
            *(_POOL + _FLATTEN, _LINEAR),
        )
        for also, edits in (
            ("", ()),
            (f". {_STILL}", (_POOL, _RELU + _POOL)),
            (" and of the last 1×1 convolution", (_HEAD, _HEAD[: _HEAD.rindex(_RELU)])),
            (
                " and of the last 1×1 convolution, and its ReLU is still there",
                (_HEAD, _HEAD[: _HEAD.rindex(_RELU)] + _RELU),
            ),
        )
    },
    "There is a linear layer after the pooling now, and the ReLU on the class maps is still there: "
    "what it cuts off is lost before the new layer sees it.": (
        _POOL,
        _RELU + _POOL,
        _FLATTEN,
        f"{_FLATTEN}        nn.Linear(num_classes, num_classes),\n",
    ),
    "The ReLU on the class maps is gone, but there is a linear layer after the pooling now. It was "
    "not needed: a map's average is its logit.": (
        _FLATTEN,
        f"{_FLATTEN}        nn.Linear(num_classes, num_classes),\n",
    ),
}


def _initialisation(network: nn.Module) -> str:
    """The initialisation that all weights of its convolutions could come from, or ""."""
    layers = [m.weight.detach() for m in network.modules() if isinstance(m, nn.Conv2d)]
    layers = [weight for weight in layers if weight.numel() >= 250]  # enough to know the spread
    for name, fans in (("Xavier", (1, 1)), ("He", (1, 0))):
        wanted = []
        for weight in layers:
            pixels = weight[0, 0].numel()
            weighed = fans[0] * weight.shape[1] + fans[1] * weight.shape[0]
            wanted.append((2 / (pixels * weighed)) ** 0.5)
        if all(0.85 < weight.std() / std < 1.15 for weight, std in zip(layers, wanted)):
            return name
    return ""


def _start(network: nn.Module) -> str:
    """What is said about weights that do not start as torch starts them, or ""."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel():
            # Torch draws weights and biases evenly between -1 and 1 over the root of the inputs.
            root = layer.weight[0].numel() ** 0.5
            weights, biases = layer.weight.detach() * root, layer.bias
            biases = torch.zeros(1) if biases is None else biases.detach() * root
            if weights.abs().max() > 1.001 or not 0.4 < weights.std() < 0.75:
                size = "larger" if weights.std() > 0.577 else "smaller" if weights.any() else "zero"
                named = _initialisation(network) or "another initialisation"
                return f"The initial weights are {size} now (as after {named}, `nn.init`)."
            same = len(biases) > 1 and bool((biases == biases[0]).all())
            if biases.abs().max() > 1.001 or same:
                return "The initial biases are other ones now (`nn.init`, `fill_`)."
    return ""


@lru_cache(maxsize=1)
def _built(reference: Callable[[], nn.Module]) -> nn.Module:
    """What the reference makes: once, and whoever comes first, the random numbers after it are
    the same."""
    with torch.random.fork_rng(devices=[]):
        return reference()


def nin_5(answer, reference):
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"repaired_nin is {describe(answer)}; it should stay a function that builds one, "
            "because the chapter builds several."
        )
    network = make(answer)
    start = _start(network)
    try:
        same_outputs(network, _built(reference), (2, 1, 28, 28))
    except Unexplained as error:
        raise (type(error)(f"{start} {error}") if start else error) from None
    if start:
        raise Wrong(
            f"{start} The ReLU on the class maps is gone, which is the whole repair: change "
            "nothing else."
        )
    _expect_no_ceiling(network, 1e5 * torch.randn(2, 1, 28, 28))
    seven = call(make(answer, num_classes=7), torch.randn(2, 1, 28, 28))
    if tuple(seven.shape) != (2, 7):
        fixed = "A 10 is written where `num_classes` belongs. " if seven.shape[-1] == 10 else ""
        raise Wrong(
            f"{fixed}With num_classes=7 the network gives {describe(seven)}; 7 logits are expected."
        )
    return "No logit is dead any more, and the rest of the network is as it was."


# --- nin.6: batch norm by hand --------------------------------------------------------------------


_STATISTICS = "mean = x.mean(dim=(0, 2, 3))", "var = x.var(dim=(0, 2, 3), correction=0)"
_MOVE_MEAN = "running_mean = (1 - momentum) * running_mean + momentum * mean"
_MOVE_VAR = "running_var = (1 - momentum) * running_var + momentum * unbiased"
_Y, _ROOT = "y = weight * (x - mean) / torch.sqrt(var + eps) + bias", "torch.sqrt(var + eps)"
_TRAINING = "    if training:\n"
_USE = "    mean, var, weight, bias = ("
_RESULT = "return y, running_mean, running_var"
_MOVED = "        running_mean = (1"


def _over(dims: tuple[int, ...]) -> tuple[str, str]:
    mean, var = f"x.mean({dims}, keepdim=True)", f"x.var({dims}, correction=0, keepdim=True)"
    return _Y, f"mean, var = ({mean}, {var}) if training else (mean, var)\n    {_Y}"


SLIPS["nin.6"] = {
    "The statistics are taken over the images only, one for each position; they should be taken "
    "over dimensions 0, 2 and 3.": _over((0,)),
    "Each image is normalised by its own statistics; they should be taken over all images of the "
    "batch, dimensions 0, 2 and 3.": _over((2, 3)),
    "Each image is normalised over its channels too (that is layer norm); the statistics should "
    "be per channel, over dimensions 0, 2 and 3.": _over((1, 2, 3)),
    "All channels share one mean and one variance; each channel has its own, over dimensions 0, 2 "
    "and 3.": _over((0, 1, 2, 3)),
    "The normalisation divides by a variance with divisor n - 1 (`correction=1`, the default of "
    "`x.var`). That one is for the running variance only.": ("correction=0", "correction=1"),
    "The running variance takes the batch's variance with divisor n; torch gives it the one with "
    "divisor n - 1 (`correction=1`).": ("momentum * unbiased", "momentum * var"),
    "The two variances have changed places: divisor n (`correction=0`) normalises, divisor n - 1 "
    "(`correction=1`) goes into the running variance.": (
        "correction=0",
        "correction=2",
        "correction=1",
        "correction=0",
        "correction=2",
        "correction=1",
    ),
    "The division is by the variance; it should be by its square root.": (_ROOT, "(var + eps)"),
    "The variance is the mean of the squares of `x`; the mean is to be subtracted before.": (
        _STATISTICS[1],
        "var = x.square().mean(dim=(0, 2, 3))",
    ),
    "`eps` is missing in evaluation; it belongs to both modes.": (
        _ROOT,
        "torch.sqrt(var + (eps if training else 0))",
    ),
    "The running variance takes the batch's mean; it should take its variance.": (
        "momentum * unbiased",
        "momentum * mean",
    ),
    "`eps` is missing: a channel without variance is divided by zero.": (_ROOT, "torch.sqrt(var)"),
    "`eps` is added to the root; it should be added to the variance, under the root.": (
        _ROOT,
        "(torch.sqrt(var) + eps)",
    ),
    "The argument `eps` is not used: it is always 0.00001.": (_ROOT, "torch.sqrt(var + 1e-5)"),
    "The mean is not subtracted.": ("(x - mean)", "x"),
    "The mean is subtracted, but nothing is divided.": (f" / {_ROOT}", ""),
    "It multiplies by the root of the variance, where it should divide.": ("/ torch", "* torch"),
    "In training the running statistics are used; there those of the batch count.": (
        _USE,
        "    mean, var = before\n" + _USE,
        _TRAINING,
        "    before = mean, var\n" + _TRAINING,
    ),
    "In training the running statistics are used, after they have moved; there those of the batch "
    "count.": (_USE, "    mean, var = running_mean, running_var\n" + _USE),
    "In evaluation the batch's statistics are used; there the running ones count.": (
        _USE,
        f"    {_STATISTICS[0]}\n    {_STATISTICS[1]}\n{_USE}",
    ),
    "The running values do not move; in training they should.": (
        _MOVE_MEAN,
        "pass",
        _MOVE_VAR,
        "pass",
    ),
    "The running mean does not move; in training it should.": (_MOVE_MEAN, "pass"),
    "The running variance does not move; in training it should.": (_MOVE_VAR, "pass"),
    "The running values move in evaluation too; they should stay as they are.": (
        _TRAINING,
        "    evaluated = mean, var\n    if True:\n",
        _USE,
        "    mean, var = (mean, var) if training else evaluated\n" + _USE,
    ),
    "The running values move in evaluation too, and the moved ones are used; they should stay as "
    "they are.": (
        _TRAINING,
        "    if True:\n",
        _USE,
        "    mean, var = (mean, var) if training else (running_mean, running_var)\n" + _USE,
    ),
    "The running values move in evaluation and stay in training; it should be the other way "
    "round.": (
        _TRAINING,
        "    was = running_mean, running_var\n    if True:\n",
        _USE,
        "    mean, var = (mean, var) if training else was\n"
        "    running_mean, running_var = was if training else (running_mean, running_var)\n" + _USE,
    ),
    "`training` is not used: in evaluation, too, the batch's statistics are used, and the running "
    "values move.": (_TRAINING, "    if True:\n"),
    "`training` is the wrong way round: in training the running values are used, in evaluation "
    "those of the batch.": (_TRAINING, "    if not training:\n"),
    "`momentum` is the wrong way round: it is the share of the batch in the new running values, "
    "and 1 - momentum that of the old ones.": (
        _TRAINING,
        f"    momentum = 1 - momentum\n{_TRAINING}",
    ),
    "`momentum` is the wrong way round in the running mean: it is the share of the batch.": (
        _MOVE_MEAN,
        "running_mean = momentum * running_mean + (1 - momentum) * mean",
    ),
    "`momentum` is the wrong way round in the running variance: it is the share of the batch.": (
        _MOVE_VAR,
        "running_var = momentum * running_var + (1 - momentum) * unbiased",
    ),
    "The running values are those of this batch alone; they should be a mixture of the old ones "
    "and the batch's, in which `momentum` is the share of the batch.": (
        _TRAINING,
        f"    momentum = 1\n{_TRAINING}",
    ),
    "The argument `momentum` is not used: it is always 0.1.": (
        _TRAINING,
        f"    momentum = 0.1\n{_TRAINING}",
    ),
    "The running values are added to the batch's share whole; they should be multiplied by "
    "1 - momentum.": ("(1 - momentum) * running", "running"),
    "The batch's values are added whole; they should be multiplied by `momentum`.": (
        "+ momentum * mean",
        "+ mean",
        "+ momentum * unbiased",
        "+ unbiased",
    ),
    "The running variance takes a standard deviation; it should take the variance.": (
        "* unbiased",
        "* unbiased.sqrt()",
    ),
    **{
        f"In n / (n - 1) yours has n = {what}; it should be the number of values of a channel, "
        "N · H · W.": (
            "momentum * unbiased",
            f"momentum * var * {n} / ({n} - 1)",
        )
        for n, what in (
            ("len(x)", "N, the number of images"),
            ("x[0, 0].numel()", "H · W, the positions of one image"),
            ("x[0].numel()", "C · H · W, the values of one image"),
            ("x.numel()", "N · C · H · W, the values of all channels"),
            ("x.shape[1]", "C, the number of channels"),
        )
    },
    "The factor n / (n - 1) is turned around: yours is (n - 1) / n.": (
        "momentum * unbiased",
        "momentum * var * (1 - x.shape[1] / x.numel())",
    ),
    "The running mean and the running variance take the values of each other.": (
        "* mean\n",
        "* unbiased\n",
        _MOVE_VAR,
        _MOVE_VAR.replace("unbiased", "mean"),
    ),
    "`weight` and `bias` are not used.": ("weight * (x", "(x", ") + bias", ")"),
    "`weight` is not used.": ("weight * (x", "(x"),
    "`bias` is not used.": (") + bias", ")"),
    "`weight` and `bias` have changed places: multiply by `weight`, then add `bias`.": (
        "y = weight *",
        "y = bias *",
        ") + bias",
        ") + weight",
    ),
    "`bias` is added first and multiplied by `weight` too: multiply first, then add.": (
        _Y,
        "y = weight * ((x - mean) / torch.sqrt(var + eps) + bias)",
    ),
    "`bias` is subtracted; it should be added.": (") + bias", ") - bias"),
    "Only the normalised tensor comes back; the task asks for it and the two running values.": (
        _RESULT,
        "return y",
    ),
    "The running mean and the running variance come back in the wrong order.": (
        _RESULT,
        "return y, running_var, running_mean",
    ),
    "The result comes back last; it should be the first of the three.": (
        _RESULT,
        "return running_mean, running_var, y",
    ),
    "Mean and variance of this batch come back; the running values are asked for.": (
        _RESULT,
        "return y, mean.flatten(), var.flatten()",
    ),
}


class _Axes(TorchFunctionMode):
    """Over which axes of an (N, C, H, W) tensor means and variances are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name in ("mean", "var", "std", "var_mean", "std_mean") and args[0].ndim == 4:
            dims = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
            dims = range(4) if dims is None or isinstance(dims, bool) else dims
            dims = (dims,) if isinstance(dims, int) else dims
            self.seen.add(tuple(sorted(dim % 4 for dim in dims)))
        return function(*args, **kwargs)


def _explain_batch_norm(answer: Callable, case: tuple, mine: Any) -> str:
    axes = _Axes()
    try:
        with axes:
            answer(*case)
    except Exception:  # it is known to fail; the axes are what is asked for
        pass
    if axes.seen and (0, 2, 3) not in axes.seen:
        seen = " and ".join(f"dim={dims}" for dims in sorted(axes.seen))
        text = (
            f"Your statistics are taken over {seen}; `dim=(0, 2, 3)` leaves one number for each "
            "channel."
        )
        if isinstance(mine, Exception):  # many mistakes lead to one exception
            raise Wrong(f"{text} {mine}") from None
        return text
    if isinstance(mine, Exception) and "must match the size of tensor" in str(mine):
        raise Wrong(
            "A tensor of shape (C,) beside one of (N, C, H, W) is laid along the width; "
            f"`reshape(1, -1, 1, 1)` lays it along the channels. {mine}"
        ) from None
    return ""


def nin_6(answer):
    def case(n, c, h, w, training, scale=1.0, **extra):
        x = scale * torch.randn(n, c, h, w) + torch.randn(c, 1, 1)
        vectors = torch.randn(c), torch.randn(c), torch.randn(c), torch.rand(c) + 0.5
        return (x, *vectors, training, *extra.values())

    def by_torch(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
        mean, var = running_mean.detach().clone(), running_var.detach().clone()
        return F.batch_norm(x, mean, var, weight, bias, training, momentum, eps), mean, var

    cases = (
        case(3, 4, 2, 3, True),
        case(3, 4, 2, 3, False),
        case(4, 3, 3, 2, True, scale=0.003),
        case(2, 5, 2, 2, True, momentum=0.3, eps=0.1),
        case(2, 5, 2, 2, False, momentum=0.3, eps=0.1),
    )
    same_results(
        answer,
        by_torch,
        *cases,
        parts=("the result", "the running mean", "the running variance"),
        explain=lambda case, mine, right: _explain_batch_norm(answer, case, mine),
    )

    def batch_norm(*arguments: Any) -> Tensor:
        return answer(*arguments)[0]

    # Through the running values no gradient has to flow: torch lets none through.
    same_results(batch_norm, lambda *case: by_torch(*case)[0], *cases, layer=True)
    return "It agrees with torch's batch norm in both modes."


# --- nin.7: an experiment -------------------------------------------------------------------------

_LIFTS = (0.0, 0.05, 0.1, 0.3)
_SEEDS = range(10)


@cache
@torch.no_grad()
def _class_maps(
    initialisation: str = "xavier",
    layers: tuple[str, ...] | None = ("cccp2",),
    sign: int = 1,
    kept: bool = False,
) -> list[dict[float, Tensor]]:
    """For each seed where the class maps (N, classes, H, W) are above zero, with each bias.

    layers: those of the last block whose bias is filled (None: those of all blocks).
    sign: of the bias. kept: whether it is added to the bias that was drawn. There is one seed more
    than the task's.
    """
    from utils import data, networks

    images, _ = next(iter(data.load(batch_size=64, device="cpu").validation))
    every = []
    for seed in (*_SEEDS, len(_SEEDS)):
        torch.manual_seed(seed)
        network = networks.build(
            "nin_small", batch_norm=False, final_relu=False, initialisation=initialisation
        )
        *before, last = network.eval().features
        given, maps = nn.Sequential(*before)(images), {}
        filled = network.modules() if layers is None else map(last.get_submodule, layers)
        filled = [layer for layer in filled if isinstance(layer, nn.Conv2d)]
        drawn = [layer.bias.clone() for layer in filled]
        for lift in _LIFTS:
            for layer, bias in zip(filled, drawn):
                layer.bias.copy_(kept * bias + sign * lift)
            maps[lift] = (network.features(images) if layers is None else last(given)) > 0
        every.append(maps)
    return every


def _dead(maps: Tensor) -> int:
    """How many classes have no logit above zero, whatever the image."""
    return int((~maps.flatten(2).any(2).any(0)).sum())


@cache
def _dead_channels() -> list[dict[float, int]]:
    """The dead channels that `activation_statistics` lists: of all layers or ReLUs, of the network
    or of its last block."""
    from utils import data, diagnosis, networks

    images, _ = next(iter(data.load(batch_size=64, device="cpu").validation))
    totals = [Counter() for _ in range(4)]
    for seed, lift in itertools.product(_SEEDS, _LIFTS):
        torch.manual_seed(seed)
        network = networks.build(
            "nin_small", batch_norm=False, final_relu=True, initialisation="xavier"
        )
        nn.init.constant_(network.features.mlpconv3.cccp2.bias, lift)
        for row in diagnosis.activation_statistics(network, images):
            relu, last = row.kind == "ReLU", "mlpconv3" in row.name
            for total, counted in zip(totals, (True, relu, last, relu and last)):
                total[lift] += counted * row.dead_channels
    return [dict(total) for total in totals]


def _counts(maps: list[dict[float, Tensor]], count: Callable = _dead) -> list[dict[float, int]]:
    """For each seed the number of dead logits with each bias."""
    return [{lift: count(values) for lift, values in one.items()} for one in maps]


def _total(each: list[dict[float, int]]) -> dict[float, int]:
    return {bias: sum(counts[bias] for counts in each) for bias in _LIFTS}


def _seed_slips(each: list[dict[float, int]], given: dict[float, float]) -> Iterator[str]:
    """Which seeds these counts are of, in a sentence for each slip that gives them."""
    more = "The total over the seeds 0 to 9 is asked for: add the ten counts up (`+=`)."
    for factor, words in (
        (1, f"alone. {more}"),
        (
            len(_SEEDS),
            "ten times. Each of the ten networks needs its own seed: `torch.manual_seed(seed)`.",
        ),
    ):
        several = [{bias: factor * count for bias, count in counts.items()} for counts in each]
        if seeds := [str(seed) for seed, counts in enumerate(several) if counts == given]:
            yield f"These are the counts of seed {' or '.join(seeds)}{',' * (factor > 1)} {words}"
    ranges = [
        f"{first} to {last - 1}, `range({first}, {last})`".replace("range(0, ", "range(")
        for first, last in itertools.combinations(range(len(each) + 1), 2)
        if last - first > 1 and _total(each[first:last]) == given
    ]
    if ranges:
        yield (
            f"These are the counts of the seeds {', or of '.join(ranges)}; those of the ten seeds "
            "0 to 9 are asked for, `range(10)`."
        )


def nin_7(answer):
    expect_keys(answer, _LIFTS)
    given = {}
    for bias in _LIFTS:
        value = plain(answer[bias])
        if isinstance(value, (list, tuple, dict)) and value:
            raise Wrong(
                f"For bias {bias} you have {describe(value)}, with {len(value)} entries; one "
                "number is expected, the total over the seeds 0 to 9. Add up how many logits are "
                "dead, for example with `len`, in all ten networks."
            )
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise Wrong(f"For bias {bias} a number is expected, not {describe(value)}.")
        given[bias] = value

    each = _counts(_class_maps())
    ten = slice(len(_SEEDS))
    right = _total(each[ten])

    def agrees(counts: dict[float, float]) -> bool:
        # One class of a hundred may fall the other way: a GPU rounds differently.
        return all(abs(given[bias] - counts[bias]) <= 1 for bias in _LIFTS)

    def mistaken(count: Callable = _dead, **options: Any) -> dict[float, int]:
        return _total(_counts(_class_maps(**options), count)[ten])

    if agrees(right):
        return "A small positive bias keeps nearly every class alive, at the start."
    yours = f"You have {given}."
    if len(set(given.values())) == 1 and any(given.values()):
        raise Wrong(
            "All four counts are the same, so the bias makes no difference in your experiment. Is "
            "it filled at all, with this bias, after the network is built and before the dead "
            f"logits are counted? {yours}"
        )
    if not any(given.values()):
        raise Wrong(
            "You find no dead logit at all. In the networks of the task there is a ReLU on the "
            "logits (final_relu=True) and no batch norm (batch_norm=False)."
        )
    running = {b: sum(right[a] for a in _LIFTS if a <= b) for b in _LIFTS}
    mistakes: dict[str, Callable[[], dict[float, int]]] = {
        "These are the living logits; count the dead ones.": lambda: {
            bias: len(_SEEDS) * 10 - count for bias, count in right.items()
        },
        "You count single zeros. A logit is dead if it is zero for every image.": lambda: mistaken(
            lambda maps: int((~maps.flatten(2).any(2)).sum())
        ),
        "You count a logit as dead if it is zero for any one image; it is dead if it is zero for "
        "every image.": lambda: mistaken(lambda maps: int((~maps.flatten(2).any(2)).any(0).sum())),
        "You count a logit as dead if its map is zero somewhere; it is dead if the whole map is "
        "zero, for every image.": lambda: mistaken(
            lambda maps: int((~maps.flatten(2).all(2).all(0)).sum())
        ),
        "You add up the numbers of the dead classes; count how many there are, with `len`.": (
            lambda: mistaken(lambda maps: int((~maps.flatten(2).any(2).any(0)).nonzero().sum()))
        ),
        "You look at the first image only; a logit is dead if it is zero for every image.": (
            lambda: mistaken(lambda maps: _dead(maps[:1]))
        ),
        "You count networks with dead logits; count the dead logits in them.": lambda: mistaken(
            lambda maps: int(_dead(maps) > 0)
        ),
        "The count goes on from one bias to the next; begin each with 0.": lambda: running,
        "The order of the biases is turned around.": lambda: dict(
            zip(_LIFTS, reversed(right.values()), strict=True)
        ),
    }
    if any(value % 1 for value in given.values()):
        mistakes["These are averages over the ten networks; the task asks for totals."] = lambda: {
            bias: count / len(_SEEDS) for bias, count in right.items()
        }
        mistakes["These are shares of the hundred logits; count them, from 0 to 100."] = lambda: {
            bias: count / (10 * len(_SEEDS)) for bias, count in right.items()
        }
    other_networks: dict[str, Callable[[], dict[float, int]]] = {
        **{
            'The networks are not those of the task: they need initialisation="xavier", and these '
            f'have "{name}".': lambda name=name: mistaken(initialisation=name)
            for name in ("torch", "he")
        },
        **{
            f"The bias of `{name}` is filled, another layer's; only the last convolution, `cccp2`, "
            "should get it.": lambda name=name: mistaken(layers=(name,))
            for name in ("cccp1", "conv")
        },
        "Every layer got the bias; only the last convolution should.": lambda: mistaken(
            layers=None
        ),
        "The bias is added to the one that torch has drawn; fill it, so that the drawn one is "
        "gone: `nn.init.constant_(layer.bias, b)`.": lambda: mistaken(kept=True),
        "The bias is added to those of all layers; fill that of the last convolution only.": (
            lambda: mistaken(layers=None, kept=True)
        ),
        "The bias has the wrong sign: it should be positive.": lambda: mistaken(sign=-1),
        "Every layer of the last block got the bias; only the last convolution should.": (
            lambda: mistaken(layers=("conv", "cccp1", "cccp2"))
        ),
    }
    fits = list(_seed_slips(each, given))
    found: dict[str, dict[float, int]] = {}
    for group in (mistakes, other_networks):  # building networks takes time
        if not fits or group is mistakes:
            made = {words: counts() for words, counts in group.items()}
            fits += [words for words, counts in made.items() if close(counts, given, 1e-9)]
            found |= made
    fits = fits or [words for words, counts in found.items() if agrees(counts)]
    if fits:
        others = "".join(f" (Or, which is the same here: {words})" for words in fits[1:])
        raise Wrong(f"{fits[0]}{others} {yours}")
    if max(given.values()) > 100 and given in _dead_channels():
        raise Wrong(
            "You count the dead channels of other layers too; count only the dead logits, with "
            f"`diagnosis.dead_logits`. {yours}"
        )
    if any(not 0 <= value <= 100 or value % 1 for value in given.values()):
        raise Wrong(
            "Ten networks with ten logits each have from 0 to 100 dead logits, a whole number. "
            f"{yours}"
        )
    if any(map(agrees, each)):
        raise Wrong(
            "So few are dead in one network, not in ten: the total over the seeds 0 to 9 is asked "
            f"for. {yours}"
        )
    seed = "`torch.manual_seed(seed)` has to be called right before each network is built"
    if all(abs(given[bias] - right[bias]) <= 4 + 0.4 * right[bias] for bias in _LIFTS):
        raise Wrong(
            "These counts are near the right ones, as if they came from ten other networks: "
            f"{seed}, with the seeds 0 to 9 for every bias. {yours}"
        )
    bias = next(bias for bias in _LIFTS if abs(given[bias] - right[bias]) > 1)
    more = "many" if given[bias] > right[bias] else "few"
    raise Wrong(
        f"For bias {bias} your count of {given[bias]:g} is too {more}, and no common slip leads "
        f"to your four numbers. If you guessed, run the experiment; if you ran it, compare it with "
        f"the task line by line: {seed}, only the bias of the last convolution is filled, and "
        "`diagnosis.dead_logits(network, images)` counts."
    )
