"""Momentum in some directions and Nesterov's method in the others: by curvature, and layer by layer."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from .._methods.probe import spectral_radius
from ..adapters.optax import transformation
from ..problems import network_digits
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim

CONDITION, COUNT, CUT = 100.0, 41, 0.1
HIDDEN, STEPS, BATCH, SEEDS, BETA = 16, 200, 64, 3, 0.9
RATES = np.geomspace(0.1, 0.45, 4)
Make = Callable[[Any, Any, Any], Method]


def _factors(rate: np.ndarray, beta: np.ndarray, curvature: float, ahead: bool) -> np.ndarray:
    r"""The larger root of $z^2 - (1 + \beta - \alpha\ell)z + \beta$, or of the same with $\beta(1 - \alpha\ell)$."""
    left = 1.0 - rate * curvature
    trace, determinant = ((1.0 + beta) * left, beta * left) if ahead else (beta + left, beta)
    root = np.sqrt((trace**2 - 4.0 * determinant).astype(complex))
    return np.maximum(np.abs(trace + root), np.abs(trace - root)) / 2.0


def _best(curvatures: np.ndarray, ahead: np.ndarray) -> tuple[float, float, float]:
    """The contraction of the slowest mode, and the learning rate and momentum at which it is least, on a fine grid."""
    rates, betas = np.meshgrid(np.linspace(0.05, 4.0, 600), np.linspace(0.4, 0.99, 600))
    slowest = np.zeros_like(rates)
    for curvature, one in zip(curvatures, ahead, strict=True):
        slowest = np.maximum(slowest, _factors(rates, betas, float(curvature), bool(one)))
    at = np.unravel_index(np.argmin(slowest), slowest.shape)
    return float(slowest[at]), float(rates[at]), float(betas[at])


@claim(
    "switch-by-curvature",
    "003.62",
    "Switched by curvature, Nesterov's method where it is flat and momentum where it is steep, they are steadier than "
    "either alone.",
)
def by_curvature() -> Outcome:
    """Contraction of the slowest mode a step at condition number 100, each way at the numbers that suit it best.

    Expected are the roots of its characteristic polynomials, measured the steps themselves.
    """
    curvatures = np.geomspace(1.0 / CONDITION, 1.0, COUNT)
    flat = curvatures < CUT
    expected, measured = [], []
    for ahead in (np.zeros(COUNT, bool), np.ones(COUNT, bool), flat):
        slowest, rate, beta = _best(curvatures, ahead)
        ways: tuple[Make, Make] = (momentum, nesterov)
        parts = [
            np.max(spectral_radius(make(None, rate, beta), curvatures[ahead == one]), initial=0.0)
            for one, make in enumerate(ways)
            if (ahead == one).any()
        ]
        expected.append(slowest)
        measured.append(float(max(parts)))
    return Outcome(
        *shown("contraction a step: momentum {:.4f}, Nesterov {:.4f}, switched {:.4f}", expected, measured),
        holds=measured[2] < min(measured[:2]) - 1e-3,
        correction=Correction(
            "It is between the two. At its best numbers momentum is the fastest everywhere; where both have the same "
            "numbers it is Nesterov's method that damps the steep directions.",
            holds=close(measured, expected, 1e-4) and measured[0] < measured[2] < measured[1],
            amends=False,
        ),
    )


def upper() -> Make:
    """The method of the upper layer, over momentum in the lower one."""
    return nesterov


def _batches() -> np.ndarray:
    return np.random.default_rng(0).integers(1797, size=(SEEDS, STEPS, BATCH))


def _trained(lower: Make, above: Make) -> np.ndarray:
    """The loss on all of the digits after a training, (rates, seeds)."""
    problem = network_digits(HIDDEN)
    objective: Any = problem.objective
    args, start = objective.args, problem.start

    def loss(x: Any, batch: Array) -> Array:
        part = {name: args[name][:, batch] for name in ("features", "labels")}
        return objective.fn(x, args | part)

    @eqx.filter_jit
    def ends(rates: Array, chosen: Array) -> Array:
        def end(rate: Array, batches: Array) -> Array:
            parts: Any = {
                "lower": transformation(lower(None, rate, BETA)),
                "upper": transformation(above(None, rate, BETA)),
            }
            labels: Any = {"hidden": "lower", "output": "upper"}
            optimizer = optax.partition(parts, labels)

            def step(carry: Any, batch: Array) -> tuple[Any, None]:
                x, state = carry
                updates, state = optimizer.update(jax.grad(loss)(x, batch), state, x)
                return (optax.apply_updates(x, updates), state), None

            (x, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), batches)
            return problem.objective.value(x)

        return jax.vmap(jax.vmap(end, (None, 0)), (0, None))(rates, chosen)

    return np.asarray(ends(jnp.asarray(RATES), jnp.asarray(_batches())))


def _by_hand(lower: bool, above: bool) -> np.ndarray:
    """The same by loops in NumPy, all trainings side by side; whether a layer looks ahead."""
    problem: Any = network_digits(HIDDEN)
    args = {name: np.asarray(value) for name, value in problem.objective.args.items()}
    features, labels, decay = args["features"], args["labels"], float(args["regularisation"])
    shape = (len(RATES), SEEDS)
    leaves = [(layer, name) for layer in ("hidden", "output") for name in ("weights", "bias")]
    x = {
        (layer, name): np.broadcast_to(value, (*shape, *np.shape(value))).copy()
        for layer, name in leaves
        for value in [np.asarray(problem.start[layer][name])]
    }
    moved = {leaf: np.zeros_like(value) for leaf, value in x.items()}
    rates = RATES.reshape(-1, 1, 1, 1)

    def forward(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        active = np.tanh(np.swapaxes(x["hidden", "weights"], -1, -2) @ z + x["hidden", "bias"][..., None])
        return active, np.swapaxes(x["output", "weights"], -1, -2) @ active + x["output", "bias"][..., None]

    for batch in np.swapaxes(_batches(), 0, 1):
        z, y = np.swapaxes(features[:, batch], 0, 1), np.swapaxes(labels[:, batch], 0, 1)
        active, logits = forward(z)
        odds = np.exp(logits - logits.max(axis=-2, keepdims=True))
        gap = (odds / odds.sum(axis=-2, keepdims=True) - y) / BATCH
        back = (x["output", "weights"] @ gap) * (1.0 - active**2)
        slopes = {
            ("output", "weights"): active @ np.swapaxes(gap, -1, -2), ("output", "bias"): gap.sum(axis=-1),
            ("hidden", "weights"): z @ np.swapaxes(back, -1, -2), ("hidden", "bias"): back.sum(axis=-1),
        }  # fmt: skip
        for leaf, slope in slopes.items():
            slope = slope + decay * x[leaf]
            moved[leaf] = BETA * moved[leaf] + slope
            ahead = lower if leaf[0] == "hidden" else above
            step = slope + BETA * moved[leaf] if ahead else moved[leaf]
            x[leaf] = x[leaf] - rates.reshape(rates.shape[: step.ndim]) * step
    _, logits = forward(features)
    most = logits.max(axis=-2)
    entropy = np.mean(
        most + np.log(np.exp(logits - most[..., None, :]).sum(axis=-2)) - (labels * logits).sum(axis=-2), -1
    )
    squares = sum(np.sum(value.reshape(*shape, -1) ** 2, axis=-1) for value in x.values())
    return entropy + 0.5 * decay * squares


@claim(
    "switch-by-layer",
    "003.63",
    "Layer by layer, momentum in the lower layers and Nesterov's method in the upper ones, trains better than either.",
)
def by_layer() -> Outcome:
    """A network of two layers on digits by mini-batches, the same ones for all: the loss at the best of some rates.

    Expected are loops in NumPy.
    """
    ways = ((momentum, momentum), (nesterov, nesterov), (momentum, upper()))
    measured = [float(np.mean(_trained(*way), axis=1).min()) for way in ways]
    expected = [float(np.mean(_by_hand(*way), axis=1).min()) for way in ((False, False), (True, True), (False, True))]
    return Outcome(
        *shown("loss: momentum {:.4f}, Nesterov {:.4f}, layer by layer {:.4f}", expected, measured),
        holds=measured[2] < 0.98 * min(measured[:2]),
        correction=Correction(
            "It is no better than Nesterov's method in all layers: on a network of two layers it comes to a loss "
            "between those of the two.",
            holds=close(measured, expected, 1e-6) and measured[1] <= measured[2] <= measured[0],
            amends=False,
        ),
    )
