"""The figures of chapter 3: kernels to scale, paths to a unit, shares of blocks, runs by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from utils import plotting, results
from utils.networks.vgg import CONFIGURATIONS

# Top-1 error in percent, Table 3 of the paper: trained with the shorter side at 256 pixels. Layers
# with weights are those of Table 1.
LAYERS = {"A": 11, "B": 13, "C": 16, "D": 16, "E": 19}
TOP_1 = {"A": 29.6, "B": 28.7, "C": 28.1, "D": 27.0, "E": 27.3}


# --- the main path --------------------------------------------------------------------------------


def opening() -> Figure:
    """The kernels of AlexNet and of three VGGs as squares, to scale; a gap is a pooling."""
    rows = {"AlexNet": ("[11]", "5", "333")}
    names = {"A": "VGG-11", "D": "VGG-16", "E": "VGG-19"}
    rows |= {name: CONFIGURATIONS[column] for column, name in names.items()}
    with plotting.style():
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.3), layout="constrained")
        low = 0.0
        for name, blocks in rows.items():
            sizes = [[11] if block == "[11]" else [int(k) for k in block] for block in blocks]
            low -= max(map(max, sizes)) + 2.6
            axis.text(-1.5, low + 1.5, name, ha="right", va="center", fontsize=11)
            left = 0.0
            for block in sizes:
                for k in block:
                    _kernel(axis, left, low, k)
                    left += k + 0.35
                left += 1.6
        axis.set(xlim=(-12, 65), ylim=(low - 0.5, 0), aspect="equal")
        axis.set_axis_off()
    return figure


def _kernel(axis: Axes, left: float, low: float, k: int) -> None:
    colour = {11: "#D55E00", 5: "#E9B86A", 3: "#9CC9E8"}[k]
    axis.add_patch(Rectangle((left, low), k, k, facecolor=colour, edgecolor="#333333"))
    text = f"{k}×{k}" if k > 3 else str(k)
    axis.text(left + k / 2, low + k / 2, text, ha="center", va="center", fontsize=10)


def ways(fields: Sequence[Tensor]) -> Figure:
    """How many paths lead from each pixel to one unit, a panel for each number of layers."""
    with plotting.style():
        size = (plotting.NARROW, 2.5)
        figure, axes = plt.subplots(1, len(fields), figsize=size, layout="constrained")
        for count, (axis, field) in enumerate(zip(axes, fields), start=1):
            axis.imshow(field, cmap="Greys", vmin=0, vmax=2 * float(field.max()))
            for row, column in field.nonzero().tolist():
                text = str(int(field[row, column]))
                axis.text(column, row, text, ha="center", va="center", fontsize=9)
            axis.set_xticks([x - 0.5 for x in range(field.shape[1])], [])
            axis.set_yticks([y - 0.5 for y in range(field.shape[0])], [])
            axis.grid(color="0.85", linewidth=0.6)
            axis.tick_params(length=0)
            axis.set_title(f"{count} layer{'s' * (count > 1)} of 3×3")
    return figure


def signal(starts: Mapping[str, Sequence[float]]) -> Figure:
    """How much the outputs of each layer differ from image to image, a line for each start."""
    with plotting.style():
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.0), layout="constrained")
        for number, (name, values) in enumerate(starts.items()):
            layers = range(1, len(values) + 1)
            axis.semilogy(layers, values, **plotting.line(number), label=f"{name}'s start")
        axis.set_xticks(list(layers))
        axis.set(xlabel="layer", ylabel="standard deviation\nover the images")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def shares(parts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Shares of a network's parts in percent: a panel for each thing that is counted.

    Args:
        parts: for each thing that is counted, such as "MACs", how much of it each part has.
    """
    hatches = ["", "//", ".."]
    with plotting.style():
        size = (plotting.NARROW, 3.1)
        figure, axes = plt.subplots(1, len(parts), figsize=size, sharey=True, layout="constrained")
        for number, (axis, (title, amounts)) in enumerate(zip(axes, parts.items())):
            percent = [100 * amount / sum(amounts.values()) for amount in amounts.values()]
            bars = axis.barh(
                list(amounts), percent, color=plotting.COLOURS[(4, 1, 2)[number]],
                hatch=hatches[number], edgecolor="black", linewidth=0.7,
            )  # fmt: skip
            texts = [f"{one:.0f}" if one >= 0.5 else "<1" for one in percent]
            axis.bar_label(bars, texts, padding=3, fontsize=10)
            axis.set(title=title, xlabel="%", xlim=(0, 1.28 * max(percent)))
        axes[0].invert_yaxis()
    return figure


