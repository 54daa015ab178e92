"""Exponential Euler steps of a diffusion model, with and without noise."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError, check_choice, check_number, is_real
from .._tree import combine, scalar
from ..dynamics import AbstractDynamics, ReverseDiffusion
from ..dynamics._diffusing import AbstractDiffusing
from ._base import noise_count
from ._denoising import AbstractDenoising, as_diffusing, ends
from ._state import Draws, State

_VARIANCES = ("small", "large")


class DDIM(AbstractDenoising):
    r"""The exponential Euler method of a diffusion model: data and noise are predicted, and mixed as at the next time.

    $$x^+ = \alpha^+D + \sqrt{\sigma_+^2 - s^2}\,\varepsilon + sR,\qquad
      s = \eta\,\frac{\sigma_+}\sigma\sqrt{\sigma^2 - \Bigl(\frac\alpha{\alpha^+}\sigma_+\Bigr)^2}$$

    with $\eta$ of the law, 0 of `tw.ProbabilityFlow`: there it is Euler's method in $y = x/\alpha$ and
    $r = \sigma/\alpha$, for $dy/dr = \varepsilon$. Of `tw.ReverseDiffusion` with $\eta = 1$ it is `tw.Ancestral()`. It
    looks at nothing where its step ends, so that the noise may be 0 there. Order 1.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> noising = tw.networks.VarianceExploding()
    >>> flow = tw.ProbabilityFlow(noising, tw.networks.Denoiser(lambda t, x: 0.0 * x + 3.0))  # all data are 3
    >>> method = tw.Method(flow, tw.DDIM(), times=jnp.array([80.0, 0.0]))
    >>> method.step(method.init(jnp.array([-57.0]))).position.tolist()
    [3.0]

    Reference: Song, Meng and Ermon (2021), equation 12.
    """

    @property
    def order(self) -> int:
        return 1

    def normals(self, dynamics: AbstractDynamics) -> int:
        return noise_count(dynamics)

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        if isinstance(dynamics, ReverseDiffusion):
            check_number("eta, for tw.DDIM(),", dynamics.eta, at_most=1.0)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        law = as_diffusing(dynamics)
        now, then, clock = ends(state, jnp.asarray(step_size))
        clean, noise = law.parts(now, state.position)
        signal, spread = law.noising.signal(then), law.noising.noise(then)
        if not draws.noise:
            return State(combine((signal, clean), (spread, noise)), clock=clock)
        drawn = jnp.asarray(law.own_noise) * jnp.sqrt(posterior_variance(law, now, then))
        left = jnp.sqrt(jnp.maximum(spread**2 - drawn**2, 0.0))
        return State(combine((signal, clean), (left, noise), (drawn, draws.noise[0])), clock=clock)


class Ancestral(AbstractDenoising):
    r"""A step from the law of the state before, given the state and the data that are predicted: DDPM.

    $$x^+ = \alpha^+D + \frac{\alpha\,\sigma_+^2}{\alpha^+\sigma^2}(x - \alpha D) + sR,\qquad
      \tau^2 = \sigma^2 - \Bigl(\frac\alpha{\alpha^+}\sigma_+\Bigr)^2$$

    The mean is right where D is. The variance $s^2$ depends on how much the data can vary, given x, of which D says
    nothing: `"small"` is right of data that do not, $s^2 = \tau^2\sigma_+^2/\sigma^2$; `"large"` is the noise that
    the step takes away, $s^2 = \tau^2$; a number v is the variance of Gaussian data, of which

    $$s^2 = \frac{\tau^2\sigma_+^2}{\sigma^2}
            + \Bigl(\frac{\alpha^+\tau^2}{\sigma^2}\Bigr)^2\frac{v\sigma^2}{\alpha^2v + \sigma^2}$$

    is right. A step of `"large"` that ends where there is no noise adds none, as they do. Order 1.

    Arguments:
        variance: "small", "large" or $v\ge0$, in units of the data squared.

    Raises:
        InputError: the variance is none of these; with the law, where that has not $\eta = 1$.

    >>> import jax, thalweg as tw, jax.numpy as jnp
    >>> noising = tw.networks.Tabulated(jnp.cumprod(1.0 - jnp.linspace(1e-4, 0.02, 1000)))
    >>> law = tw.ReverseDiffusion(noising, lambda t, x: -x)
    >>> method = tw.Method(law, tw.Ancestral("large"), times=jnp.arange(1000.0, -1.0, -1.0))
    >>> x = tw.run(method, noising.prior(jax.random.key(0), jnp.zeros(1000)), key=1).final.position
    >>> bool(abs(jnp.var(x) - 1.0) < 0.15)
    True

    Reference: Ho, Jain and Abbeel (2020), equation 7 and section 3.2.
    """

    variance: Float[Array, ""] | str = eqx.field(default="small", converter=lambda v: scalar(v) if is_real(v) else v)

    def __check_init__(self) -> None:
        if isinstance(self.variance, str):
            check_choice("variance", self.variance, _VARIANCES)
        else:
            check_number('variance, where it is not "small" or "large",', self.variance, at_least=0.0)

    @property
    def order(self) -> int:
        return 1

    def normals(self, dynamics: AbstractDynamics) -> int:
        return noise_count(dynamics)

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        if not isinstance(dynamics, ReverseDiffusion):
            raise InputError(
                f"Ancestral draws noise, but {type(dynamics).__name__} has none; use tw.DDIM(), or tw.ReverseDiffusion"
            )
        check_number("eta, for tw.Ancestral(),", dynamics.eta, at_least=1.0, at_most=1.0)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        law = as_diffusing(dynamics)
        now, then, clock = ends(state, jnp.asarray(step_size))
        clean, noise = law.parts(now, state.position)
        spread, signal, small = law.noising.noise(then), law.noising.signal(then), posterior_variance(law, now, then)
        left = jnp.sqrt(jnp.maximum(spread**2 - small, 0.0))
        drawn = jnp.sqrt(self._variance(law, now, then, small))
        return State(combine((signal, clean), (left, noise), (drawn, draws.noise[0])), clock=clock)

    def _variance(self, law: AbstractDiffusing, now: Array, then: Array, small: Array) -> Array:
        if isinstance(self.variance, str) and self.variance == "small":
            return small
        before = law.noising.noise(now) ** 2
        taken = taken_away(law, now, then)
        if isinstance(self.variance, str):
            return jnp.where(law.noising.noise(then) > 0.0, taken, 0.0)
        pulled = law.noising.signal(then) * taken / before
        return small + pulled**2 * self.variance * before / (law.noising.signal(now) ** 2 * self.variance + before)


def taken_away(law: AbstractDynamics, now: Array, then: Array) -> Array:
    r"""$\tau^2$, the variance of the noise between two times."""
    noising = as_diffusing(law).noising
    return noising.noise(now) ** 2 - (noising.signal(now) / noising.signal(then) * noising.noise(then)) ** 2


def posterior_variance(law: AbstractDynamics, now: Array, then: Array) -> Array:
    r"""$\tau^2\sigma_+^2/\sigma^2$, of the state at a time before, given the state and the data."""
    noising = as_diffusing(law).noising
    return taken_away(law, now, then) * (noising.noise(then) / noising.noise(now)) ** 2
