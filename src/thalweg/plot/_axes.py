"""Common parts of all pictures: axes without pyplot, a palette, legends beside the data."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import InputError, MissingExtraError
from .._records.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:
    Axes = Any

# Okabe and Ito (2008), distinguishable under the common colour deficiencies; black and yellow are left
# out, since one of them is lost on a dark page and the other on a light one.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
_MARKERS = "osD^vPX<>phd"


@dataclasses.dataclass(frozen=True)
class Style:
    """Look of one method in every picture."""

    color: str
    linestyle: Any
    marker: str


def styles(names: Iterable[str]) -> dict[str, Style]:
    """One look a method, by its place in the comparison."""
    count = len(PALETTE)
    return {
        name: Style(PALETTE[i % count], _LINES[(i // count) % len(_LINES)], _MARKERS[i % len(_MARKERS)])
        for i, name in enumerate(names)
    }


def require_matplotlib() -> None:
    """Refuse in one line where matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingExtraError("plots need matplotlib; install it with pip install 'thalweg[plot]'") from None


def check_runs(what: str, runs: Mapping[str, Any]) -> None:
    """Refuse what holds no runs."""
    if not runs:
        raise InputError(f"{what} needs at least one run")
    if strange := [name for name, run in runs.items() if not isinstance(run, Run)]:
        raise InputError(f"runs[{strange[0]!r}] must be a tw.Run, but is {runs[strange[0]]!r}")


def new_axes(ax: Axes | None, width: float = 5.8, height: float = 4.0) -> Axes:
    """The axes given, or those of a new figure that pyplot knows nothing of."""
    require_matplotlib()
    from matplotlib.axes import Axes as Drawn
    from matplotlib.figure import Figure

    if ax is not None:
        if not isinstance(ax, Drawn):
            raise InputError(f"ax must be the Axes of matplotlib to draw on, but is {ax!r}")
        return ax

    return Figure(figsize=(width, height), layout="constrained").subplots()


def ink() -> Any:
    """The colour of words and lines that belong to no method."""
    import matplotlib

    return matplotlib.rcParams["text.color"]


def plain(text: str) -> str:
    """A user's name as a label: no mathematics read into it, nothing hidden."""
    text = text.replace("\\", "\\\\") if "$" in text else text
    text = text.replace("$", r"\$").replace("\n", " ")
    # A label that begins with an underscore would be left out of the legend.
    return f" {text}" if text.startswith("_") else text


def finish(ax: Axes, xlabel: str, ylabel: str, grid: bool = True) -> None:
    """Labels, a quiet grid and no box."""
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(color=ink(), alpha=0.12, linewidth=0.6)
        ax.set_axisbelow(True)


def legend_above(ax: Axes, handles: Sequence[Any], labels: Sequence[str], share: float = 0.86) -> None:
    """A legend over the axes, in as many columns as fit into this share of the figure, so that it covers no data."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size="small")
    points = font.get_size_in_points()
    figure, place = ax.figure.figure, ax.get_subplotspec()
    room = share * 72 * figure.get_figwidth() * (1.0 if place is None else place.get_position(figure).width / 0.775)
    words = [text_to_path.get_text_width_height_descent(label, font, False)[0] for label in labels]
    widths = [width + 4.4 * points for width in words]
    columns = next((n for n in range(len(labels), 1, -1) if _width(widths, n) <= room), 1)
    ax.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0.0, 1.01), ncols=columns, frameon=False,
        prop=font, borderaxespad=0.0, borderpad=0.2, handlelength=2.2, columnspacing=1.4, labelspacing=0.35,
    )  # fmt: skip


def _width(widths: Sequence[float], columns: int) -> float:
    """The width of a legend of so many columns, each filled from the top."""
    return sum(float(max(column)) for column in np.array_split(np.asarray(widths), columns))
