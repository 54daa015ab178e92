"""Curves that a run is judged by: of the loss and the gradient on all of the data, where its steps saw a part each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._objectives.curvature import lowest_curvature
from .._objectives.objective import AbstractObjective, start_value_and_gradient
from .._records.run import Run
from .._tree import size
from ..dynamics._curved import slope_norm

# Points of a curve on all of the data, and the most that their positions may take.
_POINTS, _BYTES = 64, 2**28
# A descent that stands still has a gradient of this part of that at its start, at most.
_STILL = 1e-6


class Curves(NamedTuple):
    """Loss and norm of the gradient at some steps of a run, the first and the last among them."""

    step: np.ndarray
    loss: np.ndarray
    gradient_norm: np.ndarray


def spacing(objective: AbstractObjective, x0: PyTree, steps: int) -> int:
    """Steps between the positions that a run keeps to be judged by; 0 where it keeps none."""
    if not objective.stochastic or _POINTS * size(x0) * 8 > _BYTES:
        return 0
    return max(1, steps // _POINTS)


def curves(run: Run, x0: PyTree) -> Curves:
    """Curves that a run recorded; of all of the data, where its objective draws mini-batches."""
    objective: Any = run.method.objective
    metrics = run.metrics
    if not objective.stochastic:
        return Curves(metrics["step"], metrics["loss"], metrics["gradient_norm"])
    whole, points = objective.whole(), {0: x0}
    if run.trace is not None:
        rows = zip(run.trace.step, range(len(run.trace.step)), strict=True)
        points |= {int(step): jax.tree.map(lambda leaf, at=at: jnp.asarray(leaf[at]), run.trace.position)
                   for step, at in rows}  # fmt: skip
    points |= {run.steps: run.final.lookahead}
    found = []
    for x in points.values():
        value, gradient = start_value_and_gradient(whole, x)
        found.append((float(value), float(slope_norm(run.method.dynamics.geometry, x, gradient))))
    losses, norms = np.array(found).T
    return Curves(np.array(list(points)), losses, norms)


def notes(named: dict[str, Run], judged: dict[str, Curves]) -> tuple[str, ...]:
    """Remarks of a comparison: a stated minimum that is none, and saddles that descents end at."""
    objective: Any = next(iter(named.values())).method.objective
    found = []
    low = {name: float(np.nanmin(curve.loss)) for name, curve in judged.items() if np.isfinite(curve.loss).any()}
    if objective.minimum is not None and low:
        least = min(low, key=lambda name: low[name])
        start = max(abs(float(curve.loss[0])) for curve in judged.values())
        eps = float(jnp.finfo(jnp.result_type(*jax.tree.leaves(named[least].final.position))).eps)
        if low[least] < objective.minimum - 1e3 * eps * max(abs(objective.minimum), start):
            found.append(
                f"the objective says that its minimum is {objective.minimum:.6g}, and {least} came to "
                f"{low[least]:.6g}: gaps are to a number that is none; give the right minimum, or none"
            )
    for name, run in named.items():
        norms = judged[name].gradient_norm
        still = np.isfinite(norms[-1]) and norms[-1] <= _STILL * norms[0] and run.method.dynamics.geometry is None
        if still and (lowest := lowest_curvature(objective.whole(), run.final.lookahead)) < 0.0:
            found.append(
                f"{name} stands at a saddle, not at a minimum: f curves downwards there, by {-lowest:.3g} along one "
                "direction; begin elsewhere, or see tw.minimize, which leaves it"
            )
    return tuple(found)
