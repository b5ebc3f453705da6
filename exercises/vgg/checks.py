"""Checks of chapter 03: VGG."""

import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises import trace
from exercises.compare import (
    Unexplained,
    Wrong,
    call,
    close,
    combined,
    count_parameters,
    describe,
    expect_keys,
    expect_numbers,
    layers,
    make,
    plain,
    same_outputs,
    same_results,
    shared_layer,
    unregistered,
)

# --- vgg.1: counting ------------------------------------------------------------------------------


def vgg_1(answer):
    pairs, places = 128 * 128, 56 * 56
    one, seven = 9 * pairs, 49 * pairs
    saved = (seven - 3 * one) * places
    biases = {
        0: "These are weights; every output has a bias too.",
        1: "Every one of the 128 outputs has a bias, not the layer as a whole.",
        2 * 128: "Every output has one bias, not two.",
        pairs: "A bias belongs to each output, not to each pair of channels.",
        9 * pairs: "A bias belongs to each output, not to each weight of a kernel.",
        128 * places: "A bias belongs to each output channel, not to each of its positions.",
    }
    stored = {places: "A weight is stored once, however many positions it is used at."}

    def seen(kernel: int) -> dict[float, str]:
        return {
            128: (
                f"Every filter sees all 128 input channels: {kernel} · 128 weights for each of the "
                "128 output channels."
            ),
            3 * 128: "The layers see 128 channels, not the 3 of an image.",
        }

    def parameters(kernel=9, channels=pairs, bias=128, layers=3, times=1):
        return layers * (kernel * channels + bias) * times

    def of_seven(kernel=49, channels=pairs, bias=128, layers=1, times=1):
        return parameters(kernel, channels, bias, layers, times)

    def macs(large=49, small=27, channels=pairs, positions=places, images=1):
        return (large - small) * channels * positions * images

    shares = (22 / 49, 27 / 49, 49 / 27, 100 * 22 / 49, 100 * 27 / 49)
    common = {
        "three_3x3": combined(
            parameters,
            kernel={
                1: "A 3×3 kernel has 9 weights for each pair of channels, not 1. (In Python "
                "`3 ^ 2` is 1; the power is `3 ** 2`.)",
                3: "A 3×3 kernel has 9 weights for each pair of channels, not 3.",
                27: "9 · 3 is 27; this has 9 · 9 weights for each pair of channels.",
                49: "This is the 7×7 layer's kernel.",
            },
            channels=seen(9),
            bias=biases | {128 / 3: "Each of the three layers has 128 biases, not one of them."},
            layers={
                1: "This is one layer. There are three.",
                2: "These are two layers, not three.",
            },
            times=stored,
        )
        | {
            one: "These are the weights of one layer. There are three.",
            27
            * 129
            * 128: "A bias is added once for each output, not at every weight of a kernel.",
            9 * 3 * 128 + 2 * one + 3 * 128: (
                "The first of the three layers sees 128 channels too, not the 3 of an image."
            ),
            one**3 + 3 * 128: "The weights of the three layers are added, not multiplied.",
            seven + 128: "This is the 7×7 layer.",
        },
        "one_7x7": combined(
            of_seven,
            kernel={
                5: "A 7×7 kernel has 49 weights for each pair of channels, not 5. (In Python "
                "`7 ^ 2` is 5; the power is `7 ** 2`.)",
                7: "A 7×7 kernel has 49 weights for each pair of channels, not 7.",
                25: "This is a 5×5 layer.",
                9: "This is a 3×3 layer.",
            },
            channels=seen(49),
            bias=biases,
            layers={3: "There is one 7×7 layer, not three."},
            times=stored,
        )
        | {3 * (one + 128): "This is the stack of three 3×3 layers."},
        "macs_saved": combined(
            macs,
            small={
                9: "The stack has three layers, not one.",
                0: "These are the MACs of the 7×7 layer. How many fewer has the stack?",
            },
            large={54: "These are the MACs of the stack. How many fewer are they?"},
            channels={
                1: "Every position needs the weights of all 128 · 128 pairs of channels.",
                128: "There are 128 · 128 pairs of channels, not 128.",
                128**3: "The channels are counted once more; there are 128 · 128 pairs.",
            },
            positions={
                1: "These are weights. Each is used at every one of the 56 · 56 places.",
                56: "There are 56 · 56 positions, not 56.",
                **{
                    side**2: f"The maps have 56 · 56 positions, not {side} · {side}."
                    for side in (28, 50, 54, 55, 58, 112, 224)
                },
            },
            images={
                batch: f"This is for {batch} images; one image is asked for."
                for batch in (16, 32, 64, 256)
            },
        )
        | {
            round(share, digits): "This is a share, or percent; give the number of MACs."
            for share in shares
            for digits in (1, 2, 3, 17)
        }
        | {
            2 * pairs * places: (
                "In Python `7 ^ 2` is 5 and `3 ^ 2` is 1; the powers are `7 ** 2` and `3 ** 2`."
            ),
            -saved: "The stack saves MACs: take its MACs from those of the 7×7 layer.",
            seven + 128 - 3 * (one + 128): (
                "This is the difference of the parameters. Each weight is used at every one of the "
                "56 · 56 places, and biases are left out."
            ),
            **dict.fromkeys(
                (
                    seven * 50 * 50 - 3 * one * 54 * 54,
                    seven * 50 * 50 - one * (54**2 + 52**2 + 50**2),
                ),
                "With the padding all layers have 56 · 56 places.",
            ),
        },
    }
    expect_numbers(
        answer,
        {"three_3x3": 3 * (one + 128), "one_7x7": seven + 128, "macs_saved": saved},
        common,
        macs=["macs_saved"],
        with_biases={"macs_saved": (seven + 128 - 3 * (one + 128)) * places},
        otherwise={
            "three_3x3": (
                "A 3×3 layer has 9 · 128 weights for each of its 128 outputs, and 128 biases."
            ),
            "one_7x7": "Count as for one layer of the stack, with another kernel.",
            "macs_saved": "MACs are weights times positions, here 56 · 56 for every layer.",
        },
    )
    return f"{3 * one // pairs} weights for each pair of channels instead of {seven // pairs}."


def _be(things: Sequence) -> str:
    return "is" if len(things) == 1 else "are"


# --- vgg.2: the block -----------------------------------------------------------------------------


