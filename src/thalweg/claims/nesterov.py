"""Nesterov's method at constant momentum as an integrator: its order, and the equation it follows to second order."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._methods.aliases import nesterov
from .._methods.method import Method
from .._objectives.objective import AbstractObjective, as_objective
from ..dynamics import AbstractDynamics, Evaluation, HeavyBall, HighResolutionFlow, Phase
from ..dynamics._base import Time
from ..dynamics._hessian_damping import AbstractCurvatureDamped, damped_by_curvature
from ..schemes import RK4, Lookahead
from ._experiment import (
    ORDER_TOLERANCE,
    VALLEY_START,
    close,
    final,
    observed_order,
    path,
    quadratic,
    reference,
    shown,
    valley,
)
from ._ledger import Correction, Outcome, claim
from .momentum import FRICTION, PUSH, STEPS, TIME, order_on_the_heavy_ball


class CurvatureDamped(AbstractCurvatureDamped):
    r"""$\ddot\theta + \lambda\dot\theta + \epsilon\nabla^2f(\theta)\,\dot\theta + \nabla f(\theta) = 0$."""

    objective: AbstractObjective | None
    friction: Float[Array, ""]
    damping: Float[Array, ""]

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        del time
        return damped_by_curvature(phase, evaluation, 1.0, self.friction, self.damping)


def _run(fraction: float) -> Callable[[float, int], np.ndarray]:
    def run(step: float, steps: int) -> np.ndarray:
        method = Method(HeavyBall(valley, FRICTION), Lookahead(fraction), step)
        return final(method, VALLEY_START, steps, PUSH)

    return run


def order_with_curvature_damping(run: Callable[[float, int], np.ndarray], fraction: float) -> float:
    """The order against the heavy ball with the damping ch added, another equation at each step h."""

    def error(steps: int) -> float:
        step = TIME / steps
        law = CurvatureDamped(as_objective(valley), jnp.asarray(FRICTION), jnp.asarray(fraction * step))
        return float(np.linalg.norm(run(step, steps) - reference(law, VALLEY_START, TIME, PUSH)))

    return observed_order(error, STEPS)


def _outcome(fraction: float) -> Outcome:
    run = _run(fraction)
    plain, damped = order_on_the_heavy_ball(run), order_with_curvature_damping(run, fraction)
    weight = "" if fraction == 1.0 else f"{fraction:g} "
    return Outcome(
        *shown(f"order {{:.2f}} on the heavy ball, {{:.2f}} with {weight}h∇²f θ' added to it", [1, 2], [plain, damped]),
        holds=plain > 2.0 - ORDER_TOLERANCE,
        correction=Correction(
            f"First order, even from the right half-step velocity: the look-ahead adds damping {weight}h∇²f(θ) θ' "
            "along the curvature, and to that equation the method is second order [shi2022].",
            holds=abs(plain - 1.0) < ORDER_TOLERANCE and abs(damped - 2.0) < ORDER_TOLERANCE,
            amends=False,
        ),
    )


@claim("nesterov-order", "004.40", "Nesterov's method integrates the heavy ball to second order.")
def nesterov_order() -> Outcome:
    r"""$\nabla f(\theta + c\beta v) = \nabla f(\theta) + ch\nabla^2f(\theta)\,\dot\theta + O(h^2)$ with c = 1."""
    return _outcome(1.0)


@claim(
    "nesterov-midpoint-order",
    "004.40",
    "With the gradient at the midpoint θ + βv/2 Nesterov's method integrates the heavy ball to second order.",
)
def midpoint_order() -> Outcome:
    """Measure c = 1/2 as Nesterov's own form: the kick is centred without a look-ahead, so half of one is too much."""
    return _outcome(0.5)


