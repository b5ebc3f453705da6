"""GoogLeNet (Szegedy and others, arXiv 1409.4842): as published, two later forms, and a small one.

The network is a row of Inception modules. Each looks at its input through four branches at once,
and puts their feature maps side by side.
"""

from functools import partial

import torch
from torch import Tensor, nn

from utils.networks.common import ImageClassifier, Layers, average_and_linear, named, register

# Channels of the nine modules (Table 1 of the paper): the 1x1 branch, the 1x1 and 3x3 of the
# second branch, the 1x1 and 5x5 of the third, and the 1x1 after the pooling.
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, *, batch_norm: bool = False, **options
) -> nn.Sequential:
    """A convolution and a ReLU, with a batch norm between them if asked for (then no bias).

    The padding keeps the size of the maps unless `stride=2` halves it.
    """
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        bias=not batch_norm,
        **options,
    )
    norm = {"norm": nn.BatchNorm2d(out_channels, eps=0.001)} if batch_norm else {}
    return named(conv=conv, **norm, relu=nn.ReLU())


class Inception(nn.Module):
    """An Inception module with reductions: four branches, joined channel by channel.

    `one` is the width of the 1x1 branch; `three` and `five` are the widths of the 1x1
    reduction and of the convolution after it; `pool` is the width of the 1x1 after a 3x3 max
    pooling of stride 1. Maps of shape (N, in_channels, H, W) become (N, out_channels, H, W) with
    `out_channels = one + three[1] + five[1] + pool`.
    """

    def __init__(
        self,
        in_channels: int,
        one: int,
        three: tuple[int, int],
        five: tuple[int, int],
        pool: int,
        *,
        kernel_size_of_five: int = 5,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        conv = partial(convolution, batch_norm=batch_norm)
        self.out_channels = one + three[1] + five[1] + pool
        self.branch1 = conv(in_channels, one, 1)
        self.branch2 = named(
            reduce=conv(in_channels, three[0], 1), conv3x3=conv(three[0], three[1], 3)
        )
        self.branch3 = named(
            reduce=conv(in_channels, five[0], 1),
            conv5x5=conv(five[0], five[1], kernel_size_of_five),
        )
        self.branch4 = named(
            pool=nn.MaxPool2d(kernel_size=3, stride=1, padding=1),
            project=conv(in_channels, pool, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps (N, in_channels, H, W) to (N, out_channels, H, W)."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(maps) for branch in branches], dim=1)


class GoogLeNet(ImageClassifier):
    """An `ImageClassifier` that may have classifiers at inner layers as well.

    `auxiliary` maps the name of a module of `features` to the classifier that reads its
    output. `forward` answers with the logits of the last layer alone, in training too;
    `all_logits` gives those of the auxiliary classifiers as well, for a loss such as
    `main + 0.3 * (aux_4a + aux_4d)`.
    """

    def __init__(
        self,
        features: nn.Sequential,
        classifier: nn.Sequential,
        auxiliary: dict[str, nn.Module] | None = None,
        **sizes,
    ) -> None:
        super().__init__(features, classifier, **sizes)
        if auxiliary:
            del self.classifier  # registered after the auxiliary ones, as in torchvision
            self.auxiliary = nn.ModuleDict(auxiliary)
            self.classifier = classifier

    def all_logits(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (N, num_classes) of the network, and of each auxiliary classifier by name."""
        inner: dict[str, Tensor] = {}
        auxiliary = self.auxiliary if hasattr(self, "auxiliary") else {}
        handles = [
            getattr(self.features, name).register_forward_hook(
                lambda module, inputs, maps, name=name: inner.__setitem__(name, maps)
            )
            for name in auxiliary
        ]
        try:
            logits = self(images)
        finally:
            for handle in handles:
                handle.remove()
        return logits, {name: head(inner[name]) for name, head in auxiliary.items()}


def auxiliary_classifier(
    in_channels: int, num_classes: int, *, as_torchvision: bool = False, dropout: float = 0.7
) -> nn.Sequential:
    """The paper's auxiliary classifier for 14x14 maps: 4x4 averages, 128 1x1, 1024, classes.

    The paper averages over 5x5 windows with stride 3. torchvision's has a batch norm, and adaptive
    pooling, whose windows on 14x14 maps are 4x4: as many averages, but not the same ones.
    """
    windows = nn.AdaptiveAvgPool2d(4) if as_torchvision else nn.AvgPool2d(kernel_size=5, stride=3)
    return named(
        average=windows,
        conv=convolution(in_channels, 128, 1, batch_norm=as_torchvision),
        flatten=nn.Flatten(),
        fc1=nn.Linear(128 * 4 * 4, 1024),
        relu=nn.ReLU(),
        dropout=nn.Dropout(dropout),
        fc2=nn.Linear(1024, num_classes),
    )


def _pool(kernel_size: int = 3) -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel_size, stride=2, ceil_mode=True)


def _modules(in_channels: int, names: str, **options) -> tuple[dict[str, nn.Module], int]:
    """The modules named, one after the other, and the channels of the last."""
    modules: dict[str, nn.Module] = {}
    for name in names.split():
        module = Inception(in_channels, *MODULES[name], **options)
        modules[f"inception{name}"], in_channels = module, module.out_channels
    return modules, in_channels


def _body(
    stem: dict[str, nn.Module], pool3: nn.Module, pool4: nn.Module, **options
) -> nn.Sequential:
    """The stem and the nine modules of the paper, with two poolings between them."""
    third, channels = _modules(192, "3a 3b", **options)
    fourth, channels = _modules(channels, "4a 4b 4c 4d 4e", **options)
    fifth, _ = _modules(channels, "5a 5b", **options)
    return named(**stem, **third, pool3=pool3, **fourth, pool4=pool4, **fifth)


def _auxiliary_classifiers(num_classes: int, **options) -> dict[str, nn.Module]:
    return {
        name: auxiliary_classifier(channels, num_classes, **options)
        for name, channels in (("inception4a", 512), ("inception4d", 528))
    }


@register("googlenet", GoogLeNet, image_size=224, smallest_size=31)
def googlenet(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    auxiliary: bool = False,
    dropout: float = 0.4,
) -> Layers:
    """The published network: 224 pixels, 6,998,552 parameters, 13,378,280 with both heads.

    Convolutions have biases and there is no batch norm. The paper names local response
    normalisation without its constants; they are those of Caffe's copy (BVLC/caffe,
    bvlc_googlenet). `auxiliary=True` adds the classifiers after 4a and 4d.
    """
    stem = {
        "conv1": convolution(in_channels, 64, 7, stride=2),
        "pool1": _pool(),
        "norm1": nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1.0),
        "conv2_reduce": convolution(64, 64, 1),
        "conv2": convolution(64, 192, 3),
        "norm2": nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1.0),
        "pool2": _pool(),
    }
    features = _body(stem, _pool(), _pool())
    classifier = average_and_linear(1024, num_classes, dropout)
    heads = _auxiliary_classifiers(num_classes) if auxiliary else {}
    return features, classifier, heads


@register("googlenet", GoogLeNet, image_size=224, smallest_size=15)
def googlenet_torchvision(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    auxiliary: bool = False,
    dropout: float = 0.2,
) -> Layers:
    """torchvision's GoogLeNet: 6,624,904 parameters, 13,004,888 with both heads.

    Batch norm in place of biases and of local response normalisation; 3x3 kernels where the paper
    has 5x5 (pytorch/vision issue 906); the last pooling is 2x2.
    """
    conv = partial(convolution, batch_norm=True)
    stem = {
        "conv1": conv(in_channels, 64, 7, stride=2),
        "pool1": _pool(),
        "conv2_reduce": conv(64, 64, 1),
        "conv2": conv(64, 192, 3),
        "pool2": _pool(),
    }
    features = _body(stem, _pool(), _pool(2), batch_norm=True, kernel_size_of_five=3)
    classifier = average_and_linear(1024, num_classes, dropout)
    heads = _auxiliary_classifiers(num_classes, as_torchvision=True) if auxiliary else {}
    return features, classifier, heads


@register("googlenet", GoogLeNet, image_size=96, smallest_size=1)
def googlenet_d2l(*, in_channels: int = 1, num_classes: int = 10) -> Layers:
    """The GoogLeNet of the book "Dive into Deep Learning" for Fashion-MNIST: 5,977,530 parameters.

    96 pixels, without normalisation, dropout or auxiliary classifiers. The book starts from
    `initialisation="xavier"`.
    """
    pool = partial(nn.MaxPool2d, kernel_size=3, stride=2, padding=1)
    stem = {
        "conv1": convolution(in_channels, 64, 7, stride=2),
        "pool1": pool(),
        "conv2_reduce": convolution(64, 64, 1),
        "conv2": convolution(64, 192, 3),
        "pool2": pool(),
    }
    return _body(stem, pool(), pool()), average_and_linear(1024, num_classes)


# The modules of the small network, written as in MODULES: about a quarter of the paper's widths.
SMALL_MODULES = {
    "3a": (16, (16, 24), (4, 8), 8),
    "3b": (24, (24, 40), (8, 16), 16),
    "4a": (32, (32, 56), (8, 16), 16),
    "4b": (40, (40, 72), (8, 16), 24),
    "5a": (48, (48, 96), (12, 24), 24),
}


@register("googlenet", GoogLeNet, image_size=28, smallest_size=8)
def googlenet_small(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    auxiliary: bool = False,
    batch_norm: bool = True,
    dropout: float = 0.2,
) -> Layers:
    """A GoogLeNet for 28 pixels that a CPU trains: a short stem and five Inception modules.

    Modules 3a and 3b work at 14x14, 4a and 4b at 7x7, 5a at 3x3. The batch norm, which takes the
    place of biases, is not in the paper. `auxiliary=True` adds one small classifier after 4a:
    1x1, average, linear.
    """
    conv = partial(convolution, batch_norm=batch_norm)
    layers: dict[str, nn.Module] = {"conv1": conv(in_channels, 16, 3), "pool1": _pool()}
    channels = 16
    for name, module_widths in SMALL_MODULES.items():
        if name in ("4a", "5a"):
            layers[f"pool{int(name[0]) - 1}"] = _pool()
        module = Inception(channels, *module_widths, batch_norm=batch_norm)
        layers[f"inception{name}"], channels = module, module.out_channels
    heads: dict[str, nn.Module] = {}
    if auxiliary:
        heads["inception4a"] = named(
            conv=conv(layers["inception4a"].out_channels, 64, 1),
            average=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(64, num_classes),
        )
    return named(**layers), average_and_linear(channels, num_classes, dropout), heads
