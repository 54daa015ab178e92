"""Steps computed by hand, starts, and pairs that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

SPECTRUM = jnp.array([1.0, 4.0])
X0 = jnp.array([1.0, -2.0])
ETA0 = jnp.array([0.5, 3.0])


def quadratic(x):
    return 0.5 * jnp.sum(SPECTRUM * x**2)


def test_leapfrog_by_hand():
    h, friction, mass = 0.3, 0.7, 2.0
    method = tw.Method(tw.HeavyBall(quadratic, friction, mass), tw.Leapfrog(), h)
    state = method.init(X0, ETA0)
    acceleration = (-SPECTRUM * X0 - friction * ETA0) / mass
    half = ETA0 - h / 2 * acceleration
    np.testing.assert_allclose(state.velocity, half, rtol=1e-15)
    beta = (1 - friction * h / 2 / mass) / (1 + friction * h / 2 / mass)
    kick = h / mass / (1 + friction * h / 2 / mass)
    eta = beta * half - kick * SPECTRUM * X0
    after = method.step(state)
    np.testing.assert_allclose(after.velocity, eta, rtol=1e-15)
    np.testing.assert_allclose(after.position, X0 + h * eta, rtol=1e-15)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0, 1.7])
def test_lookahead_by_hand(fraction):
    a, b = 0.05, 0.8
    h = (2 * a / (1 + b)) ** 0.5
    friction = 2 * (1 - b) / (1 + b) / h
    method = tw.Method(tw.HeavyBall(quadratic, friction), tw.Lookahead(fraction, start="zero"), h)
    state = method.init(X0)
    theta, v = np.asarray(X0), np.zeros(2)
    for _ in range(7):
        v = b * v - a * np.asarray(SPECTRUM) * (theta + fraction * b * v)
        theta = theta + v
        state = method.step(state)
        np.testing.assert_allclose(state.position, theta, rtol=1e-13)
        np.testing.assert_allclose(state.lookahead, theta + fraction * b * v, rtol=1e-13)
        np.testing.assert_allclose(h * state.velocity, v, rtol=1e-12)


def test_the_two_starts():
    ball = tw.HeavyBall(quadratic, 0.5)
    exact, zero = (tw.Method(ball, tw.Leapfrog(start=start), 0.1).init(X0, ETA0) for start in ("exact", "zero"))
    np.testing.assert_array_equal(zero.velocity, ETA0)
    # v0 = h (eta0 + (h/2)(lambda eta0 + g0)), mission 7.
    np.testing.assert_allclose(exact.velocity, ETA0 + 0.05 * (0.5 * ETA0 + SPECTRUM * X0), rtol=1e-15)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.9, 1.0])
def test_momentum_and_friction_are_inverse(momentum):
    method = tw.momentum(quadratic, 0.05, momentum)
    found = method.hyperparameters
    np.testing.assert_allclose([found["learning_rate"], found["momentum"]], [0.05, momentum], rtol=1e-14, atol=1e-15)
    friction, h = float(method.dynamics.friction), float(method.step_size)
    np.testing.assert_allclose(friction * h, 2 * (1 - momentum) / (1 + momentum), rtol=1e-14)


def test_heavier_balls_have_the_same_learning_rate_when_rescaled():
    base = tw.momentum(quadratic, 0.05, 0.9)
    heavy = tw.Method(tw.HeavyBall(quadratic, 1.0, mass=9.0), tw.Leapfrog(start="zero"), 0.4)
    moved = heavy.with_learning_rate(0.05)
    now = moved.hyperparameters
    np.testing.assert_allclose(now["learning_rate"], 0.05, rtol=1e-14)
    np.testing.assert_allclose(now["momentum"], heavy.hyperparameters["momentum"], rtol=1e-14)
    assert float(moved.dynamics.mass) == 9.0
    assert float(base.dynamics.mass) == 1.0


def test_nesterovs_ode_starts_right():
    """x'' + (3/t) x' + l x = 0 from rest is 2 J1(t sqrt l)/(t sqrt l) x0; leapfrog follows it from t = 0."""
    from scipy.special import j1

    errors = []
    for n in (100, 200):
        run = tw.run(tw.Method(tw.NesterovFlow(quadratic), tw.Leapfrog(), 4.0 / n), X0, n, record=None)
        z = 4.0 * np.sqrt(np.asarray(SPECTRUM))
        errors.append(np.max(np.abs(np.asarray(run.final.position) - 2 * j1(z) / z * np.asarray(X0))))
    assert errors[1] < 2e-4
    assert 3.8 < errors[0] / errors[1] < 4.2


