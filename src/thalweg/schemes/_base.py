"""Abstract schemes: pure maps from one state to the next."""

import abc
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError
from .._module import Module
from .._objectives.objective import Batch
from .._showing.modules import shown
from .._tree import Unravel, Vector, combine
from .._typed import check_fields
from ..dynamics import (
    AbstractDamped,
    AbstractDynamics,
    AbstractFirstOrder,
    AbstractNoisy,
    AbstractSecondOrder,
    Evaluation,
    Phase,
)
from ..dynamics._curved import check_noise, no_manifold
from ..geometry import AbstractDualFlat, AbstractGeometry, AbstractManifold
from ..geometry.base import named
from ._advice import advice
from ._state import Clock, Draws, Report, State, Termination


class AbstractScheme(Module):
    """Cuts time into steps. A step is a deterministic function of its arguments."""

    # Whether the right-hand side of a law is evaluated, at the end of a step too, for all that is known.
    takes_rates: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_fields(self)

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """Order of convergence to the law of motion, at fixed constants of the law."""

    def __repr__(self) -> str:
        return shown(self)

    def requires(self) -> tuple[type, ...]:
        """The parts of a law that this scheme acts on, as abstract classes: `AbstractDamped`, `AbstractNoisy`, ..."""
        return ()

    def normals(self, dynamics: AbstractDynamics) -> int:
        """Number of standard normals of the position's shape that a step draws."""
        del dynamics
        return 0

    def uniforms(self, dynamics: AbstractDynamics) -> int:
        """Number of scalars, uniform in [0, 1), that a step draws."""
        del dynamics
        return 0

    def check(self, dynamics: AbstractDynamics) -> None:
        """Refuse a dynamics that lacks a part, with the reason, or whose noise the scheme would leave out."""
        required = self.requires()
        missing = [part for part in required if not isinstance(dynamics, part)]
        noisy = isinstance(dynamics, AbstractNoisy)
        if not noisy and any(issubclass(part, AbstractNoisy) for part in missing):
            raise InputError(
                f"{type(self).__name__} adds the noise of a law, but {type(dynamics).__name__} has none; "
                "use tw.Euler(), or a law with a temperature"
            )
        if missing:
            lacks = " or ".join(map(_part, missing)).replace(" and ", " or ")
            raise InputError(
                f"{type(self).__name__} acts on {' and '.join(map(_part, required))}, but "
                f"{type(dynamics).__name__} has no separate {lacks}; use {advice(dynamics)}"
            )
        if noisy and not self.normals(dynamics):
            raise InputError(
                f"{type(dynamics).__name__} has noise, which {type(self).__name__} would leave out; "
                f"use {advice(dynamics)}"
            )
        if dynamics.has_auxiliary and not self.moves_auxiliary(dynamics):
            raise InputError(
                f"{type(dynamics).__name__} has variables besides position and velocity, which {type(self).__name__} "
                f"would leave where they are; use {advice(dynamics)}"
            )
        if dynamics.geometry is not None:
            self._check_geometry(dynamics, dynamics.geometry)

    def _check_geometry(self, dynamics: AbstractDynamics, geometry: AbstractGeometry) -> None:
        reason = self.refused_geometry(geometry)
        if reason is not None:
            motion = "tw.Leapfrog()" if isinstance(dynamics, AbstractDamped) else "tw.Euler()"
            plain = isinstance(geometry, AbstractManifold) and not isinstance(dynamics, AbstractNoisy)
            use = motion if plain else advice(dynamics)
            raise InputError(f"{type(self).__name__} {reason}; use {use}, or leave out the geometry")
        if isinstance(dynamics, AbstractDamped) and not isinstance(geometry, AbstractManifold):
            raise InputError(
                f"{type(dynamics).__name__} needs a manifold, but {no_manifold(geometry)}; leave out its geometry"
            )
        if isinstance(dynamics, AbstractNoisy):
            check_noise(geometry, type(dynamics).__name__)
        if dynamics.has_auxiliary and isinstance(geometry, AbstractManifold):
            raise InputError(
                f"{type(dynamics).__name__} has variables besides position and velocity, which cannot be carried along "
                f"{named(geometry)}; leave out its geometry"
            )

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        """The reason why the scheme has no right form in a geometry; None where it has one."""
        if isinstance(geometry, AbstractManifold):
            return f"adds vectors of flat space, and would leave {named(geometry)}"
        if isinstance(geometry, AbstractDualFlat):
            return f"adds vectors of flat space, and would leave the domain of {named(geometry)}"
        return f"takes the gradient of f for that of the law, which {named(geometry)} makes another"

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        """Tell whether the scheme moves the variables that a law has besides position and velocity."""
        del dynamics
        return False

    @property
    def exact_law(self) -> bool:
        r"""Tell whether a step of any size leaves $e^{-f/T}$ as it is, on every function."""
        return False

    def report(self, state: State) -> Report:
        """Numbers that the scheme tells of a state: none, unless it counts or ends by itself."""
        del state
        return Report()

    def known(self, state: State) -> Evaluation | None:
        """$f$ and its gradient at the look-ahead point, where the scheme keeps them; None where it does not."""
        del state

    def termination(self, state: State) -> Termination | None:
        """End of the motion, where its report says `ended`; None while it goes on, and where it goes on for ever."""
        del state

    def counts(self, dynamics: AbstractDynamics) -> tuple[int, int] | None:
        """Gradients at the start and in a step where a scheme moves distributions; None: they are counted."""
        return None

    def remark(self, state: State) -> str:
        """Words for what a user has to know of a state at the end of a run, after "; "; or nothing."""
        del state
        return ""

    @property
    def adaptive(self) -> bool:
        """Tell whether the scheme sets how far in time a step goes, so that its time has to be carried."""
        return False

    @property
    def controlled(self) -> bool:
        """Tell whether f itself sets the length of a step, so that no linear map makes it and no limit is its own.

        Unless it is adaptive too, the step is then not for a user to set: what it is tuned by is its own arrays.
        """
        return False

    @property
    def takes_learning_rate(self) -> bool:
        """Tell whether its step on a first-order law goes by the name of a learning rate, as in every framework."""
        return False

    def exchanged(self, state: State, other: State, scale: ArrayLike) -> State:
        """A state where another one is: its position and what belongs to it, its velocities times `scale`."""
        scaled = jax.tree.map(lambda leaf: combine((scale, leaf)), (other.buffer, other.auxiliary))
        return dataclasses.replace(
            state, position=other.position, buffer=scaled[0], memory=other.memory, auxiliary=scaled[1]
        )

    def law(self, dynamics: AbstractDynamics) -> AbstractDynamics:
        """The law as the scheme takes it: itself, unless what moves by it moves by another as well."""
        return dynamics

    def specialised(self, dynamics: AbstractDynamics) -> "AbstractScheme":
        """The scheme with what it takes from the facts that the objective of its method states."""
        del dynamics
        return self

    def flattened(self, unravel: Unravel) -> "AbstractScheme":
        """The scheme on raveled parameters: itself, unless it keeps numbers for each of them."""
        del unravel
        return self

    def unsized(self) -> "AbstractScheme":
        """The scheme for parameters of any number, on which its gradients are counted: itself, unless it keeps some."""
        return self

    def linearised(self) -> "AbstractScheme":
        """The scheme as the linear probe takes it: itself, unless a part of it is not linear on any function."""
        return self

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        """The state at the start: the position, a velocity and what else the law has, unless the scheme keeps more."""
        del step_size
        auxiliary = dynamics.initial_auxiliary(position)
        if isinstance(dynamics, AbstractFirstOrder):
            return State(position, clock=clock, auxiliary=auxiliary)
        return State(position, start_velocity(dynamics, position, velocity), clock=clock, auxiliary=auxiliary)

    @abc.abstractmethod
    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        """One step."""

    def without_interpolation(self, dynamics: AbstractDynamics) -> str:
        """The reason why the law's rates say nothing of the states between two steps; or nothing."""
        del dynamics
        return "its state is not known to be the law's at one time"

    def without_reverse(self) -> str:
        """The reason why a step has no derivative in reverse, and what has one; or nothing."""
        return ""

    def without_derivative(self, dynamics: AbstractDynamics) -> str:
        """The reason why a step of a law has no derivative at all, and what has one; or nothing."""
        del dynamics
        return ""

    def without_inverse(self, dynamics: AbstractDynamics) -> str:
        """The reason why a step of a law has no inverse that is known here; or nothing."""
        del dynamics
        return "its step is not gone back by a formula"

    def inverse(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        """The state before a step, of the one after it with the clock before it and what was drawn for it."""
        raise InputError(f"{type(self).__name__} has no inverse: {self.without_inverse(dynamics)}")

    def inverse_growth(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike) -> Array:
        """The factor by which the inverse may multiply a rounding, of a step from a state."""
        raise InputError(f"{type(self).__name__} has no inverse: {self.without_inverse(dynamics)}")


def _part(kind: type) -> str:
    """The word for a part of a law."""
    return vars(kind).get("part", kind.__name__)


def check_exact(scheme: AbstractScheme, dynamics: AbstractDynamics, instead: str, what: str = "energy") -> None:
    """Refuse an objective that draws mini-batches, and where its energy is compared one that depends on time."""
    if dynamics.objective is not None and dynamics.objective.stochastic:
        raise InputError(
            f"{type(scheme).__name__} needs the exact {what}, but the objective draws mini-batches; "
            f"leave out its batch_size, or use {instead}"
        )
    if what == "energy" and dynamics.objective_changes:
        raise InputError(
            f"{type(scheme).__name__} needs one energy at all times, but the objective depends on time; use {instead}"
        )


def noise_count(dynamics: AbstractDynamics) -> int:
    """Number of normals that a law takes at a time."""
    return dynamics.normals if isinstance(dynamics, AbstractNoisy) else 0


def start_velocity(dynamics: AbstractDynamics, position: Vector, velocity: Vector | None) -> Vector:
    """The user's starting velocity, or that of a second-order law, `initial_velocity`."""
    assert isinstance(dynamics, AbstractSecondOrder)
    return dynamics.initial_velocity(position) if velocity is None else velocity


def phase(state: State) -> Phase:
    """Everything that moves: the position, the velocity where there is one, and variables that a law has besides."""
    return Phase(state.position, state.velocity, state.auxiliary)


def evaluated(dynamics: AbstractDynamics, state: State, batch: Batch, value: bool = False) -> Evaluation:
    """The evaluation at the look-ahead point of a state: the one that a loop has made, or a new one.

    Arguments:
        dynamics: the law.
        state: where.
        batch: the mini-batch of the step, `draws.batch`.
        value: whether f itself is needed too.
    """
    found = state.evaluation
    if found is None or (value and found.value is None):
        evaluate = dynamics.evaluate_with_value if value else dynamics.evaluate
        found = evaluate(state.time, phase(state)._replace(position=state.lookahead), batch)
    return found


def energy(scheme: AbstractScheme, dynamics: AbstractDynamics, state: State) -> Float[Array, ""]:
    """$f$ at the position, without an evaluation where the scheme keeps it."""
    known = scheme.known(state)
    if known is None or known.value is None:
        return dynamics.energy(state.position)
    return known.value


def derivative(
    dynamics: AbstractDynamics, time: Any, y: Phase, batch: Batch, evaluation: Evaluation | None = None
) -> Phase:
    r"""The rate of change of a `Phase`, its noise left out; from an evaluation there, if one is given.

    $$\dot y = \mathtt{rates}(t, y, \mathtt{evaluate}(t, y))$$

    In the geometry of a mirror map that of the dual coordinates of the position, which are what a scheme adds to there.

    Raises:
        InputError: the law gives another structure than the phase has.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> from thalweg.dynamics import Phase
    >>> from thalweg.schemes import derivative
    >>> ball = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), friction=0.5)
    >>> derivative(ball, None, Phase(jnp.array([1.0]), jnp.array([4.0])), None).velocity.tolist()
    [-3.0]
    """
    of = dynamics.dual_rates if isinstance(dynamics.geometry, AbstractDualFlat) else dynamics.rates
    rates = of(time, y, dynamics.evaluate(time, y, batch) if evaluation is None else evaluation)
    for part, here, there in zip(Phase._fields, y, rates, strict=True):
        if jax.tree.structure(here) != jax.tree.structure(there):
            raise InputError(
                f"{type(dynamics).__name__}: rates must give {part} of the structure that the phase has, but for "
                f"{_structure(here)} it gives {_structure(there)}"
            )
    return rates


def _structure(tree: PyTree) -> str:
    return "None" if tree is None else str(jax.tree.structure(tree)).removeprefix("PyTreeDef")


def start_of(dynamics: AbstractDynamics, clock: Clock | None) -> Float[Array, ""]:
    """The time at which a motion begins: that of its clock, or the law's own."""
    return dynamics.start_time if clock is None else clock.time


def half_step_velocity(
    dynamics: AbstractDamped,
    position: Vector,
    step_size: ArrayLike,
    velocity: Vector | None,
    start: str,
    clock: Clock | None,
) -> Vector:
    r"""The half-step velocity $\eta_{-1/2}$.

    `exact`: $\eta_0 - \tfrac h2\ddot\theta_0$, so that the motion is right to second order;
    `zero`: the empty buffer of every framework, the given velocity as it is.
    """
    given = start_velocity(dynamics, position, velocity)
    if start == "zero":
        return given
    acceleration = dynamics.acceleration(start_of(dynamics, clock), position, given)
    return combine((1, given), (-0.5 * jnp.asarray(step_size), acceleration))


__all__ = [
    "AbstractDamped",
    "AbstractFirstOrder",
    "AbstractScheme",
    "AbstractSecondOrder",
    "check_exact",
    "derivative",
    "energy",
    "evaluated",
    "half_step_velocity",
    "noise_count",
    "phase",
    "start_of",
    "start_velocity",
]
