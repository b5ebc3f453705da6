"""Checks of chapter 08: residual networks."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises.compare import (
    Wrong,
    call,
    close,
    describe,
    describe_call,
    expect_numbers,
    expect_parameters,
    make,
    same_outputs,
    same_results,
)
from utils.networks import build
from utils.networks.resnet import ResidualBlock, basic_branch

# --- resnet.1: counting ---------------------------------------------------------------------------


def resnet_1(answer):
    first, second, beside = 64 * 128 * 9, 128 * 128 * 9, 64 * 128
    weights = first + second + beside
    positions = 28 * 28
    common = {
        "parameters": {
            weights: "These are the convolutions alone; each batch norm has 2 · 128 parameters.",
            weights + 512: "There are three batch norms; the shortcut has one too.",
            weights + 256: "There are three batch norms, not one.",
            weights + 384: "A batch norm has a weight and a bias for each channel: 2 · 128.",
            weights + 768 + 384: "The convolutions have no biases here.",
            weights + 3 * 512: (
                "Running means and variances are no parameters: they are not trained."
            ),
            first + second + 512: "The shortcut is missing: a 1×1 convolution and its batch norm.",
            first + second + 768: "The 1×1 convolution of the shortcut is missing.",
            2 * second + beside + 768: "The first convolution takes 64 channels, not 128.",
            2 * first + beside + 768: "The second convolution takes 128 channels, not 64.",
            first + second + 9 * beside + 768: "The shortcut's convolution is 1×1, not 3×3.",
            first + second + beside + 640: (
                "All three batch norms have 128 channels: they are after the convolutions."
            ),
        },
        "macs": {
            weights * 56 * 56: "The outputs have 28 · 28 positions; the stride skips the others.",
            first * 56 * 56 + (second + beside) * positions: (
                "The first convolution has stride 2: it computes 28 · 28 positions."
            ),
            (first + second) * positions + beside * 56 * 56: (
                "The shortcut has stride 2 too: it computes 28 · 28 positions."
            ),
            (first + second) * positions: "The 1×1 convolution of the shortcut is missing.",
            **{
                weights * positions + norms: (
                    "Only the MACs of the convolutions count, not those of the batch norms."
                )
                for norms in (384, 768, 384 * positions, 768 * positions)
            },
            weights: "This is the number of weights; each is used at every position of the output.",
            weights * 28: "The output has 28 · 28 positions, not 28.",
        },
        "blocks": {
            9: "This is n, the blocks of one stage; there are three stages.",
            54: "This is the number of convolutions in the blocks; each block has two.",
            56: "This is the number of layers.",
            28: "56 / 2 counts the first convolution and the linear layer as a block.",
            18: "There are three stages of n = 9 blocks, not two.",
        },
        "option_b": {
            2560: "These are the convolutions; each shortcut has a batch norm as well.",
            2656: "A batch norm has a weight and a bias for each channel.",
            192: "These are the batch norms; the 1×1 convolutions are missing.",
            576: "This is the first of the two shortcuts alone; 32 to 64 channels is missing.",
            2176: "This is the second of the two shortcuts alone; 16 to 32 channels is missing.",
            2752 + 96: "The convolutions have no biases.",
            2560 * 9: "The shortcuts' convolutions are 1×1, not 3×3.",
            2560 * 9 + 192: "The shortcuts' convolutions are 1×1, not 3×3.",
            272_474: "This is the whole network with option B; how many more than with option A?",
            269_722: "This is the whole network with option A; how many more has option B?",
            -2752: "The sign is wrong: option B has more.",
            14_240: ("This is option C: a projection in every block."),
            2752 + 16 * 16 + 32: (
                "The first stage starts with the shape it is given, so it needs no projection."
            ),
        },
    }
    right = {"parameters": weights + 768, "macs": weights * positions}
    expect_numbers(answer, right | {"blocks": 27, "option_b": 2752}, common, macs=["macs"])
    return "The shortcut has 8,448 of the 230,144 parameters: less than 4 %."


# --- what the checks below compare with -----------------------------------------------------------


class _Joined(nn.Module):
    """A branch and a shortcut, joined in one of many ways; the first is the right one."""

    JOINED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
        "relu(z + s)": lambda z, s: (z + s).relu(),
        "relu(z)": lambda z, s: z.relu(),
        "z": lambda z, s: z,
        "z + s": lambda z, s: z + s,
        "relu(z) + s": lambda z, s: z.relu() + s,
        "relu(relu(z) + s)": lambda z, s: (z.relu() + s).relu(),
        "relu(z) + relu(s)": lambda z, s: z.relu() + s.relu(),
        "relu(z + relu(s))": lambda z, s: (z + s.relu()).relu(),
        "z + relu(s)": lambda z, s: z + s.relu(),
        "relu(z - s)": lambda z, s: (z - s).relu(),
        "relu(z * s)": lambda z, s: (z * s).relu(),
        "relu(s)": lambda z, s: s.relu(),
        "relu((z + s) / 2)": lambda z, s: ((z + s) / 2).relu(),
        "relu(2 z)": lambda z, s: (z + z).relu(),
    }

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None, how="relu(z + s)"):
        super().__init__()
        self.branch, self.shortcut, self.how = branch, shortcut or nn.Identity(), how

    def forward(self, maps: Tensor) -> Tensor:
        return self.JOINED[self.how](self.branch(maps), self.shortcut(maps))


class _FromFirst(nn.Module):
    """The shortcut begins after the first ReLU, not at the block's input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.first, self.second = nn.Sequential(*layers[:3]), nn.Sequential(*layers[3:])

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.first(maps)
        return (self.second(maps) + maps).relu()


