"""thalweg resume, list, show, export: what is done with runs and samples on disk."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._options import Json, Progress, Whole
from ._output import print_json, print_table, say
from ._runs import print_summary, summary
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
    from .._records.run import is_logged, is_sampled, read_config

    config = read_config(directory)
    if is_logged(config):
        raise InputError(
            f"{directory} was recorded from another loop; go on there with tw.Recorder({str(directory)!r}, ..., "
            "resume=True)"
        )
    sampled = is_sampled(config)
    if "source" not in config:
        way = "tw.sample" if sampled else "tw.run"
        raise InputError(
            f"{directory} was begun from Python, not from the command line; go on with {way}(..., out=..., resume=True)"
        )
    from . import run, sample

    return (sample if sampled else run).resume(directory, config, steps, progress, json)


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
    from .._records.run import Run, is_sampled, read_config

    config = read_config(directory)
    if not is_sampled(config):
        return summary(Run.load(directory))
    from . import _samples

    return _samples.summary(directory, config)


def show(directory: Path, *, json: Json = False) -> None:
    """Show one run: its configuration, how it ended, its metrics. Of samples, how each parameter was drawn.

    Parameters
    ----------
    directory
        The run directory.
    """
    from .._records.run import Run, is_sampled, read_config

    if is_sampled(read_config(directory)):
        import thalweg as tw

        from . import _samples

        _samples.finish(directory, tw.read_samples(directory), json)
        return
    result = Run.load(directory)
    row = summary(result) | {"config": result.config}
    if json:
        print_json([row])
        return
    print_summary(summary(result))
    metrics = result.metrics
    if metrics:
        count = len(metrics["step"])
        picked = sorted({round(i * (count - 1) / 9) for i in range(10)})
        print_table(tuple(metrics), [[metrics[name][i].item() for name in metrics] for i in picked])


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
    from .._records.run import Run, is_sampled, read_config
    from .._records.storage import write_atomically

    ending = out.suffix.lstrip(".")
    chosen = format or _ENDINGS.get(ending, ending)
    check_format(chosen, ("csv", "json", "npz", "netcdf", "zarr"))
    if out.exists():
        raise InputError(f"{out} exists; choose another file")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is not a directory")
    if is_sampled(read_config(directory)):
        from . import _samples

        _samples.export(directory, out, chosen)
        say(f"wrote {out}")
        return
    result = Run.load(directory)
    if chosen in ("netcdf", "zarr"):
        from .._records.dataset import write_dataset

        write_dataset(result.to_xarray(), out, chosen)
    else:
        write_atomically(out, _exported(result, chosen))
    say(f"wrote {out}")


def _exported(result: Any, format: str) -> bytes:
    import csv
    import io
    import json

    import jax
    import numpy as np

    metrics = result.metrics
    if format == "json":
        rows = {name: [v if np.isfinite(v) else None for v in values.tolist()] for name, values in metrics.items()}
        return json.dumps(rows).encode()
    if format == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(metrics)
        writer.writerows(zip(*(values.tolist() for values in metrics.values()), strict=True))
        return text.getvalue().encode()
    arrays = {f"metrics/{name}": values for name, values in metrics.items()}
    if result.trace is not None:
        arrays |= {"trace/step": result.trace.step, "trace/time": result.trace.time}
        for part in ("position", "velocity"):
            for path, leaf in jax.tree_util.tree_flatten_with_path(getattr(result.trace, part))[0]:
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                arrays["/".join(filter(None, ("trace", part, name)))] = leaf
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
