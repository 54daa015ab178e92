"""Words of `tw.Splitting` on densities of positions and velocities, each letter exact."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._measures.cubature import gaussian_mean
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid, replaced
from .._measures.spectral import contraction, reflected, shifted
from .._module import Module
from ..dynamics import KleinKramers

# What part of the mass at the ends of the velocities is said.
_SEEN = 1e-6


class Outside(Module):
    """The most mass that was at the ends of the velocities in a step."""

    mass: Float[Array, ""]


def begun(law: KleinKramers, q: Any) -> Outside | None:
    """The memory at a start; refuse one that is no density of positions and velocities."""
    if reason := law.without(q):
        raise InputError(reason)
    if isinstance(q, Gaussian):
        return None
    if not q.mesh.uniform:
        raise InputError("Splitting moves densities by Fourier's series, which needs cells all as wide along an axis")
    velocities = q.mesh.edges[1]
    if q.mesh.periodic[1]:
        raise InputError(
            "the axis of the velocities is periodic, which velocities are not; give periodic=(True, False)"
        )
    if not q.mesh.periodic[0] and not np.allclose(velocities, -velocities[::-1], atol=1e-9 * velocities[-1]):
        raise InputError(
            "walls turn a velocity around, so that the axis of the velocities must be even about 0, such as "
            f"jnp.linspace(-5, 5, 101), but goes from {velocities[0]:g} to {velocities[-1]:g}"
        )
    return Outside(jnp.zeros((), q.density.dtype))


def said(found: Any) -> str:
    """Words for a grid whose velocities end too early; or nothing."""
    if not isinstance(found, Outside) or float(found.mass) <= _SEEN:
        return ""
    return (
        f"; up to {float(found.mass):.2g} of the mass was at the ends of the axis of the velocities, beyond which "
        "there are more; widen it"
    )


def moved(word: str, law: KleinKramers, q: Any, step: Array, memory: Outside | None) -> tuple[Any, Any]:
    """The density after a step of a word, and the memory."""
    parts = {letter: step / word.count(letter) for letter in set(word)}
    if isinstance(q, Gaussian):
        for letter in word:
            q = _GAUSSIAN[letter](law, q, parts[letter].astype(q.mean.dtype))
        return q, memory
    assert memory is not None
    # Once for a step, not for every time that the letter stands in the word.
    spread = _contraction(law, q, parts["O"].astype(q.density.dtype))
    kick = _kick(law, q)
    density = q.density
    for letter in word:
        part = parts[letter].astype(density.dtype)
        if letter == "O":
            density = density @ spread.T
        elif letter == "B":
            density = shifted(density, part * kick)
        else:
            density = _carried(q, density, part)
    # Rounding would add up. What is negative by it, or where waves are missing, stays: emptied it would be biased.
    end = replaced(q, density * (q.mass / jnp.sum(density * q.volumes)))
    outside = jnp.sum(jnp.abs(end.masses[:, :2])) + jnp.sum(jnp.abs(end.masses[:, -2:]))
    return end, Outside(jnp.maximum(memory.mass, outside))


def _centres(q: Grid, axis: int) -> Array:
    return jnp.asarray(q.mesh.centres[axis], q.density.dtype)


def _width(q: Grid, axis: int) -> float:
    return float(q.mesh.widths[axis][0])


def _kick(law: KleinKramers, q: Grid) -> Array:
    """Cells of velocity that the force moves in a unit of time, at every position."""
    force = jax.vmap(law.force)(_centres(q, 0)[:, None])[:, 0]
    return (force / law.mass.astype(force.dtype) / _width(q, 1)).astype(q.density.dtype)


def _carried(q: Grid, density: Array, time: Array) -> Array:
    cells = time * _centres(q, 1) / _width(q, 0)
    return shifted(density.T, cells).T if q.mesh.periodic[0] else reflected(density, cells)


def _contraction(law: KleinKramers, q: Grid, time: Array) -> Array:
    factor, variance = _thermal(law, time)
    return contraction(_centres(q, 1), factor, variance)


def _thermal(law: KleinKramers, time: Array) -> tuple[Array, Array]:
    """The factor of a velocity, and the variance that it gets."""
    rate = (law.friction / law.mass).astype(time.dtype) * time
    return jnp.exp(-rate), (law.temperature / law.mass).astype(time.dtype) * -jnp.expm1(-2.0 * rate)


def _drifted(law: KleinKramers, q: Gaussian, time: Array) -> Gaussian:
    del law
    n = q.dimension // 2
    map_ = jnp.eye(q.dimension, dtype=time.dtype).at[:n, n:].set(time * jnp.eye(n, dtype=time.dtype))
    return _gaussian(q, map_ @ q.mean, map_ @ q.covariance @ map_.T)


def _kicked(law: KleinKramers, q: Gaussian, time: Array) -> Gaussian:
    """The Gaussian of the moments after a kick, which is one where the force is linear."""
    n = q.dimension // 2

    def moments(point: Array) -> Array:
        kicked = point.at[n:].add(time * (law.force(point[:n]) / law.mass).astype(time.dtype))
        around = kicked - q.mean
        return jnp.concatenate([around[None], jnp.outer(around, around)])

    found = gaussian_mean(moments, q.mean, q.covariance)
    return _gaussian(q, q.mean + found[0], found[1:] - jnp.outer(found[0], found[0]))


def _warmed(law: KleinKramers, q: Gaussian, time: Array) -> Gaussian:
    n = q.dimension // 2
    factor, variance = _thermal(law, time)
    kept = jnp.concatenate([jnp.ones(n, time.dtype), jnp.full(n, factor)])
    added = jnp.concatenate([jnp.zeros(n, time.dtype), jnp.full(n, variance)])
    return _gaussian(q, kept * q.mean, jnp.outer(kept, kept) * q.covariance + jnp.diag(added))


_GAUSSIAN = {"A": _drifted, "B": _kicked, "O": _warmed}


def _gaussian(q: Gaussian, mean: Array, covariance: Array) -> Gaussian:
    return eqx.tree_at(lambda q: (q.mean, q.covariance), q, (mean, covariance))
