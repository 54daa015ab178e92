"""Geometries of distributions: the way a distribution moves where a functional would fall."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._measures.base import AbstractMeasure
from .._measures.functional import AbstractFunctional
from .._measures.internal import Entropy
from .._measures.particles import Particles
from .._tree import Vector, wide_inner
from .base import AbstractDirection, AbstractNoise, named


class AbstractDensityGeometry(AbstractDirection):
    r"""A geometry of distributions: to the first variation $\phi = \delta F/\delta q$ the rate of change of q.

    A covector has the shape of a distribution and holds derivatives with respect to its numbers. Which representations
    it moves, and why not another, `without` says.
    """

    @abc.abstractmethod
    def velocity(self, position: Vector, covector: Vector) -> Vector:
        """The rate with which a distribution goes up, of the derivative of a functional: minus it goes down."""

    @abc.abstractmethod
    def without(self, q: AbstractMeasure) -> str:
        """The reason why it does not move such a distribution; or nothing."""

    def descent(self, functional: AbstractFunctional, q: AbstractMeasure, slope: Vector) -> Vector:
        """The rate of the whole functional, of the derivative of the terms that have a value on q.

        Raises:
            InputError: a term has none, and nothing that stands for it.
        """
        if reason := functional.without_value(q):
            raise InputError(f"{named(self)}: {reason}")
        return self.velocity(q, slope)

    def doubt(self, q: AbstractMeasure) -> str:
        """Words of warning about a start, to be said before a run; or nothing."""
        del q
        return ""

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        # Its square is the rate at which the functional falls.
        return jnp.sqrt(jnp.maximum(wide_inner(covector, self.velocity(position, covector)), 0.0))

    def check(self, position: Vector) -> None:
        if not isinstance(position, AbstractMeasure):
            raise InputError(
                f"{named(self)} moves distributions, tw.measures.Grid, Particles, Quantiles or Gaussian; start from one"
            )
        if reason := self.without(position):
            raise InputError(reason)

    @property
    def without_probe(self) -> str:
        return f"a step in {named(self)} is no linear map of parameters; tw.measures.flow says how F falls"


class AbstractDensityNoise(AbstractDensityGeometry, AbstractNoise):
    """A geometry of distributions in which an entropy on particles is their noise, of d standard normals each."""

    def drawn(self, position: Vector) -> PyTree:
        if not isinstance(position, Particles):
            what = position.words if isinstance(position, AbstractMeasure) else "what is no distribution"
            raise InputError(
                f"noise moves particles, tw.measures.Particles, and not {what}, on which the entropy has a value: take "
                "a scheme without noise, such as tw.RK4()"
            )
        return jax.ShapeDtypeStruct(position.positions.shape, position.positions.dtype)

    @abc.abstractmethod
    def noise(self, position: Vector, normal: Vector) -> Vector: ...

    @abc.abstractmethod
    def divergence(self, position: Vector) -> Vector: ...


def temperature(functional: Any, q: AbstractMeasure) -> Any:
    """The sum of the coefficients of entropies that have no value on q.

    Raises:
        InputError: another term has none.
    """
    total: Any = 0.0
    for coefficient, term in functional.terms:
        if reason := term.missing(q):
            if not isinstance(term, Entropy):
                raise InputError(reason)
            total = total + coefficient
    return total


def apart(points: Array, weights: Array) -> tuple[Array, Array]:
    """The mean, and the points less it."""
    mean = weights @ points
    return mean, points - mean[None]


def still(q: Particles, velocities: Array) -> Particles:
    """The rate of particles that move and keep their weights."""
    return rate(q, velocities, jnp.zeros_like(q.weights))


def rate(q: Particles, velocities: Array, weights: Array, log_density: Array | None = None) -> Particles:
    """The rate of particles, not checked."""
    found = object.__new__(Particles)
    if q.log_density is not None and log_density is None:
        log_density = jnp.zeros_like(q.log_density)
    for name, value in (("positions", velocities), ("weights", weights), ("log_density", log_density)):
        object.__setattr__(found, name, value)
    return found


def per_mass(slope: Array, weights: Array) -> Array:
    """The derivative by a position over the mass that is there, 0 where there is none."""
    mass = weights[:, None]
    return jnp.where(mass > 0.0, slope / jnp.where(mass > 0.0, mass, 1.0), 0.0)


def alive(q: Any, geometry: Any) -> str:
    """The reason why particles that carry their density may not move; or nothing."""
    if isinstance(q, Particles) and q.log_density is not None:
        return f"{named(geometry)} moves particles, and the log_density they carry would stay behind; leave it out"
    return ""


def unmoved(geometry: Any, q: AbstractMeasure, why: str) -> str:
    """A reason, in one form."""
    return f"{named(geometry)} does not move {q.words}: {why}"
