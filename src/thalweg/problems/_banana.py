"""A banana: a Gaussian twisted along a parabola."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._errors import check_count, check_number
from .._objectives.objective import Objective
from .._typed import typed
from ._moments import exact
from ._problem import Problem


def _value(x: Float[Array, " d"], args: dict[str, Float[Array, ""]]) -> Float[Array, ""]:
    twisted = x[1] - args["bend"] * (x[0] ** 2 - args["spread"] ** 2)
    return 0.5 * (x[0] / args["spread"]) ** 2 + 0.5 * twisted**2 + 0.5 * jnp.sum(x[2:] ** 2)


@typed()
def banana(bend: float | int = 0.1, spread: float | int = 3.0, dimension: int = 2) -> Problem:
    r"""A Gaussian twisted along a parabola, as the valley of Rosenbrock's function is.

    $$L(x) = \frac{x_1^2}{2s^2} + \tfrac12\bigl(x_2 - b(x_1^2 - s^2)\bigr)^2 + \tfrac12\sum_{i=3}^d x_i^2,\qquad
      x_0 = (s, 0, 1, \dots, 1)$$

    The twist has Jacobian 1. The paper's targets have $s = 10$ and $b = -0.03$ or $-0.1$: they bend the other way.

    Arguments:
        bend: $b$, in units of $x_2$ over units of $x_1$ squared; 0 is a Gaussian.
        spread: $s > 0$, the standard deviation of $x_1$.
        dimension: $d \ge 2$.

    Returns:
        The problem, with the moments at temperature 1 (mean 0, no correlations, variances $s^2$, $1 + 2b^2s^4$ and
        1) and a sampler; the minimum 0 of $L$ is at $(0, -bs^2, 0, \dots)$. The curvature has no bound.

    Raises:
        InputError: a number is not finite, the spread not positive, or the dimension below 2.

    >>> import thalweg as tw
    >>> tw.problems.banana(bend=-0.03, spread=10).moments.variance.tolist()
    [100.0, 19.0]

    Reference: Haario, Saksman and Tamminen (1999).
    """
    check_number("bend", bend)
    check_number("spread", spread, above=0.0)
    d = check_count("dimension", dimension, at_least=2)
    b, s = float(bend), float(spread)
    args = {"bend": jnp.asarray(b, float), "spread": jnp.asarray(s, float)}
    tip = jnp.zeros(d, float).at[1].set(-args["bend"] * args["spread"] ** 2)

    def sampler(key: Key[Array, ""], count: int) -> Float[Array, "count d"]:
        z = jax.random.normal(key, (count, d))
        first = args["spread"] * z[:, 0]
        return z.at[:, 0].set(first).at[:, 1].add(args["bend"] * (first**2 - args["spread"] ** 2))

    return Problem(
        name="banana",
        objective=Objective(fn=_value, args=args, minimum=0.0, minimiser=tip),
        start=jnp.ones(d, float).at[0].set(s).at[1].set(0.0),
        description=f"a Gaussian twisted along a parabola, in {d} dimensions",
        reference="haario1999",
        moments=exact(
            np.zeros(d),
            np.diag([s**2, 1 + 2 * b**2 * s**4, *[1.0] * (d - 2)]),
            "from the moments of the Gaussian before the twist",
        ),
        log_normaliser=float(0.5 * d * np.log(2 * np.pi) + np.log(s)),
        sampler=sampler,
    )
