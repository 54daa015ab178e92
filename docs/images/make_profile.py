"""Draw the performance profile of the minimisers: `python -m docs.images.make_profile`, from the root.

It draws what `python -m benchmarks minimizers --write` has kept. Reference: Dolan and Moré (2002).
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks._peers_minimize import kept

HERE = Path(__file__).parent


def profile(spent: dict[str, np.ndarray], within: np.ndarray) -> dict[str, np.ndarray]:
    """The part of the problems that each solves within a multiple of the fewest gradients that any of them needs."""
    fewest = np.min(list(spent.values()), axis=0)
    # Where nobody arrives there is no ratio; it counts as unsolved.
    least = np.where(np.isfinite(fewest), fewest, 1.0)
    return {name: np.mean((g / least)[None] <= within[:, None], axis=1) for name, g in spent.items()}


def main() -> None:
    spent = kept()
    figure = Figure(figsize=(6.5, 4.2), layout="constrained", dpi=110)
    ax = figure.subplots()
    within = np.geomspace(1.0, 64.0, 500)
    for name, part in profile(spent, within).items():
        ax.semilogx(within, part, base=2, label=name, linewidth=2 if name == "tw.minimize" else 1.2)
    problems = len(next(iter(spent.values())))
    ax.set(
        xlabel="gradients over the fewest of the four", ylabel=f"part of {problems} problems solved", ylim=(0.0, 1.0)
    )
    ax.set_xlim(1.0, 64.0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right")
    figure.savefig(HERE / "profile.png")


if __name__ == "__main__":
    main()
