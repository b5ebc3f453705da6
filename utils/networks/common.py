"""What all networks of the course share: the base class, small helpers and the registry."""

import difflib
import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

from utils.networks import pretrained as weights


class ImageClassifier(nn.Module):
    """Images of shape (N, C, H, W) in, logits of shape (N, num_classes) out.

    `features` turns images into feature maps, `classifier` turns feature maps into logits.
    Both are `nn.Sequential` with named layers, registered in the order in which they run.

    Attributes: `name`, `in_channels`, `num_classes`, `image_size` (the size in pixels
    the network was made for), `smallest_size` (the smallest size that still gives logits),
    `fixed_size` (True where a linear layer after the feature maps allows `image_size` only) and
    `preprocessing` (what a photograph needs, where the weights are pretrained; else None).
    """

    name = "network"  # `register` puts the name of the function here
    preprocessing: weights.Preprocessing | None = None

    def __init__(
        self,
        features: nn.Module,
        classifier: nn.Module,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        smallest_size: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.image_size = image_size
        self.fixed_size = smallest_size is None
        self.smallest_size = image_size if smallest_size is None else smallest_size
        self.features = features
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of float images (N, C, H, W).

        Raises TypeError for images of the wrong type and ValueError for a wrong shape or size.
        """
        check_images(self, images)
        return self.classifier(self.features(images))

    def prepare(self, photograph: Any, *, square: bool | None = None) -> Tensor:
        """A photograph as images (N, 3, H, W) of the kind that these weights were trained on.

        The shorter side becomes `image_size`.

        Args:
            photograph: a picture of PIL, or bytes (3, H, W) or (N, 3, H, W): red, green, blue.
            square: take only the square in the middle. Left out: where the network has a
                `fixed_size`.

        Raises ValueError where the weights are not pretrained, and for what is no photograph.
        """
        if self.preprocessing is None:
            raise ValueError(
                f"{self.name} has no pretrained weights, so nothing says what it does to a"
                f' photograph: build it with build("{self.name}", pretrained=True).'
            )
        square = self.fixed_size if square is None else square
        return self.preprocessing(photograph, square=square)

    def _get_name(self) -> str:
        return self.name  # print(network) begins with the name that build() was given


def check_images(network: ImageClassifier, images: Tensor) -> None:
    """Raise one clear sentence unless `images` are float images that `network` can take."""
    if isinstance(images, torch.fx.Proxy):
        return  # torch.fx traces with stand-ins that have no shape yet
    channels, size = network.in_channels, network.image_size
    wanted = f"{network.name} expects float images of shape (N, {channels}, {size}, {size})"
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{wanted}, but got {type(images).__name__}: convert it with torch.as_tensor first."
        )
    shape = tuple(images.shape)
    if images.ndim != 4:
        advice = "reshape it to (N, C, H, W)"
        if images.ndim == 3 and shape[0] == channels:
            advice = "add the batch dimension with images.unsqueeze(0)"
        elif images.ndim == 3 and channels == 1:
            advice = "add the channel dimension with images.unsqueeze(1)"
        elif images.ndim == 2 and channels == 1 and shape[0] == shape[1]:
            advice = "add batch and channel dimensions with images[None, None]"
        raise ValueError(f"{wanted}, but got a tensor of shape {shape}: {advice}.")
    if not images.is_floating_point():
        raise TypeError(
            f"{wanted}, but got {images.dtype}: divide by 255 and normalise,"
            " or take the batches of utils.data, which do both."
        )
    if images.dtype == torch.float64 and next(network.parameters()).dtype != torch.float64:
        raise TypeError(f"{wanted}, but got torch.float64: convert them with images.float().")
    if shape[1] != channels:
        advice = f'build("{network.name}", in_channels={shape[1]}) takes such images'
        if shape[3] == channels:
            advice = "move the channels forward with images.permute(0, 3, 1, 2)"
        raise ValueError(f"{wanted}, but got shape {shape} with {shape[1]} channels: {advice}.")
    if network.fixed_size and (shape[2] != size or shape[3] != size):
        raise ValueError(
            f"{wanted}, but got {shape[2]}x{shape[3]} pixels: its linear layer allows no other"
            f" size, so resize them to {size}, for example with data.load(image_size={size})."
        )
    if shape[2] < network.smallest_size or shape[3] < network.smallest_size:
        raise ValueError(
            f"{wanted} and at least {network.smallest_size}x{network.smallest_size} pixels, but"
            f" got {shape[2]}x{shape[3]}: enlarge them, for example with"
            f" data.load(image_size={size})."
        )


def named(**layers: nn.Module) -> nn.Sequential:
    """`nn.Sequential` whose layers have names, in the order given."""
    return nn.Sequential(OrderedDict(layers))


def average_and_linear(
    channels: int, num_classes: int, dropout: float | None = None
) -> nn.Sequential:
    """The classifier of most networks: feature maps (N, channels, H, W) to (N, num_classes)."""
    middle = {} if dropout is None else {"dropout": nn.Dropout(dropout)}
    return named(
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        **middle,
        linear=nn.Linear(channels, num_classes),
    )


def choose(option: str, value: str, choices: Mapping[str, Any]) -> Any:
    """`choices[value]`, or a ValueError that lists the choices of this option."""
    if value not in choices:
        listed = ", ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{option} must be one of {listed}, but got {value!r}.")
    return choices[value]


def _xavier(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)


def _he(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


INITIALISATIONS = {"torch": lambda network: None, "xavier": _xavier, "he": _he}


def initialise(network: nn.Module, how: str, choices: Mapping = INITIALISATIONS) -> None:
    """Set the weights of every convolution and linear layer, in place.

    `how` is `"torch"` (keep what torch has drawn), `"xavier"` (Xavier uniform, as d2l's training
    functions do; biases stay as torch has drawn them) or `"he"` (He normal for ReLU, arXiv
    1502.01852; biases 0). `choices` may offer others. Raises ValueError for an unknown name.
    """
    choose("initialisation", how, choices)(network)


# --- the registry ---------------------------------------------------------------------------------

# What a registered function returns: features, classifier, and whatever else the class takes.
Layers = tuple[nn.Module, ...]
Size = int | Callable[[dict[str, Any]], int]  # pixels, or a function of the options

_COMMON = ("num_classes", "in_channels")  # what every network takes; the rest are its options
_builders: dict[str, Callable[..., ImageClassifier]] = {}
_families: dict[str, list[str]] = {}


def register(
    family: str,
    kind: type[ImageClassifier] = ImageClassifier,
    *,
    image_size: Size,
    smallest_size: Size | None = None,
    initialisation: str | None = "torch",
    initialisations: Mapping[str, Callable[[nn.Module], None]] = INITIALISATIONS,
    options_of: Callable[..., Layers] | None = None,
) -> Callable[[Callable[..., Layers]], Callable[..., ImageClassifier]]:
    """Decorator: a function that returns the layers of a network becomes one that builds it.

    The function takes keyword arguments only, `in_channels` and `num_classes` among them, and its
    defaults are those of the paper. It returns `features, classifier`. `build` knows the network
    under the name of the function.

    Args:
        family: the name under which `available` lists the network.
        kind: the class of the network, which gets what the function returns.
        image_size, smallest_size: see `ImageClassifier`.
        initialisation: the default of an option `initialisation`, which the network gets besides
            those of the function. With None it has no such option.
        initialisations: the choices of that option, see `initialise`.
        options_of: where the function takes `**options` only: the function whose keyword
            arguments these are.
    """

    def decorate(function: Callable[..., Layers]) -> Callable[..., ImageClassifier]:
        options = inspect.signature(options_of or function).parameters.values()
        options = [option for option in options if option.kind is option.KEYWORD_ONLY]
        if initialisation is not None:
            last = options[0].replace(name="initialisation", default=initialisation, annotation=str)
            options.append(last)
        signature = inspect.Signature(options, return_annotation=kind)

        @functools.wraps(function)
        def builder(**given: Any) -> ImageClassifier:
            bound = signature.bind(**given)
            bound.apply_defaults()
            values = bound.arguments
            start = values.pop("initialisation", "torch")
            sizes = [s(values) if callable(s) else s for s in (image_size, smallest_size)]
            network = kind(
                *function(**values),
                in_channels=values["in_channels"],
                num_classes=values["num_classes"],
                image_size=sizes[0],
                smallest_size=sizes[1],
            )
            network.name = function.__name__
            initialise(network, start, initialisations)
            return network

        builder.__signature__ = signature
        _builders[function.__name__] = builder
        _families.setdefault(family, []).append(function.__name__)
        return builder

    return decorate


def available(family: str | None = None) -> list[str]:
    """Names that `build` knows, of all families or of one (`available("nin")`).

    Raises ValueError for an unknown family.
    """
    if family is None:
        return list(_builders)
    return list(choose("family", family.lower(), _families))


def build(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    pretrained: bool = False,
    **options: Any,
) -> ImageClassifier:
    """Build a network by name; everything left out is as in the paper.

    `available()` lists the names; the options of each network are described in its own
    function, for example `utils.networks.nin.nin_small`. Raises ValueError for an unknown name
    and for values a network cannot take, TypeError for an unknown option.

    With `pretrained=True` the network has weights trained on ImageNet, is in evaluation mode, and
    `network.prepare(photograph)` makes its input. The weights of "squeezenet" and
    "efficientnet_lite0" are in the clone; those of alexnet, vgg11 to vgg19, googlenet_torchvision,
    resnet18 to resnet152 and mobilenet_v2 are torchvision's and fetched once. With another
    `num_classes` than 1000 the last layer starts at random, for training; otherwise no random
    number is drawn. Raises WeightsError (an OSError) where weights cannot be had, ValueError for
    options that they do not fit.
    """
    if name not in _builders:
        near = difflib.get_close_matches(str(name).lower(), _builders, n=3, cutoff=0.5)
        listed = f"near it: {', '.join(near)}" if near else f"known: {', '.join(_builders)}"
        raise ValueError(f"There is no network called {name!r}; {listed}.")
    known = [o for o in inspect.signature(_builders[name]).parameters if o not in _COMMON]
    for option in options:
        if option not in known:
            listed = f"its options are {', '.join(known)}" if known else "it has none"
            raise TypeError(f"{name} has no option {option!r}; {listed}.")
    for option, value in zip(_COMMON, (num_classes, in_channels)):
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{option} must be a whole number of at least 1, but got {value!r}.")
        options[option] = value
    if not pretrained:
        return _builders[name](**options)
    signature = inspect.signature(_builders[name])
    defaults = {option.name: option.default for option in signature.parameters.values()}
    fitting = weights.options_for(name, options, defaults)
    whole = fitting.get("num_classes", weights.CLASSES) == weights.CLASSES
    # Random weights that are replaced at once shall not change those that are drawn later.
    with torch.random.fork_rng(enabled=whole, devices=[]):
        network = _builders[name](**fitting)
        weights.load_into(network)
    return network
