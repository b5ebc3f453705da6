"""The repository's address on GitHub, and its mirror's, wherever they occur.

python -m tools.address OWNER/NAME [--mirror ADDRESS]      writes others into every file

pyproject.toml says what they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from urllib.parse import quote

from tools import COMMAND, ROOT, CourseError, Parser, cells, exit_code, write
from tools import clone as clones
from tools.clone import Clone


@cache
def repository() -> str:
    """OWNER/NAME on GitHub, from pyproject.toml."""
    return clones.addresses(ROOT)["repository"]


@cache
def mirror() -> str:
    """The address of a mirror, from pyproject.toml, or nothing."""
    return clones.addresses(ROOT)["mirror"]


def addresses() -> list[str]:
    """Where the course can be fetched, in this order."""
    return [f"https://github.com/{repository()}", *filter(None, [mirror()])]


def mirror_link(file: str, word: str = "Mirror") -> str:
    """What stands behind a chapter's other links; GitLab and Gitee have these addresses alike."""
    return f" · [{word}]({mirror()}/blob/main/{file})" if mirror() else ""


def spellings(repository: str) -> list[str]:
    """The address as files have it: plain, in nbgitpuller's links, and as their folder."""
    _, name = repository.split("/")
    return [repository, f"%2F{quote(repository, safe='')}", f"%2Ftree%2F{name}"]


def with_mirror(text: str, repository: str, new: str) -> str:
    """The text of pyproject.toml or of a chapter with another mirror; its other links stay."""
    text = re.sub(r'(?m)^mirror = ".*"$', f'mirror = "{new}"', text)
    github = rf'(\baddresses = \\"https://github.com/{re.escape(repository)})[^"\\]*(\\"\.split)'
    text = re.sub(github, rf"\g<1>{f' {new}'.rstrip()}\g<2>", text)

    def link(match: re.Match) -> str:
        word = "镜像" if match["file"].startswith("chapters_zh/") else "Mirror"
        return match["binder"] + (f" · [{word}]({new}/blob/main/{match['file']})" if new else "")

    binder = r"(?P<binder>\[Binder\]\([^)\s]*=lab/tree/(?P<file>[^)\s]+)\))"
    return re.sub(rf"{binder}(?: · \[(?:Mirror|镜像)\]\([^)\s]*\))?", link, text)


def change(new: str, new_mirror: str | None = None) -> list[str]:
    """Write the repository's new address, OWNER/NAME, into every file; returns their names.

    new_mirror: the whole address of a mirror; None keeps the present one, "" takes it out.

    Interrupted, it can be repeated: pyproject.toml, which says what to look for, comes last.
    """
    if not re.fullmatch(r"[a-z0-9-]*[a-z0-9]/[\w.-]*\w", new, re.ASCII | re.IGNORECASE):
        raise CourseError(f"A repository on GitHub is OWNER/NAME, not {new}.")
    if new_mirror and not re.fullmatch(r"https://[\w.:-]+(/[\w.~-]+)+", new_mirror, re.ASCII):
        raise CourseError(
            f"A mirror is a whole address (https://HOST/OWNER/NAME), not {new_mirror}."
        )
    changed = []
    for name, text in sorted(texts().items(), key=lambda item: item[0] == "pyproject.toml"):
        notebook, after = name.endswith(".ipynb"), text
        for old_form, new_form in zip(spellings(repository()), spellings(new)):
            after = re.sub(rf"\b{re.escape(old_form)}\b", new_form, after)
        if notebook or name == "pyproject.toml":
            after = with_mirror(after, new, mirror() if new_mirror is None else new_mirror)
        if after != text:
            write(ROOT / name, _listed_anew(text, after) if notebook else after.encode())
            changed.append(name)
    repository.cache_clear()
    mirror.cache_clear()
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
    except CourseError as error:
        raise CourseError(f"this needs git, and a clone of the course: {error}") from None
    found = {}
    for name in names:
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:  # as git tells text from the rest
            found[name] = content.decode("utf-8")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(f"{COMMAND} address", __doc__)
    parser.add_argument("address", metavar="OWNER/NAME")
    parser.add_argument("--mirror", metavar="ADDRESS", help='the whole one; "" for none')
    given = parser.parse_args(arguments)

    def run() -> None:
        print("\n".join(change(given.address, given.mirror)) or "Nothing had to be changed.")

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
