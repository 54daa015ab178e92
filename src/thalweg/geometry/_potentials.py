"""Mirror maps: the gradients of convex functions, their inverses and their Hessians, in closed form."""

import abc
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._tree import Vector, ravel, unraveler, wide_dtype, wide_inner
from ._divergence import divergence
from ._leafwise import leafwise, wide
from .base import rounding


class AbstractMap(abc.ABC):
    r"""A convex function $\phi$ by its maps, of trees; `velocity` is $(\nabla^2\phi)^{-1}p$, `lowered` its inverse."""

    elementwise: ClassVar[bool] = True

    @abc.abstractmethod
    def to_dual(self, x: Vector) -> Vector:
        r"""$\nabla\phi(x)$."""

    @abc.abstractmethod
    def from_dual(self, y: Vector) -> Vector:
        """The point of dual coordinates."""

    @abc.abstractmethod
    def velocity(self, x: Vector, p: Vector) -> Vector:
        r"""$\nabla^2\phi(x)^{-1}p$."""

    @abc.abstractmethod
    def lowered(self, x: Vector, u: Vector) -> Vector:
        r"""$\nabla^2\phi(x)\,u$."""

    @abc.abstractmethod
    def shifted(self, x: Vector, s: Vector) -> Vector:
        """The point whose dual coordinates are further by s."""

    def square(self, x: Vector, p: Vector) -> Float[Array, ""]:
        r"""$\langle p, \nabla^2\phi(x)^{-1}p\rangle$."""
        return wide_inner(p, self.velocity(x, p))

    @abc.abstractmethod
    def noise(self, x: Vector, n: Vector) -> Vector:
        r"""Of covariance $(\nabla^2\phi)^{-1}$, made of standard normals."""

    def divergence(self, x: Vector) -> Vector:
        r"""$\sum_j\partial_j(\nabla^2\phi)^{-1}_{ij}$."""
        return divergence(self.velocity, x)

    def check(self, x: Vector) -> None:
        """Refuse a start outside of the domain."""
        del x


def _check_positive(name: str, x: Vector) -> None:
    for leaf in jax.tree.leaves(x):
        found = np.asarray(leaf, float)
        if not np.all(found > 0.0):
            raise InputError(
                f"Mirror({name!r}) is of positive numbers, but the start holds {found[~(found > 0.0)].flat[0]:g}; "
                "start from positive ones, such as jnp.ones_like(x0)"
            )


def _over(u: Array, x: Array) -> Array:
    # What does not move at the edge of the domain has no rate there.
    still = u == 0.0
    return jnp.where(still, 0.0, u / jnp.where(still, 1.0, x))


class Entropy(AbstractMap):
    r"""$\sum x\log x - x$ of positive numbers."""

    def to_dual(self, x: Vector) -> Vector:
        return leafwise(jnp.log, x)

    def from_dual(self, y: Vector) -> Vector:
        return leafwise(jnp.exp, y)

    def velocity(self, x: Vector, p: Vector) -> Vector:
        return leafwise(lambda x, p: x * p, x, p)

    def lowered(self, x: Vector, u: Vector) -> Vector:
        return leafwise(lambda x, u: _over(u, x), x, u)

    def shifted(self, x: Vector, s: Vector) -> Vector:
        def moved(x: Array, s: Array) -> Array:
            # In halves: x may be as small as the factor is large.
            half = jnp.exp(0.5 * s)
            return x * half * half

        return leafwise(moved, x, s)

    def noise(self, x: Vector, n: Vector) -> Vector:
        return leafwise(lambda x, n: jnp.sqrt(x) * n, x, n)

    def divergence(self, x: Vector) -> Vector:
        return jax.tree.map(jnp.ones_like, x)

    def check(self, x: Vector) -> None:
        _check_positive("entropy", x)


