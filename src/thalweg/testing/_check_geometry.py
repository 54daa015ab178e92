"""Check a geometry against the contract."""

import warnings
from collections.abc import Sequence
from typing import Any

from .._errors import check_count
from .._typed import typed
from ._report import Report


@typed()
def check_geometry(geometry: Any, at: Any, seed: int = 0, *, leave_out: Sequence[str] = ()) -> Report:
    r"""Check a metric or a manifold, ours or of one's own, at a point: that its maps belong together.

    Velocities are gradients of its own metric, moves are geodesics of it to second order, transport is isometric,
    tangent, linear and parallel to first order, distances are lengths, noise has the inverse of the metric for its
    covariance and its drift. What a geometry cannot do is not checked. Derivatives are taken by automatic
    differentiation, in 64 bits, along unit vectors and then along random ones.

    Arguments:
        geometry: a `tw.geometry.AbstractGeometry`. at: a point of it: a tree of arrays, as its positions are. Take
        one without symmetries, at which a lost sign shows. seed: of the random vectors. leave_out: names of checks,
        such as "bend" for a manifold of which no scheme with stages is asked.

    Returns:
        a `Report`: `.passed`, `.findings`, prints itself; `assert report.passed, report`. A failure has the lines that
        show it.

    Raises:
        InputError: it is no geometry, or the point is none of it.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> class Projected(tw.geometry.AbstractEmbedded):
    ...     def project(self, position):
    ...         return position / jnp.linalg.norm(position)
    ...     def tangent(self, position, vector):
    ...         return vector - (position @ vector) * position
    ...     def bend(self, position, velocity):
    ...         return -(velocity @ velocity) * position
    ...     def move(self, position, tangent):
    ...         return self.project(position + tangent)
    ...     def transport(self, position, along, tangent):
    ...         return self.tangent(self.move(position, along), tangent)
    >>> report = tw.testing.check_geometry(Projected(), at=jnp.array([0.6, 0.0, 0.8]))
    >>> [finding.name for finding in report.failures]
    ['isometric']
    """
    import jax

    from ._clause import findings_of, names_to_leave_out
    from ._geometry import space_of
    from ._geometry_contract import GEOMETRY_CHECKS

    seed = check_count("seed", seed, at_least=0)
    leave_out = names_to_leave_out(leave_out, GEOMETRY_CHECKS)
    # A warning is no fault, also where warnings are errors.
    with warnings.catch_warnings(), jax.enable_x64(True):
        warnings.simplefilter("ignore")
        space = space_of(geometry, at, seed)
        findings = findings_of(
            space, GEOMETRY_CHECKS, leave_out, lambda found: space.broken("a number or a tree", found, "geometry")
        )
    return Report(space.name, "thalweg", findings)
