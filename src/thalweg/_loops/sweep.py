"""A sweep of many settings: what its user gives is checked, what it makes is driven and handed back."""

import contextlib
import hashlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, as_key, check_count, is_real
from .._methods.method import Method
from .._module import Module
from .._objectives.at_start import check_at_start
from .._objectives.objective import as_position
from .._objectives.parts import Composed, parted, same
from .._objectives.stream import Stream
from .._reading import on_change
from .._records.describe import describe_method, describe_start, objective_name
from .._records.directory import check_out
from .._records.keeper import AbstractKeeper, Files, Memory
from .._records.kinds import stamped
from .._records.metrics import Metric
from .._records.run import as_record
from .._records.sweep import Sweep, load_sweep, read_rows
from .._tree import ravel, unraveler
from .._typed import typed
from ..dynamics._curved import check_on
from .chunk import begin, check_rates
from .drive import drive
from .measuring import Measures
from .on_the_way import check_on_the_way
from .starting import check_host, valued
from .stopwatch import Stopwatch
from .sweeping import Sweeping
from .width import width

# Of the positions of a field that run side by side, and of all numbers that are kept of a batch.
_FIELD_BYTES, _KEPT_BYTES = 8 * 2**20, 64 * 2**20
# Runs side by side at least, however many numbers are kept of each.
_FEWEST = 256
_NO_VALUES = "grid must map each hyperparameter to a non-empty list of values"
# A hyperparameter, or several that vary together, and their values.
Grid = Mapping[Any, Any] | Sequence[Mapping[str, Any]]


# Tracing a maker takes as long as a short sweep.
_TRACED: weakref.WeakKeyDictionary[Callable[..., Method], list[str]] = weakref.WeakKeyDictionary()
on_change(_TRACED.clear)


@typed()
def sweep(
    make_method: Annotated[Callable[..., Method], "a function that returns a tw.Method"],
    grid: Grid,
    x0: PyTree | Callable,
    steps: int,
    seeds: int = 1,
    losses: bool = True,
    *,
    keep: Any = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
) -> Sweep:
    """Run every setting of a grid, many of them side by side in one compiled program.

    Arguments:
        make_method: `make_method(**setting)` returns the method, such as
            `lambda learning_rate, momentum: tw.momentum(f, learning_rate, momentum)`.
        grid: lists of values by name, of which every combination runs; a tuple of names, with as many numbers for each
            of their values, makes them vary together: `{("learning_rate", "momentum"): [(0.1, 0.9), (0.2, 0.8)]}`. Or
            a list of settings.
        x0: the start, or a function of a key that draws one.
        steps: how many steps each setting makes.
        seeds: how many keys each setting runs with; they drive mini-batches and a drawn start.
        losses: keep the loss at every step; False is `keep="final"`.
        keep: "final", the last positions and losses alone; "loss", the loss of every step; or what is kept of every
            step as `tw.Record` takes it: a metric, or several.
        out: a directory to write to as it goes; None keeps all in memory.
        resume: go on from the last checkpoint in `out` (from the start, if there is none yet), to the same numbers, bit
            for bit, as if it had never been stopped.
        progress: True or False; None shows it where the sweep takes longer than a second.

    Returns:
        a `Sweep`: `.settings`, `.losses`, `.final_loss`, `.final`, `.metrics`, `.best`, `.regimes`, `.status`.

    Raises:
        InputError: an empty grid, a setting the method refuses, a bad start, or a metric that cannot be taken there.
        RecordError: the directory could not be written.
        KeyboardInterrupt: Ctrl-C, once all is saved (what is in memory is returned instead, NaN where it was not made).

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> rates = {"learning_rate": [0.5, 1.0, 2.5]}
    >>> result = tw.sweep(lambda learning_rate: tw.gradient_descent(f, learning_rate), rates, jnp.ones(2), 20)
    >>> result.regimes[:, 0].tolist(), result.best
    (['monotone', 'monotone', 'diverging'], {'learning_rate': 1.0})
    """
    watch = Stopwatch()
    check_host("tw.sweep", x0, list(grid.values()) if isinstance(grid, Mapping) else grid)
    settings, shape = _settings(grid)
    steps, seeds = check_count("steps", steps), check_count("seeds", seeds)
    check_out(out, resume)
    start = _start(x0)
    first, join = parted(_first(start))
    method = _check_settings(make_method, settings, steps)
    metrics = _metrics(method, losses, keep)
    first, loss = as_position(first), None
    joined = method.joined(join)
    check_on(joined.dynamics.geometry, first)
    if not valued(joined.objective, first):
        raise InputError(f"a sweep judges by the value of the functional: {joined.objective.without_value(first)}")
    if joined.objective is not None:
        loss = check_at_start(joined.at_start(joined.objective), first)
    columns = _columns(joined, first, join, metrics)
    runs = seeds * len(next(iter(settings.values())))
    at_once = _at_once(joined, first, runs, 8 * len(columns) * (steps + 1))
    job = Sweeping(
        make_method, settings, seeds, start, steps, metrics, columns, at_once, _bytes(first), watch,
        type(method.dynamics).__name__,
    )  # fmt: skip
    keeper: AbstractKeeper = Memory()
    about = {"steps": steps, "seeds": seeds, "shape": list(shape), "columns": list(columns)}
    if out is not None:
        digest = hashlib.sha256(b"".join(values.tobytes() for values in settings.values())).hexdigest()[:16]
        config = _config(method, first, (first, x0), loss, about | {"settings": list(settings), "digest": digest})
        keeper = Files(Path(out), config, resume)
    drive(job, keeper, progress)
    if keeper.path is not None:
        return load_sweep(keeper.path)
    assert isinstance(keeper, Memory)
    found = {"status": job.status, "message": job.message, "seconds": watch.seconds}
    found["compile_seconds"] = watch.compile_seconds
    return read_rows(settings, about, keeper.arrays, unraveler(first), found)


