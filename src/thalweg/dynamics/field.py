"""A field that is followed: a right-hand side that need be no gradient."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import ArrayLike, PyTree

from .._drawing import called
from .._errors import InputError
from .._noising.predictions import like
from .._objectives.objective import AbstractObjective, Batch
from .._objectives.parts import Joined
from .._tree import copied
from ._base import AbstractFirstOrder, Evaluation, Phase, Time
from .pieces import args_at, args_during


class Field(AbstractFirstOrder):
    r"""The motion along a field, without an objective.

    $$\dot x = \mathtt{fn}(t, x, \mathtt{args})$$

    Arguments:
        fn: `fn(t, x, args)`, a tree like x; t is a scalar.
        args: a pytree passed on to `fn`; its arrays are traced, so that other numbers compile nothing anew. Constant on
            pieces of time, they are `tw.Pieces`.

    Raises:
        InputError: `fn` is no function; where a step is made, it gives another tree or other shapes than x has.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> circle = tw.Field(lambda t, x, speed: speed * jnp.stack([-x[1], x[0]]), 2.0)
    >>> method = tw.Method(circle, tw.Tsit5(), jnp.pi / 64)
    >>> end = tw.run(method, jnp.array([1.0, 0.0]), 32).final
    >>> (end.position.round(6) + 0.0).tolist(), round(end.time, 6)
    ([-1.0, 0.0], 1.570796)
    """

    fn: Callable = eqx.field()
    args: PyTree = None
    objective: ClassVar[None] = None

    def __check_init__(self) -> None:
        if not callable(self.fn):
            raise InputError(f"a field must be a function of (t, x, args), but is {self.fn!r}")

    @property
    def autonomous(self) -> bool:
        # Whether fn looks at the time it alone knows.
        return False

    def with_objective(self, objective: AbstractObjective | None) -> "Field":
        del objective
        return self

    def joined(self, join: Callable) -> "Field":
        return Field(Joined(self.fn, join, 1), self.args)

    @property
    def constants(self) -> dict[str, Any]:
        return {}

    def during(self, time: Time, duration: ArrayLike) -> "Field":
        return copied(self, args=args_during(self.args, time, duration))

    def evaluate(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        del time, batch
        return Evaluation(phase.position)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        del evaluation
        x = phase.position
        return Phase(like(called("the field", self.fn, time, x, args_at(self.args, time)), x, "a field"))
