"""For authors: write, run, store and check the notebooks of the course.

    python -m tools.authoring run [04_nin …]        refresh, format, lint, execute, store
    python -m tools.authoring refresh [04_nin …]    only the generated cells, nothing is executed
    python -m tools.authoring check [04_nin …]      what is wrong with the stored notebooks
    python -m tools.authoring address OWNER/NAME    the repository's address, wherever it stands

Generated are the header (title, links), the two cells that start a chapter, and the four
cells of every exercise. They are recognised by their metadata (`role`, and `exercise` with its
id), so their text is kept in one place only: here and in `exercises`. A Markdown cell
`<!-- exercise: nin.2 -->` becomes the four cells of that exercise.

A chapter can be written as a plain Python list and stored with a few lines:

    from tools import authoring
    from tools.authoring import code, exercise, markdown

    nb = authoring.notebook(
        [
            markdown("What is the question of this chapter?"),
            code("from utils import data, training"),
            code("training.fit(…)", tags=["nbval-ignore-output"]),
            exercise("nin.1"),
        ],
        title="Network in network", minutes=60, needs=["01_lenet"],
    )
    authoring.save(nb, "04_nin")  # then: python -m tools.authoring run 04_nin
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from exercises import engine
from tools import update

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "chapters"

LARGEST_FILE = 1_000_000  # bytes; GitHub and Colab render larger notebooks slowly or not at all
LONGEST_CELL = 50  # lines of code: about a screen

METADATA = {
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "provenance": [], "toc_visible": True},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}

BOOTSTRAP = """\
# Finds the course; fetches it if this notebook was opened alone (Colab, Kaggle).
import os
import shutil
import subprocess
import sys
from pathlib import Path

here = Path.cwd()
places = [here, *here.parents, here / "one-by-one"]
root = next((place for place in places if (place / "exercises" / "engine.py").exists()), None)
if root is None:
    root, address = here / "one-by-one", "https://github.com/{repository}"
    git = ["git", "clone", "--depth", "1", address, str(root)]
    if shutil.which("git") is None or subprocess.run(git).returncode:
        raise RuntimeError(
            f"{{address}} could not be fetched with git (on Kaggle: Settings, Internet on). "
            "Or unpack its ZIP file and open this notebook in there."
        )
os.chdir(root / "chapters")
sys.path.insert(0, str(root))
import course

course.complete_host()
"""

DEVICE = """\
from exercises.engine import check, hint, solution, use
from utils import budget, device

