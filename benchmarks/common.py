"""What all benchmarks share: results files that outlive an interruption, and runs from one seed."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from utils import atomic, data, device, results, summary, training

ROOT = Path(__file__).resolve().parent.parent  # of the course, where its modules are found
Ended = TypeVar("Ended")
Runs = list[dict[str, Any]]  # each holds its seed

# --- results files --------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """The processor, its cores as torch uses them, and the GPU if there is one. No host name."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    described = {
        "processor": name,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
    }
    if torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    return described


def load_average() -> float | None:
    """How many processes wanted a processor in the last minute; Windows does not tell."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, torch, torchvision and of the packages named."""
    installed = {"python": platform.python_version()}
    for package in ("torch", "torchvision", *packages):
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            installed[package] = "missing"
    return installed


def header(what: str, *packages: str) -> dict[str, Any]:
    """The fields that every results file begins with."""
    module = Path(sys.argv[0]).stem
    return {
        "what": what,
        "command": " ".join(["python -m", f"benchmarks.{module}", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(*packages),
    }


def read(name: str) -> dict[str, Any] | None:
    """The content of results/`name`, or None if there is no such file yet."""
    return results.load(name) if (results.FOLDER / name).exists() else None


def write(name: str, content: dict[str, Any]) -> Path:
    """Write results/`name` in one step: a reader sees the old file or the new one."""
    path = results.FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    atomic.write(path, text.encode("utf-8"))
    return path


class Stored:
    """One results file, or one part of it, that is filled run by run.

    `content` holds what an earlier start of the benchmark has left there. The file is written after
    each run, so an interrupted benchmark goes on where it stopped. The other parts of the file stay
    as they are at that moment: another process may be measuring them.

    Args:
        file: its name in results/; None reads and writes nothing.
        head: fields of the whole file, from `header`.
        place: the keys that lead to the part; none if the whole file is meant.
        report: brings the summaries in `content` up to date; called before each writing.
        same: fields of `content`, such as its recipe. If an earlier start had other values, what it
            measured is dropped.
    """

    def __init__(
        self,
        file: str | None,
        head: dict[str, Any],
        *place: str,
        report: Callable[[dict], None] | None = None,
        **same: Any,
    ) -> None:
        content = (read(file) or {}) if file else {}
        for key in place:
            content = content.get(key, {})
        same = json.loads(json.dumps(same))  # a tuple would never equal the list that is read
        if any(content.get(name) != value for name, value in same.items()):
            content = {}
        if place:  # the parts may come from several commands
            head = head | {"command": " ".join(head["command"].split()[:3])}
        self.file, self.head, self.place, self.report = file, head, place, report
        if not place:
            content = head | content | head  # first in the file, and with the values of today
        self.content: dict[str, Any] = content | same

    def entry(self, *keys: str, **fields: Any) -> dict[str, Any]:
        """The dictionary at `keys` of `content`, with these fields and a list of `runs`."""
        entry = self.content
        for key in keys:
            entry = entry.setdefault(key, {})
        entry |= fields
        entry.setdefault("runs", [])
        return entry

    def complete(
        self,
        name: str,
        runs: Runs,
        seeds: Iterable[int],
        run: Callable[..., dict[str, Any]],
        *given: Any,
        mapping: Callable[..., Iterable] = map,
    ) -> None:
        """Add `run(*given, seed)` to `runs` for each of the seeds that is missing there.

        Args:
            name: what is printed in front of each new run.
            mapping: what calls `run`; from `processes`, for several at a time.
        """
        missing = sorted(set(seeds) - {run["seed"] for run in runs})
        for result in mapping(functools.partial(run, *given), missing):
            runs.append(result)
            runs.sort(key=lambda run: run["seed"])
            short = {k: v for k, v in result.items() if not isinstance(v, (dict, list))}
            print(name, short, flush=True)
            self.save()

    def fill(
        self,
        place: str,
        fields: dict[str, dict[str, Any]],
        run: Callable[[str, int], dict[str, Any]],
        seeds: Iterable[int],
    ) -> None:
        """Complete `content[place]`, seed by seed: an entry with its `fields` for each name."""
        entries = {name: self.entry(place, name, **own) for name, own in fields.items()}
        for seed in seeds:
            for name, entry in entries.items():
                self.complete(name, entry["runs"], [seed], run, name)
        self.save()

    def once(self, where: dict[str, Any], key: str, measure: Callable[..., Any], *given: Any):
        """`where[key]`; if it is missing, `measure(*given)` is put there first."""
        if key not in where:
            where[key] = measure(*given)
            print(key, where[key], flush=True)
            self.save()
        return where[key]

    def extend(
        self, entry: dict, key: str, count: int, measure: Callable[..., float], *given: Any
    ) -> None:
        """Bring the summary `entry[key]` to `count` runs: numbers from `measure(*given, seed)`."""
        runs = entry.get(key, {"runs": []})["runs"]
        for seed in range(len(runs), count):
            runs.append(measure(*given, seed))
            print(*given, seed, runs[-1], flush=True)
            entry[key] = summarise(runs)
            self.save()

    def save(self) -> None:
        """Write the file, with the summaries brought up to date."""
        if self.report:
            self.report(self.content)
        if self.file is None:
            return
        whole = self.content
        if self.place:
            whole = around = (read(self.file) or {}) | self.head
            for key in self.place[:-1]:
                around = around.setdefault(key, {})
            around[self.place[-1]] = self.content
        write(self.file, whole)

    def remove(self) -> None:
        (results.FOLDER / self.file).unlink(missing_ok=True)


# --- summaries ------------------------------------------------------------------------------------


def summarise(values: Iterable[float], digits: int = 4) -> dict[str, Any]:
    """Median, minimum and maximum of the runs, and the runs themselves in their order."""
    runs = [round(float(value), digits) for value in values]
    return {
        "median": round(statistics.median(runs), digits),
        "min": min(runs),
        "max": max(runs),
        "runs": runs,
    }


def summaries(runs: Runs, *keys: str, digits: int = 4) -> dict[str, dict]:
    """`summarise` for each of the keys; nothing as long as there are no runs."""
    return {key: summarise((run[key] for run in runs), digits) for key in keys if runs}


def differences(first: Runs, second: Runs, key: str, factor: float = 100) -> list[float]:
    """First minus second for each seed that both have; in points, where `key` is a share."""
    other = {run["seed"]: run[key] for run in second}
    return [factor * (run[key] - other[run["seed"]]) for run in first if run["seed"] in other]


def pairs(
    entries: dict[str, dict],
    compared: Iterable[tuple[str, str]],
    *keys: str,
    higher: str = "first_higher",
    more: Callable[[list[float]], dict[str, Any]] | None = None,
) -> dict[str, dict]:
    """Differences in points between the runs of two entries, for each pair that is `compared`.

    Args:
        higher: the field that counts for how many seeds the first is higher.
        more: further fields from the differences.
    """
    result: dict[str, dict] = {}
    for first, second in compared:
        runs = [entries.get(name, {}).get("runs", []) for name in (first, second)]
        for key in keys:
            points = differences(*runs, key)
            if points:
                pair = summarise(points, 2) | {higher: sum(value > 0 for value in points)}
                pair |= more(points) if more else {}
                result.setdefault(f"{first}_minus_{second}", {})[key] = pair
    return result


# --- training -------------------------------------------------------------------------------------

# The parts of a recipe that `data.load` and `fit` know; the rest means something to one benchmark.
LOADED = ("batch_size", "image_size", "augment", "train_images", "validation_images")
FITTED = (
    *("epochs", "learning_rate", "optimizer", "momentum", "weight_decay", "schedule"),
    "label_smoothing",
)


def completed(run: Ended) -> Ended:
    """The history of a run (or the capstone's `Run`), unless Ctrl-C has ended it.

    `fit` returns after Ctrl-C, and what the network had learned until then is no result.

    Raises:
        KeyboardInterrupt: the run was interrupted.
    """
    if run.status == "interrupted":
        raise KeyboardInterrupt
    return run


def fit(model: nn.Module, train, validation=None, **settings: Any) -> training.History:
    """`training.fit` as benchmarks need it: to its end or not at all, on the CPU, silent.

    Args:
        settings: those of `training.fit`; `device` and `progress` can be among them.

    Raises:
        KeyboardInterrupt: the run was interrupted.
    """
    settings = {"device": "cpu", "progress": False} | settings
    return completed(training.fit(model, train, validation, **settings))


def load(recipe: dict[str, Any], seed: int, **more: Any) -> data.Splits:
    """The images of a recipe on the CPU, in the order that belongs to this seed."""
    chosen = {key: recipe[key] for key in LOADED if key in recipe}
    return data.load(**{"device": "cpu", "seed": seed} | chosen | more)


def train(
    build: Callable[[], nn.Module], batches, recipe: dict, seed: int, validation=None, **more: Any
) -> tuple[nn.Module, training.History]:
    """A network, built and trained from one seed. `more` goes to `fit` beside the recipe."""
    device.seed_everything(seed)
    model = build()
    chosen = {key: recipe[key] for key in FITTED if key in recipe}
    return model, fit(model, batches, validation, seed=seed, **chosen | more)


def batches_like(batches: data.Batches, **changed: Any) -> data.Batches:
    """The same images and labels on the CPU with other settings.

    Without `mean` and `std` the pixels are from 0 to 1; without `augment` nothing is augmented.
    """
    kept = ("images", "labels", "batch_size", "shuffle", "image_size", "seed")
    settings = {key: getattr(batches, key) for key in kept} | {"device": "cpu"}
    return data.Batches(**settings | changed)


def accuracy(model: nn.Module, batches) -> float:
    """Share of right answers in evaluation mode, with four digits."""
    return round(training.evaluate(model, batches).accuracy, 4)


def size(model: nn.Module, shape: tuple[int, int, int] = (1, 28, 28)) -> dict[str, int]:
    """Parameters, and MACs for one image (C, H, W)."""
    return {
        "parameters": summary.count_parameters(model),
        "macs": summary.count_macs(model, shape),
    }


# --- the command line -----------------------------------------------------------------------------


def parser(
    description: str | None,
    names: Iterable[str] = (),
    seeds: int | None = None,
    processes: int | None = None,
) -> argparse.ArgumentParser:
    """An argument parser whose help shows the first line of the benchmark's docstring.

    Args:
        names: what can be chosen, as `arguments.names`; all of them by default.
        seeds, processes: defaults of `--seeds` and `--processes`; None leaves the option out.
    """
    parser = argparse.ArgumentParser(description=(description or "").strip().splitlines()[0])
    names = list(names)

    def known(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"there is no {name}; there are {', '.join(names)}")
        return name

    if names:
        parser.add_argument(
            "names", nargs="*", type=known, default=names, help=f"of {', '.join(names)}"
        )
    if seeds is not None:
        parser.add_argument("--seeds", type=int, default=seeds, help="number of seeds, from 0")
    if processes is not None:
        parser.add_argument("--processes", type=int, default=processes, help="of one thread each")
    return parser


@contextlib.contextmanager
def processes(count: int) -> Iterator[Callable[..., Iterable]]:
    """A `map` that works in so many processes of one thread each; in this process if it is one."""
    if count == 1:
        torch.set_num_threads(1)
        yield map
        return
    with ProcessPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool.map
