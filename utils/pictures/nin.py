"""The figures of chapter 4: D2L's runs, edges, losses, a fading signal, class maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from utils import plotting, results

WIDTH = 6.4  # inches: the letters can still be read on a telephone
GUESSING = math.log(10)  # the loss of a network that gives ten classes the same probability
# A run has the same colour and dashes in every figure.
RUNS = {
    **{"as in D2L": 0, "no ReLU on the logits": 1, "He's weights": 2, "He initialisation": 2},
    **{"no ReLU, He's weights": 3, "batch norm": 4, "biases of zero": 6},
}

# The rows of the lottery's figure, from the most stuck runs to none.
LOTTERY = ("d2l", "no_last_relu", "he", "he_no_last_relu", "batch_norm")


def _bare(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])


def _look(name: str, number: int) -> dict:
    """How the line of a run is drawn; `number` counts the lines, for names without a look."""
    number = RUNS.get(name, number % 6)
    look = {"color": plotting.COLOURS[number], "linestyle": plotting.DASHES[number]}
    if name == "as in D2L":  # broad and at the bottom, so that nothing is hidden under it
        return {**look, "linewidth": 4.0, "alpha": 0.45, "zorder": 1.5}
    return {**look, "linewidth": 1.8}


def published_runs() -> Figure:
    """D2L's published runs of NiN: one dot each, stacked where they end alike."""
    runs = [run for run in results.load("published/d2l_runs.csv") if run["network"] == "NiN"]
    accuracies = sorted(float(run["test_accuracy"]) for run in runs)
    heights: dict[int, int] = {}
    with plotting.style():
        figure, axis = plt.subplots(figsize=(WIDTH, 3.1), layout="constrained")
        for accuracy in accuracies:
            place = 2 * round(50 * accuracy)  # columns are two points wide
            heights[place] = heights.get(place, 0) + 1
            if accuracy <= 0.15:
                look = {"marker": "x", "color": "black", "markersize": 4.2, "mew": 1.6}
            else:
                colour = plotting.COLOURS[0]
                look = {"marker": "o", "mfc": "none", "color": colour, "markersize": 6.5}
            axis.plot(place, heights[place], **look)
        axis.axvline(10, linestyle=":", color="black", linewidth=1)
        count = heights[10]
        axis.annotate(
            f"{count} runs learned\nnothing", (10, count), (15, 17), fontsize=10,
            arrowprops={"arrowstyle": "->", "color": "black"},
        )  # fmt: skip
        axis.text(10.6, max(heights.values()) * 0.93, "guessing", fontsize=10)
        axis.set(xlabel="test accuracy after ten epochs (%)", xlim=(4, 94), yticks=[])
        axis.set_ylabel(f"{len(runs)} runs of one program")
    return figure


def edges(image: Tensor, maps: Tensor, names: Sequence[str]) -> Figure:
    """An image (H, W) and beside it maps (C, H, W) on one scale."""
    with plotting.style():
        figure, axes = plt.subplots(1, 1 + len(maps), figsize=(WIDTH, 2.0), layout="constrained")
        axes[0].imshow(image.numpy(), cmap="gray")
        for axis, one in zip(axes[1:], maps):
            picture = axis.imshow(one.numpy(), cmap="magma", vmin=0, vmax=float(maps.max()))
        for axis, name in zip(axes, ["image", *names], strict=True):
            axis.set_title(name)
            _bare(axis)
        figure.colorbar(picture, ax=axes, shrink=0.75, pad=0.01)
    return figure


def losses(runs: Mapping[str, Sequence[float]]) -> Figure:
    """The loss of short runs, smoothed over nine steps, with their names at the ends of the lines.

    A run whose loss leaves the figure, because it diverges, ends there with a cross.
    """
    with plotting.style():
        figure, axis = plt.subplots(figsize=(WIDTH, 3.3), layout="constrained")
        ends = []
        longest = max(len(values) for values in runs.values())
        for number, (name, values) in enumerate(runs.items()):
            values = list(itertools.takewhile(lambda value: value < 4, values))  # nan ends it too
            mean = [sum(values[max(0, n - 8) : n + 1]) / min(n + 1, 9) for n in range(len(values))]
            diverged = len(mean) < longest
            mean += [3.0] if diverged else []
            look = _look(name, number)
            colour = look["color"]
            axis.plot(mean, **look)
            if diverged:
                axis.plot(len(mean) - 1, mean[-1], "x", color=colour, markersize=9, mew=2.2)
            ends.append((mean[-1], len(mean) - 1, name, colour))
        guessing = axis.plot([0, longest - 1], [GUESSING] * 2, "k:", linewidth=1, label="ln 10")
        axis.legend(handles=guessing, loc="lower left")
        low, high = axis.get_ylim()
        low, high = min(low, 2.05), max(high, 2.4)  # a flat line shall look flat
        axis.set_ylim(low, high)
        room = 1.03 + 0.019 * max(map(len, runs))  # for the names at the right
        apart, lowest = (high - low) / 13, -math.inf
        for value, step, name, colour in sorted(ends):
            lowest = max(value, lowest + apart)
            axis.text(step + longest / 40, lowest, name, color=colour, va="center")
        axis.set(xlabel="step", ylabel="loss (mean of nine steps)", xlim=(0, room * longest))
        axis.set_xticks([tick for tick in axis.get_xticks() if 0 <= tick <= longest])
    return figure


