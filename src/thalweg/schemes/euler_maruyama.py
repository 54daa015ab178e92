"""The Euler-Maruyama method."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import ArrayLike

from .._errors import InputError
from .._tree import Vector, combine
from ..dynamics import AbstractAdditive, AbstractDynamics, AbstractWhite, GradientFlow, NonreversibleFlow, Phase
from ..dynamics._curved import noise_at
from ..dynamics._noise import Terms
from ..geometry import AbstractDensityGeometry, AbstractGeometry, AbstractManifold, AbstractMetric, AbstractNoise
from ..geometry.base import named
from ._advice import advice
from ._base import AbstractScheme, derivative, evaluated, noise_count, phase
from ._curved import wandered
from ._heated import heated
from ._state import Draws, State


class EulerMaruyama(AbstractScheme):
    r"""Euler's method with the noise of the step: stochastic gradient Langevin dynamics on an overdamped law.

    $$\theta^+ = \theta - h\nabla f(\theta) + \sqrt{2Th}\,R$$

    and on an underdamped law $\theta^+ = \theta + h\eta$,
    $m\eta^+ = m\eta - h(\nabla f(\theta) + \lambda\eta) + \sqrt{2\lambda Th}\,R$. Weak order 1.

    On a manifold a step is the geodesic random walk, $\theta^+ = \mathtt{move}(\theta, -h\operatorname{grad}f +
    \sqrt{2Th}\,\mathtt{noise}\,R)$, whose curve has the drift of the noise; in the geometry of a mirror map it is made
    in dual coordinates, where the noise has none; in a metric that changes with the position its divergence is added.

    >>> import thalweg as tw
    >>> method = tw.Method(tw.OverdampedLangevin(None, temperature=1.0), tw.EulerMaruyama(), 0.5)
    >>> round(float(tw.analysis.stationary_covariance(method, 1.0)), 6)  # T/(1 - h/2)
    1.333333

    Reference: Kloeden and Platen (1992), section 10.2; Welling and Teh (2011), equation 4; on manifolds Cheng, Zhang
    and Sra (2022); in dual coordinates Jiang (2021).
    """

    @property
    def order(self) -> int:
        return 1

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        return moved_by_noise(dynamics)

    def requires(self) -> tuple[type, ...]:
        return (AbstractAdditive,)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        noisy = isinstance(geometry, AbstractMetric) or (
            isinstance(geometry, AbstractDensityGeometry) and isinstance(geometry, AbstractNoise)
        )
        return None if noisy else super().refused_geometry(geometry)

    def check(self, dynamics: AbstractDynamics) -> None:
        space = dynamics.geometry
        if isinstance(dynamics, GradientFlow | NonreversibleFlow) and isinstance(space, AbstractDensityGeometry):
            raise InputError(
                "EulerMaruyama makes the entropy of a functional the noise of its particles, but "
                + (
                    f"in {named(space)} there is no noise; use tw.Euler()"
                    if not isinstance(space, AbstractNoise)
                    else "its rate changes with time; give a number"
                    if callable(getattr(dynamics, "rate", 1))
                    else "this one has none, or only one that its bandwidth smoothes; use tw.Euler()"
                )
            )
        super().check(dynamics)
        if dynamics.geometry is not None and dynamics.order == 2:
            space = named(dynamics.geometry)
            raise InputError(
                f"EulerMaruyama adds noise to the velocities of flat space, and would leave {space}; "
                f"use {advice(dynamics)}"
            )

    def law(self, dynamics: AbstractDynamics) -> AbstractDynamics:
        return heated(dynamics)

    def normals(self, dynamics: AbstractDynamics) -> int:
        return noise_count(dynamics)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractAdditive)
        h, y, geometry = jnp.asarray(step_size), seen(state), dynamics.geometry
        normals = noise_at(geometry, state.position, draws.noise)
        noise, auxiliary = dynamics.increment(state.time, h, state.auxiliary, normals)
        if isinstance(geometry, AbstractManifold):
            rates = dynamics.covariant_rates(state.time, y, evaluated(dynamics, state, draws.batch))
        else:
            rates = derivative(dynamics, state.time, y, draws.batch, state.evaluation)
        clock = None if state.clock is None else state.clock.tick(h)
        return State(*with_noise(y, ((h, rates),), noise, geometry), clock=clock, auxiliary=auxiliary)

    @property
    def takes_learning_rate(self) -> bool:
        return True


def moved_by_noise(dynamics: AbstractDynamics) -> bool:
    """Tell whether the noise of a law moves its own variables: white noise does not."""
    return isinstance(dynamics, AbstractAdditive) and type(dynamics).increment is not AbstractWhite.increment


def seen(state: State) -> Phase:
    """Position and velocity; what else a law with additive noise has, its increment moves."""
    return phase(state)._replace(auxiliary=None)


def with_noise(
    y: Phase, drifts: Sequence[tuple[ArrayLike, Phase]], noise: Terms, geometry: AbstractGeometry | None = None
) -> tuple[Vector, Vector | None]:
    """Position and velocity after some drifts, with the noise on the velocity, or on a position that has none."""
    moves = [(h, rate.position) for h, rate in drifts]
    if y.velocity is None:
        return wandered(geometry, y.position, moves, noise), None
    kicks = [(h, rate.velocity) for h, rate in drifts]
    return combine((1, y.position), *moves), combine((1, y.velocity), *kicks, *noise)
