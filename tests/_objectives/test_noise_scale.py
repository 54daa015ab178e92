"""The scale of a gradient's noise from its norms at two batch sizes."""

import numpy as np
import pytest

import thalweg as tw

D, MEAN, SPREAD = 12, 0.3, 2.0
# tr C / |grad f|^2 of gradients whose entries are MEAN, with independent noise of SPREAD.
SCALE = SPREAD**2 / MEAN**2


def norms(rng, n, b, batch):
    """Norms of gradients of whole batches and of a part of each: the mean of b of its samples."""
    part = MEAN + SPREAD / np.sqrt(b) * rng.normal(size=(n, D))
    rest = MEAN + SPREAD / np.sqrt(batch - b) * rng.normal(size=(n, D))
    whole = (b * part + (batch - b) * rest) / batch
    return np.linalg.norm(part, axis=1), np.linalg.norm(whole, axis=1)


def test_known_noise_within_its_error(rng):
    found = tw.analysis.noise_scale(*norms(rng, 4000, 8, 128), small_batch=8, large_batch=128)
    assert abs(found.value - SCALE) < 4 * found.error and found.error < 0.05 * SCALE
    assert found.trace == pytest.approx(D * SPREAD**2, rel=0.05)
    assert found.gradient_square == pytest.approx(D * MEAN**2, rel=0.05)
    assert found.pairs == 4000


def test_the_error_is_that_of_repetition(rng):
    """Over 200 repetitions the estimate scatters as it says, and lies by its error around the true scale."""
    found = [tw.analysis.noise_scale(*norms(rng, 300, 8, 128), 8, 128) for _ in range(200)]
    values, errors = np.array([f.value for f in found]), np.array([f.error for f in found])
    # The scatter of 200 is known to 5 %, the jackknife over 20 blocks to a sixth each.
    assert np.median(errors) == pytest.approx(values.std(), rel=0.25)
    assert np.mean(np.abs(values - SCALE) < 2 * errors) > 0.85


def test_without_a_gradient_there_is_no_scale(rng):
    small, large = (np.linalg.norm(rng.normal(size=(50, D)) / np.sqrt(b), axis=1) for b in (2, 4))
    found = tw.analysis.noise_scale(small, 0.0 * large, 2, 4)
    assert (found.value, np.isnan(found.error)) == (np.inf, True)
    one = tw.analysis.noise_scale(3.0, 2.0, 8, 32)
    assert np.isnan(one.error) and one.pairs == 1
    assert tw.analysis.noise_scale([1.0, 1.0], [1.0, 1.0], 8, 32).value == 0.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([1.0], [1.0], 8, 8), "large_batch must be greater than small_batch, 8, but is 8"),
        (([1.0], [1.0], 0, 8), "small_batch must be greater than 0"),
        (([1.0, 2.0], [1.0], 4, 8), "small and large must hold as many norms, but hold 2 and 1"),
        (([-1.0], [1.0], 4, 8), "small must hold norms, finite numbers of at least 0"),
        (([1.0], [np.nan], 4, 8), "large must hold norms, finite numbers of at least 0"),
        (("much", [1.0], 4, 8), "small must hold norms, numbers of at least 0, but is 'much'"),
    ],
)
def test_wrong_input_is_one_line(arguments, says):
    with pytest.raises(tw.InputError, match=says):
        tw.analysis.noise_scale(*arguments)
