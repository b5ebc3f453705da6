"""Where is the garment? Canvases with a known box, class activation maps, and boxes from them.

A canvas shows one whole garment of Fashion-MNIST at a random place, among pieces cut from other
garments and faint noise. A network is trained on canvases with labels only; the boxes serve to
measure how well its maps find the garment.

Boxes are (left, top, right, bottom) in pixels, right and bottom just after the last pixel. The map
of a class and the box are those of Zhou et al., arXiv 1512.04150. The box surrounds the largest
connected part of what exceeds 20 % of the map's maximum.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from utils import data
from utils.device import check_seed

SIZE = 64  # pixels a side of a canvas
PIECES = 20
PIECE = 10  # pixels a side of a piece
NOISE = 32  # of 255
INK = 25  # a pixel of a garment that is brighter than this belongs to it
SQUARE = 17  # pixels a side of what is covered, to see whether the network needs it
STATISTICS = ((0.2935,), (0.3396,))  # mean and standard deviation of the pixels of a canvas


# --- canvases -------------------------------------------------------------------------------------


class Canvases(NamedTuple):
    """Canvases (N, 1, size, size) as bytes, labels (N,) and boxes (N, 4) as whole numbers."""

    images: Tensor
    labels: Tensor
    boxes: Tensor


def make_canvases(
    images: Tensor,
    labels: Tensor,
    *,
    size: int = SIZE,
    pieces: int = PIECES,
    noise: int = NOISE,
    seed: int = 0,
) -> Canvases:
    """One canvas for each image, whole and at a random place. Equal arguments, equal canvases.

    Args:
        images: uint8 (N, 1, H, W), at least two, each a garment on black.
        labels: (N,).
        size: pixels a side of a canvas.
        pieces: how many pieces of 10x10 pixels, cut from the other images, are added. They may
            cover each other, but not the box of the garment.
        noise: every pixel gets a random whole number from 0 to this.
        seed: for places, pieces and noise.

    Raises:
        ValueError: fewer than two images, or canvases without room for a piece beside the garment.
    """
    height, width = images.shape[-2:]
    if len(images) < 2:
        raise ValueError("make_canvases needs at least two images: pieces come from the others.")
    if size < max(height, width) + PIECE:
        raise ValueError(
            f"size must be at least {max(height, width) + PIECE} for images of {height}x{width} "
            f"pixels and a piece beside them, but is {size}."
        )
    random = np.random.default_rng(check_seed(seed))
    garments = images[:, 0].cpu().numpy()
    boxes = np.array([box_around(garment > INK) for garment in garments])
    canvases = np.zeros((len(garments), size, size), np.int64)
    for index, canvas in enumerate(canvases):
        top, left = random.integers(0, (size - height + 1, size - width + 1))
        boxes[index] += (left, top, left, top)
        x0, y0, x1, y1 = boxes[index]
        free = np.ones((size - PIECE + 1, size - PIECE + 1), bool)  # for upper left corners
        free[max(y0 - PIECE + 1, 0) : y1, max(x0 - PIECE + 1, 0) : x1] = False
        corners = random.choice(np.flatnonzero(free), pieces)
        for y, x in zip(*np.unravel_index(corners, free.shape)):
            canvas[y : y + PIECE, x : x + PIECE] = _piece(garments, index, random)
        own = canvas[top : top + height, left : left + width]
        np.copyto(own, garments[index], where=garments[index] > INK)
    canvases += random.integers(0, noise, canvases.shape, endpoint=True)
    pixels = torch.from_numpy(canvases.clip(0, 255).astype(np.uint8))[:, None]
    return Canvases(pixels, labels.cpu(), torch.from_numpy(boxes))


def _piece(garments: np.ndarray, index: int, random: np.random.Generator) -> np.ndarray:
    """A piece from the middle of another garment."""
    other = (index + random.integers(1, len(garments))) % len(garments)
    y, x = random.integers(4, np.array(garments.shape[1:]) - PIECE - 3)
    return garments[other, y : y + PIECE, x : x + PIECE]


class CanvasSplits(NamedTuple):
    """Batches of canvases, and the true boxes of those that are not for training."""

    train: data.Batches
    validation: data.Batches
    test: data.Batches
    validation_boxes: Tensor
    test_boxes: Tensor
    classes: tuple[str, ...]


def load(
    *,
    batch_size: int = 64,
    train_images: int | None = None,
    validation_images: int | None = None,
    test_images: int | None = None,
    device: str | torch.device | None = None,
    seed: int = 0,
) -> CanvasSplits:
    """Canvases of Fashion-MNIST, always the same ones.

    Training, validation and test canvases show training, validation and test images. Sizes,
    `device` and `seed` (for the order of training) are those of `utils.data.load`.
    """
    splits = data.load(
        device="cpu",
        train_images=train_images,
        validation_images=validation_images,
        test_images=test_images,
    )
    mean, std = STATISTICS
    options = dict(batch_size=batch_size, mean=mean, std=std, device=device, classes=splits.classes)
    batches, boxes = [], []
    for number, part in enumerate((splits.train, splits.validation, splits.test)):
        canvases = make_canvases(part.images, part.labels, seed=number)
        shuffled = {"shuffle": True, "seed": seed} if number == 0 else {}
        batches.append(data.Batches(canvases.images, canvases.labels, **shuffled, **options))
        boxes.append(canvases.boxes)
    return CanvasSplits(*batches, *boxes[1:], splits.classes)


def small_garments(batches: data.Batches, right: int = 0, side: int = 20) -> data.Batches:
    """The same garments shrunk to `side` pixels, so many pixels to the right of the middle.

    The images keep their size, and nothing is cut off as long as the garment stays inside.
    """
    size = batches.images.shape[-1]
    margin = (size - side) // 2
    if abs(right) > margin:
        raise ValueError(f"right must be from {-margin} to {margin}, but is {right}.")
    small = F.interpolate(batches.images.float(), size=side, mode="bilinear", antialias=True)
    edges = (margin + right, size - side - margin - right, margin, size - side - margin)
    mean, std = data.STATISTICS["fashion_mnist"]
    return data.Batches(
        F.pad(small.round().to(torch.uint8), edges),
        batches.labels,
        batch_size=batches.batch_size,
        shuffle=batches.shuffle,
        seed=batches.seed,
        mean=mean,
        std=std,
        device=batches.images.device,
    )


def examples(images: Tensor, labels: Tensor) -> Canvases:
    """Six canvases: of the first T-shirt, trouser, sandal, sneaker, bag and ankle boot."""
    first = torch.stack([(labels == label).nonzero()[0, 0] for label in (0, 1, 5, 7, 8, 9)])
    return make_canvases(images[first.to(images.device)], labels[first], seed=5)


# --- the network ----------------------------------------------------------------------------------


def network(pooling: str = "average", num_classes: int = 10) -> nn.Sequential:
    """A small network: `features`, then `pool`, `flatten` and one `linear` layer.

    At 64 pixels its 48 maps have 16x16 positions, and a position sees 33 pixels a side, a little
    more than a garment. It takes images (N, 1, H, W) of any size from 3 pixels on.

    Args:
        pooling: "average" or "max", over all positions.

    Raises:
        ValueError: another kind of pooling.
    """
    pools = {"average": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
    if pooling not in pools:
        raise ValueError(f'pooling must be "average" or "max", but is {pooling!r}.')
    return nn.Sequential(
        OrderedDict(
            features=body(),
            pool=pools[pooling](1),
            flatten=nn.Flatten(),
            linear=nn.Linear(48, num_classes),
        )
    )


def body() -> nn.Sequential:
    """The convolutions of `network`: images (N, 1, H, W) to 48 maps at a quarter of the size."""

    def convolution(i: int, o: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
        padding = kernel_size // 2
        layer = nn.Conv2d(i, o, kernel_size, stride, padding, bias=False)
        return [layer, nn.BatchNorm2d(o), nn.ReLU()]

    return nn.Sequential(
        *convolution(1, 12, kernel_size=5, stride=2),
        nn.MaxPool2d(3, stride=2, padding=1),
        *convolution(12, 24, kernel_size=5),
        *convolution(24, 24, kernel_size=3),
        *convolution(24, 48, kernel_size=1),
    )


# --- maps and boxes -------------------------------------------------------------------------------


def class_map(features: Tensor, weight: Tensor, classes: Tensor) -> Tensor:
    """Class activation maps (N, H, W): for each image its channels, mixed with a class's weights.

    Args:
        features: what goes into the global average pooling, (N, K, H, W).
        weight: of the linear layer after it, (num_classes, K).
        classes: (N,), which class to map for each image.
    """
    return torch.einsum("nk,nkhw->nhw", weight[classes], features)


@torch.no_grad()
def predicted_maps(model: nn.Module, batches: data.Batches) -> tuple[Tensor, Tensor]:
    """The predicted class (N,) of each image and the map (N, size, size) of that class, on the CPU.

    `model` is made by `network`; it is left in evaluation mode. Returns maps, then classes.
    """
    model.eval()
    maps, classes = [], []
    for images, _ in batches:
        images = images.to(next(model.parameters()).device)
        features = model.features(images)
        predicted = model.linear(model.flatten(model.pool(features))).argmax(dim=1)
        small = class_map(features, model.linear.weight, predicted)
        maps.append(enlarge(small, images.shape[-1]).cpu())
        classes.append(predicted.cpu())
    return torch.cat(maps), torch.cat(classes)


def enlarge(maps: Tensor, size: int) -> Tensor:
    """Maps (N, h, w) to (N, size, size), bilinear."""
    return F.interpolate(maps[:, None], size=(size, size), mode="bilinear")[:, 0]


def box_around(inside: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest box around all True pixels of (H, W); the whole of it if there are none."""
    if not inside.any():
        return (0, 0, inside.shape[1], inside.shape[0])
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def box_from_map(values: Tensor, threshold: float = 0.2) -> tuple[int, int, int, int]:
    """The box around the largest connected part of a map (H, W) above `threshold` x its maximum.

    Pixels are connected to the four beside them. A map without a positive value has the whole map
    as its box.
    """
    values = values.detach().cpu().numpy()
    parts, count = ndimage.label((values > threshold * values.max()) & (values > 0))
    if not count:
        return box_around(parts > 0)
    return box_around(parts == 1 + np.bincount(parts.flat)[1:].argmax())


