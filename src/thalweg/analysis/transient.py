"""The spread of a method after so many steps on a quadratic, exact at any step size."""

from typing import Any

import numpy as np

from .._errors import InputError, as_reals, is_real
from .._methods.method import Method
from .._methods.stationary import LinearStep, linear_step, symmetric
from .._typed import typed


@typed()
def transient_covariance(
    method: Method, hessian: Any, steps: Any, noise_covariance: Any = None, start: Any = None, of: str = "position"
) -> np.ndarray | float:
    r"""The covariance of a method's state after n steps on a quadratic: exact, at its own step size.

    With A and Q of one step as in `stationary_covariance`,

    $$\Sigma_n = A^n\Sigma_0A^{n\top} + \sum_{k<n} A^kQA^{k\top}$$

    by doubling, in a number of products that grows as $\log n$. It needs no stationary law: a method beyond its
    stability limit and a direction without curvature spread for ever, and have a covariance after n steps.

    Arguments:
        method: any method with constant hyperparameters; its objective is not used.
        hessian: H, a curvature or a symmetric array (d, d).
        steps: n, a whole number or an array of them.
        noise_covariance: C, of the gradient noise of one step, as in `stationary_covariance`.
        start: the covariance of the starting position, a number or an array (d, d); a point if None. The velocity
            at the start is the law's own, zero.
        of: "position", "velocity" (of a second-order law), "phase" for both, (2d, 2d), or "lookahead".

    Returns:
        $\Sigma_n$, (d, d), or a number where the Hessian is one; with a leading axis for each of `steps`' own.

    Raises:
        InputError: steps are no whole numbers, or the covariance is beyond the range of float64.

    >>> import thalweg as tw
    >>> sgd = tw.gradient_descent(None, learning_rate=0.1)
    >>> round(tw.analysis.transient_covariance(sgd, 0.0, 10**9, noise_covariance=1.0), 3)  # a walk: n a^2 C
    10000000.0
    """
    linear = linear_step(method, hessian, noise_covariance, of)
    counts = _counts(steps)
    d = linear.start.shape[1]
    spread = np.zeros((d, d)) if start is None else symmetric("start", start, d)
    if not linear.noisy and not spread.any():
        raise InputError("without noise a point stays a point; give a noise_covariance, or the covariance of the start")
    at_start = linear.start @ spread @ linear.start.T
    with np.errstate(over="ignore", invalid="ignore"):
        powers = _powers(linear, counts.ravel().tolist())
        found = [linear.covariance(power @ at_start @ power.T + heap) for power, heap in powers]
    return _shaped(found, counts)


@typed()
def transient_mean(method: Method, hessian: Any, steps: Any, start: Any, of: str = "position") -> np.ndarray | float:
    r"""The mean of a method after n steps on a quadratic, $A^nz_0$: gradient noise does not change it.

    Arguments:
        method, hessian, steps, of: as in `transient_covariance`.
        start: the starting position relative to the minimum, a number or an array (d,).

    Returns:
        array (d,), or a number where the Hessian is one; with a leading axis for each of `steps`' own.

    Raises:
        InputError: the start has not the shape of the Hessian, or as in `transient_covariance`.

    >>> import thalweg as tw
    >>> round(tw.analysis.transient_mean(tw.gradient_descent(None, 0.5), 1.0, 3, start=4.0), 12)
    0.5
    """
    linear = linear_step(method, hessian, None, of)
    counts = _counts(steps)
    d = linear.start.shape[1]
    begin = as_reals("start", start)
    if begin.shape != (() if linear.scalar else (d,)) or not np.isfinite(begin).all():
        expected = "a finite number" if linear.scalar else f"a finite array of shape ({d},)"
        raise InputError(f"start must be {expected}, but is {start!r}")
    at_start = linear.start @ np.atleast_1d(begin)
    with np.errstate(over="ignore", invalid="ignore"):
        found = [linear.seen @ (power @ at_start) for power, _ in _powers(linear, counts.ravel().tolist())]
    return _shaped([float(mean[0]) if linear.scalar and mean.size == 1 else mean for mean in found], counts)


def _shaped(found: list[Any], counts: np.ndarray) -> Any:
    if not np.isfinite(found).all():
        raise InputError(
            f"after {counts.max()} steps an unstable method is beyond the range of float64; take fewer steps"
        )
    return found[0] if counts.ndim == 0 else np.array(found).reshape(counts.shape + np.shape(found[0]))


def _counts(steps: Any) -> np.ndarray:
    counts = np.asarray(steps) if is_real(steps) else np.zeros(0)
    if counts.dtype.kind not in "iu" or not counts.size:
        raise InputError(f"steps must be a whole number or an array of them, but is {steps!r}")
    if counts.min() < 0:
        raise InputError(f"steps must be at least 0, but is {counts.min()}")
    return counts


def _powers(linear: LinearStep, counts: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    r"""$(A^n, \sum_{k<n} A^kQA^{k\top})$ for each count n."""
    power, heap = linear.matrix, linear.driven
    found = [(np.eye(len(power)), np.zeros_like(power)) for _ in counts]
    for bit in range(max(counts).bit_length()):
        if bit:
            power, heap = power @ power, heap + power @ heap @ power.T
        for i, n in enumerate(counts):
            if n >> bit & 1:
                before, below = found[i]
                found[i] = before @ power, heap + power @ below @ power.T
    return found
