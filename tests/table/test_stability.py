"""The limits of stability: predicted by the probe, known in closed form, and found by running."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.rows import few, flat, limited, quick, stepping
from thalweg.analysis import largest_stable_learning_rate, largest_stable_step, spectral_radius

# Those that go by signs have none: tests/table/test_steps.py.
LIMITED = [row for row in limited(flat(tw.table())) if not (row.method.normals or row.method.gradients_vary)]
# Of the schemes that most rows have; the others are among the slow tests.
PREDICTED = few(LIMITED, "gradient_descent", "momentum", "nesterov", "nesterov_flow_rk4", "adam")
UNLIMITED = quick([row for row in stepping(tw.table()) if row.method.gradients_vary])
ROWS = [pytest.param(row, id=row.name) for row in tw.table() if not row.method.normals]
SPECTRUM = np.array([0.35, 1.2, 2.9])
Q = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
HESSIAN = Q @ np.diag(SPECTRUM) @ Q.T
QUADRATIC = tw.Objective(lambda x, H: 0.5 * x @ (H @ x), args=jnp.asarray(HESSIAN))
LATE = 1e12
BURN_IN, WINDOW = 2000, 5000
GRID, ROUNDS = np.geomspace(0.1, 10.0, 65), 6
BEAT = 2e-4


def at(method, knob, value):
    return method.with_step_size(value) if knob == "step" else method.with_learning_rate(value)


@eqx.filter_jit
def growth(method, knob, values, x0, v0):
    """Growth exponents a step of the running method, over two windows one after the other.

    The state is scaled back to energy 1 at every step. The weights are a bump: averaged with them, the
    logarithms of a quasi-periodic orbit converge to their mean faster than any power of the window.
    """

    def exponents(value):
        moved = at(method, knob, value).with_objective(QUADRATIC)
        second = moved.dynamics.order == 2
        state = moved.init(x0, v0 if second else None)
        if state.clock is not None:
            state = eqx.tree_at(lambda s: s.clock.time, state, jnp.asarray(LATE))

        def step(i, carry):
            state, sums = carry
            state = moved.step(state)
            energy = state.position @ (QUADRATIC.args @ state.position)
            length = jnp.sqrt(energy + (jnp.sum(state.velocity**2) if second else 0.0))
            averages = jax.tree.map(lambda leaf: leaf / length, state.auxiliary)
            state = state.at(state.position / length, state.velocity / length if second else None)
            state = dataclasses.replace(state, auxiliary=averages)
            place = i - BURN_IN
            t = (place % WINDOW + 0.5) / WINDOW
            weight = jnp.where(place >= 0, jnp.exp(-1.0 / (t * (1.0 - t))), 0.0)
            window = jnp.clip(place // WINDOW, 0, 1)
            return state, sums.at[window].add(jnp.array([1.0, jnp.log(length)]) * weight)

        _, sums = jax.lax.fori_loop(0, BURN_IN + 2 * WINDOW, step, (state, jnp.zeros((2, 2))))
        return sums[:, 1] / sums[:, 0]

    return jax.vmap(exponents)(values)


def exponents_of(method, knob, values):
    rng = np.random.default_rng(0)
    x0, v0 = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=3))
    # A double root on the unit circle, or a slow beat below it, does not show in both windows.
    return np.asarray(growth(method, knob, jnp.asarray(values), x0, v0)).min(axis=1)


def limit_by_running(method, knob):
    """The first value that grows on a grid of two decades, then between it and its neighbour, again and again.

    Where the method damps below its limit, the exponent changes sign there. Where it conserves (leapfrog without
    friction) an exponent below `BEAT` may be a slow beat; but above such a limit the exponent grows like a square
    root and passes `BEAT` within 1e-8 of it.
    """
    # Stages of a stabilised method take it further than the others go.
    values, noise = GRID * (10.0 if method.dynamics.order == 1 and method.gradients_per_step > 6 else 1.0), BEAT
    for round_ in range(ROUNDS):
        exponents = exponents_of(method, knob, values)
        first = int(np.argmax(exponents > noise))
        assert exponents[first] > noise and first > 2, "the grid does not hold the limit"
        below = first - 1
        if round_ == 1 and exponents[first - 3] < -1e-5:
            noise, below = 0.0, first - 3
        found = values[first]
        values = np.linspace(2 * values[below] - values[first], found, len(GRID))
    return found


@pytest.mark.parametrize("row", PREDICTED)
def test_the_predicted_step_is_the_one_found_by_running(row):
    predicted = largest_stable_step(row.method, HESSIAN)
    # What restarts is followed between its restarts, which may save what would diverge.
    method = row.method.linearised()
    if predicted == np.inf:
        assert exponents_of(method, "step", GRID).max() < BEAT
        return
    assert limit_by_running(method, "step") == pytest.approx(predicted, rel=1e-6)


@eqx.filter_jit
def energies(method, x0, v0):
    """The energy along a run, which the law never lets rise."""
    second = method.dynamics.order == 2

    def step(state, _):
        kinetic = 0.5 * jnp.sum(state.velocity**2) if second else 0.0
        return method.step(state), 0.5 * state.position @ (QUADRATIC.args @ state.position) + kinetic

    return jax.lax.scan(step, method.init(x0, v0 if second else None), length=100)[1]


@pytest.mark.parametrize("row", UNLIMITED)
def test_what_has_no_limit_does_not_grow_at_any_step(row):
    assert largest_stable_step(row.method, HESSIAN) == np.inf
    for h in (1e-2, 1.0, 30.0, 1e6):
        run = np.asarray(energies(row.method.with_step_size(h).with_objective(QUADRATIC), jnp.ones(3), -jnp.ones(3)))
        assert run[-1] < run[0] and np.all(run[1:] <= run[:-1] * (1 + 1e-6))


@pytest.mark.parametrize("row", [row for row in ROWS if "momentum" in row.values[0].defaults])
def test_the_predicted_learning_rate_is_the_one_found_by_running(row):
    predicted = largest_stable_learning_rate(row.method, HESSIAN)
    assert limit_by_running(row.method, "learning rate") == pytest.approx(predicted, rel=1e-6)


@pytest.mark.parametrize("h", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("scheme", [tw.Euler(), tw.Midpoint(), tw.Heun(), tw.Ralston()], ids=lambda s: s.name)
def test_low_orders_are_never_stable_without_friction(scheme, h):
    method = tw.Method(tw.HeavyBall(None, friction=0.0), scheme, 0.1)
    assert largest_stable_step(method, HESSIAN) == 0.0
    assert exponents_of(method, "step", [h])[0] > 1e-7
    # |R(iy)|^2 = 1 + y^2 for Euler's method and 1 + y^4 / 4 for those of order 2, y = h sqrt(l).
    y = h * np.sqrt(SPECTRUM[-1])
    expected = 1 + y**2 if scheme.order == 1 else 1 + y**4 / 4
    assert spectral_radius(method.with_step_size(h), HESSIAN) ** 2 == pytest.approx(expected, rel=1e-12)


def real_root(coefficients, low, high):
    roots = np.roots(coefficients)
    [root] = [r.real for r in roots if abs(r.imag) < 1e-9 and low < r.real < high]
    return root


# |R| = 1 on the negative real axis: R(-z) = 1 - z + z^2 / 2 - z^3 / 6 + z^4 / 24 = 1.
RK4_LIMIT = real_root([1 / 24, -1 / 6, 1 / 2, -1, 0], 2, 3)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("gradient_descent", 2), ("midpoint", 2), ("heun", 2), ("ralston", 2), ("rk4", RK4_LIMIT)],
)
def test_gradient_flow_limits_in_closed_form(name, limit):
    method = {row.name: row for row in tw.table()}[name].method
    assert pytest.approx(2.785293563405282, rel=1e-14) == RK4_LIMIT
    for curvature in (0.03, 1.0, 410.0):
        assert largest_stable_step(method, curvature) == pytest.approx(limit / curvature, rel=1e-11)
        assert largest_stable_learning_rate(method, curvature) == pytest.approx(limit / curvature, rel=1e-11)
    fast = tw.Method(tw.GradientFlow(None, rate=2.5), method.scheme, 0.1)
    assert largest_stable_step(fast, 4.0) == pytest.approx(limit / 10.0, rel=1e-11)
    assert largest_stable_learning_rate(fast, 4.0) == pytest.approx(limit / 4.0, rel=1e-11)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 0.9, 0.99, 1.0])
def test_momentum_limits_in_closed_form(beta):
    cases = {
        tw.momentum: 2 + 2 * beta,
        tw.leapfrog: 2 + 2 * beta,
        tw.nesterov: (2 + 2 * beta) / (1 + 2 * beta),
        tw.midpoint_momentum: 2.0,
    }
    for alias, limit in cases.items():
        assert largest_stable_learning_rate(alias(None, 0.1, beta), 1.0) == pytest.approx(limit, rel=1e-9)
        assert largest_stable_learning_rate(alias(None, 0.1, beta), [0.2, 5.0]) == pytest.approx(limit / 5, rel=1e-9)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5, 0.8, 1.0, 2.0])
def test_lookahead_limit_is_the_lesser_of_two(fraction):
    """The mission's A10: real roots leave at -1, complex ones where their product beta - a alpha l is -1 or 1."""
    beta = 0.7
    method = tw.nesterov(None, 0.1, beta)
    method = tw.Method(method.dynamics, tw.Lookahead(fraction), method.step_size)
    a = fraction * beta
    limit = (2 + 2 * beta) / (1 + 2 * a)
    if a > 0:
        limit = min(limit, (1 + beta) / a)
    assert largest_stable_learning_rate(method, 3.0) == pytest.approx(limit / 3, rel=1e-9)


