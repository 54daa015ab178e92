"""A double well."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import check_count, check_scale
from .._objectives.objective import Objective
from .._typed import typed
from ._moments import Moments
from ._problem import Problem


def _value(x: Float[Array, " d"]) -> Float[Array, ""]:
    return 0.25 * (x[0] ** 2 - 1.0) ** 2 + 0.5 * jnp.sum(x[1:] ** 2)


@typed()
def double_well(dimension: int = 2, temperature: float | int = 1.0) -> Problem:
    r"""Two wells with a barrier of 1/4 between them.

    $$f(x) = \tfrac14 (x_1^2 - 1)^2 + \tfrac12 \sum_{i=2}^d x_i^2,\qquad x_0 = (-3/2, 1/2, \dots, 1/2)$$

    Along $x_1$ the start lies at 25/64, above the barrier: a heavy ball with little friction crosses it,
    gradient flow does not. As a target, $e^{-f/T}$ is half on either side; how long a path stays on one is
    `tw.analysis.escape_time`.

    Arguments:
        dimension: $d \ge 1$.
        temperature: $T > 0$ of the moments, in units of $f$; the function itself does not depend on it.

    Returns:
        The problem; $f^\star = 0$ at $(-1, 0, \dots, 0)$, the well of the start, and at $(1, 0, \dots, 0)$;
        the barrier is the origin. The curvature has no bound. The moments at $T$ are by quadrature.

    Raises:
        InputError: the dimension is not a whole number of at least 1, or the temperature is not positive.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> problem = tw.problems.double_well()
    >>> float(problem.objective.value(jnp.zeros(2))), problem.objective.minimum
    (0.25, 0.0)
    >>> tw.problems.double_well(temperature=0.1).moments.variance.round(6).tolist()
    [0.871363, 0.1]

    Reference: Kramers (1940).
    """
    d = check_count("dimension", dimension)
    check_scale("temperature", temperature)
    log_normaliser, variance = _law(float(temperature), d)
    return Problem(
        name="double-well",
        objective=Objective(fn=_value, minimum=0.0, minimiser=jnp.zeros(d, float).at[0].set(-1.0)),
        start=jnp.full(d, 0.5, float).at[0].set(-1.5),
        description=f"two wells with a barrier of 1/4 between them, in {d} dimension{'s' if d > 1 else ''}",
        reference="kramers1940",
        moments=Moments(
            mean=np.zeros(d),
            variance=variance,
            covariance=np.diag(variance),
            source="quadrature",
            how="the variance of the first coordinate by adaptive quadrature, to a relative 1e-12; the rest is exact",
            temperature=float(temperature),
        ),
        log_normaliser=log_normaliser,
    )


def _law(T: float, d: int) -> tuple[float, np.ndarray]:
    """The logarithm of the integral of exp(-f/T), and the variances."""
    from scipy.integrate import quad

    # Beyond these ends the integrand is below exp(-50), its value at the minimum being 1.
    reach = math.sqrt(200.0 * T)
    ends = math.sqrt(max(1.0 - reach, 0.0)), math.sqrt(1.0 + reach)

    def integral(power: int) -> float:
        def integrand(x: float) -> float:
            return x**power * math.exp(-0.25 * (x * x - 1.0) ** 2 / T)

        return 2.0 * quad(integrand, *ends, points=[1.0], epsabs=0.0, epsrel=1e-13, limit=200)[0]

    total = integral(0)
    variance = np.array([integral(2) / total, *[T] * (d - 1)])
    return math.log(total) + 0.5 * (d - 1) * math.log(2 * math.pi * T), variance
