"""Exercises of chapter 04: Network in Network."""

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
    expect_number,
    layers,
    make,
    operations,
    same_outputs,
    same_results,
)
from exercises.engine import exercise, question

CHAPTER = "04_nin"


# --- nin.1: counting -----------------------------------------------------------------------------


@exercise(
    "nin.1",
    title="Count an mlpconv by hand",
    answer="first_mlpconv",
    difficulty=1,
    minutes=8,
    task="""
        The paper's network for CIFAR-10 begins with an mlpconv on images of 3×32×32. Its filters
        are 5×5 with padding 2 and stride 1, and its three layers have 192, 160 and 96 channels.
        Every layer has a bias.

        How many parameters does it have, biases included? How many MACs does it cost for one
        image, biases left out? Use paper, or Python as a calculator, but build no network.
    """,
    stub="""
        first_mlpconv = {
            "parameters": ...,
            "macs": ...,
        }
    """,
    hints=[
        """
        A layer with kernel k × k has k · k · in_channels weights for each output channel, and
        one bias. What is k for the second and the third layer?
        """,
        """
        Padding 2 and stride 1 keep 32×32 positions. At every position each weight is used once,
        so a layer's MACs are its weights (without biases) times 32 · 32.
        """,
        """
        Weights of the first layer: 5 · 5 · 3 · 192 = 14,400. Two layers are left.
        """,
    ],
    solution="""
        weights = 5 * 5 * 3 * 192 + 192 * 160 + 160 * 96
        biases = 192 + 160 + 96
        first_mlpconv = {
            "parameters": weights + biases,
            "macs": weights * 32 * 32,
        }
    """,
    explanation="""
        The 5×5 layer has 14,400 weights, the two 1×1 layers 30,720 and 15,360. So three quarters
        of this block, weights and MACs alike, are in the 1×1 layers: they are cheap for each pair
        of channels, but they join 192 channels with 160, where the 5×5 filters see only 3.
    """,
)
def _(answer):
    first, second, third = 5 * 5 * 3 * 192, 192 * 160, 160 * 96
    weights, biases, positions = first + second + third, 192 + 160 + 96, 32 * 32
    if not isinstance(answer, dict) or not {"parameters", "macs"} <= answer.keys():
        raise Wrong(
            'A dictionary with the keys "parameters" and "macs" is expected, not '
            f"{describe(answer)}."
        )
    _count(
        "parameters",
        answer,
        weights + biases,
        {
            weights: "These are the weights. Every output channel of every layer has a bias too.",
            first + 192: "This is the first layer alone. The two 1×1 layers are missing.",
            first: "These are the weights of the first layer alone.",
            5 * 5 * 192 + second + third + biases: (
                "In the first layer every filter sees 3 input channels: 5 · 5 · 3 weights, not "
                "5 · 5."
            ),
            3 * 192 + second + third + biases: (
                "The first layer is counted as if it were 1×1; its filters are 5×5."
            ),
            25 * (3 * 192 + 192 * 160 + 160 * 96) + biases: (
                "All three layers are counted with 5×5 kernels. The second and the third are 1×1."
            ),
            (weights + biases) * positions: (
                "A weight is stored once, however many positions it is used at."
            ),
            first + 3 * 160 + 3 * 96 + biases: (
                "The 1×1 layers see the channels of the layer before them (192 and 160), not the "
                "3 of the image."
            ),
            first + 160 + 96 + biases: (
                "A 1×1 filter has one weight for each input channel: the second layer has "
                "192 · 160 weights, the third 160 · 96."
            ),
        },
    )
    _count(
        "macs",
        answer,
        weights * positions,
        {
            weights: "Each weight is used at every one of the 32 · 32 positions.",
            weights + biases: "These are the parameters. Each weight is used at 32 · 32 positions.",
            (weights + biases) * positions: (
                "Biases are added, not multiplied; MACs are counted without them."
            ),
            2 * weights * positions: (
                "One multiply-accumulate is one MAC. Counting the multiplication and the addition "
                "apart gives twice as much (often called FLOPs)."
            ),
            weights * 28 * 28: "Padding 2 keeps 32×32 positions; 28×28 would be without padding.",
            weights * 32: "There are 32 · 32 positions, not 32.",
            first * positions: "This is the first layer alone. The two 1×1 layers are missing.",
            first * positions + second + third: (
                "The 1×1 layers, too, compute at every one of the 32 · 32 positions."
            ),
            weights * positions * 3: (
                "The 3 input channels are already part of the first layer's weights."
            ),
        },
    )
    return "Three quarters of both numbers are in the 1×1 layers."


