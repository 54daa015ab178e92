"""The (learning rate, momentum) map of how fast a method converges, and where it does not."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._errors import InputError, as_reals, check_choice, is_real
from .._methods.linearity import in_float64
from .._methods.method import Method
from .._methods.step_matrix import step_matrix
from .._methods.table import find_row
from .._side_by_side.compare import Comparison
from .._typed import typed
from ..dynamics import GradientFlow, HeavyBall
from ..schemes import Leapfrog, Lookahead, RungeKutta
from ._axes import Axes, finish, ink, legend_above, new_axes, plain, styles

Numbers = ArrayLike | Sequence[float]
SCHEMES = ("momentum", "nesterov", "midpoint_momentum")
# Eigenvalues that meet on the unit circle carry rounding of 1e-8; a radius within this of 1 is 1.
_ROUNDING = 1e-7
_SHOWN = 0.9999
_TICKS = (0.0, 0.5, 0.7, 0.9, 0.97, 0.99, 0.999, _SHOWN)
_COLUMNS, _ROWS = 141, 101
_BLOCK, _SIDE = 4096, 41


@dataclasses.dataclass(frozen=True)
class Setting:
    """A method's place on the map, its look, and the limit found by running, if any."""

    learning_rate: float
    momentum: float
    color: str
    marker: str
    measured: float | None = None


@typed()
def stability_map(
    curvature: Numbers,
    ax: Axes | None = None,
    rates: Numbers | None = None,
    momenta: Numbers | None = None,
    scheme: str = "momentum",
    points: "Comparison | Mapping[str, tuple[float, float]] | None" = None,
) -> Axes:
    r"""Map the spectral radius over learning rate and momentum.

    $$\rho(\alpha, \beta) = \max_{\ell} \rho\bigl(A_\ell(\alpha, \beta)\bigr)$$

    where $A_\ell$ is the linear probe of the method's own step at curvature $\ell$: a step shrinks the
    error by $\rho$, and the method diverges where $\rho > 1$. The line is the predicted limit at the largest
    curvature; the star is the setting of least $\rho$, where there are two curvatures or more.

    Arguments:
        curvature: $\ell$, or several such as $[\mu, L]$, positive, in units of f over parameters squared.
        ax: where to draw; a new figure if None.
        rates: learning rates (m,) of the grid, increasing; None chooses them to show the limit and the points.
        momenta: momenta (n,) of the grid in [0, 1], increasing.
        scheme: "momentum", "nesterov" or "midpoint_momentum".
        points: settings to mark, `{name: (learning_rate, momentum)}`; or a `Comparison`, whose methods of
            this scheme (and gradient descent, at momentum 0) are marked, with their measured limits.

    Returns:
        the Axes: the map (gid "radius"), the limit (a line, gid "limit"), the best setting (gid "best").

    Raises:
        InputError: a curvature is not positive, a range is not increasing, the scheme is unknown, or
            matplotlib is missing.

    >>> import thalweg as tw
    >>> ax = tw.plot.stability_map([0.1, 1.0], rates=[0.5, 2.0, 4.0], momenta=[0.0, 0.5, 1.0])
    >>> [round(float(rate), 6) for rate in ax.lines[0].get_xdata()]  # 2 + 2 momentum
    [2.0, 3.0, 4.0]
    """
    if not is_real(curvature):
        raise InputError(f"curvature must be positive numbers, but is {curvature!r}")
    spectrum = np.unique(np.asarray(curvature, dtype=float).ravel())
    if not spectrum.size or not np.all(np.isfinite(spectrum)) or spectrum[0] <= 0:
        raise InputError(f"curvature must be positive numbers, but is {curvature}")
    if not (spectrum[0] >= 1e-100 and spectrum[-1] <= 1e100):
        raise InputError(f"curvature must be between 1e-100 and 1e100, but is {curvature}")
    check_choice("scheme", scheme, SCHEMES)
    marks = _marks(points, scheme)
    ax = new_axes(ax, 5.8, 4.3)
    make = find_row(scheme).make
    heights = _momenta(momenta)
    limits = limit_at(make, spectrum[-1:], heights)
    best = best_setting(make, spectrum) if len(spectrum) > 1 else None
    widths = _rates(rates, limits, marks, best)
    radii = radius_at(make, spectrum, *(grid.ravel() for grid in np.meshgrid(widths, heights)))
    mesh = _draw_radius(ax, widths, heights, radii.reshape(len(heights), len(widths)), limits)
    ax.plot(limits, heights, color=ink(), linewidth=1.4, gid="limit", zorder=3)
    handles, labels = [ax.lines[-1]], ["predicted limit"]
    for name, mark in marks.items():
        if widths[0] <= mark.learning_rate <= widths[-1]:
            handles += ax.plot(
                [mark.learning_rate], [mark.momentum], marker=mark.marker, markersize=8, linestyle="", color=mark.color,
                markeredgecolor="white", gid="point", zorder=5, clip_on=False,
            )  # fmt: skip
            labels.append(plain(name))
        if mark.measured is not None and widths[0] <= mark.measured <= widths[-1]:
            ax.plot(
                [mark.measured], [mark.momentum], marker="|", markersize=12, markeredgewidth=2.4, linestyle="",
                color=mark.color, gid="measured", zorder=4,
            )  # fmt: skip
    if any(line.get_gid() == "measured" for line in ax.lines):
        handles.append(_tick())
        labels.append("limit found by running")
    if best is not None:
        handles += ax.plot(
            [best[0]], [best[1]], marker="*", markersize=13, color="white", markeredgecolor="black", linestyle="",
            gid="best", zorder=6,
        )  # fmt: skip
        labels.append(f"best for curvatures {spectrum[0]:.3g} to {spectrum[-1]:.3g}")
    ax.set_xlim(widths[0], widths[-1])
    ax.set_ylim(heights[0], heights[-1])
    _colour_bar(ax, mesh)
    finish(ax, f"learning rate α  ({scheme.replace('_', ' ')})", "momentum β", grid=False)
    legend_above(ax, handles, labels, share=0.7)
    return ax


