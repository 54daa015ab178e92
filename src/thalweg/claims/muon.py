"""Muon beside what is said of it: that its update is orthogonal."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._methods.method import Method
from .._methods.muon import muon
from .._objectives.objective import Objective
from ..geometry._newton_schulz import QUINTIC
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim

# Singular values of a gradient: of an ordinary layer, and of one that is nearly of low rank.
SPECTRA = (np.geomspace(0.05, 1.0, 12), np.geomspace(1e-5, 1.0, 12))
ROUNDS = 5


def method(objective: Any) -> Method:
    return muon(objective, 1.0, scaling="none", epsilon=0.0)


def _quintic(values: np.ndarray) -> np.ndarray:
    """The singular values of the update, by the polynomial of one number that the iteration is for each."""
    found = values / np.linalg.norm(values)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        found = a * found + b * found**3 + c * found**5
    return found


@claim("muon-update-is-orthogonal", "jordan2024", "The update of Muon is an orthogonal matrix.")
def orthogonal() -> Outcome:
    """The singular values of one update, of gradients whose own are known: the smallest and the largest.

    Expected is the polynomial of the iteration at each of them.
    """
    rng = np.random.default_rng(0)
    expected, measured = [], []
    for values in SPECTRA:
        left, right = (np.linalg.qr(rng.standard_normal((n, len(values))))[0] for n in (20, len(values)))
        slope = jnp.asarray((left * values) @ right.T)
        made = method(Objective(lambda x, slope: jnp.sum(slope * x), args=slope))
        start = jnp.zeros(slope.shape)
        update = made.step(made.init(start)).position
        found = np.linalg.svd(np.asarray(update), compute_uv=False)
        own = np.abs(_quintic(values))
        expected += [float(own.min()), float(own.max())]
        measured += [float(found.min()), float(found.max())]
    words = "singular values of the update {:.3f} to {:.3f}, where the gradient is nearly of low rank {:.5f} to {:.3f}"
    return Outcome(
        *shown(words, expected, measured),
        holds=close(measured, [1.0] * 4, 1e-3),
        correction=Correction(
            "Nearly: five Newton-Schulz iterations leave its singular values between 0.68 and 1.21 where those of the "
            "average are above 0.0021 of its norm, and smaller ones small.",
            holds=close(measured, expected, 1e-6) and measured[0] > 0.68 and max(measured) < 1.21,
        ),
    )
