"""States of torch optimizers: ours as torch.optim.SGD reads it, and those of others told apart."""

from typing import Any

from .._errors import InputError
from ._tensors import plain
from ._torch_averages import KIND, check_group, check_memory
from ._torch_pending import BUFFER, KICK

# What a group of torch.optim.SGD holds besides, and what of it a method can be.
SGD = {"dampening": 0, "maximize": False, "differentiable": False}
OF_THE_METHOD = ("nesterov", *SGD)
# By these a group, or what is kept of a parameter, is known to be another optimizer's.
_FOREIGN_SETTINGS = ("betas", "eps", "etas", "lambd", "history_size")
_FOREIGN_MEMORY = (
    "step", "exp_avg", "exp_avg_sq", "exp_inf", "square_avg", "acc_delta", "sum", "ax", "prev", "row_var", "variance",
    "func_evals", BUFFER, "velocity",
)  # fmt: skip


def packed(state: dict[str, Any], convention: str | None) -> dict[str, Any]:
    """A state of ours with what torch.optim.SGD reads, where it is the same method, and without marks that say nothing.

    Arguments:
        state: what `torch.optim.Optimizer.state_dict` gives.
        convention: torch's name of the method, None where it has none.
    """
    for group in state["param_groups"]:
        if group.get(KICK, 0) is None:
            del group[KICK]
        if convention is not None:
            own = {"momentum": 0.0, "nesterov": convention == "nesterov", **SGD}
            group.update({name: value for name, value in own.items() if name not in group})
    return state


def checked(optimizer: Any, state_dict: Any) -> dict[str, Any]:
    """A state to load into an `Optimizer`; keys of a user's own stay in its groups.

    Raises:
        InputError: it is another optimizer's, or does not fit the parameters.
    """
    if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= set(state_dict):
        raise InputError("a state must be what an optimizer's state_dict() gives, with 'state' and 'param_groups'")
    groups = [dict(group) for group in state_dict["param_groups"]]
    for i, group in enumerate(groups):
        own = optimizer.param_groups[i] if i < len(optimizer.param_groups) else {}
        if optimizer.adaptive is None:
            _check_group(optimizer, group, own)
        else:
            check_group(optimizer.adaptive.part(own), group, own, optimizer.defaults)
    state = {
        index: {name: value for name, value in entry.items() if value is not None} if isinstance(entry, dict) else entry
        for index, entry in state_dict["state"].items()
    }
    parameters = [(x, group) for group in optimizer.param_groups for x in group["params"]]
    indices = [index for group in groups for index in group["params"]]
    for index, (x, group) in zip(indices, parameters, strict=False):
        if optimizer.adaptive is None:
            _check_memory(optimizer, state.get(index, {}), x)
        else:
            check_memory(optimizer.adaptive.part(group), state.get(index, {}), x)
    return {**state_dict, "state": state, "param_groups": groups}


def _check_group(optimizer: Any, group: dict[str, Any], own: dict[str, Any]) -> None:
    convention = optimizer.convention
    if KIND in group:
        raise InputError(f"the state is of another optimizer: {group[KIND]!r} of Adam's family")
    if convention is None and ("dampening" in group or "nesterov" in group):
        raise InputError("the state is of torch.optim.SGD, which is another method than this one")
    nesterov, has_momentum = convention == "nesterov", plain(group.get("momentum", 0.0)) != 0
    # Without momentum there is nothing to look ahead by.
    if group.pop("nesterov", nesterov) != nesterov and (has_momentum or convention != "descent"):
        raise InputError("the state is of torch.optim.SGD with another nesterov than this method's")
    for name, value in SGD.items():
        found = plain(group.pop(name, value))
        if found not in (value, None, False) and (has_momentum or name != "dampening"):
            raise InputError(f"the state is of an optimizer with a {name}, which no method has")
    missing = sorted({key for key in optimizer.names if key not in group})
    if missing:
        raise InputError(f"the state is of another optimizer: its groups have no {missing[0]!r}")
    foreign = [name for name in _FOREIGN_SETTINGS if name in group and name not in own]
    if foreign:
        raise InputError(f"the state is of another optimizer: its groups have {foreign[0]!r}")
    if "momentum" not in optimizer.names:
        # A scheduler that cycles the momentum turns descent into momentum, as it does SGD, and says so.
        if has_momentum and (convention != "descent" or not ("base_momentum" in group or plain(own.get("momentum")))):
            raise InputError(
                f"the state is of an optimizer with momentum {plain(group['momentum']):g}, which this method has not; "
                "take tw.momentum or tw.nesterov"
            )
        if "momentum" not in optimizer.defaults:
            group.pop("momentum", None)
    for name, default in optimizer.defaults.items():
        group.setdefault(name, default)


def _check_memory(optimizer: Any, entry: Any, parameter: Any) -> None:
    own = optimizer.buffers
    foreign = sorted(name for name in entry if name in _FOREIGN_MEMORY and name not in own)
    if foreign:
        kept = repr(own[0]) if own else "nothing"
        raise InputError(f"the state is of another optimizer: it keeps {foreign[0]!r}, this method {kept}")
    for name in own:
        if name in entry and entry[name].shape != parameter.shape:
            raise InputError(
                f"the state does not fit: a buffer has shape {tuple(entry[name].shape)} "
                f"where the parameter has {tuple(parameter.shape)}"
            )
