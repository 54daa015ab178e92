"""Least squares: half the square of residuals, whose Jacobian gives a curvature without second derivatives."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._errors import InputError
from .._tree import Vector, copied
from .finite_sum import _as_data
from .objective import AbstractObjective, Batch
from .parts import Joined


class LeastSquares(AbstractObjective):
    r"""Half the sum of squares of residuals, $f(x) = \tfrac12|r(x)|^2$, such as of a model that is fitted to data.

    With J the Jacobian of r the gradient is $J^\top r$ and the Hessian $J^\top J + \sum_i r_i\nabla^2 r_i$, whose first
    part, the *Gauss-Newton curvature*, has no negative eigenvalue and needs no second derivative. `tw.minimize` and
    `tw.LevenbergMarquardt` work with it, and so does `tw.RosenbrockEuler`, whose step on gradient flow is Levenberg's:

    $$\Bigl(\frac1h + J^\top J\Bigr)d = -J^\top r.$$

    Every other law and scheme has $f$ with its own gradient and Hessian, as of any objective.

    Arguments:
        residuals: `residuals(x)`, or `residuals(x, data)` where data is given: a float array of any shape, or a pytree
            of them; model minus data, each over its own standard deviation where they differ.
        data: pytree of arrays, passed on; changing them never recompiles.

    Raises:
        InputError: `residuals` is not callable, or data holds what is no number; where it is evaluated: the residuals
            are no float arrays, or there are none.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> times, counts = jnp.array([0.0, 1.0, 2.0]), jnp.array([8.0, 4.0, 2.0])
    >>> decay = tw.LeastSquares(lambda x, data: x["start"] * jnp.exp(-x["rate"] * data[0]) - data[1], (times, counts))
    >>> run = tw.minimize(decay, {"start": jnp.array(1.0), "rate": jnp.array(0.1)})
    >>> run.status, round(float(run.final.position["start"]), 4), round(float(run.final.position["rate"]), 4)
    ('converged', 8.0, 0.6931)

    Reference: Levenberg (1944); Nocedal and Wright (2006), chapter 10.
    """

    residuals: Callable
    data: PyTree = eqx.field(default=None, converter=_as_data)

    def __check_init__(self) -> None:
        if not callable(self.residuals):
            raise InputError(f"residuals must be a function of the parameters, but is {self.residuals!r}")

    def residual(self, x: Vector) -> Float[Array, " m"]:
        """All residuals as one vector, in float32 at least.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> tw.LeastSquares(lambda x: {"a": x - 1.0, "b": 2.0 * x}).residual(jnp.array([3.0])).tolist()
        [2.0, 6.0]
        """
        found = self.residuals(x) if self.data is None else self.residuals(x, self.data)
        leaves = jax.tree.leaves(found)
        if not leaves:
            raise InputError("residuals must return a float array, or a tree of them, but returns none")
        for leaf in leaves:
            if not isinstance(leaf, jax.Array | float) and not hasattr(leaf, "dtype"):
                raise InputError(f"residuals must return float arrays, but returns {type(leaf).__name__}")
            dtype = jnp.asarray(leaf).dtype
            if not jnp.issubdtype(dtype, jnp.floating):
                way = "; give the real and the imaginary part" if jnp.issubdtype(dtype, jnp.complexfloating) else ""
                raise InputError(f"residuals must return float arrays, but returns {dtype}{way}")
        arrays = [jnp.ravel(jnp.asarray(leaf)) for leaf in leaves]
        r = jnp.concatenate([leaf.astype(jnp.result_type(jnp.float32, *arrays)) for leaf in arrays])
        if not r.size:
            raise InputError("residuals must return at least one number, but returns an empty array")
        return r

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        del batch
        r = self.residual(x)
        return 0.5 * (r @ r)

    def linearised_gradient(self, x: Vector, batch: Batch = None) -> tuple[Vector, Callable[[Vector], Vector]]:
        r"""$(J^\top r,\ v \mapsto J^\top J v)$."""
        del batch
        r, forward, backward = self.linearised(x)
        return backward(r), lambda v: backward(forward(v))

    def gradient_along(self, x: Vector, move: Vector, batch: Batch = None) -> Vector:
        r"""$J^\top(r + Jd)$: the gradient a move away, as the Gauss-Newton model has it."""
        del batch
        r, change = jax.jvp(self.residual, (x,), (move,))
        return jax.vjp(self.residual, x)[1](r + change)[0]

    def linearised(self, x: Vector) -> tuple[Array, Callable[[Vector], Array], Callable[[Array], Vector]]:
        r"""$(r,\ v \mapsto Jv,\ u \mapsto J^\top u)$ at a point."""
        r, forward = jax.linearize(self.residual, x)
        transposed = jax.linear_transpose(forward, x)
        return r, forward, lambda u: transposed(u)[0]

    def joined(self, join: Callable) -> "LeastSquares":
        return copied(self, residuals=Joined(self.residuals, join))

    def flattened(self, unravel: Callable) -> AbstractObjective:
        return self.joined(unravel)

    def fit(self, x: PyTree) -> Any:
        """Residuals, spread and covariance of the parameters at a point: a `tw.Fit`.

        Arguments:
            x: the parameters, a minimiser.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> line = tw.LeastSquares(lambda x: x - jnp.array([1.0, 2.0, 6.0]))
        >>> round(float(line.fit(jnp.array([3.0])).standard_errors[0]), 4)  # sqrt(14 / 2 / 3)
        1.5275
        """
        from .fit import fitted

        return fitted(self, x)
