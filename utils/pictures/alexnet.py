"""The figures of chapter 02, AlexNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from utils import plotting, results, summary
from utils.networks import pretrained
from utils.topics import photos

ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh"}


def _legend_below(figure: Figure, columns: int = 2) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    found = dict(zip(labels, handles))  # one entry for marks that share a label
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns)


def to_scale(lenet: nn.Module, alexnet: nn.Module) -> Figure:
    """Two networks to scale: one image of each, and one small square for each LeNet-5."""
    small, large = (summary.count_parameters(network) for network in (lenet, alexnet))
    with plotting.style(title=11):
        figure, (images, grid) = plt.subplots(
            1, 2, figsize=(plotting.NARROW, 3.5), layout="constrained"
        )
        side, far = lenet.image_size, alexnet.image_size
        for shift, grey in ((36, "0.62"), (18, "0.75"), (0, "0.88")):  # three colours
            place = (side + 30 + shift, shift)
            images.add_patch(Rectangle(place, far, far, facecolor=grey, edgecolor="black"))
        images.add_patch(Rectangle((0, 0), side, side, facecolor="black"))
        images.text(side / 2, side + 6, f"LeNet-5\n{side}×{side}", ha="center", va="bottom")
        middle = side + 30 + far / 2
        photograph = temple(far).permute(1, 2, 0).numpy()
        images.imshow(photograph, extent=(side + 30, side + 30 + far, 0, far), zorder=2)
        images.text(middle, -6, f"AlexNet\n3×{far}×{far}", ha="center", va="top")
        images.set(xlim=(-25, 345), ylim=(-48, 290), aspect="equal", title="one image")
        images.set_axis_off()

        count = round(large / small)
        per_row = round(count**0.5)
        for number in range(count):
            place = (number % per_row, number // per_row)
            colour = "black" if number == 0 else plotting.COLOURS[1]
            grid.add_patch(Rectangle(place, 0.82, 0.82, facecolor=colour, linewidth=0))
        grid.annotate("LeNet-5", (0.4, 0), (0, -2.8), ha="left", va="center",
                      arrowprops={"arrowstyle": "-", "linewidth": 0.8})  # fmt: skip
        grid.set(xlim=(-0.5, per_row + 0.5), ylim=(-4, per_row + 0.5), aspect="equal")
        grid.set_title(f"parameters: {count:,} times as many")
        grid.set_axis_off()
    return figure


def shares(model: nn.Module, shape: Sequence[int]) -> Figure:
    """The share that each layer with weights has of the network's parameters and MACs."""
    table = summary.table(model, shape)
    layers = [row for row in table.rows if row.parameters]
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.2), layout="constrained")
        for shift, number, hatch, what, label in (
            (-0.21, 4, "", "parameters", "parameters"),
            (0.21, 1, "//", "macs", "MACs"),
        ):
            values = [100 * getattr(row, what) / getattr(table, what) for row in layers]
            places = [place + shift for place in range(len(layers))]
            drawn = axis.bar(places, values, 0.42, color=plotting.COLOURS[number], hatch=hatch,
                             edgecolor="black", label=label)  # fmt: skip
            texts = [f"{value:.0f}" if value >= 0.5 else "<1" for value in values]
            axis.bar_label(drawn, texts, fontsize=9)
        axis.set_xticks(range(len(layers)), [row.name.rpartition(".")[2] for row in layers])
        axis.set_ylabel("share of the network (%)")
        _legend_below(figure)
    return figure


