"""ResNet at 14 pixels: depth with and without shortcuts, how branches start, blocks taken away.

Thin networks of the CIFAR family and their plain twins on few images, with equal steps and the
same seeds. Each experiment is a table of networks with its recipe; `python -m benchmarks.resnet
depth` runs one of them, no name all. Writes results/resnet.json: error on the training images (in
eval mode) and on the validation images after the last epoch, and the differences between networks
seed by seed. After training, blocks are taken out of some networks or swapped. Finished runs are
kept, so an interrupted benchmark goes on where it stopped; a changed recipe starts anew.

    python -m benchmarks.resnet
"""

from __future__ import annotations

import copy
import math
import random
import statistics

from torch import nn

from benchmarks import common
from utils import data, device, networks, summary, training
from utils.networks.resnet import ResidualBlock

FILE = "resnet.json"
RECIPE = dict(
    train_images=2_000,
    validation_images=5_000,
    image_size=14,
    width=8,
    epochs=10,
    batch_size=100,
    learning_rate=0.02,
    schedule="one_cycle",
    seeds=[0, 1, 2, 3, 4],
)
# For blocks taken away: these many validation images, draws for each number of blocks, and swaps.
DAMAGE = dict(images=1_000, draws=5, together=[2, 4, 6], swaps=10)


def _table(*depths: int, **options) -> dict:
    """Plain and residual networks of these depths."""
    return {
        f"{kind}{depth}": {"network": f"{kind}{depth}", "options": options}
        for depth in depths
        for kind in ("plain", "resnet")
    }


def _rates(**rates: tuple[float, ...]) -> dict:
    return {
        f"{name}_{rate:g}".replace("0.", ""): {"network": name, "learning_rate": rate}
        for name, several in rates.items()
        for rate in several
    }


# Each experiment: what differs from the recipe, its networks, and the pairs to compare (first
# minus second, in points of error).
EXPERIMENTS = {
    "depth": {
        "recipe": {},
        "networks": _table(20, 56, 110),
        "pairs": [
            *(("plain20", "resnet20"), ("plain56", "resnet56"), ("plain110", "resnet110")),
            *(("plain56", "plain20"), ("plain110", "plain56")),
            *(("resnet56", "resnet20"), ("resnet110", "resnet56")),
        ],
    },
    # One seed more, none of those above: is the learning rate of `depth` unfair to one side?
    "rates": {
        "recipe": {"seeds": [5]},
        "networks": _rates(
            plain20=(0.01, 0.05, 0.1),
            resnet20=(0.01, 0.05, 0.1),
            plain56=(0.01, 0.05, 0.1),
            resnet56=(0.01, 0.05, 0.1),
        ),
        "pairs": [],
    },
    "no_norm": {
        "recipe": {"epochs": 8},
        "networks": {
            name: {"network": network, "options": {"batch_norm": False}, "zero_branches": zero}
            for depth in (20, 56)
            for name, network, zero in (
                (f"plain{depth}", f"plain{depth}", False),
                (f"resnet{depth}", f"resnet{depth}", False),
                (f"resnet{depth}_zero", f"resnet{depth}", True),
            )
        },
        "pairs": [
            *(("plain20", "resnet20"), ("plain20", "resnet20_zero")),
            *(("plain56", "resnet56"), ("plain56", "resnet56_zero")),
        ],
    },
    # A high rate from the first step on: where a start at the identity could matter.
    "zero_start": {
        "recipe": {"epochs": 5, "learning_rate": 0.1, "schedule": "constant"},
        "networks": {
            f"resnet{depth}{'_zero' if zero else ''}": {
                "network": f"resnet{depth}",
                "options": {"zero_last_norm": zero},
            }
            for depth in (20, 110)
            for zero in (False, True)
        },
        "pairs": [("resnet20", "resnet20_zero"), ("resnet110", "resnet110_zero")],
    },
    "shortcut": {
        "recipe": {"seeds": list(range(10))},
        "networks": {
            option: {"network": "resnet20", "options": {"shortcut": option}} for option in "AB"
        },
        "pairs": [("A", "B")],
    },
}


def build(entry: dict, recipe: dict) -> nn.Module:
    options = entry.get("options", {})
    model = networks.build(entry["network"], in_channels=1, width=recipe["width"], **options)
    if entry.get("zero_branches"):
        for block in blocks(model):
            nn.init.zeros_(block.branch.conv2.weight)
    return model


