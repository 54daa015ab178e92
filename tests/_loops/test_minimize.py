"""tw.minimize: it arrives, it says honestly where it did not, it leaves saddles, and it counts what it spends."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import optimize

import thalweg as tw
from tests.table.test_gradients import CURVATURE, START, Counter


def rosenbrock(x):
    return jnp.sum((1.0 - x[:-1]) ** 2 + 100.0 * (x[1:] - x[:-1] ** 2) ** 2)


def wells(x):
    return jnp.sum((x**2 - 1.0) ** 2) + 0.1 * jnp.sum(x)


def norm(f, x):
    return float(jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(jax.grad(f)(x)))))


def test_rosenbrock_in_ten_dimensions_and_its_account():
    start = jnp.full(10, -1.2)
    run = tw.minimize(rosenbrock, start, tolerance=1e-8)
    assert run.status == "converged"
    np.testing.assert_allclose(run.final.position, 1.0, atol=1e-7)
    assert norm(rosenbrock, run.final.position) <= 1e-8
    memory = run.state.memory
    # One gradient and a product at the start, a gradient each trial, two for every product of a look.
    assert run.gradients == 3 + (run.steps - memory.products) + 2 * memory.products
    losses = run.metrics["loss"]
    assert len(losses) == run.steps + 1 and (np.diff(losses) <= 0).all()
    assert memory.rejected == np.sum(np.diff(losses)[: run.steps - int(memory.products)] == 0)


def test_gradients_counted_on_the_host_are_those_reported():
    counter = Counter(CURVATURE)
    method = tw.Method(tw.GradientFlow(counter.fn), tw.PseudoTransient(tolerance=1e-7), 1.0)
    step = eqx.filter_jit(lambda state: method.step(state))
    state = eqx.filter_jit(method.init)(START)
    while method.scheme.termination(state) is None:
        state = step(state)
    jax.effects_barrier()
    assert method.scheme.termination(state).status == "converged" and state.memory.products > 0
    # Of a product the compiler leaves the derivative of a gradient; it is reported as two gradients all the same.
    products = 1 + state.memory.products
    assert counter.evaluations == state.memory.gradients - products


@pytest.mark.parametrize(
    "start",
    [pytest.param([0.0, 3.0], id="on a ridge"), pytest.param([0.0, 0.0], id="at a maximum", marks=pytest.mark.slow)],
)
def test_what_is_no_minimum_is_left(start):
    f = lambda x: jnp.sum((x**2 - 1.0) ** 2)  # noqa: E731
    run = tw.minimize(f, jnp.array(start))
    assert run.status == "converged" and run.state.memory.left >= 1
    np.testing.assert_allclose(np.abs(run.final.position), 1.0, atol=1e-6)


def test_a_direction_is_followed_where_the_gradient_stays_within_the_tolerance():
    """Not looked for again after every step: one look finds it, and one says that it has ended."""
    f = lambda x: 1e-8 * jnp.sum((x**2 - 1.0) ** 2)  # noqa: E731
    run = tw.minimize(f, jnp.zeros(1), tolerance=1e-6)
    assert run.status == "converged"
    assert abs(run.final.position[0]) > 3**-0.5  # beyond it the curvature is positive
    memory = run.state.memory
    assert (memory.left, memory.products) == (1, 2)


def test_a_trial_far_off_leaves_no_curvature_behind():
    """The box of Box, Hunter and Hunter (1978): where a rate is tried that is negative, f is above 1e70."""
    x, y = jnp.array([1.0, 2.0, 3.0, 5.0, 7.0, 10.0]), jnp.array([109.0, 149.0, 149.0, 191.0, 213.0, 224.0])
    f = lambda b: jnp.sum((b[0] * (1.0 - jnp.exp(-b[1] * x)) - y) ** 2)  # noqa: E731
    run = tw.minimize(f, jnp.ones(2))
    assert run.status == "converged" and run.gradients < 60
    np.testing.assert_allclose(run.final.position, [213.80940889, 0.54723748542], rtol=1e-9)


@pytest.mark.parametrize(
    ("f", "start", "status"),
    [
        (lambda x: -jnp.sum(x**2), jnp.zeros(3), "unbounded"),
        pytest.param(lambda x: jnp.sum(x), jnp.ones(3), "unbounded", marks=pytest.mark.slow),
        (lambda x: jnp.sum(jnp.abs(x)), jnp.array([1.0, 2.3]), "stalled"),
        pytest.param(lambda x: jnp.sum(0.0 * x), jnp.ones(2), "converged", marks=pytest.mark.slow),
    ],
    ids=["a maximum", "a slope without end", "a kink", "a plain"],
)
def test_the_status_is_honest(f, start, status):
    run = tw.minimize(f, start)
    assert run.status == status
    assert run.gradients < 1500


def test_a_budget_is_kept_to():
    run = tw.minimize(rosenbrock, jnp.full(10, -1.2), max_gradients=25)
    assert run.status == "budget spent" and run.gradients <= 25
    assert norm(rosenbrock, run.final.position) > 1e-6


@pytest.mark.slow
def test_a_function_that_is_not_finite_beyond_a_wall_is_minimised_within():
    f = lambda x: x[0] - jnp.log(x[0])  # noqa: E731
    run = tw.minimize(f, jnp.array([50.0]))
    assert run.status == "converged" and float(run.final.position[0]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
def test_a_tree_in_float32_keeps_its_shapes_and_dtype():
    start = {"a": jnp.full((2, 3), 3.0, jnp.float32), "b": jnp.asarray(2.0, jnp.float32)}
    f = lambda p: jnp.sum((p["a"] - 1.0) ** 2) + p["b"] ** 2 * (1.0 + p["a"][0, 0] ** 2)  # noqa: E731
    run = tw.minimize(f, start, tolerance=1e-4)
    assert run.status == "converged"
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), run.final.position) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), start
    )
    np.testing.assert_allclose(run.final.position["a"], 1.0, atol=1e-4)


def test_resumed_it_goes_the_same_way(tmp_path):
    start = jnp.full(6, -1.2)
    whole = tw.minimize(rosenbrock, start, out=tmp_path / "whole")
    method = whole.method
    first = tw.run(method, start, 20, out=tmp_path / "parts")
    assert first.status == "finished"
    second = tw.minimize(rosenbrock, start, out=tmp_path / "parts", resume=True)
    assert second.status == "converged" and second.gradients == whole.gradients
    assert (second.final.position == whole.final.position).all()
    assert (second.metrics["loss"] == whole.metrics["loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("regularisation", [0.0, 1e-4, 1e-2])
def test_logistic_regression_takes_no_more_gradients_than_lbfgsb(regularisation):
    from sklearn.datasets import load_breast_cancer
    from sklearn.preprocessing import StandardScaler

    data, labels = load_breast_cancer(return_X_y=True)
    features = jnp.asarray(np.c_[StandardScaler().fit_transform(data), np.ones(len(data))])
    signs = jnp.asarray(2.0 * labels - 1.0)

    def f(w):
        return jnp.mean(jnp.logaddexp(0.0, -signs * (features @ w))) + 0.5 * regularisation * jnp.sum(w**2)

    evaluate, counted = jax.jit(jax.value_and_grad(f)), []

    def fun(w):
        value, gradient = evaluate(w)
        counted.append(float(jnp.linalg.norm(gradient)))
        return float(value), np.asarray(gradient)

    def arrived(_):
        if counted[-1] <= 1e-6:
            raise StopIteration

    options = {"gtol": 0, "ftol": 0, "maxiter": 10**5, "maxfun": 10**5}
    optimize.minimize(fun, np.zeros(31), jac=True, method="L-BFGS-B", options=options, callback=arrived)
    peer = 1 + int(np.argmax(np.asarray(counted) <= 1e-6))
    run = tw.minimize(f, jnp.zeros(31), tolerance=1e-6)
    assert run.status == "converged"
    assert run.gradients <= 1.5 * peer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": -1.0}, "tolerance must be at least 0"),
        ({"max_gradients": 0}, "max_gradients must be a whole number of at least 1"),
        ({"max_gradients": 2.5}, "max_gradients must be a whole number"),
    ],
)
def test_bad_input_is_one_line(change, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=message):
        tw.minimize(rosenbrock, jnp.zeros(3), **change)


def test_mini_batches_and_other_laws_are_refused():
    noisy = tw.FiniteSum(lambda x, s: (x - s) ** 2, jnp.arange(8.0), batch_size=2)
    with pytest.raises(tw.InputError, match=r"PseudoTransient needs the exact energy.*tw\.momentum"):
        tw.minimize(noisy, jnp.zeros(()))
    with pytest.raises(tw.InputError, match=r"follows tw\.GradientFlow"):
        tw.Method(tw.GradientFlow(rosenbrock, rate=lambda t: 1.0 + t), tw.PseudoTransient(), 1.0)
    with pytest.raises(tw.InputError, match="not finite at the start"):
        tw.minimize(lambda x: jnp.sum(jnp.sqrt(x)), jnp.zeros(2))
