"""Blocks of a network: how they are called, and several of them as one with stacked arrays."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._errors import InputError, as_key
from .._module import Module

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Takes(NamedTuple):
    """Arguments of a block besides x: the time before it, a key by name."""

    time: bool
    key: bool


def taken_by(block: Any) -> Takes:
    """The arguments of a block.

    Raises:
        InputError: it is no function of x, or of (t, x).
    """
    if not callable(block) or isinstance(block, type):
        raise InputError(f"a block must be a function of x or of (t, x), such as an eqx.nn.MLP, but is {block!r}")
    try:
        parameters = inspect.signature(block).parameters.values()
    except (TypeError, ValueError):
        return Takes(False, False)
    needed = [one for one in parameters if one.kind in _POSITIONAL and one.default is one.empty]
    by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    open_ended = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    if (len(needed) not in (1, 2) and not (open_ended and not needed)) or set(by_name) - {"key"}:
        raise InputError(f"a block must be a function of x or of (t, x), but takes {inspect.signature(block)}")
    key = any(one.name == "key" or one.kind is one.VAR_KEYWORD for one in parameters)
    return Takes(len(needed) == 2, key)


class Field(Module):
    """A block as the right-hand side of a `tw.Field`; its own arrays or, where there are several, those in `args`."""

    shared: Any
    takes: Takes = eqx.field(static=True)

    def __call__(self, t: Any, x: PyTree, args: tuple[Any, Any]) -> PyTree:
        own, words = args
        block = self.shared if own is None else own
        given = (t, x) if self.takes.time else (x,)
        if words is None:
            return block(*given)
        return block(*given, key=jax.random.wrap_key_data(words))


def stacked(blocks: Sequence[Any]) -> Any:
    """One block whose arrays have a leading axis, of blocks that are alike.

    Raises:
        InputError: they differ in more than the numbers in their arrays.
    """
    parts = [eqx.partition(block, eqx.is_array) for block in blocks]
    (first, rest), structure = parts[0], jax.tree.structure(parts[0][0])
    shapes = [leaf.shape for leaf in jax.tree.leaves(first)]
    if not shapes:
        raise InputError(
            "blocks of a list must have arrays, by which they differ; give one block that all depths share"
        )
    for i, (arrays, others) in enumerate(parts):
        own = [leaf.shape for leaf in jax.tree.leaves(arrays)]
        if jax.tree.structure(arrays) != structure or own != shapes or not eqx.tree_equal(others, rest):
            raise InputError(
                f"blocks of a list must be alike but for the numbers in their arrays, but block {i} is not"
            )
    return eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *(arrays for arrays, _ in parts)), rest)


def made(factory: Callable, count: int, key: Any) -> Any:
    """The same of blocks that a factory makes, each of a key of its own.

    Raises:
        InputError: the factory does not make a block of a key.
    """
    keys = jax.random.split(as_key(key), count)
    try:
        return stacked([factory(one) for one in keys])
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"with a key a block must be a function that makes one of a key, but it raised {type(error).__name__}: "
            f"{first}"
        ) from error
