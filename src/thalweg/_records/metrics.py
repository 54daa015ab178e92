"""Metrics: what a run records of its states, ours by name and a user's own functions."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PyTree

from .._errors import InputError, check_choice, check_count
from .._module import Module
from .._objectives.parts import same
from .._tree import Vector
from ..dynamics._curved import norm, slope_norm


class Seen(NamedTuple):
    r"""A state as a metric sees it: trees of the user's own shapes.

    `position` is the iterate, `lookahead` the point where the next gradient is taken: `value` and `gradient` are those
    of the objective there, on `batch` where the step draws one; None where there is no objective. `velocity` and
    `auxiliary` are those of the law, None where it has none. `step` counts from 0; `step_size` is that of the step to
    come. `report` are the numbers of the scheme. `geometry` is that of the law, for our own metrics. `carried` is the
    state of the objective, None where it carries none.
    """

    step: Array
    time: Array
    step_size: Array
    position: PyTree
    lookahead: PyTree
    velocity: PyTree
    auxiliary: PyTree
    batch: PyTree
    value: Array | None
    gradient: PyTree
    report: Any
    geometry: Any = None
    carried: PyTree = None


def loss(seen: Seen) -> Array:
    """$f$ where the gradient is taken, on the mini-batch of the step if there is one."""
    return _of_objective(seen.value, "loss")


def gradient_norm(seen: Seen) -> Array:
    """The norm of the gradient that the step takes, in the metric of the law."""
    slope = _of_objective(seen.gradient, "gradient_norm")
    return slope_norm(seen.geometry, seen.lookahead, slope)


def speed(seen: Seen) -> Array:
    """The norm of the velocity, in the metric of the law."""
    if seen.velocity is None:
        raise InputError("metric 'speed' needs a second-order law; a first-order one has no velocity")
    return norm(seen.geometry, seen.position, seen.velocity)


def step_size(seen: Seen) -> Array:
    """The step size of the step to come."""
    return seen.step_size if seen.report.step_size is None else seen.report.step_size


def gradients(seen: Seen) -> Array:
    """Gradients taken so far; where all steps take as many, the host counts them."""
    taken = seen.report.gradients
    return jnp.zeros(()) if taken is None else taken.astype(float)


def acceptance(seen: Seen) -> Array:
    """The fraction of steps accepted so far, of a scheme that rejects."""
    if seen.report.acceptance is None:
        raise InputError("metric 'acceptance' needs a scheme that accepts or rejects its steps, as tw.mala does")
    return seen.report.acceptance


def _of_objective(value: Any, name: str) -> Any:
    if value is None:
        raise InputError(f"metric {name!r} is of an objective, which this law has not; give a function of your own")
    return value


class Metric(Module):
    """A metric with a name: taken at every step, in the compiled loop, or every so many, by the host."""

    name: str = eqx.field(static=True)
    fn: Callable = eqx.field()
    every: int = eqx.field(default=1, static=True)

    @property
    def ours(self) -> bool:
        """Tell whether the metric is one of ours, which is the same on a tree and on one vector."""
        return self.name in METRICS

    def columns(self, found: Any) -> dict[str, Any]:
        """The numbers it gave, by the names of its columns."""
        if isinstance(found, Mapping):
            return {f"{self.name}.{key}": value for key, value in found.items()}
        return {self.name: found}


_OURS = (loss, gradient_norm, speed, step_size, gradients, acceptance)
# Made once: a module takes longer to make than some runs to begin.
METRICS = {metric.__name__: Metric(metric.__name__, metric) for metric in _OURS}


def as_metric(value: Any) -> Metric:
    """A metric of what a user writes: a name, a function, or (name, function) with or without `every`.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(value, Metric):
        return value
    if isinstance(value, str):
        try:
            check_choice("metric", value, tuple(METRICS))
        except InputError as error:
            raise InputError(f"{error}; one of your own has a function, ({value!r}, function)") from None
        return METRICS[value]
    if callable(value):
        name = getattr(value, "__name__", type(value).__name__)
        return _named(name, value, 1)
    if isinstance(value, tuple) and len(value) in (2, 3) and isinstance(value[0], str) and callable(value[1]):
        return _named(value[0], value[1], check_count("every", value[2]) if len(value) == 3 else 1)
    raise InputError(
        f"a metric must be a name, a function of what is seen, or (name, function, every), but is {value!r}"
    )


def _named(name: str, fn: Callable, every: int) -> Metric:
    if not name.isidentifier():
        raise InputError(f"a metric of your own needs a name, such as ('accuracy', {name}), but is called {name!r}")
    if name in METRICS or name in ("step", "time"):
        raise InputError(f"a metric of your own needs a name of its own; {name!r} is taken")
    return Metric(name, fn, every)


def columns(metric: Metric, seen: Seen) -> tuple[str, ...]:
    """The columns of a metric that is traced, found from shapes, without computing anything.

    Raises:
        InputError: it raises, or gives something else than a real scalar or a dictionary of such.
    """
    try:
        found = metric.columns(eqx.filter_eval_shape(metric.fn, seen))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"metric {metric.name!r} {_raised(error)}") from error
    for name, value in found.items():
        _check_scalar(name, value)
    return tuple(found)


def _check_scalar(name: str, value: Any) -> None:
    if jax.tree.structure(value) != jax.tree.structure(0):
        raise InputError(f"metric {name!r} must give a real number or a dictionary of them, but gives {value!r}")
    if jnp.shape(value):
        raise InputError(f"metric {name!r} must give a real number, but gives shape {jnp.shape(value)}; take the mean")
    dtype = jnp.result_type(value)
    if not (any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_))):
        raise InputError(f"metric {name!r} must give a real number, but gives {dtype}")


def _raised(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"raised {type(error).__name__}: {first}"


def taken(metric: Metric, seen: Seen) -> dict[str, float]:
    """The numbers of a metric that the host takes.

    Raises:
        InputError: as in `columns`.
    """
    try:
        found = metric.columns(metric.fn(seen))
        for name, value in found.items():
            _check_scalar(name, value)
        return {name: float(value) for name, value in found.items()}
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"metric {metric.name!r} {_raised(error)}") from error


def look(method: Any, state: Any, step: ArrayLike, batch: PyTree, cut: Callable) -> Seen:
    """A state as metrics see it; its trees cut where they are one vector."""

    def tree(x: Vector | None) -> PyTree:
        return None if x is None else cut(x)

    found = state.evaluation
    return Seen(
        jnp.asarray(step),
        _time(method, state, step),
        jnp.asarray(method.step_size_at(state.clock)),
        tree(state.position),
        tree(state.lookahead),
        tree(state.velocity),
        state.auxiliary,
        batch,
        None if found is None else found.value,
        None if found is None else tree(found.gradient),
        method.scheme.report(state),
        # A law on one vector has its geometry there.
        method.dynamics.geometry if cut is same else None,
        state.carried,
    )


def _time(method: Any, state: Any, step: ArrayLike) -> Array:
    if state.time is not None:
        return state.time
    return jnp.asarray(method.dynamics.start_time + method.step_size * jnp.asarray(step))
