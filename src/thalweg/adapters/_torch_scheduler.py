"""Schedulers of torch at constant friction."""

# pyright: reportPrivateImportUsage=false

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from .._dictionary.conventions import Hyperparameters
from .._errors import InputError
from ._tensors import plain
from ._torch_dictionary import change, groups_of, moving, read
from ._torch_pending import BUFFER, KICK, forget, remember


class ConstantFriction:
    """A scheduler of torch, with a momentum that follows its learning rate so that the friction stays the same.

    Arguments:
        scheduler: any of `torch.optim.lr_scheduler`, on a `torch.optim.SGD` or an `Optimizer` of momentum. The friction
            is that of the group's momentum at its initial learning rate. Where the rate is 0 the motion stops, and
            begins again from rest.

    Raises:
        InputError: it is no scheduler, or one that changes the momentum itself (`cycle_momentum=False` helps).

    >>> import torch, thalweg as tw
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    >>> scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
    >>> scheduler = tw.adapters.torch.ConstantFriction(scheduler)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> [round(optimizer.param_groups[0][name], 4) for name in ("lr", "momentum")]
    [0.01, 0.9678]
    """

    def __init__(self, scheduler: Any) -> None:
        optimizer = getattr(scheduler, "optimizer", None)
        if not isinstance(optimizer, torch.optim.Optimizer) or not hasattr(scheduler, "step"):
            raise InputError(f"scheduler must be one of torch.optim.lr_scheduler, but is {scheduler!r}")
        for one in _within(scheduler):
            if getattr(one, "cycle_momentum", False):
                raise InputError(f"{type(one).__name__} changes the momentum itself; make it with cycle_momentum=False")
        self.scheduler, self.optimizer = scheduler, optimizer
        groups = groups_of(optimizer)
        first = [plain(group.get("initial_lr", group["lr"])) for group in groups]
        self._bases = [read(optimizer, group | {"lr": rate}) for group, rate in zip(groups, first, strict=True)]
        self._changed: list[_Changed] = []
        for group, base, rate in zip(groups, self._bases, first, strict=True):
            now = plain(group["lr"])
            if now == rate:
                continue
            before = _Changed.of(optimizer, group)
            group["lr"] = rate
            self._go_on(group, base, now)
            self._changed.append(before.done())

    def step(self, *arguments: Any, **keywords: Any) -> None:
        """Step the scheduler, with what it takes, then let momentum and buffers follow."""
        self._changed = []
        groups = self.optimizer.param_groups
        before = [plain(group["lr"]) for group in groups]
        self.scheduler.step(*arguments, **keywords)
        for group, base, was in zip(groups, self._bases, before, strict=True):
            rate, group["lr"] = plain(group["lr"]), was
            self._go_on(group, base, rate)

    def _go_on(self, group: dict[str, Any], base: Hyperparameters, rate: float) -> None:
        was = plain(group["lr"])
        if rate == was:
            return
        if rate == 0:
            group["lr"] = 0.0
            forget(self.optimizer, group)
            return
        new = base.retune(learning_rate=rate)
        if was == 0:
            group["lr"], group["momentum"] = new.learning_rate, new.momentum
            resting = moving(self.optimizer, group)
            for x in resting:
                self.optimizer.state[x][BUFFER].zero_()
            if resting:
                remember(group, 0.0)
            return
        change(self.optimizer, group, read(self.optimizer, group), new)

    def get_last_lr(self) -> list[float]:
        """The learning rates in use."""
        return [plain(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's state, the hyperparameters whose friction is kept, and those in use."""
        groups = self.optimizer.param_groups
        return {
            "scheduler": self.scheduler.state_dict(),
            "bases": [dataclasses.asdict(base) for base in self._bases],
            "groups": [{name: plain(group[name]) for name in ("lr", "momentum")} for group in groups],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; the optimizer's own is loaded apart, before or after this is made."""
        known = isinstance(state_dict, dict) and {"scheduler", "bases"} <= set(state_dict) <= set(self.state_dict())
        if not known or len(state_dict["bases"]) != len(self._bases):
            raise InputError("the state is not of a ConstantFriction on as many groups")
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self._bases = [Hyperparameters(**base) for base in state_dict["bases"]]
        # A scheduler that is made sets the rates anew, and this the buffers with them; the state knows better.
        for one in self._changed:
            one.undo(self.optimizer)
        self._changed = []
        for group, rates in zip(self.optimizer.param_groups, state_dict.get("groups", ()), strict=False):
            group.update({name: value for name, value in rates.items() if name in group})


def _within(scheduler: Any) -> Iterator[Any]:
    """A scheduler, and those that it is made of."""
    yield scheduler
    for one in getattr(scheduler, "_schedulers", ()):
        yield from _within(one)


@dataclasses.dataclass
class _Changed:
    """A group before it was changed, with what that moves; undone only where nobody has touched it since."""

    group: dict[str, Any]
    settings: dict[str, Any]
    tensors: list[tuple[Any, Any]]
    versions: list[int]

    @classmethod
    def of(cls, optimizer: Any, group: dict[str, Any]) -> "_Changed":
        tensors = [t for x in moving(optimizer, group) for t in (x, optimizer.state[x][BUFFER])]
        settings = {name: group[name] for name in (KICK, "momentum") if name in group}
        return cls(group, settings, [(t, t.detach().clone()) for t in tensors], [])

    def done(self) -> "_Changed":
        self.versions = [t._version for t, _ in self.tensors]
        return self

    @torch.no_grad()
    def undo(self, optimizer: Any) -> None:
        if not any(group is self.group for group in optimizer.param_groups):
            # The optimizer's state was loaded since.
            return
        for (tensor, before), version in zip(self.tensors, self.versions, strict=True):
            if tensor._version == version:
                tensor.copy_(before)
        forget(optimizer, self.group)
        self.group.update(self.settings)
