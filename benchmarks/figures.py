"""Draws the figures of README and docs/evidence.md, most from the files in results/.

    python -m benchmarks.figures            # all of them, into results/figures/
    python -m benchmarks.figures growth     # one

A figure is a pair of functions: the first reads what is to be drawn from results/, the second
draws it. The PNG holds a fingerprint of what was drawn, so that a test can tell whether the results
have changed since. A figure whose results are missing is left out with a message.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable
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
from utils.networks import pretrained
from utils.plotting.runs import spread
from utils.topics import photos

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
# The form for which D2L chose LeNet's rate is beside ours under both recipes.
UNDER_TWO_RECIPES = {"lenet": "LeNet", "lenet_sigmoid": "LeNet, sigmoid", **NAMES}
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


def rows(axis: plt.Axes, names: Iterable[str]) -> None:
    """One row for each name, the first at the top."""
    names = list(names)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)


def grid(axis: plt.Axes) -> None:
    axis.grid(axis="x", color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)


def mark(label: str, shape: str, colour: str, **look: Any) -> Line2D:
    """A dot of the legend."""
    return Line2D(
        [], [], linestyle="", marker=shape, color=colour, label=label, **{"markersize": 5} | look
    )


def line(label: str, colour: str = "black", **look: Any) -> Line2D:
    """A line of the legend."""
    return Line2D([], [], color=colour, label=label, **look)


def median_of(runs: list[float], digits: int = 4) -> float:
    return common.summarise(runs, digits)["median"]


def finish_accuracy(axes: list[plt.Axes], names: list[str], handles: list[Line2D]) -> None:
    rows(axes[0], names)
    axes[-1].set_xlabel("test accuracy on Fashion-MNIST")
    between = [row + 0.5 for row in range(len(names) - 1)]
    for axis in axes:
        digits = 1 if axis.get_xlim()[1] == BREAK else 2
        axis.xaxis.set_major_formatter(lambda value, _, digits=digits: short(value, digits))
        grid(axis)
        axis.hlines(between, *axis.get_xlim(), color="0.8", linewidth=0.6)
    handles = [*handles, line("median", linewidth=2)]
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8)


def short(accuracy: float, digits: int = 3) -> str:
    return f"{accuracy:.{digits}f}".removeprefix("0")


def median_mark(
    axes: list[plt.Axes], runs: list[float], row: float, below: bool, half: float = 0.12
) -> None:
    """A black bar at the median, with its value above it or below it."""
    median = median_of(runs)
    axis = axes[0] if median < BREAK else axes[-1]
    axis.plot([median, median], [row - half, row + half], color="black", linewidth=2, zorder=4)
    axis.annotate(
        short(median),
        (median, row + (half + 0.01 if below else -half - 0.01)),
        ha="center",
        va="top" if below else "bottom",
        fontsize=7.5,
    )


def dots(axes: list[plt.Axes], values: list[float], heights: list[float], **look: Any) -> None:
    for value, height in zip(values, heights):
        axis = axes[0] if value < BREAK else axes[-1]
        axis.scatter(value, height, linewidths=0.8, clip_on=False, **look)


# --- accuracy -------------------------------------------------------------------------------------


def accuracy_data() -> dict | None:
    """Test accuracy of each of our runs, and of each of D2L's stored runs of the same family."""
    theirs: dict[str, list[float]] = {}
    for run in results.load("published/d2l_runs.csv"):
        theirs.setdefault(run["network"], []).append(float(run["test_accuracy"]))
    accuracies = {}
    for name, shown in NAMES.items():
        ours = common.read(f"accuracy/{name}.json")
        if ours is None:
            return None
        accuracies[shown] = {"ours": ours["test_accuracy"]["runs"]}
        if name in PUBLISHED:
            accuracies[shown]["d2l"] = sorted(theirs[PUBLISHED[name]])
    return accuracies


