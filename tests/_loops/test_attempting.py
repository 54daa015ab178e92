"""Adaptive steps in the pure loop: derivatives in closed form, what is constant in them, times, and how it ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

CURVATURE = jnp.array([1.0, 3.0])
X0 = jnp.array([1.0, -2.0])
TIGHT = dict(rtol=1e-10, atol=1e-10)


def decay(t, x, rate):
    del t
    return -rate * CURVATURE * x


def end(x0, rate, until, gradient="direct", scheme=tw.Tsit5(), steps=120):  # noqa: B008
    method = tw.Method(tw.Field(decay, rate), tw.Adaptive(scheme, **TIGHT, until=until), 0.1)
    return tw.solve(method, x0, steps, gradient=gradient).final.position


def exact(x0, rate, until):
    return jnp.exp(-rate * CURVATURE * until) * x0


@pytest.mark.parametrize("gradient", ["direct", pytest.param("checkpoint", marks=pytest.mark.slow)])
def test_derivatives_in_closed_form(gradient):
    """By the start, by a constant of the law and by the end, which moves the last step alone."""
    found = jax.jit(jax.jacrev(end, (0, 1, 2)), static_argnums=3)(X0, 1.2, 0.9, gradient)
    for one, other in zip(found, jax.jacrev(exact, (0, 1, 2))(X0, 1.2, 0.9), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.slow
def test_forwards_and_many_at_once():
    forwards = jax.jacfwd(end, 1)(X0, 1.2, 0.9)
    np.testing.assert_allclose(forwards, jax.jacfwd(exact, 1)(X0, 1.2, 0.9), rtol=1e-8)
    rates, untils = jnp.array([0.5, 2.0]), jnp.array([0.7, 1.5])
    found = jax.vmap(jax.jacrev(end, 1), (None, 0, 0))(X0, rates, untils)
    np.testing.assert_allclose(found, jax.vmap(jax.jacrev(exact, 1), (None, 0, 0))(X0, rates, untils), atol=1e-9)


@pytest.mark.slow
def test_the_lengths_of_steps_are_constants():
    """The derivative is that of the same steps on a grid of times, far from that of the motion at a loose tolerance."""
    x0, until = jnp.array([2.0]), 1.5

    def field(t, x, rate):
        return -rate * x**3 + jnp.sin(3.0 * t)

    def adaptive(rate, save=None):
        scheme = tw.Adaptive(tw.BogackiShampine(), rtol=0.05, atol=0.05, until=until)
        return tw.solve(tw.Method(tw.Field(field, rate), scheme, 0.4), x0, 30, save=save)

    seen = adaptive(1.0, lambda s: s.time).saved
    grid = jnp.unique(seen)
    # Some attempts are rejected before the end.
    assert int(np.sum(np.diff(seen[: int(np.argmax(seen == until)) + 1]) == 0.0)) > 0

    def fixed(rate):
        return tw.solve(tw.Method(tw.Field(field, rate), tw.BogackiShampine(), times=grid), x0).final.position[0]

    ours = jax.value_and_grad(lambda rate: adaptive(rate).final.position[0])(1.0)
    np.testing.assert_allclose(ours, jax.value_and_grad(fixed)(1.0), rtol=1e-12)
    across = [adaptive(1.0 + step).final.position[0] for step in (-1e-6, 1e-6)]
    assert abs(float(ours[1] - (across[1] - across[0]) / 2e-6)) > 1e-5


def test_what_was_rejected_as_no_number_has_no_part_in_a_derivative():
    """A first step of 5 sends stages of x' = -ax beyond the edge of the square root, where its slope is no number."""

    def final(rate):
        field = tw.Field(lambda t, x, rate: -rate * x + 0.0 * jnp.sqrt(x), rate)
        return tw.solve(tw.Method(field, tw.Adaptive(**TIGHT, until=1.0), 5.0), jnp.ones(1), 100).final.position[0]

    # Many at once, where no branch is left out.
    np.testing.assert_allclose(jax.vmap(jax.grad(final))(jnp.array([2.0, 3.0])), -np.exp([-2.0, -3.0]), rtol=1e-8)


@pytest.mark.slow
def test_a_stiff_pair_has_derivatives_too():
    found = jax.jacrev(end, 1)(X0, 1.0, 1.0, "direct", tw.Rodas5P(), 200)
    np.testing.assert_allclose(found, jax.jacrev(exact, 1)(X0, 1.0, 1.0), rtol=1e-7)
    # Nothing is no number after the end, where many at once go on.
    many = jax.vmap(lambda until: jax.jacrev(end, 1)(X0, 1.0, until, "direct", tw.Rodas5P(), 200))(
        jnp.array([0.5, 1.0])
    )
    np.testing.assert_allclose(many[1], found, rtol=1e-10)


