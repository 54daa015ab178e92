"""The one loop: compiled chunks of steps, and the host between them."""

import functools
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree

from .._errors import InputError, check_choice, check_count, check_number
from .._methods.method import Method
from .._methods.probe import stable_limit
from .._objectives.batches import EndedError, Reader
from .._objectives.curvature import largest_curvature
from .._objectives.feed import Feed
from .._objectives.objective import as_position, check_at_start, start_value_and_gradient
from .._objectives.parts import Composed, parted, same
from .._objectives.stream import BatchMean, Stream
from .._records.describe import describe
from .._records.directory import Directory, check_out, to_lines
from .._records.metrics import METRICS
from .._records.run import Point, Record, Run, Trace, as_record
from .._tree import Vector, ravel, sharded, to_host, unraveler
from ..dynamics._curved import check_on, slope_norm
from ..schemes import State, Termination
from .chunk import advance, begin, check_rates, last_values
from .interrupt import Interrupt
from .measuring import Measures
from .progress import Progress
from .stopwatch import Stopwatch

_CHUNK_SECONDS = 0.5
# A chunk's scalars are kept on the device until it ends; a longer buffer makes a chunk no faster.
_SCALARS = 16384
_POSITION_BYTES = 32 * 2**20
# A loss that has grown by this factor over its start will not come back.
_DIVERGED = 1e10
# Metrics whose last row is made here, from programs that a run has in any case.
_BY_HOST = {"loss", "gradient_norm", "gradients"}

Stop = Mapping[str, float] | Callable[[dict[str, np.ndarray]], np.ndarray]


def run(
    method: Method,
    x0: PyTree,
    steps: int | None = None,
    key: Any = None,
    record: Record | int | str | Callable | tuple[Any, ...] | None = Record(),  # noqa: B008
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    stop: Stop | None = None,
    velocity: PyTree = None,
    source: Mapping[str, Any] | None = None,
) -> Run:
    r"""Make `steps` steps of a method from `x0`.

    Arguments:
        method: a `tw.Method`, or what an alias such as `tw.momentum(f, 0.1, 0.9)` returns.
        x0: the start, a pytree of float arrays, whose dtypes are kept; or a module of Equinox, of which the
            floating-point arrays move and all else stays.
        steps: how many; None makes all those of a grid of times.
        key: a seed or JAX key, for objectives that draw mini-batches; step k uses `fold_in(key, k)`. A `tw.Stream`
            draws none.
        record: what to keep, a `tw.Record`; a whole number keeps positions every so many steps, a
            name, a function or several are metrics, None keeps nothing.
        out: a directory to write the run to as it goes; None keeps it in memory.
        resume: go on from the last checkpoint in `out` (from the start, if there is none yet). The
            result is the one an uninterrupted run would have had, bit for bit.
        progress: True or False; None shows it where the run takes longer than a second.
        stop: end at the first step where a metric is at most a value, `{"loss": 1e-6}`, or where a
            function of the metrics' arrays returns True.
        velocity: the starting velocity of a second-order law, a pytree like `x0`.
        source: what `thalweg resume` needs to rebuild the method, kept in run.toml.

    Returns:
        a `Run`: `.final`, `.status`, `.metrics`, `.trace`, `.gradients`.

    Raises:
        InputError: before anything is traced or written, with one line that says what is wrong.
        RecordError: the directory could not be written.
        KeyboardInterrupt: Ctrl-C, once the run is saved (a run in memory is returned instead).

    >>> import thalweg as tw, jax.numpy as jnp
    >>> result = tw.run(tw.gradient_descent(lambda x: 0.5 * jnp.sum(x**2), 0.5), jnp.array([8.0]), 3)
    >>> result.status, result.final.position.tolist(), result.metrics["loss"].tolist()
    ('finished', [1.0], [32.0, 8.0, 2.0, 0.5])
    """
    watch = Stopwatch()
    record, key = _check(method, key, record, out, resume, stop)
    # A bound method of a module is a module of its own, which takes as long to make as a step of many parameters.
    steps = check_count("steps", steps, at_least=0) if method.grid is None else method.check_steps(steps)
    x0, join = parted(x0)
    x0, user_method = as_position(x0), method
    method = method if join is same else method.joined(join)
    if velocity is not None:
        velocity = as_position(parted(velocity)[0])
        method._check_velocity(x0, velocity)
    check_on(method.dynamics.geometry, x0, velocity)
    objective = method.objective
    reader = None
    if isinstance(objective, Stream):
        reader = objective.batches.reader().begin()
        if not resume:
            reader.check_from(0)
        objective = objective.on(reader.first)
    first_loss = None
    if objective is not None:
        first_loss = check_at_start(method.at_start(objective) if objective.time_dependent else objective, x0)
    loop = _Loop(
        user_method, method, join, x0, steps, key, record, progress, stop, velocity, first_loss, objective, reader,
        watch,
    )  # fmt: skip
    if out is None:
        return loop.go(None, None)
    directory = Directory(Path(out))
    config = describe(user_method, x0, steps, key, record, velocity, source, first_loss)
    checkpoint = None
    if resume and (Path(out) / "run.toml").exists():
        checkpoint = directory.reopen(config)
    else:
        directory.create(config)
    return loop.go(directory, checkpoint)


