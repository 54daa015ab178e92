"""The Fisher information of families: against the Kullback-Leibler divergence, from chart to chart, and flows in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import thalweg as tw

FisherInformation = tw.geometry.FisherInformation
LOWER = jnp.array([[1.0, 0.0, 0.0], [0.2, 1.5, 0.0], [-0.3, 0.2, 0.8]])
OTHER = jnp.array([[0.7, 0.0, 0.0], [-0.4, 0.9, 0.0], [0.1, 0.3, 1.6]])


def apart(a, b):
    """The divergence of Gaussians by mean and variance."""
    return jnp.sum(0.5 * (jnp.log(b[1] / a[1]) + (a[1] + (a[0] - b[0]) ** 2) / b[1] - 1.0))


def apart_vectors(a, b):
    """The divergence of Gaussians by mean and covariance."""
    away = a[0] - b[0]
    traced = jnp.trace(jnp.linalg.solve(b[1], a[1])) + away @ jnp.linalg.solve(b[1], away) - away.size
    return 0.5 * (traced + jnp.linalg.slogdet(b[1])[1] - jnp.linalg.slogdet(a[1])[1])


def of_classes(p, q):
    return jnp.sum(p * jnp.log(p / q))


def of_coins(p, q):
    return of_classes(p, q) + of_classes(1 - p, 1 - q)


def of_counts(p, q):
    return jnp.sum(p * jnp.log(p / q) - p + q)


def lower(x):
    return x["mean"], jnp.tril(x["cholesky"]) @ jnp.tril(x["cholesky"]).T


MEAN, VARIANCE = jnp.array([0.3, -1.0]), jnp.array([0.7, 2.0])
P = jnp.array([0.2, 0.5, 0.3])
QUICK = ("natural", "cholesky", "logits", "probabilities")
# The point, what it stands for, and the divergence of two of those, all by formulas of this file.
CASES = {
    ("gaussian", "log_std"): (
        {"mean": MEAN, "log_std": 0.5 * jnp.log(VARIANCE)}, lambda x: (x["mean"], jnp.exp(2 * x["log_std"])), apart),
    ("gaussian", "std"): ({"mean": MEAN, "std": jnp.sqrt(VARIANCE)}, lambda x: (x["mean"], x["std"] ** 2), apart),
    ("gaussian", "variance"): ({"mean": MEAN, "variance": VARIANCE}, lambda x: (x["mean"], x["variance"]), apart),
    ("gaussian", "precision"): (
        {"mean": MEAN, "precision": 1 / VARIANCE}, lambda x: (x["mean"], 1 / x["precision"]), apart),
    ("gaussian", "natural"): (
        {"linear": MEAN / VARIANCE, "quadratic": -0.5 / VARIANCE},
        lambda x: (-0.5 * x["linear"] / x["quadratic"], -0.5 / x["quadratic"]), apart),
    ("gaussian", "moments"): (
        {"first": MEAN, "second": MEAN**2 + VARIANCE}, lambda x: (x["first"], x["second"] - x["first"] ** 2), apart),
    ("multivariate_gaussian", "cholesky"): (
        {"mean": jnp.array([0.3, -1.0, 2.0]), "cholesky": LOWER}, lower, apart_vectors),
    ("multivariate_gaussian", "covariance"): (
        {"mean": jnp.array([0.3, -1.0, 2.0]), "covariance": LOWER @ LOWER.T},
        lambda x: (x["mean"], 0.5 * (x["covariance"] + x["covariance"].T)), apart_vectors),
    ("categorical", "logits"): (jnp.log(P) + 0.4, jax.nn.softmax, of_classes),
    ("categorical", "probabilities"): (P, lambda x: x / jnp.sum(x), of_classes),
    ("bernoulli", "logit"): (jnp.array([0.3, -1.0]), jax.nn.sigmoid, of_coins),
    ("bernoulli", "probability"): (jnp.array([0.3, 0.9]), lambda x: x, of_coins),
    ("poisson", "log_rate"): (jnp.array([0.3, -1.0]), jnp.exp, of_counts),
    ("poisson", "rate"): (jnp.array([0.3, 4.0]), lambda x: x, of_counts),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_metric_is_the_hessian_of_the_divergence(case):
    """On a basis of the directions in which a chart changes its distribution."""
    (family, chart), (x, stands, divergence) = case, CASES[case]
    geometry, (flat, cut) = FisherInformation(family, chart), ravel_pytree(x)
    hessian = np.asarray(jax.jit(jax.hessian(lambda y: divergence(stands(x), stands(cut(y)))))(flat))
    basis = np.eye(flat.size)
    if chart == "covariance":
        basis = np.stack(
            [ravel_pytree(jax.tree.map(lambda a: a + a.T if a.ndim == 2 else a, cut(e)))[0] for e in basis]
        )
    if family == "categorical":
        basis = basis[:-1] - basis[-1]
    if chart == "cholesky":
        kept = ravel_pytree({"mean": jnp.ones(3), "cholesky": jnp.tril(jnp.ones((3, 3)))})[0]
        basis = basis[np.asarray(kept) > 0]
    inner = jax.jit(jax.vmap(jax.vmap(lambda u, v: geometry.inner(x, cut(u), cut(v)), (None, 0)), (0, None)))
    expected, tangents = basis @ hessian @ basis.T, jnp.asarray(basis)
    scale = np.linalg.cond(expected)
    np.testing.assert_allclose(inner(tangents, tangents), expected, rtol=0, atol=1e-14 * scale * abs(expected).max())
    # Of the slope that a velocity v makes, Fv, the velocity is v.
    again = jax.jit(jax.vmap(lambda p: ravel_pytree(geometry.velocity(x, cut(p)))[0]))(jnp.asarray(basis @ hessian))
    np.testing.assert_allclose(again, basis, rtol=0, atol=1e-14 * scale)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case[1] in QUICK else pytest.mark.slow) for case in CASES], ids="-".join
)
def test_the_noise_has_the_inverse_for_its_covariance_and_the_drift_of_it(case):
    (family, chart), (x, *_) = case, CASES[case]
    geometry, (flat, cut) = FisherInformation(family, chart), ravel_pytree(x)

    @jax.jit
    def both(flat, slope):
        def covariance(y):
            root = jax.jacfwd(lambda n: ravel_pytree(geometry.noise(cut(y), cut(n)))[0])(jnp.zeros_like(y))
            return root @ root.T

        drift = jnp.einsum("ijj->i", jax.jacfwd(covariance)(flat))
        return covariance(flat) @ slope, drift, geometry.velocity(x, cut(slope)), geometry.divergence(x)

    slope = jnp.linspace(-1.0, 2.0, flat.size) ** 2
    # Of functions of classes, which do not change along logits alike.
    slope = slope - jnp.mean(slope) if chart == "logits" else slope
    spread, drift, velocity, divergence = both(flat, slope)
    for mine, expected in ((velocity, spread), (divergence, drift)):
        mine = ravel_pytree(mine)[0]
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-12 * (1.0 + float(jnp.max(jnp.abs(mine)))))


def test_a_slope_along_logits_alike_makes_no_velocity_and_the_rest_is_the_pseudo_inverse():
    geometry, z = FisherInformation("categorical"), jnp.log(P) + 0.4
    information = np.diag(P) - np.outer(P, P)
    slope = jnp.array([1.0, -3.0, 2.0])
    np.testing.assert_allclose(
        geometry.velocity(z, slope), np.linalg.pinv(information, rcond=1e-12) @ slope, rtol=1e-13
    )
    np.testing.assert_allclose(geometry.velocity(z, P), 0.0, atol=1e-15)
    assert abs(geometry.inner(z, jnp.ones(3), slope)) < 1e-15


def divergence_to(target, x, variance_of):
    return apart((x["mean"], variance_of(x)), target), apart(target, (x["mean"], variance_of(x)))


TARGET, START = (jnp.array(1.0), jnp.array(0.5)), {"mean": jnp.array(-0.5), "variance": jnp.array(3.0)}
FOLLOWED = tw.Adaptive(rtol=1e-12, atol=1e-13, until=1.0)
VARIANCES = {"log_std": lambda x: jnp.exp(2 * x["log_std"]), "precision": lambda x: 1 / x["precision"]}


@pytest.mark.parametrize("chart", VARIANCES)
@pytest.mark.parametrize("way", ["to the target", "from the target"])
def test_both_divergences_of_gaussians_fall_on_straight_lines(chart, way):
    """That of q from p in the natural parameters of q, that of p from q in its moments, each as exp(-t)."""
    k = int(way == "from the target")
    geometry = FisherInformation("gaussian", chart)
    law = tw.GradientFlow(lambda x: divergence_to(TARGET, x, VARIANCES[chart])[k], geometry=geometry)
    start = geometry.from_chart("variance", START)
    end = tw.run(tw.Method(law, FOLLOWED, 0.01), start, 5000, record=None).final.position
    (m0, v0), (m1, v1), left = START.values(), TARGET, np.exp(-1.0)
    if k == 0:
        precision = 1 / v1 + (1 / v0 - 1 / v1) * left
        mean, variance = (m1 / v1 + (m0 / v0 - m1 / v1) * left) / precision, 1 / precision
    else:
        mean = m1 + (m0 - m1) * left
        variance = m1**2 + v1 + (m0**2 + v0 - m1**2 - v1) * left - mean**2
    np.testing.assert_allclose([end["mean"], VARIANCES[chart](end)], [mean, variance], rtol=0, atol=1e-10)


@pytest.mark.slow
def test_gaussian_vectors_go_straight_in_their_moments():
    geometry = FisherInformation("multivariate_gaussian")
    goal = {"mean": jnp.array([1.0, 0.0, -1.0]), "cholesky": OTHER}
    law = tw.GradientFlow(lambda x: apart_vectors(lower(goal), lower(x)), geometry=geometry)
    start = {"mean": jnp.array([0.3, -1.0, 2.0]), "cholesky": LOWER}
    end = lower(tw.run(tw.Method(law, FOLLOWED, 0.01), start, 5000, record=None).final.position)
    (m0, c0), (m1, c1), left = lower(start), lower(goal), np.exp(-1.0)
    mean = m1 + (m0 - m1) * left
    second = c1 + jnp.outer(m1, m1) + (c0 + jnp.outer(m0, m0) - c1 - jnp.outer(m1, m1)) * left
    np.testing.assert_allclose(end[0], mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(end[1], second - jnp.outer(mean, mean), rtol=0, atol=1e-10)


def test_a_step_of_one_in_the_right_parameters_is_at_the_target():
    geometry = FisherInformation("gaussian", "moments")

    def f(x):
        return apart(TARGET, (x["first"], x["second"] - x["first"] ** 2))

    start = geometry.from_chart("variance", START)
    end = tw.run(tw.natural_gradient(f, 1.0, geometry), start, 1, record=None).final.position
    np.testing.assert_allclose([end["first"], end["second"]], [1.0, 1.5], rtol=1e-14)


def cost(mean, variance):
    """A function of the distribution that no chart makes simple."""
    return jnp.sin(mean) * jnp.log(variance) + 0.3 * mean**2 * variance + variance**1.5


def in_chart(chart):
    stands = CASES["gaussian", chart][1]
    return tw.GradientFlow(lambda y: cost(*stands(y)), geometry=FisherInformation("gaussian", chart)), stands


CHARTS = [chart for family, chart in CASES if family == "gaussian"]


@pytest.mark.parametrize("chart", [chart for chart in CHARTS if chart != "variance"])
def test_the_velocity_is_the_same_in_every_chart_and_a_step_is_not(chart):
    point = {"mean": jnp.array(0.4), "variance": jnp.array(1.7)}
    (law, stands), (home, _) = in_chart(chart), in_chart("variance")
    x = law.geometry.from_chart("variance", point)
    _, moved = jax.jvp(stands, (x,), (law.velocity(None, x),))
    expected = home.velocity(None, point)
    np.testing.assert_allclose(moved, [expected["mean"], expected["variance"]], rtol=1e-12)

    def gap(h):
        ours = stands(jax.tree.map(lambda a, v: a + h * v, x, law.velocity(None, x)))
        other = jax.tree.map(lambda a, v: a + h * v, point, expected)
        return np.hypot(ours[0] - other["mean"], ours[1] - other["variance"])

    assert np.log2(gap(0.004) / gap(0.002)) == pytest.approx(2.0, abs=0.1)
    # In flat space the velocity itself is another.
    slope = jax.grad(lambda y: cost(*stands(y)))(x)
    _, flat = jax.jvp(stands, (x,), (slope,))
    other = jax.grad(lambda y: cost(y["mean"], y["variance"]))(point)
    assert np.hypot(flat[0] - other["mean"], flat[1] - other["variance"]) > 0.1


COSTS = jnp.array([0.5, 1.0, 3.0])


def test_the_replicator_equation_in_both_charts():
    exact = P * jnp.exp(-COSTS)
    exact = exact / jnp.sum(exact)
    logits, simplex = FisherInformation("categorical"), FisherInformation("categorical", "probabilities")
    # A mean of costs is linear in the logits, of which Euler's step makes no error.
    end = tw.run(tw.natural_gradient(lambda z: COSTS @ jax.nn.softmax(z), 0.25, logits), jnp.log(P), 4, record=None)
    np.testing.assert_allclose(jax.nn.softmax(end.final.position), exact, rtol=1e-14)
    law = tw.GradientFlow(lambda p: COSTS @ p, geometry=simplex)
    end = tw.run(tw.Method(law, FOLLOWED, 0.01), P, 5000, record=None).final.position
    np.testing.assert_allclose(end, exact, rtol=1e-10)
    many = tw.run(tw.natural_gradient(lambda p: jnp.sum(COSTS * p**2), 0.05, simplex), P, 10_000, record=None)
    assert abs(float(jnp.sum(many.final.position)) - 1.0) < 1e-14


def test_what_is_no_distribution_has_no_velocity():
    geometry = FisherInformation("gaussian", "variance")
    point = {"mean": jnp.array(0.0), "variance": jnp.array(-1.0)}
    message = "the point is no gaussian in the chart variance: give variance > 0"
    for refused in (lambda: geometry.velocity(point, point), lambda: geometry.check(point)):
        with pytest.raises(tw.InputError, match=message):
            refused()
    with pytest.raises(tw.InputError, match=message):
        FisherInformation("gaussian", "natural").from_chart("variance", point)
    steep = tw.natural_gradient(lambda x: 10.0 * x["variance"], 1.0, geometry)
    run = tw.run(steep, {"mean": jnp.array(0.0), "variance": jnp.array(1.0)}, 3, record=None)
    assert run.status == "not finite"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FisherInformation("gausian"), "family 'gausian' is unknown; did you mean 'gaussian'"),
        (lambda: FisherInformation("gaussian", "log_sd"), "chart of gaussian 'log_sd' is unknown; did you mean"),
        (lambda: FisherInformation("poisson").from_chart("logit", jnp.ones(2)), "chart of poisson 'logit' is unknown"),
        (lambda: FisherInformation("gaussian").check({"mean": jnp.ones(2), "std": jnp.ones(2)}),
         "has the parameters mean and log_std, as a dict or a pair of arrays, but the point is a dict of mean, std"),
        (lambda: tw.run(tw.natural_gradient(jnp.sum, 0.1, FisherInformation("gaussian")), jnp.ones(2), 1),
         "mean and log_std, as a dict or a pair of arrays, but the point is one array"),
    ],
)  # fmt: skip
def test_misfits_are_one_line(make, message):
    with pytest.raises(tw.InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_pair_is_a_point_and_low_precision_is_kept():
    geometry = FisherInformation("gaussian", "std")
    pair, slope = (jnp.array(1.0, jnp.bfloat16), jnp.array(2.0)), (jnp.array(1.0, jnp.bfloat16), jnp.array(1.0))
    found = geometry.velocity(pair, slope)
    assert [leaf.dtype for leaf in found] == [jnp.bfloat16, jnp.float64]
    assert [float(leaf) for leaf in found] == [4.0, 2.0]
    named = geometry.velocity({"std": pair[1], "mean": pair[0]}, {"std": slope[1], "mean": slope[0]})
    assert float(named["mean"]) == 4.0 and float(named["std"]) == 2.0
