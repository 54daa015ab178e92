"""Distributions of a flow as shapes on a page: SVG paths and pictures in the coordinates of a drawn figure."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._measures.gaussian import Gaussian
from .._measures.grid import Grid
from .._measures.particles import Particles
from .._measures.quantiles import Quantiles
from ._axes import Axes
from ._density import _range, values

# Particles that are drawn of many, and pixels of a picture along an axis.
_DRAWN, _PIXELS = 400, 96
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)


@dataclasses.dataclass(frozen=True)
class Place:
    """A figure as it is drawn, which data are put into.

    Attributes:
        ax: its Axes.
        low, high: the corners of what is shown, in units of the data.
    """

    ax: Axes
    low: np.ndarray
    high: np.ndarray

    def at(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Points of the page's SVG, in which y goes down."""
        figure = self.ax.figure.figure
        found = self.ax.transData.transform(np.stack(np.broadcast_arrays(x, y), axis=-1)) * 72.0 / figure.dpi
        return found[..., 0], 72.0 * figure.get_figheight() - found[..., 1]


def corners(stack: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The part of the line or the plane where distributions are; upward on the line, their density."""
    if stack[0].dimension == 1:
        within = _range(list(stack))
        top = max(float(values(q, within)[1].max()) for q in stack)
        return np.array([within[0], 0.0]), np.array([within[1], 1.05 * top or 1.0])
    lows, highs = zip(*map(_extent, stack), strict=True)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    spare = 0.0 if isinstance(stack[0], Grid) else np.where(high > low, 0.05 * (high - low), 1.0)
    return low - spare, high + spare


def _extent(q: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(q, Grid):
        low, high = zip(*((edges[0], edges[-1]) for edges in q.mesh.edges[:2]), strict=True)
        return np.array(low), np.array(high)
    if isinstance(q, Gaussian):
        reach = 3.0 * np.sqrt(np.diag(np.asarray(q.covariance))[:2])
        return np.asarray(q.mean)[:2] - reach, np.asarray(q.mean)[:2] + reach
    points = np.asarray(q.positions)[:, :2]
    return points.min(axis=0), points.max(axis=0)


def curve(q: Any, place: Place) -> str:
    """The density on the line as a path, closed along the axis."""
    edges, density = values(q, (place.low[0], place.high[0]))
    x, _ = place.at(edges, 0.0)
    _, y = place.at(edges[0], np.append(density, 0.0))
    steps = "".join(f"V{up:.1f}H{right:.1f}" for up, right in zip(y[:-1], x[1:], strict=True))
    return f"M{x[0]:.1f} {y[-1]:.1f}{steps}V{y[-1]:.1f}Z"


def dots(q: Any, place: Place) -> str:
    """The particles as a path of circles, on the line in a band above the axis; nothing of what has none."""
    if isinstance(q, Quantiles):
        points, weights = np.asarray(q.values)[:, None], np.full(q.values.size, 1.0 / q.values.size)
    elif isinstance(q, Particles):
        points, weights = np.asarray(q.positions), np.asarray(q.weights)
    else:
        return ""
    every = -(-len(points) // _DRAWN)
    if points.shape[1] == 1:
        # Each at a height of its own, at all times the same, so that they can be told apart.
        up = (0.015 + 0.06 * np.mod(_GOLDEN * np.arange(len(points[::every])), 1.0)) * place.high[1]
    else:
        up = points[::every, 1]
    x, y = place.at(points[::every, 0], up)
    # Areas are as weights, of one that is like all others of radius 2.
    sizes = 2.0 * np.sqrt(np.minimum(weights[::every] * len(points), 20.0))
    circles = (
        f"M{right - r:.1f} {down:.1f}a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-2 * r:.1f} 0"
        for right, down, r in zip(x, y, sizes, strict=True)
    )
    return "".join(circles)


def picture(q: Any, place: Place) -> str:
    """The density in the plane of the first two coordinates as an address that holds a PNG, its own largest on top."""
    from matplotlib.image import imsave

    density = raster(q, place)
    buffer = io.BytesIO()
    imsave(buffer, density.T, vmin=0.0, vmax=density.max() or 1.0, cmap="viridis", origin="lower", format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def raster(q: Any, place: Place) -> np.ndarray:
    """The density in the middles of pixels, of particles that of a smoothed histogram; x before y."""
    edges = [np.linspace(a, b, _PIXELS + 1) for a, b in zip(place.low, place.high, strict=True)]
    middles = [0.5 * (one[1:] + one[:-1]) for one in edges]
    if isinstance(q, Grid):
        density = np.asarray(q.density)
        if q.dimension == 3:
            density = density @ q.mesh.widths[2]
        cells = [np.searchsorted(q.mesh.edges[i], middles[i], side="right") - 1 for i in (0, 1)]
        return density[np.ix_(*cells)]
    if isinstance(q, Gaussian):
        precision = np.linalg.inv(np.asarray(q.covariance)[:2, :2])
        apart = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1) - np.asarray(q.mean)[:2]
        scale = np.sqrt(np.linalg.det(precision)) / (2.0 * np.pi)
        return scale * np.exp(-0.5 * np.einsum("xyi,ij,xyj->xy", apart, precision, apart))
    from scipy.ndimage import gaussian_filter

    points, weights = np.asarray(q.positions)[:, :2], np.asarray(q.weights)
    found = np.histogram2d(points[:, 0], points[:, 1], edges, weights=weights)[0]
    # Silverman's rule, of as many equal weights as vary as much.
    width = float(np.sum(weights**2)) ** (1.0 / 6.0) * np.sqrt(np.diag(np.asarray(q.covariance)))[:2]
    pixels = [one[1] - one[0] for one in edges]
    return gaussian_filter(found, width / pixels, mode="constant") / np.prod(pixels)
