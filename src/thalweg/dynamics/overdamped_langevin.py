"""Overdamped Langevin dynamics: gradient flow in a heat bath."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._objectives.objective import AbstractObjective, as_objective
from .._tree import combine
from ._base import (
    AbstractFirstOrder,
    AbstractWhite,
    Coefficient,
    Evaluation,
    Phase,
    Time,
    at_time,
    check_coefficient,
    coefficient,
)


class OverdampedLangevin(AbstractFirstOrder, AbstractWhite):
    r"""Gradient flow with thermal noise.

    $$d\theta = -\nabla f(\theta)\,dt + \sqrt{2T}\,dW$$

    At constant temperature its stationary law is $e^{-f/T}$.

    Arguments:
        objective: $f$, the potential, a `tw.Objective` or a function of the parameters.
        temperature: $T \ge 0$, in units of $f$, a number or a function of time (annealing).

    Raises:
        InputError: the temperature is negative or not finite.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> law = tw.OverdampedLangevin(lambda x: 0.5 * jnp.sum(x**2), temperature=2.0)
    >>> float(law.diffusion(None))  # the square root of 2T
    2.0

    Reference: Pavliotis (2014), chapter 4.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    temperature: Coefficient = eqx.field(converter=coefficient)
    elementwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_coefficient("temperature", self.temperature, at_least=0.0)

    @property
    def autonomous(self) -> bool:
        return not callable(self.temperature)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        del time, phase
        return Phase(combine((-1.0, evaluation.gradient)))

    def diffusion(self, time: Time) -> Float[Array, ""]:
        r"""$\sqrt{2T}$, the strength of the noise."""
        return jnp.sqrt(2.0 * jnp.asarray(at_time(self.temperature, time)))
