"""check_optimizer on Adam's family: ours in both frameworks and torch's own hold the contract, and go as stated."""

import functools

import optax
import pytest
import torch

import thalweg as tw
from thalweg.testing._contract import BY_NAME

FEW = 3


def torch_adamw(params, lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, foreach=None, fused=None):
    method = tw.adamw(None, lr, *betas, eps, weight_decay)
    return tw.adapters.torch.Optimizer(params, method, foreach=foreach, fused=fused)


def torch_adam(params, lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, foreach=None):
    method = tw.adam(None, lr, *betas, eps)
    return tw.adapters.torch.Optimizer(params, method, weight_decay=weight_decay, foreach=foreach)


def torch_nadam(params, lr=0.1, beta1=0.9, foreach=None):
    return tw.adapters.torch.Optimizer(params, tw.nadam(None, lr, beta1, momentum_decay=0.004), foreach=foreach)


def torch_rmsprop(params, lr=0.1, foreach=None):
    return tw.adapters.torch.Optimizer(params, tw.rmsprop(None, lr), foreach=foreach)


def torch_lion(params, lr=0.1, beta1=0.9, foreach=None):
    return tw.adapters.torch.Optimizer(params, tw.lion(None, lr, beta1), foreach=foreach)


def torch_signs(params, lr=0.1, foreach=None):
    return tw.adapters.torch.Optimizer(params, tw.sign_descent(None, lr), foreach=foreach)


def in_optax(learning_rate=0.1, beta1=0.9, *, make=tw.adam, **numbers):
    return tw.adapters.optax.transformation(make(None, learning_rate, beta1=beta1, **numbers))


def optax_adamw(learning_rate=0.1, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0):
    return tw.adapters.optax.transformation(tw.adamw(None, learning_rate, b1, b2, eps, weight_decay))


def optax_rmsprop(learning_rate=0.1):
    return tw.adapters.optax.transformation(tw.rmsprop(None, learning_rate))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "factory",
    [
        torch_adamw, torch.optim.AdamW, pytest.param(torch_lion, marks=SLOW), pytest.param(torch_adam, marks=SLOW),
        pytest.param(torch_nadam, marks=SLOW), pytest.param(torch_rmsprop, marks=SLOW),
        pytest.param(torch_signs, marks=SLOW), pytest.param(optax_adamw, marks=SLOW),
        pytest.param(optax_rmsprop, marks=SLOW), pytest.param(in_optax, marks=SLOW),
        pytest.param(functools.partial(in_optax, make=tw.nadam), marks=SLOW),
        pytest.param(functools.partial(in_optax, make=tw.lion), marks=SLOW),
    ],
)  # fmt: skip
def test_no_fault_is_found(factory):
    report = tw.testing.check_optimizer(factory, examples=FEW)
    assert report.passed, report


A = tw.AdamHyperparameters
OTHERS = tuple(name for name in BY_NAME if name != "reference")


@pytest.mark.parametrize(
    ("factory", "reference", "status"),
    [
        (torch_adamw, A(0.05, 0.8, 0.95, 1e-3, weight_decay=0.1), "passed"),
        (torch.optim.AdamW, tw.adamw(None, 0.05, 0.8, 0.95, 1e-3, 0.1), "passed"),
        (torch.optim.Adam, A(0.05, 0.8, 0.95, 1e-3, weight_decay=0.1, coupled=True), "passed"),
        (torch.optim.Adam, A(0.05, 0.0, 0.95), "passed"),
        (torch.optim.Adam, A(0.05, 0.8, 0.95, 1e-3, weight_decay=0.1), "failed"),
        pytest.param(optax.adamw, A(0.05, 0.8, 0.95, 1e-3, weight_decay=0.1), "passed", marks=SLOW),
        pytest.param(optax.lion, tw.lion(None, 0.05, 0.8, 0.95, 0.1), "passed", marks=SLOW),
    ],
)
def test_the_path_is_that_of_adams_numbers(factory, reference, status):
    """All of them are handed to the factory by its own names, both coefficients in one too."""
    report = tw.testing.check_optimizer(factory, reference=reference, examples=FEW, leave_out=OTHERS)
    assert report["reference"].status == status, report
