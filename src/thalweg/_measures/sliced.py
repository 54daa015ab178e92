"""The sliced Wasserstein distance to a target."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import check_count
from .base import AbstractMeasure
from .directions import even_directions
from .functional import AbstractTerm, points_of
from .gaussian import Gaussian
from .line import of_atoms, squared_lines
from .mmd import as_points, other_dimension


class SlicedWasserstein(AbstractTerm):
    r"""The squared sliced Wasserstein distance to a target, the mean over directions of that of the projections.

    $$F[q] = \frac1n\sum_\theta W_2^2(\theta_\#q,\,\theta_\#p)$$

    each exact by sorting, for any weights, so that F and its derivative are those of these directions but for
    rounding. They are fixed, with $\frac1n\sum\theta\theta^\top = 1/d$ exactly: of a shift by v it is $|v|^2/d$. Of
    another distribution the error of the average falls as $n^{-1/2}$, in the plane, whose angles are even, faster.

    Arguments:
        target: p, `tw.measures.Particles`, an array (M, d) of points, a `Grid` or `Quantiles`.
        directions: n; rounded up to whole frames of d in three or more dimensions, one on the line.
        seed: of the directions.

    Raises:
        InputError: the target is none of these, or a number is out of its range; in a value, q is a Gaussian, or of
            another dimension.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> points = jnp.array([[0.0, 1.0], [2.0, -1.0], [3.0, 5.0]])
    >>> F = tw.measures.SlicedWasserstein(points)
    >>> round(float(F.value(tw.measures.Particles(points + jnp.array([[3.0, 4.0]])))), 9)  # 25/2
    12.5

    Reference: Bonneel, Rabin, Peyré and Pfister (2015).
    """

    points: Float[Array, "M d"]
    masses: Float[Array, " M"]
    directions: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    def __init__(self, target: Any, directions: int = 100, seed: int = 0) -> None:
        self.points, self.masses = as_points(target, "SlicedWasserstein")
        self.directions, self.seed = check_count("directions", directions), check_count("seed", seed, at_least=0)

    def missing(self, q: AbstractMeasure) -> str:
        if isinstance(q, Gaussian):
            return "SlicedWasserstein is of points, and a Gaussian has none; take particles, a grid or quantiles"
        return other_dimension("SlicedWasserstein", self.points, q)

    def on(self, q: Any) -> Float[Array, ""]:
        found = points_of(q)
        assert found is not None
        points, masses = found
        goal, weights = self.points.astype(points.dtype), self.masses.astype(points.dtype)

        def along(direction: Array) -> Array:
            return squared_lines(of_atoms(points @ direction, masses), of_atoms(goal @ direction, weights))

        directions = jnp.asarray(even_directions(q.dimension, self.directions, self.seed), points.dtype)
        return jnp.mean(jax.lax.map(along, directions, batch_size=16))
