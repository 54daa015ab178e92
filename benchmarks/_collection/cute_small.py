"""Problems of CUTEst with few unknowns: hard by their shape, not by their size."""

import jax.numpy as jnp
import numpy as np

from ._problem import Shelf, join

PROBLEMS = Shelf("gould2015")
smooth, squares = PROBLEMS.smooth, PROBLEMS.squares


@smooth("allinitu", np.zeros(4), 5.74438)
def _(x):
    a, b, c, d = x
    first = c - 1.0 + a**2 + b**2 + (c + d) ** 2 + 2.0 * jnp.sin(c) ** 2 + (a * b) ** 2 + d - 3.0 + (d - 1.0) ** 2
    second = b**4 + (c**2 + (d + a) ** 2) ** 2 + (a - 4.0 + jnp.sin(d) ** 2 + (b * c) ** 2) ** 2 + jnp.sin(d) ** 4
    return first + second


@smooth("brkmcc", [2.0, 2.0], 0.16904)
def _(x):
    a, b = x
    far = (a - 2.0) ** 2 + (b - 1.0) ** 2
    return far + 0.04 / (1.0 - 0.25 * a**2 - b**2) + 5.0 * (a - 2.0 * b + 1.0) ** 2


@smooth("cliff", [0.0, -1.0], 0.199787)
def _(x):
    return ((x[0] - 3.0) / 100.0) ** 2 - (x[0] - x[1]) + jnp.exp(20.0 * (x[0] - x[1]))


@squares("cube", [-1.2, 1.0], 0.0)
def _(x):
    return join(x[0] - 1.0, 10.0 * (x[1] - x[0] ** 3))


@squares("denschna", [1.0, 1.0], 0.0)
def _(x):
    return join(x[0] ** 2, x[0] + x[1], jnp.exp(x[1]) - 1.0)


@squares("denschnb", [1.0, 1.0], 0.0)
def _(x):
    return join(x[0] - 2.0, (x[0] - 2.0) * x[1], x[1] + 1.0)


@squares("denschnc", [2.0, 3.0], 0.0, 0.183362)
def _(x):
    return join(x @ x - 2.0, jnp.exp(x[0] - 1.0) + x[1] ** 3 - 2.0)


@squares("denschnd", [10.0, 10.0, 10.0], 0.0)
def _(x):
    a, b, c = x
    return join(a**2 + b**3 - c**4, 2.0 * a * b * c, 2.0 * a * b - 3.0 * b * c + a * c)


@squares("denschne", [2.0, 3.0, -8.0], 0.0, 1.0)
def _(x):
    return join(x[0], x[1] + x[1] ** 2, jnp.exp(x[2]) - 1.0)


@squares("denschnf", [2.0, 0.0], 0.0)
def _(x):
    a, b = x
    return join(2.0 * (a + b) ** 2 + (a - b) ** 2 - 8.0, 5.0 * a**2 + (b - 3.0) ** 2 - 9.0)


@squares("engval2", [1.0, 2.0, 0.0], 0.0)
def _(x):
    a, b, c = x
    spheres = join(x @ x - 1.0, a**2 + b**2 + (c - 2.0) ** 2 - 1.0)
    return join(spheres, a + b + c - 1.0, a + b - c + 1.0, a**3 + 3.0 * b**2 + (5.0 * c - a + 1.0) ** 2 - 36.0)


def _hairy(x):
    hair = 30.0 * (jnp.sin(7.0 * x[0]) * jnp.cos(7.0 * x[1])) ** 2
    return hair + 100.0 * jnp.sqrt(0.01 + (x[0] - x[1]) ** 2) + 100.0 * jnp.sqrt(0.01 + x[0] ** 2)


smooth("hairy", [-5.0, -7.0], 20.0)(_hairy)
smooth("loghairy", [-500.0, -700.0], 0.182322)(lambda x: jnp.log((100.0 + _hairy(x)) / 100.0))


