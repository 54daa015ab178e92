"""The smallest example, by hypothesis."""

import dataclasses
import random
from collections.abc import Callable
from typing import Any

from .._errors import InputError

# Shrunk to the left. All are exact in bfloat16.
NUMBERS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0)
# Without cancellation, where a rounding could decide the sign of a step; the last overflows float16 when squared.
POSITIVE = (1.0, 2.0, 0.5, 3.0, 1024.0)


@dataclasses.dataclass(frozen=True)
class Draw:
    """What an example is made of. Lists are as long as the longest example; `taken` cuts them."""

    dimension: int
    steps: int
    settings: dict[str, Any]
    start: tuple[float, ...]
    gradients: tuple[tuple[float, ...], ...]
    extra: Any = None


def need_hypothesis() -> Any:
    """The module, or one line."""
    try:
        import hypothesis
    except ModuleNotFoundError:
        raise InputError("thalweg.testing needs hypothesis: pip install 'thalweg[testing]'") from None
    return hypothesis


def draws(
    settings: list[dict[str, Any]],
    steps: tuple[int, int],
    *,
    dimensions: tuple[int, int] = (1, 3),
    numbers: tuple[float, ...] = NUMBERS,
    first: tuple[float, ...] | None = None,
    extra: Any = None,
) -> Any:
    """A strategy for examples.

    Arguments:
        settings: to choose from, the simplest first.
        steps: the fewest and the most.
        dimensions: the fewest and the most.
        numbers: for parameters and gradients, the simplest first.
        first: for the first gradient, if others.
        extra: function of the number of steps that gives a strategy for something more.
    """
    st = need_hypothesis().strategies

    @st.composite
    def strategy(draw: Any) -> Draw:
        dimension, count = draw(st.integers(*dimensions)), draw(st.integers(*steps))
        vector = st.tuples(*[st.sampled_from(numbers)] * dimension)
        begin = st.tuples(*[st.sampled_from(first or numbers)] * dimension)
        gradients = draw(st.tuples(begin, *[vector] * (count - 1)))
        chosen = draw(st.sampled_from(settings))
        return Draw(dimension, count, chosen, draw(vector), gradients, draw(extra(count)) if extra else None)

    return strategy()


def search(
    strategy: Any, fault: Callable[[Any], Any], *, examples: int, seed: int, smallest: bool = True
) -> tuple[Any, Any] | None:
    """The smallest draw that is at fault, with what `fault` says of it; None if there is none.

    Arguments:
        strategy: of the draws.
        fault: None where nothing is wrong, else what is.
        examples: how many to try.
        seed: of the draws.
        smallest: shrink; else the first one found.
    """
    hypothesis = need_hypothesis()
    phases = (hypothesis.Phase.generate, *((hypothesis.Phase.shrink,) if smallest else ()))
    settings = hypothesis.settings(max_examples=examples, database=None, deadline=None, phases=phases)
    last: list[Any] = []

    def at_fault(drawn: Any) -> bool:
        said = fault(drawn)
        if said is not None:
            last[:] = [(drawn, said)]
        return said is not None

    try:
        hypothesis.find(strategy, at_fault, settings=settings, random=random.Random(seed))
    except hypothesis.errors.NoSuchExample:
        return None
    except hypothesis.errors.Flaky:
        # An optimizer that is not deterministic: the last example that was at fault.
        pass
    return last[0] if last else None
