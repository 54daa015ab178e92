"""Run directories written to files that other programs read."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._errors import InputError
from .parameters import draws
from .run import Run
from .samples import read
from .storage import write_atomically
from .sweep import load_sweep


def export_run(path: Path, out: Path, format: str) -> None:
    """Write a run's metrics as csv or json, metrics and positions as npz, or all of it as netcdf or zarr."""
    run = Run.load(path)
    if format in ("netcdf", "zarr"):
        from .dataset import write_dataset

        write_dataset(run.to_xarray(), out, format)
        return
    metrics = run.metrics
    if format == "json":
        rows = {name: [v if np.isfinite(v) else None for v in values.tolist()] for name, values in metrics.items()}
        content = json.dumps(rows).encode()
    elif format == "csv":
        content = _csv(tuple(metrics), zip(*(values.tolist() for values in metrics.values()), strict=True))
    else:
        content = _npz(_arrays(run))
    write_atomically(out, content)


def export_samples(path: Path, out: Path, format: str) -> None:
    """Write draws as csv or npz, or what ArviZ reads as netcdf or zarr."""
    tree = read(path)
    if format in ("netcdf", "zarr"):
        from .dataset import write_dataset

        write_dataset(tree, out, format)
        return
    if not (found := draws(tree)):
        raise InputError(f"{path} holds no draws to write as {format}; write its moments as netcdf or zarr")
    if format == "csv":
        columns = np.stack([np.asarray(values) for values in found.values()], axis=-1)
        rows = ((i, j, *row) for i, chain in enumerate(columns) for j, row in enumerate(chain.tolist()))
        write_atomically(out, _csv(("chain", "draw", *found), rows))
        return
    groups = [group for group in ("posterior", "sample_stats") if group in tree.children]
    write_atomically(
        out, _npz({f"{group}/{name}": v.values for group in groups for name, v in tree[group].data_vars.items()})
    )


def export_sweep(path: Path, out: Path, format: str) -> None:
    """Write the settings and last losses of a sweep as csv, all of it as npz, netcdf or zarr."""
    sweep = load_sweep(path)
    if format in ("netcdf", "zarr"):
        from .dataset import write_dataset

        write_dataset(sweep.to_xarray(), out, format)
        return
    if format == "csv":
        count, seeds = sweep.final_loss.shape
        rows = (
            (*(values[i].item() for values in sweep.settings.values()), j, sweep.final_loss[i, j].item())
            for i in range(count)
            for j in range(seeds)
        )
        write_atomically(out, _csv((*sweep.settings, "seed", "final_loss"), rows))
        return
    arrays = {f"settings/{name}": values for name, values in sweep.settings.items()}
    arrays |= {f"metrics/{name}": values for name, values in sweep.metrics.items()}
    arrays |= {"final_loss": sweep.final_loss} | _named("final", sweep.final)
    write_atomically(out, _npz(arrays))


def _arrays(run: Run) -> dict[str, np.ndarray]:
    arrays = {f"metrics/{name}": values for name, values in run.metrics.items()}
    if run.trace is not None:
        arrays |= {"trace/step": run.trace.step, "trace/time": run.trace.time}
        for part in ("position", "velocity"):
            arrays |= _named(f"trace/{part}", getattr(run.trace, part))
    return arrays


def _named(name: str, tree: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths after a name."""
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat]
    return {"/".join(filter(None, (name, path))): np.asarray(leaf) for path, (_, leaf) in zip(paths, flat, strict=True)}


def _csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()
