"""Runs and sweeps as xarray datasets, and datasets as netCDF and Zarr on disk."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._errors import MissingExtraError
from .describe import labels
from .naming import as_variable
from .run import Run
from .storage import RecordError
from .sweep import Sweep

# What a metric is, and in which units: of the objective f, the parameters x and the law's own time t.
_METRICS = {
    "loss": ("loss", "f"),
    "gradient_norm": ("Euclidean norm of the gradient", "f x-1"),
    "update_norm": ("Euclidean norm of the update", "x"),
    "speed": ("Euclidean norm of the velocity", "x t-1"),
    "step_size": ("step size", "t"),
    "gradients": ("gradients taken so far", "1"),
    "curvature": ("largest curvature", "f x-2"),
    "preconditioned_curvature": ("largest curvature over what Adam divides its steps by", "x-1"),
    "stability_margin": ("largest stable learning rate over the one in use; above 1 is stable", "1"),
    "learning_rate": ("learning rate in use", "x2 f-1"),
}
_PARTS = {
    "position": ("position", "x"),
    "velocity": ("velocity: the derivative of the position by time", "x t-1"),
    "lookahead": ("point where the next gradient is taken", "x"),
}
_REGIMES = ("monotone", "oscillating", "diverging")


class _Builder:
    """Collects variables under names that netCDF and Zarr can store, each once."""

    def __init__(self, reserved: tuple[str, ...] = ()) -> None:
        self.variables: dict[str, Any] = {}
        self._taken = set(reserved)

    def name(self, wanted: str) -> str:
        """The name without the slash, which would be a group there."""
        found = as_variable(wanted)
        while found in self._taken:
            found += "_"
        self._taken.add(found)
        return found

    def add(self, name: str, dims: tuple[str, ...], values: Any, long_name: str, units: str | None) -> None:
        array = np.asarray(values)
        about = {"long_name": long_name} | ({} if units is None else {"units": units})
        # netCDF stores no number narrower than float32.
        if array.dtype.kind == "V" or (array.dtype.kind == "f" and array.dtype.itemsize < 4):
            about["original_dtype"] = str(array.dtype)
            array = array.astype(np.float32)
        elif array.dtype.kind == "b":
            about["original_dtype"] = "bool"
            array = array.astype(np.int8)
        self.variables[self.name(name)] = (dims, array, about)

    def add_tree(self, name: str, dims: tuple[str, ...], tree: Any, long_name: str, units: str) -> None:
        """A variable each leaf, its own axes after the others."""
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            whole = jax.tree_util.keystr(path, simple=True, separator="/")
            axes = tuple(f"{(whole or 'parameter').replace('/', '.')}_{i}" for i in range(np.ndim(leaf) - len(dims)))
            self.add(f"{name}.{whole}" if whole else name, (*dims, *axes), leaf, long_name, units)


def run_dataset(run: Run) -> Any:
    """Make the dataset of `Run.to_xarray`."""
    xarray = _require()
    metrics, trace = run.metrics, run.trace
    build, coordinates = _Builder(("step", "time", "trace_step", "trace_time")), {}
    if metrics:
        coordinates["step"] = ("step", metrics["step"], {"long_name": "steps made before", "units": "1"})
        coordinates["time"] = ("step", metrics["time"], {"long_name": "physical time of the law", "units": "t"})
    for name, values in metrics.items():
        if name not in ("step", "time"):
            build.add(name, ("step",), values, *_METRICS.get(name, (name, None)))
    if trace is not None:
        coordinates["trace_step"] = ("trace_step", trace.step, {"long_name": "steps made before", "units": "1"})
        about = {"long_name": "physical time of the law", "units": "t"}
        coordinates["trace_time"] = ("trace_step", trace.time, about)
    for part, (long_name, units) in _PARTS.items():
        if trace is not None and getattr(trace, part, None) is not None:
            build.add_tree(part, ("trace_step",), getattr(trace, part), long_name, units)
    for part, (long_name, units) in _PARTS.items():
        # Without a velocity nothing looks ahead.
        if getattr(run.final, part) is not None and (part != "lookahead" or run.final.velocity is not None):
            build.add_tree(f"final_{part}", (), getattr(run.final, part), f"{long_name}, at the end", units)
    return xarray.Dataset(build.variables, coordinates, _run_attributes(run))


def _run_attributes(run: Run) -> dict[str, Any]:
    from .. import __version__

    objective, method, hyperparameters = labels(run)
    about: dict[str, Any] = {
        "title": f"{method} on {objective}",
        "source": f"thalweg {__version__}",
        "version": run.config.get("run", {}).get("version", __version__),
        "objective": objective,
        "method": method,
        "hyperparameters": json.dumps(hyperparameters),
        "status": run.status,
        "message": run.message,
        "steps": run.steps,
        "gradients": run.gradients,
        "seconds": run.seconds,
        "compile_seconds": run.compile_seconds,
        "final_step": run.final.step,
        "final_time": run.final.time,
    }
    if run.config:
        # The variables tell the leaves, and HDF5 holds no attribute of more than 64 kB.
        start = {name: value for name, value in run.config.get("start", {}).items() if name != "leaves"}
        about["config"] = json.dumps(run.config | {"start": start})
    return about


def sweep_dataset(sweep: Sweep) -> Any:
    """Make the dataset of `Sweep.to_xarray`."""
    from .. import __version__

    xarray = _require()
    build = _Builder()
    names = [build.name(name) for name in sweep.settings]
    grid = len(sweep.shape) == len(names)
    if grid:
        axes = tuple(names)
        along = [tuple(slice(None) if j == i else 0 for j in range(len(names))) for i in range(len(names))]
        values = [sweep.folded(of)[index] for of, index in zip(sweep.settings.values(), along, strict=True)]
        coordinates = {name: (name, of) for name, of in zip(names, values, strict=True)}
    else:
        axes = (build.name("setting"),)
        coordinates = {name: (axes[0], of) for name, of in zip(names, sweep.settings.values(), strict=True)}
    seed, step = build.name("seed"), build.name("step")
    coordinates[seed] = (seed, np.arange(sweep.final_loss.shape[1]))
    axes = (*axes, seed)

    def add(name: str, more: tuple[str, ...], array: np.ndarray, long_name: str, units: str | None) -> None:
        build.add(name, (*axes, *more), sweep.folded(array), long_name, units)

    if sweep.losses is not None:
        coordinates[step] = (step, np.arange(sweep.losses.shape[2]))
        add("loss", (step,), sweep.losses, "loss", "f")
        codes = np.vectorize(_REGIMES.index, otypes=[np.int8])(sweep.regimes)
        add("regime", (), codes, "what the loss does", None)
        flags = {"flag_values": np.arange(len(_REGIMES), dtype=np.int8), "flag_meanings": " ".join(_REGIMES)}
        next(reversed(build.variables.values()))[2].update(flags)
    add("final_loss", (), sweep.final_loss, "loss, at the end", "f")
    final = jax.tree.map(lambda leaf: sweep.folded(np.asarray(leaf)), sweep.final)
    build.add_tree("final_position", axes, final, "position, at the end", "x")
    return xarray.Dataset(build.variables, coordinates, {"source": f"thalweg {__version__}"})


def write_dataset(dataset: Any, path: Path, format: str) -> None:
    """Write a dataset as "netcdf" or "zarr": aside, then renamed.

    Raises:
        InputError: what writes it is missing.
        RecordError: the file could not be written.
    """
    _require("h5netcdf" if format == "netcdf" else "zarr")
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if format == "netcdf":
            dataset.to_netcdf(aside, engine="h5netcdf")
        else:
            # Of Zarr's two formats the one whose consolidated metadata is a part of it.
            dataset.to_zarr(aside, zarr_format=2, consolidated=True)
        os.replace(aside, path)
    except OSError as error:
        raise RecordError(f"could not write {path}: {error.strerror or error}") from error
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        aside.unlink(missing_ok=True)


def _require(module: str = "xarray") -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(f"this needs {module}; install it with pip install 'thalweg[xarray]'") from None
