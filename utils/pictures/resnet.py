"""The figures of chapter 08, ResNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils import plotting

NAMES = {"plain": "plain", "resnet": "residual"}
DARK = "#333333"


def _guessing(axis: Axes, *, right: bool = False) -> None:
    """A line at the error of guessing among ten classes."""
    axis.axhline(90, color="0.5", linewidth=0.9, linestyle=":")
    look = {"va": "bottom", "ha": "right" if right else "left", "fontsize": 9, "color": "0.3"}
    axis.text(0.99 if right else 0.01, 90, "guessing", transform=axis.get_yaxis_transform(), **look)


# --- depth ----------------------------------------------------------------------------------------


def plain_losses(networks: Mapping[str, Mapping]) -> Figure:
    """Training loss of plain networks after each epoch: median of the seeds, best to worst."""
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.3)
        for number, depth in enumerate((20, 56, 110)):
            runs = np.array([run["loss"] for run in networks[f"plain{depth}"]["runs"]])
            epochs, middle = np.arange(1, runs.shape[1] + 1), np.median(runs, axis=0)
            look = plotting.line(number)
            axis.fill_between(
                epochs, runs.min(axis=0), runs.max(axis=0), color=look["color"], alpha=0.15, lw=0
            )
            axis.plot(epochs, middle, **look)
            axis.annotate(
                f"{depth} layers" + ("\n(guessing)" if depth == 110 else ""),
                (epochs[-1], middle[-1]),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                color=look["color"],
                fontweight="bold",
            )
        axis.set(xlabel="epoch", ylabel="loss on the training images", ylim=(0, 2.75))
        axis.set(xlim=(0.8, 12.1), xticks=range(1, 11))
    return figure


def by_depth(networks: Mapping[str, Mapping], depths: Sequence[int] = (20, 56, 110)) -> Figure:
    """Training and validation error of plain and residual networks: seeds and their median."""
    with plotting.style(dpi=88, title=11):
        figure, axes = plotting.axes(columns=2, height=3.5, sharey=True)
        for axis, key in zip(axes, ("train_error", "validation_error")):
            for number, kind in enumerate(NAMES):
                look = plotting.line(number)
                places = np.arange(len(depths)) + (-0.13, 0.13)[number]
                entries = [networks[f"{kind}{depth}"][key] for depth in depths]
                axis.plot(
                    places,
                    [100 * e["median"] for e in entries],
                    label=NAMES[kind],
                    zorder=3,
                    **look,
                )
                for place, entry in zip(places, entries):
                    axis.scatter(
                        [place] * len(entry["runs"]),
                        [100 * run for run in entry["runs"]],
                        s=30,
                        marker=look["marker"],
                        facecolors="none",
                        edgecolors=look["color"],
                        linewidths=0.9,
                    )
            axis.set_xticks(range(len(depths)), depths)
            axis.set(xlabel="layers", ylim=(0, 99), xlim=(-0.5, len(depths) - 0.5))
            axis.set_title("training images" if key == "train_error" else "new images")
            _guessing(axis)
        axes[0].set_ylabel("error (%)")
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
        )
    return figure


# --- the block ------------------------------------------------------------------------------------

_BASIC = [
    ("3×3 convolution", "conv"),
    ("batch norm", "pool"),
    ("ReLU", "pool"),
    ("3×3 convolution", "conv"),
    ("batch norm", "pool"),
]
_THIN = [
    ("1×1, to a quarter", "1x1"),
    ("batch norm, ReLU", "pool"),
    ("3×3 convolution", "conv"),
    ("batch norm, ReLU", "pool"),
    ("1×1, to all channels", "1x1"),
    ("batch norm", "pool"),
]
_BEFORE = [
    ("batch norm", "pool"),
    ("ReLU", "pool"),
    ("3×3 convolution", "conv"),
    ("batch norm", "pool"),
    ("ReLU", "pool"),
    ("3×3 convolution", "conv"),
]
_START, _END, _PLUS = ("maps", "input"), ("maps", "output"), ("+", "output")
COLUMNS = {
    "plain block": [_START, *_BASIC, ("ReLU", "pool"), _END],
    "residual block": [_START, *_BASIC, _PLUS, ("ReLU", "pool"), _END],
    "bottleneck": [_START, *_THIN, _PLUS, ("ReLU", "pool"), _END],
    "pre-activation": [_START, *_BEFORE, _PLUS, _END],
}


def blocks(*names: str) -> Figure:
    """Blocks side by side; the bent arrow is the shortcut, from the input to the addition."""
    figure = plotting.blocks({name: COLUMNS[name] for name in names})
    axis = figure.axes[0]
    for number, name in enumerate(names):
        if _PLUS not in COLUMNS[name]:
            continue
        x, low = 3.2 * number + 1.25, -0.4 * COLUMNS[name].index(_PLUS)
        axis.plot([x, x + 0.28, x + 0.28], [0, 0, low], color="#D55E00", lw=2.2)
        axis.annotate(
            "", (x - 0.02, low), (x + 0.28, low),
            arrowprops={"arrowstyle": "-|>", "color": "#D55E00", "lw": 2.2, "shrinkA": 0},
        )  # fmt: skip
        axis.text(
            x + 0.36, low / 2, "shortcut", rotation=90, va="center", color="#D55E00", fontsize=9
        )
    axis.set_xlim(-1.4, 3.2 * len(names) - 1.1)
    for text in axis.texts:
        text.set_fontsize(10)
        if behind := text.get_bbox_patch():  # wide enough to keep hatches away from the letters
            behind.set_boxstyle("square", pad=0.25)
    figure.set_size_inches(2.7 * len(names) + 0.2, figure.get_figheight())
    figure.set_dpi(88)
    return figure


def identity(errors: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Errors of blocks while they learn to pass on their input; a line for each seed.

    An error is the squared difference to the input, divided by the square of the input.
    """
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.2)
        for number, (name, runs) in enumerate(errors.items()):
            for index, run in enumerate(runs):
                look = plotting.line(number, marker="") | {"alpha": 1 if index == 0 else 0.45}
                steps = range(1, len(run) + 1)
                axis.plot(steps, np.maximum(run, 1e-9), label=name if index == 0 else None, **look)
        axis.set(yscale="log", xlabel="step", ylabel="error", ylim=(1e-9, 20))
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


