"""Programs that run once or a few times, whose compiling is all that they cost."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax

P = ParamSpec("P")
R = TypeVar("R")

# XLA's newer emitter makes loops of the processor some times faster, and takes twice as long over each.
_OPTION = "xla_cpu_use_fusion_emitters"
_KNOWN = [True]


def compiled_quickly(fn: Callable[P, R]) -> Callable[P, R]:
    """`eqx.filter_jit` for what runs once: half the time to compile, not as fast after."""
    usual: Any = eqx.filter_jit(fn)
    quick: Any = eqx.filter_jit(fn, compiler_options={_OPTION: False})  # pyright: ignore

    @functools.wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if _KNOWN[0]:
            try:
                return quick(*args, **kwargs)
            except jax.errors.JaxRuntimeError as error:
                # The option is XLA's own, and may go.
                if _OPTION not in str(error):
                    raise
                _KNOWN[0] = False
        return usual(*args, **kwargs)

    return call
