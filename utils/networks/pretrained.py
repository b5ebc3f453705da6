"""Weights that others trained on ImageNet: of two networks in the clone, the rest torchvision's.

`build(name, pretrained=True)` takes them from here. The networks of the clone need no network
connection; `tools/pretrained.py` made their files, and data/README.md says from what.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER = Path(__file__).resolve().parents[2] / "data" / "pretrained"
CLASSES = 1000  # of ImageNet


class WeightsError(OSError):
    """One sentence: which weights are missing or damaged, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence alone is shown."""
        return [f"problem: {self}"]


# --- from a photograph to what a network was trained on -------------------------------------------


@dataclass(frozen=True)
class Preprocessing:
    """What has to happen to a photograph before a network of this training sees it.

    Attributes:
        size: pixels of the shorter side.
        mean, std: of pixels from 0 to 255, per channel, in the order in which the network has them.
        bgr: the network takes blue, green, red, as Caffe does.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False

    def __call__(self, photograph: Image | Tensor, *, square: bool = False) -> Tensor:
        """A photograph as float images (N, 3, H, W), ready for the network.

        The shorter side gets `size` pixels, and the photograph keeps its shape.

        Args:
            photograph: a picture of PIL, or bytes (3, H, W) or (N, 3, H, W): red, green, blue.
            square: take only the square in the middle.

        Raises:
            TypeError, ValueError: something else.
        """
        pixels = as_bytes(photograph).float()
        height, width = pixels.shape[-2:]
        if square:
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            pixels = pixels[..., top : top + side, left : left + side]
            height = width = side
        scale = self.size / min(height, width)
        new = [max(self.size, round(edge * scale)) for edge in (height, width)]
        pixels = functional.interpolate(pixels, size=new, mode="bilinear", antialias=True)
        if self.bgr:
            pixels = pixels.flip(1)
        mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std


def as_bytes(photograph: Image | Tensor) -> Tensor:
    """A photograph as bytes (N, 3, H, W); TypeError or ValueError for what is none."""
    if hasattr(photograph, "convert"):  # a picture of PIL
        pixels = torch.from_numpy(np.array(photograph.convert("RGB"))).permute(2, 0, 1)
    elif isinstance(photograph, Tensor):
        pixels = photograph
    else:
        raise TypeError(
            "A photograph is a picture of PIL or a tensor of bytes (3, H, W), but got"
            f" {type(photograph).__name__}: photos.read reads a file."
        )
    if pixels.dtype != torch.uint8:
        raise TypeError(
            f"A photograph has bytes from 0 to 255, but got {pixels.dtype}: prepare scales them."
        )
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise ValueError(
            "A photograph has the shape (3, H, W) or (N, 3, H, W), but got"
            f" {tuple(photograph.shape)}."
        )
    return pixels


_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # torchvision's, times 255
_HALF = ((127.5,) * 3, (127.5,) * 3)  # what torchvision's GoogLeNet makes of it (transform_input)


# --- which weights there are ----------------------------------------------------------------------

# Those of the clone.
STORED = {
    "squeezenet": Preprocessing(224, mean=(104.0, 117.0, 123.0), bgr=True),
    "efficientnet_lite0": Preprocessing(224, mean=(127.0,) * 3, std=(128.0,) * 3),
}


@dataclass(frozen=True)
class Fetched:
    """Weights of torchvision: its name of the network, and options of ours that belong to them."""

    name: str
    options: Mapping[str, Any]
    preprocessing: Preprocessing = Preprocessing(224, *_IMAGENET)


_BOTTLENECK = {"stride_on": "3x3"}
FETCHED = {
    "alexnet": Fetched("alexnet", {}),
    **{name: Fetched(name, {}) for name in ("vgg11", "vgg13", "vgg16", "vgg19")},
    "googlenet_torchvision": Fetched("googlenet", {}, Preprocessing(224, *_HALF)),
    **{name: Fetched(name, {}) for name in ("resnet18", "resnet34")},
    **{name: Fetched(name, _BOTTLENECK) for name in ("resnet50", "resnet101", "resnet152")},
    "mobilenet_v2": Fetched("mobilenet_v2", {}),
}


