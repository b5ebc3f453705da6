"""Checks of chapter 04: Network in Network."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from exercises.compare import (
    Wrong,
    call,
    close,
    describe,
    expect_keys,
    expect_numbers,
    layers,
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
    "The 3 input channels are already part of the first layer's weights; they are counted once "
    "more, for all layers.": f"3 * ({_WEIGHTS})",
}
_POSITIONS = {  # in place of 32 * 32
    "There are 32 · 32 positions, not 32.": "32",
    "There are 32 · 32 = 1,024 positions, not 32 + 32 or 32 · 2.": "2 * 32",
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
        "The biases are in it: they are added, not multiplied; MACs leave them out.",
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
    for words, text in _WEIGHT_SLIPS.items():
        yield words, (f"weights = {_WEIGHTS}", f"weights = {text}")
        yield f"{words} (The parameters are right.)", ('"macs": weights', f'"macs": ({text})')
    for words, text in _POSITIONS.items():
        yield words, ("* 32 * 32", f"* {text}")


SLIPS["nin.1"] = dict(_nin_1_slips())


def nin_1(answer):
    first, rest = 5 * 5 * 3 * 192, 192 * 160 + 160 * 96
    weights, biases, positions = first + rest, 192 + 160 + 96, 32 * 32
    expect_numbers(
        answer,
        {"parameters": weights + biases, "macs": weights * positions},
        {"macs": {weights + biases: "These are the parameters. A weight has 32 · 32 positions."}},
        macs=["macs"],
    )
    return f"{rest / weights:.0%} of the weights, and of the MACs, are in the 1×1 layers."


# --- nin.2: the mlpconv ---------------------------------------------------------------------------


def _block(
    in_channels: int,
    widths: tuple[int, ...],
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    *,
    kernels: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
    paddings: tuple[int, ...] | None = None,
    relus: tuple[bool, ...] = (True, True, True),
    bias: tuple[bool, ...] = (True, True, True),
    activation: type[nn.Module] = nn.ReLU,
    norm: str = "",
    before: nn.Module | None = None,
    after: nn.Module | None = None,
) -> nn.Sequential:
    """An mlpconv, with the mistakes that the options describe."""
    count = len(widths)
    kernels = (*(kernels or (kernel_size, 1, 1)), 1)
    strides = (*(strides or (stride, 1, 1)), 1)
    paddings = (*(paddings or (padding, 0, 0)), 0)
    parts = [] if before is None else [before]
    for n, (i, o) in enumerate(zip((in_channels, *widths), widths, strict=False)):
        parts.append(nn.Conv2d(i, o, kernels[n], strides[n], paddings[n], bias=bias[min(n, 2)]))
        if norm == "before":
            parts.append(nn.BatchNorm2d(o))
        if relus[2 if n == count - 1 else min(n, 1)]:
            parts.append(activation())
        if norm == "after":
            parts.append(nn.BatchNorm2d(o))
    return nn.Sequential(*parts, *([] if after is None else [after]))


def _mlpconv_mistakes(widths: tuple[int, ...], k: int, s: int, p: int) -> dict[str, dict]:
    """What can be wrong with an mlpconv: the message, and the options of `_block` that do it."""
    a, b, c = widths
    return {
        "The ReLU at the end is missing: the last 1×1 layer has one too.": {
            "relus": (True, True, False)
        },
        "The ReLU between the two 1×1 layers is missing. Without it they are one linear layer.": {
            "relus": (True, False, True)
        },
        "The ReLU between the first convolution and the first 1×1 layer is missing. Without it "
        "the two are one linear convolution.": {"relus": (False, True, True)},
        "Only the first convolution is followed by a ReLU; both 1×1 layers need one too.": {
            "relus": (True, False, False)
        },
        "There is a ReLU at the end only. Without one after each layer the whole block is one "
        "linear convolution with one ReLU.": {"relus": (False, False, True)},
        "There is one ReLU only, between the two 1×1 layers; every layer is followed by one.": {
            "relus": (False, True, False)
        },
        "There is no ReLU at all, so the three layers together are one linear convolution.": {
            "relus": (False, False, False)
        },
        "There is a ReLU too many: one is before the first convolution and cuts off the "
        "negative values of the input.": {"before": nn.ReLU()},
        f"The second and the third layer are {k}×{k}; they should be 1×1.": {
            "kernels": (k, k, k),
            "paddings": (p, 0, 0),
        },
        f"The second and the third layer are {k}×{k}, with padding; they should be 1×1.": {
            "kernels": (k, k, k),
            "paddings": (p, k // 2, k // 2),
        },
        "The second and the third layer are 3×3; they should be 1×1.": {"kernels": (k, 3, 3)},
        "The second and the third layer are 3×3, with padding 1; they should be 1×1.": {
            "kernels": (k, 3, 3),
            "paddings": (p, 1, 1),
        },
        "The second layer is 3×3; it should be 1×1.": {
            "kernels": (k, 3, 1),
            "paddings": (p, 1, 0),
        },
        "The third layer is 3×3; it should be 1×1.": {
            "kernels": (k, 1, 3),
            "paddings": (p, 0, 1),
        },
        f"The order of the layers is turned around: the {k}×{k} convolution comes last; it should "
        "come first.": {
            "kernels": (1, 1, k),
            "strides": (1, 1, s),
            "paddings": (0, 0, p),
        },
        "The first layer is 1×1 too: `kernel_size` is not used.": {"kernels": (1, 1, 1)},
        "All three layers take the stride. It belongs to the first convolution alone: a 1×1 layer "
        "with a stride skips positions.": {"strides": (s, s, s)},
        "Two layers take the stride. It belongs to the first convolution alone: a 1×1 layer with "
        "a stride skips positions.": {"strides": (s, s, 1)},
        "The stride is not used: the first convolution moves by 1.": {"strides": (1, 1, 1)},
        "The 1×1 layers take the padding too. It puts a frame of zeros around their maps; a 1×1 "
        "layer keeps height and width without padding.": {"paddings": (p, p, p)},
        "The padding is at a 1×1 layer; it belongs to the first convolution.": {
            "paddings": (0, p, 0)
        },
        "The padding is at the last 1×1 layer; it belongs to the first convolution.": {
            "paddings": (0, 0, p)
        },
        "The padding is not used: the first convolution has none.": {"paddings": (0, 0, 0)},
        f"The first convolution always pads by {k // 2}, half its kernel size; it should pad by "
        "`padding`.": {"paddings": (k // 2, 0, 0)},
        "Stride and padding have changed places. The order in nn.Conv2d is in_channels, "
        "out_channels, kernel_size, stride, padding.": {
            "strides": (p, 1, 1),
            "paddings": (s, 0, 0),
        },
        "The biases are missing in all three layers.": {"bias": (False, False, False)},
        "The biases are missing in the 1×1 layers.": {"bias": (True, False, False)},
        "The bias is missing in the first convolution.": {"bias": (False, True, True)},
        "The bias is missing in the second layer.": {"bias": (True, False, True)},
        "The bias is missing in the last layer.": {"bias": (True, True, False)},
        "There is only one 1×1 layer; the block has two.": {"widths": (a, c)},
        "There is only one 1×1 layer, and the last of the three widths is not used.": {
            "widths": (a, b)
        },
        "The 1×1 layers are missing: this is an ordinary convolution.": {"widths": (a,)},
        "There are three 1×1 layers; the block has two.": {"widths": (a, b, c, c)},
        "The widths are in the wrong order: the first of them belongs to the first layer.": {
            "widths": (c, b, a)
        },
        "The last two widths have changed places.": {"widths": (a, c, b)},
        "All three layers have as many channels as the first; each has its own width.": {
            "widths": (a, a, a)
        },
        "All three layers have as many channels as the last; each has its own width.": {
            "widths": (c, c, c)
        },
        "There is a batch norm after each convolution. It comes later in the chapter; the paper's "
        "block has none.": {"norm": "before"},
        "There is a batch norm after each convolution (and the bias is left out). It comes later "
        "in the chapter; the paper's block has none.": {
            "norm": "before",
            "bias": (False, False, False),
        },
        "There is a batch norm after each ReLU; the paper's block has none.": {"norm": "after"},
        "There is a dropout at the end; the paper puts dropout between blocks, not into them.": {
            "after": nn.Dropout()
        },
        "There is a max pooling at the end; pooling is between the blocks, not in them.": {
            "after": nn.MaxPool2d(2)
        },
        "There is a max pooling at the end (3×3, stride 2); pooling is between the blocks, "
        "not in them.": {"after": nn.MaxPool2d(3, 2)},
        "The block ends with global average pooling; that belongs after the last block only.": {
            "after": nn.AdaptiveAvgPool2d(1)
        },
        "The activation is a sigmoid; it should be a ReLU.": {"activation": nn.Sigmoid},
        "The activation is a tanh; it should be a ReLU.": {"activation": nn.Tanh},
        "The activation is a leaky ReLU; it should be a ReLU.": {"activation": nn.LeakyReLU},
        "The activation is a GELU; it should be a ReLU.": {"activation": nn.GELU},
        "The activation is a SiLU; it should be a ReLU.": {"activation": nn.SiLU},
        "The activation is an ELU; it should be a ReLU.": {"activation": nn.ELU},
    }


def _mistaken(in_channels: int, widths: tuple, k: int, s: int, p: int) -> dict:
    """Message to builder, for every mistake and then for every two that go together."""

    def builder(options: dict):
        rest = {name: value for name, value in options.items() if name != "widths"}
        return lambda: _block(in_channels, options.get("widths", widths), k, s, p, **rest)

    single = _mlpconv_mistakes(widths, k, s, p)
    builders = {message: builder(options) for message, options in single.items()}
    pairable = {"relus", "kernels", "strides", "paddings", "bias"}
    common = {m: options for m, options in single.items() if options.keys() <= pairable}
    return builders | {m: builder(options) for m, options in _pairs(common).items()}


def _pairs(mistakes: dict[str, dict]) -> dict[str, dict]:
    """Every two mistakes that can be made together: messages and options joined."""
    return {
        f"Two things are wrong. (1) {one} (2) {two}": first | second
        for (one, first), (two, second) in combinations(mistakes.items(), 2)
        if not first.keys() & second.keys()
    }


_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)


def _norms(module: nn.Module) -> str:
    """The normalising layers of a module in words, such as `2 layers of BatchNorm2d`, or ""."""
    found = [type(m).__name__ for m in module.modules() if isinstance(m, _NORMS)]
    kinds = {kind: found.count(kind) for kind in found}
    return " and ".join(f"{n} layer{'s'[: n > 1]} of {kind}" for kind, n in kinds.items())


def _explain_channels(block: nn.Module, in_channels: int, what: str) -> None:
    """Raises `Wrong` if a layer does not take what the layer before it gives."""
    given, giver = in_channels, "the images have"
    for number, layer in enumerate(m for m in block.modules() if isinstance(m, nn.Conv2d)):
        name = ("first", "second", "third")[number] if number < 3 else "next"
        if layer.in_channels not in (given, 0):  # 0: a lazy layer before its first call
            raise Wrong(
                f"The {name} convolution of {what} takes {layer.in_channels} channels, but "
                f"{giver} {given}. It consists of {layers(block)}."
            )
        given, giver = layer.out_channels, f"the {name} one gives"


def nin_2(answer):
    cases = [  # in_channels, widths, kernel_size, stride, padding; shape of the images
        ((3, (8, 6, 4), 5, 2, 1), (2, 3, 26, 23)),
        ((2, (4, 7, 5), 3), (2, 2, 7, 6)),  # stride and padding left at their defaults
        ((4, (5, 7, 6), 7, 3, 2), (2, 4, 17, 14)),
    ]
    for arguments, shape in cases:
        block = make(answer, *arguments)
        in_channels, widths, k, s, p = (*arguments, 1, 0)[:5]
        what = f"mlpconv{arguments}"
        _expect_layers(block, what)
        try:
            call(block.train(), torch.randn(shape))
        except Wrong:
            _explain_channels(block, in_channels, what)
            raise
        right = _block(in_channels, widths, k, s, p)
        mistakes = _mistaken(in_channels, widths, k, s, p)
        try:
            same_outputs(block, right, shape, mistakes=mistakes)
        except Wrong as error:
            if "batch norm" not in str(error) and (norms := _norms(block)):
                error = (
                    f"There is something in it that the paper's block does not have: {norms}. "
                    "Its parts are three convolutions and three ReLUs. Your module consists of "
                    f"{layers(block)}."
                )
            raise Wrong(f"{what}: {error}") from None
        _expect_cost(block, right, shape, what)
        with torch.no_grad():
            largest = block.eval()(1000 * torch.randn(shape)).max().item()
        if 1e-6 < largest <= 6:
            raise Wrong(
                f"{what}: no output is above {largest:.3g}, however large the input: the "
                "activation has a ceiling (ReLU6 has one at 6). A ReLU has none."
            )
    return "It computes what the paper's block computes, gradients included."


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
        f"{what} gives the right values, but it needs {mine:,} MACs for an image of "
        f"{shape[2]}×{shape[3]}, where {needed:,} are enough. {cause} It consists of "
        f"{layers(block)}."
    )


def _expect_layers(block: nn.Module, what: str) -> None:
    lazy = any(isinstance(p, nn.UninitializedParameter) for p in block.parameters())
    if not lazy and not list(block.parameters()):
        raise Wrong(
            f"{what} has no parameters that torch can see. Layers kept in a plain Python list "
            "are invisible to it: put them into nn.Sequential or nn.ModuleList."
        )


# --- nin.3: the same with nn.Linear ---------------------------------------------------------------


def _by_rows(images: Tensor, linear: nn.Linear) -> Tensor:
    """What a reshape makes of the channels: rows of the right length with the wrong numbers."""
    n, c, h, w = images.shape
    return linear(images.reshape(n, h, w, c))


def _only_reshaped_back(images: Tensor, linear: nn.Linear) -> Tensor:
    n, _, h, w = images.shape
    return linear(images.permute(0, 2, 3, 1)).reshape(n, -1, h, w)


def nin_3(answer):
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    if any("convolution" in name for name in _operations(answer, 2)):
        raise Wrong(
            "There is a convolution in it, which the task forbids. Do it with `linear` itself: "
            "bring the channels to the last axis, apply `linear`, and bring them back."
        )

    def right(maps: Tensor, linear: nn.Linear) -> Tensor:
        return F.conv2d(maps, linear.weight[:, :, None, None], linear.bias)

    by_rows = (
        "it only cuts the numbers into rows of another length, so the numbers are scrambled: one "
        "row holds neighbouring pixels of one map"
    )
    same_results(
        answer,
        right,
        (torch.randn(2, 6, 4, 3), nn.Linear(6, 5)),
        (torch.randn(3, 4, 5, 5), nn.Linear(4, 4)),
        (torch.randn(1, 3, 1, 7), nn.Linear(3, 8)),
        # Channels, height and width alike: here `linear` runs on any of the three.
        (torch.randn(2, 4, 4, 4), nn.Linear(4, 4)),
        mistakes={
            f"`reshape` does not move the channels to the end: {by_rows}. Use permute.": (
                lambda maps, linear: _by_rows(maps, linear).reshape(len(maps), -1, *maps.shape[2:])
            ),
            f"The way back is right, but not the way in. `reshape` does not move the channels to "
            f"the end: {by_rows}. Use permute for it too.": (
                lambda maps, linear: _by_rows(maps, linear).permute(0, 3, 1, 2)
            ),
            f"`reshape` does not move the channels to the end: {by_rows}. Use permute, and move "
            "the channels back to axis 1 after `linear`.": _by_rows,
            "The channels are still on the last axis: the result should be (N, C, H, W). Move "
            "them back to axis 1.": lambda maps, linear: linear(maps.permute(0, 2, 3, 1)),
            "The way back is a reshape, which does not move the channels. Use permute for it "
            "too.": _only_reshaped_back,
            "There is one row for each pixel, as it comes out of `linear`; the result should be "
            "(N, C, H, W).": lambda maps, linear: linear(maps.movedim(1, -1).flatten(0, 2)),
        }
        | {
            f"`permute(0, 2, 3, 1)` is not undone by `permute{order}`: axis {order[1]} comes to "
            "place 1, and the channels are axis 3.": (
                lambda maps, linear, order=order: linear(maps.permute(0, 2, 3, 1)).permute(order)
            )
            for order in ((0, 2, 3, 1), (0, 1, 3, 2), (0, 2, 1, 3))
        }
        | {
            "Height and width have changed places.": lambda maps, linear: right(
                maps, linear
            ).transpose(2, 3),
            "The bias is not added.": lambda maps, linear: F.conv2d(
                maps, linear.weight[:, :, None, None]
            ),
            "There is a ReLU in it; `at_each_pixel` is the linear layer alone.": (
                lambda maps, linear: F.relu(right(maps, linear))
            ),
            "It works on the mean over all pixels; every pixel needs its own result.": (
                lambda maps, linear: right(maps.mean((2, 3), keepdim=True), linear).expand(
                    -1, -1, *maps.shape[2:]
                )
            ),
            "The result is the mean over all pixels; every pixel needs its own result.": (
                lambda maps, linear: linear(maps.mean((2, 3)))
            ),
            "`linear` is applied to the last axis, the width, instead of the channels.": (
                lambda maps, linear: linear(maps)
            ),
            "`linear` is applied to the height instead of the channels.": (
                lambda maps, linear: linear(maps.transpose(2, 3)).transpose(2, 3)
            ),
            "All pixels of an image are put into one row; `linear` takes the channels of one "
            "pixel.": lambda maps, linear: linear(maps.flatten(1)),
            "All pixels of a map are put into one row; `linear` takes the channels of one "
            "pixel.": lambda maps, linear: linear(maps.flatten(2)),
        },
        explain=lambda case, mine, right: (
            "It gives other numbers each time, so it works with weights of its own; use `linear`."
            if isinstance(mine, Tensor) and not close(answer(*case), mine)
            else ""
        ),
    )
    few, many = (_operations(answer, side).total() for side in (2, 16))
    if many - few >= 16 * 16 - 2 * 2:  # one more for each pixel more; rows alone would be 14
        raise Wrong(
            f"The numbers are right, but torch is called {few:,} times for 2×2 pixels and "
            f"{many:,} times for 16×16: the function loops over the pixels. `linear` takes all of "
            "them at once, as long as the channels come last."
        )
    return "It equals a 1×1 convolution with the same weights."


def _operations(answer: Callable, side: int) -> Counter[str]:
    try:
        return operations(answer, torch.randn(1, 3, side, side), nn.Linear(3, 2))
    except Wrong:  # the comparison says it better
        return Counter()


# --- nin.4: the head ------------------------------------------------------------------------------


def nin_4(answer):
    same_results(
        answer,
        lambda maps: maps.mean((2, 3)),
        (torch.randn(2, 5, 4, 3),),
        (torch.randn(3, 10, 5, 5),),
        (torch.randn(4, 4, 4, 4),),
        (torch.randn(1, 3, 1, 1),),
        mistakes={
            "This is the sum over all positions. An average is the sum divided by H · W.": (
                lambda maps: maps.sum((2, 3))
            ),
            "This is the largest value of each map; it should be the average.": lambda maps: (
                maps.amax((2, 3))
            ),
            "The two axes of length 1 are still there: the shape should be (N, num_classes).": (
                lambda maps: maps.mean((2, 3), keepdim=True)
            ),
            "This averages over the channels and leaves a map for each image; it should average "
            "over height and width.": lambda maps: maps.mean(1),
            "This averages over the width alone; the height is still there.": lambda maps: (
                maps.mean(3)
            ),
            "This averages over the height alone; the width is still there.": lambda maps: (
                maps.mean(2)
            ),
            "This averages over the images of the batch too; every image has logits of its own.": (
                lambda maps: maps.mean((0, 2, 3))
            ),
            "This averages over the channels too: one number is left of each image.": (
                lambda maps: maps.mean((1, 2, 3))
            ),
            "This is one number for the whole batch.": lambda maps: maps.mean(),
            "There is a softmax after it. Logits are what comes before the softmax; the loss "
            "function contains it.": lambda maps: maps.mean((2, 3)).softmax(1),
            "There is a ReLU after it; logits may be negative.": lambda maps: F.relu(
                maps.mean((2, 3))
            ),
            "`squeeze()` without a dimension also takes the batch dimension away when there is one "
            "image; name the dimensions.": lambda maps: maps.mean((2, 3), keepdim=True).squeeze(),
            "This flattens the maps: nothing is averaged.": lambda maps: maps.flatten(1),
            "This takes the value in one corner of each map.": lambda maps: maps[:, :, 0, 0],
            "The sum is divided by H alone; there are H · W positions.": lambda maps: (
                maps.sum((2, 3)) / maps.shape[2]
            ),
        },
    )
    return "An average over height and width, and nothing else."


# --- nin.5: repair --------------------------------------------------------------------------------


def _nin_with_head(
    num_classes: int,
    relus: tuple[bool, bool, bool] = (True, True, False),
    *,
    activation: type[nn.Module] = nn.ReLU,
    norm: bool = False,
    pool: nn.Module | None = None,
    after: nn.Module | None = None,
    dropped: int = 0,
) -> nn.Sequential:
    """The network of nin.5 without its mistake, or with another."""
    head = []
    for number, (i, k) in enumerate(((32, 3), (num_classes, 1), (num_classes, 1))):
        if number >= 3 - dropped:
            break
        head.append(nn.Conv2d(i, num_classes, k, padding=k // 2))
        last = number == 2
        if norm and last:
            head.append(nn.BatchNorm2d(num_classes))
        if relus[number]:
            head.append(activation() if last or activation is nn.Identity else nn.ReLU())
    return nn.Sequential(
        _block(1, (16, 16, 16), 5, 2, 2),
        nn.MaxPool2d(3, 2),
        _block(16, (32, 32, 32), 3, 1, 1),
        *head,
        nn.AdaptiveAvgPool2d(1) if pool is None else pool,
        nn.Flatten(),
        *([] if after is None else [after]),
    )


def _unusual_start(network: nn.Module) -> str:
    """What is said about weights or biases that do not start as torch starts them, or ""."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    # The standard deviation of a weight times the root of its inputs: 0.58 is torch's start, 1.41
    # is He's, and Xavier's is 1 where a layer has as many outputs as inputs.
    spread = [m.weight.std().item() * m.weight[0].numel() ** 0.5 for m in convolutions]
    if sum(spread) / len(spread) > 1.2:
        return (
            "The weights start larger now (He initialisation). That carries more of the image to "
            "the logits, as the chapter shows later."
        )
    if sum(spread) / len(spread) > 0.75:
        return "The weights start larger now. That carries more of the image to the logits."
    if convolutions[-1].bias is not None and convolutions[-1].bias.min() > 0:
        return "The biases start above zero now. That lifts the maps, at the start."
    return ""


