"""Checks of chapter 11: the training loop."""

from __future__ import annotations

import builtins
import copy
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from exercises import trace
from exercises.compare import (
    Unexplained,
    Unfinished,
    Wrong,
    call,
    close,
    describe,
    expect_arguments,
    expect_keys,
    expect_numbers,
    plain,
)
from utils import data, training


def _numbers(values: Any, count: int, what: str) -> list[float]:
    """`values` as a list of so many numbers."""
    if hasattr(values, "tolist"):  # a tensor, an array
        values = values.tolist()
    if values is None:
        raise Wrong(f"{what} gives nothing (None). Is the `return` missing?")
    numbers = [plain(v) for v in values] if isinstance(values, (list, tuple)) else None
    if numbers is None or not all(isinstance(v, (int, float)) for v in numbers):
        raise Wrong(f"{what} gives {describe(values)}; a list of {count} numbers is expected.")
    if len(numbers) != count:
        raise Unexplained(f"{what} gives a list of {len(numbers)} numbers; {count} are right.")
    return numbers


def _largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


def _weights(model: nn.Module) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in model.state_dict().values()]


class _Mark(torch.autograd.Function):
    """Leaves numbers as they are, and shows how long the graph behind them is kept."""

    @staticmethod
    def forward(ctx, logits: Tensor, marks: list[_Pass], images: Tensor) -> Tensor:
        ctx.mark = _Pass(images, weakref.ref(ctx))
        marks.append(ctx.mark)
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.mark.went_back = True
        return gradient, None, None


@dataclass
class _Pass:
    """One forward pass: the images that were seen, and what became of its graph."""

    images: Tensor
    graph: weakref.ref
    went_back: bool = False

    @property
    def is_kept(self) -> bool:
        return self.graph() is not None


# --- loop.1: fit ----------------------------------------------------------------------------------

_EPOCHS, _RATE, _SEED = 3, 0.2, 5


def _task() -> tuple[nn.Module, data.Batches]:
    """A small network with dropout and batch norm; 22 images in batches of 8, 8 and 6."""
    random = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (22, 1, 6, 6), dtype=torch.uint8, generator=random)
    labels = torch.randint(0, 3, (22,), generator=random)
    batches = data.Batches(images, labels, batch_size=8, shuffle=True, device="cpu", seed=1)
    for _ in (*batches, *batches):  # used twice before: without set_epoch they are at epoch 2
        pass
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(48, 3),
        )
    return model.eval(), batches


@cache
def _by_fit() -> tuple[list[Tensor], list[float]]:
    model, batches = _task()
    history = training.fit(
        model,
        batches,
        epochs=_EPOCHS,
        learning_rate=_RATE,
        seed=_SEED,
        device="cpu",
        channels_last=False,
        progress=False,
        stop_when_stuck=False,
    )
    return _weights(model), history.train_loss


@contextmanager
def _steps(model: nn.Module) -> Iterator[list[dict[str, Any]]]:
    """The settings of each step of an optimizer, and whether its gradients are as they came."""
    steps: list[dict[str, Any]] = []
    came: dict[int, Tensor] = {}

    def keep(parameter: Tensor) -> None:
        came[id(parameter)] = parameter.grad.detach().clone()

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        changed = any(
            p.grad is not None and not torch.equal(p.grad, came.get(id(p), p.grad))
            for p in model.parameters()
        )
        group = min(optimizer.param_groups, key=lambda group: group["weight_decay"])
        steps.append(dict(group, changed=changed))

    hooks = [p.register_post_accumulate_grad_hook(keep) for p in model.parameters()]
    hooks.append(register_optimizer_step_pre_hook(note))
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()


def _other_settings(steps: list[dict[str, Any]]) -> str:
    """What the optimizer's first wrong step has in place of the right settings, in a sentence."""
    total = _EPOCHS * 3
    for number, step in enumerate(steps[:total]):
        right = {
            "lr": _RATE * training.one_cycle(number, total),
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "dampening": 0,
        }
        wrong = [
            key for key, value in right.items() if not close(step.get(key, value), value, 1e-6)
        ]
        if wrong:
            pairs = [f"`{key}` {plain(step[key]):.3g} ({right[key]:.3g} is right)" for key in wrong]
            scheduler = " (`OneCycleLR` changes it: use `training.one_cycle`.)"
            moved = len({step.get("momentum") for step in steps}) > 1
            return (
                f"In step {number} the optimizer has {' and '.join(pairs)}."
                f"{scheduler if moved else ''}"
            )
        if step["changed"]:
            return (
                "Between `backward()` and `optimizer.step()` your gradients change (are they "
                "clipped?); `training.fit` uses them as they are."
            )
    return ""


def loop_1(answer):
    right, right_losses = _by_fit()
    model, batches = _task()
    marks, kept, elsewhere, training_passes = [], [0], [0], [0]

    def mark(module: nn.Module, given: tuple, logits: Tensor) -> Tensor:
        kept.append(sum(one.is_kept for one in marks))
        elsewhere[0] += module is not model
        training_passes[0] += module.training
        return _Mark.apply(logits, marks, given[0])

    model.register_forward_hook(mark)
    what = f"my_fit(model, batches, {_EPOCHS}, {_RATE}, {_SEED})"
    with _steps(model) as steps:
        result = call(answer, model, batches, _EPOCHS, _RATE, _SEED, what=what)
        made = list(steps)
    expect_arguments(answer, model, batches, epochs=_EPOCHS, learning_rate=_RATE, seed=_SEED)
    ours = _weights(model)
    back = sum(one.went_back for one in marks)
    with_one = getattr(result, "requires_grad", None)
    trace.see([ours, model.training, with_one, len(made), back])
    if isinstance(result, (list, tuple)):
        with_graph = any(getattr(loss, "requires_grad", False) for loss in result)
    else:
        with_graph = getattr(result, "requires_grad", False)
    losses = _numbers(result, _EPOCHS, what)
    if (off := _largest_difference(ours, right)) > 1e-6 or math.isnan(off):
        start = _weights(_task()[0])
        same = "" if _largest_difference(ours, start) else " They are still the first weights."
        if same and elsewhere[0]:
            raise Wrong(
                "You train a copy of the network. `model` itself, which was handed in, still has "
                "its first weights: train that one."
            )
        suspicion = _other_settings(made)
        if 0 < back < training_passes[0]:
            suspicion = (
                f"In training mode the network sees {training_passes[0]} batches, and only {back} "
                "go back: each further pass draws dropout anew and moves the running averages."
            )
        raise Unexplained(
            f"After {_EPOCHS} epochs your weights differ from those of `training.fit`, by up to "
            f"{off:.2g}.{same}",
            suspicion,
        )
    for epoch, (mine, wanted) in enumerate(zip(losses, right_losses)):
        if not abs(mine - wanted) < 1e-4:
            if len(marks) > back:
                raise Wrong(
                    "The weights are right. But your losses come from further passes, after the "
                    "weights have changed: use the losses of the training steps themselves."
                )
            raise Unexplained(
                f"The weights are right. The loss of epoch {epoch} is {mine:.4f}, and "
                f"{wanted:.4f} is right. (The batches have 8, 8 and 6 images.)"
            )
    if model.training:
        raise Unexplained("The weights are right, but the network is left in training mode.")
    if with_graph:
        raise Wrong(
            "The weights and the losses are right. But each loss is a tensor that still holds the "
            "graph of its epoch: add up `loss.detach()`, or return numbers."
        )
    exact = all(torch.equal(a, b) for a, b in zip(ours, right))
    same = "bit for bit" if exact else "up to rounding"
    text = f"It leaves the weights that `training.fit` leaves, {same}."
    if max(kept) > 1:  # `loss` itself keeps one, until the next is computed
        text += (
            " (Your sum of losses keeps the graphs of all its batches. `loss.detach()` does not.)"
        )
    return text


