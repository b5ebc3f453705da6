"""Says in words what a mutant of a solution does otherwise (`exercises.mutation` makes them)."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator, Mapping

from exercises.mutants import Change

# What stands for what, in the words of a learner: the name that is right, the name in its place.
NAMES = {
    ("mean", "sum"): "the sum is taken, not the mean (average)",
    ("mean", "amax"): "the maximum is taken, not the mean (average)",
    ("mean", "median"): "the median is taken, not the mean (average)",
    ("sum", "mean"): "the mean (average) is taken, not the sum",
    ("sum", "amax"): "the maximum is taken, not the sum",
    ("sum", "prod"): "the product is taken, not the sum",
    ("max", "min"): "the minimum is taken, not the maximum",
    ("max", "mean"): "the mean is taken, not the maximum",
    ("min", "max"): "the maximum is taken, not the minimum",
    ("amax", "amin"): "the minimum is taken, not the maximum",
    ("amax", "mean"): "the mean is taken, not the maximum",
    ("argmax", "argmin"): "the place of the smallest number is taken, not that of the largest",
    ("all", "any"): "one is enough (`any`) where all are asked for",
    ("any", "all"): "all are needed (`all`) where one is enough",
    ("ceil", "floor"): "the number is rounded down, not up",
    ("sqrt", "square"): "the square is taken, not the square root",
    ("zeros", "ones"): "ones are taken in place of zeros",
    ("randn", "ones"): "an image of ones is taken in place of random numbers",
    ("randn", "zeros"): "an image of zeros is taken in place of random numbers",
    ("cat", "stack"): "the parts are stacked along a new axis, not concatenated",
    ("train", "eval"): "evaluation mode is switched on where training mode is meant",
    ("eval", "train"): "training mode is switched on where evaluation mode is meant",
    ("ReLU", "Identity"): "a ReLU is missing",
    ("BatchNorm2d", "Identity"): "a batch norm is missing",
}
LAYERS = {
    "ReLU": "ReLU",
    "ReLU6": "ReLU6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softmax": "softmax",
    "Softplus": "softplus",
    "GELU": "GELU",
    "LeakyReLU": "leaky ReLU",
    "Dropout": "dropout",
    "BatchNorm1d": "batch norm",
    "BatchNorm2d": "batch norm",
    "InstanceNorm2d": "instance norm",
    "Conv2d": "convolution",
    "Linear": "linear layer",
    "MaxPool2d": "max pooling",
    "AvgPool2d": "average pooling",
    "AdaptiveAvgPool2d": "global average pooling",
    "AdaptiveMaxPool2d": "global max pooling",
    "Flatten": "flatten",
    "relu": "ReLU",
    "sigmoid": "sigmoid",
}
AXES = {0: "images", 1: "channels", 2: "rows (height)", 3: "columns (width)"}


def words(change: Change, context: str = "") -> str:
    """A change in a learner's words; `context` is the code around it."""
    match change.kind:
        case "becomes":
            return _replaced(change, context)
        case "without":
            return _missing(change.before, context)
        case "exchanged":
            places = f"`{change.before}` and `{change.after}` have changed places"
            return f"{places}{_inside(context)}"
        case "values":
            return f"the values of {change.before} and {change.after} have changed places (swapped)"
    return "the `return` is inside the loop, so that the loop ends after its first turn"


def sayable(words: str, known: Callable[[str], bool]) -> str:
    """The words without the code of the solution, which nobody should read in a message.

    known: whether a learner knows a name. Nothing is left of what cannot be said without.
    """
    shown = re.sub(r",? in `[^`]*`$", "", words)
    for code in re.findall(r"`([^`]*)`", shown):
        statement = re.match(r"\w+(\[.*\])? [-+*/]?= |return |for |if |with |break|pass", code)
        names = re.findall(r"(?<![\w\d])[A-Za-z_]\w*", code)
        if statement or not all(map(known, names)):
            return ""
    small = re.fullmatch(r"an? (-?\d+) is an? (-?\d+)", shown)
    if small and max(abs(int(number)) for number in small.groups()) < 10:
        return ""  # which of all the small numbers?
    return shown


def _parsed(code: str) -> ast.AST | None:
    try:
        tree = ast.parse(code).body
    except SyntaxError:
        return None
    if len(tree) != 1:
        return None
    return tree[0].value if isinstance(tree[0], ast.Expr) else tree[0]


