"""The engine behind the exercises, tried on small exercises made for the purpose."""

import contextlib
import copy
import json
import random
import re
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from exercises import compare, engine, texts, time_limit
from exercises.compare import Wrong
from exercises.engine import check, hint, solution, use

FAKES = {  # the exercises of a chapter that does not exist: answer, stub, solution
    "fake.1": (
        "add_one",
        '''
def add_one(x: float) -> float:
    """One more."""
    # Your code here.
    ...
''',
        "def add_one(x):\n    return x + 1",
    ),
    "fake.2": (
        "Block",
        """
class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        # Your code here.

    def forward(self, x):
        # Your code here.
        ...
""",
        """
class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x)).relu()
""",
    ),
    "fake.3": ("number", "number = ...", "number = 42"),
    "fake.4": (
        "repaired",
        "def repaired(x, power=1):\n    return [x**power, x]",
        "def repaired(x, power=2):\n    return [x**power, x]",
    ),
}


def check_add_one(answer, reference):
    compare.same_results(answer, reference, (1.0,), (2.0,))
    return "On two numbers."


def check_block(answer, reference):
    compare.same_outputs(compare.make(answer, 3), reference(3), (2, 3, 6, 6))


def check_number(answer):
    compare.expect_number(answer, 42, common={41: "One too few."})


def check_repaired(answer, reference):
    compare.same_results(answer, reference, (3,))


def fake_texts():
    """exercises.md of the fakes: four exercises and a question."""
    yield "Chapter: 77_fake\n"
    for id, (name, stub, code) in FAKES.items():
        yield f"# {id}: A title\n\n- difficulty: 1\n- minutes: 1\n- answer: {name}\n"
        yield f"## Task\n\nA task.\n\n## Stub\n\n```python\n{stub.strip()}\n```\n"
        yield "## Hint 1\n\nFirst hint.\n\n## Hint 2\n\nSecond hint.\n"
        yield f"## Solution\n\n```python\n{code.strip()}\n```\n\n## Explanation\n\nBecause.\n"
    yield "# fake.5: Why?\n\n- difficulty: 3\n- minutes: 5\n\n## Task\n\nWhy?\n"
    yield "## Hint 1\n\nThink.\n\n## Discussion\n\nTherefore.\n"


