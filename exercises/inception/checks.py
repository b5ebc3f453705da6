"""Checks of chapter 07: Inception-V1 / GoogLeNet."""

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises.compare import (
    Unexplained,
    Wrong,
    call,
    close,
    combined,
    describe,
    expect_numbers,
    layers,
    make,
    same_outputs,
    same_results,
)
from utils.networks.googlenet import MODULES

SLIPS: dict[str, dict[str, tuple[str, ...]]] = {}

# --- inception.1: paddings ------------------------------------------------------------------------


def _sizes(module: nn.Module, maps: Tensor) -> tuple[str, str]:
    """In words: where maps change their height and width, and the layer that `forward` stops in."""
    found: list[str] = []
    inside: list[str] = []

    def look(layer: nn.Module, _: Any, out: Any) -> None:
        inside.clear()
        if isinstance(out, Tensor) and out.ndim == 4 and out.shape[2:] != maps.shape[2:]:
            found.append(f"{layers(layer)} gives {out.shape[2]}×{out.shape[3]}")

    handles = []
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            handles.append(part.register_forward_hook(look))
            handles.append(part.register_forward_pre_hook(lambda m, _: inside.append(layers(m))))
    try:
        module(maps)
    except Exception:  # what ran until then is what one wants to see
        pass
    finally:
        for handle in handles:
            handle.remove()
    sizes = f"Of maps of {maps.shape[2]}×{maps.shape[3]}, {', '.join(found)}."
    return sizes if found else "", inside[-1] if inside else ""


def _same(
    module: nn.Module,
    reference: nn.Module,
    *shapes: tuple[int, ...],
    mistakes: Mapping[str, Callable] = MappingProxyType({}),
) -> None:
    """As `same_outputs`; where it does not know why, it says which layers change the sizes."""
    try:
        same_outputs(module, reference, *shapes, mistakes=mistakes)
    except Wrong as error:
        text = re.sub(r" (It|Your module) consists of .*", "", str(error))
        sizes, stopped = _sizes(module, torch.randn(shapes[0]))
        named = re.sub(r"(channels gets maps with \d+)\.", rf"\1: {stopped}.", text, count=1)
        if stopped and named != text:
            raise type(error)(named) from error
        if not isinstance(error, Unexplained):
            raise
        shape = re.search(r"gives the shape \((.*?)\); \((.*?)\) is right", text)
        if shape and shape[1].split(", ")[2:] != shape[2].split(", ")[2:]:
            text = f"Height and width should stay as they are. {text}"
        if any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
            convs = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
            instead = any(conv.bias is None for conv in convs)
            what = "batch norms in place of biases. Keep the biases, and take the batch norms out."
            text = (
                f"Your module has {what if instead else 'batch norms; none is asked for.'} {text}"
            )
        if not sizes and re.search("must match the size|stack expects", text):
            text = f"The branches are joined along the channels, neither added nor stacked. {text}"
        raise Unexplained(f"{text} {sizes}".strip()) from error


_POOLING = "nn.MaxPool2d(kernel_size=3, stride=1, padding=1)"
_JOIN, _JOINED = "torch.cat(branches, dim=1)", "torch.cat([branches[i] for i in ({})], dim=1)"
SLIPS["inception.1"] = {
    "The branches are in another order: 1×1, 3×3, 5×5, pooled maps.": (
        _JOIN,
        _JOINED.format("3, 0, 1, 2"),
    ),
    "The order of the branches is turned round: 1×1 comes first.": (
        _JOIN,
        _JOINED.format("3, 2, 1, 0"),
    ),
    "The branches of 3×3 and 5×5 have changed places.": (_JOIN, _JOINED.format("0, 2, 1, 3")),
    "The branches are not joined: `forward` gives a list of four.": (_JOIN, "branches"),
    "The convolutions have no biases; they had.": (
        *("kernel_size=1)", "kernel_size=1, bias=False)"),
        *("kernel_size=3, padding=1)", "kernel_size=3, padding=1, bias=False)"),
        *("padding=2)", "padding=2, bias=False)"),
    ),
    "The pooling looks at one position alone, 1×1, which changes nothing; its window is 3×3.": (
        _POOLING,
        "nn.MaxPool2d(1)",
    ),
    "The pooling takes averages now; it should take the highest value.": (
        "nn.MaxPool2d",
        "nn.AvgPool2d",
    ),
    "The frame round the pooled maps is zeros, which can be the highest value. `nn.MaxPool2d` with "
    "`padding=1` leaves the frame out.": (
        _POOLING,
        "nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, 1))",
    ),
    "The pooling shrinks the maps, and a frame of zeros is put round them afterwards. Give the "
    "pooling `padding=1`.": (_POOLING, "nn.Sequential(nn.MaxPool2d(3, 1), nn.ZeroPad2d(1))"),
    "The ReLUs are gone; they were right.": ("F.relu(", "("),
    "There is a ReLU on the pooled maps now; they should pass as they are.": (
        "self.pool(maps),",
        "F.relu(self.pool(maps)),",
    ),
    "The 5×5 kernel has become 3×3. That fits, but sees less; give 5×5 its own padding.": (
        "kernel_size=5, padding=2",
        "kernel_size=3, padding=1",
    ),
}


def inception_1(answer, reference):
    widths = (9, 4, 6, 7)  # numbers that are no padding, stride or kernel size
    try:
        _same(make(answer, *widths), reference(*widths), (2, 9, 8, 9), (1, 9, 7, 4), (3, 9, 3, 5))
    except Unexplained as error:
        if "gives the shape (2, 4, 8, 9)" in str(error):
            raise Unexplained(
                "Only one map of each branch comes out. Join all the maps of the four branches: "
                f"do not average, add or choose any. {error}"
            ) from error
        raise
    return "Four branches, one size, joined along the channels."


# --- inception.2: what a module costs -------------------------------------------------------------


POSITIONS = {
    1: "These are the weights. Each is used at all 14 · 14 positions.",
    14: "A map has 14 · 14 positions, not 14.",
    28 * 28: "A map has 14 · 14 positions, not 28 · 28.",
}


def _naive(one=192, three=9 * 208, five=25 * 48, inside=480, more=0, at=14 * 14) -> int:
    return at * (inside * (one + three + five) + more)


def _reduced(
    one=192,
    joined=(96, 16),
    project=64,
    three=9 * 208,
    five=25 * 48,
    inside=480,
    read=(96, 16),
    more=0,
    at=14 * 14,
) -> float:
    return at * (inside * (one + sum(joined) + project) + read[0] * three + read[1] * five + more)


