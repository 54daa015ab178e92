"""Common parts of the laws with damping along the curvature."""

import jax.numpy as jnp
from jaxtyping import ArrayLike

from .._objectives.objective import Batch
from .._tree import combine
from ._base import AbstractSecondOrder, Evaluation, Phase, Time


class AbstractCurvatureDamped(AbstractSecondOrder):
    r"""$\dot\eta = -w\nabla f(\theta) - \lambda\eta - \beta\nabla^2f(\theta)\,\eta$."""

    def evaluate(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        # Gradient and product in one pass.
        gradient, curved = self._objective(time).gradient_and_curvature(phase.position, phase.velocity, batch)
        return Evaluation(phase.position, gradient=gradient, curved=curved)


def damped_by_curvature(
    phase: Phase, evaluation: Evaluation, weight: ArrayLike, friction: ArrayLike, strength: ArrayLike
) -> Phase:
    r"""The rates, for a weight w, a friction $\lambda$ and a strength $\beta$."""
    terms = evaluation.gradient, phase.velocity, evaluation.curved
    coefficients = map(jnp.negative, (weight, friction, strength))
    return Phase(phase.velocity, combine(*zip(coefficients, terms, strict=True)))
