"""The exact flow of a small linear stochastic differential equation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

# Of a step whose norm is below a quarter, so many terms are all that float64 holds.
_TERMS = 16


def exact_flow(
    drift: Float[Array, "n n"], diffusion: Float[Array, "n n"], duration: ArrayLike
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    r"""$e^{At} - 1$ and $\int_0^t e^{As}Qe^{A^\top s}\,ds$ of $dz = Az\,dt + \sqrt Q\,dW$.

    By series over a short time, then by doubling. No large numbers are subtracted, so that a covariance that is far
    below the stationary one has its digits too, in float32 as well.
    """

    def times(x: Array, y: Array) -> Array:
        return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)

    duration = jnp.asarray(duration)
    norm = jnp.max(jnp.sum(jnp.abs(drift), axis=1)) * duration
    doublings = jnp.clip(jnp.ceil(jnp.log2(jnp.maximum(norm, 1e-30))) + 2.0, 0.0, 60.0)
    short = duration * jnp.exp2(-doublings)
    step = drift * short

    def add(j: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        change, spread, term, spread_term = sums
        term, half = times(term, step) / j, times(step, spread_term)
        spread_term = (half + half.T) / j
        return change + term, spread + spread_term, term, spread_term

    first = step, diffusion * short
    change, spread, *_ = jax.lax.fori_loop(2, _TERMS + 1, add, (*first, *first))

    def double(_: Array, flow: tuple[Array, Array]) -> tuple[Array, Array]:
        change, spread = flow
        moved = spread + times(change, spread)
        moved = moved + times(moved, change.T)
        return 2.0 * change + times(change, change), spread + 0.5 * (moved + moved.T)

    return jax.lax.fori_loop(0, doublings.astype(int), double, (change, spread))


def root(covariance: Float[Array, "n n"]) -> list[list[Float[Array, ""]]]:
    """The lower triangle L with L L' the covariance, row by row; what rounding made negative is zero.

    The last variable may be known from the others up to rounding, as a velocity is from a force over a short step.
    """
    rows: list[list[Array]] = []
    for i in range(covariance.shape[0]):
        row: list[Array] = []
        for j in range(i + 1):
            left = covariance[i, j] - sum((row[k] * (row if i == j else rows[j])[k] for k in range(j)), start=0.0)
            if i == j:
                row.append(jnp.sqrt(jnp.maximum(left, 0.0)))
            else:
                pivot = rows[j][j]
                row.append(jnp.where(pivot > 0.0, left / jnp.where(pivot > 0.0, pivot, 1.0), 0.0))
        rows.append(row)
    return rows
