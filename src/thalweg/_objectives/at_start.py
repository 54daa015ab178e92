"""The value of an objective at a start, and what is wrong with it there."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, as_key
from .._tree import Vector
from .objective import AbstractObjective, Batch, start_value_and_gradient


def check_at_start(objective: AbstractObjective, x0: Vector, name: str = "the objective") -> float:
    """The value at `x0`; refuse an objective that raises there, is no float scalar, or is not finite."""
    batch = objective.draw(as_key(0)) if objective.stochastic else None
    try:
        value, gradient = start_value_and_gradient(objective, x0, batch)
    except Exception as error:
        explain(objective, x0, batch, name)
        raise InputError(_raised(error, x0, name)) from error
    return check_values(objective, value, gradient, name)


def check_values(objective: AbstractObjective, value: Any, gradient: Vector, name: str = "the objective") -> float:
    """The value; refuse one that is not finite, and a gradient that is not."""
    if not np.isfinite(np.asarray(value)):
        way = holes(objective) or "begin where it is finite"
        raise InputError(f"{name} is {float(value)} at the start; {way}")
    if not all(np.all(np.isfinite(np.asarray(leaf, dtype=float))) for leaf in jax.tree.leaves(gradient)):
        raise InputError(
            f"the gradient of {name} is not finite at the start; {holes(objective) or 'begin where it is'}"
        )
    return float(value)


def holes(objective: AbstractObjective | None) -> str:
    """Words for data of an objective, or arguments, that are not finite; nothing where all are."""
    inner: Any = objective
    while isinstance(next_one := getattr(inner, "objective", None), AbstractObjective):
        inner = next_one
    for field in ("data", "args"):
        leaves = [
            np.asarray(leaf) for leaf in jax.tree.leaves(getattr(inner, field, None)) if eqx.is_inexact_array(leaf)
        ]
        bad = [~np.isfinite(leaf) for leaf in leaves]
        if not any(one.any() for one in bad):
            continue
        if field != "data" or any(one.ndim == 0 or len(one) != len(bad[0]) for one in bad):
            return f"the {field} hold NaN or infinity"
        samples = np.any([one.reshape(len(one), -1).any(axis=1) for one in bad], axis=0)
        return (
            f"the {field} hold NaN or infinity in {samples.sum()} of {len(samples)} samples, the first of them "
            f"{int(np.argmax(samples))}; fill them or leave them out"
        )
    return ""


def explain(objective: AbstractObjective, x0: Vector, batch: Batch = None, name: str = "the objective") -> None:
    """Raise what is wrong with the value, if it is that."""
    try:
        shape: Any = eqx.filter_eval_shape(objective.value, x0, batch)
    except Exception as error:
        raise InputError(_raised(error, x0, name)) from error
    if not hasattr(shape, "shape") or not hasattr(shape, "dtype"):
        way = "; of (loss, aux) return the loss alone, as JAX does with has_aux" if isinstance(shape, tuple) else ""
        raise InputError(f"{name} must return a scalar, but returns {type(shape).__name__}{way}")
    if shape.shape != ():
        raise InputError(f"{name} must return a scalar, but returns shape {shape.shape}; take the mean or the sum")
    if not jnp.issubdtype(shape.dtype, jnp.floating):
        way = "; take jnp.real or jnp.abs of it" if jnp.issubdtype(shape.dtype, jnp.complexfloating) else ""
        raise InputError(f"{name} must return a floating-point scalar, but returns {shape.dtype}{way}")


# The ways out of a function that JAX cannot trace, by the error that it raises there.
_WAYS_OUT = (
    (
        jax.errors.TracerArrayConversionError,
        "write it with jax.numpy instead of numpy; as it is, SciPy takes it, with tw.adapters.scipy.minimizer()",
    ),
    (jax.errors.TracerBoolConversionError, "choose with jnp.where instead of if, and compare with jnp.maximum"),
    (jax.errors.TracerIntegerConversionError, "index arrays of jax.numpy, not of numpy or lists"),
    (jax.errors.ConcretizationTypeError, "return an array of jax.numpy, without float(), math or .item()"),
)


def _raised(error: Exception, x0: Vector, name: str) -> str:
    if isinstance(error, InputError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    shapes = ", ".join(str(leaf.shape) for leaf in jax.tree.leaves(x0))
    way = next((f"; {way}" for kind, way in _WAYS_OUT if isinstance(error, kind)), "")
    return f"{name} raised {type(error).__name__} at the start of shape {shapes}: {first.rstrip('.')}{way}"
