"""Points where a motion can rest: which of them hold it, and where it ends."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import fsolve

from .._methods.method import Method
from ..dynamics import AbstractDynamics, Field, GradientFlow, HeavyBall
from ..schemes import RK4, Leapfrog, Tsit5
from ._experiment import close, final, shown
from ._ledger import Correction, Outcome, claim

TILT, COUNT, STEP = 3.0, 400, 0.004


def landscape(x: Any) -> Any:
    """Himmelblau's four valleys, tilted, so that one is the lowest; two coordinates."""
    return (x[0] ** 2 + x[1] - 11.0) ** 2 + (x[0] + x[1] ** 2 - 7.0) ** 2 + TILT * x[0]


def _slope(x: np.ndarray) -> np.ndarray:
    a, b = x[0] ** 2 + x[1] - 11.0, x[0] + x[1] ** 2 - 7.0
    return np.array([4.0 * x[0] * a + 2.0 * b + TILT, 2.0 * a + 4.0 * x[1] * b])


def _curvature(x: np.ndarray) -> np.ndarray:
    mixed = 4.0 * (x[0] + x[1])
    return np.array([[12.0 * x[0] ** 2 + 4.0 * x[1] - 42.0, mixed], [mixed, 12.0 * x[1] ** 2 + 4.0 * x[0] - 26.0]])


@functools.cache
def stationary_points() -> np.ndarray:
    """All points of no slope, (points, 2), by Newton's method from a grid."""
    found: list[np.ndarray] = []
    for start in np.stack(np.meshgrid(np.linspace(-5, 5, 21), np.linspace(-5, 5, 21)), axis=-1).reshape(-1, 2):
        x, _, ended, _ = fsolve(_slope, start, fprime=_curvature, full_output=True, xtol=1e-13)
        if ended == 1 and np.abs(_slope(x)).max() < 1e-8 and all(np.abs(x - y).max() > 1e-5 for y in found):
            found.append(x)
    return np.stack(found)


MOTIONS: dict[str, Callable[[Any], AbstractDynamics]] = {
    "the flow": GradientFlow,
    "the ball": lambda f: HeavyBall(f, 1.0),
}


def _ends(law: AbstractDynamics, starts: np.ndarray, steps: int) -> np.ndarray:
    method = Method(law, RK4() if law.order == 1 else Leapfrog(), STEP)
    return np.asarray(_followed(method, jnp.asarray(starts), steps))


@eqx.filter_jit
def _followed(method: Method, starts: Array, steps: int) -> Array:
    def one(x: Array) -> Array:
        return jax.lax.fori_loop(0, steps, lambda _, state: method.step(state), method.init(x)).position

    return jax.vmap(one)(starts)


@claim(
    "stable-points-are-minima",
    "004.3, 004.4, 004.22",
    "Gradient descent and the second-order system can come to rest; the stable points are the minima, local ones too.",
)
def stable_points() -> Outcome:
    """The stationary points of a landscape to which a motion comes back from 0.001 beside them, by their curvatures."""
    points = stationary_points()
    minima = np.array([np.linalg.eigvalsh(_curvature(x)).min() > 0.0 for x in points])
    heights = np.array([float(landscape(x)) for x in points])
    measured: list[Any] = []
    for make in MOTIONS.values():
        back = _ends(make(landscape), points + np.array([8e-4, 6e-4]), 20_000)
        held = np.abs(back - points).max(axis=1) < 1e-4
        measured += [int(held.sum()), int(np.sum(held & minima)), int(np.sum(held & (heights > heights.min() + 1e-6)))]
    expected = [int(minima.sum()), int(minima.sum()), int(minima.sum()) - 1] * 2
    return Outcome(
        *shown(
            f"of {len(points)} points the flow comes back to {{:d}}, {{:d}} of them minima, {{:d}} not the lowest; the "
            "ball to {:d}, {:d}, {:d}",
            expected,
            measured,
        ),
        holds=measured == expected,
    )


STEPS = 8000


def _starts() -> np.ndarray:
    return np.random.default_rng(0).uniform(-5.0, 5.0, size=(COUNT, 2))