def _check(method: Any, key: Any, record: Any, out: Any, resume: bool, stop: Any) -> tuple[Record, Any]:
    if not isinstance(method, Method):
        raise InputError(f"method must be a tw.Method, such as tw.momentum(f, 0.1, 0.9), but is {method!r}")
    if method.lacks_objective:
        raise InputError("this method was built without an objective; give one to run it, such as tw.momentum(f, 0.1)")
    if method.normals and key is None:
        raise InputError("this method draws noise; give a key, such as key=0")
    drawing = method.objective is not None and method.objective.stochastic and not isinstance(method.objective, Stream)
    if drawing and key is None:
        raise InputError("this objective draws mini-batches; give a key, such as key=0")
    check_out(out, resume)
    record = as_record(record)
    if method.objective is None:
        record = record.without_loss()
    if isinstance(stop, Mapping):
        for name, value in stop.items():
            check_choice("stop metric", name.split(".")[0], tuple(dict.fromkeys((*METRICS, *record.names))))
            check_number(f"stop[{name!r}]", value)
        record = record.also(tuple(name for name in stop if name.split(".")[0] not in record.names))
    elif stop is not None and not callable(stop):
        raise InputError(f"stop must be a dictionary such as {{'loss': 1e-6}} or a function, but is {stop!r}")
    return record, None if key is None else as_key(key)


def as_key(key: Any) -> Array:
    if not isinstance(key, jax.Array):
        return jax.random.key(check_count("key", key, at_least=0))
    try:
        word = jax.random.key_data(key)
    except TypeError:
        word = None
    if word is None or word.ndim != 1:
        raise InputError(f"key must be one seed or JAX key, such as key=0, but is {key.dtype} of shape {key.shape}")
    return key