def _heart(x, moments):
    """The resolution of a dipole of the heart: sums of moments up to the third order."""
    a, b, c, d, t, u, v, w = x
    A, B, C, D, E, F = moments
    first = join(t * a + u * b - v * c - w * d - A, v * a + w * b + t * c + u * d - B)
    p, q = t**2 - v**2, u**2 - w**2
    second = join(
        a * p - 2.0 * c * t * v + b * q - 2.0 * d * u * w - C, c * p + 2.0 * a * t * v + d * q + 2.0 * b * u * w - D
    )
    p, q = t * (t**2 - 3.0 * v**2), u * (u**2 - 3.0 * w**2)
    r, s = v * (v**2 - 3.0 * t**2), w * (w**2 - 3.0 * u**2)
    return join(first, second, a * p + c * r + b * q + d * s - E, c * p - a * r + d * q - b * s - F)


@squares("heart6ls", [0.0, 0.0, 1.0, 1.0, 1.0, 1.0], 0.0)
def _(x):
    a, c, t, u, v, w = x
    whole = jnp.stack([a, -0.816 - a, c, -0.017 - c, t, u, v, w])
    return _heart(whole, (-1.826, -0.754, -4.839, -3.259, -14.023, 15.467))


@squares("heart8ls", [0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0], 0.0)
def _(x):
    return join(x[0] + x[1] + 0.69, x[2] + x[3] + 0.044, _heart(x, (-1.57, -1.31, -2.65, 2.0, -12.6, 9.48)))


@smooth("hilberta", np.full(10, -3.0), 0.0)
def _(x):
    i = np.arange(x.size)
    return x @ ((1.0 / (i[None] + i[:, None] + 1.0)) @ x)


@smooth("himmelbb", [-1.2, 1.0], 0.0)
def _(x):
    a, b = x
    return (a * b * (1.0 - a) * (1.0 - b - a * (1.0 - a) ** 5)) ** 2


@smooth("himmelbg", [0.5, 0.5], 0.0)
def _(x):
    return jnp.exp(-x[0] - x[1]) * (2.0 * x[0] ** 2 + 3.0 * x[1] ** 2)


@smooth("himmelbh", [0.0, 2.0], -1.0)
def _(x):
    return -3.0 * x[0] - 2.0 * x[1] + 2.0 + x[0] ** 3 + x[1] ** 2


@smooth("hs308", [3.0, 0.1], 0.773199)
def _(x):
    return (x[0] ** 2 + x[0] * x[1] + x[1] ** 2) ** 2 + jnp.sin(x[0]) ** 2 + jnp.cos(x[1]) ** 2


@smooth("humps", [-506.0, -506.2])
def _(x):
    return 0.05 * x @ x + (jnp.sin(20.0 * x[0]) * jnp.sin(20.0 * x[1])) ** 2


@smooth("maratosb", [1.1, 0.1], -1.00000006)
def _(x):
    return x[0] + 1e6 * (x @ x - 1.0) ** 2


@smooth("mexhat", [0.86, 0.72], -0.0401)
def _(x):
    off = (x[0] - 1.0) ** 2
    return -2.0 * off + 1e4 * (-0.02 + (x[1] - x[0] ** 2) ** 2 / 1e4 + off) ** 2


@smooth("sensors", np.arange(1.0, 11.0) / 10.0)
def _(x):
    s = jnp.sin(x)
    return -jnp.sum((s[None] * s[:, None] * jnp.sin(x[None] - x[:, None])) ** 2)


@squares("sineval", [4.712389, -1.0], 0.0)
def _(x):
    return join(100.0 * (x[1] - jnp.sin(x[0])), 0.5 * x[0])


@smooth("sisser", [1.0, 0.1], 0.0)
def _(x):
    return 3.0 * x[0] ** 4 - 2.0 * (x[0] * x[1]) ** 2 + 3.0 * x[1] ** 4


@smooth("zangwil2", [3.0, 8.0], -18.2)
def _(x):
    a, b = x
    return (16.0 * a**2 + 16.0 * b**2 - 8.0 * a * b - 56.0 * a - 256.0 * b + 991.0) / 15.0


@squares("chebyshev_rosenbrock", [-1.0, 1.0, 1.0, 1.0, 1.0], 0.0)
def _(x):
    return join(0.5 * (x[0] - 1.0), x[1:] - 2.0 * x[:-1] ** 2 + 1.0)
