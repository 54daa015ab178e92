"""A problem: an objective, a start, and where it is from."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg
from jaxtyping import PyTree

from .._errors import InputError, check_number
from .._objective import FiniteSum, Objective
from .._tree import Vector, size


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """An objective with a start.

    Arguments:
        name: how the command line calls it.
        objective: the function to go down, with what is known of its minimum and curvature.
        start: $x_0$, a pytree of float arrays.
        description: one line.
        reference: a key of `docs/references.bib`.

    >>> import thalweg as tw
    >>> tw.problems.beale().dimension
    2
    """

    name: str
    objective: Objective | FiniteSum
    start: Vector
    description: str
    reference: str

    @property
    def dimension(self) -> int:
        """Number of real parameters."""
        return size(self.start)

    def solved(self, tolerance: float = 1e-9) -> "Problem":
        r"""The problem with its minimum and minimiser, computed in float64 where they are not known.

        scipy's L-BFGS-B, then Newton steps by conjugate gradients until $\|\nabla f\| <$ `tolerance`,
        which puts $f$ within $\|\nabla f\|^2 / 2\mu$ of $f^\star$ and $x$ within $\|\nabla f\| / \mu$ of $x^\star$.

        Arguments:
            tolerance: the Euclidean norm of the gradient to reach, in units of $f$ over units of $x$.

        Returns:
            A problem like this one, its `objective.minimum` and `objective.minimiser` filled in.

        Raises:
            InputError: the objective is not known to be strongly convex, so that no point found is
                known to be its minimum; or the tolerance is not positive or below what float64 can reach.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> f = tw.Objective(lambda x: jnp.sum(jnp.cosh(x) - 0.75 * x), strong_convexity=1.0)
        >>> problem = tw.problems.Problem("cosh", f, jnp.zeros(2), "a hanging chain", "boyd2004")
        >>> round(problem.solved().objective.minimum, 6)  # 2 (5/4 - 3/4 log 2)
        1.460279

        Reference: Nocedal and Wright (2006), chapters 6 and 7.
        """
        check_number("tolerance", tolerance, above=0.0)
        known = self.objective
        if known.minimum is not None and known.minimiser is not None:
            return self
        if not known.strong_convexity:
            raise InputError(
                f"{self.name} is not known to be strongly convex, so no point found would be known as its minimum"
            )
        with jax.enable_x64(True):
            objective, start = jax.tree.map(_as_float64, (known, self.start))
            minimum, minimiser = _minimise(objective, start, tolerance)
        minimiser = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), minimiser)
        return dataclasses.replace(self, objective=dataclasses.replace(known, minimum=minimum, minimiser=minimiser))


def _as_float64(leaf: object) -> object:
    return jnp.asarray(np.asarray(leaf), jnp.float64) if eqx.is_inexact_array(leaf) else leaf


def _minimise(objective: Objective | FiniteSum, start: Vector, tolerance: float) -> tuple[float, PyTree[np.ndarray]]:
    from scipy.optimize import minimize

    x, unravel = ravel_pytree(start)

    def value(x: jax.Array, objective: Objective | FiniteSum) -> jax.Array:
        return objective.value(unravel(x))

    slope = eqx.filter_jit(jax.value_and_grad(value))

    @eqx.filter_jit
    def newton(x: jax.Array, objective: Objective | FiniteSum) -> jax.Array:
        gradient, curvature = jax.linearize(lambda y: jax.grad(value)(y, objective), x)
        return x - cg(curvature, gradient, tol=1e-8)[0]

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = slope(jnp.asarray(x), objective)
        return float(value), np.asarray(gradient)

    rough = {"maxiter": 10_000, "maxfun": 20_000, "gtol": 1e-7, "ftol": 0.0, "maxcor": 30}
    x = jnp.asarray(minimize(fun, np.asarray(x), jac=True, method="L-BFGS-B", options=rough).x)
    smallest = np.inf
    for _ in range(20):
        minimum, gradient = slope(x, objective)
        norm = float(jnp.linalg.norm(gradient))
        if norm < tolerance:
            return float(minimum), jax.tree.map(np.asarray, unravel(x))
        smallest = min(smallest, norm)
        x = newton(x, objective)
    raise InputError(f"tolerance must be within float64's reach ({smallest:.1e} here), but is {tolerance:g}")
