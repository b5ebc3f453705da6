"""What LeNet loses when nearness means nothing: one fixed shuffle of the pixels for all images.

Two networks of about equally many parameters, LeNet and one of linear layers only, each trained on
the images as they are and on images whose 784 pixels all stand in another, fixed order. Same
seeds for both, judged on the validation images. A linear layer does not care about the order; a
convolution does. Writes results/shuffled_pixels_lenet.json; finished runs are kept.

    python -m benchmarks.shuffled_pixels
"""

from __future__ import annotations

import itertools
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import nn

from benchmarks import common
from utils import data, device, networks, summary

FILE = "shuffled_pixels_lenet.json"
# That of chapter 01 at budget cpu, so that its live run is one seed more.
RECIPE = dict(images=20_000, batch_size=128, epochs=4, learning_rate=0.05)
ORDER = torch.randperm(28 * 28, generator=torch.Generator().manual_seed(0))
_splits = None


def linear_network() -> nn.Module:
    """61,637 parameters, 69 fewer than LeNet."""
    layers = (nn.Linear(784, 75), nn.ReLU(), nn.Linear(75, 32), nn.ReLU(), nn.Linear(32, 10))
    return nn.Sequential(nn.Flatten(), *layers)


NETWORKS = {"LeNet": lambda: networks.build("lenet"), "linear layers": linear_network}
PIXELS = ("in place", "shuffled")


def prepare() -> None:
    global _splits
    torch.set_num_threads(1)
    _splits = data.load(train_images=RECIPE["images"], device="cpu")


def batches_of(split: data.Batches, pixels: str, seed: int) -> data.Batches:
    images = split.images
    if pixels == "shuffled":
        images = images.flatten(1)[:, ORDER].view_as(images)
    return data.Batches(
        images,
        split.labels,
        batch_size=RECIPE["batch_size"],
        shuffle=split.shuffle,
        mean=_splits.mean,
        std=_splits.std,
        device="cpu",
        seed=seed,
    )


def run(network: str, pixels: str, seed: int) -> dict:
    device.seed_everything(seed)
    history = common.fit(
        NETWORKS[network](),
        batches_of(_splits.train, pixels, seed),
        batches_of(_splits.validation, pixels, seed),
        epochs=RECIPE["epochs"],
        learning_rate=RECIPE["learning_rate"],
        seed=seed,
    )
    return {
        "seed": seed,
        "status": history.status,
        "train_loss": round(history.train_loss[-1], 4),
        "validation_accuracy": round(history.validation_accuracy[-1], 4),
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()

    result = common.header("LeNet and linear layers, pixels in place and shuffled, paired seeds")
    parameters = {name: summary.count_parameters(make()) for name, make in NETWORKS.items()}
    result |= {"recipe": RECIPE, "parameters": parameters}
    earlier = common.read(FILE) or {}
    kept = earlier["conditions"] if earlier.get("recipe") == RECIPE else []
    found = {(c["network"], c["pixels"]): c for c in kept}
    pairs = list(itertools.product(NETWORKS, PIXELS))
    with ProcessPoolExecutor(arguments.processes, initializer=prepare) as pool:
        for network, pixels in pairs:
            runs = list(found[network, pixels]["runs"]) if (network, pixels) in found else []
            done = {one["seed"] for one in runs}
            todo = [seed for seed in range(arguments.seeds) if seed not in done]
            for one in pool.map(run, [network] * len(todo), [pixels] * len(todo), todo):
                runs.append(one)
                found[network, pixels] = condition(network, pixels, runs)
                result["conditions"] = [found[pair] for pair in pairs if pair in found]
                common.write(FILE, result)
            print(f"{network}, {pixels}: {found[network, pixels]['validation_accuracy']}")


def condition(network: str, pixels: str, runs: list[dict]) -> dict:
    return {
        "network": network,
        "pixels": pixels,
        "validation_accuracy": common.summarise(one["validation_accuracy"] for one in runs),
        "failed": sum(one["status"] != "finished" for one in runs),
        "runs": list(runs),
    }


if __name__ == "__main__":
    main()
