"""Which cell of a notebook is which cell of a chapter, also after other tools have cleaned it.

nbstripout, git hooks and converters take away the metadata of cells, their ids, or both; others
write new ids or change line endings. So a cell is known by its metadata, then by its id, then by
its text, and the answer to an exercise by where it is and what it defines. Standard library only.
"""

from __future__ import annotations

import ast
import copy
import difflib
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Mapping

from tools import cells
from tools.cells import fingerprint, generated_id, id_of, source

_EXERCISE = r"[a-z]\w*\.\d+"
_TASK = re.compile(rf"#+ .*?\b({_EXERCISE})\b")
_CHECK = re.compile(rf"""^check\(\s*["']({_EXERCISE})["']\s*,\s*(\w+)""", re.MULTILINE)
_GENERATED = re.compile(r"([a-z]\w*)-(\d+)-(task|stub|check|help)")
_ALIKE = 0.6  # of two texts, from 0 to 1: an edited cell and not another one


def recognised(nb: Mapping, chapter: Mapping | None = None) -> dict:
    """A copy of `nb` in which the course's cells have their ids and roles again.

    chapter: the chapter whose cells they may be; without it only those of exercises are known.
    """
    nb = copy.deepcopy(dict(nb))
    _Recognition(nb, chapter).all()
    return nb


