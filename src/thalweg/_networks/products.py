"""Jacobians of the field of a network and of its steps, whole or by their outermost eigenvalues."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._programs import compiled_quickly
from .._tree import ravel, unraveler
from ..schemes import Clock
from .network import Network

# Eigenvalues that are found at an edge of the spectrum, dimensions of the spaces, and how often they are made anew.
_FOUND, _SPACE, _RESTARTS = 8, 40, 300

# Time, x, and the velocity of a second-order law.
Place = tuple[Array, PyTree, PyTree]


@compiled_quickly
def field_jacobian(network: Network, place: Place) -> Array:
    """The Jacobian of the field, (d, d)."""
    pushed, x = _pushed(network, place)
    return jax.jacfwd(pushed)(x)


def _pushed(network: Network, place: Place) -> tuple[Callable[[Array], Array], Array]:
    """The field on vectors, that of the step which begins at the time."""
    time, x, _ = place
    law: Any = network.method.dynamics.during(time, network.step)
    cut = unraveler(x)
    return lambda flat: ravel(law.fn(time, cut(flat), law.args)), ravel(x)


def _moved(network: Network, place: Place) -> tuple[Callable[[Array], Array], Array]:
    """A step on vectors, of x or of x and the velocity."""
    time, *phase = place
    method, step = network.method, jnp.asarray(network.step, float)
    cut = unraveler(tuple(phase))
    clock = Clock(time, jnp.zeros(()), jnp.zeros((), int), step)

    def moved(flat: Array) -> Array:
        x, velocity = cut(flat)
        # The velocity as the scheme has it: that of leapfrog is half a step behind.
        state = method.scheme.init(method.dynamics, x, step, velocity, clock).at(x, velocity)
        after = method.step(state)
        return ravel((after.position, None if velocity is None else after.velocity))

    return moved, ravel(tuple(phase))


def outermost(network: Network) -> Callable[[Place], tuple[np.ndarray, np.ndarray]]:
    """A function for the outermost eigenvalues at a place of the field's Jacobian and of a step's.

    Of the field those that are the largest, the most negative and the farthest from real ones, of a step the largest.
    """
    # A call of `eqx.filter_jit` takes ten times as long as the product.
    arrays, rest = eqx.partition(network, eqx.is_array)

    @jax.jit
    def of_field(arrays: Any, place: Place, along: Array) -> Array:
        pushed, x = _pushed(eqx.combine(arrays, rest), place)
        return jax.jvp(pushed, (x,), (along,))[1]

    @jax.jit
    def of_step(arrays: Any, place: Place, along: Array) -> Array:
        moved, phase = _moved(eqx.combine(arrays, rest), place)
        return jax.jvp(moved, (phase,), (along,))[1]

    def found(place: Place) -> tuple[np.ndarray, np.ndarray]:
        field = _outermost(lambda v: of_field(arrays, place, v), ravel(place[1]).size, ("LM", "SR", "LI"))
        return field, _outermost(lambda v: of_step(arrays, place, v), ravel(place[1:]).size, ("LM",))

    return found


def _outermost(product: Callable[[Array], Array], count: int, edges: Sequence[str]) -> np.ndarray:
    """Eigenvalues of an operator on vectors, by Arnoldi's method with restarts; none where none is found."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    def image(v: np.ndarray) -> np.ndarray:
        return np.asarray(product(v.ravel()))  # pyright: ignore

    start = np.random.default_rng(0).standard_normal(count)
    if not np.any(image(start)):
        return np.zeros(1)
    operator: Any = LinearOperator((count, count), image, dtype=np.dtype(float))  # pyright: ignore
    found = []
    for edge in edges:
        try:
            values = eigs(
                operator, _FOUND, which=edge, v0=start, ncv=_SPACE, maxiter=_RESTARTS, return_eigenvectors=False
            )
        except ArpackNoConvergence as error:
            values = error.eigenvalues
        found.append(np.asarray(values))
    return np.concatenate(found)
