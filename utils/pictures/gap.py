"""The figures of chapter 6: averages, shifted garments, class activation maps over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from utils import data, plotting, results
from utils.topics import localisation


def _panels(count: int, columns: int, *, title_lines: int = 1) -> tuple[Figure, list[Axes]]:
    """Square panels without axes, with room for titles of so many lines."""
    rows = -(-count // columns)
    side = plotting.NARROW / columns
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(plotting.NARROW, rows * (side + 0.19 * title_lines)),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, list(axes.flat)[:count]


def _show(axis: Axes, picture: Tensor, title: str = "") -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title, pad=3)


def _box(axis: Axes, box: Sequence[float], *, colour: str = "#56B4E9", dash: str = "--") -> None:
    left, top, right, bottom = (float(side) for side in box)
    look = {"fill": False, "edgecolor": colour, "linewidth": 1.8, "linestyle": dash}
    edge = [withStroke(linewidth=3, foreground="black")]
    place = (left - 0.5, top - 0.5)
    axis.add_patch(Rectangle(place, right - left, bottom - top, path_effects=edge, **look))


def without_noise(canvases: Tensor) -> Tensor:
    """Canvases of bytes as values from 0 to 1, with the faint noise drawn black."""
    faint = localisation.NOISE
    return ((canvases - float(faint)) / (255 - faint)).clamp(0, 1)


# --- the main path --------------------------------------------------------------------------------


def opening() -> Figure:
    """Six canvases and the maps that a network trained with labels alone had for them."""
    validation = data.load(device="cpu").validation
    shown = localisation.examples(validation.images, validation.labels)
    stored = results.load("localisation.json")["covering"]["runs"][0]["examples"]
    rows = [[[float(value) for value in row.split()] for row in one] for one in stored["maps"]]
    with plotting.style(dpi=90, title=10):
        figure, axes = _panels(6, 3, title_lines=2)
        for axis, image, label, answer, one in zip(
            axes, shown.images, shown.labels, stored["predicted"], rows
        ):
            title, right = f"“{data.FASHION_CLASSES[answer]}”", answer == int(label)
            title += "" if right else f"\n(it is: {data.FASHION_CLASSES[label]})"
            look = {"title": title, "right": right, "peak": False}
            plotting.overlay(axis, without_noise(image), torch.tensor(one), **look)
            axis.set_axis_on()
    return figure


def averages(image: Tensor, maps: Tensor) -> Figure:
    """An image (H, W) and some of its maps (K, h, w); below each the same values, shuffled."""
    count, generator = len(maps), torch.Generator().manual_seed(0)
    order = torch.randperm(maps[0].numel(), generator=generator)
    shuffled = maps.flatten(1)[:, order].view_as(maps)
    with plotting.style(dpi=90, title=10):
        figure, axes = _panels(2 * (1 + count), 1 + count)
        _show(axes[0], image, "image")
        axes[1 + count].text(0.5, 0.5, "the same\nvalues,\nshuffled", ha="center", va="center")
        for axis, one in zip([*axes[1 : 1 + count], *axes[2 + count :]], [*maps, *shuffled]):
            picture = axis.imshow(one, cmap="viridis", vmin=0, vmax=float(maps.max()))
            axis.set_title(f"average {float(one.mean()):.3f}", pad=3)
        figure.colorbar(picture, ax=axes, label="value", shrink=0.7)
    return figure


def heads() -> Figure:
    """From the same maps to ten logits: flatten and a linear layer, or averages first."""
    with plotting.style(dpi=90, title=10):
        figure, axes = plt.subplots(2, 1, figsize=(plotting.NARROW, 4.6), layout="constrained")
        for axis, pooled in zip(axes, (False, True)):
            axis.set(xlim=(0, 9), ylim=(-0.7, 3.7), aspect="equal")
            axis.set_axis_off()
            _draw_maps(axis)
            _draw_head(axis, pooled)
    return figure


def _draw_maps(axis: Axes) -> None:
    """Three maps of 3×3 cells, one behind the other."""
    for number, colour in ((2, "#D9D9D9"), (1, "#F4C28F"), (0, "#9CC9E8")):
        left, low = 0.2 + 0.45 * number, 0.1 + 0.42 * number
        for row in range(3):
            for column in range(3):
                place = (left + 0.6 * column, low + 0.6 * row)
                axis.add_patch(Rectangle(place, 0.6, 0.6, facecolor=colour, edgecolor="#555555"))
    axis.text(1.5, -0.15, "3 maps of 3×3", ha="center", va="top")


def _draw_head(axis: Axes, pooled: bool) -> None:
    colours = ["#9CC9E8", "#F4C28F", "#D9D9D9"]
    if pooled:
        boxes = [(colour, 0.55 + 0.75 * (2 - number), 0.5) for number, colour in enumerate(colours)]
        name, numbers = "global average pooling", "3 averages"
    else:
        boxes = [(colours[number // 9], 2.95 - 0.105 * (number + 1), 0.105) for number in range(27)]
        name, numbers = "flatten", "27 values in a row"
    axis.text(0.1, 3.15, name, ha="left", va="bottom", fontsize=11, fontweight="bold")
    axis.annotate("", (4.4, 1.4), (3.2, 1.4), arrowprops={"arrowstyle": "-|>", "color": "#333333"})
    for colour, low, height in boxes:
        edge = 1.0 if pooled else 0.3
        axis.add_patch(
            Rectangle((4.6, low), 0.5, height, facecolor=colour, edgecolor="#555555", lw=edge)
        )
        for logit in range(10):
            y = 0.1 + 0.3 * logit
            axis.plot([5.1, 8.2], [low + height / 2, y], color="#999999", lw=0.6 if pooled else 0.3)
    for logit in range(10):
        axis.add_patch(plt.Circle((8.3, 0.1 + 0.3 * logit), 0.12, fc="#A8D5BA", ec="#555555"))
    axis.text(4.85, -0.15, numbers, ha="center", va="top")
    axis.text(8.3, -0.15, "10 logits", ha="center", va="top")
    weights = 3 * 10 if pooled else 27 * 10
    axis.text(8.6, 3.15, f"{weights} weights", ha="right", va="bottom")


def shifts(report: Mapping[str, Any]) -> Figure:
    """Accuracy against the shift of the garment, for each head: median and range of the seeds."""
    steps = [0, 2, 4, 6, 8, 10]
    with plotting.style(dpi=90, title=10):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.6), layout="constrained")
        for number, head in enumerate(report["heads"].values()):
            runs = [head[f"shift_{step}"] for step in steps]
            colour, marker = plotting.COLOURS[number], plotting.MARKERS[number]
            axis.plot(
                steps, [100 * r["median"] for r in runs], linestyle=plotting.DASHES[number],
                label=head["label"], color=colour, marker=marker,
            )  # fmt: skip
            low, high = ([100 * r[end] for r in runs] for end in ("min", "max"))
            axis.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.axhline(10, color="black", linewidth=0.8, linestyle=":")
        axis.annotate("guessing", (0, 11))
        axis.set(xlabel="shift of the garment (pixels)", ylabel="accuracy (%)", ylim=(0, 100))
        axis.legend(loc="lower left", bbox_to_anchor=(0, 0.12))
    return figure


def canvases(pictures: Tensor, boxes: Tensor, names: Sequence[str]) -> Figure:
    """Canvases (N, H, W) with the true box and name."""
    with plotting.style(dpi=90, title=10):
        figure, axes = _panels(len(pictures), 3)
        for axis, picture, box, name in zip(axes, pictures, boxes, names):
            _show(axis, picture, name)
            _box(axis, box)
    return figure


def peaks(groups: Mapping[str, Tensor]) -> Figure:
    """How high the maps' peaks are, a histogram for each group."""
    highest = max(float(values.max()) for values in groups.values())
    with plotting.style(dpi=90, title=10):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 2.8), layout="constrained")
        for number, (name, values) in enumerate(groups.items()):
            axis.hist(
                values.numpy(), bins=30, range=(0, highest), histtype="step", linewidth=2,
                linestyle=plotting.DASHES[number], color=plotting.COLOURS[number], label=name,
            )  # fmt: skip
        axis.set(xlabel="peak of the map", ylabel="canvases")
        axis.legend()
    return figure


