"""What LeNet loses when nearness means nothing: one fixed shuffle of the pixels for all images.

Two networks of about equally many parameters, LeNet and one of linear layers only, each trained on
the images as they are and on images whose 784 pixels are all in another, fixed order. Same
seeds for both, judged on the validation images. A linear layer does not care about the order; a
convolution does. Writes results/shuffled_pixels_lenet.json; finished runs are kept.

    python -m benchmarks.shuffled_pixels
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import nn

from benchmarks import common
from utils import data, networks, summary

FILE = "shuffled_pixels_lenet.json"
# That of chapter 01 at budget cpu, so that its live run is one seed more.
RECIPE = dict(images=20_000, batch_size=128, epochs=4, learning_rate=0.05)
ORDER = torch.randperm(28 * 28, generator=torch.Generator().manual_seed(0))


def linear_network() -> nn.Module:
    """61,637 parameters, 69 fewer than LeNet."""
    layers = (nn.Linear(784, 75), nn.ReLU(), nn.Linear(75, 32), nn.ReLU(), nn.Linear(32, 10))
    return nn.Sequential(nn.Flatten(), *layers)


NETWORKS = {"LeNet": lambda: networks.build("lenet"), "linear layers": linear_network}
PIXELS = ("in place", "shuffled")


@functools.cache
def splits() -> data.Splits:
    """The images, loaded once in each process."""
    return data.load(train_images=RECIPE["images"], device="cpu")


def batches_of(split: data.Batches, pixels: str, seed: int) -> data.Batches:
    images = split.images
    if pixels == "shuffled":
        images = images.flatten(1)[:, ORDER].view_as(images)
    changed = {"images": images, "batch_size": RECIPE["batch_size"], "seed": seed}
    return common.batches_like(split, mean=splits().mean, std=splits().std, **changed)


def run(network: str, pixels: str, seed: int) -> dict:
    train, validation = (
        batches_of(part, pixels, seed) for part in (splits().train, splits().validation)
    )
    _, history = common.train(NETWORKS[network], train, RECIPE, seed, validation)
    return {
        "seed": seed,
        "status": history.status,
        "train_loss": round(history.train_loss[-1], 4),
        "validation_accuracy": round(history.validation_accuracy[-1], 4),
    }


def report(content: dict) -> None:
    for condition in content["conditions"]:
        condition |= common.summaries(condition["runs"], "validation_accuracy")
        condition["failed"] = sum(run["status"] != "finished" for run in condition["runs"])


def main() -> None:
    arguments = common.parser(__doc__, seeds=5, processes=2).parse_args()
    head = common.header("LeNet and linear layers, pixels in place and shuffled, paired seeds")
    head["parameters"] = {name: summary.count_parameters(make()) for name, make in NETWORKS.items()}
    stored = common.Stored(FILE, head, report=report, recipe=RECIPE)
    conditions = stored.content.setdefault(
        "conditions",
        [
            {"network": network, "pixels": pixels, "runs": []}
            for network, pixels in itertools.product(NETWORKS, PIXELS)
        ],
    )
    with common.processes(arguments.processes) as mapping:
        for condition in conditions:
            given = (condition["network"], condition["pixels"])
            runs, seeds = condition["runs"], range(arguments.seeds)
            stored.complete(", ".join(given), runs, seeds, run, *given, mapping=mapping)
    stored.save()


if __name__ == "__main__":
    main()
