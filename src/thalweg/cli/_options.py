"""Options of a command: a field each, which is parsed, read from a config file, recorded, and read back to resume."""

import dataclasses
import inspect
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

from cyclopts import Parameter, Token

from .._errors import InputError, suggest

_Class = TypeVar("_Class", bound=type)
# beartype knows no Self outside of a class that it decorates whole.
_Same = TypeVar("_Same", bound="Options")


def _whole(kind: Any, tokens: Sequence[Token]) -> int:
    del kind
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"must be a whole number, but is {tokens[0].value!r}") from None


def _texts(kind: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    del kind
    return tuple(token.value for token in tokens)


# cyclopts alone would round 2.5 to 2.
Whole = Annotated[int, Parameter(converter=_whole)]
Texts = tuple[str, ...]
# A config file may write it as a table; `parse_pairs` reads either.
_PAIRS = tuple[str, ...] | dict[str, Any]
Pairs = Annotated[
    _PAIRS, Parameter(converter=_texts, n_tokens=1, accepts_keys=False, negative=(), metavar="NAME=VALUE")
]
Json = Annotated[bool, Parameter(help="Print a list of objects as JSON.", negative=())]
Progress = Annotated[bool | None, Parameter(help="Show progress [where it takes longer than a second].")]

# Kinds of fields: in words, and what TOML has for them.
_KINDS: dict[Any, tuple[str, tuple[type, ...]]] = {
    str: ("text", (str,)),
    Path: ("text", (str,)),
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (float, int)),
    Texts: ("text or a list of texts", (str, list)),
    _PAIRS: ("NAME=VALUE, a list of them or a table", (str, list, dict)),
}


def option(help: str, *, default: Any, kept: str | bool = True, kw_only: bool = True) -> Any:
    """Make a field that is an option.

    Arguments:
        help: what `--help` says of it; of a default that is worked out, in brackets, how.
        default: its value where it is given neither at the command line nor in the config file.
        kept: where in run.toml `thalweg resume` finds it, as "table.name"; True for `source` and the field's own
            name, False for what a run that goes on does not depend on.
        kw_only: False for the one that may be written without its name.
    """
    return dataclasses.field(default=default, kw_only=kw_only, metadata={"help": help, "kept": kept})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def options(cls: _Class) -> _Class:
    """Make a class the options of a command: those of its own first, then those it shares with others."""
    made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    # Help is printed in the order of the fields, which Python begins with those of the bases.
    names = dict.fromkeys(name for base in made.__mro__ for name in inspect.get_annotations(base))
    fields = made.__dataclass_fields__
    made.__dataclass_fields__ = {name: fields[name] for name in names if name in fields}
    return Parameter(name="*")(made)


class Options:
    """The base of options, which know those of them that were given, by name."""

    given: frozenset[str]
    config: Path | None

    def __new__(cls: type[_Same], *arguments: Any, **named: Any) -> _Same:
        del arguments
        self = object.__new__(cls)
        object.__setattr__(self, "given", frozenset(named))
        return self

    def with_config(self: _Same) -> tuple[_Same, dict[str, Any]]:
        """These options over those of the config file, and what else the file holds."""
        if self.config is None:
            return self, {}
        hints, found, rest = _hints(type(self)), {}, {}
        for written, value in _read_toml(self.config).items():
            name = written.replace("-", "_")
            if name in hints and name != "config":
                check_kind(self.config, written, value, hints[name])
                found[name] = _as_field(hints[name], value)
            else:
                rest[written] = value
        return type(self)(**(found | {name: getattr(self, name) for name in self.given})), rest

    def refuse(self, rest: Mapping[str, Any], others: Sequence[str] = ()) -> None:
        """Refuse what a config file holds beyond its options and some other names, with the nearest one."""
        names = [name for name in _hints(type(self)) if name != "config"]
        for written in rest:
            if written.replace("-", "_") not in others:
                near = suggest(written, (*names, *others))
                raise InputError(f"config {self.config}: {written!r} is no option{near}")

    def source(self) -> dict[str, Any]:
        """The part of them that run.toml keeps as its source, for `resume`."""
        found = {}
        for name, (table, key) in _places(type(self)).items():
            value = getattr(self, name)
            if table == "source" and value not in (None, (), {}):
                value = list(value) if isinstance(value, tuple) else value
                found[key] = str(value) if isinstance(value, Path) else value
        return found

    @classmethod
    def recorded(cls: type[_Same], config: Mapping[str, Any]) -> _Same:
        """The options that a run.toml was begun with; what it does not tell has its default."""
        hints, found = _hints(cls), {}
        for name, (table, key) in _places(cls).items():
            if key in config.get(table, {}):
                found[name] = _as_field(hints[name], config[table][key])
        return cls(**found)


def check_kind(path: Path, name: str, value: Any, hint: Any) -> None:
    """Refuse a value of a config file that is of another kind than its field."""
    words, kinds = _KINDS[hint]
    texts = not isinstance(value, list) or all(isinstance(item, str) for item in value)
    if not isinstance(value, kinds) or isinstance(value, bool) != (hint is bool) or not texts:
        raise InputError(f"config {path}: {name!r} must be {words}, but is {value!r}")


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"config {path} does not exist")
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config {path} is not TOML: {error}") from None


def _hints(cls: type) -> dict[str, Any]:
    """The type of each field, bare of None and of what is noted beside it."""
    found = get_type_hints(cls)
    return {field.name: _bare(found[field.name]) for field in dataclasses.fields(cls)}


def _bare(hint: Any) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if get_origin(hint) is not tuple and len(kinds) == 1 else hint


def _places(cls: type) -> dict[str, tuple[str, str]]:
    """Table and name in run.toml of each field that is kept there."""
    found = {}
    for field in dataclasses.fields(cls):
        kept = field.metadata.get("kept", False)
        if kept:
            table, _, key = ("source." + field.name if kept is True else kept).partition(".")
            found[field.name] = (table, key)
    return found


def _as_field(hint: Any, value: Any) -> Any:
    """A value of TOML as the field has it."""
    if hint in (Texts, _PAIRS):
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    return hint(value) if hint in (Path, float) else value
