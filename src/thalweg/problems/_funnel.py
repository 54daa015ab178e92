"""Neal's funnel."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._errors import InputError, check_count, check_number
from .._objectives.objective import Objective
from .._typed import typed
from ._moments import exact
from ._problem import Problem


def _value(x: Float[Array, " d"], spread: Float[Array, ""]) -> Float[Array, ""]:
    v, rest = x[0], x[1:]
    return 0.5 * (v / spread) ** 2 + 0.5 * rest.size * v + 0.5 * jnp.exp(-v) * jnp.sum(rest**2)


@typed()
def funnel(dimension: int = 10, spread: float | int = 3.0) -> Problem:
    r"""Neal's funnel: the first coordinate is the logarithm of the variance of all the others.

    $$v \sim N(0, s^2),\quad x_i \mid v \sim N(0, e^v),\qquad
      L(v, x) = \frac{v^2}{2s^2} + \frac{d-1}2 v + \tfrac12 e^{-v}\sum_{i=1}^{d-1} x_i^2$$

    from $v = 0$ and $x = (1, \dots, 1)$. No step size suits both the neck, where $v$ is low, and
    the mouth. The paper's funnel has $d = 10$ and $s = 3$.

    Arguments:
        dimension: $d \ge 2$.
        spread: $s > 0$, the standard deviation of $v$, at most 30.

    Returns:
        The problem, with the moments at temperature 1 (mean 0, no correlations, variances $s^2$ and $e^{s^2/2}$) and
        a sampler; $L$ is least, $-\tfrac18(d-1)^2s^2$, at $v = -\tfrac12(d-1)s^2$, $x = 0$. The curvature has no
        bound. The squares $x_i^2$ have so heavy a tail that the mean over draws seldom shows their variance.

    Raises:
        InputError: the dimension is below 2, or the spread is out of its range.

    >>> import thalweg as tw
    >>> tw.problems.funnel().moments.variance[:2].round(3).tolist()
    [9.0, 90.017]

    Reference: Neal (2003), section 8.
    """
    d = check_count("dimension", dimension, at_least=2)
    check_number("spread", spread, above=0.0)
    s = float(spread)
    if s > 30:
        raise InputError(f"spread must be at most 30, beyond which variances overflow, but is {s:g}")
    scale = jnp.asarray(s, float)

    def sampler(key: Key[Array, ""], count: int) -> Float[Array, "count d"]:
        z = jax.random.normal(key, (count, d))
        v = scale * z[:, :1]
        return jnp.concatenate([v, jnp.exp(0.5 * v) * z[:, 1:]], axis=1)

    return Problem(
        name="funnel",
        objective=Objective(
            fn=_value,
            args=scale,
            minimum=-0.125 * ((d - 1) * s) ** 2,
            minimiser=jnp.zeros(d, float).at[0].set(-0.5 * (d - 1) * s**2),
        ),
        start=jnp.ones(d, float).at[0].set(0.0),
        description=f"Neal's funnel in {d} dimensions: one coordinate is the log-variance of the others",
        reference="neal2003",
        moments=exact(
            np.zeros(d), np.diag([s**2, *[math.exp(0.5 * s**2)] * (d - 1)]), "from the mean of a log-normal variable"
        ),
        log_normaliser=0.5 * d * math.log(2 * math.pi) + math.log(s),
        sampler=sampler,
    )
