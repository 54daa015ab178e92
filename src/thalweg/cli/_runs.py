"""The directory of a run at the command line."""

from typing import Any

from ._output import print_json


def finish(result: Any, json: bool) -> int:
    """Print how a run ended; its exit status."""
    row = summary(result)
    if json:
        print_json([row])
    else:
        print_summary(row)
    return 0 if result.status in ("finished", "stopped", "converged") else 1


def print_summary(row: dict[str, Any]) -> None:
    """A run, a line for each thing known of it."""
    from .._text import number, settings

    shown = row | {"hyperparameters": settings(row["hyperparameters"]) or "none", "loss": number(row["loss"], 6)}
    for name, value in shown.items():
        print(f"{name:15} {number(value)}")


def summary(result: Any) -> dict[str, Any]:
    """A run in a row."""
    from .._records.describe import labels

    loss = result.metrics.get("loss")
    objective, method, hyperparameters = labels(result)
    return {
        "path": str(result.path),
        "objective": objective,
        "method": method,
        "hyperparameters": hyperparameters,
        "status": result.status,
        "message": result.message,
        "steps": result.steps,
        "gradients": result.gradients,
        "seconds": result.seconds,
        "compile_seconds": result.compile_seconds,
        "loss": float(loss[-1]) if loss is not None and len(loss) else None,
    }