def _name(node: ast.AST | None) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return getattr(node, "attr", getattr(node, "id", ""))


def _inside(context: str) -> str:
    return f" in `{context}`" if context and len(context) <= 70 else ""


def _missing(code: str, context: str) -> str:
    if code.startswith(("def ", "class ")):
        return f"`{code.split('(')[0].split(':')[0]}` is missing"
    keyword = re.fullmatch(r"(\w+)=(.*)", code)
    node = _parsed(code)
    if keyword and not isinstance(node, ast.Assign):
        return f"`{code}` is left out{_inside(context)}"
    if keyword and context:
        return f"`{code}` is left out{_inside(context)}"
    layer = LAYERS.get(_name(node))
    if isinstance(node, ast.Call) and layer:
        return f"{'an' if layer[0] in 'aeiou' else 'a'} {layer} is missing (`{code}`)"
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.Return, ast.For, ast.If, ast.With)):
        return f"the line `{code}` is missing"
    if isinstance(node, ast.Call) and not context.endswith(")"):
        return f"the line `{code}` is missing"
    axis = re.search(r"(?:dim|axis)=\(([\d, -]+)\)", context)
    if axis and isinstance(node, ast.Constant):
        rest = [int(n) for n in axis[1].split(",") if n.strip() and int(n) != node.value]
        over = " and ".join(AXES.get(n, f"axis {n}") for n in rest)
        lost = AXES.get(node.value, f"axis {node.value}")
        return (
            f"it is taken over the {over} only, not over the {lost} (`dim={node.value}` is missing)"
        )
    return f"`{code}` is left out{_inside(context)}"


def _replaced(change: Change, context: str) -> str:
    before, after = change.before, change.after
    old, new = _parsed(before), _parsed(after)
    pair = (_name(old), _name(new))
    if pair in NAMES and type(old) is type(new):
        words = NAMES[pair]
        return words if words.endswith("is missing") else words + _inside(context)
    if pair[0] in LAYERS and pair[1] in LAYERS and pair[0] != pair[1]:
        return f"{LAYERS[pair[1]]} takes the place of {LAYERS[pair[0]]}{_inside(context)}"
    if isinstance(old, ast.Call):
        if isinstance(new, ast.Call) and ast.unparse(old.func) == ast.unparse(new.func):
            if "bias=False" in after and "bias" not in before:
                return f"the bias is missing (`{after}`)"
            return f"`{after}` takes the place of `{before}`"
        name = _name(old)
        rest = f"`{after}` is used as it is, without `{name}`"
        return f"`{name}` is not applied: {rest}{_inside(context)}"
    if isinstance(old, ast.BinOp) and after in (ast.unparse(old.left), ast.unparse(old.right)):
        sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//"}
        mark = sign.get(type(old.op), "")
        lost = ast.unparse(old.right if after == ast.unparse(old.left) else old.left)
        return f"`{mark} {lost}` is left out, so that only `{after}` is there{_inside(context)}"
    if isinstance(old, ast.UnaryOp) and after == ast.unparse(old.operand):
        if isinstance(old.op, ast.Not):
            return f"`not` before `{after}` is missing"
        return f"the minus sign before `{after}` is missing"
    new_value = getattr(new, "value", None)
    if isinstance(new, ast.Return) and isinstance(getattr(new_value, "op", None), ast.USub):
        return "the result has the wrong sign"
    if after in (f"-{before}", f"-({before})"):
        return f"`{before}` has the wrong sign{_inside(context)}"
    if change.role.startswith("default of "):
        return f"the default of `{change.role.split()[-1]}` is {after}, not {before}"
    if change.role.endswith("[]") and isinstance(old, ast.Constant):
        taken = change.role[:-2]
        return f"`{taken}[{after}]` is taken, not `{taken}[{before}]`{_inside(context)}"
    if change.role and change.role not in ("dim", "axis") and not change.role.endswith("[]"):
        return f"`{change.role}` is {after}, not {before},{_inside(context)}".removesuffix(",")
    axis = re.search(r"(?:dim|axis)=", context)
    if axis and isinstance(old, ast.Constant) and isinstance(new, ast.Constant):
        over, right = (AXES.get(n.value, f"axis {n.value}") for n in (new, old))
        return f"it goes over the {over} (`dim={after}`), not over the {right} (`dim={before}`)"
    if isinstance(old, ast.Constant) and isinstance(new, ast.Constant) and old.value != new.value:
        return f"a {before} is a {after}{_inside(context)}"
    return f"`{after}` takes the place of `{before}`{_inside(context)}"