print(f"{device.describe()}, budget {budget.current()}")
"""


class AuthoringError(Exception):
    """A notebook cannot be run or stored as it is."""


# --- cells and notebooks -------------------------------------------------------------------------


def markdown(text: str) -> NotebookNode:
    """A Markdown cell."""
    return nbformat.v4.new_markdown_cell(text.strip("\n"))


def code(source: str, tags: Sequence[str] = ()) -> NotebookNode:
    """A code cell. The tag `nbval-ignore-output` belongs on cells whose output may differ."""
    metadata = {"tags": list(tags)} if tags else {}
    return nbformat.v4.new_code_cell(source.strip("\n"), metadata=metadata)


def exercise(id: str) -> NotebookNode:
    """The place of an exercise; `refresh` puts its four cells there."""
    return markdown(f"<!-- exercise: {id} -->")


def notebook(
    cells: Sequence[NotebookNode], *, title: str, minutes: int, needs: Sequence[str] = ()
) -> NotebookNode:
    """A notebook of these cells, with ids that depend on the cells' text alone.

    needs: what the reader should know, each either a chapter such as "01_lenet" or plain words.
    """
    seen: dict[str, int] = {}
    for cell in cells:
        name = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
    nb = nbformat.v4.new_notebook(cells=list(cells), metadata=copy.deepcopy(METADATA))
    nb.metadata["course"] = {"title": title, "minutes": minutes, "needs": list(needs)}
    return nb


def stems() -> list[str]:
    """The chapters in their order: `["00_start_here", "01_lenet", …]`."""
    return sorted(path.stem for path in CHAPTERS.glob("[0-9][0-9]_*.ipynb"))


def path_of(stem: str) -> Path:
    """The file of a chapter."""
    return CHAPTERS / f"{stem}.ipynb"


def load(stem: str) -> NotebookNode:
    """A chapter as it lies in the working tree."""
    if not path_of(stem).is_file():
        raise AuthoringError(f"There is no chapter {stem}; there are {', '.join(stems())}.")
    return nbformat.read(path_of(stem), as_version=4)


def authors_clone() -> bool:
    """Whether this clone is an author's: `course.py setup --authors` says so in git's settings."""
    command = ["git", "config", "--local", "--get", "course.authors"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True).stdout.strip() == b"true"
    except OSError:  # no git
        return False


def learners_work(nb: NotebookNode) -> list[str]:
    """What shows that somebody learns with this notebook; nothing where it is as it is stored.

    A cell of the course whose text differs shows nothing: an author may have edited the file.
    """
    listed = nb.metadata.get("course", {}).get("cells", {})
    found = [
        f"an answer to {cell.metadata['exercise']}"
        for cell in nb.cells
        if cell.metadata.get("role") == "stub"
        and update.fingerprint(cell.source) != listed.get(cell.get("id"))
    ]
    found += [f"a new cell {c.get('id')}" for c in nb.cells if c.get("id") not in listed]
    if not _ran_once(nb):
        found.append("cells that were run anew")
    if {**nb.metadata, "course": 0} != {**METADATA, "course": 0}:
        found.append("the metadata of the program that saved it")
    return found


def save(nb: NotebookNode, stem: str) -> None:
    """Stores a chapter: the whole file or nothing."""
    CHAPTERS.mkdir(parents=True, exist_ok=True)
    update.write(path_of(stem), f"{nbformat.writes(nb, version=4)}\n".encode())


# --- generated cells -----------------------------------------------------------------------------


@cache
def repository() -> str:
    """OWNER/NAME on GitHub, from pyproject.toml."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["tool"]["course"]["repository"]


def spellings(repository: str) -> list[str]:
    """How the address stands in files: plain, in nbgitpuller's links, and as their folder."""
    _, name = repository.split("/")
    return [repository, f"%2F{quote(repository, safe='')}", f"%2Ftree%2F{name}"]


def address(new: str) -> list[str]:
    """Writes the repository's new address, OWNER/NAME, into every file; returns their names.

    Interrupted, it can be repeated: pyproject.toml, which says what to look for, comes last.
    """
    if not re.fullmatch(r"[a-z0-9-]*[a-z0-9]/[\w.-]*\w", new, re.ASCII | re.IGNORECASE):
        raise AuthoringError(f"A repository on GitHub is OWNER/NAME, not {new}.")
    changed = []
    for name, text in sorted(texts().items(), key=lambda item: item[0] == "pyproject.toml"):
        after = text
        for old_form, new_form in zip(spellings(repository()), spellings(new)):
            after = re.sub(rf"\b{re.escape(old_form)}\b", new_form, after)
        if after != text:
            if name.endswith(".ipynb"):
                after = _own_cells_renewed(text, after)
            update.write(ROOT / name, after.encode())
            changed.append(name)
    repository.cache_clear()
    return changed


def _own_cells_renewed(before: str, after: str) -> str:
    """A chapter's text whose list of its own cells, `course.cells`, is as true as it was before.

    Otherwise an update would take the cells with the new address for a learner's work.
    """
    notebooks = json.loads(before), json.loads(after)
    listed = notebooks[0]["metadata"].get("course", {}).get("cells", {})
    for old, new in zip(*(notebook["cells"] for notebook in notebooks), strict=True):
        was, now = (update.fingerprint(update.source(cell)) for cell in (old, new))
        if was != now and listed.get(old.get("id")) == was:
            after = after.replace(f'"{old["id"]}": "{was}"', f'"{old["id"]}": "{now}"')
    return after


