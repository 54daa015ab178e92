"""Draw the picture of Adam at the edge of its stability: `python docs/images/make_adam_edge.py`."""

import os
import runpy
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

import numpy as np
from matplotlib.figure import Figure

HERE = Path(__file__).parent
STEPS, EVERY = 3000, 10


def main() -> None:
    found = runpy.run_path(str(HERE.parents[1] / "examples" / "adam_edge.py"))["main"](STEPS, EVERY)
    figure = Figure(figsize=(8.6, 3.8), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    at = EVERY * np.arange(1, STEPS // EVERY + 1)
    for i, (name, one) in enumerate(found.items()):
        label = name.replace("beta1", "β₁")
        left.plot(at, one["ratio"], color=f"C{i}", label=label, linewidth=1.2)
        right.semilogy(at, one["loss"], color=f"C{i}", label=label, linewidth=1.4)
    left.axhline(1.0, color="0.3", linewidth=1, linestyle="--")
    left.set(xlabel="steps", ylabel="preconditioned curvature over its limit", ylim=(0, 1.5))
    right.set(xlabel="steps", ylabel="loss on all of the digits")
    right.legend(frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "adam_edge.png")


if __name__ == "__main__":
    main()