def draw_accuracy(accuracies: dict) -> Figure:
    lowest = min(min(runs) for sources in accuracies.values() for runs in sources.values())
    figure, axes = accuracy_axes(len(accuracies), lowest)
    looks = {
        "d2l": dict(s=9, marker="o", facecolors="none", edgecolors="0.45"),
        "ours": dict(s=22, marker="D", facecolors=OURS, edgecolors="white", zorder=3),
    }
    for row, sources in enumerate(accuracies.values()):
        for source, runs in sources.items():
            middle = row
            if len(sources) > 1:
                middle += 0.17 if source == "d2l" else -0.13
            heights = [middle + 0.4 * shift for shift in spread(len(runs))]
            dots(axes, runs, heights, **looks[source])
            median_mark(axes, runs, middle, below=source == "d2l")
    handles = [
        mark("a run of the course's small network", "D", OURS),
        mark("a run stored in D2L's notebooks, its own network", "o", "0.45",
             markerfacecolor="none", markersize=4),
    ]  # fmt: skip
    finish_accuracy(axes, list(accuracies), handles)
    return figure


# --- recipe or architecture -----------------------------------------------------------------------


def recipe_data() -> dict | None:
    """Pairs of accuracies, one for each seed: D2L's recipe, and the course's."""
    stored = common.read(recipe.FILE)
    if stored is None:
        return None
    return {
        shown: [
            [run["test_accuracy"], round(run["test_accuracy"] + points / 100, 4)]
            for run, points in zip(network["runs"], network["difference"]["runs"])
        ]
        for name, shown in UNDER_TWO_RECIPES.items()
        if (network := stored["networks"].get(name))
    }


def draw_recipe(accuracies: dict) -> Figure:
    lowest = min(min(pair) for pairs in accuracies.values() for pair in pairs)
    figure, axes = accuracy_axes(len(accuracies), lowest)
    for row, pairs in enumerate(accuracies.values()):
        heights = [row + 0.7 * shift for shift in spread(len(pairs))]
        for axis in axes:
            for pair, height in zip(pairs, heights):
                axis.plot(pair, [height, height], color="0.75", linewidth=0.8, zorder=1)
        theirs, ours = ([pair[side] for pair in pairs] for side in (0, 1))
        dots(axes, theirs, heights, s=24, marker="o", facecolors="white", edgecolors=OTHERS)
        dots(axes, ours, heights, s=22, marker="D", facecolors=OURS, edgecolors="white", zorder=3)
        for runs in (theirs, ours):
            median_mark(axes, runs, row, below=runs is theirs, half=0.24)
    handles = [
        mark("D2L's recipe", "o", OTHERS, markerfacecolor="white"),
        mark("the course's recipe, same network and seed", "D", OURS),
    ]
    finish_accuracy(axes, list(accuracies), handles)
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
# Kinds of memory: dashes, the face of the marker (None: filled), and what the legend says.
MEMORY = {
    "resident_mb": ("--", "white", "below: held by the process"),
    "live_mb": ("-", None, "all tensors"),
    "saved_mb": (":", None, "kept for the backward pass"),
    "data_mb": ("-.", None, "the data"),
}


def growth_data() -> dict | None:
    """For each series and network: seconds (all rounds), MACs and MB at every point."""
    stored = common.read("growth.json")
    if stored is None:
        return None
    return {
        series: {
            name: {
                x: {"seconds": point["seconds"]["runs"]}
                | {key: point[key] for key in ("macs", *MEMORY) if key in point}
                for x, point in stored[series][name]["points"].items()
            }
            for name in SHOWN
            if name in stored[series]
        }
        for series in COLUMNS
    }


