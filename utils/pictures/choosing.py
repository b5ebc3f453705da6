"""The figures of chapter 10: all networks of the course side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from utils import plotting

Table = Mapping[str, Mapping[str, Any]]  # a row for each network, see utils.topics.network_tables

NAMES = {"lenet": "LeNet", "alexnet": "AlexNet", "vgg": "VGG", "vgg16": "VGG-16", "nin": "NiN"}
NAMES |= {"googlenet": "GoogLeNet", "resnet": "ResNet", "resnet50": "ResNet-50"}
NAMES |= {"mobilenet_v1": "MobileNet v1", "mobilenet_v2": "MobileNet v2"}
COSTS = {  # key of a row: label of the axis, divided by, ticks
    "macs": ("MACs of one image (millions)", 1e6, [0.5, 1, 2, 4, 8]),
    "parameters": ("parameters (thousands)", 1e3, [60, 100, 200, 300]),
    "peak_kb": ("peak memory of one image (kB)", 1, [40, 60, 100, 200]),
    "one_ms": ("time of one image (ms, one thread)", 1, [0.2, 0.5, 1, 2]),
    "training_minutes": ("time of a training (minutes, one thread)", 1, [1, 2, 3, 5]),
}
# Where the name of a network does not fit on the right of its point: points right and up.
PLACES = {
    ("macs", "lenet"): (8, 9),
    ("macs", "mobilenet_v1_small"): (-8, 9),
    ("parameters", "lenet"): (-8, 0),
    ("parameters", "mobilenet_v2_small"): (8, -11),
    ("peak_kb", "lenet"): (8, 9),
    ("peak_kb", "mobilenet_v1_small"): (7, -11),
    ("peak_kb", "vgg_small"): (8, 6),
    ("one_ms", "lenet"): (8, 9),
    ("one_ms", "mobilenet_v1_small"): (7, -11),
    ("training_minutes", "lenet"): (8, 9),
    ("training_minutes", "resnet_small"): (-8, 8),
}


def name(key: str) -> str:
    """The name of a network as it is written in the figures."""
    return NAMES[key.removesuffix("_small")]


def _logarithmic(axis: Axes, x: Sequence[float] = (), y: Sequence[float] = ()) -> None:
    """Logarithmic axes with plain numbers at these places."""
    if x:
        axis.set_xscale("log")
        axis.set_xticks(x, [f"{tick:g}" for tick in x])
    if y:
        axis.set_yscale("log")
        axis.set_yticks(y, [f"{tick:g}" for tick in y])
    axis.minorticks_off()


def _label(
    axis: Axes, text: str, place: tuple[float, float], shift: tuple[float, float] = (8, 0)
) -> None:
    look = {
        "textcoords": "offset points",
        "va": "center",
        "ha": "right" if shift[0] < 0 else "left",
    }
    edge = [withStroke(linewidth=3, foreground="white")]  # over lines it can be read, too
    axis.annotate(text, place, xytext=shift, path_effects=edge, **look)


# --- the main path --------------------------------------------------------------------------------


def opening(table: Table) -> Figure:
    """The places of all networks, from 1 to 8, in five columns; a line for each network.

    Equal networks have one place.
    """
    columns = {"accuracy": "accuracy", "parameters": "few\nparameters", "macs": "few\nMACs"}
    columns |= {"one_ms": "fast for\none image", "training_minutes": "short\ntraining"}
    places = {}
    for key in columns:
        ordered = sorted(table, key=lambda n: table[n][key], reverse=key == "accuracy")
        places[key] = {network: height for height, network in enumerate(ordered, 1)}
    looks = {
        "resnet_small": {"color": "black", "linewidth": 2.6},
        "lenet": {"color": plotting.COLOURS[0], "linewidth": 2.2, "linestyle": "--"},
        "googlenet_small": {"color": plotting.COLOURS[1], "linewidth": 2.2, "linestyle": ":"},
    }
    with plotting.style():
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.9), layout="constrained")
        for network in table:
            heights = [places[key][network] for key in columns]
            look = looks.get(network, {"color": "0.72", "linewidth": 1.2})
            axis.plot(heights, zorder=3 if network in looks else 1, **look)
            for column, (key, height) in enumerate(zip(columns, heights)):
                equal = [places[key][n] for n in table if table[n][key] == table[network][key]]
                mark = {"markersize": 17, "markeredgecolor": look["color"], "color": "white"}
                axis.plot(column, height, "o", zorder=4, **mark)
                axis.text(
                    column, height, min(equal), ha="center", va="center", zorder=5, fontsize=10
                )
            weight = {"fontweight": "bold" if network in looks else "normal", "va": "center"}
            axis.text(-0.25, heights[0], name(network), ha="right", **weight)
        axis.set_xticks(range(len(columns)), list(columns.values()))
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.set(yticks=[], ylim=(len(table) + 0.5, 0.4), xlim=(-1.25, len(columns) - 0.7))
        for side in axis.spines.values():
            side.set_visible(False)
    return figure


def fronts(
    table: Table, costs: Sequence[str], front: Callable[[dict[str, tuple[float, float]]], list[str]]
) -> Figure:
    """Accuracy against cost, a panel for each cost; black points and a line are the front.

    Args:
        costs: keys of `COSTS`.
        front: names on the Pareto front of {name: (cost, accuracy)}, the cheapest first.
    """
    with plotting.style():
        size = (plotting.NARROW, 3.0 * len(costs))
        figure, axes = plt.subplots(
            len(costs), 1, figsize=size, squeeze=False, layout="constrained"
        )
        for axis, key in zip(axes.flat, costs):
            label, per, ticks = COSTS[key]
            points = {n: (row[key] / per, 100 * row["accuracy"]) for n, row in table.items()}
            chosen = front(points)
            for network, (x, y) in points.items():
                row, on = table[network], network in chosen
                colour = "black" if on else plotting.COLOURS[0]
                axis.plot([x, x], [100 * row["low"], 100 * row["high"]], color=colour, linewidth=1)
                axis.plot(x, y, "o", markersize=8, color=colour, mfc="black" if on else "white")
                _label(axis, name(network), (x, y), PLACES.get((key, network), (8, 0)))
            if chosen:
                steps = [points[network] for network in chosen]
                dashed = {"color": "0.35", "linestyle": "--", "linewidth": 1.1, "zorder": 0}
                axis.step(*zip(*steps), where="post", **dashed)
            _logarithmic(axis, x=ticks)
            least, most = (f(x for x, _ in points.values()) for f in (min, max))
            axis.set(
                xlim=(0.78 * least, 1.75 * most), xlabel=label, ylabel="validation accuracy (%)"
            )
    return figure


def times(table: Table) -> Figure:
    """Time against MACs, for one image and for a batch; a dotted line: as much a MAC as LeNet."""
    with plotting.style():
        figure, axes = plt.subplots(2, 1, figsize=(plotting.NARROW, 6.0), layout="constrained")
        panels = (
            (axes[0], "one_ms", "one image", [0.2, 0.5, 1, 2]),
            (axes[1], "batch_ms", "a batch of 64 images", [3, 5, 10, 20, 50]),
        )
        for axis, key, title, ticks in panels:
            for network, row in table.items():
                place = (row["macs"] / 1e6, row[key])
                own = network in ("nin_small", "mobilenet_v1_small")
                mark = {"markersize": 8, "color": "black" if own else plotting.COLOURS[0]}
                axis.plot(*place, "o", mfc="black" if own else "white", **mark)
                shift = {"vgg_small": (-8, -7), "resnet_small": (-8, -2), "lenet": (9, -4)}.get(
                    network, (8, 0)
                )
                _label(axis, name(network), place, shift)
            first = table["lenet"]
            ends = (first["macs"], max(row["macs"] for row in table.values()))
            line = [first[key] * macs / first["macs"] for macs in ends]
            axis.plot([macs / 1e6 for macs in ends], line, ":", color="0.35", zorder=0)
            half = (2, first[key] * 2e6 / first["macs"])
            _label(axis, "if a MAC took as long as in LeNet", half, (-10, 4))
            _logarithmic(axis, x=[0.5, 1, 2, 4, 8], y=ticks)
            axis.set(xlim=(0.35, 18), ylabel="time (ms, one thread)")
            axis.set_ylim(bottom=0.75 * first[key])
            axis.set_title(title, loc="left")
        axes[1].set_xlabel("MACs of one image (millions)")
    return figure


def only_one_right(
    pictures: Tensor, labels: Tensor, answers: Mapping[str, Tensor], classes: Sequence[str]
) -> Figure:
    """Images on which one of two networks is right: a row for each, with the other's answer.

    Args:
        pictures: (N, 1, H, W); labels and each of the answers have shape (N,).
        answers: the predicted classes of two networks under their names.
    """
    (first, a), (second, b) = answers.items()
    rows = ((first, a == labels, b), (second, b == labels, a))
    with plotting.style():
        figure, axes = plt.subplots(2, 5, figsize=(plotting.NARROW, 3.7), layout="constrained")
        for line, (winner, right, said) in zip(axes, rows):
            found = (right & (said != labels)).nonzero().flatten()[: len(line)]
            for axis in line:
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            for axis, index in zip(line, found.tolist()):
                axis.imshow(pictures[index, 0], cmap="gray")
                axis.set_title(classes[labels[index]], fontsize=10, pad=3)
                axis.set_xlabel(f"✗ {classes[said[index]]}", labelpad=3)
            line[0].set_ylabel(f"only {winner}\nis right", rotation=90)
    return figure


def differences(points: Mapping[str, Sequence[float]], band: float) -> Figure:
    """Differences of accuracy with the same seed, a row for each pair and a dot for each seed.

    Args:
        points: differences in percentage points.
        band: how far the choice of the images can move a difference, in points.
    """
    with plotting.style():
        size = (plotting.NARROW, 0.42 * len(points) + 1.3)
        figure, axis = plt.subplots(figsize=size, layout="constrained")
        label = f"the luck of the images (the band, {band:.2f} points)"
        axis.axvspan(-band, band, color="0.88", zorder=0, label=label)
        axis.axvline(0, color="0.35", linewidth=1, zorder=1)
        for row, values in enumerate(points.values()):
            heights = [row + 0.11 * (index - (len(values) - 1) / 2) for index in range(len(values))]
            axis.plot(values, heights, "o", color=plotting.COLOURS[0], mfc="white", zorder=3)
        axis.set_yticks(range(len(points)), list(points))
        axis.set(ylim=(len(points) - 0.4, -0.6), xlabel="difference of accuracy (points)")
        figure.legend(loc="outside lower center")
    return figure


def tosses(leads: Tensor, measured: float, band: float) -> Figure:
    """Histogram of leads by luck alone, in points, with the measured one and the band ±`band`."""
    with plotting.style():
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.0), layout="constrained")
        values, counts = leads.unique(return_counts=True)
        width = (values.diff().min().item() if len(values) > 1 else 0.1) * 0.9
        axis.axvspan(-band, band, color="0.9", zorder=0, label="95 of 100 repeats")
        look = {"width": width, "color": "0.5", "label": f"{len(leads):,} repeats"}
        axis.bar(values.tolist(), counts.tolist(), **look)
        axis.axvline(measured, color="black", linewidth=2, label="our two networks")
        edge = 1.15 * max(abs(measured), leads.abs().max().item())
        axis.set(xlim=(-edge, edge), xlabel="lead (points)", ylabel="number of repeats")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def twice(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]], band: float
) -> Figure:
    """Median differences on the validation images and on the test images, a row for each pair.

    Args:
        first, second: differences in points by pair, of the validation and of the test images.
        band: how far the choice of the validation images can move a difference.
    """
    with plotting.style():
        size = (plotting.NARROW, 0.36 * len(first) + 1.3)
        figure, axis = plt.subplots(figsize=size, layout="constrained")
        axis.axvspan(-band, band, color="0.9", zorder=0)
        axis.axvline(0, color="0.35", linewidth=1, zorder=1)
        middle = [[median(run[pair]) for pair in first] for run in (first, second)]
        rows = range(len(first))
        axis.hlines(rows, *middle, color="0.6", linewidth=1.5, zorder=2)
        looks = (("validation images", "white", 9), ("test images", "black", 6))
        for values, (label, inside, mark) in zip(middle, looks):
            axis.plot(values, rows, "o", color="black", mfc=inside, markersize=mark, label=label)
        axis.set_yticks(rows, list(first))
        axis.set(ylim=(len(first) - 0.4, -0.6), xlabel="median difference (points)")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


# Where the name of a network for photographs goes: points right and up.
PHOTOGRAPHS = {
    "mobilenet_v3_large": (-8, 5),
    "efficientnet_b0": (-8, 5),
    "efficientnet_b4": (-8, 6),
    "efficientnet_v2_l": (-8, 7),
    "alexnet": (8, 0),
    "vgg16": (8, 0),
    "mobilenet_v2": (8, -4),
    "resnet50": (8, 0),
}


def photographs(rows: Table, front: Sequence[str]) -> Figure:
    """Top-1 against MACs for torchvision's networks; an arrow joins the two of ResNet-50."""
    with plotting.style():
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 4.4), layout="constrained")
        for network, row in rows.items():
            on = network in front
            look = {"color": "black", "markersize": 7} if on else {"color": "0.6", "markersize": 5}
            axis.plot(row["macs"] / 1e9, row["top1"], "o", mfc="black" if on else "white", **look)
        steps = [(rows[network]["macs"] / 1e9, rows[network]["top1"]) for network in front]
        dashed = {"color": "0.35", "linestyle": "--", "linewidth": 1.1, "zorder": 0}
        axis.step(*zip(*steps), where="post", **dashed)
        row = rows["resnet50"]
        ends = [(row["macs"] / 1e9, row[key]) for key in ("top1", "first")]
        arrow = {"arrowstyle": "->", "color": plotting.COLOURS[1], "linewidth": 2}
        axis.annotate("", *ends, arrowprops=arrow)
        for network, shift in PHOTOGRAPHS.items():
            _label(axis, network, (rows[network]["macs"] / 1e9, rows[network]["top1"]), shift)
        _logarithmic(axis, x=[0.1, 0.5, 1, 5, 10, 50])
        axis.set(xlim=(0.015, 90), xlabel="MACs of one image (billions)", ylabel="top-1 (%)")
    return figure


