"""Runge-Kutta methods on gradient flow: what more gradients a step buy, and what they do not."""

from collections.abc import Callable

import numpy as np

from .._method import Method
from ..dynamics import GradientFlow
from ..schemes import RK4, Euler, Heun, Midpoint, RungeKutta
from ._experiment import boundary, close, path, quadratic, shown, steps_to
from ._ledger import ARTICLE_RUNGE_KUTTA, Correction, Outcome, claim

SCHEMES: dict[str, Callable[[], RungeKutta]] = {"Euler": Euler, "midpoint": Midpoint, "Heun": Heun, "RK4": RK4}
_TAYLOR = {"Euler": 1, "midpoint": 2, "Heun": 2, "RK4": 4}


def _method(scheme: RungeKutta, step: float, *curvatures: float) -> Method:
    return Method(GradientFlow(quadratic(*curvatures)), scheme, step)


def _factor(name: str, z: np.ndarray) -> np.ndarray:
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


@claim(
    "runge-kutta-stability",
    "hairer1996, section IV.2",
    "On gradient flow the stable steps times the curvature end at 2 for one gradient a step (Euler), 2 for two "
    "(midpoint, Heun) and 2.785 for four (RK4).",
)
def stability() -> Outcome:
    """64 steps on one mode: they shrink it, or not, as one step does."""

    def ends(make: Callable[[], RungeKutta]) -> float:
        def shrinks(steps: np.ndarray) -> np.ndarray:
            return np.array([abs(path(_method(make(), h, 1.0), 1.0, 64).position[-1, 0]) <= 1.0 for h in steps])

        return boundary(shrinks, 1.0, 4.0, rounds=5)

    expected = [_interval(name) for name in SCHEMES]
    measured = [ends(make) for make in SCHEMES.values()]
    return Outcome(
        *shown(", ".join(f"{name} {{:.5f}}" for name in SCHEMES), expected, measured),
        holds=close(measured, [2.0, 2.0, 2.0, 2.785], 2e-4),
    )


@claim(
    "rk4-follows-flow",
    ARTICLE_RUNGE_KUTTA,
    "For the same number of gradients RK4 follows gradient flow more closely than gradient descent does.",
)
def follows() -> Outcome:
    """Both to t = 1 with 240 gradients; the errors are those of the stability functions against exp."""
    curvatures, gradients = np.array([1.0, 4.0, 9.0]), 240
    exact = np.exp(-curvatures)

    def errors(of: Callable[[str, int], np.ndarray]) -> list[float]:
        return [float(np.linalg.norm(of(name, gradients // _TAYLOR[name]) - exact)) for name in SCHEMES]

    expected = errors(lambda name, n: _factor(name, curvatures / n) ** n)
    measured = errors(lambda name, n: path(_method(SCHEMES[name](), 1.0 / n, *curvatures), np.ones(3), n).position[-1])
    return Outcome(
        *shown("error " + ", ".join(f"{name} {{:.2e}}" for name in SCHEMES), expected, measured),
        holds=measured[-1] < measured[0] and close(measured, expected, 1e-3),
    )


def _best_step(factor: Callable[[np.ndarray], np.ndarray], curvatures: np.ndarray) -> float:
    """The step whose slowest mode shrinks most, on ever finer grids."""
    low, high = 0.0, 4.0 / curvatures.max()
    for _ in range(8):
        grid = np.linspace(low, high, 201)[1:]
        best = int(np.argmin(np.max(np.abs(factor(np.multiply.outer(grid, curvatures))), axis=1)))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    return float(0.5 * (low + high))


@claim(
    "rk4-converges-faster",
    ARTICLE_RUNGE_KUTTA,
    "RK4 on gradient flow reaches the minimum with less work than gradient descent.",
)
def converges() -> Outcome:
    r"""Gradients to a relative distance of $10^{-6}$ at condition number 100, each at the step that suits it best.

    A full spectrum: between two curvatures a polynomial of degree four would have its zeros to spare.
    """
    curvatures = np.geomspace(0.01, 1.0, 20)
    start, tolerance, most = np.ones(curvatures.size), 1e-6, 1000
    expected, measured = [], []
    for name, make in SCHEMES.items():
        step = _best_step(lambda z, name=name: _factor(name, z), curvatures)
        scheme = make()
        distances = np.linalg.norm(path(_method(scheme, step, *curvatures), start, most).position, axis=1)
        measured.append(len(scheme.tableau.b) * steps_to(distances, tolerance))
        powers = np.power.outer(np.abs(_factor(name, step * curvatures)), np.arange(most + 1))
        expected.append(_TAYLOR[name] * steps_to(np.linalg.norm(powers, axis=0), tolerance))
    ratio = measured[-1] / measured[0]
    return Outcome(
        *shown("gradients: " + ", ".join(f"{name} {{}}" for name in SCHEMES), expected, measured),
        holds=ratio < 1.0,
        correction=Correction(
            f"RK4 takes {ratio / 4:.2f} of the steps but {ratio:.1f} times the gradients: four gradients a "
            "step widen the stable interval from 2 to 2.785 only [hairer1996].",
            holds=measured == expected and min(measured[1:]) > measured[0],
            amends=False,
        ),
    )
