"""What `train_epoch` needs besides torch: the batches, gradients and steps of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import nn

from utils.runs.arguments import check_labels
from utils.runs.bar import Bar
from utils.runs.history import Total
from utils.runs.place import Place
from utils.runs.schedule import Rates
from utils.runs.team import Team


class Diverged(Exception):
    """The loss or the weights are no longer numbers."""


class Run:
    """One run of `fit`.

    Attributes:
        total: the sums of the epoch so far.
        sample: one full batch, for a diagnosis.
        num_classes: as many as the network has logits; 0 before the first batch.
    """

    bar: Bar

    def __init__(self, place: Place, team: Team, rates: Rates):
        self.place, self.team, self.rates = place, team, rates
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=place.precision.scale)
        self.total = Total(place.device)
        self.labels = torch.empty(0)
        self.sample, self.num_classes = (torch.empty(0), self.labels), 0
        self.next_look = 0.0

    def network(self, model: nn.Module, compile: bool) -> nn.Module:
        """`model` as the loop calls it: shared by the team, compiled, in the run's precision."""
        forward = self.team.wrap(model)
        return _Network(torch.compile(forward) if compile else forward, self)

    def steps(self, batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each batch on the device, after the learning rate of its step has been set."""
        self.total = Total(self.place.device)
        for images, labels in batches:
            images, labels = self.place.move(images, labels)
            self.labels = labels
            if len(images) >= len(self.sample[0]):
                self.sample = images, labels
            self.rates.set_next()
            yield images, labels
            self._look()

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of `loss`, the mean over this batch.

        float16 needs the loss scaled up. Where several processes train together, each has a part of
        the batch, and its loss counts by the size of that part.
        """
        self.scaler.scale(self.team.weighted(loss, len(self.labels))).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step of `optimizer` with gradients that are scaled down again."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def _look(self) -> None:
        """Show how far the run is, and see whether the loss is still a number.

        A GPU waits when it is asked for a number, so it is asked only twice a second.
        """
        due = time.perf_counter() >= self.next_look
        if due or self.place.device.type == "cpu":
            loss = self.total.loss()
            if not math.isfinite(loss) and self.team.size == 1:
                raise Diverged(f"by step {self.rates.steps} of the run the loss was {loss}.")
        if due:
            self.next_look = time.perf_counter() + 0.5
            self.bar.show(loss)


class _Network(nn.Module):
    """Calls the network in the precision of the run, and checks the labels of the first batch."""

    def __init__(self, forward: nn.Module, run: Run):
        super().__init__()
        self.network, self.run = forward, run

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.run.place.logits(self.network, images)
        if not self.run.num_classes:
            check_labels(logits, self.run.labels)
            self.run.num_classes = logits.shape[1]
        return logits
