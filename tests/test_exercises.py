"""Every exercise of every chapter: its solution, its stub, and answers that its check must tell
apart.

`pytest tests/test_exercises.py -k nin.2` tries one exercise, and imports its chapter's only.
"""

import ast
import importlib
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
from chinese import english_left
from told import matches, told

from exercises import engine, texts


def answers_of(group):
    return importlib.import_module(f"exercises.{group}.answers")


def answers(group, kind):
    """`{"nin.2 without ReLU": ("nin.2", answer, …)}` for the wrong or the right answers."""
    found = getattr(answers_of(group), kind).items()
    return {f"{id} {name}": (id, *rest) for id, entries in found for name, *rest in entries}


# Exercises whose answer makes a network of its arguments.
BUILDERS = ("lenet.4", "vgg.2", "vgg.4", "nin.2", "one_by_one.9", "inception.1", "inception.3")
BUILDERS += ("inception.8", "resnet.2", "resnet.3", "resnet.5", "resnet.6")
BUILDERS += ("mobilenet.2", "mobilenet.4", "choosing.7")


def pytest_generate_tests(metafunc):
    """Tests run through all groups, or through those that -k names: whoever works on one exercise
    waits for no other chapter."""
    words = set(re.findall(r"\w+", metafunc.config.getoption("keyword")))
    groups = [group for group in texts.groups() if group in words and "not" not in words]
    groups = groups or texts.groups()
    every = [text for group in groups for text in texts.read(group)]
    (name,) = {"group", "id", "builder", "wrong", "right"}.intersection(metafunc.fixturenames)
    match name:
        case "group":
            cases = {group: group for group in groups}
        case "id":
            cases = {text.id: text.id for text in every if not text.is_question}
        case "builder":
            cases = {id: id for id in BUILDERS if id.partition(".")[0] in groups}
        case "wrong" | "right":
            cases = {}
            for group in groups:
                cases |= answers(group, f"{name}_answers")
    metafunc.parametrize(name, cases.values(), ids=cases)


def made(id, answer):
    """The answer itself, where it is written down as the source of a cell."""
    return engine.find(id).run(answer) if isinstance(answer, str) else answer


# --- checks ---------------------------------------------------------------------------------------


def test_the_solution_is_right(id):
    result = engine.evaluate(id, engine.find(id).reference())
    assert result.outcome == "right", result.message


def test_the_stub_is_open(id):
    result = engine.evaluate(id, made(id, engine.find(id).stub))
    assert result.outcome == "open", result.message


def test_it_is_tried_with_wrong_and_right_answers(id):
    module = answers_of(engine.find(id).group)
    assert len(module.wrong_answers.get(id, [])) >= 4
    assert len(module.right_answers.get(id, [])) >= 2


def test_wrong_answers_are_told_what_is_wrong(wrong):
    id, answer, message = wrong
    result = told(id, made(id, answer), message)
    assert result.outcome == "wrong", result.message
    assert matches(message, result), result.message
    assert not english_left(result.message), result.message


OTHER_RETURNS = (
    "pass",
    "return [1]",
    "return 3",
    "return 'x'",
    "return torch.zeros(0)",
    "return __import__('numpy').zeros(3)",
    "raise ValueError('mine')",
)


def with_other_returns(source):
    """The source once for each of its `return` statements and each thing to return instead."""
    lines = source.split("\n")
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Return)]
    for node in statements:
        for other in OTHER_RETURNS:
            before, after = lines[: node.lineno - 1], lines[node.end_lineno :]
            yield "\n".join([*before, " " * node.col_offset + other, *after])


def test_whatever_an_answer_returns_can_be_checked(id):
    """Nothing, or another type: the check says so, and does not fail itself."""
    for source in with_other_returns(engine.find(id).solution):
        try:
            answer = made(id, source)
        except Exception:  # the cell itself fails, and the learner sees that
            continue
        result = engine.evaluate(id, answer, explain=False)
        assert result.outcome in ("wrong", "open"), f"{source}\n{result.message}"  # `pass` is open
        assert "could not be checked" not in result.message, f"{source}\n{result.message}"


def test_other_right_answers_are_accepted(right):
    id, answer = right
    result = engine.evaluate(id, made(id, answer))
    assert result.outcome == "right", result.message
    assert not english_left(result.message), result.message


def test_layers_that_two_networks_would_share_are_named(builder):
    """The solution, but what has been made once is given again."""
    item = engine.find(builder)
    layer = re.search(r"nn\.(Conv2d|Linear)\(", item.solution)[0]
    source = item.solution.replace(layer, "made_once(")
    head = f"from functools import cache\nmade_once = cache({layer[:-1]})\n"
    result = engine.evaluate(builder, item.run(head + source), explain=False)
    assert result.outcome == "wrong"
    assert re.search("share|same weights", result.message), result.message


def test_nothing_belongs_to_an_exercise_that_does_not_exist(group):
    """Checks and answers are found by the id: a wrong one would never be tried."""
    known = {text.id for text in texts.read(group)}
    module = answers_of(group)
    for kind in ("wrong_answers", "right_answers", "equivalent", "accepted", "probe_arguments"):
        assert getattr(module, kind, {}).keys() <= known, kind
    names = [*vars(importlib.import_module(f"exercises.{group}.checks")), *vars(module)]
    found = [re.fullmatch(rf"(?:probe_)?({group}_\d+)", name) for name in names]
    assert {match[1] for match in found if match} <= {id.replace(".", "_") for id in known}


# --- texts ----------------------------------------------------------------------------------------


@cache
def unformatted(group):
    """What ruff would change in the stubs and solutions of a group: one run for all of them."""
    with tempfile.TemporaryDirectory() as folder:
        for text in texts.read(group):
            for part in ("stub", "solution") if text.stub else ():
                path = Path(folder) / f"{text.id}.{part}.py"
                path.write_text(f"{getattr(text, part)}\n", encoding="utf-8")
        command = [sys.executable, "-m", "ruff", "format", "--diff", "--config"]
        command += [str(texts.ROOT / "pyproject.toml"), folder]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed: python -m pip install ruff")
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_stub_and_solution_are_formatted(id):
    found = unformatted(engine.find(id).group)
    assert f"{id}.stub.py" not in found and f"{id}.solution.py" not in found, found


def test_the_stub_and_the_solution_define_the_answer(id):
    text = texts.find(id)
    assert re.search(rf"\b{text.answer}\b", text.stub)
    assert re.search(rf"\b{text.answer}\b", text.solution)


def test_a_chapter_has_six_checked_exercises_and_a_question(group):
    found = texts.read(group)
    assert [text.number for text in found] == list(range(1, len(found) + 1))
    if group != "start":
        assert sum(not text.is_question for text in found) >= 6
        assert any(text.is_question for text in found)
