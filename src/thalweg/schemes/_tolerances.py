"""Tolerances of a step, one number or one of each number of the position, and times at which steps end."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._errors import InputError, check_number, is_real
from .._tree import Vector, size, unraveler
from ..dynamics import Phase


def as_tolerance(value: Any) -> Any:
    """A number as an array leaf, a tree of numbers as one of arrays; what is neither is refused by name."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=float) if is_real(leaf) else leaf, value)


def check_tolerance(name: str, value: Any, **bounds: float) -> None:
    """Refuse what is no tolerance: every entry must be a number in its range."""
    leaves = jax.tree.leaves(value)
    if not leaves:
        raise InputError(f"{name} must be a number, or numbers like the position, but is {value!r}")
    for leaf in leaves:
        if isinstance(leaf, Tracer):
            continue
        if not is_real(leaf) or np.ndim(leaf) == 0:
            check_number(name, leaf, **bounds)
            continue
        for entry in np.ravel(np.asarray(leaf, float)):
            check_number(f"every entry of {name}", entry, **bounds)


def as_stops(value: Any) -> Any:
    """Times as an array leaf; what is none is refused by name."""
    return jnp.asarray(value, dtype=float) if value is not None and is_real(value) else value


def check_stops(value: Any) -> None:
    """Refuse what are no times that go up."""
    if not isinstance(value, jax.Array) or value.ndim != 1 or value.size == 0:
        raise InputError(f"stops must be times that go up, such as jnp.array([0.5, 1.0]), but are {value!r}")
    if isinstance(value, Tracer):
        return
    times = np.asarray(value)
    if not (np.all(np.isfinite(times)) and np.all(np.diff(times) > 0)):
        raise InputError(f"stops must be finite and go up, but are {times.tolist()}")


def is_number(value: Any) -> bool:
    """Tell whether a tolerance is one number for all."""
    return _bare(value) and jnp.ndim(value) == 0


def like_position(name: str, value: Any, position: Vector) -> Any:
    """A tolerance as one number, or as a tree of the position's shapes.

    Arguments:
        name: of the tolerance.
        value: a number, a tree like the position whose leaves spread over its leaves, or a vector of as many entries as
            the position has, in the order of its tree.
        position: of a state.

    Raises:
        InputError: it is none of them.
    """
    if is_number(value):
        return value
    if _bare(value) and value.shape == (size(position),):
        cut = unraveler(position)
        return dataclasses.replace(cut, dtypes=(value.dtype,) * len(cut.dtypes))(value)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(position)]
    given = [jnp.shape(leaf) for leaf in jax.tree.leaves(value)]
    same = jax.tree.structure(position) == jax.tree.structure(value)
    if not (same and all(_spreads(here, there) for here, there in zip(given, shapes, strict=True))):
        raise InputError(
            f"{name} must be a number or like the position, of shape {_list(shapes)}, but is "
            f"{'of shape' if same else 'another tree, of shape'} {_list(given)}"
        )
    return jax.tree.map(lambda leaf, own: jnp.broadcast_to(leaf, own.shape), value, position)


def over_phase(value: Any, y: Phase) -> Phase:
    """A tolerance that `like_position` gave, for every leaf of a phase: the velocity's entries are the position's."""
    if is_number(value):
        return jax.tree.map(lambda leaf: value, y)
    return Phase(value, None if y.velocity is None else value)


def _bare(value: Any) -> bool:
    return jax.tree.structure(value) == jax.tree.structure(0)


def _spreads(here: tuple[int, ...], there: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(here, there) == there
    except ValueError:
        return False


def _list(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))
