"""Runs that do not learn: how `fit` notices it, and what it says."""

from __future__ import annotations

import math

from torch import nn

from utils import diagnosis
from utils.runs.history import History
from utils.runs.run import Diverged, Run


def is_stuck(model: nn.Module, history: History, run: Run) -> bool:
    """Whether the loss has stayed at ln(num_classes), that of guessing, and will not leave it.

    A network that answers every image alike will not. Others may only be slow: a LeNet with
    sigmoids spends two epochs there before it learns. They get five, or until the end of the run.
    """
    if run.rates.steps < 100 or run.num_classes < 2:
        return False
    guessing, epochs = math.log(run.num_classes), 0
    chance = min(1.5 / run.num_classes, 1 / run.num_classes + 0.05)
    for loss, accuracy in zip(reversed(history.train_loss), reversed(history.train_accuracy)):
        if abs(loss - guessing) > 0.005 or accuracy > chance:
            break
        epochs += 1
    if epochs == 0:
        return False
    if epochs >= 5 or len(history.epochs) == history.planned:
        return True
    return diagnosis.answers_alike(model, run.sample[0])


def stuck_message(model: nn.Module, history: History, run: Run) -> str:
    return (
        f"After epoch {len(history.epochs)} of {history.planned} the loss is still "
        f"ln {run.num_classes} = {math.log(run.num_classes):.3f}, as if the network guessed. "
        f"{_diagnosis(model, run)}"
    )


def diverged_message(model: nn.Module, history: History, run: Run, error: Diverged) -> str:
    epoch = len(history.epochs)
    moment = f"at the end of epoch {epoch}" if epoch else "before the run"
    return (
        f"Stopped in epoch {epoch + 1} of {history.planned}: {error} "
        f"{_diagnosis(model, run)} The network has the weights again that it had {moment}."
    )


def _diagnosis(model: nn.Module, run: Run) -> str:
    try:
        return diagnosis.cause(model, *run.sample)
    except Exception as error:  # the history is worth more than its diagnosis
        return f"(The diagnosis failed: {error})"
