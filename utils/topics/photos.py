"""Photographs: those of the course, and yours. What do pretrained networks see in them, and where?

>>> from utils.topics import photos
>>> photos.look("my_cat.jpg")    # the five best classes, and where the network looked
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor, nn

from utils import networks, plotting
from utils.language import language
from utils.networks import pretrained
from utils.networks.common import ImageClassifier
from utils.topics import localisation

FOLDER = Path(__file__).resolve().parents[2] / "data" / "photographs"
NAMES = ("astronaut", "chelsea", "china", "coffee", "flower", "rocket")
LONGEST = 3  # a photograph is at most so many times as long as it is wide
LARGEST = 1600  # pixels of the longer side; no network of the course looks at more


class PhotoError(ValueError):
    """One sentence: what is wrong with a file, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence alone is shown."""
        return [f"problem: {self}"]


class Answer(NamedTuple):
    """A class, its name, and its share: the probability that the network gives it."""

    number: int
    name: str
    share: float


# --- files ----------------------------------------------------------------------------------------


def example(name: str) -> Image.Image:
    """A photograph of the course by its name, one of `NAMES`."""
    if name not in NAMES:
        raise ValueError(
            f"The course has no photograph {name!r}: choose one of {', '.join(NAMES)}. A file of"
            " yours is read by `photos.read`."
        )
    return read(FOLDER / f"{name}.jpg")


def read(file: str | Path) -> Image.Image:
    """A picture from a file: upright, red, green and blue, at most `LARGEST` pixels long.

    A phone's note how it was held is followed. What is clear becomes white. Of an animation it is
    the first picture. What is more than `LONGEST` times as long as wide loses its ends.

    Raises:
        PhotoError: there is no such file, or it is no picture that can be read.
    """
    path = Path(file).expanduser()
    if path.is_dir():
        raise PhotoError(f"{path} is a folder: name one picture in it.")
    if not path.is_file():
        raise PhotoError(
            f"There is no file {path}; the folder of this notebook is {Path.cwd()}: put the picture"
            " there, or give its whole path."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow: odd metadata, palettes, large pictures
            picture = _upright_rgb(path)
    except UnidentifiedImageError:
        raise PhotoError(_no_picture(path)) from None
    except Image.DecompressionBombError:
        raise PhotoError(f"{path} has too many pixels: make it smaller, 1600 are enough.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise PhotoError(
            f"{path} is damaged and cannot be read ({error}): open it in another program and save"
            " it as JPEG."
        ) from None
    return _not_too_long(picture)


def _no_picture(path: Path) -> str:
    start = path.read_bytes()[:32]
    if not start:
        return f"{path} is empty: copy the picture again."
    if path.suffix.lower() in (".heic", ".heif") or start[4:8] == b"ftyp":
        return (
            f"{path} is in a format that Pillow cannot read, HEIC for example, as phones of Apple"
            " write it: save it as JPEG first."
        )
    return f"{path} is no picture that can be read: expected JPEG, PNG, GIF, WebP, BMP or TIFF."


def _upright_rgb(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.draft("RGB", (LARGEST, LARGEST))  # a JPEG is read smaller, and much faster
        picture.load()
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in ("I", "I;16", "I;16B", "I;16L", "F"):  # 16 bits: made bytes
            low, high = upright.getextrema()
            span = max(high - low, 1)
            upright = upright.convert("F").point(lambda v: (v - low) * (255 / span)).convert("L")
        if "A" in upright.getbands() or "transparency" in upright.info:
            clear = upright.convert("RGBA")
            white = Image.new("RGBA", clear.size, "white")
            upright = Image.alpha_composite(white, clear)
        upright = upright.convert("RGB")
    if max(upright.size) > LARGEST:
        upright.thumbnail((LARGEST, LARGEST))
    return upright


def _not_too_long(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    most = LONGEST * min(width, height)
    left, top = max(width - most, 0) // 2, max(height - most, 0) // 2
    return picture.crop((left, top, width - left, height - top)) if left or top else picture


# --- what a network says, and where it looked -----------------------------------------------------


def classes_with(word: str) -> list[str]:
    """The English names of ImageNet's classes that have this word in them, capital or not."""
    return [name for name in pretrained.class_names() if word.lower() in name.lower()]


def class_number(name: str) -> int:
    """The number of a class of ImageNet, from 0 to 999, by its English name.

    Raises:
        ValueError: there is no such class; the message names those that are like it.
    """
    names = pretrained.class_names()
    if name in names:
        return names.index(name)
    near = classes_with(name)
    near += difflib.get_close_matches(name, names, n=5, cutoff=0.6)
    listed = ", ".join(dict.fromkeys(near[:9])) or "none"
    raise ValueError(f"ImageNet has no class {name!r}; classes like it: {listed}.")


