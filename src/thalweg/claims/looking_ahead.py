"""The look-ahead of Nesterov's method, and the friction 3/t of its equation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import j1

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from .._methods.probe import stable_limit
from ..dynamics import NesterovFlow
from ..schemes import Tsit5
from ._experiment import VALLEY_START, close, path, quadratic, shown, valley
from ._ledger import Correction, Outcome, claim

BETA = 0.9
MAKE: Callable[..., Method] = nesterov


def _errors(ahead: float) -> float:
    """Of the gradient ahead over that here, as guesses of the next point's: mean of the ratios, by hand."""
    slope = jax.grad(valley)
    x, v, ratios = np.array(VALLEY_START), np.zeros(3), []
    for k in range(60):
        look = x + ahead * v
        guess, here = (np.asarray(slope(jnp.asarray(point))) for point in (look, x))
        v = BETA * v - 0.01 * guess
        x = x + v
        there = np.asarray(slope(jnp.asarray(x)))
        if k:
            ratios.append(np.linalg.norm(guess - there) / np.linalg.norm(here - there))
    return float(np.mean(ratios))


@claim("look-ahead-predicts-the-gradient", "003.28", "Looking ahead predicts the gradient more accurately.")
def predicts() -> Outcome:
    """Its error as a guess of the gradient at the next point, over that of the gradient here: mean over 59 steps."""
    found = path(MAKE(valley, 0.01, BETA), VALLEY_START, 60)
    slopes = np.asarray(jax.vmap(jax.grad(valley))(jnp.asarray(np.concatenate([found.position, found.lookahead]))))
    here, ahead = slopes[:61], slopes[61:]
    ratios = np.linalg.norm(ahead[1:-1] - here[2:], axis=1) / np.linalg.norm(here[1:-1] - here[2:], axis=1)
    expected, measured = _errors(BETA), float(np.mean(ratios))
    return Outcome(
        *shown("{:.4f} of the error", [expected], [measured]), holds=measured < 0.9 and close(measured, expected, 1e-6)
    )


SLOPES: dict[str, float] = {"where it stays": 0.0, "at αℓ = 0.1": 0.1}


@claim(
    "look-ahead-is-a-larger-step",
    "003.61",
    "Looking ahead is a dynamic learning rate: the effective step is larger while gradients agree.",
)
def larger_step() -> Outcome:
    """The way of Nesterov's method over that of momentum in ten steps along one direction, the slope falling or not."""
    expected, measured = [], []
    for curvature in SLOPES.values():
        ways = []
        for ahead in (BETA, 0.0):
            x, v = 0.0, 0.0
            for _ in range(10):
                v = BETA * v + 1.0 - curvature * (x + ahead * v)
                x = x + v
            ways.append(x)
        expected.append(ways[0] / ways[1])

        def f(x: Any, curvature: float = curvature) -> Any:
            return jnp.sum(-x + 0.5 * curvature * x**2)

        ends = [float(path(make(f, 1.0, BETA), 0.0, 10).position[-1, 0]) for make in (MAKE, momentum)]
        measured.append(ends[0] / ends[1])
    words = ", ".join(f"{{:.4f}} {where}" for where in SLOPES)
    return Outcome(
        *shown(f"way over that of momentum {words}", expected, measured),
        holds=min(measured) > 1.01,
        correction=Correction(
            "Where the gradient stays the steps are the same; where it falls along the way, as towards a minimum, "
            "those of Nesterov's method are the shorter.",
            holds=close(measured, expected, 1e-9) and abs(measured[0] - 1.0) < 1e-9 and measured[-1] < 1.0,
            amends=False,
        ),
    )