_CONV = "nn.Conv2d(in_channels, out_channels, k, padding=k // 2)"
_RELU = "        parts.append(nn.ReLU())\n"
_POOL = "    parts.append(nn.MaxPool2d(kernel_size=2, stride=2))\n"
_LOOP = "    for k in map(int, kernel_sizes):\n"
_LAST_RELU = (
    "The last convolution has no ReLU; every convolution is followed by one.",
    "There is one ReLU only, at the end of the block; every convolution is followed by one. "
    "Without a ReLU between them two convolutions are one linear convolution.",
)
_POOLS = {
    "The pooling windows overlap (3×3, stride 2), as AlexNet's do. VGG's are 2×2.": (
        "kernel_size=2, stride=2",
        "3, 2",
    ),
    "The pooling windows overlap (3×3, stride 2, padding 1). VGG's are 2×2.": (
        "kernel_size=2, stride=2",
        "3, 2, 1",
    ),
    "The pooling rounds an odd size up; torch's default rounds it down.": (
        "stride=2",
        "stride=2, ceil_mode=True",
    ),
    "The pooling is inside the loop, after every convolution; a block has one, at its end.": (
        _POOL,
        f"    {_POOL}",
    ),
    "The pooling comes first; it should come last.": (
        *(_POOL, ""),
        *(_LOOP, f"{_POOL}{_LOOP}"),
    ),
    "The pooling is as large as the map; it should be 2×2, with stride 2.": (
        "nn.MaxPool2d(kernel_size=2, stride=2)",
        "nn.AdaptiveMaxPool2d(1)",
    ),
}
_CELLS = {
    "The convolutions have no padding, so the maps get smaller; a k×k kernel needs k // 2.": (
        "k // 2",
        "0",
    ),
    "The padding is always 1, which suits 3×3 only: a k×k kernel needs k // 2.": ("k // 2", "1"),
    "There is no ReLU at all, so the convolutions together are one linear convolution.": (
        _RELU,
        "",
    ),
    _LAST_RELU[1]: (*(_RELU, ""), *(_POOL, "    parts.append(nn.ReLU())\n" + _POOL)),
    _LAST_RELU[0]: (_POOL, f"    del parts[-1]\n{_POOL}"),
    "Each ReLU is before its convolution; it should be after it.": (
        *(_RELU, ""),
        *(_LOOP, f"{_LOOP}{_RELU}"),
    ),
    "Only the first convolution is followed by a ReLU; every one should be.": (
        _RELU,
        "        parts += [nn.ReLU()] if len(parts) == 1 else []\n",
    ),
    "There is a batch norm after each convolution; the task asks for none.": (
        _RELU,
        f"        parts.append(nn.BatchNorm2d(out_channels))\n{_RELU}",
    ),
    "There is a ReLU on the input, which cuts off its negative values.": (
        "parts = []",
        "parts = [nn.ReLU()]",
    ),
}
SLIPS = {
    "vgg.2": {
        **_CELLS,
        **_POOLS,
        "The last convolution has stride 2, and there is no pooling. In VGG the convolutions keep "
        "the size, and the pooling halves it.": (_POOL, "    parts[-2].stride = (2, 2)\n"),
        "Every convolution is 3×3: the digits of `kernel_sizes` are not used.": (
            _LOOP,
            "    for k in [3] * len(kernel_sizes):\n",
        ),
        "All convolutions have the first kernel size; each has its own digit.": (
            _LOOP,
            "    for k in [int(kernel_sizes[0])] * len(kernel_sizes):\n",
        ),
        "The kernel sizes are in the reverse order.": (
            "map(int, kernel_sizes)",
            "map(int, reversed(kernel_sizes))",
        ),
        "The kernel sizes are sorted; each stays in its place.": (
            "map(int, kernel_sizes)",
            "map(int, sorted(kernel_sizes))",
        ),
        "A digit that comes twice is taken once only (as in a set); each one is a convolution.": (
            "map(int, kernel_sizes)",
            "map(int, dict.fromkeys(kernel_sizes))",
        ),
        '`ord` gives the code of a character, 51 for "3"; `int` gives the number.': (
            "map(int, kernel_sizes)",
            "map(ord, kernel_sizes)",
        ),
        'The whole text becomes one number, 33 of "33"; `int` takes one digit at a time.': (
            "map(int, kernel_sizes)",
            "[3] * int(kernel_sizes)",
        ),
        "The `return` is inside the loop, so the block ends after its first convolution.": (
            "        in_channels = out_channels\n",
            "        return nn.Sequential(*parts)\n",
        ),
        "Only the last convolution widens the maps to out_channels; the first should, and the "
        "others keep them.": (
            *(_LOOP, "    for n, k in enumerate(map(int, kernel_sizes), 1):\n"),
            *(
                _CONV,
                "nn.Conv2d(in_channels, width := out_channels if n == len(kernel_sizes) else "
                "in_channels, k, padding=k // 2)",
            ),
            *("in_channels = out_channels", "in_channels = width"),
        ),
    }
}


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def _explain_channels(module: nn.Module, in_channels: int, what: str) -> None:
    """Raises `Wrong` if a convolution does not take what the layer before it gives."""
    given, giver = in_channels, "the images have"
    for number, layer in enumerate(_convolutions(module), start=1):
        if layer.in_channels not in (given, 0):  # 0: a lazy layer before its first call
            text = (
                f"Convolution {number} of {what} takes {layer.in_channels} channels, but {giver} "
                f"{given}."
            )
            if number == 1 and layer.in_channels == 3:
                text = f"`in_channels` is not used. {text}"
            raise Wrong(text)
        given, giver = layer.out_channels, f"convolution {number} gives"


def _expect_convolutions(module: nn.Module, right: int, what: str) -> None:
    """Convolutions are `nn.Conv2d`: later cells count them and give them weights."""
    if not _convolutions(module):
        raise Wrong(
            f"{what} has no `nn.Conv2d`. The chapter counts these layers later and gives them "
            f"weights, so the task asks for them: {right} here. It consists of {layers(module)}."
        )


def _other_count(module: nn.Module, right: int, what: str) -> str:
    """What to say of a wrong number of convolutions, or nothing."""
    found = len(_convolutions(module))
    if found == right:
        return ""
    return (
        f"{what} has {found} convolution{'' if found == 1 else 's'}; {right} "
        f"{'is' if right == 1 else 'are'} right: one for each digit. (A layer that is used twice "
        "shares its weights, and counts once.)"
    )


@contextmanager
def _listing_explained(module: nn.Module) -> Iterator[None]:
    """Adds to a message that lists the layers of `module` what such a list cannot show."""
    every = [m for _, m in module.named_modules(remove_duplicate=False)]
    plain = (nn.Sequential, nn.ModuleList)
    complete = len(every) == len(set(every)) and all(
        isinstance(m, plain) for m in every if list(m.children())
    )
    try:
        yield
    except Wrong as error:
        if complete or "consists of" not in str(error):
            raise
        raise type(error)(
            f"{error} (The list has each layer once, however often it is called; functional calls "
            "such as F.relu are not listed.)"
        ) from error.__cause__


def _run(module: nn.Module, shape: tuple[int, ...], what: str) -> Tensor:
    """Calls a network or block of the learner with random images of this shape."""
    given = f"{what} (given a tensor of shape {shape})"
    try:
        with trace.unwatched():  # its weights are its own, so what comes out tells nothing
            return call(module, torch.randn(shape), what=given)
    except Wrong as error:
        trace.see(error.__cause__ or error)  # but why it cannot run does
        raise


def _by_name(reference: Callable, arguments: tuple, first: int) -> tuple[tuple, dict[str, Any]]:
    """The arguments from number `first` on by their names, as a later call may give them."""
    names = list(inspect.signature(reference).parameters)
    return arguments[:first], dict(zip(names[first:], arguments[first:]))


def _expect_parameters(module: nn.Module, shape: tuple[int, ...], what: str) -> None:
    """Raises `Wrong` if torch does not see all layers: some are in a list, or made in `forward`."""
    values = [*module.parameters(), *module.buffers()]
    lazy = any(map(nn.parameter.is_lazy, values))
    with trace.unwatched():
        lost = unregistered(module, shape if not values else None)
    if lost:
        raise Wrong(f"{what}: {lost}")
    if not lazy and not values:
        raise Wrong(f"{what} has no parameters that torch can see.")


def _unasked(module: nn.Module, asked: tuple[type, ...]) -> str:
    """Layers that the task does not ask for, in a sentence each."""
    leaves = [m for m in module.modules() if not list(m.children())]
    asked = (*asked, nn.Sequential, nn.ModuleList, nn.Identity)
    own = [m for m in leaves if type(m).__module__.startswith("torch.nn")]
    found = [
        f"`{kind}` is there, which the task does not ask for."
        for kind in dict.fromkeys(type(m).__name__ for m in own if not isinstance(m, asked))
    ]
    return " ".join(found)


@contextmanager
def _explained(meanings: dict[str, str]) -> Iterator[None]:
    """Adds what an exception means here: {what its text matches: a sentence}."""
    try:
        yield
    except Wrong as error:
        text = f"{type(error.__cause__).__name__}: {error.__cause__}"
        for pattern, meaning in meanings.items():
            if error.__cause__ and re.search(pattern, text):
                raise Wrong(f"{meaning} {error}") from error.__cause__
        raise


_DIGITS = {
    "'str'|(not|got) str": (
        '`kernel_sizes` is a text, such as "33": loop over its digits, and `int(digit)` makes a '
        "number of each."
    ),
}