def texts() -> dict[str, str]:
    """The text files of the clone, without what git ignores: path from its root, and content."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise AuthoringError(f"{ROOT} is no clone: this needs git.") from None
    found = {}
    for name in done.stdout.decode("utf-8").split("\0"):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:  # as git tells text from the rest
            found[name] = content.decode("utf-8")
    return found


def _about(stem: str) -> dict:
    return load(stem).metadata.get("course", {"title": stem, "minutes": 0, "needs": []})


def _link(stem: str) -> str:
    if not path_of(stem).is_file():
        return stem
    return f"[{int(stem[:2])} {_about(stem)['title']}]({stem}.ipynb)"


def header(stem: str, about: Mapping) -> str:
    """The first cell of a chapter: title, where to open it, what it needs, where it leads.

    Links, not the hosts' badges: a picture from another server would tell that server who reads.
    """
    colab, file = "https://colab.research.google.com", f"chapters/{stem}.ipynb"
    on_github = f"{repository()}/blob/main/{file}"
    kaggle = f"https://kaggle.com/kernels/welcome?src=https://github.com/{on_github}"
    binder = f"https://mybinder.org/v2/gh/{repository()}/main?urlpath=lab/tree/{file}"
    order = sorted({*stems(), stem})
    before, after = order[: order.index(stem)][-1:], order[order.index(stem) + 1 :][:1]
    known = [_link(need) if re.match(r"\d\d_", need) else need for need in about["needs"]]
    facts = [f"About {about['minutes']} minutes"]
    facts += [f"Needs: {', '.join(known)}"] if known else []
    facts += [f"Previous: {_link(before[0])}"] if before else []
    facts += [f"Next: {_link(after[0])}"] if after else []
    facts += ["Words: [English and 中文](../docs/glossary.md)"]
    return (
        f"# Chapter {int(stem[:2])}: {about['title']}\n\n"
        f"**[Open in Colab]({colab}/github/{on_github})** · [Kaggle]({kaggle}) · "
        f"[Binder]({binder})\n\n"
        f"{' · '.join(facts)}"
    )


def _generated(role: str, cell: NotebookNode, id: str = "") -> NotebookNode:
    cell.metadata = NotebookNode({"exercise": id, "role": role} if id else {"role": role})
    if cell.cell_type == "code":  # what they print depends on the machine and on the answer
        cell.metadata["tags"] = ["nbval-ignore-output"]
    cell.id = f"{id.replace('.', '-')}-{role}" if id else role
    return cell


def opening(stem: str, about: Mapping) -> list[NotebookNode]:
    """The header and the two code cells with which every chapter starts."""
    start = BOOTSTRAP.format(repository=repository()).rstrip()
    return [
        _generated("header", markdown(header(stem, about))),
        _generated("bootstrap", code(start)),
        _generated("device", code(DEVICE)),
    ]


def exercise_cells(id: str) -> list[NotebookNode]:
    """Task, stub, check and help of an exercise (task and help of an open question)."""
    item = engine.find(id)
    task = markdown(
        f"### Exercise {id}: {item.title}\n\n"
        f"*Difficulty {item.difficulty} of 3, about {item.minutes} minutes.*\n\n{item.task}"
    )
    folded = [(f"Hint {n}", text) for n, text in enumerate(item.hints, start=1)]
    if item.check:
        solved = f"```python\n{item.solution}\n```\n\n{item.explanation}"
        folded.append(("Solution", solved))
    else:
        folded.append(("What one can answer", item.explanation))
    help_text = "\n\n".join(
        f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>" for title, text in folded
    )
    cells = {"task": task}
    if item.check:
        name = item.answer
        cells["stub"] = code(item.stub)
        cells["check"] = code(f'check("{id}", {name})\n{name} = use("{id}", {name})')
    cells["help"] = markdown(help_text)
    return [_generated(role, cell, id) for role, cell in cells.items()]


def refresh(nb: NotebookNode, stem: str) -> NotebookNode:
    """The notebook with all generated cells as they should be, and normalised metadata.

    Outputs stay where a cell's source is unchanged.
    """
    nb = copy.deepcopy(nb)
    if "course" not in nb.metadata:
        raise AuthoringError(
            f'{stem}: metadata "course" with title, minutes and needs is missing; '
            "authoring.notebook(…) writes it."
        )
    cells, seen = opening(stem, nb.metadata["course"]), set()
    for cell in nb.cells:
        found = re.fullmatch(r"\s*<!-- exercise: (\S+) -->\s*", cell.source)
        id = found[1] if found else cell.metadata.get("exercise")
        if id is None and cell.metadata.get("role") not in ("header", "bootstrap", "device"):
            cells.append(cell)
        elif id is not None and id not in seen:
            seen.add(id)
            cells += exercise_cells(id)
    old = {cell.id: cell for cell in nb.cells if cell.cell_type == "code"}
    for cell in cells:
        before = old.get(cell.id)
        if cell.cell_type == "code" and before is not None and before.source == cell.source:
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
    nb.cells = cells
    return normalised(nb)


def edited_stubs(nb: NotebookNode) -> list[str]:
    """Exercises whose stub cell holds somebody's work: neither a stub of today nor one stored."""
    listed = nb.metadata.get("course", {}).get("cells", {})
    return [
        cell.metadata["exercise"]
        for cell in nb.cells
        if cell.metadata.get("role") == "stub"
        and cell.source != engine.find(cell.metadata["exercise"]).stub
        and update.fingerprint(cell.source) != listed.get(cell.id)
    ]