# --- Deeper sections ------------------------------------------------------------------------------


def memory(small: Table, large: Table) -> Figure:
    """Memory of the weights and of one image on its way, for both tables."""
    with plotting.style():
        figure, axes = plt.subplots(2, 1, figsize=(plotting.NARROW, 5.6), layout="constrained")
        panels = (
            (axes[0], small, "peak_kb", 1e3, "images of 28 or 32 pixels", [0.05, 0.1, 0.2, 0.5, 1]),
            (
                axes[1],
                large,
                "peak_mb",
                1,
                "images of 224 pixels",
                [2, 5, 10, 20, 50, 100, 200, 500],
            ),
        )
        for axis, rows, peak, per, title, ticks in panels:
            weights = [row["weights_mb"] for row in rows.values()]
            maps = [row[peak] / per for row in rows.values()]
            heights = range(len(rows))
            axis.hlines(heights, maps, weights, color="0.75", linewidth=2, zorder=0)
            axis.plot(weights, heights, "o", markersize=6, color="black", label="weights, once")
            blue = {"color": plotting.COLOURS[1], "mfc": "none", "markersize": 10, "mew": 1.6}
            axis.plot(maps, heights, "s", label="most in use for one image", **blue)
            axis.set_yticks(heights, [name(key) for key in rows])
            axis.set_title(title, loc="left")
            axis.invert_yaxis()
            _logarithmic(axis, x=ticks)
        axes[1].set_xlabel("memory (MB)")
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2)
    return figure


