"""Stabilised explicit Runge-Kutta methods: s gradients a step, and a stable interval that grows as s squared."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Int

from .._errors import InputError, check_count, check_number
from .._objectives.objective import Batch
from .._tree import Vector, combine
from .._typed import check_fields
from ..dynamics import AbstractDynamics, AbstractFirstOrder, Evaluation, GradientFlow, Phase
from ..dynamics._base import at_time
from ..geometry import AbstractDualFlat, AbstractGeometry, AbstractManifold, AbstractMetric
from ..geometry.base import named
from . import _stabilised as coefficients
from ._base import AbstractScheme, derivative, phase
from ._curvature_estimate import SAFETY, CurvatureEstimate, begin, refreshed
from ._estimating import AbstractEstimating, Attempt
from ._state import Clock, Draws, Report, State

# Stages that are chosen: more would lose digits in float32 before they pay.
MOST_STAGES = 200
# So few are written out, which compiles to one pass over memory each.
_UNROLLED = 10
_DAMPING = {1: 0.05, 2: 2.0 / 13.0}


class Stated(NamedTuple):
    """The curvature that an objective states."""

    smoothness: float | None = None
    strong_convexity: float | None = None


class AbstractStabilised(AbstractEstimating):
    """The step of all of them; a class says what its coefficients are."""

    order: eqx.AbstractVar[int]  # pyright: ignore[reportIncompatibleMethodOverride]
    stages: eqx.AbstractVar[int | None]
    stated: eqx.AbstractVar[Stated]

    def __check_init__(self) -> None:
        if check_count("order", self.order) > 2:
            raise InputError(f"order of {type(self).__name__} must be 1 or 2, but is {self.order}")
        if self.stages is not None:
            check_count("stages", self.stages, at_least=self.order)

    @abc.abstractmethod
    def first(self, s: Any, shape: Any, xp: Any) -> Any:
        """The coefficient of the first stage."""

    @abc.abstractmethod
    def stage(self, j: Any, s: Any, shape: Any, xp: Any) -> coefficients.Stage:
        """The coefficients of stage j of s."""

    @abc.abstractmethod
    def reach(self, s: int, damped: bool = False) -> float:
        """The stable interval of s stages; damped, as far as the modes shrink by what the damping says."""

    def shape(self, s: Any, rate: Any, xp: Any) -> Any:
        """Further arguments of the coefficients; None where they depend on the stages alone."""
        del s, rate, xp

    @property
    def interval(self) -> float:
        r"""$\beta$: stable while $0 \le hb\ell \le \beta$ for every curvature, as the damping is by itself.

        Raises:
            InputError: the number of stages is chosen step by step.
        """
        if self.stages is None:
            raise InputError("an interval belongs to a number of stages; give one, stages=10")
        return self.reach(self.stages)

    def specialised(self, dynamics: AbstractDynamics) -> AbstractScheme:
        objective = dynamics.objective
        if objective is None or not isinstance(dynamics, GradientFlow):
            return self
        # Another function keeps what the first one stated, unless it states something itself.
        found = Stated(objective.smoothness, objective.strong_convexity)
        return self if found == Stated() else dataclasses.replace(self, stated=found)

    def without_reverse(self) -> str:
        if self.stages is not None:
            return ""
        return (
            "it makes as many stages as the curvature asks for; give their number, such as stages=10, or differentiate "
            "forwards, by jax.jacfwd"
        )

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        del dynamics
        return True

    def requires(self) -> tuple[type, ...]:
        return (AbstractFirstOrder,)

    def check(self, dynamics: AbstractDynamics) -> None:
        if dynamics.order != 1:
            raise InputError(
                f"{type(self).__name__} is stable along the negative real axis, where a first-order law has its modes; "
                f"those of {type(dynamics).__name__} oscillate off it; use tw.GradientFlow, or tw.RK4()"
            )
        super().check(dynamics)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        if isinstance(geometry, AbstractManifold | AbstractDualFlat):
            return super().refused_geometry(geometry)
        if not isinstance(geometry, AbstractMetric):
            return f"is made for modes that shrink at rates of their own, of which {named(geometry)} has none"
        if self.stages is None:
            return f"chooses its stages by the curvature of f, which {named(geometry)} makes another, if none are given"
        return None

    def report(self, state: State) -> Report:
        return Report(gradients=state.memory.gradients if self.stages is None else None)

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        state = super().init(dynamics, position, step_size, velocity, clock)
        if self.stages is not None:
            return state
        estimated = self.stated.smoothness is None or not isinstance(dynamics, GradientFlow)
        return dataclasses.replace(state, memory=begin(dynamics, state.time, phase(state), estimated))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        h = jnp.asarray(step_size)
        clock, y, known = state.clock, phase(state), state.evaluation
        ticked = None if clock is None else clock.tick(h)
        if self.stages is not None:
            end = self._advance(dynamics, clock, y, h, self.stages, draws.batch, known)
            return State(end.position, clock=ticked, auxiliary=end.auxiliary)
        memory, curvature = self._curvature(dynamics, clock, y, state.memory, draws.batch)
        s = self._enough(_most_rate(dynamics, clock, h) * curvature)
        end = self._advance(dynamics, clock, y, h, s, draws.batch, known)
        memory = CurvatureEstimate(memory.gradients + s, memory.steps + 1, memory.curvature, memory.direction)
        return State(end.position, clock=ticked, memory=memory, auxiliary=end.auxiliary)

    def _curvature(
        self, dynamics: AbstractDynamics, clock: Clock | None, y: Phase, memory: CurvatureEstimate, batch: Batch
    ) -> tuple[CurvatureEstimate, Any]:
        """The largest curvature here, with a margin where it is estimated."""
        memory = refreshed(memory, dynamics, None if clock is None else clock.time, y, batch)
        return memory, self.stated.smoothness if memory.curvature is None else SAFETY * memory.curvature

    @property
    def error_order(self) -> int:
        return self.order + 1

    @property
    def hands_over(self) -> bool:
        return True

    def check_estimate(self) -> None:
        raise InputError(f"{type(self).__name__} has no estimate of its error; use tw.RungeKuttaChebyshev(order=2)")

    def attempt(
        self, dynamics: AbstractDynamics, clock: Clock, y: Phase, h: Array, slope: Phase | None = None,
        memory: Any = None, allowed: Callable[[], Phase] | None = None, batch: Batch = None,
        evaluation: Evaluation | None = None,
    ) -> Attempt:  # fmt: skip
        del allowed
        failed = longest = None
        stages: Any = self.stages
        if stages is None:
            memory, curvature = self._curvature(dynamics, clock, y, memory, batch)
            rate = _most_rate(dynamics, clock, h) * curvature
            stages, most = self._enough(rate), self.reach(self._eligible()[-1], damped=True)
            failed, longest = rate > most, h * most / jnp.maximum(rate, jnp.finfo(h.dtype).tiny)
            memory = CurvatureEstimate(memory.gradients + stages, memory.steps + 1, memory.curvature, memory.direction)
        end = self._advance(dynamics, clock, y, h, stages, batch, evaluation, slope)
        after = derivative(dynamics, clock.after(h), end, batch)

        def estimate(before: Array, moved: Array, first: Array, last: Array) -> Array:
            wide = jnp.promote_types(before.dtype, jnp.float32)
            before, moved, first, last = (leaf.astype(wide) for leaf in (before, moved, first, last))
            return 0.8 * (before - moved) + (0.4 * h).astype(wide) * (first + last)

        return Attempt(end, jax.tree.map(estimate, y, end, slope, after), after, memory, failed, longest)

    def _enough(self, reach: Any) -> Int[Array, ""]:
        """The fewest stages that reach so far, of those a chosen number may be."""
        eligible = self._eligible()
        ends = jnp.asarray([self.reach(s, damped=True) for s in eligible])
        return jnp.asarray(eligible)[jnp.clip(jnp.searchsorted(ends, reach), 0, len(eligible) - 1)]

    def _eligible(self) -> list[int]:
        return list(range(self.order, MOST_STAGES + 1))

    def _advance(
        self, dynamics: AbstractDynamics, clock: Clock | None, y: Phase, h: Array, stages: Any, batch: Batch,
        evaluation: Evaluation | None = None, slope: Phase | None = None,
    ) -> Phase:  # fmt: skip
        fixed = isinstance(stages, int)
        s = float(stages) if fixed else stages.astype(float)
        shape = self.shape(s, _most_rate(dynamics, clock, h), jnp)
        # In float64 by NumPy where nothing is traced, and in the state's precision at the very end.
        xp = np if fixed and not isinstance(shape, jax.Array) else jnp

        def rate(fraction: Any, moved: Phase) -> Phase:
            time = None if clock is None else clock.after(fraction * h)
            return derivative(dynamics, time, combine((1, y), (1, moved)), batch)

        def stage(c: coefficients.Stage, moved: Phase, change: Phase) -> tuple[Phase, Phase]:
            terms = [(c.keep, change), (h * c.kick, rate(c.time, moved))]
            if c.back is not None:
                terms += [(c.back, moved), (h * c.first, start)]
            change = combine(*terms)
            return combine((1, moved), (1, change)), change

        time = None if clock is None else clock.time
        start = derivative(dynamics, time, y, batch, evaluation) if slope is None else slope
        change = combine((h * self.first(s, shape, xp), jax.tree.map(_wide, start)))
        moved = change
        if fixed and stages > 1:
            rows = self.stage(np.arange(2.0, stages + 1.0), s, shape, xp)
            if stages <= _UNROLLED:
                for i in range(stages - 1):
                    moved, change = stage(jax.tree.map(lambda column, i=i: column[i], rows), moved, change)
            else:
                rows = jax.tree.map(jnp.asarray, rows)
                moved, _ = jax.lax.scan(lambda carry, c: (stage(c, *carry), None), (moved, change), rows)[0]
        elif not fixed:

            def body(j: Array, carry: tuple[Phase, Phase]) -> tuple[Phase, Phase]:
                return stage(self.stage(j.astype(float), s, shape, jnp), *carry)

            moved, _ = jax.lax.fori_loop(2, stages + 1, body, (moved, change))
        return combine((1, y), (1, moved))

    @property
    def takes_learning_rate(self) -> bool:
        return True


def _wide(leaf: Array) -> Array:
    # Where parameters are of low precision, the sum over the stages is not.
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))


def _most_rate(dynamics: AbstractDynamics, clock: Clock | None, h: Array) -> Any:
    """h b, with the largest rate that the step will meet at its ends and in its middle."""
    if not isinstance(dynamics, GradientFlow):
        return h
    if not callable(dynamics.rate):
        return h * dynamics.rate
    assert clock is not None
    rates = [jnp.asarray(at_time(dynamics.rate, clock.after(part * h))) for part in (0.0, 0.5, 1.0)]
    return h * jnp.max(jnp.stack(rates))


class RungeKuttaChebyshev(AbstractStabilised):
    r"""Runge-Kutta-Chebyshev methods: s gradients a step, stable for steps that grow as $s^2$.

    $$\theta^+ = \frac{T_s(w_0 - w_1hb\ell)}{T_s(w_0)}\,\theta\ \text{ on a mode},\qquad
      w_0 = 1 + \frac{\varepsilon}{s^2},\qquad w_1 = \frac{T_s(w_0)}{T_s'(w_0)}$$

    and of order 2 $\theta^+ = (a_s + b_sT_s(w_0 - w_1hb\ell))\,\theta$. From $(w_0 - 1)/w_1$ to
    $(w_0 + 1)/w_1$ all modes shrink by $1/T_s(w_0)$ at least; order 1 is stable to $2w_0/w_1$, about
    $(2 - \tfrac43\varepsilon)s^2$, order 2 to about $\tfrac23s^2$. In `tw.Adaptive` order 2 estimates its error by
    $\tfrac45(\theta - \theta^+) + \tfrac25h(F(\theta) + F(\theta^+))$.

    Arguments:
        order: 1 or 2, of convergence to gradient flow.
        stages: s, the gradients of a step; None takes at every step the fewest that are stable, at most 200, by the
            `smoothness` that the objective states or, where it states none, by power iteration on Hessian-vector
            products, each of which counts as 2 gradients (20 at the start, 4 every fifth step). On another first-order
            law, such as `tw.Field`, by the spectral radius of its Jacobian, found likewise from products with it: right
            where the modes decay without turning much, which is what the method is for.
        damping: $\varepsilon \ge 0$. None is 0.05 of order 1 and 2/13 of order 2; where order is 1 and the
            objective states `smoothness` L and `strong_convexity` $\mu$, it is the damping whose slowest mode of
            curvature in $[\mu, L]$ shrinks most at the given step, which makes the method the Chebyshev iteration at
            the step $s\tanh(s\varphi)/\sqrt{\mu L}$, $\tanh(\varphi/2) = \sqrt{\mu/L}$.

    Raises:
        InputError: an order other than 1 and 2, fewer stages than the order, a damping out of its range; with the law,
            where it is of second order, or has noise.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.GradientFlow(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 100.0]) * x**2))
    >>> method = tw.Method(flow, tw.RungeKuttaChebyshev(stages=10), 1.9)
    >>> round(tw.analysis.largest_stable_step(method, 100.0), 3), method.gradients_per_step  # Euler: 0.02
    (1.937, 10)

    Reference: Sommeijer, Shampine and Verwer (1998); order 1, Verwer (1996).
    """

    order: int = eqx.field(default=1, static=True)
    stages: int | None = eqx.field(default=None, static=True)
    damping: float | None = eqx.field(default=None, static=True)
    stated: Stated = eqx.field(default=Stated(), static=True, repr=False)

    def __check_init__(self) -> None:
        check_fields(self)
        if self.damping is not None:
            # Beyond this a method of order 2 is Euler's, and its coefficients leave the floating-point range.
            bounds = {} if self.order == 1 else {"below": 100.0}
            check_number("damping", self.damping, at_least=0.0, **bounds)

    def check_estimate(self) -> None:
        if self.order != 2:
            raise InputError(
                "RungeKuttaChebyshev estimates its error where its order is 2; use tw.RungeKuttaChebyshev(order=2)"
            )

    @property
    def _epsilon(self) -> float:
        return _DAMPING[self.order] if self.damping is None else float(self.damping)

    def shape(self, s: Any, rate: Any, xp: Any) -> Any:
        smoothness, convexity = self.stated
        if self.order == 1 and self.damping is None and smoothness and convexity:
            return best_angle(s, rate * convexity, rate * smoothness)
        return coefficients.angle(self._epsilon, s, np if isinstance(s, float) else xp)

    def first(self, s: Any, shape: Any, xp: Any) -> Any:
        if self.order == 1:
            return coefficients.chebyshev_first(s, shape, xp)
        return coefficients.chebyshev_second_first(s, shape, self._widest, xp)

    def stage(self, j: Any, s: Any, shape: Any, xp: Any) -> coefficients.Stage:
        if self.order == 1:
            return coefficients.chebyshev(j, s, shape, xp)
        return coefficients.chebyshev_second(j, s, shape, self._widest, xp)

    @property
    def _widest(self) -> float:
        r"""The largest $s\varphi$ there is, below the root of $2\varepsilon$ for every s."""
        return float(np.sqrt(2.0 * self._epsilon))

    def reach(self, s: int, damped: bool = False) -> float:
        phi = float(coefficients.angle(self._epsilon, float(s)))
        if self.order == 2:
            return coefficients.chebyshev_second_interval(s, phi, damped)
        return float(coefficients.chebyshev_damped(s, phi)) if damped else coefficients.chebyshev_interval(s, phi)


def best_angle(s: Any, near: Any, far: Any) -> Array:
    r"""The $\varphi$ of order 1 whose slowest mode on [near, far] = $[\mu hb, Lhb]$ shrinks most.

    The damped interval $s\tanh(s\varphi)\,[\tanh\tfrac\varphi2, \coth\tfrac\varphi2]$ moves inwards as $\varphi$ grows,
    and on it the bound $1/T_s(\cosh\varphi)$ falls. Right of it $|P_s|$ rises at once, and left of it
    $P_s(\mu hb)$ rises with $\varphi$: so $\varphi$ grows until one end of the interval meets one of [near, far].
    """

    def larger(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = 0.5 * (low + high)
        phi = jnp.exp(middle)
        half, end = jnp.tanh(0.5 * phi), s * jnp.tanh(s * phi)
        covers = (end * half <= near) & (end >= far * half)
        return jnp.where(covers, middle, low), jnp.where(covers, high, middle)

    bracket = tuple(jnp.log(jnp.asarray(end, float)) for end in (coefficients.LEAST_ANGLE, coefficients.MOST_ANGLE))
    bracket = tuple(jnp.broadcast_to(end, jnp.shape(near)) for end in bracket)
    return jnp.exp(jax.lax.fori_loop(0, 50, larger, bracket)[0])  # pyright: ignore[reportArgumentType]


def best_step(s: int, convexity: float, smoothness: float) -> float:
    r"""The step of order 1 at which both ends of the damped interval are those of $[\mu, L]$."""
    root = math.sqrt(convexity / smoothness)
    # One stage is gradient descent, 2/(mu + L), at every angle; so is a single curvature.
    end = 1.0 if root >= 1.0 else math.tanh(2.0 * s * math.atanh(root))
    return s * end / math.sqrt(convexity * smoothness)
