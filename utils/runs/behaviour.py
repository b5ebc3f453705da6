"""What a network computes, so that a checkpoint is told from that of a network like it.

Two networks may have the same layers and weights of the same shapes and compute otherwise: with
another stride or another slope, or without a shortcut. Here a copy of the network gets weights that
depend on their names alone and answers two images that are always the same. It does so in double
precision on the CPU, so that all machines give the same numbers except for rounding; a network that
insists on single precision gets that. Nothing of the network itself is touched, nor are random
numbers. Hooks that a learner has added are not called, as they may store what they see.
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

# Relative to the largest number; eps=1e-5 or 1e-6 in batch norm is 5e-6.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
_DRAWS = 8  # of a network with random numbers of its own: a rare event should be among them
_DROPOUTS = [
    *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout),
    *(torch.dropout, torch.feature_dropout, torch.alpha_dropout, torch.feature_alpha_dropout),
]


def behaviour(model: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """What `model` computes for images of `shape` (C, H, W), in values that a checkpoint can hold.

    Returns:
        "answers": logits in evaluation and in training, and the running averages after training;
        empty where the network gives none. "more": answers to brighter images, gradients, and
        further draws of random numbers, as far as they can be had; files of an older course lack
        it. "layers": each layer as it prints. "frozen": the names of weights that are not trained.
    """
    model = _bare(model)
    layers = {n: _printed(m) for n, m in model.named_modules() if not any(m.children())}
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    answers, more = {}, {}
    for dtype in _TOLERANCE:
        # Whatever a learner's network raises away from its own device and precision.
        with contextlib.suppress(Exception), torch.device("cpu"), fork_rng(devices=[]):
            network = _with_fixed_weights(model, dtype)
            images = _fixed("images", (2, *shape), 1.0).to(dtype)
            answers = _answers(network, images)
            with contextlib.suppress(Exception):
                _add_more(more, network, images)
            break
    return {
        "shape": list(shape), "answers": answers, "more": more, "layers": layers, "frozen": frozen
    }  # fmt: skip


def _answers(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    answers = {part: _answer(network, images, part) for part in ("evaluation", "training")}
    if any(answer.requires_grad for answer in answers.values()):
        raise ValueError("weights from outside of the copy, which training changes, take part")
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            answers[f"{name} after training"] = buffer.detach().flatten()[:16].clone()
    return answers


def _add_more(more: dict[str, torch.Tensor], network: nn.Module, images: torch.Tensor) -> None:
    more["bright"] = _answer(network, 20 * images, "evaluation")  # beyond the limits of a clamp
    before = torch.default_generator.manual_seed(0).get_state()
    _answer(network, images, "training")
    if not torch.equal(before, torch.default_generator.get_state()):
        draws = [_answer(network, images, "training", seed=None) for _ in range(_DRAWS)]
        more["draws"] = torch.stack(draws)
    if images.dtype == torch.float32:  # rounding moves gradients by 1%, where a ReLU is near 0
        return
    weights = [w.requires_grad_() for w in network.parameters() if w.is_floating_point()]
    answer = _answer(network, images, "training")
    loss = (answer * _fixed("loss", answer.shape, 1.0)).sum()
    gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    # In one piece: beside the others a gradient that is 0 but for rounding has no weight.
    more["gradients"] = torch.cat([g.flatten()[:16] for g in gradients])


def difference(saved: dict[str, Any], model: nn.Module) -> str:
    """How `model` differs from the network that `saved` describes; an empty text if it does not."""
    here = behaviour(model, tuple(saved["shape"]))
    there, answers = saved["answers"], here["answers"]
    frozen = sorted({*saved["frozen"]} ^ {*here["frozen"]})
    changed = [n for n, text in here["layers"].items() if saved["layers"].get(n) != text]
    if frozen:
        place = "there" if frozen[0] in saved["frozen"] else "here"
        return f"the weights {frozen[0]} are frozen {place} alone"
    if there or (answers and "more" in saved):  # an older course had no answers in float32
        more = saved.get("more", {})
        same = there.keys() == answers.keys() and all(
            close(numbers, here[part][name])
            for part, there in (("answers", there), ("more", more))
            for name, numbers in there.items()
            if name in here[part]
        )
    else:
        same = not changed
    if same:
        return ""
    if changed:
        name = changed[0]
        return f"the first difference is {name}: {saved['layers'][name]} there, " + (
            f"{here['layers'][name]} here"
        )
    return "its layers are the same, but its forward gives other numbers or gradients"


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


def _with_fixed_weights(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy on the CPU, in this precision, without the hooks that a learner has added."""
    memo: dict[int, Any] = {}  # what deepcopy takes for the copy of an object
    stored = model.state_dict(keep_vars=True)
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                memo[id(value)] = _on_cpu(value, dtype)
            elif isinstance(value, torch.Generator):
                memo[id(value)] = torch.Generator().manual_seed(0)
            elif name.endswith("_hooks") and isinstance(value, OrderedDict):
                # Those of torch compute weights, as for weight_norm.
                own = [(k, h) for k, h in value.items() if type(h).__module__.startswith("torch.")]
                memo[id(value)] = OrderedDict(own)
        for buffer in module.buffers(recurse=False):
            memo[id(buffer)] = _on_cpu(buffer, dtype)
    for name, value in stored.items():
        if not isinstance(value, torch.Tensor):
            continue
        if value.is_floating_point():
            fixed = _fixed(name, value.shape).to(dtype)
            if isinstance(value, nn.Parameter):
                fixed = nn.Parameter(fixed, requires_grad=False)
            memo[id(value)] = fixed
        elif name.endswith("num_batches_tracked"):
            memo[id(value)] = torch.zeros_like(value, device="cpu")
    return copy.deepcopy(model, memo)


def _on_cpu(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    copied = tensor.detach().to("cpu", copy=True)
    return copied.to(dtype) if copied.is_floating_point() else copied


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


def _answer(
    network: nn.Module, images: torch.Tensor, part: str, seed: int | None = 0
) -> torch.Tensor:
    if seed is not None:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed CUDA too
    network.train(part == "training")
    # A part of the network may be compiled.
    known = "torch._dynamo" in sys.modules
    eager = torch.compiler.set_stance("force_eager") if known else contextlib.nullcontext()
    off = torch.autocast("cpu", enabled=False)
    with eager, off, torch.enable_grad(), _DropoutByFormula():
        return network(images).clone()


class _DropoutByFormula(TorchFunctionMode):
    """Dropout without chance: its random numbers are not the same on all processors."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in _DROPOUTS:
            given = dict(zip(("input", "p", "training"), args)) | kwargs
            rate = given.get("p", 0.5) if given.get("training", given.get("train", True)) else 0
            return given["input"] * (1 + rate)
        return function(*args, **kwargs)


def close(there: torch.Tensor, here: torch.Tensor) -> bool:
    """Whether these numbers are the same but for rounding."""
    if there.shape != here.shape:
        return False
    finite = there[there.isfinite()].abs()
    tolerance = max(_TOLERANCE.get(numbers.dtype, 0.0) for numbers in (there, here))
    limit = tolerance * float(finite.max()) if len(finite) else 0.0
    return torch.allclose(there.double(), here.double(), rtol=0, atol=limit, equal_nan=True)
