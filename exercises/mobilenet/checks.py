"""Checks of chapter 09: MobileNet v1 and v2."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
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

# What the variants in the checks below do not make: edits of the solutions' text.
SLIPS = {
    "mobilenet.6": {
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
            "return total + maps",
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


def _cell(
    given: int,
    out: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    bias: bool = False,
    norm: bool = True,
    activation: Callable[[], nn.Module] | None = nn.ReLU,
    padding: int | None = None,
) -> nn.Sequential:
    """Convolution, batch norm, activation, with the mistakes that the options describe."""
    padding = kernel // 2 if padding is None else padding
    parts: list[nn.Module] = [
        nn.Conv2d(given, out, kernel, stride, padding, groups=groups, bias=bias)
    ]
    parts += [nn.BatchNorm2d(out)] if norm else []
    parts += [activation()] if activation else []
    return nn.Sequential(*parts)


def _separable(
    given: int,
    out: int,
    stride: int = 1,
    *,
    depthwise: Mapping[str, Any] | None = None,
    pointwise: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    return nn.Sequential(
        _cell(given, given, 3, stride, **{"groups": given, **(depthwise or {})}),
        _cell(given, out, **(pointwise or {})),
    )


class _Spikes(nn.Module):
    """Makes a few values very large, so that a ceiling of an activation shows."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps**5


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def _same_block(
    block: nn.Module, reference: nn.Module, shape: tuple[int, ...], mistakes: Mapping
) -> None:
    """`same_outputs`, but other parameters than the reference's are named."""
    try:
        same_outputs(block, reference, shape, mistakes=mistakes)
    except Wrong as error:
        convs, right = _convolutions(block), _convolutions(reference)
        cause = ""
        if "parameters" in str(error) and len(convs) > len(right):
            cause = f"There are {len(convs)} convolutions in this block; {len(right)} are right. "
            if isinstance(reference, _Inverted):
                cause += "A shortcut of this block is the input itself, or there is none. "
        elif "parameters" in str(error) and any(m.bias is not None for m in convs):
            cause = "A convolution has a bias; the batch norm after it takes it away. "
        raise (Wrong if cause else type(error))(f"{cause}{error}") from None
    found, wanted = (len(_convolutions(module)) for module in (block, reference))
    if found != wanted:
        raise Wrong(
            f"It computes the right thing, but with {found} `nn.Conv2d`; the task asks for "
            f"{wanted}, which the chapter counts later."
        )


def _builds(answer: Any, name: str) -> None:
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"{name} is {describe(answer)}; it should be a function or a class that builds a block "
            "for any number of channels."
        )


def mobilenet_2(answer):
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
            _compare_separable(block, arguments, shape)
        except Wrong as error:
            raise type(error)(f"{what}: {error}") from None
    return "It computes what the paper's block computes, gradients included."


