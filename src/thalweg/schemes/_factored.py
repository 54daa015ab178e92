r"""The linear model of residuals in scaled parameters, factored once and solved for steps of any length.

With a diagonal scale D and $JD^{-1} = USV^\top$ the linearly implicit step in the metric $D^2$ is

$$\Bigl(\frac{D^2}h + J^\top J\Bigr)d = -J^\top r,\qquad
  d = -D^{-1}V\,\frac{S}{S^2 + 1/h}\,U^\top r.$$

Residuals and steps are taken over |r|, and no column of $JD^{-1}$ is longer than 1, so that no square is lost.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._tree import length

# Vectors of signs whose products estimate the lengths of columns.
PROBES = 8
# A Krylov space is large enough where the gradient that its solution leaves is so small a part of the first.
_ENOUGH = 1e-3


class Factors(NamedTuple):
    """D, and of $JD^{-1}$ the right singular vectors (n, k), the singular values and $U^T r/|r|$.

    Of a large Jacobian they are those on a Krylov space, where k is its dimension; zeros fill what it has less.
    """

    scale: Float[Array, " n"]
    right: Float[Array, "n k"]
    singular: Float[Array, " k"]
    projected: Float[Array, " k"]

    def kept(self, rows: int) -> Array:
        """Tell which singular values are more than rounding; a step without a shift leaves out the others."""
        eps = jnp.finfo(self.singular.dtype).eps
        return self.singular > eps * max(rows, self.scale.size) * jnp.max(self.singular)

    def within(self, radius: Array, rows: int) -> tuple[Array, Array]:
        """The step as long as `radius` at most, in singular vectors and over |r|, and the shift 1/h that makes it so.

        Reference: Moré (1978).
        """
        s, g, kept = self.singular, self.projected, self.kept(rows)
        full = jnp.where(kept, -g / jnp.where(kept, s, 1.0), 0.0)

        def going(carry: Any) -> Array:
            _, _, _, size, count = carry
            return (jnp.abs(size - radius) > 0.1 * radius) & (count < 20)

        def narrow(carry: Any) -> Any:
            low, high, shift, size, count = carry
            low, high = jnp.where(size > radius, shift, low), jnp.where(size > radius, high, shift)
            moves = s * g / (s * s + shift)
            slope = -jnp.sum(moves * moves / (s * s + shift)) / size
            shift = shift - (size - radius) / slope * (size / radius)
            inside = (shift > low) & (shift < high)
            shift = jnp.where(inside, shift, jnp.maximum(1e-3 * high, jnp.sqrt(low * high)))
            return low, high, shift, length(s * g / (s * s + shift)), count + 1

        bound = length(s * g) / radius
        first = 1e-3 * bound
        short = length(full) <= 1.1 * radius
        size = jnp.where(short, radius, length(s * g / (s * s + first)))
        start = (jnp.zeros_like(bound), bound, first, size, jnp.zeros((), int))
        shift = jax.lax.while_loop(going, narrow, start)[2]
        return jnp.where(short, full, -s * g / (s * s + shift)), jnp.where(short, 0.0, shift)

    def move(self, step: Array) -> Array:
        """A step in the parameters, still over |r|."""
        return self.right @ step / divisor(self.scale)


def divisor(scale: Array) -> Array:
    """D as it divides: 1 for a column that has been zero all along."""
    return jnp.where(scale > 0, scale, 1.0)


def unit(r: Array) -> tuple[Array, Array]:
    """The length of residuals and they over it; zero where they are."""
    size = length(r)
    return size, r / jnp.where(size > 0, size, 1.0)


def dense(matrix: Array, direction: Array, old: Array) -> Factors:
    """The factors of a Jacobian with columns scaled, by QR.

    Arguments:
        matrix: J, (m, n).
        direction: r/|r|.
        old: D so far; the new one is the longest that each column has been.
    """
    scale = jnp.maximum(jax.vmap(length, in_axes=1)(matrix), old)
    q, upper = jnp.linalg.qr(matrix / divisor(scale)[None, :])
    left, singular, right = jnp.linalg.svd(upper, full_matrices=False)
    return Factors(scale, right.T, singular, left.T @ (q.T @ direction))


def iterated(
    forward: Callable, backward: Callable, direction: Array, old: Array, steps: int
) -> tuple[Factors, Array]:  # fmt: skip
    """The factors on the Krylov space of LSQR and LSMR, from products alone, and how many were taken.

    Golub and Kahan's bidiagonalisation, its right vectors kept and orthogonalised anew: $JD^{-1}V = UB$ with B lower
    bidiagonal, whose singular vectors are those of $JD^{-1}$ there. The lengths of J's columns are estimated from
    products of its transpose with random signs, whose squares have them as their means.

    Arguments:
        forward, backward: v to Jv, u to J'u.
        direction: r/|r|.
        old: D so far.
        steps: the dimension at most.

    Reference: Paige and Saunders (1982); Fong and Saunders (2011).
    """
    n, dtype = old.size, direction.dtype
    signs = jax.random.rademacher(jax.random.key(0), (PROBES, direction.size), dtype)
    images = jax.lax.map(backward, signs)
    scale = jnp.maximum(jax.vmap(length, in_axes=1)(images) / PROBES**0.5, old)
    by = divisor(scale)

    def more(carry: Any) -> Array:
        *_, left, first, k = carry
        return (k < steps) & (left > _ENOUGH * first)

    def step(carry: Any) -> Any:
        u, vs, matrix, turned, rest, _, first, k = carry
        alpha = matrix[k, k]
        beta, u = unit(forward(vs[:, k] / by) - alpha * u)
        v = backward(u) / by - beta * vs[:, k]
        for _ in range(2):  # once leaves the rounding of what was large
            v = v - vs @ (v @ vs)
        alpha, v = unit(v)
        # What is no more than rounding would be made a vector of its own.
        alpha = jnp.where(alpha > 100 * jnp.finfo(dtype).eps, alpha, 0.0)
        matrix = matrix.at[k + 1, k].set(beta).at[k + 1, k + 1].set(alpha)
        # The rotations of LSQR tell how much of the gradient its solution leaves.
        root = jnp.hypot(turned, beta)
        cosine, sine = (part / jnp.where(root > 0, root, 1.0) for part in (turned, beta))
        rest, turned = sine * rest, -cosine * alpha
        vs = vs.at[:, k + 1].set(jnp.where(alpha > 0, v, 0.0))
        return u, vs, matrix, turned, rest, jnp.abs(rest * alpha * cosine), first, k + 1

    alpha, v = unit(backward(direction) / by)
    vs = jnp.zeros((n, steps + 1), dtype).at[:, 0].set(v)
    matrix = jnp.zeros((steps + 1, steps + 1), dtype).at[0, 0].set(alpha)
    carry = (direction, vs, matrix, alpha, jnp.ones((), dtype), alpha, alpha, jnp.zeros((), int))
    _, vs, matrix, *_, k = jax.lax.while_loop(more, step, carry)
    # The last column belongs to a vector of which no product was taken.
    matrix = jnp.where(jnp.arange(steps)[None, :] < k, matrix[:, :steps], 0.0)
    left, singular, right = jnp.linalg.svd(matrix, full_matrices=False)
    return Factors(scale, vs[:, :steps] @ right.T, singular, left[0]), PROBES + 1 + 2 * k
