"""The heavy ball with friction, the law behind momentum."""

from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float

from .._errors import check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import scalar
from ._base import AbstractDamped, Coefficient, Time, at_time, check_coefficient, coefficient


class HeavyBall(AbstractDamped):
    r"""A particle of mass m sliding down f against friction.

    $$m\ddot\theta + \lambda\dot\theta + \nabla f(\theta) = 0$$

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        friction: $\lambda \ge 0$, a number or a function of time.
        mass: $m > 0$.

    Raises:
        InputError: friction is negative, mass is not positive, or either is not finite.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> ball = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), friction=0.5)
    >>> ball.acceleration(None, jnp.array([1.0]), jnp.array([4.0])).tolist()
    [-3.0]

    Reference: Polyak (1964), equation 9.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    friction: Coefficient = eqx.field(converter=coefficient)
    mass: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    elementwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_coefficient("friction", self.friction, at_least=0.0)
        check_number("mass", self.mass, above=0.0)

    @property
    def autonomous(self) -> bool:
        return not callable(self.friction)

    def friction_at(self, time: Time) -> ArrayLike:
        return at_time(self.friction, time)
