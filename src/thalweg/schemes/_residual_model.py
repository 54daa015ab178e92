"""Residuals of raveled parameters: their derivatives, the factors of their Jacobian, and what those cost."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._objectives.least_squares import LeastSquares
from ..dynamics import AbstractDynamics
from ._factored import PROBES, Factors, dense, iterated, unit

# Parameters of which the Jacobian is formed, at most; the dimension of a Krylov space, and numbers in its basis.
DENSE, _KRYLOV, _BASIS = 500, 100, 2**25


class Model:
    """The residuals of the objective of a law.

    Arguments:
        dynamics: the law.
        cut: makes the tree of raveled parameters.
        x: those.
        most: parameters of which the Jacobian is formed.
    """

    def __init__(self, dynamics: AbstractDynamics, cut: Callable, x: Array, most: int) -> None:
        assert isinstance(dynamics.objective, LeastSquares)
        self.objective, self.cut = dynamics.objective, cut
        self.flat = self.objective.joined(cut)
        self.rows, n = jax.eval_shape(self.flat.residual, x).size, x.size
        self.formed = n <= most
        self.krylov = max(1, min(_KRYLOV, n, self.rows, max(8, _BASIS // n)))
        # The most that the factors cost.
        self.cost = min(self.rows, n) if self.formed else PROBES + 1 + 2 * self.krylov

    def residual(self, x: Array) -> Array:
        return self.flat.residual(x)

    def gradient(self, x: Array, r: Array) -> Array:
        return jax.vjp(self.flat.residual, x)[1](r)[0].astype(r.dtype)

    def product(self, x: Array, v: Array) -> Array:
        """The product of the Hessian itself."""
        return self.flat.hessian_vector_product(x, v.astype(x.dtype)).astype(v.dtype)

    def factors(self, x: Array, r: Array, scale: Array) -> tuple[Array, Factors, Array]:
        """The gradient, the factors of the Jacobian, and what they have cost."""
        _, direction = unit(r)
        _, forward, backward = self.flat.linearised(x)

        def transposed(u: Array) -> Array:
            return backward(u).astype(r.dtype)

        if not self.formed:
            found, taken = iterated(lambda v: forward(v.astype(x.dtype)), transposed, direction, scale, self.krylov)
            return transposed(r), found, taken
        if x.size <= self.rows:
            matrix = jax.vmap(forward, out_axes=1)(jnp.eye(x.size, dtype=x.dtype))
        else:
            matrix = jax.vmap(transposed)(jnp.eye(self.rows, dtype=r.dtype))
        return r @ matrix, dense(matrix, direction, scale), jnp.asarray(self.cost)
