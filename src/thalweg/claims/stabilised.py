"""Stabilised Runge-Kutta methods: how far s gradients go, and at which rate."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from .._methods.aliases import momentum, nesterov, stabilised_descent
from .._methods.method import Method
from .._methods.probe import contraction_per_gradient, largest_stable_step
from .._objectives.objective import Objective
from ..dynamics import GradientFlow
from ..schemes import RK4, AbstractScheme, Euler, Heun, RungeKuttaChebyshev, RungeKuttaLegendre
from ._experiment import ROUNDING, boundary, close, final, quadratic, shown
from ._ledger import Outcome, claim

STAGES = (4, 8, 16)
DAMPING = 0.05
# As they are used: the Chebyshev one damped, so that every mode shrinks up to the end.
PER_GRADIENT: dict[str, Callable[[], AbstractScheme]] = {
    "Euler": Euler,
    "Heun": Heun,
    "RK4": RK4,
    "Chebyshev of 10": lambda: RungeKuttaChebyshev(1, 10, damping=DAMPING),
    "Legendre of 10": lambda: RungeKuttaLegendre(1, 10),
}
FAMILIES: dict[str, Callable[[int], AbstractScheme]] = {
    "Chebyshev": lambda s: RungeKuttaChebyshev(1, s, damping=0.0),
    "Legendre": lambda s: RungeKuttaLegendre(1, s),
}


def _end(scheme: AbstractScheme, most: float) -> float:
    """Curvature at which one step of size 1 first enlarges a mode, a mode each curvature."""

    def inside(z: np.ndarray) -> np.ndarray:
        method = Method(GradientFlow(quadratic(*z)), scheme, 1.0)
        return np.abs(final(method, np.ones(z.size), 1)) <= 1.0 + ROUNDING

    return boundary(inside, 0.5, most)


@claim(
    "stabilised-interval",
    "hairer1996, section IV.2; meyer2014",
    "The stable interval of s gradients grows as their square, to 2s^2 by Chebyshev polynomials and to s^2 + s by "
    "Legendre polynomials, where s steps of Euler's method have 2s.",
)
def interval() -> Outcome:
    """Measure the step that runs, at 4, 8 and 16 gradients."""
    expected = [2.0 * s * s for s in STAGES] + [1.0 * s * s + s for s in STAGES]
    measured = [_end(make(s), 3.0 * s * s) for make in FAMILIES.values() for s in STAGES]
    words = ", ".join(f"{name} {{:.3f}}, {{:.3f}}, {{:.3f}}" for name in FAMILIES)
    return Outcome(*shown(words, expected, measured), holds=close(measured, expected, 1e-4))


@claim(
    "interval-per-gradient",
    "hairer1996, section IV.2; meyer2014",
    "For each gradient of a step the stable interval of gradient flow is 2 long by Euler's method, 1 by Heun's, 0.696 "
    "by RK4, but 1.93s by damped Chebyshev and s + 1 by Legendre polynomials of s stages: more stages buy longer steps "
    "only where they are chosen for it.",
)
def per_gradient() -> Outcome:
    r"""Probe each step linearly.

    RK4 ends at the real root of $1 - z/2 + z^2/6 - z^3/24$, and with $w = 1 + \varepsilon/s^2$ the damped Chebyshev
    method where $w - zT_s(w)/T_s'(w) = -w$.
    """
    stages, kutta = 10, np.roots([-1.0 / 24.0, 1.0 / 6.0, -0.5, 1.0])
    angle = np.arccosh(1.0 + DAMPING / stages**2)
    chebyshev = 2.0 * stages * np.tanh(stages * angle) / np.tanh(angle)
    ends = [2.0, 2.0, float(kutta[np.isreal(kutta)].real[0]), chebyshev, stages**2 + stages]
    expected = [end / gradients for end, gradients in zip(ends, (1, 2, 4, stages, stages), strict=True)]
    methods = [Method(GradientFlow(None), make(), 1.0) for make in PER_GRADIENT.values()]
    measured = [float(largest_stable_step(method, 1.0)) / method.gradients_per_step for method in methods]
    words = ", ".join(f"{name} {{:.4f}}" for name in PER_GRADIENT)
    bounds = (expected[2], 0.696, 1e-3), (expected[3], 1.93 * stages, 0.03 * stages)
    return Outcome(
        *shown(words, expected, measured),
        holds=close(measured, expected, 1e-6) and all(abs(a - b) < width for a, b, width in bounds),
    )


@claim(
    "stabilised-rate",
    "golub1961",
    "Where the curvature lies between mu and L, stabilised descent is faster per gradient than Nesterov's method once "
    "a step has enough stages, and slower than the heavy ball only by a factor 2 a step.",
)
def rate() -> Outcome:
    r"""At condition number 100 with 20 stages, $-\ln$ of the contraction per gradient, each as it is tuned best.

    $1/T_s(\cosh\varphi) = 1/\cosh s\varphi < 2e^{-s\varphi}$, where $e^{-\varphi}$ is the heavy ball's factor.
    """
    condition, stages = 100.0, 20
    curvatures = np.geomspace(1.0 / condition, 1.0, 50)
    root, wide = np.sqrt(condition), np.sqrt(3.0 * condition + 1.0)
    phi = np.log((root + 1.0) / (root - 1.0))
    f = Objective(
        lambda x, c: 0.5 * jnp.sum(c * x * x),
        jnp.asarray(curvatures),
        smoothness=1.0,
        strong_convexity=1.0 / condition,
    )
    methods = (
        momentum(f, (2.0 * root / (root + 1.0)) ** 2, np.exp(-2.0 * phi)),
        stabilised_descent(f, stages=stages),
        nesterov(f, 4.0 / (3.0 + 1.0 / condition), (wide - 2.0) / (wide + 2.0)),
    )
    expected = [phi, np.log(np.cosh(stages * phi)) / stages, -np.log(1.0 - 2.0 / wide)]
    measured = [-np.log(contraction_per_gradient(method, list(curvatures))) for method in methods]
    ball, stabilised, other = measured
    return Outcome(
        *shown("rate of the heavy ball {:.5f}, stabilised {:.5f}, Nesterov {:.5f}", expected, measured),
        holds=close(measured, expected, 1e-4) and bool(other < stabilised > ball - np.log(2.0) / stages),
    )
