"""Networks in depth: a residual network as Euler's method."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.integrate import solve_ivp

from .._loops.solve import solve
from .._methods.adaptive import adam
from .._methods.method import Method
from .._module import Module
from .._programs import compiled_quickly
from ..analysis import depth_transfer
from ..dynamics import Field, Pieces
from ..networks import Network, residual
from ..schemes import AbstractScheme, Euler
from ._experiment import ROUNDING, shown
from ._ledger import Correction, Outcome, claim

# Layers, what stands before each, and steps of the training.
GENTLE, COARSE = (16, 1.0 / 16.0, 200), (2, 4.0, 400)
SCHEME: Callable[[], AbstractScheme] = Euler
WIDTH = 16


class Block(Module):
    """One hidden layer; of the time, too, where there is a row for it."""

    inner: eqx.nn.Linear
    outer: eqx.nn.Linear
    scale: float = eqx.field(static=True)
    timed: bool = eqx.field(static=True)

    def __init__(self, size: int, key: Array, scale: float = 1.0, timed: bool = False) -> None:
        first, last = jax.random.split(key)
        self.inner = eqx.nn.Linear(size + timed, WIDTH, key=first)
        self.outer = eqx.nn.Linear(WIDTH, size, key=last)
        self.scale, self.timed = scale, timed

    def __call__(self, t: Array, x: Array) -> Array:
        given = jnp.append(x, t) if self.timed else x
        return self.scale * self.outer(jnp.tanh(self.inner(given)))


class Model(Module):
    """A network on an input with zeros for the dimensions that it has not, and a linear layer."""

    network: Network
    out: eqx.nn.Linear | None
    more: int = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        y = self.network(jnp.append(x, jnp.zeros(self.more)))
        return y if self.out is None else self.out(y)


def trained(model: Any, loss: Callable[[Any], Array], rate: float, steps: int) -> Any:
    """The model after a training by Adam on all of the data."""
    return compiled_quickly(lambda start: solve(adam(loss, rate), start, steps).final.position)(model)


def moons(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Points on two half circles that reach into each other, and their classes."""
    angle = np.linspace(0.0, np.pi, count)
    one = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([one, np.array([1.0, 0.5]) - one]) - np.array([0.5, 0.25])
    return points, np.repeat([0, 1], count)


def _classifier(depth: int, scale: float, steps: int) -> Model:
    keys = jax.random.split(jax.random.key(0))
    network = residual(lambda key: Block(2, key, scale), depth, key=keys[0])
    xs, labels = map(jnp.asarray, moons())

    def loss(model: Model) -> Array:
        odds = jax.nn.log_softmax(jax.vmap(model)(xs))
        return -jnp.mean(jnp.where(labels == 0, odds[:, 0], odds[:, 1]))

    return trained(Model(network, eqx.nn.Linear(2, 2, key=keys[1]), 0), loss, 1e-2, steps)


def _blocks(model: Model) -> list[Callable[[np.ndarray], np.ndarray]]:
    """The blocks by hand, on rows."""

    def by_hand(block: Any) -> Callable[[np.ndarray], np.ndarray]:
        a, b, c, d = (np.asarray(leaf) for leaf in jax.tree.leaves((block.inner, block.outer)))
        return lambda x: block.scale * (np.tanh(x @ a.T + b) @ c.T + d)

    return [by_hand(model.network.block_at(layer)) for layer in range(model.network.blocks)]


def _layers(model: Model, x: np.ndarray, cuts: int = 1) -> np.ndarray:
    """The points after every layer of x + f(x), each cut into some."""
    found = [x]
    for block in _blocks(model):
        for _ in range(cuts):
            x = x + block(x) / cuts
        found.append(x)
    return np.stack(found)


def _flow(model: Model, x: np.ndarray) -> np.ndarray:
    """The end of the flow of the same blocks, by SciPy."""
    for block in _blocks(model):

        def rate(_: float, y: np.ndarray, block: Any = block) -> np.ndarray:
            return block(y.reshape(-1, 2)).ravel()

        x = solve_ivp(rate, (0.0, 1.0), x.ravel(), "DOP853", rtol=1e-9, atol=1e-11).y[:, -1].reshape(-1, 2)
    return x


def _by_hand(model: Model) -> list[float]:
    """The change of the outputs from those of the flow, in their spread, and the accuracy at twice the depth."""
    points, labels = moons()
    out: Any = model.out
    own, flow, doubled = (
        x @ np.asarray(out.weight).T + np.asarray(out.bias)
        for x in (_layers(model, points)[-1], _flow(model, points), _layers(model, points, 2)[-1])
    )
    spread = np.sqrt(np.mean(np.sum((flow - flow.mean(axis=0)) ** 2, axis=1)))
    change = np.sqrt(np.mean(np.sum((own - flow) ** 2, axis=1))) / spread
    return [float(change), float(np.mean(doubled.argmax(axis=1) == labels))]


def _apart(model: Model) -> float:
    """The largest distance of a layer from the step of the scheme on the field whose weights are pieces of time."""
    points, network = moons()[0], model.network
    law = Field(lambda t, x, block: jax.vmap(lambda y: block(t, y))(x), Pieces(network.block, 1.0))
    found: Any = solve(
        Method(law, SCHEME(), 1.0), jnp.asarray(points), network.depth, save=lambda state: state.position
    )
    path = np.concatenate([found.saved, np.asarray(found.final.position)[None]])
    layers = _layers(model, points)
    return float(np.abs(path[: len(layers)] - layers).max() / np.abs(layers).max())


@claim(
    "residual-network-is-euler",
    "001.9",
    "A residual network x⁺ = x + f(x) is Euler's method on x' = f(x, t), with the step 1 and its layers as time.",
)
def euler() -> Outcome:
    """Layers and Euler's steps; and two networks that part two half-moons, of small and of large blocks.

    Every map x + f(x) is a step of Euler's. It approximates the motion where the outputs stay when the depth is
    refined. Expected are layers by hand in NumPy, and flows by SciPy.
    """
    points, labels = moons()
    expected, measured, apart, follows = [], [], [], []
    for kind in (GENTLE, COARSE):
        model = _classifier(*kind)
        apart.append(_apart(model))
        found = depth_transfer(model, points, labels, depths=(2 * kind[0],))
        assert found.accuracy is not None
        expected += _by_hand(model)
        measured += [float(found.changes[0, 0]), float(found.accuracy[0, 1])]
        follows.append(found.follows_ode and found.accuracy[0, 0] == 1.0)
    kinds = (f"{kind[0]} layers: {{:.3f}} of the spread from the flow, at twice the depth {{:.0%}} right"
             for kind in (GENTLE, COARSE))  # fmt: skip
    same = max(apart) < ROUNDING and bool(np.allclose(measured, expected, rtol=1e-4))
    return Outcome(
        *shown("layers {:.0e} apart; " + "; ".join(kinds), [0.0, *expected], [max(apart), *measured]),
        holds=same and all(follows),
        correction=Correction(
            f"As maps they are the same, whatever the weights. It approximates the motion only where its outputs stay "
            f"when the depth is refined: those of {GENTLE[0]} layers of small blocks do, those of {COARSE[0]} of large "
            f"ones, trained until all points are right, fall to {measured[3]:.0%} [queiruga2020].",
            holds=same and follows[0] and not follows[1] and measured[3] < 0.9,
        ),
    )  # fmt: skip
