"""Pictures of a sweep: the final loss as a map over two settings, or in slices along one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._errors import InputError, check_choice
from .._records.sweep import Sweep
from .._typed import typed
from ._axes import PALETTE, Axes, finish, ink, legend_above, new_axes, plain

# Lines of a picture of slices at most, so that each can be told from the others.
_LINES = 12
# A ratio of largest to least beyond which an axis is logarithmic.
_SPREAD = 10.0


@typed()
def sweep(result: Sweep, over: str | Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the final loss of a sweep, the median over its seeds: a map over two settings, slices along one.

    Settings that diverged have no colour and no point on a line: they are hatched on a map, crosses at the top of
    slices. A star, or a ring, is the best setting.

    Arguments:
        result: what `tw.sweep` gave back.
        over: the settings to draw over, one or two; those that vary, up to two, if None. Of the others, slices have a
            line for every value of the first, and all else is held where it is best.
        ax: where to draw; a new figure if None.

    Returns:
        the Axes.

    Raises:
        InputError: a setting that was not swept, more than two of them, no losses, or matplotlib is missing.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> make = lambda learning_rate, momentum: tw.momentum(lambda x: 0.5 * jnp.sum(x**2), learning_rate, momentum)
    >>> grid = {"learning_rate": [0.5, 1.0, 5.0], "momentum": [0.0, 0.5]}
    >>> result = tw.sweep(make, grid, jnp.ones(2), 20)
    >>> ax = tw.plot.sweep(result)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('learning rate', 'momentum')
    >>> [line.get_xdata().tolist() for line in tw.plot.sweep(result, over="learning_rate").lines[:2]]
    [[0.5, 1.0], [5.0]]
    """
    names = _chosen(result, over)
    if not result.has_losses:
        raise InputError("this sweep has no losses to draw: its law has no objective")
    if len(names) == 1:
        return _slices(result, names[0], new_axes(ax))
    return _map(result, names, new_axes(ax, 6.2, 4.4))


def _chosen(result: Sweep, over: str | Sequence[str] | None) -> list[str]:
    if over is None:
        varying = [name for name, values in result.settings.items() if len(set(values.tolist())) > 1]
        return (varying or list(result.settings))[:2]
    names = [over] if isinstance(over, str) else list(over)
    for name in names:
        check_choice("setting", name, result.settings)
    if len(names) not in (1, 2) or len(set(names)) < len(names):
        raise InputError(f"over must be one setting or two different ones, but is {over!r}")
    return names


def _held(result: Sweep, free: Sequence[str]) -> np.ndarray:
    """The settings, (n,), whose numbers other than the free ones are those of the best; of the first, if none is."""
    losses = result.typical_loss
    at = int(np.argmin(losses))
    held = np.ones(len(losses), bool)
    for name, values in result.settings.items():
        if name not in free:
            held &= values == values[at]
    return held


def _map(result: Sweep, names: Sequence[str], ax: Axes) -> Axes:
    held = np.flatnonzero(_held(result, names))
    x, y = (result.settings[name][held] for name in names)
    losses = result.typical_loss[held]
    columns, rows = np.unique(x), np.unique(y)
    table = np.full((len(rows), len(columns)), np.nan)
    table[np.searchsorted(rows, y), np.searchsorted(columns, x)] = losses
    for axis, values in (("x", columns), ("y", rows)):
        if _wide(values):
            getattr(ax, f"set_{axis}scale")("log")
    edges = _edges(columns), _edges(rows)
    finite = np.isfinite(table)
    if finite.any():
        mesh = ax.pcolormesh(
            *edges, np.ma.masked_where(~finite, table), norm=_norm(table[finite]), cmap="cividis_r", rasterized=True,
            gid="loss",
        )  # fmt: skip
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, aspect=28)
        bar.set_label(f"final loss{_of_seeds(result)}")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        at = np.unravel_index(np.argmin(np.where(finite, table, np.inf)), table.shape)
        ax.plot(
            [columns[at[1]]], [rows[at[0]]], marker="*", markersize=14, color="white", markeredgecolor="black",
            linestyle="", gid="best", zorder=4,
        )  # fmt: skip
    lost = np.isposinf(table)
    handles, labels = _signs(ax, bool(finite.any()), bool(lost.any()))
    if lost.any():
        ax.pcolor(
            *edges, np.ma.masked_where(~lost, np.ones_like(table)), facecolor="none", edgecolor=ink(), alpha=0.35,
            hatch="xxx", linewidth=0.0, gid="diverged",
        )  # fmt: skip
    finish(ax, _words(names[0]), _words(names[1]), grid=False)
    if handles:
        legend_above(ax, handles, labels, share=0.7)
    return ax


