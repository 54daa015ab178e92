"""A method: a law of motion, a scheme and a step size."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Key

from .._errors import InputError, check_count, check_number
from .._objectives.objective import AbstractObjective, Batch, Flattened
from .._objectives.parts import same
from .._tree import Unravel, Vector, copied, scalar, zeros_like
from ..dynamics import AbstractDynamics, AbstractSecondOrder, Field, Phase
from ..dynamics._base import check_flat
from ..dynamics._curved import check_on
from ..schemes import AbstractScheme, Clock, Draws, State
from ..schemes._base import evaluated
from .counting import Marking, counted, marked_field
from .grid import TimeGrid
from .knobs import changed, check_pair, knobs_of
from .raveled import Raveled, raveled

if TYPE_CHECKING:
    from ..analysis import DiffusionLimit

Schedule = Callable[[ArrayLike], ArrayLike]


def _step_size(value: Any) -> Any:
    return value if callable(value) else scalar(value)


# What a run draws besides the noise of its steps, whose numbers count from 0, has a stream of its own each.
BATCHES, STARTS, PILOT, JUDGED = (2**32 - i for i in range(1, 5))


class Method(eqx.Module):
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
        self.dynamics, self.step_size = dynamics, chosen
        # What a scheme takes from the objective it keeps, so that the probe and another loop see the same method.
        both = isinstance(scheme, AbstractScheme) and isinstance(dynamics, AbstractDynamics)
        self.scheme = scheme.specialised(dynamics) if both else scheme

    def __check_init__(self) -> None:
        if not isinstance(self.dynamics, AbstractDynamics):
            raise InputError(f"dynamics must be a law of motion such as tw.GradientFlow(f), but is {self.dynamics!r}")
        if not isinstance(self.scheme, AbstractScheme):
            raise InputError(f"scheme must be a discretisation such as tw.Euler(), but is {self.scheme!r}")
        if not callable(self.step_size):
            check_number("step_size", self.step_size, above=0.0)
        elif self.scheme.adaptive:
            raise InputError(
                f"{type(self.scheme).__name__} sets its steps itself after the first; step_size must be a number"
            )
        self.scheme.check(self.dynamics)
        law = self.dynamics
        if self.grid is not None and self.grid.backwards and (law.objective is not None or self.lacks_objective):
            raise InputError(
                f"times must go up for {type(law).__name__}, which backwards in time climbs; they may go down for a "
                "field, such as tw.Field(fn)"
            )

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
        for leaf in jax.tree.leaves(position):
            if callable(leaf) or isinstance(leaf, str | bytes):
                raise InputError(
                    f"the position must be made of arrays, but holds {leaf!r}; tw.run and tw.solve take a module as it "
                    "is, for steps by hand part it: eqx.partition(module, eqx.is_inexact_array)"
                )
        if velocity is not None:
            self._check_velocity(position, velocity)
        check_on(self.dynamics.geometry, position, velocity)
        clock = None
        first = self.step_size if not callable(self.step_size) else jnp.asarray(self.step_size(0), float)
        if not self.autonomous:
            zero = jnp.zeros((), float)
            none, first = jnp.zeros((), int), jnp.asarray(first, float)
            grid = self.step_size
            timed = isinstance(grid, TimeGrid)
            clock = grid.clock(none, first) if timed else Clock(self.dynamics.start_time, zero, none, first)
        return self.scheme.init(self.dynamics, position, first, velocity, clock)

    def step(self, state: State, draws: Draws = Draws()) -> State:
        """One step: a deterministic function of the state and what was drawn."""
        after = self.scheme.step(self.dynamics, state, self.step_size_at(state.clock), draws)
        if isinstance(self.step_size, TimeGrid):
            assert after.clock is not None
            after = dataclasses.replace(after, clock=self.step_size.clock(after.clock.steps, after.clock.last_step))
        # What was known of the point before belongs to no other.
        return after if after.evaluation is None else dataclasses.replace(after, evaluation=None)

    def evaluated(self, state: State, batch: Batch = None) -> State:
        """The state with f and its gradient at the look-ahead point, for all who ask within a step."""
        state = state.with_lookahead()
        known = self.scheme.known(state)
        found = evaluated(self.dynamics, state, batch, value=True) if known is None else known
        return dataclasses.replace(state, evaluation=found)

    @property
    def normals(self) -> int:
        """Number of standard normals of the position's shape that a step draws."""
        return type(self.scheme).normals(self.scheme, self.dynamics)

    @property
    def noisy(self) -> bool:
        """Tell whether the law or the scheme draws anything."""
        return self.normals + self.scheme.uniforms(self.dynamics) > 0

    @property
    def stochastic(self) -> bool:
        """Tell whether a step draws anything, hence needs a key."""
        return self.noisy or (self.objective is not None and self.objective.stochastic)

    def draw(
        self,
        key: Key[Array, ""] | None,
        position: Vector = None,
        step: ArrayLike | None = None,
        chains: int | None = None,
    ) -> Draws:
        """Everything random in one step.

        Arguments:
            key: of the run; of the step, where no step is given.
            position: a tree of the shapes and dtypes that the normals are to have.
            step: which one.
            chains: where `position` is that of so many chains, by a leading axis, what is drawn has that axis too:
                every chain has its own noise and its own mini-batch.
        """
        batch = self.draw_batch(key, step, chains)
        if not self.noisy:
            return Draws(batch)
        assert key is not None
        key = key if step is None else jax.random.fold_in(key, step)
        return self.draw_noise(key, position, () if chains is None else (chains,), batch)

    def draw_batch(self, key: Key[Array, ""] | None, step: ArrayLike | None = None, chains: int | None = None) -> Batch:
        """The mini-batch of one step, or one of every chain, by the key of the run."""
        objective = self.objective
        if objective is None or not objective.stochastic:
            return None
        assert key is not None
        key = jax.random.fold_in(key, BATCHES) if self.noisy else key
        if chains is None:
            return objective.draw(key, step)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(chains))
        return jax.vmap(objective.draw, (0, None))(keys, step)

    def draw_noise(
        self, key: Key[Array, ""], position: Vector, shape: tuple[int, ...] = (), batch: Batch = None
    ) -> Draws:
        """Normals like `position`, with uniforms of a shape, beside a mini-batch."""
        normals, uniforms = self.normals, self.scheme.uniforms(self.dynamics)
        noise = tuple(_normal(jax.random.fold_in(key, 1 + i), position) for i in range(normals))
        at = range(1 + normals, 1 + normals + uniforms)
        return Draws(batch, noise, tuple(jax.random.uniform(jax.random.fold_in(key, i), shape) for i in at))

    def diffusion_limit(self, noise_covariance: Any = None, x: Any = None) -> "DiffusionLimit":
        r"""The stochastic differential equation that this method follows as its step goes to 0.

        At fixed constants of the law. Its own noise stays; gradient noise of covariance C a step becomes noise
        of covariance $hC$ per unit time on the force, so that

        $$T = T_\text{thermal} + \frac{bhC}2\quad\text{(first order)},\qquad
          T = T_\text{thermal} + \frac{hC}{2\lambda}\quad\text{(second order)}$$

        which is $\alpha C/2$ of gradient descent with learning rate $\alpha = bh$.

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

    def silent(self, position: Vector) -> Draws:
        """The draws of a step whose noise is zero: by them two runs with the same noise differ."""
        uniforms = (jnp.zeros(()),) * self.scheme.uniforms(self.dynamics)
        return Draws(noise=(zeros_like(position),) * self.normals, uniforms=uniforms)

    def linearised(self) -> "Method":
        """The method as the linear probe takes it, without what is not linear on any function."""
        check_flat(self.dynamics, "the linear probe")
        dynamics, scheme = self.dynamics.linearised(), self.scheme.linearised()
        if dynamics is self.dynamics and scheme is self.scheme:
            return self
        return Method(dynamics, scheme, self.step_size)

    def with_objective(self, objective: AbstractObjective | None) -> "Method":
        """The same method on another function."""
        law = self.dynamics
        # Not bound, which would make a module of it: a run does this several times.
        return copied(self, dynamics=type(law).with_objective(law, objective))

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
        flat = None if law.objective is None else Flattened(law.objective, unravel)
        whole = law.elementwise or unravel.trivial
        return copied(
            self,
            dynamics=type(law).with_objective(law, flat) if whole else raveled(law, flat, unravel),
            scheme=type(scheme).flattened(scheme, unravel),
        )

    @property
    def plain(self) -> "Method":
        """The method of the law as its user has it, where it runs on one vector that its law cuts into a tree."""
        law = self.dynamics
        return copied(self, dynamics=law.law) if isinstance(law, Raveled) else self

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Numbers that a user tunes, by the names of the alias: the inverse of it.

        >>> import thalweg as tw
        >>> {k: round(float(v), 6) for k, v in tw.momentum(None, 0.1, momentum=0.9).hyperparameters.items()}
        {'learning_rate': 0.1, 'momentum': 0.9}
        """
        return {name: _read(value) for name, value in knobs_of(self.plain).read(self.plain).items()}

    @property
    def gradients_per_step(self) -> int:
        """Gradients in one step, counted in the traced step, loops and all (a Hessian-vector product counts 2).

        The least, where a scheme takes more in some steps than in others (`gradients_vary`).
        """
        return _counts(self)[1]

    @property
    def gradients_at_start(self) -> int:
        """Gradients the start takes (one for a half-step velocity that starts right)."""
        return _counts(self)[0]

    @property
    def gradients_vary(self) -> bool:
        """Tell whether steps differ in how many gradients they take, so that a run must say how many it took."""
        counting = self._counting

        def counted_by_scheme(x: Vector) -> Any:
            return jax.eval_shape(lambda x: self.scheme.report(counting.init(x)).gradients, x)

        return self._on_example(counted_by_scheme) is not None

    @property
    def uneven(self) -> bool:
        """The same as `gradients_vary`, by its former name."""
        return self.gradients_vary

    def gradients_after(self, state: State, steps: int) -> int:
        """Gradients taken up to a state so many steps from the start, the start's own among them."""
        # Here and in what a run calls, methods are not bound: that would make a module, which takes as long as a step.
        scheme = self.scheme
        taken = type(scheme).report(scheme, state).gradients
        if taken is not None:
            return int(taken)
        at_start, per_step = _counts(self)
        return at_start + steps * per_step

    @property
    def _counting(self) -> "Method":
        """The method on a function, or along a field, whose evaluations are marked."""
        law = self.dynamics
        if law.objective is None and law.order == 1 and not (self.lacks_objective or law.has_auxiliary):
            return copied(self, dynamics=Field(marked_field), scheme=self.scheme.unsized())
        # As many gradients in flat space, and on any shape.
        return copied(self, dynamics=law.with_objective(Marking()).in_flat_space(), scheme=self.scheme.unsized())

    def _on_example(self, trace: Callable[[Vector], Any]) -> Any:
        """Trace on a vector, or on a matrix where the law takes no vector."""
        if isinstance(self.dynamics, Raveled):
            return trace(jnp.ones(self.dynamics.cut.size))
        try:
            return trace(jnp.ones(1))
        except Exception as error:
            if self.dynamics.elementwise:
                raise
            first = error
        try:
            return trace(jnp.ones((2, 2)))
        except Exception as error:
            # A law that is wrong on both says so where it was tried first.
            raise first from error

    def _check_velocity(self, position: Vector, velocity: Vector) -> None:
        if not isinstance(self.dynamics, AbstractSecondOrder):
            raise InputError(
                "a starting velocity needs a second-order law such as tw.HeavyBall, "
                f"but the law is {type(self.dynamics).__name__}"
            )
        if jax.tree.structure(position) != jax.tree.structure(velocity) or any(
            a.shape != b.shape for a, b in zip(jax.tree.leaves(position), jax.tree.leaves(velocity), strict=True)
        ):
            raise InputError("the starting velocity must have the shape of the start")
        self.dynamics.check_velocity(velocity)


def _counts(method: Method) -> tuple[int, int]:
    """Gradients at the start and in a step."""
    leaves, structure = jax.tree.flatten(Method.with_objective(method, None))
    # What is traced depends on no array's value, so one count serves every setting of the numbers.
    known = (structure, *(None if eqx.is_array(leaf) else leaf for leaf in leaves))
    if known not in _COUNTS:
        counting = method._counting

        def both(x: Vector) -> tuple[int, int]:
            at_start, state = counted(counting.init, x)
            return at_start, counted(counting.step, state, method.silent(x))[0]

        _COUNTS[known] = method._on_example(both)
    return _COUNTS[known]


def _read(value: Any) -> Any:
    """A hyperparameter as a number; a schedule, and what is traced, as it is."""
    if callable(value) or isinstance(value, Tracer):
        return value
    return value.item() if eqx.is_array(value) else float(value)


def _normal(key: Key[Array, ""], like: Vector) -> Vector:
    leaves, structure = jax.tree.flatten(like)
    keys = [key] if len(leaves) == 1 else jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


_COUNTS: dict[Any, tuple[int, int]] = {}
