"""Network in Network (Lin, Chen and Yan, arXiv 1312.4400): three of its forms and a small one.

Every network is a row of mlpconv blocks with pooling between them. The last block makes one
feature map per class, and the average of each map is the logit of its class: no linear layer.
`features` ends with the class maps (N, num_classes, H, W); `classifier` averages them.

All networks take the options `batch_norm`, `final_relu` (see `mlpconv`; it concerns the
last block only), `dropout` (a probability) and `initialisation` (see `common.initialise`).
"""

from functools import partial

from torch import nn

from utils.networks.common import Layers, choose, named, register


def mlpconv(
    in_channels: int,
    out_channels: int | tuple[int, int, int],
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    *,
    batch_norm: bool = False,
    final_relu: bool = True,
) -> nn.Sequential:
    """A convolution and two 1x1 convolutions, each followed by a ReLU.

    It is a small multilayer perceptron slid over the image. The paper also calls the 1x1 layers
    cascaded cross-channel parametric pooling, hence the names `cccp1` and `cccp2`.

    `out_channels` is one number for all three layers, or one for each. `final_relu=False`
    leaves out the last ReLU. `batch_norm` puts a batch norm before every ReLU; a convolution
    in front of it has no bias, because the batch norm subtracts any constant.
    """
    if isinstance(out_channels, int):
        out_channels = (out_channels, out_channels, out_channels)
    first, second, third = out_channels
    layers: dict[str, nn.Module] = {}

    def add(number: int, name: str, *arguments: int, relu: bool = True) -> None:
        norm = batch_norm and relu
        layers[name] = nn.Conv2d(*arguments, bias=not norm)
        if norm:
            layers[f"norm{number}"] = nn.BatchNorm2d(layers[name].out_channels)
        if relu:
            layers[f"relu{number}"] = nn.ReLU()

    add(1, "conv", in_channels, first, kernel_size, stride, padding)
    add(2, "cccp1", first, second, 1)
    add(3, "cccp2", second, third, 1, relu=final_relu)
    return named(**layers)


def _average_class_maps() -> nn.Sequential:
    """Global average pooling: class maps (N, num_classes, H, W) to logits (N, num_classes)."""
    return named(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())


@register("nin", image_size=32, smallest_size=lambda options: 4 if options["ceil_mode"] else 7)
def nin_cifar10(
    *,
    in_channels: int = 3,
    num_classes: int = 10,
    ceil_mode: bool = True,
    second_pooling: str = "max",
    batch_norm: bool = False,
    final_relu: bool = True,
    dropout: float = 0.5,
) -> Layers:
    """The paper's network for CIFAR-10: three mlpconv blocks, 32 pixels, 966,986 parameters.

    The paper leaves the widths to its supplement; they are those of the first author's own
    configuration for cuda-convnet (mavenlin/cuda-convnet, NIN/cifar-10_def), where both
    poolings between the blocks take the maximum. Ports of the later Caffe model take the
    average in the second: `second_pooling="average"`. cuda-convnet and Caffe round the size
    of pooled maps up, torch by default down; `ceil_mode=False` is torch's way.
    """
    pool2 = choose("second_pooling", second_pooling, {"max": nn.MaxPool2d, "average": nn.AvgPool2d})
    block = partial(mlpconv, batch_norm=batch_norm)
    features = named(
        mlpconv1=block(in_channels, (192, 160, 96), kernel_size=5, padding=2),
        pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=ceil_mode),
        dropout1=nn.Dropout(dropout),
        mlpconv2=block(96, (192, 192, 192), kernel_size=5, padding=2),
        pool2=pool2(kernel_size=3, stride=2, ceil_mode=ceil_mode),
        dropout2=nn.Dropout(dropout),
        mlpconv3=block(
            192, (192, 192, num_classes), kernel_size=3, padding=1, final_relu=final_relu
        ),
    )
    return features, _average_class_maps()


