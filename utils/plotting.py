"""Every picture a chapter shows. Each function returns the Figure; a cell ends with plt.show().

Lines differ in dash and marker as well as in colour, and right and wrong differ by sign and frame,
so every figure can be read in grey and by the colour-blind. Nothing here changes matplotlib's
global settings.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from cycler import cycler
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from utils import diagnosis

__all__ = [
    "activations",
    "blocks",
    "bars",
    "branches",
    "confusion",
    "curves",
    "distribution",
    "feature_maps",
    "filters",
    "images",
    "loss_log",
    "maps",
    "mlpconv_figure",
    "style",
]

# Okabe and Ito's palette, without yellow, which is faint on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
DASHES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (3, 2)), "-"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
WIDTH = 9.0  # inches: the width of a notebook's text
# Fonts with Chinese characters, those for a screen first: of Linux, macOS and Windows.
CHINESE = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB"),
    *("Heiti SC", "STHeiti", "Heiti TC", "Microsoft YaHei", "SimHei", "DengXian"),
    *("Songti SC", "STSong", "SimSun", "Noto Serif CJK SC", "Arial Unicode MS"),
    *("Droid Sans Fallback", "AR PL UMing CN", "AR PL UKai CN"),
    # In a collection of fonts matplotlib sees the first alone.
    *("Noto Sans CJK JP", "Noto Serif CJK JP"),
)

# A bold text asks the second font for bold too, although it may have no letter to draw.
logging.getLogger("matplotlib.font_manager").addFilter(
    lambda record: "find font weight" not in record.getMessage()
)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The look of the course's figures, inside a `with` only.

    Fonts that were chosen before, in a notebook or in matplotlibrc, stay the first choice. A
    character that they lack comes from DejaVu Sans, and a Chinese one from any font that has it.
    """
    with plt.rc_context(
        {
            "figure.dpi": 110,
            "font.family": _families(),
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=COLOURS),
            "image.cmap": "gray",
            "legend.frameon": False,
        }
    ):
        yield


def _families() -> list[str]:
    """The fonts in which a character is looked for, in this order; all of them are installed.

    Matplotlib takes from a general name such as "sans-serif" one font alone, and warns of a font
    that is missing: hence the names of single fonts.
    """
    installed = {font.name for font in font_manager.fontManager.ttflist}
    lower = {name.lower() for name in installed}
    wanted = []
    for family in plt.rcParams["font.family"]:
        general = {"sans": "sans-serif", "sans serif": "sans-serif"}.get(family, family)
        wanted += plt.rcParams.get(f"font.{general}", [family])
    chosen = [family for family in wanted if family.lower() in lower]
    return list(dict.fromkeys([*chosen, "DejaVu Sans", *_with_chinese(frozenset(installed))]))


@functools.lru_cache(maxsize=1)
def _with_chinese(installed: frozenset[str]) -> list[str]:
    """The best known font with Chinese characters, or else the first that has any.

    Matplotlib's list of fonts may be older than a font, so that folders are searched too. Its own
    "Last Resort" has all characters, as boxes.
    """
    for family in CHINESE:
        if family in installed:
            return [family]
    listed = {font.fname for font in font_manager.fontManager.ttflist}
    for path in [*sorted(listed), *sorted({*font_manager.findSystemFonts()} - listed)]:
        with contextlib.suppress(Exception):  # files that are no fonts, or cannot be read
            font = FT2Font(path)
            if font.family_name.startswith("Last Resort"):
                continue
            if font.get_char_index(ord("中")) and font.get_char_index(ord("网")):
                if path not in listed:
                    font_manager.fontManager.addfont(path)
                return [font.family_name]
    return []


# --- training -------------------------------------------------------------------------------------


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
        _headline(figure, title, fontsize=10)
    return figure


def _headline(figure: Figure, title: str, fontsize: float = 9) -> None:
    if title:  # an empty one would take room too
        figure.suptitle(title, fontsize=fontsize)


def _draw_behind(axes: Sequence[plt.Axes], history: Any, first: bool) -> None:
    for axis, values in zip(axes, (history.validation_loss, history.validation_accuracy)):
        if values and all(value is not None for value in values):
            label = "the others: validation" if first else None
            epochs = range(1, len(values) + 1)
            axis.plot(epochs, values, color="0.75", linewidth=1.2, zorder=0, label=label)


