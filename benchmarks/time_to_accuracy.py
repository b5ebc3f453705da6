"""How long until a test accuracy on Fashion-MNIST: the course beside what people use instead.

    python -m benchmarks.time_to_accuracy --fastai PYTHON      # all ways, as many seeds as each has
    python -m benchmarks.time_to_accuracy speedrun_93 --seeds 5

Every run is a process of its own with one thread of torch, and the ways take turns, seed by seed,
so that all meet the same machine. What counts is the time of the processor from the start of
training, worker processes included: the machine may be busy with other things meanwhile. Data that
lies ready, evaluation and drawing do not count. All 60,000 images are trained on; choices were made
on validation images, and the test set is read for the curve alone.

fastai is no package of the course. Make an environment with it and name its Python:

    python -m venv /somewhere/else && /somewhere/else/bin/pip install fastai psutil

Without one these ways are left out, and a line says so. Writes results/time_to_accuracy.json;
finished runs are kept, and a changed recipe starts anew.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks import common, speedrun
from benchmarks.accuracy import RECIPES as COURSE
from utils import data

FILE = "time_to_accuracy.json"
TARGETS = (0.88, 0.90, 0.92, 0.93, 0.94)


@dataclass(frozen=True)
class Way:
    """A way to train: whose it is, what it does in words, for how long, from how many seeds (0: it
    takes an hour or more a run, so only `--seeds` asks for it)."""

    whose: str
    what: str
    epochs: int | None = None  # None: its schedule says
    seeds: int = 5


WAYS = {
    **{
        f"speedrun_{aim}": Way("course", f"benchmarks.speedrun {aim}; test images mirrored too")
        for aim in speedrun.RECIPES
    },
    "resnet_small": Way("course", "data.load and fit, recipe of benchmarks.accuracy", seeds=1),
    "googlenet_small": Way("course", "data.load and fit, recipe of benchmarks.accuracy", seeds=1),
    "lenet_d2l": Way("d2l", "LeNet, train_ch6, rate .9, batches of 256", epochs=10, seeds=5),
    "resnet18_d2l": Way("d2l", "ResNet-18 at 96 pixels, train_ch6, rate .05", epochs=1, seeds=0),
    "plain_loop": Way("loop", "LeNet (ReLU), DataLoader, Adam .001, batches of 64", 10, seeds=5),
    "fastai_cnn": Way("fastai", "SimpleCNN, fit_one_cycle(5, .01), batches of 128", epochs=5),
    "fastai_xresnet": Way("fastai", "XResNet, fit_one_cycle(5, .01), batches of 128", 5, seeds=5),
    "miniai": Way("fastai", "miniai's 'Going wider', one cycle .01, batches of 1024", 5, seeds=0),
}


def settings(name: str) -> dict[str, Any]:
    """Everything that, if it changes, makes stored runs those of another recipe."""
    way = WAYS[name]
    recipe: dict[str, Any] = {"whose": way.whose, "what": way.what, "epochs": way.epochs}
    if name.startswith("speedrun_"):
        recipe["recipe"] = asdict(speedrun.RECIPES[name.removeprefix("speedrun_")])
    elif name in COURSE:
        recipe["recipe"] = COURSE[name]
    return recipe


def run(python: str, name: str, seed: int) -> dict[str, Any]:
    """Train once in a fresh process; its curve, with date and load of the machine."""
    command = [python, "-m", "benchmarks.ways_to_train", name, str(seed)]
    load = common.load_average()
    done = subprocess.run(
        [*command, json.dumps(WAYS[name].epochs)],
        cwd=common.ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "load_at_start": load,
        "test_accuracy": (curve := json.loads(done.stdout))[-1]["test_accuracy"],
        "processor_seconds": curve[-1]["processor_seconds"],
        "curve": curve,
    }


def commit() -> str | None:
    """The commit that last changed the speedrun; None outside a clone."""
    command = ["git", "log", "-1", "--format=%h", "--abbrev=7", "--", "benchmarks/speedrun.py"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.check_output(command, cwd=common.ROOT, text=True).strip() or None
    return None


def until(run: dict[str, Any], target: float, key: str = "processor_seconds") -> float | None:
    """Seconds until the first point of the curve with this accuracy; None if it has none."""
    return next((p[key] for p in run["curve"] if p["test_accuracy"] >= target), None)


def reached(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """For each target how many runs reached it, and the median seconds of all runs, of which those
    that did not reach it count as longer than any other: no median unless most runs reached it."""
    found = {}
    for target in TARGETS:
        entry: dict[str, Any] = {"runs": len(runs)}
        for key in ("processor_seconds", "wall_seconds"):
            seconds = [until(run, target, key) for run in runs]
            entry["reached"] = sum(value is not None for value in seconds)
            median = statistics.median(math.inf if s is None else s for s in seconds)
            if median < math.inf:
                entry[key] = round(median, 1)
        found[f"{100 * target:.0f}"] = entry
    return found


def report(content: dict[str, Any]) -> None:
    """Medians of every way; for each target the fastest of each owner, our lead and our record."""
    best: dict[str, dict[str, Any]] = {f"{100 * target:.0f}": {} for target in TARGETS}
    for name, way in content.get("ways", {}).items():
        if not way["runs"]:
            continue
        way["final_accuracy"] = common.summarise(run["test_accuracy"] for run in way["runs"])
        way["until"] = reached(way["runs"])
        for target, entry in way["until"].items():
            seconds = entry.get("processor_seconds")
            owner = best[target].setdefault(way["whose"], {"way": None, "processor_seconds": None})
            if seconds is not None and (
                owner["way"] is None or seconds < owner["processor_seconds"]
            ):
                owner |= {"way": name, "processor_seconds": seconds}
    for owners in best.values():
        ours = owners.get("course", {}).get("processor_seconds")
        for owner, entry in owners.items():
            if owner != "course" and ours and entry["processor_seconds"]:
                entry["times_ours"] = round(entry["processor_seconds"] / ours, 2)
    content["best"] = best
    content["records"] = {
        target: {
            "processor_seconds": owners["course"]["processor_seconds"],
            "way": name,
            "date": max(run["date"] for run in content["ways"][name]["runs"]),
            "commit": content["ways"][name].get("commit"),
        }
        for target, owners in best.items()
        if (name := owners.get("course", {}).get("way"))
    }


def main() -> None:
    parser = common.parser(__doc__, names=WAYS, processes=1)
    parser.add_argument("--seeds", type=int, help="of every way named (default: its own number)")
    parser.add_argument("--fastai", default=sys.executable, help="a Python that has fastai")
    options = parser.parse_args()
    data.unpack()  # torchvision and d2l read the unpacked files
    torch.set_num_threads(1)

    names = list(options.names)
    asked = subprocess.run([options.fastai, "-c", "import fastai; print(fastai.__version__)"],
                           capture_output=True, text=True)  # fmt: skip
    if asked.returncode:
        names = [name for name in names if WAYS[name].whose != "fastai"]
        print("fastai is left out: this Python has none. See --help and the top of this file.")

    head = common.header(
        "processor seconds (and seconds of the wall) from the start of training to an accuracy on "
        "the test images of Fashion-MNIST; one thread; ways in turn, seed by seed",
        *("d2l",),
    )
    head["versions"]["fastai"] = asked.stdout.strip() or "missing"
    head["command"] = "python -m benchmarks.time_to_accuracy --fastai PYTHON"
    stored = common.Stored(FILE, head, report=report, targets=list(TARGETS))
    ways = stored.content.setdefault("ways", {})
    for name in names:  # a changed recipe starts anew
        ways[name] = same(ways.get(name, {}), settings(name))
        if name.startswith("speedrun_"):
            ways[name]["commit"] = commit()
    count = {n: WAYS[n].seeds if options.seeds is None else options.seeds for n in names}
    missing = [
        (options.fastai if WAYS[name].whose == "fastai" else sys.executable, name, seed)
        for seed in range(max(count.values(), default=0))
        for name in names
        if seed < count[name] and all(run["seed"] != seed for run in ways[name]["runs"])
    ]
    stored.save()
    with ThreadPoolExecutor(options.processes) as pool:
        for ended in as_completed([pool.submit(lambda job: (job, run(*job)), m) for m in missing]):
            try:
                (_, name, _), result = ended.result()
            except subprocess.CalledProcessError as error:  # the others go on
                print(f"A run failed and is left out: {error}", file=sys.stderr, flush=True)
                continue
            ways[name]["runs"].append(result)
            ways[name]["runs"].sort(key=lambda run: run["seed"])
            stored.save()
            print(name, {k: v for k, v in result.items() if k != "curve"}, flush=True)


def same(stored: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """What is stored, if its recipe is this one; else an entry without runs."""
    settings = json.loads(json.dumps(settings))
    if all(stored.get(key) == value for key, value in settings.items()):
        return {"runs": [], **stored}
    return settings | {"runs": []}


if __name__ == "__main__":
    main()
