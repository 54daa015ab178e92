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

from .._errors import InputError, is_path
from .growing import GrowingArray, GrowingText, check_files, whole_lines
from .kinds import check_same, kind_of, read_config, write_config
from .lock import Lock
from .storage import RecordError, read_checkpoint, write_atomically, write_checkpoint

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
        self._lock: Lock | None = None
        self._metrics = GrowingText(path / "metrics.jsonl")
        self._arrays: dict[str, GrowingArray] = {}
        self._config: dict[str, Any] = {}

    def create(self, config: dict[str, Any], about: dict[str, Any] | None = None) -> None:
        """Lay out a new directory, with what `about` says of the machine; one that already holds a run is refused."""
        self._check_empty()
        self._config = config
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.path)
            # Another may have begun here meanwhile, and ended.
            self._check_empty()
            write_config(self.path, config)
            (self.path / "checkpoint").mkdir(exist_ok=True)
            write_atomically(self.path / "env.json", json.dumps(about or environment(), indent=1).encode())
        except OSError as error:
            self._let_go()
            raise RecordError(f"could not write to {self.path}: {error.strerror or error}") from error
        except BaseException:
            self._let_go()
            raise

    def _check_empty(self) -> None:
        if (self.path / "run.toml").exists():
            raise InputError(f"{self.path} already holds a run; continue it with resume=True, or choose another")
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; choose a directory for the run")
        # A hidden file is what a killed start may have left aside.
        if self.path.exists() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise InputError(f"{self.path} is not an empty directory; choose another for the run")

    def reopen(self, config: dict[str, Any], keep_rows: bool = False) -> dict[str, Any] | None:
        """Open for resuming: refuse what is changed or damaged; cut back to the checkpoint, return it.

        With `keep_rows` every whole row of the metrics stays, also those after the checkpoint.
        """
        # What is refused without a look at what another writer does is refused first, and nothing is written.
        self._check_config(config)
        try:
            self._lock = Lock(self.path)
            was = self._check_config(config)
            self._config = config
            checkpoint = read_checkpoint(self.path, derived=True)
            if checkpoint is None:
                self._check_not_begun(keep_rows)
            self._take_up(checkpoint or {}, keep_rows)
            if checkpoint is not None and "whole" in checkpoint:
                # From here on it is not whole, whoever reads it meanwhile.
                self._restate(checkpoint)
            self._metrics.cut()
            for array in self._arrays.values():
                array.cut(array.goes_on)
            if config != was:
                write_config(self.path, config)
        except RecordError:
            self._let_go()
            raise
        except OSError as error:
            self._let_go()
            raise self.failure(error) from error
        except BaseException:
            self._let_go()
            raise
        return checkpoint

    def _check_config(self, config: dict[str, Any]) -> dict[str, Any]:
        was = read_config(self.path)
        check_same(self.path, was, config)
        differences = compare_configs(was, config)
        if differences:
            raise InputError(f"{self.path} was run with another configuration: {'; '.join(differences)}")
        return was

    def _check_not_begun(self, keep_rows: bool) -> None:
        """Refuse rows of which the checkpoint is gone, which is there before the first of them.

        Without a place for one a directory is begun anew, which makes the same rows, but for those of another loop.
        """
        metrics = self.path / "metrics.jsonl"
        if not keep_rows and not (self.path / "checkpoint").exists():
            return
        if (metrics.exists() and metrics.stat().st_size) or any((self.path / "trace").glob("*.npy")):
            state = self.path / "checkpoint" / "state.npz"
            raise RecordError(f"{state} is gone, without which {self.path} cannot be gone on with")

    def _take_up(self, checkpoint: dict[str, Any], keep_rows: bool) -> None:
        """Check what is there against the checkpoint, and go on behind what it knows; nothing is written."""
        known = {name: (size, crc) for name, (size, crc) in checkpoint.get("checks", {}).items()}
        size, metrics = checkpoint.get("offset", 0), self.path / "metrics.jsonl"
        if keep_rows and metrics.exists():
            size = max(size, whole_lines(metrics))
        self._metrics.take_up(size, known.get("metrics.jsonl"))
        self._arrays = {}
        files = {f"trace/{file.name}": file for file in (self.path / "trace").glob("*.npy")}
        files |= {name: self.path / name for name in known if name.startswith("trace/")}
        for name, file in files.items():
            array = self._arrays[file.stem] = GrowingArray(file)
            rows = known[name][0] if name in known else 0 if known else checkpoint.get("rows", 0)
            array.take_up(rows, known.get(name))

    def _restate(self, checkpoint: dict[str, Any]) -> None:
        """Write the checkpoint that was read once more, with what is known of the files now."""
        about = {name: value for name, value in checkpoint.items() if name not in ("leaves", "derived", "whole")}
        about |= self._known()
        write_checkpoint(self.path, checkpoint["leaves"], about, checkpoint["derived"])

    def cut_metrics(self, step: int) -> None:
        """Leave out the rows of the metrics from a step on; before anything is queued."""
        offset = 0
        try:
            with open(self.path / "metrics.jsonl", "rb") as file:
                for line in file:
                    if json.loads(line)["step"] >= step:
                        break
                    offset += len(line)
            checkpoint = read_checkpoint(self.path, derived=True)
            self._metrics.take_up(offset, None)
            # First the checkpoint, which must never know of rows that are not there.
            if checkpoint is not None and checkpoint["offset"] > offset:
                bad = checkpoint["not_finite"]
                bad = None if bad is None or bad >= step else bad
                self._restate(checkpoint | {"step": min(step, checkpoint["step"]), "not_finite": bad})
            self._metrics.cut()
        except OSError as error:
            raise self.failure(error) from error

    def append(self, lines: Callable[[], str] | None, arrays: dict[str, np.ndarray]) -> None:
        """Queue metrics lines and trace rows."""
        self.submit(lambda: self._write(lines, arrays))

    def _write(self, lines: Callable[[], str] | None, arrays: dict[str, np.ndarray]) -> None:
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

    def write_lines(self, text: str) -> None:
        """Append lines to the metrics; for the writer's thread."""
        self._metrics.append(text.encode())

    def checkpoint(self, leaves: list[np.ndarray], step: int, extra: dict[str, Any]) -> None:
        """Queue a checkpoint of what has been queued so far."""
        self.submit(lambda: self.write_checkpoint(leaves, step, extra))

    def end(
        self, leaves: list[np.ndarray], step: int, extra: dict[str, Any], lines: Callable[[], str] | None,
        arrays: dict[str, np.ndarray],
    ) -> None:  # fmt: skip
        """Queue the last checkpoint, and the rows behind it, which belong to no step that could be gone on from."""
        self.submit(lambda: self.write_checkpoint(leaves, step, extra, lambda: self._write(lines, arrays)))

    def write_checkpoint(
        self, leaves: list[np.ndarray], step: int, extra: dict[str, Any], last: Callable[[], None] | None = None
    ) -> None:
        """Write a checkpoint of what has been written so far; for the writer's thread.

        Where something is written `last`, nothing follows it: the checkpoint knows the whole of every file.
        """
        if not (self.path / "run.toml").exists():
            raise RecordError(f"{self.path / 'run.toml'} is gone")
        about = {"step": step} | self._known() | extra
        if last is not None:
            last()
            about["whole"] = self._known()["checks"]
        write_checkpoint(self.path, leaves, about, self._derived(leaves, extra))

    def _known(self) -> dict[str, Any]:
        """The account of a checkpoint of the files beside it: how far they go, and what they are up to there."""
        self._metrics.sync()
        checks = {"metrics.jsonl": self._metrics.extent} if self._metrics.size else {}
        for name, array in self._arrays.items():
            array.sync()
            checks[f"trace/{name}.npy"] = array.extent
        rows = max((array.rows for array in self._arrays.values()), default=0)
        return {"offset": self._metrics.size, "rows": rows, "checks": checks}

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
        for file in (self._metrics, *self._arrays.values()):
            try:
                file.close()
            except OSError as error:
                self._error = self._error or error
        self._let_go()
        self.check()

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def check(self) -> None:
        """Raise what the writer met, once; nothing is written after it."""
        if self._error is not None and not self._raised:
            self._raised = True
            raise self.failure(self._error) if isinstance(self._error, OSError) else self._error

    def failure(self, error: OSError) -> RecordError:
        """The error as its user reads it, with what is still readable of what was recorded before."""
        return RecordError(f"could not write to {self.path}: {error.strerror or error}; {self._what_remains()}")

    def _what_remains(self) -> str:
        try:
            read_config(self.path)
            checkpoint = read_checkpoint(self.path)
            if checkpoint is None:
                return "nothing was recorded yet"
            check_files(self.path, checkpoint, partly=False)
        except (InputError, OSError) as error:
            return f"what was recorded before is not whole: {error}"
        return (
            f"what was recorded before stays readable (thalweg show {self.path}), and the run can be resumed from its "
            "last checkpoint"
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
    if out is not None and not is_path(out):
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

    def differs(name: str) -> bool:
        before, after = old.get(name), new.get(name)
        if name.startswith("method.hyperparameters.") and isinstance(before, float) and isinstance(after, float):
            # They are worked out of the constants that the digest holds to the last bit.
            return not math.isclose(before, after, rel_tol=1e-6)
        return before != after

    changed = [name for name in sorted({*old, *new} - free) if differs(name)]
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
