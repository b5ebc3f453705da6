"""The engine behind the exercises, and the form in which a chapter declares them.

A chapter's exercises stand in one folder, named like the first half of their ids:
`nin.2` in `nin/checks.py`. The file says which notebook it belongs to and declares each exercise by
decorating its check:

    CHAPTER = "04_nin"  # chapters/04_nin.ipynb

    @exercise(
        "nin.2",
        title="The mlpconv block",
        answer="mlpconv",              # the name that the stub defines in the notebook
        difficulty=2,                  # 1 to 3
        minutes=10,
        task='''
            Write `mlpconv(in_channels, out_channels, kernel_size)`: a convolution, …
        ''',
        stub='''
            def mlpconv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
                # Your code here.
                ...
        ''',
        hints=["Three convolutions, each followed by …", "The second and the third …"],
        solution='''
            def mlpconv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
                return nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, kernel_size),
                    …
                )
        ''',
        explanation="Why the solution looks like this, in Markdown.",
    )
    def _(answer, reference):
        block = make(answer, 3, 8, 5)
        same_outputs(
            block,
            reference(3, 8, 5),
            (2, 3, 12, 12),
            mistakes={"The last ReLU is missing.": lambda: reference(3, 8, 5)[:-1]},
        )
        return "It agrees with the paper's block in both modes."

The check gets the learner's answer and, if it takes a second argument, the answer of the solution.
It raises `Wrong` (mostly through the tools of `compare`), or returns, if it likes with a sentence
that confirms. It runs with fixed seeds, on the CPU, and on a copy of the answer.

Stub and solution are source text, formatted as ruff does, complete cells both, and kept only here.
They run in a namespace that holds `torch`, `nn` and `F`; `needs=["nin.1"]` adds the right answers
of other exercises, `given="…"` is source that runs first (for names that the chapter defines). The
stub's answer is `...`, a function or class without content, or, in a repair, the broken code:
an answer that is still the stub's counts as not attempted. A question without a check is declared
with `question(…)`.
"""

from __future__ import annotations

import copy
import difflib
import dis
import importlib
import inspect
import json
import linecache
import os
import random
import re
import sys
import textwrap
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises import record as progress
from exercises.compare import Unfinished, Wrong, close, describe, learner_line, sentence


class _WithoutTraceback(Exception):
    """Shown by Jupyter (and so by nbval) as its message alone."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class WrongAnswer(_WithoutTraceback):
    """Raised by `check` under pytest, so that a wrong answer fails the test of its cell."""


class UnknownExercise(_WithoutTraceback, LookupError):
    """There is no exercise with this id."""


@dataclass(frozen=True)
class Result:
    """What `check` found: `outcome` is "right", "wrong" or "open"."""

    outcome: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise. The module's docstring says what the fields mean."""

    id: str
    title: str
    difficulty: int
    minutes: int
    task: str
    hints: tuple[str, ...]
    answer: str = ""
    stub: str = ""
    solution: str = ""
    explanation: str = ""
    needs: tuple[str, ...] = ()
    given: str = ""
    check: Callable[..., str | None] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]\w*\.\d+", self.id):
            raise ValueError(f"An exercise's id looks like nin.2, not {self.id!r}.")
        if self.difficulty not in (1, 2, 3):
            raise ValueError(f"{self.id}: the difficulty is 1, 2 or 3, not {self.difficulty}.")
        if self.check and not self.answer.isidentifier():
            raise ValueError(f"{self.id}: answer must be a variable's name, not {self.answer!r}.")
        if not self.hints:
            raise ValueError(f"{self.id}: at least one hint is needed.")

    @property
    def group(self) -> str:
        """The file that declares it, and the first half of its id: `nin` for `nin.2`."""
        return self.id.partition(".")[0]

    @property
    def chapter(self) -> str:
        """The notebook's name without ending: `04_nin`."""
        return _chapters().get(self.group, self.group)

    def run(self, source: str, label: str = "cell") -> Any:
        """The answer that `source` defines, run as a cell of the notebook."""
        namespace: dict[str, Any] = {"__name__": "exercise", "torch": torch, "nn": nn, "F": F}
        for other in map(find, self.needs):
            namespace[other.answer] = other.reference()
        for kind, text in (("given", self.given), (label, source)):
            name = f"<{kind} of {self.id}>"
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
            exec(compile(text, name, "exec", dont_inherit=True), namespace)
        if self.answer not in namespace:
            raise NameError(f"{self.id}: the {label} does not define {self.answer}.")
        return namespace[self.answer]

    def reference(self) -> Any:
        """The answer of the solution, made anew. The random state stays as it was."""
        with _undisturbed():
            return self.run(self.solution, "solution")

    def is_untouched(self, answer: Any) -> bool:
        """Whether the answer is still the stub's."""
        if answer is None or _has_ellipsis(answer):
            return True
        with _undisturbed():
            return _same(answer, self.run(self.stub, "stub"))


