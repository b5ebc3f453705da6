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
from utils import data, device, networks, summary, training

# A whole run may see at most this many forward MACs: images seen times MACs of one image.
CEILING = 2e12
# What a run needs besides the name of the dataset: arguments of `data.load` and `fit`, which have
# the rest as default, options of the network, and its name where the row has another one.
RECIPES = {
    "lenet": dict(batch_size=128, augment=False, epochs=10, learning_rate=0.1, label_smoothing=0.0),
    "lenet_sigmoid": dict(  # the LeNet of D2L, for benchmarks.recipe
        network="lenet",
        options=dict(activation="sigmoid", pooling="average", initialisation="xavier"),
        batch_size=128,
        augment=False,
        epochs=10,
        optimizer="adamw",
        learning_rate=0.01,
        label_smoothing=0.0,
    ),
    "nin_small": dict(
        batch_size=128, augment=False, epochs=4, learning_rate=0.2, label_smoothing=0.0
    ),
    "alexnet_small": dict(
        batch_size=128,
        augment=False,
        epochs=5,
        learning_rate=0.02,
        label_smoothing=0.0,
        options=dict(dropout=0.2),  # so short a run does not overfit, and half is too much
    ),
    "vgg_small": dict(
        batch_size=128, augment=False, epochs=5, learning_rate=0.1, label_smoothing=0.1
    ),
    "googlenet_small": dict(
        batch_size=128, augment=False, epochs=4, learning_rate=0.1, label_smoothing=0.0
    ),
    "resnet_small": dict(
        batch_size=64, augment="flip", epochs=13, learning_rate=0.1, label_smoothing=0.1
    ),
    "mobilenet_v1_small": dict(
        batch_size=128, augment="flip", epochs=12, learning_rate=0.1, label_smoothing=0.0
    ),
    "mobilenet_v2_small": dict(
        batch_size=128, augment=False, epochs=6, learning_rate=0.1, label_smoothing=0.0
    ),
}


def network_of(name: str) -> networks.ImageClassifier:
    """A fresh network of this row of `RECIPES`."""
    recipe = RECIPES[name]
    return networks.build(recipe.get("network", name), **recipe.get("options", {}))


def run(name: str, recipe: dict, seed: int, read_test_set: bool) -> dict:
    """Train one network from one seed on all 55,000 training images."""
    splits = data.load(
        batch_size=recipe["batch_size"],
        image_size=network_of(name).image_size,
        augment=recipe["augment"],
        device="cpu",
        seed=seed,
    )
    device.seed_everything(seed)
    model = network_of(name)
    start = time.perf_counter()
    history = common.fit(
        model,
        splits.train,
        splits.validation,
        epochs=recipe["epochs"],
        optimizer=recipe.get("optimizer", "sgd"),
        learning_rate=recipe["learning_rate"],
        label_smoothing=recipe["label_smoothing"],
        seed=seed,
    )
    one = {
        "seed": seed,
        "status": history.status,
        "train_accuracy": round(history.train_accuracy[-1], 4),
        "validation_accuracy": round(history.validation_accuracy[-1], 4),
        "seconds": round(time.perf_counter() - start, 1),
    }
    if read_test_set:
        one["test_accuracy"] = round(training.evaluate(model, splits.test).accuracy, 4)
    return one


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("networks", nargs="*", default=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune", action="store_true", help="one run, validation images only")
    parser.add_argument("--threads", type=int, help="threads of torch (default: all cores)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for name in arguments.networks:
        if name not in RECIPES:
            parser.error(f"no recipe for {name!r}; there is one for {', '.join(RECIPES)}")

    for name in arguments.networks:
        recipe = RECIPES[name]
        model = network_of(name)
        size = model.image_size
        macs = summary.count_macs(model, (1, model.in_channels, size, size))
        spent = macs * 55_000 * recipe["epochs"]
        if spent > CEILING:
            raise SystemExit(f"{name}: {spent:.2e} forward MACs are over the ceiling {CEILING:.0e}")
        if arguments.tune:
            print(name, run(name, recipe, seed=100, read_test_set=False))
            continue
        file = f"accuracy/{name}.json"
        result = common.header(f"{name} on Fashion-MNIST at {size} pixels: accuracy over seeds")
        result |= {
            "network": name,
            "parameters": summary.count_parameters(model),
            "macs": macs,
            "forward_macs_of_a_run": spent,
            "recipe": {"images": 55_000, **recipe},
        }
        earlier = common.read(file)
        same = earlier is not None and earlier["recipe"] == result["recipe"]
        runs = list(earlier["runs"]) if same else []
        for seed in range(arguments.seeds):
            if any(one["seed"] == seed for one in runs):
                continue
            runs.append(run(name, recipe, seed, read_test_set=True))
            print(name, runs[-1], flush=True)
            for key in ("test_accuracy", "validation_accuracy", "seconds"):
                result[key] = common.summarise(one[key] for one in runs)
            learned = [one["status"] == "finished" and one["test_accuracy"] > 0.5 for one in runs]
            result["failed"] = learned.count(False)
            result["runs"] = runs
            common.write(file, result)


if __name__ == "__main__":
    main()
