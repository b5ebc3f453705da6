"""The stored notebooks, and what pytest --nbval makes of a learner's answers."""

import ast
import base64
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import stored
from IPython.core.formatters import PlainTextFormatter
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.shellapp import InteractiveShellApp
from matplotlib_inline.config import InlineBackend
from PIL import Image
from traitlets.config import Config, PyFileConfigLoader

import course
from exercises import texts
from tools import PERSONAL, authoring, environment
from tools.authoring import code, exercise, markdown
from tools.cells import recorded
from tools.clone import is_in_ci

STEM = "00_start_here"


# --- the chapters as they are stored -------------------------------------------------------------


@pytest.mark.parametrize("stem", stored.STEMS)
def test_stored_chapters_are_one_clean_run(stem):
    assert authoring.problems(stored.chapter(stem), stem) == []


@pytest.mark.parametrize("stem", stored.STEMS)
def test_stored_chapters_are_formatted(stem):
    pytest.importorskip("ruff", reason="ruff is not installed")
    assert authoring.unformatted(stored.chapter(stem)) == []


def set_by(tree):
    """The names that the statements of a cell set at its top level."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        else:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id


def helpers(id):
    """What a solution defines at its top level and uses inside a function or class."""
    tree = ast.parse(texts.find(id).solution)
    used = {
        node.id
        for block in tree.body
        if isinstance(block, ast.FunctionDef | ast.ClassDef)
        for node in ast.walk(block)
        if isinstance(node, ast.Name)
    }
    return used.intersection(set_by(tree)) - {texts.find(id).answer}


@pytest.mark.parametrize("stem", stored.STEMS)
def test_no_cell_takes_a_name_that_an_answer_is_likely_to_use(stem):
    """Or an exercise that was solved turns wrong when its check is run once more."""
    seen, taken = {}, []
    for cell in (cell for cell in stored.chapter(stem).cells if cell.cell_type == "code"):
        if cell.metadata.get("role") == "stub":
            id = cell.metadata["exercise"]
            seen |= dict.fromkeys(helpers(id), id)
        elif "exercise" not in cell.metadata:
            names = set_by(ast.parse(cell.source))
            taken += [f"{cell.id}: {name} of {seen[name]}" for name in names if name in seen]
    assert not taken


# --- what the checks of stored notebooks find ----------------------------------------------------


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


@pytest.fixture
def clean():
    """A small chapter that has no problem."""
    cells = [markdown("A question."), code("print(1)"), exercise("start.1"), exercise("start.2")]
    nb = authoring.notebook(cells, title="Small", minutes=3, needs=["01_lenet", "some Python"])
    nb = authoring.refresh(nb, STEM)
    for count, cell in enumerate((c for c in nb.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        cell.outputs = [stream("1\n")]
    return authoring.normalised(nb)


def own_cell(nb):
    return next(cell for cell in nb.cells if cell.source == "print(1)")


def cell_of(nb, role):
    return next(cell for cell in nb.cells if cell.metadata.get("role") == role)


def test_a_clean_chapter_has_no_problem(clean):
    assert authoring.problems(clean, STEM) == []
    assert authoring.unformatted(clean) == []


def set_count(nb):
    own_cell(nb).execution_count = 12


def set_output(output):
    return lambda nb: own_cell(nb).outputs.append(output)


def show(kind):
    return set_output(nbformat.v4.new_output("display_data", data={kind: "…"}))


def set_own(source):
    return lambda nb: own_cell(nb).update(source=source)


def set_source(role, source):
    return lambda nb: cell_of(nb, role).update(source=source)


def without(exercise):
    return lambda nb: nb.update(
        cells=[cell for cell in nb.cells if cell.metadata.get("exercise") != exercise]
    )


def link_elsewhere(nb):
    header = cell_of(nb, "header")
    header.source = header.source.replace(STEM, "01_lenet")


FAILED = nbformat.v4.new_output("error", ename="E", evalue="v", traceback=[])
NOT_NORMALISED = "the notebook's metadata are not normalised"
DAMAGE = {
    "counts": (set_count, "counts are not 1 to n"),
    "error": (set_output(FAILED), "a stored error: E: v"),
    "warning": (set_output(stream("UserWarning", "stderr")), "message on stderr: UserWarning"),
    "svg": (show("image/svg+xml"), "an SVG image"),
    "widget": (show("application/vnd.jupyter.widget-view+json"), "a stored widget"),
    "progress": (set_output(stream("10%\r20%")), "traces of a progress bar"),
    "machine": (set_output(stream("/home/somebody/data")), "this machine's folders"),
    "address": (set_output(stream("<object at 0x7f0011223344>")), "an object's address"),
    "size": (set_output(stream("x" * 1_000_000)), "at most 1,000,000"),
    "edited": (set_own("print(2)"), "not as it was stored"),
    "semicolon": (set_own("print(1);"), "ends with a semicolon"),
    "spaces": (set_own("print(1)  \nprint(2)"), "ends in spaces"),
    "long": (set_own("print(1)\n" * 51), "51 lines; at most 50"),
    "timing": (
        lambda nb: own_cell(nb).metadata.update(execution={"iopub.execute_input": "2026"}),
        "its metadata are not normalised",
    ),
    "kernel": (lambda nb: nb.metadata.kernelspec.update(name="my_env"), NOT_NORMALISED),
    "widget state": (lambda nb: nb.metadata.update(widgets={}), NOT_NORMALISED),
    "version": (lambda nb: nb.update(nbformat_minor=4), NOT_NORMALISED),
    "bootstrap": (set_source("bootstrap", "import os"), "cell bootstrap: not as it is generated"),
    "badge": (link_elsewhere, "cell header: not as it is generated"),
    "deleted": (lambda nb: nb.cells.remove(own_cell(nb)), "not as it was stored"),
    "no header": (lambda nb: nb.cells.pop(0), "the first two code cells"),
    "stub filled in": (set_source("stub", "batches_per_epoch = 3"), "cell start-1-stub: not as"),
    "other solution": (set_source("help", "See the book."), "cell start-1-help: not as"),
    "check missing": (lambda nb: nb.cells.remove(cell_of(nb, "check")), "cells of an exercise"),
    "exercise missing": (without("start.1"), "exercise start.1 is declared and not shown: a Mark"),
    "dead link": (lambda nb: nb.cells.append(markdown("[next](77_none.ipynb)")), "to 77_none.ipyn"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(clean, damage):
    change, message = DAMAGE[damage]
    change(clean)
    found = authoring.problems(clean, STEM)
    assert any(message in text for text in found), found


def test_ignored_cells_may_hold_addresses(clean):
    own_cell(clean).metadata["tags"] = ["nbval-ignore-output"]
    own_cell(clean).outputs.append(stream("<object at 0x7f0011223344>"))
    assert authoring.problems(authoring.normalised(clean), STEM) == []


# --- whose a change is ---------------------------------------------------------------------------

LEARNED = {
    "answer": set_source("stub", "batches_per_epoch = 3"),
    "added": lambda nb: nb.cells.append(markdown("A note.")),
    "run": set_count,
    "saved": lambda nb: nb.metadata.language_info.update(version="3.12.1"),
}


@pytest.mark.parametrize("work", LEARNED)
def test_a_learners_notebook_is_judged_in_an_authors_clone_only(clean, work, monkeypatch):
    LEARNED[work](clean)
    monkeypatch.setattr(authoring, "load", lambda stem: clean)
    monkeypatch.delenv("CI", raising=False)  # where every notebook is judged
    monkeypatch.setattr(authoring, "authors_clone", lambda: False)
    with pytest.raises(pytest.skip.Exception, match="a learner works in 00_start_here, for it"):
        stored.chapter(STEM)
    monkeypatch.setattr(authoring, "authors_clone", lambda: True)
    assert authoring.problems(stored.chapter(STEM), STEM) != []


def test_ci_on_a_learners_machine_is_no_ci(tmp_path, monkeypatch):
    """CI runs what was committed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(WHOLE, encoding="utf-8")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "a.ipynb"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setenv("CI", "true")
    assert is_in_ci(tmp_path, notebook)
    notebook.write_text(as_left(edited), encoding="utf-8")
    assert not is_in_ci(tmp_path, notebook)
    notebook.write_text(WHOLE, encoding="utf-8")
    monkeypatch.delenv("CI")
    assert not is_in_ci(tmp_path, notebook)


