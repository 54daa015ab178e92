"""The look for a direction in which a function curves downwards, one product of the Hessian at a time."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Search(eqx.Module):
    """The lowest Rayleigh quotient found so far, on the span of its vector, the residual and the last change.

    Locally optimal conjugate gradients for one vector (Knyazev 2001), without a preconditioner.
    """

    vector: Float[Array, " d"]
    product: Float[Array, " d"]
    change: Float[Array, " d"]
    change_product: Float[Array, " d"]
    quotient: Float[Array, ""]
    scale: Float[Array, ""]
    residual: Float[Array, ""]
    count: Int[Array, ""]

    @classmethod
    def none(cls, x: Float[Array, " d"]) -> "Search":
        """Before any look."""
        zero, number = jnp.zeros_like(x), jnp.zeros((), x.dtype)
        return cls(zero, zero, zero, zero, number, number, number, jnp.zeros((), int))

    def asked(self) -> Float[Array, " d"]:
        """The vector whose product comes next."""
        start = jax.random.normal(jax.random.key(0), self.vector.shape, self.vector.dtype)
        left = self.product - self.quotient * self.vector
        for _ in range(2):  # once leaves the rounding of what was large
            left = left - (left @ self.vector) * self.vector - (left @ self.change) * self.change
        return _unit(jnp.where(self.count == 0, start, left))

    def after(self, asked: Float[Array, " d"], product: Float[Array, " d"]) -> "Search":
        """With the product of the vector that was asked for."""
        first = self.count == 0
        v, hv = jnp.where(first, asked, self.vector), jnp.where(first, product, self.product)
        w, hw = jnp.where(first, 0.0, asked), jnp.where(first, 0.0, product)
        change, change_product = (jnp.where(first, 0.0, old) for old in (self.change, self.change_product))
        basis, products = jnp.stack([v, w, change]), jnp.stack([hv, hw, change_product])
        there = jnp.sum(basis * basis, axis=1) > 0.5
        matrix = basis @ products.T
        scale = jnp.maximum(jnp.where(first, 0.0, self.scale), jnp.max(jnp.abs(matrix)))
        matrix = 0.5 * (matrix + matrix.T) + jnp.diag(jnp.where(there, 0.0, 2.0 * scale + 1.0))
        values, vectors = jnp.linalg.eigh(matrix)
        c = jnp.where(there, vectors[:, 0], 0.0)
        new, product = c @ basis, c @ products
        length = 1.0 / jnp.linalg.norm(new)
        new, product = length * new, length * product
        c = c.at[0].set(0.0)
        change, change_product = c @ basis, c @ products
        along = change @ new
        change, change_product = change - along * new, change_product - along * product
        size = jnp.linalg.norm(change)
        size = jnp.where(size > 0, 1.0 / jnp.where(size > 0, size, 1.0), 0.0)
        residual = jnp.linalg.norm(product - values[0] * new)
        return Search(new, product, size * change, size * change_product, values[0], scale, residual, self.count + 1)

    @property
    def threshold(self) -> Float[Array, ""]:
        """Bound of the rounding of a curvature."""
        return 10.0 * jnp.sqrt(jnp.finfo(self.vector.dtype).eps) * self.scale

    @property
    def found(self) -> Bool[Array, ""]:
        """Tell whether the function curves downwards along the vector."""
        return self.quotient < -self.threshold

    @property
    def settled(self) -> Bool[Array, ""]:
        """Tell whether the quotient is an eigenvalue, so that another product says no more."""
        return self.residual <= self.threshold


def _unit(x: Float[Array, " d"]) -> Float[Array, " d"]:
    size = jnp.linalg.norm(x)
    return jnp.where(size > 0, x / jnp.where(size > 0, size, 1.0), 0.0)
