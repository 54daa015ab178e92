"""The stationary law of every sampler on a quadratic, from its own step, beside what a pencil gives.

With a friction, a mass and a temperature other than 1, in three dimensions with rotated axes. On an axis of curvature
l, with a = h^2 l/(4 m):

- Velocity Verlet BAB keeps m v^2 + l (1 - a) x^2, and O keeps v of variance T/m: OBABO has x of variance T/(l (1 - a)).
- Position Verlet ABA keeps l x^2 + m (1 - a) v^2: OABAO has x of variance T (1 - a)/l.
- BAOAB, ABOBA and BAOA are these walks seen elsewhere in their cycle, where the position is exact.
"""

import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import stationary_covariance

T, FRICTION, MASS, H = 0.7, 1.3, 1.9, 0.6
CURVATURES = np.array([0.4, 1.1, 2.3])
AXES, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
HESSIAN = AXES @ np.diag(CURVATURES) @ AXES.T


def rotated(variances):
    return AXES @ np.diag(variances) @ AXES.T


def ratio(curvature):
    return H**2 * curvature / (4 * MASS)


def heun(curvature):
    """x = (1 - hl + h^2 l^2/2) x + (1 - hl/2) noise."""
    kept = 1 - H * curvature + (H * curvature) ** 2 / 2
    return 2 * T * H * (1 - H * curvature / 2) ** 2 / (1 - kept**2)


WORDS = {
    "BAOAB": (lambda l: T / l, lambda l: T / MASS * (1 - ratio(l))),
    "ABOBA": (lambda l: T / l, lambda l: T / (MASS * (1 - ratio(l)))),
    "BAOA": (lambda l: T / l, None),
    "OBABO": (lambda l: T / (l * (1 - ratio(l))), lambda l: T / MASS + 0 * l),
    "OABAO": (lambda l: T * (1 - ratio(l)) / l, lambda l: T / MASS + 0 * l),
}


def bath(friction=FRICTION):
    return tw.UnderdampedLangevin(None, friction=friction, temperature=T, mass=MASS)


@pytest.mark.parametrize("word", WORDS)
def test_a_splitting(word):
    position, velocity = WORDS[word]
    method = tw.Method(bath(), tw.Splitting(word), H)
    np.testing.assert_allclose(
        stationary_covariance(method, HESSIAN), rotated(position(CURVATURES)), rtol=1e-12, atol=1e-13
    )
    if velocity is not None:
        found = stationary_covariance(method, HESSIAN, of="velocity")
        np.testing.assert_allclose(found, rotated(velocity(CURVATURES)), rtol=1e-12, atol=1e-13)


OVERDAMPED = {
    "sgld": lambda l: T / (l * (1 - H * l / 2)),
    "leimkuhler_matthews": lambda l: T / l,
    "stochastic_heun": heun,
    "mala": lambda l: T / l,
}


@pytest.mark.parametrize("row", OVERDAMPED)
def test_a_first_order_row(row):
    method = next(r for r in tw.table() if r.name == row).build(None, learning_rate=H, temperature=T)
    expected = rotated(OVERDAMPED[row](CURVATURES))
    np.testing.assert_allclose(stationary_covariance(method, HESSIAN), expected, rtol=1e-12, atol=1e-13)


def test_euler_maruyama_with_friction():
    """From x = x + h v, so that E xv = -h E v^2/2, and the two other equations."""
    friction, h = 3.0 * FRICTION, 0.5 * H
    method = tw.Method(bath(friction), tw.EulerMaruyama(), h)
    g, k = h * friction / MASS, h * CURVATURES / MASS
    v = 2 * friction * T * h / MASS**2 / (2 * g - g**2 - h * k * (2 - 1.5 * g + 0.5 * h * k))
    x = h / k * v * (1 - 0.5 * g + 0.5 * h * k)
    for of, expected in (("position", x), ("velocity", v)):
        found = stationary_covariance(method, HESSIAN, of=of)
        np.testing.assert_allclose(found, rotated(expected), rtol=1e-12, atol=1e-13)
