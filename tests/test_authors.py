"""What `course.py setup --authors` sets up: lint of notebooks, and diffs that one can read."""

import json
import shutil
import subprocess
import sys

import pytest

from tools import authoring, cells, environment
from tools.authoring import code, markdown


@pytest.fixture
def nb():
    own = [markdown("A question."), code("import os\n\nprint(1)")]
    return authoring.refresh(authoring.notebook(own, title="", minutes=1), "00_start_here")


def test_lint_finds_what_formatting_does_not(nb):
    pytest.importorskip("ruff", reason="course.py setup --authors brings it")
    assert authoring.linted(nb) == []  # an import that is not used is fine in a notebook
    nb.cells[-1].source = "print(unknown)"
    (found,) = authoring.linted(nb)
    assert "F821 Undefined name `unknown`" in found


def test_a_chapter_with_a_mistake_is_not_even_run(nb, tmp_path, monkeypatch, capsys):
    pytest.importorskip("ruff", reason="course.py setup --authors brings it")
    monkeypatch.setattr(authoring, "CHAPTERS", tmp_path)
    monkeypatch.setattr(authoring, "execute", lambda *a, **k: pytest.fail("it was run"))
    nb.cells[-1].source = "print(unknown)"
    authoring.save(nb, "00_start_here")
    assert authoring.main(["run", "00_start_here"]) == 1
    assert "00_start_here is not run:\n  " in capsys.readouterr().err


def test_without_ruff_that_is_said_once(nb, monkeypatch, capsys):
    monkeypatch.setattr(authoring.sys, "executable", sys.executable)
    answer = subprocess.CompletedProcess([], 1, b"", b"/usr/bin/python: No module named ruff\n")
    monkeypatch.setattr(authoring.subprocess, "run", lambda *a, **k: answer)
    authoring._say_once.cache_clear()
    assert authoring.formatted(nb) == nb
    assert authoring.linted(nb) == []
    assert capsys.readouterr().err.count("ruff is not installed") == 1


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository with one chapter, prepared as `course.py setup --authors` does, without pip."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in ("pyproject.toml", ".gitattributes"):
        shutil.copy(authoring.ROOT / name, tmp_path)
    (tmp_path / "chapters").mkdir()
    shutil.copy(authoring.path_of("04_nin"), tmp_path / "chapters")

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments],
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout

    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        git(*command)
    asked = []
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "pip_install", lambda python, *names: asked.append(names))
    environment.equip_authors(sys.executable)
    assert [name.partition("=")[0].strip(">") for name in asked[0]] == [
        "ruff",
        "nbdime",
        "nbgitpuller",
    ]
    return tmp_path, git


def test_git_diff_shows_cells_and_no_json(clone):
    pytest.importorskip("nbdime", reason="course.py setup --authors brings it")
    folder, git = clone
    path = folder / "chapters" / "04_nin.ipynb"
    nb = json.loads(path.read_text(encoding="utf-8"))
    for cell in nb["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = "AAAA" + output["data"]["image/png"]
    nb["cells"][5]["source"] = ["A new sentence.\n", *nb["cells"][5]["source"]]
    nb["metadata"]["course"]["cells"]["new"] = "12345678"
    path.write_bytes(cells.written(nb))
    shown = git("-c", "color.ui=false", "diff")
    assert "A new sentence." in shown
    assert "image/png" not in shown and "12345678" not in shown and '"source"' not in shown
    assert len(shown) < 5_000
    assert len(git("diff", "--no-ext-diff")) > 50_000
