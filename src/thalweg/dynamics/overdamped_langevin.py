"""Overdamped Langevin dynamics: gradient flow in a heat bath."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._objectives.objective import AbstractObjective, as_objective
from .._tree import combine
from ..geometry import AbstractDirection
from ._base import AbstractFirstOrder, Coefficient, Evaluation, Phase, Time, at_time, check_coefficient, coefficient
from ._curved import as_geometry, check_geometry, check_noise, climbed, spread_at
from ._noise import AbstractWhite


class OverdampedLangevin(AbstractFirstOrder, AbstractWhite):
    r"""Gradient flow with thermal noise.

    $$d\theta = -\nabla f(\theta)\,dt + \sqrt{2T}\,dW,\qquad
      d\theta = \bigl(-G^{-1}\nabla f + T\,\mathtt{divergence}\bigr)dt + \sqrt{2T}\,G^{-1/2}dW$$

    in flat space, and in a geometry, in the sense of Itô. At constant temperature its stationary law is $e^{-f/T}$: on
    a manifold with respect to the volume of its metric, whose Brownian motion the noise is; of a metric alone or a
    mirror map with respect to $d\theta$, whatever the metric. Of a mirror map $\phi$ it is straight in dual
    coordinates, $d\nabla\phi(\theta) = -\nabla f\,dt + \sqrt{2T}\,(\nabla^2\phi(\theta))^{1/2}dW$, without a
    divergence.

    Arguments:
        objective: $f$, the potential, a `tw.Objective` or a function of the parameters.
        temperature: $T \ge 0$, in units of $f$, a number or a function of time (annealing).
        geometry: a `tw.geometry.AbstractNoise` with a metric: `Metric`, `FisherInformation`, `Mirror`, a manifold, or
            one of one's own; None is flat space.

    Raises:
        InputError: the temperature is negative or not finite, or the geometry has no noise.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> law = tw.OverdampedLangevin(lambda x: 0.5 * jnp.sum(x**2), temperature=2.0)
    >>> float(law.diffusion(None))  # the square root of 2T
    2.0

    >>> on_sphere = tw.OverdampedLangevin(lambda x: -x[2], 1.0, geometry=tw.geometry.Sphere())
    >>> method, start = tw.Method(on_sphere, tw.EulerMaruyama(), 0.01), jnp.array([0.0, 0.0, 1.0])
    >>> end = tw.run(method, start, 1000, key=0).final.position
    >>> bool(abs(jnp.linalg.norm(end) - 1.0) < 1e-6)
    True

    Reference: Pavliotis (2014), chapter 4; on manifolds Hsu (2002), chapter 3; of mirror maps Zhang et al. (2020).
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    temperature: Coefficient = eqx.field(converter=coefficient)
    geometry: AbstractDirection | None = eqx.field(default=None, converter=as_geometry)

    def __check_init__(self) -> None:
        check_coefficient("temperature", self.temperature, at_least=0.0)
        check_geometry(self.geometry)
        check_noise(self.geometry, "OverdampedLangevin")

    @property
    def elementwise(self) -> bool:
        return self.geometry is None or self.geometry.elementwise

    @property
    def autonomous(self) -> bool:
        return not callable(self.temperature)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        slid = self.covariant_rates(time, phase, evaluation).position
        spread = spread_at(self.geometry, phase.position)
        return Phase(slid if spread is None else combine((1, slid), (at_time(self.temperature, time), spread)))

    def covariant_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        # A step along geodesics has the drift of the noise already.
        del time
        return Phase(combine((-1.0, climbed(self.geometry, self.objective, phase.position, evaluation.gradient))))

    def dual_rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        # In dual coordinates the noise has none.
        del time, phase
        return Phase(combine((-1.0, evaluation.gradient)))

    def diffusion(self, time: Time) -> Float[Array, ""]:
        r"""$\sqrt{2T}$, the strength of the noise."""
        return jnp.sqrt(2.0 * jnp.asarray(at_time(self.temperature, time)))
