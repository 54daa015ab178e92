"""Noisings with a name."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError, check_arguments, check_number
from .._tree import scalar
from .base import AbstractNoising


class Noising(AbstractNoising):
    r"""A noising by its two functions of time, $x_t = \alpha(t)\,x_0 + \sigma(t)\,\varepsilon$.

    Arguments:
        signal_of: $\alpha$, a function of time made of JAX operations, from 1 down; $\alpha/\sigma$ must fall.
        noise_of: $\sigma$, likewise, from 0 up.
        until: the time up to which there is noise.

    Raises:
        InputError: one of them is no function of time, or `until` is not above 0.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> brownian = tw.networks.Noising(jnp.ones_like, jnp.sqrt, until=100.0)
    >>> round(float(brownian.diffusion(4.0)), 6), round(float(brownian.noise(4.0)), 6)
    (1.0, 2.0)
    """

    signal_of: Callable = eqx.field()
    noise_of: Callable = eqx.field()
    until: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)

    def __check_init__(self) -> None:
        for name in ("signal_of", "noise_of"):
            if not callable(getattr(self, name)):
                raise InputError(f"{name} must be a function of time, but is {getattr(self, name)!r}")
            check_arguments(name, getattr(self, name), "time")
        check_number("until", self.until, above=0.0)

    @property
    def end(self) -> Float[Array, ""]:
        return self.until

    def signal(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.asarray(self.signal_of(jnp.asarray(time, float)), float)

    def noise(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.asarray(self.noise_of(jnp.asarray(time, float)), float)


class _Linear(AbstractNoising):
    r"""$B(t) = \beta_0t + \tfrac12(\beta_1 - \beta_0)t^2$, up to t = 1."""

    beta_min: Float[Array, ""] = eqx.field(default=0.1, converter=scalar)
    beta_max: Float[Array, ""] = eqx.field(default=20.0, converter=scalar)

    def __check_init__(self) -> None:
        check_number("beta_min", self.beta_min, above=0.0)
        check_number("beta_max", self.beta_max, above=0.0)

    @property
    def end(self) -> Float[Array, ""]:
        return jnp.ones((), float)

    def integral(self, time: ArrayLike) -> Array:
        r"""$B(t) = \int_0^t\beta$."""
        time = jnp.asarray(time, float)
        return time * (self.beta_min + 0.5 * time * (self.beta_max - self.beta_min))

    def time_of_integral(self, integral: ArrayLike) -> Array:
        """The time at which B is this, by the form of the root that does not cancel."""
        slope = self.beta_max - self.beta_min
        integral = jnp.asarray(integral, float)
        return 2.0 * integral / (self.beta_min + jnp.sqrt(self.beta_min**2 + 2.0 * slope * integral))

    def signal(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.exp(-0.5 * self.integral(time))


class VariancePreserving(_Linear):
    r"""The noising that keeps the variance of what has variance 1; overdamped Langevin motion to $N(0, 1)$.

    $$\alpha = e^{-B/2},\qquad \sigma = \sqrt{1 - e^{-B}},\qquad B = \int_0^t\beta,\quad
      \beta = \beta_0 + (\beta_1 - \beta_0)t,\quad 0\le t\le 1$$

    so that $dx = -\tfrac12\beta x\,dt + \sqrt\beta\,dW$. Its noise begins infinitely fast: where there is none yet, the
    velocity of the flow is that at the time at which $\sigma^2$ is the root of the precision.

    Arguments:
        beta_min: $\beta_0 > 0$, the rate at t = 0, per unit time.
        beta_max: $\beta_1 > 0$, the rate at t = 1.

    Raises:
        InputError: a rate is not above 0.

    >>> import thalweg as tw
    >>> noising = tw.networks.VariancePreserving()
    >>> round(float(noising.signal(0.5)**2 + noising.noise(0.5)**2), 6), round(float(noising.diffusion(0.5))**2, 4)
    (1.0, 10.05)

    Reference: Song et al. (2021), equation 11.
    """

    def noise(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.sqrt(-jnp.expm1(-self.integral(time)))

    def log_snr(self, time: ArrayLike) -> Array:
        return -0.5 * jnp.log(jnp.expm1(self.integral(time)))

    def time_at(self, log_snr: ArrayLike) -> Array:
        return self.time_of_integral(jax.nn.softplus(-2.0 * jnp.asarray(log_snr, float)))

    def beside(self, time: ArrayLike) -> Array:
        time = jnp.asarray(time, float)
        return jnp.where(time > 0.0, time, self.time_of_integral(jnp.sqrt(jnp.finfo(time.dtype).eps)))


class SubVariancePreserving(_Linear):
    r"""The noising whose variance is at most that of the variance-preserving one.

    $$\alpha = e^{-B/2},\qquad \sigma = 1 - e^{-B},\qquad B = \int_0^t\beta$$

    Arguments:
        beta_min: $\beta_0 > 0$, the rate at t = 0, per unit time.
        beta_max: $\beta_1 > 0$, the rate at t = 1.

    Raises:
        InputError: a rate is not above 0.

    >>> import thalweg as tw
    >>> noising = tw.networks.SubVariancePreserving()
    >>> round(float(noising.noise(0.5)), 6), float(noising.noise(0.0))  # 1 - signal^2
    (0.920936, 0.0)

    Reference: Song et al. (2021), equation 12.
    """

    def noise(self, time: ArrayLike) -> Float[Array, "..."]:
        return -jnp.expm1(-self.integral(time))

    def time_at(self, log_snr: ArrayLike) -> Array:
        ratio = jnp.exp(-jnp.asarray(log_snr, float))
        return self.time_of_integral(2.0 * jnp.arcsinh(0.5 * ratio))


class VarianceExploding(AbstractNoising):
    r"""Noise that is added to data which stay; the time is the noise level.

    $$\alpha = 1,\qquad \sigma = t,\qquad 0\le t\le\mathtt{noise\_max}$$

    Another clock, such as $\sigma = \sqrt t$, is a `tw.networks.Noising`.

    Arguments:
        noise_max: the noise level at the end, in units of the data.

    Raises:
        InputError: it is not above 0.

    >>> import thalweg as tw
    >>> noising = tw.networks.VarianceExploding(80.0)
    >>> float(noising.noise(3.0)), float(noising.end)
    (3.0, 80.0)

    Reference: Karras et al. (2022), section 3.
    """

    noise_max: Float[Array, ""] = eqx.field(default=80.0, converter=scalar)

    def __check_init__(self) -> None:
        check_number("noise_max", self.noise_max, above=0.0)

    @property
    def end(self) -> Float[Array, ""]:
        return self.noise_max

    def signal(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.ones_like(jnp.asarray(time, float))

    def noise(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.asarray(time, float)

    def time_at(self, log_snr: ArrayLike) -> Array:
        return jnp.exp(-jnp.asarray(log_snr, float))


class RectifiedFlow(AbstractNoising):
    r"""The straight line from data to noise.

    $$\alpha = 1 - t,\qquad \sigma = t,\qquad 0\le t\le 1$$

    so that the velocity of a pair is $\varepsilon - x_0$. At t = 1 there is no signal: a prediction of the noise says
    nothing there, one of the data or of the velocity does.

    >>> import thalweg as tw
    >>> noising = tw.networks.RectifiedFlow()
    >>> float(noising.signal(0.25)), float(noising.noise(0.25)), round(float(noising.log_snr(0.5)), 9)
    (0.75, 0.25, 0.0)

    Reference: Liu, Gong and Liu (2023), equation 1.
    """

    @property
    def end(self) -> Float[Array, ""]:
        return jnp.ones((), float)

    def signal(self, time: ArrayLike) -> Float[Array, "..."]:
        return 1.0 - jnp.asarray(time, float)

    def noise(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.asarray(time, float)

    def time_at(self, log_snr: ArrayLike) -> Array:
        return jax.nn.sigmoid(-jnp.asarray(log_snr, float))


class Trigonometric(AbstractNoising):
    r"""The variance-preserving noising by an angle, the cosine schedule.

    $$\alpha = \cos\tfrac{\pi t}2,\qquad \sigma = \sin\tfrac{\pi t}2,\qquad 0\le t\le 1$$

    >>> import thalweg as tw
    >>> noising = tw.networks.Trigonometric()
    >>> round(float(noising.signal(1 / 3)), 6), round(float(noising.noise(1 / 3)), 6)
    (0.866025, 0.5)

    Reference: Salimans and Ho (2022), section 2.
    """

    @property
    def end(self) -> Float[Array, ""]:
        return jnp.ones((), float)

    def signal(self, time: ArrayLike) -> Float[Array, "..."]:
        # Of the sine of what is left, which is 0 at the end.
        return jnp.sin(0.5 * jnp.pi * (1.0 - jnp.asarray(time, float)))

    def noise(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.sin(0.5 * jnp.pi * jnp.asarray(time, float))

    def time_at(self, log_snr: ArrayLike) -> Array:
        return jnp.arctan(jnp.exp(-jnp.asarray(log_snr, float))) / (0.5 * jnp.pi)


def _levels(value: Any) -> Any:
    try:
        return jnp.asarray(value, float)
    except (TypeError, ValueError):
        return value


class Tabulated(AbstractNoising):
    r"""A variance-preserving noising by a table of signal levels, as discrete diffusion models have it.

    $$\alpha(k) = \sqrt{\bar\alpha_k},\qquad \sigma(k) = \sqrt{1 - \bar\alpha_k},\qquad k = 0, 1, \dots, n$$

    with $\bar\alpha_0 = 1$, the data, and $\log\bar\alpha$ linear between the times k. The number of a level as
    such models count them, from 0, is k - 1.

    Arguments:
        levels: $\bar\alpha_1, \dots, \bar\alpha_n$, cumulative products of $1 - \beta$, an array (n,) that falls,
            between 0 and 1.

    Raises:
        InputError: the levels do not fall, or not between 0 and 1.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> noising = tw.networks.Tabulated(jnp.cumprod(1.0 - jnp.linspace(1e-4, 0.02, 1000)))
    >>> float(noising.end), round(float(noising.signal(1.0))**2, 6)
    (1000.0, 0.9999)

    Reference: Ho, Jain and Abbeel (2020), equation 4.
    """

    levels: Float[Array, " levels"] = eqx.field(converter=_levels)

    def __check_init__(self) -> None:
        if not isinstance(self.levels, jax.Array) or self.levels.ndim != 1 or self.levels.size < 1:
            raise InputError(f"levels must be a list of numbers between 0 and 1, but are {self.levels!r}")
        if isinstance(self.levels, Tracer):
            return
        held = np.concatenate([[1.0], np.asarray(self.levels), [0.0]])
        if not (np.all(np.isfinite(held)) and np.all(np.diff(held) < 0.0)):
            raise InputError(
                "levels must fall from below 1 and stay above 0, as cumulative products of 1 - beta do; those of beta "
                "itself are jnp.cumprod(1 - beta)"
            )

    @property
    def end(self) -> Float[Array, ""]:
        return jnp.asarray(self.levels.size, float)

    def _log(self, time: ArrayLike) -> Array:
        logs = jnp.concatenate([jnp.zeros(1), jnp.log(self.levels)])
        return jnp.interp(jnp.asarray(time, float), jnp.arange(logs.size, dtype=float), logs)

    def signal(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.exp(0.5 * self._log(time))

    def noise(self, time: ArrayLike) -> Float[Array, "..."]:
        return jnp.sqrt(-jnp.expm1(self._log(time)))

    def time_at(self, log_snr: ArrayLike) -> Array:
        logs = jnp.concatenate([jnp.zeros(1), jnp.log(self.levels)])
        return jnp.interp(jax.nn.softplus(-2.0 * jnp.asarray(log_snr, float)), -logs, jnp.arange(logs.size) * 1.0)

    def beside(self, time: ArrayLike) -> Array:
        time = jnp.asarray(time, float)
        first = jnp.sqrt(jnp.finfo(time.dtype).eps) / -jnp.log(self.levels[0])
        return jnp.where(time > 0.0, time, jnp.minimum(first, 1.0))
