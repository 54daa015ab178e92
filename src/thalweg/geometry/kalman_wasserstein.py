"""Wasserstein's geometry preconditioned by the covariance of the distribution itself."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .._errors import check_choice
from .._measures.base import AbstractMeasure
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid, replaced
from .._measures.particles import Particles
from .._measures.quantiles import Quantiles
from .._measures.transport import FLUXES, upward
from .._tree import Vector
from ._densities import AbstractDensityGeometry, alive, apart, per_mass, still, unmoved
from ._gaussians import gaussian, symmetric
from .base import AbstractNoise


class KalmanWasserstein(AbstractDensityGeometry, AbstractNoise):
    r"""The geometry of ensemble Kalman sampling, Wasserstein's preconditioned by the covariance $C(\rho)$.

    $$\partial_t\rho = \nabla\cdot\Bigl(\rho\,C(\rho)\,\nabla\frac{\delta F}{\delta\rho}\Bigr)$$

    It is the same in all coordinates that are affine functions of one another: how badly a target is conditioned
    changes nothing. Noise on N particles is that of the ensemble's covariance, and has for a finite N the drift
    $\frac{d+1}N(x_i - \bar x)$ at temperature 1.

    Arguments:
        flux: of a grid, as of `Wasserstein`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> method = tw.Method(tw.GradientFlow(F, geometry=tw.geometry.KalmanWasserstein()), tw.RK4(), 0.1)
    >>> end = tw.run(method, tw.measures.Gaussian(0.0, 4.0), 10).final.position
    >>> round(float(1.0 / end.covariance[0, 0]), 4)  # 1 - 3/4 exp(-2)
    0.8985

    Reference: Garbuno-Inigo, Hoffmann, Li and Stuart (2020); of a finite number of particles Nüsken and Reich
    (2019).
    """

    flux: str = eqx.field(default="second-order", static=True)

    def __check_init__(self) -> None:
        check_choice("flux", self.flux, FLUXES)

    def without(self, q: AbstractMeasure) -> str:
        if isinstance(q, Grid) and q.dimension > 1:
            return unmoved(
                self, q, "of more than one axis its fluxes cross the walls askew; take particles or a Gaussian"
            )
        return alive(q, self)

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        q: Any = position
        slope: Any = covector
        if isinstance(q, Gaussian):
            spread = q.covariance @ symmetric(slope.covariance) @ q.covariance
            return gaussian(q.covariance @ slope.mean, 4.0 * spread)
        if isinstance(q, Particles):
            return still(q, per_mass(slope.positions, q.weights) @ q.covariance)
        if isinstance(q, Quantiles):
            return eqx.tree_at(lambda q: q.values, q, q.covariance[0, 0] * q.values.size * slope.values)
        assert isinstance(q, Grid)
        return replaced(q, q.covariance[0, 0] * upward(q, slope.density / q.volumes, self.flux))

    def noise(self, position: Vector, normal: Vector) -> Vector:
        q: Any = position
        drawn: Any = normal
        root = jnp.linalg.cholesky(q.covariance)
        return still(q, drawn.positions @ root.T)

    def divergence(self, position: Vector) -> Vector:
        q: Any = position
        count, dimension = q.positions.shape
        return still(q, (dimension + 1.0) / count * apart(q.positions, q.weights)[1])
