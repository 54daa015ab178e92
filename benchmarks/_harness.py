"""How every benchmark measures: interleaved repeats, the same answer checked, the ratio of medians."""

import dataclasses
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Result:
    """One comparison: seconds (or another unit) of ours and the peer's (medians), their ratio, and the bound on it."""

    case: str
    ours: float
    peer: float
    bound: float
    repeats: int
    difference: float
    unit: str = "s"
    # Between which the ratio lies, by the pairs measured one behind the other.
    interval: tuple[float, float] | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    @property
    def verdict(self) -> str:
        """That the bound is held, is held by the ratio's error alone, or is not."""
        if self.ratio <= self.bound:
            return "held"
        return "within its error" if self.interval is not None and self.interval[0] <= self.bound else "not held"

    def per(self, steps: int) -> "Result":
        """The same for one of so many steps."""
        return dataclasses.replace(self, ours=self.ours / steps, peer=self.peer / steps)


def compare(
    case: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    bound: float,
    repeats: int = 9,
    tolerance: float | None = 1e-12,
) -> Result:
    """Time both in turn after a first call of each (compilation stays outside), having checked that they agree."""
    a, b = jax.block_until_ready(ours()), jax.block_until_ready(peer())
    difference = 0.0
    if tolerance is not None:
        a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
        difference = float(np.max(np.abs(a - b)) / max(1.0, float(np.max(np.abs(b)))))
        if not difference <= tolerance:
            raise AssertionError(f"{case}: the answers differ by {difference:.2e}, more than {tolerance:.0e}")
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(repeats):
        # Alternate who goes first, so that neither always finds the other's cache.
        for which in (0, 1) if i % 2 == 0 else (1, 0):
            began = time.perf_counter()
            jax.block_until_ready((ours, peer)[which]())
            times[which].append(time.perf_counter() - began)
    medians = [statistics.median(t) for t in times]
    ratios = [a / b for a, b in zip(*times, strict=True)]
    return Result(case, medians[0], medians[1], bound, repeats, difference, interval=interval(ratios))


def interval(values: list[float]) -> tuple[float, float]:
    """Order statistics between which the median lies with 95 %, whatever the law; all values where they are few."""
    n = len(values)
    outside, k = 2.0 / 2**n, 0
    while k + 1 < n / 2 and (more := outside + 2.0 * math.comb(n, k + 1) / 2**n) <= 0.05:
        outside, k = more, k + 1
    return sorted(values)[k], sorted(values)[n - 1 - k]


def machine() -> str:
    """What this ran on."""
    from importlib.metadata import version

    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax", "diffrax", "torch", "numpy"))
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {packages}"


def amount(value: float, unit: str) -> str:
    """A number with its unit, seconds in the one that reads best."""
    return duration(value) if unit == "s" else f"{value:.3g} {unit}"


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
