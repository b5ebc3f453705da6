"""The repository's address on GitHub, wherever it occurs; pyproject.toml says what it is.

python -m tools.address OWNER/NAME      writes another one into every file
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from functools import cache
from urllib.parse import quote

from tools import COMMAND, ROOT, CourseError, Parser, cells, exit_code, write
from tools.clone import Clone


@cache
def repository() -> str:
    """OWNER/NAME on GitHub, from pyproject.toml."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["tool"]["course"]["repository"]


def spellings(repository: str) -> list[str]:
    """The address as files have it: plain, in nbgitpuller's links, and as their folder."""
    _, name = repository.split("/")
    return [repository, f"%2F{quote(repository, safe='')}", f"%2Ftree%2F{name}"]


def change(new: str) -> list[str]:
    """Write the repository's new address, OWNER/NAME, into every file; returns their names.

    Interrupted, it can be repeated: pyproject.toml, which says what to look for, comes last.
    """
    if not re.fullmatch(r"[a-z0-9-]*[a-z0-9]/[\w.-]*\w", new, re.ASCII | re.IGNORECASE):
        raise CourseError(f"A repository on GitHub is OWNER/NAME, not {new}.")
    changed = []
    for name, text in sorted(texts().items(), key=lambda item: item[0] == "pyproject.toml"):
        after = text
        for old_form, new_form in zip(spellings(repository()), spellings(new)):
            after = re.sub(rf"\b{re.escape(old_form)}\b", new_form, after)
        if after != text:
            notebook = name.endswith(".ipynb")
            write(ROOT / name, _listed_anew(text, after) if notebook else after.encode())
            changed.append(name)
    repository.cache_clear()
    return changed


def _listed_anew(before: str, after: str) -> bytes:
    """A chapter whose list of its own cells is as true as it was before."""
    old, new = (cells.parse(text.encode(), "a chapter") for text in (before, after))
    for was, cell in zip(old["cells"], new["cells"], strict=True):
        cells.keep_listed(new, cell, cells.source(was))
    return cells.written(new)


def texts() -> dict[str, str]:
    """The text files of the clone, without what git ignores: path from its root, and content."""
    try:
        names = Clone(ROOT).names("ls-files", "--cached", "--others", "--exclude-standard")
    except CourseError:
        raise CourseError(f"{ROOT} is no clone: this needs git.") from None
    found = {}
    for name in names:
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:  # as git tells text from the rest
            found[name] = content.decode("utf-8")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(f"{COMMAND} address", __doc__)
    parser.add_argument("address", metavar="OWNER/NAME")
    new = parser.parse_args(arguments).address
    return exit_code(lambda: print("\n".join(change(new)) or "Nothing had to be changed."))


if __name__ == "__main__":
    sys.exit(main())
