"""Checks of what must change the result."""

import dataclasses
from typing import Any

from ._compare import Bench, Fault, NotCheckedError, as_walk, negative
from ._factory import MOMENTUM, RATE
from ._search import NONZERO, Draw, need_hypothesis
from ._walk import Walk


def momentum(bench: Bench) -> Fault | None:
    """Another momentum."""
    bench.need("momentum")
    off = {"nesterov": False} if bench.signature.has("nesterov") else {}
    two = bench.signature.spell({"momentum": MOMENTUM, **off})
    # A factory may refuse a momentum of 0.
    lows = [value for value in (0.0, 0.5) if not bench.refusal(bench.signature.spell({"momentum": value, **off}))]
    if refused := bench.refusal(two):
        raise NotCheckedError(refused)
    if not lows:
        raise NotCheckedError(f"it takes no other momentum than {MOMENTUM}")
    one = bench.signature.spell({"momentum": lows[0], **off})
    name = bench.signature.names["momentum"]
    return bench.different(
        bench.draws(2, first=NONZERO),
        lambda draw: (as_walk(draw, settings=one), as_walk(draw, settings=two)),
        lambda first, second: f"another position than with {name}={one[name]}",
    )


def memory(bench: Bench) -> Fault | None:
    """The first gradient, the other way."""
    bench.need("momentum")
    settings = bench.signature.spell({"momentum": MOMENTUM})
    if refused := bench.refusal(settings):
        raise NotCheckedError(refused)

    def pair(draw: Draw) -> tuple[Walk, Walk]:
        walk = as_walk(draw, settings=settings)
        walk = dataclasses.replace(walk, gradients=walk.gradients[:3])
        return dataclasses.replace(walk, gradients=(negative(walk.gradients[0]), *walk.gradients[1:])), walk

    # Each for itself: a buffer may be kept for vectors and lost for matrices.
    looks = (
        bench.different(
            bench.draws(3, first=NONZERO, layouts=(matrix,)),
            pair,
            lambda first, second: f"another third step than after {list(first.gradients[0])} as the first gradient",
            lambda path: path[3:] - path[2:3],
        )
        for matrix in bench.layouts
    )
    return next((fault for fault in looks if fault is not None), None)


def nesterov(bench: Bench) -> Fault | None:
    """With and without."""
    bench.need("nesterov")
    momentum = {"momentum": MOMENTUM} if bench.signature.has("momentum") else {}
    without, ahead = (bench.signature.spell({**momentum, "nesterov": value}) for value in (False, True))
    if refused := bench.refusal(without) or bench.refusal(ahead):
        raise NotCheckedError(refused)
    return bench.different(
        bench.draws(1, first=NONZERO),
        lambda draw: (as_walk(draw, settings=without), as_walk(draw, settings=ahead)),
        lambda first, second: "another position than with nesterov=False",
    )


def learning_rate(bench: Bench) -> Fault | None:
    """Another learning rate."""
    bench.need("rate")
    one, two = bench.signature.spell({}), bench.signature.spell({"rate": 0.5 * RATE})
    return bench.different(
        bench.draws(first=NONZERO),
        lambda draw: (as_walk(draw, settings=one), as_walk(draw, settings=two)),
        lambda first, second: f"another position than with {bench.signature.names['rate']}={RATE}",
    )


def schedule(bench: Bench) -> Fault | None:
    """A learning rate that changes."""
    settings, st = bench.catalogue[0], need_hypothesis().strategies
    walker: Any = bench.framework.begin(bench.tiny(settings))
    if bench.framework.name == "torch" and "lr" not in walker.optimizer.param_groups[0]:
        raise NotCheckedError("its groups have no lr")

    def pair(draw: Draw) -> tuple[Walk, Walk]:
        walk = as_walk(draw, settings=settings)
        # Half of the usual learning rate, but for the case that this is the factory's own.
        return walk, dataclasses.replace(walk, rate_after=(draw.extra, 0.47 * RATE))

    return bench.different(
        bench.draws(2, first=NONZERO, numbers=NONZERO, extra=lambda steps: st.integers(1, steps - 1)),
        pair,
        lambda first, second: "another position than without the change",
    )
