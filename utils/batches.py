"""Batches of images and labels on the device, the same ones for the same seed and epoch.

A small dataset lives on the device as bytes. Each batch is picked, cropped, mirrored, normalised
and resized there by a handful of tensor operations, with no worker processes and no loop over
images. A folder of images is too large for that and streams through a DataLoader.
"""

import contextlib
import copy
import functools
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from utils.device import check_seed, pick


class DataError(RuntimeError):
    """Data is missing, damaged or not of the expected kind; the message says what to do."""


class _Epochs:
    """Counts epochs and gives each its own random numbers, which depend on (seed, epoch) alone."""

    dataset: str | None = None  # its name, where `load` made the batches

    def __init__(
        self,
        labels: Tensor,
        count: int,
        batch_size: int,
        shuffle: bool,
        image_size: int | None,
        augment: bool | str,
        seed: int,
        classes: Sequence[str] | None,
    ):
        _check_labels(labels, count, classes)
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(f"batch_size is a whole number of at least 1, not {batch_size!r}.")
        if image_size is not None and (not isinstance(image_size, Integral) or image_size < 1):
            raise ValueError(f"image_size is a whole number of pixels or None, not {image_size!r}.")
        if augment not in (False, True, "crop", "flip"):
            raise ValueError(f'augment is False, True, "crop" or "flip", not {augment!r}.')
        self.labels, self.image_size, self.augment = labels, image_size, augment
        self.batch_size, self.shuffle, self.seed = int(batch_size), shuffle, check_seed(seed)
        self.classes = None if classes is None else tuple(classes)
        self._count, self._epoch = count, 0
        self._rank, self._ranks = 0, 1

    def __len__(self) -> int:
        """Number of batches; the last one may be smaller than the others."""
        return -(-self._count // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be epoch `epoch`. Without it each iteration is the next epoch."""
        if epoch < 0:
            raise ValueError(f"Epochs count from 0, got {epoch}.")
        self._epoch = epoch

    def share(self, rank: int, ranks: int) -> Self:
        """A copy that gives part `rank` of `ranks` of each batch.

        All parts together are the batch. Order and augmentation do not change.

        Raises:
            ValueError: a batch has fewer images than there are parts.
        """
        smallest = self._count % self.batch_size or self.batch_size
        if smallest < ranks:
            raise ValueError(
                f"{self._count:,} images in batches of {self.batch_size} leave a batch of "
                f"{smallest}, too small for {ranks} processes: choose another batch_size."
            )
        part = copy.copy(self)
        part._rank, part._ranks = rank, ranks
        return part

    def _parts(self) -> Iterator[slice]:
        """For each batch, the slice of the epoch's order that this copy gives."""
        for start in range(0, self._count, self.batch_size):
            images = min(self.batch_size, self._count - start)
            first, last = (images * (self._rank + i) // self._ranks for i in (0, 1))
            yield slice(start + first, start + last)

    def known_by(self) -> list[Tensor]:
        """Tensors whose first rows tell these data from others; nothing is read for them."""
        return [self.labels, self._scale, self._shift]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._count:,} images in {len(self)} batches)"

    def _begin(self) -> tuple[Tensor, torch.Generator]:
        """Order of the images in this epoch, and the generator for its other random numbers.

        Both are drawn on the CPU, so that every device sees the same batches.
        """
        mixed = np.random.SeedSequence((self.seed, self._epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        self._epoch += 1
        if self.shuffle:
            return torch.randperm(self._count, generator=generator), generator
        return torch.arange(self._count), generator


class Batches(_Epochs):
    """Images and labels that live on the device, in batches.

    Iterating gives `(images, labels)`: float32 (N, C, H, W), normalised, and int64 (N,). Order and
    augmentation depend on `(seed, epoch)` alone, so a resumed run sees the same batches.

    Args:
        images: uint8 (N, C, H, W), values 0 to 255.
        labels: integers (N,), from 0.
        batch_size: images in a batch; the last batch holds what is left.
        shuffle: whether each epoch has its own random order.
        image_size: pixels a side to resize to, bilinear as torchvision's `Resize`; None keeps the
            size.
        augment: "crop" moves each image by up to a few pixels (2 below 32 pixels, else an eighth
            of the size), filling with zeros; "flip" mirrors every other image, at random; True
            does both.
        mean, std: per channel, for pixels from 0 to 1; None leaves pixels from 0 to 1.
        device: where the data is kept; None lets `device.pick()` choose.
        seed: for order and augmentation.
        classes: names of the classes; a label without a name is then an error.

    Raises:
        DataError: images or labels of the wrong type, shape or range.
        ValueError: an argument that makes no sense.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        batch_size: int = 256,
        shuffle: bool = False,
        image_size: int | None = None,
        augment: bool | str = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        device: str | torch.device | None = None,
        seed: int = 0,
        classes: Sequence[str] | None = None,
    ):
        _check_images(images)
        super().__init__(
            labels, len(images), batch_size, shuffle, image_size, augment, seed, classes
        )
        device = pick(device)
        self.images = images.to(device)
        self.labels = labels.to(device, torch.int64)
        self._scale, self._shift = _scale_and_shift(mean, std, images.shape[1], device)

    def known_by(self) -> list[Tensor]:
        return [*super().known_by(), self.images]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order, generator = self._begin()
        height, device = self.images.shape[2], self.images.device
        padding = 0
        if self.augment in (True, "crop"):
            padding = 2 if height < 32 else height // 8
        # The random numbers of the whole epoch in one go: one transfer to the device, not many.
        moves = torch.randint(0, 2 * padding + 1, (2, len(order)), generator=generator).to(device)
        flips = torch.rand(len(order), generator=generator).lt(0.5).to(device)
        order = order.to(device)

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for part in self._parts():
                images = self.images.index_select(0, order[part])
                if padding:
                    images = _crop(images, padding, *moves[:, part])
                if self.augment in (True, "flip"):
                    images = torch.where(flips[part, None, None, None], images.flip(-1), images)
                images = images.float().mul_(self._scale).add_(self._shift)
                yield _resize(images, self.image_size), self.labels.index_select(0, order[part])

        return batches()


class _ImageFiles(Dataset):
    """Image files as bytes (3, size, size), each with random numbers of its own."""

    def __init__(self, paths: Sequence[str], labels: Tensor, size: int, augment: bool | str):
        from torchvision.transforms import v2

        # 7/8 of the short side, which is 224 of 256 pixels, as AlexNet had it.
        steps = [v2.Resize(size * 8 // 7), v2.CenterCrop(size)]
        if augment in (True, "crop"):
            steps = [v2.RandomResizedCrop(size)]
        if augment in (True, "flip"):
            steps.append(v2.RandomHorizontalFlip())
        self.transform = v2.Compose([*steps, v2.PILToTensor()])
        self.paths, self.labels = paths, labels

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Tensor]:
        from torchvision.datasets.folder import pil_loader

        index, key = item
        try:
            image = pil_loader(self.paths[index])
        except Exception as error:  # not all formats report damage in the same way
            raise DataError(
                f"The image {self.paths[index]} cannot be read ({error}); replace or delete it."
            ) from None
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(key)  # torch.manual_seed would reseed CUDA too
            return self.transform(image), self.labels[index]


class StreamedBatches(_Epochs):
    """Image files in batches, read while they are needed: what `Batches` is for small datasets.

    Args:
        paths: one file per image.
        image_size: pixels a side of what comes out; 224 if None.
        augment: "crop" takes a random part of each image (`RandomResizedCrop`), "flip" mirrors
            every other image at random, True does both. Without "crop", the middle of the image.
        num_workers: processes that read; None is 0 on Windows, else up to 4.

    The other arguments, what comes out and what is raised are those of `Batches`.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: Tensor,
        *,
        batch_size: int = 256,
        shuffle: bool = False,
        image_size: int | None = None,
        augment: bool | str = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        device: str | torch.device | None = None,
        seed: int = 0,
        classes: Sequence[str] | None = None,
        num_workers: int | None = None,
    ):
        super().__init__(
            labels, len(paths), batch_size, shuffle, image_size, augment, seed, classes
        )
        self.image_size = image_size or 224
        self.device = pick(device)
        self._scale, self._shift = _scale_and_shift(mean, std, 3, self.device)
        if num_workers is None:
            num_workers = 0 if sys.platform == "win32" else min(4, os.cpu_count() or 1)
        if not isinstance(num_workers, Integral) or num_workers < 0:
            raise ValueError(
                f"num_workers is a whole number from 0 on, or None, not {num_workers!r}."
            )
        self._files = _ImageFiles(paths, labels, self.image_size, augment)
        self._num_workers = int(num_workers)
        self._loader = self._make_loader()

    def share(self, rank: int, ranks: int) -> Self:
        part = super().share(rank, ranks)
        part._loader = part._make_loader()
        return part

    def _make_loader(self) -> DataLoader:
        return DataLoader(
            self._files,
            batch_sampler=_Order(self),
            num_workers=self._num_workers,
            # None stays behind that could die between two epochs, whoever ends it.
            persistent_workers=False,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else each epoch would draw from torch's own
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        with _interrupts_held_back():  # for the workers: they end when this process tells them
            before = _child_handler()
            batches = iter(self._loader)
            if (theirs := _child_handler()) is not before:  # torch's, which raises anywhere
                signal.signal(signal.SIGCHLD, functools.partial(_say_in_one_sentence, theirs))
        try:
            yield from self._on_device(batches)
        finally:  # torch would raise the death of a worker that it still knows anywhere later
            if self._num_workers:
                batches._shutdown_workers()

    def _on_device(self, batches: Iterator) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            try:
                images, labels = next(batches)
            except StopIteration:
                return
            except DataError as error:  # from a worker it comes wrapped in a page of traceback
                message = str(error).strip().splitlines()[-1]
                raise DataError(message.partition("DataError: ")[2] or message) from None
            except (RuntimeError, OSError) as error:
                if (problem := worker_problem(error)) and self._num_workers:
                    raise problem from None
                raise
            images = images.to(self.device, non_blocking=True).float()
            images = images.mul_(self._scale).add_(self._shift)
            yield images, labels.to(self.device, non_blocking=True)


def worker_problem(error: Exception) -> DataError | None:
    """One sentence for an error of torch about processes that read images; None for another."""
    text = str(error)
    if re.search("shared memory|Bus error|/torch_|shm_open|No space left", text):
        return DataError(
            "The memory that processes share (/dev/shm) is too small for the images that they have "
            "read: load the data with a smaller batch_size or num_workers, or with num_workers=0, "
            "or make it larger (docker run --shm-size=2g)."
        )
    if re.search("DataLoader worker .*(exited|killed)", text):
        return DataError(
            "A process that reads images was ended from outside, most often because the memory ran "
            "out: call the same again, and if it comes back, load the data with a smaller "
            "num_workers, or num_workers=0."
        )
    return None


def _child_handler() -> Any:
    """What is called when a process of this one ends; None on Windows."""
    return signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None


def _say_in_one_sentence(handler: Any, number: int, frame: Any) -> None:
    try:
        handler(number, frame)
    except RuntimeError as error:
        raise worker_problem(error) or error from None


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C reaches neither this thread nor processes that are started here, and they keep it so.

    A notebook sends it to all of its processes; this one gets it afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Order(Sampler):
    """Tells a DataLoader the images of each batch, and which random numbers belong to them."""

    def __init__(self, epochs: _Epochs):
        self.epochs = epochs

    def __len__(self) -> int:
        return len(self.epochs)

    # A generator, which begins when it is asked: DataLoader calls iter() twice for its workers.
    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order, generator = self.epochs._begin()
        keys = torch.randint(2**31, (len(order),), generator=generator)
        pairs = list(zip(order.tolist(), keys.tolist(), strict=True))
        for part in self.epochs._parts():
            yield pairs[part]


def _crop(images: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    """Pad (N, C, H, W) with zeros and cut image n out again at row top[n], column left[n]."""
    height, width = images.shape[2:]
    padded = F.pad(images, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: every possible crop
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def _resize(images: Tensor, size: int | None) -> Tensor:
    if size is None or images.shape[2:] == (size, size):
        return images
    # Antialiasing changes nothing when an image grows, and not every device offers it.
    shrinks = size < max(images.shape[2:])
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=shrinks)


def _scale_and_shift(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """`byte * scale + shift` is the normalised pixel: one product and one sum."""
    mean = [0.0] * channels if mean is None else mean
    std = [1.0] * channels if std is None else std
    if len(mean) != channels or len(std) != channels:
        raise ValueError(
            f"mean and std need one number per channel ({channels}), got {len(mean)} and "
            f"{len(std)}."
        )
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, channels, 1, 1) for v in (mean, std))
    return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


def _check_images(images: Tensor) -> None:
    if isinstance(images, Tensor) and images.dtype == torch.uint8 and images.dim() == 4:
        if images.numel() == 0:
            raise DataError(f"Batches need at least one image, got shape {tuple(images.shape)}.")
        return
    raise DataError(
        "Batches expect images as a uint8 tensor of shape (N, C, H, W) with values from 0 to 255, "
        f"got {_kind(images)}; convert pixels from 0 to 1 with "
        "(images * 255).round().to(torch.uint8)."
    )


def _check_labels(labels: Tensor, count: int, classes: Sequence[str] | None) -> None:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != (count,):
        raise DataError(
            f"Batches expect labels as a tensor of {count} integers, one per image, "
            f"got {_kind(labels)}."
        )
    low, high = labels.min().item(), labels.max().item()
    if low < 0 or (classes is not None and high >= len(classes)):
        upper = "up" if classes is None else f"to {len(classes) - 1} ({len(classes)} classes)"
        raise DataError(
            f"Labels count from 0 {upper}, but these reach from {low} to {high}; renumber them or "
            "name all classes."
        )


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
