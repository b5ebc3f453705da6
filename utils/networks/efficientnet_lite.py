"""EfficientNet-Lite0 (Tan and Le, arXiv 1905.11946, in the authors' form for phones).

It is built of MobileNet v2's blocks, some of them with 5x5 kernels. A search by computer chose
their number and widths. The Lite form has ReLU6 in place of swish, and no squeeze-and-excitation.
"""

from torch import Tensor, nn
from torch.nn import functional

from utils.networks.common import Layers, average_and_linear, named, register
from utils.networks.mobilenet import InvertedResidual

# Expansion, output channels, number, first stride and kernel size of the blocks: 16 in all.
BLOCKS = (
    *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
    *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: (N, C, H, W) to H / stride, rounded up.

    It pads only what the stride needs. An odd number of rows or columns is one more below and at
    the right than above and at the left.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps (N, in_channels, H, W) to (N, out_channels, ceil(H / s), ceil(W / s))."""
        edges = []
        for size, kernel, stride in zip(maps.shape[:1:-1], self.kernel_size[::-1], self.stride):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            edges += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(maps, edges) if any(edges) else maps)


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU6,
) -> nn.Sequential:
    """As in MobileNet, with TensorFlow's padding and the 1e-3 of its batch norm."""
    conv = SameConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)
    last = {} if activation is None else {"relu": activation()}
    return named(conv=conv, norm=nn.BatchNorm2d(out_channels, eps=1e-3), **last)


@register("efficientnet_lite", image_size=224, smallest_size=1)
def efficientnet_lite0(
    *, in_channels: int = 3, num_classes: int = 1000, dropout: float = 0.2
) -> Layers:
    """EfficientNet-Lite0: 16 inverted residual blocks, 4,652,008 parameters.

    Its source is the definition of the package `efficientnet_lite_pytorch`, which follows the
    authors' code.
    """
    layers: dict[str, nn.Module] = {"conv": convolution(in_channels, 32, 3, 2)}
    channels, number = 32, 0
    for expansion, out_channels, repeats, stride, kernel_size in BLOCKS:
        for _ in range(repeats):
            number += 1
            layers[f"block{number}"] = InvertedResidual(
                channels,
                out_channels,
                stride,
                expansion,
                kernel_size=kernel_size,
                convolution=convolution,
            )
            channels, stride = out_channels, 1
    layers["last"] = convolution(channels, 1280, 1)
    return named(**layers), average_and_linear(1280, num_classes, dropout)
