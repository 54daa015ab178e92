"""Fit a regression to a file that is read a mini-batch at a time, and go on where a first run stopped.

Run it with `python examples/larger_than_memory.py`.
"""

import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import thalweg as tw

FEATURES, BATCH = 20, 256
WEIGHTS = np.linspace(-1.0, 1.0, FEATURES)


def write(file: Path, batches: int) -> None:
    """Rows of features and a label, in mini-batches, written one after the other: (batches, BATCH, FEATURES + 1)."""
    rng = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(file, "w+", np.float64, (batches, BATCH, FEATURES + 1))
    for block in rows:
        block[:, :-1] = rng.normal(size=(BATCH, FEATURES))
        block[:, -1] = block[:, :-1] @ WEIGHTS + rng.normal(0.0, 0.1, BATCH)
    rows.flush()


def misfit(weights: jnp.ndarray, row: jnp.ndarray) -> jnp.ndarray:
    return 0.5 * (row[:-1] @ weights - row[-1]) ** 2


def main(batches: int = 2000) -> tw.Run:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "rows.npy", batches)
        rows = np.load(Path(folder) / "rows.npy", mmap_mode="r")

        def shuffled(step: int) -> np.ndarray:
            """The batches in an order that is new in every epoch, and that depends on the step alone."""
            epoch, turn = divmod(step, batches)
            return rows[np.random.default_rng(epoch).permutation(batches)[turn]]

        f = tw.Stream(misfit, shuffled)
        method = tw.momentum(f, learning_rate=0.01, momentum=0.9)
        start = jnp.zeros(FEATURES)
        # Stopped half way through the epoch and resumed, it ends where one run of all steps ends.
        out = Path(folder) / "run"
        tw.run(method, start, batches // 2, out=out)
        resumed = tw.run(method, start, batches, out=out, resume=True)
        whole = tw.run(method, start, batches)
        assert (resumed.final.position == whole.final.position).all()
        return whole


if __name__ == "__main__":
    run = main()
    print(run)
    print(f"largest error of a weight: {np.abs(np.asarray(run.final.position) - WEIGHTS).max():.4f}")
