"""The function that is sampled, where chains begin, went and were lost: is it finite, and is there a density?"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, as_key
from .._objectives.at_start import check_at_start
from .._objectives.objective import AbstractObjective, start_value_and_gradient
from .._records.mixing import listed
from .._records.parameters import parts
from .._records.verdicts import OUTSIDE, TRAP
from .._tree import on_device, ravel, size
from ..dynamics._curved import check_on
from ..geometry import AbstractGeometry, AbstractManifold

# Points that tell a slope from chance.
_POINTS = 16
# A force that over the spread of the draws does so little work holds nothing, in units of the temperature.
_FLAT = 0.05
# Most of the way it is so.
_MOST = 0.9
# A spread along a steady slope, in units of that of an exponential law.
_FAR = 3.0
# A fall of f, in units of the temperature and for each parameter, that no law has.
_FALL = 1e4
_NAMED = 10_000


def check_starts(objective: AbstractObjective, starts: PyTree) -> float:
    """The value at the start of the first chain; refuse a start of any where value or gradient are not finite."""
    leaves, structure = jax.tree.flatten(starts)
    host = [np.asarray(leaf) for leaf in leaves]
    rows = [[on_device(leaf[i]) for leaf in host] for i in range(len(host[0]))]
    first = check_at_start(objective, jax.tree.unflatten(structure, rows[0]))
    if all((leaf[1:] == leaf[:1]).all() for leaf in host):
        return first
    batch = objective.draw(as_key(0)) if objective.stochastic else None
    bad: dict[int, str] = {}
    for i, row in enumerate(rows[1:], 1):
        value, gradient = start_value_and_gradient(objective, jax.tree.unflatten(structure, row), batch)
        if not np.isfinite(np.asarray(value, float)):
            bad[i] = f"the objective is {float(value)}"
        elif not all(np.isfinite(np.asarray(leaf, float)).all() for leaf in jax.tree.leaves(gradient)):
            bad[i] = "the gradient of the objective is not finite"
    if bad:
        where, what = next(iter(bad.items()))
        others = f", as at that of {listed(list(bad)[1:])}" if len(bad) > 1 else ""
        raise InputError(f"{what} at the start of chain {where} of {len(rows)}{others}; begin each where it is finite")
    return first


def check_starts_on(geometry: AbstractGeometry | None, starts: PyTree) -> None:
    """Refuse chains that begin where their geometry has no point."""
    leaves, structure = jax.tree.flatten(starts)
    host = [np.asarray(leaf) for leaf in leaves]
    rows = 1 if all((leaf[1:] == leaf[:1]).all() for leaf in host) else len(host[0])
    for i in range(rows if geometry is not None else 0):
        check_on(geometry, jax.tree.unflatten(structure, [on_device(leaf[i]) for leaf in host]))


def degrees_of_freedom(geometry: AbstractGeometry | None, position: PyTree) -> int:
    """The number of directions in which a position can move."""
    return geometry.dimension(position) if isinstance(geometry, AbstractManifold) else size(position)


def look_back(
    objective: AbstractObjective, cut: Callable, positions: np.ndarray, start: np.ndarray, temperature: float | None
) -> list[str]:
    r"""Say where nothing in f holds the chains together along their way, so that $e^{-f/T}$ may be no density.

    For a density $\langle(\theta - c)\cdot\nabla f\rangle = dT$ about any c.
    """
    rows = np.asarray(positions, float)
    rows = rows[np.isfinite(rows).all(axis=1)]
    rows = rows[:: max(1, len(rows) // _POINTS)]
    if not temperature or len(rows) < _POINTS:
        return []
    with np.errstate(all="ignore"):
        slopes = np.stack([_slope(objective, cut, row)[1] for row in rows.astype(positions.dtype)])
        good = np.isfinite(slopes).all(axis=1)
        rows, slopes = rows[good], slopes[good]
        if len(rows) < _POINTS:
            return []
        work = np.abs(slopes).max(axis=0) * rows.std(axis=0)
        flat = (work < _FLAT * temperature) & (rows.std(axis=0) > 0.0)
        if flat.any():
            return [_flat(flat, cut, positions[0])]
        mean = slopes.mean(axis=0)
        size = float(np.sqrt(mean @ mean))
        steady = size > 0.0 and size**2 > _MOST * float((slopes * slopes).sum(axis=1).mean())
        # Exponentials in d directions would spread by sqrt(d) temperatures over the steepest.
        far = _FAR * temperature * math.sqrt(len(mean))
        if steady and float((rows @ (mean / size)).std()) * size > far:
            return [f"f falls all the way in one direction: {_NONE} take more warmup, and look at f far from the start"]
        pull = ((rows - start) * slopes).sum(axis=1)
        apart = float((rows - rows.mean(axis=0)).ravel() @ slopes.ravel())
        if apart < 0.0 and pull.mean() < -0.5 * temperature and (pull < 0.0).mean() >= _MOST:
            return [
                f"f falls all the way from where the chains began, and they go apart: {_NONE} begin nearer to a "
                "minimum of f, or give a prior that holds the parameters"
            ]
    return []


_NONE = "e^(-f/T) has no density if that goes on, and else the chains have not come to it yet;"


def cause_of_loss(
    objective: AbstractObjective, cut: Callable, ends: np.ndarray, start: float, temperature: float | None
) -> str | None:
    """The cause why chains became not finite, by the last places where they were; None where it is the step."""
    found = [_slope(objective, cut, row) for row in ends]
    values = [value for value, _ in found]
    broken = [value for value, slope in found if np.isfinite(value) and not np.isfinite(slope).all()]
    if broken:
        return f"the gradient is not finite where the potential is {broken[0]:.4g}, and the chains with it; {TRAP}"
    # Farther out f itself is beyond the largest number.
    near = np.abs(ends.astype(float)).max(axis=1) < float(jax.numpy.finfo(ends.dtype).max) ** 0.25
    gone = [value for value, here in zip(values, near, strict=True) if here and not np.isfinite(value)]
    if gone:
        return f"the potential is {gone[0]:g} where the chains were last: {OUTSIDE}"
    fall = _FALL * (temperature or 1.0) * ends.shape[1]
    if any(value < start - fall for value in values):
        return (
            f"f fell from {start:.4g} at the start to {min(values):.4g}: where it has no lower bound e^(-f/T) has no "
            "density; give a function that holds the parameters, such as a prior"
        )
    return None


def _slope(objective: AbstractObjective, cut: Callable, row: Any) -> tuple[float, np.ndarray]:
    value, gradient = start_value_and_gradient(objective, cut(on_device(row)))
    return float(value), np.asarray(ravel(gradient), float)


def _flat(flat: np.ndarray, cut: Callable, like: Any) -> str:
    if flat.all():
        what = "f hardly changes"
    else:
        some = [name for name, here in zip(parts(cut(np.asarray(like)), 0), flat, strict=True) if here] if (
            len(flat) <= _NAMED
        ) else [f"{int(flat.sum())} parameters"]  # fmt: skip
        what = f"f hardly changes with {listed(some)}"
    return (
        f"{what} where the chains have been, so that nothing holds them: e^(-f/T) has no density if that goes on, and "
        "else they have come through a small part of it; give a prior, or take longer steps and more of them"
    )