def inception_2(answer):
    kernels = {
        "three": {
            208: "A 3×3 kernel has 9 weights for each channel, not one.",
            3 * 208: "A 3×3 kernel has 9 weights, not 3.",
            6 * 208: "A 3×3 kernel has 9 weights, not 6.",
            0: "The 3×3 convolution is missing.",
        },
        "five": {
            48: "A 5×5 kernel has 25 weights for each channel, not one.",
            5 * 48: "A 5×5 kernel has 25 weights, not 5.",
            10 * 48: "A 5×5 kernel has 25 weights, not 10.",
            9 * 48: "The third kernel is 5×5, so 25 weights, not 9.",
            0: "The 5×5 convolution is missing.",
        },
        "one": {0: "The branch with the 1×1 alone is missing."},
        "at": POSITIONS,
    }
    other = {
        192: "192 maps go into module 3a. Module 4a gets 480.",
        512: "512 maps come out of module 4a. It gets 480.",
    }
    wide = "A k×k kernel has k · k weights for each channel: 9 and 25, not "
    biases = "Biases are added, not multiplied; MACs leave them out."
    module_3a = "This is the number of module 3a. Count module 4a: it gets 480 maps of 14×14."
    shrunk = (
        "Your maps shrink, as without padding. Here they all stay 14×14, so each layer works at "
        "all 14 · 14 positions."
    )
    swapped = "The 3×3 reads the 96 maps of its reduction, the 5×5 the 16 of its own."
    common = {
        "naive_macs": combined(
            _naive,
            inside={1: "Each kernel sees all 480 channels."} | other,
            more={
                480 * 480: "Nothing comes after the pooling in the naive form.",
                480 * 64: "The naive form has no projection after the pooling.",
                9 * 480: "Pooling compares, it multiplies nothing: no MACs.",
                480 * (96 + 16): "The naive form has no reductions.",
                448: biases,
            },
            **kernels,
        )
        | {
            303_464_448: module_3a,
            480 * (14**2 * 192 + 12**2 * 9 * 208 + 10**2 * 25 * 48): shrunk,
            _naive(three=3 * 208, five=5 * 48): f"{wide}3 and 5.",
            _naive(three=6 * 208, five=10 * 48): f"{wide}6 and 10.",
            _naive(three=9 * 96, five=25 * 16): "96 and 16 are the reductions. In the naive form "
            "the 3×3 makes 208 maps and the 5×5 makes 48.",
        },
        "naive_channels": {
            416: module_3a,
            192 + 96 + 16 + 480: "96 and 16 are the reductions. Here the 3×3 makes 208 maps and "
            "the 5×5 makes 48.",
            2 * 192 + 208 + 48: "192 maps go into module 3a. Module 4a gets 480.",
            512: "Without a projection the pooled maps are 480, as many as came in, not 64.",
            448: "The pooled maps are joined too; how many are there?",
            449: "The pooling works on each map by itself: 480 maps come out, not one.",
            928 * 196: "These are all values; the channels are asked for.",
        },
        "reduced_macs": combined(
            _reduced,
            joined={
                (0, 0): "The reductions, 1×1 to 96 and to 16, cost something too.",
                (0, 16): "The reduction before the 3×3 is missing.",
                (96, 0): "The reduction before the 5×5 is missing.",
            },
            project={
                0: "The projection after the pooling is missing.",
                9 * 64: "The projection after the pooling is 1×1, not 3×3.",
                **{
                    64 * maps / 480: f"The projection reads the 480 pooled maps, not {maps}."
                    for maps in (64, 192, 448, 512)
                },
            },
            read={
                (480, 16): "The 3×3 sees the 96 channels of its reduction, not 480.",
                (96, 480): "The 5×5 sees the 16 channels of its reduction, not 480.",
                (480, 480): "The 3×3 sees the 96 channels of its reduction, and the 5×5 the 16 of "
                "its own, not 480.",
                (1, 16): "The 3×3 sees 96 channels, not one.",
                (96, 1): "The 5×5 sees 16 channels, not one.",
                (16, 16): f"{swapped} Your 3×3 reads those of the 5×5.",
                (96, 96): f"{swapped} Your 5×5 reads those of the 3×3.",
                (16, 96): f"{swapped} In yours 96 and 16 have changed places.",
                (112, 112): f"{swapped} Your kernels read both, 96 + 16.",
            },
            more={624: biases},
            inside=other,
            **kernels,
        )
        | {
            128_049_152: module_3a,
            _reduced(three=3 * 208, five=5 * 48): f"{wide}3 and 5.",
            _reduced(three=6 * 208, five=10 * 48): f"{wide}6 and 10.",
            480 * 368 * 14**2 + 9 * 96 * 208 * 12**2 + 25 * 16 * 48 * 10**2: shrunk,
            _reduced(joined=(0, 0), read=(576, 496)): "The 3×3 reads the 96 "
            "maps of its reduction alone, not 480 + 96, and the 5×5 the 16 of its own. The "
            "reductions are convolutions too.",
        },
        "reduced_channels": {
            256: module_3a,
            992: "The projected maps take the place of the 480 pooled ones: only 64 are joined.",
            928: "The projection makes 64 channels of the 480 pooled ones.",
            448: "The projected maps, 64, are joined too.",
            624: "The reductions are inside the branches; their channels do not come out.",
            512 * 196: "These are all values; the channels are asked for.",
        },
    }
    right = {
        "naive_macs": _naive(),
        "naive_channels": 928,
        "reduced_macs": _reduced(),
        "reduced_channels": 512,
    }
    macs = ("naive_macs", "reduced_macs")
    expect_numbers(answer, right, common, macs=macs)
    share = right["reduced_macs"] / right["naive_macs"]
    channels = [right[f"{form}_channels"] for form in ("reduced", "naive")]
    return f"{share:.0%} of the work, and {channels[0]} channels in place of {channels[1]}."


# --- inception.3: the module ----------------------------------------------------------------------

