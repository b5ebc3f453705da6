"""Marking a class: whose notebook is which, what has to be looked at, a class marked for real."""

import csv
import json
import subprocess
import sys
from dataclasses import replace

import nbformat
import pytest

from exercises import engine, texts
from tools import ROOT, authoring, marking

STEM = "00_start_here"
ITEMS = marking.checked(STEM)
FIRST, SECOND = ITEMS


def notebook(answers, *more):
    """A short notebook of chapter 00 with these answers; a stub where there is none."""
    cells = [authoring.code("import torch\n\nfrom exercises.engine import check, use"), *more]
    for item in ITEMS:
        cells += authoring.exercise_cells(item)
        cells[-3].source = answers.get(item.id, item.stub)
    nb = authoring.notebook(cells, title="", minutes=1)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.metadata["tags"] = ["nbval-ignore-output"]
    return nb


def hand_in(folder, name, nb):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path


RIGHT = {FIRST.id: FIRST.solution, SECOND.id: SECOND.solution}
OTHER_WORDS = {
    FIRST.id: f"{FIRST.solution}\n{FIRST.answer} += 0",
    SECOND.id: f"{SECOND.solution}\n\n\nmine = {SECOND.answer}",
}
WRONG = {FIRST.id: f"{FIRST.answer} = 7"}


def test_a_notebook_is_found_by_its_name_or_its_exercises(tmp_path):
    hand_in(tmp_path, "ada/00_start_here.ipynb", notebook(RIGHT))
    hand_in(tmp_path, "bob/Copy of chapter 0 (1).ipynb", notebook(RIGHT))
    hand_in(tmp_path, "陈伟 00_start_here.ipynb", notebook(RIGHT))
    hand_in(tmp_path, "dan/sub/00_start_here.ipynb", notebook(RIGHT))
    hand_in(tmp_path, "dan/.ipynb_checkpoints/00_start_here.ipynb", notebook(RIGHT))
    for left in (
        "__MACOSX/ada/._00_start_here.ipynb",
        "@eaDir/00_start_here.ipynb",
        "_gsdata_/00_start_here.ipynb",
        "~snapshot/00_start_here.ipynb",
        "._陈伟 00_start_here.ipynb",
        ".fay.ipynb",
        "lost+found/00_start_here.ipynb",
        "$RECYCLE.BIN/S-1/00_start_here.ipynb",
        "ada/._00_start_here.ipynb",
        "ada/~$00_start_here.ipynb",
        "dan/sub/@eaDir/00_start_here.ipynb",
        "dan/__MACOSX/00_start_here.ipynb",
        "eve/.Trash-1000/00_start_here.ipynb",
    ):
        hand_in(tmp_path, left, notebook(RIGHT))  # fmt: skip
    hand_in(tmp_path, "fay.ipynb", notebook(RIGHT))  # and a folder of the same name
    hand_in(tmp_path, "fay/00_start_here.ipynb", notebook(RIGHT))
    hand_in(tmp_path, "ivy/00_START_HERE.IPYNB", notebook(RIGHT))  # as Windows may call it
    hand_in(tmp_path, "jan.IPYNB", notebook(RIGHT))
    (tmp_path / "eve").mkdir(exist_ok=True)
    (tmp_path / "eve" / "essay.ipynb").write_text("my essay", encoding="utf-8")
    (tmp_path / "list.txt").write_text("ada, bob", encoding="utf-8")
    found = marking.handed_in(tmp_path, STEM)
    assert {name: len(paths) for name, paths in found.items()} == {
        "ada": 1, "bob": 1, "dan": 1, "eve": 0, "fay": 2, "ivy": 1, "jan": 1,
        "陈伟 00_start_here": 1,
    }  # fmt: skip


