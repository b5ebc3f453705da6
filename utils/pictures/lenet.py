"""The figures of chapter 1: windows, receptive fields, runs, gradients, and LeNet-5's old parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from utils import plotting

FRAME = "#E69F00"
DARK, FAINT = "#0072B2", "#E4E4E4"


def _figure(height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(plotting.NARROW, height),
        dpi=100,
        squeeze=False,
        layout="constrained",
        **options,
    )
    return figure, list(axes.flat)


def _bare(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)


# --- windows --------------------------------------------------------------------------------------


def opening(windows: Tensor, groups: Mapping[str, Sequence[float]]) -> Figure:
    """Six windows (6, 1, H, W) above the test accuracies of single runs, 0 to 1, in percent."""
    with plotting.style():
        figure = plt.figure(figsize=(plotting.NARROW, 3.5), dpi=100, layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(1.15, 2))
        above.suptitle("What garments are these? One unit of LeNet sees no more.", fontsize=10.5)
        for number, (axis, window) in enumerate(zip(above.subplots(1, len(windows)), windows)):
            axis.imshow(window[0].numpy(), vmin=0, vmax=1)
            axis.set_xlabel(str(number + 1), fontsize=10)
            _bare(axis)
        axis = below.subplots()
        _dots(axis, groups)
        axis.set_title("LeNet's test accuracy, one dot a run", fontsize=10.5)
    return figure


def runs(
    groups: Mapping[str, Sequence[float]], *, xlabel: str, lines: Mapping[str, float] | None = None
) -> Figure:
    """Accuracies of single runs, 0 to 1, as dots in percent; `lines` are dotted, with a name."""
    with plotting.style():
        figure, (axis,) = _figure(0.8 * len(groups) + 0.75)
        _dots(axis, groups)
        axis.set_xlabel(xlabel, fontsize=10)
        for name, value in (lines or {}).items():
            axis.axvline(100 * value, linestyle=":", color="black", linewidth=1.2, zorder=0)
            place = (100 * value, 1)
            axis.annotate(
                name, place, xycoords=("data", "axes fraction"), fontsize=9.5, ha="center",
                va="bottom",
            )  # fmt: skip
    return figure


def _dots(axis: Axes, groups: Mapping[str, Sequence[float]], count: bool = True) -> None:
    """A row for each group: every run a dot, the median a bar with its value.

    With `count` the name of a group is followed by its number of runs.
    """
    for row, values in enumerate(groups.values()):
        percent = sorted(100 * value for value in values)
        heights = [row + ((index * 0.618034) % 1 - 0.5) * 0.5 for index in range(len(percent))]
        few = len(percent) < 30
        axis.plot(
            percent, heights, plotting.MARKERS[row], color=plotting.COLOURS[row],
            markersize=5 if few else 3, markerfacecolor="none", markeredgewidth=0.9,
        )  # fmt: skip
        # Rounded, so that 86.95 is not a little less and printed as another number.
        median = round(float(torch.tensor(percent, dtype=torch.float64).quantile(0.5)), 7)
        axis.plot([median, median], [row - 0.3, row + 0.3], color="black", linewidth=2.2)
        axis.text(median, row - 0.32, f"{median:.1f}%", ha="center", va="bottom", fontsize=10)
    names = [f"{name}\n{len(runs)} runs" if count else name for name, runs in groups.items()]
    axis.set_yticks(range(len(groups)), names, fontsize=10)
    axis.tick_params(axis="x", labelsize=10)
    axis.set_ylim(len(groups) - 0.45, -0.85)
    axis.xaxis.set_major_formatter("{x:g}%")


def windows(images: Tensor, names: Sequence[str], corner: int, side: int) -> Figure:
    """Whole images (N, 1, H, W); the square window is bright, the rest is dimmed."""
    with plotting.style():
        figure, axes = _figure(1.5, 1, len(images))
        for axis, image, name in zip(axes, images, names):
            dimmed = 0.35 * image[0]
            inside = slice(corner, corner + side)
            dimmed[inside, inside] = image[0, inside, inside]
            axis.imshow(dimmed.numpy(), vmin=0, vmax=1)
            place = (corner - 0.5, corner - 0.5)
            axis.add_patch(Rectangle(place, side, side, fill=False, edgecolor=FRAME, linewidth=2))
            axis.set_xlabel(name, fontsize=10)
            _bare(axis)
    return figure


# --- convolution and receptive field ------------------------------------------------------------


def answers(image: Tensor, kernels: Mapping[str, Tensor], maps: Sequence[Tensor]) -> Figure:
    """An image (H, W) and, for each kernel, the kernel and its map; grey is zero in both."""
    with plotting.style():
        figure, axes = _figure(2.3, 1, 1 + 2 * len(kernels), width_ratios=[3] + [1, 3] * 2)
        axes[0].imshow(image.numpy())
        axes[0].set_title("image", fontsize=10)
        for place, ((name, kernel), answer) in enumerate(zip(kernels.items(), maps)):
            small, large = axes[1 + 2 * place : 3 + 2 * place]
            limit = float(kernel.abs().max())
            small.imshow(kernel.numpy(), vmin=-limit, vmax=limit)
            small.set_title("kernel", fontsize=10)
            for (row, column), weight in zip(_places(kernel), kernel.flatten().tolist()):
                ink = "white" if weight < 0 else "black"
                text = f"{weight:g}".replace("-", "−")
                small.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
            limit = float(answer.abs().max())
            large.imshow(answer.numpy(), vmin=-limit, vmax=limit)
            large.set_title(f"map: {name}", fontsize=10)
        for axis in axes:
            _bare(axis)
    return figure


def learned(image: Tensor, kernels: Tensor, maps: Tensor) -> Figure:
    """An image (H, W), and below each kernel (N, K, K) its map of this image (N, H, W).

    Grey is zero in a kernel, and each has the scale of its own largest weight. A map goes from its
    smallest number, black, to its largest, white.
    """
    with plotting.style():
        figure, axes = _figure(2.3, 2, 1 + len(kernels))
        beginning, *above = axes[: 1 + len(kernels)]
        below = axes[1 + len(kernels) :]
        beginning.set_axis_off()
        below[0].imshow(image.numpy())
        below[0].set_xlabel("image", fontsize=10)
        for number, (small, large) in enumerate(zip(above, below[1:])):
            limit = float(kernels[number].abs().max())
            small.imshow(kernels[number].numpy(), vmin=-limit, vmax=limit)
            small.set_title(f"kernel {number + 1}", fontsize=10)
            large.imshow(maps[number].numpy())
            large.set_xlabel(f"map {number + 1}", fontsize=10)
        for axis in (*above, *below):
            _bare(axis)
    return figure


def _places(grid: Tensor) -> list[tuple[int, int]]:
    return [(row, column) for row in range(grid.shape[0]) for column in range(grid.shape[1])]


def way_down(layers: Sequence[tuple[str, int, int]], pixels: int = 22) -> Figure:
    """One row of units for each layer, the pixels at the bottom, and what one unit depends on.

    Args:
        layers: name, kernel size and stride of each layer, from the image up.
        pixels: how many pixels are drawn.
    """
    rows = [("pixels", [float(place) for place in range(pixels)])]
    for name, kernel, stride in layers:
        below = rows[-1][1]
        starts = range(0, len(below) - kernel + 1, stride)
        rows.append((name, [(below[s] + below[s + kernel - 1]) / 2 for s in starts]))
    middle = len(rows[-1][1]) // 2
    marked = [range(middle, middle + 1)]  # from the top down
    for _, kernel, stride in reversed(layers):
        above = marked[-1]
        marked.append(range(above[0] * stride, above[-1] * stride + kernel))
    marked.reverse()
    with plotting.style():
        figure, (axis,) = _figure(3.7)
        for height, ((name, places), seen) in enumerate(zip(rows, marked)):
            _row_of_units(axis, 1.6 * height, name, places, seen)
            if height:
                kernel, stride = layers[height - 1][1:]
                for unit in (seen[0], seen[-1]):
                    for end in (unit * stride, unit * stride + kernel - 1):
                        line = [places[unit], rows[height - 1][1][end]]
                        y = [1.6 * height - 0.4, 1.6 * (height - 1) + 0.4]
                        axis.plot(line, y, color="#555555", linewidth=0.9, zorder=0)
        axis.set(xlim=(-4.6, pixels + 7), ylim=(-0.8, 1.6 * len(layers) + 0.8))
        axis.set_axis_off()
    return figure


def _row_of_units(axis: Axes, y: float, name: str, places: list[float], seen: range) -> None:
    for number, x in enumerate(places):
        inside = number in seen
        axis.add_patch(
            Rectangle(
                (x - 0.4, y - 0.4), 0.8, 0.8, facecolor=DARK if inside else FAINT,
                edgecolor="black" if inside else "#AAAAAA", linewidth=0.8,
            )
        )  # fmt: skip
    apart = places[1] - places[0] if len(places) > 1 else 0
    axis.text(-1.1, y, name, ha="right", va="center", fontsize=10)
    count = f"{len(seen)} unit{'s' * (len(seen) != 1)}" if y else f"{len(seen)} pixels"
    text = f"{count}, {apart:g} apart" if apart and len(seen) > 1 else count
    axis.text(places[-1] + 1.0 if not y else 22.0, y, text, ha="left", va="center", fontsize=10)


def fields(strength: Tensor, titles: Sequence[str], corner: int = 8, side: int = 14) -> Figure:
    """How strongly a unit depends on each pixel (N, H, W), with a frame around what it can see."""
    with plotting.style():
        figure, axes = _figure(1.9, 1, len(strength))
        for axis, field, title in zip(axes, strength, titles):
            axis.imshow(field.numpy())
            place = (corner - 0.5, corner - 0.5)
            axis.add_patch(Rectangle(place, side, side, fill=False, edgecolor=FRAME, linewidth=1.5))
            axis.set_xlabel(title, fontsize=10)
            _bare(axis)
    return figure


# --- training -------------------------------------------------------------------------------------


def steps(lines: Mapping[str, Sequence[float]]) -> Figure:
    """The accuracy of each batch, 0 to 1, in percent; a line for each way to take a step."""
    with plotting.style():
        figure, (axis,) = _figure(3.0)
        for number, (name, values) in enumerate(lines.items()):
            percent = [100 * value for value in values]
            look = {"color": plotting.COLOURS[number], "linestyle": plotting.DASHES[number]}
            axis.plot(range(1, len(percent) + 1), percent, label=name, linewidth=1.6, **look)
        axis.axhline(10, color="black", linestyle=":", linewidth=1, label="guessing")
        axis.set_xlabel("step", fontsize=10)
        axis.set_ylabel("accuracy of the batch", fontsize=10)
        axis.tick_params(labelsize=10)
        axis.yaxis.set_major_formatter("{x:g}%")
        figure.legend(fontsize=10, loc="outside upper center", ncols=3)
    return figure


def log(steps: Mapping[str, Sequence[float]]) -> Figure:
    """Validation accuracies, 0 to 1: a row for each step on top of those before, as in `runs`."""
    groups = {
        f"{row}  {name}" if row else name: values
        for row, (name, values) in enumerate(steps.items())
    }
    with plotting.style():
        figure, (axis,) = _figure(0.6 * len(steps) + 0.9)
        _dots(axis, groups, count=False)
        axis.set_xlabel("validation accuracy after ten epochs, five seeds", fontsize=10)
    return figure


def gradients(sizes: Mapping[str, Sequence[float]], names: Sequence[str]) -> Figure:
    """The size of the gradient at each layer, from the loss back to the image, on a log scale."""
    with plotting.style():
        figure, (axis,) = _figure(3.0)
        for number, (name, values) in enumerate(sizes.items()):
            axis.plot(
                range(len(values)), list(values), color=plotting.COLOURS[number], label=name,
                linestyle=plotting.DASHES[number], marker=plotting.MARKERS[number],
            )  # fmt: skip
        axis.set(yscale="log", xticks=range(len(names)), xticklabels=names)
        axis.tick_params(labelsize=10)
        axis.set_ylabel("size of the gradient", fontsize=10)
        axis.legend(fontsize=10)
    return figure


# --- LeNet-5 --------------------------------------------------------------------------------------


def connections(table: Sequence[Sequence[int]]) -> Figure:
    """Which maps of S2 each map of C3 reads: a dark square is one kernel."""
    grid = torch.zeros(6, len(table))
    for column, row in enumerate(table):
        grid[list(row), column] = 1
    with plotting.style():
        figure, (axis,) = _figure(2.7)
        axis.imshow(grid.numpy(), cmap="Greys", vmax=1.3)
        axis.set(xticks=range(len(table)), yticks=range(6))
        axis.set_xlabel("map of C3", fontsize=10)
        axis.set_ylabel("map of S2", fontsize=10)
        axis.set_xticks([place + 0.5 for place in range(len(table) - 1)], minor=True)
        axis.set_yticks([place + 0.5 for place in range(5)], minor=True)
        axis.grid(which="minor", color="grey", linewidth=0.5)
        axis.tick_params(which="minor", length=0)
    return figure


def bitmaps(codes: Tensor) -> Figure:
    """The ten codes (10, 84) as pictures of 12 rows and 7 columns; ink is black."""
    with plotting.style():
        figure, axes = _figure(1.25, 1, 10)
        for digit, (axis, code) in enumerate(zip(axes, codes)):
            axis.imshow(-code.view(12, 7).numpy())
            axis.set_title(str(digit), fontsize=10)
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set(visible=True, color="#AAAAAA")
    return figure
