"""Rates of momentum and of Nesterov's method on quadratics, and where they say nothing."""

from collections.abc import Callable
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.method import Method
from .._methods.probe import spectral_radius
from ..dynamics import HeavyBall
from ..schemes import RK4
from ._experiment import close, modulus, path, quadratic, shown, steps_to
from ._ledger import Correction, Outcome, claim

CONDITION = 100.0
ROOT = CONDITION**0.5
_SPECTRUM = np.geomspace(1.0 / CONDITION, 1.0, 40)
# The best settings on a quadratic whose curvatures fill [1/κ, 1]: each makes the roots of its extreme modes meet.
BEST_DESCENT = 2.0 / (1.0 + 1.0 / CONDITION)
BEST_BALL = ((2.0 / (1.0 + 1.0 / ROOT)) ** 2, ((ROOT - 1.0) / (ROOT + 1.0)) ** 2)
_WIDE = (3.0 * CONDITION + 1.0) ** 0.5
BEST_NESTEROV = (4.0 / (3.0 + 1.0 / CONDITION), (_WIDE - 2.0) / (_WIDE + 2.0))
TEXTBOOK_NESTEROV = (1.0, (ROOT - 1.0) / (ROOT + 1.0))


_TWICE = f"at κ = {CONDITION:g}: {{:.6f}} from the matrix, {{:.6f}} from the run"


def _radius(make: Callable[..., Method], rate: float, beta: float) -> float:
    """Contraction of the slowest mode in a step, from the matrices of the step itself."""
    return float(np.max(spectral_radius(make(None, rate, beta), _SPECTRUM)))


def _ran(make: Callable[..., Method], rate: float, beta: float) -> float:
    """The same from a run of the modes at the two ends."""
    positions = path(make(quadratic(1.0 / CONDITION, 1.0), rate, beta), np.ones(2), 20).position
    return max(modulus(positions[:, 0]), modulus(positions[:, 1]))


def _beats_neighbours(make: Callable[..., Method], rate: float, beta: float) -> bool:
    best = _radius(make, rate, beta)
    near = [(rate * (1 + i), 1 - (1 - beta) * (1 + j)) for i in (-0.02, 0, 0.02) for j in (-0.02, 0, 0.02) if i or j]
    return all(_radius(make, a, b) > best for a, b in near)


@claim(
    "heavy-ball-rate",
    "polyak1964, of equation 9",
    "Momentum contracts a quadratic of condition number κ by (√κ - 1)/(√κ + 1) a step at best.",
)
def heavy_ball_rate() -> Outcome:
    r"""At $\alpha = 4/(\sqrt L+\sqrt\mu)^2$ and β the square of that rate, every mode has $|z| = \sqrt\beta$."""
    expected, measured = (ROOT - 1.0) / (ROOT + 1.0), [_radius(momentum, *BEST_BALL), _ran(momentum, *BEST_BALL)]
    return Outcome(
        *shown(_TWICE, [expected, expected], measured),
        holds=close(measured, expected, 1e-6) and _beats_neighbours(momentum, *BEST_BALL),
    )


@claim(
    "nesterov-rate",
    "003.78; lessard2016, proposition 1",
    "Nesterov's method with α = 1/L and β = (√κ - 1)/(√κ + 1) contracts a quadratic by 1 - 1/√κ a step.",
)
def nesterov_rate() -> Outcome:
    r"""The slowest mode has a double root: $\beta(1-1/\kappa) = (1-1/\sqrt\kappa)^2$."""
    expected, measured = 1.0 - 1.0 / ROOT, [_radius(nesterov, *TEXTBOOK_NESTEROV), _ran(nesterov, *TEXTBOOK_NESTEROV)]
    return Outcome(
        *shown(_TWICE, [expected, expected], measured),
        holds=close(measured, expected, 1e-6),
    )


