"""Means and variances of chains whose draws are not kept."""

from typing import Any

import numpy as np

# Batches whose means tell the error of the whole mean; some draws of each chain, whatever their number.
_BATCHES = 128


class Sums:
    """Sums and sums of squares about a reference, in float64, by batches of draws.

    Arguments:
        total: draws in all, warmup included.
        warmup: those that do not count.
        cell: draws that the device sums up into one row.
    """

    def __init__(self, total: int, warmup: int, cell: int) -> None:
        self.cell, self.warmup = cell, warmup
        self.first = warmup // cell
        rows = (total - 1) // cell - self.first + 1
        self.batch = -(-rows // _BATCHES)
        count = -(-rows // self.batch)
        edges = np.clip((self.first + self.batch * np.arange(count + 1)) * cell, warmup, total)
        self.counts = np.diff(edges)
        self.made = np.zeros(count, int)
        self.sums: dict[str, np.ndarray] = {}

    @property
    def names(self) -> list[str]:
        """Names of what is summed."""
        return list(self.sums)

    def add(self, rows: dict[str, np.ndarray], low: int, high: int) -> None:
        """Rows of the draws from `low` to `high`: arrays (rows, 2, chains, ...)."""
        first = low // self.cell
        at = (first + np.arange(len(next(iter(rows.values())))) - self.first) // self.batch
        for name, values in rows.items():
            if name not in self.sums:
                self.sums[name] = np.zeros((len(self.made), *values.shape[1:]))
            np.add.at(self.sums[name], at, values.astype(float))
        edges = np.clip((first + np.arange(len(at) + 1)) * self.cell, low, high)
        np.add.at(self.made, at, np.diff(edges))

    def batch_means(self, name: str, reference: np.ndarray) -> np.ndarray:
        """(chains, batches, ...) of the batches that are whole."""
        whole = (self.made == self.counts) & (self.counts == self.counts.max())
        counts = self.made[whole].reshape(-1, *(1,) * (self.sums[name].ndim - 2))
        return np.moveaxis(self.sums[name][whole, 0] / counts, 0, 1) + reference[:, None]

    def by_chain(self, name: str, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the variance of the draws of each chain."""
        first, second = self.sums[name].sum(axis=0) / self.made.sum()
        return first + reference, np.maximum(second - first**2, 0.0)

    def leaves(self) -> list[np.ndarray]:
        """Arrays that a checkpoint stores."""
        return [self.made, *self.sums.values()]

    def restore(self, names: list[str], leaves: list[np.ndarray]) -> None:
        """The inverse."""
        self.made = leaves[0].copy()
        self.sums = {name: leaf.copy() for name, leaf in zip(names, leaves[1:], strict=True)}


def summed(config: dict[str, Any], cell: int, checkpoint: dict[str, Any]) -> Sums:
    """The sums of a checkpoint."""
    about = config["sample"]
    found = Sums(about["warmup"] + about["draws"], about["warmup"], cell)
    found.restore(checkpoint["sums"], checkpoint["leaves"][checkpoint["state_leaves"] :])
    return found
