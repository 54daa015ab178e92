"""The law of motion itself: what a method would follow if its steps were small."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError
from .._loops.run import run
from .._methods.method import Method
from .._objectives.curvature import largest_curvature
from .._objectives.objective import Quadratic
from .._records.run import Record, Run
from .._side_by_side.compare import Comparison
from ..dynamics import AbstractDynamics
from ..geometry import AbstractMetric
from ..schemes import RK4
from ._plane import Plane, as_matrix

# Steps in a window; one compiled program serves them all.
_WINDOW = 128
_WINDOWS = 64
# A step of this over the fastest rate of the law, by its order, errs by less than a pixel over a whole picture.
_STEP = {1: 0.6, 2: 0.5}
# Twice the time that moves the law by less than this part of the picture is not followed to its end.
_STILL = 5e-4
# RK4 at a step of its own is this much finer than a method's.
_FINER = 16


@dataclasses.dataclass(frozen=True)
class Law:
    """A law of motion and the methods that cut it into steps.

    Attributes:
        name: in words, with its constants.
        dynamics: the law, on the whole of the data.
        methods: the names of the methods that discretise it.
        duration: the physical time of the longest of their runs.
        linear: its matrices on f = 0 and f = x²/2, at some times; of a law in a geometry there are none.
        steps: of the longest of their runs.
    """

    name: str
    dynamics: AbstractDynamics
    methods: tuple[str, ...]
    duration: float
    linear: Any = ()
    steps: int = 0


def laws(comparison: Comparison) -> list[Law]:
    """The distinct laws behind a comparison's methods, in their order."""
    found: dict[Any, Law] = {}
    for name, method in comparison.methods.items():
        assert method.objective is not None
        dynamics = method.with_objective(method.objective.whole()).dynamics
        try:
            RK4().check(dynamics)
        except InputError:
            continue
        if dynamics.has_auxiliary or not isinstance(dynamics.geometry, AbstractMetric | None):
            # Its linearisation is that of the whole phase, which the lines are not drawn by; or it turns at once.
            continue
        values = dynamics.constants
        key = (
            type(dynamics),
            repr(dynamics.geometry),
            *((k, id(v) if callable(v) else round(float(v), 12)) for k, v in values.items()),
        )
        trace = comparison.runs[name].trace
        duration = 0.0 if trace is None or not len(trace) else float(trace.time[-1] - trace.time[0])
        steps = comparison.runs[name].steps
        if key in found:
            law = found[key]
            found[key] = dataclasses.replace(
                law, methods=(*law.methods, name), duration=max(law.duration, duration), steps=max(law.steps, steps)
            )
        else:
            found[key] = Law(_words(dynamics, values), dynamics, (name,), duration, steps=steps)
    return [
        law if law.dynamics.geometry is not None
        else dataclasses.replace(law, linear=_linearised(law.dynamics, law.duration))
        for law in found.values()
    ]  # fmt: skip


def follow(law: Law, x0: PyTree, plane: Plane, scale: float) -> tuple[Any, Any]:
    """Times (n,) and points on the plane (n, 2) along a law, from its start for its duration.

    Integrated by RK4, in windows whose step follows the curvature where they begin. It ends early
    only where twice the time has moved it by less than `scale` / 2000, or after 8192 steps.
    """
    at_start = np.zeros(1), plane.project(as_matrix(jax.tree.map(lambda leaf: np.asarray(leaf)[None], x0)))
    if law.duration <= 0:
        return at_start
    if law.dynamics.geometry is not None:
        return _follow_finely(law, x0, plane)
    if not law.dynamics.autonomous:
        return _follow_at_once(law, x0, plane)
    times, points = [at_start[0]], [at_start[1]]
    x, velocity, now, mark = x0, None, 0.0, 0
    curvature = _curvature(law, x)
    while now < law.duration * (1 - 1e-9) and len(times) <= _WINDOWS:
        part, curvature = _resolved(law, x, velocity, law.duration - now, curvature)
        trace = part.trace
        assert trace is not None
        times.append(now + np.asarray(trace.time)[1:])
        points.append(plane.project(as_matrix(trace.position))[1:])
        if part.status != "finished":
            break
        now, x, velocity = float(times[-1][-1]), part.final.position, part.final.velocity
        if now >= 2 * float(times[mark][-1]):
            since = np.concatenate(points[mark:])
            if mark and np.abs(since - since[0]).max() < _STILL * scale:
                break
            mark = len(times) - 1
    return np.concatenate(times), np.concatenate(points)


