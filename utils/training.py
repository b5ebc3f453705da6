"""The training loop of every chapter: `fit`, `evaluate`, `predict`, `History` and checkpoints.

`fit` and `train_epoch` are meant to be read; chapter 00 goes through them line by line. What is
not part of the idea (devices, learning rates, progress, checkpoints) stands below them.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
import random
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from utils import device as devices
from utils import diagnosis

__all__ = [
    "CheckpointError",
    "Evaluation",
    "History",
    "evaluate",
    "fit",
    "load_weights",
    "one_cycle",
    "predict",
    "save_checkpoint",
    "train_epoch",
]


# ------------------------------------------------------------------------------- the loop itself


def fit(
    model: nn.Module,
    train,
    validation=None,
    *,
    epochs: int,
    learning_rate: float | None,
    optimizer: str | torch.optim.Optimizer = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    schedule: str = "one_cycle",
    label_smoothing: float = 0.0,
    device: str | torch.device | None = None,
    precision: str = "auto",
    channels_last: bool | str = "auto",
    compile: bool = False,
    seed: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | str = "auto",
    live: bool = False,
    stop_when_stuck: bool = True,
) -> History:
    """Train `model` on the batches of `train` and return the history of the run.

    `train` and `validation` iterate as (images (N, C, H, W), labels (N,)) and have a `len`.
    Ctrl-C, a loss that is not a number and a loss that never leaves the value of guessing end
    the run early; its history says why. With `checkpoint`, a run that was killed goes on.
    """
    settings = check_arguments(dict(locals()))
    if seed is not None:
        devices.seed_everything(seed)
    setup = Setup(model, device, precision, channels_last)
    optimizer = make_optimizer(model, optimizer, learning_rate, momentum, weight_decay)
    rates = Rates(optimizer, schedule, total_steps=epochs * len(train))
    keeper = Keeper(checkpoint, settings, model, optimizer, rates, setup)
    history = keeper.resume(History(planned=epochs))
    forward = torch.compile(model) if compile else model

    with setup, Progress(progress, live, history, steps=len(train)) as bar:
        try:
            while history.status == "running":
                start = time.perf_counter()
                if hasattr(train, "set_epoch"):
                    train.set_epoch(len(history.epochs))
                trained = train_epoch(
                    forward, train, optimizer, rates, setup, bar, label_smoothing=label_smoothing
                )
                checked = None if validation is None else setup.evaluate(model, validation)
                keeper.check_finite(trained, checked)
                history.add(trained, checked, rates.last, time.perf_counter() - start)
                if len(history.epochs) == epochs:
                    history.end("finished")
                elif stop_when_stuck and is_stuck(history, rates, setup):
                    history.end("stuck", stuck_message(model, train, setup, history))
                keeper.save(history)
                bar.finish_epoch(history)
        except KeyboardInterrupt:
            history.end("interrupted", interrupted_message(history, checkpoint))
        except Diverged as error:
            history.end("diverged", diverged_message(model, train, setup, history, error))
            keeper.restore_last_good()
    return history


def train_epoch(
    model: nn.Module,
    batches,
    optimizer: torch.optim.Optimizer,
    rates: Rates,
    setup: Setup,
    bar: Progress,
    *,
    label_smoothing: float = 0.0,
) -> Evaluation:
    """Show the network every training batch once; return its mean loss and accuracy meanwhile."""
    model.train()
    loss_sum, correct, seen = setup.zero(), setup.zero(), 0
    for images, labels in batches:
        images, labels = setup.move(images, labels)
        rates.set_next()

        with setup.autocast():
            logits = model(images)
            setup.check_once(logits, labels)
            loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        optimizer.zero_grad()
        setup.scaler.scale(loss).backward()
        setup.scaler.step(optimizer)
        setup.scaler.update()

        # The sums stay on the device: asking a GPU for a number makes it wait.
        loss_sum += loss.detach() * len(labels)
        correct += (logits.argmax(dim=1) == labels).sum()
        seen += len(labels)
        bar.step(loss_sum, seen)
    return Evaluation(float(loss_sum) / seen, int(correct) / seen, seen)


# ------------------------------------------------------------------------ evaluate and predict


class Evaluation(NamedTuple):
    """Mean cross-entropy (natural logarithm), share of right answers, number of images."""

    loss: float
    accuracy: float
    images: int

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, accuracy {self.accuracy:.3f} on {self.images:,} images"


def evaluate(
    model: nn.Module, batches, *, device: str | torch.device | None = None, precision: str = "auto"
) -> Evaluation:
    """Mean loss and accuracy of `model` over `batches`, in evaluation mode, without gradients.

    `device` None means where the model is. Training mode is put back afterwards.
    """
    return Setup(model, device or model_device(model), precision, False).evaluate(model, batches)


def predict(
    model: nn.Module, batches, *, device: str | torch.device | None = None, precision: str = "auto"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, num_classes) in float32 and labels (N,) of all `batches`, on the CPU."""
    setup = Setup(model, device or model_device(model), precision, False)
    pairs = [(logits.float().cpu(), labels.cpu()) for logits, labels in setup.answers(model, batches)]
    if not pairs:
        raise ValueError("There is nothing to predict: the batches are empty.")
    logits, labels = zip(*pairs, strict=True)
    return torch.cat(logits), torch.cat(labels)