def fading(starts: Mapping[str, Sequence]) -> Figure:
    """Size of the values and what differs between images, after each ReLU of several networks.

    Args:
        starts: for each network the rows of `diagnosis.activation_statistics`.
    """
    with plotting.style():
        figure, axes = plt.subplots(
            1, 2, figsize=(WIDTH, 3.6), sharex=True, sharey=True, layout="constrained"
        )
        for number, (name, rows) in enumerate(starts.items()):
            relus = [row for row in rows if row.kind == "ReLU"]
            look = _look(name, number)
            look |= {"marker": plotting.MARKERS[number], "markersize": 4.5, "label": name}
            places = range(1, len(relus) + 1)
            axes[0].semilogy(places, [math.hypot(row.mean, row.std) for row in relus], **look)
            axes[1].semilogy(places, [row.variation for row in relus], **look)
        axes[0].set_title("size of the values")
        axes[1].set_title("difference between images")
        axes[0].set_xticks(range(1, len(relus) + 1, 1 if len(relus) < 10 else 2))
        for axis in axes:
            axis.set_xlabel("ReLU")
            axis.grid(axis="y", color="0.88")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def inside_stuck_runs() -> Figure:
    """Loss, dead logits and difference between images in runs that got stuck, and with repairs.

    Drawn from results/lottery_nin.json: a line for each run, thick for the first seed.
    """
    entries = results.load("lottery_nin.json")["inside"]
    titles = {
        "loss": "loss\n",
        "dead_logits": "dead logits\nof 10",
        "variation": "difference\nbetween images",
    }
    with plotting.style():
        figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.2), layout="constrained")
        for axis, (key, title) in zip(axes, titles.items()):
            for number, entry in enumerate(entries.values()):
                look = _look(entry["label"], number)
                for place, run in enumerate(entry["runs"]):
                    label = entry["label"] if place == 0 else None
                    thin = {"linewidth": 0.6, "alpha": 0.6} if place else {}
                    axis.plot(run["steps"], run["looks"][key], label=label, **{**look, **thin})
            axis.set_title(title)
            axis.set_xlabel("step")
        axes[0].axhline(GUESSING, color="black", linestyle=":", linewidth=1)
        axes[2].set_yscale("log")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


