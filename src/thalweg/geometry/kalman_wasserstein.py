"""Wasserstein's geometry preconditioned by the covariance of the distribution itself."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._errors import InputError, check_choice
from .._measures.base import AbstractMeasure
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid, replaced
from .._measures.particles import Particles
from .._measures.quantiles import Quantiles
from .._measures.transport import FLUXES, upward
from .._tree import Vector
from ._densities import AbstractDensityNoise, alive, apart, per_mass, still, unmoved
from ._gaussians import gaussian, symmetric

# Particles of which all pairs get a normal: 3.2 GB of float64.
_MOST = 20_000


class KalmanWasserstein(AbstractDensityNoise):
    r"""The geometry of ensemble Kalman sampling, Wasserstein's preconditioned by the covariance $C(\rho)$.

    $$\partial_t\rho = \nabla\cdot\Bigl(\rho\,C(\rho)\,\nabla\frac{\delta F}{\delta\rho}\Bigr)$$

    It is the same in all coordinates that are affine functions of one another: how badly a target is conditioned
    changes nothing. Noise on N particles has the covariance of the ensemble itself, and at temperature 1 the drift
    $(d + 1)\,w_i\,(x_i - \bar x)$, which is $\frac{d+1}N(x_i - \bar x)$ of equal weights, without which the product of
    targets would not be its stationary law. It is $\sqrt2\,C^{1/2}dW_i$ with one of two roots, both of which an affine
    map of the ensemble carries along, so that paths of the same normals are carried along, too.

    Arguments:
        flux: of a grid, as of `Wasserstein`.
        noise_root: "square", d normals a particle: the C-orthonormal basis that Gram and Schmidt make of the first d
            deviations from the mean, for N > d particles; or "ensemble", N normals a particle,
            $\sqrt{2/N}\sum_j (x_j - \bar x)\,dW_{ij}$, for any number, whose normals take $N^2$ numbers.

    Raises:
        InputError: at the start, the root is "square" and there are d particles or fewer; it is "ensemble" and there
            are more than 20,000.

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
    noise_root: str = eqx.field(default="square", static=True)

    def __check_init__(self) -> None:
        check_choice("flux", self.flux, FLUXES)
        check_choice("noise_root", self.noise_root, ("square", "ensemble"))

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

    def doubt(self, q: AbstractMeasure) -> str:
        if not isinstance(q, Particles) or (count := q.weights.size) > q.dimension:
            return ""
        return (
            f"{count} particles in {q.dimension} dimensions span {count - 1} of them, and in KalmanWasserstein never "
            f"leave these; take more than {q.dimension}"
        )

    def drawn(self, position: Vector) -> PyTree:
        each: Any = super().drawn(position)
        count, dimension = each.shape[-2:]
        if self.noise_root == "ensemble":
            if count > _MOST:
                raise InputError(
                    f"the noise of an ensemble of {count} particles takes {count}^2 normals a step, {_MOST}^2 at most; "
                    'take noise_root="square", whose paths have the same law'
                )
            return jax.ShapeDtypeStruct((*each.shape[:-1], count), each.dtype)
        if count <= dimension:
            raise InputError(
                f"the covariance of {count} particles in {dimension} dimensions has no root of that size; take more "
                f'than {dimension}, or noise_root="ensemble"'
            )
        return each

    def noise(self, position: Vector, normal: Vector) -> Vector:
        q: Any = position
        drawn: Any = normal
        around = apart(q.positions, q.weights)[1]
        if self.noise_root == "ensemble":
            return still(q, (drawn * jnp.sqrt(q.weights)[None]) @ around)
        return still(q, drawn @ _carried_root(q.covariance, around).T)

    def divergence(self, position: Vector) -> Vector:
        # Of the covariance by the position of a particle, which is a part of it: sum_b d C_ab / d x_ib.
        q: Any = position
        return still(q, (q.dimension + 1.0) * q.weights[:, None] * apart(q.positions, q.weights)[1])


def _carried_root(covariance: Array, around: Array) -> Array:
    """A root of the covariance that an affine map of the ensemble takes along, as it does not Cholesky's.

    In coordinates in which the covariance is 1, which are known but for a rotation, Gram and Schmidt's basis of the
    first d deviations rotates along.
    """
    root = jnp.linalg.cholesky(covariance)
    first = around[: covariance.shape[0]]
    basis, upper = jnp.linalg.qr(jax.scipy.linalg.solve_triangular(root, first.T, lower=True))
    signs = jnp.where(jnp.diag(upper) < 0.0, -1.0, 1.0).astype(root.dtype)
    return root @ (basis * signs[None])
