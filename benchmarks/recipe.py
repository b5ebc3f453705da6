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

import torch

from benchmarks import accuracy, common
from utils import data, device, networks, training

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
PLAIN = dict(optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant")


def recipe_of(name: str) -> dict:
    published = common.read("published/d2l_summary.json")[FAMILIES[name]]
    return {
        "images": 55_000,
        "epochs": accuracy.RECIPES[name]["epochs"],
        "batch_size": published["batch_size"],
        "learning_rate": published["learning_rate"],
        "initialisation": "xavier",
        "normalised": False,
        **PLAIN,
    }


def network_of(name: str) -> networks.ImageClassifier:
    """A fresh network, without the options of the course's recipe."""
    network = accuracy.RECIPES[name].get("network", name)
    return networks.build(network, **OPTIONS.get(name, {}))


def run(name: str, recipe: dict, seed: int) -> dict:
    """One run; the test set is read after its last epoch."""
    size = network_of(name).image_size
    splits = data.load(image_size=size, device="cpu")
    train, validation, test = (
        common.without_normalisation(part, recipe["batch_size"], seed)
        for part in (splits.train, splits.validation, splits.test)
    )
    device.seed_everything(seed)
    model = network_of(name)
    networks.initialise(model, recipe["initialisation"])
    history = common.fit(
        model,
        train,
        validation,
        epochs=recipe["epochs"],
        learning_rate=recipe["learning_rate"],
        seed=seed,
        **PLAIN,
    )
    return {
        "seed": seed,
        "status": history.status,
        "validation_accuracy": round(training.evaluate(model, validation).accuracy, 4),
        "test_accuracy": round(training.evaluate(model, test).accuracy, 4),
    }


def report(recipe: dict, runs: list[dict], ours: dict) -> dict:
    """Both halves, and the course's minus D2L's, seed by seed, in points."""
    theirs = {one["seed"]: one["test_accuracy"] for one in runs}
    mine = {one["seed"]: one["test_accuracy"] for one in ours["runs"] if one["seed"] in theirs}
    pairs = [100 * (accuracy - theirs[seed]) for seed, accuracy in mine.items()]
    return {
        "recipe": recipe,
        "d2l": common.summarise(theirs.values()),
        "course": common.summarise(mine.values()),
        "difference": common.summarise(pairs, digits=2),
        "failed": sum(one["status"] != "finished" for one in runs),
        "runs": runs,
    }


def stored() -> dict:
    """What earlier runs wrote: a mapping from networks to their reports."""
    return (common.read(FILE) or {"networks": {}})["networks"]


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("networks", nargs="*", default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="threads of torch (default: all cores)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for name in arguments.networks:
        recipe = recipe_of(name)
        earlier = stored().get(name)
        runs = list(earlier["runs"]) if earlier and earlier["recipe"] == recipe else []
        for seed in range(arguments.seeds):
            if any(one["seed"] == seed for one in runs):
                continue
            runs.append(run(name, recipe, seed))
            print(name, runs[-1], flush=True)
            # Read again, so that several networks can be measured side by side.
            found = stored() | {name: report(recipe, runs, common.read(f"accuracy/{name}.json"))}
            result = common.header("Test accuracy of each network under two recipes")
            common.write(FILE, result | {"networks": {n: found[n] for n in FAMILIES if n in found}})


if __name__ == "__main__":
    main()