@pytest.mark.parametrize("friction", [0.0, 0.01, 1.0, 10.0])
@pytest.mark.parametrize("mass", [1.0, 2.5])
def test_leapfrog_limit_is_the_same_at_every_friction(friction, mass):
    method = tw.Method(tw.HeavyBall(None, friction, mass), tw.Leapfrog(), 0.1)
    for curvature in (0.2, 7.0):
        assert largest_stable_step(method, curvature) == pytest.approx(2 * np.sqrt(mass / curvature), rel=1e-9)


def test_rk4_limit_on_the_imaginary_axis():
    method = tw.Method(tw.HeavyBall(None, friction=0.0), tw.RK4(), 0.1)
    assert largest_stable_step(method, 4.0) == pytest.approx(np.sqrt(8) / 2, rel=1e-9)


def test_the_matrix_of_momentum_is_the_known_one():
    beta, alpha, curvature = 0.8, 0.3, 2.0
    method = tw.momentum(None, alpha, beta)
    h = float(method.step_size)
    # (theta, v) -> (theta + v', v') with v' = beta v - alpha l theta, and v = h eta.
    step = np.array([[1 - alpha * curvature, beta], [-alpha * curvature, beta]])
    change = np.diag([1, h])
    expected = np.linalg.solve(change, step @ change)
    np.testing.assert_allclose(tw.analysis.amplification(method, curvature), expected, rtol=0, atol=1e-15)


def test_the_spectral_radius_is_the_rate_of_the_run():
    method = tw.nesterov(None, 0.1, 0.8)
    [rate] = exponents_of(method, "learning rate", [0.1])
    assert np.exp(rate) == pytest.approx(np.max(spectral_radius(method, SPECTRUM)), rel=1e-8)
