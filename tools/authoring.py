"""For authors: write, run, store and check the notebooks of the course.

    python -m tools.authoring run [04_nin …]        refresh, format, lint, execute, store
    python -m tools.authoring refresh [04_nin …]    only the generated cells, nothing is executed
    python -m tools.authoring check [04_nin …]      what is wrong with the stored notebooks

Generated are the header (title, links), the two cells that start a chapter, the four cells of
every exercise (tools/generated_cells.py), and the questions in front of the sources
(docs/recall.toml). They are recognised by their metadata: `role`, and `exercise` with its id. A
Markdown cell `<!-- exercise: nin.2 -->` becomes the four cells of that exercise. `run` and
`refresh` also write the chapter's Chinese notebook.

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

import base64
import copy
import hashlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from PIL import Image

from exercises import texts
from tools import ROOT, CourseError, Parser, notebook_problems, recall, say, write
from tools.cells import as_shipped, fingerprint, fingerprints, recorded
from tools.clone import is_authors
from tools.generated_cells import code as code  # for chapters written as a Python list
from tools.generated_cells import exercise_cells, generated_cell, markdown, opening
from tools.translation import edition

CHAPTERS = ROOT / "chapters"

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

UNKNOWN = {"minutes": 0, "needs": []}  # of a chapter whose metadata were lost
DEEPER = "## Deeper: "  # begins the heading of a section that one can leave out
AFTER_SUMMARY = ("## Deeper: ", "## Sources")

# --- cells and notebooks -------------------------------------------------------------------------


def exercise(id: str) -> NotebookNode:
    """The place of an exercise; `refresh` puts its four cells there."""
    return markdown(f"<!-- exercise: {id} -->")


def notebook(
    cells: Sequence[NotebookNode],
    *,
    title: str,
    minutes: int,
    main_minutes: int | None = None,
    needs: Sequence[str] = (),
) -> NotebookNode:
    """A notebook of these cells, with ids that depend on the cells' text alone.

    minutes: what a reader needs for all of it, and main_minutes without the Deeper sections.
    needs: what the reader should know, each either a chapter such as "01_lenet" or plain words.
    """
    seen: dict[str, int] = {}
    for cell in cells:
        name = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
    nb = nbformat.v4.new_notebook(cells=list(cells), metadata=copy.deepcopy(METADATA))
    nb.metadata["course"] = {"title": title, "minutes": minutes, "needs": list(needs)}
    if main_minutes is not None:
        nb.metadata["course"]["main_minutes"] = main_minutes
    return nb


def stems() -> list[str]:
    """The chapters in their order: `["00_start_here", "01_lenet", …]`."""
    return sorted(path.stem for path in CHAPTERS.glob("[0-9][0-9]_*.ipynb"))


def path_of(stem: str) -> Path:
    """The file of a chapter."""
    return CHAPTERS / f"{stem}.ipynb"


def load(stem: str) -> NotebookNode:
    """A chapter as it is in the working tree."""
    if not path_of(stem).is_file():
        raise CourseError(f"There is no chapter {stem}; there are {', '.join(stems())}.")
    return nbformat.read(path_of(stem), as_version=4)


def about_chapters() -> dict[str, NotebookNode]:
    """What each chapter says about itself: `{"04_nin": {"title": …, "minutes": …, …}, …}`."""
    return {stem: load(stem).metadata.get("course", UNKNOWN | {"title": stem}) for stem in stems()}


def authors_clone() -> bool:
    """Whether this clone is an author's: `course.py setup --authors` makes it one."""
    return is_authors(ROOT)


def learners_work(nb: NotebookNode) -> list[str]:
    """What shows that somebody learns with this notebook; nothing where it is as it is stored.

    A cell of the course whose text differs shows nothing: an author may have edited the file.
    """
    listed = as_shipped(nb)
    work = [
        f"an answer to {cell.metadata['exercise']}"
        for cell in nb.cells
        if cell.metadata.get("role") == "stub"
        and fingerprint(cell.source) != listed.get(cell.get("id"))
    ]
    work += [f"a new cell {c.get('id')}" for c in nb.cells if c.get("id") not in listed]
    if not notebook_problems.ran_once(nb):
        work.append("cells that were run anew")
    if {**nb.metadata, "course": 0} != {**METADATA, "course": 0}:
        work.append("the metadata of the program that saved it")
    return work


