"""Arguments of `fit` and labels that make no sense, refused in one sentence each."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from utils import device as devices
from utils.runs.schedule import SCHEDULES


def settings(
    train,
    optimizer: str | torch.optim.Optimizer,
    *,
    epochs: int,
    learning_rate: float | None,
    momentum: float,
    weight_decay: float,
    schedule: str,
    label_smoothing: float,
    precision: str,
    seed: int | None,
    processes: int,
) -> dict[str, Any]:
    """What decides the result of a run, in plain values that a checkpoint can hold.

    Raises:
        ValueError: one of them makes no sense.
    """
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs should be a whole number from 1 on, not {epochs!r}.")
    own = isinstance(optimizer, torch.optim.Optimizer)
    if not own and optimizer not in ("sgd", "adamw"):
        raise ValueError(
            f'optimizer should be "sgd", "adamw" or a torch optimizer, not {optimizer!r}.'
        )
    check_choice("schedule", schedule, tuple(SCHEDULES))
    if not own or learning_rate is not None:
        learning_rate = _number("learning_rate", learning_rate, 0, above=True)
    values = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "optimizer": _described(optimizer) if own else optimizer,
        "momentum": _number("momentum", momentum, 0, 1),
        "weight_decay": _number("weight_decay", weight_decay, 0),
        "schedule": schedule,
        "label_smoothing": _number("label_smoothing", label_smoothing, 0, 1),
        "precision": precision,
        "seed": None if seed is None else devices.check_seed(seed),
        "processes": processes,
        "train_steps": len(train),
    }
    # What batches tell about themselves; those of `utils.data` have all of it.
    for name in ("batch_size", "image_size", "augment", "dataset", "shuffle", "seed"):
        if isinstance(value := getattr(train, name, None), bool | int | str):
            values[f"train_{name}"] = value
    if isinstance(labels := getattr(train, "labels", None), torch.Tensor):
        values["train_images"] = len(labels)
    return values


def _number(
    name: str, value: Any, low: float, high: float = math.inf, *, above: bool = False
) -> float:
    """`value` as a float if low <= value < high (low < value with `above`), else ValueError."""
    if isinstance(value, numbers.Real) and low <= value < high and not (above and value == low):
        return float(value)  # a number of NumPy is no plain value
    limits = f"{'above' if above else 'at least'} {low}"
    if high < math.inf:
        limits += f" and below {high}"
    raise ValueError(f"{name} should be a number {limits}, not {value!r}.")


def _described(optimizer: torch.optim.Optimizer) -> str:
    groups = [
        {k: v for k, v in group.items() if k not in ("params", "lr")}
        for group in optimizer.param_groups
    ]
    return f"{type(optimizer).__name__} {groups}"


def check_choice(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        listed = ", ".join(map(repr, allowed))
        raise ValueError(f"{name} should be one of {listed}, not {value!r}.")


def check_batches(name: str, batches) -> None:
    try:
        steps = len(batches)
    except TypeError:
        raise ValueError(f"{name} should be batches with a len, not {type(batches)}.") from None
    if steps == 0:
        raise ValueError(f"{name} has no batches: there is nothing to learn from or to check.")


def check_network(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"The network should be an nn.Module, not {type(model).__name__}"
            f"{': build it first, with brackets' if isinstance(model, type) else ''}."
        )
    parameters = list(model.parameters())
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in parameters):
        raise ValueError(
            "The network has lazy layers that do not know their size yet: show it one batch of "
            "images first, model(images), and only then initialise and train it."
        )
    if not any(p.requires_grad for p in parameters):
        raise ValueError("The network has no parameters to train (requires_grad is off or none).")
    if not is_finite(model):
        raise ValueError(
            "The network's weights hold values that are not numbers, perhaps from a run that "
            "diverged; build it anew."
        )


def check_labels(logits: torch.Tensor, labels: torch.Tensor) -> None:
    """Raise ValueError if `labels` are no labels (N,) of the classes of `logits` (N, classes)."""
    if labels.shape != logits.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(
            f"The labels of {len(logits)} images should be int64 of shape ({len(logits)},), "
            f"not {labels.dtype} of shape {tuple(labels.shape)}."
        )
    low, high, classes = int(labels.min()), int(labels.max()), logits.shape[1]
    if low < 0 or high >= classes:
        raise ValueError(
            f"The labels run from {low} to {high}, but the network has {classes} classes, "
            f"which are 0 to {classes - 1}: build it with num_classes={high + 1} or check "
            "the labels."
        )


def is_finite(model: nn.Module) -> bool:
    tensors = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
    return all(bool(tensor.detach().isfinite().all()) for tensor in tensors)
