"""Checks of what must be the same: as a reference, in another way, again."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ._compare import ROUNDING, Bench, Fault, NotCheckedError, as_walk, first_parting, negative, raised, until
from ._factory import RATE
from ._reference import Linear, positions, settings_of
from ._search import NONZERO, NUMBERS, POSITIVE, Draw, Space, need_hypothesis
from ._walk import Walk

# Each kind of walk is compiled anew, which takes far longer than it runs.
_COMPILED = 6
# What takes several shapes, each compiled by itself in JAX; its faults show in any example.
_SLOWER = 12
# A step in bfloat16 rounds at 2^-9, a few times.
_BF16 = 2.0**-6


def reference(bench: Bench) -> Fault | None:
    """The path that is stated."""
    if bench.reference is None:
        raise NotCheckedError("no reference given")
    settings = settings_of(bench.reference, bench.signature)
    if refused := bench.refusal(settings):
        raise NotCheckedError(refused)
    tolerance = max(bench.framework.reference_tolerance, _kept_precision(bench.reference))
    # A reference that raises does so here.
    positions(bench.reference, np.ones(1), Linear(1.0, 1.0), 1)
    st = need_hypothesis().strategies

    def fault(draw: Draw) -> Fault | None:
        gradient = Linear(*draw.extra)
        walk = as_walk(draw, settings=settings)
        walk = dataclasses.replace(walk, gradients=((0.0,) * draw.dimension,) * draw.steps)
        try:
            found = bench.framework.follow(walk, gradient)
        except Exception as error:
            return raised(walk, error)
        expected = np.vstack([found[:1], positions(bench.reference, found[0], gradient, draw.steps)])
        step = first_parting(expected, found, tolerance)
        if step is None:
            return None
        met = tuple(tuple(gradient(x).tolist()) for x in found[:step])
        return Fault(dataclasses.replace(walk, gradients=met), expected[step].tolist(), found[step].tolist())

    extra = st.tuples(st.sampled_from((0.0, 1.0, 0.5)), st.sampled_from(NUMBERS))
    return bench.search(bench.draws(1, [settings], extra=lambda steps: extra), fault)


def _kept_precision(reference: Any) -> float:
    """Precision in which a method keeps its numbers: it may have been made in float32."""
    import jax

    narrow = any(str(getattr(leaf, "dtype", "")) == "float32" for leaf in jax.tree.leaves(reference))
    return 1e-6 if narrow else 0.0


def switched(setting: str) -> Callable[[Bench], Fault | None]:
    """A setting on and off."""

    def look(bench: Bench) -> Fault | None:
        bench.need(setting)
        name = bench.signature.names[setting]
        first = bench.catalogue[0] | {name: True}
        # Not every device has a fused step.
        if refused := bench.refusal(first, stepping=setting == "fused"):
            raise NotCheckedError(refused)
        return bench.alike(
            bench.draws(),
            lambda draw: tuple(  # pyright: ignore[reportArgumentType]
                as_walk(draw, settings=draw.settings | {name: value}, parts="tensors") for value in (False, True)
            ),
            ROUNDING,
        )

    return look


def in_mode(mode: str) -> Callable[[Bench], Fault | None]:
    """Plain, and under a transformation of JAX."""

    def look(bench: Bench) -> Fault | None:
        if bench.framework.name == "keras":
            import keras  # pyright: ignore[reportMissingImports]

            if keras.backend.backend() != "jax":
                raise NotCheckedError(f"keras runs on {keras.backend.backend()}, not on jax")
        costly = bench.framework.costly
        examples = min(bench.examples, 2 if costly else _COMPILED)
        plain = "eager" if mode == "compiled" else "plain"
        return bench.alike(
            bench.draws(size=bench.one_size),
            lambda draw: (as_walk(draw, mode=plain), as_walk(draw, mode=mode)),
            ROUNDING,
            examples,
        )

    return look


def resume(bench: Bench) -> Fault | None:
    """Uninterrupted, and resumed, also between a change of the learning rate and the next step."""
    st = need_hypothesis().strategies
    changes = (False, True) if bench.framework.can_set_rate and bench.signature.has("rate") else (False,)

    def space(**options: Any) -> Space:
        return bench.draws(
            2, extra=lambda steps: st.tuples(st.integers(1, steps - 1), st.sampled_from(changes)), **options
        )

    def wide(draw: Draw) -> tuple[Walk, Walk]:
        after, changed = draw.extra
        walk = as_walk(draw, rate_after=(after, 0.47 * RATE) if changed else None)
        return walk, dataclasses.replace(walk, resume_after=after)

    def narrow(draw: Draw) -> tuple[Walk, Walk]:
        # From 0, where parameters have the most digits.
        walk = dataclasses.replace(as_walk(draw, dtype="bfloat16"), start=(0.0,) * draw.dimension)
        return walk, dataclasses.replace(walk, resume_after=draw.extra[0])

    fault = bench.alike(space(), wide)
    # A state of more digits than the parameters may be rounded to theirs where torch loads it, in few of the examples.
    examples = bench.examples * 3 if bench.framework.name == "torch" else min(bench.examples, _SLOWER)
    return fault or bench.alike(space(first=NONZERO, size=bench.one_size), narrow, examples=examples)


def grouping(bench: Bench) -> Fault | None:
    """One tensor, several, several groups."""
    ways = ("tensors", "groups") if bench.framework.name == "torch" else ("tensors",)
    for parts in ways:
        fault = bench.alike(
            bench.draws(dimensions=(2, 3)),
            lambda draw, parts=parts: (as_walk(draw), as_walk(draw, parts=parts)),
            ROUNDING,
            None if bench.framework.name == "torch" else min(bench.examples, _SLOWER),
        )
        if fault is not None:
            return fault
    return None


def zero_gradient(bench: Bench) -> Fault | None:
    """Start from an empty state."""
    decay = bench.signature.names.get("weight_decay")
    still = [settings | ({decay: 0.0} if decay else {}) for settings in bench.catalogue]

    def fault(draw: Draw) -> Fault | None:
        walk = dataclasses.replace(as_walk(draw), gradients=((0.0,) * draw.dimension,) * draw.steps)
        try:
            found = bench.framework.follow(walk)
        except Exception as error:
            return raised(walk, error, list(walk.start))
        # Some take the parameters out of a combination of them, which rounds.
        step = first_parting(np.array([walk.start] * len(found)), found, ROUNDING)
        return None if step is None else Fault(until(walk, step), list(walk.start), found[step].tolist())

    return bench.search(bench.draws(1, still), fault)


def bf16(bench: Bench) -> Fault | None:
    """Beside float64."""

    def fault(draw: Draw) -> Fault | None:
        plain, walk = as_walk(draw), as_walk(draw, dtype="bfloat16")
        expected, path = bench.framework.follow(plain), [np.array(walk.start)]
        try:
            walker = bench.framework.begin(walk)
            for count, gradient in enumerate(walk.gradients, 1):
                walker.step(gradient)
                path.append(walker.position)
                if walker.dtype != "bfloat16":
                    return Fault(until(walk, count), "bfloat16", walker.dtype)
        except Exception as error:
            return raised(until(walk, len(path)), error, expected[-1].tolist())
        found = np.array(path)
        travelled = np.abs(np.diff(expected, axis=0)).sum(axis=0, initial=0.0)
        allowed = _BF16 * np.arange(len(path))[:, None] * (np.abs(expected).max(axis=0) + travelled)
        wrong = ~(np.abs(found - expected) <= allowed)
        if not wrong.any():
            return None
        step = int(np.argmax(wrong.any(axis=1)))
        return Fault(until(walk, step), expected[step].tolist(), found[step].tolist())

    return bench.search(bench.draws(numbers=POSITIVE, size=bench.one_size), fault)


def mixed(bench: Bench) -> Fault | None:
    """Tensors of two dtypes together, and each alone."""

    def fault(draw: Draw) -> Fault | None:
        walk = as_walk(draw, parts="tensors", dtype="mixed")
        alone = [bench.framework.follow(one) for one in _each(walk)]
        walker, path = bench.framework.begin(walk), [np.array(walk.start)]
        try:
            for count, gradient in enumerate(walk.gradients, 1):
                walker.step(gradient)
                path.append(walker.position)
                if walker.dtype != walk.said_dtype:
                    return Fault(until(walk, count), walk.said_dtype, walker.dtype)
        except Exception as error:
            return raised(until(walk, len(path)), error)
        expected, found = np.concatenate(alone, axis=1), np.array(path)
        near = np.concatenate([np.full(one.shape[1], ROUNDING if i % 2 == 0 else _BF16) for i, one in enumerate(alone)])
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(found - expected) <= near * np.maximum(1.0, np.abs(expected)))
        wrong &= ~((found == expected) | (np.isnan(found) & np.isnan(expected)))
        if not wrong.any():
            return None
        step = int(np.argmax(wrong.any(axis=1)))
        return Fault(until(walk, step), expected[step].tolist(), found[step].tolist())

    few = None if bench.framework.name == "torch" else min(bench.examples, _SLOWER)
    return bench.search(bench.draws(dimensions=(2, 3)), fault, few)


def _each(walk: Walk) -> list[Walk]:
    """The tensors of a walk, each in one of its own."""
    width = len(walk.start) // 2 if walk.matrix else 1
    found = []
    for i, dtype in enumerate(walk.dtypes):
        mine = slice(i * width, (i + 1) * width)
        gradients = tuple(gradient[mine] for gradient in walk.gradients)
        found.append(_Alone(walk.settings, walk.start[mine], gradients, "tensors", walk.matrix, dtype))
    return found


class _Alone(Walk):
    """A walk of one row of a matrix, where the numbers are those of a matrix."""

    def shown(self, numbers: tuple[float, ...]) -> list[Any]:
        return [list(numbers)] if self.matrix else list(numbers)


def deterministic(bench: Bench) -> Fault | None:
    """Twice the same."""

    def fault(draw: Draw) -> Fault | None:
        try:
            bench.framework.follow(as_walk(draw))
        except Exception:
            # The checks that follow tell of it.
            return None
        return bench.parted(as_walk(draw), as_walk(draw), None)

    return bench.search(bench.draws(), fault)


def isolated(bench: Bench) -> Fault | None:
    """Alone, and beside another."""

    def fault(draw: Draw) -> Fault | None:
        walk = as_walk(draw)
        alone = bench.framework.follow(walk)
        one, other = bench.framework.begin(walk), bench.framework.begin(walk)
        path = [one.position]
        for gradient in walk.gradients:
            other.step(negative(gradient))
            one.step(gradient)
            path.append(one.position)
        step = first_parting(alone, np.array(path), None)
        if step is None:
            return None
        note = "while before each step a second optimizer makes one, on parameters of its own, down -gradient"
        return Fault(until(walk, step), alone[step].tolist(), path[step].tolist(), note=note)

    return bench.search(bench.draws(), fault)
