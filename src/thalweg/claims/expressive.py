"""Flows in place of discrete layers: which functions they can be."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._loops.solve import solve
from .._methods.adaptive import adam
from .._programs import compiled_quickly
from ..networks import Network, neural_ode, residual
from ._experiment import shown
from ._ledger import Correction, Outcome, claim
from .depth import Block, Model

SEEDS = 3


def continuous(size: int, key: Array) -> Network:
    """A flow whose weights are the same at all times, and whose field knows the time."""
    return neural_ode(Block(size, key, timed=True), 1.0, 8)


def discrete(size: int, key: Array) -> Network:
    """Two layers x + f(x)."""
    return residual(lambda key: Block(size, key), 2, key=key)


# What makes the network, and how many dimensions more than the input it has.
WAYS: dict[str, tuple[Callable[[int, Array], Network], int]] = {
    "by an ODE": (continuous, 0),
    "by layers": (discrete, 0),
    "by an ODE with a dimension more": (continuous, 1),
}


def _after(start: Callable[[Array], Model], loss: Callable[[Model], Array], steps: int, seen: Callable) -> np.ndarray:
    """Something seen of the models after trainings from so many seeds, all in one program."""

    @compiled_quickly
    def ends(seeds: Array) -> Array:
        def end(seed: Array) -> Array:
            return seen(solve(adam(loss, 3e-2), start(jax.random.key(seed)), steps).final.position)

        return jax.lax.map(end, seeds)

    return np.asarray(ends(jnp.arange(SEEDS)))


def _reflects(make: Callable[[int, Array], Network], more: int) -> float:
    """The mean square by which a network that is trained to give -x misses it, at the seed that is best."""
    xs = jnp.linspace(-1.0, 1.0, 9)[:, None]

    def loss(model: Model) -> Array:
        return jnp.mean((jax.vmap(model)(xs)[:, :1] + xs) ** 2)

    return float(_after(lambda key: Model(make(1 + more, key), None, more), loss, 300, loss).min())


def circle(count: int) -> Array:
    """Points on the unit circle."""
    angle = jnp.linspace(0.0, 2.0 * jnp.pi, count, endpoint=False)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def _parts(make: Callable[[int, Array], Network], more: int) -> int:
    """The number of trainings, of so many seeds, after which a plane lies between two nested circles."""

    def start(key: Array) -> Model:
        first, last = jax.random.split(key)
        return Model(make(2 + more, first), eqx.nn.Linear(2 + more, 1, key=last), more)

    def loss(model: Model) -> Array:
        inner, outer = (jax.vmap(model)(radius * circle(24)) for radius in (0.5, 1.0))
        return jnp.mean(jax.nn.softplus(inner)) + jnp.mean(jax.nn.softplus(-outer))

    def seen(model: Model) -> Array:
        inner, outer = (jax.vmap(model)(radius * circle(1000)) for radius in (0.5, 1.0))
        return (inner.max() < 0.0) & (outer.min() > 0.0)

    return int(_after(start, loss, 400, seen).sum())


@claim(
    "neural-ode-is-more-expressive",
    "000.13",
    "A neural ordinary differential equation in place of discrete layers raises the expressive power of a network.",
)
def expressive() -> Outcome:
    """Two functions that no flow is: x to -x, and what has a line between two nested circles.

    No two solutions meet, so that a flow keeps the order of points of a line, and of what grows the nearest to -x is 0;
    and it keeps the inside of a closed curve inside. Trained blocks of the same width. Of x to -x the best of three
    seeds; of the circles the seeds that part them.
    """
    xs = np.linspace(-1.0, 1.0, 9)
    expected = [float(np.mean(xs**2)), 0, 0.0, SEEDS, 0.0, SEEDS]
    measured = [figure for way in WAYS.values() for figure in (_reflects(*way), _parts(*way))]
    words = "; ".join(f"{name} {{:.2f}} from -x, circles parted in {{}} of {SEEDS}" for name in WAYS)
    flow, layers, lifted = measured[:2], measured[2:4], measured[4:]
    return Outcome(
        *shown(words, expected, measured),
        holds=flow[0] < 0.5 * layers[0] or flow[1] > layers[1],
        correction=Correction(
            "In the dimension of the layers it lowers it: a flow keeps the order of points of a line and the inside of "
            "a curve inside, which layers x + f(x) with the step 1 need not. With one dimension more it can what they "
            "can [dupont2019].",
            holds=flow[0] > 0.99 * expected[0] and flow[1] == 0
            and max(layers[0], lifted[0]) < 5e-3 and layers[1] == lifted[1] == SEEDS,
            amends=False,
        ),
    )  # fmt: skip
