"""A newer course without losing answers, and exercises back to the start.

The engine behind `course.py update` and `course.py reset`. Standard library only: an update has to
work where the packages of the course are missing or too old.

By `course.cells` (see tools.cells) any copy of a chapter can be carried into a newer one; no older
version is needed for that. An error is a CourseError, and then nothing was changed.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from exercises import record as progress
from exercises import texts
from tools import ROOT, CourseError, cells, write
from tools.cells import fingerprint, id_of, source
from tools.clone import clone
from tools.recognition import alike, plain, recognised
from utils import atomic
from utils.leftovers import left_in, matching

FOLDERS = ("chapters", "chapters_zh")  # the same chapters in English and in Chinese
CHAPTER = re.compile(rf"(?:{'|'.join(FOLDERS)})/(\d\d_\w+)\.ipynb")
BESIDE = "Your version of the cell above, which the course has changed:\n\n"


# --- what a learner did in a notebook ------------------------------------------------------------


@dataclass
class Taken:
    """What `take_over` carried from one notebook into another."""

    answers: list[str] = field(default_factory=list)  # exercises
    own: int = 0  # cells that the learner added
    edited: int = 0  # cells of the course that the learner changed
    beside: int = 0  # the same, where the course has changed them too
    refused: list[str] = field(default_factory=list)  # exercises answered otherwise already

    def __str__(self) -> str:
        def cells(number: int, what: str) -> str:
            return f"{number} {'cell' if number == 1 else 'cells'} {what}"

        parts = [f"your answers to {', '.join(self.answers)}"] if self.answers else []
        parts += [cells(self.own, "of your own")] if self.own else []
        parts += [cells(self.edited, "that you changed")] if self.edited else []
        parts += [cells(self.beside, "kept beside the course's new one")] if self.beside else []
        return ", ".join(parts)


def take_over(old: Mapping, new: Mapping) -> tuple[dict, Taken]:
    """The notebook `new` with what a learner did in `old`; neither of the two is changed.

    Answers go into the stubs of `new`, cells that the learner added stay behind the cell that they
    were behind, and cells of the course that the learner edited stay edited. Where the course has
    changed such a cell too, its version counts, and the learner's follows it as a raw cell, which
    is never run. An answer that `new` holds already is not replaced.

    Cells are known also where another tool has cleaned the notebook (`tools.recognition`). Where
    the list of cells was lost too, nobody knows who has changed a cell: the learner's code then
    stands beside the course's; a text that is much like the course's, without all of it, does not.
    """
    new = recognised(new)
    old = recognised(old, new)
    merge = _Merge(old, new)
    for cell in old["cells"]:
        merge.take(cell)
    return merge.result(), merge.taken


class _Merge:
    """A three-way merge of cells; the third side is the list of cells as the course stored them."""

    def __init__(self, old: Mapping, new: Mapping) -> None:
        self.new, self.taken = copy.deepcopy(dict(new)), Taken()
        self.was, self.shipped = cells.as_shipped(old), cells.as_shipped(new)
        self.at = {id_of(cell): cell for cell in self.new["cells"]}
        stubs = [cell for cell in self.new["cells"] if cells.role(cell) == "stub"]
        self.stubs = {cells.exercise(cell): cell for cell in stubs}
        self.answered: set[str] = set()
        self.behind: dict[str, list[dict]] = {}  # cells to insert, by the id of the cell before
        self.anchor = ""
        present = {id_of(cell) for cell in old["cells"]}
        self.moved = {text: id for id, text in self.was.items() if id not in present}

    def take(self, cell: Mapping) -> None:
        """Carry over what the learner did in this cell of the old notebook."""
        id, text = id_of(cell), source(cell)
        if id not in self.was:  # a cell that was cut and pasted has a new id
            id = self.moved.pop(fingerprint(text), id)
        here = self.at.get(id)
        self.anchor = id if here else self.anchor
        exercise = cells.exercise(cell) if cells.role(cell) == "stub" else ""
        if not text.strip():
            return
        if exercise in self.stubs and exercise not in self.answered:
            self.answer(exercise, cell)
        elif here and (id in self.was or id in self.shipped or not self.shipped):
            self.edit(here, self.untouched(here, text), text)
        elif fingerprint(text) not in (self.was.get(id), here and fingerprint(source(here))):
            plain = {k: v for k, v in cell["metadata"].items() if k not in ("exercise", "role")}
            fits = re.fullmatch(r"[\w-]{1,64}", id, re.ASCII)
            name = id if fits and not here else f"yours-{fingerprint(text)}"
            self.taken.own += self.insert(name, {**cell, "metadata": plain})

    def untouched(self, here: Mapping, text: str) -> str:
        """The fingerprint of a cell as the course stored it in the old notebook."""
        if self.was:
            return self.was.get(id_of(here), fingerprint(text))
        course, role = source(here), cells.role(here)
        if (here["cell_type"] == "code" and role in ("", "check")) or not alike(course, text):
            return ""
        more = not role and set(plain(course).splitlines()) <= set(plain(text).splitlines())
        return fingerprint(course if more else text)

    def answer(self, exercise: str, cell: Mapping) -> None:
        stub, text = self.stubs[exercise], source(cell)
        now = fingerprint(source(stub))
        if fingerprint(text) in (self.was.get(cells.generated_id(exercise, "stub")), now):
            return
        self.answered.add(exercise)
        if now != self.shipped.get(id_of(stub), self.stub_of_the_course(exercise, now)):
            self.taken.refused.append(exercise)
            return
        stub.update({key: cell[key] for key in ("outputs", "execution_count") if key in cell})
        stub["source"] = text.splitlines(keepends=True)
        for other in self.new["cells"]:
            if cells.exercise(other) == exercise and cells.role(other) == "check":
                other.update(outputs=[], execution_count=None)  # they were about the stub
        self.taken.answers.append(exercise)

    def stub_of_the_course(self, exercise: str, now: str) -> str:
        """For a chapter whose list of cells was lost."""
        try:
            return now if self.shipped else fingerprint(texts.find(exercise).stub)
        except texts.UnknownExercise:
            return now

    def edit(self, here: dict, untouched: str, text: str) -> None:
        if fingerprint(text) in (untouched, fingerprint(source(here))):
            return
        if fingerprint(source(here)) == untouched:
            here["source"] = text.splitlines(keepends=True)
            self.taken.edited += 1
        else:
            lines = (BESIDE + text).splitlines(keepends=True)
            raw = {"cell_type": "raw", "metadata": {}, "source": lines}
            self.taken.beside += self.insert(f"yours-{fingerprint(text)}", raw)

    def insert(self, id: str, cell: Mapping) -> int:
        """Remember a cell for its place; how many were inserted (0 if it is there already)."""
        if id in self.at:
            return 0
        self.at[id] = {**cell, "id": id}
        self.behind.setdefault(self.anchor, []).append(self.at[id])
        return 1

    def result(self) -> dict:
        merged = self.behind.get("", [])
        for cell in self.new["cells"]:
            merged += [cell, *self.behind.get(id_of(cell), [])]
        return {**self.new, "cells": merged}


# --- files ---------------------------------------------------------------------------------------


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}).") from None


def name_of(path: PurePath) -> str:
    """What a chapter is called: `04_nin`, or `chapters_zh/04_nin`."""
    return path.stem if path.parent.name != FOLDERS[1] else f"{FOLDERS[1]}/{path.stem}"


def back_up(paths: Iterable[Path], root: Path) -> Path:
    """Copies of the notebooks in a new folder under `backups/`: all of them or none.

    Chinese chapters are in a folder of their own there, as they have the names of the English ones.
    """
    folder = root / "backups"
    try:
        folder.mkdir(exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder))
        try:
            for path in paths:
                copied = unfinished / f"{name_of(path)}{path.suffix}"
                copied.parent.mkdir(exist_ok=True)
                shutil.copy2(path, copied)
            stamp, number = time.strftime("%Y-%m-%d_%H-%M-%S"), 1
            place = folder / stamp
            while place.exists():
                number += 1
                place = folder / f"{stamp}-{number}"
            os.chmod(unfinished, 0o755)
            atomic.patiently(os.rename, unfinished, place)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise CourseError(
            f"your notebooks could not be copied into {folder} ({error.strerror}), so nothing was "
            "changed: make room there, close programs that look into it, or put the course into a "
            "folder that is yours."
        ) from None
    return place


def store(
    notebooks: Mapping[Path, Mapping], root: Path, between: Callable[[], None] | None = None
) -> list[str]:
    """Write changed notebooks after a backup of what is there; a line that says where it is.

    between: what happens after the backup and before the first notebook is written.
    """
    changed = {path: cells.written(nb) for path, nb in notebooks.items()}
    before = {path: read(path) for path in changed if path.exists()}
    changed = {path: new for path, new in changed.items() if before.get(path) != new}
    old = [path for path in changed if path in before]
    place = back_up(old, root) if old else None
    if between:
        between()
    for path, content in changed.items():
        write(path, content)
    if place is None:
        return []
    names = ", ".join(map(name_of, old))
    return [f"As they were before, your notebooks ({names}) are in {place.relative_to(root)}."]


# --- with git ------------------------------------------------------------------------------------


def update(root: Path = ROOT) -> list[str]:
    """Fetch the newest course and carry a learner's work into it; what to tell, line by line.

    Answers, changed and added cells go into the new chapters, which were backed up before. A file
    that is no chapter and that both have changed is refused. Interrupted at any moment, nothing is
    lost, and the same call goes on.
    """
    here = clone(root)
    if here is None:
        raise CourseError(
            "this copy is no git clone: download the course again as a ZIP file, unpack it beside "
            "this folder, and run in the new one `course.py update --from` and this folder."
        )
    theirs, address = here.fetch()
    head = here.git("rev-parse", "HEAD").strip()
    base = here.ask("merge-base", head, theirs)
    if not base:
        raise CourseError(
            "this clone and the course have no common history: clone it anew, and run there "
            "`course.py update --from` and this folder."
        )
    changes = here.changes(base, theirs)
    ours = set(here.names("diff", "--name-only", "--no-renames", base))
    added = changes.keys() - set(here.names("ls-files"))
    ours |= {path for path in added if (root / path).exists()}
    # A file that was deleted here comes back; one that is as the course wants it is no conflict.
    both = {path for path in ours & changes.keys() if (root / path).exists()}
    here_too = {path for path in both - added if changes[path][0] != "000000"}
    chapters = {path for path in here_too if CHAPTER.fullmatch(path)}
    clash = sorted(p for p in both - chapters if not here.same(p, changes[p][1]))
    if clash:
        committed = set(here.names("diff", "--name-only", base, head))
        commit = ", commit that" if committed & set(clash) else ""
        raise CourseError(
            f"both you and the course have changed {', '.join(clash)}: move a copy of what you "
            f"need elsewhere, run `git checkout {base[:12]} -- {' '.join(clash)}` (delete files "
            f"that are new){commit}, and update again; nothing was changed."
        )
    carried = {}
    for path in sorted(ours):
        course = here.ask("show", f"{theirs}:{path}") if CHAPTER.fullmatch(path) else ""
        if not course or not (root / path).exists():
            continue
        old, new = cells.parse(read(root / path), path), cells.parse(course.encode(), path)
        # An interrupted update may have left a chapter of the course before.
        if path in chapters or cells.as_shipped(old).items() - cells.as_shipped(new).items():
            carried[root / path] = take_over(old, new)

    def merge() -> None:
        if base == theirs:
            return
        target = theirs if base == head else here.merge_commit(head, theirs, changes)
        # git leaves a file alone whose index entry is what the merge wants.
        here.stage({path: changes[path] for path in both})
        try:
            here.git("merge", "--ff-only", "--quiet", target)
        except CourseError as error:
            if both:
                here.ask("reset", "--quiet", "--", *both)
            raise CourseError(f"{error}; your files are as they were.") from None

    lines = store({path: nb for path, (nb, _) in carried.items()}, root, between=merge)
    lines += _summary(carried)
    if base == theirs:
        return [*lines, f"This is the newest course of {address}."]
    files = "1 file has" if len(changes) == 1 else f"{len(changes)} files have"
    return [*lines, f"{files} come from {address}."]


def _summary(carried: Mapping[Path, tuple[dict, Taken]]) -> list[str]:
    lines = []
    for path, (_, taken) in carried.items():
        if str(taken):
            lines.append(f"{name_of(path)} now holds {taken}.")
        if taken.refused:
            answers = ", ".join(taken.refused)
            lines.append(f"{name_of(path)} holds other answers to {answers} already; they stay.")
    return lines


# --- without git ---------------------------------------------------------------------------------


def take_from(place: Path, root: Path = ROOT) -> list[str]:
    """Carry a learner's work from an older copy into this one; what to tell, line by line.

    place: a folder (a copy of the course, or one with notebooks), its ZIP file, or one notebook.
    """
    found = [path for folder in FOLDERS for path in root.glob(f"{folder}/[0-9][0-9]_*.ipynb")]
    here = {name_of(path): path for path in sorted(found)}
    chosen: dict[str, bytes] = {}
    for name, content in _notebooks(place, root).items():
        match = re.search(r"\d\d_[a-z]\w*", name)  # also "Copy of 04_nin (1)"
        in_chinese = name.startswith(f"{FOLDERS[1]}/") or cells.is_chinese(content)
        chapter = match and name_of(Path(FOLDERS[in_chinese], match[0]))
        if chapter in here and (chapter not in chosen or name == chapter):
            chosen[chapter] = content
    if not chosen:
        raise CourseError(
            f"{place} holds no chapter of the course: give the folder of an older copy, its ZIP "
            "file, or one notebook."
        )
    carried = {}
    for stem, content in sorted(chosen.items()):
        new = cells.parse(read(here[stem]), here[stem].name)
        both = take_over(cells.parse(content, f"{stem}.ipynb in {place}"), new)
        if str(both[1]) or both[1].refused:
            carried[here[stem]] = both
    lines = store({path: nb for path, (nb, _) in carried.items()}, root)
    return [*lines, *_summary(carried)] or [f"All that is in {place} is here already."]


def _notebooks(place: Path, root: Path) -> dict[str, bytes]:
    """`{file name without ending: content}` of the notebooks in a folder, ZIP file or notebook."""
    if not place.exists():
        raise CourseError(f"there is no {place}: check the spelling, and put it into quotes.")
    if place.is_file() and place.suffix == ".ipynb":
        return {place.stem: read(place)}
    if place.is_file():
        try:
            with zipfile.ZipFile(place) as file:
                names = [n for n in file.namelist() if n.endswith(".ipynb") and not left_in(".", n)]
                inner = [n for n in names if PurePosixPath(n).parent.name in FOLDERS] or names
                return {name_of(PurePosixPath(name)): file.read(name) for name in inner}
        except Exception as error:  # zipfile has many of them for what is damaged
            reason = str(error) or type(error).__name__
            raise CourseError(f"{place} is not a ZIP file that can be read ({reason}).") from None
    if place.resolve() in (root, *(root / folder for folder in FOLDERS)):
        raise CourseError(f"{place} is this copy itself: give the older one.")
    for inside in ("", "*/"):
        patterns = [f"{inside}{folder}/*.ipynb" for folder in FOLDERS]
        if paths := [path for pattern in patterns for path in matching(place, pattern)]:
            return {name_of(path): read(path) for path in paths}
    return {name_of(path): read(path) for path in matching(place, "*.ipynb")}


# --- back to the start ---------------------------------------------------------------------------


def reset(name: str, root: Path = ROOT) -> list[str]:
    """Put one exercise (`nin.2`) or one chapter (`04_nin`) back to its start; what to tell.

    In the English and in the Chinese notebook; `chapters_zh/04_nin` is the Chinese alone. A whole
    chapter comes from git; in a copy without git all its exercises are put back.
    """
    chapters = texts.chapters()
    stem = Path(name).name.removesuffix(".ipynb")
    if re.match(r"\d\d_", stem):
        if stem not in chapters:
            raise CourseError(f"there is no chapter {stem}; there are {', '.join(chapters)}.")
        items, here = [item for item in chapters[stem] if not item.is_question], clone(root)
    else:
        try:
            items, here = [texts.find(name)], None
        except texts.UnknownExercise as error:
            raise CourseError(str(error)) from None
        stem = items[0].chapter
        if items[0].is_question:
            raise CourseError(f"{name} is an open question: it has no cell to put back.")
    named = [folder for folder in FOLDERS if Path(name).parent.name == folder]
    paths = [root / folder / f"{stem}.ipynb" for folder in named or FOLDERS]
    notebooks = {}
    for path in paths if named else [paths[0], *(p for p in paths[1:] if p.exists())]:
        file = f"{path.parent.name}/{path.name}"
        if here:
            # HEAD may hold answers that were committed.
            commit = here.ask("merge-base", "HEAD", "@{upstream}") or "HEAD"
            notebooks[path] = cells.parse(here.git("show", f"{commit}:{file}").encode(), file)
            line = f"{stem} is as it came with the course."
        else:
            nb = notebooks[path] = recognised(cells.parse(read(path), path.name))
            language = "zh" if path.parent.name == FOLDERS[1] else "en"
            for item in items:
                _put_back(nb, item.id, texts.find(item.id, language).stub, path.name)
            line = f"Back to the stub: {', '.join(item.id for item in items)}."
    lines = store(notebooks, root)
    progress.forget([item.id for item in items], root)
    return [*lines, line]


def _put_back(nb: dict, exercise: str, stub: str, name: str) -> None:
    own = [cell for cell in nb["cells"] if cells.exercise(cell) == exercise]
    stubs = [cell for cell in own if cells.role(cell) == "stub"]
    if not stubs:
        raise CourseError(
            f"{name} has no cell for the answer to {exercise} any more: reset the whole chapter."
        )
    expected = cells.generated_id(exercise, "stub")
    chosen = next((cell for cell in stubs if id_of(cell) == expected), stubs[0])
    chosen["source"] = stub.splitlines(keepends=True)
    for cell in own:
        if cell is chosen or cells.role(cell) == "check":
            cell.update(outputs=[], execution_count=None)
