"""Rates on functions that are smooth and strongly convex, quadratic or not."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.probe import spectral_radius
from ._experiment import close, path, quadratic, shown, steps_to
from ._ledger import Correction, Outcome, claim

CONDITION, STEPS = 100.0, 300
START = (3.0, -2.0, 1.5)


def bent(x: Any) -> Any:
    r"""A coupled function of curvatures from 1/100 to 1 that is no quadratic, $\mu|x|^2/2 + (L - \mu)\log\cosh$."""
    mu = 1.0 / CONDITION
    turned = jnp.array([0.6 * x[0] + 0.8 * x[1], 0.8 * x[0] - 0.6 * x[1], x[2]])
    weights = jnp.array([1.0, 0.3, 0.02])
    return 0.5 * mu * jnp.sum(x**2) + (1.0 - mu) * jnp.sum(weights * jnp.log(jnp.cosh(turned)))


MAKE = nesterov


def _bent(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Value and slope, by NumPy."""
    mu, turn = 1.0 / CONDITION, np.array([[0.6, 0.8, 0.0], [0.8, -0.6, 0.0], [0.0, 0.0, 1.0]])
    weights, y = np.array([1.0, 0.3, 0.02]), turn @ x
    value = 0.5 * mu * x @ x + (1.0 - mu) * weights @ np.log(np.cosh(y))
    return float(value), mu * x + (1.0 - mu) * turn.T @ (weights * np.tanh(y))


@claim(
    "nesterov-on-strongly-convex",
    "003.34; nesterov2018",
    "For L-smooth, μ-strongly convex f Nesterov's method converges as (1 - √(μ/L))^t.",
)
def strongly_convex() -> Outcome:
    r"""The largest share of $(1 - \sqrt{\mu/L})^t(f_0 - f^\star + \mu|x_0 - x^\star|^2/2)$ that the gap is, κ = 100."""
    root = CONDITION**0.5
    rate, beta = 1.0, (root - 1.0) / (root + 1.0)
    points = path(MAKE(bent, rate, beta), START, STEPS).position
    x, v, by_hand = np.array(START), np.zeros(3), [np.array(START)]
    for _ in range(STEPS):
        v = beta * v - rate * _bent(x + beta * v)[1]
        x = x + v
        by_hand.append(x)
    figures = []
    for found in (by_hand, points):
        gaps = np.array([_bent(np.asarray(one))[0] for one in found])
        whole = gaps[0] + 0.5 / CONDITION * float(np.sum(np.square(START)))
        figures.append(float(np.max(gaps / ((1.0 - 1.0 / root) ** np.arange(STEPS + 1) * whole))))
    return Outcome(*shown("share of the bound {:.6f}", [figures[0]], [figures[1]]), holds=figures[1] <= 1.0)


@claim(
    "momentum-only-linear-in-kappa",
    "003.35; polyak1964, of equation 9; lessard2016, section 4.6",
    "On such functions classical momentum converges only as (1 - μ/L)^t.",
)
def only_linear() -> Outcome:
    r"""Contractions at κ = 100: momentum at its best on quadratics, $(\sqrt\kappa - 1)/(\sqrt\kappa + 1)$; 1 - μ/L."""
    root = CONDITION**0.5
    best = (root - 1.0) / (root + 1.0)
    method = momentum(None, 4.0 / (1.0 + 1.0 / root) ** 2, best**2)
    measured = [float(np.max(spectral_radius(method, np.geomspace(1.0 / CONDITION, 1.0, 30))))]
    measured.append(float(np.max(spectral_radius(ALONE, np.geomspace(1.0 / CONDITION, 1.0, 30)))))
    expected = [best, 1.0 - 1.0 / CONDITION]
    return Outcome(
        *shown("{:.5f} a step with momentum, {:.5f} by 1 - μ/L", expected, measured),
        holds=measured[0] > 0.98,
        correction=Correction(
            "As a guarantee for all such functions: there are some on which these settings do not converge at all "
            "(`heavy-ball-converges`). On quadratics, and near a minimum, momentum contracts by (√κ - 1)/(√κ + 1), "
            "more than Nesterov's method.",
            holds=close(measured, expected, 1e-6) and measured[0] < measured[1],
        ),
    )


ALONE = gradient_descent(None, 1.0)


def best_descent() -> Any:
    """Gradient descent at the learning rate that is best on a quadratic of these curvatures."""
    return gradient_descent(quadratic(1.0 / CONDITION, 1.0), 2.0 / (1.0 + 1.0 / CONDITION))


BEATEN = {"at 1/L": lambda: gradient_descent(quadratic(1.0 / CONDITION, 1.0), 1.0), "at its best": best_descent}


@claim(
    "ninety-percent-or-more",
    "003.9",
    "At a ratio of curvatures of 100 to 1 momentum needs 90 % fewer iterations than gradient descent, or fewer yet.",
)
def ninety_percent() -> Outcome:
    r"""Iterations to $10^{-6}$ of momentum at its best, beside gradient descent at two rates; by closed forms."""
    root = CONDITION**0.5
    best, most = (root - 1.0) / (root + 1.0), 3000
    f = quadratic(1.0 / CONDITION, 1.0)
    ball = momentum(f, 4.0 / (1.0 + 1.0 / root) ** 2, best**2)
    counts = []
    for method in (ball, *(make() for make in BEATEN.values())):
        points = path(method, [1.0, 1.0], most).position
        counts.append(steps_to(np.linalg.norm(points, axis=1), 1e-6))
    n, rate = np.arange(most + 1), 4.0 / (1.0 + 1.0 / root) ** 2
    # Of a double root z, (1 + bn) z^n, whose first step from rest is 1 - rate c.
    ways = [(1.0 + n * ((1.0 - rate * c) / z - 1.0)) * z**n for c, z in ((1.0 / CONDITION, best), (1.0, -best))]
    known = [steps_to(np.linalg.norm(np.stack(ways), axis=0), 1e-6)]
    for alpha in (1.0, 2.0 / (1.0 + 1.0 / CONDITION)):
        factors = np.abs(1.0 - alpha * np.array([1.0 / CONDITION, 1.0]))
        known.append(steps_to(np.linalg.norm(factors[:, None] ** n, axis=0), 1e-6))
    expected, measured = ([*c, 1.0 - c[0] / c[1], 1.0 - c[0] / c[2]] for c in (known, counts))
    return Outcome(
        *shown("{:d} iterations for {:d} at 1/L and {:d} at its best: {:.1%} and {:.1%} fewer", expected, measured),
        holds=min(measured[3:]) >= 0.9,
        correction=Correction(
            "Beside gradient descent at the learning rate 1/L. At its own best one it takes half as many itself, and "
            "momentum saves less.",
            holds=counts == known and measured[3] >= 0.9 > measured[4] > 0.7,
        ),
    )