def radius_at(make: Callable[..., Method], spectrum: Any, rates: Any, momenta: Any) -> Any:
    """The spectral radius (n,) of n pairs of learning rate and momentum, the largest over the spectrum (k,)."""
    n = len(rates)
    triples = np.stack([np.repeat(spectrum, n), np.tile(rates, len(spectrum)), np.tile(momenta, len(spectrum))])
    # Blocks of one size, so that one compiled program serves a whole map.
    padded = np.pad(triples, ((0, 0), (0, -triples.shape[1] % _BLOCK)), mode="edge")
    with jax.enable_x64(True):
        blocks = [
            np.asarray(_matrices(make, *map(jnp.asarray, padded[:, i : i + _BLOCK])))
            for i in range(0, padded.shape[1], _BLOCK)
        ]
    matrices = np.concatenate(blocks)[: triples.shape[1]]
    return np.abs(np.linalg.eigvals(matrices)).max(axis=-1).reshape(len(spectrum), n).max(axis=0)


@eqx.filter_jit
def _matrices(make: Callable[..., Method], curvatures: Array, rates: Array, momenta: Array) -> Array:
    def at(curvature: Array, rate: Array, momentum: Array) -> Array:
        method = in_float64(make(None, rate, momentum))
        return step_matrix(method, curvature[None, None], jnp.asarray(method.step_size), method.dynamics.late_time)

    return jax.vmap(at)(curvatures, rates, momenta)


