"""Learning rate and momentum between conventions, and when one of them changes in mid-run."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from .._dictionary.conventions import Hyperparameters
from .._dictionary.physical import Physical
from .._methods.aliases import momentum
from .._methods.method import Method
from ..dynamics import HeavyBall
from ..schemes import Leapfrog
from ._experiment import (
    ORDER_TOLERANCE,
    ROUNDING,
    VALLEY_START,
    boundary,
    close,
    final,
    observed_order,
    path,
    reference,
    shown,
    valley,
)  # fmt: skip
from ._ledger import Correction, Outcome, claim

BETA = 0.9
FRICTION, PUSH, TIME, STEPS = 0.8, (0.3, -1.0, 0.6), 2.0, 400


def _average(rate: ArrayLike, weight: ArrayLike, x: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""$m^+ = \beta m + w\nabla f(x)$, $x^+ = x - \alpha m^+$, written out."""
    m = BETA * m + weight * jax.grad(valley)(x)
    return x - rate * m, m


def _limit(weight: float) -> float:
    """The largest stable learning rate on curvature 1, from the matrix of the step."""

    def radius(rate: float) -> float:
        matrix = np.array([[1 - rate * weight, -rate * BETA], [weight, BETA]])
        return float(np.max(np.abs(np.linalg.eigvals(matrix))))

    return boundary(lambda rates: np.array([radius(rate) <= 1 + 1e-12 for rate in rates]), 0.01, 100.0, 10)


def _apart(rate: float, weight: float) -> float:
    """Distance of the form with weight w from momentum of learning rate 0.05, over 300 steps."""
    points, (x, m) = [jnp.array(VALLEY_START)], (jnp.array(VALLEY_START), jnp.zeros(3))
    step = jax.jit(_average)
    for _ in range(300):
        x, m = step(rate, weight, x, m)
        points.append(x)
    return float(np.max(np.abs(np.array(points) - path(momentum(valley, 0.05, BETA), VALLEY_START, 300).position)))


@claim(
    "sum-or-average",
    "003.21; often taken for granted where code is moved between frameworks",
    "Momentum as a sum, v = βv + g, and as an average, m = βm + (1 - β)g, do the same at the same learning rate.",
)
def sum_or_average() -> Outcome:
    r"""Stability limits $2+2\beta$ and $(2+2\beta)/(1-\beta)$: the average is the sum times $1-\beta$."""
    expected = [2 + 2 * BETA, (2 + 2 * BETA) / (1 - BETA)]
    measured = [_limit(1.0), _limit(1.0 - BETA)]
    alike = Hyperparameters(0.05, BETA).to("ema").learning_rate
    return Outcome(
        *shown(f"at β = {BETA:g}: stable up to αℓ = {{:.4f}} as a sum, {{:.4f}} as an average", expected, measured),
        holds=close(measured[0], measured[1], 1e-3) and _apart(0.05, 1.0 - BETA) < ROUNDING,
        correction=Correction(
            "Only with a learning rate 1/(1 - β) as large for the average; then step by step.",
            holds=close(measured, expected, 1e-6) and _apart(alike, 1.0 - BETA) < ROUNDING,
        ),
    )


@claim(
    "square-root-rule",
    "004.35, 004.36",
    "Momentum 1 - (1 - β)√r keeps the friction when the learning rate changes by the factor r.",
)
def square_root_rule() -> Outcome:
    r"""$\lambda^2 = 2(1-\beta)^2/((1+\beta)\alpha)$; it leaves $\lambda'/\lambda = \sqrt{(1+\beta)/(1+\beta')}$."""
    short, r = np.array([0.1, 0.01, 0.001]), 0.1
    expected = np.sqrt((2 - short) / (2 - short * r**0.5)) - 1

    def changed(rule: str) -> list[float]:
        before = [Hyperparameters(0.1, 1 - float(s)) for s in short]
        after = [h.retune(learning_rate=r * 0.1, rule=rule) for h in before]
        return [a.physical().friction / b.physical().friction - 1 for a, b in zip(after, before, strict=True)]

    measured = changed("square root")
    words = f"friction off by {{:.3e}}, {{:.3e}}, {{:.3e}} of itself at β = 0.9, 0.99, 0.999, r = {r:g}"
    return Outcome(
        *shown(words, expected.tolist(), measured),
        holds=max(map(abs, measured)) < ROUNDING,
        correction=Correction(
            "To first order in 1 - β; exactly it is β' = (2 + c - √(c² + 8c))/2 with c = r(1 - β)²/(1 + β).",
            holds=close(measured, expected.tolist(), 1e-6) and max(map(abs, changed("exact"))) < 1e-10,
        ),
    )


DROP = 4.0


def _order_across_a_drop(how: str) -> float:
    """The observed order where the learning rate falls half-way, and the step by the root of its fall."""
    ball = HeavyBall(valley, FRICTION)
    exact = reference(ball, VALLEY_START, 2 * TIME, PUSH)

    def error(steps: int) -> float:
        h, shorter = TIME / steps, TIME / steps / DROP**0.5
        first = path(Method(ball, Leapfrog(), h), VALLEY_START, steps, PUSH)
        x, eta = first.position[-1], first.velocity[-1]
        now, then = (Hyperparameters.from_physical(Physical(step, FRICTION)) for step in (h, shorter))
        rest = Method(ball, Leapfrog(start="zero"), shorter)
        if how == "left alone":
            # Displacement is learning rate times buffer, and falls with it; the step falls by the root.
            rest, eta = momentum(valley, now.learning_rate / DROP, now.momentum), eta / DROP**0.5
        if how == "carried":
            gradient = np.asarray(jax.grad(valley)(jnp.asarray(x)))
            buffer = now.carry(then, x, -h * eta / now.learning_rate, gradient)[1]
            eta = -then.learning_rate * buffer / shorter
        return float(np.linalg.norm(final(rest, x, round(DROP**0.5 * steps), eta) - exact))

    return observed_order(error, STEPS)


@claim(
    "velocity-at-a-change",
    "what optimizers do when a schedule changes their learning rate",
    "When the learning rate changes, momentum and buffer can stay as they are.",
)
def velocity_at_a_change() -> Outcome:
    r"""The buffer left alone is another velocity under another friction; scaled to $\eta$ it is half a step off."""
    measured = [_order_across_a_drop(how) for how in ("left alone", "scaled", "carried")]
    words = "order of convergence to the motion: {:.2f} left alone, {:.2f} with the velocity kept, {:.2f} carried over"
    return Outcome(
        *shown(words, [0, 1, 2], measured),
        holds=measured[0] > 1 - ORDER_TOLERANCE,
        correction=Correction(
            "The motion stays the same only if the momentum is retuned to the friction and the velocity is carried to "
            "the new half step, v₀ = h(η + (h/2)(λη + g)); kept at the old one it is first order [hairer2003].",
            holds=close(measured[1:], [1.0, 2.0], ORDER_TOLERANCE / 2) and abs(measured[0]) < ORDER_TOLERANCE,
            amends=False,
        ),
    )
