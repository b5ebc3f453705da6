"""Finds what has to be changed in the learner's own text: one place, and the answer is right.

The learner's text is compared with the solution's, as syntax trees: names of variables do not
count, nor do type hints. Each difference is an edit that makes a part of the one like the other.
What is tried is the learner's text with one edit, or with two, or with one usual slip taken back
(`mutants`). So what is said is true: with this change the check passes.
"""

from __future__ import annotations

import ast
import copy
import difflib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from exercises import mutants

MOST_COMPARED = 20_000  # pairs of nodes
MOST_EDITS = 40  # texts with more differences are two ways to write the answer
MOST_PAIRED = 6  # edits of one statement of which two are tried
NEAREST = 2  # right texts that are compared
MOST_TOGETHER = 10  # edits of which two may be needed
LONG = 76  # characters of code that a message shows
SHARE = 0.4  # of the solution, that a message may show at most
SHOWN = {"check", "hint", "solution", "use", "print", "display", "plt", "plotting", "get_ipython"}


AROUND, BLOCKS, TOO_MUCH = ("off", "on"), ("body", "orelse"), "gone"
STEPS = {
    "one": 4,
    "line": 4,
    "several": 2,
    "slip": 1,
}  # what is tried, with how many pairs of texts
_POOL = ("input", "kernel_size", "stride", "padding")
POSITIONS = mutants.POSITIONS | {"max_pool2d": _POOL, "avg_pool2d": _POOL}


_WORD = re.compile(r"\w+|\S")


class _Plain(ast.NodeTransformer):
    """One style: without hints and docstrings, arguments by name and in the order of the names."""

    def visit(self, node: ast.AST) -> Any:
        node = self.generic_visit(node)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
            node.body = [n for n in node.body if not _is_text(n)] or [ast.Pass()]
        match node:
            case ast.arg():
                node.annotation = None
            case ast.FunctionDef():
                node.returns = None
            case ast.AnnAssign(value=ast.expr()):
                return ast.copy_location(ast.Assign([node.target], node.value), node)
            case ast.Call():
                names = POSITIONS.get(_called(node), ())
                kept = 2 if names[1:] and names[1].startswith("out_") else 1
                while kept < len(node.args) <= len(names):
                    value = node.args.pop()
                    word = ast.keyword(names[len(node.args)], value)
                    node.keywords.append(ast.copy_location(word, value))
                node.keywords.sort(key=lambda k: k.arg or "~")
        return node


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _called(node: ast.AST) -> str:
    function = getattr(node, "func", node)
    return getattr(function, "attr", getattr(function, "id", ""))


def parsed(source: str, is_value: bool = True) -> ast.Module | None:
    """The tree of a cell in one style, without what only shows something; None if it has errors.

    is_value: whether the answer is a value; a function needs nothing that a cell does besides.
    """

    def shows(node: ast.stmt) -> bool:
        if not is_value and isinstance(node, (ast.Expr, ast.For, ast.While, ast.With, ast.If)):
            return True
        value = getattr(node, "value", None)
        names = re.findall(r"\w+", ast.unparse(value.func)) if isinstance(value, ast.Call) else ()
        return bool(SHOWN.intersection(names)) or (isinstance(node, ast.Expr) and not names)

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    tree.body = [node for node in tree.body if not shows(node)]
    return _Plain().visit(tree)


# --- what differs ---------------------------------------------------------------------------------


@dataclass(eq=False)
class Plan:
    """How a part of the learner's text becomes a part of the solution's.

    kind: "same"; "parts", each with a plan of its own; or an edit: "swap" (another one in its
    place), "gone", "come" (an entry of a list too many, or missing), "off", "on" (what is around a
    part is too much, or missing: the one part in `parts` is what is inside).
    """

    kind: str
    mine: Any = None
    right: Any = None
    parts: dict[str, Any] = field(default_factory=dict)
    around: tuple[Plan, ...] = ()  # the plans in which it is, the innermost first
    line: int = 0


