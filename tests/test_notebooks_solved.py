"""Every chapter with all solutions filled in, at budget smoke: each check must say right.

The chapters run in one kernel, one after the other and each with no names of the one before:
`import torch` and what it brings along takes longer than most chapters. Figures are made but not
rendered: nbval renders them.
"""

import json

import pytest
import stored

from exercises import engine
from tools import authoring

START = """%reset -f
import matplotlib.pyplot as plt
plt.show = lambda: plt.close("all")
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    board = tmp_path_factory.mktemp("solved") / "board.jsonl"
    with authoring.kernel(budget="smoke", COURSE_SCOREBOARD=str(board)) as manager:
        yield manager, board


@pytest.mark.parametrize("stem", stored.STEMS)
def test_a_chapter_with_all_solutions(stem, kernel):
    manager, board = kernel
    nb = authoring.filled(stored.chapter(stem))
    nb.cells.insert(0, authoring.code(START))
    authoring.execute_in(manager, nb)
    entries = [json.loads(line) for line in board.read_text(encoding="utf-8").splitlines()]
    entries = [entry for entry in entries if entry["chapter"] == stem]
    checked = [item.id for item in engine.exercises() if item.chapter == stem and item.check]
    assert {entry["exercise"] for entry in entries} == set(checked)
    assert [entry for entry in entries if entry["outcome"] != "right"] == []
