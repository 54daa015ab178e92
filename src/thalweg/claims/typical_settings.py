"""A thousand random settings in the range that is typical: what a training loses by a setting that is not the best."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from .._objectives.finite_sum import FiniteSum
from ..problems import network_digits
from ..schemes import Draws
from ._experiment import close, quadratic, shown
from ._ledger import Correction, Outcome, claim
from .settings import losses

SETTINGS, RATES, BETAS = 1000, (0.01, 0.3), (0.9, 0.99)
HIDDEN, BATCH, STEPS, SEEN, JUDGED = 8, 32, 60, 1400, 400
# What the loss of the network is multiplied by; the curvature of the quadratic.
SCALES, CURVATURE = (1.0, 20.0), 8.0
MAKERS: dict[str, Callable[..., Method]] = {"momentum": momentum, "Nesterov": nesterov}
_LEAVES = (("hidden", "weights"), ("hidden", "bias"), ("output", "weights"), ("output", "bias"))


def _drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Learning rates, momenta, and the samples of every step."""
    draw = np.random.default_rng(0)
    rates, betas = draw.uniform(*RATES, SETTINGS), draw.uniform(*BETAS, SETTINGS)
    return rates, betas, draw.integers(SEEN, size=(STEPS, BATCH))


def _digits() -> tuple[Any, np.ndarray, np.ndarray]:
    """Start of the network, and the digits in an order of their own: pixels (n, 64), labels (n, 10)."""
    problem: Any = network_digits(HIDDEN)
    args = {name: np.asarray(value) for name, value in problem.objective.args.items()}
    order = np.random.default_rng(1).permutation(args["labels"].shape[1])
    return problem.start, args["features"].T[order], args["labels"].T[order]


def _loss(x: Any, sample: Any) -> Any:
    active = jnp.tanh(sample["features"] @ x["hidden"]["weights"] + x["hidden"]["bias"])
    scores = active @ x["output"]["weights"] + x["output"]["bias"]
    return jax.nn.logsumexp(scores) - jnp.vdot(sample["labels"], scores)


@functools.partial(jax.jit, static_argnames="make")
def _trained(make: Callable[..., Method], scale: Any, rates: Any, betas: Any, start: Any, seen: Any, rows: Any) -> Any:
    """The parameters of all settings, trained side by side on the same mini-batches."""
    f = FiniteSum(lambda x, sample: scale * _loss(x, sample), seen)

    def step(states: Any, batch: Any) -> Any:
        return jax.vmap(lambda r, b, s: make(f, r, b).step(s, Draws(batch=batch)))(rates, betas, states), None

    states = jax.vmap(lambda r, b: make(f, r, b).init(start))(rates, betas)
    return jax.lax.scan(step, states, rows)[0].position


def _by_hand(ahead: bool, rates: np.ndarray, betas: np.ndarray, start: Any, seen: Any, rows: np.ndarray) -> Any:
    """The same by loops in NumPy; weights are (settings, in, out)."""
    x = {leaf: np.repeat(np.asarray(start[leaf[0]][leaf[1]])[None], rates.size, axis=0) for leaf in _LEAVES}
    v = {leaf: np.zeros_like(value) for leaf, value in x.items()}
    for batch in rows:
        z, labels = seen["features"][batch], seen["labels"][batch]
        at = {leaf: x[leaf] + (_as(betas, x[leaf]) * v[leaf] if ahead else 0.0) for leaf in _LEAVES}
        active, scores = _forward(at, z)
        odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
        gap = (odds / odds.sum(axis=-1, keepdims=True) - labels) / BATCH
        back = (gap @ np.swapaxes(at["output", "weights"], -1, -2)) * (1.0 - active**2)
        slopes = {
            ("hidden", "weights"): np.swapaxes(np.tensordot(back, z, (1, 0)), -1, -2),
            ("hidden", "bias"): back.sum(axis=1),
            ("output", "weights"): np.swapaxes(active, -1, -2) @ gap,
            ("output", "bias"): gap.sum(axis=1),
        }
        v = {leaf: _as(betas, x[leaf]) * v[leaf] - _as(rates, x[leaf]) * slopes[leaf] for leaf in _LEAVES}
        x = {leaf: x[leaf] + v[leaf] for leaf in _LEAVES}
    return x


def _as(values: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *([1] * (leaf.ndim - 1)))


