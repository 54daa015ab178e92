"""The entropic step on a grid, in the domain of logarithms."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .._measures.functional import Sum
from .._measures.grid import Grid, replaced
from .._measures.internal import Entropy
from .._measures.mesh import Mesh
from .._measures.pairs import by_rows
from .._tree import Unravel, unraveler
from ._general import AbstractFlatField, Move, implicit_change


@dataclasses.dataclass(frozen=True)
class _Equation(AbstractFlatField):
    r"""A fixed point $z = G(z)$, as what `implicit_change` solves: the change $G(z_0 + \\delta) - z_0$."""

    fn: Any
    here: Float[Array, " n"]
    cut: Unravel

    def __call__(self, time: Any, v: Float[Array, " n"]) -> Float[Array, " n"]:
        del time
        return self.fn(v) - self.here

    def wide(self, v: Float[Array, " n"]) -> Any:
        return v


def entropic_step(
    functional: Any, q: Grid, h: Array, epsilon: ArrayLike, tolerance: Array, iterations: int, products: int
) -> tuple[Grid, Move]:
    r"""The density after a step, and what it cost to find.

    The plan is $a(x)\,e^{-|x - y|^2/\varepsilon}\,b(y)$; its first marginal says a, and where the sum is least
    $\log b = -\tau\,\delta F/\delta\rho$ with $\tau = 2h/\varepsilon$. Of $F = R + T\int\rho\log\rho$, with
    $\rho = b\,p$, that is

    $$\log b = -\frac\tau{1 + \tau T}\Bigl(\frac{\delta R}{\delta\rho} + T\log p\Bigr)$$

    whose iteration is Sinkhorn's; Newton's method takes far fewer steps. The mass is that of the start for any b.
    """
    dtype = q.density.dtype
    epsilon = jnp.asarray(epsilon, dtype)
    rest = Sum(tuple((c, term) for c, term in functional.terms if not isinstance(term, Entropy)))
    hot = sum(
        (jnp.asarray(c).astype(dtype) for c, term in functional.terms if isinstance(term, Entropy)),
        jnp.zeros((), dtype),
    )
    tau = 2.0 * h.astype(dtype) / epsilon
    there = q.density > 0.0
    logs = jnp.where(there, jnp.log(jnp.where(there, q.density, 1.0)), -jnp.inf)

    def marginal(z: Array) -> Array:
        """The logarithm of p, the second marginal over b."""
        return smoothed(logs - smoothed(z, q.mesh, epsilon), q.mesh, epsilon)

    def updated(flat: Array) -> Array:
        z = flat.reshape(q.density.shape)
        p = marginal(z)
        slope: Any = rest.gradient(replaced(q, jnp.exp(z + p)))
        return (-tau / (1.0 + tau * hot) * (slope.density / q.volumes + hot * p)).ravel()

    first = updated(jnp.zeros(q.density.size, dtype))
    found = implicit_change(
        _Equation(updated, first, unraveler(first)), None, jnp.ones((), dtype), tolerance, iterations, products
    )
    z = (first + found.move).reshape(q.density.shape)
    return replaced(q, jnp.exp(z + marginal(z))), found


def smoothed(z: Array, mesh: Mesh, epsilon: Array) -> Array:
    r"""$\log\int e^{-|x - y|^2/\varepsilon + z(y)}\,dy$ in the cells, axis by axis."""
    for axis in range(mesh.dimension):
        squares = jnp.asarray(_squares(mesh, axis), z.dtype) / epsilon
        widths = jnp.log(jnp.asarray(mesh.widths[axis], z.dtype))
        lines = jnp.moveaxis(z, axis, -1)
        cost = widths[None, :] - squares

        def along(rows: Array, cost: Array = cost) -> Array:
            return jax.scipy.special.logsumexp(rows[:, None, :] + cost[None, :, :], axis=-1)

        found = by_rows(along, lines.reshape(-1, lines.shape[-1]), cost.size)
        z = jnp.moveaxis(found.reshape(lines.shape), -1, axis)
    return z


def _squares(mesh: Mesh, axis: int) -> np.ndarray:
    """Squared distances between the middles of cells along an axis, the shortest of the images where it is a circle."""
    x = mesh.centres[axis]
    apart = x[:, None] - x[None, :]
    if mesh.periodic[axis]:
        period = mesh.edges[axis][-1] - mesh.edges[axis][0]
        apart = apart - period * np.round(apart / period)
    return apart**2
