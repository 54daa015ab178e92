"""Loss curves: of one run, and of methods side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import InputError, check_choice
from .._records.run import Run
from .._side_by_side.compare import Comparison, _steps_to
from .._typed import typed
from ._axes import Axes, check_runs, finish, ink, legend_above, new_axes, plain, styles

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AGAINST = {"steps": "steps", "gradients": "gradients", "time": "physical time t"}
# A line of more points than this is drawn by the least and the largest of each bucket.
_POINTS = 4000
# Curves that differ by more than this in how long they take need a logarithmic axis.
_SPREAD = 30.0


@typed()
def loss(run: Run, ax: Axes | None = None, against: str = "steps", label: str | None = None, **line: Any) -> Axes:
    r"""Draw the loss of one run.

    Arguments:
        run: a `tw.Run` that recorded its loss.
        ax: where to draw; a new figure if None.
        against: "steps", "gradients" (evaluations made so far) or "time" (physical time t, the law's own).
        label: for a legend.
        line: passed on to `ax.plot`, such as `color="k"`.

    Returns:
        the Axes; its newest line holds one point a step (long runs are thinned to their envelope). The
        loss axis is logarithmic where the loss is positive and falls by more than a factor of ten.

    Raises:
        InputError: the run kept no loss, `against` is unknown, or matplotlib is missing.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> run = tw.run(tw.gradient_descent(lambda x: 0.5 * jnp.sum(x**2), 0.5), jnp.array([8.0]), 3)
    >>> ax = tw.plot.loss(run, against="gradients")
    >>> ax.get_xlabel(), ax.lines[0].get_ydata().tolist()
    ('gradients', [32.0, 8.0, 2.0, 0.5])
    """
    x, y = _abscissa(run, run.method, against), _losses(run, "the run")
    ax = new_axes(ax)
    y = np.where(np.isfinite(y), y, np.nan)
    try:
        ax.plot(*_thinned(x, y), label=label, **line)
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"a line of matplotlib cannot be drawn so: {error}") from error
    shown = y[np.isfinite(y)]
    if shown.size and shown.min() > 0 and shown.max() > 10 * shown.min():
        ax.set_yscale("log")
    finish(ax, _AGAINST[against], "loss f")
    return ax


@typed()
def losses(runs: Mapping[str, Run], against: str = "steps", ax: Axes | None = None) -> Axes:
    """Draw the losses of several runs, as they are.

    Arguments:
        runs: each a `tw.Run`, by name, of ours or recorded ones.
        against: "steps", "gradients" or "time".
        ax: where to draw; a new figure if None.

    Returns:
        the Axes, one line a run in their order.

    Raises:
        InputError: no runs, one that kept no loss, `against` is unknown, or matplotlib is missing.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> runs = {f"{rate}": tw.run(tw.gradient_descent(f, rate), jnp.array([8.0]), 3) for rate in (0.5, 0.25)}
    >>> [line.get_ydata().tolist() for line in tw.plot.losses(runs).lines]
    [[32.0, 8.0, 2.0, 0.5], [32.0, 18.0, 10.125, 5.6953125]]
    """
    check_choice("against", against, _AGAINST)
    check_runs("losses", runs)
    drawn = {name: _losses(run, f"the run of {name}") for name, run in runs.items()}
    ax = new_axes(ax)
    for run, look in zip(runs.values(), styles(runs).values(), strict=True):
        loss(run, ax, against, color=look.color, linestyle=look.linestyle, linewidth=1.6)
    shown = np.concatenate([values[np.isfinite(values)] for values in drawn.values()])
    falls = shown.size and shown.min() > 0 and shown.max() > 10 * shown.min()
    ax.set_yscale("log" if falls else "linear")
    legend_above(ax, ax.lines[-len(runs) :], [plain(name) + _remark(run, True) for name, run in runs.items()])
    return ax


@typed()
def curves(comparison: Comparison, against: str = "gradients", ax: Axes | None = None) -> Axes:
    r"""Draw how far every method has come: the gap $f - f^\star$ on a logarithmic axis.

    Where the objective knows no minimum, the gap is to the best loss any of the methods found, which
    the label says. A dot marks where a method met the tolerance, a dotted line the tolerance itself
    where it is one on the gap. A curve leaves at the top where its method diverged.

    Arguments:
        comparison: what `tw.compare` gave back.
        against: "gradients", "time" (physical time t; first- and second-order laws measure it in
            different units) or "steps".
        ax: where to draw; a new figure if None.

    Returns:
        the Axes, one line a method in the order of the comparison.

    Raises:
        InputError: `against` is unknown, or matplotlib is missing.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.Objective(lambda x: 0.5 * jnp.sum(x**2), minimum=0.0)
    >>> result = tw.compare({"gd": tw.gradient_descent(f, 0.5)}, jnp.array([8.0]), 1e-3, 6, limits=False)
    >>> ax = tw.plot.curves(result)
    >>> ax.get_yscale(), ax.lines[0].get_ydata()[:3].tolist()
    ('log', [32.0, 8.0, 2.0])
    """
    check_choice("against", against, _AGAINST)
    ax = new_axes(ax)
    minimum = next(iter(comparison.methods.values())).objective.minimum  # pyright: ignore[reportOptionalMemberAccess]
    runs = comparison.runs
    all_losses = {name: _losses(run, f"the run of {name}") for name, run in runs.items()}
    finite = np.concatenate([values[np.isfinite(values)] for values in all_losses.values()])
    floor = minimum if minimum is not None else float(finite.min())
    looks = styles(runs)
    handles, labels, ends, begins, first, lowest, highest = [], [], [], [], 0.0, np.inf, 0.0
    for name, run in runs.items():
        x = _abscissa(run, comparison.methods[name], against)
        with np.errstate(over="ignore", invalid="ignore"):
            gap = all_losses[name] - floor
        # What rounding leaves below the minimum has no place on a logarithmic axis.
        gap = np.where(np.isfinite(gap) & (gap > 0), gap, np.nan)
        look = looks[name]
        handles += ax.plot(*_thinned(x, gap), color=look.color, linestyle=look.linestyle, linewidth=1.6)
        method, asked = comparison.methods[name], (comparison.tolerance, comparison.budget)
        steps, _, reached = _steps_to(run, comparison.judged[name], method, *asked)
        labels.append(plain(name) + _remark(run, reached))
        if reached:
            y = gap[steps] if np.isfinite(gap[steps]) else np.nan
            ax.plot([x[steps]], [y], linestyle="", marker="o", color=look.color, markersize=5.5, zorder=3)
        ends.append(x[steps] if reached else x[-1])
        begins.append(x[min(1, len(x) - 1)])
        first = max(first, gap[0] if np.isfinite(gap[0]) else 0.0)
        lowest, highest = min(lowest, np.nanmin(gap, initial=np.inf)), max(highest, np.nanmax(gap, initial=0.0))
    ax.set_yscale("log")
    level = comparison.tolerance * first if comparison.criterion == "gap" else None
    _limits(ax, first, (float(lowest), float(highest)), level, float(min(begins)), np.asarray(ends, dtype=float))
    if level:
        handles.append(ax.axhline(level, color=ink(), linestyle=":", linewidth=1.2, alpha=0.8))
        labels.append(f"tolerance: {comparison.tolerance:g} of the first gap")
    finish(ax, _AGAINST[against], "gap to the minimum  f − f*" if minimum is not None else "loss − best loss found")
    legend_above(ax, handles, labels)
    return ax


def _remark(run: Run, reached: bool) -> str:
    if run.status in ("diverged", "not finite"):
        return " (diverged)"
    return "" if reached else " (tolerance not met)"


def _losses(run: Run, what: str) -> "NDArray[np.float64]":
    if "loss" not in run.metrics or not len(run.metrics["loss"]):
        raise InputError(f'{what} kept no loss; record it with record=tw.Record(("loss",))')
    return np.asarray(run.metrics["loss"], dtype=float)


def _abscissa(run: Run, method: Any, against: str) -> "NDArray[np.float64]":
    check_choice("against", against, _AGAINST)
    if "step" not in run.metrics:
        raise InputError('the run kept no metrics; record the loss with record=tw.Record(("loss",))')
    steps = np.asarray(run.metrics["step"], dtype=float)
    if against == "steps":
        return steps
    if against == "time":
        return np.asarray(run.metrics["time"], dtype=float)
    if "gradients" in run.metrics:
        return np.asarray(run.metrics["gradients"], dtype=float)
    if method is not None and not method.gradients_vary:
        return method.gradients_at_start + steps * method.gradients_per_step
    # Otherwise only the total is known: so many a step, the rest at the start.
    each, start = divmod(run.gradients, max(run.steps, 1))
    return start + steps * each


def _thinned(x: "NDArray[np.float64]", y: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """At most `_POINTS` points that look the same: the ends of the range in every bucket."""
    if len(x) <= _POINTS:
        return x, y
    size = -(-2 * len(x) // _POINTS)
    buckets = len(x) // size
    body = np.where(np.isfinite(y[: buckets * size]), y[: buckets * size], -np.inf).reshape(buckets, size)
    most = body.argmax(axis=1)
    least = np.where(np.isneginf(body), np.inf, body).argmin(axis=1)
    rows = np.arange(buckets) * size
    keep = np.unique(np.concatenate([[0], rows + least, rows + most, np.arange(buckets * size, len(x)), [len(x) - 1]]))
    return x[keep], y[keep]


def _limits(
    ax: Axes, first: float, extent: tuple[float, float], level: float | None, begin: float, ends: "NDArray[np.float64]"
) -> None:
    """A view of what matters: from the start to a little beyond the last tolerance met."""
    lowest, highest = extent
    if first > 0:
        bottom = max(min(lowest, level or lowest), 1e-16 * first)
        if level:
            bottom = min(max(bottom, 1e-3 * level), 0.2 * level)
        # Where every method diverged, the way up is what there is to see.
        top = first if lowest < 0.1 * first else min(highest, 1e6 * first)
        if bottom < top:
            decades = np.log10(top / bottom)
            ax.set_ylim(bottom * 10 ** (-0.04 * decades), top * 10 ** (0.12 * decades))
    ends = ends[np.isfinite(ends) & (ends > 0)]
    if not ends.size:
        return
    if ends.max() > _SPREAD * ends.min():
        ax.set_xscale("log")
        ax.set_xlim(begin, ends.max() * 1.15)
    else:
        ax.set_xlim(0.0, ends.max() * 1.08)
