"""Adaptive restart: momentum that starts anew where it no longer goes down."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from .._errors import InputError, check_choice, check_count
from .._module import Module
from .._tree import Vector, combine, wide_inner, zeros_like
from ..dynamics import AbstractDamped, AbstractDynamics
from ..dynamics._curved import as_tangent
from ..geometry import AbstractGeometry
from ._base import AbstractScheme, check_exact, evaluated
from ._curved import brought_back, manifold
from ._state import Clock, Draws, State
from .leapfrog import Leapfrog
from .lookahead import Lookahead

TESTS = ("gradient", "function", "speed")


class Course(Module):
    """Memory of a step for the next: the law's own clock, steps since the last restart, the number of restarts.

    `energy` is f where the last gradient was taken, None for the tests that need none.
    """

    clock: Clock | None
    since: Int[Array, ""]
    restarts: Int[Array, ""]
    energy: Float[Array, ""] | None = None


class Restarted(AbstractScheme):
    r"""A scheme with momentum that starts anew, from rest and at the start of the law's time, where a test says so.

    With $y_k$ the point where the gradient of a step is taken, restart after a step for which

    $$\nabla f(y_k)\cdot(\theta_{k+1} - \theta_k) > 0,\qquad f(y_k) > f(y_{k-1}),\qquad\text{or}\qquad
      |\theta_{k+1} - \theta_k| < |\theta_k - \theta_{k-1}|$$

    (`gradient`, `function`, `speed`; lengths over their steps, where steps differ). The position stays. Where f is
    strongly convex, the friction r/t of `tw.NesterovFlow` then converges linearly without knowing $\mu$. No test
    takes another gradient; `function` takes the value beside the gradient, and near the minimum has no digits left to
    tell by. `State.time` goes on; the time that the law sees begins again, where its friction first lets a step at rest
    move: for friction r/t at $t = rh/2$, where $\beta = 0$, so that for r = 3 the momentum is
    $0, \tfrac14, \tfrac25, \dots$ again.

    Arguments:
        scheme: `tw.Lookahead()` or `tw.Leapfrog()`; begun from an empty buffer, which takes no gradient.
        by: the test.
        wait: steps that a restart leaves without a test, at least 1.

    Raises:
        InputError: another scheme, an unknown test or a number out of its range; with the law, where it has noise, no
            friction of its own, or an objective that draws mini-batches.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.NesterovFlow(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 1e-2]) * x**2))
    >>> method = tw.Method(flow, tw.Restarted(tw.Lookahead(), by="gradient"), 1.0)
    >>> run = tw.run(method, jnp.ones(2), 200, record=None)
    >>> method.gradients_per_step, int(method.scheme.restarts(run.state)), bool(abs(run.final.position[1]) < 1e-8)
    (1, 6, True)

    Reference: O'Donoghue and Candès (2015) for gradient and function; Su, Boyd and Candès (2016) for speed.
    """

    scheme: Lookahead | Leapfrog = eqx.field(default_factory=Lookahead)
    by: str = eqx.field(default="gradient", static=True)
    wait: int = eqx.field(default=1, static=True)

    def __init__(self, scheme: Any = None, by: str = "gradient", wait: int = 1) -> None:
        scheme = Lookahead() if scheme is None else scheme
        if not isinstance(scheme, Lookahead | Leapfrog):
            raise InputError(f"scheme must have a momentum to restart, tw.Lookahead() or tw.Leapfrog(), not {scheme!r}")
        self.scheme = dataclasses.replace(scheme, start="zero")
        self.by, self.wait = by, wait

    def __check_init__(self) -> None:
        check_choice("by", self.by, TESTS)
        check_count("wait", self.wait)

    @property
    def name(self) -> str:
        """The scheme and the test, as a table prints them."""
        return f"{type(self.scheme).__name__}, restarted by {self.by}"

    @property
    def order(self) -> int:
        return self.scheme.order

    def requires(self) -> tuple[type, ...]:
        return self.scheme.requires()

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return self.scheme.refused_geometry(geometry)

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        if not any(field.name == "objective" for field in dataclasses.fields(dynamics)):
            raise InputError(
                f"Restarted asks whether a step goes up a function, of which {type(dynamics).__name__} has none; use "
                "tw.Leapfrog() or tw.Lookahead()"
            )
        check_exact(self, dynamics, "tw.nesterov")

    def linearised(self) -> AbstractScheme:
        return self.scheme

    def restarts(self, state: State) -> Int[Array, "..."]:
        """Number of restarts since the start; of `run.state`, say."""
        return state.memory.restarts

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        # The objective may have been changed since the method was made.
        check_exact(self, dynamics, "tw.nesterov")
        begun, none = self._begun(dynamics, position, step_size, velocity, clock), jnp.zeros((), int)
        energy = jnp.full((), jnp.inf, _wide(position)) if self.by == "function" else None
        return dataclasses.replace(begun, clock=clock, memory=Course(begun.clock, none, none, energy))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        course: Course = state.memory
        before = dataclasses.replace(state, clock=course.clock, memory=None)
        found = evaluated(dynamics, before, draws.batch, value=course.energy is not None)
        after = self.scheme.step(dynamics, dataclasses.replace(before, evaluation=found), step_size, draws)
        energy = None
        if course.energy is not None:
            assert found.value is not None
            energy = found.value.astype(course.energy.dtype)
        since = course.since + 1
        fails = self._fails(dynamics, course, before, after, energy, found.gradient, step_size)
        restart = fails & (since >= self.wait)
        rest = self._begun(dynamics, after.position, step_size, zeros_like(after.position), course.clock)
        after = jax.tree.map(lambda new, old: jnp.where(restart, new, old), rest, after)
        memory = Course(after.clock, jnp.where(restart, 0, since), course.restarts + restart, energy)
        clock = None if state.clock is None else state.clock.tick(step_size)
        return dataclasses.replace(after, clock=clock, memory=memory)

    def _fails(
        self, dynamics: AbstractDynamics, course: Course, before: State, after: State, energy: Any, gradient: Vector,
        step_size: ArrayLike,
    ) -> Bool[Array, ""]:  # fmt: skip
        """Tell whether the step that was made goes the wrong way."""
        if self.by == "function":
            return energy > course.energy
        if self.by == "gradient":
            return self._rise(dynamics, before, after, gradient, step_size) > 0
        return _square(dynamics, after) < _square(dynamics, before)

    def _rise(
        self, dynamics: AbstractDynamics, before: State, after: State, gradient: Vector, step_size: ArrayLike
    ) -> Float[Array, ""]:
        """The gradient along the move that a step made."""
        space = manifold(dynamics)
        if space is None:
            return wide_inner(gradient, after.buffer)
        # Both at the point where the step began, to which the buffer is carried back along its geodesic.
        back = combine((-jnp.asarray(step_size), after.velocity))
        slope = brought_back(before, as_tangent(space, before.lookahead, gradient))
        return space.inner(before.position, slope, space.transport(after.position, back, after.buffer))

    def _begun(
        self, dynamics: AbstractDynamics, position: Vector, step_size: ArrayLike, velocity: Any, clock: Clock | None
    ) -> State:
        """The state from which the law starts, or starts anew."""
        assert isinstance(dynamics, AbstractDamped)
        if clock is not None:
            zero = jnp.zeros_like(clock.time)
            time = jnp.asarray(dynamics.rest_time(step_size), clock.time.dtype)
            clock = Clock(time, zero, jnp.zeros_like(clock.steps), jnp.asarray(step_size, clock.time.dtype))
        return self.scheme.init(dynamics, position, step_size, velocity, clock)


def _square(dynamics: AbstractDynamics, state: State) -> Float[Array, ""]:
    """The square of the speed."""
    space, velocity = manifold(dynamics), state.velocity
    return wide_inner(velocity, velocity) if space is None else space.inner(state.position, velocity, velocity)


def _wide(position: Vector) -> Any:
    """A difference of energies is taken, of which low precision would leave nothing."""
    return jnp.promote_types(jnp.result_type(*jax.tree.leaves(position)), jnp.float32)
