"""thalweg resume, list, show, export: what is done with runs and samples on disk."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._options import Json, Progress, Whole
from ._output import print_json, print_shown, print_table, say
from ._spec import check_format

_ENDINGS = {"nc": "netcdf", "nc4": "netcdf", "htm": "html"}


def resume(
    directory: Path,
    *,
    steps: Annotated[Whole | None, Parameter(name=["--steps", "--draws"])] = None,
    objective: str | None = None,
    method: Annotated[str | None, Parameter(name=["--method", "-m"])] = None,
    start: str | None = None,
    trust: Annotated[bool, Parameter(negative=())] = False,
    progress: Progress = None,
    json: Json = False,
) -> int:
    """Go on with a run that was stopped; the result is the one an uninterrupted run would have had.

    Parameters
    ----------
    directory
        The run directory.
    steps
        Go on to this many steps, or draws of samples, in all [as it was begun].
    objective
        Of a run of an objective of yours, module:function once more: no code is imported that only a file names.
    method
        Likewise of a method of yours, module:factory.
    start
        Likewise of a start, module:x0.
    trust
        Import what the directory names, whatever that is.
    """
    from .._errors import InputError
    from .._records.kinds import command, kind_of, own_code, read_config

    config = read_config(directory)
    kind = kind_of(config)
    if kind.resume is None:
        raise InputError(f"{directory} was {kind.origin}; go on there with {kind.onward(directory)}")
    if "source" not in config:
        raise InputError(f"{directory} was {kind.origin}; go on with {kind.onward(directory)}")
    named, given = own_code(config), {"objective": objective, "method": method, "start": start}
    for option, name in given.items():
        was = named.get(option, config["source"].get(option))
        if name is not None and name != was:
            raise InputError(f"{directory} was begun with {option} {was!r}, not {name!r}")
    missing = [f"{option} {name}" for option, name in named.items() if given[option] is None]
    if missing and not trust:
        raise InputError(
            f"{directory} names code of its own, {', '.join(missing)}, which would be imported and run; if it is "
            f"yours, type: {command(directory, config)} (or --trust for all that it names)"
        )
    return kind.call("resume", directory, config, steps, progress, json)


def list_runs(root: Path = Path("runs"), *, json: Json = False) -> None:
    """List the runs below a directory, by what their files say: they are not verified, as `thalweg show` does.

    Rows of what has not changed since are kept in the user's cache directory, in thalweg/lists, which may be deleted.

    Parameters
    ----------
    root
        Where to look.
    """
    from .._errors import InputError

    if not root.is_dir():
        raise InputError(f"{root} is not a directory; give the one that holds the runs")
    from .._records.listing import rows_below

    rows = rows_below(root)
    if json:
        print_json(rows)
        return
    columns = ("path", "objective", "method", "steps", "loss", "status")
    title = "Not verified; thalweg show DIRECTORY verifies one." if rows else None
    print_table(columns, [[row.get(name) for name in columns] for row in rows], title)
    if not rows:
        say(f"no runs below {root}; make one with: thalweg run rosenbrock")


def show(directory: Path, *, json: Json = False) -> None:
    """Show one run: its configuration, how it ended, its metrics. Of samples, how each parameter was drawn.

    All of its files are read once, and checked against what was written.

    Parameters
    ----------
    directory
        The run directory.
    """
    from .._records.kinds import kind_of, read_config

    config = read_config(directory)
    print_shown(kind_of(config).call("show", directory, config), json)


def export(directory: Path, out: Path, *, format: str | None = None) -> None:
    """Write a run's metrics as csv or json, metrics and positions as npz, or all of it as netCDF, Zarr or a page.

    Draws are written as csv or npz, what ArviZ reads as netCDF or Zarr. A page shows what `thalweg view` does, in one
    html file that opens without a network.

    Parameters
    ----------
    directory
        The run directory.
    out
        The file to write; a directory for zarr.
    format
        csv, json, npz, netcdf (ending nc), zarr or html [by the file's ending].
    """
    from .._errors import InputError
    from .._records.kinds import KINDS, kind_of, read_config

    ending = out.suffix.lstrip(".")
    chosen = format or _ENDINGS.get(ending, ending)
    check_format(chosen, {known for kind in KINDS.values() for known in kind.formats} | {"html"})
    if out.exists():
        raise InputError(f"{out} exists; choose another file")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is not a directory")
    kind = kind_of(read_config(directory))
    if chosen == "html":
        from ..web import write_page

        write_page(directory, out, directory.resolve().name)
    else:
        check_format(chosen, (*kind.formats, "html"))
        kind.call("export", directory, out, chosen)
    say(f"wrote {out}")
