"""Wall time of what a run does, with the time that JAX compiles apart, as JAX itself reports it."""

import threading
import time
from typing import Any

import jax

_COMPILING = "/jax/core/compile/"


class _Heard(threading.local):
    """What this thread has compiled so far. A span holds those of what was compiled on its way."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.spans: list[tuple[float, float]] = []


_heard = _Heard()


def _hear(event: str, duration_secs: float, **_: Any) -> None:
    if not event.startswith(_COMPILING):
        return
    begun = time.perf_counter() - duration_secs
    while _heard.spans and _heard.spans[-1][0] >= begun:
        _heard.seconds -= _heard.spans.pop()[1]
    _heard.seconds += duration_secs
    _heard.spans.append((begun, duration_secs))


jax.monitoring.register_event_duration_secs_listener(_hear)


class Stopwatch:
    """Seconds of work from `begin` to the last `lap`, and those of compiling since it was made, in this thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._before, self._since = 0.0, _heard.seconds
        self.begin()

    @property
    def compile_seconds(self) -> float:
        return self._before + (_heard.seconds - self._since)

    def begin(self) -> None:
        self._begun, self._heard = time.perf_counter(), _heard.seconds

    def lap(self) -> float:
        """Seconds since the last lap without those of compiling."""
        now, heard = time.perf_counter(), _heard.seconds
        lap = max(now - self._begun - (heard - self._heard), 0.0)
        self.seconds += lap
        self._begun, self._heard = now, heard
        return lap

    def go_on_from(self, seconds: float, compile_seconds: float) -> None:
        """Add what a run took before it was broken off."""
        self.seconds += seconds
        self._before += compile_seconds
