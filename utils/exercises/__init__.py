"""The old place of `exercises.engine`, kept for notebooks that learners already have.

Their first cell also looks for this very folder to find the course.
"""

from exercises import compare
from exercises.engine import check, hint, solution, use

__all__ = ["check", "compare", "hint", "solution", "use"]
