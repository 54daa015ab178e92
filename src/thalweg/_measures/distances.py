"""Distances between distributions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import linear_sum_assignment

from .._errors import InputError, as_key, check_choice, check_count, check_number
from .._typed import typed
from .base import AbstractMeasure
from .bures import squared_bures
from .directions import even_directions
from .functional import points_of
from .gaussian import Gaussian
from .kernels import squares
from .line import of_atoms, squared_lines, squared_on_line, squared_to_gaussian
from .particles import Particles
from .sinkhorn import check_ott, regularised

_WAYS = ("exact", "sliced", "entropic")
# An assignment of more points takes minutes; drawings for a standard error.
_ASSIGNED, _DRAWINGS = 3000, 30


class Distance(NamedTuple):
    """A distance, and how far it may be off by what was drawn: particles, and directions."""

    value: float
    error: float


@typed()
def wasserstein(
    q: AbstractMeasure,
    p: AbstractMeasure,
    way: str | None = None,
    *,
    errors: bool = False,
    directions: int = 100,
    epsilon: Any = None,
    key: Any = 0,
) -> Any:
    r"""Wasserstein's distance $W_2$ between two distributions, not its square.

    Exact between Gaussians (Bures), and on the line between any two: a grid has its mass even in every cell,
    particles and quantiles theirs at points; two that are quantiles of one number are compared level by level, as
    quantiles are with a grid or a Gaussian at their levels. In more dimensions a grid has its mass in the middles of
    its cells; between equal numbers of equally weighted particles, up to 3,000, the distance is exact, by assignment.

    Arguments:
        q, p: the two, of one dimension.
        way: "exact"; "sliced", the root of the mean over directions of the squared distances of projections, smaller
            than $W_2$ (of a shift by $\sqrt d$); "entropic", the root of the Sinkhorn divergence between points
            (`tw.measures.Sinkhorn`), by ott-jax. None is the exact one.
        errors: whether to give the error as well. Of particles it is the root mean square distance from q to 30
            drawings of as many out of q, and likewise of p, added in quadrature: by the triangle inequality what having
            drawn them may make of it. Of a sliced one the standard error over directions besides.
        directions: of the sliced one.
        epsilon: of the entropic one, in units of a squared length; None is a hundredth of the mean squared distance.
        key: a seed or JAX key of the drawings; the directions have seed 0.

    Returns:
        the distance, a number; with `errors` a `Distance`: `.value`, `.error`.

    Raises:
        InputError: the dimensions differ, or there is no such way between the two, with what there is.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> tw.measures.wasserstein(tw.measures.Gaussian(0.0, 1.0), tw.measures.Gaussian(3.0, 25.0))
    5.0
    >>> q = tw.measures.Particles(jnp.array([0.0, 1.0]))
    >>> tw.measures.wasserstein(q, tw.measures.Particles(jnp.array([1.0])))  # root of a half
    0.7071067811865476

    Reference: Peyré and Cuturi (2019).
    """
    check_count("directions", directions)
    if way is not None:
        check_choice("way", way, _WAYS)
    if epsilon is not None:
        check_number("epsilon", epsilon, above=0.0)
    key = as_key(key)
    if q.dimension != p.dimension:
        raise InputError(f"the two must be of one dimension, but have {q.dimension} and {p.dimension} coordinates")
    way = way or "exact"
    _check_way(q, p, way)
    with jax.enable_x64(True):
        q, p = (jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), float), each) for each in (q, p))
        square, across = _squared(q, p, way, directions, epsilon)
        found = float(np.sqrt(max(square, 0.0)))
        if not errors:
            return found
        # The error of a root: of the square over twice the root, or the root of it where that is 0.
        own = min(across / (2.0 * found) if found > 0.0 else np.inf, np.sqrt(across))
        keys = jax.random.split(key)
        drawn = [_redrawn(each, one, way, directions, epsilon) for each, one in zip((q, p), keys, strict=True)]
        return Distance(found, float(np.sqrt(own**2 + sum(drawn))))


def _check_way(q: AbstractMeasure, p: AbstractMeasure, way: str) -> None:
    gaussians = [isinstance(each, Gaussian) for each in (q, p)]
    if way == "entropic":
        if any(gaussians):
            raise InputError(
                'the way "entropic" is between points; draw some of a Gaussian, tw.measures.Particles.of(q, n, key)'
            )
        check_ott('the way "entropic"')
    if way != "exact" or q.dimension == 1 or all(gaussians):
        return
    if any(gaussians):
        raise InputError(
            'the exact distance between a Gaussian and points in more than one dimension is not known; take "sliced", '
            "or particles of both, tw.measures.Particles.of(q, n, key)"
        )
    if not _assigned(q, p):
        raise InputError(
            f"the exact distance in more than one dimension is between equal numbers of equally weighted particles, up "
            f'to {_ASSIGNED}; take the way "sliced" or "entropic"'
        )


def _assigned(q: Any, p: Any) -> bool:
    """Tell whether both are as many equally weighted particles."""
    if not (isinstance(q, Particles) and isinstance(p, Particles)) or q.weights.size != p.weights.size:
        return False
    even = all(np.ptp(np.asarray(each.weights)) <= 1e-6 / each.weights.size for each in (q, p))
    return even and q.weights.size <= _ASSIGNED


def _squared(q: Any, p: Any, way: str, directions: int, epsilon: Any) -> tuple[float, float]:
    """The squared distance, and the standard error of the mean over directions."""
    if way == "sliced":
        each = np.asarray(_along(q, p, jnp.asarray(even_directions(q.dimension, directions, 0))))
        return float(each.mean()), float(each.std() / len(each) ** 0.5)
    if way == "entropic":
        (x, a), (y, b) = (_points(each) for each in (q, p))
        scale = 0.01 * (jnp.sum((a @ x - b @ y) ** 2) + jnp.trace(q.covariance) + jnp.trace(p.covariance))
        chosen = scale if epsilon is None else jnp.asarray(epsilon, float)
        found = regularised((x, a), (y, b), chosen)
        for own in ((x, a), (y, b)):
            found = found - 0.5 * regularised(own, own, chosen)
        if not bool(jnp.isfinite(found)):
            raise InputError(f"Sinkhorn's potentials were not found at epsilon = {float(chosen):g}; take a larger one")
        return float(found), 0.0
    if isinstance(q, Gaussian) and isinstance(p, Gaussian):
        return float(squared_bures(q, p)), 0.0
    if q.dimension == 1:
        return float(squared_on_line(q, p)), 0.0
    (x, _), (y, _) = _points(q), _points(p)
    costs = np.asarray(squares(x, y))
    return float(costs[linear_sum_assignment(costs)].mean()), 0.0


def _points(q: Any) -> tuple[Array, Array]:
    found = points_of(q)
    assert found is not None
    return found


@jax.jit
def _along(q: Any, p: Any, directions: Array) -> Array:
    """Squared distances of the projections."""

    def along(direction: Array) -> Array:
        one, other = q, p
        if isinstance(one, Gaussian):
            one, other = other, one
        if isinstance(one, Gaussian):
            means = (one.mean - other.mean) @ direction
            deviations = [jnp.sqrt(direction @ each.covariance @ direction) for each in (one, other)]
            return means**2 + (deviations[0] - deviations[1]) ** 2
        points, masses = _points(one)
        line = of_atoms(points @ direction, masses)
        if isinstance(other, Gaussian):
            deviation = jnp.sqrt(direction @ other.covariance @ direction)
            return squared_to_gaussian(line, other.mean @ direction, deviation)
        points, masses = _points(other)
        return squared_lines(line, of_atoms(points @ direction, masses))

    return jax.lax.map(along, directions, batch_size=8)


def _redrawn(q: Any, key: Array, way: str, directions: int, epsilon: Any) -> float:
    """The mean squared distance from particles to as many that are drawn out of them; 0 of what is not drawn."""
    if not isinstance(q, Particles):
        return 0.0
    count, total = q.weights.size, 0.0
    for i in range(_DRAWINGS):
        chosen = jax.random.choice(jax.random.fold_in(key, i), count, (count,), p=q.weights)
        again = Particles(q.positions[chosen])
        if way == "exact" and q.dimension > 1:
            total += _squared(Particles(q.positions), again, way, directions, epsilon)[0]
        else:
            total += _squared(q, again, way, directions, epsilon)[0]
    return total / _DRAWINGS
