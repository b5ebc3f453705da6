"""LeNet-5 as published in 1998, and as everyone builds it today.

Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86(11), 1998. It is older than arXiv.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from utils.networks.common import ImageClassifier, Layers, choose, named, register

# Table I of the paper: which of the six maps of S2 each of the sixteen maps of C3 sees.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Ten digits, 7 pixels wide and 12 high. The paper shows its bitmaps as a picture; these are
# drawn for this course, so single pixels differ from the published ones.
DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
.#####.  ...##..  .#####.  #######  .....#.  #######  .#####.  #######  .#####.  .#####.
##...##  ..###..  ##...##  .....##  ....##.  ##.....  ##...##  ##...##  ##...##  ##...##
##...##  .####..  .....##  ....##.  ...###.  ##.....  ##.....  .....##  ##...##  ##...##
##...##  ...##..  .....##  ...##..  ..##.#.  ##.....  ##.....  ....##.  .##.##.  ##...##
##...##  ...##..  ....##.  ..####.  .##..#.  ######.  ######.  ....##.  ..###..  .######
##...##  ...##..  ...##..  .....##  ##...#.  .....##  ##...##  ...##..  .##.##.  .....##
##...##  ...##..  ..##...  .....##  #######  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  .##....  .....##  .....#.  .....##  ##...##  ..##...  ##...##  .....##
##...##  ...##..  ##.....  ##...##  .....#.  ##...##  ##...##  ..##...  ##...##  ##...##
.#####.  .######  #######  .#####.  .....#.  .#####.  .#####.  ..##...  .#####.  .#####.
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def digit_codes() -> Tensor:
    """The ten codes (10, 84): bitmap row after row, +1 for ink and -1 for paper."""
    rows = [line.split() for line in DIGITS.split("\n") if line]
    bitmaps = ["".join(row[digit] for row in rows) for digit in range(10)]
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in b] for b in bitmaps])


class ScaledTanh(nn.Module):
    """The squashing function of the paper, 1.7159 tanh(2/3 a); it maps 1 to 1 and -1 to -1."""

    def forward(self, a: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * a)


class Subsampling(nn.Module):
    """Sum of each 2x2 square, times a coefficient, plus a bias: both trainable, one per map.

    (N, C, H, W) to (N, C, H/2, W/2). It starts as average pooling (coefficient 1/4, bias 0).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((channels, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        sums = functional.avg_pool2d(maps, kernel_size=2, divisor_override=1)
        return self.coefficient * sums + self.bias


class PartialConvolution(nn.Module):
    """C3: a 5x5 convolution in which each of the 16 output maps sees only part of the 6 inputs.

    (N, 6, H, W) to (N, 16, H-4, W-4). `weight` (60, 5, 5) holds one kernel for each cross in
    Table I, 1,516 parameters with the biases. `forward` writes them into a full kernel whose
    other entries are zero: one full convolution is ten times faster than 16 partial ones. A
    layer table therefore counts 240,000 MACs here, of which 150,000 have a weight.
    """

    def __init__(self) -> None:
        super().__init__()
        crosses = [(out, seen) for out, row in enumerate(C3_TABLE) for seen in row]
        out_map, in_map = torch.tensor(crosses).T
        self.register_buffer("out_map", out_map, persistent=False)
        self.register_buffer("in_map", in_map, persistent=False)
        bounds = torch.tensor([2.4 / (25 * len(row)) for row in C3_TABLE])
        self.weight = nn.Parameter(_uniform(bounds[out_map, None, None].expand(-1, 5, 5)))
        self.bias = nn.Parameter(_uniform(bounds))

    def forward(self, maps: Tensor) -> Tensor:
        kernel = self.weight.new_zeros(16, 6, 5, 5)
        kernel = kernel.index_put((self.out_map, self.in_map), self.weight)
        return functional.conv2d(maps, kernel, self.bias)


def _uniform(bounds: Tensor) -> Tensor:
    return bounds * (2 * torch.rand(bounds.shape) - 1)


class RBFOutput(nn.Module):
    """Squared distances from (N, 84) to the ten fixed codes, negated: logits (N, 10).

    The nearest code has the largest logit. Cross-entropy on these logits is the paper's second
    loss (its equation 9) without the constant that its authors add for "none of the ten".
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", digit_codes())

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None, :] - self.codes).square().sum(dim=2)


@register("lenet", image_size=32, initialisation=None)
def lenet5_1998(*, in_channels: int = 1, num_classes: int = 10) -> Layers:
    """LeNet-5 as published: 32 pixels, 60,000 trainable parameters, 340,908 connections.

    C3 sees S2 through the paper's connection table, subsampling is trainable, the output
    measures distances to fixed bitmaps. Weights start uniform between -2.4/F and 2.4/F, where F
    is the number of inputs of a unit, as in the paper. Only ten classes: there are ten bitmaps.
    """
    if num_classes != 10:
        raise ValueError(
            f"lenet5_1998 has fixed codes for ten digits, but got num_classes={num_classes}:"
            ' use build("lenet") for another number of classes.'
        )
    features = named(
        c1=nn.Conv2d(in_channels, 6, kernel_size=5),
        squash1=ScaledTanh(),
        s2=Subsampling(6),
        squash2=ScaledTanh(),
        c3=PartialConvolution(),
        squash3=ScaledTanh(),
        s4=Subsampling(16),
        squash4=ScaledTanh(),
        c5=nn.Conv2d(16, 120, kernel_size=5),
        squash5=ScaledTanh(),
    )
    classifier = named(
        flatten=nn.Flatten(),
        f6=nn.Linear(120, 84),
        squash6=ScaledTanh(),
        output=RBFOutput(),
    )
    for module in (*features.modules(), *classifier.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = 2.4 / module.weight[0].numel()
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.uniform_(module.bias, -bound, bound)
    return features, classifier


def connections(network: ImageClassifier) -> dict[str, int]:
    """Connections of each layer of `lenet5_1998`, as the paper counts them: 340,908 in all.

    Every unit has one connection for each of its inputs and one for its bias. Shared weights
    count wherever they are used.
    """
    count: dict[str, int] = {}
    maps = torch.zeros(1, network.in_channels, network.image_size, network.image_size)
    with torch.no_grad():
        for name, layer in (
            *network.features.named_children(),
            *network.classifier.named_children(),
        ):
            outputs = layer(maps)
            if isinstance(layer, nn.Conv2d | nn.Linear):
                count[name] = outputs.numel() * (layer.weight[0].numel() + 1)
            elif isinstance(layer, Subsampling):
                count[name] = outputs.numel() * (4 + 1)
            elif isinstance(layer, PartialConvolution):
                weights_and_biases = sum(p.numel() for p in layer.parameters())
                count[name] = outputs[0, 0].numel() * weights_and_biases
            elif isinstance(layer, RBFOutput):
                count[name] = layer.codes.numel()
            maps = outputs
    return count


@register("lenet", image_size=28)
def lenet(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    activation: str = "relu",
    pooling: str = "max",
) -> Layers:
    """LeNet as everyone builds it today: 28 pixels with padding 2, 61,706 parameters.

    `activation` is `"relu"`, `"sigmoid"` or `"tanh"`; `pooling` is `"max"` or
    `"average"`. `activation="sigmoid", pooling="average"` is the network of the book "Dive
    into Deep Learning", which also trains it from `initialisation="xavier"`.
    """
    activations = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    squash = choose("activation", activation, activations)
    pool = choose("pooling", pooling, {"max": nn.MaxPool2d, "average": nn.AvgPool2d})
    features = named(
        conv1=nn.Conv2d(in_channels, 6, kernel_size=5, padding=2),
        activation1=squash(),
        pool1=pool(kernel_size=2, stride=2),
        conv2=nn.Conv2d(6, 16, kernel_size=5),
        activation2=squash(),
        pool2=pool(kernel_size=2, stride=2),
    )
    classifier = named(
        flatten=nn.Flatten(),
        linear1=nn.Linear(16 * 5 * 5, 120),
        activation3=squash(),
        linear2=nn.Linear(120, 84),
        activation4=squash(),
        linear3=nn.Linear(84, num_classes),
    )
    return features, classifier
