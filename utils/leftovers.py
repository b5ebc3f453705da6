"""What systems and programs leave in folders, which is nobody's data."""

from pathlib import Path, PurePath

__all__ = ["is_left", "left_in", "matching"]

# Hidden files of Unix and macOS, the files with which Office marks open documents, and the bin of
# Windows, which keeps one with a number for each user.
STARTS = (".", "~$", "$recycle.bin")
# In full, because a class or a learner may well be called @ada.
NAMES = {
    "#recycle",
    "#snapshot",
    "@__thumb",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@tmp",
    "__macosx",
    "__pycache__",
    "_gsdata_",
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "found.000",
    "icon\r",
    "lost+found",
    "network trash folder",
    "recycler",
    "system volume information",
    "temporary items",
    "thumbs.db",
    "~snapshot",
}


def is_left(name: str) -> bool:
    """Whether a file or folder of this name was left there by a system or a program."""
    name = name.lower()
    return name.startswith(STARTS) or name in NAMES


def left_in(folder: str | PurePath, path: str | PurePath) -> bool:
    """The same for a path inside `folder`: whether its name or a folder on the way to it is such.

    What `folder` itself is called says nothing.
    """
    return any(map(is_left, PurePath(path).relative_to(folder).parts))


def matching(folder: Path, pattern: str) -> list[Path]:
    """What fits the pattern in `folder`, sorted, without what was left there."""
    return sorted(path for path in folder.glob(pattern) if not left_in(folder, path))
