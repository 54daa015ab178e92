"""Two walks that must end alike, or must not; and the smallest example where it is otherwise."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from .._errors import InputError
from ._factory import Signature
from ._report import Example
from ._search import Draw, Space, search, smallest
from ._walk import AbstractFramework, Walk, first_line

ROUNDING = 1e-12


class NotCheckedError(Exception):
    """Reason why a check does not apply."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault in an example.

    Arguments:
        walk: that shows it.
        expected: what should have been found.
        found: what was found.
        note: what the walk alone does not tell.
        code: lines to paste, where they are not the walk's own.
    """

    walk: Walk
    expected: Any
    found: Any
    note: str = ""
    code: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """Setting of every check: the factory in its framework, what it takes, and how long to look."""

    framework: AbstractFramework
    signature: Signature
    reference: Any
    steps: int
    seed: int
    examples: int
    catalogue: list[dict[str, Any]]
    layouts: tuple[bool, ...] = (False,)

    def need(self, *settings: str) -> None:
        """Only where the factory takes these."""
        for setting in settings:
            if not self.signature.has(setting):
                raise NotCheckedError(f"it takes no {setting.replace('rate', 'learning rate')}")

    def tiny(self, settings: dict[str, Any], gradients: bool = False) -> Walk:
        """The smallest walk there is, with a gradient or none."""
        ones = (1.0,) * (2 if self.layouts[0] else 1)
        return Walk(settings, ones, (ones,) if gradients else (), matrix=self.layouts[0])

    def refusal(self, settings: dict[str, Any], *, stepping: bool = False) -> str | None:
        """Reason why the factory does not take these settings; None where it does."""
        try:
            walk = self.tiny(settings)
            walker = self.framework.begin(walk)
            if stepping:
                walker.step(walk.start)
        except Exception as error:
            return f"{', '.join(f'{k}={v}' for k, v in settings.items())} raised {first_line(error)}"
        return None

    def draws(self, least: int = 1, settings: list[dict[str, Any]] | None = None, **options: Any) -> Space:
        """Examples of at least so many steps."""
        # Of one size each, where every size is compiled anew, and in JAX of two at most.
        size = {"dimensions": (2, 2)} if self.framework.costly else {}
        if self.framework.name == "optax" and options.get("dimensions") == (2, 3):
            size = {"dimensions": (2, 2)}
        given: dict[str, Any] = {"layouts": self.layouts} | options | size
        return Space(settings or self.catalogue, (least, self.steps), **given)

    @property
    def one_size(self) -> int | None:
        """The size for what shows in any, where every one is compiled anew."""
        return 2 if self.framework.name == "optax" else None

    def search(self, space: Space, fault: Callable[[Draw], Fault | None], examples: int | None = None) -> Fault | None:
        """The fault of the smallest example that has one."""

        def guarded(draw: Draw) -> Fault | None:
            try:
                return fault(draw)
            except InputError:
                raise
            except Exception as error:
                return raised(as_walk(draw), error)

        return smallest(space, guarded, examples=examples or self.examples, seed=self.seed)

    def alike(
        self,
        space: Space,
        pair: Callable[[Draw], tuple[Walk, Walk]],
        tolerance: float | None = None,
        examples: int | None = None,
    ) -> Fault | None:
        """Step at which the second walk leaves the first: by a bit, or by more than the tolerance."""
        return self.search(space, lambda draw: self.parted(*pair(draw), tolerance), examples)

    def parted(self, first: Walk, second: Walk, tolerance: float | None) -> Fault | None:
        """The second walk up to the step where it is no longer as the first."""
        try:
            expected = self.framework.follow(first)
        except Exception as error:
            return raised(first, error)
        try:
            found = self.framework.follow(second)
        except Exception as error:
            return raised(second, error, expected[-1].tolist())
        step = first_parting(expected, found, tolerance)
        if step is None:
            return None
        return Fault(until(second, step), expected[step].tolist(), found[step].tolist())

    def different(
        self,
        space: Space,
        pair: Callable[[Draw], tuple[Walk, Walk]],
        expected: Callable[[Walk, Walk], str],
        measure: Callable[[np.ndarray], np.ndarray] = lambda path: path,
    ) -> Fault | None:
        """The smallest example, if the two walks are alike in all of them."""

        def same(draw: Draw) -> Fault | None:
            first, second = pair(draw)
            try:
                one, two = (measure(self.framework.follow(walk)) for walk in (first, second))
            except Exception as error:
                return raised(second, error)
            if first_parting(one, two, ROUNDING) is not None:
                return None
            return Fault(second, expected(first, second), two[-1].tolist())

        apart = search(space, lambda draw: None if same(draw) else draw, examples=self.examples, seed=self.seed)
        return None if apart is not None else self.search(space, same)


def raised(walk: Walk, error: Exception, expected: Any = "a step") -> Fault:
    """An optimizer that raises."""
    return Fault(walk, expected, f"raised {first_line(error)}")


def first_parting(expected: np.ndarray, found: np.ndarray, tolerance: float | None) -> int | None:
    """The first row where two paths differ: by a bit, or by more than the tolerance of the largest number so far."""
    for step, (a, b) in enumerate(zip(expected, found, strict=True)):
        if tolerance is None:
            near = np.array_equal(a, b, equal_nan=True)
        else:
            known = np.abs(expected[: step + 1])
            scale = max(1.0, float(np.max(known[np.isfinite(known)], initial=0.0)))
            near = np.allclose(b, a, rtol=0.0, atol=tolerance * scale, equal_nan=True)
        if not near:
            return step
    return None


def until(walk: Walk, step: int) -> Walk:
    """The walk up to a step."""
    return dataclasses.replace(walk, gradients=walk.gradients[: max(step, 1)])


def as_walk(draw: Draw, **options: Any) -> Walk:
    """A draw as a walk."""
    settings = options.pop("settings", draw.settings)
    given: dict[str, Any] = {"matrix": draw.matrix} | options
    return Walk(settings, draw.start, draw.gradients, **given)


def negative(gradient: tuple[float, ...]) -> tuple[float, ...]:
    """The other way."""
    return tuple(-number for number in gradient)


def as_example(fault: Fault, framework: AbstractFramework) -> Example:
    """A fault as a person reads it."""
    walk = fault.walk
    code = fault.code or framework.code(walk)
    return Example(
        settings=dict(walk.settings),
        dimension=len(walk.start),
        steps=len(walk.gradients),
        start=list(walk.start),
        gradients=[list(gradient) for gradient in walk.gradients],
        expected=fault.expected,
        found=fault.found,
        code=f"{code}\n# {fault.note}" if fault.note else code,
    )