@claim(
    "nesterov-faster-than-momentum",
    "003.29, 004.45; often said, without a setting",
    "Nesterov's method converges faster than momentum.",
)
def nesterov_faster() -> Outcome:
    r"""On a quadratic, each at its best: $1 - 2/\sqrt{3\kappa+1}$ against $(\sqrt\kappa-1)/(\sqrt\kappa+1)$."""
    expected = [1.0 - 2.0 / _WIDE, (ROOT - 1.0) / (ROOT + 1.0)]
    measured = [_radius(nesterov, *BEST_NESTEROV), _radius(momentum, *BEST_BALL)]
    tuned = _beats_neighbours(nesterov, *BEST_NESTEROV) and _beats_neighbours(momentum, *BEST_BALL)
    return Outcome(
        *shown(f"at κ = {CONDITION:g}: Nesterov {{:.6f}}, momentum {{:.6f}}", expected, measured),
        holds=measured[0] < measured[1],
        correction=Correction(
            f"On quadratics momentum at its best is the faster, {measured[1]:.3f} against {measured[0]:.3f} a step at "
            f"κ = {CONDITION:g}; what Nesterov's method has is a guarantee on every smooth, "
            "strongly convex function [lessard2016].",
            holds=close(measured, expected, 1e-6) and tuned,
            amends=False,
        ),
    )


def _double_root(root: float, first: float, steps: int) -> np.ndarray:
    r"""$(1 + cn)z^n$ with the second value given, in a form that does not underflow before it must."""
    n = np.arange(steps + 1)
    return (1.0 + (first / root - 1.0) * n) * np.power(root, n)


@claim(
    "ninety-percent-fewer",
    "003.8, 001.12, 003.78",
    "At condition number 100 momentum needs 90 % fewer iterations than gradient descent.",
)
def ninety_percent() -> Outcome:
    r"""Iterations to a relative distance, both at their best; momentum's modes are $(1 + cn)(\pm\sqrt\beta)^n$.

    In the limit the ratio is that of $\ln\frac{\kappa-1}{\kappa+1}$ to $\ln\frac{\sqrt\kappa-1}{\sqrt\kappa+1}$.
    """
    start, slack = np.array([1.0, 1.0]), 24000
    f = quadratic(1.0 / CONDITION, 1.0)
    methods = [gradient_descent(f, BEST_DESCENT), momentum(f, *BEST_BALL), nesterov(f, *BEST_NESTEROV)]
    ran = [np.linalg.norm(path(method, start, slack).position, axis=1) for method in methods]
    rate, root = BEST_BALL[0], BEST_BALL[1] ** 0.5
    modes = [_double_root(root, 1.0 - rate / CONDITION, slack), _double_root(-root, 1.0 - rate, slack)]
    contraction = (CONDITION - 1.0) / (CONDITION + 1.0)
    predicted = [np.power(contraction, np.arange(slack + 1)), np.linalg.norm(modes, axis=0)]
    asymptotic = 1.0 - float(np.log(contraction) / np.log(root))

    def saved(distances: list[np.ndarray], tolerance: float, method: int = 1) -> float:
        return 1.0 - steps_to(distances[method], tolerance) / steps_to(distances[0], tolerance)

    near, far, ahead = saved(ran, 1e-6), saved(ran, 1e-140), saved(ran, 1e-6, method=2)
    counts, counts_predicted = ([steps_to(distances, 1e-6) for distances in runs[1::-1]] for runs in (ran, predicted))
    return Outcome(
        *shown(
            "{} steps against {} to 1e-6: {:.1%} fewer; {:.1%} fewer to 1e-140",
            [*counts_predicted, saved(predicted, 1e-6), saved(predicted, 1e-140)],
            [*counts, near, far],
        ),
        holds=near >= 0.90,
        correction=Correction(
            f"{near:.0%} fewer to a relative distance of 1e-6, both tuned best (Nesterov's method {ahead:.0%}); the "
            f"ratio of the rates, {asymptotic:.1%}, is reached only in the limit [polyak1964].",
            holds=counts == counts_predicted and near > 0.8 and abs(far - asymptotic) < 0.005,
        ),
    )