# --- loop.2: loss scaling -------------------------------------------------------------------------


class _Half(torch.autograd.Function):
    """x @ w, computed in float16 in both directions, as a GPU would; arguments in float32."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return (x.half().float() @ weight.half().float()).half().float()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor]:
        x, _ = ctx.saved_tensors
        return None, (x.half().float().T @ gradient.half().float()).half().float()


class _HalfSum(torch.autograd.Function):
    """x + bias, computed in float16 in both directions; arguments in float32."""

    @staticmethod
    def forward(ctx, x: Tensor, bias: Tensor) -> Tensor:
        return (x.half() + bias.half()).float()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.half().float().sum(0).half().float()


class _HalfNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return _HalfSum.apply(_Half.apply(x, self.weight), self.bias)


def _scaling() -> Iterator[tuple[Tensor, Tensor, float, float, str]]:
    """Images, labels, factor of the loss, scale, and what is special about the step."""
    images, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    yield images, labels, 1.0, 8.0, "an ordinary step"
    yield images, labels, 1e-7, 2.0**20, "a step whose gradients would be zero without the scale"
    yield images, labels, 1.0, 2.0**18, "a step in which some gradients are infinite"
    dark, alike = images / 1000, torch.zeros(6, dtype=torch.int64)
    yield dark, alike, 1.0, 2.0**17, "a step in which only the last gradient has infinite numbers"
    yield images, alike, 1.0, 2.0**18, "a step in which all gradients have infinite numbers"
    yield images, labels, 1.0, 2.0**24, "a step whose gradients are infinite"
    yield images.abs(), alike, 1.0, 2.0**24, "a step whose gradients are all infinite"
    yield images, labels, math.nan, 1.0, "a step whose gradients are NaN"
    yield images, labels, 1.0, 1.0, "a step with the scale 1"


_AGAIN = (
    "Your function calls `backward()` again and again in one step. If a gradient is not finite, "
    "leave the step out and return half of `scale`: the next batch is tried with it."
)


def _momentum(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    states = optimizer.state_dict()["state"].values()
    return [
        state["momentum_buffer"].clone()
        for state in states
        if state.get("momentum_buffer") is not None
    ]


def loop_2(answer, reference):
    def steps(function: Callable, learners: bool) -> list[tuple[Any, list[Tensor], int, bool]]:
        torch.default_generator.manual_seed(4)
        model = _HalfNetwork()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        found, reached = [], [0]

        def count(parameter: Tensor) -> None:
            reached[0] += parameter is model.bias
            if reached[0] > 20:
                raise Wrong(_AGAIN)

        model.bias.register_post_accumulate_grad_hook(count)
        for images, labels, factor, scale, _ in _scaling():
            before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
            given = model, optimizer, F.cross_entropy(model(images), labels) * factor, scale
            what = f"scaled_step(model, optimizer, loss, {scale:g})"
            reached[0], momentum = 0, _momentum(optimizer)
            try:
                result = call(function, *given, what=what) if learners else function(*given)
            except Wrong as error:
                if "NoneType" in str(error) and model.bias.grad is None:
                    raise Wrong(f"{_no_gradients(reached[0])} {error}") from None
                raise
            kept = close(_momentum(optimizer), momentum, 1e-6)
            found.append((result, _weights(model), reached[0], kept))
            if learners:
                # NaN is like nothing, not even NaN; as a number it tells mistakes apart.
                trace.see([weight.nan_to_num(nan=-1e4) for weight in found[-1][1]])
            if not all(weight.isfinite().all() for weight in found[-1][1]):
                model.load_state_dict(before[0])  # so that the next step tells something again
                optimizer.load_state_dict(before[1])
                model.zero_grad()
        return found

    right, ours = steps(reference, False), steps(answer, True)
    for mine_all, (wanted, right_weights, *_), case in zip(ours, right, _scaling()):
        (mine, weights, passes, momentum_kept), (*_, scale, what) = mine_all, case
        if mine is None:
            raise Wrong(f"After {what} your function gives nothing (None). Return the scale.")
        if not isinstance(plain(mine), (int, float)):
            raise Wrong(f"The scale is a number, and your function gives {describe(mine)}.")
        if not close(weights, right_weights, 1e-6):
            if passes > 1:
                raise Wrong(_AGAIN)
            gone = any(bool(w.isnan().any()) for w in weights)
            how = "hold NaN now" if gone else "are wrong"
            longer = _longer(weights, right_weights) if right_weights is right[0][1] else ""
            raise Unexplained(f"After {what} (scale {scale:g}) the weights {how}.", longer)
        if wanted < scale and not momentum_kept:
            raise Wrong(
                f"After {what} the weights are right, but the optimizer has made a step: its "
                "momentum has changed. Do not call `optimizer.step()` then."
            )
        if not close(mine, wanted, 1e-9):
            raise Unexplained(
                f"After {what} your function gives the scale {plain(mine):g}; {wanted:g} is right."
            )
    return "It steps, it skips, and weights that float16 would lose move."


def _longer(weights: list[Tensor], right: list[Tensor]) -> str:
    """How many times too long the first step is, in a sentence, where its direction is right."""
    torch.default_generator.manual_seed(4)
    start = _weights(_HalfNetwork())
    moves = [[a - b for a, b in zip(after, start)] for after in (weights, right)]
    factor = float(moves[0][0].norm() / moves[1][0].norm())
    if not factor or not close([move / factor for move in moves[0]], moves[1], 1e-4):
        return ""
    return (
        f"The step has the right direction, and {factor:.3g} times the right length: divide the "
        "gradients by the scale, and by nothing else."
    )


def _no_gradients(reached: int) -> str:
    """Why there are no gradients after so many backward passes."""
    if reached:
        return (
            "Your gradients are None: `zero_grad()` comes after `backward()` and throws them away. "
            "It belongs before it."
        )
    return (
        "Your gradients are None: `backward()` has reached no weight. Is it called, on `loss * "
        "scale` itself? A new tensor, `.detach()` and `.item()` cut the loss off from the network."
    )


# --- loop.3: accumulation -------------------------------------------------------------------------


class _Watched(nn.Module):
    """A linear network in float64 that notes what it sees and when."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3, dtype=torch.float64)
        self.seen: list[int] = []
        self.marks: list[_Pass] = []
        self.waiting = 0  # most passes whose graph was kept, without `backward()`, at one time
        self.evaluated = False

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        self.evaluated |= not self.training
        logits = _Mark.apply(self.linear(images), self.marks, images.detach().clone())
        waiting = sum(one.is_kept and not one.went_back for one in self.marks)
        self.waiting = max(self.waiting, waiting)
        return logits


