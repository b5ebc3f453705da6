"""What a check says to an answer, found with as little search as the mistake needs."""

import re

from exercises import engine

# Each finds more than the one before it, and takes longer.
EFFORTS = ({"explain": False}, {"correct": False}, {})


def told(id, answer, pattern):
    """The first result whose message matches, or what a learner gets."""
    for effort in EFFORTS:
        result = engine.evaluate(id, answer, **effort)
        if result.outcome != "wrong" or matches(pattern, result):
            return result
    return result


def matches(pattern, result):
    return re.search(pattern, result.message, re.DOTALL)
