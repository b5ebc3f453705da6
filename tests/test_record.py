"""The record of solved exercises: kept by `check` in notebooks, shown by `course.py progress`."""

import json
import os
import subprocess
import sys
import time

import pytest

from exercises import engine, record
from tools import authoring
from tools.authoring import code


def test_outcomes_are_kept_and_forgotten(tmp_path):
    assert record.read(tmp_path) == {}
    for exercise, outcome in (("nin.1", "open"), ("nin.2", "wrong"), ("nin.1", "right")):
        assert record.record(exercise, outcome, tmp_path) == ""
    assert record.read(tmp_path) == {"nin.1": "right", "nin.2": "wrong"}
    record.forget(["nin.2", "nin.3"], tmp_path)
    assert record.read(tmp_path) == {"nin.1": "right"}
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"nin.1": "perhaps"}', b'{"nin.1": []}', b"\xff\xfe\x00"]
)
def test_a_damaged_file_counts_as_empty_and_is_kept_aside(tmp_path, content):
    (tmp_path / "progress.json").write_bytes(content)
    assert record.table(tmp_path)[0] == "progress.json cannot be read and counts as empty."
    said = record.record("nin.1", "right", tmp_path)
    assert said.startswith("progress.json could not be read and is now progress-damaged.json: ")
    assert (tmp_path / "progress-damaged.json").read_bytes() == content
    assert record.read(tmp_path) == {"nin.1": "right"}
    assert record.record("nin.2", "right", tmp_path) == ""


def test_where_nothing_can_be_written_nothing_is_said(tmp_path, monkeypatch):
    assert record.record("nin.1", "right", tmp_path / "nowhere") == ""
    record.record("nin.1", "right", tmp_path)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(record.json, "dump", full)
        assert record.record("nin.2", "right", tmp_path) == ""
    assert record.read(tmp_path) == {"nin.1": "right"}
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


@pytest.mark.parametrize("refused", ["replace", "unlink"])
def test_a_scanner_that_holds_a_file_for_a_moment(tmp_path, monkeypatch, refused):
    """What Windows does while another program has the file open."""
    real, refusals = getattr(os, refused), [2]

    def held(*arguments, **options):
        if refusals[0]:
            refusals[0] -= 1
            raise PermissionError(13, "Access is denied")
        return real(*arguments, **options)

    monkeypatch.setattr(os, refused, held)
    assert record.record("nin.1", "right", tmp_path) == ""
    assert refusals == [0] and record.read(tmp_path) == {"nin.1": "right"}
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be made read-only with chmod there")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_in_a_read_only_folder_nothing_is_said(tmp_path):
    tmp_path.chmod(0o555)
    begin = time.monotonic()
    assert record.record("nin.1", "right", tmp_path) == ""
    assert time.monotonic() - begin < record.PATIENCE
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_a_killed_notebook_is_overcome(tmp_path, monkeypatch):
    lock = tmp_path / "progress.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    record.record("nin.1", "right", tmp_path)
    assert record.read(tmp_path) == {"nin.1": "right"}
    assert not lock.exists()

    monkeypatch.setattr(record, "PATIENCE", 0.1)
    lock.touch()  # of a notebook that is at work: the record is left out, and its lock left alone
    assert record.record("nin.2", "right", tmp_path) == ""
    assert record.read(tmp_path) == {"nin.1": "right"}
    assert lock.exists()


WRITER = """
import sys
from pathlib import Path
from exercises import record

record.PATIENCE = 60
for number in range(25):
    assert record.record(f"{sys.argv[1]}.{number}", "right", Path(sys.argv[2])) == ""
"""


def test_notebooks_that_record_at_the_same_time_lose_nothing(tmp_path):
    command = [sys.executable, "-S", "-c", WRITER]
    names = ["one", "two", "three", "four"]
    writers = [
        subprocess.Popen([*command, name, str(tmp_path)], cwd=authoring.ROOT) for name in names
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
    assert len(record.read(tmp_path)) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_the_table_counts_every_exercise(tmp_path):
    (tmp_path / "exercises").mkdir()
    for name in ("start", "nin"):
        text = (authoring.ROOT / "exercises" / name / "exercises.md").read_text(encoding="utf-8")
        (tmp_path / "exercises" / name).mkdir()
        (tmp_path / "exercises" / name / "exercises.md").write_text(text, encoding="utf-8")
    for exercise, outcome in (("nin.1", "right"), ("nin.2", "wrong"), ("start.1", "open")):
        record.record(exercise, outcome, tmp_path)
    lines = [line.split() for line in record.table(tmp_path)]
    number = len(record.exercises(tmp_path)["04_nin"])
    assert lines == [
        ["right", "wrong", "open", "not", "tried"],
        ["00_start_here", "0", "0", "1", "1"],
        ["04_nin", "1", "1", "0", str(number - 2)],
        ["all", "1", "1", "1", str(number - 1)],
        ["Wrong:", "nin.2."],
    ]


CELL = """
from pathlib import Path
from exercises import record
from exercises.engine import check

keep = record.record
record.record = lambda id, outcome: keep(id, outcome, Path({folder!r}))
check("start.1", 430)
check("start.1", 1, example=True)
check("start.2", ...)
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"COURSE_PROGRESS": "1"}, {"start.1": "right", "start.2": "open"}),
        ({"COURSE_PROGRESS": "1", "COURSE_UNDER_PYTEST": "1"}, {}),
        ({}, {}),  # an author's run
    ],
    ids=["JupyterLab", "pytest", "course.py run"],
)
def test_check_records_in_a_learners_notebook_only(tmp_path, variables, expected):
    nb = authoring.notebook([code(CELL.format(folder=str(tmp_path)))], title="", minutes=1)
    authoring.execute(nb, budget="smoke", timeout=120, **variables)
    assert record.read(tmp_path) == expected


def test_outside_of_notebooks_nothing_is_recorded(monkeypatch):
    monkeypatch.delenv("COURSE_UNDER_PYTEST", raising=False)
    monkeypatch.setattr(record, "record", lambda *a: pytest.fail("recorded"))
    engine.check("start.1", 430)


def test_the_file_is_plain_json(tmp_path):
    record.record("nin.1", "right", tmp_path)
    text = (tmp_path / "progress.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"nin.1": "right"}
