"""Numbers and tables as a terminal shows them."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def number(value: Any, digits: int = 4) -> str:
    """A number as short as it reads well; a dash for what is not there."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def settings(numbers: Mapping[str, Any]) -> str:
    """Hyperparameters in one line; of a function its name."""

    def word(value: Any) -> str:
        name = getattr(value, "__name__", type(value).__name__)
        return ("varying" if "<" in name else name) if callable(value) else number(value)

    return ", ".join(f"{name.replace('_', ' ')} {word(value)}" for name, value in numbers.items())


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


def quick_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> str:
    """The same as text, made without rich."""
    cells = [[number(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    right = [all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        padded = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    head = ([] if title is None else [title]) + [line(columns), "  ".join("─" * width for width in widths)]
    return "\n".join([*head, *map(line, cells)])


def plain(table: "Table | str", width: int = 140) -> str:
    """A table as text without colour."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip()
