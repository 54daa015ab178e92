"""The application: its commands, and how an error becomes one line and a status."""

import contextlib
import difflib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter

from .. import __version__
from .._errors import InputError
from .._loops.interrupt import Terminated
from . import claims, compare, flow, records, run, sample, table, translate, verify, view
from ._caches import keep_programs, switched

# An option of every command, and of none: what is computed does not depend on it.
_NO_CACHE = "--no-cache"


def _shown(default: Any) -> str | None:
    """A default as help shows it; what is off or empty is not shown."""
    if isinstance(default, tuple):
        return " ".join(default) or None
    return None if default is None or default is False else str(default)


app = App(
    name="thalweg",
    help="Optimizers, samplers and flows as discretised dynamical systems.\n\n"
    f"With {_NO_CACHE} a command neither uses nor keeps what was compiled before, in the user's cache directory.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(show_default=_shown),
    suppress_keyboard_interrupt=False,  # what Ctrl-C saved is printed by `_status`
)
app.command(compare.compare)
app.command(run.run)
app.command(sample.sample)
app.command(flow.flow)
app.command(records.resume)
app.command(records.list_runs, name="list")
app.command(records.show)
app.command(records.export)
app.command(table.table)
app.command(translate.translate)
app.command(verify.verify)
app.command(claims.claims)
app.command(view.view)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong input, 130 interrupted, 143 by SIGTERM."""
    tokens = sys.argv[1:] if arguments is None else arguments
    if _NO_CACHE not in tokens:
        keep_programs()
    sys.exit(_status(tokens))


def _status(arguments: list[str] | None) -> int:
    tokens = sys.argv[1:] if arguments is None else arguments
    cached = _NO_CACHE not in tokens
    tokens = [token for token in tokens if token != _NO_CACHE]
    try:
        with switched(cached), _warnings_in_a_line():
            result: Any = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        return _complain(f"{_misspelled(error) or error} (see thalweg --help)", 2)
    except InputError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt as stop:
        return _complain(str(stop) or "interrupted", 143 if isinstance(stop, Terminated) else 130)
    except BrokenPipeError:
        # The reader has gone (`thalweg table | head`); Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _complain(str(error), 1)
    except Exception as error:
        if os.environ.get("THALWEG_TRACEBACK"):
            raise
        return _complain(f"{type(error).__name__}: {error} (THALWEG_TRACEBACK=1 shows where)", 1)


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Print each warning once, as a line; of one that is not ours with its place."""
    said, before, package = set[str](), warnings.showwarning, str(Path(__file__).parents[1])

    def show(message: Warning | str, _: type[Warning], file: str, line: int, *rest: Any) -> None:
        del rest
        place = "" if file.startswith(package) else f" ({file}:{line})"
        text = " ".join(str(message).split()) + place
        if text not in said:
            said.add(text)
            print(f"warning: {text}", file=sys.stderr)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _misspelled(error: CycloptsError) -> str | None:
    """A flag that cyclopts takes for a number of a method, since it may have any name."""
    if not isinstance(error, MissingArgumentError) or error.keyword is None or not error.command_chain:
        return None
    names = [name for one in app[error.command_chain[0]].assemble_argument_collection() for name in one.names]
    near = difflib.get_close_matches(error.keyword, names, 1, 0.75)
    return f"Unknown option: {error.keyword}. Did you mean {near[0]}?" if near and near[0] != error.keyword else None


def _complain(message: str, status: int) -> int:
    message = " ".join(message.split())
    print(f"error: {message}" if status not in (130, 143) else message, file=sys.stderr)
    return status
