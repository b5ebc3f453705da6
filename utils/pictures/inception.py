"""The figures of chapter 7: scales, what branches cost, and what is lost without one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from utils import networks, plotting, summary
from utils.plotting import COLOURS, DASHES, MARKERS

WIDTH = 6.8  # inches: letters stay large enough on a narrow page
BRANCHES = ("1×1", "3×3", "5×5", "pool")
HATCHES = ("", "///", "...", "xx")


# --- the network and its cost ---------------------------------------------------------------------


def opening() -> Figure:
    """AlexNet, VGG-16 and GoogLeNet: layers, MACs, and parameters as the area of a circle."""
    known = {"alexnet": ("AlexNet", 8), "vgg16": ("VGG-16", 16), "googlenet": ("GoogLeNet", 22)}
    with plotting.style(dpi=94):
        figure, axis = plt.subplots(figsize=(WIDTH, 4.2), layout="constrained")
        for number, (name, (title, layers)) in enumerate(known.items()):
            with torch.device("meta"):  # shapes alone: nothing is computed
                network = networks.build(name)
            size, parameters = network.image_size, summary.count_parameters(network)
            macs = summary.count_macs(network, (3, size, size)) / 1e9
            area = parameters / 1e6 * 40  # in square points
            axis.scatter(
                layers, macs, s=area, color=COLOURS[number], alpha=0.55,
                edgecolors="black", linewidths=1.2, zorder=3,
            )  # fmt: skip
            axis.scatter(layers, macs, s=16, color="black", zorder=4)
            reach = math.sqrt(area / math.pi)  # radius in points
            axis.annotate(
                f"{title}\n{parameters / 1e6:.0f} million parameters\n{macs:.1f} billion MACs",
                (layers, macs), xytext=(0, reach + 6), textcoords="offset points",
                ha="center", va="bottom", fontsize=10,
            )  # fmt: skip
        axis.set(xlim=(2, 28), ylim=(-4, 27), yticks=(0, 5, 10, 15))
        axis.set_xlabel("layers with weights", fontsize=11)
        axis.set_ylabel("billion MACs for one image", fontsize=11)
        axis.yaxis.set_label_coords(-0.06, 0.38)
        axis.set_axisbelow(True)
        axis.grid(color="0.9")
    return figure


def windows(image: Tensor, sides: Mapping[str, int], centre: tuple[int, int]) -> Figure:
    """One garment (1, H, W) four times, all but the window of a branch darkened.

    sides: how many pixels of the image a value of each branch depends on, height and width.
    """
    with plotting.style(dpi=94):
        figure, axes = plt.subplots(1, len(sides), figsize=(WIDTH, 2.7), layout="constrained")
        for number, (axis, (name, side)) in enumerate(zip(axes, sides.items())):
            top, left = (place - side // 2 for place in centre)
            shade = torch.full(image.shape[1:], 0.5)
            shade[max(top, 0) : top + side, max(left, 0) : left + side] = 1
            axis.imshow(image[0] * shade, vmin=0, vmax=1, cmap="gray")
            axis.add_patch(
                Rectangle((left - 0.5, top - 0.5), side, side, fill=False, linewidth=3,
                          edgecolor=COLOURS[number])
            )  # fmt: skip
            axis.set_title(f"{name}: {side}×{side} pixels", fontsize=12)
            axis.set_axis_off()
    return figure


def module_3a() -> Figure:
    """Module 3a in its naive form and with reductions: a box for each layer."""
    pooled = "max 3×3\n192 maps"
    forms = {
        "module 3a, naive": [["1×1\n64 maps"], ["3×3\n128 maps"], ["5×5\n32 maps"], [pooled]],
        "module 3a, with reductions": [
            ["1×1\n64 maps"],
            ["1×1\n96 maps", "3×3\n128 maps"],
            ["1×1\n16 maps", "5×5\n32 maps"],
            [pooled, "1×1\n32 maps"],
        ],
    }
    with plotting.style(dpi=94):
        figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 6.4), layout="constrained")
        for axis, (title, branches), out in zip(axes, forms.items(), (416, 256)):
            _layer(axis, 1.5, 0, "192 maps come in", 2.6, "white")
            _layer(axis, 1.5, 3.3, f"joined: {out} maps", 2.6, "white")
            for x, layers in enumerate(branches):
                heights = (1.1, 2.2) if len(layers) == 2 else (1.65,)
                ends = [(0.6 + 0.6 * x, 0.0), *((x, y) for y in heights), (0.6 + 0.6 * x, 3.3)]
                for (left, low), (right, high) in itertools.pairwise(ends):
                    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0}
                    axis.annotate("", (right, high - 0.3), (left, low + 0.3), arrowprops=arrow)
                for y, text in zip(heights, layers):
                    colour = "#d9d9d9" if "max" in text else COLOURS[4]
                    _layer(axis, x, y, text, 0.82, "#f5c58c" if "1×1" in text else colour)
            axis.set(xlim=(-0.5, 3.5), ylim=(-0.35, 3.65))
            axis.set_title(title, fontsize=13)
            axis.set_axis_off()
    return figure


def _layer(axis: plt.Axes, x: float, y: float, text: str, width: float, colour: str) -> None:
    hatch = "//" if text.startswith("1×1") else ""
    look = {"facecolor": colour, "edgecolor": "black", "hatch": hatch}
    axis.add_patch(Rectangle((x - width / 2, y - 0.3), width, 0.6, **look))
    around = {"facecolor": colour, "edgecolor": "none", "pad": 1}
    axis.text(x, y, text, ha="center", va="center", fontsize=12, bbox=around)


def costs(modules: Mapping[str, Mapping[str, float]]) -> Figure:
    """Million MACs of the forms of a module, a bar each, one segment for each branch."""
    with plotting.style(dpi=94):
        figure, axis = plt.subplots(figsize=(WIDTH, 2.6), layout="constrained")
        for row, parts in enumerate(modules.values()):
            start = 0.0
            for number, (branch, macs) in enumerate(parts.items()):
                look = {"color": COLOURS[number], "alpha": 0.6, "hatch": HATCHES[number % 4]}
                label = branch if row == 0 or branch not in next(iter(modules.values())) else None
                axis.barh(row, macs / 1e6, left=start, edgecolor="black", label=label, **look)
                start += macs / 1e6
            axis.text(start + 4, row, f"{start:.0f} million", va="center", fontsize=11)
        axis.set_yticks(range(len(modules)), list(modules), fontsize=11)
        axis.set(ylim=(len(modules) - 0.4, -0.6), xlim=(0, 375))
        axis.set_xlabel("million MACs for one image", fontsize=11)
        figure.legend(loc="outside lower center", ncols=len(BRANCHES), fontsize=11)
    return figure


def growth(channels: Mapping[str, Sequence[int]], names: Sequence[str]) -> Figure:
    """Channels that come out of module after module, a line for each kind of network."""
    with plotting.style(dpi=94):
        figure, axis = plt.subplots(figsize=(WIDTH, 3.0), layout="constrained")
        for number, (label, values) in enumerate(channels.items()):
            look = {"marker": MARKERS[number], "linestyle": DASHES[number]}
            axis.plot(names, values, color=COLOURS[number], linewidth=2, **look)
            axis.annotate(
                f"{label}\n{values[-1]:,} channels", (len(names) - 1, values[-1]), ha="left",
                xytext=(8, 0), textcoords="offset points", va="center", fontsize=10.5,
            )  # fmt: skip
        axis.set(xlim=(-0.3, len(names) + 1.6), ylim=(0, None))
        axis.set_xlabel("Inception module", fontsize=11)
        axis.set_ylabel("channels that come out", fontsize=11)
    return figure


def table_one(printed: Mapping[str, float], counted: Mapping[str, float]) -> Figure:
    """How far the printed numbers of parameters are from those counted, in percent."""
    off = {name: 100 * (printed[name] / counted[name] - 1) for name in printed}
    with plotting.style(dpi=94):
        figure, axis = plt.subplots(figsize=(WIDTH, 2.8), layout="constrained")
        axis.axhspan(-5, 5, color="0.92")
        looks = [("white", "///") if abs(value) > 5 else (COLOURS[0], "") for value in off.values()]
        drawn = axis.bar(list(off), list(off.values()), edgecolor="black", width=0.55)
        for bar, (colour, hatch) in zip(drawn, looks):
            bar.set(facecolor=colour, hatch=hatch)
        axis.bar_label(drawn, [f"{value:+.1f} %" for value in off.values()], padding=2)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(ylim=(-9.5, 8.5))
        axis.set_xlabel("row of Table 1", fontsize=11)
        axis.set_ylabel("printed against counted (%)", fontsize=11)
    return figure


# --- a trained network ----------------------------------------------------------------------------


def branch_maps(image: Tensor, maps: Mapping[str, Tensor], shown: int = 5) -> Figure:
    """The image (1, H, W), and the strongest maps (C, h, w) of each branch, a scale for each."""
    with plotting.style(dpi=94):
        figure = plt.figure(figsize=(WIDTH, 4.2), layout="constrained")
        grid = figure.add_gridspec(len(maps), shown + 2)
        axis = figure.add_subplot(grid[:, :2])
        axis.imshow(image[0], cmap="gray")
        axis.set_title("the image", fontsize=12)
        axis.set_axis_off()
        for row, (name, values) in enumerate(maps.items()):
            best = values.mean(dim=(1, 2)).topk(shown).indices.tolist()
            largest = float(values[best].max())
            for column, index in enumerate(best):
                axis = figure.add_subplot(grid[row, column + 2])
                axis.imshow(values[index], cmap="gray", vmin=0, vmax=largest)
                axis.set(xticks=(), yticks=())
                if column == 0:
                    axis.set_ylabel(name, fontsize=12, rotation=0, ha="right", va="center")
    return figure


def silenced(whole: float, without: Mapping[str, float]) -> Figure:
    """Accuracy of the whole network, and with the maps of one branch at a time set to zero."""
    values = {"whole\nnetwork": whole} | {f"without\n{name}": v for name, v in without.items()}
    with plotting.style(dpi=94):
        figure, axis = plt.subplots(figsize=(WIDTH, 2.9), layout="constrained")
        percent = [100 * value for value in values.values()]
        drawn = axis.bar(list(values), percent, width=0.6, color=COLOURS[4], edgecolor="black")
        drawn[0].set(facecolor="white", hatch="//")
        axis.bar_label(drawn, [f"{value:.1f} %" for value in percent], fontsize=11)
        axis.set(ylim=(0, 105))
        axis.tick_params(axis="x", labelsize=11)
        axis.set_ylabel("accuracy (%)", fontsize=11)
    return figure


def _place(axis: plt.Axes, row: int, number: int, entry: Mapping[str, Any]) -> None:
    """Loss by zeros and by the re-estimated test, one above the other and joined by a line."""
    shock, fair = (entry[way]["median"] for way in ("zero", "mean_re_estimated"))
    axis.plot([fair, shock], [row, row], color="0.6", linewidth=1.5, zorder=1)
    look = {"color": COLOURS[number], "marker": MARKERS[number], "linestyle": "none"}
    axis.plot(shock, row, markerfacecolor="white", markersize=9, markeredgewidth=1.6, **look)
    axis.plot(fair, row, markersize=5.5, **look)  # the smaller one is seen inside the other


def lost(report: Mapping[str, Any], names: Mapping[str, str]) -> Figure:
    """Points lost without a branch: zeros (open), the re-estimated test (filled); medians.

    report: "points_lost" of results/inception.json; names: the branches as one reads them.
    """
    groups = {g: g.replace("inception", "") for g in report if g != "all"}
    with plotting.style(dpi=94):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.9), sharex=True, layout="constrained")
        row, ticks = 0.0, {}
        for group, title in groups.items():
            for number, branch in enumerate(names):
                _place(axes[0], row, number, report[group][branch])
                row += 1
            ticks[row - 2.5] = title
            row += 1
        axes[0].set_yticks(list(ticks), list(ticks.values()), fontsize=12)
        axes[0].set_title("one branch of one module", fontsize=12)
        for number, branch in enumerate(names):
            _place(axes[1], number, number, report["all"][branch])
        axes[1].set_yticks(range(len(names)), list(names.values()), fontsize=12)
        axes[1].set(ylim=(3.6, -0.6))
        axes[1].set_title("the same branch of all five modules", fontsize=12)
        axes[0].invert_yaxis()
        for axis in axes:
            axis.set_xlabel("points of accuracy lost", fontsize=11)
            axis.axvline(0, color="black", linewidth=0.7, zorder=0)
            axis.tick_params(axis="y", length=0)
        looks = [
            plt.Line2D([], [], color=COLOURS[n], marker=MARKERS[n], linestyle="none", label=name)
            for n, name in enumerate(names.values())
        ]
        looks += [
            plt.Line2D([], [], color="black", marker="o", linestyle="none",
                       markerfacecolor=colour, label=label)
            for colour, label in (("white", "zeros"), ("black", "re-estimated"))
        ]  # fmt: skip
        figure.legend(handles=looks, loc="outside lower center", ncols=6, fontsize=11)
    return figure


# --- several scales or one ------------------------------------------------------------------------


def scales(report: Mapping[str, Any]) -> Figure:
    """Every run of the networks with equal MACs; and all four branches minus each, seed by seed.

    report: results/inception/scales.json. A dot is one seed, a bar the median. The seeds of a row
    lie one above the other, so the same seed has the same height in every row. All four, those of
    one branch and the controls have a colour and a mark each, and a line between them.
    """
    with plotting.style(dpi=94):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(WIDTH, 6.4), sharey=True, width_ratios=(3, 2), layout="constrained"
        )
        labels, groups = [], []
        for row, (name, entry) in enumerate(report["networks"].items()):
            parameters = f"{entry['parameters'] / 1e3:.0f},000 parameters"
            labels.append(f"{entry['label']}\n{parameters}")
            groups.append(0 if name == "all" else 1 if name in ("one", "three", "five") else 2)
            look = {"color": COLOURS[groups[-1]], "marker": MARKERS[groups[-1]]}
            _seeds(left, row, [100 * run["test_accuracy"] for run in entry["runs"]], look)
            if name != "all":
                pair = report["pairs"][f"all_minus_{name}"]["test_accuracy"]
                _seeds(right, row, pair["runs"], look)
        left.set_yticks(range(len(labels)), labels, fontsize=11)
        left.set(ylim=(len(labels) - 0.45, -0.55))
        left.set_xlabel("test accuracy (%)", fontsize=11)
        right.axvline(0, color="black", linewidth=0.9, zorder=0)
        right.margins(x=0.1)
        right.set_xlabel("all four minus this (points)", fontsize=11)
        for axis in (left, right):
            axis.tick_params(axis="y", length=0)
            for row, (above, below) in enumerate(itertools.pairwise(groups), 1):
                shade = "0.9" if above == below else "0.4"
                axis.axhline(row - 0.5, color=shade, linewidth=0.8, zorder=0)
    return figure


def _seeds(axis: plt.Axes, row: int, values: Sequence[float], look: Mapping[str, Any]) -> None:
    places = [row + 0.5 * ((n + 0.5) / len(values) - 0.5) for n in range(len(values))]
    axis.plot(values, places, alpha=0.75, linestyle="none", markersize=6, **look)
    axis.vlines(median(values), row - 0.34, row + 0.34, color="black", linewidth=2)


# --- auxiliary classifiers ------------------------------------------------------------------------


def gradients(norms: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Norm of the gradient, part by part of the network, a panel for each way to start."""
    with plotting.style(dpi=94):
        figure, axes = plt.subplots(
            1, len(norms), figsize=(WIDTH, 3.7), sharey=True, layout="constrained"
        )
        for axis, (start, kinds) in zip(axes, norms.items()):
            for number, (kind, values) in enumerate(kinds.items()):
                look = {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 5}
                look |= {"markerfacecolor": "white" if number else COLOURS[number]}
                axis.semilogy(*zip(*values.items()), DASHES[number], label=kind, **look)
            axis.tick_params(axis="x", rotation=90, labelsize=9)
            axis.set_title(f"{start} first weights", fontsize=11.5)
        axes[0].set_ylabel("norm of the gradient", fontsize=11)
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2, fontsize=11)
    return figure


