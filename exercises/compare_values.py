"""Tools for writing checks: call the learner's code, compare it, say what is wrong with it.

Everything here raises `Wrong` with one message for the learner, or returns. A check compares
behaviour, never spelling: a class, a function and an `nn.Sequential` that compute the same thing
are equally right.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import linecache
import math
import numbers
import os
import re
import sysconfig
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from exercises import errors, trace


class Wrong(Exception):
    """The answer is wrong; the message says what is wrong, in words for the learner."""


class Unexplained(Wrong):
    """The answer is wrong, and the message does not say why: `exercises.mistakes` may know.

    suspicion: what is said first if it does not.
    """

    def __init__(self, message: str, suspicion: str = "") -> None:
        super().__init__(f"{suspicion} {message}".strip())
        self.message, self.suspicion = message, suspicion


class Unfinished(Exception):
    """The answer has not been written yet; the exercise stays open."""


# --- calling the learner's code -------------------------------------------------------------------

_LIBRARIES = tuple(
    {os.path.normcase(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    | {
        os.path.normcase(Path(torch.__file__).parents[1]),
        os.path.normcase(Path(__file__).parents[1] / "exercises"),
        os.path.normcase(Path(__file__).parents[1] / "utils"),
    }
)


def learner_line(error: BaseException) -> str:
    """Where it happened: ` (line 3 of your cell: "x = self.conv(x)")`, or nothing.

    It is the innermost line that is neither in a library nor in the course's own code.
    """
    place = ""
    for frame, line_number in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        line = linecache.getline(file, line_number).strip()
        if line and not os.path.normcase(file).startswith(_LIBRARIES):
            name = Path(file).name
            cell = file.startswith("<") or "ipykernel" in file or "ipython-input" in file
            where = "your cell" if cell else name
            place = f' (line {line_number} of {where}: "{line}")'
    return place


def sentence(error: BaseException) -> str:
    """An exception in one line: `ValueError: expected 3 channels`."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[0].removesuffix(", but expected one of:")
    text = text if len(text) <= 240 else text[:237] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def call(function: Callable, *args: Any, what: str | None = None, **kwargs: Any) -> Any:
    """Calls the learner's function, class or module; every exception becomes a `Wrong`.

    `what` replaces the generated description of the call, such as `mlpconv(3, 8, 5)` or `your
    Sequential with a tensor of shape (2, 3, 8, 8)`. A call that still gives `...`, or raises
    NotImplementedError on purpose, leaves the exercise open (`Unfinished`).
    """
    what = what or describe_call(function, *args, **kwargs)
    if problem := _cannot_take(function, args, kwargs):
        raise Wrong(f"{what} is not possible: {problem}")
    given = (*args, *kwargs.values())
    before = trace.kept(given) if trace.is_recording() else given
    recording = torch.is_grad_enabled()
    try:
        result = function(*args, **kwargs)
    except (Wrong, Unfinished):
        raise
    except Exception as error:
        trace.see(error, before)
        if trace.is_following():
            raise Wrong("as the answer that it is compared with") from error
        # torch raises NotImplementedError too, for a module without forward: that is a mistake.
        frame, number = list(traceback.walk_tb(error.__traceback__))[-1]
        inside_library = os.path.normcase(frame.f_code.co_filename).startswith(_LIBRARIES)
        source = linecache.getline(frame.f_code.co_filename, number)
        on_purpose = "NotImplemented" in source if source else not inside_library
        if isinstance(error, NotImplementedError) and on_purpose and not inside_library:
            raise Unfinished(f"{what} is not written yet.") from error
        parts = isinstance(function, nn.Module) and list(function.children())
        made_of = f" It consists of {layers(function)}." if parts else ""
        if parts and (told := sixth_argument(function)):
            raise Wrong(f"{told}{made_of}") from error
        line = learner_line(error)
        text = f"{what} raised {sentence(error)}{line}.{made_of}"
        shared = shared_layer(function) if parts else ""
        if meaning := shared or errors.meaning(str(error), line):
            raise Wrong(f"{meaning} {text}") from error
        raise Unexplained(text) from error
    if result is Ellipsis:
        raise Unfinished(f"{what} still gives `...`.")
    if recording and not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        raise Wrong(
            f"{what} leaves gradients switched off for the whole program. Use `with "
            "torch.no_grad():`, which ends by itself."
        )
    trace.see(result, before)
    return result


