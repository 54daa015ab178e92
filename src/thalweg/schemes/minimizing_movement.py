"""The minimizing movement: the step of Jordan, Kinderlehrer and Otto, which in flat space is implicit Euler."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError, check_choice, check_number
from .._measures.base import AbstractMeasure
from .._measures.functional import AbstractFunctional, as_measure
from .._measures.grid import Grid
from .._measures.particles import Particles
from .._tree import Vector, scalar
from ..dynamics import AbstractDynamics, GradientFlow
from ..dynamics._base import at_time
from ..geometry import AbstractGeometry, Wasserstein
from ..geometry.base import named
from ._entropic import entropic_step
from ._rooted import nearest
from ._solving import Effort, check_solver, precise, time_after
from ._state import Clock, Draws, State
from .implicit import AbstractImplicit

_SOLVERS = ("newton", "entropic")
# On distributions the equation is solved to this, where nothing else limits it.
_SHARP = 1e-12


class MinimizingMovement(AbstractImplicit):
    r"""The minimizing movement of a gradient flow, the step of Jordan, Kinderlehrer and Otto; of order 1.

    $$x^+ = \operatorname*{argmin}_x F(x) + \frac1{2bh}d^2(x, x_0)$$

    with the distance of the geometry. In flat space it is `tw.ImplicitEuler`. In Wasserstein's geometry it is found
    by Newton's method in coordinates in which the distance from where the distribution is, is flat: of `Quantiles`
    themselves, with an exact tridiagonal system for a potential and an internal energy, of a `Gaussian` the mean and a
    root of the covariance (exact at once where the potential is quadratic), of `Particles` their positions, each on a
    way of its own, which is the optimal plan as long as they do not cross.

    On a `Grid` the solver is "entropic": with $\varepsilon$ the transport from $\rho_0$ to $\rho$ costs

    $$\frac1{2bh}\min_\gamma\int|x - y|^2\,d\gamma + \varepsilon\int\gamma\log\gamma\,dx\,dy$$

    over plans $\gamma$ with these marginals: all in the domain of logarithms, with a kernel along each axis. So a step
    spreads a density by `bias`. Two cells of a width above $\sqrt{2\varepsilon}$ hardly exchange mass, which makes the
    flow slow: the cells should be narrower than that, and than a step moves.

    Arguments:
        solver: "newton", or on grids "entropic"; None is the one that there is.
        epsilon: $\varepsilon > 0$, of the entropic solver, in units of a squared length.
        tolerance: of the equation's residual, as of `tw.ImplicitEuler`; on distributions at most 1e-12.
        iterations: of Newton's method, at most.
        preconditioner: in flat space, as of `tw.ImplicitEuler`.
        products: with the Hessian in an iteration, at most.

    Raises:
        InputError: the law is no gradient flow, or in a geometry whose distance is not known here; the solver is not
            for the distribution, or the functional has no value on it.

    >>> import thalweg as tw
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> flow = tw.GradientFlow(F, geometry=tw.geometry.Wasserstein())
    >>> method = tw.Method(flow, tw.MinimizingMovement(), 1.0)
    >>> step = method.step(method.init(tw.measures.Gaussian(4.0, 1.0)))
    >>> step.position.mean.round(9).tolist(), step.position.covariance.round(9).tolist()  # (m - 4) + m = 0
    ([2.0], [[1.0]])

    Reference: Jordan, Kinderlehrer and Otto (1998); the entropic step Peyré (2015).
    """

    order: ClassVar[int] = 1
    part: ClassVar[float] = 1.0
    solver: str | None = eqx.field(default=None, static=True)
    epsilon: Float[Array, ""] = eqx.field(default=1e-2, converter=scalar)

    def __init__(
        self,
        solver: str | None = None,
        epsilon: Any = 1e-2,
        tolerance: Any = 1e-8,
        iterations: int = 50,
        preconditioner: Any = None,
        products: int = 1000,
    ) -> None:
        self.solver, self.epsilon = solver, epsilon
        self.tolerance, self.iterations, self.preconditioner, self.products = (
            tolerance,
            iterations,
            preconditioner,
            products,
        )

    def __check_init__(self) -> None:
        check_solver(self.tolerance, self.preconditioner, iterations=self.iterations, products=self.products)
        check_number("epsilon", self.epsilon, above=0.0)
        if self.solver is not None:
            check_choice("solver", self.solver, _SOLVERS)

    def bias(self, step_size: ArrayLike) -> Float[Array, ""]:
        r"""The temperature $\varepsilon/4h$ that the entropic solver adds to that of the flow, to first order.

        Of a Gaussian and no other force a step adds $\varepsilon/2$ to the variance.
        """
        return self.epsilon / (4.0 * jnp.asarray(step_size))

    def check(self, dynamics: AbstractDynamics) -> None:
        if not isinstance(dynamics, GradientFlow):
            raise InputError(
                f"MinimizingMovement makes the steps of tw.GradientFlow, but the law is {type(dynamics).__name__}; use "
                "tw.ImplicitEuler()"
            )
        super().check(dynamics)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        if isinstance(geometry, Wasserstein):
            return None
        return f"needs the squared distance of its geometry, which is not known here for {named(geometry)}"

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        if isinstance(dynamics.geometry, Wasserstein):
            self._check_measure(dynamics, as_measure(position))
        elif self.solver == "entropic":
            raise InputError('the solver "entropic" is of densities on a tw.measures.Grid; leave it out in flat space')
        return super().init(dynamics, position, step_size, velocity, clock)

    def _check_measure(self, dynamics: AbstractDynamics, q: AbstractMeasure) -> None:
        functional = dynamics.objective
        if isinstance(functional, AbstractFunctional) and (reason := functional.without_value(q)):
            raise InputError(reason)
        if isinstance(q, Grid) and self.solver == "newton":
            raise InputError('on a grid the solver is "entropic"; for "newton" start from quantiles or a Gaussian')
        if not isinstance(q, Grid) and self.solver == "entropic":
            raise InputError(f'the solver "entropic" is for a grid, but the start is {q.words}; leave it out')
        if isinstance(q, Particles) and q.log_density is not None:
            raise InputError("particles move, and the log_density they carry would stay behind; leave it out")

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        if not isinstance(dynamics.geometry, Wasserstein):
            return super().step(dynamics, state, step_size, draws)
        assert isinstance(dynamics, GradientFlow)
        step, q = jnp.asarray(step_size), state.position
        h = step * at_time(dynamics.rate, time_after(state, step))
        functional: Any = dynamics.objective
        tolerance = precise(jnp.minimum(self.tolerance, _SHARP), q)
        if isinstance(q, Grid):
            position, found = entropic_step(functional, q, h, self.epsilon, tolerance, self.iterations, self.products)
        else:
            position, found = nearest(functional, q, h, tolerance, self.iterations, self.products)
        memory: Effort = state.memory
        return dataclasses.replace(
            state,
            position=position,
            clock=None if state.clock is None else state.clock.tick(step),
            memory=memory.plus(*found[1:]),
        )
