"""What changes a training run and what does not, for chapter 11.

`paths` takes one short run in several ways that should be one and the same (in parts, with two
processes, stopped and resumed) and in ways with a mistake, and writes down the loss of every step.
`rates` trains a small network with four batch sizes and several learning rates, all for as many
epochs. `warm_up` trains it with a small batch, at the best of three rates, and with a large batch,
whose rate is the same, is multiplied as the batch was, or rises to that value first. `compiled`
times steps with `torch.compile` and without, in turns, and the first call. Writes
results/loop.json. Finished runs are kept, so an interrupted benchmark goes on.

    python -m benchmarks.loop
"""

from __future__ import annotations

import copy
import itertools
import os
import tempfile
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from benchmarks import common
from utils import data, networks
from utils.topics import processes

FILE = "loop.json"
PATHS = dict(network="lenet", batch_size=128, steps=60, learning_rate=0.05, momentum=0.9, seed=0)
RATES = dict(
    network="two linear layers of 64 and 10 outputs, with a ReLU",
    train_images=4_000,
    validation_images=2_000,
    epochs=4,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="one_cycle",
)
BATCH_SIZES = (16, 64, 256, 1024)
LEARNING_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
WARM_UP = dict(
    network=RATES["network"],
    train_images=4_096,
    validation_images=2_000,
    epochs=10,
    momentum=0.9,
    schedule="constant, after a rise in a line over a share of the steps",
)
SMALL, LARGE, RISE = 64, 1_024, 0.2
COMPILED = dict(networks=["lenet", "nin_small", "resnet_small"], batch_size=128, steps=20)


# --- one run in several ways ----------------------------------------------------------------------


def start(recipe: dict):
    """Network, optimizer and batches of the run."""
    count = recipe["steps"] * recipe["batch_size"]
    splits = data.load(batch_size=recipe["batch_size"], train_images=count, device="cpu", seed=0)
    torch.manual_seed(recipe["seed"])
    model = networks.build(recipe["network"])
    rate, momentum = recipe["learning_rate"], recipe["momentum"]
    return model, torch.optim.SGD(model.parameters(), rate, momentum), list(splits.train)


def whole(recipe: dict) -> list[float]:
    model, optimizer, batches = start(recipe)
    return [step(model, optimizer, images, labels) for images, labels in batches]


def step(model, optimizer, images, labels) -> float:
    loss = F.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def in_parts(recipe: dict, parts: int = 4, divided: bool = True) -> list[float]:
    """Gradients are added up over parts of each batch; `divided` makes their mean of it."""
    model, optimizer, batches = start(recipe)
    losses = []
    for images, labels in batches:
        optimizer.zero_grad()
        total = 0.0
        for part, answers in zip(images.chunk(parts), labels.chunk(parts)):
            loss = F.cross_entropy(model(part), answers)
            (loss / parts if divided else loss).backward()
            total += loss.item() / parts
        optimizer.step()
        losses.append(total)
    return losses


def of_one_process(recipe: dict, averaged: bool) -> list[float]:
    """The loss of every step, as the mean over the processes of the group."""
    model, optimizer, batches = start(recipe)
    rank, size, losses = dist.get_rank(), dist.get_world_size(), []
    for images, labels in batches:
        loss = F.cross_entropy(model(images[rank::size]), labels[rank::size])
        optimizer.zero_grad()
        loss.backward()
        if averaged:
            for parameter in model.parameters():
                dist.all_reduce(parameter.grad)
                parameter.grad /= size
        optimizer.step()
        mean = loss.detach() / size
        dist.all_reduce(mean)
        losses.append(mean.item())
    return losses


def two_processes(recipe: dict, averaged: bool = True) -> list[float]:
    return processes.run(of_one_process, recipe, averaged, start=start)[0]


def resumed(recipe: dict, with_optimizer: bool = True) -> list[float]:
    """Half of the run, then the other half with a new network and a new optimizer."""
    model, optimizer, batches = start(recipe)
    half = len(batches) // 2
    losses = [step(model, optimizer, images, labels) for images, labels in batches[:half]]
    saved = copy.deepcopy([model.state_dict(), optimizer.state_dict()])
    model, optimizer, batches = start(recipe)
    model.load_state_dict(saved[0])
    if with_optimizer:
        optimizer.load_state_dict(saved[1])
    return losses + [step(model, optimizer, images, labels) for images, labels in batches[half:]]