def limit_at(make: Callable[..., Method], spectrum: Any, momenta: Any) -> Any:
    """The largest stable learning rate (n,) at each of n momenta: a coarse grid, then bisection."""
    grid = np.geomspace(1e-2, 1e2, 81) / spectrum[-1]
    pairs = (mesh.ravel() for mesh in np.meshgrid(grid, momenta))
    unstable = ~(radius_at(make, spectrum, *pairs).reshape(len(momenta), len(grid)) <= 1 + _ROUNDING)
    first = np.where(unstable.any(axis=1), unstable.argmax(axis=1), len(grid))
    low = np.where(first > 0, grid[np.maximum(first, 1) - 1], 0.0)
    high = np.where(first < len(grid), grid[np.minimum(first, len(grid) - 1)], np.inf)
    for _ in range(45):
        middle = (low + high) / 2
        stable = radius_at(make, spectrum, np.where(np.isfinite(middle), middle, grid[-1]), momenta) <= 1 + _ROUNDING
        low, high = np.where(stable, middle, low), np.where(stable, high, middle)
    return low


def best_setting(make: Callable[..., Method], spectrum: Any) -> tuple[float, float]:
    """The learning rate and momentum of least spectral radius: a grid, refined around its best point."""
    rate, momentum = np.geomspace(1e-2, 10.0, _SIDE) / spectrum[-1], np.linspace(0.0, 1.0, _SIDE)
    a, b = np.zeros(1), np.zeros(1)
    for _ in range(9):
        a, b = (mesh.ravel() for mesh in np.meshgrid(rate, momentum))
        at = int(np.argmin(radius_at(make, spectrum, a, b)))
        i = at % _SIDE
        reach, rise = 3.0 * (rate[min(i + 1, _SIDE - 1)] - rate[max(i - 1, 0)]) / 2, 3.0 * (momentum[1] - momentum[0])
        a, b = a[[at]], b[[at]]
        rate = np.linspace(max(a[0] - reach, 1e-3 * a[0]), a[0] + reach, _SIDE)
        momentum = np.linspace(max(b[0] - rise, 0.0), min(b[0] + rise, 1.0), _SIDE)
    return float(a[0]), float(b[0])


def settings(comparison: Comparison, scheme: str) -> dict[str, Setting]:
    """The methods of a comparison that have a place on a scheme's map."""
    found = {}
    looks = styles(comparison.methods)
    for name, method in comparison.methods.items():
        numbers = method.hyperparameters
        if scheme_of(method) not in (scheme, "gradient_descent") or callable(numbers.get("learning_rate")):
            continue
        entry = comparison[name]
        measured = entry.measured_limit if entry.limit_of == "learning_rate" else None
        look = looks[name]
        found[name] = Setting(numbers["learning_rate"], numbers.get("momentum", 0.0), look.color, look.marker, measured)
    return found


def scheme_of(method: Method) -> str | None:
    """The map a method is on; "gradient_descent" is on all of them, at momentum 0."""
    if callable(method.step_size) or method.dynamics.geometry is not None:
        return None
    scheme, dynamics = method.scheme, method.dynamics
    if isinstance(dynamics, GradientFlow) and isinstance(scheme, RungeKutta) and not callable(dynamics.rate):
        return "gradient_descent" if len(scheme.tableau.b) == 1 else None
    if not isinstance(dynamics, HeavyBall) or callable(dynamics.friction):
        return None
    if isinstance(scheme, Leapfrog):
        return "momentum"
    if isinstance(scheme, Lookahead):
        return {1.0: "nesterov", 0.5: "midpoint_momentum", 0.0: "momentum"}.get(float(scheme.fraction))
    return None


def _marks(points: Any, scheme: str) -> dict[str, Setting]:
    if points is None:
        return {}
    if isinstance(points, Comparison):
        return settings(points, scheme)
    for name, pair in points.items():
        if not is_real(pair) or np.shape(pair) != (2,):
            raise InputError(f"points[{name!r}] must be (learning rate, momentum), two numbers, but is {pair!r}")
    looks = styles(points)
    return {
        name: Setting(float(rate), float(momentum), looks[name].color, looks[name].marker)
        for name, (rate, momentum) in points.items()
    }


def _momenta(momenta: Numbers | None) -> Any:
    if momenta is None:
        return np.linspace(0.0, 1.0, _ROWS)
    found = _increasing("momenta", momenta)
    if found[0] < 0 or found[-1] > 1:
        raise InputError(f"momenta must lie between 0 and 1, but reach from {found[0]:g} to {found[-1]:g}")
    return found


