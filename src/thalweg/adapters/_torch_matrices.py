"""Muon's flow by its splitting on the groups of a torch optimizer: matrices and all else in groups of their own."""

import dataclasses
from typing import Any

import torch

from .._errors import InputError, is_real
from .._methods.method import Method
from .._tree import copied
from ..dynamics import AdamFlow, MuonFlow
from ..schemes import LieTrotter
from ._linear import in_double
from ._spectral_kernel import Spectral
from ._tensors import plain
from ._torch_adaptive import Adaptive

_ADAM = "adam_"
# Numbers of a group that are of the one kind alone.
_OF_MATRICES = ("momentum", "beta")
_OF_OTHERS = ("betas", "beta1", "beta2", "alpha")


def adaptive_of(method: Method) -> "Adaptive | Muon | None":
    """The steps of a method that keeps averages; None of another."""
    found = Adaptive.of(method)
    if found is None and isinstance(method.dynamics, MuonFlow) and isinstance(method.scheme, LieTrotter):
        return Muon(method)
    return found


class Muon:
    r"""Steps of `tw.MuonFlow` by `tw.LieTrotter`: matrices by their polar factors, all else by Adam's flow.

    $$\Theta^+ = (1 - \alpha\lambda)\,\Theta - \alpha\,\kappa\,D(n)$$

    Every group is of one kind. That of matrices has `lr`, `momentum`, `eps`, `weight_decay`, and keeps torch's
    `momentum_buffer`; that of others is one of `Adaptive`. A group that is given with both becomes two.

    Arguments:
        method: the method, whose objective is not used.
    """

    squares, decoupled, convention = False, True, None

    def __init__(self, method: Method) -> None:
        law = method.dynamics
        assert isinstance(law, MuonFlow)
        own = dataclasses.replace(
            law, objective=None, decay=0.0 if law.decay is None else law.decay,
            others=AdamFlow(None, law.rate, epsilon=law.others.epsilon),
        )  # fmt: skip
        # A decay that a group gives is one as Muon has it.
        adam = dataclasses.replace(law.others, decay=0.0) if law.others.decay is None else law.others
        others = Adaptive.of(copied(method, dynamics=adam))
        assert others is not None
        found, values = in_double(copied(method, dynamics=own))
        epsilon = {"epsilon": others.defaults.get("eps", float(law.others.epsilon))}
        values = epsilon | {name: value for name, value in values.items() if not name.startswith(_ADAM)}
        self.matrices, self.others = Adaptive(found, values, Spectral.of(law)), others
        self.method, self.law, self.stacked = found, own, law.stacked
        self.defaults = self.matrices.defaults
        self.timed = self.matrices.timed or others.timed
        self.memory = tuple(dict.fromkeys(self.matrices.memory + others.memory))

    def part(self, group: dict[str, Any]) -> Adaptive:
        """The steps of a group, all of whose parameters are of one kind."""
        own = group.get("params")
        return self.others if own and not self._is_matrix(next(iter(own))) else self.matrices

    def check(self, group: dict[str, Any]) -> None:
        self.part(group).check(group)

    def step(self, group: dict[str, Any], state: Any) -> None:
        self.part(group).step(group, state)

    def groups(self, group: dict[str, Any]) -> list[dict[str, Any]]:
        """A group as it is given, by the names of torch, in one group or two.

        Raises:
            InputError: a matrix is complex, or a number is of the other kind.
        """
        given = group.get("params")
        if given is None or isinstance(given, set):
            # Which torch refuses.
            return [self.matrices.spelled(group)]
        given = [given] if isinstance(given, torch.Tensor) else list(given)
        matrices = [x for x in given if self._is_matrix(x)]
        others = [x for x in given if not self._is_matrix(x)]
        for x in map(_tensor, matrices):
            if isinstance(x, torch.Tensor) and x.is_complex():
                raise InputError(f"Muon moves matrices of real numbers, but one is of {x.dtype}; give its real parts")
        names = [name for name in group if name in _OF_OTHERS or name.startswith(_ADAM)]
        if not others and names:
            raise InputError(f"{names[0]} is of what is no matrix, and the group has matrices alone; leave it out")
        alone = [name for name in _OF_MATRICES if name in group]
        if given and not matrices and alone:
            raise InputError(f"{alone[0]} is of matrices, of which the group has none; Adam's are betas=(0.9, 0.999)")
        found = []
        if matrices or not others:
            found.append(
                self.matrices.spelled({k: v for k, v in group.items() if k not in names} | {"params": matrices})
            )
        if others:
            found.append(self._of_others(group, others, bool(matrices)))
        return found

    def _of_others(self, group: dict[str, Any], parameters: list[Any], both: bool) -> dict[str, Any]:
        """The group of what is no matrix; beside matrices the decay is theirs, and a learning rate that of both."""
        own = {name: value for name, value in group.items() if name not in _OF_MATRICES}
        if both:
            own.pop("weight_decay", None)
            rate = plain(own.get("lr"))
            if is_real(rate):
                own["lr"] = rate * (self.others.defaults["lr"] / self.matrices.defaults["lr"])
        prefixed = [name for name in own if name.startswith(_ADAM)]
        own |= {name.removeprefix(_ADAM): own.pop(name) for name in prefixed}
        return self.others.defaults | self.others.spelled(own | {"params": parameters})

    def _is_matrix(self, x: Any) -> bool:
        axes = getattr(_tensor(x), "ndim", 0)
        return axes == 2 or (self.stacked and axes > 2)


def _tensor(x: Any) -> Any:
    """The tensor of a parameter, which torch also takes with its name."""
    return x[1] if isinstance(x, tuple) and len(x) == 2 else x
