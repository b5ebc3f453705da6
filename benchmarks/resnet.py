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
import functools
import math
import random
import statistics
from collections.abc import Callable, Iterable

from torch import nn

from benchmarks import common
from utils import data, networks, training
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
    # AdamW: how far a weight moves hardly depends on the size of its gradient. Is the gradient that
    # grows on its way back what keeps the deep plain network from learning? First which rate.
    "rates_adamw": {
        "recipe": {"seeds": [5], "optimizer": "adamw"},
        "networks": _rates(
            plain20=(0.001, 0.003, 0.01, 0.03),
            plain56=(0.001, 0.003, 0.01, 0.03),
            resnet56=(0.001, 0.003, 0.01, 0.03),
        ),
        "pairs": [],
    },
    # More seeds at one of these rates.
    "adamw": {
        "recipe": {"optimizer": "adamw", "learning_rate": 0.01},
        "networks": {name: {"network": name} for name in ("plain20", "plain56", "resnet56")},
        "pairs": [("plain56", "resnet56"), ("plain56", "plain20")],
    },
    # Three times as many steps: does the deep plain network catch up?
    "longer": {
        "recipe": {"epochs": 30, "seeds": [0, 1, 2]},
        "networks": _table(20, 56),
        "pairs": [
            *(("plain20", "resnet20"), ("plain56", "resnet56")),
            *(("plain56", "plain20"), ("resnet56", "resnet20")),
        ],
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


# --- taking blocks away ---------------------------------------------------------------------------


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
    blocks = getattr(place, first), getattr(place, second)
    setattr(place, second, blocks[0])
    setattr(place, first, blocks[1])
    return model


def damage(model: nn.Module, validation: data.Batches, seed: int) -> dict:
    """Validation error of the network with blocks missing or swapped, never trained again."""

    def error(changed: nn.Module) -> float:
        return round(1 - training.evaluate(changed, validation).accuracy, 4)

    draw, all_places = random.Random(seed), places(model)
    result = {
        "whole": error(model),
        "without": {"_".join(place): error(without(model, [place])) for place in all_places},
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
        result["swaps"].append(error(swapped(model, stage, first, second)))
    return result


# --- one run --------------------------------------------------------------------------------------


def run(entries: dict, recipe: dict, name: str, seed: int) -> dict:
    """One network trained from one seed."""
    entry = entries[name]
    splits = common.load(recipe, seed)
    model, history = common.train(
        lambda: build(entry, recipe),
        splits.train,
        recipe | {"learning_rate": entry.get("learning_rate", recipe["learning_rate"])},
        seed,
        stop_when_stuck=False,
    )
    result = {
        "seed": seed,
        "status": history.status,
        # While the weights change and with the statistics of the batch, unlike the errors.
        "loss": [round(loss, 4) for loss in history.train_loss],
        "train_error": round(1 - training.evaluate(model, splits.train).accuracy, 4),
        "validation_error": round(1 - training.evaluate(model, splits.validation).accuracy, 4),
        "seconds": round(sum(history.seconds), 1),
    }
    # 54 blocks, each taken away once, would take longer than the training.
    if "damage" in recipe and not name.endswith("110"):
        few = common.load(recipe, seed=0, batch_size=500, validation_images=DAMAGE["images"])
        result["damage"] = damage(model, few.validation, seed)
    return result


# --- the file -------------------------------------------------------------------------------------


def interval(values: list[float]) -> dict:
    """Mean of paired differences, its 95 % interval, and the seeds that .1 point would need."""
    count = len(values)
    if count == 1:
        return {"seeds": 1}
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


def report(compared: list[tuple[str, str]], content: dict) -> None:
    """Summaries of the runs so far, and the pairs of runs with the same seed."""
    for entry in content["networks"].values():
        runs = entry["runs"]
        entry |= common.summaries(runs, "train_error", "validation_error", "seconds")
        entry["failed"] = sum(run["train_error"] > 0.8 for run in runs)
        if runs and "damage" in runs[0]:
            entry["damage"] = summarise_damage([run["damage"] for run in runs])
    content["pairs"] = common.pairs(
        content["networks"], compared, "train_error", "validation_error", more=interval
    )


def summarise_damage(runs: list[dict]) -> dict:
    """How many points the validation error rises: medians, extremes over blocks and seeds."""

    def rise(pick: Callable[[dict], Iterable[float]]) -> dict:
        rises = (100 * (error - run["whole"]) for run in runs for error in pick(run))
        summary = common.summarise(rises, digits=1)
        del summary["runs"]
        return summary

    return {
        "whole": common.summarise(run["whole"] for run in runs),
        "one": rise(lambda run: run["without"].values()),
        "places": {
            place: rise(lambda run, place=place: [run["without"][place]])
            for place in runs[0]["without"]
        },
        **{
            f"together_{count}": rise(lambda run, count=count: run["together"][str(count)])
            for count in DAMAGE["together"]
        },
        "swap": rise(lambda run: run["swaps"]),
    }


def main() -> None:
    names = common.parser(__doc__, names=EXPERIMENTS).parse_args().names
    head = common.header("ResNet at 14 pixels: shortcuts, depth, starts, blocks taken away")
    for experiment in names:
        described = EXPERIMENTS[experiment]
        recipe = RECIPE | described["recipe"]
        if experiment == "depth":
            recipe["damage"] = DAMAGE
        summing = functools.partial(report, described["pairs"])
        stored = common.Stored(FILE, head, experiment, report=summing, recipe=recipe)
        shape = (1, recipe["image_size"], recipe["image_size"])
        fields = {
            name: entry | common.size(build(entry, recipe), shape)
            for name, entry in described["networks"].items()
        }
        stored.fill("networks", fields, functools.partial(run, fields, recipe), recipe["seeds"])


if __name__ == "__main__":
    main()
