"""VGG (Simonyan and Zisserman, arXiv 1409.1556): every column of the paper's table, and small ones.

A network is five blocks of convolutions, each block ended by max pooling, and three linear layers.
The table below says everything else.
"""

from collections.abc import Sequence
from functools import partial

from torch import nn

from utils.networks.alexnet import local_response_norm
from utils.networks.common import Layers, named, register

# The kernel sizes of the convolutions in each of the five blocks, as in Table 1 of the paper.
CONFIGURATIONS = {
    "A": ("3", "3", "33", "33", "33"),
    "B": ("33", "33", "33", "33", "33"),
    "C": ("33", "33", "331", "331", "331"),
    "D": ("33", "33", "333", "333", "333"),
    "E": ("33", "33", "3333", "3333", "3333"),
}
WIDTHS = (64, 128, 256, 512, 512)


def vgg_block(
    in_channels: int, out_channels: int, kernel_sizes: str = "33", *, batch_norm: bool = False
) -> nn.Sequential:
    """Convolutions that keep height and width, a ReLU after each, then 2x2 max pooling.

    `kernel_sizes` has one odd digit for each convolution: "33" is two 3x3 convolutions.
    `batch_norm` puts a batch norm between convolution and ReLU; the convolution keeps its
    bias, as in torchvision. (N, in_channels, H, W) becomes (N, out_channels, H // 2, W // 2).
    """
    if not isinstance(kernel_sizes, str) or not kernel_sizes or set(kernel_sizes) - set("13579"):
        raise ValueError(
            'kernel_sizes must have one odd digit for each convolution, for example "33" for'
            f" two 3x3 convolutions, but got {kernel_sizes!r}."
        )
    layers: dict[str, nn.Module] = {}
    for number, kernel_size in enumerate(map(int, kernel_sizes), start=1):
        layers[f"conv{number}"] = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2
        )
        if batch_norm:
            layers[f"norm{number}"] = nn.BatchNorm2d(out_channels)
        layers[f"relu{number}"] = nn.ReLU()
        in_channels = out_channels
    return named(**layers, pool=nn.MaxPool2d(kernel_size=2, stride=2))


def _vgg(
    blocks: Sequence[str],
    widths: Sequence[int] = WIDTHS,
    *,
    in_channels: int,
    num_classes: int,
    image_size: int = 224,
    hidden: int = 4096,
    batch_norm: bool,
    dropout: float,
) -> Layers:
    if len(blocks) != len(widths):
        raise ValueError(f"blocks and widths must be equally many, but got {blocks} and {widths}.")
    if not all(isinstance(width, int) and width > 0 for width in (*widths, hidden)):
        raise ValueError(
            "widths and hidden must be whole numbers of at least 1, but got"
            f" {tuple(widths)} and {hidden}."
        )
    features = nn.Sequential()
    channels, size = in_channels, image_size
    for number, (kernel_sizes, width) in enumerate(zip(blocks, widths), start=1):
        block = vgg_block(channels, width, kernel_sizes, batch_norm=batch_norm)
        features.add_module(f"block{number}", block)
        channels, size = width, size // 2
    classifier = named(
        flatten=nn.Flatten(),
        fc1=nn.Linear(channels * size * size, hidden),
        relu1=nn.ReLU(),
        dropout1=nn.Dropout(dropout),
        fc2=nn.Linear(hidden, hidden),
        relu2=nn.ReLU(),
        dropout2=nn.Dropout(dropout),
        fc3=nn.Linear(hidden, num_classes),
    )
    return features, classifier


def _column(
    configuration: str,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    batch_norm: bool = False,
    dropout: float = 0.5,
) -> Layers:
    """One column of the paper's table."""
    return _vgg(
        CONFIGURATIONS[configuration],
        in_channels=in_channels,
        num_classes=num_classes,
        batch_norm=batch_norm,
        dropout=dropout,
    )


