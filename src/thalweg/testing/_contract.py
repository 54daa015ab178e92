"""The contract: what holds for every optimizer, one check a clause."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._compare import ROUNDING, Bench, Fault, NotCheckedError, first_parting, raised, until
from ._factory import FRAMEWORKS, MOMENTUM, RATE
from ._reference import Linear, positions, settings_of
from ._search import NUMBERS, POSITIVE, Draw, Space, need_hypothesis
from ._walk import Walk, first_line

_NONZERO = NUMBERS[1:]
# Each kind of walk is compiled anew, which takes far longer than it runs.
_COMPILED = 6
# A step in bfloat16 rounds at 2^-9, a few times.
_BF16 = 2.0**-6


@dataclasses.dataclass(frozen=True)
class Check:
    """A clause of the contract.

    Arguments:
        name: in one or two words.
        statement: what should hold.
        how: it is checked.
        blame: what is wrong where it does not hold.
        look: the fault of the smallest example, None if there is none; raises NotCheckedError.
        frameworks: where it applies.
        repeats: whether it compares runs, and so needs an optimizer that does the same twice.
    """

    name: str
    statement: str
    how: str
    blame: str
    look: Callable[[Bench], Fault | None]
    frameworks: tuple[str, ...] = FRAMEWORKS
    repeats: bool = True


def _walk(draw: Draw, **options: Any) -> Walk:
    settings = options.pop("settings", draw.settings)
    return Walk(settings, draw.start, draw.gradients, **options)


def _half_rate(bench: Bench) -> dict[str, Any]:
    return bench.signature.spell({"rate": 0.5 * RATE})


def _momentum(bench: Bench) -> Fault | None:
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
    return bench.different(
        bench.draws(2, first=_NONZERO),
        lambda draw: (_walk(draw, settings=one), _walk(draw, settings=two)),
        lambda first, second: f"another position than with {bench.signature.names['momentum']}={lows[0]}",
    )


def _memory(bench: Bench) -> Fault | None:
    bench.need("momentum")
    settings = bench.signature.spell({"momentum": MOMENTUM})
    if refused := bench.refusal(settings):
        raise NotCheckedError(refused)

    def pair(draw: Draw) -> tuple[Walk, Walk]:
        walk = Walk(settings, draw.start, draw.gradients[:3])
        return dataclasses.replace(walk, gradients=(_negative(walk.gradients[0]), *walk.gradients[1:])), walk

    return bench.different(
        bench.draws(3, first=_NONZERO),
        pair,
        lambda first, second: f"another third step than after {list(first.gradients[0])} as the first gradient",
        lambda path: path[3:] - path[2:3],
    )


def _nesterov(bench: Bench) -> Fault | None:
    bench.need("nesterov")
    momentum = {"momentum": MOMENTUM} if bench.signature.has("momentum") else {}
    without, ahead = (bench.signature.spell({**momentum, "nesterov": value}) for value in (False, True))
    if refused := bench.refusal(without) or bench.refusal(ahead):
        raise NotCheckedError(refused)
    return bench.different(
        bench.draws(1, first=_NONZERO),
        lambda draw: (_walk(draw, settings=without), _walk(draw, settings=ahead)),
        lambda first, second: "another position than with nesterov=False",
    )


def _reference(bench: Bench) -> Fault | None:
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
        walk = Walk(settings, draw.start, ((0.0,) * draw.dimension,) * draw.steps)
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
    """How closely a method keeps its numbers: it may have been made in float32."""
    import jax

    narrow = any(str(getattr(leaf, "dtype", "")) == "float32" for leaf in jax.tree.leaves(reference))
    return 1e-6 if narrow else 0.0


def _switched(setting: str) -> Callable[[Bench], Fault | None]:
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
                _walk(draw, settings=draw.settings | {name: value}, parts="tensors") for value in (False, True)
            ),
            ROUNDING,
        )

    return look


def _in_mode(mode: str) -> Callable[[Bench], Fault | None]:
    def look(bench: Bench) -> Fault | None:
        if bench.framework.name == "keras":
            import keras  # pyright: ignore[reportMissingImports]

            if keras.backend.backend() != "jax":
                raise NotCheckedError(f"keras runs on {keras.backend.backend()}, not on jax")
        examples = bench.examples if mode == "vmap" else min(bench.examples, _COMPILED)
        return bench.alike(bench.draws(), lambda draw: (_walk(draw), _walk(draw, mode=mode)), ROUNDING, examples)

    return look


def _resume(bench: Bench) -> Fault | None:
    st = need_hypothesis().strategies

    def space(**options: Any) -> Space:
        return bench.draws(2, extra=lambda steps: st.integers(1, steps - 1), **options)

    def narrow(draw: Draw) -> tuple[Walk, Walk]:
        # From 0, where parameters have the most digits.
        walk = Walk(draw.settings, (0.0,) * draw.dimension, draw.gradients, dtype="bfloat16")
        return walk, dataclasses.replace(walk, resume_after=draw.extra)

    fault = bench.alike(space(), lambda draw: (_walk(draw), _walk(draw, resume_after=draw.extra)))
    # A state of more digits than the parameters may be rounded to theirs, which shows in few of the examples.
    return fault or bench.alike(space(first=_NONZERO), narrow, examples=3 * bench.examples)


def _grouping(bench: Bench) -> Fault | None:
    ways = ("tensors", "groups") if bench.framework.name == "torch" else ("tensors",)
    for parts in ways:
        fault = bench.alike(
            bench.draws(dimensions=(2, 3)), lambda draw, parts=parts: (_walk(draw), _walk(draw, parts=parts)), ROUNDING
        )
        if fault is not None:
            return fault
    return None


def _no_gradient(bench: Bench) -> Fault | None:
    def fault(draw: Draw) -> Fault | None:
        walk = _walk(draw, parts="tensors")
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


def _zero_gradient(bench: Bench) -> Fault | None:
    decay = bench.signature.names.get("weight_decay")
    still = [settings | ({decay: 0.0} if decay else {}) for settings in bench.catalogue]

    def fault(draw: Draw) -> Fault | None:
        walk = Walk(draw.settings, draw.start, ((0.0,) * draw.dimension,) * draw.steps)
        try:
            found = bench.framework.follow(walk)
        except Exception as error:
            return raised(walk, error, list(walk.start))
        step = first_parting(np.array([walk.start] * len(found)), found, None)
        return None if step is None else Fault(until(walk, step), list(walk.start), found[step].tolist())

    return bench.search(bench.draws(1, still), fault)


def _bf16(bench: Bench) -> Fault | None:
    def fault(draw: Draw) -> Fault | None:
        plain, walk = _walk(draw), _walk(draw, dtype="bfloat16")
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

    return bench.search(bench.draws(numbers=POSITIVE), fault)


def _deterministic(bench: Bench) -> Fault | None:
    def fault(draw: Draw) -> Fault | None:
        try:
            bench.framework.follow(_walk(draw))
        except Exception:
            # The checks that follow tell of it.
            return None
        return bench.parted(_walk(draw), _walk(draw), None)

    return bench.search(bench.draws(), fault)


def _isolated(bench: Bench) -> Fault | None:
    def fault(draw: Draw) -> Fault | None:
        walk = _walk(draw)
        alone = bench.framework.follow(walk)
        one, other = bench.framework.begin(walk), bench.framework.begin(walk)
        path = [one.position]
        for gradient in walk.gradients:
            other.step(_negative(gradient))
            one.step(gradient)
            path.append(one.position)
        step = first_parting(alone, np.array(path), None)
        if step is None:
            return None
        note = "while before each step a second optimizer makes one, on parameters of its own, down -gradient"
        return Fault(until(walk, step), alone[step].tolist(), path[step].tolist(), note=note)

    return bench.search(bench.draws(), fault)


def _gradient_kept(bench: Bench) -> Fault | None:
    def fault(draw: Draw) -> Fault | None:
        walk = _walk(draw)
        walker: Any = bench.framework.begin(walk)
        for count, gradient in enumerate(walk.gradients, 1):
            walker.step(gradient)
            found = walker.tensors[0].grad
            found = None if found is None else found.tolist()
            if found != list(gradient):
                return Fault(until(walk, count), list(gradient), found, note="x.grad after the last step")
        return None

    return bench.search(bench.draws(), fault)


def _learning_rate(bench: Bench) -> Fault | None:
    bench.need("rate")
    one, two = bench.signature.spell({}), _half_rate(bench)
    return bench.different(
        bench.draws(first=_NONZERO),
        lambda draw: (_walk(draw, settings=one), _walk(draw, settings=two)),
        lambda first, second: f"another position than with {bench.signature.names['rate']}={RATE}",
    )


def _schedule(bench: Bench) -> Fault | None:
    settings, st = bench.catalogue[0], need_hypothesis().strategies
    walker: Any = bench.framework.begin(Walk(settings, (1.0,), ()))
    if bench.framework.name == "torch" and "lr" not in walker.optimizer.param_groups[0]:
        raise NotCheckedError("its groups have no lr")

    def pair(draw: Draw) -> tuple[Walk, Walk]:
        walk = _walk(draw, settings=settings)
        # Half of the usual learning rate, but for the case that this is the factory's own.
        return walk, dataclasses.replace(walk, rate_after=(draw.extra, 0.47 * RATE))

    return bench.different(
        bench.draws(2, first=_NONZERO, numbers=_NONZERO, extra=lambda steps: st.integers(1, steps - 1)),
        pair,
        lambda first, second: "another position than without the change",
    )


def _closure(bench: Bench) -> Fault | None:
    import torch  # pyright: ignore[reportMissingImports]

    walk = Walk(bench.catalogue[0], (1.0,), ((1.0,),))
    walker: Any = bench.framework.begin(walk)
    enabled: list[bool] = []

    def closure() -> Any:
        enabled.append(torch.is_grad_enabled())
        walker.give(walk.gradients[0])
        return torch.tensor(3.0)

    expected = "the loss 3.0, from a closure that was called with gradients enabled"
    try:
        loss = walker.optimizer.step(closure)
        told = f"the loss {float(loss)}" if loss is not None else "no loss"
    except Exception as error:
        told = f"raised {first_line(error)}"
    if not enabled:
        told += ", and the closure was never called"
    elif not all(enabled):
        told += ", and the closure was called without gradients"
    if told == "the loss 3.0":
        return None
    lines = bench.framework.code(walk).replace("optimizer.step()", "loss = optimizer.step(lambda: torch.tensor(3.0))")
    return Fault(walk, expected, told, code=lines)


def _negative(gradient: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(-number for number in gradient)


_JAX = ("optax", "keras")
_TORCH = ("torch",)
CHECKS: tuple[Check, ...] = (
    Check(
        "momentum",
        "momentum changes the result",
        "it does in an example",
        "the momentum has no effect",
        _momentum,
    ),
    Check(
        "memory",
        "with momentum the first gradient still counts in the third step",
        "it does in an example",
        "with momentum the first gradient is forgotten by the third step; is the buffer kept from step to step?",
        _memory,
    ),
    Check(
        "nesterov",
        "nesterov changes the result",
        "it does in an example",
        "nesterov has no effect",
        _nesterov,
    ),
    Check(
        "reference",
        "the path is that of the reference",
        "to 1e-12; to 1e-6 where numbers are kept in float32",
        "the path is not that of the reference",
        _reference,
    ),
    Check(
        "foreach",
        "foreach=True is as foreach=False",
        "to 1e-12",
        "the steps of foreach=True and foreach=False differ",
        _switched("foreach"),
        _TORCH,
    ),
    Check(
        "fused",
        "fused=True is as fused=False",
        "to 1e-12",
        "the steps of fused=True and fused=False differ",
        _switched("fused"),
        _TORCH,
    ),
    Check(
        "compiled",
        "under jax.jit it is as without",
        "to 1e-12",
        "a compiled step is another step",
        _in_mode("compiled"),
        _JAX,
    ),
    Check(
        "scan",
        "in jax.lax.scan it is as in a loop",
        "to 1e-12",
        "jax.lax.scan goes elsewhere or fails; do the state's structure, shapes and dtypes stay as init made them?",
        _in_mode("scan"),
        ("optax",),
    ),
    Check(
        "vmap",
        "under jax.vmap it is as without",
        "to 1e-12",
        "jax.vmap goes elsewhere or fails",
        _in_mode("vmap"),
        ("optax",),
    ),
    Check(
        "resume",
        "saved and resumed it is as uninterrupted",
        "bit for bit, in float64 and bfloat16",
        "a resumed run is another run; is the whole state saved, and taken up in its own dtype?",
        _resume,
    ),
    Check(
        "grouping",
        "parameters may be split among tensors and groups",
        "to 1e-12",
        "parameters split among tensors or groups go elsewhere (by design where a step depends on a tensor's norm or "
        "shape: leave this check out)",
        _grouping,
    ),
    Check(
        "no gradient",
        "a parameter without gradient is left alone",
        "bit for bit",
        "a parameter whose gradient is None moved, or the step failed",
        _no_gradient,
        _TORCH,
        repeats=False,
    ),
    Check(
        "zero gradient",
        "a gradient of zero moves nothing from an empty state",
        "bit for bit, weight decay 0",
        "parameters moved, or became NaN, on a gradient of zero (by design with noise or a weight decay that cannot be "
        "set to 0: leave this check out)",
        _zero_gradient,
    ),
    Check(
        "bf16",
        "bfloat16 stays bfloat16, near the path of float64",
        "to 1.6% a step, of the parameters and the way they went",
        "in bfloat16 the dtype changes, or the path leaves that of float64 by more than 1.6% a step",
        _bf16,
    ),
    Check(
        "deterministic",
        "the same input gives the same result",
        "bit for bit",
        "two new optimizers given the same do not do the same: noise, or a state that outlives its optimizer",
        _deterministic,
    ),
    Check(
        "isolated",
        "two optimizers at once do not share state",
        "bit for bit",
        "an optimizer is moved by another of its kind; is its state kept in the class or the module?",
        _isolated,
    ),
    Check(
        "gradient kept",
        "a step does not change the gradients",
        "bit for bit",
        "the step changes the gradient it was given",
        _gradient_kept,
        _TORCH,
        repeats=False,
    ),
    Check(
        "learning rate",
        "the learning rate changes the result",
        "it does in an example",
        "the learning rate has no effect",
        _learning_rate,
    ),
    Check(
        "schedule",
        "a new learning rate takes effect at the next step",
        "it does in an example",
        "a learning rate changed in mid-run has no effect; is it kept from the start?",
        _schedule,
        ("torch", "keras"),
    ),
    Check(
        "closure",
        "step(closure) evaluates it and returns its loss",
        "once",
        "step(closure) does not evaluate the closure, or not with gradients, or does not return its loss",
        _closure,
        _TORCH,
        repeats=False,
    ),
)
BY_NAME: Mapping[str, Check] = {check.name: check for check in CHECKS}