def cover(
    picture: Tensor, squares: Mapping[str, Sequence[float]], logits: Mapping[str, float]
) -> Figure:
    """One canvas (H, W) as it is and with squares covered, with the logit under each name."""
    with plotting.style(dpi=90, title=10):
        figure, axes = _panels(len(squares), 3, title_lines=2)
        for axis, (name, square) in zip(axes, squares.items()):
            left, top, right, bottom = (int(side) for side in square)
            dark = picture.clone()
            dark[top:bottom, left:right] = 0
            _show(axis, dark, f"{name}\nlogit {logits[name]:.1f}".replace("-", "−"))
            if right > left:
                _box(axis, square, dash="-")
    return figure


# --- the Deeper sections --------------------------------------------------------------------------


def few_and_many(report: Mapping[str, Any]) -> Figure:
    """Training and validation accuracy of four heads on few and on many images, all seeds."""
    looks = [("train", "training", "s", "none"), ("validation", "validation", "o", "black")]
    with plotting.style(dpi=90, title=10):
        figure, axes = plt.subplots(
            2, 1, figsize=(plotting.NARROW, 4.4), layout="constrained", sharex=True
        )
        for axis, experiment in zip(axes, ("few", "many")):
            recipe, heads = report[experiment]["recipe"], report[experiment]["heads"]
            for row, head in enumerate(heads.values()):
                for key, name, marker, fill in looks:
                    runs = [100 * value for value in head[f"{key}_accuracy"]["runs"]]
                    places = [row + 0.3 * shift for shift in (-1, -0.5, 0, 0.5, 1)][: len(runs)]
                    axis.scatter(
                        runs, places, marker=marker, facecolors=fill, edgecolors="black", s=24,
                        linewidths=0.9, label=f"{name} images" if row == 0 else None,
                    )  # fmt: skip
            axis.set_yticks(range(len(heads)), [head["label"] for head in heads.values()])
            axis.set(ylim=(len(heads) - 0.5, -0.5))
            images, epochs = recipe["train_images"], recipe["epochs"]
            axis.set_title(f"{images:,} images, {epochs} epochs", loc="left")
        axes[1].set(xlabel="accuracy (%)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def thresholds(report: Mapping[str, Any]) -> Figure:
    """Mean IoU against the threshold, for both poolings and for maps without a network."""
    shares = [10, 20, 30, 40, 50, 60]
    names = {"brightness_1": "brightest blob", "random": "random map"}
    lines = [(one["label"], _medians(one["test"], shares)) for one in report["poolings"].values()]
    lines += [
        (n, [report["baselines"][k]["test"][f"iou_{s}"] for s in shares]) for k, n in names.items()
    ]
    with plotting.style(dpi=90, title=10):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.4), layout="constrained")
        for number, (name, values) in enumerate(lines):
            axis.plot(
                shares, values, label=name, color=plotting.COLOURS[number],
                marker=plotting.MARKERS[number], linestyle=plotting.DASHES[number],
            )  # fmt: skip
        centre = report["baselines"]["centre"]["test"]["iou_20"]
        axis.axhline(centre, color="black", linewidth=0.8, linestyle=":")
        axis.annotate("centre box", (60, centre), ha="right", va="bottom")
        axis.set(xlabel="threshold (% of the map's maximum)", ylabel="mean IoU", ylim=(0, 0.7))
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _medians(part: Mapping[str, Any], shares: Sequence[int]) -> list[float]:
    return [part[f"iou_{share}"]["median"] for share in shares]


