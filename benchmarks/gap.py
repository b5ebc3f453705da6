"""Global average pooling against fully connected layers: over-fitting, and shifted garments.

One body (that of `topics.localisation`) with different heads, the same recipe and the same seeds.

- "few" and "many": accuracy on the training images (in eval mode) and on the validation images,
  after many epochs on few images and after few epochs on many.
- "shift": garments in the middle of a canvas of 48 pixels, trained there only; accuracy on
  validation images moved by up to 10 pixels to the left, right, top and bottom. Nothing is cropped.

Each head has its own learning rate. "search" holds what a range of rates gave in "few" from
other seeds; the range goes on until the best rate lies inside it.

Writes results/gap.json. Finished runs are kept; a changed recipe starts anew.

    python -m benchmarks.gap --seeds 5
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import nn

from benchmarks import common
from utils import data, summary, training
from utils.topics import localisation

FILE = "gap.json"
CANVAS = 48
SHIFTS = (0, 2, 4, 6, 8, 10)  # pixels
RECIPES = {
    "few": dict(train_images=1_000, validation_images=5_000, epochs=40, batch_size=50),
    "many": dict(train_images=10_000, validation_images=5_000, epochs=4, batch_size=100),
    "shift": dict(train_images=4_000, validation_images=1_000, epochs=6, batch_size=100),
}
LEARNING_RATES = {"average": 0.2, "max": 0.05, "linear": 0.02, "dropout": 0.02}
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
FIRST_TRIED = (0.02, 0.05, 0.1, 0.2)  # then the next one beyond the best, while it is at an end
SEARCH_SEEDS = {"few": (100, 101)}  # none of those that are reported


def flat(dropout: float = 0.0):
    """Flatten, a hidden layer of 128, a linear layer: for maps of `positions` in all."""

    def head(positions: int) -> nn.Sequential:
        layers = [nn.Flatten(), nn.Linear(48 * positions, 128), nn.ReLU()]
        return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(128, 10))

    return head


def pooled(layer: type[nn.Module]):
    """One number for each map, then a linear layer."""
    return lambda positions: nn.Sequential(layer(1), nn.Flatten(), nn.Linear(48, 10))


HEADS = {
    "average": ("average pooling", pooled(nn.AdaptiveAvgPool2d)),
    "max": ("max pooling", pooled(nn.AdaptiveMaxPool2d)),
    "linear": ("flatten, linear", flat()),
    "dropout": ("flatten, linear, dropout", flat(0.5)),
}
SIZES = {"few": 28, "many": 28, "shift": CANVAS}  # pixels a side
FITTED = ("train_accuracy", "validation_accuracy", "gap")
MEASURED = {
    "few": FITTED,
    "many": FITTED,
    "shift": ("train_accuracy", *(f"shift_{shift}" for shift in SHIFTS)),
}
TRAINED = {"few": list(HEADS), "many": list(HEADS), "shift": ["average", "max", "linear"]}
# Which differences are reported, first minus second, in points of accuracy.
PAIRS = [
    *(("average", "linear"), ("linear", "average"), ("dropout", "average")),
    *(("max", "average"), ("dropout", "linear")),
]


def build(head: str, size: int) -> nn.Sequential:
    return nn.Sequential(localisation.body(), HEADS[head][1]((size // 4) ** 2))


def on_canvas(batches: data.Batches, across: int = 0, down: int = 0) -> data.Batches:
    """The same batches with each image in the middle of a canvas, or so many pixels from there."""
    margin = (CANVAS - 28) // 2
    sides = (margin + across, margin - across, margin + down, margin - down)
    mean, std = data.STATISTICS["fashion_mnist"]
    return common.batches_like(batches, images=F.pad(batches.images, sides), mean=mean, std=std)


def run(experiment: str, head: str, seed: int, rate: float | None = None) -> dict[str, Any]:
    """One network trained from one seed, at its own learning rate or another one."""
    recipe = RECIPES[experiment] | {"learning_rate": rate or LEARNING_RATES[head]}
    splits = common.load(recipe, seed)
    train = on_canvas(splits.train) if experiment == "shift" else splits.train
    model, history = common.train(lambda: build(head, SIZES[experiment]), train, recipe, seed)
    result = {
        "seed": seed,
        "status": history.status,
        "seconds": round(sum(history.seconds), 1),
        "train_accuracy": common.accuracy(model, train),
    }
    if experiment == "shift":
        return result | {
            f"shift_{shift}": round(shifted_accuracy(model, splits.validation, shift), 4)
            for shift in SHIFTS
        }
    validation = training.evaluate(model, splits.validation).accuracy
    return result | {
        "validation_accuracy": round(validation, 4),
        "gap": round(result["train_accuracy"] - validation, 4),
    }


def search(experiment: str, header: dict[str, Any]) -> None:
    """Mean validation accuracy of each head at a range of learning rates, and the best rate."""
    seeds = SEARCH_SEEDS[experiment]
    same = dict(recipe=RECIPES[experiment], seeds=seeds)
    stored = common.Stored(FILE, header, "search", experiment, **same)
    for head in TRAINED[experiment]:
        entry = stored.content.setdefault("heads", {}).setdefault(head, {"trials": []})
        trials = {trial["rate"]: trial for trial in entry["trials"]}
        tried = [rate for rate in FIRST_TRIED if rate not in trials]
        while True:
            for rate in tried:
                trials[rate] = {"rate": rate, "runs": []}
                entry["trials"].append(trials[rate])
            for rate, trial in trials.items():
                one = partial(run, experiment, head, rate=rate)
                stored.complete(f"{experiment} {head} {rate}", trial["runs"], seeds, one)
                mean = statistics.mean(r["validation_accuracy"] for r in trial["runs"])
                trial["mean"] = round(mean, 4)
            best = RATES.index(max(trials, key=lambda rate: trials[rate]["mean"]))
            tried = [rate for rate in RATES[max(best - 1, 0) : best + 2] if rate not in trials]
            if not tried:
                break
        entry["best"] = RATES[best]
        # How much better the best was than the rate of the runs, in points.
        missed = trials[RATES[best]]["mean"] - trials[LEARNING_RATES[head]]["mean"]
        entry["missed"] = round(100 * missed, 2)
    stored.save()


def shifted_accuracy(model: nn.Module, batches: data.Batches, shift: int) -> float:
    """Mean accuracy over the four directions."""
    ways = {(shift, 0), (-shift, 0), (0, shift), (0, -shift)}
    accuracies = [training.evaluate(model, on_canvas(batches, *way)).accuracy for way in ways]
    return sum(accuracies) / len(accuracies)


def report(keys: tuple[str, ...], content: dict) -> None:
    """Summaries of one experiment's runs so far, and the pairs of runs with the same seed."""
    for entry in content["heads"].values():
        entry |= common.summaries(entry["runs"], "seconds", *keys)
    content["pairs"] = common.pairs(content["heads"], PAIRS, *keys)


def main() -> None:
    seeds = range(common.parser(__doc__, seeds=5).parse_args().seeds)
    head = common.header("Heads of one body, paired by seed: over-fitting and shifted garments")
    for experiment in SEARCH_SEEDS:
        search(experiment, head)
    for experiment, heads in TRAINED.items():
        rates = {name: LEARNING_RATES[name] for name in heads}
        recipe = RECIPES[experiment] | {"learning_rates": rates}
        summing = partial(report, MEASURED[experiment])
        stored = common.Stored(FILE, head, experiment, report=summing, recipe=recipe)
        fields = {}
        for name in heads:
            model, side = build(name, SIZES[experiment]), SIZES[experiment]
            fields[name] = {"label": HEADS[name][0], **common.size(model, (1, side, side))}
            fields[name]["head_parameters"] = summary.count_parameters(model[1])
        stored.fill("heads", fields, partial(run, experiment), seeds)


if __name__ == "__main__":
    main()
