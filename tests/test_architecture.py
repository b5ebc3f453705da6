"""What may import what: nothing upward, no circle; imports in functions and by name count too."""

import ast
import fnmatch
import graphlib
import importlib.util

import pytest

from tools import ROOT
from utils.leftovers import matching

# A module may import modules of its own level and below. The longest name that fits counts.
LEVELS = {
    "utils": 0,  # its single modules, and utils.runs
    "utils.training": 1,
    "utils.networks": 2,
    "utils.topics": 2,
    "utils.pictures": 2,
    "exercises": 3,
    "tools": 4,
    "benchmarks": 5,
    "course": 5,
    "train": 5,
}
SHIM = "utils.exercises"  # for notebooks that learners already have; nothing else may import it


def level(module):
    while module not in LEVELS:
        module = module.rpartition(".")[0]
    return LEVELS[module]


def modules(root):
    """`{name: path}` of all Python of the course, without tests."""
    found = {}
    for path in [
        *root.glob("*.py"),
        *(p for top in LEVELS for p in matching(root, f"{top}/**/*.py")),
    ]:
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if name.split(".")[0] in LEVELS:
            found[name] = path
    return found


def asked_for(module, path):
    """The names that a file imports anywhere in it; those of an f-string have * for a field."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            function = getattr(node.func, "attr", getattr(node.func, "id", ""))
            parts = getattr(node.args[0], "values", [node.args[0]])
            if function in ("import_module", "__import__"):
                yield "".join(p.value if isinstance(p, ast.Constant) else "*" for p in parts)


def graph(root):
    """`{module: the modules of the course that it imports}`."""
    every = modules(root)
    edges = {}
    for module, path in every.items():
        targets = set()
        for name in asked_for(module, path):
            known = fnmatch.filter(every, name) or [name.rpartition(".")[0]]
            targets |= every.keys() & set(known)
        edges[module] = targets - {module}
    return edges


def problems(root):
    edges = graph(root)
    found = [
        f"{module} imports {target}, which is above it"
        for module, targets in edges.items()
        for target in sorted(targets)
        if target == SHIM or (level(target) > level(module) and module != SHIM)
    ]
    edges.pop(SHIM, None)
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        found.append(f"a circle: {' imports '.join(reversed(error.args[1]))}")
    return found


def test_nothing_imports_upward_or_in_a_circle():
    edges = graph(ROOT)
    assert len(edges) > 60 and edges["course"] and edges["utils.training"]
    assert problems(ROOT) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"utils/data.py": "from tools import update"}, "utils.data imports tools.update, which"),
        ({"utils/data.py": "import exercises.engine"}, "utils.data imports exercises.engine"),
        ({"exercises/engine.py": "def f():\n    import tools.update"}, "exercises.engine imports"),
        ({"tools/update.py": "if 1:\n    from course import main"}, "tools.update imports course"),
        ({"utils/data.py": "import_module('exercises.engine')"}, "utils.data imports exercises.en"),
        ({"utils/data.py": "__import__('train')"}, "utils.data imports train"),
        ({"utils/data.py": "m.import_module(f'exercises.{n}')"}, "utils.data imports exercises.en"),
        ({"utils/data.py": "from utils.training import fit"}, "utils.data imports utils.training"),
        ({"utils/training.py": "import utils.networks.nin"}, "utils.training imports utils.netw"),
        ({"utils/training.py": "from utils.topics import memory"}, "utils.training imports utils."),
        ({"utils/runs/team.py": "from utils import training"}, "utils.runs.team imports utils.tr"),
        ({"utils/runs/team.py": "from ..training import fit"}, "utils.runs.team imports utils.tr"),
        ({"tools/update.py": "from utils.exercises import check"}, "tools.update imports utils.ex"),
        (
            {
                "tools/update.py": "from tools import clone",
                "tools/clone.py": "def f():\n    from tools.update import BESIDE",
            },
            "a circle: ",
        ),
        (
            {
                "exercises/engine.py": "import_module(f'exercises.{group}.checks')",
                "exercises/nin/checks.py": "from exercises.engine import check",
            },
            "a circle: ",
        ),
    ],
)
def test_each_kind_of_violation_is_found(tmp_path, files, expected):
    good = {
        "course.py": "import tools.update",
        "train.py": "from utils import training",
        "utils/__init__.py": "",
        "utils/data.py": "import torch",
        "utils/runs/team.py": "from utils import data",
        "utils/training.py": "from utils.runs import team",
        "utils/topics/memory.py": "from utils import training",
        "utils/networks/nin.py": "from utils import training",
        "utils/exercises/__init__.py": "from exercises.engine import check",
        "exercises/engine.py": "from utils.data import load",
        "tools/update.py": "from exercises import engine",
    }

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")

    write(good)
    assert problems(tmp_path) == []
    write(files)
    found = problems(tmp_path)
    assert [line for line in found if line.startswith(expected)], found
