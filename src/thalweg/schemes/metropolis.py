"""The Metropolis-adjusted Langevin algorithm: steps that are accepted or rejected, so that the law is exact."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from .._errors import InputError, check_number
from .._module import Module
from .._tree import Vector, all_finite, combine, wide_inner
from ..dynamics import AbstractDynamics, AbstractFirstOrder, AbstractWhite, Evaluation, OverdampedLangevin
from ..dynamics._curved import as_tangent, noise_at
from ..geometry import AbstractGeometry
from ._base import AbstractScheme, check_exact
from ._curved import uneven
from ._state import Clock, Draws, Report, State


class EvaluatedPoint(Module):
    """A point with its energy and force."""

    position: Vector
    energy: Float[Array, ""]
    force: Vector


class Visit(Module):
    """Memory of a step for the next: energy and force here, and how many steps were accepted, of how many.

    `broken` counts proposals where f is finite and its gradient is not.
    """

    energy: Float[Array, ""]
    force: Vector
    accepted: Int[Array, ""]
    steps: Int[Array, ""]
    broken: Int[Array, ""]


class MetropolisAdjustedLangevin(AbstractScheme):
    r"""Euler-Maruyama as a proposal, accepted or rejected so that $e^{-f/T}$ is kept exactly at every step size.

    $$\theta' = \theta - h\nabla f(\theta) + \sqrt{2Th}\,R,\qquad
      \theta^+ = \theta' \text{ with probability } \min(1, e^a),\ \text{else } \theta$$

    $$-Ta = f(\theta') - f(\theta) + \tfrac12(F + F')\cdot\bigl(\theta' - \theta + \tfrac h2(F' - F)\bigr),\qquad
      F = -\nabla f(\theta),\ F' = -\nabla f(\theta')$$

    In a constant metric the proposal is preconditioned, $\theta' = \theta + hG^{-1}F + \sqrt{2Th}\,G^{-1/2}R$, and so
    is the last F' - F. A proposal whose energy is not finite is rejected; so is one whose gradient alone is not, and
    that is counted. Energy and force are kept, so that a step takes one gradient. `acceptance` reads from a state how
    many steps were accepted.

    Raises:
        InputError: with the law, where it is not overdamped, its temperature is zero or changes, or its objective draws
            mini-batches, or its metric is not constant.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> method = tw.mala(lambda x: 0.5 * jnp.sum(x**2), learning_rate=0.5)
    >>> run = tw.run(method, jnp.zeros(3), 1000, key=0)
    >>> method.gradients_per_step, bool(0.8 < method.scheme.acceptance(run.state) < 1.0)
    (1, True)

    Reference: Roberts and Tweedie (1996), section 1.4.
    """

    @property
    def order(self) -> int:
        return 1

    @property
    def exact_law(self) -> bool:
        return True

    def requires(self) -> tuple[type, ...]:
        return (AbstractFirstOrder, AbstractWhite)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return uneven(geometry)

    def normals(self, dynamics: AbstractDynamics) -> int:
        del dynamics
        return 1

    def uniforms(self, dynamics: AbstractDynamics) -> int:
        del dynamics
        return 1

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        if not isinstance(dynamics, OverdampedLangevin):
            raise InputError(f"{type(self).__name__} makes steps of tw.OverdampedLangevin, not of {dynamics!r}")
        if callable(dynamics.temperature):
            raise InputError(
                f"{type(self).__name__} keeps the law of one temperature; give a number, or use tw.EulerMaruyama()"
            )
        check_number("temperature", dynamics.temperature, above=0.0)
        check_exact(self, dynamics, "tw.sgld")

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        del step_size, velocity
        # The objective may have been changed since the method was made.
        check_exact(self, dynamics, "tw.sgld")
        here, none = _evaluated(dynamics, position), jnp.zeros((), int)
        return State(position, clock=clock, memory=Visit(here.energy, here.force, none, none, none))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractWhite)
        h, visit, geometry = jnp.asarray(step_size), state.memory, dynamics.geometry
        (uniform,) = draws.uniforms
        here = EvaluatedPoint(state.position, visit.energy, visit.force)
        noise, _ = dynamics.increment(state.time, h, None, noise_at(geometry, here.position, draws.noise))
        drift = as_tangent(geometry, here.position, here.force)
        there = _evaluated(dynamics, combine((1, here.position), (h, drift), *noise))
        log_ratio = self.log_acceptance(dynamics, h, here, there)
        # Compared with NaN everything is false, so that what is not finite is rejected.
        finite = jnp.isfinite(there.energy)
        accepted = (uniform < jnp.exp(log_ratio)) & finite & jnp.isfinite(log_ratio)
        broken = finite & ~jnp.isfinite(log_ratio) & ~all_finite(there.force)
        after = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), there, here)
        memory = Visit(after.energy, after.force, visit.accepted + accepted, visit.steps + 1, visit.broken + broken)
        clock = None if state.clock is None else state.clock.tick(h)
        return State(after.position, clock=clock, memory=memory)

    def log_acceptance(
        self, dynamics: Any, step_size: ArrayLike, here: EvaluatedPoint, there: EvaluatedPoint
    ) -> Float[Array, ""]:
        r"""$a$, the logarithm of $e^{-f'/T}q(\theta'\to\theta)$ over $e^{-f/T}q(\theta\to\theta')$."""
        # The squares of the two Gaussians, each of the order of the dimension, are subtracted by hand: left is the
        # error of the trapezoidal rule for the work of the force, which vanishes with the step, and that of the energy.
        moved = combine((1, there.position), (-1, here.position))
        change = combine((1, there.force), (-1, here.force))
        change = as_tangent(dynamics.geometry, here.position, change)
        work = wide_inner(combine((1, here.force), (1, there.force)), combine((1, moved), (0.5 * step_size, change)))
        return -(there.energy - here.energy + 0.5 * work) / jnp.asarray(dynamics.temperature)

    def acceptance(self, state: State) -> Float[Array, "..."]:
        """The fraction of steps that were accepted since the start, NaN before the first; of `run.state`, say."""
        return state.memory.accepted / state.memory.steps

    def report(self, state: State) -> Report:
        return Report(acceptance=self.acceptance(state), broken=state.memory.broken)

    def known(self, state: State) -> Evaluation:
        return Evaluation(state.position, state.memory.energy, combine((-1.0, state.memory.force)))

    def exchanged(self, state: State, other: State, scale: ArrayLike) -> State:
        # The counts belong to a temperature, energy and force to a position.
        memory = dataclasses.replace(state.memory, energy=other.memory.energy, force=other.memory.force)
        return dataclasses.replace(super().exchanged(state, other, scale), memory=memory)

    @property
    def takes_learning_rate(self) -> bool:
        return True


def _evaluated(dynamics: AbstractDynamics, position: Vector) -> EvaluatedPoint:
    energy, force = dynamics.energy_and_force(position)
    # A difference of energies is taken, of which low precision would leave nothing.
    wide = jnp.promote_types(energy.dtype, jnp.float32)
    return EvaluatedPoint(position, jax.lax.convert_element_type(energy, wide), force)