def years(large: Table) -> Figure:
    """MACs of the large networks against their year; the area of a circle is the parameters."""
    with plotting.style():
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 4.2), layout="constrained")
        for key, row in large.items():
            place, million = (row["year"], row["macs"] / 1e9), row["parameters"] / 1e6
            circle = {"facecolors": "none", "edgecolors": plotting.COLOURS[0], "linewidths": 1.5}
            axis.scatter(*place, s=11 * million, **circle)
            axis.plot(*place, ".", color=plotting.COLOURS[0])
            text = f"{name(key)}: {million:.1f} M parameters\n"
            text += f"top-1 {row['top1']:.1f}%" if row["top1"] else "(not in torchvision)"
            left = key.startswith("mobilenet")
            shift = (-11, 0) if left else (25 if million > 50 else 14, 0)
            _label(axis, text, place, (0, -36) if key == "alexnet" else shift)
        axis.set(xlabel="year", ylabel="MACs of one image (billions)")
        axis.set(xlim=(2011.3, 2018.7), ylim=(0.2, 30))
        _logarithmic(axis, y=[0.3, 1, 3, 10])
    return figure


def phones(offers: Mapping[tuple[float, int], Mapping[str, float]]) -> Figure:
    """MobileNet v1 in several widths and image sizes: accuracy against MACs and against weights."""
    with plotting.style():
        figure, axes = plt.subplots(2, 1, figsize=(plotting.NARROW, 5.8), layout="constrained")
        panels = (
            ("macs", "MACs (millions)", [200]),
            ("parameters", "parameters (millions)", [2.5, 3]),
        )
        for axis, (key, label, limits) in zip(axes, panels):
            for limit, shift in zip(limits, ((-4, 0), (4, 0)) if limits[1:] else ((4, 0),)):
                axis.axvline(limit, color="0.35", linestyle="--", linewidth=1.1, zorder=0)
                _label(axis, f"limit {limit}", (limit, 49.5), shift)
            for (width, pixels), row in offers.items():
                place = (row[key] / 1e6, row["top1"])
                full = pixels == 224
                mark = {"markersize": 8, "color": "black" if full else plotting.COLOURS[0]}
                axis.plot(*place, "o" if full else "s", mfc="black" if full else "white", **mark)
                shift = (-8, 0) if key == "macs" and full and width in (0.5, 0.75) else (8, 0)
                if key == "macs" and width == 1.0 and pixels in (128, 160):
                    shift = (-4, 11) if pixels == 128 else (8, -7)
                _label(axis, f"{width:g}, {pixels}", place, shift)
            most = max(row[key] for row in offers.values()) / 1e6
            axis.set(xlim=(0, 1.16 * most), ylim=(48, 73), xlabel=label, ylabel="top-1 (%)")
    return figure
