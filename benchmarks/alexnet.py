"""Three ideas of AlexNet on a small AlexNet: ReLU, dropout and augmentation, paired by seed.

`activation`: epochs until the training error has fallen to given values, with ReLU and with tanh.
Start and constant learning rate are searched for both alike, on a seed that is not used again; what
counts is the mean training error over the run. Then both are trained twice from other seeds: each
from its own best start, and both from the start that suits them best on the average, each with its
own best rate there (`same`). `he` has both from He's weights, as they are.

`regularisation`: dropout and augmentation, each off and on, on so few images that the network can
learn them by heart.

Training error and training accuracy are measured in evaluation mode on images that are not
augmented. Writes results/alexnet.json; finished runs are kept, so an interrupted benchmark goes on
where it stopped.

    python -m benchmarks.alexnet                    # both experiments, five seeds
    python -m benchmarks.alexnet activation --seeds 10
"""

from __future__ import annotations

import itertools
import math
import statistics

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import common
from utils import data, device, networks, training

FILE = "alexnet.json"
NETWORK = "alexnet_small"
ACTIVATION = dict(
    images=5_000,
    epochs=5,
    batch_size=128,
    momentum=0.9,
    weight_decay=0.0,
    dropout=0.0,
    checks_an_epoch=4,
    checked_images=1_000,
    searched_rates={
        "he": [0.0003, 0.001, 0.003, 0.01, 0.03],
        "xavier": [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1],
        "he, last layer zero": [0.003, 0.01, 0.03, 0.1],
    },
    search_seed=100,
    targets_percent=[25, 20, 15],
)
REGULARISATION = dict(
    images=1_000, epochs=50, batch_size=64, learning_rate=0.02, dropout=0.5, augment=True
)
KINDS = ("relu", "tanh")


# --- ReLU and tanh --------------------------------------------------------------------------------


