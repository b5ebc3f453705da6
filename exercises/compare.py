"""Tools for writing checks: call the learner's code, compare it, say what is wrong with it.

Everything here raises `Wrong` with one message for the learner, or returns. A check compares
behaviour, never spelling: a class, a function and an `nn.Sequential` that compute the same thing
are equally right.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import linecache
import math
import numbers
import os
import sysconfig
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class Wrong(Exception):
    """The answer is wrong; the message says what is wrong, in words for the learner."""


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
    text = lines[0] if len(lines[0]) <= 240 else lines[0][:237] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def call(function: Callable, *args: Any, what: str | None = None, **kwargs: Any) -> Any:
    """Calls the learner's function, class or module; every exception becomes a `Wrong`.

    `what` replaces the generated description of the call, such as `mlpconv(3, 8, 5)` or `your
    Sequential with a tensor of shape (2, 3, 8, 8)`. A call that still gives `...`, or raises
    NotImplementedError on purpose, leaves the exercise open (`Unfinished`).
    """
    what = what or describe_call(function, *args, **kwargs)
    try:
        result = function(*args, **kwargs)
    except (Wrong, Unfinished):
        raise
    except Exception as error:
        # torch raises NotImplementedError too, for a module without forward: that is a mistake.
        last_frame = list(traceback.walk_tb(error.__traceback__))[-1][0]
        inside_library = os.path.normcase(last_frame.f_code.co_filename).startswith(_LIBRARIES)
        if isinstance(error, NotImplementedError) and not inside_library:
            raise Unfinished(f"{what} is not written yet.") from error
        made_of = f" It consists of {layers(function)}." if isinstance(function, nn.Module) else ""
        raise Wrong(f"{what} raised {sentence(error)}{learner_line(error)}.{made_of}") from error
    if result is Ellipsis:
        raise Unfinished(f"{what} still gives `...`.")
    return result


def make(answer: Any, *args: Any, **kwargs: Any) -> nn.Module:
    """The learner's module: `answer` itself if it is one, otherwise what `answer(*args)` gives.

    So a class, a function that builds a module and a finished module all serve as the answer.
    """
    if isinstance(answer, nn.Module):
        return answer
    if not callable(answer):
        raise Wrong(f"A function or class that gives a module is expected, not {describe(answer)}.")
    module = call(answer, *args, **kwargs)
    if not isinstance(module, nn.Module):
        missing = " Is the `return` missing?" if module is None else ""
        what = describe_call(answer, *args, **kwargs)
        raise Wrong(f"{what} gives {describe(module)}, but a torch module is expected.{missing}")
    if "_modules" not in vars(module):
        raise Wrong(
            f"{type(module).__name__} cannot be used: `__init__` has to begin with "
            "`super().__init__()`, which prepares a module."
        )
    return module


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
        return f"a {type(value).__name__} module"
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
        return f"your {type(function).__name__}, given {given},"
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
    elif isinstance(layer, nn.Linear):
        words = [f"{layer.in_features}→{layer.out_features}"]
    elif isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
        words = [_pair(layer.kernel_size), f"stride {_same_pair(layer.stride)}"]
        words += [f"padding {_same_pair(layer.padding)}"] if _same_pair(layer.padding) else []
    elif isinstance(layer, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        words = [_pair(layer.output_size)]
    elif isinstance(layer, nn.modules.batchnorm._NormBase):
        words = [str(layer.num_features)]
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
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        raise Wrong(f"A number is expected, not {describe(answer)}.")
    if _equal(answer, right, tolerance):
        return
    causes = [text for value, text in common.items() if _equal(answer, value, tolerance)]
    causes += [_slip(answer, right), *_rounded_mistakes(answer, common, tolerance), otherwise]
    number = f"{answer:,.10g}" if isinstance(answer, float) else f"{answer:,}"
    raise Wrong(f"{number} is not right. {next(filter(None, causes), '')}".strip())


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
        if abs(right) >= unit / 10 and abs(ratio * unit - 1) < 0.01:
            return f"This is in {name}; write the number itself, every digit."
    if any(_equal(answer, float(f"{right:.{digits}g}"), 0.0) for digits in range(2, 7)):
        return "This is rounded; more digits are asked for."
    if math.isclose(ratio, -1):
        return "The sign is wrong."
    power = round(math.log10(abs(ratio)))
    if power and math.isclose(ratio, 10.0**power):
        size = "large" if power > 0 else "small"
        return f"This is {10 ** abs(power):,} times too {size}: count the digits."
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
        raise Wrong(f"A dictionary with the keys {_all(keys)} is expected, not {describe(answer)}.")
    missing = [key for key in keys if key not in answer]
    if missing and all(str(key) in answer for key in keys):
        raise Wrong(f"The keys are texts; they should be numbers: {keys[0]} and not '{keys[0]}'.")
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise Wrong(
            f"{_all(missing)} {verb} missing. A dictionary with the keys {_all(keys)} is expected."
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
        more |= {value: f"This is the number for {_all([k])}." for k, value in right.items()}
        allowed = of(tolerance, key, 0.0)
        known |= {
            v: m for v, m in more.items() if v not in known and not _equal(v, number, allowed)
        }
        try:
            expect_number(answer[key], number, known, allowed, of(otherwise, key, ""))
        except Wrong as error:
            raise Wrong(f"{_all([key])}: {error}") from None


def expect_parameters(
    module: nn.Module, right: int, common: Mapping[int, str] | None = None
) -> None:
    """`module` must have exactly `right` trainable values; `common` as in `expect_number`."""
    count = count_parameters(module)
    if count != right:
        cause = (common or {}).get(count, f"It consists of {layers(module)}.")
        raise Wrong(f"Your module has {count:,} parameters; {right:,} are right. {cause}")


def same_results(
    answer: Callable,
    reference: Callable,
    *cases: tuple,
    mistakes: Mapping[str, Callable] | None = None,
    tolerance: float = 1e-4,
    parts: Sequence[str] = (),
    explain: Callable[[tuple, Any, Any], str] | None = None,
) -> None:
    """`answer(*case)` must give what `reference(*case)` gives; a case is a tuple of arguments.

    mistakes: {message: function that makes this mistake}. An answer that behaves like one of them
    in every case gets its message; any other wrong answer gets the first case that differs. NaN is
    like nothing, not even NaN: choose cases in which the mistakes give numbers.
    parts: names for the values of a tuple, for example ("the result", "the running mean").
    explain: gets the first case that differs, what the answer gave for it (or the exception that
    it raised) and what is right; the sentence that it returns is added to the message.
    """
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")

    def results(function: Callable, calls: Callable) -> list:
        values = []
        for case in cases:
            try:
                values.append(calls(function, *copy.deepcopy(case)))
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
        return close(a, b, tolerance)

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
        if explain is not None:
            case = next(i for i, (a, b) in enumerate(zip(got, right)) if not agree(a, b))
            difference += f" {explain(copy.deepcopy(cases[case]), got[case], right[case])}"
        _expect_arguments_kept(answer, cases, got)
        raise Wrong(difference.strip())
    _expect_arguments_kept(answer, cases, got)


def _expect_arguments_kept(answer: Callable, cases: tuple, got: list) -> None:
    """A function has to leave what it is given as it is."""
    for case, value in zip(cases, got):
        given = copy.deepcopy(case)
        if isinstance(value, Exception) or not close(given, case, 0.0):  # or not comparable at all
            continue
        call(answer, *given)
        for number, (after, before) in enumerate(zip(given, case)):
            if not close(after, before, 0.0):
                try:
                    name = f"`{list(inspect.signature(answer).parameters)[number]}`"
                except (ValueError, TypeError, IndexError):
                    name = f"number {number + 1}"
                raise Wrong(
                    f"{describe_call(answer, *case)} changes its argument {name} in place; it "
                    "should leave what it is given as it is, and return something new."
                )


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
        if isinstance(wanted, tuple):
            return (
                f"{describe_call(answer, *case)} gives {_wrong_parts(mine, wanted, parts, agree)}"
            )
        if describe(mine) == describe(wanted):
            return f"{text} with the wrong values in it."
        return f"{text}; right is {describe(wanted)}."
    raise AssertionError("no difference")


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


# --- comparing modules ----------------------------------------------------------------------------

MOST_ORDERS = 24  # in which parameters of equal shape are tried


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tensors as small as those of a check take longer with a team of threads than without one,
    and many times longer where other programs keep the processor busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def same_outputs(
    answer: nn.Module,
    reference: nn.Module,
    *shapes: tuple[int, ...],
    mistakes: Mapping[str, Callable[[], nn.Module]] | None = None,
    gradients: bool = True,
    tolerance: float = 1e-4,
) -> None:
    """Two modules with the same weights must compute the same, in train and in eval mode.

    The weights of both are set to the same random values (matched in the order in which the layers
    are called, then in the order of registration, then in any order that fits the shapes), so it
    does not matter how the learner named or ordered layers and parameters. Then outputs and
    gradients are compared on a random input of each of `shapes`, for example (2, 3, 8, 8).

    mistakes: {message: function that builds a module with this mistake}. An answer that computes
    the same as one of them gets its message.
    """
    if not isinstance(answer, nn.Module):
        raise Wrong(f"A torch module is expected, not {describe(answer)}.")
    difference = _difference(answer, reference, shapes, gradients, tolerance)
    if difference is None:
        return
    parameters = _parameter_shapes(answer)
    for message, build in (mistakes or {}).items():
        try:
            mistaken = build()
            if parameters and parameters != _parameter_shapes(mistaken):
                continue  # it need not be run
            if _difference(answer, mistaken, shapes, gradients, tolerance) is None:
                raise Wrong(f"{message} {_made_of(answer)}")
        except (RuntimeError, ValueError):  # the mistaken module cannot run on these shapes
            continue
    raise Wrong(difference)


def _essential(tensor: Tensor) -> tuple[int, ...]:
    # A 1×1 convolution and a linear layer differ only by entries of 1 in the weight's shape.
    return tuple(n for n in tensor.shape if n != 1)


def _parameter_shapes(module: nn.Module) -> list[tuple[int, ...]] | None:
    """The shapes of the parameters in an order that two equal modules share; None while a lazy
    layer has none yet."""
    parameters = list(module.parameters())
    if any(map(nn.parameter.is_lazy, parameters)):
        return None
    return sorted(map(_essential, parameters))


def _difference(
    answer: nn.Module, reference: nn.Module, shapes: Sequence, gradients: bool, tolerance: float
) -> str | None:
    """What differs between the two modules, in a sentence, or None."""
    answer, reference = copy.deepcopy(answer).train(), copy.deepcopy(reference).train()
    for shape in shapes:
        images = torch.randn(shape)
        mine, right = call(answer, images.clone()), reference(images.clone())
        if text := _shapes_differ(mine, right, shape):
            return f"{text} {_made_of(answer)}"
    _randomise(reference)
    first = None
    for pairs in _matchings(answer, reference, torch.randn(shapes[0])):
        for mine, right in pairs:
            with torch.no_grad():
                mine.copy_(right.reshape(mine.shape))
        text = _behaviour_differs(answer, reference, pairs, shapes, gradients, tolerance)
        if text is None:
            return None
        first = first or text
    if first is None:
        mine, right = count_parameters(answer), count_parameters(reference)
        count = f"Your module has {mine:,} parameters; {right:,} are right."
        if mine == right:
            count = f"Your module has {mine:,} parameters, as it should, but in other shapes."
        return f"{count} It consists of {layers(answer)}."
    return f"{first} {_made_of(answer)}"


def _made_of(module: nn.Module) -> str:
    more = " (functions that `forward` calls are not listed)"
    return (
        f"Your module consists of {layers(module)}"
        f"{'' if isinstance(module, nn.Sequential) else more}."
    )


def _tensors(output: Any) -> list[Tensor]:
    return list(output) if isinstance(output, (tuple, list)) else [output]


def _shapes_differ(mine: Any, right: Any, shape: tuple) -> str | None:
    what = f"For an input of shape {tuple(shape)} your module gives"
    if isinstance(right, Tensor) and isinstance(mine, (tuple, list)):
        return f"{what} a {type(mine).__name__}; a tensor is right."
    if not isinstance(mine, type(right)) and not all(isinstance(v, Tensor) for v in _tensors(mine)):
        missing = " Is the `return` of `forward` missing?" if mine is None else ""
        return f"{what} {describe(mine)}, not a tensor.{missing}"
    mine_shapes = [tuple(value.shape) for value in _tensors(mine)]
    right_shapes = [tuple(value.shape) for value in _tensors(right)]
    if mine_shapes == right_shapes:
        return None
    got, wanted = (", ".join(map(str, s)) for s in (mine_shapes, right_shapes))
    return f"{what} the shape {got}; {wanted} is right."


def _randomise(module: nn.Module) -> None:
    """Random values everywhere: zero biases and unit scales would hide what is missing."""
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                value.add_(0.1 * torch.randn_like(value))
                if name.endswith("running_var"):
                    value.abs_().add_(0.1)


def _called(module: nn.Module, images: Tensor) -> list[nn.Module]:
    """All submodules in the order in which they are first called, uncalled ones last."""
    order: dict[nn.Module, None] = {}
    hooks = [
        m.register_forward_pre_hook(lambda m, _: order.setdefault(m)) for m in module.modules()
    ]
    try:
        module(images.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return list(order | dict.fromkeys(module.modules()))


def _matchings(
    answer: nn.Module, reference: nn.Module, images: Tensor
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Ways to pair the tensors of both modules so that the shapes agree, the likeliest first."""

    def tensors(modules: Sequence[nn.Module], kind: str) -> list[Tensor]:
        found = [t for m in modules for _, t in getattr(m, kind)(recurse=False)]
        return list({id(t): t for t in found if t.is_floating_point()}.values())

    def paired(mine: list[Tensor], right: list[Tensor]) -> list[tuple[Tensor, Tensor]] | None:
        if [_essential(t) for t in mine] != [_essential(t) for t in right]:
            return None
        return list(zip(mine, right))

    by_call = [_called(module, images) for module in (answer, reference)]
    by_registration = [list(module.modules()) for module in (answer, reference)]
    for orders in (by_call, by_registration):
        parameters = paired(*(tensors(modules, "named_parameters") for modules in orders))
        if parameters is not None:
            buffers = paired(*(tensors(modules, "named_buffers") for modules in orders))
            yield parameters + (buffers or [])

    # Any order among the parameters of one shape, as long as there are few orders to try.
    buffers = paired(*(tensors(modules, "named_buffers") for modules in by_call)) or []
    mine, right = (
        sorted(tensors(modules, "named_parameters"), key=_essential) for modules in by_call
    )
    groups = [list(group) for _, group in itertools.groupby(mine, _essential)]
    if math.prod(math.factorial(len(group)) for group in groups) > MOST_ORDERS:
        groups = [[tensor] for tensor in mine]
    for orders in itertools.product(*map(itertools.permutations, groups)):
        parameters = paired(list(itertools.chain(*orders)), right)
        if parameters is not None:
            yield parameters + buffers


