"""SIGTERM, by which a scheduler ends a process: it leaves a loop as Ctrl-C does, so that what is open is closed."""

import os
import signal
import threading
from typing import Any

# As a shell reports a process that a signal has ended.
STATUS = 128 + signal.SIGTERM
_open: set[int] = set()
_owner = 0


def is_default() -> bool:
    """Tell whether SIGTERM would end this process at once, but for what is here; a handler of the user's stays."""
    if threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, _leave)


def begin(who: object) -> None:
    """From now on SIGTERM raises `SystemExit` in the main thread, as long as anybody is open."""
    global _owner
    if is_default():
        _open.add(id(who))
        _owner = os.getpid()
        signal.signal(signal.SIGTERM, _leave)


def end(who: object) -> None:
    """The inverse."""
    if id(who) in _open and threading.current_thread() is threading.main_thread():
        _open.discard(id(who))
        if not _open and signal.getsignal(signal.SIGTERM) is _leave:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(number: int, frame: Any) -> None:
    del frame
    signal.signal(number, signal.SIG_DFL)
    if os.getpid() != _owner:
        # Of a process that was forked nothing is open.
        os.kill(os.getpid(), number)
        return
    raise SystemExit(STATUS)
