"""A quadratic that counts its gradients on the host, when they are evaluated."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class Counter:
    r"""$f = \tfrac12\sum_i c_i x_i^2$, whose every gradient, and every derivative of a gradient, is counted.

    Arguments:
        curvature: c, an array of the shape of x.

    Attributes:
        fn: the function.
        gradients: evaluated so far.
        products: of the Hessian with a vector, evaluated so far.
    """

    def __init__(self, curvature: Array) -> None:
        self.curvature = curvature
        self.gradients = self.products = 0

        @jax.custom_jvp
        def product(x: Array, v: Array) -> Array:
            # With the point, or the same columns at every step would be taken once, before the loop.
            return curvature * self._through(v, x)

        @product.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (x, v), (_, change) = primals, tangents
            return product(x, v), product(x, change)

        @jax.custom_jvp
        def slope(x: Array) -> Array:
            return curvature * self._through(x)

        @slope.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            [x], [v] = primals, tangents
            return slope(x), product(x, v)

        @jax.custom_jvp
        def fn(x: Array) -> Array:
            return 0.5 * jnp.sum(curvature * x**2)

        @fn.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            [x], [v] = primals, tangents
            return fn(x), jnp.sum(slope(x) * v)

        self.fn = fn

    def _through(self, x: Array, at: Array | None = None) -> Array:
        # The result is used, so that what a compiler drops as unused is not counted.
        tick, points = (self._tick, (x,)) if at is None else (self._tick_product, (x, at))
        # Numbers of the widths that JAX has in every thread, also where 64 bits are set in this one alone.
        words = [jnp.ravel(point)[0].astype(jnp.float32) for point in points]
        # Of a Jacobian each column is one.
        nothing = jax.pure_callback(tick, jax.ShapeDtypeStruct((), jnp.int32), *words, vmap_method="sequential")
        return x + nothing.astype(x.dtype)

    def _tick(self, *points: Any) -> np.ndarray:
        del points
        self.gradients += 1
        return np.zeros((), np.int32)

    def _tick_product(self, *points: Any) -> np.ndarray:
        del points
        self.products += 1
        return np.zeros((), np.int32)

    @property
    def evaluations(self) -> int:
        """Gradients and products so far."""
        return self.gradients + self.products
