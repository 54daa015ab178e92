"""Capabilities of a geometry, each an abstract class that a law or a scheme asks for by type."""

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError
from .._module import Module
from .._showing.modules import shown
from .._tree import Vector, combine, ravel, size, unraveler, wide, wide_inner
from .._typed import check_fields

# Columns of a projection that are worked out together.
_AT_ONCE = 256


class AbstractGeometry(Module):
    """A geometry of the parameters. What it can do, its other abstract classes say."""

    # Whether it is the same on all parameters as one vector; of any other the shapes are kept.
    elementwise: ClassVar[bool] = False

    def __repr__(self) -> str:
        return shown(self)

    def __check_init__(self) -> None:
        check_fields(self)


class AbstractDirection(AbstractGeometry):
    r"""A velocity for every slope, and the norm by which slopes are measured: of an inner product, or of another norm.

    A gradient flow is all that it carries: a motion with a mass needs an inner product, `AbstractMetric`.
    """

    @abc.abstractmethod
    def velocity(self, position: Vector, covector: Vector) -> Vector:
        r"""The tangent that a slope p stands for: against it the law goes down."""

    @abc.abstractmethod
    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        r"""The dual norm $\max\{\langle p, d\rangle : \|d\| \le 1\}$ of a slope, which a run records of a gradient."""

    @property
    def linear(self) -> bool:
        """Tell whether the velocity is linear in the slope and the same everywhere, as the linear probe needs it."""
        return False

    @property
    def without_probe(self) -> str:
        """The reason why no matrix makes a step, also not about a point, and what can be said instead; or nothing."""
        return ""

    def check(self, position: Vector) -> None:
        """Refuse a start that is not for this geometry, in one line that says what to do; what is traced passes."""
        del position


class AbstractMetric(AbstractDirection):
    r"""An inner product at every point, $\langle u, v\rangle_\theta = u^\top G(\theta)\,v$."""

    @abc.abstractmethod
    def velocity(self, position: Vector, covector: Vector) -> Vector:
        r"""The tangent $G(\theta)^{-1}p$ that a slope p stands for: of $\nabla f$, the gradient in this metric."""

    @abc.abstractmethod
    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        r"""$\langle u, v\rangle_\theta$ of two tangents."""

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        found = self.velocity(position, covector)
        return jnp.sqrt(self.inner(position, found, found))


class AbstractDualFlat(AbstractMetric):
    r"""The Hessian metric of a convex function $\phi$, flat in its dual coordinates $y = \nabla\phi(\theta)$.

    Gradient flow is $\dot y = -\nabla f$ there, where schemes add up their stages: Euler's method is mirror descent.
    These straight lines are not the geodesics of the metric, so that nothing with a mass moves along them.
    """

    @abc.abstractmethod
    def to_dual(self, position: Vector) -> Vector:
        r"""The dual coordinates of a point, $\nabla\phi(\theta)$."""

    @abc.abstractmethod
    def from_dual(self, dual: Vector) -> Vector:
        """The point of dual coordinates, NaN where there is none."""

    @abc.abstractmethod
    def lowered(self, position: Vector, tangent: Vector) -> Vector:
        r"""The rate of the dual coordinates at a velocity, $\nabla^2\phi(\theta)\,v$: the inverse of `velocity`."""

    def shifted(self, position: Vector, step: Vector) -> Vector:
        """The point whose dual coordinates are further by a step."""
        return self.from_dual(combine((1, self.to_dual(position)), (1, step)))

    def move(self, position: Vector, tangent: Vector) -> Vector:
        """The point that the straight line of the dual coordinates with this velocity reaches after a unit of time."""
        return self.shifted(position, self.lowered(position, tangent))

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        return wide_inner(self.lowered(position, u), v)

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        # Of the slope itself: at the edge of a domain the metric of a velocity is infinite.
        square = wide_inner(covector, self.velocity(position, covector))
        # Rounding may leave a square of 0 below it.
        return jnp.sqrt(jnp.maximum(square, 0.0))


class AbstractManifold(AbstractMetric):
    r"""A curved space: its straight lines take the place of $\theta + v$.

    The order of a scheme is that of its curves: `move` has to agree with the geodesic to second order, and `transport`
    to first, or a scheme of order 2 is of order 1.
    """

    @abc.abstractmethod
    def move(self, position: Vector, tangent: Vector) -> Vector:
        """The point that the geodesic with a starting velocity reaches after a unit of time, on the manifold exactly:
        the exponential map, or a retraction."""

    @abc.abstractmethod
    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        """A tangent carried in parallel along the geodesic with the starting velocity `along`, to its end."""

    def glide(self, position: Vector, velocity: Vector, time: ArrayLike) -> tuple[Vector, Vector]:
        """The point to which a velocity leads in a time, and the velocity there: `move` and `transport` in one."""
        along = combine((time, velocity))
        return self.move(position, along), self.transport(position, along, velocity)

    @abc.abstractmethod
    def check(self, position: Vector) -> None:
        """Refuse a start that is not on the manifold, in one line that says what to do; what is traced passes."""

    def check_tangent(self, position: Vector, vector: Vector) -> None:
        """Refuse a starting velocity that is not tangent; every vector is, unless overridden."""
        del position, vector

    def dimension(self, position: Vector) -> int:
        """The number of directions in which a point can move: of all numbers, unless overridden."""
        return size(position)


