"""A newer course without losing answers, and exercises back to the start.

The engine behind `course.py update` and `course.py reset`. Standard library only: an update has to
work where the packages of the course are missing or too old.

A stored chapter lists its own cells in its metadata: `course.cells` holds for each cell's id a
fingerprint of its source. So any copy of a chapter, wherever it has been, tells what a learner has
changed in it and what was added, and no older version is needed to carry that into a newer one.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from exercises import record as progress
from exercises import texts
from utils import atomic as files

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = re.compile(r"chapters/(\d\d_\w+)\.ipynb")
BESIDE = "Your version of the cell above, which the course has changed:\n\n"


class UpdateError(Exception):
    """One sentence: what stands in the way and what to do. Nothing was changed."""


# --- what a learner did in a notebook ------------------------------------------------------------


def source(cell: Mapping) -> str:
    """The text of a cell, which a file holds as one string or as a list of lines."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:8]


def cells_of_course(nb: Mapping) -> dict[str, str]:
    """`course.cells` for a chapter as it is now: `{cell id: fingerprint of its source}`."""
    return {_id(cell): fingerprint(source(cell)) for cell in nb["cells"]}


def _id(cell: Mapping) -> str:
    # Colab keeps the id among the metadata.
    return cell.get("id") or cell["metadata"].get("id", "")


def _as_shipped(nb: Mapping) -> dict[str, str]:
    return nb.get("metadata", {}).get("course", {}).get("cells", {})


def _role(cell: Mapping) -> str:
    return cell["metadata"].get("role", "")


def _exercise(cell: Mapping) -> str:
    """The exercise whose stub this cell is, or nothing."""
    return cell["metadata"].get("exercise", "") if _role(cell) == "stub" else ""


