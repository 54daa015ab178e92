"""Objectives: derivatives over pytrees, samples, known facts."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import thalweg as tw
from thalweg._objectives.curvature import curvature_scale
from thalweg._objectives.objective import Flattened
from thalweg._tree import ravel, unraveler


def tree_loss(x, scale):
    return scale * jnp.sum(jnp.cosh(x["a"])) * x["b"] ** 2 + jnp.sum(x["a"] ** 3)


TREE = {"a": jnp.array([[0.3, -0.7], [1.1, 0.2]]), "b": jnp.array(0.5)}


def flat_hessian(f, x):
    cut = unraveler(x)
    return jax.hessian(lambda v: f.value(cut(v)))(ravel(x))


def test_derivatives_over_a_pytree():
    f = tw.Objective(tree_loss, 2.0)
    value, gradient = f.value_and_gradient(TREE)
    assert float(value) == float(tree_loss(TREE, 2.0))
    np.testing.assert_allclose(gradient["a"], 2.0 * np.sinh(TREE["a"]) * 0.25 + 3 * TREE["a"] ** 2, rtol=1e-14)
    np.testing.assert_allclose(gradient["b"], 2.0 * np.cosh(TREE["a"]).sum(), rtol=1e-14)
    v = {"a": jnp.array([[1.0, 0.0], [-2.0, 0.5]]), "b": jnp.array(3.0)}
    product = ravel(f.hessian_vector_product(TREE, v))
    np.testing.assert_allclose(product, flat_hessian(f, TREE) @ ravel(v), rtol=1e-13)
    both = f.gradient_and_curvature(TREE, v)
    np.testing.assert_allclose(ravel(both[0]), ravel(gradient), rtol=1e-14)
    np.testing.assert_allclose(ravel(both[1]), product, rtol=1e-14)


def test_flattened_is_the_same_function():
    f = tw.Objective(tree_loss, 2.0, minimum=-1.0, smoothness=9.0)
    flat = Flattened(f, unraveler(TREE))
    np.testing.assert_allclose(flat.gradient(ravel(TREE)), ravel(f.gradient(TREE)), rtol=1e-15)
    assert (flat.minimum, flat.smoothness, flat.strong_convexity) == (-1.0, 9.0, None)


def test_arguments_are_traced_not_baked_in():
    traces = []

    def fn(x, scale):
        traces.append(1)
        return scale * jnp.sum(x**2)

    for scale in (1.0, 2.0, 3.0):
        f = tw.Objective(fn, jnp.asarray(scale))
        run = tw.run(tw.gradient_descent(f, 0.1), jnp.ones(2), 3)
        if scale == 1.0:
            first = len(traces)
        np.testing.assert_allclose(run.final.position, np.full(2, (1 - 0.2 * scale) ** 3), rtol=1e-14)
    assert len(traces) == first


def test_a_finite_sum_is_the_mean_of_its_samples():
    data = {"x": jnp.arange(12.0).reshape(6, 2), "y": jnp.arange(6.0)}

    def one(w, sample):
        return (jnp.vdot(w, sample["x"]) - sample["y"]) ** 2

    f = tw.FiniteSum(one, data)
    w = jnp.array([0.3, -0.2])
    losses = [(np.dot(w, x) - y) ** 2 for x, y in zip(np.asarray(data["x"]), np.asarray(data["y"]), strict=True)]
    np.testing.assert_allclose(f.value(w), np.mean(losses), rtol=1e-14)
    np.testing.assert_allclose(f.gradient(w), jax.grad(lambda w: jnp.mean(jax.vmap(one, (None, 0))(w, data)))(w))
    assert not f.stochastic
    assert f.draw(None) is None


@pytest.mark.parametrize("replace", [True, False])
def test_a_mini_batch_is_drawn_from_the_samples(replace):
    data = jnp.arange(10.0)
    f = tw.FiniteSum(lambda w, s: w * s, data, batch_size=4, replace=replace)
    assert f.stochastic
    batches = np.stack([np.asarray(f.draw(jax.random.key(seed))) for seed in range(200)])
    assert batches.shape == (200, 4)
    assert set(batches.ravel()) == set(range(10))
    repeats = sum(len(set(batch)) < 4 for batch in batches)
    # With replacement 4 of 10 collide with probability 0.496.
    assert repeats == 0 if not replace else 60 < repeats < 140
    batch = jnp.array([1, 3, 3, 9])
    np.testing.assert_allclose(f.gradient(jnp.array(2.0), batch), 4.0)


# Eight chi-squares at 1e-4 each: one false alarm in 1,250 seeds.
LEVEL = 1e-4


def drawn(count, batch, draws):
    f = tw.FiniteSum(lambda w, s: w * s, jnp.zeros(count), batch_size=batch, replace=False)
    rows = jax.vmap(f.draw, (None, 0))(jax.random.key(11), jnp.arange(draws))
    assert (np.diff(np.sort(rows, axis=1)) > 0).all()
    return np.asarray(rows)


@pytest.mark.parametrize(("count", "batch"), [(2, 1), (4, 3), (7, 1), (6, 3)])
def test_every_batch_without_replacement_comes_as_often(count, batch):
    """In every order of its samples; so few that the structure of a round would show."""
    rows = drawn(count, batch, 40_000)
    found = np.unique(rows @ count ** np.arange(batch), return_counts=True)[1]
    assert len(found) == math.perm(count, batch)
    assert stats.chisquare(found).pvalue > LEVEL


def test_every_sample_and_every_pair_is_drawn_as_often():
    count, batch, draws = 40, 7, 60_000
    rows = drawn(count, batch, draws)
    # Each sample's share of the batches; the indicators of a batch have one sum, hence the correction.
    share = batch / count
    counts = np.bincount(rows.ravel(), minlength=count)
    square = np.sum((counts - draws * share) ** 2) / (draws * share * (1 - share)) * (count - 1) / count
    assert stats.chi2(count - 1).sf(square) > LEVEL
    for i, j in ((0, 1), (0, 6), (5, 6)):
        pairs = np.bincount(rows[:, i] * count + rows[:, j], minlength=count**2).reshape(count, count)
        assert stats.chisquare(pairs[~np.eye(count, dtype=bool)]).pvalue > LEVEL


@pytest.mark.parametrize("how", [{}, {"replace": False}, {"replace": False, "epochs": True}])
def test_whole_is_the_same_function_without_batches(how):
    samples = jnp.arange(6.0).reshape(3, 2)
    f = tw.FiniteSum(lambda x, s: jnp.sum(jnp.cosh(x - s)), samples, batch_size=2, minimum=0.5, smoothness=7.0, **how)
    whole = f.whole()
    assert f.stochastic and not whole.stochastic and whole.draw(None) is None
    assert (whole.minimum, whole.smoothness) == (0.5, 7.0)
    assert jnp.array_equal(whole.gradient(jnp.ones(2)), f.gradient(jnp.ones(2)))
    cut = unraveler(jnp.ones(2))
    assert not Flattened(f, cut).whole().stochastic
    assert tw.Objective(jnp.sum).whole().fn is jnp.sum


def test_all_samples_without_replacement_are_the_full_gradient():
    f = tw.FiniteSum(lambda w, s: w * s, jnp.arange(10.0), batch_size=10, replace=False)
    assert not f.stochastic


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tw.Objective(jnp.sum, smoothness=-1.0), "smoothness must be at least 0"),
        (lambda: tw.Objective(jnp.sum, minimum=float("nan")), "minimum must be finite"),
        (lambda: tw.FiniteSum(jnp.sum, {"a": jnp.ones(3), "b": jnp.ones(4)}), "same non-empty leading axis"),
        (lambda: tw.FiniteSum(jnp.sum, jnp.array(1.0)), "leading axis"),
        (lambda: tw.FiniteSum(jnp.sum, jnp.ones(3), batch_size=0), "at least 1"),
        (lambda: tw.FiniteSum(jnp.sum, jnp.ones(3), batch_size=4, replace=False), "at most the 3 samples"),
    ],
)
def test_wrong_facts_are_refused(make, says):
    with pytest.raises(tw.InputError, match=says):
        make()


def test_largest_curvature_is_the_hessians():
    f = tw.Objective(tree_loss, 2.0)
    exact = np.linalg.eigvalsh(flat_hessian(f, TREE))
    np.testing.assert_allclose(tw.analysis.largest_curvature(f, TREE, 2000, 1e-14), exact[-1], rtol=1e-8)


def test_largest_curvature_where_the_negative_one_is_larger():
    f = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.array([-5.0, 2.0, 0.5]) * x**2))
    np.testing.assert_allclose(tw.analysis.largest_curvature(f, jnp.ones(3), 2000, 1e-14), 2.0, rtol=1e-6)
    g = tw.Objective(lambda x: -0.5 * jnp.sum(x**2))
    assert tw.analysis.largest_curvature(g, jnp.ones(3)) == 0.0


def test_curvature_where_a_negative_one_is_as_large():
    def f(x):
        return 0.5 * jnp.sum(jnp.array([-3.0, 3.0, 1.0]) * x**2)

    np.testing.assert_allclose(tw.analysis.largest_curvature(f, jnp.ones(3), 2000, 1e-14), 3.0, rtol=1e-6)
    np.testing.assert_allclose(curvature_scale(f, jnp.ones(3), 2000, 1e-14), 3.0, rtol=1e-12)
    np.testing.assert_allclose(curvature_scale(lambda x: -2.0 * jnp.sum(x**2), jnp.ones(3)), 4.0, rtol=1e-12)
