"""Moré, Garbow and Hillstrom (1981), the functions 1 to 19: of a fixed number of unknowns, most with data."""

import jax.numpy as jnp
import numpy as np

from ._problem import Shelf, join

PROBLEMS = Shelf("more1981")
squares = PROBLEMS.squares


@squares("rosenbrock", [-1.2, 1.0], 0.0)
def _(x):
    return join(10.0 * (x[1] - x[0] ** 2), 1.0 - x[0])


@squares("freudenstein_roth", [0.5, -2.0], 0.0, 48.9842)
def _(x):
    a, b = x
    return join(-13.0 + a + ((5.0 - b) * b - 2.0) * b, -29.0 + a + ((b + 1.0) * b - 14.0) * b)


@squares("powell_badly_scaled", [0.0, 1.0], 0.0)
def _(x):
    return join(1e4 * x[0] * x[1] - 1.0, jnp.exp(-x[0]) + jnp.exp(-x[1]) - 1.0001)


@squares("brown_badly_scaled", [1.0, 1.0], 0.0)
def _(x):
    return join(x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2.0)


@squares("beale", [1.0, 1.0], 0.0)
def _(x):
    return jnp.array([1.5, 2.25, 2.625]) - x[0] * (1.0 - x[1] ** jnp.arange(1, 4))


@squares("jennrich_sampson", [0.3, 0.4], 124.362)
def _(x):
    i = jnp.arange(1.0, 11.0)
    return 2.0 + 2.0 * i - (jnp.exp(i * x[0]) + jnp.exp(i * x[1]))


@squares("helical_valley", [-1.0, 0.0, 0.0], 0.0)
def _(x):
    # The paper's angle jumps on the half line x1 = 0, x2 < 0, not on x2 = 0, x1 < 0, where it starts.
    turn = jnp.arctan2(x[1], x[0]) / (2.0 * jnp.pi)
    turn = jnp.where(turn < -0.25, turn + 1.0, turn)
    return join(10.0 * (x[2] - 10.0 * turn), 10.0 * (jnp.sqrt(x[0] ** 2 + x[1] ** 2) - 1.0), x[2])


_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


@squares("bard", [1.0, 1.0, 1.0], 8.21487e-3, 17.4286)
def _(x):
    u = jnp.arange(1.0, 16.0)
    v = 16.0 - u
    return _BARD - (x[0] + u / (v * x[1] + jnp.minimum(u, v) * x[2]))


_HALF = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]
_GAUSSIAN = np.array([*_HALF, 0.3989, *_HALF[::-1]])


@squares("gaussian", [0.4, 1.0, 0.0], 1.12793e-8)
def _(x):
    t = (8.0 - jnp.arange(1.0, 16.0)) / 2.0
    return x[0] * jnp.exp(-x[1] * (t - x[2]) ** 2 / 2.0) - _GAUSSIAN


_MEYER = np.array(
    [34780.0, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
)


@squares("meyer", [0.02, 4000.0, 250.0], 87.9458)
def _(x):
    return x[0] * jnp.exp(x[1] / (45.0 + 5.0 * jnp.arange(1.0, 17.0) + x[2])) - _MEYER


@squares("gulf", [5.0, 2.5, 0.15], 0.0)
def _(x):
    # The paper prints y m i x2 for y - x2; its minimiser (50, 25, 1.5) and its start belong to this one.
    t = jnp.arange(1.0, 100.0) / 100.0
    y = 25.0 + (-50.0 * jnp.log(t)) ** (2.0 / 3.0)
    return jnp.exp(-(jnp.abs(y - x[1]) ** x[2]) / x[0]) - t


@squares("box_3d", [0.0, 10.0, 20.0], 0.0)
def _(x):
    t = 0.1 * jnp.arange(1.0, 11.0)
    return jnp.exp(-t * x[0]) - jnp.exp(-t * x[1]) - x[2] * (jnp.exp(-t) - jnp.exp(-10.0 * t))


@squares("powell_singular", [3.0, -1.0, 0.0, 1.0], 0.0)
def _(x):
    a, b, c, d = x
    return join(a + 10.0 * b, 5**0.5 * (c - d), (b - 2.0 * c) ** 2, 10**0.5 * (a - d) ** 2)


@squares("wood", [-3.0, -1.0, -3.0, -1.0], 0.0)
def _(x):
    a, b, c, d = x
    first = join(10.0 * (b - a**2), 1.0 - a, 90**0.5 * (d - c**2), 1.0 - c)
    return join(first, 10**0.5 * (b + d - 2.0), (b - d) / 10**0.5)


_KOWALIK = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])


@squares("kowalik_osborne", [0.25, 0.39, 0.415, 0.39], 3.07505e-4, 1.02734e-3)
def _(x):
    u = jnp.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
    return _KOWALIK - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


@squares("brown_dennis", [25.0, 5.0, -5.0, -1.0], 85822.2)
def _(x):
    t = jnp.arange(1.0, 21.0) / 5.0
    return (x[0] + t * x[1] - jnp.exp(t)) ** 2 + (x[2] + x[3] * jnp.sin(t) - jnp.cos(t)) ** 2


# fmt: off
_OSBORNE_1 = np.array([
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603,
    0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411,
    0.406,
])
_OSBORNE_2 = np.array([
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606,
    0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423,
    0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668,
    0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098,
    0.054,
])
# fmt: on


@squares("osborne_1", [0.5, 1.5, -1.0, 0.01, 0.02], 5.46489e-5)
def _(x):
    t = 10.0 * jnp.arange(33.0)
    return _OSBORNE_1 - (x[0] + x[1] * jnp.exp(-t * x[3]) + x[2] * jnp.exp(-t * x[4]))


@squares("biggs_exp6", [1.0, 2.0, 1.0, 1.0, 1.0, 1.0], 0.0, 5.65565e-3)
def _(x):
    t = 0.1 * jnp.arange(1.0, 14.0)
    y = jnp.exp(-t) - 5.0 * jnp.exp(-10.0 * t) + 3.0 * jnp.exp(-4.0 * t)
    return x[2] * jnp.exp(-t * x[0]) - x[3] * jnp.exp(-t * x[1]) + x[5] * jnp.exp(-t * x[4]) - y


@squares("osborne_2", [1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5], 4.01377e-2)
def _(x):
    t = jnp.arange(65.0) / 10.0
    peaks = [x[k] * jnp.exp(-((t - x[k + 7]) ** 2) * x[k + 4]) for k in (1, 2, 3)]
    return _OSBORNE_2 - (x[0] * jnp.exp(-t * x[4]) + peaks[0] + peaks[1] + peaks[2])
