"""Datasets to batches on the device.

Fashion-MNIST lies in the clone, packed; `unpack` checks it and unpacks it once. `load` gives it,
or MNIST, CIFAR-10 or a folder of images, as three sets of batches: train, validation, test.

A small dataset lives on the device as bytes. Each batch is picked, cropped, mirrored, normalised
and resized there by a handful of tensor operations, with no worker processes and no loop over
images. A folder of images is too large for that and streams through a DataLoader.
"""

import contextlib
import copy
import gzip
import hashlib
import os
import socket
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from utils import atomic
from utils.device import check_seed, pick

DATA = Path(__file__).resolve().parent.parent / "data"

# Unpacked file: bytes of the packed file, SHA-256 of the unpacked bytes, bytes before the values.
FASHION_MNIST = {
    "train-images-idx3-ubyte": (
        26_421_880,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        16,
    ),
    "train-labels-idx1-ubyte": (
        29_515,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        8,
    ),
    "t10k-images-idx3-ubyte": (
        4_422_102,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        16,
    ),
    "t10k-labels-idx1-ubyte": (
        5_148,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        8,
    ),
}
# SHA-256 of MNIST's unpacked files. torchvision looks at the packed ones only, after the download.
MNIST = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# Mean and standard deviation of the pixels of all published training images, one per channel.
STATISTICS = {
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "image_folder": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's
}


class DataError(RuntimeError):
    """Data is missing, damaged or not of the expected kind; the message says what to do."""


# --- Fashion-MNIST: check and unpack --------------------------------------------------------------


def unpack(folder: str | Path | None = None) -> Path:
    """Unpack Fashion-MNIST where torchvision and d2l look for it, and return that folder.

    What is unpacked and intact stays as it is, what is damaged is replaced. Several processes may
    do this at once, and each may be killed at any time: a file under its final name is complete.
    Where the folder cannot be written to, one printed line says so.

    Args:
        folder: the folder that holds `FashionMNIST/raw`; the course's own `data` by default.

    Raises:
        DataError: a file is missing or damaged, both packed and unpacked.
    """
    _read_files(folder)
    return _raw_folder(folder)


def read_raw(folder: str | Path | None = None) -> dict[str, Tensor]:
    """The four arrays of Fashion-MNIST, verified, after `unpack`.

    Returns:
        "train_images" (60000, 1, 28, 28) and "test_images" (10000, 1, 28, 28), uint8;
        "train_labels" (60000,) and "test_labels" (10000,), int64.

    Raises:
        DataError: a file is missing or damaged, both packed and unpacked.
    """
    arrays = {}
    for name, content in _read_files(folder).items():
        split = "train" if name.startswith("train") else "test"
        values = torch.from_numpy(content[FASHION_MNIST[name][2] :])
        if "images" in name:
            arrays[f"{split}_images"] = values.view(-1, 1, 28, 28)
        else:
            arrays[f"{split}_labels"] = values.long()
    return arrays


def _raw_folder(folder: str | Path | None) -> Path:
    return Path(folder or DATA) / "FashionMNIST" / "raw"


def _read_files(folder: str | Path | None) -> dict[str, np.ndarray]:
    """The verified bytes of the four files, each also unpacked to disk where it was not."""
    raw = _raw_folder(folder)
    contents, write_error = {}, None
    for name, (packed_size, digest, _) in FASHION_MNIST.items():
        atomic.remove_leftovers(raw / name)
        content = _read_if_intact(raw / name, digest)
        if content is None:
            content = _read_packed(raw / f"{name}.gz", packed_size, digest)
            try:
                atomic.write(raw / name, memoryview(content))
            except OSError as error:
                # It does not matter if another process has put the file there in the meantime.
                if _read_if_intact(raw / name, digest) is None:
                    write_error = error
        contents[name] = content
    if write_error:
        print(
            f"Fashion-MNIST stays packed, because {_shown(raw)} cannot be written to "
            f"({write_error.strerror}): the course reads it from memory, torchvision and d2l will "
            "not find it."
        )
    return contents


def _read_if_intact(path: Path, digest: str) -> np.ndarray | None:
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _read_packed(path: Path, size: int, digest: str) -> np.ndarray:
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        problem = "is missing"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    else:
        with contextlib.suppress(EOFError, OSError, zlib.error):
            content = bytearray(gzip.decompress(packed))
            if hashlib.sha256(content).hexdigest() == digest:
                return np.frombuffer(content, dtype=np.uint8)
        problem = "is damaged: it does not unpack to the published content"
        if len(packed) != size:
            problem = f"is damaged: it has {len(packed):,} bytes instead of {size:,}"
    repair = (
        'run "git checkout -- data/FashionMNIST" in the course folder, or clone the course again'
        if path.resolve().is_relative_to(DATA)
        else "copy it from data/FashionMNIST/raw of the course"
    )
    raise DataError(f"The data file {_shown(path)} {problem}; {repair}.")


