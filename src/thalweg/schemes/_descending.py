"""Common parts of schemes whose steps are as long as the descent of f allows."""

import equinox as eqx

from .._errors import InputError
from ..dynamics import AbstractDynamics, AbstractFirstOrder, Evaluation, GradientFlow
from ._base import AbstractScheme, check_exact
from ._state import Report, State


class AbstractDescending(AbstractScheme):
    """A scheme on gradient flow at a constant rate, of an exact objective, whose f itself sets the length of a step.

    Its memory counts the `gradients` taken.
    """

    order: eqx.AbstractClassVar[int]  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def controlled(self) -> bool:
        return True

    def without_reverse(self) -> str:
        return (
            "it repeats until f allows its step; differentiate forwards, by jax.jacfwd, or take a scheme that does not "
            "look at f, such as tw.RK4()"
        )

    def requires(self) -> tuple[type, ...]:
        return (AbstractFirstOrder,)

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        if not isinstance(dynamics, GradientFlow) or callable(dynamics.rate):
            name = type(self).__name__
            raise InputError(f"{name} follows tw.GradientFlow at a constant rate, not {dynamics!r}")
        check_exact(self, dynamics, "tw.momentum")

    def report(self, state: State) -> Report:
        return Report(gradients=state.memory.gradients)

    def known(self, state: State) -> Evaluation:
        return Evaluation(state.position, state.memory.energy, state.memory.slope)
