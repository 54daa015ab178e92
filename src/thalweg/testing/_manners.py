"""Checks of what the loops of torch ask of an optimizer beside its steps."""

import copy
import dataclasses
from typing import Any

import numpy as np

from ._compare import Bench, Fault, as_walk, first_parting, raised, until
from ._search import Draw, need_hypothesis
from ._walk import first_line


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
            # Of a row of a matrix, its first number.
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
            found = None if found is None else found.ravel().tolist()
            if found != list(gradient):
                return Fault(until(walk, count), list(gradient), found, note="x.grad after the last step")
        return None

    return bench.search(bench.draws(), fault)


# Of no meaning to anybody but the user.
_OWN = {"name": "head", "lr_scale": 0.5, "layers": [0, 1]}


def own_keys(bench: Bench) -> Fault | None:
    """A group with them, and one without; saved and resumed in a new optimizer that has none."""

    def fault(draw: Draw) -> Fault | None:
        walk = as_walk(draw, resume_after=draw.extra)
        expected = bench.framework.follow(walk)
        note = f"with optimizer.param_groups[0].update({_OWN}) before the first step"
        walker: Any = bench.framework.begin(walk)
        walker.optimizer.param_groups[0].update(_OWN)
        path = [walker.position]
        for count, gradient in enumerate(walk.gradients, 1):
            try:
                walker.step(gradient)
                walker = walker.resumed() if count == walk.resume_after else walker
            except Exception as error:
                return dataclasses.replace(raised(until(walk, count), error), note=note)
            path.append(walker.position)
        kept = walker.optimizer.param_groups[0]
        if any(kept.get(name) != value for name, value in _OWN.items()):
            return Fault(walk, f"a group with {_OWN}", f"one with the keys {', '.join(map(str, kept))}", note=note)
        step = first_parting(expected, np.array(path), None)
        return (
            None if step is None else Fault(until(walk, step), expected[step].tolist(), path[step].tolist(), note=note)
        )

    st = need_hypothesis().strategies
    return bench.search(bench.draws(2, extra=lambda steps: st.integers(1, steps - 1)), fault)


def copied(bench: Bench) -> Fault | None:
    """The optimizer with its parameters, by copy.deepcopy, which goes on in their place."""

    def fault(draw: Draw) -> Fault | None:
        walk = as_walk(draw)
        expected = bench.framework.follow(walk)
        note = f"with optimizer, x = copy.deepcopy((optimizer, x)) after step {draw.extra}"
        walker: Any = bench.framework.begin(walk)
        path = [walker.position]
        for count, gradient in enumerate(walk.gradients, 1):
            try:
                walker.step(gradient)
                if count == draw.extra:
                    walker.optimizer, walker.tensors = copy.deepcopy((walker.optimizer, walker.tensors))
            except Exception as error:
                return dataclasses.replace(raised(until(walk, count), error), note=note)
            path.append(walker.position)
        step = first_parting(expected, np.array(path), None)
        return (
            None if step is None else Fault(until(walk, step), expected[step].tolist(), path[step].tolist(), note=note)
        )

    st = need_hypothesis().strategies
    return bench.search(bench.draws(2, extra=lambda steps: st.integers(1, steps - 1)), fault)


def closure(bench: Bench) -> Fault | None:
    """A loss of a known value."""
    import torch  # pyright: ignore[reportMissingImports]

    walk = bench.tiny(bench.catalogue[0], gradients=True)
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