def plain(text: str) -> str:
    """A text without what editors and git change: line endings, and space at the end of lines."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def content(cell: Mapping) -> str:
    """The text of a cell without what formatters change too: of code its syntax tree and comments.

    Quotes, tabs and the breaks of lines make no difference.
    """
    text = plain(source(cell))
    if cell["cell_type"] != "code":
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a learner's code
            parts = [ast.dump(ast.parse(text))]
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return "\n".join(parts + [t.string for t in tokens if t.type == tokenize.COMMENT])
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return text  # half written, or with a line for the shell


class _Recognition:
    def __init__(self, nb: dict, chapter: Mapping | None) -> None:
        known = {id_of(cell): cell for cell in (chapter or {}).get("cells", [])}
        self.cells, self.known, self.was = nb["cells"], known, cells.as_shipped(nb)
        self.found: dict[str, dict] = {}  # the cells that are known by now, by the chapter's id
        self.by_id = False  # whether any id has survived
        listed = cells.as_shipped(chapter or {})
        self.course = {*self.was, *(listed or known)}  # ids; others are those of a learner's cells
        self.texts = {id: plain(source(cell)) for id, cell in known.items()}
        self.contents = {id: content(cell) for id, cell in known.items()}

    def open(self) -> Iterator[dict]:
        """The cells that are not known yet."""
        taken = {id(cell) for cell in self.found.values()}
        return (cell for cell in self.cells if id(cell) not in taken and source(cell).strip())

    def all(self) -> None:
        for cell in self.cells:
            self.clean(cell)
            if cells.role(cell) and cells.exercise(cell):
                self.found.setdefault(generated_id(cells.exercise(cell), cells.role(cell)), cell)
        for cell in list(self.open()):
            name = id_of(cell)
            if name in self.course or _GENERATED.fullmatch(name):
                self.by_id |= self.name(cell, name)
        self.by_text()
        self.by_anchor()
        self.stubs()
        if not self.by_id:
            self.edited()

    def clean(self, cell: dict) -> None:
        text = source(cell)
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        name, short = id_of(cell), plain(text)
        if fingerprint(short) == self.was.get(name):
            lines = short
        elif content(cell) == self.contents.get(name):
            lines = source(self.known[name])
        if lines != text:
            cell["source"] = lines.splitlines(keepends=True)

    def name(self, cell: dict, name: str) -> bool:
        """Give a cell this id and what belongs to it, unless another cell has it."""
        if name in self.found:
            return False
        self.found[name] = cell
        cell["id"] = name
        cell["metadata"].pop("id", None)
        if generated := _GENERATED.fullmatch(name):
            cell["metadata"] |= {"exercise": f"{generated[1]}.{generated[2]}", "role": generated[3]}
        elif role := cells.role(self.known.get(name, {"metadata": {}})):
            cell["metadata"]["role"] = role
        if self.contents.get(name) == content(cell):
            cell["source"] = source(self.known[name]).splitlines(keepends=True)
        return True

    def by_text(self) -> None:
        places: dict[tuple[str, str], list[str]] = {}
        for name, cell in self.known.items():
            places.setdefault((cell["cell_type"], self.contents[name]), []).append(name)
        shipped = {text: name for name, text in self.was.items()}
        for cell in list(self.open()):
            text = plain(source(cell))
            names = places.get((cell["cell_type"], content(cell)), [])
            if free := [name for name in names if name not in self.found]:
                self.name(cell, free[0])
            elif not self.by_id and (name := shipped.get(fingerprint(text))):
                self.name(cell, name)

    def by_anchor(self) -> None:
        """Task, check and help of an exercise, by what is in all versions of them."""
        belongs = ""
        for cell in self.cells:
            text, code = source(cell), cell["cell_type"] == "code"
            if any(cell is other for other in self.found.values()):
                belongs = cells.exercise(cell)
            elif not code and (match := _TASK.match(text)):
                belongs = match[1]
                self.name(cell, generated_id(belongs, "task"))
            elif code and (match := _CHECK.search(text)) and not _defines(text, match[2]):
                belongs = match[1]
                self.name(cell, generated_id(belongs, "check"))
            elif not code and belongs and text.startswith("<details>"):
                self.name(cell, generated_id(belongs, "help"))

    def stubs(self) -> None:
        """The cells with the answers: behind the task, before the check, and defining the name."""
        names: dict[str, str] = {}
        code = [c for c in [*self.known.values(), *self.cells] if c["cell_type"] == "code"]
        for cell in sorted(code, key=lambda cell: cells.role(cell) != "check"):
            for match in _CHECK.finditer(source(cell)):
                names.setdefault(match[1], match[2])
        for exercise, name in names.items():
            if generated_id(exercise, "stub") in self.found:
                continue
            code = [c for c in self.open() if c["cell_type"] == "code"]
            near = [c for c in code if c in self.within(exercise)]
            chosen = [c for c in near + code if _defines(source(c), name)]
            if not chosen and not self.by_id and len(near) == 1:
                chosen = near
            if chosen:
                self.name(chosen[0], generated_id(exercise, "stub"))

    def within(self, exercise: str) -> list[dict]:
        first, last = (self.found.get(generated_id(exercise, r)) for r in ("task", "check"))
        if first is None:
            return []
        start = next(n for n, cell in enumerate(self.cells) if cell is first) + 1
        if last is None:  # merged into the answer
            last = next((c for c in self.cells[start:] if cells.role(c) == "task"), None)
        ends = [n for n, cell in enumerate(self.cells) if cell is last and n >= start]
        return self.cells[start : ends[0] if ends else start]

    def edited(self) -> None:
        """Cells of the course that somebody has edited."""
        for cell in list(self.open()):
            free = [
                name
                for name, other in self.known.items()
                if name not in self.found and other["cell_type"] == cell["cell_type"]
            ]
            text = plain(source(cell))
            likeness, name = max(((alike(self.texts[n], text), n) for n in free), default=(0, ""))
            if likeness:
                self.name(cell, name)


def alike(one: str, other: str) -> float:
    """How much of two texts is the same, up to 1; 0 where it is too little for one cell, edited."""
    if other.startswith(one.strip()):
        return 1.0
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < _ALIKE or matcher.quick_ratio() < _ALIKE:
        return 0.0
    ratio = matcher.ratio()
    return ratio if ratio >= _ALIKE else 0.0


def _defines(text: str, name: str) -> bool:
    """Whether code gives this name a value: a function, a class or a variable."""
    text = re.sub(rf"^{name} = use\(.*$", "", text, flags=re.MULTILINE)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # half written, or with a line for the shell
        made = rf"^(?:async def|def|class) {name}\b"
        assigned = rf"^(?:[^\s=#][^=#\n]*[ ,(\[])?{name}\b(?:[ ,)\]][^=#\n]*|:[^=#\n]*)?=(?!=)"
        return bool(re.search(f"{made}|{assigned}", text, re.MULTILINE))
    return name in _bound(tree)


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that code binds, without those that are local to its functions and classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield child.name
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif not isinstance(child, ast.Lambda):
            yield from _bound(child)
