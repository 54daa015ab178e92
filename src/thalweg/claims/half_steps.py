r"""Equations 17 to 20 of the fourth article: the gradient in the middle of a step, implicitly and by a guess.

Equation 17 is read as $(\eta - \eta^-)/h = -\lambda(\eta + \eta^-)/2 - \nabla L(\tfrac12(\theta + \theta^+))$ at half
steps with $\theta^+ = \theta + h\eta$, equation 19 as $v^+ = \beta v - \alpha\nabla L(\tfrac12(\theta + \theta^+))$
with $\theta^+ = \theta + v^+$, and equation 20 as the same with $\theta + \tfrac12\beta v$ for the middle.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._dictionary.conventions import Hyperparameters
from .._dictionary.physical import Physical
from .._methods.aliases import midpoint_momentum, momentum, nesterov
from .._methods.method import Method
from .._methods.probe import largest_stable_learning_rate
from ..dynamics import HeavyBall
from ..schemes import ImplicitMidpoint, Lookahead, Tsit5
from ._experiment import ORDER_TOLERANCE, ROUNDING, VALLEY_START, close, final, path, quadratic, shown, valley
from ._ledger import Correction, Outcome, claim
from .flow import slope_of_valley
from .momentum import FRICTION, PUSH, STEPS, TIME, order_on_the_heavy_ball
from .nesterov import order_with_curvature_damping


@eqx.filter_jit
def _implicit(f: Callable, rate: ArrayLike, beta: ArrayLike, start: Array, velocity: Array, steps: int) -> Array:
    """Points of equation 19, (steps, d): each step solved by Newton's method, eight times."""
    slope, eye = jax.grad(f), jnp.eye(start.size)

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        x, v = carry

        def closer(_: Array, u: Array) -> Array:
            middle = x + 0.5 * u
            return u - jnp.linalg.solve(eye + 0.5 * rate * jax.hessian(f)(middle), u - beta * v + rate * slope(middle))

        v = jax.lax.fori_loop(0, 8, closer, beta * v)
        return (x + v, v), x + v

    return jax.lax.scan(step, (start, velocity), length=steps)[1]


def coefficients(step: float) -> tuple[float, float]:
    """The learning rate and the momentum of equation 18, by the package's own dictionary."""
    found = Hyperparameters.from_physical(Physical(step, FRICTION))
    return found.learning_rate, found.momentum


COEFFICIENTS: Callable[[float], tuple[float, float]] = coefficients


def _half_step(step: float) -> np.ndarray:
    """The displacement of a step whose velocity stands half a step before the start."""
    start, push = np.array(VALLEY_START), np.array(PUSH)
    return step * (push + 0.5 * step * (FRICTION * push + slope_of_valley(start)))


def implicit_run(step: float, steps: int) -> np.ndarray:
    """The end of equation 19."""
    points = _implicit(valley, *COEFFICIENTS(step), jnp.array(VALLEY_START), jnp.asarray(_half_step(step)), steps)
    return np.asarray(points[-1])


@claim(
    "half-steps-to-the-implicit-form",
    "004.37",
    "The half-step form, the velocity at half steps and the gradient in the middle of the step, is the implicit "
    "equation 19, v⁺ = βv - α∇L((θ + θ⁺)/2), with β = (1 - λh/2)/(1 + λh/2) and α = h²/(1 + λh/2).",
)
def half_steps() -> Outcome:
    """The largest distance in 40 steps of 0.1: the difference equations, solved as they stand, and equation 19."""
    step, steps = 0.1, 40
    x, eta, points = np.array(VALLEY_START), _half_step(step) / step, []
    for _ in range(steps):

        def left(new: np.ndarray, x: np.ndarray = x, eta: np.ndarray = eta) -> np.ndarray:
            after = x + step * new
            return (new - eta) / step + 0.5 * FRICTION * (new + eta) + slope_of_valley(0.5 * (x + after))

        for _ in range(8):
            # The derivatives by complex steps, which have no difference to round.
            turned = [np.imag(left(eta + 1e-30j * unit)) / 1e-30 for unit in np.eye(3)]
            eta = eta - np.linalg.solve(np.stack(turned, axis=1), left(eta))
        x = x + step * eta
        points.append(x)
    found = _implicit(valley, *COEFFICIENTS(step), jnp.array(VALLEY_START), jnp.asarray(_half_step(step)), steps)
    apart = float(np.abs(points - np.asarray(found)).max())
    return Outcome(expected=0.0, measured=apart, holds=apart < ROUNDING)


