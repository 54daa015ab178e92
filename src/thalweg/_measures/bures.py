"""Bures's distance between covariances, and the map that carries one Gaussian to another."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .gaussian import Gaussian


def root(matrix: Array) -> Float[Array, "d d"]:
    """The symmetric root of a positive semi-definite matrix."""
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None]) @ vectors.T


def carried_by(q: Gaussian, p: Gaussian) -> Float[Array, "d d"]:
    r"""The symmetric matrix A of the optimal map $m' + A(x - m)$, with $A S A = S'$.

    Of a Cholesky factor $S = LL^\top$ it is $L^{-\top}(L^\top S'L)^{1/2}L^{-1}$.
    """
    lower = jnp.linalg.cholesky(q.covariance)
    middle = root(lower.T @ p.covariance @ lower)
    left = jnp.linalg.solve(lower.T, middle)
    found = jnp.linalg.solve(lower.T, left.T)
    return 0.5 * (found + found.T)


def squared_bures(q: Gaussian, p: Gaussian) -> Float[Array, ""]:
    r"""$W_2^2 = |m - m'|^2 + \operatorname{tr}(S + S' - 2(S^{1/2}S'S^{1/2})^{1/2})$.

    As $|(A - 1)L|^2$ of the optimal map, whose terms are squares: the three traces would cancel where q is near p.
    """
    apart = q.mean - p.mean
    lower = jnp.linalg.cholesky(q.covariance)
    moved = carried_by(q, p) @ lower - lower
    return apart @ apart + jnp.sum(moved**2)
