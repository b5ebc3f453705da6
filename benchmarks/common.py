"""What every benchmark shares: who measured, with what, and a file that is never half-written."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from utils import data, training

Ended = TypeVar("Ended")
RESULTS = Path(__file__).resolve().parent.parent / "results"


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


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, torch, torchvision and of the packages named."""
    found = {"python": platform.python_version()}
    for package in ("torch", "torchvision", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def summarise(values: Iterable[float], digits: int = 4) -> dict[str, Any]:
    """Median, minimum and maximum of the runs, and the runs themselves in their order."""
    runs = [round(float(value), digits) for value in values]
    return {
        "median": round(statistics.median(runs), digits),
        "min": min(runs),
        "max": max(runs),
        "runs": runs,
    }


def header(what: str, *packages: str) -> dict[str, Any]:
    """The fields that every results file begins with."""
    module = Path(sys.argv[0]).stem
    command = " ".join(["python -m", f"benchmarks.{module}", *sys.argv[1:]])
    return {
        "what": what,
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(*packages),
    }


def read(name: str) -> dict[str, Any] | None:
    """An earlier result, or None if there is none yet."""
    path = RESULTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write(name: str, result: dict[str, Any]) -> Path:
    """Write results/name in one step: a reader sees the old file or the new one, never a half."""
    path = RESULTS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        os.chmod(temporary, 0o644)  # mkstemp makes files for oneself only
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def completed(run: Ended) -> Ended:
    """The history of a run (or the capstone's `Run`), unless Ctrl-C has ended it.

    `fit` returns after Ctrl-C, and what it had learned until then is no result.

    Raises:
        KeyboardInterrupt: the run was interrupted.
    """
    if run.status == "interrupted":
        raise KeyboardInterrupt
    return run


def fit(model: nn.Module, train, validation=None, **settings: Any) -> training.History:
    """`training.fit` as benchmarks run it: to its end or not at all, on the CPU, without a word.

    Args:
        settings: those of `training.fit`; a `device` or `progress` among them holds.

    Raises:
        KeyboardInterrupt: the run was interrupted.
    """
    settings = {"device": "cpu", "progress": False} | settings
    return completed(training.fit(model, train, validation, **settings))


def without_normalisation(batches: data.Batches, batch_size: int, seed: int) -> data.Batches:
    """The same images with pixels from 0 to 1, as D2L trains on them; no augmentation."""
    return data.Batches(
        batches.images,
        batches.labels,
        batch_size=batch_size,
        shuffle=batches.shuffle,
        image_size=batches.image_size,
        device="cpu",
        seed=seed,
    )


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser whose help shows the first line of the benchmark's docstring."""
    return argparse.ArgumentParser(description=(description or "").strip().splitlines()[0])
