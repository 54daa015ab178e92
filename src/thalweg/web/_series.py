"""Curves of runs for a browser: read as they grow, thinned with their extremes kept."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .._records.columns import Columns
from .._records.storage import read_checkpoint

# Points of one curve; the memory of what has been read; the bytes of an answer on what is new, at some 30 a point.
MOST_POINTS = 4000
_MEMORY = 768 * 2**20
_TICK_POINTS = 2000
AGAINST = ("step", "time", "gradients", "samples")


class Store:
    """The columns of runs that were read lately; those of long ago are forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Columns] = OrderedDict()
        self._lock = threading.Lock()
        self._busy: dict[tuple[str, str], threading.Lock] = {}

    def column(self, path: Path, name: str) -> Columns:
        """A column with the steps beside it, read to the end of the file."""
        key = (str(path), name)
        with self._lock:
            busy = self._busy.setdefault(key, threading.Lock())
        with busy:
            with self._lock:
                found = self._kept.get(key)
            if found is None:
                found = Columns(path, tuple(dict.fromkeys(("step", name))))
            found.advance()
            with self._lock:
                self._kept[key] = found
                self._kept.move_to_end(key)
                while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > _MEMORY:
                    self._busy.pop(self._kept.popitem(last=False)[0], None)
            return found


def thinned(y: np.ndarray, most: int) -> np.ndarray:
    """Rows of at most so many numbers that show them all: of each stretch the least and the largest, and both ends.

    A number that is not finite is kept where a stretch has no other.
    """
    count = len(y)
    if count <= most:
        return np.arange(count)
    stretches = max((most - 2) // 2, 1)
    width = -(-count // stretches)
    whole = count // width * width
    found = [np.array([0, count - 1])]
    for begin, part in ((0, y[:whole].reshape(-1, width)), (whole, y[None, whole:])):
        if part.size:
            low, high = np.where(np.isfinite(part), part, np.inf), np.where(np.isfinite(part), part, -np.inf)
            at = begin + width * np.arange(len(part))
            found += [at + low.argmin(axis=1), at + high.argmax(axis=1)]
    return np.unique(np.concatenate(found))


def series(store: Store, path: Path, config: dict[str, Any], wanted: dict[str, Any], points: int) -> dict[str, Any]:
    """A curve, or what is new of one.

    Arguments:
        store: what has been read.
        path: the run directory.
        config: its configuration.
        wanted: `metric`; `against`, one of `AGAINST`; `after`, [generation, rows] of the last answer, for what is new;
            `range`, the first and the last step of a part.
        points: at most so many.
    """
    name, against = str(wanted.get("metric", "loss")), wanted.get("against", "step")
    if against not in AGAINST:
        raise InputError(f"a curve is drawn against one of {', '.join(AGAINST)}, not {against!r}")
    columns = store.column(path, name)
    after, start = wanted.get("after"), 0
    # Of a file that was cut or replaced meanwhile all of it is new.
    if after is not None:
        known, rows = _pair("after", after)
        start = int(rows) if known == columns.generation and 0 <= rows <= columns.rows else 0
    first, step = start, columns.column("step", start)
    if name not in columns.names:
        return {"generation": columns.generation, "rows": columns.rows, "reset": not start, "x": [], "y": [], "of": 0}
    y = columns.column(name, start)
    if wanted.get("range") is not None:
        low, high = _pair("range", wanted["range"])
        begin, end = np.searchsorted(step, low), np.searchsorted(step, high, side="right")
        # A neighbour on either side, so that lines go on to the edge.
        begin, end = max(begin - 1, 0), min(end + 1, len(step))
        first, step, y = first + begin, step[begin:end], y[begin:end]
    # Numbers that are measured now and then stand between many that are not there.
    there = np.flatnonzero(np.isfinite(y))
    sparse = len(there) < 0.5 * len(y)
    rows = there[thinned(y[there], points)] if sparse else thinned(y, points)
    x = _against(store, path, config, against, first + rows, step[rows])
    return {
        "generation": columns.generation, "rows": columns.rows, "reset": not start, "x": x, "y": y[rows],
        "of": len(there) if sparse else len(y),
    }  # fmt: skip


def _against(
    store: Store, path: Path, config: dict[str, Any], against: str, rows: np.ndarray, step: np.ndarray
) -> np.ndarray:
    if against == "step":
        return step
    if against == "time":
        column = store.column(path, "time")
        return column.column("time")[np.minimum(rows, column.rows - 1)] if column.rows else step
    if against == "samples":
        size = config.get("batch", {}).get("size") or config["method"].get("hyperparameters", {}).get("batch_size")
        if not isinstance(size, int | float):
            raise InputError(f"{path.name} does not say how many samples a batch has")
        return step * float(size)
    counted = store.column(path, "gradients")
    if "gradients" in counted.names:
        return counted.column("gradients")[np.minimum(rows, counted.rows - 1)]
    about = read_checkpoint(path, leaves=False) or {}
    each, at_start = divmod(int(about.get("gradients") or 0), max(int(about.get("step") or 0), 1))
    return at_start + step * max(each, 1)


def tick_points(count: int) -> int:
    """Points of each of so many curves in one answer on what is new."""
    return max(2, _TICK_POINTS // max(count, 1))


def _pair(name: str, value: Any) -> tuple[float, float]:
    if not (isinstance(value, list) and len(value) == 2 and all(_is_number(one) for one in value)):
        raise InputError(f"{name} must be two numbers")
    return float(value[0]), float(value[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
