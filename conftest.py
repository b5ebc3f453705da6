"""pytest for the course: the notebooks' kernels, the scoreboard of the exercises, the long tests.

pytest --nbval                         unit tests and every chapter
pytest --nbval --strict-exercises      exercises that are still open fail as well
pytest --nbval --exercise-report=FILE  the scoreboard as JSON too
COURSE_LONG=1 pytest --nbval           also the tests marked `long`
pytest tests --seed N                  unit tests with other random numbers
"""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from queue import Empty

import pytest

ROOT = Path(__file__).resolve().parent
BOARD = pytest.StashKey[Path]()

collect_ignore_glob = ["**/.ipynb_checkpoints/*"]

# Kernels inherit the environment. They must find `utils` even where a first cell failed.
os.environ["COURSE_UNDER_PYTEST"] = "1"
# Threads that wait for each other sleep instead of spinning: on a busy machine training in a
# notebook is then several times faster.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("COURSE_BUDGET", "cpu")
# On Windows what the tests start would otherwise write in the code page of the country.
os.environ.setdefault("PYTHONUTF8", "1")
_paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if str(ROOT) not in _paths:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, _paths)])
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


def pytest_addoption(parser):
    group = parser.getgroup("course", "exercises of the course")
    group.addoption(
        "--strict-exercises", action="store_true", help="exercises that are still open fail"
    )
    group.addoption(
        "--exercise-report", metavar="FILE", help="write which exercises are solved, as JSON"
    )
    group.addoption(
        "--seed", type=int, default=0, metavar="N", help="add N to every seed (not in notebooks)"
    )


def pytest_configure(config):
    # A shell lets what it starts in the background ignore Ctrl-C. Tests interrupt what they start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "long: takes minutes; runs where COURSE_LONG=1 is set")
    if config.getoption("--strict-exercises"):
        os.environ["COURSE_STRICT_EXERCISES"] = "1"
    if shift := config.getoption("--seed"):
        _move_seeds(shift)
    if not hasattr(config, "workerinput"):  # workers of pytest-xdist write to the same board
        handle, name = tempfile.mkstemp(prefix="course_scoreboard_", suffix=".jsonl")
        os.close(handle)
        os.environ["COURSE_SCOREBOARD_OF_NOTEBOOKS"] = name
        config.stash[BOARD] = Path(name)
    if config.pluginmanager.hasplugin("nbval"):
        _notice_dead_kernels()
        rules = config.getoption("nbval_sanitize_with")
        if rules and not Path(rules).exists():  # pytest was not started in the root folder
            config.option.nbval_sanitize_with = str(ROOT / rules)


def pytest_unconfigure(config):
    if board := config.stash.get(BOARD, None):
        board.unlink(missing_ok=True)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """A notebook that cannot be read is one failure; pytest itself would not begin the run."""
    files = yield
    if file_path.suffix != ".ipynb":
        return files
    return [_Unreadable.instead_of(file) for file in files]


class _Unreadable(pytest.File):
    """What stands for a file that is called a notebook and is none."""

    @classmethod
    def instead_of(cls, file):
        try:
            list(file.collect())
        except Exception as error:  # whatever nbformat and nbval make of it
            unreadable = cls.from_parent(file.parent, path=file.path)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            if b"<<<<<<< " in file.path.read_bytes():
                reason = "git has left the marks of a merge in it"
            elif "JSON" in reason:
                reason = "it is no JSON"
            unreadable.problem = (
                f"{file.path.name} is not a notebook that can be read ({reason[:100]}): put a copy "
                f"in its place, or the course's own with `git checkout -- chapters/"
                f"{file.path.name}`, which has none of your answers."
            )
            return unreadable
        return file

    def collect(self):
        yield _UnreadableItem.from_parent(self, name="readable")


