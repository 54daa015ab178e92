"""The base of the classes that are pytrees."""

from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, no_type_check

import equinox as eqx

# What the bound method of a function has beside the two that it is made of. JAX keeps every class that is a pytree.
_FIELDS: dict[Any, dict[str, Any]] = {}


class Module(eqx.Module):
    """An `equinox.Module` whose methods are quicker to look up.

    A bound method is a module too, and equinox makes and checks one at each look: a tenth of the time of tracing.
    """

    if not TYPE_CHECKING:
        # Called so often that to check its types would take longer than all else that a test does.
        @no_type_check
        def __getattribute__(self, name: str) -> Any:
            found = object.__getattribute__(self, name)
            if type(found) is not MethodType or found.__self__ is not self or (name[:2] == name[-2:] == "__"):
                return found
            function = found.__func__
            fields = _FIELDS.get(function) if type(function) is FunctionType else None
            if fields is None:
                return _first(self, name, function)
            bound = object.__new__(_Bound)
            vars(bound).update(fields, __func__=function, __self__=self)
            return bound


def _first(module: eqx.Module, name: str, function: Any) -> Any:
    bound = eqx.Module.__getattribute__(module, name)
    if type(function) is FunctionType:
        _FIELDS[function] = {key: value for key, value in vars(bound).items() if key not in ("__func__", "__self__")}
    return bound


class _Example(eqx.Module):
    def method(self) -> None: ...


_Bound: Any = type(_Example().method)