def test_time_is_compensated_in_float32():
    method = tw.Method(tw.GradientFlow(quadratic, rate=lambda t: 1.0 / (1.0 + t)), tw.Euler(), 0.01)
    clock = method.init(X0).clock
    import jax

    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.float64 else leaf, clock)
    ticked = jax.lax.fori_loop(0, 1_000_000, lambda _, c: c.tick(jnp.float32(0.01)), narrow)
    # A bare float32 sum ends at 9865.2.
    assert abs(float(ticked.time) - 1e6 * float(np.float32(0.01))) < 1e-2
    assert int(ticked.steps) == 1_000_000


def test_pairs_that_do_not_fit_say_why():
    for scheme in (tw.Leapfrog(), tw.Lookahead()):
        with pytest.raises(tw.InputError, match=r"GradientFlow has no separate force or friction; use tw\.RK4"):
            tw.Method(tw.GradientFlow(quadratic), scheme, 0.1)
        with pytest.raises(tw.InputError, match="HighResolutionFlow has no separate force or friction"):
            tw.Method(tw.HighResolutionFlow(quadratic, 0.1), scheme, 0.1)


def test_a_tableau_must_fit_together():
    with pytest.raises(tw.InputError, match="row i must have i entries"):
        tw.ButcherTableau("bad", ((), (0.5, 0.1)), (0.5, 0.5), 2)
    with pytest.raises(tw.InputError, match="must sum to 1"):
        tw.ButcherTableau("bad", ((), (0.5,)), (0.5, 0.6), 2)


def test_a_tableau_of_ones_own():
    """Kutta's third-order method, from nothing but its coefficients."""
    kutta3 = tw.RungeKutta(tw.ButcherTableau("Kutta3", ((), (0.5,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), 3))
    method = tw.Method(tw.GradientFlow(None), kutta3, 0.1)
    assert method.gradients_per_step == 3
    assert abs(tw.analysis.convergence_order(method).order - 3) < 0.1
    np.testing.assert_allclose(tw.analysis.largest_stable_step(method, 1.0), 2.5127453266, rtol=1e-9)


@pytest.mark.parametrize("make", [tw.momentum, tw.leapfrog, tw.nesterov, tw.midpoint_momentum])
def test_a_state_goes_on_under_other_hyperparameters(make):
    """Its velocity is kept, not its buffer; the next gradient is taken where the state looked ahead."""
    one, other = make(quadratic, 0.05, 0.8), make(quadratic, 0.02, 0.95)
    state = one.init(X0)
    for _ in range(5):
        state = one.step(state)
    theta, eta, ahead = (np.asarray(part) for part in (state.position, state.velocity, state.lookahead))
    h, friction = float(other.step_size), float(other.dynamics.friction)
    beta, kick = (1 - friction * h / 2) / (1 + friction * h / 2), h / (1 + friction * h / 2)
    fraction = float(getattr(other.scheme, "fraction", 0.0))
    for _ in range(3):
        eta = beta * eta - kick * np.asarray(SPECTRUM) * ahead
        theta = theta + h * eta
        ahead = theta + fraction * beta * h * eta
        state = other.step(state)
        np.testing.assert_allclose(state.position, theta, rtol=1e-13)
        np.testing.assert_allclose(state.velocity, eta, rtol=1e-12)
        np.testing.assert_allclose(state.lookahead, ahead, rtol=1e-13)


def test_a_rate_of_1_is_the_number_and_goes_the_way_of_any_other():
    f, x0 = tw.Objective(lambda x: jnp.sum(0.25 * x**4)), jnp.array([1.5, -0.5])
    number, array = tw.GradientFlow(f, rate=1.0), tw.GradientFlow(f, rate=jnp.asarray(1.0))
    assert isinstance(number.rate, int) and number.rate == 1 and isinstance(array.rate, jax.Array)
    ends = [tw.run(tw.Method(law, tw.RK4(), 0.1), x0, 20).final.position for law in (number, array)]
    np.testing.assert_allclose(*ends, rtol=1e-14)
