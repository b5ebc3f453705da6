"""The git clone that holds the course. Standard library only."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from tools import COMMAND, CourseError


def addresses(root: Path) -> dict[str, str]:
    """Where the course is published: `repository` on GitHub, and a `mirror` or nothing."""
    published: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError), open(root / "pyproject.toml", "rb") as file:
        published = tomllib.load(file).get("tool", {}).get("course", {})
    return {"mirror": "", **published}


# What git says in more than one line, and what to do then. The first that fits counts.
REMEDIES = {
    r"dubious ownership in repository at '(.+?)'": "the folder {0} belongs to another user, so git "
    "does not read it: run `git config --global --add safe.directory {1}`, then the same command "
    "again.",
    r"Unable to create '(.+?\.lock)': File exists": "another git is at work in this clone, or one "
    "was stopped in the middle: end it, delete {0} if it is still there, and try again.",
    r"insufficient permission for adding an object to repository database (\S+)": "files in {0} "
    'belong to another user, as after a `sudo`: run `sudo chown -R "$USER" .` in this folder.',
    r"(?m)^(?:error|fatal): (not a git repository.*|bad config .* in file \.git/config|"
    r".*\bcorrupt.*|packfile .* does not match.*|(?:loose )?object .*|bad (?:object|signature) .*|"
    r"unable to (?:read|parse) (?:tree|sha1 file|object|[0-9a-f]{9}).*)": "this clone is damaged "
    f"({{0}}): download the course into a new folder, and run `{COMMAND} update --from {{2}}` "
    "there, which takes your answers along.",
}

# They would lead git to another repository, as in the shell of a hook.
OTHER_PLACES = ("GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE")
OTHER_PLACES += ("GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE")


class Known(CourseError):
    """What stopped git, with its own remedy."""


class Clone:
    """A clone of the course; every method is one or a few calls of git in its folder."""

    def __init__(self, root: Path):
        self.root = root

    def git(self, *arguments: str, input: str | None = None, **variables: str) -> str:
        """What git answers; CourseError with its reason if it fails."""
        given = {name: value for name, value in os.environ.items() if name not in OTHER_PLACES}
        environment = {**given, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **variables}
        command = ["git", *arguments]
        content = None if input is None else input.encode()
        options = {"cwd": self.root, "env": environment, "capture_output": True}
        try:
            done = subprocess.run(command, input=content, **options)
        except OSError:
            raise CourseError("git is needed for this: install git first.") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            for pattern, remedy in REMEDIES.items():
                if match := re.search(pattern, said):
                    quoted = shlex.quote(match[1]), shlex.quote(str(self.root))
                    raise Known(remedy.format(match[1], *quoted))
            # Where git could not read from the other side, ssh has said why before.
            said = said.partition("\nfatal: Could not read from remote repository")[0]
            lines = said.splitlines() or ["no reason"]
            reason = next((t for t in lines if t.startswith(("error: ", "fatal: "))), lines[-1])
            raise CourseError(f"`git {arguments[0]}` failed: {reason.partition(': ')[2] or reason}")
        return done.stdout.decode("utf-8", "surrogateescape")

    def ask(self, *arguments: str) -> str:
        """The same without the line's end, and nothing where git fails."""
        try:
            return self.git(*arguments).strip()
        except CourseError:
            return ""

    def names(self, *arguments: str) -> list[str]:
        """What git lists, for commands that take `-z`."""
        return [name for name in self.git(*arguments, "-z").split("\0") if name]

    def fetch(self) -> tuple[str, str]:
        """The newest commit of the course, fetched, and the address that it came from."""
        branch = self.ask("symbolic-ref", "--short", "--quiet", "HEAD")
        if not branch:
            raise CourseError("this clone is not on a branch: run `git switch main`, then update.")
        folder = self.root / self.git("rev-parse", "--git-dir").strip()
        busy = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
        if any((folder / name).exists() for name in busy) or self.names("ls-files", "--unmerged"):
            raise CourseError(
                "a merge is unfinished in this clone: `git status` says how to finish it or how "
                "to call it off (`git merge --abort`); update after that."
            )
        remote = self.ask("config", f"branch.{branch}.remote") or "origin"
        address = re.sub(r"//[^/@]*@", "//", self.ask("remote", "get-url", remote))
        if not address:
            raise CourseError(
                "this clone does not know where the course comes from: run `git remote add origin` "
                "with its address, then update."
            )
        wanted = self.ask("config", f"branch.{branch}.merge") or "HEAD"
        try:
            self.git("fetch", "--quiet", remote, wanted)
        except CourseError as error:
            address = self.fetch_mirror(
                str(error)
                if isinstance(error, Known)
                else f"the course could not be fetched from {address}, and nothing was changed: "
                f"check that you are online, and try again ({error})."
            )
        return self.git("rev-parse", "FETCH_HEAD").strip(), address

    def fetch_mirror(self, otherwise: str) -> str:
        """Fetch from the mirror, if there is one; its address, or CourseError(otherwise)."""
        mirror = addresses(self.root)["mirror"]
        with contextlib.suppress(CourseError):
            if mirror:
                self.git("fetch", "--quiet", mirror, "HEAD")
                return mirror
        raise CourseError(otherwise)

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

    def merge_commit(self, head: str, theirs: str, changes: Mapping[str, tuple[str, str]]) -> str:
        """Make a commit with both as parents, `head` with the course's changes on top."""
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
        return None  # a copy inside of another repository is no clone either
    here = Clone(root)
    here.git("rev-parse", "HEAD")
    return here


def is_authors(root: Path) -> bool:
    """Whether this clone is an author's: `course.py setup --authors` says so in git's settings."""
    return Clone(root).ask("config", "--local", "--get", "course.authors") == "true"


def is_in_ci(root: Path, notebook: Path) -> bool:
    """Whether CI runs this notebook. `CI` may be set on a learner's machine too, but there the
    notebook differs from the one that was committed."""
    set_here = bool(os.environ.get("CI"))
    return set_here and not Clone(root).ask("status", "--porcelain", "--", str(notebook))
