"""Pictures of networks in depth: paths of inputs, and what changes where the depth is refined."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError
from .._networks.inputs import as_classes, as_inputs
from .._networks.margin import inputs_of, raveled
from .._networks.network import networks_in
from .._typed import typed
from ..analysis import DepthTransfer
from ._axes import Axes, finish, ink, legend_above, new_axes, plain, require_matplotlib, styles

# Paths beyond so many lie on one another.
_MOST = 400


@typed()
def depth(network: Any, inputs: PyTree, labels: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the paths of inputs through the depth of a network, in two directions, coloured by class.

    The directions are the two in which the ends of the paths spread most, of x in the plane its coordinates; of one
    number the path is drawn over depth-time. A ring is where a path begins, a dot where it ends.

    Arguments:
        network: a `tw.networks.Network`, or a module that holds one, whose first is drawn.
        inputs: of a leading axis that counts them, as the network or the module takes them; 400 at most are drawn.
        labels: the class of each, whole numbers.
        ax: where to draw; a new figure if None.

    Returns:
        the Axes: a line for every input (gid "path").

    Raises:
        InputError: there is no network, the labels are not as many as the inputs, or matplotlib is missing.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> turn = tw.networks.residual(lambda x: jnp.stack([-x[1], x[0]]), 8, 0.2, shared=True)
    >>> ax = tw.plot.depth(turn, jnp.array([[1.0, 0.0], [0.0, 2.0]]), labels=[0, 1])
    >>> len([line for line in ax.lines if line.get_gid() == "path"])
    2
    """
    found = networks_in(network)
    if not found:
        raise InputError(f"network must be a tw.networks.Network, or a module that holds one, but is {network!r}")
    xs = as_inputs(inputs)
    count = len(jax.tree.leaves(xs)[0])
    given = as_classes(labels, count)
    classes = np.zeros(count, int) if given is None else given
    shown = min(count, _MOST)
    xs = jax.tree.map(lambda leaf: leaf[:shown], xs)
    try:
        paths = _paths(network, xs)
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(f"the network raised {type(error).__name__} on its inputs: {first}") from error
    times = np.arange(paths.shape[1]) * found[0].step
    plane, names = _plane(paths, times)
    ax = new_axes(ax, 5.6, 4.8)
    # Of the lightness of a line that many others cross.
    faint = float(np.clip(12.0 / shown, 0.12, 0.8))
    kinds = [name.item() for name in np.unique(classes[:shown])]
    looks, handles = styles(map(str, kinds)), []
    for kind in kinds:
        look = looks[str(kind)]
        for path in plane[classes[:shown] == kind]:
            ax.plot(*path.T, color=look.color, linewidth=0.9, alpha=faint, gid="path", zorder=1)
        ends = plane[classes[:shown] == kind]
        ax.plot(*ends[:, 0].T, "o", color=look.color, markersize=3, fillstyle="none", alpha=0.5, zorder=2)
        handles += ax.plot(
            *ends[:, -1].T, look.marker, color=look.color, markersize=4.5, linestyle="", zorder=3, gid="end"
        )
    if labels is not None:
        legend_above(ax, handles, [plain(str(kind)) for kind in kinds])
    finish(ax, *names)
    return ax


@eqx.filter_jit
def _through(network: Any, xs: PyTree) -> PyTree:
    return jax.vmap(networks_in(network)[0].path)(inputs_of(network, xs))


def _paths(network: Any, xs: PyTree) -> np.ndarray:
    """Paths of inputs, (inputs, times, d)."""
    found = _through(network, xs)
    return np.stack([raveled(row) for row in _rows(found)])


def _rows(tree: PyTree) -> list[PyTree]:
    return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(len(jax.tree.leaves(tree)[0]))]


def _plane(paths: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Paths in two coordinates, and what these are called."""
    d = paths.shape[-1]
    if d == 1:
        return np.stack([np.broadcast_to(times, paths.shape[:2]), paths[..., 0]], axis=-1), ("depth-time", "x")
    if d == 2:
        return paths, ("x₁", "x₂")
    ends = paths[:, -1]
    _, _, directions = np.linalg.svd(ends - ends.mean(axis=0), full_matrices=False)
    if len(directions) < 2:
        # One path has no spread among others: its own.
        own = paths[0] - paths[0].mean(axis=0)
        directions = np.linalg.svd(own, full_matrices=False)[2]
    return (paths - ends.mean(axis=0)) @ directions[:2].T, ("first direction of the ends", "second")


@typed()
def depth_transfer(result: DepthTransfer, axes: Any = None) -> Any:
    """Draw what a refined depth changes, and the stability of the steps along the depth.

    On the left the change of the outputs from those of the flow against the number of steps, a line a scheme, with the
    most that one who follows the flow may have as a broken line. On the right by depth-time the spectral radii of the
    network's own steps and the margins of their stability, each at what it makes of a few inputs.

    Arguments:
        result: of `tw.analysis.depth_transfer`.
        axes: two axes to draw on; those of a new figure if None.

    Returns:
        the two axes.

    Raises:
        InputError: matplotlib is missing.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> gentle = tw.networks.residual(lambda x: -0.1 * x, depth=4, shared=True)
    >>> left, right = tw.plot.depth_transfer(tw.analysis.depth_transfer(gentle, jnp.array([[1.0], [2.0]])))
    >>> left.get_xlabel(), len(left.lines[0].get_xdata())
    ('depth', 5)
    """
    require_matplotlib()
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure(figsize=(10.0, 4.2), layout="constrained").subplots(1, 2)
    if np.shape(np.asarray(axes, object)) != (2,):
        raise InputError(f"axes must be two Axes of matplotlib, but is {axes!r}")
    left, right = (new_axes(ax) for ax in axes)
    looks, handles = styles(result.schemes), []
    by_depth = np.argsort(result.depths)
    depths = np.asarray(result.depths)[by_depth]
    for scheme, changes in zip(result.schemes, result.changes, strict=True):
        look = looks[scheme]
        handles += left.plot(
            depths, changes[by_depth], color=look.color, linestyle=look.linestyle, marker=look.marker, markersize=4
        )
    left.axhline(result.tolerance, color=ink(), linestyle="--", linewidth=0.9, alpha=0.7)
    left.plot([result.depths[0]], [result.changes[0, 0]], "o", markersize=11, fillstyle="none", color=ink(), gid="own")
    left.set_xscale("log", base=2)
    left.set_yscale("log")
    left.set_xticks(depths, [str(n) for n in depths])
    left.minorticks_off()
    finish(left, "depth", "change of the outputs from the flow, in their spread")
    legend_above(left, handles, [plain(name) for name in result.schemes])
    _stability(result, right)
    return axes


def _stability(result: DepthTransfer, ax: Axes) -> None:
    handles, names = [], []
    looks = styles(("radius", "margin"))
    for name, rows in (("radius", result.radii), ("margin", result.margins)):
        if not np.isfinite(rows).any():
            continue
        rows = np.where(np.isfinite(rows), rows, np.nan)
        look = looks[name]
        lines = ax.plot(result.times, rows, color=look.color, marker=look.marker, markersize=3, linewidth=1.0)
        handles, names = [*handles, lines[0]], [*names, name]
    ax.axhline(1.0, color=ink(), linestyle="--", linewidth=0.9, alpha=0.7)
    ax.set_yscale("log")
    finish(ax, "depth-time", "radius of a step; largest stable step over the step")
    if handles:
        legend_above(ax, handles, names)
