"""Datasets as batches on the device.

Fashion-MNIST is in the clone, packed; `unpack` checks it and unpacks it once. `load` gives it, or
MNIST, CIFAR-10 or a folder of images, as three sets of batches: train, validation, test.
"""

import contextlib
import gzip
import hashlib
import os
import re
import socket
import zlib
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils import atomic, language, leftovers
from utils.batches import Batches, DataError, StreamedBatches
from utils.device import pick

__all__ = ["Batches", "DataError", "Splits", "StreamedBatches", "load", "read_raw", "unpack"]

DATA = Path(__file__).resolve().parent.parent / "data"

# SHA-256 of the unpacked files. (torchvision checks only MNIST's packed files, after the download.)
FASHION_MNIST = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
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


# --- Fashion-MNIST: check and unpack --------------------------------------------------------------


def unpack(folder: str | Path | None = None) -> Path:
    """Unpack Fashion-MNIST where torchvision and d2l look for it, and return that folder.

    Intact files are kept, damaged ones are replaced. Several processes may do this at once, and
    each may be killed at any time: a file under its final name is complete. If the folder cannot
    be written to, one printed line says so.

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
        if "images" in name:  # behind a header of 16 bytes
            arrays[f"{split}_images"] = torch.from_numpy(content[16:]).view(-1, 1, 28, 28)
        else:
            arrays[f"{split}_labels"] = torch.from_numpy(content[8:]).long()
    return arrays


def _raw_folder(folder: str | Path | None) -> Path:
    return Path(folder or DATA) / "FashionMNIST" / "raw"


def _read_files(folder: str | Path | None) -> dict[str, np.ndarray]:
    """The verified bytes of the four files, each also unpacked to disk where it was not."""
    raw = _raw_folder(folder)
    contents, write_error = {}, None
    for name, digest in FASHION_MNIST.items():
        atomic.remove_leftovers(raw / name)
        content = _read_if_intact(raw / name, digest)
        if content is None:
            content = _read_packed(raw / f"{name}.gz", digest)
            try:
                atomic.write(raw / name, memoryview(content))
            except OSError as error:
                # Another process may have written the file in the meantime.
                if _read_if_intact(raw / name, digest) is None:
                    write_error = error
        contents[name] = content
    if write_error:
        text = (
            f"Fashion-MNIST stays packed, because {_shown(raw)} cannot be written to "
            f"({write_error.strerror}): the course reads it from memory, torchvision and d2l will "
            "not find it."
        )
        print(language.translate(text))
    return contents


def _read_if_intact(path: Path, digest: str) -> np.ndarray | None:
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _read_packed(path: Path, digest: str) -> np.ndarray:
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
    repair = (
        'run "git checkout -- data/FashionMNIST" in the course folder, or clone the course again'
        if path.resolve().is_relative_to(DATA)
        else "copy it from data/FashionMNIST/raw of the course"
    )
    raise DataError(f"The data file {_shown(path)} {problem}; {repair}.")


def _shown(path: Path) -> str:
    """The path as a person would write it: relative to the course if it is inside."""
    with contextlib.suppress(ValueError):
        return path.resolve().relative_to(DATA.parent).as_posix()
    return str(path)


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

    train: Batches | StreamedBatches
    validation: Batches | StreamedBatches | None
    test: Batches | StreamedBatches
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
        test_images: how many of the test images to use; None is all, which a result needs. These
            three numbers keep the proportions of the classes, and a smaller set is part of a
            larger one.
        seed: for the order of the training images and for augmentation.
        folder: where the data is; the course's own `data` folder by default.
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
        arrays, classes = list(read_raw(folder).values()), FASHION_CLASSES
    elif name == "image_folder":
        *arrays, classes = _from_folder(folder)
        kind = StreamedBatches
        options["num_workers"] = num_workers
    else:
        *arrays, classes = _from_torchvision(name, Path(folder or DATA))
    options["classes"] = classes
    if name == "mnist" and augment is True:
        augment = "crop"
    for_training, for_test = arrays[:2], arrays[2:]
    kept, held_out = _split(for_training[1].numpy(), train_images, validation_images)
    seen, _ = _split(for_test[1].numpy(), test_images, 0, "test")
    train = kind(*_take(kept, for_training), shuffle=True, augment=augment, seed=seed, **options)
    train.dataset = name
    validation = kind(*_take(held_out, for_training), **options) if len(held_out) else None
    test = kind(*_take(seen, for_test), **options)
    return Splits(train, validation, test, classes, name, mean, std)


def _split(
    labels: np.ndarray, wanted: int | None, wanted_aside: int | None, part: str = "training"
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images to use and of those held out, each in the order of the file."""
    count = len(labels)
    aside = min(5000, count // 10)
    held_out = aside if wanted_aside is None else wanted_aside
    if not 0 <= held_out < count:
        raise ValueError(f"validation_images is {held_out:,}; choose 0 to {count - 1:,}.")
    aside = max(aside, held_out) if held_out else 0
    used = count - aside if wanted is None else wanted
    if not 1 <= used <= count - aside:
        raise ValueError(f"{used:,} {part} images were asked for; choose 1 to {count - aside:,}.")
    if used == count:  # then none is held out
        return np.arange(count), np.arange(0)
    order = _stratified_order(labels)
    return np.sort(order[aside : aside + used]), np.sort(order[:held_out])


def _take(indices: np.ndarray, arrays: list[Tensor | np.ndarray]) -> list[Tensor | np.ndarray]:
    """The entries at `indices` of each array; the array itself where that is all of it.

    A copy of all images would take as long as reading the files.
    """
    if len(indices) == len(arrays[0]):  # each index once, in order
        return arrays
    return [
        a.index_select(0, torch.from_numpy(indices)) if isinstance(a, Tensor) else a[indices]
        for a in arrays
    ]


def _stratified_order(labels: np.ndarray) -> np.ndarray:
    """An order of all images in which every stretch holds the classes in their proportions.

    RandomState, because NumPy promises that its numbers never change, nor does the validation set.
    """
    random = np.random.RandomState(0)
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (rank + 0.5) / np.repeat(counts, counts)  # how far through its class an image comes
    return by_class[np.lexsort((random.permutation(len(labels)), share))]


def _from_torchvision(name: str, root: Path) -> tuple:
    """Training images and labels, test images and labels, names of the classes."""
    from torchvision import datasets

    kind = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # or a network that never answers would block for ever
    try:
        # torchvision downloads only what is missing.
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


def _images_in(folder: Path) -> Any:
    """torchvision's ImageFolder, without what systems leave behind among classes and images."""
    from torchvision.datasets.folder import ImageFolder, is_image_file

    class Images(ImageFolder):
        def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
            names, _ = super().find_classes(directory)
            names = [name for name in names if not leftovers.is_left(name)]
            if not names:
                raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
            return names, {name: label for label, name in enumerate(names)}

    left = cache(partial(leftovers.left_in, folder))  # folders are few, images are many

    def is_image(path: str) -> bool:
        place, name = os.path.split(path)
        return is_image_file(name) and not leftovers.is_left(name) and not left(place)

    return Images(folder, is_valid_file=is_image)


def _from_folder(folder: str | Path | None) -> tuple:
    """Training paths and labels, test paths and labels, names of the classes."""
    if folder is None:
        raise ValueError('"image_folder" needs `folder`, which holds train/ and val/.')
    layout = "expected train/<class>/*.jpg and val/<class>/*.jpg"
    parts = []
    for part in ("train", "val"):
        try:
            parts.append(_images_in(Path(folder).expanduser() / part))
        except FileNotFoundError as error:
            if empty := re.search(r"for the classes (.+)\. ", str(error)):
                raise DataError(
                    f"{_shown(Path(folder) / part)} has no picture such as .jpg or .png in "
                    f"{empty[1]}: fill such a folder, or delete it if it is no class."
                ) from None
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
    paths = [np.array([path for path, _ in p.samples], dtype=object) for p in (train, test)]
    labels = [torch.tensor(part.targets) for part in (train, test)]
    return paths[0], labels[0], paths[1], labels[1], tuple(train.classes)
