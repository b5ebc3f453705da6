"""Images, kernels, feature maps and tables of predictions as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from utils import diagnosis
from utils.plotting.look import COLOURS, WIDTH, headline, style


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
        figure, axes = panels(len(images), columns, side=1.6, below=0.18 * lines, extra=0.1)
        for index, (axis, image) in enumerate(zip(axes.flat, images)):
            show_image(axis, image)
            if labels is None:
                continue
            text = _class_name(labels[index], classes)
            if predictions is not None and int(labels[index]) != int(predictions[index]):
                text += f"\n✗ {_class_name(predictions[index], classes)}"
                for spine in axis.spines.values():
                    spine.set(visible=True, linewidth=2.5, color=COLOURS[1])
            axis.set_title(text, fontsize=_small(axes), pad=2)
    return figure


def panels(
    count: int, columns: int, *, side: float, below: float, extra: float, ratio: float = 1.0
) -> tuple[Figure, np.ndarray]:
    """A grid of `count` panels without ticks and frames; those left over are not shown.

    In inches: at most `side` for the width of a panel, `below` for the text of a row, `extra` for
    the figure. `ratio` is the height of a panel divided by its width.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    side = min(WIDTH / columns, side)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(side * columns, (ratio * side + below) * rows + extra),
        squeeze=False,
        layout="constrained",
    )
    for index, axis in enumerate(axes.flat):
        axis.set(xticks=[], yticks=[], visible=index < count)
        for spine in axis.spines.values():
            spine.set_visible(False)
    return figure, axes


def _small(axes: np.ndarray) -> float:
    """The size of letters under which the name of a class fits over one of so many panels."""
    return 8.5 if axes.shape[1] < 10 else 8.0 if axes.shape[1] == 10 else 7.0


def _class_name(label: Any, classes: Sequence[str] | None) -> str:
    return str(int(label)) if classes is None else classes[int(label)]


def show_image(axis: plt.Axes, image: Tensor) -> None:
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
        figure, axes = panels(len(weight), columns, side=1.2, below=0, extra=extra)
        for axis, kernel in zip(axes.flat, weight):
            if len(kernel) == 3:
                axis.imshow((kernel / (2 * limit) + 0.5).permute(1, 2, 0).numpy())
            else:
                picture = axis.imshow(kernel[0].numpy(), **scale)
        if weight.shape[1] != 3:
            figure.colorbar(picture, ax=axes, label="weight", pad=0.01, aspect=12 * len(axes))
        headline(figure, title)
    return figure


@torch.no_grad()
def feature_maps(
    model: nn.Module,
    image: Tensor,
    layer: nn.Module,
    *,
    channels: int = 16,
    columns: int = 9,
    title: str = "",
    own_scale: bool = False,
) -> Figure:
    """What `layer` of `model` gives for one image: the image, then one panel for each channel.

    Args:
        image: (C, H, W) or (1, C, H, W), normalised as the model expects it.
        layer: a module inside the model whose output is (N, C, H, W).
        channels: the number of channels to draw, from the first.
        columns: how many panels a row has.
        own_scale: as in `maps`.

    Raises:
        TypeError: `image` is not a tensor.
        ValueError: the layer is not used in the model's forward pass, or gives no feature maps.
    """
    if not isinstance(image, Tensor):
        raise TypeError(
            f"feature_maps needs an image as a tensor (C, H, W), and got {type(image).__name__}: of"
            " a photograph, give it what `model.prepare(photograph)` makes."
        )
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
    return maps(values, image=image[0], columns=columns, title=title, own_scale=own_scale)


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
        ratio = min(values.shape[1] / values.shape[2], 2.0)
        figure, axes = panels(count, columns, side=1.5, below=below, extra=extra, ratio=ratio)
        free = iter(axes.flat)
        if image is not None:
            axis = next(free)
            axis.imshow(image.detach().float().cpu().mean(0).numpy(), cmap="gray")
            name = "image" if len(image) == 1 else "image, in grey"
            axis.set_title(name, fontsize=_small(axes), pad=2)
        for index, (channel, axis) in enumerate(zip(values, free)):
            picture = axis.imshow(channel.detach().numpy(), cmap="viridis", **limits)
            axis.set_title(
                str(index) if names is None else names[index], fontsize=_small(axes), pad=2
            )
            if own_scale:
                text = f"{float(channel.min()):.1f} to {float(channel.max()):.1f}"
                axis.set_xlabel(text.replace("-", "−"), fontsize=_small(axes), labelpad=2)
        if not own_scale:
            figure.colorbar(picture, ax=axes, pad=0.01, aspect=12 * len(axes))
        headline(figure, title)
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
                        column, row, value, ha="center", va="center", fontsize=8,
                        color="white" if dark else "black",
                    )  # fmt: skip
        axis.set_xticks(range(count), classes, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(count), classes)
        axis.set(xlabel="what the network says", ylabel="what it is")
        axis.tick_params(length=0)
    return figure
