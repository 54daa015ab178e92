"""The least stability margin of a recorded loop, and the word of warning where it is below 1."""

import dataclasses


class StabilityWarning(UserWarning):
    """The learning rate of a loop is above the largest stable one."""


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
