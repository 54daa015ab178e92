"""Beale's function."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._objectives.objective import Objective
from ._problem import Problem


def _value(x: Float[Array, "2"]) -> Float[Array, ""]:
    a, b = x
    return (1.5 - a * (1.0 - b)) ** 2 + (2.25 - a * (1.0 - b**2)) ** 2 + (2.625 - a * (1.0 - b**3)) ** 2


def beale() -> Problem:
    r"""Beale's function: flat valleys between steep corners.

    $$f(a, b) = (1.5 - a(1 - b))^2 + (2.25 - a(1 - b^2))^2 + (2.625 - a(1 - b^3))^2,\qquad x_0 = (1, 1)$$

    Returns:
        The problem; $f^\star = 0$ at $(3, 1/2)$. The curvature has no bound, and $(0, 1)$ is a saddle.

    >>> import thalweg as tw
    >>> problem = tw.problems.beale()
    >>> float(problem.objective.value(problem.start))
    14.203125

    Reference: Beale (1958); the start of Moré, Garbow and Hillstrom (1981), problem 5.
    """
    return Problem(
        name="beale",
        objective=Objective(fn=_value, minimum=0.0, minimiser=jnp.array([3.0, 0.5], float)),
        start=jnp.array([1.0, 1.0], float),
        description="Beale's function: flat valleys between steep corners",
        reference="beale1958",
    )
