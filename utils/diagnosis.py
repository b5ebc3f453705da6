"""Why does a network not learn? Look at its activations and gradients before changing anything.

All functions look at one batch. They leave the network as it was: its weights, gradients, running
averages and training mode. Batch norm uses the statistics of the batch, as in training; dropout is
off. Only modules are seen: the result of a `torch.relu` inside `forward` is not.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

import torch
import torch.nn.functional as F
from torch import nn

from utils import language, text_table

__all__ = [
    "GradientStatistics",
    "LayerStatistics",
    "activation_statistics",
    "answers_alike",
    "dead_logits",
    "device_of",
    "explain",
    "gradient_statistics",
    "modes_kept",
]


@dataclass(frozen=True)
class LayerStatistics:
    """What a layer gave for one batch.

    Attributes:
        name: the layer's name in the network, as in `model.named_modules()`.
        kind: its class.
        mean, std: over all values of the layer.
        variation: standard deviation over the images, averaged over the positions and channels;
            near zero where the layer gives the same for every image.
        zeros: share of values that are exactly zero, 0 to 1.
        dead_channels: channels (units of a linear layer) that are zero for every image everywhere.
        channels: how many there are.
    """

    name: str
    kind: str
    mean: float
    std: float
    variation: float
    zeros: float
    dead_channels: int
    channels: int


@dataclass(frozen=True)
class GradientStatistics:
    """Length of the gradient of one layer's parameters, and of the parameters themselves.

    Attributes:
        name, kind: as in `LayerStatistics`.
        gradient: Euclidean norm of the gradient of the loss.
        weight: Euclidean norm of the parameters.
        ratio: gradient / weight (0 where the parameters are all zero). A step of SGD changes the
            layer by about learning rate times ratio.
    """

    name: str
    kind: str
    gradient: float
    weight: float
    ratio: float


class _Table(list):
    """A list of statistics that prints as a table, with headings in the learner's language."""

    def __str__(self) -> str:
        if not self:
            return language.translate("no layers")
        names = [language.translate(f.name.replace("_", " ")) for f in fields(self[0])]
        rows = [[f"{v:.3g}" if isinstance(v, float) else v for v in astuple(s)] for s in self]
        return "\n".join(text_table.lines([names, *rows], left=2))

    __repr__ = __str__


def activation_statistics(model: nn.Module, images: torch.Tensor) -> list[LayerStatistics]:
    """Statistics of the output of every layer for `images` (N, C, H, W), in the order of the calls.

    A layer is a module without modules of its own; one that is called twice appears twice.
    """
    rows = _Table()

    def look(name: str):
        def hook(module: nn.Module, inputs, output) -> None:
            if isinstance(output, torch.Tensor) and output.is_floating_point():
                rows.append(_describe(name, type(module).__name__, output.detach().float()))

        return hook

    layers = [(name, m) for name, m in model.named_modules() if not any(m.children())]
    handles = [module.register_forward_hook(look(name)) for name, module in layers]
    try:
        with _undisturbed(model), torch.no_grad():
            model(images.to(device_of(model)))
    finally:
        for handle in handles:
            handle.remove()
    return rows


def _describe(name: str, kind: str, values: torch.Tensor) -> LayerStatistics:
    """Statistics of the values (N, C, ...) that a layer gave."""
    values = values.reshape(len(values), values.shape[1] if values.ndim > 1 else 1, -1)
    dead = (values == 0).all(dim=2).all(dim=0)
    return LayerStatistics(
        name=name,
        kind=kind,
        mean=values.mean().item(),
        std=values.std(correction=0).item(),
        variation=values.std(dim=0, correction=0).mean().item(),
        zeros=(values == 0).float().mean().item(),
        dead_channels=int(dead.sum()),
        channels=len(dead),
    )