_BRANCHES = "branches = (self.branch1, self.branch2, self.branch3, self.branch4)"
_CAT = "torch.cat([branch(maps) for branch in branches], dim=1)"
_WINDOW = "nn.MaxPool2d(3, stride=1, padding=1)"
_POOLED = f"maps = {_WINDOW}(maps)\n        {_BRANCHES}"
_REDUCE = [f"conv(in_channels, {name}[0], 1)" for name in ("three", "five")]
_REDUCE3, _REDUCE5 = ((text, text.replace("conv", "nn.Conv2d")) for text in _REDUCE)
_LATE3 = (_REDUCE[0], _REDUCE[0].replace("1)", "3)"), "*three, 3)", "*three, 1)")
_NONE3, _NONE5 = (
    (f"{text}, conv(*{name}, {k})", f"conv(in_channels, {name}[1], {k})")
    for text, name, k in zip(_REDUCE, ("three", "five"), (3, 5))
)
_UNPROJECTED = (_CAT, f"{_CAT[:-8]}[:3] + [{_WINDOW}(maps)], dim=1)")
_AFTER_ONE = ("self.branch4)", "lambda maps: self.branch4(self.branch1(maps)))")
_SHARED = (
    *("*five, 5)", "three[0], five[1], 5)"),
    *("branches = (", "three = self.branch2[0](maps)\n        branches = ("),
    *("self.branch3, self.branch4)", "lambda maps: self.branch3[1](three), self.branch4)"),
)
_LATE5 = (_REDUCE[1], _REDUCE[1].replace("1)", "5)"), "*five, 5)", "*five, 1)")
SLIPS["inception.3"] = {
    "There is no ReLU after the reductions.": (*_REDUCE3, *_REDUCE5),
    "There is no ReLU after the reduction before the 3×3.": _REDUCE3,
    "There is no ReLU after the reduction before the 5×5.": _REDUCE5,
    "There is no ReLU after the projection.": (
        "conv(in_channels, pool",
        "nn.Conv2d(in_channels, pool",
    ),
    "There is no ReLU after the first branch's 1×1.": (
        "conv(in_channels, one",
        "nn.Conv2d(in_channels, one",
    ),
    "There is no ReLU at the ends of the branches, only after the reductions.": (
        *("conv(in_channels, one", "nn.Conv2d(in_channels, one"),
        *("conv(*three, 3)", "nn.Conv2d(*three, 3, padding=1)"),
        *("conv(*five, 5)", "nn.Conv2d(*five, 5, padding=2)"),
        *("conv(in_channels, pool", "nn.Conv2d(in_channels, pool"),
    ),
    "There are no ReLUs.": ("layer, nn.ReLU()", "layer"),
    "The convolutions have no biases.": ("padding=padding", "padding=padding, bias=False"),
    "The projection is before the pooling; it belongs after it.": (
        f"{_WINDOW}, conv(in_channels, pool, 1)",
        f"conv(in_channels, pool, 1), {_WINDOW}",
    ),
    "The pooling takes averages; the paper's takes the highest value.": ("MaxPool2d", "AvgPool2d"),
    "The third branch has a 3×3 where the paper has a 5×5. torchvision's GoogLeNet has that "
    "mistake too.": ("*five, 5", "*five, 3"),
    **{
        f"{words}.": (_BRANCHES, f"{_BRANCHES}\n        branches = [branches[i] for i in {order}]")
        for words, order in (
            ("The branches are joined in another order; the pooled maps come last", (3, 0, 1, 2)),
            ("The branches are joined in the order turned round", (3, 2, 1, 0)),
            ("The branches of 3×3 and 5×5 have changed places", (0, 2, 1, 3)),
        )
    },
    **{
        "The reduction comes first: a 1×1, and after it the larger kernel. In yours the "
        f"{where} before its 1×1.": late
        for where, late in (
            ("3×3 and the 5×5 are", (*_LATE3, *_LATE5)),
            ("3×3 is", _LATE3),
            ("5×5 is", _LATE5),
        )
    },
    "There is no pooling before the projection of the fourth branch (a window of 1×1 pools "
    "nothing).": (
        f"{_WINDOW}, conv(in_channels, pool, 1)",
        "conv(in_channels, pool, 1)",
    ),
    **{
        "All four branches read the pooled maps. Only the fourth one pools; the others read what "
        f"comes in{more}.": (_BRANCHES, _POOLED, f"{_WINDOW}, conv(", f"{window}conv(")
        for more, window in (("", ""), (", and the fourth pools once", f"{_WINDOW}, "))
    },
    "The pooled maps are joined as they come; the projection, a 1×1 to `pool` channels, is missing "
    "after the pooling.": _UNPROJECTED,
    "The projection after the pooling, a 1×1 to `pool` channels, is missing.": (
        f"{_WINDOW}, conv(in_channels, pool, 1)",
        _WINDOW,
    ),
    "The two numbers of each pair have changed places: the first is the reduction's, the second "
    "that of the convolution after it.": (
        *("three[0], 1), conv(*three, 3)", "three[1], 1), conv(*three[::-1], 3)"),
        *("five[0], 1), conv(*five, 5)", "five[1], 1), conv(*five[::-1], 5)"),
    ),
    "The input is added to the output where both have the same shape. That is ResNet's shortcut; "
    "this module has none.": (
        f"return {_CAT}",
        f"joined = {_CAT}\n        return joined + maps if joined.shape == maps.shape else joined",
    ),
    "This is the naive module: the reductions and the projection are missing.": (
        *(*_NONE3, *_NONE5, f"{_WINDOW}, conv(in_channels, pool, 1)", _WINDOW),
    ),
    "The reductions before the 3×3 and the 5×5 are missing.": (*_NONE3, *_NONE5),
    "The reduction before the 3×3 is missing.": _NONE3,
    "The reduction before the 5×5 is missing.": _NONE5,
    **{
        "The 5×5 reads the reduction of the 3×3; it needs its own, a 1×1 that reads what comes "
        f"in{more}.": (*unused, *_SHARED)
        for more, unused in (
            ("", (_REDUCE[1], "nn.Identity()")),
            (", and which is there already", ()),
        )
    },
    "The projection reads the maps of the first branch; it should read what comes in, after the "
    "pooling.": ("conv(in_channels, pool", "conv(one, pool", *_AFTER_ONE),
    "The third branch has two 3×3 in place of its 5×5.": (
        "conv(*five, 5)",
        "conv(*five, 3), conv(five[1], five[1], 3)",
    ),
    "The ReLUs come before the convolutions; each belongs after its convolution.": (
        "layer, nn.ReLU()",
        "nn.ReLU(), layer",
    ),
    "The pooling looks at 5×5 values, as two poolings of 3×3 do as well. One of 3×3 is right.": (
        _WINDOW,
        f"{_WINDOW}, {_WINDOW}",
    ),
    "The frame round the pooled maps is zeros, which can be the highest value. `nn.MaxPool2d` with "
    "`padding=1` leaves the frame out.": (_WINDOW, "nn.ZeroPad2d(1), nn.MaxPool2d(3, 1)"),
    "The branches are not joined: `forward` gives a list of four.": (_CAT, _CAT[10:-8]),
}


def inception_3(answer, reference):
    for widths in (
        (8, 4, (6, 7), (9, 11), 10),
        (9, 6, (11, 7), (8, 10), 12),
        (16, 2, (5, 3), (6, 4), 7),  # as many channels come out
    ):
        try:
            module = make(answer, *widths)
        except Wrong as error:
            if isinstance(error.__cause__, TypeError) and "missing" not in str(error.__cause__):
                raise Wrong(
                    f"{error} `three` and `five` are pairs of numbers: `three[0]` channels come "
                    "out of the 1×1, `three[1]` out of the 3×3."
                ) from None
            raise
        one, three, five = widths[1:4]
        convs = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
        if len(convs) < 6 and any(c.out_channels == one + three[0] + five[0] for c in convs):
            raise Wrong(
                "Three 1×1 convolutions are merged into one. That computes the same, but keep them "
                f"apart: the check copies six. Your module consists of {layers(module)}."
            )
        try:
            _same(module, reference(*widths), (2, widths[0], 7, 9), (1, widths[0], 5, 4))
        except Unexplained as error:
            channels = re.search(r"gives the shape \(2, (\d+), 7, 9\);", str(error))
            joined = _joined(int(channels[1]), *widths) if channels else ""
            raise Unexplained(f"{joined} {error}".strip()) from error
    return "The same outputs and gradients as the paper's module."


