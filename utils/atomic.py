"""Files that are written whole or not at all. Standard library only."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

_LEFTOVER_SECONDS = 600  # nobody takes that long to write one file


def write(path: str | Path, content: bytes | bytearray | memoryview) -> None:
    """Put `content` under the name `path` in one step: a reader sees the old file or the new one.

    The file is on the disk when this returns, with the permissions of the one that it replaces, or
    with the usual ones. The folder must exist. What killed processes left of this file goes.

    Raises:
        OSError: it cannot be written; a file that was there before is untouched.
    """
    path = Path(path)
    remove_leftovers(path)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            with contextlib.suppress(OSError):  # no file yet, or a disk without permissions
                shutil.copymode(path, temporary)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        patiently(os.replace, temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove what killed processes left half written of `path`; not what another writes now."""
    path = Path(path)
    # The pattern is that of `write`: `run.pt.best.<digits>.tmp` is no leftover of `run.pt`.
    pattern = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError):
        for leftover in path.parent.iterdir():
            if pattern.fullmatch(leftover.name):
                with contextlib.suppress(OSError):
                    if time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS:
                        leftover.unlink()


def patiently(change: Callable[..., object], *arguments: object) -> None:
    """Call `change(*arguments)`, and again for a second and a half where Windows refuses it.

    It does so while a virus scanner or another process has the file, or one in the folder, open.

    Raises:
        PermissionError: it was refused every time.
    """
    for wait in (0.1, 0.2, 0.4, 0.8, None):
        try:
            change(*arguments)
            return
        except PermissionError:
            if wait is None:
                raise
            time.sleep(wait)