def _inside(outer: ast.AST, place: tuple[str, int | None], value: Any) -> ast.AST:
    """A copy of a node with something else at one place."""
    name, number = place
    if number is not None:
        items = list(getattr(outer, name))
        items[number] = value
        value = items
    return mutants.changed(outer, **{name: value})


def built(plan: Plan, done: set[Plan]) -> Any:
    """The learner's part with some of the edits made; a list of them for an entry of a list."""
    made = plan in done
    match plan.kind:
        case "same":
            return plan.mine
        case "swap":
            return plan.right if made else plan.mine
        case "gone":
            return [] if made else plan.mine
        case "come":
            return plan.right if made else []
        case "parts":
            return mutants.changed(plan.mine, **{k: _part(p, done) for k, p in plan.parts.items()})
    (place, inner), *_ = plan.parts.items()
    kept = _part(inner, done)
    on = plan.kind == "on"
    return _inside(plan.right if on else plan.mine, place, kept) if made is on else kept


def _part(part: Any, done: set[Plan]) -> Any:
    if not isinstance(part, list):
        return built(part, done)
    found = []
    for plan in part:
        one = built(plan, done)
        found.extend(one if isinstance(one, list) else [one])
    return found


class _Differ:
    def __init__(self) -> None:
        self.known: dict[tuple, tuple[int, Any]] = {}
        self.keys: dict[int, str] = {}
        self.sizes: dict[int, int] = {}
        self.kept: list = []  # so that no id is used twice

    def key(self, node: Any) -> str:
        if id(node) not in self.keys:
            self.kept.append(node)
            self.keys[id(node)] = ast.dump(node) if isinstance(node, ast.AST) else repr(node)
        return self.keys[id(node)]

    def size(self, node: Any) -> int:
        if not isinstance(node, ast.AST):
            return 1
        if id(node) not in self.sizes:
            self.kept.append(node)
            ignored = (ast.expr_context, ast.operator)
            self.sizes[id(node)] = sum(not isinstance(n, ignored) for n in ast.walk(node))
        return self.sizes[id(node)]

    def one(self, mine: Any, right: Any) -> tuple[int, Plan]:
        """The cost (how many nodes are concerned) and the plan of the cheapest edits."""
        if self.key(mine) == self.key(right):
            return 0, Plan("same", mine, right)
        if not hasattr(mine, "lineno"):
            return self.cheapest(mine, right)  # Python may have one object for it at many places
        pair = id(mine), id(right)
        if pair not in self.known:
            self.known[pair] = self.cheapest(mine, right)
        return self.known[pair]

    def cheapest(self, mine: Any, right: Any) -> tuple[int, Plan]:
        best = self.size(mine) + self.size(right), Plan("swap", mine, right)
        nodes = isinstance(mine, ast.AST) and isinstance(right, ast.AST)
        if not nodes or len(self.known) > MOST_COMPARED:
            return best
        if type(mine) is type(right) and not isinstance(mine, (ast.Constant, ast.Name)):
            cost, parts = 0, {}
            for name in mine._fields:
                a, b = getattr(mine, name, None), getattr(right, name, None)
                if isinstance(a, list) and isinstance(b, list):
                    extra, parts[name] = self.many(a, b)
                else:
                    extra, parts[name] = self.one(a, b)
                cost += extra
            best = min(best, (cost, Plan("parts", mine, right, parts)), key=lambda found: found[0])
        if isinstance(mine, ast.expr) and isinstance(right, ast.expr):
            for kind, outer, other in zip(AROUND, (mine, right), (right, mine)):
                for place, child in _children(outer):
                    rest = self.size(outer) - self.size(child) + 1
                    if rest < best[0]:
                        pair = (child, other) if kind == "off" else (other, child)
                        cost, plan = self.one(*pair)
                        if cost + rest < best[0]:
                            best = cost + rest, Plan(kind, mine, right, {place: plan})
        return best

    def many(self, mine: list, right: list) -> tuple[int, list[Plan]]:
        key = tuple(map(id, mine)), tuple(map(id, right))
        if key not in self.known:
            self.kept += [*mine, *right]
            self.known[key] = self.aligned(mine, right)
        return self.known[key]

    def aligned(self, mine: list, right: list) -> tuple[int, list[Plan]]:
        """The cheapest edits of a list: entries are changed, left out or put in, and statements
        lose or get what is around them (a loop, a `with`)."""
        a, b = list(map(self.key, mine)), list(map(self.key, right))
        start = end = 0
        while start < min(len(a), len(b)) and a[start] == b[start]:
            start += 1
        while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
            end += 1
        ours, theirs = mine[start : len(mine) - end], right[start : len(right) - end]
        m, n = len(ours), len(theirs)
        blocks = 0 < m <= 12 and 0 < n <= 12
        best: dict[tuple[int, int], tuple[int, tuple]] = {(0, 0): (0, ())}

        def offer(place: tuple[int, int], cost: int, before: tuple[int, int], plan: Plan) -> None:
            total = best[before][0] + cost
            if place not in best or total < best[place][0]:
                best[place] = total, (before, plan)

        for i, j in itertools.product(range(m + 1), range(n + 1)):
            if i < m:
                offer((i + 1, j), self.size(ours[i]), (i, j), Plan("gone", ours[i]))
            if j < n:
                offer((i, j + 1), self.size(theirs[j]), (i, j), Plan("come", right=theirs[j]))
            if i < m and j < n:
                cost, plan = self.one(ours[i], theirs[j])
                offer((i + 1, j + 1), cost, (i, j), plan)
                for k in range(1, 5) if blocks else ():
                    for place in _bodies(ours[i]) if j + k <= n else ():
                        inner = getattr(ours[i], place[0])
                        cost, plans = self.many(inner, theirs[j : j + k])
                        rest = self.size(ours[i]) - sum(map(self.size, inner)) + 1
                        plan = Plan("off", ours[i], None, {place: plans})
                        offer((i + 1, j + k), cost + rest, (i, j), plan)
                    for place in _bodies(theirs[j]) if i + k <= m else ():
                        inner = getattr(theirs[j], place[0])
                        cost, plans = self.many(ours[i : i + k], inner)
                        rest = self.size(theirs[j]) - sum(map(self.size, inner)) + 1
                        plan = Plan("on", ours[i], theirs[j], {place: plans})
                        offer((i + k, j + 1), cost + rest, (i, j), plan)
        plans, place = [], (m, n)
        while place != (0, 0):
            place, plan = best[place][1]
            plans.insert(0, plan)
        same = [Plan("same", *pair) for pair in zip(mine[:start], right)]
        rest = zip(mine[len(mine) - end :], right[len(right) - end :])
        return best[m, n][0], [*same, *plans, *(Plan("same", *pair) for pair in rest)]


