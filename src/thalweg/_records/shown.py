"""Runs as `thalweg list` and `thalweg show` print them, ours and recorded ones."""

from pathlib import Path
from typing import Any

from .._text import number, settings
from .describe import labels
from .kinds import Shown
from .run import Run

# Rows of metrics that are printed.
_ROWS = 10


def run_row(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """A run in a row of `thalweg list`."""
    del config
    return row_of(Run.load(path))


def show_run(path: Path, config: dict[str, Any]) -> Shown:
    """A run, and some rows of its metrics."""
    run = Run.load(path)
    metrics = run.metrics
    tables = []
    if metrics:
        last = len(metrics["step"]) - 1
        picked = sorted({round(i * last / (_ROWS - 1)) for i in range(_ROWS)})
        tables = [(tuple(metrics), [[metrics[name][i].item() for name in metrics] for i in picked])]
    row = row_of(run)
    return Shown([row | {"config": config}], lines_of(row), tables, [])


def row_of(run: Run) -> dict[str, Any]:
    """The facts known of a run, by name."""
    loss = run.metrics.get("loss")
    objective, method, hyperparameters = labels(run)
    return {
        "path": str(run.path),
        "objective": objective,
        "method": method,
        "hyperparameters": hyperparameters,
        "status": run.status,
        "message": run.message,
        "steps": run.steps,
        "gradients": run.gradients,
        "seconds": run.seconds,
        "compile_seconds": run.compile_seconds,
        "loss": float(loss[-1]) if loss is not None and len(loss) else None,
    }


def lines_of(row: dict[str, Any]) -> list[str]:
    """The same, a line for each."""
    shown = row | {"hyperparameters": settings(row["hyperparameters"]) or "none", "loss": number(row["loss"], 6)}
    return [f"{name:15} {number(value)}" for name, value in shown.items()]
