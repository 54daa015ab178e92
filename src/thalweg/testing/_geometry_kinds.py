"""Checks of a geometry's distances and noise, of dtypes, of batches and of shuffled parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._tree import Vector, combine, ravel, unraveler
from ..geometry import (
    AbstractDistance,
    AbstractEmbedded,
    AbstractManifold,
    AbstractMetric,
    AbstractNoise,
)
from ._clause import InapplicableError
from ._geometry import Space, along
from ._geometry_lines import along_of

_FAR, _DRAWS = "has no distances", "has no noise"


def _maps(space: Space) -> dict[str, tuple[Any, int]]:
    """The maps of the geometry by name, and how many trees each takes."""
    kinds: dict[type, dict[str, int]] = {
        AbstractMetric: {"velocity": 2},
        AbstractManifold: {"move": 2, "transport": 3},
        AbstractEmbedded: {"project": 1, "tangent": 2, "bend": 2},
        AbstractNoise: {"noise": 2, "divergence": 1},
        AbstractDistance: {"log": 2},
    }
    found = [maps for kind, maps in kinds.items() if isinstance(space.geometry, kind)]
    return {name: (getattr(space.geometry, name), count) for maps in found for name, count in maps.items()}


def dtype(space: Space) -> None:
    """float32 and bfloat16 stay what they are."""
    for kind in (jnp.float32, jnp.bfloat16):
        # By its shapes alone: nothing is computed.
        x = jax.tree.map(lambda leaf, kind=kind: jax.ShapeDtypeStruct(leaf.shape, kind), space.x)
        for name, (_, count) in _maps(space).items():
            own = getattr(space.given, name)
            found = {str(leaf.dtype) for leaf in jax.tree.leaves(jax.eval_shape(own, *(x,) * count))}
            if found != {jnp.dtype(kind).name}:
                lines = f"x = jax.tree.map(lambda leaf: leaf.astype(jnp.{jnp.dtype(kind).name}), x)\ngeometry.{name}"
                raise space.broken(jnp.dtype(kind).name, " and ".join(sorted(found)), f"{lines}{('x',) * count}")


def batched(space: Space) -> None:
    """jax.vmap is a loop."""
    u, v, _, w = space.tangents(4)
    curved = isinstance(space.geometry, AbstractManifold)
    points = [space.x, jax.jit(lambda v: space.near(v))(v) if curved else space.x]
    ways = [combine((0.5, w)), combine((0.3, u))]
    if isinstance(space.geometry, AbstractEmbedded):
        ways[1] = space.geometry.tangent(points[1], ways[1])
    both = [jax.tree.map(lambda a, b: jnp.stack([a, b]), *pair) for pair in (points, ways)]
    for name, (fn, count) in _maps(space).items():
        given = [both[0], *(both[0] if name == "log" else both[1],) * (count - 1)]
        # A method of a module that holds a dictionary has no hash.
        found = jax.jit(jax.vmap(lambda *trees, fn=fn: fn(*trees)))(*given)
        alone = jax.jit(lambda *trees, fn=fn: fn(*trees))
        for i in range(2):
            one = [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for tree in given]
            lines = f"jax.vmap(geometry.{name})  # of two points: should be as geometry.{name} of each"
            space.compare(alone(*one), jax.tree.map(lambda leaf, i=i: leaf[i], found), lines, y=points[1])


def distance(space: Space) -> None:
    """The distance along a geodesic is its length."""
    space.needs(AbstractDistance, _FAR)
    _need_lines(space)
    own = space.geometry

    @jax.jit
    def squares(x: Vector, v: Vector) -> tuple[Any, Any, Any]:
        y = own.move(x, v)
        return own.inner(x, v, v), own.squared_distance(x, y), own.squared_distance(y, x)

    for v in space.tangents(4):
        square, found, back = squares(space.x, v)
        space.compare(
            square, found, "geometry.squared_distance(x, geometry.move(x, v))  # geometry.inner(x, v, v)", v=v
        )
        space.compare(square, back, "geometry.squared_distance(geometry.move(x, v), x)", v=v)
    here, slope = jax.jit(jax.value_and_grad(lambda y: own.squared_distance(space.x, y)))(space.x)
    lines = "jax.value_and_grad(lambda y: geometry.squared_distance(x, y))(x)"
    space.compare(0.0, here, lines)
    space.compare(space.zero(), slope, lines)


def log(space: Space) -> None:
    """`log` is the inverse of `move`."""
    space.needs(AbstractDistance, _FAR)
    _need_lines(space)
    back = jax.jit(lambda x, v: space.geometry.log(x, space.geometry.move(x, v)))
    for v in [space.zero(), *space.tangents(4)]:
        space.compare(v, back(space.x, v), "geometry.log(x, geometry.move(x, v))  # should be v", v=v)


def noise(space: Space) -> None:
    """The noise has the inverse of the metric for its covariance."""
    space.needs(AbstractNoise, _DRAWS)
    space.needs(AbstractMetric, "has no metric")
    cut, zero = unraveler(space.x), jnp.zeros_like(ravel(space.x))

    @jax.jit
    def both(x: Vector, p: Vector) -> tuple[Any, Any]:
        spread = _spread(space.geometry, x, cut, zero)
        return space.geometry.velocity(x, p), cut(spread @ (spread.T @ ravel(p)))

    for _, p in zip(range(4), space.raw(), strict=False):
        lines = (
            "N = jax.jacfwd(lambda n: geometry.noise(x, n))(0 * x)  # with x as one vector\n"
            "N @ (N.T @ p)  # should be geometry.velocity(x, p)"
        )
        expected, found = both(space.x, p)
        space.compare(expected, found, lines, p=p)
    # Linear in the normals, so that it is of mean zero.
    n = next(vector for k, vector in enumerate(space.raw()) if k == 2)
    double = combine((2.0, space.geometry.noise(space.x, n)))
    space.compare(double, space.geometry.noise(space.x, combine((2.0, n))), "geometry.noise(x, 2 * n)", n=n)


def divergence(space: Space) -> None:
    """The drift of the noise is that of its covariance.

    On a manifold the Laplacian of the coordinates, which is the sum of the accelerations of geodesics with orthonormal
    velocities; elsewhere the divergence of the inverse metric in the coordinates.
    """
    space.needs(AbstractNoise, _DRAWS)
    own, cut = space.geometry, unraveler(space.x)
    flat = ravel(space.x)
    curved = isinstance(own, AbstractManifold)

    @jax.jit
    def both(x: Vector) -> tuple[Any, Any]:
        if not curved:

            def covariance(y: Any) -> Any:
                spread = _spread(own, cut(y), cut, jnp.zeros_like(y))
                return spread @ spread.T

            return cut(jnp.einsum("ijj->i", jax.jacfwd(covariance)(ravel(x)))), own.divergence(x)
        columns = _spread(own, x, cut, jnp.zeros_like(flat)).T

        def acceleration(column: Any) -> Any:
            return ravel(along(lambda t: along_of(lambda t: own.move(x, combine((t, cut(column)))), t))[1])

        return cut(jnp.sum(jax.vmap(acceleration)(columns), axis=0)), own.divergence(x)

    lines = "geometry.divergence(x)  # should be the sum of " + (
        "the accelerations of geometry.move(x, t * e) over orthonormal e"
        if curved
        else "dC[i, j]/dx[j] over j, of the covariance C of geometry.noise"
    )
    expected, found = both(space.x)
    space.compare(expected, found, lines)


def elementwise(space: Space) -> None:
    """An elementwise geometry is the same on one vector, and on its entries in another order."""
    if not space.geometry.elementwise:
        raise InapplicableError("it does not say elementwise = True")
    flat, cut = ravel(space.x), unraveler(space.x)
    order = np.random.default_rng(space.seed).permutation(flat.size)
    order = order if flat.size < 2 or np.any(order != np.arange(flat.size)) else order[::-1]
    u, v = (ravel(vector) for vector in space.tangents(2))
    for name, (fn, count) in _maps(space).items():
        given = [flat, v + 0.5 * u, u][:count]
        if name == "log":
            given = [flat, flat]
        expected = ravel(fn(*map(cut, given)))
        space.compare(
            expected, fn(*given), f"geometry.{name}  # of x as one vector, should be as of the tree", v=cut(v)
        )
        shuffled = fn(*(one[order] for one in given))
        lines = f"geometry.{name}  # of x[order], should be [order] of that of x, for order = {order.tolist()}"
        space.compare(expected[order], shuffled, lines, v=cut(v))


def _spread(geometry: Any, x: Vector, cut: Any, zero: Any) -> Any:
    """The noise as a matrix that multiplies normals."""
    return jax.jacfwd(lambda n: ravel(geometry.noise(x, cut(n))))(zero)


def _need_lines(space: Space) -> None:
    if not isinstance(space.geometry, AbstractManifold):
        raise InapplicableError(f"{space.name} is no manifold, and has no straight lines")
