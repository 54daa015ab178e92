"""Stable learning rates, and the speed of the fast modes."""

from collections.abc import Callable

import numpy as np

from .._methods.aliases import gradient_descent, midpoint_momentum, momentum, nesterov
from .._methods.method import Method
from .._methods.probe import largest_stable_learning_rate
from ..dynamics import GradientFlow
from ..schemes import ImplicitEuler
from ._experiment import close, modulus, path, quadratic, shown
from ._ledger import Correction, Outcome, claim

MOMENTA = (0.0, 0.5, 0.9, 0.99)
_STEPS = 20000


def _limits(make: Callable[..., Method]) -> list[float]:
    """The stable range of αℓ at each momentum, from the step itself."""
    return [largest_stable_learning_rate(make(None, 0.1, beta), 1.0) for beta in MOMENTA]


def _confirmed(make: Callable[..., Method], limits: list[float]) -> bool:
    """Tell whether runs stay bounded 0.2 % below the limits, and grow 0.2 % above them."""

    def farthest(rate: float, beta: float) -> float:
        end = path(make(quadratic(1.0), rate, beta), 1.0, _STEPS).position[-100:]
        return float(np.max(np.abs(end))) if np.all(np.isfinite(end)) else np.inf

    pairs = list(zip(limits, MOMENTA, strict=True))
    return all(farthest(0.998 * a, b) < 10.0 for a, b in pairs) and all(farthest(1.002 * a, b) > 10.0 for a, b in pairs)


_LIMITS = "αℓ < " + ", ".join(f"{{:.6f}} (β = {beta:g})" for beta in MOMENTA)


@claim("heavy-ball-stability", "polyak1964, of equation 9", "Momentum is stable on a quadratic for αℓ < 2 + 2β.")
def heavy_ball() -> Outcome:
    """The step's own matrix has the eigenvalue -1 at the limit; runs stay bounded below and grow above it."""
    expected, measured = [2.0 + 2.0 * beta for beta in MOMENTA], _limits(momentum)
    holds = close(measured, expected, 1e-9) and _confirmed(momentum, measured)
    return Outcome(*shown(_LIMITS, expected, measured), holds=holds)


@claim(
    "midpoint-stability",
    "this project: from the mode's two-term recurrence",
    "With the gradient half-way ahead, at θ + βv/2, momentum is stable for αℓ < 2 at every momentum.",
)
def midpoint() -> Outcome:
    r"""The look-ahead $a = \beta/2$ in $\min\bigl((2+2\beta)/(1+2a), (1+\beta)/a\bigr)$."""
    expected, measured = [2.0 for _ in MOMENTA], _limits(midpoint_momentum)
    holds = close(measured, expected, 1e-9) and _confirmed(midpoint_momentum, measured)
    return Outcome(*shown(_LIMITS, expected, measured), holds=holds)


@claim(
    "nesterov-stability",
    "004.41",
    "Nesterov's method is stable over a wider range of learning rates than momentum.",
)
def nesterov_range() -> Outcome:
    r"""With $a = \beta$ an eigenvalue leaves the circle at -1 when $\alpha\ell = (2+2\beta)/(1+2\beta)$."""
    expected = [(2.0 + 2.0 * beta) / (1.0 + 2.0 * beta) for beta in MOMENTA]
    measured, plain = _limits(nesterov), _limits(momentum)
    wider = [
        ahead > ball * (1.0 + 1e-9) for ahead, ball, beta in zip(measured, plain, MOMENTA, strict=True) if beta > 0
    ]
    return Outcome(
        *shown(_LIMITS, expected, measured),
        holds=all(wider),
        correction=Correction(
            f"The range is narrower, (2 + 2β)/(1 + 2β) against 2 + 2β: at β = {MOMENTA[2]:g}, {measured[2]:.3f} "
            f"against {plain[2]:.3f}. What it has is damping of the fast modes [sutskever2013].",
            holds=close(measured, expected, 1e-9) and not any(wider) and _confirmed(nesterov, measured),
            amends=False,
        ),
    )


@claim(
    "nesterov-damps-fast-modes",
    "003.37; sutskever2013, theorem 2.1, for one mode",
    "Nesterov's method damps oscillations along steep directions, momentum does not: |z| = √(β(1 - αℓ)) against √β.",
)
def fast_modes() -> Outcome:
    r"""$|z| = \sqrt{\beta - \alpha\ell a}$ where the two eigenvalues are a pair, with the look-ahead a; from runs."""
    beta, rate = 0.9, 0.9
    makers = {"momentum": (momentum, 0.0), "midpoint": (midpoint_momentum, beta / 2), "Nesterov": (nesterov, beta)}
    expected = [float(np.sqrt(beta - rate * ahead)) for _, ahead in makers.values()]
    runs = [path(make(quadratic(1.0), rate, beta), 1.0, 20).position[:, 0] for make, _ in makers.values()]
    measured = [modulus(run) for run in runs]
    return Outcome(
        *shown("|z|: " + ", ".join(f"{name} {{:.6f}}" for name in makers), expected, measured),
        holds=close(measured, expected, 1e-8) and measured[2] < measured[0],
    )


@claim(
    "proximal-point-has-no-limit",
    "rockafellar1976, for a quadratic",
    "The proximal point method, implicit Euler on gradient flow, converges at any step; gradient descent does not.",
)
def proximal_point() -> Outcome:
    r"""The factors of one step, $1/(1+h\ell)$ against $1-h\ell$, from steps of the methods."""
    steps = (0.1, 2.1, 1e3, 1e6)
    expected = [factor for h in steps for factor in (1.0 / (1.0 + h), 1.0 - h)]
    flow = GradientFlow(quadratic(1.0))
    methods = [(Method(flow, ImplicitEuler(), h), gradient_descent(quadratic(1.0), h)) for h in steps]
    measured = [float(path(method, 1.0, 1).position[1, 0]) for pair in methods for method in pair]
    words = "a step: " + ", ".join(f"h = {h:g} {{:.9g}} against {{:.9g}}" for h in steps)
    implicit, explicit = np.abs(measured[::2]), np.abs(measured[1::2])
    return Outcome(
        *shown(words, expected, measured),
        holds=close(measured, expected, 1e-7)
        and bool(np.all(implicit < 1.0) and explicit[0] < 1.0 < min(explicit[1:])),
    )
