"""Solutions with small mistakes in them, and what the checks make of these.

A mutant is the solution with one mistake in it: a layer of a Sequential or a statement is missing,
two arguments are exchanged, a stride is one larger, a mean is a sum. Where the answer is a value (a
number, a list, a dictionary), every number in it is changed as well, as by a slip of the pen. Each
mutant goes through `engine.evaluate`, as a learner's answer does. `python -m benchmarks.mutation`
tries all of them.

What survives is listed in the group's answers.py, with the reason why it may. `equivalent` are
mutants that compute the same: the probe of the exercise, also in answers.py, compares them with the
solution on inputs of its own, not the check's. (Values are compared as they are, and need not be
listed.) `accepted` are mutants that do something else and still what the task asks for. Any other
survivor is a mistake that the check does not see, and fails the tests.

mutmut and cosmic-ray mutate the files of a package under a test suite; solutions are texts. Their
operators are those of arithmetic and comparison; what goes wrong in a network (a layer, a keyword,
two arguments, an activation) would have to be written for them too, and both bring a dozen
packages. With the standard library's `ast` it is this page.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from exercises import engine
from exercises.compare import (
    close,
    same_outputs,
)
from exercises.mutants import Mutant, changed_values, is_value, mutants
from exercises.time_limit import limited

SECONDS = 120  # for one mutant; a loop that never ends is rejected as one that does not run

# --- the same in other words ----------------------------------------------------------------------


class _Restyled(ast.NodeTransformer):
    """The same answer as another learner would write it; `style` says in which way."""

    def __init__(self, style: str, tree: ast.AST) -> None:
        self.style = style
        nodes = list(ast.walk(tree))
        stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self.own = stored - {n.arg for n in nodes if isinstance(n, ast.arg)}

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg) if self.style == "no type hints" else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        if self.style == "no type hints":
            node.returns = None
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        inside = isinstance(node.value, ast.Name) and node.value.id == "self"
        if self.style == "other names" and inside and node.attr != "training":
            node.attr = f"my_{node.attr}"
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if self.style == "other names" and node.id in self.own:
            node.id = f"my_{node.id}"
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = ast.unparse(node.func)
        if name == "nn.Sequential" and len(node.args) > 1:
            if self.style == "Sequentials in a Sequential":
                node.args[:2] = [ast.Call(node.func, node.args[:2], [])]
            elif self.style == "Sequential with names":
                parts = ast.unparse(ast.List(node.args, ast.Load()))
                named = f"{{f'layer{{i}}': layer for i, layer in enumerate({parts})}}"
                ordered = f"__import__('collections').OrderedDict({named})"
                node.args = [ast.parse(ordered, mode="eval").body]
        if self.style == "ReLU in place" and name in ("nn.ReLU", "nn.ReLU6"):
            node.keywords = [ast.keyword("inplace", ast.Constant(True))]
        if self.style == "pairs" and name in ("nn.Conv2d", "nn.MaxPool2d", "nn.AvgPool2d"):
            for keyword in node.keywords:
                if keyword.arg in ("kernel_size", "stride", "padding"):
                    number = keyword.value
                    if isinstance(number, (ast.Constant, ast.Name)):
                        keyword.value = ast.Tuple([number, number], ast.Load())
        if self.style == "functions for methods" and isinstance(node.func, ast.Attribute):
            method = node.func
            if method.attr in ("relu", "mean", "sum", "square", "permute") and not (
                isinstance(method.value, ast.Name) and method.value.id in ("torch", "F", "nn")
            ):
                arguments = node.args
                if method.attr == "permute":
                    arguments = [ast.Tuple(arguments, ast.Load())]
                function = ast.Attribute(ast.Name("torch"), method.attr)
                return ast.Call(function, [method.value, *arguments], node.keywords)
        return node


STYLES = (
    "no type hints",
    "other names",
    "Sequentials in a Sequential",
    "Sequential with names",
    "ReLU in place",
    "pairs",
    "functions for methods",
)


def restyled(item: engine.Exercise) -> Iterator[Mutant]:
    """The solution written in other styles, all of them right."""
    source, name = item.solution, item.answer
    original = ast.unparse(ast.parse(source))
    for style in STYLES:
        if style == "functions for methods" and "numpy" in source:
            continue  # numpy's arrays have methods of the same names
        tree = ast.parse(source)
        visitor = _Restyled(style, tree)
        text = ast.unparse(ast.fix_missing_locations(visitor.visit(tree)))
        if text != original:
            if style == "other names" and name in visitor.own:
                text += f"\n{name} = my_{name}\n"
            yield Mutant(style, text)
    definition = next((n for n in ast.parse(source).body if getattr(n, "name", "") == name), None)
    if definition is None:
        return
    call = "_helper(*args, **options)"
    source += f"\n\n_helper = {name}\n\n\n"
    function = f"def {name}(*args, **options):\n    return {call}\n"
    yield Mutant("a helper function", source + function)
    if isinstance(definition, ast.ClassDef):
        return
    method = f"class Box:\n    def method(self, *args, **options):\n        return {call}\n\n\n"
    yield Mutant("a method of an object", f"{source}{method}{name} = Box().method\n")
    builds = definition.returns and ast.unparse(definition.returns) == "nn.Module"
    if builds and "network" not in [argument.arg for argument in definition.args.args]:
        module = (
            f"class {name}(nn.Module):\n    def __init__(self, *args, **options):\n"
            f"        super().__init__()\n        self.body = {call}\n\n"
            "    def forward(self, x):\n        return self.body(x)\n"
        )
        yield Mutant("a class around it", source + module)


# --- what becomes of them -------------------------------------------------------------------------


class TimeUp(BaseException):
    """Raised in the running code when its time is over."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    kind: "broken" (the cell itself raises or never ends, so nothing reaches the check), "same" (the
    answer is a value and it is the solution's), "rejected", "survived", or "crashed" (the check
    failed, and not on purpose).
    """

    kind: str
    message: str
    answer: Any = None


def try_out(
    item: engine.Exercise, mutant: Mutant, seconds: float = SECONDS, explain: bool = False
) -> Outcome:
    """Runs a mutant as a cell and checks its answer."""
    answer = mutant.answer
    try:
        with limited(seconds, TimeUp):
            if mutant.source:
                try:
                    with engine._undisturbed():
                        answer = item.run(mutant.source, "mutant")
                except Exception as error:
                    return Outcome("broken", f"{type(error).__name__}: {error}")
            if is_value(answer) and close(answer, _value(item.id), 1e-12):
                return Outcome("same", "", answer)
            with _only_legal() if item.id == OPEN_DESIGN else nullcontext():
                result = engine.evaluate(item.id, answer, explain=explain)
    except TimeUp:
        return Outcome("broken", f"took longer than {seconds} s")
    except Exception as error:
        return Outcome("crashed", f"{type(error).__name__}: {error}", answer)
    kind = "survived" if result.outcome == "right" else "rejected"
    if "could not be checked" in result.message or result.message == "the check failed.":
        kind = "crashed"
    return Outcome(kind, result.message, answer)


@cache
def _value(id: str) -> Any:
    return engine.find(id).reference()


@cache
def all_mutants(id: str) -> tuple[Mutant, ...]:
    """Mutants of the solution and, where the answer is a value, of the value."""
    found = [*mutants(engine.find(id).solution)]
    if is_value(_value(id)):
        found += [Mutant(name, answer=value) for name, value in changed_values(_value(id))]
    return tuple(found)


# The capstone: every network within the limits is a right answer if it learns enough, so a mutant
# that keeps to the limits is no mistake, and it is left out of the rates. The training (half a
# minute) is left out too: the checks before it have to refuse what does not keep to the limits.
OPEN_DESIGN = "choosing.7"


@contextmanager
def _only_legal() -> Iterator[None]:
    from utils.topics import capstone

    run = capstone.Run("finished", "", 1.0, 1.0)
    original, capstone.short_run = capstone.short_run, lambda *_: run
    try:
        yield
    finally:
        capstone.short_run = original


# --- the survivors --------------------------------------------------------------------------------


def _answers(id: str) -> Any:
    """The answers.py of the exercise's group."""
    return importlib.import_module(f"exercises.{id.partition('.')[0]}.answers")