def blocks(model: nn.Module) -> list[ResidualBlock]:
    return [module for module in model.modules() if isinstance(module, ResidualBlock)]


# --- taking blocks away --------------------------------------------------------------------------


def places(model: nn.Module) -> list[tuple[str, str]]:
    """(stage, block) of all blocks that keep the shape of their maps."""
    return [
        (stage, block)
        for stage in ("stage1", "stage2", "stage3")
        for block, _ in getattr(model.features, stage).named_children()
        if (stage, block) not in (("stage2", "block1"), ("stage3", "block1"))
    ]


def without(model: nn.Module, removed: list[tuple[str, str]]) -> nn.Module:
    """A copy in which these blocks hand on what they are given."""
    model = copy.deepcopy(model)
    for stage, block in removed:
        setattr(getattr(model.features, stage), block, nn.Identity())
    return model


def swapped(model: nn.Module, stage: str, first: str, second: str) -> nn.Module:
    """A copy in which two blocks of a stage have changed places."""
    model = copy.deepcopy(model)
    place = getattr(model.features, stage)
    one, other = getattr(place, first), getattr(place, second)
    setattr(place, first, other)
    setattr(place, second, one)
    return model


def damage(model: nn.Module, validation, seed: int) -> dict:
    """Validation error of the network with blocks missing or swapped, never trained again."""

    def error(changed: nn.Module) -> float:
        return round(1 - training.evaluate(changed, validation).accuracy, 4)

    draw, all_places = random.Random(seed), places(model)
    found = {
        "whole": error(model),
        "without": {"_".join(one): error(without(model, [one])) for one in all_places},
        "together": {
            str(count): [
                error(without(model, draw.sample(all_places, count)))
                for _ in range(DAMAGE["draws"])
            ]
            for count in DAMAGE["together"]
        },
        "swaps": [],
    }
    for _ in range(DAMAGE["swaps"]):
        stage = draw.choice(("stage1", "stage2", "stage3"))
        first, second = draw.sample([b for s, b in all_places if s == stage], 2)
        found["swaps"].append(error(swapped(model, stage, first, second)))
    return found


# --- one run -------------------------------------------------------------------------------------


def run(entry: dict, recipe: dict, seed: int, with_damage: bool) -> dict:
    """One network trained from one seed."""
    splits = data.load(
        batch_size=recipe["batch_size"],
        image_size=recipe["image_size"],
        train_images=recipe["train_images"],
        validation_images=recipe["validation_images"],
        device="cpu",
        seed=seed,
    )
    device.seed_everything(seed)
    model = build(entry, recipe)
    history = common.fit(
        model,
        splits.train,
        epochs=recipe["epochs"],
        learning_rate=entry.get("learning_rate", recipe["learning_rate"]),
        schedule=recipe["schedule"],
        seed=seed,
        stop_when_stuck=False,
    )
    errors = {
        f"{name}_error": round(1 - training.evaluate(model, batches).accuracy, 4)
        for name, batches in (("train", splits.train), ("validation", splits.validation))
    }
    result = {
        "seed": seed,
        "status": history.status,
        # While the weights change and with the statistics of the batch, unlike the errors.
        "loss": [round(loss, 4) for loss in history.train_loss],
        **errors,
        "seconds": round(sum(history.seconds), 1),
    }
    if with_damage:
        few = data.load(
            batch_size=500,
            image_size=recipe["image_size"],
            train_images=recipe["train_images"],
            validation_images=DAMAGE["images"],
            device="cpu",
        )
        result["damage"] = damage(model, few.validation, seed)
    return result


# --- the file ------------------------------------------------------------------------------------


def interval(values: list[float]) -> dict:
    """Mean of paired differences, its 95 % interval, and the seeds that .1 point would need."""
    count = len(values)
    deviation = statistics.stdev(values)
    # Student's t for 95 %, two-sided, with count - 1 degrees of freedom.
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}[count]
    half = t * deviation / math.sqrt(count)
    return {
        "seeds": count,
        "mean": round(statistics.mean(values), 2),
        "deviation": round(deviation, 2),
        "interval_low": round(statistics.mean(values) - half, 2),
        "interval_high": round(statistics.mean(values) + half, 2),
        # so many that the interval reaches .1 point to either side
        "seeds_for_a_tenth": math.ceil((1.96 * deviation / 0.1) ** 2),
    }


