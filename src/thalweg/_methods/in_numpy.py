"""Primitives of JAX as functions of NumPy arrays, each with an axis of rows in front."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.lax import RoundingMethod

from . import indexed_in_numpy as indexed
from . import linear_in_numpy as linear

# From values with an axis of rows, as many or one, to such values.
Operation = Callable[..., Sequence[Any]]


def as_wide(value: Any, size: int) -> Any:
    """Rows of numbers as rows of arrays of so many axes."""
    return np.reshape(value, value.shape + (1,) * (size + 1 - value.ndim))


def alike(values: Sequence[Any]) -> list[Any]:
    """The same values, each with as many rows as another has."""
    rows = max(len(one) for one in values)
    return [np.broadcast_to(one, (rows, *one.shape[1:])) for one in values]


def _logistic(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _rsqrt(x: Any) -> Any:
    return 1.0 / np.sqrt(x)


def _div(x: Any, y: Any) -> Any:
    if np.issubdtype(np.result_type(x), np.inexact):
        return np.true_divide(x, y)
    # Of whole numbers towards 0, and by 0 as XLA has it.
    return np.where(y == 0, -1, np.floor_divide(x, y) + ((np.fmod(x, y) != 0) & ((x < 0) != (y < 0))))


def _rem(x: Any, y: Any) -> Any:
    return np.fmod(x, y) if np.issubdtype(np.result_type(x), np.inexact) else np.where(y == 0, x, np.fmod(x, y))


def _clamp(low: Any, x: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "div": _div, "neg": np.negative,
    "max": np.maximum, "min": np.minimum, "rem": _rem, "clamp": _clamp, "pow": np.power, "sqrt": np.sqrt, "abs":
    np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "exp": np.exp, "exp2": np.exp2, "log": np.log,
    "log1p": np.log1p, "expm1": np.expm1, "sin": np.sin, "cos": np.cos, "tan": np.tan, "tanh": np.tanh, "sinh":
    np.sinh, "cosh": np.cosh, "atan2": np.arctan2, "square": np.square, "rsqrt": _rsqrt, "logistic": _logistic,
    "is_finite": np.isfinite, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt":
    np.greater, "ge": np.greater_equal, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not":
    np.invert, "copy": np.asarray, "copy_p": np.asarray, "stop_gradient": np.asarray, "convert_element_type":
    np.asarray,
}  # fmt: skip
# Of other numbers they are others.
KINDS = dict.fromkeys(("pow", "lu", "eigh", "cholesky", "triangular_solve"), np.floating)


def _each(fn: Callable[[Any, Any], Any], parameter: str) -> Callable[..., Callable[..., Any]]:
    """Of a row by a shape or axes, which are behind the axis of rows."""
    return lambda equation, **given: lambda x: fn(x, given[parameter])


def _behind(axes: Any) -> tuple[int, ...]:
    return tuple(int(axis) + 1 for axis in axes)


def _reduced(fn: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    return lambda equation, axes, **_: lambda x: fn(x, axis=_behind(axes))


def _place_of(fn: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    return lambda equation, axes, **_: lambda x: fn(x, axis=axes[0] + 1)


def _running(fn: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    def made(equation: Any, axis: int, reverse: bool, **_: Any) -> Callable[..., Any]:
        if reverse:
            return lambda x: np.flip(fn(np.flip(x, axis + 1), axis + 1), axis + 1)
        return lambda x: fn(x, axis + 1)

    return made


def _power(equation: Any, y: int, **_: Any) -> Callable[..., Any]:
    # A square as a product, to the last digit.
    return np.square if y == 2 else lambda x: np.asarray(x) ** float(y)


def _round(equation: Any, rounding_method: Any, **_: Any) -> Callable[..., Any]:
    if rounding_method == RoundingMethod.TO_NEAREST_EVEN:
        return np.rint
    return lambda x: np.trunc(x) + np.where(np.abs(x - np.trunc(x)) >= 0.5, np.sign(x), 0.0)


def _broadcast(equation: Any, shape: Any, broadcast_dimensions: Any, **_: Any) -> Callable[..., Any]:
    wide = [1] * len(shape)
    for at, size in zip(broadcast_dimensions, equation.invars[0].aval.shape, strict=True):
        wide[at] = size
    return lambda x: np.broadcast_to(np.reshape(x, (len(x), *wide)), (len(x), *shape))


def _slice(equation: Any, start_indices: Any, limit_indices: Any, strides: Any, **_: Any) -> Callable[..., Any]:
    ends = zip(start_indices, limit_indices, strides or [1] * len(start_indices), strict=True)
    at = (slice(None), *(slice(*one) for one in ends))
    return lambda x: x[at]


def _iota(equation: Any, shape: Any, dimension: int, **_: Any) -> Callable[..., Any]:
    along = np.arange(shape[dimension]).reshape([-1 if i == dimension else 1 for i in range(len(shape))])
    return lambda: np.broadcast_to(along, (1, *shape))


def _select(equation: Any, **_: Any) -> Callable[..., Any]:
    size = equation.outvars[0].aval.ndim
    if equation.invars[0].aval.dtype == bool:
        return lambda which, no, yes: np.where(as_wide(which, size), yes, no)
    return lambda which, *cases: np.choose(as_wide(which, size), cases)


def _product(equation: Any, dimension_numbers: Any, **_: Any) -> Callable[..., Any]:
    (left, right), (batch_left, batch_right) = dimension_numbers
    one, other = (list(range(1, variable.aval.ndim + 1)) for variable in equation.invars)
    other = [len(one) + i for i in other]
    for i, j in (*zip(left, right, strict=True), *zip(batch_left, batch_right, strict=True)):
        other[j] = one[i]
    free = [label for i, label in enumerate(one) if i not in left and i not in batch_left]
    free += [label for j, label in enumerate(other) if j not in right and j not in batch_right]
    found = [*(one[i] for i in batch_left), *free]
    return lambda x, y: np.einsum(x, [0, *one], y, [0, *other], [0, *found])


MADE: dict[str, Callable[..., Callable[..., Any]]] = {
    "integer_pow": _power,
    "round": _round,
    "broadcast_in_dim": _broadcast,
    "reshape": _each(lambda x, shape: np.reshape(x, (len(x), *shape)), "new_sizes"),
    "squeeze": _each(lambda x, axes: np.squeeze(x, _behind(axes)), "dimensions"),
    "expand_dims": _each(lambda x, axes: np.expand_dims(x, _behind(axes)), "dimensions"),
    "transpose": _each(lambda x, axes: np.transpose(x, (0, *_behind(axes))), "permutation"),
    "rev": _each(lambda x, axes: np.flip(x, _behind(axes)), "dimensions"),
    "tile": _each(lambda x, times: np.tile(x, (1, *times)), "reps"),
    "concatenate": lambda equation, dimension, **_: lambda *values: np.concatenate(alike(values), dimension + 1),
    "stack": lambda equation, axis, **_: lambda *values: np.stack(alike(values), axis + 1),
    "iota": _iota,
    "slice": _slice,
    "select_n": _select,
    "reduce_sum": _reduced(np.sum),
    "reduce_prod": _reduced(np.prod),
    "reduce_max": _reduced(np.max),
    "reduce_min": _reduced(np.min),
    "reduce_and": _reduced(np.all),
    "reduce_or": _reduced(np.any),
    "argmax": _place_of(np.argmax),
    "argmin": _place_of(np.argmin),
    "cumsum": _running(np.cumsum),
    "cumprod": _running(np.cumprod),
    "dot_general": _product,
    "pad": indexed.pad,
    "dynamic_slice": indexed.dynamic_slice,
    "dynamic_update_slice": indexed.dynamic_update_slice,
    "gather": indexed.gather,
    "scatter": indexed.scatter,
    "scatter-add": indexed.scatter_add,
    "cholesky": linear.cholesky,
    "triangular_solve": linear.triangular_solve,
    "lu_pivots_to_permutation": linear.permutation,
}


def _split(sizes: Any, axis: int, **_: Any) -> Operation:
    ends = np.cumsum(sizes)[:-1]
    return lambda x: np.split(x, ends, axis + 1)


def _sort(dimension: int, num_keys: int, **_: Any) -> Operation:
    def ordered(*values: Any) -> Sequence[Any]:
        arrays = alike(values)
        for key in reversed(range(num_keys)):
            order = np.argsort(arrays[key], dimension + 1, kind="stable")
            arrays = [np.take_along_axis(one, order, dimension + 1) for one in arrays]
        return arrays

    return ordered


def _moved(**_: Any) -> Operation:
    return lambda *values: values


# Those that give several arrays.
SEVERAL: dict[str, Callable[..., Operation]] = {
    "split": _split, "sort": _sort, "device_put": _moved, "lu": linear.lu, "eigh": linear.eigh
}  # fmt: skip
