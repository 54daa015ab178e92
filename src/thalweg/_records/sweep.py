"""The result of a sweep, in memory or read from its directory."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jax
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError
from .._typed import typed
from .derived import recorded_structure
from .growing import checked_arrays
from .kinds import opened
from .storage import read_checkpoint

# A rise of the loss below this fraction of its start is rounding, not oscillation.
_RISE = 1e-9
# Settings that a notebook shows.
_BEST = 5


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Result of a sweep.

    Attributes:
        settings: one array (n,) a hyperparameter, the n settings in order.
        losses: (n, seeds, steps + 1), the loss before every step and at the end; None if not kept.
        final_loss: (n, seeds), NaN of a law without an objective.
        final: the last positions, a pytree with leading axes (n, seeds).
        shape: how the settings fold into the grid.
        metrics: what was kept of every step by name, each as `losses`, which is among them.
        status, message: "finished", or "interrupted", and then it has NaN where it was not made; "running" of one read
            from disk that is still going, or was killed.
        seconds, compile_seconds: wall time of the steps, and of compilation.
        path: the directory, None for a sweep in memory.
        config: what run.toml says of it.
    """

    settings: dict[str, np.ndarray]
    losses: np.ndarray | None
    final_loss: np.ndarray
    final: PyTree
    shape: tuple[int, ...]
    metrics: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    status: str = "finished"
    message: str = ""
    seconds: float = 0.0
    compile_seconds: float = 0.0
    path: Path | None = None
    config: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    @typed()
    def load(cls, path: str | Path) -> "Sweep":
        """Read what `tw.sweep` wrote to a directory, also where it was killed or is still being written.

        Raises:
            InputError: it is no path, holds no sweep, or no checkpoint yet.
        """
        if not isinstance(path, str | Path):
            raise InputError(f"path must be the path of a directory, but is {path!r}")
        return load_sweep(Path(path))

    @property
    def regimes(self) -> np.ndarray:
        """(n, seeds) of "monotone", "oscillating" or "diverging"."""
        if self.losses is None:
            raise InputError("this sweep kept no losses; call tw.sweep with losses=True for the regimes")
        return np.array([[regime(curve) for curve in seeds] for seeds in self.losses])

    @property
    def diverged(self) -> np.ndarray:
        """(n, seeds) of whether a run ended at no finite loss or, where losses are kept, far above all before.

        Far is by more than the loss at the start and what it had fallen by, and three times as high above the least as
        it was on the way: the losses on the way may be of mini-batches, the last is of the whole of the data.
        """
        lost = ~np.isfinite(self.final_loss)
        if self.losses is None:
            return lost
        before, end = self.losses[..., :-1], np.where(lost, np.inf, self.losses[..., -1])
        start, least = before[..., 0], np.fmin(np.fmin.reduce(before, axis=-1), end)
        risen = end - start > np.abs(start) + start - least
        with np.errstate(over="ignore", invalid="ignore"):
            on_the_way = np.mean(before, axis=-1) - least
            return lost | (risen & ~(end - least <= 3.0 * on_the_way))

    @property
    def typical_loss(self) -> np.ndarray:
        """(n,): the median over the seeds of the final loss, infinite where at least half of them diverged."""
        return np.median(np.where(self.diverged, np.inf, self.final_loss), axis=1)

    @property
    def best(self) -> dict[str, float]:
        """The setting of least median final loss, among those that did not diverge.

        Raises:
            InputError: every setting diverged, or there is no loss.
        """
        losses = self.typical_loss
        if not np.isfinite(losses).any():
            if not self.has_losses:
                raise InputError("no setting is best: a law without an objective has no loss")
            ends = ", ".join(f"{name} {values.min():g} to {values.max():g}" for name, values in self.settings.items())
            raise InputError(f"no setting is best: each of the {len(losses)} diverged, of {ends}; take smaller steps")
        index = int(np.argmin(losses))
        return {name: float(values[index]) for name, values in self.settings.items()}

    @property
    def has_losses(self) -> bool:
        """Tell whether there is a loss: a law without an objective has none, wherever it ends."""
        ends = all(np.isfinite(np.asarray(leaf, float)).all() for leaf in jax.tree.leaves(self.final))
        return not (ends and np.isnan(self.final_loss).all())

    def folded(self, values: np.ndarray) -> np.ndarray:
        """An array (n, ...) over the settings, folded to the shape of the grid."""
        return values.reshape(*self.shape, *values.shape[1:])

    def to_xarray(self) -> Any:
        """The sweep as an `xarray.Dataset`, for its own tools, netCDF and Zarr.

        Returns:
            losses, regimes and last positions over the hyperparameters (over `setting`, where they are no grid), the
            seed and the step.

        Raises:
            InputError: xarray is missing.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> rates = {"learning_rate": [0.5, 1.0, 2.5]}
        >>> make = lambda learning_rate: tw.gradient_descent(lambda x: 0.5 * jnp.sum(x**2), learning_rate)
        >>> dataset = tw.sweep(make, rates, jnp.ones(2), 20).to_xarray()
        >>> dataset.loss.dims, dataset.loss.sel(learning_rate=0.5, seed=0, step=1).item()
        (('learning_rate', 'seed', 'step'), 0.25)
        """
        from .dataset import sweep_dataset

        return sweep_dataset(self)

    def __repr__(self) -> str:
        finite = int(np.isfinite(self.final_loss).sum())
        best = "none is best"
        if np.isfinite(self.typical_loss).any():
            best = "best " + ", ".join(f"{name}={value:.4g}" for name, value in self.best.items())
        return (
            f"Sweep({len(self.final_loss)} settings x {self.final_loss.shape[1]} seeds, {finite} ended finite; {best})"
        )

    def _repr_html_(self) -> str:
        """As a notebook shows it: the settings of least final loss."""
        from .._showing.html import table_html
        from .._showing.text import make_table

        typical = self.typical_loss
        order = np.argsort(typical, kind="stable")[:_BEST]
        rows = [(*(float(values[i]) for values in self.settings.values()), float(typical[i])) for i in order]
        columns = (*(name.replace("_", " ") for name in self.settings), "final loss")
        return table_html(make_table(columns, rows, repr(self)))

    @property
    def plot(self) -> Callable[..., Any]:
        """Draw the final loss over the settings: `sweep.plot(over=None, ax=None)`, Axes out."""
        from ..plot import sweep

        return lambda over=None, ax=None: sweep(self, over, ax)


