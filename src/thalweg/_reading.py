"""Values that functions of a user read besides their arguments; programs are compiled anew where they have changed.

A compiled program has the values of globals, closures and attributes that its functions read when it was traced, and is
found again by the functions alone: with other values in a notebook's next cell it would answer for the old ones.
"""

import dis
import functools
import sys
import threading
import types
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

# What is larger is looked at in so many of its entries, and what holds more is taken as it is.
_BYTES, _ENTRIES, _MEMBERS = 2**20, 2**14, 100
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
# A function that names one of these may fill what it keeps, as a list of its calls, which is not what it computes with.
_FILLING = {"append", "extend", "insert", "setdefault", "update"}
# Caches besides those of JAX: each is a function that empties one.
_emptied: list[Callable[[], None]] = []
_known: dict[Any, "_Root"] = {}
_level = threading.local()


class _Root(NamedTuple):
    held: Any
    reads: tuple[Any, ...]


def on_change(empty: Callable[[], None]) -> None:
    """Have a cache of programs emptied where what a function reads has changed."""
    _emptied.append(empty)


class Reading:
    """The time of a public call: compiled programs that its functions have outrun are forgotten at its start.

    What changes within it, such as a count of calls, is as the functions left it. Calls within calls look no more.
    """

    def __init__(self, given: Sequence[Any]) -> None:
        self._given = given
        self._roots: dict[Any, Any] = {}

    def __enter__(self) -> None:
        depth = getattr(_level, "depth", 0)
        _level.depth = depth + 1
        if depth:
            return
        self._roots = _roots(self._given)
        found = {key: _reads(fn) for key, fn in self._roots.items()}
        if any(key in _known and _known[key].held() is not None and _known[key].reads != found[key] for key in found):
            _forget()

    def __exit__(self, *error: object) -> None:
        _level.depth -= 1
        for key, fn in self._roots.items():
            _known[key] = _Root(_reference(fn, functools.partial(_known.pop, key, None)), _reads(fn))


def _roots(given: Sequence[Any]) -> dict[Any, Any]:
    try:
        return {_key(fn): fn for fn in _functions(given, set())}
    except Exception:
        # What is malformed is refused by the function that it is given to.
        return {}


def _forget() -> None:
    import jax

    jax.clear_caches()
    for empty in _emptied:
        empty()


def _functions(given: Sequence[Any], seen: set[int]) -> Iterator[Any]:
    """Functions that values are, or hold in their fields."""
    for value in given:
        if isinstance(value, _PLAIN) or id(value) in seen or hasattr(type(value), "dtype") or isinstance(value, type):
            continue
        seen.add(id(value))
        if isinstance(value, types.FunctionType | types.MethodType | functools.partial):
            yield value
        elif hasattr(type(value), "__dataclass_fields__"):
            yield from _methods(type(value))
            yield from _functions(list(vars(value).values()) if hasattr(value, "__dict__") else [], seen)
        elif isinstance(value, dict | list | tuple) and len(value) <= _MEMBERS:
            yield from _functions(list(value.values()) if isinstance(value, dict) else list(value), seen)
        elif callable(value) and hasattr(value, "__dict__"):
            yield value


@functools.lru_cache(maxsize=1024)
def _methods(cls: type) -> tuple[types.FunctionType, ...]:
    """The methods that a class of a user has of its own; an instance of such a pytree is made anew all the time."""
    own = [vars(base) for base in cls.__mro__ if not _installed(base.__module__)]
    found = [getattr(member, "method", member) for members in own for member in members.values()]
    return tuple(member for member in found if isinstance(member, types.FunctionType))


def _key(fn: Any) -> Any:
    return (id(fn.__func__), id(fn.__self__)) if isinstance(fn, types.MethodType) else id(fn)


def _reference(value: Any, gone: Callable[[], Any] | None = None) -> Callable[[], Any]:
    """A weak reference, or what always gives the value, where it has none."""
    if isinstance(value, types.MethodType):
        value = value.__self__
    try:
        return weakref.ref(value, None if gone is None else lambda _: gone())
    except TypeError:
        return lambda: value


def named_objects(fn: Any) -> list[Any]:
    """Objects that a function names, itself or in what it calls, as far as they are not plain values."""
    return [one.held() for one in _reads(fn) if isinstance(one, _Same)]


def _reads(fn: Any) -> tuple[Any, ...]:
    found: list[Any] = []
    try:
        _read(fn, frozenset(), found, set())
    except Exception:
        # Objects may answer a look with anything; what cannot be read is taken to stay.
        return ()
    return tuple(found)