class _Loop:
    """The host's side of one run."""

    def __init__(
        self, user_method: Method, method: Method, join: Callable, x0: Vector, steps: int, key: Any, record: Record,
        progress: bool | None, stop: Stop | None, velocity: Vector | None, first_loss: float | None,
        objective: Any, reader: Reader | None, watch: Stopwatch,
    ) -> None:  # fmt: skip
        self.user_method, self.x0, self.steps, self.key, self.record = user_method, x0, steps, key, record
        self.progress, self.stop = progress, stop
        # What needs no mini-batch of its own, such as a velocity that starts right, takes the first of a stream.
        self.at_start = objective
        self.feed: Feed | None = None
        starting = method
        if reader is not None:
            self.feed = Feed(reader, steps, _CHUNK_SECONDS, method.objective.ahead)  # pyright: ignore
            starting = method.with_objective(objective)
            method = method.with_objective(BatchMean(method.objective.fn))  # pyright: ignore
        self.whole = sharded(x0)
        if self.whole:
            # A sharded position keeps its tree and its sharding.
            self.cut: Callable = same
            self.method = method
            self.state = starting.init(x0, velocity)
        else:
            self.cut = unraveler(x0)
            self.method = method.flattened(self.cut)
            starting = self.method if starting is method else starting.flattened(self.cut)
            self.state = begin(starting, ravel(x0), None if velocity is None else ravel(velocity))
        self.step = 0
        if objective is None:
            check_rates(starting, self.state)
        # Parameters as a user has them.
        self.shown: Callable = self.cut if join is same else Composed(join, self.cut)
        self.join = join
        self.measures = Measures(record, starting, self.state, key, self.shown)
        self.watch = watch
        self.kept: dict[str, list[np.ndarray]] = {}
        self.rows: dict[str, list[np.ndarray]] = {}
        self.status, self.message = "finished", ""
        self.first_loss = first_loss
        self.newest_loss: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the compiled loop fills."""
        return self.measures.columns

    @property
    def gradients(self) -> int:
        return self.user_method.gradients_after(self.state, self.step)

    def go(self, directory: Directory | None, checkpoint: dict[str, Any] | None) -> Run:
        """Run to the end, or to what ends it first."""
        self.directory = directory
        if checkpoint is not None:
            self._restore(checkpoint)
        interrupted = threading.Event()
        label = type(self.user_method.dynamics).__name__
        try:
            with Interrupt(interrupted), Progress(self.steps, self.progress, label) as progress:
                if directory is not None and checkpoint is None:
                    self._checkpoint()
                if self.feed is not None:
                    self.feed.begin(self.step)
                progress.announce("compiling")
                self._chunks(progress, interrupted)
            self._finish()
        finally:
            if self.feed is not None:
                self.feed.close()
            if directory is not None:
                directory.close()
        if self.status == "interrupted" and directory is not None:
            raise KeyboardInterrupt(self.message)
        return self._result()

    def _call(self, state: State, start: int, segments: int, length: int) -> Any:
        # Of a fixed size, so that another number of steps compiles nothing anew.
        scalars = self._most if self.names or not self.method.autonomous else 0
        block = None if self.feed is None else self.feed.block
        return advance(
            self.method, state, self.key, np.int64(start), np.int64(segments), np.int64(length),
            self.measures.traced, self.names, scalars, self._rows_per_chunk, self.shown,
            None if block is None else block.arrays, np.int64(0 if block is None else start - block.start),
        )  # fmt: skip

    @property
    def _most(self) -> int:
        """Steps of a chunk at most, where it keeps scalars or takes batches."""
        return _SCALARS if self.feed is None else min(_SCALARS, self.feed.capacity)

    @property
    def _stride(self) -> int:
        return self.record.positions

    @property
    def _rows_per_chunk(self) -> int:
        """Rows of positions a chunk keeps on the device; 0 where the host takes them between chunks."""
        if not self._stride or self.whole:
            return 0
        row_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves((self.state.position, self.state.buffer)))
        rows = min(_POSITION_BYTES // max(row_bytes, 1), self._most // self._stride)
        # A power of two where fewer will do, so that another number of steps seldom compiles anew.
        rows = min(rows, 1 << (self.steps // self._stride + 1).bit_length())
        return rows if rows >= 2 else 0

    def _chunks(self, progress: Progress, interrupted: threading.Event) -> None:
        rate = None
        saved = time.monotonic()
        self.watch.begin()
        while self.step < self.steps and not self.message:
            if self.feed is not None and not self.feed.reach(self.step):
                self._starved()
                break
            length, segments = self._plan(rate)
            taken = length * segments
            before = self.state
            self.watch.lap()
            state, kept, positions, sound = jax.block_until_ready(self._call(before, self.step, segments, length))
            rate = taken / max(self.watch.lap(), 1e-7)
            host = self._to_columns(kept, taken)
            end = self.method.scheme.termination(state)
            good = self._judge(before, state, host, taken, sound, end)
            # What has ended by itself stays where it is, so that no step was made after the last that counts.
            rests = end is not None and self.step + good == end.steps
            if good < taken and not rests:
                # Deterministic steps: the state at the step that ended the run is made again from the chunk's start.
                state = jax.block_until_ready(self._call(before, self.step, 1, good))[0]
            self._keep(host, good, before, positions)
            self.step += good
            self.state = state
            progress.update(self.step, self.newest_loss)
            if self.directory is not None:
                self.directory.check()
                if time.monotonic() - saved >= self.record.checkpoint_seconds:
                    self.watch.lap()
                    self._checkpoint()
                    self.watch.begin()
                    saved = time.monotonic()
            if interrupted.is_set() and self.step < self.steps and not self.message:
                self.status = "interrupted"
                self.message = f"interrupted after {self.step} of {self.steps} steps"
                if self.directory is not None:
                    self.message += f"; saved, go on with: thalweg resume {self.directory.path}"
        self.watch.lap()

    def _plan(self, rate: float | None) -> tuple[int, int]:
        """(length, segments) of the next chunk: about half a second, within the buffers."""
        left = self.steps - self.step
        wanted = 64 if rate is None else max(1, int(rate * _CHUNK_SECONDS))
        if self.names or not self.method.autonomous:
            wanted = min(wanted, self._most)
        if self.feed is not None:
            wanted = min(wanted, self.feed.reach(self.step))
        stride, rows = self._stride, self._rows_per_chunk
        wanted = self.measures.until_due(self.step, wanted)
        if not stride:
            return min(wanted, left), 1
        to_mark = stride - self.step % stride
        if rows == 0 or to_mark < stride or left < stride or wanted < stride:
            return min(wanted, left, to_mark), 1
        return stride, min(rows, wanted // stride, left // stride)

    def _starved(self) -> None:
        """There is no batch for this step: the run ends here, and where that is an error all before it is saved."""
        assert self.feed is not None
        failure = self.feed.block.failure
        if isinstance(failure, EndedError):
            self.status = "stopped"
            self.message = f"stopped at step {self.step} of {self.steps}, where the batches ended"
            return
        if self.directory is not None:
            self._checkpoint()
        assert failure is not None
        if isinstance(failure, InputError) and self.directory is not None:
            message = f"{failure}; the {self.step} steps before it are saved in {self.directory.path}"
            raise InputError(message) from failure.__cause__
        raise failure

    def _to_columns(self, kept: dict[str, Array], taken: int) -> dict[str, np.ndarray]:
        columns = {name: np.asarray(kept[name])[:taken] for name in self.names}
        steps = np.arange(self.step, self.step + taken)
        if "gradients" in columns and not self.user_method.gradients_vary:
            method = self.user_method
            columns["gradients"] = (method.gradients_at_start + steps * method.gradients_per_step).astype(float)
        if self.method.autonomous:
            first, step = self._times
            times = first + step * steps
        else:
            times = np.asarray(kept["time"])[:taken]
        if self.measures.called:
            batch = None if self.feed is None else self.feed.seen_from(self.step)
            for name, value in self.measures.row(self.method, self.state, self.step, batch).items():
                columns[name] = np.append(value, np.full(taken - 1, np.nan))
        return {"step": steps, "time": times} | columns

    def _judge(
        self, before: State, after: State, host: dict[str, np.ndarray], taken: int,
        sound: tuple[Array, Array | None], end: Termination | None,
    ) -> int:  # fmt: skip
        """Count the steps of a chunk that are kept; set the status where the run ends."""
        if end is not None:
            # What has ended stays where it is, so that no later row could say otherwise.
            host = {name: column[: end.steps - self.step] for name, column in host.items()}
            taken = end.steps - self.step
        finite, loss = jax.device_get(sound)
        if self.feed is not None and "loss" in self.names:
            loss = self._loss_of(after, self.step + taken)
        losses = None if loss is None else np.append(host["loss"], loss)
        bad = None if losses is None else self._first_bad(losses)
        if bad is None and not finite:
            bad = self._last_finite(before, taken) + 1
        # What happens first decides, so that the end does not depend on where chunks were cut.
        hit = self._stops({name: column[:bad] for name, column in host.items()})
        if hit is not None:
            self.status = "stopped"
            self.message = f"stopped at step {self.step + hit}, where the stop condition was met"
            return hit
        if bad is not None:
            good = max(bad - 1, 0)
            self._diverged(self._losses_around(before, losses, good), self.step + bad)
            return good
        if end is not None:
            self.status, self.message = end.status, end.message
            return taken
        if losses is not None:
            self.newest_loss = float(losses[-2])
        return taken

    def _first_bad(self, losses: np.ndarray) -> int | None:
        assert self.first_loss is not None
        limit = self.first_loss + _DIVERGED * max(1.0, abs(self.first_loss))
        bad = ~np.isfinite(losses) | (losses > limit)
        return int(np.argmax(bad)) if bad.any() else None

    def _losses_around(self, before: State, losses: np.ndarray | None, good: int) -> np.ndarray:
        """The last loss that counts and the one after it."""
        if losses is not None:
            return losses[good : good + 2]
        if self.method.objective is None:
            return np.full(2, np.nan)
        return self._loss_of(self._call(before, self.step, 1, good)[0], self.step + good)[None]

    def _loss_of(self, state: State, step: int) -> np.ndarray:
        objective = self.method.objective
        assert objective is not None
        batch = None if self.feed is None else self.feed.seen_from(step)
        return np.asarray(start_value_and_gradient(objective.at(state.time), state.lookahead, batch)[0])

    def _last_finite(self, before: State, taken: int) -> int:
        low, high = 0, taken
        while high - low > 1:
            middle = (low + high) // 2
            finite, _ = self._call(before, self.step, 1, middle)[3]
            low, high = (middle, high) if finite else (low, middle)
        return low

    def _stops(self, host: dict[str, np.ndarray]) -> int | None:
        if self.stop is None:
            return None
        if isinstance(self.stop, Mapping):
            met = np.zeros(len(host["step"]), bool)
            for name, value in self.stop.items():
                met |= host[name] <= value
        else:
            met = np.asarray(self.stop(host), bool)
            if met.shape != host["step"].shape:
                expected = host["step"].shape
                raise InputError(f"stop must return one truth value a step, {expected}, but returns {met.shape}")
        return int(np.argmax(met)) if met.any() else None

    def _diverged(self, losses: np.ndarray, step: int) -> None:
        grown = False
        if self.first_loss is not None:
            grown = np.nanmax(losses, initial=-np.inf) > self.first_loss + 10 * max(1.0, abs(self.first_loss))
        self.status = "diverged" if grown else "not finite"
        knobs = self.user_method.hyperparameters
        if callable(self.user_method.step_size):
            knobs = knobs | {"step_size": float(np.asarray(self.user_method.step_size(max(step - 1, 0))))}
        what = "diverged" if self.status == "diverged" else "became not finite"
        with_ = ", ".join(f"{name} {value:g}" for name, value in knobs.items() if isinstance(value, float))
        self.message = f"{what} at step {step} with {with_}{self._limit()}"

    def _limit(self) -> str:
        if self.user_method.dynamics.geometry is not None:
            return ""
        objective, where = self.at_start, "" if self.feed is None else " of the first mini-batch"
        if objective is None:
            return ""
        try:
            curvature = getattr(objective, "smoothness", None) or largest_curvature(objective, self.x0, 100, 1e-4)
            if not curvature > 0:
                return "; the curvature at the start is not positive, so the linear theory gives no limit"
            knob, limit = stable_limit(self.user_method, curvature)
            return f"; at curvature {curvature:.4g}{where} the stability limit is {knob} {limit:.4g}"
        except Exception:
            # An objective without second derivatives has no limit to tell; the run is kept all the same.
            return ""

    def _keep(
        self, host: dict[str, np.ndarray], good: int, before: State,
        positions: dict[str, Array],
    ) -> None:  # fmt: skip
        host = {name: column[:good] for name, column in host.items()}
        rows: dict[str, np.ndarray] = {}
        stride = self._stride
        if stride and self.step % stride == 0:
            # A chunk keeps the row at its start even where it is shorter than the stride. The same program must make
            # every row: another rounds a look-ahead method's position otherwise, and chunks are cut by the clock.
            at = np.arange(0, good, stride)
            found = positions or _host_parts(before)
            parts = {part: np.asarray(array)[: len(at)] for part, array in found.items()}
            rows = {"step": host["step"][at], "time": host["time"][at], **parts} if len(at) else {}
        self._store(host, rows)

    def _store(self, host: dict[str, np.ndarray], rows: dict[str, np.ndarray]) -> None:
        if self.directory is None:
            for store, columns in ((self.kept, host), (self.rows, rows)):
                for name, column in columns.items():
                    store.setdefault(name, []).append(column)
        elif len(host["step"]):
            self.directory.append((lambda: to_lines(host)) if self.names else None, rows)

    def _finish(self) -> None:
        """The last row belongs to the final state."""
        objective = self.method.objective
        # The last row has no step of its own: its loss is on the whole of the data (a stream has the last batch alone),
        # its time the clock's.
        row: dict[str, Any] = {"step": np.array([self.step]), "time": np.array([self._time()])}
        value = gradient = None
        batch = None if self.feed is None else self.feed.last(self.step)
        if {"loss", "gradient_norm"} & set(self.names):
            assert objective is not None
            now = objective.at(self.state.time) if objective.time_dependent else objective
            value, gradient = start_value_and_gradient(now, self.state.lookahead, batch)
        rest = tuple(metric for metric in self.measures.traced if metric.name not in _BY_HOST)
        others = last_values(self.method, self.state, np.int64(self.step), rest, self.shown, batch) if rest else {}
        others |= self.measures.row(self.method, self.state, self.step, batch, last=True)
        for name in (*self.names, *(name for name in others if name not in self.names)):
            if name == "loss":
                row[name] = np.array([float(value)])  # pyright: ignore[reportArgumentType]
                self.newest_loss = float(value)  # pyright: ignore[reportArgumentType]
            elif name == "gradient_norm":
                row[name] = np.array([float(slope_norm(self.method.dynamics.geometry, self.state.lookahead, gradient))])
            elif name == "gradients":
                row[name] = np.array([float(self.gradients)])
            else:
                row[name] = np.array([float(others[name])])
        rows = {}
        if self._stride and self.step % self._stride == 0:
            rows = {"step": row["step"], "time": row["time"], **_host_parts(self.state)}
        if not self.message:
            # Where steps differ in length their number does not say how far they went.
            far = f", up to time {self._time():g}" if self.method.scheme.adaptive else ""
            self.message = f"made {self.steps} steps{far}"
        if self.status == "interrupted" and self.directory is not None:
            self._checkpoint()
            return
        if self.directory is not None:
            self._checkpoint()
        self._store(row, rows)

    def _time(self) -> float:
        if self.state.clock is not None:
            return float(self.state.clock.time)
        first, step = self._times
        return first + step * self.step

    @functools.cached_property
    def _times(self) -> tuple[float, float]:
        """The time at the start and that of a step, where all are alike."""
        return float(self.method.dynamics.start_time), float(self.method.step_size)  # pyright: ignore

    def _checkpoint(self) -> None:
        assert self.directory is not None
        paths, leaves = zip(*jax.tree_util.tree_flatten_with_path(self.state)[0], strict=True)
        extra = {
            "names": [jax.tree_util.keystr(path, simple=True, separator=".") for path in paths],
            "status": self.status if self.message else "running",
            "message": self.message or f"made {self.step} of {self.steps} steps so far",
            "time": self._time(),
            "gradients": self.gradients,
            "seconds": self.watch.seconds,
            "compile_seconds": self.watch.compile_seconds,
        }
        curved = self.state.geometry is not None and self.state.lookahead_weight is not None
        ahead = to_host(self.state.lookahead) if curved else None
        self.directory.checkpoint([np.asarray(leaf) for leaf in leaves], self.step, extra, ahead)

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        leaves, structure = jax.tree.flatten(self.state)
        stored = checkpoint["leaves"]
        # A leaf on one device stays free to go where the sharded ones are.
        placed = [
            jax.device_put(new, old.sharding if len(old.sharding.device_set) > 1 else None)
            for new, old in zip(stored, leaves, strict=True)
        ]
        self.state = jax.tree.unflatten(structure, placed)
        self.step = checkpoint["step"]
        self.watch.go_on_from(checkpoint["seconds"], checkpoint["compile_seconds"])

    def _result(self) -> Run:
        cut, state = self.shown, self.state
        position = cut(state.position)
        lookahead = position if state.lookahead_weight is None else cut(state.lookahead)
        velocity = None if state.velocity is None else self.cut(state.velocity)
        final = Point(position, lookahead, velocity, self._time(), self.step)
        common: dict[str, Any] = dict(
            method=self.user_method, final=final, state=state, status=self.status, message=self.message,
            gradients=self.gradients, seconds=self.watch.seconds, compile_seconds=self.watch.compile_seconds,
        )  # fmt: skip
        if self.directory is not None:
            from .._records.kinds import read_config

            return Run(**common, path=self.directory.path, config=read_config(self.directory.path))
        metrics = {name: np.concatenate(columns) for name, columns in self.kept.items()}
        trace = None
        if self.rows:
            rows = {name: np.concatenate(columns) for name, columns in self.rows.items()}
            unravel = unraveler(self.x0)
            velocity = rows.get("velocity")
            trace = Trace(
                rows["step"],
                rows["time"],
                self.join(unravel(rows["position"])),
                None if velocity is None else unravel(velocity),
            )
        return Run(**common, _metrics=metrics, _trace=trace)


def _host_parts(state: State) -> dict[str, np.ndarray]:
    parts = {"position": to_host(state.position)[None]}
    return parts if state.velocity is None else parts | {"velocity": to_host(state.velocity)[None]}