@pytest.fixture(autouse=True)
def fakes(monkeypatch, tmp_path):
    """The folder of the fakes as the only group, and an engine that is not run by pytest."""
    for name in ("COURSE_UNDER_PYTEST", "COURSE_SCOREBOARD", "COURSE_STRICT_EXERCISES"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "exercises" / "fake"
    folder.mkdir(parents=True)
    (folder / "exercises.md").write_text("\n".join(fake_texts()), encoding="utf-8")
    groups, read = texts.groups, texts.read
    monkeypatch.setattr(texts, "groups", lambda _=0: groups(tmp_path))
    monkeypatch.setattr(
        texts, "read", lambda group, language="en", _=0: read(group, language, tmp_path)
    )
    checks = [check_add_one, check_block, check_number, check_repaired]
    module = SimpleNamespace(**{f"fake_{n}": check for n, check in enumerate(checks, start=1)})
    monkeypatch.setitem(sys.modules, "exercises.fake.checks", module)
    for name in ("_last", "_hints_shown", "_given"):
        monkeypatch.setattr(engine, name, {})
    monkeypatch.setattr(engine, "_outcomes", set())
    engine._load.cache_clear()
    yield folder
    engine._load.cache_clear()


@pytest.fixture
def with_check(monkeypatch):
    """Puts another check in the place of that of fake.3."""

    def put(check):
        monkeypatch.setattr(sys.modules["exercises.fake.checks"], "fake_3", check)
        engine._load.cache_clear()

    return put


def answer(id, source=None):
    item = engine.find(id)
    return item.run(source or item.solution, "answer")


def outcome(id, value):
    result = engine.evaluate(id, value)
    return result.outcome, result.message


def test_an_answer_that_never_ends_is_interrupted(monkeypatch):
    monkeypatch.setattr(time_limit, "SECONDS", 0.3)
    never = answer("fake.1", "def add_one(x):\n    while True:\n        x = x + 1\n")
    result = engine.evaluate("fake.1", never)
    assert result.outcome == "wrong"
    assert "did not end within 0 seconds" in result.message
    assert "line" in result.message and "never ends" in result.message
    assert engine.evaluate("fake.1", answer("fake.1")).outcome == "right"


def test_nothing_is_interrupted_after_the_block():
    for _ in range(20):
        with contextlib.suppress(time_limit.TooLong), time_limit.limited(0.001):
            sum(range(20_000))
        sum(range(20_000))
    with pytest.raises(time_limit.TooLong), time_limit.limited(0.05):
        while True:
            pass
    sum(range(10**6))


# --- three outcomes -------------------------------------------------------------------------------


@pytest.mark.parametrize("id", FAKES)
def test_right(id):
    assert engine.evaluate(id, answer(id)).outcome == "right"


@pytest.mark.parametrize("id", FAKES)
@pytest.mark.parametrize("value", [None, ..., [1, ...], {"a": ...}])
def test_nothing_is_open(id, value):
    assert engine.evaluate(id, value).outcome == "open"


@pytest.mark.parametrize("id", FAKES)
def test_the_stub_is_open(id):
    state, message = outcome(id, answer(id, engine.find(id).stub))
    assert state == "open"
    assert f'hint("{id}")' in message


@pytest.mark.parametrize(
    "source",
    [
        "def add_one(x): ...",
        "def add_one(x: int):\n    '''Another docstring.'''\n    # another comment",
        "def add_one(x):\n    y = x\n    return ...",
        "def add_one(x):\n    raise NotImplementedError",
        "def add_one(x):\n    raise NotImplementedError('later')",
    ],
)
def test_unfinished_functions_are_open(source):
    assert engine.evaluate("fake.1", answer("fake.1", source)).outcome == "open"


def test_a_repair_that_is_not_begun_has_code_already():
    item = engine.find("fake.4")
    unchanged = engine.evaluate("fake.4", answer("fake.4", item.stub))
    assert unchanged.message.startswith("the code is still as it was given. hint(")
    for nothing in (None, ..., [1, ...]):
        assert engine.evaluate("fake.4", nothing).message.startswith("not attempted yet. hint(")
    for id in ("fake.1", "fake.2", "fake.3"):  # their stubs hold `...`
        stub = answer(id, engine.find(id).stub)
        assert engine.evaluate(id, stub).message.startswith("not attempted yet. hint(")


def test_a_dictionary_that_is_half_full_says_what_is_left():
    result = engine.evaluate("fake.3", {"a": 1, "b": ...})
    assert result.outcome == "open" and '"b" is still `...`.' in result.message


def test_arguments_in_another_order_come_before_their_consequences(with_check):
    """Whatever such an answer computes, this is the mistake."""
    item = engine.find("fake.4")
    assert engine._other_arguments(item, lambda power, x: x, False).startswith(
        "Your arguments come in another order than the task's: `power`, `x`; `x`, `power` is right"
    )
    assert "yours takes `a`, `x`" in engine._other_arguments(item, lambda a, x: a, True)
    assert not engine._other_arguments(item, lambda a, b: a, True)  # other names in their places
    item = engine.find("fake.1")
    assert engine._other_arguments(item, lambda *x: x, True) == (
        "`x` is one argument: write it without a star."
    )
    item = engine.find("fake.4")
    for fine in (lambda x, power=1: x, lambda a, b: a, lambda x, power=1, more=2: x, nn.ReLU()):
        assert not engine._other_arguments(item, fine, False)


def test_where_the_cause_is_known_nobody_gets_the_list_of_all_layers():
    error = "72 parameters; 80 are right. It consists of Conv2d(1→4, 3×3) → ReLU."
    assert engine._in_order("The bias is missing.", error).endswith("80 are right.")
    assert engine._in_order("", error) == error


def test_unfinished_classes_are_open():
    stub = engine.find("fake.2").stub
    assert engine.evaluate("fake.2", answer("fake.2", stub + "    # a comment\n")).outcome == "open"
    started = stub.replace("# Your code here.\n\n", "self.conv = nn.Conv2d(3, 4, 3)\n\n")
    assert started != stub
    assert outcome("fake.2", answer("fake.2", started))[0] == "wrong"  # forward gives None
    later = started.replace("        ...", "        raise NotImplementedError")
    assert later != started
    assert outcome("fake.2", answer("fake.2", later))[0] == "open"


def test_a_changed_default_is_an_attempt():
    assert outcome("fake.4", answer("fake.4"))[0] == "right"
    other = "def repaired(x, power=3):\n    return [x**power, x]"
    assert outcome("fake.4", answer("fake.4", other))[0] == "wrong"


@pytest.mark.parametrize(
    ("id", "source", "message"),
    [
        ("fake.1", "def add_one(x):\n    return x", "add_one(1) gives 1; right is 2."),
        (
            "fake.1",
            "def add_one(x):\n    x + 1",
            "add_one(1) gives nothing (None). Is the `return`",
        ),
        ("fake.1", "add_one = 3", "A function is expected, not 3."),
        (
            "fake.1",
            "def helper(x):\n    return x.size(0)\n\ndef add_one(x):\n    return helper(x)",
            "add_one(1) raised AttributeError: 'float' object has no attribute 'size' "
            '(line 2 of your cell: "return x.size(0)").',
        ),
        ("fake.3", "number = 41", "41 is not right. One too few."),
        ("fake.3", "number = 'many'", "A number is expected, not the text 'many'."),
        ("fake.3", "number = True", "A number is expected, not True."),
        ("fake.3", "number = torch.zeros(2)", "A number is expected, not the tensor [0.0, 0.0]."),
        (
            "fake.2",
            "def Block(channels):\n    nn.ReLU()",
            "Block(3) gives nothing (None), but a torch module is expected. Is the `return`",
        ),
        (
            "fake.2",
            "def Block(n):\n"
            "    return nn.Sequential(nn.Conv2d(n, 4, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU())",
            "your Sequential (given a tensor of shape (2, 3, 6, 6)) raised RuntimeError: "
            "running_mean should contain 4 elements not 5.",
        ),
        (
            "fake.2",
            "class Block(nn.Module):\n    def __init__(self, n):\n        super().__init__()",
            'raised NotImplementedError: Module [Block] is missing the required "forward"',
        ),
    ],
)
def test_wrong_answers_are_quoted(id, source, message):
    state, text = outcome(id, answer(id, source))
    assert state == "wrong"
    assert message in text
    assert "Traceback" not in text and "\n" not in text


def test_a_check_that_trips_over_the_answer_calls_it_wrong(with_check):
    with_check(lambda answer: answer.shape)
    state, text = outcome("fake.3", 7)
    assert state == "wrong"
    assert "your answer (7) could not be checked: AttributeError" in text


def test_a_plain_assert_in_a_check_is_a_message(with_check):
    def assert_even(answer):
        assert answer % 2 == 0, "An even number is expected."

    with_check(assert_even)
    state, text = outcome("fake.3", 7)
    assert state == "wrong"
    assert text.startswith("An even number is expected.")
    assert "could not be checked" not in text


# --- the learner's state --------------------------------------------------------------------------


def random_numbers():
    return random.random(), float(np.random.rand()), float(torch.rand(1))


@pytest.mark.parametrize(
    "source",
    [
        "def add_one(x):\n    torch.manual_seed(3)\n    return x + 1",
        "def add_one(x):\n    torch.rand(3)\n    raise ValueError",
        "def add_one(x):\n    torch.set_default_dtype(torch.float64)\n    return x + 1",
    ],
)
def test_random_state_and_settings_stay(source):
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random_numbers()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    with torch.no_grad():
        engine.evaluate("fake.1", answer("fake.1", source))
        use("fake.1", answer("fake.1", source))
        assert not torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert random_numbers() == expected


def test_checks_do_not_depend_on_the_learners_seed(with_check):
    values = []
    with_check(lambda answer: values.append(random_numbers()))
    for seed in (1, 2):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        engine.evaluate("fake.3", 42)
    assert values[0] == values[1]


def test_modules_stay_as_they_are():
    block = answer("fake.2")(3).eval()
    block(torch.rand(1, 3, 6, 6)).sum().backward()
    before = copy.deepcopy(block.state_dict())
    gradient = block.conv.weight.grad.clone()
    given = [block]  # for the first call; another one gets its own
    builder = answer("fake.2")
    assert outcome("fake.2", lambda n: given.pop() if given else builder(n))[0] == "right"
    assert not given
    assert not block.training
    assert all(torch.equal(before[name], value) for name, value in block.state_dict().items())
    assert torch.equal(block.conv.weight.grad, gradient)


def test_a_module_that_cannot_be_copied():
    block = answer("fake.2")(3)
    block.last = block(torch.rand(2, 3, 6, 6))
    state, text = outcome("fake.2", block)
    assert state == "wrong"
    assert "cannot be copied" in text


# --- check, use, hint, solution -------------------------------------------------------------------


def test_check_prints_one_of_three(capsys):
    check("fake.1", answer("fake.1"))
    check("fake.1", 1)
    check("fake.1", ...)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "fake.1 is right: On two numbers."
    assert lines[1] == "fake.1 is wrong: A function is expected, not 1."
    assert lines[2].startswith("fake.1 is open: not attempted yet.")


def test_use_hands_on_what_is_right(capsys):
    mine = answer("fake.1")
    assert use("fake.1", mine) is mine
    assert capsys.readouterr().out == "fake.1: the chapter goes on with your add_one.\n"
    for other in (..., 3, answer("fake.1", "def add_one(x):\n    return x")):
        course = use("fake.1", other)
        assert course(1) == 2
        assert (
            capsys.readouterr().out
            == "fake.1: the chapter goes on with the add_one of the course.\n"
        )


def test_what_the_course_gave_is_nobodys_answer(capsys):
    given = use("fake.1", 3)
    check("fake.1", given)
    assert "fake.1 is open: this is the course's" in capsys.readouterr().out
    assert use("fake.1", given)(1) == 2
    assert "goes on with the add_one of the course" in capsys.readouterr().out
    check("fake.1", answer("fake.1"))
    assert "fake.1 is right" in capsys.readouterr().out
    check("fake.3", use("fake.3", 41))  # 42 as an answer is no other object than the course's
    assert "fake.3 is right" in capsys.readouterr().out


def test_use_after_check_does_not_check_again(monkeypatch):
    calls = []
    evaluate = engine.evaluate
    monkeypatch.setattr(engine, "evaluate", lambda *a: calls.append(a) or evaluate(*a))
    mine = answer("fake.1")
    check("fake.1", mine)
    use("fake.1", mine)
    assert len(calls) == 1
    use("fake.1", mine)
    check("fake.1", 3)
    use("fake.1", mine)
    assert len(calls) == 4


def test_hints_come_one_at_a_time_and_end(capsys):
    for _ in range(3):
        hint("fake.1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "**Hint 1 of 2.** First hint."
    assert lines[1] == "**Hint 2 of 2.** Second hint."
    assert lines[2] == 'fake.1: there are no more hints. solution("fake.1") shows the solution.'


def test_solution_shows_code_and_explanation(capsys):
    solution("fake.1")
    out = capsys.readouterr().out
    assert "def add_one(x):\n    return x + 1" in out
    assert "Because." in out
    solution("fake.5")
    assert capsys.readouterr().out == "Therefore.\n"


@pytest.mark.parametrize("id", ["fake.11", "Fake.1", "fak.1"])
def test_unknown_ids_name_the_nearest(id):
    with pytest.raises(texts.UnknownExercise, match=r"Did you mean fake\.1"):
        check(id, 3)


def test_unknown_ids_far_from_all_list_all():
    with pytest.raises(texts.UnknownExercise, match=r"There are .*fake\.1, fake\.2"):
        hint("xyz")
    with pytest.raises(texts.UnknownExercise):
        hint(3)


def test_questions_have_no_check_and_say_so(capsys):
    check("fake.5", "because")
    printed = " ".join(capsys.readouterr().out.split())
    assert 'compare your answer with solution("fake.5")' in printed
    with pytest.raises(ValueError, match="open question"):
        engine.evaluate("fake.5", "because")


def test_a_tensor_with_a_history_is_copied_from_a_dictionary_too():
    value = torch.ones(2, requires_grad=True).sum()
    copied = engine._copy({"a": value, "b": [value, (value,)]})
    assert copied["a"].item() == copied["b"][1][0].item() == 2 and not copied["a"].requires_grad
    layer = nn.Linear(1, 1)
    first, second = engine._copy([layer, layer])
    assert first is second is not layer  # what was one thing stays one


def test_needs_and_given_are_at_hand():
    item = replace(engine.find("fake.3"), needs=("fake.1",), given="start = 40")
    assert item.run("number = add_one(add_one(start))") == 42


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fake_3", "fake.3 is an exercise with a stub: it needs a function `fake_3` in checks.py"),
        ("fake_5", "fake.5 is an open question: it needs no function `fake_5` in checks.py"),
    ],
)
def test_exercises_with_a_stub_and_only_they_have_a_check(name, message, monkeypatch):
    module = sys.modules["exercises.fake.checks"]
    monkeypatch.setattr(module, "__file__", "checks.py", raising=False)
    monkeypatch.setattr(module, name, check_number if name == "fake_5" else None, raising=False)
    with pytest.raises(texts.TextError, match=re.escape(message)):
        engine.exercises("fake")