def unlike_declared(nb: NotebookNode, stem: str) -> list[str]:
    """A line for each exercise of the chapter that the notebook lacks, or has in vain."""
    declared = dict.fromkeys(e.id for e in engine.exercises() if e.chapter == stem)
    shown = dict.fromkeys(c.metadata["exercise"] for c in nb.cells if "exercise" in c.metadata)
    return [
        f"exercise {id} is declared and not shown: a Markdown cell has to hold "
        f"<!-- exercise: {id} --> and nothing else"
        for id in declared
        if id not in shown
    ] + [
        f"exercise {id} is shown and not declared for {stem}" for id in shown if id not in declared
    ]


def filled(nb: NotebookNode) -> NotebookNode:
    """The notebook with the solutions in place of the stubs."""
    nb = copy.deepcopy(nb)
    for cell in nb.cells:
        if cell.metadata.get("role") == "stub":
            cell.source = engine.find(cell.metadata["exercise"]).solution
    return nb


# --- formatting, running, normalising ------------------------------------------------------------


def _ruff(nb: NotebookNode, *arguments: str) -> tuple[int, str]:
    """Exit code and output of ruff on a notebook; code -1 where ruff is missing, which is said."""
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", "chapter.ipynb", "-"]
    text = nbformat.writes(nb, version=4).encode("utf-8")
    ruff = subprocess.run(command, input=text, capture_output=True, cwd=ROOT)
    message = ruff.stderr.decode("utf-8", "replace").strip()
    if "No module named ruff" in message:
        _say_once("ruff is not installed, so the code cells are neither formatted nor linted: run "
                  "`python3 course.py setup --authors`.")  # fmt: skip
        return -1, ""
    return ruff.returncode, ruff.stdout.decode("utf-8") or message


@cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def formatted(nb: NotebookNode) -> NotebookNode:
    """The notebook with its code as `ruff format` writes it (unchanged where ruff is missing)."""
    code, text = _ruff(nb, "format")
    if code > 0:
        raise AuthoringError(f"ruff cannot format the code cells: {text}")
    return nb if code < 0 else nbformat.reads(text, as_version=4)


def linted(nb: NotebookNode) -> list[str]:
    """What `ruff check` finds in the code cells; nothing where ruff is missing."""
    code, text = _ruff(nb, "check", "--quiet", "--output-format", "concise")
    return [line.removeprefix("chapter.ipynb:") for line in text.splitlines()] if code > 0 else []


def kernel_environment(**variables: str) -> dict[str, str]:
    """The environment of a notebook's kernel: the course found first, figures shown inline."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MPLBACKEND", "COURSE_SCOREBOARD", "COURSE_UNDER_PYTEST")
    }
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), **variables}


@contextmanager
def kernel(*, budget: str = "cpu", **variables: str) -> Iterator[AsyncKernelManager]:
    """A fresh kernel in the chapters' folder. variables: more of its environment."""
    CHAPTERS.mkdir(parents=True, exist_ok=True)
    fixed = {"COURSE_BUDGET": budget, "COURSE_STILL": "1", "COURSE_PROGRESS": "0"}
    manager = AsyncKernelManager(kernel_name="python3")
    environment = kernel_environment(**{**fixed, **variables})
    run_sync(manager.start_kernel)(env=environment, cwd=str(CHAPTERS))
    try:
        yield manager
    finally:
        run_sync(manager.shutdown_kernel)(now=True)


