"""The maximum mean discrepancy to a target."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .base import AbstractMeasure
from .functional import AbstractTerm, points_of
from .gaussian import Gaussian
from .grid import Grid
from .kernels import AbstractKernel, EnergyKernel, as_kernel
from .pairs import by_rows, kernel_means
from .particles import Particles


class MMD(AbstractTerm):
    r"""The squared maximum mean discrepancy to a target, $F[q] = \iint k\,d(q - p)\,d(q - p)$.

    Its first variation is $2\int k(\cdot, y)\,d(q - p)(y)$. A grid as target has its mass in the middles of the cells,
    but under the energy distance in one dimension, where it is spread evenly over them, as long as q is no grid: to the
    uniform law on [0, 1] sorted particles flow with $\dot x_i = -4\bigl(x_i - (i - \tfrac12)/N\bigr)$, exactly.

    Arguments:
        target: p, `tw.measures.Particles`, an array (M, d) of points, a `Grid` or `Quantiles`.
        kernel: a `tw.measures.GaussianKernel`, `InverseMultiquadric`, `EnergyKernel` (the energy distance), or a
            symmetric positive definite function of two points.

    Raises:
        InputError: the target is none of these, or the kernel is no function of two points; in a value, q is a
            Gaussian.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.MMD(jnp.array([[0.0]]), tw.measures.EnergyKernel())
    >>> float(F.value(tw.measures.Particles(jnp.array([[2.0]]))))  # 2 |x - y|
    4.0

    Reference: Gretton, Borgwardt, Rasch, Schölkopf and Smola (2012); of its flow Arbel et al. (2019).
    """

    points: Float[Array, "M d"]
    masses: Float[Array, " M"]
    kernel: AbstractKernel
    # Half of the widths of cells over which the target is spread.
    halves: Float[Array, " M"] | None

    def __init__(self, target: Any, kernel: Any) -> None:
        self.points, self.masses = as_points(target, "MMD")
        self.kernel = as_kernel(kernel)
        spread = isinstance(target, Grid) and isinstance(self.kernel, EnergyKernel) and target.dimension == 1
        spread = spread and not target.mesh.periodic[0]
        self.halves = 0.5 * jnp.asarray(target.mesh.widths[0], self.points.dtype) if spread else None

    def missing(self, q: AbstractMeasure) -> str:
        if isinstance(q, Gaussian):
            return "MMD has no closed form on a Gaussian; take particles, a grid or quantiles"
        return other_dimension("MMD", self.points, q)

    def on(self, q: Any) -> Float[Array, ""]:
        points, masses = self._of(q)
        goal, weights = self.points.astype(points.dtype), self.masses.astype(points.dtype)
        own = masses @ kernel_means(self.kernel, points, points, masses)
        alone = weights @ kernel_means(self.kernel, goal, goal, weights)
        if self.halves is None or isinstance(q, Grid):
            return own - 2.0 * masses @ kernel_means(self.kernel, points, goal, weights) + alone
        halves = self.halves.astype(points.dtype)

        def over_cells(x: Array) -> Array:
            # The mean of |x - y| over a cell, of which it is a parabola inside.
            far = jnp.abs(x - goal[:, 0][None])
            inside = (far**2 + halves[None] ** 2) / (2.0 * halves[None])
            return -jnp.where(far < halves[None], inside, far) @ weights

        # Two points of one cell are a third of its width apart in the mean.
        within = weights**2 @ (2.0 / 3.0 * halves)
        return own - 2.0 * masses @ by_rows(over_cells, points, goal.shape[0]) + alone - within

    def _of(self, q: Any) -> tuple[Array, Array]:
        found = points_of(q)
        assert found is not None
        return found


def as_points(target: Any, what: str) -> tuple[Array, Array]:
    """Points (M, d) and masses (M,) of a target."""
    if isinstance(target, Gaussian):
        raise InputError(f"the target of {what} must have points, but is {target.words}; draw some of it")
    q = target if isinstance(target, AbstractMeasure) else Particles(target)
    found = points_of(q)
    assert found is not None
    return found


def other_dimension(what: str, points: Array, q: AbstractMeasure) -> str:
    """The reason why a target is not for a distribution of another dimension; or nothing."""
    if points.shape[1] == q.dimension:
        return ""
    return f"the target of {what} has points of {points.shape[1]} coordinates, but the distribution of {q.dimension}"
