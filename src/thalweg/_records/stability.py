"""The least stability margin of a recorded loop, and the word of warning where it is below 1."""

import dataclasses


class StabilityWarning(UserWarning):
    """The learning rate of a loop is above the largest stable one."""


class NoMarginWarning(UserWarning):
    """A curvature is logged of which the method of the loop has no limit."""


@dataclasses.dataclass(frozen=True)
class Least:
    """The least stability margin so far: its value, its step, and the learning rate (or step size) in use there."""

    margin: float
    step: int
    used: float

    def __str__(self) -> str:
        return f"the least stability margin was {self.margin:.3g}, at step {self.step}"


def text_below(least: Least, knob: str) -> str:
    """A margin below 1, in words."""
    largest = least.margin * least.used
    return (
        f"the stability margin fell to {least.margin:.3g} at step {least.step}: at the curvature measured there the "
        f"largest stable {knob.replace('_', ' ')} is {largest:.3g}, and {least.used:.3g} is in use. If it stays so, "
        "the loss jumps; lower it, or warm up more slowly"
    )


def text_without(limitless: str) -> str:
    """The reason why a plain curvature makes no margin, in words."""
    if limitless:
        return f"the curvature makes no stability margin of this method: {limitless}"
    return (
        "the curvature makes no stability margin of Adam and its like, whose limit is of the curvature over the root "
        "of their second moment; log preconditioned_curvature=, as tw.adapters.torch.largest_curvature(..., "
        "optimizer=) and tw.adapters.optax.preconditioned_curvature give it"
    )
