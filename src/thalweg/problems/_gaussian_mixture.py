"""A mixture of Gaussians."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key

from .._errors import InputError, is_real
from .._objectives.objective import Objective
from .._typed import typed
from ._gaussian import as_vector
from ._moments import exact
from ._problem import Problem

_MEANS = ((-3.0, 0.0), (2.0, 2.0), (2.0, -3.0))
_WEIGHTS = (0.5, 0.3, 0.2)
_COVARIANCES = (((1.0, 0.4), (0.4, 0.5)), ((0.5, 0.0), (0.0, 1.0)), ((0.8, -0.3), (-0.3, 0.6)))


def _value(x: Float[Array, " d"], args: dict[str, Float[Array, "..."]]) -> Float[Array, ""]:
    y = jnp.einsum("kij,kj->ki", args["whitener"], x[None] - args["means"])
    return -jax.nn.logsumexp(args["log_height"] - 0.5 * jnp.sum(y * y, axis=1))


@typed()
def gaussian_mixture(
    means: ArrayLike | Sequence[Sequence[float | int]] = _MEANS,
    weights: ArrayLike | Sequence[float | int] | None = None,
    covariances: ArrayLike | Sequence[Sequence[float | int]] | Sequence[Sequence[Sequence[float | int]]] | None = None,
) -> Problem:
    r"""A mixture of Gaussians: several modes, of their own weights and shapes.

    $$L(x) = -\log\sum_{k=1}^K \frac{w_k}{\sqrt{\det C_k}}\, e^{-\frac12 (x - m_k)^\top C_k^{-1} (x - m_k)}$$

    from the mean of the first mode, moved by a half in every coordinate.

    Arguments:
        means: $m$, shape (K, d); three in the plane by default.
        weights: $w$, shape (K,), greater than 0, in any unit; if None, equal, or 1/2, 3/10 and 1/5 for the default
            means.
        covariances: $C$, shape (K, d, d), or (d, d) for one that all modes share; symmetric and positive definite.
            If None, the identity, or three different ones for the default means.

    Returns:
        The problem, with the moments at temperature 1 (mean $\sum_k w_k m_k$, covariance
        $\sum_k w_k (C_k + m_k m_k^\top)$ less that of the mean) and a sampler. No minimum is stated.

    Raises:
        InputError: the shapes do not fit together, a weight is not positive, or a covariance not positive definite.

    >>> import thalweg as tw
    >>> moments = tw.problems.gaussian_mixture([[-2.0], [2.0]], weights=[3, 1]).moments
    >>> moments.mean.tolist(), moments.covariance.tolist()
    ([-1.0], [[4.0]])

    Reference: McLachlan and Peel (2000).
    """
    default = means is _MEANS
    m = _array("means", means, 2)
    k, d = m.shape
    shares = as_vector("weights", (_WEIGHTS if default else np.ones(k)) if weights is None else weights, k)
    if shares.min() <= 0:
        raise InputError(f"weights must be greater than 0, but are {shares.tolist()}")
    w = shares / shares.sum()
    given = (_COVARIANCES if default else np.eye(d)) if covariances is None else covariances
    c = _covariances(given, k, d)
    factors = np.linalg.cholesky(c)
    log_height = np.log(w) - np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    args = {"means": m, "whitener": np.linalg.inv(factors), "log_height": log_height}
    spread, log_weight, centres = (jnp.asarray(value, float) for value in (factors, np.log(w), m))

    def sampler(key: Key[Array, ""], count: int) -> Float[Array, "count d"]:
        which, within = jax.random.split(key)
        mode = jax.random.categorical(which, log_weight, shape=(count,))
        z = jax.random.normal(within, (count, d))
        return centres[mode] + jnp.einsum("nij,nj->ni", spread[mode], z)

    mean = w @ m
    outer = np.einsum("k,ki,kj->ij", w, m - mean, m - mean)
    return Problem(
        name="gaussian-mixture",
        objective=Objective(fn=_value, args={name: jnp.asarray(value, float) for name, value in args.items()}),
        start=jnp.asarray(m[0] + 0.5, float),
        description=f"a mixture of {k} Gaussian{'s' if k > 1 else ''} in {d} dimension{'s' if d > 1 else ''}",
        reference="mclachlan2000",
        moments=exact(
            mean, np.einsum("k,kij->ij", w, c) + outer, "the mean within the modes and the spread of their means"
        ),
        log_normaliser=float(0.5 * d * np.log(2 * np.pi)),
        sampler=sampler,
    )


def _array(what: str, value: object, ndim: int) -> np.ndarray:
    if not is_real(value):
        raise InputError(f"{what} must be rows of numbers, all of one length, but is {value!r}")
    array = np.asarray(value, dtype=float)
    if array.ndim != ndim or array.size == 0:
        raise InputError(f"{what} must have shape (K, d), but has shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise InputError(f"{what} must be finite, but holds NaN or infinity")
    return array


def _covariances(value: object, k: int, d: int) -> np.ndarray:
    if not is_real(value):
        raise InputError(f"covariances must be matrices of numbers, but is {value!r}")
    c = np.asarray(value, dtype=float)
    if c.shape not in {(d, d), (k, d, d)}:
        raise InputError(f"covariances must have shape {(d, d)} or {(k, d, d)}, but has shape {c.shape}")
    c = np.broadcast_to(c, (k, d, d))
    symmetric = np.all(np.isfinite(c)) and np.allclose(c, c.swapaxes(1, 2), rtol=1e-12, atol=0.0)
    if not symmetric or np.linalg.eigvalsh(c).min() <= 0:
        raise InputError("covariances must be symmetric and positive definite, but one is not")
    return c
