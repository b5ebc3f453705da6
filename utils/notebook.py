"""Where does this code run: in a notebook, in a test? Standard library only."""

import os
import sys
from typing import Any


def shell() -> Any:
    """The IPython shell of a notebook's kernel; None in a terminal or a script."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it; nothing else needs it
    found = ipython.get_ipython() if ipython else None
    return found if hasattr(found, "kernel") else None


def in_notebook() -> bool:
    return shell() is not None


def under_pytest() -> bool:
    """Whether the course's tests run this code. Their notebooks should print as little as possible.

    `conftest.py` sets COURSE_UNDER_PYTEST=1.
    """
    return os.environ.get("COURSE_UNDER_PYTEST") == "1"
