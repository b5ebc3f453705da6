"""The training loop of every chapter: `fit`, `train_epoch`, `evaluate`, `predict`.

`train_epoch` is the loop over one epoch, and chapter 00 goes through it line by line. What is not
part of the idea (devices, learning rates, progress, checkpoints) is in `utils.runs`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer

from utils import device as devices
from utils import language
from utils.diagnosis import device_of, modes_kept
from utils.notebook import under_pytest
from utils.runs import arguments, failure
from utils.runs.bar import Bar
from utils.runs.checkpoints import CheckpointError, load_weights, save_checkpoint
from utils.runs.history import Evaluation, History, Total
from utils.runs.keeper import Keeper
from utils.runs.place import Place
from utils.runs.run import Diverged, Run
from utils.runs.schedule import Rates, make_optimizer, one_cycle
from utils.runs.team import Team

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


# --- the loop -------------------------------------------------------------------------------------


def train_epoch(
    model: nn.Module, batches, optimizer: Optimizer, run: Run, *, label_smoothing: float = 0.0
) -> Evaluation:
    """Show the network every training batch once; return its mean loss and accuracy meanwhile."""
    model.train()
    for images, labels in run.steps(batches):  # on the device; sets the learning rate
        logits = model(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        optimizer.zero_grad()
        run.backward(loss)  # loss.backward()
        run.step(optimizer)  # optimizer.step()
        run.total.add(loss, logits, labels)
    return run.total.evaluation(run.team)


def fit(
    model: nn.Module,
    train,
    validation=None,
    *,
    epochs: int,
    learning_rate: float | None,
    optimizer: str | Optimizer = "sgd",
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
    stop_when_stuck: bool = True,
) -> History:
    """Train `model` on the batches of `train` and return the history of the run.

    Nothing is lost when it ends early: Ctrl-C, a loss that is not a number and a loss that does
    not leave the value of guessing print one message and set `history.status`. The network is
    left on the device, in evaluation mode.

    Args:
        train, validation: iterate as (images (N, C, H, W), labels (N,)) and have a `len`.
        learning_rate: the highest of the run; None keeps those of an `optimizer` made outside.
        optimizer: "sgd", "adamw" (which ignores `momentum`), or a torch optimizer.
        schedule: "one_cycle" (up for 30 % of all steps, then down to 0) or "constant".
        label_smoothing: share of each label spread over all classes (arXiv:1512.00567).
        precision: see `utils.device.precision`.
        channels_last: memory format of images and weights; "auto" where it is faster.
        compile: torch.compile, which takes its time first; evaluation stays uncompiled.
        seed: for order, dropout and augmentation; the first weights were drawn before this call.
        checkpoint: file that is written after each epoch. The same call goes on from there, to
            the very same weights on the same device with the same number of threads.
        progress: False shows nothing, True a bar (or lines) under pytest too.
        stop_when_stuck: end a run whose loss stays at ln(num_classes).

    Raises:
        ValueError: arguments, labels or logits that do not fit.
        MemoryError: a batch is too large for the device; says which size to try.
        CheckpointError: the file is damaged, or of another network, other settings or batches, or
            cannot be written before training begins.
    """
    arguments.check_network(model)
    arguments.check_batches("train", train)
    if validation is not None:
        arguments.check_batches("validation", validation)
    arguments.check_choice("channels_last", channels_last, ("auto", True, False))
    arguments.check_choice("progress", progress, ("auto", True, False))
    team = Team()
    settings = arguments.settings(
        train,
        optimizer,
        epochs=epochs,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=schedule,
        label_smoothing=label_smoothing,
        precision=precision,
        seed=seed,
        processes=team.size,
    )
    if seed is not None:
        devices.seed_everything(seed)
    place = Place(model, device, precision, channels_last)
    train = team.join(model, train, settings)
    optimizer = make_optimizer(model, optimizer, learning_rate, momentum, weight_decay)
    run = Run(place, team, Rates(optimizer, schedule, total_steps=epochs * len(train)))
    quiet = progress is False or (progress == "auto" and under_pytest()) or team.rank > 0
    keeper = Keeper(checkpoint, settings, model, optimizer, run, train)
    history = keeper.resume(epochs, stop_when_stuck, quiet)

    repeatable = seed is not None or checkpoint is not None
    with place.prepared(model, repeatable), run.rates, Bar(history, run.rates, quiet) as run.bar:
        network = run.network(model, compile)
        try:
            while history.status == "running":
                start = time.perf_counter()
                if hasattr(train, "set_epoch"):
                    train.set_epoch(len(history.epochs))
                trained = train_epoch(
                    network, train, optimizer, run, label_smoothing=label_smoothing
                )
                checked = None if validation is None else _evaluate(model, validation, place, team)
                keeper.check_finite(trained, checked)
                history.add(trained, checked, run.rates.last, time.perf_counter() - start)
                if stop_when_stuck and team.agree(failure.is_stuck(model, history, run)):
                    history.end("stuck", failure.stuck_message(model, history, run))
                elif len(history.epochs) == epochs:
                    history.end("finished")
                keeper.save(history)
                run.bar.finish_epoch()
        except KeyboardInterrupt:
            keeper.end_by_hand(history)
        except Diverged as error:
            history.end("diverged", failure.diverged_message(model, history, run, error))
            keeper.restore_last_good()
    model.eval()
    if history.status != "finished" and team.rank == 0:
        print(language.translate(history.message))
    return history


# --- evaluate and predict -------------------------------------------------------------------------


def evaluate(
    model: nn.Module, batches, *, device: str | torch.device | None = None, precision: str = "auto"
) -> Evaluation:
    """Mean loss and accuracy of `model` over `batches`, in evaluation mode, without gradients.

    `device` None means where the model is. Training mode is put back afterwards.
    """
    place = Place(model, device or device_of(model), precision)
    with place.prepared(model):
        return _evaluate(model, batches, place, Team())


def predict(
    model: nn.Module, batches, *, device: str | torch.device | None = None, precision: str = "auto"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, num_classes) in float32 and labels (N,) of all `batches`, on the CPU."""
    place = Place(model, device or device_of(model), precision)
    with place.prepared(model):
        pairs = [(logits.cpu(), labels.cpu()) for logits, labels in _answers(model, batches, place)]
    if not pairs:
        raise ValueError("There is nothing to predict: the batches are empty.")
    logits, labels = zip(*pairs)
    return torch.cat(logits), torch.cat(labels)


def _evaluate(model: nn.Module, batches, place: Place, team: Team) -> Evaluation:
    team.same_buffers(model)
    total = Total(place.device)
    for logits, labels in _answers(model, team.part_of(batches), place):
        if total.images == 0:
            arguments.check_labels(logits, labels)
        total.add_sum(F.cross_entropy(logits, labels, reduction="sum"), logits, labels)
    return total.evaluation(team)


def _answers(
    model: nn.Module, batches, place: Place
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Logits and labels batch by batch, in evaluation mode and without gradients."""
    with modes_kept(model), torch.no_grad():
        model.eval()
        for images, labels in batches:
            images, labels = place.move(images, labels)
            yield place.logits(model, images), labels
