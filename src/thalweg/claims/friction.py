"""A ball with friction: leapfrog, its clock, and what no friction or too much of it does."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._methods.aliases import gradient_descent, momentum
from .._methods.method import Method
from .._objectives.objective import Objective
from ..dynamics import HeavyBall
from ..schemes import Leapfrog, Tsit5
from ._experiment import ROUNDING, VALLEY_START, close, final, path, quadratic, shown, steps_to, valley
from ._ledger import Correction, Outcome, claim

MIDDLE = 0.5


@claim(
    "difference-quotients",
    "004.25",
    "The quotient (θ(t + h) - θ(t))/h is in error by O(h) as a velocity at t, and by O(h²) at t + h/2.",
)
def quotients() -> Outcome:
    r"""Orders in h along the exact motion $\theta = e^{-t/2}\cos 2t$, at t = 1: of ratios of errors."""

    def theta(t: float) -> float:
        return float(np.exp(-0.5 * t) * np.cos(2.0 * t))

    def rate(t: float) -> float:
        return float(np.exp(-0.5 * t) * (-0.5 * np.cos(2.0 * t) - 2.0 * np.sin(2.0 * t)))

    measured = []
    for part in (0.0, MIDDLE):
        errors = [abs((theta(1.0 + h) - theta(1.0)) / h - rate(1.0 + part * h)) for h in (2e-3, 1e-3)]
        measured.append(float(np.log2(errors[0] / errors[1])))
    return Outcome(
        *shown("order {:.2f} at t, order {:.2f} half-way", [1.0, 2.0], measured),
        holds=bool(np.all(np.abs(np.subtract(measured, [1.0, 2.0])) < 0.1)),
    )


MAKE: Callable[..., Method] = momentum


@claim("momentum-is-leapfrog", "004.27", "The momentum method is leapfrog integration of the ball with friction.")
def leapfrog() -> Outcome:
    """The loop of kicks at the points and friction half before and half after, against momentum with β and α of it."""
    friction, step, steps = 1.3, 0.12, 50
    x, eta, points = np.array(VALLEY_START), np.zeros(3), []
    for _ in range(steps):
        slope = np.asarray(jax.grad(valley)(jnp.asarray(x)))
        # eta is that of half a step before; friction takes hold of the mean of before and after.
        eta = ((1.0 - 0.5 * friction * step) * eta - step * slope) / (1.0 + 0.5 * friction * step)
        x = x + step * eta
        points.append(x)
    half = 0.5 * friction * step
    found = path(MAKE(valley, step**2 / (1.0 + half), (1.0 - half) / (1.0 + half)), VALLEY_START, steps).position[1:]
    own = path(Method(HeavyBall(valley, friction), Leapfrog(start="zero"), step), VALLEY_START, steps).position[1:]
    apart = max(float(np.abs(points - other).max()) for other in (found, own))
    return Outcome(expected=0.0, measured=apart, holds=apart < ROUNDING)


@claim(
    "momentum-goes-by-the-root",
    "004.28",
    "At equal learning rate and accuracy momentum goes on by √α in time, gradient descent by α: hence it is faster.",
)
def goes_by_the_root() -> Outcome:
    r"""Steps to $10^{-6}$ on a mode of curvature μ at one learning rate α, for αμ = 0.01 and 0.0001.

    Momentum at $\beta = (1 - \sqrt{\alpha\mu})^2$: both roots are $1 - \sqrt{\alpha\mu}$, and the distance from rest is
    $(1 + n(1 - z))z^n$ but for rounding of a double root.
    """
    expected, measured = [], []
    for product in (1e-2, 1e-4):
        z, most = 1.0 - product**0.5, int(20.0 / product)
        n = np.arange(most)
        expected += [steps_to((1.0 - product) ** n, 1e-6), steps_to((1.0 + n * (1.0 - z)) * z**n, 1e-6)]
        for method in (gradient_descent(quadratic(1.0), product), MAKE(quadratic(1.0), product, z**2)):
            distances = np.abs(path(method, 1.0, int(20.0 / product)).position[:, 0])
            measured.append(steps_to(distances, 1e-6))
    return Outcome(
        *shown("{:d} steps and {:d} with momentum at αμ = 0.01, {:d} and {:d} at 0.0001", expected, measured),
        holds=measured[1] < measured[0]
        and measured[3] < measured[2]
        and 5.0 < (measured[2] / measured[3]) / (measured[0] / measured[1]) < 20.0,
    )


@claim(
    "without-friction-it-never-stops",
    "004.31, 004.32, 004.34",
    "Without friction, at β = 1, the motion never stops, however small the learning rate; so λ > 0, β < 1 is needed.",
)
def never_stops() -> Outcome:
    r"""Late distances on a bowl, at most, from 1: for β = 1 $1/\cos(\omega/2)$, $2 - 2\cos\omega = \alpha$."""
    steps, expected, measured = 40_000, [], []
    for rate, beta in ((1e-2, 1.0), (1e-4, 1.0), (1e-2, 0.99)):
        found = path(MAKE(quadratic(1.0), rate, beta), 1.0, steps).position[:, 0]
        measured.append(float(np.abs(found[-steps // 4 :]).max()))
        expected.append(float(1.0 / np.cos(0.5 * np.arccos(1.0 - 0.5 * rate))) if beta == 1.0 else 0.0)
    return Outcome(
        *shown("{:.4f} away at α = 0.01, {:.4f} at 0.0001; {:.4f} at β = 0.99", expected, measured),
        holds=min(measured[:2]) > 0.5 and measured[2] < 1e-6,
    )


FRICTION: Callable[..., Any] = HeavyBall


@claim(
    "too-much-friction-stops-it",
    "004.33",
    "With too much friction the motion stops before it has reached the lowest point.",
)
def too_much() -> Outcome:
    r"""Its place in a bowl of curvature 1 with λ = 50, from rest at 1, by its two roots."""
    friction = 50.0
    root = (friction**2 - 4.0) ** 0.5
    slow, fast = 0.5 * (-friction + root), 0.5 * (-friction - root)
    expected = [float((fast * np.exp(slow * t) - slow * np.exp(fast * t)) / (fast - slow)) for t in (10.0, 1500.0)]
    ball = FRICTION(Objective(lambda x: 0.5 * jnp.sum(x**2)), friction)
    measured = [float(final(Method(ball, Tsit5(), 0.05), 1.0, round(t / 0.05))[0]) for t in (10.0, 1500.0)]
    return Outcome(
        *shown("{:.6f} at t = 10, {:.6f} at t = 1500", expected, measured),
        holds=measured[1] > 0.5,
        correction=Correction(
            "It becomes slow and never stops on a slope: with much friction it is gradient flow at the rate 1/λ, which "
            "reaches the lowest point as exp(-ℓt/λ).",
            holds=close(measured[:1], expected[:1], 1e-5) and measured[1] < 1e-6,
            amends=False,
        ),
    )
