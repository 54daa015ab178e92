"""One step of Adam's flow by its splitting, on lists of torch tensors."""

# The foreach functions of torch are documented by their use in torch.optim alone.
# pyright: reportPrivateImportUsage=false

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ._tensors import FUSED, LARGE

# An average that moves by a thousandth of itself is lost in half a precision.
_WIDE = {torch.bfloat16: torch.float32, torch.float16: torch.float32}
# Several passes over so many numbers, and what is kept of each, find them in the cache of a processor.
_CACHED = 1 << 17
# The kernels of torch take the count of steps in float32.
_COUNTED = 1 << 24


@dataclasses.dataclass(frozen=True)
class Kick:
    r"""The numbers of one step, whose direction is n over the root of the squares.

    Attributes:
        rate: $\alpha$.
        beta1, beta2: of the averages.
        epsilon: $\varepsilon$.
        decay: $\lambda$, part of the gradient where it is not `decoupled`.
        mean, gradient: what the new average and the newest gradient count for in n.
        filled: what has come into the average of the squares.
        count: k, where the step is that of torch's Adam; else None.
        form: as of `tw.AdamFlow`.
    """

    rate: float
    beta1: float
    beta2: float
    epsilon: float
    decay: float
    decoupled: bool
    mean: float
    gradient: float
    filled: float
    count: float | None
    form: str


def wide(x: Tensor) -> torch.dtype:
    """The dtype of the averages of a parameter."""
    return _WIDE.get(x.dtype, x.dtype)


def pieces(parameters: list[Tensor]) -> Iterator[slice]:
    """Cuts of a list such that the passes over one find it in the cache; on an accelerator one."""
    begin = size = 0
    sizes = [x.numel() for x in parameters]
    if sum(sizes) <= 4 * _CACHED or parameters[0].device.type != "cpu":
        yield slice(None)
        return
    for end, own in enumerate(sizes, start=1):
        size += own
        if size >= _CACHED or end == len(sizes):
            yield slice(begin, end)
            begin, size = end, 0


def move(
    kick: Kick, parameters: list[Tensor], gradients: list[Tensor], mean: list[Tensor] | None,
    squares: list[Tensor] | None, fused: bool | None,
) -> None:  # fmt: skip
    """Make the step in place; the gradients stay as they are.

    Arguments:
        kick: its numbers.
        parameters, gradients: of one dtype.
        mean, squares: the averages; None where there is none.
        fused: in the one kernel that torch has for Adam, where it is one; None for where it is faster, too.
    """
    gradients = [g.to_dense() if g.is_sparse else g for g in gradients]
    if mean is not None and squares is not None and _fusible(kick, parameters, gradients, mean, squares, fused):
        # Only read.
        counts = [torch.tensor(kick.count, dtype=torch.float32, device=parameters[0].device)] * len(parameters)
        make = torch._fused_adamw_ if kick.decoupled else torch._fused_adam_
        make(
            parameters, gradients, mean, squares, [], counts, lr=kick.rate, beta1=kick.beta1, beta2=kick.beta2,
            weight_decay=kick.decay, eps=kick.epsilon, amsgrad=False, maximize=False,
        )  # fmt: skip
        return
    for part in pieces(parameters):
        own = [None if some is None else some[part] for some in (mean, squares)]
        _move(kick, parameters[part], gradients[part], *own)


def _fusible(
    kick: Kick, parameters: list[Tensor], gradients: list[Tensor], mean: list[Tensor], squares: list[Tensor],
    fused: bool | None,
) -> bool:  # fmt: skip
    first = parameters[0]
    if kick.count is None or fused is False or not (kick.count.is_integer() and kick.count < _COUNTED):
        return False
    kind, device = first.dtype, first.device
    if fused is None and device.type == "cpu" and sum([x.numel() for x in parameters]) < LARGE * len(parameters):
        return False
    # The kernel takes the memory as it lies.
    return (
        kind in FUSED
        and kind not in _WIDE
        and device.type in ("cpu", "cuda")
        and all(
            x.dtype is kind and x.device == device and x.is_contiguous()
            for xs in (parameters, gradients, mean, squares)
            for x in xs
        )
    )


def _move(
    kick: Kick, parameters: list[Tensor], gradients: list[Tensor], mean: list[Tensor] | None,
    squares: list[Tensor] | None,
) -> None:  # fmt: skip
    xs, gs, dtype = parameters, gradients, wide(parameters[0])
    if dtype is not parameters[0].dtype:
        # Rounded once, at the end.
        xs, gs = [x.to(dtype) for x in xs], [g.to(dtype) for g in gs]
    if dtype.is_complex:
        xs, gs, mean, squares = (
            None if some is None else [torch.view_as_real(x) for x in some] for some in (xs, gs, mean, squares)
        )
        assert xs is not None and gs is not None
    if kick.decay and kick.decoupled:
        torch._foreach_mul_(xs, 1.0 - kick.rate * kick.decay)
    elif kick.decay:
        gs = list(torch._foreach_add(gs, xs, alpha=kick.decay))
    if mean is not None:
        torch._foreach_lerp_(mean, gs, 1.0 - kick.beta1)
    top, size = _numerator(kick, gs, mean)
    if squares is not None:
        torch._foreach_mul_(squares, kick.beta2)
        torch._foreach_addcmul_(squares, gs, gs, 1.0 - kick.beta2)
        # The correction scales what it is added to and not each square: a pass less.
        root = math.sqrt(kick.filled)
        if kick.form == "inside":
            bottom = torch._foreach_add(squares, kick.epsilon * kick.filled)
            torch._foreach_sqrt_(bottom)
        else:
            bottom = torch._foreach_sqrt(squares)
            torch._foreach_add_(bottom, kick.epsilon * root)
        torch._foreach_addcdiv_(xs, top, bottom, -kick.rate * size * root)
    elif kick.form == "sign":
        torch._foreach_add_(xs, torch._foreach_sign(top), alpha=-math.copysign(kick.rate, size))
    else:
        torch._foreach_add_(xs, top, alpha=-kick.rate * size)
    if dtype is not parameters[0].dtype:
        torch._foreach_copy_(parameters, xs)


def _numerator(kick: Kick, gradients: list[Tensor], mean: list[Tensor] | None) -> tuple[list[Tensor], float]:
    """The combination n, up to a factor that stands beside it."""
    if mean is None:
        return gradients, 1.0
    if kick.gradient == 0.0:
        return mean, kick.mean
    if kick.mean == 0.0:
        return gradients, kick.gradient
    return list(torch._foreach_add(mean, gradients, alpha=kick.gradient / kick.mean)), kick.mean
