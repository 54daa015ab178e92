"""Linear arithmetic on pytrees of parameters, the only arithmetic a scheme does."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float, Key, PyTree

from ._errors import is_real

Vector = PyTree[Float[Array, "..."]]


@functools.cache
def _at_least_float32(dtype: Any) -> Any:
    return jnp.promote_types(dtype, jnp.float32)


def _in(dtype: Any, value: Any) -> Any:
    if isinstance(value, int | float):
        return np.asarray(value, dtype)
    known = getattr(value, "dtype", None) == dtype and not getattr(value, "weak_type", False)
    return value if known else jnp.asarray(value).astype(dtype)


def combine(*terms: tuple[ArrayLike, Vector]) -> Vector:
    r"""$\sum_i c_i y_i$, leaf by leaf, in the dtype of the first term's leaves.

    A coefficient that is the Python number 1 multiplies nothing. Below float32 the sum is formed in float32 and rounded
    once.

    Arguments:
        terms: pairs of a coefficient, a number or an array (), and a pytree; all trees of one structure and shapes.

    >>> import jax.numpy as jnp
    >>> from thalweg.dynamics import combine
    >>> x, v = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([4.0, -8.0])}
    >>> combine((1, x), (0.5, v))["w"].tolist()
    [3.0, -2.0]
    """
    coefficients = [coefficient for coefficient, _ in terms]
    return jax.tree.map(functools.partial(_combined, coefficients), *(tree for _, tree in terms))


# By the primitives themselves: a step is traced through here more than anywhere, and an operator of jax.numpy is a
# program of its own. A coefficient takes the dtype of what it scales, so that float32 parameters never become float64;
# below float32 the sum is formed in float32 and rounded once.
def _combined(coefficients: list[Any], *leaves: Any) -> Any:
    dtype = _at_least_float32(leaves[0].dtype)
    # Arrays of float64 may be about where JAX makes none: there they are no match for a number.
    matched = dtype == jax.dtypes.canonicalize_dtype(dtype)
    times, plus = (lax.mul, lax.add) if matched else (jnp.multiply, jnp.add)
    total = None
    for coefficient, leaf in zip(coefficients, leaves, strict=True):
        term = _in(dtype, leaf)
        if not (isinstance(coefficient, int) and coefficient == 1):
            term = times(_in(dtype, coefficient), term)
        total = term if total is None else plus(total, term)
    return _in(leaves[0].dtype, total)


def inner(x: Vector, y: Vector) -> Float[Array, ""]:
    r"""Euclidean inner product $\langle x, y\rangle$ over all leaves.

    >>> import jax.numpy as jnp
    >>> from thalweg.dynamics import inner
    >>> float(inner({"a": jnp.ones(2), "b": jnp.ones(())}, {"a": jnp.array([1.0, 2.0]), "b": jnp.array(4.0)}))
    7.0
    """
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), x, y)
    return jnp.asarray(sum(jax.tree.leaves(products)))


def wide_inner(x: Vector, y: Vector) -> Float[Array, ""]:
    """`inner` of low-precision leaves in float32, where a sum of many products would lose its digits."""

    def product(a: Array, b: Array) -> Array:
        wide = jnp.promote_types(a.dtype, jnp.float32)
        return jnp.sum(a.astype(wide) * b.astype(wide))

    return jnp.asarray(sum(jax.tree.leaves(jax.tree.map(product, x, y))))


def wide_dtype(x: Vector) -> jnp.dtype:
    """Dtype of the inner products of a tree: the widest of its leaves, float32 at least."""
    return jnp.result_type(jnp.float32, *jax.tree.leaves(x))


def wide(x: Vector) -> Vector:
    """A tree in float32 at least."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)), x)


def length(x: Vector) -> Float[Array, ""]:
    """The Euclidean norm, also where squares would be too small or too large to be held."""
    dtype = wide_dtype(x)
    most = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0.0).astype(dtype) for leaf in jax.tree.leaves(x)]))
    scale = jnp.where((most > 0.0) & jnp.isfinite(most), most, 1.0)
    parts = [jnp.sum((leaf.astype(dtype) / scale) ** 2) for leaf in jax.tree.leaves(x)]
    return scale * jnp.sqrt(jnp.sum(jnp.stack(parts)))


