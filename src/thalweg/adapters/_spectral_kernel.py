"""One step of Muon's flow by its splitting, on lists of torch tensors."""

# The foreach functions of torch are documented by their use in torch.optim alone.
# pyright: reportPrivateImportUsage=false

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._dictionary.muon import CONVENTIONS
from .._dictionary.shapes import shape_factor
from ..dynamics import MuonFlow
from ._adaptive_kernel import Kick, wide

# On a processor products of larger matrices gain nothing from being made together, and pay for being put together.
_TOGETHER = 1 << 14


@dataclasses.dataclass(frozen=True)
class Spectral:
    """Settings of `tw.MuonFlow` that are no numbers of a group: they make a direction of an average.

    Attributes:
        rows: (a, b, c) of every iteration; None for the polar factor.
        dtype: to iterate in; None is that of the average.
        layout, scaling: as of the law.
    """

    rows: tuple[tuple[float, ...], ...] | None
    dtype: torch.dtype | None
    layout: str
    scaling: str

    @classmethod
    def of(cls, law: MuonFlow) -> "Spectral":
        rows = None
        if law.iterations is not None:
            coefficients = np.broadcast_to(np.asarray(law.coefficients), (law.iterations, 3))
            # The shortest decimal numbers that a float32 can stand for.
            rows = tuple(tuple(float(str(c)) for c in row) for row in coefficients)
        dtype = None if law.iteration_dtype is None else getattr(torch, law.iteration_dtype)
        return cls(rows, dtype, law.layout, law.scaling)

    def settings(self, nesterov: bool) -> dict[str, Any] | None:
        """The same in the words of `torch.optim.Muon`; None where it has none for it."""
        known, dtype = CONVENTIONS["torch"], str(self.dtype).removeprefix("torch.")
        if self.rows is None or len(set(self.rows)) > 1:
            return None
        if (self.layout, dtype) != (known.layout, known.iteration_dtype) or self.scaling not in known.scalings:
            return None
        return {
            "nesterov": nesterov, "ns_coefficients": self.rows[0], "ns_steps": len(self.rows),
            "adjust_lr_fn": self.scaling,
        }  # fmt: skip

    def __str__(self) -> str:
        if self.rows is None:
            made = "polar factor"
        else:
            rows = self.rows[:1] if len(set(self.rows)) == 1 else self.rows
            made = f"{len(self.rows)} iterations of {' '.join(f'{c:g}' for row in rows for c in row)}"
        dtype = "" if self.dtype is None else f" in {str(self.dtype).removeprefix('torch.')}"
        return f"{made}{dtype}, {self.layout}, {self.scaling}"


def move_matrices(
    kick: Kick, spectral: Spectral, parameters: list[Tensor], gradients: list[Tensor], mean: list[Tensor] | None
) -> None:
    """Make the step in place; the gradients stay as they are.

    Arguments:
        kick: its numbers.
        spectral: of the direction.
        parameters, gradients: (..., rows, columns), of one dtype.
        mean: the average; None where there is none.
    """
    dtype = wide(parameters[0])
    # Rounded once, at the end.
    xs = [x.to(dtype) for x in parameters]
    gs = [(g.to_dense() if g.is_sparse else g).to(dtype) for g in gradients]
    if mean is not None:
        torch._foreach_lerp_(mean, gs, 1.0 - kick.beta1)
    slopes, size = _slopes(kick, gs, mean)
    units = directions(slopes, spectral, kick.epsilon / size)
    if kick.decay:
        torch._foreach_mul_(xs, 1.0 - kick.rate * kick.decay)
    for x, unit in zip(xs, units, strict=True):
        x.add_(unit, alpha=-kick.rate * shape_factor(x.shape, spectral.layout, spectral.scaling))
    if dtype is not parameters[0].dtype:
        torch._foreach_copy_(parameters, xs)