class _SameMasks(TorchFunctionMode):
    """Dropout draws its mask in the order of the memory, which equal tensors need not share."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if "dropout" in getattr(function, "__name__", "") and args:
            args = (args[0].contiguous(), *args[1:])
        return function(*args, **(kwargs or {}))


def _behaviour_differs(
    answer: nn.Module,
    reference: nn.Module,
    pairs: list[tuple[Tensor, Tensor]],
    shapes: Sequence[tuple[int, ...]],
    gradients: bool,
    tolerance: float,
) -> str | None:
    """Outputs, then gradients, on random inputs; train mode first, so that eval mode sees the
    running statistics that training left behind."""
    for mode in ("train", "eval"):
        for shape in shapes:
            images = torch.randn(shape)
            runs = []
            for module in (answer, reference):
                module.train(mode == "train").zero_grad()
                leaf = images.clone().requires_grad_()
                given = leaf * 1  # not a leaf, so that an in-place ReLU may change it
                torch.default_generator.manual_seed(1)  # the same dropout mask for both
                with _SameMasks():
                    outputs = _tensors(call(module, given))
                runs.append((leaf, given, outputs))
            (leaf, given, mine), (right_leaf, right_given, right) = runs
            where = f"in {mode} mode, for an input of shape {tuple(shape)}"
            if text := _shapes_differ(mine, right, shape):
                return f"In {mode} mode: {text}"
            for a, b in zip(mine, right):
                if not close(a, b, tolerance):
                    gap = (a - b).abs().max().item()
                    scale = b.abs().max().item()
                    return (
                        f"With the same weights your module gives other values {where}: they differ"
                        f" by up to {gap:.2g}, and the right ones reach {scale:.2g}."
                    )
            if close(right_given, images, 0.0) and not close(given, images, 0.0):
                return "Your module changes its input in place."
            if not gradients:
                continue
            loss = "The outputs agree, but the gradients do not"
            cause = "is something detached (detach, .data, no_grad)?"
            for outputs in (mine, right):
                torch.default_generator.manual_seed(2)
                # randn_like fills in the order of the memory, which may differ between the two
                total = sum((output * torch.randn(output.shape)).sum() for output in outputs)
                if not total.requires_grad:
                    return f"{loss}: {cause}"
                total.backward()
            inputs = [(leaf.grad, right_leaf.grad)]
            for a, b in inputs + [(a.grad, b.grad) for a, b in pairs if b.requires_grad]:
                if (a is None) != (b is None):
                    return f"{loss}: {cause}"
                if a is not None and not close(a.reshape(b.shape), b, 10 * tolerance):
                    return f"{loss} {where}: {cause}"
    return None
