"""Gradients of a flow by its adjoint equations, solved backwards: which gradient they are, and where they are none."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from .._loops.solve import solve
from .._methods.method import Method
from .._programs import compiled_quickly
from ..dynamics import Field
from ..schemes import RK4, AbstractScheme, Euler, Midpoint
from ._experiment import shown
from ._ledger import Correction, Outcome, claim

SCHEMES: dict[str, Callable[[], AbstractScheme]] = {"Euler": Euler, "midpoint": Midpoint, "RK4": RK4}
STEPS, WEIGHTS = 128, np.array([1.0, 2.0, 3.0])
# Of a state that contracts, the rate and the time.
RATE, LONG = 20.0, 45.0
Rates = Callable[[Array, Any], Any]


def layer(x: Any, theta: Any, of: Any = jnp) -> Any:
    """One hidden layer; in NumPy, too, on rows."""
    a, b, c = theta
    return of.einsum("...ij,...j->...i", c, of.tanh(of.einsum("...ij,...j->...i", a, x) + b))


def _theta() -> tuple[np.ndarray, ...]:
    draw = np.random.default_rng(0)
    return draw.normal(size=(8, 3)), draw.normal(size=8), draw.normal(size=(3, 8)) / np.sqrt(8.0)


START = np.array([1.0, -0.5, 0.3])


def _loss(x: Array) -> Array:
    return 0.5 * jnp.sum(WEIGHTS * x * x)


def _end(rates: Rates, theta: PyTree, x: Any, scheme: AbstractScheme, steps: int) -> Array:
    """The state at time 1."""
    method = Method(Field(lambda t, x, args: rates(x, args), theta), scheme, 1.0 / steps)
    return solve(method, jnp.asarray(x), steps, gradient="direct").final.position


def backwards(rates: Rates, theta: PyTree, x: Array, slope: Array, scheme: AbstractScheme, steps: int) -> PyTree:
    r"""The gradient of a loss of the state at time 1 by the adjoint equations, from time 1 back to 0.

    $$\dot x = f,\qquad \dot a = -(\partial_x f)^\top a,\qquad \dot g = -(\partial_\theta f)^\top a,\qquad g(1) = 0$$
    """

    def fn(t: Array, z: Any, args: PyTree) -> Any:
        del t
        x, adjoint, _ = z
        rate, pull = jax.vjp(rates, x, args)
        return rate, *jax.tree.map(jnp.negative, pull(adjoint))

    method = Method(Field(fn, theta), scheme, times=jnp.linspace(1.0, 0.0, steps + 1))
    return solve(method, (x, slope, jax.tree.map(jnp.zeros_like, theta))).final.position[2]


BACKWARDS: Callable[..., PyTree] = backwards


@compiled_quickly
def _gradients(scheme: AbstractScheme, steps: int) -> tuple[Array, Array]:
    """The gradient by the adjoint equations, and that of the steps as reverse mode has it."""
    theta = jax.tree.map(jnp.asarray, _theta())
    x = _end(layer, theta, START, scheme, steps)
    by_adjoint = BACKWARDS(layer, theta, x, jax.grad(_loss)(x), scheme, steps)
    direct = jax.grad(lambda theta: _loss(_end(layer, theta, START, scheme, steps)))(theta)
    return ravel_pytree(by_adjoint)[0], ravel_pytree(direct)[0]


def _by_hand(steps: int) -> np.ndarray:
    """The gradient of the steps of RK4, each parameter by an imaginary change in loops of NumPy."""
    parts = _theta()
    count, at, theta = sum(part.size for part in parts), 0, []
    for part in parts:
        copies = np.tile(part.astype(complex), (count,) + (1,) * part.ndim).reshape(count, -1)
        copies[at + np.arange(part.size), np.arange(part.size)] += 1e-40j
        theta.append(copies.reshape(count, *part.shape))
        at += part.size
    x, h = np.tile(START.astype(complex), (count, 1)), 1.0 / steps
    for _ in range(steps):
        k1 = layer(x, theta, np)
        k2 = layer(x + 0.5 * h * k1, theta, np)
        k3 = layer(x + 0.5 * h * k2, theta, np)
        x = x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + layer(x + h * k3, theta, np))
    return (0.5 * np.sum(WEIGHTS * x * x, axis=1)).imag / 1e-40


def _contracting(rate: float) -> Rates:
    """A state that falls to one that decays slowly, and another that adds it up."""
    return lambda x, theta: jnp.stack([rate * (x[1] - x[0]), -x[1], theta * x[0]])


def _sum(rate: float, change: float, steps: int) -> float:
    """The derivative of what is added up, by the adjoint equations from an end whose first state is changed."""

    @compiled_quickly
    def found(theta: Array, change: Array) -> Array:
        x = _end(_contracting(rate), theta, np.array([2.0, 1.0, 0.0]), RK4(), steps)
        changed = x + change * jnp.array([1.0, 0.0, 0.0])
        return BACKWARDS(_contracting(rate), theta, changed, jnp.array([0.0, 0.0, 1.0]), RK4(), steps)

    return float(found(jnp.ones(()), jnp.asarray(change)))


@claim(
    "adjoint-is-the-gradient",
    "chen2018, section 2",
    "The adjoint equations, solved backwards from the end with no state kept, give the gradient of a neural ODE.",
)
def adjoint() -> Outcome:
    r"""Against the gradient of the very steps, by imaginary changes; and where a state contracts as $e^{-Lt}$.

    Both gradients are off the one of the flow by $O(h^p)$, each by its own. A change of the state at the end grows as
    $e^{Lt}$ on the way back, and of $\dot u = L(v - u)$, $\dot v = -v$, $\dot w = \theta u$ it is
    $(e^{LT} - 1)/L$ times as much in the derivative of w(T) for $\theta$.
    """
    orders = []
    for make in SCHEMES.values():
        apart = [float(jnp.linalg.norm(jnp.subtract(*_gradients(make(), n)))) for n in (STEPS, 2 * STEPS)]
        orders.append(float(np.log2(apart[0] / apart[1])) if min(apart) > 0.0 else 0.0)
    exact = _by_hand(STEPS)
    by_adjoint, direct = (
        np.linalg.norm(np.asarray(g) - exact) / np.linalg.norm(exact) for g in _gradients(RK4(), STEPS)
    )
    small = 1e-8
    growth = (_sum(RATE, small, 1000) - _sum(RATE, 0.0, 1000)) / small
    slow = LONG / (LONG - 1.0)
    lost, right = _sum(LONG, 0.0, 2000), (2.0 - slow) * (1.0 - np.exp(-LONG)) / LONG + slow * (1.0 - np.exp(-1.0))
    expected = [1.0, 2.0, 4.0, 0.0, np.log((np.exp(RATE) - 1.0) / RATE)]
    measured = [*orders, direct, float(np.log(max(growth, 1e-300)))]
    close = np.allclose(measured, expected, atol=0.05)
    return Outcome(
        *shown(
            "distance from the gradient of the steps of order "
            + ", ".join(f"{{:.2f}} ({name})" for name in SCHEMES)
            + f", of reverse mode {{:.0e}}; a change at the end of what contracts by e^{RATE:g} grows to e^{{:.2f}}",
            expected,
            measured,
        ),
        holds=bool(by_adjoint < 1e-13),
        correction=Correction(
            "It is one of the flow, off by O(h^p) as that of the steps is; reverse mode through the steps is exact for "
            f"what was computed. Where states contract by e^(LT), roundings grow by as much on the way back: at LT = "
            f"{LONG:g} a derivative of {right:.3f} comes out as {lost:.3g}.",
            holds=bool(close and direct < 1e-13 and abs(lost - right) > 1.0),
        ),
    )  # fmt: skip