def _compare_separable(block: nn.Module, arguments: tuple, shape: tuple[int, ...]) -> None:
    given, out, stride = (*arguments, 1)[:3]
    variant = partial(_separable, given, out, stride)
    no_activation = dict(activation=None)
    mistakes = {
        "The first convolution mixes all channels: it is an ordinary 3×3 convolution. Depthwise "
        "means groups=in_channels.": lambda: variant(depthwise=dict(groups=1)),
        "The ReLU between the two convolutions is missing.": lambda: variant(
            depthwise=no_activation
        ),
        "The last ReLU is missing.": lambda: variant(pointwise=no_activation),
        "An activation is not the plain ReLU: it lets something of the negative values "
        "through.": lambda: variant(depthwise=dict(activation=lambda: nn.LeakyReLU(0.01))),
        "Neither convolution has a ReLU after it.": lambda: variant(
            depthwise=no_activation, pointwise=no_activation
        ),
        "The batch norm between the two convolutions is missing.": lambda: variant(
            depthwise=dict(norm=False)
        ),
        "The batch norm after the 1×1 convolution is missing.": lambda: variant(
            pointwise=dict(norm=False)
        ),
        "There is no batch norm.": lambda: variant(
            depthwise=dict(norm=False), pointwise=dict(norm=False)
        ),
        "There is no batch norm, and the convolutions have biases.": lambda: variant(
            depthwise=dict(norm=False, bias=True), pointwise=dict(norm=False, bias=True)
        ),
        "The first batch norm and its ReLU are missing: each of the two convolutions has its "
        "own.": lambda: variant(depthwise=dict(norm=False, activation=None)),
        "The stride is given to the 1×1 convolution; it belongs to the depthwise one.": lambda: (
            nn.Sequential(_cell(given, given, 3, groups=given), _cell(given, out, stride=stride))
        ),
        "The 1×1 convolution comes first. Depthwise, then pointwise is asked for.": lambda: (
            nn.Sequential(_cell(given, out), _cell(out, out, 3, stride, groups=out))
        ),
        "The ReLU is before the batch norm; batch norm comes first.": lambda: nn.Sequential(
            nn.Conv2d(given, given, 3, stride, 1, groups=given, bias=False),
            nn.ReLU(),
            nn.BatchNorm2d(given),
            nn.Conv2d(given, out, 1, bias=False),
            nn.ReLU(),
            nn.BatchNorm2d(out),
        ),
        "The first ReLU is before its batch norm; batch norm comes first.": lambda: nn.Sequential(
            nn.Conv2d(given, given, 3, stride, 1, groups=given, bias=False),
            nn.ReLU(),
            nn.BatchNorm2d(given),
            _cell(given, out),
        ),
        "The last ReLU is before its batch norm; batch norm comes first.": lambda: nn.Sequential(
            _cell(given, given, 3, stride, groups=given),
            nn.Conv2d(given, out, 1, bias=False),
            nn.ReLU(),
            nn.BatchNorm2d(out),
        ),
        "The second convolution is 3×3; a pointwise one is 1×1.": lambda: nn.Sequential(
            _cell(given, given, 3, stride, groups=given), _cell(given, out, 3)
        ),
        "The input is added to the output. That shortcut comes with v2.": lambda: _Shortcut(
            variant()
        ),
    }
    both = dict(bias=True)
    mistakes |= {
        "The convolutions have biases. The batch norm after each takes away whatever is the same "
        "at every position, so a bias before it does nothing.": lambda: variant(
            depthwise=both, pointwise=both
        ),
        "The depthwise convolution has a bias; the batch norm after it takes it away.": lambda: (
            variant(depthwise=both)
        ),
        "The 1×1 convolution has a bias; the batch norm after it takes it away.": lambda: variant(
            pointwise=both
        ),
    }
    convs = _convolutions(block)
    right = variant()
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
    _same_block(block, right, shape, mistakes)
    same_outputs(
        nn.Sequential(_Spikes(), block),
        nn.Sequential(_Spikes(), variant()),
        (4, given, 16, 16),
        mistakes={
            "The activations have a ceiling at 6 (ReLU6); this block has the plain ReLU, as the "
            "first paper writes it.": lambda: nn.Sequential(
                _Spikes(),
                variant(depthwise=dict(activation=nn.ReLU6), pointwise=dict(activation=nn.ReLU6)),
            ),
            "The last activation has a ceiling at 6 (ReLU6); this block has the plain "
            "ReLU.": lambda: nn.Sequential(_Spikes(), variant(pointwise=dict(activation=nn.ReLU6))),
            "The first activation has a ceiling at 6 (ReLU6); this block has the plain "
            "ReLU.": lambda: nn.Sequential(_Spikes(), variant(depthwise=dict(activation=nn.ReLU6))),
        },
        tolerance=1e-3,
    )


