"""Gradients in what is traced, counted in its program: marked where they are taken, multiplied by the loops around."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jaxtyping import Array, Float

from .._objectives.objective import AbstractObjective, Batch, Quadratic
from .._tree import Vector

# What passes it is as it was; it is looked for in the program and never run.
_gradients = Primitive("thalweg_gradients")
_gradients.def_abstract_eval(lambda x, *, count: x)
ad.deflinear2(_gradients, lambda cotangent, x, *, count: (cotangent,))
batching.defvectorized(_gradients)


class Marking(AbstractObjective):
    """Marks where a gradient is taken; a Hessian-vector product counts as 2."""

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        return Quadratic(jnp.ones(())).value(x, batch)

    # The derivatives of half a square are written out, which is quicker to trace.
    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        del batch
        return _marked(x, 1)

    def value_and_gradient(self, x: Vector, batch: Batch = None) -> tuple[Float[Array, ""], Vector]:
        return self.value(x, batch), _marked(x, 1)

    def gradient_and_curvature(self, x: Vector, v: Vector, batch: Batch = None) -> tuple[Vector, Vector]:
        del batch
        return _marked(x, 2), v


def marked_field(time: Any, x: Vector, args: Any) -> Vector:
    """A field whose evaluations are counted as gradients are."""
    del time, args
    return _marked(x, 1)


def marked_score(t: Any, x: Vector) -> Vector:
    """The same of what a network predicts."""
    return marked_field(t, x, None)


def _marked(x: Vector, count: int) -> Vector:
    leaves, structure = jax.tree.flatten(x)
    return jax.tree.unflatten(structure, [_gradients.bind(leaves[0], count=count), *leaves[1:]])


def counted(function: Callable, *arguments: Any) -> tuple[int, Any]:
    """Gradients that a function of arrays takes, and the shape of what it gives.

    A loop of known length takes as many as its length says; where the length or a branch depends on numbers, the least
    is counted.
    """
    program, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return _count(program.jaxpr), shape


def _count(program: Any) -> int:
    total = 0
    for equation in program.eqns:
        name, found = equation.primitive.name, equation.params
        if equation.primitive is _gradients:
            total += found["count"]
        elif name == "scan":
            total += found["length"] * _count(found["jaxpr"].jaxpr)
        elif name == "cond":
            total += min(_count(branch.jaxpr) for branch in found["branches"])
        elif name != "while":
            total += sum(_count(getattr(inner, "jaxpr", inner)) for inner in _programs(found))
    return total


def _programs(parameters: dict[str, Any]) -> list[Any]:
    values = [v for value in parameters.values() for v in (value if isinstance(value, tuple | list) else (value,))]
    return [value for value in values if hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")]
