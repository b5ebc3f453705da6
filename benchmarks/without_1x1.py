"""What do the 1x1 layers of a NiN bring? Three networks, the same seeds.

`nin_small` is compared with the same network without its 1x1 layers, and with a wider one without
1x1 layers that costs as many MACs and has about as many parameters. Writes
results/without_1x1.json once, at its end; validation accuracy after the last epoch, paired by seed.

    python -m benchmarks.without_1x1 --seeds 5
"""

from __future__ import annotations

from torch import nn

from benchmarks import common
from utils import data, device, networks, summary, training

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
    splits = data.load(
        batch_size=RECIPE["batch_size"],
        train_images=RECIPE["train_images"],
        device="cpu",
        seed=seed,
    )
    device.seed_everything(seed)
    model = NETWORKS[name][1]()
    common.fit(
        model,
        splits.train,
        epochs=RECIPE["epochs"],
        learning_rate=RECIPE["learning_rate"],
        seed=seed,
    )
    return training.evaluate(model, splits.validation).accuracy


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    result = common.header("A small NiN with and without its 1x1 layers, paired by seed")
    result["recipe"] = RECIPE
    result["networks"] = {}
    for name, (label, build) in NETWORKS.items():
        model = build()
        runs = []
        for seed in seeds:
            runs.append(accuracy(name, seed))
            print(name, seed, runs[-1], flush=True)
        result["networks"][name] = {
            "label": label,
            "parameters": summary.count_parameters(model),
            "macs": summary.count_macs(model, (1, 28, 28)),
            "accuracy": common.summarise(runs),
        }
    own = result["networks"]["mlpconv"]["accuracy"]["runs"]
    for name in ("linear", "linear_wide"):
        other = result["networks"][name]["accuracy"]["runs"]
        gains = [100 * (a - b) for a, b in zip(own, other, strict=True)]
        result["networks"][name]["points_behind_mlpconv"] = common.summarise(gains, digits=2)
    common.write(FILE, result)


if __name__ == "__main__":
    main()
