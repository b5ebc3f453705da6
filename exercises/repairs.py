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
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exercises import slips, trace
from exercises.compare_modules import alike_modules
from exercises.compare_values import layers

SECONDS = 2.0
NO_FACTORS = ("stride", "padding", "kernel_size", "dilation")  # arguments that multiply no channels

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
    **dict.fromkeys(("clamp", "clamp_", "clip"), "clamp"),
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
# Activations that can be put in, and what computes them.
RIGHT_ACTIVATIONS = {"ReLU": F.relu, "ReLU6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
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
        def run(*first: Any) -> Any:
            return function(*first, *args[len(first) :], **(kwargs or {}))

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
        self.more = nn.ModuleList(a.layer for a in actions.values() if isinstance(a, _Layer))

    def forward(self, maps: Tensor) -> Any:
        with _Edits(self.actions, maps):
            return self.module(maps)


class _Layer:
    """Another layer, after a call or before it."""

    def __init__(self, layer: nn.Module, before: bool = False) -> None:
        self.layer, self.before = layer, before

    def __call__(self, run: Callable, args: Sequence, given: Tensor) -> Any:
        return run(self.layer(args[0])) if self.before else self.layer(run())


class _Permuting(TorchFunctionMode):
    """Moves the axes where a reshape only makes a tensor look as if they had been moved."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if getattr(function, "__name__", "") in ("reshape", "view") and _is_maps(args[0]):
            for order in ((0, 2, 3, 1), (0, 3, 1, 2)):
                if args[0].ndim == 4 and result.shape == args[0].permute(order).shape:
                    return args[0].permute(order)
        return result


class _Permuted(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *given: Any) -> Any:
        with _Permuting():
            return self.module(*given)


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


class _AlwaysTraining(nn.Module):
    """`self.training` is true in every `forward` that is not torch's; layers keep their mode."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)

    def forward(self, *given: Any) -> Any:
        for module in self.module.modules():
            if not type(module).__module__.startswith("torch."):
                module.training = True
        return self.module(*given)


class _InMode(nn.Module):
    """Every `F.batch_norm` gets the mode of the module as its `training`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)

    def forward(self, *given: Any) -> Any:
        with _Mode(self.training):
            return self.module(*given)


class _Mode(TorchFunctionMode):
    def __init__(self, training: bool) -> None:
        super().__init__()
        self.training = training

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is F.batch_norm:
            args = (*args[:5], self.training, *args[6:]) if len(args) > 5 else args
            kwargs |= {"training": self.training} if len(args) <= 5 else {}
        return function(*args, **kwargs)


class _Once(nn.Module):
    """A layer or block that computes in its first call; in the others it gives back its input."""

    def __init__(self, block: nn.Module, count: int) -> None:
        super().__init__()
        self.block, self.count, self.number = block, count, -1

    def forward(self, *given: Any) -> Any:
        self.number = (self.number + 1) % self.count
        return given[0] if self.number else self.block(*given)


def explain(
    answer: nn.Module,
    reference: nn.Module,
    shapes: Sequence,
    made: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """What has to be put right in `answer` so that it computes what `reference` does; or nothing.

    shapes: those of the inputs on which the two are compared; made: the arguments with which both
    were made, by their names.
    """
    end = time.process_time() + SECONDS
    right_one = trace.Compared(reference, tuple(shapes))
    with trace.unwatched():
        one = list(_other_layers(answer, reference, shapes[0], made))
        used = _calls(reference, shapes[0])
        two = (
            (f"{words}; besides, {more}", _Edited(module, actions))
            for words, module in [*one, *_moved(answer, shapes[0])]
            for more, actions in _other_calls(module, shapes[0], used)
        )
        edited = ((words, _Edited(answer, a)) for words, a in _other_calls(answer, shapes[0], used))
        moved = _moved(answer, shapes[0])
        words = "a reshape (or `view`) mixes up the numbers where `permute` has to move the axes"
        whole = [(words, _Permuted(answer))]
        words = (
            "`forward` does something in one mode only (`self.training`); do it in both, or never"
        )
        whole += [(words, _AlwaysTraining(answer))]
        words = "`F.batch_norm` does not know the mode; give it `training=self.training`"
        whole += [(words, _InMode(answer))]
        again = _called_again(answer, shapes[0])
        for words, module in itertools.chain(one, again, edited, whole, moved, two):
            if alike_modules(trace.Compared(module, right_one.shapes), right_one):
                return words
            if time.process_time() > end:
                break
    return ""


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
    module, copies = copy.deepcopy(module), {}
    for name, layer in new.items():
        parent, _, last = name.rpartition(".")
        layer = copies.setdefault(layer, copy.deepcopy(layer))
        setattr(module.get_submodule(parent), last, layer)
    return module


def _other_layers(
    answer: nn.Module, reference: nn.Module, shape: Sequence, made: Mapping[str, Any]
) -> Iterator[tuple[str, nn.Module]]:
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
    if extra and len(extra) != len(missing):  # `forward` may call `F.max_pool2d` for a layer
        kinds = {type(layer) for _, layer in ours}
        missing = [new for new in missing if type(new) in kinds or list(new.parameters())]
    if extra and len(extra) == len(missing):
        orders = itertools.islice(itertools.permutations(missing), 24)
        in_turn = [
            (mine, new)
            for mine, (_, new) in zip(ours, theirs)
            if len(ours) == len(theirs) and layers(mine[1]) != layers(new)
        ]
        for pairs in [*(list(zip(extra, order)) for order in orders), in_turn]:
            if pairs and all(_is_like(layer, new) for (_, layer), new in pairs):
                same: dict[str, list[str]] = {}
                for (name, layer), new in pairs:
                    place = f"{_place(answer, name)} (`{layers(layer)}`)"
                    same.setdefault(_setting(layer, new, made), []).append(place)
                words = [f"{' and '.join(places[:3])} {what}" for what, places in same.items()]
                words[2:] = ["and so on"] if len(words) > 2 else []
                yield "; ".join(words), _with(answer, {name: new for (name, _), new in pairs})
    if extra and not missing:
        what = " and ".join(_in_words(layer) for _, layer in extra[:3])
        words = f"{what} {'is' if len(extra) == 1 else 'are'} too many"
        yield words, _with(answer, dict.fromkeys([n for n, _ in extra], _SAME))
    if 1 < len(missing) <= 3 and not extra:
        kinds = list(map(_word, missing))
        alike = len(set(kinds)) == 1
        count = "two" if len(kinds) == 2 else "three"
        what = f"{count} {kinds[0].partition(' ')[2]}s" if alike else " and ".join(kinds)
        for names in itertools.islice(itertools.combinations(_leaves(answer), len(missing)), 40):
            after = " and ".join(_place(answer, name) for name, _ in names)
            words = f"{what} are missing, after {after}"
            pairs = zip(names, missing)
            yield words, _with(answer, {name: _Then(layer, new) for (name, layer), new in pairs})
    if len(missing) == 1 and not extra:
        new, word = missing[0], _word(missing[0])
        for name, _ in _leaves(answer):
            words = f"after {_place(answer, name)} {word} is missing"
            if name == _last_of(answer, name):
                words = f"`self.{name.split('.')[0]}` ends without {word}: {words}"
            yield words, _with(answer, {name: _Then(answer.get_submodule(name), new)})
        first = {0: _Layer(copy.deepcopy(new), before=True)}
        yield f"{word} is missing at the beginning", _Edited(answer, first)
    calls = _numbers_of_calls(answer, shape)
    for name, layer in ours:
        if calls[name] > 1:
            words = (
                f"the one layer `self.{name}` is called {calls[name]} times; each place needs a "
                "layer of its own"
            )
            idle = [other for other, _ in ours if not calls[other]]
            if idle:
                words = f"`self.{idle[0]}` is never used: {words}"
            every = [n for n, m in answer.named_modules(remove_duplicate=False) if m is layer]
            new = dict.fromkeys(every, _InTurn(layer, calls[name]))
            yield words, _with(answer, new | dict.fromkeys(idle, _SAME))
    again = [(name, layer) for name, layer in ours if calls[name] > 1]
    if len(again) > 1:
        several = " and ".join(f"`self.{name}`" for name, _ in again)
        words = f"{several} are called several times; each place needs a layer of its own"
        if idle := [other for other, _ in ours if not calls[other]]:
            unused = " and ".join(f"`self.{name}`" for name in idle)
            words = f"not used at all: {unused}; {words}"
        new = {name: _InTurn(layer, calls[name]) for name, layer in again}
        yield words, _with(answer, new | dict.fromkeys(idle, _SAME))


def _numbers_of_calls(answer: nn.Module, shape: Sequence) -> Counter[str]:
    """How often each layer and each block of them is called, by its name."""
    calls: Counter[str] = Counter()
    watched = copy.deepcopy(answer)
    for name, module in watched.named_modules():
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    _try(watched, shape)
    return calls


def _called_again(answer: nn.Module, shape: Sequence) -> Iterator[tuple[str, nn.Module]]:
    """A part of the module that is called several times is called once."""
    for name, count in _numbers_of_calls(answer, shape).items():
        if name and count > 1:
            words = f"`self.{name}` is called {count} times; one call is right"
            yield words, _with(answer, {name: _Once(answer.get_submodule(name), count)})


_SAME = nn.Identity()


def _leaves(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, m) for name, m in module.named_modules() if name and not list(m.children())]


def _is_like(layer: nn.Module, new: nn.Module) -> bool:
    """Whether one of these layers may have been meant as the other one."""
    kinds = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm), LAYERS[5:9]
    return any(
        isinstance(layer, k) and isinstance(new, k) for k in (*LAYERS[:2], LAYERS[9], *kinds)
    )


def _word(layer: nn.Module) -> str:
    return _with_article(slips.LAYERS.get(type(layer).__name__, "layer"))


def _with_article(word: str) -> str:
    return f"a{'n' if word[0] in 'aeiouA' else ''} {word}"


def _in_words(layer: nn.Module) -> str:
    return f"{_word(layer)} (`{layers(layer)}`)"


def _place(module: nn.Module, name: str) -> str:
    """Which layer it is: `the second convolution in self.branch`."""
    start, _, rest = name.partition(".")
    if not rest:
        return f"`self.{name}`"
    word = _word(module.get_submodule(name)).partition(" ")[2]
    alike = [
        n
        for n, m in _leaves(module)
        if n.split(".")[0] == start and _word(m).partition(" ")[2] == word
    ]
    container = isinstance(module, (nn.Sequential, nn.ModuleList))
    where = "your module" if container else f"`self.{start}`"
    if 1 < len(alike) <= len(ORDINALS):
        return f"the {ORDINALS[alike.index(name)]} {word} in {where}"
    return f"the {word} in {where}"


def _last_of(module: nn.Module, name: str) -> str:
    """The last layer of the part of a module in which this layer is."""
    start = f"{name.split('.')[0]}."
    return ([n for n, _ in _leaves(module) if n.startswith(start)] or [""])[-1]


def _settings(layer: nn.Module) -> dict[str, Any]:
    """What tells two layers of one kind apart; the keys are the verbs of a sentence."""
    found: dict[str, Any] = {}
    for name, verb in (
        ("in_channels", "take {} channels"),
        ("out_channels", "give {} channels"),
        ("in_features", "take {} values"),
        ("out_features", "give {} values"),
        ("num_features", "be for {} channels"),
        ("kernel_size", "be {}"),
        *((name, f"have {name} {{}}") for name in ("stride", "padding", "dilation", "groups")),
        *((name, f"have {name} {{}}") for name in ("eps", "momentum", "padding_mode", "p")),
        *((name, f"have {name} {{}}") for name in ("ceil_mode", "track_running_stats")),
    ):
        value = getattr(layer, name, None)
        if value is not None:
            pair = isinstance(value, tuple)
            if pair and len(set(value)) == 1 and name != "kernel_size":
                value, pair = value[0], False
            elif name == "kernel_size" and not pair:  # of a pooling
                value, pair = (value, value), True
            found[verb] = "×".join(map(str, value)) if pair else value
    if isinstance(layer, nn.modules.batchnorm._NormBase):
        found["have {} weight and bias"] = "a" if layer.affine else "no"
    elif hasattr(layer, "weight") and hasattr(layer, "bias"):
        found["have {} bias"] = "no" if layer.bias is None else "a"
    return found


def _setting(layer: nn.Module, new: nn.Module, made: Mapping[str, Any]) -> str:
    """How a layer has to be changed to become another one."""
    if type(layer) is not type(new):
        right, mine = (type(one).__name__ for one in (new, layer))
        return f"should be {_with_article(right)}, not {_with_article(mine)}"
    mine, right = _settings(layer), _settings(new)
    parts = []
    for verb, value in right.items():
        if mine.get(verb) != value:
            told = "" if value in ("a", "no") else f", not {mine.get(verb)}"
            kind = re.match(r"have (stride|padding|dilation|groups) ", verb)
            named = {kind[1]: made[kind[1]]} if kind and kind[1] in made else {}
            parts.append(f"{verb.format(value)}{_origin(value, named if kind else made)}{told}")
    if not parts:
        return f"should be {layers(new)}"
    *others, last = parts
    return f"should {', '.join(others)}, and {last}" if others else f"should {last}"


def _origin(value: Any, made: Mapping[str, Any]) -> str:
    """The argument that a number comes from, or nothing."""
    if type(value) is not int or (value <= 2 and len(made) > 1):
        return ""  # too many things are 1 or 2
    numbers = {name: v for name, v in made.items() if type(v) is int}
    for name, values in made.items():
        if isinstance(values, (list, tuple)):
            numbers |= {f"{name}[{k}]": v for k, v in enumerate(values) if type(v) is int}
    found = [f" (the argument `{name}`)" for name, v in numbers.items() if v == value]
    if not found:
        sizes = {name: v for name, v in numbers.items() if v > 1 and name not in NO_FACTORS}
        factors = {"2": 2, "4": 4} | sizes
        found = [
            f" ({a} * {b} = {value})"
            for a, b in itertools.combinations(factors, 2)
            if b in sizes and factors[a] * factors[b] == value
        ]
    return found[0] if len(found) == 1 else ""


def _moved(answer: nn.Module, shape: Sequence) -> Iterator[tuple[str, nn.Module]]:
    """A layer without which the number of channels stays is put in another place."""
    counts = _numbers_of_calls(answer, shape)
    for name, layer in _layers(answer):
        if isinstance(layer, (*LAYERS[:2],)):
            continue
        without = _with(answer, {name: _SAME})
        calls = _calls(without, shape)
        now = _calls(answer, shape, layer)
        now = f" {_names(now)[-1]}" if now else " the start"
        start = (
            f"{_place(answer, name)} (`{layers(layer)}`) is in the wrong place: it comes after{now}"
        )
        where = [(f"after {text}", n, False) for n, text in enumerate(_names(calls))]
        for words, n, before in [("at the beginning", 0, True), *where]:
            text = f"{start} and belongs {words}"
            if not counts[name]:
                what = _place(answer, name)
                text = f"{what} (`{layers(layer)}`) is made and never called: it belongs {words}"
            yield text, _Edited(without, {n: _Layer(layer, before)})


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


def _recorded(
    module: nn.Module, shape: Sequence, until: nn.Module | None = None
) -> list[tuple[str, Sequence]]:
    """The calls of functions in `forward`; those before a layer, if one is given."""
    edits, calls = _Edits({}, torch.zeros(0)), []
    handle = (
        until.register_forward_pre_hook(lambda *_: calls.extend(edits.calls)) if until else None
    )
    try:
        with edits:
            _try(copy.deepcopy(module) if until is None else module, shape)
    finally:
        if handle:
            handle.remove()
    return edits.calls if until is None else calls


def _calls(module: nn.Module, shape: Sequence, until: nn.Module | None = None) -> list[str]:
    return [kind for kind, _ in _recorded(module, shape, until)]


def _other_calls(
    answer: nn.Module, shape: Sequence, used: Sequence[str]
) -> Iterator[tuple[str, dict[int, Action]]]:
    """Other activations, joins and poolings; `used` is what the right module calls."""
    right = next((kind for kind in used if kind in RIGHT_ACTIVATIONS), "ReLU")

    def then_activate(run: Callable, args: Sequence, given: Tensor) -> Any:
        return RIGHT_ACTIVATIONS[right](run())

    def activate(run: Callable, args: Sequence, given: Tensor) -> Any:
        return RIGHT_ACTIVATIONS[right](args[0])

    def others(kind: str, numbers: list[int]) -> Iterator[tuple[str, dict[int, Action]]]:
        for n in numbers if len(numbers) > 1 else ():
            yield f"{names[n]} should be a {right}", {n: activate}
        yield f"there is a {kind} where a {right} is right", dict.fromkeys(numbers, activate)

    calls = _recorded(answer, shape)
    kinds = [kind for kind, _ in calls]
    names = _names(kinds)
    active = [n for n, kind in enumerate(kinds) if kind in ACTIVATING]
    after = [n for n, kind in enumerate(kinds) if kind not in ACTIVATING]
    bare = [n for n in after if n + 1 not in active]
    for kind in dict.fromkeys(kinds[n] for n in active):
        numbers = [n for n in active if kinds[n] == kind]
        if kind == "clamp":  # one with wrong limits; where it limits nothing, it looks superfluous
            yield from others(kind, numbers)
        for n in numbers if len(numbers) > 1 else ():
            yield f"there is a {kind} too many: {names[n]}", {n: _skip}
        every = f"there should be no {kind}; there are {len(numbers)}"
        if len(numbers) < 4:
            every = f"there is a {kind} too many ({' and '.join(names[n] for n in numbers)})"
        yield every, dict.fromkeys(numbers, _skip)
        if kind != right and kind != "clamp":
            yield from others(kind, numbers)
    for n in bare:
        place = sum(m < n for m in active)
        which = (
            f"the {ORDINALS[place]} {right}" if active and place < len(ORDINALS) else f"a {right}"
        )
        yield f"{which} is missing: one belongs after {names[n]}", {n: then_activate}
    for kind in COMPUTING[:3]:
        numbers = [n for n in bare if kinds[n] == kind]
        if len(numbers) > 1:
            words = ", ".join(names[n] for n in numbers)
            missing = f"{right}s are missing: one belongs after each of {words}"
            yield missing, dict.fromkeys(numbers, then_activate)
    for n, (kind, args) in enumerate(calls):
        if kind in JOINING:
            yield from _joined(n, kind, args, names[n])
        elif "pooling" in kind:
            other = "average pooling" if kind == "max pooling" else "max pooling"
            if other in used:
                yield f"there is {kind} where {other} is right", {n: _other_pooling(other)}
    for n, m in itertools.product(active, after):
        if m == n + 1:
            words = f"{names[m]} comes after {names[n]}: it has to come before it"
        else:
            words = f"{names[n]} is in the wrong place: it belongs after {names[m]}"
        if n != m + 1:
            yield words, {n: _skip, m: then_activate}
    for n, m in itertools.islice(itertools.combinations(bare, 2), 30):
        words = f"{right}s are missing: one belongs after each of {names[n]}, {names[m]}"
        yield words, {n: then_activate, m: then_activate}
    for n in after:
        yield (
            f"the input is not added after {names[n]}: the shortcut is missing",
            {n: lambda run, args, given: run() + given},
        )


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
    words = "there is an addition too many"
    words = words if name == "the addition" else f"{words} ({name})"
    for i in (0, 1):
        yield words, {n: lambda run, args, given, i=i: args[i]}


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
