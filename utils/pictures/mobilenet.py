"""The figures of chapter 09, MobileNet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from utils import plotting

# Colour and hatch of each kind of layer; in grey they differ by lightness and by hatch.
KINDS = {
    "full 3x3": ("#BFDDF2", ""),
    "1x1": ("#F4C28F", "////"),
    "depthwise": ("#D9CBEA", "----"),
    "batch norm": ("#555555", ""),
    "ReLU": ("#A8D5BA", "xxxx"),
    "rest": ("#FFFFFF", ""),
}


def squares(work: Mapping[str, float], accuracy: Mapping[str, float]) -> Figure:
    """Networks as squares: the area is the work for one image, in millions of MACs."""
    side = {name: math.sqrt(million) for name, million in work.items()}
    most = max(side.values())
    gap = 0.3 * most
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 2.75), layout="constrained")
        left = 0.0
        for name, million in work.items():
            look = {"facecolor": "#BFDDF2", "edgecolor": "#222222", "linewidth": 1.2}
            axis.add_patch(Rectangle((left, 0), side[name], side[name], **look))
            middle, width = left + side[name] / 2, max(side[name], 0.55 * most)
            text = f"{name}\n{million:,.0f} M MACs\n{accuracy[name]:.1%} right"
            axis.text(middle, -0.05 * most, text, ha="center", va="top", linespacing=1.35)
            left += width + 0.5 * gap if side[name] < width else side[name] + gap
        axis.set(xlim=(-0.03 * most, left), ylim=(-0.55 * most, 1.03 * most), aspect="equal")
        axis.set_axis_off()
    return figure


def depthwise_steps(picture: Tensor, kernels: Tensor, filtered: Tensor, mixed: Tensor) -> Figure:
    """Three channels on their way through a depthwise and a 1x1 convolution.

    Args:
        picture, filtered: (1, 3, H, W), before and after the depthwise filters `kernels`
            (3, 1, 3, 3).
        mixed: (1, 2, H, W), the output of the 1x1 convolution.
    """
    titles = ("input\nchannel", "its own\n3×3 filter", "depthwise\noutput", "1×1:\nmixtures")
    with plotting.style(title=11):
        figure, axes = plt.subplots(3, 4, figsize=(plotting.NARROW, 5.3), layout="constrained")
        for c, (name, cmap) in enumerate((("red", "Reds"), ("green", "Greens"), ("blue", "Blues"))):
            axes[c, 0].imshow(picture[0, c], cmap=cmap, vmin=0, vmax=1.3)
            axes[c, 1].imshow(kernels[c, 0], cmap="Greys", vmin=-4, vmax=4)
            axes[c, 2].imshow(filtered[0, c], cmap=cmap, vmin=-4, vmax=4)
            axes[c, 0].set_ylabel(f"channel {c}, {name}")
            for y in range(3):
                for x in range(3):
                    weight = float(kernels[c, 0, y, x])
                    colour = "white" if weight > 0 else "black"  # on the dark, on the light
                    text = f"{weight:g}".replace("-", "−")
                    axes[c, 1].text(x, y, text, ha="center", va="center", color=colour)
        for row, text in ((0, "output 0:\nchannel 0 plus 1"), (1, "output 1:\nchannel 1 minus 2")):
            axes[row, 3].imshow(mixed[0, row], cmap="Greys", vmin=-6, vmax=6)
            axes[row, 3].set_xlabel(text, fontsize=9)
        for column, title in enumerate(titles):
            axes[0, column].set_title(title)
        axes[2, 3].set_axis_off()
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
    return figure


def through_relu(points: Tensor, returned: Mapping[int, Tensor]) -> Figure:
    """Points of two numbers, and what comes back from a ReLU with so many channels."""
    panels = {"input": points, **{f"{wide} channels": back for wide, back in returned.items()}}
    with plotting.style(title=11):
        rows = -(-len(panels) // 3)
        figure, axes = plt.subplots(
            rows, 3, figsize=(plotting.NARROW, 2.2 * rows), layout="constrained"
        )
        limit = 1.1 * max(float(shown.abs().max()) for shown in panels.values())
        for axis, (name, shown) in zip(axes.flat, panels.items()):
            axis.scatter(*shown.T, c=range(len(shown)), s=4, cmap="viridis")
            axis.set_title(name)
            axis.set(xticks=[], yticks=[], xlim=(-limit, limit), ylim=(-limit, limit))
            axis.set_box_aspect(1)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
    return figure


def block_widths(blocks: Mapping[str, Sequence[tuple[str, int]]]) -> Figure:
    """Blocks as columns of bars, a bar for each tensor: its width is the number of channels.

    Args:
        blocks: name of the block and its tensors from the input on, as (what made it, channels). A
            block whose last tensor is called "+ …" has a shortcut.
    """
    with plotting.style(title=11):
        rows = max(map(len, blocks.values()))
        figure, axes = plt.subplots(
            1, len(blocks), figsize=(plotting.NARROW, 3.4), layout="constrained"
        )
        for axis, (name, tensors) in zip(axes, blocks.items()):
            most = max(channels for _, channels in tensors)
            for row, (text, channels) in enumerate(tensors):
                wide = channels / most
                axis.barh(row, wide, left=-wide / 2, height=0.5, color="0.8", edgecolor="0.2")
                axis.text(0, row - 0.29, text, ha="center", va="bottom", fontsize=9)
                axis.text(0, row, channels, ha="center", va="center", fontsize=9, zorder=5)
            if tensors[-1][0].startswith("+"):
                first, last, edge = tensors[0][1] / most / 2, wide / 2, 0.6
                axis.plot([first, edge, edge], [0, 0, len(tensors) - 1], color="0.2", linewidth=1.3)
                arrow = {"arrowstyle": "-|>", "color": "0.2", "shrinkA": 0, "shrinkB": 0}
                end = (last, len(tensors) - 1)
                axis.annotate("", end, xytext=(edge, end[1]), arrowprops=arrow)
            axis.set(xlim=(-0.62, 0.68), ylim=(rows - 0.6, -0.75))
            axis.set_title(name, fontsize=11)
            axis.set_axis_off()
    return figure


def by_kind(panels: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Networks as stacked bars, a part for each kind of layer; a panel for each quantity.

    Totals stand beside the bars where they differ. A depthwise part that is too thin to be seen is
    written there too, as a share.

    Args:
        panels: label of an axis, then name of a network, then kind of layer and its value.
    """
    with plotting.style(title=11):
        count = len(next(iter(panels.values())))
        size = (plotting.NARROW, (0.42 * count + 0.75) * len(panels) + 0.5)
        figure, axes = plt.subplots(
            len(panels), 1, figsize=size, squeeze=False, layout="constrained"
        )
        used = set()
        for axis, (label, networks) in zip(axes.flat, panels.items()):
            totals = {name: sum(parts.values()) for name, parts in networks.items()}
            most = max(totals.values())
            for row, parts in enumerate(networks.values()):
                left = 0.0
                for kind, (colour, hatch) in KINDS.items():
                    value = parts.get(kind, 0)
                    if value > 0:
                        used.add(kind)
                        look = {"color": colour, "hatch": hatch, "edgecolor": "#222222"}
                        axis.barh(row, value, left=left, height=0.62, linewidth=0.7, **look)
                        left += value
                if most > 1.05 * min(totals.values()):
                    look = {"va": "center", "fontsize": 10}
                    text = f" {left:,.0f}"
                    axis.text(left, row, text, fontweight="bold", **look)
                    thin = parts.get("depthwise", 0)
                    if 0 < thin < 0.01 * most:
                        text = f"of these {thin / left:.0%} depthwise"
                        axis.text(left + 0.12 * most, row, text, **look)
            axis.set_yticks(range(count), list(networks))
            axis.set(ylim=(count - 0.5, -0.5), xlabel=label, xlim=(0, 1.12 * most))
        handles = [
            Patch(facecolor=colour, hatch=hatch, edgecolor="#222222", label=kind.replace("x", "×"))
            for kind, (colour, hatch) in KINDS.items()
            if kind in used
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10)
    return figure


