import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.stats import multivariate_t
from sklearn.datasets import load_breast_cancer

import thalweg as tw
from tools import logistic_posterior as tool

STORED = json.loads(tool.STORED.read_text("utf-8"))


@pytest.fixture(scope="module")
def problem():
    return tw.problems.logistic_posterior()


def potential(problem):
    """The potential at rows of raveled points."""
    unravel = ravel_pytree(problem.start)[1]
    compiled = eqx.filter_jit(lambda f, x: jax.lax.map(lambda y: f.value(unravel(y)), x, batch_size=500))
    return lambda x: np.asarray(compiled(problem.objective, jnp.asarray(x)))


def textbook(x, scale=1.0):
    """Minus the log-likelihood summed over samples standardised one by one, and the prior's share."""
    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    chance = 1 / (1 + np.exp(-(features @ x[1:] + x[0])))
    return -np.sum(np.log(np.where(labels == 1, chance, 1 - chance))) + 0.5 * x @ x / scale**2


@pytest.mark.parametrize("scale", [1, 0.5])
def test_is_the_textbook_sum_and_so_is_the_scripts(rng, scale):
    problem = tw.problems.logistic_posterior(scale)
    x = 0.2 * rng.normal(size=(4, 31))
    expected = [textbook(row, scale) for row in x]
    np.testing.assert_allclose(potential(problem)(x), expected, rtol=1e-12)
    if scale == 1:
        features, labels = tool.standardised("breast_cancer")
        rows = np.vstack([np.ones(569), features])
        np.testing.assert_allclose(tool.potential(rows, 2.0 * labels - 1, x), expected, rtol=1e-12)
    else:
        assert problem.moments is None and problem.log_normaliser is None


@pytest.mark.parametrize("scale", [1, 0.5])
def test_smoothness_is_the_curvature_at_zero_and_the_prior_the_least(scale):
    problem = tw.problems.logistic_posterior(scale)
    flat, unravel = ravel_pytree(problem.start)
    hessian = eqx.filter_jit(lambda f, x: jax.hessian(lambda y: f.value(unravel(y)))(x))
    np.testing.assert_allclose(
        np.linalg.eigvalsh(hessian(problem.objective, flat))[-1], problem.objective.smoothness, rtol=1e-12
    )
    far = hessian(problem.objective, flat.at[0].set(800.0))
    np.testing.assert_allclose(far, np.eye(31) / scale**2, atol=1e-12)
    assert problem.objective.strong_convexity == scale**-2


def test_moments_against_importance_sampling_about_the_mode(problem, rng):
    """Another proposal than the script's (wider, never refitted), another code; a coarse run, so wide errors."""
    solved = problem.solved()
    mode, unravel = ravel_pytree(solved.objective.minimiser)
    hessian = eqx.filter_jit(lambda f, x: jax.hessian(lambda y: f.value(unravel(y)))(x))(problem.objective, mode)
    proposal = multivariate_t(np.asarray(mode), 1.1 * np.linalg.inv(hessian), df=12, seed=rng)
    x = proposal.rvs(40_000)
    log_weight = -potential(problem)(x) - proposal.logpdf(x)
    w = np.exp(log_weight - log_weight.max())
    share = w / w.sum()
    assert 1 / np.sum(share**2) > 1000, "the effective sample size"

    mean, variance = problem.moments.mean, problem.moments.variance
    error, variance_error = problem.moments.mean_error, problem.moments.variance_error
    mean, variance, error, variance_error = (
        np.asarray(ravel_pytree(tree)[0]) for tree in (mean, variance, error, variance_error)
    )
    off = share[:, None] * (x - mean)
    scores = off.sum(axis=0) / np.hypot(np.sqrt(np.sum(off**2, axis=0)), error)
    off = share[:, None] * ((x - mean) ** 2 - variance)
    variance_scores = off.sum(axis=0) / np.hypot(np.sqrt(np.sum(off**2, axis=0)), variance_error)
    for z in (scores, variance_scores):
        assert np.abs(z).max() < 5 and 0.3 < np.sqrt(np.mean(z**2)) < 2
    mean_weight = np.log(w.mean()) + log_weight.max()
    relative = w.std() / w.mean() / np.sqrt(len(w))
    assert abs(mean_weight - problem.log_normaliser) < 5 * relative


def test_the_script_makes_the_numbers_that_are_stored():
    """A five-hundredth of the draws, under another seed."""
    found = tool.compute(20_000, seed=3)
    assert found.keys() == STORED.keys()
    mean = np.array([found["mean"], STORED["mean"]])
    scores = np.subtract(*mean) / np.hypot(found["mean_error"], STORED["mean_error"])
    variance = np.array([np.diag(run["covariance"]) for run in (found, STORED)])
    variance_scores = np.subtract(*variance) / np.hypot(found["variance_error"], STORED["variance_error"])
    for z in (scores, variance_scores):
        assert np.abs(z).max() < 5 and 0.3 < np.sqrt(np.mean(z**2)) < 2
    difference = found["log_normaliser"] - STORED["log_normaliser"]
    assert abs(difference) < 5 * np.hypot(found["log_normaliser_error"], STORED["log_normaliser_error"])


def test_what_is_stored_is_small_and_accurate():
    assert Path(tool.STORED).stat().st_size < 50_000
    assert STORED["draws"] == tool.DRAWS and STORED["seed"] == tool.SEED
    assert STORED["effective_sample_size"] > 0.4 * STORED["draws"]
    deviation = np.sqrt(np.diag(STORED["covariance"]))
    assert np.max(STORED["mean_error"] / deviation) < 1e-3
    assert np.max(STORED["variance_error"] / deviation**2) < 3e-3