def gradient_statistics(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> list[GradientStatistics]:
    """Gradient norms of the cross-entropy on this batch, for every layer that has parameters.

    `images` (N, C, H, W), `labels` (N,). The layers come in the order of their registration.
    """
    layers = []
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if own:
            layers.append((name, type(module).__name__, own))
    device = device_of(model)
    with _undisturbed(model), torch.enable_grad():
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        parameters = [p for _, _, own in layers for p in own]
        # autograd.grad leaves the .grad of the parameters alone.
        gradients = iter(torch.autograd.grad(loss, parameters, allow_unused=True))
    rows = _Table()
    for name, kind, own in layers:
        gradient = _norm([next(gradients) for _ in own])
        weight = _norm(own)
        rows.append(
            GradientStatistics(name, kind, gradient, weight, gradient / weight if weight else 0.0)
        )
    return rows


def _norm(tensors: list[torch.Tensor | None]) -> float:
    squares = [t.detach().cpu().double().square().sum() for t in tensors if t is not None]
    return float(sum(squares)) ** 0.5


def dead_logits(model: nn.Module, images: torch.Tensor) -> list[int]:
    """Classes whose logit is exactly zero for every image of `images` (N, C, H, W).

    That happens where a ReLU comes after the logits and all values of a class are below zero. No
    gradient passes the ReLU then, so the class never comes back by itself.
    """
    return _zero_columns(_logits(model, images))


def answers_alike(model: nn.Module, images: torch.Tensor) -> bool:
    """Whether all of `images` (N, C, H, W) get the same logits, except for rounding."""
    logits = _logits(model, images)
    return len(logits) > 1 and bool(
        logits.std(dim=0).max() <= 1e-6 * logits.abs().max().clamp(min=1)
    )


def _logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with _undisturbed(model), torch.no_grad():
        return model(images.to(device_of(model))).float()


def _zero_columns(logits: torch.Tensor) -> list[int]:
    return (logits == 0).all(dim=0).nonzero().flatten().tolist()


def explain(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> str:
    """Say in plain sentences what keeps `model` from learning, and what to try.

    Looks at one batch: `images` (N, C, H, W), `labels` (N,). What only a run can show, above all
    a learning rate that is too high, cannot be seen here, and the text says so. It is in the
    learner's language; `cause` gives it in English.
    """
    return language.translate(cause(model, images, labels))


def cause(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> str:
    """What `explain` says, in English."""
    bad = [name for name, p in model.named_parameters() if not bool(p.isfinite().all())]
    if bad:
        count = len(list(model.parameters()))
        return (
            f"{len(bad)} of the {count} weight tensors hold values that are not numbers (first "
            f"{bad[0]}): the run has diverged. Most often the learning rate is too high, which "
            "the network alone cannot show. Train from fresh weights with a third or a tenth of "
            "it. With He initialisation or batch norm a network can use a higher one."
        )
    if not bool(images.isfinite().all()):
        return "The images hold values that are not numbers; look at how they were prepared."
    statistics = activation_statistics(model, images)
    broken = next((s for s in statistics if not math.isfinite(s.mean)), None)
    if broken:
        return (
            f"The weights are numbers, but the values overflow in layer {broken.name} "
            f"({broken.kind}): the weights have grown too large. Train from fresh weights with a "
            "third or a tenth of the learning rate, or put batch norm after the convolutions."
        )
    logits = _logits(model, images)
    dead = _zero_columns(logits)
    reasons = []
    if dead and bool((logits >= 0).all()):
        which = "All logits are" if len(dead) == logits.shape[1] else _classes(dead)
        reasons.append(
            f"{which} zero for every one of the {len(images)} images, and no logit is below zero: "
            "a ReLU comes after the logits, and no gradient passes it where it gives zero. Leave "
            "this ReLU out. If the network must keep it, He initialisation or batch norm makes "
            "dead classes rarer."
        )
    if not reasons or len(dead) < logits.shape[1]:
        looks = (_vanishing, _dead_layer, _huge_logits)
        others = (look(model, images, labels, statistics, logits) for look in looks)
        reasons += [text for text in others if text][:1]
    return " ".join(reasons) or (
        "Activations and gradients look sound on this batch. The learning rate cannot be judged "
        "from the network alone: try a tenth of it, then three times as much. See also whether "
        "the labels belong to the images."
    )


def _classes(dead: list[int]) -> str:
    names = ", ".join(map(str, dead))
    return (
        f"The logit of class {names} is" if len(dead) == 1 else f"The logits of classes {names} are"
    )


def _vanishing(model, images, labels, statistics, logits) -> str | None:
    # Networks at their start keep a hundredth of the images' variation or more; a LeNet with
    # sigmoids, which is slow to start, and a NiN with d2l's initialisation keep a 5,000th or less.
    limit = 2e-3
    varied = images.float().std(dim=0, correction=0).mean().item()
    reached = logits.std(dim=0, correction=0).mean().item()
    if varied > 0 and reached < limit * varied:
        thin = next((s for s in statistics if s.variation < limit * varied), statistics[-1])
        return (
            f"The network gives the same answer for every image: the pixels differ by {varied:.2g} "
            f"(standard deviation over the images), the logits by only {reached:.2g}. The "
            f"difference is lost by layer {thin.name} ({thin.kind}), where it is "
            f"{thin.variation:.2g}. {_remedies(statistics)}"
        )
    gradients = [g for g in gradient_statistics(model, images, labels) if g.weight]
    if len(gradients) > 1 and gradients[0].ratio < 1e-4 * gradients[-1].ratio:
        first, last = gradients[0], gradients[-1]
        return (
            f"The gradient vanishes on its way back: its norm is {last.gradient:.2g} in the last "
            f"layer, {last.name}, and {first.gradient:.2g} in the first, {first.name}. "
            f"{_remedies(statistics)}"
        )
    return None


def _remedies(statistics: list[LayerStatistics]) -> str:
    # If no module is an activation, they are called as functions and may be anything.
    kinds = {s.kind for s in statistics}
    only_relu = "ReLU" in kinds and not kinds & {"Sigmoid", "Tanh"}
    relu = "" if only_relu else "ReLU instead of sigmoid or tanh, "
    comma = "" if only_relu else ","
    return f"Use He initialisation{comma} {relu}or batch norm after the convolutions."


def _dead_layer(model, images, labels, statistics, logits) -> str | None:
    worst = max(statistics, key=lambda s: s.dead_channels / s.channels, default=None)
    if worst is None or worst.dead_channels < 0.5 * worst.channels:
        return None
    return (
        f"In layer {worst.name} ({worst.kind}) {worst.dead_channels} of {worst.channels} channels "
        "are zero for every image, and no gradient passes them. A step that was too large often "
        "does that. Train from fresh weights with a third of the learning rate, with He "
        "initialisation, or with batch norm before the ReLU."
    )


def _huge_logits(model, images, labels, statistics, logits) -> str | None:
    size = logits.abs().mean().item()
    if size < 100:
        return None
    return (
        f"The logits are far too large ({size:.2g} on average; 1 to 10 is usual), so that wrong "
        "answers cost very much. Train from fresh weights with a tenth of the learning rate, "
        "or with He initialisation."
    )


@contextlib.contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put back the mode of each module at the end. `model.train(mode)` would be for all alike."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, except that batch norm uses the batch; everything is put back at the end."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    buffers = [(b, b.clone()) for norm in norms for b in norm.buffers()]
    with modes_kept(model):
        model.eval()
        for norm in norms:
            norm.train()
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)


def device_of(model: nn.Module) -> torch.device:
    """Where the first parameter is; the CPU if there is none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))
