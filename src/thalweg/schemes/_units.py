"""Units of variables, found from the sizes that they have had and from how the gradient changes with them."""

from typing import Any

from ._arithmetic import Arithmetic
from ._secants import Secants

# Units that differ by less from one variable to the next are one unit.
UNEVEN = 8.0


def _sized(xp: Arithmetic, reached: Any) -> Any:
    """Sizes of the variables as powers of 2; of those that have been 0 all the time, the middle of the others'."""
    np = xp.numpy
    there = reached > 0
    logs = np.where(there, np.log2(np.where(there, reached, 1.0)), 0.0)
    middle = np.sum(logs) / np.maximum(np.sum(there), 1)
    return np.exp2(np.round(np.where(there, logs, middle)))


def scaled(xp: Arithmetic, secants: Secants, scale: Any, scalings: Any, reached: Any) -> tuple[Any, Any]:
    """The units of another attempt, the sizes of the variables or what the secants say, and how many there were.

    Arguments:
        xp: the arithmetic.
        secants: in units of `scale`.
        scale: the units so far.
        scalings: how many there have been.
        reached: the largest that each variable has been.
    """
    np, m = xp.numpy, secants.bends.size
    sized = _sized(xp, reached)
    # Over any step the change of the gradient goes as one over the size of a variable.
    rows = secants.rows[m:]
    bent = scale / _sized(xp, np.sqrt(np.sum(rows * rows, axis=0)))
    first = (scalings == 0) & (spread(xp, sized / scale) >= UNEVEN)
    return xp.chosen(first, sized, bent), scalings + xp.where(first, 1, 2)


def spread(xp: Arithmetic, x: Any) -> Any:
    """The largest of some numbers over the least."""
    return xp.over(xp.number(xp.numpy.max(x)), xp.number(xp.numpy.min(x)))
