"""The loss by which a network learns what is in noised data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.networks.mixtures import predictions

POINT = tw.networks.DataSet(jnp.array([[0.7, -0.3]]))


@pytest.mark.parametrize("kind", ["denoiser", "noise", "score", "velocity", "angular velocity"])
def test_it_is_zero_where_the_prediction_is_right(kind):
    """Of data that are one point every kind of prediction can be right for every draw."""
    for noising in (tw.networks.RectifiedFlow(), tw.networks.VariancePreserving()):
        right, wrong = losses(noising, kind)
        # Of VariancePreserving the velocity near the data is large, and so is its rounding.
        np.testing.assert_allclose(right, 0.0, atol=1e-16 if kind != "velocity" else 1e-12)
        assert float(jnp.min(wrong)) > 1e-12


def losses(noising, kind):
    """Of the right prediction, and of one that is off by 1, at 16 draws."""
    right, keys = predictions(POINT, noising)[kind], jax.random.split(jax.random.key(0), 16)
    loss = tw.networks.denoising_loss(noising, type(right))
    networks = (right.fn, lambda t, x: right.fn(t, x) + 1.0)
    return [jax.vmap(lambda key, network=fn: loss(network, POINT.points[0], key))(keys) for fn in networks]


def test_its_mean_is_the_variance_that_is_left():
    """E |D - x_0|^2 of the exact D of N(0, s) is that of s sigma^2 / (alpha^2 s + sigma^2) over the times."""
    noising, s = tw.networks.RectifiedFlow(), 0.25
    data = tw.networks.GaussianMixture(jnp.zeros(1), s)
    loss = tw.networks.denoising_loss(noising, tw.networks.Denoiser, time_of=lambda u: 0.2 + 0.5 * u)
    count = 40_000
    keys, points = jax.random.split(jax.random.key(1), count), data.sample(jax.random.key(2), count)
    found = jax.vmap(lambda x, key: loss(lambda t, x: data.denoised(noising, t, x), x, key))(points, keys)
    t = jnp.linspace(0.2, 0.7, 2001)
    exact = float(jnp.mean(s * t**2 / ((1.0 - t) ** 2 * s + t**2)))
    assert float(jnp.mean(found)) == pytest.approx(exact, abs=4.0 * float(jnp.std(found)) / count**0.5)


def test_a_training_is_reproduced_bit_for_bit():
    loss = tw.networks.denoising_loss(tw.networks.RectifiedFlow(), tw.networks.Velocity)
    data = jax.random.normal(jax.random.key(0), (64, 2))
    objective = tw.FiniteSum(lambda w, x, key: loss(lambda t, x: jnp.tanh(w @ x), x, key), data, 8, keyed=True)
    ends = [tw.run(tw.adam(objective, 0.01), 0.1 * jnp.eye(2), 50, key=key).final.position for key in (3, 3, 4)]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.any(ends[0] != ends[2])


def test_wrong_input_is_one_line():
    with pytest.raises(tw.InputError, match="kind must be a class such as"):
        tw.networks.denoising_loss(tw.networks.RectifiedFlow(), "velocity")
    with pytest.raises(tw.InputError, match="time_of must be a function of u"):
        tw.networks.denoising_loss(tw.networks.RectifiedFlow(), time_of=lambda: 0.5)
    loss = tw.networks.denoising_loss(tw.networks.RectifiedFlow())
    with pytest.raises(tw.InputError, match="must give arrays of the shapes of x"):
        loss(lambda t, x: x[:1], jnp.ones(2), jax.random.key(0))