def _children(node: ast.AST) -> Iterator[tuple[tuple[str, int | None], ast.expr]]:
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.expr):
            yield (name, None), value
        for number, one in enumerate(value if isinstance(value, list) else ()):
            if isinstance(one, ast.expr):
                yield (name, number), one


def _bodies(node: ast.AST) -> list[tuple[str, None]]:
    if not isinstance(node, (ast.For, ast.While, ast.If, ast.With)):
        return []
    return [(name, None) for name in BLOCKS if getattr(node, name, None)]


# --- names ----------------------------------------------------------------------------------------


def _own_names(tree: ast.AST) -> set[str]:
    """Names that a text gives: of variables, arguments, helpers, and of what `self` has."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(f"self.{name}")
    return found - {"self", "forward", "__init__"}


class _Renamed(ast.NodeTransformer):
    """Other names for those that a text gives itself."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit(self, node: ast.AST) -> Any:
        new = copy.copy(node)
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                value = [self.visit(v) if isinstance(v, ast.AST) else v for v in value]
            setattr(new, name, self.visit(value) if isinstance(value, ast.AST) else value)
        if place := _named(node):
            name, key = place
            new.was = key
            setattr(new, name, self.names.get(key, key).removeprefix("self."))
        return new


def _named(node: ast.AST) -> tuple[str, str] | None:
    """The field of a node that holds a name, and the name."""
    match node:
        case ast.Name(id=name):
            return "id", name
        case ast.arg(arg=name):
            return "arg", name
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return "name", name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return "attr", f"self.{name}"
    return None


