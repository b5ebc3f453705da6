"""An answer that never ends, such as `while True:` without a way out, is interrupted."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 60.0  # of time and of computing, both: on a busy machine the same takes longer


class TooLong(BaseException):
    """Raised in code that ran into its limit; the traceback says where. (No check catches it.)"""


@contextmanager
def limited(seconds: float | None = None, error: type[BaseException] = TooLong) -> Iterator[None]:
    """Raises `error` inside the block after so many seconds (default: `SECONDS`), or after ten
    times as many by the clock alone, for what waits and computes nothing.

    It comes between two instructions of Python: one call of torch is never cut off.
    """
    seconds = SECONDS if seconds is None else seconds
    is_over, thread = threading.Event(), ctypes.c_ulong(threading.get_ident())
    interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def watch() -> None:
        start, computed = time.monotonic(), time.process_time()
        while not is_over.wait(min(0.5, seconds)):
            passed = time.monotonic() - start
            if min(passed, time.process_time() - computed) > seconds or passed > 10 * seconds:
                interrupt(thread, ctypes.py_object(error))
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        with contextlib.suppress(error):  # the block ended at the same moment
            is_over.set()
            watcher.join()
        interrupt(thread, None)  # what has not arrived yet
