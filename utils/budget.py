"""How much work a training cell does.

The same notebook runs as a quick proof (`smoke`), on a laptop (`cpu`), as the recipe behind the
stored results (`full`) and on a graphics card (`gpu`). Each training cell states its size at
every budget in the open:

    epochs = budget.choose(smoke=1, cpu=3, full=10)
"""

import os
from typing import TypeVar

from utils import device

T = TypeVar("T")

NAMES = ("smoke", "cpu", "full", "gpu")  # from the smallest to the largest


def current() -> str:
    """Name of the budget in force: "smoke", "cpu", "full" or "gpu".

    The environment variable COURSE_BUDGET decides. Without it the budget is "gpu" where
    `device.pick()` finds CUDA, and "cpu" everywhere else.

    Raises:
        ValueError: COURSE_BUDGET holds another name.
    """
    name = os.environ.get("COURSE_BUDGET", "").strip().lower()
    if not name:
        return "gpu" if device.pick().type == "cuda" else "cpu"
    if name not in NAMES:
        raise ValueError(
            f"COURSE_BUDGET is {name!r}, which is not a budget; set it to one of "
            f"{', '.join(NAMES)}, or unset it."
        )
    return name


def choose(*, smoke: T, cpu: T, full: T = ..., gpu: T = ...) -> T:
    """The argument that belongs to the current budget.

    A size left out falls back to the next smaller one: `gpu` to `full`, `full` to `cpu`. None is
    a value like any other, so `train_images=budget.choose(smoke=512, cpu=10_000, full=None)`
    means all images at `full`.

    Raises:
        ValueError: COURSE_BUDGET holds an unknown name.
    """
    sizes = dict(zip(NAMES, (smoke, cpu, full, gpu), strict=True))
    wanted = NAMES.index(current())
    return next(sizes[n] for n in reversed(NAMES[: wanted + 1]) if sizes[n] is not ...)
