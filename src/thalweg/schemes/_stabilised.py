r"""Coefficients of the stabilised Runge-Kutta methods, in closed form and without cancellation.

Stages $Y_j = Y_0 + D_j$ are taken by their changes $E_j = D_j - D_{j-1}$, which keep no sum of 1 to be rounded away:

$$E_1 = \tilde\mu_1hF_0,\qquad
  E_j = -\nu_jE_{j-1} + (\mu_j + \nu_j - 1)D_{j-1} + \tilde\mu_jhF_{j-1} + \tilde\gamma_jhF_0$$

Greek letters as in Sommeijer, Shampine and Verwer (1998) and in Meyer, Balsara and Aslam (2014). Each function takes
the stage j (an array), the number of stages s and NumPy or JAX, so that fixed stages and chosen ones share it.
"""

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

# As good as none: a smaller angle changes no coefficient of a thousand stages in float64; a larger one is one of none.
LEAST_ANGLE, MOST_ANGLE = 1e-10, 40.0


class Stage(NamedTuple):
    """Coefficients of a stage on those before it; `back` and `first` are None in methods of order 1."""

    keep: Any
    kick: Any
    time: Any
    back: Any = None
    first: Any = None


def angle(damping: float, s: Any, xp: ModuleType = np) -> Any:
    r"""$\varphi$ with $w_0 = \cosh\varphi = 1 + \varepsilon/s^2$."""
    excess = damping / (s * s)
    return xp.clip(xp.log1p(excess + xp.sqrt(excess * (2.0 + excess))), LEAST_ANGLE, MOST_ANGLE)


def _ratio(a: Any, b: Any, phi: Any, xp: ModuleType) -> Any:
    r"""$\cosh(a\varphi)/\cosh(b\varphi)$, which no large argument overflows."""
    return xp.exp(-(b - a) * phi) * (1.0 + xp.exp(-2.0 * a * phi)) / (1.0 + xp.exp(-2.0 * b * phi))


def chebyshev_first(s: Any, phi: Any, xp: ModuleType = np) -> Any:
    r"""$\tilde\mu_1 = w_1/w_0$ of order 1, $w_1 = T_s(w_0)/T_s'(w_0) = \sinh\varphi/(s\tanh s\varphi)$."""
    return xp.tanh(phi) / (s * xp.tanh(s * phi))


def chebyshev(j: Any, s: Any, phi: Any, xp: ModuleType = np) -> Stage:
    r"""Stages of order 1, $b_j = 1/T_j(w_0)$: $Y_j = T_j(w_0 + w_1z)/T_j(w_0)\,Y_0$ on $\dot y = \lambda y$."""
    end = s * xp.tanh(s * phi)
    kick = 2.0 * xp.sinh(phi) / end * _ratio(j - 1, j, phi, xp)
    return Stage(_ratio(j - 2, j, phi, xp), kick, (j - 1) * xp.tanh((j - 1) * phi) / end)


def _second(j: Any, phi: Any, terms: int, xp: ModuleType) -> Any:
    r"""$T_j''(\cosh\varphi)$ by its hypergeometric series, all of whose terms are positive.

    $$T_j'' = \tfrac13j^2(j^2 - 1)\;{}_2F_1\bigl(2 - j, 2 + j; \tfrac52; -\sinh^2\tfrac\varphi2\bigr)$$
    """
    excess = xp.sinh(0.5 * phi) ** 2
    term = total = j * j * (j * j - 1.0) / 3.0
    for k in range(terms):
        # Above its degree the polynomial ends.
        term = term * xp.maximum(j * j - (k + 2.0) ** 2, 0.0) / ((k + 2.5) * (k + 1.0)) * excess
        total = total + term
    return total


def _terms(widest: float) -> int:
    r"""Terms after which the series of $\cosh$ at `widest` has no more digits."""
    return 12 + int(2.0 * widest)


class _Second:
    """b, w_1 and the derivatives of order 2."""

    def __init__(self, s: Any, phi: Any, widest: float, xp: ModuleType) -> None:
        self.phi, self.xp, self.terms = phi, xp, _terms(widest)
        self.w1 = self.slope(s) / self.bend(s)

    def slope(self, j: Any) -> Any:
        return j * self.xp.sinh(j * self.phi) / self.xp.sinh(self.phi)

    def bend(self, j: Any) -> Any:
        return _second(j, self.phi, self.terms, self.xp)

    def b(self, j: Any) -> Any:
        j = self.xp.maximum(j, 2.0)
        return self.bend(j) / self.slope(j) ** 2

    def a(self, j: Any) -> Any:
        return 1.0 - self.b(j) * self.xp.cosh(j * self.phi)


