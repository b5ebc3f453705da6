"""What a run records: `Total` over the batches of one pass, `Evaluation`, and `History`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch

from utils import language
from utils.runs.team import Team


class Evaluation(NamedTuple):
    """Mean cross-entropy (natural logarithm), share of right answers, number of images."""

    loss: float
    accuracy: float
    images: int

    def __str__(self) -> str:
        return language.translate(
            f"loss {self.loss:.3f}, accuracy {self.accuracy:.1%} on {self.images:,} images"
        )


class Total:
    """Sums over batches. They stay on the device: asking a GPU for a number makes it wait."""

    def __init__(self, device: torch.device):
        dtype = torch.float32 if device.type == "mps" else torch.float64  # an Apple GPU has no more
        self.loss_sum = torch.zeros((), dtype=dtype, device=device)
        self.correct = torch.zeros((), dtype=dtype, device=device)
        self.images = 0

    def add(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch whose mean loss is `loss`."""
        self.add_sum(loss.detach() * len(labels), logits, labels)

    def add_sum(self, loss_sum: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.loss_sum += loss_sum
        self.correct += (logits.argmax(dim=1) == labels).sum()
        self.images += len(labels)

    def loss(self) -> float:
        """Mean loss of the images so far, of this process alone."""
        return float(self.loss_sum) / self.images

    def evaluation(self, team: Team) -> Evaluation:
        """The means over all images, those of the other processes included."""
        images = torch.full_like(self.loss_sum, self.images)
        sums = team.sum(torch.stack([self.loss_sum, self.correct, images]))
        loss_sum, correct, images = sums.tolist()
        if not images:
            raise ValueError("The batches are empty: there is nothing to learn from or to check.")
        return Evaluation(loss_sum / images, correct / images, int(images))


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

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> History:
        """The inverse of `to_dict`."""
        return cls(**d)

    def __str__(self) -> str:
        return language.translate(self._in_english())

    def _in_english(self) -> str:
        if not self.epochs:
            return f"no epoch finished ({self.status})"
        text = (
            f"epoch {self.epochs[-1]}/{self.planned}: train loss {self.train_loss[-1]:.3f}, "
            f"train accuracy {self.train_accuracy[-1]:.1%}"
        )
        if self.validation_accuracy:
            text += f", validation accuracy {self.validation_accuracy[-1]:.1%}"
        text += f", {sum(self.seconds) / len(self.seconds):.1f} s an epoch"
        return text if self.status in ("running", "finished") else f"{text} ({self.status})"

    __repr__ = __str__
