"""A strict saddle."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import check_count, check_number, check_scale
from .._objectives.objective import Objective
from .._typed import typed
from ._problem import Problem


def _value(x: Float[Array, " d"], instability: Float[Array, ""]) -> Float[Array, ""]:
    return 0.5 * jnp.sum(x[:-1] ** 2) - 0.5 * instability * x[-1] ** 2 + 0.25 * x[-1] ** 4


@typed()
def saddle(dimension: int = 2, *, instability: float | int = 1.0, offset: float | int = 1e-3) -> Problem:
    r"""A strict saddle at the origin, bounded below, with a start beside its stable manifold.

    $$f(x) = \tfrac12 \sum_{i=1}^{d-1} x_i^2 - \tfrac\gamma2 x_d^2 + \tfrac14 x_d^4,\qquad
      x_0 = (1, \dots, 1, \varepsilon)$$

    The stable manifold of gradient flow is $x_d = 0$; from beside it the flow leaves the saddle after a
    time of about $\log(\sqrt\gamma/\varepsilon)/\gamma$.

    Arguments:
        dimension: $d \ge 2$.
        instability: $\gamma > 0$, minus the curvature along the last axis.
        offset: $\varepsilon$, how far the start is from the stable manifold; 0 puts it on it.

    Returns:
        The problem; $f^\star = -\gamma^2/4$ at $(0, \dots, 0, \pm\sqrt\gamma)$, the sign being the offset's
        (plus for 0). The curvature has no upper bound.

    Raises:
        InputError: the dimension is below 2, the instability not positive, or the offset not finite.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> problem = tw.problems.saddle()
    >>> f = problem.objective
    >>> f.gradient(jnp.zeros(2)).tolist(), f.hessian_vector_product(jnp.zeros(2), jnp.ones(2)).tolist()
    ([0.0, 0.0], [1.0, -1.0])

    Reference: Lee, Simchowitz, Jordan and Recht (2016).
    """
    d = check_count("dimension", dimension, at_least=2)
    check_scale("instability", instability)
    check_number("offset", offset)
    depth = math.copysign(math.sqrt(instability), offset or 1.0)
    return Problem(
        name="saddle",
        objective=Objective(
            fn=_value,
            args=jnp.asarray(instability, float),
            minimum=-0.25 * float(instability) ** 2,
            minimiser=jnp.zeros(d, float).at[-1].set(depth),
        ),
        start=jnp.ones(d, float).at[-1].set(offset),
        description=f"a strict saddle in {d} dimensions, started {offset:g} from its stable manifold",
        reference="lee2016",
    )
