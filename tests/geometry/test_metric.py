"""Metrics of flat coordinates: their forms against dense algebra, the flows they make, and what the probe says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw
from thalweg.geometry import Metric, Mirror, Norm

MATRIX = jnp.array([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 1.0]])
HESSIAN = jnp.array([[3.0, 0.5, 0.2], [0.5, 0.4, 0.0], [0.2, 0.0, 1.0]])
START = jnp.array([1.0, -2.0, 0.5])


def bowl(x):
    return 0.5 * x @ HESSIAN @ x


def varying(x):
    return MATRIX + jnp.outer(x, x)


# A metric and what it is as a function of the position.
FORMS = {
    "number": (Metric(4.0), lambda x: 4.0 * jnp.eye(3)),
    "diagonal": (Metric([1.0, 2.0, 4.0]), lambda x: jnp.diag(jnp.array([1.0, 2.0, 4.0]))),
    "matrix": (Metric(MATRIX), lambda x: MATRIX),
    "number of the position": (Metric(lambda x: 1.0 + x @ x), lambda x: (1.0 + x @ x) * jnp.eye(3)),
    "diagonal of the position": (Metric(lambda x: jnp.exp(x)), lambda x: jnp.diag(jnp.exp(x))),
    "matrix of the position": (Metric(varying), varying),
    "operator": (Metric(operator=lambda v: MATRIX @ v), lambda x: MATRIX),
    "operator and solve": (
        Metric(operator=lambda v: MATRIX @ v, solve=lambda p: jnp.linalg.solve(MATRIX, p)),
        lambda x: MATRIX,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_metric_is_its_matrix(name):
    (metric, matrix), p = FORMS[name], jnp.array([0.7, -0.2, 0.4])
    g = np.asarray(matrix(START))
    velocity = metric.velocity(START, p)
    np.testing.assert_allclose(velocity, np.linalg.solve(g, p), rtol=1e-9, atol=1e-10)
    assert float(metric.inner(START, p, velocity)) == pytest.approx(float(p @ p), rel=1e-9)
    assert float(metric.slope_norm(START, p)) == pytest.approx(float(p @ np.linalg.solve(g, p)) ** 0.5, rel=1e-9)
    if metric.operator is not None:
        with pytest.raises(
            tw.InputError, match="noise at the metric needs its root, which of an operator is not known"
        ):
            metric.noise(START, p)
        return
    root = jax.jacfwd(lambda n: metric.noise(START, n))(jnp.zeros(3))
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(g), rtol=1e-13, atol=1e-14)
    exact = jnp.einsum("ijj->i", jax.jacfwd(lambda x: jnp.linalg.inv(matrix(x)))(START))
    np.testing.assert_allclose(metric.divergence(START), exact, rtol=1e-12, atol=1e-15)
    assert bool(jnp.any(exact)) == (not metric.constant)


@pytest.mark.parametrize("name", ["number", "diagonal", "matrix", "operator"])
def test_a_constant_metric_makes_its_own_flow(name):
    metric, matrix = FORMS[name]
    law = tw.GradientFlow(bowl, rate=1.3, geometry=metric)
    method = tw.Method(law, tw.Adaptive(rtol=1e-11, atol=1e-13, until=1.0), 0.1)
    exact = scipy.linalg.expm(-1.3 * np.linalg.solve(matrix(START), HESSIAN)) @ START
    run = tw.run(method, START, 500, record="gradient_norm")
    np.testing.assert_allclose(run.final.position, exact, rtol=0, atol=1e-9)
    slope = HESSIAN @ START
    assert run.metrics["gradient_norm"][0] == pytest.approx(float(slope @ np.linalg.solve(matrix(START), slope)) ** 0.5)


def test_a_metric_of_a_tree_has_its_diagonal_or_one_matrix_of_all():
    tree = {"a": jnp.array([1.0, -1.0]), "b": jnp.array([[0.5]])}
    diagonal = Metric({"a": jnp.array([1.0, 2.0]), "b": jnp.array([[4.0]])})
    whole = Metric(MATRIX)

    def f(x):
        return bowl(jnp.concatenate([x["a"], x["b"].ravel()]))

    flat = jnp.array([1.0, -1.0, 0.5])
    for metric, matrix in ((diagonal, np.diag([1.0, 2.0, 4.0])), (whole, np.asarray(MATRIX))):
        method = tw.Method(tw.GradientFlow(f, geometry=metric), tw.Euler(), 0.1)
        expected = flat - 0.1 * np.linalg.solve(matrix, HESSIAN @ flat)
        for end in (tw.run(method, tree, 1, record=None).final.position, method.step(method.init(tree)).position):
            np.testing.assert_allclose(np.r_[end["a"], end["b"].ravel()], expected, rtol=1e-14)
    # Of square parameters an array is a diagonal, a function of them too.
    square, numbers = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[1.0, 2.0], [4.0, 8.0]])
    for metric in (Metric(numbers), Metric(lambda x: numbers)):
        assert metric.velocity(square, square).tolist() == (square / numbers).tolist()
        method = tw.Method(tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2), geometry=metric), tw.Euler(), 0.5)
        np.testing.assert_allclose(
            tw.run(method, square, 1, record=None).final.position, square - 0.5 * square / numbers, rtol=1e-15
        )


def test_low_precision_keeps_its_dtype():
    for metric in (Metric(4.0), Metric(MATRIX), Metric(lambda x: 1.0 + x**2), Metric(operator=lambda v: MATRIX @ v)):
        low, p = START.astype(jnp.bfloat16), jnp.array([0.7, -0.2, 0.4], jnp.bfloat16)
        found = metric.velocity(low, p)
        assert found.dtype == jnp.bfloat16
        exact = metric.velocity(low.astype(float), p.astype(float))
        np.testing.assert_allclose(found.astype(float), exact, rtol=0.02)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, "a metric must be positive, but is -1"),
        (float("inf"), "a metric must be positive and finite, but is inf"),
        ([1.0, 0.0], "a metric must be positive, but holds 0"),
        ({"a": jnp.array([1.0, float("nan")])}, "a metric must be positive, but holds nan"),
        ([[1.0, 2.0], [2.0, 1.0]], "a metric must be positive definite, but has an eigenvalue -1; a diagonal of"),
        ([[1.0, 2.0], [-2.0, 5.0]], r"the matrix of a metric must be symmetric, but is not; take 0\.5"),
        ("G", "a metric must be a positive number, a tree of them, a symmetric positive definite matrix"),
        (None, "give a metric as a value .* or as an operator"),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_refused(value, message):
    with pytest.raises(tw.InputError, match=message) as caught:
        Metric(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Metric(jnp.eye(2)), r"a diagonal of the shapes of the parameters, \(3,\), or .* \(3, 3\), but has \(2, 2\)"),
        (Metric({"a": jnp.ones(3)}), r"a diagonal of the shapes of the parameters, \(3,\), or a matrix"),
        (Metric(lambda x: x), "a metric must be positive, but at the start holds -2"),
        (Metric(lambda x: MATRIX - 3 * jnp.eye(3)), "must be positive definite, but at the start has an eigenvalue"),
        (Metric(lambda x: MATRIX.at[0, 1].set(0.0)), "must be symmetric, but at the start is not"),
        (Metric(operator=lambda v: -v), "must be positive definite, but its operator has <v, Gv> = -"),
        (Metric(operator=lambda v: MATRIX.at[0, 1].set(0.0) @ v), "the operator of a metric must be symmetric, but"),
    ],
)
def test_a_metric_that_does_not_fit_its_start_is_refused(metric, message):
    method = tw.Method(tw.GradientFlow(bowl, geometry=metric), tw.Euler(), 0.1)
    for attempt in (lambda: method.init(START), lambda: tw.run(method, START, 2)):
        with pytest.raises(tw.InputError, match=message):
            attempt()


def test_more_parameters_than_a_divergence_is_for_are_refused():
    many = jnp.ones(400)
    assert jnp.all(Metric(lambda x: jnp.exp(jnp.mean(x))).divergence(many) < 0.0)
    with pytest.raises(tw.InputError, match="takes a derivative in each of 400 parameters, of 300 at most"):
        Metric(lambda x: jnp.exp(x)).divergence(many)
    with pytest.raises(tw.InputError, match="Metric is a metric alone, whose Christoffel terms are not known"):
        tw.HeavyBall(None, 1.0, geometry=Metric(2.0))


def test_conjugate_gradients_that_do_not_end_are_no_number():
    short = Metric(operator=lambda v: MATRIX @ v, iterations=1)
    assert jnp.all(jnp.isnan(short.velocity(START, jnp.array([0.7, -0.2, 0.4]))))
    assert not jnp.any(Metric(operator=lambda v: MATRIX @ v).velocity(START, jnp.zeros(3)))


PRECONDITIONED = np.linalg.solve(MATRIX, HESSIAN)


def test_the_probe_takes_a_constant_metric():
    method = tw.Method(tw.GradientFlow(None, geometry=Metric(MATRIX)), tw.Euler(), 0.1)
    np.testing.assert_allclose(tw.analysis.amplification(method, HESSIAN), np.eye(3) - 0.1 * PRECONDITIONED, atol=1e-14)
    limit = 2.0 / np.linalg.eigvals(PRECONDITIONED).real.max()
    for find in (tw.analysis.largest_stable_step, tw.analysis.largest_stable_learning_rate):
        assert find(method, HESSIAN) == pytest.approx(limit, rel=1e-9)
    given = tw.analysis.stationary_covariance(method, HESSIAN, 0.3)
    drift, noise = np.eye(3) - 0.1 * PRECONDITIONED, 0.1 * np.linalg.inv(MATRIX)
    exact = scipy.linalg.solve_discrete_lyapunov(drift, 0.3 * noise @ noise.T)
    np.testing.assert_allclose(given, exact, rtol=1e-12)
    with pytest.raises(tw.InputError, match=r"but has \(3, 3\); a Hessian as a matrix \(d, d\) is of all parameters"):
        tw.analysis.largest_stable_step(method, 1.0)
    # A number is a factor, of every curvature apart.
    number = tw.Method(tw.GradientFlow(None, geometry=Metric(4.0)), tw.Euler(), 0.1)
    assert tw.analysis.largest_stable_step(number, [1.0, 2.0]) == pytest.approx(4.0, rel=1e-9)
    assert tw.analysis.spectral_radius(number, 2.0) == pytest.approx(0.95, rel=1e-14)


@pytest.mark.parametrize(
    "geometry", [Metric(MATRIX), Metric(lambda x: MATRIX * (1.0 + x @ x)), Mirror(lambda x: 0.5 * x @ MATRIX @ x)]
)
def test_about_a_minimum_the_probe_takes_any_metric(geometry):
    method = tw.Method(tw.GradientFlow(bowl, geometry=geometry), tw.Euler(), 0.1)
    found = tw.analysis.amplification(method, at=(0.0, jnp.zeros(3)))
    np.testing.assert_allclose(found, np.eye(3) - 0.1 * PRECONDITIONED, rtol=0, atol=1e-13)
    limit = 2.0 / np.linalg.eigvals(PRECONDITIONED).real.max()
    assert tw.analysis.largest_stable_step(method, at=(0.0, jnp.zeros(3))) == pytest.approx(limit, rel=1e-9)


def test_the_probe_refuses_what_is_not_linear_with_what_can_be_said():
    for norm, words in (
        (Norm("linf", unit=True), "end in circling a minimum"),
        (Norm("spectral"), "as long as it is below 2/L"),
    ):
        method = tw.Method(tw.GradientFlow(bowl, geometry=norm), tw.Euler(), 0.1)
        for probe in (
            lambda m=method: tw.analysis.amplification(m, HESSIAN),
            lambda m=method: tw.analysis.amplification(m, at=(0.0, START)),
            lambda m=method: tw.analysis.largest_stable_step(m, 1.0),
            lambda m=method: tw.analysis.stationary_covariance(m, 1.0, 1.0),
        ):
            with pytest.raises(tw.InputError, match=f"linear probe is of steps that are linear .* instead: .*{words}"):
                probe()
    mirror = tw.Method(tw.GradientFlow(bowl, geometry=Mirror("hypentropy", 1.0)), tw.Euler(), 0.1)
    with pytest.raises(tw.InputError, match=r"for laws in flat space, but .* geometry Mirror; .* or give a point, at="):
        tw.analysis.largest_stable_step(mirror, 1.0)
    # The sharp map of the Euclidean norm is flat space.
    flat = tw.Method(tw.GradientFlow(bowl, geometry=Norm("l2")), tw.Euler(), 0.1)
    assert tw.analysis.largest_stable_step(flat, 4.0) == pytest.approx(0.5, rel=1e-9)


def test_sharp_steps_lower_a_quadratic_below_what_the_refusal_says():
    """2/L with L the largest <d, Hd> over the unit ball: of the largest entry, at its corners."""
    corners = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    most = max(d @ HESSIAN @ d for d in corners)
    for factor, falls in ((0.99, True), (1.5, False)):
        # From the corner the sharp step is along itself.
        start = jnp.linalg.solve(HESSIAN, jnp.asarray(max(corners, key=lambda d: d @ HESSIAN @ d), float))
        method = tw.Method(tw.GradientFlow(bowl, geometry=Norm("linf")), tw.Euler(), factor * 2.0 / most)
        after = method.step(method.init(start)).position
        assert (float(bowl(after)) < float(bowl(start))) == falls


def test_a_sweep_over_a_metric_is_a_loop_over_it():
    def make(metric):
        return tw.Method(tw.GradientFlow(bowl, geometry=Metric(metric * MATRIX)), tw.Euler(), 0.5)

    found = tw.sweep(make, {"metric": [0.2, 1.0, 2.0]}, START, 20)
    assert found.regimes[0, 0] == "diverging" and found.best == {"metric": 1.0}
    for i, value in enumerate((0.2, 1.0, 2.0)):
        alone = tw.run(make(value), START, 20, record=None).final.position
        np.testing.assert_allclose(found.final[i, 0], alone, rtol=1e-11)


def test_methods_in_metrics_are_compared_and_a_factor_has_its_limit():
    both = {
        name: tw.Method(tw.GradientFlow(bowl, geometry=metric), tw.Euler(), 0.3)
        for name, metric in {"number": Metric(2.0), "matrix": Metric(MATRIX), "signs": Norm("linf", unit=True)}.items()
    }
    found = tw.compare(both, START, max_steps=60)
    limits = {entry.method: entry.predicted_limit for entry in found.entries}
    assert limits["matrix"] is limits["signs"] is None
    assert limits["number"] == pytest.approx(4.0 / np.linalg.eigvalsh(HESSIAN)[-1], rel=1e-4)


def test_a_run_writes_its_metric_and_goes_on_with_no_other(tmp_path):
    def method(metric):
        return tw.Method(tw.GradientFlow(bowl, geometry=metric), tw.Euler(), 0.1)

    whole = tw.run(method(Metric([1.0, 2.0, 4.0])), START, 8)
    tw.run(method(Metric([1.0, 2.0, 4.0])), START, 4, out=tmp_path / "run")
    assert 'geometry = "Metric(value=[1, 2, 4])"' in (tmp_path / "run" / "run.toml").read_text()
    for other in (Metric([1.0, 2.0, 4.5]), Metric(2.0), Norm("linf")):
        with pytest.raises(tw.InputError, match=r"geometry|digest"):
            tw.run(method(other), START, 8, out=tmp_path / "run", resume=True)
    resumed = tw.run(method(Metric([1.0, 2.0, 4.0])), START, 8, out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.final.position, whole.final.position)
