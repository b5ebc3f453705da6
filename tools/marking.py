"""For teachers: marks the notebooks of one chapter that a class has handed in.

    python3 course.py mark handed_in 04_nin

`handed_in` holds a folder, or a notebook, for each learner. Every notebook runs in a copy of the
course of its own, so that none changes what the next one is checked with, at budget smoke unless
COURSE_BUDGET says otherwise. `handed_in/marks-04_nin.csv` is a table for a spreadsheet, and
`marks-04_nin.json` holds each answer, the message of its check and, where something has to be
looked at, the end of the run's log.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from exercises import texts
from tools import COMMAND, PERSONAL, ROOT, CourseError, Parser, exit_code, say, write
from tools.cells import source
from tools.recognition import plain, recognised
from utils.language import LANGUAGES
from utils.leftovers import is_left, matching

SECONDS = 180  # for a cell: a loop that never ends must not hold the class up
# What a run does not need: large, or somebody's work.
LEFT_OUT = (".git", ".venv", "_site", "backups", "chapters", "chapters_zh", "checkpoints")


@dataclass
class Mark:
    """What became of one learner's notebook."""

    notebook: str = ""
    look: list[str] = field(default_factory=list)  # what a person has to look at
    exercises: dict[str, dict[str, str]] = field(default_factory=dict)
    log: str = ""

    def count(self, outcome: str) -> int:
        return sum(exercise["outcome"] == outcome for exercise in self.exercises.values())


def checked(stem: str) -> list[texts.Text]:
    """The chapter's exercises that have a check."""
    chapters = texts.chapters()
    if stem not in chapters:
        raise CourseError(f"There is no chapter {stem}; there are {', '.join(chapters)}.")
    return [item for item in chapters[stem] if not item.is_question]


def read(path: Path) -> Mapping:
    """A notebook as it was handed in, or an empty one where the file is none."""
    try:
        notebook = recognised(json.loads(path.read_text(encoding="utf-8-sig")))
        for role in ("task", "stub"):
            cells(notebook, role)
        return notebook if isinstance(notebook["cells"], list) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # nothing that somebody hands in may stop the marking of the others


def cells(notebook: Mapping, role: str) -> dict[str, str]:
    """`{exercise: source}` of the cells with this role."""
    sources = {}
    for cell in notebook.get("cells", []):
        about = cell.get("metadata", {})
        if about.get("role") == role and about.get("exercise"):
            sources[about["exercise"]] = source(cell)
    return sources


def handed_in(folder: Path, stem: str) -> dict[str, list[Path]]:
    """`{learner: the notebooks that may be this chapter}`, whatever their names are.

    Of several, as in a whole course, untouched ones and what an update has backed up do not count.
    """
    ids = {e.id for e in checked(stem)}
    stubs = {plain(texts.find(id, language).stub) for id in ids for language in LANGUAGES}

    def may_be(path: Path) -> bool:
        return stem in path.stem or bool(ids & cells(read(path), "task").keys())

    def counts(path: Path) -> bool:
        answers = {plain(text) for text in cells(read(path), "stub").values()}
        return not answers or not answers <= stubs

    def chosen(paths: Sequence[Path]) -> list[Path]:
        paths = [p for p in paths if "backups" not in p.relative_to(folder).parts] or paths
        return [*filter(counts, paths)] or [*paths[:1]]

    learners: dict[str, list[Path]] = {}
    for place in sorted(folder.iterdir()):
        if is_left(place.name):
            continue
        if place.is_dir():
            paths = matching(place, "**/*.[iI][pP][yY][nN][bB]")
            learners.setdefault(place.name, []).extend(filter(may_be, paths))
        elif place.suffix.lower() == ".ipynb":
            learners.setdefault(place.stem, []).extend(filter(may_be, [place]))
    return {learner: chosen(paths) for learner, paths in learners.items()}


def same_code(one: str, other: str) -> bool:
    """Whether two sources differ in comments and spacing only."""
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except (SyntaxError, ValueError):
        return False