def connections(features: nn.Module, names: Sequence[str]) -> Figure:
    """Which maps each map of these convolutions sees: black where there is a kernel slice."""
    with plotting.style(title=11):
        figure, axes = plt.subplots(
            1, len(names), figsize=(plotting.NARROW, 2.6), layout="constrained"
        )
        for axis, name in zip(axes, names):
            layer = features.get_submodule(name)
            # One map at a time is 1, the others 0; with weights of 1 its kernels notice.
            maps = torch.eye(layer.in_channels)[:, :, None, None]
            weight = torch.ones(layer.weight.shape)
            seen = nn.functional.conv2d(maps, weight, padding=layer.padding, groups=layer.groups)
            axis.imshow(seen[:, :, 0, 0].T > 0, cmap="gray_r", vmin=0, vmax=1, aspect="auto",
                        interpolation="nearest")  # fmt: skip
            axis.set(title=f"{name}\ngroups={layer.groups}", xlabel="input map")
            axis.set_xticks([0, layer.in_channels])
            axis.set_yticks([0, layer.out_channels])
            axis.spines[:].set_visible(True)  # a white block at the edge is a block, too
        axes[0].set_ylabel("output map")
    return figure


def relu_and_tanh() -> Figure:
    """The two functions, and their slopes: what a gradient is multiplied by on its way back."""
    x = torch.linspace(-4, 4, 401)
    functions = {"ReLU": x.relu(), "tanh": x.tanh()}
    slopes = {"ReLU": (x > 0).float(), "tanh": 1 - x.tanh().square()}
    with plotting.style(title=11):
        figure, axes = plt.subplots(1, 2, figsize=(plotting.NARROW, 3.0), layout="constrained")
        for axis, drawn in zip(axes, (functions, slopes)):
            for number, (name, values) in enumerate(drawn.items()):
                axis.plot(x, values, **plotting.line(number, marker=""), linewidth=2, label=name)
            axis.set_xlabel("input")
        axes[0].set(title="the function", ylim=(-1.3, 2.3))
        axes[1].set(title="its slope", ylim=(-0.1, 1.15))
        _legend_below(figure)
    return figure


def relu_against_tanh() -> Figure:
    """Training error against epochs with ReLU and with tanh, each from its own best start."""
    stored = results.load("alexnet.json")["activation"]
    chosen = stored["best"]
    checks = stored["recipe"]["checks_an_epoch"]
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.4), layout="constrained")
        for number, (kind, label) in enumerate(ACTIVATIONS.items()):
            wanted = chosen[kind] | {"activation": kind}
            runs = next(entry for entry in stored["runs"] if wanted.items() <= entry.items())
            curves = torch.tensor(list(runs["curves"].values()))
            epochs = torch.arange(1, curves.shape[1] + 1) / checks
            look = plotting.line(number, marker="")
            axis.plot(epochs, curves.T, **look, linewidth=0.7, alpha=0.45)
            axis.plot(epochs, curves.median(dim=0).values, **look, linewidth=2.4, label=label)
        for target in stored["recipe"]["targets_percent"]:  # the first is the paper's
            axis.axhline(target, color="black", linewidth=0.9, linestyle=":")
            axis.text(1.01, target, f"{target}%", transform=axis.get_yaxis_transform(), va="center")
        axis.set(xlabel="epoch", ylabel="training error (%)", ylim=(0, 60))
        _legend_below(figure)
    return figure


def search_of_starts() -> Figure:
    """Mean training error of every start and learning rate that was searched; lower is better."""
    stored = results.load("alexnet.json")["activation"]
    rates_of = stored["recipe"]["searched_rates"]
    with plotting.style(title=11):
        figure, axes = plt.subplots(
            1, 2, figsize=(plotting.NARROW, 3.4), sharex=True, sharey=True, layout="constrained"
        )
        for axis, (kind, title) in zip(axes, ACTIVATIONS.items()):
            found = stored["search"][kind]
            for number, (start, rates) in enumerate(rates_of.items()):
                errors = [found[f"{start} {rate}"]["mean_error_percent"] for rate in rates]
                label = start.replace("he", "He").replace("xavier", "Xavier")
                # A run whose loss was no longer a number has no error, and leaves a gap.
                shown = [float("nan") if error is None else error for error in errors]
                axis.semilogx(rates, shown, **plotting.line(number), label=label)
            axis.set(title=title, xlabel="learning rate")
        axes[0].set_ylabel("training error (%),\nmean of five epochs")
        _legend_below(figure, columns=3)
    return figure


