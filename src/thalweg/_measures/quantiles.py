"""A distribution on the line by its quantiles."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .base import AbstractMeasure, as_floats, check_finite, known


class Quantiles(AbstractMeasure):
    r"""A distribution on the line by its quantile function, $x_i = Q\bigl((i + \tfrac12)/N\bigr)$.

    In these coordinates Wasserstein's distance is the flat one, $W_2^2(q, q') = \tfrac1N\sum_i (x_i - x_i')^2$. Between
    two neighbours the density is $1/\bigl(N (x_{i+1} - x_i)\bigr)$.

    Arguments:
        values: $x_i$, increasing, an array (N,) of three or more.

    Raises:
        InputError: the values do not increase.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> q = tw.measures.Quantiles(jnp.array([-1.0, 0.0, 4.0]))
    >>> q.mean.tolist()
    [1.0]
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
