"""The result of a sweep."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import PyTree

from .._errors import InputError

# A rise of the loss below this fraction of its start is rounding, not oscillation.
_RISE = 1e-9


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Result of a sweep.

    Attributes:
        settings: one array (n,) a hyperparameter, the n settings in order.
        losses: (n, seeds, steps + 1), the loss before every step and at the end; None if not kept.
        final_loss: (n, seeds).
        final: the last positions, a pytree with leading axes (n, seeds).
        shape: how the settings fold into the grid.
    """

    settings: dict[str, np.ndarray]
    losses: np.ndarray | None
    final_loss: np.ndarray
    final: PyTree
    shape: tuple[int, ...]

    @property
    def regimes(self) -> np.ndarray:
        """(n, seeds) of "monotone", "oscillating" or "diverging"."""
        if self.losses is None:
            raise InputError("this sweep kept no losses; call tw.sweep with losses=True for the regimes")
        return np.array([[regime(curve) for curve in seeds] for seeds in self.losses])

    @property
    def best(self) -> dict[str, float]:
        """The setting of least median final loss."""
        finite = np.where(np.isfinite(self.final_loss), self.final_loss, np.inf)
        index = int(np.argmin(np.median(finite, axis=1)))
        return {name: float(values[index]) for name, values in self.settings.items()}

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
        best = ", ".join(f"{name}={value:.4g}" for name, value in self.best.items())
        return (
            f"Sweep({len(self.final_loss)} settings x {self.final_loss.shape[1]} seeds, "
            f"{finite} ended finite; best {best})"
        )


def regime(losses: np.ndarray) -> str:
    """ "monotone", "oscillating" or "diverging": what a loss curve does."""
    losses = np.asarray(losses, dtype=float)
    if not np.isfinite(losses).all():
        return "diverging"
    scale = np.abs(losses[0]) + np.abs(losses[0] - losses.min())
    if losses[-1] > losses[0] + _RISE * scale:
        return "diverging"
    return "oscillating" if np.any(np.diff(losses) > _RISE * scale) else "monotone"
