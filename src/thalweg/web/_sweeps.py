"""Sweeps on a map of two of their settings: a point each, or where they are many the median of what lies in a cell."""

from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .._records.sweep import Sweep

# More settings than these are shown as cells.
_POINTS, _CELLS = 2000, 60


def plane(path: Path, across: Any = None, up: Any = None) -> dict[str, Any]:
    """The final loss over two settings; what diverged has none."""
    sweep = Sweep.load(path)
    names = list(sweep.settings)
    across = names[0] if across is None else across
    up = (names[1] if len(names) > 1 else None) if up is None else up
    for name in (across, up):
        if name is not None and name not in names:
            raise InputError(f"{path.name} swept {', '.join(names)}")
    final = np.asarray(sweep.final_loss, float)
    with np.errstate(invalid="ignore", over="ignore"):
        lost = ~np.isfinite(final).all(axis=1) | np.asarray(sweep.diverged).any(axis=1)
        loss = np.where(lost, np.nan, np.median(np.where(np.isfinite(final), final, np.nan), axis=1))
    x = np.asarray(sweep.settings[across], float)
    y = loss if up is None else np.asarray(sweep.settings[up], float)
    about = {
        "names": names, "across": across, "up": up, "of": len(x), "lost": int(lost.sum()), "seeds": final.shape[1],
        "best": sweep.best if np.isfinite(sweep.typical_loss).any() else None, "status": sweep.status,
        "message": sweep.message, "least": float(np.nanmin(loss)) if np.isfinite(loss).any() else None,
    }  # fmt: skip
    if len(x) <= _POINTS or up is None:
        rows = np.arange(len(x)) if len(x) <= _POINTS else np.linspace(0, len(x) - 1, _POINTS).astype(int)
        return about | {"points": {"x": x[rows], "y": y[rows], "loss": loss[rows]}}
    return about | {"cells": _binned(x, y, loss)}


def _binned(x: np.ndarray, y: np.ndarray, loss: np.ndarray) -> dict[str, Any]:
    """The median loss in cells, null where all diverged, and how many settings each has."""
    edges = [_edges(x), _edges(y)]
    column, row = (
        np.clip(np.searchsorted(e, v, side="right") - 1, 0, _CELLS - 1) for e, v in zip(edges, (x, y), strict=True)
    )
    cell = row * _CELLS + column
    order = np.lexsort((loss, cell))  # NaN last in its cell
    begin = np.searchsorted(cell[order], np.arange(_CELLS**2))
    end = np.searchsorted(cell[order], np.arange(_CELLS**2), side="right")
    finite = np.bincount(cell, np.isfinite(loss), _CELLS**2).astype(int)
    middle = np.full(_CELLS**2, np.nan)
    some = finite > 0
    middle[some] = loss[order][begin[some] + (finite[some] - 1) // 2]
    return {
        "x": edges[0], "y": edges[1], "count": _CELLS, "median": middle, "settings": end - begin, "finite": finite,
    }  # fmt: skip


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of cells from the least to the largest value, evenly in the logarithm where that spreads them better."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.linspace(low - 0.5, low + 0.5, _CELLS + 1)
    if low > 0 and high / low > 30:
        return np.geomspace(low, high, _CELLS + 1)
    return np.linspace(low, high, _CELLS + 1)