def _draw_curves(
    axes: Sequence[plt.Axes], histories: Mapping[str, Any], number: int | None = None
) -> None:
    """`number` is the place of a single history among others, which gives it its looks."""
    for axis, quantity, label in zip(
        axes, ("loss", "accuracy"), ("loss (cross-entropy)", "accuracy")
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
    if axes[1].lines and not number:  # runs apart have one legend, that of the first
        _legend(axes[1], columns=2 if number is None else 3)


def _legend(axis: plt.Axes, columns: int) -> None:
    """The legend below the figure, where it covers nothing.

    matplotlib's own search for a free corner warns when it takes over a second. On a busy machine
    a notebook would then differ from what is stored.
    """
    handles, names = axis.get_legend_handles_labels()
    axis.figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=8)


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
        groups: values of single runs under the name of their group.
        lines: values to mark with a dotted vertical line, under their names.
        xlim: ends of the axis. A row says how many of its runs are outside; an arrow and a number
            at the edge give a median that is outside.

    Raises:
        ValueError: a group without runs, or a value that is not a finite number.
    """
    with style():
        height = 0.62 * len(groups) + 0.9 + (0.25 if title else 0)
        figure, axis = plt.subplots(figsize=(WIDTH, height), layout="constrained")
        for row, (name, values) in enumerate(groups.items()):
            values = sorted(_finite(name, values))
            colour = COLOURS[row % len(COLOURS)]
            axis.scatter(
                values,
                [row + shift for shift in _spread(len(values))],
                s=22 if len(values) < 30 else 10,
                marker=MARKERS[row % len(MARKERS)],
                facecolors="none",
                edgecolors=colour,
                linewidths=0.9,
                label=name,
            )
            # Rounded, so that .8695 is not a little less and printed as another number.
            median = round(float(torch.tensor(values, dtype=torch.float64).quantile(0.5)), 9)
            axis.plot([median, median], [row - 0.36, row + 0.36], color="black", linewidth=2)
            text, place, offset, look = (
                f"{median:.3f}".removeprefix("0"),
                (median, row - 0.36),
                0,
                {},
            )
            if xlim is not None and median < xlim[0]:
                text, place, offset = f"← {text}", (xlim[0], row), 4
                look = {"ha": "left", "va": "center"}
            elif xlim is not None and median > xlim[1]:
                text, place, offset = f"{text} →", (xlim[1], row), -4
                look = {"ha": "right", "va": "center"}
            _write_over_lines(axis, text, place, (offset, 0), 2.5, **look)
        for name, value in (lines or {}).items():
            axis.axvline(value, linestyle=":", color="black", linewidth=1)
            axis.annotate(
                name, (value, 1), xycoords=("data", "axes fraction"), fontsize=8, ha="center",
                va="bottom",
            )  # fmt: skip
        names = [f"{name}\n{_count(values, xlim)}" for name, values in groups.items()]
        axis.set_yticks(range(len(groups)), names)
        axis.set(ylim=(len(groups) - 0.45, -0.7), xlabel=xlabel)
        if xlim is not None:
            axis.set_xlim(*xlim)
        if title:
            axis.set_title(title, loc="left", pad=16 if lines else 6)
    return figure


def _write_over_lines(
    axis: plt.Axes,
    text: str,
    place: tuple[float, float],
    offset: tuple[float, float],
    border: float,
    ha: str = "center",
    va: str = "bottom",
) -> None:
    """Text with a white border; `offset` and `border` are in points."""
    axis.annotate(
        text,
        place,
        textcoords="offset points",
        xytext=offset,
        ha=ha,
        va=va,
        fontsize=8,
        zorder=5,
        path_effects=[withStroke(linewidth=border, foreground="white")],
    )


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


def _spread(count: int) -> list[float]:
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
                linewidth=7,
                solid_capstyle="butt",
            )
            axis.plot(runs.tolist(), [row] * len(runs), "|", color=COLOURS[0], markersize=9)
            text = f"{medians[-1]:.3f}".removeprefix("0")
            _write_over_lines(axis, text, (medians[-1], row), (-1, 7), 3, ha="left", va="baseline")
        axis.plot(medians, range(len(steps)), "-", color="black", linewidth=0.8)
        axis.plot(medians, range(len(steps)), "o", color="black", markersize=4)
        names = [name if row == 0 else f"+ {name}" for row, name in enumerate(steps)]
        axis.set_yticks(range(len(steps)), names)
        axis.set(ylim=(len(steps) - 0.5, -0.8), xlabel=xlabel)
        axis.set_title(title, loc="left")
    return figure


def bars(
    values: Mapping[str, float], *, ylabel: str, title: str = "", form: str = ",.0f"
) -> Figure:
    """One bar for each name, with its value written above it."""
    with style():
        figure, axis = plt.subplots(figsize=(WIDTH, 2.9), layout="constrained")
        drawn = axis.bar(
            list(values), list(values.values()), color=COLOURS[4], edgecolor="black", width=0.6
        )
        axis.bar_label(drawn, [format(value, form) for value in values.values()], fontsize=8)
        axis.margins(y=0.12)
        axis.set_ylabel(ylabel)
        axis.set_title(title, loc="left")
    return figure


# --- images ---------------------------------------------------------------------------------------


def images(
    images: Tensor,
    labels: Sequence[int] | Tensor | None = None,
    predictions: Sequence[int] | Tensor | None = None,
    *,
    classes: Sequence[str] | None = None,
    columns: int = 10,
) -> Figure:
    """A grid of images with their labels; wrong predictions get a thick frame and a cross.

    Args:
        images: (N, C, H, W) with C of 1 or 3, uint8, or float in 0…1 (see `Splits.denormalize`).
        labels, predictions: class numbers (N,).
    """
    lines = 0 if labels is None else 1 if predictions is None else 2
    with style():
        figure, axes = _panels(len(images), columns, side=1.6, below=0.17 * lines, extra=0.1)
        for index, (axis, image) in enumerate(zip(axes.flat, images)):
            _show(axis, image)
            if labels is None:
                continue
            text = _class_name(labels[index], classes)
            if predictions is not None and int(labels[index]) != int(predictions[index]):
                text += f"\n✗ {_class_name(predictions[index], classes)}"
                for spine in axis.spines.values():
                    spine.set(visible=True, linewidth=2.5, color=COLOURS[1])
            axis.set_title(text, fontsize=7, pad=2)
    return figure


def _panels(
    count: int, columns: int, *, side: float, below: float, extra: float
) -> tuple[Figure, np.ndarray]:
    """A grid of `count` square panels without ticks and frames; those left over are not shown.

    In inches: at most `side` for a panel, `below` for the text of a row, `extra` for the figure.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    side = min(WIDTH / columns, side)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(side * columns, (side + below) * rows + extra),
        squeeze=False,
        layout="constrained",
    )
    for index, axis in enumerate(axes.flat):
        axis.set(xticks=[], yticks=[], visible=index < count)
        for spine in axis.spines.values():
            spine.set_visible(False)
    return figure, axes


