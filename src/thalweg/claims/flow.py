"""Gradient flow: its solution, its descent, and gradient descent as Euler's method on it."""

import jax
import jax.numpy as jnp
import numpy as np

from .._methods.method import Method
from ..dynamics import GradientFlow
from ..schemes import Euler, Tsit5
from ._experiment import ROUNDING, VALLEY_START, path, quadratic, shown, valley
from ._ledger import Outcome, claim


@claim("exponential-decay", "000.1, 000.9", "The solution of x' = -kx is x(t) = x₀ exp(-kt).")
def exponential_decay() -> Outcome:
    r"""Gradient flow of $\tfrac12kx^2$ by a method of fifth order, at every time up to 5."""
    rate, start, time, steps = 0.7, -3.0, 5.0, 500
    positions = path(Method(GradientFlow(quadratic(rate)), Tsit5(), time / steps), start, steps).position[:, 0]
    exact = start * np.exp(-rate * np.linspace(0.0, time, steps + 1))
    return Outcome(
        *shown("x(5)/x0 = {:.12f}", [exact[-1] / start], [positions[-1] / start]),
        holds=bool(np.max(np.abs(positions / exact - 1.0)) < ROUNDING),
    )


@claim("descent-identity", "000.3, 000.16", "Along θ' = -b(t) ∇f the objective falls at the rate df/dt = -b(t) |∇f|².")
def descent_identity() -> Outcome:
    r"""$f(\theta(0)) - f(\theta(t)) = \int_0^t b\,|\nabla f|^2$ at every t, for a b that varies."""
    time, steps = 2.0, 4000

    def rate(t: jax.Array) -> jax.Array:
        return 1.0 / (1.0 + t)

    flow = GradientFlow(valley, rate)
    positions = jnp.asarray(path(Method(flow, Tsit5(), time / steps), VALLEY_START, steps).position)
    gradients = jax.vmap(jax.grad(valley))(positions)
    power = np.asarray(rate(jnp.linspace(0.0, time, steps + 1)) * jnp.sum(gradients**2, axis=1))
    taken = np.cumsum((power[:-2:2] + 4.0 * power[1:-1:2] + power[2::2]) * (time / steps / 3.0))  # Simpson's rule
    losses = np.asarray(jax.vmap(valley)(positions))
    fallen = losses[0] - losses[2::2]
    return Outcome(
        *shown("f falls by {:.8f} until t = 2", [taken[-1]], [fallen[-1]]),
        holds=bool(np.max(np.abs(fallen / taken - 1.0)) < 1e-8),
    )


def slope_of_valley(x: np.ndarray) -> np.ndarray:
    """The gradient of `valley`, by hand."""
    return (
        np.array([1.0, 4.0, 9.0]) * x
        + 0.4 * np.sum(x * x) * x
        + 0.3 * np.array([x[1] * x[2], x[0] * x[2], x[0] * x[1]])
    )


@claim(
    "gradient-descent-is-euler",
    "000.14, 001.2, 001.3, 004.1",
    "Gradient descent with steps bᵢ is Euler's method on gradient flow.",
)
def gradient_descent_is_euler() -> Outcome:
    """The loop everybody writes, against Euler with those steps and against Euler on a flow of that rate."""
    steps, clock = 200, 0.25

    def rate(i: jax.Array | int) -> jax.Array | float:
        return 0.08 / (1.0 + 0.1 * i)

    by_steps = path(Method(GradientFlow(valley), Euler(), rate), VALLEY_START, steps).position
    slowing = GradientFlow(valley, lambda t: rate(t / clock) / clock)
    by_rate = path(Method(slowing, Euler(), clock), VALLEY_START, steps).position
    points = [np.array(VALLEY_START)]
    for i in range(steps):
        points.append(points[-1] - np.asarray(rate(i)) * slope_of_valley(points[-1]))
    apart = max(float(np.max(np.abs(positions - points))) for positions in (by_steps, by_rate))
    return Outcome(expected=0.0, measured=apart, holds=apart < ROUNDING)
