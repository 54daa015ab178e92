"""Problems of CUTEst whose terms couple unknowns far from one another, or none, of 50 to 1,000 unknowns."""

import jax.numpy as jnp
import numpy as np

from ._problem import Shelf, join

PROBLEMS = Shelf("gould2015")
smooth, squares = PROBLEMS.smooth, PROBLEMS.squares


def _count(n):
    return np.arange(1.0, n + 1.0)


@smooth("arwhead", np.ones(1000), 0.0)
def _(x):
    return jnp.sum(-4.0 * x[:-1] + 3.0) + jnp.sum((x[:-1] ** 2 + x[-1] ** 2) ** 2)


def _dixmaan(alpha, beta, gamma, delta, k1, k2, k3, k4):
    def fn(x):
        n, m = x.size, x.size // 3
        t = _count(n) / n
        x2 = x**2
        first = alpha * jnp.sum(t**k1 * x2) + beta * jnp.sum(t[:-1] ** k2 * x2[:-1] * (x[1:] + x2[1:]) ** 2)
        third = gamma * jnp.sum(t[: 2 * m] ** k3 * x2[: 2 * m] * x2[m:] ** 2)
        return 1.0 + first + third + delta * jnp.sum(t[:m] ** k4 * x[:m] * x[2 * m :])

    return fn


_PARTS = [(0.0, 0.125, 0.125), (0.0625, 0.0625, 0.0625), (0.125, 0.125, 0.125), (0.26, 0.26, 0.26)]
for _k, _power in enumerate((0, 1, 2)):
    for _i, _weights in enumerate(_PARTS):
        _letter = "abcdefghijkl"[4 * _k + _i]
        smooth(f"dixmaan{_letter}", np.full(90, 2.0), 1.0)(_dixmaan(1.0, *_weights, _power, 0, 0, _power))


@smooth("eg2", np.zeros(1000), -998.947)
def _(x):
    return jnp.sum(jnp.sin(x[0] + x[:-1] ** 2 - 1.0)) + 0.5 * jnp.sin(x[-1] ** 2)


def _eigen(matrix):
    """Eigenvectors and eigenvalues as a fit: $Q^T D Q = A$ and $Q^T Q = I$, from D = I and Q = I."""
    n = len(matrix)
    upper = np.triu_indices(n)

    def residuals(x):
        values, vectors = x[:n], x[n:].reshape(n, n)
        whole = vectors.T @ (values[:, None] * vectors) - matrix
        return join(whole[upper], (vectors.T @ vectors - jnp.eye(n))[upper])

    return residuals


_START = np.r_[np.ones(10), np.eye(10).ravel()]
squares("eigenals", _START, 0.0)(_eigen(np.diag(_count(10))))
squares("eigenbls", _START, 0.0)(_eigen(2.0 * np.eye(10) - np.eye(10, k=1) - np.eye(10, k=-1)))


@squares("liarwhd", np.full(1000, 4.0), 0.0)
def _(x):
    return join(2.0 * (x**2 - x[0]), x - 1.0)


_ROOT = np.sin(_count(100) ** 2).reshape(10, 10)


@squares("msqrtbls", 0.2 * _ROOT.ravel(), 0.0)
def _(x):
    root = x.reshape(10, 10)
    return (root @ root - _ROOT @ _ROOT).ravel()


def _places(n, *rules):
    """The indices mod(a i - b, n) + 1 of CUTEst, counted from 0."""
    i = np.arange(1, n + 1)
    return [(a * i - b) % n for a, b in rules]


def _noncvx(*rules):
    def fn(x):
        sums = x + sum(x[place] for place in _places(x.size, *rules))
        return jnp.sum(sums**2 + 4.0 * jnp.cos(sums))

    return fn


smooth("noncvxun", _count(100))(_noncvx((2, 1), (3, 1)))
smooth("noncvxu2", _count(100))(_noncvx((3, 2), (7, 3)))


@squares("nondia", -np.ones(1000), 0.0)
def _(x):
    return join(x[0] - 1.0, 10.0 * (x[0] - x[:-1] ** 2))


@smooth("power", np.ones(100), 0.0)
def _(x):
    return (_count(x.size) @ x**2) ** 2


@smooth("quartc", np.full(100, 2.0), 0.0)
def _(x):
    return jnp.sum((x - _count(x.size)) ** 4)


@smooth("sinquad", np.full(50, 0.1))
def _(x):
    middle = jnp.sin(x[1:-1] - x[-1]) - x[0] ** 2 + x[1:-1] ** 2
    return (x[0] - 1.0) ** 4 + (x[-1] ** 2 - x[0] ** 2) ** 2 + jnp.sum(middle**2)


_FIVE = ((2, 1), (3, 1), (5, 1), (7, 1), (11, 1))


@smooth("sparsine", np.full(50, 0.5), 0.0)
def _(x):
    s = jnp.sin(x)
    return 0.5 * _count(x.size) @ (s + sum(s[place] for place in _places(x.size, *_FIVE))) ** 2


@smooth("sparsqur", np.full(1000, 0.5), 0.0)
def _(x):
    s = x**2
    return 0.125 * _count(x.size) @ (s + sum(s[place] for place in _places(x.size, *_FIVE))) ** 2


@smooth("testquad", np.ones(500), 0.0)
def _(x):
    return _count(x.size) @ x**2


@squares("tquartic", np.full(1000, 0.1), 0.0)
def _(x):
    return join(x[0] - 1.0, x[0] ** 2 - x[1:] ** 2)