def _class_name(label: Any, classes: Sequence[str] | None) -> str:
    return str(int(label)) if classes is None else classes[int(label)]


def _show(axis: plt.Axes, image: Tensor) -> None:
    """Draw one image (C, H, W) of one or three channels."""
    image = image.detach().cpu()
    if image.shape[0] == 1:
        axis.imshow(image[0].numpy(), cmap="gray")
    else:
        axis.imshow(
            image.permute(1, 2, 0).clamp(0, 255 if image.dtype == torch.uint8 else 1).numpy()
        )


def filters(layer: nn.Conv2d | Tensor, *, columns: int = 16, title: str = "") -> Figure:
    """The kernels of a convolution, one a panel; grey is zero, white positive, black negative.

    Args:
        layer: a convolution, or its weight (out_channels, in_channels, kH, kW). Kernels with three
            input channels are drawn in colour; of others the first input channel is drawn. 1x1
            kernels are drawn as one table: a row for each kernel, a column for each input channel.
    """
    weight = (layer if isinstance(layer, Tensor) else layer.weight).detach().float().cpu()
    limit = float(weight.abs().max()) or 1.0
    scale = {"cmap": "gray", "vmin": -limit, "vmax": limit}
    with style():
        if weight.shape[2:] == (1, 1) and weight.shape[1] > 1:
            figure, axis = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
            picture = axis.imshow(weight[:, :, 0, 0].numpy(), aspect="auto", **scale)
            axis.set(xlabel="input channel", ylabel="output channel (one kernel a row)")
            for side in (axis.xaxis, axis.yaxis):
                side.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            figure.colorbar(picture, label="weight")
            axis.set_title(title, fontsize=9)
            return figure
        extra = 0.3 if title else 0.05
        figure, axes = _panels(len(weight), columns, side=1.2, below=0, extra=extra)
        for axis, kernel in zip(axes.flat, weight):
            if len(kernel) == 3:
                axis.imshow((kernel / (2 * limit) + 0.5).permute(1, 2, 0).numpy())
            else:
                picture = axis.imshow(kernel[0].numpy(), **scale)
        if weight.shape[1] != 3:
            figure.colorbar(picture, ax=axes, label="weight", pad=0.01, aspect=12 * len(axes))
        _headline(figure, title)
    return figure


