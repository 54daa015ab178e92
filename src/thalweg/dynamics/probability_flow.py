"""The flow along the marginals of a noising: a diffusion model without noise."""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from .._errors import check_number
from .._tree import Vector, combine, scalar
from ._base import Phase
from ._diffusing import AbstractDiffusing
from .field import Field


class ProbabilityFlow(AbstractDiffusing):
    r"""The motion whose densities are those of a noising, without noise.

    $$\dot x = f(t)\,x - \tfrac12g(t)^2\,\nabla\log p_t(x)
             = \alpha'\,\mathrm E(x_0\mid x) + \sigma'\,\mathrm E(\varepsilon\mid x)$$

    Forwards in time it takes data to noise, with times that go down noise to data: a network that was trained by flow
    matching is its velocity. In $y = x/\alpha$ and $r = \sigma/\alpha$ it is $dy/dr = \varepsilon$, of which Euler's
    method is `tw.DDIM()`. For data with a score of their own, that of $N(0, 1)$ say, it is backwards in time the
    Wasserstein flow of $\mathrm{KL}(\cdot\,\|\,N(0, 1))$ run backwards.

    Arguments:
        noising: a `tw.networks` noising, such as `VariancePreserving()`.
        score: what the network predicts: `fn(t, x)`, the score, a pytree like x; or `tw.networks.Denoiser(fn)`,
            `NoisePrediction(fn)`, `Velocity(fn)`, `AngularVelocity(fn)`.

    Raises:
        InputError: the noising or the prediction is none; with its times, where they are outside those of the noising,
            or begin where there is no signal and the prediction says nothing.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> noising = tw.networks.VarianceExploding()
    >>> flow = tw.ProbabilityFlow(noising, lambda t, x: -x / (0.25 + t**2))  # the score of data of N(0, 0.25)
    >>> method = tw.Method(flow, tw.RK4(), times=tw.networks.time_grid(noising, 40, end=0.0))
    >>> end = tw.run(method, jnp.array([80.0])).final.position  # 80 sqrt(0.25 / (0.25 + 80^2))
    >>> round(float(end[0]), 4)
    0.5

    Reference: Song et al. (2021), equation 13.
    """

    def backwards(self, start: ArrayLike | None = None) -> Field:
        r"""The same motion with a time s that goes up, $t = \mathtt{start} - s$: for schemes that choose their steps.

        Arguments:
            start: t at the beginning; None is the end of the noising.

        Raises:
            InputError: start is not within the noising, or there is no signal and the prediction says nothing.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> flow = tw.ProbabilityFlow(tw.networks.VarianceExploding(), lambda t, x: -x / (0.25 + t**2))
        >>> method = tw.Method(flow.backwards(), tw.Adaptive(rtol=1e-8, until=80.0), 1.0)
        >>> round(float(tw.run(method, jnp.array([80.0]), 1000).final.position[0]), 4)
        0.5
        """
        start = self.noising.end if start is None else scalar(start)
        check_number("start", start, above=0.0)
        with jax.ensure_compile_time_eval():
            self.check_times(None if isinstance(start, Tracer) else jnp.array([start, 0.0]), True)
        return Field(_backwards, (self, start))


def _backwards(s: Array, x: Vector, args: tuple[ProbabilityFlow, Array]) -> Vector:
    flow, start = args
    phase = Phase(x)
    time = start - s
    return combine((-1.0, flow.rates(time, phase, flow.evaluate(time, phase)).position))