def loop_3(answer):
    for count, part_size in ((10, 4), (12, 4), (3, 8), (7, 1)):
        model = _Watched()
        images = torch.randn(count, 5, dtype=torch.float64)
        labels = torch.randint(0, 3, (count,))
        whole = F.cross_entropy(model.linear(images), labels)
        right = torch.autograd.grad(whole, list(model.parameters()))
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)  # of the step before
        start = _weights(model)
        what = f"accumulate(model, images, labels, {part_size}) with {count} images"
        loss = call(answer, model, images, labels, part_size, what=what)
        gradients = [
            torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()
        ]
        trace.see([gradients, model.seen])
        if model.seen and max(model.seen) > part_size:
            only_looked = [one for one in model.marks if not one.went_back]
            if close(gradients, list(right), 1e-9) and only_looked:
                raise Wrong(
                    f"The gradients are right. But for the returned loss the network sees "
                    f"{max(model.seen)} images at a time; at most {part_size} are allowed. Add up "
                    "the losses of the parts."
                )
            raise Unexplained(
                f"In {what} the network sees {max(model.seen)} images at a time; at most "
                f"{part_size} are allowed."
            )
        if sum(model.seen) < count:
            raise Unexplained(f"In {what} the network sees only {sum(model.seen)} images.")
        if not close(_weights(model), start, 0.0):
            raise Wrong("Your function changes the weights. It should only leave gradients.")
        if model.evaluated or not model.training:
            raise Wrong(
                "Your function switches the network to evaluation mode. Dropout and batch norm "
                "then do something else than in training: leave the mode as it is."
            )
        if all(torch.equal(gradient, torch.ones_like(gradient)) for gradient in gradients):
            raise Wrong(
                f"After {what} every `parameter.grad` is still the old one: it was neither "
                "forgotten nor replaced. `backward()` puts gradients there; what "
                "`torch.autograd.grad` returns you have to store yourself."
            )
        if not close(gradients, list(right), 1e-9):
            factor = gradients[0].norm() / right[0].norm()
            close_by = close([g / factor for g in gradients], list(right), 1e-9)
            times = f": they are {float(factor):.4g} times the right ones" if close_by else ""
            parts = ", ".join(map(str, model.seen))
            raise Unexplained(f"After {what} the gradients are wrong{times}. (Parts: {parts}.)")
        if loss is None:
            raise Wrong(f"{what} gives nothing (None). Is the `return` missing?")
        if not close(plain(loss), whole.item(), 1e-6):
            raise Unexplained(
                f"The gradients are right. {what} gives {describe(loss)}, and the mean loss is "
                f"{whole.item():.6g}."
            )
        if model.waiting > 1:
            raise Wrong(
                f"The gradients are right. But {model.waiting} parts wait for `backward()` at the "
                "same time, so the activations of all of them are in memory, as with the whole "
                "batch. Call `backward()` for each part, before the next one."
            )
        _check_parts([one.images for one in model.marks if one.went_back], images, part_size, what)
    return "Its gradients are those of the whole batch in four cases, uneven parts among them."


def _check_parts(ours: list[Tensor], images: Tensor, part_size: int, what: str) -> None:
    """Raises `Wrong` unless these are the images in their order, cut into parts."""
    right = images.split(part_size)
    if [len(part) for part in ours] != [len(part) for part in right]:
        mine, wanted = (", ".join(str(len(part)) for part in parts) for parts in (ours, right))
        chunks = [len(part) for part in images.chunk(part_size)]
        why = " `chunk` takes the number of parts, `split` takes their size."
        why = why if [len(part) for part in ours] == chunks else ""
        if any(torch.equal(ours[0], images[::step]) for step in range(2, len(images))):
            why = " A slice with a step takes an image here and there; take neighbours."
        raise Wrong(f"In {what} the parts have {mine} images; {wanted} are right.{why}")
    if not all(torch.equal(a, b) for a, b in zip(ours, right)):
        raise Wrong(
            f"In {what} the parts have the right sizes and the wrong images: the first "
            f"{len(right[0])} images come first, then the next ones."
        )


# --- loop.4: gradients of several processes -------------------------------------------------------


_FORGOTTEN = (
    "There are no gradients left to send: something forgets them first, such as `zero_grad()`. "
    "Here they are needed as `backward()` has left them."
)


class _Pretended:
    """A group of processes, played one after the other in this one.

    In a round every process runs alone. What it puts into `all_reduce` is written down, and it gets
    the sum with what the others put in at this place in the round before. The rounds go on until
    nothing changes any more; with gradients that is the second.
    """

    def __init__(self, size: int) -> None:
        self.size, self.rank = size, 0
        self.before: list[list[Tensor]] = [[] for _ in range(size)]
        self.now: list[Tensor] = []
        self.calls: list[list[str]] = [[] for _ in range(size)]  # of each process
        self.early = False  # whether one used a tensor before its exchange was done

    def run(self, function: Callable[[int], Any]) -> list[Any]:
        for _ in range(4):
            results, written = [], []
            for rank in range(self.size):
                self.rank, self.now, self.calls[rank], self.works = rank, [], [], []
                results.append(function(rank))
                self.early |= any(not work.is_done for work in self.works)
                written.append(self.now)
            steady = close(written, self.before, 0.0)
            self.before = written
            if steady:
                break
        return results

    def _others(self, name: str, tensor: Tensor) -> Tensor:
        """What every process has put in at this place, in the order of the ranks, stacked."""
        if tensor is None:
            raise Wrong(_FORGOTTEN)
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}(): a Tensor is expected, not {type(tensor).__name__}")
        place = len(self.now)
        self.now.append(tensor.detach().clone())
        self.calls[self.rank].append(name)
        given = []
        for rank, written in enumerate(self.before):
            mine = rank == self.rank or place >= len(written)
            mine = mine or written[place].shape != tensor.shape
            given.append(self.now[-1] if mine else written[place])
        return torch.stack(given)

    def _done(self, pairs: list[tuple[Tensor, Tensor]], async_op: bool) -> _Work | None:
        """Puts the new numbers into the tensors: at once, or when somebody waits for it."""
        work = _Work(self, pairs)
        if async_op:
            self.works.append(work)
            return work
        work.wait()
        return None

    def all_reduce(self, tensor, op=dist.ReduceOp.SUM, group=None, async_op=False):
        return self._done([(tensor, self._reduced("all_reduce", tensor, op))], async_op)

    def _reduced(self, name: str, tensor: Tensor, op: Any) -> Tensor:
        if op == dist.ReduceOp.AVG:
            raise RuntimeError("Cannot use ReduceOp.AVG with Gloo")
        given = self._others(name, tensor)
        if op == dist.ReduceOp.SUM:
            return given.sum(0)
        if op == dist.ReduceOp.MAX:
            return given.amax(0)
        return given.amin(0) if op == dist.ReduceOp.MIN else given.prod(0)

    def reduce(self, tensor, dst=0, op=dist.ReduceOp.SUM, group=None, async_op=False):
        total = self._reduced("reduce", tensor, op)
        return self._done([(tensor, total)] if self.rank == dst else [], async_op)

    def broadcast(self, tensor, src=0, group=None, async_op=False):
        return self._done([(tensor, self._others("broadcast", tensor)[src])], async_op)

    def all_gather(self, tensors, tensor, group=None, async_op=False):
        given = self._others("all_gather", tensor)
        return self._done(list(zip(tensors, given)), async_op)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """torch.distributed speaks to this group."""
        with mock.patch.multiple(
            dist,
            all_reduce=self.all_reduce,
            all_gather=self.all_gather,
            reduce=self.reduce,
            broadcast=self.broadcast,
            get_world_size=lambda group=None: self.size,
            get_rank=lambda group=None: self.rank,
            is_initialized=lambda: True,
            barrier=lambda *_, **__: None,
        ):
            yield