def draw_network(upper: plt.Axes, lower: plt.Axes, points: dict, images: bool, look: dict) -> None:
    """Times and memory of one network; `images`: what grows is the number of images."""
    x = [int(size) for size in points]
    times = [point["seconds"] for point in points.values()]
    medians = [median_of(runs, 5) for runs in times]
    upper.vlines(x, list(map(min, times)), list(map(max, times)), color="0.6", linewidth=3)
    upper.plot(x, medians, linestyle="-", **look)
    # What grows as the MACs do (in the last column: as the images do), through the last point.
    work = x if images else [point["macs"] for point in points.values()]
    scaled = [medians[-1] * amount / work[-1] for amount in work]
    upper.plot(x, scaled, linestyle=":", color="0.35", linewidth=1.2)
    for key, (dash, face, _) in MEMORY.items():
        shown = not (images and key in ("live_mb", "saved_mb"))
        if shown and all(key in point for point in points.values()):
            values = [point[key] for point in points.values()]
            more = {} if face is None else {"markerfacecolor": face}
            lower.plot(x, values, linestyle=dash, linewidth=1.2, **look, **more)


def draw_growth(measured: dict) -> Figure:
    figure, axes = plt.subplots(
        2, 4, figsize=(plotting.WIDTH, 4.9), sharex="col", layout="constrained"
    )
    for column, (series, nets) in enumerate(measured.items()):
        upper, lower = axes[:, column]
        title, xlabel = COLUMNS[series]
        for number, (name, points) in enumerate(nets.items()):
            colour, shape = plotting.COLOURS[number], plotting.MARKERS[number]
            look = dict(color=colour, marker=shape, markersize=4.5, label=SHOWN[name])
            draw_network(upper, lower, points, series == "images", look)
        for axis in (upper, lower):
            axis.set(xscale="log", yscale="log")
            # One, two and five times a power of ten, as plain numbers.
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.grid(color="0.92", linewidth=0.6)
        ticks = [int(size) for size in next(iter(nets.values()))]
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
        line("above: fastest to slowest round", "0.6", linewidth=3),
        line("if time grew as the MACs do", "0.35", linestyle=":"),
    ]
    for dash, face, label in MEMORY.values():
        more = {} if face is None else {"markerfacecolor": face}
        handles.append(line(label, linestyle=dash, marker="o", markersize=4.5, **more))
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


def of_speed(part: str, names: dict[str, str]) -> dict[str, dict]:
    """What speed.json says in one of its parts, by the name that is shown."""
    networks = (common.read("speed.json") or {}).get(part, {})
    return {shown: networks[name] for name, shown in names.items() if name in networks}


def speed_data() -> dict | None:
    """For each network the paired ratios to d2l and to the plain loop."""
    return {
        shown: {rival: ratio["runs"] for rival, ratio in network["ratio"].items()}
        for shown, network in of_speed("epochs", NAMES | LARGE).items()
    } or None


def draw_speed(ratios: dict) -> Figure:
    size = (plotting.WIDTH, 0.42 * len(ratios) + 1.2)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    looks = {
        "d2l": dict(s=24, marker="o", facecolors="white", edgecolors=OTHERS),
        "torchvision": dict(s=22, marker="D", facecolors=OURS, edgecolors="white", zorder=3),
    }
    for row, rivals in enumerate(ratios.values()):
        for rival, runs in rivals.items():
            height = row + (-0.17 if rival == "d2l" else 0.17)
            axis.scatter(runs, [height] * len(runs), **looks[rival])
            bar = [height - 0.15, height + 0.15]
            axis.plot([median_of(runs)] * 2, bar, color="black", linewidth=2, zorder=4)
    axis.axvline(1, color="0.35", linewidth=1, linestyle="--", zorder=0)
    rows(axis, ratios)
    axis.set_xlabel("time of the other code, as a multiple of ours (dashed: equally fast)")
    grid(axis)
    handles = [
        mark("d2l's loader and train_ch6", "o", OTHERS, markerfacecolor="white"),
        mark("DataLoader and plain loop", "D", OURS),
        line("median", linewidth=2),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8)
    return figure


def step_data() -> dict | None:
    """For each network the parts of a training step, its milliseconds and its share of the rate."""
    return {
        shown: {
            "parts": profile["parts"],
            "milliseconds": profile["step_milliseconds"]["median"],
            "share_of_matmul": profile["share_of_matmul"],
        }
        for shown, profile in of_speed("profile", NAMES).items()
    } or None


