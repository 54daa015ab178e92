"""Wrong arguments: one line that says what is wrong."""

import sys

import jaxtyping
import pytest

import thalweg as tw
from thalweg.problems import _data

p = tw.problems
nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: p.get("rosenbrok"), "problem 'rosenbrok' is unknown; did you mean 'rosenbrock'?"),
        (lambda: p.get("double_well"), "did you mean 'double-well'?"),
        (lambda: p.get("?"), "choose one of: banana, beale, breast-cancer, canyon"),
        (lambda: p.quadratic(condition_number=-1.0), "condition_number must be at least 1, but is -1"),
        (lambda: p.quadratic(condition_number=0.5), "condition_number must be at least 1, but is 0.5"),
        (lambda: p.quadratic(condition_number=nan), "condition_number must be finite, but is nan"),
        (lambda: p.quadratic(dimension=0), "dimension must be a whole number of at least 1, but is 0"),
        (lambda: p.quadratic(dimension=1), "dimension must be at least 2 for a condition_number of 100, but is 1"),
        (lambda: p.quadratic([]), "at least one number, but has shape (0,)"),
        (lambda: p.quadratic(2.0), "at least one number, but has shape ()"),
        (lambda: p.quadratic([1.0, -2.0]), "at least 0 and not all 0, but is [1.0, -2.0]"),
        (lambda: p.quadratic([0.0, 0.0]), "not all 0"),
        (lambda: p.quadratic([1.0, inf]), "spectrum must be finite"),
        (lambda: p.quadratic([1.0], condition_number=2.0), "its condition_number and dimension, but not both"),
        (lambda: p.quadratic([1.0], dimension=1), "but not both"),
        (lambda: p.quadratic(seed=-1), "seed must be a whole number of at least 0, but is -1"),
        (lambda: p.rosenbrock(1), "dimension must be a whole number of at least 2, but is 1"),
        (lambda: p.rosenbrock(True), "dimension must be a whole number of at least 2, but is True"),
        (lambda: p.double_well(0), "dimension must be a whole number of at least 1, but is 0"),
        (lambda: p.saddle(1), "dimension must be a whole number of at least 2, but is 1"),
        (lambda: p.saddle(instability=0.0), "instability must be greater than 0, but is 0"),
        (lambda: p.saddle(offset=inf), "offset must be finite, but is inf"),
        (lambda: p.canyon(steepness=-1), "steepness must be greater than 0, but is -1"),
        (lambda: p.canyon(slope=0.0), "slope must be greater than 0, but is 0"),
        (lambda: p.logistic_digits(0.0), "regularisation must be greater than 0, but is 0"),
        (lambda: p.logistic_digits(inf), "regularisation must be finite, but is inf"),
        (lambda: p.logistic_breast_cancer(-1e-3), "regularisation must be greater than 0, but is -0.001"),
        (lambda: p.network_digits(0), "hidden must be a whole number of at least 1, but is 0"),
        (lambda: p.network_digits(regularisation=-1.0), "regularisation must be at least 0, but is -1"),
        (lambda: p.network_digits(seed=-1), "seed must be a whole number of at least 0, but is -1"),
        (lambda: p.double_well(temperature=0.0), "temperature must be greater than 0, but is 0"),
        (lambda: p.gaussian([1.0, 0.0]), "precision must be greater than 0, but is [1.0, 0.0]"),
        (lambda: p.gaussian([-1.0]), "precision must be finite, at least 0"),
        (lambda: p.gaussian([1.0], dimension=1), "its condition_number and dimension, but not both"),
        (lambda: p.gaussian(condition_number=0.1), "condition_number must be at least 1, but is 0.1"),
        (lambda: p.gaussian(dimension=3, mean=[0.0, 1.0]), "mean must be a list of 3 numbers, but has shape (2,)"),
        (lambda: p.gaussian(dimension=2, mean=[0.0, nan]), "mean must be finite, but is [0.0, nan]"),
        (lambda: p.gaussian(seed=-1), "seed must be a whole number of at least 0, but is -1"),
        (lambda: p.banana(bend=nan), "bend must be finite, but is nan"),
        (lambda: p.banana(spread=0), "spread must be greater than 0, but is 0"),
        (lambda: p.banana(dimension=1), "dimension must be a whole number of at least 2, but is 1"),
        (lambda: p.funnel(1), "dimension must be a whole number of at least 2, but is 1"),
        (lambda: p.funnel(spread=-3.0), "spread must be greater than 0, but is -3"),
        (lambda: p.funnel(spread=31.0), "spread must be at most 30, beyond which variances overflow, but is 31"),
        (lambda: p.gaussian_mixture([1.0, 2.0]), "means must have shape (K, d), but has shape (2,)"),
        (lambda: p.gaussian_mixture([[1.0], [2.0, 3.0]]), "means must be rows of numbers, all of one length"),
        (lambda: p.gaussian_mixture([[1.0], [inf]]), "means must be finite"),
        (lambda: p.gaussian_mixture([[1.0], [2.0]], [1.0]), "weights must be a list of 2 numbers, but has shape (1,)"),
        (lambda: p.gaussian_mixture([[1.0], [2.0]], [1, 0]), "weights must be greater than 0, but are [1.0, 0.0]"),
        (lambda: p.gaussian_mixture(covariances=[1.0]), "must have shape (2, 2) or (3, 2, 2), but has shape (1,)"),
        (lambda: p.gaussian_mixture(covariances=[[1.0, 2.0], [2.0, 1.0]]), "symmetric and positive definite"),
        (lambda: p.gaussian_mixture(covariances=[[1.0, 0.5], [0.0, 1.0]]), "symmetric and positive definite"),
        (lambda: p.logistic_posterior(0.0), "prior_scale must be greater than 0, but is 0"),
        (lambda: p.lopsided().solved(tolerance=0.0), "tolerance must be greater than 0, but is 0"),
        (lambda: p.network_digits().solved(), "digits-network is not known to be strongly convex"),
    ],
)
def test_one_clear_line(call, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["breast-cancer", "digits", "digits-network", "logistic-posterior"])
def test_without_scikit_learn(name, monkeypatch):
    _data.standardised.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(tw.InputError, match=r"scikit-learn, which is not installed; pip install 'thalweg\[data\]'$"):
        tw.problems.get(name)
