"""The largest curvature of an objective, by power iteration on Hessian-vector products."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import InputError, check_count, check_number
from .._programs import compiled_by_size
from .._tree import Vector, combine, inner, normal
from .._typed import typed
from .at_start import explain
from .objective import AbstractObjective, as_objective, as_position

# Below this part of the norm a Rayleigh quotient is none of an eigenvector of positive eigenvalue.
SIGN = 1e-3


@typed()
def largest_curvature(objective: Any, x: Vector, iterations: int = 200, tolerance: float = 1e-10) -> float:
    r"""The largest eigenvalue of the Hessian at x (0 where no curvature is positive).

    $$\ell_{\max} = \lambda_{\max}(\nabla^2 f(x))$$

    Power iteration on Hessian-vector products; where a negative eigenvalue is as large in size,
    a second pass on the shifted Hessian finds the largest one.

    Arguments:
        objective: a `tw.Objective` or a function.
        x: pytree of float arrays.
        iterations: Hessian-vector products at most, each pass.
        tolerance: relative change of the eigenvalue at which to stop.

    Returns:
        $\ell_{\max}$, in units of f over x squared.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2)
    >>> round(tw.analysis.largest_curvature(f, jnp.ones(2)), 4)
    4.0
    """
    check_count("iterations", iterations)
    check_number("tolerance", tolerance, at_least=0.0)
    f, x = as_objective(objective), as_position(x)
    if f is None:
        raise InputError("largest_curvature needs an objective, a function of x that returns a number")
    try:
        return top_curvature(f, x, iterations, tolerance)[0]
    except Exception:
        explain(f, x)
        raise


def top_curvature(objective: Any, x: Vector, iterations: int = 200, tolerance: float = 1e-10) -> tuple[float, Vector]:
    """The largest eigenvalue of the Hessian at x and its unit eigenvector."""
    objective, x = as_objective(objective), as_position(x)
    assert objective is not None
    value, scale, direction = _power(objective, x, jnp.zeros(()), iterations, tolerance)
    if value < (1.0 - SIGN) * scale:
        shifted, _, other = _power(objective, x, -scale, iterations, tolerance)
        value, direction = max((value, direction), (shifted - scale, other), key=lambda found: float(found[0]))
    return max(float(value), 0.0), direction


def lowest_curvature(objective: Any, x: Vector, iterations: int = 200, tolerance: float = 1e-10) -> float:
    """The least eigenvalue of the Hessian at x, from above; 0 where what is below is rounding."""
    objective, x = as_objective(objective), as_position(x)
    assert objective is not None
    _, scale, _ = _power(objective, x, jnp.zeros(()), iterations, tolerance)
    shifted, _, _ = _power(objective, x, scale, iterations, tolerance)
    lowest = float(shifted + scale)
    eps = float(jnp.finfo(jnp.result_type(*jax.tree.leaves(x))).eps)
    return lowest if abs(lowest) > 10.0 * eps**0.5 * float(scale) else 0.0


def curvature_scale(objective: Any, x: Vector, iterations: int = 200, tolerance: float = 1e-10) -> float:
    r"""The size of the Hessian at x, $\max_i|\lambda_i|$: how long a step may be where nothing need curve upwards."""
    objective = as_objective(objective)
    assert objective is not None
    return float(_power(objective, as_position(x), jnp.zeros(()), iterations, tolerance)[1])


@compiled_by_size
def _power(
    objective: AbstractObjective, x: Vector, origin: Array, iterations: int, tolerance: float
) -> tuple[Array, Array, Vector]:
    """The Rayleigh quotient, the norm of the last product, and the unit vector."""
    leaves, structure = jax.tree.flatten(x)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    draws = [normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    start = jax.tree.unflatten(structure, draws)

    def normalised(v: Vector) -> Vector:
        norm = jnp.sqrt(inner(v, v))
        return combine((1.0 / jnp.where(norm > 0, norm, 1.0), v))

    def going(carry: Any) -> Array:
        _, value, before, _, count = carry
        return (count < iterations) & (jnp.abs(value - before) > tolerance * jnp.abs(value))

    def multiply(carry: Any) -> Any:
        v, value, _, _, count = carry
        product = combine((1, objective.hessian_vector_product(x, v)), (-origin, v))
        return normalised(product), inner(v, product), value, jnp.sqrt(inner(product, product)), count + 1

    first = normalised(start)
    dtype = inner(first, first).dtype
    carry = (first, jnp.ones((), dtype), jnp.zeros((), dtype), jnp.zeros((), dtype), 0)
    v, value, _, scale, _ = jax.lax.while_loop(going, multiply, carry)
    return value, scale, v
