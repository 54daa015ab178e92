r"""Charts of families of distributions: their parameters by name, and the Fisher information in them, in closed form.

Of a chart `raised` is $p \mapsto F^{-1}p$, `lowered` $v \mapsto Fv$ and `noise` a root of $F^{-1}$, each at a point,
on tuples of as many arrays as the chart has parameters. `proper` tells where a point stands for a distribution, and
`home` and `away` lead to the parameters in which charts of a family are told from each other, and back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._potentials import replicated_noise

Parts = tuple[Array, ...]


class Chart(NamedTuple):
    """One way to write a family."""

    names: tuple[str, ...]
    raised: Callable[[Parts, Parts], Parts]
    lowered: Callable[[Parts, Parts], Parts]
    noise: Callable[[Parts, Parts], Parts]
    proper: Callable[[Parts], Array]
    home: Callable[[Parts], Parts]
    away: Callable[[Parts], Parts]
    says: str = ""
    # That of the inverse in the coordinates, where slopes are not all there are, as along logits alike.
    divergence: Callable[[Parts, Parts], Parts] | None = None


def _diagonal(second: str, variance: Any, weight: Any, proper: Any, back: Any, says: str) -> Chart:
    r"""A chart (mean, second) of Gaussians, in which F is $\operatorname{diag}(1/\sigma^2, \mathtt{weight})$."""
    return Chart(
        ("mean", second),
        lambda x, p: (variance(x[1]) * p[0], p[1] / weight(x[1])),
        lambda x, v: (v[0] / variance(x[1]), weight(x[1]) * v[1]),
        lambda x, n: (jnp.sqrt(variance(x[1])) * n[0], n[1] / jnp.sqrt(weight(x[1]))),
        lambda x: proper(x[1]),
        lambda x: (x[0], variance(x[1])),
        lambda x: (x[0], back(x[1])),
        says,
    )


def _moments(x: Parts, a: Parts) -> Parts:
    """The covariance of (y, y^2) of Gaussians with mean and variance x, times a."""
    m, v = x
    cross = 2.0 * m * v
    return v * a[0] + cross * a[1], cross * a[0] + (4.0 * m**2 * v + 2.0 * v**2) * a[1]


def _precisions(x: Parts, a: Parts) -> Parts:
    """The inverse of the same."""
    m, v = x
    cross = -m / v**2
    return (2.0 * m**2 / v + 1.0) / v * a[0] + cross * a[1], cross * a[0] + 0.5 / v**2 * a[1]


def _moments_root(x: Parts, n: Parts) -> Parts:
    m, v = x
    return jnp.sqrt(v) * n[0], 2.0 * m * jnp.sqrt(v) * n[0] + 2.0**0.5 * v * n[1]


def _precisions_root(x: Parts, n: Parts) -> Parts:
    m, v = x
    return n[0] / jnp.sqrt(v) - 2.0**0.5 * m / v * n[1], n[1] / (2.0**0.5 * v)


def _of_natural(x: Parts) -> Parts:
    variance = -0.5 / x[1]
    return x[0] * variance, variance


def _of_moments(x: Parts) -> Parts:
    return x[0], x[1] - x[0] ** 2


def _turned(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)


def _apply(matrix: Array, vector: Array) -> Array:
    return jnp.einsum("...ij,...j->...i", matrix, vector)


def _symmetric(x: Array) -> Array:
    return 0.5 * (x + _turned(x))


def _solved(matrix: Array, other: Array) -> Array:
    return jnp.linalg.solve(matrix, other)


def _over(matrix: Array, vector: Array) -> Array:
    return _solved(matrix, vector[..., None])[..., 0]


def _cholesky_raised(x: Parts, p: Parts) -> Parts:
    # A change L A of L, with A lower triangular, has the square 2 |diag A|^2 + |A below it|^2.
    lower = jnp.tril(x[1])
    a = jnp.tril(_turned(lower) @ p[1]) / _weights(lower)
    return _apply(lower, _apply(_turned(lower), p[0])), lower @ a


def _cholesky_lowered(x: Parts, v: Parts) -> Parts:
    lower = jnp.tril(x[1])
    a = jnp.tril(_solved(lower, jnp.tril(v[1]))) * _weights(lower)
    return _over(_turned(lower), _over(lower, v[0])), jnp.tril(_solved(_turned(lower), a))


def _weights(lower: Array) -> Array:
    return 1.0 + jnp.eye(lower.shape[-1], dtype=lower.dtype)


def _covariance_raised(x: Parts, p: Parts) -> Parts:
    return _apply(x[1], p[0]), 2.0 * x[1] @ _symmetric(p[1]) @ x[1]


def _covariance_lowered(x: Parts, v: Parts) -> Parts:
    half = _solved(x[1], _turned(_solved(x[1], _symmetric(v[1]))))
    return _over(x[1], v[0]), 0.5 * _symmetric(half)


def _cholesky_noise(x: Parts, n: Parts) -> Parts:
    lower = jnp.tril(x[1])
    return _apply(lower, n[0]), lower @ (jnp.tril(n[1]) / jnp.sqrt(_weights(lower)))


def _covariance_noise(x: Parts, n: Parts) -> Parts:
    lower = jnp.linalg.cholesky(x[1])
    return _apply(lower, n[0]), 2.0**0.5 * lower @ _symmetric(n[1]) @ _turned(lower)


def _centered(x: Array) -> Array:
    return x - jnp.mean(x, axis=-1, keepdims=True)


def _replicated(x: Parts, p: Parts) -> Parts:
    # Over the sum, which is 1 but for rounding: the velocity has no part that would change it.
    mean = jnp.sum(x[0] * p[0], axis=-1, keepdims=True) / jnp.sum(x[0], axis=-1, keepdims=True)
    return (x[0] * (p[0] - mean),)


def _information(x: Parts, v: Parts) -> Parts:
    p = jax.nn.softmax(x[0], axis=-1)
    return (p * (v[0] - jnp.sum(p * v[0], axis=-1, keepdims=True)),)


def _single(name: str, weight: Any, proper: Any, home: Any, away: Any, says: str = "") -> Chart:
    """A chart of one parameter, by its Fisher information."""
    return Chart(
        (name,),
        lambda x, p: (p[0] / weight(x[0]),),
        lambda x, v: (weight(x[0]) * v[0],),
        lambda x, n: (n[0] / jnp.sqrt(weight(x[0])),),
        lambda x: proper(x[0]),
        lambda x: (home(x[0]),),
        lambda x: (away(x[0]),),
        says,
    )


def _everywhere(x: Array) -> Array:
    return jnp.isfinite(x)


def _same(x: Any) -> Any:
    return x


def _lower(x: Parts) -> Parts:
    return x[0], jnp.tril(x[1]) @ _turned(jnp.tril(x[1]))


_GAUSSIAN = {
    "log_std": _diagonal(
        "log_std", lambda s: jnp.exp(2.0 * s), lambda s: jnp.full_like(s, 2.0), _everywhere,
        lambda v: 0.5 * jnp.log(v), "a finite log_std",
    ),
    "std": _diagonal("std", lambda s: s**2, lambda s: 2.0 / s**2, lambda s: s > 0, jnp.sqrt, "std > 0"),
    "variance": _diagonal("variance", _same, lambda v: 0.5 / v**2, lambda v: v > 0, _same, "variance > 0"),
    "precision": _diagonal(
        "precision", lambda t: 1.0 / t, lambda t: 0.5 / t**2, lambda t: t > 0, lambda v: 1.0 / v, "precision > 0"
    ),
    "natural": Chart(
        ("linear", "quadratic"),
        lambda x, p: _precisions(_of_natural(x), p),
        lambda x, v: _moments(_of_natural(x), v),
        lambda x, n: _precisions_root(_of_natural(x), n),
        lambda x: x[1] < 0,
        _of_natural,
        lambda x: (x[0] / x[1], -0.5 / x[1]),
        "quadratic < 0",
    ),
    "moments": Chart(
        ("first", "second"),
        lambda x, p: _moments(_of_moments(x), p),
        lambda x, v: _precisions(_of_moments(x), v),
        lambda x, n: _moments_root(_of_moments(x), n),
        lambda x: x[1] > x[0] ** 2,
        _of_moments,
        lambda x: (x[0], x[1] + x[0] ** 2),
        "second > first^2",
    ),
}  # fmt: skip

_GAUSSIAN_VECTORS = {
    "cholesky": Chart(
        ("mean", "cholesky"),
        _cholesky_raised,
        _cholesky_lowered,
        _cholesky_noise,
        lambda x: jnp.diagonal(x[1], axis1=-2, axis2=-1) != 0,
        _lower,
        lambda x: (x[0], jnp.linalg.cholesky(x[1])),
        "no 0 on the diagonal of cholesky",
    ),
    "covariance": Chart(
        ("mean", "covariance"),
        _covariance_raised,
        _covariance_lowered,
        _covariance_noise,
        lambda x: jnp.isfinite(jnp.linalg.cholesky(x[1])),
        _same,
        _same,
        "a positive definite covariance",
    ),
}

_CATEGORICAL = {
    "logits": Chart(
        ("logits",),
        lambda x, p: (_centered(p[0] / jax.nn.softmax(x[0], axis=-1)),),
        _information,
        lambda x, n: (_centered(n[0] / jnp.sqrt(jax.nn.softmax(x[0], axis=-1))),),
        lambda x: jnp.isfinite(x[0]),
        _same,
        lambda x: (_centered(x[0]),),
        "finite logits",
        lambda x, _: (-_centered(1.0 / jax.nn.softmax(x[0], axis=-1)),),
    ),
    "probabilities": Chart(
        ("probabilities",),
        _replicated,
        lambda x, v: (v[0] / x[0],),
        lambda x, n: (replicated_noise(x[0], n[0]),),
        lambda x: x[0] >= 0,
        lambda x: (jnp.log(x[0]),),
        lambda x: (jax.nn.softmax(x[0], axis=-1),),
        "no negative probability",
    ),
}

_BERNOULLI = {
    "logit": _single(
        "logit", lambda z: jax.nn.sigmoid(z) * jax.nn.sigmoid(-z), _everywhere, _same, _same, "a finite logit"
    ),
    "probability": _single(
        "probability", lambda p: 1.0 / (p * (1.0 - p)), lambda p: (p > 0) & (p < 1),
        lambda p: jnp.log(p) - jnp.log1p(-p), jax.nn.sigmoid, "a probability between 0 and 1",
    ),
}  # fmt: skip

_POISSON = {
    "log_rate": _single("log_rate", jnp.exp, _everywhere, _same, _same, "a finite log_rate"),
    "rate": _single("rate", lambda r: 1.0 / r, lambda r: r > 0, jnp.log, jnp.exp, "rate > 0"),
}

# The charts of a family that lead to one home are of the same distributions; the first is taken where none is named.
FAMILIES: dict[str, dict[str, Chart]] = {
    "gaussian": _GAUSSIAN,
    "multivariate_gaussian": _GAUSSIAN_VECTORS,
    "categorical": _CATEGORICAL,
    "bernoulli": _BERNOULLI,
    "poisson": _POISSON,
}
