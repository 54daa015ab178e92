"""Internal energies: entropy and power laws of the density."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from .._errors import InputError, check_number
from .._tree import scalar
from .base import AbstractMeasure
from .functional import AbstractTerm
from .gaussian import Gaussian
from .grid import Grid
from .kernels import GaussianKernel
from .levels import rule
from .pairs import kernel_density
from .particles import Particles
from .quantiles import Quantiles


class AbstractInternal(AbstractTerm):
    r"""$F[q] = \int U(\rho)\,dx$ of a density $\rho$.

    Of particles, which have none, a `bandwidth` makes one: that of the particles smoothed by a Gaussian kernel (the
    blob method), $F[q] = \int \frac{U(k * q)}{k * q}\,dq$, whose bias is of second order in the bandwidth, of the
    entropy of fourth, $-\mathrm{KL}(q, k * q)$, where the density is smooth and particles are many to a bandwidth.
    """

    bandwidth: eqx.AbstractVar[Float[Array, ""] | None]
    # Other ways than a density, in a message.
    instead: ClassVar[str] = ""

    @abc.abstractmethod
    def energy_density(self, density: Array) -> Array:
        r"""$U(\rho)$, 0 where the density is."""

    @abc.abstractmethod
    def per_mass(self, density: Array) -> Array:
        r"""$U(\rho)/\rho$, at positive densities."""

    @abc.abstractmethod
    def slope(self, density: Array) -> Array:
        r"""$U'(\rho)$."""

    @abc.abstractmethod
    def of_gaussian(self, q: Gaussian) -> Float[Array, ""]:
        """The value on a Gaussian."""

    def missing(self, q: AbstractMeasure) -> str:
        if not isinstance(q, Particles) or self.bandwidth is not None:
            return ""
        return (
            f"{type(self).__name__} has no value on particles, which have no density; take {self.instead}a grid or a "
            "Gaussian, or smooth the particles by its bandwidth"
        )

    def on(self, q: Any) -> Float[Array, ""]:
        if isinstance(q, Gaussian):
            return self.of_gaussian(q)
        if isinstance(q, Grid):
            return jnp.sum(self.energy_density(q.density) * q.volumes)
        if isinstance(q, Quantiles):
            # Of the mass between two neighbours, spread evenly there; those beyond the last are shared out.
            found, gaps = rule(q.values.size), jnp.diff(q.values)
            # Quantiles that have crossed are no distribution, and no power of a negative gap is to look like one.
            density = jnp.asarray(found.masses, gaps.dtype) / jnp.where(gaps > 0.0, gaps, jnp.nan)
            return jnp.asarray(found.shares, gaps.dtype) @ self.per_mass(density)
        assert self.bandwidth is not None
        density = kernel_density(GaussianKernel(self.bandwidth), q.positions, q.weights)
        # A particle without weight, far from all others, is where there is none: its slope, too, is to stay finite.
        least = jnp.where(q.weights > 0.0, 0.0, jnp.finfo(density.dtype).tiny ** 0.5)
        return q.weights @ self.per_mass(jnp.maximum(density, least))


def _there(density: Array) -> Array:
    """A density, the least number there is where it is 0: there its logarithm has no derivative, and is finite so."""
    return jnp.maximum(density, jnp.finfo(density.dtype).tiny)


def _check_bandwidth(bandwidth: Any) -> None:
    if bandwidth is not None:
        check_number("bandwidth", bandwidth, above=0.0)


def _optional(value: Any) -> Any:
    return None if value is None else scalar(value)


