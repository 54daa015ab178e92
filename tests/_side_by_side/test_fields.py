"""Orders, work and precision along a field."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

START = {"x": jnp.array(1.0), "v": jnp.array(0.5)}
ROTATION = tw.Field(lambda t, x, args: jnp.stack([-x[1], x[0]]))


def swing(t, x, strength):
    return {"x": x["v"], "v": strength * (1 - x["x"] ** 2) * x["v"] - x["x"] + 0.1 * jnp.cos(t)}


@pytest.mark.parametrize(("scheme", "order"), [(tw.Euler(), 1), (tw.Heun(), 2), (tw.RK4(), 4)])
def test_an_order_is_seen_on_a_tree_in_time(scheme, order):
    method = tw.Method(tw.Field(swing, 1.0), scheme, 0.1)
    found = tw.analysis.convergence_order(method, START, steps=(32, 45, 64, 91))
    assert found.order == pytest.approx(order, abs=0.1)


def test_work_and_precision_against_a_known_end():
    methods = {"RK4": tw.Method(ROTATION, tw.RK4(), 0.1), "Adaptive": tw.Method(ROTATION, tw.Adaptive(), 0.1)}
    found = tw.work_precision(
        methods, jnp.array([1.0, 0.0]), until=np.pi, steps=(16, 32), tolerances=(1e-6,), repeats=1,
        reference=jnp.array([-1.0, 0.0]),
    )  # fmt: skip
    assert found.orders["RK4"] == pytest.approx(4.0, abs=0.1)
    errors = {point.method: point.error for point in found.points}
    assert errors["Adaptive"] < 1e-4
    by_reference = tw.work_precision(
        {"RK4": methods["RK4"]}, jnp.array([1.0, 0.0]), until=np.pi, steps=(16, 32), repeats=1
    )
    np.testing.assert_allclose(by_reference.points[-1].error, errors["RK4"], rtol=1e-6)


@pytest.mark.slow
def test_a_law_that_evaluates_in_its_own_way_misses_its_objective_too():
    method = tw.Method(tw.HighResolutionFlow(None, step=0.01, strong_convexity=1.0), tw.RK4(), 0.1)
    assert method.lacks_objective
    assert not tw.Method(ROTATION, tw.RK4(), 0.1).lacks_objective
    assert tw.analysis.convergence_order(method).order == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("adapter", [tw.adapters.optax.transformation, tw.adapters.scipy.minimizer])
def test_adapters_that_hand_gradients_refuse_a_field(adapter):
    with pytest.raises(tw.InputError, match="hands a law its gradients, of which Field takes none"):
        adapter(tw.Method(ROTATION, tw.RK4(), 0.1))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: tw.analysis.convergence_order(m), "x0 must be given"),
        (lambda m: tw.compare([m], jnp.ones(2)), "with an objective"),
        (lambda m: tw.work_precision([m], {"x": jnp.array(1.0)}, until=1.0), "Field raised"),
        (lambda m: tw.work_precision([m], jnp.ones(2), until=1.0, reference=jnp.ones(3)), "of the shape of x0"),
        (lambda m: tw.analysis.convergence_order(m.joined(lambda x: 0 * x), jnp.ones(2)), "horizon must be given"),
    ],
)
def test_what_a_field_does_not_give_is_asked_for(ask, message):
    with pytest.raises(tw.InputError, match=message):
        ask(tw.Method(ROTATION, tw.RK4(), 0.1))
