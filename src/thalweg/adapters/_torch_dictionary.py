"""The dictionary of hyperparameters on running torch optimizers: read, and retuned in place."""

# pyright: reportPrivateImportUsage=false

import dataclasses
from typing import Any

import torch

from .._dictionary.adam import AdamHyperparameters
from .._dictionary.conventions import Hyperparameters
from .._errors import InputError, check_choice
from .._typed import typed
from ._linear import kick_of
from ._tensors import plain
from ._torch_optimizer import Optimizer
from ._torch_pending import BUFFER, KICK, dampening_of, forget, remember


@typed()
def from_torch(
    optimizer: Any, group: int | None = None, batch_size: float | int | None = None
) -> Hyperparameters | AdamHyperparameters:
    """The hyperparameters of a `torch.optim.SGD`, `Adam` or `AdamW`, or an `Optimizer` of the same:
    `tw.Hyperparameters.from_torch`."""
    if is_adam(optimizer):
        return adam_from_torch(optimizer, group, batch_size)
    found = [dataclasses.replace(read(optimizer, g), batch_size=batch_size) for g in _chosen(optimizer, group)]
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
) -> Hyperparameters | AdamHyperparameters:
    r"""Change the learning rate or the momentum of a running optimizer, and let it go on in the same motion.

    The friction stays as it is, so the other of the two follows (`tw.Hyperparameters.retune`). The buffers change to
    the velocity that the new steps expect; the next step's gradient, of which the last step took the share of its own
    kick k and not of the new one k', enters with the weight

    $$\frac{k' + \beta' k}{(1+\beta')k'},\qquad k = \frac{h}{1 + \lambda h/2}$$

    which together is `tw.Hyperparameters.carry`, of second order, without a gradient at hand. In Nesterov's method the
    parameters are $\theta + \beta v$ and move with $\beta v$. Until that step the group holds k, as `last_kick`, and
    saves it: where a `torch.optim.SGD` goes on from there, it does so with this module imported.

    Of Adam and AdamW the memory times stay, so that both betas follow the learning rate
    (`tw.AdamHyperparameters.retune`); its averages stay too, and its count of steps becomes the time that has passed in
    the new steps, so that what they are corrected by does.

    Arguments:
        optimizer: a `torch.optim.SGD`, `Adam` or `AdamW`, or an `Optimizer` of momentum, Nesterov's method, Adam or
            AdamW. Call it between two steps.
        hyperparameters: what to change to, for instance for another batch size; else one of the two that follow. Adam
            takes a learning rate alone.
        learning_rate, momentum: the new value of one of them.
        rule: "exact" or "square root", as in `tw.Hyperparameters.retune`.
        group: the index of the group to change; all of them, if not given.

    Returns:
        the new hyperparameters (of the first group that was changed).

    Raises:
        InputError: the optimizer is none of these, or there is nothing that keeps the friction.

    >>> import torch, thalweg as tw
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    >>> round(tw.adapters.torch.retune(optimizer, learning_rate=0.01).momentum, 4)
    0.9678
    >>> round(optimizer.param_groups[0]["momentum"], 4)
    0.9678
    """
    if is_adam(optimizer):
        if learning_rate is None or momentum is not None or hyperparameters is not None or rule != "exact":
            raise InputError("of Adam the learning rate is changed: retune(optimizer, learning_rate=...)")
        return _retune_adam(optimizer, learning_rate, group)
    chosen = _chosen(optimizer, group)
    changes = {name: v for name, v in (("learning_rate", learning_rate), ("momentum", momentum)) if v is not None}
    if (hyperparameters is None) == (not changes):
        raise InputError("retune takes new hyperparameters, or one of learning_rate and momentum")
    now = [read(optimizer, g) for g in chosen]
    if hyperparameters is None:
        then = [h.retune(rule=rule, **changes) for h in now]
    else:
        check_choice("rule", rule, ("exact",))
        then = [_fitting(hyperparameters, h, optimizer) for h in now]
    for g, old, new in zip(chosen, now, then, strict=True):
        change(optimizer, g, old, new)
    return then[0]


@typed()
def adam_from_torch(
    optimizer: Any, group: int | None = None, batch_size: float | int | None = None
) -> AdamHyperparameters:
    """The numbers of a `torch.optim.Adam` or `AdamW`, or ours: `tw.AdamHyperparameters.from_torch`."""
    if not is_adam(optimizer):
        raise InputError(f"optimizer must be a torch.optim.Adam or AdamW, or one of ours, but is {_named(optimizer)}")
    found = [_read_adam(optimizer, g, batch_size) for g in _chosen(optimizer, group)]
    if any(h != found[0] for h in found):
        raise InputError(f"the {len(found)} groups have different settings; choose one with group=0, 1, ...")
    return found[0]