def _forward(x: Any, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hidden layer and the scores, (settings, samples, units)."""
    wide = z @ np.swapaxes(x["hidden", "weights"], 0, 1).reshape(z.shape[1], -1)
    count = x["hidden", "bias"].shape[0]
    active = np.tanh(np.swapaxes(wide.reshape(z.shape[0], count, -1), 0, 1) + x["hidden", "bias"][:, None])
    return active, active @ x["output", "weights"] + x["output", "bias"][:, None]


def _fallen(x: Any, features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances from the best setting: of the accuracy on digits unseen, and of the loss on as many of those seen."""
    part = slice(SEEN - JUDGED, None)
    scores, labels = _forward(x, features[part])[1], labels[part]
    right = np.mean(scores[:, JUDGED:].argmax(-1) == labels[JUDGED:].argmax(-1), axis=1)
    scores, labels = scores[:, :JUDGED], labels[:JUDGED]
    most = scores.max(axis=-1, keepdims=True)
    logs = most[..., 0] + np.log(np.exp(scores - most).sum(axis=-1))
    entropy = np.mean(logs - (scores * labels).sum(axis=-1), axis=1)
    return right.max() - right, entropy - entropy.min()


def _ratio(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The ratio of two means over the settings, and its deviation over settings drawn again from them."""
    chosen = np.random.default_rng(2).integers(one.size, size=(1000, one.size))
    return float(one.mean() / other.mean()), float(np.std(one[chosen].mean(axis=1) / other[chosen].mean(axis=1)))


@claim(
    "nesterov-loses-less-by-a-setting",
    "003.60",
    "Over 1,000 random settings with learning rates from 0.01 to 0.3 the performance of Nesterov's method falls by "
    "60 % less than that of momentum.",
)
def falls() -> Outcome:
    r"""Momentum from 0.9 to 0.99, 60 steps of a network of 610 parameters on digits: mean distance from the best.

    By accuracy on digits unseen and by the loss on some of those seen, at the network's own curvature and with the loss
    multiplied; and who diverges on a quadratic, beyond $\alpha\ell = 2 + 2\beta$ and $(2 + 2\beta)/(1 + 2\beta)$.
    Expected of the trainings are loops in NumPy.
    """
    rates, betas, rows = _drawn()
    start, features, labels = _digits()
    seen = {"features": features[:SEEN], "labels": labels[:SEEN]}
    figures: tuple[list[Any], list[Any]] = ([], [])
    for scale in SCALES:
        # A loss that is multiplied is a learning rate that is: so it is by hand.
        both: tuple[list[Any], list[Any]] = ([], [])
        for make, ahead in zip(MAKERS.values(), (False, True), strict=True):
            numbers = (jnp.asarray(scale), jnp.asarray(rates), jnp.asarray(betas))
            x = _trained(make, *numbers, start, jax.tree.map(jnp.asarray, seen), rows)
            by_hand = _by_hand(ahead, scale * rates, betas, start, seen, rows)
            for held, ends in zip(both, (by_hand, {(a, b): np.asarray(x[a][b]) for a, b in _LEAVES}), strict=True):
                held.append(_fallen(ends, features, labels))
        for held, (ball, look) in zip(figures, both, strict=True):
            held += [*_ratio(look[0], ball[0]), *_ratio(look[1], ball[1])]
    for make, ahead in zip(MAKERS.values(), (0.0, 1.0), strict=True):
        figures[0].append(int(np.sum(rates * CURVATURE > (2.0 + 2.0 * betas) / (1.0 + 2.0 * betas * ahead))))
        f, at = quadratic(CURVATURE), jnp.ones(1)
        ends = np.asarray(losses(make, f, jnp.asarray(rates), jnp.asarray(betas), at, 3000))
        figures[1].append(int(np.sum(~(ends < 1e3))))
    expected, measured = figures
    words = ", ".join(
        f"of accuracy {{:.3f}} ± {{:.3f}} and of loss {{:.3f}} ± {{:.3f}} at {scale:g} times the curvature"
        for scale in SCALES
    )
    return Outcome(
        *shown(
            f"Nesterov over momentum, lost {words}; of 1000 on a quadratic of curvature {CURVATURE:g} momentum "
            "diverges in {:d}, Nesterov in {:d}",
            expected,
            measured,
        ),
        holds=max(measured[0], measured[2]) < 0.5,
        correction=Correction(
            f"Here it falls {measured[0]:.2f} ± {measured[1]:.2f} times as far in accuracy and {measured[2]:.2f} ± "
            f"{measured[3]:.2f} times in the loss, with one order of the mini-batches. At {SCALES[1]:g} times the "
            "curvature, where a network goes to and fro beyond its limits, it falls by "
            f"{1.0 - measured[4]:.0%} and {1.0 - measured[6]:.0%} less; but on a quadratic of curvature {CURVATURE:g} "
            f"{measured[9] / SETTINGS:.0%} of these settings diverge with Nesterov's method, "
            f"{measured[8] / SETTINGS:.0%} with momentum.",
            holds=close(measured[:8:2], expected[:8:2], 2e-2)
            and max(abs(m - e) for m, e in zip(measured[8:], expected[8:], strict=True)) <= 5
            and max(measured[4] + 3.0 * measured[5], measured[6] + 3.0 * measured[7]) < 1.0
            and measured[9] > measured[8],
        ),
    )
