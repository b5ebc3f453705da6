"""What to change in the learner's own text so that it is right."""

import linecache
import re
from types import SimpleNamespace

import pytest
import torch
from chinese import english_left
from told import patiently

from exercises import corrections, engine

SOLUTION = """
def shrunk(values, size, rate=2):
    kept = []
    for start in range(0, len(values) - size + 1, rate):
        window = values[start : start + size]
        kept.append(sum(window) / size)
    return kept
"""
CASES = [([1.0, 5.0, 2.0, 8.0, 3.0, 9.0, 4.0], 3), ([2.0, 4.0, 9.0, 1.0], 2, 1)]


def run(source):
    namespace = {}
    exec(source, namespace)
    return [namespace["shrunk"](*case) for case in CASES]


def works(source):
    try:
        return run(source) == run(SOLUTION)
    except Exception:
        return False


def changed(*pairs):
    text = SOLUTION
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (("/ size", "/ rate"), "In line 6, write `size` in place of `rate`"),
        (("size + 1", "size"), r"in place of `len\(values\) - size`"),
        ((", rate)", ")"), r"In line 4, add `rate` to `range\(…\)`"),
        (("sum(window)", "sum(window, 1)"), "In line 6, leave out `1`|in place of"),
        (
            ("        kept.append", "        size = size - 1\n        kept.append"),
            "Leave out line 6, `size = size - 1`",
        ),
        (
            ("        window = values[start : start + size]\n", "", "sum(window)", "sum(values)"),
            r"In line 5, write `values\[start:start \+ size\]` in place of `values`",
        ),
        (("    return", "        return"), "Line 7, `return kept`, is in the wrong block"),
        (
            ("        window =", "        return kept\n        window ="),
            "Leave out line 5, `return kept`",
        ),
        (
            ("sum(window) / size", "sum(window) // rate", "size + 1", "size"),
            "Two changes make your answer right",
        ),
        (("rate=2", "rate=3"), "write .*rate=2"),
        (
            ("values[start : start + size]", "values[start - 1 : start - 1 + size]"),
            r"write `values\[start:start \+ size\]` in place of|write `start:start \+ size` in",
        ),
        (("    kept = []", "    values = values[1:]\n    kept = []"), "Leave out line 3"),
    ],
)
def test_one_place_in_the_learners_text_is_named(edits, words):
    """The names of variables are the learner's own."""
    source = changed(*edits).replace("kept", "means").replace("window", "part")
    said = corrections.found(source, [SOLUTION], works)
    words = words.replace("kept", "means").replace("window", "part")
    assert re.search(words, said) if words else not said, said
    assert not english_left(said), said


def test_what_is_written_in_place_of_something_gets_the_brackets_it_needs():
    wrong = "saved = 2 * (49 - 27) * pairs"
    right = "saved = (49 - 3 * 9) * pairs"

    def same(source):
        namespace = {"pairs": 5}
        exec(source, namespace)
        return namespace.get("saved") == 110

    said = corrections.found(wrong, [right], same)
    assert said.startswith("In line 1, write `(49 - 3 * 9)` in place of `2 * (49 - 27)`."), said


def test_the_nearest_of_the_right_texts_is_taken():
    other = """
def shrunk(values, size, rate=2):
    starts = range(0, len(values) - size + 1, rate)
    return [sum(values[i : i + size]) / size for i in starts]
"""
    wrong = other.replace("/ size", "/ 2")
    assert "in place of" in corrections.found(wrong, [SOLUTION, other], works)


def test_a_text_with_more_or_fewer_names_is_compared_too():
    """The right text keeps no window, and this one no size of the range."""
    wrong = changed("range(0, len(values) - size + 1, rate)", "range(0, stop, rate)")
    wrong = wrong.replace("    kept = []", "    kept, stop = [], len(values) - size")
    said = corrections.found(wrong, [SOLUTION], works)
    assert "`len(values) - size + 1` in place of `len(values) - size`" in said, said


def test_a_usual_slip_is_taken_back_where_no_right_text_is_near():
    wrong = """
def shrunk(values, size, rate=2):
    def mean(k):
        total = 0
        for value in values[k : k + size]:
            total += value
        return total / (size - 1)
    return list(map(mean, range(0, 1 + len(values) - size, rate)))
"""
    said = corrections.found(wrong, [SOLUTION], works)
    assert said == "In line 7, write `size` in place of `size - 1`. Then your answer is right."


