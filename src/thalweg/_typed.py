"""Types of what a user gives to a public function, read from its annotations and checked at its door."""

import collections.abc
import dataclasses
import functools
import inspect
import pathlib
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from ._errors import InputError, is_number, is_path, is_real, is_whole

# An example beside the name of a class, where one helps.
_EXAMPLES = {
    "Method": ", such as tw.momentum(f, 0.1, 0.9)",
    "Hyperparameters": ", such as tw.Hyperparameters(0.1, 0.9)",
    "Physical": "(step, friction)",
}
# Roots of what may stand in an annotation and is a class to be an instance of; all else is checked where it is used.
_ROOTS = ("thalweg",)

_PATH, _TRUTH, _TRUTH_OR_NONE = "a path", "True or False", "True, False or None"
_Function = TypeVar("_Function", bound=Callable)


class Kind(NamedTuple):
    """A kind of value: a test for it, and its words."""

    holds: Callable[[Any], bool]
    words: str


def typed(*own: str) -> Callable[[_Function], _Function]:
    """A decorator: the function refuses arguments of other types than its annotations say, before it is entered.

    `Any`, `object`, pytrees and arrays of a shape are left to the function; so are ranges. None is no value: it is
    taken where it is the default, or in the annotation.

    Arguments:
        own: names that the function itself refuses, in words of its own.

    Raises:
        InputError: by the call, in one line that names the argument.
    """
    return lambda function: _checked(function, own)


def _checked(function: _Function, own: tuple[str, ...]) -> _Function:
    inner: Any = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    code = inner.__code__
    named = code.co_argcount + code.co_kwonlyargcount
    names, positional = code.co_varnames[:named], code.co_argcount
    # All that is given beyond them has one annotation, as `*ids: str`.
    rest = code.co_varnames[named] if code.co_flags & inspect.CO_VARARGS else None
    known: dict[str, Kind] = {}
    read = False

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        nonlocal read
        if not read:
            # When it is first called: annotations may name what is loaded later.
            found = kinds(inner.__annotations__, inner.__globals__, _defaults(inner))
            known.update({name: kind for name, kind in found.items() if name not in own})
            read = True
        for name, value in zip(names[:positional], args, strict=False):
            if name in known and not known[name].holds(value):
                raise refusal(name, known[name], value)
        if rest in known:
            for value in args[positional:]:
                if not known[rest].holds(value):
                    raise refusal(rest, known[rest], value)
        for name, value in kwargs.items():
            if name in known and not known[name].holds(value):
                raise refusal(name, known[name], value)
        given = (*args, *kwargs.values())
        if not any(map(_holds_functions, given)):
            return function(*args, **kwargs)
        # Loaded here, since it takes NumPy.
        from ._reading import Reading

        with Reading(given):
            return function(*args, **kwargs)

    setattr(checked, "is_typed", True)  # noqa: B010
    return checked  # pyright: ignore[reportReturnType]


def _holds_functions(value: Any) -> bool:
    """Tell whether a value is, or may hold, functions of a user."""
    # Asked of the class: an instance may answer with an error.
    return callable(value) or hasattr(type(value), "__dataclass_fields__") or isinstance(value, dict | list | tuple)


def check_fields(instance: Any) -> None:
    """Refuse fields of other types than their annotations say, for `__check_init__` and `__post_init__`."""
    for name, kind in _field_kinds(type(instance)).items():
        value = getattr(instance, name)
        if not kind.holds(value):
            raise refusal(name, kind, value)


def refusal(name: str, kind: Kind, value: Any) -> InputError:
    """The error that an argument is of another kind."""
    # A text is a path, unless the system would not take it.
    path = _PATH in kind.words
    words = "the path of a directory" if path and name == "out" else kind.words
    why = "; a name in a path has at most 255 bytes and no NUL" if path and isinstance(value, str) else ""
    return InputError(f"{name} must be {words}, but is {value!r}{why}")


@functools.cache
def _field_kinds(cls: type) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for field in dataclasses.fields(cls):
        # What a converter has made of it, its class checks.
        if field.init and not field.metadata.get("converter"):
            home = next((base for base in cls.__mro__ if field.name in vars(base).get("__annotations__", {})), cls)
            # A file that `runpy` has run is a module no more.
            module = sys.modules.get(home.__module__)
            space = {} if module is None else vars(module)
            none = {field.name} if field.default is None else set()
            found |= kinds({field.name: field.type}, space, none)
    return found


