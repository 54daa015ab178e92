"""Abstract laws of motion."""

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError, check_arguments, check_number
from .._module import Module
from .._objectives.objective import AbstractObjective, Batch
from .._showing.modules import shown
from .._tree import Unravel, Vector, combine, copied, scalar, zeros_like
from .._typed import check_fields
from ..geometry import (
    AbstractDualFlat,
    AbstractEmbedded,
    AbstractGeometry,
    Euclidean,
)
from ._curved import as_tangent

Time = Float[Array, ""] | None
# A constant is an array, so that another compiles nothing anew; where it is the number 1 it multiplies nothing.
Coefficient = Float[Array, ""] | int | Callable[[Float[Array, ""]], ArrayLike]


class Phase(NamedTuple):
    """All that moves; a part is None where a law has none of it.

    `auxiliary` are the law's own variables besides position and velocity: averages of gradients, a coloured noise, a
    thermostat.
    """

    position: Vector
    velocity: Vector | None = None
    auxiliary: PyTree = None


class Evaluation(NamedTuple):
    r"""Facts learned of the objective for one right-hand side, and where.

    `gradient` is $\nabla f$ at `point`; `curved` is $\nabla^2f\,\dot\theta$ there, for the laws that take it; `value`
    is f, where it is known.
    """

    point: Vector
    value: Float[Array, ""] | None = None
    gradient: Vector | None = None
    curved: Vector | None = None


def coefficient(value: Any) -> Any:
    """A constant as an array leaf, a function of time as it is: `eqx.field(converter=coefficient)`."""
    return value if callable(value) else scalar(value)


def check_coefficient(what: str, value: Coefficient, **bounds: float) -> None:
    """Check a constant; a function of time is checked where it is called.

    Arguments:
        what: its name, for the message.
        value: a number or a function of time.
        bounds: `above`, `at_least`, `below`: numbers.

    Raises:
        InputError: it is not one finite number within the bounds.

    >>> from thalweg.dynamics import check_coefficient, coefficient
    >>> check_coefficient("friction", coefficient(-1.0), at_least=0.0)
    Traceback (most recent call last):
    thalweg._errors.InputError: friction must be at least 0, but is -1
    """
    if callable(value):
        check_arguments(what, value, "time")
    else:
        check_number(what, value, **bounds)


def at_time(value: Coefficient, time: Time) -> ArrayLike:
    """The value of a constant or time-dependent coefficient.

    >>> import jax.numpy as jnp
    >>> from thalweg.dynamics import at_time, coefficient
    >>> float(at_time(coefficient(3.0), None)), float(at_time(lambda t: 3.0 / t, jnp.array(2.0)))
    (3.0, 1.5)
    """
    if not callable(value):
        return value
    assert time is not None
    return value(time)


