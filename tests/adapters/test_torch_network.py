"""A network of torch as a prediction: the numbers of the same network in JAX, one call for all samples."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

torch = pytest.importorskip("torch")

NOISING = tw.networks.RectifiedFlow()


class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Linear(4, 8).double(), torch.nn.Linear(8, 3).double()
        self.calls = []

    def forward(self, x, t):
        self.calls.append(tuple(x.shape))
        return self.last(torch.tanh(self.first(torch.cat([x, t[:, None]], 1))))


def in_jax(module):
    (a, b), (c, d) = (
        (jnp.asarray(layer.weight.detach().numpy()), jnp.asarray(layer.bias.detach().numpy()))
        for layer in (module.first, module.last)
    )
    return lambda t, x: c @ jnp.tanh(a @ jnp.append(x, t) + b) + d


def ends(fn, x, scheme=None):
    flow = tw.ProbabilityFlow(NOISING, tw.networks.Velocity(fn))
    method = tw.Method(flow, scheme or tw.Heun(), times=jnp.linspace(1.0, 0.0, 6))
    return jax.jit(jax.vmap(lambda x: tw.solve(method, x).final.position))(x)


def test_samples_are_those_of_the_same_network_in_jax():
    module, x = Layers(), jax.random.normal(jax.random.key(0), (5, 3))
    np.testing.assert_allclose(ends(tw.adapters.torch.network(module), x), ends(in_jax(module), x), atol=1e-12)
    # One call an evaluation for all of the samples, but for those when it was traced.
    assert [shape for shape in module.calls if shape[0] > 1] == [(5, 3)] * 10


def test_one_sample_and_a_call_of_ones_own():
    module, x = Layers(), jnp.array([0.3, -1.0, 2.0])

    def wrapped(module, t, x):
        return types.SimpleNamespace(sample=module(x, t - 1.0))

    fn, own = tw.adapters.torch.network(module, wrapped), in_jax(module)
    np.testing.assert_allclose(fn(0.4, x), own(-0.6, x), atol=1e-14)
    method = tw.Method(
        tw.ProbabilityFlow(NOISING, tw.networks.Velocity(fn)), tw.DDIM(), times=jnp.linspace(1.0, 0.0, 4)
    )
    np.testing.assert_allclose(tw.run(method, x).final.position, tw.solve(method, x).final.position, atol=1e-13)


def test_as_jax_comes():
    with jax.enable_x64(False):
        module = Layers().float()
        found = ends(tw.adapters.torch.network(module), jnp.ones((2, 3)))
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, ends(in_jax(module), jnp.ones((2, 3))), atol=1e-5)


def test_wrong_input_is_one_line():
    network = tw.adapters.torch.network
    with pytest.raises(tw.InputError, match="Dropout of the module draws"):
        network(torch.nn.Sequential(torch.nn.Dropout(0.5)))
    network(torch.nn.Sequential(torch.nn.Dropout(0.5)).eval())
    with pytest.raises(tw.InputError, match="the module raised RuntimeError on a sample of shape"):
        network(Layers())(0.5, jnp.ones(7))
    with pytest.raises(tw.InputError, match="must give the shape of its samples"):
        network(Layers(), lambda module, t, x: x[:, :1])(0.5, jnp.ones(3))
    with pytest.raises(tw.InputError, match="call must be a function of"):
        network(Layers(), lambda x: x)
