"""Every exercise of every chapter: its solution, its stub, and answers that its check must tell
apart."""

import importlib
import re
import subprocess
import sys

import pytest

from exercises import engine, texts

ALL = engine.exercises()
CHECKED = [item for item in ALL if item.check]


def answers(kind):
    """(exercise, answer, …) for all answers of one kind in answers.py."""
    return [
        pytest.param(engine.find(id), answer, *rest, id=f"{id} {name}")
        for group in texts.groups()
        for id, entries in getattr(
            importlib.import_module(f"exercises.{group}.answers"), kind
        ).items()
        for name, answer, *rest in entries
    ]


def result_of(item, answer):
    answer = item.run(answer) if isinstance(answer, str) else answer
    return engine.evaluate(item.id, answer)


@pytest.mark.parametrize("item", CHECKED, ids=lambda item: item.id)
class TestEveryExercise:
    def test_the_solution_is_right(self, item):
        result = engine.evaluate(item.id, item.reference())
        assert result.outcome == "right", result.message

    def test_the_stub_is_open(self, item):
        result = engine.evaluate(item.id, item.run(item.stub))
        assert result.outcome == "open", result.message

    def test_it_is_tried_with_wrong_and_right_answers(self, item):
        module = importlib.import_module(f"exercises.{item.group}.answers")
        assert len(module.wrong_answers.get(item.id, [])) >= 4
        assert len(module.right_answers.get(item.id, [])) >= 2

    def test_stub_and_solution_are_formatted(self, item):
        ruff = [sys.executable, "-m", "ruff"]
        if subprocess.run([*ruff, "--version"], capture_output=True).returncode:
            pytest.skip("ruff is not installed: python -m pip install ruff")
        for text in (item.stub, item.solution):
            command = [*ruff, "format", "--stdin-filename", "cell.py", "-"]
            done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8")
            assert done.stdout == text + "\n", done.stderr


@pytest.mark.parametrize(("item", "answer", "message"), answers("wrong_answers"))
def test_wrong_answers_are_told_what_is_wrong(item, answer, message):
    result = result_of(item, answer)
    assert result.outcome == "wrong", result.message
    assert re.search(message, result.message, re.DOTALL), result.message


@pytest.mark.parametrize(("item", "answer"), answers("right_answers"))
def test_other_right_answers_are_accepted(item, answer):
    result = result_of(item, answer)
    assert result.outcome == "right", result.message


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.id)
def test_texts_are_complete(item):
    texts = [item.title, item.task, item.explanation, *item.hints]
    assert all(text.strip() for text in texts)
    assert item.minutes > 0
    if item.check:
        assert re.search(rf"\b{item.answer}\b", item.stub)
        assert re.search(rf"\b{item.answer}\b", item.solution)


@pytest.mark.parametrize("group", texts.groups())
def test_the_numbers_of_a_chapter_have_no_gaps(group):
    numbers = [int(item.id.partition(".")[2]) for item in engine.exercises(group)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("group", [group for group in texts.groups() if group != "start"])
def test_a_chapter_has_six_checked_exercises_and_a_question(group):
    items = engine.exercises(group)
    assert sum(item.check is not None for item in items) >= 6
    assert any(item.check is None for item in items)