def _metrics(method: Method, losses: Any, keep: Any) -> tuple[Metric, ...]:
    if not isinstance(losses, bool):
        raise InputError(f"losses must be True or False, but is {losses!r}")
    if keep is None:
        keep = "loss" if losses else "final"
    elif not losses:
        raise InputError('losses=False is keep="final"; give one of losses and keep')
    if isinstance(keep, str) and keep == "loss" and method.objective is None:
        keep = "final"
    record = as_record(() if isinstance(keep, str) and keep == "final" else keep)
    if record.positions:
        raise InputError("a sweep keeps no positions but the last; give metrics, such as keep=('loss', 'speed')")
    metrics = record.parsed
    if late := [metric.name for metric in metrics if metric.every > 1]:
        raise InputError(f"a sweep takes metrics at every step, in its compiled program, but {late[0]!r} has an every")
    return metrics


def _columns(method: Method, first: PyTree, join: Callable, metrics: tuple[Metric, ...]) -> tuple[str, ...]:
    """The columns that the metrics fill; refuse what cannot be taken at the start."""
    if method.objective is not None and all(metric.name == "loss" for metric in metrics):
        return tuple(metric.name for metric in metrics)
    cut = unraveler(first)
    flat = method.flattened(cut)
    state = begin(flat, ravel(first), None)
    if method.objective is None:
        check_rates(flat, state)
    shown = cut if join is same else Composed(join, cut)
    return Measures(as_record(metrics), flat, state, as_key(0), shown).columns


def _bytes(x: PyTree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(x))


