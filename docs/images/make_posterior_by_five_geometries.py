"""Draw the picture of a posterior by five geometries: `python docs/images/make_posterior_by_five_geometries.py`."""

import os
import runpy
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

HERE = Path(__file__).parent
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def main() -> None:
    example = runpy.run_path(str(HERE.parents[1] / "examples" / "posterior_by_five_geometries.py"))
    found, names = example["main"](), example["NAMES"]
    figure = Figure(figsize=(10.6, 6.4), layout="constrained", dpi=90)
    above, below = figure.subfigures(2, 1, height_ratios=(1.25, 1.0))
    _errors(above.subplots(1, 2, sharey=True), found, names, example["NEAR"])
    _clouds(below.subplots(1, 5, sharex=True, sharey=True), found, names, example["posterior"](1.0))
    for ax in figure.axes:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "posterior_by_five_geometries.png")


def _errors(axes, found, names, near):
    for name, colour in zip(names, COLOURS, strict=True):
        for unit, line in ((1.0, "-"), (10.0, (0, (2.5, 1.5)))):
            one = found[name, unit]
            error = np.maximum(one["mean"], one["covariance"])
            for ax, x in zip(axes, ("time", "gradients"), strict=True):
                ax.loglog(one[x][1:], error[1:], color=colour, linestyle=line, linewidth=1.7)
    for ax, label in zip(axes, ("time, of each geometry's own", "gradients of every particle"), strict=True):
        ax.axhline(near, color="0.6", linewidth=0.8, zorder=0)
        ax.set_xlabel(label)
    axes[0].set_ylabel("error, the larger of mean and covariance")
    colours = [Line2D([], [], color=colour, label=name) for name, colour in zip(names, COLOURS, strict=True)]
    lines = [
        Line2D([], [], color="0.3", label="petals in their own unit"),
        Line2D([], [], color="0.3", linestyle=(0, (2.5, 1.5)), label="in ten times that unit"),
    ]
    axes[1].legend(
        handles=colours + lines, frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5)
    )


def _clouds(axes, found, names, fn):
    a, b = np.linspace(-3.0, 4.0, 141), np.linspace(-2.0, 14.0, 161)
    grid = jnp.asarray(np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2))
    heights = -np.asarray(jax.vmap(fn)(grid)).reshape(141, 161)
    # Where the density is that of one, two and three deviations of a normal one, beside its largest.
    levels = heights.max() - 0.5 * np.array([9.0, 4.0, 1.0])
    for ax, name, colour in zip(axes, names, COLOURS, strict=True):
        one = found[name, 10.0]
        sizes = 3.0 * np.minimum(one["weights"][-1] * one["weights"].shape[1], 30.0)
        ax.scatter(*one["points"][-1].T, s=sizes, color=colour, alpha=0.5, linewidths=0)
        ax.contour(a, b, heights.T, levels=levels, colors="0.15", linewidths=0.9, linestyles="solid")
        ax.set(xlim=(a[0], a[-1]), ylim=(b[0], b[-1]), xlabel="a")
        ax.set_title(name.replace("-Fisher", "-\nFisher") if len(name) > 20 else name, fontsize="medium")
    axes[0].set_ylabel("b, in the own unit")


if __name__ == "__main__":
    main()