def draw_step(profiles: dict) -> Figure:
    size = (plotting.WIDTH, 0.42 * len(profiles) + 1.4)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    for row, profile in enumerate(profiles.values()):
        left = 0.0
        for part, (fill, hatch) in FILLS.items():
            share = 100 * profile["parts"][part]
            axis.barh(
                row, share, left=left, height=0.7, color=fill, hatch=hatch, edgecolor="black",
                linewidth=0.6, label=part if row == 0 else None,
            )  # fmt: skip
            left += share
        text = f"{profile['milliseconds']:.0f} ms, {profile['share_of_matmul']:.0%}"
        axis.annotate(text, (101, row), va="center", fontsize=8, annotation_clip=False)
    axis.set_title("a step, share of the\nmatrix product's rate", loc="right", fontsize=8)
    rows(axis, profiles)
    axis.set_xlim(0, 116)
    axis.set_xticks(range(0, 101, 20))
    axis.set_xlabel("share of the time of a training step (%)")
    figure.legend(loc="outside upper center", ncols=5, fontsize=8, handlelength=2.5)
    return figure


# --- README: where a network looks ----------------------------------------------------------------

LOOKED_AT = ("chelsea", "coffee", "astronaut")


def looks_data() -> dict:
    """The photographs and the weights, by the sums of their files: a figure from no results."""
    shown = [photos.FOLDER / f"{name}.jpg" for name in LOOKED_AT]
    files = [*shown, pretrained.FOLDER / "efficientnet_lite0.pt.gz"]
    sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return {"photographs": LOOKED_AT, "sums": sums}


def draw_looks(drawn: dict) -> Figure:
    network, names = photos.network_for("efficientnet_lite0"), pretrained.class_names("en")
    photographs = [photos.example(name) for name in drawn["photographs"]]
    ratios = [photograph.width / photograph.height for photograph in photographs]
    figure, axes = plt.subplots(
        *(1, len(ratios)), figsize=(plotting.WIDTH, 0.3 + 0.97 * plotting.WIDTH / sum(ratios)),
        layout="constrained", width_ratios=ratios,
    )  # fmt: skip
    for axis, photograph in zip(axes, photographs):
        (best,) = photos.answers(network, photograph, 1)
        (map,) = photos.class_maps(network, photograph, [best.number])
        pixels = pretrained.as_bytes(photograph)[0]
        plotting.overlay(axis, pixels, map, title=f"“{names[best.number]}”", peak=False)
    return figure


# --- time to accuracy -----------------------------------------------------------------------------

# What the legend says of each way beside the speedruns, its dashes and its marker.
TO_ACCURACY = {
    "resnet_small": ("the course's ResNet", ":", "^"),
    "googlenet_small": ("the course's GoogLeNet", "-.", "v"),
    "fastai_cnn": ("fastai, SimpleCNN", "-", "o"),
    "fastai_xresnet": ("fastai, XResNet", "--", "P"),
    "miniai": ("miniai's lesson in fastai", ":", "X"),
    "plain_loop": ("a plain loop", "-.", "*"),
    "lenet_d2l": ("D2L, LeNet", "--", "<"),
    "resnet18_d2l": ("D2L, ResNet-18 at 96 pixels", ":", ">"),
}


def time_to_accuracy_data() -> dict | None:
    """For each way the curves of its runs, as pairs of processor seconds and accuracy."""
    stored = common.read("time_to_accuracy.json")
    if stored is None:
        return None
    curves = {
        name: [
            [[point["processor_seconds"], point["test_accuracy"]] for point in run["curve"]]
            for run in stored["ways"][name]["runs"]
        ]
        for name in stored["ways"]
        if stored["ways"][name]["runs"]
    }
    return {"curves": curves, "targets": stored["targets"]}


