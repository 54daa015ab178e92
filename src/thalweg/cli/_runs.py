"""The end of a run at the command line."""

from typing import Any

from ._output import print_json


def finish(result: Any, json: bool) -> int:
    """Print how a run ended; its exit status."""
    from .._records.shown import lines_of, row_of

    row = row_of(result)
    if json:
        print_json([row])
    else:
        print(*lines_of(row), sep="\n")
    return 0 if result.status in ("finished", "stopped", "converged") else 1
