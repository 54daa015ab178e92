"""A double well."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import check_count
from .._objective import Objective
from ._problem import Problem


def _value(x: Float[Array, " d"]) -> Float[Array, ""]:
    return 0.25 * (x[0] ** 2 - 1.0) ** 2 + 0.5 * jnp.sum(x[1:] ** 2)


def double_well(dimension: int = 2) -> Problem:
    r"""Two wells with a barrier of 1/4 between them.

    $$f(x) = \tfrac14 (x_1^2 - 1)^2 + \tfrac12 \sum_{i=2}^d x_i^2,\qquad x_0 = (-3/2, 1/2, \dots, 1/2)$$

    Along $x_1$ the start lies at 25/64, above the barrier: a heavy ball with little friction crosses it,
    gradient flow does not.

    Arguments:
        dimension: $d \ge 1$.

    Returns:
        The problem; $f^\star = 0$ at $(-1, 0, \dots, 0)$, the well of the start, and at $(1, 0, \dots, 0)$;
        the barrier is the origin. The curvature has no bound.

    Raises:
        InputError: the dimension is not a whole number of at least 1.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> problem = tw.problems.double_well()
    >>> float(problem.objective.value(jnp.zeros(2))), problem.objective.minimum
    (0.25, 0.0)

    Reference: Kramers (1940).
    """
    d = check_count("dimension", dimension)
    return Problem(
        name="double-well",
        objective=Objective(fn=_value, minimum=0.0, minimiser=jnp.zeros(d, float).at[0].set(-1.0)),
        start=jnp.full(d, 0.5, float).at[0].set(-1.5),
        description=f"two wells with a barrier of 1/4 between them, in {d} dimension{'s' if d > 1 else ''}",
        reference="kramers1940",
    )
