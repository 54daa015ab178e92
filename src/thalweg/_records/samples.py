"""Draws as an xarray tree, with what ArviZ says of them."""

import contextlib
import importlib.util
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._errors import InputError, MissingExtraError
from .derived import recorded_structure
from .growing import checked_arrays
from .kinds import opened
from .naming import as_variable
from .parameters import labels, statistics
from .storage import read_checkpoint
from .sums import Sums, summed
from .verdicts import as_attributes, judge

# Some 5 ms a parameter.
_PARAMETERS = 500
# Of more parameters so many are judged.
_JUDGED = 32
# The effective sample size takes four draws, the tails of two chains some more.
_FEWEST = 4


def require() -> Any:
    """ArviZ's statistics, or one line."""
    try:
        import arviz_stats
        import xarray  # noqa: F401
    except ImportError:
        raise MissingExtraError(_MISSING) from None
    return arviz_stats


_MISSING = "sampling needs arviz-stats; install it with pip install 'thalweg[sample]'"


def require_soon() -> None:
    """Load ArviZ's statistics beside what the caller compiles, which takes longer; refuse where they are missing."""
    if sys.modules.get("arviz_stats") is not None:
        return
    if any(importlib.util.find_spec(name) is None for name in ("arviz_stats", "xarray")):
        raise MissingExtraError(_MISSING)
    threading.Thread(target=_load, name="load ArviZ").start()


def _load() -> None:
    # What does not load is told where it is needed.
    with contextlib.suppress(Exception):
        require()


def build(
    config: dict[str, Any], about: dict[str, Any], cut: Callable, kept: dict[str, np.ndarray] | Sums,
    diagnostics: bool | None, reference: dict[str, np.ndarray] | None = None,
) -> Any:  # fmt: skip
    """The tree.

    Arguments:
        config: the configuration, as run.toml keeps it.
        about: status, message, warnings, gradients, seconds.
        cut: makes a tree of an array whose last axis is a raveled position.
        kept: arrays (draws, chains, ...) by name, or the sums of them.
        diagnostics: whether to compute them; None does so for few parameters.
        reference: about which sums were taken.
    """
    import xarray

    require()
    groups: dict[str, Any] = {}
    draws, judged, halves = 0, None, None
    if isinstance(kept, Sums):
        assert reference is not None
        draws = int(kept.made.sum())
        if draws:
            groups |= _moments(kept, cut, reference)
            judged = groups["diagnostics"]
    elif kept and len(kept["position"]):
        draws = len(kept["position"])
        posterior = _dataset(cut(np.moveaxis(kept["position"], 0, 1)), ("chain", "draw"), "draw of a chain")
        # What diverged has energies beyond the largest number.
        with np.errstate(all="ignore"):
            chains = {name: np.moveaxis(rows, 0, 1) for name, rows in kept.items()}
            stats = _statistics(chains, about.get("seen", {}).get("degrees"))
        groups |= {"posterior": posterior} | ({"sample_stats": stats} if stats else {})
        many = kept["position"].shape[-1] > _PARAMETERS
        if diagnostics is not False and draws >= _FEWEST:
            with np.errstate(all="ignore"):
                if diagnostics or not many:
                    groups["diagnostics"] = judged = _diagnose(posterior, stats)
                else:
                    judged = _diagnose(_some(posterior), None)
                halves = _halves(posterior, judged)
    found = judge(config, about, draws, judged, halves)
    root = xarray.Dataset(attrs=_attributes(config, about) | as_attributes(found))
    return xarray.DataTree.from_dict({"/": root} | groups)


def read(path: Path, diagnostics: bool | None = None) -> Any:
    """The tree of a directory."""
    config, _ = opened(path, "tw.read_samples")
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise InputError(f"{path} holds no checkpoint yet; it was stopped before its first one")
    cut = recorded_structure(config)
    if config["sample"]["keep"] == "moments":
        names = checkpoint["reference"]
        leaves = checkpoint["leaves"][: checkpoint["state_leaves"]][-len(names) :]
        kept: Any = summed(config, checkpoint["cell"], checkpoint)
        return build(config, checkpoint, cut, kept, diagnostics, dict(zip(names, leaves, strict=True)))
    kept = {name: array[: checkpoint["rows"]] for name, array in checked_arrays(path, checkpoint).items()}
    return build(config, checkpoint, cut, kept, diagnostics)


