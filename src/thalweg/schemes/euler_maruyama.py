"""The Euler-Maruyama method."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import ArrayLike

from .._tree import Vector, combine
from ..dynamics import AbstractAdditive, AbstractDynamics, AbstractWhite, Phase
from ..dynamics._base import Terms
from ._base import AbstractScheme, derivative, noise_count, phase
from ._state import Draws, State


class EulerMaruyama(AbstractScheme):
    r"""Euler's method with the noise of the step: stochastic gradient Langevin dynamics on an overdamped law.

    $$\theta^+ = \theta - h\nabla f(\theta) + \sqrt{2Th}\,R$$

    and on an underdamped law $\theta^+ = \theta + h\eta$,
    $m\eta^+ = m\eta - h(\nabla f(\theta) + \lambda\eta) + \sqrt{2\lambda Th}\,R$. Weak order 1.

    >>> import thalweg as tw
    >>> method = tw.Method(tw.OverdampedLangevin(None, temperature=1.0), tw.EulerMaruyama(), 0.5)
    >>> round(float(tw.analysis.stationary_covariance(method, 1.0)), 6)  # T/(1 - h/2)
    1.333333

    Reference: Kloeden and Platen (1992), section 10.2; Welling and Teh (2011), equation 4.
    """

    @property
    def order(self) -> int:
        return 1

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        return moved_by_noise(dynamics)

    def requires(self) -> tuple[type, ...]:
        return (AbstractAdditive,)

    def normals(self, dynamics: AbstractDynamics) -> int:
        return noise_count(dynamics)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractAdditive)
        h, y = jnp.asarray(step_size), seen(state)
        noise, auxiliary = dynamics.increment(state.time, h, state.auxiliary, draws.noise)
        rates = derivative(dynamics, state.time, y, draws.batch, state.evaluation)
        clock = None if state.clock is None else state.clock.tick(h)
        return State(*with_noise(y, ((h, rates),), noise), clock=clock, auxiliary=auxiliary)

    @property
    def takes_learning_rate(self) -> bool:
        return True


def moved_by_noise(dynamics: AbstractDynamics) -> bool:
    """Tell whether the noise of a law moves its own variables: white noise does not."""
    return isinstance(dynamics, AbstractAdditive) and type(dynamics).increment is not AbstractWhite.increment


def seen(state: State) -> Phase:
    """Position and velocity; what else a law with additive noise has, its increment moves."""
    return phase(state)._replace(auxiliary=None)


def with_noise(y: Phase, drifts: Sequence[tuple[ArrayLike, Phase]], noise: Terms) -> tuple[Vector, Vector | None]:
    """Position and velocity after some drifts, with the noise on the velocity, or on a position that has none."""
    moves = [(h, rate.position) for h, rate in drifts]
    if y.velocity is None:
        return combine((1, y.position), *moves, *noise), None
    kicks = [(h, rate.velocity) for h, rate in drifts]
    return combine((1, y.position), *moves), combine((1, y.velocity), *kicks, *noise)
