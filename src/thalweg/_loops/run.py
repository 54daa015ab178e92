"""A run of a method: what its user gives is checked, what it makes is driven and handed back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, as_key, check_arguments, check_choice, check_count, check_number
from .._methods.method import Method
from .._objectives.stream import Stream
from .._records.describe import describe
from .._records.directory import check_out
from .._records.keeper import AbstractKeeper, Files, Memory
from .._records.kinds import read_config
from .._records.metrics import METRICS
from .._records.run import Point, Record, Run, Trace, as_record
from .._tree import on_device, sharded, unraveler
from .._typed import typed
from ..schemes import PseudoTransient, State
from .descending import Descending
from .drive import drive
from .ending import Stop
from .on_the_way import check_on_the_way
from .running import Running
from .starting import check_host, check_start, prepare, valued
from .stopwatch import Stopwatch


@typed("record")
def run(
    method: Method,
    x0: PyTree,
    steps: int | None = None,
    key: Any = None,
    record: Record | int | str | Callable | tuple[Any, ...] | bool | None = Record(),  # noqa: B008
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
    check_host("tw.run", method, x0, key, velocity)
    record, key = _check(method, x0, key, record, out, resume, stop)
    steps = check_count("steps", steps, at_least=0) if method.grid is None else method.check_steps(steps)
    check_on_the_way(method, steps)
    descends = isinstance(method.scheme, PseudoTransient)
    start = check_start(method, x0, velocity, resume, evaluated=descends)
    job: Running | Descending
    if descends:
        job = Descending(method, start, steps, record, stop, watch, source is not None)
    else:
        prepared = prepare(method, start, steps, key, record)
        start = prepared.start
        job = Running(prepared, steps, key, record, stop, watch, source is not None)
    keeper: AbstractKeeper = Memory()
    if out is not None:
        config = describe(method, start.x0, steps, key, record, start.velocity, source, start.loss)
        keeper = Files(Path(out), config, resume)
    drive(job, keeper, progress)
    return _result(method, job, keeper)


def _check(method: Any, x0: Any, key: Any, record: Any, out: Any, resume: bool, stop: Any) -> tuple[Record, Any]:
    if not isinstance(method, Method):
        raise InputError(f"method must be a tw.Method, such as tw.momentum(f, 0.1, 0.9), but is {method!r}")
    if method.lacks_objective:
        raise InputError("this method was built without an objective; give one to run it, such as tw.momentum(f, 0.1)")
    if method.normals and key is None:
        raise InputError("this method draws noise; give a key, such as key=0")
    objective = method.objective
    if objective is not None and objective.stochastic and key is None:
        if not isinstance(objective, Stream):
            raise InputError("this objective draws mini-batches; give a key, such as key=0")
        if objective.keyed:
            raise InputError("the loss of this stream draws; give a key, such as key=0")
    check_out(out, resume)
    record = as_record(record)
    if method.objective is None or not valued(method.objective, x0):
        record = record.without_loss()
    if isinstance(stop, Mapping):
        for name, value in stop.items():
            check_choice("stop metric", name.split(".")[0], tuple(dict.fromkeys((*METRICS, *record.names))))
            check_number(f"stop[{name!r}]", value)
        record = record.also(tuple(name for name in stop if name.split(".")[0] not in record.names))
    elif stop is not None:
        if not callable(stop):
            raise InputError(f"stop must be a dictionary such as {{'loss': 1e-6}} or a function, but is {stop!r}")
        check_arguments("stop", stop, "metrics")
    return record, None if key is None else as_key(key)


def _velocity(state: State) -> Any:
    """The velocity of a state, on one device by NumPy, which compiles nothing for it."""
    if state.unit is None or not isinstance(state.buffer, jax.Array) or sharded(state.buffer):
        return state.velocity
    buffer: Any = state.buffer
    wide = np.promote_types(buffer.dtype, np.float32)
    return on_device((np.asarray(state.unit, wide) * np.asarray(buffer, wide)).astype(buffer.dtype))


def _result(method: Method, job: Running | Descending, keeper: AbstractKeeper) -> Run:
    cut, state = job.shown, job.state
    position = cut(state.position)
    lookahead = position if state.lookahead_weight is None else cut(state.lookahead)
    velocity = None if state.buffer is None else job.cut(_velocity(state))
    final = Point(position, lookahead, velocity, job.time, job.done)
    common: dict[str, Any] = dict(
        method=method, final=final, state=state, status=job.status, message=job.message, _gradients=job.counted,
        seconds=job.watch.seconds, compile_seconds=job.watch.compile_seconds,
    )  # fmt: skip
    if not isinstance(keeper, Memory):
        assert keeper.path is not None
        return Run(**common, path=keeper.path, config=read_config(keeper.path))
    trace, rows = None, keeper.arrays
    if rows:
        unravel = unraveler(job.start.x0)
        moving = rows.get("velocity")
        position = job.start.join(unravel(rows["position"]))
        trace = Trace(rows["step"], rows["time"], position, None if moving is None else unravel(moving))
    return Run(**common, _metrics=keeper.columns, _trace=trace)