# --- declaring and finding -----------------------------------------------------------------------

_registry: dict[str, Exercise] = {}


def _clean(text: str) -> str:
    return textwrap.dedent(text).strip()


def exercise(
    id: str,
    *,
    title: str,
    answer: str,
    difficulty: int,
    minutes: int,
    task: str,
    stub: str,
    hints: Sequence[str],
    solution: str,
    explanation: str,
    needs: Sequence[str] = (),
    given: str = "",
) -> Callable[[Callable], Exercise]:
    """Declares an exercise; decorates its check. See the module's docstring."""

    def declare(check: Callable) -> Exercise:
        _registry[id] = Exercise(
            id=id,
            title=title,
            answer=answer,
            difficulty=difficulty,
            minutes=minutes,
            task=_clean(task),
            stub=_clean(stub),
            hints=tuple(map(_clean, hints)),
            solution=_clean(solution),
            explanation=_clean(explanation),
            needs=tuple(needs),
            given=_clean(given),
            check=check,
        )
        return _registry[id]

    return declare


def question(
    id: str,
    *,
    title: str,
    difficulty: int,
    minutes: int,
    task: str,
    hints: Sequence[str],
    discussion: str,
) -> Exercise:
    """Declares an open question: no stub, no check, and a discussion in place of a solution."""
    _registry[id] = Exercise(
        id=id,
        title=title,
        difficulty=difficulty,
        minutes=minutes,
        task=_clean(task),
        hints=tuple(map(_clean, hints)),
        explanation=_clean(discussion),
    )
    return _registry[id]