# -------------------------------------------------------------------------------------- history


@dataclass
class History:
    """What happened in a run. The lists have one entry for each finished epoch.

    Training loss and accuracy are means over the epoch while the weights change, with label
    smoothing, dropout and augmentation where they are used; validation is measured at its end.
    """

    epochs: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    status: str = "running"
    message: str = ""
    planned: int = 0

    def add(
        self, trained: Evaluation, checked: Evaluation | None, rate: float, seconds: float
    ) -> None:
        self.epochs.append(len(self.epochs) + 1)
        self.train_loss.append(trained.loss)
        self.train_accuracy.append(trained.accuracy)
        if checked is not None:
            self.validation_loss.append(checked.loss)
            self.validation_accuracy.append(checked.accuracy)
        self.learning_rate.append(rate)
        self.seconds.append(seconds)

    def end(self, status: str, message: str = "") -> None:
        self.status, self.message = status, message
        if message:
            print(message)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> History:
        """The inverse of `to_dict`."""
        return cls(**d)

    def __str__(self) -> str:
        if not self.epochs:
            return f"no epoch finished ({self.status})"
        text = (
            f"epoch {self.epochs[-1]}/{self.planned}: train loss {self.train_loss[-1]:.3f}, "
            f"train accuracy {self.train_accuracy[-1]:.3f}"
        )
        if self.validation_accuracy:
            text += f", validation accuracy {self.validation_accuracy[-1]:.3f}"
        text += f", {sum(self.seconds) / len(self.seconds):.1f} s an epoch"
        return text if self.status in ("running", "finished") else f"{text} ({self.status})"

    __repr__ = __str__


# ------------------------------------------------------------------- device, precision, checks