def _partners(plan: Any) -> Iterator[tuple[str, str]]:
    """The names at places that correspond: (the solution's, the learner's)."""
    if isinstance(plan, list):
        for one in plan:
            yield from _partners(one)
    elif plan.kind in ("same", "swap", "parts"):
        same = isinstance(plan.mine, ast.AST) and isinstance(plan.right, ast.AST)
        if same and plan.kind == "same":
            pairs = zip(ast.walk(plan.mine), ast.walk(plan.right))
        else:
            pairs = [(plan.mine, plan.right)]
        yield from ((b.was, a.was) for a, b in pairs if hasattr(a, "was") and hasattr(b, "was"))
    for part in plan.parts.values() if isinstance(plan, Plan) else ():
        yield from _partners(part)


def _with_names_of(mine: ast.Module, right: ast.Module) -> ast.Module:
    """The solution's tree with the learner's names, as far as one can tell which is which."""
    ours, theirs = map(_own_names, (mine, right))
    pairs = ((ours, mine), (theirs, right))
    both = [_Renamed(dict.fromkeys(names, "_")).visit(tree) for names, tree in pairs]
    votes = Counter(_partners(_Differ().one(*both)[1]))
    names: dict[str, str] = {}
    ranked = sorted(votes, key=lambda pair: -votes[pair] - (pair[0] == pair[1]))
    for name, other in ranked:
        known = name in theirs and other in ours and name not in names
        if known and other not in names.values() and ("self." in name) is ("self." in other):
            names[name] = other
    return _Renamed(names).visit(right)


# --- how to say it --------------------------------------------------------------------------------


def _edits(plan: Any, around: tuple[Plan, ...] = (), line: int = 1) -> list[Plan]:
    """All edits of a plan, each with its line and with what is around it."""
    if isinstance(plan, list):
        found = []
        for one in plan:
            found += _edits(one, around, line)
            line = max(line, getattr(one.mine, "end_lineno", None) or 0)
        return found
    if plan.kind == "same":
        return []
    at = getattr(plan.mine, "lineno", None) or line
    plan.around, plan.line = around, line if plan.kind == "come" else at
    found = [] if plan.kind == "parts" else [plan]
    for name, part in plan.parts.items():
        inside = getattr(plan.mine, name, None) if name in BLOCKS else None
        start = inside[0].lineno - 1 if isinstance(inside, list) and inside else at
        found += _edits(part, (plan, *around), start)
    return found


def _text(node: Any) -> str:
    """Code as a message shows it; of a statement that holds others its first line."""
    if not isinstance(node, ast.AST):
        return str(node)
    text = ast.unparse(node)
    text = text.splitlines()[0] if isinstance(node, ast.stmt) and text else text
    return re.sub(r"\b1(0{4,})\.0\b", lambda match: f"1e{len(match[1])}", text)


def _statement(edit: Plan) -> Plan | None:
    """The statement that an edit is or is in."""
    return next((p for p in (edit, *edit.around) if isinstance(p.mine, ast.stmt)), None)


def _place(edit: Plan) -> tuple[Plan | None, int]:
    """What is said in one sentence: a line of a statement, or the head of a function."""
    statement = _statement(edit)
    head = statement and isinstance(statement.mine, ast.FunctionDef)
    return statement, statement.line if head else edit.line


