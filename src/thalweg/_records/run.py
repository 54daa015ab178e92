"""Runs: what to keep of one, and what it kept, in memory or read from its directory."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError, check_count, check_number
from .._measures.storage import rebuilt
from .._objectives.least_squares import LeastSquares
from .._tree import Unravel, unraveler
from .._typed import typed
from .derived import recorded_structure, trees, vectors
from .growing import checked_arrays
from .kinds import opened
from .lines import read_metrics
from .metrics import METRICS, Metric, as_metric
from .storage import read_checkpoint

# The metrics of who gives none: without an objective there is no loss.
_DEFAULT = ("loss",)


@dataclasses.dataclass(frozen=True)
class Record:
    """Choice of what a run keeps.

    Arguments:
        metrics: what is kept of every step: names, of "loss", "gradient_norm", "speed" (the norm of the velocity),
            "step_size", "gradients" (taken so far, of a method whose steps differ in how many they take as of any
            other) and "acceptance"; functions of what is `Seen` of a state, which give a real number or a dictionary of
            them and are compiled into the step; (name, function) to name one; (name, function, every) to call one
            every so many steps between compiled chunks, where it may be any Python: it has NaN in the rows between,
            and where it fails. The loss is taken where the gradient is (at the look-ahead point of a look-ahead
            method; on the step's mini-batch, if there is one), so it costs nothing. A law without an objective has
            none.
        positions: keep the position (and velocity) every so many steps; 0 keeps none.
        checkpoint_seconds: the least time between two checkpoints, for runs with a directory.

    Raises:
        InputError: an unknown metric, one without a name, or a negative number.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> record = tw.Record(metrics=("loss", ("largest", lambda seen: jnp.max(seen.position))))
    >>> run = tw.run(tw.gradient_descent(lambda x: 0.5 * jnp.sum(x**2), 0.5), jnp.array([8.0, 4.0]), 2, record=record)
    >>> run.metrics["largest"].tolist()
    [8.0, 4.0, 2.0]
    """

    metrics: tuple[Any, ...] = _DEFAULT
    positions: int = 0
    checkpoint_seconds: float = 2.0
    # The metrics, each with its name, its function and how often it is taken.
    parsed: tuple[Metric, ...] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        metrics = (self.metrics,) if isinstance(self.metrics, str) or callable(self.metrics) else self.metrics
        if not isinstance(metrics, Sequence):
            raise InputError(f"metrics must be names or functions, such as ('loss', 'speed'), but is {metrics!r}")
        named = len(metrics) > 1 and isinstance(metrics[0], str) and callable(metrics[1]) and metrics[0] not in METRICS
        object.__setattr__(self, "metrics", (tuple(metrics),) if named else tuple(metrics))
        object.__setattr__(self, "parsed", tuple(map(as_metric, self.metrics)))
        names = [metric.name for metric in self.parsed]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"metrics must have names of their own, but {twice[0]!r} is there twice")
        object.__setattr__(self, "positions", check_count("positions", self.positions, at_least=0))
        check_number("checkpoint_seconds", self.checkpoint_seconds, at_least=0.0)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the metrics."""
        return tuple(metric.name for metric in self.parsed)

    def without_loss(self) -> "Record":
        """The same where there is no loss: without that which nobody asked for."""
        return dataclasses.replace(self, metrics=()) if self.metrics is _DEFAULT else self

    def also(self, names: tuple[str, ...]) -> "Record":
        """The same with some metrics more."""
        return dataclasses.replace(self, metrics=self.metrics + names)


def as_record(record: "Record | int | str | Callable | Sequence[Any] | bool | None") -> Record:
    """A `Record`; a whole number is a stride of positions, a metric or several are those, None keeps nothing."""
    if isinstance(record, Record):
        return record
    if record is None or record is False:
        return Record(metrics=())
    if record is True:
        return Record()
    if isinstance(record, str) or callable(record):
        return Record(metrics=(record,))
    if isinstance(record, Sequence):
        return Record(metrics=tuple(record))
    return Record(positions=check_count("record", record, at_least=0))


@dataclasses.dataclass(frozen=True)
class Point:
    """A state at the edge of a run, as pytrees.

    `position` is the iterate; `lookahead` where the next gradient is taken (frameworks store this
    one); `velocity` is the derivative of the position (half a step behind it for leapfrog and
    look-ahead methods), None for first-order laws. A run recorded from another loop has the parameters
    that were logged last, None if none were. `lookahead` is None too where a directory does not tell it: on a manifold,
    before directories kept it.
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
    """Result of a run.

    Attributes:
        method: the method that ran, None for a run read from disk.
        final: the last finite `Point`.
        status: "finished", "stopped", "interrupted", "diverged", "not finite", or "unbounded" where f falls for ever;
            of a method that ends by itself also "converged", "budget spent" or "stalled"; "running" for a run read
            from disk that is still going, or was killed.
        message: what happened, in a line.
        metrics: arrays by name; row k belongs to the state before step k, the last row to `final`.
        trace: a `Trace`, None if no positions were kept.
        gradients: gradient evaluations the method made.
        seconds: wall time of the steps, compilation apart.
        compile_seconds: wall time of compilation.
        path: the run directory, None for a run in memory.
        state: the last state as the loop has it, in one vector; a scheme that counts reads from it
            (`method.scheme.acceptance(run.state)`). None for a run read from disk.
    """

    method: Any
    final: Point
    status: str
    message: str
    # Known of a method by tracing its step, which a short run takes as long for as for its steps.
    _gradients: int | Callable[[], int]
    seconds: float
    compile_seconds: float
    path: Path | None = None
    state: Any = dataclasses.field(default=None, repr=False)
    config: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    _metrics: dict[str, np.ndarray] | None = dataclasses.field(default=None, repr=False)
    _trace: Trace | None = dataclasses.field(default=None, repr=False)
    _steps: int | None = dataclasses.field(default=None, repr=False)

    @property
    def steps(self) -> int:
        """Steps made."""
        return self.final.step if self._steps is None else self._steps

    @property
    def gradients(self) -> int:
        """Gradient evaluations the method made."""
        if callable(self._gradients):
            object.__setattr__(self, "_gradients", self._gradients())
        assert isinstance(self._gradients, int)
        return self._gradients

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
        if self._trace is None and self.path is not None and (self.path / "trace").is_dir():
            structure = recorded_structure(self.config) if self.method is None else unraveler(self.final.position)
            object.__setattr__(self, "_trace", read_trace(self.path, structure, self.config["start"].get("measure")))
        return self._trace

    @property
    def fit(self) -> Any:
        """The account of a fit of least squares: a `tw.Fit` at the final parameters, None of any other run.

        Of a run read from disk there is no method; `objective.fit(run.final.position)` has it.
        """
        objective = None if self.method is None else self.method.objective
        return objective.fit(self.final.position) if isinstance(objective, LeastSquares) else None

    @property
    def plot(self) -> Callable[..., Any]:
        """Draw the loss against steps: `run.plot(ax=None)`, Axes out."""
        from ..plot import loss

        return lambda ax=None, **options: loss(self, ax=ax, **options)

    def to_xarray(self) -> Any:
        """The run as an `xarray.Dataset`, for its own tools, netCDF and Zarr.

        Returns:
            metrics over `step` (with `time` beside it), positions and velocities kept over `trace_step` and the last
            ones, a variable each leaf (`position.w`), and what else is known of the run as attributes. What is
            narrower than float32 is stored as that.

        Raises:
            InputError: xarray is missing.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> run = tw.run(tw.gradient_descent(lambda x: 0.5 * jnp.sum(x**2), 0.5), jnp.array([8.0]), 3, record=2)
        >>> dataset = run.to_xarray()
        >>> dataset.position.dims, dataset.position.sel(trace_step=2).values.tolist(), dataset.attrs["status"]
        (('trace_step', 'parameter_0'), [2.0], 'finished')
        """
        from .dataset import run_dataset

        return run_dataset(self)

    @classmethod
    @typed()
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

    def _repr_html_(self) -> str:
        from .shown import run_html

        return run_html(self)


def read_trace(path: Path, structure: Unravel | None, measure: dict[str, Any] | None = None) -> Trace | None:
    """The trace, memory-mapped, once it is checked."""
    found = checked_arrays(path, read_checkpoint(path, leaves=False) or {}, partly=True)
    if "position" not in found:
        return None
    rows = min(len(array) for array in found.values())
    cut = structure if structure is not None else lambda array: array
    velocity = found.get("velocity")
    position = cut(found["position"][:rows])
    return Trace(
        found["step"][:rows],
        found["time"][:rows],
        position if measure is None else rebuilt(measure, position),
        None if velocity is None else cut(velocity[:rows]),
    )


def load(path: Path) -> Run:
    """A run from its directory, ours or recorded from another loop."""
    _, kind = opened(path, "tw.Run.load")
    return kind.call("read", path)


def load_run(path: Path) -> Run:
    """A run of ours."""
    config, checkpoint = _checkpoint(path)
    found = trees(config, checkpoint["derived"])
    if not found:
        # Written before there were derived arrays, or too large for them.
        cut, names = recorded_structure(config), checkpoint["names"]
        found = {part: cut(vector) for part, vector in vectors(names, checkpoint["leaves"]).items()}
        curved = not config["method"].get("geometry", "Euclidean").startswith("Euclidean")
        if curved and "lookahead" in found and "ahead" not in names:
            found["lookahead"] = None
    if "measure" in config["start"]:
        found = {part: rebuilt(config["start"]["measure"], tree) for part, tree in found.items()}
    position = found["position"]
    lookahead = found.get("lookahead", position)
    final = Point(position, lookahead, found.get("velocity"), checkpoint["time"], checkpoint["step"])
    return _run(final, checkpoint, path, config)


def load_recorded(path: Path) -> Run:
    """A run of another loop."""
    config, checkpoint = _checkpoint(path)
    found = logged_parameters(checkpoint)
    position = found.get("", found) if found else None
    final = Point(position, position, None, checkpoint["time"], checkpoint["position_step"])
    return _run(final, checkpoint, path, config, checkpoint["step"])


def _checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    config, _ = opened(path, "tw.Run.load")
    checkpoint = read_checkpoint(path, derived=True)
    if checkpoint is None:
        raise InputError(f"{path} holds no checkpoint yet; the run was stopped before its first one")
    return config, checkpoint


def _run(final: Point, about: dict[str, Any], path: Path, config: dict[str, Any], steps: int | None = None) -> Run:
    kept = {name: about[name] for name in ("status", "message", "seconds", "compile_seconds")}
    return Run(method=None, final=final, _gradients=about["gradients"], path=path, config=config, _steps=steps, **kept)


def logged_parameters(checkpoint: dict[str, Any]) -> dict[str, np.ndarray]:
    """The parameters of a recorder's checkpoint by path; the path of a single array is empty."""
    return {
        name.removeprefix("position").removeprefix("."): leaf
        for name, leaf in zip(checkpoint["names"], checkpoint["leaves"], strict=True)
    }
