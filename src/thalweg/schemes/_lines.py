r"""Systems of a Markov chain along lines of cells, $(1 + hL)x = d$, whose columns sum to one, solved by sums alone."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

# So many cells at once in a pass along a line: a loop of XLA costs as much as the arithmetic of several.
_UNROLL = 2


def solved(up: Array, down: Array, masses: Array, around: bool) -> Array:
    r"""The masses x of which what flows in a step from x itself is taken away, $x + h L x = d$.

    Eliminated without a subtraction (Grassmann, Taksar and Heyman's), so that every number is right to a few roundings,
    of any length of the step: none is negative where none of d is, and the sum is that of d.

    Arguments:
        up: h times the rate from a cell to the next one along the last axis; of the last cell 0, or to the first where
            the ends are one.
        down: likewise to the one before.
        masses: d.
        around: whether the ends are one.

    Reference: Grassmann, Taksar and Heyman (1985).
    """
    if not around:
        return _eliminated(up, down, (masses,))[0]
    # All but the last cell, whose neighbours it is on both sides, are eliminated first.
    up_last, down_last = up[..., -1:], down[..., -1:]
    inside = jnp.zeros_like(masses[..., :-1])
    entering = inside.at[..., :1].add(up_last).at[..., -1:].add(down_last)
    own, of_last = _eliminated(up[..., :-1], down[..., :-1], (masses[..., :-1], entering))
    into_last = masses[..., -1:] + down[..., :1] * own[..., :1] + up[..., -2:-1] * own[..., -1:]
    last = into_last / (1.0 + jnp.sum(of_last, axis=-1, keepdims=True))
    return jnp.concatenate([own + last * of_last, last], axis=-1)


def _eliminated(up: Array, down: Array, sides: tuple[Array, ...]) -> tuple[Array, ...]:
    """Solutions of one matrix for several right-hand sides; what leaves at the ends is gone."""
    up, down = jnp.moveaxis(up, -1, 0), jnp.moveaxis(down, -1, 0)
    sides = tuple(jnp.moveaxis(side, -1, 0) for side in sides)
    none = jnp.zeros_like(up[0])

    def forwards(carry: Any, row: Any) -> tuple[Any, Any]:
        stays, passes, before = carry
        up, down, own = row
        kept = 1.0 + down * stays
        pivot = kept + up
        reached = tuple(d + passes * y for d, y in zip(own, before, strict=True))
        return (kept / pivot, up / pivot, reached), (pivot, reached)

    start = (jnp.ones_like(none), none, tuple(none for _ in sides))
    _, (pivots, reached) = jax.lax.scan(forwards, start, (up, down, sides), unroll=_UNROLL)

    def backwards(carry: Any, row: Any) -> tuple[Any, Any]:
        down_after, after = carry
        down, pivot, own = row
        x = tuple((y + down_after * z) / pivot for y, z in zip(own, after, strict=True))
        return (down, x), x

    start = (none, tuple(none for _ in sides))
    found = jax.lax.scan(backwards, start, (down, pivots, reached), reverse=True, unroll=_UNROLL)[1]
    return tuple(jnp.moveaxis(x, 0, -1) for x in found)