def _rates(rates: Numbers | None, limits: Any, marks: dict[str, Setting], best: tuple[float, float] | None) -> Any:
    if rates is not None:
        found = _increasing("rates", rates)
        if found[0] <= 0:
            raise InputError(f"rates must be positive, but begin at {found[0]:g}")
        return found
    top = 1.15 * float(np.max(limits, initial=0.0, where=np.isfinite(limits)) or 1.0)
    shown = [mark.learning_rate for mark in marks.values() if mark.learning_rate <= 4 * top]
    shown += [] if best is None else [best[0]]
    top = max([top, *(1.1 * rate for rate in shown)])
    if min(shown, default=top) < 0.03 * top:
        return np.geomspace(min(shown) / 1.6, 2.5 * top, _COLUMNS)
    return np.linspace(top / 500, top, _COLUMNS)


def _increasing(what: str, values: Numbers) -> Any:
    found = as_reals(what, values)
    if found.ndim != 1 or found.size < 2 or not np.all(np.isfinite(found)) or not np.all(np.diff(found) > 0):
        raise InputError(f"{what} must be at least two increasing numbers, but are {values}")
    return found


def _draw_radius(ax: Axes, rates: Any, momenta: Any, radii: Any, limits: Any) -> Any:
    from matplotlib.colors import FuncNorm
    from matplotlib.patches import Polygon

    if rates[0] > 0 and rates[-1] / rates[0] > 10 and np.allclose(np.diff(np.log(rates)), np.log(rates[1] / rates[0])):
        ax.set_xscale("log")
    least = min(float(np.floor(20 * radii.min()) / 20), 0.95)
    norm = FuncNorm((_slowness, lambda z: 1.0 - 10.0 ** -np.asarray(z)), vmin=least, vmax=_SHOWN)
    mesh = ax.pcolormesh(
        rates, momenta, np.minimum(radii, _SHOWN), norm=norm, cmap="cividis", shading="gouraud", rasterized=True,
        gid="radius", zorder=0,
    )  # fmt: skip
    edge = np.where(np.isfinite(limits), limits, rates[-1])
    stable = Polygon(
        [(rates[0], momenta[0]), *zip(edge, momenta, strict=True), (rates[0], momenta[-1])],
        transform=ax.transData, facecolor="none",
    )  # fmt: skip
    mesh.set_clip_path(stable)
    levels = [level for level in _TICKS[1:-1] if least < level]
    lines = ax.contour(
        rates, momenta, np.where(radii <= 1, radii, np.nan), levels=levels, colors="white",
        linewidths=0.7, alpha=0.8, zorder=1,
    )  # fmt: skip
    lines.set_clip_path(stable)
    ax.clabel(lines, fmt="%g", fontsize="x-small")
    ax.fill_betweenx(
        momenta, np.minimum(edge, rates[-1]), rates[-1], facecolor="none", edgecolor=ink(), alpha=0.25, hatch="///",
        linewidth=0.0, gid="unstable", zorder=1,
    )  # fmt: skip
    below = edge[0] < edge[-1]  # where the room is
    ax.text(
        0.98, 0.04 if below else 0.96, "unstable\nρ > 1", transform=ax.transAxes, ha="right",
        va="bottom" if below else "top", color=ink(), fontsize="small", zorder=4,
    )  # fmt: skip
    return mesh


def _slowness(radius: Any) -> Any:
    """Decades by which the radius falls short of 1: what the colours are evenly spaced in."""
    return -np.log10(np.maximum(1.0 - np.asarray(radius, dtype=float), 1e-12))


def _colour_bar(ax: Axes, mesh: Any) -> None:
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28, ticks=[t for t in _TICKS if t >= mesh.norm.vmin])
    bar.ax.set_yticklabels(["1" if t == _SHOWN else f"{t:g}" for t in bar.get_ticks()])
    bar.set_label("spectral radius ρ: error after one step")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def _tick() -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker="|", markersize=10, markeredgewidth=2.4, color=ink())
