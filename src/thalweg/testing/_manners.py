"""Checks of what the loops of torch ask of an optimizer beside its steps."""

from typing import Any

from ._compare import Bench, Fault, as_walk, until
from ._search import Draw
from ._walk import Walk, first_line


def no_gradient(bench: Bench) -> Fault | None:
    """The first of several tensors has none."""

    def fault(draw: Draw) -> Fault | None:
        walk = as_walk(draw, parts="tensors")
        walker: Any = bench.framework.begin(walk)
        for count, gradient in enumerate(walk.gradients, 1):
            try:
                walker.give(gradient)
                walker.tensors[0].grad = None
                walker.optimizer.step()
                found = walker.position.tolist()
            except Exception as error:
                found = [f"raised {first_line(error)}"]
            if found[0] != walk.start[0]:
                return Fault(
                    until(walk, count), walk.start[0], found[0], note="with xs[0].grad = None before each step"
                )
        return None

    return bench.search(bench.draws(dimensions=(2, 3)), fault)


def gradient_kept(bench: Bench) -> Fault | None:
    """Before and after a step."""

    def fault(draw: Draw) -> Fault | None:
        walk = as_walk(draw)
        walker: Any = bench.framework.begin(walk)
        for count, gradient in enumerate(walk.gradients, 1):
            walker.step(gradient)
            found = walker.tensors[0].grad
            found = None if found is None else found.tolist()
            if found != list(gradient):
                return Fault(until(walk, count), list(gradient), found, note="x.grad after the last step")
        return None

    return bench.search(bench.draws(), fault)


def closure(bench: Bench) -> Fault | None:
    """A loss of a known value."""
    import torch  # pyright: ignore[reportMissingImports]

    walk = Walk(bench.catalogue[0], (1.0,), ((1.0,),))
    walker: Any = bench.framework.begin(walk)
    enabled: list[bool] = []

    def evaluate() -> Any:
        enabled.append(torch.is_grad_enabled())
        walker.give(walk.gradients[0])
        return torch.tensor(3.0)

    expected = "the loss 3.0, from a closure that was called with gradients enabled"
    try:
        loss = walker.optimizer.step(evaluate)
        said = f"the loss {float(loss)}" if loss is not None else "no loss"
    except Exception as error:
        said = f"raised {first_line(error)}"
    if not enabled:
        said += ", and the closure was never called"
    elif not all(enabled):
        said += ", and the closure was called without gradients"
    if said == "the loss 3.0":
        return None
    lines = bench.framework.code(walk).replace("optimizer.step()", "loss = optimizer.step(lambda: torch.tensor(3.0))")
    return Fault(walk, expected, said, code=lines)
