"""A smooth, strictly convex function without symmetry."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._objectives.objective import Objective
from ._problem import Problem

_Q = np.array([[2.0, 0.6, -0.3], [0.6, 1.2, 0.4], [-0.3, 0.4, 0.7]])
_A = np.array([[1.3, -0.4, 0.9], [-0.7, 1.1, 0.2], [0.5, 0.8, -1.2], [-0.9, -1.0, -0.3]])
_b = np.array([0.4, -0.2, 0.1, 0.6])
_MINIMISER = np.array([0.3, -0.7, 0.5])
_START = np.array([1.5, -1.0, 2.0])


def _value(x: Float[Array, "3"], args: dict[str, Float[Array, "..."]]) -> Float[Array, ""]:
    bend = jax.nn.logsumexp(args["A"] @ x + args["b"])
    return bend + 0.5 * x @ (args["Q"] @ x) - args["c"] @ x


def lopsided() -> Problem:
    r"""A smooth, strictly convex, nonlinear function in 3 dimensions without symmetry, for tests of order.

    $$f(x) = \log\sum_{i=1}^4 e^{a_i^\top x + b_i} + \tfrac12 x^\top Q x - c^\top x$$

    $Q$ is neither diagonal nor isotropic, the third derivatives do not vanish, and $c$ is chosen so
    that $x^\star = (0.3, -0.7, 0.5)$.

    Returns:
        The problem. $\mu = \lambda_{\min}(Q)$ and
        $L = \max_{i<j}\lambda_{\max}(Q + \tfrac14(a_i - a_j)(a_i - a_j)^\top)$ are the infimum and the
        supremum of the curvature, approached at infinity where one term of the sum or an even pair prevails
        (every weighting of the four is reached, as the $a_i$ are affinely independent).

    >>> import thalweg as tw
    >>> problem = tw.problems.lopsided()
    >>> problem.objective.minimiser.shape, round(problem.objective.smoothness, 3)
    ((3,), 3.704)

    Reference: Boyd and Vandenberghe (2004), section 3.1.5.
    """
    logits = _A @ _MINIMISER + _b
    weights = np.exp(logits)
    c = _A.T @ (weights / weights.sum()) + _Q @ _MINIMISER
    pairs = [a - b for a, b in itertools.combinations(_A, 2)]
    args = {"A": _A, "b": _b, "Q": _Q, "c": c}
    return Problem(
        name="lopsided",
        objective=Objective(
            fn=_value,
            args={name: jnp.asarray(value, float) for name, value in args.items()},
            minimum=float(np.log(weights.sum()) + 0.5 * _MINIMISER @ _Q @ _MINIMISER - c @ _MINIMISER),
            minimiser=jnp.asarray(_MINIMISER, float),
            smoothness=max(float(np.linalg.eigvalsh(_Q + 0.25 * np.outer(a, a))[-1]) for a in pairs),
            strong_convexity=float(np.linalg.eigvalsh(_Q)[0]),
        ),
        start=jnp.asarray(_START, float),
        description="log-sum-exp and a rotated quadratic in 3 dimensions: strictly convex, no symmetry",
        reference="boyd2004",
    )
