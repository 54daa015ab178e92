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
        pytest.param(lambda x: jnp.sum(jnp.abs(x)), jnp.array([1.0, 2.3]), "stalled", marks=pytest.mark.slow),
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


# To the bit, which XLA's older emitter, of the quick tests, does not keep.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "powers"),
    [(jnp.float32, (24, 27, -60)), (jnp.float64, (24, -60, 600, -900))],
    ids=["float32", "float64"],
)
def test_another_unit_of_f_changes_no_step(dtype, powers):
    start, tolerance = jnp.array([-1.2, 1.0], dtype), 1e-3 if dtype is jnp.float32 else 1e-8

    def taken(power):
        unit = 2.0**power
        return tw.minimize(lambda x: unit * rosenbrock(x), start, tolerance * unit, record=1)

    plain = taken(0)
    assert plain.status == "converged" and plain.gradients < 60
    for power in powers:
        run = taken(power)
        assert (run.status, run.gradients) == ("converged", plain.gradients)
        assert (run.trace.position == plain.trace.position).all()
        np.testing.assert_array_equal(run.metrics["loss"], 2.0**power * plain.metrics["loss"])


@pytest.mark.slow
@pytest.mark.parametrize(("f", "start"), [(rosenbrock, 1e8), (lambda x: 1e20 * rosenbrock(x), 3.0)])
def test_norms_beyond_the_square_root_of_what_a_number_holds(f, start):
    """Gradients of 4e26, whose squares are infinite in float32."""
    run = tw.minimize(f, jnp.full(2, start, jnp.float32), max_gradients=400)
    assert run.status in ("converged", "budget spent") or "rounding of f" in run.message
    # Where rounding stops it, which XLA without its optimisations makes it do, it is at the last digits of the terms.
    bound = 1e-20 if run.status == "converged" else 1e-15
    assert run.metrics["loss"][-1] < bound * run.metrics["loss"][0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_numbers_keep_their_dtype_and_a_tolerance_below_them_is_said(dtype):
    bowl = lambda x: jnp.sum((x - jnp.asarray(0.3, x.dtype)) ** 2)  # noqa: E731
    run = tw.minimize(bowl, jnp.ones(3, dtype))
    assert run.status == "converged" and run.final.position.dtype == dtype
    assert (run.final.position == jnp.asarray(0.3, dtype)).all()
    run = tw.minimize(rosenbrock, jnp.array([-1.2, 1.0], dtype))
    assert run.status == "stalled" and run.gradients < 200
    assert f"in {dtype} hides what is left; a tolerance of 1e-06 is below" in run.message


def test_variables_in_other_units_are_scaled_before_it_stalls():
    """Misra (1978), as NIST certifies it, from the first of its starts: rates a million times smaller than sizes."""
    x = jnp.array([77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0])
    y = jnp.array([10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78])
    run = tw.minimize(lambda b: jnp.sum((b[0] * (1.0 - jnp.exp(-b[1] * x)) - y) ** 2), jnp.array([500.0, 1e-4]))
    assert run.status == "converged" and run.gradients < 200
    np.testing.assert_allclose(run.metrics["loss"][-1], 1.2455138894e-01, rtol=1e-8)
    np.testing.assert_allclose(run.final.position, [2.3894212918e02, 5.5015643181e-04], rtol=1e-6)


@pytest.mark.parametrize(
    ("f", "start", "says"),
    [
        (lambda x: 1.0 + jnp.sum(jnp.abs(x - 0.3)), [1.0, 2.3], "f is not smooth here"),
        (lambda x: 1e9 + jnp.sum(jnp.cos(x)), [1.0, 2.3], "rounding of f and its gradient in float64"),
        (lambda x: jnp.sum(x**2) + jax.lax.stop_gradient(jnp.sum((x - 2.0) ** 2)), [1.0, 2.3], "is not that of f"),
        (lambda x: jnp.where(x[0] > 1.0, x[0] ** 2, jnp.nan), [3.0], "is not finite a step from here"),
    ],
    ids=["a kink", "rounding", "another gradient", "an edge"],
)
def test_where_it_stalls_it_says_why(f, start, says):
    tolerance = 1e-30 if "rounding" in says else 1e-6
    run = tw.minimize(f, jnp.array(start), tolerance)
    assert run.status == "stalled" and says in run.message, run.message


def test_a_part_of_the_gradient_at_the_start_is_enough_where_it_is_asked_for():
    f = lambda x: 1e8 * rosenbrock(x)  # noqa: E731
    run = tw.minimize(f, jnp.array([-1.2, 1.0]), 0.0, relative=1e-5)
    first = norm(f, jnp.array([-1.2, 1.0]))
    assert run.status == "converged" and norm(f, run.final.position) <= 1e-5 * first
    assert "within 1e-05 of that at the start" in run.message


@pytest.mark.parametrize(
    ("f", "start", "says"),
    [
        (lambda x: jnp.sum(jnp.exp(-x)), [0.0], "f is flat here"),
        (lambda x: jnp.sum(1.0 / x), [1.0], "f is flat here"),
        (lambda x: jnp.sum(jnp.tanh(x) ** 2), [20.0], "so at the start"),
        (rosenbrock, [-1.2, 1.0], ""),
        (lambda x: jnp.sum((x - 100.0) ** 2), [0.0, 0.0], ""),
    ],
)
def test_a_gradient_that_is_small_because_f_is_flat_is_told_from_a_minimum(f, start, says):
    run = tw.minimize(f, jnp.array(start))
    assert run.status == "converged"
    assert says in run.message and (bool(says) or "flat" not in run.message)


@pytest.mark.slow
@pytest.mark.parametrize("start", [[-1.2, 1.0], [0.0, 3.0]])
def test_steps_that_are_traced_go_the_way_of_those_on_the_host(start):
    f = rosenbrock if start[0] else lambda x: jnp.sum((x**2 - 1.0) ** 2)
    run = tw.minimize(f, jnp.array(start), 1e-8, record=1)
    method = tw.Method(tw.GradientFlow(f), tw.PseudoTransient(tolerance=1e-8), 1.0)
    traced = jax.jit(lambda x: tw.solve(method, x, 30, save=lambda state: state.position))(jnp.array(start))
    rows = min(25, run.steps)
    np.testing.assert_allclose(traced.saved[:rows], run.trace.position[:rows], rtol=1e-5, atol=1e-9)


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
