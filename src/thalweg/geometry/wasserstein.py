"""Wasserstein's geometry: mass moves, and pays for the square of its way."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError, check_choice
from .._measures.base import AbstractMeasure
from .._measures.bures import carried_by, squared_bures
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid, replaced
from .._measures.line import squared_on_line
from .._measures.particles import Particles
from .._measures.quantiles import Quantiles
from .._measures.transport import FLUXES, upward
from .._tree import Vector, zeros_like
from ._densities import AbstractDensityNoise, alive, per_mass, still
from ._gaussians import gaussian
from .base import AbstractDistance


class Wasserstein(AbstractDensityNoise, AbstractDistance):
    r"""Wasserstein's geometry, in which mass moves and a gradient flow is

    $$\partial_t\rho = \nabla\cdot\Bigl(\rho\,\nabla\frac{\delta F}{\delta\rho}\Bigr)$$

    Particles move with $\dot x_i = -\nabla\phi(x_i)$, quantiles likewise; of a Gaussian $\dot m = -\partial_m F$ and
    $\dot S = -2(\partial_S F\,S + S\,\partial_S F)$. On a grid the flux through a wall between two cells is taken with
    the density that it comes from. The noise that an entropy is on particles is that of Brownian motion.

    Arguments:
        flux: of a grid, for schemes that are not made for one: "second-order" (the density at the wall by a limited
            slope) or "upwind" (that of the cell).

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> method = tw.Method(tw.GradientFlow(F, geometry=tw.geometry.Wasserstein()), tw.RK4(), 0.1)
    >>> end = tw.run(method, tw.measures.Gaussian(1.0, 4.0), 10).final.position
    >>> [round(float(x), 4) for x in (end.mean[0], end.covariance[0, 0])]  # exp(-1), 1 + 3 exp(-2)
    [0.3679, 1.406]

    Reference: Otto (2001); of Gaussians Lambert, Chewi, Bach, Bonnabel and Rigollet (2022).
    """

    flux: str = eqx.field(default="second-order", static=True)

    def __check_init__(self) -> None:
        check_choice("flux", self.flux, FLUXES)

    def without(self, q: AbstractMeasure) -> str:
        return alive(q, self)

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        q: Any = position
        slope: Any = covector
        if isinstance(q, Gaussian):
            spread = slope.covariance @ q.covariance
            return gaussian(slope.mean, 2.0 * (spread + spread.T))
        if isinstance(q, Particles):
            return still(q, per_mass(slope.positions, q.weights))
        if isinstance(q, Quantiles):
            return eqx.tree_at(lambda q: q.values, q, q.values.size * slope.values)
        assert isinstance(q, Grid)
        return replaced(q, upward(q, slope.density / q.volumes, self.flux))

    def noise(self, position: Vector, normal: Vector) -> Vector:
        q: Any = position
        drawn: Any = normal
        return still(q, drawn)

    def divergence(self, position: Vector) -> Vector:
        return zeros_like(position)

    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        q: Any = position
        p: Any = other
        if isinstance(q, Gaussian) and isinstance(p, Gaussian):
            return squared_bures(q, p)
        if q.dimension == 1 and p.dimension == 1:
            return squared_on_line(q, p)
        raise InputError(
            "the squared distance here is of Gaussians and on the line; tw.measures.wasserstein has more ways"
        )

    def log(self, position: Vector, other: Vector) -> Vector:
        q: Any = position
        p: Any = other
        if isinstance(q, Gaussian) and isinstance(p, Gaussian):
            pushed = (carried_by(q, p) - jnp.eye(q.dimension, dtype=q.mean.dtype)) @ q.covariance
            return gaussian(p.mean - q.mean, pushed + pushed.T)
        if isinstance(q, Quantiles) and isinstance(p, Quantiles) and q.values.size == p.values.size:
            return eqx.tree_at(lambda q: q.values, q, p.values - q.values)
        raise InputError("the way from one distribution to another is known of Gaussians, and of as many quantiles")