def save(nb: NotebookNode, stem: str) -> None:
    """Stores a chapter: the whole file or nothing."""
    CHAPTERS.mkdir(parents=True, exist_ok=True)
    write(path_of(stem), f"{nbformat.writes(nb, version=4)}\n".encode())


def with_questions(cells: Sequence[NotebookNode], stem: str) -> list[NotebookNode]:
    """The cells with the chapter's questions where its main path ends."""
    cells = [cell for cell in cells if cell.metadata.get("role") != "recall"]
    text = recall.cell(stem)
    places = (i for i, cell in enumerate(cells) if cell.source.startswith(AFTER_SUMMARY))
    place = next(places, len(cells))
    questions = [generated_cell("recall", markdown(text))] if text else []
    return [*cells[:place], *questions, *cells[place:]]


def refresh(nb: NotebookNode, stem: str) -> NotebookNode:
    """The notebook with all generated cells as they should be, and normalised metadata.

    Outputs stay where a cell's source is unchanged.
    """
    nb = copy.deepcopy(nb)
    if "course" not in nb.metadata:
        raise CourseError(
            f'{stem}: metadata "course" with title, minutes and needs is missing; '
            "authoring.notebook(…) writes it."
        )
    first, *start = opening(stem, {**about_chapters(), stem: nb.metadata["course"]})
    cells, seen = [], set()
    for cell in nb.cells:
        place = re.fullmatch(r"\s*<!-- exercise: (\S+) -->\s*", cell.source)
        id = place[1] if place else cell.metadata.get("exercise")
        if id is None and cell.metadata.get("role") not in ("header", "bootstrap", "device"):
            cells.append(cell)
        elif id is not None and id not in seen:
            seen.add(id)
            cells += exercise_cells(texts.find(id))
    question = [c for c in cells[:1] if c.cell_type == "markdown" and "exercise" not in c.metadata]
    cells = with_questions([first, *question, *start, *cells[len(question) :]], stem)
    old = {cell.id: cell for cell in nb.cells if cell.cell_type == "code"}
    for cell in cells:
        before = old.get(cell.id)
        if cell.cell_type == "code" and before is not None and before.source == cell.source:
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
    nb.cells = cells
    return normalised(nb)


def edited_stubs(nb: NotebookNode) -> list[str]:
    """Exercises whose stub cell holds somebody's work: neither a stub of today nor one stored."""
    listed = as_shipped(nb)
    return [
        cell.metadata["exercise"]
        for cell in nb.cells
        if cell.metadata.get("role") == "stub"
        and cell.source != texts.find(cell.metadata["exercise"]).stub
        and fingerprint(cell.source) != listed.get(cell.id)
    ]


def unlike_declared(nb: NotebookNode, stem: str) -> list[str]:
    """A line for each exercise of the chapter that the notebook lacks, or has in vain."""
    declared = dict.fromkeys(item.id for item in texts.chapters().get(stem, []))
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
            cell.source = texts.find(cell.metadata["exercise"]).solution
    return nb


# --- formatting, running, normalising ------------------------------------------------------------


def _ruff(nb: NotebookNode, *arguments: str) -> tuple[int, str]:
    """Exit code and output of ruff on a notebook; -1, and a message once, where ruff is missing."""
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
    status, text = _ruff(nb, "format")
    if status > 0:
        raise CourseError(f"ruff cannot format the code cells: {text}")
    return nb if status < 0 else nbformat.reads(text, as_version=4)


