"""Networks on handwritten digits, trained by a method of the package and by the loop that everybody writes."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from .._methods.method import Method
from .._objectives.finite_sum import FiniteSum
from ..adapters.optax import transformation
from ..problems._data import standardised
from ..schemes import Draws

EVERY, BATCH, AT_ONCE = 5, 32, 8
STEPS = {"shallow": 100, "residual": 150, "convolutional": 100}
EARLY = 30  # gradients, about an epoch
TARGET = 0.92
SEEN, ASIDE = 997, 400
DEPTH, WIDTH, FILTERS = 10, 16, 8
_HALVES = (slice(DEPTH // 2), slice(DEPTH // 2, DEPTH))
# Squares of 4 by 4 pixels, at every second of a row and of a column.
_SQUARES = np.array([[8 * (row + i) + column + j for i in range(4) for j in range(4)]
                     for row in (0, 2, 4) for column in (0, 2, 4)])  # fmt: skip
Net = Callable[[Any, Float[Array, "..."]], Float[Array, " classes"]]


def _shallow(x: Any, image: Array) -> Array:
    return x["out"] @ jnp.tanh(x["in"] @ image + x["bias"])


def _residual(x: Any, image: Array) -> Array:
    def block(hidden: Array, layer: Any) -> tuple[Array, None]:
        return hidden + 0.25 * jnp.tanh(layer["weights"] @ hidden + layer["bias"]), None

    return x["out"] @ jax.lax.scan(block, x["in"] @ image, x["blocks"])[0]


def _convolutional(x: Any, image: Array) -> Array:
    found = jax.nn.relu(image @ x["in"] + x["bias"][None])
    return x["out"] @ found.ravel()


NETS: dict[str, Net] = {"shallow": _shallow, "residual": _residual, "convolutional": _convolutional}
_SHAPES: dict[str, dict[str, Any]] = {
    "shallow": {"in": (32, 64), "bias": (32,), "out": (10, 32)},
    "residual": {
        "in": (WIDTH, 64), "blocks": {"weights": (DEPTH, WIDTH, WIDTH), "bias": (DEPTH, WIDTH)}, "out": (10, WIDTH)
    },
    "convolutional": {"in": (16, FILTERS), "bias": (FILTERS,), "out": (10, 9 * FILTERS)},
}  # fmt: skip


def start(net: str, draw: np.random.Generator) -> Any:
    """Normal weights of variance one over the inputs, biases 0."""

    def made(shape: tuple[int, ...]) -> np.ndarray:
        inputs = 16 if shape == (16, FILTERS) else shape[-1]
        bias = shape in ((32,), (FILTERS,), (DEPTH, WIDTH))
        return np.zeros(shape) if bias else draw.normal(size=shape) / np.sqrt(inputs)

    return jax.tree.map(made, _SHAPES[net], is_leaf=lambda leaf: isinstance(leaf, tuple))


@functools.cache
def digits(net: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels: 997 to learn from, 400 to choose by, 400 to judge by; for filters as squares."""
    features, labels = standardised("digits")
    images = features.T[:, _SQUARES] if net == "convolutional" else features.T
    order = np.random.default_rng(0).permutation(len(labels))
    return [(images[part], labels[part]) for part in np.split(order, [SEEN, SEEN + ASIDE])]


class Training(NamedTuple):
    """Figures of trainings, an entry each: gradients to the target, and the loss on what is learnt from."""

    gradients: np.ndarray
    early: np.ndarray
    end: np.ndarray
    aside: np.ndarray


Setting = tuple[float, float]


def _score(net: str, x: Any, image: Array) -> Array:
    return jax.nn.log_softmax(NETS[net](x, image))


def _loss(net: str, x: Any, pictures: Any, labels: Any) -> Array:
    scores = jax.vmap(functools.partial(_score, net), (None, 0))(x, pictures)
    return -jnp.mean(scores[jnp.arange(len(labels)), labels])


def _scanned(step: Callable, seen: Callable, state: Any, batches: Array) -> Any:
    """Points of a training, the start and every so many steps."""

    def few(state: Any, batches: Array) -> tuple[Any, Any]:
        state, _ = jax.lax.scan(lambda state, batch: (step(state, batch), None), state, batches)
        return state, seen(state)

    _, points = jax.lax.scan(few, state, batches.reshape(-1, EVERY, BATCH))
    return jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), seen(state), points)


@functools.partial(jax.jit, static_argnums=(0, 1))
def by_method(net: str, make: Callable[..., Method], starts: Any, rates: Array, betas: Array, batches: Array) -> Any:
    """The points that a framework keeps, where the gradient is taken, of trainings by the steps of the package."""
    pictures, labels = digits(net)[0]
    f = FiniteSum(lambda x, s: -_score(net, x, s[0])[s[1]], (pictures, labels), BATCH)

    def one(x: Any, rate: Array, beta: Array, batches: Array) -> Any:
        method = make(f, rate, beta)
        step = lambda state, batch: method.step(state.with_lookahead(), Draws(batch=batch))  # noqa: E731
        return _scanned(step, lambda state: state.lookahead, method.init(x), batches)

    return jax.vmap(one)(starts, rates, betas, batches)


