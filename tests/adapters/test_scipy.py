"""A method inside scipy.optimize.minimize: the trajectory of a run, SciPy's own result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize as so

import thalweg as tw
from thalweg.adapters.scipy import minimizer

MATRIX = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
X0 = np.array([1.0, -2.0, 0.5])


def fun(x):
    return 0.5 * x @ MATRIX @ x + np.sum(np.cos(x))


def jac(x):
    return MATRIX @ x - np.sin(x)


def hess(x):
    return MATRIX - np.diag(np.cos(x))


def objective(x):
    return 0.5 * x @ jnp.asarray(MATRIX) @ x + jnp.sum(jnp.cos(x))


@pytest.mark.parametrize(
    "name", ["gradient_descent", "rk4", "momentum", "leapfrog", "nesterov", "nesterov_flow", "high_resolution_rk4"]
)
def test_the_path_of_a_run(name):
    row = next(row for row in tw.table() if row.name == name)
    settings = {next(iter(row.defaults)): 0.05}
    path = []
    options = {"maxiter": 25, "gtol": 0.0}
    method = minimizer(row.build(None, **settings))
    result = so.minimize(fun, X0, jac=jac, hess=hess, method=method, options=options, callback=path.append)
    run = tw.run(row.build(objective, **settings), jnp.asarray(X0), 25, record=1)
    np.testing.assert_allclose(result.x, run.final.lookahead, rtol=1e-12, atol=1e-13)
    if not isinstance(row.scheme, tw.Lookahead):
        np.testing.assert_allclose(path, run.trace.position[1:], rtol=1e-12, atol=1e-13)
    assert (result.nit, result.status, result.success) == (25, 1, False)
    # One more than the run, which tells whether to stop; one that the start took at the first step's point is shared.
    method = row.method
    assert result.njev + result.nhev == 25 * method.gradients_per_step + 1
    assert run.gradients == 25 * method.gradients_per_step + method.gradients_at_start
    assert result.fun == pytest.approx(fun(result.x), rel=1e-15)


@pytest.mark.slow
def test_rosenbrock():
    result = so.minimize(
        so.rosen, [-1.2, 1.0], jac=so.rosen_der, method=minimizer(tw.momentum(None, 1e-3, 0.95)),
        options={"maxiter": 20_000, "gtol": 1e-6},
    )  # fmt: skip
    assert result.success and result.status == 0 and result.njev == result.nit + 1
    np.testing.assert_allclose(result.x, [1.0, 1.0], atol=2e-5)
    assert np.max(np.abs(result.jac)) <= 1e-6


def test_a_jac_of_both_and_arguments():
    def both(x, shift):
        return np.sum((x - shift) ** 2), 2 * (x - shift)

    result = so.minimize(both, np.zeros(2), args=(3.0,), jac=True, tol=1e-9, method=minimizer(tw.momentum(None, 0.2)))
    np.testing.assert_allclose(result.x, 3.0, atol=1e-8)


def test_without_a_gradient_differences_are_counted():
    result = so.minimize(fun, X0, method=minimizer(tw.gradient_descent(None, 0.3)), options={"gtol": 1e-4})
    assert result.success
    np.testing.assert_allclose(jac(result.x), 0.0, atol=2e-4)
    assert result.nfev == result.njev * 4 + 1


def test_in_double_precision_whatever_jax_is_set_to():
    with jax.enable_x64(False):
        result = so.minimize(fun, X0, jac=jac, tol=1e-12, method=minimizer(tw.momentum(None, 0.2, 0.5)))
    assert result.success and result.x.dtype == np.float64


def test_a_divergence_keeps_the_last_finite_point():
    method = minimizer(tw.gradient_descent(None, 1.0))
    with np.errstate(over="ignore"):
        result = so.minimize(lambda x: np.sum(x**4), X0, jac=lambda x: 4 * x**3, method=method)
    assert (result.status, result.success) == (2, False) and "not finite" in result.message
    assert np.isfinite(result.x).all()


def test_the_callback_stops():
    result = so.minimize(fun, X0, jac=jac, method=minimizer(tw.momentum(None, 0.1)), callback=lambda x: x[0] < 0.5)
    assert result.status == 99 and not result.success and result.x[0] < 0.5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bounds": [(0, 1)] * 3}, "takes no bounds and no constraints"),
        ({"options": {"gtoll": 1e-3}}, "option 'gtoll' is unknown; choose one of: disp, gtol, maxiter"),
        ({"options": {"maxiter": -1}}, "maxiter must be a whole number of at least 0"),
        ({"options": {"gtol": float("nan")}}, "gtol must be finite"),
    ],
)
def test_wrong_use_is_one_line(options, says):
    with pytest.raises(tw.InputError, match=says):
        so.minimize(fun, X0, jac=jac, method=minimizer(tw.momentum(None, 0.1)), **options)


def test_a_law_with_curvature_takes_differences_where_there_is_no_hessian():
    flow = tw.Method(tw.HighResolutionFlow(None, 0.01, strong_convexity=1.0), tw.RK4(), 0.1)
    options = {"maxiter": 30, "gtol": 0.0}
    exact = so.minimize(fun, X0, jac=jac, hess=hess, method=minimizer(flow), options=options)
    found = so.minimize(fun, X0, jac=jac, method=minimizer(flow), options=options)
    np.testing.assert_allclose(found.x, exact.x, rtol=0, atol=1e-6)
    assert not np.array_equal(found.x, exact.x) and (exact.nhev, found.nhev) == (120, 0)
    assert found.njev == exact.njev + exact.nhev


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [tw.RosenbrockEuler(), tw.ImplicitEuler(), tw.RungeKuttaChebyshev()], ids=repr)
def test_steps_that_loop_inside(scheme):
    method = tw.Method(tw.GradientFlow(None), scheme, 1.5)
    result = so.minimize(fun, X0, jac=jac, hess=hess, method=minimizer(method), options={"maxiter": 9, "gtol": 0.0})
    run = tw.run(method.with_objective(tw.Objective(objective)), jnp.asarray(X0), 9)
    np.testing.assert_allclose(result.x, run.final.position, rtol=0, atol=1e-12)


def wells(x):
    return np.sum((x**2 - 1.0) ** 2) / 4, x * (x**2 - 1.0)


@pytest.fixture(scope="module")
def auto():
    return minimizer()


@pytest.mark.parametrize("given", ["product", "differences"])
def test_nothing_to_set_and_no_saddle_for_an_end(auto, given):
    given = {"hessp": lambda x, v: (3 * x**2 - 1.0) * v} if given == "product" else {}
    result = so.minimize(wells, np.array([0.0, 0.0, 3.0]), jac=True, method=auto, options={"gtol": 1e-8}, **given)
    assert (result.status, result.success) == (0, True) and "negative curvature" in result.message
    np.testing.assert_allclose(np.abs(result.x), 1.0, atol=1e-8)
    assert (result.nhev > 0) == bool(given)


@pytest.mark.slow
def test_one_program_for_all_functions_and_one_inside_another(auto):
    def outer(x):
        inner = so.minimize(lambda y: ((y - x[:1]) @ (y - x[:1]), 2 * (y - x[:1])), np.zeros(1), jac=True, method=auto)
        assert inner.success
        return (x - 2.0) @ (x - 2.0) + inner.fun, 2 * (x - 2.0)

    result = so.minimize(outer, np.zeros(3), jac=True, method=auto)
    assert result.success
    np.testing.assert_allclose(result.x, 2.0, atol=1e-5)
    result = so.minimize(so.rosen, [-1.2, 1.0, 1.0], jac=so.rosen_der, method=auto, tol=1e-6)
    assert result.success and result.nfev <= result.nit + 2
    assert np.linalg.norm(result.jac) <= 1e-6


def test_how_it_ends_otherwise(auto):
    line = so.minimize(lambda x: (np.sum(x), np.ones(3)), X0, jac=True, method=auto)
    assert (line.status, line.success) == (3, False) and "not bounded below" in line.message
    short = so.minimize(so.rosen, X0, jac=so.rosen_der, method=auto, options={"maxiter": 5})
    assert (short.status, short.success, short.nit) == (1, False, 5)
    bent = so.minimize(lambda x: (np.sum(np.abs(x - 0.3)), np.sign(x - 0.3)), X0, jac=True, method=auto)
    assert (bent.status, bent.success) == (4, False) and "f is not smooth here" in bent.message


@pytest.mark.parametrize("fun", [
    lambda x: 1e6 + 1e3 * np.sum((x - 1.0) ** 2), lambda x: 1e5 + np.sum(np.cosh(30.0 * (x - 1.0))),
])  # fmt: skip
def test_without_a_gradient_the_minimum_of_a_convex_function_is_no_failure(auto, fun):
    result = so.minimize(fun, X0, method=auto)
    assert result.success, result.message
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)


def test_what_the_function_raises_is_what_one_gets(auto):
    def broken(x):
        raise ZeroDivisionError("of mine")

    with pytest.raises(ZeroDivisionError, match="of mine"):
        so.minimize(broken, X0, jac=jac, method=auto)
    assert so.minimize(fun, X0, jac=jac, method=auto).success
