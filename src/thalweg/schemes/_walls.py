r"""Rates at which mass passes the walls between the cells of a grid, of which the sampled Gibbs state is kept."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from .._measures.transport import last

FLUXES = ("exponential", "second-order")
# Beyond so much of a logarithm between two cells a density is not resolved, and what is taken of it is bounded.
_STEEPEST = 3.0


class Axis(NamedTuple):
    """One axis of a grid, in the form of lines along the last axis of an array."""

    widths: Array
    apart: Array
    around: bool

    def across(self, values: Array) -> Array:
        """Differences of neighbours at the walls."""
        following = jnp.roll(values, -1, axis=-1) if self.around else values[..., 1:]
        return following - (values if self.around else values[..., :-1])

    def sides(self, values: Array) -> tuple[Array, Array]:
        """The values before and behind every wall."""
        if self.around:
            return values, jnp.roll(values, -1, axis=-1)
        return values[..., :-1], values[..., 1:]

    def rates(self, up: Array, down: Array, step: Any) -> tuple[Array, Array]:
        """Numbers at the walls as a step times the rates of the cells before them, up, and behind them, down."""
        up, down = step * up / self.apart, step * down / self.apart
        if self.around:
            return up / self.widths, jnp.roll(down, 1, axis=-1) / self.widths
        none = jnp.zeros_like(up[..., :1])
        return (
            jnp.concatenate([up, none], axis=-1) / self.widths,
            jnp.concatenate([none, down], axis=-1) / self.widths,
        )


def axis_of(mesh: Any, axis: int, like: Array) -> Axis:
    """An axis of a mesh, for lines like an array whose last axis it is."""
    return Axis(last(mesh.widths[axis], like), last(mesh.apart[axis], like), mesh.periodic[axis])


def passing(rise: Array, temperature: Any) -> tuple[Array, Array]:
    r"""Bernoulli's function $T\,B(\pm v/T)$ with $B(z) = z/(e^z - 1)$ of a rise v at temperature T.

    At temperature 0 it is what goes down alone, $\max(\mp v, 0)$.
    """
    temperature = jnp.asarray(temperature, rise.dtype)
    height = jnp.abs(rise)
    scaled = height / jnp.maximum(temperature, jnp.finfo(rise.dtype).tiny)
    flat = scaled == 0.0
    uphill = jnp.where(flat, temperature, height / jnp.expm1(jnp.where(flat, 1.0, scaled)))
    downhill = uphill + height
    return jnp.where(rise > 0.0, uphill, downhill), jnp.where(rise > 0.0, downhill, uphill)


class Shares(NamedTuple):
    r"""The density at a wall, as shares of that before and of that behind it, and the logarithm of their quotient."""

    before: Array
    behind: Array
    steepness: Array


def shares(density: Array, axis: Axis, flux: str) -> Shares:
    r"""The density at the walls of a flux.

    "second-order": the mean of both sides, with which the flux is $-\bar\rho\,\Delta(T\log\rho + V)/d$; "exponential":
    that of a density which is the same on both sides.
    """
    before, behind = axis.sides(density)
    if flux == "exponential":
        one = jnp.ones_like(before)
        return Shares(one, one, jnp.zeros_like(before))
    tiny = jnp.finfo(density.dtype).tiny
    steepness = jnp.log(jnp.maximum(behind, tiny)) - jnp.log(jnp.maximum(before, tiny))
    steepness = jnp.clip(steepness, -_STEEPEST, _STEEPEST)
    return Shares(0.5 + 0.5 * jnp.exp(steepness), 0.5 + 0.5 * jnp.exp(-steepness), steepness)


class Through(NamedTuple):
    """Flux through the walls of a density, as shares of it on both sides, and what it is more where the rise is."""

    up: Array
    down: Array
    steeper: Array


def through(rise: Array, temperature: Any, share: Shares, density: Array, axis: Axis) -> Through:
    r"""The flux of a density at a rise v of the potential, $(s_a T B(z)\,a - s_b T B(-z)\,b)/d$, $z = \log(b/a) + v/T$.

    Arguments:
        rise: v, differences of the potential at the walls.
        temperature: T.
        share: the density at the walls before the step, of which z has the logarithm.
        density: after it.
    """
    heated = rise + jnp.asarray(temperature, rise.dtype) * share.steepness
    up, down = passing(heated, temperature)
    # Bernoulli's function has the slope -1 downhill and none uphill, but for what the temperature smoothes.
    z = jnp.abs(heated) / jnp.maximum(jnp.asarray(temperature, rise.dtype), jnp.finfo(rise.dtype).tiny)
    falling = jnp.where(heated > 0.0, _slope(z), -1.0 - _slope(z))
    before, behind = axis.sides(density)
    steeper = -(share.before * falling * before + share.behind * (-1.0 - falling) * behind)
    return Through(share.before * up, share.behind * down, steeper)


def _slope(z: Array) -> Array:
    r"""$B'(z)$ at $z \ge 0$, from -1/2 to 0."""
    near = z < 1e-2
    safe = jnp.where(near, 1.0, jnp.minimum(z, 80.0))
    shrunk = jnp.exp(-safe)
    far = shrunk * (1.0 - shrunk - safe) / (1.0 - shrunk) ** 2
    return jnp.where(near, -0.5 + z / 6.0, far)
