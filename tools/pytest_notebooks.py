"""pytest plugin: what nbval makes of notebooks, and the scoreboard of their exercises.

`conftest.py` loads it. nbval runs the cells and compares their outputs. Added here: a learner's run
is compared with the course's, not with what the learner's last run left in the file; a notebook
that cannot be read fails alone; a kernel that dies fails its cell at once; and what the checks of
the exercises say is collected from the kernels and shown at the end.
"""

import codecs
import json
import math
import tempfile
import time
from pathlib import Path
from queue import Empty

import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile

from exercises import texts
from tools import ROOT, cells
from tools.clone import is_authors, is_in_ci
from tools.update import FOLDERS

OUTCOMES = {"right": "solved", "wrong": "wrong", "open": "open"}  # and the columns' heads


def pytest_addoption(parser):
    group = parser.getgroup("course", "exercises of the course")
    group.addoption(
        "--strict-exercises", action="store_true", help="exercises that are still open fail"
    )
    group.addoption(
        "--exercise-report", metavar="FILE", help="write which exercises are solved, as JSON"
    )


# --- notebooks -----------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    files = yield
    if file_path.suffix != ".ipynb":
        return files
    return [Notebook.from_parent(parent, path=file_path) for _ in files]


class Notebook(IPyNbFile):
    """nbval's notebook, whose checks write their outcomes into the file `board`."""

    unreadable = ""

    def collect(self):
        try:
            found = list(super().collect())
            nobody_learns = is_in_ci(ROOT, self.path) or is_authors(ROOT)
            return found if nobody_learns else self.as_learners(found)
        except Exception as error:  # whatever nbformat and nbval make of the file
            self.unreadable = _why_unreadable(self.path, error)
            return [Unreadable.from_parent(self, name="readable")]

    def as_learners(self, found):
        """The cells of a learner's notebook: compared is what the course has a record of.

        That a cell has a record means that all code down to it is the course's own. A learner's
        code may change whatever follows it, so from there on cells have only to run.
        """
        record = self.nb.metadata.get("course", {}).get("outputs", {})
        theirs = []
        for item, (_, code) in zip(found, cells.runs(self.nb), strict=True):
            item.cell.setdefault("outputs", [])
            item.cell.execution_count = 0  # nbval neither compares nor accepts a cell without one
            about = {key: getattr(item, key) for key in ("name", "cell_num", "cell", "options")}
            about["options"]["check"] = code in record
            theirs.append(Cell.from_parent(self, record=record.get(code), **about))
        return theirs

    def setup(self):
        if self.unreadable:
            return
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.board, self.seen = Path(self.folder.name) / "board.jsonl", 0
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("MPLBACKEND", raising=False)  # figures are shown in the notebook
            environment.setenv("COURSE_SCOREBOARD", str(self.board))
            if self.config.option.strict_exercises:
                environment.setenv("COURSE_STRICT_EXERCISES", "1")
            self.kernel = Kernel(
                CURRENT_ENV_KERNEL_NAME,
                cwd=str(self.path.parent),
                startup_timeout=self.config.option.nbval_kernel_startup_timeout,
            )
        self.setup_sanitize_files()

    def teardown(self):
        if self.kernel and self.kernel.is_alive():
            self.kernel.stop()
        if not self.unreadable:
            self.folder.cleanup()

    def get_sanitize_files(self):
        return [cells.RULES]

    def checks(self):
        """What the checks said since this was asked last, one JSON text each."""
        lines = self.board.read_text(encoding="utf-8").splitlines() if self.board.exists() else []
        new, self.seen = lines[self.seen :], len(lines)
        return new


class Cell(IPyNbCell):
    """A cell of a learner's notebook. record: the fingerprint of the outputs of the course's run"""

    def __init__(self, record, **options):
        super().__init__(**options)
        self.record = record

    def compare_outputs(self, test, ref, skip_compare=None):
        if cells.outputs_fingerprint(test) == self.record:
            return True
        if cells.outputs_fingerprint(ref) == self.record:
            return super().compare_outputs(test, ref, skip_compare)  # says what differs
        printed = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in test]
        self.comparison_traceback = [
            "The course's own run of the same code gave another output than this one:",
            "".join(printed),
        ]
        return False


