"""The engine behind the exercises: what `check`, `hint`, `solution` and `use` do in a notebook.

A group of exercises is a folder, named like the first half of their ids:

    nin/exercises.md   the texts: `exercises.texts` says in which form
    nin/checks.py      one function for each exercise that has a stub
    nin/answers.py     wrong and right answers that the checks must tell apart

The check of `nin.2` is the function `nin_2` in `nin/checks.py`:

    def nin_2(answer, reference):
        block = make(answer, 3, (8, 7, 6), 5)
        same_outputs(
            block,
            reference(3, (8, 7, 6), 5),
            (2, 3, 12, 12),
            mistakes={"The last ReLU is missing.": lambda: reference(3, (8, 7, 6), 5)[:-1]},
        )
        return "It agrees with the paper's block in both modes."

It gets the learner's answer and, if it takes a second argument, the answer of the solution. It
raises `Wrong` (mostly through the tools of `compare`), or returns, if it likes with a sentence that
confirms. It runs with fixed seeds, on the CPU, on a copy of the answer, and within a time limit.

Stub and solution run in a namespace that holds `torch`, `nn` and `F`, the right answers of the
exercises that are needed, and what the given code defines. The stub's answer is `...`, a function
or class without content, or, in a repair, the broken code: an answer that is still the stub's
counts as open.

Hints, solutions and messages are shown in the language of `utils.language`, as far as they are
translated.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import dis
import importlib
import inspect
import io
import itertools
import json
import keyword
import linecache
import os
import random
import re
import time
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises import (
    corrections,
    errors,
    mistakes,
    mutants,
    record,
    slips,
    texts,
    time_limit,
    trace,
)
from exercises.compare import (
    Unexplained,
    Unfinished,
    Wrong,
    close,
    describe,
    learner_line,
    sentence,
)
from exercises.compare_modules import one_thread
from utils import language, notebook
from utils.language import say

language.explain_exceptions()

CORRECTION_SECONDS = 2.0  # for what is tried in the learner's text
LONGEST = 4.5  # seconds for a diagnosis, about


class WrongAnswer(texts.WithoutTraceback):
    """Raised by `check` under pytest, so that a wrong answer fails the test of its cell."""


@dataclass(frozen=True)
class Result:
    """What `check` found: `outcome` is "right", "wrong" or "open"."""

    outcome: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Exercise(texts.Text):
    """One exercise: its text, and its check (None for an open question)."""

    check: Callable[..., str | None] | None = None
    slips: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # `slips.edited` explains

    def run(self, source: str, label: str = "cell", names: Mapping[str, Any] | None = None) -> Any:
        """The answer that `source` defines, run as a cell of the notebook (which has `names`)."""
        namespace: dict[str, Any] = {"__name__": "exercise", "torch": torch, "nn": nn, "F": F}
        for other in map(find, self.needs):
            namespace[other.answer] = other.reference()
        namespace |= names or {}
        for kind, text in (("given", self.given), (label, source)):
            name = f"<{kind} of {self.id}>"
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
            exec(compile(text, name, "exec", dont_inherit=True), namespace)
        if self.answer not in namespace:
            raise NameError(f"{self.id}: the {label} does not define {self.answer}.")
        if label == "cell":
            _texts[self.id] = (namespace[self.answer], source)
        return namespace[self.answer]

    def reference(self) -> Any:
        """The answer of the solution, made anew. The random state stays as it was."""
        with _undisturbed():
            return self.run(self.solution, "solution")

    @cached_property
    def untouched(self) -> Any:
        """The answer of the stub."""
        with _undisturbed():
            return self.run(self.stub, "stub")

    def is_untouched(self, answer: Any) -> bool:
        """Whether the answer is still the stub's."""
        if answer is None or _has_ellipsis(answer):
            return True
        with _undisturbed():
            return _same(answer, self.untouched)

    def arguments(self) -> list:
        """What the check gets besides the learner's answer: the right one, if it takes one."""
        return [self.reference()] if len(inspect.signature(self.check).parameters) > 1 else []

    @cached_property
    def candidates(self) -> dict[Any, mistakes.Candidate]:
        """The solutions with a mistake that were tried, by their words and source: what a check has
        seen of one need not be seen again for the next wrong answer."""
        return {}

    @cached_property
    def solutions(self) -> list[str]:
        """The texts of right answers."""
        known = importlib.import_module(f"exercises.{self.group}.answers").right_answers
        given = [answer for _, answer in known.get(self.id, ())]
        return [self.solution, *(text for text in given if isinstance(text, str))]

    @cached_property
    def calls_changed(self) -> list[mistakes.Candidate]:
        return list(mistakes.calls_changed(self.reference(), self.seen))

    @cached_property
    def seen(self) -> list[trace.Seen]:
        """What the check sees of the right answer."""
        arguments = self.arguments()
        with _undisturbed():
            return mistakes.seen_by(lambda answer: self.check(answer, *arguments), self.reference())


