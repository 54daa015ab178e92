"""The linearly implicit Euler method: one Newton iteration, damped by the step size."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._tree import scalar
from ..dynamics import AbstractDynamics
from ._base import phase
from ._general import changed, flat_field, linear_change
from ._newton import linear_move
from ._solving import AbstractSolving, as_preconditioner, check_solver, eliminated, is_eliminated, precise, time_after
from ._state import Draws, State
from .implicit import moved


class RosenbrockEuler(AbstractSolving):
    r"""Linearly implicit Euler, of order 1: the implicit equation by one Newton iteration from where the step begins.

    $$(1 - hJ)\,k = F(y),\qquad y^+ = y + hk$$

    with J the law's Jacobian at y. On gradient flow it is Newton's method, damped,

    $$\theta^+ = \theta - \Bigl(\frac1{bh} + \nabla^2 f(\theta)\Bigr)^{-1}\nabla f(\theta),$$

    and Newton's own step as $h \to \infty$. Of a `tw.LeastSquares` the curvature is that of Gauss and Newton,
    $J^\top J$ for $\nabla^2f$, and the step Levenberg's; the order is the same. On a second-order law the velocity is
    eliminated as in `tw.ImplicitEuler`. Coefficients that depend on time are those at the end of the step. The system
    is solved by conjugate gradients. Where it is not positive definite ($1/bh$ less than the most negative curvature)
    they stop at the first direction that shows it, and the step goes to where they are: a direction downhill, where the
    solution itself may lead to a saddle. Such a step is counted among `failures`, as is one that ends short of the
    tolerance. A step may end higher in f than it began, and long ones may leave the minimum of a convex function for
    ever: on $\sqrt{1 + x^2}$ Newton's step takes x to $-x^3$. On a law that is not that of a gradient the system is
    that of the whole phase, and is solved as in `tw.ImplicitEuler`.

    Arguments:
        tolerance: of the linear system's residual, relative to its right-hand side, from 0; below what the precision of
            the parameters allows it is that.
        preconditioner: as in `tw.ImplicitEuler`.
        products: with the Hessian in a step, at most.

    Raises:
        InputError: as in `tw.ImplicitEuler`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.GradientFlow(lambda x: jnp.sum(jnp.cosh(x)))
    >>> method = tw.Method(flow, tw.RosenbrockEuler(), 1e9)
    >>> x = method.step(method.init(jnp.array([0.5]))).position[0]
    >>> bool(abs(x - (0.5 - jnp.tanh(0.5))) < 1e-8)  # f' / f''
    True

    Reference: Hairer and Wanner (1996), section IV.7.
    """

    tolerance: Float[Array, ""] = eqx.field(default=1e-8, converter=scalar)
    preconditioner: Any = eqx.field(default=None, converter=as_preconditioner)
    products: int = eqx.field(default=1000, static=True)
    order: ClassVar[int] = 1

    def __check_init__(self) -> None:
        check_solver(self.tolerance, self.preconditioner, products=self.products)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        h = jnp.asarray(step_size)
        if not is_eliminated(dynamics):
            field, tolerance = flat_field(dynamics, phase(state), draws.batch), precise(self.tolerance, state.position)
            return changed(state, linear_change(field, time_after(state, h), h, tolerance, self.products), h)
        found = linear_move(
            dynamics, state.position, eliminated(dynamics, state, time_after(state, h), h),
            precise(self.tolerance, state.position), self.products, self.preconditioner, draws.batch,
        )  # fmt: skip
        return moved(state, found, h)
