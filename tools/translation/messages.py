"""The messages that a learner can be shown, read from the sources: the msgids of messages/*.po.

Messages are ordinary f-strings in the code. What stands in their braces becomes a placeholder with
a name, so `f"{count:,} is not right. {cause}"` gives the template `{count} is not right.`: a text
that follows a sentence, or comes before one, is a message of its own. Words that a condition puts
in (`'is' if n == 1 else 'are'`) are templates too. Two templates that differ only in the names of
their placeholders are one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# For each catalogue the sources whose messages it holds, and those of whose texts only the ones
# that are raised count (the others are axis labels, and names of layers).
CATALOGUES = {
    "checks": ["exercises/*/checks.py"],
    "engine": ["exercises/*.py"],
    "training": ["utils/*.py", "utils/runs/*.py"],
    "tools": [
        "course.py",
        "tools/__init__.py",
        *(f"tools/{name}.py" for name in ("cells", "clone", "data_files", "doctor", "environment")),
        *(f"tools/{name}.py" for name in ("programs", "recognition", "trial", "update")),
    ],
}
RAISED_ONLY = ["utils/networks/*.py", "utils/plotting/*.py", "utils/pictures/*.py"]
RAISED_ONLY += ["utils/topics/*.py", "utils/summary.py", "utils/results.py"]
# Sources of which only some functions say something to learners.
ONLY = {"exercises/texts.py": {"unknown"}}
# Words that are keys in the code and are said too: outcomes, and what holes get from tables.
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_LAYERS = ("convolution", "addition", "subtraction", "multiplication", "concatenation", "pooling")
_LAYERS += ("layer", "network", "dropout", "flatten", "activation")
_PLURALS = ("convolutions", "batch norms", "linear layers", "ReLUs", "max poolings", "dropouts")
_AXES = ("images", "channels", "height", "width", "rows", "columns", "height and width")
_BIASES = ("have a bias", "have no bias", "have a weight and bias", "have no weight and bias")
WORDS = {
    "engine": ("right", "not tried", "MACs", *_ORDINALS, *_LAYERS, *_PLURALS, *_AXES, *_BIASES),
    "training": (
        "name",
        "kind",
        "mean",
        "std",
        "variation",
        "zeros",
        "dead channels",
        "gradient",
        "weight",
        "ratio",
        "stuck",
        "diverged",
        "interrupted",
        "the function",
    ),  # what tables and runs print
    "checks": ("for maps of shape {shape}",),  # mobilenet.7 writes a call shorter
}
AUTHORS = ("mutation", "mutants", "language", "recognise")  # modules that say nothing to learners
# Names whose texts are keys, code or names of things; of the next two the values, and the last of
# each row, are what is said.
NAMES = {"__all__", "__slots__", "PROSE", "CODE", "FIELDS", "CELL", "FORMAT"}
NAMES |= {"FASHION_MNIST", "FASHION_CLASSES", "MNIST", "STATISTICS", "TOOLS", "_LIBRARIES"}
VALUES = {"REMEDIES", "FAILURES"}
LAST = {"MEANINGS"}

# Functions whose texts are patterns, names, code and paths.
SILENT = {
    *("getattr", "setattr", "hasattr", "delattr", "isinstance", "open", "TypeVar", "getenv"),
    *("compile", "search", "match", "fullmatch", "sub", "findall", "split", "finditer", "encode"),
    *("startswith", "endswith", "removeprefix", "removesuffix", "strip", "lstrip", "rstrip"),
    *("partition", "rpartition", "replace", "splitlines", "decode", "count", "index", "find"),
    *("import_module", "Path", "glob", "rglob", "joinpath", "with_name", "with_suffix"),
    *("run", "add_argument", "parse", "literal_eval", "get", "pop"),
    *("expect_keys", "read_text"),
    *("write_text", "device", "warn", "filterwarnings", "simplefilter", "NamedTuple", "dataclass"),
    *("register", "TextError", "_error", "wrong", "with_stem", "translate", "catalogue"),
    *("deprecated", "Popen", "check_output", "which", "strptime", "strftime", "Counter"),
}  # fmt: skip
LONG_ENOUGH = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True)
class Message:
    """A template, the file that it is in, and what its placeholders stand for in the code."""

    text: str
    source: str
    holes: tuple[tuple[str, str], ...] = ()

    @property
    def note(self) -> str:
        """Where it is made and of what, for whoever translates it."""
        held = [f"{name}: {code}" for name, code in self.holes if code.strip("_") != name]
        return "; ".join([self.source, *(text[:120] for text in held)])

    @property
    def key(self) -> str:
        """The template without the names of its placeholders."""
        return re.sub(r"(?<!\{)\{\w+\}", "{}", self.text)


def messages(name: str, root: Path = ROOT) -> list[Message]:
    """The templates of one catalogue, in the order of the sources, each once."""
    found: dict[str, Message] = {}
    for path, raised_only in sources(name, root):
        source = path.relative_to(root).as_posix()
        for message in of_source(path.read_text(encoding="utf-8"), source, raised_only):
            found.setdefault(message.key, message)
    for word in WORDS.get(name, ()):
        message = Message(word, "said in several places")
        found.setdefault(message.key, message)
    return list(found.values())


def sources(name: str, root: Path = ROOT) -> list[tuple[Path, bool]]:
    """The files of a catalogue, and for each whether only what it raises counts."""
    raised = RAISED_ONLY if name == "training" else []
    found: dict[Path, bool] = {}
    for patterns, only in ((raised, True), (CATALOGUES[name], False)):
        for pattern in patterns:
            for path in sorted(root.glob(pattern)):
                if path.stem not in AUTHORS:
                    found.setdefault(path, only)
    return list(found.items())


def of_source(code: str, source: str, raised_only: bool = False) -> Iterator[Message]:
    """The templates in one file of Python code."""
    reader = _Reader(source, raised_only)
    reader.visit(ast.parse(code))
    return iter(reader.found)


# --- walking through the code ---------------------------------------------------------------------


class _Reader(ast.NodeVisitor):
    """Collects the texts that are shown, as templates."""

    def __init__(self, source: str, raised_only: bool) -> None:
        self.source, self.raised_only = source, raised_only
        self.found: list[Message] = []
        self.words = 0  # > 0 where a single word is something that is said
        self.raising = 0

    def _texts(self, node: ast.AST) -> None:
        parts = _parts(node)
        if self.raising or not self.raised_only:
            for text, holes in (found for v in _variants(parts) for found in _templates(v)):
                if _is_said(text, bool(self.words)):
                    self.found.append(Message(text, self.source, holes))
        for value in [v for p in parts if not isinstance(p, str) for v in p]:
            self._visit_hole(value)

    def _visit_hole(self, node: ast.AST) -> None:
        self.words += 1
        self.visit(node)
        self.words -= 1

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._texts(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._texts(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Add) and _is_text(node):
            self._texts(node)
        else:
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        for branch in (node.body, node.orelse):
            self._visit_hole(branch)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.raising += 1
        self.generic_visit(node)
        self.raising -= 1

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name == "join" and isinstance(node.func, ast.Attribute):
            self._visit_hole(node.func.value)  # " and "
            for argument in node.args:
                self._visit_hole(argument)
            return
        ours = (
            name == "translate" and getattr(getattr(node.func, "value", 0), "id", "") == "language"
        )
        if name in SILENT and not ours:
            for argument in [*node.args, *(k.value for k in node.keywords)]:
                if not isinstance(argument, (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple)):
                    self.visit(argument)
            self.visit(node.func)
            return
        if name == "format":
            pass
        before, self.words = self.words, 0 if name not in ("print", "say", "_say") else 1
        self.generic_visit(node)
        self.words = before

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)
        if isinstance(node.ctx, ast.Store) or not isinstance(node.slice, ast.Constant):
            before, self.words = self.words, 0
            self.visit(node.slice)
            self.words = before

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._table(node.iter)
        for condition in node.ifs:
            self.visit(condition)

    def visit_For(self, node: ast.For) -> None:
        self._table(node.iter)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    def _table(self, node: ast.expr) -> None:
        """What a loop runs over: the words that stand there are put into messages."""
        if not self.source.startswith("exercises/"):
            self.visit(node)
            return
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func.value  # .items()
        if isinstance(node, ast.Dict):
            for key in filter(None, node.keys):
                self._visit_hole(key)
            for value in node.values:
                self._visit_hole(value)
        elif isinstance(node, (ast.Tuple, ast.List)):
            for element in node.elts:
                if isinstance(element, (ast.Tuple, ast.List)):
                    for part in element.elts:
                        self._visit_hole(part)
                else:
                    self._visit_hole(element)
        else:
            self.visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for part in (node.left, *node.comparators):
            if not isinstance(part, (ast.Constant, ast.JoinedStr, ast.Tuple, ast.List)):
                self.visit(part)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values):
            if key is not None:
                before, self.words = self.words, 0
                self.visit(key)
                self.words = before
            self.visit(value)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = [ast.unparse(target) for target in node.targets]
        if names[0] in NAMES:
            return
        if names[0] in VALUES and isinstance(node.value, ast.Dict):
            for value in node.value.values:
                self.visit(value)
            return
        if names[0] in LAST and isinstance(node.value, ast.Tuple):
            for row in node.value.elts:
                self.visit(row.elts[-1])
            return
        if names[0].startswith("SLIPS") and isinstance(node.value, ast.Dict):
            self._slips(node.value)
            return
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                self.visit(target)
        self.visit(node.value)

    def _slips(self, node: ast.expr) -> None:
        """The keys of a dictionary whose values are changes of code."""
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            for generator in node.generators:
                self.visit(generator)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                if key is not None:
                    self.visit(key)
                self._slips(value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        pass  # an annotation

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if self.source in ONLY and node.name not in ONLY[self.source]:
            return
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_match_case(self, node: ast.match_case) -> None:
        for statement in node.body:  # a pattern is not said
            self.visit(statement)


def _is_text(node: ast.AST) -> bool:
    """Whether an expression certainly gives a text."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


