"""Stein's geometry: velocities of a reproducing kernel's space."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .._errors import check_choice
from .._measures.base import AbstractMeasure
from .._measures.functional import AbstractFunctional
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid, replaced
from .._measures.kernels import AbstractKernel, LinearKernel, as_kernel
from .._measures.pairs import kernel_means, pushed
from .._measures.particles import Particles
from .._measures.quantiles import Quantiles
from .._measures.transport import FLUXES, carried, slope
from .._tree import Vector
from ._densities import AbstractDensityGeometry, alive, still, temperature, unmoved
from ._gaussians import gaussian


class Stein(AbstractDensityGeometry):
    r"""Stein's geometry, in which velocities are smoothed by a kernel and a gradient flow is

    $$\partial_t\rho = \nabla\cdot\Bigl(\rho\int k(\cdot, y)\,\nabla\frac{\delta F}{\delta\rho}(y)\,d\rho(y)\Bigr)$$

    On particles the entropy needs no density here: T times it moves them with
    $T\sum_j w_j\nabla_{x_j}k(x_i, x_j)$. With F the divergence to a target Euler's method is Stein variational gradient
    descent. Gaussians stay such under $k(x, y) = 1 + x^\top y$.

    Arguments:
        kernel: k, a `tw.measures.GaussianKernel`, `InverseMultiquadric`, `LinearKernel`, or a symmetric positive
            definite function of two points (d,).
        flux: of a grid, as of `Wasserstein`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.KL(lambda x: 0.5 * jnp.sum(x**2))
    >>> flow = tw.GradientFlow(F, geometry=tw.geometry.Stein(tw.measures.GaussianKernel(1.0)))
    >>> start = tw.measures.Particles(jnp.linspace(1.0, 3.0, 20))
    >>> end = tw.run(tw.Method(flow, tw.Euler(), 0.1), start, 500).final.position
    >>> bool(abs(end.mean[0]) < 0.01)
    True

    Reference: Liu and Wang (2016); of the geometry Duncan, Nüsken and Szpruch (2023).
    """

    kernel: AbstractKernel = eqx.field(converter=as_kernel)
    flux: str = eqx.field(default="second-order", static=True)

    def __check_init__(self) -> None:
        check_choice("flux", self.flux, FLUXES)

    def without(self, q: AbstractMeasure) -> str:
        if isinstance(q, Gaussian) and not isinstance(self.kernel, LinearKernel):
            return unmoved(self, q, "it stays one under tw.measures.LinearKernel() alone; take that, or particles")
        return alive(q, self)

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        q: Any = position
        slopes: Any = covector
        if isinstance(q, Gaussian):
            turned = jnp.outer(slopes.mean, q.mean) + 2.0 * slopes.covariance @ q.covariance
            spread = turned @ q.covariance
            return gaussian(slopes.mean + turned @ q.mean, spread + spread.T)
        if isinstance(q, Particles):
            return still(q, kernel_means(self.kernel, q.positions, q.positions, slopes.positions))
        if isinstance(q, Quantiles):
            points = q.values[:, None]
            return eqx.tree_at(lambda q: q.values, q, kernel_means(self.kernel, points, points, slopes.values))
        assert isinstance(q, Grid)
        return replaced(q, self._on_grid(q, slopes.density / q.volumes))

    def _on_grid(self, q: Grid, first_variation: Any) -> Any:
        points = q.points.reshape(-1, q.dimension)
        total = jnp.zeros_like(q.density)
        for axis in range(q.dimension):
            rises = slope(q, first_variation, axis)
            around = q.mesh.periodic[axis]
            lines = jnp.moveaxis(q.masses, axis, -1)
            # What a cell pushes with is the mean of its two walls; at an end there is one.
            if around:
                inside = 0.5 * (rises + jnp.roll(rises, 1, axis=-1))
            else:
                ends = jnp.concatenate([rises[..., :1], rises, rises[..., -1:]], axis=-1)
                inside = 0.5 * (ends[..., 1:] + ends[..., :-1])
            pushes = jnp.moveaxis(lines * inside, -1, axis).ravel()
            speeds = kernel_means(self.kernel, points, points, pushes).reshape(q.density.shape)
            along = jnp.moveaxis(speeds, axis, -1)
            following = jnp.roll(along, -1, axis=-1) if around else along[..., 1:]
            walls = 0.5 * (following + (along if around else along[..., :-1]))
            total = total - carried(q, -walls, axis, self.flux)
        return total

    def descent(self, functional: AbstractFunctional, q: AbstractMeasure, slope: Vector) -> Vector:
        if not isinstance(q, Particles):
            rate = self.velocity(q, slope)
            return rate if not functional.without_value(q) else super().descent(functional, q, slope)
        heat: Any = temperature(functional, q)
        if isinstance(heat, float) and heat == 0.0:
            return self.velocity(q, slope)
        pushes: Any = slope
        heat = jnp.asarray(heat, q.weights.dtype)
        return still(q, pushed(self.kernel, q.positions, pushes.positions, q.weights, heat))
