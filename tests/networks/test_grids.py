"""Grids of times: their ends, their last step, and what is even in them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.networks.mixtures import NOISINGS

SPACINGS = ("karras", "noise", "log_snr", "time")


def measure(noising, spacing, times):
    if spacing == "time":
        return times
    if spacing == "log_snr":
        return noising.log_snr(times)
    ratio = noising.noise(times) / noising.signal(times)
    return ratio ** (1 / 7) if spacing == "karras" else ratio


@pytest.mark.parametrize("name", NOISINGS)
def test_what_the_spacing_names_is_even(name):
    noising = NOISINGS[name]()
    for spacing in SPACINGS:
        check_even(noising, spacing)


def check_even(noising, spacing):
    end = noising.end
    times = tw.networks.time_grid(noising, 9, spacing, start=0.9 * float(end), end=0.1 * float(end))
    assert times.shape == (10,)
    assert (float(times[0]), float(times[-1])) == (0.9 * float(end), 0.1 * float(end))
    steps = np.diff(measure(noising, spacing, times))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-7)


@pytest.mark.parametrize("name", NOISINGS)
def test_every_noising_has_a_grid_as_it_comes_in_both_precisions(name):
    for spacing, to_data, wide in itertools.product(SPACINGS, (False, True), (True, False)):
        with jax.enable_x64(wide):
            noising = NOISINGS[name]()
            times = np.asarray(tw.networks.time_grid(noising, 12, spacing, to_data=to_data), float)
            assert len(times) == 13
            assert np.all(np.diff(times) < 0.0)
            assert (times[-1] == 0.0) == to_data
            assert times[0] <= float(noising.end)


def test_karras_own_grid():
    """Equation 5 as it is printed, of N levels from 80 to 0.002, and 0 behind them."""
    i = np.arange(18)
    printed = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    times = tw.networks.time_grid(tw.networks.VarianceExploding(), 18, to_data=True)
    np.testing.assert_allclose(times, np.append(printed, 0.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": 1.0, "end": 2.0}, "give start above end"),
        ({"start": 100.0}, "start must be at most 80"),
        ({"end": -1.0}, "end must be at least 0"),
        ({"spacing": "even"}, "spacing 'even' is unknown"),
        ({"spacing": "log_snr", "end": 0.0}, "log_snr is infinite at time 0"),
        ({"end": 0.0, "to_data": True}, "end is 0 already"),
        ({"rho": 0.0}, "rho must be greater than 0"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
    ],
)
def test_wrong_input_is_one_line(arguments, words):
    with pytest.raises(tw.InputError, match=words):
        tw.networks.time_grid(**{"noising": tw.networks.VarianceExploding(), "steps": 10, **arguments})


def test_no_signal_has_no_ratio():
    with pytest.raises(tw.InputError, match="infinite at time 1"):
        tw.networks.time_grid(tw.networks.RectifiedFlow(), 10, start=1.0)


def test_steps_that_do_not_fit_into_a_precision():
    with jax.enable_x64(False), pytest.raises(tw.InputError, match="two times are the same in float32"):
        tw.networks.time_grid(tw.networks.VarianceExploding(), 2000, "time", start=1.0, end=1.0 - 1e-5)


def test_a_grid_is_what_a_method_steps_through():
    times = tw.networks.time_grid(tw.networks.VarianceExploding(), 5, to_data=True)
    law = tw.ProbabilityFlow(tw.networks.VarianceExploding(), lambda t, x: -x / (1.0 + t**2))
    solution = tw.solve(tw.Method(law, tw.DDIM(), times=times), jnp.array([3.0]), save=lambda state: state.time)
    np.testing.assert_array_equal(solution.saved, times)
