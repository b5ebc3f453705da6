"""The optimizer of a run, and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn


def make_optimizer(
    model: nn.Module,
    optimizer: str | torch.optim.Optimizer,
    learning_rate: float | None,
    momentum: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """The optimizer by its name; one that was made outside gets the learning rate, if any.

    Raises:
        ValueError: the optimizer was made for another network.
    """
    shared = {"lr": learning_rate, "weight_decay": float(weight_decay)}
    if optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=float(momentum), **shared)
    if optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), **shared)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not held & {id(p) for p in model.parameters()}:
        raise ValueError(
            "The optimizer was made for another network: it holds none of the weights of this one."
        )
    if learning_rate is not None:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
    return optimizer


def one_cycle(step: int, total_steps: int) -> float:
    """Share of the peak learning rate at `step`: up for 30 % of the run, then down to nearly 0.

    From 1/25 of the peak to the peak and down to 1/250,000 of it, along half cosines: the
    defaults of `torch.optim.lr_scheduler.OneCycleLR` (after arXiv:1708.07120).
    """
    peak, last = 0.3 * total_steps - 1, total_steps - 1
    if step <= peak:
        begin, end, share = 1 / 25, 1.0, step / peak
    else:
        begin, end, share = 1.0, 1 / 250_000, min(1.0, (step - peak) / (last - peak))
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def constant(step: int, total_steps: int) -> float:
    return 1.0


SCHEDULES = {"one_cycle": one_cycle, "constant": constant}


class Rates:
    """Sets the learning rate before every step. Its whole state is the number of steps taken."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: str, total_steps: int):
        self.optimizer, self.share, self.total_steps = optimizer, SCHEDULES[schedule], total_steps
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self.steps, self.last = 0, 0.0

    def set_next(self) -> None:
        share = self.share(self.steps, self.total_steps)
        for group, peak in zip(self.optimizer.param_groups, self.peaks):
            group["lr"] = peak * share
        self.last = self.peaks[0] * share
        self.steps += 1

    def __enter__(self) -> Rates:
        return self

    def __exit__(self, *error) -> None:
        for group, peak in zip(self.optimizer.param_groups, self.peaks):
            group["lr"] = peak  # an optimizer made outside may be used again