class AbstractDynamics(Module):
    r"""A law of motion in continuous time, $\dot y = \mathtt{rates}(t, y, \mathtt{evaluate}(t, y))$ of a whole phase y.

    `order` is 1 (the state is a position) or 2 (a position and a velocity); in either case a law may have variables of
    its own besides, which start at `initial_auxiliary`. Its parts, of which a scheme may ask, are abstract classes:
    `AbstractDamped`, `AbstractNoisy`, ...; a scheme refuses a law that lacks one it needs.
    """

    objective: eqx.AbstractVar[AbstractObjective | None]
    order: eqx.AbstractClassVar[int]
    # Whether the right-hand side is the same on all parameters as one vector: entry by entry, or by sums over all of
    # them. A law that says so is run on one vector, which is faster; of any other the shapes are kept.
    elementwise: ClassVar[bool] = False
    # Whether the right-hand side takes the position itself, and not only what was learned of the objective there.
    takes_position: ClassVar[bool] = True
    # None is flat space. Not annotated where it runs, or the field of that name would be the first of a law's.
    if TYPE_CHECKING:
        geometry: ClassVar[AbstractGeometry | None]
    geometry = None

    def __repr__(self) -> str:
        return shown(self)

    def __check_init__(self) -> None:
        check_fields(self)

    @property
    def autonomous(self) -> bool:
        """Tell whether the law is the same at all times, so that no clock has to be carried."""
        return True

    @property
    def start_time(self) -> Float[Array, ""]:
        """The time at which a run begins."""
        return jnp.zeros((), float)

    @property
    def late_time(self) -> Float[Array, ""]:
        """The time at which the linear probe freezes the coefficients."""
        return self.start_time

    def evaluate(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        """Evaluate the objective for one right-hand side: its gradient at the position, unless overridden."""
        return Evaluation(phase.position, gradient=self._objective(time).gradient(phase.position, batch))

    def evaluate_with_value(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        """The same with the value of the objective there, where the law has one: from one evaluation if it can be."""
        if self.objective is None:
            return self.evaluate(time, phase, batch)
        if type(self).evaluate is AbstractDynamics.evaluate:
            value, gradient = self._objective(time).value_and_gradient(phase.position, batch)
            return Evaluation(phase.position, value, gradient)
        return self.evaluate(time, phase, batch)._replace(value=self._objective(time).value(phase.position, batch))

    @abc.abstractmethod
    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        """The right-hand side, whole, without its noise; None for variables that only the noise's part moves.

        On a manifold in a surrounding space that of the coordinates there.
        """

    def covariant_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        """The same, with the covariant derivative of the velocity: without what keeps a free motion on a manifold."""
        rates = self.rates(time, phase, evaluation)
        if rates.velocity is None or not isinstance(self.geometry, AbstractEmbedded):
            return rates
        bend = self.geometry.bend(phase.position, phase.velocity)
        return rates._replace(velocity=self.geometry.tangent(phase.position, combine((1, rates.velocity), (-1, bend))))

    def dual_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        """The same, with the rate of the dual coordinates that an `AbstractDualFlat` geometry has."""
        rates = self.rates(time, phase, evaluation)
        assert isinstance(self.geometry, AbstractDualFlat)
        return rates._replace(position=self.geometry.lowered(phase.position, rates.position))

    def during(self, time: Time, duration: ArrayLike) -> Any:
        """The law on a step: itself, unless its right-hand side jumps, when it is that of the piece the step is in."""
        del time, duration
        return self

    def initial_auxiliary(self, position: Vector) -> PyTree:
        """The law's variables besides position and velocity at the start; None where it has none."""
        del position
        return None

    @property
    def has_auxiliary(self) -> bool:
        """Tell whether the law has variables besides position and velocity."""
        return type(self).initial_auxiliary is not AbstractDynamics.initial_auxiliary

    @property
    def objective_changes(self) -> bool:
        """Tell whether the law goes down a function that depends on time."""
        return getattr(self.objective, "time_dependent", False)

    @property
    def constants(self) -> dict[str, Any]:
        """The constants of the law by name: its numbers and functions of time, without what is several numbers."""
        numbers = [field for field in dataclasses.fields(self) if not field.metadata.get("static", False)]
        found = {field.name: getattr(self, field.name) for field in numbers}
        return {
            name: value
            for name, value in found.items()
            if name not in ("objective", "geometry")
            and not (value is None or isinstance(value, AbstractDynamics))
            and (callable(value) or (not isinstance(value, Module) and jnp.ndim(value) == 0))
        }

    def with_objective(self, objective: AbstractObjective | None) -> Any:
        """The same law on another function; itself, where it has none."""
        return copied(self, objective=objective)

    def in_flat_space(self) -> Any:
        """The same law without its geometry, of as many evaluations at every shape of the parameters."""
        return self if self.geometry is None else copied(self, geometry=Euclidean())

    def joined(self, join: Callable) -> Any:
        """The same law on the parameters from which `join` makes what its functions take."""
        law = self if self.objective is None else self.with_objective(self.objective.joined(join))
        # A metric that belongs to a model has functions of the parameters, too.
        metric = getattr(law.geometry, "joined", None)
        return law if metric is None else copied(law, geometry=metric(join))

    def with_field(self, field: Callable) -> Any:
        """The law with `field(t, x)` for what it evaluates besides an objective; None where that is nothing."""
        del field
        return None

    def flattened(self, cut: Unravel) -> Any:
        """The law on raveled parameters, where it has a form of its own; None where trees are cut from them."""
        del cut
        return None

    def check_times(self, times: Float[Array, " states"] | None, takes_rates: bool) -> None:
        """Refuse times at which the law is none.

        Arguments:
            times: of all states, that go up or down; None where a method has none, and its times go up.
            takes_rates: whether the scheme evaluates the right-hand side, at the last of them too.
        """
        del times, takes_rates

    def linearised(self) -> "AbstractDynamics":
        """The law as the linear probe takes it: itself, unless a part of it is not linear on any function."""
        return self

    @property
    def preconditioned(self) -> bool:
        """Tell whether the curvature by which the linear probe sees the law is that of f over what the law keeps."""
        return False

    @property
    def without_probe(self) -> str:
        """The reason why no matrix makes a step, also not about a point: what can be said instead; or nothing."""
        return ""

    def energy_and_force(self, position: Vector) -> tuple[Float[Array, ""], Vector]:
        r"""$(f, -\nabla f)$ in one evaluation."""
        energy, gradient = self._objective().value_and_gradient(position)
        return energy, combine((-1.0, gradient))

    def energy(self, position: Vector) -> Float[Array, ""]:
        """$f$."""
        return self._objective().value(position)

    def _objective(self, time: Time = None) -> AbstractObjective:
        if self.objective is None:
            raise InputError("this method was built without an objective; give one to run it, tw.momentum(f, ...)")
        return self.objective.at(time)


class AbstractFirstOrder(AbstractDynamics):
    r"""$\dot\theta$ is given by the position, and by variables of the law's own where it has some."""

    part: ClassVar[str] = "velocity"
    order: ClassVar[int] = 1

    def velocity(self, time: Time, position: Vector, batch: Batch = None) -> Vector:
        r"""$\dot\theta$ of a law without variables of its own."""
        phase = Phase(position)
        return self.rates(time, phase, self.evaluate(time, phase, batch)).position


class AbstractSecondOrder(AbstractDynamics):
    r"""$\dot\theta = \eta$, and $\dot\eta$ is given by both."""

    part: ClassVar[str] = "acceleration"
    order: ClassVar[int] = 2

    def acceleration(self, time: Time, position: Vector, velocity: Vector, batch: Batch = None) -> Vector:
        r"""$\dot\eta$ of a law without variables of its own, on a manifold the covariant derivative."""
        phase = Phase(position, velocity)
        found = self.covariant_rates(time, phase, self.evaluate(time, phase, batch)).velocity
        assert found is not None
        return found

    def initial_velocity(self, position: Vector, batch: Batch = None) -> Vector:
        r"""$\eta$ at the start, where the user gives none."""
        del batch
        return zeros_like(position)

    def check_velocity(self, velocity: Vector) -> None:
        """Refuse a starting velocity from which the law has no solution."""
        del velocity


class AbstractDamped(AbstractSecondOrder):
    r"""$m\dot\eta = \mathtt{force}(t, \theta) - \lambda(t)\,\eta$: force and scalar friction apart."""

    part: ClassVar[str] = "force and friction"

    @property
    def mass(self) -> Float[Array, ""]:
        """m, one unless the law says otherwise."""
        return jnp.ones((), float)

    def force_of(self, time: Time, evaluation: Evaluation) -> Vector:
        r"""$-\nabla f$, in the metric of the law's geometry, unless the law says otherwise."""
        del time
        return combine((-1.0, as_tangent(self.geometry, evaluation.point, evaluation.gradient)))

    def force(self, time: Time, position: Vector, batch: Batch = None) -> Vector:
        """The force at a position, evaluated there."""
        return self.force_of(time, self.evaluate(time, Phase(position), batch))

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        rates = self._pushed(time, phase, evaluation)
        if not isinstance(self.geometry, AbstractEmbedded):
            return rates
        bend = self.geometry.bend(phase.position, phase.velocity)
        return rates._replace(velocity=combine((1, rates.velocity), (1, bend)))

    def covariant_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        of = self._pushed if isinstance(self.geometry, AbstractEmbedded) else self.rates
        return of(time, phase, evaluation)

    def _pushed(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        friction = self.friction_at(time) / self.mass
        force = self.force_of(time, evaluation)
        return Phase(phase.velocity, combine((1.0 / self.mass, force), (-friction, phase.velocity)))

    def rest_time(self, step_size: ArrayLike) -> Float[Array, ""]:
        """The first time at which a step by the midpoint rule moves what is at rest: the start, unless friction there
        is infinite."""
        del step_size
        return self.start_time

    @abc.abstractmethod
    def friction_at(self, time: Time) -> ArrayLike:
        r"""$\lambda(t)$, finite at every time from `start_time` on."""

    def thermal(
        self, time: Time, duration: ArrayLike, velocity: Vector, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Vector, PyTree]:
        r"""Friction and noise alone, for a while, exactly: the velocity and the auxiliary variables after it."""
        del normals
        rate = jnp.asarray(self.friction_at(time)) / self.mass
        return combine((jnp.exp(-rate * duration), velocity)), auxiliary


def check_rest(dynamics: AbstractDynamics, velocity: Vector, friction: str) -> None:
    """Refuse a starting velocity of a law whose friction is infinite at the start."""
    if any(not isinstance(leaf, Tracer) and np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(velocity)):
        raise InputError(
            f"{type(dynamics).__name__} starts from rest, since its friction {friction} is infinite at t = 0; "
            "give no starting velocity, or use tw.HeavyBall"
        )


def check_descends(dynamics: AbstractDynamics, what: str) -> None:
    """Refuse a law that goes down no function, for what would hand it gradients."""
    if not any(field.name == "objective" for field in dataclasses.fields(dynamics)):
        raise InputError(
            f"{what} hands a law its gradients, of which {type(dynamics).__name__} takes none; use tw.run or tw.solve"
        )


def check_flat(dynamics: AbstractDynamics, what: str) -> None:
    """Refuse a law with a geometry where flat space is taken for granted."""
    if dynamics.geometry is not None:
        raise InputError(
            f"{what} is for laws in flat space, but {type(dynamics).__name__} has the geometry "
            f"{type(dynamics.geometry).__name__}; leave out its geometry"
        )
