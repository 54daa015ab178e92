"""How a benchmark tells whether a bound is held."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks._harness import Result, interval


@pytest.mark.parametrize("n", [3, 5, 7, 9, 11, 15, 40])
def test_the_interval_is_the_shortest_of_order_statistics_that_holds_the_median(n):
    low, high = interval(list(np.arange(n, 0.0, -1.0)))
    assert low + high == n + 1
    # With k values at least outside of it on each side, by the law of how many of n lie below the median.
    k = int(low) - 1
    assert k == 0 or 2.0 * binom.cdf(k, n, 0.5) <= 0.05
    assert 2.0 * binom.cdf(k + 1, n, 0.5) > 0.05


@pytest.mark.parametrize(
    ("interval", "verdict"), [(None, "not held"), ((1.06, 1.2), "not held"), ((1.04, 1.2), "within its error")]
)
def test_a_ratio_above_its_bound(interval, verdict):
    assert Result("a", 1.1, 1.0, 1.05, 7, 0.0, interval=interval).verdict == verdict
    assert Result("a", 1.0, 1.0, 1.05, 7, 0.0, interval=interval).per(10).verdict == "held"
