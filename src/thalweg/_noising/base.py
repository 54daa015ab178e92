"""Noisings: a signal that fades and a noise that grows, as functions of time."""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Key, PyTree

from .._module import Module
from .._showing.modules import shown
from .._tree import Vector, combine, normal
from .._typed import check_fields

# Halvings of an interval of times, after which its ends are neighbours in double precision.
_HALVINGS = 60


class AbstractNoising(Module):
    r"""Data that fades while noise grows, $x_t = \alpha(t)\,x_0 + \sigma(t)\,\varepsilon$, for $0\le t\le\mathtt{end}$.

    $\alpha$ is the signal and $\sigma$ the noise; $\alpha/\sigma$ falls. Everything else follows from the two: the law
    $dx = fx\,dt + g\,dW$ whose marginals these are has $f = \alpha'/\alpha$ and
    $g^2 = 2\sigma(\alpha\sigma' - \sigma\alpha')/\alpha$, the logarithm of the signal-to-noise ratio is
    $\lambda = \log(\alpha/\sigma)$. A noising of one's own has `signal`, `noise` and `end`.
    """

    def __check_init__(self) -> None:
        check_fields(self)

    def __repr__(self) -> str:
        return shown(self)

    @property
    @abc.abstractmethod
    def end(self) -> Float[Array, ""]:
        """The time up to which there is noise."""

    @abc.abstractmethod
    def signal(self, time: ArrayLike) -> Float[Array, "..."]:
        r"""$\alpha$, the factor of the data, from 1 down."""

    @abc.abstractmethod
    def noise(self, time: ArrayLike) -> Float[Array, "..."]:
        r"""$\sigma$, the standard deviation of the noise, from 0 up."""

    def signal_and_rate(self, time: ArrayLike) -> tuple[Array, Array]:
        r"""$(\alpha, \alpha')$."""
        return _with_rate(self.signal, time)

    def noise_and_rate(self, time: ArrayLike) -> tuple[Array, Array]:
        r"""$(\sigma, \sigma')$."""
        return _with_rate(self.noise, time)

    def drift(self, time: ArrayLike) -> Array:
        r"""$f = \alpha'/\alpha$, per unit time."""
        signal, rate = self.signal_and_rate(time)
        return rate / signal

    def diffusion(self, time: ArrayLike) -> Array:
        r"""$g = \sqrt{2\sigma(\alpha\sigma' - \sigma\alpha')/\alpha}$, per root of time."""
        time = self.beside(time)
        signal, fades = self.signal_and_rate(time)
        noise, grows = self.noise_and_rate(time)
        return jnp.sqrt(2.0 * noise * (signal * grows - noise * fades) / signal)

    def log_snr(self, time: ArrayLike) -> Array:
        r"""$\lambda = \log(\alpha/\sigma)$; infinite where there is no noise, minus infinite where no signal."""
        return jnp.log(self.signal(time)) - jnp.log(self.noise(time))

    def time_at(self, log_snr: ArrayLike) -> Array:
        r"""The time at which the logarithm of the signal-to-noise ratio, which falls, is this: by bisection."""
        target = jnp.asarray(log_snr, float)

        def halved(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = 0.5 * (low + high)
            early = self.log_snr(middle) > target
            return jnp.where(early, middle, low), jnp.where(early, high, middle)

        ends = jnp.zeros_like(target), jnp.full_like(target, self.end)
        if any(isinstance(leaf, Tracer) for leaf in (target, *jax.tree.leaves(self))):
            low, high = jax.lax.fori_loop(0, _HALVINGS, halved, ends)
        else:
            # A loop of its own would be compiled again at every call.
            for _ in range(_HALVINGS):
                ends = halved(_, ends)
            low, high = ends
        return 0.5 * (low + high)

    def beside(self, time: ArrayLike) -> Array:
        """The time itself, or one beside it where the noise begins infinitely fast, so that no rate is known."""
        return jnp.asarray(time, float)

    def noised(self, time: ArrayLike, clean: Vector, noise: Vector) -> Vector:
        r"""$\alpha x_0 + \sigma\varepsilon$.

        Arguments:
            time: t.
            clean: $x_0$, a pytree.
            noise: $\varepsilon$, standard normals of the same shapes.
        """
        return combine((self.signal(time), clean), (self.noise(time), noise))

    def prior(self, key: Key[Array, ""], like: PyTree, time: ArrayLike | None = None) -> Vector:
        r"""Noise of the standard deviation that there is at the end, from which samples begin.

        Arguments:
            key: a JAX key.
            like: an array or a pytree of arrays, whose shapes and dtypes count.
            time: of which the noise is taken; None is the end.
        """
        leaves, structure = jax.tree.flatten(like)
        keys = jax.random.split(key, len(leaves))
        drawn = [normal(k, jnp.shape(leaf), jnp.result_type(leaf)) for k, leaf in zip(keys, leaves, strict=True)]
        return combine((self.noise(self.end if time is None else time), jax.tree.unflatten(structure, drawn)))


def _with_rate(of: Callable[[Array], Array], time: ArrayLike) -> tuple[Array, Array]:
    time = jnp.asarray(time, float)
    return jax.jvp(lambda t: jnp.asarray(of(t), float), (time,), (jnp.ones_like(time),))