def groups() -> list[str]:
    """The files that declare exercises: `["lenet", "nin", "start"]`."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/checks.py"))


def _chapters() -> dict[str, str]:
    """`{"nin": "04_nin"}` for the files loaded so far."""
    loaded = {group: sys.modules.get(f"exercises.{group}.checks") for group in groups()}
    return {group: module.CHAPTER for group, module in loaded.items() if module}


def exercises(group: str | None = None) -> list[Exercise]:
    """All exercises, or those of one file, in the order of their numbers."""
    for name in groups():
        if group in (None, name):
            importlib.import_module(f"exercises.{name}.checks")
    found = [e for e in _registry.values() if group in (None, e.group)]
    return sorted(found, key=lambda e: (e.chapter, int(e.id.partition(".")[2])))


def find(id: str) -> Exercise:
    """The exercise with this id; `UnknownExercise` names the nearest ids otherwise."""
    if isinstance(id, str) and id not in _registry and id.partition(".")[0] in groups():
        exercises(id.partition(".")[0])
    if id not in _registry:
        known = [e.id for e in exercises()]
        near = difflib.get_close_matches(str(id).lower(), known, n=3, cutoff=0.65)
        advice = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(known)}."
        raise UnknownExercise(f"There is no exercise {id!r}. {advice}")
    return _registry[id]


# --- is it still the stub? -----------------------------------------------------------------------


def _has_ellipsis(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return value is Ellipsis or (
        isinstance(value, (list, tuple)) and any(item is Ellipsis for item in value)
    )


def _fingerprint(code: types.CodeType) -> list[tuple]:
    """What a function does, instruction by instruction: without line numbers and docstring."""
    return [
        (step.opname, _fingerprint(value) if isinstance(value, types.CodeType) else repr(value))
        for step in dis.get_instructions(code)
        for value in [step.argval]
        if step.opname != "NOP"
    ]


def _same(answer: Any, stub: Any) -> bool:
    """Whether an answer does what the stub does, as far as one can see without running it."""
    if isinstance(answer, type) and isinstance(stub, type):
        ours, theirs = (
            {k: v for k, v in vars(c).items() if k[:2] != "__" or k == "__init__"}
            for c in (answer, stub)
        )
        return ours.keys() == theirs.keys() and all(_same(ours[k], theirs[k]) for k in ours)
    answer, stub = (getattr(f, "__func__", f) for f in (answer, stub))
    if isinstance(answer, types.FunctionType) and isinstance(stub, types.FunctionType):
        ours, theirs = inspect.unwrap(answer), inspect.unwrap(stub)
        return _fingerprint(ours.__code__) == _fingerprint(theirs.__code__) and repr(
            (ours.__defaults__, ours.__kwdefaults__)
        ) == repr((theirs.__defaults__, theirs.__kwdefaults__))
    if isinstance(answer, nn.Module) or isinstance(stub, nn.Module):
        return repr(answer) == repr(stub)
    return type(answer) is type(stub) and close(answer, stub, 0.0)


# --- checking ------------------------------------------------------------------------------------


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Runs the block with fixed seeds and plain settings, and puts the learner's ones back."""
    cuda = torch.cuda.is_initialized()
    mps = torch.backends.mps.is_available()
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_cuda = torch.cuda.get_rng_state_all() if cuda else None
    on_mps = torch.mps.get_rng_state() if mps else None
    dtype = torch.get_default_dtype()
    try:
        random.seed(0)
        np.random.seed(0)
        torch.default_generator.manual_seed(0)  # torch.manual_seed would reach every device
        torch.set_default_dtype(torch.float32)
        with warnings.catch_warnings(), torch.device("cpu"), torch.enable_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(dtype)
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(on_cuda)
        if mps:
            torch.mps.set_rng_state(on_mps)


def _copy(answer: Any) -> Any:
    """A copy on the CPU, so that a check cannot change what the learner goes on with."""
    if isinstance(answer, Tensor):
        return answer.detach().cpu().clone()
    try:
        answer = copy.deepcopy(answer)
    except Exception as error:
        advice = "Keep computed tensors out of its attributes."
        if isinstance(answer, Iterator):
            advice = "Make a list of it: list(…)."
        raise Wrong(
            f"The check works on a copy of your answer, and {describe(answer)} cannot be copied: "
            f"{sentence(error)}. {advice}"
        ) from error
    return answer.cpu() if isinstance(answer, nn.Module) else answer


def evaluate(id: str, answer: Any) -> Result:
    """Checks an answer without printing, counting or raising anything."""
    item = find(id)
    if item.check is None:
        raise ValueError(f"{id} is an open question: there is nothing to check.")
    help_line = f'hint("{id}") helps.'
    if item.is_untouched(answer):
        return Result("open", f"not attempted yet. {help_line}")
    arguments = [item.reference()] if len(inspect.signature(item.check).parameters) > 1 else []
    try:
        with _undisturbed():
            confirmed = item.check(_copy(answer), *arguments)
    except Unfinished as error:
        return Result("open", f"{error} {help_line}")
    except (Wrong, AssertionError) as error:
        return Result("wrong", str(error) or "the check failed.")
    except Exception as error:
        return Result(
            "wrong",
            f"your answer ({describe(answer)}) could not be checked: "
            f"{sentence(error)}{learner_line(error)}.",
        )
    return Result("right", confirmed or "well done.")


# The last answer checked, so that `use` in the same cell need not check it again.
_last: dict[str, tuple[Any, Result]] = {}
_outcomes: set[str] = set()  # exercises of which an answer was checked
# What the course gave in place of an answer: it is nobody's answer when it is checked.
_given: dict[str, Any] = {}
_GIVEN = Result(
    "open",
    "this is the course's, with which the chapter went on. Run the cell of your own answer again, "
    "then this one.",
)