def boxes_from_maps(maps: Tensor, threshold: float = 0.2) -> Tensor:
    """`box_from_map` for each of (N, H, W): boxes (N, 4)."""
    return torch.tensor([box_from_map(values, threshold) for values in maps])


# --- how good is it -------------------------------------------------------------------------------


def pointing(maps: Tensor, boxes: Tensor) -> Tensor:
    """(N,) from 0 to 1: does the highest value of each map (N, H, W) lie inside its box (N, 4)?

    If several values are the highest, this is the share of them that lies inside: the chance of
    one that is drawn at random.
    """
    highest = maps == maps.amax(dim=(1, 2), keepdim=True)
    y, x = torch.arange(maps.shape[1])[:, None], torch.arange(maps.shape[2])
    left, top, right, bottom = (side[:, None, None] for side in boxes.unbind(dim=1))
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return (highest & inside).sum(dim=(1, 2)) / highest.sum(dim=(1, 2))


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (N,) of two lists of boxes (N, 4), pair by pair."""
    first, second = first.float(), second.float()
    sides = torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])
    common = sides.clamp(min=0).prod(dim=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first, second)]
    return common / (areas[0] + areas[1] - common)


# --- does the network need what the map marks -----------------------------------------------------


def square_on_peak(maps: Tensor, side: int = SQUARE) -> Tensor:
    """Boxes (N, 4) of squares around the highest value of each map (N, H, W), whole ones.

    A square that would leave the map is moved inside.
    """
    height, width = maps.shape[1:]
    places = maps.flatten(1).argmax(dim=1)
    top = (places // width - side // 2).clamp(0, height - side)
    left = (places % width - side // 2).clamp(0, width - side)
    return torch.stack([left, top, left + side, top + side], dim=1)


def as_bright_elsewhere(
    images: Tensor, squares: Tensor, boxes: Tensor, on_garment: bool = False
) -> Tensor:
    """For each square (N, 4) another one of its size, as equal in brightness as can be found.

    The new square is whole, and touches neither the old one nor the box of the garment. Where
    nothing is left beside the box, it may touch the box.

    Args:
        images: (N, 1, H, W).
        squares: whole squares of one size in these images.
        boxes: of the garments, (N, 4).
        on_garment: the new square lies inside the box in place of beside it. Where the box has no
            room for it, it may leave the box.
    """
    side = int(squares[0, 2] - squares[0, 0])
    bright = F.avg_pool2d(images.float(), side, stride=1)[:, 0]  # of every whole square
    tops, lefts = torch.arange(bright.shape[1]), torch.arange(bright.shape[2])

    def touches(box: Tensor) -> Tensor:
        """(N, tops, lefts): would a square with this upper left corner touch the box?"""
        left, top, right, bottom = (edge[:, None] for edge in box.unbind(dim=1))
        high = (tops < bottom) & (tops + side > top)
        wide = (lefts < right) & (lefts + side > left)
        return high[:, :, None] & wide[:, None, :]

    def leaves(box: Tensor) -> Tensor:
        """(N, tops, lefts): would a square with this upper left corner leave the box?"""
        left, top, right, bottom = (edge[:, None] for edge in box.unbind(dim=1))
        high = (tops < top) | (tops + side > bottom)
        wide = (lefts < left) | (lefts + side > right)
        return high[:, :, None] | wide[:, None, :]

    own = bright[torch.arange(len(bright)), squares[:, 1], squares[:, 0]]
    wrong = leaves(boxes) if on_garment else touches(boxes)
    difference = (bright - own[:, None, None]).abs()  # below 256
    places = (difference + 1e3 * wrong + 1e6 * touches(squares)).flatten(1).argmin(dim=1)
    top, left = places // len(lefts), places % len(lefts)
    return torch.stack([left, top, left + side, top + side], dim=1)


def covered(images: Tensor, boxes: Tensor) -> Tensor:
    """Images (N, 1, H, W) with everything inside each box (N, 4) set to 0."""
    y, x = torch.arange(images.shape[2])[:, None], torch.arange(images.shape[3])
    left, top, right, bottom = (side[:, None, None, None] for side in boxes.unbind(dim=1))
    return images.masked_fill((x >= left) & (x < right) & (y >= top) & (y < bottom), 0)


# --- what needs no network ------------------------------------------------------------------------


def centre_map(count: int, size: int = SIZE, side: int = 28) -> Tensor:
    """Maps (count, size, size): 1 in a square of `side` pixels in the middle, 0 elsewhere.

    The middle pixel is 2, so that it is the highest.
    """
    low, high = (size - side) // 2, (size + side) // 2
    values = torch.zeros(size, size)
    values[low:high, low:high] = 1
    values[size // 2, size // 2] = 2
    return values.expand(count, size, size)


def brightness_map(images: Tensor, blur: int = 1) -> Tensor:
    """Canvases (N, 1, H, W) as maps: brightness, averaged over squares of `blur` pixels (odd)."""
    return F.avg_pool2d(images.float(), blur, stride=1, padding=blur // 2)[:, 0]


def random_map(count: int, size: int = SIZE, seed: int = 0) -> Tensor:
    """Maps (count, size, size) of uniform random numbers: each pixel is as likely the highest."""
    generator = torch.Generator().manual_seed(check_seed(seed))
    return torch.rand(count, size, size, generator=generator)