def run(path: Path, stem: str, without: Path) -> tuple[dict[str, dict[str, str]], str]:
    """The outcomes of a notebook's checks in a copy of the course, and the end of the log."""

    def left_out(place: str, names: list[str]) -> set[str]:
        out = {n for n in names if n == "__pycache__" or Path(place, n) == without}
        if Path(place) == ROOT:
            out |= set(LEFT_OUT) & set(names)
        if Path(place) == ROOT / "data":  # other datasets may be large
            out |= set(names) - {"FashionMNIST", "README.md"}
        return out

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        course, report = Path(temporary) / "course", Path(temporary) / "report.json"
        shutil.copytree(ROOT, course, ignore=left_out)
        for chapters in ("chapters", "chapters_zh"):  # a notebook works in that of its language
            (course / chapters).mkdir()
        shutil.copy(path, course / "chapters" / f"{stem}.ipynb")
        command = [sys.executable, "-m", "pytest", "--nbval", "-q", f"chapters/{stem}.ipynb"]
        command += [f"--nbval-cell-timeout={SECONDS}", f"--exercise-report={report}"]
        own = {name: value for name, value in os.environ.items() if name not in PERSONAL}
        done = subprocess.run(
            command,
            cwd=course,
            env={"COURSE_BUDGET": "smoke", **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        try:
            outcomes = json.loads(report.read_text(encoding="utf-8")).get(stem, {})
        except (OSError, ValueError):
            outcomes = {}
    return outcomes, done.stdout[-4000:]


def is_task(cell: str, exercise: str) -> bool:
    """Whether a cell ends with the task of an exercise as it is here, in any language."""
    here = [texts.find(exercise, language).task for language in LANGUAGES]
    return any(plain(cell).endswith(plain(task)) for task in here)


def mark(paths: Sequence[Path], stem: str, folder: Path) -> Mark:
    """Run one learner's notebook and say what a person has to look at."""
    result = Mark()
    if len(paths) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in paths)
        result.look.append(
            f"{len(paths)} notebooks of {stem} ({names}): leave one"
            if paths
            else f"no notebook of {stem}"
        )
        return result
    (path,) = paths
    result.notebook = path.relative_to(folder).as_posix()
    notebook = read(path)
    if not notebook:
        result.look.append("the file is not a notebook that can be read")
        return result
    answers, tasks = cells(notebook, "stub"), cells(notebook, "task")
    outcomes, log = run(path, stem, folder)
    for item in checked(stem):
        exercise = outcomes.get(item.id, {"outcome": "open", "message": "not reached"})
        exercise = dict(exercise, answer=answers.get(item.id, ""))
        if exercise["message"] == "not reached":
            exercise["outcome"] = "not reached"
        result.exercises[item.id] = exercise
        if exercise["outcome"] == "right" and same_code(exercise["answer"], item.solution):
            result.look.append(f"{item.id} is the course's solution")
        if not is_task(tasks.get(item.id, ""), item.id):
            result.look.append(f"{item.id} has another task than here, or none")
    if lost := [id for id, e in result.exercises.items() if e["outcome"] == "not reached"]:
        result.look.append(f"checks that did not run: {', '.join(lost)}")
        result.log = log
    return result


def store(marks: Mapping[str, Mark], folder: Path, stem: str) -> list[str]:
    """Write the two files, each of them whole at any time; their names."""
    ids = [item.id for item in checked(stem)]
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["learner", "right", "of", *ids, "look"])
    for learner, result in marks.items():
        outcomes = [result.exercises.get(id, {}).get("outcome", "") for id in ids]
        rows.writerow([learner, result.count("right"), len(ids), *outcomes, "; ".join(result.look)])
    whole = {learner: asdict(result) for learner, result in marks.items()}
    names = [f"marks-{stem}.csv", f"marks-{stem}.json"]
    write(folder / names[0], table.getvalue().encode("utf-8-sig"))  # so that Excel reads it right
    write(folder / names[1], (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode())
    return names


def mark_class(folder: Path, stem: str) -> int:
    """Mark every learner's notebook, print a line for each, and keep the files up to date."""
    of = len(checked(stem))
    what = "it should hold a folder, or a notebook, of each learner."
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder}: {what}")
    learners = handed_in(folder, stem)
    if not learners:
        raise CourseError(
            f"{folder} holds no folder and no notebook: {what} Unpack ZIP files first."
        )
    marks: dict[str, Mark] = {}
    try:
        for learner, paths in learners.items():
            result = marks[learner] = mark(paths, stem, folder)
            names = store(marks, folder, stem)
            look = f"  LOOK: {'; '.join(result.look)}" if result.look else ""
            say(f"{learner}: {result.count('right')} of {of}{look}")
    except KeyboardInterrupt:
        print("Stopped; what was marked until now is in the files.", file=sys.stderr)
        return 1
    looks = sum(bool(result.look) for result in marks.values())
    say(f"{len(marks)} learners, {looks} to look at: {', '.join(names)}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(f"{COMMAND} mark", __doc__)
    parser.add_argument("folder", help="holds a folder, or a notebook, of each learner")
    parser.add_argument("chapter", help="such as 04_nin")
    options = parser.parse_args(arguments)
    return exit_code(mark_class, Path(options.folder).resolve(), options.chapter)


if __name__ == "__main__":
    sys.exit(main())
