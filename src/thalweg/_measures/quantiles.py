"""A distribution on the line by its quantiles."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._typed import typed
from .base import AbstractMeasure, as_floats, check_finite, known
from .levels import rule


class Quantiles(AbstractMeasure):
    r"""A distribution on the line by its quantile function, $x_i = Q(p_i)$, each for a mass of $1/N$.

    In these coordinates Wasserstein's distance is the flat one, $W_2^2(q, q') = \tfrac1N\sum_i (x_i - x_i')^2$. The
    levels $p_i$ are close to $(i + \tfrac12)/N$, such that of a Gaussian the variance, the entropy and its slope are
    exact; of any other distribution they are of first order in $1/N$. Between two neighbours the density is
    $(p_{i+1} - p_i)/(x_{i+1} - x_i)$.

    Arguments:
        values: $x_i$, increasing, an array (N,) of three or more.

    Raises:
        InputError: the values do not increase.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> q = tw.measures.Quantiles(jnp.array([-1.0, 0.0, 4.0]))
    >>> q.mean.tolist()
    [1.0]
    >>> tw.measures.Quantiles.of(tw.measures.Gaussian(1.0, 4.0), 101).covariance.round(9).tolist()
    [[4.0]]
    """

    words: ClassVar[str] = "quantiles"
    values: Float[Array, " N"]

    def __init__(self, values: Any) -> None:
        self.values = as_floats("values", values)
        if self.values.ndim != 1 or self.values.size < 3:
            raise InputError(
                f"values must be an array (N,) of three quantiles or more, but have shape {self.values.shape}"
            )
        check_finite("values", self.values)
        if known(self.values) and not np.all(np.diff(np.asarray(self.values)) > 0):
            raise InputError("values must increase; of particles that coincide take tw.measures.Particles")

    @classmethod
    @typed()
    def of(cls, q: AbstractMeasure, count: int) -> "Quantiles":
        """The quantiles of another distribution on the line.

        Arguments:
            q: a `Gaussian`, a `Grid` (its mass even in every cell), `Particles`, no two in one place, or `Quantiles`.
            count: N, three or more.

        Raises:
            InputError: q is not on the line, or is particles that coincide.
        """
        from .convert import quantiles

        return quantiles(q, count)

    @property
    def levels(self) -> Float[Array, " N"]:
        """The levels $p_i$."""
        return jnp.asarray(rule(self.values.size).levels, self.values.dtype)

    @property
    def dimension(self) -> int:
        return 1

    @property
    def mass(self) -> Float[Array, ""]:
        return jnp.ones((), self.values.dtype)

    @property
    def mean(self) -> Float[Array, " d"]:
        return jnp.mean(self.values)[None]

    @property
    def covariance(self) -> Float[Array, "d d"]:
        return jnp.var(self.values)[None, None]