def chebyshev_second_first(s: Any, phi: Any, widest: float, xp: ModuleType = np) -> Any:
    r"""$\tilde\mu_1 = b_1w_1$ of order 2, $w_1 = T_s'(w_0)/T_s''(w_0)$."""
    own = _Second(s, phi, widest, xp)
    return own.b(2.0) * own.w1


def chebyshev_second(j: Any, s: Any, phi: Any, widest: float, xp: ModuleType = np) -> Stage:
    r"""Stages of order 2, $b_j = T_j''/T_j'^2$, $a_j = 1 - b_jT_j$: $Y_j = (a_j + b_jT_j(w_0 + w_1z))Y_0$."""
    own = _Second(s, phi, widest, xp)
    keep = own.b(j) / own.b(j - 2)
    step = 2.0 * own.b(j) / own.b(j - 1)
    time = own.w1 * xp.where(j > 2, own.bend(j - 1) / own.slope(xp.maximum(j - 1, 1.0)), own.b(2.0))
    return Stage(keep, step * own.w1, time, step * xp.cosh(phi) - keep - 1.0, -own.a(j - 1) * step * own.w1)


def legendre_first(s: Any) -> Any:
    r"""$\tilde\mu_1 = w_1 = 2/(s^2 + s)$."""
    return 2.0 / (s * s + s)


def legendre(j: Any, s: Any) -> Stage:
    r"""Stages of order 1: $Y_j = P_j(1 + w_1z)Y_0$."""
    w1 = legendre_first(s)
    return Stage((j - 1.0) / j, (2.0 * j - 1.0) / j * w1, 0.5 * w1 * (j * j - j))


def legendre_second_first(s: Any) -> Any:
    r"""$\tilde\mu_1 = b_1w_1$ of order 2, $w_1 = 4/(s^2 + s - 2)$, $b_1 = 1/3$."""
    return 4.0 / (3.0 * (s * s + s - 2.0))


def legendre_second(j: Any, s: Any, xp: ModuleType = np) -> Stage:
    r"""Stages of order 2, $a_j = 1 - b_j$: $Y_j = (a_j + b_jP_j(1 + w_1z))Y_0$."""

    def b(j: Any) -> Any:
        j = xp.maximum(j, 2.0)
        return (j * j + j - 2.0) / (2.0 * j * (j + 1.0))

    w1 = 4.0 / (s * s + s - 2.0)
    keep = (j - 1.0) / j * b(j) / b(j - 2)
    step = (2.0 * j - 1.0) / j * b(j) / b(j - 1)
    # Where j = 2 the time is that of the first stage.
    time = w1 * xp.where(j > 2, 0.25 * (j * j - j - 2.0), 1.0 / 3.0)
    return Stage(keep, step * w1, time, step - keep - 1.0, -(1.0 - b(j - 1)) * step * w1)


def chebyshev_interval(s: int, phi: float) -> float:
    r"""First point where $|P_s|$ passes 1: at $w_0 - w_1x = -w_0$, hence $2w_0/w_1$."""
    return float(2.0 * s * np.tanh(s * phi) / np.tanh(phi))


def chebyshev_damped(s: Any, phi: Any, xp: ModuleType = np) -> Any:
    r"""Up to where $|P_s| \le 1/T_s(w_0)$ but near 0: $(w_0 + 1)/w_1 = s\tanh(s\varphi)/\tanh(\varphi/2)$."""
    return s * xp.tanh(s * phi) / xp.tanh(0.5 * phi)


def chebyshev_second_interval(s: int, phi: float, damped: bool = False) -> float:
    r"""First point where $|a_s + b_sT_s|$ passes 1; damped, where $|T_s|$ does, as in $\beta = (w_0 + 1)/w_1$."""
    own = _Second(float(s), phi, s * phi, np)
    a, b = float(own.a(float(s))), float(own.b(float(s)))
    far = 1.0 if damped else math.cosh(phi if s % 2 == 0 else math.acosh((1.0 + a) / b) / s)
    return (math.cosh(phi) + far) / float(own.w1)


def legendre_interval(s: int) -> float:
    r"""$(w_0 + 1)/w_1 = s^2 + s$ of order 1."""
    return float(s * s + s)


def legendre_second_interval(s: int, damped: bool = False) -> float:
    r"""$(s^2 + s - 2)/2$ of order 2; beyond it where s is odd, until $a_s - b_sP_s(x) = -1$."""
    near = 0.5 * (s * s + s - 2.0)
    if damped or s % 2 == 0:
        return near
    from scipy.optimize import brentq
    from scipy.special import eval_legendre

    b = near / (s * (s + 1.0))
    far: Any = brentq(lambda x: eval_legendre(s, x) - (2.0 - b) / b, 1.0, 5.0, xtol=1e-15)
    return 0.5 * (1.0 + float(far)) * near