def all_finite(x: Vector) -> Bool[Array, ""]:
    """Tell whether every number of a tree is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(x)]))


def zeros_like(x: Vector) -> Vector:
    """A tree of zeros of the same shapes and dtypes."""
    return jax.tree.map(jnp.zeros_like, x)


def on_device(value: Any, dtype: Any = None) -> Any:
    """An array of the host's numbers, by NumPy: `jnp.asarray` compiles a program for each of their shapes."""
    if isinstance(value, jax.Array):
        if dtype is None or value.dtype == jax.dtypes.canonicalize_dtype(dtype):
            return value
        if isinstance(value, Tracer) or sharded(value):
            return value.astype(dtype)
    return jax.device_put(np.asarray(value, dtype))


def at_once(operation: np.ufunc, *numbers: Any) -> Any:
    """The result of an operation on numbers, by NumPy where they are known: JAX compiles a program for each."""
    if any(isinstance(one, Tracer) for one in numbers):
        return getattr(jnp, operation.__name__)(*numbers)
    known = [np.asarray(one) if isinstance(one, jax.Array) else one for one in numbers]
    with np.errstate(all="ignore"):
        found = operation(*known)
    return on_device(found) if any(isinstance(one, jax.Array) for one in numbers) else found


def scalar(value: Any) -> Float[Array, ""]:
    """A hyperparameter as an array leaf, so that changing it never recompiles: `eqx.field(converter=scalar)`.

    What is no real number stays as it is: the class that converts it refuses it by name.

    >>> from thalweg.dynamics import scalar
    >>> scalar(0.5).shape
    ()
    """
    return on_device(value, float) if is_real(value) else value


def optional_scalar(value: Any) -> Any:
    """The same of a number that may be left out."""
    return None if value is None else scalar(value)


def size(x: Vector) -> int:
    """Number of real parameters."""
    return int(sum(np.prod(leaf.shape, dtype=int) for leaf in jax.tree.leaves(x)))


@dataclasses.dataclass(frozen=True)
class Unravel:
    """Cuts a vector (or an array whose last axis is one) back into a tree.

    Equal for equal structures, so that a compiled program is found again on the next run.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]

    @property
    def size(self) -> int:
        """The length of the vector."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def trivial(self) -> bool:
        """Tell whether the tree is one bare vector, so that there is nothing to cut."""
        return jax.tree_util.treedef_is_leaf(self.structure) and len(self.shapes[0]) == 1

    def __call__(self, vector: Any) -> Any:
        if len(self.shapes) == 1:
            leaf = vector.reshape(vector.shape[:-1] + self.shapes[0]).astype(self.dtypes[0])
            return jax.tree.unflatten(self.structure, [leaf])
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        leaves = [
            vector[..., end - math.prod(shape) : end].reshape(vector.shape[:-1] + shape).astype(dtype)
            for end, shape, dtype in zip(ends.tolist(), self.shapes, self.dtypes, strict=True)
        ]
        return jax.tree.unflatten(self.structure, leaves)


def unraveler(x: Vector) -> Unravel:
    """Function that cuts a raveled `x` back into its tree."""
    leaves, structure = jax.tree.flatten(x)
    return Unravel(structure, tuple(leaf.shape for leaf in leaves), tuple(np.dtype(leaf.dtype) for leaf in leaves))


def ravel(x: Vector) -> Float[Array, " d"]:
    """One vector in the widest dtype of the leaves."""
    leaves = jax.tree.leaves(x)
    if len(leaves) == 1 and jnp.ndim(leaves[0]) == 1:
        return jnp.asarray(leaves[0])
    return jnp.concatenate([jnp.ravel(leaf).astype(jnp.result_type(*leaves)) for leaf in leaves])


def normal(key: Key[Array, ""], shape: tuple[int, ...], dtype: Any) -> Array:
    """Standard normals of a shape.

    Drawn as one vector: the same numbers, but XLA takes five times as long to compile bits of several dimensions, which
    then take twice as long to draw.
    """
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def sharded(x: Vector) -> bool:
    """Tell whether a leaf is spread over several devices."""
    return any(len(leaf.sharding.device_set) > 1 for leaf in jax.tree.leaves(x))


def to_host(x: Vector) -> np.ndarray:
    """All parameters as one NumPy vector."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(x)]
    return leaves[0].ravel() if len(leaves) == 1 else np.concatenate([leaf.ravel() for leaf in leaves])


def copied(module: Any, **fields: Any) -> Any:
    """A module with other fields, not checked again; a run makes several, and `eqx.tree_at` is slow."""
    new = object.__new__(type(module))
    for name, value in {**vars(module), **fields}.items():
        object.__setattr__(new, name, value)
    return new
