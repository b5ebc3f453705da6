"""Answers that learners gave, right and wrong: the checks accept the former and name the mistake in
the latter.

`learner_answers/` holds them, one JSON object a line: the exercise, the kind ("right" or "wrong"),
the source of the cell, the mistake in words, and a pattern that a message naming it matches. A line
with `"missed"` says why no message names this mistake; it is counted, and fails the test once one
does.
"""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from chinese import english_left
from told import matches, told

from exercises import engine

FOLDER = Path(__file__).parent / "learner_answers"
ANSWERS = [
    json.loads(line)
    for path in sorted(FOLDER.glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
EXERCISES = list(dict.fromkeys(answer["exercise"] for answer in ANSWERS))
NAMED = 0.97  # of the wrong ones, at least


def result_of(answer):
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    item = engine.find(answer["exercise"])
    try:
        value = item.run(answer["source"])
    except Exception as error:  # the cell itself fails, and the learner sees that
        return engine.Result("wrong", f"{type(error).__name__}: {error}")
    if "missed" in answer:
        return engine.evaluate(item.id, value)
    return told(item.id, value, pattern(answer))


def pattern(answer):
    """What a message that names the mistake matches."""
    return f"(?i){answer.get('must', '')}"


@pytest.mark.parametrize("id", EXERCISES)
def test_right_answers_are_accepted_and_mistakes_named(id):
    problems = []
    for answer in (a for a in ANSWERS if a["exercise"] == id):
        result = result_of(answer)
        if answer["kind"] == "right":
            if result.outcome != "right":
                problems.append(f"refused: {result.message}\n{answer['source']}")
            continue
        if result.outcome != "wrong":
            problems.append(f"{result.outcome}: {answer['mistake']}\n{answer['source']}")
            continue
        if left := english_left(result.message):
            problems.append(f"stays English in Chinese: {left}\n{result.message}")
        if bool(matches(pattern(answer), result)) == ("missed" in answer):
            what = "is named now" if "missed" in answer else "is not named"
            problems.append(f"{what}: {answer['mistake']}\n{result.message}")
    assert not problems, "\n\n".join(problems)


def test_nearly_all_mistakes_are_named():
    wrong = [answer for answer in ANSWERS if answer["kind"] == "wrong"]
    missed = [answer for answer in wrong if "missed" in answer]
    assert len(wrong) > 400 and 1 - len(missed) / len(wrong) >= NAMED
