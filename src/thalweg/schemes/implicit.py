"""Implicit Euler and the implicit midpoint rule: the force is taken where the step ends, or in its middle."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._tree import combine, scalar
from ..dynamics import AbstractDynamics
from ._base import phase
from ._general import changed, flat_field, implicit_change
from ._newton import Implicit, implicit_move
from ._solving import AbstractSolving, as_preconditioner, check_solver, eliminated, is_eliminated, precise, time_after
from ._state import Draws, State


class AbstractImplicit(AbstractSolving):
    """An implicit Euler step of a `part` of the step, and the same change to its end."""

    part: eqx.AbstractClassVar[float]
    tolerance: Float[Array, ""] = eqx.field(default=1e-8, converter=scalar)
    iterations: int = eqx.field(default=50, static=True)
    preconditioner: Any = eqx.field(default=None, converter=as_preconditioner)
    products: int = eqx.field(default=1000, static=True)

    def __check_init__(self) -> None:
        check_solver(self.tolerance, self.preconditioner, iterations=self.iterations, products=self.products)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        h = jnp.asarray(step_size)
        if not is_eliminated(dynamics):
            field, time = flat_field(dynamics, phase(state), draws.batch), time_after(state, self.part * h)
            tolerance = precise(self.tolerance, state.position)
            change = implicit_change(field, time, self.part * h, tolerance, self.iterations, self.products)
            return changed(state, change, h, self.part)
        step = eliminated(dynamics, state, time_after(state, self.part * h), self.part * h)
        found = implicit_move(
            dynamics, state.position, step, precise(self.tolerance, state.position), self.iterations, self.products,
            self.preconditioner, draws.batch, state.evaluation,
        )  # fmt: skip
        return moved(state, found, h, self.part)


class ImplicitEuler(AbstractImplicit):
    r"""Implicit Euler, of order 1 and without a limit of the step; on gradient flow it is the proximal point method.

    $$\theta^+ = \theta - bh\nabla f(\theta^+)
      = \operatorname*{argmin}_x f(x) + \frac1{2bh}|x - \theta|^2$$

    On a second-order law $m\eta^+ = m\eta - h\bigl(\nabla f(\theta^+) + \lambda\eta^+\bigr)$ with
    $\theta^+ = \theta + h\eta^+$. The velocity eliminated, a step of either is

    $$\min_\delta\; f(\theta + \delta) + \tfrac\sigma2|\delta - d|^2,\qquad
      \sigma = \frac1{bh},\; d = 0\quad\text{or}\quad
      \sigma = \frac m{h^2} + \frac\lambda h,\; d = \frac{hm}{m + \lambda h}\,\eta,$$

    found by Newton's method, each of whose linear systems $\sigma + \nabla^2 f$ is solved by conjugate gradients from
    products with the Hessian. Every iteration goes down in that, at negative curvature too, so that on gradient flow a
    step never ends higher in f than it began, but for rounding; where $\sigma$ is less than the most negative
    curvature, the minimum found is one of several or, on a quadratic, none. A step that ends short of the tolerance
    keeps what it has reached and is counted: `failures`.

    On any other law without noise, `tw.Field` for one, $y^+ = y + hF(t + h, y^+)$ is solved for the whole phase, by
    Newton's method with a search along its steps. Up to 256 numbers its matrix is eliminated, from a Jacobian of so
    many products in every iteration; a larger system is solved by GMRES.

    Arguments:
        tolerance: of the equation's residual, in units of $\sigma|d| + |\nabla f(\theta)|$, on any other
            law of $|\delta|$, from 0; below what the precision of the parameters allows it is that.
        iterations: of Newton's method, at most.
        preconditioner: curvatures D, one a parameter, in the order of their tree or as a tree like it, by which
            $(\sigma + D)^{-1}$ stands for the inverse; or a function of a vector that stands for it, symmetric and
            positive definite, which in `tw.run` gets all parameters as one vector. None is the identity.
        products: with the Hessian, or the Jacobian, in an iteration, at most.

    Raises:
        InputError: a number is out of its range, the preconditioner does not fit, or the law has noise, or with a
            preconditioner a force or friction that is not of the form above (`tw.HighResolutionFlow`).

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2))
    >>> run = tw.run(tw.Method(flow, tw.ImplicitEuler(), 3.0), jnp.array([16.0]), 2)  # 16 / (1 + 3)^2
    >>> [round(x, 6) for x in run.final.position.tolist()], int(run.method.scheme.failures(run.state))
    ([1.0], 0)

    Reference: Hairer and Wanner (1996), section IV.3; on gradient flow, Rockafellar (1976).
    """

    order: ClassVar[int] = 1
    part: ClassVar[float] = 1.0


class ImplicitMidpoint(AbstractImplicit):
    r"""The implicit midpoint rule, of order 2, without a limit of the step, and symplectic where there is no friction.

    $$\theta^+ = \theta - bh\nabla f\Bigl(\frac{\theta + \theta^+}2\Bigr)$$

    and likewise on a second-order law, in position and velocity. It is half a step of `tw.ImplicitEuler` and the same
    change once more, and is solved as that is. The first half goes down, the whole may end higher than it began: where
    f is steeper on the other side, it goes as far up there. Energy that is quadratic it conserves exactly. Fast modes
    it does not damp: the factor of one step, $(1 - bh\ell/2)/(1 + bh\ell/2)$, tends to -1.

    Arguments: as in `tw.ImplicitEuler`.

    Raises:
        InputError: as in `tw.ImplicitEuler`.

    >>> import thalweg as tw
    >>> method = tw.Method(tw.GradientFlow(None), tw.ImplicitMidpoint(), 1.0)
    >>> round(float(tw.analysis.amplification(method, curvature=2.0)[0, 0]), 12) + 0.0  # (1 - 1) / (1 + 1)
    0.0

    Reference: Hairer and Wanner (1996), section IV.5.
    """

    order: ClassVar[int] = 2
    part: ClassVar[float] = 0.5


def moved(state: State, found: Implicit, step_size: Array, part: float = 1.0) -> State:
    """The state at the end of a step of which the move over a part, from its start, has been found."""
    velocity = None
    if state.velocity is not None:
        # Of the mean velocity over the part the change is taken 1/part times.
        mean = 1.0 / (part * step_size)
        velocity = combine((mean / part, found.move), (1.0 - 1.0 / part, state.velocity))
    return dataclasses.replace(
        state,
        position=combine((1, state.position), (1.0 / part, found.move)),
        buffer=velocity,
        clock=None if state.clock is None else state.clock.tick(step_size),
        memory=state.memory.plus(found.gradients, found.products, found.failed),
    )