def dropped(passes: Mapping[str, Tensor]) -> Figure:
    """Values of one layer in several passes, a row each; white is zero."""
    highest = max(values.max().item() for values in passes.values())
    with plotting.style(title=11):
        figure, axes = plotting.axes(len(passes), height=0.42 * len(passes) + 0.7, sharex=True)
        for axis, (name, values) in zip(axes, passes.items()):
            axis.imshow(values[None], cmap="gray_r", vmin=0, vmax=highest, aspect="auto")
            axis.set_yticks([0], [name])
            axis.tick_params(left=False)
        axes[-1].set_xlabel("unit of the layer")
    return figure


def thinned(counts: Sequence[int], accuracies: Sequence[float], whole: float) -> Figure:
    """Accuracy of the mean of so many thinned networks, and of one pass without dropout."""
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.0), layout="constrained")
        shown = [100 * accuracy for accuracy in accuracies]
        axis.semilogx(counts, shown, **plotting.line(0), label="mean of thinned networks")
        axis.axhline(100 * whole, linestyle="--", color="black", label="one pass, nothing dropped")
        axis.set_xticks(counts, counts)
        axis.minorticks_off()
        axis.set(xlabel="number of networks", ylabel="validation accuracy (%)")
        _legend_below(figure)
    return figure


def neighbours(before: Tensor, after: Tensor) -> Figure:
    """The values of all maps at one position before and after a normalisation."""
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.0), layout="constrained")
        for shift, values, number, hatch, label in (
            (-0.21, before, 4, "", "before"),
            (0.21, after, 1, "//", "after, times $2^{0.75}$"),
        ):
            places = [place + shift for place in range(values.numel())]
            drawn = axis.bar(places, values.flatten(), 0.42, color=plotting.COLOURS[number],
                             hatch=hatch, edgecolor="black", label=label)  # fmt: skip
            axis.bar_label(drawn, [f"{value:.0f}" for value in values.flatten()], fontsize=8)
        axis.set_xticks(range(before.numel()))
        axis.set(xlabel="map", ylabel="value at one position")
        _legend_below(figure)
    return figure


def starts(variations: Mapping[str, Mapping[str, float]]) -> Figure:
    """How much the values after each layer vary over images, a line for each way to start."""
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.6), layout="constrained")
        for number, (name, values) in enumerate(variations.items()):
            axis.semilogy(list(values.values()), **plotting.line(number), label=name)
        layers = next(iter(variations.values()))
        axis.set_xticks(range(len(layers)), layers)
        axis.set_ylabel("standard deviation over\nthe images, mean over units")
        _legend_below(figure)
    return figure


def overfitting() -> Figure:
    """Accuracy on own and on new images with dropout and augmentation off and on."""
    conditions = results.load("alexnet.json")["regularisation"]["conditions"]
    with plotting.style(title=11):
        figure, axis = plt.subplots(figsize=(plotting.NARROW, 3.4), layout="constrained")
        for place, entry in enumerate(conditions.values()):
            middle = (len(entry["runs"]) - 1) / 2
            for number, run in enumerate(entry["runs"]):
                x = place + 0.14 * (number - middle)
                known, new = (100 * run[f"{part}_accuracy"] for part in ("train", "validation"))
                axis.plot([x, x], [new, known], color="grey", linewidth=1, zorder=1)
                look = {"linestyle": "", "markersize": 5}
                axis.plot(x, known, **plotting.line(1, marker="^") | look, label="training images")
                axis.plot(x, new, **plotting.line(0) | look, label="validation images")
        axis.set_xticks(range(len(conditions)), conditions)
        axis.set(ylabel="accuracy (%)", ylim=(75, 102))
        _legend_below(figure)
    return figure