def _where(ends: np.ndarray) -> np.ndarray:
    """The stationary point that each has come to, by number; -1 of one on a slope."""
    away = np.abs(ends[:, None] - stationary_points()[None]).max(axis=-1)
    return np.where(away.min(axis=1) < 1e-3, away.argmin(axis=1), -1)


@claim(
    "ball-stops-in-valleys",
    "004.24",
    "A ball that stops can stop in a valley, with low probability at a top or a saddle, never on a slope.",
)
def not_on_a_slope() -> Outcome:
    """Of 400 random starts at rest: how many end in a valley, at another stationary point, and on a slope."""
    points = stationary_points()
    minima = np.array([np.linalg.eigvalsh(_curvature(x)).min() > 0.0 for x in points])
    where = _where(_ends(MOTIONS["the ball"](landscape), _starts(), STEPS))
    valleys = int(np.sum((where >= 0) & minima[where]))
    measured = [valleys, int(np.sum(where >= 0)) - valleys, int(np.sum(where < 0))]
    return Outcome(
        *shown("{:d} in a valley, {:d} at a top or saddle, {:d} on a slope", [COUNT, 0, 0], measured),
        holds=measured[2] == 0 and measured[1] <= 0.01 * COUNT,
    )


def _by_hand(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of flow and ball by loops in NumPy, of another kind: Euler's method and kicks and drifts."""
    flow, ball, eta = starts.T.copy(), starts.T.copy(), np.zeros_like(starts.T)
    for _ in range(4 * STEPS):
        flow = flow - 0.25 * STEP * _slope(flow)
    for _ in range(2 * STEPS):
        eta = (eta * (1.0 - 0.25 * STEP) - 0.5 * STEP * _slope(ball)) / (1.0 + 0.25 * STEP)
        ball = ball + 0.5 * STEP * eta
    return flow.T, ball.T


@claim(
    "same-ends-other-speed",
    "004.23",
    "So where momentum converges to is no different from gradient descent, only the speed is.",
)
def same_ends() -> Outcome:
    """The share of 400 starts from which the ball of friction 1 ends in another valley than the flow."""
    ends = [_where(_ends(make(landscape), _starts(), STEPS)) for make in MOTIONS.values()]
    by_hand = [_where(found) for found in _by_hand(_starts())]
    measured, expected = (float(np.mean(one != other)) for one, other in (ends, by_hand))
    return Outcome(
        *shown("{:.1%} of the starts end in another valley", [expected], [measured]),
        holds=measured < 0.01,
        correction=Correction(
            "Both end in a minimum, and often not in the same one: a ball with little friction passes the valley that "
            "the flow ends in.",
            holds=abs(measured - expected) < 0.05 and min(ends[0].min(), ends[1].min()) >= 0 and measured > 0.05,
        ),
    )


TURN = 1.0


@claim(
    "conservative-so-it-converges",
    "004.2",
    "Gradient descent, equation 4, is a conservative system and therefore converges to a fixed point.",
)
def conservative() -> Outcome:
    """The distance from 0 at t = 10, from 1: down a bowl, along a field that turns, down a slope without a bound."""

    def turning(t: Any, x: Any, args: Any) -> Any:
        del t, args
        return jnp.stack([-TURN * x[1], TURN * x[0]]) - (1.0 - TURN) * x

    laws = (GradientFlow(lambda x: 0.5 * jnp.sum(x**2)), Field(turning), GradientFlow(lambda x: -jnp.sum(x[:1])))
    measured = [float(np.linalg.norm(final(Method(law, Tsit5(), 0.01), [1.0, 0.0], 1000))) for law in laws]
    expected = [float(np.exp(-10.0)), 1.0, 11.0]
    return Outcome(
        *shown("{:.2e} down a bowl, {:.4f} round a field, {:.4f} down a slope", expected, measured),
        holds=measured[2] < 1e-2,
        correction=Correction(
            "The field is conservative in that it is a gradient, so that L falls and nothing goes round; L itself is "
            "not conserved. Where L has no lower bound there is no fixed point to come to.",
            holds=close(measured, expected, 1e-6) and measured[0] < 1e-3,
        ),
    )
