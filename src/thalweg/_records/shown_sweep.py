"""Sweeps as `thalweg list` and `thalweg show` print them: the settings, from the best on."""

from pathlib import Path
from typing import Any

import numpy as np

from .describe import labels_of_config
from .kinds import Shown
from .shown import lines_of
from .sweep import Sweep, load_sweep

_SHOWN = 20


def sweep_row(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """A sweep in a row of `thalweg list`, with its best setting and the loss that it comes to."""
    return _row(load_sweep(path), config)


def show_sweep(path: Path, config: dict[str, Any]) -> Shown:
    """Its settings, the numbers of each and what its seeds come to: the median loss, and what the loss did."""
    sweep = load_sweep(path)
    rows: list[dict[str, Any]] = []
    medians, regimes = _medians(sweep), None if sweep.losses is None else sweep.regimes
    for i, median in enumerate(medians):
        row = {name: float(values[i]) for name, values in sweep.settings.items()} | {"final_loss": float(median)}
        rows.append(row | ({} if regimes is None else {"regime": ", ".join(sorted(set(regimes[i])))}))
    # NaN, of what diverged or was not made, comes last.
    rows = [rows[i] for i in np.argsort(medians, kind="stable")]
    cells = [list(row.values()) for row in rows[:_SHOWN]]
    more = [f"and {len(rows) - _SHOWN} settings more; --json prints all"] if len(rows) > _SHOWN else []
    columns = tuple(name.replace("_", " ") for name in rows[0])
    return Shown(rows, lines_of(_row(sweep, config)), [(columns, cells)], [], more)


def _medians(sweep: Sweep) -> np.ndarray:
    medians = np.full(len(sweep.final_loss), np.nan)
    finite = np.isfinite(sweep.final_loss).all(axis=1)
    medians[finite] = np.median(sweep.final_loss[finite], axis=1)
    return medians


def _row(sweep: Sweep, config: dict[str, Any]) -> dict[str, Any]:
    objective, method, _ = labels_of_config(config)
    medians = _medians(sweep)
    # Of a field there is no loss, and where all diverged no best setting.
    known = bool(np.isfinite(sweep.typical_loss).any())
    return {
        "path": str(sweep.path),
        "objective": objective,
        "method": method,
        "hyperparameters": sweep.best if known else {},
        "status": sweep.status,
        "message": sweep.message,
        "steps": config["sweep"]["steps"],
        "settings": len(sweep.final_loss),
        "seeds": config["sweep"]["seeds"],
        "seconds": sweep.seconds,
        "compile_seconds": sweep.compile_seconds,
        "loss": float(np.nanmin(medians)) if np.isfinite(medians).any() else None,
    }
