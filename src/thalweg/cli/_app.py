"""The application: its commands, and how an error becomes one line and a status."""

import os
import sys
from typing import Any

from cyclopts import App, CycloptsError

from .. import __version__
from .._errors import InputError
from . import claims, compare, records, run, sample, table, translate, verify

app = App(
    name="thalweg",
    help="Optimizers, samplers and flows as discretised dynamical systems.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # what Ctrl-C saved is printed by `_status`
)
app.command(compare.compare)
app.command(run.run)
app.command(sample.sample)
app.command(records.resume)
app.command(records.list_runs, name="list")
app.command(records.show)
app.command(records.export)
app.command(table.table)
app.command(translate.translate)
app.command(verify.verify)
app.command(claims.claims)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    tokens = sys.argv[1:] if arguments is None else arguments
    try:
        result: Any = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        return _complain(f"{error} (see thalweg --help)", 2)
    except InputError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt as stop:
        return _complain(str(stop) or "interrupted", 130)
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


def _complain(message: str, status: int) -> int:
    message = " ".join(message.split())
    print(f"error: {message}" if status != 130 else message, file=sys.stderr)
    return status
