"""Drawings of layers and blocks that are given by hand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from utils.plotting.look import WIDTH, style

# Fill and hatch for each kind of layer, so that kinds differ without colour too.
KINDS = {
    "input": ("#FFFFFF", ""),
    "conv": ("#9CC9E8", ""),
    "1x1": ("#F4C28F", "//"),
    "pool": ("#D9D9D9", ""),
    "linear": ("#A8D5BA", "xx"),
    "average": ("#D9D9D9", ".."),
    "output": ("#FFFFFF", ""),
}


def blocks(columns: Mapping[str, Sequence[tuple[str, str]]], *, title: str = "") -> Figure:
    """Networks side by side as columns of boxes, input at the top.

    Args:
        columns: name of the network and its layers as (text, kind), kind being one of "input",
            "conv", "1x1", "pool", "linear", "average", "output".

    Raises:
        ValueError: an unknown kind.
    """
    for layers in columns.values():
        for _, kind in layers:
            if kind not in KINDS:
                raise ValueError(f"kind must be one of {', '.join(KINDS)}, but got {kind!r}.")
    tallest = max(len(layers) for layers in columns.values())
    step, box = 0.40, 0.27
    with style():
        figure, axis = plt.subplots(
            figsize=(min(WIDTH, 3.4 * len(columns)), step * tallest + 0.6), layout="constrained"
        )
        for column, (name, layers) in enumerate(columns.items()):
            x = 3.2 * column
            axis.text(x, 0.42, name, ha="center", va="center", fontsize=10, fontweight="bold")
            for row, (text, kind) in enumerate(layers):
                y = -step * row
                colour, hatch = KINDS[kind]
                axis.add_patch(
                    FancyBboxPatch(
                        (x - 1.25, y - box / 2), 2.5, box,
                        boxstyle="round,pad=0,rounding_size=0.05", facecolor=colour,
                        edgecolor="#555555", linewidth=0.8, hatch=hatch,
                    )
                )  # fmt: skip
                axis.text(
                    x, y, text, ha="center", va="center", fontsize=8,
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
                )  # fmt: skip
                if row:
                    _arrow(axis, (x, y + step - box / 2), (x, y + box / 2))
        axis.set(
            xlim=(-1.5, 3.2 * (len(columns) - 1) + 1.5), ylim=(-step * (tallest - 1) - 0.3, 0.65)
        )
        axis.set_axis_off()
        axis.set_title(title)
    return figure


def _arrow(axis: plt.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=7, linewidth=0.8, color="#333333",
            shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def mlpconv_figure() -> Figure:
    """A linear convolution layer and an mlpconv layer, side by side.

    Both look at one patch of the input. The linear layer takes one weighted sum of it for each
    output channel; the mlpconv layer sends it through a small multilayer perceptron.
    """
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.5), layout="constrained")
        _draw_layer(axes[0], "linear convolution layer", units=[3])
        _draw_layer(axes[1], "mlpconv layer", units=[4, 4, 3])
    return figure


def _draw_layer(axis: plt.Axes, name: str, units: list[int]) -> None:
    """A patch of a grid, layers of units joined to each other, and the maps they write into."""
    axis.set(xlim=(-0.2, 10.2), ylim=(-0.35, 4.1), aspect="equal", title=name)
    axis.set_axis_off()
    _grid(axis, 0.0, 1.0, cells=6, size=0.45, marked=(1, 2, 3))
    axis.text(1.35, 0.6, "input\n(all channels)", ha="center", va="top", fontsize=8)
    corner_x, low, high = 1.8, 1.0 + 1 * 0.45, 1.0 + 4 * 0.45
    places = [3.7 + index * 1.35 for index in range(len(units))]
    if len(units) == 1:
        places = [5.0]
    previous: list[tuple[float, float]] = []
    for index, (x, count) in enumerate(zip(places, units)):
        heights = [2.35 + (unit - (count - 1) / 2) * 0.85 for unit in range(count)]
        for y in heights:
            if index == 0:
                for corner in (low, high):
                    axis.plot([corner_x, x], [corner, y], color="#888888", linewidth=0.5, zorder=1)
            for start in previous:
                axis.plot([start[0], x], [start[1], y], color="#888888", linewidth=0.5, zorder=1)
            axis.add_patch(
                plt.Circle((x, y), 0.22, facecolor="white", edgecolor="#D55E00", linewidth=1.2)
            )
        previous = [(x, y) for y in heights]
        role = "k×k" if index == 0 else "1×1"
        axis.text(x, 0.6, f"{role}\n+ ReLU", ha="center", va="top", fontsize=8)
    for index, (x, y) in enumerate(previous):
        left, bottom = 8.0 - 0.28 * index, 1.15 + 0.42 * index
        axis.add_patch(
            Rectangle(
                (left, bottom), 1.7, 1.7, facecolor="white", edgecolor="#0072B2", linewidth=1.0,
                zorder=8 - index,
            )
        )  # fmt: skip
        spot = (left + 0.62, bottom + 1.36)
        axis.add_patch(
            Rectangle(
                (spot[0] - 0.1, spot[1] - 0.1), 0.2, 0.2, facecolor="#D55E00", edgecolor="none",
                zorder=9 - index,
            )
        )  # fmt: skip
        axis.plot([x, spot[0]], [y, spot[1]], color="#D55E00", linewidth=0.8, zorder=10)
    axis.text(8.6, 0.6, "output\n(one map a unit)", ha="center", va="top", fontsize=8)


def _grid(
    axis: plt.Axes, left: float, bottom: float, *, cells: int, size: float, marked: Sequence[int]
) -> None:
    for row in range(cells):
        for column in range(cells):
            inside = row in marked and column in marked
            axis.add_patch(
                Rectangle(
                    (left + column * size, bottom + row * size), size, size,
                    facecolor="#F4C28F" if inside else "white", edgecolor="#888888", linewidth=0.6,
                )
            )  # fmt: skip


def branches(
    modules: Mapping[str, Sequence[Sequence[tuple[str, str]]]], *, source: str = "input"
) -> Figure:
    """Modules of parallel branches side by side, the input at the bottom.

    Args:
        modules: name of the module and its branches, each one or two layers (text, kind), kinds
            as in `blocks`. The text of a layer ends in its number of channels, `"1×1, 64"`.
        source: the text in the box of the input.
    """
    with style():
        figure, axes = plt.subplots(
            1, len(modules), figsize=(WIDTH, 3.4), squeeze=False, layout="constrained"
        )
        for axis, (title, beside) in zip(axes.flat, modules.items()):
            centre = (len(beside) - 1) / 2
            total = sum(int(branch[-1][0].split()[-1]) for branch in beside)
            _box(axis, centre, 0, source, "input", 2.2)
            _box(axis, centre, 3.6, f"joined, {total} channels", "output", 2.2)
            for x, branch in enumerate(beside):
                heights = [1.2, 2.4] if len(branch) == 2 else [1.8]
                joint = centre + 0.4 * (x - centre)
                ends = [(joint, 0.0), *((x, y) for y in heights), (joint, 3.6)]
                for (left, low), (right, high) in itertools.pairwise(ends):
                    _arrow(axis, (left, low + 0.2), (right, high - 0.2))
                for y, (text, kind) in zip(heights, branch):
                    _box(axis, x, y, text, kind, 0.9)
            axis.set(xlim=(-0.55, len(beside) - 0.45), ylim=(-0.3, 3.9), title=title)
            axis.set_axis_off()
    return figure


def _box(axis: plt.Axes, x: float, y: float, text: str, kind: str, width: float) -> None:
    colour, hatch = KINDS[kind]
    look = {"facecolor": colour, "hatch": hatch, "edgecolor": "#555555", "linewidth": 0.8}
    axis.add_patch(Rectangle((x - width / 2, y - 0.2), width, 0.4, **look))
    patch = {"facecolor": colour, "edgecolor": "none", "pad": 0.6}
    axis.text(x, y, text, ha="center", va="center", fontsize=7.5, bbox=patch)
