"""A method: a law of motion, a scheme and a step size."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError, check_arguments, check_count, check_number
from .._objectives.objective import AbstractObjective, Batch, as_objective
from .._objectives.parts import same
from .._showing.modules import call, nearest, shown
from .._tree import Unravel, Vector, copied, scalar
from ..dynamics import AbstractDynamics, AbstractSecondOrder, Phase
from ..dynamics._curved import check_on
from ..dynamics._probed import check_probed
from ..dynamics.pieces import check_pieces
from ..geometry._densities import AbstractDensityNoise
from ..schemes import AbstractScheme, Clock, Draws, State
from ..schemes._base import evaluated
from .carrying import AbstractCarrying
from .counted import AbstractCounted
from .drawing import AbstractDrawing
from .grid import TimeGrid
from .inverted import AbstractInverted
from .knobs import changed, check_pair, knobs_of
from .raveled import Raveled, raveled

if TYPE_CHECKING:
    from ..analysis import DiffusionLimit

Schedule = Callable[[ArrayLike], ArrayLike]


def _step_size(value: Any) -> Any:
    return value if callable(value) else scalar(value)


class Method(AbstractDrawing, AbstractCounted, AbstractCarrying, AbstractInverted):
    r"""An optimizer: `dynamics` cut into steps of `step_size` by `scheme`.

    Arguments:
        dynamics: a law of motion, such as `tw.HeavyBall(f, friction=1.0)`.
        scheme: a discretisation, such as `tw.Leapfrog()`.
        step_size: h > 0 in units of the law's time, or a schedule: a function of the integer step
            (any optax schedule).
        times: instead of it the times $t_0, \dots, t_n$ of all states, an array (n + 1,): step k goes from $t_k$ to
            $t_{k+1}$, both read from it. They go up, or down for a field.

    Raises:
        InputError: the scheme needs a part the law does not have, the step size is not a finite positive number, or
            the times do not go one way.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> method = tw.Method(tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2)), tw.Euler(), 0.5)
    >>> method.step(method.init(jnp.array([4.0]))).position.tolist()
    [2.0]
    """

    dynamics: AbstractDynamics
    scheme: AbstractScheme
    step_size: Float[Array, ""] | Schedule = eqx.field(converter=_step_size)

    def __init__(
        self, dynamics: AbstractDynamics, scheme: AbstractScheme, step_size: Any = None, *, times: Any = None
    ) -> None:
        if step_size is not None and times is not None:
            raise InputError("give a step_size, or the times of all states, times=jnp.linspace(0, 1, 11); one of them")
        chosen: Any = step_size if times is None else TimeGrid(times)
        # What a scheme takes from the objective it keeps, so that the probe and another loop see the same method.
        both = isinstance(scheme, AbstractScheme) and isinstance(dynamics, AbstractDynamics)
        dynamics = scheme.law(dynamics) if both else dynamics
        self.dynamics, self.step_size = dynamics, chosen
        self.scheme = scheme.specialised(dynamics) if both else scheme

    def __check_init__(self) -> None:
        if not isinstance(self.dynamics, AbstractDynamics):
            raise InputError(f"dynamics must be a law of motion such as tw.GradientFlow(f), but is {self.dynamics!r}")
        if not isinstance(self.scheme, AbstractScheme):
            raise InputError(f"scheme must be a discretisation such as tw.Euler(), but is {self.scheme!r}")
        if not isinstance(self.dynamics.objective, AbstractObjective | None):
            raise InputError(
                f"the objective of {type(self.dynamics).__name__} must be a tw.Objective, but is "
                f"{self.dynamics.objective!r}; give tw.Objective(f)"
            )
        if not callable(self.step_size):
            check_number("step_size", self.step_size, above=0.0)
        elif not isinstance(self.step_size, TimeGrid):
            check_arguments("a schedule of the step size", self.step_size, "step")
        if callable(self.step_size) and self.scheme.adaptive:
            raise InputError(
                f"{type(self.scheme).__name__} sets its steps itself after the first; step_size must be a number"
            )
        self.scheme.check(self.dynamics)
        self.check_carrying()
        law = self.dynamics
        check_pieces(getattr(law, "args", None), self.step_size, type(self.scheme).__name__ * self.scheme.adaptive)
        if self.grid is not None and self.grid.backwards and (law.objective is not None or self.lacks_objective):
            raise InputError(
                f"times must go up for {type(law).__name__}, which backwards in time climbs; they may go down for a "
                "field, such as tw.Field(fn)"
            )
        law.check_times(None if self.grid is None else self.grid.times, self.scheme.takes_rates)

    @property
    def objective(self) -> AbstractObjective | None:
        """The function gone down."""
        return self.dynamics.objective

    @property
    def lacks_objective(self) -> bool:
        """Tell whether the law goes down a function and was given none."""
        law = self.dynamics
        if law.objective is not None or not any(field.name == "objective" for field in dataclasses.fields(law)):
            return False
        if type(law).evaluate is AbstractDynamics.evaluate:
            return True
        try:
            jax.eval_shape(law.evaluate, law.start_time, Phase(*(jnp.ones(1),) * law.order))
        except InputError:
            return True
        except Exception:
            # Whatever else it needs, it did not miss an objective.
            return False
        return False

    @property
    def grid(self) -> TimeGrid | None:
        """The grid of times, None where the step size is a number or a schedule."""
        return self.step_size if isinstance(self.step_size, TimeGrid) else None

    @property
    def start_time(self) -> Float[Array, ""]:
        """The time at which a run begins."""
        return self.dynamics.start_time if self.grid is None else self.grid.times[0]

    def at_start(self, objective: AbstractObjective) -> AbstractObjective:
        """A function as it is when a run begins."""
        return objective.at(self.start_time) if objective.time_dependent else objective

    def check_steps(self, steps: Any) -> int:
        """The number of steps of a run: that of the grid of times, where None is given; refused where it has fewer."""
        if self.grid is None:
            return check_count("steps", steps, at_least=0)
        count = self.grid.steps if steps is None else check_count("steps", steps, at_least=0)
        if count > self.grid.steps:
            raise InputError(f"the method has times for {self.grid.steps} steps, but steps is {count}")
        return count

    @property
    def autonomous(self) -> bool:
        """Tell whether neither the law nor the step size depends on time, and all steps are as long."""
        fixed = self.dynamics.autonomous and not (callable(self.step_size) or self.scheme.adaptive)
        return fixed and not self.dynamics.objective_changes

    def step_size_at(self, clock: Clock | None) -> Float[Array, ""]:
        """The step size of the next step."""
        if not callable(self.step_size):
            return self.step_size
        assert clock is not None
        return jnp.asarray(self.step_size(clock.steps), float)

    def init(self, position: Vector, velocity: Vector | None = None) -> State:
        """The state at the start.

        Arguments:
            position: pytree of float arrays.
            velocity: of the same shapes, for second-order laws; the law's own start if None.

        Raises:
            InputError: the start is not on the manifold of the law, or the velocity is not tangent there.
        """
        leaves = jax.tree.leaves(position)
        for leaf in leaves:
            if not isinstance(leaf, float) and not jnp.issubdtype(getattr(leaf, "dtype", object), jnp.floating):
                raise InputError(
                    f"the position must be made of arrays of floating-point numbers, but holds {leaf!r}; tw.run and "
                    "tw.solve take a module as it is, for steps by hand part it: eqx.partition(module, "
                    "eqx.is_inexact_array)"
                )
        if not leaves:
            raise InputError("the position must hold at least one parameter, but is empty")
        if velocity is not None:
            self._check_velocity(position, velocity)
        check_on(self.dynamics.geometry, position, velocity)
        self.drawn(position)
        clock = None
        first = self.step_size if not callable(self.step_size) else jnp.asarray(self.step_size(0), float)
        if not self.autonomous:
            zero = jnp.zeros((), float)
            none, first = jnp.zeros((), int), jnp.asarray(first, float)
            grid = self.step_size
            timed = isinstance(grid, TimeGrid)
            clock = grid.clock(none, first) if timed else Clock(self.dynamics.start_time, zero, none, first)
        return self.carried_from_start(self.scheme.init(self.dynamics, position, first, velocity, clock))

    def step(self, state: State, draws: Draws = Draws()) -> State:
        """One step: a deterministic function of the state and what was drawn."""
        h, law = self.step_size_at(state.clock), self.carrying(state).dynamics
        after = self.carried_on(state, self.scheme.step(law.during(state.time, h), state, h, draws), draws.batch)
        if isinstance(self.step_size, TimeGrid):
            assert after.clock is not None
            after = dataclasses.replace(after, clock=self.step_size.clock(after.clock.steps, after.clock.last_step))
        # What was known of the point before belongs to no other.
        return after if after.evaluation is None else dataclasses.replace(after, evaluation=None)

    def evaluated(self, state: State, batch: Batch = None) -> State:
        """The state with f and its gradient at the look-ahead point, for all who ask within a step."""
        state = state.with_lookahead()
        known = self.scheme.known(state)
        found = evaluated(self.carrying(state).dynamics, state, batch, value=True) if known is None else known
        return dataclasses.replace(state, evaluation=found)

    def diffusion_limit(self, noise_covariance: Any = None, x: Any = None) -> "DiffusionLimit":
        r"""The stochastic differential equation that this method follows as its step goes to 0.

        At fixed constants of the law. Its own noise stays; gradient noise of covariance C a step becomes noise
        of covariance $hC$ per unit time on the force, so that

        $$T = T_\text{thermal} + \frac{bhC}2\quad\text{(first order)},\qquad
          T = T_\text{thermal} + \frac{hC}{2\lambda}\quad\text{(second order)}$$

        which is $\alpha C/2$ of gradient descent with learning rate $\alpha = bh$. Of Adam and RMSprop at constant
        memory times, where noise outweighs the gradient, so that the squares come to $\operatorname{diag} C$: with
        $C = \sigma^2$ and no $\varepsilon$ the temperature is $\alpha\sigma/2$, which goes as the root of 1/batch size.

        Arguments:
            noise_covariance: C, of the gradient noise of one step (of a batch of B: that of a sample over B), a
                number (times the identity) or an array (d, d); None for exact gradients.
            x: where to measure C instead, of a `tw.FiniteSum` with mini-batches.

        Returns:
            a `tw.analysis.DiffusionLimit`: `.law`, `.temperature`, `.drift`, `.diffusion`, `.stationary_covariance`,
            `.covariance`.

        Raises:
            InputError: the method has no noise, or its law is none that it is known of.

        >>> import thalweg as tw
        >>> print(tw.gradient_descent(None, learning_rate=0.1).diffusion_limit(noise_covariance=0.5))
        dθ = -∇f dt + √(2T) dW
        T = 0.025

        Reference: Li, Tai and E (2017); Mandt, Hoffman and Blei (2017), section 3.
        """
        from ..analysis.diffusion_limit import diffusion_limit

        return diffusion_limit(self, noise_covariance, x)

    def limit(self, noise_covariance: Any = None, x: Any = None) -> "DiffusionLimit":
        """The `diffusion_limit`, by its former name."""
        return self.diffusion_limit(noise_covariance, x)

    def temperature(self, noise_covariance: Any = None, hessian: Any = None) -> Any:
        r"""The temperature of this method, thermal and of gradient noise.

        Without a Hessian that of its `diffusion_limit`, at leading order in the step: $T + bhC/2$ or $T + hC/2\lambda$.
        With one the effective temperature at its own step, from the exact stationary covariance of the position,

        $$\Theta = H^{1/2}\,\Sigma\,H^{1/2}$$

        which is $T\cdot 1$ exactly where the law of the position is $e^{-f/T}$. In an eigenvector of H it is the
        mean of $2f$ in that direction, and tends to the temperature of the diffusion limit as the step goes to 0; off
        the diagonal that holds where the noise commutes with H.

        Arguments:
            noise_covariance: C, of the gradient noise of one step, as in `diffusion_limit`.
            hessian: H, a curvature or a symmetric positive definite array (d, d).

        Returns:
            a number, or an array (d, d) where the noise or the Hessian is one.

        Raises:
            InputError: the method has no noise, or with a Hessian no stationary law.

        >>> import thalweg as tw
        >>> sgd = tw.gradient_descent(None, learning_rate=0.1)
        >>> round(sgd.temperature(0.5), 9), round(sgd.temperature(0.5, hessian=4.0), 9)  # a C/2, over 1 - a l/2
        (0.025, 0.03125)
        """
        from ..analysis.temperature import temperature

        return temperature(self, noise_covariance, hessian)

    def linearised(self, at_point: bool = False) -> "Method":
        """The method as the linear probe takes it, about a point or not, without what is not linear on any function."""
        check_probed(self.dynamics, at_point)
        dynamics, scheme = self.dynamics.linearised(), self.scheme.linearised()
        if dynamics is self.dynamics and scheme is self.scheme:
            return self
        # As it is: a number made anew may be of another precision.
        return copied(self, dynamics=dynamics, scheme=scheme)

    def with_objective(self, objective: Any) -> "Method":
        """The same method on another function, a `tw.Objective` or a bare one; None takes it away."""
        law, objective = self.dynamics, as_objective(objective)
        return copied(self, dynamics=law.with_objective(objective))

    def joined(self, join: Callable) -> "Method":
        """The same method on the parameters from which `join` makes what its functions take."""
        return self if join is same else copied(self, dynamics=self.dynamics.joined(join))

    def with_step_size(self, step_size: ArrayLike | Schedule) -> "Method":
        """The same law and scheme at another step."""
        return Method(self.dynamics, self.scheme, step_size)

    def with_learning_rate(self, learning_rate: ArrayLike) -> "Method":
        """The same method at another learning rate, its momentum held fixed.

        Raises:
            InputError: the method has no learning rate.
        """
        if knobs_of(self).step != "learning_rate":
            raise InputError(f"{type(self.dynamics).__name__} by {type(self.scheme).__name__} has no learning rate")
        return self.with_hyperparameters(learning_rate=learning_rate)

    def with_hyperparameters(self, **changes: Any) -> "Method":
        """The same method with other values of some of its `hyperparameters`.

        Raises:
            InputError: the method has no such hyperparameter, or a value is out of its range.

        >>> import thalweg as tw
        >>> method = tw.momentum(None, 0.1, momentum=0.9).with_hyperparameters(momentum=0.5)
        >>> {k: round(float(v), 6) for k, v in method.hyperparameters.items()}
        {'learning_rate': 0.1, 'momentum': 0.5}
        """
        return Method(*changed(self, changes))

    def check_hyperparameters(self, **values: Any) -> None:
        """Refuse values that `with_hyperparameters` refuses."""
        if not check_pair(**values):
            self.with_hyperparameters(**values)

    def flattened(self, unravel: Unravel) -> "Method":
        """The same method on raveled parameters, the law too where it looks at their shapes."""
        law, scheme = self.dynamics, self.scheme
        if isinstance(law.geometry, AbstractDensityNoise) and self.normals:
            raise InputError(
                f"particles in {type(law.geometry).__name__} with noise are moved by tw.run, tw.solve and "
                "tw.measures.flow, and not as the one vector that tw.sweep, tw.sample and tw.analysis make of them"
            )
        flat = None if law.objective is None else law.objective.flattened(unravel)
        whole = law.elementwise or unravel.trivial
        return copied(
            self,
            dynamics=law.with_objective(flat) if whole else raveled(law, flat, unravel),
            scheme=scheme.flattened(unravel),
        )

    @property
    def plain(self) -> "Method":
        """The method of the law as its user has it, where it runs on one vector that its law cuts into a tree."""
        law = self.dynamics
        return copied(self, dynamics=law.law) if isinstance(law, Raveled) else self

    def __repr__(self) -> str:
        step = ["step_size=" + shown(self.step_size)] if self.grid is None else ["times=" + shown(self.grid)]
        parts = [shown(self.dynamics), shown(self.scheme), *step]
        numbers = [f"{name}={shown(value)}" for name, value in self.hyperparameters.items() if name != "step_size"]
        return call("Method", parts, ", ".join(one for one in numbers if one not in parts[0]))

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Numbers that a user tunes, by the names of the alias: the inverse of it.

        >>> import thalweg as tw
        >>> {k: round(float(v), 6) for k, v in tw.momentum(None, 0.1, momentum=0.9).hyperparameters.items()}
        {'learning_rate': 0.1, 'momentum': 0.9}
        """
        return {name: _read(value) for name, value in knobs_of(self.plain).read(self.plain).items()}

    def _check_velocity(self, position: Vector, velocity: Vector) -> None:
        if not isinstance(self.dynamics, AbstractSecondOrder):
            raise InputError(
                "a starting velocity needs a second-order law such as tw.HeavyBall, "
                f"but the law is {type(self.dynamics).__name__}"
            )
        if jax.tree.structure(position) != jax.tree.structure(velocity) or any(
            jnp.shape(a) != jnp.shape(b)
            for a, b in zip(jax.tree.leaves(position), jax.tree.leaves(velocity), strict=True)
        ):
            raise InputError("the starting velocity must have the shape of the start")
        self.dynamics.check_velocity(velocity)


def _read(value: Any) -> Any:
    """A hyperparameter as a number; a schedule, and what is traced, as it is."""
    if callable(value) or isinstance(value, Tracer):
        return value
    number = value.item() if eqx.is_array(value) else float(value)
    if not isinstance(number, float):
        return number
    # Most are worked out of other constants, whose rounding is none of the user's.
    return nearest(number, float(jnp.finfo(value.dtype if eqx.is_inexact_array(value) else float).eps))
