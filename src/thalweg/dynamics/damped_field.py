"""A particle that a field pushes: a second-order law whose force need be no gradient."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._drawing import called
from .._errors import InputError, check_number
from .._noising.predictions import like
from .._objectives.objective import AbstractObjective, Batch
from .._objectives.parts import Joined
from .._tree import Vector, copied, scalar
from ._base import AbstractDamped, Coefficient, Evaluation, Phase, Time, at_time, check_coefficient, coefficient
from .pieces import args_at, args_during


class DampedField(AbstractDamped):
    r"""A particle of mass m that a field pushes against friction, without an objective.

    $$m\ddot x + \lambda\dot x = \mathtt{fn}(t, x, \mathtt{args})$$

    With $\mathtt{fn} = -\nabla f$ it is `tw.HeavyBall`. At friction 1 it follows $\dot x = \mathtt{fn}$ as m goes to 0.

    Arguments:
        fn: `fn(t, x, args)`, a tree like x; t is a scalar.
        args: a pytree passed on to `fn`, or `tw.Pieces` of them.
        friction: $\lambda \ge 0$, a number or a function of time.
        mass: $m > 0$.

    Raises:
        InputError: `fn` is no function, friction is negative, mass is not positive, or either is not finite.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> pushed = tw.DampedField(lambda t, x, args: -x, friction=0.5)
    >>> pushed.acceleration(jnp.array(0.0), jnp.array([1.0]), jnp.array([4.0])).tolist()
    [-3.0]

    Reference: Sander, Ablin, Blondel and Peyré (2021).
    """

    fn: Callable = eqx.field()
    args: PyTree = None
    friction: Coefficient = eqx.field(default=1.0, converter=coefficient)
    mass: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    objective: ClassVar[None] = None

    def __check_init__(self) -> None:
        if not callable(self.fn):
            raise InputError(f"a field must be a function of (t, x, args), but is {self.fn!r}")
        check_coefficient("friction", self.friction, at_least=0.0)
        check_number("mass", self.mass, above=0.0)

    @property
    def autonomous(self) -> bool:
        # Whether fn looks at the time it alone knows.
        return False

    @property
    def constants(self) -> dict[str, Any]:
        return {"friction": self.friction, "mass": self.mass}

    def with_objective(self, objective: AbstractObjective | None) -> "DampedField":
        del objective
        return self

    def joined(self, join: Callable) -> "DampedField":
        return copied(self, fn=Joined(self.fn, join, 1))

    def during(self, time: Time, duration: ArrayLike) -> "DampedField":
        return copied(self, args=args_during(self.args, time, duration))

    def evaluate(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        del time, batch
        return Evaluation(phase.position)

    def force_of(self, time: Time, evaluation: Evaluation) -> Vector:
        x = evaluation.point
        return like(called("the field", self.fn, time, x, args_at(self.args, time)), x, "a field")

    def friction_at(self, time: Time) -> ArrayLike:
        return at_time(self.friction, time)