class AbstractEmbedded(AbstractManifold):
    """A manifold in a surrounding space, whose points and tangents are written in the coordinates of that space.

    The metric is the one of the surrounding space, unless `velocity` and `inner` say otherwise.
    """

    @abc.abstractmethod
    def project(self, position: Vector) -> Vector:
        """The nearest point of the manifold, smooth near it."""

    @abc.abstractmethod
    def tangent(self, position: Vector, vector: Vector) -> Vector:
        """The part of a vector that is tangent at a point of the manifold."""

    @abc.abstractmethod
    def bend(self, position: Vector, velocity: Vector) -> Vector:
        r"""The acceleration of a geodesic in the coordinates of the surrounding space, minus its Christoffel term
        $\Gamma(\eta, \eta)$: in the metric of that space the second fundamental form $\mathrm{II}(\eta, \eta)$."""

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return self.tangent(position, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        del position
        return wide_inner(u, v)

    def dimension(self, position: Vector) -> int:
        # The trace of the projection on the tangents.
        cut, flat = unraveler(position), ravel(wide(position))

        def entry(i: Array) -> Array:
            return ravel(self.tangent(position, cut(jnp.zeros_like(flat).at[i].set(1.0))))[i]

        found = jax.lax.map(entry, jnp.arange(flat.size), batch_size=min(flat.size, _AT_ONCE))
        return round(float(jnp.sum(found)))

    def glide(self, position: Vector, velocity: Vector, time: ArrayLike) -> tuple[Vector, Vector]:
        end, carried = super().glide(position, velocity, time)
        # Without what rounding left normal to the manifold: it would add up.
        return end, self.tangent(end, carried)

    def check(self, position: Vector) -> None:
        if traced(position):
            return
        far = far_apart(position, self.project(position))
        if far is not None:
            raise InputError(
                f"the start must lie on {named(self)}, but its projection is {far:.3g} of its length away; "
                "start from that: geometry.project(x0)"
            )

    def check_tangent(self, position: Vector, vector: Vector) -> None:
        if traced((position, vector)):
            return
        far = far_apart(vector, self.tangent(position, vector))
        if far is not None:
            raise InputError(
                f"the starting velocity must be tangent to {named(self)} at the start, but {far:.3g} of it is not; "
                "give its tangent part: geometry.tangent(x0, velocity)"
            )


class AbstractNoise(AbstractGeometry):
    r"""Noise at the metric: what a law at temperature T needs besides the gradient to settle to $e^{-f/T}$.

    $$d\theta = \bigl(-G^{-1}\nabla f + T\,\mathtt{divergence}\bigr)\,dt + \sqrt{2T}\;\mathtt{noise}\,dW$$

    in the sense of Itô, in the coordinates that the position has. On a manifold $e^{-f/T}$ is a density of the volume
    of its metric; of a metric alone or a mirror map one of the coordinates, $e^{-f/T}\,d\theta$, since there the
    divergence is that of the coordinates.
    """

    @property
    def without_noise(self) -> str:
        """The reason why it has no noise after all, with what would do; or nothing."""
        return ""

    def drawn(self, position: Vector) -> PyTree:
        """A tree of the shapes and dtypes of the standard normals that `noise` takes: those of the position."""
        return position

    @abc.abstractmethod
    def noise(self, position: Vector, normal: Vector) -> Vector:
        """A tangent that is normal, its covariance the inverse of the metric, made of standard normals."""

    @abc.abstractmethod
    def divergence(self, position: Vector) -> Vector:
        r"""The drift of the noise alone at temperature 1.

        On a manifold the Laplacian of the coordinates: $\sum_k\mathtt{bend}(\theta, e_k)$ over an orthonormal basis of
        tangents; in the metric of the surrounding space $\sum_j\partial_jG^{-1}_{ij}$, taken at the projection.
        """


class AbstractDistance(AbstractGeometry):
    """Distances, and the way from one point to another."""

    @abc.abstractmethod
    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        """The square of the length of the shortest geodesic between two points."""

    @abc.abstractmethod
    def log(self, position: Vector, other: Vector) -> Vector:
        """The tangent whose geodesic is at the other point after a unit of time: the inverse of `move`."""


def named(geometry: AbstractGeometry) -> str:
    """The name of a geometry in a message."""
    return type(geometry).__name__


def traced(tree: Any) -> bool:
    """Tell whether a number in a tree is not known yet."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def rounding(leaf: Any, count: int) -> float:
    """Relative rounding of a norm over so many numbers: a few units in the last place, and of the sum some more."""
    return float(jnp.finfo(leaf.dtype).eps) * (8.0 + count**0.5)


def far_apart(x: Vector, y: Vector) -> float | None:
    """The largest distance of a leaf of y from that of x, of its length, where it is beyond rounding."""
    for leaf, other in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
        here = np.asarray(leaf, dtype=float)
        far, length = np.linalg.norm(here - np.asarray(other, dtype=float)), np.linalg.norm(here)
        if not far <= rounding(leaf, leaf.size) * length:
            return float(far / length) if length > 0 else float("inf")
    return None
