"""Gaussians as tangents and dual points."""

import jax.numpy as jnp
from jaxtyping import Array

from .._measures.gaussian import Gaussian


def gaussian(mean: Array, covariance: Array) -> Gaussian:
    """A pair of a vector and a matrix in the shape of a Gaussian, not checked."""
    found = object.__new__(Gaussian)
    object.__setattr__(found, "mean", mean)
    object.__setattr__(found, "covariance", covariance)
    return found


def symmetric(matrix: Array) -> Array:
    """The symmetric part of a matrix."""
    return 0.5 * (matrix + jnp.swapaxes(matrix, -1, -2))