def test_an_authors_edit_is_judged_before_it_is_committed(clean, monkeypatch):
    cell = own_cell(clean)
    cell.source = "print(2)"
    monkeypatch.setattr(authoring, "load", lambda stem: clean)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(authoring, "authors_clone", lambda: False)
    problem = f"cell {cell.id}: not as it was stored: `python3 course.py run {STEM}`"
    assert f"{problem} stores it" in authoring.problems(stored.chapter(STEM), STEM)


def test_setup_for_authors_marks_the_clone(tmp_path, monkeypatch):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    shutil.copy(authoring.ROOT / "pyproject.toml", tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(authoring, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "pip_install", lambda *_: None)
    assert not authoring.authors_clone()
    environment.equip_authors(sys.executable)
    assert authoring.authors_clone()


# --- generated cells -----------------------------------------------------------------------------


def test_refresh_changes_nothing_the_second_time(clean):
    assert authoring.refresh(clean, STEM) == clean


def test_refresh_keeps_outputs_of_unchanged_cells_only(clean):
    cell_of(clean, "stub").source = "batches_per_epoch = 3"
    fresh = authoring.refresh(clean, STEM)
    assert cell_of(fresh, "stub").outputs == []
    assert cell_of(fresh, "check").outputs == [stream("1\n")]


def test_progress_bars_and_pieces_of_output_are_normalised(clean):
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "10%"}
    outputs = [nbformat.v4.new_output("display_data", data=widget), stream("a"), stream("b\n")]
    own_cell(clean).outputs = outputs
    assert own_cell(authoring.normalised(clean)).outputs == [stream("ab\n")]


