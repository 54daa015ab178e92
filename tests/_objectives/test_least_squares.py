"""Least squares: one more objective to every law and scheme, and what is said of a fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

X = jnp.array([0.0, 1.0, 2.0, 3.0, 5.0])
Y = jnp.array([1.0, 2.5, 3.0, 5.5, 8.0])


def residuals(b, data):
    return b["a"] * jnp.exp(b["k"][0] * data[0]) + b["k"][1] - data[1]


F = tw.LeastSquares(residuals, (X, Y))
B = {"a": jnp.array(2.0), "k": jnp.array([0.3, -1.0])}


def plain(b):
    return 0.5 * jnp.sum(residuals(b, (X, Y)) ** 2)


def test_it_is_the_objective_that_its_value_says():
    value, gradient = F.value_and_gradient(B)
    assert float(value) == pytest.approx(float(plain(B)), rel=1e-14)
    expected = jax.grad(plain)(B)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), gradient, expected)
    v = {"a": jnp.array(0.5), "k": jnp.array([-1.0, 2.0])}
    curved = F.hessian_vector_product(B, v)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), curved, jax.jvp(jax.grad(plain), (B,), (v,))[1]
    )


def test_its_linear_model_is_that_of_the_jacobian():
    r, forward, backward = F.linearised(B)
    jacobian = jax.jacfwd(lambda k: residuals(B | {"k": k}, (X, Y)))(B["k"])
    v = jnp.array([1.0, -2.0])
    np.testing.assert_allclose(forward({"a": jnp.array(0.0), "k": v}), jacobian @ v, rtol=1e-13)
    np.testing.assert_allclose(backward(r)["k"], jacobian.T @ r, rtol=1e-13)
    gradient, curved = F.linearised_gradient(B)
    move = {"a": jnp.array(0.0), "k": v}
    along = F.gradient_along(B, move)
    np.testing.assert_allclose(curved(move)["k"], jacobian.T @ (jacobian @ v), rtol=1e-13)
    np.testing.assert_allclose(along["k"], gradient["k"] + curved(move)["k"], rtol=1e-13)


def test_a_tree_a_vector_and_any_law_see_the_same_function():
    """`tw.run` ravels the parameters, and the residuals of least squares with them."""
    for method in (tw.gradient_descent(F, 1e-3), tw.momentum(F, 1e-3, 0.5)):
        run = tw.run(method, B, 3)
        state = method.init(B)
        for _ in range(3):
            state = method.step(state)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), run.final.position, state.position)
        assert run.fit is not None and run.fit.sum_of_squares == pytest.approx(2 * float(run.metrics["loss"][-1]))
    assert tw.run(tw.gradient_descent(plain, 1e-3), B, 1).fit is None


@pytest.mark.slow
def test_a_linearly_implicit_step_is_levenbergs():
    """(1/bh + J'J) d = -J'r, dense; with the Hessian of the same f it is another."""
    h, rate = 0.7, 2.0
    step = lambda f: tw.Method(tw.GradientFlow(f, rate=rate), tw.RosenbrockEuler(tolerance=1e-14), h)  # noqa: E731
    ours, newton = (method.step(method.init(B)).position for method in (step(F), step(tw.Objective(plain))))
    r = residuals(B, (X, Y))
    jacobian = jax.jacfwd(lambda b: residuals({"a": b[0], "k": b[1:]}, (X, Y)))(jnp.array([2.0, 0.3, -1.0]))
    d = np.linalg.solve(jacobian.T @ jacobian + np.eye(3) / (rate * h), -jacobian.T @ r)
    np.testing.assert_allclose(ours["k"], B["k"] + d[1:], rtol=1e-10)
    assert abs(float(newton["k"][0] - ours["k"][0])) > 1e-3
    # Towards h = 0 both are gradient flow: order 1 whatever the curvature.
    small = tw.Method(tw.GradientFlow(F), tw.RosenbrockEuler(), 1e-8)
    moved = small.step(small.init(B)).position["a"] - B["a"]
    assert float(moved) == pytest.approx(-1e-8 * float(F.gradient(B)["a"]), rel=1e-4)


def test_the_covariance_of_a_line():
    """Closed form: s² (X'X)^-1 of y = a + b x."""
    design = np.stack([np.ones(5), np.asarray(X)], axis=1)
    f = tw.LeastSquares(lambda b: b["a"] + b["b"] * X - Y)
    solution, total, *_ = np.linalg.lstsq(design, np.asarray(Y), rcond=None)
    fit = f.fit({"a": jnp.array(solution[0]), "b": jnp.array(solution[1])})
    assert fit.degrees_of_freedom == 3 and fit.rank == 2
    assert fit.sum_of_squares == pytest.approx(float(total[0]), rel=1e-12)
    expected = total[0] / 3 * np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(fit.covariance, expected, rtol=1e-12)
    assert fit.standard_errors["b"] == pytest.approx(expected[1, 1] ** 0.5, rel=1e-12)
    np.testing.assert_allclose(fit.unscaled_covariance, np.linalg.inv(design.T @ design), rtol=1e-12)


def test_the_unit_of_a_parameter_does_not_make_a_fit_singular():
    """Columns of lengths that are 1e12 apart."""
    f = tw.LeastSquares(lambda b: b[0] + 1e-12 * b[1] * X - Y)
    fit = f.fit(jnp.array([1.0, 1e12]))
    assert fit.rank == 2 and fit.standard_errors[1] > 1e9 * fit.standard_errors[0]


def test_what_the_data_do_not_determine_is_named():
    f = tw.LeastSquares(lambda b: b["p"] * b["q"] * X + b["c"] - Y)
    fit = f.fit({"p": jnp.array(2.0), "q": jnp.array(1.0), "c": jnp.array(0.5)})
    assert fit.rank == 2
    with pytest.raises(tw.InputError, match=r"rank 2 of 3, so that the data do not determine (p, q|q, p);"):
        fit.covariance  # noqa: B018
    few = tw.LeastSquares(lambda b: b * jnp.array([1.0, 2.0])).fit(jnp.array([1.0, 1.0]))
    np.testing.assert_allclose(few.unscaled_covariance, np.diag([1.0, 0.25]))
    with pytest.raises(tw.InputError, match="2 residuals of 2 parameters leave none to tell their spread by"):
        few.covariance  # noqa: B018


def test_residuals_that_are_none_are_refused_in_a_line():
    start = jnp.ones(2)
    for wrong, message in (
        (lambda b: b + 1j, "residuals must return float arrays, but returns complex128; give the real"),
        (lambda b: jnp.arange(2), "residuals must return float arrays, but returns int64"),
        (lambda b: None, "residuals must return a float array, or a tree of them, but returns none"),
        (lambda b: b[:0], "residuals must return at least one number"),
        (lambda b: b / 0.0, "the objective is inf at the start"),
    ):
        with pytest.raises(tw.InputError, match=message):
            tw.minimize(tw.LeastSquares(wrong), start)
    with pytest.raises(tw.InputError, match="data must be arrays of numbers, but holds text"):
        tw.LeastSquares(residuals, "abc")
