"""The largest curvature of a torch loss is that of the same loss in JAX."""

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.adapters._torch_curvature import largest_curvature


def tensor(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_a_network_has_the_curvature_of_its_hessian(rng):
    torch.manual_seed(3)
    data, target = torch.tensor(rng.normal(size=(20, 3))), torch.tensor(rng.normal(size=(20, 1)))
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()

    def loss():
        return ((module(data) - target) ** 2).mean()

    names, leaves = zip(*module.named_parameters(), strict=True)

    def of(flat):
        cut = torch.split(flat, [leaf.numel() for leaf in leaves])
        found = {name: part.reshape(leaf.shape) for name, part, leaf in zip(names, cut, leaves, strict=True)}
        return ((torch.func.functional_call(module, found, data) - target) ** 2).mean()

    hessian = torch.autograd.functional.hessian(of, torch.cat([leaf.detach().ravel() for leaf in leaves]))
    expected = np.linalg.eigvalsh(hessian.numpy()).max()
    assert largest_curvature(loss, module.parameters()) == pytest.approx(expected, rel=1e-5)
    assert all(leaf.grad is None for leaf in leaves)


@pytest.mark.parametrize(
    ("curvatures", "largest"), [([1.0, 4.0, 2.0], 4.0), ([-9.0, 1.0, 3.0], 3.0), ([-2.0, -1.0], 0)]
)
def test_the_same_in_both_frameworks(curvatures, largest):
    x, scale = tensor([0.3] * len(curvatures)), torch.tensor(curvatures)
    ours = tw.analysis.largest_curvature(lambda x: 0.5 * jnp.sum(jnp.array(curvatures) * x**2), jnp.array(x.tolist()))
    assert ours == pytest.approx(largest, abs=1e-6)
    assert largest_curvature(lambda: 0.5 * (scale * x**2).sum(), [x]) == pytest.approx(largest, abs=1e-6)


def test_parts_without_curvature_count_nothing():
    x, straight, unused = tensor([1.0, 2.0]), tensor([1.0]), tensor([5.0])
    found = largest_curvature(lambda: 1.5 * (x**2).sum() + 7.0 * straight.sum(), [straight, x, unused])
    assert found == pytest.approx(3.0, rel=1e-9)
    assert largest_curvature(lambda: straight.sum(), [straight]) == 0.0


def test_a_frozen_parameter_is_left_out_and_kept_gradients_stay():
    x, frozen = tensor([1.0]), tensor([1.0])
    frozen.requires_grad_(False)
    x.grad = torch.tensor([5.0], dtype=torch.float64)
    with torch.no_grad():
        assert largest_curvature(lambda: (x**2 + 50 * frozen**2).sum(), [x, frozen]) == pytest.approx(2.0)
    assert x.grad.item() == 5.0


@pytest.mark.parametrize(
    ("loss", "parameters", "message"),
    [
        (3.0, [tensor([1.0])], "loss must be a function, but is 3.0"),
        (lambda: 1.0, [tensor([1.0])], "loss must return a tensor of one element"),
        (lambda: torch.ones(2, requires_grad=True), [tensor([1.0])], "loss must return a tensor of one element"),
        (lambda: torch.tensor(1.0), [tensor([1.0])], "depends on no parameter"),
        (lambda: tensor([1.0]).sum(), [tensor([1.0])], "depends on none of these parameters"),
        (lambda: torch.tensor(1.0), [np.ones(2)], "parameters must be tensors of torch, but hold ndarray"),
        (lambda: torch.tensor(1.0), [torch.ones(1)], "parameters hold no tensor that needs a gradient"),
    ],
)
def test_wrong_input_is_one_line(loss, parameters, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=message) as caught:
        largest_curvature(loss, parameters)
    assert "\n" not in str(caught.value)