def options_for(name: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict:
    """The options with which a network takes its pretrained weights.

    Dropout and the number of classes are free. `batch_norm=True` of a VGG has weights of its own.

    Args:
        given: the options that were asked for.
        defaults: of all options of the network.

    Raises:
        ValueError: no weights for this network, or none for these options.
    """
    if name not in STORED and name not in FETCHED:
        raise ValueError(
            f"There are no pretrained weights for {name}. In the clone are {', '.join(STORED)};"
            f" from torchvision come {', '.join(FETCHED)}."
        )
    fixed = dict(FETCHED[name].options) if name in FETCHED else {}
    free = {"num_classes", "dropout", "auxiliary", "initialisation", "zero_last_norm"}
    if name.startswith("vgg"):
        free.add("batch_norm")
    for option, value in given.items():
        wanted = fixed.get(option, defaults[option])
        if option not in free and value != wanted:
            raise ValueError(
                f"The pretrained weights of {name} are for {option}={wanted!r}, but got {value!r}:"
                " leave it out, or build without pretrained=True."
            )
    return {**fixed, **given}


def load_into(network: nn.Module) -> None:
    """Give a network its pretrained weights, and the `preprocessing` that belongs to them.

    With another number of classes than ImageNet's 1000 the last layer keeps its random weights.
    The network is left in evaluation mode.

    Raises:
        WeightsError: a file is missing or damaged, or cannot be fetched.
    """
    if network.name in STORED:
        weights, preprocessing = stored(network.name), STORED[network.name]
    else:
        source = FETCHED[network.name]
        weights, preprocessing = fetched(network), source.preprocessing
    place_by_position(network, weights)
    network.preprocessing = preprocessing
    network.eval()


def place_by_position(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy tensors into a network, first to first: parameters lie in the order of the layers.

    The weights of a last layer with another number of classes are left out.

    Raises:
        WeightsError: they belong to another network.
    """
    own = network.state_dict()
    if len(own) != len(weights):
        raise WeightsError(
            f"The weights of {network.name} have {len(weights)} tensors, but the network has"
            f" {len(own)}: they belong to another network."
        )
    placed = {}
    for (name, ours), theirs in zip(own.items(), weights.values()):
        if ours.shape == theirs.shape:
            placed[name] = theirs.to(ours.dtype)
        elif theirs.shape[:1] == (CLASSES,) and ours.shape[1:] == theirs.shape[1:]:
            placed[name] = ours  # of a last layer
        else:
            raise WeightsError(
                f"{name} of {network.name} has the shape {tuple(ours.shape)}, but the weights have"
                f" {tuple(theirs.shape)}: they belong to another network."
            )
    network.load_state_dict(placed)


# --- the files of the clone -----------------------------------------------------------------------


def checksums() -> dict[str, str]:
    """SHA-256 of each file in data/pretrained, by name."""
    try:
        lines = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    except OSError:
        raise _broken("SHA256SUMS", "is missing") from None
    return {name: digest for digest, name in (line.split() for line in lines)}


def _broken(name: str, problem: str) -> WeightsError:
    return WeightsError(
        f"data/pretrained/{name} {problem}: run `git checkout -- data/pretrained` in the course's"
        " folder, or clone the course again."
    )


def _read(name: str) -> bytes:
    """A file of data/pretrained, checked."""
    try:
        content = (FOLDER / name).read_bytes()
    except OSError:
        raise _broken(name, "is missing") from None
    if hashlib.sha256(content).hexdigest() != checksums().get(name):
        raise _broken(name, "is damaged")
    return content


def stored(name: str) -> dict[str, Tensor]:
    """The weights of a network of the clone, by name, as they are stored (float16 and float32).

    Raises:
        WeightsError: the file is missing or damaged.
    """
    content = _read(f"{name}.pt.gz")
    try:
        return torch.load(io.BytesIO(gzip.decompress(content)), weights_only=True)
    except (EOFError, OSError, RuntimeError, zlib.error):
        raise _broken(f"{name}.pt.gz", "is damaged") from None


@cache
def class_names(language: str = "en") -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes; in another language as far as there are some.

    Args:
        language: "en", or "zh" for Chinese. A class without a Chinese name has its English one.
    """
    english = _read("classes.txt").decode("utf-8").splitlines()
    if language == "en":
        return tuple(english)
    try:
        lines = (FOLDER / f"classes.{language}.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return tuple(english)
    translated = dict(line.split("\t", 1) for line in lines if "\t" in line)
    return tuple(translated.get(str(k), name) for k, name in enumerate(english))


# --- torchvision's --------------------------------------------------------------------------------


def fetched(network: nn.Module) -> dict[str, Tensor]:
    """torchvision's weights (IMAGENET1K_V1) of one of its networks, from torch.hub's cache or anew.

    Raises:
        WeightsError: they are not in the cache and cannot be fetched.
    """
    import torchvision

    name = FETCHED[network.name].name
    if name.startswith("vgg") and hasattr(network.features.block1, "norm1"):
        name += "_bn"
    weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    heads = {"aux_logits": True} if hasattr(network, "auxiliary") else {}
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # or a network that never answers would block for ever
    try:
        # Through torchvision's own module: the order of the tensors in its files is another one.
        theirs = torchvision.models.get_model(name, weights=weights, progress=False, **heads)
    except Exception as error:  # whatever the network, the disk or a damaged file may raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        place = Path(torch.hub.get_dir()) / "checkpoints"
        raise WeightsError(
            f"The weights of {network.name} ({weights.meta['_file_size']:.0f} MB) could not be"
            f" had from {weights.url} ({reason}): put that file into {place} from a machine with a"
            f" network, or take a network whose weights are in the clone: {', '.join(STORED)}."
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    return theirs.state_dict()