@functools.partial(jax.jit, static_argnums=(0, 1))
def by_layers(net: str, ways: tuple[Any, Any], starts: Any, rates: Array, betas: Array, batches: Array) -> Any:
    """The same of a residual network with one method in its lower half and another in its upper one."""
    pictures, labels = (jnp.asarray(part) for part in digits(net)[0])

    def parted(x: Any) -> dict[str, Any]:
        below, above = (jax.tree.map(lambda leaf, cut=cut: leaf[cut], x["blocks"]) for cut in _HALVES)
        return {"lower": {"in": x["in"], "blocks": below}, "upper": {"blocks": above, "out": x["out"]}}

    def joined(parts: dict[str, Any]) -> Any:
        lower, upper = parts["lower"], parts["upper"]
        blocks = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), lower["blocks"], upper["blocks"])
        return {"in": lower["in"], "blocks": blocks, "out": upper["out"]}

    def one(x: Any, rate: Array, beta: Array, batches: Array) -> Any:
        names = ("lower", "upper")
        parts: Any = {name: transformation(make(None, rate, beta)) for name, make in zip(names, ways, strict=True)}
        labelled: Any = {name: name for name in names}
        optimizer = optax.partition(parts, labelled)

        def step(carry: Any, batch: Array) -> Any:
            x, state = carry
            slope = jax.grad(lambda x: _loss(net, joined(x), pictures[batch], labels[batch]))(x)
            updates, state = optimizer.update(slope, state, x)
            return optax.apply_updates(x, updates), state

        begun = parted(x)
        return _scanned(step, lambda carry: joined(carry[0]), (begun, optimizer.init(begun)), batches)

    return jax.vmap(one)(starts, rates, betas, batches)


@functools.partial(jax.jit, static_argnums=0)
def by_hand(net: str, ahead: Any, starts: Any, rates: Array, betas: Array, batches: Array) -> Any:
    """The same by v = βv + g and a step of v, or of g + βv where it looks ahead: for all, or a tree like x."""
    pictures, labels = (jnp.asarray(part) for part in digits(net)[0])

    def one(x: Any, rate: Array, beta: Array, batches: Array) -> Any:
        looks = ahead if isinstance(ahead, dict) else jax.tree.map(lambda leaf: ahead, x)

        def step(state: Any, batch: Array) -> Any:
            x, v = state
            g = jax.grad(lambda x: _loss(net, x, pictures[batch], labels[batch]))(x)
            v = jax.tree.map(lambda v, g: beta * v + g, v, g)
            return jax.tree.map(lambda x, v, g, a: x - rate * jnp.where(a, g + beta * v, v), x, v, g, looks), v

        return _scanned(step, lambda state: state[0], (x, jax.tree.map(jnp.zeros_like, x)), batches)

    return jax.vmap(one)(starts, rates, betas, batches)


def _points(net: str, loop: Any, *rest: Any) -> Any:
    if isinstance(loop, tuple) and isinstance(loop[0], bool):
        below, above = loop
        blocks = np.where(np.arange(DEPTH) < DEPTH // 2, below, above)
        own = {"weights": blocks[:, None, None], "bias": blocks[:, None]}
        return by_hand(net, {"in": below, "blocks": own, "out": above}, *rest)
    if isinstance(loop, tuple):
        return by_layers(net, loop, *rest)
    return by_hand(net, loop, *rest) if isinstance(loop, bool) else by_method(net, loop, *rest)


@functools.partial(jax.jit, static_argnums=0)
def _judged(net: str, points: Any, judges: Any) -> Any:
    """Accuracies (trainings, looks), the losses early and at the end, and the last one of the judges."""
    pictures, labels = judges

    def right(x: Any) -> Array:
        scores = jax.vmap(functools.partial(_score, net), (None, 0))(x, pictures)
        return jnp.mean(scores.argmax(axis=1) == labels)

    losses = []
    for look, (images, names) in ((EARLY // EVERY, digits(net)[0]), (-1, digits(net)[0]), (-1, judges)):
        at = jax.tree.map(lambda leaf, look=look: leaf[:, look], points)
        losses.append(jax.vmap(lambda x, i=images, n=names: _loss(net, x, i, n))(at))
    # One after another: side by side their activations would fill no cache.
    return jax.lax.map(lambda path: jax.lax.map(right, path), points), *losses


def trained(net: str, loop: Any, settings: tuple[Setting, ...], seeds: tuple[int, ...], judge: int) -> Training:
    """Train with every setting and every seed, so many at a time that one program serves all.

    Arguments:
        net: a name of `NETS`.
        loop: a maker of methods, or True or False for the loop by hand with or without a look ahead; two of them for
            the lower and the upper half of a residual network.
        settings: learning rates and momenta.
        seeds: of the start and the batches, the same for all settings.
        judge: which images of `digits` say when the target is reached.

    Returns:
        arrays (settings, seeds).
    """
    draws = {seed: np.random.default_rng(seed) for seed in seeds}
    begun = {seed: start(net, draw) for seed, draw in draws.items()}
    drawn = {seed: draw.integers(SEEN, size=(STEPS[net], BATCH)) for seed, draw in draws.items()}
    runs = [(*setting, seed) for setting in settings for seed in seeds]
    found = []
    for first in range(0, len(runs), AT_ONCE):
        rates, betas, own = zip(*(runs[i % len(runs)] for i in range(first, first + AT_ONCE)), strict=True)
        starts = jax.tree.map(lambda *leaves: np.stack(leaves), *(begun[seed] for seed in own))
        rest = starts, np.array(rates), np.array(betas), np.stack([drawn[seed] for seed in own])
        found.append([np.asarray(part) for part in _judged(net, _points(net, loop, *rest), digits(net)[judge])])
    accuracy, *losses = (np.concatenate(part)[: len(runs)] for part in zip(*found, strict=True))
    reached = accuracy >= TARGET
    gradients = np.where(reached.any(axis=1), EVERY * reached.argmax(axis=1), STEPS[net] + EVERY).astype(float)
    # One that diverged is worth no more than guesses.
    shape = (len(settings), len(seeds))
    return Training(gradients.reshape(shape), *(np.fmin(part, np.log(10.0)).reshape(shape) for part in losses))
