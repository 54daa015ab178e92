"""Inputs of a network, several at once, and their classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, is_real


def as_inputs(inputs: PyTree) -> PyTree:
    """Inputs as arrays of one leading axis; refused where they are none."""
    try:
        leaves = jax.tree.leaves(inputs)
    except ValueError as error:
        raise InputError(f"inputs must be a pytree of arrays, but: {error}") from error
    lengths = {np.shape(leaf)[:1] if is_real(leaf) else None for leaf in leaves}
    if len(lengths) != 1 or lengths & {None, (), (0,)}:
        raise InputError("inputs must be arrays of numbers with one leading axis that counts them, such as (n, 64)")
    return jax.tree.map(jnp.asarray, inputs)


def as_classes(labels: Any, count: int) -> np.ndarray | None:
    """The classes of so many inputs, whole numbers; None where none are given."""
    if labels is None:
        return None
    array = np.asarray(labels) if is_real(labels) else np.zeros(())
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise InputError(f"labels must be {count} whole numbers, one for each input, but are {labels!r}")
    return array
