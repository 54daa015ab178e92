"""Himmelblau's function."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._objectives.objective import Objective
from ._problem import Problem


def _value(x: Float[Array, "2"]) -> Float[Array, ""]:
    a, b = x
    return (a**2 + b - 11.0) ** 2 + (a + b**2 - 7.0) ** 2


def himmelblau() -> Problem:
    r"""Himmelblau's function: four minima of the same depth.

    $$f(a, b) = (a^2 + b - 11)^2 + (a + b^2 - 7)^2,\qquad x_0 = (0, 0)$$

    Returns:
        The problem; $f^\star = 0$ at $(3, 2)$, and at $(-2.805118, 3.131313)$, $(-3.779310, -3.283186)$
        and $(3.584428, -1.848127)$, rounded. The curvature has no bound.

    >>> import thalweg as tw
    >>> problem = tw.problems.himmelblau()
    >>> float(problem.objective.value(problem.start))
    170.0

    Reference: Himmelblau (1972).
    """
    return Problem(
        name="himmelblau",
        objective=Objective(fn=_value, minimum=0.0, minimiser=jnp.array([3.0, 2.0], float)),
        start=jnp.array([0.0, 0.0], float),
        description="Himmelblau's function: four minima of the same depth",
        reference="himmelblau1972",
    )
