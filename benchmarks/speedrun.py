"""The course's fastest way to an accuracy on Fashion-MNIST on a CPU: the whole recipe on one page.

    python -m benchmarks.speedrun                       # aims at 93 % of the test images
    python -m benchmarks.speedrun 94                    # at 94 %; or 88, 90, 92
    python -m benchmarks.speedrun 94 --seed 7 --validation     # never reads the test images

Most ideas come from Keller Jordan's cifar10-airbench (arXiv:2404.00498): a frozen first layer that
whitens small patches, pooling directly after the convolution, convolutions that start near the
identity, mirrored images in turn, label smoothing, and Muon as the optimizer. What saves most time
is from Angela Jiang and others (arXiv:1910.00762): after a first pass over all images, a pass shows
those with the largest losses only. benchmarks.time_to_accuracy times it beside other people's code.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import common
from utils import data


@dataclass(frozen=True)
class Recipe:
    widths: tuple[int, ...]  # channels of the groups
    epochs: float  # images seen, divided by the images that there are
    batch_size: int = 128
    conv_rate: float = 0.1  # Muon's, for the convolutions
    other_rate: float = 0.05  # SGD's, for batch norm and the last layer
    smoothing: float = 0.1
    kept: float = 0.3  # share of the images that a pass after the first one sees
    at_random: float = 0.1  # share of these that are drawn from the others, whatever their loss


# By the accuracy at which they aim, in percent: for less of it a smaller network will do.
RECIPES = {
    "88": Recipe(widths=(8, 16, 32), epochs=1),
    "90": Recipe(widths=(8, 16, 32), epochs=1.5),
    "92": Recipe(widths=(16, 32, 64), epochs=1.8),
    "93": Recipe(widths=(16, 32, 64), epochs=3.2),
    "94": Recipe(widths=(24, 48, 96), epochs=3.6),
}
MEAN, STD = 72.94, 90.02  # of the training images' bytes


# --- the network ----------------------------------------------------------------------------------


def whitening(images: Tensor, kernel_size: int = 2) -> nn.Conv2d:
    """A frozen convolution whose outputs on the patches of these images (N, 1, H, W) are
    uncorrelated and equally large. Each comes once more with the other sign, as ReLU cuts one."""
    patches = F.unfold(images, kernel_size).transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    kernels = (vectors / (values + 5e-4).sqrt()).T.reshape(-1, 1, kernel_size, kernel_size)
    layer = nn.Conv2d(1, 2 * len(kernels), kernel_size, bias=False).requires_grad_(False)
    layer.weight.data = torch.cat([kernels, -kernels])
    return layer


def convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3×3. At the start the first outputs are copies of the inputs; the others are torch's own."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight[: min(in_channels, out_channels)])
    return layer


def group(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two convolutions. Pooling comes before batch norm and ReLU, which so work on a quarter."""
    return nn.Sequential(
        convolution(in_channels, out_channels),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(out_channels, momentum=0.3),
        nn.ReLU(inplace=True),
        convolution(out_channels, out_channels),
        nn.BatchNorm2d(out_channels, momentum=0.3),
        nn.ReLU(inplace=True),
    )


class Network(nn.Module):
    """Whitening, groups, the maximum of each map, a linear layer: (N, 1, 28, 28) -> (N, 10)."""

    def __init__(self, widths: tuple[int, ...], images: Tensor):
        super().__init__()
        first = whitening(images)
        channels = (first.out_channels, *widths)
        self.features = nn.Sequential(
            first,
            nn.ReLU(inplace=True),
            *(group(i, o) for i, o in pairwise(channels)),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(widths[-1], 10, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images)) / 9


# --- the optimizer --------------------------------------------------------------------------------


class Muon(torch.optim.Optimizer):
    """A step has the direction of the momentum with all its singular values near 1, and the
    weights keep their length (Jordan and others 2024, https://kellerjordan.github.io/posts/muon)."""

    def __init__(self, parameters, lr: float, momentum: float = 0.6):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.mul_(group["momentum"]).add_(weight.grad)
                direction = weight.grad.add(momentum, alpha=group["momentum"])  # Nesterov's
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                weight.sub_(orthogonal(direction.flatten(1)).view_as(weight), alpha=group["lr"])


