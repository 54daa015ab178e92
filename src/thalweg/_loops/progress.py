"""Progress on stderr: a bar on a terminal, else a plain line after 5 seconds and every 30 seconds."""

import sys
import time
from types import TracebackType
from typing import Any

_FIRST_SECONDS, _PLAIN_SECONDS = 5.0, 30.0
# A bar that flashes by is noise: automatic progress waits this long before it shows.
_PATIENCE_SECONDS = 1.0


class Progress:
    """Says how far a run is.

    Arguments:
        total: steps to make.
        show: True, False, or None: only where a run takes longer than a second.
        label: what is running.
        units: what is counted.
    """

    def __init__(self, total: int, show: bool | None, label: str, units: str = "steps") -> None:
        self._total, self._show, self._label, self._unit = total, show, label, units.removesuffix("s")
        self._begun, self._next = time.monotonic(), time.monotonic() + _FIRST_SECONDS
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def announce(self, message: str) -> None:
        """A line apart from the count, such as that compilation has begun."""
        if self._show:
            if self._bar is None and sys.stderr.isatty():
                self._start()
            if self._bar is not None:
                self._bar.update(self._task, description=f"{self._label}: {message}")
            else:
                print(f"{self._label}: {message}", file=sys.stderr, flush=True)

    def update(self, done: int, loss: float | None) -> None:
        """Steps made so far, and the newest loss."""
        now = time.monotonic()
        if self._show is False or (self._show is None and now - self._begun < _PATIENCE_SECONDS):
            return
        text = self._label if loss is None else f"{self._label}: loss {loss:.6g}"
        if sys.stderr.isatty():
            if self._bar is None:
                self._start()
            assert self._bar is not None
            self._bar.update(self._task, completed=done, description=text)
        elif now >= self._next:
            self._next = now + _PLAIN_SECONDS
            print(f"{text}, {self._unit} {done} of {self._total}", file=sys.stderr, flush=True)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._label, total=self._total)
        self._bar.start()
