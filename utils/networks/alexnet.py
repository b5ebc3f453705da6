"""AlexNet (Krizhevsky, Sutskever and Hinton, NIPS 2012): as published, in two later forms, small.

Five convolutions, three of them followed by overlapping max pooling, and three linear layers. The
layers have the names of the paper's figure: `conv1` to `conv5`, `fc6` to `fc8`.
"""

from functools import partial

from torch import nn

from utils.networks.common import INITIALISATIONS, Layers, choose, named, register

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def local_response_norm() -> nn.LocalResponseNorm:
    """The paper's local response normalisation over five neighbouring channels.

    The paper computes `x / (2 + 1e-4 * sum of 5 squares) ** 0.75`. torch divides `alpha` by
    the number of channels summed, so it takes five times the paper's alpha to say the same; its
    default `k` is 1, the paper's is 2.
    """
    return nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2.0)


def initialise_as_in_2012(network: nn.Module) -> None:
    """The paper's start, in place: weights from a normal distribution of standard deviation 0.01.

    Biases are 1 in conv2, conv4, conv5, fc6 and fc7, which gives their ReLUs positive inputs, and
    0 in the other layers.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            ones = name.rpartition(".")[2] in ("conv2", "conv4", "conv5", "fc6", "fc7")
            nn.init.constant_(module.bias, 1.0 if ones else 0.0)


_register = partial(
    register, "alexnet", initialisations={**INITIALISATIONS, "2012": initialise_as_in_2012}
)


def _features_of_2012(in_channels: int, padding: int, groups: int, norm: bool) -> nn.Sequential:
    """Five convolutions; `padding` is that of the first."""
    layers: dict[str, nn.Module] = {}

    def normalise_and_pool(number: int) -> None:
        if norm:
            layers[f"norm{number}"] = local_response_norm()
        layers[f"pool{number}"] = nn.MaxPool2d(kernel_size=3, stride=2)

    layers["conv1"] = nn.Conv2d(in_channels, 96, kernel_size=11, stride=4, padding=padding)
    layers["relu1"] = nn.ReLU()
    normalise_and_pool(1)
    layers["conv2"] = nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=groups)
    layers["relu2"] = nn.ReLU()
    normalise_and_pool(2)
    return named(
        **layers,
        conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=groups),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=groups),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(kernel_size=3, stride=2),
    )


def _linear_layers(
    inputs: int, width: int, num_classes: int, dropout: float, activation: str = "relu"
) -> nn.Sequential:
    """fc6, fc7 and fc8, with an activation and dropout on the outputs of the first two."""
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for number, features in ((6, inputs), (7, width)):
        layers[f"fc{number}"] = nn.Linear(features, width)
        layers[f"{activation}{number}"] = ACTIVATIONS[activation]()
        layers[f"dropout{number}"] = nn.Dropout(dropout)
    return named(**layers, fc8=nn.Linear(width, num_classes))


@_register(image_size=227)
def alexnet_2012(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    groups: int = 2,
    norm: bool = True,
    dropout: float = 0.5,
) -> Layers:
    """The published network: 227 pixels, two groups, 60,965,224 parameters.

    It was trained on two graphics cards. conv2, conv4 and conv5 see only the maps of their own
    card, which is `groups=2`; `groups=1` joins the two halves. `norm=False` leaves out the
    local response normalisation. Dropout acts on the outputs of fc6 and fc7. The paper says 224
    pixels, but only 227 give its own 55x55 maps. `initialisation="2012"` is the paper's start
    (see `initialise_as_in_2012`).
    """
    features = _features_of_2012(in_channels, padding=0, groups=groups, norm=norm)
    return features, _linear_layers(256 * 6 * 6, 4096, num_classes, dropout)


@_register(image_size=224, smallest_size=63)
def alexnet(*, in_channels: int = 3, num_classes: int = 1000, dropout: float = 0.5) -> Layers:
    """torchvision's AlexNet: 224 pixels, 61,100,840 parameters (arXiv 1404.5997).

    One column of 64, 192, 384, 256 and 256 channels, without groups and without local response
    normalisation. Dropout acts on the *inputs* of fc6 and fc7. Average pooling to 6x6 maps lets
    it take other sizes from 63 pixels on.
    """
    features = named(
        conv1=nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(kernel_size=3, stride=2),
        conv2=nn.Conv2d(64, 192, kernel_size=5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(kernel_size=3, stride=2),
        conv3=nn.Conv2d(192, 384, kernel_size=3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 256, kernel_size=3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(256, 256, kernel_size=3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(kernel_size=3, stride=2),
    )
    classifier = named(
        average=nn.AdaptiveAvgPool2d(6),
        flatten=nn.Flatten(),
        dropout5=nn.Dropout(dropout),
        fc6=nn.Linear(256 * 6 * 6, 4096),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(dropout),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        fc8=nn.Linear(4096, num_classes),
    )
    return features, classifier


@_register(image_size=224)
def alexnet_d2l(*, in_channels: int = 1, num_classes: int = 10, dropout: float = 0.5) -> Layers:
    """The AlexNet of the book "Dive into Deep Learning" for Fashion-MNIST: 46,764,746 parameters.

    The 2012 widths without groups and without local response normalisation, at 224 pixels with
    padding 1 in front, which gives 54x54 maps. The book starts from `initialisation="xavier"`.
    """
    features = _features_of_2012(in_channels, padding=1, groups=1, norm=False)
    return features, _linear_layers(256 * 5 * 5, 4096, num_classes, dropout)


@_register(image_size=28, initialisation="he")
def alexnet_small(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    activation: str = "relu",
    norm: bool = False,
    dropout: float = 0.5,
) -> Layers:
    """An AlexNet for 28 pixels that a CPU trains.

    The same five convolutions, three overlapping poolings and three linear layers with dropout
    on the outputs of the first two; kernels, strides and widths fit the small image. It starts
    from He weights, because eight layers without batch norm learn slowly from others.
    `activation` is `"relu"` or `"tanh"`; `norm=True` adds the paper's local response
    normalisation.
    """
    activate = choose("activation", activation, ACTIVATIONS)
    layers: dict[str, nn.Module] = {}

    def convolution(number: int, *channels: int, kernel_size: int, pool: bool) -> None:
        layers[f"conv{number}"] = nn.Conv2d(*channels, kernel_size, padding=kernel_size // 2)
        layers[f"{activation}{number}"] = activate()
        if norm and number <= 2:
            layers[f"norm{number}"] = local_response_norm()
        if pool:
            layers[f"pool{number}"] = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)

    convolution(1, in_channels, 24, kernel_size=5, pool=True)
    convolution(2, 24, 48, kernel_size=3, pool=True)
    convolution(3, 48, 64, kernel_size=3, pool=False)
    convolution(4, 64, 64, kernel_size=3, pool=False)
    convolution(5, 64, 48, kernel_size=3, pool=True)
    classifier = _linear_layers(48 * 3 * 3, 256, num_classes, dropout, activation)
    return named(**layers), classifier
