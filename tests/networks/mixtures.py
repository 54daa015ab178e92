"""A mixture whose score is known, and the flows that it makes in every noising and parametrisation."""

import functools

import jax.numpy as jnp

import thalweg as tw

NOISINGS = {
    "variance preserving": tw.networks.VariancePreserving,
    "sub-variance preserving": tw.networks.SubVariancePreserving,
    "variance exploding": tw.networks.VarianceExploding,
    "rectified flow": tw.networks.RectifiedFlow,
    "trigonometric": tw.networks.Trigonometric,
    "tabulated": lambda: tw.networks.Tabulated(jnp.cumprod(1.0 - jnp.linspace(1e-4, 0.02, 1000))),
    "a user's own": lambda: tw.networks.Noising(jnp.ones_like, jnp.sqrt, until=6400.0),
}


@functools.cache
def mixture():
    return tw.networks.GaussianMixture(
        jnp.array([[-1.0], [0.5], [2.0]]), jnp.array([0.04, 0.16, 0.01]), jnp.array([0.3, 0.5, 0.2])
    )


def predictions(data, noising):
    """The same facts as each kind of prediction."""

    def parts(t, x):
        clean = data.denoised(noising, t, x)
        signal, noise = noising.signal(t), noising.noise(t)
        apart = x - signal * clean
        return clean, jnp.where(noise > 0.0, apart / jnp.where(noise > 0.0, noise, 1.0), 0.0)

    def mixed(weights):
        def of(t, x):
            (p, q), (clean, noise) = weights(t), parts(t, x)
            return p * clean + q * noise

        return of

    def rates(t):
        return noising.signal_and_rate(t)[1], noising.noise_and_rate(t)[1]

    return {
        "denoiser": tw.networks.Denoiser(mixed(lambda t: (1.0, 0.0))),
        "noise": tw.networks.NoisePrediction(mixed(lambda t: (0.0, 1.0))),
        "score": tw.networks.Score(mixed(lambda t: (0.0, -1.0 / noising.noise(t)))),
        "velocity": tw.networks.Velocity(mixed(rates)),
        "angular velocity": tw.networks.AngularVelocity(mixed(lambda t: (-noising.noise(t), noising.signal(t)))),
    }
