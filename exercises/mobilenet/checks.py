"""Checks of chapter 09: MobileNet v1 and v2."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from exercises import trace
from exercises.compare import (
    Wrong,
    call,
    close,
    describe,
    describe_call,
    expect_keys,
    expect_numbers,
    layers,
    make,
    same_outputs,
    same_results,
)

# Edits of the solutions' text that teach more than what `exercises.repairs` says of a module.
_NO_NORM = (
    *("        nn.BatchNorm2d(in_channels),\n", ""),
    *("        nn.BatchNorm2d(out_channels),\n", ""),
)
_NORM, _LAST_RELU = "        nn.BatchNorm2d(64),\n", "        nn.ReLU6(),\n    ]\n    return"
_NEXT = "            channels = out_channels\n"
_LAST = "            nn.BatchNorm2d(out_channels),\n"
_EACH = ("project.bias if start == 0 else None", "project.bias")
_FILTERS = ("depthwise.weight[part]", "depthwise.weight[:size]")
SLIPS = {
    "mobilenet.2": {
        "The first convolution mixes all channels: it is an ordinary 3×3 convolution. Depthwise "
        "means groups=in_channels.": ("            groups=in_channels,\n", ""),
        "The 1×1 convolution comes first. Depthwise, then pointwise is asked for.": (
            "    return",
            "    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), "
            "nn.BatchNorm2d(out_channels), nn.ReLU(), nn.Conv2d(out_channels, out_channels, 3, "
            "stride, 1, groups=out_channels, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU())"
            "\n    return",
        ),
        "There is no batch norm.": _NO_NORM,
        "There is no batch norm, and the convolutions have biases.": (
            *(*_NO_NORM, "bias=False", "bias=True"),
        ),
    },
    "mobilenet.4": {
        "With expansion=1 there should be no first 1×1 convolution.": ("expansion != 1", "True"),
        **{
            f"There is a {name} after the last 1×1. The bottleneck is linear: batch norm, and no "
            "activation.": (_LAST, f"{_LAST}            nn.{name}(),\n")
            for name in ("ReLU6", "ReLU")
        },
        "There is an activation after the sum; nothing follows it.": (
            "maps + self.branch(maps)",
            "(maps + self.branch(maps)).relu()",
        ),
        "The wide tensor has out_channels * expansion channels; in_channels * expansion is "
        "right.": ("wide = in_channels", "wide = out_channels"),
        "The expansion is always 6: `expansion` is not used.": (
            "in_channels * expansion",
            "in_channels * 6",
        ),
    },
    "mobilenet.5": {
        **{
            f"There is {still}a {name} after each block, so after each projection; the bottleneck "
            f"is linear.{more}": (_NEXT, f"{_NEXT}            parts.append(nn.{name}())\n", *other)
            for still, name, more, other in (
                ("", "ReLU6", "", ()),
                ("", "ReLU", "", ()),
                ("still ", "ReLU6", " One more mistake is left.", (_NORM, "")),
            )
        },
        "The batch norm of the last convolution is still missing.": (_NORM, ""),
        "The last convolution has a bias in place of its batch norm.": (
            *(_NORM, "", "kernel_size=1, bias=False", "kernel_size=1"),
        ),
        "The last ReLU6 is gone; it was right.": (_LAST_RELU, "    ]\n    return"),
        "The first ReLU6 is a plain ReLU; ReLU6 cuts off above 6.": (
            *("nn.ReLU6(),\n    ]\n    channels", "nn.ReLU(),\n    ]\n    channels"),
        ),
        "The last ReLU6 is a plain ReLU; ReLU6 cuts off above 6.": (
            *(_LAST_RELU, _LAST_RELU.replace("6", "")),
        ),
    },
    "mobilenet.6": {
        "The bias of the projection is added with every slice; it belongs to the sum, so once.": (
            _EACH
        ),
        "The bias of the projection is missing.": (_EACH[0], "None"),
        "The ReLU6 after the expansion is missing.": ("F.relu6(F.conv2d(maps", "(F.conv2d(maps"),
        "The ReLU6 after the depthwise convolution is missing.": ("F.relu6(\n", "(\n"),
        "Both ReLU6 are missing.": ("F.relu6(", "("),
        "The activations are plain ReLUs; ReLU6 cuts off above 6.": ("F.relu6(", "F.relu("),
        "The first activation is a plain ReLU; ReLU6 cuts off above 6.": (
            *("F.relu6(F.conv2d(maps", "F.relu(F.conv2d(maps"),
        ),
        "The second activation is a plain ReLU; ReLU6 cuts off above 6.": (
            *("F.relu6(\n", "F.relu(\n"),
        ),
        "The stride of the depthwise convolution is not used.": ("=depthwise.stride", "=1"),
        "Only the last slice is returned; the slices have to be added.": (
            *(*_EACH, "total = total + ", "total = "),
        ),
        "Only the first slice is returned; the slices have to be added.": (
            *("    return total", "        return total"),
        ),
        "Every slice is filtered with the depthwise filters of the first slice: take "
        "`depthwise.weight[part]`.": _FILTERS,
        "Every slice has the depthwise filters and biases of the first slice: take "
        "`depthwise.weight[part]` and `depthwise.bias[part]`.": (
            *(*_FILTERS, "depthwise.bias[part]", "depthwise.bias[:size]"),
        ),
        "The slices are averaged; they have to be added.": (
            *(*_EACH, "return total", "return total / slices"),
        ),
        "Every slice is projected with the weights of the first slice: take "
        "`project.weight[:, part]`.": ("[:, part]", "[:, :size]"),
        "There is an activation on the projected slices; the bottleneck is linear.": (
            *(
                "total + F.conv2d(",
                "total + F.relu6(F.conv2d(",
                "part], bias)\n",
                "part], bias))\n",
            ),
        ),
        "The padding of the depthwise convolution is not used.": (
            "padding=depthwise.padding",
            "padding=0",
        ),
        "The slices are joined as channels; the results of the projection have to be added.": (
            *("total = 0", "total = []"),
            *("total = total + F.conv2d(", "total.append(F.conv2d("),
            *("[:, part], bias)", "[:, part], project.bias))"),
            *("return total", "return torch.cat(total, 1)"),
        ),
        "Each result is divided by `slices`; the slices have to be added.": (
            "return total",
            "return project.bias[:, None, None] + (total - project.bias[:, None, None]) / slices",
        ),
        "There is a ReLU6 on the sum; the bottleneck is linear.": (
            "return total",
            "return F.relu6(total)",
        ),
        "The input is added too; the branch alone is asked for.": (
            "return total",
            "return total + maps if total.shape == maps.shape else total",
        ),
    },
    "mobilenet.7": {
        "The numbers are rounded up; to the nearest is asked for.": (
            "steps.round()",
            "steps.ceil()",
        ),
    },
}

# --- mobilenet.1: counting ------------------------------------------------------------------------


def mobilenet_1(answer):
    positions, many = 14 * 14, 28 * 28
    one, deep, point = 9 * 256 * 512, 9 * 256, 256 * 512
    stride = (
        "The output has 14 · 14 positions, because the stride is 2; MACs are counted there, not at "
        "the 28 · 28 positions of the input."
    )
    no_positions = "This is the number of weights; each is used at every one of 14 · 14 positions."
    side = "There are 14 · 14 positions, not 14."
    right = {
        "standard": positions * one,
        "depthwise": positions * deep,
        "pointwise": positions * point,
        "weights": deep + point,
    }
    common: dict[str, dict[float, str]] = {
        key: {
            many * value: stride,
            value: no_positions,
            14 * value: side,
        }
        for key, value in (("standard", one), ("depthwise", deep), ("pointwise", point))
    }
    common["standard"] |= {
        positions * 3 * 256 * 512: "The kernel has 3 · 3 places, not 3.",
        positions * 9 * 512: "Every filter sees all 256 channels: 3 · 3 · 256 products.",
        positions * deep: "This is one filter; there are 512.",
        13 * 13 * one: "Without padding there would be 13 · 13 positions; padding 1 gives 14 · 14.",
        positions * (deep + point): "This is the pair of depthwise and 1×1; one ordinary layer is "
        "asked for.",
    }
    common["depthwise"] |= {
        positions * one: "This is the ordinary convolution. A depthwise filter sees one channel.",
        positions * 9 * 512: "The depthwise layer keeps the number of channels: 256, not 512.",
        positions * 9: "This is one channel; there are 256.",
        positions * 3 * 256: "The kernel has 3 · 3 places, not 3.",
        positions * 9 * 256 + 256: "Biases are left out: a batch norm comes after this layer.",
        positions * 10 * 256: "Biases are left out: a batch norm comes after this layer.",
        positions * 9 * 256 * 256: "Each filter sees one channel, its own, not all 256.",
        positions * point: "This is the value of the pointwise layer.",
        13 * 13 * deep: "Without padding there would be 13 · 13 positions; padding 1 gives "
        "14 · 14.",
    }
    common["pointwise"] |= {
        positions * 9 * point: "This is a 3×3 kernel; the pointwise layer is 1×1.",
        positions * 512: "Every output value is a sum of 256 products, one for each channel.",
        positions * 256: "This is one output channel; there are 512.",
        positions * (256 + 512): "Channels in and out are multiplied, not added.",
        positions * (deep + point): "This is both layers together; the 1×1 alone is asked for.",
        positions * deep: "This is the value of the depthwise layer.",
        positions * 256 * 256: "The 1×1 layer gives 512 channels, not 256.",
        7 * 7 * point: "The stride is used once, in the depthwise layer: 14 · 14 positions stay.",
        positions * (point + 512): "Biases are left out: a batch norm comes after this layer.",
        positions * 512 * 512: "The 1×1 layer gets 256 channels: the depthwise layer keeps them.",
    }
    common["weights"] = {
        point: "These are the weights of the 1×1 layer; the depthwise layer has some too.",
        deep: "These are the weights of the depthwise layer; the 1×1 has many more.",
        one: "These are the weights of the ordinary convolution.",
        positions * (deep + point): "A weight is stored once, however many positions it is used "
        "at.",
        3 * 256 + point: "The kernel has 3 · 3 places, not 3.",
        deep + 256 + 512: "In the 1×1 layer channels in and out are multiplied, not added.",
        deep + point + 2 * (256 + 512): "Batch norm is left out.",
        deep * 256 + point: "Each depthwise filter sees one channel, its own, not all 256.",
        deep + point + 512: "Biases are left out: a batch norm comes after these layers.",
        deep + point + 256 + 512: "Biases are left out: a batch norm comes after these layers.",
        9 + point: "The depthwise layer has a filter of its own for each of the 256 channels.",
        9 * 512 + point: "The depthwise layer has 256 filters, one for each channel it gets.",
        one + deep + point: "The ordinary convolution does not belong to the pair.",
    }
    expect_numbers(
        answer,
        right,
        common,
        macs=("standard", "depthwise", "pointwise"),
        with_biases={"standard": positions * (one + 512)},
        otherwise="Begin with the products for one position of the output.",
    )
    ratio = right["standard"] / (right["depthwise"] + right["pointwise"])
    return f"{ratio:.2f} times fewer MACs; 1/512 + 1/9 = 1/{1 / (1 / 512 + 1 / 9):.2f}."


# --- mobilenet.2: the block of v1 -----------------------------------------------------------------


class _Spikes(nn.Module):
    """Makes a few values very large, so that a ceiling of an activation shows."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps**5


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def _same_block(
    block: nn.Module, reference: nn.Module, shape: tuple[int, ...], more: str = ""
) -> None:
    """`same_outputs`, with `nn.Conv2d` layers only; more: what to say if there are too many."""
    convs, right = _convolutions(block), _convolutions(reference)
    try:
        same_outputs(block, reference, shape)
    except Wrong as error:
        if len(convs) <= len(right):
            raise
        count = f"There are {len(convs)} convolutions in this block; {len(right)} are right."
        raise type(error)(f"{count}{more} {error}") from None
    if len(convs) != len(right):
        raise Wrong(
            f"It computes the right thing, but with {len(convs)} `nn.Conv2d`; the task asks for "
            f"{len(right)}, which the chapter counts later."
        )
    loud = [nn.Sequential(_Spikes(), module) for module in (block, reference)]
    same_outputs(*loud, (4, *shape[1:2], 16, 16), tolerance=1e-3)