def paper_errors() -> Figure:
    """Top-1 error of the paper's networks against the number of layers with weights."""
    beside = {"C": ((8, 0), "left", "center"), "D": ((-8, -3), "right", "top")}
    with plotting.style():
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 2.8), layout="constrained")
        places = [LAYERS[name] for name in TOP_1]
        axis.plot(
            places, list(TOP_1.values()), color=plotting.COLOURS[0], marker=plotting.MARKERS[0],
            markersize=7,
        )  # fmt: skip
        for place, (name, error) in zip(places, TOP_1.items()):
            shift, ha, va = beside.get(name, ((0, 8), "center", "bottom"))
            axis.annotate(
                f"{name} {error}", (place, error), shift, textcoords="offset points", ha=ha, va=va
            )
        axis.set(xlabel="layers with weights", ylabel="top-1 error (%)", ylim=(26, 30.4))
        axis.set_xticks(sorted(set(LAYERS.values())))
        axis.set_xlim(10.3, 19.7)
    return figure


def runs(groups: Sequence[Sequence[str]], what: Sequence[str] = ("train", "validation")) -> Figure:
    """Accuracies of single runs of results/vgg.json; a line joins the runs with one seed.

    Args:
        groups: names of networks; lines are drawn inside a group.
        what: the images, "train" or "validation", a panel for each.
    """
    trained = results.load("vgg.json")["networks"]
    titles = {"train": "training images", "validation": "validation images"}
    rows = sum(map(len, groups))
    with plotting.style():
        size = (plotting.NARROW, 0.46 * rows + 0.95)
        figure, axes = plt.subplots(
            1, len(what), figsize=size, sharex=True, sharey=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for axis, images in zip(axes.flat, what):
            first = 0
            for group in groups:
                values = [trained[name][f"{images}_accuracy"]["runs"] for name in group]
                _rows(axis, first, 100 * torch.tensor(values, dtype=torch.float64))
                first += len(group)
            axis.set(title=titles[images], xlabel="accuracy (%)")
        labels = [_label(trained[name]) for group in groups for name in group]
        axes[0, 0].set_yticks(range(rows), labels)
        axes[0, 0].set_ylim(rows - 0.4, -0.6)
    return figure


def _rows(axis: Axes, first: int, values: Tensor) -> None:
    """Marks for each network (a row of `values`), its median a bar, and a line for each seed."""
    places = range(first, first + len(values))
    axis.plot(values, places, color="0.7", linewidth=0.8, zorder=1)
    for place, runs_of_one in zip(places, values):
        middle = float(runs_of_one.median())
        axis.plot([middle] * 2, [place - 0.36, place + 0.36], color="black", linewidth=2, zorder=2)
        axis.scatter(
            runs_of_one, [place] * len(runs_of_one), s=26, marker=plotting.MARKERS[place % 7],
            facecolors="white", edgecolors=plotting.COLOURS[place % 7], linewidths=1.2, zorder=3,
        )  # fmt: skip


def _label(one: Mapping) -> str:
    name = one["label"].replace(" without batch norm, He", ", no batch norm")
    name = name.replace(", every block with one 5×5", " with 5×5")
    name = name.replace(", blocks 3 to 5 with one 5×5", " with 5×5")
    return f"{name}\n{one['convolutions']} convolutions"


# --- the Deeper sections --------------------------------------------------------------------------


def fields(image: Tensor, sizes: Mapping[str, int]) -> Figure:
    """One image (H, W) for each size; outside the square of that many pixels it is dark."""
    with plotting.style():
        size = (plotting.NARROW, 1.75)
        figure, axes = plt.subplots(1, len(sizes), figsize=size, layout="constrained")
        for axis, (name, side) in zip(axes, sizes.items()):
            first = (image.shape[0] - side) // 2
            inside = slice(first, first + side)
            shown = 0.35 * image
            shown[inside, inside] = image[inside, inside]
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
            frame = Rectangle((first, first), side, side, fill=False, edgecolor="#E69F00", lw=2)
            axis.add_patch(frame)
            axis.set(xticks=[], yticks=[], title=name, xlabel=f"{side} × {side}")
    return figure


def spreads(lines: Mapping[str, Mapping[str, float]]) -> Figure:
    """How much the logits differ from image to image, on a scale of powers of ten."""
    with plotting.style():
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.0), layout="constrained")
        for number, (label, values) in enumerate(lines.items()):
            axis.plot(
                list(values), [float(one) for one in values.values()], label=label,
                color=plotting.COLOURS[number], marker=plotting.MARKERS[number],
                linestyle=plotting.DASHES[number], markersize=7,
            )  # fmt: skip
        axis.set(yscale="log", xlabel="configuration")
        axis.set_ylabel("spread of the logits\nover the images")
        figure.legend(loc="outside lower center", ncols=2)
    return figure