class Simplex(AbstractMap):
    """The entropy on probabilities along the last axis, whose dual coordinates are logarithms up to a constant."""

    elementwise: ClassVar[bool] = False

    def to_dual(self, x: Vector) -> Vector:
        return leafwise(jnp.log, x)

    def from_dual(self, y: Vector) -> Vector:
        return leafwise(_softmax, y)

    def velocity(self, x: Vector, p: Vector) -> Vector:
        return leafwise(lambda x, p: x * _centred(x, p), x, p)

    def lowered(self, x: Vector, u: Vector) -> Vector:
        return leafwise(lambda x, u: _over(u, x), x, u)

    def shifted(self, x: Vector, s: Vector) -> Vector:
        return leafwise(lambda x, s: _softmax(jnp.log(x) + s), x, s)

    def square(self, x: Vector, p: Vector) -> Float[Array, ""]:
        # A variance: near rest the slope is nearly one number, whose square would be all that is left.
        parts = jax.tree.map(lambda x, p: jnp.sum(wide(x) * _centred(wide(x), wide(p)) ** 2), x, p)
        return jnp.asarray(sum(jax.tree.leaves(parts)))

    def noise(self, x: Vector, n: Vector) -> Vector:
        return leafwise(replicated_noise, x, n)

    def divergence(self, x: Vector) -> Vector:
        return leafwise(lambda x: 1.0 - x.shape[-1] * x / jnp.sum(x, axis=-1, keepdims=True), x)

    def check(self, x: Vector) -> None:
        if any(jnp.ndim(leaf) == 0 for leaf in jax.tree.leaves(x)):
            raise InputError("Mirror('simplex') needs vectors, along the last axis, but the start holds a number")
        _check_positive("simplex", x)
        for leaf in jax.tree.leaves(x):
            sums = np.sum(np.asarray(leaf, float), axis=-1)
            if np.any(off := ~(np.abs(sums - 1.0) <= rounding(leaf, leaf.shape[-1]))):
                raise InputError(
                    f"Mirror('simplex') needs probabilities along the last axis, but some of the start sum to "
                    f"{sums[off].flat[0]:g}; start from x0 / x0.sum(-1, keepdims=True)"
                )


def _softmax(y: Array) -> Array:
    most = jax.lax.stop_gradient(jnp.max(y, axis=-1, keepdims=True))
    weights = jnp.exp(y - most)
    return weights / jnp.sum(weights, axis=-1, keepdims=True)


def _centred(x: Array, p: Array) -> Array:
    return p - jnp.sum(x * p, axis=-1, keepdims=True) / jnp.sum(x, axis=-1, keepdims=True)


def replicated_noise(x: Array, n: Array) -> Array:
    r"""Of covariance $\operatorname{diag}(x) - xx^\top$ of probabilities, which keeps their sum."""
    root = jnp.sqrt(x)
    return root * n - x * jnp.sum(root * n, axis=-1, keepdims=True) / jnp.sum(x, axis=-1, keepdims=True)


class Hypentropy(AbstractMap):
    r"""$\sum x\operatorname{arsinh}(x/\beta) - \sqrt{x^2 + \beta^2}$ of all numbers."""

    def __init__(self, beta: Array) -> None:
        self.beta = beta

    def _of(self, x: Array) -> Array:
        return self.beta.astype(x.dtype)

    def to_dual(self, x: Vector) -> Vector:
        return leafwise(lambda x: jnp.arcsinh(x / self._of(x)), x)

    def from_dual(self, y: Vector) -> Vector:
        return leafwise(lambda y: self._of(y) * jnp.sinh(y), y)

    def velocity(self, x: Vector, p: Vector) -> Vector:
        return leafwise(lambda x, p: jnp.hypot(x, self._of(x)) * p, x, p)

    def lowered(self, x: Vector, u: Vector) -> Vector:
        return leafwise(lambda x, u: u / jnp.hypot(x, self._of(x)), x, u)

    def shifted(self, x: Vector, s: Vector) -> Vector:
        return leafwise(lambda x, s: self._of(x) * jnp.sinh(jnp.arcsinh(x / self._of(x)) + s), x, s)

    def noise(self, x: Vector, n: Vector) -> Vector:
        return leafwise(lambda x, n: jnp.sqrt(jnp.hypot(x, self._of(x))) * n, x, n)

    def divergence(self, x: Vector) -> Vector:
        return leafwise(lambda x: x / jnp.hypot(x, self._of(x)), x)


