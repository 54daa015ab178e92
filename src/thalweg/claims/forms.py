"""Nesterov's method as it is written down, taken at its word."""

from collections.abc import Callable

import numpy as np

from .._methods.aliases import nesterov
from ._experiment import path, quadratic, shown
from ._ledger import Correction, Outcome, claim

RATE, BETA, CURVATURES, STEPS = 0.01, 0.9, np.array([4.0, 30.0]), 60
# How far along the buffer v the gradient is taken, where θ goes back by α v.
SECOND, THIRD = -BETA, BETA


def written(ahead: float) -> tuple[np.ndarray, float]:
    r"""Points of $v = \beta v + \nabla f(\theta + av)$, $\theta^+ = \theta - \alpha v$; its largest root's size."""
    x, v, points = np.ones(2), np.zeros(2), [np.ones(2)]
    for _ in range(STEPS):
        v = BETA * v + CURVATURES * (x + ahead * v)
        x = x - RATE * v
        points.append(x)
    sizes = []
    for c in CURVATURES:
        matrix = np.array([[BETA + c * ahead, c], [-RATE * (BETA + c * ahead), 1.0 - RATE * c]])
        sizes.append(np.abs(np.linalg.eigvals(matrix)).max())
    return np.stack(points), float(max(sizes))


def judged(ahead: float, why: str) -> Outcome:
    """A form beside Nesterov's method, and beside itself with the look-ahead that is right, -αβ."""
    found = path(nesterov(quadratic(*CURVATURES), RATE, BETA), np.ones(2), STEPS).position
    right, _ = written(-RATE * BETA)
    points, size = written(ahead)
    # How fast it grows or shrinks in the end, which the size of the root says.
    late = np.abs(points[-21:]).max(axis=1)
    growth = float((late[-1] / late[0]) ** (1.0 / 20.0))
    apart, mended = (float(np.abs(x - found).max() / np.abs(x).max()) for x in (points, right))
    return Outcome(
        *shown("it multiplies by {:.3f} a step; with θ - αβv it is {:.0e} away", [size, 0.0], [growth, mended]),
        holds=apart < 1e-9,
        correction=Correction(why, holds=mended < 1e-9, amends=False),
    )


ASKED: Callable[[float], float] = lambda ahead: ahead  # noqa: E731


@claim(
    "nesterov-second-form",
    "003.25",
    "Nesterov's method in a second form is v = βv + ∇f(θ - βv), θ⁺ = θ - αv.",
)
def second_form() -> Outcome:
    """On two curvatures at a learning rate of 0.01."""
    return judged(
        ASKED(SECOND),
        "There v is a sum of gradients and θ moves by αv, so that the point ahead is θ - αβv. Without α it is 1/α "
        "times as far, and the form diverges where the curvature is above about 1.",
    )


@claim("nesterov-third-form", "003.26", "Nesterov's method in a third form is v = βv + ∇f(θ + βv), θ⁺ = θ - ηv.")
def third_form() -> Outcome:
    """On two curvatures at a learning rate of 0.01."""
    return judged(
        ASKED(THIRD),
        "As θ moves by -ηv, θ + βv is behind and not ahead; the point ahead is θ - ηβv. With v of the other sign, "
        "θ⁺ = θ + v and v = βv - η∇f(θ + βv), the form is right.",
    )
