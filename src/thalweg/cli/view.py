"""thalweg view."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._options import Whole
from ._output import say


def view(
    runs: Path = Path("runs"),
    *,
    port: Whole | None = None,
    objective: str | None = None,
    start: str | None = None,
    report: Path | None = None,
    open: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show runs in a browser, and methods on functions of two parameters; on this machine alone, until Ctrl-C.

    Parameters
    ----------
    runs
        The directory that holds the runs.
    port
        Of the server [a free one].
    objective
        A function of two parameters of yours for the playground, module:function.
    start
        Where it is begun, two numbers such as 1.0,2.0, or module:x0.
    report
        Write the runs as one page here, which opens without a network, and serve nothing.
    open
        Open the page in the browser.
    """
    from .._errors import InputError

    if report is not None:
        for option, given in (("port", port), ("objective", objective), ("start", start)):
            if given is not None:
                raise InputError(f"--report writes a file, for which there is no --{option}")
        if open:
            raise InputError("--report writes a file, for which there is no --open")
        from ..web import write_page

        if not runs.is_dir():
            raise InputError(f"{runs} is not a directory; give the one that holds the runs")
        say(f"report: {write_page(runs, report, runs.resolve().name)}")
        return
    from ..web._server import _serve, require_web

    require_web()
    if runs == Path("runs") and not runs.exists():
        # Who has no runs yet comes for the playground.
        say("there are no runs here yet; thalweg run rosenbrock makes one")
    elif not runs.is_dir():
        raise InputError(
            f"{runs} is not a directory; give the one that holds the runs, or make one: thalweg run rosenbrock"
        )
    grounds = {}
    if objective is not None:
        from ..web._grounds import ground
        from ._spec import objective_and_start, set_precision

        set_precision(64)
        if ":" not in objective:
            raise InputError(
                f"objective {objective!r} must be written module:function; ours are in the playground already"
            )
        found, first = objective_and_start(objective, start)
        made = ground(objective, found, first, f"...  # {objective}")
        grounds[objective] = lambda: made
    elif start is not None:
        raise InputError("--start belongs to --objective")

    def ready(address: str) -> None:
        print(address, flush=True)
        say(f"showing {runs}; open the address in a browser, end with Ctrl-C")
        if open:
            import webbrowser

            webbrowser.open(address)

    _serve(runs, port, None, ready, grounds)
