"""The observed order of every row is the one it claims, on a nonlinear function in 3 dimensions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.rows import quick, smooth, stepping
from thalweg.analysis import convergence_order
from thalweg.analysis.order import reference_end

# What goes by signs turns at once, and has no order there: tests/schemes/test_lie_trotter.py.
ROWS = quick(
    [
        row
        for row in smooth(stepping(tw.table()))
        if not row.method.normals and getattr(row.dynamics, "form", "") != "sign"
    ]
)
BALLS = [row for row in ROWS if isinstance(row.values[0].dynamics, tw.HeavyBall)]
LOPSIDED = tw.problems.lopsided()
VELOCITY = jnp.array([0.7, -0.4, 1.1])


def on_lopsided(row, friction=1.0):
    """The row's method at a friction that no step changes."""
    law = row.dynamics
    if isinstance(law, tw.HeavyBall):
        law = tw.HeavyBall(None, friction)
    if isinstance(law, tw.AdamFlow):
        # At the row's own step the memory is short; without the correction the flow begins where it is singular.
        law = tw.AdamFlow(None, first=0.5, second=2.0, epsilon=0.1, decay=law.decay)
    return tw.Method(law, row.scheme, 0.1).with_objective(LOPSIDED.objective)


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_the_order_it_claims(row):
    assert convergence_order(on_lopsided(row), LOPSIDED.start).order == pytest.approx(row.order, abs=0.1)


@pytest.mark.parametrize("row", BALLS)
def test_also_from_a_starting_velocity(row):
    found = convergence_order(on_lopsided(row), LOPSIDED.start, velocity=VELOCITY)
    assert found.order == pytest.approx(row.order, abs=0.1)


@pytest.mark.parametrize("velocity", [None, VELOCITY], ids=["from rest", "moving"])
def test_momentum_is_second_order_from_the_exact_start_and_first_from_the_empty_buffer(velocity):
    beta = 0.9
    exact, zero = tw.leapfrog(LOPSIDED.objective, 0.1, beta), tw.momentum(LOPSIDED.objective, 0.1, beta)
    assert exact.dynamics.friction == zero.dynamics.friction
    assert convergence_order(exact, LOPSIDED.start, velocity=velocity).order == pytest.approx(2.0, abs=0.05)
    assert convergence_order(zero, LOPSIDED.start, velocity=velocity).order == pytest.approx(1.0, abs=0.05)


def test_the_exact_start_is_the_formula_of_the_mission():
    """v_0 = h (eta_0 + (h/2)(lambda eta_0 + g_0)): mission A7."""
    h, friction = 0.2, 0.7
    method = tw.Method(tw.HeavyBall(LOPSIDED.objective, friction), tw.Leapfrog(), h)
    gradient = LOPSIDED.objective.gradient(LOPSIDED.start)
    expected = VELOCITY + h / 2 * (friction * VELOCITY + gradient)
    np.testing.assert_allclose(method.init(LOPSIDED.start, VELOCITY).velocity, expected, rtol=1e-15)


@pytest.mark.parametrize("damping", [1.0, 2.0, 3.0, 5.5])
@pytest.mark.parametrize(
    ("scheme", "order"), [(tw.Leapfrog(), 2), (tw.RK4(), 4)], ids=lambda value: getattr(value, "name", None)
)
def test_nesterov_ode_keeps_its_order_through_the_singular_start(scheme, order, damping):
    method = tw.Method(tw.NesterovFlow(LOPSIDED.objective, damping), scheme, 0.1)
    assert convergence_order(method, LOPSIDED.start, horizon=2.0).order == pytest.approx(order, abs=0.1)


def test_leapfrog_with_mass_and_varying_friction_is_second_order():
    law = tw.HeavyBall(LOPSIDED.objective, lambda t: 1.0 / (1.0 + t), mass=1.7)
    found = convergence_order(tw.Method(law, tw.Leapfrog(), 0.1), LOPSIDED.start, velocity=VELOCITY)
    assert found.order == pytest.approx(2.0, abs=0.05)


def test_gradient_flow_with_a_rate_of_time_keeps_the_order():
    law = tw.GradientFlow(LOPSIDED.objective, rate=lambda t: 1.0 + 0.5 * jnp.sin(3.0 * t))
    assert convergence_order(tw.Method(law, tw.RK4(), 0.1), LOPSIDED.start).order == pytest.approx(4.0, abs=0.1)
    assert convergence_order(tw.Method(law, tw.Heun(), 0.1), LOPSIDED.start).order == pytest.approx(2.0, abs=0.1)


def varied(s):
    """A smooth, growing map of [0, 1] to itself: steps between a third and five thirds of their mean."""
    return s + jnp.sin(2 * jnp.pi * s) / (3 * jnp.pi)


@eqx.filter_jit
def end(method, horizon, count, velocity):
    """The position after steps from place to place, as a schedule gives them."""
    method = method.with_step_size(lambda i: horizon * (varied((i + 1) / count) - varied(i / count)))
    first = method.init(LOPSIDED.start, velocity)
    return jax.lax.fori_loop(0, count, lambda _, state: method.step(state), first).position


@pytest.mark.parametrize(
    ("law", "scheme", "order"),
    [
        (tw.HeavyBall(LOPSIDED.objective, 0.8, mass=1.3), tw.Leapfrog(), 2),
        (tw.HeavyBall(LOPSIDED.objective, 0.8, mass=1.3), tw.Leapfrog(start="zero"), 1),
        (tw.NesterovFlow(LOPSIDED.objective), tw.Leapfrog(), 2),
        (tw.HeavyBall(LOPSIDED.objective, 0.8, mass=1.3), tw.Lookahead(), 1),
        (tw.HeavyBall(LOPSIDED.objective, 0.8, mass=1.3), tw.RK4(), 4),
    ],
    ids=["leapfrog", "leapfrog from zero", "Nesterov's ODE", "look-ahead", "RK4"],
)
def test_steps_that_vary_smoothly_keep_the_order(law, scheme, order):
    """A kick goes from the middle of one step to the middle of the next, so that leapfrog stays second order."""
    velocity = VELOCITY if isinstance(law, tw.HeavyBall) else None
    horizon = 1.5
    exact = reference_end(law, LOPSIDED.start, jnp.zeros(3) if velocity is None else velocity, horizon)
    method = tw.Method(law, scheme, 0.1)
    counts = (64, 128) if order == 4 else (256, 512)
    errors = [float(jnp.linalg.norm(end(method, horizon, jnp.asarray(n), velocity) - exact)) for n in counts]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)
