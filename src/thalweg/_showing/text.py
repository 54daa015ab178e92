"""Numbers and tables as a terminal shows them."""

import io
import shutil
import textwrap
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


# The width where nobody says one: of a pipe, and of what Python prints.
_PIPE, _REPR = 160, 140
# Lines that a row may take before the table is set as one block a row.
_LINES = 3


def width_of_terminal(otherwise: int = _PIPE) -> int:
    """Columns of the terminal; in a pipe those that COLUMNS says, or `otherwise`."""
    return max(20, shutil.get_terminal_size((otherwise, 24)).columns)


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
        # Words stay whole: a table that would have to break them is set as blocks.
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


def blocks(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None, width: int) -> str:
    """A table that is too wide: a block a row, a cell a line, with its column's name before it."""
    names = max(map(len, columns[1:]), default=0)
    indent = min(names, width // 2) + 4
    parts = [] if title is None else [textwrap.fill(title, width)]
    for first, *rest in rows:
        lines = textwrap.wrap(number(first), width) or [""]
        for name, cell in zip(columns[1:], map(number, rest), strict=True):
            label = f"  {name.ljust(names)}  "
            if len(label) > indent:
                lines.append(f"  {name}")
                label = " " * indent
            wrapped = textwrap.wrap(cell, width, initial_indent=label, subsequent_indent=" " * indent)
            lines += wrapped or [label.rstrip()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def fitted(table: "Table | str", width: int) -> "Table | str":
    """A table, or where its words do not fit side by side, or rows would take many lines, the same as blocks."""
    if isinstance(table, str):
        return table
    from rich.console import Console
    from rich.text import Text

    console = Console(file=io.StringIO(), width=width, no_color=True)
    least = console.measure(table, options=console.options.update(max_width=10_000)).minimum
    count = max(table.row_count, 1)
    if least <= width:
        folded = sum(1 for line in console.render_lines(table) if line)
        if folded <= _LINES * count + 5:
            return table
    cells = [[Text.from_markup(str(cell)).plain for cell in column.cells] for column in table.columns]
    title = None if table.title is None else str(table.title)
    return blocks([str(column.header) for column in table.columns], list(zip(*cells, strict=True)), title, width)


def plain(table: "Table | str", width: int | None = None) -> str:
    """A table as text without colour, as wide as the terminal."""
    from rich.console import Console

    width = width_of_terminal(_REPR) if width is None else width
    found = fitted(table, width)
    if isinstance(found, str) and not isinstance(table, str):
        return found
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip()
