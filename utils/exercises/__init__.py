"""Exercises that are checked on the spot: `check`, `hint`, `solution` and `use`.

The exercises of a chapter stand in one file of this package; `engine` says in which form.
"""

from .engine import check, hint, solution, use

__all__ = ["check", "hint", "solution", "use"]
