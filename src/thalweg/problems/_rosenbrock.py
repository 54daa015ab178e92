"""Rosenbrock's valley."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import check_count
from .._objectives.objective import Objective
from .._typed import typed
from ._problem import Problem


def _value(x: Float[Array, " d"]) -> Float[Array, ""]:
    return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@typed()
def rosenbrock(dimension: int = 2) -> Problem:
    r"""Rosenbrock's curved valley.

    $$f(x) = \sum_{i=1}^{d-1} 100\,(x_{i+1} - x_i^2)^2 + (1 - x_i)^2,\qquad x_0 = (-1.2, 1, -1.2, \dots)$$

    Arguments:
        dimension: $d \ge 2$. From 4 on there is another, higher minimum near $(-1, 1, \dots, 1)$.

    Returns:
        The problem; $f^\star = 0$ at $(1, \dots, 1)$. The curvature has no bound.

    Raises:
        InputError: the dimension is not a whole number of at least 2.

    >>> import thalweg as tw
    >>> problem = tw.problems.rosenbrock()
    >>> round(float(problem.objective.value(problem.start)), 4)
    24.2

    Reference: Rosenbrock (1960); in d dimensions Kok and Sandrock (2009).
    """
    d = check_count("dimension", dimension, at_least=2)
    return Problem(
        name="rosenbrock",
        objective=Objective(fn=_value, minimum=0.0, minimiser=jnp.ones(d, float)),
        start=jnp.asarray(np.resize([-1.2, 1.0], d), float),
        description=f"Rosenbrock's curved valley in {d} dimensions",
        reference="rosenbrock1960",
    )
