"""A distribution as what moves: its numbers are a pytree, on which laws and schemes work as on any other."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .._errors import InputError
from .._module import Module
from .._showing.modules import shown


class EnsembleWarning(UserWarning):
    """Doubts about a distribution: particles that are too few or too much alike, mass below 0."""


class AbstractMeasure(Module):
    """A probability distribution on points of `dimension` coordinates; its floating-point arrays move."""

    # In a message.
    words: eqx.AbstractClassVar[str]
    mean: eqx.AbstractVar[Float[Array, " d"]]
    covariance: eqx.AbstractVar[Float[Array, "d d"]]

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """The number of coordinates of a point."""

    @property
    @abc.abstractmethod
    def mass(self) -> Float[Array, ""]:
        """The sum of all probability, which is 1 but for rounding."""

    def __repr__(self) -> str:
        return shown(self)


def of_points(points: Any, weights: Any) -> tuple[Any, Any]:
    """Mean and covariance of weighted points (N, d), those of a run that is read too."""
    points, weights = jnp.asarray(points), jnp.asarray(weights)
    mean = weights @ points
    apart = points - mean[None]
    return mean, (weights[:, None] * apart).T @ apart


def known(*arrays: Any) -> bool:
    """Tell whether all numbers are known now, so that they can be checked."""
    return not any(isinstance(array, Tracer) for array in arrays)


def as_floats(what: str, value: Any) -> Any:
    """An array of floating-point numbers, of its own precision where it has one."""
    try:
        found = jnp.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must be an array of numbers, but is {value!r}") from error
    if found.size == 0 or jnp.issubdtype(found.dtype, jnp.complexfloating) or found.dtype == bool:
        raise InputError(f"{what} must be an array of real numbers, but has {found.size} of {found.dtype}")
    return found if jnp.issubdtype(found.dtype, jnp.floating) else found.astype(float)


def check_finite(what: str, array: Any) -> None:
    """Refuse NaN and infinity in what is known."""
    if known(array) and not np.all(np.isfinite(np.asarray(array, dtype=float))):
        raise InputError(f"{what} must be finite, but holds NaN or infinity")


def check_probabilities(what: str, masses: Any, how: str) -> None:
    """Refuse masses that are negative, or do not sum to one but for rounding."""
    check_finite(what, masses)
    if not known(masses):
        return
    numbers = np.asarray(masses, dtype=float)
    if numbers.min() < 0.0:
        raise InputError(f"{what} must not be negative, but the smallest is {numbers.min():g}")
    total = float(numbers.sum())
    rounding = float(jnp.finfo(masses.dtype).eps)
    if not abs(total - 1.0) <= max(1e-8, 8.0 * rounding * numbers.size**0.5):
        raise InputError(f"{what} must sum to one, but to {total:.6g}; {how}")
