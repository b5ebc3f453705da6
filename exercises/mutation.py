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
import copy
import ctypes
import importlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import torch

from exercises import engine
from exercises.compare import close, same_outputs

SECONDS = 120  # for one mutant; a loop that never ends is rejected as one that does not run


@dataclass(frozen=True, eq=False)
class Mutant:
    """What was changed, and the changed source (or, for values, the changed answer itself)."""

    name: str
    source: str = ""
    answer: Any = None


# --- changing source ------------------------------------------------------------------------------

OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
NAMES = {  # what is easily taken for what
    "mean": ("sum", "amax"),
    "sum": ("mean",),
    "max": ("min", "mean"),
    "min": ("max",),
    "amax": ("amin", "mean"),
    "argmax": ("argmin",),
    "median": ("mean",),
    "all": ("any",),
    "any": ("all",),
    "ReLU": ("Identity", "Sigmoid", "LeakyReLU"),
    "ReLU6": ("Identity", "ReLU"),
    "relu": ("sigmoid",),
    "relu6": ("relu",),
    "BatchNorm2d": ("Identity", "InstanceNorm2d"),
    "MaxPool2d": ("AvgPool2d",),
    "AvgPool2d": ("MaxPool2d",),
    "AdaptiveAvgPool2d": ("AdaptiveMaxPool2d",),
    "AdaptiveMaxPool2d": ("AdaptiveAvgPool2d",),
    "avg_pool2d": ("max_pool2d",),
    "train": ("eval",),
    "eval": ("train",),
    "zeros": ("ones",),
    "zeros_": ("ones_",),
    "rand_like": ("randn_like",),
    "ceil": ("floor",),
    "round": ("floor",),
    "abs": ("square",),
    "square": ("abs",),
    "sqrt": ("square",),
    "cat": ("stack",),
    "stack": ("cat",),
    "parameters": ("macs",),
    "macs": ("parameters",),
    "count_parameters": ("count_macs",),
    "in_channels": ("out_channels",),
    "out_channels": ("in_channels",),
    "stride": ("padding",),
    "padding": ("stride",),
}
WITH_BIAS = {"Conv2d", "Linear"}
NOT_CODE = {"annotation", "returns", "ctx", "op", "ops"}  # fields that are left as they are
NAMESPACES = {"torch", "nn", "F", "math", "copy", "data", "networks", "summary", "time"}