def _builds(answer: Any, name: str) -> None:
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"{name} is {describe(answer)}; it should be a function or a class that builds a block "
            "for any number of channels."
        )


def mobilenet_2(answer, reference):
    _builds(answer, "separable")
    cases = [((4, 6), (3, 4, 9, 8)), ((6, 3, 2), (3, 6, 8, 11)), ((5, 5, 1), (3, 5, 7, 7))]
    for arguments, shape in cases:
        what = describe_call(answer, *arguments)
        try:
            block = make(answer, *arguments)
        except Wrong as error:
            if "divisible by groups" not in str(error):
                raise
            raise Wrong(
                f"{error} The depthwise layer keeps the number of channels: in_channels in, "
                "in_channels out, groups=in_channels."
            ) from None
        with trace.unwatched():  # its weights are its own, so what comes out tells nothing
            call(block.train(), torch.randn(shape), what=f"{what}, given maps of shape {shape},")
        try:
            _compare_separable(block, reference(*arguments), arguments, shape)
        except Wrong as error:
            raise type(error)(f"{what}: {error}") from None
    return "It computes what the paper's block computes, gradients included."


def _compare_separable(
    block: nn.Module, right: nn.Module, arguments: tuple, shape: tuple[int, ...]
) -> None:
    given, _, stride = (*arguments, 1)[:3]
    convs = _convolutions(block)
    expected = tuple(right(torch.zeros(shape)).shape)
    with trace.unwatched():
        got = call(block.train(), torch.randn(shape))
    if isinstance(got, Tensor) and got.shape[2:] != expected[2:]:
        raise Wrong(
            f"Maps of shape {shape} become {tuple(got.shape)}; {expected} is right. "
            + (
                "Is `stride` used?"
                if stride != 1 and got.shape[2:] == shape[2:]
                else "The 3×3 needs padding 1, the 1×1 none; the stride belongs to one layer."
            )
            + f" Your module consists of {layers(block)}."
        )
    if convs and convs[0].groups not in (1, given) and convs[0].in_channels == given:
        raise Wrong(
            f"The first convolution has groups={convs[0].groups}; with {given} channels, depthwise "
            f"means groups={given}."
        )
    _same_block(block, right, shape)


