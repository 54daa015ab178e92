"""Arguments and results of a scheme: draws, a clock, a state, and the numbers it tells of one."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

from .._module import Module
from .._objectives.objective import Batch
from .._tree import Vector, combine
from ..dynamics import Evaluation
from ..geometry import AbstractManifold


class Draws(Module):
    """Everything random in one step; one mini-batch serves all its gradients.

    `noise` holds standard normals of the position's shape, `uniforms` scalars from [0, 1), as many as the
    scheme asks for.
    """

    batch: Batch = None
    noise: tuple[Vector, ...] = ()
    uniforms: tuple[Float[Array, "..."], ...] = ()


class Clock(Module):
    """Time and step count, kept apart from the parameters' precision.

    The sum is compensated (Kahan), so that a million float32 steps still add up. `end` is the time at the end of the
    step to come, where a grid of times gives it.
    """

    time: Float[Array, ""]
    lost: Float[Array, ""]
    steps: Int[Array, ""]
    last_step: Float[Array, ""]
    end: Float[Array, ""] | None = None

    def after(self, duration: ArrayLike) -> Float[Array, ""]:
        """The time so long from now; at the end of a step that of the grid, where there is one."""
        time = self.time + jnp.asarray(duration)
        return time if self.end is None else jnp.where(jnp.asarray(duration) == self.end - self.time, self.end, time)

    def tick(self, step_size: ArrayLike) -> "Clock":
        step = jnp.asarray(step_size, self.time.dtype)
        increment = step - self.lost
        time = self.time + increment
        return Clock(time, (time - self.time) - increment, self.steps + 1, step)


class State(Module):
    r"""A point in phase space.

    `position` is $\theta$. `buffer` is the velocity in units of `unit` (1 where it is None), None for
    first-order laws. `lookahead_weight` is how many buffers ahead a look-ahead method takes its gradient.
    `clock` is None where neither the law nor the step size depends on time. `memory` is what a scheme keeps
    of its last step besides (a force, a noise), None for most; `auxiliary` are the variables that a law has besides
    position and velocity (a coloured noise), None for most. `ahead` is filled by `with_lookahead`, and
    `evaluation` is what a loop already knows of the objective at the look-ahead point, both within a step.
    `carried` is what the objective carries from step to step beside the parameters, None for most.
    `geometry` is the manifold that a look-ahead method looks along, None in flat space.
    """

    position: Vector
    buffer: Vector | None = None
    unit: Float[Array, ""] | None = None
    lookahead_weight: Float[Array, ""] | None = None
    clock: Clock | None = None
    memory: PyTree = None
    auxiliary: PyTree = None
    carried: PyTree = None
    ahead: Vector | None = None
    evaluation: Evaluation | None = None
    geometry: AbstractManifold | None = None

    @property
    def velocity(self) -> Vector | None:
        r"""$\eta = \dot\theta$, half a step behind the position in leapfrog and look-ahead methods."""
        return self.buffer if self.unit is None else combine((self.unit, self.buffer))

    @property
    def lookahead(self) -> PyTree:
        r"""Point where the next gradient is taken: $\theta$, or $\theta + \text{weight}\cdot\text{buffer}$."""
        if self.lookahead_weight is None:
            return self.position
        if self.ahead is not None:
            return self.ahead
        if self.geometry is None:
            return combine((1, self.position), (self.lookahead_weight, self.buffer))
        return self.geometry.move(self.position, combine((self.lookahead_weight, self.buffer)))

    def at(self, position: Vector, velocity: Vector | None) -> "State":
        """The state at the same time, elsewhere in phase space."""
        buffer = velocity if self.unit is None else combine((1.0 / self.unit, velocity))
        return dataclasses.replace(self, position=position, buffer=buffer, ahead=None, evaluation=None)

    def with_lookahead(self) -> "State":
        """This state with its look-ahead point worked out once, for all who ask within a step."""
        return self if self.lookahead_weight is None else dataclasses.replace(self, ahead=self.lookahead)

    @property
    def time(self) -> Float[Array, ""] | None:
        """The time, where it is carried."""
        return None if self.clock is None else self.clock.time


class Report(NamedTuple):
    """Numbers that a scheme tells of a state; None where it has none.

    `gradients`: taken since the start, by a scheme whose steps differ in how many they take. `acceptance`: the fraction
    of steps that were accepted since the start. `step_size`: the step in time that an adaptive scheme tries next.
    `ended`: whether the motion has ended by itself and stays where it is, so that no step is made. `broken`: steps that
    were rejected because the gradient is not finite where f is.
    """

    gradients: Int[Array, "..."] | None = None
    acceptance: Float[Array, "..."] | None = None
    step_size: Float[Array, "..."] | None = None
    ended: Bool[Array, "..."] | None = None
    broken: Int[Array, "..."] | None = None


@dataclasses.dataclass(frozen=True)
class Termination:
    """End of a motion that ends by itself, after so many steps; `status` and `message` as a run has them."""

    status: str
    message: str
    steps: int