def _at_once(method: Method, first: PyTree, runs: int, row_bytes: int) -> int:
    """Runs side by side: as many as are fast, fewer where what is kept of them would fill the memory."""
    fast = runs if method.objective is None else width(method.objective, first, runs)
    most = max(_FEWEST, _KEPT_BYTES // max(row_bytes, 1))
    if method.objective is None:
        most = min(most, max(1, _FIELD_BYTES // _bytes(first)))
    batches = -(-runs // min(fast, most))
    return -(-runs // batches)


def _config(method: Method, first: PyTree, whole: Any, loss: float | None, about: dict[str, Any]) -> dict[str, Any]:
    from .. import __version__

    config = {
        "run": {"steps": about["steps"], "version": __version__},
        "method": describe_method(method),
        "objective": {"name": objective_name(method.dynamics)},
        "start": describe_start(first, whole) | ({} if loss is None else {"loss": loss}),
        "sweep": about,
    }
    return stamped("sweep", config)


def _settings(grid: Grid) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    if isinstance(grid, Mapping):
        axes = [_axis(names, values) for names, values in grid.items()]
        names = [name for axis in axes for name in axis]
        if not axes:
            raise InputError(_NO_VALUES)
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"grid must have each hyperparameter once, but has {twice[0]!r} twice")
        shape = tuple(len(next(iter(axis.values()))) for axis in axes)
        mesh = np.meshgrid(*map(np.arange, shape), indexing="ij")
        at = dict(zip(names, (m.ravel() for axis, m in zip(axes, mesh, strict=True) for _ in axis), strict=True))
        return {name: values[at[name]] for axis in axes for name, values in axis.items()}, shape
    listed = list(grid)
    if not listed or any(not isinstance(one, Mapping) or set(one) != set(listed[0]) for one in listed):
        raise InputError("grid must be a dictionary of lists, or a non-empty list of settings with the same names")
    columns = {name: _numbers(name, [one[name] for one in listed]) for name in listed[0]}
    if not columns or any(column.ndim != 1 for column in columns.values()):
        raise InputError("grid must give each hyperparameter one number a setting")
    return columns, (len(listed),)


def _axis(names: Any, values: Any) -> dict[str, np.ndarray]:
    """The values along one axis: of one hyperparameter, or of several that vary together."""
    together = names if isinstance(names, tuple) else (names,)
    if not together or not all(isinstance(name, str) for name in together):
        raise InputError(f"grid must have names of hyperparameters, or tuples of them, as its keys, but has {names!r}")
    found = _numbers(", ".join(together), values)
    if isinstance(names, tuple):
        if found.ndim != 2 or found.shape[1] != len(names) or not len(found):
            raise InputError(
                f"grid: {', '.join(names)} vary together, so each of their values must be {len(names)} numbers"
            )
        return dict(zip(names, found.T, strict=True))
    found = np.atleast_1d(found)
    if found.ndim != 1 or found.size == 0:
        raise InputError(_NO_VALUES)
    return {names: found}


def _numbers(name: str, values: Any) -> np.ndarray:
    # What is empty is refused where it is known what for.
    if not is_real(values):
        raise InputError(f"grid: the values of {name!r} must be numbers, but are {values!r}")
    return np.asarray(values, dtype=float)


def _check_settings(make_method: Callable[..., Method], settings: dict[str, np.ndarray], steps: int) -> Any:
    """Build the method at the ends of every axis, so that a bad value is refused before anything is traced."""
    if not callable(make_method):
        raise InputError(f"make_method must be a function that returns a tw.Method, but is {make_method!r}")
    rows = {0} | {int(pick(values)) for values in settings.values() for pick in (np.argmin, np.argmax)}
    method: Any = None
    for row in sorted(rows):
        setting = {name: float(values[row]) for name, values in settings.items()}
        try:
            method = make_method(**setting)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"make_method(**{setting}) raised {type(error).__name__}: {error}") from error
        if not isinstance(method, Method) or method.lacks_objective:
            raise InputError(f"make_method must return a tw.Method with an objective, but returned {method!r}")
        if isinstance(method.objective, Stream):
            raise InputError(
                "a sweep draws its mini-batches on the device, where a tw.Stream gives none; use a tw.FiniteSum, or "
                "tw.run for one setting after the other"
            )
        check_on_the_way(method, steps)
    _check_traced(make_method, list(settings))
    return method


def _check_traced(make_method: Callable[..., Method], names: list[str]) -> None:
    """Refuse a maker that looks at the value of a setting, which is not known where all of them run side by side."""
    if _known(make_method) == names:
        return
    try:
        eqx.filter_eval_shape(lambda setting: make_method(**setting), {name: jnp.zeros(()) for name in names})
    except Exception as error:
        if not isinstance(error, jax.errors.JAXTypeError | jax.errors.JAXIndexError):
            first = (str(error).strip().splitlines() or [""])[0]
            raise InputError(f"make_method raised {type(error).__name__} on traced settings: {first}") from error
        raise InputError(
            f"make_method looks at the value of a setting ({type(error).__name__}), but the settings run side by side "
            "in one program, where no value is known: leave if, float() and numpy out of it, and make a sweep of its "
            "own for every branch"
        ) from error
    with contextlib.suppress(TypeError):
        _TRACED[make_method] = names


def _known(make_method: Callable[..., Method]) -> list[str] | None:
    """Names of settings by which a maker has been traced before."""
    try:
        return _TRACED.get(make_method)
    except TypeError:  # one without a hash
        return None


def _start(x0: PyTree | Callable) -> Callable:
    # A module may be called; it is a start all the same.
    if callable(x0) and not isinstance(x0, eqx.Module):
        return x0
    parameters, join = parted(x0)
    return _Same(join(as_position(parameters)))


def _first(start: Callable) -> PyTree:
    try:
        return start(as_key(0))
    except Exception as error:
        raise InputError(f"x0, a function of a key, raised {type(error).__name__}: {error}") from error


class _Same(Module):
    x0: PyTree

    def __call__(self, key: Any) -> PyTree:
        del key
        return self.x0
