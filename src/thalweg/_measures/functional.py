"""Functionals of distributions: objectives whose point is a distribution."""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError, check_number
from .._objectives.objective import AbstractObjective, Batch, Flattened
from .._tree import Vector, ravel, scalar
from .base import AbstractMeasure
from .gaussian import Gaussian
from .grid import Grid
from .particles import Particles
from .quantiles import Quantiles


class AbstractFunctional(AbstractObjective):
    r"""A number for every distribution, $F[q]$; an objective of `tw.GradientFlow` in a geometry of distributions.

    It is a sum of `terms`. What is differentiated is the value of a representation in its own coordinates; where a
    term has none there (the entropy on particles), `without_value` says why.
    """

    @property
    @abc.abstractmethod
    def terms(self) -> "tuple[tuple[Any, AbstractTerm], ...]":
        """The parts that are no sums themselves, each with its coefficient."""

    @property
    def title(self) -> str:
        """The names of the terms, for lists of runs."""
        return " + ".join(type(term).__name__ for _, term in self.terms if not type(term).__name__.startswith("_"))

    def without_value(self, q: AbstractMeasure) -> str:
        """The reason why the functional has no value on such a distribution; or nothing."""
        return next((reason for _, term in self.terms if (reason := term.missing(q))), "")

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        r"""$F[q]$.

        Raises:
            InputError: it has none on such a distribution, with the reason.
        """
        del batch
        if reason := self.without_value(as_measure(x)):
            raise InputError(reason)
        return self._known(x)

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        """The derivative with respect to the numbers of a distribution, of the terms that have a value there."""
        del batch
        return jax.grad(self._known)(as_measure(x))

    def value_and_gradient(self, x: Vector, batch: Batch = None) -> tuple[Float[Array, ""], Vector]:
        """The same with the value, NaN where there is none."""
        del batch
        value, gradient = jax.value_and_grad(self._known)(as_measure(x))
        return value * jnp.nan if self.without_value(x) else value, gradient

    def flattened(self, unravel: Callable) -> "FlattenedFunctional":
        return FlattenedFunctional(self, unravel)

    def explain(self, q: AbstractMeasure) -> None:
        """Say where a value is not finite, if a term knows.

        Raises:
            InputError: with that.
        """
        for _, term in self.terms:
            term.explain_term(q)

    def first_variation(self, q: AbstractMeasure, at: Any = None) -> Array:
        r"""The first variation $\delta F/\delta q$, up to a constant: what one more grain of mass at a point costs.

        Arguments:
            q: the distribution.
            at: points (n, d), or (n,) in one dimension, of particles and Gaussians; None for where q has its mass: the
                cells of a grid, the particles, the quantiles.

        Returns:
            a number a point, an array of the grid's shape, (N,), or (n,).

        Raises:
            InputError: it is not known there, with the reason.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> F = tw.measures.Potential(lambda x: x[0] ** 2)
        >>> F.first_variation(tw.measures.Particles(jnp.array([1.0, 3.0]))).tolist()
        [1.0, 9.0]
        """
        if reason := self.without_value(as_measure(q)):
            raise InputError(reason)
        if at is not None:
            return self._at(q, at)
        slope: Any = self.gradient(q)
        if isinstance(q, Grid):
            return slope.density / q.volumes
        if isinstance(q, Particles):
            return slope.weights
        if isinstance(q, Quantiles):
            # The derivative of the first variation is known at the quantiles, and is summed up between them.
            force = q.values.size * slope.values
            rises = 0.5 * (force[1:] + force[:-1]) * jnp.diff(q.values)
            return jnp.concatenate([jnp.zeros(1, force.dtype), jnp.cumsum(rises)])
        raise InputError("the first variation on a Gaussian is a function: give points, at=")

    def _at(self, q: AbstractMeasure, at: Any) -> Array:
        points = jnp.asarray(at, float)
        points = points[:, None] if points.ndim == 1 and q.dimension == 1 else points
        if points.ndim != 2 or points.shape[1] != q.dimension:
            raise InputError(f"at must be points (n, {q.dimension}), but has shape {points.shape}")
        if isinstance(q, Gaussian):
            # A quadratic function: its slope at the mean is the derivative by the mean, its curvature twice that by
            # the covariance.
            slope: Any = self.gradient(q)
            apart = points - q.mean[None]
            return apart @ slope.mean + jnp.einsum("ni,ij,nj->n", apart, slope.covariance, apart)
        if isinstance(q, Particles) and q.log_density is None:
            # Particles without weight change nothing, and cost what any mass would there.
            beside = Particles(
                jnp.concatenate([q.positions, points.astype(q.positions.dtype)]),
                jnp.concatenate([q.weights, jnp.zeros(len(points), q.weights.dtype)]),
            )
            return self.gradient(beside).weights[q.weights.size :]
        raise InputError(f"the first variation on {type(q).__name__} is known where it has its mass: leave out at=")

    def _known(self, q: Any) -> Float[Array, ""]:
        """The sum of the terms that have a value."""
        found = [scaled(coefficient, term.on(q)) for coefficient, term in self.terms if not term.missing(q)]
        return sum(found[1:], found[0]) if found else jnp.zeros((), jax.tree.leaves(q)[0].dtype)

    def __add__(self, other: "AbstractFunctional") -> "Sum":
        if not isinstance(other, AbstractFunctional):
            return NotImplemented
        return Sum((*self.terms, *other.terms))

    def __sub__(self, other: "AbstractFunctional") -> "Sum":
        return self + (-1.0) * other if isinstance(other, AbstractFunctional) else NotImplemented

    def __mul__(self, factor: ArrayLike) -> "Sum":
        check_number("the factor of a functional", factor)
        factor = scalar(factor)
        return Sum(tuple((_product(factor, coefficient), term) for coefficient, term in self.terms))

    __rmul__ = __mul__

    def __neg__(self) -> "Sum":
        return self * -1.0