@register("nin", image_size=224, smallest_size=lambda options: 39 if options["ceil_mode"] else 67)
def nin_imagenet(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    ceil_mode: bool = True,
    batch_norm: bool = False,
    final_relu: bool = True,
    dropout: float = 0.5,
) -> Layers:
    """The first author's network of the Caffe model zoo: four blocks, 7,595,176 parameters.

    The paper itself has no ImageNet experiment. Caffe rounds the size of pooled maps up, so 224
    pixels become 54, 27, 13 and 6; with `ceil_mode=False`, torch's way, 54, 26, 12 and 5.
    """
    block = partial(mlpconv, batch_norm=batch_norm)
    pool = partial(nn.MaxPool2d, kernel_size=3, stride=2, ceil_mode=ceil_mode)
    features = named(
        mlpconv1=block(in_channels, 96, kernel_size=11, stride=4),
        pool1=pool(),
        mlpconv2=block(96, 256, kernel_size=5, padding=2),
        pool2=pool(),
        mlpconv3=block(256, 384, kernel_size=3, padding=1),
        pool3=pool(),
        dropout=nn.Dropout(dropout),
        mlpconv4=block(
            384, (1024, 1024, num_classes), kernel_size=3, padding=1, final_relu=final_relu
        ),
    )
    return features, _average_class_maps()


@register("nin", image_size=224, smallest_size=67)
def nin_d2l(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    batch_norm: bool = False,
    final_relu: bool = True,
    dropout: float = 0.5,
) -> Layers:
    """The NiN of the book "Dive into Deep Learning" for Fashion-MNIST: 1,992,166 parameters.

    It is the Caffe network above with `num_classes` channels in all three layers of the last
    block. The last ReLU acts on the class maps, so logits are never negative and a class whose
    map is zero everywhere gets no gradient.
    """
    block = partial(mlpconv, batch_norm=batch_norm)
    features = named(
        mlpconv1=block(in_channels, 96, kernel_size=11, stride=4),
        pool1=nn.MaxPool2d(kernel_size=3, stride=2),
        mlpconv2=block(96, 256, kernel_size=5, padding=2),
        pool2=nn.MaxPool2d(kernel_size=3, stride=2),
        mlpconv3=block(256, 384, kernel_size=3, padding=1),
        pool3=nn.MaxPool2d(kernel_size=3, stride=2),
        dropout=nn.Dropout(dropout),
        mlpconv4=block(384, num_classes, kernel_size=3, padding=1, final_relu=final_relu),
    )
    return features, _average_class_maps()


@register("nin", image_size=28, smallest_size=3)
def nin_small(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    widths: tuple[int, int, int] = (32, 64, 64),
    batch_norm: bool = True,
    final_relu: bool = False,
    dropout: float = 0.0,
) -> Layers:
    """A NiN for 28 pixels that a CPU trains.

    Three mlpconv blocks, as in the paper's network for CIFAR-10, with a first convolution of
    stride 2, as in the ImageNet network (there 4), because the large early maps are what costs
    time on a CPU. `widths` are the channels of the three blocks; the class maps have 7x7
    positions. The batch norm and the missing last ReLU are not in the paper;
    `batch_norm=False, final_relu=True, dropout=0.5, initialisation="xavier"` has the head and
    the start of d2l's network.
    """
    if len(widths) != 3:
        raise ValueError(f"widths must be three numbers, one for each block, but got {widths}.")
    first, second, third = widths
    block = partial(mlpconv, batch_norm=batch_norm)
    features = named(
        mlpconv1=block(in_channels, first, kernel_size=5, stride=2, padding=2),
        pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
        dropout1=nn.Dropout(dropout),
        mlpconv2=block(first, second, kernel_size=3, padding=1),
        dropout2=nn.Dropout(dropout),
        mlpconv3=block(
            second, (third, third, num_classes), kernel_size=3, padding=1, final_relu=final_relu
        ),
    )
    return features, _average_class_maps()
