"""Wall time of what a run does, with the time that JAX compiles apart, as JAX itself reports it."""

import threading
import time
from typing import Any

import jax

_COMPILING = "/jax/core/compile/"


class _Compiled(threading.local):
    """Seconds that this thread has compiled for. A span contains those of what was compiled on its way."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.spans: list[tuple[float, float]] = []


_compiled = _Compiled()


def _add(event: str, duration_secs: float, **_: Any) -> None:
    if not event.startswith(_COMPILING):
        return
    begun = time.perf_counter() - duration_secs
    while _compiled.spans and _compiled.spans[-1][0] >= begun:
        _compiled.seconds -= _compiled.spans.pop()[1]
    _compiled.seconds += duration_secs
    _compiled.spans.append((begun, duration_secs))


jax.monitoring.register_event_duration_secs_listener(_add)


class Stopwatch:
    """Seconds of work from `begin` to the last `lap`, and those of compiling since it was made, in this thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._before, self._since = 0.0, _compiled.seconds
        self.begin()

    @property
    def compile_seconds(self) -> float:
        return self._before + (_compiled.seconds - self._since)

    def begin(self) -> None:
        self._begun, self._compiled_at_begin = time.perf_counter(), _compiled.seconds

    def lap(self) -> float:
        """Seconds since the last lap without those of compiling."""
        now, compiled = time.perf_counter(), _compiled.seconds
        lap = max(now - self._begun - (compiled - self._compiled_at_begin), 0.0)
        self.seconds += lap
        self._begun, self._compiled_at_begin = now, compiled
        return lap

    def go_on_from(self, seconds: float, compile_seconds: float) -> None:
        """Add what a run took before it was broken off."""
        self.seconds += seconds
        self._before += compile_seconds