def _give(item: Exercise) -> Any:
    _given[item.id] = item.reference()
    return _given[item.id]


def _is_given(id: str, answer: Any) -> bool:
    """Whether this is the very object; of small numbers and such there is only one for all."""
    if answer is not _given.get(id) or isinstance(answer, (bool, str, type(None))):
        return False
    return not (isinstance(answer, int) and int(str(answer)) is answer)


def check(id: str, answer: Any, *, example: bool = False) -> None:
    """Says whether `answer` solves the exercise: right, wrong (and why), or open.

    In a notebook it prints, and Run All goes on. Under pytest a wrong answer (with
    `--strict-exercises` an open one as well) raises `WrongAnswer`. `example=True` only shows what
    a check says: nothing is counted and nothing raised.
    """
    given = _is_given(id, answer)
    result = _GIVEN if given else evaluate(id, answer)
    text = f"{id} is {result.outcome}: {result.message}"
    if example:
        _say(text)
        return
    if not (given and id in _outcomes):  # what the learner's own answer was still counts
        _record(find(id), result)
    _outcomes.add(id)
    _last[id] = (answer, result)
    refused = ["wrong", "open"] if os.environ.get("COURSE_STRICT_EXERCISES") == "1" else ["wrong"]
    if os.environ.get("COURSE_UNDER_PYTEST") == "1" and result.outcome in refused:
        _hand_over_reference(find(id))
        raise WrongAnswer(text)
    _say(text)


def use(id: str, answer: Any) -> Any:
    """The learner's answer if it is right, the solution's otherwise; a line says which."""
    item = find(id)
    last_answer, result = _last.pop(id, (None, None))
    if result is None or last_answer is not answer:
        result = _GIVEN if _is_given(id, answer) else evaluate(id, answer)
    if result.outcome == "right":
        _say(f"{id}: the chapter goes on with your {item.answer}.")
        return answer
    _say(f"{id}: the chapter goes on with the {item.answer} of the course.")
    return _give(item)


def _record(item: Exercise, result: Result) -> None:
    """In a learner's notebook the progress; in a test run that asked for it the scoreboard."""
    testing = os.environ.get("COURSE_UNDER_PYTEST") == "1"
    if _shell() and not testing and os.environ.get("COURSE_PROGRESS") != "0":
        _say(progress.record(item.id, result.outcome))
    if board := os.environ.get("COURSE_SCOREBOARD"):
        checked = [e.id for e in exercises(item.group) if e.check]
        line = {"exercise": item.id, "chapter": item.chapter, "all": checked}
        line |= {"outcome": result.outcome, "message": result.message}
        with open(board, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _hand_over_reference(item: Exercise) -> None:
    """The `use` after a `check` that raises is never reached: this does its work, so that one
    wrong answer is one failed cell and not a failure of every cell after it."""
    if shell := _shell():
        shell.user_ns[item.answer] = _give(item)


# --- hints and solutions -------------------------------------------------------------------------

_hints_shown: dict[str, int] = {}


def hint(id: str) -> None:
    """Shows the next hint, one more each time."""
    item = find(id)
    shown = _hints_shown[id] = _hints_shown.get(id, 0) + 1
    if shown > len(item.hints):
        _say(f'{id}: there are no more hints. solution("{id}") shows the solution.')
    else:
        _show(f"**Hint {shown} of {len(item.hints)}.** {item.hints[shown - 1]}")


def solution(id: str) -> None:
    """Shows the solution and explains it."""
    item = find(id)
    code = f"```python\n{item.solution}\n```\n\n" if item.solution else ""
    _show(code + item.explanation)


def _shell() -> Any:
    """The notebook's IPython shell, or None outside of notebooks."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if hasattr(shell, "kernel") else None


def _show(text: str) -> None:
    if _shell():
        from IPython.display import Markdown, display

        display(Markdown(text))
    else:
        print(text)


def _say(text: str) -> None:
    for line in text.splitlines():
        print(textwrap.fill(line, 96, break_long_words=False, break_on_hyphens=False))
