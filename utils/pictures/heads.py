"""The time of three linear layers against batch size, for the chapters that speak of it."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from utils import plotting, results

NAMES = {"alexnet": "AlexNet", "vgg16": "VGG-16"}
PANELS = {"forward": "one forward pass", "step": "one training step"}


def time_against_batch() -> Figure:
    """How many times as long a network takes with its own head, against the batch size.

    The other head is an average over the whole maps and one linear layer. Drawn from
    results/heads_time.json: a mark for each pair, a line through the medians.
    """
    measured = results.load("heads_time.json")["networks"]
    with plotting.style(title=11):
        figure, axes = plt.subplots(
            1, 2, figsize=(6.4, 3.3), sharex=True, sharey=True, layout="constrained"
        )
        for axis, (kind, title) in zip(axes, PANELS.items()):
            for number, (name, network) in enumerate(measured.items()):
                batches, label = network[kind], NAMES[name]
                sizes = [int(size) for size in batches]
                medians = [entry["ratio"]["median"] for entry in batches.values()]
                look = {"color": plotting.COLOURS[number], "marker": plotting.MARKERS[number]}
                axis.plot(sizes, medians, linestyle=plotting.DASHES[number], label=label, **look)
                for size, entry in zip(sizes, batches.values()):
                    runs = entry["ratio"]["runs"]
                    axis.plot([size] * len(runs), runs, linestyle="", alpha=0.4, **look, ms=3)
            axis.axhline(1, color="0.5", linewidth=0.9, linestyle=":")
            axis.set_xscale("log", base=2)
            axis.set_xticks(sizes_of(measured), sizes_of(measured))
            axis.set(title=title, xlabel="images in a batch")
        axes[0].set_ylabel("times as long as with\naverage and one linear layer")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def sizes_of(measured: dict) -> list[int]:
    """All batch sizes of the file, for the axis."""
    return sorted({int(size) for network in measured.values() for size in network["forward"]})