def test_ids_depend_on_the_text_alone():
    def ids(*sources):
        nb = authoring.notebook([code(s) for s in sources], title="", minutes=1)
        return [cell.id for cell in nb.cells]

    assert ids("a", "b", "a") == [*ids("a", "b"), ids("a")[0] + "-2"]
    assert ids("c", "b")[1] == ids("b")[0]


def test_unknown_exercises_are_refused():
    nb = authoring.notebook([exercise("start.99")], title="", minutes=1)
    with pytest.raises(LookupError, match=r"There is no exercise 'start\.99'"):
        authoring.refresh(nb, STEM)


def test_answers_are_not_replaced_by_stubs(clean, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(authoring, "CHAPTERS", tmp_path)
    worked = authoring.refresh(clean, STEM)
    cell_of(worked, "stub").source = "batches_per_epoch = 3"
    authoring.save(worked, STEM)
    before = authoring.path_of(STEM).read_bytes()
    for command in ("run", "refresh"):
        assert authoring.main([command, STEM]) == 1
        assert "holds answers to start.1" in capsys.readouterr().err
        assert authoring.path_of(STEM).read_bytes() == before
    assert authoring.main(["refresh", STEM, "--overwrite"]) == 0
    assert cell_of(authoring.load(STEM), "stub").source == "batches_per_epoch = ..."
    assert [path.name for path in tmp_path.iterdir()] == [f"{STEM}.ipynb"]


def test_a_stub_that_its_author_changed_twice_is_no_answer(clean, tmp_path, monkeypatch):
    monkeypatch.setattr(authoring, "CHAPTERS", tmp_path)
    authoring.save(clean, STEM)
    find = authoring.texts.find
    for stub in ("batches = ...", "batches_of_an_epoch = ..."):
        item = dataclasses.replace(find("start.1"), stub=stub)
        other = {"start.1": item}
        monkeypatch.setattr(authoring.texts, "find", lambda id, o=other: o.get(id) or find(id))
        assert authoring.main(["refresh", STEM]) == 0
        assert cell_of(authoring.load(STEM), "stub").source == stub


def test_a_chapter_without_one_of_its_exercises_is_not_run(clean, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(authoring, "CHAPTERS", tmp_path)
    monkeypatch.setattr(authoring, "execute", lambda *_, **__: pytest.fail("it was run"))
    without("start.1")(clean)
    clean.cells.append(markdown("Now.\n\n<!-- exercise: start.1 -->"))
    authoring.save(clean, STEM)
    assert authoring.main(["run", STEM]) == 1
    assert "exercise start.1 is declared and not shown" in capsys.readouterr().err


def test_a_run_that_fails_stores_nothing(clean, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(authoring, "CHAPTERS", tmp_path)
    cell = own_cell(clean)
    cell.source, clean.cells = "1 / 0", [cell]
    monkeypatch.setattr(authoring, "refresh", lambda nb, stem: nb)
    monkeypatch.setattr(authoring, "unlike_declared", lambda nb, stem: [])
    authoring.save(clean, STEM)
    before = authoring.path_of(STEM).read_bytes()
    assert authoring.main(["run", STEM]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert authoring.path_of(STEM).read_bytes() == before


def test_unknown_chapters_are_named(capsys):
    assert authoring.main(["check", "77_none"]) == 1
    assert "There is no chapter 77_none" in capsys.readouterr().err


# --- pytest --nbval on a clone with a learner's answers ------------------------------------------

ENVIRONMENT = """
import os

print(os.environ["COURSE_BUDGET"], os.environ["MPLBACKEND"])
"""
TESTS = """
import random, signal, subprocess, sys

import numpy as np
import pytest
import torch
from seeds import moved


@pytest.mark.long
def test_long():
    raise AssertionError


def test_short():
    drawn = [random.random(), np.random.rand(), torch.rand(1).item(), moved(7)]
    print("drawn", drawn)


script = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"


def test_ctrl_c_reaches_what_a_test_starts():
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "True\\n"


@pytest.fixture(scope="module")
def dear():
    print("a dear fixture is made")


@pytest.mark.parametrize("number", range(6))
def test_of_a_dear_fixture(number, dear):
    pass
"""


def tiny(answer):
    """The cells and stored outputs of a chapter: an answer to the first exercise, an open one."""
    return [
        ("from exercises.engine import check, use", ""),
        (f"batches_per_epoch = {answer}", ""),
        (
            'check("start.1", batches_per_epoch)\n'
            'batches_per_epoch = use("start.1", batches_per_epoch)',
            "",
        ),
        ("print(batches_per_epoch + 1)", "431\n"),
        ('check("start.2", ...)', ""),
    ]


def as_file(cells, kernel="python3", **changes):
    """The text of a notebook of these sources, or pairs of a source and its stored output."""
    pairs = [cell if isinstance(cell, tuple) else (cell, "") for cell in cells]
    nb = authoring.notebook([code(source) for source, _ in pairs], title="", minutes=1)
    nb.metadata.kernelspec = {"name": kernel, "display_name": kernel}
    for count, (cell, (source, output)) in enumerate(zip(nb.cells, pairs), start=1):
        cell.execution_count = count
        cell.outputs = [stream(output)] if output else []
        if "check(" in source:
            cell.metadata["tags"] = ["nbval-ignore-output"]
    nb.metadata.course["outputs"] = recorded(nb)
    return json.dumps(nb | changes, indent=1)


# What a learner's program leaves of a chapter that was run. The course's run of it printed 1, 2, 3.

COURSE = [("a = 1\nprint(a)", "1\n"), ("print(a + 1)", "2\n"), ("print(a + 2)", "3\n")]
BAR = {
    "output_type": "display_data",
    "metadata": {},
    "data": {
        "application/vnd.jupyter.widget-view+json": {"model_id": "5a", "version_major": 2},
        "text/plain": "Output()",
    },
}
STATE = {"application/vnd.jupyter.widget-state+json": {"state": {"5a": {"state": {}}}}}


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": [text]}


def with_bar(nb):
    nb["metadata"]["widgets"] = STATE
    for cell in nb["cells"]:
        cell["outputs"].insert(0, BAR)


def at_another_budget(nb):
    for cell in nb["cells"]:
        cell["outputs"] = [printed("7\n")]


def cleared(nb, **count):
    for cell in nb["cells"]:
        cell.update(outputs=[], **count)


def without_counts(nb):
    for cell in nb["cells"]:
        cell["execution_count"] = None


def by_vs_code(nb):
    at_another_budget(nb)
    del nb["metadata"]["kernelspec"], nb["metadata"]["colab"]
    for cell in nb["cells"]:
        cell["metadata"]["vscode"] = {"languageId": "python"}
    nb["cells"].insert(1, {**nb["cells"][0], "id": "empty", "source": "", "outputs": []})


def by_colab(nb):
    at_another_budget(nb)
    with_bar(nb)
    nb["nbformat_minor"] = 0
    for cell in nb["cells"]:
        about = {"id": cell.pop("id"), "outputId": "8e1d", "colab": {"height": 35}}
        cell["metadata"].update(about, executionInfo={"status": "ok", "elapsed": 4})
        del cell["execution_count"]


def stripped(nb):
    at_another_budget(nb)
    nb.update(metadata={}, nbformat_minor=4)
    for cell in nb["cells"]:
        cell["metadata"] = {}
        del cell["id"]


def edited(nb):
    nb["cells"][0].update(source="a = 5\nprint(a)", outputs=[printed("5\n")])


def added(nb):
    nb["cells"].insert(1, {**nb["cells"][0], "id": "mine", "source": "a = 5", "outputs": []})


def as_left(change, cells=COURSE):
    nb = json.loads(as_file(cells))
    change(nb)
    return json.dumps(nb)


OTHERWISE = [COURSE[0], ("print(a + 1)", "99\n"), COURSE[2]]


def run_here(nb):
    nb["cells"][1]["outputs"] = [printed("2\n")]


WHOLE = as_file(["a = 1", "assert a == 1"])
BARE = '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"source": "1"}]}'
MERGED = WHOLE.replace('"a = 1"', '<<<<<<< HEAD\n"a = 1"\n=======\n"a = 2"\n>>>>>>> theirs')
ENDLESS = "while True:\n    print('and again ' * 100)"
DIED = "The notebook's kernel died in this cell."

# name: (the file, cells that fail, what is said)
NOTEBOOKS = {
    "wrong": (as_file(tiny(429)), ["Cell 2"], "start.1 is wrong: 429 is not right. 429 full batch"),
    "environment": (
        as_file([(ENVIRONMENT, "cpu module://matplotlib_inline.backend_inline\n")]), [], "",
    ),
    "dead": (as_file(["import os\n\nos._exit(1)"]), ["Cell 0"], DIED),
    "syntax": (as_file(["a = (1", "b = 2", "assert b == 2"]), ["Cell 0"], "SyntaxError"),
    "cut": (WHOLE[: len(WHOLE) // 2], ["readable"], "cut.ipynb is not a notebook that can be"),
    "empty": ("", ["readable"], "(it is not JSON): put a copy in its place, delete it, or move it"),
    "04_nin": (
        MERGED, ["readable"],
        "git has left the marks of a merge in it): put a copy in its place, or the course's own "
        "with `git checkout -- chapters/04_nin.ipynb`, which has none of your answers.",
    ),
    "marked": ("\ufeff" + WHOLE, ["readable"], "a byte order mark is before its text: save it as"),
    "mine/01_lenet": ("", ["readable"], "in its place, delete it, or move it out of the course."),
    "list": ("[1, 2]", ["readable"], "list.ipynb is not a notebook that can be read"),
    "future": (as_file(["f = 6"], nbformat=9), ["readable"], "future.ipynb is not a notebook"),
    "bare": (BARE, ["readable"], "bare.ipynb is not a notebook that can be read"),
    "bar": (as_left(with_bar), [], ""),
    "budget": (as_left(at_another_budget), [], ""),
    "cleared": (as_left(cleared), [], ""),
    "cleared_whole": (as_left(lambda nb: cleared(nb, execution_count=None)), [], ""),
    "uncounted": (as_left(without_counts), [], ""),
    "vscode": (as_left(by_vs_code), [], ""),
    "colab": (as_left(by_colab), [], ""),
    "stripped": (as_left(stripped), [], ""),
    "edited": (as_left(edited), [], ""),
    "added": (as_left(added), [], ""),
    "unlike": (as_file(OTHERWISE), ["Cell 1"], "assert reference_output == test_output failed"),
    "unlike_run": (as_left(run_here, OTHERWISE), ["Cell 1"], "The course's own run of the same"),
}  # fmt: skip
LEFT = ("._left", "~$left", ".hidden/left", "__MACOSX/left", "@eaDir/left", "lost+found/left")
SLOW_NOTEBOOKS = {
    "deleted": (as_file(["print(images.shape)", "c = 3"]), ["Cell 0"], "NameError"),
    "no_cells": (as_file([]), [], ""),
    "kernel": (as_file(["d = 4", "assert d == 4"], kernel="deleted_environment"), [], ""),
    "endless": (as_file([ENDLESS, "e = 5"]), ["Cell 0"], "Timeout of 20 seconds exceeded"),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the course without its chapters and data, and with tests of its own."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("conftest.py", "course.py", "pyproject.toml"):
        shutil.copy(authoring.ROOT / name, folder)
    for name in ("utils", "exercises", "tools"):
        shutil.copytree(authoring.ROOT / name, folder / name)
    for name in ("chapters", "tests"):
        (folder / name).mkdir()
    for name in ("nbval_sanitize.cfg", "seeds.py"):
        shutil.copy(authoring.ROOT / "tests" / name, folder / "tests")
    (folder / "tests" / "test_of_the_clone.py").write_text(TESTS, encoding="utf-8")
    return folder


def plain_environment():
    """As in a terminal where no test runs, and not in CI, where nobody learns."""
    tests = ("COURSE_", "PYTEST", "MATPLOTLIBRC")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(tests)}
    for name in ("PYTHONPATH", "MPLBACKEND", "CI"):
        environment.pop(name, None)
    return environment


def nbval(clone, notebooks, *arguments, place=".", **variables):
    """Runs pytest --nbval over `{name: text of the file}`, in the clone's folder `place`.

    It is started like a command in the background, which ignores Ctrl-C.
    """
    chapters = clone / "chapters"
    shutil.rmtree(chapters)
    for name, text in notebooks.items():
        path = chapters / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    environment = {**plain_environment(), **variables}
    command = [sys.executable, "-m", "pytest", "--nbval", "--color=no", "-q", "-rA", str(chapters)]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a new process inherits
    try:
        return subprocess.run(
            [*command, *arguments],
            cwd=clone / place,
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def wide_run(clone):
    """Two workers on all quick notebooks and the tests; its seconds, too."""
    begin = time.monotonic()
    files = {name: text for name, (text, _, _) in NOTEBOOKS.items()}
    files |= dict.fromkeys(LEFT, "no notebook")
    arguments = ["-n", "2", "--exercise-report=report.json", str(clone / "tests")]
    run = nbval(clone, files, *arguments)
    assert run.returncode == 1 and "Interrupted" not in run.stdout, run.stdout + run.stderr
    return run.stdout, time.monotonic() - begin


@pytest.fixture(scope="module")
def strict_run(clone):
    """A right answer and an open one, strictly, in another folder, with other random numbers.

    In CI, where every notebook is an author's.
    """
    arguments = ["--strict-exercises", "--seed=1", str(clone / "tests")]
    files = {"right": as_file(tiny(430)), "bar": NOTEBOOKS["bar"][0]}
    run = nbval(clone, files, *arguments, place="chapters", CI="1")
    assert run.returncode == 1, run.stdout + run.stderr
    return run.stdout


def outcomes(stdout, name):
    pattern = rf"^(\w+) \S*{name}(?:\.ipynb|\.py)::(Cell \d+|\w+)"
    return {item: outcome for outcome, item in re.findall(pattern, stdout, re.MULTILINE)}


def failed(stdout, name):
    return [item for item, outcome in outcomes(stdout, name).items() if outcome == "FAILED"]


def scoreboard(stdout):
    return [line.split() for line in stdout.partition(" exercises ===")[2].splitlines()]


def as_told(stdout, notebooks):
    for name, (_, cells, message) in notebooks.items():
        assert failed(stdout, name) == cells, stdout
        assert message in stdout, name


def test_notebooks_fail_where_they_are_broken_and_alone(wide_run):
    as_told(wide_run[0], NOTEBOOKS)


def test_what_systems_leave_beside_the_chapters_is_no_chapter(wide_run):
    assert "left.ipynb" not in wide_run[0]


def test_an_authors_run_is_compared_with_all_that_is_stored(strict_run):
    assert failed(strict_run, "bar") == ["Cell 0", "Cell 1", "Cell 2"]


@pytest.mark.long
def test_notebooks_with_stranger_faults_fail_alone(clone):
    files = {name: text for name, (text, _, _) in SLOW_NOTEBOOKS.items()}
    run = nbval(clone, files, "-n", "2", "--nbval-cell-timeout=20")
    as_told(run.stdout, SLOW_NOTEBOOKS)


def test_a_wrong_answer_is_told_and_counted(wide_run, clone):
    stdout, _ = wide_run
    assert outcomes(stdout, "wrong")["Cell 4"] == "PASSED"  # an open exercise
    assert 'File "' not in stdout and "engine.py" not in stdout
    assert ["00_start_here", "0", "1", "1"] in scoreboard(stdout)
    report = json.loads((clone / "report.json").read_text(encoding="utf-8"))
    found = {id: entry["outcome"] for id, entry in report["00_start_here"].items()}
    assert found == {"start.1": "wrong", "start.2": "open"}


def test_a_dead_kernel_is_noticed_at_once(wide_run):
    assert wide_run[1] < 300  # seconds; a cell may take 600


def test_open_answers_fail_where_the_tests_are_strict(strict_run):
    assert outcomes(strict_run, "right")["Cell 2"] == "PASSED"
    assert failed(strict_run, "right") == ["Cell 4"]
    assert "start.2 is open: not attempted yet." in strict_run
    assert ["00_start_here", "1", "0", "1"] in scoreboard(strict_run)


def test_long_tests_wait_to_be_asked_for(wide_run):
    assert "takes minutes: `course.py test --all` runs it" in wide_run[0]


def test_the_option_seed_moves_every_seed(wide_run, strict_run):
    drawn = [re.search(r"drawn (\[.*\])", stdout)[1] for stdout in (wide_run[0], strict_run)]
    assert all(one != other for one, other in zip(*map(json.loads, drawn), strict=True)), drawn


def test_what_a_file_shares_is_made_once_for_all_workers(wide_run):
    assert wide_run[0].count("a dear fixture is made") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that are ignored")
def test_a_run_in_the_background_does_not_ignore_ctrl_c(wide_run, strict_run):
    for stdout in (wide_run[0], strict_run):  # with workers and without
        found = outcomes(stdout, "test_of_the_clone")
        assert found["test_ctrl_c_reaches_what_a_test_starts"] == "PASSED"


# --- what somebody has set for their own work ----------------------------------------------------

PICTURE = """
import matplotlib.pyplot as plt

plt.plot([1, 2])
plt.show()
__debug__, plt.rcParams["lines.linewidth"]
"""
PROFILE = """
c.InlineBackend.figure_formats = {"svg"}
c.InteractiveShell.ast_node_interactivity = "all"
"""
PLUGIN = "[pytest11]\nhostile = hostile\n"


def result(text):
    return nbformat.v4.new_output("execute_result", data={"text/plain": text}, execution_count=1)


def figure():
    text = {"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": ""}
    return nbformat.v4.new_output("display_data", data=text)


def test_nobodys_settings_change_the_tests(clone, tmp_path):
    """Those of IPython, matplotlib, Python and pytest, and a home that cannot be written to."""
    nb = nbformat.reads(as_file([PICTURE, "1\n2"]), as_version=4)
    nb.cells[0].outputs = [figure(), result("(True, 1.5)")]
    nb.cells[1].outputs = [result("2")]
    nb.metadata.course["outputs"] = recorded(nb)
    chapters, profile = clone / "chapters", tmp_path / "ipython" / "profile_default"
    shutil.rmtree(chapters)
    installed = tmp_path / "site" / "hostile-1.dist-info"
    for folder in (chapters, profile / "startup", installed):
        folder.mkdir(parents=True)
    nbformat.write(nb, chapters / "set.ipynb")
    (profile / "ipython_config.py").write_text(PROFILE, "ascii")
    (profile / "startup" / "00.py").write_text("print('hello')\nplt = 1", "ascii")
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: hostile\nVersion: 1\n", "ascii"
    )
    (installed / "entry_points.txt").write_text(PLUGIN, "ascii")
    (tmp_path / "site" / "hostile.py").write_text("raise SystemExit('hostile')", "ascii")
    (tmp_path / "start.py").write_text("import matplotlib.pyplot\nplt = 1\nprint(1)", "ascii")
    (tmp_path / "home").write_text("a file, in which no folder can be made", "ascii")
    files = [folder / "matplotlibrc" for folder in (tmp_path, clone, chapters)]
    for file in files:
        file.write_text(
            "no.such.key: 1\nfigure.figsize: what\nbackend: svg\nlines.linewidth: 9\n", "ascii"
        )
    hostile = {
        "HOME": str(tmp_path / "home"),
        "USERPROFILE": str(tmp_path / "home"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MATPLOTLIBRC": str(tmp_path),
        "MPLBACKEND": "svg",
        "PYTEST_ADDOPTS": "--cov=src",
        "PYTEST_PLUGINS": "no_such_plugin",
        "PYTHONDEVMODE": "1",
        "PYTHONOPTIMIZE": "1",
        "PYTHONPATH": str(tmp_path / "site"),
        "PYTHONSTARTUP": str(tmp_path / "start.py"),
        "PYTHONWARNINGS": "error",
    }
    environment = {**plain_environment(), **hostile}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        environment.pop(name, None)
    # As `course.py test` does it, and as somebody does who types pytest; then what stops Python or
    # pytest before they have read a file of ours is not in the way.
    without = {k: v for k, v in environment.items() if k not in PERSONAL}
    own = {k: v for k, v in environment.items() if not k.startswith(("PYTEST", "PYTHONW"))}
    try:
        for chosen in (without, own):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "--nbval", "-n", "0", "-q", "-rA", "chapters"],
                cwd=clone,
                env=chosen,
                capture_output=True,
                encoding="utf-8",
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "2 passed" in done.stdout
    finally:
        for file in files[1:]:
            file.unlink()


def test_settings_for_all_users_give_way_to_ipythons_own():
    """Those are read before the profile of the tests, which holds what IPython does by itself."""
    shared = Config()
    shared.InteractiveShell.ast_node_interactivity = "all"
    shared.InlineBackend.figure_formats = {"svg"}
    profile = Path(os.environ["IPYTHONDIR"], "profile_default")
    given = PyFileConfigLoader("ipython_config.py", str(profile)).load_config()
    shared.merge(given)
    assert shared.InteractiveShell.ast_node_interactivity == "last_expr"
    kinds = (InlineBackend, InteractiveShell, InteractiveShellApp, PlainTextFormatter)
    known = {kind.__name__: kind.class_traits(config=True) for kind in kinds}
    for kind, options in given.items():
        for name, value in options.items():
            by_itself = known[kind][name].default() or (None if value is None else type(value)())
            assert value == by_itself, name
    assert set(given) == set(known)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no execve")
def test_the_command_takes_what_is_personal_away(monkeypatch):
    def start(_, command, environ):
        assert not set(PERSONAL) & environ.keys() and environ["COURSE_LANGUAGE"] == "zh"
        raise SystemExit("started")

    monkeypatch.setattr(course.environment, "prepare", lambda: sys.executable)
    monkeypatch.setattr(os, "execve", start)
    for name in PERSONAL:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("COURSE_LANGUAGE", "zh")
    with pytest.raises(SystemExit, match="started"):
        course.main(["test", "-n", "0"])


def test_pictures_are_stored_in_few_colours_and_look_the_same(clean):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 1), np.uint8).repeat(4, axis=2)
    noise[..., 3] = 255
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    own_cell(clean).outputs = [
        nbformat.v4.new_output(
            "display_data", {"image/png": base64.b64encode(file.getvalue()).decode()}
        )
    ]
    after = authoring.lighter(clean)
    stored = base64.b64decode(own_cell(after).outputs[0].data["image/png"])
    assert len(stored) < 0.8 * len(file.getvalue())
    picture = np.asarray(Image.open(io.BytesIO(stored)).convert("RGB")).astype(int)
    assert abs(picture - noise[..., :3]).max() < 16
    assert authoring.lighter(after) == after
