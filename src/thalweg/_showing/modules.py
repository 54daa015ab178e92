"""Modules as they are shown: with their numbers, where equinox shows shapes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer

# More entries of an array or a sequence are counted, not shown.
_ENTRIES = 6
_LINE, _TEXT = 100, 60


def shown(value: Any) -> str:
    """One expression: a module by its fields that are not as they come, an array by its entries, where they are few."""
    if isinstance(value, Tracer):
        return value.aval.str_short()
    if isinstance(value, float | int | np.generic | np.ndarray | jax.Array) and not isinstance(value, bool):
        return _numbers(value)
    if isinstance(value, eqx.Module):
        name = getattr(value, "name", None)
        if isinstance(name, str):
            return name
        return f"{type(value).__name__}({', '.join(_fields(value))})"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    if isinstance(value, tuple | list):
        some = [shown(one) for one in value[:_ENTRIES]] + (["..."] if len(value) > _ENTRIES else [])
        return f"({', '.join(some)})"
    text = " ".join(repr(value).split())
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}..."


def call(name: str, arguments: Sequence[str], remark: str = "") -> str:
    """A call with its arguments, each on a line of its own where one is too short, and a remark behind it."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) > _LINE:
        line = f"{name}(\n" + "".join(f"    {one},\n" for one in arguments) + ")"
    return f"{line}  # {remark}" if remark else line


def nearest(value: float, eps: float) -> float:
    """A number that arithmetic has led to, as the short one that it is to rounding: 0.03 for 0.029999997 in float32."""
    short = float(f"{value:.{6 if eps > 1e-9 else 12}g}")
    return short if abs(short - value) <= 4.0 * eps * abs(value) else value


def _numbers(value: Any) -> str:
    array = np.asarray(value)
    if array.size > _ENTRIES or array.dtype.kind not in "fiuV":
        return f"{array.dtype}[{','.join(map(str, array.shape))}]"
    wide = array.astype(float)
    return f"{wide.item():.6g}" if array.ndim == 0 else f"[{', '.join(f'{one:.6g}' for one in wide.ravel())}]"


def _fields(module: Any) -> list[str]:
    found = []
    for field in dataclasses.fields(module):
        value = getattr(module, field.name, None)
        if field.repr and not _usual(field, value):
            if field.name in ("objective", "fn"):
                # The function comes first and is a name; what it is called with is seldom short.
                found.append(shown(getattr(value, "fn", value)))
            elif not hasattr(module, "fn"):
                found.append(f"{field.name}={shown(value)}")
    return found


def _usual(field: Any, value: Any) -> bool:
    default: Any = field.default
    if default is dataclasses.MISSING and isinstance(field.default_factory, Callable):
        default = field.default_factory()
    if value is None or value is default:
        return value is default or default is dataclasses.MISSING
    if isinstance(default, bool | int | float) and np.ndim(value) == 0 and not isinstance(value, str | Tracer):
        return not callable(value) and float(np.asarray(value)) == float(np.asarray(default, np.asarray(value).dtype))
    if isinstance(default, tuple) and isinstance(value, jax.Array) and not isinstance(value, Tracer):
        return np.array_equal(np.asarray(value), np.asarray(default, value.dtype))
    return isinstance(default, str | tuple) and type(value) is type(default) and value == default
