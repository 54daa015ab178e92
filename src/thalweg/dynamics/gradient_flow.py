"""Gradient flow, the law behind gradient descent."""

from typing import Any, ClassVar

import equinox as eqx

from .._objectives.objective import AbstractObjective, as_objective
from .._tree import combine
from ._base import AbstractFirstOrder, Coefficient, Evaluation, Phase, Time, at_time, check_coefficient, coefficient


def _rate(value: Any) -> Any:
    # 1 is the number: a factor that the compiler does not know makes it evaluate a cheap gradient again at every stage.
    return 1 if type(value) in (int, float) and value == 1 else coefficient(value)


class GradientFlow(AbstractFirstOrder):
    r"""Steepest descent in continuous time, with a rate.

    $$\dot\theta = -b(t)\,\nabla f(\theta)$$

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        rate: $b$, a positive number or a function of time.

    Raises:
        InputError: the rate is not a finite positive number.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2), rate=2.0)
    >>> flow.velocity(None, jnp.array([1.0, -3.0])).tolist()
    [-2.0, 6.0]

    Reference: Su, Boyd and Candès (2016), section 1; with $b$ constant, Euler's method on it is
    gradient descent with learning rate $bh$.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    rate: Coefficient = eqx.field(default=1, converter=_rate)
    elementwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_coefficient("rate", self.rate, above=0.0)

    @property
    def autonomous(self) -> bool:
        return not callable(self.rate)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        del phase
        return Phase(combine((-at_time(self.rate, time), evaluation.gradient)))  # pyright: ignore
