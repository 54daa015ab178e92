r"""Rates on functions that are convex and no more: steps to an accuracy, and what an energy proves.

The bowl of all curvatures from 0 to 1 is $f = \tfrac12\int_0^1 x_\ell^2d\ell$, from $x_\ell = 1$. The nodes of
Gauss's rule are its modes, so that f of a method's points, a polynomial in ℓ under the integral, is exact for long.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from scipy.special import j0, j1

from .._methods.aliases import gradient_descent, momentum
from .._methods.method import Method
from ..dynamics import NesterovFlow
from ..schemes import RK4
from ._experiment import close, path, quadratic, shown
from ._ledger import Correction, Outcome, claim
from .nesterov_flow import CURVATURES, START, accelerated

BETA, ACCURACIES, MODES = 0.9, (1e-4, 2.5e-5), 400
Points = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def bowl() -> tuple[np.ndarray, np.ndarray]:
    """Curvatures, and where each starts."""
    nodes, weights = np.polynomial.legendre.leggauss(MODES)
    nodes = 0.5 * (nodes + 1.0)
    return nodes, np.sqrt(0.5 * weights / nodes)


def descent(curvatures: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    return path(gradient_descent(quadratic(*curvatures), 1.0), start, steps).position


def constant(curvatures: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    return path(momentum(quadratic(*curvatures), 1.0, BETA), start, steps).position


def rising(curvatures: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    return np.asarray(accelerated(jnp.asarray(curvatures), jnp.asarray(start), jnp.asarray(1.0), steps))


WAYS: dict[str, tuple[Points, int]] = {
    "gradient descent": (descent, 10_200),
    f"momentum {BETA:g}": (constant, 1_100),
    "momentum k/(k + 3)": (rising, 300),
}


def _values_by_hand(ahead: bool, steps: int) -> np.ndarray:
    """f after each step, by loops over curvatures s² at the midpoints of s, with momentum k/(k + 3) or constant."""
    s = (np.arange(4000) + 0.5) / 4000
    curvatures, x, v, values = s**2, np.ones(4000), np.zeros(4000), []
    for k in range(steps + 1):
        values.append(float(np.mean(s * x**2)))
        if ahead:
            beta = max(k - 1, 0) / (k + 2)
            v = beta * v - curvatures * (x + beta * v)
        else:
            v = BETA * v - curvatures * x
        x = x + v
    return np.array(values)


def _first(values: np.ndarray, accuracy: float) -> int:
    return int(np.argmax(values <= accuracy)) if np.any(values <= accuracy) else -1


@claim(
    "root-of-the-accuracy",
    "003.19; su2016",
    "On convex functions momentum improves the steps to an accuracy ε from O(1/ε) to O(1/√ε).",
)
def root_of_the_accuracy() -> Outcome:
    r"""Steps to two accuracies on the bowl of all curvatures, and the power of 1/ε by which they grow.

    There f of gradient descent is $\tfrac12\int_0^1(1 - \ell)^{2k}d\ell = 1/(4k + 2)$, exactly; the others are expected
    from a loop over other curvatures, by another rule of integration.
    """
    curvatures, start = bowl()
    known = [1.0 / (4.0 * np.arange(10_201) + 2.0), _values_by_hand(False, 1_100), _values_by_hand(True, 300)]
    runs = [0.5 * way(curvatures, start, steps) ** 2 @ curvatures for way, steps in WAYS.values()]
    expected, measured = ([], [])
    for figures, each in ((expected, known), (measured, runs)):
        for values in each:
            counts = [_first(values, accuracy) for accuracy in ACCURACIES]
            figures += [*counts, float(np.log(counts[1] / counts[0]) / np.log(ACCURACIES[0] / ACCURACIES[1]))]
    words = "; ".join(f"{name} {{:d}} and {{:d}}, ε^-{{:.2f}}" for name in WAYS)
    powers = measured[2::3]
    return Outcome(
        *shown(f"steps to ε = {ACCURACIES[0]:g} and {ACCURACIES[1]:g}: {words}", expected, measured),
        holds=abs(powers[0] - 1.0) < 0.05 and abs(powers[1] - 0.5) < 0.05,
        correction=Correction(
            "With a momentum that rises, as k/(k + 3) in Nesterov's method. A constant one takes "
            f"{measured[4] / measured[1]:.2f} of the steps of gradient descent, about 1 - β, and needs O(1/ε) as well.",
            holds=bool(np.max(np.abs(np.subtract(powers, [1.0, 1.0, 0.5]))) < 0.05)
            and bool(np.max(np.abs(np.subtract(measured, expected))) <= 1.0),
        ),
    )


LAW: Callable[..., NesterovFlow] = NesterovFlow
RATES, TIME, STEPS = (1.0, 1.4), 20.0, 100


def _energies_of_steps(rate: float, by_hand: bool) -> np.ndarray:
    r"""$(k + 1)^2s(f_k - f^\star) + 2|z_k - x^\star|^2$, $z_k = \tfrac{k + 2}2y_k - \tfrac k2x_k$, at L = 1."""
    curvatures = CURVATURES / CURVATURES.max()
    if by_hand:
        x, v, points = START.copy(), np.zeros(3), [START]
        for k in range(STEPS + 1):
            ahead = max(k - 1, 0) / (k + 2) * v
            v = ahead - rate * curvatures * (x + ahead)
            x = x + v
            points.append(x)
        x = np.array(points)
    else:
        x = np.asarray(accelerated(jnp.asarray(curvatures), jnp.asarray(START), jnp.asarray(rate), STEPS + 1))
    k = np.arange(STEPS + 1)[:, None]
    moved = np.concatenate([np.zeros((1, 3)), np.diff(x, axis=0)])[: STEPS + 1]
    x = x[: STEPS + 1]
    z = x + 0.5 * np.maximum(k - 1.0, 0.0) * moved
    return np.sum(0.5 * (k + 1) ** 2 * rate * curvatures * x**2 + 2.0 * z**2, axis=1)


@claim(
    "energy-proves-the-rate",
    "003.30; su2016",
    "Lyapunov functions prove the rate of Nesterov's method from its equation.",
)
def energy() -> Outcome:
    r"""$E = t^2(f - f^\star) + 2|x + \tfrac t2x' - x^\star|^2$ falls, so that $f - f^\star \le E(0)/t^2$.

    On a quadratic it is $2\sum x_0^2(J_0^2 + J_1^2)(t\sqrt\ell)$. The method has a function of its own, of which the
    largest rise in a step is shown, and its value after 100 steps; expected from loops.
    """
    t = np.linspace(0.0, TIME, 4001)
    found = path(Method(LAW(quadratic(*CURVATURES)), RK4(), TIME / 4000), START, 4000)
    flow = np.sum(0.5 * t[:, None] ** 2 * CURVATURES * found.position**2, axis=1)
    flow += 2.0 * np.sum((found.position + 0.5 * t[:, None] * found.velocity) ** 2, axis=1)
    phase = np.multiply.outer(t, np.sqrt(CURVATURES))
    exact = 2.0 * (j0(phase) ** 2 + j1(phase) ** 2) @ START**2
    expected, measured, rises = (
        [float(exact[-1] / exact[0])],
        [float(flow[-1] / flow[0])],
        [float(np.max(np.diff(flow)))],
    )
    for rate in RATES:
        for figures, by_hand in ((expected, True), (measured, False)):
            figures.append(float(_energies_of_steps(rate, by_hand)[-1] / _energies_of_steps(rate, by_hand)[0]))
        rises.append(float(np.max(np.diff(_energies_of_steps(rate, False)))))
    words = ", ".join(f"{{:.5g}} at αL = {rate:g}" for rate in RATES)
    return Outcome(
        *shown(
            f"E at t = {TIME:g} over its start {{:.5f}}; that of the method after {STEPS} steps {words}",
            expected,
            measured,
        ),
        holds=max(rises) < 1e-9,
        correction=Correction(
            "That of the equation, f - f* ≤ 2|x₀ - x*|²/t². For the method it takes a function of the steps, "
            f"and a learning rate up to 1/L: that one falls at αL = {RATES[0]:g}, and at {RATES[1]:g}, of which the "
            "equation knows nothing, the method diverges [su2016].",
            holds=max(rises[:2]) < 1e-9 and rises[2] > 1.0 and close(measured, expected, 1e-6),
        ),
    )