def twins(
    macs: Mapping[str, float],
    milliseconds: Mapping[str, Sequence[float]],
    accuracy: Mapping[str, Sequence[float]],
) -> Figure:
    """Two networks with equal recipes: work, time of a training step, and accuracy.

    A dashed line shows the time that the second network would need if time followed the MACs. A
    line joins the two accuracies of a seed.

    Args:
        macs: name of each network and its millions of MACs; the second network has fewer.
        milliseconds, accuracy: for each of the names a number for each seed.
    """
    names = list(macs)
    fastest = {name: min(milliseconds[name]) for name in names}
    looks = ({"color": "#BFDDF2"}, {"color": "#F4C28F", "hatch": "////"})
    with plotting.style(title=11):
        figure, axes = plt.subplots(3, 1, figsize=(plotting.NARROW, 4.6), layout="constrained")
        labels = ("million MACs for one image", "milliseconds for a training step")
        for axis, label, values, digits in zip(axes, labels, (macs, fastest), (".1f", ".0f")):
            for row, name in enumerate(names):
                axis.barh(row, values[name], height=0.62, edgecolor="#222222", **looks[row])
                text = f" {values[name]:{digits}}"
                axis.text(values[name], row, text, va="center", fontweight="bold")
            axis.set(xlabel=label, xlim=(0, 1.15 * max(values.values())))
        follows = fastest[names[0]] * macs[names[1]] / macs[names[0]]
        axes[1].plot([follows] * 2, [0.5, 1.5], "--", color="#222222", linewidth=1.5)
        text = f"(dashed: {follows:.0f}, if time followed the MACs)"
        left = fastest[names[1]] + 0.07 * max(fastest.values())
        axes[1].text(left, 1, text, va="center")
        for pair in zip(*(accuracy[name] for name in names)):
            percent = [100 * share for share in pair]
            axes[2].plot(percent, [0, 1], "o-", color=plotting.COLOURS[0], markersize=6)
        axes[2].set(xlabel="accuracy on the validation images (%), a line for each seed")
        axes[2].margins(x=0.15)
        for axis in axes:
            axis.set_yticks(range(len(names)), names)
            axis.set_ylim(len(names) - 0.5, -0.5)
    return figure


