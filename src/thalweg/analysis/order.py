"""The observed order of convergence: how fast a method closes in on its own law of motion."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._errors import InputError, check_count, check_number
from .._loops.chunk import check_rates
from .._methods.linearity import in_float64
from .._methods.method import Method
from .._objectives.at_start import check_at_start
from .._objectives.curvature import largest_curvature
from .._objectives.objective import as_position
from .._tree import ravel, size, unraveler
from .._typed import typed
from ..dynamics import AbstractDynamics, AbstractFirstOrder, AbstractSecondOrder, GradientFlow, Phase
from ..dynamics._base import at_time
from ..dynamics._curved import check_on
from ..geometry import AbstractEmbedded, AbstractManifold
from ..schemes import State
from ..schemes._curved import grounded

# DOP853 at the tightest tolerance scipy takes, and at least 64 steps of it: a few 1e-15 of the scale.
# Numbers of a field whose Jacobian is made whole, at most.
_DENSE = 1000
_TOLERANCE = 2.3e-14
_REFERENCE_STEPS = 64
# Right-hand sides of the reference: a smooth law takes some thousands, at a kink the tightest tolerance never ends.
_MOST = 60_000
# What rounding and the reference leave in an error, and the least error trusted, both in units of the scale of x.
_NOISE = 4e-15
_RELIABLE = 1e-13
_STEPS = tuple(round(16 * 2 ** (k / 2)) for k in range(13))
_FITTED = 6


@dataclasses.dataclass(frozen=True)
class OrderResult:
    """An observed order of convergence.

    Attributes:
        order: p of the fit.
        steps: array (k,), how many steps each run took to the horizon.
        errors: array (k,), distance of its last position from the reference, in units of x.
        horizon: the time run over, in units of the law's time.
        reference: "DOP853" or "given".
    """

    order: float
    steps: np.ndarray
    errors: np.ndarray
    horizon: float
    reference: str

    @property
    def slopes(self) -> np.ndarray:
        """Array (k - 1,): the order seen between neighbouring runs, rounding floor and all."""
        return -np.diff(np.log(self.errors)) / np.diff(np.log(self.steps))


@typed()
def convergence_order(
    method: Method,
    x0: PyTree = None,
    horizon: float | int | None = None,
    steps: Sequence[int] | None = None,
    velocity: PyTree = None,
    reference: PyTree = None,
) -> OrderResult:
    r"""The order at which a method converges to its law of motion, measured by running it.

    $$\|\theta_n - \theta(t_0 + T)\| = C h^p + O(h^{p+1}),\qquad h = T/n$$

    The law stays as it is and the step shrinks (a learning rate and a momentum would change the law
    with the step). The reference is the law's own velocity or acceleration, integrated by scipy's
    DOP853 to a few 1e-15. Only positions are compared: a leapfrog's velocity is half a step
    behind. Everything is computed in float64.

    The order is p in the weighted least-squares fit of $\log C + p\log h + ah + bh^2$ to the logarithms of
    the errors of the six finest runs whose errors are below the scale of x and above 1e-13 of it, 25 times what
    rounding leaves (with fewer than five such runs without b, with two without a). The terms beyond the slope
    matter: Tsitouras' method was tuned until its $h^6$ error hides the $h^5$ one at every step whose error
    can still be seen, and the bare slope there is 5.3.

    Arguments:
        method: any deterministic method; its own step size is not used.
        x0: the start, a pytree of float arrays; needed where the method has an objective. A method
            without one is measured on `tw.problems.lopsided()`.
        horizon: T, in units of the law's time; if None, $2/\ell b$ for gradient flow and $2\sqrt{m/\ell}$ for
            a second-order law, with $\ell$ the largest curvature at the start, and for a field 2 over the norm of its
            Jacobian there.
        steps: numbers of steps, at least two; 16, 23, 32, ..., 1024 if None.
        velocity: the starting velocity of a second-order law, a pytree like `x0`; the law's own if None.
        reference: the exact position at the horizon, a pytree like `x0`, where it is known.

    Returns:
        an `OrderResult`.

    Raises:
        InputError: no start, one at which nothing moves, a stochastic objective, or fewer than two runs whose error
            can be trusted.

    >>> import thalweg as tw
    >>> law = tw.HeavyBall(None, friction=1.0)
    >>> round(tw.analysis.convergence_order(tw.Method(law, tw.Leapfrog(), 0.1)).order, 1)
    2.0
    >>> round(tw.analysis.convergence_order(tw.Method(law, tw.Leapfrog(start="zero"), 0.1)).order, 1)
    1.0

    Reference: Hairer, Nørsett and Wanner (1993), theorem II.3.4 and section II.5 (DOP853).
    """
    if not isinstance(method, Method):
        raise InputError(f"method must be a tw.Method, but is {method!r}")
    with jax.enable_x64(True):
        method, x0 = _problem(method, x0)
        start = ravel(x0)
        first_velocity = velocity_of(method, x0, velocity)
        check_on(method.dynamics.geometry, x0, None if velocity is None else unraveler(x0)(first_velocity))
        if reference is None:
            _check_coordinates(method.dynamics)
        flat = method.flattened(unraveler(x0))
        if method.objective is None:
            check_rates(flat, flat.init(start, first_velocity))
        else:
            check_at_start(method.at_start(method.objective), x0)
        counts = _counts(steps)
        horizon = horizon_of(method, x0, horizon)
        speed = _speed(flat.dynamics, start, first_velocity, horizon)
        given = None if reference is None else given_position(reference, x0)
        exact = reference_end(flat.dynamics, start, first_velocity, horizon, speed) if given is None else given
        ends = [end_of_run(flat, start, first_velocity, jnp.asarray(horizon / n), jnp.asarray(n)) for n in counts]
        errors = np.array([np.linalg.norm(np.asarray(end) - exact) for end in ends])
    scale = max(float(np.max(np.abs(exact))), float(np.max(np.abs(start)))) or 1.0
    order = fitted_order(np.array(counts), errors / scale)
    return OrderResult(order, np.array(counts), errors, horizon, "DOP853" if reference is None else "given")


def _problem(method: Method, x0: PyTree) -> tuple[Method, PyTree]:
    if method.lacks_objective:
        from ..problems import lopsided

        problem = lopsided()
        method = method.with_objective(problem.objective)
        x0 = problem.start if x0 is None else x0
    if x0 is None:
        raise InputError("x0 must be given where the method has an objective or a field: convergence_order(method, x0)")
    if method.normals:
        raise InputError("the method draws noise; tw.analysis.noise_order measures its weak and its strong order")
    if method.objective is not None and method.objective.stochastic:
        raise InputError("an order is measured with the full gradient; give the FiniteSum no batch_size")
    return in_float64(method), in_float64(as_position(x0))


def _check_coordinates(dynamics: AbstractDynamics) -> None:
    geometry = dynamics.geometry
    if dynamics.order == 2 and isinstance(geometry, AbstractManifold) and not isinstance(geometry, AbstractEmbedded):
        raise InputError(
            f"the acceleration of {type(dynamics).__name__} is known along {type(geometry).__name__} and not in its "
            "coordinates, so that DOP853 cannot follow it; give the exact position, reference="
        )


def velocity_of(method: Method, x0: PyTree, velocity: PyTree) -> Float[Array, " d"] | None:
    if velocity is not None:
        velocity = in_float64(as_position(velocity))
        method._check_velocity(x0, velocity)
        return ravel(velocity)
    if not isinstance(method.dynamics, AbstractSecondOrder):
        return None
    return ravel(method.dynamics.initial_velocity(x0))


def _counts(steps: Sequence[int] | None) -> tuple[int, ...]:
    counts = _STEPS if steps is None else tuple(check_count("steps", n) for n in steps)
    if len(set(counts)) < 2:
        raise InputError(f"steps must hold at least two different numbers of steps, but is {list(counts)}")
    return tuple(sorted(set(counts)))


def horizon_of(method: Method, x0: PyTree, horizon: float | int | None) -> float:
    if horizon is not None:
        check_number("horizon", horizon, above=0.0)
        return float(horizon)
    if method.objective is None:
        return _field_horizon(method, x0)
    curvature = largest_curvature(method.objective, x0, 50, 1e-2)
    if not curvature > 0:
        raise InputError("horizon must be given: the curvature at the start is not positive, so no time scale follows")
    dynamics = method.dynamics
    if isinstance(dynamics, AbstractFirstOrder):
        rate = at_time(dynamics.rate, dynamics.start_time) if isinstance(dynamics, GradientFlow) else 1.0
        return float(2.0 / (curvature * jnp.asarray(rate)))
    return float(2.0 * np.sqrt(float(getattr(dynamics, "mass", 1.0)) / curvature))


def _field_horizon(method: Method, x0: PyTree) -> float:
    """2 over the norm of the Jacobian at the start, of a law without an objective."""
    if method.dynamics.order != 1 or size(x0) > _DENSE:
        raise InputError("horizon must be given: no time scale follows from a law without an objective")
    dynamics, start = method.flattened(unraveler(x0)).dynamics, ravel(x0)
    jacobian = jax.jacfwd(lambda x: field_of(dynamics, dynamics.start_time, x, Phase))(start)
    norm = float(np.linalg.norm(np.asarray(jacobian), 2))
    if not 0.0 < norm < np.inf:
        raise InputError("horizon must be given: the field does not change about the start, so no time scale follows")
    return 2.0 / norm


def given_position(reference: PyTree, x0: PyTree) -> np.ndarray:
    reference = in_float64(as_position(reference))
    if jax.tree.map(jnp.shape, reference) != jax.tree.map(jnp.shape, x0):
        raise InputError("reference must be a position of the shape of x0")
    return np.asarray(ravel(reference))


def follow(method: Method, start: Array, velocity: Array | None, step: Array, steps: Array) -> State:
    """The state after so many steps of such a length, to be compiled."""
    method = method.with_step_size(step)
    state = method.init(start, velocity)
    return jax.lax.fori_loop(0, steps, lambda _, state: method.step(state), state)


@eqx.filter_jit
def end_of_run(method: Method, start: Array, velocity: Array | None, step: Array, steps: Array) -> Float[Array, " d"]:
    return follow(method, start, velocity, step, steps).position


@eqx.filter_jit
def field_of(dynamics: AbstractDynamics, time: Array, y: Array, cut: Callable | None = None) -> Array:
    """The right-hand side on a raveled phase, which `cut` cuts; of equal parts, the position first, if it is None."""
    phase = grounded(dynamics.geometry, Phase(*jnp.split(y, dynamics.order)) if cut is None else cut(y))
    return ravel(dynamics.rates(time, phase, dynamics.evaluate(time, phase)))


def _speed(dynamics: AbstractDynamics, start: Array, velocity: Array | None, horizon: float) -> float:
    """The largest rate at the start, refused where it is none at all times up to the horizon: nothing moves there."""
    phase = Phase(start, velocity, dynamics.initial_auxiliary(start))
    y, cut = ravel(phase), unraveler(phase)
    times = float(dynamics.start_time) + horizon * np.linspace(0.0, 1.0, 5)
    speeds = [float(jnp.max(jnp.abs(field_of(dynamics, jnp.asarray(t), y, cut)))) for t in times]
    if max(speeds) == 0.0:
        raise InputError(
            "nothing moves from x0, a stationary point of the law, so that every step is exact and no order is seen; "
            "start elsewhere"
        )
    return max(speeds)


def reference_end(
    dynamics: AbstractDynamics, start: Array, velocity: Array | None, horizon: float, speed: float = 1.0
) -> np.ndarray:
    from scipy.integrate import solve_ivp

    # Nesterov's ODE is singular at t = 0, but its field has a limit there, which is the law's own
    # acceleration; the solution is smooth, and DOP853 finds its first steps small enough by itself.
    phase = Phase(start, velocity, dynamics.initial_auxiliary(start))
    y0, cut = np.asarray(ravel(phase)), unraveler(phase)
    begin = float(dynamics.start_time)
    taken = itertools.count()

    def field(t: float, y: np.ndarray) -> np.ndarray:
        if next(taken) >= _MOST:
            raise InputError(
                f"DOP853 cannot follow the law up to the horizon {horizon:g}: after {_MOST} evaluations it is at time "
                f"{t:.6g}, where the law has a kink or is stiff; take a shorter horizon"
            )
        return np.asarray(field_of(dynamics, jnp.asarray(t), jnp.asarray(y), cut))

    least = _TOLERANCE * (float(np.max(np.abs(y0))) or speed * horizon)
    solved = solve_ivp(
        field, (begin, begin + horizon), y0, method="DOP853", t_eval=[begin + horizon],
        rtol=_TOLERANCE, atol=least, max_step=horizon / _REFERENCE_STEPS,
    )  # fmt: skip
    if not solved.success or not np.all(np.isfinite(solved.y)):
        raise InputError(f"DOP853 cannot follow the law up to the horizon {horizon:g}; take a shorter one")
    return solved.y[: start.size, -1]


def fitted_order(steps: np.ndarray, errors: np.ndarray) -> float:
    reliable = np.flatnonzero((errors > _RELIABLE) & (errors < 1.0))[-_FITTED:]
    if len(reliable) < 2:
        raise InputError(
            "fewer than two runs have an error above rounding and below the scale of x; "
            "take other steps or another horizon "
            f"(relative errors: {', '.join(f'{error:.1e}' for error in errors)})"
        )
    h, e = steps[reliable[-1]] / steps[reliable], errors[reliable]
    terms = np.stack([np.ones_like(h), np.log(h), h, h**2][: 2 + (len(reliable) - 1) // 2], axis=1)
    weights = 1.0 / (_NOISE / e + 1e-3)
    return float(np.linalg.lstsq(weights[:, None] * terms, weights * np.log(e), rcond=None)[0][1])
