"""Samples of a diffusion model on their way from noise to data, over the densities there."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, as_key, check_count
from .._loops.solve import solve
from .._methods.method import Method
from .._noising.exact import AbstractData
from .._typed import typed
from ..dynamics._diffusing import AbstractDiffusing
from ._axes import PALETTE, Axes, finish, ink, new_axes

# Points of the coordinate at which a density is drawn, of how many deviations to either side.
_FINE, _SIDE = 240, 3.2
_BESIDE = 600


@typed()
def diffusion(method: Method, data: AbstractData, count: int = 24, key: Any = 0, ax: Axes | None = None) -> Axes:
    r"""Draw samples on their way from noise to data, over the densities that they should have.

    Of one coordinate the steps go to the right and the density of the noised data is the colour; of two, or the two
    directions in which the data spread most, the paths are drawn over data. A coordinate is over the standard deviation
    that the noised data have at the time, $\sqrt{\alpha^2v + \sigma^2}$, so that noise and data are of one size.

    Arguments:
        method: a `tw.ProbabilityFlow` or `tw.ReverseDiffusion` with times that go down.
        data: whose densities are known, such as a `tw.networks.GaussianMixture`.
        count: how many samples.
        key: a seed or JAX key, of their noise.
        ax: where to draw; a new figure if None.

    Returns:
        the Axes: a line for every sample (gid "sample").

    Raises:
        InputError: the law is that of no noising, or has no times that go down; or matplotlib is missing.

    >>> import thalweg as tw
    >>> problem = tw.problems.diffusion("mixture-diffusion")
    >>> times = tw.networks.time_grid(problem.noising, 20)
    >>> method = tw.networks.sampler("heun", problem.noising, problem.data.denoiser(problem.noising), times)
    >>> ax = tw.plot.diffusion(method, problem.data, count=5)
    >>> len(ax.lines), ax.get_xlabel()
    (5, 'step, from noise to data')
    """
    check_count("count", count)
    law, grid = method.dynamics, method.grid
    if not isinstance(law, AbstractDiffusing):
        raise InputError(
            f"diffusion draws a tw.ProbabilityFlow or tw.ReverseDiffusion, but the law is {type(law).__name__}"
        )
    if grid is None or not grid.backwards:
        raise InputError("give the method times that go down, times=tw.networks.time_grid(noising, 50)")
    ax = new_axes(ax, 6.4, 4.2)
    times, mean = np.asarray(grid.times), np.asarray(data.mean)
    paths = _paths(method, mean.size, count, as_key(key))
    signal, noise = np.asarray(law.noising.signal(grid.times)), np.asarray(law.noising.noise(grid.times))
    variance = float(np.trace(np.asarray(data.covariance))) / mean.size
    # Of data that are one point there would be no size at the end.
    size = np.sqrt(signal**2 * (variance or 1.0) + noise**2)
    scaled = (paths - signal[None, :, None] * mean[None, None]) / size[None, :, None]
    if mean.size == 1:
        _density(ax, law, data, times, signal * mean[0], size)
        steps = np.arange(len(times))
        for path in scaled[..., 0]:
            ax.plot(steps, path, color=PALETTE[1], linewidth=0.8, alpha=0.8, gid="sample")
        ax.set_xlim(0, len(times) - 1)
        ax.set_ylim(-_SIDE, _SIDE)
        finish(ax, "step, from noise to data", "x over its deviation", grid=False)
        return ax
    key = jax.random.fold_in(as_key(key), 1)
    beside = (np.asarray(data.sample(key, _BESIDE)) - mean[None]) / (np.sqrt(variance) or 1.0)
    axes, names = directions(np.asarray(data.covariance))
    ax.plot(*(beside @ axes).T, ".", color=ink(), markersize=2.5, alpha=0.35, zorder=1, gid="data")
    for path in scaled @ axes:
        ax.plot(*path.T, color=PALETTE[0], linewidth=0.8, alpha=0.7, zorder=2, gid="sample")
    ends = scaled @ axes
    ax.plot(*ends[:, 0].T, "o", color=PALETTE[0], markersize=3, fillstyle="none", alpha=0.6, zorder=3)
    ax.plot(*ends[:, -1].T, "o", color=PALETTE[1], markersize=4, zorder=4)
    finish(ax, *names)
    return ax


def directions(covariance: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """The two directions that are drawn, as columns, and what they are called."""
    if len(covariance) == 2:
        return np.eye(2), ("x₁ over its deviation", "x₂")
    _, vectors = np.linalg.eigh(covariance)
    return vectors[:, [-1, -2]], ("first direction of the data, over the deviation", "second")


def _paths(method: Method, d: int, count: int, key: Any) -> np.ndarray:
    """Samples at all times, (count, times, d)."""
    law, grid = method.dynamics, method.grid
    assert isinstance(law, AbstractDiffusing) and grid is not None
    first, second = jax.random.split(key)
    starts = law.noising.prior(first, jnp.zeros((count, d)), grid.times[0])

    def one(x: Any, seed: Any) -> Any:
        return solve(method, x, key=seed if method.stochastic else None, save=lambda state: state.position).saved

    return np.asarray(jax.jit(jax.vmap(one))(starts, jax.random.split(second, count)))


def _density(
    ax: Axes, law: AbstractDiffusing, data: AbstractData, times: np.ndarray, centre: np.ndarray, size: np.ndarray
) -> None:
    """The density of the noised data, of the scaled coordinate, at every step; each column by its own height."""
    y = np.linspace(-_SIDE, _SIDE, _FINE)
    points = jnp.asarray(centre[:, None] + y[None] * size[:, None])
    logs = jax.vmap(lambda t, x: data.log_density(law.noising, t, x[:, None]))(jnp.asarray(times), points)
    logs = np.where(np.isfinite(logs), np.asarray(logs), -np.inf)
    highest = logs.max(axis=1, keepdims=True)
    heights = np.exp(logs - np.where(np.isfinite(highest), highest, 0.0))
    steps = np.arange(len(times))
    ax.pcolormesh(steps, y, heights.T, cmap="Blues", shading="nearest", rasterized=True)
