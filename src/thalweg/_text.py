"""Results as tables on a terminal."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from ._side_by_side.compare import Comparison
    from ._side_by_side.compare_runs import RunComparison
    from ._side_by_side.work_precision import WorkPrecision


def number(value: Any, digits: int = 4) -> str:
    """A number as short as it reads well; a dash for what is not there."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def make_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> "Table":
    """A plain table: numbers to the right, words to the left."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for i, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(number(cell)) for cell in row))
    return table


def comparison_table(comparison: "Comparison") -> "Table":
    """A comparison, one method a row."""
    rows = []
    for entry in comparison.entries:
        settings = ", ".join(f"{k} {number(v)}" for k, v in entry.hyperparameters.items())
        gradients = str(entry.gradients) if entry.reached else f"> {entry.gradients}"
        ms = 1e3 * entry.seconds
        rows.append((
            entry.method, settings, gradients, ms, entry.loss, entry.regime, entry.limit_of,
            entry.predicted_limit, entry.measured_limit,
        ))  # fmt: skip
    title = f"To {comparison.criterion} {comparison.tolerance:g} of its start, at most {comparison.budget} gradients"
    columns = ("method", "settings", "gradients", "ms", "last loss", "regime", "stable up to", "predicted", "measured")
    return make_table(columns, rows, title)


def runs_table(comparison: "RunComparison") -> "Table":
    """Runs that were made, one a row; what they went down is told where it is not the same."""
    differ = len({entry.objective for entry in comparison.entries}) > 1
    rows = []
    for entry in comparison.entries:
        settings = ", ".join(f"{k.replace('_', ' ')} {number(v)}" for k, v in entry.hyperparameters.items())
        gradients = str(entry.gradients) if entry.reached else f"> {entry.gradients}"
        rows.append((
            entry.name, *((entry.objective,) if differ else ()), entry.method, settings, gradients, entry.seconds,
            entry.loss, entry.best, entry.regime, entry.status,
        ))  # fmt: skip
    columns = ("run", *(("objective",) if differ else ()), "method", "settings", "gradients", "seconds", "last loss",
               "best loss", "regime", "status")  # fmt: skip
    return make_table(columns, rows, f"To a {comparison.criterion} of {comparison.tolerance:g} of its start")


ERRORS = (1e-3, 1e-6, 1e-9)


def work_tables(result: "WorkPrecision") -> "list[Table | str]":
    """Work and precision: every run, what each method spends to an error, and which is cheapest there."""
    from rich.markup import escape

    head = f"{result.law} followed to time {result.until:g}; errors relative to the size of x, {result.scale:.3g}.\n"
    head = escape(f"{head}The exact end is known from: {result.reference}.")
    runs = []
    for p in result.points:
        size = p.step_size if p.tolerance is None else f"tolerance {number(p.tolerance)}"
        error = "diverged" if p.error is None else f"{p.error:.2e}"
        runs.append(
            (p.method, number(size), p.gradients, 1e3 * p.seconds, error, "" if p.order is None else f"{p.order:.2f}")
        )
    tables = [make_table(("method", "step size", "gradients", "ms", "error", "order seen"), runs)]
    spent = []
    for name in result.methods:
        order = result.orders[name]
        costs = [[result.cost(name, error, of) for error in ERRORS] for of in ("gradients", "seconds")]
        cells = [None if c is None else f"{c:.0f}" for c in costs[0]]
        cells += [None if c is None else f"{1e3 * c:.3g}" for c in costs[1]]
        spent.append((name, None if order is None else f"{order:.2f}", *cells))
    columns = ("method", "order", *(f"gradients to {e:g}" for e in ERRORS), *(f"ms to {e:g}" for e in ERRORS))
    tables.append(make_table(columns, spent, "What an error costs (-: not reached)"))
    best = [(f"{e:g}", result.cheapest(e), result.cheapest(e, "seconds")) for e in ERRORS]
    tables.append(make_table(("to an error of", "fewest gradients", "least time"), best, "Cheapest"))
    return [head, *tables]


def plain(table: "Table | str", width: int = 140) -> str:
    """A table as text without colour."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip()