def text_of(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 31 else f"{text[:20]} … {text[-8:]}"


def changed(node: ast.AST, **fields: Any) -> ast.AST:
    """A copy of the node with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def replacements(node: ast.AST, names: list[str]) -> Iterator[ast.AST]:
    """What can be in the place of a node; `names` are the arguments of its function."""
    match node:
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield from (ast.Constant(node.value + step) for step in (1, -1))
        case ast.Constant(value=float()):
            yield from (ast.Constant(node.value * factor) for factor in (2, 0.5))
        case ast.BinOp():
            if type(node.op) in OPERATORS:
                yield changed(node, op=OPERATORS[type(node.op)]())
            yield from (node.left, node.right)
        case ast.UnaryOp():
            yield node.operand
        case ast.Compare(ops=[operator]):
            yield from (changed(node, ops=[new()]) for new in COMPARISONS[type(operator)])
        case ast.BoolOp():
            yield changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for value in node.values:
                rest = [other for other in node.values if other is not value]
                yield rest[0] if len(rest) == 1 else changed(node, values=rest)
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.Name(id=name, ctx=ast.Load()) if name in names and len(names) > 1:
            yield changed(node, id=names[(names.index(name) + 1) % len(names)])
        case ast.Call():
            yield from _calls(node)
        case ast.AugAssign():
            yield ast.Assign([node.target], node.value, lineno=node.lineno)
            if type(node.op) in OPERATORS:
                yield changed(node, op=OPERATORS[type(node.op)]())
        case ast.Return(value=ast.expr()):
            yield changed(node, value=ast.UnaryOp(ast.USub(), node.value))
        case ast.If():
            yield from (changed(node, test=ast.Constant(value)) for value in (True, False))
        case ast.For() | ast.While():
            yield changed(node, body=[*node.body, ast.Break()])
        case ast.Slice():
            parts = ("lower", "upper", "step")
            yield from (changed(node, **{p: None}) for p in parts if getattr(node, p))
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name not in names:
            field = "id" if isinstance(node, ast.Name) else "attr"
            yield from (changed(node, **{field: new}) for new in NAMES.get(name, ()))


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in WITH_BIAS and "bias" not in [k.arg for k in node.keywords]:
        keyword = ast.keyword("bias", ast.Constant(False))
        yield changed(node, keywords=[*node.keywords, keyword])
    if len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]  # without the function around it
    match node.func:
        case ast.Attribute(value=ast.Name(id=name)) if name in NAMESPACES:
            pass
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id=name))) if name in NAMESPACES:
            pass
        case ast.Attribute(value=value):
            yield value  # without the method behind it


def lists(parent: ast.AST, field: str, items: list) -> Iterator[tuple[list, str]]:
    """A list of arguments, elements or statements with one missing or two exchanged, and what was
    done."""
    stored = isinstance(getattr(parent, "ctx", None), ast.Store)
    statements = field in ("body", "orelse", "handlers") and isinstance(items[0], ast.stmt)
    written = ("args", "keywords", "elts", "ifs", "defaults", "decorator_list")
    if not statements and field not in written:
        return
    if isinstance(parent, ast.arguments) and field == "args":
        return
    for i, item in enumerate(items):
        if statements and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            continue  # a docstring
        rest = items[:i] + items[i + 1 :]
        if not stored and (field != "defaults" or i == 0):
            yield rest or ([ast.Pass()] if statements else []), f"without `{text_of(item)}`"
        if i + 1 == len(items) or field in ("defaults", "decorator_list", "ifs"):
            continue
        other = items[i + 1]
        if statements and not _linked(item, other):
            continue
        pair = [other, item]
        if field == "keywords":
            pair = [changed(item, value=other.value), changed(other, value=item.value)]
        exchanged = f"`{text_of(item)}` and `{text_of(other)}` exchanged"
        yield items[:i] + pair + items[i + 2 :], exchanged
        if isinstance(item, ast.For) and isinstance(other, ast.Return):
            inside = changed(item, body=[*item.body, other])
            yield [*items[:i], inside, *items[i + 2 :]], "`return` inside the loop"


def _linked(first: ast.stmt, second: ast.stmt) -> bool:
    """Whether the order of two statements can matter: one mentions what the other one stores, or
    one of them stores nothing and so is there for its effect."""
    if isinstance(first, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
        return False
    stored, mentioned = [], []
    for statement in (first, second):
        names = [n for n in ast.walk(statement) if isinstance(n, (ast.Name, ast.Attribute))]
        texts = [(ast.unparse(n), isinstance(n.ctx, ast.Store)) for n in names]
        stored.append({text for text, store in texts if store})
        mentioned.append({text for text, _ in texts})
    one, other = stored
    return not (one and other) or bool(one & mentioned[1] or other & mentioned[0])


def _changes(parent: ast.AST, names: list[str]) -> Iterator[tuple[str, Any, str]]:
    """(field, what it is now, what was done) for each change of one node's fields."""
    for field, value in ast.iter_fields(parent):
        if field in NOT_CODE or not value:
            continue
        if isinstance(value, ast.AST):
            for new in replacements(value, names):
                yield field, new, f"`{text_of(value)}` becomes `{text_of(new)}`"
        elif isinstance(value, list) and isinstance(value[0], ast.AST):
            for new, what in lists(parent, field, value):
                yield field, new, what
            for i, item in enumerate(value):
                for node in replacements(item, names) if item else ():
                    what = f"`{text_of(item)}` becomes `{text_of(node)}`"
                    yield field, [*value[:i], node, *value[i + 1 :]], what
    if isinstance(parent, ast.Dict):
        for i in range(len(parent.keys) - 1):
            new = list(parent.values)
            new[i], new[i + 1] = new[i + 1], new[i]
            keys = f"{text_of(parent.keys[i])} and {text_of(parent.keys[i + 1])}"
            yield "values", new, f"values of {keys} exchanged"


def _arguments(tree: ast.AST) -> dict[ast.AST, list[str]]:
    """The arguments (without `self`) of the function around each node."""
    found: dict[ast.AST, list[str]] = {}
    for function in ast.walk(tree):  # outer functions first, so that inner ones overwrite
        if isinstance(function, (ast.FunctionDef, ast.Lambda)):
            names = [a.arg for a in [*function.args.args, *function.args.kwonlyargs]]
            for node in ast.walk(function):
                found[node] = [name for name in names if name != "self"]
    return found


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a source text, without those that spell the same.

    A mutant is named by what was changed. Where the same can be changed in several places the name
    says in which statement, and the second one in the same statement is called #2.
    """
    tree = ast.parse(source)
    arguments = _arguments(tree)
    spelled, found = {ast.unparse(tree)}, []
    for parent, statement in list(_code(tree)):
        where = text_of(statement) if statement else ""
        for field, new, what in _changes(parent, arguments.get(parent, [])):
            before = getattr(parent, field)
            setattr(parent, field, new)
            try:
                text = ast.unparse(ast.fix_missing_locations(tree))
            finally:
                setattr(parent, field, before)
            if text not in spelled:
                spelled.add(text)
                found.append((what, where, text))
    counts, seen = Counter(what for what, _, _ in found), Counter()
    made = []
    for what, where, text in found:
        name = what if counts[what] == 1 else f"{what} in `{where}`"
        seen[name] += 1
        made.append(Mutant(name if seen[name] == 1 else f"{name} #{seen[name]}", text))
    return made


def _code(
    tree: ast.AST, statement: ast.stmt | None = None
) -> Iterator[tuple[ast.AST, ast.stmt | None]]:
    """All nodes except those of type hints, each with the statement around it."""
    statement = tree if isinstance(tree, ast.stmt) else statement
    yield tree, statement
    for field, value in ast.iter_fields(tree):
        if field not in NOT_CODE:
            for node in value if isinstance(value, list) else [value]:
                if isinstance(node, ast.AST):
                    yield from _code(node, statement)


# --- changing values ------------------------------------------------------------------------------


def changed_values(value: Any, where: str = "answer") -> Iterator[tuple[str, Any]]:
    """An answer that is a value, with one number, text or place in it changed."""
    if isinstance(value, bool):
        yield f"{where}: {not value}", not value
    elif isinstance(value, int):
        for what, new in (
            ("+ 1", value + 1),
            ("- 1", value - 1),
            ("× 2", value * 2),
            ("× 10", value * 10),
            ("negative", -value),
            ("as a text", str(value)),
        ):
            if type(new) is not type(value) or new != value:
                yield f"{where}: {what}", new
    elif isinstance(value, float):
        for what, factor in (("+ 5 %", 1.05), ("- 5 %", 0.95), ("× 2", 2), ("× 10", 10)):
            yield f"{where}: {what}", value * factor
        yield f"{where}: negative", -value
        yield f"{where}: + 1", value + 1
    elif isinstance(value, str):
        yield f"{where}: another text", value + "x"
    elif isinstance(value, dict):
        for key in value:
            for what, new in changed_values(value[key], f"{where}[{key!r}]"):
                yield what, {**value, key: new}
            yield f"{where}: without {key!r}", {k: v for k, v in value.items() if k != key}
        keys = list(value)
        for a, b in pairwise(keys):
            yield f"{where}: {a!r} and {b!r} exchanged", {**value, a: value[b], b: value[a]}
    elif isinstance(value, (list, tuple)):
        kind = type(value)
        for i, item in enumerate(value):
            for what, new in changed_values(item, f"{where}[{i}]"):
                yield what, kind([*value[:i], new, *value[i + 1 :]])
            yield f"{where}: without [{i}]", kind([*value[:i], *value[i + 1 :]])
            if i + 1 < len(value):
                new = [*value[:i], value[i + 1], item, *value[i + 2 :]]
                yield f"{where}: [{i}] and [{i + 1}] exchanged", kind(new)


def is_value(answer: Any) -> bool:
    return isinstance(answer, (int, float, str, dict, list, tuple))


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


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `TimeUp` in the block, on every system (CPython), after so many seconds of the
    processor, so that other programs do not decide the outcome, or after ten times as many.
    """
    target, over, lock = threading.get_ident(), threading.Event(), threading.Lock()
    busy, begun = time.process_time(), time.monotonic()

    def watch() -> None:
        while not over.wait(0.1):
            late = time.monotonic() - begun > 10 * seconds
            if late or time.process_time() - busy > seconds:
                break
        with lock:
            if not over.is_set():
                kind, where = ctypes.py_object(TimeUp), ctypes.c_ulong(target)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(where, kind)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        with lock:
            over.set()


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


def try_out(item: engine.Exercise, mutant: Mutant, seconds: float = SECONDS) -> Outcome:
    """Runs a mutant as a cell and checks its answer."""
    answer = mutant.answer
    try:
        with time_limit(seconds):
            if mutant.source:
                try:
                    with engine._undisturbed():
                        answer = item.run(mutant.source, "mutant")
                except Exception as error:
                    return Outcome("broken", f"{type(error).__name__}: {error}")
            if is_value(answer) and close(answer, _value(item.id), 1e-12):
                return Outcome("same", "", answer)
            with _only_legal() if item.id == OPEN_DESIGN else nullcontext():
                result = engine.evaluate(item.id, answer)
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
    found = mutants(engine.find(id).solution)
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
