"""The figures of chapter 11, the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from utils import plotting

SHADES = ("0.35", "0.75", "0.55", "0.9")
HATCHES = ("", "//", "", "..")
WAYS = {  # of results/loop.json
    "whole": "one loop",
    "in_parts": "in four parts",
    "two_processes": "two processes",
    "resumed": "stopped, resumed",
    "not_divided": "parts not divided",
    "not_averaged": "gradients not averaged",
    "without_optimizer": "resumed without momentum",
}
MARK = "your run"


def way(entry: Mapping[str, Any]) -> str:
    """The name of a way in the part `warm_up` of results/loop.json."""
    name = f"{entry['batch_size']:,} images, rate {entry['rate']:g}"
    return f"{name}, warm-up" if entry["rise"] else name


# --- the main path --------------------------------------------------------------------------------


def opening(paths: Mapping[str, Any]) -> Figure:
    """Loss of every step of one run, taken in several ways: right ones left, wrong ones right."""
    ways = paths["ways"]
    steps = np.arange(1, len(ways["whole"]) + 1)
    panels = (
        ("the same run, four ways", ("in_parts", "two_processes", "resumed")),
        ("with one mistake each", ("not_divided", "not_averaged", "without_optimizer")),
    )
    with plotting.style():
        figure, axes = plotting.axes(columns=2, height=3.4, sharey=True)
        for axis, (title, names) in zip(axes, panels):
            axis.plot(steps, ways["whole"], color="0.7", linewidth=5, label=WAYS["whole"])
            for number, name in enumerate(names):
                look = plotting.line(
                    number, markevery=(4 * number, 12), linewidth=1.2, label=WAYS[name]
                )
                axis.plot(steps, ways[name], **look)
            axis.axvline(len(steps) // 2 + 0.5, color="0.4", linewidth=1, linestyle=":")
            axis.text(len(steps) // 2 + 1, 2.8, "stopped, resumed", fontsize=8.5, va="top")
            axis.set(title=title, xlabel="step", ylim=(0, 2.95))
            axis.legend(loc="lower left", fontsize=8.5)
        axes[0].set_ylabel("loss of the step")
    return figure


def shares(seconds: Mapping[str, float]) -> Figure:
    """Where the time of one training step goes, as one bar in parts; `seconds` of each part."""
    with plotting.style():
        figure, (axis,) = plotting.axes(height=1.7)
        left, whole = 0.0, sum(seconds.values())
        for number, (name, value) in enumerate(seconds.items()):
            look = {"color": SHADES[number], "hatch": HATCHES[number], "edgecolor": "white"}
            axis.barh(0, 1e3 * value, left=1e3 * left, height=0.5, **look)
            middle, up = 1e3 * (left + value / 2), number % 2 == 0
            text = f"{name}\n{value / whole:.0%}"
            place = (0.42, "bottom") if up else (-0.42, "top")
            axis.text(middle, place[0], text, ha="center", va=place[1], linespacing=1.1)
            left += value
        axis.set(yticks=[], xlabel="milliseconds of one step", ylim=(-1.25, 1.25))
        axis.spines["left"].set_visible(False)
    return figure


def schedule(
    order: float, work: float, orders: int, steps: int, waits: bool
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """When a program gives orders and a GPU does them: (begin, end) of each, in milliseconds.

    Args:
        order, work: milliseconds that it takes to give an order, and to do it.
        orders, steps: orders in a step, and steps.
        waits: whether the program waits at the end of each step until the GPU is done.
    """
    given, done = [], []
    now = free = 0.0
    for number in range(orders * steps):
        given.append((now, now + order))
        now += order
        begin = max(now, free)
        free = begin + work
        done.append((begin, free))
        if waits and (number + 1) % orders == 0:
            now = free
    return given, done


def waiting(order: float, work: float, orders: int = 4, steps: int = 3) -> Figure:
    """A program and its GPU, side by side in time: without and with a wait in each step."""
    with plotting.style():
        figure, axes = plotting.axes(rows=2, height=3.4, sharex=True)
        for axis, waits in zip(axes, (False, True)):
            rows = schedule(order, work, orders, steps, waits)
            for place, bars in zip((1, 0), rows):
                for number, (begin, end) in enumerate(bars):
                    step = number // orders
                    look = {"color": SHADES[step % 3], "hatch": HATCHES[step % 2], "lw": 0.8}
                    axis.barh(place, end - begin, left=begin, height=0.6, edgecolor="white", **look)
            axis.axvline(rows[1][-1][1], color="black", linewidth=1.2, linestyle="--")
            axis.set_yticks([1, 0], ["program", "GPU"])
            axis.set_title("it asks for the loss in each step" if waits else "it never waits")
        axes[1].set_xlabel("milliseconds")
    return figure


def gradients(magnitudes: Tensor, scales: Sequence[float] = (1.0,)) -> Figure:
    """How large the numbers of a gradient are, beside what float16 can hold; a panel a scale."""
    powers = magnitudes[magnitudes > 0].double().log2()
    with plotting.style():
        figure, axes = plotting.axes(rows=len(scales), height=1.9 * len(scales) + 0.6, sharex=True)
        for axis, scale in zip(axes, scales):
            moved = powers + np.log2(scale)
            bins = np.arange(-50, 21)
            axis.hist(moved.numpy(), bins=bins, color="0.55")
            axis.axvspan(-60, -25, color=plotting.COLOURS[1], alpha=0.25, lw=0)
            axis.axvspan(16, 40, color=plotting.COLOURS[1], alpha=0.25, lw=0, hatch="//")
            axis.axvspan(-25, -14, color=plotting.COLOURS[5], alpha=0.2, lw=0)
            top = axis.get_ylim()[1]
            for place, text in ((-37, "becomes 0"), (-19.5, "loses\ndigits"), (20.5, "infinite")):
                axis.text(place, 1.25 * top, text, ha="center", va="top", fontsize=9)
            lost = float((moved < -25).double().mean())
            name = "as they are" if scale == 1 else f"times {scale:,.0f}"
            axis.set(ylabel="numbers", xlim=(-50, 25), title=f"{name}: {lost:.1%} become 0")
            axis.set_ylim(0, 1.3 * top)
        ticks = range(-48, 17, 8)
        axes[-1].set_xticks(ticks, [f"$2^{{{tick}}}$" for tick in ticks])
        axes[-1].set_xlabel("size of a number in the gradient")
    return figure


def scales(found: Sequence[float], losses: Sequence[float]) -> Figure:
    """The scale and the loss of every step of a run with loss scaling."""
    with plotting.style():
        figure, axes = plotting.axes(rows=2, height=3.6, sharex=True)
        steps = range(1, len(found) + 1)
        axes[0].step(steps, np.log2(found), where="post", color=plotting.COLOURS[0])
        axes[0].set_ylabel("scale")
        ticks = sorted({int(v) for v in np.log2(found)})[:: max(1, len(set(found)) // 5)]
        axes[0].set_yticks(ticks, [f"$2^{{{tick}}}$" for tick in ticks])
        axes[1].plot(steps, losses, color=plotting.COLOURS[1], marker=".", linewidth=1)
        axes[1].set(ylabel="loss", xlabel="step", ylim=(0, 1.1 * max(losses)))
    return figure


def differences(found: Mapping[str, float], label: str) -> Figure:
    """A point for each name on a logarithmic axis; zero is at the left edge."""
    with plotting.style():
        figure, (axis,) = plotting.axes(height=0.42 * len(found) + 1.0)
        least = 1e-18
        for place, value in enumerate(found.values()):
            axis.plot([least, max(value, least)], [place, place], color="0.8", linewidth=1)
            zero = value < least
            look = {"marker": "|" if zero else "o", "markersize": 14 if zero else 8}
            axis.plot(max(value, least), place, color="black", **look)
            text = "exactly 0" if value == 0 else f"{value:.0e}" if value < 1e-3 else f"{value:.2g}"
            axis.annotate(
                text, (max(value, least), place), (9, 0), textcoords="offset points", va="center"
            )
        axis.set_yticks(range(len(found)), list(found))
        axis.set(xscale="log", xlim=(least, 3e2), xlabel=label, ylim=(len(found) - 0.5, -0.5))
        axis.set_xticks([10.0**power for power in range(-16, 1, 4)])
    return figure


def copies(distances: Mapping[str, Sequence[float]]) -> Figure:
    """How far the copies of two processes are from each other after each step, a line a way."""
    with plotting.style():
        figure, (axis,) = plotting.axes(height=2.9)
        for number, (name, values) in enumerate(distances.items()):
            look = plotting.line(number, markevery=(2 * number, 4), label=name)
            look["linewidth"] = max(1.5, 5 - 2.5 * number)  # equal lines lie on one another
            axis.plot(range(1, len(values) + 1), values, **look)
        axis.set(xlabel="step", ylabel="largest difference\nof a weight")
        axis.legend(loc="upper left", fontsize=9)
    return figure


def warm_up(found: Mapping[str, Any], yours: Mapping[str, float]) -> Figure:
    """Loss on the way and accuracy at the end, of a small batch and of a large one in three ways.

    Args:
        found: the part `warm_up` of results/loop.json.
        yours: the accuracy of one more run, by the names of the ways.
    """
    ways = found["ways"]
    with plotting.style():
        figure, (above, below) = plotting.axes(rows=2, height=5.2)
        for place, (name, entry) in enumerate(ways.items()):
            losses = np.median([run["losses"] for run in entry["runs"]], axis=0)
            look = plotting.line(place, markevery=(2 * place, 8), label=way(entry))
            above.plot(range(1, len(losses) + 1), losses, **look)
            dots = [100 * run["accuracy"] for run in entry["runs"]]
            below.plot(dots, [place] * len(dots), "o", color="0.6", markeredgecolor="0.3")
            below.plot(100 * yours[name], place, "x", color="black", markersize=9, mew=2)
        above.set(xlabel="1,024 images seen, so often", ylabel="training loss", ylim=(0, None))
        above.legend(fontsize=8.5)
        below.plot([], [], "o", color="0.6", markeredgecolor="0.3", label="five seeds")
        below.plot([], [], "x", color="black", markersize=9, mew=2, label=MARK)
        below.set_yticks(range(len(ways)), [way(entry) for entry in ways.values()])
        below.set(xlabel="validation accuracy (%)", xlim=(0, 100), ylim=(len(ways) - 0.5, -0.5))
        below.legend(loc="lower left", fontsize=8.5)
    return figure


def shown(
    ways: Mapping[str, Callable[[int, int], Sequence[int]]],
    count: int,
    processes: int,
    epochs: int = 2,
) -> Figure:
    """Which process shows which image: a row for each epoch, a number for each process.

    Args:
        ways: `way(rank, epoch)` gives the numbers of the images.
    """
    with plotting.style():
        height = 0.36 * epochs * len(ways) + 0.55 * len(ways) + 0.4
        figure, axes = plotting.axes(rows=len(ways), height=height)
        for axis, (name, way) in zip(axes, ways.items()):
            for epoch in range(epochs):
                for image in range(count):
                    ranks = [
                        rank
                        for rank in range(processes)
                        for number in way(rank, epoch)
                        if int(number) == image
                    ]
                    once = len(ranks) == 1
                    face = "white" if once else "black" if ranks else "0.75"
                    box = plt.Rectangle((image, epoch), 1, 1, facecolor=face, edgecolor="0.4")
                    axis.add_patch(box)
                    look = {"ha": "center", "va": "center", "color": "black" if once else "white"}
                    text = ", ".join(map(str, ranks)) or "none"
                    axis.text(image + 0.5, epoch + 0.5, text, fontsize=9, **look)
            axis.set(xlim=(0, count), ylim=(epochs, 0), title=name)
            axis.set_xticks(np.arange(count) + 0.5, range(count))
            axis.set_yticks(np.arange(epochs) + 0.5, [f"epoch {e}" for e in range(epochs)])
            axis.tick_params(length=0)
            for side in axis.spines.values():
                side.set_visible(False)
        axes[-1].set_xlabel("number of the image")
    return figure


# --- deeper ---------------------------------------------------------------------------------------


def times(seconds: Mapping[str, float], label: str = "milliseconds of one step") -> Figure:
    """A bar for each way to compute one step."""
    with plotting.style():
        figure, (axis,) = plotting.axes(height=0.45 * len(seconds) + 0.9)
        values = [1e3 * value for value in seconds.values()]
        axis.barh(range(len(values)), values, color="0.6", height=0.6)
        for place, value in enumerate(values):
            axis.text(value, place, f" {value:.1f}", va="center")
        axis.set_yticks(range(len(values)), list(seconds))
        axis.set(ylim=(len(values) - 0.5, -0.5), xlim=(0, 1.15 * max(values)), xlabel=label)
    return figure


def rates(found: Mapping[str, Any]) -> Figure:
    """Validation accuracy against the learning rate, a line for each batch size."""
    with plotting.style():
        figure, (axis,) = plotting.axes(height=3.6)
        for number, (size, entry) in enumerate(found["batch_sizes"].items()):
            look = plotting.line(number, label=f"{size} images, {entry['steps']} steps")
            x = [float(rate) for rate in entry["rates"]]
            runs = [entry["rates"][rate]["accuracy"] for rate in entry["rates"]]
            axis.plot(x, [100 * run["median"] for run in runs], **look)
            low, high = ([100 * run[side] for run in runs] for side in ("min", "max"))
            axis.fill_between(x, low, high, color=look["color"], alpha=0.15, lw=0)
        axis.set(xscale="log", xlabel="highest learning rate", ylabel="validation accuracy (%)")
        axis.set_xticks(x, [f"{rate:g}" for rate in x])
        axis.minorticks_off()
        axis.legend(title="images in a step", fontsize=9, loc="lower left")
    return figure


def line(step_seconds: float, gradient_bytes: float, processes: int = 8) -> Figure:
    """Time of a step in several processes against the speed of the link between two machines.

    Args:
        step_seconds: what one process computes in a step.
        gradient_bytes: of one process; a ring sends 2(N - 1)/N times as much.
    """
    speeds = np.logspace(-1, 2.6, 100)  # gigabits a second
    sent = 2 * (processes - 1) / processes * gradient_bytes * 8 / 1e9 / speeds
    with plotting.style():
        figure, (axis,) = plotting.axes(height=3.0)
        axis.plot(
            speeds,
            step_seconds + sent,
            **plotting.line(0, marker=None, label="one after the other"),
        )
        both = np.maximum(step_seconds, sent)
        axis.plot(speeds, both, **plotting.line(1, marker=None, label="at the same time"))
        axis.axhline(step_seconds, color="0.5", linewidth=0.9, linestyle=":")
        axis.text(0.11, step_seconds, "computing alone", va="bottom", fontsize=9, color="0.3")
        axis.set(xscale="log", yscale="log", ylabel="seconds of a step")
        axis.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        axis.set_xlabel("speed of the link (Gbit/s)")
        axis.legend(fontsize=9)
    return figure