# --- under pytest ---------------------------------------------------------------------------------


@pytest.fixture
def under_pytest(monkeypatch, tmp_path):
    board = tmp_path / "board.jsonl"
    monkeypatch.setenv("COURSE_UNDER_PYTEST", "1")
    monkeypatch.setenv("COURSE_SCOREBOARD", str(board))
    return lambda: [json.loads(line) for line in board.read_text("utf-8").splitlines()]


def test_wrong_raises_under_pytest_and_counts(under_pytest):
    check("fake.1", answer("fake.1"))
    check("fake.3", ...)
    with pytest.raises(engine.WrongAnswer) as caught:
        check("fake.3", 41)
    assert caught.value._render_traceback_() == ["fake.3 is wrong: 41 is not right. One too few."]
    assert [(e["exercise"], e["outcome"]) for e in under_pytest()] == [
        ("fake.1", "right"),
        ("fake.3", "open"),
        ("fake.3", "wrong"),
    ]
    assert under_pytest()[0]["all"] == ["fake.1", "fake.2", "fake.3", "fake.4"]


def test_a_second_check_of_what_the_course_gave_does_not_count(under_pytest, monkeypatch):
    """A `check` that raises puts the course's answer in place, so that the chapter goes on."""
    shell = SimpleNamespace(user_ns={}, kernel=None)
    monkeypatch.setattr(engine.notebook, "shell", lambda: shell)
    monkeypatch.setenv("COURSE_PROGRESS", "0")
    with pytest.raises(engine.WrongAnswer):
        check("fake.1", 3)
    check("fake.1", shell.user_ns["add_one"])
    check("fake.2", use("fake.2", ...))  # in the cell of the answer, before any check
    check("fake.4", answer("fake.4"))
    assert [(e["exercise"], e["outcome"]) for e in under_pytest()] == [
        ("fake.1", "wrong"),
        ("fake.2", "open"),
        ("fake.4", "right"),
    ]


