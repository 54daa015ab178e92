"""The heavy ball with friction, the law behind momentum."""

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float

from .._errors import check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import scalar
from ..geometry import AbstractManifold
from ._base import AbstractDamped, Coefficient, Time, at_time, check_coefficient, coefficient
from ._curved import as_geometry, check_geometry


class HeavyBall(AbstractDamped):
    r"""A particle of mass m sliding down f against friction.

    $$m\ddot\theta + \lambda\dot\theta + \nabla f(\theta) = 0,\qquad
      m\frac{D\eta}{dt} + \lambda\eta + \operatorname{grad} f(\theta) = 0,\quad \eta = \dot\theta$$

    in flat space, and on a manifold, with the covariant derivative of the velocity and the gradient in the metric.

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        friction: $\lambda \ge 0$, a number or a function of time.
        mass: $m > 0$.
        geometry: a manifold of `tw.geometry`, or a `tw.geometry.AbstractManifold` of one's own; None is flat space.

    Raises:
        InputError: friction is negative, mass is not positive, or either is not finite; the geometry is no manifold.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> ball = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), friction=0.5)
    >>> ball.acceleration(None, jnp.array([1.0]), jnp.array([4.0])).tolist()
    [-3.0]
    >>> pendulum = tw.HeavyBall(lambda x: x[1], friction=0.0, geometry=tw.geometry.Sphere())  # hangs from the centre
    >>> pendulum.acceleration(None, jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])).tolist()
    [-0.0, -1.0]

    Reference: Polyak (1964), equation 9.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    friction: Coefficient = eqx.field(converter=coefficient)
    mass: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    geometry: AbstractManifold | None = eqx.field(default=None, converter=as_geometry)

    def __check_init__(self) -> None:
        check_coefficient("friction", self.friction, at_least=0.0)
        check_number("mass", self.mass, above=0.0)
        check_geometry(self.geometry, AbstractManifold)

    @property
    def takes_position(self) -> bool:
        return self.geometry is not None

    @property
    def elementwise(self) -> bool:
        return self.geometry is None or self.geometry.elementwise

    @property
    def autonomous(self) -> bool:
        return not callable(self.friction)

    def friction_at(self, time: Time) -> ArrayLike:
        return at_time(self.friction, time)