def is_adam(optimizer: Any) -> bool:
    """Tell whether an optimizer is Adam or AdamW, torch's or ours."""
    if isinstance(optimizer, Optimizer):
        return optimizer.adaptive is not None and optimizer.adaptive.convention == "Adam"
    return isinstance(optimizer, torch.optim.Adam)


def _named(optimizer: Any) -> str:
    if not isinstance(optimizer, Optimizer):
        return f"a {type(optimizer).__name__}" if isinstance(optimizer, torch.optim.Optimizer) else repr(optimizer)
    return f"{type(optimizer.method.dynamics).__name__} by {type(optimizer.method.scheme).__name__}"


def _read_adam(optimizer: Any, group: dict[str, Any], batch_size: float | int | None) -> AdamHyperparameters:
    for name in ("amsgrad", "maximize"):
        if group.get(name):
            raise InputError(f"{name}=True makes another method of Adam, which has no such numbers; leave it out")
    decoupled = isinstance(optimizer, torch.optim.AdamW) or bool(group.get("decoupled_weight_decay"))
    if isinstance(optimizer, Optimizer) and optimizer.adaptive is not None:
        decoupled = optimizer.adaptive.decoupled
    beta1, beta2 = map(plain, group["betas"])
    return AdamHyperparameters(
        plain(group["lr"]), beta1, beta2, plain(group["eps"]), batch_size=batch_size,
        weight_decay=plain(group["weight_decay"]), coupled=not decoupled,
    )  # fmt: skip


def _retune_adam(optimizer: Any, learning_rate: float | int, group: int | None) -> AdamHyperparameters:
    """The averages stay, and the count of steps becomes the time that has passed in the new ones."""
    chosen = _chosen(optimizer, group)
    now = [_read_adam(optimizer, g, None) for g in chosen]
    then = [h.retune(learning_rate) for h in now]
    for g, old, new in zip(chosen, now, then, strict=True):
        for state in (optimizer.state[x] for x in g["params"] if x in optimizer.state):
            # A tensor of its own dtype and device, or a number as earlier versions of torch have it.
            state["step"] = state["step"] * 0.0 + old.carry(new, float(state["step"]))
        if isinstance(g["lr"], torch.Tensor):
            g["lr"].fill_(new.learning_rate)
        else:
            g["lr"] = new.learning_rate
        g["betas"] = (new.beta1, new.beta2)
    return then[0]


def groups_of(optimizer: Any) -> list[dict[str, Any]]:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(f"optimizer must be a torch.optim.SGD or a tw.adapters.torch.Optimizer, but is {optimizer!r}")
    if not optimizer.param_groups:
        raise InputError("the optimizer has no parameters")
    return optimizer.param_groups


def _chosen(optimizer: Any, group: int | None) -> list[dict[str, Any]]:
    groups = groups_of(optimizer)
    if group is None:
        return groups
    if not isinstance(group, int) or not 0 <= group < len(groups):
        raise InputError(f"group must be from 0 to {len(groups) - 1}, but is {group!r}")
    return groups[group : group + 1]


def read(optimizer: Any, group: dict[str, Any]) -> Hyperparameters:
    """One group's hyperparameters, in torch's convention."""
    if isinstance(optimizer, torch.optim.SGD):
        nesterov, dampening = bool(group["nesterov"]), dampening_of(group)
    elif isinstance(optimizer, Optimizer) and optimizer.convention is not None:
        nesterov, dampening = optimizer.convention == "nesterov", 0.0
    else:
        raise InputError(
            f"learning rate and momentum are read from SGD or from momentum and Nesterov, not from {_named(optimizer)}"
        )
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
def change(optimizer: Any, group: dict[str, Any], now: Hyperparameters, then: Hyperparameters) -> None:
    state, still = optimizer.state, moving(optimizer, group)
    if still and now.momentum and then.momentum:
        buffers = [state[x][BUFFER] for x in still]
        zeros = [torch.zeros_like(x) for x in still]
        parameters, carried = now.carry(then, list(still), buffers, zeros)
        torch._foreach_copy_(buffers, carried)
        if then.nesterov:
            torch._foreach_copy_(still, parameters)
        # Two changes before the next step are one.
        if group.get(KICK) is None:
            remember(group, kick_of(now.scale, now.momentum))
    elif not then.momentum:
        for x in still:
            del state[x][BUFFER]
        forget(optimizer, group)
    group["lr"] = then.learning_rate
    if "momentum" in group:
        group["momentum"] = then.momentum


def moving(optimizer: Any, group: dict[str, Any]) -> list[Any]:
    return [x for x in group["params"] if optimizer.state[x].get(BUFFER) is not None]
