"""Numbers in the text are the numbers in results/, and the files there say where they come from."""

import csv
import errno
import json
import os
from pathlib import Path

import pytest

from tools import update
from utils import results


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "chapters").mkdir()
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    content = {"accuracy": {"median": 0.9104, "runs": [0.9, 0.91]}, "images": 55000, "name": "NiN"}
    (tmp_path / "results" / "a.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_values_are_formatted(folder):
    assert results.value("a.json", "accuracy.median", ".3f") == ".910"
    assert results.value("a.json", "accuracy.runs.1", ".2f") == ".91"
    assert results.value("a.json", "images", ",") == "55,000"
    assert results.value("a.json", "accuracy.median", ".0%") == "91%"


@pytest.mark.parametrize(
    ("file", "key", "form", "message"),
    [
        ("b.json", "x", "d", r"results/b\.json does not exist; there are: a\.json"),
        ("a.json", "accuracy.mean", ".3f", "has no accuracy.mean; at accuracy there is median"),
        ("a.json", "accuracy.runs.7", ".3f", "has no accuracy.runs.7"),
        ("a.json", "name", ".3f", "name of results/a.json is 'NiN'"),
    ],
)
def test_what_is_not_there_is_said(folder, file, key, form, message):
    with pytest.raises(results.ResultError, match=message):
        results.value(file, key, form)


def test_bound_numbers_are_rewritten_and_nothing_else(folder):
    text = (
        "We got .805<!-- =a.json accuracy.median .3f --> on 55,000<!-- =a.json images , --> of 7."
    )
    renewed, changes = results.bind(text)
    assert renewed == text.replace(".805", ".910")
    assert len(changes) == 1 and ".805 should be .910" in changes[0]
    assert results.bind(renewed) == (renewed, [])
    assert results.bind("?<!-- =a.json images , -->")[0].startswith("55,000<")


@pytest.mark.parametrize(
    ("before", "after"),
    [("0.8-0.9", "0.8-.910"), ("is -0.9", "is .910"), ("1.2e-05", ".910"), ("(90%", "(.910")],
)
def test_the_whole_number_is_replaced(folder, before, after):
    comment = "<!-- =a.json accuracy.median .3f -->"
    assert results.bind(before + comment)[0] == after + comment


def test_the_command_checks_and_rewrites(folder, capsys):
    page = folder / "README.md"
    page.write_text("It is .5<!-- =a.json accuracy.median .3f -->.\n", encoding="utf-8")
    cell = {
        "cell_type": "markdown",
        "id": "a",
        "metadata": {},
        "source": ["0<!-- =a.json images d -->"],
    }
    code = {
        "cell_type": "code",
        "id": "b",
        "metadata": {},
        "source": ["0<!-- =a.json images d -->"],
    }
    notebook = {"cells": [cell, code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    chapter = folder / "chapters" / "x.ipynb"
    chapter.write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")

    before = page.read_bytes(), chapter.read_bytes()
    assert results.main(["--check"]) == 1
    assert "2 numbers disagree" in capsys.readouterr().out
    assert (page.read_bytes(), chapter.read_bytes()) == before
    assert results.main([]) == 0
    assert results.main(["--check"]) == 0
    assert page.read_text(encoding="utf-8").startswith("It is .910<")
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["source"] == ["55000<!-- =a.json images d -->"]
    assert cells[1] == code


def test_a_full_disk_leaves_the_page_and_nothing_else(folder, monkeypatch, capsys):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    page = folder / "README.md"
    page.write_text("It is .5<!-- =a.json accuracy.median .3f -->.\n", encoding="utf-8")
    before = sorted(folder.rglob("*"))
    for module in (os, Path):
        monkeypatch.setattr(module, "replace", full_disk)
    assert results.main([]) == 1
    assert f"problem: {page} cannot be written (No space left" in capsys.readouterr().out
    assert sorted(folder.rglob("*")) == before
    assert page.read_text(encoding="utf-8").startswith("It is .5<")


def test_a_chapter_still_knows_its_own_cells(folder):
    def cell(id, source):
        return {"cell_type": "markdown", "id": id, "metadata": {}, "source": [source]}

    old = "0<!-- =a.json images d -->"
    cells = [cell("a", old), cell("b", old)]
    listed = {"a": update.fingerprint(old), "b": update.fingerprint("what the course wrote")}
    notebook = {"cells": cells, "metadata": {"course": {"cells": listed}}}
    text, changes = results.bind_notebook(json.dumps(notebook))
    assert len(changes) == 2
    found = json.loads(text)
    now = update.cells_of_course(found)
    assert found["metadata"]["course"]["cells"]["a"] == now["a"]
    assert found["metadata"]["course"]["cells"]["b"] == listed["b"]  # a learner edited this one


def test_every_bound_number_of_the_project_agrees():
    wrong = []
    for path in results.bound_files():
        try:
            wrong += [f"{path.name}: {change}" for change in results.examine(path)[1]]
        except results.ResultError as error:
            wrong.append(f"{path.name}: {error}")
    assert not wrong, "run `python3 course.py results`: " + "; ".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        ".910<!--=a.json accuracy.median .3f -->",
        ".910<!-- = a.json accuracy.median .3f -->",
        ".910 <!-- =a.json accuracy.median .3f -->",
        "**.910**<!-- =a.json accuracy.median .3f -->",
        ".910<!-- =a.json accuracy.median -->",
    ],
)
def test_a_comment_that_only_looks_like_a_binding_is_an_error(folder, text, capsys):
    """A typing error in a comment would leave its number unchecked."""
    (folder / "README.md").write_text(f"It is {text}.\n", encoding="utf-8")
    assert results.main([]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"problem: README.md: {text[text.index('<') :]} binds no number")


@pytest.mark.parametrize(
    "path",
    sorted(results.FOLDER.rglob("*.json")),
    ids=lambda p: p.relative_to(results.FOLDER).as_posix(),
)
def test_every_results_file_says_where_it_comes_from(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["command"].startswith("python -m benchmarks.")
    assert {"what", "date", "machine", "versions"} <= content.keys()
    assert {"processor", "threads"} <= content["machine"].keys()
    assert {"python", "torch"} <= content["versions"].keys()


def test_d2ls_published_runs_are_summed_up_as_published():
    """The medians and extremes that were counted independently when the runs were collected."""
    summary = results.load("published/d2l_summary.json")
    counted = {  # runs, minimum, 10 %, median, 90 %, maximum, median examples per second
        "LeNet": (199, 0.752, 0.781, 0.806, 0.820, 0.828, 83_938),
        "AlexNet": (142, 0.847, 0.871, 0.880, 0.884, 0.886, 4_139),
        "VGG-11": (123, 0.900, 0.913, 0.919, 0.923, 0.925, 2_551),
        "NiN": (125, 0.100, 0.390, 0.844, 0.873, 0.885, 3_197),
        "GoogLeNet": (131, 0.100, 0.870, 0.889, 0.897, 0.902, 3_464),
        "BN-LeNet-scratch": (150, 0.571, 0.769, 0.860, 0.885, 0.894, 35_174),
        "BN-LeNet-concise": (148, 0.518, 0.763, 0.845, 0.878, 0.892, 61_576),
        "ResNet-18": (136, 0.669, 0.865, 0.911, 0.921, 0.927, 4_681),
        "DenseNet": (132, 0.406, 0.812, 0.881, 0.905, 0.919, 5_511),
    }
    assert sum(row[0] for row in counted.values()) == 1286
    for network, (runs, *accuracies, speed) in counted.items():
        found = summary[network]
        assert found["runs"] == runs, network
        names = ("min", "p10", "median", "p90", "max")
        assert [found[name] for name in names] == pytest.approx(accuracies, abs=6e-4), network
        assert found["median_examples_per_second"] == pytest.approx(speed, abs=0.5), network
    nin = summary["NiN"]
    assert (nin["at_most_15_percent"], nin["below_half"]) == (9, 16)
    assert (nin["loss_at_ln_10"], nin["loss_not_a_number"]) == (7, 2)
    with (results.FOLDER / "published" / "d2l_runs.csv").open(encoding="utf-8") as file:
        assert sum(1 for _ in csv.DictReader(file)) == 1286
