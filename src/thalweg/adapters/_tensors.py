"""A linear step made on lists of torch tensors."""

# The foreach functions of torch are documented by their use in torch.optim alone.
# pyright: reportPrivateImportUsage=false

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ._linear import Ask, LinearStep, Row, Ticks

# What is this much smaller than its terms is what rounding leaves of their cancelling.
_ROUNDING = 1e-14
# From this size on torch uses threads. Its fused kernel does for every size, and where other work keeps the cores busy
# they wait for each other: a step of 20 small tensors then took 62 times as long as without.
LARGE = 32768
FUSED = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclasses.dataclass(frozen=True)
class Plan:
    r"""A step in the order that passes over memory least.

    $$\Theta \mathrel{+}= c_0 b + \sum_i q_i g_i,\qquad b^+ = \beta b + \sum_i w_i g_i,\qquad
      \Theta \mathrel{+}= c_1 b^+$$
    """

    asks: tuple[Ask, ...]
    before: float
    kicks: tuple[tuple[int, float], ...]
    decay: float | None
    pushes: tuple[tuple[int, float], ...]
    after: float
    clock: Ticks | None
    sgd: dict[str, Any] | None

    @classmethod
    def of(cls, step: LinearStep) -> "Plan":
        assert abs(step.parameters[0] - 1.0) < 1e-12
        before, kicks, after = step.parameters[1], _terms(step.parameters), 0.0
        decay, pushes = None, ()
        if step.buffer is not None:
            assert step.buffer[0] == 0.0
            decay, pushes = step.buffer[1], _terms(step.buffer)
            along = _multiple(step.parameters[1:], step.buffer[1:])
            if along is not None:
                before, kicks, after = 0.0, (), along
        sgd = _as_sgd(step) if len(step.asks) == 1 and step.asks[0].direction is None else None
        return cls(step.asks, before, kicks, decay, pushes, after, step.clock, sgd)


def _terms(row: Row) -> tuple[tuple[int, float], ...]:
    return tuple((i, value) for i, value in enumerate(row[2:]) if value != 0.0)


def _multiple(row: Row, of: Row) -> float | None:
    """Factor that makes `row` of `of`, if one does."""
    pivot = max(range(len(of)), key=lambda i: abs(of[i]))
    factor = row[pivot] / of[pivot]
    largest = max(map(abs, row))
    alike = all(abs(a - factor * b) <= _ROUNDING * largest for a, b in zip(row, of, strict=True))
    return factor if alike else None


def _as_sgd(step: LinearStep) -> dict[str, Any] | None:
    """The arguments with which the kernel of torch.optim.SGD makes this step, if there are any."""
    _, x_b, x_g, *_ = step.parameters
    if step.buffer is None:
        return {"lr": -x_g, "momentum": 0.0, "dampening": 0.0, "nesterov": False}
    _, beta, w, *_ = step.buffer
    if beta == 0.0 or w == 0.0:
        return None
    # Θ⁺ = Θ - α b⁺ with b⁺ = βb + wg, or Θ⁺ = Θ - α (g + βb⁺)
    for nesterov, rate in ((False, -x_b / beta), (True, -x_b / beta**2)):
        expected = -rate * (1.0 + beta * w if nesterov else w)
        if math.isclose(x_g, expected, rel_tol=_ROUNDING):
            return {"lr": rate, "momentum": beta, "dampening": 1.0 - w, "nesterov": nesterov}
    return None


