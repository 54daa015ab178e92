"""Gradients of random subsets: what they estimate, how far off they are, and what SGD makes of that."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._methods.aliases import gradient_descent
from .._methods.method import Method
from .._methods.stationary import stationary_covariance
from .._objectives.finite_sum import FiniteSum
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim

# Of which the mean is 0.4 and the law is not symmetric.
SAMPLES = np.array([-1.0, -0.5, 0.0, 0.1, 0.3, 3.5])


def pulled(x: Any, sample: Any) -> Any:
    """Half the square of a distance, whose gradient is off by the sample."""
    return 0.5 * jnp.sum((x - sample) ** 2)


LOSS: Callable = pulled


@claim(
    "subset-estimates-the-gradient",
    "004.5, 004.13",
    "The gradient of a random subset is an estimate of the full one; the larger the batch, the smaller its variance.",
)
def estimates() -> Outcome:
    r"""Over all 20 batches of 3 of 6 samples, and all 15 of 2 and of 4: mean, and variance, $C(N - B)/(B(N - 1))$."""
    f, x = FiniteSum(LOSS, jnp.asarray(SAMPLES)), jnp.asarray(1.0)
    whole, spread = 1.0 - SAMPLES.mean(), SAMPLES.var()
    expected, measured = [], []
    for size in (2, 3, 4):
        rows = [jnp.asarray(rows) for rows in itertools.combinations(range(6), size)]
        slopes = np.array([float(f.gradient(x, batch)) for batch in rows])
        measured += [float(slopes.mean()), float(slopes.var())]
        expected += [float(whole), float(spread * (6 - size) / (size * 5))]
    return Outcome(
        *shown(
            "mean {:.4f} and variance {:.4f} of two, {:.4f} and {:.4f} of three, {:.4f} and {:.4f} of four",
            expected,
            measured,
        ),
        holds=close(measured, expected, 1e-9) and measured[1] > measured[3] > measured[5],
    )


def noise_of_batches(size: int) -> float:
    """The variance of the gradient over all ordered batches of six samples, drawn with replacement."""
    f, x = FiniteSum(pulled, jnp.asarray(SAMPLES)), jnp.asarray(1.0)
    rows = jnp.asarray(list(itertools.product(range(len(SAMPLES)), repeat=size)))
    return float(np.var(np.asarray(_gradients(f, x, rows))))


@eqx.filter_jit
def _gradients(f: FiniteSum, x: Array, rows: Array) -> Array:
    return jax.vmap(lambda batch: f.gradient(x, batch))(rows)


@eqx.filter_jit
def _batches(f: FiniteSum, keys: Array) -> Array:
    return jax.vmap(lambda key: f.gradient(jnp.asarray(0.0), f.draw(key)))(keys)


SIZES = (1, 64)


@claim("gradient-error-is-normal", "004.6", "The error of the gradient of a mini-batch is normal, approximately.")
def normal() -> Outcome:
    r"""The excess of the fourth moment, 0 of a normal law, over 40,000 batches: of one sample over B."""
    data = np.random.default_rng(0).exponential(size=2000)
    apart = data - data.mean()
    excess = float(np.mean(apart**4) / np.mean(apart**2) ** 2 - 3.0)
    expected, measured = [], []
    for size in SIZES:
        f = FiniteSum(pulled, jnp.asarray(data), size)
        slopes = np.asarray(_batches(f, jax.random.split(jax.random.key(1), 40_000)))
        slopes = slopes - slopes.mean()
        measured.append(float(np.mean(slopes**4) / np.mean(slopes**2) ** 2 - 3.0))
        expected.append(excess / size)
    words = " and ".join(f"{{:.2f}} of batches of {size}" for size in SIZES)
    return Outcome(
        *shown(f"excess {words}", expected, measured),
        holds=max(map(abs, measured)) < 0.3,
        correction=Correction(
            "For batches that are not small: it is what the central limit theorem says of a mean, and of a batch of "
            "one the error has the law of the samples themselves.",
            holds=abs(measured[0] - expected[0]) < 1.0 and abs(measured[1] - expected[1]) < 0.15,
        ),
    )


NOISE, ALPHAS = 2.0, (0.1, 0.01)
SGD: Callable[[float], Method] = lambda rate: gradient_descent(None, rate)  # noqa: E731


def _variances() -> tuple[list[float], list[float]]:
    r"""Of SGD on a bowl of curvature 1: $\alpha\sigma^2/(2 - \alpha)$, and by the method's own step."""
    expected = [rate * NOISE**2 / (2.0 - rate) for rate in ALPHAS]
    return expected, [float(np.squeeze(stationary_covariance(SGD(rate), 1.0, NOISE**2))) for rate in ALPHAS]


