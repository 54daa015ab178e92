"""The free energy of a flow and the rate at which it falls, beside that at which it should."""

import numpy as np

from .._errors import InputError
from .._records.run import Run
from .._typed import typed
from ._axes import PALETTE, Axes, finish, legend_above, new_axes


@typed()
def dissipation(run: Run, ax: Axes | None = None) -> Axes:
    r"""Draw how fast the free energy of a flow falls, from its values and from its gradient.

    $$-\frac{dF}{dt} = \|\operatorname{grad}F\|^2$$

    The line is the fall from each step to the next over the time between them, the marks are the square of the
    gradient's norm in the geometry: where a step is too long, they part.

    Arguments:
        run: of `tw.measures.flow`, with its metrics "loss" and "gradient_norm".
        ax: where to draw; a new figure if None.

    Returns:
        the Axes, logarithmic upward.

    Raises:
        InputError: the run lacks one of the metrics, or has no two steps; or matplotlib is missing.

    >>> import thalweg as tw
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> ax = tw.plot.dissipation(tw.measures.flow(F, tw.measures.Gaussian(2.0, 0.5), 1.0, steps=10))
    >>> [line.get_label() for line in ax.lines]
    ['fall of F', 'squared norm of grad F']
    """
    metrics = run.metrics
    if missing := [name for name in ("loss", "gradient_norm") if name not in metrics]:
        raise InputError(
            f"dissipation needs the metric {missing[0]!r}, which this run has not; record "
            "tw.Record(('loss', 'gradient_norm')), of a functional that has a value"
        )
    times, energy, slope = (np.asarray(metrics[name]) for name in ("time", "loss", "gradient_norm"))
    if len(times) < 3:
        raise InputError("dissipation needs two steps or more")
    ax = new_axes(ax)
    middle = 0.5 * (times[1:] + times[:-1])
    ax.semilogy(middle, -np.diff(energy) / np.diff(times), color=PALETTE[0], label="fall of F")
    every = max(1, len(times) // 25)
    ax.semilogy(
        times[::every], slope[::every] ** 2, "o", color=PALETTE[1], markersize=4, label="squared norm of grad F"
    )
    finish(ax, "time", "dissipation")
    legend_above(ax, *ax.get_legend_handles_labels())
    return ax
