"""Names the mistake in a module: which one change makes it right?

`mistakes` changes the right answer until it does what the learner's answer does. Here it is the
other way round: one thing in the learner's module is put right, and if the module then computes
what it should, this was the mistake. So it can be named however the module is written.

Layers are exchanged for those of the right module. Calls of functions (an addition, a ReLU, a
concatenation), which need no layer, are changed while `forward` runs.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exercises import slips, trace
from exercises.compare_modules import alike_modules
from exercises.compare_values import layers

SECONDS = 2.0

# Functions that `forward` calls, by torch's names, in words.
CALLS = {
    **dict.fromkeys(("conv2d", "conv1d"), "convolution"),
    "linear": "linear layer",
    "batch_norm": "batch norm",
    "max_pool2d": "max pooling",
    "avg_pool2d": "average pooling",
    **dict.fromkeys(("relu", "relu_"), "ReLU"),
    **dict.fromkeys(("sigmoid", "sigmoid_"), "sigmoid"),
    **dict.fromkeys(("tanh", "tanh_"), "tanh"),
    **dict.fromkeys(("hardtanh", "relu6"), "ReLU6"),
    **dict.fromkeys(("gelu", "elu", "selu", "silu", "softplus", "leaky_relu", "hardswish")),
    "softmax": "softmax",
    "log_softmax": "log-softmax",
    **dict.fromkeys(("dropout", "dropout2d"), "dropout"),
    **dict.fromkeys(("add", "add_", "__add__", "__iadd__", "__radd__"), "addition"),
    **dict.fromkeys(("sub", "sub_", "__sub__", "__isub__", "__rsub__"), "subtraction"),
    **dict.fromkeys(("mul", "mul_", "__mul__", "__imul__", "__rmul__"), "multiplication"),
    **dict.fromkeys(("cat", "concat", "concatenate"), "concatenation"),
}
CALLS = {name: kind or name.replace("_relu", " ReLU") for name, kind in CALLS.items()}
JOINING = ("addition", "subtraction", "multiplication", "concatenation")
COMPUTING = ("convolution", "linear layer", "batch norm", "max pooling", "average pooling")
ACTIVATING = sorted(set(CALLS.values()) - set(JOINING) - set(COMPUTING))
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")

# What is done to one call: it gets what calls the function, the arguments, and the module's input.
Action = Callable[[Callable[[], Any], Sequence, Tensor], Any]


class _Edits(TorchFunctionMode):
    """Counts the calls of `forward`, and changes some of them."""

    def __init__(self, actions: dict[int, Action], given: Tensor) -> None:
        super().__init__()
        self.actions, self.given = actions, given
        self.calls: list[tuple[str, Sequence]] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        def run() -> Any:
            return function(*args, **(kwargs or {}))

        kind = CALLS.get(getattr(function, "__name__", ""))
        if kind is None or not args or not _is_maps(args[0]):
            return run()
        number = len(self.calls)
        self.calls.append((kind, args))
        action = self.actions.get(number)
        return run() if action is None else action(run, args, self.given)


def _is_maps(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and _is_maps(value[0])
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 1


class _Edited(nn.Module):
    def __init__(self, module: nn.Module, actions: dict[int, Action]) -> None:
        super().__init__()
        self.module, self.actions = module, actions

    def forward(self, maps: Tensor) -> Any:
        with _Edits(self.actions, maps):
            return self.module(maps)


class _Then(nn.Module):
    """A layer, and after it another one."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, *given: Any) -> Any:
        return self.second(self.first(*given))


class _InTurn(nn.Module):
    """Copies of a layer, one for each call."""

    def __init__(self, layer: nn.Module, count: int) -> None:
        super().__init__()
        self.copies, self.number = nn.ModuleList(copy.deepcopy(layer) for _ in range(count)), -1

    def forward(self, *given: Any) -> Any:
        self.number = (self.number + 1) % len(self.copies)
        return self.copies[self.number](*given)


def explain(answer: nn.Module, reference: nn.Module, shapes: Sequence) -> str:
    """What has to be put right in `answer` so that it computes what `reference` does; or nothing.

    shapes: those of the inputs on which the two are compared.
    """
    end = time.perf_counter() + SECONDS
    with trace.unwatched():
        for words, module in _repaired(answer, reference, shapes[0]):
            if alike_modules(module, reference, shapes):
                return words
            if time.perf_counter() > end:
                break
    return ""


