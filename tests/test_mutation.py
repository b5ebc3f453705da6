"""The checks of the exercises reject the solutions with a mistake in them, and accept them in other
words. A sample of both here; all in the long tier, and by `python -m benchmarks.mutation`."""

import random
import time
from dataclasses import replace

import pytest

from benchmarks import common
from exercises import engine, mutation
from exercises.compare import Wrong
from exercises.time_limit import limited

CHECKED = [item for item in engine.exercises() if item.check]
# A check of these trains or measures for seconds.
SLOW = {"vgg.7", "nin.7", "resnet.8", "inception.6", "choosing.7"}
QUICK = [item for item in CHECKED if item.id not in SLOW]
SAMPLE = 2  # mutants of an exercise, and ways to write it


def sample(item, mutants):
    mutants = list(mutants)
    return random.Random(item.id).sample(mutants, min(SAMPLE, len(mutants)))


def try_all(item, mutants):
    return {mutant: mutation.try_out(item, mutant) for mutant in mutants}


by_id = {"ids": lambda item: item.id}


@pytest.mark.parametrize("item", QUICK, **by_id)
def test_a_sample_of_mutants_is_rejected(item):
    tried = try_all(item, sample(item, mutation.all_mutants(item.id)))
    assert not mutation.complaints(item, tried)


@pytest.mark.parametrize("item", QUICK, **by_id)
def test_a_sample_of_other_styles_is_accepted(item):
    for mutant, outcome in try_all(item, sample(item, mutation.restyled(item))).items():
        assert outcome.kind in ("survived", "same"), f"{mutant.name}: {outcome.message}"


@pytest.mark.long
@pytest.mark.parametrize("item", CHECKED, **by_id)
def test_every_mutant_is_rejected_or_listed(item):
    tried = try_all(item, mutation.all_mutants(item.id))
    assert not mutation.complaints(item, tried)
    counts = mutation.tally(item, tried)
    if item.id != mutation.OPEN_DESIGN:
        assert counts["rejected"] > 0
    stored = common.read("mutation.json")["exercises"][item.id]
    assert counts == stored, "run python -m benchmarks.mutation"
    if mutation.has_probe(item.id):  # a probe that sees no difference proves nothing
        answers = [outcome.answer for outcome in tried.values() if outcome.kind == "rejected"]
        seen = sum(bool(mutation.difference(item, answer)) for answer in answers)
        assert seen >= 0.9 * len(answers), f"the probe sees {seen} of {len(answers)} mistakes"


@pytest.mark.long
@pytest.mark.parametrize("item", CHECKED, **by_id)
def test_every_other_style_is_accepted(item):
    for mutant, outcome in try_all(item, mutation.restyled(item)).items():
        assert outcome.kind in ("survived", "same"), f"{mutant.name}: {outcome.message}"


# --- the list of survivors, and the stored counts -------------------------------------------------


@pytest.mark.parametrize("item", CHECKED, **by_id)
def test_every_listed_survivor_is_a_mutant(item):
    listed = mutation.survivors(item.id)
    assert not listed or listed.keys() <= {m.name for m in mutation.all_mutants(item.id)}


def test_the_stored_rates_are_high_enough():
    stored = common.read("mutation.json")
    assert stored["exercises"].keys() == {item.id for item in CHECKED}
    assert not any(counts["missed"] + counts["crashed"] for counts in stored["exercises"].values())
    assert stored["course"]["rate"] >= 0.95
    assert all(chapter["rate"] >= 0.9 for chapter in stored["chapters"].values())


# --- the tool itself ------------------------------------------------------------------------------

SOURCE = '''
def build(channels: int, stride: int = 2) -> nn.Module:
    """A text."""
    parts = []
    for width in (4, 8):
        parts.append(nn.Conv2d(channels, width, 3, padding=1))
    return nn.Sequential(*parts, nn.ReLU())
'''


@pytest.mark.parametrize(
    "name",
    [
        "without `2`",
        "`4` becomes `5`",
        "`4` and `8` exchanged",
        "`channels` becomes `stride`",
        "`channels` and `width` exchanged",
        "without `padding=1`",
        "`3` becomes `2`",
        "without `nn.ReLU()`",
        "`nn.ReLU` becomes `nn.LeakyReLU`",
        "`return` inside the loop",
        "without `parts = []`",
        "`2` becomes `3` in `second = first * 2 + 2`",
        "`2` becomes `3` in `second = first * 2 + 2` #2",
        "`2` becomes `3` in `first = 2`",
    ],
)
def test_mistakes_that_learners_make_are_among_the_mutants(name):
    more = "first = 2\nsecond = first * 2 + 2\n"
    assert name in [m.name for m in mutation.mutants(SOURCE) + mutation.mutants(more)]


def test_mutants_differ_from_each_other_and_can_be_compiled():
    made = mutation.mutants(SOURCE)
    assert len({m.name for m in made}) == len({m.source for m in made}) == len(made) > 30
    assert not any("`int`" in mutant.name or "`'A text" in mutant.name for mutant in made)
    for mutant in made:
        compile(mutant.source, "mutant", "exec")


def test_a_bias_is_forgotten():
    made = mutation.mutants("layer = nn.Linear(3, 4)\nother = nn.Linear(3, 4, bias=False)\n")
    sources = [mutant.source for mutant in made]
    assert "layer = nn.Linear(3, 4, bias=False)\nother = nn.Linear(3, 4, bias=False)" in sources
    assert "layer = nn.Linear(3, 4)\nother = nn.Linear(3, 4)" in sources


def test_values_are_changed_one_at_a_time():
    value = {"a": 3, "b": (1, 2)}
    made = dict(mutation.changed_values(value))
    assert made["answer['a']: + 1"] == {"a": 4, "b": (1, 2)}
    assert made["answer['b']: [0] and [1] exchanged"] == {"a": 3, "b": (2, 1)}
    assert made["answer: 'a' and 'b' exchanged"] == {"a": (1, 2), "b": 3}
    assert made["answer: without 'a'"] == {"b": (1, 2)}
    assert all(new != value for new in made.values())


def test_an_endless_loop_is_ended():
    start = time.monotonic()
    with pytest.raises(mutation.TimeUp), limited(0.2, mutation.TimeUp):
        while True:
            pass
    assert time.monotonic() - start < 30
    with limited(0.1, mutation.TimeUp):
        pass
    time.sleep(0.3)  # nothing comes late


def refuse(answer):
    raise Wrong("no")


@pytest.mark.parametrize(
    ("check", "complaint"),
    [
        (lambda answer: "fine", "survives and is not listed"),
        (lambda answer: answer.nothing, "the check fails over"),
        (refuse, "is listed as a survivor and is rejected"),
    ],
)
def test_a_check_that_sees_nothing_or_too_much_is_noticed(check, complaint, monkeypatch):
    item = replace(engine.find("nin.4"), check=check)
    monkeypatch.setattr(engine, "find", lambda id: item)
    found = mutation.complaints(item, try_all(item, mutation.all_mutants(item.id)))
    assert any(complaint in text for text in found)


def test_what_is_called_equivalent_is_compared(monkeypatch):
    item = engine.find("nin.4")
    mutant = next(m for m in mutation.all_mutants(item.id) if "`maps.sum`" in m.name)
    monkeypatch.setattr(mutation, "survivors", lambda _: {mutant.name: "equivalent"})
    answer = item.run(mutant.source)
    tried = {mutant: mutation.Outcome("survived", "", answer)}
    assert "is listed as equivalent, but the results differ" in mutation.complaints(item, tried)[0]
