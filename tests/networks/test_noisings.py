"""Noisings and predictions: what is derived from signal and noise, and one kind of prediction made from another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import thalweg as tw
from tests.networks.mixtures import NOISINGS, mixture, predictions

INSIDE = (0.07, 0.3, 0.55, 0.9)


@pytest.mark.parametrize("name", NOISINGS)
def test_drift_and_diffusion_make_signal_and_noise(name):
    """The moments of dx = f x dt + g dW, integrated, are alpha and sigma."""
    noising = NOISINGS[name]()
    end = float(noising.end)
    a, b = (0.3 * end, 0.6 * end) if name != "tabulated" else (300.25, 300.75)

    def moments(t, y):
        return [float(noising.drift(t)) * y[0], 2.0 * float(noising.drift(t)) * y[1] + float(noising.diffusion(t)) ** 2]

    begun = [float(noising.signal(a)), float(noising.noise(a)) ** 2]
    found = scipy.integrate.solve_ivp(moments, (a, b), begun, rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(found, [noising.signal(b), noising.noise(b) ** 2], rtol=1e-8)


@pytest.mark.parametrize("name", NOISINGS)
def test_time_at_is_the_inverse_of_log_snr(name):
    noising = NOISINGS[name]()
    times = jnp.asarray(INSIDE) * noising.end
    np.testing.assert_allclose(noising.time_at(noising.log_snr(times)), times, rtol=1e-9)
    direct = jnp.log(noising.signal(times)) - jnp.log(noising.noise(times))
    np.testing.assert_allclose(noising.log_snr(times), direct, atol=1e-9)
    assert float(noising.noise(0.0)) == 0.0
    assert float(noising.signal(0.0)) == 1.0
    assert np.all(np.diff(noising.log_snr(jnp.linspace(0.01, 0.99, 60) * noising.end)) < 0.0)


@pytest.mark.parametrize("name", NOISINGS)
def test_as_jax_comes_the_ends_keep_their_digits(name):
    """The small noise near the data is what 1 - signal^2 loses in float32."""
    with jax.enable_x64(False):
        narrow = NOISINGS[name]()
        times = jnp.asarray([1e-4, 1e-3, 0.5]) * narrow.end
        low = [np.asarray(narrow.noise(times), float), np.asarray(narrow.log_snr(times), float)]
        assert narrow.noise(times).dtype == jnp.float32
        back = np.asarray(narrow.time_at(narrow.log_snr(times)), float)
        held = np.asarray(times, float)
    wide = NOISINGS[name]()
    np.testing.assert_allclose(low[0], wide.noise(jnp.asarray(held)), rtol=2e-6 if name != "tabulated" else 2e-4)
    np.testing.assert_allclose(low[1], wide.log_snr(jnp.asarray(held)), rtol=1e-5, atol=2e-4)
    np.testing.assert_allclose(back, held, rtol=2e-5 if name != "tabulated" else 2e-3)


@pytest.mark.parametrize("name", NOISINGS)
def test_every_prediction_says_the_same_of_data_and_noise(name):
    noising, x = NOISINGS[name](), jnp.array([[-0.7], [1.3]])
    for part in INSIDE:
        t = part * noising.end
        clean = mixture().denoised(noising, t, x)
        noise = (x - noising.signal(t) * clean) / noising.noise(t)
        for kind, prediction in predictions(mixture(), noising).items():
            found = prediction.parts(noising, t, x)
            # What is divided by the signal, or by the noise, loses so many digits.
            lost = 1e-13 * max(1.0, float(noising.noise(t) / noising.signal(t)), 1.0 / float(noising.noise(t)))
            np.testing.assert_allclose(found.clean, clean, atol=100 * lost, err_msg=kind)
            np.testing.assert_allclose(found.noise, noise, atol=100 * lost, err_msg=kind)


@pytest.mark.parametrize("name", NOISINGS)
def test_where_there_is_no_noise_all_of_it_is_data(name):
    noising, x = NOISINGS[name](), jnp.array([[-0.7], [1.3]])
    for kind, prediction in predictions(mixture(), noising).items():
        if kind == "velocity" and name in ("variance preserving", "tabulated", "a user's own"):
            # Their noise begins infinitely fast, so that there is no velocity there.
            continue
        clean, noise = prediction.parts(noising, 0.0, x)
        np.testing.assert_allclose(clean, x, atol=1e-14)
        np.testing.assert_allclose(noise, 0.0, atol=1e-14)


def test_the_score_of_a_mixture_is_the_gradient_of_its_log_density():
    spread = jnp.array([[[0.5, 0.2], [0.2, 0.3]], [[0.1, 0.0], [0.0, 0.4]]])
    full = tw.networks.GaussianMixture(jnp.array([[1.0, 0.0], [-1.0, 0.5]]), spread, jnp.array([1.0, 2.0]))
    independent = tw.networks.GaussianMixture(full.means, jnp.array([[0.5, 0.3], [0.1, 0.4]]))
    points = tw.networks.DataSet(full.means)
    noising, x = tw.networks.VariancePreserving(), jnp.array([[0.3, -0.2], [2.0, 1.0], [0.0, 0.0]])
    for data in (full, independent, points):
        for t in (0.1, 0.6):
            clean = data.denoised(noising, t, x)
            score = (noising.signal(t) * clean - x) / noising.noise(t) ** 2
            slope = jax.vmap(jax.grad(lambda y, data=data, t=t: data.log_density(noising, t, y)))(x)
            np.testing.assert_allclose(score, slope, atol=1e-10)
    # A total of 1, by quadrature, and the moments by draws.
    line = jnp.linspace(-9.0, 9.0, 4001)[:, None]
    density = jnp.exp(mixture().log_density(noising, 0.2, line))
    assert float(jnp.sum(density) * (line[1, 0] - line[0, 0])) == pytest.approx(1.0, abs=1e-9)
    drawn = full.sample(jax.random.key(0), 40_000)
    np.testing.assert_allclose(jnp.mean(drawn, axis=0), full.mean, atol=5 * 1.1 / 200)
    np.testing.assert_allclose(jnp.cov(drawn.T), full.covariance, atol=0.03)


def test_without_noise_the_nearest_point_of_a_set_is_the_data():
    data = tw.networks.DataSet(jnp.array([[0.0, 0.0], [3.0, 1.0]]))
    noising = tw.networks.VarianceExploding()
    np.testing.assert_array_equal(data.denoised(noising, 0.0, jnp.array([2.5, 0.9])), [3.0, 1.0])
    far = data.denoised(noising, 1e-12, jnp.array([1e5, 0.9]))
    np.testing.assert_array_equal(far, [3.0, 1.0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tw.networks.VariancePreserving(0.0), "beta_min must be greater than 0"),
        (lambda: tw.networks.VarianceExploding(-1.0), "noise_max must be greater than 0"),
        (lambda: tw.networks.Tabulated(jnp.linspace(0.1, 0.9, 5)), "levels must fall"),
        (lambda: tw.networks.Tabulated("abc"), "levels must be a list of numbers"),
        (lambda: tw.networks.Score(lambda x: x), "must be a function of \\(t, x\\)"),
        (lambda: tw.networks.GaussianMixture(jnp.zeros((2, 3)), jnp.ones(3)), "covariances of 2 Gaussians"),
        (lambda: tw.networks.GaussianMixture(jnp.zeros((2, 3)), -1.0), "variances must be at least 0"),
        (lambda: tw.networks.GaussianMixture(jnp.zeros((2, 3)), 1.0, jnp.array([1.0, -1.0])), "weights must be"),
        (lambda: tw.networks.DataSet(jnp.zeros(3)), "points must be an array"),
    ],
)
def test_wrong_input_is_one_line(make, words):
    with pytest.raises(tw.InputError, match=words) as found:
        make()
    assert "\n" not in str(found.value)