# --- inside ---------------------------------------------------------------------------------------


def gradients(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """Size of each block's gradient, as a multiple of the last block's in the same network."""
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.2)
        for number, (name, values) in enumerate(sizes.items()):
            parts = np.array(values) / values[-1]
            axis.plot(
                range(1, len(parts) + 1), parts, label=name, **plotting.line(number, markersize=4)
            )
        axis.axhline(1, color="0.5", lw=0.9, ls=":")
        axis.set(yscale="log", xlabel="block, from the input (1) to the end (27)")
        axis.set_ylabel("gradient / that of the last block")
        axis.annotate(
            "the gradient moves\nfrom here to the left", (27, 1), (17.2, 0.08), fontsize=9,
            arrowprops={"arrowstyle": "->", "color": DARK}, color=DARK,
        )  # fmt: skip
        axis.set_ylim(bottom=0.03)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def growth(found: Mapping[str, Sequence[Sequence[float]]], expected: float) -> Figure:
    """By how much the gradient grows in each layer of a block, on its way back through the block.

    Args:
        found: for each network the runs of several seeds; a run has a number for blocks 2, 3, ….
            The line is the median, the band goes from the lowest to the highest.
        expected: what a single layer does; a dotted line.
    """
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.4)
        for number, (name, runs) in enumerate(found.items()):
            values = np.array([list(map(float, run)) for run in runs])
            blocks = np.arange(2, values.shape[1] + 2)
            look = plotting.line(number, markersize=4)
            low, high = values.min(axis=0), values.max(axis=0)
            axis.fill_between(blocks, low, high, color=look["color"], alpha=0.15, lw=0)
            axis.plot(blocks, np.median(values, axis=0), label=name, **look)
        for height, text in ((expected, f"one layer: {expected:.2f}"), (1, "no growth: 1")):
            axis.plot([1, 27.6], [height, height], color=DARK, lw=1, ls=":")
            axis.text(28, height, text, va="center", fontsize=9, color=DARK)
        axis.set(xlabel="block that the gradient passes, from right to left", xlim=(1, 33.5))
        axis.set(ylabel="gradient grows, times", xticks=(2, 10, 19, 27))
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def first_steps(ratios: Mapping[str, Sequence[float]]) -> Figure:
    """The gradient of the first block, as a multiple of the last one's, before each step."""
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.0)
        for number, (name, values) in enumerate(ratios.items()):
            look = plotting.line(number, markersize=4)
            axis.plot(range(len(values)), values, label=name, **look)
        axis.axhline(1, color="0.5", lw=0.9, ls=":")
        axis.set(yscale="log", xlabel="steps of training before")
        axis.set_ylabel("gradient of block 1 / block 27")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def neighbours(found: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """How often the nearest neighbour of an image has its label: pixels (0), then each block."""
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.2)
        for number, (name, runs) in enumerate(found.items()):
            for index, run in enumerate(runs):
                look = plotting.line(number, markersize=4) | {"alpha": 1 if index == 0 else 0.45}
                shares = [100 * share for share in run]
                axis.plot(range(len(run)), shares, label=name if index == 0 else None, **look)
        axis.axhline(10, color="0.5", lw=0.9, ls=":")
        axis.text(0, 10, "guessing", va="bottom", fontsize=9, color="0.3")
        axis.set(xlabel="block (0: the pixels)", ylim=(0, 100), xticks=(0, 9, 18, 27))
        axis.set_ylabel("same label (%)")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def spreads(found: Mapping[str, Sequence[float]]) -> Figure:
    """Spread of the maps after each block, as a multiple of that after the first one."""
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.8)
        for number, (name, values) in enumerate(found.items()):
            parts = np.array(values) / values[0]
            axis.plot(
                range(1, len(parts) + 1), parts, label=name, **plotting.line(number, markersize=4)
            )
        axis.axhline(1, color="0.5", lw=0.9, ls=":")
        axis.set(yscale="log", xlabel="block (1 to 27)")
        axis.set_ylabel("spread / after block 1")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def pushes(found: Mapping[str, Sequence[float]]) -> Figure:
    """Which share of a push at the input still arrives after each block."""
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.2)
        for number, (name, values) in enumerate(found.items()):
            axis.plot(
                range(len(values)),
                [100 * value for value in values],
                label=name,
                **plotting.line(number, markersize=4),
            )
        axis.axhline(0, color="0.5", lw=0.9, ls=":")
        axis.set(xlabel="blocks passed", ylabel="share of the push that arrives (%)")
        axis.set(ylim=(-15, 115), xlim=(-0.5, 20.5), xticks=range(0, 21, 5))
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def branch_sizes(found: Mapping[str, Sequence[float]]) -> Figure:
    """Size of each branch's output beside what passes on the shortcut."""
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.2)
        for number, (name, values) in enumerate(found.items()):
            axis.plot(
                range(1, len(values) + 1), values, label=name, **plotting.line(number, markersize=4)
            )
        count = len(values)
        for start in (count / 3 + 0.5, 2 * count / 3 + 0.5):
            axis.axvline(start, color="0.6", lw=0.9, ls=":")
            axis.text(start + 0.1, 0.02, "next stage", fontsize=9, color="0.3")
        axis.set(xlabel="block", xticks=range(1, count + 1))
        axis.set(ylabel="size of branch / shortcut", ylim=(0, None))
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


