"""ResNet (He, Zhang, Ren and Sun, arXiv 1512.03385): for ImageNet, for CIFAR, plain twins, small.

A residual block computes `relu(branch(x) + shortcut(x))`. The networks differ in what the branch
is made of, in what the shortcut does where the shape changes, and in how many blocks there are.
"""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from utils.networks.common import Layers, average_and_linear, choose, named, register


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, **options):
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, **options
    )


def _norm(channels: int, batch_norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if batch_norm else nn.Identity()


def basic_branch(
    in_channels: int, out_channels: int, stride: int = 1, *, batch_norm: bool = True
) -> nn.Sequential:
    """Two 3x3 convolutions: (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride).

    Without batch norm the convolutions have biases.
    """
    conv = partial(_conv, bias=not batch_norm)
    return named(
        conv1=conv(in_channels, out_channels, 3, stride),
        norm1=_norm(out_channels, batch_norm),
        relu1=nn.ReLU(),
        conv2=conv(out_channels, out_channels, 3),
        norm2=_norm(out_channels, batch_norm),
    )


def bottleneck_branch(
    in_channels: int, out_channels: int, stride: int = 1, *, stride_on: str = "1x1"
) -> nn.Sequential:
    """A 1x1 convolution to a quarter of the channels, a 3x3, and a 1x1 to `out_channels`.

    `stride_on` says which convolution has the stride: the first 1x1, as in the paper, or the
    3x3, as in torchvision ("v1.5").
    """
    first, second = choose("stride_on", stride_on, {"1x1": (stride, 1), "3x3": (1, stride)})
    width = out_channels // 4
    conv = partial(_conv, bias=False)
    return named(
        conv1=conv(in_channels, width, 1, first),
        norm1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(),
        conv2=conv(width, width, 3, second),
        norm2=nn.BatchNorm2d(width),
        relu2=nn.ReLU(),
        conv3=conv(width, out_channels, 1),
        norm3=nn.BatchNorm2d(out_channels),
    )


class ZeroPad(nn.Module):
    """Shortcut of option A: every `stride`-th pixel, and channels of zeros for those missing."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.missing = out_channels - in_channels

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))


def shortcut_layer(
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    *,
    option: str = "B",
    batch_norm: bool = True,
) -> nn.Module:
    """What runs beside the branch. The options are those of the paper, section 4.1.

    A: the identity, and zero padding where the shape changes. B: the identity, and a 1x1
    convolution (with batch norm) where the shape changes. C: a 1x1 convolution everywhere.
    """
    choose("shortcut", option, dict.fromkeys("ABC"))
    same = stride == 1 and in_channels == out_channels
    if same and option != "C":
        return nn.Identity()
    if option == "A":
        return ZeroPad(in_channels, out_channels, stride)
    return named(
        conv=_conv(in_channels, out_channels, 1, stride, bias=not batch_norm),
        norm=_norm(out_channels, batch_norm),
    )


class ResidualBlock(nn.Module):
    """`relu(branch(x) + shortcut(x))`, or `relu(branch(x))` where `shortcut` is None."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps (N, C, H, W), whose shape the branch decides."""
        if self.shortcut is None:
            return self.relu(self.branch(maps))
        return self.relu(self.branch(maps) + self.shortcut(maps))


def start_branches_at_zero(network: nn.Module) -> None:
    """Let every branch start as zero: the weight of its last batch norm becomes 0, in place."""
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            last = list(block.branch.children())[-1]
            if not isinstance(last, nn.BatchNorm2d):
                raise ValueError("zero_last_norm=True needs branches that end in a batch norm.")
            nn.init.zeros_(last.weight)


def _stage(
    in_channels: int,
    out_channels: int,
    blocks: int,
    stride: int,
    branch: Callable,
    beside: Callable,
) -> nn.Sequential:
    """`blocks` residual blocks; the first changes the channels and has the stride."""
    stage = nn.Sequential()
    for number in range(1, blocks + 1):
        block = ResidualBlock(
            branch(in_channels, out_channels, stride), beside(in_channels, out_channels, stride)
        )
        stage.add_module(f"block{number}", block)
        in_channels, stride = out_channels, 1
    return stage


# --- ImageNet -------------------------------------------------------------------------------------


def _imagenet(
    blocks: tuple[int, int, int, int],
    branch: Callable = basic_branch,
    expansion: int = 1,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    shortcut: str = "B",
    zero_last_norm: bool = False,
) -> Layers:
    """Four stages of `blocks` residual blocks, at 56, 28, 14 and 7 pixels."""
    beside = partial(shortcut_layer, option=shortcut)
    stages, channels = {}, 64
    for number, count in enumerate(blocks):
        width, stride = 64 * 2**number * expansion, 2 if number else 1
        stages[f"stage{number + 2}"] = _stage(channels, width, count, stride, branch, beside)
        channels = width
    features = named(
        conv1=_conv(in_channels, 64, 7, stride=2, bias=False),
        norm1=nn.BatchNorm2d(64),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        **stages,
    )
    if zero_last_norm:
        start_branches_at_zero(features)
    return features, average_and_linear(channels, num_classes)


def _bottlenecks(
    blocks: tuple[int, int, int, int],
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    stride_on: str = "1x1",
    shortcut: str = "B",
    zero_last_norm: bool = False,
) -> Layers:
    return _imagenet(
        blocks,
        partial(bottleneck_branch, stride_on=stride_on),
        expansion=4,
        in_channels=in_channels,
        num_classes=num_classes,
        shortcut=shortcut,
        zero_last_norm=zero_last_norm,
    )


_register = partial(register, "resnet", smallest_size=1)
_with_basic_blocks = _register(image_size=224, initialisation="he", options_of=_imagenet)
_with_bottlenecks = _register(image_size=224, initialisation="he", options_of=_bottlenecks)


@_with_basic_blocks
def resnet18(**options) -> Layers:
    """The paper's ResNet-18: 224 pixels, 8 basic blocks, 11,689,512 parameters."""
    return _imagenet((2, 2, 2, 2), **options)


@_with_basic_blocks
def resnet34(**options) -> Layers:
    """The paper's ResNet-34: 224 pixels, 16 basic blocks, 21,797,672 parameters."""
    return _imagenet((3, 4, 6, 3), **options)


@_with_bottlenecks
def resnet50(**options) -> Layers:
    """The paper's ResNet-50: 224 pixels, 16 bottlenecks, 25,557,032 parameters."""
    return _bottlenecks((3, 4, 6, 3), **options)


@_with_bottlenecks
def resnet101(**options) -> Layers:
    """The paper's ResNet-101: 224 pixels, 33 bottlenecks, 44,549,160 parameters."""
    return _bottlenecks((3, 4, 23, 3), **options)


@_with_bottlenecks
def resnet152(**options) -> Layers:
    """The paper's ResNet-152: 224 pixels, 50 bottlenecks, 60,192,808 parameters."""
    return _bottlenecks((3, 8, 36, 3), **options)


# --- CIFAR, and the plain twins -------------------------------------------------------------------


def _cifar(
    depth: int,
    beside: Callable = lambda *_: None,
    *,
    in_channels: int = 3,
    num_classes: int = 10,
    width: int = 16,
    batch_norm: bool = True,
) -> Layers:
    """A 3x3 convolution, three stages of basic blocks, average, linear; no shortcuts by default.

    The stages have `width`, twice and four times `width` channels at 32, 16 and 8 pixels.
    """
    branch = partial(basic_branch, batch_norm=batch_norm)
    blocks = (depth - 2) // 6
    features = named(
        conv1=_conv(in_channels, width, 3, bias=not batch_norm),
        norm1=_norm(width, batch_norm),
        relu1=nn.ReLU(),
        stage1=_stage(width, width, blocks, 1, branch, beside),
        stage2=_stage(width, 2 * width, blocks, 2, branch, beside),
        stage3=_stage(2 * width, 4 * width, blocks, 2, branch, beside),
    )
    return features, average_and_linear(4 * width, num_classes)


def _residual(
    depth: int,
    *,
    in_channels: int = 3,
    num_classes: int = 10,
    shortcut: str = "A",
    width: int = 16,
    batch_norm: bool = True,
    zero_last_norm: bool = False,
) -> Layers:
    features, classifier = _cifar(
        depth,
        partial(shortcut_layer, option=shortcut, batch_norm=batch_norm),
        in_channels=in_channels,
        num_classes=num_classes,
        width=width,
        batch_norm=batch_norm,
    )
    if zero_last_norm:
        start_branches_at_zero(features)
    return features, classifier


_with_shortcuts = _register(image_size=32, initialisation="he", options_of=_residual)
_without_shortcuts = _register(image_size=32, initialisation="he", options_of=_cifar)


@_with_shortcuts
def resnet20(**options) -> Layers:
    """The paper's residual network for CIFAR-10 with 20 layers; its shortcuts are option A."""
    return _residual(20, **options)


@_with_shortcuts
def resnet32(**options) -> Layers:
    """The paper's residual network for CIFAR-10 with 32 layers; its shortcuts are option A."""
    return _residual(32, **options)


@_with_shortcuts
def resnet44(**options) -> Layers:
    """The paper's residual network for CIFAR-10 with 44 layers; its shortcuts are option A."""
    return _residual(44, **options)


@_with_shortcuts
def resnet56(**options) -> Layers:
    """The paper's residual network for CIFAR-10 with 56 layers; its shortcuts are option A."""
    return _residual(56, **options)


@_with_shortcuts
def resnet110(**options) -> Layers:
    """The paper's residual network for CIFAR-10 with 110 layers; its shortcuts are option A."""
    return _residual(110, **options)


@_without_shortcuts
def plain20(**options) -> Layers:
    """The plain twin of `resnet20`: the same layers without shortcuts."""
    return _cifar(20, **options)


@_without_shortcuts
def plain32(**options) -> Layers:
    """The plain twin of `resnet32`: the same layers without shortcuts."""
    return _cifar(32, **options)


@_without_shortcuts
def plain44(**options) -> Layers:
    """The plain twin of `resnet44`: the same layers without shortcuts."""
    return _cifar(44, **options)


@_without_shortcuts
def plain56(**options) -> Layers:
    """The plain twin of `resnet56`: the same layers without shortcuts."""
    return _cifar(56, **options)


@_without_shortcuts
def plain110(**options) -> Layers:
    """The plain twin of `resnet110`: the same layers without shortcuts."""
    return _cifar(110, **options)


# --- Fashion-MNIST --------------------------------------------------------------------------------


@_register(image_size=96)
def resnet18_d2l(*, in_channels: int = 1, num_classes: int = 10) -> Layers:
    """ResNet-18 of the book "Dive into Deep Learning" for Fashion-MNIST: 11,178,378 parameters.

    96 pixels. Convolutions keep their biases, and the shortcuts' convolutions have no batch norm.
    The book starts from `initialisation="xavier"`.
    """

    def branch(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        return named(
            conv1=_conv(in_channels, out_channels, 3, stride),
            norm1=nn.BatchNorm2d(out_channels),
            relu1=nn.ReLU(),
            conv2=_conv(out_channels, out_channels, 3),
            norm2=nn.BatchNorm2d(out_channels),
        )

    def beside(in_channels: int, out_channels: int, stride: int) -> nn.Module:
        same = in_channels == out_channels
        return nn.Identity() if same else _conv(in_channels, out_channels, 1, stride)

    features = named(
        conv1=_conv(in_channels, 64, 7, stride=2),
        norm1=nn.BatchNorm2d(64),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        stage2=_stage(64, 64, 2, 1, branch, beside),
        stage3=_stage(64, 128, 2, 2, branch, beside),
        stage4=_stage(128, 256, 2, 2, branch, beside),
        stage5=_stage(256, 512, 2, 2, branch, beside),
    )
    return features, average_and_linear(512, num_classes)


@_register(image_size=28, initialisation="he")
def resnet_small(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    widths: tuple[int, int, int] = (16, 32, 64),
    blocks: tuple[int, int, int] = (1, 1, 1),
    shortcut: str = "B",
    zero_last_norm: bool = True,
) -> Layers:
    """A ResNet for 28 pixels that a CPU trains: basic blocks in three stages.

    A 3x3 convolution and a pooling bring the maps to 14x14, as the stem of the networks for
    ImageNet does; the stages work at 14, 7 and 4 pixels with `blocks` blocks of `widths`
    channels.
    """
    if len(widths) != 3 or len(blocks) != 3:
        raise ValueError(f"widths and blocks must be three numbers, but got {widths}, {blocks}.")
    beside = partial(shortcut_layer, option=shortcut)
    first, second, third = widths
    features = named(
        conv1=_conv(in_channels, first, 3, bias=False),
        norm1=nn.BatchNorm2d(first),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        stage1=_stage(first, first, blocks[0], 1, basic_branch, beside),
        stage2=_stage(first, second, blocks[1], 2, basic_branch, beside),
        stage3=_stage(second, third, blocks[2], 2, basic_branch, beside),
    )
    if zero_last_norm:
        start_branches_at_zero(features)
    return features, average_and_linear(third, num_classes)
