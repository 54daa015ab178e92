"""Factorisations of small matrices by NumPy, each array with an axis of rows in front."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def lu(**_: Any) -> Callable[..., Sequence[Any]]:
    """By partial pivoting: both factors in one matrix, the rows exchanged, and the permutation that they make."""

    def factored(a: Any) -> Sequence[Any]:
        a, each = np.array(a), np.arange(len(a))
        count, size = a.shape[1:]
        pivots = np.zeros((len(a), min(count, size)), np.int32)
        order = np.tile(np.arange(count, dtype=np.int32), (len(a), 1))
        for k in range(min(count, size)):
            chosen = k + np.argmax(np.abs(a[:, k:, k]), axis=1)
            pivots[:, k] = chosen
            for array in (a, order):
                array[each, chosen], array[:, k] = array[:, k].copy(), array[each, chosen]
            # A column of zeros stays one.
            pivot = a[:, k, k, None]
            a[:, k + 1 :, k] /= np.where(pivot == 0.0, 1.0, pivot)
            a[:, k + 1 :, k + 1 :] -= a[:, k + 1 :, k, None] * a[:, k, None, k + 1 :]
        return a, pivots, order

    return factored


def permutation(equation: Any, permutation_size: int, **_: Any) -> Callable[..., Any]:
    """Of the rows that a factorisation has exchanged."""

    def order(pivots: Any) -> Any:
        each, found = np.arange(len(pivots)), np.tile(np.arange(permutation_size), (len(pivots), 1))
        for k in range(pivots.shape[1]):
            chosen = pivots[:, k]
            found[each, chosen], found[:, k] = found[:, k].copy(), found[each, chosen]
        return found

    return order


def triangular_solve(
    equation: Any, left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool, **_: Any
) -> Callable[..., Any]:
    """By substitution; one over a pivot of zero is infinite."""
    # x a = b is aᵀ xᵀ = bᵀ.
    transposed = transpose_a == left_side
    forward = lower != transposed

    def solved(a: Any, b: Any) -> Any:
        a, b = (np.swapaxes(one, -1, -2) if turned else one for one, turned in ((a, transposed), (b, not left_side)))
        size, x = a.shape[-1], np.array(np.broadcast_to(b, (max(len(a), len(b)), *b.shape[1:])))
        for k in range(size) if forward else reversed(range(size)):
            if not unit_diagonal:
                x[:, k] /= a[:, k, k, None]
            others = slice(k + 1, None) if forward else slice(None, k)
            x[:, others] -= a[:, others, k, None] * x[:, k, None]
        return x if left_side else np.swapaxes(x, -1, -2)

    return solved


def cholesky(equation: Any, **_: Any) -> Callable[..., Any]:
    """The lower factor; of what is not positive it is not a number."""

    def factor(a: Any) -> Any:
        found = np.zeros_like(a)
        for k in range(a.shape[-1]):
            column = a[:, k:, k] - np.einsum("rij,rj->ri", found[:, k:, :k], found[:, k, :k])
            found[:, k:, k] = column / np.sqrt(column[:, :1])
        return found

    return factor


def eigh(lower: bool, **_: Any) -> Callable[..., Sequence[Any]]:
    """Vectors and values, these rising; of what is not finite neither is a number."""

    def decomposed(a: Any) -> Sequence[Any]:
        finite = np.all(np.isfinite(a), axis=(-2, -1))[:, None, None]
        values, vectors = np.linalg.eigh(np.where(finite, a, 0.0), "L" if lower else "U")
        return np.where(finite, vectors, np.nan), np.where(finite[..., 0], values, np.nan)

    return decomposed
