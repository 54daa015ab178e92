"""Posteriors that people have: the moments are right within their errors, or the draws are warned of with the cause."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

pytestmark = pytest.mark.slow


def drawn(law, start, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tw.SamplingWarning)
        return tw.sample(law, start, progress=False, **options)


def texts(tree):
    return json.loads(tree.attrs["warnings"])


def scores(tree, expected):
    """By how many of their standard errors the means of a tree of parameters are off."""
    statistics = tree["diagnostics"]
    found = [
        (statistics[name].sel(statistic="mean").values - value) / statistics[name].sel(statistic="mcse_mean").values
        for name, value in expected.items()
    ]
    return np.concatenate([np.ravel(part) for part in found])


def test_eight_schools():
    problem = tw.problems.eight_schools()
    law = tw.UnderdampedLangevin(problem.objective, friction=0.3, temperature=1.0)
    tree = drawn(law, problem.start, draws=60_000, chains=4, thin=2)
    assert texts(tree) == [] and np.abs(scores(tree, problem.moments.mean)).max() < 5.0


@pytest.mark.parametrize("seed", [0, 1])
def test_eight_schools_centred(seed):
    problem = tw.problems.eight_schools_centred()
    law = tw.UnderdampedLangevin(problem.objective, friction=1.0, temperature=1.0)
    tree = drawn(law, problem.start, draws=4000, key=seed)
    told = " ".join(texts(tree))
    assert "r_hat of" in told
    assert any(words in told for words in ("non-centred", "kinetic temperature", "energy jumps", "stability limit"))


def test_a_regression_in_raw_units():
    """Least squares of an intercept and a slope by years: the condition number of the Hessian is 1e10."""
    rng = np.random.default_rng(1)
    year = np.arange(1950.0, 2011.0)
    design = np.column_stack([np.ones_like(year), year])
    measured = design @ np.array([-30.0, 0.02]) + 0.1 * rng.normal(size=year.size)
    exact = np.linalg.lstsq(design, measured, rcond=None)[0]
    X, y = jnp.asarray(design), jnp.asarray(measured)
    law = tw.UnderdampedLangevin(lambda b: 0.5 * jnp.sum(((y - X @ b) / 0.1) ** 2), friction=1.0, temperature=1.0)
    tree = drawn(law, jnp.asarray(exact) + jnp.array([1.0, 0.0]), draws=4000)
    told = " ".join(texts(tree))
    assert "effective sample size of x[" in told or "r_hat of x[" in told
    # In the units of the data it is right.
    middle, scale = year.mean(), year.std()
    Z = jnp.asarray(np.column_stack([np.ones_like(year), (year - middle) / scale]))
    law = tw.UnderdampedLangevin(lambda b: 0.5 * jnp.sum(((y - Z @ b) / 0.1) ** 2), friction=70.0, temperature=1.0)
    tree = drawn(law, jnp.zeros(2), draws=4000)
    expected = np.array([exact[0] + exact[1] * middle, exact[1] * scale])
    assert texts(tree) == [] and np.abs(scores(tree, {"x": expected})).max() < 5.0


def garch(parameters, returns):
    """GARCH(1, 1) with normal innovations, on the whole line: logs of omega, and the shares of a + b < 1."""
    omega = jnp.exp(parameters[0])
    both, share = jax.nn.sigmoid(parameters[1]), jax.nn.sigmoid(parameters[2])
    a, b = both * share, both * (1.0 - share)

    def step(variance, r):
        return omega + a * r**2 + b * variance, jnp.log(variance) + r**2 / variance

    _, terms = jax.lax.scan(step, jnp.var(returns), returns)
    return 0.5 * jnp.sum(terms) + 0.5 * jnp.sum((parameters - jnp.array([-1.0, 1.0, 0.0])) ** 2)


def test_garch():
    """Against a quadrature on a grid."""
    rng = np.random.default_rng(5)
    variance, returns = 1.0, []
    for _ in range(150):
        returns.append(np.sqrt(variance) * rng.normal())
        variance = 0.3 + 0.3 * returns[-1] ** 2 + 0.4 * variance
    data = jnp.asarray(returns)
    axes = [np.linspace(-5.0, 3.0, 45), np.linspace(-3.5, 5.5, 45), np.linspace(-4.5, 4.5, 45)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    values = np.asarray(jax.jit(lambda points: jax.lax.map(lambda p: garch(p, data), points, batch_size=5000))(grid))
    weight = np.exp(values.min() - values)
    exact = weight @ grid / weight.sum()
    law = tw.UnderdampedLangevin(lambda p: garch(p, data), friction=2.0, temperature=1.0)
    tree = drawn(law, jnp.array([-1.0, 1.0, 0.0]), draws=12_000)
    assert texts(tree) == [] and np.abs(scores(tree, {"x": exact})).max() < 5.0


def two_moons(x):
    """Two half rings, which nothing joins."""
    radius = 0.5 * ((jnp.sqrt(x @ x) - 2.0) / 0.2) ** 2
    sides = jnp.logaddexp(-0.5 * ((x[0] + 2.0) / 0.35) ** 2, -0.5 * ((x[0] - 2.0) / 0.35) ** 2)
    return radius - sides


def test_two_moons():
    law = tw.UnderdampedLangevin(two_moons, friction=2.0, temperature=1.0)

    def start(key):
        return jnp.array([2.0, 0.1]) * jax.random.rademacher(key, (), float)

    tree = drawn(law, start, draws=4000, key=3)
    told = texts(tree)
    assert any("r_hat of x[0] is" in text and "each chain stays in a part of its own" in text for text in told)
    # Replicas carry them over: by symmetry the mean is 0.
    replicas = tw.ReplicaExchange(tw.EulerMaruyama(), temperatures=(1.0, 4.0, 16.0, 64.0), every=5)
    hot = tw.Method(tw.OverdampedLangevin(two_moons, 1.0), replicas, 0.004)
    tree = drawn(hot, start, draws=10_000, thin=5, key=3)
    moved = not any("a part of its own" in text for text in texts(tree))
    assert moved and (texts(tree) or np.abs(scores(tree, {"x": np.zeros(2)})).max() < 5.0)
