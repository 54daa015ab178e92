"""Geometries with one fault each; each says which check must fail, and which others may."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw
from thalweg.geometry import AbstractMetric, AbstractNoise, Sphere

SPHERE = tw.geometry.Sphere()
AT = np.array([0.48, -0.6, 0.64])
SKEWED = np.array([[1.0, 0.5, 0.0], [-0.5, 1.0, 0.2], [0.0, -0.2, 1.0]])


def unsafe(x, v):
    """The move by a root that has no derivative at 0."""
    length = jnp.linalg.norm(v)
    return jnp.cos(length) * x + jnp.where(length > 0.0, jnp.sin(length) / length, 1.0) * v


def tilting(x, v):
    """A retraction that leaves its geodesic sideways, in the square of the tangent."""
    return SPHERE.move(x, v + v[0] * SPHERE.tangent(x, jnp.array([0.0, v[1], 0.3 * v[0]])))


def rescaled(x, v, u):
    """The projection, as long as before."""
    found = SPHERE.tangent(SPHERE.move(x, v), u)
    return found * jnp.linalg.norm(u) / jnp.linalg.norm(found)


def twisted(x, v, u):
    """Parallel transport, and a rotation in the tangent plane at the end."""
    end, carried = SPHERE.move(x, v), SPHERE.transport(x, v, u)
    angle = 0.7 * v[0]
    return jnp.cos(angle) * carried + jnp.sin(angle) * jnp.cross(end, carried)


def called_back(x, v):
    """A map of the host that does not say how it is mapped."""
    like = jax.ShapeDtypeStruct(v.shape, v.dtype)
    return jax.pure_callback(lambda x, v: -np.sum(v * v) * np.asarray(x, v.dtype), like, x, v)


def method(fn):
    """A map as a method."""
    return lambda self, *arguments: fn(*arguments)


def wrong(**maps):
    """The sphere with other maps."""
    return type("Wrong", (Sphere,), {name: method(fn) for name, fn in maps.items()})()


class Weighted(AbstractMetric):
    """A metric that says it is elementwise, and knows which parameter is which."""

    elementwise = True

    def velocity(self, position, covector):
        return covector / self._weights(position)

    def inner(self, position, u, v):
        return jnp.sum(self._weights(position) * u * v)

    def _weights(self, position):
        return 1.0 + jnp.arange(position.size, dtype=position.dtype).reshape(position.shape)


class Entropic(AbstractMetric, AbstractNoise):
    """The metric of the entropy, whole: no manifold of ours, and with noise."""

    elementwise = True

    def velocity(self, position, covector):
        return position * covector

    def inner(self, position, u, v):
        return jnp.sum(u * v / position)

    def noise(self, position, normal):
        return jnp.sqrt(position) * normal

    def divergence(self, position):
        return jnp.ones_like(position)


class Case(NamedTuple):
    """What is broken, the check that must tell so, and others that may."""

    geometry: Any
    check: str
    besides: tuple[str, ...] = ()
    slow: bool = False


CASES = {
    "another shape": Case(wrong(transport=lambda x, v, u: u[:2]), "form"),
    "another dtype": Case(wrong(move=lambda x, v: SPHERE.move(x, v).astype(float)), "dtype", slow=True),
    "an inner product that is not symmetric": Case(
        wrong(inner=lambda x, u, v: u @ SKEWED @ v), "metric", ("distance",), slow=True
    ),
    "the gradient of another metric": Case(
        wrong(velocity=lambda x, p: 2.0 * SPHERE.tangent(x, p)), "gradient"
    ),
    "tangents that are not": Case(
        wrong(tangent=lambda x, u: u), "tangents", ("metric", "gradient", "smooth", "exponential", "geodesic", "bend",
        "stays", "isometric", "carried", "linear", "parallel", "distance", "log", "vmap"), slow=True,
    ),
    "a root at 0": Case(wrong(move=unsafe), "smooth", ("log", "distance"), slow=True),
    "twice as far": Case(
        wrong(move=lambda x, v: SPHERE.move(x, 2.0 * v)), "exponential", ("carried", "isometric", "distance", "log")
    ),
    "no geodesic": Case(wrong(move=tilting), "geodesic", ("carried", "distance", "log")),
    "a bend with the other sign": Case(wrong(bend=lambda x, v: -SPHERE.bend(x, v)), "bend"),
    "off the manifold": Case(
        wrong(move=lambda x, v: x + v + 0.5 * SPHERE.bend(x, v)), "stays", ("carried", "distance", "log"), slow=True
    ),
    "a projection": Case(
        wrong(transport=lambda x, v, u: SPHERE.tangent(SPHERE.move(x, v), u)), "isometric"
    ),
    "a glide without a turn": Case(wrong(glide=lambda x, v, time: (SPHERE.move(x, time * v), v)), "glide"),
    "carried nowhere": Case(wrong(transport=lambda x, v, u: u), "carried", ("parallel", "smooth"), slow=True),
    "a projection made as long": Case(wrong(transport=rescaled), "linear", ("isometric",), slow=True),
    "a twist": Case(wrong(transport=twisted), "parallel"),
    "a chord": Case(wrong(squared_distance=lambda x, y: jnp.sum((x - y) ** 2)), "distance", slow=True),
    "a projection for a logarithm": Case(wrong(log=lambda x, y: SPHERE.tangent(x, y - x)), "log", slow=True),
    "too much noise": Case(wrong(noise=lambda x, n: 1.5 * SPHERE.tangent(x, n)), "noise", slow=True),
    "a drift the other way": Case(wrong(divergence=lambda x: 2.0 * x), "divergence"),
    "what is not mapped": Case(wrong(bend=called_back), "vmap", slow=True),
    "elementwise by name": Case(Weighted(), "elementwise"),
}  # fmt: skip
