"""From the LeNet of the books to one that scores: one change at a time, five seeds each.

The first row is D2L's recipe (sigmoid, average pooling, plain SGD at 0.9, Xavier, images scaled
to 0…1). Every further row keeps what came before and changes one thing. Choices are judged on the
validation images; the test set is not read. Writes results/loss_log_lenet.json; finished runs
are kept.

    python -m benchmarks.loss_log
"""

from __future__ import annotations

import functools

from benchmarks import common
from utils import data, networks

FILE = "loss_log_lenet.json"
EPOCHS, BATCH_SIZE = 10, 256
MEASURED = ("validation_accuracy", "train_loss")
START = dict(
    activation="sigmoid",
    pooling="average",
    initialisation="xavier",
    normalise=False,
    learning_rate=0.9,
    momentum=0.0,
    schedule="constant",
    weight_decay=0.0,
)
STEPS = [
    ("D2L's recipe", "sigmoid, average pooling, plain SGD at 0.9", {}),
    ("normalised images", "mean 0 and standard deviation 1", {"normalise": True}),
    (
        "ReLU",
        "ReLU for the sigmoid, with a rate that it survives (0.1)",
        {"activation": "relu", "learning_rate": 0.1},
    ),
    ("max pooling", "the maximum of each window, not its mean", {"pooling": "max"}),
    (
        "momentum and one-cycle",
        "momentum 0.9, and a rate that rises to 0.1 and falls to 0",
        {"momentum": 0.9, "schedule": "one_cycle"},
    ),
]


@functools.cache
def splits() -> data.Splits:
    """All images, loaded once in each process."""
    return data.load(batch_size=BATCH_SIZE, device="cpu")


def network_of(recipe: dict) -> networks.ImageClassifier:
    network = networks.build("lenet", activation=recipe["activation"], pooling=recipe["pooling"])
    networks.initialise(network, recipe["initialisation"])
    return network


def run(number: int, seed: int) -> dict:
    """Train LeNet with the changes of rows 0 to `number`."""
    recipe = dict(START)
    for _, _, change in STEPS[: number + 1]:
        recipe |= change
    scale = {"mean": splits().mean, "std": splits().std} if recipe["normalise"] else {}
    train, validation = (
        common.batches_like(part, seed=seed, **scale)
        for part in (splits().train, splits().validation)
    )
    _, history = common.train(
        lambda: network_of(recipe),
        train,
        recipe | {"epochs": EPOCHS},
        seed,
        validation,
        stop_when_stuck=False,
    )
    return {
        "seed": seed,
        "train_loss": [round(x, 4) for x in history.train_loss],
        "validation_accuracy": [round(x, 4) for x in history.validation_accuracy],
        "status": history.status,
    }


def report(content: dict) -> None:
    for step in content["steps"]:
        last = [{key: run[key][-1] for key in MEASURED} for run in step["runs"]]
        step |= common.summaries(last, *MEASURED)
        step["unfinished"] = sum(run["status"] != "finished" for run in step["runs"])


def main() -> None:
    arguments = common.parser(__doc__, seeds=5, processes=2).parse_args()
    head = common.header("LeNet on Fashion-MNIST, one change of the recipe at a time")
    stored = common.Stored(
        FILE,
        head | {"network": "lenet"},
        report=report,
        recipe={"epochs": EPOCHS, "batch_size": BATCH_SIZE, "images": 55_000, **START},
        changes=[change for _, _, change in STEPS],
    )
    steps = stored.content.setdefault("steps", [])
    with common.processes(arguments.processes) as mapping:
        for number, (name, change, _) in enumerate(STEPS):
            if number == len(steps):
                steps.append({"name": name, "change": change, "runs": []})
            seeds, runs = range(arguments.seeds), steps[number]["runs"]
            stored.complete(name, runs, seeds, run, number, mapping=mapping)
    stored.save()


if __name__ == "__main__":
    main()
