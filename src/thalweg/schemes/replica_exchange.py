"""Replica exchange: copies at higher temperatures, which cross barriers, trade places with the coldest one."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from .._errors import InputError, check_count, check_number
from .._module import Module
from .._tree import Vector
from ..dynamics import AbstractDynamics, AbstractNoisy
from ..dynamics._base import at_time
from ..geometry import AbstractGeometry
from ._base import AbstractScheme, energy
from ._state import Clock, Draws, Report, State
from .euler_maruyama import EulerMaruyama
from .leimkuhler_matthews import LeimkuhlerMatthews


class Replicas(Module):
    """Memory besides the coldest replica's position and velocity."""

    coldest: PyTree
    others: tuple[State, ...]
    steps: Int[Array, ""]
    proposed: Int[Array, "... pairs"]
    accepted: Int[Array, "... pairs"]


def _ladder(value: Any) -> Any:
    try:
        return jnp.asarray(value, float)
    except (TypeError, ValueError, OverflowError):
        return value


class ReplicaExchange(AbstractScheme):
    r"""The same scheme at several temperatures $T_i$ side by side, neighbours of which trade places now and then.

    $$(\theta_i, \theta_{i+1}) \leftarrow (\theta_{i+1}, \theta_i)
      \text{ with probability } \min\Bigl(1, \exp\bigl[(1/T_i - 1/T_{i+1})(f_i - f_{i+1})\bigr]\Bigr)$$

    Position and velocity of a run are those of the coldest replica, which has the law's own temperature. The even pairs
    and the odd ones take turns. A velocity that goes from $T_j$ to $T_i$ is multiplied by $\sqrt{T_i/T_j}$, and so are
    the variables of a memory. All replicas start at the same point. A step takes the gradients of all of them.

    Arguments:
        scheme: what makes the steps: `tw.EulerMaruyama()`, `tw.StochasticHeun()`, `tw.MetropolisAdjustedLangevin()` or
            `tw.Splitting(word)`.
        temperatures: of the replicas in units of the law's own, from 1 upwards.
        every: so many steps from one exchange to the next.

    Raises:
        InputError: the scheme shares a noise between two steps, the temperatures do not go up from 1, or `every` is no
            whole number of at least 1; with the law, where it does not settle to $e^{-f/T}$, its temperature is
            zero, or its objective draws mini-batches or depends on time.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> law = tw.OverdampedLangevin(lambda x: jnp.sum((x**2 - 1) ** 2), temperature=0.1)
    >>> exchange = tw.ReplicaExchange(tw.MetropolisAdjustedLangevin(), temperatures=(1.0, 2.0, 4.0), every=5)
    >>> method = tw.Method(law, exchange, 0.05)
    >>> run = tw.run(method, jnp.array([-1.0]), 2000, key=0)
    >>> method.gradients_per_step, exchange.exchanged(run.state).shape, bool(exchange.exchanged(run.state).min() > 0.2)
    (3, (2,), True)

    Reference: Swendsen and Wang (1986); with velocities, Sugita and Okamoto (1999).
    """

    scheme: AbstractScheme = eqx.field(default=EulerMaruyama())
    temperatures: Float[Array, " replicas"] = eqx.field(default=(1.0, 2.0, 4.0), converter=_ladder)
    every: int = eqx.field(default=10, static=True)

    def __check_init__(self) -> None:
        if isinstance(self.scheme, LeimkuhlerMatthews):
            raise InputError(
                "LeimkuhlerMatthews keeps half of its last noise, which belongs to one temperature and cannot be "
                "exchanged; use tw.EulerMaruyama() or tw.StochasticHeun()"
            )
        if not isinstance(self.scheme, AbstractScheme) or isinstance(self.scheme, ReplicaExchange):
            raise InputError(f"scheme must be one that makes steps, such as tw.EulerMaruyama(), but is {self.scheme!r}")
        check_count("every", self.every)
        if isinstance(self.temperatures, Tracer):
            return
        if not isinstance(self.temperatures, jax.Array) or self.temperatures.ndim != 1 or self.temperatures.size < 2:
            raise InputError(f"temperatures must be two numbers or more, (1.0, 2.0), but are {self.temperatures!r}")
        ladder = np.asarray(self.temperatures)
        if not (ladder[0] == 1.0 and np.all(np.diff(ladder) > 0.0) and np.isfinite(ladder).all()):
            raise InputError(
                f"temperatures must go up from 1, the law's own, but are {', '.join(f'{t:g}' for t in ladder)}"
            )

    @property
    def order(self) -> int:
        return self.scheme.order

    @property
    def exact_law(self) -> bool:
        return self.scheme.exact_law

    def linearised(self) -> AbstractScheme:
        return self.scheme.linearised()

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        return self.scheme.moves_auxiliary(dynamics)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return self.scheme.refused_geometry(geometry)

    def requires(self) -> tuple[type, ...]:
        return (*self.scheme.requires(), AbstractNoisy)

    def normals(self, dynamics: AbstractDynamics) -> int:
        return self._replicas * self.scheme.normals(dynamics)

    def uniforms(self, dynamics: AbstractDynamics) -> int:
        return self._replicas * self.scheme.uniforms(dynamics) + self._replicas - 1

    @property
    def _replicas(self) -> int:
        return self.temperatures.shape[-1]

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        self.scheme.check(dynamics)
        name = type(dynamics).__name__
        if not isinstance(dynamics, AbstractNoisy) or not dynamics.canonical or not hasattr(dynamics, "temperature"):
            raise InputError(f"replicas trade places as the law exp(-f/T) has it, to which {name} does not settle")
        if not callable(dynamics.temperature):  # pyright: ignore[reportAttributeAccessIssue]
            check_number("temperature", dynamics.temperature, above=0.0)  # pyright: ignore[reportAttributeAccessIssue]
        self._check_exact(dynamics)

    def _check_exact(self, dynamics: AbstractDynamics) -> None:
        if dynamics.objective is not None and dynamics.objective.stochastic:
            raise InputError(
                "an exchange needs the exact energy, but the objective draws mini-batches; leave out its batch_size"
            )
        if dynamics.objective_changes:
            raise InputError(
                "an exchange needs one energy at all times, but the objective depends on time; "
                "use the scheme without replicas"
            )

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        # The objective may have been changed since the method was made.
        self._check_exact(dynamics)
        first = self.scheme.init(dynamics, position, step_size, velocity, clock)
        others = (dataclasses.replace(first, clock=None),) * (self._replicas - 1)
        none = jnp.zeros(self._replicas - 1, int)
        return dataclasses.replace(first, memory=Replicas(first.memory, others, jnp.zeros((), int), none, none))

    def replicas(self, state: State) -> tuple[State, ...]:
        """The states of the replicas, the coldest first: what a state of `scheme` is read by serves for each."""
        memory, clock = state.memory, state.clock
        others = (dataclasses.replace(other, clock=clock) for other in memory.others)
        return dataclasses.replace(state, memory=memory.coldest), *others

    def exchanged(self, state: State) -> Float[Array, "... pairs"]:
        """The fraction of exchanges that were accepted, for each pair of neighbours; of `run.state`, say."""
        return state.memory.accepted / state.memory.proposed

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        assert isinstance(dynamics, AbstractNoisy)
        n, u, k = self.scheme.normals(dynamics), self.scheme.uniforms(dynamics), self._replicas
        laws: list[Any] = [dynamics.heated(factor) for factor in self.temperatures]
        states = tuple(
            self.scheme.step(
                laws[i],
                replica,
                step_size,
                Draws(None, draws.noise[n * i : n * i + n], draws.uniforms[u * i : u * i + u]),
            )
            for i, replica in enumerate(self.replicas(state))
        )
        clock, steps = states[0].clock, state.memory.steps + 1
        due = steps % self.every == 0
        turn = (steps // self.every - 1) % 2
        proposed = due & (jnp.arange(k - 1) % 2 == turn)
        own = at_time(dynamics.temperature, state.time)  # pyright: ignore[reportAttributeAccessIssue]
        temperatures = self.temperatures * jnp.asarray(own)

        def exchange(states: tuple[State, ...]) -> tuple[tuple[State, ...], Array]:
            found, accepted = list(states), []
            # Each energy once: of the pairs that take turns none shares a replica.
            energies = [energy(self.scheme, dynamics, replica) for replica in states]
            for i in range(k - 1):
                log_ratio = log_exchange(temperatures[i], temperatures[i + 1], energies[i], energies[i + 1])
                swap = proposed[i] & (draws.uniforms[u * k + i] < jnp.exp(log_ratio))
                cold, hot = found[i], found[i + 1]
                scale = jnp.sqrt(temperatures[i] / temperatures[i + 1])
                swapped = self.scheme.exchanged(cold, hot, scale), self.scheme.exchanged(hot, cold, 1.0 / scale)
                pair = jax.tree.map(lambda new, old, swap=swap: jnp.where(swap, new, old), swapped, (cold, hot))
                found[i : i + 2] = pair
                accepted.append(swap)
            return tuple(found), jnp.stack(accepted)

        states, accepted = jax.lax.cond(due, exchange, lambda states: (states, jnp.zeros(k - 1, bool)), states)
        memory = Replicas(
            states[0].memory,
            tuple(dataclasses.replace(other, clock=None) for other in states[1:]),
            steps,
            state.memory.proposed + proposed,
            state.memory.accepted + accepted,
        )
        return dataclasses.replace(states[0], clock=clock, memory=memory)

    def report(self, state: State) -> Report:
        found = [self.scheme.report(replica).broken for replica in self.replicas(state)]
        broken = [count for count in found if count is not None]
        return Report(broken=jnp.stack(broken).sum(axis=0) if broken else None)

    @property
    def takes_learning_rate(self) -> bool:
        return self.scheme.takes_learning_rate


def log_exchange(
    cold: ArrayLike, hot: ArrayLike, energy_cold: Float[Array, ""], energy_hot: Float[Array, ""]
) -> Float[Array, ""]:
    r"""The logarithm of $e^{-f_j/T_i - f_i/T_j}$ over $e^{-f_i/T_i - f_j/T_j}$."""
    return (1.0 / jnp.asarray(cold) - 1.0 / jnp.asarray(hot)) * (energy_cold - energy_hot)
