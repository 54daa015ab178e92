"""A barrier between two wells, crossed without noise or not."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from .._methods.aliases import gradient_descent
from .._methods.method import Method
from ..dynamics import HeavyBall
from ..schemes import Leapfrog, Tsit5
from ._experiment import boundary, close, path, shown
from ._ledger import Correction, Outcome, claim

HIGH, LOW = -2.0, -1.3
STEP, STEPS = 0.005, 12000


def wells(x: Float[Array, "..."]) -> Float[Array, ""]:
    """Two wells at ±1 and a barrier of height 1/4 between them, at 0."""
    return 0.25 * jnp.sum((x * x - 1.0) ** 2)


def _height(x: float) -> float:
    return float(wells(jnp.asarray([x])))


@eqx.filter_jit
def _farthest(frictions: Float[Array, " n"], start: Float[Array, " 1"]) -> Float[Array, " n"]:
    """Rightmost position of the ball, for each friction."""

    def one(friction: Array) -> Array:
        method = Method(HeavyBall(wells, friction), Leapfrog(), STEP)

        def step(_: Array, carry: tuple) -> tuple:
            state, best = carry
            state = method.step(state)
            return state, jnp.maximum(best, state.position[0])

        return jax.lax.fori_loop(0, STEPS, step, (method.init(start), start[0]))[1]

    return jax.vmap(one)(frictions)


def crosses(frictions: np.ndarray, start: float) -> np.ndarray:
    """Tell whether the ball, let go at `start`, comes over the top."""
    return np.asarray(_farthest(jnp.asarray(frictions), jnp.asarray([start]))) > 0.0


def stopping_friction(start: float) -> float:
    """The friction at which the ball just reaches the top: followed back in time from there, by SciPy.

    Close to the top it comes in along the stable direction, η = -sx with s² + λs - 1 = 0.
    """

    def turn(friction: float) -> float:
        slope = 0.5 * (friction + (friction**2 + 4.0) ** 0.5)
        near = 1e-5

        def back(_: float, y: np.ndarray) -> list[float]:
            return [-y[1], friction * y[1] + y[0] ** 3 - y[0]]

        def at_rest(_: float, y: np.ndarray) -> float:
            return y[1]

        at_rest.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
        y = np.array([-near, slope * near])
        found = solve_ivp(back, (0.0, 100.0), y, "DOP853", events=at_rest, rtol=1e-11, atol=1e-15)
        return float(found.y[0, -1])

    return float(brentq(lambda friction: turn(friction) - start, 0.01, 2.0, xtol=1e-12))  # pyright: ignore


@claim(
    "barrier-without-noise",
    "003.14",
    "Momentum that was accumulated helps to leave shallow local minima, in which gradient descent stays.",
)
def without_noise() -> Outcome:
    """Start above the height of the barrier, at 0.1 and 1.1 times the friction that stops it, and below it.

    Gradient descent with αL < 1 comes no nearer to the top than it is, and stays on its side.
    """
    limit = stopping_friction(HIGH)
    cases = ((HIGH, 0.1 * limit), (HIGH, 1.1 * limit), (LOW, 0.1 * limit))
    measured = [bool(crosses(np.array([friction]), start)[0]) for start, friction in cases]
    expected = [_height(start) > _height(0.0) and friction < limit for start, friction in cases]
    descent = any(np.max(path(gradient_descent(wells, 0.05), start, 2000).position) > 0.0 for start in (HIGH, LOW))
    words = (
        f"let go at height {_height(HIGH):.3f} crosses: {{}}, with friction {{}}; at {_height(LOW):.3f} {{}}; "
        "gradient descent {}"
    )
    predicted, found = (
        ["yes" if case else "no" for case in cases] for cases in ([*expected, False], [*measured, descent])
    )
    return Outcome(
        *shown(words, predicted, found),
        holds=all(measured) and not descent,
        correction=Correction(
            f"Where the ball has come from higher than the barrier ({_height(0.0):.3f}) by more than friction takes on "
            "the way; otherwise it stays, with momentum as without.",
            holds=measured == expected and any(measured) and not descent,
        ),
    )


PARTS = (0.1, 0.5)


def _energy_at_the_top(friction: float) -> float:
    """The height above the barrier that the ball still has as kinetic energy there, by SciPy."""

    def motion(_: float, y: np.ndarray) -> list[float]:
        return [y[1], -friction * y[1] + y[0] - y[0] ** 3]

    def top(_: float, y: np.ndarray) -> float:
        return y[0]

    top.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    found = solve_ivp(motion, (0.0, 100.0), np.array([HIGH, 0.0]), "DOP853", events=top, rtol=1e-11, atol=1e-13)
    return float(0.5 * found.y[1, -1] ** 2)


@claim(
    "little-friction-passes-the-barrier",
    "004.29",
    "With little friction the ball rolls from a height through a pit and over the next top, where gradient descent "
    "stops in the pit: by its energy, without noise.",
)
def passes() -> Outcome:
    """The kinetic energy at the top at a tenth and at half of the friction that stops it; where gradient descent ends.

    From higher than the top, as the article has it.
    """
    limit = stopping_friction(HIGH)
    expected = [*(_energy_at_the_top(part * limit) for part in PARTS), -1.0]
    measured = []
    for part in PARTS:
        found = path(Method(HeavyBall(wells, part * limit), Tsit5(), STEP), HIGH, 2000)
        over = np.flatnonzero(found.position[:, 0] >= 0.0)
        if not over.size:
            measured.append(-1.0)
            continue
        # Where it crosses 0, between two points.
        here, there = found.position[over[0] - 1 : over[0] + 1, 0]
        speed = np.interp(0.0, [here, there], found.velocity[over[0] - 1 : over[0] + 1, 0])
        measured.append(float(0.5 * speed**2))
    measured.append(float(path(gradient_descent(wells, 0.05), HIGH, 2000).position[-1, 0]))
    words = ", ".join(f"{{:.4f}} at {part:g} of the friction that stops it" for part in PARTS)
    return Outcome(
        *shown(f"kinetic energy at the top {words}; gradient descent ends at {{:.4f}}", expected, measured),
        holds=min(measured[:2]) > 0.0 and close(measured, expected, 1e-4),
    )


@claim(
    "barrier-critical-friction",
    "004.29",
    "The ball stops crossing at the friction that takes, on the way to the top, all its energy above the barrier.",
)
def critical_friction() -> Outcome:
    r"""The friction by subdivision over runs, and $\int\lambda\eta^2dt$ until the ball is nearest to the top."""
    expected = [stopping_friction(HIGH), _height(HIGH) - _height(0.0)]
    friction = boundary(lambda grid: crosses(grid, HIGH), 0.0, 2.0)
    found = path(Method(HeavyBall(wells, friction), Leapfrog(), STEP), HIGH, STEPS)
    nearest = int(np.argmin(np.abs(found.position[:, 0])))
    # Leapfrog's velocities stand at the half steps: the midpoint rule.
    taken = float(np.sum(friction * found.velocity[1 : nearest + 1] ** 2) * STEP)
    measured = [friction, taken]
    return Outcome(
        *shown("stops at λ = {:.4f}, having taken {:.4f}", expected, measured), holds=close(measured, expected, 1e-4)
    )
