"""The numbers of a running torch.optim.Muon."""

# pyright: reportPrivateImportUsage=false

from typing import Any

import torch

from .._dictionary.muon import MuonHyperparameters
from .._errors import InputError
from .._typed import typed
from ..geometry._newton_schulz import QUINTIC
from ._tensors import plain
from ._torch_dictionary import _chosen


@typed()
def muon_from_torch(
    optimizer: Any, group: int | None = None, batch_size: float | int | None = None
) -> MuonHyperparameters:
    """The numbers of a `torch.optim.Muon`: `tw.MuonHyperparameters.from_torch`."""
    # Torch has it since 2.9.
    if not isinstance(optimizer, getattr(torch.optim, "Muon", ())):
        raise InputError(f"optimizer must be a torch.optim.Muon, but is {optimizer!r}")
    found = [_read(g, batch_size) for g in _chosen(optimizer, group)]
    if any(h != found[0] for h in found):
        raise InputError(f"the {len(found)} groups have different settings; choose one with group=0, 1, ...")
    return found[0]


def _read(group: dict[str, Any], batch_size: float | int | None) -> MuonHyperparameters:
    if tuple(map(float, group["ns_coefficients"])) != QUINTIC:
        raise InputError(
            f"ns_coefficients must be {QUINTIC} to be read, but are {group['ns_coefficients']}; "
            "tw.muon(..., coefficients=) takes any"
        )
    return MuonHyperparameters(
        plain(group["lr"]), plain(group["momentum"]), bool(group["nesterov"]) and plain(group["momentum"]) > 0,
        scaling=group["adjust_lr_fn"] or "original", iterations=group["ns_steps"], batch_size=batch_size,
        weight_decay=plain(group["weight_decay"]),
    )  # fmt: skip
