"""The inverse of a step of a method."""

import abc
import dataclasses
from typing import Any

import equinox as eqx

from .._errors import InputError
from .._module import Module
from ..dynamics import AbstractDynamics
from ..schemes import AbstractScheme, Clock, Draws, State


class AbstractInverted(Module):
    """The part of a method that goes back."""

    dynamics: eqx.AbstractVar[AbstractDynamics]
    scheme: eqx.AbstractVar[AbstractScheme]

    @abc.abstractmethod
    def step_size_at(self, clock: Clock | None) -> Any:
        """The step size of the next step."""

    def inverse(self, state: State, draws: Draws = Draws(), clock: Clock | None = None) -> State:
        """The state before a step, but for rounding, which it multiplies.

        Arguments:
            state: after the step.
            draws: what was drawn for the step.
            clock: that of the state before, where time is carried.

        Raises:
            InputError: the step has no inverse that is known, or time is carried and no clock is given.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> method = tw.momentum(lambda x: 0.5 * jnp.sum(x**2), learning_rate=0.5, momentum=0.5)
        >>> start = method.init(jnp.array([4.0]))
        >>> method.inverse(method.step(start)).position.tolist()
        [4.0]
        """
        if reason := self.scheme.without_inverse(self.dynamics):
            raise InputError(f"{type(self.scheme).__name__} has no inverse: {reason}")
        if state.carried is not None:
            raise InputError("the objective carries a state from step to step, which no inverse of a step gives back")
        if state.clock is not None and clock is None:
            raise InputError(
                "time is carried, so that the inverse of a step needs the clock before it: clock=before.clock"
            )
        before, step_size = (
            state if clock is None else dataclasses.replace(state, clock=clock),
            self.step_size_at(clock),
        )
        return self.scheme.inverse(self.dynamics.during(before.time, step_size), before, step_size, draws)