def _kinked(x: Float[Array, " 1"]) -> Float[Array, ""]:
    """Strongly convex with μ = 1, smooth with L = 25: the slope is 25x, then x + 24, then 25x - 24."""
    return jnp.sum(
        jnp.where(
            x < 1.0, 12.5 * x * x, jnp.where(x < 2.0, 0.5 * x * x + 24.0 * x - 12.0, 12.5 * x * x - 24.0 * x + 36.0)
        )
    )


def _cycle(rate: Fraction, beta: Fraction) -> list[float]:
    """The three points p < 1, q < 1, r ≥ 2 that momentum visits for ever: a linear system, solved exactly.

    x⁺ = x - α(25x - c) + β(x - x⁻), with c = 24 at r alone.
    """
    turn = 1 - 25 * rate + beta
    # p = turn r + 24 α - β q, q = turn p - β r, r = turn q - β p; the last two give p and q in terms of r.
    p_over_r = (1 + turn * beta) / (turn * turn - beta)
    q_over_r = turn * p_over_r - beta
    r = 24 * rate / (p_over_r - turn + beta * q_over_r)
    return [float(p_over_r * r), float(q_over_r * r), float(r)]


@claim(
    "heavy-ball-converges",
    "polyak1964, on quadratics and near a minimum; often repeated of all strongly convex functions",
    "Momentum with the settings that are best on quadratics converges on every smooth, strongly convex function.",
)
def heavy_ball_converges() -> Outcome:
    """One function with μ = 1 and L = 25, from x = 3.3 at rest."""
    rate, beta = Fraction(1, 9), Fraction(4, 9)
    ball = path(momentum(_kinked, float(rate), float(beta)), 3.3, 3000).position[-3:, 0]
    ahead = float(path(nesterov(_kinked, 1 / 25, 2 / 3), 3.3, 3000).position[-1, 0])
    descent = float(path(gradient_descent(_kinked, 2 / 26), 3.3, 3000).position[-1, 0])
    expected, measured = sorted(_cycle(rate, beta)), sorted(ball.tolist())
    return Outcome(
        *shown("at the end of 3000 steps {:.6f}, {:.6f}, {:.6f}", expected, measured),
        holds=max(abs(x) for x in measured) < 1e-6,
        correction=Correction(
            "It can cycle: from 3.3 it visits "
            + ", ".join(f"{x:.3f}" for x in measured)
            + " for ever, where gradient descent and Nesterov's method reach the minimum at 0 [lessard2016].",
            holds=close(measured, expected, 1e-9) and abs(ahead) < 1e-6 and abs(descent) < 1e-6,
            amends=False,
        ),
    )


@claim(
    "best-constant-friction",
    "003.32; shi2022, introduction, of the low-resolution equation",
    "Of all constant frictions 2√μ makes the heavy ball converge fastest on quadratics, as exp(-√μ t).",
)
def best_constant_friction() -> Outcome:
    r"""A mode decays at $\lambda/2$ where it oscillates, at $\lambda/2 - \sqrt{\lambda^2/4-\ell}$ where it does not.

    Measured as $-\ln\rho/h$ of RK4 at a small step.
    """
    frictions, step = np.linspace(0.5, 4.0, 36), 0.02  # in units of √μ, with μ = 1
    curvatures = np.geomspace(1.0, CONDITION, 20)
    rates = [
        -float(np.log(np.max(spectral_radius(Method(HeavyBall(None, friction), RK4(), step), curvatures)))) / step
        for friction in frictions
    ]
    predicted = frictions / 2.0 - np.sqrt(np.maximum(frictions**2 / 4.0 - 1.0, 0.0))
    expected = [float(frictions[np.argmax(predicted)]), float(np.max(predicted))]
    measured = [float(frictions[np.argmax(rates)]), max(rates)]
    return Outcome(
        *shown("fastest at {:.2f} √μ, as exp(-{:.4f} √μ t)", expected, measured),
        holds=close(measured, [2.0, 1.0], 1e-3) and close(rates, predicted.tolist(), 1e-3),
    )