def _grouped(edits: list[Plan]) -> list[list[Plan]]:
    """Edits that are one: the same in several places, or a line that moves."""
    groups: dict[tuple, list[Plan]] = defaultdict(list)
    for edit in edits:
        before, after = ("" if n is None else _text(n) for n in (edit.mine, edit.right))
        if not (before or after):  # operators
            before, after = type(edit.mine).__name__, type(edit.right).__name__
        moves = isinstance(edit.mine or edit.right, ast.stmt) and edit.kind in ("gone", "come")
        key = (before or after,) if moves else (edit.kind, before, after)
        groups[key].append(edit)
    return list(groups.values())


def _written(edits: list[Plan]) -> str:
    """Edits of one statement as one: what is to be written in place of what."""
    first, statement = edits[0], _statement(edits[0])
    chain = [plan for plan in (first, *first.around) if all(plan in (e, *e.around) for e in edits)]
    line = _text(statement.mine) if statement else ""
    for plan in chain:
        changed = built(plan, set(edits))
        kind = isinstance(plan.mine, (ast.expr, ast.keyword, ast.stmt))
        if not kind or isinstance(changed, list):
            continue
        before, after = _text(plan.mine), _text(changed)
        if max(len(before), len(after)) > LONG:
            break
        tiny = re.fullmatch(r"\W*\w{0,3}\W*", before)
        if before != after and (plan is statement or (line.count(before) == 1 and not tiny)):
            if plan is not statement:
                after = _in_brackets(line, before, after, _text(built(statement, set(edits))))
            return f"In line {first.line}, write `{after}` in place of `{before}`."
    if not line or len(line) > LONG or (first is not statement and hasattr(statement.mine, "body")):
        return ""
    if any(edit.kind == "on" for edit in edits):
        return ""  # what is missing around a part need not belong to this line
    return f"The mistake is in line {first.line}, `{line}`. All the rest is right."


def _in_brackets(line: str, before: str, after: str, wanted: str) -> str:
    """What is to be written in place of `before`: in brackets where they change the meaning."""

    def tree(text: str) -> str:
        try:
            return ast.dump(ast.parse(text + " pass" * text.endswith(":")))
        except SyntaxError:
            return ""

    in_place = tree(line.replace(before, after))
    needed = in_place != tree(wanted) == tree(line.replace(before, f"({after})"))
    return f"({after})" if needed else after


def _said(group: list[Plan]) -> str:
    """What an edit changes, in a sentence."""
    edit = group[0]
    if edit.kind in ("come", "swap") and hasattr(edit.right, "body"):
        return ""  # its first line would not tell
    code, owner = _text(edit.mine or edit.right), edit.around[0] if edit.around else edit
    kinds = {one.kind: one for one in group}
    if len(kinds) == 2 and kinds["gone"].line == kinds["come"].line:
        return f"Line {edit.line}, `{code}`, is in the wrong block: indent it otherwise."
    if len(kinds) == 2 and kinds["gone"].line == kinds["come"].line + 1:
        return ""
    if len(kinds) == 2:
        return f"Move line {kinds['gone'].line}, `{code}`, behind line {kinds['come'].line}."
    if isinstance(edit.mine or edit.right, ast.stmt) and len(code) <= LONG:
        if edit.kind == "gone" and hasattr(edit.mine, "body"):
            first, last = edit.mine.lineno, edit.mine.end_lineno
            return f"Leave out lines {first} to {last}, `{code}` with all that is inside."
        if edit.kind == "gone":
            return f"Leave out line {edit.line}, `{code}`."
        if edit.kind == "come" and _is_new_else(edit, owner):
            return f"Give the `if` in line {owner.mine.lineno} an `else:` with `{code}`."
        if edit.kind == "come":
            return f"After line {edit.line}, add the line `{code}`."
        if edit.kind == "off":
            return f"Take away `{code}` in line {edit.line}, and keep what is inside."
        if edit.kind == "on":
            (place, inside), *_ = edit.parts.items()
            rest = [name for name in BLOCKS if name != place[0] and getattr(edit.right, name, None)]
            ours = [plan.mine for plan in inside if isinstance(plan.mine, ast.stmt)]
            if rest or len(ours) < len(inside):
                return ""  # more comes than what is around
            first, last = ours[0].lineno, ours[-1].end_lineno
            if first == last:
                return f"Put line {first} into `{_text(edit.right)}`."
            return f"Put lines {first} to {last} into `{_text(edit.right)}`."
    if edit.kind == "come" and edit.right in getattr(owner.right, "decorator_list", ()):
        return f"Above line {edit.line}, add `@{code}`."
    statement = _statement(edit)
    if edit.kind == "come" and isinstance(owner.mine, ast.Call) and len(code) <= LONG:
        text = f"In line {edit.line}, add `{code}` to `{_text(owner.mine.func)}(…)`."
    elif edit.kind == "gone" and statement and _text(statement.mine).count(code) == 1 < len(code):
        loops = [n for n in ast.walk(statement.mine) if isinstance(n, ast.comprehension)]
        if any(edit.mine is test for loop in loops for test in loop.ifs):
            code = re.search(rf"\w+ {re.escape(code)}", _text(statement.mine))[0]  # with `if`
        text = f"In line {edit.line}, leave out `{code}`."
    else:
        return _in_lines(group)
    lines = sorted({one.line for one in group} - {edit.line})
    more = f" Do the same in line {' and '.join(map(str, lines))}." if lines and text else ""
    return f"{text}{more}"


