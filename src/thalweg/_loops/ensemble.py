"""A distribution at the end of a run: whether it still is one."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._measures.base import EnsembleWarning
from .._measures.functional import AbstractFunctional
from .._measures.grid import Grid
from .._measures.internal import Entropy
from .._measures.particles import Particles
from .._measures.potential import Potential
from .._methods.method import Method
from ..dynamics import KleinKramers
from ..geometry import Stein

# Effective weights that are a few, where the start had twice as many; and the part of the mean of (x - mean).grad V
# over the target below which the particles are too close together.
_FEW, _CLOSE = 5.0, 0.5
# In units of the last digit of the largest: what is negative by less is rounding.
_ROUNDING = 1000.0
# Part of the mass that may be negative where a scheme is exact but for waves that cells do not hold.
_UNSEEN = 1e-6


def said_of(method: Method, start: Any, end: Any) -> str:
    """Words for particles that have collapsed and mass below 0, of which is warned, too; or nothing."""
    negative = _negative(method, end) if isinstance(end, Grid | Particles) else ""
    found = [negative] if negative else []
    if isinstance(end, Particles) and not negative:
        found = [text for text in (_few(start, end), _close(method, end)) if text]
    for text in found:
        warnings.warn(text, EnsembleWarning, stacklevel=6)
    return "".join(f"; {text}" for text in found)


def _negative(method: Method, end: Grid | Particles) -> str:
    grid = isinstance(end, Grid)
    numbers = np.asarray(end.density if grid else end.weights)
    masses = np.asarray(end.masses) if isinstance(end, Grid) else numbers
    below = int((numbers < -_ROUNDING * np.finfo(numbers.dtype).eps * np.abs(numbers).max()).sum())
    if not below:
        return ""
    where, instead = ("cells", "tw.FiniteVolumes()") if grid else ("particles", "tw.BirthDeath()")
    found = f"{below} {where} have a negative mass, down to {numbers.min():.3g}: "
    if isinstance(method.dynamics, KleinKramers):
        # Of waves that are cut off some are negative; what matters is how much of the mass.
        if -float(np.minimum(masses, 0.0).sum()) <= _UNSEEN:
            return ""
        return f"{found}they do not resolve the density; take more of them, or a start that is less narrow"
    return (
        f"{found}the step is too long for this scheme; take shorter ones, or {instead}, of which no step makes a "
        "negative one"
    )


def _few(start: Any, end: Particles) -> str:
    before, now = float(start.effective_size), float(end.effective_size)
    if not (now < _FEW and now < 0.5 * before):
        return ""
    return (
        f"the weights have gone to few particles: {now:.3g} effective ones are left of {before:.4g}; take more of them "
        "where the target is, or let them move (tw.BirthDeath)"
    )


def _close(method: Method, end: Particles) -> str:
    """Words for a variance that has collapsed in Stein's geometry.

    Over $e^{-V/T}$ the mean of $(x - m)\\cdot\\nabla V$ is Td, whatever V: by parts. Particles that are too close
    together have less.
    """
    law: Any = method.dynamics
    functional = law.objective
    if not isinstance(getattr(law, "geometry", None), Stein) or not isinstance(functional, AbstractFunctional):
        return ""
    heat = sum(float(c) for c, term in functional.terms if isinstance(term, Entropy))
    forces = [(c, term) for c, term in functional.terms if isinstance(term, Potential) and not term.tabulated]
    if not heat > 0.0 or not forces:
        return ""

    def slope(x: Any) -> Any:
        return sum(c * jax.grad(lambda x, term=term: jnp.asarray(term.fn(x)))(x) for c, term in forces)

    around = end.positions - end.mean[None]
    spread = float(end.weights @ jnp.sum(around * jax.vmap(slope)(end.positions), axis=1)) / (heat * end.dimension)
    if not spread < _CLOSE:
        return ""
    return (
        f"the particles are too close together, or have not spread yet: the mean of (x - mean).grad V is {spread:.2g} "
        f"of what it is over the target; in {end.dimension} dimensions {end.weights.size} particles may be too few for "
        "this kernel; take more, a wider one, or noise (tw.geometry.Wasserstein, tw.EulerMaruyama)"
    )
