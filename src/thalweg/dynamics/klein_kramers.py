"""The equation of Klein and Kramers: the density of underdamped Langevin dynamics."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError, check_number
from .._measures.base import AbstractMeasure
from .._measures.carried import carrying
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid
from .._measures.internal import Entropy
from .._measures.particles import Particles
from .._measures.potential import Potential
from .._module import Module
from .._objectives.objective import AbstractObjective
from .._tree import scalar
from ..geometry import Wasserstein
from ._base import AbstractFirstOrder, Evaluation, Phase, Time
from .gradient_flow import GradientFlow


class KleinKramers(AbstractFirstOrder):
    r"""The equation of Klein and Kramers for the density of positions $\theta$ and velocities $\eta$.

    $$\partial_t\rho = -\eta\cdot\nabla_\theta\rho + \frac{1}{m}\nabla V\cdot\nabla_\eta\rho
      + \frac{\lambda}{m}\nabla_\eta\cdot\Bigl(\eta\,\rho + \frac Tm\nabla_\eta\rho\Bigr)$$

    What `tw.UnderdampedLangevin` does to the distribution of a particle. At rest it is $e^{-(V + m\eta^2/2)/T}$, and
    the free energy $\int(V + \tfrac m2\eta^2)\rho + T\int\rho\log\rho$, the objective, falls until it is. A point holds
    the positions, then the velocities: a `tw.measures.Grid` has one of each, `tw.measures.Gaussian` as many as you
    like. `tw.Splitting` moves both, every part exactly; a Gaussian also a Runge-Kutta method, whose velocity at a
    potential that is not quadratic is projected on the Gaussians.

    Arguments:
        potential: V, a function of the positions (n,).
        friction: $\lambda > 0$.
        temperature: T > 0, in units of V.
        mass: m > 0.

    Raises:
        InputError: a number is not positive, or the potential no function; in a step, the distribution is another.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> law = tw.KleinKramers(lambda x: 0.5 * x[0] ** 2, friction=1.0)
    >>> method = tw.Method(law, tw.Splitting("BAOAB"), 0.1)
    >>> end = tw.run(method, tw.measures.Gaussian(jnp.array([2.0, 0.0]), 0.5), 200).final.position
    >>> [abs(round(float(x), 3)) for x in (end.mean[0], end.covariance[0, 0])]  # BAOAB samples positions exactly
    [0.0, 1.0]

    Reference: Kramers (1940); Pavliotis (2014), chapter 6.
    """

    objective: AbstractObjective | None
    potential: Potential
    friction: Float[Array, ""]
    temperature: Float[Array, ""]
    mass: Float[Array, ""]
    geometry = Wasserstein()

    def __init__(self, potential: Any, friction: Any = 1.0, temperature: Any = 1.0, mass: Any = 1.0) -> None:
        for name, value in (("friction", friction), ("temperature", temperature), ("mass", mass)):
            check_number(name, value, above=0.0)
        self.potential = Potential(potential)
        if self.potential.tabulated:
            raise InputError("potential must be a function of the positions, whose slope is the force, not its values")
        self.friction, self.temperature, self.mass = scalar(friction), scalar(temperature), scalar(mass)
        self.objective = Potential(_Energy(self.potential, self.mass)) + self.temperature * Entropy()

    def force(self, positions: Float[Array, " n"]) -> Float[Array, " n"]:
        r"""$-\nabla V$ at a point."""
        return -jax.grad(lambda x: jnp.asarray(self.potential.fn(x)))(positions)

    def without(self, q: AbstractMeasure) -> str:
        """The reason why such a distribution is none of positions and velocities; or nothing."""
        if isinstance(q, Particles):
            return "KleinKramers moves densities; particles of it are those of tw.UnderdampedLangevin, by tw.sample"
        if not isinstance(q, Gaussian | Grid):
            return f"KleinKramers moves tw.measures.Grid and Gaussian, and not {getattr(q, 'words', 'one vector')}"
        if isinstance(q, Grid) and q.dimension != 2:
            return f"a grid of a position and a velocity has two axes, but this one has {q.dimension}"
        if q.dimension % 2:
            return f"a point must hold as many velocities as positions, but has {q.dimension} coordinates"
        return ""

    def in_flat_space(self) -> Any:
        # Of which the evaluations are counted.
        return GradientFlow(self.objective)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        del time, evaluation
        q: Any = phase.position
        if reason := self.without(q):
            raise InputError(reason)
        if isinstance(q, Grid):
            raise InputError('a density of positions and velocities on a grid is moved by tw.Splitting("BAOAB")')
        n, rate = q.dimension // 2, (self.friction / self.mass).astype(q.mean.dtype)

        def field(point: Array) -> Array:
            x, v = point[:n], point[n:]
            return jnp.concatenate([v, self.force(x) / self.mass.astype(x.dtype) - rate * v])

        moved = carrying(field, q, "")
        heat = 2.0 * rate * self.temperature.astype(rate.dtype) / self.mass.astype(rate.dtype)
        spread = jnp.diag(jnp.concatenate([jnp.zeros(n), jnp.ones(n)]).astype(rate.dtype)) * heat
        return Phase(eqx.tree_at(lambda q: q.covariance, moved, moved.covariance + spread))


class _Energy(Module):
    """The energy of a particle at a point of positions and velocities."""

    potential: Potential
    mass: Float[Array, ""]

    def __call__(self, point: Float[Array, " d"]) -> Array:
        n = point.size // 2
        return jnp.asarray(self.potential.fn(point[:n])) + 0.5 * self.mass.astype(point.dtype) * jnp.sum(point[n:] ** 2)