class Setup:
    """Where and how the computation runs: device, precision, memory format."""

    def __init__(
        self,
        model: nn.Module,
        device: str | torch.device | None,
        precision: str,
        channels_last: bool | str,
    ):
        self.model = model.to(devices.pick(device))
        self.device = model_device(model)
        self.precision = devices.precision(self.device, precision)
        self.autocast = self.precision.autocast
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.scale)
        if channels_last == "auto":
            channels_last = self.device.type == "cuda" and self.precision.dtype is not None
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.num_classes = 0

    def __enter__(self) -> Setup:
        self.model.to(memory_format=self.memory_format)
        return self

    def __exit__(self, *error) -> None:
        self.model.to(memory_format=torch.contiguous_format)

    def zero(self) -> torch.Tensor:
        """A sum to start with, in float64 where the device has it."""
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.zeros((), dtype=dtype, device=self.device)

    def move(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        images = images.to(self.device, non_blocking=True)
        if self.memory_format == torch.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, labels.to(self.device, non_blocking=True)

    def check_once(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """On the first batch: do the labels fit the logits?"""
        if self.num_classes:
            return
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
            shape = tuple(getattr(logits, "shape", ())) or type(logits).__name__
            raise ValueError(
                f"The network should answer with logits of shape (N, num_classes), not {shape}."
            )
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
        self.num_classes = classes

    def answers(self, model: nn.Module, batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Logits and labels batch by batch, in evaluation mode and without gradients."""
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with torch.no_grad():
                for images, labels in batches:
                    images, labels = self.move(images, labels)
                    with self.autocast():
                        logits = model(images)
                    yield logits, labels
        finally:
            for module, training in modes:
                module.training = training

    def evaluate(self, model: nn.Module, batches) -> Evaluation:
        loss_sum, correct, seen = self.zero(), self.zero(), 0
        for logits, labels in self.answers(model, batches):
            self.check_once(logits, labels)
            loss_sum += F.cross_entropy(logits.float(), labels, reduction="sum")
            correct += (logits.argmax(dim=1) == labels).sum()
            seen += len(labels)
        if not seen:
            raise ValueError("There is nothing to evaluate: the batches are empty.")
        return Evaluation(float(loss_sum) / seen, int(correct) / seen, seen)


def model_device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def check_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


# ----------------------------------------------------------------- optimiser and learning rate


def make_optimizer(
    model: nn.Module,
    optimizer: str | torch.optim.Optimizer,
    learning_rate: float | None,
    momentum: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    if isinstance(optimizer, torch.optim.Optimizer):
        return optimizer
    if optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
        )
    return torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)


def one_cycle(step: int, total_steps: int) -> float:
    """Share of the peak learning rate at `step`: up for 30 % of the run, then down to nearly 0.

    From 1/25 of the peak to the peak and down to 1/250,000 of it, along half cosines: the
    defaults of `torch.optim.lr_scheduler.OneCycleLR` (after arXiv:1708.07120).
    """
    peak, last = 0.3 * total_steps - 1, total_steps - 1
    low, final = 1 / 25, 1 / 25e4
    if step <= peak or peak >= last:
        begin, end, share = low, 1.0, step / peak if peak > 0 else 1.0
    else:
        begin, end, share = 1.0, final, min(1.0, (step - peak) / (last - peak))
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def constant(step: int, total_steps: int) -> float:
    return 1.0


SCHEDULES = {"one_cycle": one_cycle, "constant": constant}


class Rates:
    """Sets the learning rate before every step. Its whole state is the number of steps taken."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: str, total_steps: int):
        self.optimizer, self.share, self.total_steps = optimizer, SCHEDULES[schedule], total_steps
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.steps, self.last = 0, 0.0

    def set_next(self) -> None:
        share = self.share(self.steps, self.total_steps)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share
        self.last = self.peaks[0] * share
        self.steps += 1


# --------------------------------------------------------------------- when a run does not learn


class Diverged(Exception):
    """The loss or the weights are no longer numbers."""


def is_stuck(history: History, rates: Rates, setup: Setup) -> bool:
    if rates.steps < 100 or setup.num_classes < 2:
        return False
    guessing = math.log(setup.num_classes)
    return (
        abs(history.train_loss[-1] - guessing) < 0.005
        and history.train_accuracy[-1] < 1.5 / setup.num_classes
    )


def stuck_message(model, train, setup, history) -> str:
    return (
        f"The loss stands at ln {setup.num_classes} = {math.log(setup.num_classes):.3f}, the value "
        f"of guessing. {diagnose(model, train, setup)}"
    )


def diverged_message(model, train, setup, history, error) -> str:
    return f"{error} {diagnose(model, train, setup)}"


def interrupted_message(history: History, checkpoint) -> str:
    return f"Stopped by hand in epoch {len(history.epochs) + 1} of {history.planned}."


def diagnose(model: nn.Module, train, setup: Setup) -> str:
    images, labels = next(iter(train))
    images, labels = setup.move(images[:256], labels[:256])
    return diagnosis.explain(model, images, labels)


# ------------------------------------------------------------------------------------- progress


class Progress:
    """Tells how far the run is, and looks at the loss now and then."""

    def __init__(self, progress: bool | str, live: bool, history: History, steps: int):
        self.next_look = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error) -> None:
        pass

    def step(self, loss_sum: torch.Tensor, seen: int) -> None:
        if loss_sum.device.type == "cpu" and not math.isfinite(loss_sum.item()):
            raise Diverged("The loss is no longer a number.")

    def finish_epoch(self, history: History) -> None:
        pass


# ---------------------------------------------------------------------------------- checkpoints


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written, read or used; one sentence says why."""


class Keeper:
    def __init__(self, path, settings, model, optimizer, rates, setup):
        self.model = model

    def resume(self, history: History) -> History:
        return history

    def save(self, history: History) -> None:
        pass

    def check_finite(self, trained: Evaluation, checked: Evaluation | None) -> None:
        pass

    def restore_last_good(self) -> None:
        pass


def save_checkpoint(path: str | Path, model: nn.Module, history: History | None = None) -> None:
    torch.save(model.state_dict(), path)


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    model.load_state_dict(torch.load(path, weights_only=True))
    return model
