"""Look-ahead schemes: Nesterov's method and its midpoint variant."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._errors import check_choice, check_number
from .._tree import Vector, scalar
from ..dynamics import AbstractDamped, AbstractDynamics
from ..geometry import AbstractGeometry, AbstractManifold
from ._base import AbstractScheme, half_step_velocity
from ._curved import manifold
from ._state import Clock, Draws, State
from .leapfrog import STARTS, kick_and_drift, kick_coefficients, kick_unit


class Lookahead(AbstractScheme):
    r"""Damped leapfrog with the gradient taken ahead of the position. On the heavy ball: Nesterov's method.

    $$v^+ = \beta v - \alpha\nabla f(\theta + c\beta v),\qquad \theta^+ = \theta + v^+,\qquad v = h\eta$$

    Frameworks store the shifted point, `State.lookahead`, $\Theta = \theta + c\beta v$
    (for c = 1: $\Theta^+ = \Theta + \beta v^+ - \alpha\nabla f(\Theta)$). As an integrator of the heavy ball at
    fixed friction it is first order: the look-ahead is extra damping along the curvature. On a manifold the shifted
    point is at the end of a geodesic, along which the gradient there is carried back to the tangent space at $\theta$.

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

    def requires(self) -> tuple[type, ...]:
        return (AbstractDamped,)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return None if isinstance(geometry, AbstractManifold) else super().refused_geometry(geometry)

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        assert isinstance(dynamics, AbstractDamped)
        velocity = half_step_velocity(dynamics, position, step_size, velocity, self.start, clock)
        unit = kick_unit(dynamics, clock, step_size)
        weight = self.lookahead_weight(dynamics, clock, step_size)
        weight = weight if unit is None else weight * unit
        begin = State(position, unit=unit, lookahead_weight=weight, clock=clock, geometry=manifold(dynamics))
        return begin.at(position, velocity)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractDamped) and state.lookahead_weight is not None
        after = kick_and_drift(dynamics, state, step_size, draws)
        weight = self.lookahead_weight(dynamics, after.clock, step_size)
        return dataclasses.replace(after, lookahead_weight=weight if after.unit is None else weight * after.unit)

    def lookahead_weight(self, dynamics: AbstractDamped, clock: Clock | None, step_size: ArrayLike) -> Float[Array, ""]:
        """Time for which the velocity is followed to the point where the gradient is taken."""
        # The displacement looked along is the one last made, so a schedule's next step is not needed.
        beta, _ = kick_coefficients(dynamics, clock, step_size)
        return jnp.asarray(self.fraction * beta * step_size)