class _UnreadableItem(pytest.Item):
    def runtest(self):
        pytest.fail(self.parent.problem, pytrace=False)

    def reportinfo(self):
        return self.path, 0, self.path.name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `-n`, a cell runs in the worker and kernel of the cells before it.

    Files of tests stay whole too, because of their fixtures; what has parameters is spread.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return nodeid if "[" in nodeid and file.endswith(".py") else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    if os.environ.get("COURSE_LONG") != "1":
        reason = "takes minutes: `course.py test --all` runs it (or COURSE_LONG=1)"
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Notebooks draw inline and count for the scoreboard; other tests do neither."""
    if item.path.suffix == ".ipynb":
        os.environ.pop("MPLBACKEND", None)
        os.environ["COURSE_SCOREBOARD"] = os.environ["COURSE_SCOREBOARD_OF_NOTEBOOKS"]
    else:
        os.environ["MPLBACKEND"] = "Agg"
        os.environ.pop("COURSE_SCOREBOARD", None)


def _move_seeds(shift):
    """Other random numbers for the unit tests: what passes with one seed only is no test.

    What keeps its numbers: NumPy's RandomState, with which `utils.data` picks the validation
    images once and for all, notebooks, and processes that a test starts.
    """
    import random

    import numpy as np
    import torch

    def moved(seed):
        return (seed + shift) % 2**32 if isinstance(seed, int) else seed

    class Random(random.Random):
        def seed(self, a=None, version=2):
            super().seed(moved(a), version)

    class Generator(torch.Generator):
        def manual_seed(self, seed):
            return super().manual_seed(moved(seed))

    def move(module, name):
        original = getattr(module, name)
        setattr(module, name, lambda seed=None: original(moved(seed)))

    random.Random, torch.Generator = Random, Generator
    for module, name in (
        (random, "seed"),
        (np.random, "seed"),
        (np.random, "default_rng"),
        (torch, "manual_seed"),
    ):
        move(module, name)


def _notice_dead_kernels():
    """nbval waits for a cell's answer until the cell's time is up, even if the kernel is gone."""
    from nbval.kernel import RunningKernel

    wait = RunningKernel.get_message

    def get_message(self, stream, timeout=None):
        end = time.monotonic() + (timeout or float("inf"))
        while True:
            try:
                return wait(self, stream, timeout=max(0.0, min(2.0, end - time.monotonic())))
            except Empty:
                if not self.is_alive():
                    raise RuntimeError(
                        "The notebook's kernel died in this cell. Most often the memory ran out: "
                        "close other programs, or set COURSE_BUDGET=smoke."
                    ) from None
                if time.monotonic() >= end:
                    raise

    if wait.__module__ == "nbval.kernel":  # not replaced yet
        RunningKernel.get_message = get_message


# --- the scoreboard ------------------------------------------------------------------------------


def _scores(board):
    """{chapter: {exercise: (outcome, message)}}; the last check of an exercise counts."""
    chapters = {}
    for line in board.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        exercises = chapters.setdefault(
            entry["chapter"], {id: ("open", "not reached") for id in entry["all"]}
        )
        exercises[entry["exercise"]] = (entry["outcome"], entry["message"])
    return dict(sorted(chapters.items()))


def pytest_terminal_summary(terminalreporter, config):
    board = config.stash.get(BOARD, None)
    scores = _scores(board) if board and board.exists() else {}
    if report := config.getoption("--exercise-report"):
        content = {
            chapter: {id: {"outcome": o, "message": m} for id, (o, m) in exercises.items()}
            for chapter, exercises in scores.items()
        }
        Path(report).write_text(
            json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    if not scores:
        return
    terminalreporter.section("exercises")
    width = max(map(len, scores)) + 2
    terminalreporter.write_line(f"{'':{width}}{'solved':>8}{'wrong':>8}{'open':>8}")
    total = {"right": 0, "wrong": 0, "open": 0}
    for chapter, exercises in [*scores.items(), ("all", None)]:
        if exercises is None:
            counts = total
        else:
            outcomes = [outcome for outcome, _ in exercises.values()]
            counts = {outcome: outcomes.count(outcome) for outcome in total}
            total = {outcome: total[outcome] + counts[outcome] for outcome in total}
        cells = "".join(f"{counts[outcome]:>8}" for outcome in total)
        terminalreporter.write_line(f"{chapter:{width}}{cells}")
    for exercises in scores.values():
        for id, (outcome, message) in exercises.items():
            if outcome == "wrong":
                terminalreporter.write_line(f"{id} is wrong: {message}")