def _joined(channels: int, inside: int, one: int, three: tuple, five: tuple, pool: int) -> str:
    """What a wrong number of channels says about the branches that were joined, or nothing."""
    branches = {"first": one, "second": three[1], "third": five[1], "fourth": pool}
    right = sum(branches.values())
    known = {right + inside: "The input itself is joined too; leave it out."}
    known |= {
        right - width: f"The {name} branch is not joined." for name, width in branches.items()
    }
    known |= {
        width: f"Only the {name} branch comes out; join all four."
        for name, width in branches.items()
    }
    return known.get(channels, "")


# --- inception.4: channels without projections ----------------------------------------------------


def _channels(
    modules: Mapping,
    in_channels: int,
    *,
    projected: bool = False,
    at_a_group: Callable[[int], int] = int,
) -> list[int]:
    found, group = [], ""
    for name, (one, three, five, pool) in modules.items():
        in_channels = at_a_group(in_channels) if group not in ("", name[0]) else in_channels
        group = name[0]
        in_channels = one + three[1] + five[1] + (pool if projected else in_channels)
        found.append(in_channels)
    return found


_GROWN = _channels(MODULES, 192)
_SUM, _LOOP, _NAMED = "one + three[1] + five[1]", "five, _ in", "five, pool in"
_ADD, _KEEP = f"in_channels += {_SUM}", "found.append(in_channels)"
_TURN = f"{_ADD}\n        {_KEEP}"
SLIPS["inception.4"] = {
    "This is with the projection. Without it, all channels that came in pass on.": (
        *(_LOOP, _NAMED),
        *(_ADD, f"in_channels = {_SUM} + pool"),
    ),
    "The pooled maps are not counted; they are as many as came in.": (
        _ADD,
        f"in_channels = {_SUM}",
    ),
    "The pooled maps of every module are counted as many as go into the first one. A module pools "
    "what the one before it gives.": (
        *("found = []", "found, start = [], in_channels"),
        *(_ADD, f"in_channels = start + {_SUM}"),
    ),
    "The first number of the pairs is the reduction's, which stays inside the module; the second "
    "comes out.": (_SUM, "one + three[0] + five[0]"),
    "Of the pairs only the second number comes out; the reduction stays inside.": (
        _SUM,
        "one + sum(three) + sum(five)",
    ),
    "The projection's channels are counted as well; there is no projection now.": (
        *(_LOOP, _NAMED),
        *(_SUM, f"{_SUM} + pool"),
    ),
    "What goes into a module is counted with the projection of the module before it; there is no "
    "projection now.": (
        *(_LOOP, _NAMED),
        *(_TURN, f"found.append(in_channels + {_SUM})\n        in_channels = {_SUM} + pool"),
    ),
    "What goes into the first module is at the front of the list; only what comes out of the "
    "modules is asked for.": ("found = []", "found = [in_channels]"),
    "The argument `in_channels` is not used: these begin with 192 channels every time.": (
        "found = []",
        "found, in_channels = [], 192",
    ),
    "The `in_channels` that go into the first module are missing; they pass on as well.": (
        "found = []",
        "found, in_channels = [], 0",
    ),
    "These are the channels that go into each module; those that come out are asked for.": (
        _TURN,
        f"{_KEEP}\n        {_ADD}",
    ),
    "The channels that come in are counted twice; the pooling passes each of them on once.": (
        _ADD,
        f"in_channels += in_channels + {_SUM}",
    ),
    "The maps of the 1×1 are missing.": ("one + three", "three"),
    "The maps of the 3×3 are missing.": ("three[1] + ", ""),
    "The maps of the 5×5 are missing.": (" + five[1]", ""),
    "This is the number of the last module alone; a list with one number for each module is asked "
    "for.": ("return found", "return found[-1]"),
    "A list is asked for, not a dictionary.": ("return found", "return dict(zip(modules, found))"),
    "The widest branch is taken. The maps of all branches are joined, so add up their numbers.": (
        _ADD,
        "in_channels = max(one, three[1], five[1], in_channels)",
    ),
    "The modules are taken from the last to the first; keep the order of the dictionary.": (
        "modules.values()",
        "reversed(modules.values())",
    ),
    "Each number is in a list of its own; write one list of numbers.": (
        _KEEP,
        "found.append([in_channels])",
    ),
    "The numbers are texts.": (_KEEP, "found.append(str(in_channels))"),
    "The `return` is inside the loop, so the loop ends after its first turn.": (
        f"{_KEEP}\n    return",
        f"{_KEEP}\n        return",
    ),
}