CENTRED: Callable[[], Any] = ImplicitMidpoint


@claim("implicit-form-order", "004.38", "The implicit equation 19 integrates the heavy ball to second order.")
def implicit_order() -> Outcome:
    r"""From the velocity that is right at the half step, and beside the midpoint rule in position and velocity.

    The kick from $t - h/2$ to $t + h/2$ takes the gradient half a step late:
    $\nabla L(\theta + \tfrac12v^+) = \nabla L(\theta) + \tfrac12h\nabla^2L(\theta)\,\dot\theta + O(h^2)$.
    """

    def midpoint(step: float, steps: int) -> np.ndarray:
        return final(Method(HeavyBall(valley, FRICTION), CENTRED(), step), VALLEY_START, steps, PUSH)

    measured = [order_on_the_heavy_ball(implicit_run), order_with_curvature_damping(implicit_run, 0.5)]
    measured.append(order_on_the_heavy_ball(midpoint))
    return Outcome(
        *shown(
            "order {:.2f} on the heavy ball, {:.2f} with 0.5 h∇²f θ' added to it; of the midpoint rule order {:.2f}",
            [1, 2, 2],
            measured,
        ),
        holds=measured[0] > 2.0 - ORDER_TOLERANCE,
        correction=Correction(
            "It is of first order: its velocities stand at half steps, around a point θ, and its gradient half a step "
            "later, which is damping 0.5 h∇²L(θ) θ'. Of second order is the midpoint rule, in which θ moves by the "
            "mean of the velocities before and after the step [hairer2003].",
            holds=bool(np.all(np.abs(np.subtract(measured, [1.0, 2.0, 2.0])) < ORDER_TOLERANCE)),
            amends=False,
        ),
    )


GUESS = 0.5


