"""Draw the picture of exact variances and equivalent schedules: `python docs/images/make_temperature.py`."""

import itertools
import os
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

import numpy as np
import optax
from matplotlib.figure import Figure

import thalweg as tw

HERE = Path(__file__).parent
BATCH, RATE, HALF = 64, 0.1, 100


def variances(ax) -> None:
    """Stationary variances of SGD over T/curvature, against the step."""
    steps = np.linspace(0.02, 1.2, 60)
    exact, orders, alone = [], {1: [], 2: []}, []
    for a in steps:
        method = tw.gradient_descent(None, a)
        exact.append(tw.analysis.stationary_covariance(method, 1.0, 2 / a))
        for order, values in orders.items():
            values.append(tw.analysis.modified_equation(method, 1.0, 2 / a, order).stationary_covariance())
        zero, one = (tw.analysis.modified_equation(method, 1.0, 2 / a, order) for order in (0, 1))
        alone.append(zero.diffusion[0, 0] / (-2 * one.drift[0, 0]))
    ax.plot(steps, exact, color="k", label="exact", linewidth=2)
    ax.axhline(1.0, color="0.6", label="limit")
    ax.plot(steps, orders[1], color="C0", label="modified equation, order 1")
    ax.plot(steps, orders[2], color="C0", linestyle="--", label="order 2")
    ax.plot(steps, alone, color="C3", label="its drift alone")
    ax.set(xlabel="learning rate × curvature", ylabel="variance × curvature / temperature", ylim=(0.5, 2.5))
    ax.legend(frameon=False)


def along(training, curvature, edges):
    """The variance after every step, from a point; one call for each stretch of constant numbers."""
    found, start = [0.0], None
    for first, last in itertools.pairwise(edges):
        method = tw.gradient_descent(None, training.learning_rate[first])
        noise = 1.0 / training.batch_size[first]
        n = np.arange(1, last - first + 1)
        part = tw.analysis.transient_covariance(method, curvature, n, noise, start=start)
        found, start = [*found, *part], part[-1]
    return training.time, np.array(found)


def schedules(ax) -> None:
    """The variance of both sides along the way."""
    drop = optax.piecewise_constant_schedule(RATE, {HALF: 0.1})
    found = tw.analysis.equivalent_batch_schedule(tw.Hyperparameters(RATE, batch_size=BATCH), drop, 5 * HALF)
    for curvature, colour in ((1.0, "C0"), (5.0, "C3")):
        for side, line, name in ((found.before, "-", "rate falls"), (found.after, "--", "batch grows")):
            time, variance = along(side, curvature, [0, HALF, side.steps])
            ax.semilogy(time[1:], variance[1:] * BATCH * curvature, line, color=colour,
                        label=f"{name}, curvature {curvature:g}")  # fmt: skip
    ax.set(xlabel="time", ylabel="variance × curvature", xlim=(HALF * RATE - 2, None))
    ax.legend(frameon=False)


def main() -> None:
    figure = Figure(figsize=(11, 4.2), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    variances(left)
    schedules(right)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "temperature.png")


if __name__ == "__main__":
    main()