class _Work:
    """An exchange that has begun, as `async_op=True` gives it."""

    def __init__(self, group: _Pretended, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self.group, self.pairs, self.is_done = group, pairs, False
        self.given = [tensor.detach().clone() for tensor, _ in pairs]

    def wait(self, timeout: Any = None) -> bool:
        if not self.is_done:
            for (tensor, new), given in zip(self.pairs, self.given):
                self.group.early |= not torch.equal(tensor, given)
                with torch.no_grad():
                    tensor.copy_(new)
        self.is_done = True
        return True

    def is_completed(self) -> bool:
        return self.is_done


def loop_4(answer):
    for size in (2, 3):
        first = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
        gradients = [[torch.randn_like(p) for p in first.parameters()] for _ in range(size)]
        mean = [torch.stack(every).mean(0) for every in zip(*gradients)]

        def one(rank: int, first=first, gradients=gradients) -> tuple:
            model = copy.deepcopy(first)
            with torch.no_grad():  # equal in earnest; here they differ, to see who touches them
                for parameter in model.parameters():
                    parameter += rank
            start = _weights(model)
            for parameter, gradient in zip(model.parameters(), gradients[rank]):
                parameter.grad = gradient.clone()
            call(answer, model, what="average_gradients(model)")
            changed = not close(_weights(model), start, 0.0)
            grads = [p.grad if p.grad is not None else p * 0 for p in model.parameters()]
            return _weights(model), changed, grads

        group = _Pretended(size)
        with group.in_place(), trace.unwatched():
            found = group.run(one)
        trace.see([[weights, grads] for weights, _, grads in found])
        if not any(group.before):
            names = getattr(getattr(answer, "__code__", None), "co_names", ())
            if {"all_reduce", "all_gather", "reduce", "broadcast"}.intersection(names):
                raise Wrong(
                    "The exchange in your function is never reached here: something before it, a "
                    "condition or an empty loop, keeps it from being called. Every gradient has to "
                    "be sent, also those of a small network or of the last, smaller group."
                )
            raise Wrong(
                "Your function sends nothing to the other processes: it never calls "
                "`dist.all_reduce`."
            )
        if any(calls != group.calls[0] for calls in group.calls):
            counts = ", ".join(str(len(calls)) for calls in group.calls)
            raise Wrong(
                f"The processes do not make the same exchanges (so many: {counts}). Real processes "
                "would wait for each other without end: every process has to make every call."
            )
        if not any(bool(sent.any()) for calls in group.before for sent in calls):
            raise Wrong(_FORGOTTEN)
        if group.early:
            raise Wrong(
                "`async_op=True` only begins the exchange, and your function uses the gradient "
                "before it is done. Call `wait()` on what `all_reduce` returns first."
            )
        if any(changed for _, changed, _ in found):
            raise Wrong("The weights have changed; the gradients should be averaged.")
        if all(close(grads, own, 1e-6) for (*_, grads), own in zip(found, gradients)):
            raise Wrong(
                "The gradients are still those of each process itself: what was exchanged is a "
                "copy. Put the mean into `parameter.grad`."
            )
        for rank, (*_, grads) in enumerate(found):
            if not close(grads, mean, 1e-5):
                why = _not_the_mean(grads, mean, gradients[rank], group.before[rank])
                raise Unexplained(
                    f"With {size} processes the gradients in process {rank} are not the mean of "
                    "all.",
                    why,
                )
    return "Two processes, and three, end with the mean of all their gradients."


def _not_the_mean(
    grads: list[Tensor], mean: list[Tensor], own: list[Tensor], sent: list[Tensor]
) -> str:
    """What else the gradients of a process are, in a sentence, or an empty text."""
    if any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in sent):
        return "The gradients are sent in 16 bits and lose digits: send them in float32."
    kept = [n for n, pair in enumerate(zip(grads, own), 1) if close(*pair, 1e-6)]
    if 0 < len(kept) < len(grads):
        which = ", ".join(map(str, kept))
        return f"Of these parameters, counted from 1, the gradient was not exchanged: {which}."
    factors = [float(grad.norm() / right.norm()) for grad, right in zip(grads, mean)]
    if close([grad / factor for grad, factor in zip(grads, factors)], mean, 1e-4):
        times = ", ".join(dict.fromkeys(f"{factor:.3g}" for factor in factors))
        return f"The gradients are the mean times {times}: by which number do you divide?"
    return ""


# --- loop.5: who shows which image ----------------------------------------------------------------


def _holds_text(value: Any) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return any(map(_holds_text, value))
    return isinstance(value, (str, bytes))


_SORTED = "A process shows its images sorted by their number; the order should be random too."
_TWO_CALLS = (
    "Two calls with the same arguments give different images. The random order must depend on "
    "`seed` and `epoch` alone: make a new generator in each call."
)