def column_file(name: str) -> str:
    """The name of the array of a metric's column; any name makes a name of a file."""
    return f"metric.{quote(name, safe='')}"


def load_sweep(path: Path) -> Sweep:
    """A sweep from its directory, its arrays memory-mapped."""
    config, _ = opened(path, "tw.Sweep.load")
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise InputError(f"{path} holds no checkpoint yet; it was stopped before its first one")
    settings = dict(zip(checkpoint["settings"], checkpoint["leaves"], strict=False))
    rows = {name: array[: checkpoint["runs"]] for name, array in checked_arrays(path, checkpoint).items()}
    found = {name: checkpoint[name] for name in ("status", "message", "seconds", "compile_seconds")}
    return read_rows(
        settings, config["sweep"], rows, recorded_structure(config), found | {"path": path, "config": config}
    )


def read_rows(
    settings: dict[str, np.ndarray], about: dict[str, Any], rows: dict[str, np.ndarray], cut: Callable,
    found: dict[str, Any],
) -> Sweep:  # fmt: skip
    """A sweep of the rows of its runs, of which the last may be missing.

    Arguments:
        settings: an array (n,) a hyperparameter.
        about: steps, seeds, shape and columns.
        rows: arrays by name, a row a run.
        cut: makes the tree of an array whose last axis is a raveled position.
        found: what else is known.
    """
    count, seeds = len(next(iter(settings.values()))), about["seeds"]

    def whole(array: np.ndarray) -> np.ndarray:
        missing = count * seeds - len(array)
        if missing:
            gap = np.full((missing, *array.shape[1:]), np.nan).astype(array.dtype)
            array = np.concatenate([array, gap])
        return array.reshape(count, seeds, *array.shape[1:])

    if not rows:
        raise InputError("of this sweep no batch of runs is made yet; go on with it, or wait")
    metrics = {name: whole(rows[column_file(name)]) for name in about["columns"]}
    final = jax.tree.map(np.asarray, cut(whole(rows["position"])))
    return Sweep(
        settings, metrics.get("loss"), whole(rows["final_loss"]), final, tuple(about["shape"]), metrics, **found
    )  # fmt: skip


def regime(losses: np.ndarray) -> str:
    """ "monotone", "oscillating" or "diverging": what a loss curve does."""
    losses = np.asarray(losses, dtype=float)
    if not np.isfinite(losses).all():
        return "diverging"
    # A loss is a sum in the precision of the run, whose rounding is no motion; it is kept in double precision.
    with np.errstate(over="ignore"):
        single = np.array_equal(losses, losses.astype(np.float32))
    rise = 16.0 * float(np.finfo(np.float32).eps) if single else _RISE
    rise *= np.abs(losses[0]) + np.abs(losses[0] - losses.min())
    if losses[-1] > losses[0] + rise:
        return "diverging"
    return "oscillating" if np.any(np.diff(losses) > rise) else "monotone"
