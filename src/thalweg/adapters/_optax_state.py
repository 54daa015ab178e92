"""State of a method as an optax transformation."""

from typing import NamedTuple

from jaxtyping import Array, PyTree

from .._tree import Vector
from ..schemes import Clock


class MotionState(NamedTuple):
    """State of the transformation: the buffer, what moves with time where the method does, what a scheme remembers,
    and the variables that a law has of its own, such as Adam's averages.

    The parameters are the loop's, the unit of the buffer is the method's.
    """

    buffer: Vector | None
    lookahead_weight: Array | None
    clock: Clock | None
    memory: PyTree = None
    before: PyTree = None
    auxiliary: PyTree = None
