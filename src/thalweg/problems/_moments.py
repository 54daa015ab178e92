"""Means and variances of a target, and how they are known."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float, PyTree

Tree = PyTree[Float[np.ndarray, "..."] | np.floating]


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    r"""Means and variances under the law $\propto e^{-L/T}$, in float64 whatever JAX is set to.

    Arguments:
        mean: a tree of the shape of the problem's start.
        variance: the marginal variances, a tree of the same shape.
        covariance: array (d, d), the leaves raveled in the order of the tree; None where it is not known.
        source: "exact" (a closed form), "quadrature" or "reference run".
        how: one sentence: how they were computed, and to what accuracy.
        mean_error, variance_error: standard errors of a reference run, trees of the same shape; else None.
        temperature: $T > 0$, in units of L.

    >>> import thalweg as tw
    >>> moments = tw.problems.gaussian([1.0, 4.0], rotated=False, mean=[3.0, 0.0]).moments
    >>> moments.mean.tolist(), moments.variance.tolist(), moments.source
    ([3.0, 0.0], [1.0, 0.25], 'exact')
    """

    mean: Tree
    variance: Tree
    covariance: Float[np.ndarray, "d d"] | None
    source: Literal["exact", "quadrature", "reference run"]
    how: str
    mean_error: Tree | None = None
    variance_error: Tree | None = None
    temperature: float = 1.0


def exact(mean: Float[np.ndarray, " d"], covariance: Float[np.ndarray, "d d"], how: str) -> Moments:
    """Moments in closed form of a target of one vector."""
    return Moments(np.asarray(mean, float), np.diag(covariance).copy(), covariance, "exact", how)
