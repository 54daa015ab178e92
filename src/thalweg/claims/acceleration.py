"""Acceleration beyond fixed momentum: restarts, time that is sped up, damping along the curvature."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import j1, jv

from .._methods.method import Method
from ..dynamics import BregmanFlow, HessianDampedFlow, NesterovFlow
from ..schemes import RK4, Restarted
from ._experiment import close, path, quadratic, shown
from ._ledger import Outcome, claim
from .nesterov_flow import CURVATURES, START

# Where a mode of Nesterov's ODE is fastest, J2(u) = u J3(u), and what is left of it there.
_FASTEST = 2.29991033
_LEFT = 2.0 * j1(_FASTEST) / _FASTEST
# The time over which restarts are watched, times √μ, and the largest curvature beside μ.
_LONG, _STEEP = 40.0, 1e-4


@claim(
    "restart-linear-rate",
    "003.32; su2016; donoghue2015",
    "Restarted where it slows down, Nesterov's method with the friction 3/t converges linearly at a rate that is "
    "proportional to √μ, which it does not know.",
)
def restart() -> Outcome:
    r"""On a mode of curvature μ, and on eight modes from μ to L at one L and two μ, by the points of rest.

    From rest a mode is $x = 2J_1(u)/u$, $u = t\sqrt\ell$, and alone it is fastest at $u^\star$; a restart there leaves
    $2J_1(u^\star)/u^\star$ of it, so that the rate is $-\ln(2J_1(u^\star)/u^\star)/u^\star$ per unit of u. Of many
    modes the speed is that of all: the motion between restarts in closed form, their times as roots. A rate that went
    as μ/√L, or one that the other modes slow down, would be another number; the second half of the restarts tells.
    """

    def rate(*curvatures: float) -> float:
        least, start = curvatures[0], np.ones(len(curvatures))
        steps = int(_LONG / np.sqrt(least))
        run = path(Method(NesterovFlow(quadratic(*curvatures)), Restarted(by="speed"), 1.0), start, steps)
        rests = np.flatnonzero(~run.velocity.any(axis=1))
        return _rate(rests, run.position[rests], np.array(curvatures)) if len(rests) >= 4 else 0.0

    settings = [(1e-6,), tuple(np.geomspace(1e-6, _STEEP, 8)), tuple(np.geomspace(2.5e-7, _STEEP, 8))]
    expected, measured = [_restarted(np.array(c)) for c in settings], [rate(*c) for c in settings]
    alone = -np.log(_LEFT) / _FASTEST
    words = "rate {:.4f}√μ on one mode; on eight up to L = 1e-4 {:.4f}√μ at μ = 1e-6, {:.4f}√μ at μ = 2.5e-7"
    holds = close(measured, [alone] * 3, 1e-2) and close(measured, expected, 2e-3)
    return Outcome(*shown(words, expected, measured), holds=holds)


def _rate(times: np.ndarray, positions: np.ndarray, curvatures: np.ndarray) -> float:
    """Half the rate at which f falls over the later half of the restarts, in units of √μ."""
    half = len(times) // 2
    energies = np.log(positions**2 @ curvatures)
    return float(-0.5 * (energies[-1] - energies[half]) / (times[-1] - times[half]) / np.sqrt(curvatures[0]))


def _restarted(curvatures: np.ndarray) -> float:
    """The same of the motion itself, from closed forms between restarts at the roots of the change of its speed."""
    roots, x, now = np.sqrt(curvatures), np.ones(len(curvatures)), 0.0
    times, positions = [now], [x]

    def change(t: np.ndarray | float) -> np.ndarray:
        u = np.multiply.outer(np.atleast_1d(t), roots)
        velocity = -2.0 * x * roots * jv(2, u) / u
        return np.sum(velocity * -2.0 * x * curvatures * (jv(2, u) / u - jv(3, u)) / u, axis=1)

    ahead = np.arange(1, int(200 / roots[0] * roots[-1])) * (0.02 / roots[-1])
    while now < _LONG / roots[0]:
        turned = int(np.argmax(change(ahead) < 0.0))
        rest = float(brentq(lambda t: change(t)[0], ahead[max(turned - 1, 0)], ahead[turned], xtol=1e-12))  # pyright: ignore
        u = rest * roots
        now, x = now + rest, x * 2.0 * jv(1, u) / u
        times.append(now)
        positions.append(x)
    return _rate(np.array(times), np.array(positions), curvatures)


def _bregman(p: float, time: float, steps: int = 4000) -> np.ndarray:
    return path(Method(BregmanFlow(quadratic(*CURVATURES), p), RK4(), time / steps), START, steps).position


@claim(
    "bregman-rate",
    "003.32; wibisono2016",
    "Along the Bregman flow of power p in Euclidean space f - f* ≤ |θ₀ - θ*|²/(2C t^p).",
)
def bregman_rate() -> Outcome:
    """The largest part of the bound until t = 4, a mean of squares of Bessel functions, for p = 2, 3 and 4."""
    t = np.linspace(0.0, 4.0, 4001)[1:]
    weights = START**2 / np.sum(START**2)

    def predicted(p: float) -> float:
        return float(np.max(j1(np.multiply.outer(t ** (p / 2.0), np.sqrt(CURVATURES))) ** 2 @ weights))

    def found(p: float) -> float:
        loss = 0.5 * _bregman(p, 4.0)[1:] ** 2 @ CURVATURES
        return float(np.max(loss * 0.5 * t**p) / np.sum(START**2))

    powers = (2.0, 3.0, 4.0)
    expected, measured = [predicted(p) for p in powers], [found(p) for p in powers]
    words = "at most {:.4f}, {:.4f}, {:.4f} of the bound"
    return Outcome(*shown(words, expected, measured), holds=max(measured) <= 1.0 and close(measured, expected, 1e-3))


@claim(
    "bregman-time-dilation",
    "wibisono2016",
    "The Bregman flow of power p is that of power 2 at the time t^(p/2): a faster clock on the same curve.",
)
def bregman_dilation() -> Outcome:
    """Measure where the flows of 3 and 4 are at t = 2, and that of 2 at the time that goes with it."""
    expected, measured = [], []
    for p in (3.0, 4.0):
        measured.extend(_bregman(p, 2.0)[-1])
        expected.extend(_bregman(2.0, 2.0 ** (p / 2.0))[-1])
    words = "p = 3 at {:.6f}, {:.6f}, {:.6f}; p = 4 at {:.6f}, {:.6f}, {:.6f}"
    return Outcome(*shown(words, expected, measured), holds=bool(np.allclose(measured, expected, rtol=0, atol=1e-7)))


FRICTION = 0.5


@claim(
    "hessian-damping-stills",
    "003.32; alvarez2002",
    "Damping along the curvature removes oscillations: with λβ ≥ 1 no mode of θ'' + λθ' + β∇²f θ' + ∇f = 0 oscillates, "
    "whatever its curvature.",
)
def hessian_damping() -> Outcome:
    r"""Count how often 20 modes of curvatures 1e-2 to 1e2 cross zero until t = 20, at λβ = 0, λβ = 0.5 and λβ = 1.

    $\ddot x + (\lambda + \beta\ell)\dot x + \ell x = 0$ from rest is
    $e^{-at}(\cos\omega t + \tfrac a\omega\sin\omega t)$ with $2a = \lambda + \beta\ell$, $\omega^2 = \ell - a^2$,
    which is zero at $\omega t = \pi - \arctan(\omega/a) + n\pi$; where $\ell \le a^2$ it is nowhere.
    """
    curvatures, time, steps = np.geomspace(1e-2, 1e2, 20), 20.0, 8000

    def predicted(strength: float) -> int:
        half = 0.5 * (FRICTION + strength * curvatures)
        pace = np.sqrt(np.maximum(curvatures - half**2, 0.0))
        # At λβ = 1 a mode may be critical, to rounding.
        rolling = pace > 1e-6 * half
        turns = (pace * time + np.arctan(pace / half)) / np.pi
        return int(np.sum(np.floor(turns[rolling])))

    def found(strength: float) -> int:
        law = HessianDampedFlow(quadratic(*curvatures), strength, friction=FRICTION)
        x = path(Method(law, RK4(), time / steps), np.ones(20), steps).position
        return int(np.sum(x[1:] * x[:-1] < 0.0))

    strengths = (0.0, 0.5 / FRICTION, 1.0 / FRICTION)
    expected, measured = [predicted(b) for b in strengths], [found(b) for b in strengths]
    words = "zeros crossed: {} without, {} at λβ = 0.5, {} at λβ = 1"
    return Outcome(*shown(words, expected, measured), holds=measured == expected and measured[2] == 0 < measured[1])