def loop_5(answer):
    real_hash, texts_hashed = hash, []

    def watched_hash(value: Any) -> int:
        texts_hashed.extend([value] if _holds_text(value) else [])
        return real_hash(value)

    def mine(count: int, rank: int, processes: int, epoch: int, seed: int) -> list[int]:
        what = f"my_images({count}, {rank}, {processes}, {epoch}, {seed})"
        before = torch.get_rng_state()
        with mock.patch.object(builtins, "hash", watched_hash):
            result = call(answer, count, rank, processes, epoch, seed, what=what)
        if texts_hashed:
            raise Wrong(
                "`hash` of a text is another number in every Python process, so the processes "
                "would draw different orders. Compute the generator's seed from numbers alone."
            )
        if not torch.equal(before, torch.get_rng_state()):
            raise Wrong(
                f"{what} draws from torch's global random numbers, or sets their seed. Dropout "
                "needs those: take a generator of your own, for `torch.randperm` too."
            )
        if result is None:
            raise Wrong(f"{what} gives nothing (None). Is the `return` missing?")
        values = result.tolist() if hasattr(result, "tolist") else result
        if isinstance(values, range):
            values = list(values)
        if not isinstance(values, (list, tuple)) or not all(
            isinstance(plain(v), int) and not isinstance(plain(v), bool) for v in values
        ):
            raise Wrong(f"{what} gives {describe(result)}; a list of whole numbers is expected.")
        return [plain(v) for v in values]

    alone = mine(60, 0, 1, 0, 0)
    if len(alone) == 60 and len(set(alone)) < 60:
        raise Wrong(
            "In one epoch a process draws an image twice. `torch.randint` does that; "
            "`torch.randperm` gives every number once."
        )
    if alone in (list(range(60)), list(reversed(range(60)))):
        if mine(60, 0, 3, 0, 0) != mine(60, 0, 3, 1, 0):
            raise Wrong(_SORTED)
        raise Wrong("The images come in the order of their numbers: nothing is shuffled.")
    for count, processes in ((12, 3), (10, 4), (7, 2), (5, 1)):
        parts = [mine(count, rank, processes, 0, 0) for rank in range(processes)]
        where = f"{count} images and {processes} processes"
        shown = sorted(n for part in parts for n in part)
        if wrong := [n for n in shown if not 0 <= n < count]:
            from_1 = " Images are numbered from 0, not from 1."
            why = from_1 if shown == list(range(1, count + 1)) else ""
            raise Unexplained(f"With {where} image {wrong[0]} is shown, which does not exist.{why}")
        again = [mine(count, rank, processes, 0, 0) for rank in range(processes)]
        if again != parts:
            raise Wrong(_TWO_CALLS)
        if shown != list(range(count)):
            twice = [n for n in range(count) if shown.count(n) > 1]
            never = [n for n in range(count) if n not in shown]
            texts = [f"image {twice[0]} is shown {shown.count(twice[0])} times"] if twice else []
            texts += [f"image {never[0]} is never shown"] if never else []
            cause = _overlap(parts, processes, shown, count)
            raise Wrong(f"{cause}With {where}, {' and '.join(texts)} in one epoch.")
        lengths = [len(part) for part in parts]
        if max(lengths) - min(lengths) > 1:
            last = lengths[-1] > lengths[0] and len(set(lengths[:-1])) == 1
            why = "The last process takes all that are left over: spread them. " if last else ""
            raise Wrong(
                f"{why}With {where} the processes show {', '.join(map(str, lengths))} images. No "
                "process should have more than one more than another."
            )

    count, processes = 60, 3
    for seed in (3, 0):
        epochs = [[mine(count, r, processes, e, seed) for r in range(processes)] for e in range(3)]
        if epochs[1] != [mine(count, r, processes, 1, seed) for r in range(processes)]:
            raise Wrong(_TWO_CALLS)
        if epochs[0] == epochs[1] or epochs[1] == epochs[2]:
            only = " (With the seed 0 alone: a product with 0 is 0.)" if seed == 0 else ""
            raise Wrong(
                "Two epochs have the same order. Let the generator's seed depend on `epoch`." + only
            )
    if epochs[0] == [mine(count, r, processes, 0, 1) for r in range(processes)]:
        raise Wrong("Two seeds give the same order. Let the generator's seed depend on `seed`.")
    if _is_turned(alone, mine(count, 0, 1, 1, 0)):
        raise Wrong(
            "Two epochs have the same order, only begun at another image or turned round. Draw a "
            "new order in each epoch."
        )
    if _is_turned(alone, mine(count, 0, 1, 0, 1)):
        raise Wrong(
            "Two seeds have the same order, only begun at another image or turned round. Draw a "
            "new order for each seed."
        )
    if set(epochs[0][0]) == set(epochs[1][0]):
        raise Wrong(
            "Process 0 shows the same images in every epoch, only in another order. Shuffle all "
            "images first, and then take the part of each process."
        )
    for part in epochs[0]:
        if part == sorted(part) or part == sorted(part, reverse=True):
            raise Wrong(_SORTED)
    return "Every image is shown once an epoch, in an order that is new each time."


def _is_turned(order: list[int], other: list[int]) -> bool:
    """Whether the one is the other, begun at another place, or backwards."""
    return any(
        one[place:] + one[:place] == order
        for one in (other, other[::-1])
        for place in range(len(one))
    )


def _overlap(parts: list[list[int]], processes: int, shown: list[int], count: int) -> str:
    """Why images are shown twice or never, in a sentence, or an empty text."""
    if processes > 1 and all(sorted(part) == list(range(count)) for part in parts):
        return "Every process shows all images; each should take its part of them. "
    if (
        count % processes
        and len(shown) == count - count % processes
        and len(set(shown)) == len(shown)
    ):
        return "The images that are left over when you divide are dropped. "
    if count % processes and len(shown) > count and len({len(p) for p in parts}) == 1:
        return "All parts are filled up to one size, as `DistributedSampler` does. "
    if processes > 1 and all(part == parts[0] for part in parts):
        return "Every process gets the same part: `rank` is not used. "
    shorter = all(part == parts[0][rank:] for rank, part in enumerate(parts))
    if processes > 1 and shorter and len(parts[0]) == processes:
        return "Your slice has one colon: it ends at place `processes`. A step needs two. "
    sizes = [len(part) for part in parts]
    if processes > 1 and sizes == [len(range(processes, count, r + 1)) for r in range(processes)]:
        return "In the slice, start and step have changed places. "
    if processes > 1 and sizes[0] == 1 < min(sizes[1:]):
        return "Process 0 gets one image: ranks count from 0, so `rank - 1` is -1, the last place. "
    if processes > 1 and parts[0][1:] and parts[1][: len(parts[0]) - 1] == parts[0][1:]:
        return (
            "Each part begins one image after the part before, and they overlap. Take every "
            "`processes`-th image, from place `rank` on. "
        )
    if len(shown) == len(set(shown)) == count - 1:
        return "One image is left out: does a slice end at -1, before the last place? "
    if len(shown) == count:
        return (
            "The processes draw different orders: the generator's seed must not depend on `rank`. "
        )
    return ""


# --- loop.6: checkpoint ---------------------------------------------------------------------------


def _fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 3))
    return model, torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)