def test_of_a_whole_course_the_notebook_with_answers_counts(tmp_path, as_if_run):
    names = ("chapters/{}", "chapters/{}-Copy1", "chapters_zh/{}", "backups/2026-11-30/{}")
    for learner, answered in {"ada": 2, "bob": 0, "eve": None, "fay": 3}.items():
        for number, name in enumerate(names):
            answers = OTHER_WORDS if number in (answered, 3) else {}
            hand_in(tmp_path, f"{learner}/one-by-one/{name.format(STEM)}.ipynb", notebook(answers))
    hand_in(tmp_path, f"gus/chapters/{STEM}.ipynb", notebook(OTHER_WORDS))
    hand_in(tmp_path, f"gus/chapters_zh/{STEM}.ipynb", notebook(WRONG))
    found = marking.handed_in(tmp_path, STEM)
    chosen = {name: [path.parent.name for path in paths] for name, paths in found.items()}
    assert chosen.pop("gus") == ["chapters", "chapters_zh"]
    assert chosen == {
        "ada": ["chapters_zh"], "bob": ["chapters"], "eve": ["chapters"], "fay": ["chapters"],
    }  # fmt: skip
    (look,) = marking.mark(found["gus"], STEM, tmp_path).look
    assert f"(gus/chapters/{STEM}.ipynb, gus/chapters_zh/{STEM}.ipynb): leave one" in look


def test_only_a_backup_is_left_and_one_that_cannot_be_read_counts(tmp_path):
    backup = hand_in(tmp_path, f"ada/backups/2026-11-30/{STEM}.ipynb", notebook(OTHER_WORDS))
    hand_in(tmp_path, f"bob/chapters/{STEM}.ipynb", notebook({}))
    damaged = hand_in(tmp_path, f"bob/{STEM}.ipynb", notebook(OTHER_WORDS))
    damaged.write_text("{", encoding="utf-8")
    assert marking.handed_in(tmp_path, STEM) == {"ada": [backup], "bob": [damaged]}


@pytest.fixture
def as_if_run(monkeypatch):
    """The notebooks are not run; the outcomes of their checks are those put here."""
    outcomes = {}
    monkeypatch.setattr(marking, "run", lambda *_: (outcomes, "the log"))
    return outcomes


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("end", ["\n", " \r\n"])
def test_a_notebook_that_a_tool_has_cleaned_is_read(tmp_path, ids, end):
    nb = notebook(OTHER_WORDS)
    for number, cell in enumerate(nb.cells):
        cell.metadata = {}
        cell.id = cell.id if ids else str(number)
        cell.source = cell.source.replace("\n", end)
    path = hand_in(tmp_path, "ada/chapter.ipynb", nb)
    assert marking.handed_in(tmp_path, STEM) == {"ada": [path]}
    answers = marking.cells(marking.read(path), "stub")
    assert {id: marking.plain(text) for id, text in answers.items()} == OTHER_WORDS
    tasks = marking.cells(marking.read(path), "task")
    assert list(tasks) == [FIRST.id, SECOND.id]


def test_a_class_may_mix_languages(tmp_path, as_if_run, monkeypatch):
    chinese = {item.id: replace(texts.find(item.id), task="任务。\n\n算一算。") for item in ITEMS}
    english = texts.find

    def find(id, language="en", root=texts.ROOT):
        return chinese[id] if language == "zh" and id in chinese else english(id, language, root)

    monkeypatch.setattr(texts, "find", find)
    as_if_run[FIRST.id] = {"outcome": "right", "message": "well done."}
    looks = []
    for task in ("### 练习\n\n任务。\n\n算一算。 ", "### 练习\n\n别的任务。"):
        nb = notebook(OTHER_WORDS)
        for cell in nb.cells:
            if cell.metadata.get("role") == "task":
                cell.source = task
        path = tmp_path / "a.ipynb"
        nbformat.write(nb, path)
        result = marking.mark([path], STEM, tmp_path)
        assert result.exercises[FIRST.id]["outcome"] == "right"
        looks.append([look for look in result.look if "another task" in look])
    assert not looks[0] and len(looks[1]) == len(chinese)