def test_steps_end_at_the_times_that_are_kept():
    times = jnp.array([0.0, 0.03, 0.31, 0.32, 1.0])
    scheme = tw.Adaptive(**TIGHT)
    method = tw.Method(tw.Field(decay, 1.0), scheme, 0.1)
    found = tw.solve(method, X0, 120, times=times, save=lambda s: (s.position, s.time))
    np.testing.assert_array_equal(found.saved[1], times)
    # To the tolerance, where a cubic between the long steps would be off by 1e-5.
    np.testing.assert_allclose(found.saved[0], np.exp(-np.outer(times, CURVATURE)) * X0[None], rtol=0, atol=1e-8)
    assert float(found.final.time) == 1.0 and np.array_equal(found.final.position, found.saved[0][-1])


@pytest.mark.slow
def test_the_slope_of_a_kept_state_by_its_time_is_the_rate_there():
    method, times = tw.Method(tw.Field(decay, 1.0), tw.Adaptive(**TIGHT), 0.1), jnp.array([0.03, 0.31, 1.0])
    slopes = jax.jacrev(lambda t: tw.solve(method, X0, 120, times=t).saved[:, 0])(times)
    np.testing.assert_allclose(slopes, np.diag(-np.exp(-times)), rtol=0, atol=1e-8)


@pytest.mark.slow
def test_a_stop_is_on_the_way_and_costs_few_steps():
    free, stopped = (tw.Adaptive(rtol=1e-8, atol=1e-8, until=4.0, stops=stops) for stops in (None, [1.0, 1.001, 2.5]))
    field = tw.Field(lambda t, x, args: jnp.stack([x[1], -x[0]]))
    runs = [tw.run(tw.Method(field, scheme, 0.1), X0, 500) for scheme in (free, stopped)]
    assert {1.0, 1.001, 2.5, 4.0} <= set(np.asarray(runs[1].metrics["time"]).tolist())
    assert runs[1].final.step <= runs[0].final.step + 2 * 3
    kept = tw.solve(tw.Method(field, stopped, 0.1), X0, 500, times=[1.001, 3.0], save=lambda s: s.time)
    assert kept.saved.tolist() == [1.001, 3.0]


def test_too_few_attempts_are_an_error():
    method = tw.Method(tw.Field(decay, 1.0), tw.Adaptive(**TIGHT, until=1.0), 0.1)
    with pytest.raises(tw.InputError, match=r"not come to its end, time 1: 3 attempts of a step came to 0\.\d+; make"):
        tw.solve(method, X0, 3)
    with pytest.raises(Exception, match="has not come to its end in 3 attempts of a step"):
        jax.block_until_ready(jax.jit(lambda x: tw.solve(method, x, 3).final.position)(X0))
    # Without an end of its own it makes as many as it is given.
    assert float(tw.solve(tw.Method(tw.Field(decay, 1.0), tw.Adaptive(**TIGHT), 0.1), X0, 3).final.time) < 1.0


def test_what_stalls_is_an_error():
    """x' = 1 / (1 - x) from 0, and no force beyond 1/2."""
    edge = tw.GradientFlow(lambda x: jnp.sum(jnp.log(1.0 - x) + jnp.where(x > 0.5, jnp.nan, 0.0) * x))
    method = tw.Method(edge, tw.Adaptive(rtol=1e-8, atol=1e-8, until=10.0), 0.1)
    with pytest.raises(tw.InputError, match=r"its end, time 10: no step from time 0\.375 is finite: 40 were rejected"):
        tw.solve(method, jnp.array([0.0]), 300)


def test_traced_times_out_of_order_are_an_error():
    method = tw.Method(tw.Field(decay, 1.0), tw.Adaptive(rtol=1e-6, atol=1e-6, until=1.0), 0.1)
    with pytest.raises(Exception, match="times to be kept do not go up"):
        jax.block_until_ready(jax.jit(lambda t: tw.solve(method, X0, 60, times=t).saved)(jnp.array([0.5, 0.2])))


@pytest.mark.parametrize("stops", [[], [1.0, 0.5], [[1.0]], [np.nan], "soon"], ids=str)
def test_stops_that_are_no_times_are_refused(stops):
    with pytest.raises(tw.InputError, match="stops must be"):
        tw.Adaptive(stops=stops)
