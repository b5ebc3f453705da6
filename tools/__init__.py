"""What authors, teachers and the course itself need; no chapter imports it."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from utils import atomic, language

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python course.py" if os.name == "nt" else "python3 course.py"

# What somebody has set for their own work with Python and pytest, and what changes the tests' or
# even stops it: options and plugins, warnings as errors, a file that runs first, no assertions.
PERSONAL = (
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
    "PYTHONDEVMODE",
    "PYTHONDONTWRITEBYTECODE",  # else every process of the tests would compile all modules anew
    "PYTHONINSPECT",
    "PYTHONOPTIMIZE",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONSTARTUP",
    "PYTHONVERBOSE",
    "PYTHONWARNINGS",
)


class CourseError(Exception):
    """One sentence: what was expected, what came, what to do."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence alone is shown."""
        return [language.translate(f"problem: {self}")]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in the form of all messages of the course.

    description: a text whose first line says what the command does.
    """

    def __init__(self, prog: str, description: str, **options) -> None:
        description = description.strip().splitlines()[0]
        super().__init__(prog=prog, description=description, allow_abbrev=False, **options)

    def error(self, message: str) -> None:
        self.exit(2, f"problem: {message}\n{self.format_usage()}")


def say(text: str) -> None:
    """Print at once, also where the output goes into a file or a pipe; in the user's language."""
    print(language.translate(text), flush=True)


def exit_code(command: Callable[..., int | None], *arguments: object) -> int:
    """Run a command and return its exit code; an error or Ctrl-C is one line on stderr."""
    try:
        return command(*arguments) or 0
    except CourseError as error:
        print(language.translate(f"problem: {error}"), file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        text = language.translate("Interrupted. The same command again takes it up.")
        print(f"\n{text}", file=sys.stderr)
        return 130


def write(path: Path, content: bytes) -> None:
    """Write the whole file or nothing; CourseError where that fails."""
    try:
        atomic.write(path, content)
    except OSError as error:
        raise CourseError(
            f"{path} cannot be written ({error.strerror}): close the programs that use it, check "
            "that the disk is not full, and run the command again; nothing is lost."
        ) from None