_texts: dict[str, tuple[Any, str]] = {}  # the last answers that were made from a text

# --- finding --------------------------------------------------------------------------------------


@cache
def _load(group: str) -> dict[str, Exercise]:
    """The exercises of one group by their ids: the texts, each with its check."""
    if group not in texts.groups():
        return {}
    checks = importlib.import_module(f"exercises.{group}.checks")
    found = {}
    for text in texts.read(group):
        name = text.id.replace(".", "_")
        check = getattr(checks, name, None)
        if text.is_question != (check is None):
            kind, need = ("an open question", "no") if check else ("an exercise with a stub", "a")
            raise texts.TextError(
                f"{text.id} is {kind}: it needs {need} function `{name}` in {checks.__file__}."
            )
        own = getattr(checks, "SLIPS", {}).get(text.id, {})
        found[text.id] = Exercise(**vars(text), check=check, slips=own)
    return found


def exercises(group: str | None = None) -> list[Exercise]:
    """All exercises, or those of one group, in the order of chapters and numbers."""
    names = texts.groups() if group is None else [group]
    found = [item for name in names for item in _load(name).values()]
    return sorted(found, key=lambda item: (item.chapter, item.number))


def find(id: str) -> Exercise:
    """The exercise with this id; `texts.UnknownExercise` names the nearest ids otherwise."""
    item = _load(str(id).partition(".")[0]).get(id)
    if item is None:
        raise texts.unknown(id)
    return item


# --- is it still the stub? ------------------------------------------------------------------------


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


def _still_open(item: Exercise, answer: Any) -> str:
    """How far an answer is that is still the stub's, or holds `...`."""
    if "..." not in item.stub and answer is not None and not _has_ellipsis(answer):
        return "the code is still as it was given."
    pairs = answer.items() if isinstance(answer, dict) else ()
    missing = [f'"{key}"' for key, value in pairs if value is Ellipsis]
    if not missing or len(missing) == len(answer):
        return "not attempted yet."
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} still `...`."


# --- checking -------------------------------------------------------------------------------------


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
        # torch.device(…) slows every call of torch down, and is rarely needed.
        cpu_already = torch.empty(0).device.type == "cpu"
        device = nullcontext() if cpu_already else torch.device("cpu")
        with warnings.catch_warnings(), device, torch.enable_grad():
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
        # Tensors with a history have to be detached first.
        if type(answer) is dict:
            return {key: _copy(value) for key, value in answer.items()}
        if type(answer) in (list, tuple):
            return type(answer)(map(_copy, answer))
        advice = "Keep computed tensors out of its attributes."
        if isinstance(answer, Iterator):
            advice = "Make a list of it: list(…)."
        raise Wrong(
            f"The check works on a copy of your answer, and {describe(answer)} cannot be copied: "
            f"{sentence(error)}. {advice}"
        ) from error
    return answer.cpu() if isinstance(answer, nn.Module) else answer


