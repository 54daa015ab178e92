"""The scale of the noise of a gradient, from its norms at two batch sizes."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np

from .._errors import InputError, check_number
from .._typed import typed

# As many parts of the rows are left out in turn, at most.
_BLOCKS = 20


@dataclasses.dataclass(frozen=True)
class NoiseScale:
    r"""Batch size at which noise and gradient are as large, estimated.

    Attributes:
        value: $\operatorname{tr} C/\|\nabla f\|^2$, in samples; infinite where no gradient stands out of the noise.
        error: its standard error; NaN where there are too few pairs to tell, or the value is infinite.
        trace: $\operatorname{tr} C$ of one sample's gradient.
        gradient_square: $\|\nabla f\|^2$.
        pairs: of norms that it was estimated from.
    """

    value: float
    error: float
    trace: float
    gradient_square: float
    pairs: int


@typed()
def noise_scale(small: Any, large: Any, small_batch: float | int, large_batch: float | int) -> NoiseScale:
    r"""The scale of the gradient's noise in any loop, from the norms of gradients of two batch sizes.

    $$\mathbb{E}\|g_B\|^2 = \|\nabla f\|^2 + \frac{\operatorname{tr} C}{B}:\qquad
      \operatorname{tr} C = \frac{\overline{\|g_b\|^2} - \overline{\|g_B\|^2}}{1/b - 1/B},\qquad
      \|\nabla f\|^2 = \frac{B\,\overline{\|g_B\|^2} - b\,\overline{\|g_b\|^2}}{B - b}$$

    Both are without bias, also where the small batch is a part of the large one, such as the first of the batches that
    a step accumulates. The error of their quotient is that of the jackknife over runs of rows, so that rows which
    follow each other may depend on each other.

    Arguments:
        small: norms $\|g_b\|$ of the gradients of small batches, (n,), a number or many.
        large: norms $\|g_B\|$ at the same parameters, (n,).
        small_batch: b, in samples.
        large_batch: B > b.

    Returns:
        a `NoiseScale`.

    Raises:
        InputError: there are no norms, not as many of both, one that is negative or not finite, or B is not above b.

    >>> import thalweg as tw
    >>> found = tw.analysis.noise_scale([3.0, 3.0], [2.0, 2.0], small_batch=8, large_batch=32)
    >>> round(found.trace, 9), round(found.gradient_square, 9), round(found.value, 6), found.error
    (53.333333333, 2.333333333, 22.857143, 0.0)

    Reference: McCandlish et al. (2018), appendix A.1.
    """
    check_number("small_batch", small_batch, above=0.0)
    check_number("large_batch", large_batch, above=0.0)
    if not large_batch > small_batch:
        raise InputError(f"large_batch must be greater than small_batch, {small_batch:g}, but is {large_batch:g}")
    squares = [_squares(name, norms) for name, norms in (("small", small), ("large", large))]
    if squares[0].shape != squares[1].shape:
        raise InputError(f"small and large must hold as many norms, but hold {squares[0].size} and {squares[1].size}")
    return estimate(squares[0], squares[1], float(small_batch), float(large_batch))


def _squares(name: str, norms: Any) -> np.ndarray:
    try:
        found = np.atleast_1d(np.asarray(norms, float))
    except (TypeError, ValueError):
        raise InputError(f"{name} must hold norms, numbers of at least 0, but is {norms!r:.60}") from None
    if found.ndim != 1 or not found.size or not (np.isfinite(found).all() and (found >= 0).all()):
        raise InputError(f"{name} must hold norms, finite numbers of at least 0, in one dimension")
    return found**2


def estimate(small: np.ndarray, large: np.ndarray, b: float, batch: float) -> NoiseScale:
    """The same from squares of norms that have been checked."""
    n = len(small)
    trace, square = _solved(small.mean(), large.mean(), b, batch)
    blocks = min(_BLOCKS, n)
    error = math.nan
    if blocks > 1 and square > 0.0:
        edges = np.linspace(0, n, blocks + 1).astype(int)
        total, sums = np.array([small.sum(), large.sum()]), []
        for start, end in itertools.pairwise(edges):
            left = np.array([small[start:end].sum(), large[start:end].sum()])
            sums.append((total - left) / (n - (end - start)))
        found = [_quotient(*_solved(one, other, b, batch)) for one, other in sums]
        spread = np.sum((np.array(found) - np.mean(found)) ** 2) if np.isfinite(found).all() else math.nan
        error = float(np.sqrt((blocks - 1) / blocks * spread))
    return NoiseScale(_quotient(trace, square), error, float(trace), float(square), n)


def _solved(small: float, large: float, b: float, batch: float) -> tuple[float, float]:
    trace = (small - large) / (1.0 / b - 1.0 / batch)
    return trace, (batch * large - b * small) / (batch - b)


def _quotient(trace: float, square: float) -> float:
    # Less noise than none is an estimate of none.
    return max(float(trace / square), 0.0) if square > 0.0 else math.inf
