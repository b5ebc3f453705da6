"""Checks of chapter 08: residual networks."""

import copy
import itertools
from collections.abc import Callable, Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exercises import trace
from exercises.compare import (
    Unexplained,
    Wrong,
    call,
    close,
    combined,
    count_parameters,
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


FIRST, SECOND, BESIDE = 64 * 128, 128 * 128, 64 * 128  # channels in and out of the convolutions
WEIGHTS = {
    "first": {
        0: "The first convolution is missing.",
        SECOND: "The first convolution takes 64 channels, not 128.",
        64 * 64: "The first convolution gives 128 channels, not 64.",
    },
    "second": {
        0: "The second convolution is missing.",
        FIRST: "The second convolution takes 128 channels, not 64.",
    },
    "beside": {
        0: "The shortcut's 1×1 convolution is missing.",
        9 * BESIDE: "The shortcut's convolution is 1×1, not 3×3.",
        128 * 128: "The shortcut's convolution takes 64 channels, not 128.",
    },
    "kernel": {
        1: "A 3×3 kernel has 9 weights for each pair of channels, not 1.",
        3: "A 3×3 kernel has 3 · 3 = 9 weights, not 3.",
    },
}


def _parameters(first=FIRST, second=SECOND, beside=BESIDE, kernel=9, norms=768, biases=0) -> int:
    return kernel * (first + second) + beside + norms + biases


def _macs(
    first=FIRST,
    second=SECOND,
    beside=BESIDE,
    kernel=9,
    first_at=1,
    beside_at=1,
    positions=28 * 28,
    norms=0,
) -> int:
    branch = kernel * (first * first_at + second)
    return (branch + beside * beside_at) * positions + norms


def _option_b(first=16 * 32, second=32 * 64, norms=192, kernel=1, biases=0, times=1) -> int:
    return times * (kernel * (first + second) + norms + biases)


def _slips_of_products(count: Callable[..., int], **no_norms: int) -> dict[float, str]:
    """Two slips that are in every convolution, with and without the shortcut and batch norms."""
    texts = {
        (192, 256, 192): "The channels in and out of a convolution are multiplied, not added.",
        (64, 128, 64): "The 128 output channels are missing: each has kernels of its own.",
    }
    return {
        count(first, second, third, **options): text
        for (first, second, beside), text in texts.items()
        for third in (beside, 0)
        for options in ({}, no_norms)
    }


def resnet_1(answer):
    with_stride = "has stride 2: it computes 28 · 28 positions, not 56 · 56."
    common = {
        "parameters": combined(
            _parameters,
            norms={
                0: "The three batch norms are missing; each has 2 · 128 parameters.",
                512: "There are three batch norms; the shortcut has one too.",
                256: "This has room for one batch norm; there are three of 2 · 128 parameters.",
                384: "A batch norm has a weight and a bias for each channel: 2 · 128. (Or did you "
                "count biases of convolutions, and no batch norms?)",
                640: "All three batch norms have 128 channels: they are after the convolutions.",
                896: "There are three batch norms, not four (and none of 64 channels).",
                1024: "There are three batch norms, not four.",
                1536: "Running means and variances are no parameters: they are not trained.",
            },
            biases={
                384: "The convolutions have no biases here.",
                256: "The convolutions of the branch have no biases here.",
                128: "The shortcut's convolution has no bias here.",
            },
            **WEIGHTS,
        )
        | _slips_of_products(_parameters, norms=0)
        | {
            _parameters(beside=4 * BESIDE): "The shortcut's convolution is 1×1; its stride adds "
            "no weights.",
            **{
                _parameters(first=64 * 64, second=FIRST, norms=norms): "The first convolution "
                "changes the channels, 64 to 128; the second one keeps 128."
                for norms in (640, 768, 512, 0)
            },
            _parameters(second=0, beside=0, norms=256): "This is the first convolution with its "
            "batch norm alone; the second one and the shortcut are missing.",
        },
        "macs": combined(
            _macs,
            first_at={4: f"The first convolution {with_stride}"},
            beside_at={4: f"The shortcut {with_stride}"},
            positions={
                56 * 56: "The outputs have 28 · 28 positions; the stride skips the others.",
                1: "This is the number of weights; each is used at every position of the output.",
                28: "The output has 28 · 28 positions, not 28.",
                14 * 14: "The output has 28 · 28 positions, not 14 · 14: only one stride is 2.",
                27 * 27: "With padding 1 the output has 28 · 28 positions, not 27 · 27.",
            },
            norms={
                norms: "Only the MACs of the convolutions count, not those of the batch norms."
                for norms in (384, 768, 384 * 784, 768 * 784)
            }
            | {128 * 784: "The addition of the shortcut multiplies nothing: it is no MAC."},
            **WEIGHTS,
        )
        | _slips_of_products(_macs)
        | {
            # Two mistakes that give the same number.
            _macs(first=64 * 64, second=FIRST): "Either the second convolution has stride 2 here; "
            "it has stride 1 and computes 28 · 28 positions, not 14 · 14. Or it changes the "
            "channels here; the first one does, from 64 to 128."
        },
        "blocks": {
            9: "This is n, the blocks of one stage; there are three stages.",
            54: "This is the number of convolutions in the blocks; each block has two.",
            55: "This counts layers, not blocks; each block has two layers.",
            56: "This is the number of layers.",
            28: "56 / 2 counts the first convolution and the linear layer as a block.",
            18: "There are three stages of n = 9 blocks, not two.",
            36: "There are three stages of n = 9 blocks, not four.",
            25: "No block is left out: 3 stages of n = 9 blocks.",
            30: "n is (56 - 2) / 6 = 9, not 10.",
            24: "n is (56 - 2) / 6 = 9, not 8.",
            26: "54 of the 56 layers are in blocks, two in each.",
            **dict.fromkeys((56 / 6, 9.33, 9.3), "Take 2 from 56 before you divide by 6."),
        },
        "option_b": combined(
            _option_b,
            first={0: "The shortcut from 16 to 32 channels is missing."}
            | {16 * 16: "The first of the two shortcuts goes from 16 to 32 channels."},
            second={0: "The shortcut from 32 to 64 channels is missing."}
            | {64 * 64: "The second of the two shortcuts goes from 32 to 64 channels."},
            norms={
                0: "Each of the two shortcuts has a batch norm as well.",
                96: "A batch norm has a weight and a bias for each channel.",
                64: "The second of the two shortcuts has a batch norm as well.",
                128: "The first of the two shortcuts has a batch norm as well.",
                384: "Running means and variances are no parameters.",
            },
            biases={
                96: "The convolutions have no biases.",
                16 * 16 + 32: "The first stage keeps the shape, so it needs no projection.",
                3 * 16 + 32: "The first convolution has no shortcut.",
            },
            kernel={
                9: "The shortcuts' convolutions are 1×1, not 3×3.",
                4: "The shortcuts' convolutions are 1×1; their stride adds no weights.",
            },
            times={
                3: "Each of the two shortcuts is there once, not in every one of the three blocks.",
                2: "This is twice the right number: each of the two shortcuts counts once.",
            },
        )
        | {
            576: "This is the first of the two shortcuts alone; 32 to 64 channels is missing.",
            2176: "This is the second of the two shortcuts alone; 16 to 32 channels is missing.",
            192: "These are the batch norms; the 1×1 convolutions are missing.",
            **dict.fromkeys((144, 336), "Channels in and out are multiplied, not added."),
            13_824: "These are 3×3 convolutions of the branch; the shortcut's are 1×1.",
            8_448: "This is the shortcut of the block above; ResNet-20 has 16, 32, 64 channels.",
            272_474: "This is the whole network with option B; how many more than with option A?",
            269_722: "This is the whole network with option A; how many more has option B?",
            41_728: "These are the channels of ResNet-18 (64, 128, 256); ResNet-20 has 16, 32, 64.",
            40_960: "These are the channels of ResNet-18 (64, 128, 256), and the batch norms are "
            "missing; ResNet-20 has 16, 32, 64.",
            -2752: "The sign is wrong: option B has more.",
            14_240: "This is option C: a projection in every block.",
        },
    }
    right = {"parameters": _parameters(), "macs": _macs(), "option_b": _option_b(), "blocks": 27}
    order = ("parameters", "macs", "blocks", "option_b")
    expect_numbers(answer, {key: right[key] for key in order}, common, macs=["macs"])
    share = (BESIDE + 256) / right["parameters"]
    return (
        f"The shortcut has {BESIDE + 256:,} of the {right['parameters']:,} parameters: {share:.1%}."
    )


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
        "relu(2 (z + s))": lambda z, s: (2 * (z + s)).relu(),
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

    def __init__(self, *layers: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.norm = nn.Sequential(*layers[:-1]), layers[-1]
        self.shortcut = shortcut or nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return self.norm(self.branch(maps) + self.shortcut(maps)).relu()


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
    "One ReLU too many: the branch should end in its batch norm, before the addition.": (
        "relu(relu(z) + s)"
    ),
    "There are ReLUs on both sides before the addition; one after it is right.": (
        "relu(z) + relu(s)"
    ),
    "The shortcut has a ReLU of its own; the only ReLU outside the branch is after the addition.": (
        "relu(z + relu(s))"
    ),
    "The ReLU is on the shortcut; it should come after the addition.": "z + relu(s)",
    "The shortcut is subtracted; it is added.": "relu(z - s)",
    "The shortcut is multiplied with the branch; it is added.": "relu(z * s)",
    "The output is the shortcut alone: the branch is computed and not used.": "relu(s)",
    "The sum is divided by two; it is just a sum.": "relu((z + s) / 2)",
    "The sum is multiplied by two; it is just a sum.": "relu(2 (z + s))",
    "The branch is added to itself, not to the block's input.": "relu(2 z)",
}


def _made(answer: Callable, *arguments: int) -> nn.Module:
    """The learner's block; lazy layers have their weights, so that they can be counted."""
    block = make(answer, *arguments)
    if any(map(nn.parameter.is_lazy, block.parameters())):
        with trace.unwatched(), torch.no_grad():
            call(block.eval(), torch.randn(2, arguments[0], 8, 6))
        block.train()
    return block


def _ones(block: nn.Module, stride: int) -> list[nn.Conv2d]:
    """The block's 1×1 convolutions; in a block of stride 1 none of them may have stride 2."""
    ones = [m for m in block.modules() if getattr(m, "kernel_size", 0) == (1, 1)]
    if stride == 1 and any(m.stride == (2, 2) for m in ones):
        raise Wrong("The shortcut's stride is always 2; it should be the argument `stride`.")
    return ones


def _seen(block: nn.Module, inside: int) -> tuple[dict[nn.Module, int], str]:
    """The channels that each layer is given in a call, and the message if the call failed."""
    channels: dict[nn.Module, int] = {}

    def look(layer: nn.Module, given: tuple) -> None:
        channels.setdefault(layer, given[0].shape[1])

    layers = [m for m in block.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    message = ""
    try:
        with trace.unwatched(), torch.no_grad():
            call(block.eval(), torch.randn(2, inside, 6, 12))
    except Wrong as error:
        message = str(error)
    finally:
        for hook in hooks:
            hook.remove()
        block.train()
    return channels, message


def _expect_shortcut_used(block: nn.Module, inside: int, outside: int) -> None:
    """A shortcut that changes the shape runs from `inside` to `outside` channels, and is called."""
    ones = [m for m in block.modules() if getattr(m, "kernel_size", 0) == (1, 1)]
    ways = {(m.in_channels, m.out_channels): m for m in ones}
    if (inside, outside) not in ways:
        if (outside, inside) in ways:
            raise Wrong(
                f"The shortcut's 1×1 convolution takes {outside} channels and gives {inside}; it "
                f"should take {inside} and give {outside}."
            )
        if (outside, outside) in ways:
            raise Wrong(
                f"The shortcut's 1×1 convolution takes {outside} channels, so it cannot begin at "
                f"the block's input: that has {inside}. Give it the input, and the stride."
            )
        return
    channels, message = _seen(block, inside)
    if ways[inside, outside] in channels:
        return
    if "size of tensor" in message:
        raise Wrong(
            "The shortcut's 1×1 convolution is made and never called: `forward` adds the block's "
            "input itself, which has another shape. Add what the shortcut makes of it."
        )
    if not message and not _is_needed(block, inside, ways[inside, outside].weight):
        raise Wrong(
            "The shortcut is missing in `forward`: its 1×1 convolution is made and never called. "
            "Add what it makes of the block's input."
        )


def _is_needed(block: nn.Module, inside: int, weight: Tensor) -> bool:
    """Whether the output depends on a weight, also where no layer is called with it."""
    with trace.unwatched(), torch.enable_grad():
        out = call(block, torch.randn(2, inside, 6, 12))
        if not isinstance(out, Tensor) or not out.requires_grad:
            return True  # another mistake, which the comparison names
        return torch.autograd.grad(out.sum(), weight, allow_unused=True)[0] is not None


def _expect_no_bottleneck(block: nn.Module) -> None:
    sizes = [m.kernel_size for m in block.modules() if isinstance(m, nn.Conv2d)]
    if sizes == [(1, 1), (3, 3), (1, 1)]:
        raise Wrong(
            "This is a bottleneck: 1×1, 3×3, 1×1 convolution. Here the branch has two 3×3 "
            "convolutions."
        )


class _Calls(TorchFunctionMode):
    """The names of the functions that `forward` calls."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.names.add(getattr(function, "__name__", ""))
        return function(*args, **(kwargs or {}))


def _expect_no_limit(block: nn.Module, inside: int) -> None:
    """Large values must pass: those of the other inputs may all be below a limit, such as 6."""
    try:
        with trace.unwatched(), torch.no_grad(), _Calls() as calls:
            given = call(copy.deepcopy(block).eval(), 100 * torch.rand(2, inside, 6, 6))
    except Wrong:
        return  # the comparison says why
    if {"relu6", "hardtanh"} & calls.names or (
        isinstance(given, Tensor) and given.numel() and abs(given.max().item() - 6) < 1e-4
    ):
        raise Wrong("Values are cut at 6, as by a ReLU6. Use a plain ReLU.")


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


# --- resnet.2: the block --------------------------------------------------------------------------


def resnet_2(answer):
    for channels in (4, 6):

        def joined(how: str = "relu(z + s)", channels=channels) -> nn.Module:
            return _Joined(nn.Sequential(*_basic(channels, channels)), how=how)

        def before(how: str, channels=channels) -> nn.Module:
            conv1, norm1, relu, conv2, norm2 = _basic(channels, channels)
            return _Joined(nn.Sequential(norm1, relu, conv1, norm2, nn.ReLU(), conv2), how=how)

        block = _made(answer, channels)
        _expect_no_bottleneck(block)
        _expect_no_limit(block, channels)
        same_outputs(
            block,
            joined(),
            (3, channels, 8, 8),
            (2, channels, 7, 5),
            mistakes={
                **{message: lambda how=how: joined(how) for message, how in JOINS.items()},
                "The shortcut begins after the first ReLU; it should begin at the input.": (
                    lambda channels=channels: _FromFirst(*_basic(channels, channels))
                ),
                "The second batch norm comes after the addition; it should come before it.": (
                    lambda channels=channels: _NormLast(*_basic(channels, channels))
                ),
                **{
                    "Norm and ReLU come before the convolutions. That is the pre-activation "
                    f"block{more}; here each convolution comes first.": lambda how=how: before(how)
                    for more, how in (("", "z + s"), (" (with a ReLU at the end)", "relu(z + s)"))
                },
            },
        )
    return "Outputs and gradients agree in both modes, and the shortcut is there."


# --- resnet.3: repair -----------------------------------------------------------------------------


def _down_mistakes(inside: int, outside: int, stride: int) -> dict[str, Callable]:
    """Blocks with a mistake in joining, in the norms, or in how the shortcut skips pixels."""

    def joined(how: str = "relu(z + s)", shortcut=None, leave_out: tuple = ()) -> nn.Module:
        branch = nn.Sequential(*_basic(inside, outside, stride, leave_out))
        return _Joined(branch, shortcut or _projection(inside, outside, stride), how)

    def shared() -> nn.Module:
        branch = nn.Sequential(*_basic(inside, outside, stride))
        return _Joined(branch, nn.Sequential(_conv(inside, outside, 1, stride), branch[4]))

    norms = {
        "The shortcut has no batch norm of its own.": (
            lambda how: joined(how, _conv(inside, outside, 1, stride))
        ),
        "The branch's last batch norm is missing; it should stay.": (
            lambda how: joined(how, leave_out=(4,))
        ),
        "The branch's first batch norm is missing; it should stay.": (
            lambda how: joined(how, leave_out=(1,))
        ),
    }
    return {
        **{message: lambda how=how: joined(how) for message, how in JOINS.items()},
        **{
            f"{text} {message}".strip(): lambda how=how, build=build: build(how)
            for message, how in ({"": "relu(z + s)"} | JOINS).items()
            if how in ("relu(z + s)", "z + s", "relu(z) + s", "relu(relu(z) + s)")  # as in the stub
            for text, build in norms.items()
        },
        "The shortcut uses the branch's batch norm; it needs a batch norm of its own.": shared,
        "One batch norm comes after the addition; branch and shortcut should end in one each.": (
            lambda: _NormLast(
                *_basic(inside, outside, stride), shortcut=_conv(inside, outside, 1, stride)
            )
        ),
        **_pooled_shortcuts(inside, outside, stride, lambda shortcut: joined(shortcut=shortcut)),
    }


def _pooled_shortcuts(
    inside: int, outside: int, stride: int, joined: Callable[[nn.Module], nn.Module]
) -> dict[str, Callable]:
    """Blocks whose shortcut has another layer in place of a convolution with the stride."""

    def halved(pool: Callable, after: bool) -> nn.Module:
        layers = [pool(stride, ceil_mode=True), *_projection(inside, outside)]
        return joined(nn.Sequential(*layers[1:], layers[0]) if after else nn.Sequential(*layers))

    return {
        **{
            f"The shortcut {verb} the pixels that the stride skips{where}; it should skip them.": (
                lambda pool=pool, where=where: halved(pool, bool(where))
            )
            for verb, pool in (
                ("averages", nn.AvgPool2d),
                ("takes the highest of", nn.MaxPool2d),
            )
            for where in ("", ", after its batch norm")
        },
        "The shortcut skips pixels after its batch norm, which has counted them all; the stride "
        "belongs to the 1×1 convolution.": (
            lambda: joined(nn.Sequential(*_projection(inside, outside), nn.MaxPool2d(1, stride)))
        ),
    }


def resnet_3(answer):
    for args in ((4, 6, 2), (3, 8, 1), (5, 5, 3)):
        right = _Joined(nn.Sequential(*_basic(*args)), _projection(*args))
        block, branch = _made(answer, *args), count_parameters(right.branch)
        beside = args[0] * args[1]
        ones = _ones(block, args[2])
        if count_parameters(block) == branch + beside and any(m.stride[0] != args[2] for m in ones):
            raise Wrong("The shortcut's 1×1 convolution needs the stride of the branch.")
        if args[0] != args[1] and count_parameters(block) == branch + beside + 2 * args[0]:
            given, _ = _seen(block, args[0])
            if any(
                isinstance(m, nn.BatchNorm2d) and channels == args[1] != m.num_features
                for m, channels in given.items()
            ):
                raise Wrong(
                    "The shortcut's batch norm comes after the convolution, so it needs "
                    "`out_channels`, not `in_channels`."
                )
        expect_parameters(
            block,
            count_parameters(right),
            {
                branch: "The shortcut has no parameters. Where the channels change, it has to "
                "change them too; option B has a 1×1 convolution and a batch norm everywhere.",
                branch + beside + 2 * args[0]: (
                    "The shortcut's batch norm has the channels of the input; it should be after "
                    "the convolution."
                ),
                branch + beside + args[1]: (
                    "The shortcut has a bias in place of a batch norm, which has weight and bias."
                ),
            },
        )
        if args[0] != args[1]:
            _expect_shortcut_used(block, *args[:2])
        # Sizes that the stride divides come first: a pooling may not fit the others.
        for shapes in (((3, args[0], 6, 12),), ((3, args[0], 9, 12), (2, args[0], 6, 6))):
            same_outputs(block, right, *shapes, mistakes=_down_mistakes(*args))
    _expect_default_stride(answer, 4, 6, stride=2)
    return "All three are mended: stride and batch norm in the shortcut, ReLU after the addition."


# --- resnet.4: option A ---------------------------------------------------------------------------


def _zero_pad(maps: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    missing = out_channels - maps.shape[1]
    return F.pad(maps[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, missing))


def _kept_ways(maps: Tensor, stride: int) -> dict[str, Callable[[], Tensor]]:
    """What is made of rows and columns, the right way first."""
    height, width = maps.shape[2:]
    up = {"size": (-(-height // stride), -(-width // stride))}
    odd = "Where height or width is odd, the last row or column gets lost: it is kept too."
    few = maps[:, :, : height // stride * stride, : width // stride * stride]
    return {
        "": lambda: maps[:, :, ::stride, ::stride],
        odd: lambda: few[:, :, ::stride, ::stride],
        "Squares of pixels are averaged; one pixel of each should be kept as it is.": (
            lambda: F.avg_pool2d(maps, stride, ceil_mode=True)
        ),
        "This is average pooling; every `stride`-th pixel should be kept as it is.": (
            lambda: F.avg_pool2d(maps, stride)
        ),
        "This is max pooling; every `stride`-th pixel should be kept as it is.": (
            lambda: F.max_pool2d(maps, stride, ceil_mode=True)
        ),
        "The highest pixel is kept (max pooling); the first one should be.": (
            lambda: F.max_pool2d(maps, stride)
        ),
        **{
            f"The maps are resized (interpolated, {mode}), which makes means of neighbours; every "
            "`stride`-th pixel should be kept as it is.": lambda mode=mode: F.interpolate(
                maps, scale_factor=1 / stride, mode=mode
            )
            for mode in ("bilinear", "bicubic", "area")
        },
        "The maps are resized (`F.interpolate`), which loses the last row or column where their "
        "number is odd.": lambda: F.interpolate(maps, scale_factor=1 / stride),
        "The maps are resized (interpolated, bilinear); every `stride`-th pixel should be kept as "
        "it is.": lambda: F.interpolate(maps, mode="bilinear", **up),
        "The stride counts from the second row and column; begin with the first.": (
            lambda: maps[:, :, min(1, stride - 1) :: stride, 1 % stride :: stride]
        ),
        "The stride counts from the second row and column, with index 1; begin with the first, "
        "with index 0.": lambda: maps[:, :, 1::stride, 1::stride],
        "The stride counts from the last of each group of rows and columns; begin with the "
        "first.": lambda: maps[:, :, stride - 1 :: stride, stride - 1 :: stride],
        "The stride skips images too; only rows and columns should be skipped.": (
            lambda: maps[::stride, :, ::stride, ::stride]
        ),
        "The stride skips rows only; columns too should be skipped.": (
            lambda: maps[:, :, ::stride]
        ),
        "The stride skips columns only; rows too should be skipped.": (
            lambda: maps[:, :, :, ::stride]
        ),
        "The stride skips channels and rows; it should skip rows and columns, "
        "`maps[:, :, ::stride, ::stride]`.": lambda: maps[:, ::stride, ::stride],
        "The stride skips channels too; only rows and columns should be skipped.": (
            lambda: maps[:, ::stride, ::stride, ::stride]
        ),
        "The other pixels are set to zero and stay; their rows and columns should be skipped.": (
            lambda: maps * _grid(maps, stride)
        ),
        "No row or column is skipped: the stride is missing.": lambda: maps,
        "The corner of the maps is cut out; rows and columns should be skipped.": (
            lambda: maps[:, :, : up["size"][0], : up["size"][1]]
        ),
        "The corner of the maps is cut out; rows and columns should be skipped, wherever they "
        "are.": lambda: maps[:, :, : height // stride, : width // stride],
        "The argument `stride` is not used: it is always 2.": lambda: maps[:, :, ::2, ::2],
    }


def _grid(maps: Tensor, stride: int) -> Tensor:
    """One where a pixel is kept, zero elsewhere."""
    grid = torch.zeros_like(maps)
    grid[:, :, ::stride, ::stride] = 1
    return grid


def _filled_ways(few: Tensor, total: int) -> dict[str, Callable[[], Tensor]]:
    """What is made of the channels, the right way first."""
    channels = few.shape[1]
    missing = total - channels
    half = missing // 2

    def padded(before: int, after: int, **options: float) -> Callable[[], Tensor]:
        return lambda: F.pad(few, (0, 0, 0, 0, before, after), **options)

    both = "The zeros are on both sides of the channels; all should be after them"
    return {
        "": padded(0, missing),
        "The zeros are before the channels; they should be after them.": padded(missing, 0),
        f"{both}.": padded(half, missing - half),
        f"{both} (more are in front).": padded(missing - half, half),
        f"{both}, and an odd number of them is rounded down.": padded(half, half),
        "The channels are repeated; the new ones should be zero.": (
            lambda: torch.cat([few] * total, dim=1)[:, :total]
        ),
        "Each channel is repeated; the new ones should be zero, after all the others.": (
            lambda: few.repeat_interleave(-(-total // channels), dim=1)[:, :total]
        ),
        "The new channels are filled with ones; they should be zero.": padded(0, missing, value=1),
        "The channels of zeros are missing.": lambda: few,
        "The zeros are joined along the axis of the images (`dim=0`), not of the channels.": (
            lambda: torch.cat([few, torch.zeros_like(few)])
        ),
        "`out_channels` channels of zeros are added; only those that are missing should be.": (
            padded(0, total)
        ),
        "As many channels of zeros are added as there are channels; it should be as many as are "
        "missing up to `out_channels`.": padded(0, channels),
        "The zeros are put around the pixels: `F.pad` counts axes from the last one.": (
            lambda: F.pad(few, (0, missing))
        ),
        "The zeros are put under the pixels: `F.pad` counts axes from the last one.": (
            lambda: F.pad(few, (0, 0, 0, missing))
        ),
    }


def _padded(kept: str, filled: str) -> Callable:
    def zero_pad(maps: Tensor, out_channels: int, stride: int = 2) -> Tensor:
        few = _kept_ways(maps, stride)[kept]()
        return _filled_ways(few, out_channels)[filled]()

    return zero_pad


def _with_zeros_of(size: Callable[[int, int], int]) -> Callable:
    """Zeros of a height and width of their own; `size` gets the side of the maps and the stride."""

    def zero_pad(maps: Tensor, out_channels: int, stride: int = 2) -> Tensor:
        images, channels, *sides = maps.shape
        zeros = maps.new_zeros(images, out_channels - channels, *(size(n, stride) for n in sides))
        return torch.cat([maps[:, :, ::stride, ::stride], zeros], dim=1)

    return zero_pad


def _stride_only_with_zeros(maps: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return maps if maps.shape[1] == out_channels else _zero_pad(maps, out_channels, stride)


OTHER_PADS = {
    "The zeros have the height and width of `maps`; give them those that are left after the "
    "stride.": _with_zeros_of(lambda side, stride: side),
    "The height and width of the zeros are rounded down, those of the maps that are kept are "
    "rounded up.": _with_zeros_of(lambda side, stride: side // stride),
    "With stride 1 `maps` comes back as it is; the channels of zeros are missing there.": (
        lambda maps, out_channels, stride=2: (
            maps if stride == 1 else _zero_pad(maps, out_channels, stride)
        )
    ),
    "Where no channel is missing, `maps` comes back whole; its rows and columns should be skipped "
    "there too.": _stride_only_with_zeros,
}


def resnet_4(answer):
    cases = (
        (torch.randn(2, 3, 8, 8), 6),
        (torch.randn(1, 4, 7, 5), 9, 2),
        (torch.randn(2, 2, 9, 10), 5, 3),
        (torch.randn(2, 3, 4, 6), 5, 1),
        (torch.randn(2, 4, 6, 6), 4, 2),
        (torch.randn(1, 2, 4, 4).half(), 3),
    )

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

    maps = torch.zeros(1, 1, 4, 4)
    ways = itertools.product(_kept_ways(maps, 2), _filled_ways(maps, 1))
    ways = sorted(ways, key=lambda way: bool(way[0]) + bool(way[1]))[1:]
    same_results(
        answer,
        _padded("", ""),
        *cases,
        mistakes=OTHER_PADS
        | {f"{kept} {filled}".strip(): _padded(kept, filled) for kept, filled in ways},
        explain=explain,
        layer=True,
    )
    return "No parameters, and the gradient passes."


# --- resnet.5: the bottleneck ---------------------------------------------------------------------


def _bottleneck(
    inside: int, width: int, stride: int, *, strides: tuple | None = None
) -> nn.Sequential:
    first, second, third = strides or (1, stride, 1)
    return nn.Sequential(
        *(_conv(inside, width, 1, first), nn.BatchNorm2d(width), nn.ReLU()),
        *(_conv(width, width, 3, second), nn.BatchNorm2d(width), nn.ReLU()),
        *(_conv(width, 4 * width, 1, third), nn.BatchNorm2d(4 * width)),
    )


def _bottleneck_before(inside: int, width: int, stride: int) -> nn.Sequential:
    """Norm and ReLU before each convolution."""
    return nn.Sequential(
        *(nn.BatchNorm2d(inside), nn.ReLU(), _conv(inside, width, 1)),
        *(nn.BatchNorm2d(width), nn.ReLU(), _conv(width, width, 3, stride)),
        *(nn.BatchNorm2d(width), nn.ReLU(), _conv(width, 4 * width, 1)),
    )


def resnet_5(answer):
    for args in ((7, 3, 2), (8, 2, 1), (5, 2, 1), (8, 2, 2)):
        inside, width, stride = args
        outside = 4 * width
        same = stride == 1 and inside == outside

        def joined(
            how="relu(z + s)", shortcut=None, args=args, same=same, branch=_bottleneck, **options
        ) -> nn.Module:
            inside, width, stride = args
            right = nn.Identity() if same else _projection(inside, 4 * width, stride)
            return _Joined(branch(*args, **options), shortcut or right, how)

        given = f"With in_channels={inside}, width={width}, stride={stride} the shape"
        compare = "Compare `in_channels` with `4 * width`, and look at the stride."
        one = count_parameters(_bottleneck(*args))
        beside = inside * outside + 2 * outside
        block, right = _made(answer, *args), joined()
        _ones(block, stride)
        expect_parameters(
            block,
            count_parameters(right),
            {
                one + beside: f"{given} stays, so the shortcut is the identity: no parameters. "
                f"{compare}"
            }
            if same
            else {
                one: f"{given} changes, so the shortcut cannot be the identity: it needs a 1×1 "
                f"convolution with the stride, and a batch norm. {compare}"
            },
        )
        mistakes = {
            f"Norm and ReLU come before each convolution (pre-activation){more}; here each "
            "convolution comes first.": lambda how=how: joined(how, branch=_bottleneck_before)
            for more, how in (("", "z + s"), (", with a ReLU at the end", "relu(z + s)"))
        }
        mistakes |= {
            "The stride is on the first 1×1 convolution (as in the paper); it should be on the "
            "3×3.": lambda s=stride: joined(strides=(s, 1, 1)),
            "The stride is on the last 1×1 convolution; it should be on the 3×3.": (
                lambda s=stride: joined(strides=(1, 1, s))
            ),
        }
        mistakes |= {message: lambda how=how: joined(how) for message, how in JOINS.items()}
        if not same:
            mistakes |= _pooled_shortcuts(
                inside, outside, stride, lambda shortcut: joined(shortcut=shortcut)
            )
        if inside != outside:
            _expect_shortcut_used(block, inside, outside)
        same_outputs(block, right, (3, inside, 8, 6), (2, inside, 7, 7), mistakes=mistakes)
    _expect_default_stride(answer, 8, 2, stride=1)
    return "It is torchvision's block, stride and all."


# --- resnet.6: pre-activation ---------------------------------------------------------------------


class _PreActivation(nn.Module):
    """Norm, ReLU, convolution, twice; the options are mistakes."""

    def __init__(self, channels: int, *, shortcut="maps", last=False, early=0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1, self.conv2 = _conv(channels, channels, 3), _conv(channels, channels, 3)
        self.shortcut, self.last, self.early = shortcut, last, early

    def forward(self, maps: Tensor) -> Tensor:
        normed = self.norm1(maps)
        active = normed.relu()
        branch = self.conv1(active)
        if self.early == 1:
            return self.conv2(self.norm2(branch + maps).relu())
        branch = self.norm2(branch).relu()
        if self.early == 2:
            return self.conv2(branch + maps)
        branch = self.conv2(branch)
        given = {"maps": maps, "normed": normed, "active": active, "relu": maps.relu(), "": 0}
        result = branch + given[self.shortcut]
        return result.relu() if self.last else result


def resnet_6(answer):
    for channels in (4, 6):

        def variant(channels=channels, **options) -> nn.Module:
            return _PreActivation(channels, **options)

        def old(how: str, channels=channels) -> nn.Module:
            return _Joined(nn.Sequential(*_basic(channels, channels)), how=how)

        came_in = "it should take the maps as they came in"
        after = "Norm and ReLU come after the convolutions; they should come before them"
        block = _made(answer, channels)
        _expect_no_bottleneck(block)
        same_outputs(
            block,
            variant(),
            (3, channels, 8, 8),
            (2, channels, 7, 5),
            mistakes={
                "There is a ReLU after the addition; nothing belongs there.": lambda: variant(
                    last=True
                ),
                f"The shortcut begins after the first batch norm and ReLU; {came_in}.": (
                    lambda: variant(shortcut="active")
                ),
                f"The shortcut begins after the first batch norm; {came_in}.": lambda: variant(
                    shortcut="normed"
                ),
                "There is a ReLU on the shortcut; none belongs there.": lambda: variant(
                    shortcut="relu"
                ),
                "The addition comes before the last convolution; it should be the last step.": (
                    lambda: variant(early=2)
                ),
                "The addition comes before the second batch norm; it should be the last step.": (
                    lambda: variant(early=1)
                ),
                "The shortcut is missing.": lambda: variant(shortcut=""),
                "The shortcut is missing, and a ReLU is at the end.": lambda: variant(
                    shortcut="", last=True
                ),
                "This is the block of the first paper: convolution, then norm. Here norm and ReLU "
                "come first.": lambda: old("relu(z + s)"),
                f"{after}.": lambda: old("z + s"),
                f"{after}, and nothing after the addition.": lambda: old("relu(z) + s"),
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
    for channels, count, training in ((4, 2, False), (6, 1, True)):
        before = _stage(channels, count).eval()
        stage = copy.deepcopy(before).train(training)
        longer = call(answer, stage, channels)
        if not isinstance(longer, nn.Sequential):
            missing = " Is the `return` missing?" if longer is None else ""
            raise Wrong(
                f"lengthen gives {describe(longer)}; a new `nn.Sequential` is expected.{missing}"
            )
        _left_as_it_is(stage, before, longer, training)
        old = sum(1 for m in before.modules() if isinstance(m, nn.Conv2d))
        convs = [m for m in longer.modules() if isinstance(m, nn.Conv2d)]
        if len(convs) != old + 2:
            raise Wrong(_other_convolutions(before, longer, len(convs) - old))
        maps = torch.randn(5, channels, 6, 6).relu()
        for mode in ("eval", "train"):
            mine, right = copy.deepcopy(longer), copy.deepcopy(before)
            mine.train(mode == "train"), right.train(mode == "train")
            _the_same(call(mine, maps.clone()), right(maps.clone()), mine, mode, before, maps)
        negative = torch.randn(3, channels, 5, 5)
        with torch.no_grad():
            if not close(longer.eval()(negative), before(negative)):
                raise Wrong(
                    "For maps with negative values the new stage gives something else: is the new "
                    "block in front? After the stage it sees only what a ReLU gave."
                )
        _can_learn(longer, convs[-2:], maps)
    return "The same outputs, with two convolutions more that can learn."


def _other_convolutions(before: nn.Sequential, longer: nn.Sequential, more: int) -> str:
    """Why the new stage has not two convolutions more than the old one."""
    if len(set(longer)) < len(list(longer)):
        return (
            "A block of the stage is in the new stage a second time, as the same object: they "
            "share their weights. A new block is needed."
        )
    blocks = len(longer) - len(before)
    if blocks == 0 and more == 0:
        return (
            "The new stage has as many blocks as the old one: a block was replaced or none was "
            "added. Keep all blocks of the stage, and add one."
        )
    if blocks > 1:
        return f"The new stage has {blocks} blocks more than the old one; one more is asked for."
    if any(m.kernel_size == (1, 1) for m in longer.modules() if isinstance(m, nn.Conv2d)):
        return (
            "The new block has a 1×1 convolution. The shape stays, so its shortcut is "
            "`nn.Identity()`."
        )
    text = f"The new stage has {more} convolutions more than the old one; a residual block has two."
    return text + (" An `nn.Identity` has nothing that could learn." if more == 0 else "")


def _left_as_it_is(
    stage: nn.Sequential, before: nn.Sequential, longer: nn.Module, training: bool
) -> None:
    """The stage that was given must be the same afterwards: blocks, weights, mode, gradients."""
    if len(stage) != len(before) or longer is stage:
        raise Wrong(
            "The stage that lengthen is given has been changed; return a new `nn.Sequential` and "
            "leave it as it is."
        )
    now = stage.state_dict()
    for name, value in before.state_dict().items():
        if not torch.equal(now[name], value):
            raise Wrong(
                f"Weights of the stage that lengthen is given have been changed: `{name}`. Change "
                "only the new block."
            )
    if not all(p.requires_grad for p in [*stage.parameters(), *longer.parameters()]):
        raise Wrong(
            "Parameters are frozen (`requires_grad` is False). The stage has to be left as it is, "
            "and the whole of the new one can be trained."
        )
    _in_its_mode(stage, training, "The stage that lengthen is given", "leave it as it is")


def _in_its_mode(given: nn.Module, training: bool, words: str, advice: str) -> None:
    if any(module.training != training for module in given.modules()):
        before, after = ("training", "evaluation")[:: 1 if training else -1]
        raise Wrong(
            f"{words} was in {before} mode, and parts of it are in {after} mode now: {advice}."
        )


def _the_same(
    mine, right: Tensor, module: nn.Module, mode: str, before: nn.Module, maps: Tensor
) -> None:
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
    kept = [[m.weight for m in s.modules() if isinstance(m, nn.Conv2d)] for s in (before, module)]
    if not all(any(torch.equal(a, b) for b in kept[1]) for a in kept[0]):
        raise Wrong(
            f"{text} The blocks of the stage are not in the new one as they were: the trained "
            "weights are lost. Take over the blocks themselves, `*stage`."
        )
    last = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)][-1:]
    if last and last[0].weight is not None and last[0].weight.abs().min() > 0:
        weight = last[0].weight.detach().mean()
        nn.init.zeros_(last[0].weight), nn.init.zeros_(last[0].bias)  # of a copy
        with torch.no_grad():
            if not module(maps).any():
                raise Wrong(
                    f"{text} With zeros in its last batch norm the new block gives only zeros: it "
                    "has no shortcut. Use `nn.Identity()`, not `None`."
                )
        text += f" The last batch norm's weight is {describe(weight)}, not 0."
    elif last and last[0].bias is not None and last[0].bias.abs().max() > 0:
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

_TAKE, _BACK = "setattr(stage, name, nn.Identity())", "setattr(stage, name, block)"
_SHARE, _RIGHT = "right.float().mean().item()", "network(images).argmax(dim=1) == labels"
_NO_WEIGHT = "norm = block.branch.norm2; kept = norm.weight.data; norm.weight.data = 0 * kept"
_REST = (
    "rest = list(stage.named_children()); rest = rest[[n for n, _ in rest].index(name):]; "
    "[setattr(stage, n, nn.Identity()) for n, _ in rest]"
)
_WHOLE = ("network.eval()", f"network.eval(); whole = ({_RIGHT}).float().mean().item()")
SLIPS = {
    "resnet.8": {
        "The network was in training mode; call `network.eval()` first.": (
            *("network.eval()", "network.train()"),
        ),
        "The network is measured in the mode in which it comes, which may be training mode; call "
        "`network.eval()` first.": ("network.eval()", "pass"),
        "Blocks that were taken away stay away: each accuracy should be measured with this one "
        "block missing and no other.": (_BACK, "pass"),
        "This is the accuracy of the whole network each time: the block is still there.": (
            *(_TAKE, "pass"),
        ),
        "The shortcut is taken away and the branch kept; the whole block should go, so that what "
        "comes in goes on.": (
            *(_TAKE, "block.shortcut = None", _BACK, "block.shortcut = nn.Identity()"),
        ),
        "The shortcut is taken away and only the branch is kept; the whole block should go, so "
        "that what comes in goes on.": (_TAKE, "setattr(stage, name, block.branch)"),
        "Only the branch's last batch norm is changed, and its bias is still added; the whole "
        "block should go.": (
            *(_TAKE, _NO_WEIGHT),
            *(_BACK, "norm.weight.data = kept"),
        ),
        "This block and all blocks after it in its stage are missing; only this one should be.": (
            *(_TAKE, _REST),
            *(_BACK, "[setattr(stage, n, b) for n, b in rest]"),
        ),
        "This is the loss (cross-entropy); the accuracy is asked for.": (
            *(_RIGHT, "nn.functional.cross_entropy(network(images), labels)"),
            *(_SHARE, "right.item()"),
        ),
        "The branch gives what comes in and the shortcut is still there, so that the maps are "
        "doubled; the whole block should go.": (
            *(
                _TAKE,
                "old, block.branch = block.branch, nn.Identity()",
                _BACK,
                "block.branch = old",
            ),
        ),
        "The block gives zero; what comes in should go on unchanged.": (
            *(_TAKE, "setattr(stage, name, nn.Threshold(float('inf'), 0.0))"),
        ),
        "This is the loss of accuracy; the accuracy itself is asked for.": (
            *_WHOLE,
            *(_SHARE, f"whole - {_SHARE}"),
        ),
        "This is the change of accuracy; the accuracy itself is asked for.": (
            *_WHOLE,
            *(_SHARE, f"{_SHARE} - whole"),
        ),
        "The accuracy is divided by that of the whole network; the accuracy itself is asked for.": (
            *_WHOLE,
            *(_SHARE, f"{_SHARE} / whole"),
        ),
        "This is the error; the accuracy is asked for.": ("== labels", "!= labels"),
        "This is in percent; shares from 0 to 1 are expected.": (_SHARE, f"100 * {_SHARE}"),
        "These are numbers of images; divide by how many there are.": (
            _SHARE,
            "right.sum().item()",
        ),
        "This is the mean probability (softmax) of the right class; the accuracy, the share of "
        "right answers, is asked for.": (
            *(_RIGHT, "network(images).softmax(dim=1)[range(len(labels)), labels]"),
        ),
        "An image counts as right if its class is among the two largest logits; only the largest "
        "one counts.": (
            *(_RIGHT, "(network(images).topk(2).indices == labels[:, None]).any(dim=1)"),
        ),
        "The order of the blocks has changed: a block that is deleted (`delattr`) and put back "
        "comes last, behind the others. Put `nn.Identity()` in its place, with `setattr`.": (
            *(_TAKE, "delattr(stage, name)"),
        ),
    }
}


def resnet_8(answer, reference):
    if not callable(answer) or isinstance(answer, nn.Module | type):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    for name in ("resnet20", "resnet32"):
        network, images, labels = _lively(name)
        # Learners may find it in either mode.
        for training in (False, True):
            given = copy.deepcopy(network).train(training)
            _try_without(answer, reference, given, network, images, labels)
    return "One at a time, in evaluation mode, and the network is whole again."


@cache
def _lively(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A network whose answers depend on every block, with images and labels."""
    network = build(name, in_channels=1, width=4).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2.0)
        network.train()
        network(torch.randn(100, 1, 8, 8))
        network.eval()
        network.classifier.linear.bias -= network(torch.randn(200, 1, 8, 8)).mean(dim=0)
        images = torch.randn(140, 1, 8, 8)  # more than one takes for a quick look
        labels = network(images).argmax(dim=1)
        labels[::6] = (labels[::6] + 1) % 10
    return network, images, labels


def _try_without(answer, reference, given, network, images: Tensor, labels: Tensor) -> None:
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
    right = reference(network, images, labels)
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
    if not close(values, right, 1e-6):
        for places in (1, 2, 3, 4):
            if close(values, {k: round(v, places) for k, v in right.items()}, 1e-6):
                raise Wrong(f"The accuracies are rounded to {places} places; they should not be.")
        key = next(key for key in right if abs(values[key] - right[key]) > 1e-6)
        if count := _first_images(network, images, labels, values):
            raise Wrong(
                f"Only the first {count} images are used; take all of them ({len(images)} here)."
            )
        with trace.unwatched():
            again = call(answer, copy.deepcopy(network).train(training), images, labels)
        if {name: float(value) for name, value in again.items()} != values:
            raise Wrong(
                f'"{key}": {values[key]:.3f}, and {float(again[key]):.3f} in a second try. '
                "Something random is in the network, such as a new block with random weights. Put "
                "`nn.Identity()` in the place of the block."
            )
        raise Unexplained(
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
    _in_its_mode(
        given,
        training,
        "The numbers are right, but the network",
        "note `network.training` first, and go back to it at the end",
    )
    if not all(parameter.requires_grad for parameter in given.parameters()):
        raise Wrong(
            "The numbers are right, but parameters of the network are frozen now (`requires_grad` "
            "is False), so that it can learn no more: use `torch.no_grad()` for the measuring."
        )


def _first_images(network: nn.Module, images: Tensor, labels: Tensor, values: dict) -> int:
    """How many images were used, if an answer measured only the first ones; or 0."""
    right, network = {}, copy.deepcopy(network)
    for key in values:
        stage, name = key.split(".")
        stage = getattr(network.features, stage)
        block = getattr(stage, name)
        setattr(stage, name, nn.Identity())
        with torch.no_grad():
            right[key] = (network(images).argmax(dim=1) == labels).double()
        setattr(stage, name, block)
    for count in range(1, len(images)):
        if close(values, {key: r[:count].mean().item() for key, r in right.items()}, 1e-6):
            return count
    return 0


def _same_names(found: Mapping, right: dict, network: nn.Module) -> None:
    if list(map(str, found)) and set(map(str, found)) == set(right):
        return
    every = {name for name, block in network.features.named_modules() if hasattr(block, "shortcut")}
    extra, missing = sorted(set(map(str, found)) - set(right)), sorted(set(right) - set(found))
    if set(extra) and set(extra) <= every:
        raise Wrong(
            f"{extra[0]} is among yours: its shortcut is not an identity, so it changes the shape "
            "and cannot be left out."
        )
    if not found:
        raise Wrong("The dictionary is empty.")
    text = f"There is no block called {extra[0]!r}. " if extra else ""
    if missing:
        stage = network.features.get_submodule(missing[0].partition(".")[0])
        text += f"{missing[0]!r} is missing; this network has {len(stage)} blocks in each stage."
    raise Wrong(f"{text} The keys should be such as 'stage1.block1'.".strip())
