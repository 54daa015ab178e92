"""Levenberg and Marquardt's steps: where they end, at what cost, and what is said of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from benchmarks._nist import MODELS, regression
from thalweg.schemes._factored import dense, divisor, iterated, unit

# The cost of SciPy's lm on each, a residual 1 and a Jacobian its columns: `python -m benchmarks nist`.
LM = {
    "Bennett5": (2993, 779), "Chwirut2": (34, 21), "DanWood": (16, 13), "Eckerle4": (63, 25), "Gauss1": (37, 46),
    "Kirby2": (43, 31), "Lanczos3": (539, 63), "MGH09": (2058, 82), "MGH17": (3299, 93), "Misra1a": (51, 13),
    "Rat42": (34, 21), "Roszman1": (21, 16),
}  # fmt: skip
QUICK = {"Misra1a"}


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODELS])
def test_certified_regressions_of_nist_from_both_starts(name):
    """The sum of squares to 9 digits, parameters and their standard deviations to 5, at about the cost of lm."""
    problem = regression(name)
    f = tw.LeastSquares(problem.residuals, (problem.x, problem.y))
    for start, cost in zip(problem.starts, LM[name], strict=True):
        run = tw.minimize(f, jnp.asarray(start))
        assert run.status == "converged"
        assert run.fit.sum_of_squares == pytest.approx(problem.sum_of_squares, rel=1e-9)
        np.testing.assert_allclose(run.final.position, problem.parameters, rtol=1e-5)
        np.testing.assert_allclose(run.fit.standard_errors, problem.errors, rtol=1e-5)
        assert run.fit.residual_standard_deviation == pytest.approx(problem.deviation, rel=1e-9)
        assert run.gradients <= 2 * cost
        memory = run.state.memory
        assert len(run.metrics["loss"]) == run.steps + 1 and (np.diff(run.metrics["loss"]) <= 0).all()
        # Besides residuals and Jacobians, some gradients near the end.
        known = int(memory.residuals + len(start) * memory.jacobians + 2 * memory.products)
        assert known <= run.gradients <= known + 6


def decay(b, data):
    return b[0] * jnp.exp(-b[1] * data[0]) - data[1]


TIMES = jnp.linspace(0.0, 3.0, 9)
COUNTS = 5.0 * jnp.exp(-0.7 * TIMES) + 0.1 * jnp.cos(9.0 * TIMES)
DECAY = tw.LeastSquares(decay, (TIMES, COUNTS))


@pytest.mark.slow
def test_units_change_no_step():
    """Of the parameters and of the residuals, in powers of two: the same path to the last bit."""
    units = jnp.array([2.0**40, 2.0**-30])

    def other(b, data):
        return 2.0**-200 * decay(b * units, data)

    one = tw.minimize(DECAY, jnp.array([1.0, 0.1]), record=1)
    two = tw.minimize(tw.LeastSquares(other, (TIMES, COUNTS)), jnp.array([1.0, 0.1]) / units, record=1)
    assert one.status == two.status == "converged" and one.gradients == two.gradients
    np.testing.assert_allclose(one.trace.position, two.trace.position * np.asarray(units), rtol=1e-13)


@pytest.mark.slow
def test_a_step_is_the_linearly_implicit_one_in_the_metric_of_the_columns():
    """(D² l + J'J) d = -J'r at the shift l that the state tells, D the lengths of the columns."""
    method = tw.Method(tw.GradientFlow(DECAY), tw.LevenbergMarquardt(), 0.02)
    start = jnp.array([1.0, 0.1])
    after = jax.jit(lambda x: method.step(method.init(x)))(start)
    shift = float(after.memory.shift)
    assert shift > 0 and after.memory.rejected == 0
    jacobian, r = jax.jacfwd(decay)(start, (TIMES, COUNTS)), decay(start, (TIMES, COUNTS))
    metric = np.diag(np.sum(jacobian**2, axis=0))
    d = np.linalg.solve(shift * metric + jacobian.T @ jacobian, -jacobian.T @ r)
    np.testing.assert_allclose(after.position - start, d, rtol=1e-9)
    # As long as the step size says, in that metric, beside the start.
    assert np.sqrt(d @ metric @ d) == pytest.approx(0.02 * np.sqrt(start @ metric @ start), rel=0.1)


def test_the_budget_and_what_is_said_at_its_end():
    run = tw.minimize(DECAY, jnp.array([1.0, 0.1]), max_gradients=9)
    assert run.status == "budget spent" and run.gradients <= 9
    assert "of the residuals" in run.message and "could still be taken away" in run.message


@pytest.mark.slow
def test_a_zero_residual_is_met_to_the_last_digit_and_a_singular_one_ends():
    exact = tw.LeastSquares(lambda x: jnp.array([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)]))
    run = tw.minimize(exact, jnp.array([-1.2, 1.0]))
    assert run.status == "converged"
    np.testing.assert_allclose(run.final.position, 1.0, rtol=1e-14)


def bent(x):
    """Freudenstein and Roth's function: as many residuals as parameters, and a minimum that is none of theirs."""
    a, b = x
    return jnp.array([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


def test_a_minimum_where_the_jacobian_has_not_full_rank_is_one():
    """The linear model promises to take all of the residuals away there."""
    run = tw.minimize(tw.LeastSquares(bent), jnp.array([0.5, -2.0]))
    assert run.status == "converged" and "no negative curvature" in run.message
    assert run.fit.sum_of_squares == pytest.approx(48.98425, rel=1e-6)
    # Its closed form: (53 - 4 sqrt 22)/3 and (2 - sqrt 22)/3.
    root = 22.0**0.5
    np.testing.assert_allclose(run.final.position, [(53 - 4 * root) / 3, (2 - root) / 3], rtol=1e-5)


@pytest.mark.slow
def test_powells_singular_function_ends_by_rounding():
    root5, root10 = 5.0**0.5, 10.0**0.5
    f = tw.LeastSquares(
        lambda x: jnp.array(
            [x[0] + 10 * x[1], root5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, root10 * (x[0] - x[3]) ** 2]
        )
    )
    run = tw.minimize(f, jnp.array([3.0, -1.0, 0.0, 1.0]))
    assert run.status == "converged" and run.fit.sum_of_squares < 1e-20


def test_a_maximum_is_left_where_the_jacobian_sees_nothing():
    """r = x² - 1 at 0: J = 0, and f curves downwards."""
    run = tw.minimize(tw.LeastSquares(lambda x: x**2 - 1.0), jnp.zeros(2))
    assert run.status == "converged" and run.state.memory.left >= 1
    np.testing.assert_allclose(np.abs(run.final.position), 1.0, rtol=1e-9)


def test_what_is_not_determined_is_said():
    run = tw.minimize(tw.LeastSquares(lambda x: (x[0] + x[1]) * TIMES - COUNTS), jnp.array([1.0, 1.0]))
    assert run.status == "converged"
    assert "the Jacobian has rank 1 of 2: not all parameters are determined" in run.message
    slope = float(TIMES @ COUNTS / (TIMES @ TIMES))
    assert float(jnp.sum(run.final.position)) == pytest.approx(slope, rel=1e-12)


def test_a_derivative_that_is_wrong_is_told_from_rounding():
    @jax.custom_jvp
    def wrong(x):
        return x**2 - 3.0

    wrong.defjvp(lambda primals, tangents: (wrong(*primals), -tangents[0]))
    run = tw.minimize(tw.LeastSquares(wrong), jnp.array([2.0]))
    assert run.status == "stalled" and "yet no step goes down; it is not theirs" in run.message


def test_residuals_that_are_not_finite_on_the_way_are_stepped_back_from():
    f = tw.LeastSquares(lambda x: jnp.log(x) - 2.0)
    run = tw.minimize(f, jnp.array([100.0]))
    assert run.status == "converged" and float(run.final.position[0]) == pytest.approx(np.exp(2.0), rel=1e-12)


@pytest.mark.slow
def test_large_jacobians_are_factored_on_a_krylov_space_as_they_are_whole(rng):
    """On a space as large as the parameters are many, and on the one that is enough."""
    matrix, r = jnp.asarray(rng.normal(size=(12, 7)) * 10.0 ** rng.uniform(-3, 3, 7)), jnp.asarray(rng.normal(size=12))
    _, direction = unit(r)
    whole = dense(matrix, direction, jnp.zeros(7))
    found, taken = iterated(lambda v: matrix @ v, lambda u: matrix.T @ u, direction, whole.scale * 2.0, 7)
    assert taken <= 9 + 2 * 7
    step = -direction
    for factors in (whole, found):
        p, shift = factors.within(jnp.asarray(jnp.inf), 12)
        assert shift == 0
        solved = np.linalg.lstsq(matrix, step, rcond=None)[0]
        np.testing.assert_allclose(
            divisor(factors.scale) * factors.move(p), factors.scale * solved, rtol=2e-2, atol=2e-3
        )
    np.testing.assert_allclose(whole.move(whole.within(jnp.asarray(jnp.inf), 12)[0]), solved, rtol=1e-11)


@pytest.mark.slow
def test_more_parameters_than_are_formed_end_where_they_would():
    """A chain of 60 with `dense=0`: the same minimum as with a Jacobian."""

    def chain(x):
        return jnp.concatenate([x[1:] - 0.9 * x[:-1] ** 2, jnp.sin(x) - 0.3])

    start = jnp.linspace(-1.0, 1.0, 60)
    ends = []
    for size in (0, 500):
        method = tw.Method(tw.GradientFlow(tw.LeastSquares(chain)), tw.LevenbergMarquardt(dense=size), 1.0)
        run = tw.run(method, start, 500)
        assert run.status == "converged"
        ends.append(run.final.position)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5, atol=1e-6)


def test_it_needs_residuals_and_says_so():
    with pytest.raises(tw.InputError, match=r"LevenbergMarquardt needs residuals, give f as tw.LeastSquares"):
        tw.Method(tw.GradientFlow(lambda x: jnp.sum(x**2)), tw.LevenbergMarquardt(), 1.0)
    for numbers, message in (
        ({"tolerance": -1.0}, "tolerance must be at least 0"),
        ({"max_gradients": 0}, "max_gradients must be a whole number of at least 1"),
        ({"dense": -1}, "dense must be a whole number of at least 0"),
    ):
        with pytest.raises(tw.InputError, match=message):
            tw.LevenbergMarquardt(**numbers)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_narrow_parameters_keep_their_dtype_and_end_at_what_it_can_tell(dtype):
    with jax.enable_x64(False):
        times, counts = TIMES.astype(jnp.float32), COUNTS.astype(jnp.float32)
        run = tw.minimize(tw.LeastSquares(decay, (times, counts)), jnp.array([1.0, 0.1], dtype))
    assert run.final.position.dtype == dtype and run.status in ("converged", "stalled")
    right = tw.minimize(DECAY, jnp.array([1.0, 0.1])).final.position
    np.testing.assert_allclose(run.final.position.astype(float), right, rtol=100 * float(jnp.finfo(dtype).eps))
