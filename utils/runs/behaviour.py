"""What a network computes, so that a checkpoint is told from that of a network like it.

Two networks may have the same layers and weights of the same shapes and compute otherwise: with
another stride or another slope, or without a shortcut. Here a copy of the network gets weights that
depend on their names alone and answers two images that are always the same. It does so in double
precision on the CPU, so that all machines give the same numbers except for rounding. Nothing of the
network itself is touched, nor are random numbers.
"""

from __future__ import annotations

import contextlib
import copy
import re
import sys
import zlib
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.random import fork_rng

_TOLERANCE = 1e-6  # relative to the largest number; eps=1e-5 or 1e-6 in batch norm is 5e-6
_DROPOUTS = [
    *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout),
    *(torch.dropout, torch.feature_dropout, torch.alpha_dropout, torch.feature_alpha_dropout),
]


def behaviour(model: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """What `model` computes for images of `shape` (C, H, W), in values that a checkpoint can hold.

    Returns:
        "answers": logits in evaluation and in training, and the running averages after training;
        empty where the network gives none. "layers": each layer as it prints. "frozen": the names
        of weights that are not trained.
    """
    model = _bare(model)
    layers = {n: _printed(m) for n, m in model.named_modules() if not any(m.children())}
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    answers = {}
    try:
        network = _with_fixed_weights(model)
        with torch.device("cpu"), fork_rng(devices=[]):
            images = _fixed("images", (2, *shape), 1.0)
            for part in ("evaluation", "training"):
                torch.default_generator.manual_seed(0)  # torch.manual_seed would reseed CUDA too
                answers[part] = _answer(network.train(part == "training"), images)
        for name, buffer in network.named_buffers():
            if buffer.is_floating_point():
                answers[f"{name} after training"] = buffer.detach().flatten()[:16].clone()
    except Exception:  # whatever a learner's network raises away from its own device
        answers = {}
    return {"shape": list(shape), "answers": answers, "layers": layers, "frozen": frozen}


def difference(saved: dict[str, Any], model: nn.Module) -> str:
    """How `model` differs from the network that `saved` describes; an empty text if it does not."""
    here = behaviour(model, tuple(saved["shape"]))
    there, answers = saved["answers"], here["answers"]
    frozen = sorted({*saved["frozen"]} ^ {*here["frozen"]})
    changed = [n for n, text in here["layers"].items() if saved["layers"].get(n) != text]
    if frozen:
        place = "there" if frozen[0] in saved["frozen"] else "here"
        return f"the weights {frozen[0]} are frozen {place} alone"
    if there or answers:
        same = there.keys() == answers.keys() and all(map(_close, there.values(), answers.values()))
    else:
        same = not changed
    if same:
        return ""
    if changed:
        name = changed[0]
        return f"the first difference is {name}: {saved['layers'][name]} there, " + (
            f"{here['layers'][name]} here"
        )
    return "its layers are the same, but its forward gives other numbers"


def _bare(model: nn.Module) -> nn.Module:
    """The network inside of what torch.compile or a parallel wrapper has made of it."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod
        else:
            return model


def _printed(layer: nn.Module) -> str:
    return re.sub(r",? ?inplace=(True|False)", "", repr(layer))  # which changes no number


def _with_fixed_weights(model: nn.Module) -> nn.Module:
    """A copy on the CPU, in double precision, without the hooks that a learner has added."""
    memo: dict[int, Any] = {}  # what deepcopy takes for the copy of an object
    stored = model.state_dict(keep_vars=True)
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                memo[id(value)] = _on_cpu(value)
            elif isinstance(value, torch.Generator):
                memo[id(value)] = torch.Generator().manual_seed(0)
            elif name.endswith("_hooks") and isinstance(value, OrderedDict):
                # Those of torch compute weights, as for weight_norm.
                own = [(k, h) for k, h in value.items() if type(h).__module__.startswith("torch.")]
                memo[id(value)] = OrderedDict(own)
        for buffer in module.buffers(recurse=False):
            memo[id(buffer)] = _on_cpu(buffer)
    for name, value in stored.items():
        if not isinstance(value, torch.Tensor):
            continue
        if value.is_floating_point():
            fixed = _fixed(name, value.shape)
            if isinstance(value, nn.Parameter):
                fixed = nn.Parameter(fixed, requires_grad=False)
            memo[id(value)] = fixed
        elif name.endswith("num_batches_tracked"):
            memo[id(value)] = torch.zeros_like(value, device="cpu")
    return copy.deepcopy(model, memo)


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    copied = tensor.detach().to("cpu", copy=True)
    return copied.double() if copied.is_floating_point() else copied


def _fixed(name: str, shape: tuple[int, ...], size: float | None = None) -> torch.Tensor:
    """Numbers that depend on the name and shape alone; those of NumPy's RandomState never change.

    Weights keep the size of what goes through them (He et al., arXiv:1502.01852). Scales and
    running variances are near 1.
    """
    random = np.random.RandomState(zlib.crc32(name.encode()))
    numbers = torch.from_numpy(random.random_sample(tuple(shape) or (1,))).reshape(tuple(shape))
    if size is None and len(shape) > 1:
        size = (6 / max(1, numbers[0].numel())) ** 0.5
    if size is not None:
        return (2 * numbers - 1) * size
    if "mean" in name:  # a running one
        return 0.2 * numbers - 0.1
    return 0.4 * numbers - 0.1 if name.endswith("bias") else 0.5 + numbers


def _answer(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    # A part of the network may be compiled.
    known = "torch._dynamo" in sys.modules
    eager = torch.compiler.set_stance("force_eager") if known else contextlib.nullcontext()
    off = torch.autocast("cpu", enabled=False)
    with eager, off, torch.enable_grad(), _DropoutByFormula():
        answer = network(images)
    if answer.requires_grad:
        raise ValueError("weights from outside of the copy, which training changes, take part")
    return answer.detach().clone()


class _DropoutByFormula(TorchFunctionMode):
    """Dropout without chance: its random numbers are not the same on all processors."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in _DROPOUTS:
            given = dict(zip(("input", "p", "training"), args)) | kwargs
            rate = given.get("p", 0.5) if given.get("training", given.get("train", True)) else 0
            return given["input"] * (1 + rate)
        return function(*args, **kwargs)


def _close(there: torch.Tensor, here: torch.Tensor) -> bool:
    if there.shape != here.shape:
        return False
    finite = there[there.isfinite()].abs()
    limit = _TOLERANCE * float(finite.max()) if len(finite) else 0.0
    return torch.allclose(there, here, rtol=0, atol=limit, equal_nan=True)