def test_open_raises_where_the_tests_are_strict(under_pytest, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT_EXERCISES", "1")
    with pytest.raises(engine.WrongAnswer, match=r"fake\.3 is open"):
        check("fake.3", ...)


def test_examples_neither_raise_nor_count(under_pytest, capsys):
    check("fake.3", 41, example=True)
    assert capsys.readouterr().out == "fake.3 is wrong: 41 is not right. One too few.\n"
    with pytest.raises(FileNotFoundError):
        under_pytest()


KERNEL_CELLS = [
    "from exercises.engine import check, hint, solution, use",
    "def accuracy(logits, labels):\n    return (logits.argmax(0) == labels).sum()",
    'check("start.2", accuracy)\naccuracy = use("start.2", accuracy)',
    'import torch\nprint("goes on with", accuracy(torch.eye(4), torch.arange(4)))',
    'hint("start.2")\nsolution("start.2")',
    'check("start.22", 1)',
]


@pytest.fixture(scope="module")
def kernel_runs():
    """The same cells in a real kernel: as in JupyterLab, and as under pytest."""
    authoring = pytest.importorskip("tools.authoring", reason="nbclient is not installed")

    def run(**variables):
        nb = authoring.notebook(
            [authoring.code(c, tags=["raises-exception"]) for c in KERNEL_CELLS],
            title="Kernel",
            minutes=1,
        )
        return authoring.execute(nb, budget="smoke", timeout=120, **variables).cells

    return run(), run(COURSE_UNDER_PYTEST="1")


def test_in_jupyterlab_a_wrong_answer_prints_and_goes_on(kernel_runs):
    cells, _ = kernel_runs
    (output,) = cells[2].outputs
    assert output.output_type == "stream"
    assert output.text.startswith("start.2 is wrong: Two things are wrong. (1) You count the right")
    assert "goes on with the accuracy of the course" in output.text
    assert cells[3].outputs[0].text == "goes on with 1.0\n"


def test_under_pytest_a_wrong_answer_is_an_error_and_the_next_cell_runs(kernel_runs):
    _, cells = kernel_runs
    (output,) = cells[2].outputs
    assert output.output_type == "error"
    assert output.ename == "WrongAnswer"
    assert len(output.traceback) == 1
    assert output.traceback[0].startswith("start.2 is wrong: ")
    assert cells[3].outputs[0].text == "goes on with 1.0\n"


def test_hints_and_solutions_are_markdown_in_a_notebook(kernel_runs):
    cells, _ = kernel_runs
    texts = [output.data["text/markdown"] for output in cells[4].outputs]
    assert texts[0].startswith("**Hint 1 of 2.**")
    assert texts[1].startswith("```python\ndef accuracy")


def test_unknown_ids_show_no_traceback(kernel_runs):
    cells, _ = kernel_runs
    (output,) = cells[5].outputs
    assert output.traceback == ["There is no exercise 'start.22'. Did you mean start.2 or start.1?"]


# --- comparing ------------------------------------------------------------------------------------


class Reference(nn.Module):
    def __init__(self, dropout=0.5, bias=True, norm=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.mix = nn.Conv2d(8, 4, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        return self.dropout(self.mix(x).relu())


class OtherSpelling(nn.Module):
    """The same network: other names, other order, a linear layer at each pixel, one by weights."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(8, 4)
        self.b = nn.Parameter(torch.zeros(8))
        self.between = nn.BatchNorm2d(8)
        self.w = nn.Parameter(torch.randn(8, 3, 3, 3))

    def forward(self, x):
        x = torch.nn.functional.conv2d(x, self.w, self.b, padding=1)
        x = torch.relu(self.between(x)).movedim(1, -1)
        x = self.last(x).movedim(-1, 1).clamp(min=0)
        return torch.nn.functional.dropout(x, 0.5, self.training)


def difference(module, **options):
    torch.manual_seed(0)
    try:
        compare.same_outputs(module, Reference(), (2, 3, 6, 6), (3, 3, 5, 7), **options)
    except Wrong as error:
        return str(error)
    return None


def changed(**replaced):
    """Reference with another forward, made of a function of the module and the input."""
    module = Reference()
    module.__class__ = type("Changed", (Reference,), replaced)
    return module


@pytest.mark.parametrize("module", [Reference(), Reference().eval(), OtherSpelling()])
def test_same_outputs_does_not_care_for_spelling(module):
    assert difference(module) is None


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (3, "A torch module is expected, not 3"),
        (Reference(bias=False), r"has 268 parameters; 276 are right"),
        (Reference(norm=False), r"has 260 parameters; 276 are right"),
        (Reference(dropout=0.4), "other values in train mode"),
        (
            changed(forward=lambda self, x: self.mix(self.norm(self.conv(x)).relu()).relu()),
            "other values in train mode",
        ),
        (
            changed(forward=lambda self, x: self.dropout(self.mix(self.norm(self.conv(x)).relu()))),
            "other values in train mode",
        ),
        (
            changed(
                forward=lambda self, x: nn.functional.dropout(
                    self.mix(self.norm(self.conv(x)).relu()).relu(), 0.5
                )
            ),
            "other values in eval mode",
        ),
        (
            changed(forward=lambda self, x: Reference.forward(self, x).detach()),
            "the gradients do not: is something detached",
        ),
        (
            changed(forward=lambda self, x: Reference.forward(self, x.detach())),
            "the gradients do not",
        ),
        (
            changed(
                forward=lambda self, x: self.dropout(
                    self.mix(self.norm(self.conv(x)).relu().detach()).relu()
                )
            ),
            "the gradients do not",
        ),
        (
            changed(
                forward=lambda self, x: self.dropout(
                    nn.functional.conv2d(
                        self.norm(self.conv(x)).relu(), self.mix.weight.detach(), self.mix.bias
                    ).relu()
                )
            ),
            "the gradients do not",
        ),
        (
            changed(
                forward=lambda self, x: Reference.forward(self, x)[..., 0 if self.training else 1 :]
            ),
            r"In eval mode: For an input of shape \(2, 3, 6, 6\) .* \(2, 4, 6, 5\)",
        ),
        (changed(forward=lambda self, x: None), r"gives nothing \(None\).*`return` of `forward`"),
        (
            changed(forward=lambda self, x: Reference.forward(self, x)[..., 1:]),
            r"input of shape \(2, 3, 6, 6\) your module gives the shape \(2, 4, 6, 5\); "
            r"\(2, 4, 6, 6\) is right",
        ),
        (
            changed(forward=lambda self, x: (Reference.forward(self, x), x.zero_())[0]),
            "changes its input in place",
        ),
        (nn.Conv2d(3, 4, 3, padding=1), r"has 112 parameters; 276 are right.*Conv2d\(3→4, 3×3"),
    ],
)
def test_same_outputs_finds(module, message):
    found = difference(module)
    assert found is not None
    assert re.search(message, found), found


def test_the_weights_of_two_equal_layers_may_be_registered_the_other_way_round():
    class Twice(nn.Module):
        def __init__(self, names):
            super().__init__()
            for name in names:
                setattr(self, name, nn.Linear(4, 4))

        def forward(self, x):
            return self.second(self.first(x).relu())

    compare.same_outputs(Twice(["second", "first"]), Twice(["first", "second"]), (3, 4))


def test_values_that_start_at_zero_do_not_hide():
    class Shift(nn.Module):
        def __init__(self, used):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(4))
            self.used = used

        def forward(self, x):
            return x + self.shift if self.used else x + 0 * self.shift

    with pytest.raises(Wrong, match="other values for an input"):
        compare.same_outputs(Shift(False), Shift(True), (2, 4))


@pytest.mark.parametrize(
    ("backwards", "functional"), [(False, []), (True, []), (False, ["first"]), (False, ["third"])]
)
def test_many_equal_layers_are_matched_by_call_or_registration(backwards, functional):
    names = ["first", "second", "third", "fourth", "fifth"]

    class Chain(nn.Module):
        def __init__(self, order, functional=()):
            super().__init__()
            self.functional = functional
            for name in order:
                setattr(self, name, nn.Linear(4, 4))

        def forward(self, x):
            for name in names:
                layer = getattr(self, name)
                if name in self.functional:  # so that the layer itself is never called
                    x = nn.functional.linear(x, layer.weight, layer.bias).tanh()
                else:
                    x = layer(x).tanh()
            return x

    answer = Chain(names[::-1] if backwards else names, functional)
    compare.same_outputs(answer, Chain(names), (3, 4))


def test_two_parameters_of_one_module_may_be_registered_the_other_way_round():
    class Affine(nn.Module):
        def __init__(self, names):
            super().__init__()
            for name in names:
                setattr(self, name, nn.Parameter(torch.randn(4, 1, 1)))

        def forward(self, x):
            return self.scale * x + self.shift

    reference = Affine(["scale", "shift"])
    compare.same_outputs(Affine(["shift", "scale"]), reference, (2, 4, 3, 3))

    class Wrongly(Affine):
        def forward(self, x):
            return self.scale * (x + self.shift)

    with pytest.raises(Wrong, match="other values for an input"):
        compare.same_outputs(Wrongly(["shift", "scale"]), reference, (2, 4, 3, 3))


def test_a_known_mistake_is_named():
    mistakes = {"The dropout is too weak.": lambda: Reference(dropout=0.4)}
    found = difference(Reference(dropout=0.4), mistakes=mistakes)
    assert found.startswith("The dropout is too weak. Your module consists of Conv2d(3→8, 3×3, ")
    assert "other values" in difference(Reference(dropout=0.3), mistakes=mistakes)
    assert difference(Reference(), mistakes=mistakes) is None


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_tensor_inside_a_tuple_is_no_tensor(kind):
    class Wrapped(Reference):
        def forward(self, *given):
            return kind([super().forward(*given)])

    assert f"gives a {kind.__name__}; a tensor is right" in difference(Wrapped())


def test_what_the_list_of_layers_leaves_out_is_said():
    note = "(functions that `forward` calls are not listed)"
    assert note in difference(Reference(dropout=0.3))
    chain = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(Wrong, match="consists of Flatten → Linear") as caught:
        compare.same_outputs(chain, nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (2, 1, 2, 2))
    assert note not in str(caught.value)


def test_layers_in_one_line():
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(6, 6, (1, 3), stride=2, groups=6, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 10, bias=False)),
    )
    assert compare.layers(net) == (
        "Conv2d(1→6, 5×5, padding 2) → ReLU → MaxPool2d(3×3, stride 2, padding 1) → "
        "Conv2d(6→6, 1×3, stride 2, groups 6, no bias) → AdaptiveAvgPool2d(1×1) → Flatten → "
        "Dropout(0.5) → Linear(6→10, no bias)"
    )


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1.0, 1.00001, True),
        (1.0, 1.001, False),
        (torch.ones(2), [1, 1], False),  # a tensor is no list
        (torch.ones(2), torch.ones(2, dtype=torch.float64), True),
        (torch.ones(2), torch.ones(2, 1), False),
        (torch.tensor(3), 3, True),
        (float("nan"), float("nan"), False),
        ([1, (2.0, None)], [1, (2, None)], True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        ("1", 1, False),
        (None, 0, False),
        (1000.05, 1000.0, True),
    ],
)
def test_close(a, b, expected):
    assert compare.close(a, b) is expected


def test_expect_parameters():
    compare.expect_parameters(nn.Linear(2, 3), 9)
    with pytest.raises(Wrong, match=r"has 6 parameters; 9 are right\. No bias\."):
        compare.expect_parameters(nn.Linear(2, 3, bias=False), 9, {6: "No bias."})


def test_counting_leaves_out_what_is_frozen():
    layer = nn.Linear(2, 3)
    layer.bias.requires_grad_(False)
    assert compare.count_parameters(layer) == 6


def message_of(function, *args, **kwargs):
    with pytest.raises(compare.Wrong) as caught:
        function(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (2, "2 is not right. Twice."),
        (3, "3 is not right. It is much too small. Begin with the rows."),
        (61.93, "61.93 is not right. This is in millions; write the number itself, every digit."),
        (61_900_000, "61,900,000 is not right. This is rounded; more digits are asked for."),
        (-61_931_520, "-61,931,520 is not right. The sign is wrong."),
        (6_193_152, "6,193,152 is not right. This is 10 times too small: count the digits."),
        (61_931_521, "61,931,521 is not right. It is one too many."),
        (61_931_720, "61,931,720 is not right. All digits are right but one. Begin with the rows."),
        (
            61_931_520 / 1024,
            "60,480 is not right. This is divided by 1,024 (K); write the number itself.",
        ),
        (Fraction(1, 3), "0.3333333333 is not right. It is much too small. Begin with the rows."),
        (Decimal(3), "3 is not right. It is much too small. Begin with the rows."),
        (Decimal("Infinity"), "inf is not right. Begin with the rows."),
        (float("nan"), "This is not a number (nan), as 0/0 or infinity minus infinity gives."),
        (torch.tensor(3), "3 is not right. It is much too small. Begin with the rows."),
        (np.arange(2), "A number is expected, not array([0, 1])."),
    ],
)
def test_a_known_cause_comes_first_and_the_general_hint_last(number, message):
    options = {"common": {2: "Twice."}, "otherwise": "Begin with the rows."}
    assert message_of(compare.expect_number, number, 61_931_520, **options) == message


def test_where_rounding_is_allowed_rounded_mistakes_are_known_too():
    options = {"common": {50.26: "Half of it."}, "tolerance": 0.006}
    compare.expect_number(100.52, 100.524, **options)
    text = "50.3 is not right. Half of it."
    assert message_of(compare.expect_number, 50.3, 100.524, **options) == text


@pytest.mark.parametrize(("mistake", "tolerance"), [(7, 0.0), (7.0, 0.0), (7.04, 0.05)])
def test_a_mistake_that_equals_the_right_number_is_refused(mistake, tolerance):
    with pytest.raises(ValueError, match="7 is right and is among the common mistakes: Never seen"):
        compare.expect_number(7, 7, {mistake: "Never seen."}, tolerance)


RIGHT = {"parameters": 60_928, "macs": 61_931_520, 3: 7}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([1, 2], 'A dictionary with the keys "parameters", "macs" and 3 is expected, not [1, 2].'),
        (
            {"parameters": 60_928},
            '"macs" and 3 are missing. A dictionary with the keys "parameters", "macs" and 3 is '
            "expected.",
        ),
        (RIGHT | {"macs": "many"}, "\"macs\": A number is expected, not the text 'many'."),
        (RIGHT | {"macs": 60_928}, '"macs": 60,928 is not right. This is the number for "para'),
        (RIGHT | {"macs": 2 * 61_931_520}, '"macs": 123,863,040 is not right. One multiply-accum'),
        (RIGHT | {"macs": 61_931_520 / 2}, '"macs": 30,965,760 is not right. This is half of it'),
        (RIGHT | {"macs": 62_390_272}, "Biases are added, not multiplied; MACs leave them out."),
        (RIGHT | {"parameters": 60_480}, "These are the weights; every output has a bias too."),
        (RIGHT | {3: 8}, "3: 8 is not right. The biases are in it; they are left out here."),
        (RIGHT | {3: 14}, "3: 14 is not right. My own."),
        (RIGHT | {3: 5}, "3: 5 is not right. Begin."),
    ],
)
def test_numbers_of_a_dictionary(answer, message):
    options = {
        "common": {3: {14: "My own."}},
        "macs": ["macs"],
        "without_biases": {"parameters": 60_480},
        "with_biases": {"macs": 62_390_272, 3: 8},
        "otherwise": {3: "Begin."},
    }
    compare.expect_numbers(RIGHT | {"more": None}, RIGHT, **options)
    assert message in message_of(compare.expect_numbers, answer, RIGHT, **options)


def test_keys_that_are_texts_are_told_from_missing_ones():
    text = message_of(compare.expect_keys, {"1": 5, "2": 6}, [1, 2])
    assert text == "The keys are texts; they should be numbers: 1 and not '1'."


def centre(x, shift=0.0):
    return x - x.mean() - shift, x.mean(), x.var()


def test_the_wrong_values_of_a_tuple_are_named():
    def checked(answer):
        parts = ("the result", "the mean", "the variance")
        return message_of(compare.same_results, answer, centre, (torch.arange(9.0),), parts=parts)

    assert "gives a wrong value for the result; the mean and the variance are right." in checked(
        lambda x: centre(x, shift=1.0)
    )
    assert "for the result (of shape (3, 3), not (9,)) and for the variance; the mean is" in (
        checked(lambda x: ((x - x.mean()).reshape(3, 3), x.mean(), x.std()))
    )
    assert "a tuple of 2 values; 3 values (the result, the mean, the variance) are right" in (
        checked(lambda x: centre(x)[:2])
    )
    assert "gives a tensor of shape (9,); 3 values" in checked(lambda x: centre(x)[0])


def test_same_results_asks_for_an_explanation_of_the_first_difference():
    asked = []

    def explain(case, mine, right):
        asked.append((case, mine, right))
        return "Here is why."

    def half(x):
        return 1 / x if x else 0

    text = message_of(compare.same_results, lambda x: 1 / x, half, (2,), (0,), explain=explain)
    assert text.endswith("Here is why.") and "ZeroDivisionError" in text
    [(case, mine, right)] = asked
    assert case == (0,) and right == 0 and isinstance(mine.__cause__, ZeroDivisionError)


def test_another_exception_of_the_same_type_is_another_mistake():
    mistakes = {"It divides by the length.": lambda x: x @ torch.ones(len(x) + 1)}
    case = (torch.ones(3),)
    text = message_of(compare.same_results, lambda x: x @ torch.ones(5), torch.sum, case)
    assert "RuntimeError" in text
    for size, named in ((4, True), (5, False)):
        text = message_of(
            compare.same_results,
            lambda x, size=size: x @ torch.ones(size),
            torch.sum,
            case,
            mistakes=mistakes,
        )
        assert ("It divides by the length." in text) == named


def test_the_argument_that_is_changed_in_place_is_named():
    def answer(x, scale):
        scale.mul_(2)
        return x * scale / 2

    case = (torch.ones(2), torch.ones(2))
    text = message_of(compare.same_results, answer, lambda x, scale: x * scale, case)
    assert "changes its argument `scale` in place" in text


@pytest.mark.parametrize("setting, new", [("groups", 1), ("stride", (2, 2)), ("dilation", (3, 3))])
def test_the_setting_that_is_left_changed_is_named(setting, new):
    def answer(x, layer):
        right = layer(x)
        setattr(layer, setting, new)
        return right

    case = (torch.ones(1, 4, 7, 7), torch.nn.Conv2d(4, 4, 3, groups=4))
    text = message_of(compare.same_results, answer, lambda x, layer: layer(x), case)
    assert f"leaves `layer` changed: its `{setting}` was" in text and f"is {new}." in text


def test_wrong_numbers_are_not_called_right_where_a_setting_is_left_changed():
    def answer(x, layer):
        layer.stride = (2, 2)
        return layer(x)

    layer = torch.nn.Conv2d(4, 4, 3)
    layer.seen = torch.ones(3)  # no setting, and no single truth value
    text = message_of(
        compare.same_results, answer, lambda x, layer: layer(x), (torch.ones(1, 4, 7, 7), layer)
    )
    assert "leaves `layer` changed: its `stride` was (1, 1)" in text
    assert "right numbers" not in text


def test_gradients_that_are_left_switched_off_are_named():
    def answer(x):
        torch.set_grad_enabled(False)
        return x * 2

    text = message_of(compare.same_results, answer, lambda x: x * 2, (torch.ones(3),))
    assert "leaves gradients switched off for the whole program" in text
    assert torch.is_grad_enabled()


def test_the_mode_may_change():
    def answer(x, layer):
        return layer.eval()(x)

    case = (torch.ones(2, 4), torch.nn.Sequential(torch.nn.Linear(4, 4)))
    compare.same_results(answer, lambda x, layer: layer(x), case)


@pytest.mark.parametrize(
    "function",
    [
        nn.Conv2d(3, 2, 1),
        nn.Sequential(nn.LazyConv2d(2, 1)),
        lambda x: nn.functional.conv2d(x, torch.ones(2, 3, 1, 1)),
        lambda x: nn.functional.conv1d(x.flatten(2), torch.ones(2, 3, 1)),
        lambda x: torch.conv2d(x, torch.ones(2, 3, 1, 1)),
        lambda x: nn.functional.conv_transpose2d(x, torch.ones(3, 2, 1, 1)),
    ],
)
def test_operations_see_every_convolution(function):
    assert compare.operations(function, torch.ones(1, 3, 4, 4))["convolution"] == 1


def test_operations_see_no_convolution_where_there_is_none():
    def products(x):
        return torch.einsum("nchw,oc->nohw", x, torch.ones(2, 3)).relu()

    counts = compare.operations(products, torch.ones(1, 3, 4, 4))
    assert counts["relu"] == 1 and not [name for name in counts if "conv" in name]
