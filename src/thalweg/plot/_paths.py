"""Discrete paths over the continuous trajectory."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, check_count
from .._records.run import Run
from .._side_by_side.compare import Comparison
from .._tree import ravel, size, unraveler
from .._typed import typed
from ..geometry import AbstractEmbedded
from ._axes import Axes, finish, ink, legend_above, new_axes, plain, styles
from ._chart import Chart, chart_of, loss_over
from ._plane import Plane, as_matrix, fit_plane, loss_on
from ._trajectory import Law, follow, laws

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How far beyond the start's own distance to the best point a picture reaches.
_REACH = 3.0
# A picture is stretched up to this much to show both directions at one scale.
_STRETCH = 5.0
_LEVELS = 14


@typed()
def paths(comparison: Comparison, ax: Axes | None = None, points: int | None = None) -> Axes:
    r"""Draw the steps of every method over the continuous law each of them discretises.

    In two dimensions on the plane itself; in more on the plane through the best point found,
    $\theta^\star + u_1 e_1 + u_2 e_2$, along the two leading principal directions of the recorded positions
    around it, onto which the paths are projected. The contours are those of the loss on that plane. A sphere of three
    numbers is drawn as a globe over the paths, with what is behind it dotted, and the hyperbolic plane as the Poincaré
    disc; a step is a geodesic there.
    The broad lines are the laws of motion (gradient flow, the heavy ball at the method's own
    friction, ...), integrated finely up to the same physical time; they end early where nothing
    would be seen to move any more.

    Arguments:
        comparison: what `tw.compare(..., record=1)` gave back: positions kept at every step.
        ax: where to draw; a new figure if None.
        points: losses along each side of the grid of contours; None chooses by the dimension.

    Returns:
        the Axes: one line a law of motion (gid "law"), then one a method (gid "path").

    Raises:
        InputError: positions were not recorded at every step, there is only one parameter, or
            matplotlib is missing.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2), minimum=0.0, minimiser=jnp.zeros(2))
    >>> gd = {"gd": tw.gradient_descent(f, 0.1)}
    >>> ax = tw.plot.paths(tw.compare(gd, jnp.ones(2), max_steps=20, limits=False, record=1), points=21)
    >>> [line.get_gid() for line in ax.lines[:2]], [round(float(v), 3) for v in ax.lines[1].get_xdata()[:3]]
    (['law', 'path'], [1.0, 0.9, 0.81])
    """
    positions = {name: _positions(name, run) for name, run in comparison.runs.items()}
    x0 = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), next(iter(comparison.runs.values())).trace.position)  # pyright: ignore
    if points is None:
        points = 121 if size(x0) <= 10 else 61
    check_count("points", points, at_least=2)
    ax = new_axes(ax, 5.8, 5.2)
    start, best = _flat(x0), _flat(comparison.minimiser)
    scale = float(np.linalg.norm(start - best)) or max(_farthest(p, best) for p in positions.values()) or 1.0
    reach = _REACH * scale
    clouds = [cloud[_near(cloud, best, reach)] for cloud in positions.values()]
    chart = chart_of(comparison.methods.values(), x0, list(positions.values()))
    if chart is not None:
        return _on_surface(ax, comparison, chart, x0, positions, points)
    plane = fit_plane(best, start, clouds)
    first = next(iter(comparison.methods.values())).objective
    assert first is not None
    objective = first.whole()
    cut = _cut(comparison, x0)
    looks = styles(positions)
    handles, labels, seen = [], [], [plane.project(np.stack([start, best]))]

    for law in laws(comparison):
        _, line = follow(law, x0, plane, scale)
        line = _smooth(line[_near(line, plane.project(best[None])[0], reach)])
        shared = len(law.methods) > 1
        color = ink() if shared else looks[law.methods[0]].color
        handle = ax.plot(
            line[:, 0], line[:, 1], color=color, alpha=0.28, linewidth=5.0, solid_capstyle="round", gid="law", zorder=2
        )
        seen.append(line)
        handles += handle
        labels.append(_law_label(law))
    for i, (name, cloud) in enumerate(positions.items()):
        line = plane.project(cloud)
        line = np.where(_near(cloud, best, 30 * reach)[:, None], line, np.nan)
        diverged = comparison.runs[name].status in ("diverged", "not finite")
        inside = line[_near(cloud, best, 1.2 * scale if diverged else reach)]
        look = looks[name]
        handles += ax.plot(
            line[:, 0], line[:, 1], color=look.color, linestyle="-", linewidth=0.9, marker=look.marker,
            markersize=4.6,
            markeredgewidth=0.0, markevery=_apart(line, 0.035 * scale, i / len(looks)), gid="path", zorder=3,
        )  # fmt: skip
        labels.append(plain(name) + (" (diverged)" if diverged else ""))
        seen.append(inside)
    _ends(ax, seen[0], np.concatenate(seen).mean(axis=0), objective.minimiser is not None)
    handles, labels = _merged(handles, labels, len(looks))
    legend_above(ax, handles, labels)
    finish(ax, *plane.labels, grid=False)
    _frame(ax, np.concatenate(seen))
    x, y = _grid(ax, points)
    _contours(ax, objective, x, y, loss_on(objective, cut, plane, x, y, np.asarray(ravel(x0)).dtype))
    return ax


def _cut(comparison: Comparison, x0: Any) -> Callable[[Any], Any]:
    """A point of the plane as parameters: of a manifold the nearest one, or the contours would be of what is off it."""
    cut, geometries = unraveler(x0), [method.dynamics.geometry for method in comparison.methods.values()]
    first = geometries[0]
    if not isinstance(first, AbstractEmbedded) or any(type(one) is not type(first) for one in geometries):
        return cut
    return lambda flat: first.project(cut(flat))


def _on_surface(ax: Axes, comparison: Comparison, chart: Chart, x0: Any, positions: Any, points: int) -> Axes:
    """The same on a globe or a disc, whole; what is behind it is dotted."""
    objective: Any = next(iter(comparison.methods.values())).objective.whole()  # pyright: ignore[reportOptionalMemberAccess]
    looks = styles(positions)
    handles: list[Any] = []
    labels: list[str] = []

    def draw(cloud: Any, **look: Any) -> Any:
        line = chart.project(cloud)
        away = np.zeros(len(line), bool) if chart.hidden is None else chart.hidden(cloud)
        if away.any():
            ax.plot(
                *np.where(away[:, None], line, np.nan).T, **(look | {"linestyle": ":", "gid": "hidden", "alpha": 0.4})
            )
        return ax.plot(*np.where(away[:, None], np.nan, line).T, **look)

    everywhere = Plane(np.zeros(size(x0)), np.eye(size(x0)), None)
    for law in laws(comparison):
        _, line = follow(law, x0, everywhere, 1.0)
        shared = len(law.methods) > 1
        color = ink() if shared else looks[law.methods[0]].color
        handles += draw(line, color=color, alpha=0.28, linewidth=5.0, solid_capstyle="round", gid="law", zorder=2)
        labels.append(_law_label(law))
    for i, (name, cloud) in enumerate(positions.items()):
        look, kept = looks[name], cloud[np.isfinite(cloud).all(axis=1)]
        draw(chart.along(kept), color=look.color, linewidth=0.9, gid="path", zorder=3)
        line = chart.project(kept)
        handles += draw(
            kept[_apart(line, 0.03, i / len(looks))], color=look.color, linestyle="", marker=look.marker,
            markersize=4.6, markeredgewidth=0.0, gid="steps", zorder=3,
        )  # fmt: skip
        diverged = comparison.runs[name].status in ("diverged", "not finite")
        labels.append(plain(name) + (" (diverged)" if diverged else ""))
    ends = chart.project(np.stack([_flat(x0), _flat(comparison.minimiser)]))
    _ends(ax, ends, np.zeros(2), objective.minimiser is not None)
    handles, labels = _merged(handles, labels, len(looks))
    legend_above(ax, handles, labels)
    finish(ax, *chart.labels, grid=False)
    ax.set_aspect("equal", adjustable="box")
    ax.set_xlim(-1.06, 1.06)
    ax.set_ylim(-1.06, 1.06)
    angle = np.linspace(0.0, 2.0 * np.pi, 361)
    (edge,) = ax.fill(
        np.cos(angle), np.sin(angle), facecolor="none", edgecolor=ink(), linewidth=1.0, gid="edge", zorder=2
    )
    x, y = _grid(ax, points)
    _contours(ax, objective, x, y, loss_over(objective, x0, chart, x, y), edge)
    return ax


def _positions(name: str, run: Run) -> "NDArray[np.float64]":
    trace = run.trace
    if trace is None or not np.array_equal(trace.step, np.arange(run.steps + 1)):
        raise InputError(
            f"the run of {name} did not keep its position at every step; compare again with tw.compare(..., record=1)"
        )
    matrix = as_matrix(trace.position)
    if matrix.shape[1] < 2:
        raise InputError("paths in a plane need at least two parameters, but there is one")
    return matrix


def _flat(x: Any) -> "NDArray[np.float64]":
    return as_matrix(jax.tree.map(lambda leaf: np.asarray(leaf)[None], x))[0]


def _distances(cloud: Any, point: Any) -> "NDArray[np.float64]":
    with np.errstate(over="ignore", invalid="ignore"):
        return np.linalg.norm(cloud - point, axis=1)


def _farthest(cloud: Any, point: Any) -> float:
    found = _distances(cloud, point)
    return float(found[np.isfinite(found)].max(initial=0.0))


def _near(cloud: Any, point: Any, reach: float) -> Any:
    return _distances(cloud, point) <= reach * (1 + 1e-9)


def _smooth(line: Any) -> Any:
    """A cubic spline through the points, with enough of them for a smooth look."""
    if len(line) < 4 or len(line) > 3000:
        return line
    from scipy.interpolate import CubicSpline

    at = np.arange(len(line))
    finer = max(2, -(-1000 // len(line)))
    return CubicSpline(at, line)(np.linspace(0, len(line) - 1, finer * (len(line) - 1) + 1))


def _apart(line: Any, distance: float, phase: float) -> list[int]:
    """The steps whose markers can be distinguished; the others would pile up on one spot.

    Methods on one line are given different phases, so that their markers take turns.
    """
    with np.errstate(invalid="ignore"):
        moved = np.nan_to_num(np.linalg.norm(np.diff(line, axis=0), axis=1))
    passed = np.floor(np.concatenate([[0.0], np.cumsum(moved)]) / distance + phase)
    return [0, *(1 + np.flatnonzero((np.diff(passed) > 0) | (moved >= distance))).tolist()]


def _law_label(law: Law) -> str:
    return f"{law.name} (continuous)"


def _merged(handles: list[Any], labels: list[str], methods: int) -> tuple[list[Any], list[str]]:
    """Methods first, then the laws; many laws under one word."""
    laws_, rest = handles[:-methods], handles[-methods:]
    names, words = labels[:-methods], labels[-methods:]
    if len(laws_) > 3:
        laws_, names = laws_[:1], ["their continuous laws"]
    return [*rest, *laws_], [*words, *names]


def _ends(ax: Axes, ends: Any, middle: Any, known: bool) -> None:
    """The start and the best point, their names on the side away from the paths."""
    for (x, y), marker, word in zip(ends, "o*", ("start", "minimum" if known else "best point"), strict=True):
        right, up = x >= middle[0], y >= middle[1]
        if word == "start" and np.allclose(*ends):
            continue
        ax.plot(
            [x], [y], marker=marker, markersize=8 if marker == "o" else 11, markerfacecolor="none",
            color=ink(), linestyle="", zorder=4, gid=word,
        )  # fmt: skip
        ax.annotate(
            word, (x, y), xytext=(7 if right else -7, 6 if up else -6), textcoords="offset points", fontsize="small",
            color=ink(), ha="left" if right else "right", va="bottom" if up else "top", zorder=5, gid=word,
        )  # fmt: skip


def _frame(ax: Axes, seen: Any) -> None:
    """Limits around what is to be seen, at one scale in both directions where that leaves room."""
    seen = seen[np.isfinite(seen).all(axis=1)]
    low, high = seen.min(axis=0), seen.max(axis=0)
    middle, half = (low + high) / 2, 0.57 * (high - low)
    half = np.where(half > 1e-3 * half.max(), half, 0.5 * half.max() or 1.0)
    ax.figure.figure.draw_without_rendering()  # lays the figure out, so that the box of the axes is known
    box = ax.get_window_extent()
    units = half / np.array([box.width, box.height])
    if units.max() / units.min() <= _STRETCH:
        half = units.max() * np.array([box.width, box.height])
        ax.set_aspect("equal", adjustable="box")
    ax.set_xlim(middle[0] - half[0], middle[0] + half[0])
    ax.set_ylim(middle[1] - half[1], middle[1] + half[1])


def _grid(ax: Axes, points: int) -> tuple[Any, Any]:
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    dx, dy = 0.04 * (right - left), 0.04 * (top - bottom)
    return np.linspace(left - dx, right + dx, points), np.linspace(bottom - dy, top + dy, points)


def _contours(ax: Axes, objective: Any, x: Any, y: Any, values: Any, edge: Any = None) -> None:
    """Contours and a shade that deepens with the loss, legible on a light page and on a dark one."""
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.max() <= finite.min():
        return
    lowest = min(float(finite.min()), objective.minimum if objective.minimum is not None else np.inf)
    gap = np.ma.masked_invalid(values - lowest)
    span = float(gap.max())
    bottom_gap = max(float(gap.min()), 1e-5 * span)
    levels = np.geomspace(bottom_gap, span, _LEVELS + 2)[1:-1]
    lines = ax.contour(x, y, gap, levels=levels, colors="#808080", linewidths=0.6, alpha=0.55, zorder=1)
    depth = np.log(np.ma.maximum(gap, bottom_gap) / bottom_gap) / np.log(span / bottom_gap)
    shade = np.zeros((*gap.shape, 4))
    shade[..., :3] = 0.5
    shade[..., 3] = 0.30 * np.ma.filled(depth, 0.0 if edge else 1.0)
    limits = ax.get_xlim(), ax.get_ylim()
    image = ax.imshow(
        shade, extent=(x[0], x[-1], y[0], y[-1]), origin="lower", interpolation="bilinear", aspect=ax.get_aspect(),
        zorder=0,
    )  # fmt: skip
    for drawn in (lines, image) if edge is not None else ():
        drawn.set_clip_path(edge)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
