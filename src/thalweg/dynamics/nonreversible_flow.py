"""Gradient flow of a distribution whose mass a field carries besides."""

from typing import Any

import equinox as eqx

from .._errors import InputError, check_arguments
from .._measures.carried import carrying
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import combine
from ..geometry import AbstractDirection, Wasserstein
from ..geometry.base import named
from ._base import AbstractFirstOrder, Evaluation, Phase, Time
from ._curved import as_geometry, climbed
from .gradient_flow import GradientFlow


class NonreversibleFlow(AbstractFirstOrder):
    r"""Flow of a distribution down a functional, in Wasserstein's geometry, with a force that need have no potential.

    $$\partial_t\rho = \nabla\cdot\Bigl(\rho\,\nabla\frac{\delta F}{\delta\rho}\Bigr) - \nabla\cdot(\rho\,b)$$

    Potential and drift add up: of $F = \int V\rho + T\int\rho\log\rho$ it is the Fokker-Planck equation of
    $dx = (b - \nabla V)\,dt + \sqrt{2T}\,dW$. The distribution at rest is that of F where
    $\nabla\cdot(b\,e^{-V/T}) = 0$, and another elsewhere; F need not fall.

    Arguments:
        objective: F, a functional of `tw.measures`.
        drift: b, a function of a point (d,) that gives a velocity (d,), at all times the same.
        geometry: a `tw.geometry.Wasserstein`, which says how a grid carries mass in schemes not made for one.

    Raises:
        InputError: the drift is no function, or the geometry another; in a step, it gives another shape.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> turn = lambda x: jnp.stack([-x[1], x[0]])
    >>> law = tw.NonreversibleFlow(tw.measures.KL(tw.measures.Gaussian(jnp.zeros(2), 1.0)), turn)
    >>> q = tw.measures.Gaussian(jnp.array([1.0, 0.0]), 1.0)
    >>> end = tw.run(tw.Method(law, tw.RK4(), jnp.pi / 200), q, 100).final.position
    >>> abs(end.mean).round(4).tolist()  # exp(-pi/2), turned by a right angle
    [0.0, 0.2079]

    Reference: Pavliotis (2014), chapter 4.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    drift: Any = eqx.field()
    geometry: AbstractDirection | None = eqx.field(default_factory=Wasserstein, converter=as_geometry)

    def __check_init__(self) -> None:
        if not callable(self.drift):
            raise InputError(f"drift must be a function of a point that gives a velocity, but is {self.drift!r}")
        check_arguments("drift", self.drift, "point")
        if not isinstance(self.geometry, Wasserstein):
            other = "flat space" if self.geometry is None else named(self.geometry)
            raise InputError(f"a drift carries mass in tw.geometry.Wasserstein(), but the geometry is {other}")

    @property
    def constants(self) -> dict[str, Any]:
        return {}

    def in_flat_space(self) -> Any:
        # Of which the evaluations are counted.
        return GradientFlow(self.objective)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        del time
        assert isinstance(self.geometry, Wasserstein)
        fallen = climbed(self.geometry, self.objective, phase.position, evaluation.gradient)
        pushed = carrying(self.drift, phase.position, self.geometry.flux)
        return Phase(combine((-1.0, fallen), (1, pushed)))
