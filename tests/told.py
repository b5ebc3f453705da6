"""What a check says to an answer, found with as little search as the mistake needs."""

import re

import pytest

from exercises import engine, mistakes, repairs

# Each finds more than the one before it, and takes longer.
EFFORTS = ({"explain": False}, {"correct": False}, {})

# How long a check looks, in seconds; on a busy machine the same takes longer.
LIMITS = ((engine, "CORRECTION_SECONDS"), (engine, "LONGEST"), (repairs, "SECONDS"))
LIMITS += ((mistakes, "SECONDS"), (mistakes, "FURTHER"))


def told(id, answer, pattern):
    """The first result whose message matches, or what a learner gets."""
    for effort in EFFORTS:
        result = engine.evaluate(id, answer, **effort)
        if result.outcome != "wrong" or matches(pattern, result):
            return result
    return patiently(id, answer)


def patiently(id, answer):
    """What a learner gets, also on a machine that is six times as slow."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in LIMITS:
            patch.setattr(module, name, 6 * getattr(module, name))
        return engine.evaluate(id, answer)


def matches(pattern, result):
    return re.search(pattern, result.message, re.DOTALL)
