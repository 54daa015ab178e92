"""Stages of Runge-Kutta in the training of a network by mini-batches, at as many gradients for all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._methods.aliases import momentum
from .._methods.method import Method
from .._objectives.finite_sum import FiniteSum
from .._programs import compiled_quickly
from ..dynamics import GradientFlow
from ..problems import network_digits
from ..schemes import RK4, Draws, Euler, Heun
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim

HIDDEN, SAMPLES, BATCH, GRADIENTS, SEEDS, BETA = 12, 1797, 32, 400, 4, 0.9
RATES = np.geomspace(0.05, 6.4, 8)
Make = Callable[[Any, ArrayLike], Method]
# What is made, and of how many gradients a step.
WAYS: dict[str, tuple[Make, int]] = {
    "Euler": (lambda f, rate: Method(GradientFlow(f), Euler(), rate), 1),
    "Heun": (lambda f, rate: Method(GradientFlow(f), Heun(), rate), 2),
    "RK4": (lambda f, rate: Method(GradientFlow(f), RK4(), rate), 4),
    "momentum": (lambda f, rate: momentum(f, rate, BETA), 1),
}
_NAMES = [(layer, name) for layer in ("hidden", "output") for name in ("weights", "bias")]


def _data() -> tuple[np.ndarray, np.ndarray, Any]:
    """Digits as rows, their classes as rows of zeros and a one, and where the training starts."""
    problem: Any = network_digits(HIDDEN)
    args = problem.objective.args
    return np.asarray(args["features"]).T[:SAMPLES], np.asarray(args["labels"]).T[:SAMPLES], problem.start


def _batches(steps: int) -> np.ndarray:
    return np.random.default_rng(0).integers(SAMPLES, size=(SEEDS, steps, BATCH))


def _loss(x: Any, sample: tuple[Array, Array]) -> Array:
    image, label = sample
    active = jnp.tanh(image @ x["hidden"]["weights"] + x["hidden"]["bias"])
    return -label @ jax.nn.log_softmax(active @ x["output"]["weights"] + x["output"]["bias"])


def _trained(make: Make, each: int) -> np.ndarray:
    """The loss on all of the samples after a training, (rates, seeds)."""
    images, labels, start = _data()
    f = FiniteSum(_loss, (images, labels), BATCH)

    @compiled_quickly
    def ends(rates: Array, batches: Array) -> Array:
        def end(rate: Array, rows: Array) -> Array:
            method = make(f, rate)

            def step(state: Any, batch: Array) -> tuple[Any, None]:
                return method.step(state, Draws(batch)), None

            return f.value(jax.lax.scan(step, method.init(start), rows)[0].position)

        return jax.vmap(jax.vmap(end, (None, 0)), (0, None))(rates, batches)

    return np.asarray(ends(jnp.asarray(RATES), jnp.asarray(_batches(GRADIENTS // each))))


def _forward(x: dict, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    active = np.tanh(images @ x["hidden", "weights"] + x["hidden", "bias"][..., None, :])
    return active, active @ x["output", "weights"] + x["output", "bias"][..., None, :]


def _slope(x: dict, images: np.ndarray, labels: np.ndarray) -> dict:
    active, logits = _forward(x, images)
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    gap = (odds / odds.sum(axis=-1, keepdims=True) - labels) / BATCH
    back = (gap @ np.swapaxes(x["output", "weights"], -1, -2)) * (1.0 - active**2)
    return {
        ("output", "weights"): np.swapaxes(active, -1, -2) @ gap, ("output", "bias"): gap.sum(axis=-2),
        ("hidden", "weights"): np.swapaxes(images, -1, -2) @ back, ("hidden", "bias"): back.sum(axis=-2),
    }  # fmt: skip


def _by_hand(name: str) -> np.ndarray:
    """The same by loops in NumPy, all trainings side by side."""
    images, labels, start = _data()
    shape = (len(RATES), SEEDS)
    x: Any = {leaf: np.tile(np.asarray(start[leaf[0]][leaf[1]]), (*shape, *[1] * (1 + (leaf[1] == "weights"))))
              for leaf in _NAMES}  # fmt: skip
    sizes = {leaf: RATES.reshape(-1, *[1] * (value.ndim - 1)) for leaf, value in x.items()}
    moved = {leaf: np.zeros_like(value) for leaf, value in x.items()}
    nodes, weights = {
        "Heun": ((0.0, 1.0), (0.5, 0.5)), "RK4": ((0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    }.get(name, ((0.0,), (1.0,)))  # fmt: skip
    beta = BETA if name == "momentum" else 0.0
    for rows in np.swapaxes(_batches(GRADIENTS // len(nodes)), 0, 1):
        slope, total = moved, dict.fromkeys(_NAMES, 0.0)
        for node, weight in zip(nodes, weights, strict=True):
            place = {leaf: x[leaf] - node * sizes[leaf] * slope[leaf] if node else x[leaf] for leaf in _NAMES}
            slope = _slope(place, images[rows], labels[rows])
            total = {leaf: total[leaf] + weight * slope[leaf] for leaf in _NAMES}
        moved = {leaf: beta * moved[leaf] + total[leaf] for leaf in _NAMES}
        x = {leaf: x[leaf] - sizes[leaf] * moved[leaf] for leaf in _NAMES}
    logits = _forward(x, images)[1]
    most = logits.max(axis=-1, keepdims=True)
    return np.mean(np.log(np.exp(logits - most).sum(axis=-1)) + most[..., 0] - (labels * logits).sum(axis=-1), axis=-1)


class _Best(NamedTuple):
    """The least mean loss, the rate that it is at, and the losses of the seeds there."""

    loss: float
    rate: float
    each: np.ndarray


def _best(losses: np.ndarray) -> _Best:
    at = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf).mean(axis=1)))
    return _Best(float(losses[at].mean()), float(RATES[at]), losses[at])


def _error(gain: np.ndarray) -> float:
    """The standard error of a mean over seeds."""
    return float(gain.std(ddof=1) / np.sqrt(gain.size))


@claim(
    "stages-do-not-pay-in-training",
    "001.8, 001.12",
    "Runge-Kutta methods of high order are not used in training: a step costs several gradients, and it is better to "
    "spend one, with momentum.",
)
def stages() -> Outcome:
    """A network on digits by mini-batches: the loss after as many gradients, each at the best of the same rates.

    All stages of a step have its mini-batch. Expected are loops in NumPy.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        by_hand = [_best(_by_hand(name)) for name in WAYS]
    found = [_best(_trained(*way)) for way in WAYS.values()]
    gains = [one.each - found[0].each for one in found[1:]]
    means, errors = ([float(of(gain)) for gain in gains] for of in (np.mean, _error))
    words = ", ".join(f"{name} {{:.4f}} at {{:.3g}}" for name in WAYS)
    expected, measured = ([figure for one in those for figure in (one.loss, one.rate)] for those in (by_hand, found))
    dearer = all(mean > 3.0 * error for mean, error in zip(means[:2], errors, strict=False))
    agree = close(measured, expected, 1e-3)
    return Outcome(
        *shown(f"loss after {GRADIENTS} gradients, at the best step: {words}", expected, measured),
        holds=agree and dearer and means[2] < -3.0 * errors[2],
        correction=Correction(
            f"The stages do cost more than they give: after as many gradients the loss is that of Euler's method times "
            f"{measured[2] / measured[0]:.1f} by Heun and {measured[4] / measured[0]:.1f} by RK4. But where the noise "
            f"of batches of {BATCH} rules, momentum gives no more: {means[2]:+.4f} ± {errors[2]:.4f} beside Euler's.",
            holds=agree and dearer and abs(means[2]) <= 3.0 * errors[2],
        ),
    )
