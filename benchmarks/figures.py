"""Draws every figure of docs/evidence.md from the files in results/.

    python -m benchmarks.figures            # all of them, into results/figures/
    python -m benchmarks.figures growth     # one

A figure is a pair of functions: the first reads what is to be drawn from results/, the second
draws it. The PNG holds a fingerprint of what was drawn, so that a test can tell whether the results
have changed since. A figure whose results are missing is left out, and that is said.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MultipleLocator, NullFormatter
from PIL import Image

from benchmarks import common, recipe
from utils import plotting, results

FOLDER = common.RESULTS / "figures"
DPI = 140
KEY = "Results drawn"  # the PNG's text chunk that holds the fingerprint
NAMES = {
    "lenet": "LeNet",
    "alexnet_small": "AlexNet",
    "vgg_small": "VGG",
    "nin_small": "NiN",
    "googlenet_small": "GoogLeNet",
    "resnet_small": "ResNet",
    "mobilenet_v1_small": "MobileNet v1",
    "mobilenet_v2_small": "MobileNet v2",
}
# The form for which D2L chose LeNet's rate stands beside ours under both recipes.
UNDER_TWO_RECIPES = {**NAMES, "lenet_sigmoid": "LeNet, sigmoid"}
# Networks of d2l_runs.csv beside which ours are drawn; MobileNet has none there.
PUBLISHED = {
    "lenet": "LeNet",
    "alexnet_small": "AlexNet",
    "vgg_small": "VGG-11/4",
    "nin_small": "NiN",
    "googlenet_small": "GoogLeNet",
    "resnet_small": "ResNet-18",
}
OURS, OTHERS = plotting.COLOURS[0], plotting.COLOURS[1]
# Below this accuracy a run failed or nearly so; the axis is compressed there.
BREAK = 0.74
HIGHEST = 0.945


# --- an axis for accuracies -----------------------------------------------------------------------


def accuracy_axes(rows: int, lowest: float) -> tuple[Figure, list[plt.Axes]]:
    """One axis, or two beside each other where a run lies below BREAK: those are drawn narrow."""
    size = (plotting.WIDTH, 0.72 * rows + 1.0)
    if lowest >= BREAK:
        figure, axis = plt.subplots(figsize=size, layout="constrained")
        axis.set_xlim(right=HIGHEST)
        axis.xaxis.set_major_locator(MultipleLocator(0.01))
        return figure, [axis]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=size, sharey=True, width_ratios=(1, 3.6), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.02, wspace=0.02)
    left.set_xlim(0, BREAK)
    left.set_xticks([0.1, 0.4, 0.7])
    left.set_title(f"below {short(BREAK, 2)}", fontsize=8, color="0.35")
    left.set_facecolor("0.955")
    right.set_xlim(BREAK, HIGHEST)
    right.xaxis.set_major_locator(MultipleLocator(0.02))
    right.spines["left"].set_visible(False)
    right.tick_params(axis="y", length=0)
    return figure, [left, right]


def finish_accuracy(axes: list[plt.Axes], names: list[str], handles: list[Line2D]) -> None:
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    axes[-1].set_xlabel("test accuracy on Fashion-MNIST")
    for axis in axes:
        digits = 1 if axis.get_xlim()[1] == BREAK else 2
        axis.xaxis.set_major_formatter(lambda value, _, digits=digits: short(value, digits))
        axis.grid(axis="x", color="0.9", linewidth=0.6)
        axis.hlines(
            [row + 0.5 for row in range(len(names) - 1)],
            *axis.get_xlim(),
            color="0.8",
            linewidth=0.6,
        )
        axis.set_axisbelow(True)
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8)


def short(accuracy: float, digits: int = 3) -> str:
    return f"{accuracy:.{digits}f}".removeprefix("0")


def median_mark(
    axes: list[plt.Axes], median: float, row: float, below: bool, half: float = 0.12
) -> None:
    """A black bar, with its value above it or below it."""
    axis = axes[0] if median < BREAK else axes[-1]
    axis.plot([median, median], [row - half, row + half], color="black", linewidth=2, zorder=4)
    axis.annotate(
        short(median),
        (median, row + (half + 0.01 if below else -half - 0.01)),
        ha="center",
        va="top" if below else "bottom",
        fontsize=7.5,
    )


def dots(axes: list[plt.Axes], values: list[float], rows: list[float], **look: Any) -> None:
    for value, row in zip(values, rows):
        axis = axes[0] if value < BREAK else axes[-1]
        axis.scatter(value, row, linewidths=0.8, clip_on=False, **look)


# --- accuracy -------------------------------------------------------------------------------------


def accuracy_data() -> dict | None:
    """Test accuracy of each of our runs, and of each of D2L's stored runs of the same family."""
    theirs: dict[str, list[float]] = {}
    for run in results.load("published/d2l_runs.csv"):
        theirs.setdefault(run["network"], []).append(float(run["test_accuracy"]))
    found = {}
    for name, shown in NAMES.items():
        ours = common.read(f"accuracy/{name}.json")
        if ours is None:
            return None
        found[shown] = {"ours": ours["test_accuracy"]["runs"]}
        if name in PUBLISHED:
            found[shown]["d2l"] = sorted(theirs[PUBLISHED[name]])
    return found


