"""The Gauss-Newton metric: lengths are those of the change of residuals."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from .._objectives.least_squares import LeastSquares
from .._tree import Vector, copied, scalar
from .._typed import check_fields
from .pullback import DENSE, PRODUCTS, TOLERANCE, AbstractPullback, Pulled, check_solves


def as_residuals(value: Any) -> Any:
    """Least squares as they are, and of a function."""
    return value if isinstance(value, LeastSquares) else LeastSquares(value)


class GaussNewton(AbstractPullback):
    r"""The metric $J^\top J + \lambda$ of residuals r with Jacobian J: the length of a velocity is how fast r changes.

    $$\dot\theta = -(J^\top J + \lambda)^{-1}\,\nabla f(\theta)$$

    Of $f = \tfrac12|r|^2$ and $\lambda = 0$ it is $\dot r = -P_Jr$ with $P_J$ the projection on the columns of J.
    Euler's step of 1 is Gauss and Newton's, and with damping $\lambda = 1/h$ it is Levenberg's, which is the linearly
    implicit Euler step of length h of gradient flow in flat space, `tw.RosenbrockEuler` on a `tw.LeastSquares`.
    `tw.LevenbergMarquardt` is that with Marquardt's diagonal in the place of the identity, and an h that follows from
    how good the last step was.

    Arguments:
        residuals: a `tw.LeastSquares`, or a function of the parameters that gives a float array, or a tree of them. The
            metric is on all the data that they hold; the objective may be another, and draw mini-batches.
        damping: $\lambda \ge 0$, in units of $J^\top J$.
        tolerance: of the residual of a solve by conjugate gradients, relative, above 0; what the precision allows at
            least.
        products: in such a solve, at most.
        dense: parameters of which the matrix is formed and factored, at most.

    Raises:
        InputError: a number is out of its range; in a step, there are fewer residuals than parameters and no damping.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.LeastSquares(lambda x: jnp.array([x[0] + x[1] - 3.0, 10.0 * (x[1] - 1.0)]))
    >>> law = tw.GradientFlow(f, geometry=tw.geometry.GaussNewton(f))
    >>> tw.run(tw.Method(law, tw.Euler(), 1.0), jnp.array([5.0, 5.0]), 1).final.position.round(5).tolist()
    [2.0, 1.0]

    Reference: Levenberg (1944); Nocedal and Wright (2006), chapter 10.
    """

    residuals: LeastSquares = eqx.field(converter=as_residuals)
    damping: Float[Array, ""] = eqx.field(default=0.0, converter=scalar)
    tolerance: Float[Array, ""] = eqx.field(default=TOLERANCE, converter=scalar)
    products: int = eqx.field(default=PRODUCTS, static=True)
    dense: int = eqx.field(default=DENSE, static=True)

    def __check_init__(self) -> None:
        check_fields(self)
        check_solves(self.damping, self.tolerance, self.products, self.dense)

    def pulled(self, position: Vector) -> Pulled:
        r, forward, backward = self.residuals.linearised(position)
        return Pulled(forward, backward, lambda u: u, r.size)

    def joined(self, join: Callable) -> "GaussNewton":
        """The same metric on the parameters from which `join` makes what the residuals take."""
        return copied(self, residuals=self.residuals.joined(join))