class FlattenedFunctional(Flattened):
    """A functional of one raveled vector, which also where it has no value has the gradient of the terms that do."""

    def value_and_gradient(self, x: Vector, batch: Batch = None) -> tuple[Float[Array, ""], Vector]:
        value, gradient = self.objective.value_and_gradient(self.unravel(x), batch)
        return value, ravel(gradient)

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        return ravel(self.objective.gradient(self.unravel(x), batch))


class AbstractTerm(AbstractFunctional):
    """A functional that is no sum of others."""

    @property
    def terms(self) -> "tuple[tuple[Any, AbstractTerm], ...]":
        return ((1, self),)

    @abc.abstractmethod
    def on(self, q: Any) -> Float[Array, ""]:
        """The value on a representation that is not `missing`."""

    def explain_term(self, q: AbstractMeasure) -> None:
        """Say where the value is not finite, where that is known."""
        del q

    def missing(self, q: AbstractMeasure) -> str:
        """The reason why it has no value on a representation; or nothing."""
        del q
        return ""


class Sum(AbstractFunctional):
    r"""A sum of functionals with coefficients, $\sum_k c_k F_k$: what `+` and `*` make.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.Potential(lambda x: 0.5 * x[0] ** 2) + 2.0 * tw.measures.Entropy()
    >>> q = tw.measures.Gaussian(0.0, 2.0)  # of a half plus twice -0.5 (1 + log 4 pi)
    >>> round(float(F.value(q)), 6)
    -2.531024
    """

    parts: tuple[tuple[Any, AbstractTerm], ...]

    @property
    def terms(self) -> tuple[tuple[Any, AbstractTerm], ...]:
        return self.parts


def scaled(coefficient: Any, value: Array) -> Array:
    """A value times a coefficient, in the precision of the value; 1 multiplies nothing."""
    unit = isinstance(coefficient, int) and coefficient == 1
    return value if unit else jnp.asarray(coefficient).astype(value.dtype) * value


def _product(a: Any, b: Any) -> Any:
    return a if isinstance(b, int) and b == 1 else a * b


def as_measure(q: Any) -> Any:
    """A distribution; refuse what is none."""
    if not isinstance(q, AbstractMeasure):
        raise InputError(
            f"a functional is of a distribution, tw.measures.Grid, Particles, Quantiles or Gaussian, but is given {q!r}"
        )
    return q


def points_of(q: Any) -> tuple[Any, Any] | None:
    """Points (n, d) and masses (n,) by which sums over a distribution are taken; None of a Gaussian."""
    if isinstance(q, Particles):
        return q.positions, q.weights
    if isinstance(q, Quantiles):
        return q.values[:, None], jnp.full(q.values.shape, 1.0 / q.values.size, q.values.dtype)
    if isinstance(q, Grid):
        return q.points.reshape(-1, q.dimension), q.masses.ravel()
    return None
