"""One optimizer in every framework's words, with what it means."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._errors import InputError, check_number
from .._showing.modules import nearest
from .._typed import typed
from .adam import AdamHyperparameters, AdamPhysical
from .conventions import Hyperparameters
from .lion import LionHyperparameters, LionPhysical
from .memory import AbstractMemoryHyperparameters
from .muon import MuonHyperparameters, MuonPhysical
from .physical import Physical
from .spelling import FRAMEWORKS, FRAMEWORKS_OF_MEMORY, in_framework, spell, spell_memory

if TYPE_CHECKING:
    from .._methods.method import Method


@dataclasses.dataclass(frozen=True)
class Wording:
    """An optimizer in one framework's words.

    Attributes:
        framework: "torch", "optax", "keras", "ema" (optax's exponential average) or "thalweg".
        code: the line that makes it; None where there is no equivalent.
        why: the reason, if so; else what to know of it, if anything.
        hyperparameters: as the framework counts them; None where there is no equivalent.
        stable_up_to: the largest stable learning rate in the framework's units; None where no curvature was given.
    """

    framework: str
    code: str | None
    why: str
    hyperparameters: Hyperparameters | AdamHyperparameters | LionHyperparameters | MuonHyperparameters | None
    stable_up_to: float | None

    @property
    def as_line(self) -> str:
        """The code with what to know of it, or why there is none."""
        if self.code is None:
            return f"none: {self.why}"
        return f"{self.code}  # {self.why}" if self.why else self.code


@dataclasses.dataclass(frozen=True)
class Translation:
    r"""Result of `translate`.

    Attributes:
        hyperparameters: what was translated.
        physical: step, friction, temperature, look-ahead; of Adam, Lion and Muon step, memory times and decay.
        memory_steps: $1/(1-\beta)$, the mean age of the gradients in the velocity, or in Adam's average, in steps.
        effective_learning_rate: $a/(1-\beta) = h/\lambda$, what one gradient moves the parameters by in the end; None
            of Adam.
        relaxation_steps: steps in which the error along the curvature shrinks by e; None where none was given.
        wordings: one `Wording` a framework.
    """

    hyperparameters: Hyperparameters | AdamHyperparameters | LionHyperparameters | MuonHyperparameters
    physical: Physical | AdamPhysical | LionPhysical | MuonPhysical
    memory_steps: float
    effective_learning_rate: float | None
    relaxation_steps: float | None
    wordings: tuple[Wording, ...]

    @property
    def constants(self) -> dict[str, float | None]:
        """Constants that are the same in every framework, by name."""
        alike = ("memory_steps", "effective_learning_rate", "relaxation_steps")
        return dataclasses.asdict(self.physical) | {name: getattr(self, name) for name in alike}

    def as_list(self) -> list[dict[str, Any]]:
        """One dictionary a framework."""
        names = [field.name for field in dataclasses.fields(self.hyperparameters) if field.name != "convention"]
        return [
            {"framework": w.framework, "code": w.code, "why": w.why}
            | _short({name: getattr(w.hyperparameters, name, None) for name in names})
            | _short({"stable_up_to": w.stable_up_to} | self.constants)
            for w in self.wordings
        ]

    def __getitem__(self, framework: str) -> Wording:
        for wording in self.wordings:
            if wording.framework == framework:
                return wording
        raise KeyError(framework)

    def __repr__(self) -> str:
        from .._showing.text import number

        lines = [f"{w.framework:9} {w.as_line}" for w in self.wordings]
        known = [f"{name.replace('_', ' ')} {number(v)}" for name, v in self.constants.items() if v is not None]
        return "\n".join([*lines, "; ".join(known)])


@typed("hyperparameters")
def translate(
    hyperparameters: Hyperparameters | AdamHyperparameters | LionHyperparameters | MuonHyperparameters,
    curvature: float | Sequence[float] | None = None,
) -> Translation:
    r"""The same optimizer in every framework's words, ready to paste, and as a law of motion.

    Arguments:
        hyperparameters: in any convention, or `tw.AdamHyperparameters`, `tw.LionHyperparameters` or
            `tw.MuonHyperparameters`.
        curvature: $\ell$, or several; the stability limit and the relaxation time are for all of them. None of
            Adam, whose limit is one of the preconditioned curvature, nor of Lion and Muon, which have none.

    Returns:
        a `Translation`: prints itself; `["keras"].code`, `.physical`, `.as_list()`.

    Raises:
        InputError: the curvature is not finite and positive, or it is given with another optimizer than SGD.

    >>> import thalweg as tw
    >>> same = tw.translate(tw.Hyperparameters(0.1, 0.9, nesterov=True), curvature=4.0)
    >>> same["torch"].code
    'torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)'
    >>> round(same["torch"].stable_up_to, 6)  # (2 + 2 * 0.9) / (1 + 2 * 0.9) / 4
    0.339286
    """
    if isinstance(hyperparameters, AbstractMemoryHyperparameters):
        return _of_memory(hyperparameters, curvature)
    if not isinstance(hyperparameters, Hyperparameters):
        raise InputError(
            f"translate takes hyperparameters, such as tw.Hyperparameters(0.1, 0.9), but is given {hyperparameters!r}"
        )
    # Schemes take their numbers from this room, so that it cannot stand on the methods.
    from .._methods.probe import largest_stable_learning_rate, spectral_radius

    curvatures = [] if curvature is None else list(curvature) if isinstance(curvature, Sequence) else [curvature]
    for one in curvatures:
        check_number("curvature", one, above=0.0)
    h, method = hyperparameters, _method(hyperparameters)
    limit = largest_stable_learning_rate(method, curvatures) if curvatures else None
    radius = float(max(spectral_radius(method, curvatures))) if curvatures else None  # pyright: ignore
    return Translation(
        hyperparameters=h,
        physical=h.physical(),
        memory_steps=1.0 / (1.0 - h.momentum),
        effective_learning_rate=h.scale / (1.0 - h.momentum),
        relaxation_steps=None if radius is None else -1.0 / math.log(radius) if 0.0 < radius < 1.0 else math.inf,
        wordings=tuple(_worded(h, framework, limit) for framework in FRAMEWORKS),
    )


def _of_memory(h: Any, curvature: Any) -> Translation:
    if curvature is not None and isinstance(h, AdamHyperparameters):
        raise InputError(
            "a curvature of f tells no limit of Adam, but that of f over the root of its squares does: "
            "tw.analysis.largest_stable_learning_rate(hyperparameters.method(), preconditioned)"
        )
    if curvature is not None:
        raise InputError(
            f"a curvature of f tells no limit of {h.name}: its steps are as long as its learning rate, and end in "
            "circling a minimum at about that distance; leave out the curvature"
        )

    def worded(framework: str) -> Wording:
        try:
            code, why = spell_memory(h, framework)
            there = h.to(framework) if isinstance(h, MuonHyperparameters) and framework != "thalweg" else h
            return Wording(framework, code, why, there, None)
        except InputError as error:
            return Wording(framework, None, str(error), None, None)

    # Of Lion's two the second is of its average.
    slowest = h.betas_at(1.0)["beta2" if isinstance(h, LionHyperparameters) else next(iter(h.betas_at(1.0)))]
    wordings = tuple(map(worded, FRAMEWORKS_OF_MEMORY))
    return Translation(h, h.physical(), 1.0 / (1.0 - slowest), None, None, wordings)


def _short(numbers: dict[str, Any]) -> dict[str, Any]:
    """Numbers without the rounding of what led to them."""
    return {
        name: nearest(value, sys.float_info.epsilon) if isinstance(value, float) else value
        for name, value in numbers.items()
    }


def _worded(h: Hyperparameters, framework: str, limit: float | None) -> Wording:
    try:
        there = in_framework(h, framework)
        stable = None if limit is None else limit * there.learning_rate / there.scale
        return Wording(framework, spell(h, framework), "", there, stable)
    except InputError as error:
        return Wording(framework, None, str(error), None, None)


def _method(h: Hyperparameters) -> "Method":
    from .._methods.aliases import gradient_descent, momentum, nesterov

    if not h.momentum:
        return gradient_descent(None, h.scale)
    return (nesterov if h.nesterov else momentum)(None, h.scale, h.momentum)