@claim("sgd-is-langevin", "004.7", "SGD is the Langevin equation θ' = -∇L + σξ.")
def is_langevin() -> Outcome:
    r"""The variance on a bowl with gradients of standard deviation σ = 2, over $\sigma^2/2$, that of the equation."""
    expected, measured = ([value / (0.5 * NOISE**2) for value in found] for found in _variances())
    words = ", ".join(f"{{:.4f}} at a learning rate of {rate:g}" for rate in ALPHAS)
    return Outcome(
        *shown(f"variance over that of the equation {words}", expected, measured),
        holds=close(measured, [1.0] * len(ALPHAS), 0.1),
        correction=Correction(
            "With the learning rate in the noise, θ' = -∇L + √α σξ: the variance goes as α.",
            holds=close(measured, expected, 1e-9) and close(measured, list(ALPHAS), 0.1),
        ),
    )


@claim(
    "noise-is-the-gradients-variance",
    "004.9",
    "In the stationary law exp(-L/σ²) σ² is the variance of a mini-batch's gradient.",
)
def is_the_variance() -> Outcome:
    r"""The variance on a bowl of curvature 1 over σ², that of exp(-L/σ²), at two learning rates."""
    expected, measured = ([value / NOISE**2 for value in found] for found in _variances())
    words = ", ".join(f"{{:.4f}} at a learning rate of {rate:g}" for rate in ALPHAS)
    return Outcome(
        *shown(f"variance over σ² {words}", expected, measured),
        holds=close(measured, [1.0] * len(ALPHAS), 0.1),
        correction=Correction(
            "In its place stands the temperature T = ασ²/2: the law depends on the learning rate, and is the narrower "
            "the smaller that is.",
            holds=close(measured, expected, 1e-9) and close(measured, [0.5 * rate for rate in ALPHAS], 0.1),
            amends=False,
        ),
    )


START = 0.0


@claim("sgd-visits-all-values", "004.12", "Run for ever, SGD visits all values.")
def visits() -> Outcome:
    r"""The largest |θ| in 100,000 steps at α = 0.5 on two samples at ±1, and of the equation with noise as strong.

    Without a bound there would be $\sqrt{2\log n}$ deviations. $\theta^+ = (\theta \pm 1)/2$ never leaves [-1, 1].
    """
    steps = 100_000
    method = gradient_descent(FiniteSum(LOSS, jnp.array([-1.0, 1.0]), 1), 0.5)
    measured = float(_farthest(method, jax.random.key(0), steps))
    return Outcome(
        *shown("largest |θ| {:.3f}", [1.0], [measured]),
        holds=measured > 2.0,
        correction=Correction(
            "The equation with noise that is normal does. SGD with finitely many samples stays within what steps "
            "towards them can reach.",
            holds=0.99 < measured <= 1.0,
        ),
    )


@eqx.filter_jit
def _farthest(method: Method, key: Array, steps: int) -> Array:
    def step(k: Array, carry: tuple) -> tuple:
        state, far = carry
        state = method.step(state, method.draw(key, state.position, k))
        return state, jnp.maximum(far, jnp.abs(state.position))

    state = method.init(jnp.asarray(START))
    return jax.lax.fori_loop(0, steps, step, (state, jnp.zeros(())))[1]