def _is_new_else(edit: Plan, owner: Plan) -> bool:
    """Whether a line comes into a branch that the learner's `if` does not have."""
    added = owner.parts.get("orelse", ()) if isinstance(owner.mine, ast.If) else ()
    return any(edit is one for one in added) and not owner.mine.orelse


def _in_lines(group: list[Plan]) -> str:
    """What to write in each line; that it is the same only where the words are."""
    lines = list(dict.fromkeys([group[0].line, *sorted(one.line for one in group)]))
    texts = [_written([one for one in group if one.line == line]) for line in lines]
    if not all(texts):
        return ""
    said = {text.replace(f"In line {line},", "", 1) for text, line in zip(texts, lines)}
    if len(said) == 1 and len(lines) > 1:
        return f"{texts[0]} Do the same in line {' and '.join(map(str, lines[1:]))}."
    return " ".join(texts)


def _tells(edit: Plan, size: int, is_value: bool) -> bool:
    """Whether an edit gives away too much: most of the solution, or the number that is asked for.

    size: of the solution.
    """
    if edit.right is None or edit.kind in ("off", "gone"):
        return False
    if edit.kind == "on":
        inside = next(iter(edit.parts.values()))
        kept = [plan.right for plan in (inside if isinstance(inside, list) else [inside])]
        return _size(edit.right) - sum(map(_size, kept)) > SHARE * size
    whole = edit.around and isinstance(edit.around[0].mine, (ast.Dict, ast.Assign, ast.Module))
    return _size(edit.right) > SHARE * size or (is_value and edit.kind == "swap" and bool(whole))


def _size(node: Any) -> int:
    return sum(1 for _ in ast.walk(node)) if isinstance(node, ast.AST) else 1


# --- what to try ----------------------------------------------------------------------------------