class _Same:
    """An object as itself: equal to a look at the same one, while it lives."""

    def __init__(self, value: Any) -> None:
        self.held = _reference(value)

    def __eq__(self, other: object) -> bool:
        mine = self.held()
        return isinstance(other, _Same) and mine is not None and mine is other.held()

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def _read(value: Any, names: frozenset[str], found: list[Any], seen: set[int]) -> None:
    """Add what a value is, as far as it can be told, and what a function that reads `names` of it reads."""
    if isinstance(value, _PLAIN):
        found.append((type(value), value if value == value else "nan"))
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        found.append((_Same(value), value.shape, value.dtype.str, _sum(value)))
    elif isinstance(value, np.generic):
        found.append((type(value), value.tobytes()))
    elif isinstance(value, types.ModuleType):
        found.append(_Same(value))
        if not _installed(value.__name__):
            _members(value, names, found, seen)
    elif isinstance(value, types.FunctionType):
        found.append(_Same(value))
        _read_function(value, found, seen)
    elif isinstance(value, types.MethodType):
        found.append(_Same(value.__self__))
        _read_method(value, found, seen)
    elif isinstance(value, functools.partial):
        for part in (value.func, value.args, value.keywords):
            _read(part, names, found, seen)
    elif isinstance(value, list | tuple | dict) and len(value) <= _MEMBERS and not names & _FILLING:
        found.append((type(value), len(value)))
        members = [*value.items()] if isinstance(value, dict) else value
        for member in members:
            _read(member, names, found, seen)
    else:
        found.append(_Same(value))
        # What is called is looked at through its call.
        _members(value, names | {"__call__", "__init__"} if callable(value) else names, found, seen)


def _members(value: Any, names: frozenset[str], found: list[Any], seen: set[int]) -> None:
    """Attributes that a function names; a method reads others in turn, which are looked at where it is named."""
    if (inner := getattr(value, "__wrapped__", None)) is not None:
        _read(inner, names, found, seen)
    kind = value if isinstance(value, type) else type(value)
    own, shared = getattr(value, "__dict__", None), not isinstance(value, type) and not _installed(kind.__module__)
    if own is None or (isinstance(value, type) and _installed(value.__module__)):
        return
    for name in sorted(names):
        if name in own:
            found.append(name)
            _read(own[name], names, found, seen)
        elif isinstance(method := getattr(kind, name, None), types.FunctionType):
            _read_method(types.MethodType(method, value), found, seen)
        elif shared and isinstance(method, property) and method.fget is not None:
            _read_method(types.MethodType(method.fget, value), found, seen)
        elif shared and isinstance(method, (*_PLAIN, np.ndarray, np.generic, tuple)):
            _read(method, names, found, seen)


def _read_method(method: types.MethodType, found: list[Any], seen: set[int]) -> None:
    function = method.__func__
    if not isinstance(function, types.FunctionType):
        return
    marked = (id(function), id(method.__self__))
    if hash(marked) in seen:
        return
    seen.add(hash(marked))
    found.append(_Same(function))
    names = _names(function.__code__)
    _members(method.__self__, names, found, seen)
    _read_function(function, found, seen)


def _read_function(function: types.FunctionType, found: list[Any], seen: set[int]) -> None:
    code = function.__code__
    names, written = _names(code), _written(code)
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            if name not in written:
                _read(cell.cell_contents, names, found, seen)
        except ValueError:  # of a name that has no value yet
            found.append("empty")
    for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        _read(default, names, found, seen)
    # Globals of a package that is installed stay what they are.
    if not _installed(function.__module__):
        for name in sorted(names & function.__globals__.keys() - written):
            found.append(name)
            _read(function.__globals__[name], names, found, seen)
    if (inner := getattr(function, "__wrapped__", None)) is not None:
        _read(inner, names, found, seen)


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> frozenset[str]:
    """Names that a function looks up: globals and attributes, and those of functions in it."""
    return frozenset(code.co_names).union(*map(_names, _within(code)))


@functools.lru_cache(maxsize=1024)
def _written(code: types.CodeType) -> frozenset[str]:
    """Names outside of a function to which it gives a value itself, such as a count of its calls."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("STORE_GLOBAL", "STORE_DEREF")}
    return frozenset(own & {*code.co_names, *code.co_freevars}).union(*map(_written, _within(code)))


def _within(code: types.CodeType) -> list[types.CodeType]:
    return [const for const in code.co_consts if isinstance(const, types.CodeType)]


@functools.lru_cache(maxsize=1024)
def _installed(module: str | None) -> bool:
    root = (module or "__main__").partition(".")[0]
    if root == "__main__":
        return False
    if root == "thalweg" or root in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def _sum(array: np.ndarray) -> int:
    """A sum over the bytes of an array, of a large one over entries that lie evenly in it."""
    if array.dtype == object:
        return 0
    if array.nbytes > _BYTES:
        array = array.ravel()[:: -(-array.size // _ENTRIES)] if array.flags.c_contiguous else array.flat[:_ENTRIES]
    return zlib.crc32(array.tobytes())
