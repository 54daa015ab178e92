"""The Fisher information of models: against sums over all observations, the divergence, and Gauss and Newton."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import thalweg as tw

Fisher, EmpiricalFisher = tw.geometry.Fisher, tw.geometry.EmpiricalFisher
INPUTS = jax.random.normal(jax.random.key(3), (6, 2))
LABELS = jnp.array([0, 2, 1, 1, 0, 2])


def network(w, x):
    """Two inputs, three hidden units, three outputs."""
    return jnp.tanh(x @ w["in"]) @ w["out"] + w["bias"][None, :]


def weights(outputs=3):
    keys = jax.random.split(jax.random.key(5), 3)
    shapes = {"bias": (outputs,), "in": (2, 3), "out": (3, outputs)}
    return {name: jax.random.normal(key, shape) for (name, shape), key in zip(shapes.items(), keys, strict=True)}


W = weights()
FLAT, CUT = ravel_pytree(W)


def log_likelihood(flat, x, label):
    return jax.nn.log_softmax(network(CUT(flat), x[None])[0])[label]


@jax.jit
def summed():
    """The information summed over classes, each by its probability, and over those that were observed."""

    def squares(x, seen):
        probabilities = jax.nn.softmax(network(W, x[None])[0])
        scores = jax.vmap(lambda label: jax.grad(log_likelihood)(FLAT, x, label))(jnp.arange(3))
        return scores.T @ (probabilities[:, None] * scores), jnp.outer(scores[seen], scores[seen])

    exact, empirical = jax.vmap(squares)(INPUTS, LABELS)
    return jnp.sum(exact, 0), jnp.sum(empirical, 0)


def matrix(geometry, flat=FLAT, cut=CUT):
    eye = jnp.eye(flat.size)
    return jax.jit(jax.vmap(jax.vmap(lambda u, v: geometry.inner(cut(flat), cut(u), cut(v)), (0, None)), (None, 0)))(
        eye, eye
    )


def losses(w, data):
    return -jnp.take_along_axis(jax.nn.log_softmax(network(w, data[0])), data[1][:, None], 1)[:, 0]


def test_the_information_of_a_network_is_the_sum_over_classes_and_the_empirical_one_is_not():
    exact, empirical = summed()
    scale = float(jnp.abs(exact).max())
    found = matrix(Fisher(network, INPUTS, "categorical"))
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-12 * scale)
    other = matrix(EmpiricalFisher(losses, (INPUTS, LABELS)))
    np.testing.assert_allclose(other, empirical, rtol=0, atol=1e-12 * scale)
    assert float(jnp.abs(other - found).max()) > 0.3 * scale
    halved = matrix(Fisher(network, INPUTS, "categorical", average=True, damping=0.25))
    np.testing.assert_allclose(halved, exact / 6 + 0.25 * np.eye(FLAT.size), rtol=0, atol=1e-12 * scale)
    halved = matrix(EmpiricalFisher(losses, (INPUTS, LABELS), average=True, damping=0.25))
    np.testing.assert_allclose(halved, empirical / 6 + 0.25 * np.eye(FLAT.size), rtol=0, atol=1e-12 * scale)


NOISE = jnp.array([[0.5, 2.0, 1.0]])
DIVERGENCES = {
    "gaussian": lambda z, y: 0.5 * jnp.sum(((z - y) / NOISE) ** 2),
    "categorical": lambda z, y: jnp.sum(jax.nn.softmax(z) * (jax.nn.log_softmax(z) - jax.nn.log_softmax(y))),
    "bernoulli": lambda z, y: jnp.sum(
        jax.nn.sigmoid(z) * (z - y) - jnp.logaddexp(0.0, z) + jnp.logaddexp(0.0, y)),
    "poisson": lambda z, y: jnp.sum(jnp.exp(z) * (z - y) - jnp.exp(z) + jnp.exp(y)),
}  # fmt: skip


@pytest.mark.parametrize("likelihood", DIVERGENCES)
def test_the_information_is_the_hessian_of_the_divergence(likelihood):
    z = network(W, INPUTS)
    hessian = jax.jit(jax.hessian(lambda flat: DIVERGENCES[likelihood](z, network(CUT(flat), INPUTS))))(FLAT)
    found = matrix(Fisher(network, INPUTS, likelihood, noise=NOISE if likelihood == "gaussian" else None))
    np.testing.assert_allclose(found, hessian, rtol=0, atol=1e-13 * float(jnp.abs(hessian).max()))


def test_that_of_gaussian_noise_is_gauss_newton():
    fisher = Fisher(network, INPUTS, "gaussian", noise=NOISE, damping=0.3)
    residuals = tw.LeastSquares(lambda w, data: (network(w, data[0]) - data[1]) / NOISE, (INPUTS, jnp.ones((6, 3))))
    slope = jax.grad(residuals.value)(W)
    ours, theirs = (g.velocity(W, slope) for g in (fisher, tw.geometry.GaussNewton(residuals, 0.3)))
    np.testing.assert_allclose(ravel_pytree(ours)[0], ravel_pytree(theirs)[0], rtol=1e-11)


SLOPE = CUT(jnp.sin(1.0 + jnp.arange(FLAT.size)))


@pytest.mark.parametrize("dense", [256, 0], ids=["formed", "products"])
def test_a_velocity_solves_and_is_differentiable(dense):
    geometry = Fisher(network, INPUTS, "categorical", damping=0.05, dense=dense, tolerance=1e-12)
    whole = np.asarray(summed()[0]) + 0.05 * np.eye(FLAT.size)
    solved = np.linalg.solve(whole, ravel_pytree(SLOPE)[0])
    found, left = eqx.filter_jit(lambda g: (g.velocity(W, SLOPE), g.residual(W, SLOPE)))(geometry)
    np.testing.assert_allclose(ravel_pytree(found)[0], solved, rtol=0, atol=1e-10 * abs(solved).max())
    assert float(left) < 1e-12

    def length(damping):
        other = eqx.tree_at(lambda g: g.damping, geometry, damping)
        return jnp.sum(ravel_pytree(other.velocity(W, SLOPE))[0] ** 2)

    # The derivative of the inverse: -2 v G^-1 v.
    expected = -2 * solved @ np.linalg.solve(whole, solved)
    both = jax.jit(lambda damping: (jax.grad(length)(damping), jax.jvp(length, (damping,), (1.0,))[1]))(0.05)
    np.testing.assert_allclose(both, expected, rtol=1e-8)


DOSES = jnp.array([0.5, -1.0, 2.0])


def alike(w, x):
    """Two parameters of which only the sum is told apart."""
    return (w[0] + w[1]) * x


def steep(w, x):
    return w[0] + 100.0 * w[1] * x


@pytest.mark.slow
def test_what_is_singular_is_refused_and_what_does_not_converge_is_said():
    at, slope = jnp.array([0.1, 0.2]), jnp.array([1.0, 2.0])
    few = Fisher(steep, DOSES[:1], "poisson")
    with pytest.raises(tw.InputError, match=r"Fisher of 2 parameters has rank 1 at most, .* give damping > 0"):
        tw.run(tw.natural_gradient(jnp.sum, 0.1, few), at, 3)
    singular = Fisher(alike, DOSES, "gaussian")
    with pytest.raises(tw.InputError, match="metric Fisher is singular to precision here; give a damping"):
        singular.velocity(at, slope)
    assert tw.run(tw.natural_gradient(jnp.sum, 0.1, singular), at, 3, record=None).status == "not finite"
    # Damping that is less than rounding of the matrix is none.
    with pytest.raises(tw.InputError, match="singular to precision here; give more damping"):
        Fisher(alike, DOSES, "gaussian", damping=1e-18).velocity(at, slope)
    short = Fisher(steep, DOSES, "gaussian", dense=0, products=1)
    with pytest.raises(
        tw.InputError, match=r"left more than tolerance=1e-08 of a slope after 1 products with the metric"
    ):
        short.velocity(at, slope)
    assert np.all(np.isnan(eqx.filter_jit(short.velocity)(at, slope)))
    loose = Fisher(steep, DOSES, "gaussian", dense=0, products=1, tolerance=0.9)
    assert 1e-3 < float(loose.residual(at, slope)) <= 0.9


@pytest.mark.slow
def test_mini_batches_leave_the_metric_on_all_data():
    data = (INPUTS, LABELS)
    objective = tw.FiniteSum(lambda w, s: losses(w, (s[0][None], s[1][None]))[0], data, batch_size=2)
    fisher = Fisher(network, INPUTS, "categorical", damping=0.1, average=True)
    method = tw.natural_gradient(objective, 0.5, fisher)
    batch = objective.draw(jax.random.key(0))
    found = method.dynamics.velocity(None, W, batch)
    expected = fisher.velocity(W, objective.gradient(W, batch))
    np.testing.assert_allclose(ravel_pytree(found)[0], -ravel_pytree(expected)[0], rtol=1e-13)
    assert tw.run(method.with_learning_rate(0.02), W, 5, key=0, record=None).status == "finished"


@pytest.mark.slow
def test_a_module_is_a_start_and_a_single_leaf_another_vector():
    mlp = eqx.nn.MLP(2, "scalar", 3, 1, key=jax.random.key(1))
    target = jnp.sin(INPUTS[:, 0])

    def of(module, x):
        return jax.vmap(module)(x)

    def f(module):
        return 0.5 * jnp.sum((of(module, INPUTS) - target) ** 2)

    method = tw.natural_gradient(f, 0.5, Fisher(of, INPUTS, "gaussian", damping=0.1))
    end = tw.run(method, mlp, 10, record=None).final.position
    parameters, static = eqx.partition(mlp, eqx.is_inexact_array)
    flat, cut = ravel_pytree(parameters)
    metric = Fisher(lambda y, x: of(eqx.combine(cut(y), static), x), INPUTS, "gaussian", damping=0.1)
    plain = tw.natural_gradient(lambda y: f(eqx.combine(cut(y), static)), 0.5, metric)
    other = tw.run(plain, flat, 10, record=None).final.position
    np.testing.assert_allclose(ravel_pytree(eqx.filter(end, eqx.is_inexact_array))[0], other, rtol=1e-9)


@pytest.mark.slow
def test_low_precision_is_computed_in_float32_and_kept():
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), W)
    geometry = Fisher(network, INPUTS, "categorical", damping=0.5)
    found = geometry.velocity(narrow, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), SLOPE))
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(found))
    exact = geometry.velocity(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), narrow), SLOPE)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(ours.astype(float), theirs, rtol=0.02, atol=0.02)


def identity(w, x):
    return w


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fisher(jnp.sin, INPUTS, "gaussian"), r"model must be a function of \(parameters, inputs\), but takes"),
        (lambda: EmpiricalFisher(lambda w: w, INPUTS), r"losses must be a function of \(parameters, data\), but takes"),
        (lambda: Fisher(network, INPUTS, "gauss"), "likelihood 'gauss' is unknown; did you mean 'gaussian'"),
        (lambda: Fisher(network, INPUTS, "poisson", noise=2.0), "noise is a number of the gaussian likelihood"),
        (lambda: Fisher(network, INPUTS, "gaussian", noise=0.0), "noise must be a finite standard deviation greater"),
        (lambda: Fisher(network, INPUTS, "gaussian", damping=-1.0), "damping must be at least 0, but is -1"),
        (lambda: Fisher(network, INPUTS, "gaussian", tolerance=0.0), "tolerance must be greater than 0, but is 0"),
        (lambda: EmpiricalFisher(losses, (INPUTS, LABELS), float("nan")), "damping must be finite"),
        (lambda: Fisher(identity, INPUTS, "categorical").velocity(*(jnp.array(1.0),) * 2), "of 1 axes at least"),
        (lambda: Fisher(lambda w, x: 1.0, INPUTS, "poisson").velocity(*(jnp.ones(2),) * 2), "must give a float array"),
        (lambda: Fisher(identity, INPUTS, "gaussian", noise=[1.0, 1.0]).velocity(*(jnp.ones(3),) * 2),
         r"noise must be a number, or of the shape of the outputs \(3,\), but is \(2,\)"),
        (lambda: EmpiricalFisher(lambda w: jnp.sum(w)).velocity(*(jnp.ones(3),) * 2),
         r"an array \(N,\), but give float64 of shape \(\)"),
        (lambda: tw.natural_gradient(jnp.sum, 0.1, None), "natural gradient needs a metric, such as tw.geometry"),
        (lambda: tw.natural_gradient(jnp.sum, -0.1, Fisher(identity, INPUTS, "poisson")), "must be greater than 0"),
    ],
)  # fmt: skip
def test_misfits_are_one_line(make, message):
    with pytest.raises(tw.InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
