"""A law that looks at the shapes of its parameters, on one vector that is cut into their tree for every evaluation."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError
from .._measures.functional import FlattenedFunctional
from .._module import Module
from .._objectives.objective import AbstractObjective, Batch
from .._tree import Unravel, Vector, copied, ravel, sharded, unraveler
from ..dynamics import (
    AbstractDamped,
    AbstractDynamics,
    AbstractFirstOrder,
    AbstractNoisy,
    AbstractRemembering,
    AbstractSecondOrder,
    AbstractWhite,
    Evaluation,
    Phase,
)
from ..dynamics._base import Time
from ..geometry import AbstractGeometry
from ..geometry._raveled import raveled as raveled_geometry


def raveled(law: AbstractDynamics, objective: AbstractObjective | None, cut: Unravel) -> AbstractDynamics:
    """The law on raveled parameters.

    Arguments:
        law: one that is not elementwise.
        objective: of the raveled parameters, None where the law has none.
        cut: makes the tree of a raveled vector.

    Raises:
        InputError: the law draws noise, which is drawn for all parameters as one vector.
    """
    if (own := law.flattened(cut)) is not None:
        return own
    _refuse_noise(law)
    kind: Any = _FirstOrder if law.order == 1 else _SecondOrder
    for part, own in ((AbstractDamped, _Damped), (AbstractRemembering, _Remembering)):
        kind = own if isinstance(law, part) else kind
    if isinstance(law, AbstractWhite):
        kind = _WhiteFirstOrder if law.order == 1 else _WhiteDamped
    return kind(law.with_objective(None), objective, cut)


def check_drawn(law: AbstractDynamics, x0: Vector) -> None:
    """Refuse noise of a law that may look at shapes, where its start would be raveled."""
    if not (law.elementwise or sharded(x0) or unraveler(x0).trivial):
        _refuse_noise(law)


def _refuse_noise(law: AbstractDynamics) -> None:
    flat = type(law).flattened is not AbstractDynamics.flattened
    if isinstance(law, AbstractNoisy) and not (flat or _at_the_metric(law)):
        raise InputError(
            f"{type(law).__name__} draws noise and may look at the shapes of its parameters; start it from one vector, "
            "or say elementwise = True in its class where it treats all of them alike"
        )


def _at_the_metric(law: AbstractDynamics) -> bool:
    """Tell whether the shapes that a law with noise looks at are those of its geometry, which has the noise."""
    if not isinstance(law, AbstractWhite) or law.geometry is None:
        return False
    own: Any = type(law)
    return own.increment is AbstractWhite.increment and (law.order == 1 or isinstance(law, AbstractDamped))


class _OnTrees(AbstractObjective):
    """An objective of a vector, as one of the tree that it stands for."""

    flat: AbstractObjective
    cut: Callable = eqx.field(static=True)

    @property
    def time_dependent(self) -> bool:
        return self.flat.time_dependent

    def at(self, time: Time) -> "_OnTrees":
        return _OnTrees(self.flat.at(time), self.cut) if self.time_dependent else self

    def value(self, x: Vector, batch: Batch = None) -> Array:
        return self.flat.value(ravel(x), batch)

    @property
    def carried(self) -> PyTree:
        return self.flat.carried

    def value_and_gradient(self, x: Vector, batch: Batch = None) -> tuple[Array, Vector]:
        value, gradient = self.flat.value_and_gradient(ravel(x), batch)
        return value, self.cut(gradient)

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        return self.cut(self.flat.gradient(ravel(x), batch))

    def gradient_and_curvature(self, x: Vector, v: Vector, batch: Batch = None) -> tuple[Vector, Vector]:
        gradient, curved = self.flat.gradient_and_curvature(ravel(x), ravel(v), batch)
        return self.cut(gradient), self.cut(curved)


class Raveled(Module):
    """A law on raveled parameters: the common part of first- and second-order ones."""

    law: AbstractDynamics
    objective: AbstractObjective | None
    cut: Unravel = eqx.field(static=True)
    elementwise: ClassVar[bool] = True

    @property
    def geometry(self) -> AbstractGeometry | None:
        return None if self.law.geometry is None else raveled_geometry(self.law.geometry, self.cut)

    def in_flat_space(self) -> "Raveled":
        return copied(self, law=self.law.in_flat_space())

    @property
    def autonomous(self) -> bool:
        return self.law.autonomous

    @property
    def start_time(self) -> Float[Array, ""]:
        return self.law.start_time

    @property
    def late_time(self) -> Float[Array, ""]:
        return self.law.late_time

    @property
    def without_probe(self) -> str:
        return self.law.without_probe

    @property
    def has_auxiliary(self) -> bool:
        return self.law.has_auxiliary

    def during(self, time: Time, duration: ArrayLike) -> "Raveled":
        own = self.law.during(time, duration)
        return self if own is self.law else copied(self, law=own)

    def initial_auxiliary(self, position: Vector) -> PyTree:
        return self._on_trees().initial_auxiliary(self.cut(position))

    def evaluate(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        if type(self.law).evaluate is AbstractDynamics.evaluate and self.objective is not None:
            return Evaluation(phase.position, gradient=self.objective.at(time).gradient(phase.position, batch))
        found = self._on_trees().evaluate(time, self._cut(phase), batch)
        point, gradient, curved = map(_raveled, (found.point, found.gradient, found.curved))
        return Evaluation(point, found.value, gradient, curved)

    def evaluate_with_value(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        if type(self.law).evaluate is AbstractDynamics.evaluate and self.objective is not None:
            value, gradient = self.objective.at(time).value_and_gradient(phase.position, batch)
            return Evaluation(phase.position, value, gradient)
        found = self.evaluate(time, phase, batch)
        return (
            found
            if self.objective is None
            else found._replace(value=self.objective.at(time).value(phase.position, batch))
        )

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        return self._raveled(self._on_trees().rates, time, phase, evaluation)

    def covariant_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        return self._raveled(self._on_trees().covariant_rates, time, phase, evaluation)

    def dual_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        return self._raveled(self._on_trees().dual_rates, time, phase, evaluation)

    def _raveled(self, of: Callable, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        found = of(time, self._cut(phase), self._cut_evaluation(evaluation))
        return Phase(ravel(found.position), _raveled(found.velocity), found.auxiliary)

    def _on_trees(self) -> Any:
        if isinstance(self.objective, FlattenedFunctional):
            # Of a distribution the terms of its functional are asked for.
            return self.law.with_objective(self.objective.objective)
        return self.law.with_objective(None if self.objective is None else _OnTrees(self.objective, self.cut))

    def _cut(self, phase: Phase) -> Phase:
        velocity = None if phase.velocity is None else self.cut(phase.velocity)
        return Phase(self.cut(phase.position), velocity, phase.auxiliary)

    def _cut_evaluation(self, found: Evaluation) -> Evaluation:
        point, gradient, curved = (
            None if x is None else self.cut(x) for x in (found.point, found.gradient, found.curved)
        )
        return Evaluation(point, found.value, gradient, curved)


class _FirstOrder(Raveled, AbstractFirstOrder):
    pass


class _White(Raveled):
    """White noise at the metric of a raveled geometry, of vectors as of trees."""

    @property
    def canonical(self) -> bool:
        return self._on_trees().canonical

    @property
    def temperature(self) -> Any:
        return self._on_trees().temperature

    def diffusion(self, time: Time) -> Float[Array, ""]:
        return self._on_trees().diffusion(time)

    def heated(self, factor: ArrayLike) -> "_White":
        return copied(self, law=self._on_trees().heated(factor).with_objective(None))


class _WhiteFirstOrder(_White, AbstractFirstOrder, AbstractWhite):
    pass


class _Remembering(Raveled, AbstractFirstOrder, AbstractRemembering):
    @property
    def looks_ahead(self) -> bool:
        return self._on_trees().looks_ahead

    def averaged(self, duration: ArrayLike, phase: Phase, evaluation: Evaluation) -> PyTree:
        return self._on_trees().averaged(duration, self._cut(phase), self._cut_evaluation(evaluation))

    def weights(self, auxiliary: PyTree, ahead: ArrayLike | None = None) -> Any:
        return self._on_trees().weights(auxiliary, ahead)

    def drift(self, time: Time, phase: Phase, evaluation: Evaluation, weights: Any) -> Vector:
        return ravel(self._on_trees().drift(time, self._cut(phase), self._cut_evaluation(evaluation), weights))


class _Moving(Raveled):
    def initial_velocity(self, position: Vector, batch: Batch = None) -> Vector:
        return ravel(self._on_trees().initial_velocity(self.cut(position), batch))

    def check_velocity(self, velocity: Vector) -> None:
        self._on_trees().check_velocity(self.cut(velocity))


class _SecondOrder(_Moving, AbstractSecondOrder):
    pass


class _Damped(_Moving, AbstractDamped):
    @property
    def mass(self) -> Float[Array, ""]:
        return self._on_trees().mass

    def force_of(self, time: Time, evaluation: Evaluation) -> Vector:
        return ravel(self._on_trees().force_of(time, self._cut_evaluation(evaluation)))

    def friction_at(self, time: Time) -> ArrayLike:
        return self._on_trees().friction_at(time)

    def rest_time(self, step_size: ArrayLike) -> Float[Array, ""]:
        return self._on_trees().rest_time(step_size)


class _WhiteDamped(_White, _Damped, AbstractWhite):
    def thermal(
        self, time: Time, duration: ArrayLike, velocity: Vector, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Vector, PyTree]:
        cut = tuple(map(self.cut, normals))
        after, auxiliary = self._on_trees().thermal(time, duration, self.cut(velocity), auxiliary, cut)
        return ravel(after), auxiliary


def _raveled(x: Vector | None) -> Vector | None:
    return None if x is None else ravel(x)
