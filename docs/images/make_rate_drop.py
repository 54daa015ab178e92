"""Draw the picture of the dropped learning rate: `python docs/images/make_rate_drop.py`."""

import os
import runpy
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

import numpy as np
from matplotlib.figure import Figure

HERE = Path(__file__).parent
STEPS, SEEDS = 400, 5
STYLES = {"never dropped": ("0.6", "-"), "left alone": ("C3", "-"), "square root": ("C1", "-"), "exact": ("C0", "--")}


def main() -> None:
    found = runpy.run_path(str(HERE.parents[1] / "examples" / "rate_drop.py"))["main"](STEPS, SEEDS)
    figure = Figure(figsize=(11, 4.2), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2, sharey=True)
    for way, (colour, line) in STYLES.items():
        one = found[way]
        apart = np.abs(one["torch"] - one["optax"]).max()
        print(f"{way}: torch and optax differ by {apart:.1e}")
        for ax, x in ((left, np.arange(STEPS + 1)), (right, one["times"])):
            ax.semilogy(x, one["torch"], line, color=colour, label=way, linewidth=1.6)
    left.set(xlabel="steps", ylabel="loss on all samples", xlim=(STEPS // 2 - 50, STEPS), ylim=(1.7e-2, 4.2e-2))
    end = found["exact"]["times"][-1]
    middle = found["exact"]["times"][STEPS // 2]
    right.set(xlabel="time of the motion", xlim=(middle - 16, end))
    left.legend(frameon=False, loc="lower left")
    for ax, at in ((left, STEPS // 2), (right, middle)):
        ax.axvline(at, color="0.8", linewidth=1, zorder=0)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "rate_drop.png")


if __name__ == "__main__":
    main()
