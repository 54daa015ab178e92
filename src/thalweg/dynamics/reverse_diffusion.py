"""The law of a noising run backwards in time, with more or less noise of its own."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError, check_number
from .._tree import Vector, scalar
from ._base import Time
from ._diffusing import AbstractDiffusing
from ._noise import AbstractAdditive, Terms


class ReverseDiffusion(AbstractDiffusing, AbstractAdditive):
    r"""The motions backwards in time whose densities are those of a noising.

    $$dx = \bigl(f(t)\,x - \tfrac12(1 + \eta^2)\,g(t)^2\,\nabla\log p_t(x)\bigr)dt + \eta\,g(t)\,d\bar W$$

    for times that go down. $\eta = 1$ is the noising itself, reversed; $\eta = 0$ the probability flow. All have the
    same densities where the score is right.

    Arguments:
        noising: as in `tw.ProbabilityFlow`.
        score: likewise.
        eta: $\eta\ge0$.

    Raises:
        InputError: as in `tw.ProbabilityFlow`; $\eta$ is below 0; the times go up.

    >>> import jax, thalweg as tw, jax.numpy as jnp
    >>> noising = tw.networks.VariancePreserving()
    >>> law = tw.ReverseDiffusion(noising, lambda t, x: -x)  # data of N(0, 1)
    >>> method = tw.Method(law, tw.EulerMaruyama(), times=tw.networks.time_grid(noising, 200))
    >>> x = tw.run(method, noising.prior(jax.random.key(0), jnp.zeros(10_000)), key=1).final.position
    >>> bool(abs(jnp.var(x) - 1.0) < 0.1)
    True

    Reference: Anderson (1982); Song et al. (2021), equation 6; Karras et al. (2022), equation 6.
    """

    eta: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    normals: ClassVar[int] = 1
    canonical: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_number("eta", self.eta, at_least=0.0)

    @property
    def own_noise(self) -> ArrayLike:
        return self.eta

    def increment(
        self, time: Time, duration: ArrayLike, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Terms, PyTree]:
        assert time is not None
        (normal,) = normals
        # The noise of a motion backwards in time is that of its duration.
        spread = self.eta * self.noising.diffusion(time) * jnp.sqrt(jnp.abs(jnp.asarray(duration)))
        return ((spread, normal),), auxiliary

    def check_times(self, times: Float[Array, " states"] | None, takes_rates: bool) -> None:
        up = times is None or not (isinstance(times, Tracer) or np.asarray(times)[0] > np.asarray(times)[-1])
        if up:
            raise InputError(
                "ReverseDiffusion runs backwards in time; give times that go down, such as "
                "times=tw.networks.time_grid(noising, 100)"
            )
        super().check_times(times, takes_rates)