def _defaults(function: Any) -> set[str]:
    """The names of the parameters whose default is None."""
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    last = dict(zip(names[len(names) - len(values) :], values, strict=True)) | (function.__kwdefaults__ or {})
    return {name for name, value in last.items() if value is None}


def kinds(annotations: Mapping[str, Any], space: Mapping[str, Any], none: set[str]) -> dict[str, Kind]:
    """Kinds by name; without what is not checked here.

    Arguments:
        annotations: by name.
        space: in which the strings among them have a meaning.
        none: names that may be None whatever their annotation says.
    """
    found = {}
    for name, annotation in annotations.items():
        if name == "return":
            continue
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, dict(space))
            except Exception:
                # Names that only a type checker sees.
                continue
        kind = kind_of(annotation)
        if kind is not None:
            found[name] = _or_none(kind) if name in none else kind
    return found


def _or_none(kind: Kind) -> Kind:
    words = _TRUTH_OR_NONE if kind.words == _TRUTH else kind.words
    return Kind(lambda value: value is None or kind.holds(value), words)


def kind_of(annotation: Any) -> Kind | None:
    """The kind that an annotation stands for; None where it is not checked here."""
    origin = get_origin(annotation)
    if origin is Annotated:
        kind = kind_of(get_args(annotation)[0])
        words = [text for text in annotation.__metadata__ if isinstance(text, str)]
        return kind if kind is None or not words else Kind(kind.holds, words[0])
    if origin in (typing.Union, types.UnionType):
        return _one_of(get_args(annotation))
    if annotation is Callable or origin is collections.abc.Callable:
        return Kind(callable, "a function")
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Kind(lambda value: isinstance(value, Mapping), "a dictionary")
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _sequence(origin, get_args(annotation))
    if not isinstance(annotation, type):
        return None
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if annotation.__module__.split(".")[0] in _ROOTS and not _is_array(annotation):
        name = annotation.__name__
        return Kind(lambda value: isinstance(value, annotation), f"a tw.{name}{_EXAMPLES.get(name, '')}")
    return None


def _is_array(annotation: type) -> bool:
    """Tell whether it is an array of jaxtyping, which stands for its shape."""
    return any(base.__module__.startswith("jaxtyping") for base in annotation.__mro__)


def _one_of(members: Sequence[Any]) -> Kind | None:
    words: list[str] = []
    tests: list[Callable[[Any], bool]] = []
    if complex in members:
        # An array, or whatever makes one: of real numbers, so far as this package goes.
        members = [m for m in members if m in (str, type(None)) or get_origin(m) or not _makes_array(m)]
        tests.append(is_real)
        words.append("a real number")
    elif float in members:
        members = [m for m in members if m is not int]
    if str in members and pathlib.Path in members:
        members = [m for m in members if m is not str]
    for member in members:
        if member is type(None):
            tests.append(_is_none)
            continue
        kind = kind_of(member)
        if kind is None:
            return None
        tests.append(kind.holds)
        words.append(kind.words)
    words = list(dict.fromkeys(words))
    said = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    said = _TRUTH_OR_NONE if said == _TRUTH else said
    return Kind(lambda value: any(test(value) for test in tests), said)


def _makes_array(member: Any) -> bool:
    return isinstance(member, type) and member.__module__.split(".")[0] in ("jax", "jaxlib", "numpy", "builtins")


def _sequence(origin: type, members: tuple[Any, ...]) -> Kind:
    """A list, tuple or array; of a tuple all members are looked at, of what may be long none."""
    member = kind_of(members[0]) if members and origin is tuple and members[-1] is Ellipsis else None

    # A text is a sequence of texts.
    text = origin is not tuple and members == (str,)

    def holds(value: Any) -> bool:
        if text and isinstance(value, str):
            return True
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__getitem__"):
            return False
        try:
            length = len(value)
        except TypeError:
            return False
        return member is None or all(member.holds(value[i]) for i in range(length))

    of = "" if member is None else f" of {_several(member.words)}"
    return Kind(holds, f"a list or tuple{of}")


def _several(words: str) -> str:
    if words.startswith("a list or tuple"):
        return words.replace("a list or tuple", "lists or tuples", 1)
    return {"a real number": "real numbers", "a whole number": "whole numbers", "text": "texts"}.get(words, words)


def _is_none(value: Any) -> bool:
    return value is None


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_PLAIN: dict[type, Kind] = {
    bool: Kind(_is_truth, _TRUTH),
    int: Kind(is_whole, "a whole number"),
    float: Kind(is_number, "a real number"),
    str: Kind(_is_text, "text"),
    pathlib.Path: Kind(is_path, _PATH),
}
