"""A minimum to the last digits, by SciPy's L-BFGS-B and Newton steps: where others' limits are measured from."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._tree import Vector, ravel, to_host, unraveler
from .objective import AbstractObjective

_NEWTON_STEPS = 20


def polish(objective: AbstractObjective, start: Vector, tolerance: float) -> tuple[float, PyTree[np.ndarray], float]:
    r"""Go down from `start` until $\|\nabla f\| <$ `tolerance`, or as far as float64 reaches.

    L-BFGS-B, then Newton steps by conjugate gradients for as long as they shrink the gradient.

    Arguments:
        objective: its own full gradient is used.
        start: pytree of float arrays.
        tolerance: Euclidean norm of the gradient.

    Returns:
        the value, the point (a pytree of float64 NumPy arrays), and the norm of the gradient there.

    Reference: Nocedal and Wright (2006), chapters 6 and 7.
    """
    with jax.enable_x64(True):
        objective, start = jax.tree.map(_as_float64, (objective, start))
        unravel = unraveler(start)
        x = _quasi_newton(objective, ravel(start), unravel)
        value, gradient = _slope(x, objective, unravel)
        best = (float(value), x, float(jnp.linalg.norm(gradient)))
        for _ in range(_NEWTON_STEPS):
            if best[2] < tolerance:
                break
            x = _newton(best[1], objective, unravel)
            value, gradient = _slope(x, objective, unravel)
            norm = float(jnp.linalg.norm(gradient))
            if not norm < best[2]:
                break
            best = (float(value), x, norm)
        return best[0], jax.tree.map(np.asarray, unravel(best[1])), best[2]


def _quasi_newton(objective: AbstractObjective, x: Array, unravel: Any) -> Array:
    from scipy.optimize import minimize

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _slope(jnp.asarray(x), objective, unravel)
        return float(value), np.asarray(gradient)

    options = {"maxiter": 10_000, "maxfun": 20_000, "gtol": 1e-7, "ftol": 0.0, "maxcor": 30}
    return jnp.asarray(minimize(fun, to_host(x), jac=True, method="L-BFGS-B", options=options).x)


@eqx.filter_jit
def _slope(x: Array, objective: AbstractObjective, unravel: Any) -> tuple[Array, Array]:
    return jax.value_and_grad(lambda y: objective.value(unravel(y)))(x)


@eqx.filter_jit
def _newton(x: Array, objective: AbstractObjective, unravel: Any) -> Array:
    from jax.scipy.sparse.linalg import cg

    gradient, curvature = jax.linearize(jax.grad(lambda y: objective.value(unravel(y))), x)
    return x - cg(curvature, gradient, tol=1e-8, maxiter=1000)[0]


def _as_float64(leaf: Any) -> Any:
    return jnp.asarray(np.asarray(leaf), jnp.float64) if eqx.is_inexact_array_like(leaf) else leaf
