"""Common parts of experiments: a law of motion to follow; paths, orders and rates taken from the steps themselves."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .._methods.method import Method
from .._objectives.objective import Quadratic
from ..dynamics import AbstractDynamics
from ..schemes import State, Tsit5

Coordinates = ArrayLike | Sequence[float]
Figure = int | float | str

ROUNDING = 1e-12
ORDER_TOLERANCE = 0.1


class Path(NamedTuple):
    """States along a run, the start first; `velocity` is the position's own place holder in first-order laws."""

    position: np.ndarray
    lookahead: np.ndarray
    velocity: np.ndarray


def valley(x: Float[Array, " 3"]) -> Float[Array, ""]:
    r"""A coupled function of three variables that no sign error leaves unchanged.

    $$f(x) = \tfrac12(x_1^2 + 4x_2^2 + 9x_3^2) + \tfrac1{10}|x|^4 + \tfrac3{10}x_1x_2x_3$$
    """
    squares = x * x
    return 0.5 * (squares[0] + 4.0 * squares[1] + 9.0 * squares[2]) + 0.1 * jnp.sum(squares) ** 2 + 0.3 * jnp.prod(x)


VALLEY_START = (1.2, -0.7, 0.5)


def quadratic(*curvatures: float) -> Quadratic:
    r"""$\tfrac12\sum_i\ell_ix_i^2$."""
    return Quadratic(jnp.asarray(curvatures, float))


@eqx.filter_jit
def _path(method: Method, state: State, steps: int) -> Path:
    def parts(state: State) -> Path:
        velocity = state.position if state.velocity is None else state.velocity
        return Path(state.position, state.lookahead, velocity)  # pyright: ignore[reportArgumentType]

    def one(state: State, _: None) -> tuple[State, Path]:
        after = method.step(state)
        return after, parts(after)

    _, rest = jax.lax.scan(one, state, length=steps)
    return jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), parts(state), rest)


def path(method: Method, start: Coordinates, steps: int, velocity: Coordinates | None = None) -> Path:
    """Every state of a run by the steps of the method itself.

    Arguments:
        method: what runs.
        start: where it starts.
        steps: how many steps.
        velocity: with which velocity, the law's own if None.

    Returns:
        arrays (steps + 1, d).
    """
    given = None if velocity is None else jnp.asarray(velocity, float)
    state = method.init(jnp.atleast_1d(jnp.asarray(start, float)), given)
    return jax.tree.map(np.asarray, _path(method, state, steps))


def final(method: Method, start: Coordinates, steps: int, velocity: Coordinates | None = None) -> np.ndarray:
    """End of a run."""
    return path(method, start, steps, velocity).position[-1]


def reference(
    dynamics: AbstractDynamics, start: Coordinates, time: float, velocity: Coordinates | None = None, steps: int = 2000
) -> np.ndarray:
    """End of the motion itself, by a method of fifth order at a much smaller step."""
    return final(Method(dynamics, Tsit5(), time / steps), start, steps, velocity)


def observed_order(error: Callable[[int], float], steps: int) -> float:
    """The order of convergence between `steps` and twice as many."""
    return float(np.log2(error(steps) / error(2 * steps)))


def modulus(positions: np.ndarray) -> float:
    r"""The size $|z|$ of the two eigenvalues of a mode, the root of their product, from the points of a run.

    For $x_n = az_1^n + bz_2^n$ the determinant $x_{n+1}x_{n-1} - x_n^2$ shrinks by $z_1z_2$ a step, exactly.
    """
    wronskian = positions[2:] * positions[:-2] - positions[1:-1] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.median(np.sqrt(np.abs(wronskian[1:] / wronskian[:-1]))))


def boundary(inside: Callable[[np.ndarray], np.ndarray], low: float, high: float, rounds: int = 8) -> float:
    """The first value between `low` and `high` that is not inside, by repeated subdivision."""
    for _ in range(rounds):
        grid = np.linspace(low, high, 33)
        outside = ~np.asarray(inside(grid))
        first = int(np.argmax(outside)) if outside.any() else grid.size - 1
        low, high = float(grid[max(first - 1, 0)]), float(grid[first])
    return 0.5 * (low + high)


def steps_to(distances: np.ndarray, tolerance: float) -> int:
    """The first step at which a distance, relative to the first one, is at most `tolerance`."""
    reached = distances <= tolerance * distances[0]
    return int(np.argmax(reached)) if reached.any() else -1


def close(measured: float | Sequence[float], expected: float | Sequence[float], relative: float) -> bool:
    """Tell whether figures agree, all of them."""
    return bool(np.allclose(measured, expected, rtol=relative, atol=0.0))


def undecided(value: float, error: float, threshold: float, errors: float = 2.0) -> bool:
    """Tell whether a threshold stands within so many standard errors of a mean."""
    return bool(abs(value - threshold) < errors * error)


def shown(template: str, expected: Sequence[Figure], measured: Sequence[Figure]) -> tuple[str, str]:
    """The figures expected and the figures measured, in the same words."""
    return template.format(*expected), template.format(*measured)
