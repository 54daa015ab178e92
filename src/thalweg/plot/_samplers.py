"""Errors of samplers of a diffusion model against what they evaluate."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .._records.storage import write_atomically
from .._typed import typed
from ..networks import SamplerComparison
from ._axes import Axes, finish, ink, new_axes, plain, require_matplotlib, styles

_PANELS = {
    "from_flow": "distance from the flow",
    "bias": "bias on a Gaussian",
    "from_data": "energy distance from the data",
}


@typed()
def samplers(result: SamplerComparison, axes: Any = None) -> Any:
    """Draw the errors of samplers against evaluations of the network, all logarithmic, a line a sampler.

    From the left: how far they end from the flow, which says nothing of one with noise; how far what they make of
    Gaussian data is from these; how far what they make of the data is, with a broken line for data drawn twice.

    Arguments:
        result: of `tw.networks.compare_samplers`.
        axes: three axes to draw on; those of a new figure if None.

    Returns:
        the three axes.

    Raises:
        InputError: matplotlib is missing.

    >>> import thalweg as tw
    >>> problem = tw.problems.diffusion("mixture-diffusion")
    >>> result = tw.networks.compare_samplers(problem, "ddim", [4, 8], draws=50)
    >>> [len(ax.lines[0].get_xdata()) for ax in tw.plot.samplers(result)]
    [2, 2, 2]
    """
    require_matplotlib()
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure(figsize=(11.0, 4.2), layout="constrained").subplots(1, len(_PANELS))
    if np.shape(np.asarray(axes, object)) != (len(_PANELS),):
        raise InputError(f"axes must be three Axes of matplotlib, but is {axes!r}")
    looks, handles = styles(result.samplers), []
    for ax, (name, words) in zip(axes, _PANELS.items(), strict=True):
        handles = [_line(new_axes(ax), result, one, name, looks[one]) for one in result.samplers]
        if name == "from_data" and result.floor > 0.0:
            ax.axhline(result.floor, color=ink(), linestyle="--", linewidth=0.9, alpha=0.7, gid="floor")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        budgets = sorted({point.evaluations for point in result.points})
        ax.set_xticks(budgets, [str(n) for n in budgets])
        ax.minorticks_off()
        finish(ax, "evaluations", words)
    # Of the figure, for a legend of one panel would make that one wider.
    axes[0].figure.legend(
        handles, [plain(name) for name in result.samplers], loc="outside upper left", ncols=6, frameon=False,
        fontsize="small",
    )  # fmt: skip
    return axes


def _line(ax: Axes, result: SamplerComparison, sampler: str, name: str, look: Any) -> Any:
    rows = [(p.evaluations, getattr(p, name)) for p in result.of(sampler)]
    seen = [(n, value) for n, value in rows if value is not None and np.isfinite(value) and value > 0.0]
    x, y = zip(*seen, strict=True) if seen else ((), ())
    return ax.plot(x, y, color=look.color, linestyle=look.linestyle, marker=look.marker, markersize=4, linewidth=1.6)[0]


def save(result: SamplerComparison, directory: Path) -> tuple[Path, Path]:
    """The rows as JSON and the picture; written aside and renamed."""
    directory.mkdir(parents=True, exist_ok=True)
    data, picture = directory / "samplers.json", directory / "samplers.svg"
    about = {"reference": result.reference, "floor": result.floor, "points": result.as_list()}
    write_atomically(data, json.dumps(about, indent=1).encode())
    buffer = io.BytesIO()
    samplers(result)[0].figure.savefig(buffer, format="svg")
    write_atomically(picture, buffer.getvalue())
    return data, picture
