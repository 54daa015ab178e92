"""Problems of CUTEst whose terms couple neighbours, of 10 to 1,000 unknowns."""

import jax.numpy as jnp
import numpy as np

from ._problem import Shelf, join, sum_of_squares

PROBLEMS = Shelf("gould2015")
smooth, squares = PROBLEMS.smooth, PROBLEMS.squares


def _count(n):
    return np.arange(1.0, n + 1.0)


@smooth("bdqrtic", np.ones(100), 378.769)
def _(x):
    x2 = x**2
    rest = x2[:-4] + 2.0 * x2[1:-3] + 3.0 * x2[2:-2] + 4.0 * x2[3:-1] + 5.0 * x2[-1]
    return jnp.sum((3.0 - 4.0 * x[:-4]) ** 2 + rest**2)


@squares("biggsb1", np.zeros(100), 0.0)
def _(x):
    return join(x[0] - 1.0, x[1:] - x[:-1], 1.0 - x[-1])


@smooth("broydn7d", -np.ones(100))
def _(x):
    padded, half = jnp.pad(x, 1), x.size // 2
    tridiagonal = (3.0 - 2.0 * x) * x - padded[:-2] - 2.0 * padded[2:] + 1.0
    return jnp.sum(jnp.abs(tridiagonal) ** (7 / 3)) + jnp.sum(jnp.abs(x[:half] + x[half:]) ** (7 / 3))


@smooth("chainwoo", np.r_[-3.0, -1.0, -3.0, -1.0, np.tile([-2.0, 0.0], 48)], 1.0)
def _(x):
    a, b, c, d = x[:-3:2], x[1:-2:2], x[2:-1:2], x[3::2]
    wells = 100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2 + 90.0 * (d - c**2) ** 2 + (1.0 - c) ** 2
    return 1.0 + jnp.sum(wells + 10.0 * (b + d - 2.0) ** 2 + 0.1 * (b - d) ** 2)


@smooth("cosine", np.ones(100), -99.0)
def _(x):
    return jnp.sum(jnp.cos(-0.5 * x[1:] + x[:-1] ** 2))


@smooth("cragglvy", np.r_[1.0, np.full(99, 2.0)], 32.27)
def _(x):
    a, b, c, d = x[:-3:2], x[1:-2:2], x[2:-1:2], x[3::2]
    steep = (jnp.exp(a) - b) ** 4 + 100.0 * (b - c) ** 6
    return jnp.sum(steep + (jnp.tan(c - d) + c - d) ** 4 + a**8 + (d - 1.0) ** 2)


@smooth("curly10", 1e-4 * _count(100) / 101.0, -1.003163e4)
def _(x):
    sums = jnp.convolve(x, jnp.ones(11))[10:]
    return jnp.sum(sums * (sums * (sums**2 - 20.0) - 0.1))


@squares("dixon3dq", -np.ones(100), 0.0)
def _(x):
    return join(x[0] - 1.0, x[1:-1] - x[2:], x[-1] - 1.0)


@smooth("dqdrtic", np.full(1000, 3.0), 0.0)
def _(x):
    return jnp.sum(x[:-2] ** 2 + 100.0 * x[1:-1] ** 2 + 100.0 * x[2:] ** 2)


@smooth("edensch", np.zeros(36), 219.28)
def _(x):
    a, b = x[:-1], x[1:]
    return 16.0 + jnp.sum((a - 2.0) ** 4 + (a * b - 2.0 * b) ** 2 + (b + 1.0) ** 2)


@smooth("engval1", np.full(1000, 2.0), 1108.195)
def _(x):
    return jnp.sum((x[:-1] ** 2 + x[1:] ** 2) ** 2 - 4.0 * x[:-1] + 3.0)


@squares("extrosnb", -np.ones(100), 0.0)
def _(x):
    return join(x[0] - 1.0, 10.0 * (x[1:] - x[:-1] ** 2))


@squares("fletchcr", np.zeros(100), 0.0)
def _(x):
    return 10.0 * (x[1:] - x[:-1] + 1.0 - x[:-1] ** 2)


def _frame(p):
    """A plane on the border of a square, 0 inside."""
    side = np.linspace(0.0, 1.0, p)
    plane = 1.0 + 8.0 * side[:, None] + 4.0 * side[None]
    plane[1:-1, 1:-1] = 0.0
    return plane.ravel()


@smooth("fminsurf", _frame(8), 1.0)
def _(x):
    p = round(x.size**0.5)
    z = x.reshape(p, p)
    slopes = (z[1:, 1:] - z[:-1, :-1]) ** 2 + (z[1:, :-1] - z[:-1, 1:]) ** 2
    return jnp.mean(jnp.sqrt(1.0 + 0.5 * (p - 1) ** 2 * slopes)) + jnp.mean(x) ** 2


@squares("freuroth", np.r_[0.5, -2.0, np.zeros(998)], 1.2147e5)
def _(x):
    a, b = x[:-1], x[1:]
    return join(a - b * (2.0 - b * (5.0 - b)) - 13.0, a - b * (14.0 - b * (1.0 + b)) - 29.0)


@smooth("genhumps", np.r_[-506.0, np.full(9, 506.2)])
def _(x):
    a, b = x[:-1], x[1:]
    return jnp.sum((jnp.sin(2.0 * a) * jnp.sin(2.0 * b)) ** 2 + 0.05 * (a**2 + b**2))


@smooth("genrose", _count(100) / 101.0, 1.0)
def _(x):
    return 1.0 + sum_of_squares(join(10.0 * (x[1:] - x[:-1] ** 2), x[1:] - 1.0))


@smooth("nondquar", np.tile([1.0, -1.0], 50), 0.0)
def _(x):
    return (x[0] - x[1]) ** 2 + (x[-2] + x[-1]) ** 2 + jnp.sum((x[:-2] + x[1:-1] + x[-1]) ** 4)


@smooth("schmvett", np.full(100, 0.5), -294.0)
def _(x):
    a, b, c = x[:-2], x[1:-1], x[2:]
    peak = 1.0 / (1.0 + (a - b) ** 2) + jnp.sin(0.5 * (jnp.pi * b + c))
    return -jnp.sum(peak + jnp.exp(-(((a + c) / b - 2.0) ** 2)))


@smooth("tointgss", np.full(100, 3.0), 980.0 / 102.0, 1000.0 / 102.0)
def _(x):
    c2 = x[2:] ** 2
    return jnp.sum((10.0 / (x.size + 2.0) + c2) * (2.0 - jnp.exp(-((x[:-2] - x[1:-1]) ** 2) / (0.1 + c2))))


@squares("tridia", np.ones(500), 0.0)
def _(x):
    return join(x[0] - 1.0, np.sqrt(_count(x.size)[1:]) * (2.0 * x[1:] - x[:-1]))


@squares("woods", np.tile([-3.0, -1.0], 500), 0.0)
def _(x):
    a, b, c, d = x.reshape(-1, 4).T
    first = join(10.0 * (b - a**2), 1.0 - a, 90**0.5 * (d - c**2), 1.0 - c)
    return join(first, 10**0.5 * (b + d - 2.0), (b - d) / 10**0.5)
