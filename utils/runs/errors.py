"""Errors of torch that a learner meets, in plain words."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Callable, Iterator

import torch

from utils.batches import worker_problem
from utils.runs.team import Team

# The last one: a GPU so full that cuBLAS or cuDNN could not even begin.
_OUT_OF_MEMORY = re.compile(
    "out of memory|can't allocate memory|not enough memory|_STATUS_ALLOC_FAILED"
)


@contextlib.contextmanager
def in_plain_words(device: torch.device, batch_size: Callable[[], int]) -> Iterator[None]:
    """Raise one clear sentence where torch has no memory, no compiler or no class for a label.

    Args:
        batch_size: returns the size of the largest batch so far.

    Raises:
        MemoryError, RuntimeError, ValueError: in the place of torch's error.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        if isinstance(error, torch.OutOfMemoryError) or _OUT_OF_MEMORY.search(text):
            # A notebook keeps the last error, and with it all that its frames hold.
            traceback.clear_frames(error.__traceback__)
            if device.type == "cuda":
                torch.cuda.empty_cache()
            raise MemoryError(
                f"The memory of {device} is too small for a batch of {batch_size()} images: load "
                f"the data with batch_size={max(1, batch_size() // 2)}"
                f"{' for each process' if Team().size > 1 else ''}."
            ) from None
        if type(error) is RuntimeError and (problem := worker_problem(error)):
            # Torch tells of a dead worker anywhere, and again as long as its batches are kept.
            traceback.clear_frames(error.__traceback__)
            raise problem from None
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = text.strip().splitlines()[0] if text.strip() else type(error).__name__
            raise RuntimeError(
                f"torch.compile does not work on this machine ({reason}); use compile=False."
            ) from None
        if isinstance(error, IndexError) and "out of bounds" in text and "Target" in text:
            raise ValueError(
                f"A label does not fit the network: {text.rstrip('.')}. With N classes the labels "
                "are 0 to N - 1."
            ) from None
        raise
