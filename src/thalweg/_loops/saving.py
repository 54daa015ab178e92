"""Rows that a loop of steps keeps: of the state at every step, or of those that were chosen."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PyTree

from .._errors import InputError, is_real
from .._module import Module
from ..schemes import State


def position(state: State) -> PyTree:
    """The position of a state."""
    return state.position


class Chosen(Module):
    """Steps whose states are kept, or times at which an adaptive method ends one: numbers that go up, or repeat."""

    at: Int[Array, " rows"] | Float[Array, " rows"]
    # The row of each step; None where it follows from the time.
    rows: Int[Array, " states"] | None = None

    def place(self, state: State, k: Array) -> Array:
        """The row of the state before step k; one past the last where it is not kept."""
        return self.found(jnp.asarray(state.time, self.at.dtype)) if self.rows is None else self.rows[k]

    def found(self, here: Array) -> Array:
        """The first row of a number, or numbers."""
        at = jnp.searchsorted(self.at, here, method="compare_all" if self.rows is None else "scan")
        return jnp.where(self.at[jnp.minimum(at, self.at.size - 1)] == here, at, self.at.size)


def at_steps(at: Int[Array, " rows"], count: int) -> Chosen:
    """Steps whose states are kept, of so many."""
    every = jnp.arange(count + 1)
    return Chosen(at, Chosen(at, every).found(every))


class Keeping(NamedTuple):
    """A function of the state whose results a loop keeps, at every step or at chosen ones; or nothing."""

    row: Callable[[State], PyTree] | None
    chosen: Chosen | None = None

    def empty(self, state: State) -> PyTree:
        """Rows to be filled, and one for all that are not kept; None where every step has its own."""
        if self.row is None or self.chosen is None:
            return None
        rows = self.chosen.at.size + 1
        return jax.tree.map(lambda one: jnp.zeros((rows, *one.shape), one.dtype), jax.eval_shape(self.row, state))

    def of(self, state: State, k: Array) -> PyTree:
        """The row of the state before step k, zeros where it is not kept."""
        if self.row is None or self.chosen is None:
            return None if self.row is None else self.row(state)
        like = jax.eval_shape(self.row, state)
        return jax.lax.cond(
            self.chosen.place(state, k) < self.chosen.at.size,
            # What is made on the way to a row is not held at every step for its derivative.
            jax.checkpoint(self.row),
            lambda state: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like),
            state,
        )

    def put(self, rows: PyTree, state: State, k: Array) -> tuple[PyTree, PyTree]:
        """The rows with that of the state before step k, where it is chosen; and the row, where every step has one."""
        row = self.of(state, k)
        if self.chosen is None:
            return None, row
        return put(rows, row, self.chosen.place(state, k)), None

    def whole(self, rows: PyTree, final: State, count: int) -> PyTree:
        """All rows in their order, with that of the last state."""
        if self.row is None:
            return None
        if self.chosen is None:
            return jax.tree.map(lambda kept, last: jnp.concatenate([kept, last[None]]), rows, self.row(final))
        rows, _ = self.put(rows, final, jnp.asarray(count))
        # Those of a number that repeats are the same.
        first = self.chosen.found(self.chosen.at)
        return jax.tree.map(lambda all: all[first], rows)


def put(rows: PyTree, row: PyTree, place: Array) -> PyTree:
    """Rows with one of them at its place."""
    return jax.tree.map(lambda all, one: jax.lax.dynamic_update_index_in_dim(all, one, place, 0), rows, row)


def as_steps(at: Any, count: int) -> Chosen:
    """The numbers of the steps that are kept; refuse what is none, or no number of a step."""
    right = f"at must be step numbers that go up, from 0 to {count}, such as [0, {count}], but"
    if isinstance(at, Tracer):
        raise InputError(f"{right} are traced; give numbers that are known when the program is made")
    try:
        steps = np.asarray(at)
    except (TypeError, ValueError):
        steps = np.asarray(None)
    if steps.ndim != 1 or not steps.size or not np.issubdtype(steps.dtype, np.integer):
        raise InputError(f"{right} are {at!r}")
    if not np.all(np.diff(steps) > 0) or steps[0] < 0 or steps[-1] > count:
        raise InputError(f"{right} are {steps.tolist()}")
    rows = np.full(count + 1, steps.size, np.int32)
    rows[steps] = np.arange(steps.size)
    return Chosen(jnp.asarray(steps, int), jnp.asarray(rows))


def as_times(times: Any) -> Float[Array, " rows"]:
    """Times that are kept; refuse what is none, or goes back and forth."""
    right = "times must be numbers that go one way, such as jnp.linspace(0, 1, 11), but are"
    try:
        found = jnp.asarray(times, float) if is_real(times) else None
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None or found.ndim != 1 or not found.size:
        raise InputError(f"{right} {times!r}")
    if not isinstance(found, Tracer):
        steps = np.diff(np.asarray(found))
        if not np.all(np.isfinite(np.asarray(found))) or not (np.all(steps > 0) or np.all(steps < 0)):
            raise InputError(f"{right} {np.asarray(found).tolist()}")
    return found
