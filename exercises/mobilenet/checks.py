"""Checks of chapter 09: MobileNet v1 and v2."""

import inspect
import itertools
import math
import numbers
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
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
    gives_back,
    layers,
    make,
    plain,
    same_outputs,
    same_results,
    sixth_argument,
)

# Edits of the solutions' text that teach more than what `exercises.repairs` says of a module.
_PAIR = (
    "nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False), "
    "{}nn.Conv2d(in_channels, out_channels, 1, bias=False)"
)
_NORM_IN, _NORM_OUT = "nn.BatchNorm2d(in_channels)", "nn.BatchNorm2d(out_channels)"
_ADDED = """class _Added(nn.Sequential):
    def forward(self, maps):
        result = super().forward(maps)
        return maps + result if maps.shape == result.shape else result


def separable("""
_V1_FIRST = (
    "        parts = []\n",
    "        parts = [nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, "
    "bias=False), nn.BatchNorm2d(in_channels), nn.ReLU6()]\n",
    "            nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False),\n"
    "            nn.BatchNorm2d(wide),\n            nn.ReLU6(),\n",
    "",
)
_SUM = "maps + self.branch(maps)"
_FORWARD = f"        return {_SUM} if self.skip else self.branch(maps)"
_WIDE_SUM = """        if not self.skip:
            return self.branch(maps)
        wide = self.branch[:-5](maps)
        return self.branch[-2:](wide + self.branch[-5:-2](wide))"""
