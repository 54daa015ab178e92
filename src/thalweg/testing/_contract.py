"""The contract: what holds for every optimizer, one check a clause."""

import dataclasses
from collections.abc import Callable, Mapping

from ._compare import Bench, Fault
from ._effects import learning_rate, memory, momentum, nesterov, schedule
from ._factory import FRAMEWORKS
from ._manners import closure, copied, gradient_kept, no_gradient, own_keys
from ._sameness import (
    bf16,
    deterministic,
    grouping,
    in_mode,
    isolated,
    mixed,
    reference,
    resume,
    switched,
    zero_gradient,
)


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


_JAX = ("optax", "keras")
_TORCH = ("torch",)
CHECKS: tuple[Check, ...] = (
    Check(
        "momentum",
        "momentum changes the result",
        "it does in an example",
        "the momentum has no effect",
        momentum,
    ),
    Check(
        "memory",
        "with momentum the first gradient still counts in the third step",
        "it does in an example",
        "with momentum the first gradient is forgotten by the third step; is the buffer kept from step to step? (by "
        "design where vectors, or matrices, are to have no momentum, and in schedule-free methods, whose third step is "
        "free of it: leave this check out)",
        memory,
    ),
    Check(
        "nesterov",
        "nesterov changes the result",
        "it does in an example",
        "nesterov has no effect",
        nesterov,
    ),
    Check(
        "reference",
        "the path is that of the reference",
        "to 1e-12; to 1e-6 where numbers are kept in float32",
        "the path is not that of the reference",
        reference,
    ),
    Check(
        "foreach",
        "foreach=True is as foreach=False",
        "to 1e-12",
        "the steps of foreach=True and foreach=False differ",
        switched("foreach"),
        _TORCH,
    ),
    Check(
        "fused",
        "fused=True is as fused=False",
        "to 1e-12",
        "the steps of fused=True and fused=False differ",
        switched("fused"),
        _TORCH,
    ),
    Check(
        "compiled",
        "under jax.jit it is as without",
        "to 1e-12",
        "a compiled step is another step",
        in_mode("compiled"),
        _JAX,
    ),
    Check(
        "scan",
        "in jax.lax.scan it is as in a loop",
        "to 1e-12",
        "jax.lax.scan goes elsewhere or fails; do the state's structure, shapes and dtypes stay as init made them?",
        in_mode("scan"),
        ("optax",),
    ),
    Check(
        "vmap",
        "under jax.vmap it is as without",
        "to 1e-12",
        "jax.vmap goes elsewhere or fails",
        in_mode("vmap"),
        ("optax",),
    ),
    Check(
        "resume",
        "saved and resumed it is as uninterrupted",
        "bit for bit, in float64 and bfloat16, also between a change of the learning rate and a step",
        "a resumed run is another run; is the whole state saved, and taken up in its own dtype?",
        resume,
    ),
    Check(
        "grouping",
        "parameters may be split among tensors and groups",
        "to 1e-12",
        "parameters split among tensors or groups go elsewhere (by design where a step depends on a tensor's norm or "
        "shape: leave this check out)",
        grouping,
    ),
    Check(
        "no gradient",
        "a parameter without gradient is left alone",
        "bit for bit",
        "a parameter whose gradient is None moved, or the step failed",
        no_gradient,
        _TORCH,
        repeats=False,
    ),
    Check(
        "zero gradient",
        "a gradient of zero moves nothing from an empty state",
        "to 1e-12, weight decay 0",
        "parameters moved, or became NaN, on a gradient of zero (by design with noise or a weight decay that cannot be "
        "set to 0: leave this check out)",
        zero_gradient,
    ),
    Check(
        "bf16",
        "bfloat16 stays bfloat16, near the path of float64",
        "to 1.6% a step, of the parameters and the way they went",
        "in bfloat16 the dtype changes, or the path leaves that of float64 by more than 1.6% a step (by design where "
        "the parameters are taken out of a combination of two points, as in schedule-free methods: leave this check "
        "out)",
        bf16,
    ),
    Check(
        "mixed",
        "tensors of different dtypes go their ways",
        "float64 to 1e-12, bfloat16 to 1.6%",
        "beside a tensor of another dtype a tensor goes elsewhere, changes its dtype, or the step fails (by design "
        "where a step depends on all parameters together: leave this check out)",
        mixed,
        ("torch", "optax"),
    ),
    Check(
        "own keys",
        "keys of a user's own in a group stay, and change nothing",
        "bit for bit, saved and resumed",
        "a group with keys of its user's own goes elsewhere, loses them, or cannot be saved and resumed",
        own_keys,
        _TORCH,
    ),
    Check(
        "copy",
        "copied in mid-run it goes on as uncopied",
        "bit for bit, by copy.deepcopy with its parameters",
        "a copy is another optimizer; is the whole state in the state of torch, which alone is copied?",
        copied,
        _TORCH,
    ),
    Check(
        "deterministic",
        "the same input gives the same result",
        "bit for bit",
        "two new optimizers given the same do not do the same: noise, or a state that outlives its optimizer",
        deterministic,
    ),
    Check(
        "isolated",
        "two optimizers at once do not share state",
        "bit for bit",
        "an optimizer is moved by another of its kind; is its state kept in the class or the module?",
        isolated,
    ),
    Check(
        "gradient kept",
        "a step does not change the gradients",
        "bit for bit",
        "the step changes the gradient it was given",
        gradient_kept,
        _TORCH,
        repeats=False,
    ),
    Check(
        "learning rate",
        "the learning rate changes the result",
        "it does in an example",
        "the learning rate has no effect",
        learning_rate,
    ),
    Check(
        "schedule",
        "a new learning rate takes effect at the next step",
        "it does in an example",
        "a learning rate changed in mid-run has no effect; is it kept from the start?",
        schedule,
        ("torch", "keras"),
    ),
    Check(
        "closure",
        "step(closure) evaluates it and returns its loss",
        "once",
        "step(closure) does not evaluate the closure, or not with gradients, or does not return its loss",
        closure,
        _TORCH,
        repeats=False,
    ),
)
BY_NAME: Mapping[str, Check] = {check.name: check for check in CHECKS}