def training_error(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of wrong answers in evaluation mode."""
    model.eval()
    with torch.no_grad():
        answers = torch.cat([model(part) for part in images.split(250)]).argmax(dim=1)
    model.train()
    return (answers != labels).float().mean().item()


def started(activation: str, start: str) -> nn.Module:
    """A new network; "he, last layer zero" gives all classes the same logit at first."""
    initialisation, *last_layer = start.split(", ")
    model = networks.build(
        NETWORK,
        activation=activation,
        dropout=ACTIVATION["dropout"],
        initialisation=initialisation,
    )
    if last_layer:
        nn.init.zeros_(model.classifier.fc8.weight)
    return model.to(memory_format=torch.channels_last)


def error_curve(activation: str, start: str, rate: float, seed: int) -> list[float]:
    """Training error in percent at each check; shorter if the loss is no longer a number."""
    recipe = ACTIVATION
    train = common.load(recipe, seed, train_images=recipe["images"]).train
    count = recipe["checked_images"]  # a part of the larger set
    checked, labels = next(
        iter(data.load(batch_size=count, train_images=count, device="cpu").train)
    )
    device.seed_everything(seed)
    model = started(activation, start)
    optimizer = torch.optim.SGD(
        model.parameters(), rate, recipe["momentum"], weight_decay=recipe["weight_decay"]
    )
    checks = recipe["checks_an_epoch"]
    due = {round(len(train) * (n + 1) / checks) for n in range(checks)}  # steps, counted from 1
    errors: list[float] = []
    for epoch in range(recipe["epochs"]):
        train.set_epoch(epoch)
        for step, (images, answers) in enumerate(train, start=1):
            loss = F.cross_entropy(model(images), answers)
            if not loss.isfinite():
                return errors
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step in due:
                errors.append(round(100 * training_error(model, checked, labels), 2))
    return errors


def epochs_until(errors: list[float], percent: float) -> float | None:
    """Epochs until the first check at or below `percent`; None if it was never reached."""
    for number, error in enumerate(errors, start=1):
        if error <= percent:
            return number / ACTIVATION["checks_an_epoch"]
    return None


def mean_error(errors: list[float]) -> float:
    """Mean over the whole run; infinite for a run whose loss was no longer a number."""
    complete = len(errors) == ACTIVATION["epochs"] * ACTIVATION["checks_an_epoch"]
    return statistics.fmean(errors) if complete else math.inf


def searched(activation: str, start: str, rate: float) -> dict:
    errors = error_curve(activation, start, rate, ACTIVATION["search_seed"])
    mean = mean_error(errors)
    return {
        "mean_error_percent": round(mean, 2) if math.isfinite(mean) else None,
        "curve": errors,
    }


def lowest(search: dict[str, dict], start: str | None = None) -> tuple[float, str, float]:
    """The best mean error of a search, with its start and its rate; of one start, if given."""
    found = []
    for name, run in search.items():
        own, _, rate = name.rpartition(" ")
        if start in (None, own):
            found.append((mean_error(run["curve"]), own, float(rate)))
    return min(found)


def curves_of(runs: list[dict], kind: str, start: str, rate: float) -> dict[str, list[float]]:
    """The curves from one start and rate, by seed; an entry of `runs`, new if it is missing."""
    which = {"activation": kind, "initialisation": start, "learning_rate": rate}
    for entry in runs:
        if which.items() <= entry.items():
            return entry["curves"]
    runs.append(which | {"curves": {}})
    return runs[-1]["curves"]


def run_activation(seeds: range, head: dict) -> None:
    stored = common.Stored(FILE, head, "activation", recipe=ACTIVATION)
    search = stored.content.setdefault("search", {kind: {} for kind in KINDS})
    runs = stored.content.setdefault("runs", [])
    for start, rates in ACTIVATION["searched_rates"].items():
        for kind, rate in itertools.product(KINDS, rates):
            stored.once(search[kind], f"{start} {rate}", searched, kind, start, rate)

    def together(start: str) -> float:
        return sum(lowest(search[kind], start)[0] for kind in KINDS)

    def compared(chosen: dict[str, tuple[float, str, float]]) -> dict:
        curves: dict[str, dict] = {}
        for seed, kind in itertools.product(seeds, KINDS):
            _, start, rate = chosen[kind]
            curves[kind] = curves_of(runs, kind, start, rate)
            stored.once(curves[kind], str(seed), error_curve, kind, start, rate, seed)
        means = {kind: [mean_error(curves[kind][str(seed)]) for seed in seeds] for kind in KINDS}
        return {
            "best": {
                kind: {"initialisation": start, "learning_rate": rate}
                for kind, (_, start, rate) in chosen.items()
            },
            "mean_error_percent": {
                kind: common.summarise(errors, 2)
                for kind, errors in means.items()
                if max(errors) < math.inf
            },
            "epochs_until": {
                str(percent): reached(curves, seeds, percent)
                for percent in ACTIVATION["targets_percent"]
            },
        }

    shared = min(ACTIVATION["searched_rates"], key=together)
    stored.content |= compared({kind: lowest(search[kind]) for kind in KINDS})
    for name, start in {"same": shared, "he": "he"}.items():
        stored.content[name] = compared({kind: lowest(search[kind], start) for kind in KINDS})
    stored.save()


def reached(curves: dict[str, dict], seeds: range, percent: float) -> dict:
    """How many epochs each run needs, and with how many seeds each activation is first."""
    row: dict = {}
    for kind in KINDS:
        runs = [epochs_until(curves[kind][str(seed)], percent) for seed in seeds]
        row[kind] = {"reached": sum(value is not None for value in runs), "runs": runs}
        if None not in runs:
            row[kind] |= common.summarise(runs)
    pairs = list(zip(row["relu"]["runs"], row["tanh"]["runs"], strict=True))
    row["relu_first"] = sum((r or math.inf) < (t or math.inf) for r, t in pairs)
    row["tanh_first"] = sum((t or math.inf) < (r or math.inf) for r, t in pairs)
    return row


# --- dropout and augmentation ---------------------------------------------------------------------

CONDITIONS = {
    "neither": (False, False),
    "dropout": (True, False),
    "augmentation": (False, True),
    "both": (True, True),
}


def overfitting(condition: str, seed: int) -> dict:
    """One run: accuracy on its own 1,000 training images and on the validation images."""
    recipe = REGULARISATION
    with_dropout, with_augmentation = CONDITIONS[condition]
    plain, augmented = (
        common.load(recipe, seed, train_images=recipe["images"], augment=augment)
        for augment in (False, recipe["augment"])
    )
    dropout = recipe["dropout"] if with_dropout else 0.0
    train = (augmented if with_augmentation else plain).train
    model, history = common.train(
        lambda: networks.build(NETWORK, dropout=dropout), train, recipe, seed
    )
    known = training.evaluate(model, plain.train)
    unknown = training.evaluate(model, plain.validation)
    return {
        "seed": seed,
        "status": history.status,
        "train_accuracy": round(known.accuracy, 4),
        "validation_accuracy": round(unknown.accuracy, 4),
        "train_loss": round(known.loss, 4),
        "validation_loss": round(unknown.loss, 4),
        "gap_points": round(100 * (known.accuracy - unknown.accuracy), 2),
    }


def report_regularisation(content: dict) -> None:
    neither = content["conditions"]["neither"]["runs"]
    for name, entry in content["conditions"].items():
        runs = entry["runs"]
        entry |= common.summaries(runs, "train_accuracy", "validation_accuracy", "validation_loss")
        entry |= common.summaries(runs, "gap_points", digits=2)
        smaller = common.differences(neither, runs, "gap_points", factor=1)
        gains = common.differences(runs, neither, "validation_accuracy")
        if name != "neither" and gains:
            entry["gap_smaller_by"] = common.summarise(smaller, 2)
            entry["validation_gain_points"] = common.summarise(gains, 2)


def run_regularisation(seeds: range, head: dict) -> None:
    stored = common.Stored(
        FILE, head, "regularisation", report=report_regularisation, recipe=REGULARISATION
    )
    stored.fill("conditions", {name: {} for name in CONDITIONS}, overfitting, seeds)


EXPERIMENTS = {"activation": run_activation, "regularisation": run_regularisation}


def main() -> None:
    arguments = common.parser(__doc__, names=EXPERIMENTS, seeds=5).parse_args()
    head = common.header("ReLU or tanh, dropout and augmentation on a small AlexNet, by seed")
    head |= {"network": NETWORK, **common.size(networks.build(NETWORK))}
    for name in arguments.names:
        EXPERIMENTS[name](range(arguments.seeds), head)


if __name__ == "__main__":
    main()