def inception_4(answer):
    small = {"first": (2, (9, 3), (8, 4), 50), "second": (1, (7, 2), (6, 5), 60)}

    def explain(case: tuple, got: Any, right: Any) -> str:
        raised = str(getattr(got, "__cause__", None))
        if "string index out of range" in raised:
            raise Wrong(
                "A loop over a dictionary gives its names, such as '3a'. `modules.values()` gives "
                f"the numbers of the modules. {got}"
            )
        if "int" in raised and "tuple" in raised:
            raise Wrong(
                "`three` and `five` are pairs, which cannot be added to a number. Take the second "
                f"number of each, `three[1]` and `five[1]`. {got}"
            )
        return ""

    same_results(
        answer,
        _channels,
        (small, 10),
        (dict(MODULES), 192),
        ({"only": (1, (2, 3), (4, 5), 6)}, 7),
        mistakes={
            "The argument `modules` is not used: these are always the nine modules of "
            "GoogLeNet.": lambda m, n: _channels(MODULES, n),
            "Each group of modules begins with `in_channels` again. The poolings between the "
            "groups change no channels, so go on with those of the module before.": lambda m, n: (
                _channels(m, n, at_a_group=lambda _: n)
            ),
            "The channels are halved between the groups. Pooling halves height and width; it "
            "changes no channels.": lambda m, n: _channels(m, n, at_a_group=lambda c: c // 2),
        },
        explain=explain,
    )
    with_it = _channels(MODULES, 192, projected=True)[-1]
    return f"From 192 to {_GROWN[-1]} channels; the paper's network ends with {with_it}."


# --- inception.5: Table 1 -------------------------------------------------------------------------

_PRINTED = {
    **{"3a": 159, "3b": 380, "4a": 364, "4b": 437, "4c": 463, "4d": 580, "4e": 840},
    **{"5a": 1072, "5b": 1388},
}


def _weights(
    inside: int, module: tuple, *, project: int = 1, three: int = 9, five: int = 25
) -> tuple[int, int, int]:
    """The weights of the four 1×1, of the 3×3 and of the 5×5."""
    one, (few, many), (fewer, more), pool = module
    joined = one + few + fewer + project * pool
    return inside * joined, three * few * many, five * fewer * more


def _gives(inside: int, module: tuple) -> int:
    one, three, five, pool = module
    return one + three[1] + five[1] + pool


def _wrong_rows(
    kilo: int = 1024,
    differs: Callable[[float, float], bool] = lambda off, weights: abs(off) > 0.05 * weights,
    gives: Callable[[int, tuple], int] = _gives,
    late: bool = False,
    **options: int,
) -> set[str]:
    """The right answer and, with options, mistakes in it."""
    found, inside = set(), 192
    for name, module in MODULES.items():
        out = gives(inside, module)
        weights = sum(_weights(out if late else inside, module, **options))
        if differs(_PRINTED[name] * kilo - weights, weights):
            found.add(name)
        inside = out
    return found


def inception_5(answer):
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        raise Wrong(f'A list of names such as ["3a", "4e"] is expected, not {describe(answer)}.')
    if isinstance(answer, Mapping):
        raise Wrong("A list of names is expected, not a dictionary.")
    names = list(answer)
    if strange := [name for name in names if not (isinstance(name, str) and name in MODULES)]:
        raise Wrong(f"{strange[0]!r} is not the name of a module; they are {', '.join(MODULES)}.")
    got, right = set(names), _wrong_rows()
    if got == right:
        return "4c and 5a do not follow from their own channels."
    said = ", ".join(name for name in MODULES if name in got) or "An empty list"
    next_one = "The next module reads one + three[1] + five[1] + pool channels"
    above = "These differ by more than {}. Only differences above 5 % are asked for."
    mistakes = {
        "This comes out if K is 1000. But the linear layer has 1,024,000 weights and is printed as "
        "1000K: K is 1024. It also comes out if only numbers that are too small count, or if the "
        "printed operations are compared. Compare with your own count, in both directions.": (
            _wrong_rows(1000)
        ),
        "4c has 497.5K by its channels and is printed as 463K. That is 6.9 % too small, and counts "
        "as well: take the absolute value (`abs`) of the difference. Compare PRINTED, not "
        "OPERATIONS.": _wrong_rows(differs=lambda off, weights: off > 0.05 * weights),
        "As a share of the right number 5 % is 0.05, not 5 and not 0.5.": set(),
        "The projections after the pooling are missing in your count.": _wrong_rows(project=0),
        "The 5×5 convolutions are missing in your count.": _wrong_rows(five=0),
        "The kernels of the third branch are 5×5, so 25 weights, not 9.": _wrong_rows(five=9),
        f"{next_one}. In your count every module reads 192, or each reads too many.": (
            _wrong_rows(gives=lambda inside, module: 192)
        ),
        f"{next_one}. You pass on the reductions, three[0] and five[0], which stay inside.": (
            _wrong_rows(gives=lambda inside, m: m[0] + m[1][0] + m[2][0] + m[3])
        ),
        f"{next_one}; you leave out the last.": (
            _wrong_rows(gives=lambda inside, module: _gives(inside, module) - module[3])
        ),
        "Each module is counted with the channels that it gives. Count with those that come in, "
        "and take the new ones for the next module.": _wrong_rows(late=True),
        above.format("5 K"): _wrong_rows(differs=lambda off, _: abs(off) > 5 * 1024),
        above.format("1 %"): _wrong_rows(differs=lambda off, w: abs(off) > 0.01 * w),
        "These are all modules that differ at all. Only differences above 5 % are asked for.": (
            _wrong_rows(differs=lambda off, w: abs(off) > 0.005 * w)
        ),
        "These are the modules that agree; those that differ are asked for.": set(MODULES) - right,
    }
    for message, rows in mistakes.items():
        if got == rows:
            raise Wrong(f"{said} is not right. {message}")
    name = next((name for name in MODULES if name in right - got), None)
    far = "more than 5 % off" if name else "within 5 %"
    if name is None:
        name = next(name for name in MODULES if name in got - right)
    inside = dict(zip(MODULES, (192, *_channels(MODULES, 192, projected=True))))[name]
    one, (few, many), (fewer, more), pool = MODULES[name]
    parts = _weights(inside, MODULES[name])
    count = sum(parts)
    raise Wrong(
        f"{said} is not right. Compare your count of {name}, which reads {inside} channels. The "
        f"four 1×1, two of them reductions, have {inside} · ({one} + {few} + {fewer} + {pool}) = "
        f"{parts[0]:,} weights. The 3×3 has 9 · {few} · {many} = {parts[1]:,}, and the 5×5 has "
        f"25 · {fewer} · {more} = {parts[2]:,}. Together that is {count:,}, or "
        f"{count / 1024:.1f}K. The printed {_PRINTED[name]}K is {far} of it."
    )


# --- inception.6: a branch taken away -------------------------------------------------------------


class _Fixed(nn.Module):
    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, maps: Tensor) -> Tensor:
        values = self.values if self.values.ndim == 3 else self.values[:, None, None]
        return values.expand(len(maps), -1, *maps.shape[2:])


class _Watched(nn.Dropout):
    """A dropout that tells whether it, or a copy of it, has been on, and of how many images."""

    was_on = False
    given: ClassVar[list[int]] = []

    def forward(self, maps: Tensor) -> Tensor:
        _Watched.was_on |= self.training
        _Watched.given.append(len(maps))
        return super().forward(maps)


def _taken_away(
    network: nn.Module,
    module: str,
    branch: str,
    images: Tensor,
    *,
    momentum: float | None = None,
    reset: bool = True,
    only: bool = False,
    early: bool = False,
    fed: Callable[[Tensor], Sequence[Tensor]] = lambda images: [images],
) -> nn.Module:
    """The right answer and, with options, mistakes in it."""
    changed = copy.deepcopy(network).eval()
    part = getattr(changed.features, module)
    values = _branch_maps(network, module, branch, images).mean(dim=(0, 2, 3))
    if not early:
        setattr(part, branch, _Fixed(values))
    for norm in (part if only else changed).modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = momentum
            if reset:
                norm.reset_running_stats()
            norm.train()
    with torch.no_grad():
        for batch in fed(images):
            changed(batch)
    setattr(part, branch, _Fixed(values))
    return changed.eval()