def report(experiment: str, result: dict) -> None:
    """Summaries of the runs so far, and the pairs of runs with the same seed."""
    for entry in result["networks"].values():
        for key in ("train_error", "validation_error", "seconds"):
            entry[key] = common.summarise(one[key] for one in entry["runs"])
        entry["failed"] = sum(one["train_error"] > 0.8 for one in entry["runs"])
        if "damage" in entry["runs"][0]:
            entry["damage"] = summarise_damage([one["damage"] for one in entry["runs"]])
    result["pairs"] = {}
    for first, second in EXPERIMENTS[experiment]["pairs"]:
        runs = [
            {one["seed"]: one for one in result["networks"].get(name, {}).get("runs", [])}
            for name in (first, second)
        ]
        seeds = sorted(runs[0].keys() & runs[1].keys())
        if len(seeds) < 2:
            continue
        pair = {}
        for key in ("train_error", "validation_error"):
            points = [100 * (runs[0][seed][key] - runs[1][seed][key]) for seed in seeds]
            pair[key] = common.summarise(points, digits=2) | interval(points)
            pair[key]["first_higher"] = sum(value > 0 for value in points)
        result["pairs"][f"{first}_minus_{second}"] = pair


def summarise_damage(runs: list[dict]) -> dict:
    """How many points the validation error rises: medians, extremes over blocks and seeds."""

    def rises(run: dict, errors) -> list[float]:
        return [100 * (error - run["whole"]) for error in errors]

    def summary_of(pick) -> dict:
        values = [value for run in runs for value in rises(run, pick(run))]
        found = common.summarise(values, digits=1)
        del found["runs"]
        return found

    return {
        "whole": common.summarise(run["whole"] for run in runs),
        "one": summary_of(lambda run: run["without"].values()),
        "places": {
            place: summary_of(lambda run, place=place: [run["without"][place]])
            for place in runs[0]["without"]
        },
        **{
            f"together_{count}": summary_of(lambda run, count=count: run["together"][str(count)])
            for count in DAMAGE["together"]
        },
        "swap": summary_of(lambda run: run["swaps"]),
    }


def store(experiment: str, recipe: dict, mine: dict) -> None:
    """Put these networks into the file beside those that another process may have written."""
    result = common.header("ResNet at 14 pixels: shortcuts, depth, starts, blocks taken away")
    result["command"] = "python -m benchmarks.resnet"
    earlier = common.read(FILE) or {}
    result |= {name: earlier[name] for name in EXPERIMENTS if name in earlier}
    known = kept(earlier, experiment, recipe) | mine
    result[experiment] = {
        "recipe": recipe,
        "networks": {n: known[n] for n in EXPERIMENTS[experiment]["networks"] if n in known},
    }
    report(experiment, result[experiment])
    common.write(FILE, result)


def kept(result: dict, experiment: str, recipe: dict) -> dict:
    """The networks of an earlier result, if it was measured in the same way."""
    before = result.get(experiment, {})
    return before["networks"] if before.get("recipe") == recipe else {}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("experiment", nargs="?", choices=list(EXPERIMENTS))
    parser.add_argument("--networks", nargs="*")
    arguments = parser.parse_args()
    for experiment in [arguments.experiment] if arguments.experiment else EXPERIMENTS:
        described = EXPERIMENTS[experiment]
        recipe = (
            RECIPE | described["recipe"] | ({"damage": DAMAGE} if experiment == "depth" else {})
        )
        before = kept(common.read(FILE) or {}, experiment, recipe)
        mine = {}
        for name, entry in described["networks"].items():
            if not arguments.networks or name in arguments.networks:
                table = summary.table(build(entry, recipe), (1, *[recipe["image_size"]] * 2))
                counts = {"parameters": table.parameters, "macs": table.macs}
                mine[name] = entry | counts | {"runs": before.get(name, {}).get("runs", [])}
        for seed in recipe["seeds"]:
            for name, entry in mine.items():
                if any(one["seed"] == seed for one in entry["runs"]):
                    continue
                # 54 blocks, each taken away once, would take longer than the training.
                with_damage = experiment == "depth" and not name.endswith("110")
                entry["runs"].append(run(entry, recipe, seed, with_damage))
                shown = {k: v for k, v in entry["runs"][-1].items() if k != "damage"}
                print(experiment, name, shown, flush=True)
                store(experiment, recipe, {n: one for n, one in mine.items() if one["runs"]})
        store(experiment, recipe, mine)


if __name__ == "__main__":
    main()
