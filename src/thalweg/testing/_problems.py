"""Functions and starts that a method is checked on, from one parameter up."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._objectives.objective import Objective
from .._tree import Vector

# What the lines of a problem are written with; a function of them is at home there.
_NAMES = {"jax": jax, "jnp": jnp, "__name__": __name__}


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function and a start, as lines that make them."""

    function: str
    start: str

    def fresh(self) -> Objective:
        """The function, new: what was traced of another is traced again."""
        return Objective(eval(self.function, dict(_NAMES)))

    def x(self, dtype: Any = float) -> Vector:
        """The start in a dtype."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), eval(self.start, dict(_NAMES)))

    @functools.cached_property
    def objective(self) -> Objective:
        """The function, the same each time."""
        return self.fresh()


_CURVED = "lambda x: jnp.sum(jnp.cosh(x - 0.3)) + 0.25 * jnp.sum(x) ** 2"
_ON_TREES = "lambda x: sum(jnp.sum(jnp.cosh(leaf - 0.3)) for leaf in jax.tree.leaves(x))"


class Ladder(NamedTuple):
    """Problems to go through: of one parameter, of a few, and trees, the smallest first; the last of them decides."""

    one: Problem
    few: Problem
    trees: tuple[Problem, ...]


VECTORS = Ladder(
    Problem(_CURVED, "jnp.array([1.0])"),
    Problem(_CURVED, "jnp.array([1.0, -0.5, 0.8])"),
    (
        Problem(_ON_TREES, "{'a': jnp.array(1.0), 'b': jnp.array(-0.5)}"),
        Problem(_ON_TREES, "{'w': jnp.array([[1.0, -0.5], [0.2, 0.7]])}"),
        Problem(
            _ON_TREES,
            "{'w': jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), 'b': jnp.array([0.5, -0.25]), 'scale': jnp.array(0.8)}",
        ),
    ),
)
# Of laws that take no vector.
MATRICES = Ladder(
    Problem(_CURVED, "jnp.array([[1.0]])"),
    Problem(_CURVED, "jnp.array([[1.0, -0.5], [0.2, 0.7]])"),
    (
        Problem(_ON_TREES, "{'w': jnp.array([[1.0, -0.5], [0.2, 0.7]])}"),
        Problem(
            _ON_TREES, "{'w': jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), 'v': jnp.array([[1.0, -0.5], [0.2, 0.7]])}"
        ),
    ),
)