def vgg_2(answer, reference):
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"vgg_block is {describe(answer)}; it should be a function or a class that builds a "
            "block for any number of channels."
        )
    cases = [  # in_channels, out_channels, kernel_sizes; shape of the maps
        ((3, 8, "33"), (2, 3, 9, 12)),
        ((4, 6, "153"), (2, 4, 8, 7)),
        ((2, 5, "5"), (2, 2, 10, 11)),
        ((3, 4, "333"), (2, 3, 6, 8)),  # two equal convolutions, each with its own weights
        ((4, 4), (2, 4, 6, 7)),  # kernel_sizes left at its default, channels that stay
    ]
    for arguments, shape in cases:
        with _explained(_DIGITS):
            given, named = _by_name(reference, arguments, 2)
            block = make(answer, *given, **named)
        if isinstance(block, (nn.ModuleList, nn.ParameterList)):
            raise Wrong(
                f"vgg_block gives {describe(block)}, which holds layers and does not call them: "
                "return nn.Sequential(*parts)."
            )
        with _listing_explained(block):
            _expect_block(block, reference(*arguments), arguments, shape)
    return "It computes what the paper's block computes, gradients included."


def _expect_block(block: nn.Module, right: nn.Module, arguments: tuple, shape: tuple) -> None:
    """Raises `Wrong` unless `block` computes what vgg_block(*arguments) should."""
    in_channels, _, digits = (*arguments, "33")[:3]
    what = f"vgg_block{arguments}"
    if any(isinstance(m, nn.ReLU) and isinstance(m.inplace, nn.Module) for m in block.modules()):
        raise Wrong(
            "`nn.ReLU(nn.Conv2d(…))` hands the convolution to the argument `inplace`. The two are "
            "layers one after the other: `nn.Conv2d(…), nn.ReLU()`."
        )
    _expect_parameters(block, shape, what)
    _expect_convolutions(block, len(digits), what)
    count = _other_count(block, len(digits), what)
    if len(arguments) == 2 and (other := count or _other_kernel(block, digits)):
        raise Wrong(f'Without `kernel_sizes` it should be "33", as in the stub. {other}')
    pools = [m for m in block.modules() if isinstance(m, nn.MaxPool2d)]
    suspicions = [
        _unasked(block, (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d)),
        f"There are {len(pools)} poolings; a block has one, at its end." if len(pools) > 1 else "",
        "The pooling gives its indices too (return_indices=True)."
        if any(m.return_indices for m in pools)
        else "",
        "With other channels it is right. Is there a skip connection, which the task does not ask "
        "for, where the channels stay?"
        if len(arguments) == 2
        else "",
        _other_kernel(block, digits),
        *(
            f"Convolution {number} has stride {layer.stride[0]}. In VGG the convolutions keep the "
            "size, and the pooling halves it."
            for number, layer in enumerate(_convolutions(block), start=1)
            if not pools and layer.stride != (1, 1)
        ),
    ]
    suspicion = " ".join(filter(None, suspicions))
    try:
        _run(block.train(), shape, what)
        same_outputs(block, right, shape)
    except Wrong as error:
        _explain_channels(block, in_channels, what)
        raise _suspected(error, suspicion, f"{count} {what}".strip()) from error.__cause__
    if count:
        raise Wrong(count)
    weights = [m.weight for m in _convolutions(block)]
    if not any(weight.abs().max() > 0 for weight in weights):
        raise Wrong(
            f"{what}: all weights of the convolutions are 0, so no gradient flows through them and "
            "nothing is learned. Leave the weights that torch draws."
        )
    with torch.no_grad():
        largest = block.eval()(1000 * torch.randn(shape)).max().item()
    if 1e-6 < largest <= 6:
        raise Wrong(
            f"{what}: no output is above {largest:.3g}, however large the input: the activation "
            "has a ceiling (ReLU6 has one at 6). A ReLU has none."
        )


def _suspected(error: Wrong, suspicion: str, what: str) -> Wrong:
    """The error with what was seen besides; it is said if nobody finds the cause."""
    text = str(getattr(error, "message", error))
    text = text if what in text else f"{what}: {text}"
    if isinstance(error, Unexplained):
        return Unexplained(text, f"{error.suspicion} {suspicion}".strip())
    return Wrong(f"{text} {suspicion}".strip())


def _other_kernel(module: nn.Module, digits: str) -> str:
    """Which kernel is not as large as its digit says, or nothing."""
    for number, (layer, digit) in enumerate(zip(_convolutions(module), digits), start=1):
        size = "×".join(map(str, layer.kernel_size))
        if size != f"{digit}×{digit}":
            return f"Convolution {number} has a {size} kernel; its digit is {digit}."
    return ""


# --- vgg.3: receptive fields by formula -----------------------------------------------------------


_STEP = "field += (kernel_size - 1) * distance"
_STRIDE = "distance *= stride"
_BOTH = f"{_STEP}\n        {_STRIDE}"
_OVER = "for kernel_size, stride in layers:"
SLIPS["vgg.3"] = {
    "A layer's own stride is counted for its own kernel. It spreads the layer's outputs, so it "
    "counts from the next layer on.": (_BOTH, f"{_STRIDE}\n        {_STEP}"),
    "The strides are added up; they multiply.": (
        *("field, distance = 1, 1", "field, distance, total = 1, 1, 0"),
        *(_STRIDE, "total += stride; distance = total"),
    ),
    **{
        "The distance is divided by the stride; it is multiplied by it." + ending: (
            _STRIDE,
            f"distance = distance {sign} stride",
        )
        for sign, ending in (("/", ""), ("//", " (It is rounded down, too.)"))
    },
    "A 1 is taken away for every layer; it belongs into the bracket: (k - 1) · distance.": (
        *("(kernel_size - 1)", "kernel_size"),
        *("= 1, 1", "= 0, 1"),
        *("return field", "return field - len(layers) + 1"),
    ),
    "Every layer is counted as 3×3 with stride 1; each brings its own.": (
        "return field",
        "return 2 * len(layers) + 1",
    ),
    "The largest kernel counts, and every other layer as 3×3 with stride 1; each brings its own.": (
        "return field",
        "return max(k for k, _ in layers) + 2 * (len(layers) - 1)",
    ),
    **{
        f"This is the size of the last map for images of {side} pixels; the field of one unit is "
        "asked for.": (
            *("field, distance = 1, 1", f"field, distance = {side}, 1"),
            *(_BOTH, "field = (field - kernel_size) // stride + 1"),
        )
        for side in (224, 32, 28)
    },
    "The fields of all layers are returned; that of the last one alone is asked for.": (
        *("field, distance = 1, 1", "field, distance, fields = 1, 1, []"),
        *(_STRIDE, f"{_STRIDE}; fields.append(field)"),
        *("return field", "return fields"),
    ),
    "The list is unpacked as if it were one pair; go through its pairs with a loop.": (
        "    for kernel_size",
        "    kernel_size, stride = layers\n    return kernel_size\n    for kernel_size",
    ),
    "A layer is a pair of numbers here, not a module: `for k, s in layers`.": (
        _OVER,
        "for layer in layers:\n        kernel_size, stride = layer.kernel_size, layer.stride",
    ),
    "The kernel sizes are added up. Neighbouring fields overlap, so a layer adds (k - 1) steps.": (
        _STEP,
        "field += kernel_size",
        *("= 1, 1", "= 0, 1"),
    ),
}


def vgg_3(answer, reference):
    vgg16 = []
    for convolutions in (2, 2, 3, 3, 3):
        vgg16 += [(3, 1)] * convolutions + [(2, 2)]
    try:
        same_results(
            answer,
            reference,
            ([(3, 1), (3, 1)],),
            ([(3, 1), (2, 2), (3, 1)],),
            ([(7, 1)],),
            ([(3, 2), (1, 1), (5, 2), (3, 1), (4, 3), (2, 1)],),
            ([*vgg16, (2, 1)],),  # 244 pixels: more than an image has
        )
    except Wrong as error:
        if " raised " in str(error) and "*" in str(inspect.signature(answer)):
            raise Wrong(f"`layers` is one list: write it without a star. {error}") from None
        raise
    return f"VGG-16's last map sees {reference(vgg16)} pixels of the image along each axis."


# --- vgg.4: the network from the table ------------------------------------------------------------


_FIRST = "nn.Linear(in_channels * size * size, hidden)"
_HIDDEN = "nn.ReLU(),\n        nn.Dropout(0.5),\n        nn.Linear(hidden, hidden),\n"
_END = "nn.ReLU(),\n        nn.Dropout(0.5),\n        nn.Linear(hidden, num_classes),\n"
_PAIRS = "zip(blocks, widths, strict=True):"
_THREE = "vgg_block(in_channels, width, kernel_sizes)"


