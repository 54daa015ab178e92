"""Implicit steps of a density along the axes of its grid, one after the other."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from .._measures.carried import falls
from .._measures.grid import Grid, replaced
from .._measures.transport import spread
from ._lines import solved
from ._parts import Parts
from ._walls import Axis, Shares, axis_of, shares, through


class Sweep(NamedTuple):
    """The functional, the length of a step, its flux, the tolerance and iterations of its equations, and a drift."""

    parts: Parts
    step: Array
    flux: str
    tolerance: Array
    iterations: int
    drift: Callable | None = None


def swept(q: Grid, level: Array, sweep: Sweep) -> tuple[Grid, Bool[Array, ""]]:
    """The density after a step down a potential, and whether equations were not solved."""
    failed = jnp.zeros((), bool)
    for index in range(q.dimension):
        lines, potential = jnp.moveaxis(q.density, index, -1), jnp.moveaxis(level, index, -1)
        axis = axis_of(q.mesh, index, lines)
        rise = axis.across(potential)
        if sweep.drift is not None:
            rise = rise + falls(sweep.drift, q, index)
        share = shares(lines, axis, sweep.flux)
        masses = lines * axis.widths
        if sweep.parts.internal:
            masses, short = _newton(masses, rise, share, axis, sweep)
            failed = failed | short
        else:
            passed = through(rise, sweep.parts.temperature, share, lines, axis)
            masses = solved(*axis.rates(passed.up, passed.down, sweep.step), masses, axis.around)
        q = replaced(q, jnp.moveaxis(masses / axis.widths, -1, index))
    return q, failed


def _newton(masses: Array, rise: Array, share: Shares, axis: Axis, sweep: Sweep) -> tuple[Array, Bool[Array, ""]]:
    r"""The masses after a step in which the slope of the internal energies is that at its end.

    The matrix of every iteration is that of a Markov chain again, so that the mass stays in each.
    """
    parts, total, ones = sweep.parts, jnp.sum(masses), jnp.ones_like(axis.widths)

    def carried(up: Array, down: Array, density: Array) -> Array:
        before, behind = axis.sides(density)
        return spread(sweep.step * (up * before - down * behind) / axis.apart, ones, axis.around)

    def better(carry: Any) -> Any:
        found, _, count = carry
        density = found / axis.widths
        passed = through(rise + axis.across(parts.pressure(density)), parts.temperature, share, density, axis)
        before, behind = axis.sides(parts.stiffness(density))
        up, down = passed.up + passed.steeper * before, passed.down + passed.steeper * behind
        known = masses + carried(passed.up, passed.down, density) - carried(up, down, density)
        moved = jnp.maximum(solved(*axis.rates(up, down, sweep.step), known, axis.around), 0.0)
        return moved, jnp.sum(jnp.abs(moved - found)), count + 1

    def short(carry: Any) -> Any:
        return ~(carry[1] <= sweep.tolerance * total) & (carry[2] < sweep.iterations)

    start = (masses, jnp.full((), jnp.inf, masses.dtype), jnp.zeros((), int))
    found, changed, _ = jax.lax.while_loop(short, better, start)
    return found, ~(changed <= sweep.tolerance * total)
