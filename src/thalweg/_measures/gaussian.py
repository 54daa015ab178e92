"""A Gaussian."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._typed import typed
from .base import AbstractMeasure, as_floats, check_finite, known


class Gaussian(AbstractMeasure):
    r"""The Gaussian $N(m, S)$.

    A functional of it is one of m and S, and a flow stays among Gaussians: for quadratic potentials it is the flow of
    all distributions, for others its projection.

    Arguments:
        mean: m, an array (d,); a number in one dimension.
        covariance: S, symmetric and positive definite, an array (d, d); a number is that times the identity.

    Raises:
        InputError: the covariance is not symmetric and positive definite, or the shapes do not fit together.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> q = tw.measures.Gaussian(jnp.array([1.0, 2.0]), jnp.eye(2))
    >>> q.dimension, float(q.log_density(jnp.array([1.0, 2.0])).round(6))
    (2, -1.837877)

    Reference: Lambert, Chewi, Bach, Bonnabel and Rigollet (2022).
    """

    words: ClassVar[str] = "a Gaussian"
    mean: Float[Array, " d"]
    covariance: Float[Array, "d d"]

    def __init__(self, mean: Any, covariance: Any) -> None:
        self.mean = jnp.atleast_1d(as_floats("mean", mean))
        spread = as_floats("covariance", covariance)
        size = self.mean.size
        if self.mean.ndim != 1 or spread.shape not in ((), (size, size)):
            raise InputError(
                f"a Gaussian needs a mean (d,) and a covariance (d, d), but has shapes {self.mean.shape} and "
                f"{spread.shape}"
            )
        dtype = jnp.result_type(self.mean, spread)
        self.mean = self.mean.astype(dtype)
        self.covariance = (spread * jnp.eye(size) if spread.ndim == 0 else spread).astype(dtype)
        check_finite("mean", self.mean)
        check_finite("covariance", self.covariance)
        if known(self.covariance):
            numbers = np.asarray(self.covariance, dtype=float)
            if not np.allclose(numbers, numbers.T, rtol=1e-6, atol=1e-9 * np.abs(numbers).max()):
                raise InputError("covariance must be symmetric")
            least = np.linalg.eigvalsh(numbers)[0]
            if not least > 0.0:
                raise InputError(f"covariance must be positive definite, but has the eigenvalue {least:g}")

    @classmethod
    @typed()
    def of(cls, q: AbstractMeasure) -> "Gaussian":
        """The Gaussian with the mean and the covariance of another distribution.

        Arguments:
            q: any distribution with a positive definite covariance.
        """
        from .convert import gaussian

        return gaussian(q)

    @property
    def dimension(self) -> int:
        return self.mean.size

    @property
    def mass(self) -> Float[Array, ""]:
        return jnp.ones((), self.mean.dtype)

    def log_density(self, point: Float[Array, " d"]) -> Float[Array, ""]:
        """The logarithm of the density at a point (d,)."""
        root = jnp.linalg.cholesky(self.covariance)
        size = self.mean.size
        # A product with a point, not a solution for it, is fast for many side by side.
        scaled = jax.scipy.linalg.solve_triangular(root, jnp.eye(size, dtype=root.dtype), lower=True) @ (
            point - self.mean
        )
        return -0.5 * scaled @ scaled - jnp.sum(jnp.log(jnp.diag(root))) - 0.5 * size * jnp.log(2.0 * jnp.pi)
