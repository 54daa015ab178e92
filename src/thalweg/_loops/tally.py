"""Counts of what chains met on their way, in NumPy: by which a sampling is judged at its end."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# A step that adds more to the energy, in units of the temperature, left the law (Betancourt 2017, section 6.2).
_JUMP = 1000.0
# Of many parameters the energy itself varies, by sqrt(2 d) T.
_SPREADS = 10.0


def jump_bar(temperature: float | None, dimension: int) -> float:
    """The rise of the energy between two looks that is a jump; without a temperature none is."""
    if not temperature or not temperature > 0.0:
        return float("inf")
    return temperature * max(_JUMP, _SPREADS * (2.0 * dimension) ** 0.5)


class Tally:
    """Counts of each chain, apart for the warmup and for what is kept.

    Arguments:
        chains: how many.
        bar: the rise of the energy that is a jump.

    Attributes:
        looked: draws whose potential was looked at, (warmup, kept).
        broken: those whose potential is not finite, (2, chains).
        jumps: rises of the energy beyond the bar, after the warmup, (chains,).
        kinetic: number, sum of the kinetic energies of what is kept, (2, chains).
        moved: whether a chain moved in the warmup, and since, (2, chains).
        last: the energy at the last look, (chains,), NaN before the first.
    """

    _ARRAYS = ("looked", "broken", "jumps", "kinetic", "moved", "last")

    def __init__(self, chains: int, bar: float) -> None:
        self.bar = bar
        self.looked = np.zeros(2, np.int64)
        self.broken, self.jumps = np.zeros((2, chains), np.int64), np.zeros(chains, np.int64)
        self.kinetic, self.moved = np.zeros((2, chains)), np.zeros((2, chains), bool)
        self.last = np.full(chains, np.nan)

    def add(self, kept: bool, potential: np.ndarray | None, kinetic: np.ndarray | None) -> None:
        """Add rows of draws, (draws, chains): of the warmup, or of what is kept."""
        # What runs off has squares beyond the largest number.
        with np.errstate(all="ignore"):
            self._add(kept, potential, kinetic)

    def _add(self, kept: bool, potential: np.ndarray | None, kinetic: np.ndarray | None) -> None:
        if kinetic is not None and kept:
            self.kinetic[0] += np.isfinite(kinetic).sum(axis=0)
            self.kinetic[1] += np.where(np.isfinite(kinetic), kinetic, 0.0).sum(axis=0, dtype=float)
        if potential is None or not len(potential):
            return
        potential = potential.astype(float)
        self.looked[int(kept)] += len(potential)
        self.broken[int(kept)] += (~np.isfinite(potential)).sum(axis=0)
        energy = potential if kinetic is None else potential + kinetic
        rises = np.diff(energy, axis=0, prepend=self.last[None])
        self.jumps += int(kept) * (np.isfinite(rises) & (rises > self.bar)).sum(axis=0)
        self.last = energy[-1]

    def add_counts(self, kept: bool, seen: Mapping[str, Any]) -> None:
        """Add counts that the device made."""
        found = {name: np.asarray(leaf, float) for name, leaf in seen.items()}
        self.looked[int(kept)] += int(found["looked"])
        self.broken[int(kept)] += found["broken"].astype(np.int64)
        self.last = found["last"]
        if kept:
            self.jumps += found["jumps"].astype(np.int64)
            self.kinetic += np.stack([np.broadcast_to(found["looked"], self.last.shape), found["kinetic"]])

    def about(self) -> dict[str, Any]:
        """Itself, for a checkpoint."""
        # JSON has no NaN; from a look at what is not finite nothing rises.
        arrays: dict[str, np.ndarray] = {name: getattr(self, name) for name in self._ARRAYS}
        return {name: np.where(np.isfinite(a), a, np.array(None)).tolist() for name, a in arrays.items()}

    def restore(self, about: Mapping[str, Any]) -> None:
        """The inverse."""
        for name in self._ARRAYS:
            own = getattr(self, name)
            setattr(self, name, np.array(about[name], own.dtype).reshape(own.shape))
