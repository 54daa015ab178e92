"""Ctrl-C and SIGTERM while a run computes."""

import signal
import threading
from typing import Any

from .._records.terminate import is_default


class Terminated(KeyboardInterrupt):
    """SIGTERM, once all is saved."""


class Interrupt:
    """While inside, the first Ctrl-C only sets a flag; the chunk ends and is saved. The second is as ever.

    So it is with SIGTERM where what ends is `saved`; else, and where its user handles it, that is as ever, too.

    Attributes:
        saved: whether it is.
        terminated: whether SIGTERM has come.
    """

    saved = False

    def __init__(self, flag: threading.Event) -> None:
        self._flag = flag
        self._before: dict[int, Any] = {}
        self.terminated = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        # A job in the background of a shell ignores Ctrl-C, and goes on doing so.
        taken = [] if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else [signal.SIGINT]
        if self.saved and is_default():
            taken.append(signal.SIGTERM)
        for number in taken:
            self._before[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _handle(self, number: int, frame: Any) -> None:
        self.terminated = self.terminated or number == signal.SIGTERM
        self._flag.set()
        signal.signal(number, self._before[number])
        del frame
