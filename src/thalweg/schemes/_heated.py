"""Particles whose distribution a flow moves: the entropy of its functional as their noise."""

from collections.abc import Callable

import equinox as eqx
from jax.core import Tracer

from .._errors import InputError
from .._measures.carried import carrying
from .._measures.functional import AbstractFunctional, Sum
from .._measures.internal import Entropy
from .._tree import combine
from ..dynamics import AbstractDynamics, Evaluation, GradientFlow, NonreversibleFlow, OverdampedLangevin, Phase, Time
from ..geometry import AbstractNoise


class _Driven(OverdampedLangevin):
    """Langevin dynamics of particles that a field carries besides."""

    drift: Callable = eqx.field(kw_only=True)

    def covariant_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        fallen = super().covariant_rates(time, phase, evaluation).position
        return Phase(combine((1, fallen), (1, carrying(self.drift, phase.position, ""))))


def heated(dynamics: AbstractDynamics) -> AbstractDynamics:
    r"""The law of particles whose distribution a gradient flow moves: its entropy as their noise.

    Of $F + T\int\rho\log\rho$ it is Langevin dynamics on F at temperature T; any other law is left as it is.
    """
    functional, geometry = dynamics.objective, dynamics.geometry
    if not (isinstance(dynamics, GradientFlow | NonreversibleFlow) and isinstance(geometry, AbstractNoise)):
        return dynamics
    rate = dynamics.rate if isinstance(dynamics, GradientFlow) else 1
    if not isinstance(functional, AbstractFunctional) or callable(rate):
        return dynamics
    plain = [(c, term) for c, term in functional.terms if isinstance(term, Entropy) and term.bandwidth is None]
    if not plain:
        return dynamics
    rest = tuple((rate * c, term) for c, term in functional.terms if all(term is not own for _, own in plain))
    temperature = rate * sum(c for c, _ in plain)
    if not isinstance(temperature, Tracer) and not float(temperature) >= 0.0:
        raise InputError(
            f"the entropy of the functional has the coefficient {float(temperature):g}, but noise needs one that is "
            "not negative"
        )
    if isinstance(dynamics, NonreversibleFlow):
        return _Driven(Sum(rest), temperature, geometry, drift=dynamics.drift)
    return OverdampedLangevin(Sum(rest), temperature, geometry)
