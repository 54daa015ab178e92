"""Maps of arrays as maps of trees, in float32 at least."""

from collections.abc import Callable

import jax
from jaxtyping import Array

from .._tree import Vector
from .._tree import wide as wide


def leafwise(fn: Callable, *trees: Vector) -> Vector:
    """A map of arrays over trees, in float32 at least, in the dtypes of the first."""

    def whole(*leaves: Array) -> Array:
        return fn(*map(wide, leaves)).astype(leaves[0].dtype)

    return jax.tree.map(whole, *trees)
