"""Underdamped Langevin dynamics: the heavy ball in a heat bath."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, combine, scalar
from ..geometry import AbstractManifold
from ._base import AbstractDamped, Coefficient, Time, at_time, check_coefficient, coefficient
from ._curved import as_geometry, check_geometry, check_noise
from ._noise import AbstractWhite


class UnderdampedLangevin(AbstractDamped, AbstractWhite):
    r"""The heavy ball with friction and the thermal noise that balances it.

    $$d\theta = \eta\,dt,\qquad m\,d\eta = -(\nabla f(\theta) + \lambda\eta)\,dt + \sqrt{2\lambda T}\,dW$$

    At constant temperature its stationary law is $e^{-(m\eta^2/2 + f)/T}$, for $\lambda > 0$; without friction there
    would be no noise either. On a manifold $m\,D\eta$ is the covariant derivative, the gradient that of the metric and
    the noise normal in the tangent space, so that positions have $e^{-f/T}$ with respect to the volume of the metric.

    Arguments:
        objective: $f$, the potential, a `tw.Objective` or a function of the parameters.
        friction: $\lambda > 0$, a number or a function of time.
        temperature: $T \ge 0$, in units of $f$, a number or a function of time (annealing).
        mass: $m > 0$.
        geometry: a manifold of `tw.geometry`, or one of one's own that is a `tw.geometry.AbstractNoise`, too; None is
            flat space.

    Raises:
        InputError: friction or mass is not positive, the temperature is negative, or one is not finite; the geometry is
            no manifold, or has no noise.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> law = tw.UnderdampedLangevin(lambda x: 0.5 * jnp.sum(x**2), friction=1.0, temperature=2.0)
    >>> float(law.diffusion(None))  # the square root of 2 lambda T, over the mass
    2.0

    Reference: Kramers (1940); Pavliotis (2014), chapter 6.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    friction: Coefficient = eqx.field(converter=coefficient)
    temperature: Coefficient = eqx.field(converter=coefficient)
    mass: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    geometry: AbstractManifold | None = eqx.field(default=None, converter=as_geometry)

    def __check_init__(self) -> None:
        check_coefficient("friction", self.friction, above=0.0)
        check_coefficient("temperature", self.temperature, at_least=0.0)
        check_number("mass", self.mass, above=0.0)
        check_geometry(self.geometry, AbstractManifold, "UnderdampedLangevin")
        check_noise(self.geometry, "UnderdampedLangevin")

    @property
    def elementwise(self) -> bool:
        return self.geometry is None or self.geometry.elementwise

    @property
    def autonomous(self) -> bool:
        return not (callable(self.friction) or callable(self.temperature))

    def friction_at(self, time: Time) -> ArrayLike:
        return at_time(self.friction, time)

    def temperature_at(self, time: Time) -> ArrayLike:
        return at_time(self.temperature, time)

    def diffusion(self, time: Time) -> Float[Array, ""]:
        r"""$\sqrt{2\lambda T}/m$, the strength of the noise on the velocity."""
        return jnp.sqrt(2.0 * jnp.asarray(self.friction_at(time)) * self.temperature_at(time)) / self.mass

    def thermal(
        self, time: Time, duration: ArrayLike, velocity: Vector, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Vector, PyTree]:
        rate = jnp.asarray(self.friction_at(time)) / self.mass
        spread = jnp.sqrt(self.temperature_at(time) / self.mass * -jnp.expm1(-2.0 * rate * duration))
        (normal,) = normals
        return combine((jnp.exp(-rate * duration), velocity), (spread, normal)), auxiliary
