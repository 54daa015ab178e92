"""Grids of times: both ends of a step read from the grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

TIMES = np.cumsum(np.random.default_rng(0).uniform(0.001, 0.1, 60))
SWING = tw.Field(lambda t, x, args: -x * jnp.cos(t))


def test_the_times_of_a_run_are_those_of_the_grid_to_the_bit():
    run = tw.run(tw.Method(SWING, tw.RK4(), times=TIMES), jnp.ones(1), record=1)
    assert run.steps == TIMES.size - 1
    np.testing.assert_array_equal(run.metrics["time"], TIMES)
    np.testing.assert_array_equal(run.trace.time, TIMES)
    assert run.final.time == TIMES[-1]
    exact = np.exp(np.sin(TIMES[0]) - np.sin(TIMES))
    np.testing.assert_allclose(run.trace.position[:, 0], exact, atol=1e-7)


@pytest.mark.parametrize("scheme", [tw.Euler(), tw.Heun(), tw.RK4(), tw.Tsit5()])
def test_every_evaluation_at_an_end_is_at_the_very_time_of_the_grid(scheme):
    # A field that tells whether its time is one of the grid, which a sum would miss by a rounding.
    grid = jnp.asarray(TIMES)
    field = tw.Field(lambda t, x, args: jnp.where(jnp.any(grid == t), 1.0, 0.0) + 0 * x)
    ends = sum(
        b for b, c in zip(scheme.tableau.b, scheme.tableau.c, strict=True) if abs(c) < 1e-12 or abs(c - 1) < 1e-12
    )
    run = tw.run(tw.Method(field, scheme, times=TIMES), jnp.zeros(1))
    np.testing.assert_allclose(run.final.position, ends * (TIMES[-1] - TIMES[0]), rtol=1e-12)


def test_down_a_grid_a_field_goes_back_where_it_came_from():
    there = tw.run(tw.Method(SWING, tw.Tsit5(), times=TIMES), jnp.ones(1)).final.position
    back = tw.run(tw.Method(SWING, tw.Tsit5(), times=TIMES[::-1]), there).final
    np.testing.assert_allclose(back.position, [1.0], atol=1e-9)
    assert back.time == TIMES[0]


def test_an_even_grid_is_a_step_size():
    ball = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), 0.3)
    for scheme in (tw.Leapfrog(), tw.Lookahead(), tw.RK4()):
        grid = tw.run(tw.Method(ball, scheme, times=jnp.linspace(0, 2, 21)), jnp.ones(2)).final
        plain = tw.run(tw.Method(ball, scheme, 0.1), jnp.ones(2), 20).final
        np.testing.assert_allclose(grid.position, plain.position, rtol=1e-12)
        np.testing.assert_allclose(grid.velocity, plain.velocity, rtol=1e-12)


def test_a_law_begins_at_the_first_time_of_the_grid():
    # Friction 3/t on no force: the velocity falls as t^-3.
    law = tw.NesterovFlow(lambda x: 0.0 * jnp.sum(x))
    method = tw.Method(tw.HeavyBall(law.objective, lambda t: 3.0 / t), tw.RK4(), times=jnp.linspace(1.0, 2.0, 201))
    run = tw.run(method, jnp.zeros(1), velocity=jnp.ones(1))
    np.testing.assert_allclose(run.final.velocity, [0.125], rtol=1e-9)


def test_the_times_are_leaves():
    def end(times):
        return tw.solve(tw.Method(SWING, tw.RK4(), times=times), jnp.ones(1)).final.position[0]

    times = jnp.linspace(0.0, 1.0, 9)
    slope = jax.grad(end)(times)
    np.testing.assert_allclose(slope[-1], -np.cos(1.0) * np.exp(-np.sin(1.0)), rtol=1e-4)
    np.testing.assert_allclose(slope[1:-1], 0.0, atol=1e-4)
    traces = []
    counted = jax.jit(lambda times: (traces.append(0), end(times))[1])
    counted(times), counted(2 * times)
    assert len(traces) == 1


def test_a_run_over_a_grid_goes_on_bit_for_bit(tmp_path):
    method = tw.Method(SWING, tw.RK4(), times=TIMES)
    tw.run(method, jnp.ones(1), 23, out=tmp_path / "run")
    resumed = tw.run(method, jnp.ones(1), out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.final.position, tw.run(method, jnp.ones(1)).final.position)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: tw.Method(SWING, tw.Euler(), times=[0.0, 1.0, 1.0]), r"but times\[1\] is 1 and times\[2\] is 1"),
        (lambda: tw.Method(SWING, tw.Euler(), times=[0.0, 1.0, 0.5]), r"but times\[1\] is 1 and times\[2\] is 0.5"),
        (lambda: tw.Method(SWING, tw.Euler(), times=[0.0]), "two numbers or more"),
        (lambda: tw.Method(SWING, tw.Euler(), times="now"), "two numbers or more"),
        (lambda: tw.Method(SWING, tw.Euler(), times=[0.0, jnp.inf]), "times must be finite"),
        (lambda: tw.Method(SWING, tw.Euler(), 0.1, times=[0.0, 1.0]), "one of them"),
        (lambda: tw.Method(SWING, tw.Adaptive(), times=[0.0, 1.0]), "sets its steps itself"),
        (lambda: tw.Method(tw.GradientFlow(jnp.sum), tw.Euler(), times=[1.0, 0.0]), "GradientFlow, which backwards"),
        (lambda: tw.Method(tw.HeavyBall(None, 1.0), tw.Leapfrog(), times=[1.0, 0.0]), "HeavyBall, which backwards"),
        (
            lambda: tw.run(tw.Method(SWING, tw.Euler(), times=[0.0, 1.0]), jnp.ones(1), 2),
            "times for 1 steps, but steps is 2",
        ),
        (lambda: tw.run(tw.Method(SWING, tw.Euler(), 0.1), jnp.ones(1)), "steps"),
    ],
)
def test_what_is_no_grid_is_refused(build, message):
    with pytest.raises(tw.InputError, match=message):
        build()
