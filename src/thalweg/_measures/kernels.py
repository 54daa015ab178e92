"""Kernels: symmetric functions of two points."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError, check_arguments, check_number
from .._module import Module
from .._showing.modules import shown
from .._tree import scalar


class AbstractKernel(Module):
    """A symmetric function of two points (d,)."""

    @abc.abstractmethod
    def matrix(self, x: Array, y: Array) -> Float[Array, "n m"]:
        """Values for all pairs of points (n, d) and (m, d)."""

    def __call__(self, x: Array, y: Array) -> Float[Array, ""]:
        return self.matrix(x[None], y[None])[0, 0]

    def __repr__(self) -> str:
        return shown(self)


class AbstractRadial(AbstractKernel):
    """A kernel of the distance alone."""

    @abc.abstractmethod
    def of_square(self, square: Array) -> Array:
        """The value at a squared distance, elementwise."""

    def with_slope(self, square: Array) -> tuple[Array, Array]:
        """The value, and the derivative by the squared distance, elementwise."""
        return jax.jvp(self.of_square, (square,), (jnp.ones_like(square),))

    def matrix(self, x: Array, y: Array) -> Float[Array, "n m"]:
        return self.of_square(squares(x, y))


def squares(x: Array, y: Array) -> Float[Array, "n m"]:
    """Squared distances between all pairs of points."""
    if x.shape[-1] <= 3:
        # By differences, which have all their digits, one coordinate after the other: no array is of all of them.
        apart = [x[:, k, None] - y[None, :, k] for k in range(x.shape[-1])]
        return sum((each**2 for each in apart[1:]), apart[0] ** 2)
    # Far from the origin, where all points may be, the squares of their lengths would have no digits left for this.
    x, y = x - y[:1], y - y[:1]
    across = jnp.matmul(x, y.T, precision="highest")
    return jnp.maximum(jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)[None, :] - 2.0 * across, 0.0)


class GaussianKernel(AbstractRadial):
    r"""The Gaussian kernel, $k(x, y) = e^{-|x - y|^2/2\sigma^2}$.

    Arguments:
        bandwidth: $\sigma > 0$, in units of the points.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> round(float(tw.measures.GaussianKernel(1.0)(jnp.zeros(2), jnp.array([1.0, 1.0]))), 6)
    0.367879
    """

    bandwidth: Float[Array, ""] = eqx.field(converter=scalar)

    def __check_init__(self) -> None:
        check_number("bandwidth", self.bandwidth, above=0.0)

    def of_square(self, square: Array) -> Array:
        return jnp.exp(-0.5 * square / self.bandwidth.astype(square.dtype) ** 2)


class InverseMultiquadric(AbstractRadial):
    r"""The inverse multiquadric kernel, $k(x, y) = (1 + |x - y|^2/c^2)^{-\beta}$.

    Arguments:
        scale: $c > 0$, in units of the points.
        exponent: $\beta$, between 0 and 1 where a kernel Stein discrepancy is to control convergence.

    Reference: Gorham and Mackey (2017).
    """

    scale: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    exponent: Float[Array, ""] = eqx.field(default=0.5, converter=scalar)

    def __check_init__(self) -> None:
        check_number("scale", self.scale, above=0.0)
        check_number("exponent", self.exponent, above=0.0)

    def of_square(self, square: Array) -> Array:
        return (1.0 + square / self.scale.astype(square.dtype) ** 2) ** (-self.exponent.astype(square.dtype))


class EnergyKernel(AbstractRadial):
    r"""The kernel of the energy distance, $k(x, y) = -|x - y|$: $2E|X-Y| - E|X-X'| - E|Y-Y'|$.

    Reference: Székely and Rizzo (2013).
    """

    def of_square(self, square: Array) -> Array:
        # The root of 0 has no derivative, of which 0 times infinity would be made.
        apart = square > 0.0
        return jnp.where(apart, -jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)


class LinearKernel(AbstractKernel):
    r"""The kernel $k(x, y) = 1 + x^\top y$, under which Stein's geometry keeps Gaussians Gaussian."""

    def matrix(self, x: Array, y: Array) -> Float[Array, "n m"]:
        return 1.0 + jnp.matmul(x, y.T, precision="highest")


class Kernel(AbstractKernel):
    """A function of two points (d,) as a kernel; symmetric, or what is made of it is wrong."""

    fn: Any

    def matrix(self, x: Array, y: Array) -> Float[Array, "n m"]:
        found = jax.vmap(lambda a: jax.vmap(lambda b: jnp.asarray(self.fn(a, b)))(y))(x)
        if found.ndim != 2:
            raise InputError(f"a kernel must give a number of two points (d,), but gives shape {found.shape[2:]}")
        return found


def as_kernel(kernel: Any) -> Any:
    """A kernel as it is, a function of two points wrapped."""
    if isinstance(kernel, AbstractKernel):
        return kernel
    check_arguments("kernel", kernel, "x", "y")
    return Kernel(kernel)
