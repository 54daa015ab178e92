"""Checks of a geometry's metric and of its straight lines."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from .._tree import Vector, combine, to_host, wide_inner
from ..dynamics._curved import check_on
from ..geometry import AbstractEmbedded, AbstractManifold, AbstractMetric
from ._geometry import CLOSE, Space, along

_METRIC = "has no metric"
_CURVED = "is no manifold, and has no straight lines"
_EMBEDDED = "is in no surrounding space"
_ROUNDING = 1e-10


def form(space: Space) -> None:
    """Every map gives what it is given."""
    try:
        check_on(space.geometry, space.x)
    except InputError as error:
        raise space.broken("maps of the position's form", str(error), "geometry.check(x)") from None


def metric(space: Space) -> None:
    """An inner product."""
    space.needs(AbstractMetric, _METRIC)
    inner = jax.jit(lambda x, u, v: space.geometry.inner(x, u, v))
    for u, v in space.pairs():
        one, other, square = inner(space.x, u, v), inner(space.x, v, u), inner(space.x, u, u)
        space.compare(one, other, "geometry.inner(x, u, v), geometry.inner(x, v, u)", u=u, v=v)
        if not square > 0.0:
            raise space.broken("a positive square", float(square), "geometry.inner(x, u, u)", u=u)
        double = inner(space.x, combine((2.0, u), (1.0, v)), v)
        expected = 2.0 * one + inner(space.x, v, v)
        lines = "geometry.inner(x, u, v), geometry.inner(x, v, v)  # twice the first and the second, of 2u + v"
        space.compare(expected, double, lines, u=u, v=v)


def gradient(space: Space) -> None:
    """The velocity of a slope is its gradient in the metric."""
    space.needs(AbstractMetric, _METRIC)

    @jax.jit
    def both(x: Vector, p: Vector, v: Vector) -> tuple[Any, Any]:
        return wide_inner(p, v), space.geometry.inner(x, space.geometry.velocity(x, p), v)

    for p, (u, v) in zip(space.raw(), space.pairs(), strict=False):
        for tangent in (u, v):
            expected, found = both(space.x, p, tangent)
            lines = "geometry.inner(x, geometry.velocity(x, p), v)  # should be the sum of p v"
            space.compare(expected, found, lines, p=p, v=tangent)


def tangents(space: Space) -> None:
    """The tangents are those that the projection keeps."""
    space.needs(AbstractEmbedded, _EMBEDDED)
    own = space.geometry
    kept = jax.jit(lambda x, u: (own.project(x), own.tangent(x, u), own.tangent(x, own.tangent(x, u)),
                                  jax.jvp(own.project, (x,), (own.tangent(x, u),))[1]))  # fmt: skip
    for _, u in zip(range(4), space.raw(), strict=False):
        point, once, twice, moved = kept(space.x, u)
        space.compare(space.x, point, "geometry.project(x)")
        space.compare(once, twice, "geometry.tangent(x, geometry.tangent(x, u))", u=u)
        lines = "v = geometry.tangent(x, u)\njax.jvp(geometry.project, (x,), (v,))[1]  # should be v"
        space.compare(once, moved, lines, u=u)


def smooth(space: Space) -> None:
    """Nothing is NaN at a tangent of no length, nor its derivatives."""
    space.needs(AbstractManifold, _CURVED)
    own, zero = space.geometry, space.zero()

    @jax.jit
    def at_zero(x: Vector, v: Vector, u: Vector) -> Any:
        def both(t: Any) -> Any:
            way = combine((t, v))
            return own.move(x, way), own.transport(x, way, u)

        _, backwards = jax.vjp(lambda way: (own.move(x, way), own.transport(x, way, u)), combine((0.0, v)))
        first, second = along(lambda t: along_of(both, t))
        return both(0.0), first, second, backwards((u, u))

    for v, u in space.pairs():
        (here, kept), first, second, back = at_zero(space.x, v, u)
        space.compare(space.x, here, "geometry.move(x, v)", v=zero)
        space.compare(u, kept, "geometry.transport(x, v, u)", v=zero, u=u)
        for what, found in (("first", first), ("second", second), ("reverse-mode", back)):
            if not np.all(np.isfinite(to_host(found))):
                lines = "jax.jacfwd(lambda t: geometry.move(x, t * v))(0.0)  # and of geometry.transport(x, t * v, u)"
                wanted = f"finite {what} derivatives at a tangent of no length"
                raise space.broken(wanted, to_host(found).tolist(), lines, v=v, u=u)


def along_of(fn: Any, t: Any) -> Any:
    """The derivative of a curve at a time."""
    return jax.jvp(fn, (t,), (jnp.ones(()),))[1]


def exponential(space: Space) -> None:
    """A move starts with the velocity that it is given."""
    space.needs(AbstractManifold, _CURVED)
    speed = jax.jit(lambda x, v: along(lambda t: space.geometry.move(x, combine((t, v))))[1])
    for v in space.tangents(4):
        lines = "jax.jacfwd(lambda t: geometry.move(x, t * v))(0.0)  # should be v"
        space.compare(v, speed(space.x, v), lines, v=v)


def geodesic(space: Space) -> None:
    """A move agrees with the geodesic of the metric to second order.

    Of a surface of points Gamma(t, s) = move(x, tv + sw) the covariant acceleration along t is, times w,
    d/dt <dGamma/dt, dGamma/ds> - d/ds |dGamma/dt|^2/2, since derivatives of both parameters commute.
    """
    space.needs(AbstractManifold, _CURVED)
    own = space.geometry

    @jax.jit
    def tilted(x: Vector, v: Vector, w: Vector) -> Any:
        def products(t: Any, s: Any) -> tuple[Any, Any]:
            point, ahead = jax.jvp(lambda t: own.move(x, combine((t, v), (s, w))), (t,), (jnp.ones(()),))
            aside = jax.jvp(lambda s: own.move(x, combine((t, v), (s, w))), (s,), (jnp.ones(()),))[1]
            return own.inner(point, ahead, aside), 0.5 * own.inner(point, ahead, ahead)

        zero = jnp.zeros(())
        return along_of(lambda t: products(t, zero)[0], zero) - along_of(lambda s: products(zero, s)[1], zero)

    for v, w in space.pairs():
        for other in (v, w):
            lines = "# the covariant acceleration of geometry.move(x, t * v) at t = 0, times w, should be 0"
            space.compare(0.0, tilted(space.x, v, other), lines, v=v, w=other)


def bend(space: Space) -> None:
    """`bend` is the acceleration of a move."""
    space.needs(AbstractEmbedded, _EMBEDDED)
    own = space.geometry

    @jax.jit
    def both(x: Vector, v: Vector) -> tuple[Any, Any]:
        found = along(lambda t: along_of(lambda t: own.move(x, combine((t, v))), t))[1]
        return found, own.bend(x, v)

    for v in space.tangents(4):
        lines = "geometry.bend(x, v)  # should be the second derivative of geometry.move(x, t * v) at t = 0"
        expected, found = both(space.x, v)
        space.compare(expected, found, lines, v=v)


def stays(space: Space) -> None:
    """A move ends on the manifold."""
    space.needs(AbstractManifold, _CURVED)
    own, embedded = space.geometry, isinstance(space.geometry, AbstractEmbedded)
    end = jax.jit(lambda x, v: (own.move(x, v), own.project(own.move(x, v)) if embedded else own.move(x, v)))
    for v in space.tangents(3):
        for scale in (1.0, 5.0):
            way = combine((scale, v))
            there, nearest = end(space.x, way)
            space.compare(nearest, there, "geometry.move(x, v)  # should be geometry.project of it", 1e-13, v=way)
            try:
                own.check(there)
            except InputError as error:
                raise space.broken("a point of the manifold", str(error), "geometry.move(x, v)", v=way) from None


def isometric(space: Space) -> None:
    """Transport keeps lengths and angles."""
    space.needs(AbstractManifold, _CURVED)
    own = space.geometry

    @jax.jit
    def both(x: Vector, v: Vector, u: Vector, w: Vector) -> tuple[Any, Any]:
        end, one, other = own.move(x, v), own.transport(x, v, u), own.transport(x, v, w)
        return own.inner(x, u, w), own.inner(end, one, other)

    for v, u in space.pairs():
        for one, other in ((u, u), (v, u), (v, v)):
            lines = "y = geometry.move(x, v)\ngeometry.inner(y, *(geometry.transport(x, v, one) for one in (u, w)))"
            expected, found = both(space.x, v, one, other)
            space.compare(expected, found, lines, _ROUNDING, v=v, u=one, w=other)


def carried(space: Space) -> None:
    """A tangent that is carried is tangent at the end."""
    space.needs(AbstractEmbedded, _EMBEDDED)
    own = space.geometry

    @jax.jit
    def both(x: Vector, v: Vector, u: Vector) -> tuple[Any, Any]:
        found = own.transport(x, v, u)
        return own.tangent(own.move(x, v), found), found

    for v, u in space.pairs():
        for tangent in (v, u):
            lines = "geometry.transport(x, v, u)  # should be its tangent part at geometry.move(x, v)"
            expected, found = both(space.x, v, tangent)
            space.compare(expected, found, lines, _ROUNDING, v=v, u=tangent)


def gliding(space: Space) -> None:
    """A velocity leads where a move does, and is carried there as any tangent is."""
    space.needs(AbstractManifold, _CURVED)
    own = space.geometry

    @jax.jit
    def both(x: Vector, v: Vector, time: Any) -> tuple[Any, Any]:
        way = combine((time, v))
        return (own.move(x, way), own.transport(x, way, v)), own.glide(x, v, time)

    for time, (v, _) in zip((1.0, -0.3, 0.01, 2.0), space.pairs(), strict=False):
        lines = f"geometry.glide(x, v, {time})  # should be geometry.move(x, {time} * v), and v transported along that"
        expected, found = both(space.x, v, jnp.asarray(time))
        space.compare(expected, found, lines, _ROUNDING, v=v)


def linear(space: Space) -> None:
    """Transport is linear in what it carries."""
    space.needs(AbstractManifold, _CURVED)
    carry = jax.jit(lambda x, v, u: space.geometry.transport(x, v, u))
    for v, u in space.pairs():
        parts = combine((2.0, carry(space.x, v, u)), (-3.0, carry(space.x, v, v)))
        found = carry(space.x, v, combine((2.0, u), (-3.0, v)))
        lines = "geometry.transport(x, v, w)  # for w = 2u - 3v should be twice that of u less three times that of v"
        space.compare(parts, found, lines, _ROUNDING, v=v, u=u)


def parallel(space: Space) -> None:
    """Transport is parallel to first order.

    A field along the curve move(x, tv) is parallel at t = 0 if its derivative there is that of d/ds move(x, tv + su):
    these are normal coordinates, in which there are no Christoffel terms at the origin.
    """
    space.needs(AbstractManifold, _CURVED)
    own = space.geometry

    @jax.jit
    def both(x: Vector, v: Vector, u: Vector) -> tuple[Any, Any]:
        def spread(t: Any) -> Any:
            return along(lambda s: own.move(x, combine((t, v), (s, u))))[1]

        return along(spread)[1], along(lambda t: own.transport(x, combine((t, v)), u))[1]

    for v, u in space.pairs():
        for tangent in (v, u):
            lines = (
                "jax.jacfwd(lambda t: geometry.transport(x, t * v, u))(0.0)  # should be:\n"
                "jax.jacfwd(jax.jacfwd(lambda t, s: geometry.move(x, t * v + s * u)), 1)(0.0, 0.0)"
            )
            expected, found = both(space.x, v, tangent)
            space.compare(expected, found, lines, CLOSE, v=v, u=tangent)