def draw_time_to_accuracy(measured: dict) -> Figure:
    lowest = min(measured["targets"]) - 0.08  # D2L's LeNet ends there
    figure, axis = plt.subplots(figsize=(plotting.WIDTH, 4.4), layout="constrained")
    axis.hlines(measured["targets"], 0, 1, transform=axis.get_yaxis_transform(), color="0.85",
                linewidth=0.8)  # fmt: skip
    ends = {}  # of the speedruns, recipe by recipe: of each run the last point
    for name, runs in measured["curves"].items():
        if name.startswith("speedrun_"):
            ends[name] = [run[-1] for run in runs]
            continue
        label, dash, shape = TO_ACCURACY[name]
        colour = OTHERS if name in NAMES else "0.35"
        for number, run in enumerate(runs):
            seconds, accuracies = zip(*([p for p in run if p[1] >= lowest] or [(math.nan,) * 2]))
            axis.plot(
                seconds, accuracies, linestyle=dash, color=colour, marker=shape, markersize=4.5,
                markerfacecolor="white", linewidth=1, label=None if number else label,
            )  # fmt: skip
    if ends:
        medians = sorted([statistics.median(v) for v in zip(*points)] for points in ends.values())
        axis.plot(*zip(*medians), color=OURS, linewidth=1.6, zorder=3)
        axis.scatter(
            *zip(*(point for points in ends.values() for point in points)), s=30, marker="D",
            facecolors=OURS, edgecolors="white", linewidths=0.8, zorder=4,
            label="speedrun: the end of a run",
        )  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(lowest, HIGHEST)
    axis.set_yticks(measured["targets"])
    axis.yaxis.set_major_formatter(lambda value, _: short(value, 2))
    axis.set_xlabel("processor seconds since the start of training, one thread")
    axis.set_ylabel("test accuracy on Fashion-MNIST")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, handlelength=3)
    return figure


# --- all of them ----------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """A figure: what it needs, how it is drawn, and where that comes from."""

    data: Callable[[], dict | None]  # None where results are missing
    draw: Callable[[dict], Figure]
    source: str  # what to run for the results
    dpi: int = 140


FIGURES = {
    "accuracy": Drawn(accuracy_data, draw_accuracy, "python -m benchmarks.accuracy"),
    "recipe": Drawn(recipe_data, draw_recipe, "python -m benchmarks.recipe"),
    "speed": Drawn(speed_data, draw_speed, "python -m benchmarks.speed"),
    "step": Drawn(step_data, draw_step, "python -m benchmarks.speed"),
    "time_to_accuracy": Drawn(
        time_to_accuracy_data, draw_time_to_accuracy, "python -m benchmarks.time_to_accuracy"
    ),
    "growth": Drawn(growth_data, draw_growth, "python -m benchmarks.growth"),
    "looks": Drawn(looks_data, draw_looks, "nothing: it needs no results", dpi=100),
}


def fingerprint(drawn: dict) -> str:
    """The same for the same data, in whatever order a file had been written."""
    text = json.dumps(drawn, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def drawn_from(path: Path) -> str | None:
    """The fingerprint of the data that a stored PNG shows."""
    with Image.open(path) as image:
        return image.text.get(KEY)


def make(name: str, folder: Path | None = None) -> Path | None:
    """Draw one figure; None where its results are missing."""
    drawn = FIGURES[name].data()
    if drawn is None:
        return None
    folder = folder or results.FOLDER / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    with plotting.style():
        figure = FIGURES[name].draw(drawn)
        # Software is left out: it would tell matplotlib's version and differ without a reason.
        metadata = {"Software": None, KEY: fingerprint(drawn)}
        figure.savefig(path, dpi=FIGURES[name].dpi, metadata=metadata)
    plt.close(figure)
    return path


def main() -> int:
    for name in common.parser(__doc__, names=FIGURES).parse_args().names:
        path = make(name)
        if path is None:
            print(f"{name} is left out: its results are missing; `{FIGURES[name].source}`.")
        else:
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
