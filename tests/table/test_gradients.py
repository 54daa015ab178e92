"""Gradients that are evaluated, counted on the host, are the gradients that are reported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.rows import quick
from thalweg.testing._counter import Counter

ROWS = quick([row for row in tw.table() if not row.method.normals])
CURVATURE = jnp.array([0.4, 1.0, 1.7])
START = jnp.array([1.0, -0.5, 2.0])


def test_the_counter_counts():
    counter = Counter(CURVATURE)
    f = tw.Objective(counter.fn)
    jax.jit(lambda x: jax.lax.fori_loop(0, 7, lambda _, y: y - 0.1 * f.gradient(y), x))(START)
    assert counter.evaluations == 7
    gradient, curved = jax.jit(f.gradient_and_curvature)(START, START)
    np.testing.assert_allclose(gradient, curved)
    assert counter.evaluations == 9
    assert f.value(START) > 0 and counter.evaluations == 9


@pytest.mark.parametrize("row", ROWS)
def test_counted_gradients_are_the_reported_ones_and_recording_the_loss_costs_none(row):
    counter = Counter(CURVATURE)
    method = row.build(tw.Objective(counter.fn))
    run = tw.run(method, START, 11, record="loss")
    # One at the start, to refuse what is not finite; the last loss is the one that the last chunk told.
    if row.method.gradients_vary:
        # Many products at one point, where the gradient is taken once: each counts 2, as one with its gradient does.
        assert counter.gradients - 1 + 2 * counter.products == run.gradients
        if not row.scheme.controlled:
            assert counter.products == method.scheme.hessian_products(run.state) > 11
        return
    assert counter.evaluations - 1 == run.gradients
    assert run.gradients == method.gradients_at_start + 11 * row.gradients_per_step


def test_without_a_record_only_the_check_at_the_start_is_added():
    counter = Counter(CURVATURE)
    run = tw.run(tw.leapfrog(tw.Objective(counter.fn), 0.1), START, 11, record=None)
    assert counter.evaluations - 1 == run.gradients == 12


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gradient_descent", (0, 1)),
        ("heun", (0, 2)),
        ("rk4", (0, 4)),
        ("tsit5", (0, 6)),
        ("momentum", (0, 1)),
        ("leapfrog", (1, 1)),
        ("nesterov", (0, 1)),
        ("nesterov_flow", (1, 1)),
        ("high_resolution_rk4", (1, 8)),
    ],
)
def test_the_numbers_themselves(name, expected):
    method = {row.name: row for row in tw.table()}[name].method
    assert (method.gradients_at_start, method.gradients_per_step) == expected