@torch.no_grad()
def feature_maps(
    model: nn.Module,
    image: Tensor,
    layer: nn.Module,
    *,
    channels: int = 16,
    title: str = "",
    own_scale: bool = False,
) -> Figure:
    """What `layer` of `model` gives for one image: the image, then one panel for each channel.

    Args:
        image: (C, H, W) or (1, C, H, W), normalised as the model expects it.
        layer: a module inside the model whose output is (N, C, H, W).
        channels: the number of channels to draw, from the first.
        own_scale: as in `maps`.

    Raises:
        ValueError: the layer is not used in the model's forward pass, or gives no feature maps.
    """
    image = image if image.ndim == 4 else image[None]
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        with diagnosis.modes_kept(model):
            model.eval()
            model(image)
    finally:
        hook.remove()
    if not seen or seen[0].ndim != 4:
        shape = tuple(seen[0].shape) if seen else "nothing"
        raise ValueError(
            f"feature_maps needs a layer that gives (N, C, H, W), and this one gave {shape}: choose"
            " a convolution, an activation or a pooling layer of the model."
        )
    values = seen[0][0].float().cpu()[:channels]
    return maps(values, image=image[0], title=title, own_scale=own_scale)


def maps(
    values: Tensor,
    *,
    image: Tensor | None = None,
    names: Sequence[str] | None = None,
    columns: int = 9,
    title: str = "",
    own_scale: bool = False,
) -> Figure:
    """Feature maps (C, H, W) on one scale, which the bar beside them explains.

    `image` (C, H, W), if given, comes first, in grey and on a scale of its own. `own_scale` draws
    every map from its smallest value to its largest and writes both below it. Weak maps then show
    what is in them, and the numbers tell that they are weak.
    """
    limits = {} if own_scale else {"vmin": float(values.min()), "vmax": float(values.max())}
    below, extra = 0.36 if own_scale else 0.2, 0.3 if title else 0.1
    with style():
        count = len(values) + (image is not None)
        figure, axes = _panels(count, columns, side=1.5, below=below, extra=extra)
        panels = iter(axes.flat)
        if image is not None:
            axis = next(panels)
            axis.imshow(image.detach().float().cpu().mean(0).numpy(), cmap="gray")
            axis.set_title("image", fontsize=7, pad=2)
        for index, (channel, axis) in enumerate(zip(values, panels)):
            picture = axis.imshow(channel.detach().numpy(), cmap="viridis", **limits)
            axis.set_title(str(index) if names is None else names[index], fontsize=7, pad=2)
            if own_scale:
                text = f"{float(channel.min()):.1f} to {float(channel.max()):.1f}"
                axis.set_xlabel(text.replace("-", "−"), fontsize=7, labelpad=2)
        if not own_scale:
            figure.colorbar(picture, ax=axes, pad=0.01, aspect=12 * len(axes))
        _headline(figure, title)
    return figure


def confusion(
    labels: Sequence[int] | Tensor, predictions: Sequence[int] | Tensor, classes: Sequence[str]
) -> Figure:
    """How often each class was predicted as each other: rows the truth, columns the prediction."""
    truth, predicted = torch.as_tensor(labels).cpu(), torch.as_tensor(predictions).cpu()
    count = len(classes)
    pairs = truth * count + predicted
    table = torch.bincount(pairs, minlength=count * count).reshape(count, count)
    share = table / table.sum(dim=1, keepdim=True).clamp(min=1)
    with style():
        figure, axis = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
        axis.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        for row in range(count):
            for column in range(count):
                value = int(table[row, column])
                if value:
                    dark = share[row, column] > 0.5
                    axis.text(
                        column, row, value, ha="center", va="center", fontsize=7,
                        color="white" if dark else "black",
                    )  # fmt: skip
        axis.set_xticks(range(count), classes, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(count), classes)
        axis.set(xlabel="what the network says", ylabel="what it is")
        axis.tick_params(length=0)
    return figure


