"""Programs whose compiling is all that they cost, and those whose calls are."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun

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


class _Static:
    """A tree without its arrays, to be looked up by; numbers of different types are different."""

    def __init__(self, tree: Any) -> None:
        leaves, structure = jax.tree.flatten(tree)
        self.tree, self._key = tree, (structure, *((type(leaf), leaf) for leaf in leaves))
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Static) and self._key == other._key)


@functools.partial(jax.jit, static_argnums=0)
def _called(static: _Static, arrays: Any, *args: Any) -> Any:
    fn, bound = eqx.combine(arrays, static.tree)
    return fn(bound, *args)


def called_often(fn: Callable[..., R], bound: Any) -> Callable[..., R]:
    """Compiled `fn(bound, ...)` of arrays, whose first argument is looked through once and not at every call.

    `eqx.filter_jit` takes a tenth of a millisecond over a call, more than most functions do.
    """
    arrays, rest = eqx.partition((fn, bound), eqx.is_array)
    return functools.partial(_called, _Static(rest), arrays)