@claim(
    "half-of-beta-is-the-middle",
    "004.39",
    "With θ⁺ about θ + βv, the middle of the step is about θ + βv/2: equation 20 in place of 19.",
)
def half_of_beta() -> Outcome:
    r"""Distances of the guess from the middle of 19's own step, and of the ends of 19 and 20 at t = 2; orders in h.

    The middle is $\theta + \tfrac12(\beta v - \alpha g)$, so that the guess is off by $\tfrac12\alpha|g|$.
    """
    measured, gaps, ends = [], [], []
    for steps in (STEPS, 2 * STEPS):
        step = TIME / steps
        rate, beta = COEFFICIENTS(step)
        points = _implicit(valley, rate, beta, jnp.array(VALLEY_START), jnp.asarray(_half_step(step)), steps)
        before, here, after = np.asarray(points)[steps // 2 - 2 : steps // 2 + 1]
        gap = here + GUESS * beta * (here - before) - 0.5 * (here + after)
        gaps.append(float(np.linalg.norm(gap)))
        measured = [gaps[-1] / (0.5 * rate * float(np.linalg.norm(slope_of_valley(0.5 * (here + after)))))]
        explicit = Method(HeavyBall(valley, FRICTION), Lookahead(GUESS), step)
        ends.append(float(np.linalg.norm(final(explicit, VALLEY_START, steps, PUSH) - np.asarray(points[-1]))))
    measured += [float(np.log2(held[0] / held[1])) for held in (gaps, ends)]
    return Outcome(
        *shown(
            "off by {:.3f} of α|∇L|/2, order {:.2f}; the ends of 19 and 20 apart by order {:.2f}", [1, 2, 2], measured
        ),
        holds=bool(np.all(np.abs(np.subtract(measured, [1.0, 2.0, 2.0])) < ORDER_TOLERANCE)),
    )


BETA, PRODUCTS = 0.9, (10.0, 1000.0)
IMPLICIT = _implicit


def _largest_root(points: np.ndarray) -> float:
    """Size of the larger root of a mode, from the two-term recurrence that four of its points obey."""
    rows = np.stack([points[1:3], points[0:2]], axis=1)
    middle, product = np.linalg.solve(rows, points[2:4])
    return float(np.abs(np.roots([1.0, -middle, -product])).max())


@claim(
    "implicit-so-stable-further",
    "004.41",
    "In theory Nesterov's method is implicit, by equation 19, so that its stable region is wider than momentum's.",
)
def stable_further() -> Outcome:
    r"""The larger root of equation 19 far beyond the other methods' limits, and their limits by the probe; β = 0.9.

    19 has $z^2 - (1 - c + b)z + b$ with $b = \beta/(1 + \tfrac12\alpha\ell)$ and $c = \alpha\ell/(1 +
    \tfrac12\alpha\ell)$: by Schur's criterion, $b < 1$, $c > 0$ and $2 - c + 2b = (2 + 2\beta)/(1 + \tfrac12\alpha\ell)
    > 0$, it is stable for every learning rate. The explicit ones have $(2 + 2\beta)/(1 + 2a)$ with the look-ahead a.
    """
    expected, measured = [], []
    for product in PRODUCTS:
        b, c = BETA / (1.0 + 0.5 * product), product / (1.0 + 0.5 * product)
        expected.append(float(np.abs(np.roots([1.0, c - 1.0 - b, b])).max()))
        points = IMPLICIT(quadratic(1.0).value, product, BETA, jnp.ones(1), jnp.zeros(1), 4)
        measured.append(_largest_root(np.asarray(points)[:, 0]))
    expected += [(2.0 + 2.0 * BETA) / (1.0 + 2.0 * ahead) for ahead in (0.5 * BETA, BETA, 0.0)]
    measured += [
        largest_stable_learning_rate(make(None, 0.1, BETA), 1.0) for make in (midpoint_momentum, nesterov, momentum)
    ]
    words = " and ".join(f"{{:.5f}} at αℓ = {product:g}" for product in PRODUCTS)
    agree = close(measured, expected, 1e-6)
    return Outcome(
        *shown(
            f"19 multiplies by {words}; stable up to αℓ = {{:.4f}} half-way ahead, {{:.4f}} of Nesterov's method, "
            "{:.4f} of momentum",
            expected,
            measured,
        ),
        holds=agree and max(measured[:2]) < 1.0 and min(measured[2:4]) > measured[4],
        correction=Correction(
            "Of the implicit equation itself, which has no limit. What is run is explicit, and its region is narrower "
            f"than momentum's: {measured[2]:.2f} with the gradient half-way ahead and {measured[3]:.2f} of Nesterov's "
            f"method, against {measured[4]:.2f}.",
            holds=agree and max(measured[:2]) < 1.0 and max(measured[2:4]) < measured[4],
        ),
    )


MIDDLE = 0.5


@claim(
    "midpoint-gradient-is-more-central",
    "004.42",
    "The gradient at the midpoint θ + βv/2 is more central than that of Nesterov's method at θ + βv.",
)
def more_central() -> Outcome:
    r"""Distances of either from the mean gradient along the motion, over h times the rate at which it changes.

    Over the step from t to t + h, in which θ moves, and over that from t - h/2 to t + h/2, in which the velocity does:
    0 and 1/2, 1/2 and 1. And the order of the first.
    """
    fine, found = 16, []
    for step in (0.01, 0.005):
        count = round(1.0 / step)
        ball = Method(HeavyBall(valley, FRICTION), Tsit5(), step / fine)
        points = path(ball, VALLEY_START, (count + 1) * fine, PUSH).position[(count - 1) * fine :]
        slopes = np.asarray(jax.vmap(jax.grad(valley))(jnp.asarray(points)))
        here, displacement = points[fine], points[fine] - points[0]
        rate = np.linalg.norm(slopes[fine + 1] - slopes[fine - 1]) / 2.0 * fine
        weights = np.where(np.arange(fine + 1) % 2, 4.0, 2.0) / (3.0 * fine)
        weights[[0, -1]] = 1.0 / (3.0 * fine)
        _, beta = COEFFICIENTS(step)
        for ahead in (MIDDLE, 1.0):
            guess = slope_of_valley(here + ahead * beta * displacement)
            for begin in (fine, fine // 2):
                found.append(float(np.linalg.norm(guess - weights @ slopes[begin : begin + fine + 1]) / rate))
    orders = [float(np.log2(found[i] / found[i + 4])) + 1.0 for i in (0, 2)]
    measured = [found[4], found[6], found[5], found[7], *orders]
    return Outcome(
        *shown(
            "in the step of θ off by {:.2f} half-way and {:.2f} ahead, in that of the velocity by {:.2f} and {:.2f}; "
            "in the first by order {:.2f} and {:.2f}",
            [0.0, 0.5, 0.5, 1.0, 2.0, 1.0],
            measured,
        ),
        holds=bool(np.allclose(measured, [0.0, 0.5, 0.5, 1.0, 2.0, 1.0], atol=0.05)),
    )