def evaluate(id: str, answer: Any, *, explain: bool = True, correct: bool = True) -> Result:
    """Checks an answer without printing, counting or raising anything.

    explain: whether to look for the mistake where the check itself does not know it, which takes
    up to `mistakes.SECONDS`.
    correct: whether to look in the learner's text too for what has to be changed, which takes up to
    `CORRECTION_SECONDS`.
    """
    item = find(id)
    if item.check is None:
        raise ValueError(f"{id} is an open question: there is nothing to check.")
    help_line = f'hint("{id}") helps.'
    if item.is_untouched(answer):
        return Result("open", f"{_still_open(item, answer)} {help_line}")
    arguments = item.arguments()
    try:
        with time_limit.limited(), _undisturbed(), trace.watching(trace.Trace()) as watched:
            confirmed = item.check(_copy(answer), *arguments)
            if watched.postponed:
                raise watched.postponed
    except Unfinished as error:
        return Result("open", f"{error} {help_line}")
    except (Wrong, AssertionError) as error:
        raised = any(isinstance(observed.result, BaseException) for observed in watched.seen)
        unknown = isinstance(error, Unexplained)
        cause = _other_arguments(item, answer, raised) if unknown or raised else ""
        advice = ""
        if explain and not cause and (unknown or raised):
            cause, advice = _cause(
                item, answer, watched.seen, arguments, search=unknown, correct=correct
            )
        if cause and advice.startswith("Two changes") and not mistakes.is_found(cause):
            advice = ""  # what is written for the mistake says more
        difference = error.message if cause and unknown else str(error)
        if advice and "//" not in advice:  # the division is not at fault
            difference = difference.removeprefix(errors.WHOLE).strip()
        message = _in_order(f"{cause} {advice}".strip(), difference)
        if explain and correct and not (cause or unknown or raised):
            names = isinstance(answer, dict) and any(isinstance(v, str) for v in answer.values())
            advice = ""
            if not names:  # of a few names many changes hit the right one by chance
                advice = _correction(item, answer, arguments)
            if not advice.startswith("Two changes"):  # the check's own words say more
                message = f"{message} {advice}".strip()
        return Result("wrong", message or "the check failed.")
    except time_limit.TooLong as error:
        return Result(
            "wrong",
            f"your answer did not end within {time_limit.SECONDS:.0f} seconds, so the check has "
            f"interrupted it{learner_line(error)}. Is there a loop that never ends?",
        )
    except Exception as error:
        return Result(
            "wrong",
            f"your answer ({describe(answer)}) could not be checked: "
            f"{sentence(error)}{learner_line(error)}.",
        )
    return Result("right", confirmed or "well done.")


def _in_order(cause: str, error: str) -> str:
    """The cause comes first, and then nobody needs the list of all layers."""
    if cause:
        error = re.sub(r" (It|Your module) consists of [^\n]*", "", error)
    return f"{cause} {error}".strip()


def _other_arguments(item: Exercise, answer: Any, raised: bool) -> str:
    """Whether the arguments are in another order than the task's, in a sentence; or nothing.

    raised: whether an exception was seen. Other names alone are no mistake.
    """
    if isinstance(answer, nn.Module):
        return ""
    given = mistakes.parameter_names(item.untouched)
    taken = mistakes.parameter_names(answer)[: len(given)]
    if not given or taken == given:
        return ""
    if raised and not taken and len(given) == 1 and _starred(answer) == given:
        return f"`{given[0]}` is one argument: write it without a star."
    task, mine = (", ".join(f"`{name}`" for name in names) for names in (given, taken))
    if sorted(taken) == sorted(given):
        return f"Your arguments come in another order than the task's: {mine}; {task} is right."
    moved = [n for n, name in enumerate(taken) if name in given and given.index(name) != n]
    if raised and (moved or len(taken) < len(given)):
        if len(given) == 1:
            return f"The task hands over {task} alone, and yours takes {mine or 'nothing'}."
        return f"The task hands over {task}, in this order, and yours takes {mine or 'nothing'}."
    return ""