def orthogonal(matrix: Tensor, steps: int = 3) -> Tensor:
    """Newton-Schulz iteration: the same singular vectors, singular values near 1."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if tall else x


# --- training -------------------------------------------------------------------------------------


def standardised(images: Tensor) -> Tensor:
    """Bytes (N, 1, H, W) as float32 around 0, in the memory format in which a CPU convolves."""
    return ((images.float() - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def next_pass(losses: Tensor, recipe: Recipe) -> Tensor:
    """Images (their numbers, in random order) of the next pass: at first all, then those with the
    largest losses and, so that none is forgotten, a few of the others."""
    if losses.isinf().all():
        return torch.randperm(len(losses))
    ranked = losses.argsort(descending=True)
    kept = round(recipe.kept * len(ranked))
    hard, others = ranked.tensor_split([round(kept * (1 - recipe.at_random))])
    some = others[torch.randperm(len(others))[: kept - len(hard)]]
    chosen = torch.cat([hard, some])
    return chosen[torch.randperm(len(chosen))]


def train(
    recipe: Recipe,
    seed: int,
    images: Tensor,
    labels: Tensor,
    watch: Callable[[nn.Module, int], None] | None = None,
    looks: int = 8,
) -> Network:
    """Train on bytes (N, 1, 28, 28) and labels (N,) from one seed.

    `watch(network, images seen)` is called `looks` times, at equal distances, the last time at the
    end; it gets the network in evaluation mode.
    """
    torch.manual_seed(seed)
    network = Network(recipe.widths, standardised(images[:5000]))
    network.to(memory_format=torch.channels_last).train()
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    muon = Muon([weight for weight in learned if weight.ndim == 4], recipe.conv_rate)
    others = [weight for weight in learned if weight.ndim < 4]
    sgd = torch.optim.SGD(others, recipe.other_rate, momentum=0.85, nesterov=True)

    both = torch.cat([images, images.flip(-1)])
    mirrored = torch.rand(len(images)) < 0.5
    losses = torch.full((len(images),), torch.inf)  # of each image when it was seen last

    steps = max(1, round(recipe.epochs * len(images) / recipe.batch_size))
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(order) < recipe.batch_size:  # a new pass; what is left of the old one comes first
            mirrored = ~mirrored  # passes show an image as it is and mirrored, in turn
            order = torch.cat([order, next_pass(losses, recipe)])
        batch, order = order.split([recipe.batch_size, len(order) - recipe.batch_size])
        inputs = both[batch + len(images) * mirrored[batch]]

        done = step / steps
        rate = min(done / 0.1, (1 - done) / 0.9)  # up for a tenth of the steps, then down to 0
        muon.param_groups[0]["lr"] = rate * recipe.conv_rate
        sgd.param_groups[0]["lr"] = rate * recipe.other_rate

        logits = network(standardised(inputs))
        losses[batch] = F.cross_entropy(logits.detach(), labels[batch], reduction="none")
        loss = F.cross_entropy(logits, labels[batch], label_smoothing=recipe.smoothing)
        network.zero_grad()
        loss.backward()
        muon.step()
        sgd.step()

        if watch and (step + 1) * looks // steps > step * looks // steps:
            watch(network.eval(), (step + 1) * recipe.batch_size)
            network.train()
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor, mirror: bool = True) -> float:
    """Share of right answers; with `mirror` an answer is the mean of image and mirrored image."""
    correct = 0
    for some, wanted in zip(images.split(1000), labels.split(1000)):
        logits = network(standardised(some))
        if mirror:
            logits = logits + network(standardised(some.flip(-1)))
        correct += (logits.argmax(1) == wanted).sum().item()
    return correct / len(labels)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("aim", nargs="?", choices=list(RECIPES), default="93", help="in percent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--validation", action="store_true", help="train on 50,000, test on 10,000")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    raw = data.read_raw()
    images, labels = raw["train_images"], raw["train_labels"]
    checked = raw["test_images"], raw["test_labels"]
    if options.validation:
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        checked = images[order[:10_000]], labels[order[:10_000]]
        images, labels = images[order[10_000:]], labels[order[10_000:]]
    start, looked = time.process_time(), 0.0

    def watch(network: nn.Module, seen: int) -> None:
        nonlocal looked
        now = time.process_time()
        score = accuracy(network, *checked)
        print(f"{seen:9,} images, {now - start - looked:6.1f} processor seconds: {score:.2%}")
        looked += time.process_time() - now

    train(RECIPES[options.aim], options.seed, images, labels, watch)


if __name__ == "__main__":
    main()