def zeros(shares: Sequence[tuple[str, float]]) -> Figure:
    """For each layer the share of zeros in what it gets; layers in their order."""
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.0), layout="constrained")
        places = {kind: [n for n, (name, _) in enumerate(shares) if name == kind]
                  for kind in ("thin", "wide")}  # fmt: skip
        values = {kind: [100 * shares[n][1] for n in places[kind]] for kind in places}
        look = {"color": "#D9CBEA", "hatch": "////", "edgecolor": "#222222"}
        axis.bar(places["wide"], values["wide"], width=0.75, label="wide: after a ReLU6", **look)
        look = {"color": "#D55E00", "markersize": 8, "label": "thin: between the blocks"}
        axis.plot(places["thin"], values["thin"], "o", **look)
        axis.set(ylabel="zeros (%)", ylim=(-3, 70), xlim=(-0.7, len(shares) - 0.3))
        axis.set(xlabel="tensors, from the first block to the last", xticks=[])
        axis.legend(loc="upper left", ncols=2, fontsize=10)
    return figure


def multipliers(rows: Sequence[tuple[float, int, float, float]]) -> Figure:
    """Accuracy on ImageNet against MACs: one line shrinks the width, one the images.

    Args:
        rows: width, pixels, millions of MACs and accuracy in percent.
    """
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.4), layout="constrained")
        lines = (
            ("fewer channels, 224 pixels", lambda row: row[1] == 224, "o", "-"),
            ("smaller images, width 1", lambda row: row[0] == 1.0, "s", "--"),
        )
        for number, (label, wanted, marker, dash) in enumerate(lines):
            chosen = sorted((row[2], row[3], row[0], row[1]) for row in rows if wanted(row))
            colour = plotting.COLOURS[number]
            points = [row[:2] for row in chosen]
            axis.plot(*zip(*points), dash, marker=marker, markersize=6, color=colour, label=label)
            for million, percent, width, pixels in chosen[:-1]:
                text = f"{width:g}" if number == 0 else f"{pixels}"
                place = (8, -11) if number == 0 else (-4, 8)
                side = "left" if number == 0 else "right"
                axis.annotate(
                    text, (million, percent), xytext=place, textcoords="offset points",
                    color=colour, ha=side, fontsize=10,
                )  # fmt: skip
        axis.set(xlabel="million MACs for one image", ylabel="accuracy on ImageNet (%)")
        axis.set(xlim=(0, 610), ylim=(48, 74))
        axis.legend(loc="lower right", fontsize=10)
    return figure


