"""The dictionary of hyperparameters on running torch optimizers: read, retuned in place, scheduled."""

# pyright: reportPrivateImportUsage=false

import dataclasses
from typing import Any

import torch

from .._dictionary.conventions import Hyperparameters
from .._errors import InputError, check_choice
from .._typed import typed
from ._linear import kick_of, weight_of_change
from ._tensors import plain
from ._torch_optimizer import Optimizer

_BUFFER = "momentum_buffer"


@typed()
def from_torch(optimizer: Any, group: int | None = None, batch_size: float | int | None = None) -> Hyperparameters:
    """The hyperparameters of a `torch.optim.SGD` or an `Optimizer` of momentum: `tw.Hyperparameters.from_torch`."""
    found = [dataclasses.replace(_read(optimizer, g), batch_size=batch_size) for g in _chosen(optimizer, group)]
    if any(h != found[0] for h in found):
        raise InputError(f"the {len(found)} groups have different settings; choose one with group=0, 1, ...")
    return found[0]


@typed()
def retune(
    optimizer: Any,
    hyperparameters: Hyperparameters | None = None,
    *,
    learning_rate: float | int | None = None,
    momentum: float | int | None = None,
    rule: str = "exact",
    group: int | None = None,
) -> Hyperparameters:
    r"""Change the learning rate or the momentum of a running optimizer, and let it go on in the same motion.

    The friction stays as it is, so the other of the two follows (`tw.Hyperparameters.retune`). The buffers change to
    the velocity that the new steps expect; the next step's gradient, of which the last step took the share of its own
    kick k and not of the new one k', enters with the weight

    $$\frac{k' + \beta' k}{(1+\beta')k'},\qquad k = \frac{h}{1 + \lambda h/2}$$

    which together is `tw.Hyperparameters.carry`, of second order, without a gradient at hand. In Nesterov's method the
    parameters are $\theta + \beta v$ and move with $\beta v$.

    Arguments:
        optimizer: a `torch.optim.SGD` or an `Optimizer` of momentum or Nesterov's method. Call it between two steps.
        hyperparameters: what to change to, for instance for another batch size; else one of the two that follow.
        learning_rate, momentum: the new value of one of them.
        rule: "exact" or "square root", as in `tw.Hyperparameters.retune`.
        group: the index of the group to change; all of them, if not given.

    Returns:
        the new hyperparameters (of the first group that was changed).

    Raises:
        InputError: the optimizer is none of the two, or there is nothing that keeps the friction.

    >>> import torch, thalweg as tw
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    >>> round(tw.adapters.torch.retune(optimizer, learning_rate=0.01).momentum, 4)
    0.9678
    >>> round(optimizer.param_groups[0]["momentum"], 4)
    0.9678
    """
    chosen = _chosen(optimizer, group)
    changes = {name: v for name, v in (("learning_rate", learning_rate), ("momentum", momentum)) if v is not None}
    if (hyperparameters is None) == (not changes):
        raise InputError("retune takes new hyperparameters, or one of learning_rate and momentum")
    now = [_read(optimizer, g) for g in chosen]
    if hyperparameters is None:
        then = [h.retune(rule=rule, **changes) for h in now]
    else:
        check_choice("rule", rule, ("exact",))
        then = [_fitting(hyperparameters, h, optimizer) for h in now]
    for g, old, new in zip(chosen, now, then, strict=True):
        _change(optimizer, g, old, new)
    return then[0]


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
        if getattr(scheduler, "cycle_momentum", False):
            raise InputError(
                f"{type(scheduler).__name__} changes the momentum itself; make it with cycle_momentum=False"
            )
        self.scheduler, self.optimizer = scheduler, optimizer
        groups = _groups(optimizer)
        first = [plain(group.get("initial_lr", group["lr"])) for group in groups]
        self._bases = [_read(optimizer, group | {"lr": rate}) for group, rate in zip(groups, first, strict=True)]
        for group, base, rate in zip(groups, self._bases, first, strict=True):
            now, group["lr"] = plain(group["lr"]), rate
            self._go_on(group, base, now)

    def step(self, *arguments: Any) -> None:
        """Step the scheduler, then let momentum and buffers follow."""
        groups = self.optimizer.param_groups
        before = [plain(group["lr"]) for group in groups]
        self.scheduler.step(*arguments)
        for group, base, was in zip(groups, self._bases, before, strict=True):
            rate, group["lr"] = plain(group["lr"]), was
            self._go_on(group, base, rate)

    def _go_on(self, group: dict[str, Any], base: Hyperparameters, rate: float) -> None:
        was = plain(group["lr"])
        if rate == was:
            return
        if rate == 0:
            group["lr"] = 0.0
            return
        new = base.retune(learning_rate=rate)
        if was == 0:
            group["lr"], group["momentum"] = new.learning_rate, new.momentum
            resting = _moving(self.optimizer, group)
            for x in resting:
                self.optimizer.state[x][_BUFFER].zero_()
            if resting:
                _remember(self.optimizer, group, 0.0)
            return
        _change(self.optimizer, group, _read(self.optimizer, group), new)

    def get_last_lr(self) -> list[float]:
        """The learning rates in use."""
        return [plain(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's state and the hyperparameters whose friction is kept."""
        return {"scheduler": self.scheduler.state_dict(), "bases": [dataclasses.asdict(base) for base in self._bases]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; the optimizer's own is loaded apart."""
        if set(state_dict) != {"scheduler", "bases"} or len(state_dict["bases"]) != len(self._bases):
            raise InputError("the state is not of a ConstantFriction on as many groups")
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self._bases = [Hyperparameters(**base) for base in state_dict["bases"]]


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(f"optimizer must be a torch.optim.SGD or a tw.adapters.torch.Optimizer, but is {optimizer!r}")
    if not optimizer.param_groups:
        raise InputError("the optimizer has no parameters")
    return optimizer.param_groups


def _chosen(optimizer: Any, group: int | None) -> list[dict[str, Any]]:
    groups = _groups(optimizer)
    if group is None:
        return groups
    if not isinstance(group, int) or not 0 <= group < len(groups):
        raise InputError(f"group must be from 0 to {len(groups) - 1}, but is {group!r}")
    return groups[group : group + 1]


def _read(optimizer: Any, group: dict[str, Any]) -> Hyperparameters:
    """One group's hyperparameters, in torch's convention."""
    if isinstance(optimizer, torch.optim.SGD):
        nesterov, dampening = bool(group["nesterov"]), group["dampening"]
    elif isinstance(optimizer, Optimizer) and optimizer.convention is not None:
        nesterov, dampening = optimizer.convention == "nesterov", 0.0
    else:
        what = f"a {type(optimizer).__name__}"
        if isinstance(optimizer, Optimizer):
            method = optimizer.method
            what = f"{type(method.dynamics).__name__} by {type(method.scheme).__name__}"
        raise InputError(f"learning rate and momentum are read from SGD or from momentum and Nesterov, not from {what}")
    return Hyperparameters(
        plain(group["lr"]), plain(group.get("momentum", 0.0)), nesterov and plain(group["momentum"]) > 0,
        plain(dampening), weight_decay=plain(group["weight_decay"]),
    )  # fmt: skip


def _fitting(new: Any, now: Hyperparameters, optimizer: Any) -> Hyperparameters:
    if not isinstance(new, Hyperparameters):
        raise InputError(f"hyperparameters must be tw.Hyperparameters, but is {new!r}")
    new = new.to("torch", running=True)
    if new.nesterov != now.nesterov or new.weight_decay != now.weight_decay:
        raise InputError("the new hyperparameters must agree with the old in nesterov and weight_decay")
    if new.dampening != now.dampening:
        scale = new.scale / (1.0 - now.dampening)
        new = dataclasses.replace(new, dampening=now.dampening, learning_rate=scale)
    return new


@torch.no_grad()
def _change(optimizer: Any, group: dict[str, Any], now: Hyperparameters, then: Hyperparameters) -> None:
    state, moving = optimizer.state, _moving(optimizer, group)
    if moving and now.momentum and then.momentum:
        buffers = [state[x][_BUFFER] for x in moving]
        zeros = [torch.zeros_like(x) for x in moving]
        parameters, carried = now.carry(then, list(moving), buffers, zeros)
        torch._foreach_copy_(buffers, carried)
        if then.nesterov:
            torch._foreach_copy_(moving, parameters)
        # Two changes before the next step are one.
        if group.get("last_kick") is None:
            _remember(optimizer, group, kick_of(now.scale, now.momentum))
    elif not then.momentum:
        for x in moving:
            del state[x][_BUFFER]
    group["lr"] = then.learning_rate
    if "momentum" in group:
        group["momentum"] = then.momentum


def _moving(optimizer: Any, group: dict[str, Any]) -> list[Any]:
    return [x for x in group["params"] if optimizer.state[x].get(_BUFFER) is not None]


def _remember(optimizer: Any, group: dict[str, Any], kick: float) -> None:
    """Let the next step know the kick of the last; torch's own learns it by its dampening, for that one step."""
    group["last_kick"] = kick
    if not isinstance(optimizer, torch.optim.SGD):
        return

    def before(optimizer: Any, arguments: Any, keywords: Any) -> None:
        del optimizer, arguments, keywords
        share = 1.0 - group["dampening"]
        weight = weight_of_change(kick, plain(group["lr"]) * share, plain(group["momentum"]))
        restored.append(group["dampening"])
        group["dampening"] = 1.0 - share * weight

    def after(optimizer: Any, arguments: Any, keywords: Any) -> None:
        del optimizer, arguments, keywords
        group["dampening"] = restored.pop()
        group["last_kick"] = None
        for handle in handles:
            handle.remove()

    restored: list[Any] = []
    handles = [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]
