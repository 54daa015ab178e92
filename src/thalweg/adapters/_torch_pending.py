"""The first gradient after a change of a running optimizer, of which the last step took another share."""

from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ._linear import weight_of_change
from ._tensors import plain

KICK = "last_kick"
BUFFER = "momentum_buffer"


def remember(group: dict[str, Any], kick: float) -> None:
    """Let the next step of a group know the kick of the last; it is saved with the group, and gone after that step."""
    group[KICK] = kick


def dampening_of(group: dict[str, Any]) -> Any:
    """The dampening that a group was given, also where a step that raised has left its own."""
    mark = group.get(KICK)
    return mark[1] if isinstance(mark, tuple | list) else plain(group["dampening"])


def forget(optimizer: Any, group: dict[str, Any]) -> None:
    """Leave no mark of a change."""
    if isinstance(optimizer, torch.optim.SGD):
        group["dampening"] = dampening_of(group)
        group.pop(KICK, None)
    elif KICK in group:
        group[KICK] = None


def _before(optimizer: Any, arguments: Any, keywords: Any) -> None:
    """Torch's own SGD weighs the gradient by its dampening, for that one step."""
    del arguments, keywords
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        mark = group.get(KICK)
        if mark is None:
            group.pop(KICK, None)
            continue
        # A step that raised left its own dampening; the group's is beside the kick.
        kick, dampening = mark[0] if isinstance(mark, tuple | list) else mark, dampening_of(group)
        share, rate = 1.0 - dampening, plain(group["lr"])
        if rate > 0:
            weight = weight_of_change(kick, rate * share, plain(group["momentum"]))
            group[KICK], group["dampening"] = (kick, dampening), 1.0 - share * weight


def _after(optimizer: Any, arguments: Any, keywords: Any) -> None:
    del arguments, keywords
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        mark = group.get(KICK)
        if not isinstance(mark, tuple | list):
            continue
        kick, group["dampening"] = mark
        group[KICK] = kick
        # A scaler of gradients has its kernel leave out a step whose gradients overflowed.
        found = getattr(optimizer, "found_inf", None)
        if (found is None or not found.item()) and any(x.grad is not None for x in group["params"]):
            del group[KICK]


# Of every optimizer, since one that has loaded or copied the groups of another has none of its hooks.
register_optimizer_step_pre_hook(_before)
register_optimizer_step_post_hook(_after)
