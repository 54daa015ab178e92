"""The numbers of Adam and AdamW, and what they mean: memory times, in units of its flow."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from .._errors import InputError, check_number
from .._typed import typed
from .memory import AbstractMemoryHyperparameters, fading, memory_time

if TYPE_CHECKING:
    from .._methods.method import Method


@dataclasses.dataclass(frozen=True)
class AdamPhysical:
    r"""Adam as a law of motion, `tw.AdamFlow` at the rate 1, and its step.

    Attributes:
        step: h, the time of one step: the learning rate.
        first: $\tau_1$, the memory time of the gradient; None for no memory.
        second: $\tau_2$, that of its square.
        epsilon: $\varepsilon$, in units of the gradient.
        decay: $\lambda$, what the parameters lose of themselves in a unit of time; 0 where the decay is coupled.
    """

    step: float | int
    first: float | int | None
    second: float | int | None
    epsilon: float | int
    decay: float | int = 0.0

    def __post_init__(self) -> None:
        check_number("step", self.step, above=0.0)
        for name in ("first", "second"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above=0.0)
        check_number("epsilon", self.epsilon, at_least=0.0)
        check_number("decay", self.decay, at_least=0.0)


@dataclasses.dataclass(frozen=True)
class AdamHyperparameters(AbstractMemoryHyperparameters):
    r"""The numbers of Adam and AdamW.

    $$\theta^+ = \theta - \alpha\Bigl(\frac{\hat m}{\sqrt{\hat v} + \varepsilon} + \omega\theta\Bigr)$$

    Arguments:
        learning_rate: $\alpha > 0$.
        beta1: of the average m of gradients, $0 \le \beta_1 < 1$.
        beta2: of the average v of their squares, likewise.
        epsilon: $\varepsilon \ge 0$, in units of the gradient, outside of the root and after the correction, as in
            torch and optax.
        batch_size: samples a step.
        weight_decay: $\omega \ge 0$, decoupled and times the learning rate, as in AdamW.
        coupled: the decay is a part of the gradient instead, as in `torch.optim.Adam`.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw
    >>> now = tw.AdamHyperparameters(1e-3, 0.9, 0.999)
    >>> slower = now.retune(learning_rate=1e-4)  # a tenth of the step, of the same memory in time
    >>> round(slower.beta1, 6), round(slower.beta2, 6)
    (0.989519, 0.9999)
    """

    beta1: float | int = 0.9
    beta2: float | int = 0.999
    epsilon: float | int = 1e-8
    coupled: bool = dataclasses.field(default=False, kw_only=True)

    name: ClassVar[str] = "Adam"
    betas: ClassVar[tuple[str, ...]] = ("beta1", "beta2")

    def _check(self) -> None:
        check_number("epsilon", self.epsilon, at_least=0.0)
        if not isinstance(self.coupled, bool):
            raise InputError(f"coupled must be True or False, but is {self.coupled!r}")

    @property
    def memory_times(self) -> dict[str, float | None]:
        betas = {"first memory time": self.beta1, "second memory time": self.beta2}
        return {name: memory_time(beta, self.learning_rate) for name, beta in betas.items()}

    def physical(self) -> AdamPhysical:
        r"""The same as a law of motion and its step: $h = \alpha$, $\tau_i = -\alpha/\ln\beta_i$.

        The unit of time is that in which a parameter moves by 1 where its gradient keeps its sign.
        """
        first, second = (memory_time(beta, self.learning_rate) for beta in (self.beta1, self.beta2))
        decay = 0.0 if self.coupled else float(self.weight_decay)
        return AdamPhysical(float(self.learning_rate), first, second, float(self.epsilon), decay)

    @classmethod
    @typed()
    def from_physical(cls, physical: AdamPhysical, batch_size: float | int | None = None) -> "AdamHyperparameters":
        """The inverse of `physical`, its decay decoupled.

        Arguments:
            physical: the constants.
            batch_size: samples a step.
        """
        beta1, beta2 = (fading(physical.step, time) for time in (physical.first, physical.second))
        return cls(
            float(physical.step), beta1, beta2, float(physical.epsilon), batch_size=batch_size,
            weight_decay=float(physical.decay),
        )  # fmt: skip

    def method(self, objective: Any = None) -> "Method":
        """The `tw.Method` of these numbers on an objective, None for an adapter."""
        from .._methods.adaptive import adam, adamw
        from .._methods.method import Method
        from ..dynamics import AdamFlow
        from ..schemes import LieTrotter

        numbers = (self.learning_rate, self.beta1, self.beta2, self.epsilon)
        if not self.weight_decay:
            return adam(objective, *numbers)
        if not self.coupled:
            return adamw(objective, *numbers, self.weight_decay)
        law = self.physical()
        flow = AdamFlow(objective, 1.0, law.first, law.second, law.epsilon, decay=self.weight_decay, coupled=True)
        return Method(flow, LieTrotter(), law.step)

    @classmethod
    @typed()
    def from_method(cls, method: Any) -> "AdamHyperparameters":
        """Read the numbers of `tw.adam` or `tw.adamw`.

        Raises:
            InputError: the method is another one, or its learning rate is a schedule.
        """
        from .._methods.method import Method
        from ..dynamics import AdamFlow
        from ..schemes import LieTrotter

        law = method.dynamics if isinstance(method, Method) else None
        if not (
            isinstance(law, AdamFlow) and isinstance(method.scheme, LieTrotter) and not method.scheme.nesterov
            and law.form == "outside" and law.corrected and law.share is None
        ):  # fmt: skip
            raise InputError(f"Adam's numbers are read from tw.adam and tw.adamw, not from {method!r}")
        read = method.hyperparameters
        if callable(read["learning_rate"]):
            raise InputError("the learning rate is a schedule; give the method at one step of it, with_learning_rate")
        decay = read.pop("weight_decay", 0.0)
        return cls(**read, weight_decay=decay, coupled=law.coupled)

    @classmethod
    @typed()
    def from_torch(
        cls, optimizer: Any, group: int | None = None, batch_size: float | int | None = None
    ) -> "AdamHyperparameters":
        """Read what a `torch.optim.Adam` or `torch.optim.AdamW` is set to now.

        Arguments:
            optimizer: the optimizer.
            group: the index of a parameter group; needed where the groups differ.
            batch_size: samples a step, which the optimizer does not know.

        Raises:
            InputError: the optimizer is another one (AMSGrad is), or its groups differ.

        >>> import torch, thalweg as tw
        >>> optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=1e-3)
        >>> tw.AdamHyperparameters.from_torch(optimizer).weight_decay
        0.01
        """
        from ..adapters.torch import adam_from_torch

        return adam_from_torch(optimizer, group, batch_size)