def nin_5(answer):
    def variant(*arguments, **options):
        return lambda: _nin_with_head(10, *arguments, **options)

    if isinstance(answer, nn.Module):
        raise Wrong(
            f"repaired_nin is {describe(answer)}; it should stay a function that builds one, "
            "because the chapter builds several."
        )
    network = make(answer)
    kept = "The ReLU on the class maps is still there."
    soft = "lets some gradient through, but it still squeezes every negative logit"
    needless = "Nothing needs to be there."
    compared = {
        "mistakes": {
            kept: variant((True, True, True)),
            "The ReLU on the class maps is still there, and the one before the last "
            "convolution is gone. The one in the middle does no harm.": variant(
                (True, False, True)
            ),
            "The ReLU on the class maps is still there, and the one after the 3×3 "
            "convolution is gone. That one does no harm.": variant((False, True, True)),
            "The ReLU on the class maps is still there; the two before it did no harm.": (
                variant((False, False, True))
            ),
            "All three ReLUs of the last block are gone. Then its three layers are one linear "
            "layer; only the ReLU on the class maps does harm.": variant((False, False, False)),
            "The ReLU on the class maps is gone, but so is the one before the last "
            "convolution, which did no harm.": variant((True, False, False)),
            "The ReLU on the class maps is gone, but so is the one after the 3×3 "
            "convolution, which did no harm.": variant((False, True, False)),
            "A sigmoid on the class maps keeps every logit between 0 and 1, so the softmax "
            "can never be sure. Nothing needs to be there.": variant(
                (True, True, True), activation=nn.Sigmoid
            ),
            "A tanh on the class maps keeps every logit between -1 and 1, so the softmax can "
            "never be sure. Nothing needs to be there.": variant(
                (True, True, True), activation=nn.Tanh
            ),
            "There is a batch norm before the ReLU on the class maps. That helps, as you "
            "will see, but the cause, the ReLU, is still there.": variant(
                (True, True, True), norm=True
            ),
            "The ReLU has moved after the pooling. There it still cuts off negative "
            "logits.": variant(after=nn.ReLU()),
            "There is a softmax at the end. The loss function contains it; the network gives "
            "logits.": variant(after=nn.Softmax(1)),
            "The pooling takes the maximum now. The average was right.": variant(
                pool=nn.AdaptiveMaxPool2d(1)
            ),
            "The ReLU on the class maps is still there, and the pooling takes the maximum "
            "now. That was no part of the illness.": variant(
                (True, True, True), pool=nn.AdaptiveMaxPool2d(1)
            ),
            "The last 1×1 convolution is gone together with its ReLU. The layer was "
            "sound.": variant(dropped=1),
            "The last 1×1 convolution is gone, and a ReLU is still on the class maps.": variant(
                (True, True, True), dropped=1
            ),
            "There is a linear layer after the pooling now, and the ReLU on the class maps is "
            "still there: what it cuts off is lost before the new layer sees it.": variant(
                (True, True, True), after=nn.Linear(10, 10)
            ),
            "The ReLU on the class maps is gone, but there is a linear layer after the pooling "
            "now. It was not needed: a map's average is its logit.": variant(
                after=nn.Linear(10, 10)
            ),
        }
        | {
            f"{name} on the class maps {soft}. {needless}": variant(
                (True, True, True), activation=activation
            )
            for name, activation in {
                "A leaky ReLU": nn.LeakyReLU,
                "An ELU": nn.ELU,
                "A GELU": nn.GELU,
                "A SiLU": nn.SiLU,
            }.items()
        }
    }
    try:
        same_outputs(network, _nin_with_head(10), (4, 1, 28, 28), **compared)
    except Wrong as error:
        if str(error).startswith(kept) and (start := _unusual_start(network)):
            raise Wrong(
                f"{start} But the ReLU on the class maps is still there: whatever map falls below "
                "zero everywhere is lost, at the start or later. Take away the cause."
            ) from None
        if (norms := _norms(network)) and "batch norm" not in str(error):
            raise Wrong(
                f"There is something new in the network: {norms}. Batch norm helps, as the "
                "chapter shows later, but this exercise is about one cause alone: take it away "
                f"and change nothing else. It consists of {layers(network)}."
            ) from None
        raise
    seven = call(make(answer, 7), torch.randn(2, 1, 28, 28))
    if tuple(seven.shape) != (2, 7):
        raise Wrong(
            f"With num_classes=7 the network gives {describe(seven)}; 7 logits are expected."
        )
    return "No logit is dead any more, and the rest of the network is as it was."


