"""The training loop of every chapter: `fit`, `evaluate`, `predict`, `History` and checkpoints.

`fit` and `train_epoch` are meant to be read; chapter 00 goes through them line by line. What is
not part of the idea (devices, learning rates, progress, checkpoints) stands below them.
"""

from __future__ import annotations

import math
import numbers
import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torch.utils.deterministic
from torch import nn

from utils import device as devices
from utils import diagnosis
from utils.runs import checkpoints
from utils.runs import team as distributed
from utils.runs.checkpoints import CheckpointError, load_weights, save_checkpoint

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

# cuBLAS reads this when it starts; without it its results can differ from run to run.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


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
        seed: for order, dropout and augmentation. It cannot reach weights drawn before.
        checkpoint: file that is written after each epoch. The same call goes on from there, to
            the very same weights on the same device with the same number of threads.
        progress: False shows nothing, True a bar (or lines) under pytest too.
        live: draw the curves after each epoch, in a notebook.
        stop_when_stuck: end a run whose loss stays at ln(num_classes).

    Raises:
        ValueError: arguments, labels or logits that do not fit.
        MemoryError: a batch is too large for the device; says which size to try.
        CheckpointError: the file is damaged, or of another network, other settings or batches, or
            cannot be written before training begins.
    """
    settings = check_arguments(dict(locals()))
    if seed is not None:
        devices.seed_everything(seed)
    repeatable = seed is not None or checkpoint is not None
    setup = Setup(model, device, precision, channels_last, repeatable)
    train = setup.team.join(model, train, settings, seed)
    optimizer = make_optimizer(model, optimizer, learning_rate, momentum, weight_decay)
    rates = Rates(optimizer, schedule, total_steps=epochs * len(train))
    keeper = Keeper(checkpoint, settings, model, optimizer, rates, setup, train)
    history = keeper.resume(History(planned=epochs), stop_when_stuck, is_silent(progress))

    with setup, rates, Progress(progress, live, history, len(train), setup.team) as bar:
        forward = setup.team.wrap(model)
        forward = torch.compile(forward) if compile else forward
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
                if stop_when_stuck and setup.team.agree(is_stuck(model, history, rates, setup)):
                    history.end("stuck", stuck_message(model, setup, history))
                elif len(history.epochs) == epochs:
                    history.end("finished")
                keeper.save(history)
                bar.finish_epoch(history)
        except KeyboardInterrupt:
            keeper.end_by_hand(history)
        except Diverged as error:
            history.end("diverged", diverged_message(model, setup, history, error))
            keeper.restore_last_good()
    model.eval()
    if history.status != "finished" and setup.team.rank == 0:
        print(history.message)
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
        setup.scaled(loss, len(labels)).backward()
        setup.scaler.step(optimizer)
        setup.scaler.update()

        # The sums stay on the device: asking a GPU for a number makes it wait.
        loss_sum += loss.detach() * len(labels)
        correct += (logits.argmax(dim=1) == labels).sum()
        seen += len(labels)
        bar.step(loss_sum, seen)
    return setup.total(loss_sum, correct, seen)


# ------------------------------------------------------------------------ evaluate and predict


class Evaluation(NamedTuple):
    """Mean cross-entropy (natural logarithm), share of right answers, number of images."""

    loss: float
    accuracy: float
    images: int

    @classmethod
    def of(cls, loss_sum: torch.Tensor, correct: torch.Tensor, images: int) -> Evaluation:
        if not images:
            raise ValueError("The batches are empty: there is nothing to learn from or to check.")
        return cls(float(loss_sum) / images, int(correct) / images, images)

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, accuracy {self.accuracy:.3f} on {self.images:,} images"


def evaluate(
    model: nn.Module, batches, *, device: str | torch.device | None = None, precision: str = "auto"
) -> Evaluation:
    """Mean loss and accuracy of `model` over `batches`, in evaluation mode, without gradients.

    `device` None means where the model is. Training mode is put back afterwards.
    """
    with Setup(model, device or model_device(model), precision) as setup:
        return setup.evaluate(model, batches)


def predict(
    model: nn.Module, batches, *, device: str | torch.device | None = None, precision: str = "auto"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, num_classes) in float32 and labels (N,) of all `batches`, on the CPU."""
    with Setup(model, device or model_device(model), precision) as setup:
        pairs = [(out.float().cpu(), labels.cpu()) for out, labels in setup.answers(model, batches)]
    if not pairs:
        raise ValueError("There is nothing to predict: the batches are empty.")
    logits, labels = zip(*pairs)
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