class LogBarrier(AbstractMap):
    r"""$-\sum\log x$ of positive numbers, whose dual coordinates $-1/x$ are negative."""

    def to_dual(self, x: Vector) -> Vector:
        return leafwise(lambda x: -1.0 / x, x)

    def from_dual(self, y: Vector) -> Vector:
        return leafwise(lambda y: jnp.where(y < 0.0, -1.0 / jnp.where(y < 0.0, y, -1.0), jnp.nan), y)

    def velocity(self, x: Vector, p: Vector) -> Vector:
        return leafwise(lambda x, p: x * (x * p), x, p)

    def lowered(self, x: Vector, u: Vector) -> Vector:
        return leafwise(lambda x, u: _over(_over(u, x), x), x, u)

    def shifted(self, x: Vector, s: Vector) -> Vector:
        def moved(x: Array, s: Array) -> Array:
            left = 1.0 - x * s
            return jnp.where(left > 0.0, x / jnp.where(left > 0.0, left, 1.0), jnp.nan)

        return leafwise(moved, x, s)

    def noise(self, x: Vector, n: Vector) -> Vector:
        return leafwise(lambda x, n: x * n, x, n)

    def divergence(self, x: Vector) -> Vector:
        return leafwise(lambda x: 2.0 * x, x)

    def check(self, x: Vector) -> None:
        _check_positive("log-barrier", x)


class _Sizes(NamedTuple):
    """A vector as its length in a norm, and its numbers by their parts of it."""

    length: Array
    part: Array
    sign: Array


class PNorm(AbstractMap):
    r"""$\tfrac12\|x\|_p^2$ of all parameters as one vector, with $1 < p \le 2$."""

    def __init__(self, p: Array) -> None:
        self.p = p

    def _mapped(self, x: Vector, power: Array) -> Vector:
        r"""The gradient of half the square of a norm, $\|x\|\,\mathrm{sign}(x)\,(|x|/\|x\|)^{p-1}$."""
        sizes = _sizes(x, power)
        return unraveler(x)(sizes.length * sizes.sign * sizes.part ** (power - 1.0))

    def to_dual(self, x: Vector) -> Vector:
        return self._mapped(x, self._p(x))

    def from_dual(self, y: Vector) -> Vector:
        p = self._p(y)
        return self._mapped(y, p / (p - 1.0))

    def velocity(self, x: Vector, p: Vector) -> Vector:
        own, vector = self._p(x), wide(ravel(p))
        sizes, q = _sizes(x, own), own / (own - 1.0)
        ray = sizes.sign * sizes.part
        moved = (q - 1.0) * sizes.part ** (2.0 - own) * vector + (2.0 - q) * ray * jnp.vdot(ray, vector)
        # At 0 the map back is of degree 1 and has no derivative but along a ray.
        return unraveler(x)(jnp.where(sizes.length == 0.0, wide(ravel(self.from_dual(p))), moved))

    def lowered(self, x: Vector, u: Vector) -> Vector:
        own, vector = self._p(x), wide(ravel(u))
        sizes = _sizes(x, own)
        ray = sizes.sign * sizes.part ** (own - 1.0)
        moved = (own - 1.0) * _over(vector, sizes.part ** (2.0 - own)) + (2.0 - own) * ray * jnp.vdot(ray, vector)
        return unraveler(x)(jnp.where(sizes.length == 0.0, wide(ravel(self.to_dual(u))), moved))

    def shifted(self, x: Vector, s: Vector) -> Vector:
        own = jax.tree.map(wide, x)
        moved = self.from_dual(jax.tree.map(lambda a, b: a + wide(b), self.to_dual(own), s))
        return jax.tree.map(lambda leaf, before: leaf.astype(before.dtype), moved, x)

    def noise(self, x: Vector, n: Vector) -> Vector:
        # The root of a diagonal and a ray: along the ray it is shorter by the root of q - 1. At 0 there is none.
        own, vector = self._p(x), wide(ravel(n))
        sizes, root = _sizes(x, own), (1.0 / (own - 1.0)) ** 0.5
        share = sizes.sign * sizes.part ** (0.5 * own)
        moved = root * sizes.part ** (1.0 - 0.5 * own) * vector
        moved = moved + (1.0 - root) * sizes.sign * sizes.part * jnp.vdot(share, vector)
        return unraveler(x)(jnp.where(sizes.length == 0.0, jnp.nan, moved))

    def _p(self, x: Vector) -> Array:
        return self.p.astype(wide_dtype(x))


def _sizes(x: Vector, power: Array) -> _Sizes:
    vector = wide(ravel(x))
    most = jnp.max(jnp.abs(vector), initial=0.0)
    none = most == 0.0
    scale = jnp.where(none, 1.0, most)
    size = jnp.abs(vector) / scale
    # Of no vector each branch is smooth.
    over = jnp.sum(jnp.where(none, 1.0, size) ** power) ** (1.0 / power)
    return _Sizes(most * over, size / over, jnp.sign(vector))