def _count(key: str, answer: dict, right: int, common: dict[int, str]) -> None:
    try:
        expect_number(answer[key], right, common)
    except Wrong as error:
        raise Wrong(f'"{key}": {error}') from None


# --- nin.2: the mlpconv --------------------------------------------------------------------------


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
        "There is a ReLU too many: one stands before the first convolution and cuts off the "
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
        "There is a max pooling at the end; pooling stands between the blocks, not in them.": {
            "after": nn.MaxPool2d(2)
        },
        "There is a max pooling at the end (3×3, stride 2); pooling stands between the blocks, "
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


@exercise(
    "nin.2",
    title="Write the mlpconv block",
    answer="mlpconv",
    difficulty=2,
    minutes=15,
    task="""
        Write `mlpconv`. It returns a module that turns images of shape
        (N, in_channels, H, W) into feature maps with `widths[2]` channels:

        - a convolution with `widths[0]` channels and the given `kernel_size`, `stride` and
          `padding`;
        - a 1×1 convolution with `widths[1]` channels;
        - a 1×1 convolution with `widths[2]` channels.

        All three have biases, and each is followed by a ReLU. `nn.Sequential` will do; a class
        of your own is as good. The check copies weights into your block and compares outputs and
        gradients, so names do not matter.
    """,
    stub="""
        def mlpconv(
            in_channels: int,
            widths: tuple[int, int, int],
            kernel_size: int,
            stride: int = 1,
            padding: int = 0,
        ) -> nn.Module:
            # Your code here.
            ...
    """,
    hints=[
        """
        Start with the arguments of torch's layer, in their order:
        `nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)`.
        """,
        """
        Each layer takes as many channels as the layer before it gives: `in_channels`, then
        `widths[0]`, then `widths[1]`.
        """,
        """
        Six parts: convolution, ReLU, 1×1, ReLU, 1×1, ReLU. Stride and padding go to the first
        part only.
        """,
    ],
    solution="""
        def mlpconv(
            in_channels: int,
            widths: tuple[int, int, int],
            kernel_size: int,
            stride: int = 1,
            padding: int = 0,
        ) -> nn.Module:
            first, second, third = widths
            return nn.Sequential(
                nn.Conv2d(in_channels, first, kernel_size, stride, padding),
                nn.ReLU(),
                nn.Conv2d(first, second, kernel_size=1),
                nn.ReLU(),
                nn.Conv2d(second, third, kernel_size=1),
                nn.ReLU(),
            )
    """,
    explanation="""
        The first layer looks at a patch and gives `widths[0]` numbers for it. The other two are
        the hidden and the output layer of a small network on these numbers, the same at every
        position. Stride and padding decide which patches are looked at, so they belong to the
        first layer: a stride at a 1×1 layer would throw away numbers already computed, and
        padding there would invent positions at the border.
    """,
)
def _(answer):
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


# --- nin.3: the same with nn.Linear --------------------------------------------------------------


def _by_rows(images: Tensor, linear: nn.Linear) -> Tensor:
    """What a reshape makes of the channels: rows of the right length with the wrong numbers."""
    n, c, h, w = images.shape
    return linear(images.reshape(n, h, w, c))


def _only_reshaped_back(images: Tensor, linear: nn.Linear) -> Tensor:
    n, _, h, w = images.shape
    return linear(images.permute(0, 2, 3, 1)).reshape(n, -1, h, w)


