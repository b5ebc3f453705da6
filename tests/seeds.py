"""The seeds of the tests, which `pytest --seed N` moves: what passes with one only is no test.

Every test begins with Python's, NumPy's and torch's random numbers at N. A test that needs a seed
of its own, or one again, writes `moved(3)`. The seeds of notebooks and of the product stay.
"""

import os


def moved(seed: int = 0) -> int:
    return seed + int(os.environ.get("COURSE_TEST_SEED", "0"))
