"""The noise of a gradient taken on a mini-batch."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._errors import InputError, as_key, check_count
from .._tree import ravel, size, unraveler
from .._typed import typed
from .at_start import explain
from .finite_sum import FiniteSum
from .objective import as_position

# A matrix of more numbers than this is no longer looked at.
_LARGEST = 4096
_ABREAST = 256


@dataclasses.dataclass(frozen=True)
class GradientNoise:
    r"""Spread of the gradients of single samples around their mean.

    Attributes:
        mean: $\nabla f$, array (d,), in the order of the raveled parameters.
        covariance: C of one sample's gradient, array (d, d); None where d is greater than 4096.
        trace: its trace, $\mathbb{E}\|g_i - \nabla f\|^2$.
        covariance_error: standard error of each entry, None where all samples were used.
        trace_error: likewise.
        samples: how many samples were looked at.
        factor: what a sample's covariance is multiplied by for one step of the objective: $1/B$ with replacement,
            $\frac1B\frac{N-B}{N-1}$ without (in epochs too, whose steps are not independent), 0 for the full gradient.
    """

    mean: np.ndarray
    covariance: np.ndarray | None
    trace: float
    covariance_error: np.ndarray | None
    trace_error: float | None
    samples: int
    factor: float

    @property
    def of_a_step(self) -> np.ndarray:
        """The covariance of the gradient of one step, as `stationary_covariance` takes it."""
        if self.covariance is None:
            raise InputError(f"with {self.mean.size} parameters the covariance is not kept; its trace is")
        return self.factor * self.covariance

    @property
    def scale(self) -> float:
        r"""$\operatorname{tr} C/\|\nabla f\|^2$, the batch size at which noise and gradient are as large."""
        square = float(self.mean @ self.mean)
        return float(np.divide(self.trace, square)) if square else float("inf")


@typed()
def gradient_noise(objective: FiniteSum, x: PyTree, samples: int | None = None, key: Any = None) -> GradientNoise:
    r"""The covariance of the gradient of one sample at x, and of a step's mini-batch.

    $$C = \frac1N\sum_{i=1}^N (g_i - \nabla f)(g_i - \nabla f)^\top,\qquad g_i = \nabla\,\mathtt{fn}(x, s_i)$$

    Over all samples it is exact. Over some of them it is estimated, without bias, with a standard error of every entry.

    Arguments:
        objective: a `tw.FiniteSum`.
        x: the parameters, a pytree of float arrays.
        samples: how many samples to look at, drawn without replacement; all of them if None.
        key: a seed or JAX key, to draw them.

    Returns:
        a `GradientNoise`: `.covariance`, `.of_a_step`, `.scale`.

    Raises:
        InputError: the objective is no finite sum, or more samples are asked for than there are.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s)**2), jnp.array([[0.0], [2.0]]), batch_size=4)
    >>> noise = tw.analysis.gradient_noise(f, jnp.zeros(1))
    >>> noise.covariance.tolist(), noise.of_a_step.tolist()
    ([[1.0]], [[0.25]])

    Reference: for the scale, McCandlish et al. (2018), equation 2.9.
    """
    if not isinstance(objective, FiniteSum):
        raise InputError(f"objective must be a tw.FiniteSum, but is {objective!r}")
    if objective.state is not None:
        raise InputError("the loss of one sample depends on the others where the objective has a state; leave it out")
    x = as_position(x)
    count = objective.samples
    seen = count if samples is None else check_count("samples", samples, at_least=2)
    if seen > count:
        raise InputError(f"samples must be at most the {count} there are, but is {seen}")
    rows = np.arange(count)
    if seen < count:
        if key is None:
            raise InputError("to draw some of the samples give a key, such as key=0")
        rows = np.asarray(jax.random.choice(as_key(key), count, (seen,), replace=False))
    try:
        gradients = np.asarray(_gradients(objective.whole(), x, jnp.asarray(rows)), float)
    except Exception:
        explain(objective.whole(), x)
        raise
    return _summary(objective, gradients, size(x))


@eqx.filter_jit
def _gradients(objective: FiniteSum, x: PyTree, rows: Array) -> Array:
    """The gradients of single samples, (n, d)."""
    cut, flat = unraveler(x), ravel(x)

    def one(row: Array) -> Array:
        sample = jax.tree.map(lambda leaf: leaf[row], objective.data)
        return jax.grad(lambda y: objective.fn(cut(y), sample))(flat)

    return jax.lax.map(one, rows, batch_size=_ABREAST)


def _summary(objective: FiniteSum, gradients: np.ndarray, d: int) -> GradientNoise:
    n, count = len(gradients), objective.samples
    whole = n == count
    mean = gradients.mean(axis=0)
    apart = gradients - mean
    # Of some samples the unbiased estimate of C, whose sum over all divides by N.
    weight = 1.0 / n if whole else (count - 1) / (count * (n - 1))
    squares = np.einsum("ij,ij->i", apart, apart)
    trace = float(weight * squares.sum())
    covariance = weight * apart.T @ apart if d <= _LARGEST else None
    covariance_error = trace_error = None
    if not whole:
        # Of a mean of n products drawn without replacement.
        shrink = np.sqrt((1.0 - n / count) / n)
        trace_error = float(squares.std(ddof=1) * shrink)
        if covariance is not None:
            second = (apart**2).T @ apart**2 / n
            spread = np.maximum(second - (apart.T @ apart / n) ** 2, 0.0) * n / (n - 1)
            covariance_error = np.sqrt(spread) * shrink
    return GradientNoise(mean, covariance, trace, covariance_error, trace_error, n, _factor(objective))


def _factor(objective: FiniteSum) -> float:
    if not objective.draws_samples:
        return 0.0
    assert objective.batch_size is not None
    batch, count = objective.batch_size, objective.samples
    return 1.0 / batch if objective.replace else (count - batch) / (batch * (count - 1))
