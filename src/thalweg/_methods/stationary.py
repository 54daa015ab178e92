"""The stationary law of a method on a quadratic, exact at any step size."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from .._errors import InputError, as_reals, check_choice, is_real
from .._objectives.objective import AbstractObjective, Batch
from .._programs import compiled_quickly, written_out
from .._tree import Vector, copied, on_device
from .._typed import typed
from ..dynamics import AdamFlow
from ..dynamics._probed import check_law_probed, check_probed
from ..schemes import Draws, State
from .linearity import in_float64
from .method import Method

_OF = ("position", "velocity", "phase", "lookahead")
# Of larger numbers no squares and products can be held.
_LARGEST = 1e150
# A method whose slowest mode is nearer to 1 than this has no stationary law that float64 can tell.
_MARGIN = 1e-12


class _Noisy(AbstractObjective):
    r"""$\tfrac12 x^\top H x + \xi^\top x$, with the gradient noise $\xi$ in place of a mini-batch."""

    hessian: Array

    def value(self, x: Vector, batch: Batch = None) -> Array:
        value = 0.5 * jnp.vdot(x, self.hessian @ x)
        return value if batch is None else value + jnp.vdot(batch, x)


@typed()
def stationary_covariance(
    method: Method, hessian: Any, noise_covariance: Any = None, of: str = "position", second_moment: Any = None
) -> np.ndarray | float:
    r"""The covariance to which a method settles on a quadratic: exact, at its own step size.

    One step on $f = \tfrac12\theta^\top H\theta$ is linear in the state z, in the normals R that it draws and in
    the noise $\xi$ of its gradients, $z^+ = Az + NR + G\xi$, so that

    $$\Sigma = A\Sigma A^\top + NN^\top + GCG^\top$$

    The matrices are derivatives of the method's own step; H and C need not commute. One $\xi$ serves all gradients
    of a step, as one mini-batch does.

    Arguments:
        method: any method with constant hyperparameters; its objective is not used. One that accepts or rejects its
            steps is not linear, so that it has no such matrices; it keeps $e^{-f/T}$ exactly, and what it settles to
            is $TH^{-1}$.
        hessian: H, a curvature or a symmetric array (d, d).
        noise_covariance: C, of the gradient noise of one step (of a batch of B: that of a sample over B), a number
            (times the identity) or an array (d, d); None for exact gradients.
        of: "position", "velocity" (of a second-order law), "phase" for both, (2d, 2d), or "lookahead", where the
            gradient is taken.
        second_moment: v, at which a method of Adam's kind is held, which is linear then: a number or an array (d,);
            $\operatorname{diag} C$ where noise outweighs the gradient and the memory of squares is long.

    Returns:
        $\Sigma$, (d, d), or a number where the Hessian is one.

    Raises:
        InputError: the method is linear on no function, there is no noise, or no stationary law: the step is beyond its
            stability limit, or a direction has no curvature.

    >>> import thalweg as tw
    >>> sgd = tw.gradient_descent(None, learning_rate=0.1)
    >>> round(float(tw.analysis.stationary_covariance(sgd, 2.0, noise_covariance=1.0)), 6)  # a C/(l (2 - a l))
    0.027778

    Reference: Mandt, Hoffman and Blei (2017), section 3, for the limit of small steps.
    """
    if isinstance(method, Method) and method.scheme.exact_law:
        if second_moment is not None:
            raise InputError("second_moment is for methods that keep squares of the gradient, such as tw.adam")
        return _exact(method, hessian, noise_covariance, of)
    linear = linear_step(method, hessian, noise_covariance, of, second_moment)
    if not linear.noisy:
        raise InputError("without noise a method settles to a point; give a noise_covariance")
    radius = np.abs(np.linalg.eigvals(linear.matrix)).max()
    if not radius < 1.0 - _MARGIN:
        raise InputError(
            f"there is no stationary law: the method multiplies a deviation by {radius:.6g} a step; "
            "take a smaller step, and a Hessian that is positive definite"
        )
    return linear.covariance(scipy.linalg.solve_discrete_lyapunov(linear.matrix, linear.driven))


class LinearStep(NamedTuple):
    r"""One step on a quadratic, $z^+ = Az + \text{noise}$ of covariance Q.

    Attributes:
        matrix: A, (n, n).
        driven: Q, (n, n).
        seen: what is asked for as a function of the state, (d, n).
        start: the state at the start as a function of the position, (n, d).
        normals: N, how the normals of a step act on the state, (n, k d).
        noisy: whether there is any noise.
        scalar: whether the Hessian is a number.
    """

    matrix: np.ndarray
    driven: np.ndarray
    seen: np.ndarray
    start: np.ndarray
    normals: np.ndarray
    noisy: bool
    scalar: bool

    def covariance(self, of_state: np.ndarray) -> np.ndarray | float:
        """The observed part of a covariance of the state."""
        covariance = self.seen @ of_state @ self.seen.T
        covariance = 0.5 * (covariance + covariance.T)
        return float(covariance[0, 0]) if self.scalar and covariance.size == 1 else covariance


def linear_step(method: Method, hessian: Any, noise_covariance: Any, of: str, second_moment: Any = None) -> LinearStep:
    """The matrices of a step, all that is asked checked; arguments as in `stationary_covariance`."""
    check_choice("of", of, _OF)
    if not isinstance(method, Method):
        raise InputError(f"method must be a tw.Method, but is {method!r}")
    if not method.autonomous:
        raise InputError("an exact law needs constant hyperparameters: no schedule, no law that changes in time")
    check_probed(method.dynamics)
    check_law_probed(method.dynamics)
    if of == "velocity" and method.dynamics.order == 1:
        raise InputError("a first-order law has no velocity")
    hessian = symmetric("hessian", hessian, None)
    d = max(hessian.shape[0], 1) if hessian.ndim else 1
    noise = np.zeros((d, d)) if noise_covariance is None else symmetric("noise_covariance", noise_covariance, d)
    square = hessian if hessian.ndim else hessian[None, None]
    held, square, roots = _held(method, square, second_moment)
    _check_linear(held)
    matrix, normal, gradient, seen, start = (np.asarray(part) for part in _linear(held, square, of))
    seen, gradient, start = np.resize(roots, len(seen))[:, None] * seen, gradient * roots, start / roots
    driven = normal @ normal.T + gradient @ noise @ gradient.T
    noisy = method.normals > 0 or bool(noise.any())
    return LinearStep(matrix, driven, seen, start, normal, noisy, not hessian.ndim)


def _exact(method: Method, hessian: Any, noise_covariance: Any, of: str) -> np.ndarray | float:
    check_choice("of", of, _OF)
    hessian = symmetric("hessian", hessian, None)
    square = hessian if hessian.ndim else hessian[None, None]
    if noise_covariance is not None and symmetric("noise_covariance", noise_covariance, len(square)).any():
        raise InputError(f"{type(method.scheme).__name__} needs the exact energy; it takes no noise_covariance")
    if of == "velocity":
        raise InputError("a first-order law has no velocity")
    if not np.linalg.eigvalsh(square)[0] > 0.0:
        raise InputError("there is no stationary law: the Hessian is not positive definite")
    covariance = float(method.dynamics.temperature) * np.linalg.inv(square)  # pyright: ignore
    return covariance if hessian.ndim else float(covariance[0, 0])


def _held(method: Method, hessian: np.ndarray, second_moment: Any) -> tuple[Method, np.ndarray, np.ndarray]:
    r"""An adaptive method with its squares held: linear in $\theta/\sqrt P$, with the Hessian there and $\sqrt P$."""
    law, d = method.dynamics, len(hessian)
    if not isinstance(law, AdamFlow) or not law.preconditioned:
        if second_moment is not None:
            raise InputError(
                f"second_moment is for methods that keep squares of the gradient, such as tw.adam; "
                f"{type(law).__name__} keeps none"
            )
        return method, hessian, np.ones(d)
    if second_moment is None:
        raise InputError(
            f"{type(law).__name__} is linear on no function, so that no Lyapunov equation holds; run many chains, or "
            "hold its squares, second_moment=v, such as the diagonal of the noise covariance"
        )
    squares = as_reals("second_moment", second_moment)
    if squares.shape not in ((), (d,)) or not (np.isfinite(squares).all() and squares.min() >= 0.0):
        raise InputError(f"second_moment must be at least 0, a number or of shape ({d},), but is {second_moment!r}")
    with np.errstate(divide="ignore"):
        roots = np.sqrt(np.broadcast_to(law.preconditioner(squares), (d,)))
    if not np.isfinite(roots).all():
        raise InputError("second_moment must be above 0 where epsilon is 0")
    if law.coupled and law.decay is not None:
        hessian = hessian + float(np.asarray(law.decay)) * np.eye(d)
        law = copied(law, decay=None, coupled=False)
    held = copied(method, dynamics=law.linearised(), scheme=method.scheme.linearised())
    return held, roots[:, None] * hessian * roots, roots


def _check_linear(method: Method) -> None:
    for part in (method.dynamics, method.scheme):
        if part.linearised() is not part or getattr(part, "exact_law", False):
            raise InputError(
                f"{type(part).__name__} is linear on no function, so that no Lyapunov equation holds; run many chains"
            )


def symmetric(name: str, value: Any, d: int | None) -> np.ndarray:
    if not is_real(value) or np.size(value) == 0:
        raise InputError(f"{name} must be a number or a matrix, but is {value!r}")
    array = np.asarray(value, dtype=float)
    if array.ndim == 0 and d is not None:
        array = float(array) * np.eye(d)
    if array.ndim not in (0, 2) or (array.ndim == 2 and array.shape != (d or array.shape[0],) * 2):
        expected = "" if d is None else f" of shape ({d}, {d})"
        raise InputError(f"{name} must be a number or a square matrix{expected}, but has shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{name} must be finite")
    if np.abs(array).max(initial=0.0) > _LARGEST:
        raise InputError(f"{name} must have entries of at most {_LARGEST:g} in size; take another unit")
    most, rounding = np.abs(array).max(initial=0.0), _rounding(np.asarray(value).dtype)
    if array.ndim == 2:
        gap = np.abs(array - array.T).max(initial=0.0)
        if gap > rounding * most:
            raise InputError(
                f"{name} must be symmetric, but {gap / most:.2g} of its largest entry is not; of one that is to "
                "rounding take 0.5 * (H + H.T)"
            )
        array = 0.5 * (array + array.T)
    if d is not None and np.linalg.eigvalsh(array)[0] < -rounding * most:
        raise InputError(f"{name} must be positive semidefinite, as a covariance is")
    return array


def _rounding(dtype: Any) -> float:
    """Gap that sums in a precision leave between a matrix and its transpose, as a part of the largest entry."""
    eps = float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0
    return min(max(1e-12, 64.0 * eps), 0.05)


def _linear(method: Method, hessian: np.ndarray, of: str) -> Any:
    """(A, N, G, S, J): how a step acts on state, normals and gradient noise; what is seen of the state; its start."""
    with jax.enable_x64(True):
        return jax.device_get(_derivatives(in_float64(method), on_device(hessian), of))


@compiled_quickly
def _derivatives(method: Method, hessian: Array, of: str) -> Any:
    method = method.with_objective(_Noisy(hessian))
    d = hessian.shape[0]
    rest = method.init(jnp.zeros(d))
    names = ("position", "buffer", "memory", "auxiliary")

    # A tuple keeps its order, by which the first numbers are the position and the velocity.
    def parts(state: State) -> tuple[Any, ...]:
        return tuple(getattr(state, name) for name in names)

    z, cut = ravel_pytree(parts(rest))

    def state_of(z: Array) -> State:
        return dataclasses.replace(rest, **dict(zip(names, cut(z), strict=True)))

    def vector_of(state: State) -> Array:
        return ravel_pytree(parts(state))[0]

    def step(z: Array, normals: Array, xi: Array) -> Array:
        draws = Draws(xi, tuple(normals.reshape(-1, d)) if method.normals else ())
        return vector_of(method.step(state_of(z), draws))

    normals, xi = jnp.zeros(method.normals * d), jnp.zeros(d)
    matrices = jax.jacfwd(written_out(step, z, normals, xi), argnums=(0, 1, 2))(z, normals, xi)

    def seen_of(state: State) -> Array:
        if of != "phase" or state.velocity is None:
            return getattr(state, "position" if of == "phase" else of)
        return jnp.concatenate([state.position, state.velocity])

    seen = jax.jacfwd(lambda z: seen_of(state_of(z)))(z)
    return (*matrices, seen, jax.jacfwd(lambda x: vector_of(method.init(x)))(jnp.zeros(d)))
