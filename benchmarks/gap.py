"""Global average pooling against fully connected layers: over-fitting, and shifted garments.

One body (that of `topics.localisation`) with different heads, the same recipe and the same seeds.

- "few" and "many": accuracy on the training images (in eval mode) and on the validation images,
  after many epochs on few images and after few epochs on many.
- "shift": garments in the middle of a canvas of 48 pixels, trained there only; accuracy on
  validation images moved by up to 10 pixels to the left, right, top and bottom. Nothing is cropped.

Writes results/gap.json. Finished runs are kept; a changed recipe starts anew.

    python -m benchmarks.gap --seeds 5
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from benchmarks import common
from utils import data, device, summary, training
from utils.topics import localisation

FILE = "gap.json"
CANVAS = 48
SHIFTS = (0, 2, 4, 6, 8, 10)  # pixels
RECIPES = {
    "few": dict(train_images=1_000, epochs=40, batch_size=50),
    "many": dict(train_images=10_000, epochs=4, batch_size=100),
    "shift": dict(train_images=4_000, epochs=6, batch_size=100),
}
# The best on validation images, in shorter trials with another seed than those below: of .05, .1,
# .2 and .4 for the pooled heads, of .02, .05, .1 and .2 for the flattened ones.
LEARNING_RATES = {"average": 0.2, "max": 0.05, "linear": 0.02, "dropout": 0.02}
VALIDATION = {"few": 5_000, "many": 5_000, "shift": 1_000}


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
    return data.Batches(
        F.pad(batches.images, sides),
        batches.labels,
        batch_size=batches.batch_size,
        shuffle=batches.shuffle,
        seed=batches.seed,
        mean=mean,
        std=std,
        device="cpu",
    )


def run(experiment: str, head: str, seed: int) -> dict:
    """One network trained from one seed."""
    recipe = RECIPES[experiment]
    splits = data.load(
        batch_size=recipe["batch_size"],
        train_images=recipe["train_images"],
        validation_images=VALIDATION[experiment],
        device="cpu",
        seed=seed,
    )
    train = on_canvas(splits.train) if experiment == "shift" else splits.train
    device.seed_everything(seed)
    model = build(head, SIZES[experiment])
    history = common.fit(
        model,
        train,
        epochs=recipe["epochs"],
        learning_rate=LEARNING_RATES[head],
        seed=seed,
    )
    result = {
        "seed": seed,
        "status": history.status,
        "seconds": round(sum(history.seconds), 1),
        "train_accuracy": round(training.evaluate(model, train).accuracy, 4),
    }
    if experiment == "shift":
        result |= {
            f"shift_{shift}": round(shifted_accuracy(model, splits.validation, shift), 4)
            for shift in SHIFTS
        }
    else:
        accuracy = training.evaluate(model, splits.validation).accuracy
        result["validation_accuracy"] = round(accuracy, 4)
        result["gap"] = round(result["train_accuracy"] - accuracy, 4)
    return result


def shifted_accuracy(model: nn.Module, batches: data.Batches, shift: int) -> float:
    """Mean accuracy over the four directions."""
    ways = {(shift, 0), (-shift, 0), (0, shift), (0, -shift)}
    found = [training.evaluate(model, on_canvas(batches, *way)).accuracy for way in ways]
    return sum(found) / len(found)


def report(entry: dict) -> None:
    """Summaries of one experiment's runs so far, and the pairs of runs with the same seed."""
    heads = entry["heads"]
    keys = [key for key in heads["average"]["runs"][0] if key not in ("seed", "status")]
    for head in heads.values():
        head |= {key: common.summarise(one[key] for one in head["runs"]) for key in keys}
    entry["pairs"] = {}
    for first, second in PAIRS:
        if first not in heads or second not in heads:
            continue
        pair = entry["pairs"][f"{first}_minus_{second}"] = {}
        for key in keys[1:]:
            runs = zip(heads[first]["runs"], heads[second]["runs"])
            points = [100 * (a[key] - b[key]) for a, b in runs]
            pair[key] = common.summarise(points, digits=2)
            pair[key]["first_higher"] = sum(value > 0 for value in points)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    result = common.header("Heads of one body, paired by seed: over-fitting and shifted garments")
    earlier = common.read(FILE) or {}
    for experiment, recipe in RECIPES.items():
        recipe = recipe | {
            "validation_images": VALIDATION[experiment],
            "learning_rates": {head: LEARNING_RATES[head] for head in TRAINED[experiment]},
        }
        old = earlier.get(experiment, {})
        same = old.get("recipe") == recipe
        result[experiment] = old if same else {"recipe": recipe, "heads": {}}
    for experiment, heads in TRAINED.items():
        entry, side = result[experiment], SIZES[experiment]
        for seed in seeds:
            for head in heads:
                model = build(head, side)
                one = entry["heads"].setdefault(head, {"label": HEADS[head][0], "runs": []})
                one["parameters"] = summary.count_parameters(model)
                one["head_parameters"] = summary.count_parameters(model[1])
                one["macs"] = summary.count_macs(model, (1, side, side))
                if any(done["seed"] == seed for done in one["runs"]):
                    continue
                one["runs"].append(run(experiment, head, seed))
                print(experiment, head, one["runs"][-1], flush=True)
                common.write(FILE, result)
        report(entry)
        common.write(FILE, result)


if __name__ == "__main__":
    main()
