"""Errors of the gradient: in small batches, whose curvature is in error too, and under a friction that fades as 3/t."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from .._objectives.finite_sum import FiniteSum
from .._objectives.objective import AbstractObjective, Batch
from ..analysis import stationary_covariance
from ..dynamics import NesterovFlow
from ..schemes import Draws, Lookahead
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from .temperature import variance

BETA = 0.9
PRODUCTS: tuple[float, ...] = (0.01, 0.1, 1.0, 1.3)
MAKERS: dict[str, tuple[Callable[..., Method], float]] = {"momentum": (momentum, 0.0), "Nesterov": (nesterov, BETA)}


def _matrices(make: Callable[..., Method], product: float) -> tuple[np.ndarray, np.ndarray]:
    """A step on the mean of two samples, of curvatures 0 and 2, and what one of them adds or takes away."""
    f = FiniteSum(lambda x, s: 0.5 * jnp.sum(s * x**2), np.array([[0.0], [2.0]]), batch_size=1)
    method, found = make(f, product, BETA), []
    for sample in (0, 1):
        columns = []
        for x, eta in np.eye(2):
            state: Any = method.step(method.init(jnp.array([x]), jnp.array([eta])), Draws(batch=jnp.array([sample])))
            columns.append([float(state.position[0]), float(state.velocity[0])])
        found.append(np.array(columns).T)
    return 0.5 * (found[0] + found[1]), 0.5 * (found[1] - found[0])


def _smallest_batch(make: Callable[..., Method], product: float) -> float:
    r"""The batch below which the second moments grow, for samples whose curvatures deviate by as much as their mean.

    With A on the mean and N on an error of the curvature, $\Sigma^+ = A\Sigma A^\top + N\Sigma N^\top/B$.
    """
    mean, error = _matrices(make, product)
    gain = np.linalg.solve(np.eye(4) - np.kron(mean, mean), np.kron(error, error))
    return float(np.max(np.abs(np.linalg.eigvals(gain))))


def _smallest_predicted(product: float, ahead: float) -> float:
    r"""The variance, at unit noise, of the point where the gradient is taken, for from there the error is fed back.

    That of $\theta + av$ is $1 + 2a(1 + a)\alpha\ell/(1 + p)$ times that of θ, $p = \beta - \alpha\ell a$.
    """
    p = BETA - product * ahead
    return (1.0 + 2.0 * ahead * (1.0 + ahead) * product / (1.0 + p)) * variance(product, BETA, ahead)


@claim(
    "nesterov-in-small-batches",
    "003.49",
    "In small batches Nesterov's method is more sensitive to errors of the gradient than momentum.",
)
def small_batches() -> Outcome:
    """Nesterov's over momentum's: the variance by errors of the gradient, and the smallest batch that converges.

    The errors are those of the mean of a batch: alike at every point, or of its curvature. Neither ratio depends on B.
    """
    expected, measured = [], []
    makers = [make for make, _ in MAKERS.values()]
    for product in PRODUCTS:
        expected.append(variance(product, BETA, BETA) / variance(product, BETA, 0.0))
        expected.append(_smallest_predicted(product, BETA) / _smallest_predicted(product, 0.0))
        widths = [float(stationary_covariance(make(None, product, BETA), 1.0, 1.0)) for make in makers]
        batches = [_smallest_batch(make, product) for make in makers]
        measured += [widths[1] / widths[0], batches[1] / batches[0]]
    words = ", ".join(f"{{:.4f}} and {{:.4f}} at αℓ = {product:g}" for product in PRODUCTS)
    return Outcome(
        *shown(f"variance and smallest batch over momentum's {words}", expected, measured),
        holds=min(measured) > 1.0,
        correction=Correction(
            "To errors of the curvature, near its stability limit alone "
            f"(αℓ = {PRODUCTS[-1]:g} of {(2.0 + 2.0 * BETA) / (1.0 + 2.0 * BETA):.3f} at β = {BETA:g}). Up to "
            f"αℓ = {PRODUCTS[-2]:g} it is less sensitive than momentum, whatever the batch, to these and to those "
            "that are alike at every point.",
            holds=close(measured, expected, 1e-6) and measured[-1] > 1.0 and max(measured[:-1]) < 1.0,
        ),
    )


class Pushed(AbstractObjective):
    """A bowl of curvature 1, and the error of the gradient as the mini-batch."""

    def value(self, x: Float[Array, " 1"], batch: Batch = None) -> Float[Array, ""]:
        push: Any = 0.0 if batch is None else batch
        return jnp.sum(0.5 * x**2 + push * x)


PAIRS, COUNTS = (0.01, 0.5), (4000, 16000)


def _spread(fraction: float | None, product: float, steps: int) -> float:
    """The variance after some steps: how much each error moves the end, squared and summed, by reverse mode."""
    if fraction is None:
        method = momentum(Pushed(), product, BETA)
    else:
        method = Method(NesterovFlow(Pushed()), Lookahead(fraction, "zero"), product**0.5)

    def end(errors: Array) -> Array:
        def step(state: Any, error: Array) -> Any:
            return method.step(state, Draws(batch=error)), None

        return jax.lax.scan(step, method.init(jnp.zeros(1)), errors)[0].position[0]

    return float(jnp.sum(jax.jit(jax.grad(end))(jnp.zeros(steps)) ** 2))


def _spread_by_hand(ahead: float | None, product: float, steps: int) -> float:
    """The same by the covariance, step by step; of 3/t the momentum is (k - 3/2)/(k + 3/2), the rate αk/(k + 3/2)."""
    spread = np.zeros((2, 2))
    for k in range(steps):
        beta, rate = (BETA, product) if ahead is None else ((k - 1.5) / (k + 1.5), product * k / (k + 1.5))
        look = 0.0 if ahead is None else ahead * beta
        kick = np.array([-rate, beta - rate * look])
        matrix = np.stack([np.array([1.0, 0.0]) + kick, kick])
        spread = matrix @ spread @ matrix.T + rate**2
    return float(spread[0, 0])


LOOKS: dict[str, float | None] = {"3/t": 0.0, "3/t and look-ahead": 1.0, f"momentum {BETA:g}": None}


@claim(
    "look-ahead-and-fading-friction-under-noise",
    "003.54",
    "The look-ahead term with the friction 3/t explains why Nesterov's method is robust to noise.",
)
def under_noise() -> Outcome:
    """Variance after 4,000 and 16,000 steps on a bowl with unit noise in the gradient, flat and steep.

    Beside it the friction 3/t without the look-ahead, and momentum of constant friction.
    """
    expected = [_spread_by_hand(look, p, n) for p in PAIRS for look in LOOKS.values() for n in COUNTS]
    measured = [_spread(look, p, n) for p in PAIRS for look in LOOKS.values() for n in COUNTS]
    each = ", ".join(f"{name} {{:.4f}} and {{:.4f}}" for name in LOOKS)
    words = "; ".join(f"αℓ = {product:g}: {each}" for product in PAIRS)
    flat, steep = measured[:6], measured[6:]
    bounded = [found[3] < 1.1 * found[2] for found in (flat, steep)]
    return Outcome(
        *shown(f"variance {words}", expected, measured),
        holds=all(bounded) and max(flat[3] / flat[5], steep[3] / steep[5]) < 1.1,
        correction=Correction(
            "The look-ahead does: it damps along the curvature and bounds the noise. The friction 3/t works against "
            "it, for it fades and the noise adds up: without the look-ahead the variance grows as the steps, and with "
            f"it is {flat[3] / flat[5]:.1f} times that of momentum {BETA:g} at αℓ = {PAIRS[0]:g}, "
            f"{steep[3] / steep[5]:.2f} times at {PAIRS[1]:g}.",
            holds=close(measured, expected, 1e-6)
            and all(bounded)
            and min(flat[1] / flat[0], steep[1] / steep[0]) > 3.0
            and steep[3] < steep[5]
            and flat[3] > flat[5],
        ),
    )
