"""The law of what a sampler makes of Gaussian data, against chains and against closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

MEAN, COVARIANCE = np.array([1.0, -0.5]), np.array([[0.5, 0.2], [0.2, 0.3]])


def data(mean=MEAN, covariance=COVARIANCE):
    return tw.measures.Gaussian(jnp.asarray(mean), jnp.asarray(covariance))


def score(t, x):
    del t
    return jnp.zeros_like(x)


def chain(noising, times, step):
    """Mean and covariance by an affine recursion x+ = a x + b D(x) + s R, written out: step gives (a, b, s)."""
    mean, spread = np.zeros(2), float(noising.noise(times[0])) ** 2 * np.eye(2)
    for now, then in itertools.pairwise(times):
        signal, noise = float(noising.signal(now)), float(noising.noise(now))
        whole = signal**2 * COVARIANCE + noise**2 * np.eye(2)
        gain = signal * COVARIANCE @ np.linalg.inv(whole)
        a, b, s = step(noising, float(now), float(then))
        matrix = a * np.eye(2) + b * gain
        mean = matrix @ mean + b * (MEAN - gain @ (signal * MEAN))
        spread = matrix @ spread @ matrix.T + s**2 * np.eye(2)
    return mean, spread


def posterior(variance):
    """Ho, Jain and Abbeel (2020), equations 6 and 7, with alpha_bar = signal^2."""

    def step(noising, now, then):
        bar, before = float(noising.signal(now)) ** 2, float(noising.signal(then)) ** 2
        beta = 1.0 - bar / before
        small = (1.0 - before) / (1.0 - bar) * beta
        drawn = np.sqrt(beta if variance == "large" else small) * (then > 0.0)
        return np.sqrt(1.0 - beta) * (1.0 - before) / (1.0 - bar), np.sqrt(before) * beta / (1.0 - bar), drawn

    return step


def implicit(eta):
    """Song, Meng and Ermon (2021), equations 12 and 16."""

    def step(noising, now, then):
        bar, before = float(noising.signal(now)) ** 2, float(noising.signal(then)) ** 2
        drawn = eta * np.sqrt((1.0 - before) / (1.0 - bar)) * np.sqrt(1.0 - bar / before)
        left = np.sqrt(max(1.0 - before - drawn**2, 0.0))
        return left / np.sqrt(1.0 - bar), np.sqrt(before) - left * np.sqrt(bar / (1.0 - bar)), drawn

    return step


def maruyama(noising, now, then):
    """x+ = x + h (f x - g^2 score) + g sqrt|h| R, with score = (signal D - x) / noise^2."""
    h, f, g = then - now, float(noising.drift(now)), float(noising.diffusion(now))
    signal, noise = float(noising.signal(now)), float(noising.noise(now))
    return 1.0 + h * (f + (g / noise) ** 2), -h * signal * (g / noise) ** 2, g * np.sqrt(-h)


CHAINS = {
    "DDPM small": (1.0, lambda: tw.Ancestral("small"), posterior("small")),
    "DDPM large": (1.0, lambda: tw.Ancestral("large"), posterior("large")),
    "DDIM 0": (0.0, tw.DDIM, implicit(0.0)),
    "DDIM 0.3": (0.3, tw.DDIM, implicit(0.3)),
    "DDIM 1": (1.0, tw.DDIM, implicit(1.0)),
    "Euler-Maruyama": (1.0, tw.EulerMaruyama, maruyama),
}


@pytest.mark.parametrize("name", CHAINS)
def test_bias_is_that_of_the_published_chain(name):
    eta, make, step = CHAINS[name]
    noising = tw.networks.Tabulated(jnp.cumprod(1.0 - jnp.linspace(1e-3, 0.1, 100)))
    times = jnp.array([100.0, 61.0, 30.0, 12.0, 3.0, 1.0 if name == "Euler-Maruyama" else 0.0])
    found = tw.analysis.sampling_bias(tw.Method(tw.ReverseDiffusion(noising, score, eta), make(), times=times), data())
    mean, spread = chain(noising, np.asarray(times), step)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.covariance, spread, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "make", [lambda: tw.ExponentialMultistep(3), lambda: tw.ExponentialMultistep(2, "noise"), tw.Heun]
)
def test_of_a_flow_it_is_what_becomes_of_points(make):
    """A flow by the exact score is affine: five points tell where it takes mean and covariance."""
    noising = tw.networks.VarianceExploding()
    exact = tw.networks.GaussianMixture(jnp.asarray(MEAN), jnp.asarray(COVARIANCE)).denoiser(noising)
    times = tw.networks.time_grid(noising, 9, to_data=True)
    method = tw.Method(tw.ProbabilityFlow(noising, exact), make(), times=times)
    found = tw.analysis.sampling_bias(method, data())

    @jax.jit
    def ends(x):
        return jax.vmap(lambda x: tw.solve(method, x).final.position)(x)

    at = np.asarray(ends(jnp.array([[0.0, 0.0], [80.0, 0.0], [0.0, 80.0]])))
    root = (at[1:] - at[0]).T
    np.testing.assert_allclose(found.mean, at[0], rtol=1e-12)
    np.testing.assert_allclose(found.covariance, root @ root.T, rtol=1e-11)


def test_started_right_it_vanishes_at_the_order_of_the_scheme_and_the_prior_leaves_its_own():
    noising = tw.networks.VariancePreserving()
    errors = []
    for steps in (100, 200):
        times = tw.networks.time_grid(noising, steps, "log_snr", end=0.01)
        method = tw.Method(tw.ProbabilityFlow(noising, score), tw.ExponentialRungeKutta(2), times=times)
        errors.append(tw.analysis.sampling_bias(method, data(), start="exact").wasserstein)
        prior = tw.analysis.sampling_bias(method, data()).wasserstein
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)
    # The mean of the data that is left at the end of the noising is missing from the prior.
    assert prior > 10.0 * errors[1]


def test_the_right_variance_depends_on_how_much_the_data_vary():
    """One step from pure noise: small is right of data that are one point, and a number of data of that variance."""
    noising = tw.networks.Tabulated(jnp.cumprod(1.0 - jnp.linspace(1e-3, 0.1, 100)))

    def error(variance, spread, times=(60.0, 20.0)):
        times = jnp.array(times)
        method = tw.Method(tw.ReverseDiffusion(noising, score), tw.Ancestral(variance), times=times)
        return tw.analysis.sampling_bias(method, data(np.array([1.0]), np.array([[spread]])), start="exact").wasserstein

    assert error("small", 1e-10) < 1e-6 < error("large", 1e-10)
    assert error("large", 1.0) < 1e-7 < error("small", 1.0)
    assert error(0.3, 0.3) < 1e-7
    assert error(0.3, 0.3, (60.0, 20.0, 0.0)) < 1e-7 < error("large", 0.3, (60.0, 20.0, 0.0))
    assert min(error("small", 0.3), error("large", 0.3)) > 1e-3


def test_it_is_told_in_lines():
    noising = tw.networks.VarianceExploding()
    times = tw.networks.time_grid(noising, 20, to_data=True)
    bias = tw.analysis.sampling_bias(tw.Method(tw.ProbabilityFlow(noising, score), tw.DDIM(), times=times), data())
    assert len(str(bias).splitlines()) == 3
    many = tw.measures.Gaussian(jnp.zeros(9), 1.0)
    told = str(tw.analysis.sampling_bias(tw.Method(tw.ProbabilityFlow(noising, score), tw.DDIM(), times=times), many))
    assert told.splitlines()[-1] == "  and 3 more"


def test_wrong_input_is_one_line():
    noising = tw.networks.VarianceExploding()
    with pytest.raises(tw.InputError, match="is of a diffusion model"):
        tw.analysis.sampling_bias(tw.gradient_descent(None, 0.1), data())
    with pytest.raises(tw.InputError, match="give the method its times"):
        tw.analysis.sampling_bias(tw.Method(tw.ProbabilityFlow(noising, score), tw.DDIM(), 0.1), data())
    method = tw.Method(tw.ProbabilityFlow(noising, score), tw.DDIM(), times=jnp.array([1.0, 0.5]))
    with pytest.raises(tw.InputError, match="start 'here' is unknown"):
        tw.analysis.sampling_bias(method, data(), "here")
