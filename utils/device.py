"""Which device, which precision, which seed.

Importing this module makes the CPU treat denormal numbers (below about 1e-38) as zero. Networks
that do not learn produce many of them, and a CPU handles each one many times more slowly.
"""

import functools
import operator
import os
import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import psutil
import torch

# numpy computes the smallest numbers when first asked; after the next line it would get zero and
# warn (numpy 2.1).
np.finfo(np.float32), np.finfo(np.float64)
# Threads copy this setting when they start, so it has to come before the first parallel operation.
torch.set_flush_denormal(True)


@functools.cache
def _cuda_problem() -> str | None:
    """Why CUDA cannot be used, or None if it works.

    `torch.cuda.is_available()` is also true for a card that is too old for the installed torch:
    only a computation tells.
    """
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    try:
        torch.ones(1, device="cuda").add_(1).item()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None


def pick(name: str | torch.device | None = None) -> torch.device:
    """The device to compute on: CUDA if there is one, else MPS, else the CPU.

    `name` ("cpu", "cuda", "cuda:1", "mps") overrides the choice, and so does the environment
    variable COURSE_DEVICE where `name` is None.

    Raises:
        ValueError: the name is not a device, or this machine does not have that device.
    """
    wanted = str(name or os.environ.get("COURSE_DEVICE", "")).strip().lower()
    if not wanted:
        if _cuda_problem() is None:
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"{wanted!r} is not a device of this course; use cpu, cuda or mps.")
    problem = None
    if device.type == "cuda":
        problem = _cuda_problem()
        if problem is None and (device.index or 0) >= torch.cuda.device_count():
            problem = f"the last CUDA device is cuda:{torch.cuda.device_count() - 1}"
    elif device.type == "mps" and not torch.backends.mps.is_available():
        problem = "torch finds no Apple GPU"
    if problem:
        raise ValueError(
            f"Device {wanted!r} was asked for, but {problem}; choose another device, or none to "
            "let the course choose (argument `device`, environment variable COURSE_DEVICE)."
        )
    return device


def describe() -> str:
    """One line: device, its memory, threads, torch version."""
    device = pick()
    memory = psutil.virtual_memory().total
    name = {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type)
    if name is None:
        name = f"{torch.cuda.get_device_name(device)} ({device})"
        memory = torch.cuda.get_device_properties(device).total_memory
    elif torch.cuda.is_available() and _cuda_problem():
        name += f" (the CUDA device does not work: {_cuda_problem()})"
    threads = torch.get_num_threads()
    return (
        f"{name}, {memory / 2**30:.1f} GiB, {threads} thread{'s' if threads != 1 else ''}, "
        f"torch {torch.__version__}"
    )


def seed_everything(seed: int) -> None:
    """Seed the random numbers of Python, NumPy and torch (on every device).

    Raises:
        ValueError: `seed` is not an integer from 0 to 2**32 - 1 (the range that NumPy takes).
    """
    seed = check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # CPU, CUDA and MPS


def check_seed(seed: int) -> int:
    """`seed` as an int, or a ValueError that says which seeds there are."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**32:
        raise ValueError(f"A seed is an integer from 0 to {2**32 - 1}, not {seed!r}.")
    return number


@dataclass(frozen=True)
class Precision:
    """The number format of the forward pass. Weights and optimizer always stay in float32.

    Attributes:
        device_type: "cpu", "cuda" or "mps".
        dtype: the format of convolutions and matrix products; None means float32 throughout.
        scale: whether the loss has to be scaled up before the backward pass, because small
            gradients would vanish in float16 (arXiv:1710.03740).
    """

    device_type: str
    dtype: torch.dtype | None
    scale: bool

    def autocast(self) -> AbstractContextManager:
        """Context in which the forward pass and the loss are computed."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)


def precision(device: str | torch.device, wanted: str = "auto") -> Precision:
    """The precision to train in.

    "auto" is float32 on CPU and MPS, bfloat16 on a CUDA device that computes in it, and float16
    with gradient scaling on an older one. `wanted` can also be "float32", "bfloat16" (CPU and
    CUDA) or "float16" (CUDA).

    Raises:
        ValueError: `wanted` is none of these, or the device cannot do it.
    """
    device = torch.device(device)
    offers = {"cpu": ("float32", "bfloat16"), "cuda": ("float32", "bfloat16", "float16")}
    offered = offers.get(device.type, ("float32",))
    if wanted == "auto":
        wanted = "float32"
        if device.type == "cuda":
            # Emulated bfloat16 (a T4 has it) is slower than float32, hence the explicit False.
            with torch.cuda.device(device):
                has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
            wanted = "bfloat16" if has_bfloat16 else "float16"
    if wanted not in offered:
        raise ValueError(
            f"{device.type!r} cannot train in {wanted!r}; use auto or one of {', '.join(offered)}."
        )
    dtype = None if wanted == "float32" else getattr(torch, wanted)
    return Precision(device.type, dtype, scale=wanted == "float16")
