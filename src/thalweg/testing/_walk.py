"""Walks that an optimizer is put through, and what a framework has to offer for that."""

import abc
import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np


@dataclasses.dataclass(frozen=True)
class Walk:
    """Steps that an optimizer is put through.

    Arguments:
        settings: what the factory is called with.
        start: the parameters at the start.
        gradients: one tuple a step.
        parts: "one" tensor, one a parameter ("tensors"), or those in groups of their own ("groups").
        matrix: whether the numbers are those of a matrix of two rows, and of one row each where they are parted.
        dtype: of the parameters and gradients, "float64", "bfloat16", or "mixed": one after the other.
        mode: "plain", or, in JAX, "eager", which nobody compiles, "compiled", "scan" or "vmap".
        resume_after: the step after which it is saved and taken up again by a new optimizer.
        rate_after: a step, and the learning rate from then on.
    """

    settings: Mapping[str, Any]
    start: tuple[float, ...]
    gradients: tuple[tuple[float, ...], ...]
    parts: str = "one"
    matrix: bool = False
    dtype: str = "float64"
    mode: str = "plain"
    resume_after: int | None = None
    rate_after: tuple[int, float] | None = None

    def shown(self, numbers: tuple[float, ...]) -> list[Any]:
        """Parameters or their gradient as a list, or as one of rows."""
        if not self.matrix:
            return list(numbers)
        width = len(numbers) // 2
        return [list(numbers[:width]), list(numbers[width:])]

    def split(self, numbers: tuple[float, ...]) -> list[list[Any]]:
        """Parameters or their gradient, one list a tensor."""
        shown = self.shown(numbers)
        return [shown] if self.parts == "one" else [[part] for part in shown]

    @property
    def dtypes(self) -> list[str]:
        """The dtype of each tensor."""
        count = len(self.split(self.start))
        return [("float64", "bfloat16")[i % 2] if self.dtype == "mixed" else self.dtype for i in range(count)]

    @property
    def said_dtype(self) -> str:
        """The dtypes that there should be, in words."""
        return " and ".join(sorted(set(self.dtypes)))


class AbstractWalker(abc.ABC):
    """An optimizer at work.

    Attributes:
        dtype: of the parameters, and of the updates where the framework has such; the walk's own, as it should be.
    """

    dtype: str

    @property
    @abc.abstractmethod
    def position(self) -> np.ndarray:
        """The parameters, in float64."""

    @abc.abstractmethod
    def step(self, gradient: tuple[float, ...]) -> None:
        """One step."""

    @abc.abstractmethod
    def resumed(self) -> "AbstractWalker":
        """A new optimizer that has taken up what this one saved."""

    def set_rate(self, rate: float | int) -> None:
        """Another learning rate from now on."""
        raise NotImplementedError


class AbstractFramework(abc.ABC):
    """A factory of optimizers in its framework.

    Arguments:
        factory: what makes an optimizer.
        rate: by what name it takes its learning rate, if it does.
    """

    name: ClassVar[str]
    can_set_rate: ClassVar[bool] = True
    # Arithmetic in float64 rounds at 1e-16; a reference is followed as closely as the hyperparameters are kept.
    reference_tolerance: ClassVar[float] = 1e-12

    def __init__(self, factory: Callable, rate: str | None) -> None:
        self.factory, self.rate = factory, rate
        # Settings that it takes.
        self.usual: dict[str, Any] = {}

    @abc.abstractmethod
    def begin(self, walk: Walk) -> AbstractWalker:
        """A new optimizer at the start."""

    @abc.abstractmethod
    def code(self, walk: Walk) -> str:
        """The walk as lines to paste, which end with the parameters in `x`."""

    @property
    def costly(self) -> bool:
        """Tell whether a step takes so long that few are to be made."""
        return False

    def context(self) -> contextlib.AbstractContextManager:
        """Context in which it all runs."""
        return contextlib.nullcontext()

    def follow(self, walk: Walk, gradient: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """The positions, one a row, from the start on.

        Arguments:
            walk: what it is put through.
            gradient: at a position, in place of the walk's own, which still say how many steps.
        """
        walker = self.begin(walk)
        path = [walker.position]
        for count, given in enumerate(walk.gradients, 1):
            walker.step(given if gradient is None else tuple(gradient(path[-1]).tolist()))
            if walk.rate_after is not None and count == walk.rate_after[0]:
                walker.set_rate(walk.rate_after[1])
            if count == walk.resume_after:
                walker = walker.resumed()
            path.append(walker.position)
        return np.array(path)


def call(**settings: Any) -> str:
    """Settings as the arguments of a call."""
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def listed(walk: Walk) -> str:
    """Gradients as a list of lists."""
    return repr([walk.shown(gradient) for gradient in walk.gradients])


def first_line(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