# --- mobilenet.3: a table with a misprint ---------------------------------------------------------

_ROWS = ("1x1", "depthwise", "full", "linear")
_SHARES = {"1x1": 94.857, "depthwise": 3.058, "full": 1.906, "linear": 0.180}
_PARAMETERS = {  # with batch norms, without them, and of the total without them
    "1x1": (74.468, 74.187, 74.572),
    "depthwise": (1.291, 1.055, 1.061),
    "full": (0.022, 0.0204, 0.0205),
    "linear": (24.220, 24.346),
}


def mobilenet_3(answer):
    expect_keys(answer, (*_ROWS, "misprint"))
    total, linear = 568_740_352, 1_024_000
    tolerance = {key: 0.006 if share > 0.5 else 0.0025 for key, share in _SHARES.items()}
    common = {}
    for key, right in _SHARES.items():
        known = {1.19: "This is the printed value. Measure it."} if key == "full" else {}
        if key != "linear":
            known[right * total / (total - linear)] = (
                "This is the share of the convolutions' MACs; the linear layer belongs to the "
                "whole."
            )
            known[right + _SHARES["linear"]] = (
                "The linear layer is counted here too; it has a row of its own."
            )
        known |= dict.fromkeys(
            _PARAMETERS[key], "This is the share of the parameters; MACs are asked for."
        )
        known |= {round(right, 1): "This is rounded to one digit; two or more are asked for."}
        known |= {right / 100: "This is a fraction; percent are asked for, so times 100."}
        known |= {
            right * total / 100: "This is a number of MACs; its share of all MACs, in percent, is "
            "asked for."
        }
        common[key] = {v: text for v, text in known.items() if abs(v - right) > tolerance[key]}
    expect_numbers(answer, _SHARES, common, tolerance=tolerance)
    misprint = answer["misprint"]
    if not isinstance(misprint, str) or misprint not in _ROWS:
        listed = ", ".join(f'"{row}"' for row in _ROWS)
        raise Wrong(f'"misprint": one of {listed} is expected, not {describe(misprint)}.')
    if misprint != "full":
        raise Wrong(
            f'"misprint": your own count for "{misprint}" is {answer[misprint]:.2f}, and so it is '
            "printed. Compare the other rows."
        )
    return f"{answer['full']:.2f}, not 1.19: two digits changed places."


