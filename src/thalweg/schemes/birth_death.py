"""Birth and death of mass on particles that move with noise."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from .._errors import InputError
from .._measures.functional import AbstractFunctional, Sum
from .._measures.internal import Entropy
from .._measures.particles import Particles
from .._tree import Vector
from ..dynamics import AbstractDynamics, GradientFlow
from ..geometry import AbstractGeometry, WassersteinFisherRao
from ..geometry._densities import per_mass
from ._base import AbstractScheme
from ._state import Clock, Draws, State


class BirthDeath(AbstractScheme):
    r"""Particles that move with noise and are born and die by their weights, in `tw.geometry.WassersteinFisherRao`.

    Of $F + T\int\rho\log\rho$, with rate r, transport a and reaction b, a step is one of Langevin dynamics and then the
    exact change of weights at the first variation $\phi$ there,

    $$x_i^+ = x_i - rah\,\nabla\frac{\delta F}{\delta\rho}(x_i) + \sqrt{2raTh}\,R_i,\qquad
      w_i^+ \propto w_i\,e^{-rbh\,\phi(x_i^+)}$$

    so that weights stay positive at any step and sum to one. $\phi$ has the logarithm of the density, which is that of
    the particles smoothed by the `bandwidth` of the functional, as `tw.measures.KL(target, bandwidth=0.3)`: the noise
    has no bias of it, the weights one of fourth order in it, and one of few particles to a bandwidth. Where modes are
    of one shape and have as many particles, neither changes their masses.

    Mass is born where particles are, and nowhere else: a mode that none of them is in, and none reaches, gets none.

    Raises:
        InputError: the law is no gradient flow in `WassersteinFisherRao`, an entropy has no bandwidth or a negative
            coefficient, or the start is not particles.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.KL(lambda x: 10.0 * (x[0] ** 2 - 4.0) ** 2 + 0.25 * x[0], bandwidth=0.1)  # wells at -2, 2
    >>> flow = tw.GradientFlow(F, geometry=tw.geometry.WassersteinFisherRao(transport=0.1))
    >>> start = tw.measures.Particles(jnp.where(jnp.arange(40) < 20, -2.0, 2.0))
    >>> end = tw.run(tw.Method(flow, tw.BirthDeath(), 0.01), start, 1000, key=0).final.position
    >>> bool(0.65 < end.weights[:20].sum() < 0.8)  # e/(1 + e)
    True

    Reference: Lu, Lu and Nolen (2019).
    """

    @property
    def order(self) -> int:
        return 1

    @property
    def takes_learning_rate(self) -> bool:
        return True

    def counts(self, dynamics: AbstractDynamics) -> tuple[int, int]:
        return 0, 2

    def normals(self, dynamics: AbstractDynamics) -> int:
        del dynamics
        return 1

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return None if isinstance(geometry, WassersteinFisherRao) else super().refused_geometry(geometry)

    def check(self, dynamics: AbstractDynamics) -> None:
        if not (isinstance(dynamics, GradientFlow) and isinstance(dynamics.geometry, WassersteinFisherRao)):
            raise InputError(
                "BirthDeath moves particles and their weights by a gradient flow in "
                "tw.geometry.WassersteinFisherRao(); take tw.GradientFlow(F, geometry=...) with that"
            )
        super().check(dynamics)
        functional = dynamics.objective
        if not isinstance(functional, AbstractFunctional):
            return
        for coefficient, term in _entropies(functional):
            if term.bandwidth is None:
                raise InputError(
                    "BirthDeath weighs particles by their density, which needs a bandwidth, such as that of "
                    "tw.measures.KL(target, bandwidth=0.3)"
                )
            if not isinstance(coefficient, Tracer) and not float(coefficient) >= 0.0:
                raise InputError(
                    f"the entropy of the functional has the coefficient {float(coefficient):g}, but noise needs one "
                    "that is not negative"
                )

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        if not isinstance(position, Particles):
            raise InputError("BirthDeath moves particles; start from tw.measures.Particles")
        return super().init(dynamics, position, step_size, velocity, clock)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        law, q, drawn = dynamics, state.position, draws.noise[0]
        assert isinstance(law, GradientFlow) and isinstance(law.geometry, WassersteinFisherRao)
        functional: Any = law.objective
        h, dtype = jnp.asarray(step_size), q.weights.dtype
        time = law.start_time if state.time is None else state.time
        way = h * jnp.asarray(law.rate(time) if callable(law.rate) else law.rate)
        own = _entropies(functional)
        heat = sum((jnp.asarray(coefficient) for coefficient, _ in own), jnp.zeros(()))
        rest = Sum(tuple(pair for pair in functional.terms if all(pair[1] is not term for _, term in own)))
        far, wide = law.geometry.transport * way, jnp.sqrt(2.0 * law.geometry.transport * way * heat)
        slope: Any = rest.gradient(q)
        slid = per_mass(slope.positions, q.weights)
        moved = q.positions - far.astype(dtype) * slid + wide.astype(dtype) * drawn.positions
        there = _at(q, moved, q.weights)
        weights = reweighted(there, functional, (law.geometry.reaction * way).astype(dtype))
        clock = None if state.clock is None else state.clock.tick(h)
        return State(_at(q, moved, weights), clock=clock)

    def remark(self, state: State) -> str:
        q: Any = state.position
        return (
            f"; mass was born only where its {q.weights.size} particles were: a mode that none of them was in has "
            "none, which no number here can tell"
        )


def reweighted(q: Any, functional: Any, time: Any) -> Array:
    """The weights after the reaction alone, at the first variation that is there at first."""
    found: Any = functional.gradient(q)
    alive = q.weights > 0.0
    risen = jnp.where(alive, jnp.log(jnp.where(alive, q.weights, 1.0)) - time * found.weights, -jnp.inf)
    return jax.nn.softmax(risen)


def _entropies(functional: AbstractFunctional) -> tuple[tuple[Any, Entropy], ...]:
    return tuple((coefficient, term) for coefficient, term in functional.terms if isinstance(term, Entropy))


def _at(q: Particles, positions: Array, weights: Array) -> Particles:
    return eqx.tree_at(lambda q: (q.positions, q.weights), q, (positions, weights))
