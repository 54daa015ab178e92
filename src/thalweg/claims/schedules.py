"""Schedules of learning rate and batch against constant settings, at as many gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._methods.aliases import gradient_descent
from .._methods.method import Method
from ..analysis import transient_covariance, transient_mean
from ..dynamics import GradientFlow
from ..schemes import RK4
from ._experiment import close, path, quadratic, shown, steps_to
from ._ledger import Correction, Outcome, claim
from .runge_kutta import best_step, factor

CURVATURES, START = np.array([0.05, 0.3, 1.0]), 10.0


class Phase(NamedTuple):
    """So many steps at a learning rate, with batches of a size."""

    rate: float
    batch: float
    steps: int


def by_hand(phases: list[Phase], noise: float, rk4: bool = False) -> float:
    r"""The mean loss: $m^+ = R^2m + \alpha^2\phi^2C/B$ in each direction, $R = 1 - \alpha\ell\phi$; of Euler φ = 1."""
    m = np.full(CURVATURES.size, START**2)
    for rate, batch, steps in phases:
        shrunk = factor("RK4" if rk4 else "Euler", rate * CURVATURES)
        push = ((1.0 - shrunk) / CURVATURES) ** 2 * noise**2 / batch
        left = shrunk ** (2 * steps)
        m = left * m + push * (1.0 - left) / (1.0 - shrunk**2)
    return float(0.5 * np.sum(CURVATURES * m))


SGD: Callable[[float], Method] = lambda rate: gradient_descent(None, rate)  # noqa: E731


def by_steps(phases: list[Phase], noise: float, make: Callable[[float], Method] | None = None) -> float:
    """The same from the steps of the method itself, mean and covariance carried from phase to phase."""
    hessian, mean, spread = np.diag(CURVATURES), np.full(CURVATURES.size, START), np.zeros((CURVATURES.size,) * 2)
    for rate, batch, steps in phases:
        method: Any = (make or SGD)(rate)
        mean = np.asarray(transient_mean(method, hessian, steps, mean))
        spread = np.asarray(transient_covariance(method, hessian, steps, noise**2 / batch, start=spread))
    return float(0.5 * np.sum(CURVATURES * (mean**2 + np.diag(spread))))


def _flow(rate: float) -> Method:
    return Method(GradientFlow(None), RK4(), rate)


ROUND, CONDITION, GRADIENTS = 8, 100.0, 4000


def rounds() -> np.ndarray:
    """Learning rates that are 1 over the roots of Chebyshev's polynomial on [1/κ, 1], every other from either end."""
    middle, half = 0.5 * (1.0 + 1.0 / CONDITION), 0.5 * (1.0 - 1.0 / CONDITION)
    roots = middle + half * np.cos(np.pi * (np.arange(ROUND) + 0.5) / ROUND)
    order = np.stack([np.arange(ROUND // 2), np.arange(ROUND)[::-1][: ROUND // 2]], axis=1).ravel()
    return 1.0 / roots[order]


def falling(gradients: int) -> list[Phase]:
    """Stages of as many gradients each, of a rate that falls four times from one to the next."""
    return [Phase(4.0**-j, 1.0, gradients // 5) for j in range(5)]


SCHEDULES: Callable[[], np.ndarray] = rounds


@claim(
    "schedules-before-accuracy",
    "001.14",
    "Better than Runge-Kutta methods are schedules of the learning rate: stability and speed go before accuracy.",
)
def before_accuracy() -> Outcome:
    r"""Gradients to $10^{-6}$ at κ = 100; and the mean loss after 4000 gradients in noise, on three curvatures.

    Each constant setting is the best one: the step that shrinks the slowest mode most, the rate of a grid of least
    loss. RK4 is given as many samples, in batches of 4 that serve all gradients of a step: four times the gradients.
    """
    spectrum, most = np.geomspace(1.0 / CONDITION, 1.0, 20), 1200
    table, n = SCHEDULES(), np.arange(most)
    expected, measured = [], []
    step = best_step(lambda z: factor("RK4", z), spectrum)
    constant = 2.0 / (1.0 + 1.0 / CONDITION)
    f, start = quadratic(*spectrum), np.ones(spectrum.size)
    rates = table[n % table.size][:, None]
    for factors, method, each in (
        (1.0 - rates * spectrum, gradient_descent(f, lambda i: jnp.asarray(table)[jnp.asarray(i) % table.size]), 1),
        (np.tile(1.0 - constant * spectrum, (most, 1)), gradient_descent(f, constant), 1),
        (np.tile(factor("RK4", step * spectrum), (most, 1)), Method(GradientFlow(f), RK4(), step), 4),
    ):
        ways = np.concatenate([np.ones((1, spectrum.size)), np.cumprod(factors, axis=0)])
        expected.append(each * steps_to(np.linalg.norm(ways, axis=1), 1e-6))
        measured.append(each * steps_to(np.linalg.norm(path(method, start, most).position, axis=1), 1e-6))
    grid = 2.0 ** -np.arange(9)
    for held, way in ((expected, by_hand), (measured, by_steps)):
        plain = min(way([Phase(rate, 1.0, GRADIENTS)], 1.0) for rate in grid)
        stages = [[Phase(2.0 * rate, 4.0, GRADIENTS // 4)] for rate in grid]
        held += [way(falling(GRADIENTS), 1.0), plain]
        held.append(min(by_hand(one, 1.0, True) if way is by_hand else by_steps(one, 1.0, _flow) for one in stages))
    return Outcome(
        *shown(
            "{:d} gradients by a schedule, {:d} at a constant rate, {:d} by RK4; in noise a loss of {:.5f} by a "
            "schedule, {:.5f} at a constant rate, {:.5f} by RK4",
            expected,
            measured,
        ),
        holds=measured[:3] == expected[:3]
        and close(measured[3:], expected[3:], 1e-6)
        and measured[0] < min(measured[1:3])
        and measured[3] < min(measured[4:])
        and bool(table.max() > 2.0),
    )


FIRST, STAGES, SAMPLES, NOISES = 4.0, 4, 2000, {"in noise": 1.0, "almost without": 0.001}


def growing() -> list[Phase]:
    """Batches four times as large from stage to stage, of as many samples each."""
    return [Phase(1.0, FIRST * 4.0**j, int(SAMPLES / STAGES / FIRST / 4**j)) for j in range(STAGES)]


def decaying() -> list[Phase]:
    """Rates four times as small from stage to stage."""
    return [Phase(4.0**-j, FIRST, int(SAMPLES / STAGES / FIRST)) for j in range(STAGES)]


@claim(
    "small-batch-and-large-rate-first",
    "004.16; smith2018",
    "Begin with small batches and a large learning rate, then let the batch grow or the rate decay.",
)
def large_rate_first() -> Outcome:
    """The mean loss after 2000 samples over that of the best of 50 constant settings, on three curvatures."""
    constant = [Phase(2.0**-j, FIRST * 4.0**k, int(SAMPLES / FIRST / 4**k)) for j in range(10) for k in range(5)]
    expected, measured = [], []
    for noise in NOISES.values():
        for held, way in ((expected, by_hand), (measured, by_steps)):
            best = min(way([one], noise) for one in constant)
            held += [way(growing(), noise) / best, way(decaying(), noise) / best]
    words = ", ".join(f"{{:.4g}} and {{:.4g}} {name}" for name in NOISES)
    agree = close(measured, expected, 1e-6)
    return Outcome(
        *shown(f"loss over that of the best constant setting, by growth and by decay: {words}", expected, measured),
        holds=agree and max(measured) < 1.0,
        correction=Correction(
            "Where the noise sets the loss in the end. Where the way to the minimum does, a large rate and small "
            "batches all the time are better.",
            holds=agree and max(measured[:2]) < 1.0 < min(measured[2:]),
        ),
    )


SIZES = tuple(FIRST * 2.0**j for j in range(9))


@claim(
    "growth-of-the-batch-stops-paying",
    "004.17, 004.51",
    "A larger batch costs more gradients, so that its growth stops at some size.",
)
def stops_paying() -> Outcome:
    """The loss after 4000 samples, half of them in batches of 4, the rest in batches of B, by B; three curvatures."""
    expected, measured = [], []
    for held, way in ((expected, by_hand), (measured, by_steps)):
        losses = [way([Phase(1.0, FIRST, 500), Phase(1.0, b, round(2000 / b))], 1.0) for b in SIZES]
        best = int(np.argmin(losses))
        held += [SIZES[best], losses[best], losses[0], losses[-1]]
    return Outcome(
        *shown(
            f"the best batch is {{:g}}, a loss of {{:.5f}}; {{:.5f}} at {SIZES[0]:g}, {{:.5f}} at {SIZES[-1]:g}",
            expected,
            measured,
        ),
        holds=close(measured, expected, 1e-6) and SIZES[0] < measured[0] < SIZES[-1],
    )
