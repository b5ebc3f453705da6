"""MobileNet v1 (Howard and others, arXiv 1704.04861) and v2 (Sandler and others, arXiv 1801.04381).

Both split a convolution in two: a depthwise one, which filters every channel by itself, and a 1x1
(pointwise) one, which mixes the channels.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from utils.networks.common import Layers, average_and_linear, named, register


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """A convolution without bias, a batch norm, and an activation unless it is None."""
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=kernel_size // 2,
        groups=groups,
        bias=False,
    )
    last = {} if activation is None else {"relu": activation()}
    return named(conv=conv, norm=nn.BatchNorm2d(out_channels), **last)


def depthwise_separable(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """The block of v1: a 3x3 for every channel, then a 1x1; batch norm and ReLU after both.

    (N, in_channels, H, W) becomes (N, out_channels, H / stride, W / stride).
    """
    return named(
        depthwise=convolution(in_channels, in_channels, 3, stride, groups=in_channels),
        pointwise=convolution(in_channels, out_channels, 1),
    )


class InvertedResidual(nn.Module):
    """The block of v2: 1x1 to `expansion` times the channels, depthwise 3x3, 1x1 back.

    The last 1x1 is linear: no activation follows it. With stride 1 and as many channels out as
    in, the input is added to the output (`self.skip`). With `expansion=1` there is no first
    1x1. (N, in_channels, H, W) becomes (N, out_channels, H / stride, W / stride).

    `kernel_size` is that of the depthwise convolution. `convolution` makes a convolution with its
    batch norm and activation, as the function of that name does.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expansion: int,
        *,
        kernel_size: int = 3,
        linear_bottleneck: bool = True,
        activation: type[nn.Module] = nn.ReLU6,
        convolution: Callable[..., nn.Sequential] = convolution,
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        layers: dict[str, nn.Module] = {}
        if expansion != 1:
            layers["expand"] = convolution(in_channels, width, 1, activation=activation)
        layers["depthwise"] = convolution(
            width, width, kernel_size, stride, groups=width, activation=activation
        )
        last = None if linear_bottleneck else activation
        layers["project"] = convolution(width, out_channels, 1, activation=last)
        self.branch = named(**layers)
        self.skip = stride == 1 and in_channels == out_channels

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        return maps + self.branch(maps) if self.skip else self.branch(maps)


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, but never below 90 % of it.

    The rule of the authors' code for v2, by which a width multiplier acts on channels.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _width(width: float) -> float:
    if not 0 < width <= 4:
        raise ValueError(f"width must be a number above 0 and at most 4, but got {width!r}.")
    return width


# Output channels and stride of the 13 blocks of v1 (Table 1 of the paper, where the last stride is
# printed as 2: a misprint, since the maps stay at 7x7).
V1_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *(((512, 1),) * 5),
    *((1024, 2), (1024, 1)),
)
# Expansion, output channels, number and first stride of the blocks of v2 (Table 2): 17 in all.
V2_BLOCKS = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def _v1_features(
    in_channels: int, first: int, stride: int, blocks: Sequence[tuple[int, int]], width: float
) -> tuple[nn.Sequential, int]:
    channels = max(1, int(first * width))
    layers: dict[str, nn.Module] = {"conv": convolution(in_channels, channels, 3, stride)}
    for number, (out_channels, block_stride) in enumerate(blocks, start=1):
        out_channels = max(1, int(out_channels * width))
        layers[f"block{number}"] = depthwise_separable(channels, out_channels, block_stride)
        channels = out_channels
    return named(**layers), channels


@register("mobilenet", image_size=224, smallest_size=1)
def mobilenet_v1(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    width: float = 1.0,
    dropout: float = 0.001,
) -> Layers:
    """The network of 2017: one full convolution and 13 depthwise-separable blocks, 4,231,976.

    `width` multiplies the channels of every layer (the paper's alpha: 0.75, 0.5, 0.25), rounded
    down. The paper's second multiplier is the size of the images: 224, 192, 160 or 128 pixels.
    The paper writes ReLU; the authors' code has ReLU6.
    """
    features, channels = _v1_features(in_channels, 32, 2, V1_BLOCKS, _width(width))
    return features, average_and_linear(channels, num_classes, dropout)


def _v2(
    blocks: Sequence[tuple[int, int, int, int]],
    *,
    in_channels: int,
    num_classes: int,
    first: int,
    first_stride: int,
    last: int,
    width: float,
    dropout: float,
    linear_bottleneck: bool,
) -> Layers:
    channels = make_divisible(first * _width(width))
    layers: dict[str, nn.Module] = {
        "conv": convolution(in_channels, channels, 3, first_stride, activation=nn.ReLU6)
    }
    number = 0
    for expansion, out_channels, repeats, stride in blocks:
        out_channels = make_divisible(out_channels * width)
        for _ in range(repeats):
            number += 1
            layers[f"block{number}"] = InvertedResidual(
                channels, out_channels, stride, expansion, linear_bottleneck=linear_bottleneck
            )
            channels, stride = out_channels, 1
    last = make_divisible(last * max(1.0, width))
    layers["last"] = convolution(channels, last, 1, activation=nn.ReLU6)
    return named(**layers), average_and_linear(last, num_classes, dropout)


@register("mobilenet", image_size=224, smallest_size=1)
def mobilenet_v2(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    width: float = 1.0,
    dropout: float = 0.2,
    linear_bottleneck: bool = True,
) -> Layers:
    """The network of 2018: 17 inverted residual blocks, 3,504,872 parameters, 300.8 M MACs.

    `width` multiplies the channels, rounded by `make_divisible`; below 1 the last convolution
    keeps its 1280 channels. `linear_bottleneck=False` puts a ReLU6 after every projection,
    which the paper argues against.
    """
    return _v2(
        V2_BLOCKS,
        in_channels=in_channels,
        num_classes=num_classes,
        first=32,
        first_stride=2,
        last=1280,
        width=width,
        dropout=dropout,
        linear_bottleneck=linear_bottleneck,
    )


@register("mobilenet", image_size=28, smallest_size=1)
def mobilenet_v1_small(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    width: float = 1.0,
    blocks: Sequence[tuple[int, int]] = ((48, 1), (96, 2), (96, 1), (192, 2), (192, 1)),
) -> Layers:
    """A MobileNet v1 for 28 pixels that a CPU trains: its maps are 14, 7 and 4 pixels wide.

    `blocks` has the output channels and the stride of each block.
    """
    features, channels = _v1_features(in_channels, 24, 2, blocks, _width(width))
    return features, average_and_linear(channels, num_classes)


@register("mobilenet", image_size=28, smallest_size=1)
def mobilenet_v2_small(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    width: float = 1.0,
    blocks: Sequence[tuple[int, int, int, int]] = ((1, 16, 1, 1), (4, 24, 2, 1), (4, 40, 3, 2)),
    dropout: float = 0.0,
    linear_bottleneck: bool = True,
) -> Layers:
    """A MobileNet v2 for 28 pixels that a CPU trains: its maps are 14 and 7 pixels wide.

    `blocks` has expansion, output channels, number and first stride, as Table 2 of the paper.
    """
    return _v2(
        blocks,
        in_channels=in_channels,
        num_classes=num_classes,
        first=24,
        first_stride=2,
        last=160,
        width=width,
        dropout=dropout,
        linear_bottleneck=linear_bottleneck,
    )