def draw_accuracy(found: dict) -> Figure:
    lowest = min(min(runs) for groups in found.values() for runs in groups.values())
    figure, axes = accuracy_axes(len(found), lowest)
    looks = {
        "d2l": dict(s=9, marker="o", facecolors="none", edgecolors="0.45"),
        "ours": dict(s=22, marker="D", facecolors=OURS, edgecolors="white", zorder=3),
    }
    for row, groups in enumerate(found.values()):
        for source, runs in groups.items():
            middle = row
            if len(groups) > 1:
                middle += 0.17 if source == "d2l" else -0.13
            heights = [middle + 0.4 * shift for shift in plotting._spread(len(runs))]
            dots(axes, runs, heights, **looks[source])
            median = common.summarise(runs)["median"]
            median_mark(axes, median, middle, below=source == "d2l")
    handles = [
        Line2D([], [], linestyle="", marker="D", color=OURS, markersize=5,
               label="a run of the course's small network"),
        Line2D([], [], linestyle="", marker="o", color="0.45", markerfacecolor="none",
               markersize=4, label="a run stored in D2L's notebooks, its own network"),
        Line2D([], [], color="black", linewidth=2, label="median"),
    ]  # fmt: skip
    finish_accuracy(axes, list(found), handles)
    return figure


# --- recipe or architecture -----------------------------------------------------------------------


def recipe_data() -> dict | None:
    """Pairs of accuracies, one for each seed: D2L's recipe, and the course's."""
    stored = common.read(recipe.FILE)
    if stored is None:
        return None
    found = {}
    for name, one in stored["networks"].items():
        theirs = [run["test_accuracy"] for run in one["runs"]]
        gains = one["difference"]["runs"]  # in points
        found[UNDER_TWO_RECIPES[name]] = [
            [a, round(a + gain / 100, 4)] for a, gain in zip(theirs, gains)
        ]
    return found


def draw_recipe(found: dict) -> Figure:
    figure, axes = accuracy_axes(len(found), min(min(p) for pairs in found.values() for p in pairs))
    for row, pairs in enumerate(found.values()):
        heights = [row + 0.7 * shift for shift in plotting._spread(len(pairs))]
        for axis in axes:
            for (theirs, ours), height in zip(pairs, heights):
                axis.plot([theirs, ours], [height, height], color="0.75", linewidth=0.8, zorder=1)
        theirs, ours = ([pair[side] for pair in pairs] for side in (0, 1))
        dots(axes, theirs, heights, s=24, marker="o", facecolors="white", edgecolors=OTHERS)
        dots(axes, ours, heights, s=22, marker="D", facecolors=OURS, edgecolors="white", zorder=3)
        for values in (theirs, ours):
            median = common.summarise(values)["median"]
            median_mark(axes, median, row, below=values is theirs, half=0.24)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=OTHERS, markerfacecolor="white",
               markersize=5, label="D2L's recipe"),
        Line2D([], [], linestyle="", marker="D", color=OURS, markersize=5,
               label="the course's recipe, same network and seed"),
        Line2D([], [], color="black", linewidth=2, label="median"),
    ]  # fmt: skip
    finish_accuracy(axes, list(found), handles)
    return figure


# --- growth ---------------------------------------------------------------------------------------

COLUMNS = {
    "image_size": ("image size", "pixels a side"),
    "width": ("width (ResNet-20)", "channels of the first stage"),
    "depth": ("depth (ResNet)", "layers"),
    "images": ("images (LeNet)", "images of an epoch"),
}
SHOWN = {
    "resnet18": "ResNet-18",
    "mobilenet_v2": "MobileNet v2",
    "resnet20": "ResNet-20",
    "resnet": "ResNet",
    "lenet": "LeNet",
}


def growth_data() -> dict | None:
    """For each series and network: seconds (all rounds), MACs and MB at every point."""
    stored = common.read("growth.json")
    if stored is None:
        return None
    wanted = ("macs", "live_mb", "saved_mb", "resident_mb", "data_mb")
    return {
        series: {
            name: {
                x: {"seconds": point["seconds"]["runs"]}
                | {key: point[key] for key in wanted if key in point}
                for x, point in stored[series][name]["points"].items()
            }
            for name in SHOWN
            if name in stored[series]
        }
        for series in COLUMNS
    }


