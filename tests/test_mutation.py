"""The checks of the exercises reject the solutions with a mistake in them, and accept them in other
words. A sample of both here; all in the long tier, and by `python -m benchmarks.mutation`."""

import random
import time

import mutation
import mutation_probes
import pytest

from benchmarks import common
from benchmarks import mutation as benchmark
from exercises import engine
from exercises.compare import Wrong

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
    if item.id in mutation_probes.known():  # a probe that sees no difference proves nothing
        answers = [outcome.answer for outcome in tried.values() if outcome.kind == "rejected"]
        seen = sum(bool(mutation_probes.difference(item, answer)) for answer in answers)
        assert seen >= 0.9 * len(answers), f"the probe sees {seen} of {len(answers)} mistakes"


@pytest.mark.long
@pytest.mark.parametrize("item", CHECKED, **by_id)
def test_every_other_style_is_accepted(item):
    for mutant, outcome in try_all(item, mutation.restyled(item)).items():
        assert outcome.kind in ("survived", "same"), f"{mutant.name}: {outcome.message}"


# --- the list of survivors, and the stored counts ------------------------------------------------


def test_every_listed_survivor_is_a_mutant_with_a_reason():
    for id, reasons in mutation.survivors().items():
        names = {mutant.name for mutant in mutation.all_mutants(id)}
        for name, reason in reasons.items():
            assert name in names, f"{id} has no mutant {name}"
            assert reason.kind in ("equivalent", "accepted")
            assert len(reason.why) > 20


def test_the_stored_counts_are_those_of_the_exercises():
    """Enough is rejected, and what is stored was counted for today's solutions and list."""
    stored = common.read("mutation.json")
    assert stored["exercises"].keys() == {item.id for item in CHECKED}
    for item in CHECKED:
        counts = stored["exercises"][item.id]
        command = f"run python -m benchmarks.mutation {item.id}"
        reasons = [reason.kind for reason in mutation.survivors().get(item.id, {}).values()]
        assert counts["mutants"] == len(mutation.all_mutants(item.id)), command
        if item.id != mutation.OPEN_DESIGN:
            assert counts["accepted"] == reasons.count("accepted"), command
        assert counts["equivalent"] == reasons.count("equivalent"), command
        assert counts["missed"] == counts["crashed"] == 0, command
    assert {key: stored[key] for key in ("course", "chapters")} == {
        key: benchmark.summarise(stored["exercises"])[key] for key in ("course", "chapters")
    }
    assert stored["course"]["rate"] >= 0.95
    assert all(chapter["rate"] >= 0.9 for chapter in stored["chapters"].values())


# --- the tool itself -----------------------------------------------------------------------------

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
        "line 2: without `2`",
        "line 5: `4` becomes `5`",
        "line 5: `4` and `8` exchanged",
        "line 6: `channels` becomes `stride`",
        "line 6: `channels` and `width` exchanged",
        "line 6: without `padding=1`",
        "line 6: `3` becomes `2`",
        "line 7: without `nn.ReLU()`",
        "line 7: `nn.ReLU` becomes `nn.LeakyReLU`",
        "line 5: `return` inside the loop",
        "line 4: without `parts = []`",
    ],
)
def test_mistakes_that_learners_make_are_among_the_mutants(name):
    assert name in [mutant.name for mutant in mutation.mutants(SOURCE)]


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
    with pytest.raises(mutation.TimeUp), mutation.time_limit(0.2):
        while True:
            pass
    assert time.monotonic() - start < 30
    with mutation.time_limit(0.1):
        pass
    time.sleep(0.3)  # nothing comes late


@pytest.fixture
def gap(monkeypatch):
    """An exercise whose check can be exchanged."""
    item = engine.find("nin.4")

    def with_check(check):
        object.__setattr__(item, "check", check)
        return item

    before = item.check
    yield with_check
    object.__setattr__(item, "check", before)


def test_a_check_that_sees_nothing_is_noticed(gap):
    item = gap(lambda answer: "fine")
    found = mutation.complaints(item, try_all(item, mutation.all_mutants(item.id)))
    assert any("survives and is not listed" in text for text in found)


def test_a_check_that_fails_is_noticed(gap):
    item = gap(lambda answer: answer.nothing)
    found = mutation.complaints(item, try_all(item, mutation.all_mutants(item.id)))
    assert any("the check fails over" in text for text in found)


def test_a_survivor_that_is_rejected_must_leave_the_list(gap):
    def refuse(answer):
        raise Wrong("no")

    item = gap(refuse)
    found = mutation.complaints(item, try_all(item, mutation.all_mutants(item.id)))
    assert any("is listed as a survivor and is rejected" in text for text in found)


def test_what_is_called_equivalent_is_compared(monkeypatch):
    item = engine.find("nin.4")
    mutant = next(m for m in mutation.all_mutants(item.id) if "`maps.sum`" in m.name)
    reason = mutation.Reason("equivalent", "because it is said to be")
    monkeypatch.setattr(mutation, "survivors", lambda: {item.id: {mutant.name: reason}})
    answer = item.run(mutant.source)
    tried = {mutant: mutation.Outcome("survived", "", answer)}
    assert "is listed as equivalent, but the results differ" in mutation.complaints(item, tried)[0]
