"""The run directory: what is written, when, and how it is read back.

run.toml        the resolved configuration
env.json        versions and machine
metrics.jsonl   one line a step
trace/*.npy     positions every so many steps, one growing array each
checkpoint/     the newest state, written aside and renamed
"""

import dataclasses
import json
import math
import os
import platform
import queue
import threading
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ._errors import InputError, check_choice, check_count, check_number
from ._tree import Unravel, unraveler

METRICS = ("loss", "gradient_norm", "speed", "step_size")


class RecordError(OSError):
    """A run directory that could not be written or read, with what remains."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What a run keeps.

    Arguments:
        metrics: scalars kept at every step, of "loss", "gradient_norm", "speed" (the norm of the
            velocity) and "step_size". The loss is taken where the gradient is (at the look-ahead
            point of a look-ahead method; on the step's mini-batch, if there is one), so it costs nothing.
        positions: keep the position (and velocity) every so many steps; 0 keeps none.
        checkpoint_seconds: the least time between two checkpoints, for runs with a directory.

    Raises:
        InputError: an unknown metric, or a negative number.
    """

    metrics: tuple[str, ...] = ("loss",)
    positions: int = 0
    checkpoint_seconds: float = 2.0

    def __post_init__(self) -> None:
        metrics = (self.metrics,) if isinstance(self.metrics, str) else self.metrics
        if not isinstance(metrics, Sequence):
            raise InputError(f"metrics must be names, such as ('loss', 'speed'), but is {metrics!r}")
        metrics = tuple(metrics)
        for name in metrics:
            check_choice("metric", name, METRICS)
        object.__setattr__(self, "metrics", metrics)
        object.__setattr__(self, "positions", check_count("positions", self.positions, at_least=0))
        check_number("checkpoint_seconds", self.checkpoint_seconds, at_least=0.0)


def as_record(record: "Record | int | str | Sequence[str] | bool | None") -> Record:
    """A `Record`; a whole number is a stride of positions, a name or several are metrics, None keeps nothing."""
    if isinstance(record, Record):
        return record
    if record is None or record is False:
        return Record(metrics=())
    if record is True:
        return Record()
    if isinstance(record, str):
        return Record(metrics=(record,))
    if isinstance(record, Sequence):
        return Record(metrics=tuple(record))
    return Record(positions=check_count("record", record, at_least=0))


@dataclasses.dataclass(frozen=True)
class Point:
    """A state at the edge of a run, as pytrees.

    `position` is the iterate; `lookahead` where the next gradient is taken (frameworks store this
    one); `velocity` is the derivative of the position (half a step behind it for leapfrog and
    look-ahead methods), None for first-order laws.
    """

    position: Any
    lookahead: Any
    velocity: Any
    time: float
    step: int


