"""The scheme that runs a flow: the first that takes the functional, the representation and the geometry together."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from .._errors import InputError
from .._measures.base import AbstractMeasure
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid
from .._measures.particles import Particles
from .._measures.quantiles import Quantiles
from .._methods.method import Method
from ..dynamics import AbstractDynamics
from ..schemes import (
    RK4,
    AbstractScheme,
    BirthDeath,
    Euler,
    EulerMaruyama,
    FiniteVolumes,
    Heun,
    MinimizingMovement,
    RungeKutta,
    Tsit5,
)

# What is tried, in this order.
_CANDIDATES: dict[type, tuple[Callable[[], AbstractScheme], ...]] = {
    Grid: (lambda: FiniteVolumes("second-order", order=2), RK4),
    Gaussian: (Tsit5,),
    Quantiles: (MinimizingMovement, RK4),
    Particles: (EulerMaruyama, BirthDeath, Heun),
}


def candidates(q: AbstractMeasure) -> tuple[Callable[[], AbstractScheme], ...]:
    """The schemes that are tried on a representation; on one of a user's own those without a demand of their own."""
    return _CANDIDATES.get(type(q), (RK4,))


def refused(law: AbstractDynamics, scheme: AbstractScheme, q: AbstractMeasure) -> str:
    """The reason why a scheme does not run a law from a distribution, found by tracing a step; or nothing."""
    try:
        Method(law, scheme, 0.01)
        geometry: Any = law.geometry
        geometry.check(q)
        method = Method(law, _alike(scheme), 0.01)
        jax.eval_shape(lambda q: method.step(method.init(q), method.silent(q)), q)
    except InputError as error:
        return str(error)
    return ""


def _alike(scheme: AbstractScheme) -> AbstractScheme:
    """A scheme that asks the same of a law and traces it once, where the scheme itself does so several times."""
    if isinstance(scheme, RungeKutta):
        return Euler()
    return FiniteVolumes(scheme.flux) if isinstance(scheme, FiniteVolumes) else scheme


def chosen(law: AbstractDynamics, q: AbstractMeasure, schemes: Sequence[Callable[[], AbstractScheme]] = ()) -> Any:
    """The scheme for a law from a distribution.

    Raises:
        InputError: there is none, with the reason.
    """
    reason = ""
    for make in schemes or candidates(q):
        scheme = make()
        reason = refused(law, scheme, q)
        if not reason:
            return scheme
    raise InputError(reason)
