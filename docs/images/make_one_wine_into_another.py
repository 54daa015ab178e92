"""Draw the picture of one wine moved into another: `python docs/images/make_one_wine_into_another.py`."""

import os
import runpy
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

import numpy as np
from matplotlib.figure import Figure

HERE = Path(__file__).parent
HERE_COLOUR, THERE_COLOUR = "#D55E00", "#0072B2"
LEVELS = np.array([0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4])


def main() -> None:
    found = runpy.run_path(str(HERE.parents[1] / "examples" / "one_wine_into_another.py"))["main"]()
    figure = Figure(figsize=(10.4, 6.4), layout="constrained", dpi=90)
    grid = figure.subplots(2, 3)
    _densities(grid, found)
    _wines(grid[1, 0], found)
    _energy(grid[1, 1], found)
    _left(grid[1, 2], found)
    for ax in grid.flat:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "one_wine_into_another.png")


def _axes(ax, title):
    ax.set(xlim=(-2.6, 2.8), ylim=(-2.4, 3.1), aspect="equal", xlabel="alcohol, deviations")
    ax.set_ylabel("colour intensity, deviations")
    ax.set_title(title, fontsize="medium")


def _densities(grid, found):
    trace, mesh = found["grid"].trace, found["grid"].final.position.mesh
    for ax, at in zip(grid[0], (0, 6, 100), strict=True):
        density = np.asarray(trace.position.density[at])
        ax.contourf(*mesh.centres, density.T, levels=LEVELS, cmap="Greys", extend="max", alpha=0.85)
        ax.plot(*found["here"].T, "o", color=HERE_COLOUR, markersize=3.2, label="from")
        ax.plot(*found["there"].T, "^", color=THERE_COLOUR, markersize=3.6, label="to")
        _axes(ax, f"density at time {float(trace.time[at]):.2g}")
    grid[0, 0].legend(frameon=False, fontsize="small", loc="upper left", handletextpad=0.2)


def _wines(ax, found):
    paths = np.asarray(found["wines"].trace.position.positions)
    for i in range(paths.shape[1]):
        ax.plot(*paths[:, i].T, color="0.45", linewidth=0.8)
        ax.plot(*np.stack([paths[-1, i], found["partner"][i]]).T, color="0.75", linewidth=0.8, linestyle=":")
    ax.plot(*found["here"].T, "o", color=HERE_COLOUR, markersize=3.2)
    ax.plot(*found["there"].T, "^", color=THERE_COLOUR, markersize=3.6)
    _axes(ax, "paths of the wines, to time 1")


def _energy(ax, found):
    middle = 0.5 * (found["time"][1:] + found["time"][:-1])
    fall = -np.diff(found["energy"]) / np.diff(found["time"])
    slope = np.asarray(found["grid"].metrics["gradient_norm"])
    ax.semilogy(found["time"], found["energy"], color="#009E73", label="divergence F")
    ax.semilogy(middle, fall, color=THERE_COLOUR, label="fall of F per time")
    ax.semilogy(found["time"][::5], slope[::5] ** 2, "o", color=HERE_COLOUR, markersize=4, label="‖grad F‖²")
    ax.set(xlabel="time of the flow of the density", ylabel="nats, nats per unit of time")
    ax.legend(frameon=False, fontsize="small")


def _left(ax, found):
    at = np.asarray(found["wines"].trace.time)
    ax.semilogy(at, found["left"], color=THERE_COLOUR, label="distance W₂ to the other wines")
    ax.semilogy(at, found["left"][0] * np.exp(-2.0 * at), "--", color="0.3", label="exp(−2t)")
    ax.semilogy(at[1:], found["beside"][1:], color=HERE_COLOUR, label="distance W₂ to the straight ways")
    ax.set(xlabel="time of the flow of the wines", ylabel="distance, deviations")
    ax.legend(frameon=False, fontsize="small")


if __name__ == "__main__":
    main()
