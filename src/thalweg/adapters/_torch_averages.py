"""States with averages: ours as torch.optim.Adam, NAdam, RMSprop and Muon read them, those of others told apart."""

from typing import TYPE_CHECKING, Any

import torch

from .._errors import InputError, is_real
from ._adaptive_kernel import wide
from ._tensors import plain

if TYPE_CHECKING:
    from ._torch_adaptive import Adaptive
    from ._torch_optimizer import Optimizer

# The mark of a state whose method has no name in torch.
KIND = "kind"
# What a group of torch's holds besides, and what of it a method can be; None is any.
_SHARED = {"maximize": False, "capturable": None, "differentiable": False}
_BESIDES: dict[str | None, dict[str, Any]] = {
    "Adam": {"amsgrad": False, **_SHARED},
    "NAdam": dict(_SHARED),
    "RMSprop": {"momentum": 0, "centered": False, **_SHARED},
    None: {},
}
_DECOUPLED = "decoupled_weight_decay"
OF_ADAM = ("amsgrad", "centered", "capturable", _DECOUPLED, "ns_coefficients", "ns_steps", "adjust_lr_fn")
# By one of these the group of a torch optimizer is known, also where its other names are those of another.
_MARK = {"Adam": "amsgrad", "NAdam": "momentum_decay", "RMSprop": "centered", "Muon": "ns_steps"}
# By these a group is known to be another optimizer's, where its own method has no such number.
_SETTINGS = (
    "amsgrad", "betas", "eps", "alpha", "momentum_decay", "momentum", "dampening", "nesterov", "centered", "rho",
    "lr_decay", "lambd", "etas", "history_size", "ns_steps",
)  # fmt: skip


def _besides(adaptive: "Adaptive") -> dict[str, Any]:
    if adaptive.spectral is None or adaptive.convention is None:
        return _BESIDES[adaptive.convention]
    return adaptive.spectral.settings(adaptive.scheme.nesterov) or {}


def packed_averages(state: dict[str, Any], optimizer: "Optimizer") -> dict[str, Any]:
    """A state of ours with what the optimizer of torch reads that is the same method.

    Arguments:
        state: what `torch.optim.Optimizer.state_dict` gives.
        optimizer: ours.
    """
    for group, own in zip(state["param_groups"], optimizer.param_groups, strict=True):
        assert optimizer.adaptive is not None
        adaptive = optimizer.adaptive.part(own)
        convention = adaptive.convention
        if convention is None:
            group[KIND] = adaptive.kind
            continue
        besides = {name: False if value is None else value for name, value in _besides(adaptive).items()}
        if convention in ("Adam", "NAdam"):
            besides[_DECOUPLED] = adaptive.decoupled
        group.update({name: value for name, value in besides.items() if name not in group})
    # Torch's own is a tensor; one of float32 would round a count that is not whole.
    kept = {
        i: {k: torch.tensor(v, dtype=torch.float64) if k == "step" else v for k, v in entry.items()}
        for i, entry in state["state"].items()
    }
    return {**state, "state": kept}


def check_group(adaptive: "Adaptive", group: dict[str, Any], own: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Refuse a saved group of another method; of one of this, leave what a group of ours holds.

    Raises:
        InputError: it is another's, or a number in it is out of its range.
    """
    convention = adaptive.convention
    besides = _besides(adaptive)
    missing = sorted(name for name in adaptive.defaults if name not in group)
    if not missing and convention is not None and _MARK[convention] not in group:
        missing = [_MARK[convention]]
    if missing:
        raise InputError(f"the state is of another optimizer: its groups have no {missing[0]!r}")
    # A scheduler that cycles a momentum leaves it in any group.
    known = {*adaptive.defaults, *besides, *own}
    foreign = [name for name in _SETTINGS if name in group and name not in known]
    if foreign:
        raise InputError(f"the state is of another optimizer: its groups have {foreign[0]!r}")
    kind = group.pop(KIND, None)
    if kind != adaptive.kind:
        named = f"of {kind!r}" if kind else "of an optimizer of torch" if adaptive.kind else "of another"
        raise InputError(f"the state is {named}, but this method is {adaptive.kind or convention!r}")
    if convention == "Muon":
        group |= {
            "ns_coefficients": tuple(group["ns_coefficients"]),
            "adjust_lr_fn": group["adjust_lr_fn"] or "original",
        }
    for name, value in besides.items():
        found = plain(group.pop(name, value))
        if value is not None and found not in (value, None):
            says = f"and the method with {value}" if convention == "Muon" else "which no method has"
            raise InputError(f"the state is of an optimizer with {name}={found}, {says}")
    decoupled = group.pop(_DECOUPLED, adaptive.decoupled)
    if decoupled != adaptive.decoupled and plain(group["weight_decay"]) != 0:
        says = "is decoupled" if decoupled else "is a part of the gradient"
        raise InputError(f"the weight decay of the state {says}, which that of this method is not")
    for name, default in defaults.items():
        group.setdefault(name, default)
    adaptive.check(group)


def check_memory(adaptive: "Adaptive", entry: dict[str, Any], parameter: Any) -> None:
    """Refuse what is kept of a parameter by another method, or of other shapes."""
    own = adaptive.memory
    if not entry:
        return
    if set(entry) != set(own):
        odd = min(set(entry) ^ set(own))
        keeps = "keeps" if odd in entry else "does not keep"
        raise InputError(f"the state is of another optimizer: it {keeps} {odd!r}, this method {_listed(own)}")
    for name in own:
        if name in adaptive.averages:
            shape = tuple(getattr(entry[name], "shape", ()))
            if shape != tuple(parameter.shape):
                raise InputError(
                    f"the state does not fit: {name} has shape {shape} where the parameter has {tuple(parameter.shape)}"
                )
        elif not is_real(plain(entry[name])):
            raise InputError(f"the state does not fit: {name} must be one number, but is {entry[name]!r}")


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(map(repr, names)) or "nothing"


def take_over(optimizer: Any, state_dict: dict[str, Any]) -> None:
    """Put back, as it was saved, what torch has rounded to the dtype of the parameters."""
    indices = [index for group in state_dict["param_groups"] for index in group["params"]]
    parameters = [x for group in optimizer.param_groups for x in group["params"]]
    parts = {x: optimizer.adaptive.part(group) for group in optimizer.param_groups for x in group["params"]}
    for index, x in zip(indices, parameters, strict=True):
        saved, entry = state_dict["state"].get(index), optimizer.state.get(x)
        if not saved or not entry:
            continue
        for name in parts[x].memory:
            if name in parts[x].averages:
                dtype = wide(x)
                if entry[name].dtype != dtype:
                    entry[name] = saved[name].to(device=x.device, dtype=dtype, copy=True)
            else:
                entry[name] = float(plain(saved[name]))