def _stub_id(exercise: str) -> str:
    return f"{exercise.replace('.', '-')}-stub"


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
    stood behind, and cells of the course that the learner edited stay edited. Where the course has
    changed such a cell as well, its version counts, and the learner's stands below it as a raw
    cell, which is never run. An answer that `new` holds already is not replaced.

    In a notebook whose list of cells was lost, edits of the course's cells are not seen.
    """
    new, taken = copy.deepcopy(dict(new)), Taken()
    was, shipped = _as_shipped(old), _as_shipped(new)
    at = {_id(cell): cell for cell in new["cells"]}
    stubs = {_exercise(cell): cell for cell in new["cells"] if _exercise(cell)}
    behind: dict[str, list[dict]] = {}  # cells to insert, by the id of the cell before them
    anchor = ""

    def insert(id: str, cell: Mapping) -> int:
        if id in at:
            return 0
        at[id] = {**cell, "id": id}
        behind.setdefault(anchor, []).append(at[id])
        return 1

    present = {_id(cell) for cell in old["cells"]}
    moved = {text: id for id, text in was.items() if id not in present}
    answered = set()
    for cell in old["cells"]:
        id, text, exercise = _id(cell), source(cell), _exercise(cell)
        if id not in was:  # a cell that was cut and pasted has a new id
            id = moved.pop(fingerprint(text), id)
        here, lines = at.get(id), text.splitlines(keepends=True)
        anchor = id if here else anchor
        if exercise in stubs and exercise not in answered:
            stub = stubs[exercise]
            now = fingerprint(source(stub))
            if fingerprint(text) in (was.get(_stub_id(exercise)), now) or not text.strip():
                continue
            answered.add(exercise)
            if now != shipped.get(_id(stub), now):
                taken.refused.append(exercise)
                continue
            stub.update({key: cell[key] for key in ("outputs", "execution_count") if key in cell})
            stub["source"] = lines
            for other in new["cells"]:
                if other["metadata"].get("exercise") == exercise and _role(other) == "check":
                    other.update(outputs=[], execution_count=None)  # they were about the stub
            taken.answers.append(exercise)
        elif here:
            untouched = was.get(id, fingerprint(text))
            if fingerprint(text) in (untouched, fingerprint(source(here))) or not text.strip():
                continue
            if fingerprint(source(here)) == untouched:
                here["source"] = lines
                taken.edited += 1
            else:
                lines = (BESIDE + text).splitlines(keepends=True)
                name = f"yours-{fingerprint(text)}"
                taken.beside += insert(name, {"cell_type": "raw", "metadata": {}, "source": lines})
        elif text.strip() and fingerprint(text) != was.get(id):
            plain = {k: v for k, v in cell["metadata"].items() if k not in ("exercise", "role")}
            fits = re.fullmatch(r"[\w-]{1,64}", id, re.ASCII)
            name = id if fits else f"yours-{fingerprint(text)}"
            taken.own += insert(name, {**cell, "metadata": plain})

    cells = behind.pop("", [])
    for cell in new["cells"]:
        cells += [cell, *behind.pop(_id(cell), [])]
    new["cells"] = cells
    return new, taken


# --- files ---------------------------------------------------------------------------------------


def parse(content: bytes, name: str) -> dict:
    """A notebook, or UpdateError."""
    try:
        nb = json.loads(content.decode("utf-8"))
        if nb["nbformat"] == 4 and all(isinstance(c["metadata"], dict) for c in nb["cells"]):
            return nb
    except (ValueError, LookupError, TypeError):
        pass
    raise UpdateError(
        f"{name} cannot be read as a notebook: give it another name, so that the course can bring "
        "the chapter anew, and look into it with a text editor."
    )


def written(nb: Mapping) -> bytes:
    """The bytes of a notebook's file, formatted as Jupyter does."""
    return (json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UpdateError(f"{path} cannot be read ({error.strerror}).") from None


def write(path: Path, content: bytes) -> None:
    """The whole file or nothing."""
    try:
        handle, name = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(content)
            mode = path.stat().st_mode if path.exists() else 0o644  # mkstemp's are private
            os.chmod(name, mode)
            files.patiently(os.replace, name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise UpdateError(
            f"{path} cannot be written ({error.strerror}): close the programs that use it, look "
            "whether the disk is full, and run the command again; nothing is lost."
        ) from None


def back_up(paths: Iterable[Path], root: Path) -> Path:
    """Copies of the files in a new folder under `backups/`: all of them or none."""
    folder = root / "backups"
    try:
        folder.mkdir(exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder))
        try:
            for path in paths:
                shutil.copy2(path, unfinished)
            stamp, number = time.strftime("%Y-%m-%d_%H-%M-%S"), 1
            place = folder / stamp
            while place.exists():
                number += 1
                place = folder / f"{stamp}-{number}"
            os.chmod(unfinished, 0o755)
            files.patiently(os.rename, unfinished, place)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise UpdateError(
            f"your notebooks could not be copied into {folder} ({error.strerror}), so nothing was "
            "changed: make room there, close programs that look into it, or put the course into a "
            "folder that is yours."
        ) from None
    return place


def store(
    notebooks: Mapping[Path, Mapping], root: Path, between: Callable[[], None] | None = None
) -> list[str]:
    """Write changed notebooks after a backup of what stands there; a line that tells so.

    between: what happens after the backup and before the first notebook is written.
    """
    changed = {path: written(nb) for path, nb in notebooks.items()}
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
    names = ", ".join(path.stem for path in old)
    return [f"As they were before, your notebooks ({names}) lie in {place.relative_to(root)}."]


# --- with git ------------------------------------------------------------------------------------


class Clone:
    """The git clone that the course lies in."""

    def __init__(self, root: Path):
        self.root = root

    def git(self, *arguments: str, input: str | None = None, **variables: str) -> str:
        """What git answers; UpdateError with its last line if it fails."""
        environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **variables}
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True,
            input=None if input is None else input.encode(),
        )  # fmt: skip
        if done.returncode:
            told = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason"]
            reason = next((t for t in told if t.startswith(("error: ", "fatal: "))), told[-1])
            raise UpdateError(f"`git {arguments[0]}` failed: {reason.partition(': ')[2] or reason}")
        return done.stdout.decode("utf-8", "surrogateescape")

    def ask(self, *arguments: str) -> str:
        """The same without the line's end, and nothing where git fails."""
        try:
            return self.git(*arguments).strip()
        except UpdateError:
            return ""

    def names(self, *arguments: str) -> list[str]:
        return [name for name in self.git(*arguments, "-z").split("\0") if name]

    def changes(self, before: str, after: str) -> dict[str, tuple[str, str]]:
        """`{path: (mode, blob)}` of what differs between two commits; mode 0 where it is gone."""
        fields = self.names("diff-tree", "-r", "--no-renames", before, after)
        return {
            path: tuple(entry.split()[1:4:2])  # type: ignore[misc]
            for entry, path in zip(fields[::2], fields[1::2])
        }

    def same(self, path: str, blob: str) -> bool:
        """Whether the file in the working tree has the content of this blob."""
        return self.ask("hash-object", f"--path={path}", "--", path) == blob

    def stage(self, entries: Mapping[str, tuple[str, str]], **variables: str) -> None:
        """Set entries of the index; the working tree stays as it is."""
        lines = "".join(f"{mode} {blob}\t{path}\0" for path, (mode, blob) in entries.items())
        self.git("update-index", "-z", "--index-info", input=lines, **variables)

    def merged(self, head: str, theirs: str, changes: Mapping[str, tuple[str, str]]) -> str:
        """A commit with both as parents: `head` with the course's changes on top."""
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self.git("read-tree", head, **index)
            self.stage(changes, **index)
            tree = self.git("write-tree", **index).strip()
        name = self.ask("config", "user.name") or "course.py"
        email = self.ask("config", "user.email") or "course.py@localhost"
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email))
        }
        command = ["commit-tree", tree, "-p", head, "-p", theirs, "-m", "Update of the course"]
        return self.git(*command, **who).strip()


