"""Three ideas of AlexNet on a small AlexNet: ReLU, dropout and augmentation, paired by seed.

`activation`: epochs until the training error has fallen to given values, with ReLU and with tanh,
each with its own best initialisation and constant learning rate. Both are searched first, on a
seed that is not used again: the pair with the lowest mean training error over the run.

`regularisation`: dropout and augmentation, each off and on, on so few images that the network can
learn them by heart.

Training error and training accuracy are measured in evaluation mode on images that are not
augmented. Writes results/alexnet.json; finished runs are kept, so an interrupted benchmark goes on
where it stopped.

    python -m benchmarks.alexnet                    # both experiments, five seeds
    python -m benchmarks.alexnet --only activation --seeds 10
"""

from __future__ import annotations

import itertools
import math
import statistics

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import common
from utils import data, device, networks, summary, training

FILE = "alexnet.json"
NETWORK = "alexnet_small"
ACTIVATION = dict(
    images=5_000,
    epochs=10,
    batch_size=128,
    momentum=0.9,
    weight_decay=0.0,
    dropout=0.0,
    checks_an_epoch=4,
    checked_images=1_000,
    searched_initialisations=["he", "xavier"],
    searched_rates=[0.0003, 0.001, 0.003, 0.01, 0.03],
    search_seed=100,
    targets_percent=[20, 15, 10],
)
REGULARISATION = dict(
    images=1_000, epochs=50, batch_size=64, learning_rate=0.02, dropout=0.5, augment=True
)
KINDS = ("relu", "tanh")


# --- ReLU and tanh -------------------------------------------------------------------------------