# --- slips that are no small change of the text ---------------------------------------------------

# For a mean or sum over some axes: what else is taken, in words, and how it is written.
REDUCTIONS = (
    ("the median is taken", "{x}.flatten({first}, {last}).median(dim={first}).values"),
    ("the maximum (largest value) is taken", "{x}.amax(dim={dims})"),
    ("the minimum (smallest value) is taken", "{x}.amin(dim={dims})"),
    ("the standard deviation is taken", "{x}.std(dim={dims})"),
    ("the root of the mean square is taken", "{x}.square().mean(dim={dims}).sqrt()"),
    ("the mean of the absolute values is taken", "{x}.abs().mean(dim={dims})"),
    (
        "there is a ReLU before the average, which cuts negative numbers of the maps to 0",
        "{x}.relu().mean(dim={dims})",
    ),
    (
        "the maxima (largest values) of the rows are averaged",
        "{x}.amax(dim={last}).mean(dim={first})",
    ),
    (
        "the maxima (largest values) of the columns are averaged",
        "{x}.amax(dim={first}).mean(dim={last2})",
    ),
    (
        "the minimum of each map is subtracted before the average",
        "({x} - {x}.amin(dim={dims}, keepdim=True)).mean(dim={dims})",
    ),
    (
        "the sum is divided by H · H, as if the map were square, not by H · W",
        "({x}.sum(dim={dims}) / {x}.shape[{first}] ** 2)",
    ),
    (
        "the sum is divided by W · W, as if the map were square, not by H · W",
        "({x}.sum(dim={dims}) / {x}.shape[{last}] ** 2)",
    ),
    ("only the value in the middle of each map is taken", "{x}[{middle}]"),
    ("only the first value of each map is taken", "{x}[{corner}]"),
    (
        "`squeeze()` without a number also drops the axis of the images where there is one image",
        "{x}.mean(dim={dims}).squeeze()",
    ),
    (
        "the window of the pooling is a square, as high as the map: width and height differ",
        "torch.nn.functional.avg_pool2d({x}, {x}.shape[{first}]).flatten(1)",
    ),
)
# Layers that do not belong there: in words, and how they are written.
EXTRA = (
    ("a ReLU", "nn.ReLU()"),
    ("a sigmoid", "nn.Sigmoid()"),
    ("a softmax", "nn.Softmax(dim=1)"),
    ("a dropout", "nn.Dropout(0.5)"),
)
# What a convolution has although nobody asked for it: the argument, its value, in words.
UNASKED = (
    ("padding", 1, "a padding that it should not have"),
    ("stride", 2, "a stride that it should not have"),
    ("dilation", 2, "gaps between the pixels of its kernel"),
)


def edited(
    source: str, slips: Mapping[str, tuple[str, ...]], *, pairs: bool = False
) -> Iterator[tuple[str, str]]:
    """(words, source) of the mistakes that a check's author knows, or of two of them at once.

    slips: {words: (old, new, …)}, the likeliest first; each old text in the source becomes the new
    one. The words are a sentence of their own, or end "exactly what comes out if …".
    Raises ValueError where an old text is not in the source: such a slip names nothing.
    """

    def edit(text: str, changes: tuple[str, ...], strict: bool) -> str:
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            if old not in text and strict:
                raise ValueError(f"A slip wants to change what is not in the solution: {old}")
            text = text.replace(old, new)
        return text

    once = {words: edit(source, changes, True) for words, changes in slips.items()}
    if not pairs:
        yield from once.items()
        return
    places = {words: place for place, words in enumerate(slips)}
    both = itertools.combinations(slips, 2)
    for one, other in sorted(both, key=lambda pair: places[pair[0]] + places[pair[1]]):
        text = edit(once[one], slips[other], False)
        if text not in once.values():
            yield _together(one, other), text