def lottery() -> Figure:
    """The end of every run of the lottery: accuracy, and whether it got stuck or learned."""
    entries = results.load("lottery_nin.json")["variants"]
    rows = [entries[name] for name in LOTTERY if name in entries]
    marks = {
        "stuck": {"marker": "X", "color": "black", "markersize": 5.5, "mec": "white", "mew": 0.4},
        "slow": {"marker": "o", "color": plotting.COLOURS[4], "markersize": 4.5},
        "learned": {"marker": "o", "mfc": "none", "color": plotting.COLOURS[0], "markersize": 5.5},
    }
    names = {"stuck": "stuck", "slow": "slow: below 50%", "learned": "learned: 50% or more"}
    with plotting.style():
        figure, axis = plt.subplots(figsize=(WIDTH, 4.4), layout="constrained")
        for row, variant in enumerate(rows):
            runs = sorted(variant["runs"], key=lambda run: run["accuracy"])
            for number, run in enumerate(runs):
                height = row + ((number * 0.618) % 1 - 0.5) * 0.8
                axis.plot(100 * run["accuracy"], height, linestyle="", **marks[run["status"]])
        for status, look in marks.items():
            axis.plot([], [], linestyle="", label=names[status], **look)
        axis.axvline(10, color="black", linestyle=":", linewidth=1)
        axis.set_yticks(range(len(rows)), [v["label"].replace(", ", ",\n") for v in rows])
        axis.invert_yaxis()
        axis.set(xlabel="validation accuracy after two epochs (%)")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def class_maps(image: Tensor, maps: Tensor, classes: Sequence[str], title: str = "") -> Figure:
    """An image (H, W) and the map of each class (C, h, w) on one scale, with its mean as title."""
    low, high = float(maps.min()), float(maps.max())
    columns = -(-(len(maps) + 1) // 2)
    with plotting.style():
        figure, axes = plt.subplots(2, columns, figsize=(WIDTH, 3.0), layout="constrained")
        axes.flat[0].imshow(image.numpy(), cmap="gray")
        axes.flat[0].set_title("image", fontsize=9)
        means = maps.mean(dim=(1, 2))
        for number, (axis, one, name) in enumerate(zip(axes.flat[1:], maps, classes)):
            picture = axis.imshow(one.numpy(), cmap="viridis", vmin=low, vmax=high)
            best = number == int(means.argmax())
            mean = f"{float(means[number]):.1f}".replace("-0.0", "0.0").replace("-", "−")
            text = f"{name}\n{mean}"
            axis.set_title(text, fontsize=9, fontweight="bold" if best else "normal")
            if best:
                for spine in axis.spines.values():
                    spine.set(visible=True, linewidth=3)
        for axis in axes.flat:
            _bare(axis)
        for axis in list(axes.flat)[len(maps) + 1 :]:
            axis.set_visible(False)
        figure.colorbar(picture, ax=axes, shrink=0.8, pad=0.01)
        if title:
            figure.suptitle(title, fontsize=10.5)
    return figure


def _field(cell: int) -> tuple[int, int]:
    """First pixel and number of pixels that one cell of the class maps of nin_small sees.

    Kernel and stride of its layers are 5/2, 3/2, 3/1 and 3/1. A layer of kernel k adds (k - 1)
    times the strides before it: 5 + 2·2 + 2·4 + 2·4 = 25. Cells are 4 pixels apart.
    """
    return 4 * cell - 10, 25


def what_a_cell_sees(images: Tensor, maps: Tensor, titles: Sequence[str]) -> Figure:
    """Images (N, H, W), each with the highest cell of a 7×7 map and the pixels that it sees."""
    with plotting.style():
        figure, axes = plt.subplots(1, len(images), figsize=(WIDTH, 2.6), layout="constrained")
        for axis, image, one, title in zip(axes, images, maps, titles):
            row, column = divmod(int(one.argmax()), one.shape[-1])
            axis.imshow(image.numpy(), cmap="gray")
            cell = Rectangle(
                (4 * column - 0.5, 4 * row - 0.5), 4, 4, fill=False, lw=2.5, ec="#E69F00"
            )
            (top, side), (left, _) = _field(row), _field(column)
            box = Rectangle(
                (left - 0.5, top - 0.5), side, side, fill=False, lw=1.6, ls="--", ec="#56B4E9"
            )
            axis.add_patch(cell)
            axis.add_patch(box)
            axis.set(xlim=(-11, 39), ylim=(39, -11), facecolor="0.8")
            axis.set_title(title)
            _bare(axis)
    return figure


def without_1x1() -> Figure:
    """Accuracy with and without 1×1 layers: a dot for each run, a line for each seed."""
    entries = results.load("without_1x1.json")["networks"]
    labels = {"mlpconv": "mlpconv", "linear": "without 1×1", "linear_wide": "without 1×1,\nwider"}
    with plotting.style():
        figure, axis = plt.subplots(figsize=(WIDTH, 3.0), layout="constrained")
        runs = [entries[name]["accuracy"]["runs"] for name in labels]
        for values in zip(*runs):
            axis.plot([100 * value for value in values], "-", color="0.7", linewidth=1)
        for place, values in enumerate(runs):
            look = {"marker": plotting.MARKERS[place], "color": plotting.COLOURS[place]}
            axis.plot(
                [place] * len(values),
                [100 * v for v in values],
                linestyle="",
                ms=8,
                mfc="none",
                **look,
            )
        names = [
            f"{text}\n{entries[name]['macs'] / 1e6:.1f} M MACs" for name, text in labels.items()
        ]
        axis.set_xticks(range(len(names)), names)
        axis.set(ylabel="validation accuracy (%)", xlim=(-0.5, len(names) - 0.5))
    return figure


def normalised(before: Tensor, after: Tensor) -> Figure:
    """Mean and standard deviation of each channel before and after batch norm; (N, C, H, W)."""
    with plotting.style():
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.8), sharey=True, layout="constrained")
        for axis, maps, title in zip(axes, (before, after), ("before", "after batch norm")):
            spread, mean = maps.std(dim=(0, 2, 3)).tolist(), maps.mean(dim=(0, 2, 3)).tolist()
            axis.errorbar(
                range(len(mean)), mean, yerr=spread, fmt="o", color=plotting.COLOURS[0],
                markersize=5, elinewidth=1.8, capsize=4,
            )  # fmt: skip
            axis.axhline(0, color="0.6", linewidth=0.8)
            axis.set(title=title, xlabel="channel", xticks=range(len(mean)))
        axes[0].set_ylabel("mean ± standard deviation")
    return figure
