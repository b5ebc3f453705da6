"""Test accuracy of the course's networks on Fashion-MNIST as a distribution over seeds.

Every recipe was chosen on the validation images; the test set is read once a run, after the last
epoch. Writes results/accuracy/NETWORK.json; finished seeds are kept, so an interrupted benchmark
goes on where it stopped, and a changed recipe starts anew.

    python -m benchmarks.accuracy                # all networks, five seeds each
    python -m benchmarks.accuracy lenet --seeds 10
    python -m benchmarks.accuracy lenet --tune   # one run that does not read the test set
"""

from __future__ import annotations

import time

import torch

from benchmarks import common
from utils import networks

# A whole run may see at most this many forward MACs: images seen times MACs of one image.
CEILING = 2e12
# What a run needs besides the name of the dataset: arguments of `data.load` and `fit`, which have
# the rest as default, options of the network, and its name where the row has another one.
USUAL = dict(batch_size=128, augment=False, learning_rate=0.1, label_smoothing=0.0)
RECIPES = {
    "lenet": USUAL | dict(epochs=10),
    "lenet_sigmoid": USUAL  # the LeNet of D2L, for benchmarks.recipe
    | dict(
        network="lenet",
        options=dict(activation="sigmoid", pooling="average", initialisation="xavier"),
        epochs=10,
        optimizer="adamw",
        learning_rate=0.01,
    ),
    "nin_small": USUAL | dict(epochs=4, learning_rate=0.2),
    # So short a run does not overfit, and half of the hidden numbers is too many to drop.
    "alexnet_small": USUAL | dict(epochs=5, learning_rate=0.02, options=dict(dropout=0.2)),
    "vgg_small": USUAL | dict(epochs=5, label_smoothing=0.1),
    "googlenet_small": USUAL | dict(epochs=4),
    "resnet_small": USUAL | dict(batch_size=64, augment="flip", epochs=13, label_smoothing=0.1),
    "mobilenet_v1_small": USUAL | dict(augment="flip", epochs=12),
    "mobilenet_v2_small": USUAL | dict(epochs=6),
}


def network_of(name: str) -> networks.ImageClassifier:
    """A fresh network of this row of `RECIPES`."""
    recipe = RECIPES[name]
    return networks.build(recipe.get("network", name), **recipe.get("options", {}))


def run(name: str, read_test_set: bool, seed: int) -> dict:
    """Train one network from one seed on all 55,000 training images."""
    recipe = RECIPES[name]
    splits = common.load(recipe, seed, image_size=network_of(name).image_size)
    start = time.perf_counter()
    model, history = common.train(
        lambda: network_of(name), splits.train, recipe, seed, splits.validation
    )
    result = {
        "seed": seed,
        "status": history.status,
        "train_accuracy": round(history.train_accuracy[-1], 4),
        "validation_accuracy": round(history.validation_accuracy[-1], 4),
        "seconds": round(time.perf_counter() - start, 1),
    }
    return result | (
        {"test_accuracy": common.accuracy(model, splits.test)} if read_test_set else {}
    )


def report(content: dict) -> None:
    runs = content["runs"]
    content |= common.summaries(runs, "test_accuracy", "validation_accuracy", "seconds")
    learned = [run["status"] == "finished" and run["test_accuracy"] > 0.5 for run in runs]
    content["failed"] = learned.count(False)


def main() -> None:
    parser = common.parser(__doc__, names=RECIPES, seeds=5)
    parser.add_argument("--tune", action="store_true", help="one run, validation images only")
    parser.add_argument("--threads", type=int, help="threads of torch (default: all cores)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for name in arguments.names:
        model = network_of(name)
        pixels = model.image_size
        size = common.size(model, (model.in_channels, pixels, pixels))
        spent = size["macs"] * 55_000 * RECIPES[name]["epochs"]
        if spent > CEILING:
            raise SystemExit(f"{name}: {spent:.2e} forward MACs are over the ceiling {CEILING:.0e}")
        if arguments.tune:
            print(name, run(name, False, seed=100))
            continue
        head = common.header(f"{name} on Fashion-MNIST at {pixels} pixels: accuracy over seeds")
        head |= {"network": name, **size, "forward_macs_of_a_run": spent}
        recipe = {"images": 55_000, **RECIPES[name]}
        stored = common.Stored(f"accuracy/{name}.json", head, report=report, recipe=recipe)
        stored.complete(name, stored.entry()["runs"], range(arguments.seeds), run, name, True)


if __name__ == "__main__":
    main()