class Kernel(RunningKernel):
    """nbval waits for an answer until a cell's time is up; this only while the kernel lives."""

    def get_message(self, stream, timeout=None):
        end = time.monotonic() + (math.inf if timeout is None else timeout)
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                return super().get_message(stream, timeout=min(2.0, left))
            except Empty:
                if not self.is_alive():
                    raise RuntimeError(
                        "The notebook's kernel died in this cell. Most often the memory ran out: "
                        "close other programs, or set COURSE_BUDGET=smoke."
                    ) from None
                if not left:
                    raise


class Unreadable(pytest.Item):
    """The one failure of a file that is called a notebook and is none."""

    def runtest(self):
        pytest.fail(self.parent.unreadable, pytrace=False)

    def reportinfo(self):
        return self.path, 0, self.path.name


def _why_unreadable(path, error):
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if b"<<<<<<< " in path.read_bytes():
        reason = "git has left the marks of a merge in it"
    elif path.read_bytes().startswith(codecs.BOM_UTF8):
        reason = "a byte order mark is before its text: save it as UTF-8 without one"
    elif "JSON" in reason:
        reason = "it is not JSON"
    place = path.parent.name
    remedy = "delete it, or move it out of the course"
    if path.parent.parent == ROOT and place in FOLDERS and path.stem in texts.chapters():
        own = f"`git checkout -- {place}/{path.name}`"
        remedy = f"or the course's own with {own}, which has none of your answers"
    return (
        f"{path.name} is not a notebook that can be read ({reason[:100]}): put a copy in its "
        f"place, {remedy}."
    )


# --- the scoreboard ------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Put the outcomes of a cell's checks into its report, which also leaves a worker of xdist."""
    try:
        return (yield)
    finally:
        if isinstance(item.parent, Notebook) and not item.parent.unreadable:
            item.user_properties += [("check", text) for text in item.parent.checks()]


def _scores(terminalreporter):
    """`{chapter: {exercise: {"outcome": …, "message": …}}}`; an exercise's last check counts."""
    reports = [r for reports in terminalreporter.stats.values() for r in reports]
    calls = [r for r in reports if isinstance(r, pytest.TestReport) and r.when == "call"]
    calls.sort(key=lambda report: report.start)
    properties = [entry for report in calls for entry in report.user_properties]
    chapters = {}
    for entry in [json.loads(text) for name, text in properties if name == "check"]:
        unseen = {"outcome": "open", "message": "not reached"}
        exercises = chapters.setdefault(entry["chapter"], {id: unseen for id in entry["all"]})
        exercises[entry["exercise"]] = {key: entry[key] for key in unseen}
    return dict(sorted(chapters.items()))


def pytest_terminal_summary(terminalreporter, config):
    scores = _scores(terminalreporter)
    if file := config.getoption("--exercise-report"):
        text = json.dumps(scores, indent=1, ensure_ascii=False)
        Path(file).write_text(text + "\n", encoding="utf-8")
    if not scores:
        return
    terminalreporter.section("exercises")
    width = max(map(len, scores)) + 2
    line = "".join(f"{head:>8}" for head in OUTCOMES.values())
    terminalreporter.write_line(f"{'':{width}}{line}")
    every = [score for exercises in scores.values() for score in exercises.values()]
    for chapter, group in [*((c, e.values()) for c, e in scores.items()), ("all", every)]:
        outcomes = [score["outcome"] for score in group]
        line = "".join(f"{outcomes.count(outcome):>8}" for outcome in OUTCOMES)
        terminalreporter.write_line(f"{chapter:{width}}{line}")
    for exercises in scores.values():
        for id, score in exercises.items():
            if score["outcome"] == "wrong":
                terminalreporter.write_line(f"{id} is wrong: {score['message']}")