def found(
    source: str, solutions: Iterable[str], works: Callable[[str], bool], is_value: bool = False
) -> str:
    """What to change in a source so that it is right, in a sentence; or nothing.

    solutions: right texts, of which the nearest is taken.
    works: whether a source is right; it may raise an exception to end the search.
    """
    mine = parsed(source, is_value)
    if mine is None:
        return ""
    head = _without_imports(mine)
    compared = difflib.SequenceMatcher(b=_WORD.findall(ast.unparse(mine)), autojunk=False)
    known = []
    for text in solutions:
        if right := parsed(text, is_value):
            more = _without_imports(right)
            compared.set_seq1(_WORD.findall(ast.unparse(right)))
            known.append((compared.ratio(), f"{head}\n{more}", right))
    seen: dict[str, bool] = {}

    def once(text: str) -> bool:
        if text not in seen:
            seen[text] = works(text)
        return seen[text]

    nearest = sorted(known, key=lambda found: -found[0])[:NEAREST]
    searches = [
        _Search(ours, theirs, head, once, is_value)
        for _, head, right in nearest
        for ours, theirs in ((mine, right), (_short(mine), _short(right)))
    ]
    searches.sort(key=lambda search: search.cost)
    for step, most in STEPS.items():
        for search in searches[:most]:
            said = getattr(search, step)()
            if said and _is_literal(said, ast.unparse(mine)) and not (is_value and "`{" in said):
                return said  # (a whole dictionary would give away all its numbers)
    return ""


def _is_literal(said: str, text: str) -> bool:
    """Whether what a sentence tells to replace or to leave out is in the learner's text like that.

    A value that was put in the place of its name is not.
    """
    around = Counter(re.findall(r"(?:Take away|into) (`.*?`)", said))  # taken away and put back
    told = re.findall(r"(?:in place of|leave out) `(.*?)`(?=[.;,]|$| )", said)
    return all(part in text for part in told) and max(around.values(), default=0) < 2


class _Search:
    """What is tried to make a text like one of the right texts."""

    def __init__(
        self, mine: ast.Module, right: ast.Module, head: str, works: Callable, is_value: bool
    ) -> None:
        right = _with_names_of(mine, right)
        self.mine, self.right, self.head, self.works = mine, right, head, works
        self.is_value, self.size = is_value, _size(right)
        self.cost, self.plan = _Differ().one(mine, right)
        groups = _grouped(_edits(self.plan))
        self.groups = sorted(groups, key=lambda group: sum(map(_weight, group)))

    def tried(self, groups: Iterable[list[Plan]]) -> bool:
        done = set(_flat(groups))
        return bool(done) and self.works(f"{self.head}\n{ast.unparse(built(self.plan, done))}")

    def words(self, groups: list[list[Plan]]) -> str:
        if any(_tells(edit, self.size, self.is_value) for edit in _flat(groups)):
            return ""
        places: dict[Any, list[list[Plan]]] = defaultdict(list)
        concerned = Counter(place for group in groups for place in set(map(_place, group)))
        for group in sorted(groups, key=lambda group: group[0].line):
            inside = set(map(_place, group))
            if len(inside) > 1 and all(concerned[place] == 1 for place in inside):
                places[None, id(group)].append(group)
                continue
            for place in inside:
                places[place].append([edit for edit in group if _place(edit) == place])
        said = [
            _said(some[0]) if len(some) == 1 or not place else _written(list(_flat(some)))
            for (place, _), some in places.items()
        ]
        place = any(text.startswith("The mistake") for text in said)
        if not all(said) or len(said) > 2 - place:
            return ""
        if len(said) == 2:
            return f"Two changes make your answer right. (1) {said[0]} (2) {said[1]}"
        return said[0] if place else f"{said[0]} Then your answer is right."

    def one(self) -> str:
        """One edit, at all places where it can be made."""
        for group in self.groups[:MOST_EDITS]:
            line = group[0] if len(group) == 1 and isinstance(group[0].mine, ast.stmt) else None
            for kind in (TOO_MUCH, line.kind) if line and line.kind == "swap" else (group[0].kind,):
                group[0].kind = kind  # a line may be too much where another one is missing
                if (said := self.words([group])) and self.tried([group]):
                    return said
        return ""

    def line(self) -> str:
        """All edits of one statement, or two of them."""
        lines: dict[Plan | None, list[list[Plan]]] = defaultdict(list)
        for group in self.groups:
            lines[_statement(group[0])].append(group)
        for statement, inside in lines.items():
            pairs = itertools.combinations(inside, 2) if 2 < len(inside) <= MOST_PAIRED else ()
            for some in (inside, *map(list, pairs)) if statement and len(inside) > 1 else ():
                if (said := self.words(some)) and self.tried(some):
                    return said
        return ""

    def several(self) -> str:
        """Any edits, as few as make the text right."""
        if not 1 < len(self.groups) <= MOST_TOGETHER:
            return ""
        if not self.tried(self.groups):
            return ""
        return self.words(_fewest(self.groups, self.tried))

    def slip(self) -> str:
        """A usual slip that is taken back."""
        names = set(re.findall(r"\w+", ast.unparse(self.right)))

        def strange(mutant: mutants.Mutant) -> bool:
            """Whether it brings in what the right text does not have."""
            return not names.issuperset(re.findall(r"\w+", mutant.change.after))

        for mutant in sorted(mutants.mutants(ast.unparse(self.mine)), key=strange):
            if self.works(f"{self.head}\n{mutant.source}"):
                plan = _Differ().one(self.mine, ast.parse(mutant.source))[1]
                return self.words(_grouped(_edits(plan)))
        return ""