def draw_growth(found: dict) -> Figure:
    figure, axes = plt.subplots(
        2, 4, figsize=(plotting.WIDTH, 4.9), sharex="col", layout="constrained"
    )
    for column, (series, nets) in enumerate(found.items()):
        upper, lower = axes[:, column]
        title, xlabel = COLUMNS[series]
        for number, (name, points) in enumerate(nets.items()):
            x = [int(one) for one in points]
            look = dict(
                color=plotting.COLOURS[number],
                marker=plotting.MARKERS[number],
                markersize=4.5,
                label=SHOWN[name],
            )
            times = [point["seconds"] for point in points.values()]
            median = [common.summarise(runs, 5)["median"] for runs in times]
            upper.vlines(x, list(map(min, times)), list(map(max, times)), color="0.6", linewidth=3)
            upper.plot(x, median, linestyle="-", **look)
            # What grows as the MACs do (in the last column: as the images do), through the last.
            work = x if series == "images" else [point["macs"] for point in points.values()]
            scaled = [median[-1] * one / work[-1] for one in work]
            upper.plot(x, scaled, linestyle=":", color="0.35", linewidth=1.2)
            rows = {
                "resident_mb": ("--", "white"),
                "live_mb": ("-", None),
                "saved_mb": (":", None),
                "data_mb": ("-.", None),
            }
            if series == "images":
                del rows["live_mb"], rows["saved_mb"]
            for key, (dash, face) in rows.items():
                if all(key in point for point in points.values()):
                    values = [point[key] for point in points.values()]
                    more = {} if face is None else {"markerfacecolor": face}
                    lower.plot(x, values, linestyle=dash, linewidth=1.2, **look, **more)
        for axis in (upper, lower):
            axis.set(xscale="log", yscale="log")
            # One, two and five times a power of ten, as plain numbers.
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.grid(color="0.92", linewidth=0.6)
        ticks = [int(one) for one in next(iter(nets.values()))]
        ticks = ticks[::2] if len(ticks) > 4 else ticks
        names = [f"{tick / 1000:g}k" if tick > 1000 else str(tick) for tick in ticks]
        lower.set_xticks(ticks, names)
        lower.minorticks_off()
        upper.set_title(title, loc="left")
        lower.set_xlabel(xlabel)
        if len(nets) > 1:
            upper.legend(fontsize=7.5, loc="upper left")
    axes[0, 0].set_ylabel("seconds of a step")
    axes[0, 3].set_ylabel("seconds of an epoch")
    axes[1, 0].set_ylabel("memory (MB)")
    handles = [
        Line2D([], [], color="0.6", linewidth=3, label="above: fastest to slowest round"),
        Line2D([], [], color="0.35", linestyle=":", label="if time grew as the MACs do"),
        Line2D([], [], color="black", linestyle="--", marker="o", markerfacecolor="white",
               markersize=4.5, label="below: held by the process"),
        Line2D([], [], color="black", linestyle="-", marker="o", markersize=4.5,
               label="all tensors"),
        Line2D([], [], color="black", linestyle=":", marker="o", markersize=4.5,
               label="kept for the backward pass"),
        Line2D([], [], color="black", linestyle="-.", marker="o", markersize=4.5,
               label="the data"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


# --- speed ----------------------------------------------------------------------------------------

LARGE = {
    "googlenet_d2l": "GoogLeNet, 96 pixels",
    "resnet18_d2l": "ResNet-18, 96 pixels",
    "alexnet_d2l": "AlexNet, 224 pixels",
    "nin_d2l": "NiN, 224 pixels",
}
# Fill and hatch of the parts of a step, light beside dark, so that they differ in grey as well.
FILLS = {
    "convolution forward": ("#0072B2", ""),
    "convolution backward": ("#9ECAE9", "//"),
    "batch norm": ("#B8481A", ""),
    "pooling": ("#F5C7A9", ".."),
    "activation": ("#4D4D4D", ""),
    "linear": ("#D9D9D9", "xx"),
    "optimizer": ("#009E73", ""),
    "data": ("#F0E442", "--"),
    "rest": ("#FFFFFF", ""),
}


def speed_data() -> dict | None:
    """For each network the paired ratios to d2l and to the plain loop."""
    epochs = (common.read("speed.json") or {}).get("epochs")
    if not epochs:
        return None
    return {
        shown: {rival: one["runs"] for rival, one in epochs[name]["ratio"].items()}
        for name, shown in (NAMES | LARGE).items()
        if name in epochs
    }


def draw_speed(found: dict) -> Figure:
    size = (plotting.WIDTH, 0.42 * len(found) + 1.2)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    looks = {
        "d2l": dict(s=24, marker="o", facecolors="white", edgecolors=OTHERS),
        "torchvision": dict(s=22, marker="D", facecolors=OURS, edgecolors="white", zorder=3),
    }
    for row, rivals in enumerate(found.values()):
        for rival, ratios in rivals.items():
            height = row + (-0.17 if rival == "d2l" else 0.17)
            axis.scatter(ratios, [height] * len(ratios), **looks[rival])
            median = common.summarise(ratios)["median"]
            axis.plot(
                [median] * 2, [height - 0.15, height + 0.15], color="black", linewidth=2, zorder=4
            )
    axis.axvline(1, color="0.35", linewidth=1, linestyle="--", zorder=0)
    axis.set_yticks(range(len(found)), list(found))
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.set_xlabel("time of the other code, as a multiple of ours (dashed: equally fast)")
    axis.grid(axis="x", color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=OTHERS, markerfacecolor="white",
               markersize=5, label="d2l's loader and train_ch6"),
        Line2D([], [], linestyle="", marker="D", color=OURS, markersize=5,
               label="DataLoader and plain loop"),
        Line2D([], [], color="black", linewidth=2, label="median"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8)
    return figure


def step_data() -> dict | None:
    """For each network the parts of a training step, its milliseconds and its share of the rate."""
    profiles = (common.read("speed.json") or {}).get("profile")
    if not profiles:
        return None
    return {
        shown: {
            "parts": profiles[name]["parts"],
            "milliseconds": profiles[name]["step_milliseconds"]["median"],
            "share_of_matmul": profiles[name]["share_of_matmul"],
        }
        for name, shown in NAMES.items()
        if name in profiles
    }


def draw_step(found: dict) -> Figure:
    size = (plotting.WIDTH, 0.42 * len(found) + 1.4)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    for row, one in enumerate(found.values()):
        left = 0.0
        for part, (fill, hatch) in FILLS.items():
            share = 100 * one["parts"][part]
            axis.barh(
                row, share, left=left, height=0.7, color=fill, hatch=hatch, edgecolor="black",
                linewidth=0.6, label=part if row == 0 else None,
            )  # fmt: skip
            left += share
        text = f"{one['milliseconds']:.0f} ms, {one['share_of_matmul']:.0%}"
        axis.annotate(text, (101, row), va="center", fontsize=8, annotation_clip=False)
    axis.set_title("a step, share of the\nmatrix product's rate", loc="right", fontsize=8)
    axis.set_yticks(range(len(found)), list(found))
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.set_xlim(0, 116)
    axis.set_xticks(range(0, 101, 20))
    axis.set_xlabel("share of the time of a training step (%)")
    figure.legend(loc="outside upper center", ncols=5, fontsize=8, handlelength=2.5)
    return figure


# --- all of them ----------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """A figure: what it needs, how it is drawn, and where that comes from."""

    data: Callable[[], dict | None]  # None where results are missing
    draw: Callable[[dict], Figure]
    source: str  # what to run for the results


FIGURES = {
    "accuracy": Drawn(accuracy_data, draw_accuracy, "python -m benchmarks.accuracy"),
    "recipe": Drawn(recipe_data, draw_recipe, "python -m benchmarks.recipe"),
    "speed": Drawn(speed_data, draw_speed, "python -m benchmarks.speed"),
    "step": Drawn(step_data, draw_step, "python -m benchmarks.speed"),
    "growth": Drawn(growth_data, draw_growth, "python -m benchmarks.growth"),
}


def fingerprint(found: dict) -> str:
    """The same for the same data, in whatever order a file had been written."""
    text = json.dumps(found, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def drawn_from(path: Path) -> str | None:
    """The fingerprint of the data that a stored PNG shows."""
    with Image.open(path) as image:
        return image.text.get(KEY)


def make(name: str, folder: Path = FOLDER) -> Path | None:
    """Draw one figure; None where its results are missing."""
    found = FIGURES[name].data()
    if found is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    with plotting.style():
        figure = FIGURES[name].draw(found)
        # Software is left out: it would tell matplotlib's version and differ without a reason.
        metadata = {"Software": None, KEY: fingerprint(found)}
        figure.savefig(path, dpi=DPI, metadata=metadata)
    plt.close(figure)
    return path


def main() -> int:
    parser = common.parser(__doc__)
    parser.add_argument("figures", nargs="*", default=list(FIGURES), metavar="FIGURE")
    chosen = parser.parse_args().figures
    if unknown := sorted(set(chosen) - set(FIGURES)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    for name in chosen:
        path = make(name)
        if path is None:
            print(f"{name} is left out: its results are missing; `{FIGURES[name].source}`.")
        else:
            print(f"{path.relative_to(common.RESULTS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
