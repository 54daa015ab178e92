"""The chains of a sampler, a row a parameter: the way of each, what all drew, and how fast they forget."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from .._errors import InputError, suggest
from .._records.parameters import draws, known, temperature
from .._typed import typed
from ..problems import Problem
from ._axes import PALETTE, Axes, finish, ink, new_axes, plain, require_matplotlib

# What a picture shows of a chain: points of its way, draws of its correlation.
_POINTS, _CORRELATED = 2000, 200_000
_ROWS, _BINS, _EXACT_DRAWS = 6, 60, 100_000
_LEAST_LAG, _MOST_LAG = 20, 1000
# Of a histogram; the rest are shown by its area alone.
_SHOWN = (0.0005, 0.9995)

Curve = Callable[[np.ndarray], np.ndarray]


@typed()
def chains(tree: Any, parameters: str | Sequence[str] | None = None, law: Any = None, axes: Any = None) -> Any:
    r"""Draw chains, a row a parameter: their traces, the marginal density, the autocorrelation.

    $$\hat\rho_k = \frac{\sum_{t=1}^{n-k}(x_t - \bar x)(x_{t+k} - \bar x)}{\sum_{t=1}^n (x_t - \bar x)^2}$$

    The band about zero is $\pm 1.96/\sqrt n$, within which 95 % of the correlations of independent draws are.

    Arguments:
        tree: draws, as `tw.sample` gives them.
        parameters: names such as "x[0]"; the first six if None.
        law: what they are drawn from, to set beside them: a `tw.problems.Problem` with moments at the temperature of
            the draws (the curve of a Gaussian; by 100,000 exact draws where there is a sampler; mean and standard
            deviation elsewhere); or a method and a Hessian, for the curve with the variance predicted at the method's
            step, in the order of the parameters, about the mean of the draws.
        axes: where to draw, an array (rows, 3) of Axes; a new figure if None.

    Returns:
        the array of Axes (rows, 3): lines for the traces (gid "trace"), a histogram (gid "density") with the law (gid
        "law"), lines for the autocorrelations by chain (gid "chain") and of all (gid "autocorrelation").

    Raises:
        InputError: no draws are kept, a parameter is unknown, the law does not fit, or arviz-stats or matplotlib is
            missing.

    >>> import thalweg as tw
    >>> problem = tw.problems.gaussian([1.0, 4.0])
    >>> bath = tw.UnderdampedLangevin(problem.objective, friction=1.0, temperature=1.0)
    >>> axes = tw.plot.chains(tw.sample(bath, problem.start, 500, progress=False), law=problem)
    >>> axes.shape, axes[0, 0].get_ylabel()
    ((2, 3), 'x[0]')
    """
    require_matplotlib()
    from .._records.samples import require

    require()
    if not hasattr(tree, "children") or not hasattr(tree, "attrs"):
        raise InputError(f"tree must be what tw.sample gives, but is {tree!r}")
    kept = draws(tree)
    if not kept:
        raise InputError("no draws are kept here to plot; sample with keep='draws'")
    names = _names(kept, parameters)
    curves, words = _curves(tree, list(kept), names, law), _words(law)
    axes = _new_axes(len(names)) if axes is None else _given(axes, len(names))
    thin = int(tree.attrs.get("thin", 1))
    for name, (trace, density, correlation) in zip(names, axes, strict=True):
        values = np.asarray(kept[name], dtype=float)
        _trace(trace, name, values)
        _density(density, name, values, curves.get(name))
        words = "exact mean ± sd" if isinstance(curves.get(name), tuple) else words
        _correlation(correlation, values, thin)
    titles = ("trace of every chain", f"all draws{words and ', ' + words}", "autocorrelation")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize="medium", loc="left")
    return axes


def _words(law: Any) -> str:
    if law is None:
        return ""
    return "line: exact law" if isinstance(law, Problem) else "line: law at this step"


def _names(kept: dict[str, np.ndarray], parameters: Any) -> list[str]:
    if parameters is None:
        return list(kept)[:_ROWS]
    names = [parameters] if isinstance(parameters, str) else list(parameters)
    for name in names:
        if name not in kept:
            raise InputError(f"parameter {name!r} is unknown{suggest(str(name), list(kept)[:100])}")
    if not names:
        raise InputError(f"parameters must be at least one name, such as {next(iter(kept))!r}")
    return names


def _new_axes(rows: int) -> np.ndarray:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 0.5 + 1.9 * rows), layout="constrained")
    return figure.subplots(rows, 3, squeeze=False, width_ratios=(1.6, 1.0, 1.0))


def _given(axes: Any, rows: int) -> np.ndarray:
    array = np.asarray(axes, dtype=object)
    if array.shape != (rows, 3):
        raise InputError(f"axes must be an array of shape ({rows}, 3), but has shape {array.shape}")
    return np.array([[new_axes(ax) for ax in row] for row in array], dtype=object)


def _trace(ax: Axes, name: str, values: np.ndarray) -> None:
    stride = -(-values.shape[1] // _POINTS)
    at = np.arange(0, values.shape[1], stride)
    for i, chain in enumerate(values):
        color = PALETTE[i % len(PALETTE)]
        ax.plot(at, chain[at], color=color, linewidth=0.5, alpha=0.7, gid="trace", rasterized=True)
    ax.margins(x=0.0)
    every = "" if stride == 1 else f", every {stride}th"
    finish(ax, f"draw{every}", plain(name))


def _density(ax: Axes, name: str, values: np.ndarray, law: "Curve | tuple[float, float] | None") -> None:
    pooled = values[np.isfinite(values)]
    low, high = np.quantile(pooled, _SHOWN)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, min(_BINS, max(8, round(math.sqrt(pooled.size)))) + 1)
    # What lies outside counts too, so that the heights are densities.
    heights = np.histogram(pooled, edges)[0] / (pooled.size * np.diff(edges))
    ax.stairs(heights, edges, fill=True, color=PALETTE[5], alpha=0.55, gid="density")
    if callable(law):
        x = np.linspace(low, high, 400)
        ax.plot(x, law(x), color=ink(), linewidth=1.3, gid="law")
    elif law is not None:
        mean, sd = law
        ax.axvline(mean, color=ink(), linewidth=1.3, gid="law")
        ax.axvspan(mean - sd, mean + sd, color=ink(), alpha=0.08, linewidth=0.0, gid="spread")
    ax.set_ylim(bottom=0.0)
    finish(ax, plain(name), "density per unit")


def _correlation(ax: Axes, values: np.ndarray, thin: int) -> None:
    from arviz_stats.base.array import array_stats

    values = values[:, :_CORRELATED]
    count = values.shape[1]
    constant = np.ptp(values, axis=1) == 0
    correlations = np.array([array_stats.autocorr(chain) for chain in values[~constant]])
    band = 1.96 / math.sqrt(count)
    if len(correlations):
        mean = correlations.mean(axis=0)
        last = _last_lag(mean, band, count)
        lags = np.arange(last + 1)
        for i, chain in zip(np.flatnonzero(~constant), correlations, strict=True):
            color = PALETTE[i % len(PALETTE)]
            ax.plot(lags, chain[: last + 1], color=color, linewidth=0.7, alpha=0.6, gid="chain")
        ax.plot(lags, mean[: last + 1], color=ink(), linewidth=1.4, gid="autocorrelation")
        ax.set_xlim(0, last)
    ax.axhspan(-band, band, color=ink(), alpha=0.1, linewidth=0.0, gid="band")
    ax.set_ylim(top=1.03)
    finish(ax, "lag / draws" if thin == 1 else f"lag / draws of {thin} steps", "autocorrelation")


def _last_lag(mean: np.ndarray, band: float, count: int) -> int:
    """A little beyond where the correlation is lost in the noise."""
    inside = np.flatnonzero(mean < band)
    first = int(inside[0]) if inside.size else count
    return max(1, min(max(_LEAST_LAG, 2 * first), _MOST_LAG, count // 2))


def _curves(tree: Any, order: list[str], names: list[str], law: Any) -> "dict[str, Curve | tuple[float, float]]":
    if law is None:
        return {}
    if isinstance(law, Problem):
        return _of_problem(tree, law, names)
    if isinstance(law, tuple | list) and len(law) == 2:
        method, hessian = law
        return _predicted(tree, method, hessian, order, names)
    raise InputError(f"law must be a problem with moments, or a method and a Hessian, but is {law!r}")


def _of_problem(tree: Any, problem: Problem, names: list[str]) -> "dict[str, Curve | tuple[float, float]]":
    moments, at = problem.moments, temperature(tree)
    if moments is None:
        raise InputError(f"the moments of {problem.name} are not known, so there is no law to set beside the draws")
    if at is None or not math.isclose(at, moments.temperature, rel_tol=1e-6):
        drawn_at = json.loads(tree.attrs["hyperparameters"]).get("temperature", "none")
        raise InputError(
            f"the draws are of temperature {drawn_at}, the moments of {problem.name} of {moments.temperature:g}"
        )
    exact = known(moments)
    missing = [name for name in names if name not in exact]
    if missing:
        raise InputError(f"{problem.name} has no parameter {missing[0]!r}{suggest(missing[0], exact)}")
    if _is_gaussian(problem):
        return {name: _normal(*exact[name][:2]) for name in names}
    if problem.sampler is None:
        return {name: exact[name][:2] for name in names}
    from .._records.parameters import parts

    drawn = parts(problem.sampler(jax.random.key(0), _EXACT_DRAWS), 1)
    return {name: _estimated(drawn[name]) for name in names}


def _is_gaussian(problem: Problem) -> bool:
    r"""Tell whether the gradient is $T\Sigma^{-1}(x - m)$ at some points."""
    from .._tree import ravel, unraveler

    moments = problem.moments
    assert moments is not None
    if moments.covariance is None:
        return False
    rng = np.random.default_rng(0)
    mean = np.asarray(ravel(jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, float), moments.mean)))
    cut = unraveler(problem.start)
    sd = np.sqrt(np.diag(moments.covariance))
    for _ in range(3):
        away = sd * rng.normal(size=mean.size)
        found = np.asarray(ravel(problem.objective.gradient(cut(jax.numpy.asarray(mean + away)))), float)
        expected = moments.temperature * np.linalg.solve(moments.covariance, away)
        if not np.allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
            return False
    return True


def _predicted(tree: Any, method: Any, hessian: Any, order: list[str], names: list[str]) -> "dict[str, Any]":
    from .._methods.stationary import stationary_covariance

    covariance = np.asarray(stationary_covariance(method, hessian))
    variances = np.diag(covariance) if covariance.ndim else np.full(len(order), float(covariance))
    if len(variances) != len(order):
        raise InputError(f"the Hessian must be of shape ({len(order)}, {len(order)}), but the law has {len(variances)}")
    kept = draws(tree)
    return {name: _normal(kept[name].mean(), math.sqrt(variances[order.index(name)])) for name in names}


def _normal(mean: float, sd: float) -> Curve:
    return lambda x: np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi))


def _estimated(values: np.ndarray) -> Curve:
    from arviz_stats.base.array import array_stats

    grid, density, _ = array_stats.kde(values)
    return lambda x: np.interp(x, grid, density, left=0.0, right=0.0)