def execute_in(kernel: AsyncKernelManager, nb: NotebookNode, timeout: int = 900) -> NotebookNode:
    """The notebook after a run in this kernel. timeout: seconds for one cell.

    Raises:
        AuthoringError: a cell failed; the message is the cell and its error.
    """
    nb = copy.deepcopy(nb)
    options = {"timeout": timeout, "record_timing": False, "store_widget_state": False}
    client = NotebookClient(nb, km=kernel, **options)
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        raise AuthoringError(text) from None
    finally:
        if client.kc:
            client.kc.stop_channels()
    return nb


def execute(
    nb: NotebookNode, *, budget: str = "cpu", timeout: int = 900, **variables: str
) -> NotebookNode:
    """The notebook after a run in a fresh kernel: `execute_in` with `kernel`."""
    with kernel(budget=budget, **variables) as manager:
        return execute_in(manager, nb, timeout)


def normalised(nb: NotebookNode) -> NotebookNode:
    """The notebook without what depends on the machine and on the program that stored it."""
    nb = copy.deepcopy(nb)
    about = nb.metadata.get("course")
    nb.metadata = nbformat.from_dict(copy.deepcopy(METADATA))
    if about:
        cells = update.cells_of_course(nb)  # tells later what a learner has changed
        nb.metadata["course"] = NotebookNode({**about, "cells": NotebookNode(cells)})
    nb.nbformat, nb.nbformat_minor = 4, 5
    for cell in nb.cells:
        kept = ("exercise", "jupyter", "role", "tags")
        cell.metadata = NotebookNode({k: cell.metadata[k] for k in kept if k in cell.metadata})
        if cell.cell_type == "code":
            # A widget, such as a progress bar, is nothing without its kernel.
            kinds = [" ".join(output.get("data", {})) for output in cell.outputs]
            cell.outputs = _merged([o for o, k in zip(cell.outputs, kinds) if "widget" not in k])
    return nb