def network_for(network: str | ImageClassifier) -> ImageClassifier:
    """A pretrained network by its name, or the one given."""
    if isinstance(network, str):
        return networks.build(network, pretrained=True)
    if not isinstance(network, ImageClassifier):
        raise TypeError(
            f"network is a name or a network of the course, but got {type(network).__name__}."
        )
    return network


@torch.no_grad()
def answers(
    network: str | ImageClassifier, photograph: Image.Image | Tensor, best: int = 5
) -> list[Answer]:
    """The classes with the largest shares, the best one first.

    Args:
        network: pretrained, or its name.
        photograph: as `network.prepare` takes it.
        best: how many.
    """
    network = network_for(network).eval()
    shares = network(network.prepare(photograph)).softmax(dim=1)[0]
    names = pretrained.class_names(language())
    top = shares.topk(min(best, len(shares)))
    name = names.__getitem__ if len(shares) == len(names) else str
    return [Answer(k, name(k), s) for k, s in zip(top.indices.tolist(), top.values.tolist())]


@torch.no_grad()
def class_maps(
    network: str | ImageClassifier, photograph: Image.Image | Tensor, classes: Sequence[int]
) -> Tensor:
    """Class activation maps (len(classes), h, w) of one photograph (arXiv 1512.04150).

    The average of a map is the logit of its class, apart from a bias. SqueezeNet's last layers are
    a 1x1 and the average, so its maps are what goes into the average. Elsewhere a linear layer
    follows the average: then the channels are mixed with its weights.

    Raises:
        ValueError: the network has no global average pooling before its last layer.
    """
    network = network_for(network).eval()
    features = network.features(network.prepare(photograph))
    head = network.classifier
    names = [name for name, _ in head.named_children()]
    if names == ["dropout", "conv", "relu", "average", "flatten"]:
        return head.relu(head.conv(features))[0, list(classes)]
    if [name for name in names if name != "dropout"] != ["average", "flatten", "linear"] or (
        not isinstance(head.average, nn.AdaptiveAvgPool2d)
    ):
        raise ValueError(
            f"{network.name} has no class activation maps: they need a global average pooling and"
            " one layer after it, as in squeezenet, efficientnet_lite0 or resnet18."
        )
    chosen = torch.tensor(list(classes))
    return localisation.class_map(
        features.expand(len(chosen), -1, -1, -1), head.linear.weight, chosen
    )


def look(
    photograph: str | Path | Image.Image,
    network: str | ImageClassifier = "efficientnet_lite0",
    *,
    best: int = 5,
) -> list[Answer]:
    """Say what a network sees in a photograph, and show where it looked.

    Prints the best classes with their shares. Draws the photograph and, beside it, the class
    activation map of the best class.

    Args:
        photograph: a file of yours, the name of one of the course's (`NAMES`), or a picture of PIL.
        network: the name of a pretrained network, or one that is built.
        best: how many classes.

    Raises:
        PhotoError: the file cannot be read.
        ValueError: the network has no class activation maps.
    """
    if isinstance(photograph, str) and photograph in NAMES:
        photograph = example(photograph)
    elif not isinstance(photograph, Image.Image):
        photograph = read(photograph)
    network = network_for(network)
    found = answers(network, photograph, best)
    print(table(found))
    seen(photograph, class_maps(network, photograph, [found[0].number])[0], found[0].name)
    plt.show()
    return found


def table(found: Sequence[Answer]) -> str:
    """The answers as lines: share and name."""
    return "\n".join(f"{answer.share:6.1%}  {answer.name}" for answer in found)


def seen(photograph: Image.Image, map: Tensor, name: str) -> Figure:
    """A photograph, and beside it the map (h, w) of a class over it."""
    pixels = pretrained.as_bytes(photograph)[0]
    height, width = pixels.shape[1:]
    side = min(plotting.WIDTH / 2, 3.4 * width / height)
    with plotting.style():
        figure, axes = plt.subplots(
            1, 2, figsize=(2 * side, side * height / width + 0.4), dpi=90, layout="constrained"
        )
        axes[0].imshow(pixels.permute(1, 2, 0).numpy())
        axes[0].set(xticks=[], yticks=[])
        axes[0].set_title("the photograph", fontsize=8.5, pad=3)
        plotting.overlay(axes[1], pixels, map, title=f"where it saw “{name}”", peak=False)
    return figure


def compared(
    photograph: Image.Image, maps: Tensor, titles: Sequence[str], *, columns: int = 3
) -> Figure:
    """Maps (N, h, w) of one photograph, one a panel, all on one scale."""
    pixels: Any = pretrained.as_bytes(photograph)
    return plotting.overlays(
        pixels.expand(len(maps), -1, -1, -1), maps, titles, columns=columns, common=True
    )