def clone(root: Path) -> Clone | None:
    """The clone whose top folder is `root`; None for a copy from a ZIP file."""
    if not (root / ".git").exists():
        return None  # nor is it one if it lies inside of another repository
    if shutil.which("git") is None:
        raise UpdateError("this is a git clone, but git is not installed: install git first.")
    found = Clone(root)
    found.git("rev-parse", "HEAD")
    return found


def update(root: Path = ROOT) -> list[str]:
    """Fetch the newest course and carry a learner's work into it; what to tell, line by line.

    Answers, changed and added cells go into the new chapters, which were backed up before. A file
    that is no chapter and that both have changed is refused. Interrupted at any moment, nothing is
    lost, and the same call goes on.
    """
    here = clone(root)
    if here is None:
        raise UpdateError(
            "this copy is no git clone: download the course again as a ZIP file, unpack it beside "
            "this folder, and run in the new one `course.py update --from` and this folder."
        )
    theirs, address = _fetch(here)
    head = here.git("rev-parse", "HEAD").strip()
    base = here.ask("merge-base", head, theirs)
    if not base:
        raise UpdateError(
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
        raise UpdateError(
            f"both you and the course have changed {', '.join(clash)}: move a copy of what you "
            f"need elsewhere, run `git checkout {base[:12]} -- {' '.join(clash)}` (delete files "
            f"that are new){commit}, and update again; nothing was changed."
        )
    carried = {}
    for path in sorted(ours):
        course = here.ask("show", f"{theirs}:{path}") if CHAPTER.fullmatch(path) else ""
        if not course or not (root / path).exists():
            continue
        old, new = parse(read(root / path), path), parse(course.encode(), path)
        # An interrupted update may have left a chapter of the course before.
        if path in chapters or _as_shipped(old).items() - _as_shipped(new).items():
            carried[root / path] = take_over(old, new)

    def merge() -> None:
        if base == theirs:
            return
        target = theirs if base == head else here.merged(head, theirs, changes)
        # git leaves a file alone whose index entry is what the merge wants.
        here.stage({path: changes[path] for path in both})
        try:
            here.git("merge", "--ff-only", "--quiet", target)
        except UpdateError as error:
            if both:
                here.ask("reset", "--quiet", "--", *both)
            raise UpdateError(f"{error}; your files are as they were.") from None

    lines = store({path: nb for path, (nb, _) in carried.items()}, root, between=merge)
    lines += _told(carried)
    if base == theirs:
        return [*lines, f"This is the newest course of {address}."]
    files = "1 file has" if len(changes) == 1 else f"{len(changes)} files have"
    return [*lines, f"{files} come from {address}."]


def _fetch(here: Clone) -> tuple[str, str]:
    """The newest commit of the course, fetched, and the address that it came from."""
    branch = here.ask("symbolic-ref", "--short", "--quiet", "HEAD")
    if not branch:
        raise UpdateError("this clone is not on a branch: run `git switch main`, then update.")
    folder = here.root / here.git("rev-parse", "--git-dir").strip()
    busy = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
    if any((folder / name).exists() for name in busy) or here.names("ls-files", "--unmerged"):
        raise UpdateError(
            "a merge is unfinished in this clone: `git status` says how to finish it or to call it "
            "off (`git merge --abort`); update after that."
        )
    remote = here.ask("config", f"branch.{branch}.remote") or "origin"
    address = re.sub(r"//[^/@]*@", "//", here.ask("remote", "get-url", remote))
    if not address:
        raise UpdateError(
            "this clone does not know where the course comes from: run `git remote add origin` "
            "with its address, then update."
        )
    try:
        here.git("fetch", "--quiet", remote, here.ask("config", f"branch.{branch}.merge") or "HEAD")
    except UpdateError as error:
        raise UpdateError(
            f"the course could not be fetched from {address}, and nothing was changed: look "
            f"whether you are online, and try again ({error})."
        ) from None
    return here.git("rev-parse", "FETCH_HEAD").strip(), address


def _told(carried: Mapping[Path, tuple[dict, Taken]]) -> list[str]:
    lines = []
    for path, (_, taken) in carried.items():
        if str(taken):
            lines.append(f"{path.stem} now holds {taken}.")
        if taken.refused:
            lines.append(
                f"{path.stem} holds other answers to {', '.join(taken.refused)} already; they stay."
            )
    return lines


# --- without git ---------------------------------------------------------------------------------


def take_from(place: Path, root: Path = ROOT) -> list[str]:
    """Carry a learner's work from an older copy into this one; what to tell, line by line.

    place: a folder (a copy of the course, or one with notebooks), its ZIP file, or one notebook.
    """
    here = {path.stem: path for path in sorted(root.glob("chapters/[0-9][0-9]_*.ipynb"))}
    found = _notebooks(place, root)
    chosen = {}
    for name, content in found.items():
        match = re.search(r"\d\d_[a-z]\w*", name)  # also "Copy of 04_nin (1)"
        if match and match[0] in here and (match[0] not in chosen or name == match[0]):
            chosen[match[0]] = content
    if not chosen:
        raise UpdateError(
            f"{place} holds no chapter of the course: give the folder of an older copy, its ZIP "
            "file, or one notebook."
        )
    carried = {}
    for stem, content in sorted(chosen.items()):
        new = parse(read(here[stem]), here[stem].name)
        both = take_over(parse(content, f"{stem}.ipynb in {place}"), new)
        if str(both[1]) or both[1].refused:
            carried[here[stem]] = both
    lines = store({path: nb for path, (nb, _) in carried.items()}, root)
    return [*lines, *_told(carried)] or [f"In {place} there is nothing that is not here already."]


def _notebooks(place: Path, root: Path) -> dict[str, bytes]:
    """`{file name without ending: content}` of the notebooks in a folder, ZIP file or notebook."""
    if not place.exists():
        raise UpdateError(f"there is no {place}: look at the spelling, and put it into quotes.")
    if place.is_file() and place.suffix == ".ipynb":
        return {place.stem: read(place)}
    if place.is_file():
        try:
            with zipfile.ZipFile(place) as file:
                names = [n for n in file.namelist() if n.endswith(".ipynb")]
                inner = [n for n in names if PurePosixPath(n).parent.name == "chapters"] or names
                return {PurePosixPath(name).stem: file.read(name) for name in inner}
        except Exception as error:  # zipfile has many of them for what is damaged
            reason = str(error) or type(error).__name__
            raise UpdateError(f"{place} is not a ZIP file that can be read ({reason}).") from None
    if place.resolve() in (root, root / "chapters"):
        raise UpdateError(f"{place} is this copy itself: give the older one.")
    for pattern in ("chapters/*.ipynb", "*/chapters/*.ipynb", "*.ipynb"):
        if paths := sorted(place.glob(pattern)):
            return {path.stem: read(path) for path in paths}
    return {}


# --- back to the start ---------------------------------------------------------------------------


def reset(name: str, root: Path = ROOT) -> list[str]:
    """Put one exercise (`nin.2`) or one chapter (`04_nin`) back to its start; what to tell.

    A whole chapter comes from git; in a copy without git all its exercises are put back.
    """
    chapters = texts.chapters()
    stem = Path(name).name.removesuffix(".ipynb")
    if re.match(r"\d\d_", stem):
        if stem not in chapters:
            raise UpdateError(f"there is no chapter {stem}; there are {', '.join(chapters)}.")
        items, here = [item for item in chapters[stem] if not item.is_question], clone(root)
    else:
        try:
            items, here = [texts.find(name)], None
        except texts.UnknownExercise as error:
            raise UpdateError(str(error)) from None
        stem = items[0].chapter
        if items[0].is_question:
            raise UpdateError(f"{name} is an open question: it has no cell to put back.")
    path = root / "chapters" / f"{stem}.ipynb"
    if here:
        # HEAD may hold answers that were committed.
        commit = here.ask("merge-base", "HEAD", "@{upstream}") or "HEAD"
        nb = parse(here.git("show", f"{commit}:chapters/{path.name}").encode(), path.name)
        told = f"{stem} is as it came with the course."
    else:
        nb = parse(read(path), path.name)
        for item in items:
            _put_back(nb, item.id, item.stub, path.name)
        told = f"Back to the stub: {', '.join(item.id for item in items)}."
    lines = store({path: nb}, root)
    progress.forget([item.id for item in items], root)
    return [*lines, told]


def _put_back(nb: dict, exercise: str, stub: str, name: str) -> None:
    cells = [cell for cell in nb["cells"] if cell["metadata"].get("exercise") == exercise]
    stubs = [cell for cell in cells if _role(cell) == "stub"]
    if not stubs:
        raise UpdateError(
            f"{name} has no cell for the answer to {exercise} any more: reset the whole chapter."
        )
    chosen = next((cell for cell in stubs if _id(cell) == _stub_id(exercise)), stubs[0])
    chosen["source"] = stub.splitlines(keepends=True)
    for cell in cells:
        if cell is chosen or _role(cell) == "check":
            cell.update(outputs=[], execution_count=None)
