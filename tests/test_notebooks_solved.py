"""Every chapter with all solutions filled in, at budget smoke: each check must say right."""

import json

import pytest

from exercises import engine
from tools import authoring


@pytest.mark.parametrize("stem", authoring.stems())
def test_a_chapter_with_all_solutions(stem, tmp_path):
    board = tmp_path / "board.jsonl"
    nb = authoring.filled(authoring.load_committed(stem))
    authoring.execute(nb, budget="smoke", COURSE_SCOREBOARD=str(board))
    entries = [json.loads(line) for line in board.read_text(encoding="utf-8").splitlines()]
    checked = [item.id for item in engine.exercises() if item.chapter == stem and item.check]
    assert {entry["exercise"] for entry in entries} == set(checked)
    assert [e for e in entries if e["outcome"] != "right"] == []
