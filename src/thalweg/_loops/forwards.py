"""Results that have a derivative forwards alone, or none: a line says why, in place of JAX's own or of NaN."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import PyTree

from .._errors import InputError

# The identity. What is transposed first on the way back is what comes last, so that the loop before it is not reached.
_forwards: Any = Primitive("forwards_only")
_forwards.def_impl(lambda x, *, words, never: x)
_forwards.def_abstract_eval(lambda x, *, words, never: x)
mlir.register_lowering(_forwards, lambda context, x, *, words, never: [x])


def _moved(primals: tuple[Any], tangents: tuple[Any], *, words: str, never: bool) -> tuple[Any, Any]:
    known, tangent = _forwards.bind(primals[0], words=words, never=never), tangents[0]
    if type(tangent) is ad.Zero:
        return known, tangent
    if never:
        raise InputError(words)
    return known, _forwards.bind(tangent, words=words, never=never)


def _back(cotangent: Any, x: Any, *, words: str, never: bool) -> list[Any]:
    del x, never
    if type(cotangent) is ad.Zero:
        return [cotangent]
    raise InputError(words)


def _mapped(xs: tuple[Any], axes: tuple[Any], **parameters: Any) -> tuple[Any, Any]:
    return _forwards.bind(xs[0], **parameters), axes[0]


ad.primitive_jvps[_forwards] = _moved
ad.primitive_transposes[_forwards] = _back
batching.primitive_batchers[_forwards] = _mapped


def forwards_only(tree: PyTree, words: str, never: bool = False) -> PyTree:
    """The same tree, whose derivative in reverse is refused by these words; any, where it `never` has one."""

    def bound(leaf: Any) -> Any:
        inexact = jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
        return _forwards.bind(leaf, words=words, never=never) if inexact else leaf

    return jax.tree.map(bound, tree)
