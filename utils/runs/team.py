"""Several processes that train one network together: what `fit` does when torchrun starts it.

Each process has a copy of the network and takes its part of every batch. The gradients are averaged
over all of them before each step (`DistributedDataParallel`, arXiv:2006.15704), so the copies stay
equal, and the run is that of one process with the same whole batch. `train.py` is the command; in
one process alone a `Team` changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from utils import device as devices
from utils.diagnosis import device_of
from utils.runs.checkpoints import fingerprint


def started_by_torchrun() -> bool:
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= set(os.environ)


def is_team() -> bool:
    return dist.is_available() and dist.is_initialized()


def start() -> None:
    """Join the processes that torchrun started: NCCL where every process has a GPU, else gloo.

    Raises:
        ValueError: the first process cannot be found, or there are not enough GPUs.
    """
    find_first()
    local = int(os.environ["LOCAL_RANK"])
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if local < gpus and not os.environ.get("COURSE_DEVICE", "").strip().lower().startswith("cpu"):
        torch.cuda.set_device(local)  # first: `pick` computes, and would do so on GPU 0
    kind = devices.pick().type
    if kind == "mps":
        os.environ["COURSE_DEVICE"] = "cpu"  # gloo cannot add up tensors on an Apple GPU
    on_gpus = kind == "cuda" and dist.is_nccl_available()
    if on_gpus and local >= gpus:
        raise ValueError(
            f"torchrun started more processes than this machine has GPUs ({gpus}): choose "
            f"--nproc_per_node={gpus}, or COURSE_DEVICE=cpu."
        )
    dist.init_process_group("nccl" if on_gpus else "gloo")


def find_first() -> None:
    """ValueError where the variables name no machine of the first process, or an unknown one."""
    if lacking := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise ValueError(
            "RANK, WORLD_SIZE and LOCAL_RANK are set, as in one of several processes, but not "
            f"{', '.join(lacking)}: start them with torchrun, or for one process run `unset "
            "RANK WORLD_SIZE LOCAL_RANK` before."
        )
    host = os.environ["MASTER_ADDR"]
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        raise ValueError(
            f"The first process is on the machine {host} (MASTER_ADDR), and this one does not "
            "know that name: start torchrun there with --local-addr and the machine's IP address, "
            "and give that address to --rdzv-endpoint or --master-addr."
        ) from None


def in_turns(read: Callable[[], Any]) -> Any:
    """What `read()` gives in each process, where the first to read may make files for the others.

    Process 0 reads, then the first process of each other machine, which finds the files if the
    machines share a disk, then all others. An error in one is raised in all.
    """
    if not is_team():
        return read()
    team = Team()
    own_turn = 0 if team.rank == 0 else 1 if os.environ.get("LOCAL_RANK") == "0" else 2
    result = None
    for turn in range(3):
        error = None
        if turn == own_turn:
            result, error = _attempt(read)
        for problem in team.gather(error):  # which waits for all
            if problem is not None:
                raise problem
    return result


def _attempt(read: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What `read()` gives, and the error that it raises."""
    try:
        return read(), None
    except Exception as error:
        return None, error


class Team:
    """The processes that train together; all must call the same methods in the same order."""

    def __init__(self):
        self.rank = dist.get_rank() if is_team() else 0
        self.size = dist.get_world_size() if is_team() else 1

    def join(self, model: nn.Module, train, settings: dict[str, Any]) -> Any:
        """This process's part of the batches of `train`, and random numbers of its own.

        Raises:
            RuntimeError: the processes were given different networks, settings or data.
        """
        if self.size == 1:
            return train
        labels = getattr(train, "labels", None)
        digest = "" if labels is None else hashlib.sha256(labels.cpu().numpy()).hexdigest()
        self._check_equal(settings | fingerprint(model)["shapes"] | {"labels": digest})
        if settings["seed"] is not None:
            torch.manual_seed((settings["seed"] + self.rank) % 2**32)
        return self.part_of(train)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The network, averaging its gradients over all processes; all get the first's weights."""
        if self.size == 1:
            return model
        device = device_of(model)
        gpus = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=gpus)

    def part_of(self, batches):
        if self.size == 1:
            return batches
        if not hasattr(batches, "share"):
            raise ValueError(
                f"{type(batches).__name__} cannot be shared between {self.size} processes: take "
                "the batches of utils.data, or train with one process."
            )
        return batches.share(self.rank, self.size)

    def _check_equal(self, values: dict[str, Any]) -> None:
        """Raise the same RuntimeError everywhere if `values` are not the same everywhere."""
        first, *others = self.gather(values)
        for rank, other in enumerate(others, start=1):
            for name in first | other:
                if first.get(name) != other.get(name):
                    raise RuntimeError(
                        f"Process {rank} differs from process 0: {name} is {first.get(name)} in 0 "
                        f"and {other.get(name)} in {rank}. Start all processes with the same "
                        "command, on machines with the same course and data."
                    )

    def gather(self, value: Any) -> list[Any]:
        """The `value` of every process, in the order of their ranks."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def from_first(self, read: Callable[[], Any]) -> Any:
        """What `read()` gives in process 0, or the error that it raises there."""
        if self.size == 1:
            return read()
        answer = list(_attempt(read)) if self.rank == 0 else [None, None]
        dist.broadcast_object_list(answer, src=0)
        result, error = answer
        if error is not None:
            raise error
        return result

    def agree(self, decision: bool) -> bool:
        """What process 0 has decided."""
        return self.gather(decision)[0]

    def weighted(self, loss: torch.Tensor, images: int) -> torch.Tensor:
        """The mean loss of this part of a batch, so that the mean over processes is the batch's.

        Parts differ in size where a batch cannot be divided evenly.
        """
        if self.size == 1:
            return loss
        whole = torch.tensor(float(images), device=loss.device)
        dist.all_reduce(whole)
        return loss * (images * self.size / whole)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Each of the values summed over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def same_buffers(self, model: nn.Module) -> None:
        """Give every copy the running means and variances of process 0."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)
