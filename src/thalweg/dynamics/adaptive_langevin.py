"""Adaptive Langevin dynamics: a friction that finds its own strength, for gradients of unknown noise."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, combine, scalar, size
from ._base import AbstractDamped, Coefficient, Time, at_time, check_coefficient, coefficient
from ._noise import AbstractNoisy, AbstractThermostat


class AdaptiveLangevin(AbstractDamped, AbstractNoisy, AbstractThermostat):
    r"""The heavy ball with a friction $\xi$ that rises while the ball is too hot and falls while it is too cold.

    $$m\,d\eta = -(\nabla f(\theta) + \xi\eta)\,dt + \sqrt{2AT}\,dW,\qquad d\xi = \frac{m|\eta|^2 - dT}{Q}\,dt$$

    with d the number of parameters and $\xi = A$ at the start. It settles to $e^{-(m\eta^2/2 + f)/T}$ and,
    independently, a Gaussian $\xi$ of mean A and variance $mT/Q$. A noise of the gradient that is white and the same in
    all directions is only more of A: of covariance $\sigma^2$ a step of size h it is $h\sigma^2/2T$, by which the mean
    of $\xi$ rises, and the law of the positions stays. By `tw.Splitting("BADODAB")`, of which D is the last equation.

    Arguments:
        objective: $f$, the potential, a `tw.Objective` or a function; a `tw.FiniteSum` draws its mini-batches.
        temperature: $T > 0$, in units of f, a number or a function of time.
        friction: $A \ge 0$, the friction that is balanced by the law's own noise.
        thermal_mass: $Q > 0$; the more parameters there are, the larger (as many times), since all drive one $\xi$.
        mass: $m > 0$.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> law = tw.AdaptiveLangevin(lambda x: 0.5 * jnp.sum(x**2), temperature=1.0, thermal_mass=3.0)
    >>> run = tw.run(tw.Method(law, tw.Splitting("BADODAB"), 0.1), jnp.ones(3), 100, key=0)
    >>> run.status, run.state.auxiliary.shape
    ('finished', ())

    Reference: Jones and Leimkuhler (2011); Leimkuhler and Shang (2016) for BADODAB.
    """

    # In the Fokker-Planck equation the friction leaves ((xi - A)/m)(d - m|eta|^2/T) rho, and the last equation, on a
    # Gaussian of variance V, (T/(Q V))(xi - A)(m|eta|^2/T - d) rho. Their sum is zero for V = m T/Q.

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    temperature: Coefficient = eqx.field(converter=coefficient)
    friction: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    thermal_mass: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    mass: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    elementwise: ClassVar[bool] = True
    normals: ClassVar[int] = 1
    canonical: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_coefficient("temperature", self.temperature, above=0.0)
        check_number("friction", self.friction, at_least=0.0)
        check_number("thermal_mass", self.thermal_mass, above=0.0)
        check_number("mass", self.mass, above=0.0)

    @property
    def autonomous(self) -> bool:
        return not callable(self.temperature)

    def initial_auxiliary(self, position: Vector) -> PyTree:
        del position
        return self.friction

    def linearised(self) -> "AdaptiveLangevin":
        # An infinite thermal mass holds the friction where it starts.
        return eqx.tree_at(lambda law: law.thermal_mass, self, jnp.full((), jnp.inf, self.thermal_mass.dtype))

    def friction_at(self, time: Time) -> ArrayLike:
        del time
        return self.friction

    def thermal(
        self, time: Time, duration: ArrayLike, velocity: Vector, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Vector, PyTree]:
        (normal,), duration = normals, jnp.asarray(duration)
        exponent = auxiliary * duration / self.mass
        temperature = jnp.asarray(at_time(self.temperature, time))
        spread = jnp.sqrt(2.0 * self.friction * temperature * duration * _mean_decay(2.0 * exponent)) / self.mass
        return combine((jnp.exp(-exponent), velocity), (spread, normal)), auxiliary

    def thermostat(self, time: Time, duration: ArrayLike, velocity: Vector, auxiliary: PyTree) -> PyTree:
        temperature = jnp.asarray(at_time(self.temperature, time))
        excess = self.mass * _square(velocity) - size(velocity) * temperature
        return auxiliary + jnp.asarray(duration * excess / self.thermal_mass, auxiliary.dtype)


def _mean_decay(z: Float[Array, ""]) -> Float[Array, ""]:
    r"""$(1 - e^{-z})/z$ for z of any sign, 1 at zero."""
    near = jnp.abs(z) < jnp.finfo(z.dtype).eps
    return jnp.where(near, 1.0, -jnp.expm1(-z) / jnp.where(near, 1.0, z))


def _square(x: Vector) -> Float[Array, ""]:
    wide = [leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in jax.tree.leaves(x)]
    return jnp.asarray(sum(jnp.sum(leaf * leaf) for leaf in wide))
