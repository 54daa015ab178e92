"""The linear probe: what one step of a method does to a quadratic, from the step itself."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError, as_reals, check_number
from .._objectives.objective import Quadratic, as_position
from .._programs import compiled_quickly
from .._tree import Vector, on_device, ravel, scalar, unraveler, zeros_like
from .._typed import typed
from ..dynamics import Field, GradientFlow, Phase
from .knobs import knobs_of
from .linearity import check_linear, check_linear_law, in_float64, preconditioned, remembers
from .method import Method
from .step_matrix import COLUMN, COLUMN_AT_RATE, by_columns, jacobian, matrices

Curvature = ArrayLike | Sequence[float]
# (t, x) or (t, x, velocity).
Place = tuple[Any, ...]

# Eigenvalues of these small matrices carry rounding of 1e-15 to 1e-14; a radius within this of 1 is 1.
_ROUNDING = 1e-12
_WEAK = (1e-9, 1e-8)
# Steps looked at side by side, at first and between two of them.
_ABREAST, _BETWEEN = 2401, 241


@typed()
def amplification(
    method: Method, curvature: Curvature | None = None, time: ArrayLike | None = None, *, at: Place | None = None
) -> np.ndarray:
    r"""The matrix of one step on $f = \tfrac12 x^\top H x$, by `jacfwd` of the step.

    $$\begin{pmatrix}\theta^+\\ \eta^+\end{pmatrix} = A\begin{pmatrix}\theta\\ \eta\end{pmatrix}$$

    where $\eta$ is the velocity, absent for first-order laws, and after it what else the law has (a coloured noise) and
    what a scheme of several steps keeps of those before.
    Computed in float64. The friction that a thermostat adapts is held where it starts.

    At a point it is the Jacobian of the very step from there, of the method's own objective or field; its eigenvalues,
    which of a field may be complex, are `numpy.linalg.eigvals` of it.

    Arguments:
        method: any method; with a curvature its objective is not used.
        curvature: $\ell$, or an array (k,) of curvatures, or a symmetric Hessian (d, d).
        time: when to freeze a time-dependent law; its late-time limit if None.
        at: (t, x) or (t, x, velocity) instead of a curvature, x a pytree; at rest where no velocity is given.

    Returns:
        array (n, n), or (k, n, n) for k curvatures; n is the number of the law's variables, times d for a Hessian or
        a point of d parameters.

    Raises:
        InputError: the curvature is no number, list or square matrix, the method accepts or rejects its steps, or the
            law is not linear on a quadratic.

    >>> import thalweg as tw
    >>> tw.analysis.amplification(tw.gradient_descent(None, 0.5), 3.0).tolist()
    [[-0.5]]
    >>> import jax.numpy as jnp
    >>> circle = tw.Method(tw.Field(lambda t, x, args: jnp.stack([-x[1], x[0]])), tw.Euler(), 0.5)
    >>> tw.analysis.amplification(circle, at=(0.0, jnp.zeros(2))).tolist()
    [[1.0, -0.5], [0.5, 1.0]]
    """
    if at is not None:
        if curvature is not None or time is not None:
            raise InputError("give a curvature with a time, or at=(t, x), not both")
        check_linear(method)
        with jax.enable_x64(True):
            when, x, velocity = _place(method, at)
            wide = in_float64(method).linearised(at_point=True)
            return np.asarray(_matrix_at(wide, _first_step(wide), when, x, velocity))
    curvature = _known(method, curvature)
    if time is not None:
        check_number("time", time)
    check_linear(method)
    check_linear_law(method.linearised().dynamics)
    with jax.enable_x64(True):
        wide = in_float64(method).linearised()
        frozen = wide.dynamics.late_time if time is None else scalar(time)
        step = _first_step(wide)
        if curvature.ndim == 1:
            hessians = on_device(curvature[:, None, None])
            return np.asarray(matrices(wide, hessians, step[None], frozen, remembers(wide))[:, 0])
        # All that a quadratic has of a matrix is its symmetric part.
        hessian = on_device(np.atleast_2d(0.5 * (curvature + curvature.T)))
        return np.asarray(matrices(wide, hessian[None], step[None], frozen, remembers(wide))[0, 0])


def _known(method: Method, curvature: Any) -> np.ndarray:
    # A law that takes a function goes down any, however it evaluates it.
    if method.with_objective(Quadratic(jnp.zeros(()))).objective is None:
        raise InputError(
            f"{type(method.dynamics).__name__} has no objective to have a curvature; give a point instead, at=(t, x)"
        )
    if curvature is None:
        raise InputError("give a curvature, or a point, at=(t, x)")
    curvature = as_reals("curvature", curvature)
    if curvature.ndim > 2 or (curvature.ndim == 2 and curvature.shape[0] != curvature.shape[1]):
        raise InputError(f"curvature must be a number, a list or a square Hessian, but has shape {curvature.shape}")
    if not np.all(np.isfinite(curvature)):
        raise InputError("curvature must be finite")
    return curvature


@typed()
def spectral_radius(
    method: Method, curvature: Curvature | None = None, time: ArrayLike | None = None, *, at: Place | None = None
) -> np.ndarray | float:
    r"""$\rho(A)$, the factor by which the slowest mode shrinks a step; above 1 the method diverges.

    Arguments: as in `amplification`.

    Returns:
        a number, or (k,) of them for k curvatures.

    >>> import thalweg as tw
    >>> round(tw.analysis.spectral_radius(tw.momentum(None, 0.1, 0.81), 1.0), 12)  # sqrt(momentum)
    0.9
    """
    radii = _moduli(amplification(method, curvature, time, at=at))
    return float(radii) if radii.ndim == 0 else radii


@typed()
def contraction_per_gradient(method: Method, curvature: Curvature, time: ArrayLike | None = None) -> float:
    r"""$\max_\ell \rho(A_\ell)^{1/s}$ for s gradients a step: what one gradient buys on these curvatures.

    >>> import thalweg as tw
    >>> round(tw.analysis.contraction_per_gradient(tw.gradient_descent(None, 0.5), [1.0, 3.0]), 12)
    0.5
    """
    return float(np.max(spectral_radius(method, curvature, time)) ** (1.0 / method.gradients_per_step))


@typed()
def largest_stable_step(
    method: Method, curvature: Curvature | None = None, time: ArrayLike | None = None, *, at: Place | None = None
) -> float:
    r"""The largest step size h at which $\rho(A) \le 1$ for every smaller step, the law held fixed.

    Arguments:
        method: any method; its own step size is not used.
        curvature: $\ell$, or several; the step is stable for all of them.
        time: as in `amplification`.
        at: (t, x) or (t, x, velocity), as in `amplification`: as if the law were linear about that point.

    Returns:
        h, 0 where no step is stable, infinity where all are, as for a method that rejects what goes too far.

    >>> import thalweg as tw
    >>> round(tw.analysis.largest_stable_step(tw.gradient_descent(None, 1.0), 4.0), 12)
    0.5
    """
    method = method.linearised(at_point=at is not None)
    if method.scheme.exact_law or method.scheme.controlled:
        return float("inf")
    if at is not None:
        return _stable_at(method, at)
    curvature = _known(method, curvature)
    if time is not None:
        check_number("time", time)
    check_linear_law(method.dynamics)
    method, own = preconditioned(method, curvature)
    scale = 1.0 / np.max(np.abs(_spectrum(own)), initial=1e-300)
    if method.dynamics.order == 2:
        scale = np.sqrt(scale)

    return _boundary(_radii_at_steps(method, own, time, remembers(method)), scale)


@typed()
def largest_stable_learning_rate(method: Method, curvature: Curvature) -> float:
    r"""The largest learning rate at which the method is stable, its momentum held fixed.

    Arguments:
        method: one that has a learning rate (gradient flow, or the heavy ball by leapfrog or look-ahead).
        curvature: $\ell$, or several.

    Returns:
        $\alpha$; for momentum $(2+2\beta)/\ell$, for Nesterov $(2+2\beta)/((1+2\beta)\ell)$.

    Raises:
        InputError: the method has no learning rate.

    >>> import thalweg as tw
    >>> round(tw.analysis.largest_stable_learning_rate(tw.momentum(None, 0.1, 0.5), 4.0), 12)
    0.75
    """
    method, curvature = preconditioned(method.linearised(), curvature)
    spectrum = _spectrum(curvature)
    method.with_learning_rate(1.0)
    if method.scheme.exact_law:
        return float("inf")
    check_linear_law(method.dynamics)
    kept = remembers(method)
    with jax.enable_x64(True):
        column = COLUMN_AT_RATE.of(in_float64(method), kept)

    def radius(rates: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return _radii(by_columns(column, spectrum.astype(float), rates))

    return _boundary(radius, 1.0 / np.max(np.abs(spectrum), initial=1e-300))


def stable_limit(method: Method, curvature: Curvature) -> tuple[str, float]:
    """The knob a user turns (`learning_rate` where there is one, else `step_size`) and its limit."""
    if knobs_of(method).step == "learning_rate":
        return "learning_rate", largest_stable_learning_rate(method, curvature)
    return "step_size", largest_stable_step(method, curvature)


def _spectrum(curvature: Curvature) -> np.ndarray:
    array = as_reals("curvature", curvature)
    if array.ndim > 2 or (array.ndim == 2 and len(set(array.shape)) > 1) or not np.all(np.isfinite(array)):
        raise InputError(f"curvature must be finite, a number, a list or a square Hessian, but is {curvature!r}")
    return np.linalg.eigvalsh(array) if array.ndim == 2 else np.atleast_1d(array)


def _first_step(method: Method) -> Array:
    return on_device(method.step_size(0) if callable(method.step_size) else method.step_size, float)


def _place(method: Method, at: Any) -> tuple[Array, Vector, Vector | None]:
    if not isinstance(at, tuple) or len(at) not in (2, 3):
        raise InputError(f"at must be (t, x) or (t, x, velocity), but is {at!r}")
    time, x, *velocity = at
    check_number("t", time)
    x = in_float64(as_position(x))
    if not velocity:
        return scalar(time), x, zeros_like(x) if method.dynamics.order == 2 else None
    method._check_velocity(x, velocity[0])
    return scalar(time), x, in_float64(as_position(velocity[0]))


@compiled_quickly
def _matrix_at(method: Method, step: Array, time: Array, x: Vector, velocity: Vector | None) -> Float[Array, "n n"]:
    own = Method(method.dynamics, method.scheme, step).flattened(unraveler(x))
    return jacobian(own, step, time, ravel(x), None if velocity is None else ravel(velocity))


def _stable_at(method: Method, at: Place) -> float:
    """The limit on the law that is linear about a point."""
    with jax.enable_x64(True):
        time, x, _ = _place(method, at)
        wide, flat = in_float64(method), ravel(x)
        law = wide.flattened(unraveler(x)).dynamics
        if law.objective is not None and law.geometry is None:
            return largest_stable_step(method, np.asarray(jax.hessian(law.objective.value)(flat)), time)
        if law.order == 2 or law.has_auxiliary:
            raise InputError(f"a limit at a point is of a field, or of a law with an objective, not of {law!r}")

        def slope(x: Array) -> Array:
            phase = Phase(x)
            return law.rates(time, phase, law.evaluate(time, phase)).position

        jacobian = jax.jacfwd(slope)(flat)
        size = float(np.max(np.abs(np.linalg.eigvals(np.asarray(jacobian))), initial=0.0))
        if size == 0.0:
            return float("inf")
        linear = Method(Field(_linear, jacobian), wide.scheme, 1.0)
        # Asked on a quadratic: it is the scheme's to remember.
        kept = remembers(Method(GradientFlow(None), wide.scheme, 1.0))

    def radius(steps: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return _moduli(np.asarray(_matrices_at(linear, on_device(steps), time, jnp.zeros_like(flat), kept)))

    return _boundary(radius, 1.0 / size)


def _linear(time: Any, x: Array, jacobian: Array) -> Array:
    del time
    return jacobian @ x


@compiled_quickly
def _matrices_at(method: Method, steps: Array, time: Array, x: Array, kept: bool) -> Float[Array, "s n n"]:
    def at(step: Array) -> Array:
        return jacobian(Method(method.dynamics, method.scheme, step), step, time, x, None, kept)

    return jax.vmap(at)(steps)


def _radii_at_steps(
    method: Method, curvature: Curvature, time: ArrayLike | None, kept: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """The radius of a step at each of many step sizes, the largest over curvatures."""
    with jax.enable_x64(True):
        wide, hessians = in_float64(method), on_device(_spectrum(curvature)[:, None, None])
        column = COLUMN.of(wide, wide.dynamics.late_time if time is None else scalar(time), kept)

    def radius(steps: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return _radii(by_columns(column, hessians, steps))

    return radius


def _radii(matrices: np.ndarray) -> np.ndarray:
    """The largest radius over curvatures."""
    return _moduli(matrices).max(axis=0)


def _moduli(matrices: np.ndarray) -> np.ndarray:
    """Radii; infinite where a polynomial of many stages overflows far beyond its limit, or a force grows for ever."""
    finite = np.all(np.isfinite(matrices), axis=(-2, -1), keepdims=True)
    radii = np.abs(np.linalg.eigvals(np.where(finite, matrices, 0.0))).max(axis=-1)
    return np.where(finite[..., 0, 0], radii, np.inf)


def _boundary(radius: Callable[[np.ndarray], np.ndarray], scale: float) -> float:
    """The first step at which the radius leaves 1: a grid over twelve decades, then subdivision."""
    grid = scale * np.logspace(-6, 6, _ABREAST)
    radii = radius(grid)
    beyond = _first_beyond(radii, _WEAK[1])
    if beyond is None:
        return float("inf")
    if beyond == 0:
        return 0.0
    low, high = grid[beyond - 1], grid[beyond]
    loud = _subdivide(radius, low, high, _WEAK[1])
    # A true boundary is crossed at once; growth like a power of h (Euler on an oscillator) is not.
    beyond = _first_beyond(radii, _WEAK[0])
    assert beyond is not None
    quiet = _subdivide(radius, grid[max(beyond - 1, 0)], grid[beyond], _WEAK[0])
    if loud > quiet * (1.0 + 1e-3):
        return 0.0
    return _subdivide(radius, quiet * (1.0 - 1e-6), loud, _ROUNDING)


def _first_beyond(radii: np.ndarray, threshold: float) -> int | None:
    unstable = ~(radii <= 1.0 + threshold)
    return int(np.argmax(unstable)) if unstable.any() else None


def _subdivide(radius: Callable[[np.ndarray], np.ndarray], low: float, high: float, threshold: float) -> float:
    for _ in range(12):
        inside = np.linspace(low, high, _BETWEEN)
        beyond = _first_beyond(radius(inside), threshold)
        if beyond is None or beyond == 0:
            return float(high if beyond is None else low)
        low, high = inside[beyond - 1], inside[beyond]
        if high - low <= 1e-15 * high:
            break
    return float(low)
