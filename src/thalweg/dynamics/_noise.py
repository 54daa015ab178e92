"""The parts of laws that draw noise, or adapt to the velocity."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._module import Module
from .._tree import Vector
from ._base import Time, at_time

# What `combine` adds up: coefficients and what they scale.
Terms = tuple[tuple[ArrayLike, Vector], ...]


class AbstractThermostat(Module):
    """The part of a damped law that adapts its variables to the velocity."""

    part: ClassVar[str] = "thermostat"

    @abc.abstractmethod
    def thermostat(self, time: Time, duration: ArrayLike, velocity: Vector, auxiliary: PyTree) -> PyTree:
        """The auxiliary variables after a thermostat alone has looked at the velocity for a while."""


class AbstractNoisy(Module):
    """The part of a law that draws.

    `normals` is how many standard normals of the position's shape it takes for a step, or for a letter O. `canonical`
    says whether at a constant temperature the law settles to $e^{-f/T}$, its other variables having Gaussians about
    zero whose spread goes as the root of T.
    """

    part: ClassVar[str] = "noise"
    normals: eqx.AbstractVar[int]
    canonical: ClassVar[bool] = True

    def heated(self, factor: ArrayLike) -> Any:
        """The same law at another temperature, that of this one times a factor."""
        own: Any = self.temperature  # pyright: ignore[reportAttributeAccessIssue]

        def hotter(time: Time) -> ArrayLike:
            return factor * jnp.asarray(at_time(own, time))

        return eqx.tree_at(lambda law: law.temperature, self, hotter if callable(own) else hotter(None))


class AbstractAdditive(AbstractNoisy):
    """Noise that does not depend on where the motion is, so that it can be added to any step."""

    part: ClassVar[str] = "additive noise"

    @abc.abstractmethod
    def increment(
        self, time: Time, duration: ArrayLike, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Terms, PyTree]:
        """The sum of the noise over a while, as terms of a sum, and the auxiliary variables after it."""


class AbstractWhite(AbstractAdditive):
    r"""White noise, $\mathtt{diffusion}(t)\,dW$."""

    part: ClassVar[str] = "white noise"
    normals: ClassVar[int] = 1

    @abc.abstractmethod
    def diffusion(self, time: Time) -> Float[Array, ""]:
        """The strength of the noise."""

    def increment(
        self, time: Time, duration: ArrayLike, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Terms, PyTree]:
        (normal,) = normals
        return ((jnp.sqrt(jnp.asarray(duration)) * self.diffusion(time), normal),), auxiliary
