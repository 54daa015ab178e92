"""Gradient flow, the law behind gradient descent."""

from typing import Any

import equinox as eqx

from .._objectives.objective import AbstractObjective, as_objective
from .._tree import combine
from ..geometry import AbstractDensityGeometry, AbstractDirection
from ._base import AbstractFirstOrder, Coefficient, Evaluation, Phase, Time, at_time, check_coefficient, coefficient
from ._curved import as_geometry, check_geometry, climbed


def as_rate(value: Any) -> Any:
    """A rate as a coefficient, 1 as the number."""
    # 1 is the number: a factor that the compiler does not know makes it evaluate a cheap gradient again at every stage.
    return 1 if type(value) in (int, float) and value == 1 else coefficient(value)


class GradientFlow(AbstractFirstOrder):
    r"""Steepest descent in continuous time, with a rate.

    $$\dot\theta = -b(t)\,\nabla f(\theta),\qquad \dot\theta = -b(t)\,\mathtt{velocity}(\theta, \nabla f(\theta))$$

    in flat space, and in a geometry: of a metric G, $G(\theta)^{-1}\nabla f$; of a norm, the direction in which f rises
    fastest in it; of a mirror map $\phi$, $\nabla\phi(\theta)$ moves with $-b(t)\,\nabla f(\theta)$.

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        rate: $b$, a positive number or a function of time.
        geometry: one of `tw.geometry`, or a `tw.geometry.AbstractDirection` (of an inner product: `AbstractMetric`) of
            one's own; None is flat space.

    Raises:
        InputError: the rate is not a finite positive number, or the geometry is none; in a step, it gives another tree
            or other shapes than the gradient has.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2), rate=2.0)
    >>> flow.velocity(None, jnp.array([1.0, -3.0])).tolist()
    [-2.0, 6.0]
    >>> sphere = tw.GradientFlow(lambda x: x[0] + x[1], geometry=tw.geometry.Sphere())
    >>> sphere.velocity(None, jnp.array([0.0, 1.0])).tolist()
    [-1.0, -0.0]

    Reference: Su, Boyd and Candès (2016), section 1; with $b$ constant, Euler's method on it is
    gradient descent with learning rate $bh$.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    rate: Coefficient = eqx.field(default=1, converter=as_rate)
    geometry: AbstractDirection | None = eqx.field(default=None, converter=as_geometry)

    def __check_init__(self) -> None:
        check_coefficient("rate", self.rate, above=0.0)
        check_geometry(self.geometry)

    @property
    def takes_position(self) -> bool:
        return self.geometry is not None

    @property
    def elementwise(self) -> bool:
        return self.geometry is None or self.geometry.elementwise

    @property
    def autonomous(self) -> bool:
        return not callable(self.rate)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        slope = climbed(self.geometry, self.objective, phase.position, evaluation.gradient)
        return Phase(combine((-at_time(self.rate, time), slope)))  # pyright: ignore

    def dual_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        if isinstance(self.geometry, AbstractDensityGeometry):
            return super().dual_rates(time, phase, evaluation)
        # Not by way of the velocity, which is 0 times infinity where a number of the position has become 0.
        return Phase(combine((-at_time(self.rate, time), evaluation.gradient)))  # pyright: ignore
