"""Data whose score is known under every noising: mixtures of Gaussians, and sets of points."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Key

from .._errors import InputError
from .._module import Module
from .._showing.modules import shown
from .._tree import normal
from .base import AbstractNoising
from .predictions import Denoiser


def _array(value: Any) -> Any:
    try:
        return jnp.asarray(value, float)
    except (TypeError, ValueError):
        return value


class AbstractData(Module):
    """A distribution of data, of which the noised densities are known."""

    def __repr__(self) -> str:
        return shown(self)

    @abc.abstractmethod
    def denoised(self, noising: AbstractNoising, time: ArrayLike, x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        r"""$\mathrm E(x_0\mid x_t = x)$.

        Arguments:
            noising: by which the data are noised.
            time: t.
            x: one point, or any number of them.
        """

    @abc.abstractmethod
    def log_density(self, noising: AbstractNoising, time: ArrayLike, x: Float[Array, "*n d"]) -> Float[Array, "*n"]:
        r"""$\log p_t(x)$ of the noised data."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], count: int) -> Float[Array, "n d"]:
        """So many of the data, drawn."""

    @property
    @abc.abstractmethod
    def mean(self) -> Float[Array, " d"]:
        """The mean of the data."""

    @property
    @abc.abstractmethod
    def covariance(self) -> Float[Array, "d d"]:
        """The covariance of the data."""

    def denoiser(self, noising: AbstractNoising) -> Denoiser:
        """The exact prediction of the data, as a law takes it for its score.

        Arguments:
            noising: by which the data are noised.
        """
        return Denoiser(_Denoising(self, noising))


class _Denoising(Module):
    data: AbstractData
    noising: AbstractNoising

    def __call__(self, t: ArrayLike, x: Array) -> Array:
        return self.data.denoised(self.noising, t, x)


