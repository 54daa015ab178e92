"""Nesterov's method as it is written down, taken at its word."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from .._methods.aliases import nesterov
from .._methods.stationary import stationary_covariance
from ._experiment import ROUNDING, VALLEY_START, close, path, quadratic, shown, valley
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


STORED = BETA


@claim(
    "frameworks-form",
    "004.43",
    "Frameworks write Nesterov's method in Θ = θ + βv, as v⁺ = βv - α∇f(Θ) and Θ⁺ = Θ + βv⁺ - α∇f(Θ).",
)
def frameworks_form() -> Outcome:
    """The largest distance of this loop from the points ahead of Nesterov's method, over 60 steps on a coupled f."""
    rate, x, v, points = 0.02, np.array(VALLEY_START), np.zeros(3), [np.array(VALLEY_START)]
    for _ in range(STEPS):
        slope = np.asarray(jax.grad(valley)(jnp.asarray(x)))
        v = BETA * v - rate * slope
        x = x + STORED * v - rate * slope
        points.append(x)
    apart = float(np.abs(points - path(nesterov(valley, rate, BETA), VALLEY_START, STEPS).lookahead).max())
    return Outcome(expected=0.0, measured=apart, holds=apart < ROUNDING)


AHEAD = 0.9


@claim("stored-point-is-the-iterate", "004.44", "Θ and θ become equal in the end, since v goes to 0.")
def stored_point() -> Outcome:
    """Their distance after 600 exact steps on a coupled f, and the ratio of their variances in noise, on a bowl."""
    points = path(nesterov(valley, 0.05, AHEAD), VALLEY_START, 600)
    apart, rate = float(np.abs(points.lookahead - points.position)[-1].max()), 0.1
    kept = AHEAD * (1.0 - rate)
    step, push = np.array([[1.0 - rate, kept], [-rate, kept]]), np.array([[-rate], [-rate]])
    covariance = solve_discrete_lyapunov(step, push @ push.T)
    look = np.array([1.0, AHEAD])
    expected = float(look @ covariance @ look / covariance[0, 0])
    ahead, own = (
        float(np.squeeze(stationary_covariance(nesterov(None, rate, AHEAD), 1.0, 1.0, of=of)))
        for of in ("lookahead", "position")
    )
    return Outcome(
        *shown(
            "{:.0e} apart without noise; variance of Θ over that of θ {:.5f}", [0.0, expected], [apart, ahead / own]
        ),
        holds=apart < 1e-9 and abs(ahead / own - 1.0) < 1e-3,
        correction=Correction(
            "Without noise. In that of mini-batches v does not go to 0, and the two settle to different laws.",
            holds=apart < 1e-9 and close(ahead / own, expected, 1e-9),
        ),
    )