def survivors(id: str) -> dict[str, str]:
    """`{mutant: "equivalent" or "accepted"}` for what may survive the check of an exercise."""
    found: dict[str, str] = {}
    for kind in ("equivalent", "accepted"):
        for _, *names in getattr(_answers(id), kind, {}).get(id, []):
            found |= dict.fromkeys(names, kind)
    return found


def has_probe(id: str) -> bool:
    return hasattr(_answers(id), _probe_name(id)) or id in getattr(
        _answers(id), "probe_arguments", {}
    )


def _probe_name(id: str) -> str:
    return f"probe_{id.replace('.', '_')}"


def difference(item: engine.Exercise, answer: Any) -> str:
    """What an answer does otherwise than the solution, seen by the probe; or an empty text."""
    if not has_probe(item.id):
        return f"there is no {_probe_name(item.id)} in answers.py"
    module = _answers(item.id)
    probe, results = getattr(module, _probe_name(item.id), None), []
    try:
        with engine._undisturbed():
            for arguments, shape in getattr(module, "probe_arguments", {}).get(item.id, []):
                ours, theirs = (build(*arguments) for build in (answer, item.reference()))
                same_outputs(ours, theirs, shape, tolerance=1e-5)
            for given in (answer, item.reference()) if probe else ():
                torch.manual_seed(20)
                results.append(probe(given))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if not probe or close(*results, 1e-5) else "the results differ"


def complaints(item: engine.Exercise, tried: dict[Mutant, Outcome]) -> list[str]:
    """What is not as it should be about the mutants of one exercise."""
    listed, found = survivors(item.id), []
    for mutant, outcome in tried.items():
        kind = listed.get(mutant.name)
        if outcome.kind == "crashed":
            found.append(f"the check fails over {mutant.name}: {outcome.message}")
        elif outcome.kind == "survived" and item.id == OPEN_DESIGN:
            if problem := _answers(item.id).against_the_limits(outcome.answer):
                found.append(f"is accepted, but {problem}: {mutant.name}")
        elif outcome.kind == "survived" and kind is None:
            found.append(f"survives and is not listed: {mutant.name}")
        elif outcome.kind != "survived" and kind is not None:
            found.append(f"is listed as a survivor and is {outcome.kind}: {mutant.name}")
        elif kind == "equivalent" and (problem := difference(item, outcome.answer)):
            found.append(f"is listed as equivalent, but {problem}: {mutant.name}")
    return [f"{item.id}: {text}" for text in found]


def tally(item: engine.Exercise, tried: dict[Mutant, Outcome]) -> dict[str, int]:
    """How many mutants there are, and what became of them."""
    listed = survivors(item.id)
    unknown = "accepted" if item.id == OPEN_DESIGN else "missed"
    kinds = [
        listed.get(mutant.name, unknown) if o.kind == "survived" else o.kind
        for mutant, o in tried.items()
    ]
    names = ("broken", "same", "equivalent", "accepted", "missed", "crashed", "rejected")
    return {"mutants": len(kinds), **{name: kinds.count(name) for name in names}}
