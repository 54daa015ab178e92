"""Langevin dynamics with coloured noise: a heat bath with a memory of its own."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, combine, scalar, zeros_like
from ._base import AbstractFirstOrder, Coefficient, Evaluation, Phase, Time, at_time, check_coefficient, coefficient
from ._noise import AbstractAdditive, Terms

# So many fractions of the continued one give every b below 1 to the last digit.
_FRACTIONS = 10


class ColouredLangevin(AbstractFirstOrder, AbstractAdditive):
    r"""Gradient flow driven by an Ornstein-Uhlenbeck process: noise that remembers, for a while, what it was.

    $$\dot\theta = -\nabla f(\theta) + \zeta,\qquad \tau\,d\zeta = -\zeta\,dt + \sqrt{2T}\,dW,\qquad
      \langle\zeta(t)\zeta(s)\rangle = \frac T\tau e^{-|t-s|/\tau}$$

    For $\tau\to0$ it is `tw.OverdampedLangevin`. It does not settle to $e^{-f/T}$: on a bowl of curvature l the
    variance is $T/(l(1 + l\tau))$. The noise starts from $\zeta = 0$ and is exact over a step of any length.

    Arguments:
        objective: $f$, the potential, a `tw.Objective` or a function of the parameters.
        temperature: $T \ge 0$, in units of f, a number or a function of time.
        correlation_time: $\tau > 0$, in units of the law's time.

    Raises:
        InputError: the temperature is negative, the correlation time is not positive, or one is not finite.

    >>> import thalweg as tw
    >>> law = tw.ColouredLangevin(None, temperature=1.0, correlation_time=0.5)
    >>> method = tw.Method(law, tw.StochasticHeun(), 0.01)
    >>> round(float(tw.analysis.stationary_covariance(method, 2.0)), 3)  # T/(l(1 + l tau))
    0.25

    Reference: Hänggi and Jung (1995).
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    temperature: Coefficient = eqx.field(converter=coefficient)
    correlation_time: Float[Array, ""] = eqx.field(converter=scalar)
    elementwise: ClassVar[bool] = True
    normals: ClassVar[int] = 2
    canonical: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_coefficient("temperature", self.temperature, at_least=0.0)
        check_number("correlation_time", self.correlation_time, above=0.0)

    @property
    def autonomous(self) -> bool:
        return not callable(self.temperature)

    def initial_auxiliary(self, position: Vector) -> PyTree:
        return zeros_like(position)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        del time, phase
        return Phase(combine((-1.0, evaluation.gradient)))

    def increment(
        self, time: Time, duration: ArrayLike, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Terms, PyTree]:
        r"""$\int\zeta\,dt$ over a step, and $\zeta$ at its end: a Gaussian pair, given $\zeta$ at its beginning.

        $$\zeta^+ = e^{-a}\zeta + \sqrt{\tfrac T\tau(1 - e^{-2a})}\,R_1,\qquad a = h/\tau,\ w = 1 - e^{-a}$$

        $$\int\zeta\,dt = \tau w\,\zeta
          + \sqrt{T\tau}\Bigl(w\sqrt{\tanh\tfrac a2}\,R_1 + 2\sqrt{\tfrac a2 - \tanh\tfrac a2}\,R_2\Bigr)$$
        """
        tau, temperature = self.correlation_time, jnp.asarray(at_time(self.temperature, time))
        a = jnp.asarray(duration) / tau
        # As these are written, nothing cancels for steps much shorter or much longer than the correlation time.
        w, lag = -jnp.expm1(-a), tangent_lag(0.5 * a)
        strength = jnp.sqrt(temperature * tau)
        shared, own = strength * w * jnp.sqrt(jnp.tanh(0.5 * a)), 2.0 * strength * jnp.sqrt(lag)
        spread = jnp.sqrt(temperature / tau * -jnp.expm1(-2.0 * a))
        after = combine((jnp.exp(-a), auxiliary), (spread, normals[0]))
        return ((tau * w, auxiliary), (shared, normals[0]), (own, normals[1])), after


def tangent_lag(b: Float[Array, ""]) -> Float[Array, ""]:
    r"""$b - \tanh b$ for $b \ge 0$, to the last digits also where it is $b^3/3$."""
    # tanh b = b/(1 + r) with r = b^2/(3 + b^2/(5 + ...)), so that the difference is b r/(1 + r).
    small = jnp.minimum(b, 1.0)
    r = jnp.zeros_like(small)
    for odd in range(2 * _FRACTIONS + 1, 1, -2):
        r = small**2 / (odd + r)
    return jnp.where(b < 1.0, small * r / (1.0 + r), b - jnp.tanh(b))
