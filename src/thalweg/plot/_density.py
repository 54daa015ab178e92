"""A distribution on its way: densities and particles, at one time or over time."""

from typing import Any

import numpy as np

from .._errors import InputError, check_count
from .._measures.base import AbstractMeasure
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid
from .._measures.particles import Particles
from .._measures.quantiles import Quantiles
from .._records.run import Run
from .._typed import typed
from ._axes import PALETTE, Axes, finish, ink, new_axes

# Particles that are drawn of many, bins of a histogram, and points of a curve.
_DRAWN, _BINS, _CURVE = 2000, 60, 400


@typed()
def density(run: Run, ax: Axes | None = None, at: int | None = None, axis: int = 0) -> Axes:
    """Draw the density of a flow: over time where it has one coordinate, at one time where it has more.

    On a line time goes to the right and the density is the colour; of particles that of a histogram. In the plane the
    density at one time, particles as points, a Gaussian by the ellipses of one and two standard deviations.

    Arguments:
        run: of `tw.measures.flow`, or another whose position is a distribution; over time it needs a trace.
        ax: where to draw; a new figure if None.
        at: which of the distributions kept, from 0; None for all of them on a line, and the last in the plane.
        axis: the first of two coordinates that are drawn, where there are three or more.

    Returns:
        the Axes.

    Raises:
        InputError: the run is none of a distribution, keeps none on its way, or has no such one; or matplotlib is
            missing.

    >>> import thalweg as tw
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> ax = tw.plot.density(tw.measures.flow(F, tw.measures.Gaussian(2.0, 0.5), 1.0, steps=10))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('time', 'x')
    """
    last = run.final.position
    if not isinstance(last, AbstractMeasure):
        raise InputError("density draws distributions, but the position of this run is none; take tw.plot.paths")
    if not 0 <= axis < max(last.dimension - 1, 1):
        raise InputError(f"axis must be from 0 to {max(last.dimension - 2, 0)}, but is {axis}")
    ax = new_axes(ax)
    if last.dimension == 1 and at is None:
        return _over_time(_traced(run), np.asarray(run.trace.time), ax)  # pyright: ignore
    q, time = (last, run.final.time) if at is None else frame(run, at)
    if q.dimension == 1:
        _on_line(q, ax, _range([q]))
    else:
        _in_plane(q, ax, axis)
    ax.set_title(f"time {time:.4g}", fontsize="medium")
    return ax


def frame(run: Run, at: int) -> tuple[Any, float]:
    """One of the distributions that a run keeps, and its time."""
    trace = _traced(run)
    count = len(run.trace.time)  # pyright: ignore[reportOptionalMemberAccess]
    if check_count("at", at, at_least=0) >= count:
        raise InputError(f"at must be from 0 to {count - 1}, but is {at}")
    return _row(trace, at), float(run.trace.time[at])  # pyright: ignore[reportOptionalMemberAccess]


def _traced(run: Run) -> Any:
    if run.trace is None:
        raise InputError("this run keeps no distributions on its way; record them, tw.Record(positions=1)")
    return run.trace.position


def _row(trace: Any, at: int) -> Any:
    """One of a stack of distributions."""
    import jax

    return jax.tree.map(lambda leaf: np.asarray(leaf[at]), trace)


def _range(stack: list[Any]) -> tuple[float, float]:
    """The part of the line where distributions are."""
    q = stack[0]
    if isinstance(q, Grid):
        return float(q.mesh.edges[0][0]), float(q.mesh.edges[0][-1])
    if isinstance(q, Gaussian):
        ends = [(float(p.mean[0]), 4.0 * float(p.covariance[0, 0]) ** 0.5) for p in stack]
        return min(m - s for m, s in ends), max(m + s for m, s in ends)
    points = [np.asarray(p.values if isinstance(p, Quantiles) else p.positions[:, 0]) for p in stack]
    low, high = min(x.min() for x in points), max(x.max() for x in points)
    spare = 0.05 * (high - low) or 1.0
    return float(low - spare), float(high + spare)


def values(q: Any, within: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Edges of bins on a line and the density in them."""
    if isinstance(q, Grid):
        return q.mesh.edges[0], np.asarray(q.density)
    if isinstance(q, Gaussian):
        edges = np.linspace(*within, _CURVE + 1)
        x, variance = 0.5 * (edges[1:] + edges[:-1]) - float(q.mean[0]), float(q.covariance[0, 0])
        return edges, np.exp(-0.5 * x * x / variance) / np.sqrt(2.0 * np.pi * variance)
    points, weights = (q.values, None) if isinstance(q, Quantiles) else (q.positions[:, 0], q.weights)
    found, edges = np.histogram(
        np.asarray(points), _BINS, within, weights=None if weights is None else np.asarray(weights)
    )
    total = len(points) if weights is None else 1.0
    return edges, found / (total * np.diff(edges))


def _over_time(trace: Any, times: np.ndarray, ax: Axes) -> Axes:
    stack = [_row(trace, i) for i in range(len(times))]
    within = _range(stack)
    rows = [values(q, within) for q in stack]
    between = 0.5 * (times[1:] + times[:-1])
    walls = np.concatenate([times[:1], between, times[-1:]])
    if len(times) == 1:
        walls = np.array([times[0] - 0.5, times[0] + 0.5])
    mesh = ax.pcolormesh(walls, rows[0][0], np.stack([row[1] for row in rows], axis=1), cmap="viridis", rasterized=True)
    ax.figure.colorbar(mesh, ax=ax, label="density")
    finish(ax, "time", "x", grid=False)
    return ax


def _on_line(q: Any, ax: Axes, within: tuple[float, float]) -> None:
    edges, found = values(q, within)
    ax.stairs(found, edges, color=PALETTE[0], fill=True, alpha=0.5)
    ax.set_xlim(*within)
    finish(ax, "x", "density")


def _in_plane(q: Any, ax: Axes, axis: int) -> None:
    pair = (axis, axis + 1)
    if isinstance(q, Grid):
        others = tuple(i for i in range(q.dimension) if i not in pair)
        plane = np.asarray(q.density * q.volumes).sum(axis=others) if others else np.asarray(q.density)
        ax.pcolormesh(q.mesh.edges[pair[0]], q.mesh.edges[pair[1]], plane.T, cmap="viridis", rasterized=True)
    elif isinstance(q, Particles):
        points, weights = np.asarray(q.positions)[:, list(pair)], np.asarray(q.weights)
        every = max(1, len(points) // _DRAWN)
        sizes = 12.0 * np.minimum(weights[::every] * len(weights), 20.0)
        ax.scatter(*points[::every].T, s=sizes, color=PALETTE[0], alpha=0.5, linewidths=0)
    else:
        _ellipses(q, ax, pair)
    ax.set_aspect("equal", adjustable="box")
    finish(ax, f"x{pair[0] + 1}", f"x{pair[1] + 1}", grid=False)


def _ellipses(q: Any, ax: Axes, pair: tuple[int, int]) -> None:
    mean, covariance = np.asarray(q.mean)[list(pair)], np.asarray(q.covariance)[np.ix_(pair, pair)]
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    circle = np.linalg.cholesky(covariance) @ np.stack([np.cos(angle), np.sin(angle)])
    for size in (1.0, 2.0):
        ax.plot(*(mean[:, None] + size * circle), color=PALETTE[0], linewidth=1.4, alpha=1.2 - 0.4 * size)
    ax.plot(*mean, "+", color=ink())