def _together(one: str, other: str) -> str:
    both = (one, other)
    long = any(re.search("[.:;] ", words) or not words[1:2].islower() for words in both)
    if long and all(words.endswith(".") for words in both):
        return f"Two things are wrong. (1) {one} (2) {other}"
    return f"{_clause(one)}, and {_clause(other)}"


def _clause(words: str) -> str:
    """A sentence as a part of another one."""
    return f"{words[0].lower()}{words[1:].rstrip('.')}" if words[1:2].islower() else words


def further(source: str) -> list[tuple[str, str]]:
    """(words, source) of mistakes that learners make and no small change of the text gives."""
    tree = ast.parse(source)
    found: dict[str, str] = {}

    def put(words: str, node: ast.AST, field: str, new: object) -> None:
        before = getattr(node, field)
        setattr(node, field, new)
        try:
            text = ast.unparse(ast.fix_missing_locations(tree))
        except Exception:
            return
        finally:
            setattr(node, field, before)
        found.setdefault(text, words)

    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            for node in value if isinstance(value, list) else [value]:
                for words, code in _reductions(node):
                    new = ast.parse(code, mode="eval").body
                    replaced = (
                        [new if n is node else n for n in value] if isinstance(value, list) else new
                    )
                    put(words, parent, field, replaced)
        if isinstance(parent, ast.Call) and _name(parent) == "Sequential":
            for place in range(1, len(parent.args) + 1):
                for name, code in EXTRA:
                    new = ast.parse(code, mode="eval").body
                    after = ast.unparse(parent.args[place - 1])
                    arguments = [*parent.args[:place], new, *parent.args[place:]]
                    put(f"there is {name} too many, after `{after}`", parent, "args", arguments)
        if isinstance(parent, ast.Call) and _name(parent) in ("conv2d", "Conv2d"):
            given = [k.arg for k in parent.keywords]
            for name, value, meaning in UNASKED:
                if name not in given:
                    more = [*parent.keywords, ast.keyword(name, ast.Constant(value))]
                    words = f"a convolution has {meaning} (`{name}={value}`)"
                    put(words, parent, "keywords", more)
        if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add):
            place = f"{_inside(ast.unparse(parent))}"
            put(f"the parts are multiplied, not added{place}", parent, "op", ast.Mult())
        if isinstance(parent, ast.Return) and isinstance(parent.value, ast.BinOp | ast.Call):
            half = ast.BinOp(parent.value, ast.Div(), ast.Constant(2))
            put("the result is divided by two", parent, "value", half)
        if isinstance(parent, ast.Call) and _name(parent) == "BatchNorm2d":
            eps = ast.keyword("eps", ast.Constant(1e-3))
            put(
                "`eps` of a batch norm is 0.001 (1e-3)", parent, "keywords", [*parent.keywords, eps]
            )
    return [(words, text) for text, words in found.items()]


def _reductions(node: object) -> list[tuple[str, str]]:
    """What can be in the place of `x.mean(dim=…)`, `x.sum(dim=…)`, `F.cross_entropy(x, y)`."""
    if isinstance(node, ast.Call) and _name(node) == "cross_entropy" and len(node.args) == 2:
        x, y = map(ast.unparse, node.args)
        return [
            (
                f"the squared error (MSE) of the {words} is taken, not the cross-entropy",
                f"F.mse_loss({taken}, F.one_hot({y}, {x}.shape[1]).float())",
            )
            for words, taken in (("logits", x), ("probabilities", f"{x}.softmax(dim=1)"))
        ]
    if not (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("mean", "sum")
    ):
        return []
    given = [k.value for k in node.keywords if k.arg in ("dim", "axis")] + node.args[:1]
    try:
        dims = ast.literal_eval(given[0]) if given else None
    except ValueError:
        return []
    dims = (dims,) if isinstance(dims, int) else dims
    if not dims:
        return []
    x = ast.unparse(node.func.value)
    first, last = min(dims), max(dims)
    places = ["slice(None)"] * first
    size = [f"{x}.shape[{d}] // 2" for d in range(first, last + 1)]
    return [
        (
            words,
            code.format(
                x=x,
                dims=tuple(dims),
                first=first,
                last=last,
                last2=last - 1,
                middle=", ".join([*places, *size]),
                corner=", ".join([*places, *["0"] * len(size)]),
            ),
        )
        for words, code in REDUCTIONS
        if len(dims) > 1 or "{last" not in code
    ]
