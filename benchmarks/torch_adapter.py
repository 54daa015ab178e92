"""Does a step of our torch optimizer cost more than one of torch.optim.SGD(foreach=True)?

The parameters are those of a network of ten layers. The gradients are copied into place before every step, since
torch.optim.SGD(nesterov=True, foreach=True) writes into them; the rest is the optimizer alone.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import thalweg as tw
from benchmarks._harness import Result, compare

LAYERS, RATE, MOMENTUM, BOUND = 10, 1e-3, 0.9, 1.0


def results() -> Iterator[Result]:
    optimizer = tw.adapters.torch.Optimizer
    cases = (
        ("GD", lambda p: optimizer(p, tw.gradient_descent(None, RATE)), {}),
        ("momentum", lambda p: optimizer(p, tw.momentum(None, RATE, MOMENTUM)), {"momentum": MOMENTUM}),
        (
            "Nesterov",
            lambda p: optimizer(p, tw.nesterov(None, RATE, MOMENTUM)),
            {"momentum": MOMENTUM, "nesterov": True},
        ),
        (
            "momentum, weight decay",
            lambda p: optimizer(p, tw.momentum(None, RATE, MOMENTUM), weight_decay=1e-4),
            {"momentum": MOMENTUM, "weight_decay": 1e-4},
        ),
    )
    for width, steps in ((16, 400), (128, 200), (512, 40)):
        for name, ours, settings in cases:

            def theirs(parameters: Any, settings: dict[str, Any] = settings) -> Any:
                return torch.optim.SGD(parameters, lr=RATE, foreach=True, **settings)

            first, second = Loop(ours, width, steps), Loop(theirs, width, steps)
            found = compare(f"{name}, {LAYERS} layers of {width}, float32", first, second, BOUND, 15, 1e-4)
            yield found.per(steps)


class Loop:
    """Steps from where the last call ended."""

    def __init__(self, make: Any, width: int, steps: int) -> None:
        torch.manual_seed(0)
        layers = [torch.nn.Linear(width, width) for _ in range(LAYERS)]
        self.parameters = [x for layer in layers for x in layer.parameters()]
        self.optimizer, self.steps = make(self.parameters), steps
        self.gradients = [torch.randn_like(x) for x in self.parameters]
        for x in self.parameters:
            x.grad = torch.zeros_like(x)
        self.places = [x.grad for x in self.parameters]

    def __call__(self) -> np.ndarray:
        for _ in range(self.steps):
            torch._foreach_copy_(self.places, self.gradients)
            self.optimizer.step()
        return self.parameters[0].detach().numpy().ravel().copy()