class Entropy(AbstractInternal):
    r"""The negative entropy, $F[q] = \int \rho\log\rho\,dx$, with first variation $\log\rho + 1$.

    Its flow in Wasserstein's geometry is the heat equation $\partial_t\rho = \Delta\rho$; T times it has $T\Delta\rho$.
    On particles it has a value where their `log_density` is carried, or with a `bandwidth`.

    Arguments:
        bandwidth: of the kernel that smoothes particles, in units of their coordinates; None for none.

    Raises:
        InputError: the bandwidth is not positive; in a value, q is particles and neither is known.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> round(float(tw.measures.Entropy().value(tw.measures.Gaussian(0.0, 1.0))), 6)  # -(1 + log 2 pi)/2
    -1.418939

    Reference: Jordan, Kinderlehrer and Otto (1998); of the smoothed one Carrillo, Craig and Patacchini (2019).
    """

    instead: ClassVar[str] = (
        "noise (tw.EulerMaruyama), the log_density of particles that stay (tw.geometry.FisherRao), "
    )
    bandwidth: Float[Array, ""] | None = eqx.field(default=None, converter=_optional)

    def __check_init__(self) -> None:
        _check_bandwidth(self.bandwidth)

    def missing(self, q: AbstractMeasure) -> str:
        return "" if isinstance(q, Particles) and q.log_density is not None else super().missing(q)

    def on(self, q: Any) -> Float[Array, ""]:
        if isinstance(q, Particles) and q.log_density is not None:
            return q.weights @ q.log_density
        return super().on(q)

    def energy_density(self, density: Array) -> Array:
        return density * jnp.log(_there(density))

    def per_mass(self, density: Array) -> Array:
        return jnp.log(density)

    def slope(self, density: Array) -> Array:
        return jnp.log(density) + 1.0

    def of_gaussian(self, q: Gaussian) -> Float[Array, ""]:
        root = jnp.linalg.cholesky(q.covariance)
        return -jnp.sum(jnp.log(jnp.diag(root))) - 0.5 * q.dimension * (1.0 + jnp.log(2.0 * jnp.pi))


class Internal(AbstractInternal):
    r"""An internal energy that is a power of the density, $F[q] = \frac1{m-1}\int\rho^m\,dx$.

    Its first variation is $\frac m{m-1}\rho^{m-1}$, and its flow in Wasserstein's geometry the porous medium equation
    $\partial_t\rho = \Delta\rho^m$, for $m < 1$ fast diffusion. As m tends to 1 it is `Entropy`, but for a constant.

    Arguments:
        exponent: m, positive and not 1.
        bandwidth: as of `Entropy`.

    Raises:
        InputError: the exponent is 1 or not positive, or the bandwidth is not.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> even = tw.measures.Grid(jnp.full(4, 0.5), jnp.linspace(0.0, 2.0, 5))
    >>> float(tw.measures.Internal(2.0).value(even))
    0.5

    Reference: Otto (2001).
    """

    exponent: Float[Array, ""] = eqx.field(converter=scalar)
    bandwidth: Float[Array, ""] | None = eqx.field(default=None, converter=_optional)

    def __check_init__(self) -> None:
        check_number("exponent", self.exponent, above=0.0)
        if not isinstance(self.exponent, Tracer) and float(self.exponent) == 1.0:
            raise InputError("exponent must not be 1, of which the internal energy is tw.measures.Entropy()")
        _check_bandwidth(self.bandwidth)

    def energy_density(self, density: Array) -> Array:
        m = self.exponent.astype(density.dtype)
        return density * _there(density) ** (m - 1.0) / (m - 1.0)

    def per_mass(self, density: Array) -> Array:
        m = self.exponent.astype(density.dtype)
        return density ** (m - 1.0) / (m - 1.0)

    def slope(self, density: Array) -> Array:
        m = self.exponent.astype(density.dtype)
        return m / (m - 1.0) * density ** (m - 1.0)

    def of_gaussian(self, q: Gaussian) -> Float[Array, ""]:
        m, d = self.exponent.astype(q.mean.dtype), q.dimension
        root = jnp.linalg.cholesky(q.covariance)
        log_peak = -0.5 * d * jnp.log(2.0 * jnp.pi) - jnp.sum(jnp.log(jnp.diag(root)))
        return jnp.exp((m - 1.0) * log_peak - 0.5 * d * jnp.log(m)) / (m - 1.0)
