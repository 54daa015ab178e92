"""A scheme that gives a step with an estimate of its error, by which `tw.Adaptive` sets how long it is."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, PyTree

from .._objectives.objective import Batch
from ..dynamics import AbstractDynamics, Evaluation, Phase
from ._base import AbstractScheme
from ._curved import without_cubic
from ._state import Clock


class Attempt(NamedTuple):
    r"""A step that has been tried.

    `end` is the phase after it and `error` the estimated error of that, a tree like it, at least in float32. `slope` is
    the derivative at the end, with which the next step begins; None from a scheme that takes it anew. `memory` is what
    the scheme keeps, whether the step is accepted or not. `failed`: a system was not solved or the step is too long to
    be stable, so that the error says nothing; None where that cannot be. `longest` bounds the next step; None where
    nothing does.
    """

    end: Phase
    error: Phase
    slope: Phase | None = None
    memory: PyTree = None
    failed: Bool[Array, ""] | None = None
    longest: Float[Array, ""] | None = None


class AbstractEstimating(AbstractScheme):
    """A scheme whose steps come with an estimate of their error."""

    @property
    def error_order(self) -> int:
        """The power of the step with which the estimate falls: the order of the embedded solution and one more."""
        return self.order

    @property
    def hands_over(self) -> bool:
        """Tell whether a step gives the derivative at its end, and is given that at its start."""
        return False

    def without_interpolation(self, dynamics: AbstractDynamics) -> str:
        return without_cubic(dynamics)

    def check_estimate(self) -> None:
        """Refuse a scheme whose error cannot be seen, in one line."""

    @abc.abstractmethod
    def attempt(
        self,
        dynamics: AbstractDynamics,
        clock: Clock,
        y: Phase,
        h: Float[Array, ""],
        slope: Phase | None = None,
        memory: Any = None,
        allowed: Callable[[], Phase] | None = None,
        batch: Batch = None,
        evaluation: Evaluation | None = None,
    ) -> Attempt:
        """Try a step.

        Arguments:
            dynamics: the law.
            clock: with the time at which it begins.
            y: where it begins.
            h: how long it is.
            slope: the derivative there, where the scheme `hands_over`.
            memory: what it keeps of the steps before, at first that of the state of its own `init`.
            allowed: gives the error of a step that the tolerance allows each number of y, of which what is solved
                iteratively should make a small part.
            batch: a mini-batch.
            evaluation: what is known already of the objective at y.
        """