def training_error(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of wrong answers in evaluation mode."""
    model.eval()
    with torch.no_grad():
        answers = torch.cat([model(part) for part in images.split(250)]).argmax(dim=1)
    model.train()
    return (answers != labels).float().mean().item()


def error_curve(activation: str, initialisation: str, rate: float, seed: int) -> list[float]:
    """Training error in percent at each check; shorter if the loss is no longer a number."""
    recipe = ACTIVATION
    train = data.load(
        batch_size=recipe["batch_size"], train_images=recipe["images"], device="cpu", seed=seed
    ).train
    fixed = data.load(
        batch_size=recipe["checked_images"],
        train_images=recipe["checked_images"],  # a part of the larger set
        device="cpu",
    ).train
    checked, labels = next(iter(fixed))
    device.seed_everything(seed)
    model = networks.build(
        NETWORK,
        activation=activation,
        dropout=recipe["dropout"],
        initialisation=initialisation,
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=rate,
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
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


def run_activation(result: dict, seeds: range, save) -> None:
    part = result["activation"]
    starts = list(
        itertools.product(ACTIVATION["searched_initialisations"], ACTIVATION["searched_rates"])
    )
    for kind in KINDS:
        search = part["search"].setdefault(kind, {})
        for initialisation, rate in starts:
            name = f"{initialisation} {rate}"
            if name not in search:
                errors = error_curve(kind, initialisation, rate, ACTIVATION["search_seed"])
                mean = mean_error(errors)
                search[name] = {
                    "mean_error_percent": round(mean, 2) if math.isfinite(mean) else None,
                    "curve": errors,
                }
                print("search", kind, name, search[name]["mean_error_percent"], flush=True)
                save()
        best = min(starts, key=lambda start: mean_error(search[f"{start[0]} {start[1]}"]["curve"]))
        start = {"initialisation": best[0], "learning_rate": best[1]}
        if part["best"].get(kind, start) != start:
            part["curves"][kind] = {}  # a wider search found a better start
        part["best"][kind] = start
    for seed, kind in itertools.product(seeds, KINDS):
        curves = part["curves"].setdefault(kind, {})
        if str(seed) not in curves:
            curves[str(seed)] = error_curve(kind, *part["best"][kind].values(), seed)
            print("activation", kind, seed, curves[str(seed)][-1:], flush=True)
            save()
    means = {kind: [mean_error(part["curves"][kind][str(s)]) for s in seeds] for kind in KINDS}
    part["mean_error_percent"] = {
        kind: common.summarise(runs, 2) for kind, runs in means.items() if max(runs) < math.inf
    }
    part["epochs_until"] = {}
    for percent in ACTIVATION["targets_percent"]:
        row = part["epochs_until"][str(percent)] = {}
        for kind in KINDS:
            curves = part["curves"][kind]
            runs = [epochs_until(curves[str(seed)], percent) for seed in seeds]
            reached = [value for value in runs if value is not None]
            row[kind] = {"reached": len(reached), "runs": runs}
            if len(reached) == len(runs):
                row[kind] |= common.summarise(runs)
        pairs = list(zip(row["relu"]["runs"], row["tanh"]["runs"], strict=True))
        row["relu_first"] = sum((r or math.inf) < (t or math.inf) for r, t in pairs)
        row["tanh_first"] = sum((t or math.inf) < (r or math.inf) for r, t in pairs)
    save()


# --- dropout and augmentation --------------------------------------------------------------------

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
        data.load(
            batch_size=recipe["batch_size"],
            train_images=recipe["images"],
            augment=augment,
            device="cpu",
            seed=seed,
        )
        for augment in (False, recipe["augment"])
    )
    device.seed_everything(seed)
    model = networks.build(NETWORK, dropout=recipe["dropout"] if with_dropout else 0.0)
    history = common.fit(
        model,
        (augmented if with_augmentation else plain).train,
        epochs=recipe["epochs"],
        learning_rate=recipe["learning_rate"],
        seed=seed,
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


def run_regularisation(result: dict, seeds: range, save) -> None:
    part = result["regularisation"]
    for seed, condition in itertools.product(seeds, CONDITIONS):
        runs = part["conditions"].setdefault(condition, {"runs": []})["runs"]
        if all(one["seed"] != seed for one in runs):
            runs.append(overfitting(condition, seed))
            print(condition, runs[-1], flush=True)
            save()
    keys = ("train_accuracy", "validation_accuracy", "validation_loss", "gap_points")
    for condition in part["conditions"].values():
        condition["runs"].sort(key=lambda one: one["seed"])
        for key in keys:
            digits = 2 if key == "gap_points" else 4
            condition[key] = common.summarise((one[key] for one in condition["runs"]), digits)
    neither = part["conditions"]["neither"]["runs"]
    for name, condition in part["conditions"].items():
        if name == "neither":
            continue
        pairs = list(zip(neither, condition["runs"], strict=True))
        condition["gap_smaller_by"] = common.summarise(
            (a["gap_points"] - b["gap_points"] for a, b in pairs), 2
        )
        condition["validation_gain_points"] = common.summarise(
            (100 * (b["validation_accuracy"] - a["validation_accuracy"]) for a, b in pairs), 2
        )
    save()


def same_recipe(one: dict, other: dict) -> bool:
    """Whether runs of both are comparable; how wide the search was does not matter for that."""
    one, other = (
        {key: value for key, value in recipe.items() if not key.startswith("searched")}
        for recipe in (one, other)
    )
    return one == other


def main() -> None:
    parser = common.parser(__doc__)
    names = ("activation", "regularisation")
    parser.add_argument("--only", choices=names)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)

    earlier = common.read(FILE) or {}
    result = common.header("ReLU or tanh, dropout and augmentation on a small AlexNet, by seed")
    model = networks.build(NETWORK)
    result |= {
        "network": NETWORK,
        "parameters": summary.count_parameters(model),
        "macs": summary.count_macs(model, (1, 28, 28)),
    }
    result["activation"] = {"search": {}, "best": {}, "curves": {}}
    result["regularisation"] = {"conditions": {}}
    for name, recipe in zip(names, (ACTIVATION, REGULARISATION), strict=True):
        if same_recipe(earlier.get(name, {}).get("recipe", {}), recipe):
            result[name] = earlier[name]  # runs of another recipe are not comparable
        result[name]["recipe"] = recipe

    def save() -> None:
        common.write(FILE, result)

    if arguments.only != "regularisation":
        run_activation(result, seeds, save)
    if arguments.only != "activation":
        run_regularisation(result, seeds, save)


if __name__ == "__main__":
    main()
