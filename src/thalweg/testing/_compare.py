"""Two walks that must end alike, or must not; and the smallest example where it is otherwise."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ._factory import Signature
from ._report import Example
from ._search import Draw, draws, search
from ._walk import AbstractFramework, Walk, first_line

ROUNDING = 1e-12


class NotCheckedError(Exception):
    """Why a check does not apply."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong in an example.

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
    """What every check needs: the factory in its framework, what it takes, and how long to look."""

    framework: AbstractFramework
    signature: Signature
    reference: Any
    steps: int
    seed: int
    examples: int
    catalogue: list[dict[str, Any]]

    def need(self, *settings: str) -> None:
        """Only where the factory takes these."""
        for setting in settings:
            if not self.signature.has(setting):
                raise NotCheckedError(f"it takes no {setting.replace('rate', 'learning rate')}")

    def refusal(self, settings: dict[str, Any], *, stepping: bool = False) -> str | None:
        """Why the factory does not take these settings; None where it does."""
        try:
            walker = self.framework.begin(Walk(settings, (1.0,), ()))
            if stepping:
                walker.step((1.0,))
        except Exception as error:
            return f"{', '.join(f'{k}={v}' for k, v in settings.items())} raised {first_line(error)}"
        return None

    def draws(self, least: int = 1, settings: list[dict[str, Any]] | None = None, **options: Any) -> Any:
        """A strategy for examples of at least so many steps."""
        return draws(settings or self.catalogue, (least, self.steps), **options)

    def search(self, strategy: Any, fault: Callable[[Draw], Fault | None], examples: int | None = None) -> Fault | None:
        """The fault of the smallest example that has one."""
        found = search(strategy, fault, examples=examples or self.examples, seed=self.seed)
        return None if found is None else found[1]

    def alike(
        self,
        strategy: Any,
        pair: Callable[[Draw], tuple[Walk, Walk]],
        tolerance: float | None = None,
        examples: int | None = None,
    ) -> Fault | None:
        """Where the second walk leaves the first: by a bit, or by more than the tolerance."""
        return self.search(strategy, lambda draw: self.parted(*pair(draw), tolerance), examples)

    def parted(self, first: Walk, second: Walk, tolerance: float | None) -> Fault | None:
        """The second walk up to the step where it is no longer as the first."""
        try:
            expected = self.framework.follow(first)
        except Exception as error:
            return Fault(first, "a step", f"raised {first_line(error)}")
        try:
            found = self.framework.follow(second)
        except Exception as error:
            return Fault(second, expected[-1].tolist(), f"raised {first_line(error)}")
        step = first_parting(expected, found, tolerance)
        if step is None:
            return None
        return Fault(until(second, step), expected[step].tolist(), found[step].tolist())

    def different(
        self,
        strategy: Any,
        pair: Callable[[Draw], tuple[Walk, Walk]],
        expected: Callable[[Walk, Walk], str],
        measure: Callable[[np.ndarray], np.ndarray] = lambda path: path,
    ) -> Fault | None:
        """The smallest example, if the two walks are alike in all of them."""

        def same(draw: Draw) -> Fault | None:
            first, second = pair(draw)
            try:
                paths = [measure(self.framework.follow(walk)) for walk in (first, second)]
            except Exception as error:
                return Fault(second, "a step", f"raised {first_line(error)}")
            if first_parting(*paths, ROUNDING) is not None:
                return None
            return Fault(second, expected(first, second), paths[1][-1].tolist())

        apart = search(
            strategy, lambda draw: None if same(draw) else draw, examples=self.examples, seed=self.seed, smallest=False
        )
        return None if apart is not None else self.search(strategy, same)


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
