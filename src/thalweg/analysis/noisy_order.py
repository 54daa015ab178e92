"""The weak and the strong order of a method with noise, from exact linear laws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from .._errors import InputError, check_number
from .._methods.linearity import in_float64
from .._methods.method import Method
from .._methods.stationary import linear_step
from .._objectives.objective import Objective
from .._typed import typed
from ..dynamics import AbstractDynamics, AbstractWhite
from ..dynamics._curved import noise_at
from ..dynamics._probed import check_probed
from .order import field_of, fitted_order

_STEPS = tuple(round(8 * 2 ** (k / 2)) for k in range(12))
# What cancels in the mean square of a difference, over the scale of the motion squared.
_SEEN = 1e-12


@dataclasses.dataclass(frozen=True)
class NoiseOrder:
    """Observed orders of convergence of a method with noise.

    Attributes:
        weak: order of the mean and the variance of the position; infinite where they are exact at every step.
        strong: order of the root of the mean square distance from the path of the same noise.
        steps: array (k,), how many steps each run took to the horizon.
        weak_errors: array (k,), the distance of the mean over the scale of x plus that of the variance over its square.
        strong_errors: array (k,), root mean squares over the scale of x.
        horizon: the time run over, in units of the law's time.
    """

    weak: float
    strong: float
    steps: np.ndarray
    weak_errors: np.ndarray
    strong_errors: np.ndarray
    horizon: float


@typed()
def noise_order(
    method: Method, curvature: float | int = 1.0, horizon: float | int = 1.0, start: float | int = 1.0
) -> NoiseOrder:
    r"""The orders at which a method converges to its law with white noise at a finite time, on a spring, exactly.

    On $f = \tfrac12\ell x^2$ law and method are linear, so that both have a normal law after T = nh, whose mean and
    covariance are known without a draw, from matrices of the step itself:

    $$|E\,\theta_n - E\,\theta(T)| + |\mathrm{Var}\,\theta_n - \mathrm{Var}\,\theta(T)| = O(h^\text{weak}),\qquad
      \bigl(E|\theta_n - \theta(T)|^2\bigr)^{1/2} = O(h^\text{strong})$$

    For the second, method and law are driven by one Brownian motion: the normals of a step, in the order in which they
    are drawn, are its increments over equal parts of the step. The order of the *stationary* law is another thing, and
    may be higher: that of `tw.LeimkuhlerMatthews` is exact here, where its weak order is 1. On other functions an order
    may be lower than on a spring, never higher.

    Arguments:
        method: with white noise and constant hyperparameters; its objective and its step size are not used.
        curvature: $\ell$, greater than 0.
        horizon: T, in units of the law's time.
        start: the position at the start; the velocity is the law's own, zero.

    Returns:
        a `NoiseOrder`: `.weak`, `.strong`, `.weak_errors`, `.strong_errors`.

    Raises:
        InputError: the method draws no noise, its steps are not linear, or the noise of its law is not white alone.

    >>> import thalweg as tw
    >>> found = tw.analysis.noise_order(tw.sgld(None, 0.1, temperature=1.0))
    >>> round(found.weak, 1), round(found.strong, 1)
    (1.0, 1.0)

    Reference: Kloeden and Platen (1992), sections 9.6 and 9.7.
    """
    check_number("curvature", curvature, above=0.0)
    check_number("horizon", horizon, above=0.0)
    check_number("start", start)
    law = method.dynamics
    if not isinstance(law, AbstractWhite) or law.has_auxiliary:
        raise InputError(
            f"weak and strong order are known exactly for white noise, which is not that of {type(law).__name__}; "
            "compare means of many runs at several steps"
        )
    check_probed(law)
    drift, push = _law(law, float(curvature))
    weak, strong = [], []
    mean, spread, _ = _exact(drift, push, float(horizon), 1)
    at_start = np.zeros(len(drift))
    at_start[0] = float(start)
    ahead = mean @ at_start
    scale = max(abs(float(start)), float(np.sqrt(spread[0, 0])))
    for n in _STEPS:
        h = float(horizon) / n
        linear = linear_step(method.with_step_size(h), float(curvature), None, "position")
        one, step_spread, with_normals = _exact(drift, push, h, linear.normals.shape[1])
        together = np.asarray(scipy.linalg.block_diag(linear.matrix, one))
        cross = linear.normals @ with_normals.T
        noise = np.block([[linear.driven, cross], [cross.T, step_spread]])
        power, heap = _after(together, noise, n)
        seen = np.concatenate([linear.seen[0], np.zeros(len(drift))])
        exact = np.zeros(len(together))
        exact[len(linear.matrix)] = 1.0
        state = power @ np.concatenate([linear.start[:, 0] * float(start), at_start])
        off, variance = (seen - exact) @ state, seen @ heap @ seen
        weak.append(abs(seen @ state - ahead[0]) / scale + abs(variance - spread[0, 0]) / scale**2)
        strong.append(np.sqrt(max(off**2 + (seen - exact) @ heap @ (seen - exact), 0.0)) / scale)
    steps, weak_errors, strong_errors = np.array(_STEPS), np.array(weak), np.array(strong)
    reliable = strong_errors**2 > _SEEN
    return NoiseOrder(
        _order(steps, weak_errors), _order(steps[reliable], strong_errors[reliable]), steps, weak_errors, strong_errors,
        float(horizon),
    )  # fmt: skip


def _order(steps: np.ndarray, errors: np.ndarray) -> float:
    return fitted_order(steps, errors) if np.any(errors > _SEEN) else float("inf")


def _law(law: AbstractDynamics, curvature: float) -> tuple[np.ndarray, np.ndarray]:
    r"""F and g of $dz = Fz\,dt + g\,dW$ on a spring."""
    with jax.enable_x64(True):
        law = in_float64(law).with_objective(Objective(lambda x: 0.5 * curvature * jnp.sum(x * x)))
        zero = jnp.zeros(law.order)
        drift = np.asarray(jax.jacfwd(lambda z: field_of(law, law.start_time, z))(zero))
        assert isinstance(law, AbstractWhite)
        at_metric = noise_at(law.geometry, jnp.zeros(1), (jnp.ones(1),))[0]
        strength = float(law.diffusion(None) * at_metric[0])
    return drift, strength * np.eye(law.order)[-1]


def _exact(drift: np.ndarray, push: np.ndarray, time: float, parts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""$e^{Ft}$, the covariance of the noise until t, and that with its increments over equal parts, of length 1.

    Van Loan's exponential; $\int e^{Fs}\,ds$ by the same means.
    """
    d = len(drift)
    block = np.block([[-drift, np.outer(push, push)], [np.zeros((d, d)), drift.T]])
    whole = scipy.linalg.expm(block * time)
    mean = whole[d:, d:].T
    spread = mean @ whole[:d, d:]
    part = time / parts
    raised = np.zeros((d + 1, d + 1))
    raised[:d, :d], raised[:d, d] = drift, push
    last = scipy.linalg.expm(raised * part)
    # Of the part that ends now; one that ended earlier has been carried along since.
    columns = [last[:d, d] / np.sqrt(part)]
    for _ in range(parts - 1):
        columns.append(last[:d, :d] @ columns[-1])
    return mean, 0.5 * (spread + spread.T), np.stack(columns[::-1], axis=1)


def _after(matrix: np.ndarray, noise: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    r"""$(A^n, \sum_{k<n}A^kQA^{k\top})$."""
    power, heap = np.eye(len(matrix)), np.zeros_like(noise)
    for _ in range(steps):
        heap = matrix @ heap @ matrix.T + noise
        power = matrix @ power
    return power, heap
