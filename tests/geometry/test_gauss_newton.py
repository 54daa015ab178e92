"""The Gauss-Newton metric: its steps are Gauss and Newton's and Levenberg's, and residuals fall straight in it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

GaussNewton = tw.geometry.GaussNewton
MATRIX = jnp.array([[2.0, 1.0], [1.0, -3.0], [0.5, 4.0]])
LINE = tw.LeastSquares(lambda x: MATRIX @ x - jnp.array([1.0, 2.0, 3.0]))
VALLEY = tw.LeastSquares(lambda x: jnp.stack([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)]))
START = jnp.array([-1.2, 1.0])


@pytest.mark.parametrize("dense", [256, 0], ids=["formed", "products"])
def test_one_step_solves_linear_least_squares(dense):
    law = tw.GradientFlow(LINE, geometry=GaussNewton(LINE, dense=dense, tolerance=1e-14))
    end = tw.run(tw.Method(law, tw.Euler(), 1.0), START, 1, record=None).final.position
    exact = np.linalg.lstsq(np.asarray(MATRIX), np.array([1.0, 2.0, 3.0]), rcond=None)[0]
    np.testing.assert_allclose(end, exact, rtol=1e-13)


@pytest.mark.parametrize("dense", [256, 0], ids=["formed", "products"])
def test_residuals_go_straight_to_0(dense):
    law = tw.GradientFlow(VALLEY, geometry=GaussNewton(VALLEY, dense=dense, tolerance=1e-13))
    method = tw.Method(law, tw.Adaptive(rtol=1e-12, atol=1e-13, until=1.0), 0.01)
    run = tw.run(method, START, 5000, record=None)
    left = VALLEY.residual(START) * np.exp(-1.0)
    np.testing.assert_allclose(VALLEY.residual(run.final.position), left, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_every_explicit_scheme_has_its_order_in_it():
    left = 0.5 * VALLEY.residual(START)
    exact = jnp.stack([1.0 - left[0], 0.1 * left[1] + (1.0 - left[0]) ** 2])
    law = tw.GradientFlow(VALLEY, geometry=GaussNewton(VALLEY))
    for scheme, order in ((tw.Euler(), 1), (tw.RK4(), 4)):
        method = tw.Method(law, scheme, 0.1)
        found = tw.analysis.convergence_order(method, START, float(np.log(2.0)), (32, 64), reference=exact)
        assert found.order == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("h", [0.01, 3.0])
def test_levenberg_is_the_linearly_implicit_euler_step(h):
    ours = tw.gauss_newton(VALLEY, damping=1.0 / h)
    implicit = tw.Method(tw.GradientFlow(VALLEY), tw.RosenbrockEuler(tolerance=1e-15), h)
    one, other = (m.step(m.init(START)).position for m in (ours, implicit))
    np.testing.assert_allclose(one - START, other - START, rtol=1e-11)
    # And beside an Euler step of the same h in flat space it is another.
    assert float(jnp.linalg.norm(one - (START - h * VALLEY.gradient(START)))) > 0.1


@pytest.mark.slow
def test_marquardt_has_the_lengths_of_columns_for_the_identity_and_an_h_of_his_own():
    method = tw.Method(tw.GradientFlow(VALLEY), tw.LevenbergMarquardt(), 1.0)
    shifted = 0
    state, stepped = method.init(START), eqx.filter_jit(method.step)
    for _ in range(12):
        after = stepped(state)
        step, shift = after.position - state.position, after.memory.shift
        if float(shift) > 0 and float(jnp.linalg.norm(step)) > 0:
            shifted += 1
            scale = state.memory.factors.scale
            scaled = tw.LeastSquares(lambda y, scale=scale: VALLEY.residual(y / scale))
            expected = GaussNewton(scaled, shift).velocity(
                scale * state.position, scaled.gradient(scale * state.position)
            )
            np.testing.assert_allclose(step, -expected / scale, rtol=1e-8)
            assert float(jnp.abs(scale - 1.0).max()) > 0.1
        state = after
    assert shifted >= 2


@pytest.mark.slow
def test_the_probe_about_a_minimum_knows_the_step():
    method = tw.gauss_newton(VALLEY, 0.3)
    minimum = (0.0, jnp.ones(2))
    np.testing.assert_allclose(tw.analysis.amplification(method, at=minimum), 0.7 * np.eye(2), atol=1e-12)
    assert tw.analysis.largest_stable_step(method, at=minimum) == pytest.approx(2.0, rel=1e-9)
    # Where residuals stay, it is their Hessians that make a difference.
    left = tw.LeastSquares(lambda x: jnp.stack([x[0] + 1.0, 0.25 * x[0] ** 2 + 1.0, x[1] - x[0] ** 2, x[1]]))
    x = tw.minimize(left, jnp.zeros(2), tolerance=1e-12).final.position
    jacobian = jax.jacfwd(left.residual)(x)
    expected = np.eye(2) - 0.3 * np.linalg.solve(jacobian.T @ jacobian, jax.hessian(left.value)(x))
    found = tw.analysis.amplification(tw.gauss_newton(left, 0.3), at=(0.0, x))
    np.testing.assert_allclose(found, expected, atol=1e-7)
    with pytest.raises(
        tw.InputError, match="the linear probe is for laws in flat space, but GradientFlow has the geometry"
    ):
        tw.analysis.amplification(method, 1.0)


def test_it_is_the_metric_of_trees_and_of_their_vector():
    tree = tw.LeastSquares(lambda x: {"a": x["a"] * jnp.sin(x["b"]), "b": 3.0 * x["b"] - x["a"]})
    start = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([0.5, -0.3])}
    method = tw.gauss_newton(tree, 0.5, damping=0.1)
    assert list(method.hyperparameters) == ["learning_rate"]
    state = method.init(start)
    for _ in range(3):
        state = method.step(state)
    end = tw.run(method, start, 3, record=None).final.position
    for name in start:
        np.testing.assert_allclose(end[name], state.position[name], rtol=1e-12)


def test_another_damping_compiles_nothing_anew_and_a_sweep_takes_it():
    traced = []

    def residuals(x):
        traced.append(x)
        return MATRIX @ x - jnp.array([1.0, 2.0, 3.0])

    least_squares = tw.LeastSquares(residuals)
    for damping in (0.1, 0.2):
        tw.run(tw.gauss_newton(least_squares, 0.5, damping), START, 2, record=None)
        # Before a run its start is looked at.
        count = len(traced) if damping == 0.1 else count
    assert len(traced) <= count + 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tw.gauss_newton(VALLEY, damping=-1.0), "damping must be at least 0, but is -1"),
        (lambda: GaussNewton(VALLEY, products=0), "products must be a whole number of at least 1, but is 0"),
        (lambda: tw.run(tw.gauss_newton(VALLEY), jnp.ones(3), 1), "of 3 parameters has rank 2 at most"),
        (lambda: tw.HeavyBall(VALLEY, 1.0, geometry=GaussNewton(VALLEY)), "GaussNewton is a metric alone"),
        (lambda: tw.Method(tw.GradientFlow(VALLEY, geometry=GaussNewton(VALLEY)), tw.LevenbergMarquardt(), 1.0),
         "LevenbergMarquardt takes the gradient of f"),
    ],
)  # fmt: skip
def test_misfits_are_one_line(make, message):
    with pytest.raises(tw.InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
