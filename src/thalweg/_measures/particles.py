"""Weighted particles."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._typed import typed
from .base import AbstractMeasure, as_floats, check_finite, check_probabilities, of_points


class Particles(AbstractMeasure):
    r"""Particles with weights, $q = \sum_i w_i\,\delta_{x_i}$.

    Arguments:
        positions: $x_i$, an array (N, d), or (N,) in one dimension.
        weights: $w_i \ge 0$, an array (N,) that sums to one; equal ones if None.
        log_density: the logarithm of the density that the particles were drawn from, at every one, an array (N,). Where
            particles stay and only their weights move, as in `tw.geometry.FisherRao`, it is carried along, and the
            entropy is known.

    Raises:
        InputError: the shapes do not fit together, or the weights are negative or do not sum to one.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> q = tw.measures.Particles(jnp.array([[0.0, 1.0], [4.0, 1.0]]), jnp.array([0.25, 0.75]))
    >>> q.mean.tolist(), q.covariance.tolist()
    ([3.0, 1.0], [[3.0, 0.0], [0.0, 0.0]])
    """

    words: ClassVar[str] = "particles"
    positions: Float[Array, "N d"]
    weights: Float[Array, " N"]
    log_density: Float[Array, " N"] | None

    def __init__(self, positions: Any, weights: Any = None, log_density: Any = None) -> None:
        found = as_floats("positions", positions)
        self.positions = found[:, None] if found.ndim == 1 else found
        if self.positions.ndim != 2:
            raise InputError(f"positions must be an array (N, d), but have shape {self.positions.shape}")
        check_finite("positions", self.positions)
        count, dtype = self.positions.shape[0], self.positions.dtype
        self.weights = (
            jnp.full(count, 1.0 / count, dtype) if weights is None else as_floats("weights", weights).astype(dtype)
        )
        self.log_density = None if log_density is None else as_floats("log_density", log_density).astype(dtype)
        for name, array in (("weights", self.weights), ("log_density", self.log_density)):
            if array is not None and array.shape != (count,):
                raise InputError(
                    f"{name} must have a number for each of {count} particles, but has shape {array.shape}"
                )
        check_probabilities("weights", self.weights, "divide them by their sum")
        if self.log_density is not None:
            check_finite("log_density", self.log_density)

    @classmethod
    @typed()
    def of(cls, q: AbstractMeasure, count: int, key: Any) -> "Particles":
        """Particles of equal weight that are drawn from another distribution, with their `log_density` left out.

        Arguments:
            q: a `Gaussian`, a `Grid` (even in every cell), `Quantiles` (linear between them), or `Particles`.
            count: N.
            key: a seed or JAX key.
        """
        from .convert import particles

        return particles(q, count, key)

    @property
    def dimension(self) -> int:
        return self.positions.shape[1]

    @property
    def mass(self) -> Float[Array, ""]:
        return jnp.sum(self.weights)

    @property
    def mean(self) -> Float[Array, " d"]:
        return of_points(self.positions, self.weights)[0]

    @property
    def covariance(self) -> Float[Array, "d d"]:
        return of_points(self.positions, self.weights)[1]

    @property
    def effective_size(self) -> Float[Array, ""]:
        r"""$1/\sum_i w_i^2$, the number of equal weights that would vary as little."""
        return 1.0 / jnp.sum(self.weights**2)
