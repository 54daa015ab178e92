"""Runs as `thalweg list` and `thalweg show` print them, read without JAX, and never with all rows at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InputError
from .._showing.text import number, settings
from .growing import check_files
from .kinds import Shown
from .labels import labels_of_config
from .lines import last_row, picked_rows
from .storage import read_checkpoint

if TYPE_CHECKING:
    from .run import Run

# Rows of metrics that are printed.
_ROWS = 10


def run_row(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """A run in a row of `thalweg list`, of which nothing but the checkpoint and the last row is read."""
    return _row(path, config, read_about(path), last_row(path))


def show_run(path: Path, config: dict[str, Any]) -> Shown:
    """A run, and some rows of its metrics, once all of it is checked."""
    about = read_about(path, verify=True)
    check_files(path, about)
    names, picked, count = picked_rows(path, _ROWS)
    tables = [(names, [[_cell(name, row.get(name)) for name in names] for row in picked])] if picked else []
    row = _row(path, config, about, picked[-1] if picked else {})
    unchecked = count - about["step"] if about["status"] == "running" else 0
    remarks = [f"{unchecked} rows after the last checkpoint are not checked"] if unchecked > 0 and picked else []
    noted = _noted(about)
    lines = [*lines_of(row), *(f"{name.replace('_', ' '):15} {text}" for name, (_, text) in noted.items())]
    found = row | {name: value for name, (value, _) in noted.items()} | {"config": config}
    return Shown([found], lines, tables, remarks)


def _noted(about: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Numbers that a recorder found, as JSON and in words."""
    found: dict[str, tuple[Any, str]] = {}
    if about.get("least_margin"):
        margin, step = about["least_margin"]
        found["least_margin"] = {"margin": margin, "step": step}, f"{margin:.4g} at step {step}"
    if about.get("noise_scale"):
        value, error, pairs = about["noise_scale"]
        known = "no gradient stands out of the noise" if value is None else f"{value:.4g} samples"
        known += "" if error is None else f", to {error:.2g}"
        found["noise_scale"] = (
            {"value": value, "error": error, "pairs": pairs},
            f"{known} (from {pairs} row{'' if pairs == 1 else 's'})",
        )
    return found


def read_about(path: Path, verify: bool = False) -> dict[str, Any]:
    """The words of the checkpoint; its arrays are read to `verify` them."""
    about = read_checkpoint(path, derived=verify, leaves=verify)
    if about is None:
        raise InputError(f"{path} holds no checkpoint yet; the run was stopped before its first one")
    return about


def row_of(run: "Run") -> dict[str, Any]:
    """The facts known of a run, by name."""
    from .describe import labels

    loss = run.metrics.get("loss")
    about = {name: getattr(run, name) for name in (*_OF_CHECKPOINT, "message")} | {"step": run.steps}
    last = {"loss": float(loss[-1])} if loss is not None and len(loss) else {}
    return _named(str(run.path), labels(run), about, last)


_OF_CHECKPOINT = ("status", "gradients", "seconds", "compile_seconds")


def _row(path: Path, config: dict[str, Any], about: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    loss = {"loss": _cell("loss", last["loss"])} if "loss" in last else {}
    return _named(str(path), labels_of_config(config), about, loss)


def _named(path: str, labels: tuple[str, str, Any], about: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    objective, method, hyperparameters = labels
    return {
        "path": path,
        "objective": objective,
        "method": method,
        "hyperparameters": hyperparameters,
        "status": about["status"],
        "message": about["message"],
        "steps": about["step"],
        "gradients": about["gradients"],
        "seconds": about["seconds"],
        "compile_seconds": about["compile_seconds"],
        "loss": last.get("loss"),
    }


def _cell(name: str, value: Any) -> Any:
    """A number as `Run.metrics` has it."""
    if name == "step":
        return value
    return float("nan") if value is None else float(value)


def lines_of(row: dict[str, Any]) -> list[str]:
    """The same, a line for each."""
    shown = row | {"hyperparameters": settings(row["hyperparameters"]) or "none", "loss": number(row["loss"], 6)}
    return [f"{name:15} {number(value)}" for name, value in shown.items()]


def run_html(run: "Run") -> str:
    """A run as a notebook shows it: what it was of, how it ended, and a small picture of its loss."""
    from .._showing.html import curve_html, facts_html

    row = row_of(run)
    facts = {name: value for name, value in row.items() if name not in ("path", "message", "hyperparameters")}
    facts = {"run": row["path"] if run.path is not None else None} | facts | row["hyperparameters"]
    loss = run.metrics.get("loss")
    below = "" if loss is None else curve_html(loss, f"loss over {run.steps} steps")
    return facts_html(f"{run.status}: {run.message}", facts, below)