WAYS: dict[str, Callable[..., list[float]]] = {
    "whole": whole,
    "in_parts": in_parts,
    "two_processes": two_processes,
    "resumed": resumed,
    "not_divided": lambda recipe: in_parts(recipe, divided=False),
    "not_averaged": lambda recipe: two_processes(recipe, averaged=False),
    "without_optimizer": lambda recipe: resumed(recipe, with_optimizer=False),
}


def compare(paths: dict) -> None:
    """How far each way is from the first one: the largest difference of a step's loss."""
    right = paths["ways"].get("whole")
    if right:
        paths["largest_difference"] = {
            name: max(abs(a - b) for a, b in zip(losses, right))
            for name, losses in paths["ways"].items()
        }


# --- batch size and learning rate -----------------------------------------------------------------


def small_network() -> nn.Module:
    """As `RATES` says. A run takes less than a second, so that everybody can repeat it."""
    layers = nn.Linear(28 * 28, 64), nn.ReLU(), nn.Linear(64, 10)
    return nn.Sequential(nn.Flatten(), *layers)


def run(recipe: dict, batch_size: int, rate: float, seed: int) -> dict:
    splits = common.load(recipe | {"batch_size": batch_size}, seed)
    model, history = common.train(
        small_network,
        splits.train,
        recipe | {"learning_rate": rate},
        seed,
        channels_last=False,
        stop_when_stuck=False,
    )
    accuracy = common.accuracy(model, splits.validation)
    return {"seed": seed, "status": history.status, "accuracy": accuracy}


def report(rates: dict) -> None:
    """For each batch size the learning rate with the highest median, and how good it was."""
    for entry in rates.get("batch_sizes", {}).values():
        medians = {}
        for rate, found in entry["rates"].items():
            if found["runs"]:
                found |= common.summaries(found["runs"], "accuracy")
                medians[rate] = found["accuracy"]["median"]
        if medians:
            best = max(medians, key=medians.get)
            entry |= {"best_rate": float(best), "best": entry["rates"][best]["accuracy"]}


# --- warm-up --------------------------------------------------------------------------------------


def rise(step: int, total: int, share: float) -> float:
    """Share of the highest rate at `step`, counted from 0: up in a line, then constant."""
    return min(1.0, (step + 1) / (share * total)) if share else 1.0