TWICE = """
def total(a, b, size):
    first = scaled(a, by=size)
    second = scaled(b, by=size)
    if size > 0 and a > b:
        return first - second
    return first + second
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("scaled", "other", "In line 3, write `scaled` in place of `other`. Do the same in line 4"),
        (", by=size", "", r"In line 3, add `by=size` to `scaled(…)`. Do the same in line 4"),
        ("size > 0 and", "size > 0 or", "In line 5, write `size > 0 and a > b` in place of"),
        (
            "(a, b, size)",
            "(b,\n    a,\n    size=1)",
            "In line 2, write `def total(a, b, size):` in",
        ),
    ],
)
def test_every_place_of_a_change_is_said_and_no_other(old, new, words):
    def values(source):
        def scaled(value, by=1):
            return value * by

        namespace = {"scaled": scaled, "other": lambda value, by=1: value * by + 1}
        exec(source, namespace)
        cases = [(3, 2, 4), (1, 2, 3), (2, 1, 0), (2, 2, 2), (5, 9, -1)]
        return [namespace["total"](*case) for case in cases]

    right = values(TWICE)
    wrong = TWICE.replace(old, new)
    assert values(wrong) != right

    def as_it_should(source):
        try:
            return values(source) == right
        except (SyntaxError, TypeError, NameError):
            return False

    said = corrections.found(wrong, [TWICE], as_it_should)
    assert said.startswith(words), said


STEP = """
def step(
    values, limit
):
    'One step.'
    values = sorted(values)
    total = sum(values)
    for n in range(len(values)):
        values[n] -= limit
    return total + values[0]
"""


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("    values = sorted(values)\n", "After line 5, add the line `values = sorted(values)`."),
        ("    total = sum(values)\n", "After line 6, add the line `total = sum(values)`."),
        # A loop is more than its first line.
        ("    for n in range(len(values)):\n        values[n] -= limit\n", ""),
    ],
)
def test_a_line_that_is_missing_is_said_where_it_belongs(lost, words):
    def results(source):
        namespace = {}
        try:
            exec(source, namespace)
            return [namespace["step"](values, 8) for values in ([3, 2, 5], [9, 1], [4, 4, 1])]
        except (NameError, KeyError, TypeError):
            return None

    wrong = STEP.replace(lost, "")
    assert results(wrong) != results(STEP)
    said = corrections.found(wrong, [STEP], lambda source: results(source) == results(STEP))
    assert said.startswith(words) if words else not said, said


def test_the_number_that_is_asked_for_is_not_told():
    right = 'sizes = {"first": (28 - 3) // 2 + 1, "second": 28 - 4}'

    def same(source):
        namespace = {}
        exec(source, namespace)
        return namespace.get("sizes") == {"first": 13, "second": 24}

    wrong = right.replace("// 2", "// 3")
    assert "write" in corrections.found(wrong, [right], same, is_value=True)
    wrong = right.replace("(28 - 3) // 2 + 1", "9")
    assert not corrections.found(wrong, [right], same, is_value=True)


def test_a_line_of_a_missing_else_comes_into_an_else():
    right = """
def f(x, on):
    y = x
    if on:
        x = x + 1
    else:
        y = 0
    return x, y
"""
    wrong = right.replace("    else:\n        y = 0\n", "")

    def same(source):
        names = {}
        exec(source, names)
        return [names["f"](3, on) for on in (True, False)] == [(4, 3), (3, 0)]

    said = corrections.found(wrong, [right], same)
    assert "Give the `if` in line 4 an `else:` with `y = 0`." in said


def test_a_condition_is_left_out_with_its_if():
    right = "total = [value for value in values]"
    wrong = "total = [value for value in values if value > 0]"
    names = {"values": [1, -1]}

    def same(source):
        exec(source, names)
        return names["total"] == [1, -1]

    said = corrections.found(wrong, [right], same, is_value=True)
    assert "leave out `if value > 0`" in said


def test_most_of_the_solution_is_not_told():
    wrong = """