def _train(model, optimizer, epochs, images: Tensor, labels: Tensor) -> None:
    model.train()
    for epoch in epochs:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
        for part in order.split(4):
            loss = F.cross_entropy(model(images[part]), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def loop_6(answer):
    images, labels = torch.randn(12, 4), torch.randint(0, 3, (12,))
    model, optimizer = _fresh()
    _train(model, optimizer, range(2), images, labels)
    random = torch.get_rng_state()
    at_the_call = copy.deepcopy(_weights(model))
    state = call(answer, model, optimizer, 1, what="run_state(model, optimizer, 1)")
    if not torch.equal(random, torch.get_rng_state()):
        raise Wrong(
            "`run_state` draws random numbers or sets their seed; it should only read them."
        )
    if not close(_weights(model), at_the_call, 0.0):
        raise Wrong("`run_state` changes the weights; it should only read them.")
    if not model.training:
        raise Wrong(
            "`run_state` leaves the network in evaluation mode, and the run goes on with it."
        )
    torch.set_rng_state(random)
    _train(model, optimizer, range(2, 4), images, labels)
    right = _weights(model)

    expect_keys(state, ("model", "optimizer", "random", "epoch"))
    if state["epoch"] is Ellipsis:
        raise Unfinished('"epoch" is still `...`.')
    torch.default_generator.manual_seed(99)  # the new process has drawn other numbers
    model, optimizer = _fresh()
    resumed = "With the state of `run_state(model, optimizer, 1)`, "
    for key, put in (
        ("model", model.load_state_dict),
        ("optimizer", optimizer.load_state_dict),
        ("random", torch.set_rng_state),
    ):
        try:
            put(state[key])
        except Exception:
            raise Wrong(_refused(key, state[key])) from None
    epoch = plain(state["epoch"])
    if not isinstance(epoch, int) or isinstance(epoch, bool):
        raise Wrong(f'"epoch" is a whole number, not {describe(state["epoch"])}.')
    trace.see([model.state_dict(), optimizer.state_dict()["state"], torch.get_rng_state(), epoch])
    weights = _weights(model)
    if close(weights, right, 1e-6) and not close(weights, at_the_call, 1e-6):
        raise Wrong(
            'The weights in "model" have changed with the training after the call: a '
            "`state_dict()` holds the network's own tensors. Copy them (`copy.deepcopy`)."
        )
    if not close(weights, at_the_call, 1e-6):
        raise Unexplained(f"{resumed}the weights are not those of the moment of the call.")
    if epoch != 2:
        known = {
            1: "Epoch 1 is finished, so it would be trained twice. The next one is 2.",
            0: "The run would begin anew. The next epoch is 2.",
            3: "Epoch 2 would be left out.",
        }
        if epoch not in known:
            raise Wrong(f'"epoch" is {epoch}. The next epoch to train is 2.')
        raise Wrong(f'"epoch" is {epoch}. {known[epoch]}')
    if not torch.equal(torch.get_rng_state(), random):
        raise Unexplained(
            '"random" is not the state of the random numbers at the call: dropout would draw '
            "others. Call `torch.get_rng_state()` inside the function."
        )
    held = bool(optimizer.state_dict()["state"])
    _train(model, optimizer, range(epoch, 4), images, labels)
    if not close(_weights(model), right, 1e-6):
        lost = "The momentum is lost. " if not held else ""
        raise Unexplained(
            f"{lost}{resumed}the run goes on to other weights than without the stop. What is in "
            '"optimizer"?'
        )
    if call(answer, model, optimizer, 3, what="run_state(model, optimizer, 3)") is state:
        raise Wrong(
            "The second call fills the dictionary of the first one again, so the first state is "
            "lost. Make a new dictionary inside the function."
        )
    return "Stopped and resumed, the run ends at the same weights, bit for bit."


def _refused(key: str, value: Any) -> str:
    is_optimizers = isinstance(value, dict) and "param_groups" in value
    if key == "model" and is_optimizers:
        return '"model" cannot be put back: it has the state of the optimizer in it.'
    if key == "model" and isinstance(value, dict):
        missing = [f"`{name}`" for name in _fresh()[0].state_dict() if name not in value]
        if missing:
            return (
                f'"model" cannot be put back: {missing[0]} is missing there. '
                "`model.state_dict()` has the weights and the running means, with their names."
            )
    expected = {
        "model": "`model.state_dict()`, with its running means,",
        "optimizer": "`optimizer.state_dict()`",
        "random": "`torch.get_rng_state()`",
    }
    return f'"{key}" cannot be put back: {expected[key]} is expected, not {describe(value)}.'


# --- loop.7: two machines -------------------------------------------------------------------------


def loop_7(answer):
    processes, images, weights = 8, 1_281_167, 25_557_032
    size = 4 * weights
    seconds = 2 * (processes - 1) / processes * size * 8 / 1e9
    right = {
        "batch_size": processes * 32,
        "steps": math.ceil(images / (processes * 32)),
        "bytes": size,
        "seconds": seconds,
    }
    common = {
        "batch_size": {
            32: "That is one process; all eight together are asked for.",
            64: "Two machines have four processes each: that makes eight.",
            128: "That is one machine; both together are asked for.",
        },
        "steps": {
            math.ceil(images / 32): "That is for one process alone: a step sees 256 images.",
            images // 256: "The last batch, with the images that are left, is a step too.",
            images / 256: "The images that are left over need a step too: round up.",
            math.ceil(images / 128): "That is for one machine; a step sees 256 images.",
            math.ceil(images / 64): "That is for two processes; a step sees 256 images.",
        },
        "bytes": {
            weights: "That is the number of gradients; each takes 4 bytes.",
            2 * weights: "float32 takes 4 bytes, float16 would take 2.",
            8 * weights: "float32 takes 4 bytes, float64 would take 8.",
            3 * size: "Only the gradients are asked for, not weights and momentum too.",
            1.75 * size: "That is what a process sends in the ring. Its gradients alone are asked "
            "for; the factor 2(N - 1)/N belongs to the seconds.",
            8
            * size: "That is in bits (a byte has 8), or it is of all eight processes (one is asked "
            "for).",
            size / 1e6: "That is in MB; bytes are asked for.",
        },
        "seconds": {
            seconds / 8: "The link is in bits a second: a byte has 8 bits.",
            seconds / 1.75: "In a ring each process sends 2(N - 1)/N = 1.75 times its gradients, N "
            "being the 8 processes, not the 2 machines.",
            seconds
            / 1.75
            / 8: "A byte has 8 bits, and each process sends 1.75 times its gradients.",
            seconds * 2: "Both directions work at the same time; they do not wait for each other.",
            seconds / 2: "That is half of it. Either the 2 in 2(N - 1)/N is missing, or you have "
            "divided by the two directions: each carries a whole stream.",
            seconds * 8 / 7: "The formula has 2(N - 1), divided by N. You have taken 2N.",
            seconds * 1e3: "That is in milliseconds.",
            seconds * 1e9 / 2**30: "A Gbit is 10⁹ bits, not 2³⁰.",
            seconds * 5005: "That is for a whole epoch; one step is asked for.",
            seconds * 4: "One stream goes over the link in each direction, not four.",
            seconds * 8: "That is eight times too much. Either the N below 2(N - 1) is missing, or "
            "you count eight streams: one goes over the link in each direction.",
            size * 8 / 1e9 * 2 * 3 / 4: "N is the number of processes on both machines: 8.",
        },
    }
    expect_numbers(answer, right, common, tolerance={"seconds": 0.01})
    return "1.43 seconds in each of 5,005 steps: the link decides, not the GPUs."


# --- mistakes in the solutions' text --------------------------------------------------------------

_ZERO = "            optimizer.zero_grad()\n"
_BACKWARD = "            loss.backward()\n"
_STEP = "            optimizer.step()\n"
_RATE_LINES = """            for group in optimizer.param_groups:
                group["lr"] = learning_rate * training.one_cycle(step, total_steps)
"""
_PENALTY = "            loss = loss + 5e-4 * sum(p.square().sum() for p in model.parameters())\n"
_SGD = "    optimizer = torch.optim.SGD(model.parameters(), **options)\n"
SLIPS: dict[str, dict[str, tuple[str, ...]]] = {
    "loop.1": {
        "The old gradients are never forgotten, so they add up from step to step: `zero_grad()` "
        "is missing, or its parentheses are.": (_ZERO, ""),
        "`optimizer.step()` comes between `zero_grad()` and `backward()`: it finds no gradients, "
        "and nothing is learned.": (_BACKWARD + _STEP, _STEP + _BACKWARD),
        "`zero_grad()` comes after `backward()` and throws the new gradients away.": (
            _ZERO + _BACKWARD,
            _BACKWARD + _ZERO,
        ),
        "`optimizer.step()` is never called: it is missing, or its parentheses are.": (_STEP, ""),
        "You take the mean over the batches. The last batch is smaller, and its images count too "
        "much: weigh each loss with `len(labels)`.": (
            *("loss.detach() * len(labels)", "loss.detach()"),
            *("loss_sum / count", "loss_sum / len(batches)"),
        ),
        "You add up the means of the batches and divide by the number of images: each mean has to "
        "be multiplied by `len(labels)` first.": ("loss.detach() * len(labels)", "loss.detach()"),
        "You return the loss of the last batch, not the mean over the epoch.": (
            *("loss_sum / count", "loss"),
        ),
        "The sum is not set back to zero in each epoch, so the epochs before are in it.": (
            *("        loss_sum, count = 0.0, 0\n", ""),
            *("    model.train()\n", "    model.train()\n    loss_sum, count = 0.0, 0\n"),
        ),
        "`batches.set_epoch(epoch)` is missing: the images come in the order of another epoch.": (
            *("        batches.set_epoch(epoch)\n", ""),
        ),
        "`torch.manual_seed(seed)` is missing, or is not called first: dropout draws other "
        "numbers.": ("    torch.manual_seed(seed)\n", ""),
        "The network is never in training mode: dropout is off, and batch norm uses running "
        "averages.": ("    model.train()\n", ""),
        "`model.eval()` is missing at the end.": ("    model.eval()\n", ""),
        "The learning rate stays the same in all steps: `one_cycle` is not used.": (
            *(_RATE_LINES, ""),
        ),
        "The step number starts anew in each epoch; it should count through all epochs.": (
            *("one_cycle(step, ", "one_cycle(step % len(batches), "),
        ),
        "`one_cycle` gets the number of the epoch; it should get that of the step.": (
            *("one_cycle(step, total_steps)", "one_cycle(epoch, epochs)"),
        ),
        "Each step has the rate of the next one: steps count from 0. (The same comes out if "
        "`optimizer.step()` comes first, with the gradients of the batch before.)": (
            *("one_cycle(step, ", "one_cycle(step + 1, "),
        ),
        "The optimizer is made anew in each epoch and forgets its momentum.": (
            *("        batches.set_epoch", f"    {_SGD}        batches.set_epoch"),
        ),
        "The momentum of 0.9 is missing.": (', "momentum": 0.9', ""),
        "The weight decay of 5e-4 is missing.": (', "weight_decay": 5e-4', ""),
        "The momentum is Nesterov's; the task asks for the plain one.": (
            *("**options", "nesterov=True, **options"),
        ),
        "The weight decay is in the loss, as 5e-4 times the sum of the squares. Its gradient is "
        "twice that of `weight_decay=5e-4`, and it is in the returned loss.": (
            *(', "weight_decay": 5e-4', ""),
            *(_BACKWARD, _PENALTY + _BACKWARD),
        ),
        "The loss is computed from `softmax`; `F.cross_entropy` expects logits.": (
            *("model(images), labels", "model(images).softmax(1), labels"),
        ),
        "The rate is set after the step: each step has the rate of the one before.": (
            *(_RATE_LINES, ""),
            *(_STEP, _STEP + _RATE_LINES),
        ),
        "Momentum and weight decay have changed places: the third argument of `SGD` is the "
        "momentum.": (
            '"momentum": 0.9, "weight_decay": 5e-4',
            '"momentum": 5e-4, "weight_decay": 0.9',
        ),
        "`model.eval()` comes after each epoch, so that only the first one is in training mode.": (
            *("    model.eval()\n", ""),
            *("        means.append", "        model.eval()\n        means.append"),
        ),
        "You count the size of a full batch for each batch; the last one is smaller.": (
            *("count += len(labels)", "count += batches.batch_size"),
        ),
        "The arguments of `one_cycle` have changed places: the step comes first.": (
            *("one_cycle(step, total_steps)", "one_cycle(total_steps, step)"),
        ),
    },
    "loop.2": {
        "The scale is not undone in `parameter.grad`: divide each gradient by it, in place and "
        "before the step. (`g = g / scale` makes a new tensor.)": (
            *("    for gradient in gradients:\n        gradient /= scale\n", ""),
        ),
        "The loss is not scaled: the small gradients are lost in `backward()`, and dividing makes "
        "the others smaller.": ("(loss * scale)", "loss"),
        "The loss is divided by the scale; it should be multiplied by it.": (
            *("loss * scale", "loss / scale"),
        ),
        "The optimizer makes its step although gradients are not finite.": (
            *("        return scale / 2\n", "        scale = scale / 2\n"),
        ),
        "Nothing looks for gradients that are not finite.": (
            """    if not all(gradient.isfinite().all() for gradient in gradients):
        return scale / 2
""",
            "",
        ),
        "Infinite gradients are found, but NaN is not: `isfinite` finds both.": (
            *("not all(gradient.isfinite().all()", "any(gradient.isinf().any()"),
        ),
        "You look at the loss; the gradients can be infinite where the loss is a number.": (
            *("all(gradient.isfinite().all() for gradient in gradients)", "loss.isfinite()"),
        ),
        "Only the first gradient is looked at.": (
            *("for gradient in gradients):", "for gradient in gradients[:1]):"),
        ),
        "Only the last gradient is looked at.": (
            *("for gradient in gradients):", "for gradient in gradients[-1:]):"),
        ),
        "After a step that is left out the scale should be halved; it stays the same.": (
            *("return scale / 2", "return scale"),
        ),
        "After a step that is left out the scale is doubled; it should be halved.": (
            *("scale / 2", "scale * 2"),
        ),
        "The old gradients are not forgotten: `optimizer.zero_grad()` is missing.": (
            *("    optimizer.zero_grad()\n", ""),
        ),
        "`optimizer.step()` is missing.": ("    optimizer.step()\n", ""),
        "`optimizer.step()` is inside the loop over the gradients: call it once, after the loop.": (
            *("scale\n    optimizer.step()", "scale\n        optimizer.step()"),
        ),
        "Infinite gradients are replaced by numbers and used; the step should be left out.": (
            """    if not all(gradient.isfinite().all() for gradient in gradients):
        return scale / 2
""",
            "    for gradient in gradients:\n        gradient.nan_to_num_()\n",
        ),
        "You leave the step out only if all gradients hold such numbers; one is enough.": (
            *("if not all(", "if not any("),
        ),
        "The step is made although gradients are not finite, and then the scale is halved.": (
            *(
                "        return scale / 2\n",
                "        halve = True\n    else:\n        halve = False\n",
            ),
            *("step()\n    return scale", "step()\n    return scale / 2 if halve else scale"),
        ),
        "Infinite gradients are replaced by 0 and used; the step should be left out.": (
            *(
                "        return scale / 2\n",
                "        halve = True\n    else:\n        halve = False\n",
            ),
            *("        gradient /= scale", "        gradient.nan_to_num_(0, 0, 0).div_(scale)"),
            *("step()\n    return scale", "step()\n    return scale / 2 if halve else scale"),
        ),
        "The learning rate is divided by the scale, not the gradients: the momentum then adds up "
        "gradients of different scales.": (
            *(
                "    for gradient in gradients:\n        gradient /= scale\n",
                "    for group in optimizer.param_groups:\n        group['lr'] /= scale\n",
            ),
            *(
                "step()\n    return scale",
                "step()\n    for group in optimizer.param_groups:\n        group['lr'] *= scale\n"
                "    return scale",
            ),
        ),
    },
    "loop.3": {
        "Nothing is divided: the parts' means add up, and the gradients are too large.": (
            *(', reduction="sum"', ""),
            *("loss_sum / len(labels)", "loss_sum"),
        ),
        "The sum over all images is not divided by their number.": (
            *("loss_sum / len(labels)", "loss_sum"),
        ),
        "You divide by the number of parts. The last part can be smaller, and then its images "
        "count too much: divide the sum by the number of all images.": (
            *(', reduction="sum"', ""),
            *("loss_sum / len(labels)", "loss_sum / -(-len(labels) // part_size)"),
        ),
        "You divide by the number of full parts; a smaller last part is one too.": (
            *(', reduction="sum"', ""),
            *("loss_sum / len(labels)", "loss_sum / max(1, len(labels) // part_size)"),
        ),
        "You weigh each part with `part_size`; the last part can be smaller.": (
            *(', reduction="sum"', ""),
            *("loss_sum / len(labels)", "loss_sum * part_size / len(labels)"),
        ),
        "You divide by the size of the part twice: the mean over the part is divided by the number "
        "of all images.": (', reduction="sum"', ""),
        "The gradients are forgotten before each part, so that only the last part is left: call "
        "`zero_grad()` once.": (
            *("    model.zero_grad()\n", ""),
            *("        part =", "        model.zero_grad()\n        part ="),
        ),
        "The old gradients are not forgotten: `zero_grad()` is missing, or its parentheses are.": (
            *("    model.zero_grad()\n", ""),
        ),
        "The gradients are forgotten at the end, when they are needed.": (
            *("    model.zero_grad()\n", ""),
            *("    return", "    model.zero_grad()\n    return"),
        ),
        "`loss.backward()` is called once, after the last part.": (
            *("        loss.backward()\n", ""),
            *("    return", "    loss.backward()\n    return"),
        ),
        "`loss.backward()` is missing.": ("        loss.backward()\n", ""),
        "The last part is left out when it is smaller.": (
            *(
                "range(0, len(labels), part_size)",
                "range(0, len(labels) - part_size + 1, part_size)",
            ),
        ),
        "The returned loss is that of the last part.": ("mean_loss += loss", "mean_loss = loss"),
        "The returned loss is the sum over the images, not their mean.": (
            *("mean_loss += loss.item()", "mean_loss += loss_sum.item()"),
        ),
        "The returned loss is not the mean: each part's share of it has to be added up.": (
            *("mean_loss += loss.item()", "mean_loss += loss_sum.item() / len(labels[part])"),
        ),
        "The returned loss is the mean of the parts' means; a small last part counts too much "
        "there.": (
            *(
                "mean_loss += loss.item()",
                "mean_loss += loss_sum.item() / len(labels[part]) / -(-len(labels) // part_size)",
            ),
        ),
        "The labels are always the first ones: cut them as you cut the images.": (
            *("labels[part]", "labels[: len(images[part])]"),
        ),
        "Each part has one image too many: a slice ends before its second number, so `start + "
        "part_size` is right.": (*("start + part_size)", "start + part_size + 1)"),),
        "Every part begins at the first image.": ("slice(start, start", "slice(0, start"),
        "Every part has the same images, the first ones.": ("slice(start, start + ", "slice(0, "),
        "The parts overlap: the next one begins one image later.": (
            *("len(labels), part_size)", "len(labels))"),
        ),
        "The returned loss is right. But `backward()` gets the sum over the images: divide it by "
        "the number of all images first.": (
            "        loss.backward()",
            "        loss_sum.backward()",
        ),
        "You divide the sum by `part_size`; divide it by the number of all images.": (
            *("loss_sum / len(labels)", "loss_sum / part_size"),
        ),
        "The returned loss is right. But `backward()` gets the mean of each part, and these means "
        "add up.": ("        loss.backward()", "        (loss_sum / len(labels[part])).backward()"),
        "The returned loss is right. But `backward()` gets the mean of the parts' means; a small "
        "last part counts too much there.": (
            *(
                "        loss.backward()",
                "        (loss_sum / len(labels[part]) / -(-len(labels) // part_size)).backward()",
            ),
        ),
    },
    "loop.4": {
        "The gradients are summed and not divided: divide by the number of processes.": (
            *("\n        parameter.grad /= dist.get_world_size()", ""),
        ),
        "You divide by 2, which is right only for two processes: `dist.get_world_size()`.": (
            *("dist.get_world_size()", "2"),
        ),
        "Nothing is sent: `dist.all_reduce` is missing.": (
            *("        dist.all_reduce(parameter.grad)\n", ""),
        ),
        "You multiply by the number of processes; divide by it.": ("/= dist", "*= dist"),
        "The division makes a new tensor, and `parameter.grad` stays the sum: divide in place.": (
            *("        parameter.grad /= dist", "        mean = parameter.grad / dist"),
        ),
        "A copy of the gradient is sent, and `parameter.grad` itself stays what it was.": (
            *("all_reduce(parameter.grad)", "all_reduce(parameter.grad.clone())"),
        ),
        "The weights are averaged, not the gradients.": ("parameter.grad", "parameter.data"),
        "Only the first parameter is averaged: the loop ends too early.": (
            *("/= dist.get_world_size()", "/= dist.get_world_size()\n        break"),
        ),
        "The result is divided once more: the mean is too small.": (
            *("/= dist.get_world_size()", "/= dist.get_world_size() ** 2"),
        ),
        "You divide by the rank of the process; its world size is the number of processes.": (
            *("dist.get_world_size()", "max(1, dist.get_rank())"),
        ),
        "You divide by the number of parameters, not by that of the processes: "
        "`dist.get_world_size()`.": (*("dist.get_world_size()", "len(list(model.parameters()))"),),
        "You take the mean over the entries of a gradient too. The mean is over the processes, for "
        "each entry alone.": (
            "        dist.all_reduce",
            "        parameter.grad.fill_(parameter.grad.mean())\n        dist.all_reduce",
        ),
        "`//=` rounds down to whole numbers: divide with `/=`.": ("/= dist", "//= dist"),
        "Each process counts its own gradient twice: it is in the exchange already.": (
            "        dist.all_reduce(parameter.grad)\n",
            "        own = parameter.grad.clone()\n        dist.all_reduce(parameter.grad)\n"
            "        parameter.grad += own\n",
        ),
        "You take the maximum over the processes, not the mean.": (
            *("all_reduce(parameter.grad)", "all_reduce(parameter.grad, op=dist.ReduceOp.MAX)"),
            *("\n        parameter.grad /= dist.get_world_size()", ""),
        ),
        "You divide by `rank + 1`; the number of processes is `dist.get_world_size()`.": (
            *("dist.get_world_size()", "(dist.get_rank() + 1)"),
        ),
        "The parameters with one axis, the biases, are left out.": (
            *("model.parameters():", "[p for p in model.parameters() if p.dim() > 1]:"),
        ),
        "`dist.all_reduce` works in place and gives nothing back: do not assign its result.": (
            *("        dist.all_reduce", "        parameter.grad = dist.all_reduce"),
        ),
        "`dist.reduce` gives the sum to one process alone; all of them need it.": (
            *("all_reduce(parameter.grad)", "reduce(parameter.grad, 0)"),
        ),
        "`dist.broadcast` gives all processes the gradients of one; the sum of all is needed.": (
            *("all_reduce(parameter.grad)", "broadcast(parameter.grad, 0)"),
            *("\n        parameter.grad /= dist.get_world_size()", ""),
        ),
    },
    "loop.6": {
        "The optimizer's state is not copied, so it changes with the training after the call.": (
            *("copy.deepcopy(optimizer.state_dict())", "optimizer.state_dict()"),
        ),
        "The weights are not copied, so they change with the training after the call.": (
            *("copy.deepcopy(model.state_dict())", "model.state_dict()"),
        ),
        "That is the state of a new optimizer, which has no momentum.": (
            "copy.deepcopy(optimizer.state_dict())",
            "torch.optim.SGD(model.parameters(), **optimizer.defaults).state_dict()",
        ),
        "The optimizer's settings are there, its momentum is not: `state_dict()` has both.": (
            "copy.deepcopy(optimizer.state_dict())",
            '{"state": {}, "param_groups": optimizer.state_dict()["param_groups"]}',
        ),
        "The weights are kept in float16 and lose digits.": (
            "copy.deepcopy(model.state_dict())",
            "{name: value.half() for name, value in model.state_dict().items()}",
        ),
    },
}