class _NormLast(nn.Module):
    """The second batch norm is after the addition."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.branch, self.norm = nn.Sequential(*layers[:-1]), layers[-1]

    def forward(self, maps: Tensor) -> Tensor:
        return self.norm(self.branch(maps) + maps).relu()


def _conv(inside: int, outside: int, size: int, stride: int = 1, **options) -> nn.Conv2d:
    options = {"padding": size // 2, "bias": False} | options
    return nn.Conv2d(inside, outside, size, stride, **options)


def _basic(inside: int, outside: int, stride: int = 1, leave_out: tuple = ()) -> list[nn.Module]:
    """The layers of a basic block's branch, without those whose numbers are left out."""
    layers = [
        _conv(inside, outside, 3, stride),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
        _conv(outside, outside, 3),
        nn.BatchNorm2d(outside),
    ]
    return [layer for number, layer in enumerate(layers) if number not in leave_out]


def _projection(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(inside, outside, 1, stride), nn.BatchNorm2d(outside))


JOINS = {
    "The shortcut is missing: this is a plain block.": "relu(z)",
    "The shortcut and the last ReLU are missing.": "z",
    "The ReLU after the addition is missing.": "z + s",
    "The last ReLU comes before the addition; it should come after it.": "relu(z) + s",
    "One ReLU too many: the branch ends in its batch norm, before the addition.": (
        "relu(relu(z) + s)"
    ),
    "There are ReLUs on both sides before the addition; one after it is right.": (
        "relu(z) + relu(s)"
    ),
    "The shortcut has a ReLU of its own; it should hand on what the block is given.": (
        "relu(z + relu(s))"
    ),
    "The ReLU is on the shortcut; it should come after the addition.": "z + relu(s)",
    "The shortcut is subtracted; it is added.": "relu(z - s)",
    "The shortcut is multiplied with the branch; it is added.": "relu(z * s)",
    "The output is the shortcut alone: the branch is computed and not used.": "relu(s)",
    "The sum is divided by two; it is just a sum.": "relu((z + s) / 2)",
    "The branch is added to itself, not to the block's input.": "relu(2 z)",
}


def _a_class(answer) -> None:
    if isinstance(answer, nn.Module):
        raise Wrong(
            f"A class (or a function) that builds the block is expected, not a finished block: "
            f"{describe(answer)}."
        )


def _uses_channels(block: nn.Module, channels: int) -> None:
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels != channels:
            raise Wrong(
                f"Called with {channels} channels, your block has a convolution that takes "
                f"{layer.in_channels}: use the argument `channels`."
            )


def _fits(block: nn.Module, shape: tuple[int, ...], stride: int = 1) -> None:
    """Name the missing stride or padding where torch would speak of tensor sizes."""
    try:
        with torch.no_grad():
            copy.deepcopy(block)(torch.randn(shape))
    except Exception as error:
        if "must match the size" not in str(error):
            return  # the next call reports it, with the learner's line
        if "dimension 1" in str(error):
            reason = "Where the channels change, the shortcut has to change them too."
        elif stride == 1:
            reason = "Has each 3×3 convolution padding 1?"
        else:
            reason = "Does the shortcut have the stride, and each 3×3 convolution padding 1?"
        raise Wrong(
            f"With stride {stride}, branch and shortcut have different shapes, so they cannot be "
            f"added. {reason} (torch: {error})"
        ) from None


