"""Objectives that depend on time."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

# x' = -(x - sin t) from x(0) = 1: x = (sin t - cos t)/2 + 3/2 exp(-t).
MOVING = tw.Objective(lambda x, t: 0.5 * jnp.sum((x - jnp.sin(t)) ** 2), time_dependent=True)
EXACT = (np.sin(2.0) - np.cos(2.0)) / 2 + 1.5 * np.exp(-2.0)


@pytest.mark.parametrize(("scheme", "order"), [(tw.Euler(), 1), (tw.Heun(), 2), (tw.RK4(), 4)])
def test_a_flow_follows_it_at_the_order_of_its_scheme(scheme, order):
    errors = []
    for steps in (160, 320):
        run = tw.run(tw.Method(tw.GradientFlow(MOVING), scheme, 2.0 / steps), jnp.array([1.0]), steps)
        errors.append(abs(float(run.final.position[0]) - EXACT))
        assert run.metrics["loss"][-1] == pytest.approx(0.5 * (float(run.final.position[0]) - np.sin(2.0)) ** 2)
        assert run.metrics["loss"][0] == 0.5
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("method", [tw.momentum(MOVING, 0.1, 0.9), tw.nesterov(MOVING, 0.1, 0.9)])
def test_a_run_is_its_steps_and_its_solution(method):
    run = tw.run(method, jnp.array([1.0]), 10)
    state = method.init(jnp.array([1.0]))
    for _ in range(10):
        state = method.step(state)
    np.testing.assert_allclose(run.final.position, state.position, rtol=1e-13)
    np.testing.assert_allclose(tw.solve(method, jnp.array([1.0]), 10).final.position, state.position, rtol=1e-13)


def test_arguments_and_tolerances_go_with_it():
    f = tw.Objective(lambda x, a, t: 0.5 * jnp.sum((x["p"] - a * jnp.sin(t)) ** 2), 1.0, time_dependent=True)
    method = tw.Method(tw.GradientFlow(f), tw.Adaptive(rtol=1e-9, atol=1e-9, until=2.0), 0.1)
    run = tw.run(method, {"p": jnp.array([1.0])}, 500)
    np.testing.assert_allclose(run.final.position["p"], [EXACT], atol=1e-8)


def test_without_a_time_it_has_no_value():
    with pytest.raises(tw.InputError, match="depends on time"):
        MOVING.value(jnp.ones(1))
    assert float(MOVING.at(0.0).value(jnp.ones(1))) == 0.5
    plain = tw.Objective(lambda x: jnp.sum(x**2))
    assert plain.at(1.0) is plain
    for scheme in (tw.PseudoTransient(), tw.AdaptiveChebyshev()):
        with pytest.raises(tw.InputError, match="depends on time"):
            tw.run(tw.Method(tw.GradientFlow(MOVING), scheme, 0.1), jnp.ones(1), 3)
