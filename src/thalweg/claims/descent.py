"""The ends of gradient flow, and its share in a step of gradient descent."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

from .._methods.aliases import gradient_descent
from .._methods.method import Method
from ..dynamics import GradientFlow
from ..schemes import Euler, Tsit5
from ._experiment import VALLEY_START, close, final, path, quadratic, shown, valley
from ._ledger import Correction, Outcome, claim


def slowing(t: Any) -> Any:
    """A rate that falls with time."""
    return 1.0 / (1.0 + t)


def descent(f: Any, rate: Callable, dt: float) -> Method:
    """Gradient descent with steps b(t) dt."""
    return Method(GradientFlow(f, rate), Euler(), dt)


@claim(
    "descent-tends-to-the-flow",
    "000.2, 002.1",
    "As dt goes to 0, gradient descent with steps b(t) dt becomes a continuous curve, the gradient flow x' = -b(t) ∇f.",
)
def tends_to_the_flow() -> Outcome:
    r"""The largest distance from $(1 + t)^{-\ell}x_0$ up to t = 4, for $b = 1/(1 + t)$ and two curvatures."""
    curvatures, start, time = np.array([1.0, 3.0]), np.array([2.0, -1.0]), 4.0
    expected, measured = [], []
    for steps in (200, 400):
        dt = time / steps
        times = dt * np.arange(steps + 1)
        exact = start * (1.0 + times[:, None]) ** -curvatures
        factors = 1.0 - curvatures * dt / (1.0 + times[:-1, None])
        by_hand = start * np.concatenate([np.ones((1, 2)), np.cumprod(factors, axis=0)])
        found = path(descent(quadratic(*curvatures), slowing, dt), start, steps).position
        flow = path(Method(GradientFlow(quadratic(*curvatures), slowing), Tsit5(), dt), start, steps).position
        expected.append(float(np.abs(by_hand - exact).max()))
        measured.append(float(np.abs(found - flow).max()))
    for held in (expected, measured):
        held.append(float(np.log2(held[0] / held[1])))
    return Outcome(
        *shown("distance {:.5f} at dt = 0.02 and {:.5f} at 0.01: order {:.2f}", expected, measured),
        holds=abs(measured[2] - 1.0) < 0.1 and measured[1] < 0.01,
    )


RATES = (0.5, 1.9, 2.1)


@claim("every-iteration-descends", "000.4", "In agreement with the flow, every iteration of gradient descent lowers f.")
def every_iteration() -> Outcome:
    r"""$f(x^+)/f(x) = (1 - \alpha\ell)^2$ on a bowl of curvature 1, at three learning rates."""
    f = quadratic(1.0)
    expected = [(1.0 - rate) ** 2 for rate in RATES]
    measured = []
    for rate in RATES:
        points = path(gradient_descent(f, rate), 3.0, 20).position
        losses = np.array([float(f.value(jnp.asarray(x))) for x in points])
        measured.append(float(np.max(losses[1:] / losses[:-1])))
    words = ", ".join(f"{{:.4f}} at a learning rate of {rate:g}" for rate in RATES)
    return Outcome(
        *shown(f"f after a step over f before: {words}", expected, measured),
        holds=max(measured) < 1.0,
        correction=Correction(
            "Where the learning rate is below 2 over the largest curvature: beyond that every iteration raises f, "
            "while the flow goes down at any rate.",
            holds=close(measured, expected, 1e-9) and min(measured) < 1.0,
        ),
    )


DIRECTION = -1.0


@claim("small-steps-descend", "002.3", "Along the negative gradient f falls, however small the step.")
def small_steps() -> Outcome:
    r"""The fall over $\alpha|\nabla f|^2$, of which $1 - \alpha\,g^\top Hg/2|g|^2$ is expected, down to 1e-6."""
    x, steps = np.array(VALLEY_START), 10.0 ** -np.arange(2, 7)
    mixed = 0.3 * np.array([[0.0, x[2], x[1]], [x[2], 0.0, x[0]], [x[1], x[0], 0.0]])
    square = float(x @ x)
    slope = np.array([1.0, 4.0, 9.0]) * x + 0.4 * square * x + 0.5 * mixed @ x
    hessian = np.diag([1.0, 4.0, 9.0]) + 0.4 * square * np.eye(3) + 0.8 * np.outer(x, x) + mixed
    bent = 0.5 * float(slope @ hessian @ slope) / float(slope @ slope)
    at, size = float(valley(jnp.asarray(x))), float(slope @ slope)
    measured = []
    for step in steps:
        after = x + DIRECTION * (x - final(gradient_descent(valley, step), x, 1))
        measured.append((at - float(valley(jnp.asarray(after)))) / (step * size))
    return Outcome(
        *shown(
            "fall over what the slope says {:.4f} at 1e-4, {:.4f} at 1e-6",
            [1.0 - bent * steps[2], 1.0 - bent * steps[4]],
            [measured[2], measured[4]],
        ),
        holds=bool(min(measured) > 0.0),
    )


FLOWS: dict[str, tuple[Callable, Callable, float]] = {
    "on a bowl": (lambda x: 0.5 * jnp.sum(x**2), lambda t: 1.0 + 0.0 * t, float(np.exp(-20.0))),
    "where f falls for ever": (lambda x: -jnp.sum(x), lambda t: 1.0 + 0.0 * t, 1.0),
    "on a bowl at the rate 1/(1 + t)²": (
        lambda x: 0.5 * jnp.sum(x**2), lambda t: 1.0 / (1.0 + t) ** 2, float(np.exp(-20.0 / 21.0)),
    ),
}  # fmt: skip


@claim("flow-settles", "000.5", "As t goes to infinity the flow settles: x' goes to 0, and hence ∇f.")
def settles() -> Outcome:
    """The slope at t = 20, from 1."""
    measured = []
    for f, rate, _ in FLOWS.values():
        end = final(Method(GradientFlow(f, rate), Tsit5(), 0.01), 1.0, 2000)
        measured.append(float(np.abs(jax.grad(f)(jnp.asarray(end))[0])))
    expected = [slope for *_, slope in FLOWS.values()]
    words = ", ".join(f"{{:.3g}} {where}" for where in FLOWS)
    return Outcome(
        *shown(f"|∇f| {words}", expected, measured),
        holds=max(measured) < 1e-6,
        correction=Correction(
            "Where f is bounded below and the rate has an infinite integral. Without a bound x runs off, and a rate of "
            "finite integral stops the motion on a slope: there x' goes to 0 and ∇f does not.",
            holds=close(measured, expected, 1e-6) and measured[0] < 1e-6,
        ),
    )


FLAT: Callable = lambda x: jnp.sum(jnp.exp(-x))  # noqa: E731


@claim(
    "convex-flow-finds-the-minimum", "000.6", "So x(t) tends to the extremum, usually the optimum, since f is convex."
)
def finds_the_minimum() -> Outcome:
    r"""From 1: on $x^4/4$, where $x = 1/\sqrt{1 + 2t}$, and on $e^{-x}$, where $x = \log(e + t)$, at t = 100."""
    both = (lambda x: 0.25 * jnp.sum(x**4), FLAT)
    ends = [float(final(Method(GradientFlow(f), Tsit5(), 0.02), 1.0, 5000)[0]) for f in both]
    expected = [201.0**-0.5, float(np.log(np.e + 100.0))]
    return Outcome(
        *shown("x(100) = {:.6f} where the minimum is at 0, {:.6f} where there is none", expected, ends),
        holds=ends[1] < 1.0,
        correction=Correction(
            "Where the convex f has a minimum. One that has none, as e^(-x), takes x to infinity; and of a function "
            "that is not convex the end may be a saddle or another minimum.",
            holds=close(ends, expected, 1e-8),
        ),
    )


HILLS: dict[str, Callable] = {
    "x²/2": lambda x: 0.5 * jnp.sum(x**2),
    "x⁴/4": lambda x: 0.25 * jnp.sum(x**4),
    "√(1 + x²)": lambda x: jnp.sum(jnp.sqrt(1.0 + x**2)) - 1.0,
}


@claim(
    "flow-of-a-convex-function-converges",
    "000.18",
    "The equation proves that f falls, and shows convergence to the optimum: f - f* ≤ |x₀ - x*|²/2t of a convex f.",
)
def converges() -> Outcome:
    r"""The largest of $2t(f - f^\star)/|x_0 - x^\star|^2$ up to t = 20 from 3, beside solutions in closed form."""
    times, start = 0.01 * np.arange(2001), 3.0
    exact = {"x²/2": start * np.exp(-times), "x⁴/4": start / np.sqrt(1.0 + 2.0 * start**2 * times)}
    expected, measured, falling = [], [], True
    for name, f in HILLS.items():
        points = path(Method(GradientFlow(f), Tsit5(), 0.01), start, 2000).position
        by_hand = exact.get(name, points[:, 0])
        for held, x in ((expected, by_hand[:, None]), (measured, points)):
            values = np.asarray(jax.vmap(f)(jnp.asarray(x)))
            held.append(float(np.max(2.0 * times * values / start**2)))
        falling &= bool(jnp.all(jnp.diff(jax.vmap(f)(jnp.asarray(points))) <= 0.0))
    words = ", ".join(f"{{:.6f}} of {name}" for name in HILLS)
    return Outcome(*shown(f"share of the bound: {words}", expected, measured), holds=falling and max(measured) <= 1.0)


TILT = 0.1


@claim(
    "flow-sticks-in-a-small-valley",
    "002.2",
    "Where f is smooth and convex descent usually reaches the valley; elsewhere it may stick in a small one.",
)
def sticks() -> Outcome:
    """The share of 400 starts between -2 and 2 that end in the higher of two valleys, by where the ridge is."""
    starts = np.linspace(-2.0, 2.0, 400)
    roots = np.sort(np.roots([1.0, 0.0, -1.0, TILT]).real)
    stuck = float(np.mean(starts > roots[1]))

    def tilted(x: Any) -> Any:
        return jnp.sum(0.25 * (x**2 - 1.0) ** 2 + TILT * x)

    ends = final(Method(GradientFlow(tilted), Tsit5(), 0.05), starts, 4000)
    bowls = final(Method(GradientFlow(lambda x: jnp.sum(0.25 * x**4 + TILT * x)), Tsit5(), 0.05), starts, 4000)
    lowest = -float(np.cbrt(TILT))
    measured = [float(np.mean(np.abs(ends - roots[2]) < 1e-3)), float(np.mean(np.abs(bowls - lowest) > 1e-3))]
    return Outcome(
        *shown("stuck {:.4f} of the starts with two valleys, {:.4f} where f is convex", [stuck, 0.0], measured),
        holds=measured[0] > 0.0 and measured[1] == 0.0,
    )


FLOW: Callable[..., Any] = GradientFlow


@claim("rate-is-a-clock", "000.10", "The choice of the rate b affects how fast the flow converges.")
def rate_is_a_clock() -> Outcome:
    r"""A mode of curvature 1 at t = 3 under three rates: $e^{-\int b}$; and the curve, which is the same."""
    rates = (lambda t: 1.0 + 0.0 * t, lambda t: 2.0 + 0.0 * t, slowing)
    f, start = valley, np.array(VALLEY_START)
    ends = [float(final(Method(FLOW(quadratic(1.0), b), Tsit5(), 0.01), 1.0, 300)[0]) for b in rates]
    expected = [float(np.exp(-3.0)), float(np.exp(-6.0)), 0.25]
    # At the same integral of b, log 4, all three are at one point of one curve.
    times = (np.log(4.0), np.log(2.0), 3.0)
    points = [final(Method(FLOW(f, b), Tsit5(), t / 400), start, 400) for b, t in zip(rates, times, strict=True)]
    apart = float(max(np.abs(point - points[0]).max() for point in points))
    return Outcome(
        *shown(
            "{:.6f}, {:.6f} and {:.6f} of the start; at one integral of b {:.0e} apart",
            [*expected, 0.0],
            [*ends, apart],
        ),
        holds=close(ends, expected, 1e-8) and apart < 1e-8,
    )


SCHEME: Callable[[], Any] = Euler


@claim("step-is-a-piece-of-the-flow", "000.17", "Every discrete step corresponds to a piece of the continuous flow.")
def piece_of_the_flow() -> Outcome:
    r"""The distance of one step's end from the curve $x_0e^{-\ell t}$, of curvatures 1 and 4."""
    curvatures, start = np.array([1.0, 4.0]), np.array([1.0, 1.0])
    expected, measured = [], []
    for rate in (0.02, 0.01, 0.375):
        end = final(Method(GradientFlow(quadratic(*curvatures)), SCHEME(), rate), start, 1)
        for held, x in ((expected, (1.0 - rate * curvatures) * start), (measured, end)):
            held.append(_from_the_curve(x, start, curvatures))
    for held in (expected, measured):
        held.append(float(np.log2(held[0] / held[1])) if held[1] > 1e-12 else 5.0)
    return Outcome(
        *shown("{:.2e} and {:.2e} away at α = 0.02 and 0.01, {:.3f} at 0.375: order {:.2f}", expected, measured),
        holds=max(measured[:2]) < 1e-6,
        correction=Correction(
            "To first order: a step leaves the curve by a distance of α². In one dimension with αℓ < 1 it is a piece "
            "of the flow, of the time -log(1 - αℓ)/ℓ; modes of several curvatures have several such times, and a step "
            "over the valley, αℓ > 1, has none.",
            holds=abs(measured[3] - 2.0) < 0.1 and close(measured[:3], expected[:3], 1e-6),
        ),
    )


def _from_the_curve(x: np.ndarray, start: np.ndarray, curvatures: np.ndarray) -> float:
    def away(t: float) -> float:
        return float(np.linalg.norm(start * np.exp(-curvatures * t) - x))

    found: Any = minimize_scalar(away, bounds=(0.0, 5.0), method="bounded", options={"xatol": 1e-12})
    return float(found.fun)
