"""Results that have a derivative forwards alone: in reverse a line says why, in place of JAX's own."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import PyTree

from .._errors import InputError

# The identity. What is transposed first on the way back is what comes last, so that the loop before it is not reached.
_forwards: Any = Primitive("forwards_only")
_forwards.def_impl(lambda x, *, words: x)
_forwards.def_abstract_eval(lambda x, *, words: x)
mlir.register_lowering(_forwards, lambda context, x, *, words: [x])


def _moved(primals: tuple[Any], tangents: tuple[Any], *, words: str) -> tuple[Any, Any]:
    tangent = tangents[0]
    bound = tangent if type(tangent) is ad.Zero else _forwards.bind(tangent, words=words)
    return _forwards.bind(primals[0], words=words), bound


def _back(cotangent: Any, x: Any, *, words: str) -> list[Any]:
    del x
    if type(cotangent) is ad.Zero:
        return [cotangent]
    raise InputError(words)


ad.primitive_jvps[_forwards] = _moved
ad.primitive_transposes[_forwards] = _back
batching.primitive_batchers[_forwards] = lambda xs, axes, *, words: (_forwards.bind(xs[0], words=words), axes[0])


def forwards_only(tree: PyTree, words: str) -> PyTree:
    """The same tree, whose derivative in reverse is refused by these words."""

    def bound(leaf: Any) -> Any:
        return _forwards.bind(leaf, words=words) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) else leaf

    return jax.tree.map(bound, tree)