def rivals(report: Mapping[str, Any]) -> Figure:
    """Pointing accuracy of the maps of both poolings (all seeds) and of their rivals."""
    names = {
        "brightness_21": "brightest region",
        "centre": "middle of the canvas",
        "brightness_1": "brightest pixel",
        "random": "random pixel",
    }
    rows = [
        (f"class activation map,\n{key} pooling", one["test"]["pointing"]["runs"])
        for key, one in report["poolings"].items()
    ]
    rows += [(name, [report["baselines"][key]["test"]["pointing"]]) for key, name in names.items()]
    with plotting.style(dpi=90, title=10):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.2), layout="constrained")
        for row, (_, runs) in enumerate(rows):
            values = sorted(100 * value for value in runs)
            middle = values[len(values) // 2]
            colour = plotting.COLOURS[0] if len(runs) > 1 else "#BBBBBB"
            axis.barh(row, middle, height=0.62, color=colour)
            if len(runs) > 1:
                axis.plot(values, [row] * len(values), "|", color="black", markersize=14, mew=1.5)
            axis.annotate(
                f"{middle:.0f}%", (values[-1], row), xytext=(4, 0), textcoords="offset points",
                va="center",
            )  # fmt: skip
        axis.set_yticks(range(len(rows)), [name for name, _ in rows])
        axis.set(xlabel="the highest value lies in the garment's box (%)", xlim=(0, 112))
        axis.set_ylim(len(rows) - 0.5, -0.5)
    return figure