# --- blocks taken away ----------------------------------------------------------------------------


def _short(place: str) -> str:
    return place.replace("stage", "").replace(".block", ".").replace("_block", ".")


def missing(left: Mapping[str, float], whole: float) -> Figure:
    """Points of accuracy lost with each block taken away."""
    with plotting.style(dpi=88, title=11):
        figure, (axis,) = plotting.axes(height=3.1)
        losses = [100 * (whole - value) for value in left.values()]
        axis.bar(range(len(losses)), losses, color=plotting.COLOURS[0], edgecolor=DARK, lw=0.6)
        axis.axhline(0, color=DARK, lw=0.9)
        axis.set_xticks(range(len(losses)), [_short(name) for name in left], rotation=90)
        axis.set(xlabel="stage.block taken away", ylabel="accuracy lost (points)")
        for place, name in enumerate(left):
            if name.endswith("block2") and "stage1" not in name:
                axis.axvline(place - 0.5, color="0.6", lw=0.9, ls=":")
        axis.set_title(f"all blocks: {whole:.1%} right", loc="right")
    return figure


def missing_by_kind(networks: Mapping[str, Mapping]) -> Figure:
    """Points by which the error rises with one block missing: all blocks and seeds, and medians."""
    with plotting.style(dpi=88, title=11):
        figure, axes = plotting.axes(columns=2, height=3.5, sharey=True)
        for axis, depth in zip(axes, (20, 56)):
            for number, kind in enumerate(NAMES):
                rises = _rises(networks[f"{kind}{depth}"])
                look = plotting.line(number)
                spread = np.linspace(-0.28, 0.28, len(rises))
                order = np.argsort(np.argsort(rises, kind="stable") * 7919 % len(rises))
                axis.scatter(
                    number + spread[order],
                    rises,
                    s=13,
                    marker=look["marker"],
                    facecolors="none",
                    edgecolors=look["color"],
                    linewidths=0.8,
                )
                middle = np.median(rises)
                axis.plot([number - 0.38, number + 0.38], [middle] * 2, color="black", lw=2.2)
                axis.text(number + 0.4, middle, f" {middle:.0f}", va="center", fontweight="bold")
            wholes = [networks[f"{kind}{depth}"]["damage"]["whole"]["median"] for kind in NAMES]
            labels = [
                f"{name}\n(whole: {100 * whole:.0f} %)"
                for name, whole in zip(NAMES.values(), wholes)
            ]
            axis.set_xticks(range(2), labels)
            axis.axhline(0, color="0.5", lw=0.9, ls=":")
            axis.set(title=f"{depth} layers", xlim=(-0.6, 1.75))
        axes[0].set_ylabel("error rises by (points)")
    return figure


