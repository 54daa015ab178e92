"""The end of a run: the step at which it diverged or was to stop, and what is said of it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._errors import InputError
from .._methods.method import Method
from .._methods.probe import stable_limit
from .._objectives.curvature import largest_curvature
from .._tree import Vector

Stop = Mapping[str, float] | Callable[[dict[str, np.ndarray]], np.ndarray]

# A loss that has grown by this factor over its start will not come back.
_DIVERGED = 1e10


def first_bad(losses: np.ndarray, first: float) -> int | None:
    """The first of some losses that is not finite, or has grown beyond return."""
    limit = first + _DIVERGED * max(1.0, abs(first))
    bad = ~np.isfinite(losses) | (losses > limit)
    return int(np.argmax(bad)) if bad.any() else None


def first_stop(stop: Stop | None, columns: dict[str, np.ndarray]) -> int | None:
    """The first row that meets a stop condition.

    Raises:
        InputError: the condition does not return a truth value a row.
    """
    if stop is None:
        return None
    shape = columns["step"].shape
    if isinstance(stop, Mapping):
        met = np.zeros(shape, bool)
        for name, value in stop.items():
            met |= columns[name] <= value
    else:
        met = np.asarray(stop(columns), bool)
        if met.shape != shape:
            raise InputError(f"stop must return one truth value a step, {shape}, but returns {met.shape}")
    return int(np.argmax(met)) if met.any() else None


def diverged(method: Method, losses: np.ndarray, first: float | None, step: int) -> tuple[str, str]:
    """The status and the message of a run that became not finite, or too large, at a step.

    Arguments:
        method: as it runs.
        losses: the last one that counts and the one after it, NaN where they are not known.
        first: the loss at the start.
        step: where.
    """
    grown = first is not None and np.nanmax(losses, initial=-np.inf) > first + 10 * max(1.0, abs(first))
    knobs = method.hyperparameters
    if callable(method.step_size):
        knobs = knobs | {"step_size": float(np.asarray(method.step_size(max(step - 1, 0))))}
    what = "diverged" if grown else "became not finite"
    settings = ", ".join(f"{name} {value:g}" for name, value in knobs.items() if isinstance(value, float))
    return ("diverged" if grown else "not finite"), f"{what} at step {step} with {settings}"


def limit_at_start(method: Method, objective: Any, x0: Vector, where: str = "") -> str:
    """The stability limit at the curvature of the start, to be said after what diverged; nothing where there is none.

    Arguments:
        method: as it runs.
        objective: the function of `x0`, None where there is none.
        x0: the start.
        where: of which data the function is.
    """
    if objective is None or method.dynamics.geometry is not None:
        return ""
    try:
        curvature = getattr(objective, "smoothness", None) or largest_curvature(objective, x0, 100, 1e-4)
        if not curvature > 0:
            return "; the curvature at the start is not positive, so the linear theory gives no limit"
        knob, limit = stable_limit(method.plain, curvature)
        return f"; at curvature {curvature:.4g}{where} the stability limit is {knob} {limit:.4g}"
    except Exception:
        # An objective without second derivatives has no limit to tell; the run is kept all the same.
        return ""
