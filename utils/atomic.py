"""Changes of files that Windows refuses for a moment. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable


def patiently(change: Callable[..., object], *arguments: object) -> None:
    """Call `change(*arguments)`, and again for a second and a half where Windows refuses it.

    It does so while a virus scanner or another process has the file, or one in the folder, open.

    Raises:
        PermissionError: it was refused to the end.
    """
    for wait in (0.1, 0.2, 0.4, 0.8, None):
        try:
            change(*arguments)
            return
        except PermissionError:
            if wait is None:
                raise
            time.sleep(wait)