def _short(tree: ast.Module) -> ast.Module:
    """A copy in which several assignments in one line are several lines, and a value that is used
    once stands where it is used."""
    tree = copy.deepcopy(tree)
    for node in list(ast.walk(tree)):
        for name in BLOCKS:
            if isinstance(block := getattr(node, name, None), list):
                setattr(node, name, list(itertools.chain.from_iterable(map(_split, block))))
    names = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))
    for node in list(ast.walk(tree)):
        for name in BLOCKS:
            block = getattr(node, name, None)
            for number, line in reversed(list(enumerate(block if isinstance(block, list) else ()))):
                match line:
                    case ast.Assign(targets=[ast.Name(id=stored)], value=value) if (
                        names[stored] == 2 and len(block) > number + 1
                    ):
                        calls = any(isinstance(n, (ast.Call, ast.Await)) for n in ast.walk(value))
                        rest = block[number + 1 : number + 2 if calls else None]
                        if any(_put(later, stored, value) for later in rest):
                            del block[number]
    return tree


def _split(line: ast.stmt) -> list[ast.stmt]:
    match line:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(
            targets
        ) == len(values) and all(isinstance(t, ast.Name) for t in targets):
            read = {n.id for v in values for n in ast.walk(v) if isinstance(n, ast.Name)}
            if not read & {target.id for target in targets}:
                pairs = zip(targets, values)
                return [ast.copy_location(ast.Assign([t], v), line) for t, v in pairs]
    return [line]


def _put(tree: ast.AST, name: str, value: ast.expr) -> bool:
    """Puts a value in the place of a name; False if it is not there."""
    for node in ast.walk(tree):
        for field_name, part in ast.iter_fields(node):
            items = part if isinstance(part, list) else [part]
            for number, one in enumerate(items):
                if isinstance(one, ast.Name) and one.id == name:
                    if isinstance(part, list):
                        part[number] = value
                    else:
                        setattr(node, field_name, value)
                    return True
    return False


def _flat(groups: Iterable[list[Plan]]) -> Iterator[Plan]:
    return itertools.chain.from_iterable(groups)


def _fewest(groups: list, works: Callable[[list], bool]) -> list:
    """The groups that are needed: parts without which it works too are left out."""
    parts = 2
    while len(groups) > 1:
        length = -(-len(groups) // parts)
        for start in range(0, len(groups), length):
            rest = groups[:start] + groups[start + length :]
            if rest and works(rest):
                groups, parts = rest, max(2, parts - 1)
                break
        else:
            if length == 1:
                break
            parts = min(len(groups), 2 * parts)
    return groups


def _without_imports(tree: ast.Module) -> str:
    """The imports of a text, which its tree loses."""
    found = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    tree.body = [node for node in tree.body if node not in found]
    return ast.unparse(ast.Module(found, []))


def _weight(edit: Plan) -> int:
    return sum(_size(node) for node in (edit.mine, edit.right) if node is not None)
