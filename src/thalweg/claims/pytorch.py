"""Nesterov's method in PyTorch: by which name, and which form."""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import MissingExtraError
from .._methods.aliases import nesterov
from ._experiment import ROUNDING, VALLEY_START, path, valley
from ._ledger import Correction, Outcome, claim

NAME, RATE, BETA, STEPS = "NesterovSGD", 0.02, 0.9, 40


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise MissingExtraError("PyTorch is not installed; pip install 'thalweg[torch]'") from None


def _points(make: Any, **settings: Any) -> np.ndarray:
    """Points that an optimizer of PyTorch stores after each step, with the gradient that JAX takes of the valley."""
    torch, slope = _torch(), jax.jit(jax.grad(valley))
    x = torch.tensor(VALLEY_START, dtype=torch.float64, requires_grad=True)
    optimizer, points = make([x], lr=RATE, momentum=BETA, **settings), []
    for _ in range(STEPS):
        x.grad = torch.tensor(np.asarray(slope(jnp.asarray(x.detach().numpy()))))
        optimizer.step()
        points.append(x.detach().numpy().copy())
    return np.array(points)


@claim("pytorch-has-nesterov-sgd", "003.47", "PyTorch has an optimizer NesterovSGD.")
def named() -> Outcome:
    """An optimizer of that name, and how far SGD(nesterov=True) goes from the look-ahead points of Nesterov's method.

    Those are in the form that stores the shifted point; with momentum alone it would go elsewhere.
    """
    optim = _torch().optim
    stored = path(nesterov(valley, RATE, BETA), VALLEY_START, STEPS).lookahead[1:]
    apart = float(np.max(np.abs(_points(optim.SGD, nesterov=True) - stored)))
    other = float(np.max(np.abs(_points(optim.SGD) - stored)))
    return Outcome(
        expected=0.0,
        measured=apart,
        holds=hasattr(optim, NAME),
        correction=Correction(
            f"As SGD(nesterov=True); no optimizer of PyTorch is called {NAME}.",
            holds=apart < ROUNDING and other > 0.01,
        ),
    )
