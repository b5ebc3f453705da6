"""Recipe or architecture: each network of the course under D2L's recipe and under the course's own.

Same network, same pixels, same images, same number of epochs, same seeds. D2L's recipe is that of
its stored runs: its learning rate for the family, plain SGD, Xavier's weights, no schedule, no
weight decay, pixels from 0 to 1, its batch size, its dropout. It has no MobileNet; there the rate
and the batch size are those of its ResNet. The other half is what `benchmarks.accuracy` stored.

Writes results/recipe.json; finished seeds are kept.

    python -m benchmarks.recipe                # all networks, five seeds each
    python -m benchmarks.recipe lenet --seeds 3
"""

from __future__ import annotations

from functools import partial

import torch

from benchmarks import accuracy, common
from utils import data, networks

FILE = "recipe.json"
# Family in results/published/d2l_summary.json, from where rate and batch size come.
FAMILIES = {
    "lenet": "LeNet",
    "lenet_sigmoid": "LeNet",
    "alexnet_small": "AlexNet",
    "vgg_small": "VGG-11",
    "nin_small": "NiN",
    "googlenet_small": "GoogLeNet",
    "resnet_small": "ResNet-18",
    "mobilenet_v1_small": "ResNet-18",
    "mobilenet_v2_small": "ResNet-18",
}
# D2L's LeNet is the one with sigmoids: its rate was chosen for that network, not for ReLU. Options
# that belong to a network count in both halves, those that belong to a recipe (dropout) in one.
OPTIONS = {"lenet_sigmoid": {"activation": "sigmoid", "pooling": "average"}}


def recipe_of(name: str) -> dict:
    published = common.read("published/d2l_summary.json")[FAMILIES[name]]
    return {
        "images": 55_000,
        "epochs": accuracy.RECIPES[name]["epochs"],
        "batch_size": published["batch_size"],
        "learning_rate": published["learning_rate"],
        "initialisation": "xavier",
        "normalised": False,
        **dict(optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant"),
    }


def build(name: str, recipe: dict) -> networks.ImageClassifier:
    """A fresh network, without the options of the course's recipe."""
    network = accuracy.RECIPES[name].get("network", name)
    model = networks.build(network, **OPTIONS.get(name, {}))
    networks.initialise(model, recipe["initialisation"])
    return model


def run(name: str, recipe: dict, seed: int) -> dict:
    """One run; the test set is read after its last epoch."""
    splits = data.load(image_size=build(name, recipe).image_size, device="cpu")
    train, validation, test = (
        common.batches_like(part, batch_size=recipe["batch_size"], seed=seed)
        for part in (splits.train, splits.validation, splits.test)
    )
    model, history = common.train(lambda: build(name, recipe), train, recipe, seed, validation)
    return {
        "seed": seed,
        "status": history.status,
        "validation_accuracy": common.accuracy(model, validation),
        "test_accuracy": common.accuracy(model, test),
    }


def report(ours: common.Runs, content: dict) -> None:
    """Both halves, and the course's minus D2L's, seed by seed, in points."""
    theirs = content["runs"]
    seeds = {run["seed"] for run in theirs}
    content |= {
        "d2l": common.summarise(run["test_accuracy"] for run in theirs),
        "course": common.summarise(run["test_accuracy"] for run in ours if run["seed"] in seeds),
        "difference": common.summarise(common.differences(ours, theirs, "test_accuracy"), digits=2),
        "failed": sum(run["status"] != "finished" for run in theirs),
    }


def main() -> None:
    parser = common.parser(__doc__, names=FAMILIES, seeds=5)
    parser.add_argument("--threads", type=int, help="threads of torch (default: all cores)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    head = common.header("Test accuracy of each network under two recipes")
    for name in arguments.names:
        recipe = recipe_of(name)
        compared = partial(report, common.read(f"accuracy/{name}.json")["runs"])
        stored = common.Stored(FILE, head, "networks", name, report=compared, recipe=recipe)
        runs = stored.entry()["runs"]
        stored.complete(name, runs, range(arguments.seeds), run, name, recipe)


if __name__ == "__main__":
    main()
