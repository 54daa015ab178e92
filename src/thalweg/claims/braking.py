"""Oscillation: what friction prevents of it, and what the look-ahead does near a minimum and beyond it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import j1

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from ..dynamics import HeavyBall, NesterovFlow
from ..schemes import Tsit5
from ._experiment import close, modulus, path, quadratic, shown
from ._ledger import Correction, Outcome, claim

MASS, CURVATURE, TIME, STEP = 2.0, 3.0, 40.0, 0.01
CRITICAL = 2.0 * (MASS * CURVATURE) ** 0.5
LAWS: dict[str, Callable[[Any], Any]] = {
    "half the critical friction": lambda f: HeavyBall(f, 0.5 * CRITICAL, MASS),
    "the critical one": lambda f: HeavyBall(f, CRITICAL, MASS),
    "twice it": lambda f: HeavyBall(f, 2.0 * CRITICAL, MASS),
    "3/t": NesterovFlow,
}


def _passages(times: np.ndarray) -> list[int]:
    r"""Number of times that each passes the minimum from rest.

    Below the critical friction at roots of $\cos(\omega t - \phi)$, $\tan\phi = \lambda/2m\omega$; from it on never;
    with 3/t at those of $J_1(t\sqrt\ell)$, whatever the mass.
    """
    decay = 0.25 * CRITICAL / MASS
    omega = (CURVATURE / MASS - decay**2) ** 0.5
    roots = (0.5 * np.pi + np.arctan(decay / omega) + np.pi * np.arange(1000)) / omega
    waves = j1(np.sqrt(CURVATURE) * times[1:])
    return [int(np.sum(roots < times[-1])), 0, 0, int(np.sum(waves[1:] * waves[:-1] < 0.0))]


@claim(
    "friction-prevents-oscillation",
    "003.24",
    "In m x'' + μx' + ∇U = 0, and so in Nesterov's method, friction prevents oscillation.",
)
def prevents() -> Outcome:
    """Number of times that a ball passes the lowest point of a bowl until t = 40, from rest, m = 2 and curvature 3."""
    times = np.linspace(0.0, TIME, round(TIME / STEP) + 1)
    measured = []
    for law in LAWS.values():
        x = path(Method(law(quadratic(CURVATURE)), Tsit5(), STEP), 1.0, times.size - 1).position[:, 0]
        # What is below rounding has no sign.
        signs = np.sign(x[np.abs(x) > 1e-13])
        measured.append(int(np.sum(signs[1:] != signs[:-1])))
    expected = _passages(times)[: len(measured)]
    words = ", ".join(f"{{:d}} with {name}" for name in LAWS)
    return Outcome(
        *shown(f"passages {words}", expected, measured),
        holds=max(measured) == 0,
        correction=Correction(
            "From the critical friction 2√(mℓ) on. Below it friction lowers the swings and prevents none; and the "
            "friction 3/t of Nesterov's equation falls below it along every direction, by t = 3/(2√ℓ).",
            holds=measured == expected and measured[1] == measured[2] == 0 < min(measured[0], measured[-1]),
        ),
    )


BETA = 0.9
PRODUCTS: tuple[float, ...] = (0.01, 0.5, 0.9)
AHEAD: Callable[..., Method] = nesterov


@claim(
    "nesterov-brakes-by-itself",
    "003.38",
    "Near the optimum Nesterov's method shrinks its steps by itself; momentum has no such adaptation.",
)
def brakes() -> Outcome:
    r"""The step after the one that led to the minimum over that one, and the shrinking of a mode, at three αℓ.

    At the minimum a step v is followed by βv, and by $\beta(1 - \alpha\ell)v$ where the gradient is taken ahead; a mode
    that oscillates shrinks by the root of either factor a step, wherever it is.
    """
    expected, measured = [], []
    for product in PRODUCTS:
        for make, factor in ((momentum, BETA), (AHEAD, BETA * (1.0 - product))):
            expected += [factor, factor**0.5]
            method = make(quadratic(1.0), product, BETA)
            after = path(method, [0.0], 1, [1.0]).position[1, 0]
            measured += [float(after / method.step_size), modulus(path(method, 1.0, 60).position[:, 0])]
    words = "; ".join(f"αℓ = {p:g}: momentum {{:.4f}} and {{:.4f}}, Nesterov {{:.4f}} and {{:.4f}}" for p in PRODUCTS)
    ball, ahead = measured[::4], measured[2::4]
    fewer = [other / one for one, other in zip(ball, ahead, strict=True)]
    return Outcome(
        *shown(f"next step at the minimum, and a mode a step: {words}", expected, measured),
        holds=max(fewer) < 0.95,
        correction=Correction(
            "Along steep directions: the look-ahead brakes by 1 - αℓ, which is nothing where αℓ is small. Momentum's "
            "steps shrink as well, by √β a step while it oscillates about the minimum.",
            holds=close(measured, expected, 1e-6) and fewer[-1] < 0.95 < fewer[0] and max(measured) < 1.0,
        ),
    )


STEEP: tuple[float, ...] = (0.1, 0.5, 0.95, 1.3, 1.4)
_RUN = 200


def _mode(product: float, ahead: float) -> np.ndarray:
    """A mode from 1 and an empty buffer, by the powers of its two roots."""
    trace, both = 1.0 + BETA - product * (1.0 + ahead), BETA - product * ahead
    gap = np.sqrt(complex(trace**2 / 4.0 - both))
    one, other, n = trace / 2.0 + gap, trace / 2.0 - gap, np.arange(_RUN + 1)
    first = 1.0 - product
    return (((first - other) * one**n - (first - one) * other**n) / (one - other)).real


@claim(
    "nesterov-corrects-overshoots",
    "003.41",
    "In steep regions momentum overshoots the optimum; Nesterov's method corrects in time.",
)
def corrects() -> Outcome:
    r"""The distance that each gets beyond the minimum in 200 steps, of its distance at the start, at five αℓ.

    Along a mode the points are powers of the roots of $z^2 - (1 + \beta - \alpha\ell(1 + a))z + \beta - \alpha\ell a$.
    """
    expected, measured = [], []
    for product in STEEP:
        for make, ahead in ((momentum, 0.0), (AHEAD, BETA)):
            expected.append(max(0.0, -float(np.min(_mode(product, ahead)))))
            points = path(make(quadratic(1.0), product, BETA), 1.0, _RUN).position
            measured.append(max(0.0, -float(np.min(points))))
    words = "; ".join(f"{{:.4g}} and {{:.4g}} at αℓ = {product:g}" for product in STEEP)
    ball, ahead = np.array(measured[::2]), np.array(measured[1::2])
    limit = (2.0 + 2.0 * BETA) / (1.0 + 2.0 * BETA)
    return Outcome(
        *shown(f"beyond the minimum with momentum and Nesterov: {words}", expected, measured),
        holds=bool(np.all(ahead < 0.9 * ball)),
        correction=Correction(
            f"Up to its limit αℓ = (2 + 2β)/(1 + 2β), {limit:.3f} at β = {BETA:g}: in steeper regions it diverges, "
            "where momentum goes to and fro and settles.",
            holds=close(measured, expected, 1e-6)
            and bool(np.all(ahead[:-1] < 0.9 * ball[:-1]))
            and bool(ahead[-1] > 1e3 and ball[-1] < 2.0),
        ),
    )
