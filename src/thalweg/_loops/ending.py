"""The end of a run: the step at which it diverged or was to stop, and what is said of it."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError
from .._methods.method import Method
from .._methods.probe import stable_limit
from .._objectives.at_start import holes
from .._objectives.curvature import largest_curvature
from .._objectives.objective import AbstractObjective, start_value_and_gradient
from .._records.derived import named_leaves
from .._tree import Vector, combine, wide_inner

Stop = (
    Annotated[Mapping[str, float], "a dictionary such as {'loss': 1e-6}"]
    | Callable[[dict[str, np.ndarray]], np.ndarray]
)

# A loss that has grown by this factor over its start will not come back; one that has fallen so far has no bound.
_DIVERGED, _BOTTOMLESS = 1e10, 1e20
# Where a run ends with a gradient of at least this part of that at its start, f is looked at far ahead: at distances
# that double so many times, over which it must have fallen by so many times what it fell on the way.
_AS_STEEP, _DOUBLINGS, _FALLEN = 0.9, 60, 1e6


def first_bad(losses: np.ndarray, first: float) -> int | None:
    """The first of some losses that is not finite, or has grown or fallen beyond return."""
    scale = max(1.0, abs(first))
    bad = ~np.isfinite(losses) | (losses > first + _DIVERGED * scale) | (losses < first - _BOTTOMLESS * scale)
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
    if first is not None and np.nanmin(losses, initial=np.inf) < first - _DIVERGED * max(1.0, abs(first)):
        least = float(np.nanmin(losses))
        return "unbounded", f"f fell to {least:.3g} by step {step} and falls on: it is not bounded below"
    grown = first is not None and np.nanmax(losses, initial=-np.inf) > first + 10 * max(1.0, abs(first))
    knobs = method.hyperparameters
    if callable(method.step_size):
        knobs = knobs | {"step_size": float(np.asarray(method.step_size(max(step - 1, 0))))}
    what = "diverged" if grown else "became not finite"
    settings = ", ".join(f"{name} {value:g}" for name, value in knobs.items() if isinstance(value, float))
    flaw = holes(method.objective)
    return ("diverged" if grown else "not finite"), f"{what} at step {step} with {settings}{flaw and f'; {flaw}'}"


def falls_for_ever(objective: AbstractObjective, x0: Vector, x: Vector, loss: float, gradient: Vector) -> str:
    """Words for a function that falls without end from where a run ended; none where that does not show.

    It shows where the slope is as steep as it was at the start, and f along it falls at every distance, and in the end
    by far more than on the way there.

    Arguments:
        objective: of all of its data, where no mini-batch is given.
        x0, x: both ends of the run, a vector or a tree each.
        loss: f at the end.
        gradient: there.
    """
    first, slope = start_value_and_gradient(objective, x0)
    steep = float(_norm(gradient))
    if not (loss < float(first) and np.isfinite(steep) and steep > _AS_STEEP * float(_norm(slope))):
        return ""
    way = float(_norm(combine((1, x), (-1, x0)))) or 1.0
    ahead = np.asarray(_ahead(objective, x, gradient, way * 2.0 ** np.arange(_DOUBLINGS)), float)
    # A floating-point number has an end: what is not finite any more is left out.
    ahead = ahead[: int(np.argmin(np.isfinite(ahead)))] if not np.isfinite(ahead).all() else ahead
    if len(ahead) < _DOUBLINGS // 4 or not np.all(np.diff(ahead) < 0):
        return ""
    if not loss - ahead[-1] > _FALLEN * (float(first) - loss):
        return ""
    return f"; f falls on along the gradient, to {ahead[-1]:.3g} at the last point looked at: it is not bounded below"


def _norm(x: Vector) -> Any:
    return jnp.sqrt(wide_inner(x, x))


@eqx.filter_jit
def _ahead(objective: AbstractObjective, x: Vector, gradient: Vector, distances: Any) -> Any:
    norm = _norm(gradient)
    # One after the other: side by side they would take as many times the memory of the parameters.
    return jax.lax.map(lambda far: objective.value(combine((1, x), (-far / norm, gradient))), jnp.asarray(distances))


def unmoved(method: Method, start: PyTree, x: Vector, cut: Callable[[Vector], PyTree], gradient: Vector | None) -> str:
    """Words for parameters that a run has left where they were though f has a slope there; none where all moved.

    A step that is less than half of the distance to the next number is lost, be there ever so many of them.

    Arguments:
        method: as it runs.
        start: the parameters there.
        x: the end, as the loop has it.
        cut: makes parameters of it.
        gradient: that of f at the end, where it is known.
    """
    objective = method.objective
    if objective is None or objective.time_dependent or method.dynamics.geometry is not None or method.normals:
        return ""
    before, after = jax.tree.leaves(start), jax.tree.leaves(cut(x))
    still = [i for i, (one, other) in enumerate(zip(before, after, strict=True)) if one.size and _same(one, other)]
    if not still:
        return ""
    slope = start_value_and_gradient(objective, x)[1] if gradient is None else gradient
    slopes = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(cut(slope))]
    lost = [i for i in still if np.isfinite(slopes[i]).all() and slopes[i].any()]
    if not lost:
        flat = len(still) == len(before) and not any(slope.any() for slope in slopes)
        return "; nothing has moved: the gradient there is 0" if flat else ""
    worst = max((before[i].dtype for i in lost), key=lambda dtype: float(jnp.finfo(dtype).eps))
    wider = {2: ", or keep the parameters in float32", 4: ", or keep the parameters in float64"}.get(worst.itemsize, "")
    others = f", nor have {len(lost) - 1} more arrays," if len(lost) > 1 else ""
    which = "nothing has" if len(lost) == len(before) else f"{named_leaves(start)[0][lost[0]]} has not{others}"
    lost_below = float(jnp.finfo(worst).eps) / 2
    return (
        f"; {which} moved, though the gradient there is not 0: steps of less than {lost_below:.2g} of a number are "
        f"lost in {worst.name}; take longer steps{wider}"
    )


def _same(one: jax.Array, other: jax.Array) -> bool:
    if jax.default_backend() != "cpu":
        return bool(jnp.array_equal(one, other))
    # Nothing is copied there, or compiled; the ends first: of a large array that has moved nothing else is looked at.
    mine, its = np.asarray(one), np.asarray(other)
    return bool(mine.flat[0] == its.flat[0] and mine.flat[-1] == its.flat[-1] and np.array_equal(mine, its))


def limit_at_start(method: Method, objective: Any, x0: Vector, where: str = "") -> str:
    """The stability limit at the curvature of the start, to be said after what diverged; nothing where there is none.

    Arguments:
        method: as it runs.
        objective: the function of `x0`, None where there is none.
        x0: the start.
        where: of which data the function is.
    """
    if objective is None or method.dynamics.geometry is not None or method.dynamics.preconditioned:
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
