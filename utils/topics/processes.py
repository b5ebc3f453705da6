"""A function of a notebook in several processes that form one group, for chapter 11.

`train.py` and torchrun are the real thing, and `torchrun` starts them. `run` starts processes from
a notebook, on Linux, macOS and Windows alike. Each is a new Python, which cannot import what a
notebook has defined, so the source of the functions is sent. They meet in a file, not at an
address, and exchange tensors through gloo.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as F
from torch import nn

from utils import data, device, networks, training

SYSTEM = os.name
TRAIN = Path(__file__).resolve().parents[2] / "train.py"
SECONDS = 300  # that a process waits for the others before it gives up
# What the functions find under these names, beside those that were sent along.
NAMES = {"torch": torch, "nn": nn, "F": F, "dist": dist}
NAMES |= {"data": data, "device": device, "networks": networks, "training": training}


def run(function: Callable, *arguments: Any, processes: int = 2, **others: Callable) -> list[Any]:
    """What `function(*arguments)` returns in each of `processes` new processes, in order of rank.

    The processes have joined one gloo group on the CPU, with one thread each. `function` may use
    `torch`, `nn`, `F`, `dist` (torch.distributed), the modules data, device, networks and training
    of `utils`, and the functions in `others` under their keywords.

    Args:
        arguments: tensors and plain values.
        others: functions of the notebook that `function` calls.

    Raises:
        ValueError: the source of a function is not known, or there is less than one process.
        RuntimeError: a process raised an error, or one waited for the others without success.
    """
    if processes < 1:
        raise ValueError(f"There should be at least one process, not {processes}.")
    sources = [(name, *_source(name, other)) for name, other in others.items()]
    sources.append(("main", *_source("the function", function)))
    vars(sys.modules["__main__"]).setdefault("__spec__")  # gone after `%reset`; spawn reads it
    with tempfile.TemporaryDirectory() as folder:
        given = (folder, processes, sources, arguments)
        try:
            torch.multiprocessing.spawn(_work, given, nprocs=processes)
        except torch.multiprocessing.ProcessExitedException as error:
            raise RuntimeError(
                f"{error}: it was ended from outside, or the memory ran out."
            ) from None
        # The first error is the cause: the others wait for a process that is gone.
        if errors := [file.read_text("utf-8") for file in Path(folder).glob("error_*")]:
            raise RuntimeError(min(errors).partition(" ")[2])
        files = [Path(folder) / f"result_{rank}.pt" for rank in range(processes)]
        return [torch.load(file, weights_only=True) for file in files]


def torchrun(*arguments: Any, processes: int = 2) -> None:
    """Start `train.py` with these arguments, as `torchrun` does, in processes on the CPU.

    On Windows, whose torch lacks what torchrun needs, `run` starts them.

    Raises:
        RuntimeError: the training did not finish; the message says what was printed.
    """
    given = [str(argument) for argument in arguments]
    if SYSTEM == "nt":
        run(_train, str(TRAIN), given, processes=processes)
        return
    command = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command += [f"--nproc_per_node={processes}", str(TRAIN), *given]
    # A process that torchrun starts tells its children who they are; these are a new group.
    others = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    variables = {name: value for name, value in os.environ.items() if name not in others}
    ended = subprocess.run(
        [sys.executable, *command],
        env=variables | {"COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
    )
    if ended.returncode:
        lines = ended.stdout.split("\n")
        problems = [line for line in lines if line.startswith("problem: ")] or lines[-8:]
        raise RuntimeError("train.py did not finish:\n" + "\n".join(dict.fromkeys(problems)))


def _train(file, arguments):
    """What a process of `torchrun` does, without torchrun."""
    import os
    import runpy

    os.environ["COURSE_DEVICE"] = "cpu"
    command = runpy.run_path(file)
    command["train"](command["parser"]().parse_args(arguments))


def _source(name: str, function: Callable) -> tuple[str, str]:
    """The source of a function and the name that it defines."""
    try:
        return textwrap.dedent(inspect.getsource(function)), function.__name__
    except (TypeError, OSError, AttributeError):
        raise ValueError(
            f"Other processes cannot get {name}: it should be a function that is written with def "
            f"in a cell or a file, not a {type(function).__name__}."
        ) from None


def _work(rank: int, folder: str, processes: int, sources: list, arguments: tuple) -> None:
    torch.set_num_threads(1)
    here, namespace = Path(folder), dict(NAMES)
    try:
        for name, source, defined in sources:
            exec(compile(source, f"<{name}>", "exec"), namespace)
            namespace[name] = namespace.get(defined, namespace.get(name))
        dist.init_process_group(
            "gloo",
            store=dist.FileStore(str(here / "meet"), processes),
            rank=rank,
            world_size=processes,
            timeout=timedelta(seconds=SECONDS),
        )
        torch.save(namespace["main"](*arguments), here / f"result_{rank}.pt")
        dist.barrier()  # nobody leaves while another still needs it
    except Exception as error:  # written down before the others notice that this process is gone
        line = str(error).strip().partition("\n")[0]
        text = f"{time.time_ns()} Process {rank} stopped: {type(error).__name__}: {line}"
        (here / f"error_{rank}").write_text(text, "utf-8")
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
