"""Means over a Gaussian by cubature."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# Points along every axis of a product rule, by the number of axes.
_ALONG = {1: 48, 2: 24, 3: 12}


@functools.cache
def _rule(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) and weights (n,) for the standard normal.

    In one to three dimensions a product of Gauss and Hermite's rules; in more a rule that is exact for polynomials of
    degree 5.
    """
    if dimension in _ALONG:
        x, w = np.polynomial.hermite_e.hermegauss(_ALONG[dimension])
        w = w / w.sum()
        points = np.array(list(itertools.product(x, repeat=dimension)))
        weights = np.array([np.prod(each) for each in itertools.product(w, repeat=dimension)])
        return points, weights
    n = dimension
    axes = np.sqrt(n + 2.0) * np.vstack([np.eye(n), -np.eye(n)])
    pairs = []
    for i, j in itertools.combinations(range(n), 2):
        for a, b in itertools.product((1.0, -1.0), repeat=2):
            point = np.zeros(n)
            point[i], point[j] = a, b
            pairs.append(np.sqrt(0.5 * (n + 2.0)) * point)
    points = np.vstack([np.zeros((1, n)), axes, np.array(pairs)])
    weights = np.concatenate(
        [
            [2.0 / (n + 2.0)],
            np.full(len(axes), 0.5 * (4.0 - n) / (n + 2.0) ** 2),
            np.full(len(pairs), 1.0 / (n + 2.0) ** 2),
        ]
    )
    return points, weights


def gaussian_mean(fn: Callable[[Array], Any], mean: Array, covariance: Array) -> Array:
    """The mean of a function of a point (d,) over a Gaussian, a number or an array.

    Reference: Stroud (1971), of the rule of degree 5.
    """
    points, weights = _rule(mean.size)
    root = jnp.linalg.cholesky(covariance)
    values = jax.vmap(lambda z: jnp.asarray(fn(mean + root @ z)))(jnp.asarray(points, mean.dtype))
    return jnp.tensordot(jnp.asarray(weights, mean.dtype), values, 1)
