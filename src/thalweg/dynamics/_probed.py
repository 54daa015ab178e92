"""Laws for the linear probe: those whose geometry makes no matrix of a step are refused."""

from .._errors import InputError
from .._showing.modules import shown
from ..geometry import AbstractDirection, AbstractManifold
from ._base import AbstractDynamics, check_flat


def check_probed(dynamics: AbstractDynamics, at: bool = False) -> None:
    """Refuse a law of whose steps none is made by a matrix because of its geometry; about a point, some are."""
    geometry, what = dynamics.geometry, "the linear probe"
    if at:
        check_law_probed(dynamics)
    if isinstance(geometry, AbstractDirection) and geometry.without_probe:
        raise InputError(
            f"{what} is of steps that are linear in the slope, and those in {shown(geometry)} are not; what can be "
            f"said instead: {geometry.without_probe}"
        )
    if isinstance(geometry, AbstractDirection) and not isinstance(geometry, AbstractManifold):
        if at or geometry.linear:
            return
        raise InputError(
            f"{what} is for laws in flat space, but {type(dynamics).__name__} has the geometry "
            f"{type(geometry).__name__}; leave out its geometry, or give a point, at=(t, x)"
        )
    check_flat(dynamics, what)


def check_law_probed(dynamics: AbstractDynamics) -> None:
    """Refuse a law of whose steps none is made by a matrix, in whatever geometry."""
    if dynamics.without_probe:
        raise InputError(
            "the linear probe is of steps that are linear in the slope, and those of "
            f"{type(dynamics).__name__} are not; what can be said instead: {dynamics.without_probe}"
        )