def test_what_has_to_be_looked_at_is_named(tmp_path, as_if_run):
    as_if_run[FIRST.id] = {"outcome": "right", "message": "well done."}
    older = notebook(OTHER_WORDS)
    next(c for c in older.cells if c.metadata.get("role") == "task").source += " As it was."
    cases = {
        "words": (notebook(OTHER_WORDS), []),
        "pasted": (notebook(RIGHT), [f"{FIRST.id} is the course's solution"]),
        "older": (older, [f"{FIRST.id} has another task than here, or none"]),
    }
    lost = f"checks that did not run: {SECOND.id}"
    for name, (nb, looks) in cases.items():
        path = hand_in(tmp_path, f"{name}/00_start_here.ipynb", nb)
        found = marking.mark([path], STEM, tmp_path)
        assert found.look == [*looks, lost], name
        assert (found.count("right"), found.exercises[SECOND.id]["outcome"]) == (1, "not reached")
        assert found.exercises[FIRST.id]["answer"] and found.log == "the log"
    two = marking.mark([path, path], STEM, tmp_path)
    assert two.look[0].startswith("2 notebooks of 00_start_here") and two.count("right") == 0
    for text in ("my essay", "[]", '{"cells": [1]}', '{"cells": [{"metadata": null}]}', ""):
        (tmp_path / "essay.ipynb").write_text(text, encoding="utf-8")
        essay = marking.mark([tmp_path / "essay.ipynb"], STEM, tmp_path)
        assert essay.look == ["the file is not a notebook that can be read"], text
    path.write_text("\ufeff" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert marking.mark([path], STEM, tmp_path).count("right") == 1  # some editors put it there


def test_the_files_hold_every_learner(tmp_path, as_if_run, capsys):
    for item in ITEMS:
        as_if_run[item.id] = {"outcome": "right", "message": "well done."}
    hand_in(tmp_path, "陈伟/00_start_here.ipynb", notebook(OTHER_WORDS))
    (tmp_path / "eve").mkdir(exist_ok=True)
    assert marking.main([str(tmp_path), STEM]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["eve: 0 of 2  LOOK: no notebook of 00_start_here", "陈伟: 2 of 2"]
    table = (tmp_path / f"marks-{STEM}.csv").read_text(encoding="utf-8-sig").splitlines()
    row = list(csv.DictReader(table))[1]
    assert list(row) == ["learner", "right", "of", "start.1", "start.2", "look"]
    assert list(row.values()) == ["陈伟", "2", "2", "right", "right", ""]
    whole = json.loads((tmp_path / f"marks-{STEM}.json").read_text(encoding="utf-8"))
    assert whole["陈伟"]["exercises"]["start.1"]["answer"] == OTHER_WORDS["start.1"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere", STEM], "There is no folder"),
        ([".", "04_nim"], "There is no chapter 04_nim; there are 00_start_here, "),
        (["empty", STEM], "each learner. Unpack ZIP files first."),
    ],
)
def test_what_cannot_be_marked_is_said(arguments, expected, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "ada.zip").touch()
    monkeypatch.chdir(tmp_path)
    assert marking.main(arguments) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("problem: ") and expected in printed


def test_a_class_is_marked_for_real(tmp_path):
    """Nobody's notebook changes what the next is checked with, or writes into the course."""
    source = ROOT / "exercises" / "start" / "checks.py"
    before = source.read_bytes()
    cheat = authoring.code(
        "from pathlib import Path\n\nimport exercises\n\n"
        "path = Path(exercises.__file__).parent / 'start' / 'checks.py'\n"
        "path.write_text(path.read_text('utf-8').replace('return', 'return;', 1), 'utf-8')"
    )
    twice = notebook(WRONG)
    twice.cells += [cell.copy() for cell in twice.cells if cell.metadata.get("role") == "check"]
    for number, cell in enumerate(twice.cells):
        cell["id"] = f"cell-{number}"
    hand_in(tmp_path, "1 cheat/00_start_here.ipynb", notebook(WRONG, cheat))
    hand_in(tmp_path, "2 twice/00_start_here.ipynb", twice)
    hand_in(tmp_path, "3 words/Copy of 00_start_here.ipynb", notebook(OTHER_WORDS))
    done = subprocess.run(
        [sys.executable, "course.py", "mark", str(tmp_path), STEM],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    marks = json.loads((tmp_path / f"marks-{STEM}.json").read_text(encoding="utf-8"))
    logs = "\n".join(one["log"] for one in marks.values())
    lines = done.stdout.splitlines()
    assert lines[:3] == ["1 cheat: 0 of 2", "2 twice: 0 of 2", "3 words: 2 of 2"], logs
    outcomes = {name: [e["outcome"] for e in m["exercises"].values()] for name, m in marks.items()}
    assert outcomes["1 cheat"] == outcomes["2 twice"] == ["wrong", "open"]
    assert source.read_bytes() == before
    assert "7" in marks["2 twice"]["exercises"][FIRST.id]["answer"]
    assert engine.find(FIRST.id).check is not None
