"""Gradients that are evaluated, counted on the host, are the gradients that are reported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.rows import quick

ROWS = quick([row for row in tw.table() if not row.method.normals])
CURVATURE = jnp.array([0.4, 1.0, 1.7])
START = jnp.array([1.0, -0.5, 2.0])


class Counter:
    """A quadratic whose every gradient, and every derivative of a gradient, is counted when it is evaluated."""

    def __init__(self):
        self.gradients = self.products = 0

        @jax.custom_jvp
        def product(x, v):
            # With the point, or the same columns at every step would be taken once, before the loop.
            return CURVATURE * self._through(v, x)

        @product.defjvp
        def _(primals, tangents):
            (x, v), (_, change) = primals, tangents
            return product(x, v), product(x, change)

        @jax.custom_jvp
        def slope(x):
            return CURVATURE * self._through(x)

        @slope.defjvp
        def _(primals, tangents):
            [x], [v] = primals, tangents
            return slope(x), product(x, v)

        @jax.custom_jvp
        def fn(x):
            return 0.5 * jnp.sum(CURVATURE * x**2)

        @fn.defjvp
        def _(primals, tangents):
            [x], [v] = primals, tangents
            return fn(x), jnp.sum(slope(x) * v)

        self.fn = fn

    def _through(self, x, at=None):
        # The result is used, so that what a compiler drops as unused is not counted.
        tick, point = (self._tick, ()) if at is None else (self._tick_product, (at,))
        # Of a Jacobian each column is one.
        return jax.pure_callback(tick, jax.ShapeDtypeStruct(x.shape, x.dtype), x, *point, vmap_method="sequential")

    def _tick(self, x):
        self.gradients += 1
        return np.asarray(x)

    def _tick_product(self, x, at):
        del at
        self.products += 1
        return np.asarray(x)

    @property
    def evaluations(self):
        return self.gradients + self.products


def test_the_counter_counts():
    counter = Counter()
    f = tw.Objective(counter.fn)
    jax.jit(lambda x: jax.lax.fori_loop(0, 7, lambda _, y: y - 0.1 * f.gradient(y), x))(START)
    assert counter.evaluations == 7
    gradient, curved = jax.jit(f.gradient_and_curvature)(START, START)
    np.testing.assert_allclose(gradient, curved)
    assert counter.evaluations == 9
    assert f.value(START) > 0 and counter.evaluations == 9


@pytest.mark.parametrize("row", ROWS)
def test_counted_gradients_are_the_reported_ones_and_recording_the_loss_costs_none(row):
    counter = Counter()
    method = row.build(tw.Objective(counter.fn))
    run = tw.run(method, START, 11, record="loss")
    # One at the start, to refuse what is not finite, and one at the end, for the last row of the loss.
    if row.method.gradients_vary:
        # Many products at one point, where the gradient is taken once: each counts 2, as one with its gradient does.
        assert counter.gradients - 2 + 2 * counter.products == run.gradients
        if not row.scheme.controlled:
            assert counter.products == method.scheme.hessian_products(run.state) > 11
        return
    assert counter.evaluations - 2 == run.gradients
    assert run.gradients == method.gradients_at_start + 11 * row.gradients_per_step


def test_without_a_record_only_the_check_at_the_start_is_added():
    counter = Counter()
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
