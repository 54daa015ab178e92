"""Unit balls of norms and metrics in the plane, and the directions of steepest descent in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, as_reals
from .._typed import typed
from ..geometry import AbstractDirection, AbstractMetric, Norm
from ..geometry.base import named
from ._axes import Axes, finish, ink, legend_above, new_axes, plain, styles

_POINTS = 721


@typed()
def unit_balls(
    geometries: Mapping[str, Any] | Sequence[Any] | Any, slope: Any = (2.0, 1.0), position: Any = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    r"""Draw unit balls in the plane, and in each the direction in which a slope rises fastest.

    $$\{d : \|d\| \le 1\},\qquad \operatorname*{argmax}_{\|d\| \le 1}\,\langle g, d\rangle$$

    The slope g itself is the broken arrow, at the length of the longest direction. Where an arrow touches its ball, the
    line that is at right angles to g is tangent to it: no point of the ball is further along g.

    Arguments:
        geometries: a `tw.geometry.Norm` or a metric, several, or several by name.
        slope: g, two numbers that are not both 0.
        position: where a metric that depends on it is taken; the origin if None.
        ax: where to draw; a new figure if None.

    Returns:
        the Axes: one line a ball (gid "ball"), an arrow each.

    Raises:
        InputError: a geometry has no norm of vectors in the plane, the slope is none, or matplotlib is missing.

    >>> import thalweg as tw
    >>> ax = tw.plot.unit_balls([tw.geometry.Norm("l2"), tw.geometry.Norm("linf")], slope=(3.0, 4.0))
    >>> [float(line.get_ydata().max()) for line in ax.lines if line.get_gid() == "ball"]
    [1.0, 1.0]
    """
    given = _by_name(geometries)
    g = as_reals("slope", slope)
    if g.shape != (2,) or not (np.isfinite(g).all() and g.any()):
        raise InputError(f"slope must be two finite numbers, not both 0, but is {slope!r}")
    where = np.zeros(2) if position is None else as_reals("position", position)
    if where.shape != (2,) or not np.isfinite(where).all():
        raise InputError(f"position must be two finite numbers, but is {position!r}")
    shapes = {name: _ball_and_direction(geometry, g, where) for name, geometry in given.items()}
    ax = new_axes(ax, 5.2, 5.2)
    looks, handles = styles(given), []
    for name, (ball, direction) in shapes.items():
        look = looks[name]
        handles += ax.plot(*ball.T, color=look.color, linewidth=1.6, gid="ball", zorder=2)
        _arrow(ax, direction, look.color, "-")
        # The farthest points of the ball along the slope.
        across = np.array([-g[1], g[0]]) / np.hypot(*g) * 0.35
        ax.plot(*np.stack([direction - across, direction + across]).T, color=look.color, linewidth=0.8, alpha=0.7,
                gid="tangent", zorder=1)  # fmt: skip
    longest = max(float(np.hypot(*direction)) for _, direction in shapes.values())
    _arrow(ax, g / np.hypot(*g) * longest, ink(), "--")
    ax.annotate(
        "slope", g / np.hypot(*g) * longest, xytext=(4, 4), textcoords="offset points", fontsize="small", color=ink()
    )
    legend_above(ax, handles, [plain(name) for name in given])
    finish(ax, "direction d₁", "d₂")
    ax.set_aspect("equal", adjustable="datalim")
    return ax


def _by_name(geometries: Any) -> dict[str, Any]:
    if isinstance(geometries, AbstractDirection):
        geometries = [geometries]
    if not isinstance(geometries, Mapping):
        if isinstance(geometries, str) or not isinstance(geometries, Sequence):
            raise InputError(
                f"geometries must be of tw.geometry, such as tw.geometry.Norm('linf'), but is {geometries!r}"
            )
        names = [one.kind if isinstance(one, Norm) else named(one) for one in geometries]
        geometries = {
            name if names.count(name) == 1 else f"{name} {i + 1}": one
            for i, (name, one) in enumerate(zip(names, geometries, strict=True))
        }
    if not geometries:
        raise InputError("unit_balls needs at least one geometry")
    return dict(geometries)


def _ball_and_direction(geometry: Any, slope: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angle = np.linspace(0.0, 2.0 * np.pi, _POINTS)
    rays = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if not isinstance(geometry, Norm | AbstractMetric):
        raise InputError(f"a ball is of a tw.geometry.Norm or of a metric, but {geometry!r} is neither")
    with jax.enable_x64(True):
        at, g = jnp.asarray(position, float), jnp.asarray(slope, float)
        if isinstance(geometry, Norm):
            geometry.check(at)
            lengths = jax.vmap(geometry.norm)(jnp.asarray(rays))
            direction = geometry.unit_direction(g)
        else:
            lengths = jnp.sqrt(jax.vmap(lambda ray: geometry.inner(at, ray, ray))(jnp.asarray(rays)))
            direction = geometry.velocity(at, g) / geometry.slope_norm(at, g)
        lengths, direction = np.asarray(lengths), np.asarray(direction)
    if not (np.isfinite(lengths).all() and lengths.min() > 0.0 and np.isfinite(direction).all()):
        raise InputError(f"{named(geometry)} has no lengths at {position.tolist()}; give a position in its domain")
    return rays / lengths[:, None], direction


def _arrow(ax: Axes, end: np.ndarray, color: Any, linestyle: str) -> None:
    ax.annotate(
        "", (float(end[0]), float(end[1])), (0.0, 0.0), zorder=3, gid="direction",
        arrowprops={"arrowstyle": "-|>", "color": color, "linestyle": linestyle, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