def plain(value: Any) -> Any:
    """A number of a group; torch allows a tensor of one."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


class Part:
    """Parameters that make the same step, with their buffers and the gradients they were given."""

    def __init__(
        self, plan: Plan, parameters: list[Tensor], gradients: list[Tensor], buffer: list[Tensor] | None,
        begins: bool, group: dict[str, Any],
    ) -> None:  # fmt: skip
        self.plan, self.parameters, self.buffer, self.begins, self.group = plan, parameters, buffer, begins, group
        self.weight_decay = plain(group["weight_decay"])
        self.sparse = any([g.is_sparse for g in gradients])  # noqa: C419  (a list is faster here than a generator)
        if self.sparse and (self.weight_decay or len(plan.asks) > 1):
            # The decay of what no row of the batch touched is none the less one.
            gradients = [g.to_dense() if g.is_sparse else g for g in gradients]
        # Without the weight decay, which the fused kernel adds itself.
        self._first = gradients
        self.gradients: list[list[Tensor]] = []
        self._start: list[Tensor] = []

    def singles(self) -> Iterator["Part"]:
        """The same, one parameter each."""
        buffers = [None] * len(self.parameters) if self.buffer is None else [[b] for b in self.buffer]
        for x, g, b in zip(self.parameters, self._first, buffers, strict=True):
            yield Part(self.plan, [x], [g], b, self.begins, self.group)

    def take(self, gradients: list[Tensor]) -> None:
        """The gradient at the parameters as they are now."""
        if self.weight_decay:
            gradients = list(torch._foreach_add(gradients, self.parameters, alpha=self.weight_decay))
        self.gradients.append(gradients)

    def take_curvature(self, products: Sequence[Tensor], direction: Sequence[Tensor]) -> None:
        """The Hessian times a direction, at the parameters as they are now."""
        given = list(products)
        if self.weight_decay:
            given = list(torch._foreach_add(given, list(direction), alpha=self.weight_decay))
        self.gradients.append(given)

    def remember(self) -> None:
        """Keep where the step begins, and the first gradient, which closures overwrite."""
        self._start = [x.detach().clone() for x in self.parameters]
        self.take([g.clone() for g in self._first])

    def place(self, row: Row) -> None:
        """Put the parameters where a gradient is asked for."""
        self.restore()
        self._add(self.parameters, row)

    def restore(self) -> None:
        """Put the parameters back where the step began."""
        torch._foreach_copy_(self.parameters, self._start)

    def combination(self, row: Row) -> list[Tensor]:
        """A direction: a combination without the parameters."""
        total = [torch.zeros_like(x) for x in self.parameters]
        self._add(total, row)
        return total

    def move(self) -> None:
        """Make the step."""
        plan = self.plan
        if self._fusible():
            assert plan.sgd is not None
            torch._fused_sgd_(
                self.parameters, self._first, self.buffer or [], weight_decay=self.weight_decay, maximize=False,
                is_first_step=False, **plan.sgd,
            )  # fmt: skip
            return
        if not self.gradients:
            self.take(self._first)
        gradients = self.gradients
        if plan.before and self.buffer is not None:
            torch._foreach_add_(self.parameters, self.buffer, alpha=plan.before)
        for i, weight in plan.kicks:
            torch._foreach_add_(self.parameters, gradients[i], alpha=weight)
        if plan.decay is not None:
            self.buffer = self._pushed(plan.decay)
        if plan.after:
            assert self.buffer is not None
            torch._foreach_add_(self.parameters, self.buffer, alpha=plan.after)

    def _fusible(self) -> bool:
        if self.plan.sgd is None or self.begins or self.group["fused"] is False or self.group["foreach"] is not None:
            return False
        if self.sparse:
            return False
        first = self.parameters[0]
        if first.device.type == "cpu" and sum([x.numel() for x in self.parameters]) < LARGE * len(self.parameters):
            return self.group["fused"] is True and self._alike(first)
        return self._alike(first)

    def _alike(self, first: Tensor) -> bool:
        kind, device = first.dtype, first.device
        lists = (self.parameters, self._first, self.buffer or ())
        # The kernel takes the memory as it lies: on transposed tensors it is silently wrong (torch 2.13, CPU).
        return (
            kind in FUSED
            and device.type in ("cpu", "cuda")
            and all(x.dtype is kind and x.device == device and x.is_contiguous() for xs in lists for x in xs)
        )

    def _pushed(self, decay: float) -> list[Tensor]:
        buffer, pushes = self.buffer, self.plan.pushes
        if buffer is None:
            if not pushes:
                return [torch.zeros_like(x) for x in self.parameters]
            (i, weight), *pushes = pushes
            if self.sparse:
                # Dense: it fills up within a few steps.
                buffer = [torch.zeros_like(x) for x in self.parameters]
                torch._foreach_add_(buffer, self.gradients[i], alpha=weight)
            else:
                buffer = list(torch._foreach_mul(self.gradients[i], weight))
        elif decay != 1.0:
            # Scaling by a number takes 2.6 times as long as adding, on small tensors (torch 2.13, CPU).
            torch._foreach_add_(buffer, buffer, alpha=decay - 1.0)
        for i, weight in pushes:
            torch._foreach_add_(buffer, self.gradients[i], alpha=weight)
        return buffer

    def _add(self, target: list[Tensor], row: Row) -> None:
        if row[1] and self.buffer is not None:
            torch._foreach_add_(target, self.buffer, alpha=row[1])
        for i, weight in _terms(row):
            torch._foreach_add_(target, self.gradients[i], alpha=weight)


def take_curvature(parts: list[Part], slopes: dict[Tensor, Tensor], j: int) -> None:
    """Give parts the curvature along their j-th direction, from gradients with their graphs."""
    if not parts:
        return
    directions = [part.combination(part.plan.asks[j].direction or ()) for part in parts]
    parameters = [x for part in parts for x in part.parameters]
    along = [v for direction in directions for v in direction]
    pairs = [(slopes[x], v) for x, v in zip(parameters, along, strict=True) if x in slopes and slopes[x].requires_grad]
    found = [None] * len(parameters)
    if pairs:
        found = torch.autograd.grad([s for s, _ in pairs], parameters, [v for _, v in pairs], allow_unused=True)
    products = iter([torch.zeros_like(x) if h is None else h for x, h in zip(parameters, found, strict=True)])
    for part, direction in zip(parts, directions, strict=True):
        part.take_curvature([next(products) for _ in part.parameters], direction)
