"""Runge-Kutta methods on gradient flow: what more gradients a step buy, and what they do not."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .._methods.method import Method
from .._methods.probe import contraction_per_gradient
from ..dynamics import GradientFlow
from ..schemes import RK4, Euler, Heun, Midpoint, RungeKutta
from ._experiment import (
    VALLEY_START,
    boundary,
    close,
    observed_order,
    path,
    quadratic,
    reference,
    shown,
    steps_to,
    valley,
)
from ._ledger import Correction, Outcome, claim

SCHEMES: dict[str, Callable[[], RungeKutta]] = {"Euler": Euler, "midpoint": Midpoint, "Heun": Heun, "RK4": RK4}
_TAYLOR = {"Euler": 1, "midpoint": 2, "Heun": 2, "RK4": 4}


def _method(scheme: RungeKutta, step: ArrayLike, *curvatures: float) -> Method:
    return Method(GradientFlow(quadratic(*curvatures)), scheme, step)


def factor(name: str, z: np.ndarray) -> np.ndarray:
    r"""The stability function: $\exp(-z)$ cut after the power of the order (p stages, order p, p ≤ 4)."""
    terms = np.cumprod([np.ones_like(z), *(-z / j for j in range(1, _TAYLOR[name] + 1))], axis=0)
    return np.sum(terms, axis=0)


def _interval(name: str) -> float:
    """The first z > 0 at which the factor is 1 or -1."""
    coefficients = np.cumprod([1.0, *(-1.0 / j for j in range(1, _TAYLOR[name] + 1))])[::-1]
    ends = []
    for value in (1.0, -1.0):
        roots = np.roots(coefficients - value * (np.arange(coefficients.size) == coefficients.size - 1))
        ends += [root.real for root in roots if abs(root.imag) < 1e-9 and root.real > 1e-9]
    return min(ends)


@eqx.filter_jit
def _ends(scheme: RungeKutta, steps: Float[Array, " n"]) -> Float[Array, " n"]:
    """Distances from the minimum after 64 steps from 1 at curvature 1, for each step size."""

    def end(step: Array) -> Array:
        method = _method(scheme, step, 1.0)
        return jax.lax.fori_loop(0, 64, lambda _, state: method.step(state), method.init(jnp.ones(()))).position

    return jnp.abs(jax.vmap(end)(steps))


@claim(
    "runge-kutta-stability",
    "001.4; hairer1996, section IV.2",
    "On gradient flow the stable steps times the curvature end at 2 for one gradient a step (Euler), 2 for two "
    "(midpoint, Heun) and 2.785 for four (RK4).",
)
def stability() -> Outcome:
    """Tell whether 64 steps on one mode shrink it: they do where one step does."""

    expected = [_interval(name) for name in SCHEMES]
    measured = [
        boundary(lambda steps, make=make: np.asarray(_ends(make(), jnp.asarray(steps))) <= 1.0, 1.0, 4.0)
        for make in SCHEMES.values()
    ]
    return Outcome(
        *shown(", ".join(f"{name} {{:.5f}}" for name in SCHEMES), expected, measured),
        holds=close(measured, [2.0, 2.0, 2.0, 2.785], 2e-4),
    )


@claim("rk4-is-steadier", "001.6, 001.7", "RK4 is more stable, but each of its steps is dearer: four evaluations.")
def steadier() -> Outcome:
    """The stable interval of a step, by halving on runs, and for each gradient that the steps are counted to take."""
    names = ("Euler", "RK4")
    expected, measured = [], []
    for name in names:
        end, each = _interval(name), _TAYLOR[name]
        expected += [float(end), float(each), float(end / each)]
    for name in names:
        make = SCHEMES[name]
        end = boundary(lambda steps, make=make: np.asarray(_ends(make(), jnp.asarray(steps))) <= 1.0, 1.0, 4.0)
        each = _method(make(), 0.1, 1.0).gradients_per_step
        measured += [end, float(each), end / each]
    words = ", ".join(f"{name} {{:.4f}} with {{:.0f}} gradients, {{:.4f}} for each" for name in names)
    return Outcome(
        *shown(f"stable interval of {words}", expected, measured),
        holds=measured[5] > measured[2],
        correction=Correction(
            f"A step of RK4 may be {measured[3] / measured[0]:.2f} times as long; for each gradient its interval is "
            f"{measured[5] / measured[2]:.2f} of that of gradient descent.",
            holds=measured[3] > measured[0] and measured[4] == 4 and close(measured, expected, 2e-4),
        ),
    )


ORDERS: dict[str, Callable[[], RungeKutta]] = {"Euler": Euler, "midpoint": Midpoint, "RK4": RK4}


@claim(
    "stages-are-orders",
    "001.11",
    "More stages of Runge-Kutta are more accurate: with two of second order, with four of fourth.",
)
def orders() -> Outcome:
    """The order of convergence to a coupled flow at t = 1, by 160 and 320 steps, against one of order 5 in 2000."""
    exact = reference(GradientFlow(valley), VALLEY_START, 1.0)

    def error(make: Callable[[], RungeKutta], steps: int) -> float:
        found = path(Method(GradientFlow(valley), make(), 1.0 / steps), VALLEY_START, steps).position[-1]
        return float(np.linalg.norm(found - exact))

    expected = [_TAYLOR[name] for name in ORDERS]
    measured = [observed_order(lambda steps, make=make: error(make, steps), 160) for make in ORDERS.values()]
    return Outcome(
        *shown(", ".join(f"{name}: order {{:.2f}}" for name in ORDERS), expected, measured),
        holds=bool(np.all(np.abs(np.subtract(measured, expected)) < 0.1)),
    )


@claim(
    "rk4-follows-flow",
    "001.1, 001.4, 001.5",
    "For the same number of gradients RK4 follows gradient flow more closely than gradient descent does.",
)
def follows() -> Outcome:
    """Both to t = 1 with 240 gradients; the errors are those of the stability functions against exp."""
    curvatures, gradients = np.array([1.0, 4.0, 9.0]), 240
    exact = np.exp(-curvatures)

    def errors(of: Callable[[str, int], np.ndarray]) -> list[float]:
        return [float(np.linalg.norm(of(name, gradients // _TAYLOR[name]) - exact)) for name in SCHEMES]

    expected = errors(lambda name, n: factor(name, curvatures / n) ** n)
    measured = errors(lambda name, n: path(_method(SCHEMES[name](), 1.0 / n, *curvatures), np.ones(3), n).position[-1])
    return Outcome(
        *shown("error " + ", ".join(f"{name} {{:.2e}}" for name in SCHEMES), expected, measured),
        holds=measured[-1] < measured[0] and close(measured, expected, 1e-3),
    )


def best_step(shrink: Callable[[np.ndarray], np.ndarray], curvatures: np.ndarray) -> float:
    """The step whose slowest mode shrinks most, on ever finer grids."""
    low, high = 0.0, 4.0 / curvatures.max()
    for _ in range(8):
        grid = np.linspace(low, high, 201)[1:]
        best = int(np.argmin(np.max(np.abs(shrink(np.multiply.outer(grid, curvatures))), axis=1)))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    return float(0.5 * (low + high))


@claim(
    "rk4-converges-faster",
    "often supposed of methods of higher order",
    "RK4 on gradient flow reaches the minimum with less work than gradient descent.",
)
def converges() -> Outcome:
    r"""Gradients to a relative distance of $10^{-6}$ at condition number 100, each at the step that suits it best.

    A full spectrum: between two curvatures a polynomial of degree four would have its zeros to spare.
    """
    curvatures = np.geomspace(0.01, 1.0, 20)
    start, tolerance, most = np.ones(curvatures.size), 1e-6, 1000
    expected, measured, contractions_predicted, contractions = [], [], [], []
    for name, make in SCHEMES.items():
        step = best_step(lambda z, name=name: factor(name, z), curvatures)
        method, factors = _method(make(), step, *curvatures), np.abs(factor(name, step * curvatures))
        distances = np.linalg.norm(path(method, start, most).position, axis=1)
        measured.append(method.gradients_per_step * steps_to(distances, tolerance))
        expected.append(
            _TAYLOR[name] * steps_to(np.linalg.norm(np.power.outer(factors, np.arange(most + 1)), axis=0), tolerance)
        )
        contractions.append(contraction_per_gradient(method, curvatures))
        contractions_predicted.append(float(np.max(factors)) ** (1.0 / _TAYLOR[name]))
    ratio = measured[-1] / measured[0]
    words = "gradients (contraction by each): " + ", ".join(f"{name} {{}} ({{:.5f}})" for name in SCHEMES)
    predicted = [figure for pair in zip(expected, contractions_predicted, strict=True) for figure in pair]
    found = [figure for pair in zip(measured, contractions, strict=True) for figure in pair]
    return Outcome(
        *shown(words, predicted, found),
        holds=ratio < 1.0,
        correction=Correction(
            f"RK4 takes {ratio / 4:.2f} of the steps but {ratio:.1f} times the gradients: four gradients a "
            "step widen the stable interval from 2 to 2.785 only [hairer1996].",
            holds=measured == expected and min(measured[1:]) > measured[0] and min(contractions[1:]) > contractions[0],
            amends=False,
        ),
    )
