"""The law of motion itself: what a method would follow if its steps were small."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._compare import Comparison
from .._curvature import largest_curvature
from .._errors import InputError
from .._method import Method
from .._objective import AbstractObjective, FiniteSum, Quadratic
from .._record import Record
from .._run import run
from ..dynamics import AbstractDynamics
from ..schemes import Tsit5
from ..schemes._base import constants
from ._plane import Plane, as_matrix

# Steps in a window; one compiled program serves them all.
_WINDOW = 128
_WINDOWS = 64
# A step of this over the fastest rate of the law errs by less than a pixel over a whole picture.
_STEP = 0.5


@dataclasses.dataclass(frozen=True)
class Law:
    """A law of motion and the methods that cut it into steps.

    Attributes:
        name: in words, with its constants.
        dynamics: the law, on the whole of the data.
        methods: the names of the methods that discretise it.
        duration: the physical time of the longest of their runs.
    """

    name: str
    dynamics: AbstractDynamics
    methods: tuple[str, ...]
    duration: float


def laws(comparison: Comparison) -> list[Law]:
    """The distinct laws behind a comparison's methods, in their order."""
    found: dict[Any, Law] = {}
    for name, method in comparison.methods.items():
        dynamics = _whole(method).dynamics
        try:
            Tsit5().check(dynamics)
        except InputError:
            continue
        values = constants(dynamics)
        key = (type(dynamics), *((k, id(v) if callable(v) else round(float(v), 12)) for k, v in values.items()))
        trace = comparison.runs[name].trace
        duration = 0.0 if trace is None or not len(trace) else float(trace.time[-1] - trace.time[0])
        if key in found:
            law = found[key]
            found[key] = dataclasses.replace(
                law, methods=(*law.methods, name), duration=max(law.duration, duration)
            )
        else:
            found[key] = Law(_words(dynamics, values), dynamics, (name,), duration)
    return list(found.values())


def follow(law: Law, x0: PyTree, curvature: float, plane: Plane, scale: float) -> tuple[Any, Any]:
    """Times (n,) and points on the plane (n, 2) along a law, from its start for its duration.

    Integrated by Tsit5 with steps of half the law's fastest time at this curvature. It ends early
    only where twice the time has moved it by less than `scale` / 5000, or after 8192 steps.
    """
    if law.duration <= 0:
        return np.zeros(1), plane.project(as_matrix(jax.tree.map(lambda leaf: np.asarray(leaf)[None], x0)))
    fast = _fastest_rate(law, curvature)
    count = max(1.0, law.duration * fast / _STEP / _WINDOW)
    for finer in (1, 4, 16):
        windows = int(min(np.ceil(count * finer), _WINDOWS))
        step = law.duration / (np.ceil(count * finer) * _WINDOW)
        times, points, complete = _integrate(Method(law.dynamics, Tsit5(), step), x0, windows, plane, scale)
        if complete:
            break
    return times, points


def _integrate(method: Method, x0: PyTree, windows: int, plane: Plane, scale: float) -> tuple[Any, Any, bool]:
    if not method.autonomous:
        # A law that depends on time cannot be taken up again from a state alone.
        parts = [run(method, x0, windows * _WINDOW, key=0, record=Record((), positions=1), progress=False)]
        times, points = parts[0].trace.time, plane.project(as_matrix(parts[0].trace.position))  # pyright: ignore
        return times - times[0], points, parts[0].status == "finished"
    times, points = [np.zeros(1)], []
    x, velocity, begun = x0, None, 0.0
    for window in range(windows):
        part = run(
            method, x, _WINDOW, key=0, record=Record((), positions=1), progress=False,
            velocity=velocity,
        )  # fmt: skip
        trace = part.trace
        assert trace is not None
        seen = plane.project(as_matrix(trace.position))
        points.append(seen if window == 0 else seen[1:])
        times.append(begun + np.asarray(trace.time[1:]))
        if part.status != "finished":
            return np.concatenate(times), np.concatenate(points), False
        begun = float(times[-1][-1])
        x, velocity = part.final.position, part.final.velocity
        if window & (window + 1) == 0 and window > 0:
            half = np.concatenate(points)[(window + 1) // 2 * _WINDOW :]
            if np.abs(half - half[0]).max() < 2e-4 * scale:
                break
    return np.concatenate(times), np.concatenate(points), True


def steepest(objective: AbstractObjective, comparison: Comparison, samples: list[PyTree]) -> float:
    """The largest curvature at the best point and at the samples."""
    found = [largest_curvature(objective, x) for x in samples]
    return max([comparison.curvature, *(value for value in found if np.isfinite(value))])


def _whole(method: Method) -> Method:
    objective = method.objective
    if isinstance(objective, FiniteSum):
        return method.with_objective(dataclasses.replace(objective, batch_size=None))
    return method


def _fastest_rate(law: Law, curvature: float) -> float:
    """The largest |eigenvalue| of the law's linearisation at this curvature, over its duration."""
    dynamics: Any = Method(law.dynamics, Tsit5(), 1.0).with_objective(Quadratic(jnp.full(1, curvature, float))).dynamics
    begun = float(dynamics.start_time)
    fastest = 1e-12
    for at in _times(dynamics, begun, law.duration):
        time = jnp.asarray(at, float)
        if dynamics.order == 1:
            matrix = np.asarray(jax.jacfwd(lambda x, time=time: dynamics.velocity(time, x))(jnp.zeros(1)))
        else:
            zero = jnp.zeros(1)
            by_x = jax.jacfwd(lambda x, time=time: dynamics.acceleration(time, x, zero))(zero)
            by_v = jax.jacfwd(lambda v, time=time: dynamics.acceleration(time, zero, v))(zero)
            matrix = np.block([[np.zeros((1, 1)), np.ones((1, 1))], [np.asarray(by_x), np.asarray(by_v)]])
        size = float(np.abs(np.linalg.eigvals(matrix)).max())
        fastest = max(fastest, size if np.isfinite(size) else 0.0)
    return fastest


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