def _shown(path: Path) -> str:
    """The path as a person would write it: relative to the course where it lies inside."""
    with contextlib.suppress(ValueError):
        return path.resolve().relative_to(DATA.parent).as_posix()
    return str(path)


# --- Batches --------------------------------------------------------------------------------------


class _Epochs:
    """Counts epochs and gives each its own random numbers, which depend on (seed, epoch) alone."""

    dataset: str | None = None  # its name, where `load` made the batches

    def __init__(self, count: int, batch_size: int, shuffle: bool, seed: int):
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(f"batch_size is a whole number of at least 1, not {batch_size!r}.")
        self.batch_size, self.shuffle, self.seed = int(batch_size), shuffle, check_seed(seed)
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
        """The same batches, of which this copy gives part `rank` of `ranks` each.

        Together the parts of a batch are the batch: order and augmentation stay what they were.

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
        """Where each batch, or this copy's part of it, stands in the order of the epoch."""
        for start in range(0, self._count, self.batch_size):
            images = min(self.batch_size, self._count - start)
            first, last = (images * (self._rank + i) // self._ranks for i in (0, 1))
            yield slice(start + first, start + last)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._count:,} images in {len(self)} batches)"

    def _begin(self) -> tuple[Tensor, torch.Generator]:
        """Order of the images in this epoch, and the generator for all else that is random.

        Drawn on the CPU, so that every device sees the same batches.
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
        device: where the data lives; None lets `device.pick()` choose.
        seed: for order and augmentation.
        classes: names of the classes; with them, labels beyond are found at once.

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
        _check_labels(labels, len(images), classes)
        super().__init__(len(images), batch_size, shuffle, seed)
        _check_options(image_size, augment)
        device = pick(device)
        self.images = images.to(device)
        self.labels = labels.to(device, torch.int64)
        self.image_size = image_size
        self.augment = augment
        self.classes = None if classes is None else tuple(classes)
        self._scale, self._shift = _scale_and_shift(mean, std, images.shape[1], device)

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
        _check_labels(labels, len(paths), classes)
        _check_options(image_size, augment)
        super().__init__(len(paths), batch_size, shuffle, seed)
        self.labels, self.image_size, self.augment = labels, image_size or 224, augment
        self.classes = None if classes is None else tuple(classes)
        self.device = pick(device)
        self._scale, self._shift = _scale_and_shift(mean, std, 3, self.device)
        if num_workers is None:
            num_workers = 0 if sys.platform == "win32" else min(4, os.cpu_count() or 1)
        self._files = _ImageFiles(paths, labels, self.image_size, augment)
        self._num_workers = num_workers
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
            persistent_workers=self._num_workers > 0,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else each epoch would draw from torch's own
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches = iter(self._loader)
        while True:
            try:
                images, labels = next(batches)
            except StopIteration:
                return
            except DataError as error:  # from a worker it comes wrapped in a page of traceback
                message = str(error).strip().splitlines()[-1]
                raise DataError(message.partition("DataError: ")[2] or message) from None
            images = images.to(self.device, non_blocking=True).float()
            images = images.mul_(self._scale).add_(self._shift)
            yield images, labels.to(self.device, non_blocking=True)


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


def _check_options(image_size: int | None, augment: bool | str) -> None:
    if image_size is not None and (not isinstance(image_size, Integral) or image_size < 1):
        raise ValueError(f"image_size is a whole number of pixels or None, not {image_size!r}.")
    if augment not in (False, True, "crop", "flip"):
        raise ValueError(f'augment is False, True, "crop" or "flip", not {augment!r}.')


def _check_images(images: Tensor) -> None:
    if isinstance(images, Tensor) and images.dtype == torch.uint8 and images.dim() == 4:
        if images.numel() == 0:
            raise DataError(f"Batches need at least one image, got shape {tuple(images.shape)}.")
        return
    if isinstance(images, Tensor):
        got = f"{str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}"
    else:
        got = f"{type(images).__name__}"
    raise DataError(
        "Batches expect images as a uint8 tensor of shape (N, C, H, W) with values from 0 to 255, "
        f"got {got}; bring pixels from 0 to 1 there with (images * 255).round().to(torch.uint8)."
    )


def _check_labels(labels: Tensor, count: int, classes: Sequence[str] | None) -> None:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != (count,):
        got = type(labels).__name__
        if isinstance(labels, Tensor):
            got = f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"
        raise DataError(
            f"Batches expect labels as a tensor of {count} integers, one per image, got {got}."
        )
    low, high = labels.min().item(), labels.max().item()
    if low < 0 or (classes is not None and high >= len(classes)):
        upper = "up" if classes is None else f"to {len(classes) - 1} ({len(classes)} classes)"
        raise DataError(
            f"Labels count from 0 {upper}, but these reach from {low} to {high}; renumber them or "
            "name all classes."
        )


# --- Train, validation, test ----------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Splits:
    """A dataset in three parts.

    Attributes:
        train: what the network learns from, in a new order each epoch.
        validation: what choices are made on; None if `validation_images=0`.
        test: what is looked at once, at the end.
        classes: names of the classes; label k is `classes[k]`.
        name: name of the dataset.
        mean, std: of the pixels (0 to 1), per channel; batches are normalised with them.
    """

    train: "Batches | StreamedBatches"
    validation: "Batches | StreamedBatches | None"
    test: "Batches | StreamedBatches"
    classes: tuple[str, ...]
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def denormalize(self, images: Tensor) -> Tensor:
        """Normalised images (N, C, H, W) or (C, H, W) as pixels from 0 to 1, ready to draw."""
        mean, std = (images.new_tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (images * std + mean).clamp(0, 1)

    def __repr__(self) -> str:
        parts = {"training": self.train, "validation": self.validation, "test": self.test}
        sizes = [f"{len(b.labels) if b else 0:,} {part}" for part, b in parts.items()]
        return f"{self.name}: {', '.join(sizes)} images, {len(self.classes)} classes"


def load(
    name: str = "fashion_mnist",
    *,
    batch_size: int = 256,
    image_size: int | None = None,
    device: str | torch.device | None = None,
    augment: bool | str = False,
    train_images: int | None = None,
    validation_images: int | None = None,
    test_images: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    num_workers: int | None = None,
) -> Splits:
    """A dataset as batches on the device: train, validation and test.

    Args:
        name: "fashion_mnist" (in the clone), "mnist" or "cifar10" (downloaded on first use), or
            "image_folder" (`folder/train/<class>/*.jpg` and `folder/val/<class>/*.jpg`; `val` is
            the test set).
        batch_size: images in a batch.
        image_size: pixels a side; None keeps the size of the images, and means 224 for a folder.
        device: where the batches are; None lets `device.pick()` choose.
        augment: change the training images at random, see `Batches`; True does not mirror MNIST,
            because mirrored digits are no digits. In a folder, True is a random part of the image
            (`RandomResizedCrop`) and mirroring.
        train_images: how many images to train on; None is all that are not set aside.
        validation_images: how many to validate on. 5,000 of the published training images (a
            tenth where that is less) are always set aside, always the same ones, and None takes
            them all: 500 of each class of Fashion-MNIST. 0 sets none aside.
        test_images: how many of the test images to use; None is all, and what a result needs.
            These three numbers keep the proportions of the classes, and a smaller set is part of
            a larger one.
        seed: for the order of the training images and for augmentation.
        folder: where the data lies; the course's own `data` folder by default.
        num_workers: processes that read an image folder; None is 0 on Windows, else up to 4.

    Raises:
        DataError: data is missing or damaged, or cannot be downloaded.
        ValueError: an unknown name, or numbers that the dataset does not allow.
    """
    if name not in STATISTICS:
        raise ValueError(f"There is no dataset {name!r}; choose one of {', '.join(STATISTICS)}.")
    mean, std = STATISTICS[name]
    options = {"batch_size": batch_size, "image_size": image_size, "mean": mean, "std": std}
    options["device"] = pick(device)
    kind = Batches
    if name == "fashion_mnist":
        train_x, train_y, test_x, test_y = read_raw(folder).values()
        classes = FASHION_CLASSES
    elif name == "image_folder":
        train_x, train_y, test_x, test_y, classes = _from_folder(folder)
        kind = StreamedBatches
        options["num_workers"] = num_workers
    else:
        train_x, train_y, test_x, test_y, classes = _from_torchvision(name, Path(folder or DATA))
    if name == "mnist" and augment is True:
        augment = "crop"
    options["classes"] = classes
    kept, held_out = _split(train_y.numpy(), train_images, validation_images)
    seen = _split(test_y.numpy(), test_images, 0, "test")[0]
    train = kind(
        *_take(kept, train_x, train_y), shuffle=True, augment=augment, seed=seed, **options
    )
    validation = kind(*_take(held_out, train_x, train_y), **options) if len(held_out) else None
    test = kind(*_take(seen, test_x, test_y), **options)
    train.dataset = name
    return Splits(train, validation, test, classes, name, mean, std)


def _split(
    labels: np.ndarray, wanted: int | None, wanted_aside: int | None, part: str = "training"
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images to use and of those held out, each in the order of the file."""
    count = len(labels)
    aside = min(5000, count // 10)
    held_out = aside if wanted_aside is None else wanted_aside
    if not 0 <= held_out < count:
        raise ValueError(
            f"validation_images is {held_out:,}, but only {count:,} training images are there to "
            "take them from."
        )
    aside = max(aside, held_out) if held_out else 0
    used = count - aside if wanted is None else wanted
    if not 1 <= used <= count - aside:
        raise ValueError(
            f"{used:,} {part} images were asked for, but 1 to {count - aside:,} are there."
        )
    if used == count:  # then none is held out
        return np.arange(count), np.arange(0)
    order = _stratified_order(labels)
    return np.sort(order[aside : aside + used]), np.sort(order[:held_out])


def _take(indices: np.ndarray, *arrays: Tensor | np.ndarray) -> list[Tensor | np.ndarray]:
    """The entries at `indices` of each array; the array itself where that is all of it.

    A copy of all images would take as long as reading the files.
    """
    if len(indices) == len(arrays[0]):  # each index once, in order
        return list(arrays)
    return [
        a.index_select(0, torch.from_numpy(indices)) if isinstance(a, Tensor) else a[indices]
        for a in arrays
    ]


def _stratified_order(labels: np.ndarray) -> np.ndarray:
    """An order of all images in which every stretch holds the classes in their proportions.

    RandomState, because NumPy promises its numbers for all times: the validation set stays.
    """
    random = np.random.RandomState(0)
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (rank + 0.5) / np.repeat(counts, counts)  # how far through its class an image comes
    return by_class[np.lexsort((random.permutation(len(labels)), share))]


def _from_torchvision(name: str, root: Path) -> tuple:
    from torchvision import datasets

    kind = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # a network that swallows everything would hang for ever
    try:
        # torchvision downloads only what is not there.
        train, test = (kind(root, train=part, download=True) for part in (True, False))
        for file, digest in MNIST.items() if name == "mnist" else ():
            if _read_if_intact(root / "MNIST" / "raw" / file, digest) is None:
                raise ValueError(f"{file} does not hold the published content")
    except Exception as error:  # whatever the network, the disk or a damaged file may raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        if name == "mnist":
            wanted, place = "the four files *-ubyte.gz", root / "MNIST" / "raw"
        else:
            wanted, place = "cifar-10-python.tar.gz", root
        raise DataError(
            f"{kind.__name__} can be neither read from {_shown(root)} nor downloaded ({reason}): "
            f"without a network, copy {wanted} into {_shown(place)} from a machine that has it; "
            "if it is there, it is damaged: delete it and its unpacked files, then load again."
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    if name == "mnist":
        images = [part.data.unsqueeze(1) for part in (train, test)]
        classes = tuple("0123456789")
    else:
        images = [torch.from_numpy(p.data).permute(0, 3, 1, 2).contiguous() for p in (train, test)]
        classes = tuple(train.classes)
    labels = [torch.as_tensor(part.targets) for part in (train, test)]
    return images[0], labels[0], images[1], labels[1], classes


def _from_folder(folder: str | Path | None) -> tuple:
    from torchvision.datasets import ImageFolder

    if folder is None:
        raise ValueError('"image_folder" needs `folder`, which holds train/ and val/.')
    layout = "expected train/<class>/*.jpg and val/<class>/*.jpg"
    parts = []
    for part in ("train", "val"):
        try:
            parts.append(ImageFolder(Path(folder) / part))
        except FileNotFoundError as error:
            raise DataError(
                f"{_shown(Path(folder))} is not a folder of images: {layout} in it ({error})."
            ) from None
    train, test = parts
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))
        raise DataError(
            f"{_shown(Path(folder))} needs the same classes in train and val: {layout}; only one "
            f"of the two has {', '.join(odd)}."
        )
    arrays = []
    for part in (train, test):
        arrays += [
            np.array([path for path, _ in part.samples], dtype=object),
            torch.tensor(part.targets),
        ]
    return *arrays, tuple(train.classes)
