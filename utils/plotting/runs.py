"""Runs as figures: curves, distributions, logs of changes, bars, and statistics of activations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from utils.plotting.look import COLOURS, DASHES, MARKERS, WIDTH, headline, style, write_over_lines


def curves(histories: Any, *, title: str = "", apart: bool = False) -> Figure:
    """Loss and accuracy after each epoch; training dashed, validation solid.

    Args:
        histories: one History, or a mapping of names to histories.
        apart: a column for each history, on common axes, with the validation curves of the others
            in grey behind it. Use it where curves would hide each other.
    """
    if not isinstance(histories, Mapping):
        histories = {"": histories}
    with style():
        if apart:
            figure, axes = plt.subplots(
                2,
                len(histories),
                figsize=(WIDTH, 4.4),
                sharex=True,
                sharey="row",
                squeeze=False,
                layout="constrained",
            )
            for column, (name, history) in enumerate(histories.items()):
                others = [other for other in histories.values() if other is not history]
                for other in others:
                    _draw_behind(axes[:, column], other, first=other is others[0])
                _draw_curves(axes[:, column], {"": history}, number=column)
                axes[0, column].set(title=name, xlabel="")
            for axis in axes[:, 1:].flat:
                axis.set_ylabel("")
        else:
            height = 3.2 + 0.19 * (len(histories) - 1)  # each takes a line of the legend
            figure, axes = plt.subplots(1, 2, figsize=(WIDTH, height), layout="constrained")
            _draw_curves(axes, histories)
        headline(figure, title)
    return figure


def _draw_behind(axes: Sequence[plt.Axes], history: Any, first: bool) -> None:
    for axis, values in zip(axes, (history.validation_loss, history.validation_accuracy)):
        if values and all(value is not None for value in values):
            label = "the others: validation" if first else None
            epochs = range(1, len(values) + 1)
            axis.plot(epochs, values, color="0.6", linewidth=1.2, zorder=0, label=label)


def _draw_curves(
    axes: Sequence[plt.Axes], histories: Mapping[str, Any], number: int | None = None
) -> None:
    """`number` is the place of a single history among others, which gives it its looks."""
    for axis, quantity, label in zip(
        axes, ("loss", "accuracy"), ("loss (cross-entropy)", "accuracy (%)")
    ):
        for place, (name, history) in enumerate(histories.items()):
            look = place if number is None else number
            epochs = range(1, len(history.train_loss) + 1)
            for part, dash, filled in (("train", "--", False), ("validation", "-", True)):
                values = getattr(history, f"{part}_{quantity}")
                if len(values) != len(epochs) or any(value is None for value in values):
                    continue
                axis.plot(
                    epochs,
                    values,
                    dash,
                    marker=MARKERS[look % len(MARKERS)],
                    markersize=4,
                    markerfacecolor=None if filled else "white",
                    color=COLOURS[look % len(COLOURS)],
                    label=f"{name}: {part}" if name else part,
                )
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if quantity == "accuracy":
            axis.yaxis.set_major_formatter(_per_cent)
    if axes[1].lines and not number:  # runs apart have one legend, that of the first
        _legend(axes[1], columns=2 if number is None else 3)


def _legend(axis: plt.Axes, columns: int) -> None:
    """The legend below the figure, where it covers nothing.

    matplotlib's own search for a free corner warns when it takes over a second. On a busy machine
    a notebook would then differ from what is stored.
    """
    handles, names = axis.get_legend_handles_labels()
    axis.figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=9)


def distribution(
    groups: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    lines: Mapping[str, float] | None = None,
    title: str = "",
    xlim: tuple[float, float] | None = None,
) -> Figure:
    """Every run as one dot, a row for each group, with its median as a bar.

    Args:
        groups: values of single runs under the name of their group. How many there are is at each
            name, or at the axis where it is the same for all.
        lines: values to mark with a dotted vertical line, under their names.
        xlim: ends of the axis. A row says how many of its runs are outside; an arrow and a number
            at the edge give a median that is outside.

    Raises:
        ValueError: a group without runs, or a value that is not a finite number.
    """
    xlabel, percent, number = _unit(xlabel, groups)
    with style():
        height = 0.62 * len(groups) + 0.9 + (0.25 if title else 0)
        figure, axis = plt.subplots(figsize=(WIDTH, height), layout="constrained")
        for row, (name, values) in enumerate(groups.items()):
            values = sorted(_finite(name, values))
            colour = COLOURS[row % len(COLOURS)]
            axis.scatter(
                values,
                [row + shift for shift in spread(len(values))],
                s=26 if len(values) < 30 else 12,
                marker=MARKERS[row % len(MARKERS)],
                facecolors="white",  # in front of the median, which hides no run
                edgecolors=colour,
                linewidths=1.1,
                zorder=3,
                label=name,
            )
            # Rounded, so that .8695 is not a little less and printed as another number.
            median = round(float(torch.tensor(values, dtype=torch.float64).quantile(0.5)), 9)
            axis.plot(
                [median, median], [row - 0.36, row + 0.36], color="black", linewidth=2, zorder=2
            )
            text, place, offset, look = number(median), (median, row - 0.36), 0, {}
            if xlim is not None and median < xlim[0]:
                text, place, offset = f"← {text}", (xlim[0], row), 4
                look = {"ha": "left", "va": "center"}
            elif xlim is not None and median > xlim[1]:
                text, place, offset = f"{text} →", (xlim[1], row), -4
                look = {"ha": "right", "va": "center"}
            write_over_lines(axis, text, place, (offset, 0), 2.5, **look)
        for name, value in (lines or {}).items():
            axis.axvline(value, linestyle=":", color="black", linewidth=1)
            axis.annotate(
                name, (value, 1), xycoords=("data", "axes fraction"), fontsize=9, ha="center",
                va="bottom",
            )  # fmt: skip
        counts = [_count(values, xlim) for values in groups.values()]
        if len(groups) > 1 and len(set(counts)) == 1 and "outside" not in counts[0]:
            xlabel, names = f"{xlabel}, {counts[0]} each", list(groups)
        else:
            names = [f"{name}\n{count}" for name, count in zip(groups, counts)]
        axis.set_yticks(range(len(groups)), names)
        axis.set(ylim=(len(groups) - 0.45, -0.7), xlabel=xlabel)
        if xlim is not None:
            axis.set_xlim(*xlim)
        if percent:
            axis.xaxis.set_major_formatter(_per_cent)
        if title:
            axis.set_title(title, loc="left", pad=16 if lines else 6)
    return figure


def _count(values: Sequence[float], xlim: tuple[float, float] | None) -> str:
    """How many runs, and how many of them the axis does not show."""
    count = f"{len(values)} run{'s' * (len(values) != 1)}"
    outside = 0 if xlim is None else sum(not xlim[0] <= value <= xlim[1] for value in values)
    return f"{count}, {outside} outside" if outside else count


def _finite(name: str, values: Sequence[float]) -> list[float]:
    numbers = [float(value) for value in values]
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise ValueError(
            f"Every group needs one finite number for each of its runs; {name!r} has {numbers}."
        )
    return numbers


def _per_cent(value: float, place: int | None = None) -> str:
    """A fraction as it is written on an axis in percent."""
    return f"{100 * value:.6g}".replace("-", "−")


def _unit(
    label: str, groups: Mapping[str, Sequence[float]]
) -> tuple[str, bool, Callable[[float], str]]:
    """The label of the axis, whether it is in percent, and how a value is written.

    Accuracies come as fractions, and people read them in percent.
    """
    fractions = all(0 <= value <= 1 for values in groups.values() for value in values)
    if "accuracy" not in label.lower() or not fractions:
        return label, False, "{:.3f}".format
    if "%" not in label:
        label = re.sub("accuracy", r"\g<0> (%)", label, count=1, flags=re.IGNORECASE)
    return label, True, "{:.1%}".format


def spread(count: int) -> list[float]:
    """Heights between -0.25 and 0.25 that keep neighbours apart, the same in every run."""
    if count == 1:
        return [0.0]
    return [((index * 0.618034) % 1 - 0.5) * 0.5 for index in range(count)]


def loss_log(steps: Mapping[str, Sequence[float]], *, xlabel: str, title: str = "") -> Figure:
    """A log of changes, one a row, each on top of those before it.

    Args:
        steps: what was changed, and what every run then reached. The range of the runs is a bar,
            their median a mark with its value; a thin line joins the medians.

    Raises:
        ValueError: a step without runs, or a value that is not a finite number.
    """
    xlabel, percent, number = _unit(xlabel, steps)
    with style():
        figure, axis = plt.subplots(
            figsize=(WIDTH, 0.42 * len(steps) + 0.9 + (0.25 if title else 0)), layout="constrained"
        )
        medians = []
        for row, (name, values) in enumerate(steps.items()):
            runs = torch.tensor(_finite(name, values), dtype=torch.float64)
            medians.append(float(runs.quantile(0.5)))
            axis.plot(
                [float(runs.min()), float(runs.max())],
                [row, row],
                color=COLOURS[4],
                linewidth=9,
                solid_capstyle="butt",
            )
            axis.plot(
                runs.tolist(), [row] * len(runs), "|", color=COLOURS[0], markersize=11, zorder=3
            )
            text = number(medians[-1])
            write_over_lines(axis, text, (medians[-1], row), (0, 8), 3, ha="center", va="baseline")
        axis.plot(medians, range(len(steps)), "-", color="black", linewidth=0.8)
        axis.plot(medians, range(len(steps)), "o", color="black", markersize=4)
        names = [name if row == 0 else f"+ {name}" for row, name in enumerate(steps)]
        axis.set_yticks(range(len(steps)), names)
        axis.set(ylim=(len(steps) - 0.5, -0.8), xlabel=xlabel)
        if percent:
            axis.xaxis.set_major_formatter(_per_cent)
        axis.set_title(title, loc="left")
    return figure


def bars(
    values: Mapping[str, float], *, ylabel: str, title: str = "", form: str = ",.0f"
) -> Figure:
    """One bar for each name, with its value written above it; accuracies in percent."""
    ylabel, percent, number = _unit(ylabel, {"": list(values.values())})
    with style():
        figure, axis = plt.subplots(figsize=(WIDTH, 2.9), layout="constrained")
        drawn = axis.bar(
            list(values), list(values.values()), color=COLOURS[4], edgecolor="black", width=0.6
        )
        axis.bar_label(
            drawn, [number(v) if percent else format(v, form) for v in values.values()], fontsize=9
        )
        axis.margins(y=0.12)
        axis.set_ylabel(ylabel)
        if percent:
            axis.yaxis.set_major_formatter(_per_cent)
        axis.set_title(title, loc="left")
    return figure


def activations(statistics: Any, *, title: str = "") -> Figure:
    """Spread of the activations, share of zeros and of dead channels, layer by layer.

    A logarithmic scale has no zero, so a spread of exactly zero is marked on the lower edge.

    Args:
        statistics: the list that `diagnosis.activation_statistics` returns, or a mapping of names
            to such lists, of networks with the same layers.
    """
    if not isinstance(statistics, Mapping):
        statistics = {"": statistics}
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.4), layout="constrained")
        spreads = [layer.std for layers in statistics.values() for layer in layers]
        floor = 0.1 * min((spread for spread in spreads if spread > 0), default=1.0)
        for number, (name, layers) in enumerate(statistics.items()):
            places = range(len(layers))
            look = dict(
                linestyle=DASHES[number % len(DASHES)],
                marker=MARKERS[number % len(MARKERS)],
                color=COLOURS[number % len(COLOURS)],
                markersize=4,
                label=name,
            )
            axes[0].plot(places, [layer.std or floor for layer in layers], **look)
            axes[1].plot(places, [100 * layer.zeros for layer in layers], **look)
            dead = [100 * layer.dead_channels / max(layer.channels, 1) for layer in layers]
            axes[2].plot(places, dead, **look)
        layers = next(iter(statistics.values()))
        names = [
            layer.name.removeprefix("features.").removeprefix("classifier.") for layer in layers
        ]
        for axis in axes:
            axis.set_xticks(
                range(len(names)), names, rotation=90, fontsize=7 if len(names) > 14 else 8
            )
        axes[0].set(yscale="log", ylabel="spread (standard deviation)")
        if 0 in spreads:
            axes[0].axhline(floor, color="black", linewidth=0.8, linestyle=":")
            axes[0].annotate("exactly 0", (0, floor), fontsize=8, va="bottom")
        axes[1].set(ylim=(-4, 104), ylabel="zeros (%)")
        axes[2].set(ylim=(-4, 104), ylabel="dead channels (%)")
        if any(statistics):
            _legend(axes[0], columns=4)
        headline(figure, title)
    return figure
