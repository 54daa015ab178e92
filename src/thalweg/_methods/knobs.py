r"""The numbers a user tunes and the (law, scheme, step) they stand for: both directions of each dictionary.

A method's numbers are read by the first parametrisation of `KNOBS` that it belongs to, and written by the same.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import ArrayLike

from .._dictionary.momentum import momentum_from_friction, physical_constants
from .._errors import InputError, check_number, suggest
from .._module import Module
from .._tree import at_once
from ..dynamics import AbstractDynamics, AdamFlow, GradientFlow, HeavyBall, MuonFlow, OverdampedLangevin
from ..schemes import AbstractScheme, Leapfrog, LieTrotter, Lookahead, Restarted

# A law with these constants, its others as they are.
Make = Callable[..., AbstractDynamics]
Numbers = dict[str, Any]


@runtime_checkable
class Described(Protocol):
    """A method, which is made of what is read here."""

    @property
    def dynamics(self) -> AbstractDynamics: ...
    @property
    def scheme(self) -> AbstractScheme: ...
    @property
    def step_size(self) -> Any: ...


class Parts(NamedTuple):
    """Law, scheme and step: what a method is made of."""

    dynamics: AbstractDynamics
    scheme: AbstractScheme
    step_size: Any


class AbstractKnobs(abc.ABC):
    """One way to name the numbers of a method; `step` is the one that its step is, where a user sets it."""

    step: ClassVar[str | None]

    @abc.abstractmethod
    def belongs(self, method: Described) -> bool:
        """Tell whether a method has its numbers by these names."""

    @abc.abstractmethod
    def read(self, method: Described) -> Numbers:
        """The numbers of a method by name."""

    @abc.abstractmethod
    def write(self, numbers: Numbers, make: Make, scheme: AbstractScheme, kept: Mapping[str, Any] = {}) -> Parts:
        """The method of these numbers: the inverse of `read`.

        Arguments:
            numbers: all that `read` gives.
            make: the law of given constants.
            scheme: the scheme.
            kept: what is known of the method besides: constants of its law, and its `step_size`.

        Raises:
            InputError: a number is out of its range.
        """


class LearningRate(AbstractKnobs):
    r"""$\alpha = bh$ of a first-order law of constant rate b (1 where it has none), then the law's other constants."""

    step: ClassVar[str | None] = "learning_rate"

    def belongs(self, method: Described) -> bool:
        law = method.dynamics
        constant = not any(map(callable, (method.step_size, *law.constants.values())))
        return method.scheme.takes_learning_rate and isinstance(law, GradientFlow | OverdampedLangevin) and constant

    def read(self, method: Described) -> Numbers:
        constants = method.dynamics.constants
        rate = (
            at_once(np.multiply, method.step_size, constants.pop("rate")) if "rate" in constants else method.step_size
        )
        return {"learning_rate": rate} | constants

    def write(self, numbers: Numbers, make: Make, scheme: AbstractScheme, kept: Mapping[str, Any] = {}) -> Parts:
        check_pair(learning_rate=numbers["learning_rate"])
        law = make(**{name: value for name, value in numbers.items() if name != "learning_rate"})
        step = numbers["learning_rate"]
        return Parts(law, scheme, at_once(np.divide, step, kept["rate"]) if "rate" in kept else step)


