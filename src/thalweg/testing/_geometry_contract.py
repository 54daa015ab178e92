"""The contract of a geometry: what holds for every metric and manifold, one check a clause."""

from collections.abc import Mapping

from ._clause import Clause
from ._geometry import Space
from ._geometry_kinds import batched, distance, divergence, dtype, elementwise, log, noise
from ._geometry_lines import (
    bend,
    carried,
    exponential,
    form,
    geodesic,
    gradient,
    isometric,
    linear,
    metric,
    parallel,
    smooth,
    stays,
    tangents,
)

_FORM, _LINES = ("form",), ("form", "smooth", "metric")
_ROUNDING, _CLOSE = "to 1e-10 of its size", "to 1e-8 of its size"

GEOMETRY_CHECKS: tuple[Clause[Space], ...] = (
    Clause(
        "form",
        "every map gives a tree, shapes and dtypes as it is given",
        "exactly",
        "a map gives another tree, other shapes or another dtype than the position has",
        form,
    ),
    Clause(
        "dtype",
        "float32 and bfloat16 stay what they are in every map",
        "exactly",
        "a map changes a dtype; is what it gives cast to that of the position?",
        dtype,
        _FORM,
    ),
    Clause(
        "metric",
        "inner is symmetric, linear and positive on tangents",
        _CLOSE,
        "inner is no inner product of tangents",
        metric,
        _FORM,
    ),
    Clause(
        "gradient",
        "velocity is the gradient in the metric: inner(velocity(p), v) is p v",
        _CLOSE,
        "the velocity of a slope is not its gradient in the metric that inner gives",
        gradient,
        (*_FORM, "metric"),
    ),
    Clause(
        "tangents",
        "tangent keeps what project does not move to first order, and nothing else",
        _CLOSE,
        "tangent and project are not of one manifold",
        tangents,
        _FORM,
    ),
    Clause(
        "smooth",
        "at a tangent of no length nothing moves, and derivatives are finite",
        "to second order",
        "at a tangent of no length something moves or is not finite; is there a 0/0, or the root of a square, that "
        "needs its limit?",
        smooth,
        _FORM,
    ),
    Clause(
        "exponential",
        "a move starts with the velocity that it is given",
        _CLOSE,
        "the derivative of move at 0 is not the identity",
        exponential,
        (*_FORM, "smooth"),
    ),
    Clause(
        "geodesic",
        "a move agrees with the geodesic of the metric to second order",
        _CLOSE,
        "move is no geodesic of the metric to second order, which makes schemes of order 2 be of order 1",
        geodesic,
        (*_LINES, "exponential"),
    ),
    Clause(
        "bend",
        "bend is the acceleration of a geodesic in the coordinates",
        _CLOSE,
        "bend is not the second derivative of move at 0",
        bend,
        (*_LINES, "exponential", "geodesic"),
    ),
    Clause(
        "stays",
        "a move ends on the manifold",
        "to 1e-12 of its size",
        "a move ends off the manifold; is its end projected, so that roundings do not add up?",
        stays,
        _FORM,
    ),
    Clause(
        "isometric",
        "transport keeps lengths and angles",
        _ROUNDING,
        "transport changes lengths or angles in the metric, which is a friction; is it a projection?",
        isometric,
        (*_FORM, "metric"),
    ),
    Clause(
        "carried",
        "a carried tangent is tangent at the end of the move",
        _ROUNDING,
        "what transport gives is not tangent at the end of the move",
        carried,
        _FORM,
    ),
    Clause(
        "linear",
        "transport is linear in what it carries",
        _ROUNDING,
        "transport is not linear in the tangent that it carries",
        linear,
        _FORM,
    ),
    Clause(
        "parallel",
        "transport agrees with parallel transport to first order",
        _CLOSE,
        "transport is not parallel to first order, which makes schemes of order 2 be of order 1",
        parallel,
        (*_LINES, "exponential", "geodesic"),
    ),
    Clause(
        "distance",
        "the distance along a short geodesic is its length",
        _CLOSE,
        "squared_distance is not the square of the length of a geodesic, or is not smooth where it is 0",
        distance,
        _FORM,
    ),
    Clause(
        "log",
        "log is the inverse of move",
        _CLOSE,
        "log is not the inverse of move",
        log,
        _FORM,
    ),
    Clause(
        "noise",
        "noise has the inverse of the metric for its covariance",
        _CLOSE,
        "the covariance of noise is not the inverse of the metric, by velocity",
        noise,
        (*_FORM, "gradient"),
    ),
    Clause(
        "divergence",
        "divergence is the drift of the noise's covariance",
        _CLOSE,
        "divergence is not the drift that the noise has, so that a law at a temperature settles to another density",
        divergence,
        (*_LINES, "exponential", "geodesic", "noise"),
    ),
    Clause(
        "vmap",
        "under jax.vmap every map is a loop",
        _CLOSE,
        "under jax.vmap a map gives something else than in a loop, or fails",
        batched,
        _FORM,
    ),
    Clause(
        "elementwise",
        "what says it is elementwise is the same on shuffled entries",
        _CLOSE,
        "it says elementwise = True and depends on shapes, or on the order of the entries",
        elementwise,
        _FORM,
    ),
)
GEOMETRY_BY_NAME: Mapping[str, Clause[Space]] = {check.name: check for check in GEOMETRY_CHECKS}
