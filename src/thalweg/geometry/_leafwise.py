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


def pairwise(fn: Callable, *trees: Vector) -> tuple[Vector, Vector]:
    """The same of a map of arrays to two."""
    leaves = [jax.tree.leaves(tree) for tree in trees]
    found = [fn(*map(wide, parts)) for parts in zip(*leaves, strict=True)]
    first, second = ([pair[i].astype(leaf.dtype) for pair, leaf in zip(found, leaves[0], strict=True)] for i in (0, 1))
    structure = jax.tree.structure(trees[0])
    return jax.tree.unflatten(structure, first), jax.tree.unflatten(structure, second)