def _followed(
    curvatures: np.ndarray, damping: np.ndarray, weight: float, push: np.ndarray, times: np.ndarray
) -> np.ndarray:
    r"""$\ddot x + d\dot x + w\ell x = 0$ from x = 1 and a velocity, mode by mode, in closed form."""
    gap = np.sqrt((damping**2 / 4.0 - weight * curvatures).astype(complex))
    decay, t = np.exp(np.multiply.outer(times, -damping / 2.0)), times[:, None]
    return (decay * (np.cosh(gap * t) + (push + damping / 2.0) * t * np.sinc(1j * gap * t / np.pi))).real


def _visited(curvatures: np.ndarray, rate: float, beta: float, steps: int) -> np.ndarray:
    """The look-ahead points from 1 and an empty buffer: powers of the two roots of each mode."""
    shrunk = (1.0 - rate * curvatures).astype(complex)
    gap = np.sqrt((1.0 + beta) ** 2 * shrunk**2 / 4.0 - beta * shrunk)
    one, other = (1.0 + beta) * shrunk / 2.0 + gap, (1.0 + beta) * shrunk / 2.0 - gap
    first, n = 1.0 - (1.0 + beta) * rate * curvatures, np.arange(steps + 1)[:, None]
    return (((first - other) * one**n - (first - one) * other**n) / (one - other)).real


@claim(
    "high-resolution",
    "shi2022, equation 1.11",
    "Nesterov's method with learning rate s is closer to the equation with the damping √s ∇²f θ' than to "
    "θ'' + 2√μ θ' + ∇f = 0.",
)
def high_resolution() -> Outcome:
    r"""Largest distance from the points where gradients are taken until t = 4, and its order in √s.

    With μ = 1 the momentum is $(1-\sqrt s)/(1+\sqrt s)$.
    The interior of the high-resolution equation is right to O(s), but its starting velocity
    $-2\sqrt s\,\nabla f/(1+\sqrt{\mu s})$ is the first step over $\sqrt s$, where $-\tfrac32\sqrt s\,\nabla f$
    would be the slope at the start; so both equations are first-order close, with different constants, and from that
    slope it is second-order close.
    """
    coarse, fine = _distances(160), _distances(320)
    expected, measured = (
        [*one, *np.log2(np.array(one) / np.array(other)).tolist()] for one, other in zip(coarse, fine, strict=True)
    )
    words = (
        "distance at √s = 0.025: {:.5f} without, {:.5f} with the damping, {:.5f} started by -3/2 √s ∇f; "
        "at half of it less by 2 to the {:.2f}, {:.2f}, {:.2f}"
    )
    return Outcome(
        *shown(words, expected, measured), holds=measured[1] < measured[0] and close(measured, expected, 1e-3)
    )


def _distances(steps: int) -> tuple[list[float], list[float]]:
    """Of the limit, the equation, and the equation from the slope at the start: in closed form, and from steps."""
    curvatures, fine = np.array([1.5, 6.0, 25.0]), 4
    root = 4.0 / steps
    rate, beta, f = root**2, (1.0 - root) / (1.0 + root), quadratic(*curvatures)
    start, times = np.ones(3), root * np.arange(steps + 1)
    high = HighResolutionFlow(f, rate, strong_convexity=1.0)

    def gap(law: AbstractDynamics, push: np.ndarray | None) -> float:
        followed = path(Method(law, RK4(), root / fine), start, fine * steps, push).position[::fine]
        return float(np.max(np.abs(path(nesterov(f, rate, beta), start, steps).lookahead - followed)))

    visited = _visited(curvatures, rate, beta, steps)
    damping, slope = 2.0 + root * curvatures, -1.5 * root * curvatures
    predicted = [
        _followed(curvatures, np.full(3, 2.0), 1.0, np.zeros(3), times),
        _followed(curvatures, damping, 1.0 + root, -2.0 * root * curvatures / (1.0 + root), times),
        _followed(curvatures, damping, 1.0 + root, slope, times),
    ]
    expected = [float(np.max(np.abs(visited - points))) for points in predicted]
    return expected, [gap(HeavyBall(f, 2.0), None), gap(high, None), gap(high, slope)]