class LearningRateAndMomentum(AbstractKnobs):
    r"""$\beta$ and $\alpha$ of a damped kick on the heavy ball at constant friction, whose mass only rescales them."""

    step: ClassVar[str | None] = "learning_rate"

    def belongs(self, method: Described) -> bool:
        law = method.dynamics
        kicks = isinstance(method.scheme, Leapfrog | Lookahead | Restarted)
        return kicks and isinstance(law, HeavyBall) and not callable(law.friction) and not callable(method.step_size)

    def read(self, method: Described) -> Numbers:
        law, step = method.dynamics, method.step_size
        assert isinstance(law, HeavyBall) and not callable(law.friction)
        beta, kick = momentum_from_friction(law.friction, step, law.mass)
        return {"learning_rate": at_once(np.multiply, step, kick), "momentum": beta}

    def write(self, numbers: Numbers, make: Make, scheme: AbstractScheme, kept: Mapping[str, Any] = {}) -> Parts:
        check_pair(**numbers)
        step, friction = physical_constants(numbers["learning_rate"], numbers["momentum"])
        if "mass" in kept:
            root = at_once(np.sqrt, kept["mass"])
            step, friction = at_once(np.multiply, step, root), at_once(np.multiply, friction, root)
        return Parts(make(friction=friction), scheme, step)


class LearningRateAndBetas(AbstractKnobs):
    r"""$\alpha = bh$ and $\beta_i = e^{-h/\tau_i}$ of Adam's flow by its splitting, then $\varepsilon$ and the decay.

    Where the average has a share c in a sign, $\beta_2$ is its own and $\beta_1 = c\beta_2$: Lion.
    A schedule of the learning rate is the rate b(t) of the law at steps of 1, so that the betas stay.
    """

    step: ClassVar[str | None] = "learning_rate"

    def belongs(self, method: Described) -> bool:
        law, scheme = method.dynamics, method.scheme
        return isinstance(law, AdamFlow) and isinstance(scheme, LieTrotter) and not callable(method.step_size)

    def read(self, method: Described) -> Numbers:
        law, h, scheme = method.dynamics, method.step_size, method.scheme
        assert isinstance(law, AdamFlow) and isinstance(scheme, LieTrotter)
        rate = law.rate
        found: Numbers = {
            "learning_rate": getattr(rate, "schedule", rate) if callable(rate) else at_once(np.multiply, h, rate)
        }
        betas = [_fading(h, time) for time in (law.first, law.second)]
        if law.form == "sign" and law.share is not None:
            found |= {"beta1": betas[0] * law.share, "beta2": betas[0]}
        else:
            kept = {"beta1": law.first is not None or law.corrected, "beta2": law.form in ("outside", "inside")}
            found |= {name: beta for (name, named), beta in zip(kept.items(), betas, strict=True) if named}
        if law.form in ("outside", "inside"):
            found["epsilon"] = law.epsilon
        if law.decay is not None:
            found["weight_decay"] = law.decay
        return found if scheme.momentum_decay is None else found | {"momentum_decay": scheme.momentum_decay}

    def write(self, numbers: Numbers, make: Make, scheme: AbstractScheme, kept: Mapping[str, Any] = {}) -> Parts:
        rate, before, constants = numbers["learning_rate"], kept.get("rate", 1), dict[str, Any]()
        if callable(rate):
            h, constants["rate"] = 1.0, Scheduled(rate)  # pyright: ignore[reportArgumentType]
        else:
            check_pair(learning_rate=rate)
            h = rate if callable(before) else rate / before
            if callable(before):
                constants["rate"] = 1
        _check_betas({name: numbers[name] for name in ("beta1", "beta2") if name in numbers})
        if "beta2" in numbers and "epsilon" not in numbers:
            check_number("beta2", numbers["beta2"], above=0.0)
            constants |= {
                "first": _memory_time(numbers["beta2"], h),
                "share": numbers["beta1"] / numbers["beta2"],
            }
        else:
            for name, beta in (("first", "beta1"), ("second", "beta2")):
                if beta in numbers:
                    constants[name] = _memory_time(numbers[beta], h)
        for name, constant in (("epsilon", "epsilon"), ("weight_decay", "decay")):
            if name in numbers:
                check_number(name, numbers[name], at_least=0.0)
                constants[constant] = numbers[name]
        if "momentum_decay" in numbers:
            scheme = dataclasses.replace(scheme, momentum_decay=numbers["momentum_decay"])
        return Parts(make(**constants), scheme, h)


