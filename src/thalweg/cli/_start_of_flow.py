"""The distribution at the start of a flow at the command line."""

from typing import Any

import numpy as np

from .._errors import InputError

# The box of a grid is doubled until on its sides V is so many temperatures above its least, and at most so often.
_ABOVE, _DOUBLED, _SAMPLES = 30.0, 60, 65


def begun(options: Any, mean: np.ndarray, potential: Any) -> Any:
    """A Gaussian, in the representation that was asked for."""
    import jax.numpy as jnp

    from .. import measures

    size = mean.size
    gaussian = measures.Gaussian(jnp.asarray(mean), options.deviation**2 * jnp.eye(size))
    if options.on == "gaussian":
        return gaussian
    if options.on == "quantiles":
        if size != 1:
            raise InputError(f"quantiles are of one coordinate, but the potential has {size}; take particles")
        from scipy.special import ndtri

        levels = (np.arange(options.count) + 0.5) / options.count
        return measures.Quantiles(jnp.asarray(mean[0] + options.deviation * ndtri(levels)))
    if options.on == "particles":
        normal = np.random.default_rng(options.seed).standard_normal((options.count, size))
        carried = options.geometry == "fisher-rao"
        points = jnp.asarray(mean + options.deviation * normal)
        density = np.asarray([gaussian.log_density(point) for point in points]) if carried else None
        return measures.Particles(points, log_density=density)
    if size > 3:
        raise InputError(f"a grid has one to three axes, but the potential has {size} coordinates; take particles")
    edges = tuple(np.linspace(low, high, options.cells + 1) for low, high in _box(options, mean, potential))
    # The mass of every cell, which no start is too narrow for.
    masses = np.ones(())
    for centre, walls in zip(mean, edges, strict=True):
        masses = masses[..., None] * _between((walls - centre) / options.deviation) / np.diff(walls)
    return measures.Grid.of(jnp.asarray(masses), edges)


def _between(walls: np.ndarray) -> np.ndarray:
    """The probabilities of the standard normal between neighbours, from the side on which they are small."""
    from scipy.special import ndtr

    below, above = walls[:-1], walls[1:]
    return np.where(below > 0.0, ndtr(-below) - ndtr(-above), ndtr(above) - ndtr(below))


def _box(options: Any, mean: np.ndarray, potential: Any) -> list[tuple[float, float]]:
    """The ends of a grid along every axis: those given, or where nothing comes to."""
    low, high = (np.full(mean.size, np.nan if end is None else end) for end in (options.low, options.high))
    reach = 6.0 * options.deviation
    ends = np.where(np.isnan(low), mean - reach, low), np.where(np.isnan(high), mean + reach, high)
    if potential is not None and (np.isnan(low).any() or np.isnan(high).any()):
        ends = _grown(_values(potential), ends, (np.isnan(low), np.isnan(high)), options.temperature or 1.0)
    for first, last in zip(*ends, strict=True):
        if not first < last:
            raise InputError(f"low must be less than high, but they are {first:g} and {last:g}")
    return list(zip(*(end.tolist() for end in ends), strict=True))


def _values(potential: Any) -> Any:
    import jax
    import jax.numpy as jnp

    fn = potential if callable(potential) else potential.value
    return lambda points: np.asarray(jax.vmap(fn)(jnp.asarray(points)))


def _grown(values: Any, ends: Any, free: Any, temperature: float) -> Any:
    """The box with every free side moved out until V is high all over it."""
    low, high = (end.copy() for end in ends)
    for _ in range(_DOUBLED):
        axes = [np.linspace(a, b, _SAMPLES if len(low) < 3 else 17) for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        found = values(grid.reshape(-1, len(low))).reshape(grid.shape[:-1])
        found = np.where(np.isfinite(found), found, np.inf)
        least = found.min() + _ABOVE * temperature
        moved = False
        for axis in range(len(low)):
            for side, end, sign in ((0, low, -1.0), (1, high, 1.0)):
                at = np.take(found, 0 if side == 0 else -1, axis=axis)
                if free[side][axis] and at.min() < least:
                    end[axis] += sign * 0.5 * (axes[axis][-1] - axes[axis][0])
                    moved = True
        if not moved:
            return low, high
    raise InputError(
        f"V does not rise by {_ABOVE:g} temperatures on all sides of the start, so that no grid holds all of the mass; "
        "give its ends: --low -5 --high 5"
    )
