"""Momentum as a filter of the gradients that it is given."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._methods.aliases import gradient_descent, momentum
from .._methods.method import Method
from .._objectives.finite_sum import FiniteSum
from ..schemes import Draws
from ._experiment import ROUNDING, VALLEY_START, close, path, shown, valley
from ._ledger import Correction, Outcome, claim

BETA, RATE = 0.9, 1.0
MAKE: Callable[..., Method] = momentum


@eqx.filter_jit
def _moved(method: Method, count: int) -> Array:
    def step(state: Any, k: Array) -> tuple[Any, Array]:
        after = method.step(state, Draws(batch=k[None]))
        return after, after.position

    return jax.lax.scan(step, method.init(jnp.zeros(())), jnp.arange(count))[1]


def steps_of(make: Callable[..., Method], slopes: np.ndarray) -> np.ndarray:
    """The steps that a method makes of slopes, one after the other, that are the same everywhere."""
    method = make(FiniteSum(lambda x, slope: slope * x, jnp.asarray(slopes)), RATE, BETA)
    points = np.asarray(_moved(method, len(slopes)))
    return -np.diff(points, prepend=0.0)


def by_hand(slopes: np.ndarray) -> np.ndarray:
    """The sums of slopes themselves, with weights that fall."""
    back = np.subtract.outer(np.arange(len(slopes)), np.arange(len(slopes)))
    return np.where(back >= 0, BETA ** np.maximum(back, 0), 0.0) @ slopes


@claim(
    "velocity-is-a-sum-of-gradients",
    "003.10",
    "The velocity is v_t = η Σ γ^(t-i) ∇f(θ_i), i from 1 to t, where θ_i is the point of the i-th gradient.",
)
def sum_of_gradients() -> Outcome:
    """The largest difference from that sum over 60 steps on a coupled function."""
    rate, steps = 0.02, 60
    points = path(MAKE(valley, rate, BETA), VALLEY_START, steps).position
    slopes = np.asarray(jax.vmap(jax.grad(valley))(jnp.asarray(points[:-1])))
    velocities = -np.diff(points, axis=0)
    apart = float(np.abs(velocities - rate * np.stack([by_hand(slopes[:, i]) for i in range(3)], axis=1)).max())
    return Outcome(expected=0.0, measured=apart, holds=apart < ROUNDING)


@claim("velocity-is-an-average", "003.11", "The velocity is an exponentially weighted average of the gradients.")
def average() -> Outcome:
    """The step after 1, 10 and 100 gradients of 1: the sum of the weights, 1 of an average."""
    counts, found = (1, 10, 100), steps_of(MAKE, np.ones(100))
    expected = [(1.0 - BETA**n) / (1.0 - BETA) for n in counts]
    measured = [float(found[n - 1]) for n in counts]
    words = ", ".join(f"{{:.5f}} after {n}" for n in counts)
    return Outcome(
        *shown(f"sum of the weights {words}", expected, measured),
        holds=close(measured, [1.0] * len(counts), 1e-9),
        correction=Correction(
            "A sum with weights that fall: an average times (1 - γ^t)/(1 - γ), which grows to 1/(1 - γ).",
            holds=close(measured, expected, 1e-9),
        ),
    )


@claim(
    "consistent-gradients-accelerate",
    "003.6",
    "With γ about 0.9 momentum accelerates where the gradient is consistent.",
)
def consistent() -> Outcome:
    """The late step of a slope that stays, over that of gradient descent."""
    measured = float(steps_of(MAKE, np.ones(200))[-1]) / RATE
    expected = 1.0 / (1.0 - BETA)
    return Outcome(
        *shown("{:.4f} times the step of gradient descent", [expected], [measured]),
        holds=close(measured, expected, 1e-6) and measured > 2.0,
    )


@claim("oscillations-are-cancelled", "003.7", "Components of the gradient that oscillate are cancelled.")
def cancelled() -> Outcome:
    """The late step of a slope of 1 and -1 in turns, over that of gradient descent; and over that of one that stays."""
    turns = (-1.0) ** np.arange(200)
    measured = [abs(float(steps_of(MAKE, turns)[-1]))]
    measured.append(measured[0] / abs(float(steps_of(MAKE, np.ones(200))[-1])))
    expected = [1.0 / (1.0 + BETA), (1.0 - BETA) / (1.0 + BETA)]
    return Outcome(
        *shown("{:.4f} of the step of gradient descent, {:.4f} of that of a slope that stays", expected, measured),
        holds=measured[0] < 1e-3,
        correction=Correction(
            f"They are about halved, to 1/(1 + γ). Beside components that are consistent, which grow to 1/(1 - γ), "
            f"{measured[1]:.1%} of them is left.",
            holds=close(measured, expected, 1e-6),
        ),
    )


@claim("momentum-is-a-low-pass-filter", "003.12", "Momentum is a low-pass filter of the gradients: it smooths noise.")
def low_pass() -> Outcome:
    r"""The gain $1/|1 - \gamma e^{-i\omega}|$ at three frequencies, and the variance of a step made of white noise.

    The variance follows from the answer to a single gradient, as the sum of its squares.
    """
    frequencies, count = (0.0, 0.5 * np.pi, np.pi), 400
    expected = [1.0 / abs(1.0 - BETA * np.exp(-1j * w)) for w in frequencies]
    single = steps_of(MAKE, np.eye(1, count)[0])
    measured = [float(abs(np.sum(single * np.exp(-1j * w * np.arange(count))))) for w in frequencies]
    expected.append(1.0 / (1.0 - BETA**2))
    measured.append(float(np.sum(single**2)))
    for held in (expected, measured):
        held.append(held[3] / held[0] ** 2)
    falls = measured[0] > measured[1] > measured[2]
    return Outcome(
        *shown(
            "gain {:.3f}, {:.3f} and {:.3f} from the lowest to the highest frequency; variance {:.3f} times that of "
            "the noise, {:.4f} times at one effective rate",
            expected,
            measured,
        ),
        holds=falls and measured[3] < 1.0,
        correction=Correction(
            "It is one, but it damps no noise at the same learning rate: the variance of a step is 1/(1 - γ²) times "
            "that of gradient descent. It is smaller at the same effective rate α/(1 - γ), by (1 - γ)/(1 + γ).",
            holds=falls and close(measured, expected, 1e-6) and measured[4] < 1.0,
        ),
    )


@claim(
    "momentum-moves-on-where-it-is-flat", "003.13", "In flat regions the momentum that was accumulated keeps moving."
)
def moves_on() -> Outcome:
    """The way after the slope has ended, over the last step on it."""
    found = steps_of(MAKE, np.concatenate([np.ones(50), np.zeros(400)]))
    measured, expected = float(np.sum(found[50:]) / found[49]), BETA / (1.0 - BETA)
    return Outcome(
        *shown("{:.4f} last steps further", [expected], [measured]),
        holds=measured > 0.0 and close(measured, expected, 1e-6),
    )


@claim("no-momentum-is-gradient-descent", "003.5", "As γ goes to 0 momentum is plain gradient descent.")
def no_momentum() -> Outcome:
    r"""The distance of 50 steps at γ = 0.02, 0.01 and 0 from gradient descent's: it goes as γ."""
    rate, steps = 0.05, 50

    def by_loop(beta: float) -> np.ndarray:
        x, v, points = np.array(VALLEY_START), np.zeros(3), []
        for _ in range(steps):
            v = beta * v + rate * np.asarray(jax.grad(valley)(jnp.asarray(x)))
            x = x - v
            points.append(x)
        return np.stack(points)

    plain = path(gradient_descent(valley, rate), VALLEY_START, steps).position[1:]
    bare, expected, measured = by_loop(0.0), [], []
    for beta in (0.02, 0.01, 0.0):
        expected.append(float(np.abs(by_loop(beta) - bare).max()))
        found = path(MAKE(valley, rate, beta), VALLEY_START, steps).position[1:]
        measured.append(float(np.abs(found - plain).max()))
    return Outcome(
        *shown("{:.6f}, {:.6f} and {:.0e} away", expected, measured),
        holds=measured[2] < ROUNDING and 1.8 < measured[0] / measured[1] < 2.2,
    )


