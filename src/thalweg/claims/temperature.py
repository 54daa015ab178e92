"""Learning rate, batch and momentum as a temperature: at leading order, and at the step that is made."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from .._dictionary.conventions import Hyperparameters
from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.method import Method
from .._methods.probe import largest_stable_learning_rate
from .._objectives.finite_sum import FiniteSum
from ..analysis import gradient_noise, stationary_covariance
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from .estimates import SAMPLES, noise_of_batches

BATCH, BETA = 8, 0.9
PRODUCTS = (0.001, 0.1, 1.0)
_WORDS = "variance over T/ℓ: " + ", ".join(f"{{:.5f}} at αℓ = {product:g}" for product in PRODUCTS)


def _samples() -> FiniteSum:
    """A mean of squares, whose gradient noise is that of its samples."""
    data = np.random.default_rng(0).gamma(2.0, size=(100, 1))
    return FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), data, batch_size=BATCH)


def _widths(beta: float) -> list[float]:
    r"""The exact variance over that of $e^{-f/T}$, T by the dictionary, with the noise measured on the samples."""
    noise = gradient_noise(_samples(), jnp.zeros(1))
    assert noise.covariance is not None
    found = []
    for product in PRODUCTS:
        method = momentum(None, product, beta) if beta else gradient_descent(None, product)
        temperature = Hyperparameters(product, beta, batch_size=BATCH).physical().temperature
        assert temperature is not None
        exact = stationary_covariance(method, 1.0, noise.of_a_step[0, 0])
        found.append(float(exact / (temperature * noise.covariance[0, 0])))
    return found


def _wider(beta: float) -> list[float]:
    r"""$1/(1 - \alpha\ell/(2 + 2\beta))$: see `variance`, over $T/\ell$."""
    return [1.0 / (1.0 - product / (2.0 + 2.0 * beta)) for product in PRODUCTS]


@claim(
    "sgd-temperature",
    "004.10; mandt2017, section 3",
    "The noise of mini-batches holds SGD at the temperature T = αC/2B: on a bowl its variance is T/ℓ.",
)
def sgd_temperature() -> Outcome:
    r"""$\Sigma = (1 - \alpha\ell)^2\Sigma + \alpha^2C/B$, so that $\Sigma = (T/\ell)/(1 - \alpha\ell/2)$."""
    expected, measured = _wider(0.0), _widths(0.0)
    return Outcome(
        *shown(_WORDS, expected, measured),
        holds=close(measured, [1.0] * 3, 1e-2),
        correction=Correction(
            f"At leading order in αℓ. At the step that is made the variance is T/ℓ(1 - αℓ/2): {measured[2]:.3g} times "
            "as much at αℓ = 1, and without bound towards αℓ = 2.",
            holds=close(measured, expected, 1e-6),
        ),
    )


@claim(
    "momentum-temperature",
    "mandt2017, of SGD with momentum",
    "Momentum raises the temperature by 1/(1 - β): T = αC/2B(1 - β), on a bowl its variance is T/ℓ.",
)
def momentum_temperature() -> Outcome:
    r"""$\Sigma = (T/\ell)/(1 - \alpha\ell/(2 + 2\beta))$."""
    expected, measured = _wider(BETA), _widths(BETA)
    return Outcome(
        *shown(f"β = {BETA:g}: {_WORDS}", expected, measured),
        holds=close(measured, [1.0] * 3, 1e-2),
        correction=Correction(
            "At leading order in αℓ. At the step that is made the variance is T/ℓ(1 - αℓ/(2 + 2β)): "
            f"{measured[2]:.3g} times as much at αℓ = 1 and β = {BETA:g}.",
            holds=close(measured, expected, 1e-6),
        ),
    )


def variance(product: float, beta: float, ahead: float) -> float:
    r"""On curvature 1 with gradient noise 1 and the look-ahead a, of a two-term recurrence with $p = \beta - \alpha a$.

    $$\theta^+ = (1 + p - \alpha)\theta - p\,\theta^- - \alpha\xi,\qquad
      \Sigma = \frac{\alpha(1 + p)}{(1 - p)(2 + 2p - \alpha)}$$
    """
    p = beta - product * ahead
    return product * (1.0 + p) / ((1.0 - p) * (2.0 + 2.0 * p - product))


BATCHES: tuple[int, ...] = (1, 2, 4)
DRAWN: Callable[[int], float] = noise_of_batches


@claim(
    "noise-narrows",
    "004.10, 004.13, 004.14; mandt2017, section 3, and often said of learning rate and batch size",
    "The smaller the learning rate, and the larger the batch, the narrower the law that SGD, momentum and Nesterov's "
    "method settle to.",
)
def narrows() -> Outcome:
    """The exact variance grows all over the stable range of the learning rate, and falls with the batch.

    The noise of a batch is that of the gradients of all batches of its size that can be drawn of six samples.
    """
    makers: tuple[tuple[Callable[..., Method], tuple[float, ...], float], ...] = (
        (gradient_descent, (), 0.0),
        (momentum, (BETA,), 0.0),
        (nesterov, (BETA,), BETA),
    )
    expected, measured, monotone = [], [], []
    noises = [DRAWN(size) for size in BATCHES]
    for make, beta, ahead in makers:
        limit = largest_stable_learning_rate(make(None, 0.1, *beta), 1.0)
        rates = np.concatenate([np.geomspace(1e-3, 0.1, 10), np.linspace(0.15, 0.99, 20)]) * limit
        found = np.array([[float(stationary_covariance(make(None, rate, *beta), 1.0, noise)) for rate in rates]
                          for noise in noises])  # fmt: skip
        monotone.append(bool(np.all(np.diff(found, axis=1) > 0.0) and np.all(np.diff(found, axis=0) < 0.0)))
        for batch, row in ((0, 5), (2, -1)):
            measured.append(float(found[batch, row]))
            drawn = SAMPLES.var() / BATCHES[batch]
            expected.append(float(variance(float(rates[row]), sum(beta, 0.0), ahead) * drawn))
    words = ", ".join(f"{name} {{:.4g}} and {{:.4g}}" for name in ("SGD", "momentum", "Nesterov"))
    return Outcome(
        *shown(f"variance at a small rate and a batch of 1, close to the limit and a batch of 4: {words}",
               expected, measured),
        holds=all(monotone) and close(measured, expected, 1e-4),
    )  # fmt: skip
