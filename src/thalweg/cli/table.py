"""thalweg table."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Annotated, Any

from cyclopts import Parameter

from ._caches import keep, kept
from ._options import Json
from ._output import print_as_it_comes, print_json
from ._spec import chosen, parse_method

# What takes a while to compute comes last, where no other column depends on its width.
_COLUMNS = ("name", "aliases", "dynamics", "scheme", "order", "reference", "gradients", "stability")


def table(
    *, method: Annotated[list[str] | None, Parameter(name=["--method", "-m"])] = None, json: Json = False
) -> None:
    """List every method: its law of motion, scheme, order, gradients a step and stability.

    Parameters
    ----------
    method
        Only this one, NAME or NAME:momentum=0.5, or one of yours, module:factory or module:factory:name=value; repeat
        it.
    """
    found: list[dict[str, Any]] | None = None if method else kept("table", list)
    computed: Iterable[dict[str, Any]]
    if found is not None:
        computed, known = found, [_cells(one) for one in found]
    elif method or "jax" in sys.modules:
        import thalweg as tw

        rows = [chosen(*parse_method(spec)) for spec in method] if method else list(tw.table())
        known = [_of_row(row) for row in rows]
        # One is traced while another is compiled.
        computed = _computed(ThreadPoolExecutor(2), _worked_out, rows, None if method else "table")
    else:
        pool = _processes()
        known = pool.submit(_every_row).result()
        computed = _computed(pool, _by_name, [name for name, *_ in known], "table")
    if json:
        print_json([{name: value for name, value in one.items() if name != "shown"} for one in computed])
        return
    print_as_it_comes(_COLUMNS, known, (_cells(one) for one in computed), "Stability at curvature 1")


def _processes() -> Executor:
    """A process a processor, for tracing holds the interpreter; JAX is loaded in each, and not here."""
    import multiprocessing

    # There is one thread and no JAX yet, so that to fork is safe where the system does it well. It begins all at once.
    how = "fork" if sys.platform == "linux" else "spawn"
    return ProcessPoolExecutor(min(os.cpu_count() or 1, 8), multiprocessing.get_context(how), _begin)


def _begin() -> None:
    # Ctrl-C is for the command, which ends them; when it is killed, they end by themselves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    # Loaded before the first row is asked for.
    _every_row()


def _end_with_the_command() -> None:
    from multiprocessing import parent_process

    command = parent_process()
    assert command is not None
    command.join()
    os._exit(1)


def _computed(
    pool: Executor, work_out: Callable[[Any], dict[str, Any]], rows: Iterable[Any], name: str | None
) -> Iterator[dict[str, Any]]:
    """Rows as they are worked out; all of them, they are kept."""
    found = []
    try:
        for one in pool.map(work_out, rows):
            found.append(one)
            yield one
    finally:
        pool.shutdown(cancel_futures=True)
    if name is not None:
        keep(name, found)


def _worked_out(row: Any) -> dict[str, Any]:
    return row.as_dict() | {"shown": row.gradients}


def _by_name(name: str) -> dict[str, Any]:
    from .._methods.table import find_row

    return _worked_out(find_row(name))


def _every_row() -> list[list[Any]]:
    from .._methods.table import table

    return [_of_row(row) for row in table()]


def _of_row(row: Any) -> list[Any]:
    """Cells that take no time, the others empty."""
    scheme = getattr(row.scheme, "name", type(row.scheme).__name__)
    return [row.name, ", ".join(row.aliases), type(row.dynamics).__name__, scheme, row.order, row.reference, "", ""]


def _cells(one: dict[str, Any]) -> list[Any]:
    return [
        one["name"], ", ".join(one["aliases"]), one["dynamics"], one["scheme"], one["order"], one["reference"],
        one["shown"], one["stability"],
    ]  # fmt: skip
