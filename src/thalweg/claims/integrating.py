"""Nesterov's method as an integrator of its equation, and what is of second order in it."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import j0, j1

from .._methods.aliases import nesterov
from .._methods.method import Method
from ..dynamics import HighResolutionFlow, NesterovFlow
from ..schemes import RK4
from ._experiment import ORDER_TOLERANCE, close, path, quadratic, shown
from ._ledger import Correction, Outcome, claim
from .convex import bowl
from .nesterov_flow import CURVATURES, START, accelerated, bessel

TIME, STEPS, FINE = 10.0, 800, 8
FINER: Callable[[Any, Any], Any] = HighResolutionFlow


def _apart(steps: int) -> tuple[float, float]:
    r"""Largest distance of the iterates, from a tenth of the time on, from either equation.

    From Nesterov's own at $t = k\sqrt s$, in closed form, and from that of high resolution at $(k + \tfrac12)\sqrt s$.
    """
    root = TIME / steps
    points = np.asarray(accelerated(jnp.asarray(CURVATURES), jnp.asarray(START), jnp.asarray(root**2), steps))
    k = np.arange(steps // 10, steps + 1)
    exact = START * bessel(k * root, CURVATURES)
    law = FINER(quadratic(*CURVATURES), root**2)
    began = round(float(law.start_time) / root * 2)  # in half steps
    method = Method(law, RK4(), root / FINE)
    # Half a step ahead of the iterate, and so much behind the start of the equation.
    at = FINE * k + FINE // 2 - began * FINE // 2
    followed = path(method, START, int(at[-1])).position[at]
    return tuple(float(np.max(np.abs(points[k] - other))) for other in (exact, followed))  # pyright: ignore


@claim(
    "nesterov-is-an-integrator",
    "003.70; su2016; shi2022, equation 1.12",
    "Nesterov's method is a numerical integrator of its equation with a given step.",
)
def integrator() -> Outcome:
    r"""The orders in the step $\sqrt s$, s the learning rate, to the equation with 3/t and to that of high resolution.

    The latter has $\sqrt s\nabla^2f(\theta)\theta' + \tfrac{3\sqrt s}{2t}\nabla f$ besides.
    """
    coarse, fine = _apart(STEPS), _apart(2 * STEPS)
    measured = [float(np.log2(one / other)) for one, other in zip(coarse, fine, strict=True)]
    words = "order {:.2f} in √s to θ'' + (3/t) θ' + ∇f = 0, order {:.2f} with √s ∇²f θ' + (3√s/2t) ∇f added"
    return Outcome(
        *shown(words, [1.0, 2.0], measured),
        holds=bool(np.max(np.abs(np.subtract(measured, [1.0, 2.0]))) < ORDER_TOLERANCE),
    )


LATE = (50.0, 200.0)
CONDITION = 100.0


@claim(
    "second-order-convergence",
    "003.77; su2016",
    "Seen as an equation Nesterov's method has second-order convergence.",
)
def second_order() -> Outcome:
    r"""Three things that may be of second order: the power of 1/t, the power of the error, and that of the step.

    On the bowl of all curvatures to 1 along the equation $f = \tfrac2{t^2}(1 - J_0(t)^2 - J_1(t)^2)$. On a bowl of
    κ = 100 with constant momentum the slow mode is $(1 + nb)z^n$, $z = 1 - \kappa^{-1/2}$; errors that are squared
    would have logarithms whose differences double in a step.
    """
    curvatures, start = bowl()
    late = np.array(LATE)
    exact = 2.0 / late**2 * (1.0 - j0(late) ** 2 - j1(late) ** 2)
    points = path(Method(NesterovFlow(quadratic(*curvatures)), RK4(), 0.05), start, round(LATE[-1] / 0.05)).position
    found = 0.5 * points[np.round(late / 0.05).astype(int)] ** 2 @ curvatures
    z, n = 1.0 - CONDITION**-0.5, np.arange(401)
    mode = (1.0 + n * ((1.0 - 1.0 / CONDITION) / z - 1.0)) * z**n
    ran = path(nesterov(quadratic(1.0 / CONDITION, 1.0), 1.0, z / (1.0 + CONDITION**-0.5)), [1.0, 1.0], 400).position
    powers = []
    for values, way in ((exact, mode), (found, np.abs(ran[:, 0]))):
        falls = np.log(way[[400, 399]] / way[[399, 398]])
        powers.append([float(np.log(values[1] / values[0]) / np.log(late[1] / late[0])), float(falls[0] / falls[1])])
    (power, grown), (expected, known) = powers[1], powers[0]
    order = float(np.log2(_apart(STEPS)[0] / _apart(2 * STEPS)[0]))
    words = "f falls as t^{:.2f}; the error to the power {:.4f} in a step; of order {:.2f} in the step √s"
    return Outcome(
        *shown(words, [expected, known, 1.0], [power, grown, order]),
        holds=min(-power, grown, order) > 2.0 - ORDER_TOLERANCE,
        correction=Correction(
            "In that f - f* falls as 1/t². The errors are not squared in a step, as Newton's are: where f is strongly "
            "convex convergence is linear. Nor is the method of second order in its step.",
            holds=abs(power + 2.0) < ORDER_TOLERANCE
            and close([power, grown], [expected, known], 1e-3)
            and grown < 1.1
            and abs(order - 1.0) < ORDER_TOLERANCE,
        ),
    )
