"""Friction along the curvature: what oscillates is damped, what is flat is not."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, optional_scalar, scalar
from ._base import Evaluation, Phase, Time, check_rest
from ._hessian_damping import AbstractCurvatureDamped, damped_by_curvature


class HessianDampedFlow(AbstractCurvatureDamped):
    r"""Inertia with damping driven by the Hessian, beside a friction that fades or stays.

    $$\ddot\theta + \frac\alpha t\dot\theta + \beta\nabla^2f(\theta)\,\dot\theta + \nabla f(\theta) = 0,
      \qquad\text{or $\lambda$ in place of } \frac\alpha t$$

    A mode of curvature $\ell$ obeys $\ddot x + (\lambda + \beta\ell)\dot x + \ell x = 0$. With $\lambda\beta \ge 1$ no
    mode oscillates, whatever its curvature; below that those do with
    $1 - \sqrt{1-\lambda\beta} < \beta\sqrt\ell < 1 + \sqrt{1-\lambda\beta}$. The price is that stiff modes fade no
    faster than $e^{-t/\beta}$. An acceleration takes a gradient and a product of the Hessian. Along the motion that
    product is the rate of the gradient, so that with $w = \dot\theta + \beta\nabla f$ the same motion needs gradients
    alone,

    $$\dot\theta = w - \beta\nabla f(\theta),\qquad \dot w = -\lambda w - (1 - \lambda\beta)\nabla f(\theta),$$

    and a look-ahead by c steps of size h (`tw.Lookahead(c)` on `tw.HeavyBall`) follows it with $\beta = ch$.

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        curvature_damping: $\beta \ge 0$, in units of time.
        damping: $\alpha > 0$, where there is no `friction`.
        friction: $\lambda \ge 0$, one over time; None for $\alpha/t$.

    Raises:
        InputError: a number is out of its range, or with $\alpha/t$ a run is given a velocity to start with.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> law = tw.HessianDampedFlow(lambda x: 0.5 * jnp.sum(x**2), curvature_damping=2.0, friction=0.5)
    >>> law.acceleration(None, jnp.array([1.0]), jnp.array([1.0])).tolist()
    [-3.5]

    Reference: Alvarez, Attouch, Bolte and Redont (2002) at constant friction, also without the Hessian; Attouch,
    Peypouquet and Redont (2016) with $\alpha/t$.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    curvature_damping: Float[Array, ""] = eqx.field(converter=scalar)
    damping: Float[Array, ""] = eqx.field(default=3.0, converter=scalar)
    friction: Float[Array, ""] | None = eqx.field(default=None, converter=optional_scalar)
    elementwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_number("curvature_damping", self.curvature_damping, at_least=0.0)
        check_number("damping", self.damping, above=0.0)
        if self.friction is not None:
            check_number("friction", self.friction, at_least=0.0)

    @property
    def autonomous(self) -> bool:
        return self.friction is not None

    @property
    def late_time(self) -> Float[Array, ""]:
        return jnp.full((), jnp.inf, float) if self.friction is None else self.start_time

    def check_velocity(self, velocity: Vector) -> None:
        if self.friction is None:
            check_rest(self, velocity, "alpha/t")

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        weight, friction = 1.0, self.friction
        if friction is None:
            assert time is not None
            # At t = 0, from rest, friction and velocity have the limit of Nesterov's ODE: their product is known.
            started = time > 0
            friction = jnp.where(started, self.damping / jnp.where(started, time, 1.0), 0.0)
            weight = jnp.where(started, 1.0, 1.0 / (1.0 + self.damping))
        return damped_by_curvature(phase, evaluation, weight, friction, self.curvature_damping)