@dataclasses.dataclass(frozen=True)
class Trace:
    """Positions kept every so many steps: row i of every array belongs to `step[i]`."""

    step: np.ndarray
    time: np.ndarray
    position: Any
    velocity: Any

    def __len__(self) -> int:
        return len(self.step)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run gives back.

    Attributes:
        method: the method that ran, None for a run read from disk.
        final: the last finite `Point`.
        status: "finished", "stopped", "interrupted", "diverged" or "not finite"; "running" for a run read
            from disk that is still going, or was killed.
        message: what happened, in a line.
        metrics: arrays by name; row k belongs to the state before step k, the last row to `final`.
        trace: a `Trace`, None if no positions were kept.
        gradients: gradient evaluations the method made.
        seconds: wall time of the steps, compilation apart.
        compile_seconds: wall time of compilation.
        path: the run directory, None for a run in memory.
    """

    method: Any
    final: Point
    status: str
    message: str
    gradients: int
    seconds: float
    compile_seconds: float
    path: Path | None = None
    config: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    _metrics: dict[str, np.ndarray] | None = dataclasses.field(default=None, repr=False)
    _trace: Trace | None = dataclasses.field(default=None, repr=False)

    @property
    def steps(self) -> int:
        """Steps made."""
        return self.final.step

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """Scalars by name, one row a step; read from disk when asked for."""
        if self._metrics is None:
            assert self.path is not None
            object.__setattr__(self, "_metrics", read_metrics(self.path))
        assert self._metrics is not None
        return self._metrics

    @property
    def trace(self) -> Trace | None:
        """Positions kept, memory-mapped where they are on disk."""
        if self._trace is None and self.path is not None:
            structure = _recorded_structure(self.config) if self.method is None else unraveler(self.final.position)
            object.__setattr__(self, "_trace", read_trace(self.path, structure))
        return self._trace

    @property
    def plot(self) -> Callable[..., Any]:
        """Draw the loss against steps: `run.plot(ax=None)`, Axes out."""
        from .plot import loss

        return lambda ax=None, **options: loss(self, ax=ax, **options)

    @classmethod
    def load(cls, path: "str | Path") -> "Run":
        """Read a run directory, also one that was killed or is still being written.

        Raises:
            InputError: it is not a run directory, or holds no checkpoint yet.
        """
        return load(Path(path))

    def __repr__(self) -> str:
        loss = self.metrics.get("loss")
        value = "" if loss is None or not len(loss) else f", loss {loss[-1]:.6g}"
        return f"Run({self.status} after {self.steps} steps, {self.gradients} gradients{value}; {self.message})"


class Directory:
    """Writes one run directory; a thread formats and writes while the device computes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=8)
        self._error: BaseException | None = None
        self._told = False
        self._thread: threading.Thread | None = None
        self._metrics: Any = None
        self._arrays: dict[str, GrowingArray] = {}

    def create(self, config: dict[str, Any]) -> None:
        """Lay out a new directory; one that already holds a run is refused."""
        if (self.path / "run.toml").exists():
            raise InputError(f"{self.path} already holds a run; continue it with resume=True, or choose another")
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; choose a directory for the run")
        # A hidden file is what a killed start may have left aside.
        if self.path.exists() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise InputError(f"{self.path} is not an empty directory; choose another for the run")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path / "run.toml", tomli_w.dumps(config).encode())
            (self.path / "checkpoint").mkdir(exist_ok=True)
            write_atomically(self.path / "env.json", json.dumps(environment(), indent=1).encode())
        except OSError as error:
            raise self._failure(error) from error

    def reopen(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """Open for resuming: refuse a changed configuration, cut back to the checkpoint, return it."""
        was = read_config(self.path)
        differences = compare_configs(was, config)
        if differences:
            raise InputError(f"{self.path} was run with another configuration: {'; '.join(differences)}")
        try:
            if config != was:
                write_atomically(self.path / "run.toml", tomli_w.dumps(config).encode())
            checkpoint = read_checkpoint(self.path)
            offset = 0 if checkpoint is None else checkpoint["offset"]
            metrics = self.path / "metrics.jsonl"
            if metrics.exists():
                os.truncate(metrics, offset)
            for name in (self.path / "trace").glob("*.npy"):
                GrowingArray(name).cut(0 if checkpoint is None else checkpoint["rows"])
        except OSError as error:
            raise self._failure(error) from error
        return checkpoint

    def append(self, lines: Callable[[], str] | None, arrays: dict[str, np.ndarray]) -> None:
        """Queue metrics lines and trace rows."""

        def write() -> None:
            if lines is not None:
                if self._metrics is None:
                    self._metrics = open(self.path / "metrics.jsonl", "ab")  # noqa: SIM115
                self._metrics.write(lines().encode())
                self._metrics.flush()
            for name, rows in arrays.items():
                if rows.dtype.kind == "V":
                    # NumPy stores no bfloat16; float32 holds the same numbers.
                    rows = rows.astype(np.float32)
                if name not in self._arrays:
                    (self.path / "trace").mkdir(exist_ok=True)
                    self._arrays[name] = GrowingArray(self.path / "trace" / f"{name}.npy")
                self._arrays[name].append(rows)

        self._put(write)

    def checkpoint(self, leaves: list[np.ndarray], step: int, extra: dict[str, Any]) -> None:
        """Queue a checkpoint of what has been queued so far."""

        def write() -> None:
            offset = 0
            if self._metrics is not None:
                os.fsync(self._metrics.fileno())
                offset = self._metrics.tell()
            elif (self.path / "metrics.jsonl").exists():
                offset = (self.path / "metrics.jsonl").stat().st_size
            rows = 0
            for array in self._arrays.values():
                array.sync()
            for name in (self.path / "trace").glob("*.npy"):
                rows = len(np.load(name, mmap_mode="r"))
            about = {"step": step, "offset": offset, "rows": rows} | extra
            write_checkpoint(self.path, leaves, about)

        self._put(write)

    def close(self) -> None:
        """Wait until everything queued is written; raise what went wrong."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        for handle in (self._metrics, *self._arrays.values()):
            try:
                if handle is not None:
                    handle.close()
            except OSError as error:
                self._error = self._error or error
        self._metrics, self._arrays = None, {}
        self.check()

    def check(self) -> None:
        """Raise what the writer met, once; nothing is written after it."""
        if self._error is not None and not self._told:
            self._told = True
            raise self._failure(self._error) if isinstance(self._error, OSError) else self._error

    def _failure(self, error: OSError) -> RecordError:
        reason = error.strerror or str(error)
        return RecordError(
            f"could not write to {self.path}: {reason}; what was recorded before stays readable "
            f"(thalweg show {self.path}), and the run can be resumed from its last checkpoint"
        )

    def _put(self, job: Callable[[], None]) -> None:
        self.check()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="thalweg-writer", daemon=True)
            self._thread.start()
        self._queue.put(job)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._error is None:
                try:
                    job()
                except BaseException as error:
                    self._error = error


class GrowingArray:
    """A .npy file that grows: rows are appended, then the count in its header; always readable."""

    _HEADER = 128

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(float)
        if path.exists():
            array = np.load(path, mmap_mode="r")
            self._rows, self._shape, self._dtype = len(array), array.shape[1:], array.dtype

    def append(self, rows: np.ndarray) -> None:
        rows = np.ascontiguousarray(rows)
        if self._file is None:
            if not self._path.exists():
                self._shape, self._dtype = rows.shape[1:], rows.dtype
                write_atomically(self._path, self._header())
            self._file = open(self._path, "r+b")  # noqa: SIM115
        self._file.seek(self._HEADER + self._rows * self._row_bytes)
        self._file.write(rows.tobytes())
        self._file.flush()
        self._rows += len(rows)
        self._write_header()

    def cut(self, rows: int) -> None:
        """Forget the rows after the first `rows`."""
        if self._rows > rows:
            self._rows = rows
            with open(self._path, "r+b") as self._file:
                self._write_header()
                self._file.truncate(self._HEADER + rows * self._row_bytes)
            self._file = None

    def sync(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self._shape, dtype=int)) * self._dtype.itemsize

    def _header(self) -> bytes:
        description = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._shape),
        }
        text = repr(description).encode()
        length = self._HEADER - 10
        header = b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + text.ljust(length - 1) + b"\n"
        assert len(header) == self._HEADER
        return header

    def _write_header(self) -> None:
        self._file.seek(0)
        self._file.write(self._header())
        self._file.flush()


def write_atomically(path: Path, content: bytes) -> None:
    """Write aside, fsync, rename: a reader sees the old file or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def write_checkpoint(path: Path, leaves: list[np.ndarray], about: dict[str, Any]) -> None:
    """The state's leaves and what belongs to them, as one npz, without pickle."""
    import io

    buffer = io.BytesIO()
    # NumPy stores no bfloat16; its bits travel as unsigned integers, its name in `about`.
    plain = [leaf.view(f"u{leaf.dtype.itemsize}") if leaf.dtype.kind == "V" else leaf for leaf in leaves]
    stored = {f"leaf{i}": leaf for i, leaf in enumerate(plain)}
    about = about | {"dtypes": [str(leaf.dtype) for leaf in leaves]}
    np.savez(buffer, about=np.array(json.dumps(about)), **stored)  # pyright: ignore[reportArgumentType]
    (path / "checkpoint").mkdir(exist_ok=True)
    write_atomically(path / "checkpoint" / "state.npz", buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The newest checkpoint's `about`, with its `leaves`; None if there is none yet."""
    import ml_dtypes  # noqa: F401  (a JAX dependency; teaches NumPy the name bfloat16)

    file = path / "checkpoint" / "state.npz"
    if not file.exists():
        return None
    try:
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            about["leaves"] = [stored[f"leaf{i}"].view(dtype) for i, dtype in enumerate(about["dtypes"])]
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise RecordError(f"{file} is damaged: {error}") from error
    return about


def read_config(path: Path) -> dict[str, Any]:
    """run.toml as a dictionary."""
    file = path / "run.toml"
    if not file.is_file():
        raise InputError(f"{path} is not a run directory: it holds no run.toml")
    try:
        return tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not readable as TOML: {error}") from None


def compare_configs(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs, leaf by leaf; more steps than before is no difference."""

    def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for name, value in tree.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", value

    old, new = dict(leaves(was)), dict(leaves(now))
    free = {"run.version", "run.created"}
    if new.get("run.steps", 0) >= old.get("run.steps", 0):
        free.add("run.steps")
    # The loss at the start tells an objective that was edited; another machine may round it otherwise.
    if math.isclose(old.get("start.loss", math.nan), new.get("start.loss", math.nan), rel_tol=1e-3):
        free.add("start.loss")
    changed = [name for name in sorted({*old, *new} - free) if old.get(name) != new.get(name)]
    return [f"{name} was {old.get(name, 'not set')!r}, is {new.get(name, 'not set')!r}" for name in changed]


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """metrics.jsonl as arrays; a last line cut off by a crash is left out."""
    file = path / "metrics.jsonl"
    if not file.exists():
        return {}
    text = file.read_bytes()
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError as error:
        raise RecordError(f"{file} is damaged: {error}") from error
    names = rows[0] if rows else ()
    columns = {name: [np.nan if row[name] is None else row[name] for row in rows] for name in names}
    return {name: np.array(column, dtype=int if name == "step" else float) for name, column in columns.items()}


def read_trace(path: Path, structure: Unravel | None) -> Trace | None:
    """The trace, memory-mapped."""
    found = {file.stem: np.load(file, mmap_mode="r") for file in sorted((path / "trace").glob("*.npy"))}
    if "position" not in found:
        return None
    rows = min(len(array) for array in found.values())
    cut = structure if structure is not None else lambda array: array
    velocity = found.get("velocity")
    return Trace(
        found["step"][:rows],
        found["time"][:rows],
        cut(found["position"][:rows]),
        None if velocity is None else cut(velocity[:rows]),
    )


def load(path: Path) -> Run:
    """A run from its directory."""
    config = read_config(path)
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise InputError(f"{path} holds no checkpoint yet; the run was stopped before its first one")
    parts = {
        part: np.concatenate([leaf.ravel() for name, leaf in named if name.startswith(part)] or [np.zeros(0)])
        for named in [list(zip(checkpoint["names"], checkpoint["leaves"], strict=True))]
        for part in ("lookahead", "velocity", "shift")
    }
    lookahead, velocity, shift = parts["lookahead"], parts["velocity"], parts["shift"]
    position = lookahead
    if shift.size:
        # As `State.position` does it, to the last bit, whatever precision JAX is set to here.
        wide = np.promote_types(lookahead.dtype, np.float32)
        position = (lookahead.astype(wide) - shift.astype(wide) * velocity.astype(wide)).astype(lookahead.dtype)
    cut = _recorded_structure(config)
    final = Point(
        cut(position), cut(lookahead), cut(velocity) if velocity.size else None, checkpoint["time"], checkpoint["step"]
    )
    return Run(
        None,
        final,
        checkpoint["status"],
        checkpoint["message"],
        checkpoint["gradients"],
        checkpoint["seconds"],
        checkpoint["compile_seconds"],
        path,
        config,
    )


def _recorded_structure(config: dict[str, Any]) -> Unravel:
    """The parameters' tree as run.toml tells it: one array, or a dictionary of arrays by path."""
    import jax

    leaves = config["start"]["leaves"]
    structure = jax.tree.structure({leaf["path"]: 0 for leaf in leaves} if leaves[0]["path"] else 0)
    # A dictionary flattens in the order of its keys, which need not be the order they were raveled in.
    ordered = tuple(leaves)
    shapes, dtypes = tuple(tuple(leaf["shape"]) for leaf in ordered), tuple(np.dtype(leaf["dtype"]) for leaf in ordered)
    if not leaves[0]["path"]:
        return Unravel(structure, shapes, dtypes)
    return _ByPath(structure, shapes, dtypes, tuple(leaf["path"] for leaf in ordered))


@dataclasses.dataclass(frozen=True)
class _ByPath(Unravel):
    paths: tuple[str, ...] = ()

    def __call__(self, vector: Any) -> Any:
        import jax

        plain = Unravel(jax.tree.structure([0] * len(self.paths)), self.shapes, self.dtypes)
        return dict(zip(self.paths, plain(vector), strict=True))


def environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    from importlib.metadata import version

    packages = ("thalweg", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy")

    def installed(package: str) -> str:
        try:
            return version(package)
        except Exception:
            return "not installed"

    import jax

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "backend": jax.default_backend(),
        "packages": {package: installed(package) for package in packages},
    }
