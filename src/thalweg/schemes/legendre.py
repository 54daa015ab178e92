"""Runge-Kutta-Legendre methods: stabilised explicit steps without damping."""

from typing import Any

import equinox as eqx

from . import _stabilised as coefficients
from .chebyshev import AbstractStabilised, Stated


class RungeKuttaLegendre(AbstractStabilised):
    r"""Runge-Kutta-Legendre methods: s gradients a step, no damping to choose, stages stable one by one.

    $$\theta^+ = P_s(1 - w_1hb\ell)\,\theta\ \text{ on a mode},\qquad w_1 = \frac2{s^2 + s}$$

    and of order 2 $\theta^+ = (a_s + b_sP_s(1 - w_1hb\ell))\,\theta$ with $w_1 = 4/(s^2 + s - 2)$. Stable for
    $hb\ell \le s^2 + s$ and, at an even number of stages, $\le (s^2 + s - 2)/2$: so many times the 2 of Euler's method
    as the paper says, $(s^2 + s)/2$ and $(s^2 + s - 2)/4$. Of order 2 at an odd number the factor at that end is
    $a_s - b_s > -1$, so that the fastest mode shrinks there, and steps are stable somewhat beyond: until
    $b_sP_s = 1 + a_s$ on the other side of 1. `interval` is the end itself.

    Arguments:
        order: 1 or 2, of convergence to gradient flow.
        stages: s, the gradients of a step; None takes the fewest odd number that is stable, at most 199, as
            `tw.RungeKuttaChebyshev` does.

    Raises:
        InputError: as in `tw.RungeKuttaChebyshev`.

    >>> import thalweg as tw
    >>> method = tw.Method(tw.GradientFlow(None), tw.RungeKuttaLegendre(stages=9), 1.0)
    >>> round(tw.analysis.largest_stable_step(method, 1.0), 9)
    90.0

    Reference: Meyer, Balsara and Aslam (2014).
    """

    order: int = eqx.field(default=1, static=True)
    stages: int | None = eqx.field(default=None, static=True)
    stated: Stated = eqx.field(default=Stated(), static=True, repr=False)

    def first(self, s: Any, shape: Any, xp: Any) -> Any:
        del shape, xp
        return coefficients.legendre_first(s) if self.order == 1 else coefficients.legendre_second_first(s)

    def stage(self, j: Any, s: Any, shape: Any, xp: Any) -> coefficients.Stage:
        del shape
        return coefficients.legendre(j, s) if self.order == 1 else coefficients.legendre_second(j, s, xp)

    def reach(self, s: int, damped: bool = False) -> float:
        if self.order == 1:
            return coefficients.legendre_interval(s)
        return coefficients.legendre_second_interval(s, damped)

    def _eligible(self) -> list[int]:
        return [s for s in super()._eligible() if s % 2]
