"""A flow as a moving picture."""

from pathlib import Path
from typing import Any

from .._errors import InputError, check_count, check_number
from .._measures.base import AbstractMeasure
from .._records.run import Run
from .._typed import typed
from ._axes import new_axes, require_matplotlib
from ._density import _in_plane, _on_line, _row, _traced
from ._frames import corners

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
        InputError: the run is none of a distribution, or keeps none on its way, a number is not positive, the ending is
            another, or matplotlib or ffmpeg is missing.

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
    check_number("seconds", seconds, at_least=0.01)
    if not isinstance(run.final.position, AbstractMeasure):
        raise InputError("animate draws distributions, but the position of this run is none; take tw.plot.paths")
    trace = _traced(run)
    times = run.trace.time  # pyright: ignore[reportOptionalMemberAccess]
    count = min(check_count("frames", frames), len(times))
    chosen = [round(i * (len(times) - 1) / max(count - 1, 1)) for i in range(count)]
    stack = [_row(trace, i) for i in chosen]
    ax = new_axes(None)
    low, high = corners(stack)

    def draw(k: int) -> tuple[()]:
        ax.clear()
        if stack[k].dimension == 1:
            _on_line(stack[k], ax, (low[0], high[0]))
        else:
            _in_plane(stack[k], ax, 0)
            ax.set_xlim(low[0], high[0])
        ax.set_ylim(low[1], high[1])
        ax.set_title(f"time {times[chosen[k]]:.3g}", fontsize="medium")
        return ()

    moving = animation.FuncAnimation(ax.figure.figure, draw, frames=len(stack))
    writer: Any = "pillow" if path.suffix.lower() == ".gif" else "ffmpeg"
    moving.save(path, writer=writer, fps=max(1, round(len(stack) / seconds)), dpi=100)
    return path