@exercise(
    "nin.3",
    title="A 1×1 convolution is nn.Linear at each pixel",
    answer="at_each_pixel",
    difficulty=2,
    minutes=10,
    task="""
        Write `at_each_pixel(maps, linear)`. It applies the layer `linear` (an `nn.Linear`) to the
        channels of every pixel: `maps` has shape (N, linear.in_features, H, W), the result
        (N, linear.out_features, H, W). Do not use a convolution and do not loop over pixels.

        `nn.Linear` always works on the last axis of what it is given.
    """,
    stub="""
        def at_each_pixel(maps: torch.Tensor, linear: nn.Linear) -> torch.Tensor:
            # Your code here.
            ...
    """,
    hints=[
        """
        The channels are axis 1 and must come last for a moment. Which method of a tensor puts
        its axes into another order?
        """,
        """
        `maps.permute(0, 2, 3, 1)` has shape (N, H, W, C). `reshape` would give the same shape,
        but it would not move the numbers.
        """,
        "After `linear` the channels are still last. Move them back to axis 1.",
    ],
    solution="""
        def at_each_pixel(maps: torch.Tensor, linear: nn.Linear) -> torch.Tensor:
            pixels = maps.permute(0, 2, 3, 1)  # (N, H, W, in_features)
            return linear(pixels).permute(0, 3, 1, 2)  # (N, out_features, H, W)
    """,
    explanation="""
        Seen this way every pixel is one sample and its channels are the features. A 1×1
        convolution does exactly that, without the two permutations.
    """,
)
def _(answer):
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


# --- nin.4: the head -----------------------------------------------------------------------------


@exercise(
    "nin.4",
    title="The head: global average pooling",
    answer="global_average_pooling",
    difficulty=1,
    minutes=5,
    task="""
        Write `global_average_pooling(maps)`. It turns class maps of shape (N, num_classes, H, W)
        into logits of shape (N, num_classes), for any H and W.
    """,
    stub="""
        def global_average_pooling(maps: torch.Tensor) -> torch.Tensor:
            # Your code here.
            ...
    """,
    hints=[
        "One number is left of each map. Which axes disappear?",
        "`maps.mean(dim=…)` takes a tuple of axes.",
    ],
    solution="""
        def global_average_pooling(maps: torch.Tensor) -> torch.Tensor:
            return maps.mean(dim=(2, 3))
    """,
    explanation="""
        One line and no parameter. Because it averages, the size of the logits does not depend on
        the size of the maps: an image twice as large gives logits of the same size.
    """,
)
def _(answer):
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


# --- nin.5: repair -------------------------------------------------------------------------------


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


