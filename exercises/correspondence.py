"""Which parameter of one module plays the part of which of another, however both are written.

Two modules that compute the same may keep their parameters in other orders and shapes: stacked,
transposed, in one tensor for weight and bias, in a linear layer in place of a convolution. Names
and shapes say nothing then, but the function does: where all parameters have the same value, such
modules give the same output, and the gradient of that output tells most parameters apart.
Parameters that it does not tell apart get new values, the same in both modules, until every one has
its partner. (The method is colour refinement, as it is used to compare graphs; a colour is a class
of parameters.)
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

PROBES = 3  # random images and random sums of outputs for each gradient
ROUNDS = 200
CLOSE = 1e-6  # relative; everything is computed in float64


def parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module, each once."""
    return list(module.parameters())


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in parameters(module))


def read(module: nn.Module) -> Tensor:
    """All parameters in one vector (N,)."""
    return torch.cat([p.detach().reshape(-1) for p in parameters(module)] or [torch.zeros(0)])


def write(module: nn.Module, values: Tensor) -> None:
    """The inverse of `read`."""
    start = 0
    with torch.no_grad():
        for parameter in parameters(module):
            part = values[start : start + parameter.numel()]
            parameter.copy_(part.reshape(parameter.shape))
            start += parameter.numel()


def read_gradients(module: nn.Module) -> Tensor:
    """The gradients of all parameters in one vector (N,); 0 where there is none."""
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters(module)]
    return torch.cat([grad.reshape(-1) for grad in grads] or [torch.zeros(0)])


def correspondence(ours: nn.Module, theirs: nn.Module, shape: Sequence[int]) -> Tensor | None:
    """For every entry of `read(ours)` its place in `read(theirs)`, or None if there is none.

    shape: that of the images (N, C, H, W) which both modules take. Neither module is changed. None
    means that the two differ in their number of parameters or in what they compute.
    """
    count = size(ours)
    if count != size(theirs):
        return None
    if not count:
        return torch.zeros(0, dtype=torch.int64)
    pair = [_Probed(module, shape) for module in (ours, theirs)]
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(4 * count + 8, generator=generator, dtype=torch.float64) * 0.4 + 0.3
    colours = [torch.zeros(count, dtype=torch.int64) for _ in pair]
    classes = 1
    for _ in range(ROUNDS):
        seen = [module.gradients(values[c]) for module, c in zip(pair, colours)]
        if any(s is None for s in seen) or not _close(seen[0][0], seen[1][0]):
            return None
        colours = _refined(colours, [gradients for _, gradients in seen])
        if colours is None:
            return None
        now = int(colours[0].max()) + 1
        if now == count:
            order = torch.empty(count, dtype=torch.int64)
            order[colours[0].argsort()] = colours[1].argsort()
            return order
        if now == classes:
            _tell_apart(colours, now)
            now = int(colours[0].max()) + 1
        classes = now
    return None


class _Probed:
    """A copy of a module in float64, with fixed images and fixed sums of its outputs."""

    def __init__(self, module: nn.Module, shape: Sequence[int]):
        self.module = copy.deepcopy(module).double().eval()
        for parameter in self.module.parameters():
            parameter.requires_grad_()
        for layer in self.module.modules():  # running statistics are no parameters
            getattr(layer, "reset_running_stats", lambda: None)()
        generator = torch.Generator().manual_seed(2)
        self.images = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)

    def gradients(self, values: Tensor) -> tuple[Tensor, Tensor] | None:
        """The outputs (M,), and for every parameter some numbers of its own (N, PROBES)."""
        write(self.module, values)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            outputs = self.module(self.images.clone())
            outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
            flat = torch.cat([output.reshape(-1) for output in outputs])
            generator = torch.Generator().manual_seed(3)
            columns = []
            for _ in range(PROBES):
                weights = torch.randn(flat.numel(), generator=generator, dtype=torch.float64)
                found = torch.autograd.grad(
                    (weights * flat).sum(),
                    parameters(self.module),
                    retain_graph=True,
                    allow_unused=True,
                )
                zeros = [torch.zeros_like(p) for p in parameters(self.module)]
                parts = [z if g is None else g for g, z in zip(found, zeros)]
                columns.append(torch.cat([part.reshape(-1) for part in parts]))
        except Exception:
            return None
        finally:
            torch.set_default_dtype(before)
        return flat.detach(), torch.stack(columns, dim=1)


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    scale = max(1e-6, float(b.abs().max())) if b.numel() else 1.0
    return bool((a - b).abs().max() <= CLOSE * scale) if b.numel() else True


def _refined(colours: list[Tensor], gradients: list[Tensor]) -> list[Tensor] | None:
    """New colours: parameters keep one only if they had one and their gradients agree."""
    both = torch.cat(gradients)
    scale = both.abs().amax(dim=0).clamp(min=1e-12)
    both = both / scale
    classes = torch.cat(colours)
    for column in both.T:  # one column after the other, so that close numbers stay together
        order = sorted_by(classes, column)
        step = (classes[order].diff() != 0) | (column[order].diff().abs() > CLOSE)
        new = torch.empty_like(classes)
        new[order] = torch.cat([torch.zeros(1, dtype=torch.int64), step.long().cumsum(0)])
        classes = new
    ours, theirs = classes.chunk(2)
    counts = [torch.bincount(c, minlength=int(classes.max()) + 1) for c in (ours, theirs)]
    return [ours.clone(), theirs.clone()] if torch.equal(*counts) else None


def sorted_by(first: Tensor, second: Tensor) -> Tensor:
    """The order by `first`, and by `second` where that is equal."""
    order = second.argsort(stable=True)
    return order[first[order].argsort(stable=True)]


def _tell_apart(colours: list[Tensor], classes: int) -> None:
    """Give every parameter of the smallest class a colour of its own, in both modules.

    Such a class holds what is alike, such as the biases of a layer's channels: it does not matter
    which of ours becomes the partner of which of theirs.
    """
    counts = torch.bincount(colours[0], minlength=classes)
    smallest = int(torch.where(counts > 1, counts, counts.max() + 1).argmin())
    for c in colours:
        places = (c == smallest).nonzero().flatten()
        c[places[1:]] = classes + torch.arange(len(places) - 1)
