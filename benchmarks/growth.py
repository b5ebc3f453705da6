"""How time and memory of training grow: with image size, width, depth and the number of images.

Each series changes one thing and keeps the others. The cases take turns: in every round each of
them is timed once, and the file holds the median over the rounds.

- time: seconds of a step of `fit` by the wall clock (forward, loss, backward, update), float32
  unless the device prefers less; in the series `images`, of one epoch of `fit`;
- live: the most bytes of all tensors at one time during a step: images, weights, gradients,
  momentum, activations. Counted on torch's meta device, without scratch memory inside operations;
- saved: the part of it that the forward pass keeps for the backward pass;
- resident: the most memory that a fresh process held which does nothing but such steps, Python
  and torch included (Linux, and macOS; there is none for a GPU).

A slope is the exponent p in "grows as x to the power p", fitted to all points; `doubling` is the
factor of the last doubling of x. Memory is in MB, millions of bytes. Writes results/growth.json. An
interrupted measurement goes on where it stopped, a finished one starts anew.

    python -m benchmarks.growth
    python -m benchmarks.growth --quick   # small cases, one round, into growth_quick.json
"""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import common
from utils import data, device, networks, summary, training
from utils.topics import memory

FILE = "growth.json"
ROUNDS = 5
# A timed run has as many steps as make up this many forward MACs, and at least one: short steps
# are repeated until the clock is fine enough.
MACS_PER_RUN = 4e9
STEPS = (1, 40)
IMAGENET = 1_281_167  # training images of ILSVRC 2012, arXiv:1409.0575
EPOCHS = 90  # of the recipe in arXiv:1706.02677
SERIES = {
    "image_size": {
        "varies": "pixels a side",
        "networks": {"resnet18": (28, 56, 112, 224), "mobilenet_v2": (28, 56, 112, 224)},
        "batch": 32,
    },
    "width": {
        "varies": "channels of the first stage; the paper's network has 16",
        "networks": {"resnet20": (8, 16, 32, 64)},
        "batch": 32,
    },
    "depth": {
        "varies": "layers",
        "networks": {"resnet": (20, 32, 56, 110)},  # resnet20 to resnet110
        "batch": 32,
    },
    "images": {
        "varies": "training images of an epoch",
        "networks": {"lenet": (3_750, 7_500, 15_000, 30_000, 60_000)},
        "batch": 128,
    },
    # One point, for the estimate in README: what training on ImageNet would take.
    "imagenet": {"varies": "pixels a side", "networks": {"resnet50": (224,)}, "batch": 32},
}
QUICK = {
    "image_size": {"resnet18": (28, 56), "mobilenet_v2": (28, 56)},
    "width": {"resnet20": (8, 16)},
    "depth": {"resnet": (20, 32)},
    "images": {"lenet": (1_000, 2_000)},
    "imagenet": {"resnet50": (64,)},
}
QUICK_SERIES = {name: {**SERIES[name], "networks": QUICK[name], "batch": 16} for name in SERIES}
QUANTITIES = ("seconds", "macs", "live_mb", "saved_mb", "resident_mb")
OF_DATA = ("seconds", "data_mb", "resident_mb")  # of the series `images`


def build(series: str, name: str, x: int) -> tuple[nn.Module, int]:
    """The network of one case, and the pixels a side of its images."""
    if series == "depth":
        network = networks.build(f"{name}{x}")
    elif series == "width":
        network = networks.build(name, width=x)
    else:
        network = networks.build(name)
    return network, x if series in ("image_size", "imagenet") else network.image_size


def noise(network: nn.Module, size: int, batch: int) -> tuple[Tensor, Tensor]:
    """Random images and labels; what is in them does not change the time."""
    images = torch.randn(batch, network.in_channels, size, size)
    return images, torch.randint(network.num_classes, (batch,))


class Steps:
    """Gives the same batch again and again, and takes the time between one and the next."""

    def __init__(self, batch: tuple[Tensor, Tensor], steps: int) -> None:
        self.batch, self.steps, self.marks = batch, steps, []

    def __len__(self) -> int:
        return self.steps + 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(len(self)):
            self._mark()
            yield self.batch
        self._mark()

    def _mark(self) -> None:
        if self.batch[0].is_cuda:
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())

    def seconds(self) -> float:
        """Of one step, without the first, which warms up."""
        return (self.marks[-1] - self.marks[1]) / self.steps


