"""Ctrl-C while a run computes."""

import signal
import threading
from typing import Any


class Interrupt:
    """While inside, the first Ctrl-C only sets a flag; the chunk ends and is saved. The second is as ever."""

    def __init__(self, flag: threading.Event) -> None:
        self._flag = flag
        self._before: Any = None

    def __enter__(self) -> None:
        # A job in the background of a shell ignores Ctrl-C, and goes on doing so.
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if threading.current_thread() is threading.main_thread() and not ignored:
            self._before = signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: Any) -> None:
        self._flag.set()
        signal.signal(signal.SIGINT, self._before)
        del number, frame
