"""How much memory a computation holds at once: the tensors that live at the same time."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Peak:
    """The most memory in use at one time: `values` and `bytes` of all tensors together.

    `largest` is the number of values of the largest single tensor.
    """

    values: int
    bytes: int
    largest: int


class _Living(TorchDispatchMode):
    """Sees every tensor that an operation makes, and is told when it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.values = self.bytes = self.most_values = self.most_bytes = self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        known = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        result = func(*args, **kwargs)
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()  # what a view and an operation in place share
            if storage._cdata not in known:
                known.add(storage._cdata)
                size = storage.nbytes()
                values = size // tensor.element_size()
                self._add(values, size)
                weakref.finalize(storage, self._add, -values, -size).atexit = False
        return result

    def _add(self, values: int, size: int) -> None:
        self.values += values
        self.bytes += size
        self.most_values = max(self.most_values, self.values)
        self.most_bytes = max(self.most_bytes, self.bytes)
        self.largest = max(self.largest, values)


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def peak(function: Callable[..., Any], *inputs: Any) -> Peak:
    """The most that `function(*inputs)` holds at one time, without gradients.

    It counts the tensors that the function makes, including its result, from the operation that
    makes them until they are freed. It does not count the inputs, the weights and the scratch
    memory inside a single operation. `function` may be a network; its mode is left as it is.
    """
    with torch.no_grad(), _Living() as living:
        result = function(*inputs)
        del result
    return Peak(living.most_values, living.most_bytes, living.largest)