_register_column = partial(register, "vgg", image_size=224, options_of=_column)


@_register_column()
def vgg11(**options) -> Layers:
    """Configuration A of the paper: 8 convolutions, 3 linear layers, 132,863,336 parameters."""
    return _column("A", **options)


@register("vgg", image_size=224)
def vgg11_lrn(*, in_channels: int = 3, num_classes: int = 1000, dropout: float = 0.5) -> Layers:
    """Configuration A-LRN: `vgg11` with AlexNet's normalisation after the first convolution.

    The normalisation has no parameters, and in the paper it does not help: 29.7 % top-1 error
    against 29.6 % on the validation set, at a single scale.
    """
    features, classifier = _column(
        "A", in_channels=in_channels, num_classes=num_classes, dropout=dropout
    )
    first = features.block1
    features.block1 = named(
        conv1=first.conv1, relu1=first.relu1, norm1=local_response_norm(), pool=first.pool
    )
    return features, classifier


@_register_column()
def vgg13(**options) -> Layers:
    """Configuration B of the paper: 10 convolutions, 3 linear layers, 133,047,848 parameters."""
    return _column("B", **options)


@_register_column()
def vgg16(**options) -> Layers:
    """Configuration D of the paper: 13 convolutions, 3 linear layers, 138,357,544 parameters."""
    return _column("D", **options)


@_register_column()
def vgg16_c(**options) -> Layers:
    """Configuration C of the paper: as D, but the third convolution of blocks 3 to 5 is a 1x1."""
    return _column("C", **options)


@_register_column()
def vgg19(**options) -> Layers:
    """Configuration E of the paper: 16 convolutions, 3 linear layers, 143,667,240 parameters."""
    return _column("E", **options)


@register("vgg", image_size=lambda options: options["image_size"])
def vgg_d2l(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    divisor: int = 4,
    image_size: int = 224,
    dropout: float = 0.5,
) -> Layers:
    """VGG-11 of the book "Dive into Deep Learning" for Fashion-MNIST: 43,093,322 parameters.

    The book divides the channels by four (`divisor=4`; 1 is the full width) and starts from
    `initialisation="xavier"`. `image_size` must be a multiple of 32; most parameters are in
    the first linear layer, and their number depends on it.
    """
    if not isinstance(divisor, int) or not 1 <= divisor <= WIDTHS[0]:
        raise ValueError(
            f"divisor must be a whole number from 1 to {WIDTHS[0]}, but got {divisor!r}."
        )
    if not isinstance(image_size, int) or image_size < 32 or image_size % 32:
        raise ValueError(f"image_size must be a multiple of 32, but got {image_size}.")
    return _vgg(
        CONFIGURATIONS["A"],
        [width // divisor for width in WIDTHS],
        in_channels=in_channels,
        num_classes=num_classes,
        image_size=image_size,
        batch_norm=False,
        dropout=dropout,
    )


@register("vgg", image_size=32)
def vgg_small(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    blocks: Sequence[str] = CONFIGURATIONS["A"],
    widths: Sequence[int] = (16, 32, 48, 96, 96),
    hidden: int = 128,
    batch_norm: bool = True,
    dropout: float = 0.2,
) -> Layers:
    """A VGG for 32 pixels that a CPU trains: configuration A with narrow blocks and batch norm.

    `blocks` and `widths` have five entries, as in the paper: the kernel sizes and the
    channels of each block. `blocks=CONFIGURATIONS["E"]` is a small VGG-19,
    `blocks=("3", "3", "5", "5", "5")` has one 5x5 where configuration A has two 3x3.
    """
    if len(blocks) != 5:
        raise ValueError(f"blocks must have five entries, one for each block, but got {blocks}.")
    return _vgg(
        blocks,
        widths,
        in_channels=in_channels,
        num_classes=num_classes,
        image_size=32,
        hidden=hidden,
        batch_norm=batch_norm,
        dropout=dropout,
    )