class _Shortcut(nn.Module):
    def __init__(self, branch: nn.Module, *, after: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.after = after or nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return self.after(maps + self.branch(maps))


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
    return "1.91, not 1.19: two digits changed places."


# --- mobilenet.4: the block of v2 -----------------------------------------------------------------


class _Inverted(nn.Module):
    """The block of v2, with the mistakes that the options describe."""

    def __init__(
        self,
        given: int,
        out: int,
        stride: int,
        expansion: int,
        *,
        skip: str = "right",
        first: Callable[[], nn.Module] | None = nn.ReLU6,
        second: Callable[[], nn.Module] | None = nn.ReLU6,
        last: Callable[[], nn.Module] | None = None,
        always_expand: bool = False,
        groups: int | None = None,
        norms: tuple[bool, bool, bool] = (True, True, True),
        stride_at: str = "depthwise",
        wide: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        wide = wide or given * expansion
        cell = partial(_cell, bias=bias)
        at = {place: stride if place == stride_at else 1 for place in ("expand", "depthwise")}
        at["project"] = stride if stride_at == "project" else 1
        parts = []
        if expansion != 1 or always_expand:
            parts.append(cell(given, wide, 1, at["expand"], norm=norms[0], activation=first))
        parts.append(
            cell(
                wide,
                wide,
                3,
                at["depthwise"],
                groups=wide if groups is None else groups,
                norm=norms[1],
                activation=second,
            )
        )
        self.activation = last() if last else nn.Identity()
        parts.append(cell(wide, out, 1, at["project"], norm=norms[2], activation=None))
        self.branch = nn.Sequential(*parts)
        self.kind = skip
        self.skip = stride == 1 and given == out

    def forward(self, maps: Tensor) -> Tensor:
        result = self.branch(maps)
        if self.kind == "none" or not self.skip:
            return self.activation(result)
        if self.kind == "activated":  # the activation after the sum
            return self.activation(maps + result)
        if self.kind == "minus":
            return maps - result
        return maps + self.activation(result)


def mobilenet_4(answer):
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
        given, out, stride, expansion = (*arguments, *(1, 6)[len(arguments) - 2 :])[:4]
        try:
            _compare_inverted(block, (given, out, stride, expansion), shape)
        except Wrong as error:
            raise type(error)(f"{what}: {error}") from None
    return "It agrees with the paper's block, with and without the shortcut."


_NORMS = ("after the expansion", "after the depthwise convolution", "after the last 1×1")


def _compare_inverted(block: nn.Module, settings: tuple, shape: tuple[int, ...]) -> None:
    given, out, stride, expansion = settings
    variant = partial(_Inverted, *settings)
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
    expected = tuple(variant()(torch.randn(shape)).shape)
    if isinstance(output, Tensor) and output.shape != expected:
        hint = "Is `stride` given to the depthwise convolution, and padding 1?"
        if output.shape[1] != expected[1]:
            hint = "The last 1×1 gives `out_channels` channels."
        raise Wrong(
            f"Maps of shape {shape} become {tuple(output.shape)}; {expected} is right. {hint} Your "
            f"module consists of {layers(block)}."
        )
    mistakes: dict[str, Callable[[], nn.Module]] = {
        "The shortcut is missing: with stride 1 and equal channels the input is added.": lambda: (
            variant(skip="none")
        ),
        "There is an activation (ReLU6, or ReLU) after the last 1×1. The bottleneck is linear: "
        "batch norm, and no activation.": lambda: variant(last=nn.ReLU6),
        "There is an activation after the sum. Nothing follows it.": lambda: variant(
            last=nn.ReLU6, skip="activated"
        ),
        "There is an activation after the sum; nothing follows it.": lambda: variant(
            last=nn.ReLU, skip="activated"
        ),
        "The first ReLU6, after the expansion, is missing.": lambda: variant(first=None),
        "The ReLU6 after the depthwise convolution is missing.": lambda: variant(second=None),
        "There is no ReLU6 in the branch.": lambda: variant(first=None, second=None),
        "With expansion=1 there should be no first 1×1 convolution.": lambda: variant(
            always_expand=True
        ),
        "The 3×3 convolution is not depthwise: it has one group, not as many as channels.": (
            lambda: variant(groups=1)
        ),
        "The 3×3 convolution has groups=in_channels; it has in_channels * expansion channels, and "
        "each should be a group of its own.": lambda: variant(groups=given),
        "The branch is subtracted from the input; it is added.": lambda: variant(skip="minus"),
        "The stride is given to the first 1×1 convolution; it belongs to the depthwise one.": (
            lambda: variant(stride_at="expand")
        ),
        "The stride is given to the last 1×1 convolution; it belongs to the depthwise one.": (
            lambda: variant(stride_at="project")
        ),
        "The wide tensor has out_channels * expansion channels; in_channels * expansion is "
        "right.": lambda: variant(wide=out * expansion),
        "The expansion is ignored: the depthwise convolution has in_channels channels.": lambda: (
            variant(wide=given, always_expand=True)
        ),
        "The expansion is always 6: `expansion` is not used.": lambda: variant(
            wide=6 * given, always_expand=True
        ),
        "The wide tensor has `expansion` channels; in_channels * expansion is right.": lambda: (
            variant(wide=expansion)
        ),
        "The convolutions have biases; the batch norm after each takes them away.": lambda: variant(
            bias=True
        ),
    }
    for number, place in enumerate(_NORMS):
        norms = tuple(n != number for n in range(3))
        mistakes[f"The batch norm {place} is missing."] = lambda norms=norms: variant(norms=norms)
    mistakes["There is no batch norm."] = lambda: variant(norms=(False, False, False))
    mistakes["There is no batch norm, and the convolutions have biases."] = lambda: variant(
        norms=(False, False, False), bias=True
    )
    _same_block(block, variant(), shape, mistakes)
    same_outputs(
        nn.Sequential(_Spikes(), block),
        nn.Sequential(_Spikes(), variant()),
        (4, given, 16, 16),
        mistakes={
            f"{which} a plain ReLU; ReLU6 cuts off above 6.": lambda options=options: nn.Sequential(
                _Spikes(), variant(**options)
            )
            for which, options in (
                ("The activations are", dict(first=nn.ReLU, second=nn.ReLU)),
                ("The first activation is", dict(first=nn.ReLU)),
                ("The second activation is", dict(second=nn.ReLU)),
            )
        },
        tolerance=1e-3,
    )


# --- mobilenet.5: repair --------------------------------------------------------------------------

_TABLE = ((1, 8, 1, 1), (4, 12, 2, 2), (4, 16, 3, 2))


def _features(
    in_channels: int = 1,
    *,
    every_stride: bool = False,
    relu_behind_blocks: Callable[[], nn.Module] | None = None,
    norm: bool = True,
    bias: bool = False,
    late: bool = False,
    repeats: int | None = None,
    first_norm: bool = True,
    last_activation: Callable[[], nn.Module] | None = nn.ReLU6,
    activation: Callable[[], nn.Module] = nn.ReLU6,
    **block: Any,
) -> nn.Sequential:
    """The network of mobilenet.5, with the mistakes that the options describe."""
    parts: list[nn.Module] = [_cell(in_channels, 16, 3, 2, norm=first_norm, activation=activation)]
    channels = 16
    for expansion, out, count, stride in _TABLE:
        for number in range(repeats or count):
            step = stride if number == 0 or every_stride else 1
            parts.append(_Inverted(channels, out, step, expansion, **block))
            parts += [relu_behind_blocks()] if relu_behind_blocks else []
            channels = channels if late else out
        channels = out
    parts.append(_cell(channels, 64, norm=norm, bias=bias, activation=last_activation))
    return nn.Sequential(*parts)


def mobilenet_5(answer):
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"repaired_features is {describe(answer)}; it should stay a function that builds one."
        )
    network = make(answer)
    shape = (3, 1, 28, 28)
    faults = _faults(network)
    mistakes: dict[str, Callable[[], nn.Module]] = {}
    try:
        with trace.unwatched():
            output = call(network.train(), torch.randn(shape), what="repaired_features()")
        if isinstance(output, Tensor) and output.shape != (3, 64, 4, 4):
            raise Wrong(
                f"Images of shape {shape} become {tuple(output.shape)}; (3, 64, 4, 4) is right."
            )
        mistakes |= {
            **{
                f"There is a {kind.__name__} after each block, so after each projection; the "
                "bottleneck is linear.": lambda kind=kind: _features(relu_behind_blocks=kind)
                for kind in (nn.ReLU6, nn.ReLU)
            },
            "The batch norm of the last convolution is still missing.": lambda: _features(
                norm=False
            ),
            "The last convolution has a bias in place of its batch norm.": lambda: _features(
                norm=False, bias=True
            ),
            "The last convolution has a bias now; nothing else should change.": lambda: _features(
                bias=True
            ),
            "There is still a ReLU6 after each block, so after each projection; the bottleneck is "
            "linear. One more mistake is left.": lambda: _features(
                relu_behind_blocks=nn.ReLU6, norm=False
            ),
            "The last ReLU6 is gone; it was right.": lambda: _features(last_activation=None),
            "The blocks have no shortcut.": lambda: _features(skip="none"),
        }
        same_outputs(network, _features(), shape, mistakes=mistakes)
        loud = {
            f"{which} a plain ReLU; ReLU6 cuts off above 6.": (
                lambda options=options: _loud(_features(**options))
            )
            for which, options in (
                ("The first and the last ReLU6 are", _PLAIN | {"last_activation": nn.ReLU}),
                ("The first ReLU6 is", _PLAIN),
                ("The last ReLU6 is", {"last_activation": nn.ReLU}),
            )
        }
        mistakes |= loud
        same_outputs(network, _loud(_features()), shape, mistakes=loud)
        first = next(m for m in make(answer, 3).modules() if isinstance(m, nn.Conv2d))
        if first.in_channels != 3:
            raise Wrong(
                f"repaired_features(3) begins with a convolution of {first.in_channels} channels: "
                "`in_channels` is not used any more."
            )
    except Wrong as error:
        # the list of all layers is long: it is left out where the mistake is named
        named = [*faults, *(m for m in mistakes if str(error).startswith(m))]
        text = re.split(r" (?:Your module|It) consists of ", str(error))[0]
        if faults and text in named:  # found by layers and by values: one at a time
            text = ""
        if not named:
            text = str(error)
        kind = Wrong if named else type(error)
        raise kind(" ".join([*faults[:1], text]).strip()) from None
    return "Six blocks, three of them with a shortcut, and all four mistakes are gone."


_PLAIN = {"activation": nn.ReLU}


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


def _run_slices(
    maps: Tensor,
    expand: nn.Conv2d,
    depthwise: nn.Conv2d,
    project: nn.Conv2d,
    slices: int,
    *,
    bias: str = "once",
    activation: bool = True,
    second: bool = True,
    stride: bool = True,
    keep: str = "sum",
    project_slice: bool = True,
    activate_thin: bool = False,
    depthwise_slice: tuple[bool, bool] = (True, True),  # of the weights, of the biases
    cuts: tuple[Callable[[Tensor], Tensor], ...] = (F.relu6, F.relu6),
) -> Tensor:
    """The branch in slices, with the mistakes that the options describe."""
    size = expand.out_channels // slices
    result = None
    for start in range(0, expand.out_channels, size):
        part = slice(start, start + size)
        wide = F.conv2d(maps, expand.weight[part], expand.bias[part])
        wide = cuts[0](wide) if activation else wide
        filters, shifts = (part if own else slice(0, size) for own in depthwise_slice)
        wide = F.conv2d(
            wide,
            depthwise.weight[filters],
            depthwise.bias[shifts],
            stride=depthwise.stride if stride else 1,
            padding=depthwise.padding,
            groups=size,
        )
        wide = cuts[1](wide) if second else wide
        weight = project.weight[:, part if project_slice else slice(0, size)]
        given = project.bias if bias == "each" or (bias == "once" and result is None) else None
        thin = F.conv2d(wide, weight, given)
        del wide
        thin = F.relu6(thin) if activate_thin else thin
        if keep == "first":
            return thin
        result = thin if keep == "last" or result is None else result + thin
    return result / slices if keep == "mean" else result


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


def mobilenet_6(answer):
    if not callable(answer) or isinstance(answer, nn.Module):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    cases = [
        (torch.randn(2, 4, 7, 6), *_layers_of(4, 12, 5, 1), 3),
        (torch.randn(1, 3, 8, 8), *_layers_of(3, 8, 6, 2), 2),
        (torch.randn(2, 4, 5, 5), *_layers_of(4, 6, 4, 1), 6),
        (torch.randn(2, 4, 5, 5), *_layers_of(4, 8, 4, 1), 1),
    ]
    variants = {
        "The bias of the projection is added with every slice; it belongs to the sum, so once.": (
            dict(bias="each")
        ),
        "The bias of the projection is missing.": dict(bias="none"),
        "The ReLU6 after the expansion is missing.": dict(activation=False),
        "The ReLU6 after the depthwise convolution is missing.": dict(second=False),
        "Both ReLU6 are missing.": dict(activation=False, second=False),
        "The activations are plain ReLUs; ReLU6 cuts off above 6.": dict(cuts=(F.relu, F.relu)),
        "The first activation is a plain ReLU; ReLU6 cuts off above 6.": dict(
            cuts=(F.relu, F.relu6)
        ),
        "The second activation is a plain ReLU; ReLU6 cuts off above 6.": dict(
            cuts=(F.relu6, F.relu)
        ),
        "The stride of the depthwise convolution is not used.": dict(stride=False),
        "Only the last slice is returned; the slices have to be added.": dict(
            keep="last", bias="each"
        ),
        "Only the first slice is returned; the slices have to be added.": dict(keep="first"),
        "Every slice is filtered with the depthwise filters of the first slice: take "
        "`depthwise.weight[part]`.": dict(depthwise_slice=(False, True)),
        "Every slice has the depthwise filters and biases of the first slice: take "
        "`depthwise.weight[part]` and `depthwise.bias[part]`.": dict(
            depthwise_slice=(False, False)
        ),
        "The slices are averaged; they have to be added.": dict(keep="mean", bias="each"),
        "Every slice is projected with the weights of the first slice: take "
        "`project.weight[:, part]`.": dict(project_slice=False),
        "There is an activation on the projected slices; the bottleneck is linear.": dict(
            activate_thin=True
        ),
    }
    with torch.no_grad():
        try:
            same_results(
                answer,
                _run_slices,
                *cases,
                mistakes={
                    message: partial(_run_slices, **options)
                    for message, options in variants.items()
                },
                explain=_explain_slices,
            )
        except Wrong as error:
            # the layers do not fit on one line and say little
            raise type(error)(str(error).replace("a Conv2d module", "Conv2d")) from None
    _expect_small_peak(answer)
    return "The same output, and the wide tensor is never there."


def _explain_slices(case: tuple, got: Any, right: Tensor) -> str:
    maps, expand, _, _, slices = case
    if (
        isinstance(got, Tensor)
        and got.shape == right.shape == maps.shape
        and close(got, right + maps)
    ):
        return "The input is added too; the branch alone is asked for."
    return f"That was with {expand.out_channels} wide channels in {slices} slices."


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
