"""The part of a law that keeps averages of what it has met."""

import abc
from typing import Any, ClassVar

from jaxtyping import ArrayLike, PyTree

from .._module import Module
from .._tree import Vector
from ._base import Evaluation, Phase, Time


class AbstractRemembering(Module):
    """The part of a first-order law that moves by averages of its gradients: the averages and the motion apart."""

    part: ClassVar[str] = "memory"

    @property
    def looks_ahead(self) -> bool:
        """Tell whether there is an average of the gradient alone, which can look at the same gradient once more."""
        return True

    @abc.abstractmethod
    def averaged(self, duration: ArrayLike, phase: Phase, evaluation: Evaluation) -> PyTree:
        """The auxiliary variables after a while in which the gradient stays as it is, exactly."""

    @abc.abstractmethod
    def weights(self, auxiliary: PyTree, ahead: ArrayLike | None = None) -> Any:
        """Weights of the averages in the motion, the same gradient for a while `ahead` of them if that is given."""

    @abc.abstractmethod
    def drift(self, time: Time, phase: Phase, evaluation: Evaluation, weights: Any) -> Vector:
        """The velocity by the averages of a phase, at a rate of this time."""
