"""A geometry at a point, as it is checked: tangents, covectors, and what an example of a fault shows."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, is_real
from .._tree import Vector, combine, ravel, to_host, unraveler
from ..geometry import AbstractEmbedded, AbstractGeometry, AbstractManifold, AbstractMetric
from ..geometry.base import named
from ._clause import BrokenError, InapplicableError
from ._report import Example

# Of what automatic differentiation gives exactly, by so much of its size.
CLOSE = 1e-8
# The length of the tangents that are tried, in the metric: where every geodesic is the only one.
_LENGTH = 0.4


@dataclasses.dataclass(frozen=True)
class Space:
    """A geometry and a point of it in double precision.

    Arguments:
        geometry: with arrays in double precision.
        given: as the user gave it.
        x: the point.
        seed: of covectors and tangents.
    """

    geometry: Any
    given: AbstractGeometry
    x: Vector
    seed: int

    @property
    def name(self) -> str:
        """The name of the geometry in a report."""
        return named(self.given)

    def needs(self, kind: type, words: str) -> None:
        """Leave a check out where the geometry cannot do what it is about."""
        if not isinstance(self.geometry, kind):
            raise InapplicableError(f"{self.name} {words}")

    def raw(self) -> Iterator[Vector]:
        """Vectors, the simplest first: the first and the last unit vector, then normals."""
        cut, flat = unraveler(self.x), ravel(self.x)
        rng = np.random.default_rng(self.seed)
        yield cut(jnp.zeros_like(flat).at[0].set(1.0))
        yield cut(jnp.zeros_like(flat).at[-1].set(1.0))
        while True:
            yield cut(jnp.asarray(rng.normal(size=flat.shape)))

    def tangents(self, count: int) -> list[Vector]:
        """Tangents of one length, simple ones first."""
        found = []
        for vector in self.raw():
            # Of a manifold in a surrounding space what is tangent; elsewhere all vectors are.
            own: Any = self.geometry
            v = own.tangent(self.x, vector) if isinstance(own, AbstractEmbedded) else vector
            square = float(own.inner(self.x, v, v)) if isinstance(own, AbstractMetric) else 1.0
            if not square > 1e-12:
                # Normal to the manifold, or of a metric that its own check tells of.
                if to_host(v) @ to_host(v) < 1e-12:
                    continue
                square = 1.0
            found.append(combine((_LENGTH * square**-0.5, v)))
            if len(found) == count:
                return found
        raise AssertionError

    def pairs(self) -> list[tuple[Vector, Vector]]:
        """Pairs of tangents, the second another than the first."""
        first, second, third, fourth = self.tangents(4)
        return [(first, second), (second, first), (third, fourth)]

    def near(self, v: Vector) -> Vector:
        """The point at the end of a tangent."""
        return self.geometry.move(self.x, v)

    def zero(self) -> Vector:
        """The tangent that leads nowhere."""
        return combine((0.0, self.x))

    def compare(self, expected: Any, found: Any, lines: str, tolerance: float = CLOSE, **given: Vector) -> None:
        """Find a fault where two numbers or trees are not close, relative to the larger of 1 and the first.

        Arguments:
            expected: as it should be.
            found: as it is.
            lines: what shows it, in the names of `given`, `geometry` and `x`.
            tolerance: how close.
            given: points and tangents by the names that the lines have for them.
        """
        one, other = (to_host(jax.tree.map(jnp.asarray, tree)) for tree in (expected, found))
        scale = max(1.0, float(np.max(np.abs(one), initial=0.0)))
        if one.shape == other.shape and np.all(np.abs(one - other) <= tolerance * scale):
            return
        raise self.broken(_plain(one), _plain(other), lines, **given)

    def broken(self, expected: Any, found: Any, lines: str, **given: Vector) -> BrokenError:
        """A fault, with the lines that show it."""
        start = to_host(self.x).tolist()
        head = [f"{name} = {_written(tree)}" for name, tree in {"x": self.x, **given}.items()]
        return BrokenError(
            Example({}, len(start), 0, start, [], expected, found, "\n".join([*head, *lines.splitlines()]))
        )


def space_of(geometry: Any, at: Any, seed: int) -> Space:
    """The subject of a check.

    Raises:
        InputError: it is no geometry, or the point is none of it.
    """
    if isinstance(geometry, type) and issubclass(geometry, AbstractGeometry):
        raise InputError(f"geometry must be an instance: {geometry.__name__}(), not the class")
    if not isinstance(geometry, AbstractGeometry):
        raise InputError(f"geometry must be one of tw.geometry or of your own, but is {geometry!r}")
    leaves = jax.tree.leaves(at)
    arrays = all(eqx.is_array_like(leaf) and is_real(leaf) for leaf in leaves)
    if not leaves or not arrays or not all(jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves):
        raise InputError(f"at must hold floating-point arrays, but is {at!r}")
    if not all(np.all(np.isfinite(np.asarray(leaf, float))) for leaf in leaves):
        raise InputError("at must be finite")
    at = jax.tree.map(jnp.asarray, at)
    if isinstance(geometry, AbstractManifold):
        # In its own precision, by whose rounding it may be off.
        geometry.check(at)
    double = jax.tree.map(
        lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, (geometry, at), is_leaf=eqx.is_array
    )
    geometry_, x = double
    if isinstance(geometry_, AbstractEmbedded):
        x = geometry_.project(x)
    return Space(geometry_, geometry, x, seed)


def along(fn: Callable, at: float = 0.0) -> tuple[Any, Any]:
    """A curve at a time and its derivative there."""
    return jax.jvp(fn, (jnp.asarray(at, float),), (jnp.ones(()),))


def _plain(x: np.ndarray) -> Any:
    return float(x[0]) if x.size == 1 else x.tolist()


class _Text:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _written(tree: Vector) -> str:
    return repr(jax.tree.map(lambda leaf: _Text(f"jnp.array({np.asarray(leaf).tolist()})"), tree))