def _merged(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Printed pieces that follow each other in one: how they were cut is chance."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" == last.get("output_type") and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


# --- checking ------------------------------------------------------------------------------------

_MACHINE = re.compile(r"/home/|/Users/|/root/|[A-Z]:\\Users|ipykernel_\d+|site-packages")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")


def problems(nb: NotebookNode, stem: str) -> list[str]:
    """What is wrong with a stored chapter, one sentence each; empty if it is as it should be."""
    found = []
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        found.append(f"not a valid notebook: {str(error).splitlines()[0]}")
    size = len(nbformat.writes(nb, version=4).encode("utf-8"))
    if size > LARGEST_FILE:
        found.append(f"{size:,} bytes; at most {LARGEST_FILE:,} are good to open")

    fresh = refresh(nb, stem)
    listed = nb.metadata.get("course", {}).get("cells", {})
    now = update.cells_of_course(nb)
    found += [
        f"cell {id}: not as it was stored: `python3 course.py run {stem}` stores it"
        for id in {**listed, **now}
        if listed.get(id) != now.get(id)
    ]
    fresh.metadata["course"]["cells"] = listed
    if {**nb.metadata} != {**fresh.metadata} or nb.nbformat_minor != 5:
        found.append("the notebook's metadata are not normalised")
    if [cell.get("id") for cell in nb.cells] != [cell.id for cell in fresh.cells]:
        found.append("the header, the first two code cells or the cells of an exercise are missing")
    for cell, wanted in zip(nb.cells, fresh.cells):
        if cell.get("id") == wanted.id and cell.source != wanted.source:
            found.append(f"cell {cell.id}: not as it is generated")
        if cell.get("id") == wanted.id and cell.metadata != wanted.metadata:
            found.append(f"cell {cell.id}: its metadata are not normalised")

    found += unlike_declared(nb, stem)

    if not _ran_once(nb):
        found.append("the cells were not run once, from top to bottom: counts are not 1 to n")
    for cell in _code_cells(nb):
        found += [f"cell {cell.get('id')}: {text}" for text in _cell_problems(cell)]
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", _prose(nb)):
        if not (CHAPTERS / target).exists():
            found.append(f"link to {target}, which does not exist")
    return found


def _code_cells(nb: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def _ran_once(nb: NotebookNode) -> bool:
    counts = [cell.execution_count for cell in _code_cells(nb)]
    return counts == list(range(1, len(counts) + 1))


def _prose(nb: NotebookNode) -> str:
    return "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")


def _cell_problems(cell: NotebookNode) -> list[str]:
    found = []
    compared = not {"nbval-ignore-output", "nbval-skip"} & set(cell.metadata.get("tags", []))
    lines = cell.source.rstrip().splitlines()
    if len(lines) > LONGEST_CELL:
        found.append(f"{len(lines)} lines; at most {LONGEST_CELL} fit on a screen")
    if compared and lines and lines[-1].rstrip().endswith(";"):
        found.append("ends with a semicolon, which nbval does not understand; assign or plt.show()")
    for output in cell.outputs:
        text = output.get("text", "") + "".join(
            value for kind, value in output.get("data", {}).items() if kind.startswith("text/")
        )
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get(
            "tags", []
        ):
            found.append(f"a stored error: {output.ename}: {output.evalue}")
        if output.get("name") == "stderr":
            found.append(f"a stored warning or message on stderr: {output.text.strip()[:200]}")
        if "image/svg+xml" in output.get("data", {}):
            found.append("an SVG image, which nbval compares byte by byte; show PNG")
        if any("widget" in kind for kind in output.get("data", {})):
            found.append("a stored widget, which shows nothing without its kernel")
        if "\r" in text:
            found.append("traces of a progress bar")
        if match := _MACHINE.search(text):
            found.append(f"an output that names this machine's folders ({match[0]})")
        if compared and _ADDRESS.search(text):
            found.append("an output with an object's address, which changes with every run")
    return found


def unformatted(nb: NotebookNode) -> list[str]:
    """Ids of the code cells that `ruff format` would change."""
    after = formatted(nb)
    return [a.id for a, b in zip(nb.cells, after.cells) if a.source != b.source]


# --- commands ------------------------------------------------------------------------------------


def run(stem: str, overwrite: bool = False) -> None:
    """Refreshes, formats, lints, executes at budget cpu and stores one chapter, or does nothing."""
    nb = load(stem)
    _protect(nb, stem, overwrite)
    nb = formatted(refresh(nb, stem))
    if found := unlike_declared(nb, stem) + linted(nb):
        raise AuthoringError(f"{stem} is not run:\n  " + "\n  ".join(found))
    nb = normalised(execute(nb, budget="cpu"))
    if found := problems(nb, stem):
        raise AuthoringError(f"{stem} is not stored:\n  " + "\n  ".join(found))
    save(nb, stem)


def _protect(nb: NotebookNode, stem: str, overwrite: bool) -> None:
    edited = edited_stubs(nb)
    if edited and not overwrite:
        raise AuthoringError(
            f"{path_of(stem).name} holds answers to {', '.join(edited)}, which the stubs would "
            "replace. Keep a copy of it, then say --overwrite."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tools.authoring", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["run", "refresh", "check", "address"])
    parser.add_argument("stems", nargs="*", metavar="chapter", help="such as 04_nin; default: all")
    parser.add_argument("--overwrite", action="store_true", help="replace answers by stubs")
    options = parser.parse_args(arguments)
    if options.command == "address":
        return _address(options.stems)
    failed = 0
    for stem in [Path(name).stem for name in options.stems] or stems():
        try:
            if options.command == "run":
                run(stem, options.overwrite)
            elif options.command == "refresh":
                nb = load(stem)
                _protect(nb, stem, options.overwrite)
                save(normalised(formatted(refresh(nb, stem))), stem)
            else:
                nb = load(stem)
                found = problems(nb, stem)
                found += [f"cell {id}: not formatted" for id in unformatted(nb)] + linted(nb)
                if found:
                    raise AuthoringError(f"{stem}:\n  " + "\n  ".join(found))
            print(f"{stem}: ok", flush=True)
        except (AuthoringError, update.UpdateError, engine.UnknownExercise) as error:
            failed += 1
            print(f"problem: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _address(given: Sequence[str]) -> int:
    try:
        if len(given) != 1:
            raise AuthoringError("Say one address, as OWNER/NAME.")
        print("\n".join(address(given[0])) or "Nothing had to be changed.")
    except (AuthoringError, update.UpdateError) as error:
        print(f"problem: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
