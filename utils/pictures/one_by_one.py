"""The figures of chapter 5: a photograph under 1x1 kernels, costs, sliding, strides, PCA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from utils import plotting

WIDE = 5.6  # inches; with type of 10 points it can be read on a phone
LEVELS = 16  # of each colour in a photograph: the file is half as large, and looks alike
BLUE, ORANGE, GREEN = plotting.COLOURS[:3]


def photograph() -> Tensor:
    """A photograph (H, W, 3) with values from 0 to 1, which comes with scikit-learn."""
    from sklearn.datasets import load_sample_image

    return torch.tensor(load_sample_image("china.jpg")).float() / 255


def _few_levels(picture: Tensor) -> Tensor:
    return (picture.clamp(0, 1) * LEVELS).round() / LEVELS


def _panels(count: int, columns: int, *, height: float) -> tuple[Figure, list[Axes]]:
    """Panels without axes; `height` in inches is that of one row with its title."""
    rows = -(-count // columns)
    size = (WIDE, rows * height)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, list(axes.flat)[:count]


# --- the main path --------------------------------------------------------------------------------

FILTERS = {
    "the photograph": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "one grey for all": [[1 / 3, 1 / 3, 1 / 3]] * 3,
    "an old print": [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]],
    "red and blue change places": [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
}


def opening(photo: Tensor) -> Figure:
    """A photograph (H, W, 3), and three mixtures of its channels: nine weights each."""
    with plotting.style(title=10):
        figure, axes = _panels(4, 2, height=2.3)
        for axis, (name, rows) in zip(axes, FILTERS.items()):
            pagoda = photo[5:297:3, 40:412:3]
            mixed = pagoda @ torch.tensor(rows, dtype=photo.dtype).T
            axis.imshow(_few_levels(mixed), interpolation="nearest")
            axis.set_title(name, pad=3)
    return figure


def clock(measured: Mapping[str, Any]) -> Figure:
    """MACs and milliseconds of one 5x5 layer, and of the detour by way of 16 channels."""
    parts = {"1×1": measured["the_1x1"], "5×5": measured["the_small_5x5"]}
    with plotting.style(title=10):
        figure, axes = plt.subplots(2, 1, figsize=(WIDE, 3.5), layout="constrained")
        for axis, key, unit, name, form in (
            (axes[0], "macs", 1e6, "million MACs", ".0f"),
            (axes[1], "milliseconds", 1, "milliseconds an image", ".2f"),
        ):
            whole = measured["direct"][key] / unit
            axis.barh(0, whole, color=BLUE, edgecolor="black", label="5×5")
            axis.text(whole, 0, f" {whole:{form}}", va="center")
            left = 0.0
            for (kernel, part), colour, hatch in zip(parts.items(), ("white", BLUE), ("///", "")):
                width = part[key] / unit
                label = kernel if kernel == "1×1" else None
                look = {"color": colour, "edgecolor": "black", "hatch": hatch, "label": label}
                axis.barh(1, width, left=left, **look)
                left += width
            axis.text(left, 1, f" {left:{form}}", va="center")
            axis.set_yticks([0, 1], ["direct", "detour"])
            axis.set(xlabel=name, ylim=(1.6, -0.6), xlim=(0, 1.12 * whole))
        axes[0].legend(loc="lower right", ncols=2, title="kernels")
    return figure


def ways(trained: Mapping[str, Mapping[str, Any]]) -> Figure:
    """MACs of each way, and a mark for each seed: seconds of training, accuracy from 0 to 1."""
    with plotting.style(title=10):
        size = (WIDE, 0.6 + 0.5 * len(trained))
        figure, axes = plt.subplots(1, 3, figsize=size, sharey=True, layout="constrained")
        for row, one in enumerate(trained.values()):
            look = {"color": BLUE, "edgecolor": "black", "height": 0.5}
            axes[0].barh(row, one["macs"] / 1e6, **look)
            heights = [row + 0.16 * (n - 1) for n in range(len(one["seconds"]))]
            axes[1].plot(one["seconds"], heights, "o", color=BLUE, mfc="none", clip_on=False)
            axes[2].plot([100 * v for v in one["accuracy"]], heights, "o", color=BLUE, mfc="none")
        axes[0].set_yticks(range(len(trained)), list(trained))
        axes[0].set(xlabel="million MACs", ylim=(len(trained) - 0.5, -0.5))
        axes[1].set_xlabel("seconds")
        axes[1].set_xlim(left=0)
        axes[2].set_xlabel("accuracy (%)")
        for axis in axes[1:]:
            axis.grid(axis="x", color="0.9")
    return figure


def squeezes(found: Mapping[str, Any]) -> Figure:
    """Accuracy against the number of maps that the 5x5 layer reads. Marks are single runs."""
    with plotting.style(title=10):
        figure, axis = plt.subplots(figsize=(WIDE, 3), layout="constrained")
        widths = [4, 8, 16, 32]
        for number, (way, name) in enumerate({"detour": "mixtures", "pick": "picked"}.items()):
            runs = [found[f"{way}_{width}"]["accuracy"] for width in widths]
            look = {"color": plotting.COLOURS[number]}
            middle = [100 * one["median"] for one in runs]
            axis.plot(widths, middle, plotting.DASHES[number], lw=1.8, label=name, **look)
            for width, one in zip(widths, runs):
                place = [width * 2 ** (0.08 * (2 * number - 1))] * len(one["runs"])
                values = [100 * value for value in one["runs"]]
                axis.plot(place, values, plotting.MARKERS[number], mfc="none", ms=5, **look)
        whole = [100 * value for value in found["direct_64"]["accuracy"]["runs"]]
        axis.plot([64] * len(whole), whole, "^", color="black", mfc="none", ms=5, label="direct")
        axis.set_xscale("log", base=2)
        axis.set_xticks([*widths, 64], [*widths, 64])
        axis.set(xlabel="maps that the 5×5 layer reads, of 64", ylabel="accuracy (%)")
        axis.legend(loc="lower right")
    return figure


def walk(share: Tensor, answers: Mapping[str, Tensor]) -> Figure:
    """One output of some layers while the input goes straight from one pixel to another."""
    with plotting.style(title=10):
        figure, axis = plt.subplots(figsize=(WIDE, 2.7), layout="constrained")
        for number, (name, values) in enumerate(answers.items()):
            colour, dash = plotting.COLOURS[number], plotting.DASHES[number]
            axis.plot(share, values, dash, color=colour, linewidth=2.2, label=name)
        axis.set(xlabel="share of the way from pixel a to pixel b", ylabel="one output channel")
        axis.legend(loc="best")
    return figure


def slide(strip: Tensor, seen: Tensor, places: Sequence[int], classes: Sequence[str]) -> Figure:
    """A strip (28, W) of garments, and for each step of four pixels ten probabilities."""
    width = strip.shape[1]
    with plotting.style(title=10):
        figure, axes = plt.subplots(
            2, 1, figsize=(WIDE, 4.2), sharex=True, height_ratios=[1, 2.4], layout="constrained"
        )
        axes[0].imshow(strip, extent=(0, width, 28, 0), aspect="auto")
        axes[0].set_yticks([0, 28])
        # Step n looks at pixels 4n to 4n + 28: it is drawn at its middle, four pixels wide.
        extent = (12, 12 + 4 * seen.shape[1], 9.5, -0.5)
        axes[1].imshow(seen, extent=extent, aspect="auto", vmin=0, vmax=1, cmap="Greys")
        axes[1].set_yticks(range(10), classes, fontsize=9)
        for place in places:
            axes[0].axvline(place + 14, color="white", linewidth=1, linestyle="--")
            axes[1].axvspan(place + 12, place + 16, fill=False, edgecolor=ORANGE, linewidth=1.2)
        axes[1].set(xlabel="middle of the window, in pixels", xlim=(0, width))
    return figure


def reads(masks: Mapping[str, Tensor]) -> Figure:
    """Grids (H, W) of pixels: dark where a layer reads the pixel, white where it never does."""
    with plotting.style(title=10):
        figure, axes = _panels(len(masks), 3, height=2.2)
        for axis, (name, mask) in zip(axes, masks.items()):
            axis.set_axis_on()
            axis.pcolormesh(mask.flip(0), cmap="Greys", vmin=0, vmax=1.4, edgecolors="0.6", lw=0.6)
            axis.set(title=name, xticks=[], yticks=[], aspect="equal")
    return figure


def pictures(shown: Mapping[str, Tensor], *, columns: int = 3) -> Figure:
    """Grey pictures (H, W), all on one scale."""
    low = min(float(one.min()) for one in shown.values())
    high = max(float(one.max()) for one in shown.values())
    with plotting.style(title=10):
        figure, axes = _panels(len(shown), columns, height=WIDE / columns + 0.2)
        for axis, (name, one) in zip(axes, shown.items()):
            axis.imshow(one, vmin=low, vmax=high, interpolation="nearest")
            axis.set_title(name, pad=3)
    return figure


# --- Deeper ---------------------------------------------------------------------------------------


def differences(gaps: Mapping[str, Tensor]) -> Figure:
    """Where two layers and the merged one differ: maps (H, W) of the largest difference."""
    largest = max(float(gap.max()) for gap in gaps.values())
    with plotting.style(title=10):
        figure, axes = _panels(len(gaps), 3, height=2.2)
        for axis, (title, gap) in zip(axes, gaps.items()):
            axis.set_axis_on()
            drawn = axis.imshow(gap, vmin=0, vmax=largest, cmap="Greys")
            axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(drawn, ax=axes, label="difference", shrink=0.9)
    return figure


def coordinates(mixed: Tensor) -> Figure:
    """The three channels of (H, W, 3): brightness, and two that are zero for middle grey."""
    names = ("brightness", "red − green", "yellow − blue")
    with plotting.style(title=10):
        figure, axes = _panels(3, 3, height=1.9)
        for axis, name, channel in zip(axes, names, mixed[5:297:3, 40:412:3].unbind(dim=2)):
            middle, reach = (0.5, 0.5) if name == "brightness" else (0, 0.4)
            levels = _few_levels((channel - middle) / (2 * reach) + 0.5)
            grey, ends = middle + reach * (2 * levels - 1), (middle - reach, middle + reach)
            drawn = axis.imshow(grey, vmin=ends[0], vmax=ends[1], interpolation="nearest")
            axis.set_title(name, pad=3)
            ticks = (ends[0], middle, ends[1])
            figure.colorbar(drawn, ax=axis, location="bottom", ticks=ticks, pad=0.03, aspect=14)
    return figure


def copies(shown: Mapping[str, Tensor]) -> Figure:
    """A roof and trees, cut out of photographs (3, H, W): the original and its copies."""
    part = (slice(None), slice(335, 407), slice(280, 388))
    with plotting.style(title=10):
        figure, axes = _panels(len(shown), 3, height=1.75)
        for axis, (name, picture) in zip(axes, shown.items()):
            axis.imshow(_few_levels(picture[part].permute(1, 2, 0)), interpolation="nearest")
            axis.set_title(name, pad=3)
    return figure


REDUCTIONS = {"pca": "PCA", "learned": "learned 1×1", "random": "random directions"}
WIDTHS = (1, 2, 4, 8)


def reduction(found: Mapping[str, Any]) -> Figure:
    """What is lost of 64 channels, and the accuracy with what is left. Dots are single runs."""
    with plotting.style(title=10):
        figure, axes = plt.subplots(2, 1, figsize=(WIDE, 4.8), sharex=True, layout="constrained")
        for axis, quantity in zip(axes, ("lost", "accuracy")):
            for number, (kind, name) in enumerate(REDUCTIONS.items()):
                own = [found[kind][f"width_{width}"][quantity] for width in WIDTHS]
                colour = plotting.COLOURS[number]
                middle = [100 * one["median"] for one in own]
                axis.plot(WIDTHS, middle, plotting.DASHES[number], color=colour, lw=1.6, label=name)
                shift = 2 ** (0.14 * (number - 1))  # the kinds side by side, none hidden
                for width, one in zip(WIDTHS, own):
                    runs = [100 * value for value in one["runs"]]
                    marker = plotting.MARKERS[number]
                    axis.plot(
                        [width * shift] * len(runs), runs, marker, color=colour, mfc="none", ms=5
                    )
        whole = 100 * found["all"]["width_64"]["accuracy"]["median"]
        axes[1].axhline(whole, color="0.4", linewidth=1)
        axes[1].text(1, whole + 0.5, "all 64 channels", va="bottom")
        axes[1].set_ylim(top=88)
        axes[1].set_xscale("log", base=2)
        axes[1].set_xticks(WIDTHS, WIDTHS)
        axes[1].set(xlabel="channels left of 64", ylabel="accuracy (%)")
        axes[0].set(ylabel="variance lost (%)")
        axes[0].legend(loc="lower left")
    return figure


def accuracies(reached: Mapping[str, Sequence[float]]) -> Figure:
    """For each first kernel the accuracy on images as they are, and with shuffled pixels."""
    with plotting.style(title=10):
        figure, axis = plt.subplots(figsize=(WIDE, 2.4), layout="constrained")
        for number, (label, colour, hatch) in enumerate(
            (("as they are", BLUE, ""), ("shuffled", "white", "///"))
        ):
            places = [row + 0.38 * number for row in range(len(reached))]
            values = [100 * pair[number] for pair in reached.values()]
            look = {"color": colour, "edgecolor": "black", "hatch": hatch, "label": label}
            axis.barh(places, values, height=0.36, **look)
            for place, value in zip(places, values):
                axis.text(value + 1, place, f"{value:.0f}%", va="center")
        axis.axvline(10, color="0.3", linewidth=1, linestyle=":")
        axis.set_yticks([row + 0.19 for row in range(len(reached))], list(reached))
        axis.set(xlabel="accuracy (%), dotted: guessing", xlim=(0, 100))
        axis.set_ylim(len(reached) - 0.4, -0.3)
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


STACKS = {"3x3": "3×3, 32 ch.", "1x1": "1×1, 32 ch.", "1x1_wide": "1×1, 105 ch."}


def overfitting(found: Mapping[str, Any]) -> Figure:
    """Accuracy on training and validation images, with right and with random labels."""
    with plotting.style(title=10):
        figure, axes = plt.subplots(2, 1, figsize=(WIDE, 4.8), sharex=True, layout="constrained")
        for axis, (kind, title) in zip(
            axes, {"own": "right labels", "random": "random labels"}.items()
        ):
            for row, stack in enumerate(found[kind].values()):
                for quantity, marker, colour in (
                    ("train_accuracy", "s", ORANGE),
                    ("validation_accuracy", "o", BLUE),
                ):
                    runs = [100 * value for value in stack[quantity]["runs"]]
                    heights = [row + 0.1 * (n - 2) for n in range(len(runs))]
                    label = quantity.replace("_accuracy", "") if row == 0 else None
                    axis.plot(runs, heights, marker, color=colour, mfc="none", ms=6, label=label)
            names = [f"{STACKS[n]}\n{s['parameters']:,}" for n, s in found[kind].items()]
            axis.set_yticks(range(len(names)), names)
            axis.set(title=title, xlim=(0, 103), ylim=(2.5, -0.5))
            axis.axvline(10, color="0.4", linewidth=1, linestyle=":")
        axes[1].set_xlabel("accuracy (%), dotted: guessing")
        axes[0].legend(loc="center left", bbox_to_anchor=(0.12, 0.5))
    return figure