# --- mobilenet.4: the block of v2 -----------------------------------------------------------------


def mobilenet_4(answer, reference):
    _builds(answer, "InvertedResidual")
    if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
        raise Wrong(
            f"InvertedResidual should be a class, a subclass of nn.Module, and not "
            f"{describe(answer)}: the chapter asks of a layer whether it is one (`isinstance`)."
        )
    cases = [
        ((4, 4, 1, 3), (3, 4, 8, 7)),
        ((4, 6, 1, 2), (3, 4, 6, 6)),
        ((4, 4, 2, 3), (3, 4, 9, 8)),
        ((5, 5, 1, 1), (3, 5, 7, 6)),
        ((3, 3), (3, 3, 6, 6)),
    ]
    for arguments, shape in cases:
        block = make(answer, *arguments)
        what = describe_call(answer, *arguments)
        try:
            _compare_inverted(block, reference(*arguments), arguments, shape)
        except Wrong as error:
            raise type(error)(f"{what}: {error}") from None
    return "It agrees with the paper's block, with and without the shortcut."


def _compare_inverted(
    block: nn.Module, right: nn.Module, arguments: tuple, shape: tuple[int, ...]
) -> None:
    given, out, stride = (*arguments, 1)[:3]
    try:
        with trace.unwatched():
            output = call(block.train(), torch.randn(shape))
    except Wrong as error:
        if "size of tensor" in str(error) or "must match" in str(error):
            advice = (
                "Input and output have different shapes here, so they cannot be added: the "
                "shortcut exists only with stride 1 and as many channels out as in."
            )
            if given == out and stride == 1:
                advice = (
                    "With stride 1 the branch should keep height and width: the 3×3 needs padding "
                    "1."
                )
            raise Wrong(f"{error} {advice}") from None
        raise
    expected = tuple(right(torch.randn(shape)).shape)
    if isinstance(output, Tensor) and output.shape != expected:
        hint = "Is `stride` given to the depthwise convolution, and padding 1?"
        if output.shape[1] != expected[1]:
            hint = "The last 1×1 gives `out_channels` channels."
        raise Wrong(
            f"Maps of shape {shape} become {tuple(output.shape)}; {expected} is right. {hint} Your "
            f"module consists of {layers(block)}."
        )
    none = " With stride 2, or where the number of channels changes, a block has no shortcut."
    _same_block(block, right, shape, "" if right.skip else none)


