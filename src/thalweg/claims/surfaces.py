"""Momentum 0.9 and 0.99 on surfaces that are rough or smooth, in what may be meant by it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._methods.aliases import momentum
from .._methods.probe import spectral_radius
from .._objectives.objective import Objective
from ..analysis import transient_covariance
from ._experiment import boundary, close, path, quadratic, shown
from ._ledger import Correction, Outcome, claim

BETAS = (0.9, 0.99)
# A bowl with noise in the gradient and without, and another with ripples and without.
RATE, NOISE, STEPS, CURVATURES = 0.1, 1e-2, 1000, np.geomspace(1e-3, 1.0, 7)
SLOW, RIPPLE, WAVE, LONG, STARTS = 0.01, 0.05, 5.0, 3000, np.linspace(2.0, 10.0, 33)


def _noisy_by_hand(beta: float, noise: float) -> float:
    """The mean of f after the steps: modes and their covariances, step by step."""
    total = 0.0
    for curvature in CURVATURES:
        matrix = np.array([[1.0 - RATE * curvature, beta], [-RATE * curvature, beta]])
        mean, spread = np.array([1.0, 0.0]), np.zeros((2, 2))
        for _ in range(STEPS):
            mean, spread = matrix @ mean, matrix @ spread @ matrix.T + RATE**2 * noise
        total += float(0.5 * curvature * (mean[0] ** 2 + spread[0, 0]))
    return total


def _noisy(beta: float, noise: float) -> float:
    f = quadratic(*CURVATURES)
    mean = path(momentum(f, RATE, beta), np.ones(CURVATURES.size), STEPS).position[-1]
    value = 0.5 * float(mean**2 @ CURVATURES)
    if noise:
        size = np.eye(CURVATURES.size) * noise
        spread: Any = transient_covariance(momentum(None, RATE, beta), np.diag(CURVATURES), STEPS, size)
        value += 0.5 * float(np.diag(spread) @ CURVATURES)
    return value


def _rippled_by_hand(beta: float, height: float) -> float:
    x, v = STARTS.copy(), np.zeros(STARTS.size)
    for _ in range(LONG):
        v = beta * v - SLOW * (0.1 * x + height * WAVE * np.sin(WAVE * x))
        x = x + v
    return float(np.mean(0.05 * x**2 + height * (1.0 - np.cos(WAVE * x))))


def _rippled(beta: float, height: float) -> float:
    def f(x: Any) -> Any:
        return jnp.sum(0.05 * x**2 + height * (1.0 - jnp.cos(WAVE * x)))

    ends = path(momentum(Objective(f), SLOW, beta), STARTS, LONG).position[-1]
    return float(np.mean(jax.vmap(f)(jnp.asarray(ends))))


def _flattest(beta: float) -> float:
    r"""The condition number up to which each mode contracts by $\sqrt\beta$, at $\alpha L = (1 + \sqrt\beta)^2$."""
    method = momentum(None, (1.0 + beta**0.5) ** 2, beta)

    def contracts(logs: np.ndarray) -> np.ndarray:
        return np.asarray(spectral_radius(method, 10.0**-logs)) < beta**0.5 + 1e-9

    return float(10.0 ** boundary(contracts, 1.0, 8.0))


READINGS = {"noise": (_noisy_by_hand, _noisy, NOISE), "ripples": (_rippled_by_hand, _rippled, RIPPLE)}


@claim("rough-or-smooth-momentum", "003.45", "On a rough surface take γ = 0.9, on a smooth one γ = 0.99.")
def rough_or_smooth() -> Outcome:
    r"""Mean of f at the end with both momenta, with noise in the gradient or ripples, and without; and by curvature.

    On a bowl each momentum is the best for one condition number, $\kappa = ((1 + \sqrt\beta)/(1 - \sqrt\beta))^2$.
    Expected of the rest are loops in NumPy.
    """
    expected = [((1.0 + beta**0.5) / (1.0 - beta**0.5)) ** 2 for beta in BETAS]
    measured = [_flattest(beta) for beta in BETAS]
    suits = []
    for by_hand, by_method, size in READINGS.values():
        rough, smooth = ([by_method(beta, much) for beta in BETAS] for much in (size, 0.0))
        expected += [by_hand(beta, much) for much in (size, 0.0) for beta in BETAS]
        measured += [*rough, *smooth]
        suits.append((rough[0] < rough[1], smooth[1] < smooth[0]))
    words = "; ".join(f"{name} {{:.4g}} and {{:.4g}}, without {{:.4g}} and {{:.4g}}" for name in READINGS)
    return Outcome(
        *shown(f"best at κ = {{:.5g}} and {{:.6g}}; f with {words}", expected, measured),
        holds=all(all(pair) for pair in suits),
        correction=Correction(
            f"Where rough means noise in the gradient, which α/(1 - β) multiplies. Over ripples of the surface it is "
            f"{BETAS[1]:g} that goes lower; and by curvature the best is ((√κ - 1)/(√κ + 1))², {BETAS[0]:g} at "
            f"κ = {measured[0]:,.0f} and {BETAS[1]:g} at {measured[1]:,.0f}.",
            holds=close(measured[:-2], expected[:-2], 1e-3) and all(suits[0]) and not suits[-1][0],
        ),
    )