def peaks(megabytes: Mapping[str, float]) -> Figure:
    """The most megabytes that were in use at one time, a bar for each way to compute."""
    with plotting.style(title=11):
        size = (plotting.NARROW, 0.48 * len(megabytes) + 0.7)
        figure, axis = plt.subplots(figsize=size, layout="constrained")
        names, values = list(megabytes), list(megabytes.values())
        drawn = axis.barh(names, values, height=0.6, color="#BFDDF2", edgecolor="#222222")
        axis.bar_label(drawn, [f"{value:.1f}" for value in values], padding=4)
        axis.set(xlabel="MB in use at the peak (float32, one image of 224 pixels)")
        axis.invert_yaxis()
        axis.margins(x=0.12)
    return figure


def rounded_filters(weight: Tensor, each: Tensor, single: Tensor, chosen: Sequence[int]) -> Figure:
    """Some depthwise filters (out, 1, 3, 3), and the errors of rounding them in two ways.

    Every column has a scale of its own, so that a small filter can be seen too. Errors are drawn
    50 times as large.
    """
    names = (
        "float32",
        "error × 50,\na scale for\neach filter",
        "error × 50,\none scale for\nthe layer",
    )
    with plotting.style(title=11):
        figure, axes = plt.subplots(
            3, len(chosen), figsize=(plotting.NARROW, 4.1), layout="constrained"
        )
        for column, index in enumerate(chosen):
            limit = float(weight[index].abs().max())
            for row, found in enumerate((weight, each, single)):
                axis = axes[row, column]
                shown = 50 * (found - weight) if row else found
                axis.imshow(shown[index, 0], cmap="gray", vmin=-limit, vmax=limit)
                axis.set(xticks=[], yticks=[])
                error = float((found[index] - weight[index]).norm() / weight[index].norm())
                if row:
                    axis.set_xlabel(f"{error:.0%} off" if error > 0.0095 else f"{error:.1%} off")
            axes[0, column].set_title(f"filter {index}", fontsize=10)
        for row, name in enumerate(names):
            axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)
    return figure


def changed_answers(networks: Mapping[str, Mapping], ways: Mapping[str, str]) -> Figure:
    """Share of answers that int8 changes: a dot for each seed, a row for each way.

    Args:
        networks: of results/mobilenet.json, part int8.
        ways: key of a way to quantise, and how it is called in the figure.
    """
    with plotting.style(title=11):
        size = (plotting.NARROW, 0.5 * len(ways) + 1.5)
        figure, axis = plt.subplots(figsize=size, layout="constrained")
        looks = (("mobilenet_v1_small", "v1 small", "o"), ("mobilenet_v2_small", "v2 small", "^"))
        for number, (name, label, marker) in enumerate(looks):
            for row, way in enumerate(ways):
                runs = [100 * run[way]["changed_answers"] for run in networks[name]["runs"]]
                height = row + (0.16 if number else -0.16)
                axis.scatter(
                    [max(run, 0.01) for run in runs], [height] * len(runs), s=36, marker=marker,
                    facecolors="none", edgecolors=plotting.COLOURS[number], linewidths=1.4,
                    label=label if row == 0 else None,
                )  # fmt: skip
        axis.set_yticks(range(len(ways)), list(ways.values()))
        axis.set(xscale="log", xlabel="answers that change (%)", ylim=(len(ways) - 0.5, -0.5))
        axis.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        axis.grid(axis="x", color="0.85")
        figure.legend(loc="outside lower center", ncols=2, fontsize=10)
    return figure
