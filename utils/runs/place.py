"""Where a network computes, and how: device, precision, memory format."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.utils.deterministic
from torch import nn

from utils import device as devices
from utils.diagnosis import device_of
from utils.runs.errors import in_plain_words

# cuBLAS reads this when it starts; without it its results can differ from run to run.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


class Place:
    """The device that `model` is moved to, the precision there and the memory format.

    Args:
        device, precision: as in `utils.device`.
        channels_last: whether the channels of a pixel lie side by side in memory; "auto" decides.
    """

    def __init__(
        self,
        model: nn.Module,
        device: str | torch.device | None,
        precision: str = "auto",
        channels_last: bool | str = "auto",
    ):
        self.device = device_of(model.to(devices.pick(device)))
        self.precision = devices.precision(self.device, precision)
        if channels_last == "auto":
            channels_last = prefers_channels_last(model, self.device, self.precision.dtype)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.batch_size = 0  # of the largest batch so far

    @contextlib.contextmanager
    def prepared(self, model: nn.Module, repeatable: bool = False) -> Iterator[None]:
        """`model` in this memory format, and errors of torch in plain words.

        With `repeatable` a GPU uses algorithms that give the same numbers every time, where it can.
        """
        contiguous = all(p.is_contiguous() for p in model.parameters() if p.ndim == 4)
        with in_plain_words(self.device, lambda: self.batch_size):
            model.to(memory_format=self.memory_format)
            try:
                with repeatable_algorithms(repeatable and self.device.type == "cuda"):
                    yield
            finally:
                before = torch.contiguous_format if contiguous else torch.channels_last
                model.to(memory_format=before)

    def move(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, H, W) and labels (N,) on the device, in the memory format."""
        self.batch_size = max(self.batch_size, len(images))
        images = images.to(self.device, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        if self.memory_format == torch.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, labels

    def logits(self, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, num_classes) in float32; the network computes in the precision chosen."""
        with self.precision.autocast():
            logits = model(images)
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
            shape = tuple(getattr(logits, "shape", ())) or type(logits).__name__
            raise ValueError(
                f"The network should answer with logits of shape (N, num_classes), not {shape}."
            )
        return logits.float()


def prefers_channels_last(
    model: nn.Module, device: torch.device, dtype: torch.dtype | None
) -> bool:
    """Whether convolutions are faster with the channels of a pixel side by side in memory.

    They are on a GPU in half precision, and on a CPU with oneDNN (a small NiN trains in half the
    time). Local response normalisation becomes slower by more than that.
    """
    modules = list(model.modules())
    if any(isinstance(m, nn.LocalResponseNorm) for m in modules):
        return False
    if not any(isinstance(m, nn.Conv2d) for m in modules):
        return False
    if device.type == "cuda":
        return dtype is not None
    return device.type == "cpu" and torch.backends.mkldnn.is_available()


@contextlib.contextmanager
def repeatable_algorithms(wanted: bool) -> Iterator[None]:
    """Where `wanted`, torch's settings for the same numbers every time; put back at the end."""
    if not wanted:
        yield
        return
    cudnn, memory = torch.backends.cudnn, torch.utils.deterministic
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    before = cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory = True, False, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory = before
