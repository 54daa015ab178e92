"""The discrete methods follow their high-resolution equations one order better in √s than the limit equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.claims._experiment import ORDER_TOLERANCE, VALLEY_START, path, valley

F = tw.Objective(valley)
START = np.array(VALLEY_START)
SLOPE = np.asarray(F.gradient(jnp.asarray(START)))
TIME, FINE, MU = 2.0, 4, 1.0
STEPS = (80, 160)


def followed(law, push, steps):
    """The motion at t = k√s."""
    return path(tw.Method(law, tw.RK4(), TIME / steps / FINE), START, FINE * steps, push).position[::FINE]


def order(points, law, push):
    """In √s, of the largest distance until a fixed time; `push` is the slope at the start over √s ∇f."""
    gaps = []
    for steps in STEPS:
        root = TIME / steps
        velocity = None if push is None else push * root * SLOPE
        gaps.append(np.max(np.abs(points(root, steps) - followed(law(root), velocity, steps))))
    return np.log2(gaps[0] / gaps[1])


def by_constant_momentum(alias):
    def points(root, steps):
        decay = np.sqrt(MU) * root
        return path(alias(F, root**2, (1 - decay) / (1 + decay)), START, steps).lookahead

    return points


def low(root):
    del root
    return tw.HeavyBall(F, 2 * np.sqrt(MU))


def nesterovs(root):
    return tw.HighResolutionFlow(F, root**2, MU)


def heavy_balls(root):
    """No damping along the curvature: x'' + 2√μ x' + (1 + √(μs)) ∇f = 0, which is over its last factor a heavy ball."""
    weight = 1 + np.sqrt(MU) * root
    return tw.HeavyBall(F, 2 * np.sqrt(MU) / weight, mass=1 / weight)


@pytest.mark.parametrize(
    ("alias", "law", "push", "expected"),
    [
        # The slope at the start is half that of the first two points, of which the one before has no force.
        (tw.nesterov, nesterovs, -1.5, 2.0),
        (tw.nesterov, low, None, 1.0),
        (tw.nesterov, heavy_balls, -1.5, 1.0),
        (tw.momentum, heavy_balls, -0.5, 2.0),
        (tw.momentum, low, None, 1.0),
        (tw.momentum, nesterovs, -0.5, 1.0),
    ],
    ids=[
        "Nesterov's own",
        "Nesterov, limit",
        "Nesterov, the ball's",
        "ball, its own",
        "ball, limit",
        "ball, Nesterov's",
    ],
)
def test_the_gradient_correction_tells_nesterov_from_the_heavy_ball(alias, law, push, expected):
    """Both have the same limit; each is second order to its own equation from its own slope, first to the other's."""
    assert order(by_constant_momentum(alias), law, push) == pytest.approx(expected, abs=ORDER_TOLERANCE)


def test_from_its_published_start_it_is_of_first_order_alone():
    """Not of the second, which it has from the slope of the points; 1 is met from below."""
    assert 0.8 < order(by_constant_momentum(tw.nesterov), nesterovs, None) < 1.0


def rising(root, steps):
    """Nesterov's method for convex functions, momentum k/(k+3): where its gradients are taken."""
    slope = jax.jit(lambda x: F.gradient(x))
    x, y, points = START, START, [START]
    for k in range(steps):
        new = y - root**2 * np.asarray(slope(jnp.asarray(y)))
        x, y = new, new + k / (k + 3) * (new - x)
        points.append(y)
    return np.array(points)


@pytest.mark.parametrize(
    ("law", "expected"),
    [(lambda root: tw.HighResolutionFlow(F, root**2), 2.0), (lambda root: tw.NesterovFlow(F), 1.0)],
    ids=["high resolution", "limit"],
)
def test_with_rising_momentum_too_from_the_equations_own_start(law, expected):
    assert order(rising, law, None) == pytest.approx(expected, abs=ORDER_TOLERANCE)