_NO_NORM = (
    *("        nn.BatchNorm2d(in_channels),\n", ""),
    *("        nn.BatchNorm2d(out_channels),\n", ""),
)
_POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.Hardswish, nn.GELU)
_NORM, _LAST_RELU = "        nn.BatchNorm2d(64),\n", "        nn.ReLU6(),\n    ]\n    return"
_LAST = "            nn.BatchNorm2d(out_channels),\n"
_AT_END = ("return total", "return total + project.bias[:, None, None]")
_ACTIVE = ("total + F.conv2d(", "total + F.relu6(F.conv2d(", "part], bias)\n", "part], bias))\n")
_ROWS_CUT = (
    "    return torch.cat([project(F.relu6(depthwise(F.relu6(expand(part))))) for part in "
    "maps.chunk(slices, {0})], {0})\n"
)
_THIN = (
    "    thin = maps.shape[1] // slices\n    parts = [slice(i * thin, i * thin + thin) for i in "
    "range(slices)]\n    wide = sum(F.conv2d(maps[:, p], expand.weight[:, p]) for p in parts)\n"
    "    return project(F.relu6(depthwise(F.relu6(wide + expand.bias[:, None, None]))))\n"
)
_EVERY = "start//size::slices"
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
        "There is a ReLU6 where a ReLU is right.": ("nn.ReLU()", "nn.ReLU6()"),
        "The batch norms come after the ReLUs; each belongs before its ReLU.": tuple(
            part
            for norm in (_NORM_IN, _NORM_OUT)
            for part in (f"{norm},\n        nn.ReLU()", f"nn.ReLU(),\n        {norm}")
        ),
        "The input is added to the result. The block of v1 has no shortcut.": (
            *("def separable(", _ADDED, "return nn.Sequential(", "return _Added("),
        ),
        "Batch norm and ReLU come before each convolution; they belong after it.": (
            "    return",
            f"    return nn.Sequential({_NORM_IN}, nn.ReLU(), "
            f"{_PAIR.format(f'{_NORM_IN}, nn.ReLU(), ')})\n    return",
        ),
        "There is one ordinary 3×3 convolution. The block has two: depthwise 3×3, then 1×1.": (
            "    return",
            "    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride, 1, "
            "bias=False), nn.BatchNorm2d(out_channels), nn.ReLU())\n    return",
        ),
        "There is no batch norm.": _NO_NORM,
        "There is no batch norm, and the convolutions have biases.": (
            *(*_NO_NORM, "bias=False", "bias=True"),
        ),
    },
    "mobilenet.4": {
        "With expansion=1 there should be no first 1×1 convolution.": ("expansion != 1", "True"),
        "There is an activation after the last 1×1. The bottleneck is linear: batch norm, and no "
        "activation.": (_LAST, f"{_LAST}            nn.ReLU6(),\n"),
        "There is an activation after the last 1×1, and the shortcut is missing.": (
            *(_LAST, f"{_LAST}            nn.ReLU6(),\n", f"{_SUM} if self.skip else ", ""),
        ),
        "The depthwise convolution comes before the expansion, as in v1; it belongs after it, on "
        "the wide channels.": _V1_FIRST,
        "The shortcut joins the wide tensors. It should join the thin ends: the input and the "
        "result of the whole branch.": (_FORWARD, _WIDE_SUM),
        "The sum is divided by two; input and result are added, and no more.": (
            *(_SUM, f"({_SUM}) / 2"),
        ),
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
        "The channels are divided by `expansion`, as in ResNet's bottleneck; here they are "
        "multiplied.": ("in_channels * expansion", "max(1, in_channels // expansion)"),
        "The wide channels are rounded to a multiple of 8; in_channels * expansion is right.": (
            "in_channels * expansion",
            "max(8, (in_channels * expansion + 4) // 8 * 8)",
        ),
        "The input is added wherever the shapes agree, so also with stride 2 and maps of one "
        "pixel. The rule is: stride 1, and as many channels out as in.": (
            _FORWARD,
            "        result = self.branch(maps)\n"
            "        return maps + result if maps.shape == result.shape else result",
        ),
    },
    "mobilenet.5": {
        "The batch norm of the last convolution comes after the ReLU6; it belongs before it.": (
            *(_NORM, "", _LAST_RELU, _LAST_RELU.replace("    ]", f"{_NORM}    ]", 1)),
        ),
        "The last convolution has a bias; batch norm comes after it, so it needs none.": (
            *("kernel_size=1, bias=False", "kernel_size=1"),
        ),
        "The first ReLU6 is gone; it was right.": (
            *("nn.ReLU6(),\n    ]\n    channels", "\n    ]\n    channels"),
        ),
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
        "The bias of the projection is added with every slice and once more at the end; once is "
        "right.": (*_EACH, *_AT_END),
        "The bias of the projection is missing.": (_EACH[0], "None"),
        "The bias of the expansion is missing.": (", expand.bias[part]", ""),
        "The bias of the depthwise convolution is missing.": ("depthwise.bias[part]", "None"),
        "The biases of the expansion and of the depthwise convolution are missing.": (
            *(", expand.bias[part]", "", "depthwise.bias[part]", "None"),
        ),
        "The bias of the expansion is added after its ReLU6; it belongs before it.": (
            "expand.weight[part], expand.bias[part]))",
            "expand.weight[part])) + expand.bias[part][:, None, None]",
        ),
        "The last slice is left out.": (
            *("expand.out_channels, size)", "expand.out_channels - size, size)"),
        ),
        "The first slice is left out.": (
            *("range(0,", "range(size,", "start == 0", "start == size"),
        ),
        "The depthwise convolution of a slice needs groups: as many as the slice has channels.": (
            "                groups=size,\n",
            "",
        ),
        "The groups are not the number of slices: a slice has as many groups as channels.": (
            *("groups=size", "groups=slices"),
        ),
        "These groups are those of all wide channels: a slice has as many groups as channels.": (
            *("groups=size", "groups=depthwise.groups"),
        ),
        "Cut the weight of the projection along its second axis. The wide channels are there: the "
        "projection takes them in.": ("project.weight[:, part]", "project.weight[part]"),
        "The projection gets one slice, and its weight is for all wide channels: cut the weight "
        "too, along its second axis.": ("project.weight[:, part]", "project.weight"),
        "Cut the weight of the expansion along its first axis. The wide channels are there: the "
        "expansion gives them.": ("expand.weight[part]", "expand.weight[:, part]"),
        "The bias of the projection is for the thin channels: it is not cut.": (
            *(_EACH[0], "project.bias[part]"),
        ),
        "The bias needs two more axes, for height and width, before it can be added.": (
            *(_EACH[0], "None", "return total", "return total + project.bias"),
        ),
        "The results of the slices are joined as channels; they have to be added.": (
            *("total = 0", "total = []", "total = total + F.conv2d(", "total.append(F.conv2d("),
            *("[:, part], bias)", "[:, part]))"),
            *("return total", "return torch.cat(total, 1) + project.bias[:, None, None]"),
        ),
        "The sum begins with maps as large as the input; with a stride the output is smaller.": (
            *("total = 0", "total = torch.zeros(len(maps), project.out_channels, *maps.shape[2:])"),
        ),
        "The input channels are sliced; slice the wide channels.": (
            "    size = expand.out_channels // slices\n",
            "    size = expand.in_channels // slices\n"
            "    return sum(project(F.relu6(depthwise(F.relu6(F.conv2d(maps[:, p], "
            "expand.weight[:, p], expand.bias))))) for p in (slice(i * size, i * size + size) "
            "for i in range(slices)))\n",
        ),
        "The channels that the expansion takes in are sliced; slice the wide ones, which it "
        "gives.": ("    size", f"{_THIN}    size"),
        "The rows of the maps are sliced; slice the wide channels.": (
            *("    size", f"{_ROWS_CUT.format(2)}    size"),
        ),
        "The columns of the maps are sliced; slice the wide channels.": (
            *("    size", f"{_ROWS_CUT.format(3)}    size"),
        ),
        "The padding is always 1; take it from the layer.": ("=depthwise.padding", "=1"),
        "There is a ReLU6 on the projected slices; the bottleneck is linear.": (
            *(_EACH[0], "None", *_ACTIVE, *_AT_END),
        ),
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
        "Every slice has the depthwise biases of the first slice: take `depthwise.bias[part]`.": (
            "depthwise.bias[part]",
            "depthwise.bias[:size]",
        ),
        "Every slice has the expansion biases of the first slice: take `expand.bias[part]`.": (
            "expand.bias[part]",
            "expand.bias[:size]",
        ),
        "Every slice is expanded with the weights of the first slice: take "
        "`expand.weight[part]`.": ("expand.weight[part]", "expand.weight[:size]"),
        "Every slice is expanded with the weights and biases of the first slice: take "
        "`expand.weight[part]` and `expand.bias[part]`.": (
            *("expand.weight[part]", "expand.weight[:size]"),
            *("expand.bias[part]", "expand.bias[:size]"),
        ),
        "The expansion takes every `slices`-th channel, the other layers take neighbouring ones. "
        "All three need the same channels.": (
            *("expand.weight[part]", f"expand.weight[{_EVERY}]"),
            *("expand.bias[part]", f"expand.bias[{_EVERY}]"),
        ),
        "The depthwise convolution takes every `slices`-th channel, the other layers take "
        "neighbouring ones. All three need the same channels.": (
            *("depthwise.weight[part]", f"depthwise.weight[{_EVERY}]"),
            *("depthwise.bias[part]", f"depthwise.bias[{_EVERY}]"),
        ),
        "The projection takes every `slices`-th channel, the other layers take neighbouring ones. "
        "All three need the same channels.": (
            "project.weight[:, part]",
            f"project.weight[:, {_EVERY}]",
        ),
        "The slices are averaged; they have to be added.": (
            *(*_EACH, "return total", "return total / slices"),
        ),
        "Every slice is projected with the weights of the first slice: take "
        "`project.weight[:, part]`.": ("[:, part]", "[:, :size]"),
        "There is an activation on the projected slices; the bottleneck is linear.": (*_ACTIVE,),
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
        "The scale needs three axes of length 1 after the first, so that each channel is divided "
        "by its own scale.": ("scale[:, None, None, None]", "scale"),
        "The scale is put along the second axis, that of the input channels; put it along the "
        "first.": ("scale[:, None, None, None]", "scale[None, :, None, None]"),
        "The weights are multiplied by the scale; they have to be divided by it.": (
            *("weight / scale", "weight * scale"),
        ),
        "`if` decides once, and the tensor holds one truth value for each channel: use "
        "`torch.where`.": ("torch.where(scale == 0, 1.0, scale)", "1.0 if scale == 0 else scale"),
        "`max` with an axis gives two tensors, the values and their places: take `.values`, or use "
        "`amax`.": ("amax(dim=1)", "max(dim=1)"),
        "`weight` is the tensor of weights itself, not a layer.": (
            *("weight.abs()", "weight.weight.abs()"),
        ),
        "The signs are lost: divide the weights, not their absolute values.": (
            "weight / scale",
            "weight.abs() / scale",
        ),
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
    twice = (
        "This is twice too much. The depthwise layer keeps its 256 channels. And one MAC is a "
        "multiplication with its addition: count it once."
    )
    if isinstance(answer, dict) and str(answer.get("weights")) == str(9 * 512 + point):
        twice = "The depthwise layer keeps its 256 channels; it does not give 512."
    right = {
        "standard": positions * one,
        "depthwise": positions * deep,
        "pointwise": positions * point,
        "weights": deep + point,
    }
    common: dict[str, dict[float, str]] = {
        key: {
            n * n * value: f"This is the number for {n} · {n} positions. The output has 14 · 14: "
            "padding 1 adds one row and column on each side, and the stride is 2."
            for n in (7, 12, 13, 15, 16, 27, 30)
        }
        | {many * value: stride, value: no_positions, 14 * value: side}
        for key, value in (("standard", one), ("depthwise", deep), ("pointwise", point))
    }
    for key in ("standard", "depthwise"):
        common[key][right[key] / 9 * 25] = "The kernel has 3 · 3 places, not 5 · 5."
        common[key][right[key] / 3] = "The kernel has 3 · 3 places, not 3."
        common[key][right[key] / 9] = "Each filter has 3 · 3 places; the factor 9 is missing."
    common["standard"] |= {
        positions * 9 * 512: "Every filter sees all 256 channels: 3 · 3 · 256 products.",
        positions * deep: "This is one filter; there are 512.",
        positions * (deep + point): "This is the pair of depthwise and 1×1; one ordinary layer is "
        "asked for.",
    }
    common["depthwise"] |= {
        positions * one: "This is the ordinary convolution. A depthwise filter sees one channel.",
        positions * 9 * 512: twice,
        positions * 9: "This is one channel; there are 256.",
        positions * 9 * 256 + 256: "Biases are left out: a batch norm comes after this layer.",
        positions * 10 * 256: "Biases are left out: a batch norm comes after this layer.",
        positions * 9 * 256 * 256: "Each filter sees one channel, its own, not all 256.",
        positions * point: "This is the value of the pointwise layer.",
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
        deep + 512 * 512: "The 1×1 layer gets 256 channels: the depthwise layer keeps them.",
        deep + 9 * point: "The second layer is 1×1: its kernel has one place, not 9.",
        256 + point: "The kernel of the depthwise layer has 3 · 3 places.",
        25 * 256 + point: "The kernel has 3 · 3 places, not 5 · 5.",
        deep * point: "The weights of the two layers are added, not multiplied.",
        4 * (deep + point): "These are the bytes; the number of weights is asked for.",
        1 / 512 + 1 / 9: "This is the ratio of the MACs; the number of weights is asked for.",
    }
    expect_numbers(
        answer,
        right,
        common,
        macs=("standard", "depthwise", "pointwise"),
        with_biases={"standard": positions * (one + 512)},
        otherwise=dict.fromkeys(right, "Begin with the products for one position of the output.")
        | {"weights": "Count the weights of each of the two layers, and add them."},
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


def _is_thin(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (1, 1)


_GROUPED = "The 1×1 convolution has groups. It mixes all channels: leave `groups` out there."


def _listed(convs: Sequence[nn.Conv2d]) -> str:
    """`1×1, depthwise 3×3`."""
    names = []
    for conv in convs:
        size = "×".join(map(str, conv.kernel_size))
        names.append(f"depthwise {size}" if conv.groups == conv.in_channels > 1 else size)
    return ", ".join(names)


def _same_block(
    block: nn.Module, reference: nn.Module, shape: tuple[int, ...], more: str = ""
) -> None:
    """`same_outputs`, with `nn.Conv2d` layers only; more: what to say if there are too many."""
    convs, right = _convolutions(block), _convolutions(reference)
    try:
        same_outputs(block, reference, shape)
    except Wrong as error:
        if len(convs) == len(right):
            raise
        made = f"this block has {len(convs)} ({_listed(convs)})" if convs else "this block has none"
        count = f"{len(right)} convolutions are right ({_listed(right)}); {made}."
        raise type(error)(f"{count}{more if len(convs) > len(right) else ''} {error}") from None
    if len(convs) != len(right):
        raise Wrong(
            f"It computes the right thing, but with {len(convs)} `nn.Conv2d`; the task asks for "
            f"{len(right)}, which the chapter counts later."
        )
    loud = [nn.Sequential(_Spikes(), module) for module in (block, reference)]
    same_outputs(*loud, (4, *shape[1:2], 16, 16), tolerance=1e-3)


def _builds(answer: Any, reference: Callable, kind: str = "a function or a class") -> None:
    """It is no finished module, and its arguments have the order and the defaults of the task."""
    name = reference.__name__
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"{name} is {describe(answer)}; it should be {kind} that builds a block for any number "
            "of channels."
        )
    try:
        mine, right = (
            {p.name: p.default for p in inspect.signature(f).parameters.values()}
            for f in (answer, reference)
        )
    except (TypeError, ValueError):  # it is no function, or one of those that do not tell
        return
    if list(mine) != list(right) and sorted(mine) == sorted(right):
        raise Wrong(
            f"{name} takes its arguments in the order {', '.join(mine)}; the task's order is "
            f"{', '.join(right)}."
        )
    for key, default in right.items():
        if mine.get(key, default) not in (default, inspect.Parameter.empty):
            raise Wrong(f"The default of `{key}` is {describe(mine[key])}; {default} is right.")


def mobilenet_2(answer, reference):
    _builds(answer, reference)
    cases = [((4, 6), (3, 4, 9, 8)), ((6, 3, 2), (3, 6, 8, 11)), ((5, 5, 1), (3, 5, 7, 7))]
    for arguments, shape in cases:
        what = describe_call(answer, *arguments)
        try:
            block = make(answer, *arguments)
        except Wrong as error:
            if "divisible by groups" not in str(error):
                raise
            cause = (
                "The depthwise layer keeps the number of channels: in_channels in, in_channels "
                "out, groups=in_channels."
            )
            with trace.unwatched():
                if any(c.groups > 1 for c in _convolutions(make(answer, 4, 4)) if _is_thin(c)):
                    cause = _GROUPED
            raise Wrong(f"{cause} {error}") from None
        try:
            with trace.unwatched():  # its weights are its own, so what comes out tells nothing
                call(
                    block.train(), torch.randn(shape), what=f"{what}, given maps of shape {shape},"
                )
        except Wrong as error:
            if "running_mean" not in str(error):
                raise
            raise Wrong(
                "Each convolution is followed by a batch norm of its own, for as many channels as "
                f"this convolution gives. {error}"
            ) from None
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
        cause = "The 3×3 needs padding 1 on every side, the 1×1 none."
        if any(c.dilation != (1, 1) for c in convs):
            cause = sixth_argument(block) or (
                "A convolution has gaps in its kernel (`dilation`); leave that argument out."
            )
        elif any(isinstance(m, _POOLING) for m in block.modules()):
            cause = "No pooling is asked for: the depthwise convolution has the stride."
        elif stride == 1 and any(c.stride != (1, 1) for c in convs):
            cause = "A convolution has a stride although `stride` is 1: is the argument used?"
        elif stride != 1 and got.shape[2:] == shape[2:]:
            cause = "Is `stride` used?"
        elif sum(c.stride != (1, 1) for c in convs) > 1:
            cause = "The stride belongs to one layer, the depthwise convolution."
        raise Wrong(
            f"{cause} Maps of shape {shape} become {tuple(got.shape)}; {expected} is right. Your "
            f"module consists of {layers(block)}."
        )
    if any(c.groups > 1 for c in convs if _is_thin(c)):
        raise Wrong(_GROUPED)
    if sum(c.in_channels == 1 for c in convs) == 1 != given:
        raise Wrong(
            "One 3×3 filter serves all channels; every channel gets a filter of its own. With "
            "groups=in_channels one convolution holds them all."
        )
    if convs and convs[0].groups not in (1, given) and convs[0].in_channels == given:
        raise Wrong(
            f"The first convolution has groups={convs[0].groups}; with {given} channels, depthwise "
            f"means groups={given}."
        )
    try:
        _same_block(block, right, shape)
    except Wrong:
        if stride == 1 or any(c.stride != (1, 1) for c in convs):
            raise
        raise Wrong(
            "Something else than a stride shrinks the maps. The depthwise convolution should have "
            f"the stride {stride}. Your module consists of {layers(block)}."
        ) from None


# --- mobilenet.3: a table with a misprint ---------------------------------------------------------

_ROWS = {
    "1x1": "the 1×1 convolutions",
    "depthwise": "the depthwise convolutions",
    "full": "the full convolution at the start",
    "linear": "the linear layer",
}
_PARAMETERS = {  # with batch norms, without them, of the total without them, and as printed
    "1x1": (74.468, 74.187, 74.572, 74.59),
    "depthwise": (1.291, 1.055, 1.061, 1.06),
    "full": (0.022, 0.0204, 0.0205, 0.02),
    "linear": (24.220, 24.346, 24.33),
}
_V2 = {"1x1": 89.083, "depthwise": 6.888, "full": 3.603, "linear": 0.426}


def _macs(size: int = 224, width: float = 1.0) -> dict[str, list[int]]:
    """The MACs of the layers of MobileNet v1."""
    side, given = -(-size // 2), int(32 * width)
    macs: dict[str, list[int]] = {key: [] for key in _ROWS}
    macs["full"] = [27 * given * side**2]
    for channels, stride in zip(
        (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024), (1, 2, 1, 2, 1, 2, *[1] * 5, 2, 1)
    ):
        side, out = -(-side // stride), int(channels * width)
        macs["depthwise"].append(9 * given * side**2)
        macs["1x1"].append(given * out * side**2)
        given = out
    macs["linear"] = [1000 * given]
    return macs


def _shares(macs: dict[str, list[int]]) -> dict[str, float]:
    whole = sum(map(sum, macs.values()))
    return {key: 100 * sum(values) / whole for key, values in macs.items()}


def _share_mistakes(key: str) -> list[tuple[float, str]]:
    """Wrong numbers for a row of the table, and what each of them is."""
    macs = _macs()
    shares, own, right = _shares(macs), macs[key], _shares(macs)[key]
    whole = sum(map(sum, macs.values()))
    known = [
        (right / 100, "This is a fraction; percent are asked for, so times 100."),
        (right * 10, "This is per mille; percent are asked for."),
        (round(right, 1), "This is rounded to one digit; two or more are asked for."),
        *(
            (
                n,
                "This is a whole number; two digits after the point are asked for. (`//` cuts them "
                "off.)",
            )
            for n in (math.floor(right), round(right))
        ),
        (sum(own), "This is a number of MACs; its share of all MACs, in percent, is asked for."),
        (sum(own) / 1e6, "This is in millions of MACs; the share of all MACs is asked for."),
        (100 * len(own) / 28, "This is a share of the number of layers; add up their MACs."),
        (_V2[key], "This is the share in MobileNet v2; the table is about v1."),
        (2 * right, "This is twice the share: count a multiplication and its addition as one MAC."),
    ]
    for n in (2, 3, 4):
        for rows in itertools.combinations(_ROWS, n):
            words = " and ".join(_ROWS[row] for row in rows)
            alone = f"{_ROWS[key]} alone" if key in rows else _ROWS[key]
            text = f"This is the share of {words} together. This row has {alone}."
            known.append((sum(shares[row] for row in rows), text))
    for row in _ROWS:
        text = f"The whole is too small here: {_ROWS[row]} belongs to the whole."
        known.append((100 * sum(own) / (whole - sum(macs[row])), text))
    for two in itertools.combinations([row for row in _ROWS if row != key], 2):
        text = "The whole is too small here: {} and {} belong to it.".format(*map(_ROWS.get, two))
        known.append((100 * sum(own) / (whole - sum(sum(macs[row]) for row in two)), text))
    for n in own if len(own) > 1 else ():
        known.append((100 * n / whole, f"This is one layer; add up all {len(own)}."))
        known.append((right - 100 * n / whole, f"One of the {len(own)} layers is left out."))
    for size in (28, 32, 64, 96, 128, 160, 192, 256):
        text = f"This is the share at {size} pixels; 224 are asked for."
        known.append((_shares(_macs(size=size))[key], text))
    for width in (0.25, 0.5, 0.75):
        text = f"This is the share at width {width}; width 1 is asked for."
        known.append((_shares(_macs(width=width))[key], text))
    if key == "depthwise":
        channels = (32, 64, 128, 128, 256, 256, *[512] * 6, 1024)
        every = sum(n * c for n, c in zip(own, channels))
        known.append((100 * every / whole, "A depthwise filter sees one channel, not all."))
    if key == "full":
        known.append((1.19, "This is the printed value. Measure it."))
        known.append((right - 1.19, "This is the distance to the printed value, not the share."))
        text = (
            "This is 9 products for each value, the share of the first depthwise layer. The full "
            "convolution sees 3 channels: 27 products."
        )
        known.append((right / 3, text))
        known.append((4 * right, "The first convolution has stride 2: 112 · 112 positions."))
    if key == "linear":
        known.append((100 * (sum(own) + 1024 * 49) / whole, "Pooling and biases have no MACs."))
    return known


def mobilenet_3(answer):
    expect_keys(answer, (*_ROWS, "misprint"))
    answer = {k: float(v) if isinstance(v, Fraction) else plain(v) for k, v in answer.items()}
    right = _shares(_macs())
    tolerance = {key: 0.006 if share > 0.5 else 0.0025 for key, share in right.items()}
    common = {}
    for key, share in right.items():
        value, parameters = answer[key], "This is the share of the parameters; MACs are asked for."
        known = dict.fromkeys(_PARAMETERS[key], parameters)
        if isinstance(value, numbers.Real):  # of several mistakes the nearest is named
            found = [*known.items(), *_share_mistakes(key)]
            found = [f for f in found if math.isclose(value, f[0], rel_tol=1e-4, abs_tol=0.006)]
            known = dict(sorted(found, key=lambda f: abs(f[0] - value))[:1]) or known
        common[key] = {v: text for v, text in known.items() if abs(v - share) > tolerance[key]}
    expect_numbers(
        answer,
        right,
        common,
        tolerance=tolerance,
        otherwise="Add up `row.macs` of the layers of this kind, and divide by `table.macs`.",
    )
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
    _builds(answer, reference, "a class")
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
        ((4, 4, 2, 3), (3, 4, 1, 1)),  # the shapes agree, and still there is no shortcut
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
    given, images = arguments[0], torch.randn(shape)
    try:
        with trace.unwatched():
            output = call(block.train(), images.clone())
    except Wrong as error:
        if "size of tensor" in str(error) or "must match" in str(error):
            advice = (
                "Input and output have different shapes here, so they cannot be added: the "
                "shortcut exists only with stride 1 and as many channels out as in."
            )
            if right.skip and "dimension 1" in str(error):
                advice = (
                    "The input and the result of the branch have different numbers of channels: "
                    "the last 1×1 gives `out_channels` channels. Is it called?"
                )
            elif right.skip:
                advice = (
                    "With stride 1 the branch should keep height and width: the 3×3 needs padding "
                    "1."
                )
            raise Wrong(f"{advice} {error}") from None
        if right.skip and len(_convolutions(block)) < len(_convolutions(right)):
            raise Wrong(
                "The first 1×1 convolution is missing here. Only with expansion=1 it is left out. "
                f"{error}"
            ) from None
        raise
    expected = tuple(right(torch.randn(shape)).shape)
    if isinstance(output, Tensor) and output.shape != expected:
        hint = "Is `stride` given to the depthwise convolution, and padding 1?"
        if gives_back(output, images):
            hint = (
                "The block gives its input back. Without a shortcut it gives the result of the "
                "branch alone."
            )
        elif output.shape[1:2] != expected[1:2]:
            hint = "The last 1×1 gives `out_channels` channels."
        if right.skip and output.shape[1:2] == (2 * given,):
            hint = "The input and the result are joined as channels; they have to be added."
        raise Wrong(
            f"{hint} Maps of shape {shape} become {tuple(output.shape)}; {expected} is right. Your "
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
    if isinstance(network, nn.ModuleList):
        raise Wrong("An nn.ModuleList only keeps layers; `nn.Sequential(*parts)` also runs them.")
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
        text = re.sub(r" \(line \d+ of your cell: .*\)", "", text)  # the cell of mobilenet.4
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
    every = [m for _, m in network.named_modules(remove_duplicate=False)]
    convs = [m for m in every if isinstance(m, nn.Conv2d)]
    stem, *deep = [m for m in convs if m.kernel_size == (3, 3)] or [nn.Conv2d(1, 1, 3)]
    if (stem.stride, stem.padding) != ((2, 2), (1, 1)):
        found.append("The first convolution was right, with its stride 2 and padding 1.")
    if len(deep) != 6:
        found.append(f"There are {len(deep)} blocks; the table asks for 1 + 2 + 3.")
    elif len(set(deep)) != 6:
        found.append("One block is used in two places; each place needs a block of its own.")
    twice = sum(m.stride == (2, 2) for m in deep)
    if any(m.stride == (4, 4) for m in deep):
        found.append("A block has stride 4: `stride` and `expansion` have changed places.")
    elif len(deep) == 6 and twice != 2:
        found.append(
            f"{twice} of the 6 blocks have stride 2; only the first block of the second row and "
            "the first of the third have it."
        )
    elif len(deep) == 6 and (deep[1].stride, deep[3].stride) != ((2, 2), (2, 2)):
        found.append("The stride belongs to the first block of a row, not to a later one.")
    children = list(network.children())
    inside = [convs if len(convs := _convolutions(child)) in (2, 3) else [] for child in children]
    blocks = [convs for convs in inside if convs]
    followed = [isinstance(next(iter(c.modules())), _ACTIVATIONS) for c in children[1:]]
    active = sum(bool(convs) and after for convs, after in zip(inside, followed))
    if active and active == len(blocks):
        found.append(
            "There is still an activation after each block, so after each projection; the "
            "bottleneck is linear."
        )
    elif active:
        found.append(
            f"There is still an activation after {active} of the {len(blocks)} blocks, so after a "
            "projection; the bottleneck is linear."
        )
    if any(convs and isinstance(c, nn.BatchNorm2d) for convs, c in zip(inside, children[1:])):
        found.append("There is a batch norm after a block; the block already ends with one.")
    given = 16
    for block in blocks:
        takes, gives = block[0].in_channels, block[-1].out_channels
        if takes == gives != given:
            found.append(
                f"A block is made for {takes} channels and gets {given}. Its first argument is the "
                "number of channels that come in, `channels`."
            )
        elif takes != given:
            found.append(
                f"A block expects {takes} channels and gets {given}: the channels are handed on "
                "too late, or not at all."
            )
        if takes != given:
            break
        given = gives
    wide = [block[-1].in_channels // block[0].in_channels for block in blocks]
    if len(blocks) == 6 and wide != [1, 4, 4, 4, 4, 4]:
        found.append(
            f"The expansions of the blocks are {', '.join(map(str, wide))}; the table says 1, then "
            "4. Hand `expansion` on to each block."
        )
    if any(isinstance(m, (nn.Linear, nn.Flatten)) for m in every):
        found.append(
            "Maps are asked for: no flatten and no linear layer comes after the last ReLU6."
        )
    elif any(isinstance(m, _POOLING) for m in every):
        found.append("There is a pooling; here only the strides shrink the maps.")
    return found


# --- mobilenet.6: in slices -----------------------------------------------------------------------


def _layers_of(
    given: int, wide: int, out: int, stride: int, kernel: int = 3
) -> tuple[nn.Conv2d, ...]:
    three = (
        nn.Conv2d(given, wide, 1),
        nn.Conv2d(wide, wide, kernel, stride, padding=kernel // 2, groups=wide),
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
        (torch.randn(1, 4, 6, 6), *_layers_of(4, 8, 4, 1, kernel=5), 4),
    ]
    one = (torch.randn(2, 4, 5, 5), *_layers_of(4, 8, 4, 1), 1)
    with torch.no_grad():
        try:
            same_results(answer, reference, *cases, explain=_explain_slices)
            same_results(answer, reference, one, explain=_explain_slices)
        except Wrong as error:
            # the layers do not fit on one line and say little
            text = re.sub(
                r"in_slices\(tensor of shape (.*?), 3 times a Conv2d module, (\d+)\)",
                r"in_slices(maps, expand, depthwise, project, slices=\2), for maps of shape \1,",
                str(error),
            )
            raise type(error)(text) from None
    _expect_small_peak(answer)
    return "The same output, and the wide tensor is never there."


def _explain_slices(case: tuple, got: Any, right: Tensor) -> str:
    return f"That was with {case[1].out_channels} wide channels in {case[4]} slices."


def _expect_small_peak(answer: Callable) -> None:
    from utils.topics import memory

    layers_ = _layers_of(4, 64, 4, 1)
    wide = 64 * 24 * 24

    def held(slices: int, images: int = 1) -> memory.Peak:
        return memory.peak(answer, torch.randn(images, 4, 24, 24), *layers_, slices)

    def peak(slices: int, images: int = 1) -> int:
        return held(slices, images).values

    found = peak(16)
    allowed = wide // 2  # the solution needs less than 5/16: slices of 1/16, thin tensors of 1/16
    if found <= allowed:
        return
    cause = "Do slices or results stay alive longer than they are needed?"
    if found > peak(4):
        cause = "`slices` is the number of slices, not the size of one: 16 slices of 4 channels."
    elif peak(16, images=4) < 2 * found:
        cause = "The images of the batch are sliced; slice the wide channels of all images."
    elif held(16).largest >= wide:
        cause = "A tensor with all wide channels is made."
    elif found >= wide:
        cause = "All slices are kept until the end; use each one at once."
    raise Wrong(
        f"The output is right, but too much is alive at one time. {cause} With 64 wide channels of "
        f"24×24, {wide:,} values, and 16 slices your function holds {found:,} values at its peak; "
        f"up to {allowed:,} are allowed."
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
        torch.randn(6, 4, 3, 3),
        torch.randn(5, 1, 3, 3),
        torch.randn(3, 7, 1, 1),
        -torch.rand(4, 2, 1, 1),
    ]
    for weight in weights:  # channels of very different size
        weight.mul_(torch.logspace(-2, 1, len(weight)).reshape(-1, *[1] * (weight.ndim - 1)))
    zeros = torch.randn(3, 2, 3, 3)
    zeros[1] = 0
    zeros[2] = torch.tensor([-1.0, 0.0, 1.0])  # an edge filter: its sum is 0, it is not
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

    def power(weight: Tensor) -> Tensor:
        return 2 ** _scales(weight).log2().ceil()

    # What the scales may be a multiple of, in place of the largest absolute values.
    others: dict[str, Callable[[Tensor], Tensor]] = {
        "There is one scale for the whole tensor, repeated; each output channel gets its own.": (
            lambda weight: weight.abs().max().expand(len(weight))
        ),
        "The scale comes from the range, largest minus smallest. Here 0 stays 0, and the largest "
        "absolute value becomes 127.": lambda weight: (
            weight.flatten(1).amax(dim=1) - weight.flatten(1).amin(dim=1)
        ),
        "The scale comes from the largest value with its sign: a channel may reach further below "
        "zero than above. Take the absolute values.": lambda weight: (
            weight.flatten(1).amax(dim=1).abs()
        ),
        "The scale comes from the smallest value with its sign; take the largest absolute value.": (
            lambda weight: weight.flatten(1).amin(dim=1).abs()
        ),
        "The scale comes from the smallest absolute value; the largest is asked for.": (
            lambda weight: weight.flatten(1).abs().amin(dim=1)
        ),
        "These are the inverse scales; integers * scale should give the weights.": lambda weight: (
            1 / largest(weight)
        ),
        "The scale comes from the standard deviation; the largest absolute value is asked for.": (
            lambda weight: weight.flatten(1).std(dim=1)
        ),
        "The scale comes from the standard deviation; take the largest absolute value.": (
            lambda weight: weight.flatten(1).std(dim=1, correction=0)
        ),
        "The scale comes from the mean absolute value; the largest is asked for.": lambda weight: (
            weight.abs().flatten(1).mean(dim=1)
        ),
        "The scale comes from the mean square; the largest absolute value is asked for.": (
            lambda weight: weight.square().flatten(1).mean(dim=1).sqrt()
        ),
        "The scales are rounded up to powers of two; the largest absolute value becomes 127 only "
        "with the exact scale.": power,
    }
    got = [call(answer, weight.clone())[1].to(torch.float64) for weight in weights]

    def times(build: Callable[[Tensor], Tensor], number: int = 3) -> float:
        """What `build` has to be multiplied with to give the answer's scales; NaN if no number."""
        pairs = [(a, build(w)) for a, w in zip(got, weights)][:number]
        if any(a.shape != b.shape for a, b in pairs):
            return math.nan
        ratios = torch.cat([a / b for a, b in pairs])
        same = (ratios - ratios[0]).abs().max() <= 2e-5 * ratios[0].abs()
        return abs(ratios[0].item()) if same and ratios[0] else math.nan

    if math.isclose(times(_scales, len(weights)), 1.0, rel_tol=1e-5):
        return
    if torch.equal(got[0], got[1]):
        raise Wrong(
            "A second weight of the same shape gets the scales of the first one. Start anew in "
            "each call, from `weight` alone."
        )
    if not math.isnan(factor := times(largest)):
        if math.isclose(factor, 1.0, rel_tol=1e-4):
            raise Wrong(
                "These are the largest absolute values; divided by 127 they are the scales."
            )
        if not math.isclose(factor, 1 / 127, rel_tol=1e-4):
            raise Wrong(
                f"The scale divides by {1 / factor:.4g}. The largest absolute value of a channel "
                "should become 127: divide it by 127."
            )
    for message, build in others.items():
        if not math.isnan(times(build)):
            raise Wrong(message)
    channel, right = weights[0][0], _scales(weights[0])[0]
    for digits in range(7):
        rounded = (_scales(w).double().round(decimals=digits) for w in weights)
        if all(close(10**digits * a, 10**digits * b, 0.01) for a, b in zip(got, rounded)):
            raise Wrong("The scales are rounded; return them with all digits.")
    raise Wrong(
        f"The scales are not right. The first channel of a weight of shape "
        f"{tuple(weights[0].shape)} reaches {channel.abs().max():.4g}, so its scale is "
        f"{right:.4g}; yours is {describe(got[0][0])}."
    )


def _expect_pair(answer: Any, weight: Tensor) -> None:
    """Types and shapes first, since their mistakes hide all others."""
    if not callable(answer) or isinstance(answer, type):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    given = weight.clone()
    try:
        result = call(answer, given)
    except Wrong as error:
        if not re.search(r"shape '\[\d+, -1\]' is invalid", str(error)):
            raise
        raise Wrong(
            f"The number of channels is typed in; take it from the weight, `len(weight)`. {error}"
        ) from None
    if not torch.equal(given, weight):
        raise Wrong("quantise changes its argument `weight` in place; leave it as it is.")
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
    for value in (integers, scales):
        if value.is_floating_point() and close(weight, value, 0.01):
            raise Wrong(
                "These are the weights again, integers * scale. Return the integers and the "
                "scales; do not multiply them."
            )
    if not scales.is_floating_point() or scales.dtype in (torch.float16, torch.bfloat16):
        raise Wrong(f"The scales have type {scales.dtype}; torch.float32 is asked for.")
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
