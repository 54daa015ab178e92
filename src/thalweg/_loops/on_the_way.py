"""Schedules and functions of time, looked at for the whole of a run before it begins."""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._errors import InputError, check_number
from .._methods.knobs import Scheduled
from .._methods.method import Method
from .._tree import copied, scalar
from ..dynamics import AbstractDynamics

# Steps that are looked at, spread evenly over a longer run.
_MOST = 10_000
# Roundings of its largest value in float32, by which a schedule that ends at 0 may miss it.
_ROUNDINGS = 8


def check_on_the_way(method: Method, steps: int) -> None:
    """Refuse a schedule or a function of time that leaves on the way the bounds that a constant in its place has.

    A step size below 0 goes up, and a friction below 0 drives: both stay finite. A function of time that does not is
    loud by itself, and may be so where no step looks; a schedule may end at 0. What is traced passes.

    Arguments:
        method: as its user made it.
        steps: of the run.
    """
    scheduled = callable(method.step_size) and method.grid is None
    timed = [
        (law, name, given) for law in _laws(method.dynamics) for name, given in law.constants.items() if callable(given)
    ]
    if not (scheduled or timed):
        return
    points, sizes = _points(steps), None
    if scheduled:
        _check_first(method.step_size)
        sizes = _check_sizes("the step size", method.step_size, points)
    times = _times(method, points, sizes)
    for law, name, given in timed:
        if isinstance(given, Scheduled):
            _check_sizes("the learning rate", given.schedule, points)
        elif times is not None:
            _check_coefficient(law, name, given, times)


def _points(steps: int) -> np.ndarray:
    return np.arange(max(steps, 1)) if steps <= _MOST else np.linspace(0, steps - 1, _MOST).round().astype(int)


def _check_first(schedule: Any) -> None:
    try:
        first = schedule(0)
    except Exception as error:
        raise InputError(f"the schedule of the step size raised {type(error).__name__} at step 0: {error}") from error
    check_number("the step size at step 0", first, at_least=0.0)


def _check_sizes(what: str, schedule: Any, points: np.ndarray) -> np.ndarray | None:
    values = _values(schedule, points)
    if values is None:
        return None
    finite = np.isfinite(values)
    slack = _ROUNDINGS * float(jnp.finfo(jnp.float32).eps) * np.max(np.abs(values), where=finite, initial=0.0)
    if (wrong := _first(~finite | (values < -slack))) is not None:
        at = f"{what} at step {points[wrong]}"
        check_number(at, values[wrong])
        raise InputError(
            f"{at} must be at least 0, but is {values[wrong]:g}; make fewer steps, or a schedule that ends at 0: "
            "jnp.maximum(..., 0.0)"
        )
    return values


def _check_coefficient(law: AbstractDynamics, name: str, given: Callable, times: np.ndarray) -> None:
    values = _values(given, times)
    if values is None:
        return
    usual = np.isfinite(values) & (values != 0.0)
    if not usual.any():
        return
    ends = (int(np.argmin(np.where(usual, values, np.inf))), int(np.argmax(np.where(usual, values, -np.inf))))
    for at in (_first(usual & (values < 0.0)), *ends):
        if at is not None and (reason := _refused(law, name, values[at])):
            raise InputError(f"at time {times[at]:g} {reason}")


def _refused(law: AbstractDynamics, name: str, value: Any) -> str | None:
    """The reason why a law refuses a number as its constant, by the checks of its own; None where it does not."""
    trial = copied(law, **{name: scalar(value)})
    try:
        for kind in type(law).__mro__:
            if check := vars(kind).get("__check_init__"):
                check(trial)
    except InputError as error:
        return str(error)
    return None


def _laws(law: AbstractDynamics) -> Iterator[AbstractDynamics]:
    """A law and those that it is made of."""
    yield law
    for part in vars(law).values():
        if isinstance(part, AbstractDynamics):
            yield from _laws(part)


def _times(method: Method, points: np.ndarray, sizes: np.ndarray | None) -> np.ndarray | None:
    """The times at which steps begin; None where they are not known."""
    start, size = method.start_time, method.step_size
    if isinstance(start, Tracer) or isinstance(size, Tracer):
        return None
    if method.grid is not None:
        return None if isinstance(method.grid.times, Tracer) else np.asarray(method.grid.times)[points]
    if method.scheme.adaptive:
        return np.asarray(start)[None]
    if not callable(size):
        return np.asarray(start) + np.asarray(size) * points
    if sizes is None:
        return None
    gaps = np.diff(points, prepend=0)
    return np.asarray(start) + np.cumsum(gaps * np.append(0.0, sizes[:-1]))


def _values(fn: Callable, points: np.ndarray) -> np.ndarray | None:
    """A function of one number at several; None where it takes none that is traced, or depends on what is."""
    try:
        with jax.ensure_compile_time_eval():
            found = _mapped(fn, jnp.asarray(points))
    except Exception:
        # The loop, in which it is traced in the same way, says what is wrong.
        return None
    return None if isinstance(found, Tracer) or np.shape(found) != points.shape else np.asarray(found, float)


@eqx.filter_jit
def _mapped(fn: Callable, points: Any) -> Any:
    return jax.vmap(fn)(points)


def _first(holds: np.ndarray) -> int | None:
    return int(np.argmax(holds)) if holds.any() else None
