"""Kinds of run directories: one table, which all who read, show, export or go on with a directory ask."""

import dataclasses
import importlib
import shlex
import tomllib
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from .._errors import InputError, suggest
from .storage import RecordError, write_atomically

# Of what a run directory holds. 0: before directories said their kind, 1: they do, with derived arrays in checkpoints,
# 2: with sums by which files are checked when they are read.
FORMAT = 2
_SUM = "# crc32 "


class Shown(NamedTuple):
    """Lines and tables that `thalweg show` prints of a directory.

    `rows` as JSON, else `lines` and `tables`, of columns and cells; beside either `remarks`, and `more` beside a table.
    """

    rows: list[dict[str, Any]]
    lines: list[str]
    tables: list[tuple[tuple[str, ...], list[list[Any]]]]
    remarks: list[str]
    more: list[str] = []  # noqa: RUF012


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of run directory.

    What is done with one is a function, written "module:function" from the package on and loaded when it is called.

    Attributes:
        name: as run.toml says it.
        noun: what such a directory holds, in a message.
        reader: what reads it, in Python.
        maker: what writes it and goes on with it, in Python, "PATH" being its path.
        read: reads it; of (path).
        summary: its row of `thalweg list`, of (path, configuration).
        show: what `thalweg show` prints of it, a `Shown`, of (path, configuration).
        export: writes it to a file, of (path, file, format).
        formats: those that `export` knows.
        derived: position, velocity and look-ahead as its user has them, of (configuration, names, raw leaves); None
            where a checkpoint holds none.
        resume: goes on with it at the command line, of (path, configuration, steps, progress, json); None where it can
            only be gone on with in Python.
        tables: those that its run.toml has.
        origin: of one that cannot be gone on with at the command line.
    """

    name: str
    noun: str
    reader: str
    maker: str
    read: str
    summary: str
    show: str
    export: str
    formats: tuple[str, ...]
    derived: str | None
    resume: str | None
    tables: tuple[str, ...]
    origin: str = "begun from Python, not from the command line"

    def call(self, what: str, *arguments: Any) -> Any:
        """Call one of its functions."""
        module, _, name = getattr(self, what).partition(":")
        function = getattr(importlib.import_module(f"..{module}", __package__), name)
        if what not in _READING:
            return function(*arguments)
        try:
            return function(*arguments)
        except (InputError, OSError):
            raise
        except Exception as error:
            # Before there were sums, only what goes wrong tells what is damaged.
            if read_config(arguments[0])["format"] >= 2:
                raise
            text = f"{arguments[0]} is damaged, or not as thalweg wrote it: {type(error).__name__} {error}"
            raise RecordError(" ".join(text.split())) from error

    def onward(self, path: Path) -> str:
        """The way to go on with it in Python."""
        return self.maker.replace("PATH", repr(str(path)))


# What is done with a directory that changes nothing there and calls nothing of its user.
_READING = {"read", "summary", "show", "export"}
_RUN_FORMATS = ("csv", "json", "npz", "netcdf", "zarr")
_KINDS = (
    Kind(
        name="run", noun="a run", reader="tw.Run.load", maker="tw.run(..., out=..., resume=True)",
        read="_records.run:load_run", summary="_records.shown:run_row", show="_records.shown:show_run",
        export="_records.export:export_run", formats=_RUN_FORMATS,
        derived="_records.derived:of_run", resume="cli.run:resume", tables=("start", "record"),
    ),
    Kind(
        name="samples", noun="samples", reader="tw.read_samples", maker="tw.sample(..., out=..., resume=True)",
        read="_records.samples:read", summary="_records.shown_samples:samples_row",
        show="_records.shown_samples:show_samples",
        export="_records.export:export_samples", formats=("csv", "npz", "netcdf", "zarr"),
        derived="_records.derived:of_samples", resume="cli.sample:resume", tables=("start", "sample"),
    ),
    Kind(
        name="recorded", noun="a recorded run", reader="tw.Run.load", maker="tw.Recorder(PATH, ..., resume=True)",
        read="_records.run:load_recorded", summary="_records.shown:run_row", show="_records.shown:show_run",
        export="_records.export:export_run", formats=_RUN_FORMATS,
        derived="_records.derived:of_recorded", resume=None, tables=(), origin="recorded from another loop",
    ),
    Kind(
        name="sweep", noun="a sweep", reader="tw.Sweep.load", maker="tw.sweep(..., out=..., resume=True)",
        read="_records.sweep:load_sweep", summary="_records.shown_sweep:sweep_row",
        show="_records.shown_sweep:show_sweep",
        export="_records.export:export_sweep", formats=("csv", "npz", "netcdf", "zarr"),
        derived=None, resume=None, tables=("start", "sweep"),
    ),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _KINDS}


def stamped(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of a kind, as run.toml begins."""
    return {"kind": KINDS[name].name, "format": FORMAT} | config


