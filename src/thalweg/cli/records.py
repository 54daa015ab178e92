"""thalweg resume, list, show, export: what is done with runs and samples on disk."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._options import Json, Progress, Whole
from ._output import print_json, print_shown, print_table, say
from ._spec import check_format

_ENDINGS = {"nc": "netcdf", "nc4": "netcdf"}


def resume(
    directory: Path,
    *,
    steps: Annotated[Whole | None, Parameter(name=["--steps", "--draws"])] = None,
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
    """
    from .._errors import InputError
    from .._records.kinds import kind_of, read_config

    config = read_config(directory)
    kind = kind_of(config)
    if kind.resume is None:
        raise InputError(f"{directory} was {kind.origin}; go on there with {kind.onward(directory)}")
    if "source" not in config:
        raise InputError(f"{directory} was {kind.origin}; go on with {kind.onward(directory)}")
    return kind.call("resume", directory, config, steps, progress, json)


def list_runs(root: Path = Path("runs"), *, json: Json = False) -> None:
    """List the runs below a directory.

    Parameters
    ----------
    root
        Where to look.
    """
    from .._errors import InputError

    if not root.is_dir():
        raise InputError(f"{root} is not a directory; give the one that holds the runs")
    rows = []
    for file in sorted(root.rglob("run.toml")):
        try:
            rows.append(_summary(file.parent))
        except (InputError, OSError, ValueError, KeyError) as error:
            rows.append({"path": str(file.parent), "status": f"unreadable: {error}"})
    if json:
        print_json(rows)
        return
    columns = ("path", "objective", "method", "steps", "loss", "status")
    print_table(columns, [[row.get(name) for name in columns] for row in rows])
    if not rows:
        say(f"no runs below {root}; make one with: thalweg run rosenbrock")


def _summary(directory: Path) -> dict[str, Any]:
    from .._records.kinds import kind_of, read_config

    config = read_config(directory)
    return kind_of(config).call("summary", directory, config)


def show(directory: Path, *, json: Json = False) -> None:
    """Show one run: its configuration, how it ended, its metrics. Of samples, how each parameter was drawn.

    Parameters
    ----------
    directory
        The run directory.
    """
    from .._records.kinds import kind_of, read_config

    config = read_config(directory)
    print_shown(kind_of(config).call("show", directory, config), json)


def export(directory: Path, out: Path, *, format: str | None = None) -> None:
    """Write a run's metrics as csv or json, metrics and positions as npz, or all of it as netCDF or Zarr.

    Draws are written as csv or npz, what ArviZ reads as netCDF or Zarr.

    Parameters
    ----------
    directory
        The run directory.
    out
        The file to write; a directory for zarr.
    format
        csv, json, npz, netcdf (ending nc) or zarr [by the file's ending].
    """
    from .._errors import InputError
    from .._records.kinds import KINDS, kind_of, read_config

    ending = out.suffix.lstrip(".")
    chosen = format or _ENDINGS.get(ending, ending)
    check_format(chosen, {known for kind in KINDS.values() for known in kind.formats})
    if out.exists():
        raise InputError(f"{out} exists; choose another file")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is not a directory")
    kind = kind_of(read_config(directory))
    check_format(chosen, kind.formats)
    kind.call("export", directory, out, chosen)
    say(f"wrote {out}")