def linted(nb: NotebookNode) -> list[str]:
    """What `ruff check` finds in the code cells; nothing where ruff is missing."""
    status, text = _ruff(nb, "check", "--quiet", "--output-format", "concise")
    return [line.removeprefix("chapter.ipynb:") for line in text.splitlines()] if status > 0 else []


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
    fixed["OMP_WAIT_POLICY"] = "PASSIVE"  # beside other work several times as fast (conftest.py)
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
        CourseError: a cell failed; the message is the cell and its error.
    """
    nb = copy.deepcopy(nb)
    options = {"timeout": timeout, "record_timing": False, "store_widget_state": False}
    client = NotebookClient(nb, km=kernel, **options)
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        raise CourseError(text) from None
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
    nb.nbformat, nb.nbformat_minor = 4, 5
    for cell in nb.cells:
        kept = ("cellView", "exercise", "jupyter", "role", "tags")
        cell.metadata = NotebookNode({k: cell.metadata[k] for k in kept if k in cell.metadata})
        if cell.cell_type == "markdown" and cell.source.startswith(DEEPER):  # JupyterLab folds it
            cell.metadata["jp-MarkdownHeadingCollapsed"] = True
        if cell.cell_type == "code":
            # A widget, such as a progress bar, is nothing without its kernel.
            cell.outputs = [o for o in cell.outputs if "widget" not in " ".join(o.get("data", {}))]
            # How printed text was cut into pieces is chance.
            CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)
    if about:  # tells later what a learner has changed, and what the course's run put out
        course = {**about, "cells": fingerprints(nb), "outputs": recorded(nb)}
        nb.metadata["course"] = nbformat.from_dict(course)
    return nb


def lighter(nb: NotebookNode) -> NotebookNode:
    """The notebook with its pictures in at most 128 colours, where that makes them smaller.

    Images with noise in them are three times as large otherwise, and a page has many.
    """
    nb = copy.deepcopy(nb)
    for output in (o for cell in nb.cells if cell.cell_type == "code" for o in cell.outputs):
        if "image/png" not in output.get("data", {}):
            continue
        before = base64.b64decode(output.data["image/png"])
        picture = Image.open(io.BytesIO(before))
        if picture.mode == "P" or ("A" in picture.mode and picture.getextrema()[-1][0] < 255):
            continue  # done, or not opaque
        after = io.BytesIO()
        few = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        few.save(after, "PNG", optimize=True, dpi=picture.info.get("dpi", (72, 72)))
        if len(after.getvalue()) < len(before):
            output.data["image/png"] = base64.b64encode(after.getvalue()).decode()
    return nb


def problems(nb: NotebookNode, stem: str) -> list[str]:
    """What is wrong with a stored chapter, one sentence each; empty if it is as it should be."""
    return notebook_problems.find(nb, refresh(nb, stem), stem) + unlike_declared(nb, stem)


def unformatted(nb: NotebookNode) -> list[str]:
    """Ids of the code cells that `ruff format` would change."""
    after = formatted(nb)
    return [a.id for a, b in zip(nb.cells, after.cells) if a.source != b.source]


# --- commands ------------------------------------------------------------------------------------


def run(nb: NotebookNode, stem: str) -> NotebookNode:
    """A chapter linted, executed at budget cpu and normalised; CourseError if it has a problem."""
    if found := unlike_declared(nb, stem) + linted(nb):
        raise CourseError(f"{stem} is not run:\n  " + "\n  ".join(found))
    nb = normalised(lighter(execute(nb, budget="cpu")))
    if found := problems(nb, stem):
        raise CourseError(f"{stem} is not stored:\n  " + "\n  ".join(found))
    return nb


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = Parser("tools.authoring", __doc__)
    parser.add_argument("command", choices=["run", "refresh", "check"])
    parser.add_argument("stems", nargs="*", metavar="chapter", help="such as 04_nin; default: all")
    parser.add_argument("--overwrite", action="store_true", help="replace answers by stubs")
    options = parser.parse_args(arguments)
    failed = 0
    for stem in [Path(name).stem for name in options.stems] or stems():
        try:
            nb = load(stem)
            if options.command == "check":
                found = problems(nb, stem)
                found += [f"cell {id}: not formatted" for id in unformatted(nb)] + linted(nb)
                if found:
                    raise CourseError(f"{stem}:\n  " + "\n  ".join(found))
            else:
                if (edited := edited_stubs(nb)) and not options.overwrite:
                    raise CourseError(
                        f"{path_of(stem).name} holds answers to {', '.join(edited)}, which the "
                        "stubs would replace. Keep a copy of it, then say --overwrite."
                    )
                nb = formatted(refresh(nb, stem))
                save(normalised(nb) if options.command == "refresh" else run(nb, stem), stem)
                edition.renew([stem])
            say(f"{stem}: ok")
        except (CourseError, texts.UnknownExercise) as error:
            failed += 1
            print(f"problem: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
