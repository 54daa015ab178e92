"""High-resolution equations: what Nesterov's method follows at a finite step."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import check_number
from .._objectives.objective import AbstractObjective, Batch, as_objective
from .._tree import Vector, combine, optional_scalar, scalar
from ._base import Evaluation, Phase, Time
from ._hessian_damping import AbstractCurvatureDamped, damped_by_curvature


class HighResolutionFlow(AbstractCurvatureDamped):
    r"""Nesterov's method at learning rate s, with the damping its look-ahead adds along the curvature.

    Without strong convexity, from $t_0 = \tfrac32\sqrt s$ and $\dot\theta(t_0) = -\sqrt s\,\nabla f(\theta_0)$:

    $$\ddot\theta + \frac3t\dot\theta + \sqrt s\,\nabla^2 f(\theta)\,\dot\theta
      + \Bigl(1 + \frac{3\sqrt s}{2t}\Bigr)\nabla f(\theta) = 0$$

    With $\mu$, from $t_0 = 0$ and $\dot\theta(0) = -2\sqrt s\,\nabla f(\theta_0)/(1 + \sqrt{\mu s})$:

    $$\ddot\theta + 2\sqrt\mu\,\dot\theta + \sqrt s\,\nabla^2 f(\theta)\,\dot\theta
      + (1 + \sqrt{\mu s})\nabla f(\theta) = 0$$

    The points where the method takes its gradients it follows to first order in $\sqrt s$ from these published starts;
    to second order, at constant momentum, from $\dot\theta(0) = -\tfrac32\sqrt s\,\nabla f(\theta_0)$, given as the
    starting velocity.

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        step: $s > 0$, the learning rate of the discrete method (not the integrator's step).
        strong_convexity: $\mu > 0$, or None for the first form.

    Raises:
        InputError: step or strong_convexity is not a finite positive number.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.HighResolutionFlow(lambda x: 0.5 * jnp.sum(x**2), step=0.01, strong_convexity=1.0)
    >>> [round(v, 6) for v in flow.initial_velocity(jnp.array([1.1])).tolist()]
    [-0.2]

    Reference: Shi, Du, Jordan and Su (2022), equations 1.11 and 1.12.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    step: Float[Array, ""] = eqx.field(converter=scalar)
    strong_convexity: Float[Array, ""] | None = eqx.field(default=None, converter=optional_scalar)
    elementwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_number("step", self.step, above=0.0)
        if self.strong_convexity is not None:
            check_number("strong_convexity", self.strong_convexity, above=0.0)

    @property
    def autonomous(self) -> bool:
        return self.strong_convexity is not None

    @property
    def start_time(self) -> Float[Array, ""]:
        return 1.5 * jnp.sqrt(self.step) if self.strong_convexity is None else jnp.zeros((), float)

    @property
    def late_time(self) -> Float[Array, ""]:
        return jnp.full((), jnp.inf, float) if self.strong_convexity is None else self.start_time

    def initial_velocity(self, position: Vector, batch: Batch = None) -> Vector:
        gradient = self._objective(self.start_time).gradient(position, batch)
        root = jnp.sqrt(self.step)
        if self.strong_convexity is None:
            return combine((-root, gradient))
        return combine((-2.0 * root / (1.0 + jnp.sqrt(self.strong_convexity * self.step)), gradient))

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        root = jnp.sqrt(self.step)
        if self.strong_convexity is None:
            assert time is not None
            friction = 3.0 / time
            weight = 1.0 + 1.5 * root / time
        else:
            friction = 2.0 * jnp.sqrt(self.strong_convexity)
            weight = 1.0 + jnp.sqrt(self.strong_convexity * self.step)
        return damped_by_curvature(phase, evaluation, weight, friction, root)