def _after(text: str) -> tuple[str, str]:
    return _END, f"{_END}        {text},\n"


SLIPS["vgg.4"] = {
    "There is no dropout.": ("        nn.Dropout(0.5),\n", ""),
    "There is a softmax at the end. The loss function contains it; the network gives logits.": (
        _after("nn.Softmax(1)")
    ),
    "The second hidden layer has no dropout.": (_END, _END.replace("nn.Dropout(0.5),", "")),
    "The dropout is before the linear layers, so it drops their inputs, among them the maps; it "
    "should drop what the ReLUs give.": (
        *(_HIDDEN, "nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, hidden),\n"),
        *(_END, "nn.ReLU(), nn.Linear(hidden, num_classes)\n"),
        *(_FIRST, f"nn.Dropout(0.5), {_FIRST}"),
    ),
    "There is a dropout after each block; it should be on what the ReLUs of the linear layers "
    "give.": (f"parts.append({_THREE})", f"parts += [{_THREE}, nn.Dropout(0.5)]"),
    "The second dropout is on the logits; it should be on what the second ReLU gives.": (
        _END,
        "nn.ReLU(), nn.Linear(hidden, num_classes), nn.Dropout(0.5),\n",
    ),
    "There is no ReLU between the linear layers, so the three together are one linear layer.": (
        *(_HIDDEN, _HIDDEN.replace("nn.ReLU(),", "")),
        *(_END, _END.replace("nn.ReLU(),", "")),
    ),
    "The first linear layer has no ReLU.": (_HIDDEN, _HIDDEN.replace("nn.ReLU(),", "")),
    "The second linear layer has no ReLU.": (_END, _END.replace("nn.ReLU(),", "")),
    "The activation is a sigmoid; it should be a ReLU.": ("nn.ReLU()", "nn.Sigmoid()"),
    "There is a ReLU on the logits; logits may be negative.": _after("nn.ReLU()"),
    "There is a log-softmax at the end. The loss function contains it; the network gives "
    "logits.": _after("nn.LogSoftmax(1)"),
    "There is a dropout on the logits.": _after("nn.Dropout()"),
    "There is only one hidden layer; two are asked for.": (_HIDDEN, ""),
    "There is no hidden layer.": (
        *(_HIDDEN, ""),
        *(_END, ""),
        *("size * size, hidden)", "size * size, num_classes)"),
    ),
    "There are three hidden layers; two are asked for.": (_HIDDEN, 2 * _HIDDEN),
    "There are four hidden layers; two are asked for.": (_HIDDEN, 3 * _HIDDEN),
    "The hidden layer is used twice, so that both share their weights; make two layers.": (
        *(
            "    return nn.Sequential(",
            "    again = nn.Linear(hidden, hidden)\n    return nn.Sequential(",
        ),
        *("nn.Linear(hidden, hidden),", "again, nn.ReLU(), nn.Dropout(0.5), again,"),
    ),
    "The maps are pooled to 7×7 (as torchvision does it); here they are flattened as they are.": (
        *("nn.Flatten()", "nn.AdaptiveAvgPool2d(7), nn.Flatten()"),
        *("in_channels * size * size", "in_channels * 49"),
    ),
    "There is one more pooling after the blocks, which have their own.": (
        *("nn.Flatten()", "nn.MaxPool2d(2), nn.Flatten()"),
        *("len(blocks)\n", "(len(blocks) + 1)\n"),
    ),
    "The maps are averaged before the linear layers (as NiN does it); VGG flattens them.": (
        *("nn.Flatten()", "nn.AdaptiveAvgPool2d(1), nn.Flatten()"),
        *("in_channels * size * size", "in_channels"),
    ),
    **{
        f"The dropout is {p:g}; 0.5 is asked for.": ("nn.Dropout(0.5)", f"nn.Dropout({p})")
        for p in (0.1, 0.2, 0.25, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9)
    },
    'Every block is "33": the kernel sizes in `blocks` are not handed on to vgg_block.': (
        ", kernel_sizes)",
        ")",
    ),
    "Only the first kernel of each block is handed on to vgg_block.": (
        ", kernel_sizes)",
        ", kernel_sizes[0])",
    ),
    **{
        f"{words}; go through `blocks` and `widths` together, from first to last.": (
            _PAIRS,
            f"{pairs}:",
        )
        for words, pairs in (
            ("The first block is missing", "zip(blocks[1:], widths[1:])"),
            ("The last block is missing", "zip(blocks[:-1], widths[:-1])"),
            ("`blocks` is in reverse order", "zip(blocks[::-1], widths)"),
            ("`widths` is in reverse order", "zip(blocks, widths[::-1])"),
            ("`blocks` and `widths` are in reverse order", "zip(blocks[::-1], widths[::-1])"),
            ("`widths` is not used", "zip(blocks, (64, 128, 256, 512, 512))"),
        )
    },
    "Every convolution is 3×3: the digits of `blocks` are not used.": (
        _THREE,
        'vgg_block(in_channels, width, "3" * len(kernel_sizes))',
    ),
    **{
        f"In the blocks: {words}": (
            _THREE,
            f"nn.Sequential(*(m for m in {_THREE} if not isinstance(m, nn.{kind})))",
        )
        for words, kind in (
            ("the pooling is missing.", "MaxPool2d"),
            ("there is no ReLU, so the convolutions together are one linear convolution.", "ReLU"),
        )
    },
    "In the blocks: the last convolution alone has a ReLU.": (
        _THREE,
        f"nn.Sequential(*(m for n, m in enumerate({_THREE}) if not isinstance(m, nn.ReLU) or "
        "n == 2 * len(kernel_sizes) - 1))",
    ),
    "In the blocks: there is a batch norm after each convolution.": (
        _THREE,
        "nn.Sequential(*(n for m in "
        f"{_THREE} for n in ([m, nn.BatchNorm2d(width)] if isinstance(m, nn.Conv2d) else [m])))",
    ),
}


_BUILDING = {
    "ellipsis": "The three dots are still there: say how many values the first linear layer gets.",
    "IndexError": "The number of blocks is not fixed: go through `blocks` as it is.",
    "'int' object is not iterable|len": (
        'vgg_block takes the kernel sizes as a text, such as "33": hand it the entry of `blocks`.'
    ),
}


def vgg_4(answer, reference):
    cases = [
        (("3", "33"), (7, 5), 2, 4, 12, 11),
        (("1", "3", "33", "5", "331"), (2, 3, 4, 5, 6), 1, 4, 32, 8),
        (("33", "3", "31"), (5, 3, 4), 3, 6, 31, 9),
        (("3", "33", "33"), (4, 4, 4), 2, 3, 16, 5),  # two equal blocks, each with its own weights
    ]
    for case in cases:
        with _explained(_BUILDING):
            given, named = _by_name(reference, case, 1)
            network = make(answer, *given, **named)
        with _listing_explained(network):
            _expect_network(network, reference(*case), case)
    _expect_defaults(answer, reference)
    return "One function, and every column of the table is one call."


def _expect_defaults(answer: Any, reference: Callable) -> None:
    """Raises `Wrong` unless `blocks` alone gives the network of the paper, which the chapter builds
    next; on the meta device, where weights take no memory."""
    blocks, shape = ("3", "3", "33", "33", "33"), (1, 3, 224, 224)
    advice = (
        "All arguments given, it is right. But the chapter goes on with vgg(blocks) alone, which "
        "should give the network of the paper. Keep the defaults of the stub: widths (64, 128, "
        "256, 512, 512), 3 channels, 1000 classes, images of 224 pixels, 4096 hidden units."
    )
    with torch.device("meta"), torch.no_grad():
        right = reference(blocks)
        try:
            network = make(answer, blocks).eval()
            if any(map(nn.parameter.is_lazy, network.parameters())):
                with trace.unwatched():
                    call(network, torch.empty(shape))  # gives them their shapes; it takes seconds
        except Wrong as error:
            raise Wrong(f"{advice} {error}") from None
    mine, wanted = ([p.shape for p in net.parameters() if p.ndim > 1] for net in (network, right))
    if sorted(mine) != sorted(wanted):
        raise Wrong(
            f"{advice} Yours has {count_parameters(network):,} parameters with them, not "
            f"{count_parameters(right):,}."
        )


