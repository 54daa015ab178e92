"""Many settings at once: one compiled, vmapped program over hyperparameters and seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._errors import InputError, check_count
from .._methods.method import Method
from .._objectives.objective import as_position, check_at_start
from .._objectives.parts import parted
from .._objectives.stream import Stream
from .._records.sweep import Sweep
from .._tree import ravel, unraveler
from ..dynamics._curved import check_on
from .chunk import evaluated_step
from .width import width

Grid = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def sweep(
    make_method: Callable[..., Method],
    grid: Grid,
    x0: PyTree | Callable,
    steps: int,
    seeds: int = 1,
    losses: bool = True,
) -> Sweep:
    """Run every setting of a grid in one compiled program.

    Arguments:
        make_method: `make_method(**setting)` returns the method, such as
            `lambda learning_rate, momentum: tw.momentum(f, learning_rate, momentum)`.
        grid: lists of values by name, of which every combination runs; or a list of settings.
        x0: the start, or a function of a key that draws one.
        steps: how many steps each setting makes.
        seeds: how many keys each setting runs with; they drive mini-batches and a drawn start.
        losses: keep the loss at every step.

    Returns:
        a `Sweep`: `.settings`, `.losses`, `.final_loss`, `.final`, `.best`, `.regimes`.

    Raises:
        InputError: an empty grid, a setting the method refuses, or a bad start.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> rates = {"learning_rate": [0.5, 1.0, 2.5]}
    >>> result = tw.sweep(lambda learning_rate: tw.gradient_descent(f, learning_rate), rates, jnp.ones(2), 20)
    >>> result.regimes[:, 0].tolist(), result.best
    (['monotone', 'monotone', 'diverging'], {'learning_rate': 1.0})
    """
    settings, shape = _settings(grid)
    steps, seeds = check_count("steps", steps), check_count("seeds", seeds)
    start = _start(x0)
    first, join = parted(start(jax.random.key(0)))
    method = _check_settings(make_method, settings)
    first, objective = as_position(first), method.objective.joined(join)
    check_on(method.dynamics.geometry, first)
    check_at_start(method.at_start(objective), first)
    count = seeds * len(next(iter(settings.values())))
    at_once = width(objective, first, count)
    # Every pair of a setting and a seed, the seed the faster index; the last batch is filled up with its last pair.
    pairs = np.minimum(np.arange(at_once * -(-count // at_once)), count - 1).reshape(-1, at_once)
    columns = {name: jnp.asarray(values[pairs // seeds], float) for name, values in settings.items()}
    found = _program(make_method, columns, start, jnp.asarray(pairs % seeds), steps, losses)

    def by_setting(array: Array) -> np.ndarray:
        flat = np.asarray(array).reshape(-1, *array.shape[2:])[:count]
        return flat.reshape(-1, seeds, *flat.shape[1:])

    curves, last, position = jax.tree.map(by_setting, found)
    return Sweep(settings, curves, last, position, shape)


def _settings(grid: Grid) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    if isinstance(grid, Mapping):
        axes = {name: np.atleast_1d(_numbers(name, values)) for name, values in grid.items()}
        if not axes or any(axis.ndim != 1 or axis.size == 0 for axis in axes.values()):
            raise InputError("grid must map each hyperparameter to a non-empty list of values")
        mesh = np.meshgrid(*axes.values(), indexing="ij")
        return {name: m.ravel() for name, m in zip(axes, mesh, strict=True)}, tuple(len(axis) for axis in axes.values())
    listed = list(grid)
    if not listed or any(not isinstance(one, Mapping) or set(one) != set(listed[0]) for one in listed):
        raise InputError("grid must be a dictionary of lists, or a non-empty list of settings with the same names")
    columns = {name: _numbers(name, [one[name] for one in listed]) for name in listed[0]}
    if not columns or any(column.ndim != 1 for column in columns.values()):
        raise InputError("grid must give each hyperparameter one number a setting")
    return columns, (len(listed),)


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"grid: the values of {name!r} must be numbers, but are {values!r}") from None


def _check_settings(make_method: Callable[..., Method], settings: dict[str, np.ndarray]) -> Any:
    """Build the method at the ends of every axis, so that a bad value is refused before anything is traced."""
    if not callable(make_method):
        raise InputError(f"make_method must be a function that returns a tw.Method, but is {make_method!r}")
    rows = {0} | {int(pick(values)) for values in settings.values() for pick in (np.argmin, np.argmax)}
    method: Any = None
    for row in sorted(rows):
        setting = {name: float(values[row]) for name, values in settings.items()}
        try:
            method = make_method(**setting)
        except TypeError as error:
            raise InputError(f"make_method(**{setting}) raised TypeError: {error}") from error
        if not isinstance(method, Method) or method.objective is None:
            raise InputError(f"make_method must return a tw.Method with an objective, but returned {method!r}")
        if isinstance(method.objective, Stream):
            raise InputError(
                "a sweep draws its mini-batches on the device, where a tw.Stream gives none; use a tw.FiniteSum, or "
                "tw.run for one setting after the other"
            )
    return method


def _start(x0: PyTree | Callable) -> Callable:
    # A module may be called; it is a start all the same.
    if callable(x0) and not isinstance(x0, eqx.Module):
        return x0
    parameters, join = parted(x0)
    return _Same(join(as_position(parameters)))


class _Same(eqx.Module):
    x0: PyTree

    def __call__(self, key: Any) -> PyTree:
        del key
        return self.x0


@eqx.filter_jit
def _program(
    make_method: Callable[..., Method],
    settings: dict[str, Array],
    start: Callable,
    seeds: Array,
    steps: int,
    losses: bool,
) -> tuple[Array | None, Array, PyTree]:
    def one(setting: dict[str, Array], seed: Array) -> tuple[Array | None, Array, PyTree]:
        key, start_key = jax.random.split(jax.random.key(seed))
        x0, join = parted(start(start_key))
        cut = unraveler(x0)
        method = make_method(**setting).joined(join).flattened(cut)

        def step(state: Any, k: Array) -> tuple[Any, Array | None]:
            loss, after = evaluated_step(method, state, key, k)
            return after, loss if losses else None

        state, curve = jax.lax.scan(step, method.init(ravel(x0)), jnp.arange(steps))
        assert method.objective is not None
        last = method.objective.at(state.time).value(state.lookahead)
        if curve is not None:
            curve = jnp.concatenate([curve, last[None]])
        return curve, last, cut(state.position)

    return jax.lax.map(lambda batch: jax.vmap(one)(*batch), (settings, seeds))