# --- diagnosis ------------------------------------------------------------------------------------


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
                range(len(names)), names, rotation=90, fontsize=6 if len(names) > 14 else 7
            )
        axes[0].set(yscale="log", ylabel="spread (standard deviation)")
        if 0 in spreads:
            axes[0].axhline(floor, color="black", linewidth=0.8, linestyle=":")
            axes[0].annotate("exactly 0", (0, floor), fontsize=8, va="bottom")
        axes[1].set(ylim=(-4, 104), ylabel="zeros (%)")
        axes[2].set(ylim=(-4, 104), ylabel="dead channels (%)")
        if any(statistics):
            _legend(axes[0], columns=4)
        _headline(figure, title, fontsize=10)
    return figure


# --- drawings -------------------------------------------------------------------------------------

# Fill and hatch for each kind of layer, so that kinds differ without colour too.
KINDS = {
    "input": ("#FFFFFF", ""),
    "conv": ("#9CC9E8", ""),
    "1x1": ("#F4C28F", "//"),
    "pool": ("#D9D9D9", ""),
    "linear": ("#A8D5BA", "xx"),
    "average": ("#D9D9D9", ".."),
    "output": ("#FFFFFF", ""),
}


def blocks(columns: Mapping[str, Sequence[tuple[str, str]]], *, title: str = "") -> Figure:
    """Networks side by side as columns of boxes, input at the top.

    Args:
        columns: name of the network and its layers as (text, kind), kind being one of "input",
            "conv", "1x1", "pool", "linear", "average", "output".

    Raises:
        ValueError: an unknown kind.
    """
    for layers in columns.values():
        for _, kind in layers:
            if kind not in KINDS:
                raise ValueError(f"kind must be one of {', '.join(KINDS)}, but got {kind!r}.")
    tallest = max(len(layers) for layers in columns.values())
    step, box = 0.40, 0.27
    with style():
        figure, axis = plt.subplots(
            figsize=(min(WIDTH, 3.4 * len(columns)), step * tallest + 0.6), layout="constrained"
        )
        for column, (name, layers) in enumerate(columns.items()):
            x = 3.2 * column
            axis.text(x, 0.42, name, ha="center", va="center", fontsize=10, fontweight="bold")
            for row, (text, kind) in enumerate(layers):
                y = -step * row
                colour, hatch = KINDS[kind]
                axis.add_patch(
                    FancyBboxPatch(
                        (x - 1.25, y - box / 2), 2.5, box,
                        boxstyle="round,pad=0,rounding_size=0.05", facecolor=colour,
                        edgecolor="#555555", linewidth=0.8, hatch=hatch,
                    )
                )  # fmt: skip
                axis.text(
                    x, y, text, ha="center", va="center", fontsize=8,
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
                )  # fmt: skip
                if row:
                    _arrow(axis, (x, y + step - box / 2), (x, y + box / 2))
        axis.set(
            xlim=(-1.5, 3.2 * (len(columns) - 1) + 1.5), ylim=(-step * (tallest - 1) - 0.3, 0.65)
        )
        axis.set_axis_off()
        axis.set_title(title)
    return figure


def _arrow(axis: plt.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=7, linewidth=0.8, color="#333333",
            shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def mlpconv_figure() -> Figure:
    """A linear convolution layer and an mlpconv layer, side by side.

    Both look at one patch of the input. The linear layer takes one weighted sum of it for each
    output channel; the mlpconv layer sends it through a small multilayer perceptron.
    """
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.5), layout="constrained")
        _draw_layer(axes[0], "linear convolution layer", units=[3])
        _draw_layer(axes[1], "mlpconv layer", units=[4, 4, 3])
    return figure