def _cannot_take(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> str:
    """Why a call cannot begin: the arguments do not fit the learner's `def` line. Or nothing."""
    if isinstance(function, nn.Module):
        return ""
    try:
        signature = inspect.signature(function)
        signature.bind(*args, **kwargs)
        return ""
    except ValueError:  # some built-in functions have no signature
        return ""
    except TypeError:
        pass
    name = getattr(function, "__name__", type(function).__name__)
    if isinstance(function, type) and not issubclass(function, nn.Module):
        return f"{name} is a class, and a function is expected. Hand in the function itself."
    takes = ", ".join(f"`{p}`" for p in signature.parameters) or "no arguments"
    unknown = [f"`{key}`" for key in kwargs if key not in signature.parameters]
    missing = [
        f"`{p.name}`"
        for number, p in enumerate(signature.parameters.values())
        if number >= len(args)
        and p.name not in kwargs
        and p.default is inspect.Parameter.empty
        and p.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    kind = "class takes" if isinstance(function, type) else "function takes"
    text = f"your {kind} {takes}"
    if unknown:
        text += (
            f"; the task's name{'' if len(unknown) == 1 else 's'} {' and '.join(unknown)} "
            f"{'is' if len(unknown) == 1 else 'are'} not among them"
        )
    elif missing:
        lacks = "it has no default value" if len(missing) == 1 else "they have no default values"
        text += f"; {' and '.join(missing)} would get no value, as {lacks}"
    else:
        text += f", and the task hands it {len(args) + len(kwargs)}"
    return f"{text}. Name and order the arguments as the task does."


def expect_arguments(function: Any, *args: Any, **kwargs: Any) -> None:
    """A call with such arguments, some of them by name, must be possible: the chapter makes it."""
    if callable(function) and (problem := _cannot_take(function, args, kwargs)):
        raise Wrong(problem[0].upper() + problem[1:])


def make(answer: Any, *args: Any, **kwargs: Any) -> nn.Module:
    """The learner's module: what `answer(*args)` gives, of a class or a function that builds one.

    Where the task has no arguments, a finished module serves as the answer too.
    """
    if isinstance(answer, nn.Module):
        if not (args or kwargs):
            return answer
        name = type(answer).__name__
        raise Wrong(
            f"Your answer is a module that is already built (an instance of {name}). The chapter "
            "builds several, with other arguments: hand in the class itself, or a function that "
            "builds a module, without calling it."
        )
    if not callable(answer):
        raise Wrong(f"A function or class that gives a module is expected, not {describe(answer)}.")
    try:
        module = call(answer, *args, **kwargs)
    except Wrong as error:
        if re.search(r"'int' object has no attribute|got \(int, Parameter", str(error.__cause__)):
            raise Wrong(
                "Maps are expected where the task gives numbers. Your answer should build a module "
                f"of them and give it back; the maps come when that module is called. {error}"
            ) from error.__cause__
        raise
    if isinstance(module, type) and issubclass(module, nn.Module):
        raise Wrong(
            f"{describe_call(answer, *args, **kwargs)} gives the class {module.__name__} itself, "
            f"not a module made with it: write `{module.__name__}(…)`, with its brackets."
        )
    if not isinstance(module, nn.Module):
        advice = " Is the `return` missing?" if module is None else ""
        if isinstance(module, (list, tuple)) and all(isinstance(m, nn.Module) for m in module):
            advice = " Put its layers into `nn.Sequential(…)`."
        what = describe_call(answer, *args, **kwargs)
        raise Wrong(f"{what} gives {describe(module)}, but a torch module is expected.{advice}")
    if "_modules" not in vars(module):
        raise Wrong(
            f"{type(module).__name__} cannot be used: `__init__` has to begin with "
            "`super().__init__()`, which prepares a module."
        )
    if args or kwargs:  # without any, one network is asked for, and it may be an old one
        _expect_new_layers(module, answer, args, kwargs)
    return module


def _expect_new_layers(module: nn.Module, answer: Callable, args: tuple, kwargs: dict) -> None:
    """A second call has to give layers of its own."""
    with trace.unwatched(), torch.random.fork_rng(devices=[]):
        again = call(answer, *args, **kwargs)
    if isinstance(again, nn.Module) and {*map(id, module.parameters())} & {
        *map(id, again.parameters())
    }:
        raise Wrong(
            f"{describe_call(answer, *args, **kwargs)} gives layers of an earlier call again, so "
            "two networks would share their weights. Make the layers, and the list of them, inside "
            "the function: then each call makes new ones."
        )


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def operations(function: Callable, *args: Any) -> Counter[str]:
    """Which operations torch runs during the call, and how often: `{"convolution": 1, "add": 3}`.

    They are torch's own names, whatever the call was written with: nn.Conv2d, F.conv2d and
    F.conv1d all run a "convolution". So a task that forbids something can see whether it is used.
    """
    args = copy.deepcopy(args)
    with _Recorder() as recorder:
        call(function, *args)
    return recorder.counts


# --- words for values -----------------------------------------------------------------------------


def describe(value: Any) -> str:
    """A value in a few words: `a tensor of shape (2, 3)`, `0.5`, `the text '196'`, `nothing`."""
    if isinstance(value, nn.Module):
        name = type(value).__name__
        return f"an {name} module" if name[0] in "AEIO" else f"a {name} module"
    if isinstance(value, Tensor):
        if value.numel() == 1:
            return f"{value.item():.6g}"
        if value.numel() <= 6:
            return f"the tensor {value.tolist()}"
        return f"a tensor of shape {tuple(value.shape)}"
    if value is None:
        return "nothing (None)"
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.ismethod(value) or (
        inspect.isbuiltin(value) and not inspect.ismodule(value.__self__)
    ):
        return f"the method `{value.__name__}` (its brackets are missing: `{value.__name__}()`)"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    if isinstance(value, torch.Size):
        return str(tuple(value))
    text = repr(value)
    return text if len(text) <= 80 and " at 0x" not in text else f"a {type(value).__name__}"


def describe_call(function: Callable, *args: Any, **kwargs: Any) -> str:
    """How the check called the learner's code: `mlpconv(3, 8, kernel_size=5)`."""
    if isinstance(function, nn.Module):
        given = " and ".join(describe(arg) for arg in args)
        return f"your {type(function).__name__} (given {given})"
    given = [_short(arg) for arg in args] + [f"{k}={_short(v)}" for k, v in kwargs.items()]
    runs = [(text, len(list(group))) for text, group in itertools.groupby(given)]
    given = [f"{n} times {text}" if n > 2 else ", ".join([text] * n) for text, n in runs]
    return f"{getattr(function, '__name__', type(function).__name__)}({', '.join(given)})"


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    return repr(value) if isinstance(value, str) else describe(value)


def _pair(value: Any) -> str:
    sizes = value if isinstance(value, Sequence) else (value, value)
    return "×".join(map(str, sizes))  # a Conv1d has one, and so has a mistaken (3,)


def _same_pair(value: Any) -> Any:
    return value[0] if isinstance(value, Sequence) and len(set(value)) == 1 else value


def _layer(layer: nn.Module) -> str:
    """One layer with the settings that matter: `Conv2d(3→8, 5×5, padding 2)`."""
    kind, words = type(layer).__name__, []
    if isinstance(layer, nn.modules.conv._ConvNd):
        words = [f"{layer.in_channels}→{layer.out_channels}", _pair(layer.kernel_size)]
        words += [
            f"{name} {_same_pair(getattr(layer, name))}"
            for name in ("stride", "padding", "dilation", "groups")
            if _same_pair(getattr(layer, name)) != (name != "padding")
        ]
        words += [f'padding_mode "{layer.padding_mode}"'] if layer.padding_mode != "zeros" else []
    elif isinstance(layer, nn.Linear):
        words = [f"{layer.in_features}→{layer.out_features}"]
    elif isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
        words = [_pair(layer.kernel_size), f"stride {_same_pair(layer.stride)}"]
        words += [f"padding {_same_pair(layer.padding)}"] if _same_pair(layer.padding) else []
        dilation = _same_pair(getattr(layer, "dilation", 1))
        words += [f"dilation {dilation}"] if dilation != 1 else []
        words += ["ceil_mode"] if layer.ceil_mode else []
    elif isinstance(layer, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        words = [_pair(layer.output_size)]
    elif isinstance(layer, nn.modules.batchnorm._NormBase):
        words = [str(layer.num_features)]
        usual = {"eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True}
        words += [f"{k}={getattr(layer, k)}" for k, v in usual.items() if getattr(layer, k) != v]
    elif isinstance(layer, nn.modules.dropout._DropoutNd):
        words = [f"{layer.p:g}"]
    if getattr(layer, "weight", None) is not None and getattr(layer, "bias", True) is None:
        words.append("no bias")
    return f"{kind}({', '.join(words)})" if words else kind


def layers(module: nn.Module) -> str:
    """A network in one line, in the order of registration: `Conv2d(1→6, 5×5) → ReLU → …`."""
    leaves = [m for m in module.modules() if not list(m.children())]
    leaves = [m for m in leaves if not isinstance(m, (nn.Sequential, nn.ModuleList, nn.Identity))]
    leaves = [m for m in leaves if not type(m).__module__.startswith(__package__)]  # a check's own
    return " → ".join(_layer(leaf) for leaf in leaves) or f"{type(module).__name__} without layers"


def shared_layer(module: nn.Module) -> str:
    """Whether one layer with weights is at several places, in a sentence; or nothing."""
    every = [m for _, m in module.named_modules(remove_duplicate=False) if not list(m.children())]
    for layer in every:
        if every.count(layer) > 1 and list(layer.parameters()):
            return (
                f"The same layer, {_layer(layer)}, is at {every.count(layer)} places, so they "
                "share its weights; make a new layer for each."
            )
    return ""


def sixth_argument(module: nn.Module) -> str:
    """Whether a convolution got its groups in the place of its dilation, in a sentence; or nothing.

    In `nn.Conv2d(4, 4, 3, 1, 1, 4)` the last 4 is the dilation.
    """
    for layer in module.modules():
        conv = isinstance(layer, nn.Conv2d) and layer.groups == 1 < layer.in_channels
        if conv and _same_pair(layer.dilation) == layer.in_channels:
            return (
                f"`{_layer(layer)}` has gaps in its kernel: the sixth argument of `nn.Conv2d` is "
                "`dilation`. Write the groups with their name, `groups=…`."
            )
    return ""


# --- comparing ------------------------------------------------------------------------------------


def close(a: Any, b: Any, tolerance: float = 1e-4) -> bool:
    """Equal up to `tolerance` times the largest value of b (at least 1); shapes must agree.

    Takes numbers, tensors, arrays, texts, None, and lists, tuples and dicts of them.
    """
    if isinstance(b, Mapping):
        return (
            isinstance(a, Mapping)
            and a.keys() == b.keys()
            and all(close(a[key], b[key], tolerance) for key in b)
        )
    if isinstance(b, (list, tuple)):
        return (
            isinstance(a, (list, tuple))
            and len(a) == len(b)
            and all(close(x, y, tolerance) for x, y in zip(a, b))
        )
    if b is None or isinstance(b, (str, bool)):
        return type(a) is type(b) and a == b
    try:
        a = torch.as_tensor(a).detach().cpu().to(torch.float64)
        b = torch.as_tensor(b).detach().cpu().to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return False
    if a.shape != b.shape:
        return False
    if not b.numel():
        return True
    scale = max(1.0, b.abs().max().item())
    if math.isinf(scale):
        return torch.equal(a, b)
    return (a - b).abs().max().item() <= tolerance * scale  # False for NaN, as it should be


def count_parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def expect_number(
    answer: Any,
    right: float,
    common: Mapping[float, str] | None = None,
    tolerance: float = 0.0,
    otherwise: str = "",
) -> None:
    """`answer` must be the number `right`, up to an absolute `tolerance`.

    common: messages for wrong numbers that have a known cause, `{214: "You dropped …"}`. What can
    happen to every number (given in millions, rounded, a zero too many) is said after these.
    otherwise: what to say about any other number, such as where to start.
    Raises ValueError where `common` explains the right number, which no answer would ever see.
    """
    common = common or {}
    if dead := [text for value, text in common.items() if _equal(value, right, tolerance)]:
        raise ValueError(f"{right:,} is right and is among the common mistakes: {dead[0]}")
    answer = plain(answer)
    if isinstance(answer, (Fraction, Decimal)):
        answer = int(answer) if float(answer).is_integer() else float(answer)
    trace.see(answer)
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        terms = isinstance(answer, (list, tuple)) and all(
            isinstance(x, numbers.Real) for x in answer
        )
        more = " Add them up." if terms and _equal(sum(answer), right, tolerance) else ""
        if isinstance(answer, Tensor) and answer.dtype == torch.bool:
            more = " Its mean is the share of True: `.float().mean().item()`."
        raise Wrong(f"A number is expected, not {describe(answer)}.{more}")
    if math.isnan(answer):
        raise Wrong("This is not a number (nan), as 0/0 or infinity minus infinity gives.")
    if _equal(answer, right, tolerance):
        return
    causes = [text for value, text in common.items() if _equal(answer, value, tolerance)]
    causes += [_slip(answer, right), *_rounded_mistakes(answer, common, tolerance)]
    number = f"{answer:,.10g}" if isinstance(answer, float) else f"{answer:,}"
    if cause := next(filter(None, causes), ""):
        raise Wrong(f"{number} is not right. {cause}")
    if isinstance(right, int) and abs(right) > 200 and abs(answer - right) == 1:
        much = "too many" if answer > right else "too few"
        raise Wrong(f"{number} is not right. It is one {much}.")
    far = ""
    if right and math.isfinite(answer) and not 0.02 < abs(answer / right) < 50:
        far = f"It is much too {'large' if abs(answer) > abs(right) else 'small'}."
    mine, wanted = str(answer), str(right)
    wrong = [number for number, pair in enumerate(zip(mine, wanted)) if pair[0] != pair[1]]
    if len(mine) == len(wanted) > 5 and len(wrong) == 1 and wrong[0] + 1 < len(wanted):
        far = "All digits are right but one."
    raise Unexplained(" ".join(filter(None, (f"{number} is not right.", far, otherwise))))


def combined(count: Callable[..., float], **slips: Mapping[Any, str]) -> dict[float, str]:
    """For `expect_number`: what one or two slips make of a number that `count` works out.

    slips: for an argument of `count`, which has the right default, the wrong values and what to say
    of them. Where two different pairs of slips give the same number, both are named; where more
    do, none is.
    """
    single = [(name, value, text) for name, texts in slips.items() for value, text in texts.items()]
    right = count()
    found: dict[float, str] = {}
    for name, value, text in single:
        number = count(**{name: value})
        found[number] = _either(found[number], text) if number in found else text
    pairs: dict[float, list[str]] = {}
    for (name, value, text), (other, second, more) in itertools.combinations(single, 2):
        if name != other:
            texts = pairs.setdefault(count(**{name: value, other: second}), [])
            texts.append(f"{text} {more}")
    for number in (right, 2 * right, right / 2):  # what everybody may do
        pairs.pop(number, None)
    for number, texts in pairs.items():
        if number not in found and len(texts) <= 2:
            found[number] = _either(*texts)
    return found


def _either(text: str, other: str = "") -> str:
    return f"{text} Or, which is the same: {other}" if other else text


def plain(value: Any) -> Any:
    """Python's own number for a tensor or an array that holds one; anything else as it is."""
    try:
        return value.item() if hasattr(value, "item") else value
    except (RuntimeError, ValueError):  # it holds several
        return value


def _equal(a: float, b: float, tolerance: float) -> bool:
    # Counts are exact, however large; what was computed with fractions may be rounded.
    whole = isinstance(a, numbers.Integral) and isinstance(b, numbers.Integral)
    return math.isclose(a, b, rel_tol=0.0 if whole else 1e-9, abs_tol=tolerance)


def _slip(answer: float, right: float) -> str:
    """What went wrong between the right number and writing it down, or an empty text."""
    if not right or not answer or not math.isfinite(answer):
        return ""
    ratio = answer / right
    for unit, name in ((1e3, "thousands"), (1e6, "millions"), (1e9, "billions")):
        if (abs(right) >= unit / 10 or answer % 1) and abs(ratio * unit - 1) < 0.01:
            return f"This is in {name}; write the number itself, every digit."
    for unit, name in ((2**10, "K"), (2**20, "M")):
        if abs(right) >= unit / 10 and math.isclose(ratio * unit, 1, rel_tol=1e-6):
            return f"This is divided by {unit:,} ({name}); write the number itself."
    for size, name in ((2**20, "MiB"), (1e6, "MB")):
        if isinstance(right, int) and right > 1e5 and abs(ratio * size / 4 - 1) < 3e-3:
            return f"This is the size in {name}, with four bytes for each; write the number itself."
    if any(_equal(answer, float(f"{right:.{digits}g}"), 0.0) for digits in range(2, 7)):
        return "This is rounded; more digits are asked for."
    if answer == torch.tensor(float(right), dtype=torch.float32).item():
        return "This is rounded, as by float32: it holds seven digits. Count with whole numbers."
    for bits in (16, 32):
        if abs(answer) < 2**bits <= abs(right) and (answer - right) % 2**bits == 0:
            return (
                f"This is what is left of the right number in {bits} bits: it is too large for "
                "them (an overflow). Count with Python's whole numbers."
            )
    if math.isclose(ratio, -1):
        return "The sign is wrong."
    mine, wanted = str(answer), str(right)
    if len(mine) == len(wanted) and mine != wanted:
        at = next(i for i, (a, b) in enumerate(zip(mine, wanted)) if a != b)
        if mine[:at] + mine[at : at + 2][::-1] + mine[at + 2 :] == wanted:
            return f"Two digits have changed places: {mine[at : at + 2]}."
    power = round(math.log10(abs(ratio)))
    if power and math.isclose(ratio, 10.0**power):
        size = "large" if power > 0 else "small"
        return f"This is {10 ** abs(power):,} times too {size}: count the digits."
    if isinstance(right, int) and ratio == 4:
        return "This is 4 times too large, as the bytes of float32 are: count the numbers."
    return ""


def _rounded_mistakes(answer: float, common: Mapping[float, str], tolerance: float) -> list[str]:
    """The causes of mistakes that were rounded, where rounding is allowed."""
    if not tolerance:
        return []
    return [text for value, text in common.items() if math.isclose(answer, value, rel_tol=4e-3)]


def expect_keys(answer: Any, keys: Iterable) -> None:
    """`answer` must be a dictionary with these keys, and may have others."""
    keys = list(keys)
    if not isinstance(answer, Mapping):
        brackets = ""
        if isinstance(plain(answer), numbers.Number):
            brackets = (
                " Does a loop store each result with `name = …`? With `name[key] = …` the "
                "dictionary stays, and gets an entry."
            )
        raise Wrong(
            f"A dictionary with the keys {_all(keys)} is expected, not {describe(answer)}."
            f"{brackets}"
        )
    missing = [key for key in keys if key not in answer]
    if missing and all(str(key) in answer for key in keys):
        raise Wrong(f"The keys are texts; they should be numbers: {keys[0]} and not '{keys[0]}'.")
    if missing:
        raise Wrong(
            f"{_all(missing)} {'is' if len(missing) == 1 else 'are'} missing. "
            f"A dictionary with the keys {_all(keys)} is expected."
        )


def _all(keys: Sequence) -> str:
    """Keys as a sentence lists them: `"a", "b" and "c"`."""
    names = [f'"{key}"' if isinstance(key, str) else str(key) for key in keys]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


_TWICE = (
    "One multiply-accumulate is one MAC. Counting the multiplication and the addition apart gives "
    "twice as much (often called FLOPs)."
)
_HALF = "This is half of it: each multiplication, together with its addition, is one MAC."
_WITHOUT_BIASES = "These are the weights; every output has a bias too."
_WITH_BIASES = "The biases are in it; they are left out here."
_MACS_WITH_BIASES = "Biases are added, not multiplied; MACs leave them out."


def expect_numbers(
    answer: Any,
    right: Mapping[Any, float],
    common: Mapping[Any, Mapping[float, str]] | None = None,
    *,
    macs: Collection = (),
    without_biases: Mapping[Any, float] | None = None,
    with_biases: Mapping[Any, float] | None = None,
    tolerance: float | Mapping[Any, float] = 0.0,
    otherwise: str | Mapping[Any, str] = "",
) -> None:
    """`answer` must be a dictionary with the numbers `right`; a message begins with the key.

    common: for a key the known mistakes, as in `expect_number`. They come first. Known for all
    keys is the number of another key; besides, where they are given:
    macs: keys that count MACs, which may be doubled or halved.
    without_biases, with_biases: for a key the number of somebody who leaves out biases that
    belong to it, and of somebody who counts biases that do not.
    tolerance, otherwise: as in `expect_number`, for all keys or for each.
    """

    def of(options: Any, key: Any, default: Any) -> Any:
        return options.get(key, default) if isinstance(options, Mapping) else options or default

    expect_keys(answer, right)
    for key, number in right.items():
        known = dict(of(common, key, {}))
        more = {}
        if key in macs:
            more |= {2 * number: _TWICE, number / 2: _HALF}
        more |= {of(without_biases, key, number): _WITHOUT_BIASES}
        more |= {of(with_biases, key, number): _MACS_WITH_BIASES if key in macs else _WITH_BIASES}
        for k, value in right.items():
            swapped = f" The two have changed places: {_all([key, k])}."
            there = plain(answer[k])
            known_there = isinstance(there, numbers.Real) and _equal(there, number, 0.0)
            if known_there and value in known:
                known[value] += swapped
            more[value] = f"This is the number for {_all([k])}.{swapped if known_there else ''}"
        allowed = of(tolerance, key, 0.0)
        known |= {
            v: m for v, m in more.items() if v not in known and not _equal(v, number, allowed)
        }
        try:
            expect_number(answer[key], number, known, allowed, of(otherwise, key, ""))
        except Wrong as error:
            raise type(error)(f"{_all([key])}: {error}") from None


def same_results(
    answer: Callable,
    reference: Callable,
    *cases: tuple,
    mistakes: Mapping[str, Callable] | None = None,
    tolerance: float = 1e-4,
    parts: Sequence[str] = (),
    explain: Callable[[tuple, Any, Any], str] | None = None,
    layer: bool = False,
    lists: bool = False,
) -> None:
    """`answer(*case)` must give what `reference(*case)` gives; a case is a tuple of arguments.

    mistakes: {message: function that makes this mistake}. An answer that behaves like one of them
    in every case gets its message; any other wrong answer gets the first case that differs. NaN is
    like nothing, not even NaN: choose cases in which the mistakes give numbers.
    parts: names for the values of a tuple, for example ("the result", "the running mean").
    explain: gets the first case that differs, what the answer gave for it (or the exception that
    it raised) and what is right; the sentence that it returns is added to the message.
    layer: whether a network goes on with the result and is trained: it must have the type of the
    right one (float32), and the same gradients must flow back. The task says so.
    lists: whether a list or an array serves as well as a tensor.
    """
    if isinstance(answer, type):
        inside = "…" if _cannot_take(answer, (), {}) else ""
        raise Wrong(
            f"{answer.__name__} is a class itself; a function is expected. Write it with `def`, or "
            f"hand in an object of the class: `{answer.__name__}({inside})`."
        )
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")

    def results(function: Callable, calls: Callable) -> list:
        values = []
        for case in cases:
            try:
                values.append(trace.kept(calls(function, *copy.deepcopy(case))))
            except (Unfinished, KeyboardInterrupt):
                raise
            except Exception as error:
                values.append(error)
        return values

    def cause(error: Exception) -> BaseException | None:
        return error.__cause__ if isinstance(error, Wrong) else error

    def agree(a: Any, b: Any) -> bool:
        if isinstance(a, Exception) or isinstance(b, Exception):
            return type(cause(a)) is type(cause(b))
        return close(_of_the_kind(a, b), b, tolerance)

    def behaves_like(a: Any, b: Any) -> bool:
        if isinstance(a, Exception) and isinstance(b, Exception):
            return agree(a, b) and str(cause(a)) == str(cause(b))  # not just some RuntimeError
        return agree(a, b)

    got = results(answer, call)
    right = [reference(*copy.deepcopy(case)) for case in cases]
    if not all(map(agree, got, right)):
        difference = _first_difference(answer, cases, got, right, agree, parts)
        for message, mistaken in (mistakes or {}).items():
            other = results(mistaken, lambda function, *case: function(*case))
            if all(map(behaves_like, got, other)):
                raise Wrong(f"{message} {difference}")
        case = next(i for i, (a, b) in enumerate(zip(got, right)) if not agree(a, b))
        if type(got[case]) is Wrong or difference.endswith("Is the `return` missing?"):
            raise Wrong(difference)  # the cause is known
        names, wanted = (_argument_names(f, None) for f in (answer, reference))
        if names != wanted and sorted(names) == sorted(wanted):
            raise Wrong(
                f"Your function takes its arguments in the order {', '.join(names)}; the task's "
                f"order is {', '.join(wanted)}. {difference}"
            )
        if explain is not None:
            difference += f" {explain(copy.deepcopy(cases[case]), got[case], right[case])}"
        try:
            _expect_arguments_kept(answer, cases, got)
        except Wrong as error:  # the numbers are wrong too, which may have another cause
            raise Unexplained(str(error)) from None
        with trace.unwatched():
            _expect_no_memory(answer, cases, got, agree)
        if _is_constant(got) and not _is_constant(right):
            difference = f"The result is the same whatever the arguments are. {difference}"
        raise Unexplained(difference.strip())
    _expect_arguments_kept(answer, cases, got)
    for case, mine, wanted in zip(cases, got, right):
        if not lists and (problem := _other_kind(mine, wanted, layer)):
            raise Wrong(f"{describe_call(answer, *case)} gives the right numbers, but {problem}")
    with trace.unwatched():
        _expect_no_memory(answer, cases, got, agree)
        if layer:
            _expect_gradients(answer, reference, cases, tolerance)


def _of_the_kind(value: Any, wanted: Any) -> Any:
    """`value` as the kind of thing that `wanted` is, where only the kind differs: a number may come
    from torch, NumPy or `fractions`, a few numbers in a tuple, a list, an array or a tensor."""
    if isinstance(wanted, numbers.Real) and not isinstance(wanted, bool):
        number = plain(value)
        if isinstance(number, numbers.Real) and not isinstance(number, bool):
            return float(number) if isinstance(number, numbers.Rational) else number
        return value
    few = isinstance(wanted, (tuple, list)) and all(isinstance(w, numbers.Real) for w in wanted)
    if few and hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1:
        return value.tolist()
    return value


def _other_kind(value: Any, wanted: Any, layer: bool) -> str:
    """What is wrong with the kind of a result whose numbers are right, or nothing."""
    if isinstance(wanted, (tuple, list)) and isinstance(value, (tuple, list)):
        return next(filter(None, (_other_kind(*pair, layer) for pair in zip(value, wanted))), "")
    if not isinstance(wanted, Tensor):
        return ""
    if not isinstance(value, Tensor):
        kind = "a NumPy array" if type(value).__module__ == "numpy" else f"a {type(value).__name__}"
        return f"they are {kind}; a torch tensor is expected, with which a network can go on."
    if layer and value.is_floating_point() and value.dtype != wanted.dtype:
        return (
            f"they are {str(value.dtype).removeprefix('torch.')} numbers; what goes in is "
            f"{str(wanted.dtype).removeprefix('torch.')}, and what comes out should be too."
        )
    return ""


def _expect_no_memory(answer: Callable, cases: tuple, got: list, agree: Callable) -> None:
    """A second call with the same arguments has to give the same."""
    for case, before in zip(cases, got):
        if isinstance(before, Exception) or not agree(before, before):  # NaN is not even like NaN
            continue
        try:
            again = answer(*copy.deepcopy(case))
        except Exception as error:
            again = error
        if isinstance(again, Exception) or not agree(again, before):
            what = describe_call(answer, *case)
            twice = f"{what} gives something else when it is called a second time"
            if names := _layers_built(answer, case):
                raise Wrong(
                    f"{twice}: each call builds a new {names}, with new random weights. Work "
                    "with what the function is given."
                )
            if _draws(answer, case, agree):
                raise Wrong(
                    f"{twice}: each call draws new random numbers. Work with what the "
                    "function is given."
                )
            raise Wrong(
                f"{twice}: it remembers something between two calls (a global name, an "
                "attribute or a list as default value), it draws random numbers, or it gives "
                "memory that was never filled (`torch.empty`). Start anew in each call, from the "
                "arguments alone."
            )


def _layers_built(answer: Callable, case: tuple) -> str:
    """The kinds of layers with parameters that a call builds."""
    case, built, original = copy.deepcopy(case), [], nn.Module.__init__

    def noted(module: nn.Module, *args: Any, **kwargs: Any) -> None:
        built.append(module)
        original(module, *args, **kwargs)

    with mock.patch.object(nn.Module, "__init__", noted), contextlib.suppress(Exception):
        answer(*case)
    own = [module for module in built if vars(module).get("_parameters")]
    return " and ".join(dict.fromkeys(type(module).__name__ for module in own))


def _draws(answer: Callable, case: tuple, agree: Callable) -> bool:
    """Whether calls differ only because torch's random numbers do."""
    results = []
    for seed in (1, 1, 2):
        torch.default_generator.manual_seed(seed)
        with contextlib.suppress(Exception):
            results.append(answer(*copy.deepcopy(case)))
    return len(results) == 3 and agree(*results[:2]) and not agree(*results[1:])


def _is_constant(results: list) -> bool:
    return len(results) > 1 and all(
        not isinstance(r, (Exception, type(None))) and close(r, results[0], 0.0) for r in results
    )


def _expect_gradients(
    answer: Callable, reference: Callable, cases: tuple, tolerance: float
) -> None:
    """Where a gradient flows through the right function it has to flow through the answer too."""
    for case in cases:
        runs = []
        for function in (answer, reference):
            leaves: list[Tensor] = []
            try:
                torch.default_generator.manual_seed(1)
                outputs = [
                    v
                    for v in tensors(function(*_with_gradients(case, leaves)))
                    if isinstance(v, Tensor) and v.requires_grad
                ]
                torch.default_generator.manual_seed(2)
                total = sum((v * torch.randn(v.shape)).sum() for v in outputs)
                grads = torch.autograd.grad(total, leaves, allow_unused=True) if outputs else []
            except Exception:
                return  # in place on a leaf, or whole numbers: there is nothing to compare
            runs.append([None if g is None else g for g in grads])
        ours, theirs = runs
        if not any(g is not None for g in theirs):
            continue
        names = _leaf_names(_argument_names(answer, len(case)), case)
        lost = [
            name for name, g, wanted in zip(names, ours, theirs) if g is None and wanted is not None
        ]
        for mine, right in itertools.zip_longest(ours, theirs):
            if right is not None and right.abs().max() > 0 and mine is None:
                some = 0 < len(lost) < len(names) == len(theirs)
                where = f" to {' and '.join(lost)}" if some else ""
                weights = some and all("." in name for name in lost)
                learns = "these weights cannot" if weights else "nothing before it can"
                raise Wrong(
                    f"{describe_call(answer, *case)} gives the right numbers, but no gradient "
                    f"flows back{where}, so {learns} learn. It gets lost where you "
                    "leave torch or switch the gradient off: `no_grad`, `detach`, `.data`, "
                    "`.item()`, `.tolist()` or NumPy."
                )
            if mine is not None and right is not None and not close(mine, right, 10 * tolerance):
                raise Wrong(
                    f"{describe_call(answer, *case)} gives the right numbers, but another "
                    "gradient. Is a part of it detached (`detach`, `.data`, `.item()`, `no_grad`)?"
                )


def _argument_names(function: Callable, count: int | None) -> list[str]:
    try:
        return [f"`{name}`" for name in inspect.signature(function).parameters][:count]
    except (TypeError, ValueError):
        return []


def _leaf_names(names: list[str], case: tuple) -> list[str]:
    """What the leaves of `_with_gradients` are called, where the arguments are no tuples."""
    found = []
    for name, value in zip(names, case):
        if isinstance(value, Tensor) and value.is_floating_point():
            found.append(name)
        elif isinstance(value, nn.Module):
            found += [f"`{name.strip('`')}.{own}`" for own, _ in value.named_parameters()]
    return found


def _with_gradients(value: Any, leaves: list[Tensor]) -> Any:
    """A copy whose tensors of real numbers ask for a gradient; `leaves` collects them, and the
    parameters of modules."""
    if isinstance(value, tuple):
        return tuple(_with_gradients(item, leaves) for item in value)
    if isinstance(value, Tensor) and value.is_floating_point():
        leaves.append(value.detach().clone().requires_grad_())
        return leaves[-1]
    value = copy.deepcopy(value)
    if isinstance(value, nn.Module):
        leaves.extend(value.parameters())
    return value


def _expect_arguments_kept(answer: Callable, cases: tuple, got: list) -> None:
    """A function has to leave what it is given as it is."""

    def content(value: Any) -> Any:
        return list(value.parameters()) if isinstance(value, nn.Module) else value

    for case, value in zip(cases, got):
        given = copy.deepcopy(case)
        if isinstance(value, Exception):
            continue
        kept = [close(content(a), content(b), 0.0) for a, b in zip(given, case)]
        with trace.unwatched():
            call(answer, *given)
        for number, (after, before) in enumerate(zip(given, case)):
            if kept[number] and not close(content(after), content(before), 0.0):
                name = [*_argument_names(answer, len(case)), *[f"number {number + 1}"] * len(case)]
                raise Wrong(
                    f"{describe_call(answer, *case)} changes its argument {name[number]} in place; "
                    "it should leave what it is given as it is, and return something new."
                )
            now, then = _settings(after), _settings(before)
            for setting in (key for key in then if now.get(key) != then[key]):
                name = [*_argument_names(answer, len(case)), *["a layer"] * len(case)][number]
                raise Wrong(
                    f"{describe_call(answer, *case)} leaves {name} changed: its `{setting}` was "
                    f"{then[setting]} and is {now.get(setting)}. Who uses the layer next gets "
                    "something else. Leave the layer as it is."
                )


def _settings(value: Any) -> dict[str, Any]:
    """What a module is set to, such as its stride; not its mode."""
    found = {}
    for name, module in value.named_modules() if isinstance(value, nn.Module) else ():
        for key, setting in vars(module).items():
            if key != "training" and isinstance(setting, (int, float, str, tuple)):
                found[f"{name}.{key}".strip(".")] = setting
    return found


def _first_difference(
    answer: Callable, cases: tuple, got: list, right: list, agree: Callable, parts: Sequence[str]
) -> str:
    for case, mine, wanted in zip(cases, got, right):
        if isinstance(mine, Exception):
            return str(mine)
        if agree(mine, wanted):
            continue
        text = f"{describe_call(answer, *case)} gives {describe(mine)}"
        if mine is None:
            return f"{text}. Is the `return` missing?"
        if isinstance(mine, nn.Module) and isinstance(wanted, Tensor):
            name = (_argument_names(answer, 1) or ["the tensor"])[0]
            return (
                f"{text}: the layer itself. Call this layer with {name}, and return what it gives."
            )
        if isinstance(wanted, tuple):
            return (
                f"{describe_call(answer, *case)} gives {_wrong_parts(mine, wanted, parts, agree)}"
            )
        same = (
            isinstance(mine, Tensor) and isinstance(wanted, Tensor) and mine.shape == wanted.shape
        )
        if same and mine.ndim:
            return f"{text} with the wrong values in it{_observed(mine, wanted)}."
        return f"{text}; right is {describe(wanted)}."
    raise AssertionError("no difference")


def _observed(mine: Tensor, right: Tensor) -> str:
    """What one can see in wrong numbers, without a guess at the cause, and the first of them."""
    mine, right = (t.detach().to(torch.float64) for t in (mine, right))
    if not right.numel() or not bool(mine.isfinite().all()):
        return "" if not right.numel() else ": some are not finite (NaN or infinite)"
    off = (mine - right).abs() > 1e-4 * max(1.0, right.abs().max().item())
    if not bool(off.any()):
        return ""
    place = off.nonzero()[0].tolist()
    first = f"at [{', '.join(map(str, place))}] {mine[off][0]:.4g}, right is {right[off][0]:.4g}"
    factor = (mine * right).sum() / (right * right).sum().clamp(min=1e-12)
    shift = (mine - right).mean()
    if close(mine, factor * right, 1e-5) and abs(factor) > 1e-9:
        return f": every number is {factor:.4g} times the right one ({first})"
    if close(mine - shift, right, 1e-5):
        return (
            f": every number is {abs(shift):.4g} too {'large' if shift > 0 else 'small'} ({first})"
        )
    if not bool(mine.any()):
        return ": all are 0"
    if close(mine.flatten().sort().values, right.flatten().sort().values, 1e-5):
        return f": they are the right numbers in other places ({first})"
    if close(mine, right.clamp(min=0), 1e-5):
        return f": the negative numbers are cut to 0 ({first})"
    if close(mine.abs(), right.abs(), 1e-5):
        return f": only the sign is wrong ({first})"
    share = off.double().mean().item()
    return f" ({'' if share > 0.99 else f'{share:.0%} of them; '}{first})"


def _wrong_parts(mine: Any, wanted: tuple, parts: Sequence[str], agree: Callable) -> str:
    """Which values of a tuple are wrong, and how."""
    if not parts and not any(isinstance(value, Tensor) for value in wanted):
        return f"{describe(mine)}; right is {describe(wanted)}."
    if not isinstance(mine, (tuple, list)) or len(mine) != len(wanted):
        count = f" of {len(mine)} values" if isinstance(mine, (tuple, list)) else ""
        names = f" ({', '.join(parts)})" if parts else ""
        given = f"a {type(mine).__name__}{count}" if count else describe(mine)
        return f"{given}; {len(wanted)} values{names} are right."
    names = parts or [f"value {number + 1}" for number in range(len(wanted))]
    wrong, kept = [], []
    for name, a, b in zip(names, mine, wanted):
        if agree(a, b):
            kept.append(name)
        elif isinstance(b, Tensor) and getattr(a, "shape", None) != b.shape:
            tensor = isinstance(a, Tensor)
            got = f"of shape {tuple(a.shape)}, not" if tensor else f"{describe(a)}, not of shape"
            wrong.append(f"{name} ({got} {tuple(b.shape)})")
        else:
            wrong.append(name)
    text = f"a wrong value for {' and for '.join(wrong)}"
    if kept:
        text += f"; {' and '.join(kept)} {'is' if len(kept) == 1 else 'are'} right"
    return f"{text}."


def tensors(output: Any) -> list[Tensor]:
    return list(output) if isinstance(output, (tuple, list)) else [output]
