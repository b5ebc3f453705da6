"""From the LeNet of the books to one that scores: one change at a time, five seeds each.

The first row is D2L's recipe (sigmoid, average pooling, plain SGD at 0.9, Xavier, images scaled
to 0…1). Every further row keeps what came before and changes one thing. Choices are judged on the
validation images; the test set is not read. Writes results/loss_log_lenet.json; finished runs
are kept.

    python -m benchmarks.loss_log
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import torch

from benchmarks import common
from utils import data, networks

FILE = "loss_log_lenet.json"
EPOCHS, BATCH_SIZE = 10, 256
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
_splits = None


def prepare() -> None:
    global _splits
    torch.set_num_threads(1)
    _splits = data.load(batch_size=BATCH_SIZE, device="cpu")


def scaled(batches: data.Batches, normalise: bool, seed: int) -> data.Batches:
    """The batches of this seed, normalised or scaled to 0…1 only."""
    mean, std = (_splits.mean, _splits.std) if normalise else ((0.0,), (1.0,))
    return data.Batches(
        batches.images,
        batches.labels,
        batch_size=BATCH_SIZE,
        shuffle=batches.shuffle,
        mean=mean,
        std=std,
        device="cpu",
        seed=seed,
    )


def run(number: int, seed: int) -> dict:
    """Train LeNet with the changes of rows 0 to `number`."""
    recipe = dict(START)
    for _, _, change in STEPS[: number + 1]:
        recipe |= change
    torch.manual_seed(seed)
    model = networks.build("lenet", activation=recipe["activation"], pooling=recipe["pooling"])
    networks.initialise(model, recipe["initialisation"])
    history = common.fit(
        model,
        scaled(_splits.train, recipe["normalise"], seed),
        scaled(_splits.validation, recipe["normalise"], seed),
        epochs=EPOCHS,
        learning_rate=recipe["learning_rate"],
        momentum=recipe["momentum"],
        schedule=recipe["schedule"],
        weight_decay=recipe["weight_decay"],
        seed=seed,
        stop_when_stuck=False,
    )
    return {
        "seed": seed,
        "train_loss": [round(x, 4) for x in history.train_loss],
        "validation_accuracy": [round(x, 4) for x in history.validation_accuracy],
        "status": history.status,
    }


def summary(number: int, runs: list[dict]) -> dict:
    name, change, _ = STEPS[number]
    runs = sorted(runs, key=lambda one: one["seed"])
    return {
        "name": name,
        "change": change,
        "validation_accuracy": common.summarise(one["validation_accuracy"][-1] for one in runs),
        "train_loss": common.summarise(one["train_loss"][-1] for one in runs),
        "unfinished": sum(one["status"] != "finished" for one in runs),
        "runs": runs,
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()

    result = common.header("LeNet on Fashion-MNIST, one change of the recipe at a time")
    result |= {
        "network": "lenet",
        "recipe": {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "images": 55_000, **START},
        "changes": [change for _, _, change in STEPS],
    }
    earlier = common.read(FILE) or {}
    same = all(earlier.get(key) == result[key] for key in ("recipe", "changes"))
    kept = earlier["steps"] if same else []
    runs = [list(kept[n]["runs"]) if n < len(kept) else [] for n in range(len(STEPS))]
    with ProcessPoolExecutor(arguments.processes, initializer=prepare) as pool:
        for number in range(len(STEPS)):
            done = {one["seed"] for one in runs[number]}
            todo = [seed for seed in range(arguments.seeds) if seed not in done]
            for one in pool.map(run, [number] * len(todo), todo):
                runs[number].append(one)
                print(STEPS[number][0], one["seed"], one["validation_accuracy"][-1], flush=True)
                result["steps"] = [summary(n, r) for n, r in enumerate(runs) if r]
                common.write(FILE, result)


if __name__ == "__main__":
    main()
