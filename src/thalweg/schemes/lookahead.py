"""Look-ahead schemes: Nesterov's method and its midpoint variant."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._errors import check_choice, check_number
from .._tree import Vector, combine, scalar
from ..dynamics import AbstractDamped, AbstractDynamics
from ._base import AbstractScheme, Clock, Draws, State, half_step_velocity
from .leapfrog import STARTS, kick_coefficients, learning_rate_and_momentum


class Lookahead(AbstractScheme):
    r"""Damped leapfrog with the gradient taken ahead of the position. On the heavy ball: Nesterov's method.

    $$v^+ = \beta v - \alpha\nabla f(\theta + c\beta v),\qquad \theta^+ = \theta + v^+,\qquad v = h\eta$$

    The state carries the shifted point $\Theta = \theta + c\beta v$, which is what frameworks store
    (for c = 1: $\Theta^+ = \Theta + \beta v^+ - \alpha\nabla f(\Theta)$). As an integrator of the heavy ball at
    fixed friction it is first order: the look-ahead is extra damping along the curvature.

    Arguments:
        fraction: c; 1 is Nesterov's method, 1/2 the midpoint variant, 0 plain momentum.
        start: "exact" or "zero", as in `Leapfrog`.

    Raises:
        InputError: fraction is negative or not finite, or `start` is unknown.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> method = tw.nesterov(lambda x: 0.5 * jnp.sum(x**2), learning_rate=0.5, momentum=0.5)
    >>> state = method.step(method.init(jnp.array([4.0])))
    >>> [round(float(p[0]), 6) for p in (state.position, state.lookahead)]
    [2.0, 1.0]

    Reference: Nesterov (1983); Sutskever et al. (2013), equations 3 and 4.
    """

    fraction: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    start: str = eqx.field(default="exact", static=True)

    def __check_init__(self) -> None:
        check_number("fraction", self.fraction, at_least=0.0)
        check_choice("start", self.start, STARTS)

    @property
    def order(self) -> int:
        return 1

    def requires(self) -> frozenset[str]:
        return frozenset({"force", "friction"})

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        assert isinstance(dynamics, AbstractDamped)
        velocity = half_step_velocity(dynamics, position, step_size, velocity, self.start)
        shift = self._shift(dynamics, clock, step_size)
        return State(combine((1, position), (shift, velocity)), velocity, shift, clock)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractDamped) and state.shift is not None
        beta, kick = kick_coefficients(dynamics, state.clock, step_size)
        force = dynamics.force(state.time, state.lookahead, draws.batch)
        velocity = combine((beta, state.velocity), (kick, force))
        clock = None if state.clock is None else state.clock.tick(step_size)
        shift = state.shift if clock is None else self._shift(dynamics, clock, step_size)
        ahead = combine((1, state.lookahead), (-state.shift, state.velocity), (step_size + shift, velocity))
        return State(ahead, velocity, shift, clock)

    def _shift(self, dynamics: AbstractDamped, clock: Clock | None, step_size: ArrayLike) -> Float[Array, ""]:
        # The displacement looked along is the one last made, so a schedule's next step is not needed.
        beta, _ = kick_coefficients(dynamics, clock, step_size)
        return jnp.asarray(self.fraction * beta * step_size)

    def hyperparameters(self, dynamics: AbstractDynamics, step_size: ArrayLike) -> dict[str, ArrayLike]:
        return learning_rate_and_momentum(dynamics, step_size) or super().hyperparameters(dynamics, step_size)
