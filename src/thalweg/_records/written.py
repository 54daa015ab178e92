"""The part of a recorder on disk: its thread reads rows there, formats and writes them, and saves checkpoints."""

import collections
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._objectives.noise_scale import NoiseScale, estimate
from .capture import numbers, to_host
from .directory import Directory, to_lines
from .lines import read_metrics
from .margin import PLAIN, PRECONDITIONED, Motion
from .run import logged_parameters
from .stability import Least
from .watch import Watch

_CURVATURES = (PLAIN, PRECONDITIONED)
OURS = ("step", "time", *_CURVATURES, "stability_margin")
_CHECKPOINT_SECONDS = 2.0
# Writing checkpoints takes at most this share of the time, however many the parameters.
_CHECKPOINT_SHARE = 0.05
# Pairs of norms, the last ones, of which the scale of the noise is estimated.
_PAIRS = 1000


class Written:
    """The rows and the checkpoint of a recorder, as far as they are on disk.

    Arguments:
        directory: where they are.
        motion: of the loop.
        gradients: those of a step, and those taken before the first.
        measured: the curvatures that there are columns of, from the first row.
        watch: what asks for curvatures, and is told what was found.
        batches: samples of a part of the batch and of all of it, where both are known.

    Attributes:
        least: the least margin so far; None where there was none.
        below: the first margin below 1, since this began.
        steps: those on disk.
        newest: the parameters that were logged last, names, leaves and step: the rest is forgotten.
    """

    def __init__(
        self, directory: Directory, motion: Motion, gradients: tuple[int, int], measured: set[str], watch: Watch,
        batches: tuple[float, float] | None,
    ) -> None:  # fmt: skip
        self._directory, self._motion, self._gradients, self._measured = directory, motion, gradients, set(measured)
        self.newest: collections.deque[tuple[list[str], list[Any], int]] = collections.deque(maxlen=1)
        self._watch, self._batches = watch, batches
        self.least: Least | None = None
        self.below: Least | None = None
        self._squares: collections.deque[tuple[float, float]] = collections.deque(maxlen=_PAIRS)
        self._status, self._message = "running", ""
        self.steps, self._time = 0, 0.0
        # The row since which a step has lasted alike: its step, its time, what a step lasts.
        self._anchor: tuple[int, float, float] | None = None
        # The first loss that is not finite, and the parameters.
        self._bad: int | None = None
        self._kept: tuple[list[str], list[np.ndarray], int, float] | None = None
        self._begun, self._seconds_before = time.perf_counter(), 0.0
        self._saved, self._interval = time.perf_counter(), _CHECKPOINT_SECONDS

    @property
    def due(self) -> bool:
        """Tell whether it is time for a checkpoint."""
        return time.perf_counter() - self._saved >= self._interval

    def restore(self, checkpoint: dict[str, Any] | None) -> tuple[str, ...]:
        """Go on from a checkpoint and all rows; the names of the loop's own columns."""
        if checkpoint is not None:
            named = logged_parameters(checkpoint)
            names = [f"position.{name}" if name else "position" for name in named]
            if named:
                self._kept = (names, list(named.values()), checkpoint["position_step"], checkpoint["time"])
            self._seconds_before = checkpoint["seconds"]
        metrics = self._read_back()
        self._bad = None if checkpoint is None else checkpoint["not_finite"]
        if self._bad is None and "loss" in metrics:
            # In rows that the checkpoint knows, null is a loss that was not given.
            later = metrics["step"] >= (0 if checkpoint is None else checkpoint["step"])
            bad = np.flatnonzero(later & ~np.isfinite(metrics["loss"]))
            self._bad = int(metrics["step"][bad[0]]) if bad.size else None
        return tuple(name for name in metrics if name not in OURS)

    def forget(self, step: int) -> None:
        """Take up what is on disk once the rows from a step on have been left out."""
        self._read_back()
        if self._bad is not None and self._bad >= step:
            self._bad = None

    def _read_back(self) -> dict[str, np.ndarray]:
        metrics = read_metrics(self._directory.path)
        self._measured |= {name for name in _CURVATURES if name in metrics}
        self._anchor, self.steps, self._time = None, 0, 0.0
        self.least, below = None, self.below
        self._squares.clear()
        if metrics:
            self._find_least(metrics)
            self._pair(metrics)
            # What was below 1 before has been told.
            self.below = below
            last, self._time = int(metrics["step"][-1]), float(metrics["time"][-1])
            turned = metrics[self._motion.knob][-1] if self._motion.knob in metrics else None
            self._anchor = (last, self._time, self._motion.interval(last, turned))
            self.steps = last + 1
        return metrics

    def write(self, rows: Sequence[tuple[int, dict[str, Any], dict[str, Any]]], names: Sequence[str]) -> None:
        """Write rows: step, values by name, curvatures by name."""
        if not rows:
            return
        steps = [step for step, _, _ in rows]
        flat = numbers([values[name] for _, values, _ in rows for name in names])
        columns = {name: flat[i :: len(names)] for i, name in enumerate(names)}
        turned: list[Any] = columns.get(self._motion.knob) or [None] * len(rows)
        table: dict[str, Any] = {"step": np.array(steps), "time": np.array(self._times(steps, turned))}
        table |= {name: np.array(column, float) for name, column in columns.items()}
        for name in _CURVATURES:
            given = [curvatures.get(name) for _, _, curvatures in rows]
            if name not in self._measured and all(one is None for one in given):
                continue
            self._measured.add(name)
            found = numbers(given)
            table[name] = np.array(found)
            margins = [float("nan")] * len(rows)
            if name == self._motion.column and not self._motion.limitless:
                margins = [
                    float("nan") if one is None else self._motion.margin(value, step, knob)
                    for one, value, step, knob in zip(given, found, steps, turned, strict=True)
                ]
                table["stability_margin"] = np.array(margins)
            self._tell(given, found, margins, steps)
        if "stability_margin" in table:
            # Last, as it was written before there were two curvatures.
            table["stability_margin"] = table.pop("stability_margin")
            self._find_least(table)
        if "loss" in columns:
            for (_, values, _), loss in zip(rows, columns["loss"], strict=True):
                # One that was at hand has been seen.
                if values["loss"] is not None and not isinstance(values["loss"], float):
                    self._watch.see(loss)
        self._pair(table)
        if self._bad is None and "loss" in columns:
            given = np.array([values["loss"] is not None for _, values, _ in rows])
            bad = np.flatnonzero(given & ~np.isfinite(table["loss"]))
            self._bad = steps[bad[0]] if bad.size else None
        self._directory.write_lines(to_lines(table))
        self.steps, self._time = steps[-1] + 1, float(table["time"][-1])

    def _tell(self, given: list[Any], found: list[float], margins: list[float], steps: list[int]) -> None:
        for one, curvature, margin, step in zip(given, found, margins, steps, strict=True):
            if one is not None and not isinstance(one, float):
                self._watch.measured(step, curvature)
            if not math.isnan(margin):
                self._watch.near(step, margin)

    def _find_least(self, table: dict[str, Any]) -> None:
        margins = np.asarray(table.get("stability_margin", ()), float)
        if not margins.size or np.isnan(margins).all():
            return
        knobs = table.get(self._motion.knob)

        def at(row: int) -> Least:
            step = int(table["step"][row])
            knob = None if knobs is None or math.isnan(knobs[row]) else float(knobs[row])
            return Least(float(margins[row]), step, self._motion.used(step, knob))

        least = at(int(np.nanargmin(margins)))
        if self.least is None or least.margin < self.least.margin:
            self.least = least
        below = np.flatnonzero(margins < 1.0)
        if self.below is None and below.size:
            self.below = at(int(below[0]))

    def _pair(self, table: dict[str, Any]) -> None:
        if self._batches is None or not {"part_norm", "gradient_norm"} <= set(table):
            return
        pairs = np.stack([np.asarray(table[name], float) for name in ("part_norm", "gradient_norm")], axis=1) ** 2
        self._squares.extend((float(a), float(b)) for a, b in pairs if math.isfinite(a) and math.isfinite(b))

    @property
    def noise(self) -> NoiseScale | None:
        """The scale of the gradient's noise, of the last rows."""
        if self._batches is None or not self._squares:
            return None
        part, whole = np.array(self._squares).T
        return estimate(part, whole, *self._batches)

    def _times(self, steps: list[int], turned: list[float | None]) -> list[float]:
        """Physical time of every row: what a step lasts holds from its row to the next."""
        times = []
        for step, knob in zip(steps, turned, strict=True):
            lasts = self._motion.interval(step, knob)
            anchor, since, before = self._anchor or (0, 0.0, lasts)
            now = since + (step - anchor) * before
            # While nothing changes, time is a product, which rounds once.
            if self._anchor is None or lasts != before:
                self._anchor = (anchor, since, before) if lasts == before else (step, now, lasts)
            times.append(now)
        return times

    def save(self, last: bool = False) -> None:
        """Write a checkpoint of what has been written; after the `last` one nothing is."""
        begun = time.perf_counter()
        if self.newest:
            names, leaves, at = self.newest.popleft()
            arrays = [to_host(leaf) for leaf in leaves]
            anchor, since, lasts = self._anchor or (0, 0.0, 0.0)
            names = [f"position.{name}" if name else "position" for name in names]
            self._kept = (names, arrays, at, since + (at - anchor) * lasts)
        names, arrays, at, then = self._kept or ([], [], self.steps, self._time)
        each, at_start = self._gradients
        extra = {
            "names": names,
            "status": self._status,
            "message": self._message or self._with_least(f"logged {count_steps(self.steps)} so far"),
            "least_margin": None if self.least is None else [self.least.margin, self.least.step],
            "noise_scale": _plain(self.noise),
            "time": then,
            "position_step": at,
            "not_finite": self._bad,
            "gradients": at_start + self.steps * each if self.steps else 0,
            "seconds": self._seconds_before + begun - self._begun,
            "compile_seconds": 0.0,
        }
        self._directory.write_checkpoint(arrays, self.steps, extra, (lambda: None) if last else None)
        self._saved = time.perf_counter()
        self._interval = max(_CHECKPOINT_SECONDS, (self._saved - begun) / _CHECKPOINT_SHARE)

    def end(self, status: str, message: str, step: int) -> None:
        """Write the last checkpoint, of a loop that has made so many steps."""
        broken = "" if self._bad is None else f"the loss became not finite at step {self._bad}"
        if status == "finished" and broken:
            status, message = "not finite", message or broken
        elif broken:
            message = f"{message or status}; {broken}"
        self._status, self._message = status, self._with_least(message or f"logged {count_steps(step)}")
        self.save(last=True)

    def _with_least(self, message: str) -> str:
        return message if self.least is None else f"{message}; {self.least}"


def _plain(noise: NoiseScale | None) -> list[Any] | None:
    """Value, error and pairs as JSON has them, which knows no infinity."""
    if noise is None:
        return None
    value, error = (number if math.isfinite(number) else None for number in (noise.value, noise.error))
    return [value, error, noise.pairs]


def count_steps(count: int) -> str:
    """So many steps, in words."""
    return f"{count} step{'' if count == 1 else 's'}"
