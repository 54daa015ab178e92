"""Stabilised descent of unknown curvature: its polynomial, its counts, against heavy ball that knows the spectrum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

SCHEME = tw.AdaptiveChebyshev()
NORM = ("gradient_norm",)


def method(f):
    return tw.Method(tw.GradientFlow(f), SCHEME, 1.0)


def quadratic(curvatures, dtype=jnp.float64):
    curvatures = jnp.asarray(curvatures, dtype)
    return tw.Objective(lambda x: 0.5 * jnp.sum(curvatures * x * x))


def test_a_step_is_the_chebyshev_polynomial_of_what_it_took_the_spectrum_for():
    curvatures = np.geomspace(1.0, 1e3, 40)
    state = method(quadratic(curvatures)).init(jnp.ones(40))
    step = jax.jit(lambda state: method(quadratic(curvatures)).step(state))
    least = 0.0
    for _ in range(4):
        after = step(state)
        # The first step begins where the least is half of the largest.
        largest = float(after.memory.largest)
        least = float(state.memory.least) if least else 0.5 * largest
        s = int(after.memory.stages)
        assert s == np.ceil(2.0 * np.sqrt(largest / least))
        chebyshev = np.polynomial.Chebyshev.basis(s)
        factor = chebyshev((largest + least - 2 * curvatures) / (largest - least))
        factor /= chebyshev((largest + least) / (largest - least))
        np.testing.assert_allclose(after.position, factor * np.asarray(state.position), rtol=1e-9, atol=1e-14)
        assert np.all(np.abs(factor[curvatures > least]) < 1 / 26)
        state = after
    assert 1.0 < largest / 1e3 < 1.1
    assert after.memory.least == SCHEME.interval(after)[0] < 20


def gradients_to(run, size):
    """Gradients at the step that met it."""
    at = int(np.argmax(run.metrics["gradient_norm"] <= size))
    assert run.metrics["gradient_norm"][at] <= size
    return run.metrics["gradients"][at]


@pytest.mark.parametrize(
    ("condition", "bound"),
    [(1e2, 1.6), pytest.param(1e4, 1.2, marks=pytest.mark.slow), pytest.param(1e6, 1.1, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(
    "start", ["position", *(pytest.param(s, marks=pytest.mark.slow) for s in ("gradient", "random"))]
)
def test_against_heavy_ball_that_knows_the_spectrum(condition, bound, start):
    curvatures = np.geomspace(1.0, condition, 1000)
    f = quadratic(curvatures)
    x0 = {
        "position": np.ones(1000),
        "gradient": 1 / curvatures,
        "random": np.random.default_rng(3).normal(size=1000),
    }[start]
    size = 1e-8 * np.linalg.norm(curvatures * x0)
    stop, record = {"gradient_norm": size}, ("gradient_norm", "gradients")
    root = np.sqrt(condition)
    ball = tw.momentum(f, 4 / (1 + root) ** 2, ((root - 1) / (root + 1)) ** 2)
    tuned = gradients_to(tw.run(ball, jnp.asarray(x0), 20_000, stop=stop, record=record), size)
    run = tw.run(method(f), jnp.asarray(x0), 200, stop=stop, record=record)
    assert gradients_to(run, size) <= bound * tuned


def test_gradients_counted_on_the_host_are_those_reported():
    gradients, products = [], []
    curvatures = jnp.geomspace(1.0, 1e3, 30)

    @jax.custom_jvp
    def slope(x):
        return curvatures * jax.pure_callback(lambda x: (gradients.append(1), np.asarray(x))[1], x, x)

    @slope.defjvp
    def _(primals, tangents):
        ([x], [v]) = primals, tangents
        return slope(x), curvatures * jax.pure_callback(lambda v: (products.append(1), np.asarray(v))[1], v, v)

    @jax.custom_jvp
    def f(x):
        return 0.5 * jnp.sum(curvatures * x * x)

    f.defjvp(lambda primals, tangents: (f(*primals), jnp.vdot(slope(*primals), *tangents)))
    run = tw.run(method(tw.Objective(f)), jnp.ones(30), 9, record=None)
    assert run.gradients == int(run.state.memory.gradients)
    # One to check the start; of the product's two the compiler drops the gradient.
    assert len(gradients) - 1 == run.gradients - 2 * len(products) and len(products) == 8


@pytest.mark.slow
def test_curvature_that_grows_on_the_way_is_looked_at_again():
    """From where it is flat into a wall: the step that overshoots is undone."""
    f = tw.Objective(lambda x: jnp.sum(jnp.exp(8.0 * (x - 5.0)) - x))
    run = tw.run(method(f), jnp.array([0.0, 1.0]), 60, stop={"gradient_norm": 1e-8})
    assert run.status == "stopped" and 0 < int(run.state.memory.rejected) < 25
    np.testing.assert_allclose(run.final.position, 5.0 - np.log(8.0) / 8.0, atol=1e-8)
    assert np.all(np.diff(run.metrics["loss"]) <= 1e-12)
    walled = tw.Objective(lambda x: jnp.sum(x**2) - 0.01 * jnp.sum(jnp.log(1.0 - x)) + jnp.sum(jnp.cosh(9.0 * x)))
    run = tw.run(method(walled), jnp.array([0.99, -2.5]), 300, stop={"gradient_norm": 1e-9})
    assert run.status == "stopped" and np.all(np.isfinite(run.metrics["loss"]))


def test_the_loss_is_that_of_the_point_and_a_resumed_run_is_the_same(tmp_path):
    f = tw.problems.logistic_breast_cancer()
    whole = tw.run(method(f.objective), f.start, 8)
    tw.run(method(f.objective), f.start, 4, out=tmp_path / "run")
    rest = tw.run(method(f.objective), f.start, 8, out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(whole.metrics["loss"], rest.metrics["loss"])
    assert whole.gradients == rest.gradients
    assert whole.metrics["loss"][-1] == pytest.approx(float(f.objective.value(whole.final.position)), rel=1e-12)
    assert np.all(np.diff(whole.metrics["loss"]) < 0)


def test_single_precision_goes_as_far_as_it_can():
    run = tw.run(
        method(quadratic(np.geomspace(1.0, 1e4, 300), jnp.float32)), jnp.ones(300, jnp.float32), 30, record=NORM
    )
    assert run.final.position.dtype == jnp.float32
    assert run.metrics["gradient_norm"][-1] < 1e-6 * run.metrics["gradient_norm"][0]


@pytest.mark.parametrize("dimension", [1, 2])
def test_few_dimensions(dimension):
    run = tw.run(method(quadratic([1.0, 30.0][:dimension])), jnp.ones(dimension), 12, record=NORM)
    assert run.metrics["gradient_norm"][-1] < 1e-9


def test_without_curvature_and_downwards():
    line = tw.run(method(tw.Objective(lambda x: jnp.sum(x))), jnp.zeros(3), 10)
    assert np.all(np.diff(line.metrics["loss"]) < 0)
    ridge = tw.run(method(tw.Objective(lambda x: jnp.sum(jnp.cos(x)))), jnp.array([0.1, 0.2]), 60)
    np.testing.assert_allclose(np.cos(ridge.final.position), -1.0, atol=1e-12)


def test_what_it_cannot_follow_is_refused():
    with pytest.raises(tw.InputError, match=r"AdaptiveChebyshev follows tw.GradientFlow at a constant rate"):
        tw.Method(tw.GradientFlow(None, rate=lambda t: 1.0 + t), SCHEME, 1.0)
    with pytest.raises(tw.InputError, match=r"AdaptiveChebyshev acts on velocity, but HeavyBall has no separate"):
        tw.Method(tw.HeavyBall(None, 1.0), SCHEME, 1.0)
    f = tw.FiniteSum(lambda x, i: jnp.sum((x - i) ** 2), jnp.arange(4.0), batch_size=2)
    with pytest.raises(tw.InputError, match="the objective draws mini-batches"):
        method(f)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("bfloat16", "bfloat16"), pytest.param("float16", "float16", marks=pytest.mark.slow), ("float32", "float64")],
)
def test_short_numbers_and_a_value_of_another_precision(dtype, value):
    curvatures = jnp.geomspace(1.0, 100.0, 8)
    f = lambda x: (0.5 * jnp.sum(curvatures.astype(dtype) * x * x)).astype(value)  # noqa: E731
    run = tw.run(method(f), jnp.ones(8, dtype), 20)
    assert run.final.position.dtype == dtype and run.status == "finished"
    # Of a mode nothing is left but the last digit of where it began.
    assert np.abs(np.asarray(run.final.position, float)).max() < float(jnp.finfo(dtype).eps)