def _expect_network(network: nn.Module, right: nn.Module, case: tuple) -> None:
    """Raises `Wrong` unless `network` computes what vgg(*case) should."""
    blocks, in_channels, size = case[0], case[2], case[4]
    what = f"vgg{case}"
    shape = (3, in_channels, size, size)
    _expect_parameters(network, shape, what)
    _expect_linear_head(network, sum(map(len, blocks)), what)
    convolutions = sum(map(len, blocks))
    _expect_convolutions(network, convolutions, what)
    try:
        _run(network.train(), shape, what)
    except Wrong:
        _explain_channels(network, in_channels, what)
        _expect_vectors(network, shape, what)
        _explain_flattened(network, right, case, what)
        raise
    _expect_logits(network, shape, case, what)
    images = torch.randn(shape)
    with torch.no_grad():
        if not torch.equal(network.eval()(images), network(images)):
            raise Wrong(
                f"{what} gives other logits each time, in eval mode too: the dropout is still "
                "active in eval mode. nn.Dropout is switched off by eval(); F.dropout needs "
                "training=self.training."
            )

    try:
        same_outputs(network, right, shape)
    except Wrong as error:
        asked = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten, nn.Linear, nn.Dropout)
        count = _other_count(network, convolutions, what)
        raise _suspected(error, _unasked(network, asked), f"{count} {what}".strip()) from None
    if wrong_count := _other_count(network, convolutions, what):
        raise Wrong(wrong_count)
    _expect_order(network.eval(), images, what)


def _expect_order(network: nn.Module, images: Tensor, what: str) -> None:
    """Raises `Wrong` if the maps are flattened in another order than nn.Flatten's: the chapter
    gives the network weights that are in this order."""
    pools = [m for m in network.modules() if isinstance(m, nn.MaxPool2d)]
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    maps: list[Tensor] = []
    vectors: list[Tensor] = []
    hooks = [m.register_forward_hook(lambda _, x, y: maps.append(y)) for m in pools]
    hooks += [m.register_forward_pre_hook(lambda _, x: vectors.append(x[0])) for m in linear]
    with torch.no_grad(), trace.unwatched():
        network(images)
    for hook in hooks:
        hook.remove()
    if not maps or not vectors:
        return
    last, first = maps[-1].flatten(1), vectors[0]
    again = first.shape == last.shape and torch.equal(first.sort(1).values, last.sort(1).values)
    if again and not torch.equal(first, last):
        raise Wrong(
            f"{what}: the maps are flattened in another order than nn.Flatten's. The network can "
            "learn so, but the chapter gives it weights in that order: all positions of the first "
            "channel come first."
        )


def _expect_linear_head(network: nn.Module, in_blocks: int, what: str) -> None:
    """Raises `Wrong` if the three layers of the head are convolutions."""
    linear = any(isinstance(m, nn.Linear) for m in network.modules())
    if not linear and len(_convolutions(network)) == in_blocks + 3:
        raise Wrong(
            f"The head of {what} consists of convolutions. They can compute the same, but the head "
            "should be linear layers, after a flatten."
        )


def _expect_vectors(network: nn.Module, shape: tuple[int, ...], what: str) -> None:
    """Raises `Wrong` if a linear layer gets maps instead of vectors."""
    got: list[tuple[int, ...]] = []
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    hooks = [
        m.register_forward_pre_hook(lambda _, x: got.append(tuple(x[0].shape))) for m in linear
    ]
    try:
        with trace.unwatched():
            call(network, torch.randn(shape))
    except Wrong:
        pass  # the caller tells what torch says if this does not explain it
    finally:
        for hook in hooks:
            hook.remove()
    if got and len(got[0]) == 4:
        raise Wrong(
            f"The first linear layer of {what} gets maps of shape {got[0]}: they have to be "
            "flattened into one vector for each image first (nn.Flatten, or .flatten(1))."
        )


def _expect_logits(network: nn.Module, shape: tuple, case: tuple, what: str) -> None:
    """Raises `Wrong` if an argument is not used, or if there is no classifier."""
    num_classes, hidden = case[3], case[5]
    logits = _run(network.eval(), shape, what)
    if isinstance(logits, Tensor) and logits.ndim == 4:
        _expect_vectors(network, shape, what)
        raise Wrong(
            f"{what} gives maps of shape {tuple(logits.shape)}: the classifier is missing. It "
            f"consists of {layers(network)}."
        )
    if isinstance(logits, Tensor) and logits.shape[-1] == 1000:
        raise Wrong(f"{what} gives 1000 logits: num_classes={num_classes} is not used.")
    wide = [m.out_features == 4096 for m in network.modules() if isinstance(m, nn.Linear)]
    if any(wide):
        number = wide.index(True) + 1
        raise Wrong(
            f"Linear layer {number} of {what} has 4096 outputs: hidden={hidden} is not used there."
        )