def _slices(result: Sweep, name: str, ax: Axes) -> Axes:
    others = [other for other, values in result.settings.items() if other != name and len(set(values.tolist())) > 1]
    together = len(result.shape) == 1
    by = None if together or not others else others[0]
    held = np.ones(len(result.final_loss), bool) if together else _held(result, [name, *([by] if by else [])])
    values = np.unique(result.settings[by][held]) if by else np.zeros(1)
    if len(values) > _LINES:
        values = values[np.unique(np.linspace(0, len(values) - 1, _LINES).round().astype(int))]
    labels = [f"{_words(by)} {value:.4g}" if by else "median" for value in values]
    losses, lost, shown = result.typical_loss, result.diverged, []
    for value, color in zip(values, _colors(len(values)), strict=True):
        rows = np.flatnonzero(held & (result.settings[by] == value)) if by else np.flatnonzero(held)
        rows = rows[np.argsort(result.settings[name][rows], kind="stable")]
        x, y = result.settings[name][rows], losses[rows]
        good = np.isfinite(y)
        ax.plot(
            x[good], y[good], color=color, marker="o", markersize=4, linewidth=1.6, gid="slice",
        )  # fmt: skip
        shown.append(y[good])
        if result.final_loss.shape[1] > 1:
            runs = np.where(lost[rows], np.nan, result.final_loss[rows])[good]
            ax.fill_between(
                x[good], np.fmin.reduce(runs, axis=1), np.fmax.reduce(runs, axis=1), color=color, alpha=0.15,
                linewidth=0.0,
            )  # fmt: skip
        ax.plot(
            x[~good], np.full((~good).sum(), 0.97), linestyle="", marker="x", color=color, gid="diverged",
            transform=ax.get_xaxis_transform(), zorder=4,
        )  # fmt: skip
    everything = np.concatenate(shown)
    if _wide(result.settings[name][held]):
        ax.set_xscale("log")
    if _wide(everything):
        ax.set_yscale("log")
    if not everything.size:
        ax.set_yticks([])
    lines = [line for line in ax.lines if line.get_gid() == "slice"]
    signs, words = _signs(ax, False, bool(np.isinf(losses[held]).any()))
    finish(ax, _words(name), f"final loss{_of_seeds(result)}")
    if by or signs:
        legend_above(ax, [*(lines if by else []), *signs], [*(map(plain, labels) if by else ()), *words])
    return ax


def _colors(count: int) -> list[Any]:
    """Colours of lines in the order of their values, from dark to light."""
    if count == 1:
        return [PALETTE[0]]
    import matplotlib

    shades = matplotlib.colormaps["viridis"]
    return [shades(0.9 * i / (count - 1)) for i in range(count)]


def _signs(ax: Axes, best: bool, lost: bool) -> tuple[list[Any], list[str]]:
    """Handles of a legend for what is best and what diverged."""
    from matplotlib.lines import Line2D

    handles = [line for line in ax.lines if line.get_gid() == "best"] if best else []
    labels = ["best"] * len(handles)
    if lost:
        handles.append(Line2D([], [], linestyle="", marker="x", color=ink()))
        labels.append("diverged")
    return handles, labels


def _wide(values: np.ndarray) -> bool:
    """Tell whether an axis of such values is logarithmic."""
    return bool(values.size and values.min() > 0.0 and values.max() > _SPREAD * values.min())


def _edges(values: np.ndarray) -> np.ndarray:
    """The edges of cells about increasing values, in the middle between them, on the axis that they are drawn on."""
    log = _wide(values)
    at = np.log(values) if log else values
    if len(at) == 1:
        half = 0.5 * (abs(at[0]) or 1.0)
        return np.array([at[0] - half, at[0] + half])
    inner = (at[1:] + at[:-1]) / 2
    edges = np.concatenate([[2 * at[0] - inner[0]], inner, [2 * at[-1] - inner[-1]]])
    return np.exp(edges) if log else edges


def _norm(losses: np.ndarray) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    if _wide(losses):
        return LogNorm(losses.min(), losses.max())
    return Normalize(losses.min(), losses.max())


def _of_seeds(result: Sweep) -> str:
    count = result.final_loss.shape[1]
    return "" if count == 1 else f", median of {count} seeds"


def _words(name: str) -> str:
    return plain(name.replace("_", " "))