def _starred(function: Any) -> list[str]:
    """The name after the `*` in a function's first line, in a list, or none."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in found if p.kind is inspect.Parameter.VAR_POSITIONAL]


# Names that everybody meets in chapter 0.
_COMMON = {*dir(builtins), *dir(torch), *dir(nn), *dir(F), *dir(Tensor), *keyword.kwlist}
_COMMON |= {*dir(np), "np", "nn", "F", "torch", "self"}
_COMMON |= {"kernel_size", "padding", "dilation", "groups", "bias", "eps", "keepdim", "inplace"}


def _names(item: Exercise, answer: Any) -> set[str]:
    """The names that the learner has seen in the task or written."""
    try:
        own = inspect.getsource(inspect.unwrap(answer))
    except (TypeError, OSError):
        own = ""  # the answer is a value, or its cell is not kept
    return _COMMON.union(re.findall(r"[A-Za-z_]\w*", f"{item.task} {item.stub} {own}"))


def _cause(
    item: Exercise,
    answer: Any,
    seen: list,
    arguments: list,
    search: bool = True,
    correct: bool = True,
) -> tuple[str, str]:
    """The mistake with which the right answer does what the check has seen, in a sentence, and what
    to change in the learner's text; or nothing.

    search: whether to look further than among the mistakes that the check's author knows.
    correct: whether to look for what to change.
    """

    def check(answer: Any) -> None:
        with _undisturbed():
            item.check(answer, *arguments)

    def made(sources: Iterable[tuple[str, str]]) -> Iterator[mistakes.Candidate]:
        for key in sources:
            if key not in item.candidates:
                words, source = key
                new = mistakes.Candidate(words, lambda source=source: item.run(source, "slip"))
                item.candidates[key] = new
            yield item.candidates[key]

    def slipped() -> Iterator[mistakes.Candidate]:
        pairs = made(slips.edited(item.solution, item.slips, pairs=True))
        yield from itertools.islice(pairs, 60)  # the likeliest; the others if there is time left
        changed = mutants.mutants(item.solution)
        sources = [(slips.words(m.change, m.place), m.source) for m in changed]
        sources += slips.further(item.solution)
        known = _names(item, answer).__contains__
        yield from made((said, s) for words, s in sources if (said := slips.sayable(words, known)))
        yield from pairs

    def explained(further: Iterator | None, known: Iterable, seconds: float) -> str:
        if not seen:
            return ""
        return mistakes.explain(
            check, item.reference, seen, item.seen, further, known, item.calls_changed, seconds
        )

    with _undisturbed(), one_thread():  # Python warns of what is odd in a mutant
        own = made(slips.edited(item.solution, item.slips))
        end = time.process_time() + LONGEST
        words = explained(None, own, mistakes.SECONDS)
        advice = _correction(item, answer, arguments) if correct else ""
        if search and not words:
            seconds = min(mistakes.SECONDS, max(0.5, end - time.process_time()))
            words = explained(slipped(), (), seconds / (2 if advice else 1))
    return words, advice


def _text_of(item: Exercise, answer: Any) -> tuple[str, dict[str, Any]]:
    """The text of the cell that an answer comes from, or nothing; and the names that it finds."""
    value, text = _texts.get(item.id, (None, ""))
    if value is answer:
        return text, {}
    kind = answer if isinstance(answer, type) else type(answer)
    functions = [answer, *vars(kind).values()]
    code = next((f for f in map(inspect.unwrap, functions) if hasattr(f, "__code__")), None)
    if code is not None and "ipy" in code.__code__.co_filename:  # a cell, also in Colab
        return "".join(linecache.getlines(code.__code__.co_filename)), code.__globals__
    shell = notebook.shell()
    if shell and shell.user_ns.get(item.answer) is answer:
        stores = re.compile(rf"^{item.answer}\b.*=", re.MULTILINE)
        cells = [text for text in shell.user_ns.get("In", ()) if stores.search(text)]
        return (cells or [""])[-1], shell.user_ns
    return "", {}


def _correction(item: Exercise, answer: Any, arguments: list) -> str:
    """What to change in the learner's text so that the check passes, in a sentence; or nothing."""
    text, around = _text_of(item, answer)
    is_value = not callable(answer) or isinstance(answer, nn.Module)
    end = time.process_time() + CORRECTION_SECONDS
    shared = (type, types.ModuleType, types.FunctionType)  # of the rest each candidate gets its own
    used = [(n, around[n]) for n in set(re.findall(r"[A-Za-z_]\w*", text)) & around.keys()]

    def works(source: str) -> bool:
        if time.process_time() > end:
            raise TimeoutError
        try:
            with contextlib.redirect_stdout(io.StringIO()), trace.watching(trace.Trace()) as seen:
                names = {n: v if isinstance(v, shared) else copy.deepcopy(v) for n, v in used}
                new = item.run(source, "correction", names)
                if item.is_untouched(new):
                    return False
                with _undisturbed(), one_thread():
                    item.check(_copy(new), *arguments)
        except Exception:
            return False
        return not seen.postponed

    if not text or re.search(r"\b(open|save|write\w*|unlink|rmtree|system|subprocess)\(", text):
        return ""
    try:
        with time_limit.limited(2 * CORRECTION_SECONDS), _undisturbed():
            return corrections.found(text, item.solutions, works, is_value)
    except (Exception, time_limit.TooLong):  # what takes too long
        return ""


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
    """Whether this is the very object that the course handed on.

    Texts, True, None and small whole numbers are shared: Python has one object for all equal ones.
    An answer of this kind counts as the learner's own. How far "small" goes depends on the version
    of Python: a number is shared if computing it again gives the same object.
    """
    if answer is not _given.get(id) or isinstance(answer, (bool, str, type(None))):
        return False
    return not (isinstance(answer, int) and answer + 1 - 1 is answer)