def fit(network: nn.Module, batches) -> training.History:
    """One epoch, however little it learns."""
    settings = {"epochs": 1, "learning_rate": 1e-4, "schedule": "constant"}
    # device=None: the course's choice, where the batches are.
    return common.fit(network, batches, device=None, stop_when_stuck=False, **settings)


def step_seconds(series: str, name: str, x: int, batch: int) -> float:
    """Seconds of one training step."""
    network, size = build(series, name, x)
    macs = summary.count_macs(network, (1, network.in_channels, size, size)) * batch
    steps = Steps(
        tuple(t.to(device.pick()) for t in noise(network, size, batch)),
        steps=min(max(round(MACS_PER_RUN / macs), STEPS[0]), STEPS[1]),
    )
    fit(network, steps)
    return steps.seconds()


def epoch_seconds(images: int, batch: int) -> float:
    """Seconds of one epoch of LeNet over so many images, on the device already."""
    batches = data.load(batch_size=batch, validation_images=0, train_images=images).train
    history = fit(networks.build("lenet"), batches)
    return history.seconds[0]


def live_bytes(network: nn.Module, size: int, batch: int) -> dict[str, int]:
    """Bytes of tensors in a training step with SGD and momentum, counted on the meta device."""
    network = network.to("meta").train()
    images = torch.empty(batch, network.in_channels, size, size, device="meta")
    labels = torch.empty(batch, dtype=torch.int64, device="meta")
    own = [*network.parameters(), *network.buffers()]
    given = {t.untyped_storage()._cdata for t in [*own, images, labels]}
    saved: dict[int, Tensor] = {}  # by storage: several operations may keep the same tensor
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def keep(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in given:
            saved[key] = tensor.detach()
        return tensor

    def step() -> None:
        with torch.enable_grad():
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def two_steps() -> None:  # the second meets the gradients and the momentum of the first
        step()
        step()

    fixed = sum(t.nbytes for t in [*own, images, labels])
    peak = memory.peak(two_steps).bytes
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        F.cross_entropy(network(images), labels)
    return {
        "live_bytes": fixed + peak,
        "saved_bytes": sum(t.untyped_storage().nbytes() for t in saved.values()),
    }


def most_resident() -> int | None:
    """The most bytes that this process has held in memory; None where the system does not tell."""
    status = "/proc/self/status"
    if os.path.exists(status):  # getrusage would also count the process that started this one
        with open(status, encoding="utf-8") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def resident_here(series: str, name: str, x: int, batch: int) -> dict[str, int | None]:
    """In a fresh process: the peak after the imports, and after two steps of training."""
    before = most_resident()
    if series == "images":
        epoch_seconds(x, batch)
    else:
        network, size = build(series, name, x)
        fit(network, Steps(noise(network, size, batch), steps=1))
    return {"imports_bytes": before, "resident_bytes": most_resident()}


def resident(case: tuple[str, str, int, int]) -> dict[str, int]:
    """`resident_here` of a new process, without what is not known on this system."""
    command = [sys.executable, "-m", "benchmarks.growth", "--resident", json.dumps(case)]
    printed = subprocess.check_output(command, cwd=common.ROOT, text=True)
    held = json.loads(printed.splitlines()[-1])
    return {key: value for key, value in held.items() if value is not None}


def counts(case: tuple[str, str, int, int]) -> dict[str, int]:
    """What can be counted without a clock."""
    series, name, x, batch = case
    network, size = build(series, name, x)
    counted = common.size(network, (network.in_channels, size, size))
    counted |= live_bytes(network, size, batch)
    if series == "images":
        train = data.load(batch_size=batch, validation_images=0, train_images=x).train
        counted["data_bytes"] = train.images.nbytes + train.labels.nbytes
    if device.pick().type == "cpu":
        counted |= resident(case)
    return counted


def slope(points: dict[int, float]) -> float:
    """The exponent p of y = c * x**p, by least squares of the logarithms."""
    return float(np.polyfit(np.log(list(points)), np.log(list(points.values())), 1)[0])


def doubling(points: dict[int, float]) -> float:
    """How many times more y the last doubling of x takes, between the last two points."""
    (x1, y1), (x2, y2) = list(points.items())[-2:]
    return (y2 / y1) ** (math.log(2) / math.log(x2 / x1))


def summed_up(series: str, points: dict[str, dict], batch: int) -> dict:
    """A network's points with what follows from their times, and how each quantity grows."""
    for point in points.values():
        if series != "images":
            # One step of training is about three times the MACs of its forward pass.
            median = point["seconds"]["median"]
            point["images_per_second"] = round(batch / median, 2)
            point["training_gmacs_per_second"] = round(3e-9 * point["macs"] * batch / median, 1)
    result: dict[str, Any] = {"points": points}
    for quantity in OF_DATA if series == "images" else QUANTITIES:
        values = {
            int(x): point[quantity]["median"] if quantity == "seconds" else point[quantity]
            for x, point in points.items()
            if quantity in point  # there is no resident memory of a GPU
        }
        if len(values) > 1:
            growth = {"slope": slope(values), "doubling": doubling(values)}
            result[quantity] = {name: round(value, 3) for name, value in growth.items()}
    return result


def estimate(images_per_second: float) -> dict:
    """What the recipe for ImageNet would take at this speed."""
    images = IMAGENET * EPOCHS
    hours = images / images_per_second / 3600
    return {
        "images": IMAGENET,
        "epochs": EPOCHS,
        "hours": round(hours, 1),
        "days": round(hours / 24, 1),
    }


def all_cases(chosen: dict[str, dict]) -> list[tuple[str, str, int, int]]:
    return [
        (series, name, x, about["batch"])
        for series, about in chosen.items()
        for name, values in about["networks"].items()
        for x in values
    ]


def key(case: tuple[str, str, int, int]) -> str:
    return "/".join(map(str, case[:3]))


def in_mb(counted: dict[str, int | None]) -> dict[str, Any]:
    """Every `…_bytes` as `…_mb`, millions of bytes, which text can quote."""
    return {
        key.replace("_bytes", "_mb"): round(value / 1e6, 2)
        if key.endswith("_bytes") and value is not None
        else value
        for key, value in counted.items()
    }


def report(chosen: dict[str, dict], counted: dict, seconds: dict[str, list[float]]) -> dict:
    """The file's content from the counts and the times of all cases."""
    result = {}
    for series, about in chosen.items():
        result[series] = {"varies": about["varies"], "batch": about["batch"]}
        for name, values in about["networks"].items():
            points = {}
            for x in values:
                case = key((series, name, x, 0))
                points[str(x)] = {
                    **in_mb(counted[case]),
                    "seconds": common.summarise(seconds[case], digits=5),
                }
            result[series][name] = summed_up(series, points, about["batch"])
    (point,) = result["imagenet"]["resnet50"]["points"].values()
    result["imagenet"]["estimate"] = estimate(point["images_per_second"])
    return result


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="small cases, to see that it runs")
    parser.add_argument("--resident", help="measure one case (JSON) in this process and print it")
    arguments = parser.parse_args()
    device.seed_everything(0)
    if arguments.resident:
        print(json.dumps(resident_here(*json.loads(arguments.resident))))
        return
    chosen, file, count = SERIES, FILE, arguments.rounds
    if arguments.quick:
        chosen, file, count = QUICK_SERIES, "growth_quick.json", 1
    cases = all_cases(chosen)
    result = common.header("How time and memory of training grow", "numpy")
    # What is measured so far is in a file of its own, so that the results are whole at any time.
    same = {"cases": cases, "rounds": count}
    same |= {key: result[key] for key in ("machine", "versions")}
    measured = common.Stored(file.replace(".json", ".part"), {}, **same)
    load = measured.content.setdefault("load_at_start", common.load_average())
    counted, seconds = (measured.content.setdefault(key, {}) for key in ("counted", "seconds"))
    for case in cases:
        measured.once(counted, key(case), counts, case)
    for number in range(count):
        for case in cases:
            times = seconds.setdefault(key(case), [])
            if len(times) == number:
                gc.collect()
                series, _, x, batch = case
                times.append(epoch_seconds(x, batch) if series == "images" else step_seconds(*case))
                measured.save()
        print(f"round {number + 1} of {count}", flush=True)
    result |= {"device": device.describe(), "load_at_start": load, "rounds": count}
    common.write(file, result | report(chosen, counted, seconds))
    measured.remove()


if __name__ == "__main__":
    main()