Part = str | list  # a text that stands there, or the expressions whose values do


def _parts(node: ast.AST) -> list[Part]:
    """A text as what is fixed in it and what is put in: `["", [count], " is not right."]`."""
    if isinstance(node, ast.BinOp):
        parts = _parts(node.left) + _parts(node.right)
    elif isinstance(node, ast.JoinedStr):
        parts = [p for value in node.values for p in _parts(value)]
    elif isinstance(node, ast.FormattedValue):
        inner = node.value
        return _parts(inner) if isinstance(inner, ast.Constant) else [[inner]]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        pieces = re.split(r"(\{\d?\})", node.value)  # "{0}" and "{}" are for str.format
        holes = (f"value{p[1:-1]}" if re.fullmatch(r"\{\d?\}", p) else "" for p in pieces)
        parts = [[ast.Name(hole)] if hole else p for hole, p in zip(holes, pieces)]
    else:
        return [[node]]
    return _merged(parts)


def _merged(parts: list[Part]) -> list[Part]:
    merged: list[Part] = []
    for part in filter(None, parts):
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        elif merged and isinstance(part, list) and isinstance(merged[-1], list):
            merged[-1] = merged[-1] + part  # nothing between them: they are found as one
        else:
            merged.append(part)
    return merged


def _is_grammar(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in ("is", "are", "has", "have", "a", "an")


def _variants(parts: list[Part]) -> list[list[Part]]:
    """The same text with each ending and verb that a condition adds: `channel`, `channels`."""
    for place, part in enumerate(parts):
        if isinstance(part, str):
            continue
        before = parts[place - 1] if place else ""
        after = parts[place + 1] if place + 1 < len(parts) else ""
        touches = before[-1:].isalpha(), after[:1].isalpha()
        for number, value in enumerate(part):
            at_word = (touches[0] and number == 0) or (touches[1] and number == len(part) - 1)
            if isinstance(value, ast.IfExp) and (at_word or _is_grammar(value.body)):
                texts = []
                for branch in (value.body, value.orelse):
                    inner = _parts(branch) if _is_text(branch) else [[branch]]
                    rest = [part[:number]] * bool(part[:number]), [part[number + 1 :]]
                    rest = rest[0], rest[1] * bool(part[number + 1 :])
                    whole = [*parts[:place], *rest[0], *inner, *rest[1], *parts[place + 1 :]]
                    texts += _variants(_merged(whole))
                return texts[:8]
    return [parts]


# --- templates ------------------------------------------------------------------------------------


def _templates(parts: list[Part]) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """The templates of a text: one a line, without what stands at its ends for another message."""
    line: list[Part] = []
    lines = [line]
    for part in parts:
        if isinstance(part, str) and "\n" in part:
            first, *others = part.split("\n")
            line.append(first)
            for other in others:
                line = [other]
                lines.append(line)
        else:
            line.append(part)
    for line in lines:
        names: dict[str, str] = {}
        text = "".join(_escaped(p) if isinstance(p, str) else _placeholder(p, names) for p in line)
        text = trimmed(text)
        used = {match[1] for match in re.finditer(r"(?<!\{)\{(\w+)\}", text)}
        yield text, tuple((name, code) for code, name in names.items() if name in used)


def trimmed(text: str) -> str:
    """A template without spaces, signs and other messages at its ends."""
    while True:
        before = text
        text = text.strip()
        text = re.sub(r"^[,;:.…)\]]+ ", "", text)
        text = re.sub(r"[,;:]$", "", text)
        text = re.sub(r"([.?!)]) ?\{\w+\}$", r"\1", text)  # a message after a sentence
        text = re.sub(r"^\{\w+\} (?=(?:[A-Z]|A )[a-z']* )", "", text)  # and before one
        if text == before:
            return text


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _placeholder(values: list[ast.expr], names: dict[str, str]) -> str:
    code = " ".join(ast.unparse(value) for value in values)
    if code not in names:
        wanted = next(filter(None, map(_name, values)), "value")
        name, number = wanted, 1
        while name in names.values():
            number += 1
            name = f"{wanted}{number}"
        names[code] = name
    return f"{{{names[code]}}}"


def _name(node: ast.AST) -> str:
    """A short name for what an expression gives: `shape` for `tuple(a.shape)`."""
    match node:
        case ast.Name(id=name):
            return name.strip("_").lower()
        case ast.Attribute(attr=name):
            return name.strip("_").lower()
        case ast.Call(func=ast.Name(id="len"), args=[_]):
            return "count"
        case ast.Call(func=ast.Name(id=name), args=[]):
            return name.strip("_").lower()
        case ast.Call(args=[*_, last]) if not isinstance(last, ast.Constant):
            return _name(last)
        case ast.Call(func=ast.Attribute(value=value)):
            return _name(value)
        case ast.Subscript(value=value) | ast.Starred(value=value):
            return _name(value)
        case ast.BinOp(left=left, right=right):
            return _name(left) or _name(right)
        case ast.IfExp(body=body, orelse=other):
            return _name(body) or _name(other) or "word"
        case ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt):
            return _name(elt)
    return ""


