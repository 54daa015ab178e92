"""Number of settings of a sweep that run side by side."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params

from .._errors import as_key
from .._objectives.objective import AbstractObjective
from .._reading import on_change
from .._tree import Vector

# On digits, 1,000 settings all at once took 117 µs a step and setting, 100 to 250 at once 89 (in float32 226 and 51):
# beyond some 12 MiB an array of the batch leaves the cache before it is used. An accelerator wants width.
_CPU_BYTES = 12 * 2**20
_ACCELERATOR_BYTES = 2**30

_SEEN: dict[Any, int] = {}
on_change(_SEEN.clear)


def width(objective: AbstractObjective, x0: Vector, count: int) -> int:
    """Number of `count` settings to run at once: no array of a gradient's evaluation outgrows the cache."""
    leaves, structure = jax.tree.flatten((objective, x0))
    # What is traced depends on no array's value, so one trace serves every sweep of this objective.
    known = (structure, *((leaf.shape, leaf.dtype) if eqx.is_array(leaf) else leaf for leaf in leaves))
    if known not in _SEEN:
        _SEEN[known] = _largest(objective, x0)
    room = _CPU_BYTES if jax.default_backend() == "cpu" else _ACCELERATOR_BYTES
    at_once = max(1, room // max(_SEEN[known], 1))
    batches = -(-count // at_once)
    return -(-count // batches)


def _largest(objective: AbstractObjective, x0: Vector) -> int:
    """Bytes that one more setting adds to the array it adds most to; what all settings share does not count."""
    batch = objective.draw(as_key(0)) if objective.stochastic else None

    def gradients(x: Vector) -> Any:
        return jax.vmap(lambda one: objective.value_and_gradient(one, batch))(x)

    def sizes(at_once: int) -> list[int]:
        x = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (at_once, *leaf.shape)), x0)
        return list(_sizes(jax.make_jaxpr(gradients)(x).jaxpr))

    return max((three - two for two, three in zip(sizes(2), sizes(3), strict=False)), default=0)


def _sizes(jaxpr: Any) -> Iterator[int]:
    """Bytes of every array that a computation makes, what is inside loops and calls included."""
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            # A key array has no plain size; it is small.
            yield int(np.prod(variable.aval.shape, dtype=int)) * getattr(variable.aval.dtype, "itemsize", 8)
        for inner in jaxprs_in_params(equation.params):
            yield from _sizes(inner)
