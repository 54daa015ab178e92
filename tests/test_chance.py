"""The false alarms of the whole suite stay within their budget, and a share is what it says."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.chance import BUDGET, DOCUMENTED, SHARE, Chance, in_documents, scores, threshold, variance_score

ROOT = Path(__file__).parents[1]


def test_all_shares_together_are_less_than_the_budget(tests_of_chance):
    """Of what was collected: in a run of the suite, of everything."""
    documents = list(in_documents(ROOT))
    assert {"docs/howto/sampling.md", "docs/reference/targets.md"} <= {file for file, _ in documents}
    assert all(multiple >= DOCUMENTED for _, multiple in documents), documents
    assert 50 * 2 * stats.norm.sf(DOCUMENTED) < SHARE
    assert (len(tests_of_chance) + len(documents)) * SHARE < BUDGET, [test.nodeid for test in tests_of_chance]


def test_a_test_that_takes_a_share_is_counted(chance, tests_of_chance, request):
    assert request.node in tests_of_chance and chance.level() == SHARE


def test_a_share_is_split_and_not_exceeded():
    whole = Chance()
    assert whole.z(10, checks=3) == threshold(30)
    assert 2 * 30 * stats.norm.sf(threshold(30)) == pytest.approx(SHARE, rel=1e-9)
    assert whole.level(10, checks=3) + whole.level(10, checks=3) == pytest.approx(SHARE / 15, rel=1e-12)
    with pytest.raises(AssertionError, match="more than it says"):
        whole.z()


def test_scores_are_normal_where_samples_are_skewed(chance, rng):
    """One mean in 370 is beyond 3; of squares of normals without the cubic, one in 130."""
    sets = 40_000
    squares = rng.standard_normal((200, sets)) ** 2
    beyond = np.sum(np.abs(scores(squares, 1.0)) > 3.0)
    assert abs(beyond - 0.0027 * sets) < chance.z() * np.sqrt(0.0027 * sets) + 0.0003 * sets
    plain = (squares.mean(axis=0) - 1.0) / (squares.std(axis=0) / np.sqrt(200))
    assert np.sum(np.abs(plain) > 3.0) > 2 * beyond


def test_the_score_of_a_variance_is_that_of_its_chi_square():
    """At both ends, where the error that was found is in proportion to the variance."""
    n = 4000
    for z in (-6.0, -3.0, 3.0, 6.0):
        found = stats.chi2(n).isf(stats.norm.sf(z)) / n if z > 0 else stats.chi2(n).ppf(stats.norm.cdf(z)) / n
        assert variance_score(found, 1.0, found * np.sqrt(2 / n)) == pytest.approx(z, abs=0.03)