def _slopes(kick: Kick, gradients: list[Tensor], mean: list[Tensor] | None) -> tuple[list[Tensor], float]:
    """The combination n, up to a factor that stands beside it, of which only epsilon depends."""
    if mean is None:
        return gradients, 1.0
    if kick.gradient == 0.0:
        return mean, kick.mean
    total = kick.mean + kick.gradient
    # Between the two as torch.optim.Muon has it, rounding by rounding.
    return list(torch._foreach_lerp(gradients, mean, kick.mean / total)), total


def directions(slopes: list[Tensor], spectral: Spectral, epsilon: float) -> list[Tensor]:
    """D of every matrix, in the precision of the iteration.

    Arguments:
        slopes: (..., rows, columns), of one dtype.
        spectral: how.
        epsilon: of the norm by which D divides.
    """
    found = list(slopes)
    for picked in _alike(slopes):
        flat = [slopes[i].reshape(-1, *slopes[i].shape[-2:]) for i in picked]
        tall = flat[0].shape[-2] > flat[0].shape[-1]
        stack = flat[0] if len(flat) == 1 else torch.cat(flat)
        # Of the smaller of the two Gram matrices.
        stack = stack.mT if tall else stack
        made = _polar(stack) if spectral.rows is None else _iterated(stack, spectral.rows, epsilon, spectral.dtype)
        parts = (made.mT if tall else made).split([x.shape[0] for x in flat])
        for i, part in zip(picked, parts, strict=True):
            found[i] = part.reshape(slopes[i].shape)
    return found


def _alike(slopes: list[Tensor]) -> Iterator[list[int]]:
    """Matrices that are moved together, by their indices; without those of no entries."""
    found: dict[Any, list[int]] = {}
    for i, x in enumerate(slopes):
        if x.numel():
            alone = x.device.type == "cpu" and x.shape[-2] * x.shape[-1] > _TOGETHER
            found.setdefault(i if alone else (x.shape[-2:], x.device), []).append(i)
    yield from found.values()


def _iterated(x: Tensor, rows: tuple[tuple[float, ...], ...], epsilon: float, dtype: torch.dtype | None) -> Tensor:
    """Newton-Schulz iterations as `geometry._newton_schulz` has them."""
    x = x if dtype is None else x.to(dtype)
    accurate = wide(x)
    # Scaled first, so that squares neither overflow nor vanish.
    most = torch.linalg.vector_norm(x, math.inf, (-2, -1), True, dtype=accurate)
    scale = torch.where((most > 0.0) & torch.isfinite(most), most, 1.0)
    norm = scale * torch.linalg.vector_norm(x / scale, 2, (-2, -1), True) + epsilon
    norm = norm.to(x.dtype)
    x = x / torch.where(norm == 0.0, 1.0, norm)
    if x.shape[0] == 1:
        # The products that torch.optim.Muon makes, rounding by rounding; of several together another may be the order.
        return _products(x[0], rows, torch.addmm)[None]
    return _products(x, rows, torch.baddbmm)


def _products(x: Tensor, rows: tuple[tuple[float, ...], ...], add: Any) -> Tensor:
    for a, b, c in rows:
        gram = x @ x.mT
        added = add(gram, gram, gram, beta=b, alpha=c)
        x = add(x, added, x, beta=a)
    return x


def _polar(x: Tensor) -> Tensor:
    """The polar factor as `geometry._polar` has it: of lower rank a partial isometry, of what is no number none."""
    numbers = torch.isfinite(x).all(-1, keepdim=True).all(-2, keepdim=True)
    u, s, vt = torch.linalg.svd(torch.where(numbers, x, 0.0), full_matrices=False)
    rounding = torch.finfo(s.dtype).eps * max(x.shape[-2:])
    kept = s > rounding * s.amax(-1, keepdim=True)
    return torch.where(numbers, torch.where(kept[..., None, :], u, 0.0) @ vt, math.nan)