class LearningRateAndBeta(AbstractKnobs):
    r"""$\alpha = bh$ and $\beta = e^{-h/\tau}$ of the matrices of Muon's flow by its splitting, then Adam's.

    What is no matrix has a learning rate of its own where it is another one. A schedule is a rate at steps of 1.
    """

    step: ClassVar[str | None] = "learning_rate"

    def belongs(self, method: Described) -> bool:
        law, scheme = method.dynamics, method.scheme
        if not (isinstance(law, MuonFlow) and isinstance(scheme, LieTrotter)) or callable(method.step_size):
            return False
        adam = law.others
        return adam.form == "outside" and adam.share is None and adam.corrected and not adam.coupled

    def read(self, method: Described) -> Numbers:
        law, h = method.dynamics, method.step_size
        assert isinstance(law, MuonFlow)
        rates = [getattr(r, "schedule", r) if callable(r) else h * r for r in (law.rate, law.others.rate)]
        found: Numbers = {"learning_rate": rates[0]}
        betas = {"beta": law.first, "adam_beta1": law.others.first, "adam_beta2": law.others.second}
        for name, time in betas.items():
            found[name] = 0.0 if time is None else jnp.exp(-h / time)
            if name == "beta" and law.decay is not None:
                found["weight_decay"] = law.decay
        found["epsilon"] = law.others.epsilon
        if law.others.decay is not None:
            found["adam_weight_decay"] = law.others.decay
        return found if _same_rate(law.rate, law.others.rate) else found | {"adam_learning_rate": rates[1]}

    def write(self, numbers: Numbers, make: Make, scheme: AbstractScheme, kept: Mapping[str, Any] = {}) -> Parts:
        rate, before = numbers["learning_rate"], kept.get("rate", 1)
        others = numbers.get("adam_learning_rate")
        for name, value in (("learning_rate", rate), ("adam_learning_rate", others)):
            if not (value is None or callable(value)):
                check_number(name, value, above=0.0)
        if callable(rate) or callable(others):
            h, b = 1.0, _as_rate(rate)
            c = b if others is None else _as_rate(others)
        else:
            b = 1 if callable(before) else before
            h = rate / b
            c = b if others is None else others / h
        betas = {name: numbers[name] for name in ("beta", "adam_beta1", "adam_beta2")}
        _check_betas(betas)
        for name in ("epsilon", "weight_decay", "adam_weight_decay"):
            if name in numbers:
                check_number(name, numbers[name], at_least=0.0)
        first, one, other = (_memory_time(beta, h) for beta in betas.values())
        adam = AdamFlow(None, c, one, other, numbers["epsilon"], decay=numbers.get("adam_weight_decay"))
        return Parts(make(rate=b, first=first, decay=numbers.get("weight_decay"), others=adam), scheme, h)


def _as_rate(value: Any) -> Any:
    return Scheduled(value) if callable(value) else value  # pyright: ignore[reportArgumentType]


def _same_rate(one: Any, other: Any) -> bool:
    if callable(one) or callable(other):
        return one is other or (
            isinstance(one, Scheduled) and isinstance(other, Scheduled) and one.schedule is other.schedule
        )
    traced = [isinstance(value, Tracer) for value in (one, other)]
    return one is other if any(traced) else float(one) == float(other)


def _check_betas(betas: Mapping[str, Any]) -> None:
    for name, beta in betas.items():
        check_number(name, beta, at_least=0.0)
        check_number(name, beta, below=1.0)


class Scheduled(Module):
    """A schedule of the learning rate as a rate in time, at steps of 1."""

    schedule: Callable[[ArrayLike], ArrayLike] = eqx.field(static=True)

    def __call__(self, time: ArrayLike) -> ArrayLike:
        return self.schedule(jnp.round(jnp.asarray(time)).astype(int))


