"""Momentum as an integrator of the heavy ball: its order, and what its energy does."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .._methods.aliases import momentum
from .._methods.method import Method
from ..dynamics import HeavyBall
from ..schemes import Leapfrog, Tsit5
from ._experiment import ORDER_TOLERANCE, VALLEY_START, final, observed_order, path, reference, shown, valley
from ._ledger import Correction, Outcome, claim

FRICTION = 0.8
PUSH = (0.3, -1.0, 0.6)
TIME = 2.0
STEPS = 400


def order_on_the_heavy_ball(run: Callable[[float, int], np.ndarray]) -> float:
    """The observed order of `run(step, steps)` against the motion from a given position and velocity."""
    exact = reference(HeavyBall(valley, FRICTION), VALLEY_START, TIME, PUSH)

    def error(steps: int) -> float:
        return float(np.linalg.norm(run(TIME / steps, steps) - exact))

    return observed_order(error, STEPS)


def _leapfrog(start: str) -> Callable[[float, int], np.ndarray]:
    def run(step: float, steps: int) -> np.ndarray:
        return final(Method(HeavyBall(valley, FRICTION), Leapfrog(start), step), VALLEY_START, steps, PUSH)

    return run


@claim(
    "momentum-order",
    "004.26, 000.8, 003.4",
    "Momentum with β = (1 - λh/2)/(1 + λh/2) and α = h²/(1 + λh/2) integrates the heavy ball to second order.",
)
def momentum_order() -> Outcome:
    r"""Start from the buffer $v_0 = h\eta_0$, as all do, then from $v_0 = h(\eta_0 + \tfrac h2(\lambda\eta_0 + g_0))$.

    The buffer is the velocity half a step before the position: taking it for the velocity at the position is
    an error of h in the start, and stays one of h at the end.
    """
    plain, right = order_on_the_heavy_ball(_leapfrog("zero")), order_on_the_heavy_ball(_leapfrog("exact"))
    return Outcome(
        *shown("order {:.2f} from v₀ = hη₀, {:.2f} from the half step", [1, 2], [plain, right]),
        holds=abs(plain - 2.0) < ORDER_TOLERANCE,
        correction=Correction(
            "Second order only if the buffer starts at the half step, v₀ = h(η₀ + (h/2)(λη₀ + g₀)); from v₀ = hη₀, "
            "an empty buffer included, it is first order [hairer2003].",
            holds=abs(right - 2.0) < ORDER_TOLERANCE and abs(plain - 1.0) < ORDER_TOLERANCE,
        ),
    )


@claim(
    "momentum-linear-map",
    "often said: the heavy ball with its derivatives replaced by differences",
    "Momentum is the heavy ball of friction λ at step h with β = 1 - λh and α = h², to the order of its scheme.",
)
def momentum_linear_map() -> Outcome:
    r"""Both maps from the buffer that starts right, so that nothing but the map differs.

    $1 - \lambda h$ is $(1-\lambda'h/2)/(1+\lambda'h/2)$ of another friction, $\lambda' = \lambda + O(h)$.
    """

    def run(step: float, steps: int) -> np.ndarray:
        start, push = jnp.array(VALLEY_START), jnp.array(PUSH)
        buffer = step * (push + 0.5 * step * (FRICTION * push + jax.grad(valley)(start)))
        method = momentum(valley, step**2, 1.0 - FRICTION * step)
        # The method's own unit of time is another: v = h'η'.
        return final(method, start, steps, buffer / method.step_size)  # pyright: ignore[reportOperatorIssue]

    linear, exact = order_on_the_heavy_ball(run), order_on_the_heavy_ball(_leapfrog("exact"))
    return Outcome(
        *shown("order {:.2f} with β = 1 - λh, {:.2f} with β = (1 - λh/2)/(1 + λh/2)", [1, 2], [linear, exact]),
        holds=linear > 2.0 - ORDER_TOLERANCE,
        correction=Correction(
            "To first order only; second order takes β = (1 - λh/2)/(1 + λh/2) and α = h²/(1 + λh/2) [hairer2003].",
            holds=abs(linear - 1.0) < ORDER_TOLERANCE and abs(exact - 2.0) < ORDER_TOLERANCE,
        ),
    )


@claim(
    "energy-account",
    "003.22",
    "Friction takes what kinetic and potential energy lose: ½|η|² + f + ∫ λ|η|² dt is constant along the heavy ball.",
)
def energy_account() -> Outcome:
    """Along a path by a method of fifth order, the integral by Simpson's rule; at every time up to 10."""
    time, steps = 10.0, 2000
    found = path(Method(HeavyBall(valley, FRICTION), Tsit5(), time / steps), VALLEY_START, steps, PUSH)
    speed = np.sum(found.velocity**2, axis=1)
    energy = 0.5 * speed + np.asarray(jax.vmap(valley)(jnp.asarray(found.position)))
    power = FRICTION * speed
    taken = np.cumsum((power[:-2:2] + 4.0 * power[1:-1:2] + power[2::2]) * (time / steps / 3.0))
    total = energy[2::2] + taken
    return Outcome(
        *shown("½|η|² + f + what friction took = {:.8f} at t = 10", [energy[0]], [total[-1]]),
        holds=bool(np.max(np.abs(total / energy[0] - 1.0)) < 1e-9),
    )
