"""Noise carries a point over a barrier: how long it takes, with white noise and with coloured."""

import numpy as np
from numpy.polynomial import chebyshev

from .._methods.aliases import gradient_descent
from .._methods.method import Method
from ..analysis import escape_time, kramers_time
from ..dynamics import ColouredLangevin, OverdampedLangevin
from ..schemes import StochasticHeun
from ._experiment import close, path, shown
from ._ledger import Correction, Outcome, claim
from ._transfer import REACH, least_eigenvalue, residence_time
from .barrier import wells

COLD = (0.02, 0.01, 0.005)
HOT, TIMES, STEP = 0.2, (0.1, 0.2, 0.4), 0.01
DEGREE, MODES = 44, 16


def time_on_one_side(temperature: float, tau: float) -> float:
    r"""The mean time on one side from the backward equation itself, by Chebyshev's and Hermite's polynomials.

    With $\zeta = y\sqrt{T/\tau}$ it is $\bigl(\sqrt{T/\tau}\,y - L'\bigr)\partial_x + \tau^{-1}(\partial_y^2 -
    y\partial_y)$, for $\tau = 0$ it is $T\partial_x^2 - L'\partial_x$.
    """
    modes = MODES if tau else 1
    nodes = np.cos(np.pi * (np.arange(DEGREE) + 0.5) / DEGREE)
    basis, x = chebyshev.chebvander(nodes, DEGREE - 1), REACH * nodes
    derivative = chebyshev.chebder(np.eye(DEGREE), axis=0, scl=1.0 / REACH)
    derivative = np.vstack([derivative, np.zeros(DEGREE)])
    down = np.linalg.solve(basis, (x - x**3)[:, None] * (basis @ derivative))
    odd = np.add.outer(np.arange(DEGREE), np.arange(modes)).ravel() % 2 == 1
    if tau:
        j = np.arange(modes)
        times_y = np.diag(np.ones(modes - 1), -1) + np.diag(j[1:], 1)
        whole = np.kron(down, np.eye(modes)) - np.kron(np.eye(DEGREE), np.diag(j)) / tau
        whole = whole + (temperature / tau) ** 0.5 * np.kron(derivative, times_y)
    else:
        whole = down + temperature * derivative @ derivative
    return 2.0 / least_eigenvalue(-whole[np.ix_(odd, odd)])


@claim(
    "noise-crosses-barriers",
    "004.14, 004.30; kramers1940; hanggi1990",
    "Noise carries a point out of a well that gradient descent stays in, in a time that grows as exp(ΔL/T).",
)
def crosses() -> Outcome:
    r"""$\tau\,\tfrac{\sqrt{L''(a)|L''(b)|}}{2\pi}e^{-\Delta L/T} = 1 + \tfrac32T + O(T^2)$ in the two wells.

    $\tfrac32$ from the third and fourth derivatives at bottom and top, as Laplace's method has it. Warmer, at T = 0.2,
    the time on one side by stochastic Heun's own steps, and by the equation.
    """
    law = OverdampedLangevin(wells, HOT)
    ratios = [escape_time(wells, -1.0, 1.0, t) / kramers_time(wells, -1.0, 0.0, t) for t in COLD]
    expected = [*(1.0 + 1.5 * t for t in COLD[1:]), time_on_one_side(HOT, 0.0)]
    measured = [*ratios[1:], residence_time(Method(law, StochasticHeun(), STEP), DEGREE)]
    stays = bool(np.all(path(gradient_descent(wells, 0.05), -1.5, 2000).position < 0.0))
    words = ", ".join(f"{{:.3f}} at T = {t:g}" for t in COLD[1:])
    return Outcome(
        *shown(f"time over Kramers' {words}; time on one side {{:.3f}} at T = {HOT:g}", expected, measured),
        holds=stays and close(measured, expected, 1e-3) and abs(ratios[0] - 1.0) > abs(ratios[2] - 1.0),
    )


@claim(
    "coloured-noise-crosses-as-well",
    "often taken for granted of noise that is not white, at the same strength",
    "For crossing barriers it does not matter whether the noise is white or correlated in time.",
)
def coloured() -> Outcome:
    r"""The mean time on one side in the two wells, at the same $\int\langle\zeta(t)\zeta(0)\rangle dt = 2T$."""
    expected = [time_on_one_side(HOT, tau) for tau in (0.0, *TIMES)]
    white = Method(OverdampedLangevin(wells, HOT), StochasticHeun(), STEP)
    measured = [residence_time(white, DEGREE)]
    for tau in TIMES:
        method = Method(ColouredLangevin(wells, HOT, tau), StochasticHeun(), STEP)
        measured.append(residence_time(method, DEGREE, MODES))
    words = ", ".join(f"{{:.2f}} at τ = {tau:g}" for tau in TIMES)
    return Outcome(
        *shown(f"T = {HOT:g}: time on one side {{:.2f}} in white noise, {words}", expected, measured),
        holds=close(measured, [measured[0]] * 4, 0.05),
        correction=Correction(
            f"The longer the noise remembers, the longer the crossing takes: {measured[-1] / measured[0]:.2f} times as "
            f"long at τ = {TIMES[-1]:g} [hanggi1995].",
            holds=close(measured, expected, 2e-3) and bool(np.all(np.diff(measured) > 0.0)),
            amends=False,
        ),
    )
