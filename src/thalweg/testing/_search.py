"""The smallest example, by hypothesis."""

import dataclasses
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .._errors import MissingExtraError

# Shrunk to the left. All are exact in bfloat16.
NUMBERS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0)
NONZERO = NUMBERS[1:]
# Without cancellation, where a rounding could decide the sign of a step; the last overflows float16 when squared.
POSITIVE = (1.0, 2.0, 0.5, 3.0, 1024.0)


@dataclasses.dataclass(frozen=True)
class Draw:
    """Numbers that an example is made of."""

    dimension: int
    steps: int
    settings: dict[str, Any]
    start: tuple[float, ...]
    gradients: tuple[tuple[float, ...], ...]
    extra: Any = None
    matrix: bool = False


def need_hypothesis() -> Any:
    """The module, or one line."""
    ours = "hypothesis" not in sys.modules and "HYPOTHESIS_STORAGE_DIRECTORY" not in os.environ
    try:
        import hypothesis  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise MissingExtraError("thalweg.testing needs hypothesis: pip install 'thalweg[testing]'") from None
    if ours:
        # Nobody else in this process uses it, so that its cache need not lie in the working directory.
        from hypothesis.configuration import (  # pyright: ignore[reportMissingImports]
            set_hypothesis_home_dir,
        )

        set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "thalweg-hypothesis")
    return hypothesis


@dataclasses.dataclass(frozen=True)
class Space:
    """Space of examples.

    Arguments:
        settings: to choose from, the simplest first.
        steps: the fewest and the most.
        dimensions: the fewest and the most.
        numbers: for parameters and gradients, the simplest first.
        first: for the first gradient, if others.
        extra: function of the number of steps that gives a strategy for something more.
        layouts: whether the numbers are a matrix's, twice as many as the dimension; both ways, or one of them.
        size: the only dimension in which a fault is looked for, if any; a smaller one is looked for once it is found.
    """

    settings: list[dict[str, Any]]
    steps: tuple[int, int]
    dimensions: tuple[int, int] = (1, 2)
    numbers: tuple[float, ...] = NUMBERS
    first: tuple[float, ...] | None = None
    extra: Callable[[int], Any] | None = None
    layouts: tuple[bool, ...] = (False,)
    size: int | None = None

    def strategy(self) -> Any:
        """Strategy of hypothesis; what it draws makes a `Draw`."""
        st = need_hypothesis().strategies
        settings, layouts = st.sampled_from(self.settings), st.sampled_from(self.layouts)
        sizes = {d * (1 + m) for d in range(self.dimensions[0], self.dimensions[1] + 1) for m in self.layouts}
        vectors = {d: st.tuples(*[st.sampled_from(self.numbers)] * d) for d in sizes}
        begins = {d: st.tuples(*[st.sampled_from(self.first or self.numbers)] * d) for d in sizes}
        dimensions, counts = st.integers(*self.dimensions), st.integers(*self.steps)

        @st.composite
        def drawn(draw: Any) -> Any:
            matrix, steps = draw(layouts), draw(counts)
            dimension = draw(dimensions) * (1 + matrix)
            chosen, extra = draw(settings), draw(self.extra(steps)) if self.extra else None
            vector = vectors[dimension]
            start, gradients = draw(vector), (draw(begins[dimension]), *(draw(vector) for _ in range(steps - 1)))
            # Not yet a Draw: a type checker of its fields may be random, which hypothesis refuses within a strategy.
            return dimension, steps, chosen, start, gradients, extra, matrix

        return drawn()

    def by_size(self) -> Iterator["Space"]:
        """Its parts of one dimension and one number of steps, the smallest first."""
        for dimension in range(self.dimensions[0], self.dimensions[1] + 1):
            for steps in range(self.steps[0], self.steps[1] + 1):
                yield dataclasses.replace(self, dimensions=(dimension, dimension), steps=(steps, steps))


def smallest(space: Space, fault: Callable[[Draw], Any], *, examples: int, seed: int) -> Any:
    """Smallest draw that is at fault, with what `fault` says of it; None if there is none.

    Arguments:
        space: of the draws.
        fault: None where nothing is wrong, else what is.
        examples: how many to try.
        seed: of the draws.
    """
    first = space if space.size is None else dataclasses.replace(space, dimensions=(space.size, space.size))
    found = search(first, fault, examples=examples, seed=seed)
    if found is None:
        return None
    # Size by size, since shrinking alone may not get from a fault in the last place to the same in the first.
    parts = (search(part, fault, examples=examples, seed=seed, shrink=True) for part in space.by_size())
    return next((part for part in parts if part is not None), found)


def search(space: Space, fault: Callable[[Draw], Any], *, examples: int, seed: int, shrink: bool = False) -> Any:
    """A draw that is at fault, the first or one that is shrunk, with what `fault` says of it; None if there is none."""
    hypothesis = need_hypothesis()
    phases = (hypothesis.Phase.generate, *((hypothesis.Phase.shrink,) if shrink else ()))
    settings = hypothesis.settings(max_examples=examples, database=None, deadline=None, phases=phases)
    last: list[Any] = []

    def at_fault(drawn: Any) -> bool:
        said = fault(Draw(*drawn))
        if said is not None:
            last[:] = [said]
        return said is not None

    try:
        hypothesis.find(space.strategy(), at_fault, settings=settings, random=random.Random(seed))
    except hypothesis.errors.NoSuchExample:
        return None
    except hypothesis.errors.Flaky:
        # An optimizer that is not deterministic: the last example that was at fault.
        pass
    return last[0] if last else None
