"""Small mistakes in a solution: a layer is missing, two arguments are exchanged, a mean is a sum.

A mutant is the solution's text with one such mistake in it. Where the answer is a value (a number,
a list, a dictionary), every number in it is changed as well, as by a slip of the pen.
`exercises.mutation` tries whether the checks refuse them; `exercises.mistakes` looks among them for
the one that a learner's answer behaves like.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

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
    return _short(_whole(node))


def _whole(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())


def _short(text: str) -> str:
    return text if len(text) <= 31 else f"{text[:20]} … {text[-8:]}"


@dataclass(frozen=True)
class Change:
    """What was done: a kind, "becomes", "without", "exchanged", "values" or "inside", and to what
    code, in full. role: what was changed, where it is known: the name of an argument, "default of"
    and its name, or `x[]` for an index of x."""

    kind: str
    before: str = ""
    after: str = ""
    role: str = ""

    @property
    def name(self) -> str:
        before, after = _short(self.before), _short(self.after)
        return {
            "becomes": f"`{before}` becomes `{after}`",
            "without": f"without `{before}`",
            "exchanged": f"`{before}` and `{after}` exchanged",
            "values": f"values of {before} and {after} exchanged",
            "inside": "`return` inside the loop",
        }[self.kind]


@dataclass(frozen=True, eq=False)
class Mutant:
    """What was changed, and the changed source (or, for values, the changed answer itself).

    place: the code around the change, as it is in the solution: a call, or the statement.
    """

    name: str
    source: str = ""
    answer: Any = None
    change: Change | None = None
    place: str = ""


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


def lists(parent: ast.AST, field: str, items: list) -> Iterator[tuple[list, Change]]:
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
            yield rest or ([ast.Pass()] if statements else []), Change("without", _whole(item))
        if i + 1 == len(items) or field in ("defaults", "decorator_list", "ifs"):
            continue
        other = items[i + 1]
        if statements and not _linked(item, other):
            continue
        pair = [other, item]
        if field == "keywords":
            pair = [changed(item, value=other.value), changed(other, value=item.value)]
        exchanged = Change("exchanged", _whole(item), _whole(other))
        yield items[:i] + pair + items[i + 2 :], exchanged
        if isinstance(item, ast.For) and isinstance(other, ast.Return):
            inside = changed(item, body=[*item.body, other])
            yield [*items[:i], inside, *items[i + 2 :]], Change("inside")


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


def _changes(parent: ast.AST, names: list[str]) -> Iterator[tuple[str, Any, Change]]:
    """(field, what it is now, what was done) for each change of one node's fields."""
    for field, value in ast.iter_fields(parent):
        if field in NOT_CODE or not value:
            continue
        if isinstance(value, ast.AST):
            role = parent.arg if isinstance(parent, ast.keyword) else ""
            if isinstance(parent, ast.Subscript) and field == "slice":
                role = f"{_whole(parent.value)}[]"
            for new in replacements(value, names):
                yield field, new, Change("becomes", _whole(value), _whole(new), role or "")
        elif isinstance(value, list) and isinstance(value[0], ast.AST):
            for new, what in lists(parent, field, value):
                yield field, new, what
            for i, item in enumerate(value):
                for node in replacements(item, names) if item else ():
                    what = Change("becomes", _whole(item), _whole(node), _role(parent, field, i))
                    yield field, [*value[:i], node, *value[i + 1 :]], what
    if isinstance(parent, ast.Dict):
        for i in range(len(parent.keys) - 1):
            new = list(parent.values)
            new[i], new[i + 1] = new[i + 1], new[i]
            keys = (_whole(key) for key in parent.keys[i : i + 2])
            yield "values", new, Change("values", *keys)


POSITIONS = {  # what torch calls the arguments that have no name in a call
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    "Linear": ("in_features", "out_features"),
    "MaxPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "BatchNorm2d": ("num_features",),
    "Dropout": ("p",),
    "Flatten": ("start_dim",),
    "flatten": ("start_dim",),
}


def _role(call: ast.AST, field: str, number: int) -> str:
    """The name of an argument that is given by its position, or whose default it is, or nothing."""
    if isinstance(call, ast.arguments) and field == "defaults":
        return f"default of {[*call.posonlyargs, *call.args][number - len(call.defaults)].arg}"
    if isinstance(call, ast.arguments) and field == "kw_defaults":
        return f"default of {call.kwonlyargs[number].arg}"
    if not isinstance(call, ast.Call) or field != "args":
        return ""
    names = POSITIONS.get(getattr(call.func, "attr", getattr(call.func, "id", "")), ())
    return names[number] if number < len(names) else ""


def _arguments(tree: ast.AST) -> dict[ast.AST, list[str]]:
    """The arguments (without `self`) of the function around each node."""
    found: dict[ast.AST, list[str]] = {}
    for function in ast.walk(tree):  # outer functions first, so that inner ones overwrite
        if isinstance(function, (ast.FunctionDef, ast.Lambda)):
            names = [a.arg for a in [*function.args.args, *function.args.kwonlyargs]]
            for node in ast.walk(function):
                found[node] = [name for name in names if name != "self"]
    return found


@cache
def mutants(source: str) -> tuple[Mutant, ...]:
    """Every mutant of a source text, without those that spell the same.

    A mutant is named by what was changed. Where the same can be changed in several places the name
    says in which statement, and the second one in the same statement is called #2.
    """
    tree = ast.parse(source)
    arguments = _arguments(tree)
    spelled, found = {ast.unparse(tree)}, []
    for parent, statement in list(_code(tree)):
        where = text_of(statement) if statement else ""
        around = parent if isinstance(parent, (ast.Call, ast.BinOp)) else statement
        place = ast.unparse(around) if around else ""
        for field, new, what in _changes(parent, arguments.get(parent, [])):
            before = getattr(parent, field)
            setattr(parent, field, new)
            try:
                text = ast.unparse(tree)  # which needs no line numbers
            finally:
                setattr(parent, field, before)
            if text not in spelled:
                spelled.add(text)
                found.append((what, where, text, place))
    counts, seen = Counter(what.name for what, *_ in found), Counter()
    made = []
    for what, where, text, place in found:
        name = what.name if counts[what.name] == 1 else f"{what.name} in `{where}`"
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name} #{seen[name]}"
        made.append(Mutant(name, text, change=what, place=place))
    return tuple(made)


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