def _estimated(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy whose batch norms hold the statistics of `images`."""
    changed = copy.deepcopy(network).eval()
    for norm in changed.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
            norm.train()
    with torch.no_grad():
        changed(images)
    return changed.eval()


def _branch_maps(
    network: nn.Module, module: str, branch: str, images: Tensor, train: bool = False
) -> Tensor:
    network = copy.deepcopy(network).train(train)
    found: list[Tensor] = []
    getattr(getattr(network.features, module), branch).register_forward_hook(
        lambda _, __, maps: found.append(maps)
    )
    with torch.no_grad():
        network(images)
    return found[0]


def inception_6(answer):
    from utils import networks

    if not callable(answer) or isinstance(answer, nn.Module):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    torch.manual_seed(1)
    network = networks.build("googlenet_small", initialisation="he", dropout=0.5)
    images, others = 1.5 * torch.randn(40, 1, 28, 28), torch.randn(6, 1, 28, 28)
    with torch.no_grad():
        network.train()(torch.randn(16, 1, 28, 28) + 0.3)  # running statistics of other images
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.uniform_(0.5, 1.5)
                part.bias.uniform_(-0.2, 0.6)
    # After it there are batch norms, which would see whether it is on.
    network.features.pool3 = nn.Sequential(network.features.pool3, _Watched(0.5))
    for module, branch, mode in (
        ("inception4a", "branch3", "eval"),
        ("inception3a", "branch2", "training"),
    ):
        network.train(mode == "training")
        before, _Watched.was_on = copy.deepcopy(network.state_dict()), False
        _Watched.given.clear()
        what = f'take_away(network, "{module}", "{branch}", images)'
        changed = call(answer, network, module, branch, images.clone(), what=what)
        given = list(_Watched.given)
        if changed is None:
            raise Wrong(f"{what} gives nothing (None). Is the `return` missing?")
        if not isinstance(changed, nn.Module):
            raise Wrong(f"{what} gives {describe(changed)}; a network is expected.")
        after = network.state_dict()
        if changed is network or list(after) != list(before):
            raise Wrong(f"{what} changes the network that it is given; change a copy.")
        if different := [name for name in before if not torch.equal(before[name], after[name])]:
            raise Wrong(
                f"{what} changes the network that it is given ({different[0]}); change a copy."
            )
        if any(part.training is not (mode == "training") for part in network.modules()):
            raise Wrong(
                f"The network was given in {mode} mode and has been left in the other one, in part "
                "at least; leave it as it was, and work on a copy."
            )
        moody = [m for m in changed.modules() if isinstance(m, nn.BatchNorm2d | nn.Dropout)]
        if changed.training or any(part.training for part in moody):
            raise Wrong("The new network, or some layer of it, is in training mode; `.eval()` it.")
        hooks = sum(len(part._forward_hooks) for part in network.modules())
        if hooks:
            raise Wrong("A hook is left on the network that is given; remove it.")
        _check_constant(changed, network, module, branch, images)
        weights = dict(network.named_parameters())
        for name, value in changed.named_parameters():
            if name in weights and not torch.equal(value, weights[name]):
                raise Wrong(
                    f"The weight {name} has changed; only running statistics should. "
                    "(`reset_parameters` sets the weights of a batch norm back as well.)"
                )
        with torch.no_grad():
            mine = call(changed, others.clone(), what="The new network, given images,")
            right = _taken_away(network, module, branch, images)(others)
            if close(mine, right, 1e-3):
                continue
            if _Watched.was_on:
                raise Wrong(
                    "Dropout was on while the batch norms were estimated anew: call `.train()` of "
                    "the batch norms alone, not of the whole network."
                )
            mistakes = {
                "The batch norms still hold the statistics of the network with the branch; "
                "estimate them anew.": [dict(reset=False, fed=lambda _: [])],
                "The batch norms have forgotten their statistics, and got no new ones: mean 0 and "
                "variance 1 are still in them. In training mode give them `images`.": [
                    dict(fed=lambda _: [])
                ],
                "The batch norms mix old statistics with new ones: with momentum 0.1 one pass "
                "moves them by a tenth. Use `momentum = None` after a reset.": [
                    dict(momentum=0.1, reset=False)
                ],
                "After the reset the batch norms moved only a tenth of the way: set `momentum` to "
                "None (or 1.0) before the pass.": [dict(momentum=0.1)],
                "With `momentum = None` a batch norm averages over all batches since its last "
                "reset, those of the training too. Call `reset_running_stats()` first.": [
                    dict(reset=False)
                ],
                "Only the batch norms of the changed module are estimated anew. Take every batch "
                "norm of the network.": [dict(only=True)],
                "The statistics are those of the network with the branch. Put in the constant "
                "first, and estimate then.": [dict(early=True)],
                "Besides `images` the network got mirrored ones. Estimate from `images` alone.": [
                    dict(fed=lambda x, d=d: [x, x.flip(d)]) for d in (2, 3)
                ],
            }
            for message, ways in mistakes.items():
                for options in ways:
                    other = _taken_away(network, module, branch, images, **options)(others)
                    if close(mine, other, 1e-3):
                        raise Wrong(message)
            if smaller := sorted(set(given) - {len(images)}):
                raise Wrong(
                    f"The network got {' and '.join(map(str, smaller))} images at a time. The "
                    f"statistics need all {len(images)} at once, as one batch."
                )
        raise Wrong(
            f"The constants are right, but the network that {what} gives has other logits: they "
            f"differ by up to {(mine - right).abs().max():.2g}, and the right ones reach "
            f"{right.abs().max():.2g}. Every batch norm should have the mean and the variance of "
            "`images`, given once as one batch, in the network without the branch."
        )
    return "The same logits as the reference, and the network given is as it was."


def _check_constant(
    changed: nn.Module, network: nn.Module, module: str, branch: str, images: Tensor
) -> None:
    """Where the branch was, each map must hold the mean that the branch had, everywhere."""
    try:
        part = getattr(getattr(changed.features, module), branch)
    except AttributeError:
        raise Wrong(
            f"The new network has no {module}.{branch} any more. Put the constant in the place of "
            f"this branch, not of the whole module {module}, and do not delete it."
        ) from None
    dropped, maps = _Watched.was_on, _branch_maps(network, module, branch, images)
    entering: list[Tensor] = []
    copied = copy.deepcopy(network).eval()
    getattr(getattr(copied.features, module), branch).register_forward_hook(
        lambda _, inputs, __: entering.append(inputs[0])
    )
    with torch.no_grad():
        copied(images)
        given = entering[0]
        out = call(part, torch.randn_like(given[:3]), what=f"{module}.{branch} of the new network")
        again = call(part, given[:3], what=f"{module}.{branch} of the new network")
    right = maps.mean(dim=(0, 2, 3))
    shape = (3, *maps.shape[1:])
    if not isinstance(out, Tensor) or tuple(out.shape) != shape:
        raise Wrong(
            f"{module}.{branch} of the new network gives {describe(out)} where maps of shape "
            f"{shape} are expected."
        )
    if not close(out, again, 1e-5):
        raise Wrong(
            f"{module}.{branch} of the new network still depends on its input; it should be a "
            "constant now."
        )
    if close(out, right[:, None, None].expand(shape), 1e-4):
        return
    trained = _branch_maps(network, module, branch, images, train=True)
    own = getattr(getattr(copied.features, module), branch)
    norm = [layer for layer in own.modules() if isinstance(layer, nn.BatchNorm2d)][-1]
    anew = _estimated(copied, images)
    mistakes = {
        "The branch gives zeros; it should give the mean of each map.": torch.zeros_like(right),
        "One mean over all channels is used; each map has its own.": maps.mean().expand_as(right),
        "These are means in training mode, where batch norm uses the batch; measure in eval "
        "mode.": trained.mean(dim=(0, 2, 3)),
        "These are the means of the first image alone; take all images.": maps[0].mean(dim=(1, 2)),
        "These are the highest values, not the means.": maps.amax(dim=(0, 2, 3)),
        "These are means of the highest values of each map. Take the mean over all "
        "positions.": maps.amax(dim=(2, 3)).mean(dim=0),
        "These are the lowest values, not the means.": maps.amin(dim=(0, 2, 3)),
        "These are standard deviations, not means.": maps.std(dim=(0, 2, 3)),
        "These are medians, not means.": maps.transpose(0, 1).flatten(1).median(dim=1).values,
        "There are medians over the positions in it; take means.": (
            maps.flatten(2).median(dim=2).values.mean(dim=0)
        ),
        "This is the bias of the branch's last batch norm. A ReLU follows it, so measure the maps "
        "that the branch gives.": norm.bias.detach(),
        "These are means in the network with new statistics. Measure first, before the batch norms "
        "are estimated anew.": _branch_maps(anew, module, branch, images).mean(dim=(0, 2, 3)),
        "These are sums, not means.": maps.sum(dim=(0, 2, 3)),
    }
    for message, values in mistakes.items():
        if close(out, values[:, None, None].expand(shape), 1e-4):
            raise Wrong(message)
    if dropped:
        raise Wrong(
            "Dropout was on, so these are no means in eval mode. Measure in eval mode, and keep "
            "dropout off afterwards as well."
        )
    if close(out, maps.mean(dim=0).expand(shape), 1e-4):
        raise Wrong(
            "These are means over the images, position by position; one number for each map is "
            "asked for, the mean over positions too."
        )
    raise Wrong(
        f"{module}.{branch} of the new network is constant, but not at the mean: its first channel "
        f"gives {out[0, 0, 0, 0]:.4g}, and the mean of that map is {right[0]:.4g}."
    )


# --- inception.7: the loss with auxiliary classifiers ---------------------------------------------


def _loss(
    logits: Tensor, auxiliary: Mapping[str, Tensor], labels: Tensor, weight: float = 0.3
) -> Tensor:
    extra = [F.cross_entropy(other, labels) for other in auxiliary.values()]
    return F.cross_entropy(logits, labels) + weight * sum(extra)


def inception_7(answer):
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    torch.manual_seed(3)
    labels = torch.tensor([2, 0, 4, 1, 3, 2])
    first, second, third = (2 * torch.randn(6, 5) for _ in range(3))
    both = {"inception4a": second, "inception4d": third}
    cases = (
        (first, both, labels),
        (first, {"inception4a": third}, labels),
        (second, {}, labels),
        (first, {"a": second, "b": third, "c": first}, labels),
    )

    def inside(function: Callable) -> Callable:
        return lambda logits, auxiliary, labels: function(logits, list(auxiliary.values()), labels)

    entropy = F.cross_entropy

    def explain(case: tuple, got: Any, right: Any) -> str:
        if isinstance(got, Exception) and not case[1]:
            raise Wrong(
                "With an empty dictionary nothing is added to the main loss. Begin with it, and "
                f"add the others in a loop (or with `sum`). {got}"
            )
        if "must be Tensor, not str" in str(got):
            raise Wrong(
                "A loop over a dictionary gives its names; `auxiliary.values()` gives the logits. "
                f"{got}"
            )
        if isinstance(got, Tensor) and case[1] and close(got, entropy(case[0], case[2])):
            raise Wrong(
                f"No auxiliary loss is counted where the names are {list(case[1])}. Loop over "
                "`auxiliary.values()`: the dictionary may have any names."
            )
        if isinstance(getattr(got, "__cause__", None), KeyError):
            raise Wrong(
                f"Here the dictionary has the names {list(case[1])}: it may hold others, fewer or "
                f"none. Loop over `auxiliary.values()`. {got}"
            )
        return ""

    def averaged(logits: Tensor, others: list, labels: Tensor) -> Tensor:
        extra = [entropy(other, labels) for other in others]
        return entropy(logits, labels) + (0.3 * sum(extra) / len(extra) if extra else 0)

    def weighted(weigh: Callable[[int, int], float]) -> Callable:
        """weigh: the weight of a loss, by its number (0 is the main one) and how many there are."""
        return inside(
            lambda x, others, y: sum(
                weigh(number, 1 + len(others)) * entropy(o, y)
                for number, o in enumerate((x, *others))
            )
        )

    def with_loss(loss: Callable) -> Callable:
        return inside(lambda x, others, y: loss(x, y) + 0.3 * sum(loss(o, y) for o in others))

    def binary(logits: Tensor, labels: Tensor) -> Tensor:
        target = F.one_hot(labels, logits.shape[1]).float()
        return F.binary_cross_entropy_with_logits(logits, target)

    def two_only(logits: Tensor, others: list, labels: Tensor) -> Tensor:
        return entropy(logits, labels) + 0.3 * sum(entropy(o, labels) for o in others[:2])

    same_results(
        answer,
        _loss,
        *cases,
        tolerance=1e-5,
        explain=explain,
        mistakes={
            **{
                f"The auxiliary losses have the weight {w}; it should be 0.3.": inside(
                    lambda x, others, y, w=w: entropy(x, y) + w * sum(entropy(o, y) for o in others)
                )
                for w in (0.03, 0.1, 0.2, 0.33, 0.4, 0.5, 0.6, 1, 3)
            },
            "`nll_loss` takes the logarithms of probabilities (log_softmax), not logits; "
            "`cross_entropy` takes logits.": with_loss(F.nll_loss),
            "There is label smoothing in it; the plain cross-entropy is asked for.": with_loss(
                partial(entropy, label_smoothing=0.1)
            ),
            "This is the binary cross-entropy, as if there were a yes or no for each class. An "
            "image has one class: take `F.cross_entropy`.": with_loss(binary),
            "The softmax is taken over the images (`dim=0`); the classes are `dim=1`.": with_loss(
                lambda x, y: F.nll_loss(x.log_softmax(0), y)
            ),
            "There is a softmax before the cross-entropy, which takes logits.": with_loss(
                lambda x, y: entropy(x.softmax(1), y)
            ),
            "The losses of the images are added; their mean is asked for.": with_loss(
                partial(entropy, reduction="sum")
            ),
            "The losses have not been averaged over the images; one number is expected.": with_loss(
                partial(entropy, reduction="none")
            ),
            "The main loss is multiplied by 0.3 too; its weight is 1.": weighted(lambda i, n: 0.3),
            "The weights are the wrong way round: 1 for the main loss, 0.3 for the others.": (
                weighted(lambda i, n: 1 if i else 0.3)
            ),
            "The main loss has the weight 0.7; in the paper it has 1.": weighted(
                lambda i, n: 0.3 if i else 0.7
            ),
            "The main loss has the weight 0.7 where there are auxiliary ones; in the paper it has "
            "1.": weighted(lambda i, n: 0.3 if i else 1 if n == 1 else 0.7),
            "The main loss is multiplied by 0.3 with each auxiliary one: it is inside the "
            "brackets. Only the auxiliary loss belongs in them.": weighted(
                lambda i, n: 0.3 ** (n - max(i, 1))
            ),
            "The loss so far is multiplied by 0.3 and added again: it is inside the brackets. Only "
            "the auxiliary loss belongs in them.": weighted(
                lambda i, n: (0.3 if i else 1) * 1.3 ** (n - 1 - i)
            ),
            "The weight shrinks from one auxiliary loss to the next (0.3, 0.09, …); each has "
            "0.3.": weighted(lambda i, n: 0.3**i),
            "The sum is divided by the sum of the weights; only add.": weighted(
                lambda i, n: (0.3 if i else 1) / (0.7 + 0.3 * n)
            ),
            "Only the last auxiliary classifier counts: add to the loss in each turn of the "
            "loop.": (weighted(lambda i, n: 1 if not i else 0.3 * (i == n - 1))),
            "0.3 multiplies the logits, inside the cross-entropy; multiply the loss.": inside(
                lambda x, others, y: entropy(x, y) + sum(entropy(0.3 * o, y) for o in others)
            ),
            "The auxiliary classifiers are compared with the answers of the main one; compare them "
            "with `labels`.": inside(
                lambda x, others, y: (
                    entropy(x, y) + 0.3 * sum(entropy(o, x.argmax(1)) for o in others)
                )
            ),
            "The auxiliary losses are averaged; each should count 0.3.": inside(averaged),
            "No auxiliary loss is counted. Add one for each of `auxiliary.values()`, whatever its "
            "name is.": weighted(lambda i, n: 0 if i else 1),
            "The main loss is missing.": inside(
                lambda x, others, y: 0.3 * sum(entropy(o, y) for o in others) + torch.zeros(())
            ),
            "Only the first auxiliary classifier counts.": inside(
                lambda x, others, y: two_only(x, others[:1], y)
            ),
            "Only the first two auxiliary classifiers count; take all in the dictionary.": inside(
                two_only
            ),
            "The logits are added before the cross-entropy; each classifier has its own "
            "loss.": inside(lambda x, others, y: entropy(x + 0.3 * sum(others), y)),
            "The whole is divided by the number of classifiers; it should not be.": weighted(
                lambda i, n: (0.3 if i else 1) / n
            ),
        },
    )
    leaves = [t.clone().requires_grad_() for t in (first, second, third)]
    loss = call(answer, leaves[0], {"inception4a": leaves[1], "inception4d": leaves[2]}, labels)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise Wrong(
            "The value is right, but no gradient can flow back from it: keep the loss a tensor, "
            "without `.item()`, `.detach()` or `torch.no_grad()`."
        )
    loss.backward()
    for name, leaf, weight in zip(("logits", "inception4a", "inception4d"), leaves, (1, 0.3, 0.3)):
        right = weight * (leaf.detach().softmax(1) - F.one_hot(labels, 5)) / 6
        if leaf.grad is None or not close(leaf.grad, right, 1e-5):
            cut = " `.item()`, `.detach()` or `torch.no_grad()` cuts it off from its loss."
            raise Wrong(
                f"The value is right, but the gradient does not reach {name} as it should."
                f"{cut if leaf.grad is None else ''}"
            )
    return "The same value, and the gradients reach every classifier."


# --- inception.8: factorised kernels --------------------------------------------------------------


class _Factorised(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        n: int,
        *,
        between: bool = True,
        last: bool = True,
        turned: bool = False,
        narrow: bool = False,
        square: bool = False,
        biases: tuple[bool, bool] = (True, True),
        crossed: bool = False,
        shapes: list[tuple[int, int]] | None = None,
        padded_first: bool = False,
        mode: str = "zeros",
    ) -> None:
        super().__init__()
        middle, p = in_channels if narrow else out_channels, n // 2
        shapes = shapes or [(1, n), (n, 1)]
        shapes = shapes[::-1] if turned else [(n, n), (n, n)] if square else shapes
        paddings = [tuple(k // 2 for k in shape)[:: -1 if crossed else 1] for shape in shapes]
        paddings = [(p, p), (0, 0)] if padded_first else paddings
        self.first, self.second = (
            nn.Conv2d(a, b, shape, padding=padding, bias=bias, padding_mode=mode)
            for a, b, shape, padding, bias in zip(
                (in_channels, middle), (middle, out_channels), shapes, paddings, biases
            )
        )
        self.between, self.last = between, last

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.first(maps)
        maps = self.second(maps.relu() if self.between else maps)
        return maps.relu() if self.last else maps


class _SideBySide(nn.Module):
    """Both kernels read what comes in."""

    def __init__(self, in_channels: int, out_channels: int, n: int, *, late: bool) -> None:
        super().__init__()
        self.row = nn.Conv2d(in_channels, out_channels, (1, n), padding=(0, n // 2))
        self.column = nn.Conv2d(in_channels, out_channels, (n, 1), padding=(n // 2, 0))
        self.late = late

    def forward(self, maps: Tensor) -> Tensor:
        row, column = self.row(maps), self.column(maps)
        return (row + column).relu() if self.late else row.relu() + column.relu()


def inception_8(answer, reference):
    for case in ((3, 4, 7), (5, 2, 3), (2, 2, 5)):
        n = case[2]

        def but(case=case, **options: Any) -> Callable[[], nn.Module]:
            return lambda: _Factorised(*case, **options)

        def one_kernel(case=case) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(*case, padding=case[2] // 2),
                nn.ReLU(),
            )

        def beside(late: bool, case=case) -> Callable[[], nn.Module]:
            return lambda: _SideBySide(*case, late=late)

        def always(n: int, case=case) -> Callable[[], nn.Module]:
            return lambda: _Factorised(*case[:2], n)

        module = make(answer, *case)
        for conv in module.modules():
            if isinstance(conv, nn.Conv2d) and conv.groups > 1:
                raise Wrong(
                    "One of your convolutions has `groups`, so each output reads only a part of "
                    "the channels (depthwise, chapter 9). Here both kernels read all of them. Your "
                    f"module consists of {layers(module)}."
                )
        _same(
            module,
            reference(*case),
            (2, case[0], 9, 12),
            (1, case[0], 8, 7),
            mistakes={
                "The paddings have changed places: a kernel of n columns needs padding at the left "
                "and at the right.": but(crossed=True),
                "All the padding is in the first convolution; each has its own.": but(
                    padded_first=True
                ),
                "Both kernels have one row; the second has n rows and one column.": but(
                    shapes=[(1, n), (1, n)]
                ),
                "Both kernels have one column; the first has one row and n columns.": but(
                    shapes=[(n, 1), (n, 1)]
                ),
                **{
                    f'The padding is of the kind "{mode}"; zeros are asked for, as torch pads by '
                    "itself.": but(mode=mode)
                    for mode in ("reflect", "replicate", "circular")
                },
                **{
                    "The two kernels are side by side and their results are added. The second has "
                    f"to read what the first gives{more}.": beside(late)
                    for more, late in (("", False), (", after its ReLU", True))
                },
                "There is no ReLU between the two.": but(between=False),
                "The ReLU after the second convolution is missing.": but(last=False),
                "There are no ReLUs.": but(between=False, last=False),
                "The two have changed places: the one with one row comes first. (rows, "
                "columns) is the order.": but(turned=True),
                "The channels change in the second convolution; they should change in the "
                "first.": but(narrow=True),
                "Both kernels are n×n.": but(square=True),
                "This is one n×n convolution, not two thin ones.": one_kernel,
                "The convolutions have no biases.": but(biases=(False, False)),
                "The first convolution has no bias.": but(biases=(False, True)),
                "The second convolution has no bias.": but(biases=(True, False)),
                **{
                    f"The kernels are always of length {n}; `kernel_size` is not used.": always(n)
                    for n in (3, 5, 7)
                    if n != case[2]
                },
            },
        )
    return "The same reach, with 2n weights in place of n · n."
