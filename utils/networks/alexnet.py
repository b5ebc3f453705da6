"""AlexNet (Krizhevsky, Sutskever and Hinton, NIPS 2012): as published, in two later forms, small.

Five convolutions, three of them followed by overlapping max pooling, and three linear layers. The
layers have the names of the paper's figure: ``conv1`` to ``conv5``, ``fc6`` to ``fc8``.
"""

from torch import nn

from utils.networks.common import ImageClassifier, choose, initialise, named, register

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def local_response_norm() -> nn.LocalResponseNorm:
    """The paper's local response normalisation over five neighbouring channels.

    The paper computes ``x / (2 + 1e-4 * sum of 5 squares) ** 0.75``. torch divides ``alpha`` by
    the number of channels summed, so it takes five times the paper's alpha to say the same; its
    default ``k`` is 1, the paper's is 2.
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


def _start(features: nn.Module, classifier: nn.Module, initialisation: str) -> None:
    if initialisation == "2012":
        initialise_as_in_2012(features)
        initialise_as_in_2012(classifier)
        return
    how = choose(
        "initialisation", initialisation, {n: n for n in ("torch", "xavier", "he", "2012")}
    )
    initialise(features, how)
    initialise(classifier, how)


@register("alexnet")
def alexnet_2012(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    groups: int = 2,
    norm: bool = True,
    dropout: float = 0.5,
    initialisation: str = "torch",
) -> ImageClassifier:
    """The published network: 227 pixels, two groups, 60,965,224 parameters.

    It was trained on two graphics cards. conv2, conv4 and conv5 see only the maps of their own
    card, which is ``groups=2``; ``groups=1`` joins the two halves. ``norm=False`` leaves out the
    local response normalisation. Dropout acts on the outputs of fc6 and fc7. The paper says 224
    pixels, with which its own 55x55 maps cannot come about; 227 gives them.
    ``initialisation="2012"`` is the paper's start (see ``initialise_as_in_2012``).
    """
    layers: dict[str, nn.Module] = {}

    def normalise_and_pool(number: int) -> None:
        if norm:
            layers[f"norm{number}"] = local_response_norm()
        layers[f"pool{number}"] = nn.MaxPool2d(kernel_size=3, stride=2)

    layers["conv1"] = nn.Conv2d(in_channels, 96, kernel_size=11, stride=4)
    layers["relu1"] = nn.ReLU()
    normalise_and_pool(1)
    layers["conv2"] = nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=groups)
    layers["relu2"] = nn.ReLU()
    normalise_and_pool(2)
    features = named(
        **layers,
        conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=groups),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=groups),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(kernel_size=3, stride=2),
    )
    classifier = named(
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * 6 * 6, 4096),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(dropout),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        dropout7=nn.Dropout(dropout),
        fc8=nn.Linear(4096, num_classes),
    )
    _start(features, classifier, initialisation)
    return ImageClassifier(
        features, classifier, in_channels=in_channels, num_classes=num_classes, image_size=227
    )


@register("alexnet")
def alexnet(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    dropout: float = 0.5,
    initialisation: str = "torch",
) -> ImageClassifier:
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
    _start(features, classifier, initialisation)
    return ImageClassifier(
        features,
        classifier,
        in_channels=in_channels,
        num_classes=num_classes,
        image_size=224,
        smallest_size=63,
    )


@register("alexnet")
def alexnet_d2l(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    dropout: float = 0.5,
    initialisation: str = "torch",
) -> ImageClassifier:
    """The AlexNet of the book "Dive into Deep Learning" for Fashion-MNIST: 46,764,746 parameters.

    The 2012 widths without groups and without local response normalisation, at 224 pixels with
    padding 1 in front, which gives 54x54 maps. The book starts from ``initialisation="xavier"``.
    """
    features = named(
        conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4, padding=1),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(kernel_size=3, stride=2),
        conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(kernel_size=3, stride=2),
        conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(kernel_size=3, stride=2),
    )
    classifier = named(
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * 5 * 5, 4096),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(dropout),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        dropout7=nn.Dropout(dropout),
        fc8=nn.Linear(4096, num_classes),
    )
    _start(features, classifier, initialisation)
    return ImageClassifier(
        features, classifier, in_channels=in_channels, num_classes=num_classes, image_size=224
    )


@register("alexnet")
def alexnet_small(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    activation: str = "relu",
    norm: bool = False,
    dropout: float = 0.5,
    initialisation: str = "he",
) -> ImageClassifier:
    """An AlexNet for 28 pixels that a CPU trains.

    The same five convolutions, three overlapping poolings and three linear layers with dropout
    on the outputs of the first two. Kernels, strides and widths are cut to the small image. It
    has no batch norm and starts from He weights, because without either eight layers learn
    slowly. ``activation`` is ``"relu"`` or ``"tanh"``; ``norm=True`` adds the paper's local
    response normalisation.
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
    features = named(**layers)
    hidden = {}
    for number, inputs in ((6, 48 * 3 * 3), (7, 256)):
        hidden[f"fc{number}"] = nn.Linear(inputs, 256)
        hidden[f"{activation}{number}"] = activate()
        hidden[f"dropout{number}"] = nn.Dropout(dropout)
    classifier = named(flatten=nn.Flatten(), **hidden, fc8=nn.Linear(256, num_classes))
    _start(features, classifier, initialisation)
    return ImageClassifier(
        features, classifier, in_channels=in_channels, num_classes=num_classes, image_size=28
    )
