"""A canyon."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import check_number
from .._objectives.objective import Objective
from .._typed import typed
from ._problem import Problem


def _value(x: Float[Array, "2"], args: dict[str, Float[Array, ""]]) -> Float[Array, ""]:
    along, across = x[0], x[1] - jnp.sin(x[0])
    return 0.5 * args["steepness"] * across**2 + 0.5 * args["slope"] * along**2


@typed()
def canyon(steepness: float | int = 100.0, slope: float | int = 0.1) -> Problem:
    r"""A canyon that winds: steep walls about the sine, a floor that falls gently to the origin.

    $$f(a, b) = \tfrac K2\,(b - \sin a)^2 + \tfrac\mu2\, a^2,\qquad x_0 = (-4, 3/2)$$

    Not convex, yet the origin is its only stationary point.

    Arguments:
        steepness: $K > 0$, the curvature of the walls along $b$.
        slope: $\mu > 0$, the curvature of the floor along $a$.

    Returns:
        The problem; $f^\star = 0$ at the origin. The curvature has no bound.

    Raises:
        InputError: a number is not positive.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.problems.canyon(slope=0.5).objective
    >>> f.gradient(jnp.array([2.0, jnp.sin(2.0)])).tolist()  # on the floor
    [1.0, 0.0]

    Reference: after Rosenbrock (1960).
    """
    check_number("steepness", steepness, above=0.0)
    check_number("slope", slope, above=0.0)
    return Problem(
        name="canyon",
        objective=Objective(
            fn=_value,
            args={"steepness": jnp.asarray(steepness, float), "slope": jnp.asarray(slope, float)},
            minimum=0.0,
            minimiser=jnp.zeros(2, float),
        ),
        start=jnp.array([-4.0, 1.5], float),
        description="a winding canyon: steep walls, a gently falling floor",
        reference="rosenbrock1960",
    )