# Code in mistakes of solutions that looks like words, and parts of torch's own messages.
UNSAID = {
    *("from scipy import ndimage", "five, pool in", "does not require grad"),
    *("Cannot use ReduceOp.AVG with Gloo", "for group in optimizer.param_groups"),
    *("for gradient in gradients", "for gradient in gradients)", "slice(start, start"),
    *("if not all(gradient.isfinite().all() for gradient in gradients)", "slice(start, start +"),
    *('"parameters": weights + biases', '"parameters": (weights + biases) * 32 * 32'),
    *('"macs": weights', '"macs": (weights + biases)', "kernel_size, stride, padding)"),
}


def _is_said(text: str, one_word: bool) -> bool:
    """Whether a text is something that people read, not a name, a key or code."""
    if text in UNSAID:
        return False
    fixed = re.sub(r"(?<!\{)\{\w+\}", "", text)
    prose = re.sub(r"`[^`]*`|\"[^\"]*\"", " ", fixed)
    words = re.findall(r"(?<![\w./\\-])[A-Za-z][a-z']*(?![\w/(=\[]|\.\w)", prose)
    words = [w for w in words if len(w) > 1 or (w == "a" and fixed != text)]
    if not words:
        return False
    if " " not in text.strip():
        return one_word and re.fullmatch(r"[A-Za-z][a-z-]+\.?", text) is not None
    return not _is_code(text)


