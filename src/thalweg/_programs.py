"""Programs whose compiling is all that they cost, and those whose calls are."""

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend.core import jaxpr_as_fun, jaxprs_in_params

from ._module import Module

P = ParamSpec("P")
R = TypeVar("R")

# XLA's newer emitter makes loops of the processor some times faster, and takes twice as long over each.
_OPTION = "xla_cpu_use_fusion_emitters"
_KNOWN = [True]
BARELY: dict[str, Any] = {
    _OPTION: False, "xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True
}  # fmt: skip
# Arrays of fewer entries fill no more than a register or two, where both emitters are as fast: a loop over 10 takes the
# same time; one over 16 with a logarithm in it may take a quarter more, one over 64 takes five times as long.
_SHORT = 16
_MOVING = {
    "broadcast_in_dim", "copy", "dynamic_slice", "dynamic_update_slice", "iota", "reshape", "slice", "squeeze",
}  # fmt: skip
# Programs whose emitter is known without a look.
_MANY = 1024


def compiled_quickly(fn: Callable[P, R]) -> Callable[P, R]:
    """`eqx.filter_jit` for what runs once: half the time to compile, not as fast after."""
    return _compiled(fn, {_OPTION: False})


def compiled_barely(fn: Callable[P, R]) -> Callable[P, R]:
    """The same for small arrays and few steps, as of a probe: hardly optimised, three quarters of the time again."""
    return _compiled(fn, BARELY)


def _compiled(fn: Callable[P, R], options: dict[str, Any]) -> Callable[P, R]:
    usual: Any = eqx.filter_jit(fn)
    quick: Any = eqx.filter_jit(fn, compiler_options=options)  # pyright: ignore
    signature = inspect.signature(fn)

    @functools.wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # An argument that is left to its default is the same program as one that is given it.
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return _first_of(quick, usual, bound.args, bound.kwargs)

    return call


def with_options(fn: Callable[..., R], options: dict[str, Any], static: int | None = 0) -> Callable[..., R]:
    """`jax.jit` of a function of a `Static` and arrays, by compiler's options of which some may not be known."""
    usual: Any = jax.jit(fn, static_argnums=static)
    optional: Any = jax.jit(fn, static_argnums=static, compiler_options=options)
    return lambda *args: _first_of(optional, usual, args, {})


def _first_of(optional: Any, usual: Any, args: Any, kwargs: Any) -> Any:
    if _KNOWN[0]:
        try:
            return optional(*args, **kwargs)
        except jax.errors.JaxRuntimeError as error:
            # The options are XLA's own, and may go.
            if not any(option in str(error) for option in BARELY):
                raise
            _KNOWN[0] = False
    return usual(*args, **kwargs)


def written_out(fn: Callable[..., Any], *like: Any) -> Callable[..., Any]:
    """The same function of arrays, as primitives; it gives one array.

    Every `vmap` and derivative takes each call of jax.numpy apart again, and those of what is written out only once.
    """
    plain = jaxpr_as_fun(jax.make_jaxpr(fn)(*like))
    return lambda *args: plain(*args)[0]


def on_grid(fn: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """An array at all pairs of two arrays."""
    plain = written_out(fn, one[0], other[0])
    pairs = jax.vmap(plain)(jnp.repeat(one, len(other), axis=0), jnp.tile(other, len(one)))
    return pairs.reshape(len(one), len(other), *pairs.shape[1:])


def compiled_by_size(fn: Callable[..., R]) -> Callable[..., R]:
    """`eqx.filter_jit` of a loop, compiled quickly where its arrays are so short that it is none the slower for it."""
    filtered: Any = eqx.filter_jit(fn)

    def flat(static: "Static", arrays: Any) -> _Returned:
        args, kwargs = eqx.combine(arrays, static.tree)
        return _Returned(*eqx.partition(fn(*args, **kwargs), eqx.is_array))

    flat.__name__ = flat.__qualname__ = fn.__name__
    # Programs of one function are traced once, whatever they are compiled with.
    usual: Any = jax.jit(flat, static_argnums=0)
    quick: Any = jax.jit(flat, static_argnums=0, compiler_options={_OPTION: False})
    chosen: dict[Any, Any] = {}

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> R:
        arrays, rest = eqx.partition((args, kwargs), eqx.is_array)
        leaves = jax.tree.leaves(arrays)
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return filtered(*args, **kwargs)
        static = Static(rest)
        known = (static, *((leaf.shape, leaf.dtype) for leaf in leaves))
        if known not in chosen:
            if len(chosen) >= _MANY:
                chosen.clear()
            equations = list(_equations(usual.trace(static, arrays).jaxpr))
            # What is raised in the program, equinox puts into words.
            raises = any(equation.primitive.name.endswith("callback") for equation in equations)
            chosen[known] = None if raises else quick if _KNOWN[0] and _short(equations) else usual
        program = chosen[known]
        if program is None:
            return filtered(*args, **kwargs)
        try:
            found = program(static, arrays)
        except jax.errors.JaxRuntimeError as error:
            if program is usual or _OPTION not in str(error):
                raise
            _KNOWN[0], chosen[known] = False, usual
            found = usual(static, arrays)
        return eqx.combine(found.arrays, found.rest)

    return call


class _Returned(Module):
    """Result of a compiled function: its arrays, and what is no array."""

    arrays: Any
    rest: Any = eqx.field(static=True)


def _equations(jaxpr: Any) -> Iterator[Any]:
    """The equations of a computation, those of its loops and calls in place of them."""
    for equation in jaxpr.eqns:
        inner = list(jaxprs_in_params(equation.params))
        for part in inner:
            yield from _equations(part)
        if not inner:
            yield equation


def _short(equations: list[Any]) -> bool:
    """Tell whether every array that is worked out, and not only moved, is short."""
    worked_out = (equation for equation in equations if equation.primitive.name not in _MOVING)
    return all(math.prod(variable.aval.shape) < _SHORT for equation in worked_out for variable in equation.outvars)


class Static:
    """A tree without its arrays, to be looked up by; numbers of different types are different."""

    def __init__(self, tree: Any) -> None:
        leaves, structure = jax.tree.flatten(tree)
        self.tree, self._key = tree, (structure, *((type(leaf), leaf) for leaf in leaves))
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Static) and self._key == other._key)


@functools.partial(jax.jit, static_argnums=0)
def _called(static: Static, arrays: Any, *args: Any) -> Any:
    fn, bound = eqx.combine(arrays, static.tree)
    return fn(bound, *args)


def called_often(fn: Callable[..., R], bound: Any) -> Callable[..., R]:
    """Compiled `fn(bound, ...)` of arrays, whose first argument is looked through once and not at every call.

    `eqx.filter_jit` takes a tenth of a millisecond over a call, more than most functions do.
    """
    arrays, rest = eqx.partition((fn, bound), eqx.is_array)
    return functools.partial(_called, Static(rest), arrays)