def _explain_flattened(network: nn.Module, right: nn.Module, case: tuple, what: str) -> None:
    """Raises `Wrong` if a linear layer expects another number of values than it gets."""
    blocks, widths, _, _, image, _ = case
    n, channels, side = len(blocks), widths[-1], image // 2 ** len(blocks)
    sides = {  # what else the first linear layer may be made for
        image: "The blocks halve the size; this is the size of the images.",
        -(-image // 2**n): "Every block rounds the size down, not up.",
        image // (2 * n): (
            f"{n} blocks halve the size {n} times: it is divided by 2 ** {n}, not by 2 · {n}."
        ),
        image // 2: "Every block halves the size, not only one.",
        image // 2 ** (n - 1): f"Every block halves the size, all {n} of them.",
        image // 2 ** (n + 1): "The size is halved once too often.",
        image // 2**5: "The number of blocks is not always 5.",
        7: "The last maps are 7×7 for images of 224 only.",
    }
    numbers = {
        512: "The last block does not always have 512 channels: `widths` says it.",
        widths[0]: "The channels are those of the last block, not of the first.",
        case[2]: "The channels are those of the last block, not of the images.",
        sum(widths): "The channels of the blocks are not added up: the last block's are flattened.",
        1: "Each of the channels has size · size positions.",
    }
    causes = {
        channels * side: "The maps have size · size positions, not size.",
        channels: "The maps have size · size positions, and all of them are flattened.",
        512 * 49: "512 channels and 7×7 positions are those of the paper's network only.",
        channels * (image**2 // 4**n): "Every block rounds the size down, before it is squared.",
    }
    causes |= {channels * k**2: text for k, text in reversed(sides.items()) if k != side}
    causes |= {c * side**2: text for c, text in numbers.items() if c != channels}
    given = [[m for m in net.modules() if isinstance(m, nn.Linear)] for net in (network, right)]
    for number, (mine, wanted) in enumerate(zip(*given, strict=False), start=1):
        lazy = isinstance(mine.weight, nn.UninitializedParameter)
        got, made_for = wanted.in_features, mine.in_features
        if made_for != got and not lazy and not shared_layer(network):
            cause = "It gets what the layer before it gives."
            if number == 1:
                k = math.isqrt(made_for // channels)
                square = f"Your layer is made for maps of {k}×{k}; they are {side}×{side}."
                cause = causes.get(made_for) or (square if channels * k**2 == made_for else "")
                cause += f" Flattened there are channels · size · size values, here {got}."
            raise Wrong(
                f"{cause.strip()} Linear layer {number} of {what} takes {made_for:,} values, but "
                f"it gets {got:,}."
            )


# --- vgg.5: repair --------------------------------------------------------------------------------

_REPAIR = ((1, 8), (1, 16), (2, 24), (2, 32))
_FIVE_CONV = "            parts.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))\n"


SLIPS["vgg.5"] = {
    "The ReLU comes once for each block, after its convolutions; it comes after every "
    "convolution.": (
        *("            parts.append(nn.ReLU())\n", ""),
        *("        parts.append(nn.MaxPool2d(2))", "        parts += [nn.ReLU(), nn.MaxPool2d(2)]"),
    ),
    "There is no ReLU between the convolutions.": ("            parts.append(nn.ReLU())\n", ""),
    "The last convolution of each block has no ReLU.": (
        "        parts.append(nn.MaxPool2d(2))",
        "        parts[-1] = nn.MaxPool2d(2)",
    ),
    "Each ReLU is before its convolution; it should be after it.": (
        *("            parts.append(nn.ReLU())\n", ""),
        *(_FIVE_CONV, f"            parts.append(nn.ReLU())\n{_FIVE_CONV}"),
    ),
    "The pooling comes first in each block; it should come last.": (
        *("        parts.append(nn.MaxPool2d(2))\n", ""),
        *("        for _ in", "        parts.append(nn.MaxPool2d(2))\n        for _ in"),
    ),
    "The pooling takes the average now; the maximum was right.": ("MaxPool2d", "AvgPool2d"),
    "The poolings are 3×3 with stride 2 now; 2×2 was right.": (
        "MaxPool2d(2)",
        "MaxPool2d(3, 2, 1)",
    ),
    "There is a batch norm after each convolution. It would help, but nothing else should "
    "change.": ("parts.append(nn.ReLU())", "parts += [nn.BatchNorm2d(width), nn.ReLU()]"),
    "The activation is another one now; the ReLU was right.": (
        "parts.append(nn.ReLU())",
        "parts.append(nn.LeakyReLU())",
    ),
    "There is a softmax at the end. The loss function contains it.": (
        "*classifier)",
        "*classifier, nn.Softmax(1))",
    ),
    "The ReLU of the classifier is gone; it was right.": ("nn.ReLU(), nn.Linear", "nn.Linear"),
    "There is a dropout in the classifier; nothing else should change.": (
        "nn.ReLU(), nn.Linear",
        "nn.ReLU(), nn.Dropout(), nn.Linear",
    ),
}


def vgg_5(answer, reference):
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"repaired_vgg is {describe(answer)}; it should stay a function that builds one."
        )
    network = make(answer)
    with _listing_explained(network):
        _expect_repaired(network, reference())
    seven = _run(make(answer, 7), (2, 1, 32, 32), "repaired_vgg(7)")
    if tuple(seven.shape) != (2, 7):
        raise Wrong(
            f"With num_classes=7 the network gives {describe(seven)}; 7 logits are expected."
        )
    return "All four mistakes are gone."


def _expect_repaired(network: nn.Module, right: nn.Module) -> None:
    """Raises `Wrong` unless `network` computes what the repaired one should."""
    what, shape = "repaired_vgg()", (2, 1, 32, 32)
    _expect_parameters(network, shape, what)
    convolutions = _convolutions(network)
    if len(convolutions) != 6:
        raise Wrong(
            f"{what} has {len(convolutions)} convolutions; the table asks for 1 + 1 + 2 + 2 = 6. "
            f"The inner loop runs `num_convs` times. It consists of {layers(network)}."
        )
    faults = _faults(network)
    try:
        _run(network.train(), shape, what)
    except Wrong:
        _expect_vectors(network, shape, what)
        if faults:
            raise Wrong(f"{' '.join(faults)} It consists of {layers(network)}.") from None
        raise
    try:
        same_outputs(network, right, (3, 1, 32, 32))
    except Wrong as error:
        kind = Wrong if faults else type(error)
        raise kind(" ".join([*faults, str(error)])) from None


def _faults(network: nn.Module) -> list[str]:
    """What is visibly wrong with the layers of vgg.5, one sentence each."""
    found, given = [], 1
    convolutions = _convolutions(network)
    for number, layer in enumerate(convolutions, start=1):
        takes = layer.in_channels
        if takes not in (given, 0):
            when = "`channels = width` comes too late: it belongs after each convolution."
            if takes == layer.out_channels:
                when = "`channels = width` comes too early: it belongs after each convolution."
            elif number == 1:
                when = "The images have one channel, and `channels` starts at 1."
            found.append(f"Convolution {number} takes {_count(takes)} but gets {given}. {when}")
            break
        given = layer.out_channels
    other = [m for m in convolutions if m.kernel_size != (3, 3)]
    if other:
        side = "×".join(map(str, other[0].kernel_size))
        found.append(f"{_of_six(other, 'is', 'are')} {side} now; 3×3 was right.")
    right = [m for m in convolutions if m.kernel_size == (3, 3)]
    bare = [m for m in right if m.padding in (0, (0, 0))]
    if bare:
        found.append(
            f"{_of_six(bare, 'has', 'have')} no padding, which takes a frame of one position away."
        )
    widths = [width for count, width in _REPAIR for _ in range(count)]
    for number, (layer, width) in enumerate(zip(convolutions, widths), start=1):
        if layer.out_channels != width:
            found.append(
                f"Convolution {number} gives {_count(layer.out_channels)}; the table says {width}."
            )
            break
    wide = [m for m in right if m.padding not in (0, (0, 0), 1, (1, 1), "same")]
    if wide:
        found.append(
            f"{_of_six(wide, 'has', 'have')} padding {wide[0].padding[0]}, so the maps "
            "grow; a 3×3 kernel needs 1 to keep the size."
        )
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if len(linear) > 2:
        found.append(f"The classifier has {len(linear)} linear layers now; 2 were right.")
    if any(isinstance(m, nn.modules.dropout._DropoutNd) for m in network.modules()):
        found.append("There is a dropout now; nothing else should change.")
    pools = [m for m in network.modules() if isinstance(m, (nn.MaxPool2d, nn.AvgPool2d))]
    if any(m.stride in (1, (1, 1)) for m in pools):
        found.append("A pooling moves by one position only; with stride 2 it halves the maps.")
    strided = [m for m in right if m.stride not in (1, (1, 1))]
    if strided:
        found.append(
            f"{_of_six(strided, 'has', 'have')} stride 2. The convolutions keep the size, and the "
            "poolings halve it."
        )
    if len(pools) != 4:
        found.append(
            f"Four blocks have four poolings, one at the end of each, and here there are "
            f"{len(pools)}."
        )
    if len(pools) > 4:
        found.append("A pooling in the inner loop comes once for each convolution.")
    adaptive = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
    if not pools and any(isinstance(m, adaptive) for m in network.modules()):
        found.append("One adaptive pooling does not take their place.")
    if any(isinstance(m, adaptive) and m.output_size in (1, (1, 1)) for m in network.modules()):
        found.append(
            "There is a global pooling now: the classifier gets 32 numbers, and 32 · 2 · 2 was "
            "right."
        )
    every = [m for _, m in network.named_modules(remove_duplicate=False)]
    if len([m for m in every if isinstance(m, nn.Conv2d)]) > len(convolutions):
        found.append(shared_layer(network))
    return found


def _count(channels: int) -> str:
    return f"{channels} channel{'s' * (channels != 1)}"


def _of_six(some: list, one: str, more: str) -> str:
    return f"{len(some)} of the 6 convolutions {one if len(some) == 1 else more}"


# --- vgg.6: two linear layers are one -------------------------------------------------------------


SLIPS["vgg.6"] = {
    "One of the two kernels is turned around: the weight at (i, j) of the second layer belongs to "
    "the first kernel shifted by (i, j). (A merge by `F.conv2d` turns one kernel, because that "
    "function moves the other way.)": ("second[:, :, i, j]", "second.flip(2, 3)[:, :, i, j]"),
    "The result is turned around, top to bottom and left to right.": (
        "return merged",
        "return merged.flip(2, 3)",
    ),
    "Height and width have changed places.": ("return merged", "return merged.transpose(2, 3)"),
    "Input and output channels have changed places.": (
        "return merged",
        "return merged.transpose(0, 1)",
    ),
    "The channels between are averaged; they are added up.": (
        "return merged",
        "return merged / first.shape[0]",
    ),
    "The two kernels have changed places: `first` is the one next to the image.": (
        "    k, r =",
        "    first, second = second, first\n    k, r =",
    ),
    **{
        f"`second` is turned by {90 * turns} degrees; its weight at (i, j) shifts by (i, j).": (
            "second[:, :, i, j]",
            f"second.rot90({turns}, (2, 3))[:, :, i, j]",
        )
        for turns in (1, 3)
    },
    "The two kernels are added; each weight of the second lays a shifted copy of the first into "
    "the result.": ("    for i", "    return first + second\n    for i"),
}


def vgg_6(answer, reference):
    def weights(o, m, c, k, l_):
        return torch.randn(m, c, k, k), torch.randn(o, m, l_, l_)

    cases = [
        weights(1, 1, 1, 3, 3),
        weights(5, 4, 3, 3, 3),
        weights(3, 3, 3, 3, 3),
        weights(4, 3, 2, 3, 1),  # the end of a block of configuration C
        weights(3, 2, 3, 5, 3),
    ]
    same_results(answer, reference, *cases, explain=partial(_explain_merged, answer))
    first, second = cases[1]
    images = torch.randn(2, 3, 9, 8)
    merged = torch.as_tensor(call(answer, first, second))
    if merged.is_complex():
        raise Wrong("The weight has complex numbers; take `.real` of what the inverse FFT gives.")
    merged = merged.to(images.dtype)
    ours = F.conv2d(images, merged)
    torch.testing.assert_close(ours, F.conv2d(F.conv2d(images, first), second), atol=1e-3, rtol=0)
    return "Two linear 3×3 layers are one 5×5."


def _small(first: Tensor, second: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Results as small as `first`, and what was done to get them."""
    copies = "Each weight of `second` lays a shifted copy of `first` into the result."
    yield (
        f"The kernels are multiplied as matrices over height and width. {copies}",
        torch.einsum("omij,mcjn->ocin", second, first),
    )
    yield (
        f"Only weights at the same place are multiplied. {copies}",
        torch.einsum("omij,mcij->ocij", second, first),
    )
    waves = torch.einsum("omij,mcij->ocij", torch.fft.fft2(second), torch.fft.fft2(first))
    yield (
        "The FFT is as small as `first`, so the result is wrapped around at its border. Give both "
        "calls of fft2 the size of the result: s=(k + r - 1, k + r - 1).",
        torch.fft.ifft2(waves).real,
    )


def _explain_copies(answer: Callable, right: str) -> str:
    """What one weight of `second` alone lays into the result, where it is not the right copy."""
    size, found = 3, {}
    first = torch.arange(1.0, 10).reshape(1, 1, size, size)
    for i, j in itertools.product(range(size), repeat=2):
        second = torch.zeros(1, 1, size, size)
        second[0, 0, i, j] = 1
        with trace.unwatched():
            found[i, j] = torch.as_tensor(call(answer, first, second)).real.reshape(5, 5)

    def copy_at(row: int, column: int) -> Tensor:
        rows = torch.arange(5).reshape(5, 1) - row
        columns = torch.arange(5) - column
        inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
        return torch.where(inside, 1.0 + size * rows + columns, 0.0)

    places = list(itertools.product(range(size), repeat=2))
    at = {
        weight: [place for place in places if close(mine, copy_at(*place), 1e-3)]
        for weight, mine in found.items()
    }
    none = [weight for weight, mine in found.items() if not mine.abs().max() > 1e-3]
    used = [weight for weight in found if weight not in none]
    if none and used and all(at[weight] == [weight] for weight in used):
        few = used if len(used) < len(none) else none
        which = ", ".join(f"second[:, :, {i}, {j}]" for i, j in few)
        if few is used:
            raise Wrong(f"Nothing of `second` counts in your result but {which}. {right}")
        raise Wrong(f"These weights do not count in your result: {which}. {right}")
    shifts = {place for there in at.values() for place in there}
    if all(at.values()) and len(shifts) == 1:
        raise Wrong(
            "The weights of `second` are added up before anything is shifted: all copies lie at "
            f"the same place, {[*shifts.pop()]}. {right}"
        )
    lost = [w for w in used if not at[w]]
    if (
        lost
        and len(lost) < len(used)
        and all(close(found[w].sum(), first.sum(), 1e-3) for w in lost)
    ):
        raise Wrong(
            f"The copy for second[:, :, {lost[0][0]}, {lost[0][1]}] goes around the border: what "
            f"hangs over on one side comes in on the other. Make the result large enough first. "
            f"{right}"
        )
    if len(lost) == len(found):
        return (
            "A `second` with a single 1 should give a shifted copy of `first`; yours has other "
            f"values. {right}"
        )
    return right


def _explain_merged(answer: Callable, case: tuple, mine: object, right: Tensor) -> str:
    if isinstance(mine, Tensor) and mine.shape != right.shape:
        (_, c, _, k), (o, _, _, size) = case[0].shape, case[1].shape
        cause, found = "", tuple(mine.shape)
        if len(found) != 4:
            cause = "A weight has four axes."
        elif found[:2] != (o, c):
            cause = f"Its first two axes are O and C, here {o} and {c}; yours are {found[:2]}."
        elif found[2] == k * size:
            cause = "Copies of `first` lie side by side; they overlap, one pixel apart."
        elif found[2] == k == size:
            cause = "Yours is as small as `first`."
            for message, kernel in _small(*case):
                if close(mine, kernel):
                    raise Wrong(f"{message} The right shape is {tuple(right.shape)} here.")
        elif found[2] == k - size + 1:
            cause = "There is no padding: r - 1 on every side is needed."
        elif found[2] in (k - size + 1 + 2 * (k - 1), k - size + 5):
            cause = "The padding is r - 1, from the size of `second`, not k - 1 or always 2."
        return (
            f"{cause} The weight should have the shape (O, C, k + r - 1, k + r - 1), here "
            f"{tuple(right.shape)}; yours has {found}."
        ).strip()
    if isinstance(mine, nn.Module):
        return "The weight alone is asked for, not a layer that holds it."
    if isinstance(mine, Tensor):
        text = (
            "The right kernel is a sum of r · r copies of the first, each shifted to (i, j) and "
            "multiplied by second[:, :, i, j]."
        )
        return _explain_copies(answer, text) if right.shape[2:] == (5, 5) else text
    return ""


# --- vgg.7: an experiment -------------------------------------------------------------------------

_COLUMNS = ("A", "B", "D", "E")


@cache
def _probe(grey: bool = False) -> Tensor:
    """The images of the task, normalised; `grey` as they are stored, from 0 to 1."""
    from utils import data

    splits = data.load(batch_size=64, image_size=32, device="cpu")
    images = next(iter(splits.validation))[0]
    return (splits.denormalize(images) if grey else images).double()


@cache
@torch.no_grad()
def _logits(
    name: str,
    seed: int | None = 0,
    train: bool = True,
    drawn_in: torch.dtype = torch.float32,
    grey: bool = False,
    **options: Any,
) -> Tensor:
    """Logits of one of the networks, in double precision."""
    from utils import networks
    from utils.networks.vgg import CONFIGURATIONS

    if seed is not None:
        torch.manual_seed(seed)
    options = {"batch_norm": False, "dropout": 0.0} | options
    torch.set_default_dtype(drawn_in)
    network = networks.build("vgg_small", blocks=CONFIGURATIONS[name], **options)
    torch.set_default_dtype(torch.float32)
    return network.train(train).double()(_probe(grey))


@cache
def _logits_of_one_seed() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {name: _logits(name, seed=None) for name in _COLUMNS}


def _spread(logits: Tensor) -> float:
    return logits.std(dim=0).mean().item()


# What else can be done with the logits, and what to say of it.
_MEASURES = {
    "This is the deviation over the classes (dim=1); over the images it is dim=0.": (
        lambda logits: logits.std(dim=1).mean()
    ),
    "This is the deviation over images and classes together; the classes differ by their "
    "biases. Take it over the images (dim=0) first.": lambda logits: logits.std(),
    "This is the variance; its root, the standard deviation, is asked for.": (
        lambda logits: logits.var(dim=0).mean()
    ),
    "The variances are averaged before the root; take the root for each class, then the mean.": (
        lambda logits: logits.var(dim=0).mean().sqrt()
    ),
    "This is the median of the ten classes; their mean is asked for.": (
        lambda logits: logits.std(dim=0).median()
    ),
    "This is the smallest of the ten classes; their mean is asked for.": (
        lambda logits: logits.std(dim=0).min()
    ),
    "This is the largest of the ten classes; their mean is asked for.": (
        lambda logits: logits.std(dim=0).max()
    ),
    "This is the range, from the smallest logit to the largest; the standard deviation is asked "
    "for.": lambda logits: (logits.amax(dim=0) - logits.amin(dim=0)).mean(),
    "This is the mean distance from the mean; the standard deviation is asked for.": (
        lambda logits: (logits - logits.mean(dim=0)).abs().mean()
    ),
    "The deviation is divided by the mean; the deviation itself is asked for.": (
        lambda logits: (logits.std(dim=0) / logits.mean(dim=0).abs()).mean()
    ),
    "This is the mean of the logits, not how much they differ.": lambda logits: logits.mean(),
    "This is the mean size of the logits, not how much they differ.": (
        lambda logits: logits.abs().mean()
    ),
    "These are probabilities, after a softmax; the logits are asked for.": (
        lambda logits: logits.softmax(dim=1).std(dim=0).mean()
    ),
    "There is a log-softmax on the logits; the logits themselves are asked for.": (
        lambda logits: logits.log_softmax(dim=1).std(dim=0).mean()
    ),
    "This is the logarithm (base 10) of the spread; the spread itself is asked for.": (
        lambda logits: logits.std(dim=0).mean().log10()
    ),
    "This is the logarithm of the spread; the spread itself is asked for.": (
        lambda logits: logits.std(dim=0).mean().log()
    ),
    **{
        f"This is the deviation of class {k} alone; the mean over the ten classes is asked for.": (
            lambda logits, k=k: logits[:, k].std()
        )
        for k in range(10)
    },
}
# What else the networks can be; nothing is computed before it is asked for.
_NETWORKS: dict[str, Callable[[str], Tensor]] = {
    "": _logits,
    "The seed was set once, before the first network; it should be set right before each of "
    "them.": lambda name: _logits_of_one_seed()[name],
    **{
        f'These networks begin with initialisation="{how}"; torch\'s own is asked for.': (
            lambda name, how=how: _logits(name, initialisation=how)
        )
        for how in ("he", "xavier")
    },
    "These networks have batch norm; batch_norm=False is asked for.": (
        lambda name: _logits(name, batch_norm=True)
    ),
    "These networks have batch norm; batch_norm=False is asked for. And their dropout is on.": (
        lambda name: _logits(name, batch_norm=True, dropout=0.2)
    ),
    "These networks were built in double precision, which draws other weights. Turn them into "
    "double precision after the build.": lambda name: _logits(name, drawn_in=torch.float64),
    "These are images with values from 0 to 1; take `images` as they are, which are normalised.": (
        lambda name: _logits(name, grey=True)
    ),
    **{
        f"The seed is {seed}; 0 is asked for.": lambda name, seed=seed: _logits(name, seed=seed)
        for seed in (1, 42, 123)
    },
}


def _near(value: float, wanted: float, tolerance: float = 0.004) -> bool:
    """Whether it is this number, or this number in two digits or more, as printed."""
    rounded = wanted and math.isfinite(wanted) and value == float(f"{wanted:.1e}")
    return bool(rounded) or math.isclose(value, wanted, rel_tol=tolerance)


def _alike(numbers: dict[str, float], of: Callable[[str], Any], tolerance: float = 0.004) -> bool:
    """Whether these are the four numbers; the deviation may be divided by 64, or by 63."""
    return any(
        all(_near(numbers[n] * root, float(of(n)), tolerance) for n in _COLUMNS)
        for root in (1, math.sqrt(64 / 63))
    )


def vgg_7(answer):
    expect_keys(answer, _COLUMNS)
    numbers = {}
    for name in _COLUMNS:
        value = plain(answer[name])
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise Wrong(
                f"For {name} a number is expected, not {describe(value)}. The standard deviation "
                "over the images gives ten numbers; their mean is asked for."
            ) from None
        if isinstance(value, str):
            raise Wrong(
                f"For {name} there is {describe(value)}. The next cell calculates with it: write "
                "the number itself."
            )
    right = {name: _spread(_logits(name)) for name in _COLUMNS}
    cause = _wrong_spread(numbers, right)
    if not cause:
        return f"From A to E the spread falls by a factor of {numbers['A'] / numbers['E']:,.0f}."
    wrong = [n for n in _COLUMNS if not _near(numbers[n], right[n])]
    given = ", ".join(f"{n} {numbers[n]:.3g}" for n in _COLUMNS)
    which = f" Wrong {_be(wrong)} {', '.join(wrong)}." if wrong else ""
    raise Wrong(f"{cause} You have {given}.{which}")


def _wrong_spread(numbers: dict[str, float], right: dict[str, float]) -> str:
    """What is wrong with these four numbers, in a sentence; or nothing."""
    if _alike(numbers, right.get):
        # A batch norm at its start divides by the root of 1 + 1e-5 in eval mode: that little tells.
        normed = {n: _spread(_logits(n, batch_norm=True, train=False)) for n in _COLUMNS}
        if all(math.isclose(numbers[n], normed[n], rel_tol=1e-6) for n in _COLUMNS):
            return (
                "These networks have batch norm; batch_norm=False is asked for. In eval mode a "
                "batch norm that has not been trained changes almost nothing, so the numbers look "
                "right."
            )
        return ""
    values, wanted = list(numbers.values()), list(right.values())
    wrong = [n for n in _COLUMNS if not _near(numbers[n], right[n])]
    if not all(map(math.isfinite, values)):
        return "A spread is a finite number. Over a single image it is not defined."
    if min(values) == 0:
        return "The spread is small but not zero: write it down without rounding."
    if all(abs(numbers[n] - right[n]) < 5e-9 for n in _COLUMNS):
        return "Were the logits computed in float32? Its rounding is as large as this."
    for count in range(2, 64):
        if _alike(numbers, lambda name, count=count: _spread(_logits(name)[:count]), 1e-5):
            return f"These are the first {count} images only; all 64 are asked for."
    if _alike(numbers, lambda name: right[name] / right["A"]):
        return "These are shares of A's spread; the four spreads themselves are asked for."
    if _alike(numbers, lambda name: right["A"] / right[name]):
        return "These are factors, by which A's spread is larger; the spreads are asked for."
    if all(map(_near, values, reversed(wanted))):
        return "The four numbers are right, but in reverse order: the spread of A is the largest."
    if all(map(_near, sorted(values), sorted(wanted))):
        return f"The numbers of {' and '.join(wrong)} have changed places."
    spreads = {name: _spread(_logits(name)) for name in "ABCDE"}
    taken = [[other for other in spreads if _near(numbers[n], spreads[other])] for n in wrong]
    if wrong and all(taken) and len(set(values)) == 4:
        return (
            f"The number for {wrong[0]} is that of configuration {taken[0][0]}. Build each network "
            "with CONFIGURATIONS[name]."
        )
    if _alike(numbers, lambda name: right[name] / 8):
        return (
            "This is the standard error: the deviation divided by the root of 64. The deviation "
            "itself is asked for."
        )
    if _alike(numbers, lambda name: 10 * right[name]):
        return "This is the sum over the ten classes; their mean is asked for."
    if values[0] > 0 and _alike(numbers, lambda name: right[name] * values[0] / right["A"]):
        return f"Every number is {values[0] / right['A']:.4g} times the right one."
    for network, logits in _NETWORKS.items():
        for measure, function in {"": _spread, **_MEASURES}.items():
            if (network or measure) and _alike(
                numbers, lambda name, logits=logits, function=function: function(logits(name))
            ):
                return f"{network} {measure}".strip()
    if min(values) < 0:
        return "A standard deviation is never negative."
    if len(set(values)) == 1:
        return "All four are equal: is each number that of its own network?"
    if wrong == ["A"]:
        return (
            "Only the first network is wrong. Is the seed set after the build? Then it counts for "
            "the next network only; set it right before each build."
        )
    dropped = [_spread(_logits(name, dropout=0.2)) for name in _COLUMNS]
    if all(0.5 < value / other < 4 for value, other in zip(values, dropped)):
        return "Is dropout=0.0 given? In train mode a dropout makes the logits differ by chance."
    if all(0.2 < value / other < 5 for value, other in zip(values, wanted)):
        return (
            "The size is right, but other weights or other images were taken. Is the seed 0 set "
            "right before each network is built? Are these all 64 of `images`?"
        )
    return (
        "Look at each of these: the seed 0 set right before each network is built; "
        "batch_norm=False, dropout=0.0 and no other option; all 64 of `images`; double precision; "
        "the deviation over the images, and its mean over the classes."
    )
