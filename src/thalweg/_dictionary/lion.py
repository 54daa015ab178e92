"""The numbers of Lion, and what they mean: one memory time, and a share of the newest gradient."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from .._errors import InputError, check_number
from .._typed import typed
from .memory import AbstractMemoryHyperparameters, fading, memory_time

if TYPE_CHECKING:
    from .._methods.method import Method


@dataclasses.dataclass(frozen=True)
class LionPhysical:
    r"""Lion as a law of motion, `tw.AdamFlow(form="sign")` at the rate 1, and its step.

    Attributes:
        step: h, the time of one step: the learning rate.
        first: $\tau$, the memory time of the gradient.
        share: c, what the average counts for beside the newest gradient, which counts for $1 - c$.
        decay: $\lambda$, what the parameters lose of themselves in a unit of time.
    """

    step: float | int
    first: float | int
    share: float | int
    decay: float | int = 0.0

    def __post_init__(self) -> None:
        check_number("step", self.step, above=0.0)
        check_number("first", self.first, above=0.0)
        check_number("share", self.share, at_least=0.0)
        check_number("decay", self.decay, at_least=0.0)


@dataclasses.dataclass(frozen=True)
class LionHyperparameters(AbstractMemoryHyperparameters):
    r"""The numbers of Lion, the same in optax and keras; torch has none.

    $$\theta^+ = \theta - \alpha\bigl(\operatorname{sign}(\beta_1m + (1-\beta_1)g) + \omega\theta\bigr),\qquad
      m^+ = \beta_2m + (1-\beta_2)g$$

    The average is that of $\beta_2$; in the new one the direction is the sign of $cm^+ + (1-c)g$ with the share
    $c = \beta_1/\beta_2$, which stays when the step is another.

    Arguments:
        learning_rate: $\alpha > 0$.
        beta1: of the direction, $0 \le \beta_1 < 1$.
        beta2: of the average, $0 < \beta_2 < 1$.
        batch_size: samples a step.
        weight_decay: $\omega \ge 0$, decoupled and times the learning rate; its default is 0.001 in optax.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw
    >>> slower = tw.LionHyperparameters(1e-3, 0.9, 0.99).retune(learning_rate=1e-4)
    >>> round(slower.beta2, 6), round(slower.beta1 / slower.beta2, 6)  # 0.9 / 0.99
    (0.998995, 0.909091)

    Reference: Chen, Liang, Huang et al. (2023), algorithm 2.
    """

    beta1: float | int = 0.9
    beta2: float | int = 0.99

    name: ClassVar[str] = "Lion"
    betas: ClassVar[tuple[str, ...]] = ("beta1", "beta2")

    def _check(self) -> None:
        check_number("beta2", self.beta2, above=0.0)

    def betas_at(self, ratio: Any) -> dict[str, Any]:
        beta2 = self.beta2**ratio
        # The numbers themselves at the step itself, without a rounding.
        share = self.beta1 / self.beta2 if self.beta2 else 0.0
        return {"beta1": self.beta1 if isinstance(ratio, float) and ratio == 1.0 else share * beta2, "beta2": beta2}

    @property
    def memory_times(self) -> dict[str, float | None]:
        law = self.physical()
        return {"memory time": float(law.first), "share": float(law.share)}

    def physical(self) -> LionPhysical:
        r"""The same as a law of motion and its step: $h = \alpha$, $\tau = -\alpha/\ln\beta_2$ and the share c."""
        first = memory_time(self.beta2, self.learning_rate)
        assert first is not None
        return LionPhysical(float(self.learning_rate), first, self.beta1 / self.beta2, float(self.weight_decay))

    @classmethod
    @typed()
    def from_physical(cls, physical: LionPhysical, batch_size: float | int | None = None) -> "LionHyperparameters":
        """The inverse of `physical`.

        Arguments:
            physical: the constants.
            batch_size: samples a step.

        Raises:
            InputError: the average counts for more than all, at this step.
        """
        beta2 = fading(physical.step, physical.first)
        return cls(
            float(physical.step), float(physical.share) * beta2, beta2, batch_size=batch_size,
            weight_decay=float(physical.decay),
        )  # fmt: skip

    def method(self, objective: Any = None) -> "Method":
        """The `tw.Method` of these numbers on an objective, None for an adapter."""
        from .._methods.adaptive import lion

        return lion(objective, self.learning_rate, self.beta1, self.beta2, self.weight_decay)

    @classmethod
    @typed()
    def from_method(cls, method: Any) -> "LionHyperparameters":
        """Read the numbers of `tw.lion`.

        Raises:
            InputError: the method is another one, or its learning rate is a schedule.
        """
        from .._methods.method import Method
        from ..dynamics import AdamFlow
        from ..schemes import LieTrotter

        law = method.dynamics if isinstance(method, Method) else None
        if not (
            isinstance(law, AdamFlow) and isinstance(method.scheme, LieTrotter) and law.form == "sign"
            and law.share is not None and not law.coupled and not law.corrected
        ):  # fmt: skip
            raise InputError(f"Lion's numbers are read from tw.lion, not from {method!r}")
        return cls(**numbers_of(method))


def numbers_of(method: Any) -> dict[str, Any]:
    """The hyperparameters of a method, refused where the learning rate is a schedule."""
    read = method.hyperparameters
    if callable(read["learning_rate"]):
        raise InputError("the learning rate is a schedule; give the method at one step of it, with_learning_rate")
    return read