# --- nin.6: batch norm by hand --------------------------------------------------------------------


def _normalise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    dims: tuple[int, ...] = (0, 2, 3),
    correction: int = 0,
    running_correction: int = 1,
    centred: bool = True,
    root: Callable[[Tensor, float], Tensor] = lambda var, eps: (var + eps).sqrt(),
    affine: Callable[..., Tensor] = lambda y, weight, bias: weight * y + bias,
    in_training: str = "batch",
    in_evaluation: str = "running",
    moves: str = "in training",
    share: Callable[[float], float] = lambda momentum: momentum,
    mistaken_share: str = "mean, variance",
    moved_var: Callable[[Tensor], Tensor] = lambda var: var,
    answer: Callable[..., Any] = lambda y, mean, var, batch_mean, batch_var: (y, mean, var),
) -> Any:
    """Batch norm, with the mistakes that the options describe."""
    shape = (1, -1, 1, 1)
    batch_mean, batch_var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=running_correction)
    shares = [share(momentum) if p in mistaken_share else momentum for p in ("mean", "variance")]
    moved_mean = torch.lerp(running_mean, batch_mean, shares[0])
    moved_variance = torch.lerp(running_var, moved_var(batch_var), shares[1])
    mean, var = {
        "batch": (x.mean(dims, keepdim=True), x.var(dims, correction=correction, keepdim=True)),
        "running": (running_mean.reshape(shape), running_var.reshape(shape)),
        "moved": (moved_mean.reshape(shape), moved_variance.reshape(shape)),
    }[in_training if training else in_evaluation]
    y = (x - mean if centred else x) / root(var, eps)
    y = affine(y, weight.reshape(shape), bias.reshape(shape))
    if moves == "always" or (moves == "in training") == training:
        running_mean, running_var = moved_mean, moved_variance
    return answer(y, running_mean, running_var, batch_mean, batch_var)


