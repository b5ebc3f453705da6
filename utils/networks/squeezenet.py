"""SqueezeNet (Iandola and others, arXiv 1602.07360), in its version 1.1.

Every module squeezes its maps with a 1x1 before a 3x3 sees them. The head is a 1x1 to one map for
each class, and the average of each map.
"""

import torch
from torch import Tensor, nn

from utils.networks.common import Layers, named, register

# Channels of the eight fire modules: the 1x1 that squeezes, the 1x1 and the 3x3 that expand.
FIRES = {
    "fire2": (16, 64, 64),
    "fire3": (16, 64, 64),
    "fire4": (32, 128, 128),
    "fire5": (32, 128, 128),
    "fire6": (48, 192, 192),
    "fire7": (48, 192, 192),
    "fire8": (64, 256, 256),
    "fire9": (64, 256, 256),
}
POOL_AFTER = {"conv1": "pool1", "fire3": "pool3", "fire5": "pool5"}


class Fire(nn.Module):
    """A fire module: a 1x1 to few channels, then a 1x1 and a 3x3 beside each other.

    A ReLU follows each of the three. Maps of shape (N, in_channels, H, W) become
    (N, one + three, H, W): the maps of the 1x1 first, then those of the 3x3.
    """

    def __init__(self, in_channels: int, squeeze: int, one: int, three: int) -> None:
        super().__init__()
        self.squeeze = named(conv=nn.Conv2d(in_channels, squeeze, 1), relu=nn.ReLU())
        self.expand1x1 = named(conv=nn.Conv2d(squeeze, one, 1), relu=nn.ReLU())
        self.expand3x3 = named(conv=nn.Conv2d(squeeze, three, 3, padding=1), relu=nn.ReLU())

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps (N, in_channels, H, W) to (N, one + three, H, W)."""
        squeezed = self.squeeze(maps)
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1)


@register("squeezenet", image_size=224, smallest_size=17)
def squeezenet(*, in_channels: int = 3, num_classes: int = 1000, dropout: float = 0.5) -> Layers:
    """SqueezeNet 1.1: 26 convolutions, no linear layer, 1,235,496 parameters.

    Version 1.1 is the authors' own: less work than the network of the paper, because its first
    convolution is smaller and its poolings come earlier. The poolings round up, as in Caffe.
    """
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(in_channels, 64, 3, stride=2),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),
    }
    channels = 64
    for name, (squeeze, one, three) in FIRES.items():
        layers[name] = Fire(channels, squeeze, one, three)
        channels = one + three
        if name in POOL_AFTER:
            layers[POOL_AFTER[name]] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    classifier = named(
        dropout=nn.Dropout(dropout),
        conv=nn.Conv2d(channels, num_classes, 1),
        relu=nn.ReLU(),
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
    )
    return named(**layers), classifier