def shrunk(values, size, rate=2):
    return [values[0]]
"""
    assert not corrections.found(wrong, [SOLUTION], works)


def test_a_check_ends_with_what_to_change():
    item = engine.find("gap.4")
    wrong = item.solution.replace("dim=1", "dim=0")
    assert wrong != item.solution
    answer = item.run(wrong)
    said = patiently(item.id, answer).message
    assert re.search(r"In line \d+, write `.*dim=1.*Then your answer is right\.", said), said
    assert (
        "Then your answer is right" not in engine.evaluate(item.id, answer, explain=False).message
    )


def test_a_text_is_that_of_the_answer_that_is_checked():
    item = engine.find("gap.4")
    item.run(item.solution.replace("dim=1", "dim=0"))  # another answer, made later
    said = engine.evaluate(item.id, lambda features, weight, classes: features.mean(dim=1)).message
    assert "Then your answer is right" not in said


def test_in_a_notebook_the_cell_of_the_answer_is_found(monkeypatch):
    """Of a function by its code, of a value among the cells that ran."""
    item, name = engine.find("gap.4"), "/tmp/ipykernel_1/2.py"
    source = item.solution.replace("dim=1", "dim=0") + "\ncheck('gap.4', class_map)"
    text = source.partition("\ncheck")[0]
    monkeypatch.setitem(linecache.cache, name, (1, None, source.splitlines(keepends=True), name))
    namespace = {"torch": torch}
    exec(compile(text, name, "exec"), namespace)
    said = patiently(item.id, namespace[item.answer]).message
    assert re.search(r"In line \d+, write `.*dim=1.*Then your answer is right\.", said), said

    item = engine.find("lenet.3")
    cells = ["1 + 1", item.solution.replace("// 2", "// 3"), f"check('lenet.3', {item.answer})"]
    assert cells[1] != item.solution
    value = item.run(cells[1], "cell of a notebook")
    shell = SimpleNamespace(user_ns={"In": cells, item.answer: value})
    monkeypatch.setattr(engine.notebook, "shell", lambda: shell)
    said = patiently(item.id, value).message
    assert re.search(r"write `.*// 2.* in place of `.*// 3", said), said


def test_a_candidate_changes_nothing_of_the_learners(monkeypatch):
    item, kept = engine.find("gap.4"), []
    wrong = item.solution.replace("    mix =", "    kept.append(1)\n    mix =").replace(
        "dim=1", "dim=0"
    )
    name = "/tmp/ipykernel_1/3.py"
    monkeypatch.setitem(linecache.cache, name, (1, None, wrong.splitlines(keepends=True), name))
    namespace = {"torch": torch, "kept": kept}
    exec(compile(wrong, name, "exec"), namespace)
    engine.evaluate(item.id, namespace[item.answer], explain=False)
    calls = len(kept)
    assert "Then your answer is right" in patiently(item.id, namespace[item.answer]).message
    assert len(kept) == 2 * calls  # those of the check itself


def test_what_is_to_be_replaced_is_in_the_learners_text():
    """A value that the comparison puts in the place of its name is not."""
    source = changed(
        "kept.append(sum(window) / size)", "total = sum(window)\n        kept.append(total * size)"
    )
    said = corrections.found(source, [SOLUTION], works)
    assert "in place of `total * size`" in said
    assert not corrections._is_literal("write `a` in place of `sum(window) * size`.", source)


def test_a_loop_that_is_too_much_is_left_out_as_a_whole():
    source = changed(
        "    return kept", "    for n in range(len(kept)):\n        kept[n] += n\n    return kept"
    )
    said = corrections.found(source, [SOLUTION], works)
    assert said.startswith("Leave out lines 7 to 8, `for n in range(len(kept)):` with all that is")


def test_a_dictionary_is_not_given_away():
    item = engine.find("one_by_one.1")
    swapped = """
counts = {"weights": 4_816_896, "macs": 6_144, "direct": 120_422_400, "detour": 12_443_648}
"""

    def is_right(text):
        try:
            return engine.evaluate(item.id, item.run(text), explain=False).outcome == "right"
        except NameError:  # the text no longer defines the answer
            return False

    assert not corrections.found(swapped, item.solutions, is_right, is_value=True)
