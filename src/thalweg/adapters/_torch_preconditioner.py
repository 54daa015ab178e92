"""The second moment of a running optimizer of torch, as the metric in which its curvature is measured."""

# pyright: reportPrivateImportUsage=false

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import InputError
from ._tensors import plain
from ._torch_adaptive import Adaptive
from ._torch_optimizer import Optimizer

_SUPPORTED = (torch.optim.Adam, torch.optim.NAdam, torch.optim.RMSprop)


class Preconditioner(NamedTuple):
    r"""Of every parameter $D^{-1/2}$ with $D = \sqrt{\hat v} + \varepsilon$, and the decay that is in its gradient."""

    roots: list[Tensor]
    decays: list[float]


class _Read(NamedTuple):
    """The way in which an optimizer makes D of an average."""

    average: str
    corrected: bool
    inside: bool
    decoupled: bool


@torch.no_grad()
def preconditioner(optimizer: Any, tensors: Sequence[Tensor]) -> Preconditioner:
    """Read what a running Adam, AdamW, NAdam or RMSprop, torch's or ours, divides a step by.

    Of a parameter that it has not moved yet the roots are 0.

    Raises:
        InputError: it is another optimizer, or one of the tensors is none of its own.
    """
    if not isinstance(optimizer, (*_SUPPORTED, Optimizer)):
        named = type(optimizer).__name__
        raise InputError(
            f"{named} keeps no average of squared gradients that is known here; leave out optimizer= for the plain "
            "curvature, or give an Adam, AdamW, NAdam or RMSprop, torch's or ours"
        )
    groups = {x: group for group in optimizer.param_groups for x in group["params"]}
    roots, decays = [], []
    for x in tensors:
        if x not in groups:
            raise InputError(f"the optimizer has no parameter of shape {tuple(x.shape)} that is given")
        group = groups[x]
        read, state = _how(optimizer, group), optimizer.state.get(x, {})
        if read.average not in state:
            # It does not move.
            roots.append(torch.zeros_like(x))
            decays.append(0.0)
            continue
        squares, filled = state[read.average], 1.0
        if group.get("centered"):
            squares = squares - state["grad_avg"] ** 2
        if read.corrected:
            filled = 1.0 - _beta2(group) ** float(plain(state["step"]))
        epsilon, v = plain(group["eps"]), squares / filled
        scale = torch.sqrt(v + epsilon) if read.inside else torch.sqrt(v) + epsilon
        if not bool(torch.all(scale > 0)):
            raise InputError("an entry of the second moment and epsilon are both 0: its gradient has been 0 so far")
        roots.append((1.0 / torch.sqrt(scale)).to(x.dtype))
        decays.append(0.0 if read.decoupled else float(plain(group["weight_decay"])))
    return Preconditioner(roots, decays)


def _how(optimizer: Any, group: dict[str, Any]) -> _Read:
    if isinstance(optimizer, Optimizer):
        adaptive = optimizer.adaptive
        if adaptive is None or not adaptive.squares:
            named = f"{type(optimizer.method.dynamics).__name__} by {type(optimizer.method.scheme).__name__}"
            way = "is a sign" if isinstance(adaptive, Adaptive) else "has all singular values near 1"
            form = f", whose direction {way}: no curvature sets a limit to its step" if adaptive else ""
            raise InputError(f"{named} keeps no average of squared gradients{form}; leave out optimizer=")
        assert isinstance(adaptive, Adaptive)
        law = adaptive.law
        return _Read(adaptive.averages[-1], law.corrected, law.form == "inside", adaptive.decoupled)
    if group.get("maximize"):
        raise InputError("the optimizer climbs (maximize=True); its curvature is of the loss that it descends")
    if isinstance(optimizer, torch.optim.RMSprop):
        return _Read("square_avg", False, False, False)
    average = "max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq"
    return _Read(average, True, False, bool(group.get("decoupled_weight_decay")))


def _beta2(group: dict[str, Any]) -> float:
    if "betas" in group:
        return plain(group["betas"][1])
    if "alpha" in group:
        return plain(group["alpha"])
    return math.exp(-group["clock"][2] / plain(group["second"]))
