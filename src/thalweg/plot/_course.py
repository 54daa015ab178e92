"""The course of a training: the numbers that its loop logged, against steps or samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._errors import InputError, check_choice
from .._records.run import Run
from .._typed import typed
from ._axes import Axes, check_runs, finish, ink, legend_above, new_axes, plain, styles

AGAINST = {"steps": "steps", "samples": "samples seen"}
# What a report draws besides the loss, with its label.
COURSES = {
    "gradient_norm": "norm of the gradient",
    "learning_rate": "learning rate",
    "curvature": "largest curvature",
    "preconditioned_curvature": "preconditioned curvature",
    "stability_margin": "stability margin",
}


@typed()
def course(runs: Mapping[str, Run], name: str, against: str = "steps", ax: Axes | None = None) -> Axes:
    r"""Draw a number that runs recorded, such as the stability margin, against steps or samples.

    What was measured now and then is drawn with a marker at each measurement. The axis is logarithmic where the numbers
    are positive and span more than a factor of ten. With the stability margin comes the line at 1, below which the
    learning rate is above the largest stable one.

    Arguments:
        runs: each a `tw.Run`, by name.
        name: of a column of their metrics; runs without it are left out.
        against: "steps", or "samples", for runs that know their batch size.
        ax: where to draw; a new figure if None.

    Returns:
        the Axes, one line a run in their order.

    Raises:
        InputError: no run has the column, or knows its batch size, or matplotlib is missing.

    >>> import tempfile
    >>> import thalweg as tw
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with tw.Recorder(f"{folder}/a", tw.Hyperparameters(0.5), batch_size=32) as recorder:
    ...         for k in range(3):
    ...             recorder.log(loss=1.0, curvature=k + 1.0)
    ...     ax = tw.plot.course({"a": tw.Run.load(f"{folder}/a")}, "stability_margin", "samples")
    >>> ax.get_xlabel(), ax.lines[0].get_xdata().tolist()
    ('samples seen', [0.0, 32.0, 64.0])
    """
    check_choice("against", against, AGAINST)
    check_runs("course", runs)
    looks = styles(runs)
    lines = {}
    for which, run in runs.items():
        metrics = run.metrics
        x = _steps(run) if against == "steps" else samples(run)
        if name in metrics and x is not None:
            seen = np.isfinite(metrics[name])
            lines[which] = x[seen], metrics[name][seen], bool(seen.all())
    if not lines:
        short = f"no run recorded {name}" if against == "steps" else f"no run recorded {name} and knows its batch size"
        raise InputError(f"{short}; there is {_known(runs)}")
    ax = new_axes(ax, 5.2, 3.4)
    handles = []
    for which, (x, y, dense) in lines.items():
        look = looks[which]
        marker = {} if dense else {"marker": look.marker, "markersize": 3.5}
        [line] = ax.plot(x, y, color=look.color, linestyle=look.linestyle, linewidth=1.4, **marker)
        handles.append(line)
    if name == "stability_margin":
        ax.axhline(1.0, color=ink(), linewidth=0.9, linestyle=(0, (2, 2)))
        ax.annotate("unstable below", (1.0, 1.0), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                    xytext=(0, 2), textcoords="offset points", fontsize="small", color=ink())  # fmt: skip
    shown = np.concatenate([y for _, y, _ in lines.values()])
    if shown.size and shown.min() > 0 and shown.max() > 10 * shown.min():
        ax.set_yscale("log")
    finish(ax, AGAINST[against], COURSES.get(name, name.replace("_", " ")))
    if len(runs) > 1:
        legend_above(ax, handles, [plain(which) for which in lines])
    return ax


def _steps(run: Run) -> np.ndarray:
    metrics = run.metrics
    return np.asarray(metrics["step"], float) if "step" in metrics else np.arange(run.steps + 1.0)


def samples(run: Run) -> np.ndarray | None:
    """Samples seen before each row: the batch size that was logged or is known, times the steps; None without one."""
    metrics, config = run.metrics, run.config
    steps = _steps(run)
    if "batch_size" in metrics:
        each = metrics["batch_size"][:-1] * np.diff(steps)
        return np.concatenate([[0.0], np.nancumsum(each)]) + (steps[0] * metrics["batch_size"][0] if steps.size else 0)
    size: Any = config.get("batch", {}).get("size")
    if size is None:
        size = config.get("method", {}).get("hyperparameters", {}).get("batch_size")
    return None if size is None else steps * float(size)


def _known(runs: Mapping[str, Run]) -> str:
    names = dict.fromkeys(name for run in runs.values() for name in run.metrics if name not in ("step", "time"))
    return ", ".join(names) or "nothing"
