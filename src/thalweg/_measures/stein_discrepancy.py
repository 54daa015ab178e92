"""Kernel Stein discrepancy: how far particles are from a target known but for its normaliser."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError, check_choice
from .._typed import typed
from .functional import AbstractMeasure, points_of
from .kernels import AbstractRadial, EnergyKernel, as_kernel, squares
from .kl import KL
from .pairs import by_rows


@typed()
def kernel_stein_discrepancy(q: AbstractMeasure, target: Any, kernel: Any, statistic: str = "V") -> Float[Array, ""]:
    r"""The squared kernel Stein discrepancy of particles from a target $\pi\propto e^{-V}$.

    $$\iint\Bigl(s(x)^\top s(y)\,k + s(x)^\top\nabla_y k + s(y)^\top\nabla_x k + \nabla_x\!\cdot\!\nabla_y k\Bigr)
      dq(x)\,dq(y),\qquad s = -\nabla V$$

    It is the square of the speed, in Stein's geometry, with which the flow of the divergence to the target would start
    from q, and needs neither the normaliser of the target nor draws of it. Sums over pairs are made block by block.

    Arguments:
        q: `tw.measures.Particles`, or `Quantiles`.
        target: a `tw.measures.Gaussian`, or V, a function of a point (d,), a `tw.Objective` or a `tw.problems.Problem`.
        kernel: k, as of `tw.geometry.Stein`; that tells all distributions apart which have the tails of the target:
            `tw.measures.InverseMultiquadric()`.
        statistic: "V" for the sum over all pairs, which is never negative, and too large by the terms of a particle
            with itself, of order 1/N; "U" without these, unbiased where the particles are drawn independently, with
            equal weights.

    Returns:
        the square of the discrepancy.

    Raises:
        InputError: q has no particles, or fewer than two for "U"; V is no function, or the kernel not smooth.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> q = tw.measures.Particles(jnp.array([-1.0, 3.0]))  # of k = 1 + xy: (mean)^2 + (mean of x^2 - 1)^2
    >>> float(tw.measures.kernel_stein_discrepancy(q, tw.measures.Gaussian(0.0, 1.0), tw.measures.LinearKernel()))
    17.0

    Reference: Gorham and Mackey (2017).
    """
    check_choice("statistic", statistic, ("V", "U"))
    found, kernel, potential = points_of(q), as_kernel(kernel), KL(target).potential
    if found is None or q.words == "a grid":
        raise InputError(
            f"a kernel Stein discrepancy is of particles, and not of {q.words}; take tw.measures.Particles"
        )
    if potential.tabulated:
        raise InputError(
            "a kernel Stein discrepancy takes the slope of -log density at particles; give it as a function"
        )
    if isinstance(kernel, EnergyKernel):
        raise InputError(
            "a kernel Stein discrepancy takes derivatives of the kernel where its points meet, where EnergyKernel has "
            "none; take tw.measures.InverseMultiquadric()"
        )
    points, weights = found
    if statistic == "U" and weights.size < 2:
        raise InputError('statistic "U" needs two particles or more; take "V"')
    scores = -jax.vmap(jax.grad(lambda x: jnp.asarray(potential.fn(x))))(points)
    total, own = _sums(kernel, points, scores.astype(points.dtype), weights)
    return total if statistic == "V" else (total - own) / (1.0 - jnp.sum(weights**2))


def _sums(kernel: Any, points: Array, scores: Array, weights: Array) -> tuple[Array, Array]:
    """The sum over all pairs, and the part of a particle with itself."""

    def rows(block: tuple[Array, Array]) -> Array:
        return _pairs(kernel, *block, points, scores) @ weights

    def alone(block: tuple[Array, Array]) -> Array:
        x, s = block
        return jax.vmap(lambda a, b: _pairs(kernel, a[None], b[None], a[None], b[None])[0, 0])(x, s)

    columns = points.shape[0] if isinstance(kernel, AbstractRadial) else points.size
    total = weights @ by_rows(rows, (points, scores), columns)
    return total, weights**2 @ by_rows(alone, (points, scores), points.shape[1])


def _pairs(kernel: Any, x: Array, s: Array, y: Array, t: Array) -> Float[Array, "n m"]:
    """The kernel of the discrepancy, of points x with scores s and y with t."""

    def product(a: Array, b: Array) -> Array:
        return jnp.matmul(a, b.T, precision="highest")

    if isinstance(kernel, AbstractRadial):
        square = squares(x, y)
        one = jnp.ones_like(square)
        (value, slope), (_, bend) = jax.jvp(kernel.with_slope, (square,), (one,))
        # (s - t).(x - y)
        along = jnp.sum(s * x, axis=1)[:, None] + jnp.sum(t * y, axis=1)[None, :] - product(s, y) - product(x, t)
        return product(s, t) * value - 2.0 * slope * (along + x.shape[1]) - 4.0 * square * bend

    def pair(a: Array, p: Array, b: Array, r: Array) -> Array:
        by_first, by_second = jax.grad(kernel, argnums=(0, 1))(a, b)
        mixed = jax.jacfwd(jax.grad(kernel, argnums=0), argnums=1)(a, b)
        return (p @ r) * kernel(a, b) + p @ by_second + r @ by_first + jnp.trace(mixed)

    return jax.vmap(lambda a, p: jax.vmap(lambda b, r: pair(a, p, b, r))(y, t))(x, s)