def _attributes(config: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    method, sample = config["method"], config["sample"]
    names = ("status", "message", "gradients", "seconds", "compile_seconds")
    found = {
        "inference_library": "thalweg", "inference_library_version": config["run"]["version"],
        "objective": config["objective"]["name"], "method": f"{method['dynamics']} {method['scheme']}",
        "hyperparameters": json.dumps(method["hyperparameters"]),
        "chains": sample["chains"], "warmup": sample["warmup"], "thin": sample["thin"],
    }  # fmt: skip
    found |= {name: about[name] for name in names}
    return found | ({"acceptance": about["acceptance"]} if "acceptance" in about else {})


def _some(posterior: Any) -> Any:
    """Some parameters of many, by which all are judged: the draws of each by its name."""
    import xarray

    variables = list(posterior.data_vars.items())
    ends = np.cumsum([variable[0, 0].size for _, variable in variables])
    columns = {}
    for at in np.linspace(0, ends[-1] - 1, _JUDGED).astype(int):
        which = int(np.searchsorted(ends, at, side="right"))
        name, variable = variables[which]
        index = np.unravel_index(at - (ends[which] - variable[0, 0].size), variable.shape[2:])
        label = f"{name}[{','.join(map(str, index))}]" if index else str(name)
        columns[label] = (("chain", "draw"), np.asarray(variable.values[:, :, *index], float))
    return xarray.Dataset(columns, {axis: posterior[axis] for axis in ("chain", "draw")})


def _halves(posterior: Any, diagnostics: Any) -> np.ndarray | None:
    """The means of the halves of each chain, of the parameter whose chains agree least, (2, chains)."""
    hats = [(values.get("r_hat", np.nan), name) for name, values in statistics(diagnostics)]
    finite = [pair for pair in hats if np.isfinite(pair[0])]
    if not finite:
        return None
    worst = max(finite)[1]
    for name, variable in posterior.data_vars.items():
        for label, index in labels(name, variable.shape[2:]):
            if label == worst:
                rows = np.asarray(variable.values[:, :, *index], float)
                return np.stack([half.mean(axis=1) for half in np.array_split(rows, 2, axis=1)])
    return None


def _dataset(tree: Any, dims: tuple[str, ...], what: str, coordinates: dict[str, Any] | None = None) -> Any:
    """A variable each leaf, its own axes named as ArviZ names them."""
    import xarray

    variables = {}
    sizes: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        array = np.asarray(leaf)
        if array.dtype.kind == "V":
            # NumPy's own functions, and ArviZ, know no bfloat16.
            array = array.astype(np.float32)
        # On disk the path of a leaf is one word; with its slashes it would be a group of netCDF.
        name = as_variable(jax.tree_util.keystr(path, simple=True, separator=".") or "x")
        axes = tuple(f"{name}_dim_{i}" for i in range(array.ndim - len(dims)))
        variables[name] = ((*dims, *axes), array, {"long_name": f"{name}, {what}"})
        sizes |= dict(zip((*dims, *axes), array.shape, strict=True))
    coordinates = {name: np.arange(count) for name, count in sizes.items()} | (coordinates or {})
    return xarray.Dataset(variables, coordinates)


def _statistics(kept: dict[str, np.ndarray], degrees: int | None) -> Any:
    """Energies, (chain, draw); of so many degrees of freedom, or of all numbers."""
    found: dict[str, np.ndarray] = {}
    if "potential" in kept:
        found["potential"] = kept["potential"]
        found["energy"] = kept["potential"] + kept.get("kinetic", np.zeros((), kept["potential"].dtype))
    if "kinetic" in kept:
        # Twice the kinetic energy of a degree of freedom, which is T in the law.
        found["kinetic_temperature"] = 2.0 * kept["kinetic"] / (degrees or kept["position"].shape[-1])
    return _dataset(found, ("chain", "draw"), "of every draw") if found else None


def _diagnose(posterior: Any, stats: Any) -> Any:
    import xarray

    arviz_stats = require()
    across = ("chain", "draw")
    parts = {
        "mean": posterior.mean(across), "sd": posterior.std(across, ddof=1),
        "mcse_mean": arviz_stats.mcse(posterior, method="mean"), "mcse_sd": arviz_stats.mcse(posterior, method="sd"),
        "ess_bulk": arviz_stats.ess(posterior, method="bulk"), "ess_tail": arviz_stats.ess(posterior, method="tail"),
    }  # fmt: skip
    # With one chain it compares its halves.
    parts["r_hat"] = arviz_stats.rhat(posterior) if posterior.sizes["chain"] > 1 else _split_rhat(posterior)
    names = xarray.DataArray(list(parts), dims="statistic", name="statistic")
    found = xarray.concat([part.drop_attrs() for part in parts.values()], names)
    if stats is not None and "energy" in stats:
        found["bfmi"] = arviz_stats.bfmi(xarray.DataTree.from_dict({"sample_stats": stats}))["energy"]
    return found


def _split_rhat(posterior: Any) -> Any:
    """Split r-hat of one chain, cut in two."""
    import xarray

    half = posterior.sizes["draw"] // 2
    halves = [posterior.isel(draw=slice(i * half, (i + 1) * half)).assign_coords(draw=range(half), chain=[i])
              for i in range(2)]  # fmt: skip
    return require().rhat(xarray.concat(halves, "chain"))


def _moments(sums: Sums, cut: Callable, reference: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means, variances and their errors, by the means of batches."""
    import xarray

    arviz_stats = require()

    def described(name: str, split: Callable) -> Any:
        start = np.asarray(reference[name], float)
        means, variances = sums.by_chain(name, start)
        within, between = variances.mean(axis=0), means.var(axis=0)
        parts = {"mean": means.mean(axis=0), "sd": np.sqrt(within + between)}
        batches = sums.batch_means(name, start)
        if batches.shape[1] >= _FEWEST:
            of = xarray.Dataset({"x": (("chain", "draw", *(f"d{i}" for i in range(batches.ndim - 2))), batches)},
                                {"chain": np.arange(len(batches)), "draw": np.arange(batches.shape[1])})  # fmt: skip
            # The batches' own correlation is allowed for, as that of draws is.
            error = arviz_stats.mcse(of, method="mean")["x"].values
            parts |= {"mcse_mean": error, "ess_mean": (within + between) / np.maximum(error, 1e-300) ** 2}
        if len(means) > 1:
            # Gelman and Rubin's, of whole chains; the number of draws is large.
            spread = between * len(means) / (len(means) - 1)
            parts["r_hat"] = np.sqrt(1.0 + np.divide(spread, within, out=np.zeros_like(within), where=within > 0))
        stacked = np.stack([np.asarray(part) for part in parts.values()])
        return split(stacked), list(parts)

    tree, names = described("position", cut)
    found = {"diagnostics": _dataset(tree, ("statistic",), "statistics", {"statistic": names})}
    stats = {name: described(name, lambda array: array) for name in sums.names if name != "position"}
    if stats:
        trees = {name: values for name, (values, _) in stats.items()}
        found["energies"] = _dataset(trees, ("statistic",), "statistics", {"statistic": names})
    return found
