"""The stochastic Heun method: a predictor and a corrector with the same noise."""

import jax.numpy as jnp
from jaxtyping import ArrayLike

from .._tree import Vector
from ..dynamics import AbstractAdditive, AbstractDynamics, Phase
from ..dynamics._curved import noise_at
from ..geometry import AbstractGeometry
from ._base import AbstractScheme, derivative, noise_count
from ._curved import uneven
from ._state import Draws, State
from .euler_maruyama import moved_by_noise, seen, with_noise


class StochasticHeun(AbstractScheme):
    r"""Heun's method with the noise of the step in both of its gradients.

    $$\tilde\theta = \theta - h\nabla f(\theta) + \sqrt{2Th}\,R,\qquad
      \theta^+ = \theta - \tfrac h2\bigl(\nabla f(\theta) + \nabla f(\tilde\theta)\bigr) + \sqrt{2Th}\,R$$

    and likewise on an underdamped law, whose noise moves the velocity. The noise is additive, so that it is of weak
    order 2. A temperature that changes is that of the middle of the step.

    >>> import thalweg as tw
    >>> method = tw.Method(tw.OverdampedLangevin(None, temperature=1.0), tw.StochasticHeun(), 0.5)
    >>> method.gradients_per_step, round(float(tw.analysis.stationary_covariance(method, 1.0)), 6)
    (2, 0.923077)

    Reference: Kloeden and Platen (1992), section 15.1.
    """

    @property
    def order(self) -> int:
        return 2

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        return moved_by_noise(dynamics)

    def requires(self) -> tuple[type, ...]:
        return (AbstractAdditive,)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return uneven(geometry)

    def normals(self, dynamics: AbstractDynamics) -> int:
        return noise_count(dynamics)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractAdditive)
        h, y = jnp.asarray(step_size), seen(state)
        middle, end = (None, None) if state.clock is None else map(state.clock.after, (0.5 * h, h))
        normals = noise_at(dynamics.geometry, state.position, draws.noise)
        noise, auxiliary = dynamics.increment(middle, h, state.auxiliary, normals)

        def moved(*rates: tuple[ArrayLike, Phase]) -> tuple[Vector, Vector | None]:
            return with_noise(y, [(h * weight, rate) for weight, rate in rates], noise)

        first = derivative(dynamics, state.time, y, draws.batch, state.evaluation)
        second = derivative(dynamics, end, Phase(*moved((1.0, first))), draws.batch)
        clock = None if state.clock is None else state.clock.tick(h)
        return State(*moved((0.5, first), (0.5, second)), clock=clock, auxiliary=auxiliary)

    @property
    def takes_learning_rate(self) -> bool:
        return True
