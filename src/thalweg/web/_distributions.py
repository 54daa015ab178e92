"""Flows of distributions as frames of a film: densities and particles on one scale, the free energy beside them."""

from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .._measures.base import AbstractMeasure
from .._measures.grid import Grid
from .._measures.particles import Particles
from .._measures.quantiles import Quantiles
from .._records.run import Run
from ..plot._density import _row, values
from ..plot._frames import Place, corners, raster
from ._plain import shades

_FRAMES, _DRAWN = 60, 1000


def film(path: Path, frames: int = _FRAMES) -> dict[str, Any]:
    """The distribution at times from the start to the end.

    On a line each frame is a density over `edges`; in the plane a picture of bytes, x before y, from the lower left.
    """
    run = Run.load(path)
    if not isinstance(run.final.position, AbstractMeasure):
        raise InputError(f"{path.name} moves a point, not a distribution")
    trace = run.trace
    if trace is None or not len(trace):
        raise InputError(f"{path.name} kept no distribution on its way; a run with positions does")
    chosen = np.unique(np.linspace(0, len(trace) - 1, min(frames, len(trace))).round().astype(int))
    stack = [_row(trace.position, int(i)) for i in chosen]
    low, high = corners(stack)
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
        raise InputError(f"{path.name} has no finite place to be shown at")
    one = stack[0].dimension == 1
    if not one and isinstance(stack[0], Grid):
        low, high = _occupied(stack, low, high)
    answer: dict[str, Any] = {
        "dimension": stack[0].dimension, "low": low, "high": high, "kind": type(stack[0]).__name__,
        "words": stack[0].words, "time": np.asarray(trace.time)[chosen], "step": np.asarray(trace.step)[chosen],
        "smoothed": isinstance(stack[0], Particles),
    }  # fmt: skip
    if one:
        drawn = [values(q, (low[0], high[0])) for q in stack]
        answer["curves"] = [{"edges": edges, "density": density} for edges, density in drawn]
    else:
        place = Place(None, low, high)  # pyright: ignore[reportArgumentType]
        answer["pictures"] = [dict(zip(("bytes", "top"), shades(raster(q, place).T), strict=True)) for q in stack]
        answer["cells"] = raster(stack[0], place).shape[0]
    answer["dots"] = [_dots(q) for q in stack]
    answer["mean"] = [np.asarray(q.mean) for q in stack]
    return answer


def _occupied(stack: list[Any], low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a grid where there is a density at any time, with some room."""
    place = Place(None, low, high)  # pyright: ignore[reportArgumentType]
    some = np.max([raster(q, place) for q in stack], axis=0)
    there = some > 1e-3 * some.max()
    ends = []
    for axis in (0, 1):
        rows = np.flatnonzero(there.any(axis=1 - axis))
        pixel = (high[axis] - low[axis]) / there.shape[axis]
        begin, end = low[axis] + pixel * rows[0], low[axis] + pixel * (rows[-1] + 1)
        room = 0.15 * (end - begin)
        ends.append((max(begin - room, low[axis]), min(end + room, high[axis])))
    return np.array([a for a, _ in ends]), np.array([b for _, b in ends])


def _dots(q: Any) -> list[Any] | None:
    """Particles, thinned evenly: on a line their places, in the plane pairs; None of what has none."""
    if isinstance(q, Grid):
        return None
    if isinstance(q, Quantiles):
        points = np.asarray(q.values)[:, None]
    elif isinstance(q, Particles):
        points = np.asarray(q.positions)
    else:
        return None
    every = -(-len(points) // _DRAWN)
    kept = points[::every, :2]
    return [[round(float(x), 5) for x in point] for point in kept]
