"""Stability of the steps of a network along the path of an input."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._errors import InputError
from .._methods.method import Method
from .._methods.probe import amplification
from .._programs import compiled_quickly
from .._tree import ravel, size
from ..dynamics import Field
from ..schemes import AbstractScheme, Euler
from .network import Network, mapped, networks_in

# Steps that are looked at, and numbers of x whose matrices are made.
_STEPS, _LARGEST = 32, 512
# Beyond rounding of the eigenvalues of matrices of some hundreds.
_BEYOND = 1e-9
_GRID = np.concatenate([[0.0], np.logspace(-4, 2.5, 400)])


class _Tap(eqx.Module):
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


def stability(model: Any, inputs: PyTree, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Times, radii (times, inputs) of the steps there, and their margins, of the first network in a module.

    None where its matrices are too large. Margins are NaN of a second-order law.
    """
    network = networks_in(model)[0]
    states = _states(model, jax.tree.map(lambda leaf: leaf[:count], inputs))
    if size(jax.tree.map(lambda leaf: leaf[0, 0], states[0])) > _LARGEST:
        return None
    at = np.unique(np.linspace(0, network.depth - 1, min(network.depth, _STEPS)).round().astype(int))
    times = at * network.step
    radii, margins = np.zeros((2, len(at), count))
    for i in range(count):
        for j, k in enumerate(at):
            position, velocity = jax.tree.map(lambda leaf, i=i, k=k: leaf[i, k], states)
            place = (float(times[j]), position) if velocity is None else (float(times[j]), position, velocity)
            radii[j, i] = np.abs(np.linalg.eigvals(amplification(network.method, at=place))).max()
            margins[j, i] = np.nan if velocity is not None else _margin(network, place)
    return times, radii, margins


@compiled_quickly
def _states(model: Any, inputs: PyTree) -> tuple[PyTree, PyTree]:
    """Positions and velocities of inputs at all depths, (inputs, depths, ...)."""
    network = networks_in(model)[0]

    def path(x: PyTree) -> tuple[PyTree, PyTree]:
        return network.solve(x, save=lambda state: (state.position, state.velocity)).saved

    return jax.vmap(path)(inputs_of(model, inputs))


def _margin(network: Network, place: tuple[Any, ...]) -> float:
    """The largest step, over the step, at which what the flow damps does not grow; infinite where it damps nothing."""
    step = network.step
    # Euler's step is 1 + h J.
    jacobian = (amplification(Method(network.method.dynamics, Euler(), step), at=place) - np.eye(size(place[1]))) / step
    values = np.linalg.eigvals(jacobian)
    values = values[values.real < -1e-12 * np.abs(values).max(initial=0.0)]
    if not len(values):
        return float("inf")
    return float(np.min(first_beyond(network.scheme, values) / np.abs(values))) / step


def first_beyond(scheme: AbstractScheme, values: np.ndarray) -> np.ndarray:
    """The least r at which a step of length r grows on x' = z x, for every z in the directions of some numbers."""
    along = values / np.abs(values)

    def beyond(radii: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            found = np.asarray(_moduli(scheme, jnp.asarray(along.real * radii), jnp.asarray(along.imag * radii)))
        return ~(found <= 1.0 + _BEYOND)

    out = beyond(np.broadcast_to(_GRID[:, None], (len(_GRID), len(along))))
    if not out.any(axis=0).all():
        raise InputError(f"{scheme!r} damps whatever the flow damps at every step")
    first = out.argmax(axis=0)
    low, high = _GRID[first - 1], _GRID[first]
    for _ in range(40):
        middle = 0.5 * (low + high)
        outside = beyond(middle)
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    return low


@compiled_quickly
def _moduli(scheme: AbstractScheme, real: Array, imaginary: Array) -> Array:
    """Moduli of the stability function of a scheme, from a step of it on a plane that turns and shrinks."""

    def modulus(a: Array, b: Array) -> Array:
        method = Method(Field(_turned, (a, b)), scheme, 1.0)
        after = method.step(method.init(jnp.array([1.0, 0.0]))).position
        return jnp.hypot(after[0], after[1])

    return jnp.vectorize(modulus)(real, imaginary)


def _turned(time: Any, x: Array, own: tuple[Array, Array]) -> Array:
    del time
    a, b = own
    return jnp.stack([a * x[0] - b * x[1], b * x[0] + a * x[1]])


def raveled(outputs: PyTree) -> np.ndarray:
    """Outputs of several inputs as rows."""
    return np.asarray(jax.vmap(ravel)(outputs))
