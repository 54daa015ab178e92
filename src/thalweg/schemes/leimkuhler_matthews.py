"""The method of Leimkuhler and Matthews: Euler-Maruyama with the noise of two steps."""

import jax.numpy as jnp
from jaxtyping import ArrayLike

from .._tree import Vector, combine, zeros_like
from ..dynamics import AbstractDynamics, AbstractFirstOrder, AbstractWhite
from ..dynamics._curved import noise_at
from ..geometry import AbstractGeometry
from ._base import AbstractScheme, derivative, phase
from ._curved import uneven
from ._state import Clock, Draws, State


class LeimkuhlerMatthews(AbstractScheme):
    r"""Euler-Maruyama with each normal used half in this step and half in the next.

    $$\theta_{n+1} = \theta_n - h\nabla f(\theta_n) + \sqrt{2Th}\,\tfrac12(R_n + R_{n+1})$$

    At a finite time of weak order 1 and strong order 1/2, since a position is half a noise of a step away from that of
    the law. Its stationary law is of order 2 at one gradient a step, and exact on a Gaussian; BAOAB in the limit of
    large friction. It starts without a normal of the step before.

    >>> import thalweg as tw
    >>> method = tw.Method(tw.OverdampedLangevin(None, temperature=1.0), tw.LeimkuhlerMatthews(), 0.5)
    >>> round(float(tw.analysis.stationary_covariance(method, 1.0)), 6)
    1.0

    Reference: Leimkuhler and Matthews (2013).
    """

    @property
    def order(self) -> int:
        return 1

    def requires(self) -> tuple[type, ...]:
        return (AbstractFirstOrder, AbstractWhite)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return uneven(geometry)

    def normals(self, dynamics: AbstractDynamics) -> int:
        del dynamics
        return 1

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        del dynamics, step_size, velocity
        return State(position, clock=clock, memory=zeros_like(position))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractWhite)
        h = jnp.asarray(step_size)
        (normal,) = noise_at(dynamics.geometry, state.position, draws.noise)
        half = 0.5 * jnp.sqrt(h) * dynamics.diffusion(state.time)
        drift = derivative(dynamics, state.time, phase(state), draws.batch, state.evaluation).position
        clock = None if state.clock is None else state.clock.tick(h)
        # The half that is kept has the strength of its own step.
        kept = combine((half, normal))
        position = combine((1, state.position), (h, drift), (1, state.memory), (1, kept))
        return State(position, clock=clock, memory=kept)

    @property
    def takes_learning_rate(self) -> bool:
        return True