def _repaired(answer: nn.Module, reference: nn.Module, shape: Sequence):
    """(the mistake in words, the module without it), the likeliest first."""
    yield from _other_layers(answer, reference, shape)
    for words, actions in _other_calls(answer, shape):
        yield words, _Edited(answer, actions)


# --- layers ---------------------------------------------------------------------------------------

LAYERS = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.modules.dropout._DropoutNd,
)


def _layers(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, m) for name, m in module.named_modules() if name and isinstance(m, LAYERS)]


def _with(module: nn.Module, new: dict[str, nn.Module]) -> nn.Module:
    """A copy with other layers at some of its places."""
    module = copy.deepcopy(module)
    for name, layer in new.items():
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, copy.deepcopy(layer))
    return module


def _other_layers(answer: nn.Module, reference: nn.Module, shape: Sequence) -> Iterator:
    ours, theirs = _layers(answer), _layers(reference)
    left = Counter(layers(layer) for _, layer in theirs)
    extra: list[tuple[str, nn.Module]] = []
    for name, layer in ours:
        text = layers(layer)
        if left[text]:
            left[text] -= 1
        else:
            extra.append((name, layer))
    missing = []
    for _, layer in reversed(theirs):
        if left[layers(layer)]:
            left[layers(layer)] -= 1
            missing.insert(0, layer)
    if extra and len(extra) == len(missing):
        for order in itertools.islice(itertools.permutations(missing), 24):
            pairs = list(zip(extra, order))
            if all(_is_like(layer, new) for (_, layer), new in pairs):
                words = dict.fromkeys(_setting(layer, new) for (_, layer), new in pairs)
                yield "; ".join(words), _with(answer, {name: new for (name, _), new in pairs})
    if extra and not missing:
        what = " and ".join(_in_words(layer) for _, layer in extra[:3])
        verb = "is" if len(extra) == 1 else "are"
        yield f"{what} {verb} too many", _with(answer, dict.fromkeys([n for n, _ in extra], _SAME))
    if len(missing) == 1 and not extra:
        for name, layer in _leaves(answer):
            words = f"{_in_words(missing[0])} is missing after `{layers(layer)}`"
            yield words, _with(answer, {name: _Then(layer, missing[0])})
    calls = Counter()
    watched = copy.deepcopy(answer)
    for name, layer in _layers(watched):
        layer.register_forward_hook(lambda *_, name=name: calls.update([name]))
    _try(watched, shape)
    for name, layer in ours:
        if calls[name] > 1:
            words = (
                f"the one layer `self.{name}` is called {calls[name]} times; each place needs a "
                "layer of its own"
            )
            idle = [other for other, _ in ours if not calls[other]]
            if idle:
                words = f"`self.{idle[0]}` is never used: {words}"
            yield (
                words,
                _with(answer, {name: _InTurn(layer, calls[name])} | {n: _SAME for n in idle}),
            )


_SAME = nn.Identity()


def _leaves(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, m) for name, m in module.named_modules() if name and not list(m.children())]


def _is_like(layer: nn.Module, new: nn.Module) -> bool:
    """Whether one of these layers may have been meant as the other one."""
    kinds = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm), LAYERS[5:9]
    return any(isinstance(layer, k) and isinstance(new, k) for k in (LAYERS[0], LAYERS[1], *kinds))


def _setting(layer: nn.Module, new: nn.Module) -> str:
    """How a layer has to be changed to become another one."""
    (kind, mine), (new_kind, right) = (_parts(layers(m)) for m in (layer, new))
    text = f"`{layers(layer)}`"
    if kind != new_kind:
        return f"{text} has to be `{layers(new)}`: a {new_kind}, not a {kind}"
    wanted = " and ".join(part for part in right if part not in mine)
    unwanted = " and ".join(part for part in mine if part not in right)
    if not wanted:
        return (
            f"{text} should have {unwanted.replace('no ', 'a ', 1)}"
            if unwanted[:3] == "no "
            else f"{text} should be without {unwanted}"
        )
    return f"{text} should have {wanted}" + (f", not {unwanted}" if unwanted else "")


def _in_words(layer: nn.Module) -> str:
    word = slips.LAYERS.get(type(layer).__name__, "layer")
    return f"a{'n' if word[0] in 'aeiou' else ''} {word} (`{layers(layer)}`)"


def _parts(text: str) -> tuple[str, list[str]]:
    kind, _, rest = text.rstrip(")").partition("(")
    return kind, [part.strip() for part in rest.split(",")] if rest else []


# --- calls ----------------------------------------------------------------------------------------


