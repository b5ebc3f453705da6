"""What do the 1x1 layers of a NiN bring? Three networks, the same seeds.

`nin_small` is compared with the same network without its 1x1 layers, and with a wider one without
1x1 layers that costs as many MACs and has about as many parameters. Writes
results/without_1x1.json: validation accuracy after the last epoch, paired by seed. Finished runs
are kept; a changed recipe starts anew.

    python -m benchmarks.without_1x1 --seeds 5
"""

from __future__ import annotations

from torch import nn

from benchmarks import common
from utils import networks

FILE = "without_1x1.json"
RECIPE = dict(train_images=10_000, epochs=5, batch_size=128, learning_rate=0.2)


def linear_nin(first: int, second: int) -> nn.Sequential:
    """`nin_small` with one convolution where it has an mlpconv. Images (N, 1, 28, 28)."""
    return nn.Sequential(
        nn.Conv2d(1, first, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        nn.Conv2d(first, second, 3, padding=1, bias=False),
        nn.BatchNorm2d(second),
        nn.ReLU(),
        nn.Conv2d(second, 10, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


NETWORKS = {
    "mlpconv": ("mlpconv", lambda: networks.build("nin_small")),
    "linear": ("without 1x1", lambda: linear_nin(32, 64)),
    "linear_wide": ("without 1x1, as many MACs", lambda: linear_nin(64, 110)),
}


def accuracy(name: str, seed: int) -> float:
    """Validation accuracy of one network trained from one seed."""
    splits = common.load(RECIPE, seed)
    model, _ = common.train(NETWORKS[name][1], splits.train, RECIPE, seed)
    return common.accuracy(model, splits.validation)


def main() -> None:
    seeds = common.parser(__doc__, seeds=5).parse_args().seeds
    head = common.header("A small NiN with and without its 1x1 layers, paired by seed")
    stored = common.Stored(FILE, head, recipe=RECIPE)
    entries = stored.content.setdefault("networks", {})
    for name, (label, build) in NETWORKS.items():
        entry = entries.setdefault(name, {"label": label, **common.size(build())})
        stored.extend(entry, "accuracy", seeds, accuracy, name)
        own = entries["mlpconv"]["accuracy"]["runs"]
        gains = [100 * (a - b) for a, b in zip(own, entry["accuracy"]["runs"])]
        if name != "mlpconv":
            entry["points_behind_mlpconv"] = common.summarise(gains, digits=2)
    stored.save()


if __name__ == "__main__":
    main()