_BATCH_NORM_MISTAKES: dict[str, dict[str, Any]] = {
    "The statistics are taken over the images only, one for each position; they should be taken "
    "over dimensions 0, 2 and 3.": {"dims": (0,)},
    "Each image is normalised by its own statistics; they should be taken over all images of the "
    "batch, dimensions 0, 2 and 3.": {"dims": (2, 3)},
    "Each image is normalised over its channels too (that is layer norm); the statistics should "
    "be per channel, over dimensions 0, 2 and 3.": {"dims": (1, 2, 3)},
    "All channels share one mean and one variance; each channel has its own, over dimensions 0, 2 "
    "and 3.": {"dims": (0, 1, 2, 3)},
    "The normalisation divides by a variance with divisor n - 1 (`correction=1`, the default of "
    "`x.var`). That one is for the running variance only.": {"correction": 1},
    "The running variance takes the batch's variance with divisor n; torch gives it the one with "
    "divisor n - 1 (`correction=1`).": {"running_correction": 0},
    "The two variances have changed places: divisor n (`correction=0`) normalises, divisor n - 1 "
    "(`correction=1`) goes into the running variance.": {"correction": 1, "running_correction": 0},
    "The division is by the variance; it should be by its square root.": {
        "root": lambda var, eps: var + eps
    },
    "`eps` is missing: a channel without variance is divided by zero.": {
        "root": lambda var, eps: var.sqrt()
    },
    "`eps` is added to the root; it should be added to the variance, under the root.": {
        "root": lambda var, eps: var.sqrt() + eps
    },
    "The argument `eps` is not used: it is always 0.00001.": {
        "root": lambda var, eps: (var + 1e-5).sqrt()
    },
    "The mean is not subtracted.": {"centred": False},
    "In training the running statistics are used; there those of the batch count.": {
        "in_training": "running"
    },
    "In training the running statistics are used, after they have moved; there those of the batch "
    "count.": {"in_training": "moved"},
    "In evaluation the batch's statistics are used; there the running ones count.": {
        "in_evaluation": "batch"
    },
    "The running values do not move; in training they should.": {"share": lambda momentum: 0.0},
    "The running mean does not move; in training it should.": {
        "share": lambda momentum: 0.0,
        "mistaken_share": "mean",
    },
    "The running variance does not move; in training it should.": {
        "share": lambda momentum: 0.0,
        "mistaken_share": "variance",
    },
    "The running values move in evaluation too; they should stay as they are.": {"moves": "always"},
    "The running values move in evaluation too, and the moved ones are used; they should stay as "
    "they are.": {"moves": "always", "in_evaluation": "moved"},
    "In evaluation the running values move before they are used; they should stay as they are.": {
        "in_evaluation": "moved"
    },
    "The running values move in evaluation and stay in training; it should be the other way "
    "round.": {"moves": "in evaluation"},
    "`momentum` is the wrong way round: it is the share of the batch in the new running values, "
    "and 1 - momentum that of the old ones.": {"share": lambda momentum: 1 - momentum},
    "`momentum` is the wrong way round in the running mean: it is the share of the batch.": {
        "share": lambda momentum: 1 - momentum,
        "mistaken_share": "mean",
    },
    "`momentum` is the wrong way round in the running variance: it is the share of the batch.": {
        "share": lambda momentum: 1 - momentum,
        "mistaken_share": "variance",
    },
    "The running values are those of this batch alone; they should be a mixture of the old ones "
    "and the batch's, in which `momentum` is the share of the batch.": {
        "share": lambda momentum: 1.0
    },
    "The argument `momentum` is not used: it is always 0.1.": {"share": lambda momentum: 0.1},
    "The running variance takes a standard deviation; it should take the variance.": {
        "moved_var": torch.sqrt
    },
    "`weight` and `bias` are not used.": {"affine": lambda y, weight, bias: y},
    "`weight` is not used.": {"affine": lambda y, weight, bias: y + bias},
    "`bias` is not used.": {"affine": lambda y, weight, bias: weight * y},
    "`weight` and `bias` have changed places: multiply by `weight`, then add `bias`.": {
        "affine": lambda y, weight, bias: bias * y + weight
    },
    "`bias` is added first and multiplied by `weight` too: multiply first, then add.": {
        "affine": lambda y, weight, bias: weight * (y + bias)
    },
    "Only the normalised tensor comes back; the task asks for it and the two running values.": {
        "answer": lambda y, mean, var, batch_mean, batch_var: y
    },
    "The running mean and the running variance come back in the wrong order.": {
        "answer": lambda y, mean, var, batch_mean, batch_var: (y, var, mean)
    },
    "The result comes back last; it should be the first of the three.": {
        "answer": lambda y, mean, var, batch_mean, batch_var: (mean, var, y)
    },
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
        return (
            f"Your statistics are taken over {seen}; `dim=(0, 2, 3)` leaves one number for each "
            "channel."
        )
    if isinstance(mine, Exception) and "must match the size of tensor" in str(mine):
        return (
            "A tensor of shape (C,) beside one of (N, C, H, W) is laid along the width; "
            "`reshape(1, -1, 1, 1)` lays it along the channels."
        )
    return ""


def nin_6(answer):
    def case(n, c, h, w, training, scale=1.0, **extra):
        x = scale * torch.randn(n, c, h, w) + torch.randn(c, 1, 1)
        vectors = torch.randn(c), torch.randn(c), torch.randn(c), torch.rand(c) + 0.5
        return (x, *vectors, training, *extra.values())

    def by_torch(x, weight, bias, mean, var, training, momentum=0.1, eps=1e-5):
        mean, var = mean.clone(), var.clone()
        return F.batch_norm(x, mean, var, weight, bias, training, momentum, eps), mean, var

    def variant(options: dict) -> Callable:
        return lambda *arguments: _normalise(*arguments, **options)

    mistakes = _BATCH_NORM_MISTAKES | _pairs(_BATCH_NORM_MISTAKES)
    same_results(
        answer,
        by_torch,
        case(3, 4, 2, 3, True),
        case(3, 4, 2, 3, False),
        case(4, 3, 3, 2, True, scale=0.003),
        case(2, 5, 2, 2, True, momentum=0.3, eps=0.1),
        mistakes={message: variant(options) for message, options in mistakes.items()},
        parts=("the result", "the running mean", "the running variance"),
        explain=lambda case, mine, right: _explain_batch_norm(answer, case, mine),
    )
    return "It agrees with torch's batch norm in both modes."


# --- nin.7: an experiment -------------------------------------------------------------------------

_LIFTS = (0.0, 0.05, 0.1, 0.3)
_SEEDS = range(10)


def _networks(initialisation: str) -> Iterator[nn.Module]:
    """The ten networks of the experiment, without the ReLU and the bias that it is about."""
    from utils import networks

    for seed in _SEEDS:
        torch.manual_seed(seed)
        network = networks.build(
            "nin_small", batch_norm=False, final_relu=False, initialisation=initialisation
        )
        nn.init.zeros_(network.features.mlpconv3.cccp2.bias)
        yield network.eval()


def _alive(maps: Tensor, lift: float) -> Tensor:
    """Which logits (N, classes) are above zero when `lift` is added to the class maps."""
    return (maps + lift > 0).any(3).any(2)


@torch.no_grad()
def _dead_counts(images: Tensor, initialisation: str = "xavier") -> list[dict[float, int]]:
    """Dead logits for each bias, in each of the ten networks."""
    counts = []
    for network in _networks(initialisation):
        maps = network.features(images)
        counts.append({lift: int((~_alive(maps, lift).any(0)).sum()) for lift in _LIFTS})
    return counts


@torch.no_grad()
def _zeros(images: Tensor) -> dict[float, int]:
    """Single zeros among the logits, which are more than the dead logits."""
    maps = [network.features(images) for network in _networks("xavier")]
    return {lift: sum(int((~_alive(m, lift)).sum()) for m in maps) for lift in _LIFTS}


@torch.no_grad()
def _dead_with_lift_everywhere(images: Tensor) -> dict[float, int]:
    """Dead logits when every convolution gets the bias, not the last one alone."""
    counts = dict.fromkeys(_LIFTS, 0)
    for network in _networks("xavier"):
        for lift in _LIFTS:
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.bias.fill_(lift)
            counts[lift] += int((~_alive(network.features(images), 0.0).any(0)).sum())
    return counts


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
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Wrong(f"For bias {bias} a number is expected, not {describe(value)}.")
        given[bias] = value

    from utils import data

    images, _ = next(iter(data.load(batch_size=64, device="cpu").validation))
    each = _dead_counts(images)
    right = _total(each)

    def agrees(counts: dict[float, float], factor: int = 1) -> bool:
        # One class of a hundred may fall the other way: a GPU rounds differently.
        return all(abs(factor * given[bias] - counts[bias]) <= 1 for bias in _LIFTS)

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
    single = "The total over the seeds 0 to 9 is asked for: add the ten counts up (`+=`)."
    if seeds := [str(seed) for seed, counts in enumerate(each) if given == counts]:
        raise Wrong(f"These are the counts of seed {' or '.join(seeds)} alone. {single} {yours}")
    if agrees(right, factor=10) and any(given[bias] % 1 for bias in _LIFTS):
        raise Wrong(f"These are averages over the ten networks; the task asks for totals. {yours}")
    if agrees({bias: 100 - count for bias, count in right.items()}):
        raise Wrong(f"These are the living logits; count the dead ones. {yours}")
    if agrees(_zeros(images)):
        raise Wrong(
            f"You count single zeros. A logit is dead if it is zero for every image. {yours}"
        )
    if any(not 0 <= value <= 100 or value % 1 for value in given.values()):
        raise Wrong(
            "Ten networks with ten logits each have from 0 to 100 dead logits, a whole number. "
            f"{yours}"
        )
    running = {b: sum(right[a] for a in _LIFTS if a <= b) for b in _LIFTS}
    if agrees(running):
        raise Wrong(f"The count goes on from one bias to the next; begin each with 0. {yours}")
    if agrees({bias: 10 * count for bias, count in each[0].items()}):
        raise Wrong(
            "These are the counts of seed 0, ten times. Each of the ten networks needs its own "
            f"seed: `torch.manual_seed(seed)`. {yours}"
        )
    for initialisation in ("torch", "he"):
        if agrees(_total(_dead_counts(images, initialisation))):
            raise Wrong(
                'The networks are not those of the task: they need initialisation="xavier", and '
                f'these have "{initialisation}". {yours}'
            )
    if any(agrees(counts) for counts in each):
        raise Wrong(f"So few are dead in one network, not in ten. {single} {yours}")
    if agrees(_dead_with_lift_everywhere(images)):
        raise Wrong(f"Every layer got the bias; only the last convolution should. {yours}")
    if agrees({bias: right[other] for bias, other in zip(_LIFTS, reversed(_LIFTS), strict=True)}):
        raise Wrong(f"The order of the biases is turned around: {given}.")
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


def _total(each: list[dict[float, int]]) -> dict[float, int]:
    return {bias: sum(counts[bias] for counts in each) for bias in _LIFTS}
