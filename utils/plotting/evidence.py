"""What a network looks at, drawn on the image: class activation maps and receptive fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor, nn

from utils import diagnosis
from utils.plotting.look import WIDTH, headline, style
from utils.plotting.pictures import panels, show_image

HEAT = "inferno"  # from dark to light without turning back, so it can be read in grey too
Box = Sequence[float] | Tensor


# --- class activation maps ------------------------------------------------------------------------


def overlay(
    axis: Axes,
    image: Tensor,
    map: Tensor,
    *,
    title: str = "",
    peak: bool = True,
    box: Box | None = None,
    found: Box | None = None,
    right: bool | None = None,
    limit: float | None = None,
) -> Any:
    """Lay a class activation map over an image, on an axis of your own; return what was drawn.

    The map is enlarged to the image, and what is not above 0 is left clear: there the class gains
    nothing.

    Args:
        image: (C, H, W) or (H, W), as `plotting.images` takes it.
        map: (h, w), of any size.
        peak: write the largest value of the map below the title.
        box: the true box (left, top, right, bottom) in pixels, dashed.
        found: the predicted box, solid.
        right: whether the answer was right; ✓ or ✗ before the title, and a thick frame if wrong.
        limit: the value that gets the strongest colour; left out, the peak of this map.

    Example:
        figure, axis = plt.subplots()
        plotting.overlay(axis, picture, class_map, title="Ankle boot", right=True)
    """
    image = image[None] if image.ndim == 2 else image
    map = map.detach().float().cpu()
    if map.ndim != 2:
        raise ValueError(f"The map must have the shape (h, w), but got {tuple(map.shape)}.")
    top = float(map.max())
    large = F.interpolate(map[None, None], image.shape[-2:], mode="bilinear", align_corners=False)
    share = (large[0, 0] / (limit or max(top, 1e-12))).clamp(0, 1)
    show_image(axis, image)
    # Half clear where the map is strong, wholly clear where it is weak: the garment stays seen.
    picture = axis.imshow(
        share.numpy(), cmap=HEAT, vmin=0, vmax=1, alpha=(0.75 * share**0.5).numpy()
    )
    # A line at half of the peak, for those who see no colours; zeros around close it at the edge.
    padded = F.pad(share, (1, 1, 1, 1)).numpy()
    down, across = (range(-1, side + 1) for side in share.shape)
    half = 0.5 * float(share.max())
    if half > 0:
        for colour, width in (("black", 2.2), ("#56B4E9", 1.1)):
            axis.contour(across, down, padded, levels=[half], colors=colour, linewidths=width)
        axis.set(xlim=(-0.5, share.shape[1] - 0.5), ylim=(share.shape[0] - 0.5, -0.5))
    for corners, dash in ((box, "--"), (found, "-")):
        if corners is not None:
            _draw_box(axis, corners, dash)
    sign = {True: "✓ ", False: "✗ ", None: ""}[right]
    text = f"{sign}{title}" + (f"\npeak {top:.1f}".replace("-", "−") if peak else "")
    axis.set_title(text, fontsize=8.5, pad=3)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=right is False, linewidth=3, color="#D55E00")
    return picture


def _draw_box(axis: Axes, corners: Box, dash: str) -> None:
    """A box in white with a black edge, seen on any ground."""
    left, top, right, bottom = (float(value) for value in corners)
    for colour, width in (("black", 3.2), ("white", 1.6)):
        axis.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=colour,
                linewidth=width, linestyle=dash if colour == "white" else "-",
            )
        )  # fmt: skip


def overlays(
    images: Tensor,
    maps: Tensor,
    titles: Sequence[str] | None = None,
    *,
    right: Sequence[bool | None] | None = None,
    boxes: Sequence[Box] | None = None,
    found: Sequence[Box] | None = None,
    columns: int = 6,
    common: bool = False,
    title: str = "",
) -> Figure:
    """Class activation maps over their images, one a panel; arguments as in `overlay`.

    Args:
        images: (N, C, H, W) or (N, H, W); maps: (N, h, w).
        common: one scale for all panels. Without it every map has its own, and only the peaks in
            the titles tell which map is the stronger.

    Example:
        pictures = splits.denormalize(images[:6])
        names = [splits.classes[label] for label in predictions[:6]]
        right = (predictions == labels)[:6].tolist()
        plotting.overlays(pictures, class_maps[:6], names, right=right)
        plt.show()
    """
    count = len(images)
    limit = float(maps.max()) if common else None
    with style():
        lines = 1 + max((text.count("\n") + 1 for text in titles or ()), default=0)
        below = 0.17 * lines + 0.05
        figure, axes = panels(count, columns, side=1.6, below=below, extra=0.55 + 0.3 * bool(title))
        for index, axis in zip(range(count), axes.flat):
            picture = overlay(
                axis,
                images[index],
                maps[index],
                title=titles[index] if titles else "",
                right=right[index] if right is not None else None,
                box=boxes[index] if boxes is not None else None,
                found=found[index] if found is not None else None,
                limit=limit,
            )
        bar = figure.colorbar(
            plt.cm.ScalarMappable(picture.norm, HEAT), ax=axes, location="bottom", shrink=0.5,
            aspect=40, pad=0.02,
        )  # fmt: skip
        ends = ["0", f"{limit:.1f}"] if limit else ["0", "peak of the map"]
        bar.set_ticks([0, 1], labels=ends)
        headline(figure, title)
    return figure


# --- receptive fields -----------------------------------------------------------------------------


# What follows these sees the whole image.
WHOLE = (nn.Flatten, nn.Linear, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


class Field(NamedTuple):
    """What one unit of a layer sees: `size` by the formula, `rows` and `columns` in the image.

    `size` and `jump` are (height, width) in pixels; `jump` is the distance between neighbouring
    units. `rows` and `columns` are (first, last + 1), cut at the border of the image.
    """

    name: str
    size: tuple[int, int]
    jump: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]


def fields(
    layers: nn.Module | Iterable[nn.Module],
    image: Tensor,
    position: tuple[float, float] = (0.5, 0.5),
) -> list[Field]:
    """What one unit of each convolution and pooling layer sees, by the formula.

    r = r + (k − 1) · j and then j = j · s, from r = j = 1; k is the kernel size (with dilation) and
    s the stride of the layer. `layers` run one after the other, as in `nn.Sequential`; further
    arguments as in `receptive_field`.
    """
    layers = _chain(layers) if isinstance(layers, nn.Module) else list(layers)
    like = next((p for layer in layers for p in layer.parameters()), torch.zeros(()))
    maps = (image if image.ndim == 4 else image[None])[:1].to(like.device, like.dtype)
    sides = maps.shape[-2:]
    r, j, start = [1, 1], [1, 1], [0.0, 0.0]  # start: the middle of the first unit, in pixels
    found: list[Field] = []
    for layer in layers:
        if isinstance(layer, WHOLE):
            break
        with diagnosis.modes_kept(layer), torch.no_grad():
            maps = layer.eval()(maps)
        if not hasattr(layer, "kernel_size"):
            continue
        k, s, d = (_pair(getattr(layer, name, 1)) for name in ("kernel_size", "stride", "dilation"))
        p = getattr(layer, "padding", 0)
        if p == "same":
            p = [(k[side] - 1) * d[side] // 2 for side in (0, 1)]
        p = _pair(0 if p == "valid" else p)
        ends = []
        for side in (0, 1):
            reach = (k[side] - 1) * d[side]
            start[side] += (reach / 2 - p[side]) * j[side]
            r[side] += reach * j[side]
            j[side] *= s[side]
            unit = min(int(position[side] * maps.shape[2 + side]), maps.shape[2 + side] - 1)
            middle = start[side] + unit * j[side]
            first = round(middle - (r[side] - 1) / 2)
            ends.append((max(0, first), min(sides[side], first + r[side])))
        name = f"{type(layer).__name__} {k[0]}×{k[1]}" + (f", stride {s[0]}" if s[0] > 1 else "")
        name = name.replace("Conv2d", "conv").replace("MaxPool2d", "max pool")
        name = name.replace("AvgPool2d", "average pool")
        found.append(Field(name, tuple(r), tuple(j), *ends))
    return found


def _chain(model: nn.Module) -> list[nn.Module]:
    """The layers of a network that run one after the other; `features` alone of a network."""
    body = getattr(model, "features", model)
    if not isinstance(body, nn.Sequential):
        return [body]
    return [layer for part in body for layer in _chain(part)]


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def receptive_field(
    layers: nn.Module | Iterable[nn.Module],
    image: Tensor,
    *,
    position: tuple[float, float] = (0.5, 0.5),
    columns: int = 5,
    title: str = "",
) -> Figure:
    """Draw on an image what one unit of each layer sees, growing from layer to layer.

    What lies outside the square is dark. Where padding cuts it, the label says so.

    Args:
        layers: a network whose layers run one after the other, or a list of such layers. Of a
            network with `features` these are drawn, up to the first linear layer.
        image: (C, H, W), as `plotting.images` takes it.
        position: (row, column) of the unit in its map, from (0, 0), top left, to (1, 1).

    Raises:
        ValueError: there is no convolution and no pooling layer.

    Example:
        network = networks.build("lenet")
        plotting.receptive_field(network, splits.denormalize(images[:1])[0])
        plt.show()
    """
    seen = fields(layers, image, position)
    if not seen:
        raise ValueError(
            "receptive_field needs layers with a kernel, such as nn.Conv2d or nn.MaxPool2d, one "
            "after the other; it found none."
        )
    with style():
        columns = min(columns, len(seen))
        sizes = [(one.rows[1] - one.rows[0], one.columns[1] - one.columns[0]) for one in seen]
        below = 0.38 if sizes == [one.size for one in seen] else 0.58
        side, extra = WIDTH / max(columns, 4), 0.1 + 0.3 * bool(title)
        figure, axes = panels(len(seen), columns, side=side, below=below, extra=extra)
        for axis, (number, one) in zip(axes.flat, enumerate(seen, start=1)):
            show_image(axis, image)
            shade = torch.full(image.shape[-2:], 0.6)
            shade[slice(*one.rows), slice(*one.columns)] = 0
            black = torch.zeros(image.shape[-2:]).numpy()
            axis.imshow(black, cmap="gray", vmin=0, vmax=1, alpha=shade.numpy())
            corners = (one.columns[0], one.rows[0], one.columns[1], one.rows[1])
            left, top, right, bottom = corners
            axis.add_patch(
                Rectangle(
                    (left - 0.5, top - 0.5), right - left, bottom - top, fill=False,
                    edgecolor="#E69F00", linewidth=2.2,
                    path_effects=[withStroke(linewidth=3.6, foreground="black")],
                )
            )  # fmt: skip
            shown = (bottom - top, right - left)
            text = f"{number}. {one.name}\n{one.size[0]}×{one.size[1]} pixels"
            if shown != one.size:
                text += f",\n{shown[0]}×{shown[1]} in the image"
            axis.set_title(text, fontsize=8.5, pad=3)
        headline(figure, title)
    return figure
