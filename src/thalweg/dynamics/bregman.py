"""Bregman flows in Euclidean space: Nesterov's ODE at another speed of time."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, combine, scalar
from ._base import AbstractSecondOrder, Evaluation, Phase, Time, check_rest


class BregmanFlow(AbstractSecondOrder):
    r"""The polynomial Bregman Lagrangian flow of Euclidean distance.

    $$\ddot\theta + \frac{p+1}t\dot\theta + Cp^2t^{p-2}\,\nabla f(\theta) = 0,\qquad \dot\theta(0) = 0,\qquad
      f - f^\star \le \frac{\|\theta_0 - \theta^\star\|^2}{2Ct^p}$$

    All p follow one curve: the flow of p at time t is where that of 2 is at $t^{p/2}$, and p = 2 with C = 1/4 is
    `tw.NesterovFlow`. So the rate is bought with a clock, not with a better path: the force grows without bound for
    p > 2, so that no explicit step is stable at all times, and what `tw.analysis.largest_stable_step` finds is 0. Near
    the start $\theta = \theta_0 - \tfrac C2t^p\,\nabla f(\theta_0)$: where p is no whole number, that is as smooth
    as the motion is, and no scheme is of a higher order than p.

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        p: the power, at least 2 (below that the force is infinite at the start).
        strength: $C > 0$.

    Raises:
        InputError: a number is out of its range, or a run is given a velocity to start with.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> law = tw.BregmanFlow(lambda x: 0.5 * jnp.sum(x**2), p=3.0)
    >>> law.acceleration(jnp.array(2.0), jnp.array([1.0]), jnp.array([0.0])).tolist()
    [-4.5]

    Reference: Wibisono, Wilson and Jordan (2016).
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    p: Float[Array, ""] = eqx.field(default=2.0, converter=scalar)
    strength: Float[Array, ""] = eqx.field(default=0.25, converter=scalar)
    elementwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_number("p", self.p, at_least=2.0)
        check_number("strength", self.strength, above=0.0)

    @property
    def autonomous(self) -> bool:
        return False

    @property
    def late_time(self) -> Float[Array, ""]:
        return jnp.full((), jnp.inf, float)

    def check_velocity(self, velocity: Vector) -> None:
        check_rest(self, velocity, "(p+1)/t")

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        assert time is not None
        started = time > 0
        since = jnp.where(started, time, 1.0)
        friction = jnp.where(started, (self.p + 1.0) / since, 0.0)
        # From rest x'' = (p-1) x'/t at t = 0, of which friction takes its part; only p = 2 moves at once.
        inertia = jnp.where(started, 1.0, 2.0 * self.p / (self.p - 1.0))
        # At t = 0 the power has no derivative.
        power = jnp.where(started, since ** (self.p - 2.0), jnp.where(self.p == 2.0, 1.0, 0.0))
        pull = self.strength * self.p**2 * power / inertia
        return Phase(phase.velocity, combine((-pull, evaluation.gradient), (-friction, phase.velocity)))