# --- mobilenet.5: repair --------------------------------------------------------------------------


def mobilenet_5(answer, reference):
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"repaired_features is {describe(answer)}; it should stay a function that builds one."
        )
    network = make(answer)
    shape = (3, 1, 28, 28)
    faults = _faults(network)
    try:
        with trace.unwatched():
            output = call(network.train(), torch.randn(shape), what="repaired_features()")
        if isinstance(output, Tensor) and output.shape != (3, 64, 4, 4):
            raise Wrong(
                f"Images of shape {shape} become {tuple(output.shape)}; (3, 64, 4, 4) is right."
            )
        same_outputs(network, reference(), shape)
        same_outputs(_loud(network), _loud(reference()), shape)
        first = next(m for m in make(answer, 3).modules() if isinstance(m, nn.Conv2d))
        if first.in_channels != 3:
            raise Wrong(
                f"repaired_features(3) begins with a convolution of {first.in_channels} channels: "
                "`in_channels` is not used any more."
            )
    except Wrong as error:
        kind = Wrong if faults else type(error)
        text = re.split(r" (?:Your module|It) consists of ", str(error))[0]  # a long list
        raise kind(" ".join([*faults[:1], text])) from None
    return "Six blocks, three of them with a shortcut, and all four mistakes are gone."