def _rises(network: Mapping) -> np.ndarray:
    damages = [run["damage"] for run in network["runs"]]
    return np.array(
        [100 * (error - run["whole"]) for run in damages for error in run["without"].values()]
    )


# --- how a branch starts --------------------------------------------------------------------------


def starts(panels: Mapping[str, Mapping[str, Mapping]]) -> Figure:
    """Training error of every seed, a panel for each depth, a column for each way to start.

    Args:
        panels: title of the panel; in it, label of the column and its entry of results/resnet.json.
            A run whose loss was no number is a cross at the top.
    """
    with plotting.style(dpi=88, title=11):
        figure, axes = plotting.axes(columns=len(panels), height=3.6, sharey=True)
        for axis, (title, columns) in zip(axes, panels.items()):
            for number, entry in enumerate(columns.values()):
                look = plotting.line(number)
                lost = [run for run in entry["runs"] if run["status"] == "diverged"]
                kept = [100 * run["train_error"] for run in entry["runs"] if run not in lost]
                axis.scatter(
                    np.linspace(number - 0.2, number + 0.2, len(kept)),
                    kept,
                    s=34,
                    marker=look["marker"],
                    facecolors="none",
                    edgecolors=look["color"],
                )
                if lost:
                    axis.scatter(
                        np.linspace(number - 0.2, number + 0.2, len(lost)),
                        [97] * len(lost),
                        marker="x",
                        color=look["color"],
                        s=34,
                    )
                    axis.text(number, 100, "diverged", ha="center", va="bottom", fontsize=9)
                else:
                    middle = 100 * entry["train_error"]["median"]
                    axis.plot([number - 0.33, number + 0.33], [middle] * 2, color="black", lw=2)
            axis.set_xticks(range(len(columns)), list(columns))
            axis.set(title=title, ylim=(0, 107), xlim=(-0.6, len(columns) - 0.4))
            _guessing(axis, right=True)
        axes[0].set_ylabel("training error (%)")
    return figure