@claim(
    "lower-the-base-rate",
    "003.16",
    "With momentum the base learning rate should be lowered, because it rescales the gradient.",
)
def lower_the_rate() -> Outcome:
    r"""Late steps of a slope of 1 at the learning rates α and $\alpha(1 - \gamma)$, over gradient descent's at α."""
    late = float(steps_of(MAKE, np.ones(300))[-1])
    measured, expected = [late, late * (1.0 - BETA)], [1.0 / (1.0 - BETA), 1.0]
    return Outcome(
        *shown("{:.4f} at α, {:.4f} at α(1 - γ)", expected, measured),
        holds=close(measured, expected, 1e-6) and measured[0] > 1.5,
    )


def averaging(f: Any, rate: float, beta: float) -> Method:
    """The average v = βv + (1 - β)g, in steps of momentum."""
    return momentum(f, rate * (1.0 - beta), beta)


@claim("zero-start-is-a-bias", "003.17", "The zero at which the velocity begins wants a correction of its bias.")
def bias() -> Outcome:
    """First steps of a slope of 1: of the average, of the average over 1 - γ^t, and of the sum."""
    counts = np.arange(1, 4)
    mean, whole = (steps_of(make, np.ones(3)) for make in (averaging, MAKE))
    corrected = mean / (1.0 - BETA**counts)
    expected = [1.0 - BETA, 1.0 - BETA**2, 1.0, 1.0, 1.0, 1.0 + BETA]
    measured = [float(x) for x in (mean[0], mean[1], corrected[0], corrected[1], whole[0], whole[1])]
    return Outcome(
        *shown(
            "the average {:.3f} and {:.3f}, corrected {:.3f} and {:.3f}, the sum {:.3f} and {:.3f}", expected, measured
        ),
        holds=measured[4] < 0.5,
        correction=Correction(
            "Of the average, whose first step is 1 - γ of the gradient. The sum v = γv + ηg has none to correct: its "
            "first step is that of gradient descent, and it warms up from there.",
            holds=close(measured, expected, 1e-9),
        ),
    )