@exercise(
    "nin.5",
    title="Repair a head that is born dead",
    answer="repaired_nin",
    difficulty=2,
    minutes=10,
    needs=["nin.2"],
    task="""
        This small NiN has the illness: before the first step of training, some of its ten logits
        are zero for every image. Find the cause and take it away. Change nothing else: all other
        layers of the network are sound, and the check compares them.

        `diagnosis.activation_statistics(repaired_nin(), images)` shows where the channels die.
    """,
    stub="""
        def repaired_nin(num_classes: int = 10) -> nn.Module:
            return nn.Sequential(
                mlpconv(1, (16, 16, 16), 5, stride=2, padding=2),
                nn.MaxPool2d(3, stride=2),
                mlpconv(16, (32, 32, 32), 3, padding=1),
                nn.Conv2d(32, num_classes, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(num_classes, num_classes, 1),
                nn.ReLU(),
                nn.Conv2d(num_classes, num_classes, 1),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
            )
    """,
    hints=[
        """
        A logit is the average of its class map. When is an average of numbers that are not
        negative exactly zero?
        """,
        """
        A channel that a ReLU cuts off inside the network is one of many. Which ReLU cuts off
        something there is only one of?
        """,
    ],
    solution="""
        def repaired_nin(num_classes: int = 10) -> nn.Module:
            return nn.Sequential(
                mlpconv(1, (16, 16, 16), 5, stride=2, padding=2),
                nn.MaxPool2d(3, stride=2),
                mlpconv(16, (32, 32, 32), 3, padding=1),
                nn.Conv2d(32, num_classes, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(num_classes, num_classes, 1),
                nn.ReLU(),
                nn.Conv2d(num_classes, num_classes, 1),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
            )
    """,
    explanation="""
        The last ReLU stood on the class maps. Where a map is negative everywhere, the ReLU makes
        it zero everywhere, the logit is zero for every image, and no gradient comes back through
        it. The other ReLUs also have dead channels, but the next layer has other channels to
        read; a class has only one map.
    """,
)
def _(answer):
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
    needless = "Nothing needs to stand there."
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
            "can never be sure. Nothing needs to stand there.": variant(
                (True, True, True), activation=nn.Sigmoid
            ),
            "A tanh on the class maps keeps every logit between -1 and 1, so the softmax can "
            "never be sure. Nothing needs to stand there.": variant(
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
            "The last 1×1 convolution is gone, and a ReLU still stands on the class maps.": variant(
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


# --- nin.6: batch norm by hand -------------------------------------------------------------------


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


@exercise(
    "nin.6",
    title="Batch norm by hand",
    answer="batch_norm",
    difficulty=3,
    minutes=20,
    task="""
        Write `batch_norm`. All statistics are per channel, over the images and both axes of
        position.

        - In training: subtract the batch's mean, divide by the root of the batch's variance plus
          `eps` (variance with divisor n), then multiply by `weight` and add `bias`. Move the
          running values: new = (1 - momentum) · running + momentum · batch, where the running
          variance takes the batch's variance with divisor n - 1, as torch does.
        - In evaluation: the same with the running values in place of the batch's; they stay as
          they are.

        Return the result and the two running values, as new tensors.
    """,
    stub="""
        def batch_norm(
            x: torch.Tensor,  # (N, C, H, W)
            weight: torch.Tensor,  # (C,), as the four after it
            bias: torch.Tensor,
            running_mean: torch.Tensor,
            running_var: torch.Tensor,
            training: bool,
            momentum: float = 0.1,
            eps: float = 1e-5,
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            # Your code here.
            ...
    """,
    hints=[
        """
        `x.mean(dim=(0, 2, 3))` has shape (C,). To subtract it from x (N, C, H, W) give it the
        shape (1, C, 1, 1): `mean.reshape(1, -1, 1, 1)`.
        """,
        """
        `x.var(dim=(0, 2, 3), correction=0)` has divisor n, `correction=1` has n - 1.
        """,
        """
        Decide first which mean and variance to use, those of the batch or the running ones. The
        line that normalises is then the same in both modes.
        """,
    ],
    solution="""
        def batch_norm(
            x: torch.Tensor,  # (N, C, H, W)
            weight: torch.Tensor,  # (C,), as the four after it
            bias: torch.Tensor,
            running_mean: torch.Tensor,
            running_var: torch.Tensor,
            training: bool,
            momentum: float = 0.1,
            eps: float = 1e-5,
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            mean, var = running_mean, running_var
            if training:
                mean = x.mean(dim=(0, 2, 3))
                var = x.var(dim=(0, 2, 3), correction=0)
                unbiased = x.var(dim=(0, 2, 3), correction=1)
                running_mean = (1 - momentum) * running_mean + momentum * mean
                running_var = (1 - momentum) * running_var + momentum * unbiased
            mean, var, weight, bias = (v.reshape(1, -1, 1, 1) for v in (mean, var, weight, bias))
            y = weight * (x - mean) / torch.sqrt(var + eps) + bias
            return y, running_mean, running_var
    """,
    explanation="""
        The only difference between the two modes is whose mean and variance are used. `eps` keeps
        the division sound where a channel is constant. `weight` and `bias` let the network undo
        the normalisation where that is better.
    """,
)
def _(answer):
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


# --- nin.7: an experiment ------------------------------------------------------------------------

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


@exercise(
    "nin.7",
    title="An experiment: lift the logits",
    answer="dead_by_bias",
    difficulty=2,
    minutes=15,
    task="""
        Another idea for a repair: leave the last ReLU where it is, but begin with logits that are
        lifted above it, by a positive bias in the last layer. Does that keep the classes alive at
        the start? Write down what you expect, then measure.

        For each seed from 0 to 9 call `torch.manual_seed(seed)` and build
        `networks.build("nin_small", batch_norm=False, final_relu=True, initialisation="xavier")`.
        Fill the bias of its last convolution, `network.features.mlpconv3.cccp2`, with 0, 0.05,
        0.1 and 0.3 in turn. Count the dead logits for `images` each time, and write down the
        total over the ten seeds, which can be anything from 0 to 100.
    """,
    stub="""
        dead_by_bias = {0.0: ..., 0.05: ..., 0.1: ..., 0.3: ...}
    """,
    given="""
        from utils import data, diagnosis, networks

        images, labels = next(iter(data.load(batch_size=64).validation))
    """,
    hints=[
        """
        Two loops, one over the biases and one over the seeds. `nn.init.constant_(layer.bias, b)`
        fills a bias, and `diagnosis.dead_logits(network, images)` gives the list of dead classes.
        """,
        """
        The seed has to be set right before each network is built, so that every bias is tried on
        the same ten networks.
        """,
    ],
    solution="""
        dead_by_bias = dict.fromkeys([0.0, 0.05, 0.1, 0.3], 0)
        for bias in dead_by_bias:
            for seed in range(10):
                torch.manual_seed(seed)
                network = networks.build(
                    "nin_small", batch_norm=False, final_relu=True, initialisation="xavier"
                )
                nn.init.constant_(network.features.mlpconv3.cccp2.bias, bias)
                dead_by_bias[bias] += len(diagnosis.dead_logits(network, images))
    """,
    explanation="""
        A small lift is enough, because the maps of a fresh network hardly differ from image to
        image. It only mends the start, though: the ReLU is still there, and a class that training
        pushes below zero at every position is lost as before.
    """,
)
def _(answer):
    if not isinstance(answer, dict) or set(answer) != set(_LIFTS):
        raise Wrong(
            f"A dictionary with the keys {', '.join(map(str, _LIFTS))} is expected, not "
            f"{describe(answer)}."
        )
    given = {}
    for bias in _LIFTS:
        value = answer[bias]
        value = value.item() if hasattr(value, "item") else value
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


# --- nin.8: an open question ---------------------------------------------------------------------

question(
    "nin.8",
    title="What would you leave out?",
    difficulty=2,
    minutes=15,
    task="""
        You have to fit a NiN for Fashion-MNIST into 20,000 parameters. Start from
        `summary.table(networks.build("nin_small"), (1, 28, 28))`. Where do you save: fewer
        channels, fewer blocks, only one 1×1 layer in each block, or 1×1 in place of one of the
        3×3 layers? Say what you expect each to cost, and how you would find out whether you were
        right. How many runs would you need?
    """,
    hints=[
        "Which rows of the layer table hold most of the parameters?",
        "How far apart are two runs of the same network with different seeds? An effect smaller "
        "than that needs many runs.",
    ],
    discussion="""
        The two 3×3 layers hold most of the parameters, so they are where saving shows. Halving
        the channels divides the weights of a layer by four, because both its inputs and its
        outputs are halved. A 1×1 in place of a 3×3 saves eight ninths of that layer, but then the
        block no longer looks at neighbours, and the receptive field shrinks. Leaving out a 1×1
        layer saves little and takes away one nonlinearity at each pixel.

        To find out, train each candidate and the original with the same five or more seeds,
        compare pairs with the same seed, and choose on the validation images. If the differences
        between two candidates are smaller than those between seeds, the honest answer is that
        you cannot tell yet.
    """,
)