def _expect_default_stride(answer: Callable, *arguments: int, stride: int) -> None:
    """Called without a stride, as the chapter may do it, the block has that of the stub."""
    block = make(answer, *arguments).eval()
    given = call(block, torch.randn(2, arguments[0], 8, 12))
    if tuple(given.shape[2:]) != (8 // stride, 12 // stride):
        raise Wrong(
            f"Called without a stride, {describe_call(answer, *arguments)} makes "
            f"{'×'.join(map(str, given.shape[2:]))} of 8×12; the default should be "
            f"stride={stride}, as in the first line of the stub."
        )


def _input_kept(block: nn.Module, shape: tuple[int, ...]) -> None:
    """An activation in place on the input changes what the shortcut (and the caller) sees."""
    images = torch.randn(shape)
    given = images.clone()
    call(block, given)
    if not torch.equal(images, given):
        raise Wrong(
            "Your block changes the maps it is given: something works in place on its input, "
            "which the shortcut needs too."
        )


def _all_used(block: nn.Module, shape: tuple[int, ...]) -> None:
    """Name a layer that is idle while another of its kind serves twice."""
    block, calls = copy.deepcopy(block).train(), Counter()
    for name, module in block.named_modules():
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    result = call(block, torch.randn(shape))
    if not isinstance(result, Tensor) or not result.requires_grad:
        return  # same_outputs reports it
    result.square().sum().backward()
    own = {
        name: list(module.parameters(recurse=False))
        for name, module in block.named_modules()
        if list(module.parameters(recurse=False))
    }
    # A function may use a layer's weight without calling the layer: then there is a gradient.
    idle = [
        n for n, weights in own.items() if not calls[n] and all(w.grad is None for w in weights)
    ]
    twice = [f"`{name}`" for name in own if calls[name] > 1]
    if idle and twice:
        raise Wrong(
            f"`forward` never uses the layer `{idle[0]}`; it calls {' and '.join(twice)} more than "
            "once."
        )


# --- resnet.2: the block --------------------------------------------------------------------------


def resnet_2(answer):
    _a_class(answer)
    for channels in (4, 6):
        block = make(answer, channels)
        size = 9 * channels * channels
        _uses_channels(block, channels)
        expect_parameters(
            block,
            2 * size + 4 * channels,
            {
                2 * size + 6 * channels: "The convolutions should have no biases.",
                2 * size + 2 * channels: (
                    "A batch norm is missing, or one object serves after both convolutions."
                ),
                2 * size: "The two batch norms are missing or have no weights.",
                size + 4 * channels: (
                    "One convolution is missing, or one object serves in both places."
                ),
                size + 2 * channels: (
                    "Only one convolution and one batch norm: each of the two places needs its own."
                ),
                2 * size + 4 * channels + channels * channels: (
                    "The shortcut has a convolution; it should hand on the maps as they are."
                ),
                2 * size + 5 * channels + channels * channels: (
                    "The shortcut has a convolution; it should hand on the maps as they are."
                ),
                2 * size + 5 * channels: "A convolution has a bias; none should have one.",
                2 * size + 6 * channels + channels * channels: (
                    "The shortcut has a projection; it should hand on the maps as they are."
                ),
                2 * size // 9 + 4 * channels: "The convolutions should be 3×3, not 1×1.",
                0: "It has no layers: are they assigned to `self` in `__init__`?",
            },
        )

        def joined(how: str, channels=channels) -> nn.Module:
            return _Joined(nn.Sequential(*_basic(channels, channels)), how=how)

        def without(number: int, channels=channels) -> nn.Module:
            layers = _basic(channels, channels)
            layers[number] = nn.Identity()
            return _Joined(nn.Sequential(*layers))

        def swapped(a: int, b: int, channels=channels) -> nn.Module:
            layers = _basic(channels, channels)
            layers[a], layers[b] = layers[b], layers[a]
            return _Joined(nn.Sequential(*layers))

        def before(channels=channels) -> nn.Module:
            conv1, norm1, relu, conv2, norm2 = _basic(channels, channels)
            return _Joined(nn.Sequential(norm1, relu, conv1, norm2, nn.ReLU(), conv2), how="z + s")

        _fits(block, (2, channels, 7, 5))
        _input_kept(block, (2, channels, 7, 5))
        _all_used(block, (2, channels, 7, 5))
        same_outputs(
            block,
            joined("relu(z + s)"),
            (3, channels, 8, 8),
            (2, channels, 7, 5),
            mistakes={
                **{message: lambda how=how: joined(how) for message, how in JOINS.items()},
                "The ReLU between the two convolutions is missing.": lambda: without(2),
                "The shortcut begins after the first ReLU; it should begin at the input.": (
                    lambda channels=channels: _FromFirst(*_basic(channels, channels))
                ),
                "The first batch norm comes after the ReLU; it should come before it.": (
                    lambda: swapped(1, 2)
                ),
                "The second batch norm comes after the addition; it should come before it.": (
                    lambda channels=channels: _NormLast(*_basic(channels, channels))
                ),
                "Norm and ReLU come before the convolutions. That is the pre-activation block, "
                "which comes later in this chapter.": before,
            },
        )
    return "Outputs and gradients agree in both modes, and the shortcut is there."


# --- resnet.3: repair -----------------------------------------------------------------------------


def resnet_3(answer):
    _a_class(answer)
    for inside, outside, stride in ((4, 6, 2), (3, 8, 1), (5, 5, 3)):
        block = make(answer, inside, outside, stride)
        branch = 9 * inside * outside + 9 * outside * outside + 4 * outside
        beside = inside * outside
        _fits(block, (2, inside, 9, 12), stride)
        expect_parameters(
            block,
            branch + beside + 2 * outside,
            {
                branch + beside: "The shortcut has no batch norm.",
                branch + beside + outside: (
                    "The shortcut has a bias in place of a batch norm, which has weight and bias."
                ),
                branch + beside + 3 * outside: (
                    "The shortcut's convolution has a bias; the batch norm after it has one."
                ),
                branch + beside + 2 * inside: (
                    "The shortcut's batch norm has the channels of the input; it should be "
                    "after the convolution."
                ),
                branch: "The shortcut has no parameters; option B has a 1×1 convolution.",
                branch + 9 * beside + 2 * outside: "The shortcut's convolution should be 1×1.",
                branch + beside + 4 * outside: (
                    "There is one batch norm too many: one after each convolution is right."
                ),
            },
        )
        args = (inside, outside, stride)

        def joined(how: str = "relu(z + s)", args=args, shortcut=None) -> nn.Module:
            branch = nn.Sequential(*_basic(*args))
            return _Joined(branch, shortcut or _projection(*args), how)

        def halved(pool, args=args) -> nn.Module:
            inside, outside, stride = args
            layers = [pool(stride, ceil_mode=True), _conv(inside, outside, 1)]
            return joined(args=args, shortcut=nn.Sequential(*layers, nn.BatchNorm2d(outside)))

        def unhurried(args=args) -> nn.Module:
            """The stride is on the second convolution."""
            inside, outside, stride = args
            layers = _basic(inside, outside)
            layers[3] = _conv(outside, outside, 3, stride)
            return _Joined(nn.Sequential(*layers), _projection(*args))

        same_outputs(
            block,
            joined(),
            (3, inside, 9, 12),
            (2, inside, 6, 6),
            mistakes={
                **{message: lambda how=how: joined(how) for message, how in JOINS.items()},
                "The shortcut ends in a ReLU; its batch norm should be the last.": (
                    lambda args=args: joined(shortcut=nn.Sequential(*_projection(*args), nn.ReLU()))
                ),
                "The shortcut averages the pixels that the stride skips; it should skip them.": (
                    lambda: halved(nn.AvgPool2d)
                ),
                "The shortcut takes the highest of the pixels that the stride skips; it should "
                "skip them.": lambda: halved(nn.MaxPool2d),
                "The stride is on the branch's second convolution; it was right on the "
                "first.": unhurried,
                "The ReLU between the branch's convolutions is gone.": lambda args=args: _Joined(
                    nn.Sequential(*_basic(*args, leave_out=(2,))), _projection(*args)
                ),
            },
        )
    _expect_default_stride(answer, 4, 6, stride=2)
    return "All three are mended: stride and batch norm in the shortcut, ReLU after the addition."


# --- resnet.4: option A ---------------------------------------------------------------------------


def _zero_pad(maps: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    missing = out_channels - maps.shape[1]
    return F.pad(maps[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, missing))


def resnet_4(answer):
    if not callable(answer) or isinstance(answer, type):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    cases = (
        (torch.randn(2, 3, 8, 8), 6),
        (torch.randn(1, 4, 7, 5), 9, 2),
        (torch.randn(2, 2, 9, 10), 5, 3),
        (torch.randn(2, 3, 4, 6), 5, 1),
        (torch.randn(2, 4, 6, 6), 4, 2),
    )

    def padded(kept: Callable, where: str = "after"):
        def one(maps: Tensor, out_channels: int, stride: int = 2) -> Tensor:
            few = kept(maps, stride)
            missing = out_channels - maps.shape[1]
            pads = {"after": (0, missing), "front": (missing, 0)}
            pads["both"] = (missing // 2, missing - missing // 2)
            pads["both, more in front"] = pads["both"][::-1]
            pads["half"] = (missing // 2, missing // 2)
            return F.pad(few, (0, 0, 0, 0, *pads[where]))

        return one

    def strided(maps: Tensor, stride: int) -> Tensor:
        return maps[:, :, ::stride, ::stride]

    def repeated(maps: Tensor, out_channels: int, stride: int = 2) -> Tensor:
        few = strided(maps, stride)
        return torch.cat([few] * out_channels, dim=1)[:, :out_channels]

    def ones(maps: Tensor, out_channels: int, stride: int = 2) -> Tensor:
        few = strided(maps, stride)
        return F.pad(few, (0, 0, 0, 0, 0, out_channels - maps.shape[1]), value=1.0)

    def corner(maps: Tensor, stride: int) -> Tensor:
        return maps[:, :, : -(-maps.shape[2] // stride), : -(-maps.shape[3] // stride)]

    def small_corner(maps: Tensor, stride: int) -> Tensor:
        return maps[:, :, : maps.shape[2] // stride, : maps.shape[3] // stride]

    from_second = "The stride counts from the second row and column; begin with the first"
    both_sides = "The zeros are on both sides of the channels; all should be after them"
    cut_out = "The corner of the maps is cut out; rows and columns should be skipped"

    def explain(case: tuple, mine, right: Tensor) -> str:
        """The right values in the wrong places."""
        channels = case[0].shape[1]
        if not isinstance(mine, Tensor) or mine.shape != right.shape:
            return ""
        found = [
            [place for place in range(right.shape[1]) if close(mine[:, place], right[:, c])]
            for c in range(channels)
        ]
        places = [one[0] for one in found if one]
        if len(places) < channels or places == list(range(channels)):
            return ""
        return (
            f"The {channels} channels are at the places {places}, counted from 0; they should "
            "come first, in their order, and all zeros after them."
        )

    probe = call(answer, torch.randn(2, 3, 8, 8), 6)
    if type(probe).__module__ == "numpy":
        raise Wrong(
            "zero_pad gives a numpy array; a tensor is expected. numpy cannot hand on gradients: "
            "use `F.pad` or `torch.cat`."
        )
    same_results(
        answer,
        _zero_pad,
        *cases,
        mistakes={
            "The zeros are before the channels; they should be after them.": padded(
                strided, "front"
            ),
            f"{both_sides}.": padded(strided, "both"),
            f"{both_sides} (more are in front).": padded(strided, "both, more in front"),
            f"{both_sides}, and an odd number of them is rounded down.": padded(strided, "half"),
            "Squares of pixels are averaged; one pixel of each should be kept as it is.": padded(
                lambda maps, stride: F.avg_pool2d(maps, stride, ceil_mode=True)
            ),
            "This is average pooling; every `stride`-th pixel should be kept as it is.": padded(
                lambda maps, stride: F.avg_pool2d(maps, stride)
            ),
            "This is max pooling; every `stride`-th pixel should be kept as it is.": padded(
                lambda maps, stride: F.max_pool2d(maps, stride, ceil_mode=True)
            ),
            "The highest pixel is kept (max pooling); the first one should be.": padded(
                lambda maps, stride: F.max_pool2d(maps, stride)
            ),
            f"{from_second}.": padded(
                lambda maps, stride: maps[:, :, min(1, stride - 1) :: stride, 1 % stride :: stride]
            ),
            f"{from_second}, with index 0.": padded(
                lambda maps, stride: maps[:, :, 1::stride, 1::stride]
            ),
            "The stride counts from the last of each group of rows and columns; begin with the "
            "first.": padded(
                lambda maps, stride: maps[:, :, stride - 1 :: stride, stride - 1 :: stride]
            ),
            "The stride skips rows only; columns too should be skipped.": padded(
                lambda maps, stride: maps[:, :, ::stride]
            ),
            "The stride skips columns only; rows too should be skipped.": padded(
                lambda maps, stride: maps[:, :, :, ::stride]
            ),
            "No row or column is skipped: the stride is missing.": padded(
                lambda maps, stride: maps
            ),
            f"{cut_out}.": padded(corner),
            f"{cut_out}, wherever in the maps they are.": padded(small_corner),
            "The argument `stride` is not used: it is always 2.": padded(
                lambda maps, stride: strided(maps, 2)
            ),
            "The channels are repeated; the new ones should be zero.": repeated,
            "The new channels are filled with ones; they should be zero.": ones,
            "The channels of zeros are missing.": lambda maps, out_channels, stride=2: strided(
                maps, stride
            ),
            "`out_channels` channels of zeros are added; only those that are missing should be.": (
                lambda maps, out_channels, stride=2: F.pad(
                    strided(maps, stride), (0, 0, 0, 0, 0, out_channels)
                )
            ),
            "As many channels of zeros are added as there are channels; it should be as many as "
            "are missing up to `out_channels`.": lambda maps, out_channels, stride=2: F.pad(
                strided(maps, stride), (0, 0, 0, 0, 0, maps.shape[1])
            ),
            "The zeros are put around the pixels: `F.pad` counts axes from the last one.": (
                lambda maps, out_channels, stride=2: F.pad(
                    strided(maps, stride), (0, out_channels - maps.shape[1])
                )
            ),
        },
        explain=explain,
    )
    maps = torch.randn(2, 3, 6, 6, requires_grad=True)
    result = call(answer, maps, 5)
    if not result.requires_grad:
        raise Wrong(
            "No gradient flows back through your function: `.detach()`, `.data` or a new tensor "
            "cuts it off. The shortcut has to hand the gradient on."
        )
    return "No parameters, and the gradient passes."


# --- resnet.5: the bottleneck ---------------------------------------------------------------------


def _bottleneck(
    inside: int, width: int, stride: int, *, strides: tuple | None = None, relus=(0, 1), expand=4
) -> nn.Sequential:
    first, second, third = strides or (1, stride, 1)
    layers = [_conv(inside, width, 1, first), nn.BatchNorm2d(width)]
    layers += [nn.ReLU()] if 0 in relus else []
    layers += [_conv(width, width, 3, second), nn.BatchNorm2d(width)]
    layers += [nn.ReLU()] if 1 in relus else []
    return nn.Sequential(
        *layers, _conv(width, expand * width, 1, third), nn.BatchNorm2d(expand * width)
    )


def resnet_5(answer):
    _a_class(answer)
    for inside, width, stride in ((6, 3, 2), (8, 2, 1), (5, 2, 1), (8, 2, 2)):
        block = make(answer, inside, width, stride)
        outside = 4 * width
        args = (inside, width, stride)
        same = stride == 1 and inside == outside
        beside = 0 if same else inside * outside + 2 * outside
        branch = inside * width + 9 * width * width + width * outside + 4 * width + 2 * outside
        _fits(block, (2, inside, 8, 6), stride)
        with torch.no_grad():
            given = call(copy.deepcopy(block).eval(), torch.randn(2, inside, 8, 6))
        if isinstance(given, Tensor) and given.ndim == 4 and given.shape[1] != outside:
            raise Wrong(
                f"Bottleneck({inside}, {width}, {stride}) gives {given.shape[1]} channels; "
                f"4 * width = {outside} are right."
            )
        expect_parameters(
            block,
            branch + beside,
            {
                branch: (
                    f"With in_channels={inside}, width={width}, stride={stride} the shape changes, "
                    "so the shortcut has to be a 1×1 convolution with batch norm."
                ),
                branch + inside * outside + 2 * outside: (
                    f"With in_channels={inside}, width={width}, stride={stride} the shape stays, "
                    "so the shortcut is the identity and has no parameters."
                ),
                branch + beside + 2 * width + outside + (0 if same else outside): (
                    "The convolutions should have no biases."
                ),
                branch + beside + 2 * width + outside: "The branch's convolutions have biases.",
                **(
                    {}
                    if same
                    else {
                        branch + beside + outside: (
                            "The shortcut's convolution has a bias; the batch norm after it has "
                            "one."
                        )
                    }
                ),
                branch + beside - 2 * outside: (
                    "A batch norm with 4 * width channels is missing: the last one of the branch"
                    + ("." if same else ", or that of the shortcut.")
                ),
                branch + beside - 2 * width: "A batch norm of the branch is missing or shared.",
                branch + beside - 4 * width - 2 * outside: "The branch has no batch norms.",
                branch + beside - 8 * width * width: "The middle convolution should be 3×3.",
                0: "It has no layers: are they assigned to `self` in `__init__`?",
            },
        )

        def joined(how="relu(z + s)", args=args, same=same, **options) -> nn.Module:
            inside, width, stride = args
            shortcut = nn.Identity() if same else _projection(inside, 4 * width, stride)
            return _Joined(_bottleneck(*args, **options), shortcut, how)

        mistakes = {
            "The stride is on the first 1×1 convolution (as in the paper); it should be on the "
            "3×3.": lambda s=stride: joined(strides=(s, 1, 1)),
            "The stride is on the last 1×1 convolution; it should be on the 3×3.": (
                lambda s=stride: joined(strides=(1, 1, s))
            ),
            "The ReLU after the 3×3 convolution is missing.": lambda: joined(relus=(0,)),
            "The ReLU after the first convolution is missing.": lambda: joined(relus=(1,)),
            "The two ReLUs inside the branch are missing.": lambda: joined(relus=()),
        }
        mistakes |= {message: lambda how=how: joined(how) for message, how in JOINS.items()}
        _input_kept(block, (2, inside, 8, 6))
        _all_used(block, (2, inside, 8, 6))
        same_outputs(block, joined(), (3, inside, 8, 6), (2, inside, 7, 7), mistakes=mistakes)
    _expect_default_stride(answer, 8, 2, stride=1)
    return "It is torchvision's block, stride and all."


# --- resnet.6: pre-activation ---------------------------------------------------------------------


class _PreActivation(nn.Module):
    """Norm, ReLU, convolution, twice; the options are mistakes."""

    def __init__(self, channels: int, *, shortcut="maps", relus=(True, True), last=False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1, self.conv2 = _conv(channels, channels, 3), _conv(channels, channels, 3)
        self.shortcut, self.relus, self.last = shortcut, relus, last

    def forward(self, maps: Tensor) -> Tensor:
        normed = self.norm1(maps)
        active = normed.relu() if self.relus[0] else normed
        branch = self.norm2(self.conv1(active))
        branch = self.conv2(branch.relu() if self.relus[1] else branch)
        given = {"maps": maps, "normed": normed, "active": active, "relu": maps.relu()}
        result = branch + given[self.shortcut] if self.shortcut else branch
        return result.relu() if self.last else result


def resnet_6(answer):
    _a_class(answer)
    for channels in (4, 6):
        block = make(answer, channels)
        size = 9 * channels * channels
        _uses_channels(block, channels)
        expect_parameters(
            block,
            2 * size + 4 * channels,
            {
                2 * size + 6 * channels: (
                    "The convolutions should have no biases, and there are two batch norms."
                ),
                2 * size + 5 * channels: "A convolution has a bias; none should have one.",
                2 * size + 2 * channels: "A batch norm is missing, or one serves twice.",
                2 * size: "The batch norms are missing.",
                size + 4 * channels: "A convolution is missing, or one serves twice.",
                0: "It has no layers: are they assigned to `self` in `__init__`?",
            },
        )
        _fits(block, (2, channels, 7, 5))
        _input_kept(block, (2, channels, 7, 5))
        _all_used(block, (2, channels, 7, 5))

        def variant(channels=channels, **options) -> nn.Module:
            return _PreActivation(channels, **options)

        def old(how: str, channels=channels) -> nn.Module:
            return _Joined(nn.Sequential(*_basic(channels, channels)), how=how)

        same_outputs(
            block,
            variant(),
            (3, channels, 8, 8),
            (2, channels, 7, 5),
            mistakes={
                "There is a ReLU after the addition; nothing belongs there.": lambda: variant(
                    last=True
                ),
                "The shortcut begins after the first batch norm and ReLU; it should take the "
                "maps as they came in.": lambda: variant(shortcut="active"),
                "The shortcut begins after the first batch norm; it should take the maps as they "
                "came in.": lambda: variant(shortcut="normed"),
                "There is a ReLU on the shortcut; none belongs there.": lambda: variant(
                    shortcut="relu"
                ),
                "The shortcut is missing.": lambda: variant(shortcut=""),
                "The shortcut is missing, and a ReLU is at the end.": lambda: variant(
                    shortcut="", last=True
                ),
                "The first ReLU is missing.": lambda: variant(relus=(False, True)),
                "The second ReLU is missing.": lambda: variant(relus=(True, False)),
                "Both ReLUs are missing.": lambda: variant(relus=(False, False)),
                "This is the block of the first paper: convolution, then norm. Here norm and ReLU "
                "come first.": lambda: old("relu(z + s)"),
                "Norm and ReLU come after the convolutions; they should come before them.": (
                    lambda: old("z + s")
                ),
                "Norm and ReLU come after the convolutions; both should come before them.": (
                    lambda: old("relu(z) + s")
                ),
                "ReLU comes before batch norm; norm comes first.": lambda c=channels: _Joined(
                    nn.Sequential(
                        *(nn.ReLU(), nn.BatchNorm2d(c), _conv(c, c, 3)),
                        *(nn.ReLU(), nn.BatchNorm2d(c), _conv(c, c, 3)),
                    ),
                    how="z + s",
                ),
            },
        )
    return "The way from block to block is free."


# --- resnet.7: a block that changes nothing -------------------------------------------------------


def _stage(channels: int, blocks: int = 2) -> nn.Sequential:
    """A stage as after training: nothing is zero or one."""
    stage = nn.Sequential()
    for number in range(1, blocks + 1):
        branch = basic_branch(channels, channels)
        with torch.no_grad():
            for norm in (branch.norm1, branch.norm2):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.normal_(0, 0.3)
                norm.running_mean.normal_(0, 0.2)
                norm.running_var.uniform_(0.5, 1.5)
        stage.add_module(f"block{number}", ResidualBlock(branch, nn.Identity()))
    return stage


def resnet_7(answer):
    if not callable(answer) or isinstance(answer, nn.Module | type):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    for channels, count in ((4, 2), (6, 1)):
        stage = _stage(channels, count).eval()
        before = copy.deepcopy(stage)
        longer = call(answer, stage, channels)
        if not isinstance(longer, nn.Module):
            missing = " Is the `return` missing?" if longer is None else ""
            raise Wrong(f"lengthen gives {describe(longer)}; a new stage is expected.{missing}")
        if len(stage) != count or longer is stage:
            raise Wrong(
                "The stage that lengthen is given has been changed; return a new `nn.Sequential` "
                "and leave it as it is."
            )
        if any(
            not torch.equal(a, b)
            for a, b in zip(before.state_dict().values(), stage.state_dict().values())
        ):
            raise Wrong("Weights of the stage that lengthen is given have been changed.")
        old = sum(1 for m in before.modules() if isinstance(m, nn.Conv2d))
        convs = [m for m in longer.modules() if isinstance(m, nn.Conv2d)]
        if len(convs) != old + 2:
            more = len(convs) - old
            raise Wrong(
                f"The new stage has {more} convolutions more than the old one; a residual block "
                "has two."
                + (" An `nn.Identity` has nothing that could learn." if more == 0 else "")
            )
        maps = torch.randn(5, channels, 6, 6).relu()
        for mode in ("eval", "train"):
            mine, right = copy.deepcopy(longer), copy.deepcopy(before)
            mine.train(mode == "train"), right.train(mode == "train")
            _the_same(call(mine, maps.clone()), right(maps.clone()), mine, mode, channels)
        negative = torch.randn(3, channels, 5, 5)
        with torch.no_grad():
            if not close(longer.eval()(negative), before(negative)):
                raise Wrong(
                    "For maps with negative values the new stage gives something else: does the "
                    "new block be in front? After the stage it sees only what a ReLU gave."
                )
        _can_learn(longer, convs[-2:], maps)
    return "The same outputs, with two convolutions more that can learn."


def _the_same(mine, right: Tensor, module: nn.Module, mode: str, channels: int) -> None:
    modes = {"eval": "evaluation", "train": "training"}
    if not isinstance(mine, Tensor) or mine.shape != right.shape:
        raise Wrong(
            f"The new stage gives {describe(mine)} where the old one gives {describe(right)}."
        )
    if torch.equal(mine, right):
        return
    text = f"In {modes[mode]} mode the outputs differ by up to {(mine - right).abs().max():.3g}."
    if not mine.any():
        raise Wrong(f"{text} Yours are all zero: does the new block have its shortcut?")
    last = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)][-1:]
    if last and last[0].weight.abs().min() > 0:
        text += (
            f" The last batch norm's weight is {describe(last[0].weight.detach().mean())}, not 0."
        )
    elif last and last[0].bias.abs().max() > 0:
        text += " The last batch norm's bias is not 0."
    raise Wrong(text)


def _can_learn(longer: nn.Module, convs: list[nn.Conv2d], maps: Tensor) -> None:
    """A few steps of SGD must move the new convolutions."""
    names = ("first", "second")
    start = [conv.weight.detach().clone() for conv in convs]
    optimizer = torch.optim.SGD(longer.parameters(), lr=0.1)
    target = torch.randn_like(maps)
    longer.train()
    for _ in range(4):
        loss = F.mse_loss(longer(maps), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    still = [name for name, conv, was in zip(names, convs, start) if torch.equal(conv.weight, was)]
    if still:
        which = " and the ".join(still)
        raise Wrong(
            f"After four steps of training the {which} convolution of the new block "
            f"{'have' if len(still) == 2 else 'has'} not moved: too much of the block is zero, or "
            "frozen. Only the very last weight should be zero."
        )


# --- resnet.8: taking blocks away -----------------------------------------------------------------

STAGES = ("stage1", "stage2", "stage3")


def _accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return (network(images).argmax(dim=1) == labels).double().mean().item()


def _removals(network: nn.Module, every: bool = False) -> list[tuple[str, str]]:
    return [
        (stage, name)
        for stage in STAGES
        for name, block in getattr(network.features, stage).named_children()
        if every or isinstance(block.shortcut, nn.Identity)
    ]


def _accuracy_without(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    keep_out: bool = False,
    train: bool = False,
    part: str = "block",
    value: Callable[[float, float], float] = lambda now, before: now,
) -> dict[str, float]:
    network = copy.deepcopy(network).train(train)
    before, found = _accuracy(network, images, labels), {}
    for stage, name in _removals(network):
        place = getattr(network.features, stage)
        block = getattr(place, name)
        if part == "block":
            setattr(place, name, nn.Identity())
        elif part == "shortcut":
            setattr(place, name, ResidualBlock(block.branch, None))
        elif part == "all":
            setattr(place, name, nn.Threshold(float("inf"), 0.0))
        now = _accuracy(network, images, labels)
        found[f"{stage}.{name}"] = value(now, before)
        if not keep_out:
            setattr(place, name, block)
    return found


def resnet_8(answer):
    if not callable(answer) or isinstance(answer, nn.Module | type):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    for name in ("resnet20", "resnet32"):
        network = _lively(name)
        images = torch.randn(60, 1, 12, 12)
        with torch.no_grad():
            labels = network(images).argmax(dim=1)
            labels[::6] = (labels[::6] + 1) % 10
        # Learners may find it in either mode.
        for training in (False, True):
            given = copy.deepcopy(network).train(training)
            _try_without(answer, given, network, images, labels)
    return "One at a time, in evaluation mode, and the network is whole again."


def _lively(name: str) -> nn.Module:
    """A network whose answers depend on every block."""
    network = build(name, in_channels=1, width=4).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2.0)
        network.train()
        network(torch.randn(100, 1, 12, 12))
        network.eval()
        network.classifier.linear.bias -= network(torch.randn(200, 1, 12, 12)).mean(dim=0)
    return network


def _try_without(answer, given, network, images: Tensor, labels: Tensor) -> None:
    training = given.training
    try:
        found = call(answer, given, images.clone(), labels.clone(), what="accuracy_without")
    except Wrong as error:
        if "channels" not in str(error):
            raise
        raise Wrong(
            f"{error} Is a block left out that changes the shape, such as stage2.block1? Leave out "
            "only blocks whose shortcut is an nn.Identity."
        ) from None
    right = _accuracy_without(network, images, labels)
    if not isinstance(found, Mapping):
        missing = " Is the `return` missing?" if found is None else ""
        raise Wrong(f"accuracy_without gives {describe(found)}; a dictionary is expected.{missing}")
    # The numbers first: what is wrong with them is often why the network is not as it was.
    _same_names(found, right, network)
    try:
        values = {key: float(value) for key, value in found.items()}
    except (TypeError, ValueError):
        odd = next(v for v in found.values() if not isinstance(v, int | float))
        raise Wrong(f"An accuracy should be a number; yours is {describe(odd)}.") from None
    mistakes = {
        "The network was in training mode; call `network.eval()` first.": {"train": True},
        "Blocks that were taken away stay away: each accuracy should be measured with this one "
        "block missing and no other.": {"keep_out": True},
        "This is the accuracy of the whole network each time: the block is still there.": {
            "part": "none"
        },
        "The shortcut is taken away and the branch kept; the whole block should go, so that what "
        "comes in goes on.": {"part": "shortcut"},
        "The block gives zero; what comes in should go on unchanged.": {"part": "all"},
        "This is the loss of accuracy; the accuracy itself is asked for.": {
            "value": lambda now, before: before - now
        },
        "This is the change of accuracy; the accuracy itself is asked for.": {
            "value": lambda now, before: now - before
        },
        "This is the error; the accuracy is asked for.": {"value": lambda now, before: 1 - now},
        "This is in percent; shares from 0 to 1 are expected.": {
            "value": lambda now, before: 100 * now
        },
        "These are numbers of images; divide by how many there are.": {
            "value": lambda now, before: len(labels) * now
        },
    }
    if not close(values, right, 1e-3):
        for message, options in mistakes.items():
            if close(values, _accuracy_without(network, images, labels, **options), 1e-3):
                raise Wrong(message)
        key = next(key for key in right if abs(values[key] - right[key]) > 1e-3)
        raise Wrong(
            f'"{key}": {values[key]:.3f}; without this block, and with all others, it is '
            f"{right[key]:.3f}."
        )
    names = [n for n, _ in given.named_modules()]
    if names != [n for n, _ in network.named_modules()] or any(
        not torch.equal(a, b)
        for a, b in zip(given.state_dict().values(), network.state_dict().values())
    ):
        raise Wrong(
            "The numbers are right, but the network is not as it was: put every block back, or "
            "work on a copy."
        )
    if any(module.training != training for module in given.modules()):
        before, after = ("training", "evaluation")[:: 1 if training else -1]
        raise Wrong(
            f"The numbers are right, but the network came in {before} mode and parts of it are now "
            f"in {after} mode: note `network.training` first, and go back to it at the end."
        )


def _same_names(found: Mapping, right: dict, network: nn.Module) -> None:
    if list(map(str, found)) and set(map(str, found)) == set(right):
        return
    every = {f"{stage}.{name}" for stage, name in _removals(network, every=True)}
    extra, missing = sorted(set(map(str, found)) - set(right)), sorted(set(right) - set(found))
    if set(extra) and set(extra) <= every:
        raise Wrong(
            f"{extra[0]} is among yours: its shortcut is not an identity, so it changes the shape "
            "and cannot be left out."
        )
    if not found:
        raise Wrong("The dictionary is empty.")
    text = f"There is no block called {extra[0]!r}. " if extra else ""
    text += f"{missing[0]!r} is missing." if missing else ""
    raise Wrong(f"{text} The keys should be such as 'stage1.block1'.")