class GaussianMixture(AbstractData):
    r"""Data of a mixture of Gaussians, $p_0 = \sum_k w_k\,N(\mu_k, \Sigma_k)$.

    $$p_t = \sum_kw_kN(\alpha\mu_k, C_k),\quad C_k = \alpha^2\Sigma_k + \sigma^2,\qquad
      \mathrm E(x_0\mid x) = \sum_kr_k(x)\bigl(\mu_k + \alpha\Sigma_kC_k^{-1}(x - \alpha\mu_k)\bigr)$$

    with $r_k$ the probability that x comes from the k-th, given x.

    Arguments:
        means: $\mu_k$, an array (k, d); (d,) of one Gaussian.
        covariances: $\Sigma_k$, (k, d, d), or (d, d) of one; variances (k, d) of independent entries or (k,) of equal
            ones, or one number; at least 0.
        weights: $w_k > 0$, (k,); equal where they are None; divided by their sum.

    Raises:
        InputError: the shapes do not fit together, or a covariance is none.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> data = tw.networks.GaussianMixture(jnp.array([[-1.0], [1.0]]), 0.04)
    >>> noising = tw.networks.VarianceExploding()
    >>> float(data.denoised(noising, 1.0, jnp.array([0.0]))[0])
    0.0
    >>> flow = tw.ProbabilityFlow(noising, data.denoiser(noising))
    >>> method = tw.Method(flow, tw.DDIM(), times=tw.networks.time_grid(noising, 100))
    >>> round(float(tw.solve(method, jnp.array([80.0])).final.position[0]), 1)
    1.1
    """

    means: Float[Array, "k d"] = eqx.field(converter=_array)
    covariances: Float[Array, "k ..."] = eqx.field(converter=_array)
    weights: Float[Array, " k"] = eqx.field(default=None, converter=lambda w: None if w is None else _array(w))

    def __init__(self, means: Any, covariances: Any, weights: Any = None) -> None:
        means, covariances = _array(means), _array(covariances)
        for name, value in (("means", means), ("covariances", covariances)):
            if not isinstance(value, jax.Array):
                raise InputError(f"{name} must be an array of real numbers, but are {value!r}")
        if means.ndim == 1:
            means, covariances = means[None], covariances[None] if covariances.ndim else covariances
        if means.ndim != 2 or means.size == 0:
            raise InputError(f"means must be an array (k, d) or (d,), but have shape {means.shape}")
        k, d = means.shape
        spread = jnp.broadcast_to(covariances, (k,)) if covariances.ndim == 0 else covariances
        if spread.shape not in ((k,), (k, d), (k, d, d)):
            raise InputError(
                f"covariances of {k} Gaussians in {d} dimensions must have shape (), ({k},), ({k}, {d}) or "
                f"({k}, {d}, {d}), but have {spread.shape}"
            )
        if not isinstance(spread, Tracer):
            _check_covariances(np.asarray(spread))
        share = jnp.full(k, 1.0 / k) if weights is None else _array(weights)
        if not isinstance(share, jax.Array) or share.shape != (k,):
            raise InputError(f"weights must be {k} numbers, one for each mean, but are {weights!r}")
        if not isinstance(share, Tracer) and not (np.all(np.isfinite(share)) and np.all(np.asarray(share) > 0.0)):
            raise InputError(f"weights must be finite and above 0, but are {np.asarray(share)}")
        self.means, self.covariances, self.weights = means, spread, share / jnp.sum(share)

    @property
    def mean(self) -> Float[Array, " d"]:
        return self.weights @ self.means

    @property
    def covariance(self) -> Float[Array, "d d"]:
        k, d = self.means.shape
        spread = self.covariances
        if spread.ndim < 3:
            spread = jnp.broadcast_to(spread[:, None] if spread.ndim == 1 else spread, (k, d))
            spread = jax.vmap(jnp.diag)(spread)
        apart = self.means - self.mean[None]
        return jnp.einsum("k,kij->ij", self.weights, spread) + jnp.einsum("k,ki,kj->ij", self.weights, apart, apart)

    def denoised(self, noising: AbstractNoising, time: ArrayLike, x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        signal, noise = noising.signal(time), noising.noise(time)
        solved, logs = self._solved(signal, noise, x)
        share = jax.nn.softmax(logs, axis=-1)
        if self.covariances.ndim < 3:
            pulled = self._lifted(jnp.broadcast_to(self._diagonal, self.means.shape), x) * solved
        else:
            pulled = jnp.einsum("kij,...kj->...ki", self.covariances, solved)
        return jnp.einsum("...k,...kd->...d", share, self._lifted(self.means, x) + signal * pulled)

    def log_density(self, noising: AbstractNoising, time: ArrayLike, x: Float[Array, "*n d"]) -> Float[Array, "*n"]:
        return jax.nn.logsumexp(self._solved(noising.signal(time), noising.noise(time), x)[1], axis=-1)

    def sample(self, key: Key[Array, ""], count: int) -> Float[Array, "n d"]:
        which, own = jax.random.split(key)
        k = jax.random.choice(which, self.weights.size, (count,), p=self.weights)
        z = normal(own, (count, self.means.shape[1]), self.means.dtype)
        if self.covariances.ndim < 3:
            spread = jnp.broadcast_to(jnp.sqrt(self._diagonal), self.means.shape)[k] * z
        else:
            values, vectors = jnp.linalg.eigh(self.covariances)
            roots = vectors * jnp.sqrt(jnp.maximum(values, 0.0))[:, None, :]
            spread = jnp.einsum("nij,nj->ni", roots[k], z)
        return self.means[k] + spread

    @property
    def _diagonal(self) -> Array:
        return self.covariances[:, None] if self.covariances.ndim == 1 else self.covariances

    def _solved(self, signal: Array, noise: Array, x: Array) -> tuple[Array, Array]:
        r"""$C_k^{-1}(x - \alpha\mu_k)$, and $\log w_kN(x)$."""
        d = self.means.shape[1]
        apart = x[..., None, :] - self._lifted(signal * self.means, x)
        if self.covariances.ndim < 3:
            spread = jnp.broadcast_to(signal**2 * self._diagonal + noise**2, self.means.shape)
            solved, logdet = apart / self._lifted(spread, x), jnp.sum(jnp.log(spread), axis=-1)
        else:
            whole = signal**2 * self.covariances + noise**2 * jnp.eye(d)[None]
            lower = jnp.linalg.cholesky(whole)
            logdet = 2.0 * jnp.sum(jnp.log(jnp.diagonal(lower, axis1=-2, axis2=-1)), axis=-1)
            flat = jnp.moveaxis(apart, -2, 0).reshape(len(self.means), -1, d)
            found = jax.vmap(lambda c, b: jax.scipy.linalg.cho_solve((c, True), b.T).T)(lower, flat)
            solved = jnp.moveaxis(found.reshape(len(self.means), *x.shape), 0, -2)
        square = jnp.sum(apart * solved, axis=-1)
        fixed = jnp.log(self.weights) - 0.5 * logdet - 0.5 * d * jnp.log(2.0 * jnp.pi)
        return solved, self._lifted(fixed, x) - 0.5 * square

    @staticmethod
    def _lifted(value: Array, x: Array) -> Array:
        """The same for any number of points."""
        return value.reshape((1,) * (x.ndim - 1) + value.shape)


class DataSet(AbstractData):
    r"""Data that are the points of a set, each as likely: what a perfect training would learn by heart.

    $$\mathrm E(x_0\mid x) = \sum_ir_ix_i,\qquad r = \operatorname{softmax}\bigl(-|x - \alpha x_i|^2/2\sigma^2\bigr)$$

    Its flow leads to the points themselves.

    Arguments:
        points: $x_i$, an array (n, d).

    Raises:
        InputError: it is none.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> data, noising = tw.networks.DataSet(jnp.array([[-1.0], [2.0]])), tw.networks.VarianceExploding()
    >>> flow = tw.ProbabilityFlow(noising, data.denoiser(noising))
    >>> method = tw.Method(flow, tw.DDIM(), times=tw.networks.time_grid(noising, 20, to_data=True))
    >>> end = tw.solve(method, jnp.array([80.0])).final.position
    >>> round(float(end[0]), 6)
    2.0
    """

    points: Float[Array, "n d"] = eqx.field(converter=_array)

    def __check_init__(self) -> None:
        points = self.points
        if not isinstance(points, jax.Array) or points.ndim != 2 or points.size == 0:
            raise InputError(f"points must be an array (n, d), but are {shown(points)}")
        if not isinstance(points, Tracer) and not np.all(np.isfinite(points)):
            raise InputError("points must be finite")

    def denoised(self, noising: AbstractNoising, time: ArrayLike, x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        share = jax.nn.softmax(self._exponents(noising, time, x), axis=-1)
        return jnp.einsum("...n,nd->...d", share, self.points)

    def log_density(self, noising: AbstractNoising, time: ArrayLike, x: Float[Array, "*n d"]) -> Float[Array, "*n"]:
        count, d = self.points.shape
        noise = noising.noise(time)
        return jax.nn.logsumexp(self._exponents(noising, time, x), axis=-1) - (
            jnp.log(count) + d * jnp.log(noise) + 0.5 * d * jnp.log(2.0 * jnp.pi)
        )

    @property
    def mean(self) -> Float[Array, " d"]:
        return jnp.mean(self.points, axis=0)

    @property
    def covariance(self) -> Float[Array, "d d"]:
        apart = self.points - self.mean[None]
        return apart.T @ apart / len(self.points)

    def sample(self, key: Key[Array, ""], count: int) -> Float[Array, "n d"]:
        return self.points[jax.random.randint(key, (count,), 0, len(self.points))]

    def _exponents(self, noising: AbstractNoising, time: ArrayLike, x: Array) -> Array:
        signal, noise = noising.signal(time), noising.noise(time)
        # Where there is no noise the nearest point takes all.
        least = jnp.sqrt(jnp.finfo(x.dtype).tiny)
        apart = x[..., None, :] - (signal * self.points).reshape((1,) * (x.ndim - 1) + self.points.shape)
        square = jnp.sum(apart**2, axis=-1)
        nearest = jnp.min(square, axis=-1, keepdims=True)
        lowest = jnp.where(noise > 0.0, 0.0, nearest)
        return -0.5 * (square - lowest) / jnp.maximum(noise, least) ** 2


def _check_covariances(spread: np.ndarray) -> None:
    if not np.all(np.isfinite(spread)):
        raise InputError("covariances must be finite")
    if spread.ndim < 3:
        if np.any(spread < 0.0):
            raise InputError(f"variances must be at least 0, but the least is {spread.min():g}")
        return
    size = np.abs(spread).max()
    rounding = 1e-5 if spread.dtype == np.float32 else 1e-10
    if np.any(np.abs(spread - np.swapaxes(spread, -1, -2)) > rounding * size):
        raise InputError("covariances must be symmetric; of one that is not for rounding take 0.5 * (C + C.T)")
    if np.linalg.eigvalsh(spread.astype(float)).min() < -rounding * size:
        raise InputError("covariances must be positive semidefinite")
