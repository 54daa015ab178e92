"""Stability of the steps of a network along the path of an input."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError
from .._methods.probe import amplification
from .._module import Module
from .._programs import compiled_quickly
from .._tree import ravel, size
from .edges import largest_step
from .network import Network, mapped, networks_in
from .products import Place, field_jacobian, outermost

# Steps that are looked at, and numbers of x whose matrices are made; steps and inputs where they are not.
_STEPS, _LARGEST = 32, 512
_FEW_STEPS, _FEW_INPUTS = 8, 2


class _Tap(Module):
    """A network that keeps what it is given."""

    network: Network
    seen: Any = eqx.field(static=True)

    def __call__(self, x: PyTree, *, key: Any = None) -> PyTree:
        self.seen.first = x if self.seen.first is None else self.seen.first
        return self.network(x, key=key)


class _Seen:
    """Input of a network; equal to itself alone, as what is static has to be."""

    first: PyTree = None


def inputs_of(model: Any, xs: PyTree) -> PyTree:
    """Inputs of the first network in a module where the module is given several."""
    if isinstance(model, Network):
        return xs

    def given(x: PyTree) -> PyTree:
        seen = _Seen()
        mapped(lambda network: _Tap(network, seen), model)(x)
        if seen.first is None:
            raise InputError("the network in the module is not called where the module is")
        return seen.first

    return jax.vmap(given)(xs)


def stability(model: Any, inputs: PyTree, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Times, radii (times, inputs) of the steps there, their margins, of the first network in a module; and its width.

    Where it is wide they are of a few times and inputs, of the outermost eigenvalues, and NaN where none was found.
    """
    network = networks_in(model)[0]
    states = _states(model, jax.tree.map(lambda leaf: leaf[:count], inputs))
    wide = size(jax.tree.map(lambda leaf: leaf[0, 0], states[0])) > _LARGEST
    looks, count = (min(network.depth, _FEW_STEPS), min(count, _FEW_INPUTS)) if wide else (network.depth, count)
    at = np.unique(np.linspace(0, network.depth - 1, min(looks, _STEPS)).round().astype(int))
    times = at * network.step
    radii, margins = np.full((2, len(at), count), np.nan)
    spectra = outermost(network) if wide else partial(_spectra, network)
    for i in range(count):
        for j, k in enumerate(at):
            position, velocity = jax.tree.map(lambda leaf, i=i, k=k: leaf[i, k], states)
            place = (jnp.asarray(times[j], float), position, velocity)
            field, step = spectra(place)
            if step.size and field.size:
                radii[j, i] = np.abs(step).max()
                margins[j, i] = largest_step(network.scheme, field, network.mass) / network.step
    return times, radii, margins, wide


def _spectra(network: Network, place: Place) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the field and of a step."""
    time, *phase = place
    at = (float(time), *(part for part in phase if part is not None))
    field, step = field_jacobian(network, place), amplification(network.method, at=at)
    return np.linalg.eigvals(np.asarray(field)), np.linalg.eigvals(step)


@compiled_quickly
def _states(model: Any, inputs: PyTree) -> tuple[PyTree, PyTree]:
    """Positions and velocities of inputs at all depths, (inputs, depths, ...)."""
    network = networks_in(model)[0]

    def path(x: PyTree) -> tuple[PyTree, PyTree]:
        return network.solve(x, save=lambda state: (state.position, state.velocity)).saved

    return jax.vmap(path)(inputs_of(model, inputs))


def raveled(outputs: PyTree) -> np.ndarray:
    """Outputs of several inputs as rows."""
    return np.asarray(jax.vmap(ravel)(outputs))
