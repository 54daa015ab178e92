"""Coordinates of a distribution in which Wasserstein's distance from where it is, is that of flat space."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._krylov import Operator
from .._measures.bures import carried_by, root
from .._measures.functional import AbstractFunctional, Sum
from .._measures.gaussian import Gaussian
from .._measures.internal import AbstractInternal, Entropy
from .._measures.potential import Potential
from .._measures.quantiles import Quantiles
from .._objectives.objective import AbstractObjective, Batch
from .._tree import Vector, combine, copied
from ..dynamics import GradientFlow
from ..geometry._gaussians import gaussian, symmetric
from ._newton import Implicit, implicit_move
from ._solving import Elimination


class Rooted(AbstractObjective):
    """A functional in these coordinates: of a Gaussian its mean and a root M of its covariance, of points themselves.

    Of points each is scaled by the root of its mass.
    """

    functional: AbstractFunctional
    at_start: Any

    def back(self, x: Any) -> Any:
        """The distribution at coordinates."""
        q = self.at_start
        if isinstance(q, Gaussian):
            mean, factor = x
            return gaussian(mean, factor @ factor.T)
        if isinstance(q, Quantiles):
            return copied(q, values=x * float(q.values.size) ** 0.5)
        scale = jnp.sqrt(q.weights)[:, None]
        return copied(q, positions=jnp.where(scale > 0.0, x / jnp.where(scale > 0.0, scale, 1.0), q.positions))

    def here(self) -> Any:
        """The coordinates of the start."""
        q = self.at_start
        if isinstance(q, Gaussian):
            return q.mean, root(q.covariance)
        if isinstance(q, Quantiles):
            return q.values / float(q.values.size) ** 0.5
        return q.positions * jnp.sqrt(q.weights)[:, None]

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        del batch
        return self.functional._known(self.back(x))

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        return jax.grad(self.value)(x)

    def value_and_gradient(self, x: Vector, batch: Batch = None) -> tuple[Float[Array, ""], Vector]:
        return jax.value_and_grad(self.value)(x)


def nearest(
    functional: AbstractFunctional, q: Any, h: ArrayLike, tolerance: Array, iterations: int, products: int
) -> tuple[Any, Implicit]:
    r"""The distribution at which $F + W_2^2(q, \cdot)/2h$ is least, near q, and what it cost to find."""
    f = Rooted(functional, q)
    start: Any = f.here()
    dtype = jax.tree.leaves(start)[0].dtype
    shift, first = (1.0 / jnp.asarray(h)).astype(dtype), start
    at: Callable[[Vector], Operator] | None = None
    if isinstance(q, Gaussian):
        first = _quadratic(functional, q, jnp.asarray(h, dtype), start)
    elif isinstance(q, Quantiles):
        at = _tridiagonal(f, shift, start)
    step = Elimination(shift, combine((1, start), (-1, first)))
    law = GradientFlow(f)
    found = implicit_move(law, first, step, tolerance, iterations, products, None, preconditioner_at=at)
    end = f.back(combine((1, first), (1, found.move)))
    return _whole(end, q), found._replace(failed=found.failed | _crossed(end, first, found.move))


def _whole(end: Any, q: Any) -> Any:
    return gaussian(end.mean, symmetric(end.covariance)) if isinstance(q, Gaussian) else end


def _crossed(end: Any, first: Any, move: Any) -> Array:
    """Tell whether what was found is no distribution of the kind, or further away than the coordinates say."""
    if isinstance(end, Quantiles):
        return ~jnp.all(jnp.diff(end.values) > 0.0)
    if isinstance(end, Gaussian):
        return ~(jnp.linalg.det(first[1] + move[1]) > 0.0)
    return jnp.zeros((), bool)


def _quadratic(functional: Any, q: Gaussian, h: Array, start: Any) -> Any:
    r"""The step as it is where the terms but the entropy are quadratic, which Newton's method begins at.

    With P twice the derivative of those by S, T the coefficient of the entropy and B = 1 + hP, the optimal map A has
    $A^{-1} = B - hTS_1^{-1}$, so that $Y = B^{1/2}S_1B^{1/2}$ has the eigenvectors of $K = B^{-1/2}S_0B^{-1/2}$ and

    $$y + \frac{h^2T^2}y = k + 2hT,\qquad B(m_1 - m_0) = -h\,\partial_mF$$

    The root M is $AS_0^{1/2}$, the one nearest to that of the start. Where B is not positive it is the start.
    """
    rest = Sum(tuple((c, term) for c, term in functional.terms if not isinstance(term, Entropy)))
    temperature = sum(jnp.asarray(c).astype(h.dtype) for c, term in functional.terms if isinstance(term, Entropy))
    hot = jnp.asarray(temperature, h.dtype) * h
    slope: Any = rest.gradient(q)
    shifted = jnp.eye(q.dimension, dtype=h.dtype) + 2.0 * h * symmetric(slope.covariance)
    values, vectors = jnp.linalg.eigh(shifted)
    usable = values[0] > 0.0
    values = jnp.where(usable, values, 1.0)
    inverse = (vectors / jnp.sqrt(values)[None]) @ vectors.T
    k, turn = jnp.linalg.eigh(symmetric(inverse @ q.covariance @ inverse))
    y = 0.5 * (2.0 * hot + k + jnp.sqrt(jnp.maximum(k * k + 4.0 * hot * k, 0.0)))
    there = inverse @ turn
    end = gaussian(q.mean - h * (inverse @ (inverse @ slope.mean)), symmetric((there * y[None]) @ there.T))
    found = end.mean, carried_by(q, end) @ start[1]
    good = usable & jnp.all(y > 0.0) & jnp.all(jnp.isfinite(found[1]))
    return jax.tree.map(lambda new, old: jnp.where(good, new, old), found, start)


def _tridiagonal(f: Rooted, shift: Array, start: Array) -> Callable[[Vector], Operator]:
    """An inverse of the curvature of the local terms at a move: exact where there are no others and it is positive."""
    local = tuple((c, term) for c, term in f.functional.terms if isinstance(term, AbstractInternal | Potential))
    near = Rooted(Sum(local), f.at_start)
    n = start.size
    # Three products make it: in each every third entry is apart from the next.
    probes = (jnp.arange(n)[None, :] % 3 == jnp.arange(3)[:, None]).astype(start.dtype)

    def at(move: Vector) -> Operator:
        _, product = jax.linearize(near.gradient, start + move)
        columns = jax.vmap(product)(probes)
        i = jnp.arange(n)
        middle = columns[i % 3, i]
        above = jnp.where(i < n - 1, columns[(i + 1) % 3, i], 0.0)
        below = jnp.where(i > 0, columns[(i - 1) % 3, i], 0.0)
        # Positive definite, whatever the potential: no row may be less than its neighbours and a part of the shift.
        middle = jnp.maximum(middle + shift, jnp.abs(above) + jnp.abs(below) + 0.1 * shift)
        return lambda v: jax.lax.linalg.tridiagonal_solve(below, middle, above, v[:, None])[:, 0]

    return at