STATEMENT = re.compile(r"(def|class|import|from|return|for) .*[:=(\[]|.*\w\|\w")
CODE = re.compile(
    r"^(from|import|def|class|return|for|if|with|lambda)\b.*[:(=\[]|^[@*)\]}#-]"
    r"|[\w)\]] [-+*/]?[=!]?= |\w=\w"
    r"|^\w+[)\]]|[,(\[] *$|^[\w.]+\(.*\)[)\]]*$|^[,.]|\\[bwd]|\|"
)


def _is_code(text: str) -> bool:
    plain = re.sub(r"(?<!\{)\{(\w+)\}", r"\1", text)
    plain = re.sub(r"`[^`]*`", "code", plain)
    if re.fullmatch(r"[\w' ,;:.-]+", plain):
        return re.match(r"(import|return|pass|lambda) ", plain) is not None
    try:
        body = ast.parse(plain).body
    except SyntaxError:
        words = re.findall(r"(?<![\w.`=])[a-z]{2,}(?![\w(=.\[])", plain)
        if len(words) > 4 or (len(words) > 1 and re.search(r"\w[.?!]$", plain)):
            return STATEMENT.match(plain) is not None
        if len(words) > 1 and re.match(r"[A-Z][a-z]+ ", plain):
            return False
        return CODE.search(plain) is not None
    return not (body and re.match(r"\w+ \(", plain))  # nothing (None)