def kind_of(config: dict[str, Any]) -> Kind:
    """The kind of a directory by its configuration."""
    return KINDS[config.get("kind", "run")]


def read_config(path: Path) -> dict[str, Any]:
    """run.toml as a dictionary, that of an older format with the kind it is of."""
    file = path / "run.toml"
    if not file.is_file():
        raise InputError(f"{path} is not a run directory: it holds no run.toml")
    content = file.read_bytes()
    try:
        config = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not readable as TOML: {error}") from None
    config = config if "kind" in config else _with_kind(config)
    name, number = config["kind"], config.get("format")
    if type(number) is not int or number < 0:
        raise InputError(f"{file} says no format, a whole number, but {number!r}")
    if number > FORMAT:
        version = config.get("run", {}).get("version", "of a later version")
        raise InputError(
            f"{path} has format {number}, and this thalweg reads formats up to {FORMAT}; read it with thalweg {version}"
        )
    if name not in KINDS:
        raise InputError(f"{path} is of an unknown kind, {name!r}{suggest(str(name), KINDS)}")
    text, mark, said = content.rpartition(_SUM.encode())
    if (mark or number >= 2) and said.strip() != _sum(text):
        raise InputError(f"{file} is not what was written (its checksum differs): it is damaged, or was edited")
    for table in ("run", "method", "objective", *KINDS[name].tables):
        if not isinstance(config.get(table), dict):
            raise InputError(f"{file} is not whole: it has no table [{table}]")
    return config


def write_config(path: Path, config: dict[str, Any]) -> None:
    """Write run.toml, its last line a sum of the others."""
    import tomli_w

    text = tomli_w.dumps(config).encode()
    write_atomically(path / "run.toml", text + _SUM.encode() + _sum(text) + b"\n")


def _sum(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()


def opened(path: Path, reader: str) -> tuple[dict[str, Any], Kind]:
    """The configuration and the kind of a directory; one that another function reads is refused."""
    config = read_config(path)
    kind = kind_of(config)
    if kind.reader != reader:
        wanted = next(other.noun for other in KINDS.values() if other.reader == reader)
        raise InputError(f"{path} holds {kind.noun}, not {wanted}; read it with {kind.reader}")
    return config, kind


def own_code(config: dict[str, Any]) -> dict[str, str]:
    """The user's code that run.toml names, module:name, by the option that names it."""
    source = config.get("source", {})
    named = {option: source.get(option) for option in ("objective", "method", "start")}
    return {option: name for option, name in named.items() if isinstance(name, str) and ":" in name}


def command(path: Path, config: dict[str, Any]) -> str:
    """The command that goes on with a directory: code of its user's is named again, or it is not imported."""
    named = [f"--{option} {shlex.quote(name)}" for option, name in own_code(config).items()]
    return " ".join(["thalweg resume", shlex.quote(str(path)), *named])


def check_same(path: Path, was: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with a directory of another kind."""
    kind, wanted = kind_of(was), kind_of(now)
    if kind is not wanted:
        raise InputError(f"{path} holds {kind.noun}, not {wanted.noun}; go on with {kind.onward(path)}")


def _with_kind(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration written before run.toml said its kind: all but runs had a flag."""
    run = dict(config.get("run", {}))
    flags = {"sampled": "samples", "recorded": "recorded", "sweep": "sweep"}
    found = [kind for flag, kind in flags.items() if run.pop(flag, False)]
    return {"kind": found[0] if found else "run", "format": 0} | config | {"run": run}