def _draw_layer(axis: plt.Axes, name: str, units: list[int]) -> None:
    """A patch of a grid, layers of units joined to each other, and the maps they write into."""
    axis.set(xlim=(-0.2, 10.2), ylim=(-0.35, 4.1), aspect="equal", title=name)
    axis.set_axis_off()
    _grid(axis, 0.0, 1.0, cells=6, size=0.45, marked=(1, 2, 3))
    axis.text(1.35, 0.6, "input\n(all channels)", ha="center", va="top", fontsize=8)
    corner_x, low, high = 1.8, 1.0 + 1 * 0.45, 1.0 + 4 * 0.45
    places = [3.7 + index * 1.35 for index in range(len(units))]
    if len(units) == 1:
        places = [5.0]
    previous: list[tuple[float, float]] = []
    for index, (x, count) in enumerate(zip(places, units)):
        heights = [2.35 + (unit - (count - 1) / 2) * 0.85 for unit in range(count)]
        for y in heights:
            if index == 0:
                for corner in (low, high):
                    axis.plot([corner_x, x], [corner, y], color="#888888", linewidth=0.5, zorder=1)
            for start in previous:
                axis.plot([start[0], x], [start[1], y], color="#888888", linewidth=0.5, zorder=1)
            axis.add_patch(
                plt.Circle((x, y), 0.22, facecolor="white", edgecolor="#D55E00", linewidth=1.2)
            )
        previous = [(x, y) for y in heights]
        role = "k×k" if index == 0 else "1×1"
        axis.text(x, 0.6, f"{role}\n+ ReLU", ha="center", va="top", fontsize=8)
    for index, (x, y) in enumerate(previous):
        left, bottom = 8.0 - 0.28 * index, 1.15 + 0.42 * index
        axis.add_patch(
            Rectangle(
                (left, bottom), 1.7, 1.7, facecolor="white", edgecolor="#0072B2", linewidth=1.0,
                zorder=8 - index,
            )
        )  # fmt: skip
        spot = (left + 0.62, bottom + 1.36)
        axis.add_patch(
            Rectangle(
                (spot[0] - 0.1, spot[1] - 0.1), 0.2, 0.2, facecolor="#D55E00", edgecolor="none",
                zorder=9 - index,
            )
        )  # fmt: skip
        axis.plot([x, spot[0]], [y, spot[1]], color="#D55E00", linewidth=0.8, zorder=10)
    axis.text(8.6, 0.6, "output\n(one map a unit)", ha="center", va="top", fontsize=8)


def _grid(
    axis: plt.Axes, left: float, bottom: float, *, cells: int, size: float, marked: Sequence[int]
) -> None:
    for row in range(cells):
        for column in range(cells):
            inside = row in marked and column in marked
            axis.add_patch(
                Rectangle(
                    (left + column * size, bottom + row * size), size, size,
                    facecolor="#F4C28F" if inside else "white", edgecolor="#888888", linewidth=0.6,
                )
            )  # fmt: skip


def branches(
    modules: Mapping[str, Sequence[Sequence[tuple[str, str]]]], *, source: str = "input"
) -> Figure:
    """Modules of parallel branches side by side, the input at the bottom.

    Args:
        modules: name of the module and its branches, each one or two layers (text, kind), kinds
            as in `blocks`. The text of a layer ends in its number of channels, `"1×1, 64"`.
        source: the text in the box of the input.
    """
    with style():
        figure, axes = plt.subplots(
            1, len(modules), figsize=(WIDTH, 3.4), squeeze=False, layout="constrained"
        )
        for axis, (title, beside) in zip(axes.flat, modules.items()):
            centre = (len(beside) - 1) / 2
            total = sum(int(branch[-1][0].split()[-1]) for branch in beside)
            _box(axis, centre, 0, source, "input", 2.2)
            _box(axis, centre, 3.6, f"joined, {total} channels", "output", 2.2)
            for x, branch in enumerate(beside):
                heights = [1.2, 2.4] if len(branch) == 2 else [1.8]
                joint = centre + 0.4 * (x - centre)
                ends = [(joint, 0.0), *((x, y) for y in heights), (joint, 3.6)]
                for (left, low), (right, high) in itertools.pairwise(ends):
                    _arrow(axis, (left, low + 0.2), (right, high - 0.2))
                for y, (text, kind) in zip(heights, branch):
                    _box(axis, x, y, text, kind, 0.9)
            axis.set(xlim=(-0.55, len(beside) - 0.45), ylim=(-0.3, 3.9), title=title)
            axis.set_axis_off()
    return figure


def _box(axis: plt.Axes, x: float, y: float, text: str, kind: str, width: float) -> None:
    colour, hatch = KINDS[kind]
    look = {"facecolor": colour, "hatch": hatch, "edgecolor": "#555555", "linewidth": 0.8}
    axis.add_patch(Rectangle((x - width / 2, y - 0.2), width, 0.4, **look))
    patch = {"facecolor": colour, "edgecolor": "none", "pad": 0.6}
    axis.text(x, y, text, ha="center", va="center", fontsize=7.5, bbox=patch)
