"""Optimizers of torch."""

import functools
import io
from typing import Any, ClassVar

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.utils._python_dispatch import TorchDispatchMode  # pyright: ignore[reportMissingImports]

from ._walk import AbstractFramework, AbstractWalker, Walk, call, listed

# A step of more calls than this takes long.
_MANY = 60


class _Calls(TorchDispatchMode):
    """Count of the calls that torch dispatches."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


class TorchWalker(AbstractWalker):
    """A torch.optim.Optimizer at work."""

    def __init__(self, framework: "Torch", walk: Walk, tensors: list[Any]) -> None:
        self.framework, self.walk = framework, walk
        self.tensors = [torch.nn.Parameter(tensor) for tensor in tensors]
        grouped: Any = [{"params": [p]} for p in self.tensors] if walk.parts == "groups" else self.tensors
        self.optimizer = framework.factory(grouped, **walk.settings)

    @property
    def position(self) -> np.ndarray:
        return np.concatenate([p.detach().double().numpy().ravel() for p in self.tensors])

    @property
    def dtype(self) -> str:
        return " and ".join(sorted({str(p.dtype).removeprefix("torch.") for p in self.tensors}))

    def give(self, gradient: tuple[float, ...]) -> None:
        """Hand over a gradient."""
        for p, part, dtype in zip(self.tensors, self.walk.split(gradient), self.walk.dtypes, strict=True):
            p.grad = torch.tensor(part, dtype=getattr(torch, dtype))

    def step(self, gradient: tuple[float, ...]) -> None:
        self.give(gradient)
        self.optimizer.step()

    def resumed(self) -> "TorchWalker":
        saved = io.BytesIO()
        torch.save(self.optimizer.state_dict(), saved)
        saved.seek(0)
        new = TorchWalker(self.framework, self.walk, [p.detach().clone() for p in self.tensors])
        new.optimizer.load_state_dict(torch.load(saved, weights_only=True))
        return new

    def set_rate(self, rate: float | int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate


class Torch(AbstractFramework):
    """Factories of torch.optim.Optimizer."""

    name: ClassVar[str] = "torch"

    @functools.cached_property
    def costly(self) -> bool:
        """Tell whether a step makes very many calls."""
        for matrix in (False, True):
            ones = (1.0,) * (2 if matrix else 1)
            try:
                walker = self.begin(Walk(self.usual, ones, (), matrix=matrix))
                walker.step(ones)
                with _Calls() as calls:
                    walker.step(ones)
            except Exception:
                # The checks tell of it.
                continue
            if calls.count > _MANY:
                return True
        return False

    def begin(self, walk: Walk) -> TorchWalker:
        parts = zip(walk.split(walk.start), walk.dtypes, strict=True)
        return TorchWalker(self, walk, [torch.tensor(part, dtype=getattr(torch, dtype)) for part, dtype in parts])

    def code(self, walk: Walk) -> str:
        dtype = "dtype=dtype" if walk.dtype == "mixed" else f"dtype=torch.{walk.dtype}"
        single = walk.parts == "one"
        parameters = {"one": "[x]", "tensors": "xs", "groups": '[{"params": [x]} for x in xs]'}[walk.parts]
        made = f"optimizer = factory({', '.join(filter(None, (parameters, call(**walk.settings))))})"
        lines = [
            f"x = torch.nn.Parameter(torch.tensor({walk.shown(walk.start)}, {dtype}))"
            if single
            else f"xs = [torch.nn.Parameter(torch.tensor([x], {dtype})) for {_each(walk, 'x')}]",
            made,
            f"for step, gradient in enumerate({listed(walk)}, start=1):",
            *(
                [f"    x.grad = torch.tensor(gradient, {dtype})"]
                if single
                else ["    for x, part in zip(xs, gradient):", f"        x.grad = torch.tensor([part], {dtype})"]
            ),
            "    optimizer.step()",
        ]
        if walk.dtype == "mixed":
            lines[-2] = "        x.grad = torch.tensor([part], dtype=x.dtype)"
        if walk.rate_after is not None:
            lines += [
                f"    if step == {walk.rate_after[0]}:",
                f'        optimizer.param_groups[0]["lr"] = {walk.rate_after[1]}',
            ]
        if walk.resume_after is not None:
            lines += [
                f"    if step == {walk.resume_after}:  # resumed",
                "        saved, x = optimizer.state_dict(), torch.nn.Parameter(x.detach().clone())",
                f"        {made}",
                "        optimizer.load_state_dict(saved)",
            ]
        ends = (
            []
            if single
            else ["x = torch.cat([x.double() for x in xs])" if walk.dtype == "mixed" else "x = torch.cat(xs)"]
        )
        return "\n".join([*lines, *ends, *(["x = x.ravel()"] if walk.matrix else [])])


def _each(walk: Walk, name: str) -> str:
    """The loop over the tensors of a start."""
    shown = walk.shown(walk.start)
    if walk.dtype != "mixed":
        return f"{name} in {shown}"
    return f"{name}, dtype in zip({shown}, [{', '.join(f'torch.{dtype}' for dtype in walk.dtypes)}])"