@claim(
    "nesterov-at-most-of-the-rate",
    "003.46",
    "The learning rate of Nesterov's method should be 80 to 90 % of momentum's.",
)
def most_of_the_rate() -> Outcome:
    r"""The largest stable learning rate over that of momentum, at three momenta: $1/(1 + 2\beta)$."""
    betas = (0.5, 0.9, 0.99)
    expected = [1.0 / (1.0 + 2.0 * beta) for beta in betas]
    measured = [stable_limit(MAKE(None, 0.1, b), 1.0)[1] / stable_limit(momentum(None, 0.1, b), 1.0)[1] for b in betas]
    words = ", ".join(f"{{:.3f}} at β = {beta:g}" for beta in betas)
    return Outcome(
        *shown(f"limit over that of momentum {words}", expected, measured),
        holds=min(measured) > 0.75 and max(measured) < 0.95,
        correction=Correction(
            f"Where the curvature bounds them it is {measured[1]:.0%} at β = 0.9: at 80 % of the largest learning "
            "rate of momentum Nesterov's method diverges. Far below both limits the two go alike at "
            "the same learning rate.",
            holds=close(measured, expected, 1e-6),
            amends=False,
        ),
    )


LAW: Callable[[Any], Any] = NesterovFlow


def _swings() -> tuple[np.ndarray, np.ndarray]:
    r"""Heights of the swings on a bowl of curvature 1: of $2J_1(t)/t$, and along the motion."""
    times = np.linspace(0.0, 80.0, 16_001)
    with np.errstate(invalid="ignore"):
        exact = np.where(times > 0.0, 2.0 * j1(times) / np.maximum(times, 1e-300), 1.0)
    found = path(Method(LAW(quadratic(1.0)), Tsit5(), 0.005), 1.0, 16_000).position[:, 0]
    heights = []
    for x in (exact, found):
        turns = np.flatnonzero(np.diff(np.sign(np.diff(x)))) + 1
        heights.append(np.abs(x[turns]))
    return heights[0], heights[1]


@claim(
    "friction-over-time-damps-more-later",
    "003.53",
    "The friction 3/t allows large oscillations early, and damps more and more later.",
)
def damps_later() -> Outcome:
    """The height of a swing over that of the one before, early and late, on a bowl."""
    expected, measured = ([float(h[1] / h[0]), float(h[20] / h[19])] for h in _swings())
    return Outcome(
        *shown("the second swing {:.3f} of the first, the twenty-first {:.3f} of the twentieth", expected, measured),
        holds=measured[1] < measured[0],
        correction=Correction(
            "The other way round: 3/t is large early and falls, so that a swing loses less and less of its height.",
            holds=close(measured, expected, 1e-3) and measured[0] < measured[1] < 1.0,
            amends=False,
        ),
    )


@claim(
    "nesterov-ode-on-strongly-convex",
    "003.31",
    "Nesterov's equation has the rate O(1/t²) under strongly convex f, in agreement with the discrete method.",
)
def strongly_convex() -> Outcome:
    """The power of t by which f falls at late swings on a bowl, and the contraction of the method with constant β."""
    expected, measured = [], []
    exact, found = _swings()
    for held, h in ((expected, exact), (measured, found)):
        k = np.arange(len(h)) + 1.5
        held.append(float(np.polyfit(np.log(k[8:]), np.log(h[8:] ** 2), 1)[0]))
    root = 0.1
    points = path(MAKE(quadratic(root**2, 1.0), 1.0, (1.0 - root) / (1.0 + root)), [1.0, 0.0], 200).position[:, 0]
    # A double root z leaves (1 + bn) z^n, which two late points tell.
    z = 1.0 - root
    by_hand = [(1.0 + n * ((1.0 - root**2) / z - 1.0)) * z**n for n in (150, 200)]
    expected.append(float((by_hand[1] / by_hand[0]) ** 0.02))
    measured.append(float((points[200] / points[150]) ** 0.02))
    return Outcome(
        *shown("f falls as t^{:.2f}; that of the method by {:.4f} a step", expected, measured),
        holds=abs(measured[0] + 2.0) < 0.2,
        correction=Correction(
            "At least: on a strongly convex quadratic the equation has 1/t³. The discrete method for such functions, "
            "with a constant momentum, converges linearly; its equation has a constant friction.",
            holds=close(measured, expected, 1e-3) and abs(measured[0] + 3.0) < 0.2 and measured[1] < 0.95,
        ),
    )
