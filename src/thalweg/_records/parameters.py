"""Draws parameter by parameter: their names, what is said of them, and what is known of them."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import PyTree

from ..problems._moments import Moments

# Vehtari et al. (2021): beyond these the errors are not to be trusted.
R_HAT, EFFECTIVE = 1.01, 400.0


def draws(tree: Any) -> dict[str, np.ndarray]:
    """The draws (chain, draw) of each parameter; empty where none are kept."""
    if "posterior" not in tree.children:
        return {}
    return {
        label: variable.values[:, :, *index]
        for name, variable in tree["posterior"].data_vars.items()
        for label, index in labels(name, variable.shape[2:])
    }


def parts(tree: PyTree, axes: int) -> dict[str, np.ndarray]:
    """Each parameter of a tree whose leaves have some axes before their own."""
    from jax.tree_util import keystr, tree_leaves_with_path

    return {
        label: np.asarray(leaf)[..., *index]
        for path, leaf in tree_leaves_with_path(tree)
        for label, index in labels(keystr(path, simple=True, separator=".") or "x", np.shape(leaf)[axes:])
    }


def temperature(tree: Any) -> float | None:
    """The temperature of the method that drew; None where its law has none, or one that changes."""
    found = json.loads(tree.attrs["hyperparameters"]).get("temperature")
    return found if isinstance(found, float | int) else None


def known(moments: Moments) -> dict[str, tuple[float, float, float]]:
    """The exact mean, the exact standard deviation and the standard error of that mean, of each parameter."""
    means, variances = parts(moments.mean, 0), parts(moments.variance, 0)
    errors = dict.fromkeys(means, 0.0) if moments.mean_error is None else parts(moments.mean_error, 0)
    return {name: (float(means[name]), math.sqrt(variances[name]), float(errors[name])) for name in means}


def rows(tree: Any, moments: Moments | None = None) -> list[dict[str, Any]]:
    """A row a parameter: name, mean, sd, mcse_mean, ess, ess_tail, r_hat, exact_mean, exact_sd and z.

    Arguments:
        tree: as `tw.sample` gives it.
        moments: of the law that it should have.
    """
    exact = {} if moments is None else known(moments)
    found = []
    for name, values in _described(tree):
        row = {"name": name, "mean": values["mean"], "sd": values["sd"], "mcse_mean": values.get("mcse_mean")}
        row["ess"] = values.get("ess_bulk", values.get("ess_mean"))
        row |= {key: values.get(key) for key in ("ess_tail", "r_hat")}
        row |= dict.fromkeys(("exact_mean", "exact_sd", "z"))
        if name in exact:
            row["exact_mean"], row["exact_sd"], error = exact[name]
            error = math.hypot(error, row["mcse_mean"] or math.nan)
            row["z"] = (row["mean"] - row["exact_mean"]) / error
        found.append(row)
    return found


def _described(tree: Any) -> Iterator[tuple[str, dict[str, float]]]:
    if "diagnostics" not in tree.children:
        for name, values in draws(tree).items():
            # The standard deviation of a single draw is none.
            with np.errstate(invalid="ignore"):
                sd = values.std(ddof=1) if values.size > 1 else math.nan
            yield name, {"mean": float(values.mean()), "sd": float(sd)}
        return
    yield from statistics(tree["diagnostics"])


def statistics(diagnostics: Any) -> Iterator[tuple[str, dict[str, float]]]:
    """The name of each parameter and its statistics by their names."""
    names = [str(name) for name in diagnostics["statistic"].values]
    for name, variable in diagnostics.data_vars.items():
        if "statistic" not in variable.dims:
            continue
        values = variable.transpose("statistic", ...).values
        for label, index in labels(name, values.shape[1:]):
            yield label, dict(zip(names, values[:, *index].tolist(), strict=True))


def labels(name: Any, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The names of the numbers of an array, and where they are in it."""
    for index in np.ndindex(shape):
        yield f"{name}[{','.join(map(str, index))}]" if index else str(name), index