def _resolved(law: Law, x: PyTree, velocity: PyTree, left: float, curvature: float) -> tuple[Run, float]:
    """One window, and the curvature where it ends; taken again where the way grew steeper than its step allows for."""
    for attempt in range(5):
        step = min(_STEP[law.dynamics.order] / _fastest_rate(law, curvature), left / _WINDOW)
        part = _window(law, x, velocity, step, _WINDOW)
        finished = part.status == "finished"
        ahead = _curvature(law, part.final.position) if finished else 4.0 * curvature
        if attempt == 4 or (finished and ahead <= 1.5 * curvature):
            return part, ahead
        curvature = ahead
    raise AssertionError


def _window(law: Law, x: PyTree, velocity: PyTree, step: float, steps: int) -> Run:
    record = Record((), positions=1)
    return run(Method(law.dynamics, RK4(), step), x, steps, record=record, progress=False, velocity=velocity)


def _follow_at_once(law: Law, x0: PyTree, plane: Plane) -> tuple[Any, Any]:
    """A law that depends on time cannot be taken up again from a state alone: one run, at its steepest."""
    rate = _fastest_rate(law, _curvature(law, x0))
    part = None
    for finer in (1.0, 3.0, 9.0):
        steps = int(np.ceil(max(law.duration * rate * finer / _STEP[law.dynamics.order], _WINDOW)))
        part = _window(law, x0, None, law.duration / steps, min(steps, _WINDOW * _WINDOWS))
        if part.status == "finished":
            break
    assert part is not None and part.trace is not None
    return np.asarray(part.trace.time) - part.trace.time[0], plane.project(as_matrix(part.trace.position))


def _follow_finely(law: Law, x0: PyTree, plane: Plane) -> tuple[Any, Any]:
    """A law in a geometry, at steps much smaller than the longest of those that its methods made."""
    steps = min(max(_FINER * law.steps, _WINDOW), _WINDOW * _WINDOWS)
    trace = _window(law, x0, None, law.duration / steps, steps).trace
    assert trace is not None
    return np.asarray(trace.time) - trace.time[0], plane.project(as_matrix(trace.position))


def _curvature(law: Law, x: PyTree) -> float:
    # By the same program as in tw.compare, which is compiled already.
    found = largest_curvature(law.dynamics.objective, x)
    return found if np.isfinite(found) and found > 0 else 1e-12


def _fastest_rate(law: Law, curvature: float) -> float:
    """The largest |eigenvalue| of the law's linearisation at this curvature, over its duration."""
    matrices = [flat + curvature * (unit - flat) for flat, unit in law.linear]
    sizes = [float(np.abs(np.linalg.eigvals(matrix)).max()) for matrix in matrices if np.isfinite(matrix).all()]
    return max([1e-12, *sizes])


def _linearised(dynamics: AbstractDynamics, duration: float) -> tuple[tuple[Any, Any], ...]:
    """At some times, the matrix of the law on f = 0 and on f = x²/2; between them it is linear in the curvature."""
    methods = [Method(dynamics, RK4(), 1.0).with_objective(Quadratic(jnp.full(1, c, float))) for c in (0.0, 1.0)]
    times = _times(dynamics, float(dynamics.start_time), duration)
    return tuple(tuple(_matrix(m.dynamics, jnp.asarray(t, float)) for m in methods) for t in times)  # pyright: ignore


def _matrix(dynamics: Any, time: Any) -> Any:
    one, zero = jnp.ones(1), jnp.zeros(1)
    if dynamics.order == 1:
        return np.asarray(dynamics.velocity(time, one))[None]
    columns = [dynamics.acceleration(time, one, zero), dynamics.acceleration(time, zero, one)]
    return np.array([[0.0, 1.0], [float(column[0]) for column in columns]])


def _times(dynamics: AbstractDynamics, begun: float, duration: float) -> Iterator[float]:
    if dynamics.autonomous:
        yield begun
    else:
        # A friction of r/t is infinite at the start, where the law has a rule of its own.
        yield from begun + duration * np.array([0.05, 0.25, 0.5, 0.75, 1.0])


def _words(dynamics: AbstractDynamics, values: dict[str, Any]) -> str:
    name = re.sub(r"(?<!^)(?=[A-Z])", " ", type(dynamics).__name__).lower().replace("nesterov", "Nesterov")
    shown = {k: v for k, v in values.items() if callable(v) or not (k in ("rate", "mass") and float(v) == 1.0)}
    words = [f"{k.replace('_', ' ')} " + ("varying" if callable(v) else f"{float(v):.3g}") for k, v in shown.items()]
    return ", ".join([name, *words])
