"""A test problem, and how a file of them collects its own."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Function = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Problem:
    """f, a start, and the values of its known local minima, the least first; none where none is published."""

    name: str
    fn: Function
    x0: np.ndarray
    minima: tuple[float, ...]
    source: str

    @property
    def size(self) -> int:
        return self.x0.size


def sum_of_squares(residuals: jax.Array) -> jax.Array:
    return jnp.sum(residuals**2)


class Shelf(list[Problem]):
    """The problems of one source, in the order of their functions in the file."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source

    def smooth(self, name: str, x0: Any, *minima: float) -> Callable[[Function], Function]:
        """Decorate f."""

        def keep(fn: Function) -> Function:
            self.append(Problem(name, fn, np.array(x0, dtype=float), minima, self.source))
            return fn

        return keep

    def squares(self, name: str, x0: Any, *minima: float) -> Callable[[Function], Function]:
        """Decorate the residuals r of $f = \\sum r^2$."""

        def keep(residuals: Function) -> Function:
            self.smooth(name, x0, *minima)(lambda x: sum_of_squares(residuals(x)))
            return residuals

        return keep


def join(*parts: jax.Array | Sequence[jax.Array]) -> jax.Array:
    """Residuals one after another, numbers and vectors."""
    return jnp.concatenate([jnp.atleast_1d(jnp.asarray(part)) for part in parts])
