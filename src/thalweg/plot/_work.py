"""Work-precision diagrams: error against gradients and against wall time."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import InputError
from .._records.storage import write_atomically
from .._side_by_side.work_precision import COSTS, WorkPrecision
from .._typed import typed
from ._axes import Axes, finish, new_axes, plain, require_matplotlib, styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNITS = {"gradients": "gradient evaluations", "seconds": "wall time in s"}
# Labels closer than this share of the axis would lie on one another.
_APART = 0.045


@typed()
def work_precision(result: WorkPrecision, axes: Any = None) -> Any:
    """Draw error against gradients and against wall time, both logarithmic, a line a method with its name at its end.

    What diverged is a cross at the top, at what it cost.

    Arguments:
        result: what `tw.work_precision` gave back.
        axes: two axes to draw on; those of a new figure if None.

    Returns:
        the two axes.

    Raises:
        InputError: matplotlib is missing.

    >>> import thalweg as tw
    >>> problem = tw.problems.quadratic([1.0, 4.0])
    >>> euler = tw.gradient_descent(problem.objective, 0.1)
    >>> left, right = tw.plot.work_precision(tw.work_precision({"Euler": euler}, problem.start, 1.0, [8, 16, 32]))
    >>> left.get_xlabel(), len(left.lines[0].get_xdata())
    ('gradient evaluations', 3)
    """
    require_matplotlib()
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure(figsize=(10.5, 4.4), layout="constrained").subplots(1, 2, sharey=True)
    if np.shape(np.asarray(axes, object)) != (len(COSTS),):
        raise InputError(f"axes must be two Axes of matplotlib, but is {axes!r}")
    for ax, of in zip(axes, COSTS, strict=True):
        _panel(result, new_axes(ax), of)
    axes[0].set_ylabel(f"error at time {result.until:g}, relative")
    return axes


def _panel(result: WorkPrecision, ax: Axes, of: str) -> None:
    looks, ends = styles(result.methods), []
    for name in result.methods:
        look, points = looks[name], result.of(name)
        good = [p for p in points if p.error]
        x, y = [float(getattr(p, of)) for p in good], [float(p.error or 0.0) for p in good]
        ax.plot(x, y, color=look.color, linestyle=look.linestyle, marker=look.marker, markersize=4, linewidth=1.6)
        if good:
            ends.append((x[-1], y[-1], name))
        lost = [getattr(p, of) for p in points if p.diverged]
        ax.plot(
            lost, [0.97] * len(lost), linestyle="", marker="x", color=look.color, transform=ax.get_xaxis_transform()
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    finish(ax, _UNITS[of], "")
    _name(ax, ends, looks)
    if any(p.diverged for p in result.points):
        ax.text(0.99, 0.97, "× diverged", transform=ax.transAxes, ha="right", va="center", fontsize="small")


def _name(ax: Axes, ends: Any, looks: Any) -> None:
    """Each line's name beside its last point, moved up where another's would lie under it."""
    low, high = (np.log10(y) for y in ax.get_ylim())
    left, right = ax.get_xlim()
    ax.set_xlim(left, right * (right / left) ** 0.2)
    placed = -np.inf
    for x, y, name in sorted(ends, key=lambda end: end[1]):
        at = max((np.log10(y) - low) / (high - low), placed + _APART)
        placed = at
        ax.annotate(
            plain(name), (x, y), xytext=(x * (right / left) ** 0.02, 10 ** (low + at * (high - low))),
            color=looks[name].color, fontsize="small", va="center", annotation_clip=False,
        )  # fmt: skip


def save(result: WorkPrecision, directory: Path) -> tuple[Path, Path]:
    """The rows as JSON and the picture; written aside and renamed."""
    import io

    directory.mkdir(parents=True, exist_ok=True)
    data, picture = directory / "work_precision.json", directory / "work_precision.svg"
    about = {"law": result.law, "until": result.until, "reference": result.reference, "scale": result.scale}
    text = json.dumps(about | {"orders": result.orders, "points": result.as_list()}, indent=1)
    write_atomically(data, text.encode())
    buffer = io.BytesIO()
    figure: Figure = work_precision(result)[0].figure
    figure.savefig(buffer, format="svg")
    write_atomically(picture, buffer.getvalue())
    return data, picture