# The last: a GPU so full that cuBLAS or cuDNN could not even begin.
OUT_OF_MEMORY = re.compile(
    "out of memory|can't allocate memory|not enough memory|_STATUS_ALLOC_FAILED"
)


class Setup:
    """Where and how the computation runs: device, precision, memory format.

    As a context it puts the network into the memory format, and back at the end. `repeatable`
    makes a GPU use algorithms that give the same numbers every time, where there are any.
    """

    def __init__(
        self,
        model: nn.Module,
        device: str | torch.device | None,
        precision: str = "auto",
        channels_last: bool | str = "auto",
        repeatable: bool = False,
    ):
        self.model = model.to(devices.pick(device))
        self.device = model_device(model)
        self.precision = devices.precision(self.device, precision)
        self.autocast = self.precision.autocast
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.scale)
        if channels_last == "auto":
            channels_last = prefers_channels_last(model, self.device, self.precision.dtype)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.repeatable = repeatable and self.device.type == "cuda"
        self.team = distributed.Team(self.device)
        self.num_classes = self.batch_size = 0
        self.sample: tuple[torch.Tensor, torch.Tensor] = (torch.empty(0), torch.empty(0))

    def __enter__(self) -> Setup:
        contiguous = all(p.is_contiguous() for p in self.model.parameters() if p.ndim == 4)
        self.format_before = torch.contiguous_format if contiguous else torch.channels_last
        self.model.to(memory_format=self.memory_format)
        self.repeatable_before = repeatable_settings()
        if self.repeatable:
            set_repeatable(True, True, True, False, False)
        return self

    def __exit__(self, kind, error, frames) -> None:
        self.model.to(memory_format=self.format_before)
        if self.repeatable:
            set_repeatable(*self.repeatable_before)
        if error is not None:
            self.say_it_clearly(error, frames)

    def say_it_clearly(self, error: BaseException, frames) -> None:
        """Raise one clear sentence for what torch says in other words."""
        text = str(error)
        if isinstance(error, torch.OutOfMemoryError) or OUT_OF_MEMORY.search(text):
            # A notebook keeps the last error, and with it all that its frames hold.
            traceback.clear_frames(frames)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            raise MemoryError(
                f"The memory of {self.device} does not hold what a batch of {self.batch_size} "
                f"images needs: load the data with batch_size={max(1, self.batch_size // 2)}"
                f"{' for each process' if self.team.size > 1 else ''}."
            ) from None
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = text.strip().splitlines()[0] if text.strip() else type(error).__name__
            raise RuntimeError(
                f"torch.compile does not work on this machine ({reason}); use compile=False."
            ) from None
        if isinstance(error, IndexError) and "out of bounds" in text and "Target" in text:
            raise ValueError(
                f"A label does not fit: {text} The network has {self.num_classes} classes, which "
                f"are 0 to {self.num_classes - 1}."
            ) from None

    def scaled(self, loss: torch.Tensor, images: int) -> torch.Tensor:
        """The loss to differentiate, scaled for float16 and weighted for a team's share."""
        return self.scaler.scale(self.team.weighted(loss, images))

    def total(self, loss_sum: torch.Tensor, correct: torch.Tensor, seen: int) -> Evaluation:
        """What the sums over all images come to, those of other processes included."""
        return Evaluation.of(*self.team.sum(loss_sum, correct, seen))

    def zero(self) -> torch.Tensor:
        """A sum to start with, in float64 where the device has it."""
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.zeros((), dtype=dtype, device=self.device)

    def move(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.batch_size = max(self.batch_size, len(images))
        images = images.to(self.device, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        if self.memory_format == torch.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if len(images) >= len(self.sample[0]):
            self.sample = images, labels  # one full batch, for a diagnosis
        return images, labels

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
        with diagnosis.modes_kept(model), torch.no_grad():
            model.eval()
            for images, labels in batches:
                images, labels = self.move(images, labels)
                with self.autocast():
                    logits = model(images)
                yield logits, labels

    def evaluate(self, model: nn.Module, batches) -> Evaluation:
        self.team.same_buffers(model)
        batches = self.team.part_of(batches)
        loss_sum, correct, seen = self.zero(), self.zero(), 0
        for logits, labels in self.answers(model, batches):
            self.check_once(logits, labels)
            loss_sum += F.cross_entropy(logits.float(), labels, reduction="sum")
            correct += (logits.argmax(dim=1) == labels).sum()
            seen += len(labels)
        return self.total(loss_sum, correct, seen)


def prefers_channels_last(
    model: nn.Module, device: torch.device, dtype: torch.dtype | None
) -> bool:
    """Whether convolutions are faster with the channels of a pixel side by side in memory.

    They are on a GPU in half precision, and on a CPU with oneDNN (a small NiN trains in half the
    time). Local response normalisation is slower by more than that.
    """
    modules = list(model.modules())
    if any(isinstance(m, nn.LocalResponseNorm) for m in modules):
        return False
    if not any(isinstance(m, nn.Conv2d) for m in modules):
        return False
    if device.type == "cuda":
        return dtype is not None
    return device.type == "cpu" and torch.backends.mkldnn.is_available()


def repeatable_settings() -> tuple[bool, bool, bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def set_repeatable(
    algorithms: bool, warn_only: bool, cudnn: bool, benchmark: bool, fill_memory: bool
) -> None:
    torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
    torch.backends.cudnn.deterministic = cudnn
    torch.backends.cudnn.benchmark = benchmark
    torch.utils.deterministic.fill_uninitialized_memory = fill_memory


def model_device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def check_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Refuse arguments of `fit` that make no sense; return those that decide what comes out."""
    model, train, epochs, optimizer = (given[k] for k in ("model", "train", "epochs", "optimizer"))
    check_model(model)
    for name in ("train", "validation"):
        if given[name] is None and name == "validation":
            continue
        try:
            steps = len(given[name])
        except TypeError:
            raise ValueError(
                f"{name} should be batches with a len, not {type(given[name])}."
            ) from None
        if steps == 0:
            raise ValueError(f"{name} has no batches: there is nothing to learn from or to check.")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs should be a whole number from 1 on, not {epochs!r}.")
    own = isinstance(optimizer, torch.optim.Optimizer)
    if not own and optimizer not in ("sgd", "adamw"):
        raise ValueError(
            f'optimizer should be "sgd", "adamw" or a torch optimizer, not {optimizer!r}.'
        )
    if not (own and given["learning_rate"] is None):
        check_number("learning_rate", given["learning_rate"], 0, math.inf, above=True)
    check_number("momentum", given["momentum"], 0, 1)
    check_number("weight_decay", given["weight_decay"], 0, math.inf)
    check_number("label_smoothing", given["label_smoothing"], 0, 1)
    for name, allowed in (
        ("schedule", tuple(SCHEDULES)),
        ("channels_last", ("auto", True, False)),
        ("progress", ("auto", True, False)),
    ):
        if given[name] not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise ValueError(f"{name} should be one of {listed}, not {given[name]!r}.")
    settings = {"epochs": epochs, "schedule": given["schedule"], "precision": given["precision"]}
    for name in ("learning_rate", "momentum", "weight_decay", "label_smoothing"):
        # NumPy's numbers have no place in a checkpoint, which holds plain values only.
        settings[name] = None if given[name] is None else float(given[name])
    settings["seed"] = None if given["seed"] is None else devices.check_seed(given["seed"])
    settings["optimizer"] = describe_optimizer(optimizer) if own else optimizer
    settings["steps an epoch"] = len(train)
    for name in ("batch_size", "image_size", "augment", "dataset", "shuffle"):
        if isinstance(value := getattr(train, name, None), bool | int | str):
            settings[name] = value
    if isinstance(value := getattr(train, "seed", None), int):
        settings["seed of the batches"] = value
    if isinstance(labels := getattr(train, "labels", None), torch.Tensor):
        settings["images"] = len(labels)
    return settings


# Files from before these were stored lack them: what is not known is no conflict.
NOT_IN_OLD_FILES = {"dataset", "shuffle", "seed of the batches", "images"}


def check_number(name: str, value: Any, low: float, high: float, *, above: bool = False) -> None:
    """Raise ValueError unless low <= value < high (low < value with `above`)."""
    if isinstance(value, numbers.Real) and low <= value < high and not (above and value == low):
        return
    limits = f"{'above' if above else 'at least'} {low}"
    if high < math.inf:
        limits += f" and below {high}"
    raise ValueError(f"{name} should be a number {limits}, not {value!r}.")


def check_model(model: nn.Module) -> None:
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


def is_finite(model: nn.Module) -> bool:
    tensors = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
    return all(bool(tensor.detach().isfinite().all()) for tensor in tensors)


# ----------------------------------------------------------------- optimizer and learning rate


def make_optimizer(
    model: nn.Module,
    optimizer: str | torch.optim.Optimizer,
    learning_rate: float | None,
    momentum: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """The optimizer by its name; one that was made outside gets the learning rate, if any."""
    shared = {"lr": learning_rate, "weight_decay": float(weight_decay)}
    if optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=float(momentum), **shared)
    if optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), **shared)
    theirs = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not theirs & {id(p) for p in model.parameters()}:
        raise ValueError(
            "The optimizer was made for another network: it holds none of its weights."
        )
    if learning_rate is not None:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
    return optimizer


def describe_optimizer(optimizer: torch.optim.Optimizer) -> str:
    groups = [
        {k: v for k, v in group.items() if k not in ("params", "lr")}
        for group in optimizer.param_groups
    ]
    return f"{type(optimizer).__name__} {groups}"


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


# --------------------------------------------------------------------- when a run does not learn


class Diverged(Exception):
    """The loss or the weights are no longer numbers."""


def is_stuck(model: nn.Module, history: History, rates: Rates, setup: Setup) -> bool:
    """Whether the loss has stayed at ln(num_classes), that of guessing, and will not leave it.

    A network that answers every image alike will not. Others may only be slow: a LeNet with
    sigmoids spends two epochs there before it learns. They get five, or until the end of the run.
    """
    if rates.steps < 100 or setup.num_classes < 2:
        return False
    guessing, epochs = math.log(setup.num_classes), 0
    chance = min(1.5 / setup.num_classes, 1 / setup.num_classes + 0.05)
    for loss, accuracy in zip(reversed(history.train_loss), reversed(history.train_accuracy)):
        if abs(loss - guessing) > 0.005 or accuracy > chance:
            break
        epochs += 1
    if epochs == 0:
        return False
    if epochs >= 5 or len(history.epochs) == history.planned:
        return True
    return diagnosis.answers_alike(model, setup.sample[0])


def stuck_message(model: nn.Module, setup: Setup, history: History) -> str:
    return (
        f"After epoch {len(history.epochs)} of {history.planned} the loss stands at "
        f"ln {setup.num_classes} = {math.log(setup.num_classes):.3f}, that of guessing. "
        f"{diagnose(model, setup)}"
    )


def diverged_message(model: nn.Module, setup: Setup, history: History, error: Diverged) -> str:
    epoch = len(history.epochs)
    where = f"the end of epoch {epoch}" if epoch else "before the run"
    return (
        f"Stopped in epoch {epoch + 1} of {history.planned}: {error} "
        f"{diagnose(model, setup)} The network has its weights of {where} again."
    )


def diagnose(model: nn.Module, setup: Setup) -> str:
    try:
        return diagnosis.explain(model, *setup.sample)
    except Exception as error:  # the history is worth more than its diagnosis
        return f"(The diagnosis failed: {error})"


# ------------------------------------------------------------------------------------- progress


class Progress:
    """Shows how far the run is, and looks at the loss now and then to see whether it is a number.

    In notebooks and terminals a bar that disappears at the end; elsewhere one line an epoch.
    """

    def __init__(
        self,
        progress: bool | str,
        live: bool,
        history: History,
        steps: int,
        team: distributed.Team,
    ):
        self.history, self.steps, self.team = history, steps, team
        notebook = in_notebook()
        if is_silent(progress) or team.rank > 0:
            self.style = "nothing"
        else:
            self.style = "bar" if notebook or sys.stderr.isatty() else "lines"
        self.live = live and notebook and not under_pytest()
        self.bar = self.curve = None
        self.step_of_run, self.next_look = len(history.epochs) * steps, 0.0

    def __enter__(self) -> Progress:
        if self.history.status != "running":
            return self
        if self.style == "bar":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tqdm's advice to install ipywidgets
                from tqdm.auto import tqdm

                total = self.history.planned * self.steps
                self.bar = tqdm(total=total, initial=self.step_of_run, leave=False, unit="step")
        if self.live:
            from utils.plotting import LiveCurve

            self.curve = LiveCurve()
        return self

    def __exit__(self, *error) -> None:
        if self.bar is not None:
            self.bar.close()

    def step(self, loss_sum: torch.Tensor, seen: int) -> None:
        """Called after every step; on a GPU it asks for the loss only twice a second."""
        self.step_of_run += 1
        now = time.perf_counter()
        due = now >= self.next_look
        if due or loss_sum.device.type == "cpu":
            loss = float(loss_sum) / seen
            if not math.isfinite(loss) and self.team.size == 1:
                raise Diverged(f"by step {self.step_of_run} of the run the loss was {loss}.")
        if due:
            self.next_look = now + 0.5
            self.show(loss)

    def show(self, loss: float) -> None:
        if self.bar is not None:
            epoch = len(self.history.epochs) + 1
            self.bar.set_postfix_str(
                f"epoch {epoch}/{self.history.planned}, loss {loss:.3f}", refresh=False
            )
            self.bar.update(self.step_of_run - self.bar.n)

    def finish_epoch(self, history: History) -> None:
        if self.style == "lines":
            print(history, flush=True)
        if self.curve is not None:
            self.curve.update(history)


def is_silent(progress: bool | str) -> bool:
    return progress is False or (progress == "auto" and under_pytest())


def under_pytest() -> bool:
    return os.environ.get("COURSE_UNDER_PYTEST") == "1"


def in_notebook() -> bool:
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return "IPKernelApp" in getattr(get_ipython(), "config", {})


# ---------------------------------------------------------------------------------- checkpoints


class Keeper:
    """Keeps the state at the end of each epoch: the weights in memory, all of it in a file."""

    def __init__(
        self,
        path: str | Path | None,
        settings: dict[str, Any],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rates: Rates,
        setup: Setup,
        train,
    ):
        self.path = None if path is None else Path(path)
        self.settings, self.model, self.optimizer = settings, model, optimizer
        self.rates, self.scaler, self.train, self.team = rates, setup.scaler, train, setup.team
        self.last_good: dict[str, Any] = {}
        self.trouble = ""
        self.in_file = 0  # epochs that the file holds

    def save(self, history: History) -> None:
        """Remember the weights, and write the file. A file that cannot be written ends nothing."""
        try:
            self.write(history)
            self.trouble = ""
        except CheckpointError as error:
            if not self.trouble:
                print(error)
            self.trouble = str(error)
        history.message = history.message or self.trouble

    def write(self, history: History) -> None:
        self.team.same_buffers(self.model)
        self.last_good = checkpoints.copy_of_weights(self.model)
        if self.path is None:
            return
        random = self.team.gather(checkpoints.random_state(self.train))
        if self.team.rank == 0:
            checkpoints.write_file(
                self.path,
                {
                    "format": checkpoints.FORMAT,
                    "network": checkpoints.fingerprint(self.model),
                    "settings": self.settings,
                    "history": history.to_dict(),
                    "model": self.last_good,
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "steps": self.rates.steps,
                    "random": random[0],
                    "random_of_other_processes": random[1:],
                },
            )
        self.in_file = len(history.epochs)

    def resume(self, history: History, stop_when_stuck: bool, quiet: bool) -> History:
        """Take up the run of the file, if there is one; otherwise write the first state."""
        saved = self.team.from_first(self.read)
        if saved is None:
            self.write(history)
            return history
        if "optimizer" not in saved:
            raise CheckpointError(
                f"{self.path} holds weights but no run to go on with: load it with load_weights, "
                "or give this run another file name."
            )
        checkpoints.check_network(self.path, saved["network"], self.model)
        self.check_settings(saved["settings"])
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.rates.steps = saved["steps"]
        random = [saved["random"], *saved.get("random_of_other_processes", [])]
        checkpoints.set_random_state(random[self.team.rank], self.train)
        self.last_good = checkpoints.copy_of_weights(self.model)
        history = History.from_dict(saved["history"])
        self.in_file = len(history.epochs)
        if history.status == "stuck" and not stop_when_stuck:
            history.status, history.message = "running", ""
        if not quiet and history.epochs and self.team.rank == 0:
            print(f"From {self.path}: {history}")
        return history

    def read(self) -> dict[str, Any] | None:
        if self.path is None or not self.path.exists():
            return None
        return checkpoints.read_file(self.path)

    def check_settings(self, saved: dict[str, Any]) -> None:
        names = [k for k in self.settings | saved if self.settings.get(k) != saved.get(k)]
        names = [k for k in names if k in saved or k not in NOT_IN_OLD_FILES]
        if names:
            changes = ", ".join(
                f"{k} {saved.get(k)} there and {self.settings.get(k)} here" for k in names
            )
            raise CheckpointError(
                f"{self.path} belongs to a run with other settings ({changes}). Give this run "
                "another file name, or delete the file to start anew."
            )

    def end_by_hand(self, history: History) -> None:
        """Ctrl-C: say how to go on. A run that was over already stays what it was.

        The file may lack epochs that are done, if it was being written or could not be.
        """
        done = len(history.epochs)
        again = (
            f"the same call goes on from the start of epoch {self.in_file + 1}, from {self.path}"
        )
        if history.status == "running":
            if self.path is None:
                again = "fit on the same network trains on from there, with a new schedule"
            history.end(
                "interrupted",
                f"Stopped by hand with {done} of {history.planned} epochs done. The network keeps "
                f"the weights it has now; {again}.",
            )
        elif self.path is not None and self.in_file < done:
            lost = f"Stopped by hand before the file held epoch {done}: {again}."
            if history.status == "finished" and self.team.rank == 0:
                print(lost)  # any other ending is told by fit
            history.message = f"{history.message} {lost}".strip()

    def check_finite(self, trained: Evaluation, checked: Evaluation | None) -> None:
        losses = [e.loss for e in (trained, checked) if e is not None]
        if not all(map(math.isfinite, losses)) or not is_finite(self.model):
            raise Diverged("at its end the loss or the weights were no longer numbers.")

    def restore_last_good(self) -> None:
        self.model.load_state_dict(self.last_good)
