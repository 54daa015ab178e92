"""A flow as a moving picture."""

from pathlib import Path
from typing import Any

from .._errors import InputError, check_count
from .._records.run import Run
from .._typed import typed
from ._axes import Axes, new_axes, require_matplotlib
from ._density import _in_plane, _on_line, _range, _row, _traced, values

_ENDINGS = (".gif", ".mp4")


@typed()
def animate(run: Run, path: str | Path, frames: int = 60, seconds: float = 6.0) -> Path:
    """Write a flow as a moving picture, a GIF or an MP4.

    Arguments:
        run: of `tw.measures.flow`, with its trace.
        path: where to, ending with .gif or .mp4 (which needs ffmpeg).
        frames: how many pictures, at most as many as distributions were kept.
        seconds: how long it lasts.

    Returns:
        the path.

    Raises:
        InputError: the run keeps no distributions, the ending is another, or matplotlib or ffmpeg is missing.

    >>> import tempfile
    >>> import thalweg as tw
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> run = tw.measures.flow(F, tw.measures.Gaussian(2.0, 0.5), 1.0, steps=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tw.plot.animate(run, f"{folder}/flow.gif", frames=3).name
    'flow.gif'
    """
    require_matplotlib()
    from matplotlib import animation

    path = Path(path)
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(f"path must end with .gif or .mp4, but is {path}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a directory")
    if path.suffix.lower() == ".mp4" and not animation.FFMpegWriter.isAvailable():
        raise InputError("an MP4 needs ffmpeg, which is not installed; write a .gif")
    count = check_count("frames", frames)
    trace = _traced(run)
    times = run.trace.time  # pyright: ignore[reportOptionalMemberAccess]
    chosen = [round(i * (len(times) - 1) / max(count - 1, 1)) for i in range(min(count, len(times)))]
    stack = [_row(trace, i) for i in chosen]
    ax = new_axes(None)
    limits = _limits(stack)

    def draw(k: int) -> tuple[()]:
        ax.clear()
        if stack[k].dimension == 1:
            _on_line(stack[k], ax, limits[0])
            ax.set_ylim(0.0, limits[1][1])
        else:
            _in_plane(stack[k], ax, 0)
            ax.set_xlim(*limits[0])
            ax.set_ylim(*limits[1])
        ax.set_title(f"time {times[chosen[k]]:.3g}", fontsize="medium")
        return ()

    moving = animation.FuncAnimation(ax.figure.figure, draw, frames=len(stack))
    writer: Any = "pillow" if path.suffix.lower() == ".gif" else "ffmpeg"
    moving.save(path, writer=writer, fps=max(1, round(len(stack) / seconds)), dpi=100)
    return path


def _limits(stack: list[Any]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The same axes for all pictures."""
    if stack[0].dimension == 1:
        within = _range(stack)
        return within, (0.0, 1.05 * max(float(values(q, within)[1].max()) for q in stack))
    ax: Axes = new_axes(None)
    for q in (stack[0], stack[len(stack) // 2], stack[-1]):
        _in_plane(q, ax, 0)
    return ax.get_xlim(), ax.get_ylim()
