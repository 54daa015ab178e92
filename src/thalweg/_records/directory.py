"""Writing a run directory: a thread formats and writes while the device computes.

- run.toml: the resolved configuration
- env.json: versions and machine
- metrics.jsonl: one line a step
- trace/: positions every so many steps, one growing .npy each
- checkpoint/: the newest state, written aside and renamed, its raw leaves and what follows from them (`derived`)
"""

import json
import math
import os
import platform
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from .._errors import InputError
from .kinds import check_same, kind_of, read_config
from .storage import GrowingArray, RecordError, read_checkpoint, write_atomically, write_checkpoint

# Derived arrays more than double a checkpoint. Beyond so many bytes a run that goes on leaves them out, and the last
# checkpoint of one that has ended, which others read, has them.
_DERIVED_BYTES = 16 * 2**20


class Directory:
    """Writes one run directory; a thread formats and writes while the device computes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=8)
        self._error: BaseException | None = None
        self._raised = False
        self._thread: threading.Thread | None = None
        self._metrics: Any = None
        self._arrays: dict[str, GrowingArray] = {}
        self._config: dict[str, Any] = {}

    def create(self, config: dict[str, Any], about: dict[str, Any] | None = None) -> None:
        """Lay out a new directory, with what `about` says of the machine; one that already holds a run is refused."""
        if (self.path / "run.toml").exists():
            raise InputError(f"{self.path} already holds a run; continue it with resume=True, or choose another")
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; choose a directory for the run")
        # A hidden file is what a killed start may have left aside.
        if self.path.exists() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise InputError(f"{self.path} is not an empty directory; choose another for the run")
        self._config = config
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path / "run.toml", tomli_w.dumps(config).encode())
            (self.path / "checkpoint").mkdir(exist_ok=True)
            write_atomically(self.path / "env.json", json.dumps(about or environment(), indent=1).encode())
        except OSError as error:
            raise self.failure(error) from error

    def reopen(self, config: dict[str, Any], keep_rows: bool = False) -> dict[str, Any] | None:
        """Open for resuming: refuse a changed configuration, cut back to the checkpoint, return it.

        With `keep_rows` every whole row of the metrics stays, also those after the checkpoint.
        """
        was = read_config(self.path)
        check_same(self.path, was, config)
        self._config = config
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
                os.truncate(metrics, metrics.read_bytes().rfind(b"\n") + 1 if keep_rows else offset)
            for name in (self.path / "trace").glob("*.npy"):
                GrowingArray(name).cut(0 if checkpoint is None else checkpoint["rows"])
        except OSError as error:
            raise self.failure(error) from error
        return checkpoint

    def cut_metrics(self, step: int) -> None:
        """Leave out the rows of the metrics from a step on; before anything is queued."""
        metrics = self.path / "metrics.jsonl"
        offset = 0
        try:
            for line in metrics.read_bytes().splitlines(keepends=True):
                if json.loads(line)["step"] >= step:
                    break
                offset += len(line)
            os.truncate(metrics, offset)
        except OSError as error:
            raise self.failure(error) from error

    def append(self, lines: Callable[[], str] | None, arrays: dict[str, np.ndarray]) -> None:
        """Queue metrics lines and trace rows."""

        def write() -> None:
            if lines is not None:
                self.write_lines(lines())
            for name, rows in arrays.items():
                if rows.dtype.kind == "V":
                    # NumPy stores no bfloat16; float32 holds the same numbers.
                    rows = rows.astype(np.float32)
                if name not in self._arrays:
                    (self.path / "trace").mkdir(exist_ok=True)
                    self._arrays[name] = GrowingArray(self.path / "trace" / f"{name}.npy")
                self._arrays[name].append(rows)

        self.submit(write)

    def write_lines(self, text: str) -> None:
        """Append lines to the metrics; for the writer's thread."""
        if self._metrics is None:
            self._metrics = open(self.path / "metrics.jsonl", "ab")  # noqa: SIM115
        self._metrics.write(text.encode())
        self._metrics.flush()

    def checkpoint(self, leaves: list[np.ndarray], step: int, extra: dict[str, Any]) -> None:
        """Queue a checkpoint of what has been queued so far."""
        self.submit(lambda: self.write_checkpoint(leaves, step, extra))

    def write_checkpoint(self, leaves: list[np.ndarray], step: int, extra: dict[str, Any]) -> None:
        """Write a checkpoint of what has been written so far; for the writer's thread."""
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
        write_checkpoint(self.path, leaves, about, self._derived(leaves, extra))

    def _derived(self, leaves: list[np.ndarray], extra: dict[str, Any]) -> dict[str, np.ndarray]:
        names, kind = extra.get("names", ()), kind_of(self._config)
        # At most a position, a velocity and a look-ahead point.
        size = 3 * sum(leaf.nbytes for name, leaf in zip(names, leaves, strict=False) if name.startswith("position"))
        large = size > _DERIVED_BYTES and extra.get("status") == "running"
        if not names or kind.derived is None or large:
            return {}
        return kind.call("derived", self._config, names, leaves)

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
        if self._error is not None and not self._raised:
            self._raised = True
            raise self.failure(self._error) if isinstance(self._error, OSError) else self._error

    def failure(self, error: OSError) -> RecordError:
        """The error as its user reads it, with what stays readable."""
        reason = error.strerror or str(error)
        return RecordError(
            f"could not write to {self.path}: {reason}; what was recorded before stays readable "
            f"(thalweg show {self.path}), and the run can be resumed from its last checkpoint"
        )

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job for the writer's thread; raise what an earlier one met."""
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


def check_out(out: Any, resume: bool) -> None:
    """Refuse what is no path, and to go on without one."""
    if resume and out is None:
        raise InputError("resume needs the directory of the run: out=...")
    if out is not None and not isinstance(out, str | os.PathLike):
        raise InputError(f"out must be the path of a directory, but is {out!r}")


def to_lines(columns: dict[str, np.ndarray]) -> str:
    """Rows of metrics as lines of JSON; what is not finite is null."""
    pattern = "{" + ", ".join(f"{json.dumps(name).replace('%', '%%')}: %s" for name in columns) + "}\n"
    text = "".join([pattern % row for row in zip(*(column.tolist() for column in columns.values()), strict=True)])
    if all(np.isfinite(column).all() for column in columns.values()):
        return text
    # JSON has no NaN or infinity.
    return text.replace('": nan', '": null').replace('": inf', '": null').replace('": -inf', '": null')


def compare_configs(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences of two configurations, leaf by leaf; more steps than before is no difference."""

    def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
        for name, value in tree.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", value

    old, new = dict(leaves(was)), dict(leaves(now))
    free = {"run.version", "run.created", "format"}
    if new.get("run.steps", 0) >= old.get("run.steps", 0):
        free.add("run.steps")
    # The loss at the start tells an objective that was edited; another machine may round it otherwise.
    if math.isclose(old.get("start.loss", math.nan), new.get("start.loss", math.nan), rel_tol=1e-3):
        free.add("start.loss")
    changed = [name for name in sorted({*old, *new} - free) if old.get(name) != new.get(name)]
    return [f"{name} was {old.get(name, 'not set')!r}, is {new.get(name, 'not set')!r}" for name in changed]


def environment(backend: bool = True) -> dict[str, Any]:
    """Versions and machine, for the record; without `backend` JAX is not made to look for its devices."""
    from importlib.metadata import version

    packages = ("thalweg", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy")
    packages += ("torch",) if "torch" in sys.modules else ()

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
        "backend": jax.default_backend() if backend else None,
        "packages": {package: installed(package) for package in packages},
    }
