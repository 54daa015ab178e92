"""A method inside scipy.optimize.minimize: the trajectory of a run, SciPy's own result."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize as so
import scipy.sparse

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
        ({"options": {"gtoll": 1e-3}}, "option 'gtoll' is unknown; choose one of: disp, gtol, maxiter, return_all"),
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


# The whole of SciPy's protocol, beside SciPy's own.


DESCENT = tw.gradient_descent(None, 0.3)


@pytest.fixture(scope="module")
def descent():
    return minimizer(DESCENT)


PLAIN = """
import jax, numpy as np, scipy.optimize as so, thalweg as tw
assert not jax.config.jax_enable_x64
seen = []


def fun(x):
    seen.append(x.dtype)
    return so.rosen(x)


result = so.minimize(fun, [-1.2, 1.0], jac=so.rosen_der, method=tw.adapters.scipy.minimizer(), tol=1e-11)
assert result.success, result
assert set(map(str, seen)) == {"float64"} and result.x.dtype == np.float64
# No float32 comes so near.
assert np.abs(result.x - 1.0).max() < 1e-10 and np.abs(so.rosen_der(result.x)).max() <= 1e-11
f = jax.jit(lambda x: jax.numpy.sum((x - 0.1) ** 2))
descent = tw.adapters.scipy.minimizer(tw.gradient_descent(None, 0.3))
mine = so.minimize(f, np.ones(3), jac=jax.grad(f), method=descent, tol=1e-12)
assert mine.success and np.abs(mine.x - 0.1).max() < 1e-12
assert not jax.config.jax_enable_x64 and jax.numpy.ones(1).dtype == "float32"
"""


def test_in_the_default_state_of_jax():
    env = dict(os.environ, JAX_ENABLE_X64="0", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run([sys.executable, "-c", PLAIN], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_bit_goes_through_the_callbacks(descent):
    """From a thread that JAX has in single precision, too."""
    given = np.array([np.pi, -1e-300, 5e-324, 1e308, -0.0])
    seen = []

    def slope(x):
        seen.append(x.copy())
        return np.zeros_like(x)

    so.minimize(lambda x: 0.0, given, jac=slope, method=descent)
    assert seen[0].tobytes() == given.tobytes()


def by_bfgs(**options):
    return so.minimize(fun, X0, jac=jac, method="BFGS", **options)


@pytest.mark.parametrize("scipys", [False, True], ids=["ours", "BFGS"])
def test_a_callback_of_the_intermediate_result(descent, scipys):
    """Each of SciPy's two forms, as often as there were steps, with the function's value."""
    results, points, method = [], [], "BFGS" if scipys else descent

    def told(intermediate_result):
        results.append(intermediate_result)

    found = so.minimize(fun, X0, jac=jac, method=method, callback=told)
    again = so.minimize(fun, X0, jac=jac, method=method, callback=lambda xk: points.append(xk.copy()))
    assert len(results) == len(points) == found.nit == again.nit
    assert [r.fun for r in results] == pytest.approx([fun(x) for x in points], rel=1e-14)
    np.testing.assert_array_equal([r.x for r in results], points)


def test_a_callback_that_stops_or_returns_something(descent):
    def stops(intermediate_result):
        raise StopIteration

    for method in (descent, "BFGS"):
        stopped = so.minimize(fun, X0, jac=jac, method=method, callback=stops)
        assert (stopped.status, stopped.success, stopped.nit) == (99, False, 1)
        # What a callback returns that is no truth value is not looked at.
        assert so.minimize(fun, X0, jac=jac, method=method, callback=lambda x: x).success


@pytest.mark.parametrize(
    "shape", [lambda f: np.array([f]), lambda f: np.array([[f]]), np.float32, jnp.asarray, lambda f: np.array(f)]
)
def test_a_value_in_any_shape_of_one(descent, shape):
    plain = so.minimize(fun, X0, jac=jac, method=descent)
    found = so.minimize(lambda x: shape(fun(x)), X0, jac=jac, method=descent)
    assert found.success and type(found.fun) is float and found.fun == pytest.approx(plain.fun, rel=1e-6)
    np.testing.assert_array_equal(found.x, plain.x)
    both = so.minimize(lambda x: (shape(fun(x)), jac(x)[:, None]), X0, jac=True, method=descent)
    np.testing.assert_array_equal(both.x, plain.x)


HESSIANS = {
    "array": hess,
    "matrix": lambda x: np.asmatrix(hess(x)),
    "sparse": lambda x: scipy.sparse.csr_matrix(hess(x)),
    "sparse array": lambda x: scipy.sparse.coo_array(hess(x)),
    "operator": lambda x: scipy.sparse.linalg.aslinearoperator(hess(x)),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_every_kind_of_hessian(auto):
    """The same steps, whatever it is; names of differences, and updates, are taken for none."""
    ends = {
        name: so.minimize(fun, X0, jac=jac, hess=given, method=auto, options={"gtol": 1e-8})
        for name, given in HESSIANS.items()
    }
    for name, found in ends.items():
        assert found.success and found.nhev > 0, name
        np.testing.assert_allclose(found.x, ends["array"].x, rtol=0, atol=1e-12)
        assert found.nit == ends["array"].nit
    for given in ("2-point", so.BFGS()):
        found = so.minimize(fun, X0, jac=jac, hess=given, method=auto, options={"gtol": 1e-8})
        assert found.success and found.nhev == 0


@pytest.mark.parametrize("start", [[], np.zeros(0), np.zeros(0, int)])
def test_nothing_to_minimise_over(auto, start):
    found = so.minimize(lambda x: 7.0 + x.sum(), start, jac=lambda x: np.ones(0), method=auto)
    assert (found.success, found.fun, found.x.shape, found.jac.shape) == (True, 7.0, (0,), (0,))


FREE = [
    None, [(None, None)] * 3, ((-np.inf, np.inf),) * 3, so.Bounds(), so.Bounds(-np.inf, np.full(3, np.inf)), [],
]  # fmt: skip


def test_bounds_that_bound_nothing(descent):
    plain = so.minimize(fun, X0, jac=jac, method=descent)
    for bounds in FREE:
        np.testing.assert_array_equal(so.minimize(fun, X0, jac=jac, method=descent, bounds=bounds).x, plain.x)
    open_ended = so.NonlinearConstraint(fun, -np.inf, np.inf)
    for constraints in ((), [], None, {}, so.LinearConstraint(np.eye(3)), [open_ended]):
        found = so.minimize(fun, X0, jac=jac, method=descent, constraints=constraints)
        np.testing.assert_array_equal(found.x, plain.x)


def test_functions_that_write_where_they_may_not(descent):
    """Into their argument, or into an array that they returned before."""
    plain, kept = so.minimize(fun, X0, jac=jac, method=descent), np.zeros(3)

    def untidy(x):
        kept[:] = jac(x)
        x[:] = np.nan
        return kept

    np.testing.assert_array_equal(so.minimize(fun, X0.copy(), jac=untidy, method=descent).x, plain.x)


def test_the_path_and_the_tolerance(descent):
    found = so.minimize(fun, X0, jac=jac, method=descent, options={"return_all": True, "gtol": 1e-3}, tol=1e-9)
    assert len(found.allvecs) == found.nit + 1 and (found.allvecs[0] == X0).all()
    np.testing.assert_array_equal(found.allvecs[-1], found.x)
    # As in SciPy, the options go before `tol`.
    assert 1e-9 < np.abs(found.jac).max() <= 1e-3
    assert by_bfgs(options={"gtol": 1e-3}, tol=1e-9).nit == by_bfgs(options={"gtol": 1e-3}).nit


NOT_TAKEN = {
    "a complex start": (lambda m: so.minimize(fun, X0 + 0j, jac=jac, method=m), "x0 must be real, but is complex"),
    "a start of words": (lambda m: m(fun, "abc"), "x0 must be made of numbers, but is 'abc'"),
    "a complex value": (lambda m: so.minimize(lambda x: 1j, X0, jac=jac, method=m), "fun must return one real number"),
    "a value of two": (lambda m: so.minimize(lambda x: x[:2], X0, jac=jac, method=m), "but returns an array of shape"),
    "no value": (lambda m: so.minimize(lambda x: None, X0, jac=jac, method=m), "one real number, but returns None"),
    "a short gradient": (lambda m: so.minimize(fun, X0, jac=lambda x: x[:2], method=m), "jac must give 3 real"),
    "bounds": (lambda m: so.minimize(fun, X0, jac=jac, method=m, bounds=so.Bounds(0, np.inf)), "takes no bounds"),
    "half of one": (lambda m: so.minimize(fun, X0, jac=jac, method=m, bounds=[(None, 1.0)] * 3), "takes no bounds"),
    "two bounds": (lambda m: so.minimize(fun, X0, jac=jac, method=m, bounds=[(None, None)] * 2), "3 of them, but"),
    "no bounds": (lambda m: so.minimize(fun, X0, jac=jac, method=m, bounds=3), "bounds must be pairs (low, high)"),
    "constraints": (
        lambda m: so.minimize(fun, X0, jac=jac, method=m, constraints={"type": "eq", "fun": fun}), "no constraints",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_what_is_not_taken_is_one_line(descent, case):
    attempt, says = NOT_TAKEN[case]
    with pytest.raises(tw.InputError) as caught:
        attempt(descent)
    assert says in str(caught.value) and "\n" not in str(caught.value)
