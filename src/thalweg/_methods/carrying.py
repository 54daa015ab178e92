"""The part of a method whose objective carries something from step to step beside the parameters."""

import abc
import dataclasses
from typing import Any

import equinox as eqx

from .._errors import InputError
from .._module import Module
from .._objectives.objective import AbstractObjective, Batch
from ..dynamics import AbstractDynamics
from ..schemes import AbstractScheme, State


class AbstractCarrying(Module):
    """Running averages and the like: the same within a step, moved on by its first evaluation."""

    dynamics: eqx.AbstractVar[AbstractDynamics]
    scheme: eqx.AbstractVar[AbstractScheme]

    @abc.abstractmethod
    def with_objective(self, objective: Any) -> Any:
        """The same method on another function."""

    def carrying(self, state: State) -> Any:
        """The same method on the function with what a state carries of it; itself, where that is nothing."""
        objective = self.dynamics.objective
        if state.carried is None or objective is None:
            return self
        return self.with_objective(objective.carrying(state.carried))

    def objective_at(self, state: State) -> AbstractObjective | None:
        """The function at the time of a state, with what the state carries of it."""
        objective = self.carrying(state).dynamics.objective
        return objective.at(state.time) if objective is not None and objective.time_dependent else objective

    def carried_from_start(self, begun: State) -> State:
        """The state at the start with what the objective carries there."""
        objective = self.dynamics.objective
        carried = None if objective is None else objective.carried
        return begun if carried is None else dataclasses.replace(begun, carried=carried)

    def carried_on(self, before: State, after: State, batch: Batch) -> State:
        """The state after a step with what is carried from it: by an evaluation where the step looked first."""
        if before.carried is None:
            return after
        now = self.objective_at(before)
        assert now is not None
        return dataclasses.replace(after, carried=now.carried_on(before.lookahead, batch))

    def check_carrying(self) -> None:
        """Refuse a scheme that is guided by values of f, which change with what is carried."""
        objective = self.dynamics.objective
        if objective is None or objective.carried is None:
            return
        if self.scheme.controlled or self.scheme.exact_law or self.scheme.adaptive:
            raise InputError(
                f"{type(self.scheme).__name__} compares evaluations of one function, but the objective carries a state "
                "that changes it from step to step; leave out its state, or use a scheme of fixed steps"
            )
