"""Which exercises a learner has solved, kept in `progress.json` in the folder of the course.

`check` records its outcomes there while notebooks run, and `course.py progress` shows them. The
file holds `{"nin.2": "right", …}` and nothing else. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from exercises import texts
from utils import atomic as files
from utils import language, text_table

ROOT = Path(__file__).resolve().parents[1]
OUTCOMES = ("right", "wrong", "open")
PATIENCE = 2.0  # seconds that one notebook waits for another
STALE = 10.0  # seconds after which a lock is left from a process that was killed


def path_of(root: Path = ROOT) -> Path:
    return root / "progress.json"


def read(root: Path = ROOT) -> dict[str, str]:
    """`{exercise: outcome}`; ValueError where the file is damaged."""
    try:
        found = json.loads(path_of(root).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict) or not all(v in OUTCOMES for v in found.values()):
        raise ValueError("not a record of outcomes")
    return found


def record(exercise: str, outcome: str, root: Path = ROOT) -> str:
    """Keep the outcome of a check; a sentence if the file was damaged, otherwise nothing.

    Where nothing can be written nothing is recorded, and nothing is said.
    """
    return _change(lambda known: known.update({exercise: outcome}), root)


def forget(exercises: Iterable[str], root: Path = ROOT) -> None:
    """These exercises count as not tried again."""
    if path_of(root).exists():
        _change(lambda known: [known.pop(exercise, None) for exercise in exercises], root)


def _change(change: Callable[[dict[str, str]], object], root: Path) -> str:
    damaged = ""
    try:
        with _alone(root):
            try:
                known = read(root)
            except ValueError:
                known = {}
                aside = path_of(root).with_name("progress-damaged.json")
                files.patiently(os.replace, path_of(root), aside)
                damaged = (
                    f"progress.json could not be read and is now {aside.name}: the record of your "
                    "exercises starts anew; run the chapters again to fill it."
                )
            before = dict(known)
            change(known)
            if known != before or damaged:
                _write(known, root)
    except OSError:
        pass
    return damaged


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One process at a time; TimeoutError (an OSError) if another does not come to its end."""
    lock, end = root / "progress.lock", time.monotonic() + PATIENCE
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except (FileExistsError, PermissionError):  # Windows says so of a file being deleted
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > STALE:
                    lock.unlink(missing_ok=True)
            if time.monotonic() > end or not os.access(root, os.W_OK):
                raise TimeoutError from None
            time.sleep(0.01)
    try:
        yield
    finally:
        files.patiently(lock.unlink, True)


def _write(known: dict[str, str], root: Path) -> None:
    """The whole file or nothing."""
    handle, name = tempfile.mkstemp(prefix="progress-", suffix=".tmp", dir=root)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(known, file, indent=1, sort_keys=True)
            file.write("\n")
        files.patiently(os.replace, name, path_of(root))
    except BaseException:
        os.unlink(name)
        raise


def exercises(root: Path = ROOT) -> dict[str, list[str]]:
    """`{chapter: [ids of its exercises with a check]}`."""
    return {
        chapter: [text.id for text in found if not text.is_question]
        for chapter, found in texts.chapters(root=root).items()
    }


def table(root: Path = ROOT) -> list[str]:
    """One line a chapter and one for all: how many exercises are right, wrong, open, not tried."""
    try:
        known, lines = read(root), []
    except (OSError, ValueError):
        known, lines = {}, ["progress.json cannot be read and counts as empty."]
    chapters = exercises(root)
    everything = [id for ids in chapters.values() for id in ids]
    kinds = (*OUTCOMES, "not tried")
    rows = [["", *map(language.translate, kinds)]]
    for chapter, ids in [*chapters.items(), (language.translate("all"), everything)]:
        outcomes = [known.get(id, "not tried") for id in ids]
        rows.append([chapter, *map(outcomes.count, kinds)])
    lines += text_table.lines(rows)
    wrong = [id for id in everything if known.get(id) == "wrong"]
    return [*lines, f"Wrong: {', '.join(wrong)}."] if wrong else lines
