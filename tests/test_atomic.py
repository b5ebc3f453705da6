"""A file is written whole or not at all, and nothing is left beside it."""

import os
import stat
import time
from pathlib import Path

import pytest

from utils import atomic

OLD = 700  # seconds; a leftover of that age belongs to no running process


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_writes_and_replaces(tmp_path):
    path = tmp_path / "file"
    for content in (b"first", bytearray(b"second"), memoryview(b"third"), b""):
        atomic.write(path, content)
        assert path.read_bytes() == bytes(content)
    atomic.write(str(path), b"a name is enough")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("part", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, part, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_):
        raise error

    monkeypatch.setattr(os, part, fail)
    with pytest.raises(type(error)):
        atomic.write(path, b"new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions_are_the_usual_ones_or_those_of_the_file_before(tmp_path):
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        atomic.write(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in (0o600, 0o755, 0o444):
            path.chmod(mode)
            atomic.write(path, b"newer")
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_leftovers_of_killed_processes_go_and_no_other_file(tmp_path):
    path, mark = tmp_path / "run.pt", "0123456789abcdef"
    leftover, running = f"run.pt.{mark}.tmp", "run.pt.fedcba9876543210.tmp"
    others = [f"run.pt.best.{mark}.tmp", f"other.pt.{mark}.tmp", f"runxpt.{mark}.tmp", "run.pt.tmp"]
    for name in (leftover, running, *others):
        (tmp_path / name).write_bytes(b"half of it")
        if name != running:  # another process writes it now
            os.utime(tmp_path / name, times=(time.time() - OLD,) * 2)
    atomic.write(path, b"whole")
    assert names(tmp_path) == sorted(["run.pt", running, *others])
    atomic.remove_leftovers(tmp_path / "no folder" / "run.pt")  # which is no error


def test_the_names_that_are_cleared_are_those_that_are_written(tmp_path, monkeypatch):
    """A process that is killed cannot clean up; the next write does."""

    def kill(temporary, _):
        os.utime(temporary, times=(time.time() - OLD,) * 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            atomic.write(tmp_path / "a [1].pt", b"half")
    assert len(names(tmp_path)) == 1
    atomic.write(tmp_path / "a [1].pt", b"whole")
    assert names(tmp_path) == ["a [1].pt"]


def test_a_refusal_that_passes_is_waited_for(monkeypatch):
    waits, refusals = [], [3]
    monkeypatch.setattr(time, "sleep", waits.append)

    def change(name):
        if refusals[0]:
            refusals[0] -= 1
            raise PermissionError(13, "in use", name)

    atomic.patiently(change, "file")
    assert waits == [0.1, 0.2, 0.4]
    refusals[0] = 100
    with pytest.raises(PermissionError):
        atomic.patiently(change, "file")