def with_rise(recipe: dict, batch_size: int, rate: float, share: float, seed: int) -> dict:
    """Validation accuracy, and the mean training loss of each `LARGE` images on the way."""
    splits = common.load(recipe | {"batch_size": batch_size}, seed)
    torch.manual_seed(seed)
    model = small_network().train()
    optimizer = torch.optim.SGD(model.parameters(), rate, recipe["momentum"])
    total, losses = recipe["epochs"] * len(splits.train), []
    for epoch in range(recipe["epochs"]):
        splits.train.set_epoch(epoch)
        for images, labels in splits.train:
            optimizer.param_groups[0]["lr"] = rate * rise(len(losses), total, share)
            losses.append(step(model, optimizer, images, labels))
    together = torch.tensor(losses).view(-1, LARGE // batch_size).mean(dim=1)
    accuracy = common.accuracy(model, splits.validation)
    return {"seed": seed, "accuracy": accuracy, "losses": [round(x, 4) for x in together.tolist()]}


def at_constant_rate(recipe: dict, rate: float, seed: int) -> dict:
    found = with_rise(recipe, SMALL, rate, 0.0, seed)
    return {"seed": seed, "accuracy": found["accuracy"]}


def ways_to_grow(rate: float) -> dict[str, dict]:
    """Batch size, highest rate, and share of the steps in which the rate rises."""
    scaled = round(rate * LARGE / SMALL, 4)
    return {
        "small": {"batch_size": SMALL, "rate": rate, "rise": 0.0},
        "same_rate": {"batch_size": LARGE, "rate": rate, "rise": 0.0},
        "scaled": {"batch_size": LARGE, "rate": scaled, "rise": 0.0},
        "warm_up": {"batch_size": LARGE, "rate": scaled, "rise": RISE},
    }


def report_warm_up(content: dict) -> None:
    """Summaries, and the rate that suits the small batch best."""
    for part in ("tried", "ways"):
        for entry in content.get(part, {}).values():
            entry |= common.summaries(entry["runs"], "accuracy")
    tried = {k: v["accuracy"]["median"] for k, v in content.get("tried", {}).items() if v["runs"]}
    if tried:
        content["best_rate"] = float(max(tried, key=tried.get))


# --- torch.compile --------------------------------------------------------------------------------


def compiled(recipe: dict, name: str) -> dict:
    """Seconds of the first call, and how many times as long a step takes without compiling.

    Steps of forward and backward pass, on one thread of the CPU, in turns. Nothing that was
    compiled before is used again.
    """
    images = torch.randn(recipe["batch_size"], 1, 28, 28)
    labels = torch.randint(10, (recipe["batch_size"],))
    torch.manual_seed(0)
    model = networks.build(name)
    fast = torch.compile(model)

    def step(network: nn.Module) -> float:
        start = time.perf_counter()
        F.cross_entropy(network(images), labels).backward()
        return time.perf_counter() - start

    first = step(fast)
    pairs = [(step(model), step(fast)) for _ in range(recipe["steps"])]
    return {
        "first_call": round(first, 1),
        "seconds": common.summarise([round(plain, 4) for plain, _ in pairs]),
        "times_faster": common.summarise([round(plain / other, 3) for plain, other in pairs]),
    }


def main() -> None:
    names = ["paths", "rates", "warm_up", "compiled"]
    arguments = common.parser(__doc__, names=names, seeds=3, processes=1)
    options = arguments.parse_args()
    head = common.header("One run in several ways; batch size and learning rate")
    if "paths" in options.names:
        torch.set_num_threads(1)
        paths = common.Stored(FILE, head, "paths", report=compare, recipe=PATHS)
        ways = paths.content.setdefault("ways", {})
        for name, take in WAYS.items():
            paths.once(ways, name, take, PATHS)
        paths.save()
    if "rates" in options.names:
        rates = common.Stored(FILE, head, "rates", report=report, recipe=RATES)
        with common.processes(options.processes) as mapping:
            for batch_size, rate in itertools.product(BATCH_SIZES, LEARNING_RATES):
                steps = RATES["epochs"] * -(-RATES["train_images"] // batch_size)
                sizes = rates.content.setdefault("batch_sizes", {})
                sizes.setdefault(str(batch_size), {"steps": steps})
                entry = rates.entry("batch_sizes", str(batch_size), "rates", f"{rate:g}")
                name, given = f"batch size {batch_size}, rate {rate:g}", (batch_size, rate)
                seeds = range(options.seeds)
                rates.complete(name, entry["runs"], seeds, run, RATES, *given, mapping=mapping)
        rates.save()
    if "warm_up" in options.names:
        found = common.Stored(FILE, head, "warm_up", report=report_warm_up, recipe=WARM_UP)
        seeds = range(options.seeds)
        with common.processes(options.processes) as mapping:
            for rate in LEARNING_RATES[:3]:
                runs = found.entry("tried", f"{rate:g}")["runs"]
                name, given = f"rate {rate:g}", (WARM_UP, rate)
                found.complete(name, runs, seeds, at_constant_rate, *given, mapping=mapping)
            for name, way in ways_to_grow(found.content["best_rate"]).items():
                runs = found.entry("ways", name, **way)["runs"]
                found.complete(
                    name, runs, seeds, with_rise, WARM_UP, *way.values(), mapping=mapping
                )
        found.save()
    if "compiled" in options.names:
        torch.set_num_threads(1)
        found = common.Stored(FILE, head, "compiled", recipe=COMPILED)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
            for name in COMPILED["networks"]:
                measured = found.content.setdefault("networks", {})
                found.once(measured, name, compiled, COMPILED, name)
        found.save()


if __name__ == "__main__":
    main()