def check(id: str, answer: Any, *, example: bool = False) -> None:
    """Says whether `answer` solves the exercise: right, wrong (and why), or open.

    In a notebook it prints, and Run All goes on. Under pytest a wrong answer (with
    `--strict-exercises` an open one as well) raises `WrongAnswer`. `example=True` only shows what
    a check says: nothing is counted and nothing raised.
    """
    if find(id).check is None:
        question = "an open question, and no program can check it"
        say(f'{id} is {question}: compare your answer with solution("{id}").')
        return
    given = _is_given(id, answer)
    result = _GIVEN if given else evaluate(id, answer)
    frame = f"{id} is {result.outcome}:"
    if example:
        say(frame, result.message)
        return
    if not (given and id in _outcomes):  # what the learner's own answer was still counts
        _record(find(id), result)
    _outcomes.add(id)
    _last[id] = (answer, result)
    refused = ["wrong", "open"] if os.environ.get("COURSE_STRICT_EXERCISES") == "1" else ["wrong"]
    if notebook.under_pytest() and result.outcome in refused:
        _hand_over_reference(find(id))
        raise WrongAnswer(f"{frame} {result.message}")
    say(frame, result.message)


def use(id: str, answer: Any) -> Any:
    """The learner's answer if it is right, the solution's otherwise; a line says which."""
    item = find(id)
    last_answer, result = _last.pop(id, (None, None))
    if result is None or last_answer is not answer:
        result = _GIVEN if _is_given(id, answer) else evaluate(id, answer)
    if result.outcome == "right":
        say(f"{id}: the chapter goes on with your {item.answer}.")
        return answer
    say(f"{id}: the chapter goes on with the {item.answer} of the course.")
    return _give(item)


def _record(item: Exercise, result: Result) -> None:
    """In a learner's notebook the progress; in a test run that asked for it the scoreboard."""
    learning = notebook.in_notebook() and not notebook.under_pytest()
    if learning and os.environ.get("COURSE_PROGRESS") != "0":
        say(record.record(item.id, result.outcome))
    if board := os.environ.get("COURSE_SCOREBOARD"):
        checked = [e.id for e in exercises(item.group) if e.check]
        line = {"exercise": item.id, "chapter": item.chapter, "all": checked}
        line |= {"outcome": result.outcome, "message": result.message}
        with open(board, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _hand_over_reference(item: Exercise) -> None:
    """The `use` after a `check` that raises is never reached: this does its work, so that one
    wrong answer is one failed cell and not a failure of every cell after it."""
    if shell := notebook.shell():
        shell.user_ns[item.answer] = _give(item)


# --- hints and solutions --------------------------------------------------------------------------

_hints_shown: dict[str, int] = {}


def _text(id: str) -> texts.Text:
    """The text of an exercise in the learner's language."""
    return texts.find(id, language.language())


def hint(id: str) -> None:
    """Shows the next hint, one more each time."""
    text = _text(id)
    shown = _hints_shown[id] = _hints_shown.get(id, 0) + 1
    if shown > len(text.hints):
        say(f'{id}: there are no more hints. solution("{id}") shows the solution.')
    else:
        title = language.translate(f"Hint {shown} of {len(text.hints)}.")
        _show(f"**{title}** {text.hints[shown - 1]}")


def solution(id: str) -> None:
    """Shows the solution and explains it."""
    text = _text(id)
    code = f"```python\n{text.solution}\n```\n\n" if text.solution else ""
    _show(code + text.explanation)


def _show(text: str) -> None:
    if notebook.in_notebook():
        from IPython.display import Markdown, display

        display(Markdown(text))
    else:
        print(text)
