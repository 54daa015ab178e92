"""The numbers of Muon, and what they mean: a memory time; the way a weight lies, and what it is scaled by."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from .._errors import InputError, check_choice, check_count, check_number
from .._typed import typed
from .lion import numbers_of
from .memory import AbstractMemoryHyperparameters, fading, memory_time
from .shapes import SCALINGS, shape_factor

if TYPE_CHECKING:
    from .._methods.method import Method


class _Convention(NamedTuple):
    """Habits of a framework besides the numbers, in the words of `tw.MuonFlow`, and the scalings that it has."""

    layout: str
    corrected: bool
    iteration_dtype: str | None
    scalings: tuple[str, ...]


CONVENTIONS = {
    "torch": _Convention("out_in", False, "bfloat16", ("original", "match_rms_adamw")),
    "optax": _Convention("in_out", True, None, ("original", "match_rms_adamw")),
    "keras": _Convention("in_out", False, None, ("match_rms_adamw", "none")),
}


@dataclasses.dataclass(frozen=True)
class MuonPhysical:
    r"""Muon as a law of motion, `tw.MuonFlow` at the rate 1, and its step.

    Attributes:
        step: h, the time of one step: the learning rate.
        first: $\tau$, the memory time of the gradient; None for no memory.
        decay: $\lambda$, what the matrices lose of themselves in a unit of time.
    """

    step: float | int
    first: float | int | None
    decay: float | int = 0.0

    def __post_init__(self) -> None:
        check_number("step", self.step, above=0.0)
        if self.first is not None:
            check_number("first", self.first, above=0.0)
        check_number("decay", self.decay, at_least=0.0)


@dataclasses.dataclass(frozen=True)
class MuonHyperparameters(AbstractMemoryHyperparameters):
    r"""The numbers of Muon, those of its matrices, in a framework's convention.

    $$m^+ = \beta m + (1-\beta)g,\qquad \theta^+ = \theta - \alpha\bigl(\kappa\,D(n) + \omega\theta\bigr)$$

    with n the average, or with `nesterov` $\beta m^+ + (1-\beta)g$, and $\kappa$ from the shape: `factor`. Weights lie
    (out, in) in torch, (in, out) in optax and keras. Optax corrects its average for the start, the others do not: with
    `nesterov` their first steps, about $1/(1-\beta)$, differ from optax's. Torch iterates in bfloat16.

    Arguments:
        learning_rate: $\alpha > 0$.
        beta: $0 \le \beta < 1$, `momentum` in torch and keras.
        nesterov: the average looks ahead by one more of the same gradient.
        scaling: "original", "match_rms_adamw" or "none", as in `tw.MuonFlow`.
        iterations: of Newton and Schulz.
        batch_size: samples a step.
        weight_decay: $\omega \ge 0$, decoupled and times the learning rate; its default is 0.1 in torch, 0.004 in
            keras, 0 in optax.
        convention: "torch", "optax" or "keras".

    Raises:
        InputError: a number is out of its range, or a name is unknown.

    >>> import thalweg as tw
    >>> torch = tw.MuonHyperparameters(0.02, 0.95)
    >>> torch.factor((8, 2)), torch.to("optax").factor((2, 8))  # the same weight, from 2 inputs to 8 outputs
    (2.0, 2.0)
    >>> torch.to("optax", shape=(8, 2), transposed=False).learning_rate  # an Equinox weight, (8, 2) in optax too
    0.04

    Reference: Jordan et al. (2024).
    """

    beta: float | int = 0.95
    nesterov: bool = True
    scaling: str = dataclasses.field(default="original", kw_only=True)
    iterations: int = dataclasses.field(default=5, kw_only=True)
    convention: str = dataclasses.field(default="torch", kw_only=True)

    name: ClassVar[str] = "Muon"
    betas: ClassVar[tuple[str, ...]] = ("beta",)

    def _check(self) -> None:
        check_choice("convention", self.convention, CONVENTIONS)
        check_choice("scaling", self.scaling, SCALINGS)
        check_count("iterations", self.iterations)
        if not isinstance(self.nesterov, bool):
            raise InputError(f"nesterov must be True or False, but is {self.nesterov!r}")
        if self.nesterov and not self.beta > 0:
            raise InputError("nesterov needs a beta above 0, or there is no average to look ahead")

    @property
    def memory_times(self) -> dict[str, float | None]:
        return {"memory time": memory_time(self.beta, self.learning_rate)}

    def physical(self) -> MuonPhysical:
        r"""The same as a law of motion and its step: $h = \alpha$, $\tau = -\alpha/\ln\beta$.

        The unit of time is that in which a singular value moves by $\kappa$ where its gradient stays.
        """
        first = memory_time(self.beta, self.learning_rate)
        return MuonPhysical(float(self.learning_rate), first, float(self.weight_decay))

    @classmethod
    @typed()
    def from_physical(
        cls, physical: MuonPhysical, batch_size: float | int | None = None, **options: Any
    ) -> "MuonHyperparameters":
        """The inverse of `physical`.

        Arguments:
            physical: the constants.
            batch_size: samples a step.
            options: nesterov, scaling, iterations or convention of the result.
        """
        beta, decay = fading(physical.step, physical.first), float(physical.decay)
        return cls(float(physical.step), beta, batch_size=batch_size, weight_decay=decay, **options)

    @typed()
    def factor(self, shape: Sequence[int]) -> float:
        r"""$\kappa$ of a weight that lies so, of this shape.

        Arguments:
            shape: of a matrix, (rows, columns).

        Raises:
            InputError: it is no shape of a matrix.
        """
        if len(shape) != 2 or not all(isinstance(size, int) and size > 0 for size in shape):
            raise InputError(f"shape must be that of a matrix, (rows, columns), but is {shape!r}")
        rows, columns = shape
        return shape_factor((rows, columns), CONVENTIONS[self.convention].layout, self.scaling)

    @typed()
    def to(
        self,
        convention: str,
        *,
        scaling: str | None = None,
        shape: Sequence[int] | None = None,
        transposed: bool = True,
    ) -> "MuonHyperparameters":
        r"""The same optimizer in another convention.

        Where $\kappa$ becomes another, for a weight of one shape, the learning rate makes up for it, and the decay for
        the learning rate: $\alpha' = \alpha\kappa/\kappa'$, $\omega' = \omega\alpha/\alpha'$.

        Arguments:
            convention: "torch", "optax" or "keras".
            scaling: of the result; the same, if not given.
            shape: of the weight as it lies here; needed where $\kappa$ becomes another.
            transposed: whether the weight is turned where the frameworks' layouts differ, as in a model that is
                rewritten; or lies there as it does here, as an Equinox weight, (out, in), in optax.

        Raises:
            InputError: the framework has no such scaling, or a shape is needed.
        """
        check_choice("convention", convention, CONVENTIONS)
        chosen, known = scaling or self.scaling, CONVENTIONS[convention].scalings
        if chosen not in known:
            raise InputError(
                f"{convention} has no scaling {chosen!r}; of weights of one shape it is one of {', '.join(known)} at "
                f"another learning rate: to({convention!r}, scaling={known[0]!r}, shape=(rows, columns))"
            )
        there = dataclasses.replace(self, convention=convention, scaling=chosen)
        turned = CONVENTIONS[convention].layout != CONVENTIONS[self.convention].layout
        if chosen == self.scaling and (transposed or not turned or chosen != "original"):
            return there
        if shape is None:
            raise InputError("what the shape makes of a step becomes another, by the shape; give shape=(rows, columns)")
        other = tuple(reversed(shape)) if turned and transposed else shape
        ratio = self.factor(shape) / there.factor(other)
        return dataclasses.replace(
            there, learning_rate=ratio * self.learning_rate, weight_decay=self.weight_decay / ratio
        )

    def method(self, objective: Any = None) -> "Method":
        """The `tw.Method` of these numbers on an objective, None for an adapter; of what is no matrix as it comes."""
        from .._methods.muon import muon

        own = CONVENTIONS[self.convention]
        return muon(
            objective, self.learning_rate, self.beta, self.weight_decay, self.nesterov, layout=own.layout,
            scaling=self.scaling, iterations=self.iterations, corrected=own.corrected,
            iteration_dtype=own.iteration_dtype,
        )  # fmt: skip

    @classmethod
    @typed()
    def from_method(cls, method: Any) -> "MuonHyperparameters":
        """Read the numbers of a `tw.muon` that is as a framework has it.

        Raises:
            InputError: the method is another one, its learning rate is a schedule, or no framework has its like.
        """
        from .._methods.method import Method
        from ..dynamics import MuonFlow
        from ..schemes import LieTrotter

        law = method.dynamics if isinstance(method, Method) else None
        if not (isinstance(law, MuonFlow) and isinstance(method.scheme, LieTrotter)):
            raise InputError(f"Muon's numbers are read from tw.muon, not from {method!r}")
        own = (law.layout, law.corrected, law.iteration_dtype)
        convention = next((name for name, known in CONVENTIONS.items() if known[:3] == own), None)
        if convention is None or law.iterations is None or law.stacked or law.coefficients.ndim > 1:
            raise InputError(
                "no framework has Muon in this layout, correction and iteration; torch's is layout='out_in', "
                "corrected=False, iteration_dtype='bfloat16', optax's is tw.muon as it comes"
            )
        read = numbers_of(method)
        return cls(
            read["learning_rate"], read["beta"], method.scheme.nesterov, scaling=law.scaling, convention=convention,
            iterations=law.iterations, weight_decay=read.get("weight_decay", 0.0),
        )  # fmt: skip

    @classmethod
    @typed()
    def from_torch(
        cls, optimizer: Any, group: int | None = None, batch_size: float | int | None = None
    ) -> "MuonHyperparameters":
        """Read what a `torch.optim.Muon` is set to now.

        Arguments:
            optimizer: the optimizer.
            group: the index of a parameter group; needed where the groups differ.
            batch_size: samples a step, which the optimizer does not know.

        Raises:
            InputError: the optimizer is another one, its groups differ, or its coefficients are its own.

        >>> import torch, thalweg as tw
        >>> optimizer = torch.optim.Muon([torch.nn.Parameter(torch.ones(2, 2))], lr=0.02)
        >>> tw.MuonHyperparameters.from_torch(optimizer).weight_decay
        0.1
        """
        from ..adapters.torch import muon_from_torch

        return muon_from_torch(optimizer, group, batch_size)
