"""Hyperparameters as physics has them."""

import dataclasses

from .._errors import check_number


@dataclasses.dataclass(frozen=True)
class Physical:
    r"""Hyperparameters as a law of motion and its step.

    Attributes:
        step: h, the time of one step.
        friction: $\lambda$, the share of its velocity that a unit mass loses a unit of time.
        temperature: $T = \frac{\alpha}{2B(1-\beta)}$ at leading order, in units of the covariance of one sample's
            gradient noise; None where the batch size is not known.
        lookahead: c, how much of the coming displacement the gradient looks ahead: 1 for Nesterov's method.
    """

    step: float | int
    friction: float | int
    temperature: float | int | None = None
    lookahead: float | int = 0.0

    def __post_init__(self) -> None:
        check_number("step", self.step, above=0.0)
        check_number("friction", self.friction, at_least=0.0)
        if self.temperature is not None:
            check_number("temperature", self.temperature, at_least=0.0)
        check_number("lookahead", self.lookahead, at_least=0.0)