def _memory_time(beta: Any, step_size: Any) -> Any:
    r"""$-h/\ln\beta$; None for no memory."""
    if any(isinstance(value, Tracer) for value in (beta, step_size)):
        return -step_size / jnp.log(beta)
    return None if float(beta) == 0.0 else -float(step_size) / math.log(float(beta))


class OwnNumbers(AbstractKnobs):
    """The scheme's own arrays, where the step is not for a user to set: of a scheme that f itself controls."""

    step: ClassVar[str | None] = None

    def belongs(self, method: Described) -> bool:
        # The step of an adaptive scheme is the first that it tries, which is a user's.
        return method.scheme.controlled and not method.scheme.adaptive and not callable(method.step_size)

    def read(self, method: Described) -> Numbers:
        own = {field.name: getattr(method.scheme, field.name) for field in dataclasses.fields(method.scheme)}
        return {name: value for name, value in own.items() if eqx.is_array(value)}

    def write(self, numbers: Numbers, make: Make, scheme: AbstractScheme, kept: Mapping[str, Any] = {}) -> Parts:
        return Parts(make(), dataclasses.replace(scheme, **numbers), kept.get("step_size", 1.0))


class StepSize(AbstractKnobs):
    """The step size, or its schedule, and the law's own constants: the names of every other method."""

    step: ClassVar[str | None] = "step_size"

    def belongs(self, method: Described) -> bool:
        del method
        return True

    def read(self, method: Described) -> Numbers:
        return {"step_size": method.step_size} | method.dynamics.constants

    def write(self, numbers: Numbers, make: Make, scheme: AbstractScheme, kept: Mapping[str, Any] = {}) -> Parts:
        del kept
        law = make(**{name: value for name, value in numbers.items() if name != "step_size"})
        return Parts(law, scheme, numbers["step_size"])


def _fading(step: Any, time: Any) -> Any:
    """The share left after a step of what fades at a memory time; 0 where there is none."""
    return 0.0 if time is None else at_once(np.exp, at_once(np.negative, at_once(np.divide, step, time)))


LEARNING_RATE, LEARNING_RATE_AND_MOMENTUM = LearningRate(), LearningRateAndMomentum()
LEARNING_RATE_AND_BETAS, LEARNING_RATE_AND_BETA = LearningRateAndBetas(), LearningRateAndBeta()
OWN_NUMBERS, STEP_SIZE = OwnNumbers(), StepSize()
KNOBS: tuple[AbstractKnobs, ...] = (
    OWN_NUMBERS, LEARNING_RATE, LEARNING_RATE_AND_MOMENTUM, LEARNING_RATE_AND_BETAS, LEARNING_RATE_AND_BETA, STEP_SIZE,
)  # fmt: skip


def knobs_of(method: Described) -> AbstractKnobs:
    """The parametrisation that a method's numbers go by."""
    return next(knobs for knobs in KNOBS if knobs.belongs(method))


def changed(method: Described, changes: Mapping[str, Any]) -> Parts:
    """A method at other values of some of its numbers."""
    knobs = knobs_of(method)
    numbers = knobs.read(method)
    for name in changes:
        if name not in numbers:
            raise InputError(f"this method has no hyperparameter {name!r}{suggest(name, numbers)}")

    def make(**constants: Any) -> AbstractDynamics:
        return dataclasses.replace(method.dynamics, **constants) if constants else method.dynamics

    kept = method.dynamics.constants | {"step_size": method.step_size}
    return knobs.write(numbers | dict(changes), make, method.scheme, kept)


def check_pair(**values: Any) -> bool:
    """Refuse a learning rate or a momentum out of its range; tell whether there is nothing else to check."""
    if "learning_rate" in values:
        check_number("learning_rate", values["learning_rate"], above=0.0)
    if "momentum" in values:
        check_number("momentum", values["momentum"], at_least=0.0)
        check_number("momentum", values["momentum"], below=1.0 + 1e-15)
    return set(values) <= {"learning_rate", "momentum"}