def on_new_images() -> Figure:
    """Loss and accuracy on new images with dropout and augmentation; a line joins equal seeds."""
    conditions = results.load("alexnet.json")["regularisation"]["conditions"]
    runs = [entry["runs"] for entry in conditions.values()]
    with plotting.style(title=11):
        figure, axes = plt.subplots(1, 2, figsize=(plotting.WIDTH, 3.2), layout="constrained")
        for axis, part, factor in zip(axes, ("loss", "accuracy"), (1, 100)):
            for same_seed in zip(*runs):
                values = [factor * run[f"validation_{part}"] for run in same_seed]
                axis.plot(values, color="0.75", linewidth=1, zorder=1)
                axis.plot(values, **plotting.line(0) | {"linestyle": "", "markersize": 6})
            names = [name.replace("augmentation", "augmen-\ntation") for name in conditions]
            axis.set_xticks(range(len(names)), names)
            axis.set_xlim(-0.3, len(names) - 0.7)
        axes[0].set(title="loss on new images (lower is better)", ylim=(0, 1.2))
        axes[1].set(title="accuracy on new images (%)", ylim=(75, 85))
    return figure


def brought() -> dict[str, str]:
    """What dropout and augmentation each did to new images in every one of the stored pairs."""
    conditions = results.load("alexnet.json")["regularisation"]["conditions"]
    found = {}
    for way in ("dropout", "augmentation"):
        pairs = list(zip(conditions["neither"]["runs"], conditions[way]["runs"], strict=True))
        lower = all(run["validation_loss"] < plain["validation_loss"] for plain, run in pairs)
        higher = all(
            run["validation_accuracy"] > plain["validation_accuracy"] for plain, run in pairs
        )
        names = {
            (True, True): "both effects",
            (True, False): "lower loss",
            (False, True): "higher accuracy",
        }
        found[way] = names.get((lower, higher), "no effect")
    return found


def compared(guesses: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """A line for each thing found, with the reader's guess beside it; `...` is no guess."""
    lines = []
    for name, value in found.items():
        guess = guesses.get(name, ...)
        beside = "no guess yet" if guess is ... else f"your guess: {guess}"
        lines.append(f"{name}: {value} ({beside})")
    return "\n".join(lines)


# --- photographs and filters ----------------------------------------------------------------------

CORNER, SHOWN = (24, 95), 19  # the part of the temple that is enlarged: row, column, side in pixels


def temple(side: int) -> Tensor:
    """A photograph (3, side, side) of a temple, with values from 0 to 1."""
    whole = photos.example("china")
    square = whole.crop((0, 0, whole.height, whole.height))  # the temple is on the left
    return pretrained.as_bytes(square.resize((side, side)))[0] / 255


def cat(side: int) -> Tensor:
    """A photograph (3, side, side) of a cat, with values from 0 to 1."""
    whole = photos.example("chelsea")
    square = whole.crop((60, 0, 60 + whole.height, whole.height))  # its head
    return pretrained.as_bytes(square.resize((side, side)))[0] / 255


def augmented(photograph: Tensor, pieces: Sequence[Tensor]) -> Figure:
    """A photograph (3, H, W), and pieces of it, some of them mirrored."""
    with plotting.style():
        figure, axes = plotting.axes(1, 1 + len(pieces), height=1.9)
        for axis, picture in zip(axes, (photograph, *pieces)):
            axis.imshow(picture.permute(1, 2, 0).numpy())
            _bare(axis, f"{picture.shape[1]}×{picture.shape[2]}")
        axes[0].set_xlabel("the photograph")
        for number, axis in enumerate(axes[1:], start=1):
            axis.set_xlabel(f"version {number}")
    return figure


def stripes(angle: float, width: float = 7.0, size: int = 11) -> Tensor:
    """A filter (1, 3, size, size) of grey stripes: 0 degrees is horizontal, 90 vertical.

    The stripes fade to all sides, and their sum is zero: an even area gives 0.

    Args:
        angle: of the stripes, in degrees, against the clock.
        width: pixels from one light stripe to the next.
        size: pixels of a side.
    """
    place = torch.arange(size) - (size - 1) / 2
    rows, columns = torch.meshgrid(place, place, indexing="ij")
    turned = torch.deg2rad(torch.tensor(float(angle)))
    across = columns * turned.sin() + rows * turned.cos()
    fade = torch.exp(-(rows.square() + columns.square()) / (2 * (size / 4) ** 2))
    waves = fade * torch.cos(2 * torch.pi * across / width)
    waves = waves - fade * waves.sum() / fade.sum()
    return (waves / waves.abs().sum()).expand(1, 3, size, size)


def _bare(axis: plt.Axes, title: str, size: float = 9.5) -> None:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=size, pad=3)