def _loud(network: nn.Module) -> nn.Module:
    """With batch norms of a large weight, so that many values are above 6."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 8.0)
    return network


def _faults(network: nn.Module) -> list[str]:
    """What is visibly wrong with the layers of mobilenet.5, one sentence each."""
    found = []
    deep = [m for m in _convolutions(network) if m.kernel_size == (3, 3)][1:]
    if len(deep) != 6:
        found.append(f"There are {len(deep)} blocks; the table asks for 1 + 2 + 3.")
    twice = sum(m.stride == (2, 2) for m in deep)
    if len(deep) == 6 and twice != 2:
        found.append(
            f"{twice} of the 6 blocks have stride 2; only the first block of the second row and "
            "the first of the third have it."
        )
    elif len(deep) == 6 and (deep[1].stride, deep[3].stride) != ((2, 2), (2, 2)):
        found.append("The stride belongs to the first block of a row, not to a later one.")
    thin, given = [m for m in _convolutions(network) if m.kernel_size == (1, 1)], 16
    for layer in thin:
        if layer.in_channels < layer.out_channels and layer.in_channels != given:
            found.append(
                f"A block expects {layer.in_channels} channels and gets {given}: the channels are "
                "handed on too late, or not at all."
            )
            break
        if layer.in_channels >= layer.out_channels:
            given = layer.out_channels
    return found


# --- mobilenet.6: in slices -----------------------------------------------------------------------


def _layers_of(given: int, wide: int, out: int, stride: int) -> tuple[nn.Conv2d, ...]:
    three = (
        nn.Conv2d(given, wide, 1),
        nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide),
        nn.Conv2d(wide, out, 1),
    )
    with torch.no_grad():
        for layer in three:  # biases as large as what else adds up
            layer.bias.normal_()
            layer.weight.mul_(2)
        three[0].weight.mul_(4)  # so that the ceiling of 6 shows after the expansion too
    return three


def mobilenet_6(answer, reference):
    if not callable(answer) or isinstance(answer, nn.Module):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    cases = [
        (torch.randn(2, 4, 7, 6), *_layers_of(4, 12, 5, 1), 3),
        (torch.randn(1, 3, 8, 8), *_layers_of(3, 8, 6, 2), 2),
        (torch.randn(2, 4, 5, 5), *_layers_of(4, 6, 4, 1), 6),
        (torch.randn(2, 4, 5, 5), *_layers_of(4, 8, 4, 1), 1),
    ]
    with torch.no_grad():
        try:
            same_results(answer, reference, *cases, explain=_explain_slices)
        except Wrong as error:
            # the layers do not fit on one line and say little
            raise type(error)(str(error).replace("a Conv2d module", "Conv2d")) from None
    _expect_small_peak(answer)
    return "The same output, and the wide tensor is never there."


def _explain_slices(case: tuple, got: Any, right: Tensor) -> str:
    return f"That was with {case[1].out_channels} wide channels in {case[4]} slices."


def _expect_small_peak(answer: Callable) -> None:
    from utils.topics import memory

    layers_ = _layers_of(4, 64, 4, 1)
    maps = torch.randn(1, 4, 24, 24)
    wide = 64 * 24 * 24

    def peak(slices: int) -> int:
        return memory.peak(answer, maps, *layers_, slices).values

    found = peak(16)
    allowed = wide // 2  # the solution needs less than 5/16: slices of 1/16, thin tensors of 1/16
    if found <= allowed:
        return
    cause = "Do slices or results stay alive longer than they are needed?"
    if found > peak(4):
        cause = "`slices` is the number of slices, not the size of one: 16 slices of 4 channels."
    elif found >= wide:
        cause = "The wide tensor is there as a whole, or all its slices are kept."
    raise Wrong(
        f"The output is right, but too much is alive at one time. With 64 wide channels of 24×24, "
        f"{wide:,} values, and 16 slices your function holds {found:,} values at its peak; up to "
        f"{allowed:,} are allowed. {cause}"
    )


# --- mobilenet.7: int8 by hand --------------------------------------------------------------------


def _scales(weight: Tensor) -> Tensor:
    scale = weight.abs().flatten(1).amax(dim=1) / 127
    return torch.where(scale == 0, 1.0, scale)


def _steps(weight: Tensor, scale: Tensor) -> Tensor:
    return weight / scale.reshape(-1, *[1] * (weight.ndim - 1))


def _quantise(weight: Tensor, how: Callable = torch.round) -> tuple[Tensor, Tensor]:
    scale = _scales(weight)
    return how(_steps(weight, scale)).to(torch.int8), scale


def mobilenet_7(answer):
    torch.manual_seed(1)
    weights = [
        torch.randn(6, 4, 3, 3),
        torch.randn(5, 1, 3, 3),
        torch.randn(3, 7, 1, 1),
        -torch.rand(4, 2, 1, 1),
    ]
    for weight in weights:  # channels of very different size
        weight.mul_(torch.logspace(-2, 1, len(weight)).reshape(-1, *[1] * (weight.ndim - 1)))
    zeros = torch.randn(3, 2, 3, 3)
    zeros[1] = 0
    parts = ("the tensor of integers", "the tensor of scales")
    same = partial(same_results, answer, _quantise, parts=parts, tolerance=1e-6)
    _expect_pair(answer, weights[0])
    _expect_scales(answer, weights)
    same(
        *((weight,) for weight in weights),
        mistakes={
            "The whole numbers are cut off, not rounded: 2.9 becomes 2.": partial(
                _quantise, how=torch.trunc
            ),
            "The numbers are rounded down; to the nearest is asked for.": partial(
                _quantise, how=torch.floor
            ),
        },
    )
    integers, scales = call(answer, zeros.clone())
    if not close(scales[1], torch.tensor(1.0)) or integers[1].any():
        raise Wrong(
            f"A channel of zeros gets the scale {describe(scales[1])}; 1 is asked for, and its "
            "integers are 0. (0 / 0 is not a number.)"
        )
    same((zeros,))
    return "No weight moves by more than half a step of its channel."


def _expect_scales(answer: Callable, weights: Sequence[Tensor]) -> None:
    """The scales before the integers, which overflow if the scales are wrong."""

    def largest(weight: Tensor) -> Tensor:
        return weight.abs().flatten(1).amax(dim=1)

    mistakes: dict[str, Callable[[Tensor], Tensor]] = {
        "There is one scale for the whole tensor, repeated; each output channel gets its own.": (
            lambda weight: (weight.abs().max() / 127).expand(len(weight))
        ),
        "The scale divides by 128; the largest value should become 127.": lambda weight: (
            largest(weight) / 128
        ),
        "The scale divides by 255. int8 ends at 127.": lambda weight: largest(weight) / 255,
        "The scale divides by 256. int8 ends at 127.": lambda weight: largest(weight) / 256,
        "The scale comes from the range, largest minus smallest. Here 0 stays 0, and the largest "
        "absolute value becomes 127.": lambda weight: (
            (weight.flatten(1).amax(dim=1) - weight.flatten(1).amin(dim=1)) / 255
        ),
        "The scale comes from the largest value with its sign: a channel may reach further below "
        "zero than above. Take the absolute values.": lambda weight: (
            weight.flatten(1).amax(dim=1) / 127
        ),
        "These are the inverse scales; integers * scale should give the weights.": lambda weight: (
            127 / largest(weight)
        ),
        "These are the largest absolute values; divided by 127 they are the scales.": largest,
        "The scale comes from the standard deviation; the largest absolute value is asked for.": (
            lambda weight: weight.flatten(1).std(dim=1) / 127
        ),
        "The scale comes from the mean absolute value; the largest is asked for.": lambda weight: (
            weight.abs().flatten(1).mean(dim=1) / 127
        ),
    }
    got = [call(answer, weight.clone())[1] for weight in weights]

    def agree(build: Callable[[Tensor], Tensor]) -> bool:
        return all(
            a.shape == (len(w),) and bool(((a - build(w)).abs() <= 1e-5 * build(w).abs()).all())
            for a, w in zip(got, weights)
        )

    if agree(_scales):
        return
    for message, build in mistakes.items():
        if agree(build):
            raise Wrong(message)
    channel, right = weights[0][0], _scales(weights[0])[0]
    raise Wrong(
        f"The scales are not right. The first channel of a weight of shape "
        f"{tuple(weights[0].shape)} reaches {channel.abs().max():.4g}, so its scale is "
        f"{right:.4g}; yours is {describe(got[0][0])}."
    )


def _expect_pair(answer: Any, weight: Tensor) -> None:
    """Types and shapes first, since their mistakes hide all others."""
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    result = call(answer, weight.clone())
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Wrong(
            f"quantise gives {describe(result)}; two tensors are asked for, the integers and the "
            "scales."
        )
    integers, scales = result
    for name, value in (("integers", integers), ("scales", scales)):
        if not isinstance(value, Tensor):
            raise Wrong(f"The {name} are {describe(value)}; a tensor is asked for.")
    if integers.is_floating_point() and scales.dtype == torch.int8:
        raise Wrong("The two tensors are in the wrong order: first the integers, then the scales.")
    if integers.dtype != torch.int8:
        raise Wrong(f"The integers have type {integers.dtype}; torch.int8 is asked for.")
    if integers.shape != weight.shape:
        raise Wrong(
            f"The integers have shape {tuple(integers.shape)}; they keep that of the weights, "
            f"{tuple(weight.shape)}."
        )
    if scales.shape == () or scales.shape == (1,):
        raise Wrong(
            "There is one scale for the whole tensor; each of the "
            f"{len(weight)} output channels gets its own."
        )
    if scales.shape == (weight.shape[1],):
        raise Wrong(
            f"The scales have shape {tuple(scales.shape)}: one for each input channel. One for "
            f"each of the {len(weight)} output channels is asked for."
        )
    if scales.shape != (len(weight),):
        raise Wrong(
            f"The scales have shape {tuple(scales.shape)}; ({len(weight)},) is asked for, one for "
            "each output channel."
        )
