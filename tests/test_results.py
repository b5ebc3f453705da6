"""Numbers in the text are the numbers in results/, and the files there say where they come from."""

import csv
import errno
import json
import os

import pytest

from exercises import texts
from tools import ROOT, CourseError, cells, numbers_in_text
from utils import atomic, results
from utils.leftovers import matching

NUMBER = "<!-- =a.json accuracy.median .3f -->"
IMAGES = "<!-- =a.json images d -->"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with one results file and one chapter."""
    for name in ("results", "chapters", "docs"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(numbers_in_text, "ROOT", tmp_path)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    content = {"accuracy": {"median": 0.9104, "runs": [0.9, 0.91]}, "images": 55000, "name": "NiN"}
    (tmp_path / "results" / "a.json").write_text(json.dumps(content), encoding="utf-8")
    chapter(tmp_path, "04_nin", 90)
    return tmp_path


def cell(id, source, kind="markdown"):
    return {"cell_type": kind, "id": id, "metadata": {}, "source": [source]}


def chapter(folder, stem, minutes, *own, listed=()):
    path = folder / "chapters" / f"{stem}.ipynb"
    about = {"minutes": minutes, "cells": dict(listed)}
    nb = {"cells": list(own), "metadata": {"course": about}, "nbformat": 4, "nbformat_minor": 5}
    path.write_bytes(cells.written(nb))
    return path


@pytest.mark.parametrize(
    ("key", "form", "expected"),
    [
        ("accuracy.median", ".3f", ".910"),
        ("accuracy.runs.1", ".2f", ".91"),
        ("images", ",", "55,000"),
        ("accuracy.median", ".0%", "91%"),
    ],
)
def test_values_are_formatted(folder, key, form, expected):
    assert results.value("a.json", key, form) == expected


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


# --- numbers in the text --------------------------------------------------------------------------


def test_bound_numbers_are_rewritten_and_nothing_else(folder):
    text = f"We got .805{NUMBER} on 55,000<!-- =a.json images , --> of 7."
    renewed, changes = numbers_in_text.bind(text)
    assert renewed == text.replace(".805", ".910")
    assert changes == [".805 should be .910 (a.json accuracy.median)"]
    assert numbers_in_text.bind(renewed) == (renewed, [])
    assert numbers_in_text.bind("?<!-- =a.json images , -->")[0].startswith("55,000<")


@pytest.mark.parametrize(
    ("before", "after"),
    [("0.8-0.9", "0.8-.910"), ("is -0.9", "is .910"), ("1.2e-05", ".910"), ("(90%", "(.910")],
)
def test_the_whole_number_is_replaced(folder, before, after):
    assert numbers_in_text.bind(before + NUMBER)[0] == after + NUMBER


def test_chapters_and_exercises_are_counted(folder, monkeypatch):
    counts = {"04_nin": texts.Counts(checked=7, questions=1, minutes=0)}
    counts["11_new"] = texts.Counts(checked=3, questions=0, minutes=0)
    monkeypatch.setattr(texts, "counts", lambda root: counts)
    chapter(folder, "11_new", 45)
    for key, form, expected in [
        ("exercises.04_nin", "d", "7"),
        ("exercises.all", "d", "10"),
        ("minutes.11_new", "d", "45"),
        ("main_minutes.11_new", "d", "45"),
        ("hours.04+11", ".2f", "2.25"),
        ("hours.all", ".0f", "2"),
    ]:
        comment = f"<!-- =course {key} {form} -->"
        assert numbers_in_text.bind(f"?{comment}")[0] == expected + comment
    for key, message in [("exercises.12", "has no exercises.12"), ("pages.all", "exercises, min")]:
        with pytest.raises(CourseError, match=message):
            numbers_in_text.bind(f"7<!-- =course {key} d -->")


def test_the_command_checks_and_rewrites(folder, capsys):
    page = folder / "README.md"
    page.write_text(f"It is .5{NUMBER}.\n", encoding="utf-8")
    code = cell("b", f"0{IMAGES}", "code")
    path = chapter(folder, "04_nin", 90, cell("a", f"0{IMAGES}"), code)
    before = page.read_bytes(), path.read_bytes()
    assert numbers_in_text.main(["--check"]) == 1
    assert "2 numbers are wrong" in capsys.readouterr().out
    assert (page.read_bytes(), path.read_bytes()) == before
    assert numbers_in_text.main([]) == 0
    assert numbers_in_text.main(["--check"]) == 0
    assert page.read_text(encoding="utf-8").startswith("It is .910<")
    first, second = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert first["source"] == [f"55000{IMAGES}"] and second == code


def test_a_full_disk_leaves_the_page_and_nothing_else(folder, monkeypatch, capsys):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    page = folder / "README.md"
    page.write_text(f"It is .5{NUMBER}.\n", encoding="utf-8")
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(atomic.os, "replace", full_disk)
    assert numbers_in_text.main([]) == 1
    assert f"problem: {page} cannot be written (No space left" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before
    assert page.read_text(encoding="utf-8").startswith("It is .5<")


def test_a_chapter_still_knows_its_own_cells(folder):
    old = f"0{IMAGES}"
    listed = {"a": cells.fingerprint(old), "b": cells.fingerprint("what the course wrote")}
    path = chapter(folder, "04_nin", 90, cell("a", old), cell("b", old), listed=listed)
    text, changes = numbers_in_text.examine(path)
    assert len(changes) == 2
    after = json.loads(text)
    assert cells.as_shipped(after)["a"] == cells.fingerprints(after)["a"]
    assert cells.as_shipped(after)["b"] == listed["b"]  # a learner edited this one


@pytest.mark.parametrize(
    "path", numbers_in_text.bound_files(), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_bound_number_of_the_project_agrees(path):
    assert numbers_in_text.examine(path)[1] == [], "run `python3 course.py results`"


def test_every_row_of_the_plan_of_a_course_is_bound():
    """docs/teaching.md: what a chapter takes comes from the chapter, and so do the sums."""
    page = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    for stem in texts.counts():
        for key in ("main_minutes", "minutes", "exercises"):
            assert f"<!-- =course {key}.{stem} d -->" in page
    assert page.count("<!-- =course hours.") == page.count("<!-- =course main_hours.") == 2


@pytest.mark.parametrize(
    "text",
    [
        ".910<!--=a.json accuracy.median .3f -->",
        ".910<!-- = a.json accuracy.median .3f -->",
        f".910 {NUMBER}",
        f"**.910**{NUMBER}",
        ".910<!-- =a.json accuracy.median -->",
    ],
)
def test_a_comment_that_only_looks_like_a_binding_is_an_error(folder, text, capsys):
    """A typing error in a comment would leave its number unchecked."""
    (folder / "README.md").write_text(f"It is {text}.\n", encoding="utf-8")
    assert numbers_in_text.main([]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"problem: README.md: {text[text.index('<') :]} binds no number")


# --- the files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    matching(results.FOLDER, "**/*.json"),
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