def _try(module: nn.Module, shape: Sequence) -> None:
    """Run a module; what is wrong with it may well stop it."""
    try:
        with torch.no_grad():
            module(torch.randn(tuple(shape)))
    except Exception:
        pass


def _skip(run: Callable, args: Sequence, given: Tensor) -> Any:
    return args[0]


def _other_calls(answer: nn.Module, shape: Sequence) -> Iterator[tuple[str, dict[int, Action]]]:
    copied = copy.deepcopy(answer)
    edits = _Edits({}, torch.zeros(0))
    with edits:
        _try(copied, shape)
    calls = edits.calls
    names = _names([kind for kind, _ in calls])
    for kind in dict.fromkeys(kind for kind, _ in calls):
        numbers = [n for n, (k, _) in enumerate(calls) if k == kind]
        if kind in ACTIVATING:
            every = dict.fromkeys(numbers, _skip)
            yield f"there is a {kind} too many ({_all(names, numbers)})", every
            if kind != "ReLU":
                yield (
                    f"there is a {kind} where a ReLU is right",
                    dict.fromkeys(numbers, lambda run, args, given: args[0].relu()),
                )
            if len(numbers) > 1:
                for n in numbers:
                    yield f"there is a {kind} too many: {names[n]}", {n: _skip}
        if kind in COMPUTING[:3] and len(numbers) > 1:
            yield f"a ReLU is missing after every {kind}", dict.fromkeys(numbers, _relu)
    after = [n for n, (kind, _) in enumerate(calls) if kind not in ACTIVATING]
    for n in after:
        yield f"a ReLU is missing after {names[n]}", {n: _relu}
    for n, (kind, args) in enumerate(calls):
        if kind in JOINING:
            yield from _joined(n, kind, args, names[n])
        elif "pooling" in kind:
            other = "average pooling" if kind == "max pooling" else "max pooling"
            yield f"there is {kind} where {other} is right", {n: _other_pooling(other)}
    relus = [n for n, (kind, _) in enumerate(calls) if kind in ACTIVATING]
    for n, m in itertools.product(relus, after):
        if n != m + 1:
            yield (
                f"{names[n]} is in the wrong place: it belongs after {names[m]}",
                {
                    n: _skip,
                    m: _relu,
                },
            )
    for n in after:
        yield (
            f"the input is not added after {names[n]}: the shortcut is missing",
            {n: lambda run, args, given: run() + given},
        )


def _relu(run: Callable, args: Sequence, given: Tensor) -> Any:
    return run().relu()


def _other_pooling(kind: str) -> Action:
    pool = F.max_pool2d if kind == "max pooling" else F.avg_pool2d
    return lambda run, args, given: pool(args[0], *args[1:4])


def _joined(n: int, kind: str, args: Sequence, name: str) -> Iterator:
    if kind == "concatenation":
        parts = list(args[0])
        yield (
            "the parts have to be joined along the axis of the channels, `dim=1`",
            {n: lambda run, args, given: torch.cat(list(args[0]), dim=1)},
        )
        for order in itertools.islice(itertools.permutations(range(len(parts))), 1, 24):
            places = ", ".join(ORDINALS[i] for i in order)
            yield (
                f"the parts that are joined come in the wrong order: the right one is yours in the "
                f"order {places}",
                {n: lambda run, args, given, o=order: torch.cat([args[0][i] for i in o], dim=1)},
            )
        if len(parts) == 2:
            yield (
                "the two are concatenated where they have to be added",
                {n: lambda run, args, given: args[0][0] + args[0][1]},
            )
        return
    if kind != "addition":
        verb = "subtracted" if kind == "subtraction" else "multiplied"
        yield (
            f"the two are {verb} where they have to be added",
            {n: lambda run, args, given: args[0] + args[1]},
        )
        return
    for i in (0, 1):
        yield (
            f"{name} adds something other than the module's input",
            {n: lambda run, args, given, i=i: args[i] + given},
        )
    yield f"there is an addition too many ({name})", {n: _skip}


def _names(kinds: list[str]) -> list[str]:
    """`the second ReLU` for every call."""
    seen: Counter[str] = Counter()
    names = []
    for kind in kinds:
        place = seen[kind]
        seen[kind] += 1
        if kinds.count(kind) == 1:
            names.append(f"the {kind}")
        else:
            number = ORDINALS[place] if place < len(ORDINALS) else f"{place + 1}th"
            names.append(f"the {number} {kind}")
    return names


def _all(names: list[str], numbers: list[int]) -> str:
    return " and ".join(names[n] for n in numbers)
