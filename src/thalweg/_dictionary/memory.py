"""Numbers of Adam, Lion and Muon in common: averages whose memory lasts for a time, not for steps."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import jax.numpy as jnp

from .._errors import InputError, check_number
from .._typed import typed

_Own = TypeVar("_Own", bound="AbstractMemoryHyperparameters")
# The least part that has come into an average in a step: where the rate is 0 none would, and frameworks divide by it.
_LEAST = 1e-6


@dataclasses.dataclass(frozen=True)
class AbstractMemoryHyperparameters(abc.ABC):
    """The numbers of an optimizer whose learning rate is the time of a step: its betas are memory times."""

    # How messages call it, and the names of its betas.
    name: ClassVar[str] = ""
    betas: ClassVar[tuple[str, ...]] = ()

    learning_rate: float | int = 1e-3
    batch_size: float | int | None = dataclasses.field(default=None, kw_only=True)
    weight_decay: float | int = dataclasses.field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, above=0.0)
        for name in self.betas:
            check_number(name, getattr(self, name), at_least=0.0, below=1.0)
        check_number("weight_decay", self.weight_decay, at_least=0.0)
        if self.batch_size is not None:
            check_number("batch_size", self.batch_size, above=0.0)
        self._check()

    @abc.abstractmethod
    def _check(self) -> None:
        """Check the numbers that it has besides."""

    def betas_at(self, ratio: Any) -> dict[str, Any]:
        """The betas of steps so many times as long, of the same memory in time, by name; of an array, arrays."""
        return {name: getattr(self, name) ** ratio for name in self.betas}

    @property
    @abc.abstractmethod
    def memory_times(self) -> dict[str, float | None]:
        r"""The memory times $-\alpha/\ln\beta$ and what else has to stay for a state to go on, by name."""

    @typed()
    def retune(self: _Own, learning_rate: float | int) -> _Own:
        r"""The same flow at another step: its memory lasts as long in time, not in steps.

        $$\beta' = \beta^{\alpha'/\alpha}$$

        A state goes on as it is, but for the count of steps (`carry`).

        Arguments:
            learning_rate: $\alpha'$.
        """
        check_number("learning_rate", learning_rate, above=0.0)
        ratio = float(learning_rate) / float(self.learning_rate)
        return dataclasses.replace(self, learning_rate=float(learning_rate), **self.betas_at(ratio))

    @typed("then")
    def carry(self: _Own, then: _Own, steps: float | int) -> float:
        r"""The count of steps with which a state of this optimizer goes on as one of another, of the same memory times.

        $$k' = k\,\alpha/\alpha'$$

        The averages stay. What they are corrected by, $1-\beta^k = 1-\beta'^{k'}$, stays with that count, which need
        not be whole: it is the time that has passed, in the new steps.

        Arguments:
            then: as `retune` gives it.
            steps: k, made so far.

        Raises:
            InputError: it is another optimizer's, or the memory times are others.
        """
        if type(then) is not type(self):
            raise InputError(f"then must be a tw.{type(self).__name__}, but is {then!r}")
        check_number("steps", steps, at_least=0.0)
        now, after = self.memory_times, then.memory_times
        for name, one in now.items():
            other = after[name]
            if (one is None) != (other is None) or (one is not None and not math.isclose(one, other, rel_tol=1e-9)):  # pyright: ignore
                raise InputError(
                    f"the {name} would change from {one} to {other}, and no count of steps is right for "
                    "the averages then; change the learning rate with retune"
                )
        return float(steps) * float(self.learning_rate) / float(then.learning_rate)

    @typed()
    def schedule(self, learning_rate: Callable[[Any], Any]) -> "MemorySchedule":
        """The betas beside a schedule of the learning rate, such that the memory times stay: `retune` at every step.

        Arguments:
            learning_rate: a function of the integer step: any optax schedule, of warm-up and cosine for instance.

        Returns:
            a `MemorySchedule`: `.learning_rate` and the betas by their names, functions of the step.

        >>> import optax, thalweg as tw
        >>> warmed = optax.warmup_cosine_decay_schedule(1e-4, 1e-3, 100, 1000)
        >>> motion = tw.AdamHyperparameters(1e-3, 0.9, 0.999).schedule(warmed)
        >>> [round(float(motion.beta1(step)), 4) for step in (0, 50, 100)]
        [0.9895, 0.9437, 0.9]
        >>> optimizer = optax.inject_hyperparams(optax.adam)(motion.learning_rate, b1=motion.beta1, b2=motion.beta2)
        """
        return MemorySchedule(learning_rate, self)


@dataclasses.dataclass(frozen=True)
class MemorySchedule:
    r"""Learning rate and betas, step by step, of one flow at constant memory times: functions of the step.

    $$\beta_k = \beta^{\alpha_k/\alpha}$$

    at most $1 - 10^{-6}$, so that where the rate is 0 an average that a framework corrects is not 0/0. Frameworks
    correct by the newest beta, $1 - \beta_k^k$, where what has come into an average is $1 - \prod_j\beta_j$; once an
    average is full the two are the same. `hyperparameters.method(f).with_step_size(schedule)`, also as an optax
    transformation, corrects by what has come.

    Attributes:
        rate: the learning rate by the step.
        hyperparameters: at the learning rate whose betas they are.
    """

    rate: Callable[[Any], Any]
    hyperparameters: AbstractMemoryHyperparameters

    def learning_rate(self, step: Any) -> Any:
        r"""$\alpha_k$, as the schedule has it."""
        return self.rate(step)

    def beta1(self, step: Any) -> Any:
        r"""$\beta_1$ of Adam, and of Lion, where it is in the same share of $\beta_2$."""
        return self._beta("beta1", step)

    def beta2(self, step: Any) -> Any:
        r"""$\beta_2$ of Adam and of Lion."""
        return self._beta("beta2", step)

    def beta(self, step: Any) -> Any:
        r"""$\beta$ of Muon."""
        return self._beta("beta", step)

    def _beta(self, name: str, step: Any) -> Any:
        h = self.hyperparameters
        known = h.betas_at(1.0)
        if name not in known:
            raise InputError(f"{h.name} has no {name}; it has {' and '.join(known)}")
        slowest = max(map(float, known.values()))
        ratio = jnp.asarray(self.rate(step), float) / h.learning_rate
        if slowest > 0.0:
            ratio = jnp.maximum(ratio, _LEAST / -math.log(slowest))
        return h.betas_at(ratio)[name]


def memory_time(beta: float | int, step: float | int) -> float | None:
    r"""$-h/\ln\beta$; None for no memory."""
    return -float(step) / math.log(beta) if beta > 0 else None


def fading(step: float | int, time: float | int | None) -> float:
    r"""$\beta = e^{-h/\tau}$, the inverse."""
    return 0.0 if time is None else math.exp(-step / time)