def _show_filter(axis: plt.Axes, kernel: Tensor) -> None:
    """A filter in its colours, or in grey if it has one channel; middle grey is zero."""
    limit = float(kernel.abs().max()) or 1.0
    colours = (kernel.detach() / (2 * limit) + 0.5).expand(3, -1, -1)
    axis.imshow(colours.permute(1, 2, 0).numpy(), interpolation="nearest")


def _show_map(axis: plt.Axes, values: Tensor) -> None:
    """A map (h, w): black is zero, and white the largest of its values but for one in 200."""
    bright = float(values.quantile(0.995)) or 1.0
    axis.imshow(values.numpy(), cmap="gray", vmin=0, vmax=bright, interpolation="nearest")


def on_its_way(photograph: Tensor, kernel: Tensor, maps: Mapping[str, Tensor], sees: int) -> Figure:
    """A photograph (3, H, W), a filter (1, 3, k, k) with stride 4, and its map after each layer.

    A part of the photograph is enlarged, with three neighbouring windows of the filter. The last
    picture is the photograph again: the frame is the part, `sees` pixels wide, that one value of
    the last map sees in the network. Its place in the last map has a frame too.
    """
    with plotting.style():
        figure, axes = plotting.axes(2, 4, height=3.7)
        plain, near, weights, *rest, whole = axes
        for axis in (plain, whole):
            axis.imshow(photograph.permute(1, 2, 0).numpy())
        top, left = CORNER
        _frame(plain, left, top, SHOWN, linewidth=1.5)
        _bare(plain, f"{photograph.shape[1]}×{photograph.shape[2]} pixels")
        part = photograph[:, top : top + SHOWN, left : left + SHOWN]
        near.imshow(part.permute(1, 2, 0).numpy(), interpolation="nearest")
        side = kernel.shape[-1]
        for x, y, number in ((0, 0, 0), (4, 0, 1), (0, 4, 2)):
            _frame(near, x, y, side, linewidth=2, edgecolor=plotting.COLOURS[number],
                   linestyle=plotting.DASHES[number])  # fmt: skip
        _bare(near, f"windows of {side}×{side}")
        _show_filter(weights, kernel[0])
        _bare(weights, f"filter of {side}×{side}")
        for axis, (name, values) in zip(rest, maps.items(), strict=True):
            _show_map(axis, values[0, 0])
            _bare(axis, f"{name}: {values.shape[2]}×{values.shape[3]}")
        last = values.shape[-1] // 2  # what a unit in the middle sees ends where the image ends
        _frame(rest[-1], last, last, 1, linewidth=2.5, edgecolor=plotting.COLOURS[1])
        start = photograph.shape[-1] - sees
        _frame(whole, start, start, sees, linewidth=2.5, edgecolor=plotting.COLOURS[1])
        _bare(whole, f"it sees {sees}×{sees}")
    return figure


