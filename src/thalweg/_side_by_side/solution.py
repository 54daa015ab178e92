"""The solution of a law of motion at a time, to 1e-13: in closed form, or by order 8 at two step sizes."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._errors import InputError
from .._methods.method import Method
from .._objectives.objective import AbstractObjective, Objective, Quadratic
from .._tree import ravel
from ..analysis.order import end_of_run, field_of, given_position
from ..dynamics import AbstractDynamics
from ..problems._quadratic import _value as _of_quadratic
from ..schemes import ButcherTableau, RungeKutta

ACCURACY = 1e-13
_FEWEST, _MOST = 32, 2**15


@dataclasses.dataclass(frozen=True)
class Solution:
    """The position at the time, raveled; its scale, in units of x; how it is known, in words."""

    position: np.ndarray
    scale: float
    known: str


def solution(method: Method, x0: PyTree, flat: Method, velocity: Array | None, until: float) -> Solution:
    """Solve the law that a deterministic method follows, in float64; `flat` is the method on raveled parameters."""
    start = ravel(x0)
    exact = _closed_form(method, x0, velocity, until)
    if exact is not None:
        return Solution(exact, _scale(start, exact), "closed form, by the matrix exponential")
    law, steps, before = Method(flat.dynamics, _dop853(), 1.0), _FEWEST, None
    difference = np.inf
    while steps <= _MOST:
        end = np.asarray(end_of_run(law, start, velocity, jnp.asarray(until / steps), jnp.asarray(steps)))
        if before is not None and np.all(np.isfinite(end)):
            with np.errstate(over="ignore"):
                difference = float(np.linalg.norm(end - before)) / _scale(start, end)
            if difference <= ACCURACY:
                known = f"DOP853 in {steps // 2} and {steps} steps, which differ by {difference:.1e} of the scale of x"
                return Solution(end, _scale(start, end), known)
        before = end if np.all(np.isfinite(end)) else None
        steps *= 2
    raise InputError(
        f"no reference to {ACCURACY:g} of the scale of x can be had up to time {until:g}: DOP853 in {_MOST // 2} and "
        f"{_MOST} steps differs by {difference:.1e}; take a shorter time or a smoother objective"
    )


def given(x0: PyTree, reference: PyTree) -> Solution:
    """A solution that the user knows."""
    position = given_position(reference, x0)
    return Solution(position, _scale(ravel(x0), position), "given")


def _scale(start: Array, end: np.ndarray) -> float:
    return max(float(np.linalg.norm(np.asarray(start))), float(np.linalg.norm(end))) or 1.0


def _dop853() -> RungeKutta:
    from scipy.integrate import DOP853

    # Steps all of one length, so that halving them shows the error: the controller of SciPy's would hide it.
    a = tuple(tuple(float(x) for x in row[:i]) for i, row in enumerate(DOP853.A))
    return RungeKutta(ButcherTableau("DOP853", a, tuple(float(x) for x in DOP853.B), 8, "hairer1993"))


def _spectrum(objective: AbstractObjective | None, x0: PyTree) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The curvatures of a quadratic and its axes as columns; None of any other objective."""
    if isinstance(objective, Quadratic):
        return np.broadcast_to(np.asarray(objective.curvature), np.shape(x0)).ravel(), None
    if isinstance(objective, Objective) and objective.fn is _of_quadratic:
        args = objective.args
        return np.asarray(args["curvature"]), np.asarray(args["basis"]) if "basis" in args else None
    return None


def _closed_form(method: Method, x0: PyTree, velocity: Array | None, until: float) -> np.ndarray | None:
    found = _spectrum(method.objective, x0)
    if found is None or not method.dynamics.autonomous or method.dynamics.has_auxiliary:
        return None
    if method.dynamics.geometry is not None:
        return None
    from scipy.linalg import expm

    curvature, basis = found
    # Axes that were stored in 32 bits are orthogonal to 1e-8 alone, and the modes then not apart.
    if basis is not None and not np.allclose(basis.T @ basis, np.eye(len(curvature)), rtol=0.0, atol=ACCURACY / 10):
        return None
    parts = [np.asarray(ravel(x0)), *(() if velocity is None else (np.asarray(velocity),))]
    y = np.stack([part if basis is None else part @ basis for part in parts], axis=1)
    matrices = _matrices(method.dynamics, curvature, len(parts))
    if matrices is None:
        return None
    modes = np.einsum("dij,dj->di", expm(until * matrices), y)[:, 0]
    return modes if basis is None else basis @ modes


def _matrices(dynamics: AbstractDynamics, curvature: np.ndarray, size: int) -> np.ndarray | None:
    """The law on each mode, (d, size, size), from the law itself; None where it is not linear there."""

    def field(c: Array, y: Array) -> Array:
        return field_of(eqx.tree_at(lambda d: d.objective, dynamics, Quadratic(c[None])), dynamics.start_time, y)

    origin, other = jnp.zeros(size), jnp.arange(1.0, size + 1.0)
    at = [np.asarray(jax.vmap(jax.jacfwd(field, 1), (0, None))(jnp.asarray(curvature), y)) for y in (origin, other)]
    ahead = np.asarray(jax.vmap(field, (0, None))(jnp.asarray(curvature), other))
    linear = np.array_equal(at[0], at[1]) and np.allclose(at[0] @ np.asarray(other), ahead, rtol=1e-12, atol=0.0)
    return at[0] if linear else None