def arms(panels: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], key: str) -> Figure:
    """`key` of every run against the step: without auxiliary losses (solid) and with them (dashed).

    panels: title of the panel, then "without" and "with", each with its runs (thin; their median
    is thick).
    """
    with plotting.style(dpi=94):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(WIDTH, 3.4), sharey=True, layout="constrained", squeeze=False
        )
        for axis, (title, both) in zip(axes[0], panels.items()):
            for number, (arm, runs) in enumerate(both.items()):
                look = {"color": COLOURS[number], "linestyle": DASHES[number], "linewidth": 1}
                scale = 100 if key == "accuracy" else 1
                for run in runs:
                    axis.plot(run["steps"], [scale * v for v in run[key]], alpha=0.4, **look)
                middle = [scale * median(values) for values in zip(*(run[key] for run in runs))]
                label = f"{arm} auxiliary losses"
                axis.plot(runs[0]["steps"], middle, label=label, **look | {"linewidth": 3})
            guessing = math.log(10) if key == "loss" else 10
            axis.axhline(guessing, color="#888888", linewidth=0.9, zorder=0)
            axis.set_title(title, fontsize=11.5)
            axis.set_xlabel("step", fontsize=11)
        names = {"loss": "loss on validation images", "accuracy": "validation accuracy (%)"}
        axes[0, 0].set_ylabel(names[key], fontsize=11)
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2, fontsize=11)
    return figure


# --- what came after ------------------------------------------------------------------------------


def saved(weights: Mapping[str, float], times: Mapping[str, float]) -> Figure:
    """What a replacement saves of the weights and of the time, in percent, beside each other."""
    with plotting.style(dpi=94):
        figure, axis = plt.subplots(figsize=(WIDTH, 3.0), layout="constrained")
        for number, (label, values) in enumerate({"weights": weights, "time": times}.items()):
            x = [place + 0.36 * (number - 0.5) for place in range(len(values))]
            look = {"color": COLOURS[0] if not number else "white", "hatch": "///" * number}
            percent = [100 * value for value in values.values()]
            drawn = axis.bar(x, percent, width=0.34, edgecolor="black", label=label, **look)
            axis.bar_label(drawn, [f"{value:+.0f} %" for value in percent], padding=2)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xticks(range(len(weights)), list(weights), fontsize=11)
        axis.margins(y=0.15)
        axis.set_ylabel("change (%)", fontsize=11)
        figure.legend(loc="outside lower center", ncols=2, fontsize=11)
    return figure
