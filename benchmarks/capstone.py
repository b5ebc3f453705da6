"""How good a network of 1 M MACs and 30,000 parameters gets by the capstone's short recipes.

The course's own network, other right designs and careless ones, from several seeds, trained as the
check of exercise capstone.7 trains an answer and scored on validation images. The bar of that check
follows from the runs and is written with them: halfway between the worst run of the course's own
network and the best run of all careless designs, rounded down to half a point. At budget smoke,
which only proves that everything runs, it is half the accuracy of the worst run. Writes
results/capstone.json; finished runs are kept, and a changed recipe starts anew.

    python -m benchmarks.capstone
"""

from __future__ import annotations

import functools
import math

import torch
from torch import nn

from benchmarks import common
from utils import networks
from utils.topics import capstone

FILE = "capstone.json"
SEEDS = {"own": 12}  # and of the others:
OTHERS = 4


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def nin_like() -> nn.Sequential:
    """Each larger convolution is followed by a 1x1; the last maps are the class maps."""
    return nn.Sequential(
        *(conv(1, 24, 3, 2), conv(24, 24, 1)),
        *(conv(24, 40, 3, 2), conv(40, 40, 1)),
        *(conv(40, 40, 3, 2), nn.Conv2d(40, 10, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def lenet(first: int = 6, *, batch_norm: bool = False) -> nn.Sequential:
    """LeNet with narrower linear layers, so that it keeps within the limits."""
    norm = nn.BatchNorm2d if batch_norm else lambda _: nn.Identity()
    return nn.Sequential(
        *(nn.Conv2d(1, first, 5, padding=2), norm(first), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(first, 16, 5), norm(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 60), nn.ReLU(), nn.Linear(60, 30), nn.ReLU()),
        nn.Linear(30, 10),
    )


def flattened() -> nn.Sequential:
    """Three plain convolutions; one linear layer behind all of the last maps."""
    return nn.Sequential(
        *(conv(1, 16, 3, 2), conv(16, 24, 3), nn.MaxPool2d(2), conv(24, 24, 3)),
        *(nn.Flatten(), nn.Linear(24 * 7 * 7, 10)),
    )


def two_layers(*, batch_norm: bool = False) -> nn.Sequential:
    """One hidden layer of as many numbers as the limits allow."""
    norm = nn.BatchNorm1d(37) if batch_norm else nn.Identity()
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 37), norm, nn.ReLU(), nn.Linear(37, 10))


DESIGNS = {
    "own": ("the course's own: MobileNet v1, width 0.59", capstone.own_network),
    "residual": (
        "residual: resnet_small, widths 9, 18, 34",
        lambda: networks.build("resnet_small", widths=(9, 18, 34)),
    ),
    "nin_like": ("NiN-like, down to 4x4 pixels", nin_like),
    "flattened": ("plain convolutions, maps flattened", flattened),
    "lenet_norm": ("LeNet, narrow, with batch norm", lambda: lenet(batch_norm=True)),
    "lenet": ("LeNet, narrow", lenet),
    "lenet_slow": ("LeNet, narrow, at half the learning rate", lenet),
    "linear": ("one linear layer", lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10))),
    "two_layers": ("flattened, one hidden layer", two_layers),
    "two_layers_norm": (
        "flattened, one hidden layer, batch norm",
        lambda: two_layers(batch_norm=True),
    ),
    "pooled_away": (
        "two convolutions, then averaged",
        lambda: nn.Sequential(
            conv(1, 16, 5, 2), conv(16, 24, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(24, 10),
        ),
    ),
}  # fmt: skip


# The only one that is not trained as the check trains an answer.
LEARNING_RATES = {"lenet_slow": 0.05}
CARELESS = ("lenet", "linear", "two_layers", "two_layers_norm", "pooled_away")


@functools.cache
def cost(name: str) -> dict[str, int]:
    measured = capstone.measure(DESIGNS[name][1]())
    assert measured.macs <= capstone.LIMITS["macs"], (name, measured)
    assert measured.parameters <= capstone.LIMITS["parameters"], (name, measured)
    return {"parameters": measured.parameters, "macs": measured.macs}


def accuracy(recipe: str, name: str, seed: int) -> float:
    run = capstone.short_run(DESIGNS[name][1], recipe, seed, LEARNING_RATES.get(name))
    return common.completed(run).accuracy


def measure(recipe: str, head: dict) -> None:
    """All designs by one recipe, and the bar that follows."""
    stored = common.Stored(FILE, head, "recipes", recipe, recipe=capstone.RECIPES[recipe])
    designs = stored.content.setdefault("designs", {})
    for name, (label, _) in DESIGNS.items():
        if designs.get(name, {}).get("label") != label:
            designs[name] = {"label": label, **cost(name)}
        stored.extend(designs[name], "accuracy", SEEDS.get(name, OTHERS), accuracy, recipe, name)
    worst = designs["own"]["accuracy"]["min"]
    best = max(designs[name]["accuracy"]["max"] for name in CARELESS)
    bar = worst / 2 if recipe == "smoke" else (worst + best) / 2
    bar = math.floor(bar * 200) / 200
    stored.content |= {"worst_own": worst, "best_careless": best, "bar": bar}
    stored.save()


def main() -> None:
    names = common.parser(__doc__, names=capstone.RECIPES).parse_args().names
    torch.set_num_threads(1)
    head = common.header("Networks within the capstone's budget, by its short recipes")
    for recipe in names:
        measure(recipe, head | {"limits": capstone.LIMITS})


if __name__ == "__main__":
    main()