def _frame(axis: plt.Axes, left: float, top: float, side: float, **look: Any) -> None:
    axis.add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, **look))


def colourful(kernels: Tensor) -> Tensor:
    """How colourful each kernel (N, 3, kH, kW) is: 0 if it is grey, 1 if its greys cancel."""
    grey = kernels.mean(dim=1, keepdim=True)
    return (kernels - grey).square().sum(dim=(1, 2, 3)) / kernels.square().sum(dim=(1, 2, 3))


def first_filters(groups: Mapping[str, Tensor], columns: int = 16) -> Figure:
    """Filters (N, C, kH, kW) of several networks, each group below its name."""
    rows = [-(-len(kernels) // columns) for kernels in groups.values()]
    with plotting.style():
        side = plotting.WIDTH / columns
        figure = plt.figure(
            figsize=(plotting.WIDTH, side * sum(rows) + 0.32 * len(rows)), layout="constrained"
        )
        parts = figure.subfigures(len(rows), 1, height_ratios=[side * n + 0.32 for n in rows])
        for part, count, (name, kernels) in zip(parts, rows, groups.items()):
            axes = part.subplots(count, columns, squeeze=False)
            part.suptitle(name, fontsize=10)
            for axis in axes.flat:
                axis.set_axis_off()
            for axis, kernel in zip(axes.flat, kernels):
                _show_filter(axis, kernel)
    return figure


# Filters of SqueezeNet's first layer, by a letter, and the number under which its map is shown.
PUZZLE = {"A": (60, 3), "B": (6, 4), "C": (2, 1), "D": (21, 2)}


def puzzle(photograph: Tensor, kernels: Tensor, maps: Tensor, *, solved: bool = False) -> Figure:
    """A photograph, four filters of SqueezeNet, and their maps in another order, or in theirs.

    Args:
        kernels: (64, 3, 3, 3), those of the first layer, in red, green and blue.
        maps: (64, h, w), what the layer makes of the photograph.
        solved: draw each map below its filter.
    """
    pairs = list(PUZZLE.values())
    below = pairs if solved else sorted(pairs, key=lambda pair: pair[1])
    with plotting.style():
        figure = plt.figure(figsize=(plotting.WIDTH, 3.3), layout="constrained")
        grid = figure.add_gridspec(2, len(pairs) + 1, width_ratios=[2, *[1] * len(pairs)])
        axis = figure.add_subplot(grid[:, 0])
        axis.imshow(photograph.permute(1, 2, 0).numpy())
        _bare(axis, "the photograph")
        for column, (name, (channel, _)) in enumerate(PUZZLE.items(), start=1):
            axis = figure.add_subplot(grid[0, column])
            _show_filter(axis, kernels[channel])
            _bare(axis, f"filter {name}")
        for column, (channel, number) in enumerate(below, start=1):
            axis = figure.add_subplot(grid[1, column])
            _show_map(axis, maps[channel])
            _bare(axis, f"map {number}")
    return figure


def matched(answer: Mapping[str, Any]) -> str:
    """How many letters of the puzzle have the number of their map."""
    if ... in answer.values():
        return "not matched yet"
    right = sum(answer.get(name) == number for name, (_, number) in PUZZLE.items())
    return f"{right} of {len(PUZZLE)} are right"


def named(names: Sequence[str], answers: Mapping[str, Sequence[photos.Answer]]) -> Figure:
    """Photographs of the course in a row; below each what a network said under each condition."""
    with plotting.style():
        figure, axes = plotting.axes(1, len(names), height=3.3)
        for column, (axis, name) in enumerate(zip(axes, names)):
            picture = photos.example(name)
            axis.imshow(picture.crop((0, 0, picture.height * 5 // 4, picture.height)))
            said = [f"{when}:\n{given[column].name}" for when, given in answers.items()]
            _bare(axis, "")
            axis.set_xlabel("\n".join(said), fontsize=9.5)
    return figure
