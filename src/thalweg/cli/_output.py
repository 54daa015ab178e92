"""Results to stdout, everything else to stderr."""

import contextlib
import itertools
import json
import math
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .._errors import InputError
from .._records.naming import as_component


def print_json(rows: Any) -> None:
    """A list of objects; what is not finite is null."""
    print(json.dumps(_jsonable(rows), indent=1))


# Widths of a table that is printed as it comes: of a column at most, of the last at least.
_FOLD, _LAST = 24, 22
# Rich takes some 0.4 ms a row to fold cells to the terminal.
_MANY = 200


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """A table as wide as the terminal, or blocks where it does not fit; of very many rows without rich."""
    from .._showing.text import blocks, make_table, quick_table, width_of_terminal

    if len(rows) > _MANY:
        text, width = quick_table(columns, rows, title), width_of_terminal()
        fits = max(map(len, text.splitlines())) <= width
        print(text if fits else blocks(columns, rows, title, width))
    else:
        show(make_table(columns, rows, title))


def print_as_it_comes(
    columns: Sequence[str], known: Sequence[Sequence[Any]], rows: Iterable[Sequence[Any]], title: str
) -> None:
    """A table whose rows are printed one by one, as they are worked out, as wide as the terminal or as blocks.

    Arguments:
        columns: their names.
        known: the rows but for what is not known yet, which is empty; widths are those of what is known.
        rows: the rows, whole.
        title: of the table.
    """
    from .._showing.text import blocks, number, width_of_terminal

    cells = [[number(cell) for cell in row] for row in known]
    widths = [min(max(map(len, column)), _FOLD) for column in zip(columns, *cells, strict=True)]
    terminal = width_of_terminal()
    # The last column takes what is left of the line.
    widths[-1] = terminal - sum(widths[:-1]) - 2 * (len(widths) - 1)
    print(title)
    if widths[-1] < _LAST:
        for row in rows:
            print("", blocks(columns, [row], None, terminal), sep="\n", flush=True)
        return
    rule = ["─" * min(width, 2 * _FOLD) for width in widths]
    for row in (columns, rule):
        _print_folded(row, widths)
    for row in rows:
        _print_folded([number(cell) for cell in row], widths)


def _print_folded(row: Sequence[str], widths: Sequence[int]) -> None:
    folded = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    for line in itertools.zip_longest(*folded, fillvalue=""):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    sys.stdout.flush()


def print_shown(shown: Any, json: bool) -> None:
    """Print what a kind of directory shows (`Shown`): results on stdout, remarks on stderr."""
    if json:
        print_json(shown.rows)
    else:
        if shown.lines:
            print(*shown.lines, sep="\n")
        for columns, cells in shown.tables:
            print_table(columns, cells)
    for text in (*(() if json else shown.more), *shown.remarks):
        say(text)


def show(table: Any) -> None:
    """A rich table on stdout."""
    from rich.console import Console

    from .._showing.text import fitted, width_of_terminal

    width = width_of_terminal()
    found = fitted(table, width)
    if isinstance(found, str) and not isinstance(table, str):
        print(found)
    else:
        Console(width=width, highlight=False).print(found)


def say(message: str) -> None:
    """A line on stderr, after what stdout has."""
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def directory_for(out: Path | None, label: str) -> Iterator[Path]:
    """The directory that was asked for, else a new one, runs/<label>-<time>, which goes where nothing is put in it."""
    new = not Path("runs").exists()
    path = _reserved(label) if out is None else out
    try:
        yield path
    finally:
        if out is None:
            # Where something is in it, it stays.
            with contextlib.suppress(OSError):
                path.rmdir()
                if new:
                    path.parent.rmdir()


def _reserved(label: str) -> Path:
    """A directory of which no other process thinks that it is its own, since it was this one that made it."""
    stem = f"{as_component(label)}-{datetime.now():%Y%m%d-%H%M%S}"
    for count in itertools.count(1):
        path = Path("runs") / (stem if count == 1 else f"{stem}-{count}")
        try:
            path.mkdir(parents=True)
            return path
        # It is another's, or another has just taken its own back, and runs with it.
        except (FileExistsError, FileNotFoundError):
            continue
        except NotADirectoryError:
            raise InputError(f"{path.parent} is no directory, and runs go there; give another: --out") from None
    raise AssertionError


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return value.item() if hasattr(value, "item") else str(value)
