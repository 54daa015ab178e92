"""Fisher and Rao's geometry of densities: mass is born and dies where it is."""

from typing import Any

import jax.numpy as jnp

from .._measures.base import AbstractMeasure
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid, replaced
from .._measures.particles import Particles
from .._tree import Vector, combine
from ._densities import AbstractDensityGeometry, rate, unmoved
from ._gaussians import gaussian, symmetric
from .base import AbstractDualFlat


class FisherRao(AbstractDensityGeometry, AbstractDualFlat):
    r"""Fisher and Rao's geometry of densities, in which mass is born and dies and a gradient flow is

    $$\partial_t\rho = -\rho\Bigl(\frac{\delta F}{\delta\rho} - \int\frac{\delta F}{\delta\rho}\,d\rho\Bigr)$$

    Its dual coordinates are $\log\rho$, in which schemes add up their stages, so that a density stays positive and its
    mass one. Particles stay and change their weights; where they carry a `log_density`, it changes with them. A
    Gaussian moves by the natural gradient, $\dot m = -S\,\partial_m F$, $\dot S = -2S\,\partial_S F\,S$, its dual
    coordinates being $S^{-1}m$ and $S^{-1}$.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> method = tw.Method(tw.GradientFlow(F, geometry=tw.geometry.FisherRao()), tw.RK4(), 0.1)
    >>> end = tw.run(method, tw.measures.Gaussian(0.0, 4.0), 10).final.position
    >>> round(float(1.0 / end.covariance[0, 0]), 4)  # 1 - 3/4 exp(-1)
    0.7241

    Reference: Amari (1998); of densities Lu, Slepčev and Wang (2023).
    """

    def without(self, q: AbstractMeasure) -> str:
        if isinstance(q, Gaussian | Grid | Particles):
            return ""
        return unmoved(self, q, "their masses are all alike and stay so; take particles, which have weights, or a grid")

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        q: Any = position
        slope: Any = covector
        if isinstance(q, Gaussian):
            return gaussian(q.covariance @ slope.mean, 2.0 * q.covariance @ symmetric(slope.covariance) @ q.covariance)
        centred = self._centred(q, slope)
        if isinstance(q, Grid):
            return replaced(q, q.density * centred)
        return rate(q, jnp.zeros_like(q.positions), q.weights * centred, None if q.log_density is None else centred)

    def _centred(self, q: Any, slope: Any) -> Any:
        """The first variation less its mean, 0 where there is no mass."""
        if isinstance(q, Grid):
            there = q.density > 0.0
            found = jnp.where(there, slope.density / q.volumes, 0.0)
            return jnp.where(there, found - jnp.sum(q.masses * found) / q.mass, 0.0)
        there = q.weights > 0.0
        found = jnp.where(there, slope.weights, 0.0)
        return jnp.where(there, found - q.weights @ found / q.mass, 0.0)

    def lowered(self, position: Vector, tangent: Vector) -> Vector:
        q: Any = position
        v: Any = tangent
        if isinstance(q, Gaussian):
            inverse = jnp.linalg.inv(q.covariance)
            turned = -inverse @ v.covariance @ inverse
            return gaussian(turned @ q.mean + inverse @ v.mean, turned)
        if isinstance(q, Grid):
            return replaced(q, _over(v.density, q.density))
        return rate(q, v.positions, _over(v.weights, q.weights), v.log_density)

    def to_dual(self, position: Vector) -> Vector:
        q: Any = position
        if isinstance(q, Gaussian):
            inverse = jnp.linalg.inv(q.covariance)
            return gaussian(inverse @ q.mean, symmetric(inverse))
        if isinstance(q, Grid):
            return replaced(q, jnp.log(q.density))
        return rate(q, q.positions, jnp.log(q.weights), q.log_density)

    def from_dual(self, dual: Vector) -> Vector:
        y: Any = dual
        if isinstance(y, Gaussian):
            covariance = symmetric(jnp.linalg.inv(symmetric(y.covariance)))
            return gaussian(covariance @ y.mean, covariance)
        if isinstance(y, Grid):
            risen = jnp.exp(y.density - jnp.max(y.density))
            return replaced(y, risen / jnp.sum(risen * y.volumes))
        risen = jnp.exp(y.weights - jnp.max(y.weights))
        total = jnp.sum(risen)
        shift = jnp.max(y.weights) + jnp.log(total)
        carried = None if y.log_density is None else y.log_density - shift
        return rate(y, y.positions, risen / total, carried)

    def shifted(self, position: Vector, step: Vector) -> Vector:
        return self.from_dual(combine((1, self.to_dual(position)), (1, step)))


def _over(rate: Any, mass: Any) -> Any:
    there = mass > 0.0
    return jnp.where(there, rate / jnp.where(there, mass, 1.0), 0.0)
