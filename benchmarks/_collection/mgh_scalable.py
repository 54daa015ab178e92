"""Moré, Garbow and Hillstrom (1981), the functions 20 to 35: of any number of unknowns."""

import jax.numpy as jnp
import numpy as np

from ._problem import Shelf, join

PROBLEMS = Shelf("more1981")
squares = PROBLEMS.squares


def _count(n):
    return np.arange(1.0, n + 1.0)


def _watson(x):
    t, j = np.arange(1.0, 30.0)[:, None] / 29.0, np.arange(x.size)
    slope, value = j[None, 1:] * t ** (j[None, 1:] - 1), t ** j[None]
    return join(slope @ x[1:] - (value @ x) ** 2 - 1.0, x[0], x[1] - x[0] ** 2 - 1.0)


for _n, _least in ((6, 2.28767e-3), (9, 1.39976e-6), (12, 4.72238e-10)):
    squares(f"watson_{_n}", np.zeros(_n), _least)(_watson)


@squares("extended_rosenbrock", np.tile([-1.2, 1.0], 50), 0.0)
def _(x):
    return join(10.0 * (x[1::2] - x[::2] ** 2), 1.0 - x[::2])


@squares("extended_powell", np.tile([3.0, -1.0, 0.0, 1.0], 25), 0.0)
def _(x):
    a, b, c, d = x.reshape(-1, 4).T
    return join(a + 10.0 * b, 5**0.5 * (c - d), (b - 2.0 * c) ** 2, 10**0.5 * (a - d) ** 2)


def _penalty_1(x):
    return join(1e-5**0.5 * (x - 1.0), x @ x - 0.25)


def _penalty_2(x):
    a, i = 1e-5**0.5, _count(x.size)
    y = np.exp(i / 10.0)
    grown = jnp.exp(x / 10.0)
    first = join(x[0] - 0.2, a * (grown[1:] + grown[:-1] - (y[1:] + y[:-1])))
    return join(first, a * (grown[1:] - np.exp(-0.1)), (x.size - i + 1.0) @ x**2 - 1.0)


for _n, _first, _second in ((4, 2.24997e-5, 9.37629e-6), (10, 7.08765e-5, 2.93660e-4)):
    squares(f"penalty_1_{_n}", _count(_n), _first)(_penalty_1)
    squares(f"penalty_2_{_n}", np.full(_n, 0.5), _second)(_penalty_2)
squares("penalty_1_1000", _count(1000), 9.68618e-3)(_penalty_1)


@squares("variably_dimensioned_200", 1.0 - _count(200) / 200.0, 0.0)
@squares("variably_dimensioned", 1.0 - _count(10) / 10.0, 0.0)
def _(x):
    total = _count(x.size) @ (x - 1.0)
    return join(x - 1.0, total, total**2)


@squares("trigonometric_100", np.full(100, 0.01), 0.0)
@squares("trigonometric", np.full(10, 0.1), 0.0, 2.79506e-5)
def _(x):
    return x.size - jnp.sum(jnp.cos(x)) + _count(x.size) * (1.0 - jnp.cos(x)) - jnp.sin(x)


@squares("brown_almost_linear_200", np.full(200, 0.5), 0.0)
@squares("brown_almost_linear", np.full(10, 0.5), 0.0, 1.0)
def _(x):
    return join(x[:-1] + jnp.sum(x) - (x.size + 1.0), jnp.prod(x) - 1.0)


def _times(n):
    return _count(n) / (n + 1.0)


@squares("discrete_boundary_value", _times(10) * (_times(10) - 1.0), 0.0)
def _(x):
    padded = jnp.pad(x, 1)
    return 2.0 * x - padded[:-2] - padded[2:] + (x + _times(x.size) + 1.0) ** 3 / (2.0 * (x.size + 1.0) ** 2)


@squares("discrete_integral_equation", _times(10) * (_times(10) - 1.0), 0.0)
def _(x):
    t = _times(x.size)
    cubes = (x + t + 1.0) ** 3
    kernel = np.where(t[None] <= t[:, None], (1.0 - t[:, None]) * t[None], t[:, None] * (1.0 - t[None]))
    return x + kernel @ cubes / (2.0 * (x.size + 1.0))


@squares("broyden_tridiagonal", -np.ones(100), 0.0)
def _(x):
    padded = jnp.pad(x, 1)
    return (3.0 - 2.0 * x) * x - padded[:-2] - 2.0 * padded[2:] + 1.0


@squares("broyden_banded", -np.ones(100), 0.0)
def _(x):
    i = np.arange(x.size)
    near = i[None] - i[:, None]
    band = ((near >= -5) & (near <= 1) & (near != 0)).astype(float)
    return x * (2.0 + 5.0 * x**2) + 1.0 - band @ (x * (1.0 + x))


@squares("linear_full_rank", np.ones(10), 10.0)
def _(x):
    return jnp.pad(x, (0, 10)) - 2.0 / 20.0 * jnp.sum(x) - 1.0


@squares("linear_rank_1", np.ones(10), 20.0 * 19.0 / (2.0 * 41.0))
def _(x):
    return _count(20) * (_count(x.size) @ x) - 1.0


@squares("linear_rank_1_zeros", np.ones(10), (20.0**2 + 60.0 - 6.0) / (2.0 * 37.0))
def _(x):
    rows = np.r_[0.0, _count(18), 0.0]
    return rows * (_count(x.size)[1:-1] @ x[1:-1]) - 1.0


def _chebyquad(x):
    n = x.size
    older, values = jnp.ones(n), 2.0 * x - 1.0
    means = []
    for i in range(1, n + 1):
        means.append(jnp.mean(values) + (1.0 / (i**2 - 1.0) if i % 2 == 0 else 0.0))
        older, values = values, 2.0 * (2.0 * x - 1.0) * values - older
    return jnp.stack(means)


for _n, _least in ((7, 0.0), (8, 3.51687e-3), (9, 0.0), (10, 6.50395e-3)):
    squares(f"chebyquad_{_n}", _times(_n), _least)(_chebyquad)
